//! The bytes of the disk as they are.

use std::io;
use std::path::Path;

use super::{Destination, is_not_ours};
use crate::error::{Error, Result};
use crate::extract::sink::{DiskFile, describe};

/// A raw file: zeros that nobody wrote are holes.
pub(super) struct Raw(pub(super) DiskFile);

/// Goes on with a file that holds `done` bytes.
pub(super) fn go_on(path: &Path, done: u64) -> Result<Box<dyn Destination>> {
    let failed = |error: io::Error| Error::io(describe(&error), error).in_file(path);
    let file = DiskFile::reopen(path).map_err(failed)?;
    if file.length().map_err(failed)? < done {
        return Err(is_not_ours(path, "the file is shorter than its map tells"));
    }
    Ok(Box::new(Raw(file)))
}

impl Destination for Raw {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write(offset, bytes)
    }

    fn read(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, buf)
    }

    fn keep(&mut self, done: u64) -> io::Result<()> {
        // A hole may stand at the end.
        if self.0.length()? < done {
            self.0.set_length(done)?;
        }
        self.0.sync()
    }

    fn seal(&mut self) -> io::Result<()> {
        Ok(())
    }
}
