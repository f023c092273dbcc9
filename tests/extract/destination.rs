//! Destinations where something stands already, that are full, or that take nothing.

use std::fs;
use std::os::unix::fs::symlink;

use fixtures::bytes::Bytes;
use fixtures::chain::{Chain, spread};
use fixtures::ntfs;
use fixtures::random::Rng;
use serde_json::Value;

use super::support::program::{expect_success, run};
use super::support::small_disk::disk;
use super::support::{self, Untouched};
use super::{expect_code, extract, long_text, renamed, rows, tree, whole_chain};

#[test]
fn what_stands_at_the_destination_is_neither_replaced_nor_followed() {
    let (_folder, chain) = whole_chain();
    let outside = tempfile::tempdir().expect("a folder");
    let out = tempfile::tempdir().expect("a folder");
    fs::create_dir(out.path().join("volume-1")).expect("a folder");
    fs::write(out.path().join("volume-1/long.txt"), "mine").expect("a file");
    let folder =
        ntfs::manifest().iter().find_map(|file| Some(file.path.split_once('/')?.0.to_owned())).expect("a folder");
    symlink(outside.path(), out.path().join("volume-1").join(&folder)).expect("a link");
    let output = extract(&chain.youngest, out.path(), &[]);
    expect_code(&output, 3);
    assert_eq!(fs::read(out.path().join("volume-1/long.txt")).expect("my file"), b"mine");
    let rows = rows(out.path());
    assert_eq!(rows["volume-1/long.txt"]["written"], "volume-1/long.txt%~2");
    assert_eq!(fs::read(out.path().join("volume-1/long.txt%~2")).expect("the file"), long_text());
    assert_eq!(rows[&format!("volume-1/{folder}")]["verdict"], "failed");
    assert!(tree(outside.path()).is_empty());

    let again = extract(&chain.youngest, out.path(), &[]);
    expect_code(&again, 2);
    assert!(String::from_utf8_lossy(&again.stderr).contains("--resume"));
    let fresh = tempfile::tempdir().expect("a folder");
    fs::create_dir(fresh.path().join("volume-1")).expect("a folder");
    fs::write(fresh.path().join("volume-1/long.txt"), "mine").expect("a file");
    expect_code(&extract(&chain.youngest, fresh.path(), &["--overwrite", "long.txt"]), 0);
    assert_eq!(fs::read(fresh.path().join("volume-1/long.txt")).expect("the file"), long_text());
}

#[test]
fn a_folder_that_bears_the_name_of_a_file_stays_and_the_file_stands_beside_it() {
    let (_folder, chain) = whole_chain();
    let out = tempfile::tempdir().expect("a folder");
    fs::create_dir_all(out.path().join("volume-1/long.txt/mine")).expect("a folder");
    expect_code(&extract(&chain.youngest, out.path(), &["--overwrite", "long.txt"]), 0);
    assert_eq!(rows(out.path())["volume-1/long.txt"]["written"], "volume-1/long.txt%~2");
    assert_eq!(fs::read(out.path().join("volume-1/long.txt%~2")).expect("the file"), long_text());
    assert!(out.path().join("volume-1/long.txt/mine").is_dir());
    // And so where the run is gone on with.
    fs::remove_file(out.path().join("volume-1/long.txt%~2")).expect("a file less");
    expect_code(&extract(&chain.youngest, out.path(), &["--resume", "--overwrite", "long.txt"]), 0);
    assert_eq!(fs::read(out.path().join("volume-1/long.txt%~2")).expect("the file"), long_text());
}

#[test]
fn a_destination_that_is_full_is_told_and_the_rest_goes_on_later() {
    let test = "a_destination_that_is_full_is_told_and_the_rest_goes_on_later";
    if !rustix::process::geteuid().is_root() {
        return support::skip(test, "only root may mount a tmpfs");
    }
    let (_folder, chain) = whole_chain();
    let out = tempfile::tempdir().expect("a folder");
    expect_success(&run("mount", &[&"-t", &"tmpfs", &"-o", &"size=600k", &"none", &out.path()]));
    let output = extract(&chain.youngest, out.path(), &[]);
    let rows = rows(out.path());
    let grown = run("mount", &[&"-o", &"remount,size=32m", &out.path()]);
    let again = extract(&chain.youngest, out.path(), &["--resume"]);
    let whole = fs::read(out.path().join("volume-1/long.txt"));
    run("umount", &[&out.path()]);
    expect_code(&output, 3);
    assert_eq!(rows["volume-1/long.txt"]["verdict"], "failed");
    assert!(rows["volume-1/long.txt"]["error"].as_str().expect("words").contains("the destination is full"));
    assert!(rows.values().any(|row| row["kind"] == "file" && row["verdict"] == "whole"), "what fits is there");
    expect_success(&grown);
    expect_code(&again, 0);
    assert_eq!(whole.expect("the file"), long_text());
}

#[test]
fn an_image_is_never_replaced_by_what_is_in_it() {
    let (folder, chain) = renamed("abcd.vhd");
    let image = folder.path().join("abcd.vhd");
    fs::rename(&chain, &image).expect("another name");
    let _untouched = Untouched::watch([&image]);
    expect_code(&extract(&image, folder.path(), &["--volume", "1", "--overwrite", "abcd.vhd"]), 0);
    assert_eq!(rows(folder.path())["abcd.vhd"]["written"], "abcd.vhd%~2");
    assert_eq!(fs::read(folder.path().join("abcd.vhd%~2")).expect("the file"), long_text());
}

#[test]
fn what_stands_under_the_names_of_the_run_is_not_replaced() {
    let (_folder, chain) = whole_chain();
    let out = tempfile::tempdir().expect("a folder");
    fs::write(out.path().join("run.json"), "mine").expect("a file");
    expect_code(&extract(&chain.youngest, out.path(), &[]), 2);
    assert_eq!(fs::read(out.path().join("run.json")).expect("my file"), b"mine");
    assert!(!out.path().join("volume-1").exists());
}

#[test]
fn a_run_that_gives_up_does_not_call_itself_complete() {
    let test = "a_run_that_gives_up_does_not_call_itself_complete";
    if !rustix::process::geteuid().is_root() {
        return support::skip(test, "only root may mount a tmpfs");
    }
    let volume = ntfs::volume();
    // Many: a slow thread that finishes a file after all begins the count of those that were refused anew.
    let disk = fixtures::gpt::Gpt::disk_of(512, &[&volume; 12]);
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(spread(&disk, 1, 512, &mut Rng::new(2)), folder.path()).expect("a chain is written");
    let out = tempfile::tempdir().expect("a folder");
    // Room for a few files of any size, and no more.
    expect_success(&run("mount", &[&"-t", &"tmpfs", &"-o", &"nr_inodes=16", &"none", &out.path()]));
    let output = extract(&chain.youngest, out.path(), &[]);
    let record = fs::read(out.path().join("run.json"));
    let grown = run("mount", &[&"-o", &"remount,nr_inodes=4096", &out.path()]);
    let again = extract(&chain.youngest, out.path(), &["--resume"]);
    let files = tree(out.path()).len();
    run("umount", &[&out.path()]);
    expect_code(&output, 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains("the rest was not tried"), "{output:?}");
    let record: Value = serde_json::from_slice(&record.expect("a record")).expect("JSON");
    assert_eq!(record["complete"], false);
    expect_success(&grown);
    expect_code(&again, 0);
    assert!(files > 12 * 40, "{files}");
}

#[test]
fn what_is_no_file_takes_no_manifest_and_nobody_waits_for_it() {
    let (_folder, chain) = whole_chain();
    let out = tempfile::tempdir().expect("a folder");
    let manifest = out.path().join("manifest.jsonl");
    expect_success(&run("mkfifo", &[&manifest]));
    for more in [&[][..], &["--resume"]] {
        let output = extract(&chain.youngest, out.path(), more);
        expect_code(&output, 1);
        assert!(String::from_utf8_lossy(&output.stderr).contains("manifest.jsonl"), "{output:?}");
        assert!(!out.path().join("volume-1").exists(), "something was extracted");
    }
    fs::remove_file(&manifest).expect("no pipe");
    symlink("/dev/null", &manifest).expect("a link");
    expect_code(&extract(&chain.youngest, out.path(), &["--resume"]), 1);
    assert!(manifest.is_symlink());
    // Nor does a list end in one.
    let (pipe, out) = (out.path().join("pipe"), tempfile::tempdir().expect("a folder"));
    expect_success(&run("mkfifo", &[&pipe]));
    expect_code(&extract(&chain.youngest, out.path(), &["--csv", pipe.to_str().expect("a path")]), 2);
}

#[test]
fn a_host_that_gives_no_thread_gets_its_files_all_the_same() {
    let (_folder, chain) = whole_chain();
    let out = tempfile::tempdir().expect("a folder");
    let undisturbed = tempfile::tempdir().expect("a folder");
    expect_code(&extract(&chain.youngest, undisturbed.path(), &[]), 0);
    // No memory for stacks of this size: no thread begins.
    let output = std::process::Command::new(support::program::PROGRAM)
        .env("RUST_MIN_STACK", (1u64 << 50).to_string())
        .args(["extract", "-v", "--to"])
        .args([out.path(), &chain.youngest])
        .output()
        .expect("a run");
    expect_code(&output, 0);
    let files = |to: &std::path::Path| {
        let mut files = tree(to);
        files.retain(|path, _| path.starts_with("volume-1"));
        files
    };
    assert_eq!(files(out.path()), files(undisturbed.path()));
    assert_eq!(rows(out.path()), rows(undisturbed.path()));
}

#[test]
fn folders_that_the_destination_does_not_take_end_nothing() {
    let disk = fixtures::gpt::Gpt::disk_of(512, &[&ntfs::volume(); 8]);
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(spread(&disk, 1, 512, &mut Rng::new(2)), folder.path()).expect("a chain is written");
    let out = tempfile::tempdir().expect("a folder");
    // More than a hundred files in a row have no place.
    for number in 1..8 {
        fs::write(out.path().join(format!("volume-{number}")), "mine").expect("a file");
    }
    let output = extract(&chain.youngest, out.path(), &["--threads", "1"]);
    expect_code(&output, 3);
    let rows = rows(out.path());
    let failed = rows.values().filter(|row| row["verdict"] == "failed").count();
    assert!(failed > 200, "{failed}");
    assert_eq!(fs::read(out.path().join("volume-8/long.txt")).expect("the file"), long_text());
    assert_eq!(fs::read(out.path().join("volume-1")).expect("my file"), b"mine");
}

#[test]
fn a_folder_whose_record_is_lost_has_one_row() {
    let disk = disk();
    let mut bytes = disk.bytes_at(0, disk.size() as usize);
    let folder =
        ntfs::manifest().iter().find_map(|file| Some(file.path.split_once('/')?.0.to_owned())).expect("a folder");
    let name: Vec<u8> = folder.encode_utf16().flat_map(u16::to_le_bytes).collect();
    // Its file record: the signature, and its name behind its own length.
    let units = u8::try_from(name.len() / 2).expect("a length");
    let records = (0..bytes.len() / 1024).map(|number| number * 1024).filter(|at| bytes[*at..].starts_with(b"FILE"));
    let own: Vec<usize> = records
        .filter(|at| {
            let record = &bytes[*at..][..1024];
            (2..1024 - name.len()).any(|at| record[at..].starts_with(&name) && record[at - 2] == units)
        })
        .collect();
    for at in &own {
        bytes[*at..][..1024].fill(0);
    }
    assert!(!own.is_empty());
    let home = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(spread(&bytes, 1, 512, &mut Rng::new(1)), home.path()).expect("a chain is written");
    for more in [&[][..], &["--streams"]] {
        let out = tempfile::tempdir().expect("a folder");
        expect_code(&extract(&chain.youngest, out.path(), more), 3);
        // There are no two rows of anything, or this fails.
        let row = rows(out.path()).remove(&format!("volume-1/{folder}")).expect("a row");
        // The folder above still knows its name, and what is in it names it.
        assert_eq!(row["verdict"], "doubtful", "{row}");
        assert!(fs::read_dir(out.path().join("volume-1").join(&folder)).expect("the folder").next().is_some());
        let record: Value =
            serde_json::from_slice(&fs::read(out.path().join("run.json")).expect("a record")).expect("JSON");
        let text = fs::read_to_string(out.path().join("manifest.jsonl")).expect("a manifest");
        let told =
            |verdict: &str| text.lines().filter(|line| line.contains(&format!("\"verdict\":\"{verdict}\""))).count();
        for verdict in ["whole", "doubtful", "partial", "failed"] {
            assert_eq!(record["totals"][verdict], told(verdict), "{verdict}");
        }
    }
}
