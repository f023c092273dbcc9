//! One content: read, hashed and written, piece by piece. Holes are left out.
//!
//! Of a long content some pieces are read ahead, several at once: storage that answers late, or has much to do to find the
//! bytes, does not keep the hashing waiting, nor the other way round. Pieces are hashed and written in order.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;

use mount_api::Error;

use super::hashes::Hashing;
use super::pieces::{Piece, Pieces, length};
use super::reader::Reader;
use super::row::Damage;
use super::sink::Output;
use super::stream::{Read, Stream};
use super::{HashKind, Progress};
use crate::bytes::len_u64;

/// Of a file of so many bytes some are read ahead.
const LARGE: u64 = 8 << 20;

/// Threads that read ahead in one file.
const READERS: usize = 4;

/// Pieces of one file that are read ahead, or wait to be hashed: this bounds the memory.
const AHEAD: usize = 8;

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

/// Reads a stream into the output. With `keep` the whole of it stands at the beginning of `buf` then.
pub(super) fn pour(
    stream: Stream<'_>,
    hashes: &[HashKind],
    output: &mut Output<'_>,
    progress: &Progress,
    buf: &mut [u8],
    keep: bool,
) -> Result<Content, Failed> {
    let mut pouring = Pouring { output, progress, hashing: Hashing::new(hashes), content: Content::default() };
    if keep {
        pouring.kept(stream, buf)?;
    } else if stream.size < LARGE {
        pouring.alone(stream, buf)?;
    } else {
        pouring.ahead(stream, buf)?;
    }
    let Pouring { output, hashing, mut content, .. } = pouring;
    output.set_length(stream.size).map_err(Failed::Host)?;
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
    fn alone(&mut self, stream: Stream<'_>, buf: &mut [u8]) -> Result<(), Failed> {
        for piece in Pieces::new(stream) {
            self.go_on()?;
            match piece {
                Piece::Data(range) => {
                    let bytes = buf.get_mut(..length(&range)).unwrap_or_default();
                    let read = stream.read(range.start, bytes);
                    self.take(range.start, bytes, read)?;
                }
                Piece::Hole(range) => self.skip(&range, buf)?,
            }
        }
        Ok(())
    }

    /// As alone, and each piece stays, one behind the other.
    fn kept(&mut self, stream: Stream<'_>, buf: &mut [u8]) -> Result<(), Failed> {
        let mut rest = buf;
        for piece in Pieces::new(stream) {
            self.go_on()?;
            let (Piece::Data(range) | Piece::Hole(range)) = &piece;
            let bytes = rest.split_off_mut(..length(range)).unwrap_or_default();
            match piece {
                Piece::Data(range) => {
                    let read = stream.read(range.start, bytes);
                    self.take(range.start, bytes, read)?;
                }
                Piece::Hole(_) => {
                    bytes.fill(0);
                    self.progress.pass(len_u64(bytes));
                }
            }
        }
        Ok(())
    }

    /// Has some pieces read meanwhile.
    fn ahead(&mut self, stream: Stream<'_>, buf: &mut [u8]) -> Result<(), Failed> {
        std::thread::scope(|scope| {
            let readers: Vec<Reader> = (0..READERS).map_while(|_| Reader::start(scope, stream).ok()).collect();
            // The host gives no more threads.
            if readers.is_empty() {
                return self.alone(stream, buf);
            }
            let mut next = readers.iter().cycle();
            let mut pieces = Pieces::new(stream);
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
