//! Sector bitmaps that noise was written over: what their bits and the sectors themselves show together.
//!
//! A bitmap bears no checksum, and any bits are lawful. But writers set bits in runs, and where they do not, the sectors that
//! they set hold something and the others mostly nothing. Bits that change as coins fall, over sectors of which the set and the
//! unset ones are empty alike, have nothing to do with the sectors. Where hardly any sector holds something, the few that do tell:
//! those whose bit is not set. Where these few are none of them, the rest of the page of the bitmap tells. One byte all over is
//! judged alike, for hardly any writer sets every second sector of 2 MiB, and where one does the sectors show it. All bits set are
//! lawful; only where the whole page is so, which tells of blocks that are not there, too, sectors that are empty show that it was
//! written over.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use lru::LruCache;

use super::bat::{BatEntry, PayloadState};
use super::resolve::Vhdx;
use super::told_blocks::ToldBlocks;
use crate::bytes::len_u64;
use crate::image::ReadAt;
use crate::report::{Code, Finding, Severity};
use crate::{FaultKind, Faults};

/// Bytes of the disk whose bits are judged together: 512 bytes of a bitmap at most.
const WINDOW: u64 = 2 << 20;

/// Fewer bits tell nothing.
const LEAST_BITS: u64 = 256;

/// Windows of one page of a bitmap that are looked at to judge another one.
const OF_PAGE: usize = 8;

/// Windows of which it is remembered what they are, for each image.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// What was found of windows whose bits look like noise, by the byte of the disk where they begin.
pub(super) struct Judged(Mutex<LruCache<u64, Verdict>>);

/// What the sectors of a window show of bits that change as coins fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// They have nothing to do with the sectors.
    Noise,
    /// They do.
    Right,
    /// Nothing: a few of the sectors hold something, and hardly any of those whose bit is not set.
    Unclear,
}

impl Default for Judged {
    fn default() -> Self {
        Judged(Mutex::new(LruCache::new(REMEMBERED)))
    }
}

impl Vhdx {
    /// The window of a block in which byte `at` of the disk lies.
    pub(super) fn window_at(&self, block: u64, at: u64) -> Range<u64> {
        let of_block = self.disk_of(block);
        let within = at.saturating_sub(of_block.start).checked_div(WINDOW).unwrap_or(0).saturating_mul(WINDOW);
        let start = of_block.start.saturating_add(within);
        start..start.saturating_add(WINDOW.min(self.shape.block_size))
    }

    /// Whether the bits of a window are noise, or may be: where they look so, and the sectors cannot be read. Its block is partly
    /// present and stands at byte `data` of the file, the bitmap of its chunk at byte `bitmap`.
    pub(super) fn may_be_noise(&self, block: u64, window: &Range<u64>, bitmap: u64, data: u64) -> bool {
        self.suspicious(block, window, bitmap)
            .is_some_and(|bits| self.is_noise(block, window, &bits, bitmap, data).unwrap_or(true))
    }

    /// The bits of a window, where something else than a writer may have made them what they are.
    fn suspicious(&self, block: u64, window: &Range<u64>, bitmap: u64) -> Option<Vec<u8>> {
        // What a writer logged is no noise, whatever it looks like.
        if self.logged_bitmaps.contains(&self.page_of_bits(block, window.start, bitmap).at) {
            return None;
        }
        let bits = self.bits_of(block, window, bitmap)?;
        let is_set = || all_set(&bits) && self.is_page_set(block, window, bitmap);
        (is_odd(&bits) || is_set()).then_some(bits)
    }

    /// Whether all bits of the page of a window are set, and some of them are of a block that is not there.
    fn is_page_set(&self, block: u64, window: &Range<u64>, bitmap: u64) -> bool {
        let page = self.page_of_bits(block, window.start, bitmap);
        let mut bits = [0; BYTES_OF_PAGE];
        if !self.bits(&mut bits, page.at) || !all_set(&bits) {
            return false;
        }
        let block_at = |at: u64| at.checked_div(self.shape.block_size).unwrap_or(0);
        let end = page.disk.end.min(self.geometry.virtual_size);
        let mut blocks = block_at(page.disk.start)..=block_at(end.saturating_sub(1));
        blocks.any(|block| self.entry(self.shape.payload_entry(block)).is_ok_and(|(entry, _)| entry == BatEntry(0)))
    }

    /// The bits of a window, where they are odd: see [`is_odd`].
    fn coins(&self, block: u64, window: &Range<u64>, bitmap: u64) -> Option<Vec<u8>> {
        self.bits_of(block, window, bitmap).filter(|bits| is_odd(bits))
    }

    /// The bits of a window, where they are enough to tell something.
    fn bits_of(&self, block: u64, window: &Range<u64>, bitmap: u64) -> Option<Vec<u8>> {
        let sector_size = self.shape.logical_sector_size;
        let end = window.end.min(self.geometry.virtual_size);
        let count = end.saturating_sub(window.start).checked_div(sector_size).filter(|count| *count >= LEAST_BITS)?;
        let chunk = self.bytes_of_chunk(self.shape.chunk(block));
        let first = window.start.saturating_sub(chunk.start).checked_div(sector_size)?;
        let mut bits = vec![0; usize::try_from(count >> 3).ok()?];
        self.bits(&mut bits, bitmap.saturating_add(first >> 3)).then_some(bits)
    }

    /// Whether such bits are noise; `None` where too few of the sectors can be read to tell.
    fn is_noise(&self, block: u64, window: &Range<u64>, bits: &[u8], bitmap: u64, data: u64) -> Option<bool> {
        match self.verdict(block, window, bits, data)? {
            Verdict::Noise => Some(true),
            Verdict::Right => Some(false),
            Verdict::Unclear => self.is_page_noise(self.page_of_bits(block, window.start, bitmap).disk, bitmap),
        }
    }

    /// Whether another window shows that noise was written over a page of a bitmap, which tells of these bytes of the disk. Noise over bits
    /// of blocks that are not there shows it, too.
    fn is_page_noise(&self, disk: Range<u64>, bitmap: u64) -> Option<bool> {
        let end = disk.end.min(self.geometry.virtual_size);
        let windows = std::iter::successors(self.window_of(disk.start, end), |(_, last)| self.window_of(last.end, end));
        let coins = windows.filter_map(|(block, window)| {
            let (entry, _) = self.entry(self.shape.payload_entry(block)).ok()?;
            let is_wanted = entry == BatEntry(0) || entry.payload_state() == PayloadState::PartiallyPresent;
            let bits = is_wanted.then(|| self.coins(block, &window, bitmap)).flatten()?;
            Some((block, window, bits, entry))
        });
        let mut is_noise = Some(false);
        for (block, window, bits, entry) in coins.take(OF_PAGE) {
            let verdict = match entry {
                BatEntry(0) => Some(Verdict::Noise),
                _ => match self.claimed(entry, self.shape.block_size) {
                    Ok(data) => self.verdict(block, &window, &bits, data),
                    Err(_) => continue,
                },
            };
            match verdict {
                Some(Verdict::Noise) => return Some(true),
                Some(_) => {}
                None => is_noise = None,
            }
        }
        is_noise
    }

    /// The window at byte `at` of the disk, and its block; `None` from `end` on.
    fn window_of(&self, at: u64, end: u64) -> Option<(u64, Range<u64>)> {
        let block = at.checked_div(self.shape.block_size).filter(|_| at < end)?;
        Some((block, self.window_at(block, at))).filter(|(_, window)| window.end > at)
    }

    /// What the sectors of a window show; `None` where too few of them can be read to tell.
    fn verdict(&self, block: u64, window: &Range<u64>, bits: &[u8], data: u64) -> Option<Verdict> {
        let judged = || self.noise.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = judged().get(&window.start) {
            return Some(*known);
        }
        let file_offset = data.saturating_add(window.start.saturating_sub(self.disk_of(block).start));
        let sectors = self.sectors_by_bit(bits, file_offset);
        let verdict = sectors.verdict();
        // What holds for the sectors that can be read now may not hold for all of them.
        match verdict {
            Some(verdict) if sectors.lost == 0 => drop(judged().put(window.start, verdict)),
            _ => self.meet_loss(),
        }
        verdict
    }

    /// What the sectors from `file_offset` on hold.
    fn sectors_by_bit(&self, of_sectors: &[u8], file_offset: u64) -> SectorsByBit {
        let mut sectors = SectorsByBit::default();
        let sector_size = self.shape.logical_sector_size;
        let Ok(length) = usize::try_from(sector_size) else { return sectors };
        let mut data = vec![0; of_sectors.len().saturating_mul(8).saturating_mul(length)];
        let mut faults = Faults::new();
        if self.file.read_at(&mut data, file_offset, &mut faults).is_err() {
            faults.lost(file_offset..u64::MAX, Code::HostReadError.as_str());
        }
        let lost: Vec<_> =
            faults.iter().filter(|fault| fault.kind == FaultKind::Lost).map(|fault| &fault.range).collect();
        let mut at = file_offset;
        for (sector, is_set) in data.chunks_exact(length).zip(bits(of_sectors)) {
            let end = at.saturating_add(sector_size);
            let is_filled = sector.iter().any(|byte| *byte != 0);
            match lost.iter().any(|lost| lost.start < end && at < lost.end) {
                true => sectors.lost = sectors.lost.saturating_add(1),
                false if is_set => sectors.set.add(is_filled),
                false => sectors.unset.add(is_filled),
            }
            at = end;
        }
        sectors
    }
}

/// The sectors of a window, by whether their bits are set.
#[derive(Default)]
struct SectorsByBit {
    set: Sectors,
    unset: Sectors,
    /// Those that cannot be read.
    lost: u64,
}

impl SectorsByBit {
    /// Noise where those whose bit is set are as often empty as the others are, and neither always nor never. Where hardly any of them
    /// holds something, no less than a share of the few that do have a bit that is not set. `None` where too many are lost.
    fn verdict(&self) -> Option<Verdict> {
        if self.lost > 0 && self.set.all.saturating_add(self.unset.all) < LEAST_BITS {
            return None;
        }
        let (set, unset) = (self.set.per_cent(), self.unset.per_cent());
        let filled = self.set.filled.saturating_add(self.unset.filled);
        if self.unset.all == 0 && self.lost == 0 {
            // All bits are set, and of the page it is known that no writer set them.
            return Some(if set < SOME.start { Verdict::Noise } else { Verdict::Right });
        }
        let alike = set.abs_diff(unset) <= ALIKE;
        let stray = self.unset.filled > 0 && self.unset.filled.saturating_mul(STRAY) >= filled;
        Some(match () {
            () if alike && SOME.contains(&set) && SOME.contains(&unset) => Verdict::Noise,
            () if !alike || set.min(unset) >= SOME.start => Verdict::Right,
            () if stray => Verdict::Noise,
            () if filled < FEW => Verdict::Unclear,
            () => Verdict::Right,
        })
    }
}

/// Of the sectors, in per cent: neither hardly any nor nearly all.
const SOME: Range<u64> = 5..95;

/// The shares of two random halves differ by no more, in per cent.
const ALIKE: u64 = 15;

/// Of few sectors that hold something, at least one in so many has a bit that is not set: of noise it is about every second.
const STRAY: u64 = 4;

/// So many of noise are never all of sectors whose bit is set.
const FEW: u64 = 16;

#[derive(Default)]
struct Sectors {
    all: u64,
    filled: u64,
}

impl Sectors {
    fn add(&mut self, is_filled: bool) {
        self.all = self.all.saturating_add(1);
        self.filled = self.filled.saturating_add(u64::from(is_filled));
    }

    fn per_cent(&self) -> u64 {
        self.filled.saturating_mul(100).checked_div(self.all).unwrap_or(0)
    }
}

fn bits(bytes: &[u8]) -> impl Iterator<Item = bool> {
    bytes.iter().flat_map(|byte| (0..8u32).map(move |place| byte.checked_shr(place).unwrap_or(0) & 1 == 1))
}

/// Bytes of a page of a bitmap.
const BYTES_OF_PAGE: usize = 4096;

/// Whether bits are such as hardly any writer leaves: they change as coins fall, or one byte stands all over, not all of whose bits
/// are alike.
fn is_odd(bits: &[u8]) -> bool {
    let first = bits.first().filter(|byte| !matches!(byte, 0 | 0xff));
    fall_as_coins(bits) || first.is_some_and(|first| bits.iter().all(|byte| byte == first))
}

fn all_set(bits: &[u8]) -> bool {
    bits.iter().all(|byte| *byte == 0xff)
}

/// Whether bits change as often as those of coins would: every second time.
fn fall_as_coins(bits: &[u8]) -> bool {
    // A bit is set where two neighbours in one byte differ; what differs across the borders of bytes is left out.
    let within = |byte: &u8| u64::from(((byte ^ (byte >> 1)) & 0x7f).count_ones());
    let changes = bits.iter().map(within).fold(0u64, u64::saturating_add).saturating_mul(5);
    let pairs = len_u64(bits).saturating_mul(7);
    changes > pairs.saturating_mul(2) && changes < pairs.saturating_mul(3)
}

/// Partly present blocks with noise in their bits.
#[derive(Debug)]
pub(super) struct NoisyWindows {
    told: ToldBlocks,
    /// The sectors of so many more windows are read.
    left: u64,
}

impl NoisyWindows {
    /// Reads the sectors of so many windows at most.
    pub(super) fn at_most(windows: u64) -> Self {
        NoisyWindows { told: ToldBlocks::default(), left: windows }
    }

    /// Looks at the bits of a chunk, which stand at byte `bitmap` of the file. `partial` are those of its blocks that are partly
    /// present, in order.
    pub(super) fn look_at(&mut self, vhdx: &Vhdx, bitmap: u64, partial: &[u64]) {
        for block in partial {
            let entry = vhdx.entry(vhdx.shape.payload_entry(*block));
            let Ok(Ok(data)) = entry.map(|(entry, _)| vhdx.claimed(entry, vhdx.shape.block_size)) else { continue };
            let disk = vhdx.disk_of(*block);
            let mut at = disk.start;
            while at < disk.end && self.left > 0 {
                let window = vhdx.window_at(*block, at);
                at = window.end;
                let Some(bits) = vhdx.suspicious(*block, &window, bitmap) else { continue };
                self.left = self.left.saturating_sub(1);
                if vhdx.is_noise(*block, &window, &bits, bitmap, data) == Some(true) {
                    self.told.add(bitmap, window.start..window.end.min(disk.end));
                }
            }
        }
    }

    /// Tells of them, if there are any.
    pub(super) fn finding(&self) -> Option<Finding> {
        let text = format!(
            "bits of a sector bitmap look like noise, and have nothing to do with what the sectors hold: something was written over them; bytes {} of the disk are doubtful",
            self.told.named()
        );
        let finding = Finding::new(Code::BitmapNoise, Severity::Error, text).at("sector bitmap", self.told.first);
        (self.told.count > 0).then(|| finding.advise("look for another copy of this image: a backup, a replica, a shadow copy; --accept-doubtful serves them as the bitmap says"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_all_over_is_odd_unless_its_bits_are_alike() {
        for byte in 0..=0xffu8 {
            assert_eq!(is_odd(&[byte; 512]), !matches!(byte, 0 | 0xff), "{byte:x}");
        }
        // A run that begins and ends within a byte.
        let mut runs = [0u8; 512];
        runs[3..100].fill(0xff);
        runs[100] = 0x0f;
        assert!(!is_odd(&runs) && !is_odd(&[]));
    }

    #[test]
    fn coins_are_told_from_runs() {
        let mut seed = 1u64;
        let mut noise = vec![0u8; 512];
        noise.fill_with(|| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 40) as u8
        });
        assert!(fall_as_coins(&noise) && fall_as_coins(&noise[..128]));
        for runs in [[0x00u8, 0xff], [0x0f, 0xf0], [0xff, 0x3c], [0x55, 0xaa], [0x00, 0x01]] {
            let bytes: Vec<u8> = runs.into_iter().cycle().take(512).collect();
            assert!(!fall_as_coins(&bytes), "{runs:x?}");
        }
    }
}
