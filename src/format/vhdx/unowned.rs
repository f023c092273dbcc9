//! Blocks that stand in a file and that no entry of its BAT owns.
//!
//! The format allows free room in a file, with anything in it. But where a page of the BAT was lost, or a log that would have
//! written it, the blocks are still there, and nothing else tells of them.

use std::ops::Range;

use super::bat::BatEntry;
use super::log::LogState;
use super::resolve::Vhdx;
use super::told_blocks::{NAMED, named};
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
        Some(content(vhdx, start, &mut self.bytes) != Content::Nothing)
    }
}

const SAMPLES: u64 = 8;
const SAMPLE: usize = 4096;
const PIECE: u64 = 1 << 20;

/// Bytes of a page of the BAT, as the log writes it.
pub(super) const PAGE: u64 = 4096;

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
    /// Those that no machine leaves which stops between growing the file and telling the BAT.
    inner: Inner,
}

/// Blocks without an owner that are not merely the last ones of the file.
#[derive(Debug, Default)]
struct Inner {
    count: u64,
    sampled: u64,
    /// Of those looked at: they hold as much as a block that was in use, and no mere remains at a border of free room.
    in_use: u64,
}

impl Inner {
    /// How many of all of them were in use, by those that were looked at. None where most were not: lost blocks were, and free room
    /// between others holds remains at most.
    fn estimate(&self) -> u64 {
        if self.in_use.saturating_mul(2) < self.sampled {
            return 0;
        }
        self.count.saturating_mul(self.in_use).checked_div(self.sampled).unwrap_or(0)
    }
}

/// Of so many blocks with an owner one may stand in free room and still hold what it once held: a file that is in use has
/// some, for blocks are given up, and the room is taken again before the file grows.
const OWNED_TO_GIVEN_UP: u64 = 64;

/// So many blocks wait for their entries in the middle of a file where a machine stopped between growing it and logging, and
/// went on behind them later. Each stop may leave some.
const LEAKED: u64 = 4;

/// They are no accident where they are more than this share of the blocks that have an owner, or than so many.
const OWNED_TO_LEAKED: u64 = 8;
const MANY: u64 = 16;

/// How many blocks without an owner and in use `owned` ones with an owner explain. Where none has one, the whole BAT is what
/// was lost.
fn usual_beside(owned: u64) -> u64 {
    if owned == 0 {
        return 0;
    }
    let given_up = owned.checked_div(OWNED_TO_GIVEN_UP).unwrap_or(0);
    let leaked = owned.checked_div(OWNED_TO_LEAKED).unwrap_or(0).clamp(LEAKED, MANY);
    given_up.max(leaked)
}

/// So many blocks at the end of a file may wait for their entries when a machine stops.
const MAX_WAITING: u64 = 2;

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
        let (mut filled, mut in_use) = (0u64, 0u64);
        for start in starts {
            let content = content(vhdx, start, &mut look.bytes);
            filled = filled.saturating_add(u64::from(content != Content::Nothing));
            in_use = in_use.saturating_add(u64::from(content == Content::Much));
        }
        self.filled = self.filled.saturating_add(filled);
        if stretch.end < vhdx.file.size() || blocks > MAX_WAITING {
            let Inner { count, sampled, in_use: before } = self.inner;
            self.inner = Inner {
                count: count.saturating_add(blocks),
                sampled: sampled.saturating_add(looked_at),
                in_use: before.saturating_add(in_use),
            };
        }
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

    /// What of the disk is doubtful because of them, in order: where entries that would own them were lost beyond the `explained` ones. So
    /// many blocks are `owned`.
    pub(super) fn doubted(
        &self,
        vhdx: &Vhdx,
        unused: &mut UnusedEntries,
        explained: u64,
        owned: u64,
    ) -> Vec<Range<u64>> {
        if self.inner.estimate() <= explained.saturating_add(usual_beside(owned)) {
            return Vec::new();
        }
        match vhdx.log_state() {
            // The user was told that it is out of date, and wants to see it so.
            LogState::Declined => Vec::new(),
            // What the log was to write where is not known: it may have been any table.
            LogState::Empty => vec![0..vhdx.geometry.virtual_size],
            _ => unused.empty_pages(),
        }
    }

    /// What it may mean that there are some, where these bytes of the disk are doubtful.
    pub(super) fn finding(&self, vhdx: &Vhdx, unused: &mut UnusedEntries, doubted: &[Range<u64>]) -> Finding {
        let text = self.describe(vhdx);
        let is_clean = vhdx.log_state() == LogState::Clean;
        let older = if vhdx.is_differencing() { "what older links hold" } else { "zeros" };
        let whose = match vhdx.log_state() {
            LogState::Empty => {
                "the log that was to name them holds no entry, so what it would have changed is missing, and it may be anything:"
            }
            _ => "pages of the BAT that hold nothing at all place",
        };
        // Free room may hold anything. It takes a sign that entries were lost to make it more than an information.
        let (severity, text) = match (doubted, unused.empty_pages().as_slice()) {
            ([], []) if is_clean => (Severity::Information, text),
            ([], []) => (Severity::Warning, text),
            ([], pages) => {
                let disk = named(pages);
                let text = format!(
                    "{text}; pages of the BAT that hold nothing at all place bytes {disk} of the disk, which read as {older}"
                );
                (Severity::Warning, text)
            }
            (doubted, _) => {
                (Severity::Error, format!("{text}; {whose} bytes {} of the disk: these are doubtful", named(doubted)))
            }
        };
        let advice = match severity {
            Severity::Error => format!(
                "look for another copy of this image; --accept-doubtful serves {older} there, which is right if the blocks in the file were given up"
            ),
            _ => "if files are missing or older than they should be, look for another copy of this image; free room in a file may hold anything, and then nothing is wrong".to_owned(),
        };
        Finding::new(Code::BlocksUnowned, severity, text).at("BAT", vhdx.bat.start).advise(advice)
    }
}

/// The blocks of the disk whose entries are zeros, as they are before a block is first set aside.
#[derive(Debug, Default)]
pub(super) struct UnusedEntries {
    /// Where in the file the page stands whose entries come in now, which blocks these are, and whether all entries are zeros.
    now: Option<(u64, Range<u64>, bool)>,
    /// Bytes of the disk whose blocks stand in pages of the BAT of which all entries that the disk needs are zeros.
    pages: Vec<Range<u64>>,
}

/// Ranges that are kept apart; what follows is one with the last.
const MAX_APART: usize = 1 << 16;

impl UnusedEntries {
    /// Takes the next entry, which stands at byte `at` of the file. `disk` is what of the disk it places: nothing where it is not
    /// of a block.
    pub(super) fn look_at(&mut self, at: u64, entry: BatEntry, disk: Range<u64>) {
        let page = at & !PAGE.saturating_sub(1);
        let unused = entry.0 == 0;
        match &mut self.now {
            Some((now, placed, all)) if *now == page => {
                *all &= unused;
                if placed.is_empty() {
                    *placed = disk;
                } else if !disk.is_empty() {
                    placed.end = disk.end;
                }
            }
            _ => {
                self.finish();
                self.now = Some((page, disk, unused));
            }
        }
    }

    fn finish(&mut self) {
        if let Some((_, disk, true)) = self.now.take() {
            add(&mut self.pages, disk);
        }
    }

    fn empty_pages(&mut self) -> Vec<Range<u64>> {
        self.finish();
        self.pages.clone()
    }
}

fn add(ranges: &mut Vec<Range<u64>>, disk: Range<u64>) {
    let is_full = ranges.len() >= MAX_APART;
    match ranges.last_mut() {
        _ if disk.is_empty() => {}
        Some(last) if last.end == disk.start || is_full => last.end = disk.end,
        _ => ranges.push(disk),
    }
}

/// What a block of the file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
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
