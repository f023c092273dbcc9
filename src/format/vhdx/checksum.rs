//! What the checksum of a header or a region table tells of one that does not hold: [MS-VHDX] 2.2.2 and 2.2.3.
//!
//! A CRC of one flipped bit depends on where the bit stands, and on nothing else: so it tells which one is wrong, if that is all
//! that is. Somewhere in the 64 KiB of a region table some bit fits other damage by accident once in eight thousand times. So what
//! stands behind the fields, where all writers leave zeros, has to be zeros then: that leaves the few hundred bits of the fields.

use super::flipped_bit::bits_before;
use crate::bytes::{crc32c_with_hole, len_u64, u32_le};
use crate::format::broken::Broken;
use crate::report::{Code, Finding, Severity};

/// Where headers and region tables have their checksum, which covers itself as zeros.
const CHECKSUM: usize = 4;

/// One wrong bit of a structure.
pub(super) struct WrongBit {
    /// What is wrong with the structure as it stands.
    pub(super) broken: Broken,
    /// The byte of the structure that the bit is in.
    pub(super) byte: u64,
}

impl WrongBit {
    /// That it was flipped back, in the structure that stands at this place.
    pub(super) fn finding(&self, code: Code, place: (&'static str, u64)) -> Finding {
        let text = format!("one bit of its byte {} is wrong, as its checksum tells; it is read as it was", self.byte);
        self.broken.finding(code, Severity::Warning, place, &text)
    }
}

/// What a structure says, and the bit of it that had to be flipped back for that. `used` tells how many bytes of it hold fields.
///
/// # Errors
/// What is wrong with it, where that is more than one bit.
pub(super) fn parse<T>(
    bytes: &[u8],
    parse: impl Fn(&[u8]) -> Result<T, Broken>,
    used: impl Fn(&[u8]) -> usize,
) -> Result<(T, Option<WrongBit>), Broken> {
    let broken = match parse(bytes) {
        Ok(value) => return Ok((value, None)),
        Err(broken) => broken,
    };
    let ends_in_zeros = |bytes: &[u8]| bytes.iter().skip(used(bytes)).all(|byte| *byte == 0);
    let mended = flipped_back(bytes).filter(|(mended, _)| ends_in_zeros(mended));
    let mended = mended.and_then(|(mended, byte)| Some((parse(&mended).ok()?, byte)));
    match mended {
        Some((value, byte)) => Ok((value, Some(WrongBit { broken, byte }))),
        None => Err(broken),
    }
}

/// The bytes of a structure with the one bit flipped back that makes its checksum hold, and the byte that it is in.
fn flipped_back(bytes: &[u8]) -> Option<(Vec<u8>, u64)> {
    let turned = u32_le(bytes, CHECKSUM)? ^ crc32c_with_hole(bytes, CHECKSUM);
    let (byte, mask) = if turned.is_power_of_two() {
        // The bit is one of the checksum itself.
        let bit = turned.trailing_zeros();
        (CHECKSUM.saturating_add(usize::try_from(bit >> 3).ok()?), 1u8 << (bit & 7))
    } else {
        let bits = u32::try_from(len_u64(bytes).checked_mul(8)?).ok()?;
        let back = bits_before(turned, 0, bits)?;
        (bytes.len().checked_sub(1)?.checked_sub(usize::try_from(back >> 3).ok()?)?, 0x80 >> (back & 7))
    };
    let mut mended = bytes.to_vec();
    *mended.get_mut(byte)? ^= mask;
    let holds = u32_le(&mended, CHECKSUM)? == crc32c_with_hole(&mended, CHECKSUM);
    holds.then_some((mended, u64::try_from(byte).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A structure of which every byte counts.
    fn sound(length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..length).map(|at| u8::try_from(at * 13 % 251).unwrap()).collect();
        let checksum = crc32c_with_hole(&bytes, CHECKSUM);
        bytes[CHECKSUM..CHECKSUM + 4].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    #[test]
    fn every_wrong_bit_is_flipped_back() {
        let sound = sound(600);
        for byte in 0..sound.len() {
            for bit in 0..8 {
                let mut wrong = sound.clone();
                wrong[byte] ^= 1 << bit;
                assert_eq!(flipped_back(&wrong), Some((sound.clone(), byte as u64)), "{byte} {bit}");
            }
        }
    }

    #[test]
    fn what_stands_behind_the_fields_has_to_be_zeros() {
        let with_last = |last: u8| {
            let mut bytes = vec![1; 64];
            bytes.extend([0; 35]);
            bytes.push(last);
            let checksum = crc32c_with_hole(&bytes, CHECKSUM);
            bytes[CHECKSUM..CHECKSUM + 4].copy_from_slice(&checksum.to_le_bytes());
            bytes[20] ^= 4;
            bytes
        };
        let broken = || Broken::new("a byte", "1", "another");
        let ones = |bytes: &[u8]| if bytes[20] == 1 { Ok(()) } else { Err(broken()) };
        let wrong_byte = |bytes: &[u8]| parse(bytes, ones, |_| 64).map(|((), bit)| bit.map(|bit| bit.byte));
        assert_eq!(wrong_byte(&with_last(0)), Ok(Some(20)));
        assert_eq!(wrong_byte(&with_last(1)), Err(broken()));
    }

    #[test]
    fn two_wrong_bits_are_not() {
        let sound = sound(4096);
        for (one, other) in [(0, 1), (4, 5), (4, 4095), (100, 3000)] {
            let mut wrong = sound.clone();
            wrong[one] ^= 4;
            wrong[other] ^= 16;
            assert_eq!(flipped_back(&wrong), None, "{one} {other}");
        }
        assert_eq!(flipped_back(&sound), None);
        assert_eq!(flipped_back(&[0; 4096]), None);
        assert_eq!(flipped_back(&[1; 3]), None);
    }
}
