//! One link of a chain, and whether it is the parent that its child names.

use std::path::PathBuf;
use std::sync::Arc;

use crate::bytes::Guid;
use crate::format::vhdx::LogState;
use crate::layer::{Layer, ParentRecord, PlaceKind};

/// One open image of a chain.
pub struct Link {
    /// The path by which it was opened.
    pub path: PathBuf,
    /// Its size on the host, in bytes.
    pub file_size: u64,
    /// Its map of the disk.
    pub layer: Arc<dyn Layer>,
    /// The state of its log, where its format has one.
    pub log: Option<LogState>,
    /// How it was found.
    pub found: Found,
    /// What proves that it belongs here; `None` for the link that was opened.
    pub proof: Option<LinkProof>,
}

/// How a link was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It is the image that the user opened.
    Opened,
    /// The user gave it as a parent.
    Given,
    /// It stands where its child says.
    Recorded(PlaceKind),
    /// It has the recorded name, in another folder.
    ByName,
    /// Only its identity told.
    ByIdentity,
}

impl Found {
    /// In a few words.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Found::Opened => "opened",
            Found::Given => "given with --parent",
            Found::Recorded(PlaceKind::Relative) => "recorded relative path",
            Found::Recorded(PlaceKind::Volume) => "recorded volume path",
            Found::Recorded(PlaceKind::Absolute) => "recorded absolute path",
            Found::ByName => "recorded name, another folder",
            Found::ByIdentity => "identity alone",
        }
    }
}

/// What proves that an image is the parent that its child names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkProof {
    /// Its DataWriteGuid is the child's `parent_linkage`.
    Linkage,
    /// Its DataWriteGuid is the child's `parent_linkage2`: a merge of this child into it had begun.
    Linkage2,
}

/// Whether an image of this DataWriteGuid is the parent that `record` names.
pub(super) fn judge(record: &ParentRecord, candidate: Guid) -> Option<LinkProof> {
    // A file that never got a GUID is not told from any other such file.
    let is = |wanted: Option<Guid>| wanted == Some(candidate) && !candidate.is_zero();
    if is(record.linkage) {
        Some(LinkProof::Linkage)
    } else if is(record.linkage2) {
        Some(LinkProof::Linkage2)
    } else {
        None
    }
}
