//! `$SDS`, the stream of `$Secure` that holds every security descriptor of the volume once, and then again in a copy.

use std::collections::BTreeMap;

use mount_api::{Error, Faults};

use super::stream::Stream;
use super::volume::{Volume, whole};
use super::{corrupt, to_u64, to_usize};
use crate::bytes::{u32_le, u64_le};

/// Bytes before each descriptor: hash, number, offset, length (of both).
const HEADER: usize = 20;
/// The largest descriptor that Windows accepts, header included.
const MAX_LENGTH: usize = HEADER + (64 << 10);
/// Each block of this size is followed by its copy. No descriptor reaches from one into the next.
const BLOCK: u64 = 256 << 10;
/// Descriptors begin at a multiple of this.
const ALIGNMENT: usize = 16;
/// What the hash is computed of.
const WORD: usize = 4;
/// Bytes that are looked through: those of a million descriptors.
const MOST: u64 = 256 << 20;

/// Descriptors that are kept of those found so: this bounds the memory. Real volumes have some thousands.
const MOST_KEPT: usize = 1 << 20;

/// Where the descriptors of these numbers stand.
pub(super) type Places = BTreeMap<u32, u64>;

/// The self-relative security descriptor `id` that stands at byte `offset`, or else the copy of it.
pub(super) fn descriptor(stream: &Stream, volume: &Volume, id: u32, offset: u64) -> Result<(Vec<u8>, bool), Error> {
    match at(stream, volume, id, offset) {
        Ok(bytes) => Ok((bytes, false)),
        Err(error) => {
            let copy = offset.checked_add(BLOCK).map(|offset| at(stream, volume, id, offset));
            copy.and_then(Result::ok).map(|bytes| (bytes, true)).ok_or(error)
        }
    }
}

/// The descriptor at byte `offset` and nowhere else.
pub(super) fn at(stream: &Stream, volume: &Volume, id: u32, offset: u64) -> Result<Vec<u8>, Error> {
    let what = || format!("$Secure: the security descriptor {id} at byte {offset} of $SDS");
    let read = |length: usize| {
        let mut bytes = vec![0; length];
        let mut faults = Faults::new();
        let read = stream.read(volume, offset, &mut bytes, &mut faults)?;
        whole(&faults, what)?;
        if read < length { Err(corrupt(format!("{}: it is past the end", what()))) } else { Ok(bytes) }
    };
    let bad = || corrupt(format!("{}: it does not hold", what()));
    let length = length(&read(HEADER)?).ok_or_else(bad)?;
    let mut bytes = read(length)?;
    match number(&bytes, offset) {
        Some(number) if number == id => Ok(bytes.split_off(HEADER)),
        _ => Err(bad()),
    }
}

/// Every descriptor that holds, in its place or in that of its copy: for who cannot be told where they stand.
pub(super) fn all(stream: &Stream, volume: &Volume) -> Places {
    let mut places = Places::new();
    let end = stream.size().min(MOST);
    let mut block = vec![0; to_usize(BLOCK.min(end))];
    for start in (0..end.div_ceil(BLOCK)).map(|number| number.saturating_mul(BLOCK)) {
        block.fill(0);
        // What is lost reads as zeros, which are no descriptor.
        let _ = stream.read(volume, start, &mut block, &mut Faults::new());
        let mut at = 0usize;
        while let Some(rest) = block.get(at..).filter(|rest| rest.len() >= HEADER) {
            let offset = start.saturating_add(to_u64(at));
            let found = length(rest).and_then(|length| Some((number(rest.get(..length)?, offset)?, length)));
            let length = found.map_or(ALIGNMENT, |(_, length)| length.next_multiple_of(ALIGNMENT));
            if places.len() >= MOST_KEPT {
                return places;
            }
            if let Some((id, _)) = found {
                places.entry(id).or_insert(offset);
            }
            at = at.saturating_add(length);
        }
    }
    places
}

/// The length that a header tells, where that can be one: descriptors consist of whole words, as their parts do.
fn length(header: &[u8]) -> Option<usize> {
    let length = to_usize(u32_le(header, 16)?.into());
    ((HEADER..=MAX_LENGTH).contains(&length) && length.is_multiple_of(WORD)).then_some(length)
}

/// The number of the descriptor in these bytes, header included, where it holds and belongs at byte `offset`.
fn number(bytes: &[u8], offset: u64) -> Option<u32> {
    let own = u64_le(bytes, 8)?;
    // A copy bears the offset of what it is a copy of.
    let belongs = own == offset || own.checked_add(BLOCK) == Some(offset);
    let id = u32_le(bytes, 4).filter(|_| belongs)?;
    (u32_le(bytes, 0)? == hash(bytes.get(HEADER..)?)).then_some(id)
}

/// The hash of a descriptor: its words, each added to the sum so far rotated by three bits.
fn hash(descriptor: &[u8]) -> u32 {
    let words = descriptor.chunks_exact(WORD).filter_map(|word| u32_le(word, 0));
    words.fold(0, |hash: u32, word| hash.rotate_left(3).wrapping_add(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_a_rotating_sum_of_words() {
        assert_eq!(hash(&[]), 0);
        assert_eq!(hash(&[1, 0, 0, 0]), 1);
        // 1, then 8 + 2, then 80 + 0xffff_ffff.
        assert_eq!(hash(&[1, 0, 0, 0, 2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]), 79);
        assert_eq!(hash(&[0, 0, 0, 0x80, 0, 0, 0, 0]), 4);
    }

    #[test]
    fn a_descriptor_holds_where_it_belongs() {
        let mut bytes = vec![0; HEADER];
        bytes.extend([7, 0, 0, 0]);
        bytes[0] = 7;
        bytes[4] = 5;
        bytes[8] = 0x40;
        bytes[16] = 24;
        assert_eq!(length(&bytes), Some(24));
        assert_eq!((number(&bytes, 0x40), number(&bytes, 0x40 + BLOCK)), (Some(5), Some(5)));
        assert_eq!((number(&bytes, 0), number(&bytes, 0x50)), (None, None));
        for at in [0, 8, HEADER] {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            assert_eq!(number(&bytes, 0x40), None, "{at}");
        }
        bytes[16] = 26;
        assert_eq!(length(&bytes), None);
        assert_eq!(length(&[0; HEADER]), None);
        assert_eq!(number(&bytes[..10], 0x40), None);
    }
}
