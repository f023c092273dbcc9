//! How far an extraction has come, and a way to stop it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::row::Verdict;

/// How far an extraction has come. Any thread may look at it at any time.
#[derive(Debug, Default)]
pub struct Progress {
    stop: Arc<AtomicBool>,
    read: AtomicU64,
    passed: AtomicU64,
    counts: [AtomicU64; Verdict::ALL.len()],
}

impl Progress {
    /// That of a run which ends when `stop` is set: one of several, for instance.
    #[must_use]
    pub fn stopped_by(stop: &Arc<AtomicBool>) -> Self {
        Progress { stop: Arc::clone(stop), ..Progress::default() }
    }

    /// Set it, and the extraction ends soon; what is being written is removed again.
    #[must_use]
    pub fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Whether it is to end.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Bytes of content read so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes of content dealt with so far: those read, and those that need not be, such as holes and what an earlier run wrote.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.passed.load(Ordering::Relaxed)
    }

    /// How many files, folders and streams got a verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> u64 {
        self.counter(verdict).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    pub(super) fn read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
        self.pass(bytes);
    }

    pub(super) fn pass(&self, bytes: u64) {
        self.passed.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn done(&self, verdict: Verdict) {
        if let Some(counter) = self.counter(verdict) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn counter(&self, verdict: Verdict) -> Option<&AtomicU64> {
        let position = Verdict::ALL.iter().position(|one| *one == verdict)?;
        self.counts.get(position)
    }
}
