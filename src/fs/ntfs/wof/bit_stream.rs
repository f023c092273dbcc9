//! The bits of XPRESS Huffman and of LZX: words of 16 bits, little-endian, each read from its highest bit down. Whole bytes
//! may stand between the words.

use crate::bytes::{u16_le, u32_le};

/// Bits, and the bytes among them. Past the end of the input zeros are read; [`BitStream::overran`] tells.
pub(super) struct BitStream<'a> {
    input: &'a [u8],
    /// Where the next word is taken from; may lie past the end.
    at: usize,
    /// Bits taken and not yet used, from the highest one down; zeros below them.
    bits: u64,
    /// How many of them there are.
    count: u32,
    /// How many of them, the last ones, were not in the input.
    beyond: u32,
}

impl<'a> BitStream<'a> {
    /// The bits from byte `at` of `input` on.
    pub(super) fn new(input: &'a [u8], at: usize) -> Self {
        BitStream { input, at, bits: 0, count: 0, beyond: 0 }
    }

    /// Makes sure that 32 bits are at hand.
    #[inline]
    pub(super) fn refill(&mut self) {
        if self.count > 32 {
            return;
        }
        let words = match u32_le(self.input, self.at) {
            Some(words) => words.rotate_left(16),
            None => self.last_words(),
        };
        self.bits |= u64::from(words).wrapping_shl(32u32.wrapping_sub(self.count));
        self.count = self.count.wrapping_add(32);
        self.at = self.at.saturating_add(4);
    }

    /// Two words of which one at least is past the end.
    #[cold]
    fn last_words(&mut self) -> u32 {
        let word = u16_le(self.input, self.at);
        self.beyond = self.beyond.saturating_add(if word.is_some() { 16 } else { 32 });
        u32::from(word.unwrap_or(0)).wrapping_shl(16)
    }

    /// The next `N` bits, 1 to 32, without using them.
    #[inline]
    pub(super) fn peek<const N: usize>(&self) -> usize {
        const { assert!(N >= 1 && N <= 32) };
        usize::try_from(self.bits >> const { 64 - N }).unwrap_or(0)
    }

    /// Uses `count` bits, 32 at most since the last [`BitStream::refill`].
    #[inline]
    pub(super) fn skip(&mut self, count: u32) {
        self.bits = self.bits.wrapping_shl(count);
        self.count = self.count.saturating_sub(count);
    }

    /// Uses the next `count` bits, 0 to 31; 32 at most since the last [`BitStream::refill`].
    #[inline]
    pub(super) fn take(&mut self, count: u32) -> u32 {
        // In two steps, for a shift by all 64 bits is none.
        let bits = self.bits.wrapping_shr(1).wrapping_shr(63u32.saturating_sub(count));
        self.skip(count);
        u32::try_from(bits).unwrap_or(0)
    }

    /// Gives words back that were taken ahead, so that fewer than `keep` + 16 bits are at hand, and not fewer than `keep`
    /// (unless there were).
    fn give_back(&mut self, keep: u32) {
        let words = self.count.saturating_sub(keep).wrapping_shr(4);
        let bits = words.wrapping_mul(16);
        self.at = self.at.saturating_sub(usize::try_from(words).unwrap_or(0).wrapping_mul(2));
        self.count = self.count.saturating_sub(bits);
        self.beyond = self.beyond.saturating_sub(bits);
        let kept = u64::MAX.checked_shl(64u32.saturating_sub(self.count)).unwrap_or(0);
        self.bits &= kept;
    }

    /// The `N` bytes that follow the words of which the next 16 bits are a part: XPRESS keeps one word ahead.
    #[inline]
    pub(super) fn bytes_behind_next_word<const N: usize>(&mut self) -> Result<[u8; N], ()> {
        self.give_back(16);
        self.bytes()
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], ()> {
        let bytes = crate::bytes::array(self.input, self.at).ok_or(())?;
        self.at = self.at.saturating_add(N);
        Ok(bytes)
    }

    /// Leaves out the rest of this word, or a whole one where none is begun; bytes follow.
    pub(super) fn begin_bytes(&mut self) {
        self.refill();
        let rest = match self.count % 16 {
            0 => 16,
            rest => rest,
        };
        self.skip(rest);
        self.give_back(0);
    }

    /// The next `N` bytes, after [`BitStream::begin_bytes`].
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ()> {
        self.bytes()
    }

    /// Fills `to` with bytes, after [`BitStream::begin_bytes`].
    pub(super) fn fill(&mut self, to: &mut [u8]) -> Result<(), ()> {
        let end = self.at.checked_add(to.len()).ok_or(())?;
        to.copy_from_slice(self.input.get(self.at..end).ok_or(())?);
        self.at = end;
        Ok(())
    }

    /// Whether bits were used that are not in the input.
    pub(super) fn overran(&self) -> bool {
        self.count < self.beyond
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: [u8; 10] = [0x34, 0x12, 0x78, 0x56, 0xaa, 0xbb, 0xbc, 0x9a, 0xf0, 0xde];

    #[test]
    fn words_are_read_from_their_highest_bit_down() {
        let mut stream = BitStream::new(&INPUT, 0);
        stream.refill();
        assert_eq!((stream.peek::<4>(), stream.take(12), stream.take(0), stream.take(8)), (1, 0x123, 0, 0x45));
        stream.refill();
        assert_eq!((stream.take(12), stream.take(16)), (0x678, 0xbbaa));
        assert!(!stream.overran());
    }

    #[test]
    fn bytes_stand_one_word_ahead() {
        // 4 bits of the first word are used, so the second is at hand, and the bytes behind it are next.
        let mut stream = BitStream::new(&INPUT, 0);
        stream.refill();
        stream.skip(4);
        assert_eq!(stream.bytes_behind_next_word(), Ok([0xaa, 0xbb]));
        stream.refill();
        assert_eq!((stream.take(28), stream.take(0)), (0x0234_5678, 0));
        stream.refill();
        assert_eq!(stream.take(31), 0x9abc_def0 >> 1);
        stream.refill();
        assert!(!stream.overran());
        assert_eq!(stream.take(1), 0);
        assert!(!stream.overran());
        stream.skip(1);
        assert!(stream.overran());
        assert_eq!(stream.bytes_behind_next_word::<1>(), Err(()));
    }

    #[test]
    fn bytes_follow_the_rest_of_a_word_or_a_whole_one() {
        for (used, next) in [(1, 0x78), (15, 0x78), (16, 0xaa), (17, 0xaa)] {
            let mut stream = BitStream::new(&INPUT, 0);
            stream.refill();
            stream.skip(used);
            stream.begin_bytes();
            assert_eq!(stream.array(), Ok([next]), "{used}");
        }
        let mut stream = BitStream::new(&INPUT, 0);
        stream.begin_bytes();
        let mut rest = [0; 8];
        assert_eq!(stream.fill(&mut rest), Ok(()));
        assert_eq!(rest, INPUT[2..]);
        assert_eq!((stream.fill(&mut rest), stream.overran()), (Err(()), false));
    }
}
