//! LZNT1: chunks of up to 4096 bytes, each compressed by itself.

use crate::bytes::u16_le;

/// Bytes that a chunk stands for.
pub(super) const CHUNK: usize = 4096;
/// The bits of a chunk's header that are always the same.
const SIGNATURE: u16 = 0x3000;
const SIGNATURE_MASK: u16 = 0x7000;
const COMPRESSED: u16 = 0x8000;

/// A chunk as it stands among compressed data.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    /// Bytes from the start of the data to the end of this chunk.
    pub(super) end: usize,
    data: &'a [u8],
    compressed: bool,
}

/// The chunk at `at`; `Ok(None)` after the last one.
///
/// # Errors
/// When no chunk can begin so: where the next one would be is not known then.
pub(super) fn chunk_at(data: &[u8], at: usize) -> Result<Option<Chunk<'_>>, ()> {
    let header = match u16_le(data, at) {
        None | Some(0) => return Ok(None),
        Some(header) => header,
    };
    if header & SIGNATURE_MASK != SIGNATURE {
        return Err(());
    }
    let start = at.checked_add(2).ok_or(())?;
    let end = start.checked_add(usize::from(header & 0x0fff)).and_then(|last| last.checked_add(1)).ok_or(())?;
    let data = data.get(start..end).ok_or(())?;
    Ok(Some(Chunk { end, data, compressed: header & COMPRESSED != 0 }))
}

impl Chunk<'_> {
    /// Appends what the chunk stands for, 4096 bytes at most.
    ///
    /// # Errors
    /// When it breaks the rules; what was appended then is of no use.
    pub(super) fn decode(&self, to: &mut Vec<u8>) -> Result<(), ()> {
        let start = to.len();
        let full = start.checked_add(CHUNK).ok_or(())?;
        if !self.compressed {
            to.extend_from_slice(self.data);
            return if to.len() <= full { Ok(()) } else { Err(()) };
        }
        let mut input = self.data;
        while let Some((flags, rest)) = input.split_first() {
            input = rest;
            for bit in 0..8u32 {
                let Some((&first, rest)) = input.split_first() else { break };
                if to.len() >= full {
                    return Err(());
                }
                input = rest;
                if flags >> bit & 1 == 0 {
                    to.push(first);
                    continue;
                }
                let (&second, rest) = input.split_first().ok_or(())?;
                input = rest;
                copy(to, start, u16::from_le_bytes([first, second]))?;
                if to.len() > full {
                    return Err(());
                }
            }
        }
        Ok(())
    }
}

/// Repeats what was decoded earlier in this chunk, which begins at `start`. The further into the chunk, the more bits of
/// the token are the distance and the fewer the length.
fn copy(to: &mut Vec<u8>, start: usize, token: u16) -> Result<(), ()> {
    let done = to.len().checked_sub(start).filter(|done| *done > 0).ok_or(())?;
    let distance_bits = done.saturating_sub(1).checked_ilog2().map_or(4, |top| top.saturating_add(1)).clamp(4, 12);
    let length_bits = 16u32.checked_sub(distance_bits).ok_or(())?;
    let distance = usize::from(token.checked_shr(length_bits).ok_or(())?).checked_add(1).ok_or(())?;
    let mask = 1u16.checked_shl(length_bits).and_then(|bit| bit.checked_sub(1)).ok_or(())?;
    let length = usize::from(token & mask).checked_add(3).ok_or(())?;
    if distance > done {
        return Err(());
    }
    // Byte by byte, for source and target may overlap.
    for _ in 0..length {
        let from = to.len().checked_sub(distance).ok_or(())?;
        let byte = *to.get(from).ok_or(())?;
        to.push(byte);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(data: &[u8]) -> Result<Vec<u8>, ()> {
        let mut out = Vec::new();
        let mut at = 0;
        while let Some(chunk) = chunk_at(data, at)? {
            chunk.decode(&mut out)?;
            at = chunk.end;
        }
        Ok(out)
    }

    #[test]
    fn literals_repeats_and_plain_chunks() {
        // "abc", then 6 bytes from 3 back (distance 3 - 1 = 2 in the top 4 bits, length 6 - 3 = 3).
        assert_eq!(decode(&[0x05, 0xb0, 0b1000, b'a', b'b', b'c', 0x03, 0x20]), Ok(b"abcabcabc".to_vec()));
        // A run: "x", then 4095 bytes from 1 back.
        let run = decode(&[0x03, 0xb0, 0b10, b'x', 0xfc, 0x0f]);
        assert_eq!(run, Ok(vec![b'x'; 4096]));
        assert_eq!(decode(&[0x02, 0x30, 1, 2, 3, 0, 0, 9]), Ok(vec![1, 2, 3]));
        assert_eq!(decode(&[]), Ok(vec![]));
    }

    #[test]
    fn distances_take_more_bits_further_on() {
        // 16 literals keep 4 bits of distance, 17 take 5: then distance 17 is 16 << 11.
        let mut data = vec![0x00, 0xb0, 0];
        data.extend(0..8);
        data.push(0);
        data.extend(8..16);
        data.push(0b10);
        data.push(16);
        data.extend([0x00, 0x80]);
        data[0] = u8::try_from(data.len() - 3).unwrap();
        let mut expected: Vec<u8> = (0..17).collect();
        expected.extend([0, 1, 2]);
        assert_eq!(decode(&data), Ok(expected));
    }

    #[test]
    fn broken_chunks_are_refused() {
        let cases: [&[u8]; 6] = [
            &[0x05, 0x80, 0, 1],
            &[0x05, 0xb0, 0, 1],
            &[0x02, 0xb0, 1, 0, 0],
            &[0x01, 0xb0, 0b10, b'x'],
            &[0x03, 0xb0, 0b10, b'x', 0xff, 0x0f],
            &[0x03, 0xb0, 0b10, b'x', 0x00, 0x10],
        ];
        for (index, data) in cases.iter().enumerate() {
            let broken = decode(data).is_err();
            assert_eq!(broken, index != 3, "{data:x?}");
        }
    }
}
