//! A volume → a [`Tree`].
//!
//! One room a file system. To add one: a room here, and its line in [`open`].

pub mod ntfs;
mod recognise;

use std::sync::Arc;

use mount_api::Tree;

use crate::image::ReadAt;
use crate::report::{Code, Finding, Severity};

pub use recognise::{FileSystem, recognise};

/// How file systems are shown.
#[derive(Debug, Clone, Default)]
pub struct FsOptions {
    /// List the file system's own files too, such as NTFS's `$MFT`.
    pub metafiles: bool,
    /// Serve encrypted streams (EFS) as they lie instead of refusing them.
    pub raw_encrypted: bool,
}

/// An opened volume.
pub struct OpenedFs {
    /// The file system by name, where it is known.
    pub name: Option<&'static str>,
    /// Its files, where it is one that this program reads.
    pub tree: Option<Arc<dyn Tree>>,
    /// What was found while opening it.
    pub findings: Vec<Finding>,
}

/// Opens a volume. Damage is told in the findings.
#[must_use]
pub fn open(volume: &Arc<dyn ReadAt>, options: &FsOptions) -> OpenedFs {
    let found = recognise(volume);
    let name = found.map(FileSystem::name);
    match found {
        Some(FileSystem::Ntfs) => match ntfs::open(volume, options.into()) {
            Ok(tree) => {
                let findings = tree.findings();
                OpenedFs { name, tree: Some(Arc::new(tree)), findings }
            }
            Err(error) => unread(name, error.to_string()),
        },
        _ => OpenedFs { name, tree: None, findings: Vec::new() },
    }
}

impl From<&FsOptions> for ntfs::Options {
    fn from(options: &FsOptions) -> Self {
        ntfs::Options { metafiles: options.metafiles, raw_encrypted: options.raw_encrypted }
    }
}

fn unread(name: Option<&'static str>, text: String) -> OpenedFs {
    let finding = Finding::new(Code::VolumeUnread, Severity::Error, text)
        .advise("the bytes of the volume can still be read, for tools that search for files by their content");
    OpenedFs { name, tree: None, findings: vec![finding] }
}
