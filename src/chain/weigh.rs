//! Holding images that are not proven against the child that wants a parent.

use std::sync::Arc;

use super::disk::{Disk, Doubt};
use super::evidence::{Evidence, Side};
use super::link::{Found, Link, LinkProof, judge};
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
                one.disk = self.try_parent(one).map(|disk| disks.judge(&Arc::new(disk)));
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
        if let Some(own) = &own {
            let is_parent =
                |link: &&Link| link.layer.identity().data_write_guid.is_some_and(|guid| judge(own, guid).is_some());
            if let Some(elder) = self.links.iter().find(is_parent) {
                evidence.excluded = Some(format!("it is a child of {}, not a parent", elder.path.display()));
            } else if own.linkage.is_some() && own.linkage == record.linkage {
                evidence.excluded = Some("it is another child of the same parent".to_owned());
            }
        }
        Ok(Some(Weighed { evidence, record: own }))
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
    fn try_parent(&self, candidate: &Evidence) -> Option<Disk> {
        let options = ChainOptions {
            missing: Missing::Error,
            allow_mismatch: false,
            doubt: Doubt::Accept,
            ..self.options.clone()
        };
        let mut trial = self.again(&options);
        let candidate = Candidate { path: candidate.path.clone(), found: candidate.found };
        let opened = candidate.open(self.store).ok()?;
        trial.push_parent(opened, candidate.found, LinkProof::Unproven).ok()?;
        trial.follow().ok()?;
        trial.disk().ok()
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
