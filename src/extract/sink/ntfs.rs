//! What a destination keeps besides contents and times where it is NTFS: named streams, and attributes of folders.
//!
//! The standard library has calls for neither, and this library calls no system by itself: whoever opens a [`Sink`] gives it
//! what knows these calls, if anything does.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Seek};
use std::path::Path;
use std::sync::PoisonError;

use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt};
use cap_std::fs::{Dir, OpenOptions};
use mount_api::Times;

use super::times::set_file_times;
use super::{Folder, Output, Sink, Standing, same_bytes};

/// What a stream is called until it is complete.
const UNFINISHED_STREAM: &str = ".vhdx-mount-unfinished";

/// `FILE_ATTRIBUTE_*` that say something for whoever reads a file: read-only, hidden, system, archive, not indexed.
/// Compression and the like are the destination's affair.
const KEPT: u32 = 0x1 | 0x2 | 0x4 | 0x20 | 0x2000;

/// A file, a folder or a named stream at the destination that is open.
#[derive(Debug)]
pub struct Opened(File);

#[cfg(windows)]
mod handle {
    use std::os::windows::io::{AsHandle, BorrowedHandle, OwnedHandle};

    impl AsHandle for super::Opened {
        fn as_handle(&self) -> BorrowedHandle<'_> {
            self.0.as_handle()
        }
    }

    impl From<OwnedHandle> for super::Opened {
        fn from(handle: OwnedHandle) -> Self {
            super::Opened(handle.into())
        }
    }
}

#[cfg(unix)]
mod handle {
    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    impl AsFd for super::Opened {
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.0.as_fd()
        }
    }

    impl From<OwnedFd> for super::Opened {
        fn from(descriptor: OwnedFd) -> Self {
            super::Opened(descriptor.into())
        }
    }
}

/// A host whose file systems may keep what NTFS does.
pub trait Host: Send + Sync {
    /// The named streams of the volume that holds this folder; `None` where it has none.
    ///
    /// # Errors
    /// As the host's.
    fn streams(&self, folder: &Opened) -> io::Result<Option<Box<dyn Streams>>>;

    /// Gives a folder these attributes, and takes all others away.
    ///
    /// # Errors
    /// As the host's.
    fn set_attributes(&self, folder: &Opened, attributes: u32) -> io::Result<()>;
}

/// The named streams of files and folders on a volume that has such. A name means the same stream in any case.
pub trait Streams: Send + Sync {
    /// Creates a stream, to be written, read and renamed.
    ///
    /// # Errors
    /// `AlreadyExists` where there is one of this name; as the host's.
    fn create(&self, of: &Opened, name: &OsStr) -> io::Result<Opened>;

    /// Opens a stream, to be read.
    ///
    /// # Errors
    /// As the host's.
    fn open(&self, of: &Opened, name: &OsStr) -> io::Result<Opened>;

    /// Gives a stream that was created another name; none is replaced.
    ///
    /// # Errors
    /// `AlreadyExists` where there is one of this name; as the host's.
    fn rename(&self, stream: &Opened, name: &OsStr) -> io::Result<()>;

    /// Removes a stream.
    ///
    /// # Errors
    /// As the host's.
    fn remove(&self, of: &Opened, name: &OsStr) -> io::Result<()>;
}

impl Sink {
    /// The same, on a host whose volumes may keep more: it is asked once, of the folder, for no link is followed from there to
    /// another volume.
    #[must_use]
    pub fn on(mut self, host: Box<dyn Host>) -> Self {
        let asked = open_to_mark(&self.root.0, Path::new(".")).and_then(|folder| host.streams(&folder));
        self.streams = asked.unwrap_or_else(|error| {
            log::debug!("{}: it cannot be told whether there are named streams: {error}", self.path.display());
            None
        });
        self.host = Some(host);
        self
    }

    /// Whether named streams of files can be written as such.
    #[must_use]
    pub fn takes_streams(&self) -> bool {
        self.streams.is_some()
    }

    /// A place as the manifest has it, `FOLDER/FILE:STREAM`, as the file or folder and its stream; `None` where it is the place of a
    /// file or folder itself.
    #[must_use]
    pub fn split<'a>(&self, place: &'a str) -> Option<(&'a str, &'a str)> {
        self.streams.as_ref()?;
        // Neither part of a name holds a colon: the host takes none.
        let name = place.rfind('/').map_or(0, |at| at.saturating_add(1));
        let colon = place.get(name..)?.find(':')?.checked_add(name)?;
        Some((place.get(..colon)?, place.get(colon.checked_add(1)?..)?))
    }

    /// Whether the stream of a file or folder has this size; both as [`split`](Self::split) gives them.
    pub(super) fn holds_stream(&self, of: &str, name: &str, size: u64) -> bool {
        let opened = open_to_mark(&self.root.0, Path::new(of));
        let stream = opened.and_then(|of| self.streams()?.open(&of, OsStr::new(name)));
        stream.and_then(|stream| stream.0.metadata()).is_ok_and(|found| found.len() == size)
    }

    /// Gives a folder the attributes that it has on the disk, as far as they can be had.
    ///
    /// # Errors
    /// As the host's.
    pub fn set_attributes(&self, folder: &Folder, attributes: u32) -> io::Result<()> {
        match (&self.host, attributes & KEPT) {
            (None, _) | (_, 0) => Ok(()),
            (Some(host), attributes) => host.set_attributes(&open_to_mark(&folder.0, Path::new("."))?, attributes),
        }
    }

    fn streams(&self) -> io::Result<&dyn Streams> {
        self.streams.as_deref().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }
}

impl Folder {
    /// Opens a file in the folder, or the folder itself as `.`, so that streams can be written to it.
    ///
    /// # Errors
    /// As the host's; when it is a link.
    pub fn open_to_mark(&self, name: &OsStr) -> io::Result<Opened> {
        open_to_mark(&self.0, Path::new(name))
    }
}

impl Opened {
    pub(super) fn new(file: File) -> Self {
        Opened(file)
    }

    /// Its length in bytes; `None` where it is no file.
    #[must_use]
    pub fn file_size(&self) -> Option<u64> {
        self.0.metadata().ok().filter(std::fs::Metadata::is_file).map(|found| found.len())
    }

    /// Takes away what keeps streams from being written: that it is read-only. Whether it was.
    ///
    /// # Errors
    /// As the host's.
    pub fn allow_streams(&self) -> io::Result<bool> {
        #[cfg(windows)]
        return super::super::windows::allow_writing(&self.0);
        #[cfg(not(windows))]
        Ok(false)
    }

    /// Makes it read-only again.
    ///
    /// # Errors
    /// As the host's.
    pub fn forbid_writing(&self) -> io::Result<()> {
        #[cfg(windows)]
        super::super::windows::finish_with(&self.0, super::super::windows::READ_ONLY)?;
        Ok(())
    }

    /// Gives a file its times and attributes again, which the writing of streams has changed.
    ///
    /// # Errors
    /// As the host's.
    pub fn finish_file(&self, times: &Times, attributes: u32) -> io::Result<()> {
        set_file_times(&self.0, times)?;
        #[cfg(windows)]
        super::super::windows::finish_with(&self.0, attributes)?;
        #[cfg(not(windows))]
        let _ = attributes;
        Ok(())
    }
}

impl Output<'_> {
    /// Makes the content a named stream. It stands under a name of its own until it is complete, as files do: a run that is
    /// killed leaves no half under the name that is wanted.
    ///
    /// # Errors
    /// As the host's, with the content, so that it can go elsewhere; `AlreadyExists` where there is such a stream that is to
    /// stay.
    pub fn finish_as_stream(mut self, of: &Opened, name: &OsStr, standing: Standing) -> Result<(), (io::Error, Self)> {
        match self.write_stream(of, name, standing) {
            Ok(()) => Ok(()),
            Err(error) => Err((error, self)),
        }
    }

    fn write_stream(&mut self, of: &Opened, name: &OsStr, standing: Standing) -> io::Result<()> {
        let streams = self.unfinished.sink.streams()?;
        let unfinished = OsStr::new(UNFINISHED_STREAM);
        if name.eq_ignore_ascii_case(unfinished) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "unfinished streams have this name"));
        }
        let _alone = self.unfinished.sink.one_stream.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stream = match streams.create(of, unfinished) {
            // A run was killed.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                streams.remove(of, unfinished)?;
                streams.create(of, unfinished)?
            }
            other => other?,
        };
        let written = self.file.rewind().and_then(|()| {
            io::copy(&mut self.file, &mut stream.0)?;
            if standing == Standing::Replaced {
                match streams.remove(of, name) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            streams.rename(&stream, name)
        });
        if written.is_err() {
            drop(stream);
            let _ = streams.remove(of, unfinished);
        }
        written
    }

    /// Whether a stream of this name holds the same bytes.
    pub fn stands_as_stream(&mut self, of: &Opened, name: &OsStr) -> bool {
        let other = self.unfinished.sink.streams().and_then(|streams| streams.open(of, name));
        other.is_ok_and(|mut other| same_bytes(&mut self.file, &mut other.0))
    }
}

/// Opens a file or folder so that streams can be written to it and its marks be set; nothing of it is read or written so. A
/// link is refused.
fn open_to_mark(folder: &Dir, name: &Path) -> io::Result<Opened> {
    let mut options = OpenOptions::new();
    #[cfg(windows)]
    super::super::windows::open_to_mark(&mut options);
    #[cfg(not(windows))]
    options.read(true);
    let file = folder.open_with(name, options.follow(FollowSymlinks::No))?.into_std();
    let found = file.metadata()?;
    #[cfg(windows)]
    let is_link = super::super::windows::is_link(&found);
    #[cfg(not(windows))]
    let is_link = !(found.is_file() || found.is_dir());
    if is_link { Err(io::Error::other("what bears this name is a link")) } else { Ok(Opened(file)) }
}
