//! One log entry: its header, descriptors and data sectors. [MS-VHDX] 2.3.1.

use crate::bytes::{Guid, array, u32_le, u64_le};

/// What the header of an entry, a data sector, and the two kinds of descriptors begin with.
pub(in crate::format::vhdx) const ENTRY_SIGNATURE: [u8; 4] = *b"loge";
pub(in crate::format::vhdx) const DATA_SIGNATURE: [u8; 4] = *b"data";
pub(in crate::format::vhdx) const ZERO_DESCRIPTOR_SIGNATURE: [u8; 4] = *b"zero";
pub(in crate::format::vhdx) const DATA_DESCRIPTOR_SIGNATURE: [u8; 4] = *b"desc";

/// Log entries, descriptor sectors and data sectors are multiples of this.
pub(super) const SECTOR: u32 = 4096;

/// Bytes of the file that a data sector makes anew, and what they are a multiple of.
pub(in crate::format::vhdx) const PAGE: u64 = 4096;
/// The same, for steps from page to page.
pub(super) const PAGE_STEP: usize = 4096;

/// Bytes of a page that stand in its data sector; its first 8 and last 4 stand in the descriptor.
pub(super) const DATA_LENGTH: u32 = SECTOR - 8 - 4;

pub(super) const HEADER_LENGTH: u32 = 64;

/// Bytes of a descriptor, in the log and in memory.
pub(super) const DESCRIPTOR_LENGTH: u32 = 32;
pub(super) const DESCRIPTOR_BYTES: usize = 32;

/// Whether a sector bears `log_guid` where the header of an entry does. Nothing else in a log does: of one that is no header
/// all the same, damage made it so, never a power cut, for its fields share one sector of the storage.
pub(super) fn bears(sector: &[u8], log_guid: Guid) -> bool {
    Guid::read(sector, 32) == Some(log_guid)
}

/// Whether a sector begins like the header of an entry, of whichever log.
pub(super) fn is_signed(sector: &[u8]) -> bool {
    array(sector, 0) == Some(ENTRY_SIGNATURE)
}

/// Bytes that every storage writes as a whole.
pub(in crate::format::vhdx) const PIECE: usize = 512;

/// What a sector of a log is, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SectorKind {
    /// The header of an entry, and its first descriptors.
    Header,
    /// Further descriptors.
    Descriptors,
    /// The bytes of a page.
    Data,
    /// Nothing was written there.
    Zeros,
    /// Its first piece was never written, others were: a power cut left it so.
    Torn,
    /// None of these.
    Foreign,
}

impl SectorKind {
    pub(super) fn of(sector: &[u8; 4096]) -> Self {
        match array(sector, 0) {
            Some(ENTRY_SIGNATURE) => SectorKind::Header,
            Some(DATA_SIGNATURE) => SectorKind::Data,
            Some(DATA_DESCRIPTOR_SIGNATURE | ZERO_DESCRIPTOR_SIGNATURE) => SectorKind::Descriptors,
            _ if sector.iter().all(|byte| *byte == 0) => SectorKind::Zeros,
            _ if sector.iter().take(PIECE).all(|byte| *byte == 0) => SectorKind::Torn,
            _ => SectorKind::Foreign,
        }
    }

    pub(super) fn is_header(self) -> bool {
        self == SectorKind::Header
    }
}

/// Makes an entry bear another GUID: `sector` is its first one.
pub(super) fn set_guid(sector: &mut [u8], log_guid: Guid) {
    if let Some(bytes) = sector.get_mut(32..48) {
        bytes.copy_from_slice(&log_guid.0);
    }
}

/// Makes the first bytes of an entry those that its checksum is computed of: the checksum itself is zeros.
pub(super) fn prepare_for_checksum(bytes: &mut [u8], with: Option<Guid>) {
    if let Some(checksum) = bytes.get_mut(4..8) {
        checksum.fill(0);
    }
    if let Some(guid) = with {
        set_guid(bytes, guid);
    }
}

/// Gives the first sector of an entry the lengths of `header`, and `sequence_number`.
pub(super) fn mend_header(sector: &mut [u8], header: &EntryHeader, sequence_number: u64) {
    put(sector, 8, &header.entry_length.to_le_bytes());
    put(sector, 16, &sequence_number.to_le_bytes());
    put(sector, 24, &header.descriptor_count.to_le_bytes());
}

/// Where SequenceLow stands in a data sector.
const LOW_AT: usize = 4092;

/// Gives a data sector its signature and both halves of `sequence_number`, if no more than one of the three is wrong, and that
/// one was damaged: where it is zero, or of an older number, the piece that it stands in may not have reached the storage.
pub(super) fn mend_data_sector(sector: &mut [u8], sequence_number: u64) -> bool {
    let number = sequence_number.to_le_bytes();
    let (low, high) = number.split_at(4);
    let fields: [(usize, &[u8]); 3] = [(0, &DATA_SIGNATURE), (4, high), (LOW_AT, low)];
    let found = |at: usize| sector.get(at..at.saturating_add(4)).unwrap_or_default();
    let wrong = fields.iter().filter(|(at, field)| found(*at) != *field);
    let is_older = |at: usize| u32_le(found(at), 0) < u32_le(low, 0) && at == LOW_AT;
    let may_be_torn = |at: usize| found(at) == [0; 4] || is_older(at);
    let mendable = wrong.clone().count() <= 1 && !wrong.clone().any(|(at, _)| may_be_torn(*at));
    if mendable {
        fields.iter().for_each(|(at, field)| put(sector, *at, field));
    }
    mendable
}

fn put(sector: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = sector.get_mut(at..at.saturating_add(bytes.len())) {
        place.copy_from_slice(bytes);
    }
}

/// Whether an entry can have so many bytes.
pub(super) fn is_length(length: u32, log_length: u32) -> bool {
    length >= SECTOR && length.is_multiple_of(SECTOR) && length <= log_length
}

/// The header of a log entry whose lengths fit each other and the log. The checksum is checked apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntryHeader {
    pub(super) checksum: u32,
    /// In bytes, the header included; a multiple of 4 KiB, at most the log's length.
    pub(super) entry_length: u32,
    /// Offset in the log of the oldest entry of the sequence that this entry ends.
    pub(super) tail: u32,
    pub(super) sequence_number: u64,
    pub(super) descriptor_count: u32,
    pub(super) flushed_file_offset: u64,
    pub(super) last_file_offset: u64,
}

impl EntryHeader {
    /// Parses a header that bears `log_guid`. `None` where there is none, or where it contradicts itself.
    pub(super) fn parse(sector: &[u8], log_guid: Guid, log_length: u32) -> Option<Self> {
        if !is_signed(sector) || Guid::read(sector, 32)? != log_guid {
            return None;
        }
        let header = Self::fields(sector)?;
        header.fits(log_length)?.then_some(header)
    }

    /// The fields of a header, whatever they say.
    pub(super) fn fields(sector: &[u8]) -> Option<Self> {
        Some(EntryHeader {
            checksum: u32_le(sector, 4)?,
            entry_length: u32_le(sector, 8)?,
            tail: u32_le(sector, 12)?,
            sequence_number: u64_le(sector, 16)?,
            descriptor_count: u32_le(sector, 24)?,
            flushed_file_offset: u64_le(sector, 48)?,
            last_file_offset: u64_le(sector, 56)?,
        })
    }

    fn fits(&self, log_length: u32) -> Option<bool> {
        let fits = is_length(self.entry_length, log_length)
            && self.tail.is_multiple_of(SECTOR)
            && self.tail < log_length
            && self.sequence_number > 0
            && self.descriptors_length()? <= self.entry_length;
        Some(fits)
    }

    /// Parses a header of whichever log.
    pub(super) fn parse_any(sector: &[u8], log_length: u32) -> Option<Self> {
        Self::parse(sector, Guid::read(sector, 32)?, log_length)
    }

    /// Bytes that an entry has whose descriptors name so many data sectors.
    pub(super) fn length_with(&self, data_sectors: u64) -> Option<u64> {
        Some(data_sectors.saturating_mul(u64::from(SECTOR)).saturating_add(u64::from(self.descriptors_length()?)))
    }

    /// Bytes of the header and its descriptors, in whole sectors. `None` where they exceed 32 bits.
    pub(super) fn descriptors_length(&self) -> Option<u32> {
        let length = self.descriptor_count.checked_mul(DESCRIPTOR_LENGTH)?.checked_add(HEADER_LENGTH)?;
        length.checked_next_multiple_of(SECTOR)
    }
}

/// One descriptor: what a log entry writes where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Descriptor {
    /// `length` bytes of the file from `file_offset` on become zeros.
    Zero { file_offset: u64, length: u64 },
    /// The 4 KiB at `file_offset` become `leading`, the 4084 bytes of the entry's next data sector, `trailing`.
    Data { file_offset: u64, leading: [u8; 8], trailing: [u8; 4] },
}

impl Descriptor {
    /// Parses 32 bytes; `None` unless signature, alignment and sequence number are as the format wants them.
    pub(super) fn parse(bytes: &[u8], sequence_number: u64) -> Option<Self> {
        let file_offset = u64_le(bytes, 16)?;
        if u64_le(bytes, 24)? != sequence_number || !file_offset.is_multiple_of(u64::from(SECTOR)) {
            return None;
        }
        match array(bytes, 0)? {
            ZERO_DESCRIPTOR_SIGNATURE => {
                let length = u64_le(bytes, 8)?;
                let fits = length.is_multiple_of(u64::from(SECTOR)) && file_offset.checked_add(length).is_some();
                fits.then_some(Descriptor::Zero { file_offset, length })
            }
            DATA_DESCRIPTOR_SIGNATURE => {
                file_offset.checked_add(u64::from(SECTOR))?;
                Some(Descriptor::Data { file_offset, leading: array(bytes, 8)?, trailing: array(bytes, 4)? })
            }
            _ => None,
        }
    }

    /// Parses 32 bytes, whichever sequence number they bear.
    pub(super) fn parse_any(bytes: &[u8]) -> Option<Self> {
        Self::parse(bytes, u64_le(bytes, 24)?)
    }

    /// The bytes of the file that it changes.
    pub(super) fn file_range(&self) -> std::ops::Range<u64> {
        match *self {
            Descriptor::Zero { file_offset, length } => file_offset..file_offset.saturating_add(length),
            Descriptor::Data { file_offset, .. } => file_offset..file_offset.saturating_add(u64::from(SECTOR)),
        }
    }
}

/// The descriptors in some of an entry's descriptor sectors: `None` stands for one that does not hold. `first` says that
/// `bytes` begins at the entry's header.
pub(super) fn descriptors(bytes: &[u8], first: bool, sequence_number: u64) -> impl Iterator<Item = Option<Descriptor>> {
    descriptor_slots(bytes, first).map(move |slot| Descriptor::parse(slot, sequence_number))
}

/// Where descriptors stand in some of an entry's descriptor sectors. `first` as above.
pub(super) fn descriptor_slots(bytes: &[u8], first: bool) -> impl Iterator<Item = &[u8; DESCRIPTOR_BYTES]> {
    // The header takes the place of the first two descriptors.
    bytes.as_chunks::<DESCRIPTOR_BYTES>().0.iter().skip(if first { 2 } else { 0 })
}

/// Whether a data sector is whole and belongs to the entry: both halves of its SequenceNumber are the entry's.
pub(super) fn data_sector_holds(sector: &[u8], sequence_number: u64) -> bool {
    let halves = || Some((u32_le(sector, 4)?, u32_le(sector, 4092)?));
    let Some((high, low)) = halves() else { return false };
    array(sector, 0) == Some(DATA_SIGNATURE) && (u64::from(high) << 32 | u64::from(low)) == sequence_number
}

/// Whether a data sector reached the storage with the entry. Its last bytes are those that no older sector has; of the first
/// ones half are enough, for they stand in one piece of the storage.
pub(super) fn data_sector_written(sector: &[u8], sequence_number: u64) -> bool {
    let number = sequence_number.to_le_bytes();
    let (low, high) = number.split_at(4);
    let first = array(sector, 0) == Some(DATA_SIGNATURE) || sector.get(4..8) == Some(high);
    first && sector.get(4092..4096) == Some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_takes_126_descriptors_and_each_further_sector_128() {
        let length = |descriptor_count| {
            let header = EntryHeader {
                checksum: 0,
                entry_length: 0,
                tail: 0,
                sequence_number: 1,
                descriptor_count,
                flushed_file_offset: 0,
                last_file_offset: 0,
            };
            header.descriptors_length()
        };
        assert_eq!(length(0), Some(4096));
        assert_eq!(length(126), Some(4096));
        assert_eq!(length(127), Some(8192));
        assert_eq!(length(126 + 128), Some(8192));
        assert_eq!(length(126 + 129), Some(12288));
        assert_eq!(length(u32::MAX), None);
    }
}
