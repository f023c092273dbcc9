//! An index of a file: a B-tree with its root in `$INDEX_ROOT` and the other nodes in `$INDEX_ALLOCATION`.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use mount_api::{Error, Faults, Trust};

use super::index_node::{IndexEntry, Node};
use super::stream::Stream;
use super::volume::{Volume, whole};
use super::{corrupt, to_usize};
use crate::bytes::u32_le;

/// No folder of any size is nearly as deep.
const MAX_DEPTH: usize = 32;
/// The largest index block that is believed; Windows makes 4 KiB, and one cluster of up to 2 MiB can be asked for.
const MAX_BLOCK: u64 = 2 << 20;
/// Where clusters are larger than index blocks, blocks are counted in these units.
const SMALL_UNIT: u64 = 512;
/// Block numbers stay below this, so that a place in the index fits into a cookie: 2 TiB of names.
const MAX_BLOCKS: u64 = 1 << 29;

/// Where a node is: 0 for the root, else the number of the index block + 1.
pub(super) type NodePlace = u64;

/// A node of a volume: of which file record and which of its indexes it is, and its place there.
pub(super) type NodeKey = (u32, &'static str, NodePlace);

/// An index, opened.
pub(super) struct Index {
    /// For messages: whose it is.
    owner: String,
    root: Arc<Node>,
    block_size: u64,
    /// Bytes in which the entries count the places of blocks.
    unit: u64,
    allocation: Option<Arc<Stream>>,
    bitmap: Option<Arc<Stream>>,
}

/// An entry and where it stands.
pub(super) struct Found {
    node: Arc<Node>,
    pub(super) place: NodePlace,
    pub(super) ordinal: usize,
}

impl Found {
    pub(super) fn new(node: Arc<Node>, place: NodePlace, ordinal: usize) -> Self {
        Found { node, place, ordinal }
    }

    pub(super) fn entry(&self) -> Option<IndexEntry<'_>> {
        self.node.entry(self.ordinal)
    }
}

/// Reads nodes; may keep them.
pub(super) type Load<'a> = &'a dyn Fn(NodePlace) -> Result<Arc<Node>, Error>;

impl Index {
    /// An index from the value of its root and the streams beside it.
    pub(super) fn new(
        owner: String,
        root: &[u8],
        allocation: Option<Arc<Stream>>,
        bitmap: Option<Arc<Stream>>,
        volume: &Volume,
    ) -> Result<Self, Error> {
        let bad = |text: String| corrupt(format!("{owner}: $INDEX_ROOT: {text}"));
        let block_size = u64::from(u32_le(root, 8).ok_or_else(|| bad("it is cut short".into()))?);
        if !(512..=MAX_BLOCK).contains(&block_size) || !block_size.is_power_of_two() {
            return Err(bad(format!("an index block cannot have {block_size} bytes")));
        }
        let cluster_size = volume.boot.cluster_size;
        let unit = if block_size < cluster_size { SMALL_UNIT } else { cluster_size };
        let root = Arc::new(Node::root(root).map_err(bad)?);
        Ok(Index { owner, root, block_size, unit, allocation, bitmap })
    }

    /// The root node.
    pub(super) fn root(&self) -> &Arc<Node> {
        &self.root
    }

    /// The place of the node that an entry calls by `vcn`.
    fn place(&self, vcn: u64) -> Result<NodePlace, Error> {
        let bad = || corrupt(format!("{}: an entry leads to the absurd place {vcn}", self.owner));
        let offset = vcn.checked_mul(self.unit).ok_or_else(bad)?;
        let (number, rest) = (offset.checked_div(self.block_size), offset.checked_rem(self.block_size));
        match (number, rest) {
            (Some(number), Some(0)) if number < MAX_BLOCKS => Ok(number.saturating_add(1)),
            _ => Err(bad()),
        }
    }

    /// Reads an index block, and says how far it can be trusted.
    pub(super) fn read(&self, volume: &Volume, place: NodePlace) -> Result<(Node, Trust), Error> {
        let what = || format!("{}: index block {}", self.owner, place.saturating_sub(1));
        let offset = place.checked_sub(1).and_then(|number| number.checked_mul(self.block_size));
        let (Some(offset), Some(allocation)) = (offset, &self.allocation) else {
            return Err(corrupt(format!("{}: it is not there", what())));
        };
        let mut bytes = vec![0; to_usize(self.block_size)];
        let mut faults = Faults::new();
        if allocation.read(volume, offset, &mut bytes, &mut faults)? < bytes.len() {
            return Err(corrupt(format!("{}: it lies past the end of $INDEX_ALLOCATION", what())));
        }
        let trust = whole(&faults, what)?;
        let vcn = offset.checked_div(self.unit).unwrap_or(0);
        let node = Node::block(bytes, vcn).map_err(|text| corrupt(format!("{}: {text}", what())))?;
        Ok((node, trust))
    }

    /// Reads `count` blocks from number `first` on through `memory`: those of them that hold, where all can be had without a
    /// fault.
    pub(super) fn read_together(
        &self,
        volume: &Volume,
        first: u64,
        count: u64,
        memory: &mut Vec<u8>,
    ) -> Vec<(NodePlace, Node)> {
        let start = first.saturating_mul(self.block_size);
        let wanted = count.saturating_mul(self.block_size);
        memory.resize(to_usize(self.allocated().saturating_sub(start).min(wanted)), 0);
        let mut faults = Faults::new();
        let read = self.allocation.as_ref().map(|allocation| allocation.read(volume, start, memory, &mut faults));
        if !matches!(read, Some(Ok(_))) || !faults.is_empty() {
            return Vec::new();
        }
        let block_size = to_usize(self.block_size);
        let offsets = (start..).step_by(block_size);
        let nodes = offsets.zip(first.saturating_add(1)..).zip(memory.chunks_exact(block_size));
        let node = |((offset, place), block): ((u64, NodePlace), &[u8])| {
            let vcn = offset.checked_div(self.unit)?;
            Some((place, Node::block(block.to_vec(), vcn).ok()?))
        };
        nodes.filter_map(node).collect()
    }

    /// Bytes of an index block.
    pub(super) fn block_size(&self) -> u64 {
        self.block_size
    }

    /// Bytes of its blocks, in use or not.
    pub(super) fn allocated(&self) -> u64 {
        self.allocation.as_ref().map_or(0, |allocation| allocation.size())
    }

    /// The places of the blocks that `$BITMAP` says are in use, and that stand where the volume has bytes: it may claim more
    /// than any disk holds. What cannot be read of it counts as not in use.
    pub(super) fn blocks_in_use<'a>(&'a self, volume: &'a Volume) -> impl Iterator<Item = NodePlace> + 'a {
        let streams = self.allocation.iter().zip(&self.bitmap);
        streams.flat_map(move |(allocation, bitmap)| {
            let blocks = allocation.size().checked_div(self.block_size).unwrap_or(0).min(MAX_BLOCKS);
            let number = move |at: u64| at.div_ceil(self.block_size).min(blocks);
            let there = allocation.backed(volume).map(move |range| number(range.start)..number(range.end));
            there.flat_map(move |numbers| set_bits(bitmap, volume, numbers)).map(|number| number.saturating_add(1))
        })
    }
}

/// The numbers of this range that are set in a bitmap, read in portions.
fn set_bits<'a>(bitmap: &'a Stream, volume: &'a Volume, numbers: Range<u64>) -> impl Iterator<Item = u64> + 'a {
    const PORTION: u64 = 4096;
    let (first_byte, end_byte) = (numbers.start / 8, numbers.end.div_ceil(8));
    let end_byte = if numbers.is_empty() { first_byte } else { end_byte.min(bitmap.size()) };
    (first_byte..end_byte).step_by(to_usize(PORTION)).flat_map(move |at| {
        let mut bytes = vec![0; to_usize(end_byte.saturating_sub(at).min(PORTION))];
        let read = bitmap.read(volume, at, &mut bytes, &mut Faults::new()).unwrap_or(0);
        bytes.truncate(read);
        let bits = bytes.into_iter().flat_map(|byte| (0..8u32).map(move |bit| byte >> bit & 1 != 0));
        let numbers = numbers.clone();
        (at.saturating_mul(8)..)
            .zip(bits)
            .filter(move |(n, used)| *used && numbers.contains(n))
            .map(|(number, _)| number)
    })
}

/// A place between two entries of an index, moving on in their order.
pub(super) struct Cursor<'a> {
    index: &'a Index,
    load: Load<'a>,
    path: Vec<Step>,
    /// Every node met but the root: none is walked twice, or few blocks that lead to each other could be walked for ever.
    met: HashSet<NodePlace>,
}

struct Step {
    node: Arc<Node>,
    place: NodePlace,
    /// The entry to come next.
    next: usize,
    /// Whether what lies below that entry was walked.
    below_done: bool,
}

impl<'a> Cursor<'a> {
    /// Before the first entry.
    pub(super) fn at_start(index: &'a Index, load: Load<'a>) -> Self {
        let first = Step { node: Arc::clone(&index.root), place: 0, next: 0, below_done: false };
        Cursor { index, load, path: vec![first], met: HashSet::new() }
    }

    /// Before the first entry that is not less than what is looked for; `stands` says how an entry stands to it.
    pub(super) fn at(
        index: &'a Index,
        load: Load<'a>,
        stands: &dyn Fn(IndexEntry<'_>) -> Ordering,
    ) -> Result<Self, Error> {
        let mut cursor = Cursor { index, load, path: Vec::new(), met: HashSet::new() };
        let mut node = Arc::clone(&index.root);
        let mut place = 0;
        loop {
            let next = node.first_not_less(stands);
            let child = node.entry(next).and_then(|entry| entry.child());
            cursor.path.push(Step { node, place, next, below_done: true });
            match child {
                None => return Ok(cursor),
                Some(vcn) => (node, place) = cursor.descend(vcn)?,
            }
        }
    }

    fn descend(&mut self, vcn: u64) -> Result<(Arc<Node>, NodePlace), Error> {
        let place = self.index.place(vcn)?;
        let bad = |text: &str| corrupt(format!("{}: {text}", self.index.owner));
        if self.path.len() >= MAX_DEPTH {
            return Err(bad("its index is deeper than any is"));
        }
        if self.path.iter().any(|step| step.place == place) {
            return Err(bad("its index leads back to itself"));
        }
        if !self.met.insert(place) {
            return Err(bad("two entries of its index lead to one block"));
        }
        Ok(((self.load)(place)?, place))
    }

    /// The next entry. After an error it goes on behind what could not be read.
    pub(super) fn next(&mut self) -> Option<Result<Found, Error>> {
        loop {
            let step = self.path.last_mut()?;
            let entry = step.node.entry(step.next);
            if !step.below_done {
                step.below_done = true;
                if let Some(vcn) = entry.and_then(|entry| entry.child()) {
                    match self.descend(vcn) {
                        Ok((node, place)) => self.path.push(Step { node, place, next: 0, below_done: false }),
                        Err(error) => return Some(Err(error)),
                    }
                    continue;
                }
            }
            if entry.is_none_or(|entry| entry.is_last()) {
                self.path.pop();
                continue;
            }
            let found = Found { node: Arc::clone(&step.node), place: step.place, ordinal: step.next };
            step.next = step.next.saturating_add(1);
            step.below_done = false;
            return Some(Ok(found));
        }
    }

    /// The nodes met so far, the root left out.
    pub(super) fn met(&self) -> &HashSet<NodePlace> {
        &self.met
    }
}
