//! A dirty log that is left alone, as asked for.
//!
//! The file was to be read as its log leaves it. What its tables tell otherwise as they lie is older than the blocks that they
//! place, so it is doubtful; what a replay would write and what stands there already is not.

use super::damaged_newest::{MAX_COMPARED, doubt_page};
use super::entry::PAGE_STEP;
use super::region::check_version;
use super::replay::{LOG_STRUCTURE, LogState, Replayed, replay_sequence};
use super::sequence::{Candidates, Log};
use crate::error::Result;
use crate::format::broken::Broken;
use crate::format::vhdx::header::Header;
use crate::image::{OverlayBuilder, ReadAt};
use crate::ranges::length;
use crate::report::{Code, Finding, Severity};

/// Marks what a replay of `sequence` would make otherwise than the file has it.
///
/// # Errors
/// When the file cannot be read at all.
pub(super) fn decline(
    log: &Log<'_>,
    candidates: &Candidates,
    sequence: &[u32],
    patches: &mut OverlayBuilder,
    findings: &mut Vec<Finding>,
) -> Result<Replayed> {
    let mut replayed = OverlayBuilder::default();
    // What it says of damaged entries is for one who has it replayed.
    let damaged = match replay_sequence(log, candidates, sequence, &mut replayed, &mut Vec::new()) {
        Ok(told) => told.damaged,
        Err(_) => {
            replayed.doubtful(0..u64::MAX);
            None
        }
    };
    let any = doubt_differences(log.file, replayed, patches)?;
    let so = match any {
        true => "what a replay would make otherwise is doubtful",
        false => "what a replay would write stands in it already",
    };
    let text = format!(
        "the log {} is dirty ({} entries) and was not replayed, as asked for: the file is read as it lies, and {so}",
        log.guid,
        sequence.len()
    );
    findings.push(finding(any, text, log.offset));
    Ok(Replayed { state: LogState::Declined, doubt: Code::LogReplayDeclined, damaged })
}

/// A log that is of another version or at a place that cannot be: what it would change may be any table.
pub(super) fn decline_unread(
    header: &Header,
    broken: &Broken,
    patches: &mut OverlayBuilder,
    findings: &mut Vec<Finding>,
) -> Replayed {
    patches.doubtful(0..u64::MAX);
    let text = format!(
        "the log is dirty, cannot be read ({broken}), and was not replayed, as asked for: the file is read as it lies"
    );
    let advice = match check_version(header) {
        Ok(()) => "look for another copy of this image: here its log is no more to be had",
        Err(_) => "open the image with the system that wrote it, or look for another copy of it",
    };
    findings.push(
        finding(true, text, header.log_offset)
            .advise(format!("{advice}; --accept-doubtful serves the file as it lies")),
    );
    Replayed { state: LogState::Declined, doubt: Code::LogReplayDeclined, damaged: None }
}

fn finding(is_doubtful: bool, text: String, at: u64) -> Finding {
    let severity = if is_doubtful { Severity::Error } else { Severity::Warning };
    Finding::new(Code::LogReplayDeclined, severity, text).at(LOG_STRUCTURE, at)
}

/// Marks what `replayed` marks, and where it differs from the file. Returns whether anything is marked.
fn doubt_differences(file: &dyn ReadAt, mut replayed: OverlayBuilder, patches: &mut OverlayBuilder) -> Result<bool> {
    let mut doubts = replayed.take_doubts();
    let places: Vec<_> = replayed.places().collect();
    let replayed = replayed.over(file, Code::LogReplayDeclined);
    let mut compared = 0u64;
    // Nothing stands past the end of the file that could be read.
    for place in places.into_iter().filter(|place| place.start < file.size()) {
        compared = compared.saturating_add(length(&place));
        if compared > MAX_COMPARED {
            doubts.doubtful(place);
            continue;
        }
        for page in (place.start..place.end).step_by(PAGE_STEP) {
            doubt_page(file, &replayed, page, &mut doubts)?;
        }
    }
    let any = !doubts.is_empty();
    patches.add_doubts(doubts);
    Ok(any)
}
