//! `$Bitmap`: which clusters of the volume belong to somebody.

use std::ops::Range;
use std::sync::Arc;

use mount_api::Faults;

use super::cache::Cache;
use super::cluster_set::CLUSTERS;
use super::stream::Stream;
use super::to_usize;
use super::volume::Volume;

/// Bytes that are read at a time: they tell of 32,768 clusters.
const WINDOW: u64 = CLUSTERS / 8;
const WINDOWS_KEPT: usize = 4 << 20;

/// `$Bitmap`, opened.
pub(super) struct ClusterBitmap {
    volume: Arc<Volume>,
    /// `None` where it cannot be opened: then every cluster may belong to somebody.
    stream: Option<Arc<Stream>>,
    windows: Cache<u64, Vec<u8>>,
}

impl ClusterBitmap {
    pub(super) fn new(volume: &Arc<Volume>, stream: Option<Arc<Stream>>) -> Self {
        ClusterBitmap { volume: Arc::clone(volume), stream, windows: Cache::new(WINDOWS_KEPT, &volume.losses) }
    }

    /// The parts of a range of clusters that belong to somebody, or of which that cannot be told; in order.
    pub(super) fn in_use(&self, clusters: Range<u64>) -> Vec<Range<u64>> {
        let mut used: Vec<Range<u64>> = Vec::new();
        let mut add = |range: Range<u64>| match used.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => used.push(range),
        };
        // No cluster lies past the end of what is there, whatever the volume claims.
        let there = self.volume.bytes.size().checked_div(self.volume.boot.cluster_size).unwrap_or(0);
        let known = clusters.start..clusters.end.min(there);
        let mut at = known.start;
        while at < known.end {
            let (number, first) = (at / CLUSTERS, at % CLUSTERS);
            let count = known.end.saturating_sub(at).min(CLUSTERS.saturating_sub(first));
            let window = self.window(number);
            for within in first..first.saturating_add(count) {
                let byte = window.get(to_usize(within / 8)).copied().unwrap_or(u8::MAX);
                if byte >> (within % 8) & 1 != 0 {
                    let cluster = number.saturating_mul(CLUSTERS).saturating_add(within);
                    add(cluster..cluster.saturating_add(1));
                }
            }
            at = at.saturating_add(count);
        }
        let past = clusters.start.max(there)..clusters.end;
        if !past.is_empty() {
            add(past);
        }
        used
    }

    /// A part of the bitmap, 4 KiB, which tell of 32,768 clusters; all ones where it cannot be had.
    pub(super) fn window(&self, number: u64) -> Arc<Vec<u8>> {
        if let Some(held) = self.windows.get(&number) {
            return held;
        }
        let watch = self.volume.losses.watch();
        let held = Arc::new(self.read(number.saturating_mul(WINDOW)));
        self.windows.insert(number, Arc::clone(&held), held.len(), watch.holds());
        held
    }

    fn read(&self, offset: u64) -> Vec<u8> {
        let unknown = || vec![u8::MAX; to_usize(WINDOW)];
        let Some(stream) = &self.stream else { return unknown() };
        let (mut bytes, mut faults) = (unknown(), Faults::new());
        let Ok(read) = stream.read(&self.volume, offset, &mut bytes, &mut faults) else { return unknown() };
        if let Some(rest) = bytes.get_mut(read..) {
            rest.fill(u8::MAX);
        }
        // What is doubtful here proves nothing either.
        for fault in &faults {
            let within = |at: u64| to_usize(at.saturating_sub(offset)).min(to_usize(WINDOW));
            if let Some(part) = bytes.get_mut(within(fault.range.start)..within(fault.range.end)) {
                part.fill(u8::MAX);
            }
        }
        bytes
    }

    /// The parts of a range of bytes of the volume that lie in clusters in use; in order.
    pub(super) fn bytes_in_use(&self, bytes: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        let size = self.volume.boot.cluster_size;
        let first = bytes.start.checked_div(size).unwrap_or(0);
        let used = if bytes.is_empty() { Vec::new() } else { self.in_use(first..bytes.end.div_ceil(size)) };
        used.into_iter().map(move |clusters| {
            let (start, end) = (clusters.start.saturating_mul(size), clusters.end.saturating_mul(size));
            start.max(bytes.start)..end.min(bytes.end)
        })
    }

    /// How many bytes of a range of the volume lie in clusters in use.
    pub(super) fn count_in_use(&self, bytes: &Range<u64>) -> u64 {
        let lengths = self.bytes_in_use(bytes.clone()).map(|range| range.end.saturating_sub(range.start));
        lengths.fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::ntfs::boot_sector::BootSector;
    use crate::fs::ntfs::losses::Losses;

    #[test]
    fn what_cannot_be_told_counts_as_in_use() {
        let boot = BootSector {
            sector_size: 512,
            cluster_size: 4096,
            sectors: 64 * 8,
            mft_lcn: 4,
            mirror_lcn: 2,
            record_size: 1024,
            serial: 0,
        };
        let volume = Arc::new(Volume { bytes: Arc::new(vec![0; 40 * 4096]), boot, losses: Losses::default() });
        let bitmap = ClusterBitmap::new(&volume, None);
        assert_eq!(bitmap.in_use(3..50), [3..50]);
        assert_eq!(bitmap.in_use(45..50), [45..50]);
        assert_eq!(bitmap.in_use(1 << 60..u64::MAX), [1 << 60..u64::MAX]);
        assert_eq!(bitmap.in_use(5..5), []);
        assert_eq!(bitmap.bytes_in_use(100..5000).collect::<Vec<_>>(), [100..5000]);
    }
}
