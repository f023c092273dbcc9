//! A survey of the `$MFT`: every file record read once, from the first to the last. It tells which names each folder has
//! by the records of its files, which files no folder has, and which were deleted.
//!
//! Memory: six bytes a record and twelve for each name whose folder comes later in the `$MFT`, while it goes on; eight
//! for each name, four for each orphan and eight for each deleted file, afterwards. Names themselves are read again when
//! they are wanted.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mount_api::Faults;

use super::attribute::RawAttribute;
use super::file_record::{FileRecord, FileReference, RecordState};
use super::folder_cycles::{self, Above};
use super::mft::{self, Mft};
use super::record_table::{RecordFacts, RecordTable, Use};
use super::stream::Stream;
use super::volume::{Volume, whole};
use super::{RECORD_ROOT, to_usize};
use crate::bytes::len_u64;

/// Bytes of the `$MFT` that are read at once.
const PORTION: u64 = 1 << 20;
/// How often whoever waits is told that it takes long.
const EVERY: Duration = Duration::from_secs(10);
/// Records below this are NTFS's own, or set aside for it: some have no name.
const FIRST_WITH_NAME: u32 = 24;
/// Stands for the folder of those deleted files whose own folder was not deleted, or is not known.
pub(super) const NO_FOLDER: u32 = u32::MAX;

/// What a survey found.
pub(super) struct MftSurvey {
    /// Folder and file, of all names of files that are there; in order.
    children: Vec<(u32, u32)>,
    /// Files and folders in use that no folder has; in order.
    orphans: Vec<u32>,
    /// Deleted folder, or [`NO_FOLDER`], and what was in it; in order.
    deleted: Vec<(u32, u32)>,
    damage: Damage,
}

/// What keeps a survey from telling everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Damage {
    /// Parts of the `$MFT` could not be read.
    unread: bool,
    /// Records in use do not hold.
    torn: bool,
}

/// The `$BITMAP` of the `$MFT`: which records are in use.
pub(super) struct RecordBitmap<'a> {
    pub(super) bits: Arc<Stream>,
    pub(super) volume: &'a Volume,
}

impl RecordBitmap<'_> {
    /// Whether it says that one of these records is in use; what cannot be read of it says nothing.
    fn has_any(&self, numbers: &[u32]) -> bool {
        let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else { return false };
        let start = first / 8;
        let mut bytes = vec![0; to_usize(u64::from((last / 8).saturating_sub(start)).saturating_add(1))];
        let mut faults = Faults::new();
        if self.bits.read(self.volume, start.into(), &mut bytes, &mut faults).is_err() {
            return false;
        }
        let is_set = |number: &u32| {
            let byte = bytes.get(to_usize((number / 8).saturating_sub(start).into())).copied().unwrap_or(0);
            byte & 1u8.rotate_left(number % 8) != 0
        };
        numbers.iter().any(is_set)
    }
}

impl MftSurvey {
    /// Reads all records. By the bitmap those are known that hold nothing and should.
    pub(super) fn of(mft: &Mft, bitmap: Option<&RecordBitmap<'_>>) -> Self {
        let mut pass = Pass::default();
        pass.read(mft, bitmap);
        pass.finish()
    }

    /// The files that bear a name in this folder, by their own records; in order, and once for each name, short ones too.
    pub(super) fn children(&self, folder: u32) -> impl Iterator<Item = u32> {
        part(&self.children, folder).iter().map(|(_, child)| *child)
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

    /// Whether every record in use could be read and holds, so that no name is missing.
    pub(super) fn has_all_names(&self) -> bool {
        self.damage == Damage::default()
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

/// The faults that touch a range.
fn within(faults: &Faults, range: Range<u64>) -> Faults {
    let mut met = Faults::new();
    for fault in faults.iter().filter(|fault| fault.range.start < range.end && range.start < fault.range.end) {
        met.push(fault.clone());
    }
    met
}

/// A name: whose it is, and the folder that it says it stands in.
#[derive(Clone, Copy)]
struct Standing {
    file: u32,
    folder: u32,
    sequence: u16,
}

impl Standing {
    /// `None` where the folder has a number that none has.
    fn new(file: u32, folder: FileReference) -> Option<Self> {
        Some(Standing { file, folder: folder.number()?, sequence: folder.sequence })
    }

    fn folder(self) -> FileReference {
        FileReference { record: self.folder.into(), sequence: self.sequence }
    }
}

#[derive(Default)]
struct Pass {
    table: RecordTable,
    children: Vec<(u32, u32)>,
    /// Names that wait for a record that was not read yet.
    pending: Vec<Standing>,
    /// Folders that are there, each with the one that it stands in.
    folders: Vec<Above>,
    deleted: Vec<Standing>,
    /// Deleted ones that do not say where they stood.
    nowhere: Vec<u32>,
    damage: Damage,
}

impl Pass {
    fn read(&mut self, mft: &Mft, bitmap: Option<&RecordBitmap<'_>>) {
        let record_size = mft.record_size();
        let mut at = 0u64;
        let mut told = Instant::now();
        loop {
            if told.elapsed() >= EVERY {
                told = Instant::now();
                let [done, all] = [at, mft.size()].map(|bytes| bytes >> 20);
                log::warn!("all file records are read once, for what no folder tells: {done} of {all} MiB of the $MFT");
            }
            let (stretch, whole) = mft.next_stretch(at);
            self.damage.unread |= !whole;
            let Some(stretch) = stretch else { return };
            // A record may begin in the stretch before: where clusters are smaller than records.
            let first = stretch.start.checked_div(record_size).unwrap_or(0);
            let start = first.saturating_mul(record_size).max(at);
            let end = stretch.end.div_ceil(record_size).saturating_mul(record_size);
            let length = end.saturating_sub(start).min(PORTION).max(record_size);
            match mft.read_through(start, length) {
                Ok((bytes, faults)) => {
                    let never_used = self.portion(mft, start, &bytes, &faults);
                    self.damage.torn |= bitmap.is_some_and(|bitmap| bitmap.has_any(&never_used));
                }
                Err(_) => self.damage.unread = true,
            }
            at = start.saturating_add(length);
        }
    }

    /// The records in `bytes`, which stand at byte `start` of the `$MFT`. Gives the numbers of those that hold nothing.
    fn portion(&mut self, mft: &Mft, start: u64, bytes: &[u8], faults: &Faults) -> Vec<u32> {
        let record_size = mft.record_size();
        let mut empty = Vec::new();
        let first = start.checked_div(record_size).unwrap_or(0);
        for (number, (index, bytes)) in (first..).zip(bytes.chunks_exact(to_usize(record_size)).enumerate()) {
            let Ok(number) = u32::try_from(number) else { break };
            let from = len_u64(bytes).saturating_mul(super::to_u64(index));
            let trust = whole(&within(faults, from..from.saturating_add(len_u64(bytes))), String::new);
            let never_used = bytes.iter().take(4).all(|byte| *byte == 0);
            let Ok(trust) = trust else {
                // The root folder bears no name that could be missed.
                self.damage.unread |= number != RECORD_ROOT;
                continue;
            };
            match mft.parse(bytes, number, trust) {
                // Before the first files come some that are set aside, and in use though they hold nothing.
                _ if never_used && number >= FIRST_WITH_NAME => empty.push(number),
                _ if never_used => {}
                Ok(record) => self.record(&record),
                // One that is torn and was freed is nobody's any more.
                Err(_) if number == RECORD_ROOT => {}
                Err(_) => self.damage.torn |= RecordState::peek(bytes).is_none_or(|state| state.in_use),
            }
        }
        empty
    }

    fn record(&mut self, record: &FileRecord) {
        let known = |state| RecordFacts {
            sequence: record.state.sequence,
            state,
            directory: record.state.directory,
            named: self.table.get(record.number).named,
        };
        let Ok(raws) = record.attributes() else {
            self.damage.torn |= record.state.in_use;
            return;
        };
        let mut names = raws.iter().filter_map(RawAttribute::file_name);
        match (record.state.in_use, record.state.is_base()) {
            (true, is_base) => {
                if is_base {
                    let facts = known(Use::Live);
                    self.table.update(record.number, |place| *place = facts);
                }
                let owner = if is_base { Some(record.number) } else { record.base.number() };
                for standing in names.filter_map(|name| Standing::new(owner?, name.parent())) {
                    // Both were read: it can be told now.
                    if standing.file.max(standing.folder) <= record.number {
                        self.settle(standing);
                    } else {
                        self.pending.push(standing);
                    }
                }
            }
            (false, true) if mft::holds_a_file(record).unwrap_or(false) => {
                let facts = known(Use::Freed);
                self.table.update(record.number, |place| *place = facts);
                match names.next().and_then(|name| Standing::new(record.number, name.parent())) {
                    Some(standing) => self.deleted.push(standing),
                    None => self.nowhere.push(record.number),
                }
            }
            (false, _) => {}
        }
    }

    /// Believes a name whose folder is there.
    fn settle(&mut self, standing: Standing) {
        let file = self.table.get(standing.file);
        // There is a root folder, and never was another, be its record lost.
        let is_folder = standing.folder == RECORD_ROOT || self.table.get(standing.folder).is_folder(standing.folder());
        if file.state != Use::Live || !is_folder {
            return;
        }
        self.children.push((standing.folder, standing.file));
        if file.directory && !file.named && standing.file != RECORD_ROOT {
            self.folders.push(Above { folder: standing.file, above: standing.folder });
        }
        self.table.update(standing.file, |facts| facts.named = true);
    }

    fn finish(mut self) -> MftSurvey {
        for standing in std::mem::take(&mut self.pending) {
            self.settle(standing);
        }
        for folder in folder_cycles::cut(std::mem::take(&mut self.folders)) {
            self.table.update(folder, |facts| facts.named = false);
        }
        let orphan = |(number, facts): &(u32, RecordFacts)| {
            *number >= FIRST_WITH_NAME && facts.state == Use::Live && !facts.named
        };
        let orphans = self.table.iter().filter(orphan).map(|(number, _)| number).collect();
        let deleted = self.deleted_folders();
        self.children.sort_unstable();
        self.children.shrink_to_fit();
        MftSurvey { children: self.children, orphans, deleted, damage: self.damage }
    }

    /// Where each deleted file is shown.
    fn deleted_folders(&mut self) -> Vec<(u32, u32)> {
        let was_folder = |standing: &Standing| {
            standing.file != standing.folder && self.table.get(standing.folder).was_folder(standing.folder())
        };
        let above = |standing: &Standing| Above { folder: standing.file, above: standing.folder };
        let below: Vec<_> = self.deleted.iter().filter(|standing| was_folder(standing)).map(above).collect();
        let cut = folder_cycles::cut(below);
        let shown_in = |standing: Standing| {
            let alone = !was_folder(&standing) || cut.binary_search(&standing.file).is_ok();
            (if alone { NO_FOLDER } else { standing.folder }, standing.file)
        };
        let nowhere = std::mem::take(&mut self.nowhere);
        let deleted = std::mem::take(&mut self.deleted);
        let mut pairs: Vec<_> =
            deleted.into_iter().map(shown_in).chain(nowhere.into_iter().map(|number| (NO_FOLDER, number))).collect();
        pairs.sort_unstable();
        pairs
    }
}
