//! The BAT of a new file: [MS-VHDX] 2.5.
//!
//! A block that holds nothing but zeros is ZERO, for that is what is known of it; NOT_PRESENT would leave its content
//! undefined. It gets a place when the first byte that is none is written, behind all that have one.

use std::ops::Range;

use super::Piece;
use crate::bytes::u64_le;
use crate::format::vhdx::bat::{BatEntry, BatShape, ENTRY_LENGTH, PayloadState};

/// PAYLOAD_BLOCK_ZERO.
const ZERO: u64 = 2;
/// PAYLOAD_BLOCK_FULLY_PRESENT; the bits from 20 on are the place.
const FULLY_PRESENT: u64 = 6;

/// The BAT of a file that is being written. It is kept as a whole: 17 MiB at most.
pub struct NewBat {
    shape: BatShape,
    /// Where the BAT stands in the file.
    offset: u64,
    /// Where the first payload block stands.
    payload: u64,
    /// Payload blocks that have a place.
    placed: u64,
    entries: Vec<u64>,
}

impl NewBat {
    pub(super) fn new(shape: BatShape, offset: u64, payload: u64) -> Self {
        let mut bat = NewBat { shape, offset, payload, placed: 0, entries: Vec::new() };
        bat.entries = vec![ZERO; usize::try_from(shape.entries_needed()).unwrap_or(0)];
        // A file without a parent has no sector bitmaps: NOT_PRESENT.
        let bitmaps = (0..).map(|chunk| shape.bitmap_entry(chunk)).map(|entry| usize::try_from(entry).ok());
        for entry in bitmaps {
            let Some(entry) = entry.and_then(|entry| bat.entries.get_mut(entry)) else { break };
            *entry = 0;
        }
        bat
    }

    /// Where a payload block stands in the file; `None` where it is zeros.
    #[must_use]
    pub fn place(&self, block: u64) -> Option<u64> {
        let entry = BatEntry(*self.entries.get(self.index(block))?);
        (entry.payload_state() == PayloadState::FullyPresent).then(|| entry.file_offset())
    }

    /// Where a payload block stands in the file. One that has no place gets the next.
    pub fn place_or_next(&mut self, block: u64) -> u64 {
        if let Some(place) = self.place(block) {
            return place;
        }
        let (place, index) = (self.end(), self.index(block));
        if let Some(entry) = self.entries.get_mut(index) {
            *entry = place | FULLY_PRESENT;
            self.placed = self.placed.saturating_add(1);
        }
        place
    }

    /// The end of the last payload block that has a place; where the first would stand while there is none.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.payload.saturating_add(self.placed.saturating_mul(self.shape.block_size))
    }

    /// The entries of these payload blocks, and of the sector bitmaps between them.
    #[must_use]
    pub fn entries_of(&self, blocks: Range<u64>) -> Piece {
        let (first, end) = (self.index(blocks.start), self.index(blocks.end).min(self.entries.len()));
        let entries = self.entries.get(first..end).unwrap_or_default();
        let offset = self.shape.payload_entry(blocks.start).saturating_mul(ENTRY_LENGTH);
        let bytes = entries.iter().flat_map(|entry| entry.to_le_bytes()).collect();
        Piece { offset: self.offset.saturating_add(offset), bytes }
    }

    /// Takes the entries of the first payload blocks from a file that an interrupted run left. False where they are none
    /// that such a run would have written.
    #[must_use]
    pub fn restore(&mut self, written: &[u8]) -> bool {
        let blocks = (0..self.shape.payload_blocks).map(|block| (block, self.index(block)));
        let entries = blocks.map_while(|(block, index)| {
            let entry = u64_le(written, index.checked_mul(8)?)?;
            Some((block, entry))
        });
        let entries: Vec<_> = entries.collect();
        entries.into_iter().all(|(block, entry)| entry == ZERO || self.place_or_next(block) | FULLY_PRESENT == entry)
    }

    fn index(&self, block: u64) -> usize {
        usize::try_from(self.shape.payload_entry(block)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Geometry;

    fn bat_of(blocks: u64) -> NewBat {
        let geometry = Geometry {
            virtual_size: blocks << 21,
            block_size: 2 << 20,
            logical_sector_size: 512,
            physical_sector_size: 512,
        };
        NewBat::new(BatShape::of(&geometry).unwrap(), 3 << 20, 4 << 20)
    }

    #[test]
    fn places_follow_each_other_in_the_order_of_writing() {
        let mut bat = bat_of(5000);
        assert_eq!((bat.place(7), bat.end()), (None, 4 << 20));
        assert_eq!(
            (bat.place_or_next(4999), bat.place_or_next(7), bat.place_or_next(4999)),
            (4 << 20, 6 << 20, 4 << 20)
        );
        assert_eq!((bat.place(7), bat.end()), (Some(6 << 20), 8 << 20));
        // Chunks of 2048 blocks: two bitmap entries stand before block 4999.
        let last = bat.entries_of(4999..5000);
        assert_eq!((last.offset, last.bytes), ((3 << 20) + 5001 * 8, ((4u64 << 20) | 6).to_le_bytes().to_vec()));
        let first = bat.entries_of(2047..2049).bytes;
        assert_eq!(first, [2u64, 0, 2].map(u64::to_le_bytes).concat());
        assert_eq!(bat.entries_of(0..5000).bytes.len(), 5002 * 8);
        // A chunk that is full has no bitmap entry behind it where the disk ends there.
        assert_eq!(bat_of(2048).entries_of(0..2048).bytes.len(), 2048 * 8);
    }

    #[test]
    fn it_goes_on_from_what_was_written() {
        let mut first = bat_of(5000);
        for block in [0, 3, 2048, 2050] {
            first.place_or_next(block);
        }
        let written = first.entries_of(0..2051).bytes;
        let mut again = bat_of(5000);
        assert!(again.restore(&written));
        assert_eq!((again.end(), again.place(2048), again.place(1)), (first.end(), Some(8 << 20), None));
        let mut other = written.clone();
        other[8] = 3;
        assert!(!bat_of(5000).restore(&other));
        let swapped: Vec<u8> = [&written[24..32], &written[8..24], &written[..8]].concat();
        assert!(!bat_of(5000).restore(&swapped));
    }
}
