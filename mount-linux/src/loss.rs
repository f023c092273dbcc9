//! Saying what bytes were lost to a read: once for each lost range, with the path of the file.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use log::warn;
use mount_api::{Error, ErrorKind, FaultKind, Faults, Kind, LostReads, NodeId, Tree};

/// Ranges that are remembered as told. A disk with more lost ranges is not told of all of them here; the report is for that.
const MAX_TOLD: usize = 10_000;

/// What becomes of lost bytes, and what of them was told already: the kernel asks for a failed megabyte again page by page,
/// and programs ask again and again.
#[derive(Debug)]
pub(crate) struct Losses {
    /// What a reader of them gets.
    pub(crate) reads: LostReads,
    told: Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    ranges: BTreeMap<u64, Vec<Range<u64>>>,
    count: usize,
}

impl Losses {
    pub(crate) fn new(reads: LostReads) -> Self {
        Losses { reads, told: Mutex::default() }
    }

    /// Logs the lost ranges of a read that were not logged before.
    pub(crate) fn tell(&self, tree: &dyn Tree, node: NodeId, faults: &Faults) {
        for fault in faults.iter().filter(|fault| fault.kind == FaultKind::Lost) {
            if self.is_news(node, &fault.range) {
                let path = tree.path(node).map_or_else(|| format!("node {}", node.0), |path| path.to_string());
                let (range, code) = (&fault.range, fault.code);
                let outcome = match self.reads {
                    LostReads::Fail => "reading them fails",
                    LostReads::Zeros => "they read as zeros",
                };
                warn!("{path}: bytes {}..{} are lost or doubtful ({code}); {outcome}", range.start, range.end);
            }
        }
    }

    /// The end of a listing. Of a folder whose names cannot all be told, who asked for zeros gets those that can: many programs
    /// throw away a folder that ends in an error. What is no folder, or cannot be looked at, is an error either way.
    ///
    /// # Errors
    /// That of the listing.
    pub(crate) fn end_of_listing(&self, tree: &dyn Tree, dir: NodeId, listed: Result<(), Error>) -> Result<(), Error> {
        let Err(error) = listed else { return Ok(()) };
        let is_damage = matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Lost | ErrorKind::Io);
        let zeros = match self.reads {
            LostReads::Fail => false,
            LostReads::Zeros => is_damage && tree.attr(dir).is_ok_and(|attr| attr.kind == Kind::Directory),
        };
        if !zeros {
            return Err(error);
        }
        // No byte of a folder is read, so no other range of it is told.
        if self.is_news(dir, &(0..0)) {
            let path = tree.path(dir).map_or_else(|| format!("node {}", dir.0), |path| path.to_string());
            warn!("{path}: some of its names may be missing from what is listed: {error}");
        }
        Ok(())
    }

    fn is_news(&self, node: NodeId, range: &Range<u64>) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let known = told
            .ranges
            .get(&node.0)
            .is_some_and(|ranges| ranges.iter().any(|known| known.start <= range.start && range.end <= known.end));
        if known || told.count > MAX_TOLD {
            return false;
        }
        told.count = told.count.saturating_add(1);
        if told.count > MAX_TOLD {
            warn!("more ranges are lost than are told here; vhdx-mount info and the report tell more");
            return false;
        }
        told.ranges.entry(node.0).or_default().push(range.clone());
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_told_once_and_so_are_its_pages() {
        let losses = Losses::new(LostReads::Fail);
        assert!(losses.is_news(NodeId(7), &(4096..20_000)));
        assert!(!losses.is_news(NodeId(7), &(4096..20_000)));
        assert!(!losses.is_news(NodeId(7), &(8192..12_288)));
        assert!(losses.is_news(NodeId(7), &(0..4096)));
        assert!(losses.is_news(NodeId(8), &(8192..12_288)));
        for start in 0..20_000 {
            losses.is_news(NodeId(9), &(start * 10..start * 10 + 1));
        }
        assert!(losses.told.lock().unwrap().ranges.values().map(Vec::len).sum::<usize>() <= MAX_TOLD);
    }
}
