//! Several chains in one call.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Output;

use fixtures::chain::{Chain, spread};
use fixtures::random::Rng;
use serde_json::Value;

use super::support::Untouched;
use super::support::program::{PROGRAM, run};
use super::support::small_disk::disk;
use super::{expect_code, long_size, long_text, rows, tree};

/// Scans a folder, and extracts what the scan told.
fn extract_all(folder: &Path, to: &Path, more: &[&str]) -> Output {
    let scan = run(PROGRAM, &[&"scan", &folder, &"--json"]);
    let report = tempfile::NamedTempFile::new().expect("a file");
    fs::write(report.path(), scan.stdout).expect("a report");
    let from = report.path();
    let mut args: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"extract", &"--chains-from", &from, &"--to", &to];
    args.extend(more.iter().map(|arg| arg as &dyn AsRef<std::ffi::OsStr>));
    run(PROGRAM, &args)
}

/// The end of each chain by the name of its youngest image.
fn ends(to: &Path) -> BTreeMap<String, String> {
    let text = fs::read(to.join("chains.json")).expect("a summary");
    let summary: Value = serde_json::from_slice(&text).expect("JSON");
    let of = |chain: &Value| {
        let youngest = Path::new(chain["youngest"].as_str().expect("a path"));
        let names: Vec<_> = youngest.iter().rev().take(2).map(|name| name.to_string_lossy()).collect();
        (format!("{}/{}", names[1], names[0]), chain["end"].as_str().expect("an end").to_owned())
    };
    summary["chains"].as_array().expect("chains").iter().map(of).collect()
}

#[test]
fn every_chain_of_a_scan_comes_out_and_what_is_left_out_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut files = Vec::new();
    for (seed, name) in [(1, "a%b"), (2, "c"), (3, "orphan")] {
        let home = folder.path().join(name);
        fs::create_dir(&home).expect("a folder");
        let mut images = spread(&disk(), 3, 512, &mut Rng::new(seed));
        for link in 0..images.len() {
            images[link].renew_guids(&mut Rng::new(seed * 100 + link as u64));
            if link > 0 {
                let parent = images[link - 1].data_write_guid;
                let name = fixtures::chain::link_name(link - 1);
                images[link].parent_locator = Some(fixtures::vhdx::ParentLocator::windows(parent, &name));
            }
        }
        let chain = Chain::write(images, &home).expect("a chain is written");
        files.extend(chain.files);
    }
    fs::remove_file(folder.path().join("orphan/base.vhdx")).expect("no base");
    files.retain(|file| file.exists());
    let _untouched = Untouched::watch(&files);

    let out = tempfile::tempdir().expect("a folder");
    let output = extract_all(folder.path(), out.path(), &["long.txt"]);
    expect_code(&output, 3);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("not all is whole: 1 of 3 chains; 2 extracted, 1 left out")
            && said.contains("its base is missing"),
        "{said}"
    );
    for name in ["a%25b%2Fx_2.avhdx", "c%2Fx_2.avhdx"] {
        let to = out.path().join(name);
        assert_eq!(fs::read(to.join("volume-1/long.txt")).expect("the file"), long_text());
        assert_eq!(rows(&to)["volume-1/long.txt"]["verdict"], "whole");
        assert!(to.join("run.json").is_file());
    }
    assert!(!out.path().join("orphan%2Fx_2.avhdx").exists());
    let expected = [("a%b/x_2.avhdx", "well"), ("c/x_2.avhdx", "well"), ("orphan/x_2.avhdx", "left-out")];
    assert!(ends(out.path()).iter().map(|(name, end)| (name.as_str(), end.as_str())).eq(expected));

    // Again only with --resume; and what there is of the orphan with the switch that says so.
    expect_code(&extract_all(folder.path(), out.path(), &["long.txt"]), 2);
    let output = extract_all(folder.path(), out.path(), &["long.txt", "--resume", "--missing", "lost"]);
    assert_ne!(ends(out.path())["orphan/x_2.avhdx"], "left-out", "{output:?}");
    assert_ne!(output.status.code(), Some(0));

    let new = out.path().join("new");
    let counted = extract_all(folder.path(), &new, &["long.txt", "--dry-run"]);
    expect_code(&counted, 3);
    let counted = String::from_utf8_lossy(&counted.stdout).into_owned();
    assert!(
        counted.starts_with(&format!("files: 2, folders: 0, links: 0, streams: 0, bytes: {} ", 2 * long_size())),
        "{counted}"
    );
    assert!(!new.exists(), "a dry run writes nothing");
}

/// What `scan` told, with every chain a leftover where `all_left` says so, extracted.
fn extract_one_named(name: &str, all_left: bool, to: &Path) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(spread(&disk(), 1, 512, &mut Rng::new(1)), folder.path()).expect("a chain is written");
    fs::rename(&chain.files[0], folder.path().join(name)).expect("its name");
    let scan = run(PROGRAM, &[&"scan", &folder.path(), &"--json"]);
    let mut scan: Value = serde_json::from_slice(&scan.stdout).expect("JSON");
    for chain in scan["chains"].as_array_mut().expect("chains") {
        assert_eq!(chain["leftover"], false);
        chain["leftover"] = all_left.into();
    }
    let report = tempfile::NamedTempFile::new().expect("a file");
    fs::write(report.path(), scan.to_string()).expect("a report");
    run(PROGRAM, &[&"extract", &"--chains-from", &report.path(), &"--to", &to, &"-q"])
}

#[test]
fn a_disk_that_bears_a_backups_name_comes_out() {
    for name in ["Autorecovery-Lab.vhdx", "Lab-AutoRecovery.vhdx"] {
        let out = tempfile::tempdir().expect("a folder");
        expect_code(&extract_one_named(name, false, out.path()), 0);
        assert_eq!(rows(&out.path().join(name))["volume-1/long.txt"]["verdict"], "whole");
    }
}

#[test]
fn nothing_extracted_is_no_success() {
    let out = tempfile::tempdir().expect("a folder");
    let output = extract_one_named("VM.vhdx", true, out.path());
    expect_code(&output, 3);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("nothing was extracted: 0 extracted, 1 left out") && said.contains("--leftovers"), "{said}");
    assert!(ends(out.path()).into_values().eq(["left-out"]));
}

#[test]
fn what_the_scan_could_not_read_is_told_at_the_end_and_is_no_success() {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().join("a");
    fs::create_dir(&home).expect("a folder");
    Chain::write(spread(&disk(), 1, 512, &mut Rng::new(1)), &home).expect("a chain is written");
    // Named like an image, and too short to be one.
    let torn = folder.path().join("torn.avhdx");
    fs::write(&torn, "vhdxfile").expect("a file");
    let out = tempfile::tempdir().expect("a folder");
    let output = extract_all(folder.path(), out.path(), &["long.txt", "-q"]);
    expect_code(&output, 3);
    assert_eq!(ends(out.path()).into_values().collect::<Vec<_>>(), ["well"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let end = said.lines().last().expect("a line").trim().to_owned();
    assert!(end.starts_with("unread") && end.contains(torn.to_str().expect("a path")), "{said}");
    assert!(said.contains("not all was read: every chain that the scan found is well"), "{said}");
    let summary = fs::read(out.path().join("chains.json")).expect("a summary");
    let summary: Value = serde_json::from_slice(&summary).expect("JSON");
    assert_eq!(summary["scan_complete"], false);
    assert_eq!(summary["unreadable"][0]["path"], torn.to_str().expect("a path"));
    assert!(!summary["unreadable"][0]["reason"].as_str().expect("words").is_empty());
}

#[test]
fn only_a_report_of_a_scan_tells_chains() {
    let out = tempfile::tempdir().expect("a folder");
    let report = tempfile::NamedTempFile::new().expect("a file");
    for text in ["", "{}", "[1]"] {
        fs::write(report.path(), text).expect("a file");
        let output = run(PROGRAM, &[&"extract", &"--chains-from", &report.path(), &"--to", &out.path()]);
        expect_code(&output, 2);
        assert!(String::from_utf8_lossy(&output.stderr).contains("vhdx-mount scan DIR --json"), "{output:?}");
    }
    expect_code(&run(PROGRAM, &[&"extract", &"--to", &out.path()]), 2);
    assert!(tree(out.path()).is_empty());
}
