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

use super::damaged_newest::{DamagedNewest, doubt_page};
use super::entry::{PAGE_STEP, SECTOR, is_signed};
use super::region::check_place;
use super::replay::{LOG_STRUCTURE, apply, doubt_pages};
use super::sequence::{Candidates, Log};
use super::sessions::Sessions;
use super::written_places::WrittenPlaces;
use crate::Faults;
use crate::bytes::Guid;
use crate::error::Result;
use crate::format::vhdx::header::Header;
use crate::image::{Overlay, OverlayBuilder, ReadAt};
use crate::report::{Code, Finding, Severity};

/// Logs of more LogGuids than this are not looked into: a file has one or two.
const MAX_GUIDS: usize = 16;

/// Bytes of the log that are read at once.
const SCAN: u64 = 1 << 20;

/// Marks as doubtful what entries of another LogGuid than that of the header say otherwise than the file as `patches` leave it.
/// Returns whether anything is.
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
    let mut add = |offsets: &[u32], theirs: &mut OverlayBuilder| -> Result<bool> {
        for offset in offsets {
            let Some(candidate) = candidates.by_offset.get(offset) else { continue };
            log.each_descriptor(*offset, &candidate.header, &mut |descriptor| {
                descriptor.map_or(ControlFlow::Continue(()), |descriptor| places.add(&descriptor))
            })?;
            if places.is_too_much() || apply(log, &candidates, *offset, theirs).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    };
    let later = Later::look(log, &candidates, &sequence)?;
    let mut all_told = add(&sequence, &mut theirs)?;
    let mut newest = theirs.clone();
    all_told &= add(&later.whole, &mut newest)?;
    if !all_told {
        patches.doubtful(0..u64::MAX);
        return Ok(true);
    }
    let mut places = places.all();
    if let Some(damaged) = &later.damaged {
        damaged.apply(log, &mut newest);
        places.extend(damaged.places());
    }
    let over = |patches: OverlayBuilder| patches.over(Arc::clone(file), Code::LogUnclaimed);
    let states = States { file, ours: over(known.clone()), theirs: over(theirs), newest: over(newest) };
    let mut doubted = false;
    for place in places {
        for page in (place.start..place.end).step_by(PAGE_STEP) {
            doubted |= states.doubt_page(page, later.is_unclear, patches)?;
        }
    }
    Ok(doubted)
}

/// What stands behind the head of a sequence and is newer.
#[derive(Default)]
struct Later {
    /// Offsets in the log of the whole ones, from the oldest on.
    whole: Vec<u32>,
    /// Such as were written as a whole and do not hold.
    damaged: Option<DamagedNewest>,
    /// There are others, which no power cut explains and which do not tell what they change.
    is_unclear: bool,
}

impl Later {
    fn look(log: &Log<'_>, candidates: &Candidates, sequence: &[u32]) -> Result<Self> {
        let number = |offset: &u32| candidates.by_offset.get(offset).map(|entry| entry.header.sequence_number);
        let Some(head) = sequence.last().and_then(number) else { return Ok(Later::default()) };
        let newer = candidates.by_offset.iter().filter(|(_, entry)| entry.header.sequence_number > head);
        let mut whole: Vec<(u64, u32)> = newer
            .clone()
            .filter(|(_, entry)| entry.is_known_whole())
            .map(|(offset, entry)| (entry.header.sequence_number, *offset))
            .collect();
        whole.sort_unstable();
        let (damaged, others) = match whole.is_empty() {
            // One that does not hold right behind the head was torn, or its sectors tell what it changes.
            true => (DamagedNewest::look(log, candidates, sequence)?, newer.count() > 1),
            false => (None, true),
        };
        let is_illegible = damaged.as_ref().is_some_and(|damaged| !damaged.is_legible());
        Ok(Later {
            whole: whole.into_iter().map(|(_, offset)| offset).collect(),
            damaged: damaged.filter(DamagedNewest::is_legible),
            is_unclear: others || is_illegible || candidates.may_lack_some() || candidates.foreign > 0,
        })
    }
}

/// What the file may say.
struct States<'a> {
    /// As it lies.
    file: &'a dyn ReadAt,
    /// By the header that holds.
    ours: Overlay<Arc<dyn ReadAt>>,
    /// By a header that named the other log, as far as its sequence is complete.
    theirs: Overlay<Arc<dyn ReadAt>>,
    /// The same, had all entries held.
    newest: Overlay<Arc<dyn ReadAt>>,
}

impl States<'_> {
    /// Marks where the page is not the same in all of them: all of it, where `as_a_whole`.
    fn doubt_page(&self, page: u64, as_a_whole: bool, patches: &mut OverlayBuilder) -> Result<bool> {
        let mut doubts = OverlayBuilder::default();
        let mut any = doubt_page(&self.ours, &self.newest, page, &mut doubts)?;
        // Nothing is written to the tables before its entry is safe: where the newest entry stands in the file, it counts.
        let is_carried_out = !doubt_page(self.file, &self.newest, page, &mut OverlayBuilder::default())?;
        if !is_carried_out {
            any |= doubt_page(&self.ours, &self.theirs, page, &mut doubts)?;
        }
        match as_a_whole && any {
            true => patches.doubtful(page..page.saturating_add(u64::from(SECTOR))),
            false => patches.add_doubts(doubts),
        }
        Ok(any)
    }
}
