//! Following the links from the youngest image to the base.

use std::cell::OnceCell;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::assumed::Assumed;
use super::beside;
use super::disk::{Disk, DiskLink};
use super::doubted::DoubtedLayer;
use super::evidence::{DiskJudge, Evidence, Side};
use super::link::{Found, Link, LinkProof};
use super::locate::Locator;
use super::options::ChainOptions;
use super::other_states;
use super::parent::Parent;
use super::passed_over::PassedOver;
use super::refusal::{self, Refusal};
use super::verified::Verify;
use crate::error::{ErrorKind, Result};
use crate::format::{self, Container, Facts, FormatOptions};
use crate::image::{FileId, ImageStore, OpenedImage, ReadAt};
use crate::layer::{Geometry, MapDoubt, ParentRecord};
use crate::report::{Code, Finding, Severity, quoted};

/// A chain of more links than this is refused. Hyper-V itself stops at 50 checkpoints.
pub const MAX_LINKS: usize = 1000;

/// Tables that are read as a whole when a chain is opened, so that what is wrong with them is told at once: each of up to a
/// MiB and the entries of its sector bitmaps (the BAT of 256 GiB in blocks of 2 MiB, of 4 TiB in blocks of 32 MiB), and larger
/// ones from the youngest link on while so many bytes in all are left (two of 64 TiB in blocks of 32 MiB). Reading a MiB of
/// them takes about a millisecond.
const VERIFIED: Verify = Verify { each: (1 << 20) + (1 << 16), larger: 32 << 20 };

/// Parents that end before their blocks do, for which other files are looked for.
const MAX_TOO_SHORT: usize = 64;

/// An open chain.
pub struct Chain {
    links: Vec<Link>,
    findings: Vec<Finding>,
    disk: Arc<Disk>,
}

impl Chain {
    /// The links, from the opened (youngest) one to the base, or to the last one before a missing parent. Never empty.
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

    /// The same chain, where every byte of the disk was read and none is lost or doubtful. What is wrong with an image then costs
    /// nothing, where that shows in ranges of the disk alone: it is a warning.
    #[must_use]
    pub(crate) fn without_loss(mut self) -> Self {
        let shows_in_ranges =
            |code: Code| matches!(code, Code::NotRescued | Code::FileTruncated | Code::BitmapUnreadable);
        let costless = |finding: &&mut Finding| finding.severity == Severity::Error && shows_in_ranges(finding.code);
        for finding in self.findings.iter_mut().filter(costless) {
            finding.severity = Severity::Warning;
            finding.text = format!("{}; no byte of the disk is lost by it", finding.text);
        }
        self
    }

    /// Parents that the user did not choose and that end before their blocks do.
    fn parents_too_short(&self) -> impl Iterator<Item = FileId> {
        let is_short = |number: u32| {
            let mut of_link = self.findings.iter().filter(move |finding| finding.link == Some(number));
            of_link.any(|finding| finding.code == Code::BlockPastEnd)
        };
        let parents = (0u32..).zip(&self.links).skip(1).filter(|(_, link)| link.found != Found::Given);
        parents.filter(move |(number, _)| is_short(*number)).map(|(_, link)| link.id.clone())
    }

    /// The same chain, and what is known of it now: findings, and parts of the maps of its links that are doubtful. There
    /// is one list of doubts for each link, in order of the disk, without overlaps; links without a list have none.
    #[must_use]
    pub fn knowing(mut self, findings: Vec<Finding>, doubts: Vec<Vec<MapDoubt>>) -> Self {
        // Who looked more closely knows better what was told of the same place before.
        let place = |finding: &Finding| (finding.code, finding.link, finding.structure, finding.offset);
        self.findings.retain(|old| findings.iter().all(|new| place(new) != place(old)));
        self.findings.extend(findings);
        let mut any = false;
        for (link, doubts) in self.links.iter_mut().zip(doubts).filter(|(_, doubts)| !doubts.is_empty()) {
            link.layer = Arc::new(DoubtedLayer::new(Arc::clone(&link.layer), doubts));
            any = true;
        }
        if any {
            self.disk = Arc::new(self.disk.over(self.links.iter().map(|link| Arc::clone(&link.layer))));
        }
        self
    }
}

/// Opens the image at `path` and all of its parents.
///
/// # Errors
/// When the image or a parent cannot be read as one, or a parent is not found and nothing in `options` says how to go on.
/// The error then says what was wanted, what was looked at, what speaks for each, and what to try.
pub fn open(store: &dyn ImageStore, path: &Path, options: &ChainOptions) -> Result<Chain> {
    open_with(store, path, options, None).map_err(|refusal| refusal.error)
}

/// The same. Where no image is proven to be a parent, `disks` looks at what the merged disk is with each candidate. A
/// refusal tells what was known by then.
///
/// # Errors
/// As [`open`](fn@open).
pub fn open_judged(
    store: &dyn ImageStore,
    path: &Path,
    options: &ChainOptions,
    disks: &dyn DiskJudge,
) -> std::result::Result<Chain, Box<Refusal>> {
    open_with(store, path, options, Some(disks))
}

fn open_with(
    store: &dyn ImageStore,
    path: &Path,
    options: &ChainOptions,
    disks: Option<&dyn DiskJudge>,
) -> std::result::Result<Chain, Box<Refusal>> {
    let mut taken: Option<Chain> = None;
    let mut too_short = Vec::new();
    loop {
        let mut opening = Opening { too_short: too_short.clone(), ..Opening::new(store, options, disks) };
        let chain = match (opening.run(path), taken) {
            (Ok(disk), _) => {
                let chain = Chain { links: opening.links, findings: opening.findings, disk: Arc::new(disk) };
                chain.verified(&(0..0), VERIFIED, &mut |_| ControlFlow::Continue(()))
            }
            // What stands in for a file that is too short leads nowhere.
            (Err(_), Some(taken)) => return Ok(taken),
            (Err(error), None) => {
                let Opening { links, findings, candidates, unreadable, .. } = opening;
                return Err(Box::new(Refusal { error, links, findings, candidates, unreadable }));
            }
        };
        let known = too_short.len();
        too_short.extend(chain.parents_too_short().filter(|id| !too_short.contains(id)).collect::<Vec<_>>());
        if too_short.len() == known || known >= MAX_TOO_SHORT {
            return Ok(chain);
        }
        taken = Some(chain);
    }
}

pub(super) struct Opening<'a> {
    pub(super) store: &'a dyn ImageStore,
    pub(super) options: &'a ChainOptions,
    pub(super) disks: Option<&'a dyn DiskJudge>,
    pub(super) locator: Locator<'a>,
    assumed: Assumed,
    /// The files that the user gave as parents, as far as they can be opened: asked for once.
    pub(super) given: OnceCell<Vec<FileId>>,
    pub(super) links: Vec<Link>,
    findings: Vec<Finding>,
    /// The chain ends before its base.
    pub(super) cut: bool,
    /// Files that end before their blocks do: whole copies of them go before.
    pub(super) too_short: Vec<FileId>,
    /// Of the last link, where its metadata was inferred: its parent may know better.
    inferred: Option<Inferred>,
    /// What was looked at for the parent that was not found.
    pub(super) candidates: Vec<Evidence>,
    pub(super) unreadable: Vec<PassedOver>,
}

/// A link whose metadata was inferred.
#[derive(Clone)]
struct Inferred {
    image: Arc<dyn ReadAt>,
    /// Where its findings stand among those of the chain.
    findings: Range<usize>,
    /// What it tells itself.
    told: Facts,
}

impl<'a> Opening<'a> {
    pub(super) fn new(store: &'a dyn ImageStore, options: &'a ChainOptions, disks: Option<&'a dyn DiskJudge>) -> Self {
        Opening {
            store,
            options,
            disks,
            locator: Locator::new(store, options),
            assumed: Assumed::default(),
            given: OnceCell::new(),
            links: Vec::new(),
            findings: Vec::new(),
            cut: false,
            too_short: Vec::new(),
            inferred: None,
            candidates: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    fn run(&mut self, path: &Path) -> Result<Disk> {
        // Absolute, so that messages and reports name the file wherever they are read.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        self.assumed = Assumed::find(self.store, &self.options.assumed_of)?;
        let opened = self.store.open_named(&path).map_err(|error| match error.advice() {
            None if error.kind() == ErrorKind::NotFound => {
                error.advise("check how the path is spelled; `vhdx-mount scan DIR` shows all images below a folder")
            }
            _ => error,
        })?;
        self.push(opened.clone(), None, Found::Opened, None)
            .map_err(|error| other_states::advise(self.store, &opened, error))?;
        self.follow()?;
        self.assumed.check_names(&self.links)?;
        self.findings.extend(super::link::one_identity(&self.links));
        self.note_beside();
        self.disk()
    }

    /// Adds parents until there is a base, or until one is missing and the user said to go on without it.
    pub(super) fn follow(&mut self) -> Result<()> {
        while let Some((child, record)) = self.wanted_parent() {
            if self.links.len() >= MAX_LINKS {
                return Err(refusal::too_deep(&child, MAX_LINKS));
            }
            let Some(Parent { candidate, opened, container, proof, skipped }) = self.find_parent(&child, &record)?
            else {
                self.cut = true;
                self.note_missing(&child, &record);
                return Ok(());
            };
            self.push_parent(opened, container, candidate.found, proof)?;
            self.compare_with_child();
            if let Some(skipped) = skipped {
                self.doubt_skipping(&skipped);
            }
        }
        Ok(())
    }

    /// What the folders of the links say, but for what is told already.
    fn note_beside(&mut self) {
        let told = self.findings.iter().filter(|finding| finding.code == Code::IdentityShared);
        let told: Vec<_> = told.map(|finding| finding.link).collect();
        let mut beside = beside::findings(self.store, &self.links);
        beside.retain(|finding| finding.code != Code::IdentityShared || !told.contains(&finding.link));
        self.findings.extend(beside);
    }

    /// The last link is the parent by its identity, and the child's paths lead to another image, which is a child of it. By
    /// the format the paths find the parent and the identity only confirms it, so a reader that goes by the book refuses both:
    /// one of the two records is wrong, and nothing tells which. What the image that was left out holds may be missing.
    fn doubt_skipping(&mut self, skipped: &Path) {
        let number = u32::try_from(self.links.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let Some(last) = self.links.last_mut() else { return };
        last.doubt = last.doubt.or(Some(Code::ParentSkipsLink));
        let path = last.path.clone();
        let text = format!(
            "its child names this image by its identity, and by its paths {}, which is itself a child of this image: if that one was left out wrongly, what it holds is missing; all that comes from this image or from below it is doubtful",
            skipped.display()
        );
        let advice = format!(
            "--parent {} says that this one is right, --parent {} --allow-mismatch that the other one is",
            quoted(&path),
            quoted(skipped)
        );
        self.add(Finding::new(Code::ParentSkipsLink, Severity::Error, text).advise(advice), number, &path);
    }

    pub(super) fn disk(&self) -> Result<Disk> {
        let link = |link: &Link| DiskLink { layer: Arc::clone(&link.layer), doubt: link.doubt };
        Disk::new(self.links.iter().map(link).collect(), self.options.doubt, self.cut.then_some(Code::LinkMissing))
    }

    /// Adds an open image as the next link. `container` is what was read of it with the options that it is opened with here.
    fn push(
        &mut self,
        opened: OpenedImage,
        container: Option<Container>,
        found: Found,
        proof: Option<LinkProof>,
    ) -> Result<()> {
        let path = opened.path;
        let file_size = opened.image.size();
        let image = Arc::clone(&opened.image);
        let container = match container {
            Some(container) => container,
            None => {
                let options = self.format_options(&path, &opened.id);
                format::open(opened.image, options).map_err(|error| error.in_file(&path))?
            }
        };
        let number = u32::try_from(self.links.len()).unwrap_or(u32::MAX);
        let (id, changes) = (opened.id, opened.changes);
        let (layer, log) = (container.layer, container.log);
        let doubt = (proof == Some(LinkProof::Unproven)).then_some(Code::LinkUnproven);
        let link = Link { path, id, file_size, layer, changes, log, found, proof, doubt };
        for finding in
            opened.findings.into_iter().chain(super::link::named_otherwise(&link.path, link.layer.identity().kind))
        {
            self.add(finding, number, &link.path);
        }
        let first = self.findings.len();
        for finding in container.findings {
            let finding = if number == 0 { finding } else { super::link::of_parent(finding) };
            self.add(finding, number, &link.path);
        }
        let findings = first..self.findings.len();
        self.inferred = container.inferred.then_some(Inferred { image, findings, told: container.told });
        self.links.push(link);
        Ok(())
    }

    /// How the next link is to be opened: where its metadata is lost, its child and its name tell something.
    pub(super) fn format_options(&self, path: &Path, id: &FileId) -> FormatOptions {
        let child = self.links.last().filter(|_| self.inferred.is_none()).map(|child| *child.layer.geometry());
        let is_checkpoint = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("avhdx"));
        let kin = Facts {
            block_size: None,
            virtual_size: child.map(|child| child.virtual_size),
            logical_sector_size: child.map(|child| child.logical_sector_size),
            has_parent: is_checkpoint.then_some(true),
            is_raw: None,
        };
        self.with_told(kin, path, id)
    }

    /// How an image is to be opened of which relatives tell `kin`: with what the user says of it.
    fn with_told(&self, kin: Facts, path: &Path, id: &FileId) -> FormatOptions {
        let overruling = self.assumed.of(path, id);
        let assumed = overruling.or(self.options.format.assumed);
        let is_given = self.options.allow_mismatch && !self.links.is_empty() && self.is_given(id);
        let may_be_raw = is_given && !beside::is_named_like_an_image(path);
        FormatOptions { kin, assumed, overruling, may_be_raw, ..self.options.format }
    }

    /// Adds an open image as the parent of the last link, which learns from it what it lost.
    pub(super) fn push_parent(
        &mut self,
        opened: OpenedImage,
        container: Option<Container>,
        found: Found,
        proof: LinkProof,
    ) -> Result<()> {
        let child = self.inferred.take();
        // A child whose metadata was inferred tells more of its parent once that is settled on.
        self.push(opened, container.filter(|_| child.is_none()), found, Some(proof))?;
        if let Some(child) = child {
            self.settle_child(&child);
        }
        Ok(())
    }

    /// Opens the image above the last link once more, whose metadata was inferred: its parent is known now.
    fn settle_child(&mut self, inferred: &Inferred) {
        let number = self.links.len().saturating_sub(2);
        let Some(parent) = self.links.last().filter(|_| self.inferred.is_none()) else { return };
        let parent = *parent.layer.geometry();
        // What was inferred before stands, where this fails.
        let Some(container) = self.links.get(number).and_then(|child| self.inferred_from(child, inferred, &parent))
        else {
            return;
        };
        let Some(child) = self.links.get_mut(number) else { return };
        child.layer = container.layer;
        let link = u32::try_from(number).unwrap_or(u32::MAX);
        let told = container.findings.into_iter().map(|finding| finding.in_link(link, &child.path));
        self.findings.splice(inferred.findings.clone(), told);
    }

    /// An image whose metadata was inferred, as it is where its parent has this geometry.
    fn inferred_from(&self, child: &Link, inferred: &Inferred, parent: &Geometry) -> Option<Container> {
        let kin = Facts {
            block_size: None,
            virtual_size: Some(parent.virtual_size),
            logical_sector_size: Some(parent.logical_sector_size),
            has_parent: Some(true),
            is_raw: None,
        };
        format::open(Arc::clone(&inferred.image), self.with_told(kin, &child.path, &child.id)).ok()
    }

    /// The last link as it is with a parent of this geometry, to be compared with it.
    pub(super) fn child_of(&self, parent: &Geometry) -> Option<Side> {
        let child = self.links.last()?;
        let layer = Arc::clone(&child.layer);
        let Some(inferred) = &self.inferred else {
            let geometry = layer.geometry();
            let (virtual_size, sector) = (Some(geometry.virtual_size), Some(geometry.logical_sector_size));
            let told = Facts { virtual_size, logical_sector_size: sector, ..Facts::default() };
            return Some(Side { layer, told });
        };
        let settled = self.inferred_from(child, inferred, parent).map(|container| container.layer);
        Some(Side { layer: settled.unwrap_or(layer), told: inferred.told })
    }

    /// The same, as far as it got, to be tried with other options.
    pub(super) fn again<'b>(&self, options: &'b ChainOptions) -> Opening<'b>
    where
        'a: 'b,
    {
        Opening {
            assumed: self.assumed.clone(),
            given: self.given.clone(),
            links: self.links.iter().map(Link::again).collect(),
            findings: self.findings.clone(),
            inferred: self.inferred.clone(),
            too_short: self.too_short.clone(),
            ..Opening::new(self.store, options, None)
        }
    }

    pub(super) fn add(&mut self, finding: Finding, link: u32, file: &Path) {
        self.findings.push(finding.in_link(link, file));
    }

    /// Whether the file is a link already.
    pub(super) fn holds(&self, id: &FileId) -> bool {
        self.links.iter().any(|link| link.id == *id)
    }

    /// The last link and what it says of its parent; `None` where it is a base.
    fn wanted_parent(&self) -> Option<(PathBuf, ParentRecord)> {
        let last = self.links.last()?;
        Some((last.path.clone(), last.layer.identity().parent.clone()?))
    }

    fn note_missing(&mut self, child: &Path, record: &ParentRecord) {
        let wanted = record.linkage.map_or_else(|| "an unknown image".to_owned(), |guid| guid.to_string());
        let text = "its parent is missing: what neither this image nor a younger one holds is lost";
        let finding = Finding::new(Code::LinkMissing, Severity::Error, text)
            .versus(format!("an image with DataWriteGuid {wanted}"), "none")
            .advise("say where to look with --parent-dir DIR, or name the parent with --parent FILE");
        let number = u32::try_from(self.links.len().saturating_sub(1)).unwrap_or(u32::MAX);
        self.add(finding, number, child);
    }

    /// What is unusual about the last link as the parent of the one before it.
    fn compare_with_child(&mut self) {
        let [.., child, parent] = self.links.as_slice() else { return };
        let mut findings = super::link::compare(child, parent);
        let leads_there = |record| self.locator.leads_to(&child.path, record, &parent.id);
        if parent.found == Found::Given && child.layer.identity().parent.as_ref().is_some_and(leads_there) {
            findings.retain(|finding| finding.code != Code::ParentElsewhere);
        }
        let path = parent.path.clone();
        let number = u32::try_from(self.links.len().saturating_sub(1)).unwrap_or(u32::MAX);
        for finding in findings {
            self.add(finding, number, &path);
        }
    }
}
