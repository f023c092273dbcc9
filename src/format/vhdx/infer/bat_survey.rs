//! What stands in a BAT, before it is known how its entries are arranged.

use std::ops::Range;

use crate::Faults;
use crate::format::vhdx::bat::{BatEntry, ENTRY_LENGTH};
use crate::image::ReadAt;

/// Entries that are looked at one by one: 2 MiB of the BAT.
const MAX_ENTRIES: u64 = 1 << 18;

/// Bytes of the BAT that are read at once.
const PIECE: u64 = 1 << 20;

/// The first entries of a BAT, and where the last one stands.
pub(super) struct BatSurvey {
    /// Entries that are not zero, by their number: of the first ones only.
    pub(super) entries: Vec<(u64, BatEntry)>,
    /// Entries from this number on were not looked at.
    pub(super) seen: u64,
    /// Entries that the BAT region has room for.
    pub(super) room: u64,
    /// All of the BAT can be read, and is zero.
    pub(super) empty: bool,
}

impl BatSurvey {
    /// Looks at the BAT region `bat`.
    pub(super) fn of(file: &dyn ReadAt, bat: &Range<u64>, max_room: u64) -> Self {
        let length = bat.end.saturating_sub(bat.start);
        let room = length.checked_div(ENTRY_LENGTH).unwrap_or(0).min(max_room);
        let seen = room.min(MAX_ENTRIES);
        let mut entries = Vec::new();
        let mut unread = bat.end > file.size();
        let end = bat.start.saturating_add(seen.saturating_mul(ENTRY_LENGTH)).min(file.size());
        let mut at = bat.start;
        while at < end {
            let piece = at..end.min(at.saturating_add(PIECE));
            let first = at.saturating_sub(bat.start).checked_div(ENTRY_LENGTH).unwrap_or(0);
            let (raw, all) = read_telling(file, &piece);
            unread |= !all;
            let numbered =
                (first..).zip(raw.as_chunks::<8>().0).map(|(number, raw)| (number, u64::from_le_bytes(*raw)));
            entries.extend(numbered.filter(|(_, raw)| *raw != 0).map(|(number, raw)| (number, BatEntry(raw))));
            at = piece.end;
        }
        let mut survey = BatSurvey { entries, seen, room, empty: false };
        survey.empty = !unread && survey.entries.is_empty() && survey.last(file, bat, |_| true).is_none();
        survey
    }

    /// The number of the last entry that is not zero and that `counts`. Entries that were not looked at yet are looked for
    /// from the end of the region.
    pub(super) fn last(&self, file: &dyn ReadAt, bat: &Range<u64>, counts: impl Fn(u64) -> bool) -> Option<u64> {
        let offset = |number: u64| bat.start.saturating_add(number.saturating_mul(ENTRY_LENGTH));
        let mut end = offset(self.room).min(file.size());
        while end > offset(self.seen) {
            let start = end.saturating_sub(PIECE).max(offset(self.seen));
            let (raw, _) = read_telling(file, &(start..end));
            let first = start.saturating_sub(bat.start).checked_div(ENTRY_LENGTH).unwrap_or(0);
            let numbered =
                (first..).zip(raw.as_chunks::<8>().0).filter(|(number, raw)| **raw != [0; 8] && counts(*number));
            if let Some((number, _)) = numbered.last() {
                return Some(number);
            }
            end = start;
        }
        self.entries.iter().rev().map(|(number, _)| *number).find(|number| counts(*number))
    }
}

/// These bytes of the file, with zeros where they cannot be read, and whether all of them can.
fn read_telling(file: &dyn ReadAt, range: &Range<u64>) -> (Vec<u8>, bool) {
    let mut buf = vec![0; usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(0)];
    let mut faults = Faults::new();
    let read = file.read_at(&mut buf, range.start, &mut faults);
    if read.is_err() {
        buf.fill(0);
    }
    (buf, read.is_ok() && !faults.any_lost())
}
