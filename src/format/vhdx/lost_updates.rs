//! What a file itself shows of the updates that a torn log lost.
//!
//! A writer first sets blocks aside and fills them, then logs the BAT pages that name them. Where the log is torn, blocks may
//! stand in the file that no entry owns, and the log's entries still tell which pages of the BAT were about to change.

use std::ops::Range;

use super::bat::ENTRY_LENGTH;
use super::ownership::Ownership;
use super::resolve::Vhdx;
use crate::Faults;
use crate::image::ReadAt;

/// Blocks without an owner of which samples are read, and the samples of each.
const MAX_SAMPLED: usize = 64;
const SAMPLES: u64 = 8;
const SAMPLE: usize = 4096;

/// Ranges that are named one by one.
const NAMED: usize = 4;

/// Bytes of a page of the BAT, as the log writes it.
const PAGE: u64 = 4096;

/// All of it in a sentence or two.
pub(super) fn describe(vhdx: &Vhdx) -> String {
    pages(vhdx).into_iter().chain([unowned(vhdx)]).collect::<Vec<_>>().join("; ")
}

/// The pages of the BAT that entries of the log were about to change. `None` where all of the file is doubtful.
fn pages(vhdx: &Vhdx) -> Option<String> {
    let bat = &vhdx.bat;
    let doubtful = vhdx.file.doubtful_ranges();
    if doubtful.iter().any(|range| range.end == u64::MAX) {
        return None;
    }
    let within = doubtful.iter().map(|range| range.start.max(bat.start)..range.end.min(bat.end));
    let within: Vec<Range<u64>> = within.filter(|range| !range.is_empty()).collect();
    let count = within.iter().fold(0u64, |sum, range| sum.saturating_add(length(range).div_ceil(PAGE)));
    if count == 0 {
        return Some("no page of the BAT stands in its entries".to_owned());
    }
    let disk = named(&within.iter().map(|range| vhdx.disk_of_entries(range)).collect::<Vec<_>>());
    Some(format!("pages of the BAT that stand in its entries: {count}, which place bytes {disk} of the disk"))
}

/// The blocks that stand in the file and that no entry of the BAT owns.
fn unowned(vhdx: &Vhdx) -> String {
    let Some(ownership) = Ownership::of(vhdx) else {
        return "the BAT is too large to look for blocks without an owner while opening".to_owned();
    };
    let block_size = vhdx.shape.block_size;
    let (mut count, mut ranges, mut sampled, mut filled) = (0u64, Vec::new(), 0usize, 0usize);
    ownership.each_unowned(&mut |range| {
        let blocks = length(&range).checked_div(block_size).unwrap_or(0);
        if blocks == 0 {
            return;
        }
        count = count.saturating_add(blocks);
        if ranges.len() <= NAMED {
            ranges.push(range.clone());
        }
        for block in 0..blocks {
            if sampled == MAX_SAMPLED {
                break;
            }
            sampled = sampled.saturating_add(1);
            let start = range.start.saturating_add(block.saturating_mul(block_size));
            filled = filled.saturating_add(usize::from(holds_anything(vhdx, start)));
        }
    });
    let mib = block_size >> 20;
    match count {
        0 => format!("the file has no room of {mib} MiB that nothing owns, where a lost block could stand"),
        _ => format!(
            "blocks of {mib} MiB in the file that no entry of the BAT owns: {count} (in bytes {} of the file); of {sampled} looked at, {filled} hold something: they may be blocks whose entries were lost",
            named(&ranges)
        ),
    }
}

/// Whether samples of a block are not all zeros. What cannot be read may be anything.
fn holds_anything(vhdx: &Vhdx, start: u64) -> bool {
    let step = vhdx.shape.block_size.checked_div(SAMPLES).unwrap_or(0);
    let mut buf = [0; SAMPLE];
    (0..SAMPLES).any(|sample| {
        let mut faults = Faults::new();
        let read = vhdx.file.read_at(&mut buf, start.saturating_add(sample.saturating_mul(step)), &mut faults);
        read.is_err() || faults.any_lost() || buf.iter().any(|byte| *byte != 0)
    })
}

impl Vhdx {
    /// The bytes of the disk whose blocks these bytes of the BAT place.
    fn disk_of_entries(&self, bat: &Range<u64>) -> Range<u64> {
        let a_chunk = self.shape.chunk_ratio.saturating_add(1);
        // Behind the blocks of a chunk stands its bitmap's entry, which is no block.
        let block = |number: u64| number.saturating_sub(number.checked_div(a_chunk).unwrap_or(0));
        let number = |at: u64| at.saturating_sub(self.bat.start).div_ceil(ENTRY_LENGTH);
        let byte = |at: u64| block(number(at)).saturating_mul(self.shape.block_size).min(self.geometry.virtual_size);
        byte(bat.start)..byte(bat.end)
    }
}

/// The first of some ranges.
fn named(ranges: &[Range<u64>]) -> String {
    let first: Vec<String> = ranges.iter().take(NAMED).map(|range| format!("{}..{}", range.start, range.end)).collect();
    let more = if ranges.len() > NAMED { " and more" } else { "" };
    format!("{}{more}", first.join(", "))
}

fn length(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}
