//! The newest entries of a log, where they were written as a whole and do not hold.
//!
//! The format leaves them out, as it does with one that the power cut off. But no power cut made these: what they change did
//! happen, and is doubtful where the file without them tells otherwise.

use std::ops::Range;

use super::entry::SECTOR;
use super::sequence::{Candidates, Log};
use super::written_entry::WrittenEntry;
use crate::Faults;
use crate::error::Result;
use crate::image::{OverlayBuilder, ReadAt};
use crate::ranges::length;
use crate::report::{Code, Finding, Severity};

/// Bytes of the file that are compared with what the entries say.
pub(super) const MAX_COMPARED: u64 = 64 << 20;

/// Descriptors that are held in memory. A log of Windows has 1 MiB, which is 255 pages.
const MAX_TOLD: usize = 1 << 18;

/// Bytes that are compared at once: an entry of the BAT.
const GRAIN: usize = 8;

/// A page with more stretches that differ than this is doubtful as a whole.
const MAX_DIFFERENCES: usize = 64;

/// See the module.
pub(super) struct DamagedNewest {
    /// Offset in the log of the first one.
    first: u32,
    entries: Vec<WrittenEntry>,
}

impl DamagedNewest {
    /// Looks behind the head of `sequence` for entries that carry it on.
    ///
    /// # Errors
    /// When the file cannot be read at all.
    pub(super) fn look(log: &Log<'_>, candidates: &Candidates, sequence: &[u32]) -> Result<Option<Self>> {
        let head = sequence.last().and_then(|offset| Some((*offset, &candidates.by_offset.get(offset)?.header)));
        let Some((offset, head)) = head else { return Ok(None) };
        let first = log.advance(offset, head.entry_length);
        let (mut at, mut number, mut entries) = (first, head.sequence_number, Vec::<WrittenEntry>::new());
        let (mut room, mut told) = (log.length, 0usize);
        while let Some(candidate) = candidates.by_offset.get(&at).filter(|candidate| !candidate.is_known_whole()) {
            number = number.saturating_add(1);
            let header = &candidate.header;
            let entry = match WrittenEntry::look(log, at, header, number)? {
                None => WrittenEntry::overwritten(log, at, header, number, candidates.foreign)?,
                written => written,
            };
            let Some(mut entry) = entry else { break };
            told = told.saturating_add(entry.descriptors.len());
            if told > MAX_TOLD {
                // So much no writer logs: it is not told what they change.
                entry.descriptors = vec![None];
                entries.push(entry);
                break;
            }
            let Some(rest) = room.checked_sub(entry.length) else { break };
            (room, at) = (rest, log.advance(at, entry.length));
            entries.push(entry);
        }
        Ok((!entries.is_empty()).then_some(DamagedNewest { first, entries }))
    }

    /// The places of the file that they change.
    pub(super) fn places(&self) -> Vec<Range<u64>> {
        self.entries.iter().flat_map(WrittenEntry::places).collect()
    }

    /// Marks as doubtful what they say otherwise than the file as `patches` leave it: all, where that cannot be told. Returns
    /// whether anything is. Where nothing is, the writer had done in the file what they say before the machine stopped.
    ///
    /// # Errors
    /// When the file cannot be read at all.
    pub(super) fn doubt(&self, log: &Log<'_>, patches: &mut OverlayBuilder) -> Result<bool> {
        if !self.is_legible() {
            patches.doubtful(0..u64::MAX);
            return Ok(true);
        }
        let mut theirs = patches.clone();
        self.apply(log, &mut theirs);
        let ours = patches.clone().over(log.file, Code::LogNewestDamaged);
        let theirs = theirs.over(log.file, Code::LogNewestDamaged);
        let mut any = false;
        for spoilt in self.entries.iter().filter_map(|entry| entry.spoilt.clone()) {
            patches.doubtful(spoilt);
            any = true;
        }
        for place in self.places() {
            for page in (place.start..place.end).step_by(usize::try_from(SECTOR).unwrap_or(usize::MAX)) {
                any |= doubt_page(&ours, &theirs, page, patches)?;
            }
        }
        Ok(any)
    }

    /// Whether all that they change is known by its place, and is no more than can be compared.
    pub(super) fn is_legible(&self) -> bool {
        let length = self.places().iter().fold(0u64, |sum, place| sum.saturating_add(length(place)));
        self.entries.iter().all(WrittenEntry::is_legible) && length <= MAX_COMPARED
    }

    /// Adds what they say.
    pub(super) fn apply(&self, log: &Log<'_>, patches: &mut OverlayBuilder) {
        self.entries.iter().for_each(|entry| entry.apply(log, patches));
    }

    /// Tells of them. `doubted` says that what they were about to change is doubtful.
    pub(super) fn finding(&self, log: &Log<'_>, doubted: bool) -> Finding {
        let text = format!(
            "the newest entries of the log were written as a whole and do not hold: {}; no power cut did that",
            self.entries.len()
        );
        let finding = match doubted {
            false => {
                let text = format!("{text}; what they say stands in the file already");
                Finding::new(Code::LogNewestDamaged, Severity::Warning, text)
            }
            true => {
                let text = format!(
                    "{text}, so what is replayed lacks the last updates, and what they were about to change (places: {}) is doubtful",
                    self.places().len()
                );
                Finding::new(Code::LogNewestDamaged, Severity::Error, text)
                    .advise("look for another copy of this image; --accept-doubtful serves what is doubtful as it was before these updates")
            }
        };
        finding.at("log entry", log.file_offset(self.first))
    }
}

/// Marks what differs in a page, in grains of 8 bytes. Returns whether anything does.
pub(super) fn doubt_page(
    ours: &dyn ReadAt,
    theirs: &dyn ReadAt,
    page: u64,
    patches: &mut OverlayBuilder,
) -> Result<bool> {
    let (mut a, mut b, mut faults) = ([0; 4096], [0; 4096], Faults::new());
    ours.read_at(&mut a, page, &mut faults)?;
    theirs.read_at(&mut b, page, &mut faults)?;
    let grains = a.as_chunks::<GRAIN>().0.iter().zip(b.as_chunks::<GRAIN>().0).zip((page..).step_by(GRAIN));
    let mut differing: Vec<Range<u64>> = Vec::new();
    for (_, start) in grains.filter(|((ours, theirs), _)| ours != theirs) {
        let end = start.saturating_add(8);
        match differing.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => differing.push(start..end),
        }
    }
    if !faults.is_empty() || differing.len() > MAX_DIFFERENCES {
        differing = vec![page..page.saturating_add(u64::from(SECTOR))];
    }
    let any = !differing.is_empty();
    differing.into_iter().for_each(|range| patches.doubtful(range));
    Ok(any)
}
