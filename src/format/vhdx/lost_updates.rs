//! What a file itself shows of the updates that a torn or damaged log lost.
//!
//! A writer first sets blocks aside and fills them, then logs the BAT pages that name them. Where the log is torn, blocks may
//! stand in the file that no entry owns, and the log's entries still tell which pages of the BAT were about to change.

use std::ops::Range;

use super::bat::ENTRY_LENGTH;
use super::block_content::Look;
use super::log::PAGE;
use super::ownership::Ownership;
use super::resolve::Vhdx;
use super::told_blocks::named;
use super::unowned::Unowned;
use crate::layer::Trust;

/// All of it in a sentence or two.
pub(super) fn describe(vhdx: &Vhdx) -> String {
    pages(vhdx).into_iter().chain([unowned(vhdx)]).collect::<Vec<_>>().join("; ")
}

/// What of the disk is doubtful because the newest entries of the log do not hold.
pub(super) fn describe_doubt(vhdx: &Vhdx) -> String {
    let bat = &vhdx.bat;
    let doubtful = vhdx.file.doubtful_ranges();
    if vhdx.trust != Trust::Proven || doubtful.iter().any(|range| range.end == u64::MAX) {
        return "what they change cannot be told as a whole, so all that this image tells is doubtful".to_owned();
    }
    let within = doubtful.iter().map(|range| range.start.max(bat.start)..range.end.min(bat.end));
    let disk = within.filter(|range| !range.is_empty()).map(|range| vhdx.disk_of_entries(&range));
    let disk: Vec<Range<u64>> = disk.filter(|range| !range.is_empty()).collect();
    match disk.is_empty() {
        true => "no entry of a payload block is among it".to_owned(),
        false => format!("the BAT would place bytes {} of the disk otherwise", named(&disk)),
    }
}

/// The pages of the BAT that entries of the log were about to change, by what is doubtful for them. `None` where that is all of the
/// file, or nothing.
fn pages(vhdx: &Vhdx) -> Option<String> {
    let bat = &vhdx.bat;
    let doubtful = vhdx.file.doubtful_ranges();
    if doubtful.is_empty() || doubtful.iter().any(|range| range.end == u64::MAX) {
        return None;
    }
    let within = doubtful.iter().map(|range| range.start.max(bat.start)..range.end.min(bat.end));
    let within: Vec<Range<u64>> = within.filter(|range| !range.is_empty()).collect();
    // Of one page more than one stretch may be doubtful.
    let (count, _) = within.iter().fold((0u64, bat.start), |(sum, next), range| {
        let end = range.end.next_multiple_of(PAGE);
        let start = (range.start & !PAGE.saturating_sub(1)).max(next);
        (sum.saturating_add(end.saturating_sub(start) / PAGE), end)
    });
    if count == 0 {
        return Some("no page of the BAT stands in its entries".to_owned());
    }
    let disk = within.iter().map(|range| vhdx.disk_of_entries(range)).filter(|disk| !disk.is_empty());
    let disk = named(&disk.collect::<Vec<_>>());
    Some(format!("pages of the BAT that stand in its entries: {count}, by which bytes {disk} of the disk are doubtful"))
}

/// The blocks that stand in the file and that no entry of the BAT owns.
fn unowned(vhdx: &Vhdx) -> String {
    let Some(ownership) = Ownership::of(vhdx) else {
        return "the BAT is too large to look for blocks without an owner while opening".to_owned();
    };
    Unowned::in_stretches(vhdx, Look::QUICK, false, |each| ownership.each_unowned(each)).describe(vhdx)
}

impl Vhdx {
    /// The bytes of the disk whose blocks these bytes of the BAT place.
    pub(super) fn disk_of_entries(&self, bat: &Range<u64>) -> Range<u64> {
        let a_chunk = self.shape.chunk_ratio.saturating_add(1);
        // Behind the blocks of a chunk stands its bitmap's entry, which is no block.
        let block = |number: u64| number.saturating_sub(number.checked_div(a_chunk).unwrap_or(0));
        let number = |at: u64| at.saturating_sub(self.bat.start).div_ceil(ENTRY_LENGTH);
        let byte = |at: u64| block(number(at)).saturating_mul(self.shape.block_size).min(self.geometry.virtual_size);
        byte(bat.start)..byte(bat.end)
    }
}
