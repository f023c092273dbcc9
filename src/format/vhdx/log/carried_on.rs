//! Entries that carry the active sequence on to a newer one that is whole, though one of them does not hold.
//!
//! Where each of them was written as a whole, the sequence was longer until an entry was damaged, and what that one says of a page
//! matters no more where a later one that holds writes that page, too. But where the storage wrote them in another order than it was
//! told, none of them may ever have counted. That is out of question where one wrong bit is all that is wrong.

use std::ops::{ControlFlow, Range};

use super::damaged_newest::{MAX_COMPARED, doubt_page};
use super::entry::{Descriptor, PAGE_STEP};
use super::forbidden_place::ForbiddenPlace;
use super::sequence::{Candidate, Candidates, Log, MAX_MENDED};
use super::written_entry::WrittenEntry;
use crate::error::Result;
use crate::image::OverlayBuilder;
use crate::ranges::{length, united};
use crate::report::{Code, Finding, Severity};

/// More descriptors are not held in memory. A log of Windows has 1 MiB, which is 255 pages.
const MAX_TOLD: usize = 1 << 16;

/// See the module.
pub(super) struct CarriedOn {
    /// Offsets in the log, from the oldest on: behind the sequence's head, up to the newest that is whole.
    pub(super) offsets: Vec<u32>,
    /// Offset of the first that does not hold, and how many of them do not.
    first: u32,
    damaged: usize,
    /// Bytes of the file of which only such ones tell.
    doubtful: Vec<Range<u64>>,
    /// What all of them change.
    places: Vec<Range<u64>>,
    /// One wrong bit each is all that is wrong with them.
    is_sure: bool,
}

/// One of them.
struct Entry {
    places: Vec<Range<u64>>,
    /// What of the file it may say otherwise than it did.
    spoilt: Vec<Range<u64>>,
    is_whole: bool,
    is_one_bit: bool,
}

impl CarriedOn {
    /// Follows `sequence` on. `None` where an entry is not there, was torn, or does not tell what it changes.
    ///
    /// # Errors
    /// When the file cannot be read at all.
    pub(super) fn look(log: &Log<'_>, candidates: &Candidates, sequence: &[u32]) -> Result<Option<Self>> {
        let at_offset = |offset: &u32| candidates.by_offset.get(offset);
        let Some((head, candidate)) = sequence.last().and_then(|offset| Some((*offset, at_offset(offset)?))) else {
            return Ok(None);
        };
        if candidates.may_lack_some() || candidates.foreign > 0 {
            return Ok(None);
        }
        let whole = candidates.by_offset.values().filter(|entry| entry.is_known_whole());
        let newest = whole.map(|entry| entry.header.sequence_number).max().unwrap_or(0);
        let mut number = candidate.header.sequence_number;
        let mut at = log.advance(head, candidate.header.entry_length);
        let (mut room, mut told, mut damaged) = (log.length, MAX_TOLD, 0usize);
        let (mut offsets, mut entries, mut first) = (Vec::new(), Vec::new(), None);
        while number < newest {
            number = number.saturating_add(1);
            let next = at_offset(&at).filter(|next| next.header.sequence_number == number);
            let Some(next) = next else { return Ok(None) };
            let Some(entry) = Entry::look(log, at, next, told)? else { return Ok(None) };
            damaged = damaged.saturating_add(usize::from(!entry.is_whole));
            let (Some(left), true) = (room.checked_sub(next.header.entry_length), damaged <= MAX_MENDED) else {
                return Ok(None);
            };
            if !entry.is_whole {
                first.get_or_insert(at);
            }
            (room, told) = (left, told.saturating_sub(entry.places.len()));
            offsets.push(at);
            entries.push(entry);
            at = log.advance(at, next.header.entry_length);
        }
        let places = united(entries.iter().flat_map(|entry| entry.places.iter().cloned()).collect());
        let fits = places.iter().fold(0u64, |sum, place| sum.saturating_add(length(place))) <= MAX_COMPARED;
        let is_sure = entries.iter().all(|entry| entry.is_whole || entry.is_one_bit);
        let all = |first| CarriedOn { offsets, first, damaged, doubtful: doubtful(&entries), places, is_sure };
        Ok(first.filter(|_| fits).map(all))
    }

    /// Marks what only damaged ones tell of, and where it matters whether they ever counted: what `without` and `with` them is not the
    /// same. Returns whether anything is marked.
    ///
    /// # Errors
    /// When the file cannot be read at all.
    pub(super) fn doubt(
        &self,
        log: &Log<'_>,
        (without, with): (OverlayBuilder, OverlayBuilder),
        patches: &mut OverlayBuilder,
    ) -> Result<bool> {
        self.doubtful.iter().for_each(|range| patches.doubtful(range.clone()));
        let over = |patches: OverlayBuilder| patches.over(log.file, Code::LogEntriesCutOff);
        let (without, with) = (over(without), over(with));
        let mut any = !self.doubtful.is_empty();
        let unsure = self.places.iter().filter(|_| !self.is_sure);
        for page in unsure.flat_map(|place| (place.start..place.end).step_by(PAGE_STEP)) {
            any |= doubt_page(&without, &with, page, patches)?;
        }
        Ok(any)
    }

    /// `doubted` says that something is doubtful for them.
    pub(super) fn finding(&self, log: &Log<'_>, doubted: bool) -> Finding {
        let text = format!(
            "log entries were written as a whole and do not hold any more: {}; whole ones that are newer go on from them, so all of them are replayed",
            self.damaged
        );
        let finding = match doubted {
            false => {
                let text = format!("{text}; what the damaged ones say of a page, a newer one says, too");
                Finding::new(Code::LogEntriesCutOff, Severity::Warning, text)
            }
            true => {
                let text = format!(
                    "{text}; what only damaged ones tell of is doubtful, and what would be otherwise if the storage had not had them all when the machine stopped"
                );
                Finding::new(Code::LogEntriesCutOff, Severity::Error, text)
                    .advise("look for another copy of this image; --accept-doubtful serves what is doubtful")
            }
        };
        finding.at("log entry", log.file_offset(self.first))
    }
}

/// What only entries tell of that do not hold.
fn doubtful(entries: &[Entry]) -> Vec<Range<u64>> {
    let of_one = |(number, entry): (usize, &Entry)| {
        let later = entries.iter().skip(number).filter(|later| later.is_whole);
        let covered = united(later.flat_map(|later| later.places.iter().cloned()).collect());
        let is_covered = |range: &Range<u64>| {
            let before = covered.partition_point(|place| place.start <= range.start).checked_sub(1);
            before.and_then(|before| covered.get(before)).is_some_and(|place| range.end <= place.end)
        };
        entry.spoilt.iter().filter(|range| !is_covered(range)).cloned().collect::<Vec<_>>()
    };
    united(entries.iter().enumerate().filter(|(_, entry)| !entry.is_whole).flat_map(of_one).collect())
}

impl Entry {
    /// `None` where it was not written as a whole, or does not tell what it changes; more than `room` places are not taken.
    fn look(log: &Log<'_>, offset: u32, candidate: &Candidate, room: usize) -> Result<Option<Self>> {
        let header = &candidate.header;
        let (mut places, mut pages) = (Vec::new(), Vec::new());
        let all = log.each_descriptor(offset, header, &mut |descriptor| {
            let Some(descriptor) = descriptor.filter(|_| places.len() < room) else { return ControlFlow::Break(()) };
            let place = descriptor.file_range();
            if matches!(descriptor, Descriptor::Data { .. }) {
                pages.push(place.clone());
            }
            places.push(place);
            ControlFlow::Continue(())
        })?;
        if !all {
            return Ok(None);
        }
        let is_whole = candidate.is_known_whole();
        if is_whole {
            return Ok(Some(Entry { places, spoilt: Vec::new(), is_whole, is_one_bit: false }));
        }
        let Some(written) = WrittenEntry::look(log, offset, header, header.sequence_number)? else { return Ok(None) };
        // Else a descriptor, or the header, is what is wrong.
        let is_told = written.length == header.entry_length && written.places().eq(places.iter().cloned());
        let is_allowed = places.iter().all(|place| ForbiddenPlace::of(place, log, header).is_none());
        let is_one_bit = written.spoilt.is_some();
        let spoilt = written.spoilt.map_or(pages, |spoilt| vec![spoilt]);
        Ok((is_told && is_allowed).then_some(Entry { places, spoilt, is_whole, is_one_bit }))
    }
}
