//! Exports that are killed, asked to end, or find no room: what is left of them is no image, and they go on to the same end.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fixtures::chain::Chain;
use fixtures::fill::Fill;
use fixtures::random::Rng;
use fixtures::vhdx::{Block, Image, MIB};
use sha2::{Digest, Sha256};

use crate::support::program::{PROGRAM, expect_success, has, run};
use crate::support::{hex, open_chain};
use crate::{expect_code, export, export_vhdx, hash_by_qemu, said, support, told};

/// A chain of whose disk a third holds something.
fn large_chain(folder: &Path, size: u64) -> Chain {
    let mut base = Image::dynamic(size);
    for block in (0..size / (2 * MIB)).step_by(3) {
        base.blocks.insert(block, Block::fully_present(Fill::live(0)));
    }
    Chain::write(vec![base], folder).expect("a chain is written")
}

/// How far an export has come, by its map.
fn done(to: &Path) -> Option<u64> {
    let map = fs::read_to_string(format!("{}.map", to.display())).ok()?;
    let status = map.lines().find(|line| !line.starts_with('#'))?;
    u64::from_str_radix(status.split_whitespace().next()?.trim_start_matches("0x"), 16).ok()
}

/// An export that may be interrupted.
struct Interrupted<'a> {
    chain: &'a Chain,
    to: &'a Path,
    /// How long one takes that is not.
    whole: Duration,
}

impl Interrupted<'_> {
    fn start(&self) -> Child {
        let mut command = Command::new(PROGRAM);
        command.args(["export", "--format", "vhdx", "--resume", "--to"]).args([self.to, &self.chain.youngest]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a run")
    }

    /// Kills one at any moment.
    fn kill(&self, rng: &mut Rng) {
        let mut running = self.start();
        std::thread::sleep(Duration::from_micros(rng.below(self.whole.as_micros() as u64)));
        running.kill().expect("a kill");
        running.wait().expect("an end");
    }

    /// Asks one to end that has written something; it notes how far it has come.
    fn ask(&self, rng: &mut Rng) {
        let before = length(self.to);
        let mut running = self.start();
        while length(self.to) <= before && running.try_wait().expect("its state").is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(rng.below(self.whole.as_micros() as u64 / 4)));
        let id = rustix::process::Pid::from_child(&running);
        // Where it has ended by itself there is nobody to ask.
        if running.try_wait().expect("its state").is_none() {
            rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("a signal");
        }
        running.wait().expect("an end");
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

#[test]
fn killed_at_any_moment_it_is_no_image_and_goes_on_to_the_same_end() {
    let test = "killed_at_any_moment_it_is_no_image_and_goes_on_to_the_same_end";
    if !has(test, "qemu-img") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let chain = large_chain(folder.path(), 96 * MIB);
    let expected = hex(Sha256::digest(chain.model.bytes(0, chain.model.size() as usize)));
    let whole = folder.path().join("whole.vhdx");
    let began = Instant::now();
    expect_code(&export_vhdx(&chain.youngest, &whole, &[]), 0);
    let took = began.elapsed();
    let mut rng = Rng::new(11);
    let (mut unfinished, mut half) = (0, 0);
    // On a busy machine a moment may come too early or too late.
    for round in 0.. {
        let out = tempfile::tempdir().expect("a folder");
        let to = out.path().join("disk.vhdx");
        let interrupted = Interrupted { chain: &chain, to: &to, whole: took };
        for attempt in 0..3 {
            if (round + attempt) % 2 == 0 {
                interrupted.kill(&mut rng);
            } else {
                interrupted.ask(&mut rng);
            }
            half += u32::from(done(&to).is_some_and(|done| done > 0 && done < chain.model.size()));
            let begins = fs::read(&to).is_ok_and(|file| file.starts_with(b"vhdxfile"));
            let opens = run("qemu-img", &[&"check", &"-f", &"vhdx", &to]).status.success();
            assert_eq!(opens, begins);
            if begins {
                assert_eq!(hash_by_qemu(&to), expected, "what opens is whole");
            } else {
                unfinished += 1;
                // A reader that rescues opens it a moment before others do, when only its front is missing.
                let rescued = run(PROGRAM, &[&"info", &to]).status.success();
                assert!(!rescued || done(&to) == Some(chain.model.size()));
            }
        }
        let output = export_vhdx(&chain.youngest, &to, &["--resume"]);
        expect_code(&output, 0);
        assert_eq!(told(&output), expected);
        assert_eq!(hash_by_qemu(&to), expected);
        assert_eq!(length(&to), length(&whole), "nothing is left of what was interrupted");
        if round >= 3 && unfinished > 0 && half > 0 {
            return;
        }
        assert!(round < 40, "{unfinished} unfinished, {half} gone on with");
    }
}

#[test]
fn a_destination_without_room_is_told_at_once_and_the_export_goes_on_later() {
    let test = "a_destination_without_room_is_told_at_once_and_the_export_goes_on_later";
    if !rustix::process::geteuid().is_root() {
        return support::skip(test, "only root may mount a tmpfs");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let chain = large_chain(folder.path(), 96 * MIB);
    let expected = hex(Sha256::digest(chain.model.bytes(0, chain.model.size() as usize)));
    for format in ["raw", "vhdx"] {
        let out = tempfile::tempdir().expect("a folder");
        expect_success(&run("mount", &[&"-t", &"tmpfs", &"-o", &"size=10m", &"none", &out.path()]));
        let to = out.path().join(format!("disk.{format}"));
        let full = export(&chain.youngest, &to, &["--format", format]);
        let grown = run("mount", &[&"-o", &"remount,size=100m", &out.path()]);
        let again = export(&chain.youngest, &to, &["--format", format, "--resume"]);
        let opened = (format == "vhdx").then(|| hash_by_own_reader(&to));
        run("umount", &[&out.path()]);
        expect_success(&grown);
        expect_code(&full, 1);
        let told_at_once = said(&full);
        assert!(
            told_at_once.contains("up to 32 MiB are to be written, and the destination has 10 MiB free"),
            "{told_at_once}"
        );
        assert!(told_at_once.contains("the destination is full"), "{told_at_once}");
        expect_code(&again, 0);
        assert!(!said(&again).contains("free"), "{}", said(&again));
        assert_eq!(told(&again), expected);
        assert!(opened.is_none_or(|hash| hash == expected));
    }
}

fn hash_by_own_reader(image: &Path) -> String {
    support::hash_all(&**open_chain(image).disk())
}
