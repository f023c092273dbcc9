//! Outputs that take nothing: a full device, a pipe that nobody reads. What was asked for is done all the same, and no
//! program panics because it cannot say so.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "opens /dev/full, and reads what was exported"
)]

mod support;

use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::{Command, Stdio};

use fixtures::bytes::Bytes;
use fixtures::chain::Chain;
use fixtures::damage::EntryDamage;
use support::program::PROGRAM;
use support::small_disk::{chain_with, cluster_of_long_text, disk, spoil};

/// A device that is full.
fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").expect("the device").into()
}

/// A pipe whose reader is gone.
fn broken() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// The exit code of the program with these outputs.
fn code(args: &[&str], stdout: Stdio, stderr: Stdio) -> Option<i32> {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "60", PROGRAM]).args(args).env("RUST_LOG", "debug");
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr).status().expect("a run").code()
}

/// A chain of which some bytes are lost, so that there is much to tell.
fn damaged() -> (tempfile::TempDir, Chain) {
    let disk = disk();
    let (folder, chain) = chain_with(&disk, &[cluster_of_long_text(&disk, 5)]);
    spoil(&chain, EntryDamage::PastEnd);
    (folder, chain)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

/// Commands that tell and write nothing.
fn commands<'a>(image: &'a str, nowhere: &'a str, folder: &'a str) -> Vec<Vec<&'a str>> {
    vec![
        vec!["info", image],
        vec!["info", "-v", image],
        vec!["info", "--json", image],
        vec!["check", image],
        vec!["check", "--json", image],
        vec!["ls", "--recursive", "--long", image],
        vec!["ls", "--recursive", "--json", image],
        vec!["scan", folder],
        vec!["scan", "--json", folder],
        vec!["extract", image, "--to", nowhere, "--dry-run"],
        vec!["--help"],
        vec!["--version"],
    ]
}

#[test]
fn what_cannot_be_told_on_stderr_is_left_unsaid() {
    let (folder, chain) = damaged();
    let (image, nowhere) = (text(&chain.youngest), folder.path().join("nowhere"));
    for args in commands(image, text(&nowhere), text(folder.path())) {
        let told = code(&args, Stdio::null(), Stdio::null());
        assert!(told.is_some_and(|code| [0, 3].contains(&code)), "{args:?}: {told:?}");
        assert_eq!(code(&args, Stdio::null(), full()), told, "{args:?}");
        assert_eq!(code(&args, Stdio::null(), broken()), told, "{args:?}");
    }
    assert_eq!(code(&["info", text(&nowhere)], Stdio::null(), full()), Some(1));
    assert_eq!(code(&["info", "--no-such-option"], Stdio::null(), full()), Some(2));
}

#[test]
fn what_cannot_be_told_on_stdout_is_an_error_unless_nobody_wants_to_read_on() {
    let (folder, chain) = damaged();
    let (image, nowhere) = (text(&chain.youngest), folder.path().join("nowhere"));
    for args in commands(image, text(&nowhere), text(folder.path())) {
        assert_eq!(code(&args, full(), Stdio::null()), Some(1), "{args:?}");
        assert_eq!(code(&args, full(), full()), Some(1), "{args:?}");
        let quietly = code(&args, broken(), full());
        assert!(quietly.is_some_and(|code| [0, 3].contains(&code)), "{args:?}: {quietly:?}");
    }
}

#[test]
fn an_export_and_an_extraction_are_made_though_nothing_can_be_told_of_them() {
    let (_folder, chain) = damaged();
    let image = text(&chain.youngest);
    let mut expected = disk().bytes_at(0, disk().size() as usize);
    let lost = cluster_of_long_text(&disk(), 5);
    expected[lost.start as usize..lost.end as usize].fill(0);
    let out = tempfile::tempdir().expect("a folder");
    for (number, (stdout, stderr, ends)) in
        [(Stdio::null(), full(), 3), (full(), Stdio::null(), 1), (full(), full(), 1), (broken(), broken(), 3)]
            .into_iter()
            .enumerate()
    {
        let to = out.path().join(format!("{number}.raw"));
        assert_eq!(code(&["export", "-v", image, "--to", text(&to)], stdout, stderr), Some(ends), "{number}");
        assert!(fs::read(&to).expect("the disk") == expected, "{number}");
    }
    let streamed = out.path().join("streamed.raw");
    let to = File::create(&streamed).expect("a file");
    assert_eq!(code(&["export", image, "--to", "-"], to.into(), full()), Some(3));
    assert!(fs::read(&streamed).expect("the disk") == expected);
    for stdout in [full(), broken()] {
        assert_eq!(code(&["export", image, "--to", "-"], stdout, full()), Some(1));
    }

    let files = out.path().join("files");
    assert_eq!(code(&["extract", "-v", image, "--to", text(&files)], full(), full()), Some(3));
    assert!(files.join("volume-1").is_dir());
}
