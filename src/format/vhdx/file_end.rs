//! Where a file ends: all structures and blocks begin at multiples of 1 MiB and are as long, and so is every file that a writer made.

use super::bat::{ENTRY_LENGTH, MIB};
use super::resolve::Vhdx;
use crate::image::ReadAt;
use crate::report::{Code, Finding, Severity};

impl Vhdx {
    /// That the file ends before its BAT region does, and what of the BAT is there. Reads nothing.
    pub(in crate::format) fn end_within_bat(&self) -> Option<Finding> {
        let (size, region) = (self.file.size(), &self.bat);
        if size >= region.end {
            return None;
        }
        let there = size.saturating_sub(region.start).checked_div(ENTRY_LENGTH).unwrap_or(0);
        let needed = self.needed_entries();
        let (severity, costs) = if there < needed {
            let costs = format!(
                "of the {needed} entries that the disk needs {there} are there; the blocks of the others are lost, and what stood behind them"
            );
            (Severity::Error, costs)
        } else {
            (Severity::Warning, "all entries that the disk needs are there; what stood behind them is lost".to_owned())
        };
        let text = format!("the file is cut: it ends at byte {size}, before its BAT region does; {costs}");
        let finding = Finding::new(Code::FileTruncated, severity, text).at("BAT region", region.start);
        Some(finding.versus(format!("at least {} bytes", region.end), format!("{size} bytes")))
    }
}

/// That a file ends elsewhere. Bytes behind the last block cost nothing, but bytes that came into the file before it, or went, moved
/// all that stands behind them, and payload bears no checksum that would tell.
pub(super) fn finding(vhdx: &Vhdx) -> Option<Finding> {
    let size = vhdx.file.size_below();
    let over = size.checked_rem(MIB).filter(|over| *over > 0)?;
    let text = format!(
        "the file has {size} bytes, {over} more than whole MiB, and every writer makes whole MiB: bytes were appended, cut off, or came into the file or went from it; where they did so within it, all blocks behind that place are moved, and wrong"
    );
    let finding = Finding::new(Code::FileEndMisaligned, Severity::Warning, text).at("image file", size);
    Some(finding.advise("compare it with another copy; bytes that were merely appended do no harm"))
}
