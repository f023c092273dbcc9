use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use super::ReadAt;
use crate::bytes::len_u64;
use crate::error::Result;
use crate::report::Code;
use crate::{FaultKind, Faults};

/// What a look at an open image tells, without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// Its length in bytes.
    pub size: u64,
    /// When it was last written to, where the host says.
    pub modified: Option<SystemTime>,
}

/// Something that can be looked at without reading it.
pub trait Observe {
    /// How it stands now; `None` where that cannot be told.
    fn observe(&self) -> Option<Observed>;
}

/// Whether an open image was written to by somebody else.
pub trait Changes: Send + Sync {
    /// Whether it has changed since it was opened, as far as was seen. Looks at it now, unless that was done a moment ago.
    fn has_changed(&self) -> bool;
}

/// Tells when an image changes while it is open: what is read from then on is doubtful.
///
/// The image is looked at after a read, once a second at most, so that what was read is told of too. A change within
/// that second may go unnoticed for the rest of it. Times of access do not count, nor do names: a file that is replaced
/// or removed is read on as it was. A file that only grows has changed as well: a running machine writes to it, and
/// where it writes next nobody knows.
#[derive(Debug)]
pub struct Watched<R> {
    inner: R,
    /// For messages.
    path: PathBuf,
    interval: Duration,
    first: Option<Observed>,
    opened: Instant,
    /// When to look again, in nanoseconds after `opened`.
    next_look: AtomicU64,
    changed: AtomicBool,
}

const SECOND: Duration = Duration::from_secs(1);

impl<R: ReadAt + Observe> Watched<R> {
    /// Watches `inner`, which has just been opened from `path`. `before` is what was seen of it when it was opened.
    pub fn new(inner: R, path: impl Into<PathBuf>, before: Option<Observed>) -> Self {
        Self::with_interval(inner, path, before, SECOND)
    }

    /// The same, with other pauses between two looks.
    pub fn with_interval(inner: R, path: impl Into<PathBuf>, before: Option<Observed>, interval: Duration) -> Self {
        Watched {
            inner,
            path: path.into(),
            interval,
            first: before,
            opened: Instant::now(),
            next_look: AtomicU64::new(nanos(interval)),
            changed: AtomicBool::new(false),
        }
    }

    /// The same image, doubtful from the first byte on: something may write to it that no look would tell of.
    #[must_use]
    pub fn doubted(self) -> Self {
        self.changed.store(true, Ordering::Release);
        self
    }

    fn note_change(&self, how: &str) {
        if !self.changed.swap(true, Ordering::AcqRel) {
            log::warn!(
                "{}: something wrote to this image while it is open ({how}): what is read from it now is doubtful, and fails without \
                 --accept-doubtful; stop what writes to it, or work on a copy, and open it again",
                self.path.display()
            );
        }
    }
}

impl<R: ReadAt + Observe> Changes for Watched<R> {
    fn has_changed(&self) -> bool {
        if self.changed.load(Ordering::Acquire) {
            return true;
        }
        let Some(first) = self.first else { return false };
        let now = nanos(self.opened.elapsed());
        let due = self.next_look.load(Ordering::Relaxed);
        let next = now.saturating_add(nanos(self.interval));
        // One reader looks, the others go on.
        if now < due || self.next_look.compare_exchange(due, next, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return false;
        }
        match self.inner.observe() {
            Some(seen) if seen != first => {
                self.note_change(&match first.size == seen.size {
                    true => "its time of change is another".to_owned(),
                    false => format!("its size was {} bytes and is {}", first.size, seen.size),
                });
                true
            }
            _ => false,
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl<R: ReadAt + Observe> ReadAt for Watched<R> {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        let mut below = Faults::new();
        self.inner.read_at(buf, offset, &mut below)?;
        if below.iter().any(|fault| fault.code == Code::ImageShrank.as_str()) {
            self.note_change("it has become shorter");
        }
        if self.has_changed() {
            doubt_the_rest(offset..offset.saturating_add(len_u64(buf)), &mut below);
        }
        faults.append_moved(below, 0, 0);
        Ok(())
    }
}

/// Marks what of `range` is not lost as doubtful. Lost ranges are in order.
fn doubt_the_rest(range: Range<u64>, faults: &mut Faults) {
    let mut doubtful = Vec::new();
    let mut at = range.start;
    for fault in faults.iter().filter(|fault| fault.kind == FaultKind::Lost) {
        doubtful.push(at..fault.range.start.max(at));
        at = at.max(fault.range.end);
    }
    doubtful.push(at..range.end.max(at));
    for part in doubtful {
        faults.doubtful(part, Code::ImageChanged.as_str());
    }
}

#[cfg(test)]
mod tests;
