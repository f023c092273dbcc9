//! Mounting: a connection to the kernel's FUSE, attached to a folder.
//!
//! `fusermount3` (of the package fuse3) comes first, for root too: it stays behind, and when this process dies without
//! unmounting, a `kill -9` say, it removes the mount. Where it is missing or fails, root mounts by the kernel's own call.

use std::ffi::CString;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use log::debug;
use rustix::io::Errno;
use rustix::mount::MountFlags;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};

use crate::mount_table::{FILE_SYSTEM, SUBTYPE};
use crate::{MountError, MountErrorKind, Options};

/// The kernel's FUSE.
pub(crate) const DEVICE: &str = "/dev/fuse";

/// The program that mounts for users.
const FUSERMOUNT: &str = "fusermount3";

/// Where it is on nearly every system; then the folders of `PATH` are looked through.
const FUSERMOUNT_FOLDERS: &str = "/usr/bin:/bin";

/// The variable that tells `fusermount3` which file descriptor is the socket to its caller.
const FUSERMOUNT_SOCKET: &str = "_FUSE_COMMFD";

/// How many milliseconds the watcher is waited for at the end.
const WATCHER_PATIENCE: u32 = 1000;

/// A mount that nobody serves yet.
#[derive(Debug)]
pub(crate) struct Attached {
    /// The connection to the kernel. When it closes, every access to the mount fails at once.
    pub(crate) device: OwnedFd,
    /// Who removes the mount if this process dies; kept until the mount is gone.
    pub(crate) watcher: Option<Watcher>,
}

/// A `fusermount3` that waits for the other end of its socket to close, then removes the mount if it is still there.
#[derive(Debug)]
pub(crate) struct Watcher {
    socket: Option<UnixStream>,
    child: Option<Child>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        drop(self.socket.take());
        let Some(mut child) = self.child.take() else { return };
        // It ends by itself now, within milliseconds; collected here, it is no zombie in a container without an init.
        for _ in 0..WATCHER_PATIENCE {
            match child.try_wait() {
                Ok(None) => thread::sleep(Duration::from_millis(1)),
                _ => return,
            }
        }
    }
}

/// Mounts an empty file system on `target`, a path without links.
pub(crate) fn attach(target: &Path, options: &Options) -> Result<Attached, MountError> {
    if !Path::new(DEVICE).exists() {
        return Err(no_fuse());
    }
    let root = rustix::process::geteuid().is_root();
    if root && !options.auto_unmount {
        return attach_by_kernel(target, options);
    }
    match attach_by_fusermount(target, options) {
        Ok(attached) => Ok(attached),
        Err(refused) if root => {
            debug!("fusermount3: {refused:?}; mounting without it");
            attach_by_kernel(target, options)
        }
        Err(refused) => Err(explain(target, refused)),
    }
}

/// A command for the first `fusermount3` that is there.
pub(crate) fn fusermount() -> io::Result<Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Not left to the search of the system: that says "permission denied" if a folder on the way may not be entered.
    let folders = std::env::split_paths(FUSERMOUNT_FOLDERS).chain(std::env::split_paths(&path));
    let found =
        folders.filter(|folder| folder.is_absolute()).map(|folder| folder.join(FUSERMOUNT)).find(|p| p.is_file());
    let mut command = Command::new(found.ok_or(io::ErrorKind::NotFound)?);
    // What it says is looked at for words.
    command.env("LC_ALL", "C").stdout(Stdio::null()).stderr(Stdio::piped());
    Ok(command)
}

/// Why `fusermount3` did not mount.
#[derive(Debug)]
enum Refused {
    /// It could not be started, or not be talked to.
    Unusable(io::Error),
    /// What it said.
    Said(String),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Refused::Unusable(error)
    }
}

fn attach_by_fusermount(target: &Path, options: &Options) -> Result<Attached, Refused> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut command = fusermount()?;
    command.args(["-o", &fusermount_options(options), "--"]).arg(target);
    // The socket goes in as standard input, so that no other child of ours can inherit it.
    command.env(FUSERMOUNT_SOCKET, "0").stdin(OwnedFd::from(theirs));
    let mut child = command.spawn()?;
    // With the command goes our copy of its end: or the end of it would never be seen.
    drop(command);
    match receive_device(&ours)? {
        Some(device) => {
            // What it has to say from now on, nobody reads.
            drop(child.stderr.take());
            Ok(Attached { device, watcher: Some(Watcher { socket: Some(ours), child: Some(child) }) })
        }
        None => {
            drop(ours);
            let output = child.wait_with_output()?;
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            Err(Refused::Said(said.strip_prefix("fusermount3: ").unwrap_or(&said).to_owned()))
        }
    }
}

/// The open `/dev/fuse` that `fusermount3` sends with one byte; `None` if it ended without sending it.
fn receive_device(socket: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        let mut parts = [IoSliceMut::new(&mut byte)];
        rustix::net::recvmsg(socket, &mut parts, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    })?;
    if received.bytes == 0 {
        return Ok(None);
    }
    Ok(ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    }))
}

/// The source that the mount bears: what the user sees, and what makes it unlike any other mount. A `fusermount3` that
/// watches over a mount that has just ended takes another one at the same place, of the same source, for its own, and
/// removes it.
fn source(options: &Options) -> String {
    static MOUNTS: AtomicU32 = AtomicU32::new(0);
    let (process, number) = (std::process::id(), MOUNTS.fetch_add(1, Ordering::Relaxed));
    let name = options.fs_name.replace('\0', "");
    if number == 0 { format!("{name}@{process}") } else { format!("{name}@{process}.{number}") }
}

fn fusermount_options(options: &Options) -> String {
    // Its own way to write a comma that separates nothing.
    let source = source(options).replace('\\', r"\\").replace(',', r"\,");
    let mut asked = format!("ro,nosuid,nodev,default_permissions,subtype={SUBTYPE},fsname={source}");
    for (wanted, option) in [(options.allow_other, ",allow_other"), (options.auto_unmount, ",auto_unmount")] {
        if wanted {
            asked.push_str(option);
        }
    }
    asked
}

fn attach_by_kernel(target: &Path, options: &Options) -> Result<Attached, MountError> {
    #[expect(clippy::disallowed_methods, reason = "the kernel's FUSE, not an image")]
    let device =
        rustix::fs::open(DEVICE, rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty())
            .map_err(|error| match error {
                Errno::NOENT | Errno::NODEV | Errno::NXIO => no_fuse(),
                _ => not_permitted(target, &format!("{DEVICE} cannot be opened: {error}")),
            })?;
    let data = kernel_options(&device, options);
    let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
    match rustix::mount::mount(source(options).as_str(), target, FILE_SYSTEM, flags, data.as_deref()) {
        Ok(()) => Ok(Attached { device, watcher: None }),
        Err(Errno::PERM | Errno::ACCESS) => Err(not_permitted(target, "the kernel does not allow it")),
        Err(Errno::NODEV) => Err(no_fuse()),
        Err(error) => Err(failed(target).caused_by(error)),
    }
}

fn kernel_options(device: &OwnedFd, options: &Options) -> Option<CString> {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let descriptor = device.as_raw_fd();
    let mut data = format!("fd={descriptor},rootmode=40000,user_id={uid},group_id={gid},default_permissions");
    if options.allow_other {
        data.push_str(",allow_other");
    }
    CString::new(data).ok()
}

fn explain(target: &Path, refused: Refused) -> MountError {
    match refused {
        Refused::Unusable(error) if error.kind() == io::ErrorKind::NotFound => MountError::new(
            MountErrorKind::NoFusermount,
            "fusermount3 is not installed, and mounting without it takes root",
            "Install the package fuse3 (apt install fuse3, dnf install fuse3), or run this as root.",
        ),
        Refused::Unusable(error) if error.kind() == io::ErrorKind::PermissionDenied => MountError::new(
            MountErrorKind::NotPermitted,
            "fusermount3 may not be run by this user",
            "Add the user to the group that owns fusermount3 (ls -l $(which fusermount3)), or run this as root.",
        )
        .caused_by(error),
        Refused::Unusable(error) => failed(target).caused_by(error),
        Refused::Said(said) if said.contains("user_allow_other") => MountError::new(
            MountErrorKind::AllowOtherRefused,
            "other users may only be let in where /etc/fuse.conf allows it",
            "Put a line user_allow_other into /etc/fuse.conf, mount without allow-other, or run this as root.",
        ),
        Refused::Said(said) if said.contains("device not found") => no_fuse().caused_by(io::Error::other(said)),
        Refused::Said(said) if said.contains("open /dev/fuse") => MountError::new(
            MountErrorKind::NotPermitted,
            format!("{DEVICE} may not be opened by this user: {said}"),
            "Let users open it, as is common (chmod a+rw /dev/fuse), or run this as root.",
        ),
        Refused::Said(said) if said.contains("ermission denied") || said.contains("not permitted") => {
            not_permitted(target, &said)
        }
        Refused::Said(said) if said.contains("no write access") => not_permitted(target, &said),
        Refused::Said(said) => failed(target).caused_by(io::Error::other(said)),
    }
}

fn no_fuse() -> MountError {
    MountError::new(
        MountErrorKind::NoFuse,
        format!("{DEVICE} is not there: this kernel has no FUSE, or this container was not given it"),
        "Load the module (modprobe fuse); give a container --device /dev/fuse --cap-add SYS_ADMIN; or list files \
         without mounting: vhdx-mount ls CHAIN.",
    )
}

fn not_permitted(target: &Path, why: &str) -> MountError {
    MountError::new(
        MountErrorKind::NotPermitted,
        format!("{} may not be mounted on: {why}", target.display()),
        "Mount on an empty folder of your own, or run this as root; give a container --device /dev/fuse --cap-add \
         SYS_ADMIN; or list files without mounting: vhdx-mount ls CHAIN.",
    )
}

fn failed(target: &Path) -> MountError {
    MountError::new(
        MountErrorKind::Failed,
        format!("mounting on {} failed", target.display()),
        "See what the kernel says: dmesg | tail",
    )
}
