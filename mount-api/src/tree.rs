use std::ops::{ControlFlow, Range};

use crate::{Attr, Case, Details, Error, Faults, Kind, LinkPath, Name, Reparse, Times};

/// A node of a [`Tree`]: a file, a folder, a link or a named stream.
///
/// 64 bits that mean something to the tree alone; [`NodeId::ROOT`] is the root of every tree. The same node of the same
/// disk has the same id on every mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl NodeId {
    /// The root folder.
    pub const ROOT: NodeId = NodeId(1);
}

/// Whether what is shown is proven by the structures that led to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trust {
    /// Every structure on the way was read and holds.
    Proven,
    /// Something on the way is doubtful; the code of the finding says what.
    Doubtful(&'static str),
}

/// What a tree is as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeInfo {
    /// The file system's name: `NTFS`, or `vhdx-mount` for the namespace that holds several.
    pub file_system: &'static str,
    /// The version of its format, major and minor, where it tells one.
    pub version: Option<(u8, u8)>,
    /// The volume label; may be empty.
    pub label: Name,
    /// The volume serial number; 0 where there is none.
    pub serial: u64,
    /// Size in bytes of what the tree shows.
    pub total_bytes: u64,
    /// Unallocated bytes, 0 where not known. Nothing can be written; this is for `df`.
    pub free_bytes: u64,
    /// The allocation unit in bytes; a power of two, at least 512.
    pub block_size: u32,
    /// How names are compared where the system does not say.
    pub case: Case,
}

/// Where a listing goes on.
#[derive(Debug, Clone, Copy)]
pub enum From<'a> {
    /// From the first entry.
    Start,
    /// After the entry that had this [`DirEntry::cookie`].
    Cookie(u64),
    /// After the place where this name stands or would stand in the tree's order.
    After(&'a Name),
}

/// One name in a folder. `.` and `..` are never listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The node behind the name.
    pub node: NodeId,
    /// The name; never empty.
    pub name: Name,
    /// Folder, file or link.
    pub kind: Kind,
    /// Names this place in the folder for [`From::Cookie`]. Greater than 0, at most `i64::MAX / 2`.
    pub cookie: u64,
}

/// One named stream of a file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEntry {
    /// The stream's own node.
    pub node: NodeId,
    /// Its name, without colons; never empty.
    pub name: Name,
    /// Its length in bytes.
    pub size: u64,
    /// Bytes of the disk set aside for it.
    pub allocated: u64,
}

/// A stretch of a node's content and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeRange {
    /// Bytes of the node.
    pub range: Range<u64>,
    /// What stands behind them.
    pub kind: RangeKind,
}

/// The names that lead to a node, for messages and reports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodePath {
    /// The names, from the first below the root.
    pub names: Vec<Name>,
    /// The named stream, where the node is one.
    pub stream: Option<Name>,
}

impl std::fmt::Display for NodePath {
    /// `a/b/c:stream`; names that are no text are shown as well as they can be.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<String> = self.names.iter().map(Name::to_string_lossy).collect();
        f.write_str(&names.join("/"))?;
        self.stream.as_ref().map_or(Ok(()), |stream| write!(f, ":{stream}"))
    }
}

/// What stands behind a [`NodeRange`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RangeKind {
    /// Bytes on the disk; `disk_offset` counts from the start of the tree's disk or volume, where one can be named.
    Data {
        /// Byte offset of the range's first byte.
        disk_offset: Option<u64>,
    },
    /// Reads as zeros by the file system's own word (a hole, or past the initialized size).
    Sparse,
    /// Served, but unproven.
    Doubtful(&'static str),
    /// Not known; reads fail.
    Lost(&'static str),
}

/// A read-only tree of files that never changes, unless [`has_changed`](Tree::has_changed) says so.
///
/// Every call may come from any number of threads at once, and an `each` may call the tree again: a tree holds no lock
/// while it calls one.
///
/// # Errors
/// All calls return [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) for an id that the tree never gave out, and
/// [`ErrorKind::Lost`](crate::ErrorKind::Lost), [`Corrupt`](crate::ErrorKind::Corrupt) or
/// [`Io`](crate::ErrorKind::Io) where damage keeps them from answering.
pub trait Tree: Send + Sync + 'static {
    /// The tree as a whole.
    fn info(&self) -> TreeInfo;

    /// Whether what lies below the tree changed after all, so that what was read of it before does not count any more. Costs
    /// little; an adapter that lets its system keep what was read asks about once a second.
    fn has_changed(&self) -> bool {
        false
    }

    /// The node of this name in a folder.
    fn lookup(&self, dir: NodeId, name: &Name, case: Case) -> Result<NodeId, Error>;

    /// The named stream of a file or folder. The name is a parameter of its own, for `:` is legal in some names.
    fn stream(&self, node: NodeId, name: &Name, case: Case) -> Result<NodeId, Error>;

    /// Calls `each` with every named stream until it breaks.
    fn streams(&self, node: NodeId, each: &mut dyn FnMut(StreamEntry) -> ControlFlow<()>) -> Result<(), Error>;

    /// Kind, sizes, times, attributes.
    fn attr(&self, node: NodeId) -> Result<Attr, Error>;

    /// The times that a file's name `name` in the folder `dir` bears, where it has several names: [`Attr::name_times`] are those
    /// of the first. `None` where there is no such name, or it bears none.
    fn times_of_name(&self, dir: NodeId, name: &Name, node: NodeId) -> Option<Times> {
        let _ = (dir, name, node);
        None
    }

    /// The names that lead from the root to the node, for messages and reports: one of its paths where it has several, and
    /// `None` where the tree cannot tell.
    fn path(&self, node: NodeId) -> Option<NodePath> {
        let _ = node;
        None
    }

    /// What an examiner asks besides: of a tree that knows of no such things, nothing.
    fn details(&self, node: NodeId) -> Result<Details, Error> {
        let _ = node;
        Ok(Details::default())
    }

    /// What the node's reparse point says; `None` where it has none.
    fn reparse(&self, node: NodeId) -> Result<Option<Reparse>, Error>;

    /// Where a link leads within its own file system, for systems that follow links by real names; `None` where it leads
    /// elsewhere, or the tree cannot tell.
    fn link_path(&self, link: NodeId) -> Result<Option<LinkPath>, Error> {
        let _ = link;
        Ok(None)
    }

    /// The self-relative security descriptor, where there is one.
    fn security(&self, node: NodeId) -> Result<Option<Vec<u8>>, Error>;

    /// Calls `each` with the entries of a folder, in the tree's order, until it breaks.
    ///
    /// When a part of the folder is damaged, the entries that can be read are listed first and the error comes last.
    fn read_dir(
        &self,
        dir: NodeId,
        from: From<'_>,
        each: &mut dyn FnMut(DirEntry) -> ControlFlow<()>,
    ) -> Result<(), Error>;

    /// Reads the content from `offset` on. Returns how many bytes there are: all of `buf`, or fewer where the node ends.
    ///
    /// Lost ranges are zeros in `buf` and named in `faults`, counted in bytes from the start of the node; an `Err` means
    /// that nothing could be read at all.
    fn read_at(&self, node: NodeId, offset: u64, buf: &mut [u8], faults: &mut Faults) -> Result<usize, Error>;

    /// Calls `each` with the stretches that tile `range` of the content, in order, until it breaks. The content of a folder
    /// is what its names are kept in, where the tree can tell where that lies; else it is refused as `read_at` refuses it.
    fn ranges(
        &self,
        node: NodeId,
        range: Range<u64>,
        each: &mut dyn FnMut(NodeRange) -> ControlFlow<()>,
    ) -> Result<(), Error>;
}
