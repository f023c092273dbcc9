//! The mount point's root folder, and below it the trees of the volumes.
//!
//! A [`NodeId`] holds the volume's number in its upper 16 bits and the node's id in that volume's tree below. The nodes of
//! this folder itself have 0 there.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use mount_api::{
    Attr, Case, Details, DirEntry, Error, ErrorKind, From, Kind, LinkPath, Name, NodeId, NodePath, NodeRange,
    RangeKind, Reparse, StreamEntry, Time, Times, Tree, TreeInfo, Trust,
};

use super::inventory::Inventory;
use super::report::report;
use crate::Faults;
use crate::chain::{Disk, MergedSource};
use crate::image::{Changes, ReadAt};

/// Bits of a node id that belong to a volume's own tree.
const INNER_BITS: u32 = 48;
const INNER_MASK: u64 = (1 << INNER_BITS) - 1;

/// `FILE_ATTRIBUTE_READONLY` and `FILE_ATTRIBUTE_DIRECTORY`.
const READ_ONLY: u32 = 0x1;
const DIRECTORY: u32 = 0x10;

/// Bytes of the disk that are mapped at once to tell data from holes.
const MAP_STEP: u64 = 32 << 20;

/// What of a disk is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// Raw files and the folders of the volumes.
    Everything,
    /// The folders of the volumes and the report.
    Volumes,
    /// The raw files and the report.
    Disks,
}

/// The tree at the mount point.
pub struct Namespace {
    entries: Vec<Entry>,
    total_bytes: u64,
    label: Name,
    time: Time,
    /// Of the images of the chain.
    changes: Vec<Arc<dyn Changes>>,
}

/// Whether a file of the root folder is called so that is the program's own, and none of a volume.
#[must_use]
pub fn is_own_file(name: &str) -> bool {
    let number = name.strip_prefix("volume-").and_then(|rest| rest.strip_suffix(".raw"));
    let is_volume = number.is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()));
    matches!(name, "disk.raw" | "report.json") || is_volume
}

/// One name in the root folder.
struct Entry {
    name: Name,
    node: NodeId,
    content: Content,
}

enum Content {
    /// `disk.raw`.
    Disk(Arc<Disk>),
    /// `volume-N.raw`: bytes, and where they start on the disk.
    Volume { bytes: Arc<dyn ReadAt>, disk: Arc<Disk>, start: u64 },
    /// `report.json`.
    Report(Vec<u8>),
    /// `volume-N`.
    Folder(Arc<dyn Tree>),
}

impl Namespace {
    /// The tree of an opened disk. `label` names it for people; `time` is what its own files bear, best the time of the
    /// opened image.
    #[must_use]
    pub fn new(inventory: &Inventory, shown: Shown, label: &str, time: Time) -> Self {
        let disk = inventory.chain.disk();
        let mut namespace = Namespace {
            entries: Vec::new(),
            total_bytes: disk.size(),
            label: label.into(),
            time,
            changes: inventory.chain.links().iter().filter_map(|link| link.changes.clone()).collect(),
        };
        let (raws, folders) = (shown != Shown::Volumes, shown != Shown::Disks);
        if raws {
            namespace.add("disk.raw", NodeId(2), Content::Disk(Arc::clone(disk)));
        }
        for volume in &inventory.volumes {
            let number = volume.partition.number;
            // A number that does not fit is no volume of any real table; its bytes are in disk.raw.
            let Ok(number) = u16::try_from(number).map(u64::from) else { continue };
            if raws {
                let (bytes, start) = (Arc::clone(&volume.bytes), volume.partition.disk.start);
                let content = Content::Volume { bytes, disk: Arc::clone(disk), start };
                namespace.add(&format!("volume-{number}.raw"), NodeId(number << 16), content);
            }
            if folders && let Some(tree) = &volume.tree {
                let node = compose(number, NodeId::ROOT);
                namespace.add(&format!("volume-{number}"), node, Content::Folder(Arc::clone(tree)));
            }
        }
        let mut json = serde_json::to_vec_pretty(&report(inventory)).unwrap_or_default();
        json.push(b'\n');
        namespace.add("report.json", NodeId(3), Content::Report(json));
        namespace.entries.sort_by(|a, b| a.name.cmp(&b.name));
        namespace
    }

    fn add(&mut self, name: &str, node: NodeId, content: Content) {
        self.entries.push(Entry { name: name.into(), node, content });
    }

    /// Where a node belongs: to a file of this folder, or to a volume's tree.
    fn place(&self, node: NodeId) -> Result<Place<'_>, Error> {
        if node == NodeId::ROOT {
            return Ok(Place::Root);
        }
        let number = node.0 >> INNER_BITS;
        if number == 0 {
            let entry = self.entries.iter().find(|entry| entry.node == node).ok_or_else(|| unknown(node))?;
            return Ok(Place::Own(&entry.content));
        }
        let root = compose(number, NodeId::ROOT);
        match self.entries.iter().find(|entry| entry.node == root).map(|entry| &entry.content) {
            Some(Content::Folder(tree)) => Ok(Place::Inner(tree, NodeId(node.0 & INNER_MASK), number)),
            _ => Err(unknown(node)),
        }
    }

    fn own_attr(&self, kind: Kind, size: u64) -> Attr {
        let times = Times { created: self.time, modified: self.time, changed: self.time, accessed: self.time };
        Attr {
            kind,
            size,
            allocated: size,
            times,
            name_times: None,
            attributes: if kind == Kind::Directory { DIRECTORY | READ_ONLY } else { READ_ONLY },
            links: 1,
            record: 0,
            sequence: 0,
            owner: None,
            trust: Trust::Proven,
        }
    }
}

enum Place<'a> {
    Root,
    Own(&'a Content),
    /// A volume's tree, the node's id in it, the volume's number.
    Inner(&'a Arc<dyn Tree>, NodeId, u64),
}

/// The id of a volume's node in this tree. Trees use the lower 48 bits only (docs/ARCHITECTURE.md).
fn compose(number: u64, inner: NodeId) -> NodeId {
    NodeId(number << INNER_BITS | inner.0 & INNER_MASK)
}

fn unknown(node: NodeId) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no node {}", node.0))
}

fn not_a_folder() -> Error {
    Error::new(ErrorKind::NotADirectory, "not a folder")
}

impl Content {
    fn size(&self) -> u64 {
        match self {
            Content::Disk(disk) => disk.size(),
            Content::Volume { bytes, .. } => bytes.size(),
            Content::Report(json) => json.size(),
            Content::Folder(_) => 0,
        }
    }

    fn bytes(&self) -> Option<&dyn ReadAt> {
        match self {
            Content::Disk(disk) => Some(&**disk),
            Content::Volume { bytes, .. } => Some(&**bytes),
            Content::Report(json) => Some(json),
            Content::Folder(_) => None,
        }
    }

    /// The disk that holds the content, and where on it.
    fn on_disk(&self) -> Option<(&Disk, u64)> {
        match self {
            Content::Disk(disk) => Some((disk, 0)),
            Content::Volume { disk, start, .. } => Some((disk, *start)),
            Content::Report(_) | Content::Folder(_) => None,
        }
    }
}

impl Tree for Namespace {
    fn info(&self) -> TreeInfo {
        TreeInfo {
            file_system: "vhdx-mount",
            version: None,
            label: self.label.clone(),
            serial: 0,
            total_bytes: self.total_bytes,
            free_bytes: 0,
            block_size: 4096,
            case: Case::Insensitive,
        }
    }

    fn has_changed(&self) -> bool {
        self.changes.iter().any(|image| image.has_changed())
    }

    fn lookup(&self, dir: NodeId, name: &Name, case: Case) -> Result<NodeId, Error> {
        match self.place(dir)? {
            Place::Inner(tree, inner, number) => tree.lookup(inner, name, case).map(|found| compose(number, found)),
            Place::Own(_) => Err(not_a_folder()),
            Place::Root => {
                let wanted = name.to_string_lossy();
                let is = |entry: &&Entry| {
                    entry.name == *name
                        || case == Case::Insensitive && entry.name.to_string_lossy().eq_ignore_ascii_case(&wanted)
                };
                let entry = self.entries.iter().find(is);
                entry
                    .map(|entry| entry.node)
                    .ok_or_else(|| Error::new(ErrorKind::NotFound, format!("no {wanted:?} here")))
            }
        }
    }

    fn stream(&self, node: NodeId, name: &Name, case: Case) -> Result<NodeId, Error> {
        match self.place(node)? {
            Place::Inner(tree, inner, number) => tree.stream(inner, name, case).map(|found| compose(number, found)),
            _ => Err(Error::new(ErrorKind::NotFound, "no named streams here")),
        }
    }

    fn streams(&self, node: NodeId, each: &mut dyn FnMut(StreamEntry) -> ControlFlow<()>) -> Result<(), Error> {
        match self.place(node)? {
            Place::Inner(tree, inner, number) => tree.streams(inner, &mut |mut entry| {
                entry.node = compose(number, entry.node);
                each(entry)
            }),
            _ => Ok(()),
        }
    }

    fn attr(&self, node: NodeId) -> Result<Attr, Error> {
        match self.place(node)? {
            Place::Root => Ok(self.own_attr(Kind::Directory, 0)),
            Place::Own(content) => Ok(self.own_attr(Kind::File, content.size())),
            Place::Inner(tree, inner, _) => tree.attr(inner),
        }
    }

    fn times_of_name(&self, dir: NodeId, name: &Name, node: NodeId) -> Option<Times> {
        match (self.place(dir).ok()?, self.place(node).ok()?) {
            (Place::Inner(tree, dir, _), Place::Inner(_, node, _)) => tree.times_of_name(dir, name, node),
            _ => None,
        }
    }

    fn path(&self, node: NodeId) -> Option<NodePath> {
        let entry_name = |node| self.entries.iter().find(|entry| entry.node == node).map(|entry| entry.name.clone());
        match self.place(node).ok()? {
            Place::Root => Some(NodePath::default()),
            Place::Own(_) => Some(NodePath { names: vec![entry_name(node)?], stream: None }),
            Place::Inner(tree, inner, number) => {
                let mut path = tree.path(inner)?;
                path.names.insert(0, entry_name(compose(number, NodeId::ROOT))?);
                Some(path)
            }
        }
    }

    fn details(&self, node: NodeId) -> Result<Details, Error> {
        match self.place(node)? {
            Place::Inner(tree, inner, _) => tree.details(inner),
            _ => Ok(Details::default()),
        }
    }

    fn reparse(&self, node: NodeId) -> Result<Option<Reparse>, Error> {
        match self.place(node)? {
            Place::Inner(tree, inner, _) => tree.reparse(inner),
            _ => Ok(None),
        }
    }

    fn link_path(&self, link: NodeId) -> Result<Option<LinkPath>, Error> {
        match self.place(link)? {
            Place::Inner(tree, inner, _) => tree.link_path(inner),
            _ => Ok(None),
        }
    }

    fn security(&self, node: NodeId) -> Result<Option<Vec<u8>>, Error> {
        match self.place(node)? {
            Place::Inner(tree, inner, _) => tree.security(inner),
            _ => Ok(None),
        }
    }

    fn read_dir(
        &self,
        dir: NodeId,
        from: From<'_>,
        each: &mut dyn FnMut(DirEntry) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let skip = match self.place(dir)? {
            Place::Own(_) => return Err(not_a_folder()),
            Place::Inner(tree, inner, number) => {
                return tree.read_dir(inner, from, &mut |mut entry| {
                    entry.node = compose(number, entry.node);
                    each(entry)
                });
            }
            Place::Root => match from {
                From::Start => 0,
                From::Cookie(cookie) => usize::try_from(cookie).unwrap_or(usize::MAX),
                From::After(name) => self.entries.partition_point(|entry| entry.name <= *name),
            },
        };
        for (cookie, entry) in (1u64..).zip(&self.entries).skip(skip) {
            let kind = if matches!(entry.content, Content::Folder(_)) { Kind::Directory } else { Kind::File };
            if each(DirEntry { node: entry.node, name: entry.name.clone(), kind, cookie }).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn read_at(&self, node: NodeId, offset: u64, buf: &mut [u8], faults: &mut Faults) -> Result<usize, Error> {
        let content = match self.place(node)? {
            Place::Inner(tree, inner, _) => return tree.read_at(inner, offset, buf, faults),
            Place::Own(content) => content,
            Place::Root => return Err(Error::new(ErrorKind::IsADirectory, "a folder has no bytes")),
        };
        let Some(bytes) = content.bytes() else {
            return Err(Error::new(ErrorKind::IsADirectory, "a folder has no bytes"));
        };
        let there = usize::try_from(bytes.size().saturating_sub(offset)).unwrap_or(usize::MAX).min(buf.len());
        if let Some(buf) = buf.get_mut(..there)
            && !buf.is_empty()
        {
            bytes.read_at(buf, offset, faults)?;
        }
        Ok(there)
    }

    fn ranges(
        &self,
        node: NodeId,
        range: Range<u64>,
        each: &mut dyn FnMut(NodeRange) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let content = match self.place(node)? {
            Place::Inner(tree, inner, _) => return tree.ranges(inner, range, each),
            Place::Own(content) => content,
            Place::Root => return Err(Error::new(ErrorKind::IsADirectory, "a folder has no bytes")),
        };
        let range = range.start..range.end.min(content.size());
        let Some((disk, start)) = content.on_disk() else {
            if !range.is_empty() {
                let _ = each(NodeRange { range, kind: RangeKind::Data { disk_offset: None } });
            }
            return Ok(());
        };
        disk_ranges(disk, start, range, each)
    }
}

/// Tells data from holes in a range of a disk that begins at `start`, a few MiB at a time; neighbours of one kind are told
/// as one.
fn disk_ranges(
    disk: &Disk,
    start: u64,
    range: Range<u64>,
    each: &mut dyn FnMut(NodeRange) -> ControlFlow<()>,
) -> Result<(), Error> {
    let size = disk.size();
    let mut open: Option<NodeRange> = None;
    let mut at = range.start;
    while at < range.end {
        let from = start.saturating_add(at);
        let end = start.saturating_add(range.end);
        // Past the end of the disk there is nothing to map: a partition may claim exabytes there.
        let to = if from >= size { end } else { from.saturating_add(MAP_STEP).min(end) };
        let mut extents = disk.map(from.min(size)..to.min(size))?;
        if to > size {
            let past = MergedSource::Lost(crate::report::Code::ReadPastEnd);
            extents.push(crate::chain::MergedExtent { disk: from.max(size)..to, source: past, link: 0, doubt: None });
        }
        for extent in extents {
            let piece = extent.disk.start.saturating_sub(start)..extent.disk.end.saturating_sub(start);
            let kind = match (extent.source, extent.doubt) {
                (MergedSource::Lost(code), _) => RangeKind::Lost(code.as_str()),
                (_, Some(code)) if disk.refuses(code) => RangeKind::Lost(code.as_str()),
                (_, Some(code)) => RangeKind::Doubtful(code.as_str()),
                (MergedSource::Zero, None) => RangeKind::Sparse,
                (MergedSource::Data { .. }, None) => RangeKind::Data { disk_offset: Some(extent.disk.start) },
            };
            match &mut open {
                Some(open) if open.range.end == piece.start && same_kind(&open.kind, &kind) => {
                    open.range.end = piece.end;
                }
                _ => {
                    if let Some(done) = open.replace(NodeRange { range: piece, kind })
                        && each(done).is_break()
                    {
                        return Ok(());
                    }
                }
            }
        }
        at = to.saturating_sub(start);
    }
    if let Some(done) = open {
        let _ = each(done);
    }
    Ok(())
}

/// Whether two neighbouring stretches can be told as one. Data on the merged disk always goes on where it ends.
fn same_kind(a: &RangeKind, b: &RangeKind) -> bool {
    a == b || matches!((a, b), (RangeKind::Data { disk_offset: Some(_) }, RangeKind::Data { disk_offset: Some(_) }))
}
