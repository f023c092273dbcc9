use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;

use super::ReadAt;
use crate::Faults;
use crate::bytes::len_u64;
use crate::error::Result;

/// Keeps the pages of another [`ReadAt`] that were read last: for tables that are read in small pieces.
pub struct Cached<R> {
    inner: R,
    pages: Mutex<LruCache<u64, Arc<Page>>>,
}

struct Page {
    bytes: Vec<u8>,
    /// Counted from the start of `inner`.
    faults: Faults,
}

const PAGE: u64 = 4096;

impl<R: ReadAt> Cached<R> {
    /// Keeps up to `pages` pages of 4 KiB of `inner`.
    pub fn new(inner: R, pages: NonZeroUsize) -> Self {
        Cached { inner, pages: Mutex::new(LruCache::new(pages)) }
    }

    fn page(&self, start: u64) -> Result<Arc<Page>> {
        let lock = || self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(page) = lock().get(&start) {
            return Ok(Arc::clone(page));
        }
        // Read without the lock: a slow page keeps nobody else waiting. Two readers of one page read it twice.
        let there = self.inner.size().saturating_sub(start).clamp(1, PAGE);
        let mut bytes = vec![0; usize::try_from(there).unwrap_or(0)];
        let mut faults = Faults::new();
        self.inner.read_at(&mut bytes, start, &mut faults)?;
        let page = Arc::new(Page { bytes, faults });
        // What was lost may be had later, when the storage has recovered; whoever reads below remembers what cannot.
        if !page.faults.any_lost() {
            lock().put(start, Arc::clone(&page));
        }
        Ok(page)
    }
}

impl<R: ReadAt> ReadAt for Cached<R> {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        let mut at = offset;
        let mut rest = buf;
        while !rest.is_empty() {
            if at >= self.size() {
                super::lose_tail(rest, 0, at, crate::report::Code::ReadPastEnd, faults);
                break;
            }
            let within = at.checked_rem(PAGE).unwrap_or(0);
            let page = self.page(at.saturating_sub(within))?;
            let from = page.bytes.get(usize::try_from(within).unwrap_or(usize::MAX)..).unwrap_or_default();
            let count = from.len().min(rest.len()).max(1);
            let Some((piece, behind)) = rest.split_at_mut_checked(count) else { break };
            let end = at.saturating_add(len_u64(piece));
            if let Some(from) = from.get(..piece.len()) {
                piece.copy_from_slice(from);
            }
            for fault in &page.faults {
                let (start, stop) = (fault.range.start.max(at), fault.range.end.min(end));
                if start < stop {
                    faults.push(crate::Fault { range: start..stop, ..fault.clone() });
                }
            }
            (at, rest) = (end, behind);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Slice;

    #[test]
    fn cached_reads_equal_plain_ones_faults_included() {
        let plain: Vec<u8> = (0..10_000u32).map(|i| (i % 251) as u8).collect();
        // The slice claims 2,000 bytes more than there are.
        let plain = Slice::new(plain, 0, 12_000);
        let cached = Cached::new(plain.clone(), NonZeroUsize::new(2).unwrap());
        for (offset, len) in [(0, 10), (4090, 20), (0, 10_000), (9_990, 100), (11_990, 50), (20_000, 3), (4096, 4096)] {
            let (mut a, mut b) = (vec![1; len], vec![2; len]);
            let (mut fa, mut fb) = (Faults::new(), Faults::new());
            plain.read_at(&mut a, offset, &mut fa).unwrap();
            cached.read_at(&mut b, offset, &mut fb).unwrap();
            assert_eq!(a, b);
            assert_eq!(fa, fb, "{offset} {len}");
        }
    }
}
