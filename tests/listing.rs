//! `ls` as it is used, on an NTFS volume that lies bare in a file.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "makes images in folders of its own")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use fixtures::bytes::Bytes;
use fixtures::ntfs;
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
