//! Ranges of the disk with what is wrong there: joined, in order, bounded.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::ranges::length;

/// So many ranges of one kind are kept. What lies in further ones is counted, and that there are more is told.
pub const MAX_RANGES: usize = 100_000;

/// A range of the disk, and why it is lost or doubtful.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskRange {
    /// The link that it comes from, where one is known.
    pub link: Option<u32>,
    /// Bytes of the disk.
    pub disk: Range<u64>,
    /// The kebab-case code of the finding that explains it.
    pub code: &'static str,
}

/// Ranges that do not overlap, taken in any order. Neighbours of one link and code are one range.
#[derive(Debug, Default)]
pub struct Ranges {
    by_start: BTreeMap<(u32, u64), DiskRange>,
    bytes: u64,
    left_out: u64,
}

impl Ranges {
    /// Adds a range that overlaps none. Ranges of other lanes may: the merged disk is one lane, each hidden link another.
    pub(super) fn add(&mut self, lane: u32, mut range: DiskRange) {
        if range.disk.is_empty() {
            return;
        }
        self.bytes = self.bytes.saturating_add(length(&range.disk));
        let alike = |other: &DiskRange| (other.link, other.code) == (range.link, range.code);
        let behind =
            self.by_start.get(&(lane, range.disk.end)).filter(|other| alike(other)).map(|other| other.disk.end);
        let before = self.by_start.range(..(lane, range.disk.start)).next_back();
        let before = before.filter(|(key, other)| key.0 == lane && other.disk.end == range.disk.start && alike(other));
        let before = before.map(|(key, other)| (*key, other.disk.start));
        if let Some(end) = behind {
            self.by_start.remove(&(lane, range.disk.end));
            range.disk.end = end;
        }
        if let Some((key, start)) = before {
            self.by_start.remove(&key);
            range.disk.start = start;
        }
        if self.by_start.len() >= MAX_RANGES {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        self.by_start.insert((lane, range.disk.start), range);
    }

    /// The ranges, in order of link (for hidden ones) and disk.
    pub fn iter(&self) -> impl Iterator<Item = &DiskRange> {
        self.by_start.values()
    }

    /// How many ranges are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_start.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_start.is_empty()
    }

    /// How many bytes all ranges hold, those that were left out too.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether no range was left out.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.left_out == 0
    }

    /// Whether any range of the merged disk touches these bytes.
    pub(super) fn touches(&self, disk: &Range<u64>) -> bool {
        self.overlaps(disk).next().is_some()
    }

    /// The parts of these bytes of the merged disk that lie in ranges, in order.
    pub(super) fn overlaps(&self, disk: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<'_> {
        let (start, end) = (disk.start, disk.end);
        let before = self.by_start.range(..(0, start)).next_back().into_iter();
        let from = self.by_start.range((0, start)..(0, end.max(start)));
        let cut = move |(_, range): (&(u32, u64), &DiskRange)| range.disk.start.max(start)..range.disk.end.min(end);
        before.chain(from).map(cut).filter(|part| !part.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(disk: Range<u64>, code: &'static str) -> DiskRange {
        DiskRange { link: Some(0), disk, code }
    }

    #[test]
    fn neighbours_are_joined_in_whatever_order_they_come() {
        let mut ranges = Ranges::default();
        for (disk, code) in [(20..30, "a"), (0..10, "a"), (40..50, "a"), (10..20, "a"), (30..40, "b")] {
            ranges.add(0, range(disk, code));
        }
        ranges.add(1, range(50..60, "a"));
        let all: Vec<_> = ranges.iter().map(|one| (one.disk.clone(), one.code)).collect();
        assert_eq!(all, [(0..30, "a"), (30..40, "b"), (40..50, "a"), (50..60, "a")]);
        assert_eq!(ranges.bytes(), 60);
        assert_eq!(ranges.overlaps(&(5..45)).collect::<Vec<_>>(), [5..30, 30..40, 40..45]);
        assert!(!ranges.touches(&(50..100)) && ranges.touches(&(49..100)));
    }

    #[test]
    fn too_many_are_counted_and_told() {
        let mut ranges = Ranges::default();
        for at in 0..MAX_RANGES as u64 + 10 {
            ranges.add(0, range(at * 2..at * 2 + 1, "a"));
        }
        assert_eq!((ranges.len(), ranges.bytes()), (MAX_RANGES, MAX_RANGES as u64 + 10));
        assert!(!ranges.is_whole());
    }
}
