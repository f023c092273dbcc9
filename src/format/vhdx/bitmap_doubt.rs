//! Sector bitmaps that were written over: what their bits alone show.
//!
//! A bitmap bears no checksum. But a block is partially present because something was written to it, so one without a single
//! bit contradicts itself; the bits behind the last block of the disk are all alike; and a page of nothing but ones says of blocks that were never
//! set aside that they are whole.

use std::ops::Range;

use super::bat::SECTORS_PER_CHUNK;
use super::resolve::Vhdx;
use super::sector_bitmap;
use super::unowned::{PAGE, named};
use crate::Faults;
use crate::image::ReadAt;
use crate::layer::{Doubted, MapDoubt, Verified};
use crate::report::{Code, Finding, Severity};

/// Sectors that a page of a bitmap describes.
const PAGE_SECTORS: u64 = PAGE * 8;

impl Vhdx {
    /// Whether none of the bits of a partly present block that lie within the disk is set, in a sector bitmap at byte `bitmap`
    /// of the file. Of bits that cannot be read that is not said.
    pub(super) fn is_without_sectors(&self, block: u64, bitmap: u64) -> bool {
        let per_block = self.sectors(self.shape.block_size);
        let within = block.checked_rem(self.shape.chunk_ratio).unwrap_or(0);
        let on_disk = self.sectors(self.bytes_of(block));
        let mut bits = vec![0; usize::try_from(on_disk.div_ceil(8)).unwrap_or(0)];
        let at = bitmap.saturating_add(within.saturating_mul(per_block) >> 3);
        self.bits(&mut bits, at) && sector_bitmap::runs(&bits, 0, 0..on_disk).all(|(_, set)| !set)
    }

    /// The page of a chunk's bitmap, which stands at byte `bitmap` of the file, whose bits behind the last block of the disk are not all alike: its number
    /// in the bitmap. Windows sets all of them, others none.
    pub(super) fn stray_page(&self, chunk: u64, bitmap: u64) -> Option<u64> {
        let (from, page) = self.behind_end(chunk)?;
        let mut bits = [0; 4096];
        let first = page.saturating_mul(PAGE_SECTORS);
        let readable = self.bits(&mut bits, bitmap.saturating_add(page.saturating_mul(PAGE)));
        let mut runs = sector_bitmap::runs(&bits, first, from..first.saturating_add(PAGE_SECTORS));
        (readable && runs.nth(1).is_some()).then_some(page)
    }

    /// The page of a chunk's bitmap in which the bits of the disk's last block end.
    pub(super) fn last_page(&self, chunk: u64) -> Option<u64> {
        self.behind_end(chunk).map(|(_, page)| page)
    }

    /// The first bit of a chunk's bitmap that no sector can have set, and the page that it stands in. `None` where it begins a page.
    fn behind_end(&self, chunk: u64) -> Option<(u64, u64)> {
        let last = self.shape.payload_blocks.checked_sub(1).filter(|last| self.shape.chunk(*last) == chunk)?;
        let within = last.checked_rem(self.shape.chunk_ratio)?.checked_mul(self.sectors(self.shape.block_size))?;
        let from = within.saturating_add(self.sectors(self.shape.block_size));
        let in_page = from < SECTORS_PER_CHUNK && !from.is_multiple_of(PAGE_SECTORS);
        in_page.then(|| (from, from.checked_div(PAGE_SECTORS).unwrap_or(0)))
    }

    fn sectors(&self, bytes: u64) -> u64 {
        bytes.checked_div(self.shape.logical_sector_size).unwrap_or(0)
    }

    /// Reads a part of a bitmap; whether all of it could be had.
    fn bits(&self, buf: &mut [u8], at: u64) -> bool {
        let mut faults = Faults::new();
        self.tables.read_at(buf, at, &mut faults).is_ok() && !faults.any_lost()
    }
}

/// Collects what the bitmaps of an image show.
#[derive(Debug, Default)]
pub(super) struct BitmapSurvey {
    empty: Found,
    stray: Found,
}

/// Bytes of the disk that something was found of.
#[derive(Debug, Default)]
struct Found {
    /// Blocks.
    count: u64,
    /// The first ranges; those that touch are one.
    ranges: Vec<Range<u64>>,
    /// Byte offset in the file of the first bitmap.
    first: u64,
}

impl Found {
    fn add(&mut self, disk: Range<u64>, bitmap: u64) {
        if disk.is_empty() {
            return;
        }
        if self.count == 0 {
            self.first = bitmap;
        }
        self.count = self.count.saturating_add(1);
        // One more than is named says that there are more.
        let has_room = self.ranges.len() < 5;
        match self.ranges.last_mut() {
            Some(last) if last.end == disk.start => last.end = disk.end,
            _ if has_room => self.ranges.push(disk),
            _ => {}
        }
    }
}

impl BitmapSurvey {
    /// Looks at the bitmap of a chunk, which stands at byte `bitmap` of the file. `partial` are those of its blocks that are partly present, in
    /// order. What resolving a block cannot know is told as a doubt.
    pub(super) fn look_at(
        &mut self,
        vhdx: &Vhdx,
        chunk: u64,
        bitmap: u64,
        partial: &[u64],
        tell: &mut dyn FnMut(Verified),
    ) {
        let stray = vhdx.stray_page(chunk, bitmap);
        let mut ones = (u64::MAX, false);
        for block in partial {
            let disk = vhdx.disk_of(*block);
            // Of an entry with reserved bits set it is not proven that the block is partly present.
            let is_proven = || vhdx.entry(vhdx.shape.payload_entry(*block)).is_ok_and(|(entry, _)| entry.is_aligned());
            if vhdx.is_without_sectors(*block, bitmap) && is_proven() {
                self.empty.add(disk.clone(), bitmap);
            }
            if let Some(page) = stray {
                let described = vhdx.described(chunk, page);
                self.stray.add(disk.start.max(described.start)..disk.end.min(described.end), bitmap);
            }
            let page = vhdx.page_of(*block);
            if ones.0 != page {
                ones = (page, vhdx.claims_blocks_never_set_aside(chunk, page, bitmap));
            }
            // Such a page holds the bits of several blocks, so all bits of each.
            if ones.1 && stray != Some(page) {
                self.stray.add(disk.clone(), bitmap);
                tell(Verified::Doubt(MapDoubt { disk, what: Doubted::Everything, code: Code::BitmapBitsStray }));
            }
        }
    }

    pub(super) fn findings(&self) -> impl Iterator<Item = Finding> {
        let finding = |found: &Found, code, text: &str| {
            let text = format!("{text}: {}; bytes {} of the disk are doubtful", found.count, named(&found.ranges));
            let finding = Finding::new(code, Severity::Error, text).at("sector bitmap", found.first);
            (found.count > 0).then(|| finding.advise("look for another copy of this image: a backup, a replica, a shadow copy; --accept-doubtful serves them as the bitmap says"))
        };
        let empty = "blocks are partially present, and their sector bitmap holds not one sector of them, so it may have been wiped";
        let stray = "a page of a sector bitmap has bits that no writer sets, behind the last block or of blocks that were never set aside, so something else was written over it; partially present blocks in it";
        [finding(&self.empty, Code::BitmapEmpty, empty), finding(&self.stray, Code::BitmapBitsStray, stray)]
            .into_iter()
            .flatten()
    }
}

impl Vhdx {
    /// The page of its chunk's bitmap in which the first bit of a block stands.
    fn page_of(&self, block: u64) -> u64 {
        let within = block.checked_rem(self.shape.chunk_ratio).unwrap_or(0);
        within.saturating_mul(self.sectors(self.shape.block_size)).checked_div(PAGE_SECTORS).unwrap_or(0)
    }

    /// The bytes of the disk that a page of a chunk's bitmap describes.
    fn described(&self, chunk: u64, page: u64) -> Range<u64> {
        let chunk_start = chunk.saturating_mul(SECTORS_PER_CHUNK).saturating_mul(self.shape.logical_sector_size);
        let length = PAGE_SECTORS.saturating_mul(self.shape.logical_sector_size);
        let start = chunk_start.saturating_add(page.saturating_mul(length));
        start..start.saturating_add(length).min(self.geometry.virtual_size)
    }

    /// Whether a page of a bitmap holds nothing but ones, though the entry of a block in it was never used.
    fn claims_blocks_never_set_aside(&self, chunk: u64, page: u64, bitmap: u64) -> bool {
        let mut bits = [0; 4096];
        if !self.bits(&mut bits, bitmap.saturating_add(page.saturating_mul(PAGE)))
            || bits.iter().any(|byte| *byte != 0xff)
        {
            return false;
        }
        let disk = self.described(chunk, page);
        let block = |at: u64| at.checked_div(self.shape.block_size).unwrap_or(0);
        let blocks = block(disk.start)..block(disk.end.saturating_sub(1)).saturating_add(1);
        let never_used = |block| self.entry(self.shape.payload_entry(block)).is_ok_and(|(entry, _)| entry.0 == 0);
        blocks.into_iter().any(never_used)
    }
}
