//! How a chain is to be opened.

use std::path::PathBuf;

use super::disk::Doubt;
use crate::format::{Facts, FormatOptions};

/// How a chain is to be opened.
#[derive(Debug, Clone, Default)]
pub struct ChainOptions {
    /// Images that may be parents, named by the user.
    pub parents: Vec<PathBuf>,
    /// Folders to search for parents, with all folders below.
    pub parent_dirs: Vec<PathBuf>,
    /// How each container is read.
    pub format: FormatOptions,
    /// What the user says of single images, under any name of their files, or under the file name of a link where a file of
    /// that name is not at hand; it goes before what `format` assumes of all.
    pub assumed_of: Vec<(PathBuf, Facts)>,
    /// What becomes of bytes that are there but not proven.
    pub doubt: Doubt,
    /// What becomes of a chain whose parent is not there.
    pub missing: Missing,
    /// Whether an image may stand in for a parent that it is not proven to be. All that comes from it or from below it is
    /// doubtful then, and served.
    pub allow_mismatch: bool,
}

/// What becomes of a chain whose parent is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missing {
    /// It is refused.
    #[default]
    Error,
    /// What the links above hold is served; what would come from the missing one is lost. Never the bytes of an older
    /// link: those were overwritten, or not, by the one that is missing.
    Lost,
}
