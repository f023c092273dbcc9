//! Entries of a log that the remaining header knows nothing of.
//!
//! A writer that opens a file gives it a new LogGuid, which goes into both headers, one after the other. Where one of them
//! is damaged it may have been the only one that bears it, and then the log has to be replayed, though the other header
//! calls it empty. Nothing tells. But entries of a file that was closed say what stands in the file; so where they say
//! something else, it is doubtful. Not so those of a session that was over before another one, which is done in the file as a
//! whole ([`Sessions::is_history`]).

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::entry::{PAGE, is_signed};
use super::region::check_place;
use super::replay::{LOG_STRUCTURE, apply, doubt_pages};
use super::sequence::Log;
use super::sessions::Sessions;
use super::written_places::WrittenPlaces;
use crate::Faults;
use crate::bytes::Guid;
use crate::error::Result;
use crate::format::vhdx::header::Header;
use crate::image::{OverlayBuilder, ReadAt};
use crate::report::{Code, Finding, Severity};

/// Logs of more LogGuids than this are not looked into: a file has one or two.
const MAX_GUIDS: usize = 16;

/// Bytes of the log that are read at once.
const SCAN: u64 = 1 << 20;

/// Marks as doubtful what entries of another LogGuid than that of `header`, whose twin does not hold, say otherwise than
/// the file as `patches` leave it. Returns whether anything is.
///
/// # Errors
/// When nothing can be read.
pub(in crate::format::vhdx) fn doubt_unclaimed(
    file: &Arc<dyn ReadAt>,
    header: &Header,
    patches: &mut OverlayBuilder,
    findings: &mut Vec<Finding>,
) -> Result<bool> {
    if check_place(header).is_err() {
        return Ok(false);
    }
    let known = patches.clone();
    let doubted = match guids(file, header)? {
        Some(guids) => {
            let sessions = Sessions::of(&**file, header);
            let is_history = |guid: &Guid| sessions.as_ref().is_some_and(|all| all.is_history(*guid, &**file));
            let mut doubted = false;
            for guid in guids.into_iter().filter(|guid| !is_history(guid)) {
                let log = Log { file, offset: header.log_offset, length: header.log_length, guid };
                doubted |= doubt_entries(file, &log, &known, patches)?;
            }
            doubted
        }
        None => {
            patches.doubtful(0..u64::MAX);
            true
        }
    };
    if doubted {
        let text = "one header is damaged, and the log holds entries that the other one does not know and that say otherwise than the file: they may have to be replayed, so what they would change is doubtful";
        findings.push(
            Finding::new(Code::LogUnclaimed, Severity::Error, text)
                .at(LOG_STRUCTURE, header.log_offset)
                .advise("look for a copy of the file; --accept-doubtful serves it as it lies"),
        );
    }
    Ok(doubted)
}

/// The other LogGuids that sectors of the log bear. `None` where there are too many, or the log cannot be read as a whole.
fn guids(file: &Arc<dyn ReadAt>, header: &Header) -> Result<Option<BTreeSet<Guid>>> {
    let end = header.log_offset.saturating_add(u64::from(header.log_length));
    let mut guids = BTreeSet::new();
    let mut buf = vec![0; usize::try_from(SCAN.min(u64::from(header.log_length))).unwrap_or(0)];
    let mut at = header.log_offset;
    while at < end {
        let mut faults = Faults::new();
        file.read_at(&mut buf, at, &mut faults)?;
        if !faults.is_empty() {
            return Ok(None);
        }
        let entries = buf.as_chunks::<4096>().0.iter().filter(|sector| is_signed(*sector));
        guids.extend(entries.filter_map(|sector| Guid::read(sector, 32)));
        guids.remove(&header.log_guid);
        guids.remove(&Guid::ZERO);
        if guids.len() > MAX_GUIDS {
            return Ok(None);
        }
        at = at.saturating_add(SCAN);
    }
    Ok(Some(guids))
}

/// Marks what the entries of one LogGuid say otherwise than the file as `known` leaves it. Returns whether anything is.
fn doubt_entries(
    file: &Arc<dyn ReadAt>,
    log: &Log<'_>,
    known: &OverlayBuilder,
    patches: &mut OverlayBuilder,
) -> Result<bool> {
    let candidates = log.candidates()?;
    let sequence = log.active_sequence(&candidates)?;
    if sequence.is_empty() {
        return Ok(doubt_pages(log, &candidates, &|_| true, patches)? != Some(0));
    }
    let mut theirs = OverlayBuilder::default();
    let mut places = WrittenPlaces::default();
    for offset in &sequence {
        let Some(candidate) = candidates.by_offset.get(offset) else { continue };
        log.each_descriptor(*offset, &candidate.header, &mut |descriptor| {
            descriptor.map_or(ControlFlow::Continue(()), |descriptor| places.add(&descriptor))
        })?;
        if places.is_too_much() || apply(log, &candidates, *offset, &mut theirs).is_err() {
            patches.doubtful(0..u64::MAX);
            return Ok(true);
        }
    }
    let ours = known.clone().over(Arc::clone(file), Code::LogUnclaimed);
    let theirs = theirs.over(Arc::clone(file), Code::LogUnclaimed);
    let mut doubted = false;
    let (mut a, mut b) = ([0; 4096], [0; 4096]);
    for place in places.all() {
        let mut at = place.start;
        while at < place.end {
            let mut faults = Faults::new();
            ours.read_at(&mut a, at, &mut faults)?;
            theirs.read_at(&mut b, at, &mut faults)?;
            if a != b || !faults.is_empty() {
                patches.doubtful(at..at.saturating_add(PAGE));
                doubted = true;
            }
            at = at.saturating_add(PAGE);
        }
    }
    Ok(doubted)
}
