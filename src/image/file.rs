//! The only door to a host image: opened for reading, never anything else.
#![expect(
    clippy::disallowed_types,
    reason = "this is the door: File and OpenOptions are used here, read-only, and nowhere else"
)]

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::store::FileId;
use super::{Observe, Observed, ReadAt, lose_tail};
use crate::Faults;
use crate::bytes::len_u64;
use crate::error::{Error, ErrorKind, Result};
use crate::report::Code;

/// A read that the host breaks off so often, one time after the other, is one that it cannot do: a signal breaks it off once.
const MOST_INTERRUPTIONS: u32 = 100;

/// A host file or block device, open for positioned reads.
///
/// On Linux it is opened `O_RDONLY | O_NOATIME` (without `O_NOATIME` where that is not permitted) and `O_NONBLOCK`, so
/// that nothing that is swapped in between the look and the opening can make us wait.
#[derive(Debug)]
pub struct ImageFile {
    path: PathBuf,
    file: File,
    size: u64,
    id: FileId,
    /// How it stood when it was opened; `None` for devices.
    opened: Option<Observed>,
}

impl ImageFile {
    /// Opens a regular file, or, where `devices` allows it, a block device.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] and [`ErrorKind::Io`] as the host says; [`ErrorKind::Refused`] for folders, pipes, sockets
    /// and character devices, which are never opened.
    /// On Windows also [`ErrorKind::Refused`] for an image that another program has open for writing; on other systems that
    /// cannot be told.
    pub fn open(path: &Path, devices: Devices) -> Result<Self> {
        Self::open_beside(path, devices, Writers::Denied)
    }

    /// The same, whoever has it open: what is read of it may belong to two points in time.
    ///
    /// # Errors
    /// As [`ImageFile::open`], but for writers.
    pub fn open_live(path: &Path, devices: Devices) -> Result<Self> {
        Self::open_beside(path, devices, Writers::Allowed)
    }

    fn open_beside(path: &Path, devices: Devices, writers: Writers) -> Result<Self> {
        let cannot_open = |source| cannot_open(source).in_file(path);
        let not_there = |source| leads_nowhere(path, &source).unwrap_or_else(|| cannot_open(source));
        // Looked at before it is opened, for opening alone can wake a device or block on a pipe …
        check_type(path, &std::fs::metadata(path).map_err(not_there)?, devices)?;
        let file = open_read_only(path, writers).map_err(cannot_open)?;
        // … and once more after it, for another file may have taken the name.
        let metadata = file.metadata().map_err(cannot_open)?;
        check_type(path, &metadata, devices)?;
        // Block devices have a length of 0 in their metadata.
        let size =
            if metadata.is_file() { metadata.len() } else { (&file).seek(SeekFrom::End(0)).map_err(cannot_open)? };
        let id = FileId::of(path, &metadata);
        Ok(ImageFile { path: path.to_owned(), file, size, id, opened: observed(&metadata) })
    }

    /// Tells two names of one file from two files.
    #[must_use]
    pub fn id(&self) -> &FileId {
        &self.id
    }

    /// How it stood when it was opened; `None` where that cannot be told.
    #[must_use]
    pub fn opened(&self) -> Option<Observed> {
        self.opened
    }
}

impl Observe for ImageFile {
    fn observe(&self) -> Option<Observed> {
        observed(&self.file.metadata().ok()?)
    }
}

/// Devices tell neither their length nor when they were written to.
fn observed(metadata: &std::fs::Metadata) -> Option<Observed> {
    metadata.is_file().then(|| Observed { size: metadata.len(), modified: metadata.modified().ok() })
}

/// All of a small file that stands beside an image.
///
/// # Errors
/// As [`ImageFile::open`]; when it has more than `limit` bytes, or some of them cannot be read.
pub(super) fn read_small(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = ImageFile::open(path, Devices::Refused)?;
    let too_large = || Error::new(ErrorKind::Refused, format!("has more than {limit} bytes")).in_file(path);
    let length = usize::try_from(file.size()).ok().filter(|_| file.size() <= limit).ok_or_else(too_large)?;
    let mut bytes = vec![0; length];
    let mut faults = Faults::new();
    file.read_at(&mut bytes, 0, &mut faults)?;
    if faults.is_empty() {
        Ok(bytes)
    } else {
        Err(Error::new(ErrorKind::Io, "became shorter while it was read").in_file(path))
    }
}

/// Whether others may have an image open for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writers {
    /// Where they have, it is not opened; while it is open, they cannot open it.
    Denied,
    /// They may.
    Allowed,
}

/// That a link leads to nothing, where it does.
fn leads_nowhere(path: &Path, error: &std::io::Error) -> Option<Error> {
    let target = std::fs::read_link(path).ok().filter(|_| error.kind() == std::io::ErrorKind::NotFound)?;
    let text = format!("a link to {}, which is not there", target.display());
    Some(Error::new(ErrorKind::NotFound, text).in_file(path).advise("give the path of the file itself"))
}

fn cannot_open(source: std::io::Error) -> Error {
    if !is_sharing_violation(&source) {
        return Error::io("cannot be opened for reading", source);
    }
    Error::new(ErrorKind::Refused, "another program has this image open for writing: a virtual machine that runs, most likely")
        .caused_by(source)
        .advise(
            "stop the machine; or make a shadow copy (as administrator: vssadmin create shadow /for=C:) and open the image in \
             it, by a path such as \\\\?\\GLOBALROOT\\Device\\HarddiskVolumeShadowCopy1\\VM.vhdx; or --live opens it as it is, and all \
             that is read is doubtful",
        )
}

/// Whether Windows refused because of who else has the file open.
fn is_sharing_violation(error: &std::io::Error) -> bool {
    const ERROR_SHARING_VIOLATION: i32 = 32;
    cfg!(windows) && error.raw_os_error() == Some(ERROR_SHARING_VIOLATION)
}

/// Whether a block device may be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Devices {
    /// The user named it.
    Allowed,
    /// It was found: by listing a folder, or in what an image says of its parent.
    Refused,
}

fn check_type(path: &Path, metadata: &std::fs::Metadata, devices: Devices) -> Result<()> {
    let what = match FileType::of(metadata) {
        FileType::Regular => return Ok(()),
        FileType::BlockDevice if devices == Devices::Allowed => return Ok(()),
        FileType::BlockDevice => "a block device that nobody named; it is not opened",
        FileType::Folder => "a folder, not an image",
        FileType::Other => "a pipe, a socket or a character device, not an image; it is not opened",
    };
    Err(Error::new(ErrorKind::Refused, what).in_file(path).advise("give the path of an image file"))
}

enum FileType {
    Regular,
    #[cfg_attr(not(unix), expect(dead_code, reason = "Windows does not tell a device by its file type"))]
    BlockDevice,
    Folder,
    Other,
}

impl FileType {
    fn of(metadata: &std::fs::Metadata) -> Self {
        #[cfg(unix)]
        if std::os::unix::fs::FileTypeExt::is_block_device(&metadata.file_type()) {
            return FileType::BlockDevice;
        }
        match metadata.file_type() {
            t if t.is_file() => FileType::Regular,
            t if t.is_dir() => FileType::Folder,
            _ => FileType::Other,
        }
    }
}

#[cfg(unix)]
fn open_read_only(path: &Path, _: Writers) -> std::io::Result<File> {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;

    let open = |flags: OFlags| {
        let flags = i32::try_from(flags.bits()).map_err(|_| std::io::Error::from(std::io::ErrorKind::InvalidInput))?;
        OpenOptions::new().read(true).custom_flags(flags).open(path)
    };
    #[cfg(target_os = "linux")]
    match open(OFlags::NONBLOCK | OFlags::NOATIME) {
        // Only the owner and the administrator may leave the access time alone.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {}
        other => return other,
    }
    open(OFlags::NONBLOCK)
}

#[cfg(windows)]
fn open_read_only(path: &Path, writers: Writers) -> std::io::Result<File> {
    use std::os::windows::fs::OpenOptionsExt;

    const FILE_SHARE_READ: u32 = 1;
    const FILE_SHARE_WRITE: u32 = 2;
    const FILE_SHARE_DELETE: u32 = 4;
    let shared = match writers {
        // Whoever writes (a running Hyper-V) makes this fail with a sharing violation.
        Writers::Denied => FILE_SHARE_READ,
        Writers::Allowed => FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
    };
    OpenOptions::new().read(true).share_mode(shared).open(path)
}

#[cfg(unix)]
fn read_once(file: &File, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buf, offset)
}

#[cfg(windows)]
fn read_once(file: &File, buf: &mut [u8], offset: u64) -> std::io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buf, offset)
}

impl ReadAt for ImageFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        let within = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX).min(buf.len());
        let (mut done, mut interrupted) = (0, 0_u32);
        while let Some(rest) = buf.get_mut(done..within)
            && !rest.is_empty()
        {
            let at = offset.saturating_add(u64::try_from(done).unwrap_or(u64::MAX));
            match read_once(&self.file, rest, at) {
                Ok(0) => {
                    let rest_len = len_u64(rest);
                    rest.fill(0);
                    faults.lost(at..at.saturating_add(rest_len), Code::ImageShrank.as_str());
                    break;
                }
                Ok(read) => (done, interrupted) = (done.saturating_add(read), 0),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted && interrupted < MOST_INTERRUPTIONS => {
                    interrupted = interrupted.saturating_add(1);
                }
                Err(error) => {
                    let what = format!("{} bytes cannot be read", len_u64(rest));
                    return Err(Error::io(what, error).at("image file", at).in_file(&self.path));
                }
            }
        }
        lose_tail(buf, within, offset, Code::ReadPastEnd, faults);
        Ok(())
    }
}
