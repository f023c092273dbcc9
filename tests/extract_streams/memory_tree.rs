//! A tree in memory: files and folders with named streams, some of whose bytes are lost.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Mutex;

use mount_api::{
    Attr, Case, DirEntry, Error, ErrorKind, Faults, From, Kind, Name, NodeId, NodeRange, Reparse, StreamEntry, Time,
    Times, Tree, TreeInfo, Trust,
};

/// What every file and folder has: 2001, 2002, 2003 and 2004, on the first of January.
pub(crate) const TIMES: Times = Times {
    created: Time(126_227_808_000_000_000),
    modified: Time(126_543_168_000_000_000),
    changed: Time(126_858_528_000_000_000),
    accessed: Time(127_173_888_000_000_000),
};

pub(crate) struct Node {
    kind: Kind,
    attributes: u32,
    content: Vec<u8>,
    lost: Range<usize>,
    /// What reading it ends with.
    error: Option<Error>,
    entries: Vec<(Name, NodeId)>,
    streams: Vec<(Name, NodeId)>,
}

/// The tree; which nodes were read is written down.
pub(crate) struct MemoryTree {
    nodes: BTreeMap<NodeId, Node>,
    pub(crate) read: Mutex<Vec<NodeId>>,
}

impl MemoryTree {
    pub(crate) fn new() -> Self {
        let root = Node::of(Kind::Directory, b"");
        MemoryTree { nodes: BTreeMap::from([(NodeId::ROOT, root)]), read: Mutex::default() }
    }

    fn put(&mut self, node: Node) -> NodeId {
        let id = NodeId(self.nodes.len() as u64 + 1);
        self.nodes.insert(id, node);
        id
    }

    pub(crate) fn folder(&mut self, above: NodeId, name: &str, attributes: u32) -> NodeId {
        let id = self.put(Node { attributes, ..Node::of(Kind::Directory, b"") });
        self.node(above).entries.push((name.into(), id));
        id
    }

    pub(crate) fn file(&mut self, above: NodeId, name: impl Into<Name>, content: &[u8]) -> NodeId {
        let id = self.put(Node::of(Kind::File, content));
        self.node(above).entries.push((name.into(), id));
        id
    }

    pub(crate) fn stream(&mut self, of: NodeId, name: impl Into<Name>, content: &[u8]) -> NodeId {
        let id = self.put(Node::of(Kind::File, content));
        self.node(of).streams.push((name.into(), id));
        id
    }

    pub(crate) fn lose(&mut self, node: NodeId, lost: Range<usize>) {
        self.node(node).lost = lost;
    }

    pub(crate) fn refuse(&mut self, node: NodeId) {
        self.fail(node, Error::new(ErrorKind::Encrypted, "its key is not at hand"));
    }

    pub(crate) fn fail(&mut self, node: NodeId, error: Error) {
        self.node(node).error = Some(error);
    }

    pub(crate) fn mark(&mut self, node: NodeId, attributes: u32) {
        self.node(node).attributes = attributes;
    }

    fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("a node")
    }

    fn get(&self, id: NodeId) -> Result<&Node, Error> {
        self.nodes.get(&id).ok_or_else(|| Error::new(ErrorKind::NotFound, "no such node"))
    }
}

impl Node {
    fn of(kind: Kind, content: &[u8]) -> Self {
        let (entries, streams) = (Vec::new(), Vec::new());
        Node { kind, attributes: 0, content: content.to_vec(), lost: 0..0, error: None, entries, streams }
    }
}

impl Tree for MemoryTree {
    fn info(&self) -> TreeInfo {
        let (total_bytes, free_bytes) = (1 << 30, 0);
        let (label, case) = ("memory".into(), Case::Sensitive);
        TreeInfo {
            file_system: "memory",
            version: None,
            label,
            serial: 1,
            total_bytes,
            free_bytes,
            block_size: 512,
            case,
        }
    }

    fn lookup(&self, dir: NodeId, name: &Name, _: Case) -> Result<NodeId, Error> {
        let found = self.get(dir)?.entries.iter().find(|(own, _)| own == name);
        found.map(|(_, id)| *id).ok_or_else(|| Error::new(ErrorKind::NotFound, "no such name"))
    }

    fn stream(&self, node: NodeId, name: &Name, _: Case) -> Result<NodeId, Error> {
        let found = self.get(node)?.streams.iter().find(|(own, _)| own == name);
        found.map(|(_, id)| *id).ok_or_else(|| Error::new(ErrorKind::NotFound, "no such stream"))
    }

    fn streams(&self, node: NodeId, each: &mut dyn FnMut(StreamEntry) -> ControlFlow<()>) -> Result<(), Error> {
        for (name, id) in &self.get(node)?.streams {
            let size = self.get(*id)?.content.len() as u64;
            if each(StreamEntry { node: *id, name: name.clone(), size, allocated: size }).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn attr(&self, node: NodeId) -> Result<Attr, Error> {
        let found = self.get(node)?;
        let size = found.content.len() as u64;
        Ok(Attr {
            kind: found.kind,
            size,
            allocated: size,
            times: TIMES,
            name_times: None,
            attributes: found.attributes,
            links: 1,
            record: node.0,
            sequence: 1,
            owner: None,
            trust: Trust::Proven,
        })
    }

    fn reparse(&self, _: NodeId) -> Result<Option<Reparse>, Error> {
        Ok(None)
    }

    fn security(&self, _: NodeId) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }

    fn read_dir(
        &self,
        dir: NodeId,
        _: From<'_>,
        each: &mut dyn FnMut(DirEntry) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        for (number, (name, id)) in self.get(dir)?.entries.iter().enumerate() {
            let entry =
                DirEntry { node: *id, name: name.clone(), kind: self.get(*id)?.kind, cookie: number as u64 + 1 };
            if each(entry).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn read_at(&self, node: NodeId, offset: u64, buf: &mut [u8], faults: &mut Faults) -> Result<usize, Error> {
        let found = self.get(node)?;
        self.read.lock().expect("no panic").push(node);
        if let Some(error) = &found.error {
            return Err(error.clone());
        }
        let rest = found.content.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(buf.len());
        buf[..read].copy_from_slice(&rest[..read]);
        for at in found.lost.clone() {
            if let Some(byte) = at.checked_sub(offset as usize).and_then(|at| buf.get_mut(at)) {
                *byte = 0;
                faults.lost(at as u64..at as u64 + 1, "host-read-error");
            }
        }
        Ok(read)
    }

    fn ranges(&self, _: NodeId, _: Range<u64>, _: &mut dyn FnMut(NodeRange) -> ControlFlow<()>) -> Result<(), Error> {
        Ok(())
    }
}
