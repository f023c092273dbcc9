//! What stands at a place of the file, read as the BAT that the metadata ask for: how much of it can be one.
//!
//! A BAT bears no signature and no checksum, so its entries must tell: states that exist, places within the file and at multiples
//! of 1 MiB, no two alike. A few may be damaged, or lead past the end of a file that was cut; most must hold.

use std::collections::BTreeSet;
use std::ops::Range;

use super::bat::{BatEntry, BatShape, ENTRY_LENGTH, MIB, PayloadState};
use super::log::ENTRY_SIGNATURE;
use crate::Faults;
use crate::image::ReadAt;
use crate::ranges::meet;

/// Entries of a would-be BAT that are looked at: half a MiB.
pub(super) const MAX_ENTRIES: u64 = 1 << 16;

/// Bytes of a sector of a log.
const LOG_SECTOR: usize = 4096;

/// What is known of the file whose BAT is looked for.
pub(super) struct Wanted<'a> {
    pub(super) shape: BatShape,
    pub(super) has_parent: bool,
    /// The metadata region, in bytes of the file.
    pub(super) metadata: Range<u64>,
    /// The log, where a header tells.
    pub(super) log: Option<&'a Range<u64>>,
}

/// A place that may be the BAT's.
pub(super) struct BatCandidate {
    /// Bytes of the file.
    pub(super) region: Range<u64>,
    /// Where the blocks begin that its entries claim, those of them that hold.
    claims: BTreeSet<u64>,
    /// In bytes.
    block_size: u64,
    /// Entries that no writer wrote so.
    flaws: usize,
    /// Entries that lead past the end of the file: it may have been cut.
    past_end: usize,
}

/// With so many more entries that make no sense than claims, what stands there is no BAT, whatever follows.
const HOPELESS: usize = 1024;

impl Wanted<'_> {
    /// The region that a BAT at `place` would have.
    pub(super) fn region(&self, place: u64) -> Option<Range<u64>> {
        let length = self.shape.entries_needed().checked_mul(ENTRY_LENGTH)?.checked_next_multiple_of(MIB)?;
        Some(place..place.checked_add(length)?)
    }

    /// Whether bytes of the file belong to another structure.
    pub(super) fn is_taken(&self, place: &Range<u64>) -> bool {
        meet(place, &self.metadata) || self.log.is_some_and(|log| meet(place, log))
    }

    /// The BAT at a place, if more of its entries claim a block than make no sense.
    pub(super) fn look_at(&self, file: &dyn ReadAt, place: u64) -> Option<BatCandidate> {
        let region = self.region(place).filter(|region| !self.is_taken(region))?;
        let looked_at = self.shape.entries_needed().min(MAX_ENTRIES);
        let bytes = or_zeros(file, place, usize::try_from(looked_at.saturating_mul(ENTRY_LENGTH)).ok()?)?;
        // No BAT entry begins like an entry of a log, whose data sectors look much like the BAT.
        if bytes.chunks(LOG_SECTOR).any(|sector| sector.starts_with(&ENTRY_SIGNATURE)) {
            return None;
        }
        let block_size = self.shape.block_size;
        let mut candidate = BatCandidate { region, claims: BTreeSet::new(), block_size, flaws: 0, past_end: 0 };
        for (number, entry) in (0u64..).zip(bytes.as_chunks::<8>().0) {
            let entry = BatEntry(u64::from_le_bytes(*entry));
            match self.judge(number, entry) {
                Entry::ClaimsNothing => {}
                Entry::Flawed => candidate.flaws = candidate.flaws.saturating_add(1),
                Entry::Claims(length) => candidate.take(self, file.size(), entry.file_offset(), length),
            }
            if candidate.flaws > candidate.claims.len().saturating_add(HOPELESS) {
                return None;
            }
        }
        (candidate.claims.len() > candidate.flaws).then_some(candidate)
    }

    fn judge(&self, number: u64, entry: BatEntry) -> Entry {
        // Every chunk_ratio payload entries are followed by that of their sector bitmap.
        let is_bitmap = self.shape.payload_block(number).is_none();
        match (is_bitmap, entry.payload_state()) {
            _ if !entry.is_aligned() => Entry::Flawed,
            (true, _) if entry.bitmap_present() => Entry::Claims(MIB),
            (true, PayloadState::NotPresent) => Entry::ClaimsNothing,
            (true, _) | (false, PayloadState::Reserved) => Entry::Flawed,
            (false, PayloadState::PartiallyPresent) if !self.has_parent => Entry::Flawed,
            (false, PayloadState::FullyPresent | PayloadState::PartiallyPresent) => {
                Entry::Claims(self.shape.block_size)
            }
            (false, _) => Entry::ClaimsNothing,
        }
    }
}

/// What an entry is, by itself.
enum Entry {
    ClaimsNothing,
    /// So many bytes.
    Claims(u64),
    Flawed,
}

impl BatCandidate {
    /// Takes the claim of an entry.
    fn take(&mut self, wanted: &Wanted<'_>, file_size: u64, start: u64, length: u64) {
        let block = start..start.saturating_add(length);
        let is_own = block.start < self.region.end && self.region.start < block.end;
        if start >= file_size {
            self.past_end = self.past_end.saturating_add(1);
        } else if start < MIB || is_own || wanted.is_taken(&block) || !self.claims.insert(start) {
            self.flaws = self.flaws.saturating_add(1);
        }
    }

    /// Whether all that was looked at makes sense.
    pub(super) fn is_flawless(&self) -> bool {
        self.flaws == 0 && self.past_end == 0
    }

    /// How many blocks it claims.
    pub(super) fn claimed(&self) -> usize {
        self.claims.len()
    }

    /// How much more speaks for it than against it.
    pub(super) fn weight(&self) -> usize {
        self.claims.len().saturating_sub(self.flaws)
    }

    /// Whether one of its blocks holds another candidate: a block may hold an image of its own, and that a BAT.
    pub(super) fn holds(&self, other: &Self) -> bool {
        let place = other.region.start;
        let last = self.claims.range(..=place).next_back();
        last.is_some_and(|start| place < start.saturating_add(self.block_size))
    }
}

/// Bytes of the file, with zeros where they cannot be read. `None` where nothing can.
fn or_zeros(file: &dyn ReadAt, place: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.read_at(&mut bytes, place, &mut Faults::new()).ok()?;
    Some(bytes)
}
