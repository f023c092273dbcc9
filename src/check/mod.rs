//! Reads all that a chain claims, and tells what is lost, what is doubtful, and which files that touches.
//!
//! In this order: the tables of each link, the payload of the merged disk ([`payload`]), the files of its volumes
//! ([`files`]). [`triage`] sorts what was found by where it has to be mended, [`mod@report`] writes it down.

mod files;
mod payload;
mod progress;
mod ranges;
mod report;
mod triage;

use std::ops::{ControlFlow, Range};

pub use files::{Touched, TouchedFile, TouchedKind, UnreadFile};
pub use progress::{Phase, Progress};
pub use ranges::{DiskRange, MAX_RANGES, Ranges};
pub use report::report;
pub use triage::{Area, State, Triage};

use crate::chain::{Chain, Verify};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::FsOptions;
use crate::namespace::Inventory;
use crate::report::{Code, Finding, Severity};

/// What is checked.
#[derive(Debug, Clone)]
pub struct CheckOptions {
    /// Bytes of the disk whose payload, bitmaps and files are looked at. What lies past the end of the disk is no matter.
    pub range: Range<u64>,
    /// Whether payload is read; where not, only what tables tell is known.
    pub payload: bool,
    /// Whether the payload of older links that younger ones hide is read too.
    pub all_links: bool,
}

impl Default for CheckOptions {
    fn default() -> Self {
        CheckOptions { range: 0..u64::MAX, payload: true, all_links: false }
    }
}

/// What a check came to.
pub struct Checked {
    /// The chain, with all that is known of it now, and what is on its disk.
    pub inventory: Inventory,
    /// Bytes of the disk that were looked at.
    pub range: Range<u64>,
    /// Ranges of the disk that are lost.
    pub lost: Ranges,
    /// Ranges of the disk that are doubtful, and not lost.
    pub doubtful: Ranges,
    /// Ranges of older links that are lost and that no reader of the disk sees; only where they were asked for.
    pub hidden_lost: Ranges,
    /// The same for doubtful ones.
    pub hidden_doubtful: Ranges,
    /// Files and folders that all this touches.
    pub files: Touched,
    /// Bytes of payload that were read.
    pub bytes_read: u64,
    /// Every byte of the disk and all tables were looked at, and everything that was found is told.
    pub complete: bool,
    /// Where it was stopped before its end: all bytes of the range before this one were looked at.
    pub stopped_at: Option<u64>,
}

/// Checks a chain. Open it with [`Doubt::Accept`](crate::chain::Doubt::Accept): where doubtful bytes are refused they count
/// as lost.
///
/// Where [`Progress::stop`] is set meanwhile, it ends soon, with what was found by then.
///
/// # Errors
/// When the range does not lie on the disk, or the map of an image contradicts itself. Damage is no error.
pub fn check(chain: Chain, options: &CheckOptions, progress: &Progress) -> Result<Checked> {
    let size = chain.disk().geometry().virtual_size;
    let range = options.range.start..options.range.end.min(size);
    if range.start > range.end {
        let text = format!("the disk has {size} bytes: nothing of it lies in the range that was asked for");
        return Err(Error::new(ErrorKind::Usage, text));
    }
    progress.begin(Phase::Tables, 0);
    let chain = chain.verified(&range, Verify::ALL, &mut |bytes| {
        progress.read(bytes);
        progress.advance(bytes);
        if progress.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let options = CheckOptions { range: range.clone(), ..options.clone() };
    let found = payload::read(&chain, &options, progress)?;
    let unreadable = found.host_findings(&chain);
    let chain = chain.knowing(unreadable, Vec::new());
    let all = options.payload && range == (0..size);
    let ranges = [&found.lost, &found.doubtful, &found.hidden_lost, &found.hidden_doubtful];
    let is_without_loss = all && !progress.is_stopped() && ranges.iter().all(|ranges| ranges.bytes() == 0);
    let chain = if is_without_loss { chain.without_loss() } else { chain };
    progress.begin(Phase::Files, 0);
    let mut inventory = Inventory::take(chain, &options_of_check());
    let files = files::touched(&inventory, &found.lost, &found.doubtful, all, progress);
    inventory.look_again();
    let stopped_at = progress.is_stopped().then(|| progress.position().clamp(range.start, range.end));
    let whole = all && stopped_at.is_none();
    let told = [&found.lost, &found.doubtful, &found.hidden_lost, &found.hidden_doubtful].iter().all(|r| r.is_whole());
    let all_kept = inventory.all_findings().all(|finding| finding.code != Code::FindingsLeftOut);
    Ok(Checked {
        complete: whole && told && all_kept && files.is_whole(),
        inventory,
        range,
        lost: found.lost,
        doubtful: found.doubtful,
        hidden_lost: found.hidden_lost,
        hidden_doubtful: found.hidden_doubtful,
        files,
        bytes_read: progress.bytes_read(),
        stopped_at,
    })
}

/// NTFS's own files count in a check, and so do those that no folder has.
fn options_of_check() -> FsOptions {
    FsOptions {
        metafiles: true,
        raw_encrypted: true,
        look_for_orphans: true,
        accept_doubtful: true,
        ..FsOptions::default()
    }
}

impl Checked {
    /// Nothing that was looked at is lost or doubtful. What only tables tell of blocks that younger links hide counts too.
    #[must_use]
    pub fn is_well(&self) -> bool {
        if self.inventory.all_findings().any(|finding| finding.severity == Severity::Error) {
            return false;
        }
        let ranges = [&self.lost, &self.doubtful, &self.hidden_lost, &self.hidden_doubtful];
        ranges.iter().all(|ranges| ranges.bytes() == 0) && self.files.count() == 0
    }

    /// Whether anything was found that may cost something all the same.
    #[must_use]
    pub fn has_warnings(&self) -> bool {
        self.inventory.all_findings().any(|finding| finding.severity == Severity::Warning)
    }

    /// All findings, those that matter most first; of one weight, in the order in which they have to be mended.
    #[must_use]
    pub fn findings(&self) -> Vec<&Finding> {
        let mut findings: Vec<_> = self.inventory.all_findings().collect();
        findings.sort_by_key(|finding| (std::cmp::Reverse(finding.severity), Area::of_finding(finding), finding.link));
        findings
    }

    /// What has to be mended where, and what to do next.
    #[must_use]
    pub fn triage(&self) -> Vec<Triage> {
        triage::triage(self)
    }

    /// How many bytes of the range were looked at.
    #[must_use]
    pub fn bytes_checked(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }
}

/// The parts of `range` that none of `covered` covers, which are in order and do not overlap.
fn subtract(range: &Range<u64>, covered: &[Range<u64>]) -> Vec<Range<u64>> {
    let first = covered.partition_point(|one| one.end <= range.start);
    let mut left = Vec::new();
    let mut at = range.start;
    for one in covered.get(first..).unwrap_or_default().iter().take_while(|one| one.start < range.end) {
        if at < one.start {
            left.push(at..one.start);
        }
        at = at.max(one.end);
    }
    if at < range.end {
        left.push(at..range.end);
    }
    left
}

/// A slice's first `length` bytes, or all of it.
fn head(buf: &mut [u8], length: u64) -> &mut [u8] {
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(buf.len());
    buf.get_mut(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_subtracted() {
        let covered = [10..25, 40..50, 60..70];
        assert_eq!(subtract(&(0..100), &covered), [0..10, 25..40, 50..60, 70..100]);
        assert_eq!(subtract(&(12..45), &covered), [25..40]);
        assert_eq!(subtract(&(10..25), &covered), []);
        assert_eq!(subtract(&(90..95), &[]), [90..95]);
    }
}
