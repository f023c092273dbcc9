//! Pages of sector bitmaps that are neither as a log left them nor as any writer could have changed them since.
//!
//! While a block is partly present its bits are only ever set. So where the log had set a bit and it is gone, while its sector
//! holds something, the page is damaged or older than the log. So it is where bits were set since for a block that is not there, or
//! of sectors none of which holds anything.

use std::ops::Range;

use super::bat::{BatEntry, PayloadState, SECTORS_PER_CHUNK};
use super::log::Page;
use super::resolve::Vhdx;
use crate::image::ReadAt;
use crate::ranges::{length, meet};
use crate::{FaultKind, Faults};

/// Sectors of a byte of a bitmap.
const SECTORS: u64 = 8;

/// What reading sectors may cost, for all pages of an image: bytes.
const MAX_COST: u64 = 32 << 20;

/// A read of fewer bytes takes as long.
const LEAST_COST: u64 = 64 << 10;

/// Bytes that are read at once; sectors nearer to each other than [`LEAST_COST`] are.
const AT_ONCE: u64 = 1 << 20;

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
    /// Sectors of partly present blocks whose bits are gone, in order of the disk.
    gone: Vec<Eight>,
    /// Those whose bits were set.
    added: Vec<Eight>,
}

/// Eight sectors, of which some are meant.
struct Eight {
    /// Where they stand in the file.
    file: Range<u64>,
    bits: u8,
}

/// Looks at such pages.
pub(super) struct LostBits {
    /// What reading sectors may cost yet.
    left: u64,
}

impl LostBits {
    pub(super) fn new() -> Self {
        LostBits { left: MAX_COST }
    }

    /// Whether no writer can have changed the page so.
    pub(super) fn in_page(&mut self, vhdx: &Vhdx, page: &ChangedBits<'_>) -> bool {
        let mut shown = Shown::default();
        let bytes = page.found.iter().zip(page.logged).zip((page.first..).step_by(8));
        for ((found, logged), sector) in bytes.filter(|((found, logged), _)| found != logged) {
            shown.look_at(vhdx, sector, logged & !found, found & !logged);
        }
        shown.any_of_partial && shown.any_of_absent
            || self.any_filled(vhdx, &shown.gone) == Some(true)
            // Who wrote them without a log would have written something.
            || !shown.added.is_empty() && self.any_filled(vhdx, &shown.added) == Some(false)
    }

    /// Whether one of these sectors holds something; `None` where that would cost more than is left. Where to read them all would cost
    /// more than half of that, they are read here and there: other pages want theirs.
    fn any_filled(&mut self, vhdx: &Vhdx, sectors: &[Eight]) -> Option<bool> {
        let pieces: Vec<&[Eight]> = sectors.chunk_by(is_near).flat_map(in_pieces).collect();
        let all = pieces.iter().map(|piece| cost(piece)).fold(0u64, u64::saturating_add);
        let every = usize::try_from(all.div_ceil((self.left >> 1).max(1))).unwrap_or(usize::MAX).max(1);
        for piece in pieces.into_iter().step_by(every) {
            self.left = self.left.checked_sub(cost(piece))?;
            if any_filled(vhdx, piece) {
                return Some(true);
            }
        }
        Some(false)
    }
}

impl Shown {
    /// Looks at a byte of the page: at the bits `gone` and `added` of the sectors from `sector` on.
    fn look_at(&mut self, vhdx: &Vhdx, sector: u64, gone: u8, added: u8) {
        let disk = sector.saturating_mul(vhdx.shape.logical_sector_size);
        if disk >= vhdx.geometry.virtual_size {
            return;
        }
        let block = disk.checked_div(vhdx.shape.block_size).unwrap_or(0);
        let Ok((entry, _)) = vhdx.entry(vhdx.shape.payload_entry(block)) else { return };
        match entry.payload_state() {
            PayloadState::PartiallyPresent => self.any_of_partial = true,
            PayloadState::NotPresent => self.any_of_absent |= added != 0 && entry == BatEntry(0),
            _ => {}
        }
        let Ok(start) = vhdx.claimed(entry, vhdx.shape.block_size) else { return };
        if entry.payload_state() != PayloadState::PartiallyPresent {
            return;
        }
        let start = start.saturating_add(disk.saturating_sub(vhdx.disk_of(block).start));
        let end = start.saturating_add(vhdx.shape.logical_sector_size.saturating_mul(SECTORS));
        for (bits, sectors) in [(gone, &mut self.gone), (added, &mut self.added)] {
            if bits != 0 && end <= vhdx.file.size() {
                sectors.push(Eight { file: start..end, bits });
            }
        }
    }
}

/// Whether two, one behind the other on the disk, are read at once.
fn is_near(one: &Eight, next: &Eight) -> bool {
    (one.file.end..=one.file.end.saturating_add(LEAST_COST)).contains(&next.file.start)
}

/// The parts that are read at once of sectors that stand near each other.
fn in_pieces(near: &[Eight]) -> impl Iterator<Item = &[Eight]> {
    let start = near.first().map_or(0, |first| first.file.start);
    let number = move |one: &Eight| one.file.start.saturating_sub(start).checked_div(AT_ONCE);
    near.chunk_by(move |one, next| number(one) == number(next))
}

/// Where all of them stand.
fn place(piece: &[Eight]) -> Range<u64> {
    piece.first().map_or(0, |first| first.file.start)..piece.last().map_or(0, |last| last.file.end)
}

fn cost(piece: &[Eight]) -> u64 {
    length(&place(piece)).max(LEAST_COST)
}

/// Whether a sector that is meant holds something. What cannot be read may.
fn any_filled(vhdx: &Vhdx, piece: &[Eight]) -> bool {
    let place = place(piece);
    let Ok(sector_size) = usize::try_from(vhdx.shape.logical_sector_size) else { return false };
    let mut data = vec![0; usize::try_from(length(&place)).unwrap_or(0)];
    let mut faults = Faults::new();
    if vhdx.file.read_at(&mut data, place.start, &mut faults).is_err() {
        return true;
    }
    let is_lost =
        |file: &Range<u64>| faults.iter().any(|fault| fault.kind == FaultKind::Lost && meet(&fault.range, file));
    piece.iter().any(|eight| {
        let from = usize::try_from(eight.file.start.saturating_sub(place.start)).unwrap_or(usize::MAX);
        let sectors = data.get(from..).unwrap_or_default().chunks_exact(sector_size).zip(0..8u32);
        let is_set = |bit: u32| eight.bits.checked_shr(bit).unwrap_or(0) & 1 == 1;
        let is_filled = |(sector, bit): (&[u8], u32)| is_set(bit) && sector.iter().any(|byte| *byte != 0);
        is_lost(&eight.file) || sectors.into_iter().any(is_filled)
    })
}

/// The first sector of the disk of which the page at byte `page` of the file tells, in the bitmap of a chunk at byte `start`.
pub(super) fn first_sector(chunk: u64, start: u64, page: u64) -> u64 {
    chunk.saturating_mul(SECTORS_PER_CHUNK).saturating_add(page.saturating_sub(start).saturating_mul(SECTORS))
}
