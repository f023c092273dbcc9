//! Blocks that stand in a file and that no entry of its BAT owns.
//!
//! The format allows free room in a file, with anything in it. But where a page of the BAT was lost, or a log that would have
//! written it, the blocks are still there, and nothing else tells of them.

use std::ops::Range;

use super::block_content::{Content, Look};
use super::log::LogState;
use super::resolve::Vhdx;
use super::told_blocks::{NAMED, named};
use super::unused_entries::UnusedEntries;
use crate::image::ReadAt;
use crate::report::{Code, Finding, Severity};

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
    /// Whether the rest of a block at the end of the file is one of them.
    with_cut: bool,
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

/// What of a disk is doubtful for blocks without an owner.
#[derive(Debug, Default)]
pub(super) struct Doubted {
    /// There are more of them than lawful writers leave.
    is_unusual: bool,
    /// Bytes of the disk, in order.
    pub(super) disk: Vec<Range<u64>>,
    by: By,
}

/// What may have lost their entries.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The log, which holds no entry.
    Log,
    /// Sectors of the BAT, which hold nothing.
    #[default]
    Sectors,
    /// Any entry that claims nothing.
    Entries,
}

impl Unowned {
    /// Looks at the stretches of the file that belong to nothing, which `stretches` tells in order. Where entries are missing,
    /// `with_cut`, the rest of a block at the end of the file counts as one: the file may have been cut. Else nothing speaks for it.
    pub(super) fn in_stretches(
        vhdx: &Vhdx,
        mut look: Look,
        with_cut: bool,
        stretches: impl FnOnce(&mut dyn FnMut(Range<u64>)),
    ) -> Self {
        let mut unowned = Unowned { with_cut, ..Unowned::default() };
        stretches(&mut |stretch| unowned.add(vhdx, &mut look, stretch.start..stretch.end.min(vhdx.file.size())));
        unowned
    }

    fn add(&mut self, vhdx: &Vhdx, look: &mut Look, stretch: Range<u64>) {
        let block_size = vhdx.shape.block_size;
        let length = stretch.end.saturating_sub(stretch.start);
        let is_cut = self.with_cut && stretch.end == vhdx.file.size() && !length.is_multiple_of(block_size);
        let blocks = length.checked_div(block_size).unwrap_or(0).saturating_add(u64::from(is_cut));
        if blocks == 0 {
            return;
        }
        self.count = self.count.saturating_add(blocks);
        if self.ranges.len() <= NAMED {
            self.ranges.push(stretch.clone());
        }
        let (mut looked_at, mut filled, mut in_use) = (0u64, 0u64, 0u64);
        for block in 0..blocks {
            let start = stretch.start.saturating_add(block.saturating_mul(block_size));
            let Some(content) = look.at(vhdx, start) else { break };
            looked_at = looked_at.saturating_add(1);
            filled = filled.saturating_add(u64::from(content != Content::Nothing));
            in_use = in_use.saturating_add(u64::from(content == Content::Much));
        }
        self.sampled = self.sampled.saturating_add(looked_at);
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

    /// What of the disk is doubtful because of them: where entries that would own them were lost beyond the `explained` ones. So
    /// many blocks are `owned`.
    pub(super) fn doubted(&self, vhdx: &Vhdx, unused: &mut UnusedEntries, explained: u64, owned: u64) -> Doubted {
        let estimate = self.inner.estimate();
        if estimate <= explained.saturating_add(usual_beside(owned)) {
            return Doubted::default();
        }
        let (disk, by) = match vhdx.log_state() {
            // The user was told that it is out of date, and wants to see it so.
            LogState::Declined => return Doubted::default(),
            // What the log was to write where is not known: it may have been any table.
            LogState::Empty => (vec![0..vhdx.geometry.virtual_size], By::Log),
            // Most of the BAT is of another day, not some sectors of it: a part that was emptied would tell of nothing else.
            _ if owned > 0 && estimate.saturating_sub(explained) > owned => (unused.alone().to_vec(), By::Entries),
            _ => (unused.empty_sectors().to_vec(), By::Sectors),
        };
        Doubted { is_unusual: true, disk, by }
    }

    /// That the file has room for blocks behind its structures, though no block has a place in it: nothing tells whether it ever
    /// had, for all of the room is zeros. So looks a file that was grown and not used yet, and one that was lost from its BAT on.
    pub(super) fn finding_of_empty_room(&self, vhdx: &Vhdx) -> Option<Finding> {
        if self.count <= LEAKED || self.filled > 0 {
            return None;
        }
        let text = format!(
            "the BAT holds nothing at all, and the file is larger than its structures, by room for blocks of {} MiB: {} (in bytes {} of the file); of {} looked at, all are zeros. A file that was grown and not used yet looks so, and one of which the BAT and the blocks were lost",
            vhdx.shape.block_size >> 20,
            self.count,
            named(&self.ranges),
            self.sampled
        );
        let finding = Finding::new(Code::BlocksUnowned, Severity::Warning, text).at("BAT", vhdx.bat.start);
        Some(finding.advise("if the disk should hold something, look for another copy of this image"))
    }

    /// What it may mean that there are some, where these bytes of the disk are doubtful.
    pub(super) fn finding(&self, vhdx: &Vhdx, unused: &mut UnusedEntries, doubted: &Doubted) -> Finding {
        let text = self.describe(vhdx);
        let is_clean = vhdx.log_state() == LogState::Clean;
        let older = if vhdx.is_differencing() { "what older links hold" } else { "zeros" };
        let whose = match doubted.by {
            By::Log => {
                "the log that was to name them holds no entry, so what it would have changed is missing, and it may be anything:"
            }
            By::Sectors => "parts of the BAT that hold nothing at all place",
            By::Entries => {
                "these are more than have an owner, so the BAT may be of an older day; entries that claim nothing place"
            }
        };
        // Free room may hold anything. It takes a sign that entries were lost to make it more than an information.
        let (severity, text) = match (doubted.disk.as_slice(), unused.empty_pages()) {
            ([], []) if is_clean && !doubted.is_unusual => (Severity::Information, text),
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
            _ if doubted.is_unusual => {
                "it is more than a writer leaves: look for another copy of this image, and compare what the disk holds".to_owned()
            }
            _ => "if files are missing or older than they should be, look for another copy of this image; free room in a file may hold anything, and then nothing is wrong".to_owned(),
        };
        Finding::new(Code::BlocksUnowned, severity, text).at("BAT", vhdx.bat.start).advise(advice)
    }
}
