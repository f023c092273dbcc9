//! What a finding says of blocks that have one thing in common: how many they are, and which the first of them.

use std::ops::Range;

/// Ranges that are named one by one.
pub(super) const NAMED: usize = 4;

/// Blocks of a disk, taken in their order.
#[derive(Debug, Default)]
pub(super) struct ToldBlocks {
    pub(super) count: u64,
    /// Byte offset in the file of the structure that tells of the first one.
    pub(super) first: u64,
    /// The first ranges of the disk, in bytes; those that touch are one. One more than is named says that there are more.
    disk: Vec<Range<u64>>,
}

impl ToldBlocks {
    /// Adds a block that holds these bytes of the disk. What tells of it stands at byte `at` of the file.
    pub(super) fn add(&mut self, at: u64, disk: Range<u64>) {
        if disk.is_empty() {
            return;
        }
        if self.count == 0 {
            self.first = at;
        }
        self.count = self.count.saturating_add(1);
        if let Some(last) = self.disk.last_mut().filter(|last| last.end == disk.start) {
            last.end = disk.end;
        } else if self.disk.len() <= NAMED {
            self.disk.push(disk);
        }
    }

    /// The first of their ranges, in words.
    pub(super) fn named(&self) -> String {
        named(&self.disk)
    }
}

/// The first of some ranges, in words.
pub(super) fn named(ranges: &[Range<u64>]) -> String {
    let first: Vec<String> = ranges.iter().take(NAMED).map(|range| format!("{}..{}", range.start, range.end)).collect();
    let more = if ranges.len() > NAMED { " and more" } else { "" };
    format!("{}{more}", first.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ranges_are_named_and_the_rest_counted() {
        let mut blocks = ToldBlocks::default();
        blocks.add(7, 0..10);
        blocks.add(8, 10..20);
        blocks.add(9, 20..20);
        assert_eq!((blocks.count, blocks.first, blocks.named().as_str()), (2, 7, "0..20"));
        (3..9).for_each(|block| blocks.add(0, block * 10..block * 10 + 5));
        assert_eq!((blocks.count, blocks.named().as_str()), (8, "0..20, 30..35, 40..45, 50..55 and more"));
    }
}
