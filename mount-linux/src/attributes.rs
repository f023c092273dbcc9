//! What `stat` shows.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};
use mount_api::{Attr, Error, Kind, NodeId, Time, Tree};

use crate::Options;
use crate::link;

/// Owner and permission bits, the same for the whole mount.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ownership {
    uid: u32,
    gid: u32,
    file_mode: u16,
    dir_mode: u16,
}

impl Ownership {
    pub(crate) fn new(options: &Options) -> Self {
        Ownership {
            uid: options.uid,
            gid: options.gid,
            file_mode: options.file_mode & 0o777,
            dir_mode: options.dir_mode & 0o777,
        }
    }

    /// Asks the tree for a node's attributes and shapes them as FUSE wants them.
    pub(crate) fn stat(&self, tree: &dyn Tree, node: NodeId) -> Result<FileAttr, Error> {
        let attr = tree.attr(node)?;
        let size = match attr.kind {
            Kind::Link => link_size(tree, node),
            Kind::Directory | Kind::File => attr.size,
        };
        Ok(self.shape(node, &attr, size))
    }

    /// Attributes that the kernel refuses (no file has this size), which makes it list the name of a node whose
    /// attributes cannot be read, and ask again, and get the error, when somebody wants them.
    pub(crate) fn unreadable(&self, node: NodeId, kind: Kind) -> FileAttr {
        let attr = Attr {
            kind,
            size: u64::MAX,
            allocated: 0,
            times: mount_api::Times::default(),
            name_times: None,
            attributes: 0,
            links: 1,
            record: 0,
            sequence: 0,
            owner: None,
            trust: mount_api::Trust::Proven,
        };
        self.shape(node, &attr, u64::MAX)
    }

    fn shape(&self, node: NodeId, attr: &Attr, size: u64) -> FileAttr {
        FileAttr {
            ino: INodeNo(node.0),
            size,
            // A small file may stand in its record, with nothing set aside. Without a block it would be one hole to tar.
            blocks: attr.allocated.div_ceil(512).max((size > 0).into()),
            atime: system_time(attr.times.accessed),
            mtime: system_time(attr.times.modified),
            ctime: system_time(attr.times.changed),
            crtime: system_time(attr.times.created),
            kind: file_type(attr.kind),
            perm: match attr.kind {
                Kind::Directory => self.dir_mode,
                Kind::File => self.file_mode,
                Kind::Link => 0o777,
            },
            // One is what file systems say that do not count the folders below a folder; `find` knows it.
            nlink: if attr.kind == Kind::Directory { 1 } else { attr.links.max(1) },
            uid: self.uid,
            gid: self.gid,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

/// The kind as directory entries and modes name it.
pub(crate) fn file_type(kind: Kind) -> FileType {
    match kind {
        Kind::Directory => FileType::Directory,
        Kind::File => FileType::RegularFile,
        Kind::Link => FileType::Symlink,
    }
}

/// The length of what `readlink` gives, for programs that size their buffer by it; 0 where the target cannot be read.
fn link_size(tree: &dyn Tree, node: NodeId) -> u64 {
    link::bytes_of(tree, node).map_or(0, |target| u64::try_from(target.len()).unwrap_or(0))
}

/// A time that is not recorded is shown as the start of 1970, like everywhere on Linux; others exactly.
fn system_time(time: Time) -> SystemTime {
    if time == Time::default() {
        return UNIX_EPOCH;
    }
    let (seconds, nanos) = time.to_unix();
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let second = if seconds < 0 { UNIX_EPOCH.checked_sub(whole) } else { UNIX_EPOCH.checked_add(whole) };
    second.and_then(|second| second.checked_add(Duration::from_nanos(nanos.into()))).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_on_both_sides_of_1970() {
        assert_eq!(system_time(Time(0)), UNIX_EPOCH);
        assert_eq!(system_time(Time::from_unix(0, 0)), UNIX_EPOCH);
        assert_eq!(
            system_time(Time::from_unix(1_700_000_000, 123_456_700)),
            UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_700)
        );
        // Half a second before 1970.
        assert_eq!(system_time(Time::from_unix(-1, 500_000_000)), UNIX_EPOCH - Duration::from_millis(500));
        // One step after 1601-01-01.
        assert_eq!(system_time(Time(1)), UNIX_EPOCH - Duration::from_secs(11_644_473_600) + Duration::from_nanos(100));
        assert!(system_time(Time(u64::MAX)) > UNIX_EPOCH);
    }
}
