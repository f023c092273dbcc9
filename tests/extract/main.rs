//! `extract`: what comes out, what is said of it, and that nothing lands elsewhere.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "reads what was extracted")]

mod destination;
mod faults;
mod lists;
mod ntfs_3g;
mod resume;
mod several;
mod stopped;
#[path = "../support/mod.rs"]
mod support;
mod unread;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use fixtures::bytes::Bytes;
use fixtures::chain::{Chain, spread};
use fixtures::damage::EntryDamage;
use fixtures::ntfs;
use fixtures::random::Rng;
use serde_json::Value;
use sha2::{Digest, Sha256};
use support::program::{PROGRAM, expect_success, has, run};
use support::small_disk::{chain_with, cluster_of_long_text, disk, spoil};
use support::{Untouched, hash_file, hex};

/// The manifest's rows by path, streams as `path:stream`.
fn rows(to: &Path) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(to.join("manifest.jsonl")).expect("a manifest");
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).expect("a row");
        let stream = row["stream"].as_str().map(|stream| format!(":{stream}")).unwrap_or_default();
        let path = format!("{}{stream}", row["path"].as_str().expect("a path"));
        assert!(rows.insert(path.clone(), row).is_none(), "two rows of {path}");
    }
    rows
}

fn extract(chain: &Path, to: &Path, more: &[&str]) -> Output {
    let mut args: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"extract", &chain, &"--to", &to];
    args.extend(more.iter().map(|arg| arg as &dyn AsRef<std::ffi::OsStr>));
    run(PROGRAM, &args)
}

#[track_caller]
fn expect_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Every file and link below a folder, by its path there.
fn tree(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).expect("a folder").map(|entry| entry.expect("an entry")) {
            let path = entry.path();
            let kind = entry.file_type().expect("a type");
            let what = if kind.is_dir() {
                open.push(path.clone());
                "folder".to_owned()
            } else if kind.is_symlink() {
                format!("link to {}", fs::read_link(&path).expect("a link").display())
            } else {
                hex(Sha256::digest(fs::read(&path).expect("a file")))
            };
            found.insert(path.strip_prefix(folder).expect("below").to_owned(), what);
        }
    }
    found
}

fn whole_chain() -> (tempfile::TempDir, Chain) {
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(spread(&disk(), 4, 512, &mut Rng::new(31)), folder.path()).expect("a chain is written");
    (folder, chain)
}

#[test]
fn every_stream_that_was_put_in_comes_out() {
    let (_folder, chain) = whole_chain();
    let _untouched = Untouched::watch(&chain.files);
    let out = tempfile::tempdir().expect("a folder");
    let output = extract(&chain.youngest, out.path(), &["--streams", "--hash", "sha256,md5", "--hash-images"]);
    expect_code(&output, 0);
    let rows = rows(out.path());
    for file in ntfs::manifest() {
        let stream = file.name.as_ref().map(|name| format!(":{name}")).unwrap_or_default();
        let path = format!("volume-1/{}{stream}", file.path);
        let row = rows.get(&path).unwrap_or_else(|| panic!("no row of {path}"));
        assert_eq!((&row["verdict"], &row["sha256"]), (&"whole".into(), &file.sha256.clone().into()), "{path}");
        let written = out.path().join(row["written"].as_str().expect("a place"));
        let bytes = fs::read(&written).expect("the file");
        assert_eq!((bytes.len() as u64, hex(Sha256::digest(&bytes))), (file.size, file.sha256), "{path}");
        expect_time(row, &written);
        assert_eq!(fs::metadata(&written).expect("metadata").mode() & 0o7000, 0);
    }
    // The root folder is a name like others.
    for folder in ["volume-1", "volume-1/docs"] {
        expect_time(&rows[folder], &out.path().join(folder));
    }
    let record: Value =
        serde_json::from_slice(&fs::read(out.path().join("run.json")).expect("a record")).expect("JSON");
    assert_eq!(record["complete"], true);
    assert_eq!(record["images"].as_array().map(Vec::len), Some(4));
    for (number, image) in chain.files.iter().rev().enumerate() {
        let hash = hash_file(image);
        assert_eq!(record["images"][number]["sha256"], hash);
        assert_eq!(record["sha256_after"][number], hash);
    }
}

/// That what stands at the destination was last changed when the disk says.
fn expect_time(row: &Value, written: &Path) {
    let modified = row["times"]["modified"].as_str().expect("a time").parse::<jiff::Timestamp>().expect("a time");
    let metadata = fs::metadata(written).expect("metadata");
    let (seconds, nanos) = (metadata.mtime(), metadata.mtime_nsec());
    assert_eq!((seconds, nanos), (modified.as_second(), modified.subsec_nanosecond().into()), "{row}");
}

/// What `long.txt` holds.
fn long_text() -> Vec<u8> {
    let mut text = ntfs::long_text();
    text.truncate(long_size() as usize);
    text
}

/// Bytes of `long.txt`.
fn long_size() -> u64 {
    ntfs::manifest().into_iter().find(|file| file.path == "long.txt").expect("the file").size
}

#[test]
fn only_what_is_wanted_comes_out() {
    let (_folder, chain) = whole_chain();
    let wanted = |more: &[&str]| -> Vec<String> {
        let out = tempfile::tempdir().expect("a folder");
        expect_code(&extract(&chain.youngest, out.path(), more), 0);
        let files = tree(out.path()).into_iter().filter(|(_, what)| what != "folder");
        files.map(|(path, _)| path.display().to_string()).filter(|path| path.contains("volume-1")).collect()
    };
    let all: Vec<String> =
        ntfs::manifest().into_iter().filter(|file| file.name.is_none()).map(|file| file.path).collect();
    assert_eq!(wanted(&["LONG.txt"]), ["volume-1/long.txt"]);
    assert_eq!(wanted(&["volume-1/long.txt", "!*.txt"]), Vec::<String>::new());
    let folder = all.iter().find_map(|path| Some(path.split_once('/')?.0)).expect("a folder");
    let in_folder: Vec<_> = all.iter().filter(|path| path.starts_with(&format!("{folder}/"))).collect();
    assert_eq!(wanted(&[&format!("volume-1/{folder}")]).len(), in_folder.len());
    assert!(wanted(&["--newer", "2100-01-01"]).is_empty());
    assert_eq!(wanted(&["--older", "2100-01-01"]).len(), all.len());
    let list = tempfile::NamedTempFile::new().expect("a file");
    fs::write(list.path(), "volume-1/long.txt\n").expect("a list");
    assert_eq!(wanted(&["--from-file", list.path().to_str().expect("a path")]), ["volume-1/long.txt"]);

    let out = tempfile::tempdir().expect("a folder");
    let counted = extract(&chain.youngest, &out.path().join("new"), &["--dry-run", "long.txt"]);
    expect_code(&counted, 0);
    let told = format!("files: 1, folders: 0, links: 0, streams: 0, bytes: {} ", long_size());
    assert!(String::from_utf8_lossy(&counted.stdout).starts_with(&told));
    assert!(!out.path().join("new").exists(), "a dry run writes nothing");
}

#[test]
fn a_dry_run_counts_what_a_run_writes() {
    let (_folder, chain) = whole_chain();
    let rows_of = |more: &[&str]| {
        let out = tempfile::tempdir().expect("a folder");
        expect_code(&extract(&chain.youngest, out.path(), more), 0);
        rows(out.path()).into_values().filter(|row| row["verdict"] == "whole").collect::<Vec<_>>()
    };
    for more in [&[][..], &["--streams"]] {
        let written = rows_of(more);
        let count = |kind: &str| written.iter().filter(|row| row["kind"] == kind).count();
        let content = written.iter().filter(|row| row["kind"] != "folder");
        let bytes: u64 = content.map(|row| row["size"].as_u64().expect("a size")).sum();
        let expected = format!(
            "files: {}, folders: {}, links: {}, streams: {}, bytes: {bytes} ",
            count("file"),
            count("folder"),
            count("link"),
            count("stream")
        );
        assert_eq!(count("stream") > 0, !more.is_empty());
        let out = tempfile::tempdir().expect("a folder");
        let counted = extract(&chain.youngest, out.path(), &[&["--dry-run"], more].concat());
        expect_code(&counted, 0);
        let told = String::from_utf8_lossy(&counted.stdout).into_owned();
        assert!(told.starts_with(&expected), "{told}{expected}");
    }
}

#[test]
fn what_is_not_there_is_told() {
    let (_folder, chain) = whole_chain();
    let said = |more: &[&str], code| {
        let out = tempfile::tempdir().expect("a folder");
        let output = extract(&chain.youngest, out.path(), more);
        expect_code(&output, code);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(said(&["long.txt", "volume-1/Usres"], 0).contains("warning: nothing fits volume-1/Usres"));
    assert!(said(&["*.nix", "volume-1/Usres"], 1).contains("error: nothing that was asked for is there"));
    assert!(said(&["*.nix", "--dry-run"], 1).contains("nothing that was asked for is there"));
    let list = tempfile::NamedTempFile::new().expect("a file");
    fs::write(list.path(), "volume-1/long.txt\nvolume-1/nix\n").expect("a list");
    let from_file = ["--from-file", list.path().to_str().expect("a path")];
    // A list is of what is there, and a script reads the exit code.
    assert!(said(&from_file, 3).contains("warning: nothing fits volume-1/nix"));
    // Spelled as at the mount point, by `ls --null`.
    fs::write(list.path(), "volume-1/long.txt\0").expect("a list");
    assert!(!said(&from_file, 0).contains("nothing fits"));
    assert!(!said(&["long.txt"], 0).contains("nothing fits"));
    for more in
        [&["--first", "*.nix", "--first", "LONG.*"][..], &["--dry-run", "--first", "*.nix", "--first", "LONG.*"]]
    {
        let told = said(more, 0);
        assert!(told.contains("warning: nothing that is wanted fits --first *.nix"), "{told}");
        assert!(!told.contains("LONG"), "{told}");
    }
}

#[test]
fn a_list_that_cannot_be_written_is_told_before_anything_is_read() {
    let (_folder, chain) = whole_chain();
    let _untouched = Untouched::watch(&chain.files);
    let out = tempfile::tempdir().expect("a folder");
    let image = chain.youngest.to_str().expect("a path");
    expect_code(&extract(&chain.youngest, out.path(), &["--csv", image]), 2);
    assert!(tree(out.path()).is_empty(), "something was written");
}

#[test]
fn lost_bytes_are_named_and_the_file_says_so() {
    let disk = disk();
    let lost = [cluster_of_long_text(&disk, 5), cluster_of_long_text(&disk, 700)];
    let (_folder, chain) = chain_with(&disk, &lost);
    spoil(&chain, EntryDamage::PastEnd);
    let _untouched = Untouched::watch(&chain.files);
    let out = tempfile::tempdir().expect("a folder");
    // Blocks are lost as a whole, not only the sectors that the child holds: sector bitmaps tell which are its own.
    let output = extract(&chain.youngest, out.path(), &["long.txt"]);
    expect_code(&output, 3);
    let row = rows(out.path()).remove("volume-1/long.txt").expect("a row");
    let told = format!("partial  volume-1/long.txt: {} bytes lost of {}", row["lost_bytes"], long_size());
    assert!(String::from_utf8_lossy(&output.stderr).contains(&told), "{told}");
    assert_eq!((&row["verdict"], &row["written"]), (&"partial".into(), &"volume-1/long.txt.partial".into()));
    let mut expected = long_text();
    let mut ranges = Vec::new();
    for range in row["lost"].as_array().expect("ranges") {
        let (offset, length) =
            (range["offset"].as_u64().expect("an offset"), range["length"].as_u64().expect("a length"));
        expected[offset as usize..][..length as usize].fill(0);
        ranges.push((offset, length));
    }
    assert_eq!(ranges, [(5 * 1024, 1024), (700 * 1024, 1024)]);
    assert_eq!(fs::read(out.path().join("volume-1/long.txt.partial")).expect("the file"), expected);
    assert_eq!(row["sha256"], hex(Sha256::digest(&expected)));
    assert!(String::from_utf8_lossy(&output.stderr).contains("partial  volume-1/long.txt"));

    let out = tempfile::tempdir().expect("a folder");
    expect_code(&extract(&chain.youngest, out.path(), &["long.txt", "--lost", "zero"]), 3);
    assert_eq!(fs::read(out.path().join("volume-1/long.txt")).expect("the file"), expected);
}

#[test]
fn killed_at_any_moment_it_goes_on_to_the_same_end() {
    let (_folder, chain) = whole_chain();
    let undisturbed = tempfile::tempdir().expect("a folder");
    expect_code(&extract(&chain.youngest, undisturbed.path(), &["--streams"]), 0);
    let files = |to: &Path| {
        let mut files = tree(to);
        files.retain(|path, _| !["run.json", "manifest.jsonl"].iter().any(|own| path == Path::new(own)));
        files
    };
    let mut rng = Rng::new(77);
    for _ in 0..12 {
        let out = tempfile::tempdir().expect("a folder");
        for _ in 0..3 {
            let mut running = Command::new(PROGRAM)
                .args(["extract", "--streams", "--resume", "--to"])
                .args([out.path(), &chain.youngest])
                .stderr(Stdio::null())
                .spawn()
                .expect("a run");
            std::thread::sleep(Duration::from_micros(rng.below(60_000)));
            running.kill().expect("a kill");
            running.wait().expect("an end");
        }
        // No file under its own name is half: what is there is what it is to be.
        for (path, what) in files(out.path()) {
            if !path.starts_with(".vhdx-mount-unfinished") {
                assert_eq!(files(undisturbed.path()).get(&path), Some(&what), "{}", path.display());
            }
        }
        expect_code(&extract(&chain.youngest, out.path(), &["--streams", "--resume"]), 0);
        assert_eq!(files(out.path()), files(undisturbed.path()));
        let (mut done, mut undone) = (rows(out.path()), rows(undisturbed.path()));
        for row in done.values_mut().chain(undone.values_mut()) {
            row.as_object_mut().expect("a row").remove("error");
        }
        assert_eq!(done, undone);
    }
}

#[test]
fn what_is_whole_is_not_read_again() {
    let (_folder, chain) = whole_chain();
    let out = tempfile::tempdir().expect("a folder");
    expect_code(&extract(&chain.youngest, out.path(), &[]), 0);
    fs::remove_file(out.path().join("volume-1/long.txt")).expect("a file less");
    let again = extract(&chain.youngest, out.path(), &["--resume"]);
    expect_code(&again, 0);
    assert!(
        String::from_utf8_lossy(&again.stderr).contains(&format!("; {} KiB read", long_size() / 1024)),
        "{again:?}"
    );
    assert_eq!(fs::read(out.path().join("volume-1/long.txt")).expect("the file"), long_text());
}

#[test]
fn other_tools_read_the_lists() {
    let test = "other_tools_read_the_lists";
    if !has(test, "hashdeep") || !has(test, "mactime") {
        return;
    }
    let (_folder, chain) = whole_chain();
    let out = tempfile::tempdir().expect("a folder");
    let lists = tempfile::tempdir().expect("a folder");
    let list = |name: &str| lists.path().join(name).display().to_string();
    let (hashdeep, bodyfile, csv) = (list("hashdeep"), list("body"), list("csv"));
    let args = ["--hash", "md5,sha256", "--hashdeep", &hashdeep, "--bodyfile", &bodyfile, "--csv", &csv];
    expect_code(&extract(&chain.youngest, out.path(), &args), 0);
    let audit = Command::new("hashdeep")
        .args(["-r", "-l", "-a", "-v", "-k", &hashdeep, "volume-1"])
        .current_dir(out.path())
        .output()
        .expect("hashdeep");
    let said = String::from_utf8_lossy(&audit.stdout).into_owned();
    assert!(audit.status.success() && said.contains("Audit passed"), "{said}");
    let timeline = run("mactime", &[&"-b", &bodyfile, &"-d", &"-z", &"UTC"]);
    expect_success(&timeline);
    assert!(String::from_utf8_lossy(&timeline.stdout).contains("volume-1/long.txt"));
    let lines = fs::read_to_string(&csv).expect("the list");
    assert_eq!(lines.lines().count(), 1 + rows(out.path()).len());
}

/// The small volume with another name for `long.txt`, of eight units too, wherever it stands.
fn renamed(name: &str) -> (tempfile::TempDir, PathBuf) {
    renamed_to(&name.encode_utf16().collect::<Vec<_>>())
}

/// The same, with a name that may be no text.
fn renamed_to(name: &[u16]) -> (tempfile::TempDir, PathBuf) {
    let old: Vec<u8> = "long.txt".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let new: Vec<u8> = name.iter().copied().flat_map(u16::to_le_bytes).collect();
    assert_eq!(old.len(), new.len());
    let disk = disk();
    let mut bytes = disk.bytes_at(0, disk.size() as usize);
    let places: Vec<usize> = (0..bytes.len() - old.len()).filter(|at| bytes[*at..].starts_with(&old)).collect();
    assert!(places.len() >= 2, "the file record and the folder's index: {places:?}");
    for at in places {
        bytes[at..][..new.len()].copy_from_slice(&new);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(spread(&bytes, 1, 512, &mut Rng::new(1)), folder.path()).expect("a chain is written");
    let youngest = chain.youngest;
    (folder, youngest)
}

#[test]
fn no_name_leads_out_of_the_folder() {
    let cases = [
        ("../../ab", "..%2F..%2Fab"),
        ("/etc/abc", "%2Fetc%2Fabc"),
        ("a\0b/c\\de", "a%00b%2Fc\\de"),
        ("..\\..\\ab", "..\\..\\ab"),
        ("%2F/%25/", "%252F%2F%2525%2F"),
    ];
    for (name, spelled) in cases {
        let (_folder, chain) = renamed(name);
        let around = tempfile::tempdir().expect("a folder");
        let out = around.path().join("a/b/out");
        expect_code(&extract(&chain, &out, &["--links", "--streams"]), 0);
        assert_eq!(fs::read(out.join("volume-1").join(spelled)).expect("the file"), long_text(), "{name:?}");
        let outside: Vec<_> = tree(around.path()).into_keys().filter(|path| !path.starts_with("a/b/out")).collect();
        assert_eq!(outside, [Path::new("a"), Path::new("a/b")], "{name:?}");
    }
}

#[test]
fn a_link_that_stays_in_its_volume_is_made_where_asked_for() {
    let Some(samples) = support::samples("a_link_that_stays_in_its_volume_is_made_where_asked_for") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["ntfs-parent.vhdx", "ntfs-differential.vhdx"] {
        let packed = fs::File::open(samples.join(format!("{name}.gz"))).expect("a sample");
        let mut image = fs::File::create(folder.path().join(name)).expect("an image");
        std::io::copy(&mut flate2::read::GzDecoder::new(packed), &mut image).expect("an image");
    }
    let chain = folder.path().join("ntfs-differential.vhdx");
    let out = tempfile::tempdir().expect("a folder");
    for more in [&["--links"][..], &["--links", "--resume"]] {
        expect_code(&extract(&chain, out.path(), more), 0);
        let link = out.path().join("volume-1/a_link");
        // Windows wrote `\??\x:\a_directory\another_file`.
        assert_eq!(fs::read_link(&link).expect("a link"), Path::new("a_directory/another_file"));
        assert_eq!(fs::read(&link).expect("its target").len(), 24);
        assert_eq!(rows(out.path())["volume-1/a_link"]["verdict"], "whole");
    }
}
