//! Which block size and which sector size make sense of a BAT.
//!
//! Every entry speaks: payload entries and those of sector bitmaps take turns as the two sizes want it, blocks must not
//! overlap each other or a structure, and blocks that were set aside one after the other lie side by side.

use std::cmp::{Ordering, Reverse};
use std::ops::Range;

use super::bat_survey::BatSurvey;
use crate::format::vhdx::bat::{BatEntry, BatShape, MIB, PayloadState};
use crate::format::vhdx::metadata::MAX_VIRTUAL_DISK_SIZE;
use crate::layer::Geometry;

/// All block sizes that the format allows, in bytes.
pub(super) const BLOCK_SIZES: [u32; 9] =
    [1 << 20, 2 << 20, 4 << 20, 8 << 20, 16 << 20, 32 << 20, 64 << 20, 128 << 20, 256 << 20];

/// What is known besides the two sizes.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) survey: &'a BatSurvey,
    pub(super) virtual_size: Option<u64>,
    pub(super) has_parent: bool,
    /// Where no block can be, in bytes of the file.
    pub(super) structures: &'a [Range<u64>],
    /// In bytes.
    pub(super) file_size: u64,
}

/// How well a block size and a sector size fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::format::vhdx) struct Fit {
    pub(in crate::format::vhdx) block_size: u32,
    pub(in crate::format::vhdx) logical_sector_size: u32,
    /// Entries that make no sense.
    against: usize,
    /// Blocks that end where something else begins.
    joined: usize,
    /// Where the last block in the file ends: before, at or past the end of the file.
    end: Ordering,
}

/// What was chosen, and what would have fitted as well.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) fit: Fit,
    /// Why, in words.
    pub(super) by: &'static str,
    /// Other block sizes.
    pub(super) others: Vec<u32>,
}

/// Chooses among these sizes; `Err` has the block sizes among which nothing decides.
pub(super) fn choose(setting: &Setting<'_>, block_sizes: &[u32], sector_sizes: &[u32]) -> Result<Choice, Vec<u32>> {
    let survey = setting.survey;
    let pairs = block_sizes.iter().flat_map(|block| sector_sizes.iter().map(move |sector| (*block, *sector)));
    let mut fits: Vec<Fit> = pairs.filter_map(|(block, sector)| setting.fit(block, sector)).collect();
    let least = fits.iter().map(|fit| fit.against).min().unwrap_or(0);
    fits.retain(|fit| fit.against == least);
    let chosen = match sizes(&fits).as_slice() {
        // More nonsense than sense: the BAT itself is damaged.
        _ if least > survey.entries.len() >> 1 => None,
        [only] => Some((*only, "nothing else makes sense of the BAT")),
        // An empty BAT says the same whatever the block size.
        _ if survey.empty => Some((DEFAULT, "the BAT is empty, so that it makes no difference")),
        _ => by_joints(&mut fits),
    };
    let others = sizes(&fits);
    let fit = chosen.and_then(|(size, by)| Some((fits.iter().find(|fit| fit.block_size == size)?, by)));
    let Some((fit, by)) = fit else { return Err(others) };
    let others = others.into_iter().filter(|size| *size != fit.block_size).collect();
    Ok(Choice { fit: *fit, by, others })
}

/// What speaks against the sizes that the metadata tell.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::format::vhdx) enum Misfit {
    /// The disk alone: a larger one would make sense of all entries.
    DiskSize {
        /// As many bytes.
        at_least: u64,
    },
    /// Block size or sector size.
    Sizes {
        /// Those that would make sense, in words.
        fitting: String,
        /// Those among them by which most blocks lie side by side.
        best: Fit,
        /// All of them have the block size that is told.
        only_sectors: bool,
    },
}

/// So many blocks side by side are no accident.
const NO_ACCIDENT: usize = 4;

/// What speaks against these sizes and for others. `None` where nothing makes more sense than they do.
pub(super) fn misfit(setting: &Setting<'_>, block_size: u32, sector_size: u32) -> Option<Misfit> {
    let told = setting.fit(block_size, sector_size)?;
    let boundless = Setting { virtual_size: None, ..*setting };
    let larger = boundless.fit(block_size, sector_size).filter(|fit| told.against > 0 && fit.against == 0);
    let better = |fit: &Fit| match (told.against, larger) {
        // Blocks of another size, each with a hole behind it, make less sense than a disk of another size.
        (_, Some(larger)) => fit.against == 0 && fit.joined >= larger.joined,
        (0, None) => fit.against == 0 && told.joined == 0 && fit.joined >= NO_ACCIDENT,
        // One damaged entry proves nothing.
        (against, None) => fit.against.saturating_mul(2) <= against && against.saturating_sub(fit.against) > 1,
    };
    let pairs = BLOCK_SIZES.iter().flat_map(|block| [512, 4096].map(|sector| (*block, sector)));
    let fits = pairs
        .filter(|pair| *pair != (block_size, sector_size))
        .filter_map(|(block, sector)| setting.fit(block, sector));
    let fits: Vec<Fit> = fits.filter(better).collect();
    // Damage to one item is likelier than to two.
    let one_differs = |fit: &Fit| fit.block_size == block_size || fit.logical_sector_size == sector_size;
    let likelier = |fit: &Fit| (Reverse(fit.against), fit.joined, one_differs(fit));
    let Some(best) = fits.iter().copied().max_by_key(likelier) else {
        return larger.map(|_| Misfit::DiskSize { at_least: setting.claimed(block_size, sector_size) });
    };
    let names: Vec<String> = fits
        .iter()
        .map(|fit| format!("blocks of {} MiB and sectors of {} bytes", fit.block_size >> 20, fit.logical_sector_size))
        .collect();
    let only_sectors = fits.iter().all(|fit| fit.block_size == block_size);
    Some(Misfit::Sizes { fitting: names.join(", or "), best, only_sectors })
}

/// What is taken where it makes no difference.
const DEFAULT: u32 = 2 << 20;

/// The block sizes of all fits, the smallest first.
fn sizes(fits: &[Fit]) -> Vec<u32> {
    let mut sizes: Vec<u32> = fits.iter().map(|fit| fit.block_size).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// The largest size that makes blocks lie side by side: were they smaller, each would have a hole behind it. Where no two of
/// them do, those sizes are left in `fits` for which the file is long enough.
fn by_joints(fits: &mut Vec<Fit>) -> Option<(u32, &'static str)> {
    let joined = fits.iter().filter(|fit| fit.joined > 0).map(|fit| fit.block_size).max();
    if let Some(size) = joined {
        return Some((size, "blocks of this size lie side by side in the file"));
    }
    if fits.iter().any(|fit| fit.end != Ordering::Greater) {
        fits.retain(|fit| fit.end != Ordering::Greater);
    }
    let ending: Vec<Fit> = fits.iter().filter(|fit| fit.end == Ordering::Equal).copied().collect();
    match (sizes(fits).as_slice(), sizes(&ending).as_slice()) {
        ([only], _) => Some((*only, "the file is too short for larger ones")),
        (_, [only]) => Some((*only, "the last block ends where the file does")),
        _ => None,
    }
}

impl Setting<'_> {
    /// These sizes, whatever speaks against them. `None` where they contradict each other.
    pub(super) fn take(&self, block_size: u32, logical_sector_size: u32) -> Option<Choice> {
        let by = "though the BAT speaks against it";
        self.fit(block_size, logical_sector_size).map(|fit| Choice { fit, by, others: Vec::new() })
    }

    fn fit(&self, block_size: u32, logical_sector_size: u32) -> Option<Fit> {
        let virtual_size = self.virtual_size.unwrap_or(MAX_VIRTUAL_DISK_SIZE);
        let physical_sector_size = logical_sector_size;
        let shape = BatShape::of(&Geometry { virtual_size, block_size, logical_sector_size, physical_sector_size })?;
        let mut look = Look { setting: self, shape, claims: Vec::new(), against: 0, needs_bitmap: None };
        self.survey.entries.iter().for_each(|(number, entry)| look.at(*number, *entry));
        look.needs_no_bitmap_before(self.survey.seen);
        if self.virtual_size.is_some() && shape.entries_needed() > self.survey.room {
            look.against = look.against.saturating_add(1);
        }
        let (overlaps, joined, end) = self.neighbours(look.claims);
        let against = look.against.saturating_add(overlaps);
        Some(Fit { block_size, logical_sector_size, against, joined, end })
    }

    /// Up to which byte of the disk the entries that were looked at place anything, by these sizes.
    fn claimed(&self, block_size: u32, logical_sector_size: u32) -> u64 {
        let (virtual_size, physical_sector_size) = (MAX_VIRTUAL_DISK_SIZE, logical_sector_size);
        let shape = BatShape::of(&Geometry { virtual_size, block_size, logical_sector_size, physical_sector_size });
        let last = shape
            .and_then(|shape| self.survey.entries.iter().rev().find_map(|(number, _)| shape.payload_block(*number)));
        last.map_or(0, |last| last.saturating_add(1).saturating_mul(block_size.into()))
    }

    /// How many claims reach into what follows them in the file, how many end right there, and where the last one ends
    /// in the file.
    fn neighbours(&self, mut claims: Vec<Range<u64>>) -> (usize, usize, Ordering) {
        let last = claims.iter().map(|claim| claim.end).max().unwrap_or(0);
        claims.extend(self.structures.iter().cloned());
        claims.sort_unstable_by_key(|claim| claim.start);
        let (mut overlaps, mut joined) = (0usize, 0usize);
        for (claim, next) in claims.iter().zip(claims.iter().skip(1)) {
            overlaps = overlaps.saturating_add(usize::from(claim.end > next.start));
            // That structures lie side by side says nothing.
            let is_block = !self.structures.contains(claim);
            joined = joined.saturating_add(usize::from(is_block && claim.end == next.start));
        }
        (overlaps, joined, last.cmp(&self.file_size))
    }
}

/// One look at all entries, for one block size and one sector size.
struct Look<'a> {
    setting: &'a Setting<'a>,
    shape: BatShape,
    claims: Vec<Range<u64>>,
    against: usize,
    /// A chunk with a partly present block, whose bitmap was not seen yet.
    needs_bitmap: Option<u64>,
}

impl Look<'_> {
    fn at(&mut self, number: u64, entry: BatEntry) {
        let a_chunk = self.shape.chunk_ratio.saturating_add(1);
        let chunk = number.checked_div(a_chunk).unwrap_or(0);
        self.needs_no_bitmap_before(chunk.saturating_mul(a_chunk));
        if number == self.shape.bitmap_entry(chunk) {
            self.needs_bitmap = None;
            match entry.bitmap_present() && self.setting.has_parent {
                true => self.claim(entry, MIB),
                false => self.speak_against(),
            }
            // A block's own entry, as it stands there: noise would hardly look like one.
            if !self.setting.has_parent && entry.payload_state() == PayloadState::FullyPresent && self.is_place(entry) {
                self.speak_against();
            }
            return;
        }
        let past_end = number.saturating_sub(chunk) >= self.shape.payload_blocks;
        match entry.payload_state() {
            _ if past_end => self.speak_against(),
            PayloadState::Reserved => self.speak_against(),
            PayloadState::PartiallyPresent if !self.setting.has_parent => self.speak_against(),
            PayloadState::PartiallyPresent => {
                self.needs_bitmap = Some(chunk);
                self.claim(entry, self.shape.block_size);
            }
            PayloadState::FullyPresent => self.claim(entry, self.shape.block_size),
            _ => {}
        }
    }

    fn claim(&mut self, entry: BatEntry, length: u64) {
        if !self.is_place(entry) {
            return self.speak_against();
        }
        let start = entry.file_offset();
        self.claims.push(start..start.saturating_add(length));
    }

    /// Whether a block can begin where the entry says.
    fn is_place(&self, entry: BatEntry) -> bool {
        entry.is_aligned() && (MIB..self.setting.file_size).contains(&entry.file_offset())
    }

    /// All entries before this one were seen: a bitmap that is needed should have been among them.
    fn needs_no_bitmap_before(&mut self, number: u64) {
        if self.needs_bitmap.is_some_and(|chunk| self.shape.bitmap_entry(chunk) < number) {
            self.needs_bitmap = None;
            self.speak_against();
        }
    }

    fn speak_against(&mut self) {
        self.against = self.against.saturating_add(1);
    }
}

/// Entries of the largest BAT that the format allows: blocks of 1 MiB, and a bitmap for every 4096 of them.
pub(super) const MOST_ENTRIES: u64 = (MAX_VIRTUAL_DISK_SIZE >> 20) + (MAX_VIRTUAL_DISK_SIZE >> 32);
