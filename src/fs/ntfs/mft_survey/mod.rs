//! A survey of the `$MFT`: every file record read once, from the first to the last. It tells which names each folder has
//! by the records of its files, which files no folder has, and which were deleted.
//!
//! Memory: six bytes a record, 24 for each extension record and twelve for each name whose folder comes later in the
//! `$MFT`, while it goes on; eight for each name and each extension record, four for each orphan and eight for each deleted
//! file, afterwards. Names themselves are read again when they are wanted. [`ClusterClaims`] tells its own.

mod pass;

use std::ops::Range;
use std::sync::atomic::AtomicBool;

use self::pass::Pass;
use super::cluster_claims::ClusterClaims;
use super::contested::Contested;
use super::mft::Mft;
use super::record_bitmap::RecordBitmap;

/// Records below this are NTFS's own, or set aside for it: some have no name.
pub(super) const FIRST_WITH_NAME: u32 = 24;
/// Stands for the folder of those deleted files whose own folder was not deleted, or is not known.
pub(super) const NO_FOLDER: u32 = u32::MAX;

/// What a survey found.
#[derive(Default)]
pub(super) struct MftSurvey {
    /// Folder and file, of all names of files that are there; in order.
    children: Vec<(u32, u32)>,
    /// File, and an extension record of it; in order.
    extensions: Vec<(u32, u32)>,
    /// Folders whose records cannot be read, with the sequence number that the files in them say; in order.
    lost_folders: Vec<(u32, u16)>,
    /// Files and folders in use that no folder has; in order.
    orphans: Vec<u32>,
    /// Those of them that bear no name in any record that could be read.
    nameless: usize,
    /// Names that say to stand in a folder that is not there, of files that another folder has.
    names_astray: usize,
    /// Records that cannot be read, or do not tell all of their names, and may be in use; in order.
    lost: Vec<Range<u32>>,
    /// Deleted folder, or [`NO_FOLDER`], and what was in it; in order.
    deleted: Vec<(u32, u32)>,
    damage: Damage,
    /// Clusters whose owner is not certain.
    pub(super) contested: Contested,
}

/// What keeps a survey from telling everything, beside records that cannot be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Damage {
    /// Parts of the `$MFT` could not be read.
    unread: bool,
    /// Records in use do not tell their names, or not whose names they tell.
    names: bool,
}

impl MftSurvey {
    /// That of a `$MFT` of which nothing was read.
    pub(super) fn unread() -> Self {
        MftSurvey { damage: Damage { unread: true, names: true }, ..MftSurvey::default() }
    }

    /// Reads all records, until `stop` is set: those that are left count as lost. By the bitmap those are known that hold
    /// nothing and should. Also hands back which clusters the files claim.
    pub(super) fn of(mft: &Mft, bitmap: Option<&RecordBitmap<'_>>, stop: &AtomicBool) -> (Self, ClusterClaims) {
        let mut pass = Pass::new(mft);
        pass.read(mft, bitmap, stop);
        pass.finish()
    }

    /// The files that bear a name in this folder, by their own records; in order, and once for each name, short ones too.
    pub(super) fn children(&self, folder: u32) -> impl Iterator<Item = u32> {
        part(&self.children, folder).iter().map(|(_, child)| *child)
    }

    /// The extension records of a file.
    pub(super) fn extensions(&self, file: u32) -> impl Iterator<Item = u32> {
        part(&self.extensions, file).iter().map(|(_, extension)| *extension)
    }

    /// The sequence number of a folder whose record cannot be read, by those that say to stand in it; `None` where no file
    /// does.
    pub(super) fn lost_folder(&self, number: u32) -> Option<u16> {
        let at = self.lost_folders.binary_search_by_key(&number, |(folder, _)| *folder).ok()?;
        self.lost_folders.get(at).map(|(_, sequence)| *sequence)
    }

    /// How many files and folders in use have names and no folder. Where records are lost, those without a name are none:
    /// theirs may have stood there.
    pub(super) fn count_orphans(&self) -> usize {
        let nameless = if self.damage.unread || !self.lost.is_empty() { self.nameless } else { 0 };
        self.orphans.len().saturating_sub(nameless).saturating_sub(self.lost_folders.len())
    }

    /// How many names say to stand in a folder that is not there, where their files have others that can be reached.
    pub(super) fn count_names_astray(&self) -> usize {
        self.names_astray
    }

    /// Files and folders in use whose folder is gone, is none or was replaced, or leads back to them.
    pub(super) fn orphans(&self) -> &[u32] {
        &self.orphans
    }

    /// Whether this one is among the orphans.
    pub(super) fn is_orphan(&self, number: u32) -> bool {
        self.orphans.binary_search(&number).is_ok()
    }

    /// What was deleted together with this folder; of [`NO_FOLDER`], what was deleted alone.
    pub(super) fn deleted_in(&self, folder: u32) -> &[(u32, u32)] {
        part(&self.deleted, folder)
    }

    /// Whether the deleted file of this record is shown in that folder.
    pub(super) fn is_deleted_in(&self, folder: u32, number: u32) -> bool {
        self.deleted.binary_search(&(folder, number)).is_ok()
    }

    /// Whether no name in this folder is missing: every record that may be in use was read, but for that of the folder, and
    /// tells its names.
    pub(super) fn has_all_names(&self, folder: u32) -> bool {
        let is_its_own = |range: &Range<u32>| range.clone().eq([folder]);
        self.damage == Damage::default() && self.lost.iter().all(is_its_own)
    }

    /// Whether all of the `$MFT` could be read.
    pub(super) fn read_all(&self) -> bool {
        !self.damage.unread
    }
}

/// The pairs that begin with this number.
fn part(pairs: &[(u32, u32)], first: u32) -> &[(u32, u32)] {
    let start = pairs.partition_point(|pair| pair.0 < first);
    let end = pairs.partition_point(|pair| pair.0 <= first);
    pairs.get(start..end).unwrap_or_default()
}
