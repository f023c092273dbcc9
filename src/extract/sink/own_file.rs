//! Files that a run writes of itself: its manifest, and lists where the user wants them.

use std::io::{self, Write};
use std::path::Path;

use super::handed_over::handed_over;

/// A file of the run's own that is written to its end: the manifest, a list.
pub struct OwnFile(std::fs::File);

impl OwnFile {
    pub(super) fn new(file: std::fs::File) -> Self {
        OwnFile(file)
    }

    /// Waits until it stands on the storage.
    ///
    /// # Errors
    /// As the host's.
    pub fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

impl Write for OwnFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    /// Hands over to the file system what was written: it may have something to say of it.
    fn flush(&mut self) -> io::Result<()> {
        handed_over(&self.0)
    }
}

/// Creates a file that the user named.
///
/// # Errors
/// As the host's; when something bears the name.
pub fn create_new(path: &Path) -> io::Result<OwnFile> {
    std::fs::OpenOptions::new().write(true).create_new(true).open(path).map(OwnFile)
}

/// Removes a list that an earlier run wrote where the user named it, so that it can be written anew.
///
/// # Errors
/// As the host's; when it is no file.
pub fn remove_list(path: &Path) -> io::Result<()> {
    if std::fs::symlink_metadata(path)?.is_file() {
        std::fs::remove_file(path)
    } else {
        Err(io::Error::other("this is no file"))
    }
}
