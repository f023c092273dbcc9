//! Which image is the parent: proven by its identity, or taken unproven where the user allows it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::evidence::{Evidence, best_of};
use super::link::{Found, LinkProof, judge};
use super::locate::Candidate;
use super::open::Opening;
use super::options::Missing;
use super::passed_over::PassedOver;
use super::refusal::{self, Refused};
use crate::error::{Error, Result};
use crate::format::{self, Container};
use crate::image::{FileId, OpenedImage};
use crate::layer::ParentRecord;
use crate::report::{Code, Finding, Severity};

/// Other files of one identity that are told.
const MAX_TOLD: usize = 16;

/// A parent that was found.
pub(super) struct Parent {
    pub(super) candidate: Candidate,
    pub(super) opened: OpenedImage,
    /// What was read of it, where it was looked into already: its log is not replayed twice.
    pub(super) container: Option<Container>,
    pub(super) proof: LinkProof,
    /// A whole image in a place that the child records, which is a child of this one.
    pub(super) skipped: Option<PathBuf>,
}

impl Opening<'_> {
    /// The parent: proven by its identity and readable, or taken unproven where the user allows it. `None` where the user wants to go on
    /// without it.
    pub(super) fn find_parent(&mut self, child: &Path, record: &ParentRecord) -> Result<Option<Parent>> {
        let mut rejected = Rejected::default();
        let named = self.locator.named(child, record);
        if let Some(found) = self.first_proven(named, record, &mut rejected)? {
            self.tell_stand_in(&rejected, &found);
            return self.settle_skipped(child, record, found).map(Some);
        }
        let listed = self.locator.listed(child);
        if let Some(found) = self.first_proven(listed.clone(), record, &mut rejected)? {
            self.tell_shared(&listed, &found, record);
            self.tell_stand_in(&rejected, &found);
            return self.settle_skipped(child, record, found).map(Some);
        }
        if let Some(damaged) = rejected.damaged {
            return self.settle_skipped(child, record, damaged).map(Some);
        }
        if let Some(path) = &rejected.in_chain
            && self.options.missing != Missing::Lost
        {
            // What is recorded leads in a circle: the user's word alone leads out of it.
            rejected.other.retain(|one| one.found == Found::Given && self.options.allow_mismatch);
            if rejected.other.is_empty() {
                return Err(self.telling_of_given_links(refusal::cycle(child, path)));
            }
        }
        if self.options.missing == Missing::Lost && !self.options.allow_mismatch {
            return Ok(None);
        }
        let evidence = self.weigh(&rejected.other, record, &mut rejected.refused);
        if self.options.allow_mismatch
            && let Some((best, true)) = best_of(&evidence).filter(|(best, _)| best.may_be_taken())
        {
            self.tell_merge(best);
            let candidate = Candidate { path: best.path.clone(), found: best.found };
            let opened = candidate.open(self.store)?;
            return Ok(Some(Parent { candidate, opened, proof: LinkProof::Unproven, container: None, skipped: None }));
        }
        match self.options.missing {
            Missing::Lost => Ok(None),
            Missing::Error => {
                let error = refusal::no_parent(child, record, &rejected.unreadable, &rejected.refused, &evidence);
                let refused =
                    rejected.refused.iter().map(|one| PassedOver::unopened(&one.path, one.describe(), &one.error));
                (self.candidates, self.unreadable) = (evidence, refused.chain(rejected.unreadable).collect());
                Err(self.telling_of_given_links(error))
            }
        }
    }

    /// Adds which of the files that the user gave are links already, so that they were not asked for.
    fn telling_of_given_links(&self, mut error: Error) -> Error {
        for path in &self.options.parents {
            if self.store.open_named(path).is_ok_and(|opened| self.holds(&opened.id)) {
                error = error
                    .detail(format!("given with --parent: {}: it is already a link of this chain", path.display()));
            }
        }
        error
    }

    /// A proven parent, and the image that it skips, if the child's record leads to one before that is not proven and is a child
    /// of it. That one itself, where the user gave it and allows it. A parent that the user gave was chosen, and an image that
    /// was merely given, or lies beside, says nothing of what the record means.
    fn settle_skipped(&mut self, child: &Path, record: &ParentRecord, found: Parent) -> Result<Parent> {
        let guid = format::data_write_guid(&found.opened.image).flatten();
        let Some(guid) = guid.filter(|_| found.candidate.found != Found::Given) else { return Ok(found) };
        let recorded = self.locator.by_record(child, record).into_iter();
        for other in recorded.take_while(|other| other.path != found.candidate.path) {
            let Ok(opened) = other.open(self.store) else { continue };
            let Some(identity) = format::identify(&opened.image) else { continue };
            let is_proven = identity.data_write_guid.is_some_and(|guid| judge(record, guid).is_some());
            let is_child = identity.parent.is_some_and(|record| judge(&record, guid).is_some());
            if !is_child || is_proven || opened.id == found.opened.id || self.holds(&opened.id) {
                continue;
            }
            if self.options.allow_mismatch && self.is_given(&opened.id) {
                let candidate = Candidate { found: Found::Given, ..other };
                return Ok(Parent { candidate, opened, proof: LinkProof::Unproven, container: None, skipped: None });
            }
            return Ok(Parent { skipped: Some(opened.path), ..found });
        }
        Ok(found)
    }

    /// Whether the user gave a file as a parent, under any of its names.
    pub(super) fn is_given(&self, id: &FileId) -> bool {
        let ids = || {
            let given = self.options.parents.iter();
            given.filter_map(|path| Some(self.store.open_named(path).ok()?.id)).collect()
        };
        self.given.get_or_init(ids).contains(id)
    }

    /// Names other files that bear the identity of a parent that was found by nothing else: they may be of other times.
    fn tell_shared(&mut self, listed: &[Candidate], found: &Parent, record: &ParentRecord) {
        let (taken, opened) = (&found.candidate, &found.opened);
        let mut others = Vec::new();
        // One file may be listed under several paths.
        let mut known: Vec<FileId> = self.too_short.iter().chain([&opened.id]).cloned().collect();
        for one in listed.iter().filter(|one| one.path != taken.path) {
            let guid = self.locator.data_write_guid(one).ok().flatten();
            if others.len() < MAX_TOLD
                && guid.and_then(|guid| judge(record, guid)).is_some()
                && let Ok(other) = one.open(self.store)
                && !known.contains(&other.id)
                && !self.holds(&other.id)
            {
                known.push(other.id);
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

    /// That an image is taken for the sake of another one, which comes first and is too short.
    fn tell_stand_in(&mut self, rejected: &Rejected, taken: &Parent) {
        let Some(short) = rejected.damaged.as_ref().filter(|one| self.too_short.contains(&one.opened.id)) else {
            return;
        };
        let text = format!(
            "{} bears the same identity, was written to last at the same time, and ends before its blocks do: this file is taken for it",
            short.candidate.path.display()
        );
        let link = u32::try_from(self.links.len()).unwrap_or(u32::MAX);
        self.add(Finding::new(Code::IdentityShared, Severity::Warning, text), link, &taken.candidate.path);
    }

    /// That an image, which is taken as the next link, is not what it was for its other children.
    fn tell_merge(&mut self, taken: &Evidence) {
        let Some(child) = &taken.merged_from else { return };
        let text = format!(
            "a merge of {} into this image had begun, which gave it its DataWriteGuid: what that merge has written stands in it",
            child.display()
        );
        let link = u32::try_from(self.links.len()).unwrap_or(u32::MAX);
        self.add(Finding::new(Code::ParentMidMerge, Severity::Warning, text), link, &taken.path);
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
                    rejected.unreadable.push(why);
                    continue;
                }
            };
            let Some(proof) = guid.and_then(|guid| judge(record, guid)) else {
                rejected.other.push(candidate);
                continue;
            };
            let opened = match candidate.open(self.store) {
                Ok(opened) => opened,
                // It was there a moment ago.
                Err(error) => {
                    rejected.unreadable.push(PassedOver::refused(&candidate, &error));
                    continue;
                }
            };
            if self.holds(&opened.id) {
                // Another file may bear the same GUID and be the real one.
                rejected.in_chain.get_or_insert(candidate.path);
                continue;
            }
            // A damaged copy must not stand in the way of a whole one.
            match format::open(Arc::clone(&opened.image), self.format_options(&candidate.path, &opened.id)) {
                Err(error) => rejected.refused.push(Refused { path: candidate.path, is_proven: true, error }),
                Ok(container) if self.is_damaged(&container, &opened.id) => {
                    let container = Some(container);
                    rejected.damaged.get_or_insert(Parent { candidate, opened, container, proof, skipped: None });
                }
                Ok(container) if !self.may_stand_in(&container, rejected.damaged.as_ref()) => {}
                Ok(container) => {
                    let container = Some(container);
                    return Ok(Some(Parent { candidate, opened, container, proof, skipped: None }));
                }
            }
        }
        Ok(None)
    }

    /// Whether a whole copy goes before.
    fn is_damaged(&self, container: &Container, id: &FileId) -> bool {
        self.too_short.contains(id) || container.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// Whether an image may be taken although `damaged` comes first: where that one is merely too short, only one that was
    /// written to last at the same time, and so has what is there of it.
    fn may_stand_in(&self, container: &Container, damaged: Option<&Parent>) -> bool {
        let Some(short) = damaged.filter(|one| self.too_short.contains(&one.opened.id)) else { return true };
        let written = format::write_guids(&short.opened.image).map(|(_, file)| file);
        written.is_some() && container.layer.identity().file_write_guid == written
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
    unreadable: Vec<PassedOver>,
    /// Images that could not be opened as they are.
    refused: Vec<Refused>,
    /// One that bears the wanted identity and is damaged: taken if no other does.
    damaged: Option<Parent>,
    /// One that bears the wanted identity and is a link of the chain already.
    in_chain: Option<PathBuf>,
}
