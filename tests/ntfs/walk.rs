//! All that a tree holds, as a table: paths and what stands behind them.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use mount_api::{Case, DirEntry, Error, Faults, From, Kind, Name, NodeId, Tree};
use sha2::{Digest, Sha256};

use crate::support::hex;

/// Every path, from the root on, without a slash at its start. Streams are `path:stream`.
pub(crate) type Table = BTreeMap<String, Entry>;

/// What stands behind a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    /// SHA-256 of the content of a file or stream.
    pub(crate) hash: String,
}

/// The whole tree.
pub(crate) fn table(tree: &dyn Tree) -> Table {
    let mut table = Table::new();
    walk(tree, NodeId::ROOT, "", &mut table);
    table
}

fn walk(tree: &dyn Tree, folder: NodeId, path: &str, table: &mut Table) {
    for entry in list(tree, folder).unwrap_or_else(|error| panic!("{path}: {error}")) {
        let path = format!("{path}{}", entry.name);
        let found = tree.lookup(folder, &entry.name, Case::Sensitive);
        assert_eq!(found.as_ref(), Ok(&entry.node), "{path}");
        let attr = tree.attr(entry.node).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(attr.kind, entry.kind, "{path}");
        let own = if attr.kind == Kind::File { hash(tree, entry.node) } else { String::new() };
        table.insert(path.clone(), Entry { kind: attr.kind, size: attr.size, hash: own });
        for (name, node, size) in streams(tree, entry.node) {
            let entry = Entry { kind: Kind::File, size, hash: hash(tree, node) };
            table.insert(format!("{path}:{name}"), entry);
        }
        if attr.kind == Kind::Directory {
            walk(tree, entry.node, &format!("{path}/"), table);
        }
    }
}

/// The entries of a folder.
pub(crate) fn list(tree: &dyn Tree, folder: NodeId) -> Result<Vec<DirEntry>, Error> {
    let mut entries = Vec::new();
    tree.read_dir(folder, From::Start, &mut |entry| {
        entries.push(entry);
        ControlFlow::Continue(())
    })?;
    Ok(entries)
}

/// Name, node and size of the named streams of a node.
pub(crate) fn streams(tree: &dyn Tree, node: NodeId) -> Vec<(Name, NodeId, u64)> {
    let mut all = Vec::new();
    tree.streams(node, &mut |stream| {
        all.push((stream.name, stream.node, stream.size));
        ControlFlow::Continue(())
    })
    .unwrap();
    all
}

/// The node at a path.
pub(crate) fn find(tree: &dyn Tree, path: &str) -> NodeId {
    path.split('/').fold(NodeId::ROOT, |folder, name| {
        tree.lookup(folder, &name.into(), Case::Insensitive).unwrap_or_else(|error| panic!("{path}: {error}"))
    })
}

/// The whole content of a node; every byte must be proven.
pub(crate) fn content(tree: &dyn Tree, node: NodeId) -> Vec<u8> {
    let mut content = Vec::new();
    let mut buf = vec![0xa5; 64 << 10];
    loop {
        let mut faults = Faults::new();
        let read = tree.read_at(node, content.len() as u64, &mut buf, &mut faults).unwrap();
        assert!(faults.is_empty(), "{faults:?}");
        content.extend(&buf[..read]);
        if read < buf.len() {
            return content;
        }
    }
}

/// SHA-256 of the content of a node.
pub(crate) fn hash(tree: &dyn Tree, node: NodeId) -> String {
    let content = content(tree, node);
    assert_eq!(content.len() as u64, tree.attr(node).unwrap().size);
    hex(Sha256::digest(content))
}

/// The files below a folder of the host, with their named streams where the driver shows them as `user.` attributes.
pub(crate) fn host(root: &Path) -> Table {
    let mut table = Table::new();
    walk_host(root, "", &mut table);
    table
}

fn walk_host(folder: &Path, path: &str, table: &mut Table) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{path}{}", entry.file_name().to_str().unwrap());
        let metadata = entry.metadata().unwrap();
        let (kind, size, own) = if metadata.is_dir() {
            walk_host(&entry.path(), &format!("{path}/"), table);
            (Kind::Directory, 0, String::new())
        } else if metadata.is_symlink() {
            (Kind::Link, 0, String::new())
        } else {
            (Kind::File, metadata.len(), hex(Sha256::digest(fs::read(entry.path()).unwrap())))
        };
        let mut names = vec![0; 1 << 16];
        let length = rustix::fs::llistxattr(entry.path(), &mut names[..]).unwrap();
        for name in names[..length].split(|byte| *byte == 0).filter(|name| name.starts_with(b"user.")) {
            let name = std::str::from_utf8(name).unwrap();
            let mut value = vec![0; 1 << 16];
            let length = rustix::fs::lgetxattr(entry.path(), name, &mut value[..]).unwrap();
            let hash = hex(Sha256::digest(&value[..length]));
            let stream = Entry { kind: Kind::File, size: length as u64, hash };
            table.insert(format!("{path}:{}", &name[5..]), stream);
        }
        table.insert(path, Entry { kind, size, hash: own });
    }
}
