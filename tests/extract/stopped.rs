//! Extractions that somebody wants to end.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fixtures::bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::support::program::{PROGRAM, has, run, wait_until};
use super::support::skip;
use super::support::small_disk::disk;
use super::{expect_code, rows, tree, whole_chain};

/// Whether system calls can be made slow.
fn can_slow(test: &str) -> bool {
    let can = has(test, "strace");
    if can && !run("strace", &[&"-qq", &"-o", &"/dev/null", &"true"]).status.success() {
        skip(test, "strace may trace nothing");
        return false;
    }
    can
}

/// Runs the program so that each of these system calls takes so many milliseconds. What a shell in the background has it
/// ignore is not ignored.
fn slowed(call: &str, milliseconds: u32, args: &[&str], ignored: &str) -> Child {
    let inject = format!("inject={call}:delay_enter={}", u64::from(milliseconds) * 1000);
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,TERM", &format!("--ignore-signal={ignored}")]);
    command.args(["strace", "-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject, PROGRAM]);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program runs")
}

/// Sends the program a signal; gives how long it took from then to its end.
fn signalled(traced: Child, signal: Signal) -> (Duration, Output) {
    let tracer = traced.id();
    let children = || fs::read_to_string(format!("/proc/{tracer}/task/{tracer}/children")).expect("its children");
    let program = children().split_whitespace().next().and_then(|id| Pid::from_raw(id.parse().ok()?));
    let asked = Instant::now();
    kill_process(program.expect("the program runs"), signal).expect("a signal");
    let output = traced.wait_with_output().expect("its end");
    (asked.elapsed(), output)
}

/// A busy machine is slower than one at rest.
const SOON: Duration = Duration::from_secs(3);

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn while_the_chain_is_opened_a_signal_ends_the_program_at_once() {
    if !can_slow("while_the_chain_is_opened_a_signal_ends_the_program_at_once") {
        return;
    }
    let (_folder, chain) = whole_chain();
    let out = tempfile::tempdir().expect("a folder");
    for (more, signal) in [(&[][..], Signal::INT), (&["--dry-run"], Signal::TERM)] {
        let args = [&["extract", text(&chain.youngest), "--to", text(out.path())], more].concat();
        let traced = slowed("pread64", 300, &args, "PIPE");
        std::thread::sleep(Duration::from_millis(1000));
        let (took, output) = signalled(traced, signal);
        assert!(took < SOON, "{took:?}");
        assert_eq!(output.status.signal(), Some(signal.as_raw()), "{output:?}");
        assert!(tree(out.path()).is_empty(), "something was written");
    }
}

#[test]
fn of_several_chains_the_summary_is_right_though_one_was_being_opened() {
    if !can_slow("of_several_chains_the_summary_is_right_though_one_was_being_opened") {
        return;
    }
    let (folder, _chain) = whole_chain();
    let scan = run(PROGRAM, &[&"scan", &folder.path(), &"--json"]);
    let report = tempfile::NamedTempFile::new().expect("a file");
    fs::write(report.path(), scan.stdout).expect("a report");
    let out = tempfile::tempdir().expect("a folder");
    let args = ["extract", "--chains-from", text(report.path()), "--to", text(out.path())];
    let traced = slowed("pread64", 300, &args, "PIPE");
    wait_until("a folder", || out.path().join(".vhdx-mount-unfinished").exists());
    std::thread::sleep(Duration::from_millis(500));
    let (took, output) = signalled(traced, Signal::INT);
    assert!(took < SOON, "{took:?}");
    expect_code(&output, 130);
    let names: Vec<_> = tree(out.path()).into_keys().collect();
    assert_eq!(names, [Path::new("chains.json")]);
    let summary: Value =
        serde_json::from_slice(&fs::read(out.path().join("chains.json")).expect("a summary")).expect("JSON");
    assert_eq!(summary["chains"][0]["end"], "not-tried");
}

#[test]
fn a_signal_that_is_ignored_stays_ignored() {
    if !can_slow("a_signal_that_is_ignored_stays_ignored") {
        return;
    }
    let (_folder, chain) = whole_chain();
    for (name, signal) in [("HUP", Signal::HUP), ("INT", Signal::INT), ("TERM", Signal::TERM)] {
        let out = tempfile::tempdir().expect("a folder");
        let args = ["extract", text(&chain.youngest), "--to", text(out.path())];
        let traced = slowed("linkat", 20, &args, name);
        wait_until("a file", || out.path().join("volume-1").exists());
        let (_, output) = signalled(traced, signal);
        expect_code(&output, 0);
        assert!(rows(out.path()).contains_key("volume-1/long.txt"), "{name}");
    }
}

#[test]
fn a_run_with_sync_is_complete_when_the_storage_has_it() {
    if !can_slow("a_run_with_sync_is_complete_when_the_storage_has_it") {
        return;
    }
    let (_folder, chain) = whole_chain();
    let extracted = |inject: &str| {
        let out = tempfile::tempdir().expect("a folder");
        let log = tempfile::NamedTempFile::new().expect("a file");
        let calls = "trace=syncfs,linkat,renameat,renameat2";
        let mut args = vec!["-f", "-qq", "-o", text(log.path()), "-e", calls];
        args.extend(if inject.is_empty() { vec![] } else { vec!["-e", inject] });
        args.extend([PROGRAM, "extract", text(&chain.youngest), "--sync", "--to", text(out.path())]);
        let args: Vec<&dyn AsRef<std::ffi::OsStr>> = args.iter().map(|arg| arg as _).collect();
        let output = run("strace", &args);
        let record: Value =
            serde_json::from_slice(&fs::read(out.path().join("run.json")).expect("a record")).expect("JSON");
        assert_eq!(record["complete"], record["synced"]);
        (output, record["complete"] == true, fs::read_to_string(log.path()).expect("the calls"))
    };
    let (output, complete, calls) = extracted("");
    expect_code(&output, 0);
    assert!(complete);
    let at: Vec<usize> = calls
        .lines()
        .enumerate()
        .filter(|(_, call)| call.contains("syncfs") && call.ends_with("= 0"))
        .map(|(n, _)| n)
        .collect();
    assert_eq!(at.len(), 1, "{calls}");
    let last = |name: &str| calls.lines().enumerate().filter(|(_, call)| call.contains(name)).map(|(n, _)| n).last();
    assert!(last("long.txt") < Some(at[0]) && last("run.json") > Some(at[0]), "{calls}");
    let (output, complete, _) = extracted("inject=syncfs:error=EIO");
    expect_code(&output, 1);
    assert!(!complete && String::from_utf8_lossy(&output.stderr).contains("takes nothing any more"), "{output:?}");
}

#[test]
fn nobody_waits_for_the_hash_of_an_image_after_a_signal() {
    let folder = tempfile::tempdir().expect("a folder");
    let (image, out) = (folder.path().join("disk.raw"), folder.path().join("out"));
    let disk = disk();
    fs::write(&image, disk.bytes_at(0, disk.size() as usize)).expect("a disk");
    // Minutes of holes.
    fs::File::options().write(true).open(&image).and_then(|file| file.set_len(1 << 40)).expect("a length");
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,TERM", PROGRAM, "extract", "--hash-images", "--to"]).args([&out, &image]);
    let running = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a run");
    wait_until("a folder", || out.join(".vhdx-mount-unfinished").exists());
    std::thread::sleep(Duration::from_millis(300));
    let asked = Instant::now();
    kill_process(Pid::from_child(&running), Signal::TERM).expect("a signal");
    let output = running.wait_with_output().expect("its end");
    assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
    expect_code(&output, 143);
    let record: Value = serde_json::from_slice(&fs::read(out.join("run.json")).expect("a record")).expect("JSON");
    assert_eq!(record["complete"], false);
}
