//! The tables of all links, read as a whole: what only that can tell.

use std::ops::{ControlFlow, Range};

use super::Chain;
use crate::layer::{MapDoubt, Verified};
use crate::report::{Code, Finding, Severity};

/// So many doubts of one link are kept apart. Further ones become one that covers them all.
const MAX_DOUBTS: usize = 1 << 18;

/// Which tables are read as a whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verify {
    /// Those of up to so many bytes.
    pub(crate) each: u64,
    /// Larger ones, from the youngest link on, while they fit into so many bytes in all.
    pub(crate) larger: u64,
}

impl Verify {
    /// All tables.
    pub(crate) const ALL: Verify = Verify { each: u64::MAX, larger: 0 };

    /// Whether the tables of the next link are read, which take so many bytes.
    fn takes(&mut self, length: u64) -> bool {
        if length <= self.each {
            return true;
        }
        let left = self.larger.checked_sub(length);
        self.larger = left.unwrap_or(self.larger);
        left.is_some()
    }
}

impl Chain {
    /// The same chain, knowing what the tables of its links as a whole tell. Sector bitmaps are read where they describe bytes of `range`. `read` is told how many bytes of
    /// tables were read, and may break it off.
    #[must_use]
    pub(crate) fn verified(
        self,
        range: &Range<u64>,
        mut tables: Verify,
        read: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Self {
        let mut findings: Vec<Finding> = Vec::new();
        let mut doubts = Vec::new();
        for (number, link) in (0u32..).zip(self.links()) {
            let mut of_link = Doubts::default();
            let mut tell = |verified: Verified| {
                match verified {
                    Verified::Finding(finding) => findings.push(finding.in_link(number, &link.path)),
                    Verified::Doubt(doubt) => of_link.add(doubt),
                    Verified::Read(bytes) => return read(bytes),
                }
                ControlFlow::Continue(())
            };
            if tables.takes(link.layer.table_length()) {
                link.layer.verify(range.clone(), &mut tell);
            }
            if of_link.too_many {
                let text = "more blocks than can be told apart overlap: blocks between them count as doubtful too";
                findings.push(Finding::new(Code::BlocksOverlap, Severity::Error, text).in_link(number, &link.path));
            }
            doubts.push(of_link.in_order());
        }
        // What was told when the chain was opened is not told again.
        findings.retain(|finding| !self.findings().contains(finding));
        self.knowing(findings, doubts)
    }
}

#[derive(Default)]
struct Doubts {
    list: Vec<MapDoubt>,
    too_many: bool,
}

impl Doubts {
    fn add(&mut self, doubt: MapDoubt) {
        match self.list.last_mut() {
            Some(last) if self.too_many => {
                last.disk = last.disk.start.min(doubt.disk.start)..last.disk.end.max(doubt.disk.end);
            }
            _ => self.list.push(doubt),
        }
        self.too_many |= self.list.len() >= MAX_DOUBTS;
    }

    /// All of them in order of the disk, none over another: several things may be told of one block, and what begins first
    /// counts.
    fn in_order(mut self) -> Vec<MapDoubt> {
        self.list.sort_by_key(|doubt| doubt.disk.start);
        let mut list: Vec<MapDoubt> = Vec::with_capacity(self.list.len());
        for doubt in self.list {
            match list.last_mut() {
                Some(last) if last.disk.end > doubt.disk.start && last.code == doubt.code => {
                    last.disk.end = last.disk.end.max(doubt.disk.end);
                }
                Some(last) if last.disk.end >= doubt.disk.end => {}
                Some(last) => {
                    let start = last.disk.end.max(doubt.disk.start);
                    list.push(MapDoubt { disk: start..doubt.disk.end, ..doubt });
                }
                None => list.push(doubt),
            }
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubts_that_overlap_are_cut_and_keep_their_codes() {
        let (a, b) = (Code::BlocksOverlap, Code::BitmapNoise);
        let told = [(30..40, b), (0..10, a), (5..12, a), (8..20, b), (9..15, a), (18..25, a), (40..50, b)];
        let mut doubts = Doubts::default();
        for (disk, code) in told {
            doubts.add(MapDoubt { disk, code });
        }
        let kept: Vec<_> = doubts.in_order().into_iter().map(|doubt| (doubt.disk, doubt.code)).collect();
        assert_eq!(kept, [(0..12, a), (12..20, b), (20..25, a), (30..40, b), (40..50, b)]);
    }
}
