//! A new dynamic VHDX: where its structures stand, and their bytes. Nothing here writes; an export does.
//!
//! One file for each structure, as for reading, and with the reader's constants. Only what a file needs that was closed
//! well and has no parent: an empty log, blocks that are there or zeros.
//!
//! ```text
//! 0        file type identifier, two headers, two region tables
//! 1 MiB    log, empty
//! 2 MiB    metadata region
//! 3 MiB    BAT, up to the next multiple of 1 MiB
//! then     payload blocks, in the order in which they were first written
//! ```

mod bat;
mod file_type_identifier;
mod header;
mod metadata;
mod region_table;

use std::ops::Range;

use super::bat::{BatShape, ENTRY_LENGTH, MIB};
use super::header::{LENGTH as HEADER_LENGTH, OFFSETS as HEADERS};
use super::metadata::MAX_VIRTUAL_DISK_SIZE;
use super::region_table::OFFSETS as REGION_TABLES;
use crate::bytes::Guid;
use crate::error::{Error, ErrorKind, Result};
use crate::layer::Geometry;

pub use bat::NewBat;

/// Blocks of disks of up to [`LARGE`] bytes. As those of every checkpoint that Hyper-V makes: a block that holds a few
/// sectors costs little.
const BLOCK_SIZE: u32 = 2 << 20;
/// Blocks of larger disks, as those of every dynamic disk that Hyper-V makes: so no BAT is larger than 16 MiB and a bit.
const LARGE_BLOCK_SIZE: u32 = 32 << 20;
const LARGE: u64 = 1 << 40;

const LOG: Range<u64> = MIB..2 << 20;
const METADATA: Range<u64> = 2 << 20..3 << 20;
const BAT_OFFSET: u64 = 3 << 20;

/// The layout of a new dynamic VHDX.
#[derive(Debug, Clone)]
pub struct NewImage {
    geometry: Geometry,
    shape: BatShape,
    disk_id: Guid,
}

/// Whether a file is complete, by what stands at its front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    /// It is no VHDX: its front was not written yet.
    Missing,
    /// It stands there as [`NewImage::seal`] made it: nobody has opened the file for writing since.
    AsMade,
    /// It is that of another VHDX, or of one that was opened for writing since.
    Other,
}

/// Bytes and where they go in the file.
#[derive(Debug, Clone)]
pub struct Piece {
    /// In bytes.
    pub offset: u64,
    /// What stands there.
    pub bytes: Vec<u8>,
}

impl NewImage {
    /// Bytes of a file that [`front_of`](Self::front_of) looks at.
    pub const FRONT: usize = 192 << 10;

    /// The layout for a disk of this size and these sectors. Its blocks are chosen here.
    ///
    /// # Errors
    /// When the format has no such disk.
    pub fn of(disk: &Geometry, disk_id: Guid) -> Result<Self> {
        let refused = |text: String| {
            Err(Error::new(ErrorKind::Unsupported, text).advise("export it as a raw file: --format raw"))
        };
        let size = disk.virtual_size;
        if size > MAX_VIRTUAL_DISK_SIZE {
            return refused(format!("a VHDX holds 64 TiB at most, and this disk has {size} bytes"));
        }
        if size == 0 || !size.is_multiple_of(u64::from(disk.logical_sector_size)) {
            let sector = disk.logical_sector_size;
            return refused(format!("a VHDX holds whole sectors of {sector} bytes, and this disk has {size} bytes"));
        }
        let block_size = if size > LARGE { LARGE_BLOCK_SIZE } else { BLOCK_SIZE };
        let geometry = Geometry { block_size, ..*disk };
        match BatShape::of(&geometry) {
            Some(shape) => Ok(NewImage { geometry, shape, disk_id }),
            None => refused(format!("a VHDX has no sectors of {} bytes", disk.logical_sector_size)),
        }
    }

    /// Size of a payload block in bytes.
    #[must_use]
    pub fn block_size(&self) -> u64 {
        self.shape.block_size
    }

    /// A BAT in which every block is zeros.
    #[must_use]
    pub fn bat(&self) -> NewBat {
        NewBat::new(self.shape, BAT_OFFSET, self.bat_region().end)
    }

    /// What makes the file a VHDX, to be written when BAT and payload stand on the storage, in this order: metadata, region
    /// tables, headers, and last the file type identifier. `guids` are the FileWriteGuid and the DataWriteGuid.
    #[must_use]
    pub fn seal(&self, creator: &str, guids: [Guid; 2]) -> Vec<Piece> {
        let metadata = Piece { offset: METADATA.start, bytes: metadata::region(&self.geometry, self.disk_id) };
        let table = region_table::bytes(&METADATA, &self.bat_region());
        let tables = REGION_TABLES.map(|offset| Piece { offset, bytes: table.clone() });
        let headers = HEADERS.into_iter().zip(header::SEQUENCE_NUMBERS);
        let headers = headers.map(|(offset, number)| Piece { offset, bytes: header::bytes(number, guids, &LOG) });
        let identifier = Piece { offset: 0, bytes: file_type_identifier::bytes(creator) };
        [metadata].into_iter().chain(tables).chain(headers).chain([identifier]).collect()
    }

    /// What the first [`FRONT`](Self::FRONT) bytes of a file say.
    #[must_use]
    pub fn front_of(bytes: &[u8]) -> Front {
        if !super::file_type_identifier::is_signature(bytes) {
            return Front::Missing;
        }
        let as_made = HEADERS.into_iter().zip(header::SEQUENCE_NUMBERS).all(|(offset, number)| {
            let at = usize::try_from(offset).unwrap_or(usize::MAX);
            let bytes = at.checked_add(HEADER_LENGTH).and_then(|end| bytes.get(at..end));
            bytes.is_some_and(|bytes| header::is_as_made(bytes, number))
        });
        if as_made { Front::AsMade } else { Front::Other }
    }

    fn bat_region(&self) -> Range<u64> {
        let length = self.shape.entries_needed().saturating_mul(ENTRY_LENGTH);
        BAT_OFFSET..BAT_OFFSET.saturating_add(length).checked_next_multiple_of(MIB).unwrap_or(u64::MAX)
    }
}

/// A structure that bears its own checksum, which is computed with zero in its place.
fn with_checksum(build: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    build(crc32c::crc32c(&build(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(virtual_size: u64, logical_sector_size: u32) -> Geometry {
        Geometry { virtual_size, block_size: 0, logical_sector_size, physical_sector_size: 4096 }
    }

    #[test]
    fn what_the_format_cannot_hold_is_refused() {
        for (size, sector, word) in
            [(0, 512, "whole sectors"), (513, 512, "whole sectors"), (512, 4096, "whole sectors")]
        {
            let error = NewImage::of(&disk(size, sector), Guid::ZERO).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
        let error = NewImage::of(&disk((64 << 40) + 512, 512), Guid::ZERO).unwrap_err();
        assert!(error.to_string().contains("64 TiB"), "{error}");
    }

    #[test]
    fn the_largest_disk_has_a_bat_of_17_mib() {
        let image = NewImage::of(&disk(64 << 40, 512), Guid::ZERO).unwrap();
        // 2^21 blocks, and the entry of a bitmap after every 128 of them but the last: 2^21 + 2^14 - 1 entries.
        assert_eq!(image.bat_region(), BAT_OFFSET..BAT_OFFSET + (17 << 20));
        assert_eq!(NewImage::of(&disk(1 << 40, 512), Guid::ZERO).unwrap().block_size(), 2 << 20);
    }

    #[test]
    fn a_front_is_told_from_another() {
        let image = NewImage::of(&disk(1 << 30, 512), Guid::ZERO).unwrap();
        let mut bytes = vec![0; NewImage::FRONT];
        assert_eq!(NewImage::front_of(&bytes), Front::Missing);
        for piece in image.seal("x", [Guid([1; 16]), Guid([2; 16])]) {
            let at = usize::try_from(piece.offset).unwrap();
            if let Some(place) = bytes.get_mut(at..at + piece.bytes.len()) {
                place.copy_from_slice(&piece.bytes);
            }
        }
        assert_eq!(NewImage::front_of(&bytes), Front::AsMade);
        bytes[(64 << 10) + 8] = 3;
        assert_eq!(NewImage::front_of(&bytes), Front::Other);
    }
}
