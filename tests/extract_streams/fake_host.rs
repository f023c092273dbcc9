//! A host with named streams, as NTFS has them: each file's in a folder of its own. Their writing changes the times of the file.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use cap_fs_ext::MetadataExt;
use vhdx_mount::extract::sink::{Host, Opened, Streams};

/// What the fake is asked, beside the streams.
#[derive(Clone)]
pub(crate) struct FakeHost {
    store: Arc<Store>,
    has_streams: bool,
}

struct Store {
    folder: tempfile::TempDir,
    /// A name that is not taken.
    refused: &'static str,
    /// Attributes by folder.
    attributes: Mutex<HashMap<String, u32>>,
    /// What has streams stays open, so that no other file gets its number. Windows would not replace it then.
    #[cfg(unix)]
    kept: Mutex<HashMap<String, File>>,
}

impl FakeHost {
    pub(crate) fn new(has_streams: bool, refused: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let attributes = Mutex::default();
        #[cfg(unix)]
        let store = Store { folder, refused, attributes, kept: Mutex::default() };
        #[cfg(not(unix))]
        let store = Store { folder, refused, attributes };
        FakeHost { store: Arc::new(store), has_streams }
    }

    /// The streams of a file or folder, by name.
    pub(crate) fn streams_of(&self, path: &Path) -> Vec<(String, Vec<u8>)> {
        let of = key(&open(path));
        let Ok(entries) = fs::read_dir(self.store.folder.path().join(of)) else { return Vec::new() };
        let mut streams: Vec<_> = entries
            .map(|entry| {
                let entry = entry.expect("an entry");
                (decode(&entry.file_name()), fs::read(entry.path()).expect("a stream"))
            })
            .collect();
        streams.sort();
        streams
    }

    /// The path that stands for a stream.
    pub(crate) fn path_of(&self, path: &Path, stream: &str) -> PathBuf {
        self.store.path(&open(path), OsStr::new(stream)).expect("a path")
    }

    pub(crate) fn attributes_of(&self, path: &Path) -> Option<u32> {
        self.store.attributes.lock().expect("no panic").get(&key(&open(path))).copied()
    }
}

impl Host for FakeHost {
    fn streams(&self, _: &Opened) -> io::Result<Option<Box<dyn Streams>>> {
        Ok(self.has_streams.then(|| -> Box<dyn Streams> { Box::new(self.clone()) }))
    }

    fn set_attributes(&self, folder: &Opened, attributes: u32) -> io::Result<()> {
        let folder = key(&file_of(folder)?);
        self.store.attributes.lock().expect("no panic").insert(folder, attributes);
        Ok(())
    }
}

impl Streams for FakeHost {
    fn create(&self, of: &Opened, name: &OsStr) -> io::Result<Opened> {
        let of = file_of(of)?;
        let path = self.store.path(&of, name)?;
        fs::create_dir_all(path.parent().expect("a folder"))?;
        let stream = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        let now = fs::FileTimes::new().set_modified(SystemTime::now()).set_accessed(SystemTime::now());
        of.set_times(now)?;
        #[cfg(unix)]
        self.store.kept.lock().expect("no panic").insert(key(&of), of);
        opened(stream)
    }

    fn open(&self, of: &Opened, name: &OsStr) -> io::Result<Opened> {
        opened(File::open(self.store.path(&file_of(of)?, name)?)?)
    }

    fn rename(&self, stream: &Opened, name: &OsStr) -> io::Result<()> {
        let stream = key(&file_of(stream)?);
        for folder in fs::read_dir(self.store.folder.path())? {
            for entry in fs::read_dir(folder?.path())? {
                let path = entry?.path();
                if key(&File::open(&path)?) == stream {
                    let new = path.with_file_name(self.store.encode(name)?);
                    return if new.exists() { Err(io::ErrorKind::AlreadyExists.into()) } else { fs::rename(path, new) };
                }
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }

    fn remove(&self, of: &Opened, name: &OsStr) -> io::Result<()> {
        fs::remove_file(self.store.path(&file_of(of)?, name)?)
    }
}

impl Store {
    fn path(&self, of: &File, name: &OsStr) -> io::Result<PathBuf> {
        Ok(self.folder.path().join(key(of)).join(self.encode(name)?))
    }

    /// A name of any characters as one of a file; in one case, for no stream differs from another by that alone.
    fn encode(&self, name: &OsStr) -> io::Result<String> {
        let name = name.to_str().expect("text");
        assert!(!name.is_empty() && !name.contains([':', '\\', '/', '\0']), "{name:?} is asked for");
        if name.encode_utf16().count() > 255 || name == self.refused {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // Long names would not fit: the test's own begin differently.
        Ok(name.to_lowercase().bytes().take(100).map(|byte| format!("{byte:02x}")).collect())
    }
}

fn decode(name: &OsStr) -> String {
    let digits = name.to_str().expect("digits").as_bytes();
    let bytes = digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16));
    String::from_utf8(bytes.map(|byte| byte.expect("a byte")).collect()).expect("text")
}

/// What tells an open file from all others. They are on one volume, whose number Wine does not tell of every handle.
fn key(file: &File) -> String {
    format!("{:x}", cap_std::fs::Metadata::from_file(file).expect("metadata").ino())
}

fn open(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.read(true);
    // FILE_FLAG_BACKUP_SEMANTICS: folders too.
    #[cfg(windows)]
    std::os::windows::fs::OpenOptionsExt::custom_flags(&mut options, 0x0200_0000);
    options.open(path).expect("what was written")
}

#[cfg(unix)]
fn file_of(opened: &Opened) -> io::Result<File> {
    Ok(std::os::fd::AsFd::as_fd(opened).try_clone_to_owned()?.into())
}

#[cfg(unix)]
fn opened(file: File) -> io::Result<Opened> {
    Ok(std::os::fd::OwnedFd::from(file).into())
}

#[cfg(windows)]
fn file_of(opened: &Opened) -> io::Result<File> {
    Ok(std::os::windows::io::AsHandle::as_handle(opened).try_clone_to_owned()?.into())
}

#[cfg(windows)]
fn opened(file: File) -> io::Result<Opened> {
    Ok(std::os::windows::io::OwnedHandle::from(file).into())
}
