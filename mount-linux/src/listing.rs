//! What is in a folder, and where in it a listing goes on.
//!
//! The kernel asks for a listing in pieces and names the place to go on by the offset that stood beside the last entry it
//! took. Nothing is remembered between pieces: the offset says it all, so a folder of any size costs each entry once.
//!
//! | offset | place |
//! |---|---|
//! | 0 | the start |
//! | 1 | after `.` |
//! | 2 | after `..` |
//! | 2 + *cookie* | after the entry with this cookie of the tree |
//!
//! With streams listed, an entry is followed by `entry:stream` for each of its streams, and the offset has to name a
//! place between them: 2 + (*cookie of the entry before* × 32768 + how many lines of the next entry are through).

use std::ops::ControlFlow;

use fuser::FileType;
use log::{debug, warn};
use mount_api::{Case, DirEntry, Error, ErrorKind, From as ListFrom, Kind, Name, NodeId, Tree};

use crate::attributes;
use crate::name;

/// The longest name in bytes that FUSE takes on every kernel (`FUSE_NAME_MAX` of those before 6.14).
pub(crate) const LONGEST_NAME: usize = 1024;

/// What an inode number of `..` says: not known (as libfuse has it). The kernel knows the parent by itself.
const UNKNOWN_NODE: NodeId = NodeId(0xFFFF_FFFF);

const AFTER_DOT: u64 = 1;
const AFTER_DOT_DOT: u64 = 2;
const LINES_PER_ENTRY: u64 = 1 << 15;
const COLON: u16 = 0x3A;

/// One line of a listing.
pub(crate) struct Line<'a> {
    /// The node behind the name; not to be looked at for `.` and `..`.
    pub(crate) node: NodeId,
    /// What it is; `None` for `.` and `..`.
    pub(crate) kind: Option<Kind>,
    /// The name as it stands at the mount point.
    pub(crate) name: &'a [u8],
    /// The offset that goes on after this line.
    pub(crate) next: u64,
}

impl Line<'_> {
    pub(crate) fn file_type(&self) -> FileType {
        self.kind.map_or(FileType::Directory, attributes::file_type)
    }
}

/// Takes a line; breaks when it has no room for it.
pub(crate) type Take<'a> = &'a mut dyn FnMut(Line<'_>) -> ControlFlow<()>;

/// Lists a folder from `offset` on. When part of it cannot be read, what can be read comes first and the error last.
pub(crate) fn list(tree: &dyn Tree, dir: NodeId, offset: u64, streams: bool, take: Take<'_>) -> Result<(), Error> {
    let parent = if dir == NodeId::ROOT { NodeId::ROOT } else { UNKNOWN_NODE };
    for (node, name, next) in [(dir, b".".as_slice(), AFTER_DOT), (parent, b"..", AFTER_DOT_DOT)] {
        if offset < next && take(Line { node, kind: None, name, next }).is_break() {
            return Ok(());
        }
    }
    let place = offset.saturating_sub(AFTER_DOT_DOT);
    if streams { entries_and_streams(tree, dir, place, take) } else { entries(tree, dir, place, take) }
}

fn entries(tree: &dyn Tree, dir: NodeId, place: u64, take: Take<'_>) -> Result<(), Error> {
    let mut bytes = Vec::new();
    tree.read_dir(dir, from(place), &mut |entry| {
        if !spell(&mut bytes, entry.name.units()) {
            return ControlFlow::Continue(());
        }
        let next = entry.cookie.saturating_add(AFTER_DOT_DOT);
        take(Line { node: entry.node, kind: Some(entry.kind), name: &bytes, next })
    })
}

fn entries_and_streams(tree: &dyn Tree, dir: NodeId, place: u64, take: Take<'_>) -> Result<(), Error> {
    let mut before = place / LINES_PER_ENTRY;
    let mut through = place % LINES_PER_ENTRY;
    let mut no_room = false;
    tree.read_dir(dir, from(before), &mut |entry| {
        // Offsets are signed in the kernel.
        let first = before.checked_mul(LINES_PER_ENTRY).filter(|first| *first <= u64::MAX / 4);
        let Some(first) = first else {
            no_room = true;
            return ControlFlow::Break(());
        };
        lines_of(tree, dir, &entry, first.saturating_add(AFTER_DOT_DOT), through, take)?;
        (before, through) = (entry.cookie, 0);
        ControlFlow::Continue(())
    })?;
    match no_room {
        true => Err(Error::new(ErrorKind::Unsupported, "the folder's cookies leave no room to list streams")),
        false => Ok(()),
    }
}

/// The lines of one entry, leaving out the first `through`: its own, then one for each stream. The offset after line `n`
/// (counted from 1) is `first` + `n`.
fn lines_of(
    tree: &dyn Tree,
    dir: NodeId,
    entry: &DirEntry,
    first: u64,
    through: u64,
    take: Take<'_>,
) -> ControlFlow<()> {
    let mut bytes = Vec::new();
    if through == 0 && spell(&mut bytes, entry.name.units()) {
        let next = first.saturating_add(1);
        take(Line { node: entry.node, kind: Some(entry.kind), name: &bytes, next })?;
    }
    let mut line: u64 = 1;
    let mut flow = ControlFlow::Continue(());
    let outcome = tree.streams(entry.node, &mut |stream| {
        line = line.saturating_add(1);
        if line >= LINES_PER_ENTRY {
            warn!("{}: more streams than a listing can hold; the rest can be opened by name", entry.name);
            return ControlFlow::Break(());
        }
        let full = [entry.name.units(), &[COLON], stream.name.units()].concat();
        if line <= through || taken(tree, dir, &full) || !spell(&mut bytes, &full) {
            return ControlFlow::Continue(());
        }
        let next = first.saturating_add(line);
        flow = take(Line { node: stream.node, kind: Some(Kind::File), name: &bytes, next });
        flow
    });
    if let Err(error) = outcome {
        warn!("{}: its streams cannot be listed: {error}", entry.name);
    }
    flow
}

/// Whether a real file has this name, which then is not the stream's.
fn taken(tree: &dyn Tree, dir: NodeId, name: &[u16]) -> bool {
    tree.lookup(dir, &Name::from_units(name), Case::Sensitive).is_ok()
}

/// Puts the spelling of a name into `bytes`; false if the kernel could not take it.
fn spell(bytes: &mut Vec<u8>, units: &[u16]) -> bool {
    bytes.clear();
    name::push_name(units, bytes);
    let fits = (1..=LONGEST_NAME).contains(&bytes.len());
    if !fits {
        debug!("a name of {} bytes is left out of a listing: {:?}", bytes.len(), Name::from_units(units));
    }
    fits
}

fn from(cookie: u64) -> ListFrom<'static> {
    if cookie == 0 { ListFrom::Start } else { ListFrom::Cookie(cookie) }
}
