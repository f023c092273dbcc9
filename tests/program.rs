//! The program as it is used: real mounts of forged chains, real tools on top.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "reads mounted files as any program would")]

mod support;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fixtures::chain::{Chain, RandomChain};
use fixtures::fill::Fill;
use fixtures::vhdx::{Block, Image, Layout, MIB, Part};
use support::program::{Mounted, PROGRAM, can_mount, expect_success, has, is_gone, run, unmount, wait_until};
use support::{Untouched, skip};

/// A base of 8 MiB full of known bytes, and its file.
fn base(folder: &Path) -> (Image, PathBuf) {
    let image = Image::fixed(8 * MIB, 2 * MIB as u32, &Fill::live(0));
    let path = folder.join("base.vhdx");
    image.write_to(&path).expect("an image is written");
    (image, path)
}

fn alive(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !status.is_empty() && !status.contains(") Z ")
}

fn signal(pid: i32, signal: &str) {
    expect_success(&run("kill", &[&format!("-{signal}"), &pid.to_string()]));
}

#[test]
fn a_random_chain_reads_the_same_through_the_mount() {
    if !can_mount("random chain through the mount") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let chain: Chain = RandomChain { links: 5, virtual_size: 24 * MIB, ..RandomChain::new(42) }
        .write(folder.path())
        .expect("a chain is written");
    let _untouched = Untouched::watch(&chain.files);
    let mounted = Mounted::new(&chain.youngest, &[]);
    let mut disk = File::open(mounted.path("disk.raw")).expect("disk.raw opens");
    assert_eq!(disk.metadata().expect("its size").len(), chain.model.size());
    let mut buf = vec![0; 100_003];
    let mut at = 0;
    while at < chain.model.size() {
        let len = (chain.model.size() - at).min(buf.len() as u64) as usize;
        disk.seek(SeekFrom::Start(at)).expect("a seek");
        disk.read_exact(&mut buf[..len]).expect("a read");
        chain.model.compare(at, &buf[..len]).unwrap_or_else(|why| panic!("{why}\n{}", chain.description));
        at += len as u64;
    }
    let report = fs::read(mounted.path("report.json")).expect("the report");
    let report: serde_json::Value = serde_json::from_slice(&report).expect("JSON");
    assert_eq!(report["links"].as_array().map(Vec::len), Some(5));
    let told = run(PROGRAM, &[&"info", &"--json", &chain.youngest]);
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).expect("JSON");
    assert_eq!(told, report, "info --json and report.json are one object");
}

#[test]
fn images_that_nobody_may_write_on_a_read_only_mount_work() {
    if !can_mount("read-only images") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (_, path) = base(folder.path());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).expect("a mode");
    let view = tempfile::tempdir().expect("a folder");
    let bound = run("mount", &[&"--bind", &folder.path(), &view.path()]);
    if !bound.status.success() {
        return skip("read-only images", "this process may not bind-mount");
    }
    expect_success(&run("mount", &[&"-o", &"remount,ro,bind", &view.path()]));
    let mounted = Mounted::new(&view.path().join("base.vhdx"), &[]);
    let mut got = vec![0; 8 << 20];
    File::open(mounted.path("disk.raw")).and_then(|mut disk| disk.read_exact(&mut got)).expect("a read");
    let mut expected = vec![0; 8 << 20];
    Fill::live(0).read(0, &mut expected);
    assert!(got == expected);
    drop(mounted);
    // The serving process lets go of the image a moment after the unmount.
    unmount(view.path());
}

/// Every file that the program opens while it reads a chain, as the kernel saw it.
#[test]
fn images_are_opened_for_reading_and_nothing_is_created() {
    if !has("strace", "strace") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let chain = RandomChain { links: 4, virtual_size: 8 * MIB, ..RandomChain::new(9) }
        .write(folder.path())
        .expect("a chain is written");
    let trace = folder.path().join("trace");
    let traced = run(
        "strace",
        &[&"-f", &"-y", &"-e", &"trace=%file,%desc", &"-o", &trace, &PROGRAM, &"ls", &"-l", &chain.youngest],
    );
    expect_success(&traced);
    let trace = fs::read_to_string(&trace).expect("the trace");
    let calls: Vec<&str> = trace.lines().filter(|line| !line.contains("ENOENT")).collect();
    let images: Vec<&str> =
        calls.iter().copied().filter(|line| line.contains("open") && line.contains("vhdx\"")).collect();
    assert!(images.len() >= 4, "{images:#?}");
    for line in images {
        assert!(line.contains("O_RDONLY") && line.contains("O_NOATIME"), "{line}");
    }
    let changing =
        ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND", "ftruncate(", "fallocate(", "unlink", "rename"];
    let changing = calls.iter().filter(|line| changing.iter().any(|word| line.contains(word)));
    assert_eq!(changing.collect::<Vec<_>>(), Vec::<&&str>::new());
    let images = calls.iter().filter(|line| line.contains("vhdx>"));
    let written = images.filter(|line| line.contains("write") || line.contains("mmap("));
    assert_eq!(written.collect::<Vec<_>>(), Vec::<&&str>::new());
}

/// A disk that has lost 4 KiB in its middle: its last block in the file is cut, and stands in the middle of the disk.
fn cut_chain(folder: &Path) -> (PathBuf, std::ops::Range<u64>) {
    let mut image = Image::dynamic(64 * MIB);
    for block in 0..32 {
        image.blocks.insert(block, Block::fully_present(Fill::live(0)));
    }
    // Block 13 stands behind all others.
    let first = [Part::Log, Part::Metadata, Part::Bat].into_iter();
    image.layout = Layout::Explicit(first.chain((0..32).filter(|block| *block != 13).map(Part::Payload)).collect());
    let path = folder.join("cut.vhdx");
    let places = image.write_to(&path).expect("an image is written");
    assert_eq!(places.payload[&13].end, places.file_size);
    let file = File::options().write(true).open(&path).expect("the image opens");
    file.set_len(places.file_size - 4096).expect("the image is cut");
    let end = 14 * 2 * MIB;
    (path, end - 4096..end)
}

#[test]
fn ddrescue_loses_exactly_the_4_kib_that_are_lost() {
    if !can_mount("ddrescue") || !has("ddrescue", "ddrescue") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (image, lost) = cut_chain(folder.path());
    let _untouched = Untouched::watch([&image]);
    let mounted = Mounted::new(&image, &[]);
    let (copy, map) = (folder.path().join("copy"), folder.path().join("map"));
    expect_success(&run("ddrescue", &[&"--quiet", &mounted.path("disk.raw"), &copy, &map]));
    let map = fs::read_to_string(&map).expect("the map");
    // position, size, status; the first line that is no comment is ddrescue's own state.
    let blocks = map.lines().filter(|line| !line.starts_with('#')).skip(1);
    let bad: Vec<(u64, u64)> = blocks
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|fields| fields[2] != "+")
        .map(|fields| {
            let hex = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("a number");
            (hex(fields[0]), hex(fields[0]) + hex(fields[1]))
        })
        .collect();
    assert_eq!(bad, [(lost.start, lost.end)]);
    let copied = fs::read(&copy).expect("the copy");
    let mut expected = vec![0; 64 << 20];
    Fill::live(0).read(0, &mut expected);
    expected[lost.start as usize..lost.end as usize].fill(0);
    assert!(copied == expected);
}

#[test]
fn a_lost_byte_is_an_error_and_never_a_short_read() {
    if !can_mount("lost bytes") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (image, lost) = cut_chain(folder.path());
    let mounted = Mounted::new(&image, &[]);
    let mut disk = File::open(mounted.path("disk.raw")).expect("disk.raw opens");
    disk.seek(SeekFrom::Start(lost.start)).expect("a seek");
    let error = disk.read(&mut [0; 512]).expect_err("an error");
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
    disk.seek(SeekFrom::Start(lost.end)).expect("a seek");
    disk.read_exact(&mut [0; 512]).expect("what follows is whole");
}

#[test]
fn a_signal_ends_the_mount_though_files_are_open() {
    if !can_mount("SIGTERM while busy") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (_, image) = base(folder.path());
    let mounted = Mounted::new(&image, &[]);
    let server = mounted.server();
    let mut held = File::open(mounted.path("disk.raw")).expect("disk.raw opens");
    signal(server, "TERM");
    wait_until("the end of the mount", || is_gone(&mounted.at));
    let mut buf = [0; 512];
    held.read_exact(&mut buf).expect("what was open is served to the end");
    drop(held);
    wait_until("the end of the process", || !alive(server));
}

#[test]
fn a_killed_mount_hangs_nobody_and_can_be_mounted_over() {
    if !can_mount("kill -9") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (_, image) = base(folder.path());
    let mounted = Mounted::new(&image, &[]);
    let held = File::open(mounted.path("disk.raw")).expect("disk.raw opens");
    signal(mounted.server(), "KILL");
    wait_until("the failure of the mount", || fs::metadata(mounted.path("disk.raw")).is_err());
    drop(held);
    expect_success(&run(PROGRAM, &[&image, &mounted.at]));
    assert_eq!(fs::metadata(mounted.path("disk.raw")).expect("it is there again").len(), 8 * MIB);
}

#[test]
fn an_image_that_vanishes_or_shrinks_hangs_nobody() {
    if !can_mount("vanished image") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (_, image) = base(folder.path());
    let mounted = Mounted::new(&image, &["--direct-io"]);
    let mut disk = File::open(mounted.path("disk.raw")).expect("disk.raw opens");
    File::options().write(true).open(&image).and_then(|file| file.set_len(4 << 20)).expect("the image shrinks");
    disk.seek(SeekFrom::Start(6 * MIB)).expect("a seek");
    let error = disk.read(&mut [0; 4096]).expect_err("what was cut off is lost");
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
    fs::remove_file(&image).expect("the image is removed");
    drop(disk);
    expect_success(&run(PROGRAM, &[&"unmount", &mounted.at]));
    assert!(is_gone(&mounted.at));
}

#[test]
fn a_failure_is_told_by_the_command_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, image) = base(folder.path());
    let cases: [(&[&dyn AsRef<OsStr>], i32, &str); 5] = [
        (&[&folder.path().join("none.vhdx"), &folder.path()], 1, "none.vhdx"),
        (&[&image, &folder.path().join("no such folder")], 1, "no such folder"),
        (&[&image, &folder.path()], 1, "empty"),
        (&[&image], 2, "TARGET"),
        (&[&"info", &folder.path().join("none.vhdx")], 1, "none.vhdx"),
    ];
    for (args, code, word) in cases {
        let output = run(PROGRAM, args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(word), "{word}: {stderr}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn paths_that_look_like_options_mount_behind_two_dashes() {
    if !can_mount("two dashes") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (_, image) = base(folder.path());
    fs::rename(image, folder.path().join("-base.vhdx")).expect("a new name");
    fs::create_dir(folder.path().join("-m")).expect("a mount point");
    for word in ["", "mount "] {
        let command = format!("cd {} && {PROGRAM} {word}-- -base.vhdx -m", folder.path().display());
        let mounted = run("sh", &[&"-c", &command]);
        let at = folder.path().join("-m");
        let listed = fs::read_dir(&at).expect("a folder").count();
        run("umount", &[&"--lazy", &"--quiet", &at]);
        expect_success(&mounted);
        assert!(listed > 0, "nothing is mounted");
    }
}

#[test]
fn a_log_file_is_never_written_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, image) = base(folder.path());
    let _untouched = Untouched::watch([&image]);
    let target = folder.path().join("m");
    fs::create_dir(&target).expect("a mount point");
    let output = run(PROGRAM, &[&image, &target, &"--log-file", &image]);
    assert_eq!(output.status.code(), Some(1));
    assert!(is_gone(&target));
}

#[test]
fn mounts_of_one_image_in_a_row_stay() {
    if !can_mount("mounts in a row") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (_, image) = base(folder.path());
    let at = folder.path().join("m");
    fs::create_dir(&at).expect("a mount point");
    for round in 0..40 {
        expect_success(&run(PROGRAM, &[&image, &at]));
        unmount(&at);
        expect_success(&run(PROGRAM, &[&image, &at]));
        // Whoever watches over the first mount has noticed its end by now.
        std::thread::sleep(Duration::from_millis(30));
        let size = fs::metadata(at.join("disk.raw")).map(|metadata| metadata.len());
        unmount(&at);
        assert_eq!(size.ok(), Some(8 * MIB), "round {round}");
    }
}

#[test]
fn a_command_behind_an_option_is_told_to_come_first() {
    let output = run(PROGRAM, &[&"--quiet", &"unmount", &"/nowhere"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("vhdx-mount unmount"), "{stderr}");
}

#[test]
fn a_background_mount_logs_to_its_file() {
    if !can_mount("log file") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (image, lost) = cut_chain(folder.path());
    let log = folder.path().join("log");
    let mounted = Mounted::new(&image, &["--log-file", log.to_str().expect("a path in UTF-8")]);
    let mut disk = File::open(mounted.path("disk.raw")).expect("disk.raw opens");
    disk.seek(SeekFrom::Start(lost.start)).expect("a seek");
    disk.read(&mut [0; 512]).expect_err("an error");
    let told = format!("disk.raw: bytes {}..{} are lost or doubtful (block-past-end)", lost.start, lost.end);
    wait_until("a line of log", || fs::read_to_string(&log).is_ok_and(|log| log.contains(&told)));
    disk.read(&mut [0; 512]).expect_err("an error once more");
    let log = fs::read_to_string(&log).expect("the log");
    assert_eq!(log.matches("are lost").count(), 1, "told once: {log}");
}
