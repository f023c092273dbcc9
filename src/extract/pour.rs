//! One content: read, hashed and written, piece by piece. Holes are left out.
//!
//! Of a long content some pieces are read ahead, several at once: storage that answers late, or has much to do to find the
//! bytes, does not keep the hashing waiting, nor the other way round. Pieces are hashed and written in order.

use std::collections::VecDeque;
use std::io;
use std::ops::{ControlFlow, Range};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, Scope};

use mount_api::{Error, ErrorKind, Faults, NodeId, RangeKind, Tree};

use super::hashes::Hashing;
use super::row::Damage;
use super::sink::Output;
use super::{HashKind, Progress};
use crate::bytes::len_u64;
use crate::report::Code;

/// Bytes that are read at once.
const READ: usize = 1 << 20;

/// Bytes of a file whose holes are looked for at once.
const WINDOW: u64 = 64 << 20;

/// A file of at most so many bytes is read without looking for holes.
const SMALL: u64 = 64 << 10;

/// Of a file of so many bytes some are read ahead.
const LARGE: u64 = 8 << 20;

/// Threads that read ahead in one file.
const READERS: usize = 4;

/// Pieces of one file that are read ahead, or wait to be hashed: this bounds the memory.
const AHEAD: usize = 8;

/// What one thread reads into.
pub(super) struct Buffer(Vec<u8>);

impl Buffer {
    pub(super) fn new() -> Self {
        Buffer(vec![0; READ])
    }
}

/// Why a content could not be copied.
pub(super) enum Failed {
    /// The whole run is to end.
    Stopped,
    /// It is of a kind that is not read.
    Tree(Error),
    /// The destination did not take it.
    Host(io::Error),
}

/// What was copied of one content.
#[derive(Default)]
pub(super) struct Content {
    pub(super) damage: Damage,
    pub(super) hashes: Vec<(&'static str, String)>,
    /// The last error of reading, where some of it could not be read at all.
    pub(super) error: Option<Error>,
}

/// A content that is to be copied.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) tree: &'a dyn Tree,
    pub(super) node: NodeId,
    /// In bytes, as its metadata say.
    pub(super) size: u64,
}

/// Reads a content into the output.
pub(super) fn pour(
    source: Source<'_>,
    hashes: &[HashKind],
    output: &mut Output<'_>,
    progress: &Progress,
    buf: &mut Buffer,
) -> Result<Content, Failed> {
    let mut pouring = Pouring { output, progress, hashing: Hashing::new(hashes), content: Content::default() };
    if source.size < LARGE {
        pouring.alone(source, &mut buf.0)?;
    } else {
        pouring.ahead(source, &mut buf.0)?;
    }
    let Pouring { output, hashing, mut content, .. } = pouring;
    output.set_length(source.size).map_err(Failed::Host)?;
    content.hashes = hashing.finish();
    Ok(content)
}

struct Pouring<'a, 'o> {
    output: &'a mut Output<'o>,
    progress: &'a Progress,
    hashing: Hashing,
    content: Content,
}

impl Pouring<'_, '_> {
    /// Reads a piece, deals with it, reads the next one.
    fn alone(&mut self, source: Source<'_>, buf: &mut [u8]) -> Result<(), Failed> {
        for piece in Pieces::new(source) {
            self.go_on()?;
            match piece {
                Piece::Data(range) => {
                    let bytes = buf.get_mut(..length(&range)).unwrap_or_default();
                    let read = source.read(range.start, bytes);
                    self.take(range.start, bytes, read)?;
                }
                Piece::Hole(range) => self.skip(&range, buf)?,
            }
        }
        Ok(())
    }

    /// Has some pieces read meanwhile.
    fn ahead(&mut self, source: Source<'_>, buf: &mut [u8]) -> Result<(), Failed> {
        std::thread::scope(|scope| {
            let readers: Vec<Reader> = (0..READERS).map_while(|_| Reader::start(scope, source).ok()).collect();
            // The host gives no more threads.
            if readers.is_empty() {
                return self.alone(source, buf);
            }
            let mut next = readers.iter().cycle();
            let mut pieces = Pieces::new(source);
            let mut under_way = VecDeque::new();
            let mut free: Vec<Vec<u8>> = Vec::new();
            loop {
                while under_way.len() < AHEAD
                    && let Some(piece) = pieces.next()
                {
                    let reader = match &piece {
                        Piece::Data(range) => next.next().inspect(|reader| reader.ask(range, free.pop())),
                        Piece::Hole(_) => None,
                    };
                    under_way.push_back((piece, reader));
                }
                self.go_on()?;
                match under_way.pop_front() {
                    None => return Ok(()),
                    Some((Piece::Hole(range), _)) => self.skip(&range, buf)?,
                    Some((Piece::Data(range), reader)) => {
                        // What one reader is asked for comes in the order of asking.
                        let heard = reader.and_then(|reader| reader.done.recv().ok());
                        let (bytes, read) = heard.ok_or(Failed::Stopped)?;
                        self.take(range.start, &bytes, read)?;
                        free.push(bytes);
                    }
                }
            }
        })
    }

    fn go_on(&self) -> Result<(), Failed> {
        if self.progress.is_stopped() { Err(Failed::Stopped) } else { Ok(()) }
    }

    /// Deals with a piece that was read.
    fn take(&mut self, at: u64, bytes: &[u8], read: Result<Read, Error>) -> Result<(), Failed> {
        let Read { faults, error } = read.map_err(Failed::Tree)?;
        self.content.damage.add_all(&faults);
        if error.is_some() {
            self.content.error = error;
        }
        self.hashing.update(bytes);
        self.output.write(at, bytes).map_err(Failed::Host)?;
        self.progress.read(len_u64(bytes));
        Ok(())
    }

    /// A hole: its zeros are hashed, and not written.
    fn skip(&mut self, hole: &Range<u64>, buf: &mut [u8]) -> Result<(), Failed> {
        let most = buf.len();
        let mut left = hole.end.saturating_sub(hole.start);
        let next = |left: u64| usize::try_from(left).unwrap_or(usize::MAX).min(most);
        buf.get_mut(..next(left)).unwrap_or_default().fill(0);
        while left > 0 {
            self.go_on()?;
            let zeros = buf.get(..next(left)).unwrap_or_default();
            self.hashing.update(zeros);
            self.progress.pass(len_u64(zeros));
            left = left.saturating_sub(len_u64(zeros));
        }
        Ok(())
    }
}

/// What is known of a piece that was read.
struct Read {
    faults: Faults,
    /// Why nothing of it could be read.
    error: Option<Error>,
}

impl Source<'_> {
    /// Fills `piece`; zeros stand for what is lost.
    ///
    /// # Errors
    /// When this content is of a kind that is not read.
    fn read(&self, at: u64, piece: &mut [u8]) -> Result<Read, Error> {
        let mut faults = Faults::new();
        let end = at.saturating_add(len_u64(piece));
        let error = match self.tree.read_at(self.node, at, piece, &mut faults) {
            Ok(read) if read >= piece.len() => None,
            // The content ends before its size: what is missing is lost.
            Ok(read) => {
                piece.get_mut(read..).unwrap_or_default().fill(0);
                let known = len_u64(piece.get(..read).unwrap_or_default());
                faults.lost(at.saturating_add(known)..end, Code::ReadPastEnd.as_str());
                None
            }
            Err(error) if matches!(error.kind(), ErrorKind::Encrypted | ErrorKind::Unsupported) => return Err(error),
            Err(error) => {
                piece.fill(0);
                faults.clear();
                faults.lost(at..end, Code::HostReadError.as_str());
                Some(error)
            }
        };
        Ok(Read { faults, error })
    }
}

/// A thread that reads pieces, in the order that they are asked for.
struct Reader {
    /// Where a piece begins, and what it is to be read into.
    orders: Sender<(u64, Vec<u8>)>,
    done: Receiver<(Vec<u8>, Result<Read, Error>)>,
}

impl Reader {
    /// Starts one; it ends when nobody can ask it any more.
    fn start<'scope>(scope: &'scope Scope<'scope, '_>, source: Source<'scope>) -> io::Result<Self> {
        let (orders, inbox) = channel::<(u64, Vec<u8>)>();
        let (outbox, done) = channel();
        let work = move || {
            for (at, mut piece) in inbox {
                let read = source.read(at, &mut piece);
                if outbox.send((piece, read)).is_err() {
                    break;
                }
            }
        };
        Builder::new().name("read ahead".to_owned()).spawn_scoped(scope, work)?;
        Ok(Reader { orders, done })
    }

    /// Asks for a piece, to be read into `buf`.
    fn ask(&self, range: &Range<u64>, buf: Option<Vec<u8>>) {
        let mut buf = buf.unwrap_or_default();
        buf.resize(length(range), 0);
        // Where it is gone, nothing will be heard of it.
        let _ = self.orders.send((range.start, buf));
    }
}

/// A part of a content.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    /// At most [`READ`] bytes.
    Data(Range<u64>),
    /// Any length of zeros.
    Hole(Range<u64>),
}

/// A content, cut into pieces.
struct Pieces<'a> {
    source: Source<'a>,
    at: u64,
    /// The end of what the holes are known of.
    window: u64,
    /// Those that lie ahead.
    holes: VecDeque<Range<u64>>,
}

impl<'a> Pieces<'a> {
    fn new(source: Source<'a>) -> Self {
        let window = if source.size > SMALL { 0 } else { source.size };
        Pieces { source, at: 0, window, holes: VecDeque::new() }
    }
}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if self.at >= self.source.size {
            return None;
        }
        if self.at >= self.window {
            self.window = self.at.saturating_add(WINDOW).min(self.source.size);
            self.holes = holes(self.source, self.at..self.window);
        }
        if let Some(hole) = self.holes.pop_front_if(|hole| hole.start <= self.at) {
            let range = self.at..hole.end;
            self.at = hole.end;
            return Some(Piece::Hole(range));
        }
        let end = self.holes.front().map_or(self.window, |hole| hole.start);
        let range = self.at..end.min(self.at.saturating_add(u64::try_from(READ).unwrap_or(u64::MAX)));
        self.at = range.end;
        Some(Piece::Data(range))
    }
}

/// The parts of a content that hold nothing, in order, within `window`; none is empty.
fn holes(source: Source<'_>, window: Range<u64>) -> VecDeque<Range<u64>> {
    let mut holes = VecDeque::new();
    let mut at = window.start;
    // What cannot be told is read.
    let _ = source.tree.ranges(source.node, window.clone(), &mut |stretch| {
        let range = stretch.range.start.max(at)..stretch.range.end.min(window.end);
        if stretch.kind == RangeKind::Sparse && !range.is_empty() {
            holes.push_back(range.clone());
        }
        at = at.max(range.end);
        ControlFlow::Continue(())
    });
    holes
}

fn length(range: &Range<u64>) -> usize {
    usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX).min(READ)
}
