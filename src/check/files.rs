//! The files that lost and doubtful ranges touch: every file, folder and stream of every volume is held against them.

use std::collections::HashSet;
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

/// So many files are kept. Further ones are counted.
const MAX_FILES: usize = 100_000;

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

/// All files that are not whole.
#[derive(Debug, Default)]
pub struct Touched {
    list: Vec<TouchedFile>,
    count: u64,
    contradicted: u64,
    looked_at: u64,
    unread: u64,
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

    /// How many of them are whole as far as is known, yet hold content that this program does not read (encrypted, deduplicated or
    /// kept elsewhere, longer than the disk): what of it is lost cannot be told.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.unread
    }

    /// Whether none was left out.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        usize::try_from(self.count) == Ok(self.list.len())
    }

    fn add(&mut self, file: TouchedFile) {
        self.count = self.count.saturating_add(1);
        if self.list.len() < MAX_FILES {
            self.list.push(file);
        }
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
}

/// What of a node's content is not whole.
#[derive(Debug, Clone, Copy, Default)]
struct Damage {
    lost: u64,
    doubtful: u64,
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
        }
    }

    /// Walks through all folders, without recursion: a damaged tree may be deep.
    fn all(&mut self) {
        let mut folders = vec![(NodeId::ROOT, Vec::new())];
        let mut known = HashSet::from([NodeId::ROOT]);
        while let Some((folder, path)) = folders.pop()
            && !self.progress.is_stopped()
        {
            let mut entries: Vec<DirEntry> = Vec::new();
            let listed = self.tree.read_dir(folder, From::Start, &mut |entry| {
                entries.push(entry);
                ControlFlow::Continue(())
            });
            self.node(folder, TouchedKind::Folder, &path, listed.err());
            let mut below = Vec::new();
            for entry in entries {
                if self.progress.is_stopped() {
                    return;
                }
                let mut path = path.clone();
                path.push(entry.name);
                match entry.kind {
                    Kind::Directory if known.insert(entry.node) => below.push((entry.node, path)),
                    Kind::Directory => {
                        let error = Error::new(ErrorKind::Corrupt, "a folder that stands under another name too");
                        self.add(&path, TouchedKind::Folder, None, Damage::default(), Some(&error));
                    }
                    Kind::File | Kind::Link => self.node(entry.node, TouchedKind::File, &path, None),
                }
            }
            below.reverse();
            folders.append(&mut below);
        }
    }

    /// Looks at one node and at its streams. `error` is what has gone wrong with it already.
    fn node(&mut self, node: NodeId, kind: TouchedKind, path: &[Name], error: Option<Error>) {
        self.progress.advance(1);
        self.touched.looked_at = self.touched.looked_at.saturating_add(1);
        let attr = match self.tree.attr(node) {
            Ok(attr) => attr,
            Err(error) => return self.add(path, kind, None, Damage::default(), Some(&error)),
        };
        let (damage, failed) = self.damage(node);
        let mut streams: Vec<StreamEntry> = Vec::new();
        let listed = self.tree.streams(node, &mut |stream| {
            streams.push(stream);
            ControlFlow::Continue(())
        });
        let error = error.or(failed).or(listed.err());
        let doubted = attr.trust != Trust::Proven;
        if damage.lost > 0 || damage.doubtful > 0 || doubted || error.is_some() {
            self.add(path, kind, Some(&attr), damage, error.as_ref());
        }
        for stream in streams {
            self.touched.looked_at = self.touched.looked_at.saturating_add(1);
            let (damage, error) = self.damage(stream.node);
            if damage.lost > 0 || damage.doubtful > 0 || error.is_some() {
                let mut path = path.to_vec();
                path.push(stream.name);
                let attr = self.tree.attr(stream.node).ok();
                self.add(&path, TouchedKind::Stream, attr.as_ref(), damage, error.as_ref());
            }
        }
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
        self.touched.add(TouchedFile {
            volume: self.volume,
            path: path.to_vec(),
            kind,
            size: attr.map(|attr| attr.size),
            lost: damage.lost,
            doubtful: damage.doubtful,
            metadata_doubt,
            error: error.map(ToString::to_string),
        });
    }

    /// What of a node's content is lost and doubtful, and what kept that from being told.
    fn damage(&mut self, node: NodeId) -> (Damage, Option<Error>) {
        let mut damage = Damage::default();
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
                self.touched.unread = self.touched.unread.saturating_add(1);
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
                    self.touched.unread = self.touched.unread.saturating_add(1);
                    None
                }
                _ => Some(error),
            },
        };
        (damage, error)
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
        let names: Vec<_> = self.path.iter().map(Name::to_string_lossy).collect();
        match (self.kind, names.split_last()) {
            (TouchedKind::Stream, Some((stream, file))) => format!("{}:{stream}", file.join("/")),
            _ => names.join("/"),
        }
    }
}
