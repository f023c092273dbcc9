//! A set of clusters of the volume: a bit for each, in pieces, and no memory for pieces of which none or all are in it.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::bytes::u64_le;

/// Clusters of a piece: as many as a window of `$Bitmap` tells of.
pub(super) const CLUSTERS: u64 = 1 << 15;
const WORD: u64 = 64;
const WORDS: usize = 512;

/// The bits of a piece, 4 KiB of them.
type Words = [u64; WORDS];

enum Piece {
    All,
    Part(Box<Words>),
}

/// Some clusters of a volume.
#[derive(Default)]
pub(super) struct ClusterSet {
    pieces: BTreeMap<u64, Piece>,
    /// Pieces that take memory of their own.
    parts: usize,
}

impl ClusterSet {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Pieces of 4 KiB that it takes.
    pub(super) fn parts(&self) -> usize {
        self.parts
    }

    /// Adds clusters, and those that were in it before to `twice`.
    pub(super) fn add(&mut self, clusters: Range<u64>, twice: &mut ClusterSet) {
        for (number, within) in pieces(clusters) {
            let first = number.saturating_mul(CLUSTERS);
            match self.pieces.get_mut(&number) {
                Some(Piece::All) => {
                    twice.insert(first.saturating_add(within.start)..first.saturating_add(within.end));
                }
                Some(Piece::Part(words)) => {
                    for (word, mask) in masks(within) {
                        let Some(bits) = words.get_mut(word) else { break };
                        let met = *bits & mask;
                        *bits |= mask;
                        if met != 0 {
                            twice.insert_bits(number, word, met);
                        }
                    }
                }
                None => self.begin(number, within),
            }
        }
    }

    fn insert(&mut self, clusters: Range<u64>) {
        for (number, within) in pieces(clusters) {
            if !self.pieces.contains_key(&number) {
                self.begin(number, within);
                continue;
            }
            masks(within).for_each(|(word, mask)| self.insert_bits(number, word, mask));
        }
    }

    /// The first clusters of a piece.
    fn begin(&mut self, number: u64, within: Range<u64>) {
        if within == (0..CLUSTERS) {
            self.pieces.insert(number, Piece::All);
            return;
        }
        masks(within).for_each(|(word, mask)| self.insert_bits(number, word, mask));
    }

    fn insert_bits(&mut self, number: u64, word: usize, bits: u64) {
        let parts = &mut self.parts;
        let piece = self.pieces.entry(number).or_insert_with(|| {
            *parts = parts.saturating_add(1);
            Piece::Part(Box::new([0; WORDS]))
        });
        if let Piece::Part(words) = piece
            && let Some(held) = words.get_mut(word)
        {
            *held |= bits;
        }
    }

    /// Those that are not in `other`, of which this tells a piece as `$Bitmap` does: 4 KiB, the lowest bit first.
    pub(super) fn without(&self, other: impl Fn(u64) -> std::sync::Arc<Vec<u8>>) -> ClusterSet {
        let mut rest = ClusterSet::default();
        for (number, piece) in &self.pieces {
            let other = other(*number);
            for word in 0..WORDS {
                let held = match piece {
                    Piece::All => u64::MAX,
                    Piece::Part(words) => words.get(word).copied().unwrap_or(0),
                };
                let known = u64_le(&other, word.saturating_mul(8)).unwrap_or(u64::MAX);
                if held & !known != 0 {
                    rest.insert_bits(*number, word, held & !known);
                }
            }
        }
        rest
    }

    /// The clusters of a range that are in it, in order.
    pub(super) fn within(&self, clusters: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let (mut at, end) = (clusters.start, clusters.end);
        std::iter::from_fn(move || {
            let start = self.find(at, end, true);
            at = self.find(start, end, false);
            (start < at).then_some(start..at)
        })
    }

    /// Whether any cluster is in both.
    pub(super) fn meets(&self, other: &ClusterSet) -> bool {
        other.within(0..u64::MAX).any(|range| self.within(range).next().is_some())
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        let counts = self.pieces.values().map(|piece| match piece {
            Piece::All => CLUSTERS,
            Piece::Part(words) => words.iter().map(|word| u64::from(word.count_ones())).fold(0, u64::saturating_add),
        });
        counts.fold(0, u64::saturating_add)
    }

    /// The first cluster from `at` on that is in it, or, not `held`, that is not; else `end`.
    fn find(&self, mut at: u64, end: u64, held: bool) -> u64 {
        while at < end {
            let number = at / CLUSTERS;
            let behind = number.saturating_add(1);
            at = match self.pieces.get(&number) {
                None if !held => return at,
                None => match self.pieces.range(behind..).next() {
                    Some((next, _)) => next.saturating_mul(CLUSTERS),
                    None => end,
                },
                Some(Piece::All) if held => return at,
                Some(Piece::All) => behind.saturating_mul(CLUSTERS),
                Some(Piece::Part(words)) => {
                    let found = masks(at % CLUSTERS..CLUSTERS).find_map(|(word, mask)| {
                        let bits = words.get(word).copied().unwrap_or(0);
                        let wanted = if held { bits } else { !bits } & mask;
                        let word = u64::try_from(word).unwrap_or(u64::MAX).saturating_mul(WORD);
                        (wanted != 0).then(|| word.saturating_add(wanted.trailing_zeros().into()))
                    });
                    match found {
                        Some(within) => return number.saturating_mul(CLUSTERS).saturating_add(within).min(end),
                        None => behind.saturating_mul(CLUSTERS),
                    }
                }
            };
        }
        end
    }
}

/// The pieces that a range touches, and which of their clusters.
fn pieces(clusters: Range<u64>) -> impl Iterator<Item = (u64, Range<u64>)> {
    let mut at = clusters.start;
    std::iter::from_fn(move || {
        let (number, from) = (at / CLUSTERS, at % CLUSTERS);
        let count = clusters.end.checked_sub(at).filter(|count| *count > 0)?.min(CLUSTERS.saturating_sub(from));
        at = at.saturating_add(count);
        Some((number, from..from.saturating_add(count)))
    })
}

/// The words that a range of a piece touches, and which of their bits.
fn masks(within: Range<u64>) -> impl Iterator<Item = (usize, u64)> {
    (within.start / WORD..within.end.div_ceil(WORD)).map(move |word| {
        let bit = |at: u64| u32::try_from(at.saturating_sub(word.saturating_mul(WORD)).min(WORD)).unwrap_or(0);
        let below = |bit: u32| u64::MAX.checked_shr(64u32.saturating_sub(bit)).unwrap_or(0);
        (super::to_usize(word), below(bit(within.end)) & !below(bit(within.start)))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn all(set: &ClusterSet) -> Vec<Range<u64>> {
        set.within(0..u64::MAX).collect()
    }

    #[test]
    fn what_is_added_twice_is_told() {
        let (mut set, mut twice) = (ClusterSet::default(), ClusterSet::default());
        for range in [3..5, 64..128, CLUSTERS - 1..3 * CLUSTERS + 1, 5..6, 7..7] {
            set.add(range, &mut twice);
        }
        assert!(twice.is_empty());
        assert_eq!(all(&set), [3..6, 64..128, CLUSTERS - 1..3 * CLUSTERS + 1]);
        assert_eq!((set.count(), set.parts()), (3 + 64 + 2 * CLUSTERS + 2, 2));
        set.add(127..CLUSTERS, &mut twice);
        set.add(2 * CLUSTERS + 9..2 * CLUSTERS + 11, &mut twice);
        assert_eq!(all(&twice), [127..128, CLUSTERS - 1..CLUSTERS, 2 * CLUSTERS + 9..2 * CLUSTERS + 11]);
        set.add(0..4 * CLUSTERS, &mut twice);
        assert_eq!(all(&twice), [3..6, 64..3 * CLUSTERS + 1]);
        assert_eq!(all(&set), [0..4 * CLUSTERS]);
        assert_eq!(set.within(5..9).collect::<Vec<_>>(), [5..9]);
        assert!(set.meets(&twice));
        assert!(!set.meets(&ClusterSet::default()));
    }

    #[test]
    fn a_bitmap_of_zeros_leaves_all_and_one_that_ends_takes_the_rest() {
        let (mut set, mut twice) = (ClusterSet::default(), ClusterSet::default());
        set.add(60..70, &mut twice);
        set.add(CLUSTERS..2 * CLUSTERS, &mut twice);
        let free = |number: u64| Arc::new(if number == 0 { vec![0, 0, 0, 0, 0, 0, 0, 0x20, 1] } else { vec![0; 4096] });
        // The last word is cut short and counts as in use.
        assert_eq!(all(&set.without(free)), [60..61, 62..64, CLUSTERS..2 * CLUSTERS]);
        assert!(set.without(|_| Arc::default()).is_empty());
    }
}
