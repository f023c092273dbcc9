//! Taking a mount down.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::Stdio;

use rustix::io::Errno;
use rustix::mount::UnmountFlags;

use crate::attach;
use crate::mount_table::Place;
use crate::{MountError, MountErrorKind};

/// When a mount is taken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detach {
    /// Only if nothing uses it.
    WhenIdle,
    /// At once out of the tree of folders; what is open stays readable until it is closed.
    Lazily,
}

/// Takes down the mount at `target`, whichever process serves it; that process then ends by itself.
///
/// # Errors
/// [`MountErrorKind::NotMounted`] if no mount of this program stands there, [`MountErrorKind::Busy`] if something uses it
/// and `when` is [`Detach::WhenIdle`], [`MountErrorKind::NotPermitted`] if it is another user's.
pub fn unmount(target: &Path, when: Detach) -> Result<(), MountError> {
    let shown = target.display();
    let not_mounted = || {
        MountError::new(
            MountErrorKind::NotMounted,
            format!("{shown} is not a mount of this program"),
            "See what is mounted where: findmnt",
        )
    };
    let place = Place::find(target).map_err(|error| not_mounted().caused_by(error))?;
    place.our_mount().ok_or_else(not_mounted)?;
    detach(&place.path, when).map_err(|refused| match refused {
        Refused::Busy => MountError::new(
            MountErrorKind::Busy,
            format!("{shown} is in use"),
            format!("Close what uses it (see: fuser -vm '{shown}'), or unmount lazily, with --lazy: what is open stays readable until it is closed"),
        ),
        Refused::NotPermitted(said) => MountError::new(
            MountErrorKind::NotPermitted,
            format!("{shown} may not be unmounted by this user: {said}"),
            "Unmount it as the user who mounted it, or as root.",
        ),
        Refused::Failed(error) => MountError::new(
            MountErrorKind::Failed,
            format!("{shown} cannot be unmounted"),
            format!("Try: fusermount3 -u -z '{shown}' (as root: umount -l '{shown}')"),
        )
        .caused_by(error),
    })
}

/// Why a mount was not taken down.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Something uses it.
    Busy,
    /// This user may not; what `fusermount3` said.
    NotPermitted(String),
    /// Another reason.
    Failed(io::Error),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Busy => f.write_str("the mount is in use"),
            Refused::NotPermitted(said) => write!(f, "not permitted: {said}"),
            Refused::Failed(error) => write!(f, "{error}"),
        }
    }
}

impl From<Refused> for io::Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Busy => io::ErrorKind::ResourceBusy.into(),
            Refused::NotPermitted(said) => io::Error::new(io::ErrorKind::PermissionDenied, said),
            Refused::Failed(error) => error,
        }
    }
}

/// Takes down whatever is mounted last at `point`, a path without links.
pub(crate) fn detach(point: &Path, when: Detach) -> Result<(), Refused> {
    let how = match when {
        Detach::WhenIdle => UnmountFlags::NOFOLLOW,
        Detach::Lazily => UnmountFlags::NOFOLLOW | UnmountFlags::DETACH,
    };
    match rustix::mount::unmount(point, how) {
        Ok(()) => Ok(()),
        Err(Errno::BUSY) => Err(Refused::Busy),
        // Not root: fusermount3 may, for the user's own mounts.
        Err(Errno::PERM) => detach_by_fusermount(point, when),
        Err(error) => Err(Refused::Failed(error.into())),
    }
}

fn detach_by_fusermount(point: &Path, when: Detach) -> Result<(), Refused> {
    let mut command = attach::fusermount().map_err(Refused::Failed)?;
    command.arg("-u").args((when == Detach::Lazily).then_some("-z")).arg("--").arg(point).stdin(Stdio::null());
    let output = command.output().map_err(Refused::Failed)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if said.contains("busy") { Err(Refused::Busy) } else { Err(Refused::NotPermitted(said)) }
}
