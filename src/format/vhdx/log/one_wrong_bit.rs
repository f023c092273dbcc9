//! The descriptor of an entry of which one bit is wrong, told by the entry's checksum.
//!
//! What one flipped bit makes of a CRC depends on where the bit stands, and on nothing else. So one walk over the bits of the
//! descriptors tells which of them, if any, makes the checksum hold once it is flipped back. That others fit by accident is one
//! chance in thousands of millions for each bit that is looked at.

use std::ops::ControlFlow;

use super::entry::{DESCRIPTOR_LENGTH, Descriptor, EntryHeader, HEADER_LENGTH, descriptor_slots};
use super::sequence::Log;
use crate::error::Result;

/// CRC-32C, its lowest bit first, as it stands in its shift register.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// Descriptors of entries with more of them are not looked at bit by bit: a log of Windows has room for 255.
const MAX_DESCRIPTORS: u32 = 1 << 12;

/// Zeros that are taken into a CRC at once.
const ZEROS: [u8; 4096] = [0; 4096];

/// A descriptor as it was before one of its bits was flipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mended {
    /// Which one of its entry.
    pub(super) number: usize,
    pub(super) descriptor: Descriptor,
}

impl Log<'_> {
    /// The descriptor of the entry at `offset` of which one bit is wrong, where that is all that is wrong with the entry.
    ///
    /// # Errors
    /// When the file cannot be read at all.
    pub(super) fn one_wrong_bit(&self, offset: u32, header: &EntryHeader) -> Result<Option<Mended>> {
        let slots = header.descriptor_count;
        if slots == 0 || slots > MAX_DESCRIPTORS {
            return Ok(None);
        }
        let Some(checksum) = self.checksum(offset, header, None, &|_, _| true)? else { return Ok(None) };
        let end = slots.saturating_mul(DESCRIPTOR_LENGTH).saturating_add(HEADER_LENGTH);
        let behind = header.entry_length.saturating_sub(end);
        let Some(back) = bits_before(checksum ^ header.checksum, behind, slots.saturating_mul(256)) else {
            return Ok(None);
        };
        // Counted from the last bit of the last descriptor; bits of a byte from the highest on.
        let byte = end.saturating_sub(1).saturating_sub(back >> 3);
        let number = byte.saturating_sub(HEADER_LENGTH) >> 5;
        let Some(mut slot) = self.slot(offset, header, number)? else { return Ok(None) };
        if let Some(wrong) = slot.get_mut(usize::try_from(byte & 31).unwrap_or(usize::MAX)) {
            *wrong ^= 0x80 >> (back & 7);
        }
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let descriptor = Descriptor::parse(&slot, header.sequence_number);
        Ok(descriptor.map(|descriptor| Mended { number, descriptor }))
    }

    /// The bytes of a descriptor.
    fn slot(&self, offset: u32, header: &EntryHeader, number: u32) -> Result<Option<[u8; 32]>> {
        let mut bytes = vec![0; usize::try_from(header.descriptors_length().unwrap_or(0)).unwrap_or(0)];
        if !self.read(&mut bytes, offset)? {
            return Ok(None);
        }
        Ok(descriptor_slots(&bytes, true).nth(usize::try_from(number).unwrap_or(usize::MAX)).copied())
    }
}

/// How many bits before the last bit of a row that bit stands which turns a CRC by `turned`. `behind` bytes follow the row,
/// which has `length` bits. `None` where there is no such bit, or nothing is turned.
pub(in crate::format::vhdx) fn bits_before(turned: u32, behind: u32, length: u32) -> Option<u32> {
    // What the last bit of the row turns: that bit alone, and zeros.
    let mut effect = after_zeros(POLYNOMIAL, behind);
    let found = (0..length).try_for_each(|back| {
        if effect == turned {
            return ControlFlow::Break(back);
        }
        effect = (effect >> 1) ^ if effect & 1 == 1 { POLYNOMIAL } else { 0 };
        ControlFlow::Continue(())
    });
    found.break_value()
}

/// The shift register after so many bytes of zeros.
fn after_zeros(register: u32, mut bytes: u32) -> u32 {
    let mut register = register;
    while bytes > 0 {
        let piece = ZEROS.get(..usize::try_from(bytes).unwrap_or(usize::MAX)).unwrap_or(&ZEROS);
        // The crate inverts the register before and after.
        register = !crc32c::crc32c_append(!register, piece);
        bytes = bytes.saturating_sub(u32::try_from(piece.len()).unwrap_or(u32::MAX));
    }
    register
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bit_is_found_by_what_it_turns() {
        let sound: Vec<u8> = (0..9000u32).map(|number| (number * 7 % 251) as u8).collect();
        let (row, before) = (100..164, crc32c::crc32c(&sound));
        for byte in row.clone() {
            for bit in 0..8 {
                let mut wrong = sound.clone();
                wrong[byte] ^= 1 << bit;
                let turned = crc32c::crc32c(&wrong) ^ before;
                let back = (row.end - 1 - byte) * 8 + 7 - bit;
                assert_eq!(bits_before(turned, 9000 - 164, 512), Some(back as u32), "{byte} {bit}");
            }
        }
        assert_eq!(bits_before(0, 9000 - 164, 512), None);
    }
}
