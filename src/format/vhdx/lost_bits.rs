//! Pages of sector bitmaps that are neither as a log left them nor as any writer could have changed them since.
//!
//! While a block is partly present its bits are only ever set. So where the log had set a bit and it is gone, while its sector
//! holds something, the page is damaged or older than the log. So it is where bits were set since for a block that is not there.

use super::bat::{BatEntry, PayloadState, SECTORS_PER_CHUNK};
use super::log::Page;
use super::resolve::Vhdx;
use crate::Faults;
use crate::image::ReadAt;

/// Sectors of a byte of a bitmap.
const SECTORS: u64 = 8;

/// So many bytes of bitmaps have their sectors read, for all pages of an image.
const MAX_READ: u64 = 4096;

/// A page of a sector bitmap that is not what a log last made of it.
pub(super) struct ChangedBits<'a> {
    /// The first sector of the disk that it tells of.
    pub(super) first: u64,
    pub(super) found: &'a Page,
    /// What the log made of it.
    pub(super) logged: &'a Page,
}

/// What the bytes of a page show.
#[derive(Default)]
struct Shown {
    /// A bit of a partly present block is another one.
    any_of_partial: bool,
    /// A bit of a block that is not there was set.
    any_of_absent: bool,
}

/// Looks at such pages.
pub(super) struct LostBits {
    /// The sectors of so many more bytes are read.
    left: u64,
}

impl LostBits {
    pub(super) fn new() -> Self {
        LostBits { left: MAX_READ }
    }

    /// Whether no writer can have changed the page so.
    pub(super) fn in_page(&mut self, vhdx: &Vhdx, page: &ChangedBits<'_>) -> bool {
        let mut shown = Shown::default();
        let bytes = page.found.iter().zip(page.logged).zip((page.first..).step_by(8));
        bytes.filter(|((found, logged), _)| found != logged).any(|((found, logged), sector)| {
            self.is_gone(vhdx, sector, logged & !found, found & !logged, &mut shown)
                || shown.any_of_partial && shown.any_of_absent
        })
    }

    /// Whether one of the bits `gone`, of the sectors from `sector` on, was of a sector that holds something.
    fn is_gone(&mut self, vhdx: &Vhdx, sector: u64, gone: u8, added: u8, shown: &mut Shown) -> bool {
        let disk = sector.saturating_mul(vhdx.shape.logical_sector_size);
        if disk >= vhdx.geometry.virtual_size {
            return false;
        }
        let block = disk.checked_div(vhdx.shape.block_size).unwrap_or(0);
        let Ok((entry, _)) = vhdx.entry(vhdx.shape.payload_entry(block)) else { return false };
        match entry.payload_state() {
            PayloadState::PartiallyPresent => shown.any_of_partial = true,
            PayloadState::NotPresent => shown.any_of_absent |= added != 0 && entry == BatEntry(0),
            _ => {}
        }
        let Ok(start) = vhdx.claimed(entry, vhdx.shape.block_size) else { return false };
        if entry.payload_state() != PayloadState::PartiallyPresent || gone == 0 || self.left == 0 {
            return false;
        }
        self.left = self.left.saturating_sub(1);
        let within = disk.saturating_sub(vhdx.disk_of(block).start);
        any_filled(vhdx, start.saturating_add(within), gone)
    }
}

/// Whether a sector with its bit in `bits` holds something, of the eight at byte `at` of the file. What cannot be read may.
fn any_filled(vhdx: &Vhdx, at: u64, bits: u8) -> bool {
    let Ok(length) = usize::try_from(vhdx.shape.logical_sector_size) else { return false };
    let mut data = vec![0; length.saturating_mul(8)];
    if at.saturating_add(vhdx.shape.logical_sector_size.saturating_mul(SECTORS)) > vhdx.file.size() {
        return false;
    }
    let mut faults = Faults::new();
    if vhdx.file.read_at(&mut data, at, &mut faults).is_err() || faults.any_lost() {
        return true;
    }
    let is_set = |place: u32| bits.checked_shr(place).unwrap_or(0) & 1 == 1;
    data.chunks_exact(length).zip(0..).any(|(sector, place)| is_set(place) && sector.iter().any(|byte| *byte != 0))
}

/// The first sector of the disk of which the page at byte `page` of the file tells, in the bitmap of a chunk at byte `start`.
pub(super) fn first_sector(chunk: u64, start: u64, page: u64) -> u64 {
    chunk.saturating_mul(SECTORS_PER_CHUNK).saturating_add(page.saturating_sub(start).saturating_mul(SECTORS))
}
