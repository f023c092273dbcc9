//! Images that change while they are open.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use fixtures::chain::Chain;
use fixtures::fill::Fill;
use fixtures::vhdx::{Block, Image, MIB};
use vhdx_mount::chain::{self, ChainOptions, Doubt};
use vhdx_mount::image::HostFolders;
use vhdx_mount::{FaultKind, Faults};

use crate::support::program::{Mounted, can_mount, wait_until};
use crate::support::{self, Untouched};
use crate::{EIO, base, content, in_file, ranges, read_all};

/// Opens a base, changes its file, and reads it after a moment.
fn read_after(change: impl FnOnce(&Path), doubt: Doubt) -> (Vec<u8>, Faults) {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, _) = base(folder.path());
    let chain = chain::open(&HostFolders, &path, &ChainOptions { doubt, ..ChainOptions::default() }).expect("it opens");
    let (bytes, faults) = read_all(&**chain.disk(), 1 << 20);
    assert!(bytes == content() && faults.is_empty());
    change(&path);
    std::thread::sleep(Duration::from_millis(1100));
    read_all(&**chain.disk(), 1 << 20)
}

#[test]
fn an_image_that_changes_while_it_is_open_is_doubtful_from_then_on() {
    let grow = |path: &Path| {
        File::options().append(true).open(path).and_then(|mut file| file.write_all(&[7; 512])).expect("it grows");
    };
    let touch = |path: &Path| {
        let file = File::options().write(true).open(path).expect("it opens");
        file.set_modified(SystemTime::now() - Duration::from_secs(1000)).expect("a time");
    };
    let changes: [&(dyn Fn(&Path) + Sync); 2] = [&grow, &touch];
    std::thread::scope(|scope| {
        for change in changes {
            scope.spawn(move || {
                let (bytes, faults) = read_after(change, Doubt::Refuse);
                assert_eq!(ranges(&faults, FaultKind::Lost), [(0..8 * MIB, "image-changed")]);
                assert!(bytes.iter().all(|byte| *byte == 0));
            });
            scope.spawn(move || {
                let (bytes, faults) = read_after(change, Doubt::Accept);
                assert_eq!(ranges(&faults, FaultKind::Doubtful), [(0..8 * MIB, "image-changed")]);
                assert!(bytes == content() && !faults.any_lost());
            });
        }
        // It shrinks: what is gone is lost, the rest doubtful.
        scope.spawn(|| {
            let shrink = |path: &Path| {
                let file = File::options().write(true).open(path).expect("it opens");
                let places = Image::fixed(8 * MIB, 2 * MIB as u32, &Fill::live(0)).places();
                file.set_len(in_file(&places, &(7 * MIB..8 * MIB)).start).expect("it shrinks");
            };
            let (bytes, faults) = read_after(shrink, Doubt::Accept);
            assert_eq!(ranges(&faults, FaultKind::Lost), [(7 * MIB..8 * MIB, "image-shrank")]);
            assert_eq!(ranges(&faults, FaultKind::Doubtful), [(0..7 * MIB, "image-changed")]);
            assert!(bytes[..7 << 20] == content()[..7 << 20]);
        });
    });
}

#[test]
fn reading_renaming_and_replacing_an_image_do_not_change_it() {
    let harmless: [&(dyn Fn(&Path) + Sync); 3] = [
        &|path| {
            let times = fs::FileTimes::new().set_accessed(SystemTime::now() + Duration::from_secs(1000));
            File::options().write(true).open(path).and_then(|file| file.set_times(times)).expect("a time");
        },
        &|path| fs::remove_file(path).expect("it is removed"),
        &|path| {
            let other = path.with_file_name("other");
            fs::write(&other, "something else").and_then(|()| fs::rename(&other, path)).expect("it is replaced");
        },
    ];
    std::thread::scope(|scope| {
        for change in harmless {
            scope.spawn(move || {
                let (bytes, faults) = read_after(change, Doubt::Refuse);
                assert!(bytes == content() && faults.is_empty(), "{faults:?}");
            });
        }
    });
}

/// What the child holds is not doubted because its parent changed.
#[test]
fn a_parent_that_changes_makes_its_own_bytes_doubtful_and_no_others() {
    let base = Image::fixed(8 * MIB, 2 * MIB as u32, &Fill::live(0));
    let mut child = Image::child_of(&base, "base.vhdx");
    child.blocks.insert(1, Block::fully_present(Fill::live(1)));
    let folder = tempfile::tempdir().expect("a folder");
    let forged = Chain::write(vec![base, child], folder.path()).expect("a chain is written");
    let chain = support::open_chain(&forged.youngest);
    read_all(&**chain.disk(), 1 << 20);
    File::options().append(true).open(&forged.files[0]).and_then(|mut file| file.write_all(b"x")).expect("it grows");
    std::thread::sleep(Duration::from_millis(1100));
    let (_, faults) = read_all(&**chain.disk(), 1 << 20);
    let expected = [(0..2 * MIB, "image-changed"), (4 * MIB..8 * MIB, "image-changed")];
    assert_eq!(ranges(&faults, FaultKind::Lost), expected);
    assert!(faults.iter().all(|fault| fault.link == Some(1)));
}

/// Whoever writes goes on writing: what is read in between is forgotten too.
#[test]
fn what_the_kernel_keeps_of_an_image_that_goes_on_changing_is_forgotten_again_and_again() {
    if !can_mount("what_the_kernel_keeps_of_an_image_that_goes_on_changing_is_forgotten_again_and_again") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (path, places) = base(folder.path());
    let mounted = Mounted::new(&path, &["--accept-doubtful"]);
    let disk = File::open(mounted.path("disk.raw")).expect("the disk");
    let file = File::options().write(true).open(&path).expect("the image");
    let at = in_file(&places, &(MIB..MIB + 1)).start;
    for byte in 1..=3u8 {
        file.write_all_at(&[byte; 4096], at).expect("it is written to");
        wait_until("the new bytes", || {
            let mut page = [0; 4096];
            disk.read_exact_at(&mut page, MIB).expect("it is served");
            page == [byte; 4096]
        });
        // By now the first change was noticed, and what was kept forgotten more than once.
        std::thread::sleep(Duration::from_secs(3));
    }
}

#[test]
fn a_mounted_image_that_something_writes_to_fails_and_says_so_once() {
    if !can_mount("a_mounted_image_that_something_writes_to_fails_and_says_so_once") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (path, _) = base(folder.path());
    let log = folder.path().join("log");
    let strict = Mounted::new(&path, &["--direct-io", "--log-file", log.to_str().expect("UTF-8")]);
    let accepting = Mounted::new(&path, &["--direct-io", "--accept-doubtful"]);
    let cached = Mounted::new(&path, &[]);
    let read = |mounted: &Mounted| {
        let mut page = [0; 4096];
        File::open(mounted.path("disk.raw")).and_then(|disk| disk.read_exact_at(&mut page, MIB)).map(|()| page)
    };
    let whole = read(&strict).expect("a read");
    assert_eq!(read(&cached).expect("a read"), whole);
    File::options().append(true).open(&path).and_then(|mut file| file.write_all(b"x")).expect("it grows");
    let _untouched = Untouched::watch([&path]);
    wait_until("doubt", || read(&strict).is_err());
    for _ in 0..3 {
        assert_eq!(read(&strict).expect_err("doubtful").raw_os_error(), EIO);
        assert_eq!(read(&accepting).expect("it is served"), whole);
    }
    // What the kernel kept of it is forgotten.
    wait_until("doubt in spite of the cache", || read(&cached).is_err());
    let log = fs::read_to_string(&log).expect("the log");
    assert_eq!(log.matches("something wrote to this image").count(), 1, "{log}");
    assert!(log.contains("--accept-doubtful"), "{log}");
}
