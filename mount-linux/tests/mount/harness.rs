//! Mounts a sample tree in a process of its own, and never leaves a mount or a process behind.
//!
//! The serving process is this test program again, told by its environment to serve ([`serve`]), so that a test can send
//! it signals and kill it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use mount_api::{Case, LostReads};
use mount_linux::{End, Options};
use rustix::process::{Pid, Signal};

use crate::samples;

/// How long anything may take before it counts as hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const TREE: &str = "MOUNT_TEST_TREE";
const TARGET: &str = "MOUNT_TEST_TARGET";
const OPTIONS: &str = "MOUNT_TEST_OPTIONS";

/// What the serving process prints on a line of its own.
pub(crate) const READY: &str = "READY";

/// Not a test: the process that serves, when the environment says so.
#[test]
fn serve() {
    let (Ok(tree), Ok(target)) = (std::env::var(TREE), std::env::var(TARGET)) else { return };
    log::set_logger(&Stderr).unwrap();
    log::set_max_level(log::LevelFilter::Info);
    let options = parse_options(&std::env::var(OPTIONS).unwrap_or_default());
    let tree = Arc::new(samples::tree(&tree));
    let ready = || {
        println!("\n{READY}");
        std::io::stdout().flush().unwrap();
    };
    match mount_linux::mount(tree, Path::new(&target), &options, ready) {
        Ok(End::Unmounted) => println!("\nUNMOUNTED"),
        Ok(End::Abandoned) => std::process::exit(3),
        Err(error) => {
            println!("\nFAILED {:?}: {error} / {}", error.kind(), error.advice());
            std::process::exit(4);
        }
    }
}

fn parse_options(words: &str) -> Options {
    let mut options = Options::default();
    for word in words.split(';').filter(|word| !word.is_empty()) {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "allow-other" => options.allow_other = true,
            "direct-io" => options.direct_io = true,
            "streams" => options.list_streams = true,
            "lost-as-zeros" => options.lost = LostReads::Zeros,
            "insensitive" => options.case = Case::Insensitive,
            "no-auto-unmount" => options.auto_unmount = false,
            "threads" => options.threads = value.parse().unwrap(),
            "uid" => options.uid = value.parse().unwrap(),
            "gid" => options.gid = value.parse().unwrap(),
            "file-mode" => options.file_mode = u16::from_str_radix(value, 8).unwrap(),
            "dir-mode" => options.dir_mode = u16::from_str_radix(value, 8).unwrap(),
            "name" => options.fs_name = value.to_owned(),
            other => panic!("no option {other}"),
        }
    }
    options
}

/// Writes the log to standard error, one line each.
struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("{} {}: {}", record.level(), record.target(), record.args());
    }

    fn flush(&self) {}
}

/// A folder that is removed with all that is in it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("mount-linux-test-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn make(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir(&path).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing below can be a mount of a living tree, and those cannot be written to.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The serving process.
pub(crate) struct Server {
    child: Child,
    lines: mpsc::Receiver<String>,
    log: PathBuf,
}

impl Server {
    /// Starts to serve; does not wait for anything.
    pub(crate) fn start(tree: &str, target: &Path, options: &str, log: PathBuf) -> Self {
        Self::spawn(serving_command(tree, target, options), log)
    }

    pub(crate) fn spawn(mut command: Command, log: PathBuf) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log).unwrap()).spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Server { child, lines, log }
    }

    /// Waits for a line that begins like this.
    pub(crate) fn line(&self, start: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            if line.starts_with(start) {
                return line;
            }
            seen.push(line);
        }
        panic!("the server never said {start}, but: {seen:#?}\n{}", self.log());
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the process to end; its exit code, `None` if a signal ended it.
    pub(crate) fn exit_code(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the server does not end\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This test program, told to serve.
pub(crate) fn serving_command(tree: &str, target: &Path, options: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "harness::serve", "--nocapture", "--test-threads=1"]);
    command.env(TREE, tree).env(TARGET, target).env(OPTIONS, options).env_remove("RUST_BACKTRACE");
    command
}

/// A mounted sample tree.
pub(crate) struct Mounted {
    pub(crate) server: Server,
    point: PathBuf,
    folder: Folder,
    _watchdog: mpsc::Sender<()>,
}

impl Mounted {
    pub(crate) fn new(tree: &str) -> Self {
        Self::with(tree, "")
    }

    pub(crate) fn with(tree: &str, options: &str) -> Self {
        let folder = Folder::new();
        let point = folder.make("mount point");
        let server = Server::start(tree, &point, options, folder.path().join("log"));
        server.line(READY);
        let watchdog = watch(Pid::from_child(&server.child));
        Mounted { server, point, folder, _watchdog: watchdog }
    }

    /// A path below the mount point.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.point.join(name)
    }

    pub(crate) fn point(&self) -> &Path {
        &self.point
    }

    /// A folder of the host beside the mount point, for what a test makes.
    pub(crate) fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// Lines of the log that are warnings or errors.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.server.log();
        log.lines().filter(|line| line.starts_with("WARN") || line.starts_with("ERROR")).map(str::to_owned).collect()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        detach(&self.point);
        // It ends by itself now, unless a failed test left it otherwise; then it is killed.
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline && self.server.is_running() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A test's own calls on a mount have no timeout, so whoever hangs is helped by the death of the server.
fn watch(server: Pid) -> mpsc::Sender<()> {
    let (alive, ended) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        if ended.recv_timeout(3 * PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            eprintln!("a test hangs: killing the server");
            let _ = rustix::process::kill_process(server, Signal::KILL);
            if ended.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
                eprintln!("the test goes on for ever");
                std::process::abort();
            }
        }
    });
    alive
}

/// Takes down whatever is mounted, without waiting for it.
pub(crate) fn detach(point: &Path) {
    let flags = rustix::mount::UnmountFlags::DETACH | rustix::mount::UnmountFlags::NOFOLLOW;
    while rustix::mount::unmount(point, flags).is_ok() {}
}

/// The lines of the mount table for a mount point.
pub(crate) fn mounts_at(point: &Path) -> Vec<String> {
    let point = point.to_str().unwrap().replace(' ', r"\040");
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    table.lines().filter(|line| line.split(' ').nth(4) == Some(&point)).map(str::to_owned).collect()
}

/// Waits until something holds.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a tool to its end, at most [`PATIENCE`].
pub(crate) fn run(program: &str, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["-k", "5", &PATIENCE.as_secs().to_string(), program]).env("LC_ALL", "C");
    command.args(arguments.iter().map(|argument| argument.as_ref()));
    command.stdin(Stdio::null()).output().unwrap()
}

/// Runs a tool that must succeed; what it printed.
pub(crate) fn succeed(program: &str, arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> String {
    let output = run(program, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {}: {said}", output.status);
    assert_eq!(said, "", "{program} complained");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether a test can run here: as root, with FUSE and these programs. Says so if not; fails where skips are forbidden.
pub(crate) fn can(test: &str, programs: &[&str]) -> bool {
    let root = rustix::process::geteuid().is_root();
    let found = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    let missing = programs.iter().find(|program| !found(program));
    let why = match (root, Path::new("/dev/fuse").exists(), missing) {
        (true, true, None) => return true,
        (false, ..) => "not root".to_owned(),
        (_, false, _) => "no /dev/fuse".to_owned(),
        (.., Some(program)) => format!("no {program}"),
    };
    skip(test, &why);
    false
}

pub(crate) fn skip(test: &str, why: &str) {
    // Not by println, which the test runner keeps to itself where a test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
    assert!(std::env::var_os("VHDX_MOUNT_FORBID_SKIPS").is_none(), "{test} was skipped: {why}");
}
