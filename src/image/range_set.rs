use std::collections::BTreeMap;
use std::ops::Range;

use crate::bytes::len_u64;

/// Bytes as a set of ranges that neither overlap nor touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RangeSet {
    /// End by start.
    ranges: BTreeMap<u64, u64>,
}

impl RangeSet {
    /// Adds a range; what it touches becomes one with it.
    pub(super) fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let Range { mut start, mut end } = range;
        while let Some((&known, &known_end)) = self.ranges.range(..=end).next_back()
            && known_end >= start
        {
            self.ranges.remove(&known);
            (start, end) = (start.min(known), end.max(known_end));
        }
        self.ranges.insert(start, end);
    }

    /// Whether `range` could be added without another separate range.
    pub(super) fn touches(&self, range: &Range<u64>) -> bool {
        self.ranges.range(..=range.end).next_back().is_some_and(|(_, end)| *end >= range.start)
    }

    /// The parts of the set that lie in `range`, in order.
    pub(super) fn within(&self, range: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let Range { start, end } = *range;
        let first = self.ranges.range(..=start).next_back().map_or(start, |(first, _)| *first);
        let near = self.ranges.range(first.min(end)..end);
        near.map(move |(from, to)| (*from).max(start)..(*to).min(end)).filter(|part| !part.is_empty())
    }

    /// How many separate ranges there are.
    pub(super) fn len(&self) -> usize {
        self.ranges.len()
    }
}

/// Cuts `buf`, which begins at `offset`, where one of `marked` begins or ends; `each` is given every piece, where it
/// begins, and the mark that it bears. `marked` must be in order and not overlap.
pub(super) fn cut<T>(
    buf: &mut [u8],
    offset: u64,
    marked: impl IntoIterator<Item = (Range<u64>, T)>,
    mut each: impl FnMut(&mut [u8], u64, Option<T>),
) {
    let mut at = offset;
    let mut rest = buf;
    for (range, mark) in marked {
        let before = usize::try_from(range.start.saturating_sub(at)).unwrap_or(usize::MAX).min(rest.len());
        let (piece, behind) = rest.split_at_mut(before);
        if !piece.is_empty() {
            let length = len_u64(piece);
            each(piece, at, None);
            at = at.saturating_add(length);
        }
        let count = usize::try_from(range.end.saturating_sub(at)).unwrap_or(usize::MAX).min(behind.len());
        let (piece, behind) = behind.split_at_mut(count);
        if !piece.is_empty() {
            let length = len_u64(piece);
            each(piece, at, Some(mark));
            at = at.saturating_add(length);
        }
        rest = behind;
    }
    if !rest.is_empty() {
        each(rest, at, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ranges: impl IntoIterator<Item = Range<u64>>) -> RangeSet {
        let mut set = RangeSet::default();
        ranges.into_iter().for_each(|range| set.insert(range));
        set
    }

    #[test]
    fn what_touches_becomes_one() {
        let all = |set: &RangeSet| set.within(&(0..u64::MAX)).collect::<Vec<_>>();
        assert_eq!(all(&set([10..20, 30..40, 20..30])), [10..40]);
        assert_eq!(all(&set([10..20, 30..40, 5..6, 50..50])), [5..6, 10..20, 30..40]);
        assert_eq!(all(&set([10..20, 30..40, 15..35])), [10..40]);
        assert_eq!(all(&set([10..20, 0..100])), [0..100]);
        assert!(set([10..20]).touches(&(20..25)) && set([10..20]).touches(&(5..10)));
        assert!(!set([10..20]).touches(&(21..25)) && !set([10..20]).touches(&(5..9)));
    }

    #[test]
    fn parts_are_cut_at_both_ends() {
        let set = set([10..20, 30..40, 50..60]);
        let within = |range| set.within(&range).collect::<Vec<_>>();
        assert_eq!(within(15..35), [15..20, 30..35]);
        assert_eq!(within(20..30), []);
        assert_eq!(within(39..51), [39..40, 50..51]);
        assert_eq!(within(0..5), []);
        assert_eq!(within(12..12), []);
    }

    #[test]
    fn a_buffer_is_cut_into_pieces_that_tile_it() {
        let mut buf = [0u8; 30];
        let mut pieces = Vec::new();
        cut(&mut buf, 100, [(90..105, 'a'), (110..112, 'b'), (112..113, 'c'), (128..200, 'd')], |piece, at, mark| {
            pieces.push((at, piece.len(), mark));
        });
        let expected = [
            (100, 5, Some('a')),
            (105, 5, None),
            (110, 2, Some('b')),
            (112, 1, Some('c')),
            (113, 15, None),
            (128, 2, Some('d')),
        ];
        assert_eq!(pieces, expected);
    }
}
