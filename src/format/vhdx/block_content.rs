//! What a block of the file holds: whether anything, and whether as much as one that is in use.

use super::resolve::Vhdx;
use crate::Faults;
use crate::image::ReadAt;

/// How closely blocks are looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    /// So many are looked at.
    blocks: u64,
    /// So many bytes are read of them. Where no more are left, samples of each block are.
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

const SAMPLES: u64 = 8;
const SAMPLE: usize = 4096;
const PIECE: u64 = 1 << 20;

/// What a block of the file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    /// Zeros.
    Nothing,
    /// A page or a few.
    Little,
    /// More.
    Much,
}

/// So many pages of 4 KiB with something in them are much, of all pages of a block and of its samples.
const MUCH: usize = 8;
const MUCH_OF_SAMPLES: usize = 2;

/// What a block holds, or samples of it where there are not as many `bytes` left to read as it has.
fn content(vhdx: &Vhdx, start: u64, bytes: &mut u64) -> Content {
    let block_size = vhdx.shape.block_size;
    let Some(left) = bytes.checked_sub(block_size) else {
        let step = block_size.checked_div(SAMPLES).unwrap_or(0);
        let mut buf = [0; SAMPLE];
        let at = |sample: u64| start.saturating_add(sample.saturating_mul(step));
        let filled = (0..SAMPLES).map(|sample| pages_filled(vhdx, &mut buf, at(sample))).sum();
        return Content::of(filled, MUCH_OF_SAMPLES);
    };
    *bytes = left;
    let mut buf = vec![0; usize::try_from(PIECE.min(block_size)).unwrap_or(0)];
    let pieces = block_size.checked_div(PIECE).unwrap_or(0);
    let mut filled = 0usize;
    for piece in 0..pieces {
        let at = start.saturating_add(piece.saturating_mul(PIECE));
        filled = filled.saturating_add(pages_filled(vhdx, &mut buf, at));
        if filled >= MUCH {
            break;
        }
    }
    Content::of(filled, MUCH)
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
    buf.chunks(SAMPLE).filter(|page| page.iter().any(|byte| *byte != 0)).take(MUCH).count()
}
