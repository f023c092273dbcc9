//! The bytes of the disk as they are.

use std::io;
use std::path::Path;

use super::{Destination, is_not_ours};
use crate::error::{Error, Result};
use crate::extract::sink::{DiskFile, describe};

/// A raw file: what the disk's map knows as zeros, and what is lost, are holes.
pub(super) struct Raw(pub(super) DiskFile);

/// Goes on with a file that holds `done` bytes.
pub(super) fn go_on(path: &Path, done: u64) -> Result<Box<dyn Destination>> {
    let failed = |error: io::Error| Error::io(describe(&error), error).in_file(path);
    let mut file = DiskFile::reopen(path).map_err(failed)?;
    if file.length().map_err(failed)? < done {
        return Err(is_not_ours(path, "the file is shorter than its map tells"));
    }
    // What the earlier run wrote behind this is written again, and not all of it: holes are left out.
    file.set_length(done).map_err(failed)?;
    Ok(Box::new(Raw(file)))
}

/// Opens what is complete, to be read: nothing is written to it any more.
pub(super) fn open(path: &Path) -> Result<Box<dyn Destination>> {
    let file = DiskFile::open_to_read(path).map_err(|error| Error::io(describe(&error), error).in_file(path))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_after_it_was_kept_leaves_no_trace() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new");
        let mut new = Raw(DiskFile::create(&path).unwrap());
        new.data(0, &[1; 1000]).unwrap();
        new.keep(1000).unwrap();
        new.data(1000, &[2; 1000]).unwrap();
        drop(new);

        // The next run finds a hole there, such as where storage fails by now.
        let mut again = go_on(&path, 1000).unwrap();
        again.data(3000, &[3; 1000]).unwrap();
        again.keep(5000).unwrap();
        again.seal().unwrap();
        let mut read = vec![0xee; 5000];
        again.read(0, &mut read).unwrap();
        assert!(read == [vec![1; 1000], vec![0; 2000], vec![3; 1000], vec![0; 1000]].concat());
    }
}
