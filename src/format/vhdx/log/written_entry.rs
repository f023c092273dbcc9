//! An entry that does not hold, told by its sectors instead of by its header.
//!
//! Each descriptor bears the entry's SequenceNumber, and so do both ends of each data sector. Where all of them do, the entry
//! reached the storage as a whole: a power cut leaves sectors behind that bear an older number, or none. What makes such an
//! entry not hold came later.

use std::ops::Range;

use super::entry::{
    self, DESCRIPTOR_BYTES, Descriptor, EntryHeader, HEADER_LENGTH, PIECE, SECTOR, SectorKind, data_sector_written,
};
use super::sequence::Log;
use crate::bytes::u64_le;
use crate::error::Result;
use crate::image::OverlayBuilder;

/// Entries of more descriptors than this are not told: it is 256 MiB of pages, where a log of Windows has 1 MiB.
const MAX_DESCRIPTORS: u32 = 1 << 16;

/// See the module.
pub(super) struct WrittenEntry {
    /// In bytes, the header included, by what is there of it.
    pub(super) length: u32,
    /// Offset in the log of its data sectors.
    pub(super) data_sectors: u32,
    /// What it changes, in order; `None` stands for a descriptor of which not even its kind and place are legible.
    pub(super) descriptors: Vec<Option<Descriptor>>,
    /// Whether the data sectors are those that were written.
    pub(super) are_pages_known: bool,
    /// Bytes of the file, 8 of them, that it says otherwise than it did: one bit of them is wrong.
    pub(super) spoilt: Option<Range<u64>>,
}

impl WrittenEntry {
    /// The entry with SequenceNumber `number` at `offset` of the log, whose header is `header`, may that bear another number.
    /// `None` where none was written there as a whole.
    ///
    /// # Errors
    /// When the file cannot be read at all.
    pub(super) fn look(log: &Log<'_>, offset: u32, header: &EntryHeader, number: u64) -> Result<Option<Self>> {
        let look = Look { log, offset, header, number };
        if header.descriptor_count > MAX_DESCRIPTORS {
            return Ok(None);
        }
        // The header's word, and that of the descriptors: one field may be damaged, not two.
        let mut best: Option<Self> = None;
        for count in [Some(header.descriptor_count), look.descriptors_by_number()?].into_iter().flatten() {
            if let Some(entry) = look.with_descriptors(count)?
                && best.as_ref().is_none_or(|best| best.worth() < entry.worth())
            {
                best = Some(entry);
            }
        }
        Ok(best)
    }

    /// The same for an entry of which a data sector was written over: it holds what no writer puts into a log, and no power cut
    /// leaves there. What it made of pages is not known. `foreign` sectors are such in all of the log: where there are more than the
    /// entry has, the log never was anything else.
    ///
    /// # Errors
    /// When the file cannot be read at all.
    pub(super) fn overwritten(
        log: &Log<'_>,
        offset: u32,
        header: &EntryHeader,
        number: u64,
        foreign: usize,
    ) -> Result<Option<Self>> {
        let look = Look { log, offset, header, number };
        if foreign == 0 || header.sequence_number != number || header.descriptor_count > MAX_DESCRIPTORS {
            return Ok(None);
        }
        let found = look.entry(header.descriptor_count)?;
        let Some(Found { mut entry, pages, are_descriptors_written, .. }) = found else { return Ok(None) };
        let (mut sector, mut at, mut own) = ([0; 4096], entry.data_sectors, 0usize);
        for _ in 0..pages {
            if !log.read(&mut sector, at)? {
                return Ok(None);
            }
            own = own.saturating_add(usize::from(SectorKind::of(&sector) == SectorKind::Foreign));
            at = log.advance(at, SECTOR);
        }
        entry.are_pages_known = false;
        let is_it = own > 0 && own == foreign && are_descriptors_written && entry.length == header.entry_length;
        Ok(is_it.then_some(entry))
    }

    /// The more of it is legible, the more it is worth.
    fn worth(&self) -> (bool, usize) {
        (self.is_legible(), self.descriptors.len())
    }

    /// Adds what it says, after what was there before.
    pub(super) fn apply(&self, log: &Log<'_>, patches: &mut OverlayBuilder) {
        let mut data_sector = self.data_sectors;
        for descriptor in self.descriptors.iter().flatten() {
            match *descriptor {
                Descriptor::Zero { .. } => patches.zero(descriptor.file_range()),
                Descriptor::Data { file_offset, leading, trailing } => {
                    log.splice_page(patches, file_offset, leading, data_sector, trailing);
                    data_sector = log.advance(data_sector, SECTOR);
                    if !self.are_pages_known {
                        patches.doubtful(descriptor.file_range());
                    }
                }
            }
        }
    }

    /// The 8 bytes of the file that a byte of its data sectors is among. `None` for those that are of no page.
    fn eight_bytes(&self, byte: u32) -> Option<Range<u64>> {
        let is_page = |descriptor: &&Descriptor| matches!(descriptor, Descriptor::Data { .. });
        let within = u64::from(byte % SECTOR);
        let page = self.descriptors.iter().flatten().filter(is_page).nth(usize::try_from(byte / SECTOR).ok()?)?;
        let start = page.file_range().start.saturating_add(within & !7);
        (8..4092).contains(&within).then_some(start..start.saturating_add(8))
    }

    /// The places of the file that it changes, as far as they are known.
    pub(super) fn places(&self) -> impl Iterator<Item = Range<u64>> {
        self.descriptors.iter().flatten().map(Descriptor::file_range)
    }

    /// Whether all that it changes is known by its place.
    pub(super) fn is_legible(&self) -> bool {
        self.descriptors.iter().all(Option::is_some)
    }
}

/// Where an entry may stand, and which one it must be.
struct Look<'a> {
    log: &'a Log<'a>,
    offset: u32,
    header: &'a EntryHeader,
    number: u64,
}

/// An entry of which it is not known yet whether all of it was written.
struct Found {
    entry: WrittenEntry,
    /// How many data sectors it has.
    pages: u32,
    are_descriptors_written: bool,
    /// Its header, with the lengths that it must have.
    mended: EntryHeader,
}

impl Look<'_> {
    /// How many descriptors there are if the last one that bears the number is the last one. `None` where none does.
    fn descriptors_by_number(&self) -> Result<Option<u32>> {
        let (mut last, mut counted) = (None, 0u32);
        let (mut sector, mut done) = ([0; 4096], 0);
        while done < self.header.entry_length && counted < MAX_DESCRIPTORS {
            if !self.log.read(&mut sector, self.log.advance(self.offset, done))? {
                break;
            }
            let before = last;
            for slot in entry::descriptor_slots(&sector, done == 0) {
                counted = counted.saturating_add(1);
                if self.bears_number(slot) {
                    last = Some(counted);
                }
            }
            if last == before {
                break;
            }
            done = done.saturating_add(SECTOR);
        }
        Ok(last)
    }

    fn bears_number(&self, slot: &[u8; DESCRIPTOR_BYTES]) -> bool {
        u64_le(slot, 24) == Some(self.number)
    }

    /// The entry, if it has so many descriptors and was written as a whole.
    fn with_descriptors(&self, count: u32) -> Result<Option<WrittenEntry>> {
        let Some(Found { mut entry, pages, are_descriptors_written, mended }) = self.entry(count)? else {
            return Ok(None);
        };
        let descriptors_length = mended.descriptors_length().unwrap_or(0);
        let written = are_descriptors_written && self.all_data_sectors_written(entry.data_sectors, pages)?
            || self.checksum_holds(descriptors_length, &mended)?;
        if let Some(byte) = self.log.wrong_data_byte(self.offset, &mended)? {
            entry.spoilt = entry.eight_bytes(byte);
        }
        Ok(written.then_some(entry))
    }

    /// What stands there of an entry with so many descriptors.
    fn entry(&self, count: u32) -> Result<Option<Found>> {
        let header = EntryHeader { descriptor_count: count, ..self.header.clone() };
        let Some(descriptors_length) = header.descriptors_length().filter(|length| *length <= self.log.length) else {
            return Ok(None);
        };
        let mut bytes = vec![0; usize::try_from(descriptors_length).unwrap_or(0)];
        if !self.log.read(&mut bytes, self.offset)? {
            return Ok(None);
        }
        let slots: Vec<&[u8; DESCRIPTOR_BYTES]> =
            entry::descriptor_slots(&bytes, true).take(usize::try_from(count).unwrap_or(0)).collect();
        let mut descriptors: Vec<_> = slots.iter().map(|slot| Descriptor::parse_any(*slot)).collect();
        let Some((length, pages)) = self.length(descriptors_length, count, &descriptors) else { return Ok(None) };
        let data_sectors = self.log.advance(self.offset, descriptors_length);
        let mended = EntryHeader { entry_length: length, ..header };
        if length == header.entry_length
            && let Some(mended) = self.log.one_wrong_bit(self.offset, &header)?
            && let Some(descriptor) = descriptors.get_mut(mended.number)
        {
            *descriptor = Some(mended.descriptor);
        }
        let are_descriptors_written = self.all_pieces_written(&slots);
        let entry = WrittenEntry { length, data_sectors, descriptors, are_pages_known: true, spoilt: None };
        Ok(Some(Found { entry, pages, are_descriptors_written, mended }))
    }

    /// How long the entry is and how many data sectors it has. `None` where more than one field of the header would have to be
    /// wrong.
    fn length(&self, descriptors_length: u32, count: u32, descriptors: &[Option<Descriptor>]) -> Option<(u32, u32)> {
        let known = descriptors.iter().filter(|each| matches!(each, Some(Descriptor::Data { .. }))).count();
        let known = u32::try_from(known).ok()?;
        let unknown = u32::try_from(descriptors.iter().filter(|each| each.is_none()).count()).ok()?;
        let by_header = self.header.entry_length.checked_sub(descriptors_length).map(|rest| rest / SECTOR);
        let pages = match by_header {
            Some(pages) if (known..=known.saturating_add(unknown)).contains(&pages) => pages,
            _ if unknown == 0 && count == self.header.descriptor_count => known,
            _ => return None,
        };
        let length = pages.checked_mul(SECTOR)?.checked_add(descriptors_length)?;
        (length <= self.log.length).then_some((length, pages))
    }

    /// Whether each piece of the storage that holds descriptors was written: one of them bears the number, or the header does.
    fn all_pieces_written(&self, slots: &[&[u8; DESCRIPTOR_BYTES]]) -> bool {
        let header = usize::try_from(HEADER_LENGTH).unwrap_or(0);
        let by_header = self.header.sequence_number == self.number;
        if slots.is_empty() {
            return by_header;
        }
        let in_first = PIECE.saturating_sub(header) / DESCRIPTOR_BYTES;
        let (first, rest) = slots.split_at(in_first.min(slots.len()));
        let bears = |slot: &&[u8; DESCRIPTOR_BYTES]| self.bears_number(slot);
        (by_header || first.iter().any(bears))
            && rest.chunks(PIECE / DESCRIPTOR_BYTES).all(|piece| piece.iter().any(bears))
    }

    fn all_data_sectors_written(&self, start: u32, pages: u32) -> Result<bool> {
        let (mut sector, mut at) = ([0; 4096], start);
        for _ in 0..pages {
            if !self.log.read(&mut sector, at)? || !data_sector_written(&sector, self.number) {
                return Ok(false);
            }
            at = self.log.advance(at, SECTOR);
        }
        Ok(true)
    }

    /// Whether the checksum holds: as the entry lies, or once header and data sectors bear the number that they must.
    fn checksum_holds(&self, descriptors_length: u32, mended: &EntryHeader) -> Result<bool> {
        if self.header.sequence_number == self.number
            && self.log.checksum(self.offset, self.header, None, &|_, _| true)? == Some(self.header.checksum)
        {
            return Ok(true);
        }
        let (mut crc, mut done, mut sector) = (0, 0, [0; 4096]);
        while done < mended.entry_length {
            if !self.log.read(&mut sector, self.log.advance(self.offset, done))? {
                return Ok(false);
            }
            if done == 0 {
                entry::prepare_for_checksum(&mut sector, None);
                entry::mend_header(&mut sector, mended, self.number);
            } else if done >= descriptors_length && !entry::mend_data_sector(&mut sector, self.number) {
                return Ok(false);
            }
            crc = crc32c::crc32c_append(crc, &sector);
            done = done.saturating_add(SECTOR);
        }
        Ok(crc == mended.checksum)
    }
}
