//! Which image the user speaks of: a file, or, where none is at hand under that name, the link that is called so.

use std::path::{Path, PathBuf};

use super::{FileId, ImageStore};
use crate::error::{ErrorKind, Result};

/// See the module.
#[derive(Clone)]
pub(crate) enum Whose {
    File(FileId),
    /// No file is at hand under that name: the link that is called so.
    Name(PathBuf),
}

impl Whose {
    /// Finds the file.
    ///
    /// # Errors
    /// As [`ImageStore::open_named`]; a mere name that is not there is none.
    pub(crate) fn find(store: &dyn ImageStore, path: &Path) -> Result<Self> {
        match store.open_named(path) {
            Ok(opened) => Ok(Whose::File(opened.id)),
            Err(error) if error.kind() == ErrorKind::NotFound && path.components().count() == 1 => {
                Ok(Whose::Name(path.to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether it is that image.
    pub(crate) fn is(&self, path: &Path, id: &FileId) -> bool {
        match self {
            Whose::File(file) => file == id,
            Whose::Name(name) => file_name(name) == file_name(path),
        }
    }
}

/// A file's name in lower case, as Windows compares names.
pub(crate) fn file_name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default()
}
