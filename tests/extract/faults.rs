//! Destinations that refuse single calls.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use super::support::program::{PROGRAM, has, run};
use super::support::skip;
use super::{expect_code, extract, long_text, rows, whole_chain};

/// Extracts a chain into a folder, where system calls fail as is said; `None` where they cannot be made to.
fn extract_failing(test: &str, chain: &Path, to: &Path, inject: &str) -> Option<Output> {
    extract_failing_at(test, chain, to, &[], inject)
}

/// As [`extract_failing`], with calls of these files alone; of any file where there are none.
fn extract_failing_at(test: &str, chain: &Path, to: &Path, files: &[&Path], inject: &str) -> Option<Output> {
    if !has(test, "strace") {
        return None;
    }
    if !run("strace", &[&"-qq", &"-o", &"/dev/null", &"true"]).status.success() {
        skip(test, "strace may trace nothing");
        return None;
    }
    let call = inject.split(':').next().unwrap_or_default();
    let (trace, inject) = (format!("trace={call}"), format!("inject={inject}"));
    let mut args: Vec<&dyn AsRef<OsStr>> = vec![&"-f", &"-qq", &"-o", &"/dev/null", &"-e", &trace, &"-e", &inject];
    for file in files {
        args.extend([&"-P" as &dyn AsRef<OsStr>, file]);
    }
    args.extend([&PROGRAM as &dyn AsRef<OsStr>, &"extract", &chain, &"--to", &to]);
    Some(run("strace", &args))
}

fn record(to: &Path) -> Value {
    serde_json::from_slice(&fs::read(to.join("run.json")).expect("a record")).expect("JSON")
}

#[test]
fn what_the_destination_says_at_the_close_of_a_file_counts() {
    let test = "what_the_destination_says_at_the_close_of_a_file_counts";
    let (_folder, chain) = whole_chain();
    let mut told = 0;
    // Calls are counted by threads, and some of the thread that begins belong to folders: not each of these fails for a file.
    for first in (20..56).step_by(6) {
        let out = tempfile::tempdir().expect("a folder");
        let inject = format!("close:error=ENOSPC:when={first}..{}", first + 5);
        let Some(output) = extract_failing(test, &chain.youngest, out.path(), &inject) else { return };
        if output.status.code() != Some(3) {
            continue;
        }
        let failed: Vec<_> = rows(out.path()).into_values().filter(|row| row["verdict"] == "failed").collect();
        for row in &failed {
            assert!(row["error"].as_str().is_some_and(|error| error.contains("the destination is full")), "{row}");
            assert!(row.get("written").is_none() && row.get("sha256").is_none(), "{row}");
            assert!(!out.path().join(row["path"].as_str().expect("a path")).exists(), "{row}");
        }
        told += failed.len();
        expect_code(&extract(&chain.youngest, out.path(), &["--resume"]), 0);
        assert_eq!(fs::read(out.path().join("volume-1/long.txt")).expect("the file"), long_text());
    }
    assert!(told > 0, "no file failed");
}

#[test]
fn a_manifest_that_the_destination_did_not_take_in_the_end_is_an_error() {
    let test = "a_manifest_that_the_destination_did_not_take_in_the_end_is_an_error";
    let (_folder, chain) = whole_chain();
    let out = tempfile::tempdir().expect("a folder");
    let manifest = fs::canonicalize(out.path()).expect("a folder").join("manifest.jsonl");
    let failing = extract_failing_at(test, &chain.youngest, out.path(), &[&manifest], "close:error=EIO");
    let Some(output) = failing else { return };
    expect_code(&output, 1);
    assert_eq!(record(out.path())["complete"], false);
}

#[test]
fn files_without_their_times_are_there_and_told() {
    let test = "files_without_their_times_are_there_and_told";
    let (_folder, chain) = whole_chain();
    let out = tempfile::tempdir().expect("a folder");
    let Some(output) = extract_failing(test, &chain.youngest, out.path(), "utimensat:error=EPERM") else { return };
    expect_code(&output, 0);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("without their times") && said.contains("not permitted"), "{said}");
    let rows = rows(out.path());
    assert_eq!(fs::read(out.path().join("volume-1/long.txt")).expect("the file"), long_text());
    assert_eq!(rows["volume-1/long.txt"]["verdict"], "whole");
    assert!(rows["volume-1/long.txt"]["times_not_set"].as_str().is_some_and(|why| why.contains("not permitted")));
    let files = rows.values().filter(|row| row["kind"] == "file" && row["verdict"] == "whole").count();
    let folders = rows.values().filter(|row| row["kind"] == "folder").count();
    assert_eq!(record(out.path())["totals"]["times_not_set"], files + folders);
    // They are what the run wrote, whatever their time is.
    let again = extract(&chain.youngest, out.path(), &["--resume"]);
    expect_code(&again, 0);
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains("; 0 B read") && !said.contains("changed"), "{said}");
}

#[test]
fn a_limit_of_file_sizes_is_an_error_of_the_file() {
    let (_folder, chain) = whole_chain();
    let out = tempfile::tempdir().expect("a folder");
    // In units of 512 bytes or of 1024, as the shell has it: more than the record needs, less than the longest file.
    let command =
        format!("ulimit -f 128; exec {PROGRAM} extract '{}' --to '{}'", chain.youngest.display(), out.path().display());
    let output = run("sh", &[&"-c", &command]);
    assert!(matches!(output.status.code(), Some(1 | 3)), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("too large"), "{output:?}");
}
