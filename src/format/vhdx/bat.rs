//! The block allocation table: [MS-VHDX] 2.5.
//!
//! The BAT of a 64 TiB disk can hold 64 million entries, so it is never kept as a whole: an entry is read when a block is
//! asked for. Only a check reads all of them.

use crate::layer::Geometry;

/// Bytes of a BAT entry.
pub(super) const ENTRY_LENGTH: u64 = 8;
/// Bytes of a sector bitmap block, and the alignment of every block in the file.
pub(super) const MIB: u64 = 1 << 20;
/// Sectors that one sector bitmap block covers: a chunk.
pub(super) const SECTORS_PER_CHUNK: u64 = 1 << 23;

/// Where the entries of the BAT stand and how many there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatShape {
    /// In bytes.
    pub(super) block_size: u64,
    /// In bytes.
    pub(super) logical_sector_size: u64,
    /// Payload blocks of the disk, the last one perhaps partly past its end.
    pub(super) payload_blocks: u64,
    /// Payload blocks of a chunk; after their entries stands the entry of the chunk's sector bitmap.
    pub(super) chunk_ratio: u64,
}

impl BatShape {
    /// The shape of the BAT of a disk. `None` where the sizes contradict each other, which checked metadata do not.
    pub(super) fn of(geometry: &Geometry) -> Option<Self> {
        let block_size = u64::from(geometry.block_size);
        let logical_sector_size = u64::from(geometry.logical_sector_size);
        let chunk_ratio = SECTORS_PER_CHUNK.checked_mul(logical_sector_size)?.checked_div(block_size)?;
        if chunk_ratio == 0 {
            return None;
        }
        let payload_blocks = geometry.virtual_size.div_ceil(block_size);
        Some(BatShape { block_size, logical_sector_size, payload_blocks, chunk_ratio })
    }

    /// Number of the BAT entry of a payload block.
    pub(super) fn payload_entry(&self, block: u64) -> u64 {
        block.saturating_add(block.checked_div(self.chunk_ratio).unwrap_or(0))
    }

    /// The payload block that the BAT entry of this number places; `None` where it is a chunk's sector bitmap.
    pub(super) fn payload_block(&self, entry: u64) -> Option<u64> {
        let a_chunk = self.chunk_ratio.saturating_add(1);
        let chunk = entry.checked_div(a_chunk)?;
        (entry != self.bitmap_entry(chunk)).then(|| entry.saturating_sub(chunk))
    }

    /// The chunk that holds a payload block.
    pub(super) fn chunk(&self, block: u64) -> u64 {
        block.checked_div(self.chunk_ratio).unwrap_or(0)
    }

    /// Number of the BAT entry of a chunk's sector bitmap.
    pub(super) fn bitmap_entry(&self, chunk: u64) -> u64 {
        chunk.saturating_mul(self.chunk_ratio.saturating_add(1)).saturating_add(self.chunk_ratio)
    }

    /// Entries that a fixed or dynamic disk needs: those of all payload blocks.
    pub(super) fn entries_needed(&self) -> u64 {
        self.payload_entry(self.payload_blocks.saturating_sub(1)).saturating_add(1)
    }
}

/// State of a payload block: [MS-VHDX] 2.5.1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PayloadState {
    NotPresent,
    Undefined,
    Zero,
    Unmapped,
    /// Value 5, which version 0.95 of the format used for UNMAPPED.
    OldUnmapped,
    FullyPresent,
    PartiallyPresent,
    /// Value 4.
    Reserved,
}

/// One entry of the BAT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatEntry(pub(super) u64);

impl BatEntry {
    /// The state, read as that of a payload block.
    pub(super) fn payload_state(self) -> PayloadState {
        match self.state() {
            0 => PayloadState::NotPresent,
            1 => PayloadState::Undefined,
            2 => PayloadState::Zero,
            3 => PayloadState::Unmapped,
            5 => PayloadState::OldUnmapped,
            6 => PayloadState::FullyPresent,
            7 => PayloadState::PartiallyPresent,
            _ => PayloadState::Reserved,
        }
    }

    /// Whether the entry, read as that of a sector bitmap block, says that the bitmap is there.
    pub(super) fn bitmap_present(self) -> bool {
        self.state() == 6
    }

    /// Bits 0 to 2.
    fn state(self) -> u64 {
        self.0 & 7
    }

    /// FileOffsetMB as a byte offset. Means nothing unless the state claims a block.
    pub(super) fn file_offset(self) -> u64 {
        self.0 & !(MIB.saturating_sub(1))
    }

    /// Whether it is of a block that was trimmed: it may keep its place in the file, though its content does not count any more.
    pub(super) fn may_keep_place(self) -> bool {
        matches!(self.payload_state(), PayloadState::Undefined | PayloadState::Unmapped | PayloadState::OldUnmapped)
    }

    /// Where a block that was trimmed still stands in the file.
    pub(super) fn kept_place(self) -> Option<u64> {
        Some(self.file_offset()).filter(|start| self.may_keep_place() && *start > 0)
    }

    /// The reserved bits between state and FileOffsetMB, in their places.
    pub(super) fn reserved_bits(self) -> u64 {
        (self.0 & MIB.saturating_sub(1)) ^ self.state()
    }

    /// Whether the reserved bits are zero, as they must be.
    pub(super) fn is_aligned(self) -> bool {
        self.reserved_bits() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(virtual_size: u64, block_size: u32, logical_sector_size: u32) -> BatShape {
        let geometry = Geometry { virtual_size, block_size, logical_sector_size, physical_sector_size: 4096 };
        BatShape::of(&geometry).unwrap()
    }

    #[test]
    fn bitmap_entries_stand_behind_each_chunk() {
        // 2 MiB blocks of 512-byte sectors: 2^23 * 512 / 2 MiB = 2048 blocks a chunk.
        let shape = shape(10 << 30, 2 << 20, 512);
        assert_eq!(shape.chunk_ratio, 2048);
        assert_eq!(shape.payload_blocks, 5120);
        assert_eq!(shape.payload_entry(2047), 2047);
        assert_eq!(shape.bitmap_entry(0), 2048);
        assert_eq!(shape.payload_entry(2048), 2049);
        assert_eq!(shape.bitmap_entry(1), 4097);
        // n + floor((n - 1) / chunk_ratio), as the format counts.
        assert_eq!(shape.entries_needed(), 5120 + 5119 / 2048);
    }

    #[test]
    fn the_extremes_of_the_format_have_a_shape() {
        assert_eq!(shape(512, 1 << 20, 512).entries_needed(), 1);
        assert_eq!(shape(64 << 40, 256 << 20, 512).chunk_ratio, 16);
        let large = shape(64 << 40, 1 << 20, 4096);
        assert_eq!(large.chunk_ratio, 32768);
        assert_eq!(large.payload_blocks, 1 << 26);
    }

    #[test]
    fn entries_are_taken_apart() {
        let entry = BatEntry((5 << 20) | 6);
        assert_eq!((entry.payload_state(), entry.file_offset()), (PayloadState::FullyPresent, 5 << 20));
        assert!(entry.is_aligned() && entry.bitmap_present());
        assert!(!BatEntry((5 << 20) | (1 << 3) | 6).is_aligned());
        assert_eq!(BatEntry(4).payload_state(), PayloadState::Reserved);
        assert_eq!(BatEntry(u64::MAX).file_offset(), u64::MAX - 0xf_ffff);
    }
}
