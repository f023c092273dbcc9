use std::collections::BTreeMap;
use std::ops::Range;

use super::ReadAt;
use crate::bytes::len_u64;
use crate::error::Result;
use crate::ranges::united;
use crate::report::Code;
use crate::{Fault, Faults};

/// A [`ReadAt`] seen through patches: what a log would have written, without writing it.
///
/// A patched page is kept as the place in the log where its bytes stand, not as bytes, so a large log costs little
/// memory.
#[derive(Debug)]
pub struct Overlay<R> {
    inner: R,
    size: u64,
    /// By start; never overlapping.
    patches: BTreeMap<u64, Patched>,
    /// Sorted, neither overlapping nor touching; served as they lie and marked.
    doubtful: Vec<Range<u64>>,
    doubt: Code,
}

#[derive(Debug, Clone, Copy)]
struct Patched {
    end: u64,
    with: Patch,
}

/// What stands in the place of a range.
#[derive(Debug, Clone, Copy)]
enum Patch {
    Zero,
    /// A page of a VHDX log: 8 bytes that the descriptor keeps, 4084 bytes of a data sector, 4 bytes that the descriptor
    /// keeps. `start` is the first byte of the whole page in the patched file (the patch itself may have been cut by a
    /// later one).
    LogPage {
        start: u64,
        leading: [u8; 8],
        body_offset: u64,
        trailing: [u8; 4],
    },
}

/// Bytes of a log page that stand in the data sector.
const BODY: u64 = 4084;
/// Bytes of a log page before them.
const LEADING: u64 = 8;
/// Bytes of a log page.
const PAGE: u64 = 4096;

/// Collects patches, in the order in which they would have been written.
#[derive(Debug, Clone, Default)]
pub struct OverlayBuilder {
    patches: BTreeMap<u64, Patched>,
    doubtful: Vec<Range<u64>>,
}

impl OverlayBuilder {
    /// The range reads as zeros.
    pub fn zero(&mut self, range: Range<u64>) {
        self.insert(range, Patch::Zero);
    }

    /// The 4 KiB at `start` read as `leading`, then the 4084 bytes at `body_offset` of the file below, then `trailing`.
    pub fn log_page(&mut self, start: u64, leading: [u8; 8], body_offset: u64, trailing: [u8; 4]) {
        let end = start.saturating_add(PAGE);
        self.insert(start..end, Patch::LogPage { start, leading, body_offset, trailing });
    }

    /// The range is served as it lies, and marked doubtful.
    pub fn doubtful(&mut self, range: Range<u64>) {
        self.doubtful.push(range);
    }

    /// Marks what `others` mark.
    pub fn add_doubts(&mut self, others: Self) {
        self.doubtful.extend(others.doubtful);
    }

    /// The places that are patched, in order.
    pub fn places(&self) -> impl Iterator<Item = Range<u64>> {
        self.patches.iter().map(|(start, patch)| *start..patch.end)
    }

    /// How many separate patches there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.patches.len()
    }

    /// Whether nothing is patched and nothing doubtful.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.patches.is_empty() && self.doubtful.is_empty()
    }

    fn insert(&mut self, range: Range<u64>, with: Patch) {
        if range.is_empty() {
            return;
        }
        // What reaches into the range from before keeps its head, and its tail where it reaches out again.
        if let Some((&start, &before)) = self.patches.range(..range.start).next_back()
            && before.end > range.start
        {
            self.patches.insert(start, Patched { end: range.start, ..before });
            if before.end > range.end {
                self.patches.insert(range.end, before);
            }
        }
        // What starts within it is gone, but for a tail.
        while let Some((&start, &inside)) = self.patches.range(range.clone()).next() {
            self.patches.remove(&start);
            if inside.end > range.end {
                self.patches.insert(range.end, inside);
            }
        }
        self.patches.insert(range.start, Patched { end: range.end, with });
    }

    /// The patched view of `inner`. Doubtful ranges carry the code `doubt`.
    pub fn over<R: ReadAt>(self, inner: R, doubt: Code) -> Overlay<R> {
        let patched_end = self.patches.values().map(|patch| patch.end).max().unwrap_or(0);
        let size = inner.size().max(patched_end);
        Overlay { inner, size, patches: self.patches, doubtful: united(self.doubtful), doubt }
    }
}

impl<R: ReadAt> Overlay<R> {
    /// The ranges that are marked doubtful, in order, without overlaps.
    pub fn doubtful_ranges(&self) -> &[Range<u64>] {
        &self.doubtful
    }

    /// Bytes of what lies below: a log may lead on past its end.
    pub fn size_below(&self) -> u64 {
        self.inner.size()
    }

    /// Whether a page of the log stands in the place of any of these bytes.
    pub fn any_log_page_in(&self, range: &Range<u64>) -> bool {
        let before = self.patches.range(..range.start).next_back().filter(|(_, patch)| patch.end > range.start);
        let mut within = before.into_iter().chain(self.patches.range(range.clone()));
        within.any(|(_, patch)| matches!(patch.with, Patch::LogPage { .. }))
    }

    fn read_patch(&self, patch: Patch, piece: &mut [u8], at: u64, faults: &mut Faults) -> Result<()> {
        let Patch::LogPage { start, leading, body_offset, trailing } = patch else {
            piece.fill(0);
            return Ok(());
        };
        // The page is put together whole and the wanted part taken from it.
        let mut page = [0; 4096];
        let mut below = Faults::new();
        if let Some((head, rest)) = page.split_first_chunk_mut::<8>()
            && let Some((body, tail)) = rest.split_last_chunk_mut::<4>()
        {
            *head = leading;
            *tail = trailing;
            self.inner.read_at(body, body_offset, &mut below)?;
        }
        debug_assert_eq!(LEADING.wrapping_add(BODY), PAGE.wrapping_sub(4));
        let skip = usize::try_from(at.saturating_sub(start)).unwrap_or(usize::MAX);
        if let Some(from) = page.get(skip..).and_then(|from| from.get(..piece.len())) {
            piece.copy_from_slice(from);
        }
        let wanted = at..at.saturating_add(len_u64(piece));
        let mut moved = Faults::new();
        moved.append_moved(below, body_offset, start.saturating_add(LEADING));
        push_within(&moved, &wanted, faults);
        Ok(())
    }
}

/// Adds the parts of `from` that lie in `wanted`.
fn push_within(from: &Faults, wanted: &Range<u64>, faults: &mut Faults) {
    for fault in from {
        let range = fault.range.start.max(wanted.start)..fault.range.end.min(wanted.end);
        faults.push(Fault { range, ..fault.clone() });
    }
}

impl<R: ReadAt> ReadAt for Overlay<R> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        if self.patches.is_empty() && self.doubtful.is_empty() {
            return self.inner.read_at(buf, offset, faults);
        }
        let end = offset.saturating_add(len_u64(buf));
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            let covering = self.patches.range(..=at).next_back().filter(|(_, patch)| patch.end > at);
            let stop = match covering {
                Some((_, patch)) => patch.end,
                None => self.patches.range(at..).next().map_or(end, |(&start, _)| start),
            };
            let count = usize::try_from(stop.min(end).saturating_sub(at)).unwrap_or(usize::MAX).max(1);
            let Some((piece, behind)) = rest.split_at_mut_checked(count.min(rest.len())) else { break };
            match covering {
                Some((_, patch)) => self.read_patch(patch.with, piece, at, faults)?,
                None => self.inner.read_at(piece, at, faults)?,
            }
            at = at.saturating_add(len_u64(piece));
            rest = behind;
        }
        let first = self.doubtful.partition_point(|range| range.end <= offset);
        for doubtful in self.doubtful.iter().skip(first).take_while(|range| range.start < end) {
            let range = doubtful.start.max(offset)..doubtful.end.min(end);
            faults.doubtful(range, self.doubt.as_str());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(overlay: &impl ReadAt, offset: u64, len: usize) -> (Vec<u8>, Faults) {
        let mut buf = vec![0xee; len];
        let mut faults = Faults::new();
        overlay.read_at(&mut buf, offset, &mut faults).unwrap();
        (buf, faults)
    }

    #[test]
    fn later_patches_cover_earlier_ones_and_cut_them() {
        // Below: byte i of page p is p (pages 0 to 15).
        let below: Vec<u8> = (0..16u8).flat_map(|page| vec![page; 4096]).collect();
        let mut expected = below.clone();
        let mut builder = OverlayBuilder::default();
        let mut put = |builder: &mut OverlayBuilder, page: usize, body: usize, mark: u8| {
            builder.log_page(page as u64 * 4096, [mark; 8], body as u64 * 4096 + 4, [mark; 4]);
            expected[page * 4096..][..8].fill(mark);
            expected[page * 4096..][8..4092].fill(body as u8);
            expected[page * 4096..][4092..4096].fill(mark);
        };
        put(&mut builder, 2, 10, 0xa0);
        put(&mut builder, 3, 11, 0xa1);
        put(&mut builder, 4, 12, 0xa2);
        builder.zero(6000..14_000);
        expected[6000..14_000].fill(0);
        builder.zero(100..200);
        expected[100..200].fill(0);
        builder.zero(120..130);
        let overlay = builder.over(below, Code::LogTorn);
        assert_eq!(read(&overlay, 0, 65_536).0, expected);
        let mut seed = 1u64;
        for _ in 0..2000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let offset = (seed >> 33) % 24_000;
            let len = ((seed >> 20) % 9000) as usize;
            assert_eq!(read(&overlay, offset, len).0, expected[offset as usize..][..len], "{offset}+{len}");
        }
    }

    #[test]
    fn patches_past_the_end_make_the_file_longer_and_gaps_are_lost() {
        let mut builder = OverlayBuilder::default();
        builder.zero(8192..12_288);
        let overlay = builder.over(vec![7; 4096], Code::LogTorn);
        assert_eq!(overlay.size(), 12_288);
        let (bytes, faults) = read(&overlay, 0, 12_288);
        assert_eq!(bytes[..4096], [7; 4096]);
        assert!(bytes[4096..].iter().all(|b| *b == 0));
        assert_eq!(faults.worst().map(|f| f.range.clone()), Some(4096..8192));
    }

    #[test]
    fn doubtful_ranges_are_served_and_marked() {
        let mut builder = OverlayBuilder::default();
        builder.doubtful(4096..8192);
        let overlay = builder.over(vec![7; 16_384], Code::LogTorn);
        let (bytes, faults) = read(&overlay, 4000, 200);
        assert_eq!(bytes, [7; 200]);
        let faults: Vec<_> = faults.iter().map(|f| (f.range.clone(), f.kind)).collect();
        assert_eq!(faults, [(4096..4200, crate::FaultKind::Doubtful)]);
    }
}
