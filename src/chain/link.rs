//! One link of a chain, and whether it is the parent that its child names.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bytes::Guid;
use crate::format::vhdx::LogState;
use crate::image::{Changes, FileId};
use crate::layer::{ContainerKind, Layer, ParentRecord, PlaceKind};
use crate::report::{Code, Finding, Severity};

/// One open image of a chain.
pub struct Link {
    /// The path by which it was opened.
    pub path: PathBuf,
    /// The same for every name of its file.
    pub id: FileId,
    /// Its size on the host, in bytes.
    pub file_size: u64,
    /// Its map of the disk.
    pub layer: Arc<dyn Layer>,
    /// Tells whether something writes to it, where its store can.
    pub changes: Option<Arc<dyn Changes>>,
    /// The state of its log, where its format has one.
    pub log: Option<LogState>,
    /// How it was found.
    pub found: Found,
    /// What proves that it belongs here, if anything does; `None` for the link that was opened.
    pub proof: Option<LinkProof>,
    /// Why all that comes from it or from below it is doubtful.
    pub doubt: Option<Code>,
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
    /// In a folder that was searched, and its identity is not the one that is wanted.
    InFolder,
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
            Found::ByIdentity => "its identity",
            Found::InFolder => "in a folder that was searched",
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
    /// Nothing: the user allowed it. All that comes from it or from below it is doubtful.
    Unproven,
}

impl LinkProof {
    /// The key of the child's parent locator that holds it, or `none`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            LinkProof::Linkage => "parent_linkage",
            LinkProof::Linkage2 => "parent_linkage2",
            LinkProof::Unproven => "none",
        }
    }
}

impl Link {
    /// The same open image once more.
    pub(super) fn again(&self) -> Self {
        Link {
            path: self.path.clone(),
            id: self.id.clone(),
            layer: Arc::clone(&self.layer),
            changes: self.changes.clone(),
            ..*self
        }
    }
}

/// Whether an image of this DataWriteGuid is the parent that `record` names.
pub(crate) fn judge(record: &ParentRecord, candidate: Guid) -> Option<LinkProof> {
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

/// Digits of a GUID.
pub(crate) const DIGITS: u32 = 32;

/// Of two GUIDs that have nothing to do with each other 2 digits are alike, and never so many.
const MANY_DIGITS: u32 = 16;

/// How many of its 32 digits the identity that `record` names has in common with an image of another DataWriteGuid, where they are
/// too many for chance: one of the two is damaged.
pub(crate) fn digits_alike(record: &ParentRecord, candidate: Guid) -> Option<u32> {
    let recorded = record.linkage.map(|guid| guid.to_string()).or_else(|| record.spoilt_linkage.clone())?;
    let plain = recorded.strip_prefix('{').unwrap_or(&recorded);
    let plain = plain.strip_suffix('}').unwrap_or(plain);
    let own = candidate.to_string();
    // A brace may be the wrong one.
    let is_brace = plain.chars().count() > own.chars().count() && !recorded.starts_with('{');
    let digits = plain.chars().skip(usize::from(is_brace)).zip(own.chars()).filter(|(_, own)| *own != '-');
    let alike =
        digits.filter(|(found, own)| found.eq_ignore_ascii_case(own)).fold(0u32, |all, _| all.saturating_add(1));
    (alike >= MANY_DIGITS && !candidate.is_zero()).then_some(alike)
}

/// That a file is named like a VHDX and is read as a raw disk.
pub(crate) fn named_otherwise(path: &Path, kind: ContainerKind) -> Option<Finding> {
    let text = "by its name this is a VHDX, and nothing in it says so: it is read as a raw disk, byte by byte; if something wrote a disk over a VHDX, that is wrong";
    let is_raw = kind == ContainerKind::Raw && super::beside::is_named_like_a_vhdx(path);
    is_raw.then(|| Finding::new(Code::ReadAsRaw, Severity::Warning, text).advise("look for a copy of the file"))
}

/// What is found of an image, where it is a parent: its log may be dirty no more, for it was closed before a child was made over it.
/// Unlike the youngest image of a machine that stopped, it was copied while something wrote to it, or a merge into it had begun.
pub(super) fn of_parent(mut finding: Finding) -> Finding {
    let is_dirty = matches!(finding.code, Code::LogReplayed | Code::LogEmpty);
    if is_dirty && finding.severity == Severity::Information {
        finding.severity = Severity::Warning;
        finding.text = format!(
            "{}; a parent is closed before its child is made: it was copied while something wrote to it, or before its child was made, or a merge into it had begun",
            finding.text
        );
        finding.advice =
            finding.advice.or_else(|| Some("look for a copy that was made of all images at one time".to_owned()));
    }
    finding
}

/// What is unusual about an image as the parent of its child.
pub(super) fn compare(child: &Link, parent: &Link) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut note = |code, severity, text: String| findings.push(Finding::new(code, severity, text));
    let (ours, theirs) = (child.layer.geometry(), parent.layer.geometry());
    if parent.proof == Some(LinkProof::Unproven) {
        let text = "nothing proves that this image is the parent of the one above it; it was allowed, and all that comes from it or from below it is doubtful";
        note(Code::LinkUnproven, Severity::Error, text.to_owned());
    }
    if !matches!(parent.found, Found::Recorded(_)) {
        let (place, how) = (parent.path.display(), parent.found.describe());
        let text = match parent.found {
            Found::InFolder => format!("the parent was not where its child says; this one was found at {place}, {how}"),
            _ => format!("the parent was not where its child says; it was found at {place}, by: {how}"),
        };
        note(Code::ParentElsewhere, Severity::Information, text);
    }
    if parent.proof == Some(LinkProof::Linkage2) {
        let text = "a merge of its child into this image had begun: other children of this image no longer fit it";
        note(Code::ParentMidMerge, Severity::Warning, text.to_owned());
    }
    if ours.virtual_size != theirs.virtual_size {
        let (a, b) = (ours.virtual_size, theirs.virtual_size);
        let text = format!(
            "the child's disk has {a} bytes, this one {b}: the disk was resized; past this end the parent reads as zeros"
        );
        note(Code::ParentSizeDiffers, Severity::Information, text);
    }
    let is_raw = parent.layer.identity().kind == ContainerKind::Raw;
    // A raw disk does not say how large its sectors are.
    if ours.logical_sector_size != theirs.logical_sector_size && !is_raw {
        let (a, b) = (ours.logical_sector_size, theirs.logical_sector_size);
        let text = format!("the child has logical sectors of {a} bytes, this image of {b}, which the format forbids");
        note(Code::ParentSectorSizeDiffers, Severity::Warning, text);
    }
    let (a, b) = (child.layer.identity().disk_id, parent.layer.identity().disk_id);
    if a.is_some() && b.is_some() && a != b {
        let text = "the virtual disk id differs from the child's";
        note(Code::DiskIdDiffers, Severity::Information, text.to_owned());
    }
    findings
}

/// Links of one chain that bear one DataWriteGuid, which zeros are not: each further one is told, with the first that has it.
pub(super) fn one_identity(links: &[Link]) -> Vec<Finding> {
    let mut known: HashMap<Guid, &Link> = HashMap::new();
    let mut findings = Vec::new();
    for (number, link) in (0u32..).zip(links) {
        let guid = link.layer.identity().data_write_guid.filter(|guid| !guid.is_zero());
        let Some(guid) = guid else { continue };
        let Some(younger) = known.insert(guid, link) else { continue };
        let text = format!(
            "this image and {}, another link of the chain, bear one DataWriteGuid, which no two images share: the headers of one of them were written over by the other's, and its own log may have been dirty",
            younger.path.display()
        );
        let finding = Finding::new(Code::IdentityShared, Severity::Warning, text);
        findings.push(finding.advise("look for another copy of both").in_link(number, &link.path));
    }
    findings
}
