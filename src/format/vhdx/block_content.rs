//! What a block of the file holds: whether anything, and whether as much as one that is in use.

use super::resolve::Vhdx;
use crate::Faults;
use crate::bytes::len_u64;
use crate::image::ReadAt;

/// How closely blocks are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// So many are looked at.
    blocks: u64,
    /// So many bytes are read of them, but for [`LEAST`] and samples of each.
    bytes: u64,
}

impl Look {
    /// While an image is opened.
    pub(super) const QUICK: Look = Look { blocks: 64, bytes: 16 << 20 };
    /// While all of it is checked.
    pub(super) const THOROUGH: Look = Look { blocks: 4096, bytes: 1 << 30 };

    /// What the block at byte `start` of the file holds. `None` where no more blocks are to be looked at.
    pub(super) fn at(&mut self, vhdx: &Vhdx, start: u64) -> Option<Content> {
        self.blocks = self.blocks.checked_sub(1)?;
        Some(content(vhdx, start, &mut self.bytes))
    }
}

const PAGE: usize = 4096;

/// Pages that are looked at of a block that is too large to be read as a whole, besides its first bytes.
const SAMPLES: u64 = 16;

/// Bytes of a block that are read at once: what was in use shows in a few of them.
const PIECE: usize = 64 << 10;

/// No block takes more than this share of the bytes that are left, so that blocks that hold little leave some for others. But
/// so many bytes at the start of each are read in any case: writers fill a block from there.
const SHARE: u64 = 4;
const LEAST: u64 = 128 << 10;

/// What a block of the file holds, from the least on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Content {
    /// Zeros.
    Nothing,
    /// A page or a few.
    Little,
    /// More.
    Much,
}

/// So many pages of 4 KiB with something in them are much, of all pages that were read of a block and of its samples.
const MUCH: usize = 8;
const MUCH_OF_SAMPLES: usize = 2;

/// What a block holds: by all of it, as far as there are `bytes` left to read, and by samples of the rest.
fn content(vhdx: &Vhdx, start: u64, bytes: &mut u64) -> Content {
    let block_size = vhdx.shape.block_size;
    let share = bytes.checked_div(SHARE).unwrap_or(0).max(LEAST).min(block_size);
    let mut buf = vec![0; PIECE];
    let (mut filled, mut read) = (0usize, 0u64);
    while read < share && filled < MUCH {
        filled = filled.saturating_add(pages_filled(vhdx, &mut buf, start.saturating_add(read)));
        read = read.saturating_add(len_u64(&buf));
    }
    *bytes = bytes.saturating_sub(read);
    let known = Content::of(filled, MUCH);
    if known == Content::Much || read >= block_size {
        return known;
    }
    let step = block_size.checked_div(SAMPLES).unwrap_or(0);
    let mut page = [0; PAGE];
    let at = |sample: u64| start.saturating_add(sample.saturating_mul(step));
    let sampled = (0..SAMPLES).map(|sample| pages_filled(vhdx, &mut page, at(sample))).sum();
    known.max(Content::of(sampled, MUCH_OF_SAMPLES))
}

impl Content {
    fn of(filled: usize, much: usize) -> Self {
        match filled {
            0 => Content::Nothing,
            _ if filled < much => Content::Little,
            _ => Content::Much,
        }
    }
}

/// How many pages of 4 KiB of the file are not all zeros, [`MUCH`] at most. What cannot be read may be anything, and counts as one.
fn pages_filled(vhdx: &Vhdx, buf: &mut [u8], at: u64) -> usize {
    let mut faults = Faults::new();
    if vhdx.file.read_at(buf, at, &mut faults).is_err() || faults.any_lost() {
        return 1;
    }
    buf.chunks(PAGE).filter(|page| page.iter().any(|byte| *byte != 0)).take(MUCH).count()
}
