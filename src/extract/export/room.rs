//! Whether the destination has room.

use std::path::Path;

use super::Part;
use super::pour::PIECE;
use crate::chain::MergedSource;
use crate::ranges::length;

/// A destination that may be too small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// Bytes to be written, at most: those of the disk that some image holds, without those that stand in the file already.
    pub needed: u64,
    /// Bytes that the destination has free for this user.
    pub free: u64,
}

/// Whether less is free where `file` is to stand than the export may need; `None` where it has room, and where that cannot
/// be told: on systems other than Unix.
#[must_use]
pub fn shortage(part: &Part<'_>, file: &Path) -> Option<Shortage> {
    let free = free(file)?;
    let written = written(file);
    // No map is needed to see that all of it has room.
    if length(&part.range).saturating_sub(written) <= free {
        return None;
    }
    let needed = data_bytes(part).saturating_sub(written);
    (needed > free).then_some(Shortage { needed, free })
}

/// Bytes of the part that some image holds: the rest is holes.
fn data_bytes(part: &Part<'_>) -> u64 {
    let (mut at, mut bytes) = (part.range.start, 0u64);
    while at < part.range.end {
        let end = at.saturating_add(PIECE).min(part.range.end);
        for extent in part.disk.map(at..end).unwrap_or_default() {
            if matches!(extent.source, MergedSource::Data { .. }) {
                bytes = bytes.saturating_add(length(&extent.disk));
            }
        }
        at = end;
    }
    bytes
}

#[cfg(unix)]
fn free(file: &Path) -> Option<u64> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let space = rustix::fs::statvfs(folder).ok()?;
    // Some file systems do not count.
    (space.f_blocks > 0).then(|| space.f_bavail.saturating_mul(space.f_frsize))
}

/// Bytes of the storage that a file takes already.
#[cfg(unix)]
fn written(file: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    file.symlink_metadata().map_or(0, |found| found.blocks().saturating_mul(512))
}

#[cfg(not(unix))]
fn free(_: &Path) -> Option<u64> {
    None
}

#[cfg(not(unix))]
fn written(_: &Path) -> u64 {
    0
}
