//! Holding images that are not proven against the child that wants a parent.

use std::sync::Arc;

use super::disk::{Disk, Doubt};
use super::evidence::{Evidence, Side};
use super::link::{Found, Link, LinkProof, digits_alike, judge};
use super::locate::Candidate;
use super::open::Opening;
use super::options::{ChainOptions, Missing};
use super::refusal::Refused;
use crate::bytes::Guid;
use crate::error::Result;
use crate::format;
use crate::layer::ParentRecord;

/// Candidates that are held against the child: those that were named first. Of the ones that most speaks for, so many are
/// told, and so many tried as parents.
const MAX_WEIGHED: usize = 256;
const MAX_TOLD: usize = 16;
const MAX_TRIED: usize = 4;

/// A candidate, and what it records of a parent of its own.
struct Weighed {
    evidence: Evidence,
    record: Option<ParentRecord>,
    /// Whether it is excluded for whose child it is.
    is_kin: bool,
}

impl Opening<'_> {
    /// Holds images that are not proven against the child; the one that most speaks for comes first.
    pub(super) fn weigh(
        &self,
        candidates: &[Candidate],
        record: &ParentRecord,
        refused: &mut Vec<Refused>,
    ) -> Vec<Evidence> {
        let mut all = Vec::new();
        for one in candidates.iter().take(MAX_WEIGHED) {
            match self.weigh_one(one, record) {
                Ok(weighed) => all.extend(weighed),
                Err(error) => refused.push(Refused { path: one.path.clone(), is_proven: false, error }),
            }
        }
        exclude_descendants(&mut all);
        note_kin(&mut all);
        let mut weighed: Vec<Evidence> = all.into_iter().map(|one| one.evidence).collect();
        weighed.sort_by_key(|one| std::cmp::Reverse(one.weight()));
        weighed.truncate(MAX_TOLD);
        if let Some(disks) = self.disks {
            let mut tried = weighed.iter_mut().filter(|one| one.excluded.is_none()).take(MAX_TRIED).peekable();
            let alone = tried.peek().and_then(|_| self.without_parent());
            let holding_alone = alone.map_or(0, |disk| disks.judge(&Arc::new(disk)).holding);
            for one in tried {
                one.holding_alone = holding_alone;
                match self.try_parent(one) {
                    Trial::Disk(disk) => one.disk = Some(disks.judge(&Arc::new(disk))),
                    Trial::WithoutParent => one.lacks_parent = true,
                    Trial::Unreadable => {}
                }
            }
            weighed.sort_by_key(|one| std::cmp::Reverse(one.weight()));
        }
        weighed
    }

    fn weigh_one(&self, candidate: &Candidate, record: &ParentRecord) -> Result<Option<Weighed>> {
        let opened = candidate.open(self.store)?;
        if self.holds(&opened.id) {
            return Ok(None);
        }
        let container = format::open(opened.image, self.format_options(&candidate.path, &opened.id))?;
        let Some(child) = self.child_of(container.layer.geometry()) else { return Ok(None) };
        let found = if candidate.is_named() { candidate.found } else { Found::InFolder };
        let own = container.layer.identity().parent.clone();
        let side = Side { layer: container.layer, told: container.told };
        let mut evidence = Evidence::gather(candidate.path.clone(), found, &child, &side);
        evidence.digits_alike = evidence.data_write_guid.and_then(|guid| digits_alike(record, guid));
        let younger = own.as_ref().and_then(|own| self.younger_than_wanted(own, record));
        let is_kin = younger.is_some();
        evidence.excluded = younger.or(evidence.excluded);
        Ok(Some(Weighed { evidence, record: own, is_kin }))
    }

    /// Why an image that records `own` of its parent is younger than the parent that `record` names, if that shows.
    fn younger_than_wanted(&self, own: &ParentRecord, record: &ParentRecord) -> Option<String> {
        let is_parent =
            |link: &&Link| link.layer.identity().data_write_guid.is_some_and(|guid| judge(own, guid).is_some());
        if let Some(elder) = self.links.iter().find(is_parent) {
            return Some(format!("it is a child of {}, not a parent", elder.path.display()));
        }
        let is_sibling = own.linkage.is_some() && own.linkage == record.linkage;
        is_sibling.then(|| "it is another child of the same parent".to_owned())
    }

    /// What the links hold by themselves.
    fn without_parent(&self) -> Option<Disk> {
        let options = ChainOptions { doubt: Doubt::Accept, ..self.options.clone() };
        let mut trial = self.again(&options);
        trial.cut = true;
        trial.disk().ok()
    }

    /// The merged disk with a candidate as the parent, if the links below it are whole. What is doubtful is read: whether it makes
    /// sense is what is asked.
    fn try_parent(&self, candidate: &Evidence) -> Trial {
        let options = ChainOptions {
            missing: Missing::Error,
            allow_mismatch: false,
            doubt: Doubt::Accept,
            ..self.options.clone()
        };
        let mut trial = self.again(&options);
        let candidate = Candidate { path: candidate.path.clone(), found: candidate.found };
        let opened = candidate.open(self.store);
        if opened.and_then(|opened| trial.push_parent(opened, None, candidate.found, LinkProof::Unproven)).is_err() {
            return Trial::Unreadable;
        }
        if trial.follow().is_err() {
            return Trial::WithoutParent;
        }
        trial.disk().map_or(Trial::Unreadable, Trial::Disk)
    }
}

/// What came of trying a candidate as the parent.
enum Trial {
    Disk(Disk),
    /// It opens, and the links below it do not lead to a base.
    WithoutParent,
    Unreadable,
}

/// Excludes what descends from candidates that are excluded for whose children they are: all of these are younger than the
/// wanted parent.
fn exclude_descendants(all: &mut [Weighed]) {
    let mut open: Vec<usize> = (0..all.len()).filter(|number| all.get(*number).is_some_and(|one| one.is_kin)).collect();
    while let Some(elder) = open.pop() {
        let Some((guid, path)) =
            all.get(elder).and_then(|one| Some((one.evidence.data_write_guid?, one.evidence.path.clone())))
        else {
            continue;
        };
        for (number, one) in all.iter_mut().enumerate().filter(|(_, one)| !one.is_kin) {
            if one.record.as_ref().is_some_and(|record| judge(record, guid).is_some()) {
                let text = format!("it descends from {}, which cannot be it either", path.display());
                one.evidence.excluded = Some(text);
                one.is_kin = true;
                open.push(number);
            }
        }
    }
}

/// Notes which candidates are whose parents, and into which of them a merge had begun.
fn note_kin(all: &mut [Weighed]) {
    let child_of = |number: usize, is_child: &dyn Fn(&Weighed) -> bool, all: &[Weighed]| {
        let mut others = all.iter().enumerate().filter(|(other, _)| *other != number);
        others.find(|(_, other)| is_child(other)).map(|(_, other)| other.evidence.path.clone())
    };
    for number in 0..all.len() {
        let Some(guid) = all.get(number).and_then(|one| one.evidence.data_write_guid).filter(|guid| !guid.is_zero())
        else {
            continue;
        };
        let names = |wanted: Option<Guid>| wanted == Some(guid);
        let is_child = |other: &Weighed| {
            other.evidence.excluded.is_none() && other.record.as_ref().is_some_and(|record| names(record.linkage))
        };
        let is_merging = |other: &Weighed| other.record.as_ref().is_some_and(|record| names(record.linkage2));
        let (parent_of, merged_from) = (child_of(number, &is_child, all), child_of(number, &is_merging, all));
        if let Some(one) = all.get_mut(number) {
            (one.evidence.parent_of, one.evidence.merged_from) = (parent_of, merged_from);
        }
    }
}
