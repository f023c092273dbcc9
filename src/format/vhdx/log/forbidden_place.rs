//! Where no log may write: [MS-VHDX] 2.3 has it for the tables of the file alone.

use std::ops::Range;

use super::entry::EntryHeader;
use super::sequence::Log;
use crate::report::{Code, Finding, Severity};

/// Byte offset of region table 1. What stands before it, the file type identifier and the headers, no log may write.
const LOG_MAY_WRITE_FROM: u64 = 192 << 10;

/// A place that a log entry writes and should not. What it writes is replayed all the same, as any reader would do it, but for
/// the headers, which are read before the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ForbiddenPlace {
    Headers,
    Log,
    /// So long was the file, by the word of the entry and of the file itself.
    PastEnd(u64),
}

impl ForbiddenPlace {
    /// Which of them bytes of the file that an entry writes touch.
    pub(super) fn of(written: &Range<u64>, log: &Log<'_>, entry: &EntryHeader) -> Option<Trespass> {
        let log_place = log.offset..log.offset.saturating_add(u64::from(log.length));
        let end = log.file.size().max(entry.last_file_offset).max(entry.flushed_file_offset);
        let (place, whole) = if written.is_empty() {
            return None;
        } else if written.start < LOG_MAY_WRITE_FROM {
            (ForbiddenPlace::Headers, 0..LOG_MAY_WRITE_FROM)
        } else if written.start < log_place.end && log_place.start < written.end {
            (ForbiddenPlace::Log, log_place)
        } else if written.end > end {
            (ForbiddenPlace::PastEnd(end), end..u64::MAX)
        } else {
            return None;
        };
        Some(Trespass { spills: written.start < whole.start || written.end > whole.end, place })
    }
}

/// What an entry writes into a forbidden place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trespass {
    place: ForbiddenPlace,
    /// One and the same descriptor writes outside of that place too. No writer makes such a one, so what it changes there is in
    /// doubt.
    pub(super) spills: bool,
}

impl Trespass {
    /// Of two the one that is worse.
    pub(super) fn worse(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        if one.is_some_and(|one| one.spills) {
            one
        } else {
            other.filter(|other| other.spills || one.is_none()).or(one)
        }
    }

    /// Tells it of the entry at byte `entry_at` of the file.
    pub(super) fn finding(self, entry_at: u64) -> Finding {
        let (text, expected, found) = match self.place {
            ForbiddenPlace::Headers => (
                "a log entry changes the file type identifier or a header, which no log may; the headers are used as they lie",
                format!("places from byte {LOG_MAY_WRITE_FROM} on"),
                "a place before it",
            ),
            ForbiddenPlace::Log => (
                "a log entry changes the log itself, which no log may; what it changes elsewhere is replayed",
                "places outside of the log".to_owned(),
                "a place in it",
            ),
            ForbiddenPlace::PastEnd(end) => (
                "a log entry writes past the end of the file that it tells of itself; it is replayed as it stands",
                format!("places before byte {end}"),
                "a place behind it",
            ),
        };
        let finding = match self.spills {
            true => Finding::new(
                Code::LogWritesForbiddenPlace,
                Severity::Error,
                format!("{text}; what the same descriptor writes besides is doubtful"),
            )
            .advise("--no-log-replay shows the file as it lies; look for a copy of it"),
            false => Finding::new(Code::LogWritesForbiddenPlace, Severity::Warning, text),
        };
        finding.at("log entry", entry_at).versus(expected, found)
    }
}
