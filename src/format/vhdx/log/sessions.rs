//! What a log still tells of the sessions that wrote it, page by page.
//!
//! Each opening of a file for writing has a LogGuid of its own, and the entries of older ones stand in the log until newer
//! entries take their room. So a log tells which versions of a page there were, and which of them came last.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::entry::{Descriptor, EntryHeader, PIECE, SECTOR, SectorKind};
use super::region::log_region;
use super::sequence::{Candidate, Candidates, Log};
use crate::bytes::Guid;
use crate::error::Result;
use crate::format::vhdx::header::Header;
use crate::image::{OverlayBuilder, ReadAt, lose_tail};
use crate::report::{Code, Finding, Severity};
use crate::{FaultKind, Faults};

/// Larger logs are not looked into: an image is to be open in a moment. Known writers make logs of 1 MiB.
const MAX_LENGTH: u32 = 8 << 20;

/// Nor are logs of more sessions than this.
const MAX_SESSIONS: usize = 64;

/// Nor such as fill more pages with zeros.
const MAX_ZEROED: usize = 1 << 14;

/// 4 KiB of the file, as a log writes them.
pub(in crate::format::vhdx) type Page = [u8; 4096];

/// All sessions of which the log still has what they wrote last.
pub(in crate::format::vhdx) struct Sessions {
    all: Vec<Session>,
    /// See [`Sessions::are_all_told`].
    are_all_told: bool,
}

/// The whole entries of one LogGuid, up to the head of its active sequence.
pub(in crate::format::vhdx) struct Session {
    pub(super) guid: Guid,
    /// SequenceNumber of the oldest entry that still stands in the log.
    pub(in crate::format::vhdx) first: u64,
    /// That of the oldest entry that a replay needs: what those before it say was done in the file.
    tail: u64,
    /// That of the newest one.
    pub(in crate::format::vhdx) head: u64,
    /// The largest LastFileOffset, in bytes.
    pub(in crate::format::vhdx) last_file_offset: u64,
    /// Offset in the log of that oldest entry, and where the newest one ends.
    start: u32,
    end: u32,
    /// Offsets in the log of the sectors of its entries.
    sectors: Vec<u32>,
    /// Entries that are newer than the head and do not count.
    pub(in crate::format::vhdx) is_cut_off: bool,
    /// The versions of each page, from the oldest on. By byte offset in the file.
    pages: BTreeMap<u64, Vec<Version>>,
}

/// What one entry makes of a page.
pub(in crate::format::vhdx) struct Version {
    number: u64,
    /// `None` stands for zeros.
    bytes: Option<Box<Page>>,
    /// Where in the file the data sector begins that they are from; 0 for zeros.
    data_sector: u64,
}

impl Version {
    /// The bytes of the page.
    pub(in crate::format::vhdx) fn page(&self) -> &Page {
        self.bytes.as_deref().unwrap_or(&[0; 4096])
    }

    /// Has those pieces of the page at byte `page` of the file read as this version has them of which `which` says so.
    pub(in crate::format::vhdx) fn put_pieces(
        &self,
        page: u64,
        which: &dyn Fn(usize, &[u8]) -> bool,
        patches: &mut OverlayBuilder,
    ) {
        let pieces = self.page().chunks(PIECE).enumerate().zip((0u64..).step_by(PIECE));
        for ((_, piece), within) in pieces.filter(|((number, piece), _)| which(*number, piece)) {
            let start = page.saturating_add(within);
            let (Some(leading), Some(trailing)) = (piece.first_chunk(), piece.last_chunk()) else { continue };
            let length = u32::try_from(piece.len()).unwrap_or(0);
            match self.bytes {
                Some(_) => {
                    let body = self.data_sector.saturating_add(within).saturating_add(8);
                    patches.splice(start, *leading, body, length.saturating_sub(8 + 4), *trailing);
                }
                None => patches.zero(start..start.saturating_add(u64::from(length))),
            }
        }
    }
}

impl Session {
    /// The versions of each page that it wrote, from the oldest on, by byte offset in the file.
    pub(in crate::format::vhdx) fn pages(&self) -> impl Iterator<Item = (u64, &[Version])> {
        self.pages.iter().map(|(at, versions)| (*at, versions.as_slice()))
    }

    /// The versions of one page, from the oldest on.
    pub(in crate::format::vhdx) fn versions(&self, page: u64) -> &[Version] {
        self.pages.get(&page).map_or(&[], Vec::as_slice)
    }

    /// The pages that a replay would write, and what.
    pub(super) fn replayed(&self) -> impl Iterator<Item = (u64, &Version)> {
        let newest = self.pages.iter().filter_map(|(at, versions)| Some((*at, versions.last()?)));
        newest.filter(|(_, version)| version.number >= self.tail)
    }

    /// Whether a file cannot hold `found` in this page while the session waits to be replayed. What the entries before the oldest
    /// that a replay needs made of a page was done in the file; from then on it can be a later version alone, or a mixture of
    /// them by pieces.
    fn excludes(&self, page: u64, found: &Page) -> bool {
        let versions = self.versions(page);
        let done = versions.iter().rposition(|version| version.number < self.tail);
        let Some(possible) = done.filter(|_| !self.is_cut_off).and_then(|done| versions.get(done..)) else {
            return false;
        };
        let mut pieces = found.chunks(PIECE).enumerate();
        let is_possible = |(number, piece): (usize, &[u8])| {
            possible.iter().any(|version| version.page().chunks(PIECE).nth(number) == Some(piece))
        };
        !pieces.all(is_possible)
    }

    /// Whether all that it wrote last stands in the file.
    fn stands_in(&self, file: &dyn ReadAt) -> bool {
        let stands = |(at, versions): (u64, &[Version])| {
            versions.last().is_some_and(|newest| page_of(file, at).is_some_and(|found| found == *newest.page()))
        };
        !self.pages.is_empty() && self.pages().all(stands)
    }

    /// Whether the file went on with `other` after this session: it holds what `other` made last of a page, and while this one
    /// waits to be replayed it could not.
    pub(in crate::format::vhdx) fn is_left_behind_by(&self, other: &Session, file: &dyn ReadAt) -> bool {
        self.pages().any(|(at, _)| {
            let Some(found) = page_of(file, at).filter(|found| found.iter().any(|byte| *byte != 0)) else {
                return false;
            };
            other.versions(at).last().is_some_and(|newest| *newest.page() == found) && self.excludes(at, &found)
        })
    }
}

impl Sessions {
    /// Reads them. `None` where the log is too large for that, where not all of it can be read, or where there are too many.
    pub(in crate::format::vhdx) fn of(file: &dyn ReadAt, header: &Header) -> Option<Self> {
        let place = log_region(header).filter(|_| header.log_length <= MAX_LENGTH)?;
        let ring = Ring::read(file, place.start, header.log_length)?;
        let mut by_guid = BTreeMap::<Guid, Candidates>::new();
        for (sector, at) in ring.bytes.as_chunks::<4096>().0.iter().zip((0u32..).step_by(4096)) {
            let Some(guid) = Guid::read(sector, 32).filter(|guid| !guid.is_zero()) else { continue };
            if let Some(header) = EntryHeader::parse(sector, guid, header.log_length) {
                by_guid.entry(guid).or_default().by_offset.insert(at, Candidate::new(header));
            }
            if by_guid.len() > MAX_SESSIONS {
                return None;
            }
        }
        let mut zeroed = 0;
        let mut all = Vec::new();
        for (guid, candidates) in by_guid {
            let log = Log { file: &ring, offset: place.start, length: header.log_length, guid };
            all.extend(session(&log, &candidates, &mut zeroed).ok()?);
            if zeroed > MAX_ZEROED {
                return None;
            }
        }
        let are_all_told = ring.is_told_by(&all);
        Some(Sessions { all, are_all_told })
    }

    /// Whether nothing stands in the log besides them but what newer entries leave of old ones: the end of one, right behind them.
    /// Else entries that were newer than all of these may be gone.
    pub(in crate::format::vhdx) fn are_all_told(&self) -> bool {
        self.are_all_told
    }

    /// Why not all of the log can be read, if it cannot.
    pub(in crate::format::vhdx) fn unread(file: &dyn ReadAt, header: &Header) -> Option<Finding> {
        let place = log_region(header).filter(|_| header.log_length <= MAX_LENGTH)?;
        let mut bytes = vec![0; usize::try_from(header.log_length).ok()?];
        let mut faults = Faults::new();
        let code = match file.read_at(&mut bytes, place.start, &mut faults) {
            Ok(()) => {
                faults.iter().find(|fault| fault.kind == FaultKind::Lost).and_then(|lost| Code::named(lost.code))?
            }
            Err(_) => Code::HostReadError,
        };
        let text = "not all of the log can be read; nothing in it has to be replayed, but whether it tells of a write to the tables that was lost is not known";
        Some(Finding::new(code, Severity::Warning, text).at("log", place.start))
    }

    /// Each of them, in no order.
    pub(in crate::format::vhdx) fn iter(&self) -> impl Iterator<Item = &Session> {
        self.all.iter()
    }

    /// Whether each session that wrote nothing began where another one ends. One that began elsewhere may have taken the room of
    /// the newest entries of one that did write.
    pub(in crate::format::vhdx) fn are_in_order(&self) -> bool {
        let mut idle = self.all.iter().filter(|session| session.pages.is_empty());
        idle.all(|idle| self.all.iter().any(|other| other.guid != idle.guid && other.end == idle.start))
    }

    /// The one of this LogGuid.
    pub(super) fn of_guid(&self, guid: Guid) -> Option<&Session> {
        self.all.iter().find(|session| session.guid == guid)
    }

    /// Whether the session of this LogGuid was over before another one, which was done in the file as a whole: no header that
    /// was lost can have wanted it to be replayed.
    pub(super) fn is_history(&self, guid: Guid, file: &dyn ReadAt) -> bool {
        let Some(session) = self.of_guid(guid) else { return false };
        let mut others = self.all.iter().filter(|other| other.guid != guid && other.stands_in(file));
        others.any(|other| {
            // Files only grow while they are in use, and one that was made smaller is smaller than the log says.
            let grew_since = session.last_file_offset < other.last_file_offset
                && other.last_file_offset <= file.size()
                && session.head < other.head;
            grew_since || session.is_left_behind_by(other, file)
        })
    }
}

/// The page of the file at this byte. `None` where it cannot be read as a whole.
pub(in crate::format::vhdx) fn page_of(file: &dyn ReadAt, at: u64) -> Option<Page> {
    let (mut page, mut faults) = ([0; 4096], Faults::new());
    file.read_at(&mut page, at, &mut faults).ok()?;
    faults.is_empty().then_some(page)
}

/// What the entries of one LogGuid tell; `None` where they form no sequence.
fn session(log: &Log<'_>, candidates: &Candidates, zeroed: &mut usize) -> Result<Option<Session>> {
    let sequence = log.active_sequence(candidates)?;
    let number = |offset: &u32| candidates.by_offset.get(offset).map(|entry| entry.header.sequence_number);
    let (Some(tail), Some(head)) = (sequence.first().and_then(number), sequence.last().and_then(number)) else {
        return Ok(None);
    };
    let mut entries = done_before(log, candidates, tail)?;
    entries.extend(&sequence);
    let end = sequence.last().and_then(|offset| Some((*offset, candidates.by_offset.get(offset)?)));
    let end = end.map_or(0, |(offset, newest)| log.advance(offset, newest.header.entry_length));
    let mut session = Session {
        guid: log.guid,
        start: entries.first().copied().unwrap_or(0),
        end,
        first: entries.first().and_then(number).unwrap_or(tail),
        tail,
        head,
        last_file_offset: 0,
        is_cut_off: candidates.by_offset.values().any(|entry| entry.header.sequence_number > head),
        pages: BTreeMap::new(),
        sectors: Vec::new(),
    };
    for offset in entries {
        let Some(entry) = candidates.by_offset.get(&offset) else { continue };
        session.sectors.extend((0..entry.header.entry_length).step_by(4096).map(|within| log.advance(offset, within)));
        session.last_file_offset = session.last_file_offset.max(entry.header.last_file_offset);
        add_versions(log, offset, &entry.header, &mut session, zeroed)?;
    }
    Ok(Some(session))
}

/// The offsets of the whole entries that come right before the one with the number `tail`, from the oldest on.
fn done_before(log: &Log<'_>, candidates: &Candidates, tail: u64) -> Result<Vec<u32>> {
    let by_number: BTreeMap<u64, u32> =
        candidates.by_offset.iter().map(|(offset, entry)| (entry.header.sequence_number, *offset)).collect();
    // Entries overlap each other only where somebody forged them.
    let mut budget = u64::from(log.length).saturating_mul(2);
    let mut done = Vec::new();
    let mut wanted = tail.checked_sub(1);
    while let Some(number) = wanted
        && let Some(offset) = by_number.get(&number)
        && let Some(entry) = candidates.by_offset.get(offset)
        && log.is_whole(*offset, entry, &mut budget)?
    {
        done.push(*offset);
        wanted = number.checked_sub(1);
    }
    done.reverse();
    Ok(done)
}

fn add_versions(
    log: &Log<'_>,
    offset: u32,
    header: &EntryHeader,
    session: &mut Session,
    zeroed: &mut usize,
) -> Result<()> {
    let number = header.sequence_number;
    let mut data_sector = log.advance(offset, header.descriptors_length().unwrap_or(0));
    let mut data = Vec::new();
    log.each_descriptor(offset, header, &mut |descriptor| {
        match descriptor {
            Some(Descriptor::Data { file_offset, leading, trailing }) => {
                data.push((file_offset, leading, data_sector, trailing));
                data_sector = log.advance(data_sector, SECTOR);
            }
            Some(Descriptor::Zero { file_offset, length }) => {
                let pages = (file_offset..file_offset.saturating_add(length)).step_by(4096);
                for page in pages {
                    *zeroed = zeroed.saturating_add(1);
                    if *zeroed > MAX_ZEROED {
                        return ControlFlow::Break(());
                    }
                    session.add(page, Version { number, bytes: None, data_sector: 0 });
                }
            }
            None => {}
        }
        ControlFlow::Continue(())
    })?;
    for (file_offset, leading, data_sector, trailing) in data {
        let mut page = Box::new([0; 4096]);
        log.read(&mut *page, data_sector)?;
        if let Some((head, rest)) = page.split_first_chunk_mut::<8>()
            && let Some((_, end)) = rest.split_last_chunk_mut::<4>()
        {
            *head = leading;
            *end = trailing;
        }
        let data_sector = log.file_offset(data_sector);
        session.add(file_offset, Version { number, bytes: Some(page), data_sector });
    }
    Ok(())
}

impl Session {
    fn add(&mut self, page: u64, version: Version) {
        let versions = self.pages.entry(page).or_default();
        match versions.last_mut() {
            // What an entry writes last to a page is what it makes of it.
            Some(last) if last.number == version.number => *last = version,
            _ => versions.push(version),
        }
    }
}

/// A log in memory, in its place in the file.
struct Ring {
    bytes: Vec<u8>,
    /// Byte offset in the file.
    start: u64,
    /// Bytes of the file.
    size: u64,
}

impl Ring {
    fn read(file: &dyn ReadAt, start: u64, length: u32) -> Option<Self> {
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        let mut faults = Faults::new();
        file.read_at(&mut bytes, start, &mut faults).ok()?;
        faults.is_empty().then(|| Ring { bytes, start, size: file.size() })
    }

    /// See [`Sessions::are_all_told`].
    fn is_told_by(&self, sessions: &[Session]) -> bool {
        let told: BTreeSet<u32> = sessions.iter().flat_map(|session| &session.sectors).copied().collect();
        let Some(first) = told.first() else { return false };
        let sectors = self.bytes.as_chunks::<4096>().0.iter().zip((0u32..).step_by(4096));
        let (before, behind): (Vec<_>, Vec<_>) = sectors.partition(|(_, at)| at < first);
        // Whether the sector before is one of an entry, or of the end of an old one behind it.
        let mut goes_on = true;
        behind.into_iter().chain(before).all(|(sector, at)| {
            let kind = SectorKind::of(sector);
            let is_rest = goes_on && matches!(kind, SectorKind::Data | SectorKind::Descriptors);
            goes_on = told.contains(&at) || is_rest;
            goes_on || kind == SectorKind::Zeros
        })
    }
}

impl ReadAt for Ring {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        let start = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let end = start.saturating_add(buf.len());
        match self.bytes.get(start..end).filter(|_| offset >= self.start) {
            Some(bytes) => buf.copy_from_slice(bytes),
            None => lose_tail(buf, 0, offset, Code::ReadPastEnd, faults),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_outside_of_the_log_reads_as_zeros_and_is_lost() {
        let ring = Ring { bytes: vec![7; 4096], start: 1 << 20, size: 2 << 20 };
        let read = |offset: u64| {
            let (mut buf, mut faults) = ([0xee; 16], Faults::new());
            ring.read_at(&mut buf, offset, &mut faults).expect("a read");
            (buf, faults.any_lost())
        };
        assert_eq!(read(1 << 20), ([7; 16], false));
        for outside in [0, (1 << 20) - 8, (1 << 20) + 4090] {
            assert_eq!(read(outside), ([0; 16], true), "{outside}");
        }
    }
}
