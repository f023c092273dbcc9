//! Images in memory, some of which the host cannot read everywhere.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use vhdx_mount::image::{Depth, FileId, ImageStore, Isolating, Listing, OpenedImage, Patience, ReadAt};
use vhdx_mount::{Error, ErrorKind, Faults, Result};

/// A folder in memory. Nothing can write to what it holds.
pub(crate) struct Folder(pub(crate) Vec<Stored>);

/// One file of it.
pub(crate) struct Stored {
    pub(crate) path: PathBuf,
    pub(crate) bytes: Arc<Vec<u8>>,
    /// Reads that touch these bytes fail.
    pub(crate) unreadable: Vec<Range<u64>>,
}

struct Failing {
    bytes: Arc<Vec<u8>>,
    unreadable: Vec<Range<u64>>,
}

impl ReadAt for Failing {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        let end = offset + buf.len() as u64;
        if self.unreadable.iter().any(|bad| bad.start < end && offset < bad.end) {
            return Err(Error::new(ErrorKind::Io, "bad sector"));
        }
        self.bytes.read_at(buf, offset, faults)
    }
}

/// Nobody waits for storage that fails in memory.
const HASTE: Patience = Patience {
    pauses: [Duration::ZERO; 2],
    slow: Duration::from_secs(3600),
    limit: Duration::from_secs(3600),
    rest: Duration::ZERO,
};

impl Folder {
    fn open(&self, path: &Path) -> Result<OpenedImage> {
        let found = self.0.iter().find(|stored| stored.path.file_name() == path.file_name());
        let stored = found.ok_or_else(|| Error::new(ErrorKind::NotFound, "no such image"))?;
        let failing = Failing { bytes: Arc::clone(&stored.bytes), unreadable: stored.unreadable.clone() };
        Ok(OpenedImage {
            path: stored.path.clone(),
            id: FileId::new(stored.path.display().to_string()),
            image: Arc::new(Isolating::with_patience(failing, HASTE)),
            findings: Vec::new(),
            changes: None,
        })
    }
}

impl ImageStore for Folder {
    fn open_named(&self, path: &Path) -> Result<OpenedImage> {
        self.open(path)
    }

    fn open_found(&self, path: &Path) -> Result<OpenedImage> {
        self.open(path)
    }

    fn find(&self, _: &Path, components: &[&str]) -> Option<PathBuf> {
        let name = components.last()?;
        self.0.iter().map(|stored| &stored.path).find(|path| path.file_name().is_some_and(|n| n == *name)).cloned()
    }

    fn list(&self, _: &Path, _: Depth, _: usize) -> Result<Listing> {
        Ok(Listing { files: self.0.iter().map(|stored| stored.path.clone()).collect(), left_out: Vec::new() })
    }
}
