//! Headers that are of an earlier day than the file behind them.
//!
//! The start of a file and the rest of it may have come from different copies. Then the headers still name a log that was dirty on
//! that day, and a replay of it takes pages back that later sessions wrote. The entries of those sessions tell.

use std::ops::ControlFlow;

use super::damaged_newest::doubt_page;
use super::replay::LOG_STRUCTURE;
use super::sessions::{Session, Sessions, page_of};
use crate::error::Result;
use crate::format::vhdx::header::Header;
use crate::image::{OverlayBuilder, ReadAt};
use crate::report::{Code, Finding, Severity};

/// Marks as doubtful what the replay in `patches` of the log that `header` names changes, where the file went on with another
/// session after it. Returns whether anything is.
///
/// # Errors
/// When nothing can be read.
pub(in crate::format::vhdx) fn doubt_outdated(
    file: &dyn ReadAt,
    header: &Header,
    patches: &mut OverlayBuilder,
    findings: &mut Vec<Finding>,
) -> Result<bool> {
    let Some(sessions) = Sessions::of(file, header) else { return Ok(false) };
    let Some(named) = sessions.of_guid(header.log_guid) else { return Ok(false) };
    let mut others = sessions.iter().filter(|other| other.guid != named.guid);
    if !others.any(|other| named.is_left_behind_by(other, file) || outgrew(other, named, file)) {
        return Ok(false);
    }
    let replayed = patches.clone().over(file, Code::HeadersOutdated);
    let mut doubted = false;
    for (page, _) in named.replayed() {
        doubted |= doubt_page(&replayed, file, page, patches)?;
    }
    let text = "the headers are older than the file: pages stand in it as a later session logged them last, after the log that the headers name was done with";
    let so = match doubted {
        true => "a replay takes pages back to that day, and what it changes is doubtful",
        false => "a replay changes nothing",
    };
    let severity = if doubted { Severity::Error } else { Severity::Warning };
    findings.push(
        Finding::new(Code::HeadersOutdated, severity, format!("{text}; {so}"))
            .at(LOG_STRUCTURE, header.log_offset)
            .advise("look for another copy of this image; --no-log-replay shows the file without that log, which may be right"),
    );
    Ok(doubted)
}

/// Whether the file was larger when `other` wrote than when `named` did, and holds what `other` wrote last of each page that both
/// have and a replay of `named` would change.
fn outgrew(other: &Session, named: &Session, file: &dyn ReadAt) -> bool {
    if other.last_file_offset <= named.last_file_offset || other.last_file_offset > file.size() {
        return false;
    }
    let mut changed = 0u64;
    let all = named.replayed().try_for_each(|(at, replayed)| {
        let Some(newest) = other.versions(at).last() else { return ControlFlow::Continue(()) };
        let Some(found) = page_of(file, at) else { return ControlFlow::Break(()) };
        if found == *replayed.page() {
            return ControlFlow::Continue(());
        }
        changed = changed.saturating_add(1);
        if found == *newest.page() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    all.is_continue() && changed > 0
}
