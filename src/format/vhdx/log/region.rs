//! Where the log stands, as the header has it: [MS-VHDX] 2.2.2.

use std::ops::Range;

use super::replay::{LOG_STRUCTURE, LogState};
use crate::format::broken::Broken;
use crate::format::vhdx::bat::MIB;
use crate::format::vhdx::header::Header;
use crate::format::vhdx::region_table::RegionTable;
use crate::report::{Code, Finding, Severity};

/// The log region as the header gives it. `None` where there is none, or at a place that cannot be.
pub(in crate::format::vhdx) fn log_region(header: &Header) -> Option<Range<u64>> {
    let end = header.log_offset.saturating_add(u64::from(header.log_length));
    check_place(header).is_ok().then_some(header.log_offset..end)
}

/// Cuts the log where a region begins that it would reach into: then its length is wrong, and it covers nothing behind. Tells
/// so; all is doubtful then, unless the log does not count.
pub(in crate::format::vhdx) fn end_before_regions(
    log: Range<u64>,
    regions: &RegionTable,
    state: LogState,
    findings: &mut Vec<Finding>,
) -> Range<u64> {
    let unknown = regions.unknown.iter().map(|region| &region.file);
    let all = [&regions.bat, &regions.metadata].into_iter().chain(unknown);
    let inside = all.filter(|region| !region.is_empty() && region.start < log.end && log.start < region.end);
    let Some(first) = inside.map(|region| region.start).min() else { return log };
    let (severity, so) = match state {
        LogState::Clean => (Severity::Warning, "the file was closed cleanly, so that this changes nothing"),
        _ => (Severity::Error, "where it went round is not known then, and all is doubtful"),
    };
    let text = format!("the header has the log reach into a region of the file, which it cannot; {so}");
    findings.push(
        Finding::new(Code::LogOnRegion, severity, text)
            .at(LOG_STRUCTURE, log.start)
            .versus(format!("an end at byte {first} at the latest"), format!("{}", log.end)),
    );
    log.start..first.max(log.start)
}

pub(super) fn check_version(header: &Header) -> Result<(), Broken> {
    match header.log_version {
        0 => Ok(()),
        version => Err(Broken::new("LogVersion", "0", version.to_string())),
    }
}

pub(super) fn check_place(header: &Header) -> Result<(), Broken> {
    if header.log_length == 0 || !u64::from(header.log_length).is_multiple_of(MIB) {
        Err(Broken::new("LogLength", "a multiple of 1 MiB, not 0", header.log_length.to_string()))
    } else if header.log_offset < MIB
        || !header.log_offset.is_multiple_of(MIB)
        || header.log_offset.checked_add(u64::from(header.log_length)).is_none()
    {
        Err(Broken::new("LogOffset", "a multiple of 1 MiB, not 0", header.log_offset.to_string()))
    } else {
        Ok(())
    }
}
