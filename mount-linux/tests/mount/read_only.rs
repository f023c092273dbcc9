//! Nothing can be written: by the read-only mount, and by the adapter itself where somebody mounts it writable again.

use std::fs::{self, File};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::{Errno, Result};

use crate::harness::{Mounted, can, succeed};
use crate::samples;

/// Every call that would change something below the mount point, by name, and what it gave.
fn writing_calls(mounted: &Mounted) -> Vec<(&'static str, Result<()>)> {
    let point = File::open(mounted.point()).unwrap();
    let file = File::open(mounted.path("big.bin")).unwrap();
    let now = Timespec { tv_sec: 1, tv_nsec: 0 };
    let times = Timestamps { last_access: now, last_modification: now };
    let (mode, none) = (Mode::from_raw_mode(0o600), AtFlags::empty());
    let open = |name: &str, flags| rustix::fs::openat(&point, name, flags, mode).map(drop);
    let owner = Some(rustix::fs::Uid::from_raw(1));
    vec![
        ("open to create", open("new", OFlags::CREATE | OFlags::RDWR)),
        ("open to truncate", open("big.bin", OFlags::TRUNC | OFlags::WRONLY)),
        ("mkdir", rustix::fs::mkdirat(&point, "new", mode)),
        ("mknod", rustix::fs::mknodat(&point, "new", FileType::Fifo, mode, 0)),
        ("unlink", rustix::fs::unlinkat(&point, "big.bin", none)),
        ("rmdir", rustix::fs::unlinkat(&point, "empty", AtFlags::REMOVEDIR)),
        ("rename", rustix::fs::renameat(&point, "big.bin", &point, "new")),
        ("exchange", rustix::fs::renameat_with(&point, "big.bin", &point, "hole.bin", RenameFlags::EXCHANGE)),
        ("link", rustix::fs::linkat(&point, "big.bin", &point, "new", none)),
        ("symlink", rustix::fs::symlinkat("x", &point, "new")),
        ("chmod", rustix::fs::chmodat(&point, "big.bin", mode, none)),
        ("chown", rustix::fs::chownat(&point, "big.bin", owner, None, none)),
        ("utimes", rustix::fs::utimensat(&point, "big.bin", &times, none)),
        ("setxattr", rustix::fs::setxattr(mounted.path("big.bin"), "user.x", b"1", XattrFlags::empty())),
        ("removexattr", rustix::fs::removexattr(mounted.path("big.bin"), "user.x")),
        ("fchmod", rustix::fs::fchmod(&file, mode)),
        ("futimes", rustix::fs::futimens(&file, &times)),
        (
            "truncate",
            fs::OpenOptions::new().write(true).open(mounted.path("big.bin")).map_or_else(
                |error| Err(Errno::from_io_error(&error).unwrap()),
                |file| rustix::fs::ftruncate(&file, 0),
            ),
        ),
    ]
}

#[test]
fn every_writing_call_is_refused() {
    if !can("every_writing_call_is_refused", &[]) {
        return;
    }
    let mounted = Mounted::new("whole");
    for (call, outcome) in writing_calls(&mounted) {
        assert_eq!(outcome, Err(Errno::ROFS), "{call}");
    }
    for flags in [OFlags::WRONLY, OFlags::RDWR] {
        let opened = rustix::fs::open(mounted.path("big.bin"), flags, Mode::empty());
        assert_eq!(opened.unwrap_err(), Errno::ROFS);
    }
}

#[test]
fn every_writing_call_is_refused_even_when_root_remounts_it_writable() {
    if !can("every_writing_call_is_refused_even_when_root_remounts_it_writable", &["mount"]) {
        return;
    }
    for options in ["", "direct-io"] {
        let (mounted, tree) = (Mounted::with("whole", options), samples::tree("whole"));
        succeed("mount", &[&"-i", &"-o", &"remount,rw", &mounted.point()]);
        for (call, outcome) in writing_calls(&mounted) {
            assert_eq!(outcome, Err(Errno::ROFS), "{call}");
        }
        // Without being asked about each open, the adapter can refuse only the write itself.
        match rustix::fs::open(mounted.path("sizes/4096.bin"), OFlags::RDWR, Mode::empty()) {
            Ok(file) => {
                assert_eq!(rustix::io::write(&file, b"x"), Err(Errno::ROFS));
                assert_eq!(rustix::io::pwrite(&file, b"x", 4096), Err(Errno::ROFS));
                let allocate = rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 1 << 20);
                assert_eq!(allocate, Err(Errno::ROFS));
                let source = File::open(mounted.path("big.bin")).unwrap();
                let copied = rustix::fs::copy_file_range(&source, None, &file, None, 4096);
                assert_eq!(copied, Err(Errno::ROFS));
            }
            Err(error) => assert_eq!(error, Errno::ROFS),
        }
        assert!(fs::read(mounted.path("sizes/4096.bin")).unwrap() == tree.content("sizes/4096.bin").all());
        assert_eq!(fs::metadata(mounted.path("big.bin")).unwrap().len(), 16 << 20);
    }
}
