//! The descriptor, or the header, of an entry of which one bit is wrong, told by the entry's checksum.
//!
//! See [`flipped_bit`](crate::format::vhdx::flipped_bit).

use super::entry::{DESCRIPTOR_LENGTH, Descriptor, EntryHeader, HEADER_LENGTH, descriptor_slots, is_length};
use super::sequence::Log;
use crate::error::Result;
use crate::format::vhdx::flipped_bit::bits_before;

/// Headers of longer entries are not looked at bit by bit, in bytes: a log of Windows has 1 MiB.
const MAX_LENGTH: u32 = 8 << 20;

/// Nor are the data sectors of longer ones.
const MAX_SEARCHED: u32 = 1 << 20;

/// Descriptors of entries with more of them are not looked at bit by bit: a log of Windows has room for 255.
const MAX_DESCRIPTORS: u32 = 1 << 12;

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

    /// Which byte of the data sectors of the entry at `offset` has a wrong bit, where that is all that is wrong with the entry.
    ///
    /// # Errors
    /// When the file cannot be read at all.
    pub(super) fn wrong_data_byte(&self, offset: u32, header: &EntryHeader) -> Result<Option<u32>> {
        let data = header.entry_length.saturating_sub(header.descriptors_length().unwrap_or(u32::MAX));
        if header.entry_length > MAX_SEARCHED {
            return Ok(None);
        }
        let Some(checksum) = self.checksum(offset, header, None, &|_, _| true)? else { return Ok(None) };
        let back = bits_before(checksum ^ header.checksum, 0, data.saturating_mul(8));
        Ok(back.map(|back| data.saturating_sub(1).saturating_sub(back >> 3)))
    }

    /// The header of the entry at `offset` as it was before one of its bits was flipped, where that is all that is wrong with the entry.
    ///
    /// # Errors
    /// When the file cannot be read at all.
    pub(super) fn mended_header(&self, offset: u32) -> Result<Option<EntryHeader>> {
        let mut sector = [0; 4096];
        if !self.read(&mut sector, offset)? {
            return Ok(None);
        }
        let Some(found) = EntryHeader::fields(&sector) else { return Ok(None) };
        // The bit may be one of the length, which the checksum goes by.
        let flips = (0..u32::BITS).map(|bit| found.entry_length ^ 1u32.wrapping_shl(bit));
        for entry_length in [found.entry_length].into_iter().chain(flips) {
            if !is_length(entry_length, self.length.min(MAX_LENGTH)) {
                continue;
            }
            let header = EntryHeader { entry_length, ..found.clone() };
            let Some(checksum) = self.checksum(offset, &header, None, &|_, _| true)? else { continue };
            let behind = entry_length.saturating_sub(HEADER_LENGTH);
            let Some(back) = bits_before(checksum ^ found.checksum, behind, HEADER_LENGTH.saturating_mul(8)) else {
                continue;
            };
            let byte = HEADER_LENGTH.saturating_sub(1).saturating_sub(back >> 3);
            let mut mended = sector;
            if let Some(wrong) = mended.get_mut(usize::try_from(byte).unwrap_or(usize::MAX)) {
                *wrong ^= 0x80 >> (back & 7);
            }
            let mended = EntryHeader::parse(&mended, self.guid, self.length);
            if let Some(header) = mended.filter(|mended| mended.entry_length == entry_length) {
                return Ok(Some(header));
            }
        }
        Ok(None)
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
