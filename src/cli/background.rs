//! A mount in the background: the program starts itself once more and returns when the mount stands.
//!
//! The second process reports through its stdout: one byte when the mount answers, the end of the file when it failed. Its
//! errors go to the stderr of the first, until the mount stands.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use super::outcome::{Failure, Outcome};
use platform::Errors;

/// What the second process writes when the mount answers.
const READY: u8 = b'+';

/// Starts the process that serves the mount, and waits until it stands or has failed.
pub(crate) fn start() -> Result<Outcome, Failure> {
    let cannot = |error: std::io::Error| Failure::new(format!("the background process cannot be started: {error}"));
    let mut args = std::env::args_os().skip(1).peekable();
    // The command, where it was typed, is always the first.
    let word = args.next_if(|word| word == "mount");
    let mut command = Command::new(std::env::current_exe().map_err(cannot)?);
    // Before the others: behind a `--` it would be taken for a path.
    command.args(word).arg("--detached").args(args).stdin(Stdio::null()).stdout(Stdio::piped());
    platform::part(&mut command);
    let mut child = command.spawn().map_err(cannot)?;
    let errors = Errors::pass_on(&mut child);
    let mut byte = [0];
    let told = child.stdout.take().map(|mut pipe| pipe.read_exact(&mut byte));
    let stands = matches!(told, Some(Ok(()))) && byte == [READY];
    errors.wait();
    if stands {
        return Ok(Outcome::Well);
    }
    let status = child.wait().map_err(cannot)?;
    // It has told why, on stderr.
    std::process::exit(status.code().filter(|code| *code != 0).unwrap_or(1));
}

/// Writes the byte; whether somebody was there to read it.
fn write_ready() -> bool {
    let mut stdout = std::io::stdout();
    stdout.write_all(&[READY]).and_then(|()| stdout.flush()).is_ok()
}

pub(crate) use platform::tell_ready;

#[cfg(target_os = "linux")]
mod platform {
    use std::os::fd::AsFd;
    use std::process::{Child, Command};

    use super::write_ready;

    /// Both processes write to one stderr.
    pub(super) struct Errors;

    impl Errors {
        pub(super) fn pass_on(_: &mut Child) -> Self {
            Errors
        }

        pub(super) fn wait(self) {}
    }

    /// The second process parts from the terminal when the mount stands; until then Ctrl-C ends both.
    pub(super) fn part(_: &mut Command) {}

    /// Tells the first process that the mount stands, and lets go of everything that belongs to its terminal. The mount goes
    /// on though nobody hears of it.
    pub(crate) fn tell_ready() -> bool {
        let _ = rustix::process::setsid();
        let _ = std::env::set_current_dir("/");
        write_ready();
        if let Ok(null) = null() {
            let _ = rustix::stdio::dup2_stdout(null.as_fd());
            let _ = rustix::stdio::dup2_stderr(null.as_fd());
        }
        true
    }

    #[expect(clippy::disallowed_methods, reason = "/dev/null is no image")]
    fn null() -> rustix::io::Result<std::os::fd::OwnedFd> {
        use rustix::fs::{Mode, OFlags};
        rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
    }
}

#[cfg(windows)]
mod platform {
    use std::io::{BufRead, BufReader, Write};
    use std::os::windows::process::CommandExt;
    use std::process::{Child, ChildStderr, Command, Stdio};
    use std::thread::JoinHandle;

    use super::write_ready;

    const DETACHED_PROCESS: u32 = 0x8;
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;

    /// The errors of the second process, which has no console to write them to.
    pub(super) struct Errors(Option<JoinHandle<()>>);

    impl Errors {
        /// Writes them to our stderr from now on.
        pub(super) fn pass_on(child: &mut Child) -> Self {
            let pass_on = |pipe: ChildStderr| {
                let mut lines = BufReader::new(pipe);
                let mut line = Vec::new();
                // By lines, for a console takes whole characters only.
                while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                    let _ = std::io::stderr().write_all(String::from_utf8_lossy(&line).as_bytes());
                    line.clear();
                }
            };
            Errors(child.stderr.take().and_then(|pipe| {
                std::thread::Builder::new().name("background-errors".to_owned()).spawn(move || pass_on(pipe)).ok()
            }))
        }

        /// Waits until they end.
        pub(super) fn wait(self) {
            let _ = self.0.map(JoinHandle::join);
        }
    }

    /// Gives the second process neither our console nor what we were given as outputs: it outlives us.
    pub(super) fn part(command: &mut Command) {
        mount_windows::keep_standard_handles();
        command.stderr(Stdio::piped()).creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP);
    }

    /// Tells the first process that the mount stands, lets go of its outputs and of the folder it was started in. False where
    /// the first process is gone: then nobody knows of the mount.
    pub(crate) fn tell_ready() -> bool {
        if let Some(windows) = std::env::var_os("SystemRoot") {
            let _ = std::env::set_current_dir(windows);
        }
        mount_windows::close_standard_error();
        let told = write_ready();
        mount_windows::close_standard_output();
        told
    }
}
