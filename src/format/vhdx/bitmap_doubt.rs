//! Sector bitmaps that were written over: what their bits alone show.
//!
//! A bitmap bears no checksum. But a block is partially present because something was written to it, so one without a single
//! bit contradicts itself. Bits behind the end of the disk tell nothing: Windows sets them up to the end of their page.

use super::resolve::Vhdx;
use super::sector_bitmap;
use super::told_blocks::ToldBlocks;
use crate::report::{Code, Finding, Severity};

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

    fn sectors(&self, bytes: u64) -> u64 {
        bytes.checked_div(self.shape.logical_sector_size).unwrap_or(0)
    }

    /// Reads a part of a bitmap; whether all of it could be had.
    pub(super) fn bits(&self, buf: &mut [u8], at: u64) -> bool {
        self.table_part(buf, at).is_some_and(|(_, lost)| lost.is_empty())
    }
}

/// Partly present blocks without a sector.
#[derive(Debug, Default)]
pub(super) struct BlocksWithoutSectors(ToldBlocks);

impl BlocksWithoutSectors {
    /// Looks at the bitmap of a chunk, which stands at byte `bitmap` of the file. `partial` are those of its blocks that are partly
    /// present, in order.
    pub(super) fn look_at(&mut self, vhdx: &Vhdx, bitmap: u64, partial: &[u64]) {
        for block in partial {
            // Of an entry with reserved bits set it is not proven that the block is partly present.
            let is_proven = || vhdx.entry(vhdx.shape.payload_entry(*block)).is_ok_and(|(entry, _)| entry.is_aligned());
            if vhdx.is_without_sectors(*block, bitmap) && is_proven() {
                self.0.add(bitmap, vhdx.disk_of(*block));
            }
        }
    }

    /// Tells of them, if there are any.
    pub(super) fn finding(&self) -> Option<Finding> {
        let text = format!(
            "blocks are partially present, and their sector bitmap holds not one sector of them, so it may have been wiped: {}; bytes {} of the disk are doubtful",
            self.0.count,
            self.0.named()
        );
        let finding = Finding::new(Code::BitmapEmpty, Severity::Error, text).at("sector bitmap", self.0.first);
        (self.0.count > 0).then(|| finding.advise("look for another copy of this image: a backup, a replica, a shadow copy; --accept-doubtful serves them as the bitmap says"))
    }
}
