//! The main job, end to end: a chain of four links over GPT and NTFS, mounted, its files copied out by the usual tools.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "makes volumes and reads mounted files")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use fixtures::bytes::Bytes;
use fixtures::chain::{Chain, spread};
use fixtures::gpt::Gpt;
use fixtures::random::Rng;
use support::Untouched;
use support::program::{Mounted, PROGRAM, can_mount, expect_success, has, run, unmount};

const MIB: usize = 1 << 20;

/// A folder tree of all that people keep: many small files, large ones, deep paths, names of other scripts.
fn source(folder: &Path) -> PathBuf {
    let root = folder.join("source");
    let mut rng = Rng::new(1);
    let mut file = |path: String, len: usize| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        let mut bytes = vec![0; len];
        rng.fill(&mut bytes);
        fs::write(path, bytes).expect("a file");
    };
    for number in 0..300 {
        file(format!("many/file {number:03}.txt"), number * 37);
    }
    file("Users/Änne/Bücher/данные 🦀.bin".to_owned(), 3 * MIB + 17);
    file("empty".to_owned(), 0);
    file(format!("deep/{}end", "and deeper/".repeat(20)), 70_000);
    fs::hard_link(root.join("many/file 299.txt"), root.join("hard link")).expect("a hard link");
    root
}

/// A disk of 48 MiB: GPT, one partition from 1 MiB on, NTFS by mkntfs, filled by ntfs-3g.
fn disk(folder: &Path, source: &Path) -> Vec<u8> {
    let volume = folder.join("volume");
    let mounted = folder.join("ntfs-3g");
    fs::create_dir(&mounted).expect("a folder");
    expect_success(&run("truncate", &[&"--size=44M", &volume]));
    expect_success(&run("mkntfs", &[&"--force", &"--fast", &"--quiet", &"--label", &"Rescue me", &volume]));
    expect_success(&run("ntfs-3g", &[&volume, &mounted]));
    let copied = run("cp", &[&"-a", &source, &mounted.join("tree")]);
    unmount(&mounted);
    expect_success(&copied);
    let mut disk = vec![0; 48 * MIB];
    Gpt::new(512).with(2048, 44 << 11).write(&mut disk);
    disk.write_at(MIB as u64, &fs::read(&volume).expect("the volume"));
    disk
}

/// A chain of four links over such a disk.
struct Forged {
    folder: tempfile::TempDir,
    /// What was put in.
    source: PathBuf,
    /// What the merged disk holds.
    disk: Vec<u8>,
    chain: Chain,
}

impl Forged {
    fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let source = source(folder.path());
        let disk = disk(folder.path(), &source);
        let images = folder.path().join("images");
        fs::create_dir(&images).expect("a folder");
        let chain = Chain::write(spread(&disk, 4, 512, &mut Rng::new(seed)), &images).expect("a chain is written");
        Forged { folder, source, disk, chain }
    }
}

#[test]
fn files_come_out_of_a_chain_as_they_went_in() {
    let test = "files_come_out_of_a_chain_as_they_went_in";
    if !can_mount(test) || ["mkntfs", "ntfs-3g", "rsync", "diff", "tar"].iter().any(|tool| !has(test, tool)) {
        return;
    }
    let Forged { folder, source, disk, chain } = Forged::new(2);
    let _untouched = Untouched::watch(&chain.files);

    let mounted = Mounted::new(&chain.youngest, &[]);
    assert!(fs::read(mounted.path("disk.raw")).expect("disk.raw") == disk, "the merged disk, byte for byte");
    let volume = fs::read(mounted.path("volume-1.raw")).expect("volume-1.raw");
    assert!(volume == disk[MIB..45 * MIB], "the volume, byte for byte");
    drop((disk, volume));

    let tree = mounted.path("volume-1/tree");
    let same = |a: &Path, b: &Path| expect_success(&run("diff", &[&"-r", &"--no-dereference", &a, &b]));
    same(&source, &tree);
    let copy = |name: &str| folder.path().join(name);
    expect_success(&run("cp", &[&"-a", &tree, &copy("by cp")]));
    same(&source, &copy("by cp"));
    expect_success(&run("rsync", &[&"-aH", &format!("{}/", tree.display()), &copy("by rsync")]));
    same(&source, &copy("by rsync"));
    expect_success(&run("tar", &[&"-cf", &copy("by tar"), &"-C", &tree, &"."]));
    fs::create_dir(copy("unpacked")).expect("a folder");
    expect_success(&run("tar", &[&"-xf", &copy("by tar"), &"-C", &copy("unpacked")]));
    same(&source, &copy("unpacked"));
    links_and_times(&source, &tree);

    // The same files, without a mount.
    let listed = run(PROGRAM, &[&"ls", &"-r", &"-0", &chain.youngest, &"volume-1/tree"]);
    expect_success(&listed);
    let mut listed: Vec<&str> = std::str::from_utf8(&listed.stdout).expect("UTF-8").split_terminator('\0').collect();
    let found =
        run("find", &[&mounted.at.join("volume-1/tree"), &"-mindepth", &"1", &"-printf", &"volume-1/tree/%P\\0"]);
    let mut found: Vec<&str> = std::str::from_utf8(&found.stdout).expect("UTF-8").split_terminator('\0').collect();
    listed.sort_unstable();
    found.sort_unstable();
    assert_eq!(listed, found);
    assert!(listed.len() > 300);
}

/// Hard links are one file; times come back to the 100 nanoseconds that NTFS keeps.
fn links_and_times(source: &Path, tree: &Path) {
    use std::os::unix::fs::MetadataExt;
    let metadata = |path: &str| fs::metadata(tree.join(path)).expect("metadata");
    assert_eq!(metadata("hard link").ino(), metadata("many/file 299.txt").ino());
    assert_eq!(metadata("hard link").nlink(), 2);
    assert_eq!(metadata("many/file 299.txt").mode() & 0o7777, 0o444);
    assert_eq!(metadata("many").mode() & 0o7777, 0o555);
    for path in ["many/file 007.txt", "empty", "Users/Änne"] {
        let was = fs::metadata(source.join(path)).expect("metadata");
        assert_eq!(metadata(path).mtime(), was.mtime(), "{path}");
        assert_eq!(metadata(path).mtime_nsec(), was.mtime_nsec() / 100 * 100, "{path}");
    }
}

#[test]
fn other_readers_work_on_top() {
    let test = "other_readers_work_on_top";
    let tools = ["mkntfs", "ntfs-3g", "losetup", "diff"];
    if !can_mount(test) || tools.iter().any(|tool| !has(test, tool)) {
        return;
    }
    let Forged { folder, source, chain, .. } = Forged::new(3);
    let _untouched = Untouched::watch(&chain.files);
    let mounted = Mounted::new(&chain.youngest, &[]);

    // The volume's bytes by ntfs-3g, straight and through a loop device over the disk.
    let view = folder.path().join("view");
    fs::create_dir(&view).expect("a folder");
    let compare = |image: &dyn AsRef<std::ffi::OsStr>| {
        expect_success(&run("ntfs-3g", &[&"-o", &"ro", image, &view]));
        let compared = run("diff", &[&"-r", &source, &view.join("tree")]);
        unmount(&view);
        expect_success(&compared);
    };
    compare(&mounted.path("volume-1.raw"));
    let offset = (MIB).to_string();
    let looped = run(
        "losetup",
        &[
            &"--read-only",
            &"--find",
            &"--show",
            &"--offset",
            &offset,
            &"--sizelimit",
            &"46137344",
            &mounted.path("disk.raw"),
        ],
    );
    expect_success(&looped);
    let device = String::from_utf8_lossy(&looped.stdout).trim().to_owned();
    let _detach = Detach(device.clone());
    compare(&device);
}

/// A loop device, let go when dropped.
struct Detach(String);

impl Drop for Detach {
    fn drop(&mut self) {
        run("losetup", &[&"--detach", &self.0]);
    }
}

#[test]
fn folders_that_contain_themselves_are_listed_once() {
    let test = "folders_that_contain_themselves_are_listed_once";
    if !can_mount(test) || ["mkntfs", "ntfs-3g"].iter().any(|tool| !has(test, tool)) {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (volume, mounted) = (folder.path().join("volume"), folder.path().join("ntfs-3g"));
    fs::create_dir(&mounted).expect("a folder");
    expect_success(&run("truncate", &[&"--size=20M", &volume]));
    expect_success(&run("mkntfs", &[&"--force", &"--fast", &"--quiet", &volume]));
    expect_success(&run("ntfs-3g", &[&volume, &mounted]));
    let made = run("mkdir", &[&"-p", &mounted.join("outer/first"), &mounted.join("outer/other")]);
    unmount(&mounted);
    expect_success(&made);

    // Both inner folders become names of the outer one. An index entry is its file reference, 8 bytes, and from byte 16 on
    // the file name, whose characters stand at byte 66.
    let mut bytes = fs::read(&volume).expect("the volume");
    let index_entries = |bytes: &[u8], name: &str| -> Vec<usize> {
        let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let length = (66 + units.len() as u16).to_le_bytes();
        let is_entry = |at: &usize| bytes[at + 82..].starts_with(&units) && bytes[at + 10..at + 12] == length;
        (0..bytes.len() - 100).step_by(8).filter(is_entry).collect()
    };
    let outer = index_entries(&bytes, "outer")[0];
    let reference = bytes[outer..outer + 8].to_vec();
    for name in ["first", "other"] {
        for entry in index_entries(&bytes, name) {
            bytes[entry..entry + 8].copy_from_slice(&reference);
        }
    }
    fs::write(&volume, &bytes).expect("the volume");
    // The names' own files say where they stand: nothing is lost, and the index is known to be wrong.
    let listed = run(PROGRAM, &[&"ls", &"-r", &volume, &"volume-1"]);
    assert_eq!(listed.status.code(), Some(0), "{}", String::from_utf8_lossy(&listed.stderr));
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert_eq!(text.lines().collect::<Vec<_>>(), ["volume-1/outer", "volume-1/outer/first", "volume-1/outer/other"]);
    let checked = run(PROGRAM, &[&"check", &volume]);
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stderr));
    let told = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(told.contains("[ntfs-index-bad]"), "{told}");
}
