//! A volume → a [`Tree`].
//!
//! One room a file system. To add one: a room here, and its line in [`open`].

use std::sync::Arc;

use mount_api::Tree;

use crate::image::ReadAt;
use crate::report::Finding;

/// How file systems are shown.
#[derive(Debug, Clone, Default)]
pub struct FsOptions {}

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
pub fn open(_volume: Arc<dyn ReadAt>, _options: &FsOptions) -> OpenedFs {
    OpenedFs { name: None, tree: None, findings: Vec::new() }
}
