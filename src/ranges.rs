//! Half-open ranges of bytes. One that ends before it begins is empty.

use std::ops::Range;

/// How many bytes a range has.
pub(crate) fn length(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// Whether two ranges that are not empty share a byte.
pub(crate) fn meet(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}

/// The same bytes as ranges in order that are not empty and neither overlap nor touch.
pub(crate) fn united(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| range.start);
    ranges.dedup_by(|next, before| {
        let joins = next.start <= before.end;
        if joins {
            before.end = before.end.max(next.end);
        }
        joins
    });
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_measured_and_united() {
        assert_eq!(united(vec![40..50, 10..20, 30..30, 20..25, 12..13, 60..70]), [10..25, 40..50, 60..70]);
        assert_eq!((length(&(3..10)), length(&Range { start: 10, end: 3 })), (7, 0));
        assert!(meet(&(0..10), &(9..12)) && meet(&(9..12), &(0..10)) && meet(&(0..10), &(2..3)));
        assert!(!meet(&(0..10), &(10..12)) && !meet(&(10..12), &(0..10)));
    }
}
