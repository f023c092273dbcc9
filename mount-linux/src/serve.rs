//! The life of a mount: attached, ready, served, ended by an unmount or a signal.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread;

use fuser::{Config, Session, SessionACL};
use log::{debug, info, warn};
use mount_api::{ErrorKind, Kind, NodeId, Tree};

use crate::adapter::Adapter;
use crate::attach::{self, Attached, Watcher, attach};
use crate::detach::{Detach, Refused, detach};
use crate::kept;
use crate::mount_table::{Mount, Place};
use crate::signals::Watch;
use crate::target;
use crate::{MountError, MountErrorKind, Options};

/// How far the kernel reads ahead, where this process may say so; KiB.
const READ_AHEAD_KIB: &str = "1024";

/// How a mount ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum End {
    /// It is gone, and nobody uses it any more.
    Unmounted,
    /// A second signal came while files were still open. They are served until the process exits, which it should do
    /// now; from then on every access to them fails at once.
    Abandoned,
}

enum Event {
    /// The first answer of the mount to an ordinary program.
    Answered(io::Result<()>),
    /// SIGINT, SIGTERM or SIGHUP.
    Signal(i32),
    /// The kernel has closed the connection, or serving failed.
    Ended(io::Result<()>),
}

/// Mounts a tree on an empty folder and serves it; returns when the mount is gone.
///
/// `ready` is called once, when the mount has answered its first question. SIGINT, SIGTERM and SIGHUP unmount (those that
/// the process was started to ignore stay ignored). If the mount is in use then, it is taken out of the tree of folders at
/// once and served until the last open file is closed; a second signal returns [`End::Abandoned`]. After this function has
/// returned, the three signals no longer end the process by themselves.
///
/// A mount of an earlier process that was killed is removed from `target` first. Should this process be killed, open
/// files and the mount fail at once with `ENOTCONN`, they never hang; `fusermount3` then removes the mount if nothing
/// uses it (see [`Options::auto_unmount`]).
///
/// # Errors
/// [`MountError`] says in plain words what is wrong and what to do. Nothing is left mounted then.
pub fn mount(tree: Arc<dyn Tree>, target: &Path, options: &Options, ready: impl FnOnce()) -> Result<End, MountError> {
    check_root(&*tree)?;
    let point = target::prepare(target)?;
    let (events, inbox) = mpsc::channel();
    // Before there is a mount that a signal could leave behind.
    let _signals = Watch::start(events.clone(), Event::Signal).map_err(|error| failed(&point).caused_by(error))?;
    let Attached { device, watcher } = attach(&point, options)?;
    let adapter = Adapter::new(Arc::clone(&tree), options);
    let kept = adapter.kept();
    let serving = Session::from_fd(adapter, device, SessionACL::All, session_config(options)).and_then(|session| {
        let watching = kept::watch(tree, kept, session.notifier())?;
        start(&point, session, &events).map(|()| watching)
    });
    let _watching = match serving {
        Ok(watching) => watching,
        Err(error) => {
            let _ = detach(&point, Detach::Lazily);
            return Err(failed(&point).caused_by(error));
        }
    };
    let mount = Place::find(&point).ok().and_then(|place| place.our_mount().cloned());
    let mut life = Life { point, mount, watcher, read_ahead: !options.direct_io, stopping: false };
    let mut ready = Some(ready);
    let mut unanswered = None;
    for event in inbox {
        match event {
            Event::Answered(Ok(())) => {
                life.set_read_ahead();
                if let Some(ready) = ready.take() {
                    ready();
                }
            }
            Event::Answered(Err(error)) => {
                unanswered = Some(error);
                life.stop();
            }
            Event::Signal(_) if life.stopping => return Ok(life.abandon()),
            Event::Signal(signal) => {
                info!("signal {signal}: unmounting {}", life.point.display());
                life.stop();
            }
            Event::Ended(outcome) => return life.end(outcome, unanswered),
        }
    }
    // Not reached: `events` lives as long as this function.
    Ok(End::Unmounted)
}

/// A tree whose root cannot be read would be a mount that answers nothing.
fn check_root(tree: &dyn Tree) -> Result<(), MountError> {
    let why = match tree.attr(NodeId::ROOT) {
        Ok(attr) if attr.kind == Kind::Directory => return Ok(()),
        Ok(_) => "it is no folder".to_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => "there is none".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(MountError::new(
        MountErrorKind::Root,
        format!("the root folder cannot be shown: {why}"),
        "Mount the disk without its volumes, and read the report for what is damaged.",
    ))
}

fn session_config(options: &Options) -> Config {
    let mut config = Config::default();
    config.n_threads = Some(options.threads.max(1));
    // Each thread opens the device for itself, so this user must be able to: one whom fusermount3 let in need not.
    let access = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK;
    config.clone_fd = rustix::fs::access(attach::DEVICE, access).is_ok();
    config
}

/// Starts serving in a thread, and in another one asks the mount its first question: the call that asks would wait for
/// ever for an answer from its own thread.
fn start(point: &Path, session: Session<Adapter>, events: &Sender<Event>) -> io::Result<()> {
    let ended = events.clone();
    thread::Builder::new().name("mount-session".to_owned()).spawn(move || ended.send(Event::Ended(session.run())))?;
    let (point, answered) = (point.to_owned(), events.clone());
    thread::Builder::new()
        .name("mount-ready".to_owned())
        .spawn(move || answered.send(Event::Answered(std::fs::metadata(point).map(drop))))?;
    Ok(())
}

/// A mount that is being served.
struct Life {
    /// Where it is mounted, without links.
    point: PathBuf,
    /// Its line in the mount table; `None` where `/proc` did not tell.
    mount: Option<Mount>,
    watcher: Option<Watcher>,
    read_ahead: bool,
    stopping: bool,
}

impl Life {
    fn set_read_ahead(&self) {
        let Some(mount) = self.mount.as_ref().filter(|_| self.read_ahead) else { return };
        let setting = format!("/sys/class/bdi/{}/read_ahead_kb", mount.device);
        #[expect(clippy::disallowed_methods, reason = "a setting of the kernel for this mount, not an image")]
        if let Err(error) = std::fs::write(&setting, READ_AHEAD_KIB) {
            debug!("{setting}: {error}; the kernel's default stays");
        }
    }

    /// Begins to unmount. In a thread, for it must not keep a second signal from being seen.
    fn stop(&mut self) {
        self.stopping = true;
        let (point, mount) = (self.point.clone(), self.mount.clone());
        thread::spawn(move || take_down(&point, mount.as_ref()));
    }

    fn abandon(&mut self) -> End {
        warn!("{}: files are still open; they end with this process", self.point.display());
        // Its work begins when this process ends, not before.
        std::mem::forget(self.watcher.take());
        End::Abandoned
    }

    /// The connection is closed. The mount is gone with it, unless serving failed or an administrator cut it.
    fn end(&mut self, outcome: io::Result<()>, unanswered: Option<io::Error>) -> Result<End, MountError> {
        if self.stands() {
            let _ = detach(&self.point, Detach::Lazily);
        }
        match unanswered.map_or(outcome, Err) {
            Ok(()) => Ok(End::Unmounted),
            Err(error) => Err(failed(&self.point).caused_by(error)),
        }
    }

    fn stands(&self) -> bool {
        self.mount.as_ref().is_some_and(Mount::is_known)
            && Place::find(&self.point).is_ok_and(|place| place.our_mount() == self.mount.as_ref())
    }
}

/// Unmounts; if something uses the mount, takes it out of the tree of folders and leaves it to its users.
fn take_down(point: &Path, mount: Option<&Mount>) {
    let shown = point.display();
    let found = Place::find(point);
    if mount.is_some() && found.as_ref().is_ok_and(|place| place.our_mount() != mount) {
        return warn!("{shown}: another mount lies over this one; unmount that first, or signal again to end at once");
    }
    let outcome = match detach(point, Detach::WhenIdle) {
        Err(Refused::Busy) => {
            warn!("{shown}: in use; serving what is open until it is closed. Signal again to end at once");
            detach(point, Detach::Lazily)
        }
        outcome => outcome,
    };
    if let Err(refused) = outcome {
        warn!("{shown}: cannot be unmounted: {refused}. Signal again to end at once");
    }
}

fn failed(point: &Path) -> MountError {
    MountError::new(
        MountErrorKind::Failed,
        format!("serving {} failed", point.display()),
        "Try again with the log at debug level, and see what the kernel says: dmesg | tail",
    )
}
