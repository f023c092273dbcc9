//! One large file that a disk is written into, and the small one beside it that tells how far that has come.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::fill;
use super::handed_over::handed_over;

/// A file that a whole disk is written into.
pub struct DiskFile(std::fs::File);

impl DiskFile {
    /// Creates it.
    ///
    /// # Errors
    /// As the host's; when something bears the name.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        Ok(DiskFile(file))
    }

    /// Creates it, or empties what an interrupted export left before its map told of anything. That it is no image is for the
    /// caller to see.
    ///
    /// # Errors
    /// As the host's; when it is no file.
    pub fn begin_again(path: &Path) -> io::Result<Self> {
        if path.symlink_metadata().is_err() {
            return Self::create(path);
        }
        let file = Self::reopen(path)?;
        file.0.set_len(0)?;
        Ok(file)
    }

    /// Opens what an interrupted export wrote.
    ///
    /// # Errors
    /// As the host's; when it is no file.
    pub fn reopen(path: &Path) -> io::Result<Self> {
        is_file(path)?;
        let file = std::fs::OpenOptions::new().read(true).write(true).open(path)?;
        Ok(DiskFile(file))
    }

    /// Opens it to be looked at; nothing can be written to it.
    ///
    /// # Errors
    /// As the host's; when it is no file.
    pub fn open_to_read(path: &Path) -> io::Result<Self> {
        is_file(path)?;
        std::fs::File::open(path).map(DiskFile)
    }

    /// Its length in bytes.
    ///
    /// # Errors
    /// As the host's.
    pub fn length(&self) -> io::Result<u64> {
        self.0.metadata().map(|found| found.len())
    }

    /// Writes at an offset.
    ///
    /// # Errors
    /// As the host's.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(offset))?;
        self.0.write_all(bytes)
    }

    /// Reads what was written; past its end stand zeros.
    ///
    /// # Errors
    /// As the host's.
    pub fn read(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(offset))?;
        let read = fill(&mut self.0, buf)?;
        buf.get_mut(read..).unwrap_or_default().fill(0);
        Ok(())
    }

    /// Sets the length: a hole may stand at the end.
    ///
    /// # Errors
    /// As the host's.
    pub fn set_length(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length).map_err(|error| match error.kind() {
            // So says a file system of a length that none of its files can have.
            io::ErrorKind::InvalidInput | io::ErrorKind::FileTooLarge => {
                let text = format!("no file of {length} bytes can stand there: choose a file system for larger ones");
                io::Error::new(io::ErrorKind::FileTooLarge, text)
            }
            _ => error,
        })
    }

    /// Whether this new file can come to have so many bytes: ext4 ends at 16 TiB, FAT at 4 GiB, `ulimit -f` where it says.
    ///
    /// # Errors
    /// As the host's; when it cannot.
    pub fn try_length(&mut self, length: u64) -> io::Result<()> {
        // What every file system can hold is not tried: FAT would write its zeros.
        if length <= u64::from(u32::MAX) {
            return Ok(());
        }
        self.set_length(length)?;
        self.0.set_len(0)
    }

    /// Removes this file, into which nothing was written.
    ///
    /// # Errors
    /// As the host's.
    pub fn take_back(self, path: &Path) -> io::Result<()> {
        drop(self);
        std::fs::remove_file(path)
    }

    /// Waits until it stands on the storage.
    ///
    /// # Errors
    /// As the host's.
    pub fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    /// A small file that an earlier run wrote, its first 64 MiB at most.
    ///
    /// # Errors
    /// As the host's; when it is no file: a pipe would wait for whoever writes to it.
    pub fn read_small(path: &Path) -> io::Result<Vec<u8>> {
        const MOST: u64 = 64 << 20;
        is_file(path)?;
        let mut content = Vec::new();
        std::fs::File::open(path)?.take(MOST).read_to_end(&mut content)?;
        Ok(content)
    }

    /// Writes a small file in place of one that an earlier run wrote.
    ///
    /// # Errors
    /// As the host's; when something stands at [`new_of`] the path that is no file, so that no killed run left it.
    pub fn put(path: &Path, content: &[u8]) -> io::Result<()> {
        let new = new_of(path);
        match is_file(&new) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(()) => std::fs::remove_file(&new)?,
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&new)?;
        file.write_all(content)?;
        // A loss of power leaves one of the two.
        file.sync_data()?;
        handed_over(&file)?;
        drop(file);
        std::fs::rename(&new, path)
    }
}

/// Refuses what is no file: no link is followed, no device is written to.
fn is_file(path: &Path) -> io::Result<()> {
    if std::fs::symlink_metadata(path)?.is_file() { Ok(()) } else { Err(io::Error::other("this is no file")) }
}

/// Where a file is written that is to take the place of another.
#[must_use]
pub fn new_of(path: &Path) -> PathBuf {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    new.into()
}
