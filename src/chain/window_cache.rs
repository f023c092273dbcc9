//! The resolved map, kept by fixed windows of the disk.
//!
//! A warm read at depth 30 finds its runs here and costs what it costs at depth 1. The cache is weighed by runs and
//! bounded, so that neither a large nor a badly fragmented disk can fill the memory.

use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use super::map::{MergedExtent, MergedSource};
use crate::report::Code;

/// Bytes of the disk that one window covers.
pub(super) const WINDOW: u64 = 2 << 20;

/// Weight of a window beside its runs: what the cache itself keeps of it.
const WINDOW_WEIGHT: usize = 6;

/// All windows together weigh no more than this; a unit is about 24 bytes.
const MAX_WEIGHT: usize = 1 << 20;

/// Locks that readers are spread over.
const SHARDS: u64 = 16;

/// One stretch of a window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// From the start of the window. The run goes on to the start of the next one.
    pub(super) start: u32,
    pub(super) link: u16,
    pub(super) doubt: Option<Code>,
    pub(super) source: MergedSource,
}

/// The runs that tile a window, in order.
pub(super) type Window = [Run];

/// See the module.
pub(super) struct WindowCache {
    shards: Vec<Mutex<Shard>>,
}

struct Shard {
    windows: LruCache<u64, Arc<Window>>,
    weight: usize,
    max_weight: usize,
}

impl WindowCache {
    pub(super) fn new() -> Self {
        let shard_weight = MAX_WEIGHT.checked_div(usize::try_from(SHARDS).unwrap_or(1)).unwrap_or(1);
        let shard = || Shard { windows: LruCache::unbounded(), weight: 0, max_weight: shard_weight };
        WindowCache { shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect() }
    }

    fn shard(&self, number: u64) -> Option<&Mutex<Shard>> {
        let shard = number.checked_rem(SHARDS).unwrap_or(0);
        self.shards.get(usize::try_from(shard).unwrap_or(0))
    }

    /// The window of this number, if it is kept.
    pub(super) fn get(&self, number: u64) -> Option<Arc<Window>> {
        let mut shard = self.shard(number)?.lock().unwrap_or_else(PoisonError::into_inner);
        shard.windows.get(&number).map(Arc::clone)
    }

    /// Keeps a window, and lets go of those that were used longest ago.
    pub(super) fn put(&self, number: u64, window: Arc<Window>) {
        let Some(shard) = self.shard(number) else { return };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.weight = shard.weight.saturating_add(weight(&window));
        if let Some(before) = shard.windows.put(number, window) {
            shard.weight = shard.weight.saturating_sub(weight(&before));
        }
        // The newest one stays, however heavy it is.
        while shard.weight > shard.max_weight
            && shard.windows.len() > 1
            && let Some((_, gone)) = shard.windows.pop_lru()
        {
            shard.weight = shard.weight.saturating_sub(weight(&gone));
        }
    }
}

fn weight(window: &Window) -> usize {
    window.len().saturating_add(WINDOW_WEIGHT)
}

/// The runs of a window that starts at `start` of the disk.
pub(super) fn runs(start: u64, extents: &[MergedExtent]) -> Arc<Window> {
    let run = |extent: &MergedExtent| Run {
        // Both fit: a window has 2 MiB, a chain at most a thousand links.
        start: u32::try_from(extent.disk.start.saturating_sub(start)).unwrap_or(u32::MAX),
        link: u16::try_from(extent.link).unwrap_or(u16::MAX),
        doubt: extent.doubt,
        source: extent.source,
    };
    extents.iter().map(run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bounded_by_runs_and_forgets_the_oldest() {
        let cache = WindowCache::new();
        let run = Run { start: 0, link: 0, doubt: None, source: MergedSource::Zero };
        let window: Arc<Window> = vec![run; 4096].into();
        for number in 0..10_000 {
            cache.put(number, Arc::clone(&window));
        }
        let kept: usize = cache.shards.iter().map(|shard| shard.lock().unwrap().windows.len() * 4096).sum();
        assert!(kept <= MAX_WEIGHT && kept > MAX_WEIGHT / 2, "{kept}");
        assert!(cache.get(9_999).is_some());
        assert!(cache.get(0).is_none());
        assert_eq!(size_of::<Run>(), 24);
    }
}
