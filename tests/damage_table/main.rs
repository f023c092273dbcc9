//! Every named damage against every command: exit codes, findings, lost and doubtful ranges, and all other bytes.
//!
//! One table in parts: [`tables`] (headers, region tables, metadata), [`blocks`] (BAT, the file's end),
//! [`bitmaps`], [`logged_bitmaps`], [`doubted_tables`] (what no checksum tells), [`logs`], [`links`]. What stands in a row is written by hand, from docs/SEMANTICS.md; nothing is taken from what the program says.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "damages images of its own, reads a mount")]

mod bitmaps;
mod blocks;
mod codes;
mod doubted_tables;
mod links;
mod logged_bitmaps;
mod logged_headers;
mod logs;
mod row;
#[path = "../support/mod.rs"]
mod support;
mod tables;
mod unreadable_logs;

use std::ffi::OsStr;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::process::Output;

use fixtures::chain::{Chain, Model};
use row::{Forged, Row};
use serde_json::Value;
use support::Untouched;
use support::program::{Mounted, PROGRAM, can_mount, run};
use vhdx_mount::Faults;
use vhdx_mount::image::ReadAt;

fn run_command(row: &Row, forged: &Forged, command: &str, more: &[&str]) -> Output {
    let image: &dyn AsRef<OsStr> = &forged.chain.youngest;
    let mut args: Vec<&dyn AsRef<OsStr>> = vec![&command];
    args.extend(more.iter().chain(row.switches).map(|arg| arg as &dyn AsRef<OsStr>));
    args.push(image);
    run(PROGRAM, &args)
}

/// What people are told: exit codes, and each code or the refusal in words.
fn words_column(row: &Row, forged: &Forged) {
    let name = &row.name;
    let [info, ls, check, scan] = row.exits;
    // Without the first sector volumes may be missing, and so may files without what tells the file system.
    let ls = if ls == 0 && hides_what_tells(row, forged) { 3 } else { ls };
    for (command, exit) in [("info", info), ("ls", ls), ("check", check)] {
        let output = run_command(row, forged, command, &[]);
        expect_exit(name, command, &output, exit);
        let told = String::from_utf8_lossy(if row.refused.is_some() { &output.stderr } else { &output.stdout });
        let words: Vec<String> = match (row.refused, command) {
            (Some(word), _) => vec![word.to_owned()],
            (None, "ls") => vec!["disk.raw".to_owned()],
            (None, _) => row.codes.iter().map(|code| format!("[{code}]")).collect(),
        };
        for word in words {
            assert!(told.contains(&word), "{name}: {command} does not say {word}: {told}");
        }
    }
    let output = run(PROGRAM, &[&"scan", &"--json", &forged.folder]);
    expect_exit(name, "scan", &output, scan);
    expect_advice(name, &serde_json::from_slice(&output.stdout).expect("one object"));
}

/// Whether bytes are lost or doubtful by which a disk without a partition table tells its file system.
fn hides_what_tells(row: &Row, forged: &Forged) -> bool {
    let size = forged.chain.model.size();
    let single = [0x8001..0x8006, 16_374..16_384, 65_526..0x1_0048];
    let places = [&[0..8192][..], &single, &[size.saturating_sub(1 << 20)..size]].concat();
    let overlaps = |range: &Range<u64>| places.iter().any(|place| range.start < place.end && place.start < range.end);
    row.lost.iter().chain(&row.doubtful).any(|(range, _)| overlaps(range))
}

/// What programs are told: one object, whatever becomes of the chain.
fn json_column(row: &Row, forged: &Forged) {
    let name = &row.name;
    let mut expected: Vec<&str> = row.codes.to_vec();
    expected.sort_unstable();
    for (command, exit) in [("info", row.exits[0]), ("check", row.exits[2])] {
        let output = run_command(row, forged, command, &["--json"]);
        expect_exit(name, command, &output, exit);
        let report: Value = serde_json::from_slice(&output.stdout).expect("one object");
        assert_eq!(report["schema"], 1, "{name}: {command}");
        if let Some(word) = row.refused {
            let error = report["error"].to_string();
            assert!(error.contains(word), "{name}: {command} --json does not say {word}: {error}");
            continue;
        }
        assert_eq!(found(&report), expected, "{name}: {command} --json");
        expect_advice(name, &report);
        if command == "check" {
            assert_eq!(ranges(&report["lost"]), joined(&row.lost), "{name}: lost");
            assert_eq!(ranges(&report["doubtful"]), joined(&row.doubtful), "{name}: doubtful");
        }
    }
}

#[track_caller]
fn expect_exit(name: &str, command: &str, output: &Output, exit: i32) {
    let said = String::from_utf8_lossy(&output.stderr);
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(exit), "{name}: {command}\n{said}\n{told}");
}

/// Whatever is worth a warning says what to try next, wherever in the report it stands.
#[track_caller]
fn expect_advice(name: &str, report: &Value) {
    let within: Box<dyn Iterator<Item = &Value>> = match report {
        Value::Array(list) => Box::new(list.iter()),
        Value::Object(fields) => Box::new(fields.values()),
        _ => return,
    };
    if report["severity"] == "warning" || report["severity"] == "error" {
        assert!(report["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{name}: no advice: {report:#}");
    }
    within.for_each(|value| expect_advice(name, value));
}

/// The codes that were found in the images; what lies on the disk has no link.
fn found(report: &Value) -> Vec<&str> {
    let findings = report["findings"].as_array().expect("findings");
    let of_images = findings.iter().filter(|finding| !finding["link"].is_null());
    let mut codes: Vec<&str> = of_images.map(|finding| finding["code"].as_str().expect("a code")).collect();
    codes.sort_unstable();
    codes
}

/// Ranges of a report without their links; neighbours of one code are one.
fn ranges(list: &Value) -> Vec<(Range<u64>, String)> {
    let range = |range: &Value| {
        let (start, length) =
            (range["offset"].as_u64().expect("an offset"), range["length"].as_u64().expect("a length"));
        (start..start + length, range["code"].as_str().expect("a code").to_owned())
    };
    join(list.as_array().expect("ranges").iter().map(range).collect())
}

fn joined(list: &[(Range<u64>, &str)]) -> Vec<(Range<u64>, String)> {
    join(list.iter().map(|(range, code)| (range.clone(), (*code).to_owned())).collect())
}

fn join(mut list: Vec<(Range<u64>, String)>) -> Vec<(Range<u64>, String)> {
    list.sort_by_key(|(range, _)| range.start);
    list.dedup_by(|next, before| {
        let joins = before.0.end == next.0.start && before.1 == next.1;
        if joins {
            before.0.end = next.0.end;
        }
        joins
    });
    list
}

/// `disk.raw`, page by page: right, or an error where any byte of the page is not to be had.
fn mount_column(row: &Row, forged: &Forged, model: &Model) {
    let name = &row.name;
    let mounted = Mounted::new(&forged.chain.youngest, row.switches);
    let disk = File::open(mounted.path("disk.raw")).expect("disk.raw opens");
    assert_eq!(disk.metadata().expect("its size").len(), model.size(), "{name}");
    let doubted = row.doubtful.iter().filter(|_| !row.served);
    let refused: Vec<&Range<u64>> = row.lost.iter().chain(doubted).map(|(range, _)| range).collect();
    let mut page = [0; 4096];
    for at in (0..model.size()).step_by(page.len()) {
        let end = at + page.len() as u64;
        let fails = refused.iter().any(|range| range.start < end && at < range.end);
        match disk.read_exact_at(&mut page, at) {
            Ok(()) if !fails => model.compare(at, &page).unwrap_or_else(|why| panic!("{name}: {why}")),
            Ok(()) => panic!("{name}: the mount serves what is lost, in the page at {at}"),
            Err(error) => {
                assert!(fails, "{name}: the page at {at}: {error}");
                assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()), "{name}: {error}");
            }
        }
    }
    let report = std::fs::read(mounted.path("report.json")).expect("the report");
    let report: Value = serde_json::from_slice(&report).expect("one object");
    let mut expected: Vec<&str> = row.codes.to_vec();
    expected.sort_unstable();
    assert_eq!(found(&report), expected, "{name}: report.json");
    expect_advice(name, &report);
}

/// Holds every command to these rows.
fn hold(part: &str, rows: Vec<Row>) {
    let mounts = can_mount(&format!("the table of damages, {part}"));
    for row in rows {
        let folder = tempfile::tempdir().expect("a folder");
        let chain = Chain::write((row.images)(), folder.path()).expect("a chain is written");
        let model = (row.model)(&chain);
        let forged = Forged { folder: folder.path().to_owned(), chain };
        (row.spoil)(&forged);
        let _untouched = Untouched::watch(forged.chain.files.iter().filter(|file| file.exists()));
        words_column(&row, &forged);
        json_column(&row, &forged);
        if mounts && row.refused.is_none() {
            mount_column(&row, &forged, &model);
        }
    }
}

#[test]
fn headers_region_tables_and_metadata() {
    hold("headers, region tables, metadata", tables::rows());
}

#[test]
fn block_allocation_table() {
    hold("BAT, the file's end", blocks::rows());
}

#[test]
fn bitmaps_damaged() {
    hold("sector bitmaps", bitmaps::rows());
    hold("sector bitmaps that the log holds", logged_bitmaps::rows());
}

#[test]
fn tables_that_no_checksum_covers() {
    hold("tables that lost a part", doubted_tables::rows());
}

#[test]
fn logs() {
    hold("logs", logs::rows());
}

#[test]
fn links() {
    hold("links", links::rows());
}

/// What nothing stands in for may be refused, or inferred: then that is told, and what is not marked is right.
#[test]
fn metadata_that_is_gone_is_never_taken_for_proven() {
    for row in tables::metadata_that_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let chain = Chain::write((row.images)(), folder.path()).expect("a chain is written");
        let forged = Forged { folder: folder.path().to_owned(), chain };
        (row.spoil)(&forged);
        let _untouched = Untouched::watch(&forged.chain.files);
        let output = run(PROGRAM, &[&"check", &"--json", &forged.chain.youngest]);
        let report: Value = serde_json::from_slice(&output.stdout).expect("one object");
        if output.status.code() == Some(1) {
            assert_eq!(report["error"]["kind"], "corrupt", "{}: {report}", row.name);
            continue;
        }
        assert_eq!(output.status.code(), Some(3), "{}", row.name);
        assert!(found(&report).contains(&"metadata-inferred"), "{}: {:?}", row.name, found(&report));
        let opened = support::open_chain(&forged.chain.youngest);
        let mut page = [0; 4096];
        for at in (0..opened.disk().size().min(row::SIZE)).step_by(page.len()) {
            let mut faults = Faults::new();
            opened.disk().read_at(&mut page, at, &mut faults).expect("a read");
            if faults.is_empty() {
                forged.chain.model.compare(at, &page).unwrap_or_else(|why| panic!("{}: {why}", row.name));
            }
        }
    }
}
