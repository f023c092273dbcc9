//! `check` stopped by a signal: what was found by then is told, at once.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_methods, reason = "reads what the system tells of a process")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fixtures::bytes::Bytes;
use fixtures::chain::{Chain, link_name};
use fixtures::guid::Guid;
use fixtures::host_file::HostFile;
use fixtures::vhdx::bat::{PayloadState, entry};
use fixtures::vhdx::header::Header;
use fixtures::vhdx::{Image, MIB};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// 512 GiB of holes that take minutes to read: every block has its place. That of block 1 has no known state.
const SIZE: u64 = 512 << 30;
const BLOCK: u64 = 32 * MIB;

fn long(folder: &Path) -> PathBuf {
    let mut image = Image::dynamic(SIZE);
    image.block_size = BLOCK as u32;
    let path = folder.join("long.vhdx");
    let places = image.write_to(&path).expect("an image is written");
    let mut file = HostFile::open(&path).expect("the image opens");
    let first = places.file_size / MIB;
    for block in 0..SIZE / BLOCK {
        let state = if block == 1 { PayloadState::RESERVED } else { PayloadState::FULLY_PRESENT };
        let place = entry(state.0, first + block * (BLOCK / MIB));
        file.write_at(places.payload_entry(block), &place.to_le_bytes());
    }
    file.set_size(places.file_size + SIZE);
    path
}

/// What a check has read when it gets its signal: so much that each of its readers is behind block 1, and a part of all.
const READ_BEFORE: u64 = 64 * BLOCK;

/// Lets a check read for a while, then sends the signal. It must end within a second.
fn stopped(image: &Path, more: &[&str], signal: Signal) -> Output {
    // Whoever runs the tests in the background of a shell ignores them, and so would the program.
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,TERM", env!("CARGO_BIN_EXE_vhdx-mount")]);
    command.arg("check").args(more).arg(image).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the program runs");
    let began = Instant::now();
    while bytes_read(&child) < READ_BEFORE {
        assert!(began.elapsed() < Duration::from_secs(60), "it reads nothing");
        std::thread::sleep(Duration::from_millis(10));
    }
    let asked = Instant::now();
    kill_process(Pid::from_child(&child), signal).expect("a signal");
    let output = child.wait_with_output().expect("its end");
    // A busy machine is slower than one at rest.
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    output
}

/// Bytes that a process has asked its files for (`rchar` of proc_pid_io(5)); all of them when it has ended.
fn bytes_read(child: &Child) -> u64 {
    let told = std::fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap_or_default();
    let read = told.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok());
    read.unwrap_or(u64::MAX)
}

#[test]
fn a_signal_gives_a_partial_report_that_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = long(folder.path());
    let lost = json!([{ "link": 0, "offset": BLOCK, "length": BLOCK, "code": "block-state-reserved" }]);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let output = stopped(&image, &["--json"], signal);
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).expect("one object");
        assert_eq!((&report["complete"], &report["lost"]), (&json!(false), &lost));
        let at = report["stopped_at"].as_u64().expect("where");
        assert!(at > 2 * BLOCK && at < SIZE, "{at}");
        assert!(report["totals"]["bytes_read"].as_u64() >= Some(at - BLOCK), "{report}");
    }
    let output = stopped(&image, &[], Signal::INT);
    assert_eq!(output.status.code(), Some(130));
    let told = String::from_utf8_lossy(&output.stdout);
    for words in ["this report is partial", "go on with --range", "block-state-reserved"] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

/// Eight links, each with a dirty log of 4 GiB of holes, which is read as a whole before the chain is open.
fn slow_to_open(folder: &Path) -> PathBuf {
    const LOG: u64 = (4 << 30) - MIB;
    let mut images = vec![Image::dynamic(8 * MIB)];
    for link in 1..8 {
        images.push(Image::child_of(&images[link - 1], &link_name(link - 1)));
    }
    let chain = Chain::write(images, folder).expect("a chain is written");
    for (path, places) in chain.files.iter().zip(&chain.places) {
        let mut file = HostFile::open(path).expect("the image opens");
        let log_offset = places.file_size.next_multiple_of(MIB);
        file.set_size(log_offset + LOG);
        for number in [1, 2] {
            Header::edit(&mut file, number, |header| {
                (header.log_offset, header.log_length) = (log_offset, LOG as u32);
                header.log_guid = Guid([7; 16]);
            });
        }
    }
    chain.youngest
}

#[test]
fn a_signal_while_the_chain_is_being_opened_ends_it_with_the_same_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let image = slow_to_open(folder.path());
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let output = stopped(&image, &["--json"], signal);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(code), 0), "{told}");
    }
}

#[test]
fn a_check_that_nobody_stops_says_nothing_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("disk.vhdx");
    Image::dynamic(8 * MIB).write_to(&path).expect("an image is written");
    let output = Command::new(env!("CARGO_BIN_EXE_vhdx-mount")).args(["check", "--json"]).arg(&path).output();
    let output = output.expect("the program runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!((output.status.code(), &report["complete"]), (Some(0), &json!(true)));
    assert_eq!(report["stopped_at"], Value::Null);
}
