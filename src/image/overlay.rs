use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::ReadAt;
use crate::Faults;
use crate::bytes::len_u64;
use crate::error::Result;
use crate::ranges::united;
use crate::report::Code;

/// A [`ReadAt`] seen through patches: what a log would have written, without writing it.
///
/// Of a patch that stands elsewhere in the file its place is kept, not its bytes, so a large log costs little memory.
#[derive(Debug)]
pub struct Overlay<R> {
    inner: R,
    size: u64,
    /// By start; never overlapping.
    patches: Arc<BTreeMap<u64, Patched>>,
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
    /// Some bytes, then `length` bytes of the file below from `body_offset` on, then some more. `start` is the first byte of all of
    /// it in the patched file (the patch itself may have been cut by a later one).
    Splice {
        start: u64,
        leading: [u8; 8],
        body_offset: u64,
        length: u32,
        trailing: [u8; 4],
    },
}

/// Collects patches, in the order in which they would have been written. Clones share them until one of the two gets more: a log
/// may hold a million.
#[derive(Debug, Clone, Default)]
pub struct OverlayBuilder {
    patches: Arc<BTreeMap<u64, Patched>>,
    doubtful: Vec<Range<u64>>,
}

impl OverlayBuilder {
    /// The range reads as zeros.
    pub fn zero(&mut self, range: Range<u64>) {
        self.insert(range, Patch::Zero);
    }

    /// From byte `start` on: `leading`, then `length` bytes from byte `body_offset` of the file below on, then `trailing`.
    pub fn splice(&mut self, start: u64, leading: [u8; 8], body_offset: u64, length: u32, trailing: [u8; 4]) {
        let body = start.saturating_add(len_u64(&leading));
        let end = body.saturating_add(u64::from(length)).saturating_add(len_u64(&trailing));
        self.insert(start..end, Patch::Splice { start, leading, body_offset, length, trailing });
    }

    /// The range is served as it lies, and marked doubtful.
    pub fn doubtful(&mut self, range: Range<u64>) {
        self.doubtful.push(range);
    }

    /// Marks what `others` mark.
    pub fn add_doubts(&mut self, others: Self) {
        self.doubtful.extend(others.doubtful);
    }

    /// Takes out what is marked, without what is patched.
    #[must_use]
    pub fn take_doubts(&mut self) -> Self {
        OverlayBuilder { doubtful: std::mem::take(&mut self.doubtful), ..Self::default() }
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
        let patches = Arc::make_mut(&mut self.patches);
        // What reaches into the range from before keeps its head, and its tail where it reaches out again.
        if let Some((&start, &before)) = patches.range(..range.start).next_back()
            && before.end > range.start
        {
            patches.insert(start, Patched { end: range.start, ..before });
            if before.end > range.end {
                patches.insert(range.end, before);
            }
        }
        // What starts within it is gone, but for a tail.
        while let Some((&start, &inside)) = patches.range(range.clone()).next() {
            patches.remove(&start);
            if inside.end > range.end {
                patches.insert(range.end, inside);
            }
        }
        patches.insert(range.start, Patched { end: range.end, with });
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

    /// Whether bytes that stand elsewhere in the file take the place of any of these.
    pub fn any_splice_in(&self, range: &Range<u64>) -> bool {
        let before = self.patches.range(..range.start).next_back().filter(|(_, patch)| patch.end > range.start);
        let mut within = before.into_iter().chain(self.patches.range(range.clone()));
        within.any(|(_, patch)| matches!(patch.with, Patch::Splice { .. }))
    }

    fn read_patch(&self, patch: Patch, piece: &mut [u8], at: u64, faults: &mut Faults) -> Result<()> {
        let Patch::Splice { start, leading, body_offset, length, trailing } = patch else {
            piece.fill(0);
            return Ok(());
        };
        let body = start.saturating_add(len_u64(&leading));
        let tail = body.saturating_add(u64::from(length));
        copy_part(&leading, start, piece, at);
        copy_part(&trailing, tail, piece, at);
        if let Some((from, part)) = part_of(piece, at, &(body..tail)) {
            let below_at = body_offset.saturating_add(from.saturating_sub(body));
            let mut below = Faults::new();
            self.inner.read_at(part, below_at, &mut below)?;
            faults.append_moved(below, below_at, from);
        }
        Ok(())
    }
}

/// The part of `piece`, whose first byte is byte `at`, that lies in `range`, and where that begins.
fn part_of<'a>(piece: &'a mut [u8], at: u64, range: &Range<u64>) -> Option<(u64, &'a mut [u8])> {
    let from = range.start.max(at);
    let to = range.end.min(at.saturating_add(len_u64(piece)));
    let index = |byte: u64| usize::try_from(byte.saturating_sub(at)).ok();
    let part = piece.get_mut(index(from)?..index(to)?).filter(|part| !part.is_empty())?;
    Some((from, part))
}

/// Copies what of `bytes`, the first of which is byte `start`, lies in `piece`, whose first byte is byte `at`.
fn copy_part(bytes: &[u8], start: u64, piece: &mut [u8], at: u64) {
    let range = start..start.saturating_add(len_u64(bytes));
    if let Some((from, part)) = part_of(piece, at, &range)
        && let Ok(skip) = usize::try_from(from.saturating_sub(start))
        && let Some(bytes) = bytes.get(skip..).and_then(|bytes| bytes.get(..part.len()))
    {
        part.copy_from_slice(bytes);
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
            builder.splice(page as u64 * 4096, [mark; 8], body as u64 * 4096 + 4, 4084, [mark; 4]);
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
    fn a_splice_of_any_length_tells_where_its_body_is_lost() {
        let mut builder = OverlayBuilder::default();
        // Its body reaches 6 bytes past the end of what is below.
        builder.splice(10, [1; 8], 90, 16, [2; 4]);
        let overlay = builder.over(vec![7; 100], Code::LogTorn);
        let expected = [vec![7; 10], vec![1; 8], vec![7; 10], vec![0; 6], vec![2; 4], vec![7; 62]].concat();
        for (offset, length) in (0..100).flat_map(|start| (1..=100 - start).map(move |length| (start, length))) {
            let (bytes, faults) = read(&overlay, offset as u64, length);
            assert_eq!(bytes, expected[offset..][..length], "{offset}+{length}");
            let lost: Vec<_> = faults.iter().map(|fault| fault.range.clone()).collect();
            let expected = 28.max(offset as u64)..34.min((offset + length) as u64);
            assert_eq!(lost, if expected.is_empty() { vec![] } else { vec![expected] }, "{offset}+{length}");
        }
    }

    #[test]
    fn clones_share_patches_until_one_gets_more() {
        let mut builder = OverlayBuilder::default();
        builder.zero(0..4096);
        let known = builder.clone();
        builder.doubtful(0..4096);
        assert!(Arc::ptr_eq(&known.patches, &builder.patches), "what is doubtful copies no patches");
        builder.zero(4096..8192);
        assert_eq!((known.len(), builder.len()), (1, 2));
        assert_eq!(read(&known.over(vec![7; 8192], Code::LogTorn), 0, 8192).0[4096..], [7; 4096]);
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
