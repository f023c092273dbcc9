//! A bounded store of what was parsed, least recently used first out.

use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use super::losses::{Holds, Losses};

/// Keeps values up to a total weight, each for as long as it holds. The lock is held for the moment of a look-up only, never
/// while reading.
pub(super) struct Cache<K: Hash + Eq, V> {
    inner: Mutex<Inner<K, V>>,
    limit: usize,
    losses: Losses,
}

struct Entry<V> {
    value: Arc<V>,
    weight: usize,
    holds: Holds,
}

struct Inner<K: Hash + Eq, V> {
    entries: LruCache<K, Entry<V>>,
    weight: usize,
}

impl<K: Hash + Eq, V> Cache<K, V> {
    /// A cache for values of `limit` bytes together, as their weights tell, that are made of a volume of these losses.
    pub(super) fn new(limit: usize, losses: &Losses) -> Self {
        let inner = Inner { entries: LruCache::unbounded(), weight: 0 };
        Cache { inner: Mutex::new(inner), limit, losses: losses.clone() }
    }

    pub(super) fn get(&self, key: &K) -> Option<Arc<V>> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = inner.entries.get(key).filter(|entry| entry.holds.still(&self.losses));
        entry.map(|entry| Arc::clone(&entry.value))
    }

    /// Keeps `value` for as long as it holds, as who watched while it was made was told; and lets go of the oldest ones while all together weigh too much; the last of those is handed back.
    /// The newest stays, whatever it weighs: it is what is worked with.
    pub(super) fn insert(&self, key: K, value: Arc<V>, weight: usize, holds: Holds) -> Option<Arc<V>> {
        // Each entry costs something, however little it holds.
        let weight = weight.saturating_add(64);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, old)) = inner.entries.push(key, Entry { value, weight, holds }) {
            inner.weight = inner.weight.saturating_sub(old.weight);
        }
        inner.weight = inner.weight.saturating_add(weight);
        let mut gone = None;
        while inner.weight > self.limit
            && inner.entries.len() > 1
            && let Some((_, old)) = inner.entries.pop_lru()
        {
            inner.weight = inner.weight.saturating_sub(old.weight);
            gone = Some(old.value);
        }
        gone
    }
}

/// What belongs to a file record.
pub(super) trait OfRecord {
    /// The number of the record.
    fn record(&self) -> u32;
}

impl OfRecord for u32 {
    fn record(&self) -> u32 {
        *self
    }
}

impl OfRecord for (u32, usize) {
    fn record(&self) -> u32 {
        self.0
    }
}

const PARTS: u32 = 16;

/// Records side by side that share a part: a thread mostly works on such.
const SIDE_BY_SIDE: u32 = 32;

/// Caches of file records: threads that work on different files do not wait for each other's look-ups.
pub(super) struct ByRecord<K: Hash + Eq, V> {
    parts: Vec<Cache<K, V>>,
}

impl<K: Hash + Eq + OfRecord, V> ByRecord<K, V> {
    /// For values of `limit` bytes together.
    pub(super) fn new(limit: usize, losses: &Losses) -> Self {
        let parts = (0..PARTS).map(|_| Cache::new(limit.div_euclid(16), losses));
        ByRecord { parts: parts.collect() }
    }

    /// As [`Cache::get`].
    pub(super) fn get(&self, key: &K) -> Option<Arc<V>> {
        self.part(key)?.get(key)
    }

    /// As [`Cache::insert`].
    pub(super) fn insert(&self, key: K, value: Arc<V>, weight: usize, holds: Holds) {
        if let Some(part) = self.part(&key) {
            part.insert(key, value, weight, holds);
        }
    }

    fn part(&self, key: &K) -> Option<&Cache<K, V>> {
        let number = key.record().div_euclid(SIDE_BY_SIDE).rem_euclid(PARTS);
        self.parts.get(usize::try_from(number).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_the_weight_is_reached() {
        let cache = Cache::new(1000, &Losses::default());
        for key in 0..10 {
            cache.insert(key, Arc::new(key), 236, Holds::ForGood);
        }
        assert_eq!(cache.get(&6), None);
        assert_eq!(cache.get(&7).as_deref(), Some(&7));
        cache.insert(7, Arc::new(70), 236, Holds::ForGood);
        assert_eq!(cache.get(&7).as_deref(), Some(&70));
        assert_eq!(cache.get(&9).as_deref(), Some(&9));
        // Both are let go of; that of the last one is handed back.
        assert_eq!(cache.insert(11, Arc::new(11), 5000, Holds::ForGood).as_deref(), Some(&9));
        assert_eq!(cache.get(&11).as_deref(), Some(&11));
        assert_eq!(cache.get(&9), None);
        cache.insert(12, Arc::new(12), 10, Holds::ForGood);
        assert_eq!((cache.get(&11), cache.get(&12).as_deref()), (None, Some(&12)));
    }
}
