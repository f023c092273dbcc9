//! A mount in the background: the program starts itself once more and returns when the mount stands.
//!
//! The second process reports through its stdout: one byte when the mount answers, the end of the file when it failed. Its
//! errors go to the stderr that both share, until the mount stands.

use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use super::outcome::{Failure, Outcome};

/// What the second process writes when the mount answers.
const READY: u8 = b'+';

/// Starts the process that serves the mount, and waits until it stands or has failed.
pub(crate) fn start() -> Result<Outcome, Failure> {
    let cannot = |error: std::io::Error| Failure::new(format!("the background process cannot be started: {error}"));
    let mut args = std::env::args_os().skip(1).peekable();
    // The command, where it was typed, is always the first.
    let word = args.next_if(|word| word == "mount");
    let mut child = Command::new(std::env::current_exe().map_err(cannot)?)
        .args(word)
        // Before the others: behind a `--` it would be taken for a path.
        .arg("--detached")
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(cannot)?;
    let mut byte = [0];
    let told = child.stdout.take().map(|mut pipe| pipe.read_exact(&mut byte));
    if matches!(told, Some(Ok(()))) && byte == [READY] {
        return Ok(Outcome::Well);
    }
    let status = child.wait().map_err(cannot)?;
    // It has told why, on stderr.
    std::process::exit(status.code().filter(|code| *code != 0).unwrap_or(1));
}

/// Tells the first process that the mount stands, and lets go of everything that belongs to its terminal.
pub(crate) fn tell_ready() {
    let _ = rustix::process::setsid();
    let _ = std::env::set_current_dir("/");
    let mut stdout = std::io::stdout();
    let _ = stdout.write_all(&[READY]).and_then(|()| stdout.flush());
    if let Ok(null) = null() {
        let _ = rustix::stdio::dup2_stdout(null.as_fd());
        let _ = rustix::stdio::dup2_stderr(null.as_fd());
    }
}

#[expect(clippy::disallowed_methods, reason = "/dev/null is no image")]
fn null() -> rustix::io::Result<std::os::fd::OwnedFd> {
    use rustix::fs::{Mode, OFlags};
    rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}
