//! The run list of a value: its parts, which stand in one or more records of a file, joined and resolved.

use mount_api::{Error, Trust};

use super::attribute::{Form, NonResidentHeader};
use super::extents::{Extents, Place};
use super::file::{Attribute, File, NonResident, Part, not_held};
use super::file_record::{FileRecord, FileReference};
use super::joining::{extension, pick};
use super::volume::{Volume, lesser};
use super::{corrupt, data_runs};
use crate::report::Code;

/// The most extents that one value may have: what the longest attribute list can lead to, and far beyond any real file.
const MAX_EXTENTS: usize = 1 << 24;

/// The run list of a value, resolved.
#[derive(Debug)]
pub(super) struct Resolved {
    pub(super) extents: Extents,
    /// The least trust of the records that its parts stand in.
    pub(super) trust: Trust,
    /// Why parts of it are lost, the first reason.
    pub(super) damage: Option<Error>,
}

/// Reads file records; is also told what is resolved so far, for the `$MFT` lies where its own records lead.
pub(super) type FetchPart<'a> = &'a dyn Fn(&Extents, FileReference) -> Result<FileRecord, Error>;

impl File {
    /// Resolves the run list of one of the file's attributes, part after part. Each part stands for itself: one that
    /// cannot be had is lost, the others are served. Of parts that claim the same clusters at least one is wrong in all that it
    /// says, and none can be told from the other: they are lost.
    pub(super) fn resolve(
        &self,
        attribute: &Attribute,
        value: &NonResident,
        volume: &Volume,
        fetch: FetchPart<'_>,
    ) -> Result<Resolved, Error> {
        let (mut resolved, ends) = self.resolve_parts(attribute, value, volume, fetch)?;
        if let Some(lcn) = resolved.extents.claimed_twice() {
            let error = corrupt(format!("file record {}: its run list claims cluster {lcn} twice", self.number));
            if value.parts.is_empty() {
                return Err(error);
            }
            resolved.extents.lose_parts_that_meet(&ends);
            resolved.damage.get_or_insert(error);
        }
        Ok(resolved)
    }

    /// The same, with parts that claim the same clusters as they are. Gives where each part ends, too, in clusters of the value.
    pub(super) fn resolve_parts(
        &self,
        attribute: &Attribute,
        value: &NonResident,
        volume: &Volume,
        fetch: FetchPart<'_>,
    ) -> Result<(Resolved, Vec<u64>), Error> {
        let bad = |text: &str| corrupt(format!("file record {}: {text}", self.number));
        let mut resolved = Resolved { extents: Extents::default(), trust: self.trust, damage: None };
        let extents = &mut resolved.extents;
        if let Err(text) = value.first_part(extents, volume) {
            if value.parts.is_empty() {
                return Err(bad(&text));
            }
            resolved.damage = Some(bad(&text));
        }
        let mut ends = vec![extents.end()];
        for part in &value.parts {
            let gap = part.lowest_vcn.checked_sub(extents.end());
            let gap = gap.ok_or_else(|| bad("two parts of its run list are about the same clusters"))?;
            if gap > 0 {
                resolved.damage.get_or_insert_with(|| {
                    bad(&format!("no part of its run list leads to its cluster {}", extents.end()))
                });
            }
            extents.push(gap, Place::Lost(Code::NtfsRunListBad));
            ends.push(extents.end());
            let done = self.part(attribute, part, |holder| fetch(extents, holder)).and_then(|part| {
                resolved.trust = lesser(resolved.trust, part.trust);
                add_runs(extents, &part.runs, part.highest_vcn, volume).map_err(|text| bad(&text))
            });
            if let Err(error) = done {
                resolved.damage.get_or_insert(error);
            }
            if extents.len() > MAX_EXTENTS {
                return Err(bad("more extents than any file has"));
            }
            ends.push(extents.end());
        }
        Ok((resolved, ends))
    }

    fn part(
        &self,
        attribute: &Attribute,
        part: &Part,
        fetch: impl Fn(FileReference) -> Result<FileRecord, Error>,
    ) -> Result<PartRuns, Error> {
        let own = part.holder.record == u64::from(self.number);
        let holder = if own { fetch(part.holder) } else { extension(part.holder, self.number, self.sequence, &fetch) }?;
        let raws = holder.attributes()?;
        let found = pick(&raws, attribute.kind, &attribute.name, part.lowest_vcn, part.id);
        match found.map(|raw| &raw.form) {
            Some(Form::NonResident(header, runs)) => {
                Ok(PartRuns { highest_vcn: header.highest_vcn, runs: runs.to_vec(), trust: holder.trust })
            }
            _ => Err(not_held(holder.number, self.number)),
        }
    }
}

struct PartRuns {
    highest_vcn: u64,
    runs: Vec<u8>,
    trust: Trust,
}

impl NonResident {
    /// A value whose run list is `runs`, as long as no other part of it is known.
    pub(super) fn new(header: NonResidentHeader, runs: &[u8]) -> Self {
        NonResident { header, runs: runs.into(), parts: Vec::new() }
    }

    /// Leaves out all further parts where, by the sizes in the header, all of it stands in the first; whether there were any.
    pub(super) fn leave_out_parts_of_none(&mut self, cluster_size: u64) -> bool {
        let clusters = self.header.allocated.checked_div(cluster_size);
        let is_whole = clusters.is_some() && clusters == self.header.highest_vcn.checked_add(1);
        is_whole && !std::mem::take(&mut self.parts).is_empty()
    }

    /// Adds the part of the run list that stands with the header.
    pub(super) fn first_part(&self, extents: &mut Extents, volume: &Volume) -> Result<(), String> {
        let NonResidentHeader { size, allocated, .. } = self.header;
        if i64::try_from(size.max(allocated)).is_err() {
            return Err(format!("a size of {size} bytes in {allocated} is absurd"));
        }
        add_runs(extents, &self.runs, self.header.highest_vcn, volume)
    }

    /// Adds the runs of that part which come before the first that breaks a rule.
    pub(super) fn first_runs(&self, extents: &mut Extents, volume: &Volume) {
        let mut runs = Vec::new();
        // No volume has more clusters, so that a wrong count of them breaks no rule.
        let most = volume.boot.clusters();
        let _ = data_runs::decode_into(&mut runs, &self.runs, most, most);
        for run in runs {
            extents.push(run.clusters, run.lcn.map_or(Place::Hole, Place::Clusters));
        }
    }
}

/// Adds the runs that reach from the end of `extents` to `highest_vcn`.
pub(super) fn add_runs(extents: &mut Extents, runs: &[u8], highest_vcn: u64, volume: &Volume) -> Result<(), String> {
    // -1, and so an end of 0, for a value of no clusters.
    let end = highest_vcn.wrapping_add(1);
    let bytes = end.checked_mul(volume.boot.cluster_size).and_then(|bytes| i64::try_from(bytes).ok());
    let expected = end.checked_sub(extents.end()).filter(|_| bytes.is_some());
    let expected = expected.ok_or_else(|| format!("a part of its run list ends at its cluster {highest_vcn}"))?;
    for run in data_runs::decode(runs, expected, volume.boot.clusters())? {
        extents.push(run.clusters, run.lcn.map_or(Place::Hole, Place::Clusters));
    }
    Ok(())
}
