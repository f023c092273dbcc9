//! The nodes of an index for who walks it whole: where the walk comes to blocks that stand side by side, they are read
//! together.

use std::cell::RefCell;
use std::sync::Arc;

use mount_api::Error;

use super::index::{Index, NodePlace};
use super::index_node::Node;
use super::open::NODES_KEPT;
use super::{Ntfs, to_u64, to_usize};

/// Bytes of blocks that are read together.
const TOGETHER: u64 = 64 << 10;
/// Bytes of blocks that wait at most: where blocks were split, the order leads from one portion to another and back.
const WAITING: u64 = 16 * TOGETHER;
/// So many blocks that were wanted one after the other are remembered: the nodes above those at the end stand elsewhere.
const RECENT: usize = 4;

/// Reads the nodes of one index while it is walked.
pub(super) struct IndexWalk<'a> {
    ntfs: &'a Ntfs,
    index: &'a Index,
    record: u32,
    name: &'static str,
    /// Of which of the portions that are read together blocks were wanted last.
    recent: RefCell<Vec<u64>>,
    /// What portions are read into.
    memory: RefCell<Vec<u8>>,
    /// Nodes that were read and not wanted yet, where they are too many for the cache: a walk wants each once.
    waiting: RefCell<Vec<(NodePlace, Node)>>,
}

impl<'a> IndexWalk<'a> {
    /// For the index of this name in a file record.
    pub(super) fn new(ntfs: &'a Ntfs, index: &'a Index, record: u32, name: &'static str) -> Self {
        let (recent, memory, waiting) = (RefCell::default(), RefCell::default(), RefCell::default());
        IndexWalk { ntfs, index, record, name, recent, memory, waiting }
    }

    /// A node, as [`Ntfs::node`] has it.
    pub(super) fn node(&self, place: NodePlace) -> Result<Arc<Node>, Error> {
        if let Some(node) = self.take_waiting(place) {
            return Ok(node);
        }
        if let Some(node) = self.ntfs.kept_node(self.index, self.record, self.name, place) {
            return Ok(node);
        }
        let blocks = TOGETHER.checked_div(self.index.block_size()).unwrap_or(0);
        let portion = place.saturating_sub(1).checked_div(blocks).unwrap_or(0);
        let all_can_be_kept = self.index.allocated() <= to_u64(NODES_KEPT) / 2;
        let are_wanted = self.was_wanted_near(portion) || all_can_be_kept;
        if blocks > 1 && are_wanted {
            let volume = &self.ntfs.volume;
            let watch = volume.losses.watch();
            let first = portion.saturating_mul(blocks);
            let nodes = self.index.read_together(volume, first, blocks, &mut self.memory.borrow_mut());
            if all_can_be_kept {
                for (place, node) in nodes {
                    self.ntfs.keep_node((self.record, self.name, place), Arc::new(node), watch.holds());
                }
            } else {
                self.let_wait(nodes);
            }
        }
        // Where they could not all be had, this one may be all the same.
        self.take_waiting(place).map_or_else(|| self.ntfs.node(self.index, self.record, self.name, place), Ok)
    }

    /// Whether blocks of this portion, or of one beside it, were wanted a short while ago; from now on they were. In an index
    /// of another order the blocks beside one that is wanted would be gone again when they are.
    fn was_wanted_near(&self, portion: u64) -> bool {
        let mut recent = self.recent.borrow_mut();
        let near = recent.iter().any(|other| other.abs_diff(portion) <= 1);
        if recent.len() >= RECENT {
            recent.remove(0);
        }
        recent.push(portion);
        near
    }

    fn take_waiting(&self, place: NodePlace) -> Option<Arc<Node>> {
        let mut waiting = self.waiting.borrow_mut();
        let at = waiting.iter().position(|(there, _)| *there == place)?;
        Some(Arc::new(waiting.remove(at).1))
    }

    /// Lets nodes wait, and forgets those that waited longest.
    fn let_wait(&self, nodes: Vec<(NodePlace, Node)>) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.extend(nodes);
        let most = WAITING.checked_div(self.index.block_size()).map_or(0, to_usize);
        let too_many = waiting.len().saturating_sub(most);
        waiting.drain(..too_many);
    }
}
