//! The run list of the `$MFT` where its attribute list does not hold: the part in record 0, and those in extension records that
//! say to belong to it. Each part leads to more records, and they may hold the next one.

use std::collections::BTreeMap;

use mount_api::{Error, FaultKind, Faults, Trust};

use super::attribute::{self, Form};
use super::extents::{Extents, Place};
use super::file::NonResident;
use super::file_record::FileRecord;
use super::run_list::add_runs;
use super::volume::{Volume, lesser};
use super::{corrupt, to_u64, to_usize};
use crate::report::Code;

/// Bytes of records that are read at once.
const TOGETHER: u64 = 256 << 10;

/// Bytes of the `$MFT` that are looked through: 64 million records of 1 KiB. A run list may claim far more than stands there.
const MOST: u64 = 64 << 30;

/// The clusters of the `$MFT`, as far as they were found.
pub(super) struct MftParts {
    pub(super) extents: Extents,
    /// The least trust of the records that tell them.
    pub(super) trust: Trust,
    pub(super) value: NonResident,
    /// That two of its parts claim the same clusters, where the records themselves tell which of them stand in their place.
    pub(super) overlap: Option<Error>,
}

/// A part of the run list.
struct Part {
    highest_vcn: u64,
    runs: Vec<u8>,
    trust: Trust,
}

impl MftParts {
    /// Looks through the records that record 0, `base`, leads to, and through those that they lead to. What no record tells is
    /// lost.
    pub(super) fn find(base: &FileRecord, volume: &Volume) -> Result<Self, Error> {
        let value = beginning(base)?;
        let mut extents = Extents::default();
        value.first_part(&mut extents, volume).map_err(|text| corrupt(format!("file record 0: {text}")))?;
        let size = value.header.size;
        let mut found = MftParts { extents, trust: base.trust, value, overlap: None };
        found.look_for_overlaps(base)?;
        found.go_on(base, volume, clusters_of(size, volume));
        found.look_for_overlaps(base)?;
        Ok(found)
    }

    /// The clusters that may be those of the `$MFT` where record 0, `base`, contradicts itself: by its runs before the first that
    /// breaks a rule, and those in the records that they lead to. Only records that bear their own numbers may be believed there.
    pub(super) fn find_what_may_be(base: &FileRecord, volume: &Volume) -> Result<Extents, Error> {
        let value = beginning(base)?;
        let mut extents = Extents::default();
        value.first_runs(&mut extents, volume);
        let size = value.header.size.max(value.header.allocated);
        let mut found = MftParts { extents, trust: base.trust, value, overlap: None };
        found.go_on(base, volume, clusters_of(size, volume));
        Ok(found.extents.without_lost_end())
    }

    /// Looks for clusters that are claimed twice. Where records bear their numbers, what stands in the wrong place is not taken
    /// for another one, so that only what a wrong part should lead to is lost.
    ///
    /// # Errors
    /// Where nothing tells what stands in its place, and where record 0 alone contradicts itself: then its copy counts.
    pub(super) fn look_for_overlaps(&mut self, base: &FileRecord) -> Result<(), Error> {
        let Some(lcn) = self.extents.claimed_twice() else { return Ok(()) };
        let error = corrupt(format!("the run list of the $MFT claims cluster {lcn} twice"));
        let of_record_0 = self.value.header.highest_vcn.saturating_add(1);
        if !base.bears_its_number() || self.extents.up_to(of_record_0).claimed_twice().is_some() {
            return Err(error);
        }
        self.overlap = Some(error);
        Ok(())
    }

    /// How many clusters are known.
    pub(super) fn known(&self) -> u64 {
        self.extents.end().saturating_sub(self.extents.lost())
    }

    /// How many records cannot be found.
    pub(super) fn lost_records(&self, volume: &Volume) -> u64 {
        let known = self.known().saturating_mul(volume.boot.cluster_size);
        let lost = self.value.header.size.saturating_sub(known);
        lost.checked_div(to_u64(volume.boot.record_size)).unwrap_or(0)
    }

    /// Adds parts up to `end`.
    fn go_on(&mut self, base: &FileRecord, volume: &Volume, end: u64) {
        let mut parts: BTreeMap<u64, Part> = BTreeMap::new();
        let mut looked_at = 0;
        while self.extents.end() < end {
            // What others have told already.
            while parts.first_key_value().is_some_and(|(lowest_vcn, _)| *lowest_vcn < self.extents.end()) {
                parts.pop_first();
            }
            if let Some(part) = parts.remove(&self.extents.end()) {
                self.add(&part, volume);
            } else if let Some(next) = self.look(base, volume, looked_at, &mut parts) {
                looked_at = next;
            } else {
                // No record that can be reached tells what comes next; one behind may tell what comes later.
                let next = parts.first_key_value().map_or(end, |(lowest_vcn, _)| (*lowest_vcn).min(end));
                self.extents.push(next.saturating_sub(self.extents.end()), Place::Lost(Code::NtfsRunListBad));
            }
        }
    }

    fn add(&mut self, part: &Part, volume: &Volume) {
        match add_runs(&mut self.extents, &part.runs, part.highest_vcn, volume) {
            Ok(()) => self.trust = lesser(self.trust, part.trust),
            // One cluster, for the next part begins behind it.
            Err(_) => self.extents.push(1, Place::Lost(Code::NtfsRunListBad)),
        }
    }

    /// Looks for parts in the records from byte `at` of the `$MFT` on. Gives the byte to go on from; `None` where no more
    /// records can be reached.
    fn look(&self, base: &FileRecord, volume: &Volume, at: u64, parts: &mut BTreeMap<u64, Part>) -> Option<u64> {
        let record_size = to_u64(volume.boot.record_size);
        let reached = self.extents.end().saturating_mul(volume.boot.cluster_size);
        let length = TOGETHER.max(record_size).min(reached.min(MOST).checked_sub(at)?);
        let length = length.checked_div(record_size)?.saturating_mul(record_size);
        if length == 0 {
            return None;
        }
        let mut bytes = vec![0; to_usize(length)];
        let mut faults = Faults::new();
        // What is lost reads as zeros, which are no record.
        let _ = self.extents.read(volume, &mut bytes, at, &mut faults);
        // Which of the records it is that are doubtful does not matter: all that they tell becomes a part of one list.
        let doubt = faults.iter().find(|fault| fault.kind == FaultKind::Doubtful);
        let trust = doubt.map_or(Trust::Proven, |fault| Trust::Doubtful(fault.code));
        let first = at.checked_div(record_size)?;
        for (number, bytes) in (first..).zip(bytes.chunks_exact(volume.boot.record_size)) {
            let Ok(number) = u32::try_from(number) else { return None };
            if let Ok(record) = FileRecord::parse(bytes.to_vec(), number, trust) {
                take(base, &record, parts);
            }
        }
        Some(at.saturating_add(length))
    }
}

/// The beginning of the `$MFT` by record 0.
fn beginning(base: &FileRecord) -> Result<NonResident, Error> {
    let raws = base.attributes()?;
    let data = raws.iter().find(|raw| raw.kind == attribute::DATA && raw.name.is_empty());
    let Some(Form::NonResident(header, runs)) = data.map(|data| &data.form).filter(|_| base.state.in_use) else {
        return Err(corrupt("file record 0: it does not hold the beginning of the $MFT"));
    };
    Ok(NonResident::new(*header, runs))
}

/// The clusters of so many bytes, as far as the volume has them.
fn clusters_of(size: u64, volume: &Volume) -> u64 {
    size.min(volume.boot.volume_size()).div_ceil(volume.boot.cluster_size)
}

/// Takes the part in a record, if it is one of the `$MFT`.
fn take(base: &FileRecord, record: &FileRecord, parts: &mut BTreeMap<u64, Part>) {
    let belongs = record.state.in_use
        && !record.state.is_base()
        && record.base.record == 0
        && record.base.means(base.state.sequence);
    let Some(raws) = record.attributes().ok().filter(|_| belongs) else { return };
    for raw in raws.iter().filter(|raw| raw.kind == attribute::DATA && raw.name.is_empty()) {
        if let Form::NonResident(header, runs) = &raw.form {
            let part = Part { highest_vcn: header.highest_vcn, runs: runs.to_vec(), trust: record.trust };
            parts.entry(header.lowest_vcn).or_insert(part);
        }
    }
}
