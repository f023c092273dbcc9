//! A volume → a [`Tree`].
//!
//! One room a file system. To add one: a room here, and its line in [`open`].

mod marks;
pub mod ntfs;
mod recognise;
mod untold;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mount_api::Tree;

use crate::image::ReadAt;
use crate::report::{Code, Finding, Severity};

pub use recognise::{FileSystem, recognise};
pub use untold::Untold;

use marks::Marks;

/// How file systems are shown.
#[derive(Debug, Clone, Default)]
pub struct FsOptions {
    /// List the file system's own files too, such as NTFS's `$MFT`.
    pub metafiles: bool,
    /// Serve encrypted streams (EFS) as they lie instead of refusing them.
    pub raw_encrypted: bool,
    /// Show deleted files, and files that no folder has, in folders of their own.
    pub deleted: bool,
    /// Serve bytes that nothing proves, such as those of deleted files whose clusters others have by now.
    pub accept_doubtful: bool,
    /// Look through the records of all files for those that no folder has; the findings tell of them.
    pub look_for_orphans: bool,
    /// Set it, and what reads all records of a volume ends soon; what it then cannot tell counts as lost. For whoever wants nothing
    /// more of these volumes.
    pub stop: Arc<AtomicBool>,
}

impl FsOptions {
    fn of_ntfs(&self) -> ntfs::Options {
        let FsOptions { metafiles, raw_encrypted, deleted, accept_doubtful, .. } = *self;
        ntfs::Options { metafiles, raw_encrypted, deleted, accept_doubtful }
    }
}

/// An opened volume.
pub struct OpenedFs {
    /// The file system by name, where it is known.
    pub name: Option<&'static str>,
    /// Why that is not told, or not proven.
    pub untold: Option<Untold>,
    /// Its files, where it is one that this program reads.
    pub tree: Option<Arc<dyn Tree>>,
    /// What was found while opening it.
    pub findings: Vec<Finding>,
    /// Tells what was found while opening it and reading from it since; `None` where nothing more can come.
    pub look_again: Option<LookAgain>,
}

/// Tells what was found so far.
pub type LookAgain = Box<dyn Fn() -> Vec<Finding> + Send + Sync>;

/// Opens a volume. Damage is told in the findings.
#[must_use]
pub fn open(volume: &Arc<dyn ReadAt>, options: &FsOptions) -> OpenedFs {
    let marks = Marks::of(volume);
    let found = recognise::by_marks(&marks);
    let name = found.map(FileSystem::name);
    match found {
        Some(FileSystem::Ntfs) => match ntfs::open(volume, options.of_ntfs()) {
            Ok(tree) => {
                let tree = tree.stopped_by(&options.stop);
                if options.look_for_orphans {
                    tree.look_for_orphans();
                }
                let tree = Arc::new(tree);
                let same = Arc::clone(&tree);
                let look_again: LookAgain = Box::new(move || same.findings());
                let findings = tree.findings();
                OpenedFs { name, untold: None, findings, tree: Some(tree), look_again: Some(look_again) }
            }
            Err(error) => unread(name, error.to_string()),
        },
        _ => {
            let untold = Untold::of(&marks, found);
            OpenedFs { name, untold, tree: None, findings: Vec::new(), look_again: None }
        }
    }
}

fn unread(name: Option<&'static str>, text: String) -> OpenedFs {
    let finding = Finding::new(Code::VolumeUnread, Severity::Error, text)
        .advise("the bytes of the volume can still be read, for tools that search for files by their content");
    OpenedFs { name, untold: None, tree: None, findings: vec![finding], look_again: None }
}
