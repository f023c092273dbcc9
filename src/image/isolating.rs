use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::ReadAt;
use super::bad_places::BadPlaces;
use super::range_set::cut;
use crate::Faults;
use crate::bytes::len_u64;
use crate::error::{Error, Result};
use crate::report::Code;

/// Turns a read that fails as a whole into one that loses only the pieces that cannot be read.
///
/// Storage fails by sectors; a request that spans a bad one fails altogether. So a failed request is tried again, and
/// then asked for in ever smaller pieces, down to 4 KiB (aligned to 4 KiB); only those that fail by themselves are lost.
/// They are remembered: the next read goes around them. No lock is held while anything is read.
///
/// A failing disk can take many seconds for one sector. So a request that has waited for long enough loses what it has
/// not tried yet; that is tried again later. Each request isolates one bad piece at least, so that asking again leads on.
///
/// Errors that tell of the way to the storage (a server that does not answer, a handle that has become stale) are not
/// those of a place: nothing is isolated then, and the next read tries again what was tried.
#[derive(Debug)]
pub struct Isolating<R> {
    inner: R,
    patience: Patience,
    places: BadPlaces,
    /// How long reads that failed have taken in all, in milliseconds.
    waited: AtomicU64,
}

/// After this long in all, in milliseconds, it is told that the storage fails, and that this takes time.
const LONG: u64 = 1000;

/// `waited` where that was told: more than any waiting takes.
const TOLD: u64 = 1 << 60;

/// How long is waited for storage that fails.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Pauses before a failed read is tried again: as many tries. A request gets them once.
    pub pauses: [Duration; 2],
    /// A read that took this long to fail was tried again by the storage itself: it is cut into the smallest pieces at
    /// once, for what costs time then is failures.
    pub slow: Duration,
    /// After this time a request tries no more: as soon as a piece is isolated, or the way to the storage fails.
    pub limit: Duration,
    /// After this time what was not tried is tried again.
    pub rest: Duration,
}

impl Default for Patience {
    /// Pauses of 50 and 250 ms; 100 ms are slow; 20 s for a request; a minute for what was not tried.
    fn default() -> Self {
        Patience {
            pauses: [Duration::from_millis(50), Duration::from_millis(250)],
            slow: Duration::from_millis(100),
            limit: Duration::from_secs(20),
            rest: Duration::from_secs(60),
        }
    }
}

/// The unit in which loss is isolated: the sector of modern storage, and no larger than the page of any cache above.
const PIECE: u64 = 4096;

/// A failed range is cut into so many parts: one bad piece in 1 MiB costs 16 reads, a MiB of them 340.
const PARTS: u64 = 4;

/// What one request has cost so far.
struct Effort {
    began: Instant,
    /// Pauses that it has made.
    pauses: usize,
    /// It tries nothing more.
    given_up: bool,
}

/// A read that failed.
struct Failure {
    slow: bool,
    of_a_place: bool,
}

impl<R: ReadAt> Isolating<R> {
    /// Isolates the failures of `inner`.
    pub fn new(inner: R) -> Self {
        Self::with_patience(inner, Patience::default())
    }

    /// The same, with more or less patience.
    pub fn with_patience(inner: R, patience: Patience) -> Self {
        Isolating { inner, patience, places: BadPlaces::default(), waited: AtomicU64::new(0) }
    }

    fn attempt(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> std::result::Result<(), Failure> {
        let mut below = Faults::new();
        let began = Instant::now();
        let error = match self.inner.read_at(buf, offset, &mut below) {
            Ok(()) => {
                faults.append_moved(below, 0, 0);
                return Ok(());
            }
            Err(error) => error,
        };
        log::debug!("{error}");
        self.tell_waiting(began.elapsed(), &error);
        Err(Failure { slow: began.elapsed() >= self.patience.slow, of_a_place: is_of_a_place(&error) })
    }

    /// Says once that the storage fails, where that has cost seconds.
    fn tell_waiting(&self, took: Duration, error: &Error) {
        let waited = self.waited.fetch_add(millis(took), Ordering::Relaxed);
        let now = waited.saturating_add(millis(took));
        if now >= LONG && self.waited.fetch_max(TOLD, Ordering::Relaxed) < TOLD {
            log::warn!(
                "{error}: the storage fails; what cannot be read is tried again and then left out, which takes time"
            );
        }
    }

    /// Reads a stretch in which nothing is known to be bad.
    fn read_stretch(&self, buf: &mut [u8], offset: u64, effort: &mut Effort, faults: &mut Faults) {
        if effort.given_up {
            return self.skip(buf, offset, faults);
        }
        let mut outcome = self.attempt(buf, offset, faults);
        while let Err(failure) = &outcome
            && !failure.slow
            && let Some(pause) = self.patience.pauses.get(effort.pauses)
        {
            effort.pauses = effort.pauses.saturating_add(1);
            std::thread::sleep(*pause);
            self.waited.fetch_add(millis(*pause), Ordering::Relaxed);
            outcome = self.attempt(buf, offset, faults);
        }
        match outcome {
            Ok(()) => {}
            Err(failure) if failure.of_a_place => self.isolate(buf, offset, failure.slow, effort, faults),
            Err(_) => {
                lose(buf, offset, Code::HostReadError, faults);
                effort.given_up = effort.began.elapsed() >= self.patience.limit;
            }
        }
    }

    /// Reads the pieces of a stretch that failed as a whole.
    fn isolate(&self, buf: &mut [u8], offset: u64, slow: bool, effort: &mut Effort, faults: &mut Faults) {
        let whole = offset..offset.saturating_add(len_u64(buf));
        // Ranges to be read, the next one last.
        effort.given_up = is_leaf(&whole) && effort.began.elapsed() >= self.patience.limit;
        let mut todo = Vec::new();
        self.divide(buf, offset, whole, slow, &mut todo, faults);
        loop {
            // Only after a piece was isolated, so that asking again leads on, or where the way to the storage fails.
            if effort.given_up {
                let untried = todo.last().zip(todo.first()).map(|(next, last)| next.start..last.end);
                if let Some(untried) = untried
                    && let Some(piece) = part(buf, offset, &untried)
                {
                    self.skip(piece, untried.start, faults);
                }
                return;
            }
            let Some(range) = todo.pop() else { return };
            let Some(piece) = part(buf, offset, &range) else { continue };
            let Err(failure) = self.attempt(piece, range.start, faults) else { continue };
            let leads_on = is_leaf(&range) || !failure.of_a_place;
            effort.given_up = leads_on && effort.began.elapsed() >= self.patience.limit;
            if failure.of_a_place {
                self.divide(buf, offset, range, failure.slow, &mut todo, faults);
            } else {
                lose(piece, range.start, Code::HostReadError, faults);
            }
        }
    }

    /// Puts the parts of a range that failed before all that is to be read; the smallest piece is lost.
    fn divide(
        &self,
        buf: &mut [u8],
        offset: u64,
        range: Range<u64>,
        slow: bool,
        todo: &mut Vec<Range<u64>>,
        faults: &mut Faults,
    ) {
        if is_leaf(&range) {
            if let Some(piece) = part(buf, offset, &range) {
                lose(piece, range.start, Code::HostReadError, faults);
            }
            let start = floor(range.start);
            self.places.bad(start..start.saturating_add(PIECE).min(self.inner.size().max(range.end)));
            return;
        }
        let length = range.end.saturating_sub(range.start);
        let step = if slow { PIECE } else { length.div_ceil(PARTS).next_multiple_of(PIECE) };
        let first = todo.len();
        let mut at = range.start;
        while at < range.end {
            let next = floor(at.saturating_add(step)).clamp(at.saturating_add(1), range.end);
            todo.push(at..next);
            at = next;
        }
        if let Some(parts) = todo.get_mut(first..) {
            parts.reverse();
        }
    }

    /// Loses what was not tried, and remembers not to try it for a while.
    fn skip(&self, buf: &mut [u8], at: u64, faults: &mut Faults) {
        let range = at..at.saturating_add(len_u64(buf));
        log::debug!("bytes {range:?} are not tried: the storage took too long to fail before them");
        if let Some(until) = Instant::now().checked_add(self.patience.rest) {
            self.places.skip(range, until);
        }
        lose(buf, at, Code::HostReadSkipped, faults);
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The last multiple of 4 KiB.
fn floor(at: u64) -> u64 {
    at.saturating_sub(at.checked_rem(PIECE).unwrap_or(0))
}

/// Whether a range lies in one piece.
fn is_leaf(range: &Range<u64>) -> bool {
    range.end <= floor(range.start).saturating_add(PIECE)
}

/// The bytes of `range` in a buffer that begins at `offset`.
fn part<'a>(buf: &'a mut [u8], offset: u64, range: &Range<u64>) -> Option<&'a mut [u8]> {
    let from = usize::try_from(range.start.checked_sub(offset)?).ok()?;
    let to = usize::try_from(range.end.checked_sub(offset)?).ok()?;
    buf.get_mut(from..to)
}

fn lose(buf: &mut [u8], at: u64, code: Code, faults: &mut Faults) {
    super::lose_tail(buf, 0, at, code, faults);
}

/// Whether an error tells of bytes that cannot be read, rather than of the way to them. What is not known is of a place.
fn is_of_a_place(error: &Error) -> bool {
    use std::io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, HostUnreachable, Interrupted, NetworkDown, NetworkUnreachable,
        NotConnected, OutOfMemory, PermissionDenied, StaleNetworkFileHandle, TimedOut, WouldBlock,
    };
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<std::io::Error>());
    !cause.is_some_and(|cause| {
        matches!(
            cause.kind(),
            BrokenPipe
                | ConnectionAborted
                | ConnectionReset
                | HostUnreachable
                | Interrupted
                | NetworkDown
                | NetworkUnreachable
                | NotConnected
                | OutOfMemory
                | PermissionDenied
                | StaleNetworkFileHandle
                | TimedOut
                | WouldBlock
        )
    })
}

impl<R: ReadAt> ReadAt for Isolating<R> {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        let mut effort = Effort { began: Instant::now(), pauses: 0, given_up: false };
        let known = self.places.within(&(offset..offset.saturating_add(len_u64(buf))));
        cut(buf, offset, known, |piece, at, why| match why {
            Some(code) => lose(piece, at, code, faults),
            None => self.read_stretch(piece, at, &mut effort, faults),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests;
