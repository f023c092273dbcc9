//! The log of a file that has lost both headers.
//!
//! The header alone says where the log is and which entries in it count. Where neither matters, the file is right as it lies:
//! where no log entry stands anywhere, or where a replay of any log that could be meant would write what is there already. Where it
//! would write something else, that alone is in doubt.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use super::damaged_newest::doubt_page;
use super::entry::{
    DATA_DESCRIPTOR_SIGNATURE, DATA_SIGNATURE, ENTRY_SIGNATURE, PAGE_STEP, ZERO_DESCRIPTOR_SIGNATURE,
    data_sector_written,
};
use super::replay::apply;
use super::sequence::{Candidates, Log};
use super::written_places::WrittenPlaces;
use crate::Faults;
use crate::bytes::{Guid, array, u64_le};
use crate::error::Result;
use crate::image::{OverlayBuilder, ReadAt};
use crate::ranges::length;
use crate::report::Code;

/// Bytes of the file that are searched for entries.
const MAX_SEARCHED: u64 = 256 << 20;
/// Logs of different GUIDs, such as each opening of the file begins.
const MAX_LOGS: usize = 64;

/// Where all known writers put the log.
const USUAL_START: u64 = 1 << 20;

/// Logs begin at multiples of this, and have it at least, in bytes.
const MIB: u64 = 1 << 20;
const STEP: usize = 1 << 20;
/// Places in its room where a log is looked for.
const MAX_STARTS: usize = 16;

/// How the sectors of a log begin that are neither zero nor the first one of an entry.
const PARTS: [[u8; 4]; 3] = [DATA_SIGNATURE, DATA_DESCRIPTOR_SIGNATURE, ZERO_DESCRIPTOR_SIGNATURE];

/// Bytes that are read at once.
const PIECE: u64 = 1 << 20;

/// Where the log of a file without headers may stand.
pub(in crate::format::vhdx) struct Room {
    /// All places that belong to no region and no block.
    pub(in crate::format::vhdx) unowned: Vec<Range<u64>>,
    /// Where the first region begins: all known writers put the log before it.
    pub(in crate::format::vhdx) first_region: u64,
    /// All places that belong to a region, which the region table proves.
    pub(in crate::format::vhdx) regions: Vec<Range<u64>>,
    /// Each entry of the BAT makes sense, so that nothing else can stand in these places.
    pub(in crate::format::vhdx) flawless: bool,
}

impl Room {
    /// The only place where entries, or what they leave, may stand. `None` where that is not known.
    ///
    /// Where a block stands in the usual place, it is that one where entries are seen; any would do where none are.
    fn place_of_log(&self, file: &dyn ReadAt) -> Option<Range<u64>> {
        let usual = USUAL_START..self.first_region;
        if self.unowned.contains(&usual) {
            return Some(usual);
        }
        // One wrong entry of the BAT may make a block of the log.
        if !self.flawless || file.size() > MAX_SEARCHED || self.any_entry_in_blocks(file) {
            return None;
        }
        let is_empty =
            |place: &&Range<u64>| each_sector(file, place, &mut |sector| is_zero(sector).then_some(())).is_some();
        let used: Vec<_> = self.unowned.iter().filter(|place| !is_empty(place)).take(2).collect();
        match used.as_slice() {
            [] => self.unowned.iter().find(|place| length(place) >= MIB).cloned(),
            [one] => Some((*one).clone()),
            _ => None,
        }
    }

    /// Whether anything looks like an entry in what blocks own, or not all of that can be read.
    fn any_entry_in_blocks(&self, file: &dyn ReadAt) -> bool {
        let mut others: Vec<_> = self.unowned.iter().chain(&self.regions).collect();
        others.sort_by_key(|place| place.start);
        let mut at = USUAL_START;
        let mut blocks = Vec::new();
        for other in others {
            blocks.push(at..other.start.max(at));
            at = at.max(other.end);
        }
        blocks.push(at..file.size().max(at));
        let none = |sector: &[u8; 4096]| (array(sector, 0) != Some(ENTRY_SIGNATURE)).then_some(());
        blocks.iter().any(|block| each_sector(file, block, &mut |sector| none(sector)).is_none())
    }
}

/// Where the file may be otherwise than it lies, whatever its headers said: where the active sequence of a LogGuid would write
/// something else. `None` where that is not known.
pub(in crate::format::vhdx) fn places_in_doubt(file: &dyn ReadAt, room: &Room) -> Option<OverlayBuilder> {
    let total = room.unowned.iter().fold(0u64, |sum, range| sum.saturating_add(length(range)));
    if total > MAX_SEARCHED {
        return None;
    }
    let place = room.place_of_log(file)?;
    let mut logs = BTreeMap::new();
    for unowned in &room.unowned {
        let may_be_log = *unowned == place;
        each_sector(file, unowned, &mut |sector| match array(sector, 0) {
            Some(ENTRY_SIGNATURE) if may_be_log => note(sector, &mut logs),
            // Something that looks like a log stands where none should.
            Some(ENTRY_SIGNATURE) => None,
            Some(kind) if may_be_log => (PARTS.contains(&kind) || is_zero(sector)).then_some(()),
            _ => Some(()),
        })?;
    }
    let mut doubts = OverlayBuilder::default();
    if logs.len() > MAX_LOGS {
        return None;
    }
    for (guid, numbers) in &logs {
        doubts.add_doubts(differences(file, &place, *guid, numbers).ok().flatten()?);
    }
    Some(doubts)
}

fn is_zero(sector: &[u8; 4096]) -> bool {
    sector.iter().all(|byte| *byte == 0)
}

/// Calls `each` with every sector of a place, as long as it returns something and all can be read without a fault.
fn each_sector(file: &dyn ReadAt, place: &Range<u64>, each: &mut Look<'_>) -> Option<()> {
    let mut buf = vec![0; usize::try_from(PIECE).ok()?];
    let mut at = place.start;
    while at < place.end {
        let piece = buf.get_mut(..usize::try_from(place.end.saturating_sub(at).min(PIECE)).ok()?)?;
        let mut faults = Faults::new();
        file.read_at(piece, at, &mut faults).ok()?;
        if !faults.is_empty() {
            return None;
        }
        piece.as_chunks::<4096>().0.iter().try_for_each(&mut *each)?;
        at = at.saturating_add(PIECE);
    }
    Some(())
}

/// Looks at a sector of the file; `None` ends it.
type Look<'a> = dyn FnMut(&[u8; 4096]) -> Option<()> + 'a;

/// Adds the SequenceNumber of an entry to those of its LogGuid.
fn note(sector: &[u8], logs: &mut BTreeMap<Guid, Vec<u64>>) -> Option<()> {
    logs.entry(Guid::read(sector, 32)?).or_default().push(u64_le(sector, 16)?);
    Some(())
}

/// Where a replay of the log of this GUID writes what does not stand there already. `numbers` are the SequenceNumbers of all that
/// looks like its entries. `None` where that is not known.
fn differences(file: &dyn ReadAt, place: &Range<u64>, guid: Guid, numbers: &[u64]) -> Result<Option<OverlayBuilder>> {
    // The room may begin before the log does.
    for start in (place.start..place.end).step_by(STEP).take(MAX_STARTS) {
        let Ok(log_length) = u32::try_from(place.end.saturating_sub(start)) else { return Ok(None) };
        let log = Log { file, offset: start, length: log_length, guid };
        let candidates = log.candidates()?;
        // Each must be an entry, or else it is not known which of them count.
        if candidates.by_offset.len() != numbers.len() || candidates.may_lack_some() {
            return Ok(None);
        }
        let sequence = log.active_sequence(&candidates)?;
        let Some(head) = sequence.last().and_then(|head| candidates.by_offset.get(head)) else { continue };
        let is_newest = numbers.iter().filter(|number| **number >= head.header.sequence_number).count() == 1;
        // Where the ring ends is not known, so a sequence that goes round its end does not count.
        let is_straight = sequence.is_sorted();
        let is_long_enough = head.header.flushed_file_offset.max(head.header.last_file_offset) <= file.size();
        if !is_newest || !is_straight || !is_long_enough {
            return Ok(None);
        }
        let doubts = what_is_not_there(&log, &candidates, &sequence)?;
        // One that was to be replayed must not have lost its newest entry.
        let may_count = |doubts: &OverlayBuilder| {
            doubts.is_empty() || !any_orphan_of(&log, head.header.sequence_number.saturating_add(1))
        };
        return Ok(doubts.filter(may_count));
    }
    Ok(None)
}

/// Whether a data sector of the entry with this number stands anywhere in the log, or that cannot be told.
fn any_orphan_of(log: &Log<'_>, number: u64) -> bool {
    let place = log.offset..log.offset.saturating_add(u64::from(log.length));
    each_sector(log.file, &place, &mut |sector| (!data_sector_written(sector, number)).then_some(())).is_none()
}

fn what_is_not_there(log: &Log<'_>, candidates: &Candidates, sequence: &[u32]) -> Result<Option<OverlayBuilder>> {
    let mut written = WrittenPlaces::default();
    for offset in sequence {
        let Some(candidate) = candidates.by_offset.get(offset) else { return Ok(None) };
        let all = log.each_descriptor(*offset, &candidate.header, &mut |descriptor| {
            descriptor.map_or(ControlFlow::Break(()), |descriptor| written.add(&descriptor))
        })?;
        if !all {
            return Ok(None);
        }
    }
    let mut patches = OverlayBuilder::default();
    for offset in sequence {
        apply(log, candidates, *offset, &mut patches)?;
    }
    let replayed = patches.over(log.file, Code::LogTorn);
    let mut doubts = OverlayBuilder::default();
    for range in written.all() {
        if range.end > log.file.size() {
            return Ok(None);
        }
        for page in (range.start..range.end).step_by(PAGE_STEP) {
            doubt_page(log.file, &replayed, page, &mut doubts)?;
        }
    }
    Ok(Some(doubts))
}
