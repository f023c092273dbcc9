//! What a VHDX says of each range of the disk: BAT and sector bitmaps, read when they are needed.

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::bat::{BatEntry, BatShape, ENTRY_LENGTH, MIB, PayloadState, SECTORS_PER_CHUNK};
use super::bitmap_noise::Judged;
use super::log::LogState;
use super::overwritten::LastPage;
use super::{sector_bitmap, verify};
use crate::error::{Error, ErrorKind, Result};
use crate::format::Facts;
use crate::image::{Cached, Overlay, ReadAt};
use crate::layer::{ContainerKind, Extent, Geometry, Identity, Layer, Source, Trust, Verified, read_plain};
use crate::report::Code;
use crate::{FaultKind, Faults};

/// One VHDX file.
pub struct Vhdx {
    pub(super) geometry: Geometry,
    pub(super) identity: Identity,
    pub(super) shape: BatShape,
    /// Where the BAT stands in the file.
    pub(super) bat: Range<u64>,
    /// What no block may overlap: the first MiB, the log, the regions.
    pub(super) structures: Vec<Range<u64>>,
    /// Whether the structures that led to the BAT are proven.
    pub(super) trust: Trust,
    /// Metadata was inferred: from this byte of the disk on, the map depends on it.
    pub(super) inferred_from: Option<u64>,
    /// What its metadata tell themselves.
    pub(super) told: Facts,
    pub(super) log_state: LogState,
    /// The file as a replayed log leaves it.
    pub(super) file: Arc<Overlay<Arc<dyn ReadAt>>>,
    /// The same, with a cache for BAT and bitmaps.
    pub(super) tables: Cached<Arc<Overlay<Arc<dyn ReadAt>>>>,
    /// What is known of bits that look like noise.
    pub(super) noise: Judged,
    /// Pages of sector bitmaps, by their place in the file, that are as the log of a closed file has them.
    pub(super) logged_bitmaps: BTreeSet<u64>,
    /// What is known of the page of the BAT that was looked at last.
    pub(super) bat_page: LastPage,
    /// How often not all of what tells of a range could be read.
    pub(super) losses_met: AtomicU64,
}

/// After this many extents `resolve` stops early.
const ENOUGH: usize = 1 << 16;

impl Vhdx {
    /// What state the log was in when the file was opened.
    #[must_use]
    pub fn log_state(&self) -> LogState {
        self.log_state
    }

    /// Whether metadata was inferred.
    #[must_use]
    pub fn is_inferred(&self) -> bool {
        self.inferred_from.is_some()
    }

    /// What its metadata tell themselves; the rest was inferred.
    #[must_use]
    pub fn told(&self) -> Facts {
        self.told
    }

    /// A BAT entry and whether it is proven, or why it cannot be had.
    pub(super) fn entry(&self, number: u64) -> std::result::Result<(BatEntry, Trust), Code> {
        let at = number.checked_mul(ENTRY_LENGTH).and_then(|at| at.checked_add(self.bat.start));
        let at = at.filter(|at| at.saturating_add(ENTRY_LENGTH) <= self.bat.end).ok_or(Code::BatShort)?;
        let mut bytes = [0; 8];
        let trust = self.table_bytes(&mut bytes, at).ok_or(Code::BatUnreadable)?;
        let trust = match self.is_bat_page_overwritten(at) {
            true => worse(trust, Trust::Doubtful(Code::TableOverwritten)),
            false => trust,
        };
        Ok((BatEntry(u64::from_le_bytes(bytes)), trust))
    }

    /// Reads bytes of the BAT: whether they are proven, or `None` where they cannot be had.
    fn table_bytes(&self, buf: &mut [u8], at: u64) -> Option<Trust> {
        self.table_part(buf, at).filter(|(_, lost)| lost.is_empty()).map(|(trust, _)| trust)
    }

    /// Reads bytes of BAT or bitmap: whether they are proven, and where in the file those stand that cannot be had. `None` where
    /// none can.
    pub(super) fn table_part(&self, buf: &mut [u8], at: u64) -> Option<(Trust, Vec<Range<u64>>)> {
        let mut faults = Faults::new();
        let read = self.tables.read_at(buf, at, &mut faults);
        if read.is_err() || faults.any_lost() {
            self.meet_loss();
        }
        read.ok()?;
        let doubt = faults.iter().find(|fault| fault.kind == FaultKind::Doubtful);
        let doubt = doubt.map(|doubt| Trust::Doubtful(Code::named(doubt.code).unwrap_or(Code::LogTorn)));
        let lost = faults.iter().filter(|fault| fault.kind == FaultKind::Lost).map(|fault| fault.range.clone());
        Some((doubt.unwrap_or(self.trust), lost.collect()))
    }

    /// Not all of what tells of a range could be read: what is made of the rest holds for now.
    pub(super) fn meet_loss(&self) {
        self.losses_met.fetch_add(1, Ordering::Relaxed);
    }

    /// Where a claimed block of `length` bytes stands, or why it cannot stand there.
    pub(super) fn claimed(&self, entry: BatEntry, length: u64) -> std::result::Result<u64, Code> {
        if !entry.is_aligned() {
            return Err(Code::BlockMisaligned);
        }
        let start = entry.file_offset();
        let end = start.checked_add(length).ok_or(Code::BlockPastEnd)?;
        if self.structures.iter().any(|s| s.start < end && start < s.end) {
            Err(Code::BlockOnStructure)
        } else if start >= self.file.size() {
            Err(Code::BlockPastEnd)
        } else {
            Ok(start)
        }
    }

    /// Adds the extents of `disk`, which lies within one block.
    fn resolve_block(&self, block: u64, disk: Range<u64>, out: &mut Extents<'_>) {
        let (entry, trust) = match self.entry(self.shape.payload_entry(block)) {
            Ok(known) => known,
            Err(code) => return out.push(disk, Source::Lost(code), self.trust),
        };
        let inferred = self.inferred_from.is_some_and(|from| disk.start >= from);
        let trust = if inferred { worse(trust, Trust::Doubtful(Code::MetadataInferred)) } else { trust };
        // No writer sets reserved bits: something else was written over the entry, and its state is as good as none.
        let trust = if entry.is_aligned() { trust } else { worse(trust, Trust::Doubtful(Code::BlockMisaligned)) };
        let has_parent = self.identity.kind == ContainerKind::Differencing;
        let whole = match entry.payload_state() {
            PayloadState::NotPresent if has_parent => Source::Parent,
            PayloadState::NotPresent
            | PayloadState::Undefined
            | PayloadState::Zero
            | PayloadState::Unmapped
            | PayloadState::OldUnmapped => Source::Zero,
            PayloadState::Reserved => Source::Lost(Code::BlockStateReserved),
            PayloadState::PartiallyPresent if !has_parent => Source::Lost(Code::BlockPartialWithoutParent),
            PayloadState::PartiallyPresent => return self.resolve_partial(block, entry, trust, disk, out),
            PayloadState::FullyPresent => match self.claimed(entry, self.shape.block_size) {
                Ok(start) => return self.push_data(self.in_block(block, start, disk.start), disk, trust, out),
                Err(code) => Source::Lost(code),
            },
        };
        out.push(disk, whole, trust);
    }

    /// Where the byte `at` of the disk stands in the file, when its block starts at `start`.
    fn in_block(&self, block: u64, start: u64, at: u64) -> u64 {
        let block_start = block.saturating_mul(self.shape.block_size);
        start.saturating_add(at.saturating_sub(block_start))
    }

    /// Adds data at `file_offset`, and what of it lies past the end of the file as lost.
    fn push_data(&self, file_offset: u64, disk: Range<u64>, trust: Trust, out: &mut Extents<'_>) {
        let length = disk.end.saturating_sub(disk.start);
        let there = self.file.size().saturating_sub(file_offset).min(length);
        let split = disk.start.saturating_add(there);
        out.push(disk.start..split, Source::Data { file_offset }, trust);
        out.push(split..disk.end, Source::Lost(Code::BlockPastEnd), trust);
    }

    /// Adds the extents of a block of which some sectors stand in this file and some in the parent.
    fn resolve_partial(&self, block: u64, entry: BatEntry, trust: Trust, disk: Range<u64>, out: &mut Extents<'_>) {
        let bitmap = match self.bitmap_of(block) {
            Ok(bitmap) => bitmap,
            Err(code) => return out.push(disk, Source::Lost(code), trust),
        };
        let data = self.claimed(entry, self.shape.block_size);
        // An entry that leads onto a structure was never written so: that it is this state is not proven either.
        let trust = match data {
            Err(code @ Code::BlockOnStructure) => worse(trust, Trust::Doubtful(code)),
            _ => trust,
        };
        let sector_size = self.shape.logical_sector_size;
        let chunk_start = self.shape.chunk(block).saturating_mul(SECTORS_PER_CHUNK).saturating_mul(sector_size);
        let sector = |at: u64| at.saturating_sub(chunk_start).checked_div(sector_size).unwrap_or(0);
        let disk_at = |sector: u64| chunk_start.saturating_add(sector.saturating_mul(sector_size));

        // Whether the block has no bit at all is asked where those at hand tell nothing.
        let mut is_without = None;
        let mut at = disk.start;
        while at < disk.end {
            let first = sector(at);
            let first_byte = first >> 3;
            let last = disk.end.saturating_sub(chunk_start).div_ceil(sector_size);
            let window = self.window_at(block, at);
            let stop = last.min(sector(window.end));
            let mut buf = vec![0; usize::try_from(stop.div_ceil(8).saturating_sub(first_byte)).unwrap_or(0)];
            let bits_at = bitmap.0.saturating_add(first_byte);
            let piece = at..disk_at(stop).min(disk.end);
            at = piece.end;
            let Some((bits_trust, lost)) = self.table_part(&mut buf, bits_at) else {
                out.push(piece, Source::Lost(Code::BitmapUnreadable), trust);
                continue;
            };
            let trust = worse(worse(trust, bitmap.1), bits_trust);
            let trust = match buf.iter().all(|byte| *byte == 0)
                && *is_without.get_or_insert_with(|| self.is_without_sectors(block, bitmap.0))
            {
                true => worse(trust, Trust::Doubtful(Code::BitmapEmpty)),
                false => trust,
            };
            let trust = match data.is_ok_and(|start| self.may_be_noise(block, &window, bitmap.0, start)) {
                true => worse(trust, Trust::Doubtful(Code::BitmapNoise)),
                false => trust,
            };
            let trust = match self.is_bitmap_page_overwritten(bits_at) {
                true => worse(trust, Trust::Doubtful(Code::TableOverwritten)),
                false => trust,
            };
            let bit = |at: u64| at.saturating_sub(bitmap.0).saturating_mul(8);
            let lost: Vec<Range<u64>> = lost.iter().map(|bytes| bit(bytes.start)..bit(bytes.end)).collect();
            for (sectors, here) in sector_bitmap::runs_but(&buf, first_byte.saturating_mul(8), first..stop, &lost) {
                let run = disk_at(sectors.start).max(piece.start)..disk_at(sectors.end).min(piece.end);
                match (here, data) {
                    (None, _) => out.push(run, Source::Lost(Code::BitmapUnreadable), trust),
                    (Some(false), _) => out.push(run, Source::Parent, trust),
                    (Some(true), Ok(start)) => {
                        self.push_data(self.in_block(block, start, run.start), run, trust, out);
                    }
                    (Some(true), Err(code)) => out.push(run, Source::Lost(code), trust),
                }
            }
        }
    }

    /// Where the sector bitmap of a block's chunk stands in the file, and whether that is proven.
    fn bitmap_of(&self, block: u64) -> std::result::Result<(u64, Trust), Code> {
        let (entry, trust) = self.entry(self.shape.bitmap_entry(self.shape.chunk(block)))?;
        if !entry.bitmap_present() {
            return Err(Code::BitmapMissing);
        }
        Ok((self.claimed(entry, MIB)?, trust))
    }
}

fn worse(a: Trust, b: Trust) -> Trust {
    if a == Trust::Proven { b } else { a }
}

/// Collects extents and joins those that go on where the one before ends.
struct Extents<'a> {
    out: &'a mut Vec<Extent>,
    /// How many there were before; those are not touched.
    before: usize,
}

impl Extents<'_> {
    fn push(&mut self, disk: Range<u64>, source: Source, trust: Trust) {
        if disk.is_empty() {
            return;
        }
        if self.out.len() > self.before
            && let Some(last) = self.out.last_mut()
            && last.disk.end == disk.start
            && last.trust == trust
            && goes_on(last, source)
        {
            last.disk.end = disk.end;
            return;
        }
        self.out.push(Extent { disk, source, trust });
    }
}

fn goes_on(last: &Extent, next: Source) -> bool {
    match (last.source, next) {
        (Source::Data { file_offset: a }, Source::Data { file_offset: b }) => {
            a.checked_add(last.disk.end.saturating_sub(last.disk.start)) == Some(b)
        }
        (a, b) => a == b,
    }
}

impl Layer for Vhdx {
    fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn resolve(&self, disk: Range<u64>, out: &mut Vec<Extent>) -> Result<u64> {
        if disk.end > self.geometry.virtual_size {
            return Err(Error::new(ErrorKind::Usage, "a range past the end of the disk was asked for"));
        }
        let mut extents = Extents { before: out.len(), out };
        let mut at = disk.start;
        while at < disk.end && extents.out.len().saturating_sub(extents.before) < ENOUGH {
            let block = at.checked_div(self.shape.block_size).unwrap_or(0);
            let block_end = block.saturating_add(1).saturating_mul(self.shape.block_size);
            let end = block_end.min(disk.end);
            self.resolve_block(block, at..end, &mut extents);
            at = end;
        }
        Ok(at)
    }

    fn read_data(&self, extent: &Extent, buf: &mut [u8], faults: &mut Faults) -> Result<()> {
        read_plain(&self.file, extent, buf, faults)
    }

    fn past_end(&self) -> Trust {
        match self.inferred_from {
            Some(from) if from <= self.geometry.virtual_size => Trust::Doubtful(Code::MetadataInferred),
            _ => self.trust,
        }
    }

    fn losses_met(&self) -> u64 {
        self.losses_met.load(Ordering::Relaxed)
    }

    fn table_length(&self) -> u64 {
        self.bat_in_use().end.saturating_sub(self.bat.start)
    }

    fn verify(&self, disk: Range<u64>, tell: &mut dyn FnMut(Verified) -> ControlFlow<()>) {
        verify::verify(self, disk, tell);
    }
}
