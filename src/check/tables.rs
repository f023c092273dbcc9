//! The tables of all links, read as a whole.

use std::ops::Range;

use super::progress::Progress;
use crate::chain::Chain;
use crate::layer::{Doubted, MapDoubt, Verified};
use crate::report::{Code, Finding, Severity};

/// So many doubts of one link are kept apart. Further ones become one that covers them all.
const MAX_DOUBTS: usize = 1 << 18;

/// The same chain, knowing what its tables as a whole tell. Bitmaps are read that describe bytes of `range`.
pub(super) fn verify(chain: Chain, range: &Range<u64>, progress: &Progress) -> Chain {
    let mut findings = Vec::new();
    let mut doubts = Vec::new();
    for (number, link) in (0u32..).zip(chain.links()) {
        let mut of_link = Doubts::default();
        let mut tell = |verified: Verified| match verified {
            Verified::Finding(finding) => findings.push(in_link(finding, number, &link.path)),
            Verified::Doubt(doubt) => of_link.add(doubt),
            Verified::Read(bytes) => {
                progress.read(bytes);
                progress.advance(bytes);
            }
        };
        link.layer.verify(range.clone(), &mut tell);
        if of_link.too_many {
            let text = "more blocks than can be told apart overlap: blocks between them count as doubtful too";
            findings.push(in_link(Finding::new(Code::BlocksOverlap, Severity::Error, text), number, &link.path));
        }
        doubts.push(of_link.list);
    }
    chain.knowing(findings, doubts)
}

pub(super) fn in_link(mut finding: Finding, link: u32, path: &std::path::Path) -> Finding {
    finding.link = Some(link);
    finding.file = Some(path.display().to_string());
    finding
}

#[derive(Default)]
struct Doubts {
    list: Vec<MapDoubt>,
    too_many: bool,
}

impl Doubts {
    fn add(&mut self, doubt: MapDoubt) {
        match self.list.last_mut() {
            Some(last) if self.too_many || last.disk.end > doubt.disk.start => {
                last.disk.end = last.disk.end.max(doubt.disk.end);
                if doubt.what == Doubted::Everything {
                    last.what = Doubted::Everything;
                }
            }
            _ => self.list.push(doubt),
        }
        self.too_many |= self.list.len() >= MAX_DOUBTS;
    }
}
