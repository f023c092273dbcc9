//! The descriptor of an entry of which one bit is wrong, told by the entry's checksum.
//!
//! See [`flipped_bit`](crate::format::vhdx::flipped_bit).

use super::entry::{Descriptor, EntryHeader, HEADER_LENGTH, descriptor_slots};
use super::sequence::Log;
use crate::error::Result;
use crate::format::vhdx::flipped_bit::bits_before;

/// Descriptors of entries with more of them are not looked at bit by bit: a log of Windows has room for 255.
const MAX_DESCRIPTORS: u32 = 1 << 12;

const DESCRIPTOR_LENGTH: u32 = 32;

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
