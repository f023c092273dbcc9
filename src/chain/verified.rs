//! The tables of all links, read as a whole: what only that can tell.

use std::ops::{ControlFlow, Range};

use super::Chain;
use crate::layer::{MapDoubt, Verified};
use crate::report::{Code, Finding, Severity};

/// So many doubts of one link are kept apart. Further ones become one that covers them all, with a code of its own.
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
            findings.extend(of_link.finding().map(|finding| finding.in_link(number, &link.path)));
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
    /// From the first to the last byte of those that are not kept apart.
    rest: Option<Range<u64>>,
}

impl Doubts {
    fn add(&mut self, doubt: MapDoubt) {
        if self.list.len() < MAX_DOUBTS {
            return self.list.push(doubt);
        }
        let rest = self.rest.take().unwrap_or_else(|| doubt.disk.clone());
        self.rest = Some(rest.start.min(doubt.disk.start)..rest.end.max(doubt.disk.end));
    }

    /// That some are not kept apart, so that bytes count as doubtful which nothing is told of.
    fn finding(&self) -> Option<Finding> {
        let Range { start, end } = self.rest.as_ref()?;
        let text = format!(
            "so many stretches of the disk are doubtful that only the first {MAX_DOUBTS} are told apart: from byte {start} to byte {end} of the disk, all that this image says counts as doubtful, also what stands between the others"
        );
        Some(Finding::new(Code::DoubtsUnited, Severity::Error, text).advise(
            "look for another copy of this image: a backup, a replica, a shadow copy; --accept-doubtful serves all of it as its tables say",
        ))
    }

    /// All of them in order of the disk, none over another: several things may be told of one block, and what begins first
    /// counts.
    fn in_order(mut self) -> Vec<MapDoubt> {
        self.list.extend(self.rest.take().map(|disk| MapDoubt { disk, code: Code::DoubtsUnited }));
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

    #[test]
    fn what_is_not_told_apart_says_so_by_a_code_of_its_own() {
        let count = u64::try_from(MAX_DOUBTS).expect("a number");
        let mut doubts = Doubts::default();
        let doubt = |number: u64| MapDoubt { disk: number * 10..number * 10 + 5, code: Code::BitmapNoise };
        (0..count).for_each(|number| doubts.add(doubt(number)));
        assert_eq!(doubts.finding(), None, "each of so many is kept");
        for number in [count + 7, count + 2, count + 4] {
            doubts.add(doubt(number));
        }
        let told = doubts.finding().expect("a finding");
        assert_eq!((told.code, told.severity), (Code::DoubtsUnited, Severity::Error));
        let united = (count + 2) * 10..(count + 7) * 10 + 5;
        assert!(told.text.contains(&format!("byte {} to byte {}", united.start, united.end)), "{}", told.text);
        let kept = doubts.in_order();
        assert_eq!(kept.len(), MAX_DOUBTS + 1);
        assert_eq!(kept.last(), Some(&MapDoubt { disk: united, code: Code::DoubtsUnited }));
        assert!(kept.iter().rev().skip(1).all(|doubt| doubt.code == Code::BitmapNoise));
    }
}
