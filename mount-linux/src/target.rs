//! Whether a folder can be mounted on.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use log::{info, warn};
use rustix::io::Errno;

use crate::detach::{Detach, detach};
use crate::mount_table::Place;
use crate::{MountError, MountErrorKind};

/// How long a mount that stands at the target may take to say whether it lives.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long the watcher of a mount needs at most to remove it, when its process was killed.
const WATCHER_AT_WORK: Duration = Duration::from_millis(200);

/// How often a target is looked at, at most: once more for each dead mount, they can lie one over the other, and each
/// time that somebody mounts or unmounts there meanwhile.
const LOOKS: usize = 16;

/// Looks at a target before anything is mounted on it: it must be an empty folder. A mount of ours whose process was
/// killed is removed first. Returns its path, absolute and without links.
pub(crate) fn prepare(target: &Path) -> Result<PathBuf, MountError> {
    for _ in 0..LOOKS {
        let place = Place::find(target).map_err(|error| unreachable_target(target, error))?;
        let answer = ask(&place.path);
        if is_changed(target, &place) {
            continue;
        }
        match answer {
            Some(Err(error)) if is_dead(&error) => remove_dead_mount(target, &place, error)?,
            Some(Ok(())) if place.our_mount().is_none() => {
                return check_empty_folder(target, &place.path).map(|()| place.path);
            }
            Some(Err(error)) if place.our_mount().is_none() => return Err(unreachable_target(target, error)),
            _ => return Err(in_use(target, &place)),
        }
    }
    Err(dead(target, "mounts that no longer answer lie on it one over the other"))
}

/// Whether the file system at `path` answers; `None` if it does not within [`PATIENCE`].
fn ask(path: &Path) -> Option<io::Result<()>> {
    let (sender, answer) = mpsc::channel();
    let path = path.to_owned();
    // What `stat` would say, the kernel may remember of a mount long dead; this it asks each time. In a thread of its own:
    // if the other end hangs, so does the call, and no signal ends it.
    thread::spawn(move || sender.send(rustix::fs::statvfs(path).map(drop).map_err(io::Error::from)));
    answer.recv_timeout(PATIENCE).ok()
}

/// Whether another mount stands at the target by now.
fn is_changed(target: &Path, place: &Place) -> bool {
    Place::find(target).is_ok_and(|now| now.mount != place.mount)
}

/// What every access to a FUSE mount gives whose process is gone.
fn is_dead(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::NOTCONN.raw_os_error())
}

fn remove_dead_mount(target: &Path, place: &Place, error: io::Error) -> Result<(), MountError> {
    let Some(mount) = place.our_mount() else {
        return Err(dead(target, "a mount that no longer answers, not one of this program").caused_by(error));
    };
    // Its watcher (`attach`) may be at work on it: two would be one too many, should a new mount come between.
    thread::sleep(WATCHER_AT_WORK);
    if is_changed(target, place) {
        return Ok(());
    }
    info!("{}: removing the mount of {}, whose process was killed", target.display(), mount.source);
    detach(&place.path, Detach::Lazily).map_err(|refused| {
        warn!("{}: {refused}", target.display());
        dead(target, "a mount that no longer answers and could not be removed").caused_by(io::Error::from(refused))
    })
}

fn check_empty_folder(target: &Path, path: &Path) -> Result<(), MountError> {
    let unreadable = |error| unreachable_target(target, error);
    if !std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Err(MountError::new(
            MountErrorKind::TargetNotADirectory,
            format!("{} is not a folder", target.display()),
            "Name an empty folder to mount on.",
        ));
    }
    match std::fs::read_dir(path).map_err(unreadable)?.next() {
        None => Ok(()),
        Some(_) => Err(MountError::new(
            MountErrorKind::TargetNotEmpty,
            format!("{} is not empty; a mount would hide what is in it", target.display()),
            "Name an empty folder to mount on.",
        )),
    }
}

fn unreachable_target(target: &Path, error: io::Error) -> MountError {
    let shown = target.display();
    match error.kind() {
        io::ErrorKind::NotFound => MountError::new(
            MountErrorKind::TargetMissing,
            format!("{shown} does not exist"),
            format!("Create it first: mkdir -p '{shown}'"),
        ),
        io::ErrorKind::NotADirectory => MountError::new(
            MountErrorKind::TargetNotADirectory,
            format!("{shown}: a part of the path is not a folder"),
            "Name an empty folder to mount on.",
        ),
        _ if is_dead(&error) => dead(target, "a mount that no longer answers").caused_by(error),
        _ => MountError::new(
            MountErrorKind::TargetUnreadable,
            format!("{shown} cannot be looked at"),
            "Name an empty folder that you may read.",
        )
        .caused_by(error),
    }
}

fn in_use(target: &Path, place: &Place) -> MountError {
    let shown = target.display();
    let source = place.mount.as_ref().map_or("a file system that does not answer", |mount| mount.source.as_str());
    MountError::new(
        MountErrorKind::TargetInUse,
        format!("{shown} already holds a mount: {source}"),
        format!("Name another folder, or unmount it first: fusermount3 -u '{shown}' (as root: umount '{shown}')"),
    )
}

fn dead(target: &Path, what: &str) -> MountError {
    let shown = target.display();
    MountError::new(
        MountErrorKind::TargetDead,
        format!("{shown} is, or lies in, {what}"),
        format!("Remove it first: fusermount3 -u -z '{shown}' (as root: umount -l '{shown}')"),
    )
}
