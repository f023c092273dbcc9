//! Replaying the active sequence into an overlay: [MS-VHDX] 2.3.3.

use std::ops::Range;

use super::entry::{Descriptor, SECTOR};
use super::sequence::{Candidates, Log};
use crate::bytes::Guid;
use crate::error::{Error, ErrorKind, Result};
use crate::format::broken::Broken;
use crate::format::vhdx::header::Header;
use crate::image::{OverlayBuilder, ReadAt};
use crate::report::{Code, Finding, Severity};

const LOG_STRUCTURE: &str = "log";
const MIB: u64 = 1 << 20;

/// More patches than this are not held in memory. A log of Windows has 1 MiB, which is 255 pages.
const MAX_PATCHES: usize = 1 << 20;

/// What the log of a file is, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogState {
    /// The LogGuid is zero: closed cleanly.
    Clean,
    /// A complete sequence was replayed in memory.
    Replayed,
    /// A complete sequence is there and was left alone, as asked for.
    Declined,
    /// A LogGuid is set, and no entry bears it.
    Empty,
    /// A LogGuid is set, and no complete sequence bears it.
    Torn,
}

/// The log region as the header gives it. `None` where the log is clean.
pub(in crate::format::vhdx) fn log_region(header: &Header) -> Range<u64> {
    header.log_offset..header.log_offset.saturating_add(u64::from(header.log_length))
}

/// Finds the active sequence of `file` and fills `patches` with what it writes.
///
/// # Errors
/// A log that is dirty and of a version or at a place that cannot be, or too large to be held: what the file's tables
/// say is then not known.
pub(in crate::format::vhdx) fn replay(
    file: &dyn ReadAt,
    header: &Header,
    wanted: bool,
    patches: &mut OverlayBuilder,
    findings: &mut Vec<Finding>,
) -> Result<LogState> {
    if header.log_guid.is_zero() {
        return Ok(LogState::Clean);
    }
    check_place(header)?;
    let log = Log { file, offset: header.log_offset, length: header.log_length, guid: header.log_guid };
    let candidates = log.candidates()?;
    if candidates.unreadable > 0 {
        let text = format!("up to {} bytes of the log cannot be read; entries may be missing", candidates.unreadable);
        findings.push(Finding::new(Code::LogUnreadable, Severity::Warning, text).at(LOG_STRUCTURE, log.offset));
    }
    let sequence = log.active_sequence(&candidates)?;
    if sequence.is_empty() {
        return no_sequence(&log, &candidates, wanted, patches, findings);
    }
    if !wanted {
        findings.push(declined(&log, header.log_guid, sequence.len()));
        return Ok(LogState::Declined);
    }
    extend(file.size(), &log, &candidates, &sequence, patches, findings);
    for offset in &sequence {
        apply(&log, &candidates, *offset, patches, findings)?;
    }
    let text = format!(
        "the file was not closed cleanly: its log (entries: {}, places they change: {}) was replayed in memory; the file itself is untouched",
        sequence.len(),
        patches.len()
    );
    findings.push(Finding::new(Code::LogReplayed, Severity::Information, text).at(LOG_STRUCTURE, log.offset));
    Ok(LogState::Replayed)
}

fn check_place(header: &Header) -> Result<()> {
    let broken = if header.log_version != 0 {
        Broken::new("LogVersion", "0", header.log_version.to_string())
    } else if header.log_length == 0 || !u64::from(header.log_length).is_multiple_of(MIB) {
        Broken::new("LogLength", "a multiple of 1 MiB, not 0", header.log_length.to_string())
    } else if header.log_offset < MIB
        || !header.log_offset.is_multiple_of(MIB)
        || header.log_offset.checked_add(u64::from(header.log_length)).is_none()
    {
        Broken::new("LogOffset", "a multiple of 1 MiB, not 0", header.log_offset.to_string())
    } else {
        return Ok(());
    };
    Err(broken
        .error("header", header.log_offset)
        .advise("the log is dirty and cannot be found; --no-log-replay shows the file as it lies"))
}

fn declined(log: &Log<'_>, guid: Guid, entries: usize) -> Finding {
    let text = format!(
        "the log {guid} is dirty ({entries} entries) and was not replayed, as asked for: tables and files may be out of date"
    );
    Finding::new(Code::LogReplayDeclined, Severity::Warning, text)
        .at(LOG_STRUCTURE, log.offset)
        .advise("run again without --no-log-replay")
}

/// The head of the sequence says how long the file was: what power took from its end comes back as zeros.
fn extend(
    file_size: u64,
    log: &Log<'_>,
    candidates: &Candidates,
    sequence: &[u32],
    patches: &mut OverlayBuilder,
    findings: &mut Vec<Finding>,
) {
    let Some(head) = sequence.last().and_then(|offset| candidates.by_offset.get(offset)) else { return };
    let (flushed, last) = (head.header.flushed_file_offset, head.header.last_file_offset);
    if file_size < flushed {
        let text = "the file is shorter than it was when its log was written: what stood past its end is lost";
        findings.push(
            Finding::new(Code::FileTruncated, Severity::Error, text)
                .at(LOG_STRUCTURE, log.offset)
                .versus(format!("at least {flushed} bytes"), format!("{file_size} bytes"))
                .advise("look for a longer copy of this file"),
        );
    } else if file_size < last {
        patches.zero(file_size..last);
        let text = "the file was being extended when the power went: the missing tail reads as zeros, as a replay would make it";
        findings.push(
            Finding::new(Code::FileTailMissing, Severity::Warning, text)
                .at(LOG_STRUCTURE, log.offset)
                .versus(format!("{last} bytes"), format!("{file_size} bytes")),
        );
    }
}

/// Adds what one entry of the active sequence writes.
fn apply(
    log: &Log<'_>,
    candidates: &Candidates,
    offset: u32,
    patches: &mut OverlayBuilder,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let Some(candidate) = candidates.by_offset.get(&offset) else { return Ok(()) };
    let header = &candidate.header;
    let changed = || {
        Error::new(ErrorKind::Io, "a log entry that held a moment ago does not hold any more")
            .at("log entry", log.file_offset(offset))
            .advise("something writes to the file, or its storage fails: work on a copy")
    };
    let descriptors = log.descriptors(offset, header)?.ok_or_else(changed)?;
    let mut data_sector = log.advance(offset, header.descriptors_length().unwrap_or(0));
    for descriptor in descriptors {
        if patches.len() > MAX_PATCHES {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the log changes more than a million places, which no writer does",
            )
            .at(LOG_STRUCTURE, log.offset)
            .advise("--no-log-replay shows the file as it lies"));
        }
        let range = descriptor.file_range();
        if range.start < 192 << 10 && !range.is_empty() {
            let text = "a log entry changes the file type identifier or a header, which no log may; the headers are used as they lie";
            findings.push(
                Finding::new(Code::LogWritesForbiddenPlace, Severity::Warning, text)
                    .at("log entry", log.file_offset(offset))
                    .versus("a place from byte 196608 on", range.start.to_string()),
            );
        }
        match descriptor {
            Descriptor::Zero { .. } => patches.zero(range),
            Descriptor::Data { file_offset, leading, trailing } => {
                // The body stands behind the data sector's signature and SequenceHigh.
                patches.log_page(file_offset, leading, log.file_offset(data_sector).saturating_add(8), trailing);
                data_sector = log.advance(data_sector, SECTOR);
            }
        }
    }
    Ok(())
}

/// A LogGuid without a complete sequence: the file is read as it lies, and what torn entries were about to change is
/// doubtful.
fn no_sequence(
    log: &Log<'_>,
    candidates: &Candidates,
    wanted: bool,
    patches: &mut OverlayBuilder,
    findings: &mut Vec<Finding>,
) -> Result<LogState> {
    if candidates.by_offset.is_empty() {
        let text =
            "the file was open when the machine stopped, before its first log entry was written; it is read as it lies";
        findings.push(Finding::new(Code::LogEmpty, Severity::Information, text).at(LOG_STRUCTURE, log.offset));
        return Ok(LogState::Empty);
    }
    let mut pages = 0usize;
    // Descriptors of entries that overlap each other are read no more than twice over.
    let mut budget = u64::from(log.length).saturating_mul(2);
    for (offset, candidate) in candidates.by_offset.iter().filter(|_| wanted) {
        let cost = u64::from(candidate.header.descriptors_length().unwrap_or(0));
        let Some(rest) = budget.checked_sub(cost) else { break };
        budget = rest;
        for descriptor in log.readable_descriptors(*offset, &candidate.header)? {
            if pages < MAX_PATCHES {
                patches.doubtful(descriptor.file_range());
                pages = pages.saturating_add(1);
            }
        }
    }
    let text = format!(
        "the log is dirty and none of its {} entries forms a complete sequence; the file is read as it lies, and the {pages} places that they were about to change are doubtful",
        candidates.by_offset.len()
    );
    findings.push(
        Finding::new(Code::LogTorn, Severity::Error, text)
            .at(LOG_STRUCTURE, log.offset)
            .advise("look for a copy or a backup of this file from before the crash"),
    );
    Ok(LogState::Torn)
}
