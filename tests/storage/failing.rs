//! The images of the host, on storage that fails where it is told to.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use vhdx_mount::image::{Depth, HostFolders, ImageStore, Isolating, OpenedImage, Patience, ReadAt};
use vhdx_mount::{Error, Faults, Result};

/// The images of the host, some bytes of which cannot be read.
#[derive(Default)]
pub(crate) struct FailingStorage {
    /// Bad ranges of the file of each name.
    pub(crate) bad: Vec<(PathBuf, Vec<Range<u64>>)>,
    /// Reads of bad places so far.
    pub(crate) failures: Arc<AtomicUsize>,
}

struct FailingImage {
    image: Arc<dyn ReadAt>,
    bad: Vec<Range<u64>>,
    failures: Arc<AtomicUsize>,
}

impl ReadAt for FailingImage {
    fn size(&self) -> u64 {
        self.image.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        let end = offset + buf.len() as u64;
        if self.bad.iter().any(|bad| bad.start < end && offset < bad.end) {
            self.failures.fetch_add(1, Ordering::SeqCst);
            buf.fill(0xee);
            return Err(Error::io("bad sector", std::io::Error::from_raw_os_error(5)));
        }
        self.image.read_at(buf, offset, faults)
    }
}

impl FailingStorage {
    fn seen(&self, opened: OpenedImage) -> OpenedImage {
        let bad = self.bad.iter().find(|(path, _)| *path == opened.path).map(|(_, bad)| bad.clone());
        let image =
            FailingImage { image: opened.image, bad: bad.unwrap_or_default(), failures: Arc::clone(&self.failures) };
        let patience = Patience { pauses: [Duration::ZERO; 2], ..Patience::default() };
        OpenedImage { image: Arc::new(Isolating::with_patience(image, patience)), ..opened }
    }
}

impl ImageStore for FailingStorage {
    fn open_named(&self, path: &Path) -> Result<OpenedImage> {
        HostFolders.open_named(path).map(|opened| self.seen(opened))
    }

    fn open_found(&self, path: &Path) -> Result<OpenedImage> {
        HostFolders.open_found(path).map(|opened| self.seen(opened))
    }

    fn find(&self, folder: &Path, components: &[&str]) -> Option<PathBuf> {
        HostFolders.find(folder, components)
    }

    fn list(&self, folder: &Path, depth: Depth, limit: usize) -> Result<vhdx_mount::image::Listing> {
        HostFolders.list(folder, depth, limit)
    }
}
