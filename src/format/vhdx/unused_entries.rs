//! Pages of the BAT that hold nothing, and what of the disk they place.

use std::ops::Range;

use super::bat::BatEntry;

/// Bytes of a page of the BAT, as the log writes it.
pub(super) const PAGE: u64 = 4096;

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

    /// What of the disk pages of the BAT place that hold nothing.
    pub(super) fn empty_pages(&mut self) -> Vec<Range<u64>> {
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
