//! A file that is not complete yet: it has no name where the host can do that, else one in the folder for such.
//!
//! Of a file without a name nothing is left when the program is killed. And it is made in the folder that it will stand in:
//! file systems look for a free inode near the folder, and threads that make all files in one folder wait for each other.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::sync::atomic::Ordering;

use cap_std::fs::{Dir, OpenOptions};

use super::{Sink, Standing};

/// What a file is called until it is complete. A name that it still bears in the end is removed.
pub(super) struct Unfinished<'a> {
    pub(super) sink: &'a Sink,
    name: Called,
}

enum Called {
    /// It has no name yet, and gets one so.
    Nothing(Nameless),
    /// This, in the folder for unfinished files.
    Meanwhile(String),
    /// What it was to be called.
    Finished,
}

impl<'a> Unfinished<'a> {
    /// Begins a file that is to stand in `folder`, which gets these attributes where the host has such.
    pub(super) fn begin(sink: &'a Sink, folder: &Dir, attributes: u32) -> io::Result<(File, Self)> {
        // Why none can be made without a name is not asked: with one it can, or that tells why.
        if let Some(how) = sink.nameless
            && let Ok(file) = Nameless::create(folder)
        {
            return Ok((file, Unfinished { sink, name: Called::Nothing(how) }));
        }
        let name = sink.unfinished_name();
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(windows)]
        crate::extract::windows::create_with(&mut options, attributes);
        #[cfg(not(windows))]
        let _ = attributes;
        let file = sink.unfinished.dir()?.open_with(&name, &options)?;
        Ok((file.into_std(), Unfinished { sink, name: Called::Meanwhile(name) }))
    }

    /// Gives the file, which is complete, its name in a folder.
    pub(super) fn finish(&mut self, file: &File, folder: &Dir, name: &OsStr, standing: Standing) -> io::Result<()> {
        let unfinished = self.sink.unfinished.dir()?;
        match (standing, &self.name) {
            (Standing::Stays, Called::Nothing(how)) => how.link(file, folder, name)?,
            (Standing::Stays, Called::Meanwhile(own)) => rename_new(unfinished, own, folder, name)?,
            (Standing::Replaced, Called::Nothing(how)) => {
                // A link replaces nothing.
                let own = self.sink.unfinished_name();
                how.link(file, unfinished, OsStr::new(&own))?;
                self.name = Called::Meanwhile(own);
                return self.finish(file, folder, name, standing);
            }
            (Standing::Replaced, Called::Meanwhile(own)) => {
                unfinished.rename(own, folder, name).map_err(|error| in_the_way(error, folder, name))?;
            }
            (_, Called::Finished) => {}
        }
        self.name = Called::Finished;
        Ok(())
    }
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Called::Meanwhile(name) = &self.name {
            let _ = self.sink.unfinished.dir().and_then(|dir| dir.remove_file(name));
        }
    }
}

impl Sink {
    /// The next name in the folder for unfinished files.
    fn unfinished_name(&self) -> String {
        self.files.fetch_add(1, Ordering::Relaxed).to_string()
    }
}

/// Why a file did not take a name. A folder is never replaced: it stays, as all else does where nothing is to be replaced.
fn in_the_way(error: io::Error, folder: &Dir, name: &OsStr) -> io::Error {
    let is_folder = folder.symlink_metadata(name).is_ok_and(|found| found.is_dir());
    if is_folder { io::ErrorKind::AlreadyExists.into() } else { error }
}

/// Renames a file unless something bears the new name.
fn rename_new(from: &Dir, name: &str, to: &Dir, new: &OsStr) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(from, name, to, new, RenameFlags::NOREPLACE) {
            // A file system, or a kernel, that cannot.
            Err(Errno::INVAL | Errno::NOSYS) => {}
            other => return other.map_err(io::Error::from),
        }
    }
    match to.symlink_metadata(new) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => from.rename(name, to, new),
        Err(error) => Err(error),
    }
}

/// How a file without a name gets one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Nameless {
    /// By its handle alone, which older kernels let only root do.
    ByHandle,
    /// By the path that `/proc` has for the handle.
    ByPath,
}

impl Nameless {
    /// How it is done in this folder; `None` where it cannot be.
    pub(super) fn in_folder(folder: &Dir) -> Option<Self> {
        const TRIED: &str = "tried";
        let works = |how: &Self| {
            let linked = Self::create(folder).and_then(|file| how.link(&file, folder, OsStr::new(TRIED)));
            linked.and_then(|()| folder.remove_file(TRIED)).is_ok()
        };
        [Nameless::ByHandle, Nameless::ByPath].into_iter().find(works)
    }
}

#[cfg(target_os = "linux")]
impl Nameless {
    /// A file in a folder that has no name there.
    fn create(folder: &Dir) -> io::Result<File> {
        use rustix::fs::{Mode, OFlags, openat};
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        Ok(File::from(openat(folder, ".", flags, Mode::from_raw_mode(0o666))?))
    }

    /// Gives it a name in a folder of the same file system, unless something bears that.
    fn link(self, file: &File, folder: &Dir, name: &OsStr) -> io::Result<()> {
        use rustix::fs::{AtFlags, CWD, linkat};
        use std::os::fd::AsRawFd;
        let linked = match self {
            Nameless::ByHandle => linkat(file, "", folder, name, AtFlags::EMPTY_PATH),
            Nameless::ByPath => {
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                linkat(CWD, path, folder, name, AtFlags::SYMLINK_FOLLOW)
            }
        };
        linked.map_err(io::Error::from)
    }
}

#[cfg(not(target_os = "linux"))]
impl Nameless {
    fn create(_: &Dir) -> io::Result<File> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn link(self, _: &File, _: &Dir, _: &OsStr) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what stands at the destination")]
mod tests {
    use std::fs;

    use super::*;

    fn names(folder: &std::path::Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_gets_its_name_when_it_is_complete_however_the_host_does_that() {
        let mut tried = 0;
        for how in [None, Some(Nameless::ByHandle), Some(Nameless::ByPath)] {
            let at = tempfile::tempdir().unwrap();
            let mut sink = Sink::open(at.path()).unwrap();
            // By its handle only root may, on older kernels.
            if how.is_some() && sink.nameless.is_none()
                || matches!((how, sink.nameless), (Some(Nameless::ByHandle), Some(Nameless::ByPath)))
            {
                continue;
            }
            tried += 1;
            sink.nameless = how;
            let folder = sink.folder(&["in".into()]).unwrap();
            let begin = |content: &[u8]| {
                let mut output = sink.create(&folder, 0).unwrap();
                output.append(content).unwrap();
                output
            };
            let place = at.path().join("in");
            let finish = |output: super::super::Output<'_>, standing| {
                output
                    .finish(&folder, OsStr::new("file"), &mount_api::Times::default(), standing)
                    .map(|_| ())
                    .map_err(|(error, _)| error.kind())
            };
            let output = begin(b"one");
            assert!(names(&place).is_empty(), "{how:?}: it has its name too early");
            finish(output, Standing::Stays).unwrap();
            assert_eq!(finish(begin(b"two"), Standing::Stays), Err(io::ErrorKind::AlreadyExists), "{how:?}");
            assert_eq!(fs::read(place.join("file")).unwrap(), b"one", "{how:?}");
            finish(begin(b"three"), Standing::Replaced).unwrap();
            assert_eq!(fs::read(place.join("file")).unwrap(), b"three", "{how:?}");
            drop(begin(b"never complete"));
            assert_eq!(names(&place), ["file"], "{how:?}");
            sink.close();
            assert_eq!(names(at.path()), ["in"], "{how:?}: something unfinished is left");
        }
        assert!(tried > 0);
    }
}
