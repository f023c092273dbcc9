//! XPRESS Huffman ([MS-XCA], "LZ77+Huffman"): the lengths of 512 codewords, then literals and repeats.

use super::bit_stream::BitStream;
use super::lz77::repeat;
use super::prefix_code::PrefixCode;

/// 256 literals, and 256 kinds of repeats: 4 bits tell the size of the distance, 4 the length.
const SYMBOLS: usize = 512;
/// Two lengths of codewords stand in each byte.
const TABLE: usize = SYMBOLS / 2;
const SHORTEST_REPEAT: u16 = 3;
/// A length of this much or more goes on in a byte of its own.
const LONG: u16 = 15;

/// Decodes a chunk that fills `out`.
///
/// # Errors
/// When it breaks the rules, or does not fill `out`; what stands there then is of no use.
pub(super) fn decode(input: &[u8], out: &mut [u8]) -> Result<(), ()> {
    let table = input.get(..TABLE).ok_or(())?;
    let mut lengths = [0; SYMBOLS];
    for (pair, byte) in lengths.as_chunks_mut::<2>().0.iter_mut().zip(table) {
        *pair = [byte & 15, byte.wrapping_shr(4)];
    }
    let mut code = PrefixCode::<SYMBOLS>::new();
    code.set(&lengths)?;
    let mut stream = BitStream::new(input, TABLE);
    let mut at = 0;
    while at < out.len() {
        stream.refill();
        let symbol = code.decode(&mut stream)?;
        match u8::try_from(symbol) {
            Ok(literal) => {
                *out.get_mut(at).ok_or(())? = literal;
                at = at.wrapping_add(1);
            }
            Err(_) => {
                let length = repeat_length(symbol & LONG, &mut stream)?;
                let bits = u32::from(symbol.wrapping_shr(4) & 15);
                let distance = 1u32.wrapping_shl(bits) | stream.take(bits);
                at = repeat(out, at, usize::try_from(distance).map_err(|_| ())?, length)?;
            }
        }
    }
    if stream.overran() { Err(()) } else { Ok(()) }
}

/// The length of a repeat: `short`, or where that is not enough, what stands in bytes behind the next word.
#[inline]
fn repeat_length(short: u16, stream: &mut BitStream<'_>) -> Result<usize, ()> {
    if short < LONG {
        return Ok(usize::from(short.wrapping_add(SHORTEST_REPEAT)));
    }
    let [byte] = stream.bytes_behind_next_word()?;
    let length = match byte {
        // All of it in two bytes. (Or in four; not in a chunk as small as WOF's.)
        u8::MAX => u16::from_le_bytes(stream.bytes_behind_next_word()?),
        byte => u16::from(byte).wrapping_add(LONG),
    };
    if length < LONG { Err(()) } else { Ok(usize::from(length).saturating_add(usize::from(SHORTEST_REPEAT))) }
}

#[cfg(test)]
mod tests {
    use super::super::vectors::{bytes, damage, runs};
    use super::*;

    /// A chunk of XPRESS 16K that wimlib 1.13.6 made of `runs`.
    const RUNS: &str = "\
         0000000000000000000000000000000000000000000000000000000000000000605555557766666666666666770600000000\
         0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
         0000000000000000000000000000000000000000000000000000000006000000000000100000000000000000000000000000\
         0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000\
         0000000000000000000000000000000000000000000000000000000000000000000000000000006000000000000000000000\
         00000000000008b29aa413be8a385d82ad3ea7ccbd5cf1ff25011683ff4a01ff6f01ff9401da4cffb901ffde016c35ff0302\
         ff2802c3ddff4d020b304f97557aeecf9fc420d6e9ff1d01498aff4201ff6701ff8c01aba8ffb101ffd60179d1fffb01ff20\
         02ff4502b9da3f067b4d72992c97bc6ab4e1ff1501bbd9ff3a01ff5f01ff84012e87ffa901ffce01889efff301ff1802b58f\
         ff3d022f2288456a926a8fb4f02ad9fe0000ff320192\
         ";

    fn decoded(input: &[u8], length: usize) -> Result<Vec<u8>, ()> {
        let mut out = vec![0xee; length];
        decode(input, &mut out).map(|()| out)
    }

    /// The lengths of codewords, two in each byte, of which all but these bytes are 0.
    fn table(rows: &[(usize, &str)]) -> Vec<u8> {
        let mut table = vec![0; TABLE];
        for (at, row) in rows {
            let row = bytes(row);
            table[*at..*at + row.len()].copy_from_slice(&row);
        }
        table
    }

    #[test]
    fn the_examples_of_the_specification() {
        // [MS-XCA] 3.2.
        let mut input = table(&[(0x30, "505555555555555555555545440400"), (0x80, "04")]);
        input.extend(bytes("d8523ed794115be9195ff9d67cdf8d0400000000"));
        assert_eq!(decoded(&input, 26), Ok(b"abcdefghijklmnopqrstuvwxyz".to_vec()));
        let mut input = table(&[(0x30, "3023"), (0x80, "02"), (0x8f, "20")]);
        input.extend(bytes("a8dc0000ff2601"));
        assert_eq!(decoded(&input, 300), Ok(b"abc".repeat(100)));
    }

    #[test]
    fn a_chunk_of_wimlib() {
        let input = bytes(RUNS);
        assert!(decoded(&input, 16384) == Ok(runs(16384)));
        for length in [0, 100, 255, 256, 260, input.len() - 3] {
            assert_eq!(decoded(&input[..length], 16384), Err(()), "{length}");
        }
        assert_eq!(decoded(&input, 16385), Err(()));
        assert_eq!(decoded(&input, 0), Ok(vec![]));
    }

    #[test]
    fn damaged_chunks_do_no_harm() {
        damage(&bytes(RUNS), 16384, decode);
    }
}
