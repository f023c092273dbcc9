use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::range_set::RangeSet;
use crate::report::Code;

/// Places of an image that could not be read, so that nobody waits for one of them twice.
#[derive(Debug, Default)]
pub(super) struct BadPlaces {
    /// Nothing is locked while there is nothing to know.
    any: AtomicBool,
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    bad: RangeSet,
    /// Not tried, and until when they are not.
    skipped: Vec<(Range<u64>, Instant)>,
}

/// Separate bad places that are remembered, about 3 MiB of memory. Later ones are waited for each time.
const MAX_BAD: usize = 1 << 16;

/// Skipped stretches that are remembered.
const MAX_SKIPPED: usize = 1 << 10;

impl BadPlaces {
    /// What of `range` is known to be bad or is not tried now, in order, not overlapping; and why it is lost.
    pub(super) fn within(&self, range: &Range<u64>) -> Vec<(Range<u64>, Code)> {
        if !self.any.load(Ordering::Acquire) {
            return Vec::new();
        }
        let mut places = self.lock();
        let mut known: Vec<_> = places.bad.within(range).map(|part| (part, Code::HostReadError)).collect();
        if !places.skipped.is_empty() {
            let now = Instant::now();
            places.skipped.retain(|(_, until)| *until > now);
            let parts = places.skipped.iter().map(|(part, _)| part.start.max(range.start)..part.end.min(range.end));
            known.extend(parts.map(|part| (part, Code::HostReadSkipped)));
            known.sort_by_key(|(part, code)| (part.start, *code));
            let mut end = range.start;
            for (part, _) in &mut known {
                part.start = part.start.max(end);
                end = end.max(part.end);
            }
            known.retain(|(part, _)| !part.is_empty());
        }
        known
    }

    /// Remembers a place that cannot be read.
    pub(super) fn bad(&self, range: Range<u64>) {
        let mut places = self.lock();
        if places.bad.len() < MAX_BAD || places.bad.touches(&range) {
            places.bad.insert(range);
            self.any.store(true, Ordering::Release);
        }
    }

    /// Remembers a stretch that is not to be tried for a while.
    pub(super) fn skip(&self, range: Range<u64>, until: Instant) {
        let mut places = self.lock();
        if places.skipped.len() >= MAX_SKIPPED {
            places.skipped.remove(0);
        }
        places.skipped.push((range, until));
        self.any.store(true, Ordering::Release);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn memory_is_bounded_and_neighbours_cost_none() {
        let places = BadPlaces::default();
        assert_eq!(places.within(&(0..u64::MAX)), []);
        for number in 0..MAX_BAD as u64 + 10 {
            places.bad(number * 10..number * 10 + 1);
        }
        assert_eq!(places.within(&(0..u64::MAX)).len(), MAX_BAD);
        places.bad(1..5);
        assert_eq!(places.within(&(0..8)), [(0..5, Code::HostReadError)]);
    }

    #[test]
    fn what_is_skipped_and_bad_is_told_once() {
        let places = BadPlaces::default();
        places.bad(10..20);
        places.skip(0..30, Instant::now() + Duration::from_secs(3600));
        places.skip(25..40, Instant::now() + Duration::from_secs(3600));
        places.skip(50..60, Instant::now());
        let known = places.within(&(5..100));
        let total: u64 = known.iter().map(|(part, _)| part.end - part.start).sum();
        assert_eq!(total, 35);
        assert!(known.windows(2).all(|pair| pair[0].0.end <= pair[1].0.start));
    }
}
