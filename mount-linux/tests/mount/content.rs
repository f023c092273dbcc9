//! What files hold and what `stat` says of them.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};

use crate::harness::{Mounted, can, run, skip, succeed};
use crate::samples::{self, MIB, SIZES};

#[test]
fn files_hold_what_the_tree_holds() {
    if !can("files_hold_what_the_tree_holds", &[]) {
        return;
    }
    let (mounted, tree) = (Mounted::new("whole"), samples::tree("whole"));
    for size in SIZES {
        let name = format!("sizes/{size}.bin");
        let path = mounted.path(&name);
        assert_eq!(fs::metadata(&path).unwrap().len(), size);
        assert_eq!(fs::read(&path).unwrap(), tree.content(&name).all(), "{name}");
    }
    assert_eq!(fs::read(mounted.path("sparse.bin")).unwrap(), tree.content("sparse.bin").all());
}

#[test]
fn reads_at_odd_places_are_exact() {
    if !can("reads_at_odd_places_are_exact", &[]) {
        return;
    }
    let tree = samples::tree("whole");
    let content = tree.content("sizes/5243003.bin");
    for options in ["", "direct-io", "threads=1", "threads=8"] {
        let mounted = Mounted::with("whole", options);
        let file = File::open(mounted.path("sizes/5243003.bin")).unwrap();
        for (offset, length) in
            [(0, 1), (1, 4096), (4095, 2), (MIB - 1, 3), (3 * MIB + 7, 1_500_000), (content.size - 5, 100)]
        {
            let mut bytes = vec![0; length];
            let mut read = 0;
            while let more @ 1.. = file.read_at(&mut bytes[read..], offset + read as u64).unwrap() {
                read += more;
            }
            assert_eq!(bytes[..read], content.bytes(offset..offset + length as u64), "{options}: {length} at {offset}");
        }
        assert_eq!(file.read_at(&mut [0; 10], content.size).unwrap(), 0, "past the end is the end");
        assert_eq!(file.read_at(&mut [0; 10], content.size + MIB).unwrap(), 0, "past the end is the end");
    }
}

#[test]
fn many_readers_at_once_get_what_is_theirs() {
    if !can("many_readers_at_once_get_what_is_theirs", &[]) {
        return;
    }
    let mounted = Mounted::new("whole");
    let tree = samples::tree("whole");
    let content = tree.content("big.bin");
    std::thread::scope(|scope| {
        for reader in 0..8_u64 {
            let path = mounted.path("big.bin");
            scope.spawn(move || {
                let file = File::open(path).unwrap();
                let mut bytes = vec![0; 64 << 10];
                for step in 0..40_u64 {
                    let offset = (reader * 7_777_777 + step * 1_234_567) % (15 * MIB);
                    file.read_exact_at(&mut bytes, offset).unwrap();
                    let expected = content.bytes(offset..offset + bytes.len() as u64);
                    assert!(bytes == expected, "reader {reader} at {offset}");
                }
            });
        }
    });
}

#[test]
fn unbuffered_reads_work_with_and_without_the_option() {
    if !can("unbuffered_reads_work_with_and_without_the_option", &[]) {
        return;
    }
    let tree = samples::tree("whole");
    for options in ["", "direct-io"] {
        let mounted = Mounted::with("whole", options);
        let direct = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).unwrap();
        let file = fs::OpenOptions::new().read(true).custom_flags(direct).open(mounted.path("big.bin")).unwrap();
        let mut bytes = vec![0; 1 << 20];
        file.read_exact_at(&mut bytes, 5 * MIB).unwrap();
        assert_eq!(bytes, tree.content("big.bin").bytes(5 * MIB..6 * MIB), "{options}");
    }
}

#[test]
fn times_are_exact_to_100_nanoseconds() {
    if !can("times_are_exact_to_100_nanoseconds", &[]) {
        return;
    }
    let mounted = Mounted::new("names");
    let stat = fs::metadata(mounted.path("odd times")).unwrap();
    assert_eq!((stat.mtime(), stat.mtime_nsec()), (-1, 999_999_900), "just before 1970");
    assert_eq!((stat.ctime(), stat.ctime_nsec()), (4_102_444_800, 100), "the year 2100");
    assert_eq!((stat.atime(), stat.atime_nsec()), (0, 0), "not recorded: the start of 1970");
    let stat = fs::metadata(mounted.path("awkward")).unwrap();
    assert_eq!(stat.mtime_nsec(), 123_456_700);
}

#[test]
fn stat_tells_links_blocks_owner_and_modes() {
    if !can("stat_tells_links_blocks_owner_and_modes", &[]) {
        return;
    }
    let (mounted, tree) = (Mounted::new("whole"), samples::tree("whole"));
    let one = fs::metadata(mounted.path("one name.bin")).unwrap();
    let deep = (0..10).fold(mounted.point().to_owned(), |path, depth| path.join(format!("depth {depth}")));
    let other = fs::metadata(deep.join("another name.bin")).unwrap();
    assert_eq!(one.ino(), tree.find("one name.bin").0);
    assert_eq!((one.ino(), one.nlink()), (other.ino(), 2));
    assert_eq!((one.mode(), one.uid(), one.gid()), (0o100_444, 0, 0));
    // 70,000 bytes in clusters of 4096: 18 of them, in blocks of 512.
    assert_eq!((one.size(), one.blocks()), (70_000, 144));
    let folder = fs::metadata(mounted.path("sizes")).unwrap();
    assert_eq!((folder.mode(), folder.nlink()), (0o040_555, 1));
    let link = fs::symlink_metadata(mounted.path("to nowhere")).unwrap();
    assert_eq!((link.mode(), link.size()), (0o120_777, r"\??\C:\Users".len() as u64));
    // 8 MiB with 1 + 4 + 1 MiB of holes.
    assert_eq!(fs::metadata(mounted.path("sparse.bin")).unwrap().blocks(), 2 * MIB / 512);
}

#[test]
fn owner_and_modes_are_options() {
    if !can("owner_and_modes_are_options", &["setpriv"]) {
        return;
    }
    let mounted = Mounted::with("whole", "uid=1234;gid=567;file-mode=440;dir-mode=550;allow-other");
    let file = fs::metadata(mounted.path("big.bin")).unwrap();
    assert_eq!((file.mode(), file.uid(), file.gid()), (0o100_440, 1234, 567));
    assert_eq!(fs::metadata(mounted.point()).unwrap().mode(), 0o040_550);
    // The kernel enforces them.
    let read = |uid: &str| {
        let file = mounted.path("sizes/1.bin");
        run("setpriv", &[&"--reuid", &uid, &"--regid=1", &"--clear-groups", &"cat", &file])
    };
    assert!(read("1234").status.success());
    assert!(String::from_utf8_lossy(&read("4321").stderr).contains("Permission denied"));
}

#[test]
fn other_users_see_nothing_unless_they_are_let_in() {
    if !can("other_users_see_nothing_unless_they_are_let_in", &["setpriv"]) {
        return;
    }
    let listed = |mounted: &Mounted| {
        run("setpriv", &[&"--reuid=4321", &"--regid=1", &"--clear-groups", &"ls", &mounted.point()])
    };
    let refused = listed(&Mounted::new("whole"));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Permission denied"));
    assert!(listed(&Mounted::with("whole", "allow-other")).status.success());
}

#[test]
fn statfs_tells_the_size_of_the_volume() {
    if !can("statfs_tells_the_size_of_the_volume", &["df"]) {
        return;
    }
    let mounted = Mounted::new("whole");
    let stat = rustix::fs::statvfs(mounted.point()).unwrap();
    assert_eq!((stat.f_blocks, stat.f_bfree, stat.f_bavail), (10_000, 2_500, 0));
    assert_eq!((stat.f_bsize, stat.f_frsize, stat.f_namemax), (4096, 4096, 1024));
    assert!(stat.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
    let line = succeed("df", &[&"--output=size,used,fstype", &"-B4096", &mounted.point()]);
    assert_eq!(
        line.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>(),
        ["10000", "7500", "fuse.vhdx-mount"]
    );
}

#[test]
fn holes_and_data_can_be_sought() {
    if !can("holes_and_data_can_be_sought", &[]) {
        return;
    }
    use rustix::fs::SeekFrom::{Data, Hole};
    use rustix::io::Errno;
    let mounted = Mounted::new("whole");
    let file = File::open(mounted.path("sparse.bin")).unwrap();
    let seek = |to| rustix::fs::seek(&file, to);
    assert_eq!(seek(Data(0)), Ok(MIB));
    assert_eq!(seek(Data(MIB + 5)), Ok(MIB + 5));
    assert_eq!(seek(Hole(0)), Ok(0));
    assert_eq!(seek(Hole(MIB)), Ok(2 * MIB));
    assert_eq!(seek(Data(2 * MIB + 1)), Ok(6 * MIB));
    assert_eq!(seek(Hole(6 * MIB)), Ok(7 * MIB));
    assert_eq!(seek(Data(7 * MIB)), Err(Errno::NXIO), "only a hole up to the end");
    assert_eq!(seek(Hole(8 * MIB)), Err(Errno::NXIO), "the end is past the end");
    let whole = File::open(mounted.path("big.bin")).unwrap();
    assert_eq!(rustix::fs::seek(&whole, Hole(5)), Ok(16 * MIB), "the end counts as a hole");
    let hole = File::open(mounted.path("hole.bin")).unwrap();
    assert_eq!(rustix::fs::seek(&hole, Data(0)), Err(Errno::NXIO));
}

#[test]
fn a_loop_device_reads_a_file_of_the_mount() {
    const TEST: &str = "a_loop_device_reads_a_file_of_the_mount";
    if !can(TEST, &["losetup"]) {
        return;
    }
    let (mounted, tree) = (Mounted::new("whole"), samples::tree("whole"));
    let output = run("losetup", &[&"--find", &"--show", &"--read-only", &mounted.path("big.bin")]);
    if !output.status.success() {
        return skip(TEST, &format!("losetup: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let device = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(&device)?;
        let mut bytes = vec![0; 3 << 20];
        file.seek(SeekFrom::Start(9 * MIB + 512))?;
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read();
    succeed("losetup", &[&"--detach", &device]);
    assert!(bytes.unwrap() == tree.content("big.bin").bytes(9 * MIB + 512..12 * MIB + 512));
}
