//! What is mounted where, by the kernel's own word (`/proc/self/mountinfo`).

use std::ffi::OsString;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The type that our mounts have in the mount table.
pub(crate) const FILE_SYSTEM: &str = "fuse.vhdx-mount";

/// The part of [`FILE_SYSTEM`] that comes after `fuse.`.
pub(crate) const SUBTYPE: &str = "vhdx-mount";

/// One line of the mount table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The kernel's number of the mount, unique while it stands.
    pub(crate) id: u64,
    /// `major:minor` of the file system, the name of its settings in `/sys/class/bdi`.
    pub(crate) device: String,
    /// Where it is mounted.
    pub(crate) point: PathBuf,
    /// The type: `ext4`, `fuse.sshfs`.
    pub(crate) file_system: String,
    /// The source: a device, or whatever the file system calls itself.
    pub(crate) source: String,
}

impl Mount {
    /// Whether it is one of this program's.
    pub(crate) fn is_ours(&self) -> bool {
        self.file_system == FILE_SYSTEM
    }

    /// Whether the kernel still knows it. Touches no path: to name one is to use, for a moment, whatever is mounted there
    /// by now, and whoever unmounts that is told that it is busy.
    pub(crate) fn is_known(&self) -> bool {
        let table = read("/proc/self/mountinfo").unwrap_or_default();
        table.split(|byte| *byte == b'\n').filter_map(parse).any(|mount| mount == *self)
    }
}

/// A path of the host and the mount that it lies in.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The path, absolute and without links.
    pub(crate) path: PathBuf,
    /// The mount; `None` where `/proc` does not tell.
    pub(crate) mount: Option<Mount>,
}

impl Place {
    /// Follows `path` to where it leads. Asks nothing of the file system there, so it works on a mount that is dead and
    /// does not wait for one that hangs.
    pub(crate) fn find(path: &Path) -> io::Result<Self> {
        #[expect(clippy::disallowed_methods, reason = "O_PATH names a place and opens nothing")]
        let handle =
            rustix::fs::open(path, rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC, rustix::fs::Mode::empty())?;
        let number = handle.as_raw_fd();
        let path = std::fs::read_link(format!("/proc/self/fd/{number}"))?;
        let mount = mount_id(&read(&format!("/proc/self/fdinfo/{number}"))?)
            .and_then(|id| Some((id, read("/proc/self/mountinfo").ok()?)))
            .and_then(|(id, table)| table.split(|byte| *byte == b'\n').filter_map(parse).find(|mount| mount.id == id));
        Ok(Place { path, mount })
    }

    /// The mount of ours whose root this is.
    pub(crate) fn our_mount(&self) -> Option<&Mount> {
        self.mount.as_ref().filter(|mount| mount.is_ours() && mount.point == self.path)
    }
}

fn read(path: &str) -> io::Result<Vec<u8>> {
    #[expect(clippy::disallowed_methods, reason = "a table of the kernel, not an image")]
    std::fs::read(path)
}

/// The field `mnt_id` of `/proc/self/fdinfo/N`.
fn mount_id(fdinfo: &[u8]) -> Option<u64> {
    std::str::from_utf8(fdinfo).ok()?.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok())
}

/// One line of `mountinfo`: id, parent, device, root, mount point, options, any number of tags, `-`, type, source.
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mut text = |skipped: usize| fields.nth(skipped).map(|field| String::from_utf8_lossy(field).into_owned());
    let (id, device) = (text(0)?.parse().ok()?, text(1)?);
    let point = PathBuf::from(OsString::from_vec(unescape(fields.nth(1)?)));
    let mut after_tags = fields.skip_while(|field| *field != b"-").skip(1);
    let mut text = || after_tags.next().map(|field| String::from_utf8_lossy(&unescape(field)).into_owned());
    Some(Mount { id, device, point, file_system: text()?, source: text()? })
}

/// Undoes what the kernel does to blanks and backslashes: `\` and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        match (*byte, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                bytes.push(((a & 3) << 6) | ((b & 7) << 3) | (c & 7));
                rest = after;
            }
            _ => bytes.push(*byte),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_tags_and_blanks_is_understood() {
        let line =
            br"36 35 98:0 /mnt1 /mnt/a\040b\134c rw,noatime master:1 shared:7 - fuse.vhdx-mount my\040disk.vhdx ro";
        let expected = Mount {
            id: 36,
            device: "98:0".to_owned(),
            point: PathBuf::from(r"/mnt/a b\c"),
            file_system: "fuse.vhdx-mount".to_owned(),
            source: "my disk.vhdx".to_owned(),
        };
        assert_eq!(parse(line), Some(expected));
    }

    #[test]
    fn a_line_without_tags_is_understood_and_a_short_one_refused() {
        let mount = parse(b"27 1 0:24 / / rw - ext4 /dev/vda rw").unwrap();
        assert_eq!((mount.id, mount.file_system.as_str(), mount.is_ours()), (27, "ext4", false));
        assert_eq!(parse(b"27 1 0:24 / /"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn the_root_is_found_and_is_not_ours() {
        let place = Place::find(Path::new("/")).unwrap();
        assert_eq!(place.path, Path::new("/"));
        assert_eq!(place.mount.as_ref().map(|mount| mount.point.as_path()), Some(Path::new("/")));
        assert!(place.our_mount().is_none());
    }

    #[test]
    fn a_mount_id_is_read() {
        assert_eq!(mount_id(b"pos:\t0\nflags:\t012000000\nmnt_id:\t42\nino:\t1\n"), Some(42));
        assert_eq!(mount_id(b"pos:\t0\n"), None);
    }
}
