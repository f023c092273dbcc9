//! The tools that people use, on a tree that is whole: they must get all of it and have nothing to complain about.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use mount_api::{Faults, From as ListFrom, Kind, NodeId, Tree};

use crate::harness::{Mounted, can, run, succeed};
use crate::memory_tree::MemoryTree;
use crate::samples::{self, MIB};

/// Compares a folder of the host with a folder of the tree: names, kinds, contents, link targets, times of change.
fn assert_same(folder: &Path, tree: &MemoryTree, node: NodeId) -> usize {
    let mut entries = Vec::new();
    tree.read_dir(node, ListFrom::Start, &mut |entry| {
        entries.push(entry);
        std::ops::ControlFlow::Continue(())
    })
    .unwrap();
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let mut expected: Vec<_> = entries.iter().map(|entry| entry.name.to_string_lossy()).collect();
    names.sort();
    expected.sort();
    assert_eq!(names, expected, "{}", folder.display());
    let mut count = entries.len();
    for entry in entries {
        let path = folder.join(entry.name.to_string_lossy());
        let attr = tree.attr(entry.node).unwrap();
        let stat = fs::symlink_metadata(&path).unwrap();
        assert_eq!((stat.mtime(), stat.mtime_nsec() as u32), attr.times.modified.to_unix(), "{}", path.display());
        match entry.kind {
            Kind::Directory => count += assert_same(&path, tree, entry.node),
            Kind::Link => assert!(stat.is_symlink(), "{}", path.display()),
            Kind::File => {
                let mut bytes = vec![0; attr.size as usize];
                tree.read_at(entry.node, 0, &mut bytes, &mut Faults::new()).unwrap();
                assert!(fs::read(&path).unwrap() == bytes, "{}", path.display());
            }
        }
    }
    count
}

/// Checks a copy of the whole sample: all entries, and one file with two names.
fn assert_copied(copy: &Path) {
    let tree = samples::tree("whole");
    assert_eq!(assert_same(copy, &tree, NodeId::ROOT), 31);
    let deep = (0..10).fold(copy.to_owned(), |path, depth| path.join(format!("depth {depth}")));
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(&copy.join("one name.bin")), inode(&deep.join("another name.bin")), "hard links stay hard links");
}

#[test]
fn cp_copies_everything() {
    if !can("cp_copies_everything", &["cp"]) {
        return;
    }
    let mounted = Mounted::new("whole");
    let copy = mounted.scratch().join("copy");
    succeed("cp", &[&"-a", &mounted.point(), &copy]);
    assert_copied(&copy);
    // 8 MiB of which 6 are holes, and 4 MiB of nothing: the holes were not copied.
    assert!(fs::metadata(copy.join("sparse.bin")).unwrap().blocks() <= (2 * MIB + 65_536) / 512);
    assert!(fs::metadata(copy.join("hole.bin")).unwrap().blocks() <= 128);
    assert_eq!(mounted.complaints(), [""; 0]);
}

#[test]
fn rsync_copies_everything_and_then_finds_nothing_to_do() {
    if !can("rsync_copies_everything_and_then_finds_nothing_to_do", &["rsync"]) {
        return;
    }
    let mounted = Mounted::new("whole");
    let (source, copy) = (mounted.path(""), mounted.scratch().join("copy"));
    succeed("rsync", &[&"-aH", &source, &copy]);
    assert_copied(&copy);
    let second = succeed("rsync", &[&"-aHi", &source, &copy]);
    assert_eq!(second, "", "everything is as it was");
    assert_eq!(mounted.complaints(), [""; 0]);
}

#[test]
fn tar_packs_everything() {
    if !can("tar_packs_everything", &["tar"]) {
        return;
    }
    let mounted = Mounted::new("whole");
    let (archive, copy) = (mounted.scratch().join("archive.tar"), mounted.scratch().join("copy"));
    fs::create_dir(&copy).unwrap();
    // pax: older formats know no parts of a second.
    succeed("tar", &[&"--format=pax", &"-S", &"-cf", &archive, &"-C", &mounted.point(), &"."]);
    succeed("tar", &[&"-xf", &archive, &"-C", &copy]);
    assert_copied(&copy);
    assert!(fs::metadata(&archive).unwrap().len() < 30 * MIB, "the holes are not in it");
    assert_eq!(mounted.complaints(), [""; 0]);
}

#[test]
fn find_sees_everything_once() {
    if !can("find_sees_everything_once", &["find"]) {
        return;
    }
    let mounted = Mounted::new("whole");
    let count = |test: &[&str]| {
        let arguments: Vec<&dyn AsRef<std::ffi::OsStr>> =
            test.iter().map(|argument| argument as &dyn AsRef<std::ffi::OsStr>).collect();
        succeed("find", &[&[&mounted.point() as &dyn AsRef<std::ffi::OsStr>], arguments.as_slice()].concat())
            .lines()
            .count()
    };
    assert_eq!(count(&["-mindepth", "1"]), 31);
    assert_eq!(count(&["-type", "d"]), 13);
    assert_eq!(count(&["-type", "f"]), 17);
    assert_eq!(count(&["-type", "l"]), 2);
    assert_eq!(count(&["-samefile", mounted.path("one name.bin").to_str().unwrap()]), 2);
    assert_eq!(count(&["-name", "*.bin", "-size", "+1M"]), 4 + 1);
}

#[test]
fn du_counts_what_is_allocated() {
    if !can("du_counts_what_is_allocated", &["du"]) {
        return;
    }
    let mounted = Mounted::new("whole");
    let sizes = succeed("du", &[&"-s", &"-B1", &mounted.path("sizes")]);
    // Three small files, of which each must count for something; 1, 1, 2, 256, 257, 1281 clusters of 4096 bytes.
    assert_eq!(sizes.split('\t').next(), Some(&*(3 * 512 + 1798 * 4096).to_string()));
    let apparent = succeed("du", &[&"--apparent-size", &"-B1", &mounted.path("sparse.bin")]);
    assert_eq!(apparent.split('\t').next(), Some(&*(8 * MIB).to_string()));
}

#[test]
fn extended_attributes_are_not_there_and_nobody_is_warned() {
    if !can("extended_attributes_are_not_there_and_nobody_is_warned", &["getfattr", "ls", "lsattr", "sync"]) {
        return;
    }
    let mounted = Mounted::new("whole");
    let listed = run("getfattr", &[&"-d", &"-m-", &mounted.path("big.bin")]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout), "");
    assert!(String::from_utf8_lossy(&listed.stderr).ends_with("big.bin: Operation not supported\n"));
    succeed("ls", &[&"-lRZ", &mounted.point()]);
    let sync = run("sync", &[&mounted.path("big.bin")]);
    assert!(sync.status.success());
    let lsattr = run("lsattr", &[&mounted.path("big.bin")]);
    let said = String::from_utf8_lossy(&lsattr.stderr);
    assert!(said.contains("Operation not supported") || said.contains("nappropriate ioctl"), "{said}");
    assert_eq!(mounted.complaints(), [""; 0]);
}
