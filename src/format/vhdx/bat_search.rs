//! Looking for the BAT where region tables and metadata are gone together.
//!
//! Nothing tells how long it is, nor how large its blocks are. But every entry must have a state that exists and a place within
//! the file, at a multiple of 1 MiB, that no other entry has: what else stands in a file hardly ever looks so.

use std::collections::BTreeSet;
use std::ops::Range;

use super::bat::{BatEntry, MIB, PayloadState};
use super::search::{places, read};
use crate::image::ReadAt;
use crate::ranges::meet;

/// Bytes that are looked at before all of a MiB is.
const FIRST_LOOK: usize = 4096;

/// Stretches that look like a BAT. In a file that holds more of them none is the BAT, as far as can be told.
const MAX_FOUND: usize = 64;

/// Claims that are kept of all of them together, which bounds the memory: those of a BAT for 8 TiB in blocks of 2 MiB.
const MAX_CLAIMS: usize = 4 << 20;

/// A BAT by its content.
pub(super) struct FoundBat {
    /// Where it stands in the file: whole MiB.
    pub(super) region: Range<u64>,
    /// The places that its entries claim.
    claims: BTreeSet<u64>,
}

/// The BAT that claims the most of those that a file may hold, and how many others there are. `block_size` is what the user
/// says, if anything.
pub(super) fn bat(file: &dyn ReadAt, log: Option<&Range<u64>>, block_size: Option<u32>) -> Option<(FoundBat, usize)> {
    let block_size = block_size.map_or(MIB, u64::from);
    let mut found = runs(file)?;
    found.retain_mut(|bat| bat.settle(log, block_size));
    // A block may hold an image of its own, and that a BAT: the outer one claims the block that the inner one lies in.
    let is_inner = |one: &FoundBat| {
        let place = one.region.start..one.region.start.saturating_add(1);
        found.iter().any(|bat| bat.region.start != place.start && bat.claims_any_of(&place, block_size))
    };
    let inner: BTreeSet<u64> = found.iter().filter(|bat| is_inner(bat)).map(|bat| bat.region.start).collect();
    found.retain(|bat| !inner.contains(&bat.region.start));
    let others = found.len().saturating_sub(1);
    // Of several that claim as many, the first.
    found.into_iter().rev().max_by_key(|bat| bat.claims.len()).map(|bat| (bat, others))
}

/// Every stretch of MiB that hold nothing but entries of a BAT, and claims in the first one. `None` where there are too many.
fn runs(file: &dyn ReadAt) -> Option<Vec<FoundBat>> {
    let mut runs: Vec<FoundBat> = Vec::new();
    let mut open = false;
    let mut claimed = 0usize;
    for place in places(file) {
        let Some(claims) = claims_at(file, place) else {
            open = false;
            continue;
        };
        claimed = claimed.saturating_add(claims.len());
        if runs.len() > MAX_FOUND || claimed > MAX_CLAIMS {
            return None;
        }
        let end = place.saturating_add(MIB);
        match runs.last_mut().filter(|run| open && run.claims.is_disjoint(&claims)) {
            Some(run) => {
                run.region.end = end;
                run.claims.extend(claims);
            }
            None if !claims.is_empty() => {
                runs.push(FoundBat { region: place..end, claims });
                open = true;
            }
            None => {}
        }
    }
    Some(runs)
}

/// The places that a MiB of the file claims, if it holds nothing but entries of a BAT.
fn claims_at(file: &dyn ReadAt, place: u64) -> Option<BTreeSet<u64>> {
    let mut claims = BTreeSet::new();
    add_claims(&read(file, place, FIRST_LOOK)?, file.size(), &mut claims)?;
    let length = file.size().saturating_sub(place).min(MIB) & !7;
    claims.clear();
    add_claims(&read(file, place, usize::try_from(length).ok()?)?, file.size(), &mut claims)?;
    Some(claims)
}

fn add_claims(bytes: &[u8], file_size: u64, claims: &mut BTreeSet<u64>) -> Option<()> {
    for entry in bytes.as_chunks::<8>().0 {
        let entry = BatEntry(u64::from_le_bytes(*entry));
        let claims_block = match entry.payload_state() {
            PayloadState::Reserved => return None,
            PayloadState::FullyPresent | PayloadState::PartiallyPresent => true,
            _ => false,
        };
        let start = entry.file_offset();
        let fits = entry.is_aligned() && (!claims_block || (MIB..file_size).contains(&start) && claims.insert(start));
        if !fits {
            return None;
        }
    }
    Some(())
}

impl FoundBat {
    /// Whether one of its blocks has a byte of a place.
    fn claims_any_of(&self, place: &Range<u64>, block_size: u64) -> bool {
        let block = |claim: &u64| *claim..claim.saturating_add(block_size);
        // Blocks are of one size, so that the last one to begin before the place's end reaches farthest.
        let last = self.claims.range(..place.end).next_back();
        last.is_some_and(|claim| meet(place, &block(claim)))
    }

    /// Ends it where the first block behind it begins. Returns whether it can be a BAT then.
    fn settle(&mut self, log: Option<&Range<u64>>, block_size: u64) -> bool {
        let start = self.region.start;
        let next = self.claims.range(start..).next().copied();
        self.region.end = self.region.end.min(next.unwrap_or(u64::MAX));
        let is_free = |place: &Range<u64>| !self.claims_any_of(place, block_size);
        !self.region.is_empty() && is_free(&self.region) && log.is_none_or(is_free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Faults;
    use crate::error::Result;

    /// A file of which every MiB claims all of the file.
    struct Hostile {
        mebibytes: u64,
    }

    impl ReadAt for Hostile {
        fn size(&self) -> u64 {
            self.mebibytes * MIB
        }

        fn read_at(&self, buf: &mut [u8], offset: u64, _: &mut Faults) -> Result<()> {
            const FULLY_PRESENT: u64 = 6;
            for (at, bytes) in (offset..).step_by(8).zip(buf.as_chunks_mut::<8>().0) {
                let number = at % MIB / 8 + 1;
                *bytes = if number < self.mebibytes { (number * MIB) | FULLY_PRESENT } else { 0 }.to_le_bytes();
            }
            Ok(())
        }
    }

    #[test]
    fn a_block_is_known_by_any_of_its_bytes() {
        let claims: BTreeSet<u64> = [4, 9, 10, 30].map(|mib| mib * MIB).into();
        let bat = FoundBat { region: 0..MIB, claims: claims.clone() };
        for block_size in [MIB, 4 * MIB] {
            for (start, length) in (0..40).flat_map(|start| [(start, 1), (start, MIB), (start, 6 * MIB)]) {
                for start in [start * MIB, start * MIB + MIB - 1] {
                    let place = start..start + length;
                    let any = claims.iter().any(|claim| *claim < place.end && place.start < *claim + block_size);
                    assert_eq!(bat.claims_any_of(&place, block_size), any, "{place:?}, {block_size}");
                }
            }
        }
        assert!(!bat.claims_any_of(&(0..0), MIB));
    }

    #[test]
    fn a_file_full_of_tables_ends_the_search() {
        // Without a bound: thousands of sets of 8,000 claims, each held against all others.
        assert!(bat(&Hostile { mebibytes: 8000 }, None, None).is_none());
    }
}
