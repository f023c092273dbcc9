//! Saying what bytes were lost to a read: once for each lost range, with the path of the file.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use log::warn;
use mount_api::{FaultKind, Faults, LostReads, NodeId, Tree};

/// Ranges that are told and remembered.
const MAX_TOLD: usize = 10_000;

/// What lost bytes become, and which were told of.
#[derive(Debug)]
pub(crate) struct Losses {
    pub(crate) reads: LostReads,
    told: Mutex<BTreeSet<(NodeId, u64)>>,
}

impl Losses {
    pub(crate) fn new(reads: LostReads) -> Self {
        Losses { reads, told: Mutex::default() }
    }

    /// Logs the lost ranges that are news. Those that begin at one place are one: reads of other sizes meet them again.
    pub(crate) fn tell(&self, tree: &dyn Tree, node: NodeId, faults: &Faults) {
        for fault in faults.iter().filter(|fault| fault.kind == FaultKind::Lost) {
            if self.is_news(node, fault.range.start) {
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

    fn is_news(&self, node: NodeId, start: u64) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < MAX_TOLD && told.insert((node, start))
    }
}
