//! LZX as WIM files and WOF have it: chunks of 32 KiB, each compressed by itself, with a window as long; the addresses of
//! x86 calls always translated. (In cabinets chunks go on in each other, and a bit says whether there is a translation.)

use super::bit_stream::BitStream;
use super::lz77::repeat;
use super::prefix_code::PrefixCode;
use super::x86_calls;

const LITERALS: usize = 256;
/// Slots of distances within a window of 32 KiB.
const SLOTS: usize = 30;
/// Literals, and repeats: each slot with eight lengths.
const MAIN_SYMBOLS: usize = LITERALS + SLOTS * 8;
const LENGTH_SYMBOLS: usize = 249;
const ALIGNED_SYMBOLS: usize = 8;
/// Symbols of the code in which the lengths of codewords are written.
const PRE_SYMBOLS: usize = 20;
/// A repeat of this length or more is written with a symbol of the length code.
const LONG: usize = 7;
const SHORTEST_REPEAT: usize = 2;
/// Bytes of a block that does not tell its size.
const DEFAULT_BLOCK: u32 = 32768;

/// Decodes a chunk that fills `out`.
///
/// # Errors
/// When it breaks the rules, or does not fill `out`; what stands there then is of no use.
pub(super) fn decode(input: &[u8], out: &mut [u8]) -> Result<(), ()> {
    let mut decoder = Decoder {
        stream: BitStream::new(input, 0),
        main_lengths: [0; MAIN_SYMBOLS],
        length_lengths: [0; LENGTH_SYMBOLS],
        main: PrefixCode::new(),
        length: PrefixCode::new(),
        aligned: PrefixCode::new(),
        recent: [1; 3],
    };
    let mut at = 0;
    while at < out.len() {
        at = decoder.block(out, at)?;
    }
    if decoder.stream.overran() {
        return Err(());
    }
    x86_calls::restore(out);
    Ok(())
}

struct Decoder<'a> {
    stream: BitStream<'a>,
    /// Lengths of codewords: those of a block are written as differences to the block before.
    main_lengths: [u8; MAIN_SYMBOLS],
    length_lengths: [u8; LENGTH_SYMBOLS],
    main: PrefixCode<MAIN_SYMBOLS>,
    length: PrefixCode<LENGTH_SYMBOLS>,
    aligned: PrefixCode<ALIGNED_SYMBOLS>,
    /// The last three distances.
    recent: [u32; 3],
}

impl Decoder<'_> {
    /// Decodes the block that begins at `at` of `out`; where the next one begins, which is further on.
    fn block(&mut self, out: &mut [u8], at: usize) -> Result<usize, ()> {
        self.stream.refill();
        let kind = self.stream.take(3);
        let size = if self.stream.take(1) == 1 { DEFAULT_BLOCK } else { self.stream.take(16) };
        let size = usize::try_from(size).map_err(|_| ())?;
        let end = at.checked_add(size).filter(|end| size > 0 && *end <= out.len()).ok_or(())?;
        let block = out.get_mut(..end).ok_or(())?;
        match kind {
            1 => {
                self.read_codes()?;
                self.repeats::<false>(block, at)?;
            }
            2 => {
                self.read_aligned_code()?;
                self.read_codes()?;
                self.repeats::<true>(block, at)?;
            }
            3 => self.plain(block, at)?,
            _ => return Err(()),
        }
        Ok(end)
    }

    /// A block that stands as it is, after the distances that are the last ones then.
    fn plain(&mut self, block: &mut [u8], at: usize) -> Result<(), ()> {
        self.stream.begin_bytes();
        for recent in &mut self.recent {
            *recent = u32::from_le_bytes(self.stream.array()?);
        }
        let to = block.get_mut(at..).ok_or(())?;
        self.stream.fill(to)?;
        if to.len() % 2 == 1 {
            self.stream.array::<1>()?;
        }
        Ok(())
    }

    fn read_aligned_code(&mut self) -> Result<(), ()> {
        let mut lengths = [0; ALIGNED_SYMBOLS];
        self.stream.refill();
        for length in &mut lengths {
            *length = u8::try_from(self.stream.take(3)).map_err(|_| ())?;
        }
        self.aligned.set(&lengths)
    }

    fn read_codes(&mut self) -> Result<(), ()> {
        let (literals, repeats) = self.main_lengths.split_at_mut_checked(LITERALS).ok_or(())?;
        read_lengths(&mut self.stream, literals)?;
        read_lengths(&mut self.stream, repeats)?;
        read_lengths(&mut self.stream, &mut self.length_lengths)?;
        self.main.set(&self.main_lengths)?;
        self.length.set(&self.length_lengths)
    }

    /// Literals and repeats, until `block` is full.
    fn repeats<const ALIGNED: bool>(&mut self, block: &mut [u8], mut at: usize) -> Result<(), ()> {
        while at < block.len() {
            self.stream.refill();
            let symbol = self.main.decode(&mut self.stream)?;
            if let Ok(literal) = u8::try_from(symbol) {
                *block.get_mut(at).ok_or(())? = literal;
                at = at.wrapping_add(1);
                continue;
            }
            let mut length = usize::from(symbol & 7);
            if length == LONG {
                let more = self.length.decode(&mut self.stream)?;
                length = length.saturating_add(usize::from(more));
                self.stream.refill();
            }
            let slot = u32::from(symbol.wrapping_sub(256).wrapping_shr(3));
            let distance = self.distance::<ALIGNED>(slot)?;
            let distance = usize::try_from(distance).map_err(|_| ())?;
            at = repeat(block, at, distance, length.saturating_add(SHORTEST_REPEAT))?;
        }
        Ok(())
    }

    /// The distance of a repeat in this slot.
    #[inline]
    fn distance<const ALIGNED: bool>(&mut self, slot: u32) -> Result<u32, ()> {
        let [first, second, third] = self.recent;
        self.recent = match slot {
            0 => return Ok(first),
            1 => [second, first, third],
            2 => [third, second, first],
            _ => [self.new_distance::<ALIGNED>(slot)?, first, second],
        };
        let [distance, ..] = self.recent;
        Ok(distance)
    }

    /// Slots come in pairs of one size; each pair of slots is twice as long as the one before. Distances are written with
    /// 2 added.
    #[inline]
    fn new_distance<const ALIGNED: bool>(&mut self, slot: u32) -> Result<u32, ()> {
        if slot == 3 {
            return Ok(1);
        }
        let bits = slot.wrapping_shr(1).wrapping_sub(1);
        let start = (2 | slot & 1).wrapping_shl(bits);
        // A main symbol, the bits of the distance: 16 + 13 of the 32 at hand.
        let rest = if ALIGNED && bits >= 3 {
            let high = self.stream.take(bits.wrapping_sub(3)).wrapping_shl(3);
            self.stream.refill();
            high | u32::from(self.aligned.decode(&mut self.stream)?)
        } else {
            self.stream.take(bits)
        };
        Ok(start.wrapping_add(rest).wrapping_sub(2))
    }
}

/// Reads lengths of codewords, as differences to those that stand in `lengths`, in a code of their own.
fn read_lengths(stream: &mut BitStream<'_>, lengths: &mut [u8]) -> Result<(), ()> {
    let mut pre_lengths = [0; PRE_SYMBOLS];
    for length in &mut pre_lengths {
        stream.refill();
        *length = u8::try_from(stream.take(4)).map_err(|_| ())?;
    }
    let mut code = PrefixCode::<PRE_SYMBOLS>::new();
    code.set(&pre_lengths)?;
    let mut lengths = lengths.iter_mut();
    while let Some(first) = lengths.next() {
        stream.refill();
        let (run, length) = match code.decode(stream)? {
            17 => (stream.take(4).saturating_add(4), 0),
            18 => (stream.take(5).saturating_add(20), 0),
            19 => {
                let run = stream.take(1).saturating_add(4);
                stream.refill();
                let difference = code.decode(stream)?;
                (run, changed(*first, difference)?)
            }
            difference => (1, changed(*first, difference)?),
        };
        *first = length;
        for _ in 1..run {
            *lengths.next().ok_or(())? = length;
        }
    }
    Ok(())
}

/// A length of a codeword, 0 to 16, that is so much less than before, counted around the end.
fn changed(before: u8, difference: u16) -> Result<u8, ()> {
    let difference = u8::try_from(difference).ok().filter(|difference| *difference <= 16).ok_or(())?;
    Ok(match before.checked_sub(difference) {
        Some(length) => length,
        None => before.saturating_add(17).saturating_sub(difference),
    })
}

#[cfg(test)]
mod tests {
    use super::super::vectors::{bytes, damage, records, runs};
    use super::*;

    /// What wimlib 1.13.6 made of `runs`: a verbatim block, with long repeats.
    const RUNS: &str = "\
         00300000020000104300fe4d25a2e10b7f237f7fc0a00000100010cd0c01ac811f4bead3f970e2f33da5200800000400a060\
         a800bb00c3a5c72545170d37654a5112942929f1e1120c9748858954cb70448619b319b373b8e670983198cdc3cdc6986663\
         7e63d9699afd3ad47b294b7763a9f7c1d0c86cac3a581e6d84fe85cbc39b00fbe2689c0db99974b5ea72f6f2b28fc6a7c63d\
         0277c2248f13c23e024523ad702796ff792212825e8ac7b58e0d5feb949e5f6ee9bcdb1cc19890c5ccefe87e6a297b305e09\
         981a2d21254237e27666fa4e9fece542472789461b5407de916f58f760a168bbc84ac16c6909ae0ab511ab8bc627ba696a2d\
         5a743d6d8ba075f03eee137816a609e7005221983640fde9312eaaefb939f3f49accacd5b4657466a86d41d778cfc0f5c44a\
         c85738256064808696d7bbf911edf0b99fdf14ee61e6fb9c7ad228b89283e3917fdc25d40080\
         ";
    /// What it made of `records`: a block of aligned distances, with calls.
    const RECORDS: &str = "\
         774108020200000000000013000006308d6ad52a56148a56c429c1913a2b69b8d151d5c54e4e652f3925ef3d532bdbe3e286\
         25a7882900000000d0cc00142994136f104a42eedf1b2b44a93096c8844e72200c75851c800ee4606c2026056ca9649779b2\
         fe4900100000210018a29821611c32a3104bd8807f7f7a7fe0af15f64a7ca5d2587b04bbd89d7349530946c327b7669ebfdf\
         a73f2bd79a64c3db7d9ac8c439e6639b735f99e75e9bf98708dc921697cf375f999cd073696d6812265291ae6e0e33398d89\
         73c39b439d9a3b4794f24814d6fcb8dc593406cd0ec5a8ae13bf0dd50dec3a1cf3e87ef581d4dd4831356afcb2d5ddf5d8a8\
         13cf7a81f3ef041f8e07a7c0c3a6d79d2902854dd8a4718b64349356cd61e03b6e8b676cc0a250b8d5fffb235e16359b1181\
         d40d8608f9f7e01b37bd9a0f46b389f0750f1180d80d103148dd6f889a19c4d882df67627dd5c616f326819554069b185fda\
         2d8422e3ee0e203a9155aa02582085c0219831fb9637203cbea23b08429739094218461cf885024141ec5b55521088dd8043\
         70d3a12010baae48268804d7ef12098244352b2e088204b90e4120ba5083d14188ad725d811084fcd6200791fc7659204004\
         78b25081ff212cbad77dc6daacb11a6bb0c67c637bb908ef\
         ";

    fn decoded(input: &[u8], length: usize) -> Result<Vec<u8>, ()> {
        let mut out = vec![0xee; length];
        decode(input, &mut out).map(|()| out)
    }

    #[test]
    fn chunks_of_wimlib() {
        for (hex, expected) in [(RUNS, runs(32768)), (RECORDS, records(6000))] {
            let input = bytes(hex);
            assert!(decoded(&input, expected.len()).as_ref() == Ok(&expected));
            for length in [0, 1, 30, 70, input.len() - 3] {
                assert_eq!(decoded(&input[..length], expected.len()), Err(()), "{length}");
            }
            assert_eq!(decoded(&input, expected.len() - 1), Err(()));
            assert_eq!(decoded(&input, expected.len() + 1), Err(()));
        }
    }

    /// A block that stands as it is: 011, 0, the size in 16 bits, padding, three distances, the bytes.
    fn plain(content: &[u8]) -> Vec<u8> {
        let size = u16::try_from(content.len()).unwrap();
        let words = [0x6000 | size >> 4, size << 12];
        let mut block: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        block.extend([3u32, 2, 1].iter().flat_map(|distance| distance.to_le_bytes()));
        block.extend(content);
        block.resize(block.len().next_multiple_of(2), 0);
        block
    }

    #[test]
    fn blocks_that_stand_as_they_are() {
        let blocks = [plain(b"odd"), plain(b"even")].concat();
        assert_eq!(decoded(&blocks, 7), Ok(b"oddeven".to_vec()));
        // In the middle of a block, past the last one, and cut within the bytes and before the one that pads them.
        for (input, length) in [(&blocks[..], 6), (&blocks, 8), (&blocks[..18], 3), (&blocks[..19], 3)] {
            assert_eq!(decoded(input, length), Err(()), "{length}");
        }
        assert_eq!(decoded(&plain(b""), 1), Err(()), "a block of nothing");
        assert_eq!(decoded(&plain(b"a\xe8\x09\0\0\0__________"), 16), Ok(b"a\xe8\x08\0\0\0__________".to_vec()));
    }

    #[test]
    fn lengths_are_counted_around_17() {
        assert_eq!([changed(5, 3), changed(5, 5), changed(5, 6), changed(0, 16)], [Ok(2), Ok(0), Ok(16), Ok(1)]);
        assert_eq!([changed(5, 17), changed(5, 300)], [Err(()); 2]);
    }

    #[test]
    fn damaged_chunks_do_no_harm() {
        damage(&bytes(RUNS), 32768, decode);
        damage(&bytes(RECORDS), 6000, decode);
    }
}
