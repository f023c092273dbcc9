//! Mounting on Windows, as far as it goes without WinFsp's driver: the program, and a DLL in WinFsp's place.
#![cfg(windows)]
#![expect(clippy::disallowed_methods, reason = "puts the program and the DLL into a folder of their own")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fixtures::chain::RandomChain;
use fixtures::fill::Fill;
use fixtures::vhdx::{Image, MIB};

const PROGRAM: &str = env!("CARGO_BIN_EXE_vhdx-mount");
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder with the program and an image; the DLL only where it is asked for.
struct Installed {
    folder: tempfile::TempDir,
}

impl Installed {
    fn new(with_dll: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::copy(PROGRAM, folder.path().join("vhdx-mount.exe")).expect("a copy");
        if with_dll {
            fs::copy(stand_in(), folder.path().join("winfsp-x64.dll")).expect("a copy");
        }
        let image = Image::fixed(8 * MIB, 2 * MIB as u32, &Fill::live(0));
        image.write_to(&folder.path().join("disk.vhdx")).expect("an image is written");
        Installed { folder }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.folder.path().join("vhdx-mount.exe"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        told(&self.command(arguments).output().expect("the program runs"))
    }

    fn image(&self) -> String {
        self.folder.path().join("disk.vhdx").to_string_lossy().into_owned()
    }

    /// Unmounts as soon as the mount stands.
    fn unmount(&self, target: &str, serving: &mut Child) {
        let began = Instant::now();
        loop {
            let (code, text) = self.run(&["unmount", target]);
            if code == Some(0) {
                return;
            }
            assert!(text.contains("no mount of vhdx-mount stands at"), "{text}");
            let ended = serving.try_wait().expect("a child");
            assert!(ended.is_none() && began.elapsed() < PATIENCE, "it never stood: {ended:?}");
            sleep(Duration::from_millis(50));
        }
    }
}

fn told(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The DLL, which cargo builds beside this program.
fn stand_in() -> PathBuf {
    let program = std::env::current_exe().expect("this program");
    let found =
        program.ancestors().skip(1).map(|folder: &Path| folder.join("winfsp_x64.dll")).find(|dll| dll.is_file());
    found.expect("the stand-in for WinFsp")
}

#[test]
fn without_winfsp_the_program_says_what_to_install_and_does_all_else() {
    let installed = Installed::new(false);
    let (code, text) = installed.run(&[&installed.image(), "T:"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("WinFsp is not installed") && text.contains("https://winfsp.dev"), "{text}");
    let (code, text) = installed.run(&["info", &installed.image()]);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_mount_is_taken_down_from_another_process_and_leaves_the_image_as_it_was() {
    let installed = Installed::new(true);
    let before = fs::read(installed.image()).expect("the image");
    for target in ["U:", "u:\\"] {
        let mut serving = installed.command(&[&installed.image(), target]).spawn().expect("the program runs");
        installed.unmount("U:", &mut serving);
        let (code, text) = told(&serving.wait_with_output().expect("its end"));
        assert_eq!(code, Some(0), "{text}");
    }
    assert!(fs::read(installed.image()).expect("the image") == before);
}

#[test]
fn what_cannot_be_a_target_is_refused() {
    let installed = Installed::new(true);
    let folder = installed.folder.path().to_string_lossy().into_owned();
    let (code, text) = installed.run(&[&installed.image(), &folder]);
    assert_eq!(code, Some(1));
    assert!(text.contains("exists already, and is not empty"), "{text}");
    let (code, text) = installed.run(&[&installed.image(), &format!("{folder}\\no\\such")]);
    assert_eq!(code, Some(1));
    assert!(text.contains("neither a drive letter nor a folder"), "{text}");
}

#[test]
fn what_windows_cannot_do_is_refused_and_not_left_out() {
    let installed = Installed::new(true);
    let (code, text) = installed.run(&[&installed.image(), "T:", "--streams"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("Windows shows named streams by itself"), "{text}");
    let (code, text) = installed.run(&["unmount", "T:", "--lazy"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("no open file outlives its mount"), "{text}");
}

#[test]
fn a_mount_in_the_background_stands_when_the_command_returns_and_goes_on() {
    let installed = Installed::new(true);
    let empty = installed.folder.path().join("empty");
    fs::create_dir(&empty).expect("a folder");
    let empty = empty.to_string_lossy().into_owned();
    for target in ["W:", &empty] {
        // All that it prints is read to its end, which the process that goes on must not hold open.
        let (code, text) = installed.run(&[&installed.image(), target, "--background"]);
        assert_eq!((code, text.as_str()), (Some(0), ""), "{target}");
        let (code, text) = installed.run(&[&installed.image(), target, "--background"]);
        assert_eq!(code, Some(1), "the first one serves: {text}");
        let (code, text) = installed.run(&["unmount", target]);
        assert_eq!(code, Some(0), "{text}");
        let (code, text) = installed.run(&["unmount", target]);
        assert!(code == Some(1) && text.contains("no mount of vhdx-mount stands at"), "{text}");
    }
    assert_eq!(fs::read_dir(&empty).expect("the folder is back").count(), 0);
}

#[test]
fn a_mount_in_the_background_that_fails_says_why() {
    let installed = Installed::new(false);
    let (code, text) = installed.run(&[&installed.image(), "T:", "--background"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("WinFsp is not installed") && text.contains("try"), "{text}");
    let (code, text) = installed.run(&["mount", "no-such-image.vhdx", "T:", "--background"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("no-such-image.vhdx"), "{text}");
}

#[test]
fn an_image_far_down_in_folders_opens() {
    let installed = Installed::new(false);
    let deep = (0..12).fold(installed.folder.path().to_owned(), |folder, _| folder.join("a folder with a long name"));
    fs::create_dir_all(&deep).expect("folders");
    let image = deep.join("disk.vhdx");
    fs::copy(installed.image(), &image).expect("a copy");
    let image = image.to_string_lossy().into_owned();
    assert!(image.len() > 300);
    for path in [image.clone(), format!(r"\\?\{image}")] {
        let (code, text) = installed.run(&["info", &path]);
        assert_eq!(code, Some(0), "{text}");
    }
}

#[test]
fn everything_that_is_read_through_the_mount_is_right() {
    let installed = Installed::new(true);
    let images = tempfile::tempdir().expect("a folder");
    let chain = RandomChain { links: 4, virtual_size: 16 * MIB, ..RandomChain::new(77) };
    let chain = chain.write(images.path()).expect("a chain is written");
    let youngest = chain.youngest.to_string_lossy().into_owned();
    let copies = images.path().join("copies");
    let mut command = installed.command(&[&youngest, "V:"]);
    let mut serving = command.env("WINFSP_STAND_IN_COPIES_TO", &copies).spawn().expect("the program runs");
    let (done, began) = (images.path().join("copies.done"), Instant::now());
    while !done.exists() {
        let ended = serving.try_wait().expect("a child");
        assert!(ended.is_none() && began.elapsed() < PATIENCE, "all was not read: {ended:?}");
        sleep(Duration::from_millis(50));
    }
    // It may be there before it is filled.
    sleep(Duration::from_millis(100));
    assert_eq!(fs::read_to_string(&done).expect("the outcome"), "Ok(())");
    installed.unmount("V:", &mut serving);
    let disk = fs::read(copies.join("disk.raw")).expect("the disk");
    assert_eq!(disk.len() as u64, chain.model.size());
    chain.model.compare(0, &disk).unwrap_or_else(|why| panic!("{why}\n{}", chain.description));
    let told = installed.command(&["info", "--json", &youngest]).output().expect("the program runs");
    let [told, report] = [told.stdout, fs::read(copies.join("report.json")).expect("the report")]
        .map(|json| serde_json::from_slice::<serde_json::Value>(&json).expect("JSON"));
    assert_eq!(told, report, "info --json and report.json are one object");
}
