//! An extraction that goes on: only with what the earlier run read, and as it read it.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use fixtures::chain::{Chain, spread};
use fixtures::damage::EntryDamage;
use fixtures::random::Rng;
use serde_json::Value;

use super::support::Untouched;
use super::support::small_disk::{chain_with, cluster_of_long_text, disk, spoil};
use super::{expect_code, extract, long_text, rows, tree, whole_chain};

/// That a run with `more` is not gone on with by `--resume`, and why; and that nothing is changed by the attempt.
#[track_caller]
fn expect_refused(chain: &Path, to: &Path, more: &[&str], why: &str) {
    let before = tree(to);
    let output = extract(chain, to, &[&["--resume"], more].concat());
    expect_code(&output, 2);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(why) && said.contains("run.json") && said.contains("choose an empty folder"), "{said}");
    assert!(tree(to) == before, "something was changed");
}

#[test]
fn another_checkpoint_is_no_way_to_go_on() {
    let (_folder, chain) = whole_chain();
    let out = tempfile::tempdir().expect("a folder");
    let older = &chain.files[chain.files.len() - 2];
    let _untouched = Untouched::watch(&chain.files);
    expect_code(&extract(&chain.youngest, out.path(), &[]), 0);
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    let why = format!("it read {} where {} is read now", name(&chain.youngest), name(older));
    expect_refused(older, out.path(), &[], &why);
    expect_code(&extract(&chain.youngest, out.path(), &["--resume"]), 0);
}

#[test]
fn an_image_that_was_changed_is_no_way_to_go_on_and_one_that_was_moved_is() {
    let (folder, chain) = whole_chain();
    let out = tempfile::tempdir().expect("a folder");
    expect_code(&extract(&chain.youngest, out.path(), &[]), 0);
    // Images are found by what they say of their parents: they move together.
    let moved = tempfile::tempdir().expect("a folder");
    for file in &chain.files {
        fs::rename(file, moved.path().join(file.file_name().expect("a name"))).expect("a move");
    }
    let youngest = moved.path().join(chain.youngest.file_name().expect("a name"));
    expect_code(&extract(&youngest, out.path(), &["--resume"]), 0);
    let base = moved.path().join(chain.files[0].file_name().expect("a name"));
    let image = fs::File::options().write(true).open(&base).expect("an image");
    let later = SystemTime::now() + std::time::Duration::from_secs(60);
    image.set_modified(later).expect("a later time");
    expect_refused(&youngest, out.path(), &[], "was changed since: its time of last change was");
    drop(folder);
}

#[test]
fn another_way_of_reading_is_no_way_to_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(spread(&disk(), 1, 512, &mut Rng::new(3)), folder.path()).expect("a chain is written");
    let image = chain.youngest.to_str().expect("a path").to_owned();
    let size = fs::metadata(&chain.youngest).expect("an image").len();
    let map = folder.path().join("copy.map");
    fs::write(&map, format!("# of a copy\n0 +\n0 {size} +\n")).expect("a map");
    let map = format!("{image}={}", map.display());
    let out = tempfile::tempdir().expect("a folder");
    expect_code(&extract(&chain.youngest, out.path(), &["--hash", "sha256,md5"]), 0);
    let same = ["--hash", "md5,sha256"];
    // What goes first changes nothing of what the manifest tells in the end.
    expect_code(&extract(&chain.youngest, out.path(), &[&["--resume", "--first", "*.txt"], &same[..]].concat()), 0);
    for (more, why) in [
        (&["--map", &map][..], "it was done without --map"),
        (&["--lost", "zero"], "it was done without --lost zero"),
        (&["--accept-doubtful"], "it was done without --accept-doubtful"),
        (&["--no-log-replay"], "it was done without --no-log-replay"),
        (&["--raw-encrypted"], "it was done without --raw-encrypted"),
        (&["--volume", "1"], "it was done without --volume 1"),
        (&["*.txt"], "it was done without \"*.txt\""),
        (&["--streams"], "it was done without --streams"),
        (&["--max-size", "4K"], "it was done without --max-size 4096"),
        (&["--newer", "2020-01-01"], "it was done without --newer 2020-01-01T00:00:00"),
    ] {
        expect_refused(&chain.youngest, out.path(), &[more, &same].concat(), why);
    }
    expect_refused(&chain.youngest, out.path(), &[], "it was done with --hash sha256,md5, and not with --hash sha256");

    let mapped = tempfile::tempdir().expect("a folder");
    expect_code(&extract(&chain.youngest, mapped.path(), &["--map", &map]), 0);
    expect_refused(&chain.youngest, mapped.path(), &[], "it was done with --map");
    fs::write(folder.path().join("copy.map"), format!("# of a copy\n0 +\n0 512 -\n512 {size} +\n")).expect("a map");
    expect_refused(&chain.youngest, mapped.path(), &["--map", &map], "and not with --map");
}

#[test]
fn the_record_stands_before_the_first_file_and_nothing_is_gone_on_with_without_it() {
    let (_folder, chain) = whole_chain();
    let out = tempfile::tempdir().expect("a folder");
    // A manifest that cannot be begun: the run ends before it writes a file.
    fs::create_dir(out.path().join("manifest.jsonl")).expect("a folder");
    expect_code(&extract(&chain.youngest, out.path(), &["--resume"]), 1);
    let record = out.path().join("run.json");
    let told: Value = serde_json::from_slice(&fs::read(&record).expect("a record")).expect("JSON");
    assert_eq!(told["reading"]["links"].as_array().map(Vec::len), Some(4));
    assert_eq!(told["reading"]["switches"], serde_json::json!(["--hash sha256"]));
    fs::remove_dir(out.path().join("manifest.jsonl")).expect("no folder");
    expect_code(&extract(&chain.youngest, out.path(), &["--resume"]), 0);
    assert!(rows(out.path()).len() > 1);
    fs::write(&record, "mine").expect("another file");
    expect_refused(&chain.youngest, out.path(), &[], "does not tell what an earlier run read");
    assert_eq!(fs::read(&record).expect("my file"), b"mine");
    fs::remove_file(&record).expect("no record");
    expect_refused(&chain.youngest, out.path(), &[], "what the earlier run read is not known");
}

#[test]
fn what_somebody_wrote_to_since_is_read_again_and_stays() {
    let (_folder, chain) = whole_chain();
    let out = tempfile::tempdir().expect("a folder");
    expect_code(&extract(&chain.youngest, out.path(), &["long.txt", "*.txt"]), 0);
    let file = out.path().join("volume-1/long.txt");
    let as_it_was = fs::metadata(&file).expect("the file").modified().expect("a time");
    let resumed = |more: &[&str]| {
        let output = extract(&chain.youngest, out.path(), &[&["--resume", "long.txt", "*.txt"], more].concat());
        expect_code(&output, 0);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    // Another byte, and so another time.
    let mut mine = long_text();
    mine[77] ^= 1;
    fs::write(&file, &mine).expect("a change");
    let said = resumed(&[]);
    assert!(said.contains("1 files; one that is not the same stays") && said.contains("volume-1/long.txt"), "{said}");
    assert!(fs::read(&file).expect("my file") == mine);
    assert_eq!(rows(out.path())["volume-1/long.txt"]["written"], "volume-1/long.txt%~2");
    assert_eq!(fs::read(out.path().join("volume-1/long.txt%~2")).expect("the file"), long_text());
    // With --overwrite it goes.
    resumed(&["--overwrite"]);
    assert_eq!(fs::read(&file).expect("the file"), long_text());
    // The same bytes at another time are read again, and stay where they are.
    fs::remove_file(out.path().join("volume-1/long.txt%~2")).expect("a file less");
    fs::File::options().write(true).open(&file).and_then(|file| file.set_modified(SystemTime::now())).expect("a time");
    let said = resumed(&[]);
    assert!(said.contains("changed"), "{said}");
    assert_eq!(rows(out.path())["volume-1/long.txt"]["written"], "volume-1/long.txt");
    assert!(!out.path().join("volume-1/long.txt%~2").exists());
    // Two seconds are what some file systems are off.
    let later = as_it_was + std::time::Duration::from_millis(1900);
    fs::File::options().write(true).open(&file).and_then(|file| file.set_modified(later)).expect("a time");
    let said = resumed(&[]);
    assert!(!said.contains("changed") && said.contains("; 0 B read"), "{said}");
    // What is left of a file that the run wrote, by its time, is replaced.
    let half = fs::File::options().write(true).open(&file).expect("a file");
    half.set_len(100).and_then(|()| half.set_modified(as_it_was)).expect("half a file");
    assert!(!resumed(&[]).contains("changed"));
    assert_eq!(fs::read(&file).expect("the file"), long_text());
}

#[test]
fn a_second_run_waits_its_turn_and_a_killed_one_leaves_no_lock() {
    let (_folder, chain) = whole_chain();
    let out = tempfile::tempdir().expect("a folder");
    // As a run holds it.
    let held = vhdx_mount::extract::Sink::open(out.path()).expect("a folder");
    let second = extract(&chain.youngest, out.path(), &[]);
    expect_code(&second, 1);
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another run writes into this folder"), "{said}");
    assert!(!out.path().join("manifest.jsonl").exists() && !out.path().join("run.json").exists());
    drop(held);
    // What a killed run leaves: the file, and no lock on it.
    fs::create_dir(out.path().join(".vhdx-mount-unfinished")).expect("a folder");
    fs::write(out.path().join(".vhdx-mount-unfinished/lock"), "").expect("a file");
    expect_code(&extract(&chain.youngest, out.path(), &[]), 0);
    assert!(!out.path().join(".vhdx-mount-unfinished").exists());
}

#[test]
fn what_was_lost_and_is_read_by_now_leaves_nothing_partial_behind() {
    let disk = disk();
    let (_folder, chain) = chain_with(&disk, &[cluster_of_long_text(&disk, 5)]);
    let whole = fs::read(&chain.youngest).expect("an image");
    let time = fs::metadata(&chain.youngest).expect("an image").modified().expect("a time");
    // Storage that reads otherwise the next time: neither size nor time tell.
    let set_back = || {
        fs::File::options().write(true).open(&chain.youngest).expect("an image").set_modified(time).expect("a time");
    };
    spoil(&chain, EntryDamage::PastEnd);
    set_back();
    let out = tempfile::tempdir().expect("a folder");
    expect_code(&extract(&chain.youngest, out.path(), &[]), 3);
    let partial = out.path().join("volume-1/long.txt.partial");
    assert!(partial.is_file());
    fs::write(out.path().join("volume-1/mine.partial"), "mine").expect("a file");
    fs::write(&chain.youngest, whole).expect("an image");
    set_back();
    expect_code(&extract(&chain.youngest, out.path(), &["--resume"]), 0);
    assert!(!partial.exists());
    assert_eq!(fs::read(out.path().join("volume-1/long.txt")).expect("the file"), long_text());
    assert_eq!(rows(out.path())["volume-1/long.txt"]["verdict"], "whole");
    assert_eq!(fs::read(out.path().join("volume-1/mine.partial")).expect("my file"), b"mine");
}
