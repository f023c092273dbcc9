//! The bytes of the disk, in order, into what takes them.

use std::io;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::hasher::Hasher;
use super::state::State;
use super::{Destination, Part, hole};
use crate::bytes::len_u64;
use crate::chain::MergedExtent;
use crate::extract::progress::Progress;
use crate::image::ReadAt;
use crate::report::Code;
use crate::{Fault, FaultKind, Faults};

/// Bytes of the disk that are mapped at once, and read at once.
pub(super) const PIECE: u64 = 64 << 20;
pub(super) const READ: usize = 4 << 20;

/// How often what was done is kept.
const EVERY: Duration = Duration::from_secs(5);

/// Where bytes go.
pub(super) trait Target {
    /// Takes the bytes at `offset` of the part. Pieces come in order.
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Zeros follow, `length` of them; `zeros` are some.
    fn hole(&mut self, zeros: &[u8], length: u64) -> io::Result<()>;

    /// Notes that this much is done, so that an export can go on from there.
    fn keep(&mut self, state: &State) -> io::Result<()>;
}

/// Hands out `length` zeros in pieces of `zeros`, which is not empty.
pub(super) fn in_pieces(length: u64, zeros: &[u8], mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut left = length;
    while left > 0 && !zeros.is_empty() {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
        let piece = zeros.get(..count).unwrap_or_default();
        each(piece)?;
        left = left.saturating_sub(len_u64(piece));
    }
    Ok(())
}

/// Reads the disk and hands out what it holds.
pub(super) struct Writer<'a> {
    pub(super) part: &'a Part<'a>,
    pub(super) hasher: Hasher,
    pub(super) progress: &'a Progress,
}

impl Writer<'_> {
    /// Hashes what an earlier run wrote. False where it was stopped before the end.
    pub(super) fn hash_again(&mut self, out: &mut dyn Destination, length: u64) -> io::Result<bool> {
        let mut at = 0u64;
        while at < length {
            if self.progress.is_stopped() {
                return Ok(false);
            }
            let mut buf = self.hasher.buffer();
            let count = usize::try_from(length.saturating_sub(at)).unwrap_or(usize::MAX).min(READ);
            let piece = buf.get_mut(..count).unwrap_or_default();
            out.read(at, piece)?;
            at = at.saturating_add(len_u64(piece));
            self.hasher.take(buf, count);
        }
        Ok(true)
    }

    /// Copies from where the export stands to the end of the part, or until it is stopped.
    pub(super) fn pour(&mut self, out: &mut dyn Target, state: &mut State) -> io::Result<()> {
        let zeros = vec![0; READ];
        let length = self.part.range.end.saturating_sub(self.part.range.start);
        let mut kept = Instant::now();
        while state.done < length && !self.progress.is_stopped() {
            let start = self.part.range.start.saturating_add(state.done);
            let window = start..start.saturating_add(PIECE).min(self.part.range.end);
            // Past the disk's end, which a cut volume may reach, everything is lost: reading tells.
            let extents = self.part.disk.map(window.clone()).unwrap_or_default();
            let disk = self.part.disk;
            for extent in extents.iter().filter(|extent| hole::is_hole(disk, extent)) {
                self.read(extent.disk.start, out, state)?;
                if self.progress.is_stopped() {
                    return Ok(());
                }
                self.pass(extent, &zeros, out, state)?;
            }
            self.read(window.end, out, state)?;
            if kept.elapsed() >= EVERY {
                out.keep(state)?;
                kept = Instant::now();
            }
        }
        Ok(())
    }

    /// Leaves out a hole, at whose start the export stands.
    fn pass(&mut self, hole: &MergedExtent, zeros: &[u8], out: &mut dyn Target, state: &mut State) -> io::Result<()> {
        let mut faults = Faults::new();
        hole::fault_of(self.part.disk, hole).into_iter().for_each(|fault| faults.push(fault));
        state.add_all(&faults, self.part.range.start);
        let length = hole.disk.end.saturating_sub(hole.disk.start);
        out.hole(zeros, length)?;
        self.hasher.zeros(length);
        self.progress.read(length);
        state.done = state.done.saturating_add(length);
        Ok(())
    }

    /// Copies from where the export stands up to this byte of the disk.
    fn read(&mut self, end: u64, out: &mut dyn Target, state: &mut State) -> io::Result<()> {
        loop {
            let at = self.part.range.start.saturating_add(state.done);
            if at >= end || self.progress.is_stopped() {
                return Ok(());
            }
            let count = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(READ);
            let mut buf = self.hasher.buffer();
            let piece = buf.get_mut(..count).unwrap_or_default();
            let mut faults = Faults::new();
            if let Err(error) = self.part.disk.read_at(piece, at, &mut faults) {
                log::debug!("{error}");
                piece.fill(0);
                faults.clear();
                faults.lost(at..at.saturating_add(len_u64(piece)), Code::HostReadError.as_str());
            }
            state.add_all(&faults, self.part.range.start);
            if is_lost(&faults, &(at..at.saturating_add(len_u64(piece)))) {
                out.hole(piece, len_u64(piece))?;
            } else {
                out.data(state.done, piece)?;
            }
            self.progress.read(len_u64(piece));
            state.done = state.done.saturating_add(len_u64(piece));
            self.hasher.take(buf, count);
        }
    }
}

/// Whether nothing of these bytes is known.
fn is_lost(faults: &Faults, bytes: &Range<u64>) -> bool {
    let covers = |fault: &Fault| fault.range.start <= bytes.start && fault.range.end >= bytes.end;
    faults.iter().any(|fault| fault.kind == FaultKind::Lost && covers(fault))
}
