//! Canonical prefix codes (Huffman), as XPRESS and LZX have them: given by the length of each symbol's codeword; among
//! codewords of one length the order is that of the symbols, and shorter ones come first.

use super::bit_stream::BitStream;

/// The longest codeword, in bits.
const LONGEST: usize = 16;
/// Codewords of up to so many bits are looked up at once.
const DIRECT: usize = 10;
const DIRECT_LENGTH: usize = 1 << DIRECT;

/// A code of up to `SYMBOLS` symbols (4096 at most), ready to decode.
pub(super) struct PrefixCode<const SYMBOLS: usize> {
    /// By the next bits: the symbol times 16, plus the length of its codeword. 0 for longer codewords.
    direct: [u16; DIRECT_LENGTH],
    /// The symbols in the order of their codewords.
    sorted: [u16; SYMBOLS],
    /// By length: where the codewords of this length end, as the first 16 bits of what comes after them.
    ends: [u32; LONGEST + 1],
    /// By length: what the codeword, as a number, has more than its place in `sorted`. Counted around the end of 32 bits.
    moved: [u32; LONGEST + 1],
}

impl<const SYMBOLS: usize> PrefixCode<SYMBOLS> {
    /// A code without symbols.
    pub(super) fn new() -> Self {
        PrefixCode { direct: [0; DIRECT_LENGTH], sorted: [0; SYMBOLS], ends: [0; LONGEST + 1], moved: [0; LONGEST + 1] }
    }

    /// Makes this the code with these lengths, 0 to 16, of which 0 stands for a symbol that does not occur.
    ///
    /// # Errors
    /// When there is no such code: the lengths leave bit sequences without a symbol, or claim some twice. A code without
    /// any symbol is allowed; nothing can be decoded with it.
    pub(super) fn set(&mut self, lengths: &[u8]) -> Result<(), ()> {
        let mut counts = [0u32; LONGEST + 1];
        for length in lengths {
            let count = counts.get_mut(usize::from(*length)).ok_or(())?;
            *count = count.wrapping_add(1);
        }
        let mut places = self.lay_out(&counts)?;
        for (symbol, length) in (0u16..).zip(lengths) {
            if let Some(place) = places.get_mut(usize::from(*length)).filter(|_| *length > 0) {
                *self.sorted.get_mut(*place).ok_or(())? = symbol;
                *place = place.wrapping_add(1);
            }
        }
        self.fill_direct(&counts)
    }

    /// Where the codewords of each length lie among the 16-bit numbers, and their symbols among `sorted`.
    fn lay_out(&mut self, counts: &[u32; LONGEST + 1]) -> Result<[usize; LONGEST + 1], ()> {
        let mut places = [0; LONGEST + 1];
        let (mut end, mut symbols) = (0u32, 0u32);
        let rows = counts.iter().zip(&mut places).zip(self.ends.iter_mut().zip(&mut self.moved));
        for (length, ((count, place), (ends, moved))) in (0u32..=16).zip(rows).skip(1) {
            let unused = 16u32.saturating_sub(length);
            *place = usize::try_from(symbols).map_err(|_| ())?;
            *moved = end.wrapping_shr(unused).wrapping_sub(symbols);
            end = end.saturating_add(count.wrapping_shl(unused));
            *ends = end;
            symbols = symbols.wrapping_add(*count);
        }
        if end == 1 << LONGEST || symbols == 0 { Ok(places) } else { Err(()) }
    }

    fn fill_direct(&mut self, counts: &[u32; LONGEST + 1]) -> Result<(), ()> {
        let mut free = &mut self.direct[..];
        let mut sorted = self.sorted.iter();
        for (length, count) in (1u16..).zip(counts.iter().skip(1)).take(DIRECT) {
            let repeats = DIRECT_LENGTH.wrapping_shr(length.into());
            for _ in 0..*count {
                let entry = sorted.next().ok_or(())?.wrapping_shl(4) | length;
                let (part, rest) = free.split_at_mut_checked(repeats).ok_or(())?;
                part.fill(entry);
                free = rest;
            }
        }
        free.fill(0);
        Ok(())
    }

    /// Decodes a symbol. Uses up to 16 bits, which must be at hand.
    #[inline]
    pub(super) fn decode(&self, stream: &mut BitStream<'_>) -> Result<u16, ()> {
        match self.direct.get(stream.peek::<DIRECT>()) {
            Some(&entry) if entry != 0 => {
                stream.skip(u32::from(entry & 15));
                Ok(entry.wrapping_shr(4))
            }
            _ => self.decode_long(stream),
        }
    }

    fn decode_long(&self, stream: &mut BitStream<'_>) -> Result<u16, ()> {
        let next = u32::try_from(stream.peek::<LONGEST>()).map_err(|_| ())?;
        let longer = |ends: &[u32]| ends.iter().position(|end| next < *end);
        let length = self.ends.get(DIRECT..).and_then(longer).ok_or(())?.saturating_add(DIRECT);
        let bits = u32::try_from(length).map_err(|_| ())?;
        let codeword = next.wrapping_shr(16u32.saturating_sub(bits));
        let place = codeword.wrapping_sub(*self.moved.get(length).ok_or(())?);
        stream.skip(bits);
        self.sorted.get(usize::try_from(place).map_err(|_| ())?).copied().ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(lengths: &[u8]) -> Result<PrefixCode<64>, ()> {
        let mut code = PrefixCode::new();
        code.set(lengths).map(|()| code)
    }

    /// All symbols of words of 16 bits.
    fn decode(code: &PrefixCode<64>, words: &[u16], symbols: usize) -> Result<Vec<u16>, ()> {
        let input: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut stream = BitStream::new(&input, 0);
        let one = || {
            stream.refill();
            code.decode(&mut stream)
        };
        std::iter::repeat_with(one).take(symbols).collect()
    }

    #[test]
    fn codewords_are_in_the_order_of_length_and_symbol() {
        // Symbol 3: 0, symbol 1: 10, symbol 0: 110, symbol 5: 111. So 0 10 110 111 0 111 10 0 is:
        let code = code(&[3, 2, 0, 1, 0, 3]).unwrap();
        assert_eq!(decode(&code, &[0b0101_1011_1011_1100], 8), Ok(vec![3, 1, 0, 5, 3, 5, 1, 3]));
    }

    #[test]
    fn long_codewords_are_found() {
        // One codeword of each length from 1 to 15, and two of 16.
        let mut lengths: Vec<u8> = (1..=16).collect();
        lengths.push(16);
        let code = code(&lengths).unwrap();
        assert_eq!(decode(&code, &[0xffff, 0xfffe, 0xfffc, 0xffc0, 0x7fff], 5), Ok(vec![16, 15, 14, 0, 10]));
        assert_eq!(decode(&code, &[0xffff, 0xffe0], 3), Ok(vec![16, 11, 0]));
    }

    #[test]
    fn lengths_that_make_no_code_are_refused() {
        assert!(code(&[1, 2]).is_err(), "too few");
        assert!(code(&[1, 1, 2]).is_err(), "too many");
        assert!(code(&[1]).is_err());
        assert!(code(&[17, 1]).is_err());
        assert!(code(&[1; 64]).is_err());
        assert!(code(&[6; 64]).is_ok());
        let empty = code(&[0; 64]).unwrap();
        assert_eq!(decode(&empty, &[0, 0], 1), Err(()));
    }

    #[test]
    fn a_code_can_be_set_again() {
        let mut lengths: Vec<u8> = (1..=16).collect();
        lengths.push(16);
        let mut code = code(&lengths).unwrap();
        code.set(&[1, 1]).unwrap();
        assert_eq!(decode(&code, &[0xa000], 4), Ok(vec![1, 0, 1, 0]));
        code.set(&[]).unwrap();
        assert_eq!(decode(&code, &[0xffff], 1), Err(()));
    }
}
