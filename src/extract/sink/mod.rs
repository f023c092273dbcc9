//! The only writer of what is extracted: new files below one folder, through a handle on that folder.
//!
//! Every step into a folder is made from the handle of the one above it and follows no link, so no name, and no link that
//! somebody planted, leads out. A file is written without a name, or in a folder for unfinished ones, and gets its name when it
//! is complete; what bears that name already is never replaced, unless that was asked for.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "the output door: new files below the folder that the user named"
)]

mod disk_file;
mod earlier;
mod failure;
mod handed_over;
mod name_rules;
mod ntfs;
mod own_file;
mod times;
mod unfinished;
mod workshop;

use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use cap_fs_ext::{DirExt, FollowSymlinks, OpenOptionsFollowExt};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use mount_api::Times;

use self::handed_over::handed_over;
use self::name_rules::NameRules;
pub(in crate::extract) use self::times::set_file_times;
use self::unfinished::{Nameless, Unfinished};
use self::workshop::Workshop;
use crate::error::{Error, Result};

pub use disk_file::{DiskFile, new_of};
pub use earlier::Stands;
pub use failure::{describe, gone, holds_a_run, refuses};
pub use ntfs::{Host, Opened, Streams};
pub use own_file::{OwnFile, create_new, remove_list};

/// A folder of the destination.
pub struct Folder(Dir);

/// The folder that everything is written below.
pub struct Sink {
    path: PathBuf,
    root: Arc<Folder>,
    unfinished: Workshop,
    /// How many files were given a name there.
    files: AtomicU64,
    /// How a file can do without a name until it is complete; `None` where it cannot.
    nameless: Option<Nameless>,
    /// What it makes of names.
    names: NameRules,
    /// What the host keeps besides, where somebody knows its calls.
    host: Option<Box<dyn Host>>,
    streams: Option<Box<dyn Streams>>,
    /// Held while a stream is written: two folders of a disk whose names differ in case may be one here, and unfinished streams
    /// have one name.
    one_stream: Mutex<()>,
}

/// A file that is being written.
pub struct Output<'a> {
    file: std::fs::File,
    #[cfg_attr(not(windows), expect(dead_code, reason = "only Windows has attributes"))]
    attributes: u32,
    /// Where the next byte goes without a seek.
    at: u64,
    unfinished: Unfinished<'a>,
}

/// A file that has its name.
pub struct Finished {
    /// The file.
    pub opened: Opened,
    /// Why it did not get its times.
    pub untimed: Option<io::Error>,
}

/// What the kernel calls a file system that a program serves.
#[cfg(target_os = "linux")]
const FUSE_SUPER_MAGIC: rustix::fs::FsWord = 0x6573_5546;

/// What becomes of a file that stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It stays, and the new one does not get its name.
    Stays,
    /// The new one takes its place, but for that of a folder.
    Replaced,
}

impl Sink {
    /// Opens the folder at `path`, which is made where it is not there. What an interrupted run left unfinished is
    /// removed.
    ///
    /// # Errors
    /// When the folder cannot be made or written to; [`ErrorKind::Refused`](crate::ErrorKind::Refused) while another run writes into it.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |text: &str, error| Error::io(text, error).in_file(path);
        std::fs::create_dir_all(path).map_err(|error| failed("the folder cannot be made", error))?;
        let root = Dir::open_ambient_dir(path, ambient_authority())
            .map_err(|error| failed("the folder cannot be opened", error))?;
        let root = Arc::new(Folder(root));
        let cannot_write = |error| failed("nothing can be written in this folder", error);
        let unfinished = Workshop::open(&root).map_err(cannot_write)?.ok_or_else(|| failure::is_in_use(path))?;
        unfinished.clear().map_err(|error| failed("what an earlier run left unfinished cannot be removed", error))?;
        let (path, files) = (path.to_owned(), AtomicU64::new(0));
        let dir = unfinished.dir().map_err(cannot_write)?;
        let (nameless, names) = (Nameless::in_folder(dir), NameRules::of(dir));
        Ok(Sink {
            path,
            root,
            unfinished,
            files,
            nameless,
            names,
            host: None,
            streams: None,
            one_stream: Mutex::default(),
        })
    }

    /// The folder, as the user named it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it takes only names that Windows takes, on a system that takes others: it is FAT, or NTFS, or a share.
    #[must_use]
    pub fn wants_portable_names(&self) -> bool {
        self.names.portable
    }

    /// Whether names that differ in case alone are one name.
    #[must_use]
    pub fn folds_case(&self) -> bool {
        self.names.fold
    }

    /// How many bytes a name has at most; of Windows, which counts units, as many as fit in any case.
    #[must_use]
    pub fn longest_name(&self) -> usize {
        self.names.longest
    }

    /// The folder that `names` lead to, with all folders on the way made where they are not there.
    ///
    /// # Errors
    /// When one of them cannot be made, or is no folder: a link to one is none.
    pub fn folder(&self, names: &[OsString]) -> io::Result<Arc<Folder>> {
        let mut at: Option<Dir> = None;
        for name in names {
            at = Some(folder_in(at.as_ref().unwrap_or(&self.root.0), name)?);
        }
        Ok(at.map_or_else(|| Arc::clone(&self.root), |dir| Arc::new(Folder(dir))))
    }

    /// Begins a file that is to stand in `folder`, which gets these attributes of NTFS where the host has such.
    ///
    /// # Errors
    /// As the host's.
    pub fn create(&self, folder: &Folder, attributes: u32) -> io::Result<Output<'_>> {
        let (file, unfinished) = Unfinished::begin(self, &folder.0, attributes)?;
        Ok(Output { file, attributes, at: 0, unfinished })
    }

    /// Begins a file that is to stand right in the sink's folder.
    ///
    /// # Errors
    /// As the host's.
    pub fn create_here(&self) -> io::Result<Output<'_>> {
        self.create(&self.root, 0)
    }

    /// Opens a file in the folder for appending, which is made where it is not there.
    ///
    /// # Errors
    /// As the host's; when what bears the name is no file: a link, a pipe, a device.
    pub fn append_to(&self, name: &str) -> io::Result<OwnFile> {
        self.open_own(name, OpenOptions::new().append(true).create(true)).map(|file| OwnFile::new(file.into_std()))
    }

    /// Takes so many bytes from the end of a file in the folder.
    ///
    /// # Errors
    /// As [`append_to`](Self::append_to); when there is none.
    pub fn cut(&self, name: &str, bytes: u64) -> io::Result<()> {
        let file = self.open_own(name, OpenOptions::new().write(true))?;
        file.set_len(file.metadata()?.len().saturating_sub(bytes))
    }

    /// Opens a file in the folder for reading.
    ///
    /// # Errors
    /// As [`append_to`](Self::append_to); when there is none.
    pub fn read_back(&self, name: &str) -> io::Result<impl BufRead + Seek + use<>> {
        self.open_own(name, OpenOptions::new().read(true)).map(BufReader::new)
    }

    /// Opens a file that an earlier run may have written. What else bears its name is not even opened: a pipe would wait for
    /// whoever writes to it.
    fn open_own(&self, name: &str, options: &mut OpenOptions) -> io::Result<cap_std::fs::File> {
        let no_file = || io::Error::other("what bears this name is no file");
        if self.root.0.symlink_metadata(name).is_ok_and(|found| !found.is_file()) {
            return Err(no_file());
        }
        let file = self.root.0.open_with(name, options.follow(FollowSymlinks::No))?;
        if file.metadata()?.is_file() { Ok(file) } else { Err(no_file()) }
    }

    /// Writes a whole file in the folder, in place of one of that name. A loss of power leaves one of the two.
    ///
    /// # Errors
    /// As the host's.
    pub fn put(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut output = self.create_here()?;
        output.write(0, content)?;
        output.file.sync_data()?;
        output.take_place_of(name)
    }

    /// Waits until all that was written stands on the storage: on Linux, all of the file system; elsewhere nothing is asked. Whether
    /// the storage said so.
    ///
    /// # Errors
    /// When the storage did not take something of it. A file system that knows no such call is none.
    pub fn sync(&self) -> io::Result<bool> {
        #[cfg(target_os = "linux")]
        {
            use rustix::io::Errno;
            // A folder's handle is for names alone, and takes no such call.
            let folder = self.root.0.open(".")?;
            match rustix::fs::syncfs(&folder) {
                Err(error @ (Errno::IO | Errno::NOSPC | Errno::DQUOT | Errno::ROFS | Errno::NODEV)) => {
                    Err(error.into())
                }
                Err(error) => {
                    log::debug!("{}: it cannot be synchronized: {error}", self.path.display());
                    Ok(false)
                }
                // The kernel does not hand the question on to a program that serves the files.
                Ok(()) => Ok(rustix::fs::fstatfs(&folder)?.f_type != FUSE_SUPER_MAGIC),
            }
        }
        #[cfg(not(target_os = "linux"))]
        Ok(false)
    }

    /// Whether a folder stands at a place below the folder.
    #[must_use]
    pub fn holds_folder(&self, place: &str) -> bool {
        self.root.0.symlink_metadata(place).is_ok_and(|found| found.is_dir())
    }

    /// Whether something bears this name in the folder.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.root.0.symlink_metadata(name).is_ok()
    }

    /// Whether a file of this name has anything in it.
    #[must_use]
    pub fn has_content(&self, name: &str) -> bool {
        self.root.0.symlink_metadata(name).is_ok_and(|found| found.is_file() && found.len() > 0)
    }

    /// Removes the folder for unfinished files, if nothing is in it, and lets other runs in.
    pub fn close(self) {
        drop(self);
    }
}

impl Folder {
    /// Gives a folder its times, when everything in it is written.
    ///
    /// # Errors
    /// As the host's.
    pub fn set_times(&self, times: &Times) -> io::Result<()> {
        #[cfg(windows)]
        return super::windows::set_folder_times(&self.0, times);
        #[cfg(not(windows))]
        set_file_times(&self.0.open(".")?.into_std(), times)
    }

    /// Removes a file that an earlier run wrote.
    ///
    /// # Errors
    /// As the host's; when it is no file.
    pub fn remove(&self, name: &OsStr) -> io::Result<()> {
        if self.0.symlink_metadata(name)?.is_file() {
            self.0.remove_file(name)
        } else {
            Err(io::Error::other("this is no file"))
        }
    }

    /// Makes a symbolic link, unless the same one stands there. The caller has seen to it that it leads nowhere else.
    ///
    /// # Errors
    /// As the host's; when something else bears the name.
    pub fn link(&self, name: &OsStr, target: &Path) -> io::Result<()> {
        match DirExt::symlink(&self.0, target, name) {
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists
                    && self.0.read_link_contents(name).is_ok_and(|stands| stands == target) =>
            {
                Ok(())
            }
            other => other,
        }
    }
}

impl Output<'_> {
    /// Writes at an offset. What is left out between two writes is a hole.
    ///
    /// # Errors
    /// As the host's.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if offset != self.at {
            self.file.seek(SeekFrom::Start(offset))?;
        }
        self.file.write_all(bytes)?;
        self.at = offset.saturating_add(crate::bytes::len_u64(bytes));
        Ok(())
    }

    /// Writes behind what was written last.
    ///
    /// # Errors
    /// As the host's.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write(self.at, bytes)
    }

    /// Gives the file its name right in the sink's folder, in place of one of that name.
    ///
    /// # Errors
    /// As the host's.
    pub fn take_place_of(mut self, name: &str) -> io::Result<()> {
        handed_over(&self.file)?;
        let root = &self.unfinished.sink.root.0;
        self.unfinished.finish(&self.file, root, OsStr::new(name), Standing::Replaced)
    }

    /// Sets the length, where a hole stands at the end.
    ///
    /// # Errors
    /// As the host's.
    pub fn set_length(&mut self, length: u64) -> io::Result<()> {
        if length == self.at { Ok(()) } else { self.file.set_len(length) }
    }

    /// Whether a file of this name in a folder holds the same bytes.
    pub fn stands_already(&mut self, folder: &Folder, name: &OsStr) -> bool {
        if !folder.0.symlink_metadata(name).is_ok_and(|found| found.is_file()) {
            return false;
        }
        let mut options = OpenOptions::new();
        options.read(true).follow(FollowSymlinks::No);
        folder.0.open_with(name, &options).is_ok_and(|mut other| same_bytes(&mut self.file, &mut other))
    }

    /// Gives the file its times, and its name in a folder; what it is stays open. Times that the host refuses keep no file
    /// from its name.
    ///
    /// # Errors
    /// As the host's, with the file, so that it can be given another name; `AlreadyExists` where something bears the name
    /// and is to stay.
    pub fn finish(
        mut self,
        folder: &Folder,
        name: &OsStr,
        times: &Times,
        standing: Standing,
    ) -> std::result::Result<Finished, (io::Error, Self)> {
        #[cfg(windows)]
        if standing == Standing::Replaced {
            let _ = super::windows::allow_replacing(&folder.0, name);
        }
        // Handed over first: what is written later changes the times again.
        let taken = handed_over(&self.file);
        let untimed = set_file_times(&self.file, times).err();
        match taken.and_then(|()| self.unfinished.finish(&self.file, &folder.0, name, standing)) {
            Ok(()) => {
                #[cfg(windows)]
                if let Err(error) = super::windows::finish_with(&self.file, self.attributes) {
                    log::debug!("{name:?} cannot be made read-only: {error}");
                }
                Ok(Finished { opened: Opened::new(self.file), untimed })
            }
            Err(error) => Err((error, self)),
        }
    }
}

/// Whether two files hold the same, from their start on.
fn same_bytes(one: &mut std::fs::File, other: &mut (impl Read + Seek)) -> bool {
    const READ: usize = 1 << 16;
    if one.rewind().is_err() || other.rewind().is_err() {
        return false;
    }
    let (mut ours, mut theirs) = (vec![0; READ], vec![0; READ]);
    loop {
        match (fill(one, &mut ours), fill(other, &mut theirs)) {
            (Ok(0), Ok(0)) => return true,
            (Ok(a), Ok(b)) if a == b && ours.get(..a) == theirs.get(..b) => {}
            _ => return false,
        }
    }
}

/// Reads until the buffer is full or the file ends; how much it was.
fn fill(file: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut full = 0usize;
    loop {
        match file.read(buf.get_mut(full..).unwrap_or_default())? {
            0 => return Ok(full),
            read => full = full.saturating_add(read),
        }
    }
}

/// The folder of this name in another; made where it is not there.
fn folder_in(dir: &Dir, name: &OsStr) -> io::Result<Dir> {
    match dir.open_dir_nofollow(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match dir.create_dir(name) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            dir.open_dir_nofollow(name)
        }
        other => other,
    }
}
