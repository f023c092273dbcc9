//! Whole entries that are newer than the active sequence: one before them does not hold.
//!
//! The format leaves them out. After a power cut that is right, where the storage wrote them in another order. But as often an
//! entry that was whole is damaged, and then the sequence that holds is too old.

use super::entry::SECTOR;
use super::replay::doubt_pages;
use super::sequence::{Candidate, Candidates, Log};
use crate::error::Result;
use crate::image::OverlayBuilder;
use crate::report::{Code, Finding, Severity};

/// So many entries in a row may be gone altogether, headers and all, for what stands behind them still to belong to them.
const MAX_GONE: u64 = 2;

/// See the module.
pub(super) struct CutOff {
    /// Offset in the log of the first one.
    first: u32,
    count: usize,
    /// The SequenceNumber of the active sequence's head.
    head: u64,
    /// They go on where the active sequence ends, so that it is a part of theirs. Else it was done with before they were
    /// written, and replaying it would bring back what is older than the file.
    pub(super) goes_on: bool,
    /// Entries between the head and the newest of them that are not there at all.
    any_gone: bool,
}

impl CutOff {
    /// Looks for whole entries that are newer than the head of `sequence`.
    pub(super) fn look(log: &Log<'_>, candidates: &Candidates, sequence: &[u32]) -> Option<Self> {
        let head_offset = *sequence.last()?;
        let head_entry = &candidates.by_offset.get(&head_offset)?.header;
        let (head, next) = (head_entry.sequence_number, log.advance(head_offset, head_entry.entry_length));
        let newer = || candidates.by_offset.iter().filter(|(_, entry)| entry.header.sequence_number > head);
        // The entries that are there between the head and a newer one, one behind the other.
        let (mut at, mut number) = (next, head.saturating_add(1));
        let mut chained = Vec::new();
        while let Some(entry) = candidates.by_offset.get(&at).filter(|entry| entry.header.sequence_number == number) {
            chained.push(at);
            (at, number) = (log.advance(at, entry.header.entry_length), number.saturating_add(1));
            if chained.len() > candidates.by_offset.len() {
                return None;
            }
        }
        // Behind them entries may be gone, for which there must be room. Else it was never one of this sequence.
        let follows = |offset: u32, of: u64| {
            let gone = of.saturating_sub(number);
            let room = u64::from(log.distance(at, offset));
            chained.contains(&offset)
                || (1..=MAX_GONE).contains(&gone) && room >= gone.saturating_mul(u64::from(SECTOR))
        };
        let whole = || {
            newer().filter(|(offset, entry)| entry.is_known_whole() && follows(**offset, entry.header.sequence_number))
        };
        let (first, _) = whole().next()?;
        let newest = whole().map(|(_, entry)| entry.header.sequence_number).max()?;
        let there = newer().filter(|(_, entry)| entry.header.sequence_number <= newest).count();
        Some(CutOff {
            first: *first,
            count: whole().count(),
            head,
            goes_on: whole().all(|(_, entry)| sequence.contains(&entry.header.tail)),
            any_gone: u64::try_from(there).is_ok_and(|there| there < newest.saturating_sub(head)),
        })
    }

    /// Marks as doubtful what they and the entries before them were about to change; all, where one of those is gone.
    pub(super) fn doubt(&self, log: &Log<'_>, candidates: &Candidates, patches: &mut OverlayBuilder) -> Result<()> {
        if self.any_gone {
            patches.doubtful(0..u64::MAX);
            return Ok(());
        }
        let newer = |entry: &Candidate| entry.header.sequence_number > self.head;
        doubt_pages(log, candidates, &newer, patches).map(drop)
    }

    pub(super) fn finding(&self, log: &Log<'_>) -> Finding {
        let what = match (self.goes_on, self.any_gone) {
            (true, false) => {
                "what stands before them is replayed, and the pages that they were about to change are doubtful"
            }
            (true, true) => {
                "what stands before them is replayed, and all is doubtful, for what the missing one changes is not known"
            }
            (false, _) => "what would be complete is older than what they go on from, so nothing is replayed",
        };
        let text = format!(
            "log entries that are whole and newer than any complete sequence: {}; one before them does not hold; {what}",
            self.count
        );
        Finding::new(Code::LogEntriesCutOff, Severity::Error, text)
            .at("log entry", log.file_offset(self.first))
            .advise("look for another copy of this image; --accept-doubtful serves what is doubtful")
    }
}
