//! `$MFTMirr`: the copy of the first file records. Above all of record 0, which says where the `$MFT` is: where the two differ,
//! that counts by which the volume holds together.

use std::sync::Arc;

use mount_api::Error;

use super::extents::Place;
use super::file_record::FileRecord;
use super::mft::{MIRRORED, Mft};
use super::volume::Volume;
use super::{RECORD_MFT, RECORD_ROOT, corrupt};
use crate::report::{Code, Finding, Severity};

/// Records that are looked at to tell which of two `$MFT`s is the volume's: all of one as large as this, and as many of a
/// larger one.
const LOOKED_AT: u64 = 1 << 16;

/// How well the volume holds together by what a record 0 says of the `$MFT`; the more the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Hold {
    /// Whether the `$MFT` begins where the boot sector has it begin.
    begins: bool,
    /// Whether the root folder is one.
    has_root: bool,
    /// How many of the records looked at are there.
    records: u64,
    /// Whether nothing of the `$MFT` was found to be wrong when it was opened.
    sound: bool,
}

impl Mft {
    /// Opens the `$MFT` by its own record, or by the mirror's copy where that does not hold or the volume does not by it.
    pub(super) fn open(volume: &Arc<Volume>, findings: &mut Vec<Finding>) -> Result<Mft, Error> {
        let own = record_at(volume, volume.boot.mft_lcn).and_then(|(base, offset)| {
            let mut met = Vec::new();
            Self::open_by(&base, volume, offset, &mut met).map(|mft| (base, mft, met))
        });
        let copy = record_at(volume, volume.boot.mirror_lcn);
        let offset = volume.offset_of(volume.boot.mft_lcn).unwrap_or(u64::MAX);
        let used = |text: String| Finding::new(Code::NtfsMirrorUsed, Severity::Warning, text).at("$MFT", offset);
        match own {
            Ok((base, mft, mut met)) => {
                let differing = copy.ok().filter(|(copy, _)| !base.says_the_same_as(copy));
                let other = differing.and_then(|(copy, offset)| {
                    let mut met = Vec::new();
                    Self::open_by(&copy, volume, offset, &mut met).ok().map(|mft| (mft, met))
                });
                let Some((mut other, other_met)) =
                    other.filter(|(other, other_met)| better((other, other_met), (&mft, &met)))
                else {
                    if mft.is_contradicted_by_its_place() {
                        return Err(corrupt("file record 0: by it the $MFT begins elsewhere, and is not there"));
                    }
                    findings.append(&mut met);
                    return Ok(mft);
                };
                let text = "The first file record of the $MFT and its copy in $MFTMirr say different things of the $MFT, and by the record the volume does not hold together as it does by the copy: the copy is used";
                findings.push(used(text.to_owned()));
                findings.extend(other_met);
                other.by_mirror = true;
                Ok(other)
            }
            Err(error) => {
                let opened = copy.and_then(|(copy, offset)| Self::open_by(&copy, volume, offset, findings));
                let mut mft = opened.map_err(|mirror| {
                    let text = format!("the $MFT cannot be opened: {error}; nor by $MFTMirr: {mirror}");
                    Error::new(error.kind(), text)
                })?;
                let text = "The first file record of the $MFT does not hold; its copy in $MFTMirr is used";
                findings.push(used(format!("{text}: {error}")));
                mft.by_mirror = true;
                Ok(mft)
            }
        }
    }

    /// How well the volume holds together by this `$MFT`, and what was met when it was opened; every `step`th record below `end`
    /// is looked at.
    fn hold(&self, met: &[Finding], end: u64, step: u64) -> Hold {
        let begins = self.begins_at(self.volume.boot.mft_lcn);
        let root = self.file(RECORD_ROOT);
        let has_root = root.is_ok_and(|root| root.directory && root.has_index_of_names());
        Hold { begins, has_root, records: self.records_there(end, step), sound: met.is_empty() }
    }

    /// Whether it begins at this cluster of the volume.
    pub(super) fn begins_at(&self, lcn: u64) -> bool {
        self.extents.clusters(0..1).any(|(_, place)| place == Place::Clusters(lcn))
    }

    /// How many of the records below `end` are there; every `step`th one is looked at.
    fn records_there(&self, end: u64, step: u64) -> u64 {
        let numbers =
            std::iter::successors(Some(0u64), |number| number.checked_add(step)).take_while(|number| *number < end);
        let there = numbers.filter(|number| u32::try_from(*number).is_ok_and(|number| self.has_record(number)));
        u64::try_from(there.count()).unwrap_or(u64::MAX)
    }

    /// Whether more records are there than by another one.
    pub(super) fn shows_more_than(&self, other: &Mft) -> bool {
        let (end, step) = looked_at(self, other);
        self.records_there(end, step) > other.records_there(end, step)
    }

    /// Where the copy of a record stands on the volume.
    fn mirror_offset(&self, number: u32) -> Result<u64, Error> {
        let place = self.record_size().checked_mul(u64::from(number));
        let start = self.volume.offset_of(self.volume.boot.mirror_lcn).zip(place);
        let offset = start.and_then(|(start, place)| start.checked_add(place));
        offset.ok_or_else(|| corrupt("the place of $MFTMirr is absurd"))
    }

    /// How one of the first [`MIRRORED`] records and its copy in `$MFTMirr` differ, in words, and where on the volume the copy
    /// stands. `None` where they do not.
    pub(super) fn mirror_differs(&self, number: u32) -> Option<(u64, String)> {
        debug_assert!(number < MIRRORED, "{number}");
        // Opening the `$MFT` told of this one.
        if number == RECORD_MFT && self.by_mirror {
            return None;
        }
        let offset = self.mirror_offset(number).unwrap_or(u64::MAX);
        let text = match (self.own_record(number), self.mirrored(number)) {
            (Ok(own), Ok(copy)) if own.says_the_same_as(&copy) => return None,
            (Ok(_), Ok(_)) => {
                format!("File record {number} and its copy in $MFTMirr say different things; the record counts")
            }
            (Ok(_), Err(error)) => format!("The copy of file record {number} in $MFTMirr does not hold: {error}"),
            (Err(error), Ok(_)) => format!("File record {number} does not hold; its copy in $MFTMirr is used: {error}"),
            (Err(error), Err(_)) => format!("Neither file record {number} nor its copy in $MFTMirr holds: {error}"),
        };
        Some((offset, text))
    }

    pub(super) fn mirrored(&self, number: u32) -> Result<FileRecord, Error> {
        let offset = self.mirror_offset(number)?;
        let (bytes, trust) = self.volume.read_structure(offset, self.volume.boot.record_size, "$MFTMirr")?;
        FileRecord::parse(bytes, number, trust)
    }
}

/// Whether the volume holds better together by the first of two `$MFT`s, each with what was met when it was opened.
fn better((one, one_met): (&Mft, &[Finding]), (other, other_met): (&Mft, &[Finding])) -> bool {
    let (end, step) = looked_at(one, other);
    one.hold(one_met, end, step) > other.hold(other_met, end, step)
}

/// Up to which record two `$MFT`s are held against each other, and in which steps.
fn looked_at(one: &Mft, other: &Mft) -> (u64, u64) {
    let records = |mft: &Mft| mft.size().checked_div(mft.record_size()).unwrap_or(0);
    let end = records(one).max(records(other)).min(u32::MAX.into());
    (end, end.div_ceil(LOOKED_AT).max(1))
}

/// The record 0 that stands at a cluster, and at which byte of the volume that is.
pub(super) fn record_at(volume: &Volume, lcn: u64) -> Result<(FileRecord, u64), Error> {
    let offset = volume.offset_of(lcn).ok_or_else(|| corrupt(format!("cluster {lcn} is absurd")))?;
    let (bytes, trust) = volume.read_structure(offset, volume.boot.record_size, "file record 0")?;
    Ok((FileRecord::parse(bytes, RECORD_MFT, trust)?, offset))
}
