//! The life of a mount: attached, ready, served, ended by the console, by `unmount` or by WinFsp.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use log::{info, warn};
use mount_api::{ErrorKind, Kind, NodeId, Tree};
use winfsp::host::FileSystemHost;

use crate::adapter::Adapter;
use crate::console::ConsoleWatch;
use crate::security::Descriptor;
use crate::set_aside::SetAside;
use crate::stop_event::{self, Asked, StopEvent};
use crate::target::Target;
use crate::{MountError, MountErrorKind, Options, library, volume};

/// What ends a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// Ctrl-C, or the console goes.
    Console,
    /// `unmount` in another process.
    Asked,
    /// WinFsp stopped serving.
    Stopped {
        /// Not because its driver went away.
        normally: bool,
    },
}

/// Mounts `tree` at `target`, a free drive letter (`X:`, or `\\.\X:` for all users) or a folder that is empty or does not
/// exist yet, calls `ready` when it stands, and returns when it is unmounted, at once if `ready` breaks off.
///
/// # Errors
/// Without WinFsp ([`MountErrorKind::NoWinFsp`]), at a target that cannot be used, for a tree without a root, and what
/// WinFsp refuses. Nothing stays mounted then.
pub fn mount(
    tree: Arc<dyn Tree>,
    target: &Path,
    options: &Options,
    ready: impl FnOnce() -> ControlFlow<()>,
) -> Result<(), MountError> {
    library::load(options.library.as_deref())?;
    check_root(&*tree)?;
    let place = Target::of(target)?;
    place.check()?;
    let (events, inbox) = mpsc::channel();
    let stop = Stop::start(&place, events.clone())?;
    // Before there is a mount that Ctrl-C could leave behind.
    let console = ConsoleWatch::start({
        let events = events.clone();
        move |_| {
            let _ = events.send(Event::Console);
        }
    })
    .map_err(|error| failed(target).caused_by(error))?;
    let descriptor = Descriptor::new(options.allow_other).map_err(|error| failed(target).caused_by(error))?;
    let params = volume::params(&*tree, options);
    let adapter = Adapter::new(tree, options, descriptor, events);
    // Declared before the host, so that it ends after it.
    let aside = place.folder().map(SetAside::take).transpose()?.flatten();
    let mut host: FileSystemHost<Adapter> = FileSystemHost::new(params, adapter).map_err(|error| {
        MountError::new(
            MountErrorKind::Failed,
            "WinFsp does not make a volume; its driver may not be running",
            "Restart Windows after installing WinFsp, or install it again.",
        )
        .caused_by(error)
    })?;
    host.mount(place.spelled()).map_err(|error| failed(target).caused_by(error))?;
    host.start_with_threads(options.threads).map_err(|error| failed(target).caused_by(error))?;
    let outcome = match ready() {
        ControlFlow::Break(()) => Ok(Event::Asked),
        ControlFlow::Continue(()) => inbox.recv(),
    };
    let outcome = match outcome {
        Ok(Event::Stopped { normally: false }) => Err(failed(target).caused_by("WinFsp's driver stopped serving")),
        Ok(event) => {
            info!("{event:?}: unmounting {}", target.display());
            Ok(())
        }
        // Not reached: the adapter holds a sender.
        Err(_) => Ok(()),
    };
    // Takes the mount point away, lets requests that are under way end, and stops.
    drop(host);
    drop(aside);
    // Only now may somebody who waits for the end hear of it.
    drop(stop);
    drop(console);
    outcome
}

/// Takes down the mount at `target`, which another process serves. Files that are open there fail from then on.
///
/// # Errors
/// Where no mount of this program stands at the target, or not one that this user may end, or it does not end in time.
pub fn unmount(target: &Path) -> Result<(), MountError> {
    let shown = target.display();
    match stop_event::ask(&Target::of(target)?) {
        Asked::Ended => Ok(()),
        Asked::NoMount => Err(MountError::new(
            MountErrorKind::NotMounted,
            format!("no mount of vhdx-mount stands at {shown}"),
            "Give the drive letter or the folder as it was given when it was mounted.",
        )),
        Asked::NotPermitted => Err(MountError::new(
            MountErrorKind::NotPermitted,
            format!("the mount at {shown} belongs to another user, or to an administrator"),
            "Unmount it as who mounted it, or from a prompt with administrator rights.",
        )),
        Asked::StillThere => Err(MountError::new(
            MountErrorKind::Busy,
            format!("the mount at {shown} was asked to end and still stands"),
            "Wait for reads that are under way, or end its process: Windows then takes the mount down.",
        )),
    }
}

/// Asks the tree for what every use of a mount begins with.
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

fn failed(target: &Path) -> MountError {
    MountError::new(
        MountErrorKind::Failed,
        format!("{} cannot be mounted", target.display()),
        "Try another drive letter, and see whether WinFsp's own samples mount on this machine.",
    )
}

/// Waits for `unmount` in another process.
struct Stop {
    event: Arc<StopEvent>,
    waiting: Option<JoinHandle<()>>,
}

impl Stop {
    fn start(place: &Target, events: mpsc::Sender<Event>) -> Result<Self, MountError> {
        let shown = Path::new(place.spelled()).display();
        let failed = |error| failed(Path::new(place.spelled())).caused_by(error);
        let event = StopEvent::create(place).map_err(failed)?.ok_or_else(|| {
            MountError::new(
                MountErrorKind::TargetInUse,
                format!("{shown} already holds a mount of vhdx-mount"),
                format!("Name another place, or unmount it first: vhdx-mount unmount {shown}"),
            )
        })?;
        let event = Arc::new(event);
        let waits = Arc::clone(&event);
        let wait = move || {
            if waits.wait() {
                let _ = events.send(Event::Asked);
            }
        };
        let waiting = thread::Builder::new().name("mount-unmount".to_owned()).spawn(wait).map_err(failed)?;
        Ok(Stop { event, waiting: Some(waiting) })
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        self.event.set();
        if let Some(waiting) = self.waiting.take()
            && waiting.join().is_err()
        {
            warn!("the thread that waits for unmount panicked");
        }
    }
}
