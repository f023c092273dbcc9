use std::sync::atomic::{AtomicU64, Ordering};

use mount_api::{Case, NodeRange, Reparse, TreeInfo};

use super::*;

const SIZE: u64 = 4096;
const DISK: u64 = 1 << 20;

/// Folders, each in the one before, so many; in the last the names `a` and `b` of one compressed file, which has a named
/// stream, then `c`, which is not read, and `d`, which is longer than the disk.
struct Deep {
    folders: u64,
    bytes_read: AtomicU64,
}

const FILE: NodeId = NodeId(1 << 40);
const STREAM: NodeId = NodeId(FILE.0 + 1);
const UNREAD: NodeId = NodeId(FILE.0 + 2);
const LONG: NodeId = NodeId(FILE.0 + 3);

fn name(text: &str) -> Name {
    Name::from(text)
}

impl Tree for Deep {
    fn info(&self) -> TreeInfo {
        unreachable!("nobody asks")
    }

    fn lookup(&self, _: NodeId, _: &Name, _: Case) -> Result<NodeId, Error> {
        unreachable!("nobody asks")
    }

    fn stream(&self, _: NodeId, _: &Name, _: Case) -> Result<NodeId, Error> {
        unreachable!("nobody asks")
    }

    fn streams(&self, node: NodeId, each: &mut dyn FnMut(StreamEntry) -> ControlFlow<()>) -> Result<(), Error> {
        if node == FILE {
            let _ = each(StreamEntry { node: STREAM, name: name("s"), size: SIZE, allocated: SIZE });
        }
        Ok(())
    }

    fn attr(&self, node: NodeId) -> Result<Attr, Error> {
        let is_folder = node.0 < FILE.0;
        Ok(Attr {
            kind: if is_folder { Kind::Directory } else { Kind::File },
            size: if is_folder { 0 } else { SIZE },
            allocated: 0,
            times: mount_api::Times::default(),
            name_times: None,
            attributes: 0,
            links: if node == FILE { 2 } else { 1 },
            record: 0,
            sequence: 0,
            owner: None,
            trust: Trust::Proven,
        })
    }

    fn reparse(&self, _: NodeId) -> Result<Option<Reparse>, Error> {
        unreachable!("nobody asks")
    }

    fn security(&self, _: NodeId) -> Result<Option<Vec<u8>>, Error> {
        unreachable!("nobody asks")
    }

    fn read_dir(
        &self,
        dir: NodeId,
        _: From<'_>,
        each: &mut dyn FnMut(DirEntry) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut tell = |node, text: &str, kind| {
            let _ = each(DirEntry { node, name: name(text), kind, cookie: 1 });
        };
        if dir.0 < self.folders {
            tell(NodeId(dir.0 + 1), "f", Kind::Directory);
            return Ok(());
        }
        for (node, text) in [(FILE, "a"), (FILE, "b"), (UNREAD, "c"), (LONG, "d")] {
            tell(node, text, Kind::File);
        }
        Ok(())
    }

    fn read_at(&self, _: NodeId, offset: u64, buf: &mut [u8], faults: &mut Faults) -> Result<usize, Error> {
        self.bytes_read.fetch_add(len_u64(buf), Ordering::Relaxed);
        faults.lost(offset..offset + 1, "host-read-error");
        Ok(buf.len())
    }

    fn ranges(
        &self,
        node: NodeId,
        _: Range<u64>,
        each: &mut dyn FnMut(NodeRange) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let length = match node {
            FILE | STREAM => SIZE,
            LONG => DISK + 1,
            UNREAD => return Err(Error::new(ErrorKind::Unsupported, "deduplicated")),
            _ => return Err(Error::new(ErrorKind::IsADirectory, "a folder")),
        };
        let _ = each(NodeRange { range: 0..length, kind: RangeKind::Data { disk_offset: None } });
        Ok(())
    }
}

fn walk(tree: &Deep) -> Touched {
    let (lost, doubtful, progress) = (Ranges::default(), Ranges::default(), Progress::default());
    let mut touched = Touched::default();
    Walk {
        tree,
        volume: 1,
        start: 0,
        disk_size: DISK,
        lost: &lost,
        doubtful: &doubtful,
        any_lost: false,
        any: false,
        unpack: true,
        progress: &progress,
        touched: &mut touched,
        buf: vec![0; READ],
        known: HashMap::new(),
    }
    .all();
    touched
}

#[test]
fn what_stands_under_two_names_is_read_once_and_told_of_both() {
    let tree = Deep { folders: 3, bytes_read: AtomicU64::new(0) };
    let touched = walk(&tree);
    let told: Vec<_> = touched.list().iter().map(|file| (file.text(), file.lost)).collect();
    assert_eq!(told, ["f/f/a", "f/f/a:s", "f/f/b", "f/f/b:s"].map(|path| (path.to_owned(), 1)));
    assert_eq!(tree.bytes_read.load(Ordering::Relaxed), 2 * SIZE, "the file and its stream");
}

#[test]
fn what_is_not_read_is_named() {
    let tree = Deep { folders: 1, bytes_read: AtomicU64::new(0) };
    let touched = walk(&tree);
    let told: Vec<_> = touched.unread_list().iter().map(|file| (file.text(), file.size)).collect();
    assert_eq!(told, ["c", "d"].map(|path| (path.to_owned(), Some(SIZE))));
    assert_eq!((touched.unread(), touched.count()), (2, 4));
    assert_eq!(touched.unread_list()[0].why, "deduplicated");
    assert!(touched.is_whole());
}

/// Whoever copied the path of each would copy a gigabyte of names here.
#[test]
fn the_names_of_deep_paths_are_bounded() {
    let tree = Deep { folders: 500_000, bytes_read: AtomicU64::new(0) };
    let touched = walk(&tree);
    assert_eq!(touched.looked_at(), 500_000 + 6);
    assert_eq!((touched.count(), touched.list().len()), (4, 3), "each path has half a million names");
    assert!(!touched.is_whole());
}
