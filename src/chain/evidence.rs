//! What speaks for and against an image that is not proven to be a parent, in numbers.
//!
//! None of it is proof. Sectors that the child holds and that stand in the candidate too say that a merge had begun;
//! sectors that the child does not hold may have changed all the same. A disk id is copied by every copy.

use std::path::PathBuf;
use std::sync::Arc;

use super::disk::Disk;
use super::link::{DIGITS, Found};
use crate::Faults;
use crate::bytes::Guid;
use crate::format::Facts;
use crate::layer::{ContainerKind, Extent, Identity, Layer, Source};

/// What speaks for and against a candidate.
#[derive(Debug, Clone)]
pub struct Evidence {
    /// The candidate.
    pub path: PathBuf,
    /// How it was found.
    pub found: Found,
    /// Who it is.
    pub data_write_guid: Option<Guid>,
    /// How many of the 32 digits of its DataWriteGuid are those of the recorded identity, where too many are for chance.
    pub digits_alike: Option<u32>,
    /// Whether its file is the disk itself, which bears no identity.
    pub is_raw: bool,
    /// Whether its disk is as large as the child's; `None` where one of them does not say any more.
    pub same_size: Option<bool>,
    /// Whether its logical sectors are as large as the child's; where not, it cannot be the parent. `None` as above.
    pub same_sector_size: Option<bool>,
    /// Whether it carries the child's virtual disk id; `None` where one of them has none.
    pub same_disk_id: Option<bool>,
    /// Of the child's own sectors, how many were looked at in the candidate.
    pub sectors_compared: u32,
    /// How many of those stand in the candidate too.
    pub sectors_equal: u32,
    /// Another candidate whose parent it is by its identity: this one is older.
    pub parent_of: Option<PathBuf>,
    /// An image beside it of which a merge into it had begun: its DataWriteGuid is the one that the merge gave it.
    pub merged_from: Option<PathBuf>,
    /// What the merged disk looks like with this candidate, where somebody judged it.
    pub disk: Option<DiskEvidence>,
    /// Structures that hold with no parent at all.
    pub holding_alone: u64,
    /// Whether the images below it do not lead to a base, where it was tried: with it the chain is still not whole.
    pub lacks_parent: bool,
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
    pub(super) fn gather(path: PathBuf, found: Found, child: &Side, candidate: &Side) -> Self {
        let same_sector_size = same(child.told.logical_sector_size, candidate.told.logical_sector_size);
        let (ours, theirs) = (&*child.layer, &*candidate.layer);
        let (sectors_compared, sectors_equal) =
            if same_sector_size == Some(false) { (0, 0) } else { compare(ours, theirs) };
        Evidence {
            path,
            found,
            data_write_guid: theirs.identity().data_write_guid,
            digits_alike: None,
            is_raw: theirs.identity().kind == ContainerKind::Raw,
            same_size: same(child.told.virtual_size, candidate.told.virtual_size),
            same_sector_size,
            // An id beside items that are lost may be as damaged as these: that it differs says nothing then.
            same_disk_id: same_disk_id(ours.identity(), theirs.identity())
                .filter(|same| *same || (child.told.virtual_size.is_some() && candidate.told.virtual_size.is_some())),
            sectors_compared,
            sectors_equal,
            parent_of: None,
            merged_from: None,
            disk: None,
            holding_alone: 0,
            lacks_parent: false,
            excluded: (same_sector_size == Some(false)).then(|| "its logical sectors have another size".to_owned()),
        }
    }

    /// Orders candidates: the higher, the more speaks for it.
    ///
    /// The recorded place goes before what the disk looks like, for an older state of a disk holds together as well as the right
    /// one, and the right one may be damaged. Of an image and its parent, both of which do as well, the parent is the older state.
    pub(super) fn weight(&self) -> impl Ord + use<> {
        let given = self.found == Found::Given;
        let is_right_disk = self.same_disk_id != Some(false);
        let (placed, youngest) = (self.is_placed() && is_right_disk, self.parent_of.is_none());
        (
            self.excluded.is_none(),
            given,
            self.digits_alike,
            placed,
            self.share(),
            youngest,
            self.ids(),
            self.is_placed(),
        )
    }

    /// Whether it stands where the parent was, or bears its name.
    pub(super) fn is_placed(&self) -> bool {
        matches!(self.found, Found::Recorded(_) | Found::ByName)
    }

    /// Structures that hold, of a thousand; 0 where none was looked at.
    fn share(&self) -> u64 {
        let disk = self.disk.as_ref();
        // A disk that holds together in 9 of 10 places is better than one that does in 5 of 5 only if the share is.
        disk.and_then(|disk| disk.holding.saturating_mul(1000).checked_div(disk.looked_at)).unwrap_or(0)
    }

    /// Whether it is taken where the user allows what is not proven: something speaks for it, or it stands where the parent was,
    /// which the user was told. Any other image must be named.
    pub(super) fn may_be_taken(&self) -> bool {
        self.speaks() || self.is_placed()
    }

    /// Whether anything does that another image would not show as well. A place alone does where nothing contradicts it.
    #[must_use]
    pub fn speaks(&self) -> bool {
        let by_place = self.is_placed() && self.same_disk_id.is_none() && self.same_size != Some(false);
        self.found == Found::Given || self.same_disk_id == Some(true) || by_place || self.stands_out_by_itself()
    }

    /// Whether what it holds does.
    fn speaks_by_content(&self) -> bool {
        // What the child holds itself holds with any parent.
        let adds = self.disk.as_ref().is_some_and(|disk| disk.holding > self.holding_alone);
        (adds && self.share() >= 500) || self.sectors_equal > 0
    }

    /// Whether the user chose it, or its place or what it holds speaks for it: all states of a disk bear its id.
    fn stands_out(&self) -> bool {
        self.found == Found::Given || self.is_placed() || self.stands_out_by_itself()
    }

    /// Whether its identity speaks for it, or what it holds does.
    fn stands_out_by_itself(&self) -> bool {
        self.digits_alike.is_some() || self.speaks_by_content()
    }

    /// What its metadata say of which disk it is.
    fn ids(&self) -> (bool, bool) {
        (self.same_disk_id == Some(true), self.same_size == Some(true))
    }

    /// The evidence in one line.
    #[must_use]
    pub fn describe(&self) -> String {
        let compared = |same: Option<bool>, what: &str| match same {
            Some(true) => format!("same {what}"),
            Some(false) => format!("another {what}"),
            None => format!("no {what} to compare"),
        };
        let mut words = vec![match self.found {
            Found::InFolder => format!("found {}", self.found.describe()),
            found => format!("found by: {}", found.describe()),
        }];
        words.push(match self.data_write_guid {
            Some(guid) => format!("DataWriteGuid {guid}"),
            None if self.is_raw => "a raw disk, which bears no identity".to_owned(),
            None => "it does not say its DataWriteGuid any more".to_owned(),
        });
        words.extend(self.digits_alike.map(|alike| {
            format!("{alike} of the {DIGITS} digits of that are those of the recorded parent_linkage, of which one is damaged then")
        }));
        words.push(compared(self.same_size, "disk size"));
        words.push(compared(self.same_sector_size, "sector size"));
        words.push(compared(self.same_disk_id, "disk id"));
        if self.sectors_compared > 0 {
            let (equal, compared) = (self.sectors_equal, self.sectors_compared);
            words.push(format!("of {compared} sectors of the child that were compared {equal} stand in it too"));
        }
        if let Some(disk) = &self.disk {
            let (holding, looked_at, alone) = (disk.holding, disk.looked_at, self.holding_alone);
            words.push(format!(
                "with it, {holding} of {looked_at} structures hold ({}), without a parent {alone}",
                disk.text
            ));
        }
        if let Some(child) = &self.merged_from {
            words.push(format!("a merge into it had begun, and had changed it: see {}", child.display()));
        }
        if self.lacks_parent {
            words.push("the images below it do not lead to a base".to_owned());
        }
        if let Some(child) = &self.parent_of {
            words.push(format!("it is the parent of {}", child.display()));
        }
        words.join("; ")
    }
}

/// Of candidates in order, the one that most speaks for; and whether something tells it from the next one.
pub(super) fn best_of(all: &[Evidence]) -> Option<(&Evidence, bool)> {
    let mut possible = all.iter().filter(|one| one.excluded.is_none());
    let best = possible.next()?;
    let is_told = best.stands_out() || !possible.any(|other| other.stands_out() || other.ids() == best.ids());
    Some((best, is_told))
}

/// One of the two images that are compared.
pub(super) struct Side {
    pub(super) layer: Arc<dyn Layer>,
    /// What it tells itself: what was inferred of one from the other speaks for nothing.
    pub(super) told: Facts,
}

fn same<T: PartialEq>(child: Option<T>, candidate: Option<T>) -> Option<bool> {
    Some(child? == candidate?)
}

/// Whether two images carry one virtual disk id; `None` where one of them has none, or zeros in its place.
fn same_disk_id(child: &Identity, candidate: &Identity) -> Option<bool> {
    let id = |identity: &Identity| identity.disk_id.filter(|id| !id.is_zero());
    same(id(child), id(candidate))
}

/// Compares sectors that the child holds with what the candidate itself holds in their place. Sectors that the candidate
/// leaves to a parent of its own are not counted, nor are those of one byte all over: they stand everywhere. What is doubtful is
/// read: it is evidence all the same.
fn compare(child: &dyn Layer, candidate: &dyn Layer) -> (u32, u32) {
    let sector_size = u64::from(child.geometry().logical_sector_size);
    let end = child.geometry().virtual_size.min(candidate.geometry().virtual_size);
    let (mut compared, mut equal) = (0u32, 0u32);
    for sector in held_sectors(child, end, sector_size) {
        let theirs = one_sector(candidate, sector, sector_size);
        if let (Some(ours), Some(theirs)) = (one_sector(child, sector, sector_size), theirs)
            && ours.iter().any(|byte| Some(byte) != ours.first())
        {
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
            (!faults.any_lost()).then_some(buf)
        }
        Source::Parent | Source::Lost(_) => None,
    }
}
