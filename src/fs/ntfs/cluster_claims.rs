//! Which clusters the files that are there claim, as a survey of the `$MFT` meets them: a cluster has one owner.
//!
//! Memory: 4 KiB for each 32,768 clusters of which some are claimed and some not, up to [`MAX_PARTS`] of these.

use std::ops::Range;

use mount_api::Trust;

use super::attribute::{self, Form, RawAttribute};
use super::cluster_set::ClusterSet;
use super::data_runs;
use super::extents::Place;
use super::file_record::{FileRecord, FileReference};
use super::mft::Mft;
use super::mft_survey::FIRST_WITH_NAME;
use super::{RECORD_BAD_CLUSTERS, RECORD_MFT};

/// The most memory that the claims take, in pieces of 4 KiB: 256 MiB, which tell of 8 TiB of clusters of 4 KiB.
const MAX_PARTS: usize = 1 << 16;
/// The most runs that are kept of extension records that stand before the base records of their files: 16 MiB.
const MAX_WAITING: usize = 1 << 20;
/// How many times all clusters may be claimed before no more claims are compared: this bounds the work.
const MAX_CLAIMED: u64 = 8;

/// The claims of all files that are there.
#[derive(Default)]
pub(super) struct ClusterClaims {
    claimed: ClusterSet,
    /// What NTFS's own files claim.
    own: ClusterSet,
    /// What was claimed more than once.
    shared: ClusterSet,
    /// Clusters of the volume as it says itself, and as many as are there.
    clusters: u64,
    there: u64,
    /// Clusters that may yet be claimed.
    left: u64,
    waiting: Vec<(FileReference, Vec<Range<u64>>)>,
    waiting_runs: usize,
    /// Whether there were more claims than are compared.
    incomplete: bool,
}

impl ClusterClaims {
    /// Those of the `$MFT`, which lies where it was found to lie.
    pub(super) fn of(mft: &Mft) -> Self {
        let boot = &mft.volume.boot;
        let clusters = boot.clusters();
        let there = mft.volume.bytes.size().checked_div(boot.cluster_size).unwrap_or(0).min(clusters);
        let left = there.saturating_mul(MAX_CLAIMED);
        let mut claims = ClusterClaims { clusters, there, left, ..ClusterClaims::default() };
        for (count, place) in mft.extents.clusters(0..u64::MAX) {
            if let Place::Clusters(lcn) = place {
                claims.claim(RECORD_MFT, lcn..lcn.saturating_add(count));
            }
        }
        claims
    }

    /// What a base record in use claims. One that is doubtful itself proves nothing against others.
    pub(super) fn add(&mut self, record: &FileRecord, raws: &[RawAttribute<'_>]) {
        if record.trust == Trust::Proven {
            self.each_run(record.number, raws, |claims, run| claims.claim(record.number, run));
        }
    }

    /// What an extension record in use claims, whose file comes later.
    pub(super) fn add_later(&mut self, record: &FileRecord, raws: &[RawAttribute<'_>]) {
        let Some(owner) = record.base.number().filter(|_| record.trust == Trust::Proven) else { return };
        let mut runs = Vec::new();
        self.each_run(owner, raws, |_, run| runs.push(run));
        let count = self.waiting_runs.saturating_add(runs.len());
        if count > MAX_WAITING {
            self.incomplete = true;
        } else if !runs.is_empty() {
            self.waiting_runs = count;
            self.waiting.push((record.base, runs));
        }
    }

    /// What an extension record in use claims for this file, which is there.
    pub(super) fn add_for(&mut self, owner: u32, record: &FileRecord, raws: &[RawAttribute<'_>]) {
        if record.trust == Trust::Proven {
            self.each_run(owner, raws, |claims, run| claims.claim(owner, run));
        }
    }

    /// Believes the extension records that came before their files, where those are there.
    pub(super) fn settle(&mut self, is_there: impl Fn(FileReference) -> bool) {
        for (file, runs) in std::mem::take(&mut self.waiting) {
            let Some(owner) = file.number().filter(|_| is_there(file)) else { continue };
            runs.into_iter().for_each(|run| self.claim(owner, run));
        }
    }

    fn each_run(&mut self, owner: u32, raws: &[RawAttribute<'_>], mut each: impl FnMut(&mut Self, Range<u64>)) {
        // Clusters that cannot be read belong to nobody.
        if owner == RECORD_BAD_CLUSTERS {
            return;
        }
        let clusters = self.clusters;
        for raw in raws {
            // Where the `$MFT` lies was found otherwise than by its record, maybe.
            let known = owner == RECORD_MFT && raw.kind == attribute::DATA;
            if let Form::NonResident(..) = raw.form
                && !known
            {
                runs_of(raw, clusters).for_each(|run| each(self, run));
            }
        }
    }

    fn claim(&mut self, owner: u32, run: Range<u64>) {
        let run = run.start.min(self.there)..run.end.min(self.there);
        let left = self.left.checked_sub(run.end.saturating_sub(run.start));
        let parts = self.claimed.parts().max(self.shared.parts());
        let Some(left) = left.filter(|_| parts < MAX_PARTS) else {
            self.incomplete = true;
            return;
        };
        self.left = left;
        if owner < FIRST_WITH_NAME {
            self.own.add(run.clone(), &mut ClusterSet::default());
        }
        self.claimed.add(run, &mut self.shared);
    }

    /// What is claimed.
    pub(super) fn claimed(&self) -> &ClusterSet {
        &self.claimed
    }

    /// What NTFS's own files claim.
    pub(super) fn of_own_files(&self) -> &ClusterSet {
        &self.own
    }

    /// Whether there were more claims than are compared.
    pub(super) fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// What was claimed more than once.
    pub(super) fn into_shared(self) -> ClusterSet {
        self.shared
    }
}

/// The clusters that an attribute claims, on a volume of so many; none where its run list does not hold.
pub(super) fn runs_of(raw: &RawAttribute<'_>, volume_clusters: u64) -> impl Iterator<Item = Range<u64>> {
    let runs = match &raw.form {
        Form::Resident(_) => Vec::new(),
        Form::NonResident(header, list) => {
            // -1, and so an end of 0, for a value of no clusters.
            let expected = header.highest_vcn.wrapping_add(1).checked_sub(header.lowest_vcn);
            expected.and_then(|expected| data_runs::decode(list, expected, volume_clusters).ok()).unwrap_or_default()
        }
    };
    runs.into_iter().filter_map(|run| run.lcn.map(|lcn| lcn..lcn.saturating_add(run.clusters)))
}
