//! What speaks for and against an image that is not proven to be a parent, in numbers.
//!
//! None of it is proof. Sectors that the child holds and that stand in the candidate too say that a merge had begun;
//! sectors that the child does not hold may have changed all the same. A disk id is copied by every copy.

use std::path::PathBuf;
use std::sync::Arc;

use super::disk::Disk;
use super::link::Found;
use crate::Faults;
use crate::bytes::Guid;
use crate::layer::{Extent, Identity, Layer, Source};

/// What speaks for and against a candidate.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The candidate.
    pub path: PathBuf,
    /// How it was found.
    pub found: Found,
    /// Who it is.
    pub data_write_guid: Option<Guid>,
    /// Whether its disk is as large as the child's.
    pub same_size: bool,
    /// Whether its logical sectors are as large as the child's; where not, it cannot be the parent.
    pub same_sector_size: bool,
    /// Whether it carries the child's virtual disk id; `None` where one of them has none.
    pub same_disk_id: Option<bool>,
    /// Of the child's own sectors, how many were looked at in the candidate.
    pub sectors_compared: u32,
    /// How many of those stand in the candidate too.
    pub sectors_equal: u32,
    /// What the merged disk looks like with this candidate, where somebody judged it.
    pub disk: Option<DiskEvidence>,
    /// Why it cannot be taken, whatever else speaks for it.
    pub excluded: Option<String>,
}

/// Whether a merged disk holds together, as those see it who know what is on disks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskEvidence {
    /// Structures that were looked at.
    pub looked_at: u64,
    /// Structures that hold.
    pub holding: u64,
    /// In words: which structures.
    pub text: String,
}

/// Judges merged disks. The chain knows no file systems; who does, judges for it.
pub trait DiskJudge: Sync {
    /// Looks at the file systems of a disk.
    fn judge(&self, disk: &Arc<Disk>) -> DiskEvidence;
}

/// Sectors of the child that are compared, spread over its data.
const SAMPLES: usize = 256;

impl Evidence {
    /// Compares a candidate with the child.
    pub(super) fn gather(path: PathBuf, found: Found, child: &dyn Layer, candidate: &dyn Layer) -> Self {
        let (ours, theirs) = (child.geometry(), candidate.geometry());
        let same_sector_size = ours.logical_sector_size == theirs.logical_sector_size;
        let (sectors_compared, sectors_equal) = if same_sector_size { compare(child, candidate) } else { (0, 0) };
        Evidence {
            path,
            found,
            data_write_guid: candidate.identity().data_write_guid,
            same_size: ours.virtual_size == theirs.virtual_size,
            same_sector_size,
            same_disk_id: same_disk_id(child.identity(), candidate.identity()),
            sectors_compared,
            sectors_equal,
            disk: None,
            excluded: (!same_sector_size).then(|| "its logical sectors have another size".to_owned()),
        }
    }

    /// Orders candidates: the higher, the more speaks for it.
    pub(super) fn weight(&self) -> impl Ord + use<> {
        let disk = self.disk.clone().unwrap_or_default();
        // A disk that holds together in 9 of 10 places is better than one that does in 5 of 5 only if the share is.
        let share = disk.holding.saturating_mul(1000).checked_div(disk.looked_at).unwrap_or(0);
        let given = self.found == Found::Given;
        let recorded = matches!(self.found, Found::Recorded(_) | Found::ByName);
        (self.excluded.is_none(), given, share, self.same_disk_id == Some(true), self.same_size, recorded)
    }

    /// The evidence in one line.
    #[must_use]
    pub fn describe(&self) -> String {
        // It was looked at for its identity, which is not the one that is wanted: that found nothing.
        let mut words = vec![match self.found {
            Found::ByIdentity => "found in a folder that was searched".to_owned(),
            found => format!("found by: {}", found.describe()),
        }];
        words.push(match self.data_write_guid {
            Some(guid) => format!("DataWriteGuid {guid}"),
            None => "it does not say its DataWriteGuid any more".to_owned(),
        });
        words.push(if self.same_size { "same disk size" } else { "another disk size" }.to_owned());
        words.push(if self.same_sector_size { "same sector size" } else { "another sector size" }.to_owned());
        words.push(match self.same_disk_id {
            Some(true) => "same disk id".to_owned(),
            Some(false) => "another disk id".to_owned(),
            None => "no disk id to compare".to_owned(),
        });
        if self.sectors_compared > 0 {
            let (equal, compared) = (self.sectors_equal, self.sectors_compared);
            words.push(format!("{equal} of {compared} sectors of the child stand in it too"));
        }
        if let Some(disk) = &self.disk {
            words.push(format!("with it, {} of {} structures hold ({})", disk.holding, disk.looked_at, disk.text));
        }
        words.join("; ")
    }
}

fn same_disk_id(child: &Identity, candidate: &Identity) -> Option<bool> {
    Some(child.disk_id? == candidate.disk_id?)
}

/// Compares sectors that the child holds with what the candidate itself holds in their place. Sectors that the candidate
/// leaves to a parent of its own are not counted.
fn compare(child: &dyn Layer, candidate: &dyn Layer) -> (u32, u32) {
    let sector_size = u64::from(child.geometry().logical_sector_size);
    let end = child.geometry().virtual_size.min(candidate.geometry().virtual_size);
    let (mut compared, mut equal) = (0u32, 0u32);
    for sector in held_sectors(child, end, sector_size) {
        let theirs = one_sector(candidate, sector, sector_size);
        if let (Some(ours), Some(theirs)) = (one_sector(child, sector, sector_size), theirs) {
            compared = compared.saturating_add(1);
            equal = equal.saturating_add(u32::from(ours == theirs));
        }
    }
    (compared, equal)
}

/// Disk offsets of some sectors that a layer holds, spread over its whole disk.
fn held_sectors(layer: &dyn Layer, end: u64, sector_size: u64) -> Vec<u64> {
    let steps = u64::try_from(SAMPLES).unwrap_or(1);
    let stride = end.checked_div(steps).unwrap_or(0).max(sector_size);
    let mut found = Vec::new();
    let mut extents = Vec::new();
    let mut at = 0u64;
    while at < end && found.len() < SAMPLES {
        let piece = at..at.saturating_add(stride.min(1 << 22)).min(end);
        extents.clear();
        if layer.resolve(piece, &mut extents).is_ok() {
            let held = extents.iter().find(|extent| matches!(extent.source, Source::Data { .. }));
            found.extend(held.map(|extent| extent.disk.start));
        }
        at = at.saturating_add(stride);
    }
    found
}

/// The sector at `at` as the layer alone has it; `None` where it has none, or cannot read it.
fn one_sector(layer: &dyn Layer, at: u64, sector_size: u64) -> Option<Vec<u8>> {
    let mut extents: Vec<Extent> = Vec::new();
    let end = at.checked_add(sector_size).filter(|end| *end <= layer.geometry().virtual_size)?;
    layer.resolve(at..end, &mut extents).ok()?;
    let extent = extents.first().filter(|extent| extent.disk == (at..end))?;
    let mut buf = vec![0; usize::try_from(sector_size).ok()?];
    match extent.source {
        Source::Zero => Some(buf),
        Source::Data { .. } => {
            let mut faults = Faults::new();
            layer.read_data(extent, &mut buf, &mut faults).ok()?;
            faults.is_empty().then_some(buf)
        }
        Source::Parent | Source::Lost(_) => None,
    }
}
