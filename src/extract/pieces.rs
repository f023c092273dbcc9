//! A stream in pieces: what is read at once, and holes.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};

use mount_api::RangeKind;

use super::stream::Stream;

/// Bytes that are read at once, at most.
pub(super) const MOST: usize = 1 << 20;

/// Bytes of a stream whose holes are looked for at once.
const WINDOW: u64 = 64 << 20;

/// A stream of at most so many bytes is read without looking for holes.
const SMALL: u64 = 64 << 10;

/// A part of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// At most [`MOST`] bytes.
    Data(Range<u64>),
    /// Any length of zeros.
    Hole(Range<u64>),
}

/// A stream, cut into pieces.
pub(super) struct Pieces<'a> {
    stream: Stream<'a>,
    at: u64,
    /// The end of what the holes are known of.
    window: u64,
    /// Those that lie ahead.
    holes: VecDeque<Range<u64>>,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(stream: Stream<'a>) -> Self {
        let window = if stream.size > SMALL { 0 } else { stream.size };
        Pieces { stream, at: 0, window, holes: VecDeque::new() }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.at >= self.stream.size {
            return None;
        }
        if self.at >= self.window {
            self.window = self.at.saturating_add(WINDOW).min(self.stream.size);
            self.holes = holes(self.stream, self.at..self.window);
        }
        if let Some(hole) = self.holes.pop_front_if(|hole| hole.start <= self.at) {
            let range = self.at..hole.end;
            self.at = hole.end;
            return Some(Piece::Hole(range));
        }
        let end = self.holes.front().map_or(self.window, |hole| hole.start);
        let range = self.at..end.min(self.at.saturating_add(u64::try_from(MOST).unwrap_or(u64::MAX)));
        self.at = range.end;
        Some(Piece::Data(range))
    }
}

/// The parts of a stream that hold nothing, in order, within `window`; none is empty.
fn holes(stream: Stream<'_>, window: Range<u64>) -> VecDeque<Range<u64>> {
    let mut holes = VecDeque::new();
    let mut at = window.start;
    // What cannot be told is read.
    let _ = stream.tree.ranges(stream.node, window.clone(), &mut |stretch| {
        let range = stretch.range.start.max(at)..stretch.range.end.min(window.end);
        if stretch.kind == RangeKind::Sparse && !range.is_empty() {
            holes.push_back(range.clone());
        }
        at = at.max(range.end);
        ControlFlow::Continue(())
    });
    holes
}

/// Bytes of a piece to be read.
pub(super) fn length(range: &Range<u64>) -> usize {
    usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX).min(MOST)
}
