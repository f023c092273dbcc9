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

    pub(super) fn piece_begins(&self, start: u64, end: u64) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.0.insert(start);
        under_way.1 = under_way.1.max(end);
    }

    pub(super) fn piece_ends(&self, start: u64) {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).0.remove(&start);
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

    /// All bytes of the disk before this one have been looked at: a later check can go on from here.
    #[must_use]
    pub fn position(&self) -> u64 {
        let under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.0.first().copied().unwrap_or(under_way.1)
    }
}
