//! Following the links from the youngest image to the base.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskLink, Doubt};
use super::link::{Found, Link, LinkProof, judge};
use super::locate::{Candidate, Locator};
use crate::error::{Error, ErrorKind, Result};
use crate::format::{self, FormatOptions};
use crate::image::{FileId, ImageStore, OpenedImage};
use crate::layer::ParentRecord;
use crate::report::{Code, Finding, Severity};

/// A chain of more links than this is refused. Hyper-V itself stops at 50 checkpoints.
pub const MAX_LINKS: usize = 1000;

/// Files that a refusal lists.
const MAX_LISTED: usize = 20;

/// How a chain is to be opened.
#[derive(Debug, Clone, Default)]
pub struct ChainOptions {
    /// Images that may be parents, named by the user.
    pub parents: Vec<PathBuf>,
    /// Folders to search for parents, with all folders below.
    pub parent_dirs: Vec<PathBuf>,
    /// How each container is read.
    pub format: FormatOptions,
    /// What becomes of bytes that are there but not proven.
    pub doubt: Doubt,
}

/// An open chain.
pub struct Chain {
    links: Vec<Link>,
    findings: Vec<Finding>,
    disk: Arc<Disk>,
}

impl Chain {
    /// The links, from the opened (youngest) one to the base. Never empty.
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// What was found while opening.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The merged disk.
    #[must_use]
    pub fn disk(&self) -> &Arc<Disk> {
        &self.disk
    }
}

/// Opens the image at `path` and all of its parents.
///
/// # Errors
/// When the image or a parent cannot be read as one, or a parent is not found. The error then says what was wanted, what
/// was looked at and what to try.
pub fn open(store: &dyn ImageStore, path: &Path, options: &ChainOptions) -> Result<Chain> {
    let mut opening = Opening {
        options,
        locator: Locator::new(store, options),
        store,
        links: Vec::new(),
        ids: Vec::new(),
        findings: Vec::new(),
    };
    // Absolute, so that messages and reports name the file wherever they are read.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    opening.push(store.open_named(&path)?, Found::Opened, None)?;
    while let Some((child, record)) = opening.wanted_parent() {
        if opening.links.len() >= MAX_LINKS {
            let text = format!("the chain has more than {MAX_LINKS} links, which no disk has");
            return Err(Error::new(ErrorKind::Refused, text).in_file(child));
        }
        let (candidate, opened, proof) = opening.find_parent(&child, &record)?;
        opening.push(opened, candidate.found, Some(proof))?;
        opening.compare_with_child();
    }
    let links: Vec<DiskLink> = opening.links.iter().map(|link| DiskLink::proven(Arc::clone(&link.layer))).collect();
    let disk = Arc::new(Disk::new(links, options.doubt)?);
    Ok(Chain { links: opening.links, findings: opening.findings, disk })
}

struct Opening<'a> {
    options: &'a ChainOptions,
    locator: Locator<'a>,
    store: &'a dyn ImageStore,
    links: Vec<Link>,
    ids: Vec<FileId>,
    findings: Vec<Finding>,
}

/// Candidates that are not the parent.
#[derive(Default)]
struct Rejected {
    /// All that were looked at.
    paths: BTreeSet<PathBuf>,
    /// Why, in the order in which they were looked at.
    why: Vec<(PathBuf, String)>,
    /// One that bears the wanted identity and is a link of the chain already.
    in_chain: Option<PathBuf>,
}

impl Opening<'_> {
    /// Adds an open image as the next link.
    fn push(&mut self, opened: OpenedImage, found: Found, proof: Option<LinkProof>) -> Result<()> {
        let path = opened.path;
        let file_size = opened.image.size();
        let container = format::open(opened.image, self.options.format).map_err(|error| error.in_file(&path))?;
        let number = u32::try_from(self.links.len()).unwrap_or(u32::MAX);
        let link = Link { path, file_size, layer: container.layer, log: container.log, found, proof };
        for finding in container.findings {
            self.add(finding, number, &link.path);
        }
        self.links.push(link);
        self.ids.push(opened.id);
        Ok(())
    }

    fn add(&mut self, mut finding: Finding, link: u32, file: &Path) {
        finding.link = Some(link);
        finding.file = Some(file.display().to_string());
        self.findings.push(finding);
    }

    /// The last link and what it says of its parent; `None` where it is a base.
    fn wanted_parent(&self) -> Option<(PathBuf, ParentRecord)> {
        let last = self.links.last()?;
        Some((last.path.clone(), last.layer.identity().parent.clone()?))
    }

    /// The first candidate whose identity is the recorded one and that can be read.
    fn find_parent(&mut self, child: &Path, record: &ParentRecord) -> Result<(Candidate, OpenedImage, LinkProof)> {
        let mut rejected = Rejected::default();
        let named = self.locator.named(child, record);
        if let Some(found) = self.first_proven(named, record, child, &mut rejected)? {
            return Ok(found);
        }
        let listed = self.locator.listed(child);
        if let Some(found) = self.first_proven(listed, record, child, &mut rejected)? {
            return Ok(found);
        }
        match rejected.in_chain {
            Some(path) => Err(cycle(child, &path)),
            None => Err(refusal(child, record, &rejected.why)),
        }
    }

    fn first_proven(
        &mut self,
        candidates: Vec<Candidate>,
        record: &ParentRecord,
        child: &Path,
        rejected: &mut Rejected,
    ) -> Result<Option<(Candidate, OpenedImage, LinkProof)>> {
        for candidate in candidates {
            if !rejected.paths.insert(candidate.path.clone()) {
                continue;
            }
            // The child itself is no parent worth telling of, unless it claims to be one.
            let is_child = candidate.found == Found::ByIdentity && candidate.path.file_name() == child.file_name();
            let guid = match self.locator.data_write_guid(&candidate.path) {
                Ok(guid) => guid,
                Err(why) => {
                    rejected.why.push((candidate.path, why));
                    continue;
                }
            };
            let Some(proof) = judge(record, guid) else {
                if !is_child {
                    rejected.why.push((candidate.path, format!("DataWriteGuid {guid}")));
                }
                continue;
            };
            let opened = match candidate.found {
                Found::Given => self.store.open_named(&candidate.path)?,
                _ => self.store.open_found(&candidate.path)?,
            };
            if self.ids.contains(&opened.id) {
                // Another file may bear the same GUID and be the real one.
                rejected.in_chain.get_or_insert(candidate.path);
                continue;
            }
            // A damaged copy must not stand in the way of a whole one.
            if let Err(error) = format::open(Arc::clone(&opened.image), self.options.format) {
                rejected.why.push((candidate.path, format!("it is the parent, but {error}")));
                continue;
            }
            return Ok(Some((candidate, opened, proof)));
        }
        Ok(None)
    }

    /// What is unusual about the last link as the parent of the one before it.
    fn compare_with_child(&mut self) {
        let [.., child, parent] = self.links.as_slice() else { return };
        let mut findings = Vec::new();
        let mut note = |code, severity, text: String| findings.push(Finding::new(code, severity, text));
        let (ours, theirs) = (child.layer.geometry(), parent.layer.geometry());
        if !matches!(parent.found, Found::Recorded(_)) {
            let text = format!("the parent was not where its child says; found by: {}", parent.found.describe());
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
        if ours.logical_sector_size != theirs.logical_sector_size {
            let (a, b) = (ours.logical_sector_size, theirs.logical_sector_size);
            let text =
                format!("the child has logical sectors of {a} bytes, this image of {b}, which the format forbids");
            note(Code::ParentSectorSizeDiffers, Severity::Warning, text);
        }
        let (a, b) = (child.layer.identity().disk_id, parent.layer.identity().disk_id);
        if a.is_some() && b.is_some() && a != b {
            let text = "the virtual disk id differs from the child's, though the linkage proves the parent";
            note(Code::DiskIdDiffers, Severity::Information, text.to_owned());
        }
        let path = parent.path.clone();
        let number = u32::try_from(self.links.len().saturating_sub(1)).unwrap_or(u32::MAX);
        for finding in findings {
            self.add(finding, number, &path);
        }
    }
}

fn cycle(child: &Path, parent: &Path) -> Error {
    let text =
        format!("its parent is {}, which is already a link of this chain: the chain has no base", parent.display());
    Error::new(ErrorKind::Refused, text).in_file(child).advise(
        "one of these files was overwritten by a copy of another: look for the real parent, and give it with --parent",
    )
}

fn refusal(child: &Path, record: &ParentRecord, rejected: &[(PathBuf, String)]) -> Error {
    let Some(linkage) = record.linkage else {
        return Error::new(
            ErrorKind::NotFound,
            "it is a differencing disk, but does not say which parent it belongs to",
        )
        .in_file(child);
    };
    let mut error =
        Error::new(ErrorKind::NotFound, format!("its parent was not found: no image with DataWriteGuid {linkage}"))
            .in_file(child);
    if let Some(linkage2) = record.linkage2 {
        error = error.detail(format!("or, for a merge had begun, DataWriteGuid {linkage2}"));
    }
    for place in &record.places {
        error = error.detail(format!("recorded place: {}", place.path));
    }
    for (path, why) in rejected.iter().take(MAX_LISTED) {
        error = error.detail(format!("looked at {}: {why}", path.display()));
    }
    if rejected.len() > MAX_LISTED {
        error = error.detail(format!("and at {} more files", rejected.len().saturating_sub(MAX_LISTED)));
    }
    let mismatch = rejected.iter().any(|(_, why)| why.starts_with("DataWriteGuid"));
    let advice = if mismatch {
        "the images named above are not the recorded parent: it was moved, or written to since. Say where else to look with --parent-dir DIR, or name it with --parent FILE"
    } else {
        "say where to look with --parent-dir DIR, or name the parent with --parent FILE"
    };
    error.advise(advice)
}
