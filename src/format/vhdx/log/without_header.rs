//! The log of a file that has lost both headers.
//!
//! The header alone says where the log is and which entries in it count. Where neither matters, the file is right as it lies:
//! where no log entry stands anywhere, or where a replay of any log that could be meant would write what is there already.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use super::entry::{DATA_DESCRIPTOR_SIGNATURE, DATA_SIGNATURE, ENTRY_SIGNATURE, SECTOR, ZERO_DESCRIPTOR_SIGNATURE};
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

/// How the sectors of a log begin that are neither zero nor the first one of an entry.
const PARTS: [[u8; 4]; 3] = [DATA_SIGNATURE, DATA_DESCRIPTOR_SIGNATURE, ZERO_DESCRIPTOR_SIGNATURE];

/// Bytes that are read at once.
const PIECE: u64 = 1 << 20;

/// Whether the file is right as it lies, whatever its headers said. `unowned` are the places where a log can be: all that
/// belong to no region and no block. `first_region` is where the first region begins: the log stands before it, as all known
/// writers put it there.
pub(in crate::format::vhdx) fn is_right_as_it_lies(
    file: &dyn ReadAt,
    unowned: &[Range<u64>],
    first_region: u64,
) -> bool {
    let ring = USUAL_START..first_region;
    if !unowned.contains(&ring) {
        return false;
    }
    let total = unowned.iter().fold(0u64, |sum, range| sum.saturating_add(length(range)));
    if total > MAX_SEARCHED {
        return false;
    }
    let mut logs = BTreeMap::new();
    for place in unowned {
        let is_ring = *place == ring;
        let looked = each_sector(file, place, &mut |sector| match array(sector, 0) {
            Some(ENTRY_SIGNATURE) if is_ring => note(sector, &mut logs),
            // Something that looks like a log stands where none should.
            Some(ENTRY_SIGNATURE) => None,
            Some(kind) if is_ring => (PARTS.contains(&kind) || sector.iter().all(|byte| *byte == 0)).then_some(()),
            _ => Some(()),
        });
        if looked.is_none() {
            return false;
        }
    }
    let changes_nothing =
        |(guid, numbers): (&Guid, &Vec<u64>)| changes_nothing(file, &ring, *guid, numbers).unwrap_or(false);
    logs.len() <= MAX_LOGS && logs.iter().all(changes_nothing)
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

/// Whether a replay of the log of this GUID writes only what stands there already. `numbers` are the SequenceNumbers of all
/// that looks like its entries.
fn changes_nothing(file: &dyn ReadAt, ring: &Range<u64>, guid: Guid, numbers: &[u64]) -> Result<bool> {
    let Ok(ring_length) = u32::try_from(length(ring)) else { return Ok(false) };
    let log = Log { file, offset: ring.start, length: ring_length, guid };
    let candidates = log.candidates()?;
    // Each must be an entry, or else it is not known which of them count.
    if candidates.by_offset.len() != numbers.len() || candidates.may_lack_some() {
        return Ok(false);
    }
    let sequence = log.active_sequence(&candidates)?;
    let head = sequence.last().and_then(|head| candidates.by_offset.get(head));
    let Some(head) = head else { return Ok(false) };
    let is_newest = numbers.iter().filter(|number| **number >= head.header.sequence_number).count() == 1;
    // Where the ring ends is not known, so a sequence that goes round its end does not count.
    let is_straight = sequence.is_sorted();
    let is_long_enough = head.header.flushed_file_offset.max(head.header.last_file_offset) <= file.size();
    Ok(is_newest && is_straight && is_long_enough && writes_what_is_there(&log, &candidates, &sequence)?)
}

fn writes_what_is_there(log: &Log<'_>, candidates: &Candidates, sequence: &[u32]) -> Result<bool> {
    let mut written = WrittenPlaces::default();
    for offset in sequence {
        let Some(candidate) = candidates.by_offset.get(offset) else { return Ok(false) };
        let all = log.each_descriptor(*offset, &candidate.header, &mut |descriptor| {
            descriptor.map_or(ControlFlow::Break(()), |descriptor| written.add(&descriptor))
        })?;
        if !all {
            return Ok(false);
        }
    }
    let mut patches = OverlayBuilder::default();
    for offset in sequence {
        apply(log, candidates, *offset, &mut patches)?;
    }
    let replayed = patches.over(log.file, Code::LogTorn);
    for range in written.all() {
        if range.end > log.file.size() || !reads_the_same(log.file, &replayed, &range)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn reads_the_same(a: &dyn ReadAt, b: &dyn ReadAt, range: &Range<u64>) -> Result<bool> {
    let sector = usize::try_from(SECTOR).unwrap_or(0);
    let (mut ours, mut theirs) = (vec![0; sector], vec![0; sector]);
    let mut at = range.start;
    while at < range.end {
        let mut faults = Faults::new();
        a.read_at(&mut ours, at, &mut faults)?;
        b.read_at(&mut theirs, at, &mut faults)?;
        if ours != theirs || !faults.is_empty() {
            return Ok(false);
        }
        at = at.saturating_add(u64::from(SECTOR));
    }
    Ok(true)
}
