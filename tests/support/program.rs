//! Running the program and the tools around it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::skip;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_vhdx-mount");

/// Runs a command to its end, a minute at most; gives what it printed.
pub(crate) fn run(program: &str, args: &[&dyn AsRef<OsStr>]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["--kill-after=5", "60", program]);
    command.args(args.iter().map(|arg| arg.as_ref())).stdin(Stdio::null());
    command.output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Panics with what the command said, unless it succeeded.
#[track_caller]
pub(crate) fn expect_success(output: &Output) {
    let said = [&output.stderr, &output.stdout].map(|text| String::from_utf8_lossy(text).into_owned()).join("\n");
    assert!(output.status.success(), "{:?}\n{}", output.status, said.chars().take(2000).collect::<String>());
}

/// Whether a tool is there; says that the test is skipped where it is not.
pub(crate) fn has(test: &str, tool: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {tool}")]).stdout(Stdio::null()).status();
    let found = found.is_ok_and(|status| status.success());
    if !found {
        skip(test, &format!("{tool} is not installed"));
    }
    found
}

/// Whether this process may mount at all.
pub(crate) fn can_mount(test: &str) -> bool {
    let can = File::open("/dev/fuse").is_ok() && (rustix::process::geteuid().is_root() || has(test, "fusermount3"));
    if !can {
        skip(test, "/dev/fuse cannot be opened");
    }
    can
}

/// A mount of the program in the background, taken down when dropped.
pub(crate) struct Mounted {
    pub(crate) at: PathBuf,
    _folder: tempfile::TempDir,
}

impl Mounted {
    pub(crate) fn new(image: &Path, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path().join("m");
        fs::create_dir(&at).expect("a mount point");
        let mut args: Vec<&dyn AsRef<OsStr>> = vec![&image, &at];
        args.extend(more.iter().map(|arg| arg as &dyn AsRef<OsStr>));
        expect_success(&run(PROGRAM, &args));
        Mounted { at, _folder: folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.at.join(name)
    }

    /// The process that serves it.
    pub(crate) fn server(&self) -> i32 {
        let processes = fs::read_dir("/proc").expect("the processes").flatten();
        let serves = |pid: &i32| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let arguments: Vec<&[u8]> = arguments.split(|byte| *byte == 0).collect();
            arguments.contains(&&b"--detached"[..]) && arguments.contains(&self.at.as_os_str().as_encoded_bytes())
        };
        let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.find(serves).expect("a serving process")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", &[&"--lazy", &"--quiet", &self.at]);
    }
}

/// Unmounts by `umount`. Others on the machine may look at a mount for a moment and so keep it busy.
pub(crate) fn unmount(at: &Path) {
    wait_until("an unmount", || run("umount", &[&at]).status.success());
}

/// Whether nothing is mounted there.
pub(crate) fn is_gone(at: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/mounts").expect("the mounts");
    !mounts.lines().any(|line| line.split(' ').nth(1) == at.to_str())
}

/// Waits until something holds; a test that waits longer than 20 s has failed.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what} did not come to pass");
        std::thread::sleep(Duration::from_millis(10));
    }
}
