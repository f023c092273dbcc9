//! A folder of images that are in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vhdx_mount::image::{Depth, FileId, ImageStore, Listing, OpenedImage, ReadAt};
use vhdx_mount::{Error, ErrorKind, Result};

/// The images, and the paths that they have. A path of another folder finds them, too: it is the name that counts.
pub(crate) struct MemoryFolder<Image>(pub(crate) Vec<(PathBuf, Arc<Image>)>);

impl<Image: ReadAt + 'static> MemoryFolder<Image> {
    fn open(&self, path: &Path) -> Result<OpenedImage> {
        let found = self.0.iter().find(|(named, _)| named.file_name() == path.file_name());
        let (path, image) = found.ok_or_else(|| Error::new(ErrorKind::NotFound, "no such image"))?;
        Ok(OpenedImage {
            path: path.clone(),
            id: FileId::new(path.display().to_string()),
            image: Arc::clone(image) as Arc<dyn ReadAt>,
            findings: Vec::new(),
            changes: None,
        })
    }
}

impl<Image: ReadAt + 'static> ImageStore for MemoryFolder<Image> {
    fn open_named(&self, path: &Path) -> Result<OpenedImage> {
        self.open(path)
    }

    fn open_found(&self, path: &Path) -> Result<OpenedImage> {
        self.open(path)
    }

    fn find(&self, _: &Path, components: &[&str]) -> Option<PathBuf> {
        let name = components.last()?;
        self.0.iter().map(|(path, _)| path).find(|path| path.file_name().is_some_and(|n| n == *name)).cloned()
    }

    fn list(&self, _: &Path, _: Depth, _: usize) -> Result<Listing> {
        Ok(Listing { files: self.0.iter().map(|(path, _)| path.clone()).collect(), left_out: Vec::new() })
    }
}
