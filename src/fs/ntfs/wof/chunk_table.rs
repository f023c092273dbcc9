//! The chunk table at the start of `WofCompressedData`: where each chunk but the first begins, counted from the end of the
//! table. A chunk ends where the next one begins, the last one with the stream.

use std::ops::Range;
use std::sync::Arc;

use mount_api::{Error, Fault, FaultKind, Faults};

use super::super::cache::Cache;
use super::super::losses::{Holds, Losses};
use super::super::stream::Stream;
use super::super::volume::Volume;
use super::super::{to_u64, to_usize};
use crate::bytes::{u32_le, u64_le};
use crate::report::Code;

/// Chunks whose places are read at once.
const PAGE: u64 = 1024;
/// Bytes of the table that are kept of each file.
const KEPT: usize = 64 << 10;

/// Where a chunk stands in the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// These bytes, and why that is doubtful, if it is.
    At(Range<u64>, Option<Fault>),
    /// Not known; why.
    Lost(Fault),
}

/// The chunk table of a file.
pub(super) struct ChunkTable {
    chunks: u64,
    /// Bytes of an entry.
    entry: usize,
    pages: Cache<u64, Page>,
}

/// A part of the table.
struct Page {
    /// The chunk that the first entry here is about.
    first: u64,
    bytes: Vec<u8>,
    /// Counted from the start of the stream.
    faults: Faults,
}

impl ChunkTable {
    /// The table of a file of `size` bytes in chunks of `chunk_size`.
    pub(super) fn new(size: u64, chunk_size: u64, losses: &Losses) -> Self {
        let entry = if u32::try_from(size).is_ok() { 4 } else { 8 };
        let chunks = size.checked_next_multiple_of(chunk_size).unwrap_or(u64::MAX).checked_div(chunk_size);
        ChunkTable { chunks: chunks.unwrap_or(0), entry, pages: Cache::new(KEPT, losses) }
    }

    /// Bytes of the table. The chunks follow.
    pub(super) fn length(&self) -> u64 {
        self.offset(self.chunks.max(1))
    }

    /// About how many bytes of memory it may take.
    pub(super) fn weight(&self) -> usize {
        to_usize(self.length()).min(KEPT)
    }

    /// Where the entry of a chunk, which is not the first one, stands in the stream.
    fn offset(&self, chunk: u64) -> u64 {
        chunk.saturating_sub(1).saturating_mul(to_u64(self.entry))
    }

    /// Where a chunk stands in `packed`.
    ///
    /// # Errors
    /// When the host refused.
    pub(super) fn place(&self, packed: &Stream, volume: &Volume, chunk: u64) -> Result<Place, Error> {
        let page = self.page(packed, volume, chunk)?;
        let next = chunk.saturating_add(1);
        let faults = || {
            let entries =
                self.offset(chunk.max(1))..self.offset(next.min(self.chunks.saturating_sub(1)).saturating_add(1));
            page.faults.iter().filter(move |fault| fault.range.start < entries.end && entries.start < fault.range.end)
        };
        if let Some(fault) = faults().find(|fault| fault.kind == FaultKind::Lost) {
            return Ok(Place::Lost(fault.clone()));
        }
        let table = self.length();
        let start = match chunk {
            0 => Some(table),
            _ => self.entry(&page, chunk).and_then(|entry| entry.checked_add(table)),
        };
        let end = match self.chunks.checked_sub(next) {
            None | Some(0) => Some(packed.size()),
            Some(_) => self.entry(&page, next).and_then(|entry| entry.checked_add(table)),
        };
        let range = start.zip(end).filter(|(start, end)| start < end && *end <= packed.size());
        Ok(match range {
            Some((start, end)) => Place::At(start..end, faults().next().cloned()),
            None => Place::Lost(broken()),
        })
    }

    fn entry(&self, page: &Page, chunk: u64) -> Option<u64> {
        let at = to_usize(chunk.checked_sub(page.first)?).checked_mul(self.entry)?;
        match self.entry {
            4 => u32_le(&page.bytes, at).map(u64::from),
            _ => u64_le(&page.bytes, at),
        }
    }

    /// The entries of `chunk`, the one after it, and some around them.
    fn page(&self, packed: &Stream, volume: &Volume, chunk: u64) -> Result<Arc<Page>, Error> {
        let number = chunk.checked_div(PAGE).unwrap_or(0);
        if let Some(page) = self.pages.get(&number) {
            return Ok(page);
        }
        let start = number.saturating_mul(PAGE);
        let first = start.max(1);
        // With the entry of the first chunk of the next page, where the last one of this page ends.
        let end = start.saturating_add(PAGE).saturating_add(1).min(self.chunks.max(1));
        let (from, to) = (self.offset(first), self.offset(end));
        let mut page = Page { first, bytes: vec![0; to_usize(to.saturating_sub(from))], faults: Faults::new() };
        let read = packed.read(volume, from, &mut page.bytes, &mut page.faults)?;
        page.bytes.truncate(read);
        let page = Arc::new(page);
        // What the storage does not give now it may give later.
        if page.faults.is_empty() {
            self.pages.insert(number, Arc::clone(&page), page.bytes.len(), Holds::ForGood);
        }
        Ok(page)
    }
}

/// A fault of what is not lost, but breaks the rules.
pub(super) fn broken() -> Fault {
    Fault { range: 0..0, kind: FaultKind::Lost, code: Code::NtfsCompressionBad.as_str(), link: None }
}
