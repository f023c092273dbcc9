//! Where a file ends: all structures and blocks begin at multiples of 1 MiB and are as long, and so is every file that a writer made.

use super::bat::MIB;
use super::resolve::Vhdx;
use crate::report::{Code, Finding, Severity};

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
