//! Blocks that stand in a file and that no entry of its BAT owns.
//!
//! The format allows free room in a file, with anything in it. But where a page of the BAT was lost, or a log that would have
//! written it, the blocks are still there, and nothing else tells of them.

use std::ops::Range;

use super::bat::BatEntry;
use super::log::LogState;
use super::resolve::Vhdx;
use crate::Faults;
use crate::image::ReadAt;
use crate::report::{Code, Finding, Severity};

/// How closely blocks without an owner are looked at.
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

    /// Whether the block at byte `start` of the file holds anything. `None` where no more blocks are to be looked at.
    pub(super) fn holds_anything(&mut self, vhdx: &Vhdx, start: u64) -> Option<bool> {
        self.blocks = self.blocks.checked_sub(1)?;
        Some(holds_anything(vhdx, start, &mut self.bytes))
    }
}

const SAMPLES: u64 = 8;
const SAMPLE: usize = 4096;
const PIECE: u64 = 1 << 20;

/// Bytes of a page of the BAT, as the log writes it.
pub(super) const PAGE: u64 = 4096;

/// Ranges that are named one by one.
const NAMED: usize = 4;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Unowned {
    /// Blocks for which there is room.
    count: u64,
    /// The first ranges of the file where they may stand, in bytes.
    ranges: Vec<Range<u64>>,
    /// Blocks that were looked at.
    sampled: u64,
    /// Blocks of these that hold something.
    filled: u64,
}

impl Unowned {
    /// Looks at the stretches of the file that belong to nothing, which `stretches` tells in order.
    pub(super) fn in_stretches(
        vhdx: &Vhdx,
        mut look: Look,
        stretches: impl FnOnce(&mut dyn FnMut(Range<u64>)),
    ) -> Self {
        let mut unowned = Unowned::default();
        stretches(&mut |stretch| unowned.add(vhdx, &mut look, stretch.start..stretch.end.min(vhdx.file.size())));
        unowned
    }

    fn add(&mut self, vhdx: &Vhdx, look: &mut Look, stretch: Range<u64>) {
        let block_size = vhdx.shape.block_size;
        let blocks = stretch.end.saturating_sub(stretch.start).checked_div(block_size).unwrap_or(0);
        if blocks == 0 {
            return;
        }
        self.count = self.count.saturating_add(blocks);
        if self.ranges.len() <= NAMED {
            self.ranges.push(stretch.clone());
        }
        let looked_at = blocks.min(look.blocks);
        look.blocks = look.blocks.saturating_sub(looked_at);
        self.sampled = self.sampled.saturating_add(looked_at);
        let starts = (0..looked_at).map(|block| stretch.start.saturating_add(block.saturating_mul(block_size)));
        let filled = starts.filter(|start| holds_anything(vhdx, *start, &mut look.bytes)).count();
        self.filled = self.filled.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX));
    }

    /// How many of the blocks that were looked at hold something.
    pub(super) fn filled(&self) -> u64 {
        self.filled
    }

    /// All of it in a sentence.
    pub(super) fn describe(&self, vhdx: &Vhdx) -> String {
        let mib = vhdx.shape.block_size >> 20;
        match self.count {
            0 => format!("the file has no room of {mib} MiB that nothing owns, where a lost block could stand"),
            count => format!(
                "blocks of {mib} MiB in the file that no entry of the BAT owns: {count} (in bytes {} of the file); of {} looked at, {} hold something: they may be blocks whose entries were lost",
                named(&self.ranges),
                self.sampled,
                self.filled
            ),
        }
    }

    /// What it may mean that there are some, where `empty` are the pages of the BAT that hold nothing: bytes of the file.
    pub(super) fn finding(&self, vhdx: &Vhdx, empty: &[Range<u64>]) -> Finding {
        let mut text = self.describe(vhdx);
        // Free room may hold anything. It takes a sign that entries were lost to make it a warning.
        let mut severity = Severity::Information;
        if !empty.is_empty() {
            severity = Severity::Warning;
            let disk: Vec<Range<u64>> = empty.iter().map(|page| vhdx.disk_of_entries(page)).collect();
            let older = if vhdx.is_differencing() { "what older links hold" } else { "zeros" };
            text = format!(
                "{text}; pages of the BAT that hold nothing at all place bytes {} of the disk, which read as {older}",
                named(&disk)
            );
        }
        if vhdx.log_state() != LogState::Clean {
            severity = Severity::Warning;
        }
        Finding::new(Code::BlocksUnowned, severity, text).at("BAT", vhdx.bat.start).advise(
            "if files are missing or older than they should be, look for another copy of this image; free room in a file may hold anything, and then nothing is wrong",
        )
    }
}

/// Finds the pages of a BAT of which all entries that the disk needs are zeros.
#[derive(Debug, Default)]
pub(super) struct EmptyPages {
    /// Byte offset in the file of the page whose entries come in now, and whether all of them were zeros.
    now: Option<(u64, bool)>,
    /// The first of them; pages that touch are one.
    found: Vec<Range<u64>>,
}

impl EmptyPages {
    /// Takes the next entry, which stands at byte `at` of the file.
    pub(super) fn look_at(&mut self, at: u64, entry: BatEntry) {
        let page = at & !PAGE.saturating_sub(1);
        let empty = entry.0 == 0;
        match &mut self.now {
            Some((now, all)) if *now == page => *all &= empty,
            _ => {
                self.finish();
                self.now = Some((page, empty));
            }
        }
    }

    fn finish(&mut self) {
        let Some((page, true)) = self.now.take() else { return };
        let end = page.saturating_add(PAGE);
        if let Some(last) = self.found.last_mut().filter(|last| last.end == page) {
            last.end = end;
        } else if self.found.len() <= NAMED {
            self.found.push(page..end);
        }
    }

    /// All that were found, as bytes of the file: the first ones.
    pub(super) fn ranges(mut self) -> Vec<Range<u64>> {
        self.finish();
        self.found
    }
}

/// Whether a block is not all zeros, or samples of it where there are not as many `bytes` left to read as it has.
fn holds_anything(vhdx: &Vhdx, start: u64, bytes: &mut u64) -> bool {
    let block_size = vhdx.shape.block_size;
    let Some(left) = bytes.checked_sub(block_size) else {
        let step = block_size.checked_div(SAMPLES).unwrap_or(0);
        let mut buf = [0; SAMPLE];
        let at = |sample: u64| start.saturating_add(sample.saturating_mul(step));
        return (0..SAMPLES).any(|sample| is_filled(vhdx, &mut buf, at(sample)));
    };
    *bytes = left;
    let mut buf = vec![0; usize::try_from(PIECE.min(block_size)).unwrap_or(0)];
    let pieces = block_size.checked_div(PIECE).unwrap_or(0);
    (0..pieces).any(|piece| is_filled(vhdx, &mut buf, start.saturating_add(piece.saturating_mul(PIECE))))
}

/// Whether bytes of the file are not all zeros. What cannot be read may be anything.
fn is_filled(vhdx: &Vhdx, buf: &mut [u8], at: u64) -> bool {
    let mut faults = Faults::new();
    vhdx.file.read_at(buf, at, &mut faults).is_err() || faults.any_lost() || buf.iter().any(|byte| *byte != 0)
}

/// The first of some ranges, in words.
pub(super) fn named(ranges: &[Range<u64>]) -> String {
    let first: Vec<String> = ranges.iter().take(NAMED).map(|range| format!("{}..{}", range.start, range.end)).collect();
    let more = if ranges.len() > NAMED { " and more" } else { "" };
    format!("{}{more}", first.join(", "))
}
