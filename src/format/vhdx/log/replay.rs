//! Replaying the active sequence into an overlay: [MS-VHDX] 2.3.3.

use std::ops::{ControlFlow, Range};

use super::carried_on::CarriedOn;
use super::cut_off::CutOff;
use super::damaged_newest::DamagedNewest;
use super::damaged_sequence::DamagedSequence;
use super::declined::{decline, decline_unread};
use super::entry::{Descriptor, SECTOR, SectorKind};
use super::forbidden_place::{ForbiddenPlace, Trespass};
use super::one_wrong_bit::Mended;
use super::region::{check_place, check_version};
use super::sequence::{Candidate, Candidates, Log};
use crate::error::{Error, ErrorKind, Result};
use crate::format::vhdx::header::Header;
use crate::image::{OverlayBuilder, ReadAt};
use crate::report::{Code, Finding, Severity};

pub(super) const LOG_STRUCTURE: &str = "log";
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
    /// Both headers are gone, and with them whether there is anything to replay.
    Unknown,
}

/// What became of the log of a file.
pub(in crate::format::vhdx) struct Replayed {
    pub(in crate::format::vhdx) state: LogState,
    /// Why what the log makes doubtful is so.
    pub(in crate::format::vhdx) doubt: Code,
    /// The places of the file that entries were about to change which were written and do not hold.
    pub(in crate::format::vhdx) damaged: Option<Vec<Range<u64>>>,
}

impl From<LogState> for Replayed {
    fn from(state: LogState) -> Self {
        Replayed { state, doubt: Code::LogTorn, damaged: None }
    }
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
) -> Result<Replayed> {
    if header.log_guid.is_zero() {
        return Ok(LogState::Clean.into());
    }
    if let Err(broken) = check_version(header).and_then(|()| check_place(header)) {
        if wanted {
            return Err(broken.error(LOG_STRUCTURE, header.log_offset).advise(
                "the log is dirty and cannot be read; --no-log-replay with --accept-doubtful shows the file as it lies",
            ));
        }
        return Ok(decline_unread(header, &broken, patches, findings));
    }
    let log = Log { file, offset: header.log_offset, length: header.log_length, guid: header.log_guid };
    let candidates = log.candidates()?;
    if candidates.unreadable > 0 {
        let text = format!("up to {} bytes of the log cannot be read; entries may be missing", candidates.unreadable);
        findings.push(Finding::new(Code::LogUnreadable, Severity::Warning, text).at(LOG_STRUCTURE, log.offset));
    }
    let sequence = log.active_sequence(&candidates)?;
    if sequence.is_empty() {
        return no_sequence(&log, &candidates, patches, findings);
    }
    if !wanted {
        return decline(&log, &candidates, &sequence, patches, findings);
    }
    replay_sequence(&log, &candidates, &sequence, patches, findings)
}

/// Fills `patches` with what a sequence writes, and judges what stands in the log besides.
pub(super) fn replay_sequence(
    log: &Log<'_>,
    candidates: &Candidates,
    sequence: &[u32],
    patches: &mut OverlayBuilder,
    findings: &mut Vec<Finding>,
) -> Result<Replayed> {
    let cut_off = CutOff::look(candidates, sequence);
    if cut_off.as_ref().is_some_and(|cut_off| cut_off.goes_on)
        && let Some(carried_on) = CarriedOn::look(log, candidates, sequence)?
    {
        // Nothing that is whole is newer than the last of these.
        let all = [sequence, &carried_on.offsets].concat();
        let state = |offsets: &[u32]| -> Result<OverlayBuilder> {
            let mut state = patches.clone();
            apply_all(log, candidates, offsets, &mut state, &mut Vec::new()).map(|_| state)
        };
        let states = (state(sequence)?, state(&all)?);
        let doubted = carried_on.doubt(log, states, patches)?;
        findings.push(carried_on.finding(log, doubted));
        return replay_sequence(log, candidates, &all, patches, findings);
    }
    if let Some(cut_off) = &cut_off {
        findings.push(cut_off.finding(log));
        if !cut_off.goes_on {
            return no_sequence(log, candidates, patches, findings);
        }
    }
    extend(log.file.size(), log, candidates, sequence, patches, findings);
    let trespass = apply_all(log, candidates, sequence, patches, findings)?;
    let damaged = match &cut_off {
        Some(cut_off) => cut_off.doubt(log, candidates, patches).map(|()| None)?,
        None => DamagedNewest::look(log, candidates, sequence)?,
    };
    if let Some(damaged) = &damaged {
        let doubted = damaged.doubt(log, patches)?;
        findings.push(damaged.finding(log, doubted));
    }
    let is_unclear = candidates.may_lack_some() || candidates.foreign > 0 && cut_off.is_none();
    if is_unclear && may_be_followed(log, candidates, sequence)? {
        // What a newer entry changes is not known, and it may be any table.
        patches.doubtful(0..u64::MAX);
        let text =
            "a newer entry may stand in a part of the log that cannot be read or makes no sense, so all is doubtful";
        findings.push(Finding::new(Code::LogUnreadable, Severity::Error, text).at(LOG_STRUCTURE, log.offset));
    }
    let text = format!(
        "the file was not closed cleanly: its log (entries: {}, places they change: {}) was replayed in memory; the file itself is untouched",
        sequence.len(),
        patches.len()
    );
    findings.push(Finding::new(Code::LogReplayed, Severity::Information, text).at(LOG_STRUCTURE, log.offset));
    let doubt = match (&damaged, trespass) {
        (Some(_), _) => Code::LogNewestDamaged,
        (None, Some(trespass)) if trespass.spills => Code::LogWritesForbiddenPlace,
        _ => Code::LogTorn,
    };
    Ok(Replayed { state: LogState::Replayed, doubt, damaged: damaged.map(|damaged| damaged.places()) })
}

/// Adds what all entries of a sequence write. Tells, and returns, the worst that one of them writes where none may: once, for a
/// log has room for millions of descriptors.
fn apply_all(
    log: &Log<'_>,
    candidates: &Candidates,
    sequence: &[u32],
    patches: &mut OverlayBuilder,
    findings: &mut Vec<Finding>,
) -> Result<Option<Trespass>> {
    let mut worst: Option<(u32, Trespass)> = None;
    for offset in sequence {
        let before = worst.map(|(_, trespass)| trespass);
        let now = Trespass::worse(before, apply(log, candidates, *offset, patches)?);
        if now != before {
            worst = now.map(|trespass| (*offset, trespass));
        }
    }
    findings.extend(worst.map(|(offset, trespass)| trespass.finding(log.file_offset(offset))));
    Ok(worst.map(|(_, trespass)| trespass))
}

/// Whether a newer entry than the sequence's head may be there, of which a part cannot be read. It could only stand right
/// behind the head: the first sector there tells, if it can be read. Where any newer entry is seen, others may belong to it.
fn may_be_followed(log: &Log<'_>, candidates: &Candidates, sequence: &[u32]) -> Result<bool> {
    let head = sequence.last().and_then(|offset| Some((*offset, candidates.by_offset.get(offset)?)));
    let Some((offset, head)) = head else { return Ok(true) };
    let next = log.advance(offset, head.header.entry_length);
    let is_newer = |entry: &Candidate| entry.header.sequence_number > head.header.sequence_number;
    if candidates.defaced.contains(&next) {
        return Ok(true);
    }
    let mut sector = [0; 4096];
    // What no writer puts into a log was no old sector either that a torn entry left.
    let is_known = log.read(&mut sector, next)? && SectorKind::of(&sector) != SectorKind::Foreign;
    Ok(!is_known || candidates.may_lack_some() && candidates.by_offset.values().any(is_newer))
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

/// Adds what one entry of the active sequence writes. Returns where it writes what no log may.
pub(super) fn apply(
    log: &Log<'_>,
    candidates: &Candidates,
    offset: u32,
    patches: &mut OverlayBuilder,
) -> Result<Option<Trespass>> {
    let Some(candidate) = candidates.by_offset.get(&offset) else { return Ok(None) };
    let header = &candidate.header;
    let mut data_sector = log.advance(offset, header.descriptors_length().unwrap_or(0));
    let mut forbidden = None;
    // One range for all of the entry: it may have as many such descriptors as it has room for.
    let mut spilled: Option<Range<u64>> = None;
    let mut too_many = false;
    let hold = log.each_descriptor(offset, header, &mut |descriptor| {
        let Some(descriptor) = descriptor else { return ControlFlow::Break(()) };
        if patches.len() > MAX_PATCHES {
            too_many = true;
            return ControlFlow::Break(());
        }
        let range = descriptor.file_range();
        let trespass = ForbiddenPlace::of(&range, log, header);
        forbidden = Trespass::worse(forbidden, trespass);
        if trespass.is_some_and(|trespass| trespass.spills) {
            let all = spilled.get_or_insert_with(|| range.clone());
            *all = all.start.min(range.start)..all.end.max(range.end);
        }
        match descriptor {
            Descriptor::Zero { .. } => patches.zero(range),
            Descriptor::Data { file_offset, leading, trailing } => {
                log.splice_page(patches, file_offset, leading, data_sector, trailing);
                data_sector = log.advance(data_sector, SECTOR);
            }
        }
        ControlFlow::Continue(())
    })?;
    if too_many {
        let text = "the log changes more than a million places, which no writer does";
        return Err(Error::new(ErrorKind::Unsupported, text)
            .at(LOG_STRUCTURE, log.offset)
            .advise("--no-log-replay with --accept-doubtful shows the file as it lies"));
    }
    if !hold {
        return Err(Error::new(ErrorKind::Io, "a log entry that held a moment ago does not hold any more")
            .at("log entry", log.file_offset(offset))
            .advise("something writes to the file, or its storage fails: work on a copy"));
    }
    if let Some(range) = spilled {
        patches.doubtful(range);
    }
    Ok(forbidden)
}

/// A LogGuid that no entry bears.
fn empty(log: &Log<'_>, orphaned: usize) -> Finding {
    let text = "the file was not closed, and its log holds no entry of this opening: none was written yet when the machine stopped, or they were lost; the file is read as it lies";
    let finding = match orphaned {
        0 => Finding::new(Code::LogEmpty, Severity::Information, text),
        _ => Finding::new(
            Code::LogEmpty,
            Severity::Warning,
            format!("{text}; data sectors in the log that belong to no entry: {orphaned}. Old entries leave such, and so does one whose header was wiped: then the last updates are missing"),
        )
        .advise("if newer files are missing, look for another copy of this image"),
    };
    finding.at(LOG_STRUCTURE, log.offset)
}

/// Whether there is one entry of this opening alone, which needs none before it, and nothing in the log but entries and what old ones
/// leave.
fn is_the_first(candidates: &Candidates) -> bool {
    let mut entries = candidates.by_offset.iter();
    let is_first = entries.next().is_some_and(|(offset, entry)| entry.header.tail == *offset);
    let is_clear = !candidates.may_lack_some() && candidates.foreign == 0 && candidates.defaced.is_empty();
    is_first && entries.next().is_none() && is_clear
}

/// The first entry of an opening was not written as a whole. A writer carries out in the file what stands in the log as a whole, so
/// nothing of this one was, and there was nothing before it. Some writers begin a log anew for each entry.
fn torn_first(log: &Log<'_>, places: usize) -> Finding {
    let text = format!(
        "the file was not closed, and the one entry of its log did not reach the storage as a whole: the machine stopped while it was written, before anything of it was carried out (places that it was about to change: {places}); the file is read as it lies"
    );
    let finding = Finding::new(Code::LogTorn, Severity::Warning, text).at(LOG_STRUCTURE, log.offset);
    finding.advise("if newer files are missing, look for another copy of this image")
}

/// A LogGuid without a complete sequence: the file is read as it lies, and what torn entries were about to change is
/// doubtful.
fn no_sequence(
    log: &Log<'_>,
    candidates: &Candidates,
    patches: &mut OverlayBuilder,
    findings: &mut Vec<Finding>,
) -> Result<Replayed> {
    // Where a part of the log cannot be read, an entry may stand there.
    if candidates.by_offset.is_empty() && !candidates.may_lack_some() && candidates.foreign == 0 {
        findings.push(empty(log, candidates.orphaned));
        return Ok(LogState::Empty.into());
    }
    let damaged = DamagedSequence::look(log, candidates)?;
    if damaged.is_none()
        && is_the_first(candidates)
        && let Some(places) = doubt_pages(log, candidates, &|_| true, &mut patches.clone())?
    {
        findings.push(torn_first(log, places));
        return Ok(LogState::Torn.into());
    }
    let compared = damaged.as_ref().map_or(Ok(None), |damaged| damaged.doubt(log, patches))?;
    let newest = candidates.by_offset.iter().max_by_key(|(_, entry)| entry.header.sequence_number);
    let is_unclear = candidates.foreign > 0
        && newest.map_or(Ok(false), |(newest, _)| may_be_followed(log, candidates, &[*newest]))?;
    let told = match compared {
        None if is_unclear => {
            patches.doubtful(0..u64::MAX);
            None
        }
        None => doubt_pages(log, candidates, &|_| true, patches)?,
        _ => match &damaged {
            Some(damaged) => doubt_pages(log, candidates, &|entry| damaged.is_followed_by(entry), patches)?,
            None => Some(0),
        },
    };
    // What they say stands in the file, and no other one tells of more.
    let is_done = compared == Some(false) && told == Some(0);
    let doubtful = match told {
        _ if is_done => "what they say stands in it already".to_owned(),
        Some(_) if compared.is_some() => "what they say otherwise than the file is doubtful".to_owned(),
        Some(pages) => format!("the {pages} places that they were about to change are doubtful"),
        None => "which places they were about to change cannot be told, so all is doubtful".to_owned(),
    };
    let text = format!(
        "the log is dirty and none of its {} readable entries forms a complete sequence{}; the file is read as it lies, and {doubtful}",
        candidates.by_offset.len(),
        match candidates.defaced.len() {
            0 => String::new(),
            defaced => format!(" (headers of entries that are damaged: {defaced})"),
        }
    );
    let text = match candidates.foreign {
        0 => text,
        foreign => format!("{text}; sectors of the log that hold what no writer puts there: {foreign}"),
    };
    let severity = if is_done { Severity::Warning } else { Severity::Error };
    findings.push(
        Finding::new(Code::LogTorn, severity, text)
            .at(LOG_STRUCTURE, log.offset)
            .advise("look for a copy or a backup of this file from before the crash"),
    );
    let damaged = damaged.filter(|_| compared.is_some()).map(|damaged| damaged.places());
    Ok(Replayed { damaged, ..LogState::Torn.into() })
}

/// The descriptor of an entry of which one bit is wrong, as long as there is a `budget` of bytes to look for it.
fn one_wrong_bit(log: &Log<'_>, offset: u32, candidate: &Candidate, budget: &mut u64) -> Result<Option<Mended>> {
    let Some(rest) = budget.checked_sub(u64::from(candidate.header.entry_length)) else { return Ok(None) };
    *budget = rest;
    log.one_wrong_bit(offset, &candidate.header)
}

/// Marks as doubtful what those of the entries that `which` names were about to change, and tells how many places that are.
/// `None` where these cannot be told, so that all is doubtful: a part of the log cannot be read, a header or descriptor does
/// not hold, or an entry tells of others before it that are not there any more.
pub(super) fn doubt_pages(
    log: &Log<'_>,
    candidates: &Candidates,
    which: &dyn Fn(&Candidate) -> bool,
    patches: &mut OverlayBuilder,
) -> Result<Option<usize>> {
    let mut pages = 0usize;
    let mut all_told = !candidates.may_lack_some() && (candidates.foreign == 0 || !candidates.by_offset.is_empty());
    // Entries that overlap each other are read no more than a few times over.
    let mut budget = u64::from(log.length).saturating_mul(4);
    for (offset, candidate) in candidates.by_offset.iter().filter(|(_, candidate)| which(candidate)) {
        all_told &= candidates.by_offset.contains_key(&candidate.header.tail);
        let cost = u64::from(candidate.header.descriptors_length().unwrap_or(0));
        let Some(rest) = budget.checked_sub(cost).filter(|_| pages < MAX_PATCHES && all_told) else {
            all_told = false;
            break;
        };
        budget = rest;
        let is_whole = candidate.is_known_whole();
        let mended = if is_whole { None } else { one_wrong_bit(log, *offset, candidate, &mut budget)? };
        let (mut data_sectors, mut number) = (0u64, 0usize);
        all_told &= log.each_descriptor(*offset, &candidate.header, &mut |found| {
            let mended = mended.filter(|mended| mended.number == number).map(|mended| mended.descriptor);
            number = number.saturating_add(1);
            // One that names what no log is for has lost its place.
            let is_believed = |descriptor: &Descriptor| {
                is_whole || ForbiddenPlace::of(&descriptor.file_range(), log, &candidate.header).is_none()
            };
            let found = found.filter(is_believed);
            let Some(descriptor) = mended.or(found).filter(|_| pages < MAX_PATCHES) else {
                return ControlFlow::Break(());
            };
            data_sectors = data_sectors.saturating_add(u64::from(matches!(descriptor, Descriptor::Data { .. })));
            [mended, found].iter().flatten().for_each(|descriptor| patches.doubtful(descriptor.file_range()));
            pages = pages.saturating_add(1);
            ControlFlow::Continue(())
        })?;
        // A header that counts fewer descriptors than its entry has room for is damaged.
        all_told &= candidate.header.length_with(data_sectors) == Some(u64::from(candidate.header.entry_length));
    }
    if !all_told {
        // What was about to change may be any table.
        patches.doubtful(0..u64::MAX);
    }
    Ok(all_told.then_some(pages))
}
