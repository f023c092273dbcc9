//! A tree in memory, with whatever damage a test needs.

use std::collections::{BTreeMap, HashMap};
use std::ops::{ControlFlow, Range};
use std::time::Duration;

use mount_api::{
    Attr, Case, DirEntry, Error, ErrorKind, Faults, From as ListFrom, Kind, LinkPath, Name, NodeId, NodePath,
    NodeRange, RangeKind, Reparse, ReparseTarget, StreamEntry, Time, Times, Tree, TreeInfo, Trust,
};

pub(crate) const BLOCK: u32 = 4096;

/// What a node does instead of what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quirk {
    /// Its attributes are lost.
    NoAttr,
    /// Reading it fails like this.
    ReadFails(ErrorKind),
    /// Every call about it panics, except those that find and list it.
    Panics,
    /// The entries after this many cannot be read.
    ListingEndsAfter(usize),
    /// A read takes this long.
    Slow(Duration),
    /// Its cookies are the largest that a tree may give out.
    FarCookies,
}

/// What is in a file: bytes that follow from a seed and the offset, but for the ranges that say otherwise.
#[derive(Debug, Clone, Default)]
pub(crate) struct Content {
    pub(crate) size: u64,
    pub(crate) seed: u64,
    pub(crate) holes: Vec<Range<u64>>,
    pub(crate) lost: Vec<Range<u64>>,
    pub(crate) doubtful: Vec<Range<u64>>,
}

impl Content {
    pub(crate) fn of(size: u64, seed: u64) -> Self {
        Content { size, seed, ..Content::default() }
    }

    /// Fills `buf` with what stands at `offset` on a disk without damage; it must not reach past the end.
    fn fill(&self, buf: &mut [u8], offset: u64) {
        let mut at = 0;
        while at < buf.len() {
            let position = offset + at as u64;
            let word = (position % 8) as usize;
            let mut z = (self.seed ^ (position / 8)).wrapping_add(0x9E37_79B9_7F4A_7C15);
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            let bytes = &(z ^ (z >> 31)).to_le_bytes()[word..];
            let length = bytes.len().min(buf.len() - at);
            buf[at..at + length].copy_from_slice(&bytes[..length]);
            at += length;
        }
        zero(buf, offset, &self.holes);
    }

    /// The bytes of a range, as they would be on a disk without damage.
    pub(crate) fn bytes(&self, range: Range<u64>) -> Vec<u8> {
        let end = range.end.min(self.size);
        let mut bytes = vec![0; end.saturating_sub(range.start) as usize];
        self.fill(&mut bytes, range.start);
        bytes
    }

    pub(crate) fn all(&self) -> Vec<u8> {
        self.bytes(0..self.size)
    }
}

/// Zeroes what of `ranges` lies in `buf`, which begins at `offset`; returns it.
fn zero(buf: &mut [u8], offset: u64, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let end = offset + buf.len() as u64;
    let overlaps = ranges.iter().map(|range| range.start.max(offset)..range.end.min(end));
    let overlaps: Vec<_> = overlaps.filter(|range| !range.is_empty()).collect();
    for range in &overlaps {
        buf[(range.start - offset) as usize..(range.end - offset) as usize].fill(0);
    }
    overlaps
}

#[derive(Debug, Clone)]
struct Node {
    kind: Kind,
    attributes: u32,
    times: Times,
    links: u32,
    content: Content,
    children: Vec<(Name, NodeId)>,
    by_name: HashMap<Name, NodeId>,
    streams: Vec<(Name, NodeId)>,
    target: Option<ReparseTarget>,
    leads: Option<LinkPath>,
    quirk: Option<Quirk>,
}

/// The tree. Ids other than the root's use all 64 bits, as those of a real disk do.
pub(crate) struct MemoryTree {
    nodes: BTreeMap<u64, Node>,
    next: u64,
}

impl MemoryTree {
    pub(crate) fn new() -> Self {
        let mut tree = MemoryTree { nodes: BTreeMap::new(), next: 0x8001_0000_0005_0000 };
        tree.nodes.insert(NodeId::ROOT.0, tree.node(Kind::Directory, Content::default()));
        tree
    }

    fn node(&self, kind: Kind, content: Content) -> Node {
        let number = self.nodes.len() as i64;
        let at = |seconds: i64| Time::from_unix(seconds + number, 123_456_700);
        Node {
            kind,
            attributes: 0,
            times: Times {
                created: at(1_000_000_000),
                modified: at(1_100_000_000),
                changed: at(1_200_000_000),
                accessed: at(1_300_000_000),
            },
            links: 1,
            content,
            children: Vec::new(),
            by_name: HashMap::new(),
            streams: Vec::new(),
            target: None,
            leads: None,
            quirk: None,
        }
    }

    fn insert(&mut self, node: Node) -> NodeId {
        let id = NodeId(self.next);
        self.next += 0x1_0000;
        self.nodes.insert(id.0, node);
        id
    }

    fn at(&mut self, node: NodeId) -> &mut Node {
        self.nodes.get_mut(&node.0).unwrap()
    }

    fn add(&mut self, parent: NodeId, name: impl Into<Name>, node: Node) -> NodeId {
        let id = self.insert(node);
        self.name(parent, name, id);
        id
    }

    fn name(&mut self, parent: NodeId, name: impl Into<Name>, node: NodeId) {
        let name = name.into();
        let folder = self.at(parent);
        folder.by_name.insert(name.clone(), node);
        folder.children.push((name, node));
    }

    pub(crate) fn folder(&mut self, parent: NodeId, name: impl Into<Name>) -> NodeId {
        self.add(parent, name, self.node(Kind::Directory, Content::default()))
    }

    pub(crate) fn file(&mut self, parent: NodeId, name: impl Into<Name>, content: Content) -> NodeId {
        self.add(parent, name, self.node(Kind::File, content))
    }

    pub(crate) fn link(&mut self, parent: NodeId, name: impl Into<Name>, substitute: &str, relative: bool) -> NodeId {
        let id = self.add(parent, name, self.node(Kind::Link, Content::default()));
        self.at(id).target =
            Some(ReparseTarget { substitute: Name::from(substitute), print: Name::default(), relative });
        id
    }

    pub(crate) fn hard_link(&mut self, parent: NodeId, name: impl Into<Name>, node: NodeId) {
        self.name(parent, name, node);
        self.at(node).links += 1;
    }

    pub(crate) fn add_stream(&mut self, node: NodeId, name: impl Into<Name>, content: Content) -> NodeId {
        let stream = self.insert(self.node(Kind::File, content));
        self.at(node).streams.push((name.into(), stream));
        stream
    }

    pub(crate) fn set_times(&mut self, node: NodeId, times: Times) {
        self.at(node).times = times;
    }

    /// Says where a link leads within the tree.
    #[cfg_attr(target_os = "linux", expect(dead_code, reason = "on Linux the samples have such links"))]
    pub(crate) fn set_leads(&mut self, link: NodeId, leads: LinkPath) {
        self.at(link).leads = Some(leads);
    }

    #[cfg_attr(target_os = "linux", expect(dead_code, reason = "Windows alone shows them"))]
    pub(crate) fn set_attributes(&mut self, node: NodeId, attributes: u32) {
        self.at(node).attributes = attributes;
    }

    pub(crate) fn set_quirk(&mut self, node: NodeId, quirk: Quirk) {
        self.at(node).quirk = Some(quirk);
    }

    /// The content of the file at a path of names between slashes.
    pub(crate) fn content(&self, path: &str) -> &Content {
        &self.nodes[&self.find(path).0].content
    }

    /// The node at a path of names between slashes.
    pub(crate) fn find(&self, path: &str) -> NodeId {
        path.split('/').fold(NodeId::ROOT, |dir, name| self.nodes[&dir.0].by_name[&Name::from(name)])
    }

    fn get(&self, node: NodeId) -> Result<&Node, Error> {
        self.nodes.get(&node.0).ok_or_else(|| Error::new(ErrorKind::NotFound, "no such node"))
    }

    fn behaving(&self, node: NodeId) -> Result<&Node, Error> {
        let found = self.get(node)?;
        match found.quirk {
            Some(Quirk::Panics) => panic!("the tree panics on purpose"),
            _ => Ok(found),
        }
    }
}

fn search<'a>(names: impl IntoIterator<Item = &'a (Name, NodeId)>, wanted: &Name) -> Option<NodeId> {
    let fold = |name: &Name| {
        let characters = char::decode_utf16(name.units().iter().copied());
        let lower = characters.map(|unit| unit.map_or_else(|bad| format!("{bad:?}"), |c| c.to_lowercase().collect()));
        lower.collect::<String>()
    };
    names.into_iter().find(|(name, _)| fold(name) == fold(wanted)).map(|(_, node)| *node)
}

/// What the reparse point of a symbolic link holds behind its header ([MS-FSCC] 2.1.2.4).
pub(crate) fn symbolic_link(target: &ReparseTarget) -> Vec<u8> {
    let (substitute, print) = (target.substitute.units(), target.print.units());
    let (first, second) = (2 * substitute.len() as u16, 2 * print.len() as u16);
    let places = [0, first, first, second, u16::from(target.relative), 0];
    places.iter().chain(substitute).chain(print).flat_map(|unit| unit.to_le_bytes()).collect()
}

impl Tree for MemoryTree {
    fn info(&self) -> TreeInfo {
        TreeInfo {
            file_system: "memory",
            version: None,
            label: Name::from("label"),
            serial: 1,
            total_bytes: 10_000 * u64::from(BLOCK),
            free_bytes: 2_500 * u64::from(BLOCK),
            block_size: BLOCK,
            case: Case::Insensitive,
        }
    }

    fn lookup(&self, dir: NodeId, name: &Name, case: Case) -> Result<NodeId, Error> {
        let folder = self.get(dir)?;
        if folder.kind != Kind::Directory {
            return Err(Error::new(ErrorKind::NotADirectory, "no folder"));
        }
        let found = folder.by_name.get(name).copied();
        let found = if case == Case::Insensitive { found.or_else(|| search(&folder.children, name)) } else { found };
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, "no such name"))
    }

    fn stream(&self, node: NodeId, name: &Name, case: Case) -> Result<NodeId, Error> {
        let streams = &self.get(node)?.streams;
        let exact = streams.iter().find(|(own, _)| own == name).map(|(_, stream)| *stream);
        let found = if case == Case::Insensitive { exact.or_else(|| search(streams, name)) } else { exact };
        found.ok_or_else(|| Error::new(ErrorKind::NotFound, "no such stream"))
    }

    fn streams(&self, node: NodeId, each: &mut dyn FnMut(StreamEntry) -> ControlFlow<()>) -> Result<(), Error> {
        for (name, stream) in &self.get(node)?.streams {
            let attr = self.attr(*stream)?;
            let entry = StreamEntry { node: *stream, name: name.clone(), size: attr.size, allocated: attr.allocated };
            if each(entry).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn attr(&self, node: NodeId) -> Result<Attr, Error> {
        let found = self.behaving(node)?;
        if found.quirk == Some(Quirk::NoAttr) {
            return Err(Error::new(ErrorKind::Lost, "the file record is lost"));
        }
        let sparse: u64 = found.content.holes.iter().map(|hole| hole.end - hole.start).sum();
        let unit = u64::from(BLOCK);
        Ok(Attr {
            kind: found.kind,
            size: if found.kind == Kind::File { found.content.size } else { 0 },
            // What is as small as this stands in the file record.
            allocated: if found.content.size <= 700 { 0 } else { (found.content.size - sparse).div_ceil(unit) * unit },
            times: found.times,
            name_times: None,
            attributes: found.attributes,
            links: found.links,
            record: 0,
            sequence: 0,
            owner: None,
            trust: Trust::Proven,
        })
    }

    fn path(&self, node: NodeId) -> Option<NodePath> {
        if node == NodeId::ROOT {
            return Some(NodePath::default());
        }
        let (above, name, stream) = self.nodes.iter().find_map(|(above, found)| {
            let of = |list: &[(Name, NodeId)]| list.iter().find(|(_, id)| *id == node).map(|(name, _)| name.clone());
            let child = of(&found.children).map(|name| (NodeId(*above), name, false));
            child.or_else(|| of(&found.streams).map(|name| (NodeId(*above), name, true)))
        })?;
        let mut path = self.path(above)?;
        if stream {
            path.stream = Some(name);
        } else {
            path.names.push(name);
        }
        Some(path)
    }

    fn reparse(&self, node: NodeId) -> Result<Option<Reparse>, Error> {
        let target = self.behaving(node)?.target.clone();
        Ok(target.map(|target| Reparse { tag: 0xA000_000C, data: symbolic_link(&target), target: Some(target) }))
    }

    fn link_path(&self, link: NodeId) -> Result<Option<LinkPath>, Error> {
        Ok(self.behaving(link)?.leads.clone())
    }

    fn security(&self, _: NodeId) -> Result<Option<Vec<u8>>, Error> {
        Ok(None)
    }

    fn read_dir(
        &self,
        dir: NodeId,
        from: ListFrom<'_>,
        each: &mut dyn FnMut(DirEntry) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let folder = self.behaving(dir)?;
        if folder.kind != Kind::Directory {
            return Err(Error::new(ErrorKind::NotADirectory, "no folder"));
        }
        let before_first = match folder.quirk {
            Some(Quirk::FarCookies) => i64::MAX as u64 / 2 - folder.children.len() as u64,
            _ => 0,
        };
        let start = match from {
            ListFrom::Start => 0,
            ListFrom::Cookie(cookie) => (cookie - before_first) as usize,
            ListFrom::After(name) => folder.children.iter().take_while(|(own, _)| own <= name).count(),
        };
        let readable = match folder.quirk {
            Some(Quirk::ListingEndsAfter(count)) => count,
            _ => folder.children.len(),
        };
        for (index, (name, node)) in folder.children.iter().enumerate().take(readable).skip(start) {
            let kind = self.nodes[&node.0].kind;
            let cookie = before_first + index as u64 + 1;
            let entry = DirEntry { node: *node, name: name.clone(), kind, cookie };
            if each(entry).is_break() {
                return Ok(());
            }
        }
        match readable == folder.children.len() {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Lost, "an index block is lost")),
        }
    }

    fn read_at(&self, node: NodeId, offset: u64, buf: &mut [u8], faults: &mut Faults) -> Result<usize, Error> {
        let found = self.behaving(node)?;
        match found.quirk {
            Some(Quirk::ReadFails(kind)) => return Err(Error::new(kind, "on purpose")),
            Some(Quirk::Slow(delay)) => std::thread::sleep(delay),
            _ => {}
        }
        let content = &found.content;
        let end = content.size.min(offset.saturating_add(buf.len() as u64)).max(offset);
        let buf = &mut buf[..(end - offset) as usize];
        content.fill(buf, offset);
        for range in zero(buf, offset, &content.lost) {
            faults.lost(range, "test-lost");
        }
        for range in &content.doubtful {
            faults.doubtful(range.start.max(offset)..range.end.min(end), "test-doubtful");
        }
        Ok((end - offset) as usize)
    }

    fn ranges(
        &self,
        node: NodeId,
        range: Range<u64>,
        each: &mut dyn FnMut(NodeRange) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let content = &self.behaving(node)?.content;
        let mut at = range.start;
        while at < range.end {
            let hole = content.holes.iter().find(|hole| hole.end > at && hole.start < range.end);
            let (end, kind) = match hole {
                Some(hole) if hole.start <= at => (hole.end, RangeKind::Sparse),
                Some(hole) => (hole.start, RangeKind::Data { disk_offset: None }),
                None => (range.end, RangeKind::Data { disk_offset: None }),
            };
            let end = end.min(range.end);
            if each(NodeRange { range: at..end, kind }).is_break() {
                break;
            }
            at = end;
        }
        Ok(())
    }
}
