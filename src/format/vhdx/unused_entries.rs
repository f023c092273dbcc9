//! Parts of the BAT that hold nothing, and what of the disk they place.

use std::ops::Range;

use super::bat::{BatEntry, ENTRY_LENGTH, PayloadState};
use super::bat_walk::Role;
use super::log::PAGE;

/// Bytes of a sector, the smallest part of a BAT that storage or a stray write loses.
const SECTOR: u64 = 512;

/// The blocks of the disk whose entries stand where none tells of a block.
#[derive(Debug)]
pub(super) struct UnusedEntries {
    pages: Empty,
    sectors: Empty,
    entries: Empty,
}

impl Default for UnusedEntries {
    fn default() -> Self {
        UnusedEntries { pages: Empty::of(PAGE), sectors: Empty::of(SECTOR), entries: Empty::of(ENTRY_LENGTH) }
    }
}

impl UnusedEntries {
    /// Takes the next entry, which stands at byte `at` of the file. `disk` is what of the disk it places: nothing where it is not
    /// of a block.
    pub(super) fn look_at(&mut self, at: u64, entry: BatEntry, role: Role, disk: &Range<u64>) {
        let unused = is_unused(entry, role);
        self.pages.look_at(at, unused, disk);
        self.sectors.look_at(at, unused, disk);
        self.entries.look_at(at, unused, disk);
    }

    /// What of the disk pages of 4 KiB of the BAT place that hold nothing.
    pub(super) fn empty_pages(&mut self) -> &[Range<u64>] {
        self.pages.ranges()
    }

    /// What of the disk sectors of 512 bytes of the BAT place that hold nothing: those of the pages, too.
    pub(super) fn empty_sectors(&mut self) -> &[Range<u64>] {
        self.sectors.ranges()
    }

    /// What of the disk single entries place that tell of no block: those in these parts, too.
    pub(super) fn alone(&mut self) -> &[Range<u64>] {
        self.entries.ranges()
    }
}

/// Whether an entry tells of no block: it is as it was before its block was first set aside, or no writer wrote it.
fn is_unused(entry: BatEntry, role: Role) -> bool {
    let tells = match role {
        Role::Bitmap(_) => entry.bitmap_present(),
        Role::Payload(_) => !matches!(entry.payload_state(), PayloadState::NotPresent | PayloadState::Reserved),
    };
    !(tells && entry.is_aligned())
}

/// Parts of the BAT of one length of which no entry that the disk needs tells of a block.
#[derive(Debug)]
struct Empty {
    /// In bytes.
    length: u64,
    /// Where in the file the part stands whose entries come in now, what of the disk it places, and whether it is empty.
    now: Option<(u64, Range<u64>, bool)>,
    /// Bytes of the disk.
    ranges: Vec<Range<u64>>,
}

/// Ranges that are kept apart; what follows is one with the last.
const MAX_APART: usize = 1 << 16;

impl Empty {
    fn of(length: u64) -> Self {
        Empty { length, now: None, ranges: Vec::new() }
    }

    fn look_at(&mut self, at: u64, unused: bool, disk: &Range<u64>) {
        let part = at & !self.length.saturating_sub(1);
        match &mut self.now {
            Some((now, placed, all)) if *now == part => {
                *all &= unused;
                if placed.is_empty() {
                    *placed = disk.clone();
                } else if !disk.is_empty() {
                    placed.end = disk.end;
                }
            }
            _ => {
                self.finish();
                self.now = Some((part, disk.clone(), unused));
            }
        }
    }

    fn finish(&mut self) {
        if let Some((_, disk, true)) = self.now.take() {
            add(&mut self.ranges, disk);
        }
    }

    fn ranges(&mut self) -> &[Range<u64>] {
        self.finish();
        &self.ranges
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
