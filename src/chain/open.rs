//! Following the links from the youngest image to the base.

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::beside;
use super::disk::{Disk, DiskLink};
use super::doubted::DoubtedLayer;
use super::evidence::{DiskJudge, Evidence};
use super::link::{Found, Link, LinkProof, judge};
use super::locate::{Candidate, Locator};
use super::options::{ChainOptions, Missing};
use super::refusal::{self, Refusal};
use super::verified::Verify;
use crate::error::Result;
use crate::format::{self, Facts, FormatOptions};
use crate::image::{FileId, ImageStore, OpenedImage, ReadAt};
use crate::layer::{MapDoubt, ParentRecord};
use crate::report::{Code, Finding, Severity};

/// A chain of more links than this is refused. Hyper-V itself stops at 50 checkpoints.
pub const MAX_LINKS: usize = 1000;

/// Candidates that are held against the child: those that were named first. Of the ones that most speaks for, so many are
/// told, and so many tried as parents.
const MAX_WEIGHED: usize = 256;
const MAX_TOLD: usize = 16;
const MAX_TRIED: usize = 4;

/// Tables that are read as a whole when a chain is opened, so that what is wrong with them is told at once: each of up to a
/// MiB and the entries of its sector bitmaps (the BAT of 256 GiB in blocks of 2 MiB, of 4 TiB in blocks of 32 MiB), and larger
/// ones from the youngest link on while so many bytes in all are left (two of 64 TiB in blocks of 32 MiB). Reading a MiB of
/// them takes about a millisecond.
const VERIFIED: Verify = Verify { each: (1 << 20) + (1 << 16), larger: 32 << 20 };

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

    /// The same chain, and what is known of it now: findings, and parts of the maps of its links that are doubtful. There
    /// is one list of doubts for each link, in order of the disk, without overlaps; links without a list have none.
    #[must_use]
    pub fn knowing(mut self, findings: Vec<Finding>, doubts: Vec<Vec<MapDoubt>>) -> Self {
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
    let mut opening = Opening::new(store, options, disks);
    match opening.run(path) {
        Ok(disk) => {
            let chain = Chain { links: opening.links, findings: opening.findings, disk: Arc::new(disk) };
            Ok(chain.verified(&(0..0), VERIFIED, &mut |_| ControlFlow::Continue(())))
        }
        Err(error) => {
            let Opening { links, findings, candidates, unreadable, .. } = opening;
            Err(Box::new(Refusal { error, links, findings, candidates, unreadable }))
        }
    }
}

/// A parent that was found: where, its file, what proves it.
type Parent = (Candidate, OpenedImage, LinkProof);

struct Opening<'a> {
    store: &'a dyn ImageStore,
    options: &'a ChainOptions,
    disks: Option<&'a dyn DiskJudge>,
    locator: Locator<'a>,
    /// What the user says of single images.
    assumed_of: Vec<(FileId, Facts)>,
    links: Vec<Link>,
    findings: Vec<Finding>,
    /// The chain ends before its base.
    cut: bool,
    /// The last link's file and where its findings stand, where its metadata was inferred: its parent may know better.
    inferred: Option<(Arc<dyn ReadAt>, Range<usize>)>,
    /// What was looked at for the parent that was not found.
    candidates: Vec<Evidence>,
    unreadable: Vec<(PathBuf, String)>,
}

impl<'a> Opening<'a> {
    fn new(store: &'a dyn ImageStore, options: &'a ChainOptions, disks: Option<&'a dyn DiskJudge>) -> Self {
        Opening {
            store,
            options,
            disks,
            locator: Locator::new(store, options),
            assumed_of: Vec::new(),
            links: Vec::new(),
            findings: Vec::new(),
            cut: false,
            inferred: None,
            candidates: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    fn run(&mut self, path: &Path) -> Result<Disk> {
        // Absolute, so that messages and reports name the file wherever they are read.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        for (image, facts) in &self.options.assumed_of {
            self.assumed_of.push((self.store.open_named(image)?.id, *facts));
        }
        self.push(self.store.open_named(&path)?, Found::Opened, None)?;
        self.follow()?;
        self.findings.extend(beside::findings(self.store, &self.links));
        self.disk()
    }

    /// Adds parents until there is a base, or until one is missing and the user said to go on without it.
    fn follow(&mut self) -> Result<()> {
        while let Some((child, record)) = self.wanted_parent() {
            if self.links.len() >= MAX_LINKS {
                return Err(refusal::too_deep(&child, MAX_LINKS));
            }
            let Some((candidate, opened, proof)) = self.find_parent(&child, &record)? else {
                self.cut = true;
                self.note_missing(&child, &record);
                return Ok(());
            };
            let child = self.inferred.take();
            self.push(opened, candidate.found, Some(proof))?;
            if let Some((image, findings)) = child {
                self.settle_child(image, findings);
            }
            self.compare_with_child();
        }
        Ok(())
    }

    fn disk(&self) -> Result<Disk> {
        let link = |link: &Link| DiskLink {
            layer: Arc::clone(&link.layer),
            doubt: (link.proof == Some(LinkProof::Unproven)).then_some(Code::LinkUnproven),
        };
        Disk::new(self.links.iter().map(link).collect(), self.options.doubt, self.cut.then_some(Code::LinkMissing))
    }

    /// Adds an open image as the next link.
    fn push(&mut self, opened: OpenedImage, found: Found, proof: Option<LinkProof>) -> Result<()> {
        let path = opened.path;
        let file_size = opened.image.size();
        let options = self.format_options(&path, &opened.id);
        let image = Arc::clone(&opened.image);
        let container = format::open(opened.image, options).map_err(|error| error.in_file(&path))?;
        let number = u32::try_from(self.links.len()).unwrap_or(u32::MAX);
        let (id, changes) = (opened.id, opened.changes);
        let (layer, log) = (container.layer, container.log);
        let link = Link { path, id, file_size, layer, changes, log, found, proof };
        for finding in opened.findings.into_iter().chain(super::link::named_otherwise(&link)) {
            self.add(finding, number, &link.path);
        }
        let first = self.findings.len();
        for finding in container.findings {
            self.add(finding, number, &link.path);
        }
        self.inferred = container.inferred.then_some((image, first..self.findings.len()));
        self.links.push(link);
        Ok(())
    }

    /// How the next link is to be opened: where its metadata is lost, its child and its name tell something.
    fn format_options(&self, path: &Path, id: &FileId) -> FormatOptions {
        let child = self.links.last().filter(|_| self.inferred.is_none()).map(|child| *child.layer.geometry());
        let is_checkpoint = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("avhdx"));
        let kin = Facts {
            block_size: None,
            virtual_size: child.map(|child| child.virtual_size),
            logical_sector_size: child.map(|child| child.logical_sector_size),
            has_parent: is_checkpoint.then_some(true),
        };
        FormatOptions { kin, assumed: self.assumed(id), ..self.options.format }
    }

    /// What the user says of an image.
    fn assumed(&self, id: &FileId) -> Facts {
        let own = self.assumed_of.iter().filter(|(image, _)| image == id);
        own.fold(Facts::default(), |all, (_, facts)| facts.or(all)).or(self.options.format.assumed)
    }

    /// Opens the image above the last link once more, whose metadata was inferred: its parent is known now.
    fn settle_child(&mut self, image: Arc<dyn ReadAt>, findings: Range<usize>) {
        let number = self.links.len().saturating_sub(2);
        let Some(parent) = self.links.last().filter(|_| self.inferred.is_none()) else { return };
        let parent = *parent.layer.geometry();
        let Some(assumed) = self.links.get(number).map(|child| self.assumed(&child.id)) else { return };
        let Some(child) = self.links.get_mut(number) else { return };
        let kin = Facts {
            block_size: None,
            virtual_size: Some(parent.virtual_size),
            logical_sector_size: Some(parent.logical_sector_size),
            has_parent: Some(true),
        };
        // What was inferred before stands, where this fails.
        let Ok(container) = format::open(image, FormatOptions { kin, assumed, ..self.options.format }) else { return };
        child.layer = container.layer;
        let (link, file) = (u32::try_from(number).ok(), Some(child.path.display().to_string()));
        let told = container.findings.into_iter().map(|finding| Finding { link, file: file.clone(), ..finding });
        self.findings.splice(findings, told);
    }

    fn add(&mut self, finding: Finding, link: u32, file: &Path) {
        self.findings.push(finding.in_link(link, file));
    }

    /// Whether the file is a link already.
    fn holds(&self, id: &FileId) -> bool {
        self.links.iter().any(|link| link.id == *id)
    }

    /// The last link and what it says of its parent; `None` where it is a base.
    fn wanted_parent(&self) -> Option<(PathBuf, ParentRecord)> {
        let last = self.links.last()?;
        Some((last.path.clone(), last.layer.identity().parent.clone()?))
    }

    /// The parent: proven by its identity and readable, or taken unproven where the user allows it. `None` where the user wants to go on
    /// without it.
    fn find_parent(&mut self, child: &Path, record: &ParentRecord) -> Result<Option<Parent>> {
        let mut rejected = Rejected::default();
        let named = self.locator.named(child, record);
        if let Some(found) = self.first_proven(named, record, &mut rejected)? {
            return Ok(Some(found));
        }
        let listed = self.locator.listed(child);
        if let Some(found) = self.first_proven(listed.clone(), record, &mut rejected)? {
            self.tell_shared(&listed, &found, record);
            return Ok(Some(found));
        }
        if let Some(damaged) = rejected.damaged {
            return Ok(Some(damaged));
        }
        if let Some(path) = rejected.in_chain
            && self.options.missing != Missing::Lost
        {
            return Err(refusal::cycle(child, &path));
        }
        if self.options.missing == Missing::Lost && !self.options.allow_mismatch {
            return Ok(None);
        }
        let evidence = self.weigh(&rejected.other, record);
        if self.options.allow_mismatch
            && let Some(best) = evidence.iter().find(|one| one.excluded.is_none())
        {
            let candidate = Candidate { path: best.path.clone(), found: best.found };
            let opened = candidate.open(self.store)?;
            return Ok(Some((candidate, opened, LinkProof::Unproven)));
        }
        match self.options.missing {
            Missing::Lost => Ok(None),
            Missing::Error => {
                let error = refusal::no_parent(child, record, &rejected.unreadable, &evidence);
                (self.candidates, self.unreadable) = (evidence, rejected.unreadable);
                Err(error)
            }
        }
    }

    /// Names other files that bear the identity of a parent that was found by nothing else: they may be of other times.
    fn tell_shared(&mut self, listed: &[Candidate], (taken, opened, _): &Parent, record: &ParentRecord) {
        let mut others = Vec::new();
        for one in listed.iter().filter(|one| one.path != taken.path) {
            let guid = self.locator.data_write_guid(one).ok().flatten();
            if others.len() < MAX_TOLD
                && guid.and_then(|guid| judge(record, guid)).is_some()
                && one.open(self.store).is_ok_and(|other| other.id != opened.id && !self.holds(&other.id))
            {
                others.push(one.path.display().to_string());
            }
        }
        if !others.is_empty() {
            let text =
                format!("its identity is all that this image was found by, and {} bears it too", others.join(", "));
            let finding = Finding::new(Code::IdentityShared, Severity::Warning, text)
                .advise("compare them: they may be of other times; --parent FILE takes one of them");
            let link = u32::try_from(self.links.len()).unwrap_or(u32::MAX);
            self.add(finding, link, &taken.path);
        }
    }

    fn first_proven(
        &mut self,
        candidates: Vec<Candidate>,
        record: &ParentRecord,
        rejected: &mut Rejected,
    ) -> Result<Option<Parent>> {
        for candidate in candidates {
            if !rejected.looked_at.insert(candidate.path.clone()) {
                continue;
            }
            let guid = match self.locator.data_write_guid(&candidate) {
                Ok(guid) => guid,
                Err(why) => {
                    rejected.unreadable.push((candidate.path, why));
                    continue;
                }
            };
            let Some(proof) = guid.and_then(|guid| judge(record, guid)) else {
                rejected.other.push(candidate);
                continue;
            };
            let opened = candidate.open(self.store)?;
            if self.holds(&opened.id) {
                // Another file may bear the same GUID and be the real one.
                rejected.in_chain.get_or_insert(candidate.path);
                continue;
            }
            // A damaged copy must not stand in the way of a whole one.
            match format::open(Arc::clone(&opened.image), self.format_options(&candidate.path, &opened.id)) {
                Err(error) => rejected.unreadable.push((candidate.path, format!("it is the parent, but {error}"))),
                Ok(container) if container.findings.iter().any(|finding| finding.severity == Severity::Error) => {
                    rejected.damaged.get_or_insert((candidate, opened, proof));
                }
                Ok(_) => return Ok(Some((candidate, opened, proof))),
            }
        }
        Ok(None)
    }

    /// Holds images that are not proven against the child; the one that most speaks for comes first.
    fn weigh(&self, candidates: &[Candidate], record: &ParentRecord) -> Vec<Evidence> {
        let mut weighed: Vec<_> =
            candidates.iter().take(MAX_WEIGHED).filter_map(|one| self.weigh_one(one, record)).collect();
        weighed.sort_by_key(|one| std::cmp::Reverse(one.weight()));
        weighed.truncate(MAX_TOLD);
        if let Some(disks) = self.disks {
            for one in weighed.iter_mut().filter(|one| one.excluded.is_none()).take(MAX_TRIED) {
                one.disk = self.try_parent(one).map(|disk| disks.judge(&Arc::new(disk)));
            }
            weighed.sort_by_key(|one| std::cmp::Reverse(one.weight()));
        }
        weighed
    }

    fn weigh_one(&self, candidate: &Candidate, record: &ParentRecord) -> Option<Evidence> {
        let opened = candidate.open(self.store).ok()?;
        if self.holds(&opened.id) {
            return None;
        }
        let container = format::open(opened.image, self.format_options(&candidate.path, &opened.id)).ok()?;
        let child = self.links.last()?;
        let mut evidence = Evidence::gather(candidate.path.clone(), candidate.found, &*child.layer, &*container.layer);
        if let Some(own) = &container.layer.identity().parent {
            let is_parent =
                |link: &&Link| link.layer.identity().data_write_guid.is_some_and(|guid| judge(own, guid).is_some());
            if let Some(elder) = self.links.iter().find(is_parent) {
                evidence.excluded = Some(format!("it is a child of {}, not a parent", elder.path.display()));
            } else if own.linkage.is_some() && own.linkage == record.linkage {
                evidence.excluded = Some("it is another child of the same parent".to_owned());
            }
        }
        Some(evidence)
    }

    /// The merged disk with a candidate as the parent, if the links below it are whole.
    fn try_parent(&self, candidate: &Evidence) -> Option<Disk> {
        let options = ChainOptions { missing: Missing::Error, allow_mismatch: false, ..self.options.clone() };
        let mut trial = Opening::new(self.store, &options, None);
        let candidate = Candidate { path: candidate.path.clone(), found: candidate.found };
        let opened = candidate.open(self.store).ok()?;
        trial.links = self.links.iter().map(Link::again).collect();
        trial.push(opened, candidate.found, Some(LinkProof::Unproven)).ok()?;
        trial.follow().ok()?;
        trial.disk().ok()
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
        let findings = super::link::compare(child, parent);
        let path = parent.path.clone();
        let number = u32::try_from(self.links.len().saturating_sub(1)).unwrap_or(u32::MAX);
        for finding in findings {
            self.add(finding, number, &path);
        }
    }
}

/// Files that are not the parent.
#[derive(Default)]
struct Rejected {
    /// All that were looked at.
    looked_at: BTreeSet<PathBuf>,
    /// Images of another identity.
    other: Vec<Candidate>,
    /// What is no image, or cannot be read, and why.
    unreadable: Vec<(PathBuf, String)>,
    /// One that bears the wanted identity and is damaged: taken if no other does.
    damaged: Option<Parent>,
    /// One that bears the wanted identity and is a link of the chain already.
    in_chain: Option<PathBuf>,
}
