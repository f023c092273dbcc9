//! How far a check has come, for whoever wants to show it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What a check is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Reading tables of the links.
    Tables,
    /// Reading payload.
    Payload,
    /// Walking through files.
    Files,
}

/// How far a check has come. Any thread may look at it at any time.
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    done: AtomicU64,
    total: AtomicU64,
    bytes_read: AtomicU64,
    /// What [`Self::bytes_read`] will be at most.
    bytes_in_all: AtomicU64,
    /// Starts of the pieces of the disk that are being read, and the end of all that were begun.
    under_way: Mutex<(BTreeSet<u64>, u64)>,
    stop: Arc<AtomicBool>,
}

impl Progress {
    pub(super) fn begin(&self, phase: Phase, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
        let number = match phase {
            Phase::Tables => 0,
            Phase::Payload => 1,
            Phase::Files => 2,
        };
        self.phase.store(number, Ordering::Relaxed);
    }

    pub(super) fn advance(&self, by: u64) {
        self.done.fetch_add(by, Ordering::Relaxed);
    }

    pub(super) fn read(&self, bytes: u64) {
        self.bytes_read.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes are to be read from now on, at most.
    pub(super) fn expect(&self, bytes: u64) {
        self.bytes_in_all.store(self.bytes_read().saturating_add(bytes), Ordering::Relaxed);
    }

    pub(super) fn piece_begins(&self, start: u64, end: u64) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.0.insert(start);
        under_way.1 = under_way.1.max(end);
    }

    /// Of a piece that began at `start`, or was told to have reached it, all before `reached` is done; it goes on to `end`.
    pub(super) fn reaches(&self, start: u64, reached: u64, end: u64) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.0.remove(&start);
        if reached < end {
            under_way.0.insert(reached);
        }
    }

    /// Set it, and the check stops soon, with what it has found by then.
    #[must_use]
    pub fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// What the check is doing.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Tables,
            1 => Phase::Payload,
            _ => Phase::Files,
        }
    }

    /// How much of the present phase is done, and how much there is: bytes of tables, bytes of the disk, files. 0 where the
    /// whole is not known.
    #[must_use]
    pub fn done(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    /// Bytes that were read so far, of tables and payload.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Bytes of payload that are left to be read, at most.
    #[must_use]
    pub fn left_to_read(&self) -> u64 {
        self.bytes_in_all.load(Ordering::Relaxed).saturating_sub(self.bytes_read())
    }

    /// All bytes of the disk before this one have been looked at: a later check can go on from here.
    #[must_use]
    pub fn position(&self) -> u64 {
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.0.first().copied().unwrap_or(under_way.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_goes_on_from_the_first_byte_that_nobody_has_read() {
        let progress = Progress::default();
        progress.piece_begins(0, 64);
        progress.piece_begins(64, 128);
        assert_eq!(progress.position(), 0);
        progress.reaches(64, 68, 128);
        assert_eq!(progress.position(), 0, "the first piece is under way");
        progress.reaches(0, 4, 64);
        assert_eq!(progress.position(), 4);
        progress.reaches(4, 64, 64);
        assert_eq!(progress.position(), 68);
        progress.reaches(68, 128, 128);
        assert_eq!(progress.position(), 128);
    }
}
