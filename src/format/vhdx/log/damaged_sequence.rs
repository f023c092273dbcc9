//! A log without a complete sequence, whose entries all reached the storage as a whole.
//!
//! No power cut made it so: the sequence was complete, until one of its entries was damaged. But where the storage wrote them in
//! another order than it was told, none may ever have counted. So the file may be as it lies, or as these entries say; what is the
//! same in both is not in doubt.

use std::collections::BTreeSet;
use std::ops::Range;

use super::damaged_newest::{MAX_COMPARED, doubt_page};
use super::entry::{EntryHeader, PAGE_STEP};
use super::forbidden_place::ForbiddenPlace;
use super::sequence::{Candidate, Candidates, Log, MAX_MENDED};
use super::written_entry::WrittenEntry;
use crate::error::Result;
use crate::image::{OverlayBuilder, ReadAt};
use crate::ranges::{length, meet};
use crate::report::Code;

/// A power cut leaves one, two where it had begun another. Each that is looked at is read as a whole.
const MAX_TORN: usize = 4;

/// See the module.
pub(super) struct DamagedSequence {
    /// From the oldest on, as far back as they are there.
    entries: Vec<WrittenEntry>,
    /// How many of them counted in any case, if one did: up to the newest that is whole.
    counted: usize,
    /// SequenceNumbers, as they lie, of newer ones that are torn, or were damaged so that they look torn.
    torn: BTreeSet<u64>,
}

impl DamagedSequence {
    /// Follows the entries back from the newest one. `None` where not all that a replay of it needs is there and legible.
    ///
    /// # Errors
    /// When the file cannot be read at all.
    pub(super) fn look(log: &Log<'_>, candidates: &Candidates) -> Result<Option<Self>> {
        if candidates.may_lack_some() || candidates.foreign > 0 {
            return Ok(None);
        }
        let by_number = from_the_newest_on(log, candidates)?;
        let (mut entries, mut tail, mut whole_from_end) = (Vec::<WrittenEntry>::new(), None, None);
        // Where the entry before must end, and its number.
        let mut next: Option<(u32, u64)> = None;
        let (mut room, mut reached, mut torn) = (log.length, false, BTreeSet::new());
        for Told { offset, told, header, is_whole } in by_number {
            let number = header.sequence_number;
            let entry = WrittenEntry::look(log, offset, &header, number)?;
            let follows = |entry: &WrittenEntry| {
                next.is_none_or(|(start, number_of_next)| {
                    log.advance(offset, entry.length) == start && number.checked_add(1) == Some(number_of_next)
                })
            };
            let is_allowed = |entry: &WrittenEntry| {
                entry.is_legible() && entry.places().all(|place| ForbiddenPlace::of(&place, log, &header).is_none())
            };
            let Some(entry) = entry.filter(|entry| follows(entry) && is_allowed(entry)) else {
                // The newest one may be torn; before it none may.
                if entries.is_empty() && torn.len() < MAX_TORN {
                    torn.insert(told);
                    continue;
                }
                break;
            };
            let Some(rest) = room.checked_sub(entry.length) else { break };
            (room, next) = (rest, Some((offset, number)));
            reached |= offset == *tail.get_or_insert(header.tail);
            if is_whole {
                whole_from_end.get_or_insert(entries.len());
            }
            entries.push(entry);
        }
        let counted = whole_from_end.map_or(1, |from_end| entries.len().saturating_sub(from_end));
        entries.reverse();
        Ok(reached.then_some(DamagedSequence { entries, counted, torn }))
    }

    /// Whether an entry is newer than these, and torn: without them it is not known whether it was the only one.
    pub(super) fn is_followed_by(&self, candidate: &Candidate) -> bool {
        self.torn.contains(&candidate.header.sequence_number)
    }

    /// The places of the file that they change.
    pub(super) fn places(&self) -> Vec<Range<u64>> {
        self.entries.iter().flat_map(WrittenEntry::places).collect()
    }

    /// Marks as doubtful what they say otherwise than the file, and tells whether anything is. `None` where that is too much to be
    /// compared, and nothing is marked.
    ///
    /// # Errors
    /// When the file cannot be read at all.
    pub(super) fn doubt(&self, log: &Log<'_>, patches: &mut OverlayBuilder) -> Result<Option<bool>> {
        let places = self.places();
        if places.iter().fold(0u64, |sum, place| sum.saturating_add(length(place))) > MAX_COMPARED {
            return Ok(None);
        }
        let mut theirs = OverlayBuilder::default();
        let (sure, others) = self.entries.split_at_checked(self.counted).unwrap_or((&self.entries, &[]));
        sure.iter().for_each(|entry| entry.apply(log, &mut theirs));
        let mut any = compare(log, &theirs, sure.iter().flat_map(WrittenEntry::places), patches)?;
        for (number, entry) in self.entries.iter().enumerate() {
            let is_covered = |spoilt: &Range<u64>| {
                let later = sure.iter().skip(number.saturating_add(1));
                later.flat_map(WrittenEntry::places).any(|place| meet(&place, spoilt))
            };
            if let Some(spoilt) = entry.spoilt.clone().filter(|spoilt| !is_covered(spoilt)) {
                patches.doubtful(spoilt);
                any = true;
            }
        }
        // Each of the others may have been the last one.
        for entry in others {
            entry.apply(log, &mut theirs);
            any |= compare(log, &theirs, entry.places(), patches)?;
        }
        Ok(Some(any))
    }
}

/// An entry by its header, as that was before one of its bits was flipped.
struct Told {
    /// In the log.
    offset: u32,
    /// Its SequenceNumber as that lies.
    told: u64,
    header: EntryHeader,
    is_whole: bool,
}

/// All entries that look like one. More than a few that do not hold are no matter of single bits.
fn from_the_newest_on(log: &Log<'_>, candidates: &Candidates) -> Result<Vec<Told>> {
    let mut all = Vec::new();
    let mut left = MAX_MENDED;
    for (&offset, candidate) in &candidates.by_offset {
        let is_whole = candidate.is_known_whole();
        let mended = match (is_whole, left.checked_sub(1)) {
            (false, Some(rest)) => {
                left = rest;
                log.mended_header(offset)?
            }
            _ => None,
        };
        let told = candidate.header.sequence_number;
        all.push(Told { offset, told, header: mended.unwrap_or_else(|| candidate.header.clone()), is_whole });
    }
    all.sort_by_key(|told| std::cmp::Reverse(told.header.sequence_number));
    Ok(all)
}

/// Marks where the file is otherwise than `theirs` has it, in these places. Returns whether it is anywhere.
fn compare(
    log: &Log<'_>,
    theirs: &OverlayBuilder,
    places: impl Iterator<Item = Range<u64>>,
    patches: &mut OverlayBuilder,
) -> Result<bool> {
    let file: &dyn ReadAt = log.file;
    let theirs = theirs.clone().over(file, Code::LogTorn);
    let mut any = false;
    for page in places.flat_map(|place| (place.start..place.end).step_by(PAGE_STEP)) {
        any |= doubt_page(&file, &theirs, page, patches)?;
    }
    Ok(any)
}
