//! The nodes of an index for who walks it whole: where the walk comes to blocks that stand side by side, they are read
//! together.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use mount_api::Error;

use super::index::{Index, NodePlace};
use super::index_node::Node;
use super::open::NODES_KEPT;
use super::{Ntfs, to_u64};

/// Bytes of blocks that are read together.
const TOGETHER: u64 = 64 << 10;

/// Reads the nodes of one index while it is walked.
pub(super) struct IndexWalk<'a> {
    ntfs: &'a Ntfs,
    index: &'a Index,
    record: u32,
    name: &'static str,
    /// Which of the portions that are read together was wanted last.
    last: Cell<u64>,
    /// What portions are read into.
    memory: RefCell<Vec<u8>>,
}

impl<'a> IndexWalk<'a> {
    /// For the index of this name in a file record.
    pub(super) fn new(ntfs: &'a Ntfs, index: &'a Index, record: u32, name: &'static str) -> Self {
        IndexWalk { ntfs, index, record, name, last: Cell::default(), memory: RefCell::default() }
    }

    /// A node, as [`Ntfs::node`] has it.
    pub(super) fn node(&self, place: NodePlace) -> Result<Arc<Node>, Error> {
        if let Some(node) = self.ntfs.kept_node(self.index, self.record, self.name, place) {
            return Ok(node);
        }
        let blocks = TOGETHER.checked_div(self.index.block_size()).unwrap_or(0);
        let portion = place.saturating_sub(1).checked_div(blocks).unwrap_or(0);
        let last = self.last.replace(portion);
        // In an index of any other order the blocks beside it would be gone again when they are wanted.
        let are_wanted = portion.abs_diff(last) <= 1 || self.index.allocated() <= to_u64(NODES_KEPT) / 2;
        if are_wanted && blocks > 1 {
            let volume = &self.ntfs.volume;
            let watch = volume.losses.watch();
            let first = portion.saturating_mul(blocks);
            for (place, node) in self.index.read_together(volume, first, blocks, &mut self.memory.borrow_mut()) {
                self.ntfs.keep_node((self.record, self.name, place), Arc::new(node), watch.holds());
            }
        }
        // Where they could not all be had, this one may be all the same.
        self.ntfs.node(self.index, self.record, self.name, place)
    }
}
