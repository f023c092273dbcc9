//! `ls` as it is used, on an NTFS volume that lies bare in a file.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "makes images in folders of its own")]

mod support;
#[path = "ntfs/tools.rs"]
#[expect(dead_code, reason = "the tests of NTFS need more of it")]
mod tools;

use std::fs;
use std::path::{Path, PathBuf};

use fixtures::bytes::Bytes;
use fixtures::chain::{Chain, spread};
use fixtures::damage::{Copies, Damage, TableDamage};
use fixtures::host_file::HostFile;
use fixtures::ntfs;
use fixtures::random::Rng;
use serde_json::Value;
use support::program::{PROGRAM, expect_success, run};

fn image(folder: &Path) -> PathBuf {
    let volume = ntfs::volume();
    let path = folder.join("volume.raw");
    fs::write(&path, volume.bytes_at(0, volume.size() as usize)).expect("an image is written");
    path
}

fn listed(args: &[&dyn AsRef<std::ffi::OsStr>]) -> Vec<Value> {
    let output = run(PROGRAM, args);
    expect_success(&output);
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&told["schema"], &told["complete"]), (&1.into(), &true.into()));
    told["entries"].as_array().expect("entries").clone()
}

#[test]
fn json_tells_what_an_examiner_asks() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = image(folder.path());
    let entries = listed(&[&"ls", &"--long", &"--recursive", &"--json", &image, &"volume-1"]);
    assert!(entries.len() > 20);
    for entry in &entries {
        for time in ["created", "modified", "changed", "accessed"] {
            assert!(entry[time].is_string() && entry["name_times"][time].is_string(), "{entry}");
        }
        assert!(entry["owner"].as_str().expect("an owner").starts_with("S-1-"), "{entry}");
        assert!(entry["record"].as_u64() >= Some(24) && entry["sequence"].as_u64() >= Some(1), "{entry}");
        assert!(entry.get("usn").is_some() && entry.get("recovered").is_none(), "{entry}");
    }
}

#[test]
fn recovered_files_are_listed_where_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = image(folder.path());
    let paths = |entries: &[Value]| {
        entries.iter().map(|entry| entry["path"].as_str().expect("a path").to_owned()).collect::<Vec<_>>()
    };
    let plain = paths(&listed(&[&"ls", &"--json", &image, &"volume-1"]));
    let mut with = paths(&listed(&[&"ls", &"--json", &"--deleted", &image, &"volume-1"]));
    assert_eq!(with.split_off(plain.len()), ["volume-1/$Orphans", "volume-1/$Deleted"]);
    assert_eq!(with, plain);
    assert!(listed(&[&"ls", &"--json", &"--deleted", &image, &"volume-1/$Orphans"]).is_empty());
}

/// Names of which nothing is asked are written while they are read, as far as none before them has a folder's below it.
#[test]
fn bare_names_stand_in_the_order_of_all_others() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = image(folder.path());
    for recursive in [&["--recursive"][..], &[]] {
        let paths = |more: &[&str]| -> Vec<String> {
            let mut args: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"ls", &image];
            args.extend(recursive.iter().chain(more).map(|arg| arg as &dyn AsRef<std::ffi::OsStr>));
            match more {
                [] => {
                    let output = run(PROGRAM, &args);
                    expect_success(&output);
                    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
                }
                _ => listed(&args).iter().map(|entry| entry["path"].as_str().expect("a path").to_owned()).collect(),
            }
        };
        let (bare, with_all) = (paths(&[]), paths(&["--json"]));
        assert!(bare.len() > if recursive.is_empty() { 1 } else { 20 });
        assert_eq!(bare, with_all);
    }
}

/// Files of a large folder are asked for by several threads, and in another order than that of their names.
#[test]
fn each_name_of_a_large_folder_stands_beside_its_own_attributes() {
    if !tools::have("each_name_of_a_large_folder_stands_beside_its_own_attributes", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    const FILES: u64 = 6000;
    let mut numbers: Vec<u64> = (0..FILES).collect();
    let mut rng = Rng::new(7);
    for at in (1..numbers.len()).rev() {
        numbers.swap(at, rng.below(at as u64 + 1) as usize);
    }
    let volume = tools::Volume::new(64, &[]);
    volume.mounted("streams_interface=windows", |root| {
        for number in numbers {
            // Sparse: only the size counts.
            let file = fs::File::create(root.join(format!("file {number:04}"))).expect("a file");
            file.set_len(number * 1000).expect("a size");
        }
    });
    let image = volume.image();
    let entries = listed(&[&"ls", &"--json", &image, &"volume-1"]);
    let told: Vec<_> = entries.iter().map(|entry| (entry["path"].as_str(), entry["size"].as_u64())).collect();
    let expected: Vec<_> = (0..FILES).map(|number| (format!("volume-1/file {number:04}"), number * 1000)).collect();
    let expected: Vec<_> = expected.iter().map(|(path, size)| (Some(path.as_str()), Some(*size))).collect();
    assert!(told == expected, "{:?}", told.iter().zip(&expected).find(|(a, b)| a != b));

    let output = run(PROGRAM, &[&"ls", &"--long", &image, &"volume-1"]);
    expect_success(&output);
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len() as u64, FILES);
    for (number, line) in lines.iter().enumerate() {
        let expected = [(number * 1000).to_string(), format!("{number:04}")];
        assert_eq!([line[1], line[line.len() - 1]], expected);
    }
}

/// As at a mount point.
#[test]
fn named_streams_have_paths() {
    if !tools::have("named_streams_have_paths", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = tools::Volume::new(16, &[]);
    volume.mounted("streams_interface=windows", |root| {
        fs::create_dir(root.join("folder")).expect("a folder");
        fs::write(root.join("folder/file"), b"").expect("a file");
        fs::write(root.join("folder/file:stream"), [1; 300]).expect("a stream");
        fs::write(root.join("folder:own"), [1; 20]).expect("a stream of a folder");
    });
    let image = volume.image();
    for (path, size) in
        [("folder/file:stream", 300), ("FOLDER/file:Stream", 300), ("folder:own", 20), ("folder/:own", 20)]
    {
        let told = listed(&[&"ls", &"--json", &image, &format!("volume-1/{path}")]);
        assert_eq!(told.iter().map(|entry| entry["size"].as_u64()).collect::<Vec<_>>(), [Some(size)], "{path}");
        // However it is typed, it is told as it stands there.
        assert_eq!(told[0]["path"].as_str(), Some(format!("volume-1/{}", path.to_lowercase()).as_str()));
    }
    for path in ["folder/file:none", "folder/none:stream", "folder/file:", "folder/file:stream/below", ":"] {
        let output = run(PROGRAM, &[&"ls", &image, &format!("volume-1/{path}")]);
        assert_eq!(output.status.code(), Some(1), "{path}: {output:?}");
    }
}

#[test]
fn volumes_that_may_be_missing_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let images = spread(&support::small_disk::disk(), 2, 512, &mut Rng::new(5));
    let chain = Chain::write(images, folder.path()).expect("a chain is written");
    let mut youngest = HostFile::open(&chain.youngest).expect("the image opens");
    Damage::RegionTable(Copies::Both, TableDamage::Zeroed).apply(&mut youngest, &chain.places[1]);
    for args in [&["--recursive"][..], &["--json"], &["volume-1"]] {
        let mut all: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"ls", &chain.youngest];
        all.extend(args.iter().map(|arg| arg as &dyn AsRef<std::ffi::OsStr>));
        let output = run(PROGRAM, &all);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let code = if args == ["volume-1"] { 1 } else { 3 };
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains("--accept-doubtful") && said.contains("doubtful"), "{args:?}: {said}");
    }
    let output = run(PROGRAM, &[&"ls", &"--accept-doubtful", &chain.youngest]);
    assert!(String::from_utf8_lossy(&output.stdout).lines().any(|line| line == "volume-1"), "{output:?}");
}

#[test]
fn folders_are_listed_however_deep_they_stand() {
    if !tools::have("folders_are_listed_however_deep_they_stand", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    // A path of a thousand names takes ntfs-3g long: pieces of it are moved below each other.
    const PIECES: usize = 21;
    const PIECE: usize = 50;
    let volume = tools::Volume::new(32, &[]);
    volume.mounted("streams_interface=windows", |root| {
        let mut deepest = root.to_owned();
        for _ in 0..PIECES {
            let top = root.join("new");
            fs::create_dir_all(top.join(["d"; PIECE - 1].join("/"))).expect("folders");
            fs::rename(&top, deepest.join("d")).expect("a piece is moved");
            deepest.push(["d"; PIECE].join("/"));
        }
        fs::write(deepest.join("leaf"), b"found").expect("a file");
    });
    let entries = listed(&[&"ls", &"--json", &"--recursive", &volume.image(), &"volume-1"]);
    let deepest = entries.iter().filter_map(|entry| entry["path"].as_str()).max_by_key(|path| path.len());
    assert_eq!(deepest, Some(format!("volume-1/{}leaf", "d/".repeat(PIECES * PIECE)).as_str()));
    let out = tempfile::tempdir().expect("a folder");
    expect_success(&run(PROGRAM, &[&"extract", &volume.image(), &"--to", &out.path()]));
}

/// What stands at the start stands once more at the end.
#[test]
fn a_bare_image_without_its_start_is_known_by_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let volume = image(folder.path());
    let names = |entries: &[Value]| entries.iter().map(|entry| entry["path"].clone()).collect::<Vec<_>>();
    let before = names(&listed(&[&"ls", &"--json", &volume, &"volume-1"]));
    let mut bytes = fs::read(&volume).expect("the image");
    bytes[..512].fill(0);
    fs::write(&volume, bytes).expect("an image is written");
    assert_eq!(names(&listed(&[&"ls", &"--json", &volume, &"volume-1"])), before);

    let disk = support::small_disk::disk();
    let mut bytes = disk.bytes_at(0, disk.size() as usize);
    bytes[..64 << 10].fill(0);
    let path = folder.path().join("disk.raw");
    fs::write(&path, bytes).expect("an image is written");
    assert_eq!(names(&listed(&[&"ls", &"--json", &path, &"volume-1"])), before);
}
