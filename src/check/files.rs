//! The files that lost and doubtful ranges touch: every file, folder and stream of every volume is held against them.

use std::collections::{HashMap, HashSet};
use std::ops::{ControlFlow, Range};

use mount_api::{Attr, DirEntry, Error, ErrorKind, From, Kind, Name, NodeId, RangeKind, StreamEntry, Tree, Trust};

use super::progress::Progress;
use super::ranges::Ranges;
use super::{Area, head, subtract};
use crate::bytes::len_u64;
use crate::namespace::{Inventory, Volume};
use crate::ranges::{length, united};
use crate::report::Code;
use crate::{FaultKind, Faults};

/// So many files are kept, with so many names in all of their paths. Further ones are counted.
const MAX_FILES: usize = 100_000;
const MAX_NAMES: usize = 2_000_000;

/// Bytes of a file that are read at once, where only reading tells what of it is lost.
const READ: usize = 1 << 20;

/// What a touched file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TouchedKind {
    /// A file, or a link.
    File,
    /// A folder; its bytes are those of its index.
    Folder,
    /// A named stream of either.
    Stream,
}

/// A file, folder or stream that is not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TouchedFile {
    /// The volume's number.
    pub volume: u32,
    /// The names from the volume's root on. That of a stream stands last, behind the file's.
    pub path: Vec<Name>,
    /// What it is.
    pub kind: TouchedKind,
    /// Bytes of its content; `None` where its metadata is lost.
    pub size: Option<u64>,
    /// How many of them are lost.
    pub lost: u64,
    /// How many are doubtful, and not lost.
    pub doubtful: u64,
    /// Why its metadata is doubtful, if it is.
    pub metadata_doubt: Option<&'static str>,
    /// What could not be done at all: its metadata read, all names of a folder listed.
    pub error: Option<String>,
}

/// A file or stream that holds content which this program does not read: what of it is lost cannot be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadFile {
    /// The volume's number.
    pub volume: u32,
    /// As in [`TouchedFile::path`].
    pub path: Vec<Name>,
    /// What it is.
    pub kind: TouchedKind,
    /// Bytes of its content; `None` where its metadata is lost.
    pub size: Option<u64>,
    /// Why it is not read, in words.
    pub why: String,
}

/// All files that are not whole, and those that are not read.
#[derive(Debug, Default)]
pub struct Touched {
    list: Vec<TouchedFile>,
    count: u64,
    contradicted: u64,
    looked_at: u64,
    unread_list: Vec<UnreadFile>,
    unread: u64,
    /// How many names stand in the paths of both lists.
    names: usize,
}

impl Touched {
    /// The files, volume by volume, in the order of their folders.
    #[must_use]
    pub fn list(&self) -> &[TouchedFile] {
        &self.list
    }

    /// How many there are, those that were left out of the list too.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many of them have metadata that can be read and contradicts itself: no lost or doubtful byte of the disk is why.
    #[must_use]
    pub fn contradicted(&self) -> u64 {
        self.contradicted
    }

    /// How many files, folders and streams were looked at.
    #[must_use]
    pub fn looked_at(&self) -> u64 {
        self.looked_at
    }

    /// How many files and streams hold content that this program does not read (deduplicated or kept elsewhere, longer than
    /// the disk).
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.unread
    }

    /// These files, in the order of their folders. One that is touched besides stands in both lists.
    #[must_use]
    pub fn unread_list(&self) -> &[UnreadFile] {
        &self.unread_list
    }

    /// Whether none was left out of either list.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        usize::try_from(self.count) == Ok(self.list.len()) && usize::try_from(self.unread) == Ok(self.unread_list.len())
    }

    fn add(&mut self, file: impl FnOnce() -> TouchedFile, names: usize) {
        self.count = self.count.saturating_add(1);
        if self.list.len() < MAX_FILES && self.has_room_for(names) {
            self.list.push(file());
        }
    }

    fn add_unread(&mut self, file: impl FnOnce() -> UnreadFile, names: usize) {
        self.unread = self.unread.saturating_add(1);
        if self.unread_list.len() < MAX_FILES && self.has_room_for(names) {
            self.unread_list.push(file());
        }
    }

    /// Whether a path of so many names can be kept; counts them, if so.
    fn has_room_for(&mut self, names: usize) -> bool {
        let all = self.names.saturating_add(names);
        if all <= MAX_NAMES {
            self.names = all;
        }
        all <= MAX_NAMES
    }
}

/// Holds all files of all volumes against the ranges. Where `unpack`, content that has no place of its own on the disk is read:
/// whether what is compressed decompresses shows no otherwise.
pub(super) fn touched(
    inventory: &Inventory,
    lost: &Ranges,
    doubtful: &Ranges,
    unpack: bool,
    progress: &Progress,
) -> Touched {
    let mut touched = Touched::default();
    for volume in &inventory.volumes {
        let Some(tree) = &volume.tree else { continue };
        let mut walk = Walk::new(inventory, volume, &**tree, (lost, doubtful), progress, &mut touched);
        walk.unpack = unpack;
        walk.all();
    }
    touched
}

struct Walk<'a> {
    tree: &'a dyn Tree,
    volume: u32,
    /// Where the volume begins on the disk, and where the disk ends.
    start: u64,
    disk_size: u64,
    lost: &'a Ranges,
    doubtful: &'a Ranges,
    /// Any byte of the volume is lost; any is lost or doubtful.
    any_lost: bool,
    any: bool,
    /// Whether content without places on the disk is read where nothing of the volume is lost or doubtful, too.
    unpack: bool,
    progress: &'a Progress,
    touched: &'a mut Touched,
    buf: Vec<u8>,
    /// What the content of files of several names came to, and of their streams: it is read once.
    known: HashMap<NodeId, Content>,
}

/// What of a node's content is not whole.
#[derive(Debug, Clone, Copy, Default)]
struct Damage {
    lost: u64,
    doubtful: u64,
}

/// What a node's content came to.
#[derive(Debug, Clone, Default)]
struct Content {
    damage: Damage,
    /// Why some of it is not read.
    unread: Option<String>,
    /// What kept the rest from being told.
    error: Option<Error>,
}

impl Content {
    fn is_touched(&self) -> bool {
        self.damage.lost > 0 || self.damage.doubtful > 0 || self.error.is_some()
    }
}

impl<'a> Walk<'a> {
    fn new(
        inventory: &Inventory,
        volume: &Volume,
        tree: &'a dyn Tree,
        (lost, doubtful): (&'a Ranges, &'a Ranges),
        progress: &'a Progress,
        touched: &'a mut Touched,
    ) -> Self {
        let disk = &volume.partition.disk;
        let disk_size = inventory.chain.disk().geometry().virtual_size;
        let any_lost = lost.touches(disk) || !lost.is_whole() || disk.end > disk_size;
        Walk {
            tree,
            volume: volume.partition.number,
            start: disk.start,
            disk_size,
            lost,
            doubtful,
            any_lost,
            any: any_lost || doubtful.touches(disk) || !doubtful.is_whole(),
            unpack: false,
            progress,
            touched,
            buf: vec![0; READ],
            known: HashMap::new(),
        }
    }

    /// Walks through all folders, without recursion: a damaged tree may be deep.
    fn all(&mut self) {
        // Each with its name and how many folders stand above it. `path` leads to the one that is looked at.
        let mut folders = vec![(NodeId::ROOT, None, 0)];
        let mut path: Vec<Name> = Vec::new();
        let mut known = HashSet::from([NodeId::ROOT]);
        while let Some((folder, name, above)) = folders.pop()
            && !self.progress.is_stopped()
        {
            path.truncate(above);
            path.extend(name);
            let mut entries: Vec<DirEntry> = Vec::new();
            let listed = self.tree.read_dir(folder, From::Start, &mut |entry| {
                entries.push(entry);
                ControlFlow::Continue(())
            });
            self.node(folder, TouchedKind::Folder, &mut path, listed.err());
            let mut below = Vec::new();
            for entry in entries {
                if self.progress.is_stopped() {
                    return;
                }
                if entry.kind == Kind::Directory && known.insert(entry.node) {
                    below.push((entry.node, Some(entry.name), path.len()));
                    continue;
                }
                path.push(entry.name);
                if entry.kind == Kind::Directory {
                    let error = Error::new(ErrorKind::Corrupt, "a folder that stands under another name too");
                    self.add(&path, TouchedKind::Folder, None, Damage::default(), Some(&error));
                } else {
                    self.node(entry.node, TouchedKind::File, &mut path, None);
                }
                path.pop();
            }
            below.reverse();
            folders.append(&mut below);
        }
    }

    /// Looks at one node and at its streams. `error` is what has gone wrong with it already. The path is as it was afterwards.
    fn node(&mut self, node: NodeId, kind: TouchedKind, path: &mut Vec<Name>, error: Option<Error>) {
        self.progress.advance(1);
        self.touched.looked_at = self.touched.looked_at.saturating_add(1);
        let attr = match self.tree.attr(node) {
            Ok(attr) => attr,
            Err(error) => return self.add(path, kind, None, Damage::default(), Some(&error)),
        };
        let has_names = attr.links > 1;
        let content = self.content(node, has_names);
        let mut streams: Vec<StreamEntry> = Vec::new();
        let listed = self.tree.streams(node, &mut |stream| {
            streams.push(stream);
            ControlFlow::Continue(())
        });
        let is_touched = content.is_touched() || attr.trust != Trust::Proven;
        let error = error.or(content.error).or(listed.err());
        if is_touched || error.is_some() {
            self.add(path, kind, Some(&attr), content.damage, error.as_ref());
        }
        self.add_unread(path, kind, Some(&attr), content.unread);
        for stream in streams {
            self.touched.looked_at = self.touched.looked_at.saturating_add(1);
            let content = self.content(stream.node, has_names);
            if content.is_touched() || content.unread.is_some() {
                let attr = self.tree.attr(stream.node).ok();
                path.push(stream.name);
                if content.is_touched() {
                    self.add(path, TouchedKind::Stream, attr.as_ref(), content.damage, content.error.as_ref());
                }
                self.add_unread(path, TouchedKind::Stream, attr.as_ref(), content.unread);
                path.pop();
            }
        }
    }

    fn add_unread(&mut self, path: &[Name], kind: TouchedKind, attr: Option<&Attr>, why: Option<String>) {
        let Some(why) = why else { return };
        let (volume, size) = (self.volume, attr.map(|attr| attr.size));
        self.touched.add_unread(|| UnreadFile { volume, path: path.to_vec(), kind, size, why }, path.len());
    }

    fn add(&mut self, path: &[Name], kind: TouchedKind, attr: Option<&Attr>, damage: Damage, error: Option<&Error>) {
        let metadata_doubt = attr.and_then(|attr| match attr.trust {
            Trust::Doubtful(code) => Some(code),
            Trust::Proven => None,
        });
        let of_file_system = |code| Code::named(code).is_some_and(|code| Area::of(code) == Area::GuestFileSystem);
        let is_corrupt = error.is_some_and(|error| error.kind() == ErrorKind::Corrupt);
        if damage.lost == 0 && damage.doubtful == 0 && (is_corrupt || metadata_doubt.is_some_and(of_file_system)) {
            self.touched.contradicted = self.touched.contradicted.saturating_add(1);
        }
        let volume = self.volume;
        let file = || TouchedFile {
            volume,
            path: path.to_vec(),
            kind,
            size: attr.map(|attr| attr.size),
            lost: damage.lost,
            doubtful: damage.doubtful,
            metadata_doubt,
            error: error.map(ToString::to_string),
        };
        self.touched.add(file, path.len());
    }

    /// What a node's content came to; where it stands under several names, it is looked at once.
    fn content(&mut self, node: NodeId, has_names: bool) -> Content {
        if let Some(known) = self.known.get(&node) {
            return known.clone();
        }
        let content = self.look_at_content(node);
        if has_names && !self.progress.is_stopped() {
            self.known.insert(node, content.clone());
        }
        content
    }

    fn look_at_content(&mut self, node: NodeId) -> Content {
        let mut damage = Damage::default();
        let mut unread = None;
        // Stretches of which only reading tells, and how many doubtful bytes were counted for them already.
        let mut to_read: Vec<Range<u64>> = Vec::new();
        let (start, disk_size, any, any_lost) = (self.start, self.disk_size, self.any, self.any_lost);
        let unpack = any || self.unpack;
        let (lost, doubtful) = (self.lost, self.doubtful);
        let told = self.tree.ranges(node, 0..u64::MAX, &mut |stretch| {
            let bytes = length(&stretch.range);
            match stretch.kind {
                RangeKind::Sparse => {}
                RangeKind::Lost(_) => damage.lost = damage.lost.saturating_add(bytes),
                RangeKind::Doubtful(_) if any_lost => push(&mut to_read, stretch.range),
                RangeKind::Doubtful(_) => damage.doubtful = damage.doubtful.saturating_add(bytes),
                RangeKind::Data { disk_offset: None } if unpack => push(&mut to_read, stretch.range),
                RangeKind::Data { disk_offset: None } => {}
                RangeKind::Data { .. } if !any => {}
                RangeKind::Data { disk_offset: Some(offset) } => {
                    let from = start.saturating_add(offset);
                    let to = from.saturating_add(bytes);
                    let on_disk = from.min(disk_size)..to.min(disk_size);
                    let past = bytes.saturating_sub(length(&on_disk));
                    damage.lost = damage.lost.saturating_add(past).saturating_add(sum(lost.overlaps(&on_disk)));
                    damage.doubtful = damage.doubtful.saturating_add(sum(doubtful.overlaps(&on_disk)));
                }
            }
            ControlFlow::Continue(())
        });
        for range in to_read {
            // More than the disk has can be compressed, and more than can be read can be made up.
            if length(&range) > self.disk_size {
                unread = Some("more of it than the disk has bytes can only be told by reading it".to_owned());
                continue;
            }
            self.read(node, &range, &mut damage);
        }
        let error = match told {
            Ok(()) => None,
            Err(error) => match error.kind() {
                // Folders whose index cannot be told, and nodes without content.
                ErrorKind::IsADirectory | ErrorKind::NotFound => None,
                ErrorKind::Encrypted | ErrorKind::Unsupported => {
                    unread = Some(error.to_string());
                    None
                }
                _ => Some(error),
            },
        };
        Content { damage, unread, error }
    }

    /// Reads a stretch to learn what of it is lost and doubtful.
    fn read(&mut self, node: NodeId, range: &Range<u64>, damage: &mut Damage) {
        let mut at = range.start;
        while at < range.end && !self.progress.is_stopped() {
            let buf = head(&mut self.buf, range.end.saturating_sub(at));
            let wanted = at..at.saturating_add(len_u64(buf));
            let mut faults = Faults::new();
            match self.tree.read_at(node, at, buf, &mut faults) {
                Ok(0) => break,
                Ok(_) => {}
                Err(_) => {
                    faults.clear();
                    faults.lost(wanted.clone(), "host-read-error");
                }
            }
            let of_kind = |kind: FaultKind| {
                united(faults.iter().filter(|fault| fault.kind == kind).map(|fault| fault.range.clone()).collect())
            };
            let lost = of_kind(FaultKind::Lost);
            let doubtful = of_kind(FaultKind::Doubtful);
            damage.lost = damage.lost.saturating_add(sum(lost.iter().cloned()));
            let not_lost = doubtful.iter().flat_map(|range| subtract(range, &lost));
            damage.doubtful = damage.doubtful.saturating_add(sum(not_lost));
            at = wanted.end;
        }
    }
}

fn push(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
}

fn sum(ranges: impl Iterator<Item = Range<u64>>) -> u64 {
    ranges.fold(0, |sum: u64, range| sum.saturating_add(length(&range)))
}

impl TouchedFile {
    /// The path as it stands at the mount point, without the volume's folder; what text cannot hold is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        text(&self.path, self.kind)
    }
}

impl UnreadFile {
    /// As [`TouchedFile::text`].
    #[must_use]
    pub fn text(&self) -> String {
        text(&self.path, self.kind)
    }
}

fn text(path: &[Name], kind: TouchedKind) -> String {
    let names: Vec<_> = path.iter().map(Name::to_string_lossy).collect();
    match (kind, names.split_last()) {
        (TouchedKind::Stream, Some((stream, file))) => format!("{}:{stream}", file.join("/")),
        _ => names.join("/"),
    }
}

#[cfg(test)]
mod tests;
