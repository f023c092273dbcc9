//! Whole entries that are newer than the active sequence: one before them does not hold.
//!
//! The format leaves them out. After a power cut that is right, where the storage wrote them in another order. But as often an
//! entry that was whole is damaged, and then the sequence that holds is too old.

use std::collections::BTreeSet;

use super::replay::doubt_pages;
use super::sequence::{Candidate, Candidates, Log};
use crate::error::Result;
use crate::image::OverlayBuilder;
use crate::report::{Code, Finding, Severity};

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
    pub(super) fn look(candidates: &Candidates, sequence: &[u32]) -> Option<Self> {
        let head = candidates.by_offset.get(sequence.last()?)?.header.sequence_number;
        // Within a LogGuid numbers only grow, whatever the hole before an entry: one of an older round bears a lower number.
        let newer = || candidates.by_offset.iter().filter(|(_, entry)| entry.header.sequence_number > head);
        let whole = || newer().filter(|(_, entry)| entry.is_known_whole());
        let (first, _) = whole().next()?;
        let newest = whole().map(|(_, entry)| entry.header.sequence_number).max()?;
        let numbers = newer().map(|(_, entry)| entry.header.sequence_number).filter(|number| *number <= newest);
        let there = numbers.collect::<BTreeSet<u64>>().len();
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
                "what stands before them is replayed, and all is doubtful, for what missing ones change is not known"
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
