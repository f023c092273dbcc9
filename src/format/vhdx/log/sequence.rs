//! Finding the active sequence: [MS-VHDX] 2.3.2.
//!
//! The active sequence is the complete one with the highest head. So heads are tried from the highest sequence number
//! down, and each is followed from its tail; an entry's checksum is computed once.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::entry::{self, DATA_LENGTH, Descriptor, EntryHeader, SECTOR, data_sector_holds};
use crate::Faults;
use crate::bytes::{Guid, len_u64};
use crate::error::Result;
use crate::image::{OverlayBuilder, ReadAt};

/// The log region of a file.
pub(super) struct Log<'a> {
    pub(super) file: &'a dyn ReadAt,
    /// Byte offset in the file.
    pub(super) offset: u64,
    /// In bytes: a multiple of 1 MiB, not 0.
    pub(super) length: u32,
    pub(super) guid: Guid,
}

/// An entry of the log that looks like one: its header fits. Whether it is whole is found out when it matters.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) header: EntryHeader,
    whole: Cell<Option<bool>>,
}

impl Candidate {
    /// An entry that was not looked at yet.
    pub(super) fn new(header: EntryHeader) -> Self {
        Candidate { header, whole: Cell::new(None) }
    }

    /// One whose header did not hold, and is told by its checksum: it is not whole.
    fn mended(header: EntryHeader) -> Self {
        Candidate { header, whole: Cell::new(Some(false)) }
    }

    /// Whether it was looked at and found whole.
    pub(super) fn is_known_whole(&self) -> bool {
        self.whole.get() == Some(true)
    }
}

/// All candidates by their offset in the log.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    pub(super) by_offset: BTreeMap<u32, Candidate>,
    /// Offsets in the log of headers that bear the log's GUID and contradict themselves.
    pub(super) defaced: BTreeSet<u32>,
    /// Bytes of the log that could not be read.
    pub(super) unreadable: u64,
    /// Sectors of the log that nothing ever wrote there: neither zeros nor parts of entries, of whichever log.
    pub(super) foreign: usize,
    /// Data sectors that no entry of whichever log has: the header of theirs is gone, as happens to old ones.
    pub(super) orphaned: usize,
}

impl Candidates {
    /// Whether entries may stand in the log that are not among the candidates.
    pub(super) fn may_lack_some(&self) -> bool {
        self.unreadable > 0 || !self.defaced.is_empty()
    }

    /// Counts what makes no sense at byte `at` of the log. Up to `owned_until` the sectors belong to an entry.
    fn count(&mut self, sector: &[u8; 4096], at: u32, log_length: u32, owned_until: &mut u32) {
        let kind = entry::SectorKind::of(sector);
        if let Some(header) = kind.is_header().then(|| EntryHeader::parse_any(sector, log_length)).flatten() {
            *owned_until = (*owned_until).max(at.saturating_add(header.entry_length));
        }
        self.foreign = self.foreign.saturating_add(usize::from(kind == entry::SectorKind::Foreign));
        let orphaned = kind == entry::SectorKind::Data && at >= *owned_until;
        self.orphaned = self.orphaned.saturating_add(usize::from(orphaned));
    }
}

/// How much the search may read over and over, as a multiple of the log's length: entries that overlap each other, which
/// only a hostile file has, could otherwise make the search quadratic.
const WORK_LIMIT: u64 = 16;

/// Where more headers are defaced, that is no matter of single bits.
pub(super) const MAX_MENDED: usize = 4;

/// Bytes that are read at once while looking for entries.
const SCAN: u32 = 1 << 20;

impl Log<'_> {
    /// Reads `buf` from `offset` of the log on, round its end. Returns whether all of it could be read.
    pub(super) fn read(&self, buf: &mut [u8], offset: u32) -> Result<bool> {
        let to_end = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (first, second) = buf.split_at_mut_checked(to_end).unwrap_or((&mut [], &mut []));
        let mut faults = Faults::new();
        let at = self.offset.saturating_add(u64::from(offset));
        if first.is_empty() && second.is_empty() {
            self.file.read_at(buf, at, &mut faults)?;
        } else {
            self.file.read_at(first, at, &mut faults)?;
            self.file.read_at(second, self.offset, &mut faults)?;
        }
        Ok(faults.is_empty())
    }

    /// The offset in the log that is `by` bytes after `offset`, round its end.
    pub(super) fn advance(&self, offset: u32, by: u32) -> u32 {
        let sum = u64::from(offset).saturating_add(u64::from(by));
        let within = sum.checked_rem(u64::from(self.length)).unwrap_or(0);
        u32::try_from(within).unwrap_or(0)
    }

    /// Byte offset in the file of an offset in the log.
    pub(super) fn file_offset(&self, offset: u32) -> u64 {
        self.offset.saturating_add(u64::from(offset))
    }

    /// Has a page of the file read as a data descriptor has it: `leading`, what stands in the data sector at an offset of the log
    /// between its signature with SequenceHigh and its SequenceLow, `trailing`.
    pub(super) fn splice_page(
        &self,
        patches: &mut OverlayBuilder,
        page: u64,
        leading: [u8; 8],
        data_sector: u32,
        trailing: [u8; 4],
    ) {
        let body = self.file_offset(data_sector).saturating_add(8);
        patches.splice(page, leading, body, DATA_LENGTH, trailing);
    }

    /// Looks at each sector of the log for the header of an entry that bears the log's GUID.
    pub(super) fn candidates(&self) -> Result<Candidates> {
        let mut found = Candidates::default();
        // Stale entries are as long as the log together, unless they overlap each other.
        let mut budget = u64::from(self.length).saturating_mul(2);
        let mut owned_until = 0;
        let mut buf = vec![0; usize::try_from(SCAN.min(self.length)).unwrap_or(0)];
        let mut offset = 0;
        while offset < self.length {
            if self.file_offset(offset) >= self.file.size() {
                // The file ends before its log does, perhaps by gigabytes.
                let rest = self.length.saturating_sub(offset);
                found.unreadable = found.unreadable.saturating_add(u64::from(rest));
                break;
            }
            if !self.read(&mut buf, offset)? {
                found.unreadable = found.unreadable.saturating_add(len_u64(&buf));
            }
            let mut at = offset;
            for sector in buf.as_chunks::<4096>().0 {
                found.count(sector, at, self.length, &mut owned_until);
                if let Some(header) = EntryHeader::parse(sector, self.guid, self.length) {
                    found.by_offset.insert(at, Candidate::new(header));
                } else if entry::bears(sector, self.guid) || self.lost_its_guid(sector, at, &mut budget)? {
                    found.defaced.insert(at);
                }
                at = at.saturating_add(SECTOR);
            }
            offset = offset.saturating_add(SCAN);
        }
        self.mend(&mut found)?;
        Ok(found)
    }

    /// Makes candidates of defaced headers of which one bit is wrong.
    fn mend(&self, found: &mut Candidates) -> Result<()> {
        let defaced: Vec<u32> = found.defaced.iter().copied().take(MAX_MENDED.saturating_add(1)).collect();
        if defaced.len() > MAX_MENDED {
            return Ok(());
        }
        for offset in defaced {
            if let Some(header) = self.mended_header(offset)? {
                found.defaced.remove(&offset);
                let mut sector = [0; 4096];
                self.read(&mut sector, offset)?;
                let was_foreign = entry::SectorKind::of(&sector) == entry::SectorKind::Foreign;
                found.foreign = found.foreign.saturating_sub(usize::from(was_foreign));
                found.by_offset.insert(offset, Candidate::mended(header));
            }
        }
        Ok(())
    }

    /// Whether a sector is the header of an entry of this log that bears another GUID by damage: with the log's, its
    /// checksum would hold.
    fn lost_its_guid(&self, sector: &[u8; 4096], offset: u32, budget: &mut u64) -> Result<bool> {
        if !entry::is_signed(sector) {
            return Ok(false);
        }
        let mut mended = *sector;
        entry::set_guid(&mut mended, self.guid);
        let Some(header) = EntryHeader::parse(&mended, self.guid, self.length) else { return Ok(false) };
        let Some(rest) = budget.checked_sub(u64::from(header.entry_length)) else { return Ok(false) };
        *budget = rest;
        Ok(self.checksum(offset, &header, Some(self.guid), &|_, _| true)? == Some(header.checksum))
    }

    /// The offsets of the active sequence's entries, from tail to head; empty where no sequence is complete, or where the
    /// work limit leaves open which one is.
    pub(super) fn active_sequence(&self, candidates: &Candidates) -> Result<Vec<u32>> {
        let mut budget = u64::from(self.length).saturating_mul(WORK_LIMIT);
        let mut heads: Vec<_> = candidates.by_offset.iter().collect();
        heads.sort_by_key(|(_, candidate)| std::cmp::Reverse(candidate.header.sequence_number));
        for (&head, _) in heads {
            let sequence = self.sequence_of_head(head, candidates, &mut budget)?;
            // Out of work, a higher head may have been passed over unseen: then none is known to be the active one.
            if budget == 0 {
                break;
            }
            if let Some(sequence) = sequence {
                return Ok(sequence);
            }
        }
        Ok(Vec::new())
    }

    /// The entries from the head's tail to the head, if each follows the one before it and all are whole.
    fn sequence_of_head(&self, head: u32, candidates: &Candidates, budget: &mut u64) -> Result<Option<Vec<u32>>> {
        let Some(head_entry) = candidates.by_offset.get(&head) else { return Ok(None) };
        if !self.is_whole(head, head_entry, budget)? {
            return Ok(None);
        }
        let mut sequence = Vec::new();
        let mut length = 0u64;
        let mut at = head_entry.header.tail;
        let mut expected = None;
        loop {
            let Some(entry) = candidates.by_offset.get(&at) else { return Ok(None) };
            length = length.saturating_add(u64::from(entry.header.entry_length));
            *budget = budget.saturating_sub(u64::from(SECTOR));
            let follows = expected.is_none_or(|number| number == entry.header.sequence_number);
            if !follows || length > u64::from(self.length) || !self.is_whole(at, entry, budget)? {
                return Ok(None);
            }
            sequence.push(at);
            if at == head {
                return Ok(Some(sequence));
            }
            let Some(next) = entry.header.sequence_number.checked_add(1) else { return Ok(None) };
            expected = Some(next);
            at = self.advance(at, entry.header.entry_length);
        }
    }

    /// Whether checksum, descriptors and data sectors of an entry all hold.
    pub(super) fn is_whole(&self, offset: u32, candidate: &Candidate, budget: &mut u64) -> Result<bool> {
        if let Some(known) = candidate.whole.get() {
            return Ok(known);
        }
        *budget = budget.saturating_sub(u64::from(candidate.header.entry_length));
        if *budget == 0 {
            return Ok(false);
        }
        let whole = self.check(offset, &candidate.header)?;
        candidate.whole.set(Some(whole));
        Ok(whole)
    }

    fn check(&self, offset: u32, header: &EntryHeader) -> Result<bool> {
        let Some(descriptors_length) = header.descriptors_length() else { return Ok(false) };
        let mut data_sectors = 0u64;
        let hold = self.each_descriptor(offset, header, &mut |descriptor| match descriptor {
            Some(Descriptor::Data { .. }) => {
                data_sectors = data_sectors.saturating_add(1);
                ControlFlow::Continue(())
            }
            Some(Descriptor::Zero { .. }) => ControlFlow::Continue(()),
            None => ControlFlow::Break(()),
        })?;
        if !hold || header.length_with(data_sectors) != Some(u64::from(header.entry_length)) {
            return Ok(false);
        }
        let sectors_hold = |at: u32, piece: &[u8]| {
            let first = descriptors_length.saturating_sub(at).checked_div(SECTOR).unwrap_or(0);
            let mut sectors = piece.as_chunks::<4096>().0.iter().skip(usize::try_from(first).unwrap_or(usize::MAX));
            sectors.all(|sector| data_sector_holds(sector, header.sequence_number))
        };
        Ok(self.checksum(offset, header, None, &sectors_hold)? == Some(header.checksum))
    }

    /// The checksum that an entry should bear, if it bore the GUID `with`. It is read in pieces of whole sectors: it may be as
    /// long as the log, and a log may have 4 GiB. `None` where a piece cannot be read, or where `holds` says no to one; it is
    /// told where in the entry the piece begins.
    pub(super) fn checksum(
        &self,
        offset: u32,
        header: &EntryHeader,
        with: Option<Guid>,
        holds: &dyn Fn(u32, &[u8]) -> bool,
    ) -> Result<Option<u32>> {
        let mut crc = 0;
        let mut done = 0;
        let mut buf = vec![0; usize::try_from(SCAN.min(header.entry_length)).unwrap_or(0)];
        while done < header.entry_length {
            let piece = usize::try_from(header.entry_length.saturating_sub(done)).unwrap_or(0).min(buf.len());
            let Some(buf) = buf.get_mut(..piece) else { return Ok(None) };
            if !self.read(buf, self.advance(offset, done))? || !holds(done, buf) {
                return Ok(None);
            }
            if done == 0 {
                entry::prepare_for_checksum(buf, with);
            }
            crc = crc32c::crc32c_append(crc, buf);
            done = done.saturating_add(u32::try_from(piece).unwrap_or(u32::MAX));
        }
        Ok(Some(crc))
    }

    /// Tells the descriptors of an entry in order until `each` has enough; `None` stands for one that does not hold. They
    /// are read in pieces, for there may be as many as fit into the log; a piece that cannot be read is the last one.
    /// Returns whether all were told and could be read.
    pub(super) fn each_descriptor(
        &self,
        offset: u32,
        header: &EntryHeader,
        each: &mut dyn FnMut(Option<Descriptor>) -> ControlFlow<()>,
    ) -> Result<bool> {
        let length = header.descriptors_length().unwrap_or(0);
        let mut buf = vec![0; usize::try_from(SCAN.min(length)).unwrap_or(0)];
        let mut left = usize::try_from(header.descriptor_count).unwrap_or(usize::MAX);
        let mut done = 0;
        while done < length {
            let piece = usize::try_from(length.saturating_sub(done)).unwrap_or(0).min(buf.len());
            let Some(buf) = buf.get_mut(..piece) else { return Ok(false) };
            let readable = self.read(buf, self.advance(offset, done))?;
            for descriptor in entry::descriptors(buf, done == 0, header.sequence_number).take(left) {
                left = left.saturating_sub(1);
                if each(descriptor).is_break() {
                    return Ok(false);
                }
            }
            if !readable {
                return Ok(false);
            }
            done = done.saturating_add(u32::try_from(piece).unwrap_or(u32::MAX));
        }
        Ok(true)
    }
}
