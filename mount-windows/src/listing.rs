//! What is in a folder, and where in it a listing goes on.
//!
//! WinFsp asks for a listing in pieces and names the place to go on by the last name that it took. Nothing is remembered
//! between pieces: a tree finds the place behind a name by itself, so a folder of any size costs each entry once. `.` and
//! `..` come first, in every folder but the root.

use std::ops::ControlFlow;

use log::debug;
use mount_api::{Case, DirEntry, Error, ErrorKind, From as ListFrom, NodeId, Tree};
use winfsp::filesystem::{DirInfo, FileInfo, WideNameInfo};

use crate::attributes;
use crate::name;
use crate::path::{Opened, equal_but_for_case};
use crate::pattern::Pattern;

const DOT: &[u16] = &[0x2E];
const DOT_DOT: &[u16] = &[0x2E, 0x2E];

/// One listing: a folder, how it is asked for, and the buffer that takes it.
pub(crate) struct Listing<'a> {
    tree: &'a dyn Tree,
    dir: NodeId,
    case: Case,
    pattern: Pattern<'a>,
    buffer: &'a mut [u8],
    /// Bytes of the buffer that are filled.
    filled: u32,
    /// Whether anything of the folder is in the buffer, besides the folder itself and the one above.
    any: bool,
}

impl<'a> Listing<'a> {
    pub(crate) fn new(tree: &'a dyn Tree, dir: NodeId, case: Case, pattern: Pattern<'a>, buffer: &'a mut [u8]) -> Self {
        Listing { tree, dir, case, pattern, buffer, filled: 0, any: false }
    }

    /// Fills the buffer from behind the name `marker` on; returns how many bytes. An empty answer ends the listing.
    ///
    /// Where the folder is damaged, the names that can be read are listed first and the error comes last.
    pub(crate) fn fill(mut self, marker: Option<&[u16]>) -> Result<u32, Error> {
        if let Pattern::Name(wanted) = self.pattern
            && let Some(outcome) = self.single(wanted, marker)
        {
            return outcome.map(|()| self.filled);
        }
        match self.entries(marker) {
            // Full: WinFsp asks again, with the last name that it took.
            Ok(ControlFlow::Break(())) => {}
            Ok(ControlFlow::Continue(())) => {
                self.end();
            }
            Err(error) if !self.any => return Err(error),
            // WinFsp asks again, and gets the error then.
            Err(_) => {}
        }
        Ok(self.filled)
    }

    /// The one name that is asked for, without a listing, where the tree can tell how it is spelled.
    fn single(&mut self, wanted: &[u16], marker: Option<&[u16]>) -> Option<Result<(), Error>> {
        if matches!(wanted, DOT | DOT_DOT) {
            return None;
        }
        if marker.is_some() {
            self.end();
            return Some(Ok(()));
        }
        let found = name::spelled_so(wanted).map(|name| self.tree.lookup(self.dir, &name, self.case));
        let node = match found.transpose() {
            Ok(Some(node)) => node,
            Ok(None) => {
                self.end();
                return Some(Ok(()));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.end();
                return Some(Ok(()));
            }
            Err(error) => return Some(Err(error)),
        };
        let path = self.tree.path(node)?;
        let spelled = name::to_units(path.names.last()?);
        if !equal_but_for_case(&spelled, wanted) {
            return None;
        }
        let kind = self.tree.attr(node).map_or(mount_api::Kind::File, |attr| attr.kind);
        if self.add(&spelled, self.info(node, kind)).is_continue() {
            self.end();
        }
        Some(Ok(()))
    }

    fn entries(&mut self, marker: Option<&[u16]>) -> Result<ControlFlow<()>, Error> {
        let first_of_tree = match marker {
            None => {
                if self.dots(&[DOT, DOT_DOT]).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                None
            }
            Some(DOT) => {
                if self.dots(&[DOT_DOT]).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                None
            }
            Some(DOT_DOT) => None,
            Some(name) => Some(name::from_units(name)),
        };
        let from = first_of_tree.as_ref().map_or(ListFrom::Start, ListFrom::After);
        let (tree, dir) = (self.tree, self.dir);
        let mut flow = ControlFlow::Continue(());
        tree.read_dir(dir, from, &mut |entry| {
            flow = self.entry(&entry);
            flow
        })?;
        Ok(flow)
    }

    /// The folder itself and the one above it. Of that one only the name counts: which it is, the kernel knows.
    fn dots(&mut self, names: &[&[u16]]) -> ControlFlow<()> {
        if self.dir == NodeId::ROOT {
            return ControlFlow::Continue(());
        }
        for name in names {
            if self.pattern.may_match(name) {
                self.add(name, self.info(self.dir, mount_api::Kind::Directory))?;
            }
        }
        ControlFlow::Continue(())
    }

    fn entry(&mut self, entry: &DirEntry) -> ControlFlow<()> {
        let spelled = name::to_units(&entry.name);
        if !self.pattern.may_match(&spelled) {
            return ControlFlow::Continue(());
        }
        let flow = self.add(&spelled, self.info(entry.node, entry.kind));
        self.any |= flow.is_continue();
        flow
    }

    /// A name is listed even if nothing more can be told of it.
    fn info(&self, node: NodeId, kind: mount_api::Kind) -> FileInfo {
        attributes::of(self.tree, Opened { node, file: node }).unwrap_or_else(|error| {
            debug!("node {}: listed, but its attributes cannot be read: {error}", node.0);
            attributes::unreadable(node, kind)
        })
    }

    /// Breaks when the buffer is full.
    fn add(&mut self, name: &[u16], info: FileInfo) -> ControlFlow<()> {
        let mut line = DirInfo::<255>::new();
        *line.file_info_mut() = info;
        if line.set_name_raw(name).is_err() {
            debug!("a name of {} units is left out of a listing: Windows takes 255", name.len());
            return ControlFlow::Continue(());
        }
        match line.append_to_buffer(self.buffer, &mut self.filled) {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }

    /// Marks the end of the listing; where there is no room for the mark, the next piece is empty and ends it.
    fn end(&mut self) {
        DirInfo::<255>::finalize_buffer(self.buffer, &mut self.filled);
    }
}
