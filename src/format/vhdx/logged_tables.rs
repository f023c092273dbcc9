//! The tables of a file that a log is for, by their pages.

use std::ops::Range;

use super::bat::MIB;
use super::log::PAGE;
use super::lost_bits::first_sector;
use super::region_table;
use super::resolve::Vhdx;
use crate::image::ReadAt;

/// Chunks whose bitmaps are looked for. Disks of more are larger than 16 TiB.
const MAX_CHUNKS: u64 = 1 << 12;

/// What a page is a part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Bat,
    /// Of the chunk with this number, which begins at this byte of the file.
    Bitmap(u64, u64),
    /// The metadata, or a region table: what leads to all the rest.
    Leading,
}

/// Where the tables of a file stand.
pub(super) struct Tables<'a> {
    vhdx: &'a Vhdx,
    metadata: &'a Range<u64>,
    /// Where bitmaps begin in the file, and the numbers of their chunks.
    bitmaps: Vec<(u64, u64)>,
}

impl<'a> Tables<'a> {
    pub(super) fn of(vhdx: &'a Vhdx, metadata: &'a Range<u64>) -> Self {
        let chunks = vhdx.shape.chunk(vhdx.shape.payload_blocks.saturating_sub(1)).saturating_add(1);
        let wanted = if vhdx.is_differencing() && chunks <= MAX_CHUNKS { 0..chunks } else { 0..0 };
        let bitmap = |chunk: u64| {
            let (entry, _) = vhdx.entry(vhdx.shape.bitmap_entry(chunk)).ok()?;
            vhdx.claimed(entry, MIB).ok().filter(|_| entry.bitmap_present()).map(|start| (start, chunk))
        };
        let mut bitmaps: Vec<(u64, u64)> = wanted.filter_map(bitmap).collect();
        bitmaps.sort_unstable();
        Tables { vhdx, metadata, bitmaps }
    }

    /// The file that they stand in.
    pub(super) fn file(&self) -> &dyn ReadAt {
        &self.vhdx.file
    }

    /// What this page of the file is a part of; `None` where no log is for it, or nothing leads to it any more.
    pub(super) fn table(&self, page: u64) -> Option<Table> {
        let in_use = self.vhdx.bat_in_use();
        if (in_use.start..in_use.end.next_multiple_of(PAGE)).contains(&page) {
            return Some(Table::Bat);
        }
        let length = u64::try_from(region_table::LENGTH).unwrap_or(0);
        let mut region_tables = region_table::OFFSETS.iter().map(|start| *start..start.saturating_add(length));
        if self.metadata.contains(&page) || region_tables.any(|table| table.contains(&page)) {
            return Some(Table::Leading);
        }
        let before = self.bitmaps.partition_point(|(start, _)| *start <= page).checked_sub(1)?;
        let (start, chunk) = self.bitmaps.get(before)?;
        (page.saturating_sub(*start) < MIB).then_some(Table::Bitmap(*chunk, *start))
    }

    /// The bytes of the disk that these bytes of a table tell of.
    pub(super) fn disk_of(&self, table: Table, bytes: &Range<u64>) -> Range<u64> {
        let size = self.vhdx.geometry.virtual_size;
        match table {
            Table::Bat => self.vhdx.disk_of_entries(bytes),
            Table::Bitmap(chunk, start) => {
                let byte = |at: u64| {
                    first_sector(chunk, start, at).saturating_mul(self.vhdx.shape.logical_sector_size).min(size)
                };
                byte(bytes.start)..byte(bytes.end)
            }
            Table::Leading => 0..size,
        }
    }
}
