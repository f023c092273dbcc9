//! Lists that are given, and lists that are written.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use fixtures::bytes::{Bytes, SparseBytes};
use fixtures::ntfs;
use serde_json::Value;

use super::support::program::{PROGRAM, expect_success, has, run};
use super::{chain_with, disk, expect_code, extract, renamed_to, rows, whole_chain};

#[test]
fn a_list_with_a_folder_and_what_is_in_it_misses_nothing() {
    let (_folder, chain) = whole_chain();
    let file = ntfs::manifest().into_iter().find(|file| file.path.contains('/')).expect("a file in a folder").path;
    let list = tempfile::NamedTempFile::new().expect("a file");
    let from_file = ["--from-file", list.path().to_str().expect("a path")];
    let folder = file.split_once('/').expect("a folder").0;
    fs::write(list.path(), format!("volume-1\nvolume-1/{folder}\nvolume-1/{file}\n")).expect("a list");
    let out = tempfile::tempdir().expect("a folder");
    let output = extract(&chain.youngest, out.path(), &from_file);
    expect_code(&output, 0);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("nothing fits"), "{output:?}");
    // All that `ls` prints.
    let listed = run(PROGRAM, &[&"ls", &"-r", &"-0", &chain.youngest, &"volume-1"]);
    expect_success(&listed);
    fs::write(list.path(), listed.stdout).expect("a list");
    let out = tempfile::tempdir().expect("a folder");
    let output = extract(&chain.youngest, out.path(), &from_file);
    expect_code(&output, 0);
    assert!(rows(out.path()).contains_key(&format!("volume-1/{file}")));
}

#[test]
fn all_that_a_listing_prints_may_be_listed() {
    let (_folder, chain) = whole_chain();
    let list = tempfile::NamedTempFile::new().expect("a file");
    let from_file = ["--from-file", list.path().to_str().expect("a path"), "-v"];
    let listed = run(PROGRAM, &[&"ls", &"-r", &"-0", &chain.youngest]);
    expect_success(&listed);
    fs::write(list.path(), listed.stdout).expect("a list");
    let (out, everything) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let output = extract(&chain.youngest, out.path(), &from_file);
    expect_code(&output, 0);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("disk.raw, report.json, volume-1.raw: no files of a volume, passed over"), "{said}");
    assert!(!said.contains("nothing fits"), "{said}");
    expect_code(&extract(&chain.youngest, everything.path(), &[]), 0);
    assert!(rows(out.path()).into_keys().eq(rows(everything.path()).into_keys()));
    // Right in a volume they are files as others are; and who lists nothing else is told what there is instead.
    fs::write(list.path(), "disk.raw\nvolume-12.raw\n").expect("a list");
    let in_volume = extract(&chain.youngest, out.path(), &[&from_file[..], &["--volume", "1", "--dry-run"]].concat());
    expect_code(&in_volume, 1);
    let output = extract(&chain.youngest, out.path(), &[&from_file[..], &["--dry-run"]].concat());
    expect_code(&output, 2);
    assert!(String::from_utf8_lossy(&output.stderr).contains("vhdx-mount export"), "{output:?}");
}

#[test]
fn what_names_nothing_is_no_success() {
    let (_folder, chain) = whole_chain();
    let list = tempfile::NamedTempFile::new().expect("a file");
    let from_file = ["--from-file", list.path().to_str().expect("a path")];
    for (text, more, code, word) in [
        ("", &from_file[..], 2, "no path stands in this list"),
        ("\n\n", &from_file, 2, "no path stands in this list"),
        ("volume-1/nix\n", &from_file, 1, "nothing that was asked for is there"),
        ("nix\nvolume-7/nix\n", &from_file, 1, "nothing that was asked for is there"),
        // Case matters here.
        ("volume-1/LONG.TXT\n", &from_file, 1, "nothing that was asked for is there"),
        ("", &[""], 2, "it is empty"),
        ("", &["long.txt", "!"], 2, "it is empty"),
        ("", &["--first", ""], 2, "it is empty"),
        ("", &["--newer", "2026-02-01", "--older", "2026-01-31"], 2, "no file can fit"),
        ("", &["--newer", "2026-02-01", "--older", "2026-02-01T00:00:00Z"], 2, "no file can fit"),
    ] {
        fs::write(list.path(), text).expect("a list");
        let out = tempfile::tempdir().expect("a folder");
        let output = extract(&chain.youngest, out.path(), more);
        expect_code(&output, code);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(word), "{text:?} {more:?}: {said}");
    }
}

#[test]
fn lists_that_would_be_empty_or_have_no_folder_are_told_at_once() {
    let (folder, chain) = whole_chain();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (list, nowhere) = (place("list"), place("nowhere/list"));
    for more in [
        &["--hashdeep", &list, "--hash", "none"][..],
        &["--hashdeep", &list, "--hash", "blake3"],
        &["--csv", &nowhere],
        &["--bodyfile", &nowhere],
    ] {
        let out = tempfile::tempdir().expect("a folder");
        expect_code(&extract(&chain.youngest, out.path(), more), 2);
        assert_eq!(fs::read_dir(out.path()).expect("a folder").count(), 0, "{more:?}: something was written");
        assert!(!Path::new(&list).exists());
    }
}

#[test]
fn a_name_that_is_no_text_stands_in_every_list() {
    let (folder, chain) = renamed_to(&[0x61, 0xd800, 0x62, 0x2e, 0x74, 0x78, 0x74, 0xdfff]);
    let name = b"a\xED\xA0\x80b.txt\xED\xBF\xBF";
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (csv, body, deep) = (place("csv"), place("body"), place("deep"));
    let out = tempfile::tempdir().expect("a folder");
    let lists = ["--csv", &csv, "--bodyfile", &body, "--hashdeep", &deep, "--hash", "md5,sha256"];
    expect_code(&extract(&chain, out.path(), &lists), 0);
    let text = fs::read_to_string(&csv).expect("text");
    assert!(text.contains("volume-1/a\u{fffd}b.txt\u{fffd},"), "{text}");
    assert!(text.contains("[97,55296,98,46,116,120,116,57343]]"), "{text}");
    for list in [&body, &deep] {
        let list = fs::read(list).expect("a list");
        assert!(list.windows(name.len()).any(|part| part == name), "{}", String::from_utf8_lossy(&list));
    }
    if !has("a_name_that_is_no_text_stands_in_every_list", "hashdeep") {
        return;
    }
    let audit = Command::new("hashdeep")
        .args(["-r", "-l", "-a", "-k", &deep, "volume-1"])
        .current_dir(out.path())
        .output()
        .expect("hashdeep");
    assert!(audit.status.success(), "{audit:?}");
}

#[test]
fn lists_that_cannot_be_two_files_are_told_before_the_chain_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (list, same, manifest) = (place("list"), place("./list"), place("out/manifest.jsonl"));
    fs::create_dir(folder.path().join("out")).expect("a folder");
    for (more, why) in [
        (&["--csv", &list, "--bodyfile", &same][..], "another list"),
        (&["--csv", &list, "--bodyfile", &list], "another list"),
        (&["--csv", &manifest], "another list"),
        (&["--hashdeep", "-"], "a list is no stream"),
        (&["--chains-from", "-", "--from-file", "-"], "the standard input cannot be both"),
    ] {
        // There is no such chain.
        let output = extract(Path::new("/nowhere/x.vhdx"), &folder.path().join("out"), more);
        expect_code(&output, 2);
        assert!(String::from_utf8_lossy(&output.stderr).contains(why), "{output:?}");
        assert_eq!(fs::read_dir(folder.path().join("out")).expect("a folder").count(), 0);
    }
}

#[test]
fn a_list_of_paths_comes_through_a_pipe() {
    let (_folder, chain) = whole_chain();
    let out = tempfile::tempdir().expect("a folder");
    let mut command = Command::new("timeout");
    command.args(["60", PROGRAM, "extract", "--from-file", "-", "--to"]).args([out.path(), &chain.youngest]);
    let mut running = command.stdin(Stdio::piped()).spawn().expect("a run");
    running.stdin.take().expect("a pipe").write_all(b"volume-1/long.txt\n").expect("a list");
    assert!(running.wait().expect("an end").success());
    assert_eq!(rows(out.path()).into_keys().collect::<Vec<_>>(), ["volume-1/long.txt"]);
}

#[test]
fn the_same_command_with_resume_writes_its_lists_anew_and_nobody_elses() {
    let (folder, chain) = whole_chain();
    let out = tempfile::tempdir().expect("a folder");
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (csv, body, deep) = (place("csv"), place("body"), place("deep"));
    let lists = ["--csv", &csv, "--bodyfile", &body, "--hashdeep", &deep];
    expect_code(&extract(&chain.youngest, out.path(), &lists), 0);
    fs::remove_file(out.path().join("volume-1/long.txt")).expect("a file less");
    let lines = |file: &str| {
        let mut lines: Vec<String> = fs::read_to_string(file).expect("a list").lines().map(ToOwned::to_owned).collect();
        lines.sort();
        lines
    };
    let before = [&csv, &body, &deep].map(|file| lines(file));
    let again = [&["--resume"], &lists[..]].concat();
    for _ in 0..2 {
        expect_code(&extract(&chain.youngest, out.path(), &again), 0);
        assert!([&csv, &body, &deep].map(|file| lines(file)) == before);
    }
    // One that somebody changed is somebody's.
    fs::write(&csv, "mine").expect("a file");
    let refused = extract(&chain.youngest, out.path(), &again);
    expect_code(&refused, 2);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("exists already"), "{refused:?}");
    assert_eq!(fs::read(&csv).expect("my file"), b"mine");
}

/// Sets the times of creation and of change in the file record of `long.txt`. They stand in its first attribute.
fn set_times(disk: &mut SparseBytes, created: u64, modified: u64) {
    let name: Vec<u8> = "long.txt".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let records = (0..disk.size()).step_by(512).filter(|at| {
        let record = disk.bytes_at(*at, 1024.min((disk.size() - at) as usize));
        record.starts_with(b"FILE") && record.windows(name.len()).any(|window| window == name)
    });
    let [record] = *records.collect::<Vec<_>>() else { panic!("one record has the name") };
    let first = record + u64::from(u16::from_le_bytes(disk.bytes_at(record + 20, 2).try_into().expect("2 bytes")));
    assert_eq!(disk.bytes_at(first, 4), 0x10u32.to_le_bytes());
    let value = first + u64::from(u16::from_le_bytes(disk.bytes_at(first + 20, 2).try_into().expect("2 bytes")));
    disk.write_at(value, &created.to_le_bytes());
    disk.write_at(value + 8, &modified.to_le_bytes());
}

#[test]
fn no_time_is_too_far_away_to_be_told() {
    // 265,046,774,399 seconds from 1601 to the last one of 9999, as `date -d 9999-12-31T23:59:59Z +%s` has it, and the last
    // step of that second; and the last time that Windows itself makes, in 30828.
    let (last, never) = (2_650_467_743_999_999_999, u64::MAX >> 1);
    let mut disk = disk();
    set_times(&mut disk, last, never);
    let (folder, chain) = chain_with(&disk, &[]);
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (csv, body) = (place("csv"), place("body"));
    let out = tempfile::tempdir().expect("a folder");
    // Nothing else is so new.
    let more = ["--newer", "9999-12-31", "--csv", &csv, "--bodyfile", &body];
    expect_code(&extract(&chain.youngest, out.path(), &more), 0);
    let all = rows(out.path());
    let files: Vec<_> = all.values().filter(|row| row["kind"] == "file").map(|row| row["path"].clone()).collect();
    assert_eq!(files, ["volume-1/long.txt"]);
    let listed = run(PROGRAM, &[&"ls", &"--json", &chain.youngest, &"volume-1/long.txt"]);
    expect_success(&listed);
    let list: Value = serde_json::from_slice(&listed.stdout).expect("a list");
    for times in [&all["volume-1/long.txt"]["times"], &list["entries"][0]] {
        assert_eq!(times["created"], "9999-12-31T23:59:59.9999999Z");
        assert_eq!((&times["modified"], &times["modified_filetime"]), (&Value::Null, &never.into()));
        assert_eq!(times.get("created_filetime"), None);
    }
    let line = |file: &str| {
        let text = fs::read_to_string(file).expect("a list");
        let mut lines = text.lines().filter(|line| line.contains("volume-1/long.txt") && !line.contains("FILE_NAME"));
        lines.next().expect("a line").to_owned()
    };
    assert!(line(&csv).contains(&format!(",9999-12-31T23:59:59.9999999Z,FILETIME {never},")), "{}", line(&csv));
    let fields: Vec<String> = line(&body).split('|').map(ToOwned::to_owned).collect();
    assert_eq!((fields[8].as_str(), fields[10].as_str()), ("910692730085", "253402300799"));
    let long = run(PROGRAM, &[&"ls", &"--long", &chain.youngest, &"volume-1/long.txt"]);
    assert!(String::from_utf8_lossy(&long.stdout).contains("30828-09-14 02:48:05"), "{long:?}");
    let out = tempfile::tempdir().expect("a folder");
    let refused = extract(&chain.youngest, out.path(), &["--newer", "10000-01-01"]);
    expect_code(&refused, 2);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("up to the year 9999"), "{refused:?}");
}
