use std::path::PathBuf;

use mount_api::LostReads;

/// How a tree is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Options {
    /// Let every user of this machine read, not only administrators and who mounts.
    pub allow_other: bool,
    /// Have Windows keep no content of files in its cache: each read is asked of the tree.
    pub direct_io: bool,
    /// What a read of lost bytes gives.
    pub lost: LostReads,
    /// Threads that answer requests; 0 leaves it to WinFsp.
    pub threads: u32,
    /// WinFsp's DLL; `None` for the one that is installed.
    pub library: Option<PathBuf>,
}
