//! The pass over all file records, and what it makes of them.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mount_api::Faults;

use super::super::attribute::{self, RawAttribute};
use super::super::cluster_claims::ClusterClaims;
use super::super::contested::Contested;
use super::super::file_record::{FileRecord, FileReference, RecordState};
use super::super::folder_cycles::{self, Above};
use super::super::mft::{self, Mft};
use super::super::record_bitmap::{RecordBitmap, RecordBits};
use super::super::record_table::{RecordFacts, RecordTable, Use};
use super::super::volume::whole;
use super::super::{RECORD_ROOT, to_u64, to_usize};
use super::{Damage, FIRST_WITH_NAME, MftSurvey, NO_FOLDER};
use crate::bytes::len_u64;

/// Bytes of the `$MFT` that are read at once.
const PORTION: u64 = 1 << 20;
/// How often whoever waits is told that it takes long.
const EVERY: Duration = Duration::from_secs(10);

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

/// An extension record.
struct Extension {
    of: FileReference,
    number: u32,
    has_names: bool,
}

#[derive(Default)]
pub(super) struct Pass {
    table: RecordTable,
    children: Vec<(u32, u32)>,
    /// Names that wait for a record that was not read yet.
    pending: Vec<Standing>,
    /// Folders that are there, each with the one that it stands in.
    folders: Vec<Above>,
    deleted: Vec<Standing>,
    /// Deleted ones that do not say where they stood.
    nowhere: Vec<u32>,
    extensions: Vec<Extension>,
    /// Names whose folders have records that cannot be read.
    in_lost: Vec<Standing>,
    /// File and folder of names whose folder is not there.
    astray: Vec<(u32, u32)>,
    /// Records that cannot be read, or do not tell all of their names, and may be in use; in order.
    lost: Vec<Range<u32>>,
    /// Records that cannot be read and are free by the bitmap, and whether that has another one free that is in use.
    excused: Vec<Range<u32>>,
    bitmap_lies: bool,
    /// Records of zeros, as those that were never used are, that adjoin each other: those around the root folder's.
    zeros: Range<u32>,
    damage: Damage,
    claims: ClusterClaims,
}

impl Pass {
    pub(super) fn new(mft: &Mft) -> Self {
        Pass { claims: ClusterClaims::of(mft), ..Pass::default() }
    }

    pub(super) fn read(&mut self, mft: &Mft, bitmap: Option<&RecordBitmap<'_>>, stop: &AtomicBool) {
        let record_size = mft.record_size();
        let mut at = 0u64;
        let mut told = Instant::now();
        loop {
            if stop.load(Ordering::Relaxed) {
                self.damage.unread = true;
                return self.lose_bytes(at..mft.size(), record_size);
            }
            if told.elapsed() >= EVERY {
                told = Instant::now();
                let [done, all] = [at, mft.size()].map(|bytes| bytes >> 20);
                log::warn!("all file records are read once, for what no folder tells: {done} of {all} MiB of the $MFT");
            }
            let (stretch, whole) = mft.next_stretch(at);
            if !whole {
                self.damage.unread = true;
                let end = stretch.as_ref().map_or(mft.size(), |stretch| stretch.start);
                self.lose_bytes(at..end, record_size);
            }
            let Some(stretch) = stretch else { return };
            // A record may begin in the stretch before: where clusters are smaller than records.
            let first = stretch.start.checked_div(record_size).unwrap_or(0);
            let start = first.saturating_mul(record_size).max(at);
            let end = stretch.end.div_ceil(record_size).saturating_mul(record_size);
            let length = end.saturating_sub(start).min(PORTION).max(record_size);
            match mft.read_through(start, length) {
                Ok((bytes, faults)) => self.portion(mft, start, &bytes, &faults, bitmap),
                Err(_) => {
                    self.damage.unread = true;
                    self.lose_bytes(start..start.saturating_add(length), record_size);
                }
            }
            at = start.saturating_add(length);
        }
    }

    /// The records in `bytes`, which stand at byte `start` of the `$MFT`.
    fn portion(&mut self, mft: &Mft, start: u64, bytes: &[u8], faults: &Faults, bitmap: Option<&RecordBitmap<'_>>) {
        let record_size = mft.record_size();
        let first = start.checked_div(record_size).unwrap_or(0);
        let Ok(first_number) = u32::try_from(first) else { return };
        let count = len_u64(bytes).checked_div(record_size).unwrap_or(0);
        let bits = bitmap.map_or_else(RecordBits::default, |bitmap| bitmap.of(first_number, count));
        for (number, (index, bytes)) in (first..).zip(bytes.chunks_exact(to_usize(record_size)).enumerate()) {
            let Ok(number) = u32::try_from(number) else { break };
            let in_use = bits.in_use(number);
            let from = len_u64(bytes).saturating_mul(to_u64(index));
            let trust = whole(&within(faults, from..from.saturating_add(len_u64(bytes))), String::new);
            let never_used = bytes.iter().take(4).all(|byte| *byte == 0);
            let Ok(trust) = trust else {
                self.lose_unread(number, in_use);
                continue;
            };
            match mft.parse(bytes, number, trust) {
                // Before the first files come some that are set aside, and in use though they hold nothing.
                _ if never_used && in_use != Some(true) => self.meet_zeros(number),
                _ if never_used => self.lose(number),
                Ok(record) => self.record(&record, in_use),
                // One that is torn and was freed is nobody's any more.
                Err(_) => match RecordState::peek(bytes) {
                    None => self.lose_unread(number, in_use),
                    Some(state) if state.in_use || in_use == Some(true) => self.lose(number),
                    Some(_) => {}
                },
            }
        }
    }

    /// A record cannot be read; the bitmap may know that it is nobody's.
    fn lose_unread(&mut self, number: u32, in_use: Option<bool>) {
        match in_use {
            Some(false) => add(&mut self.excused, number..number.saturating_add(1)),
            _ => self.lose(number),
        }
    }

    /// A record does not tell its names, and may be in use. The first ones are NTFS's own: no name of a user is in them.
    fn lose(&mut self, number: u32) {
        if number >= FIRST_WITH_NAME {
            add(&mut self.lost, number..number.saturating_add(1));
        }
    }

    /// The next record of zeros. Those behind a gap that are not around the root folder's are of no interest.
    fn meet_zeros(&mut self, number: u32) {
        let end = number.saturating_add(1);
        if self.zeros.end == number {
            self.zeros.end = end;
        } else if number <= RECORD_ROOT {
            self.zeros = number..end;
        }
    }

    /// Records that were excused at first are lost too.
    fn lose_too(&mut self, records: impl IntoIterator<Item = Range<u32>>) {
        self.lost.extend(records);
        self.lost.sort_unstable_by_key(|range| range.start);
    }

    /// No record in these bytes of the `$MFT` can be read.
    fn lose_bytes(&mut self, bytes: Range<u64>, record_size: u64) {
        let number = |at: u64| u32::try_from(at.checked_div(record_size).unwrap_or(0)).unwrap_or(u32::MAX);
        add(&mut self.lost, number(bytes.start)..number(bytes.end.saturating_add(record_size).saturating_sub(1)));
    }

    fn record(&mut self, record: &FileRecord, in_use: Option<bool>) {
        let known = |state, before: RecordFacts| RecordFacts {
            sequence: record.state.sequence,
            state,
            directory: record.state.directory,
            ..before
        };
        match (record.state.in_use, record.state.is_base()) {
            (true, is_base) => {
                self.bitmap_lies |= in_use == Some(false);
                if is_base {
                    self.table.update(record.number, |place| *place = known(Use::Live, *place));
                }
                match record.attributes() {
                    Ok(raws) => {
                        self.claim(record, &raws);
                        if !tells_its_names(record, &raws) {
                            self.lose(record.number);
                        }
                    }
                    Err(_) => self.lose(record.number),
                }
                let Some(owner) = (if is_base { Some(record.number) } else { record.base.number() }) else { return };
                let mut has_names = false;
                for name in record.names() {
                    has_names = true;
                    let Some(standing) = Standing::new(owner, name.parent()) else { continue };
                    // Both were read: it can be told now.
                    if standing.file.max(standing.folder) <= record.number {
                        self.settle(standing);
                    } else {
                        self.pending.push(standing);
                    }
                }
                match is_base {
                    true => self.table.update(record.number, |facts| facts.bears_name |= has_names),
                    false => self.extensions.push(Extension { of: record.base, number: record.number, has_names }),
                }
            }
            // By the bitmap it is somebody's, and by its own account nobody's any more.
            (false, _) if in_use == Some(true) && record.number >= FIRST_WITH_NAME => self.damage.names = true,
            (false, _) => {}
        }
        if !record.state.in_use && record.state.is_base() && mft::holds_a_file(record).unwrap_or(false) {
            self.table.update(record.number, |place| *place = known(Use::Freed, *place));
            match record.names().next().and_then(|name| Standing::new(record.number, name.parent())) {
                Some(standing) => self.deleted.push(standing),
                None => self.nowhere.push(record.number),
            }
        }
    }

    /// The clusters that a record in use claims. Whose those of an extension record are, its base record tells.
    fn claim(&mut self, record: &FileRecord, raws: &[RawAttribute<'_>]) {
        match record.base.number() {
            _ if record.state.is_base() => self.claims.add(record, raws),
            Some(owner) if owner > record.number => self.claims.add_later(record, raws),
            Some(owner) if self.table.get(owner).is_file(record.base) => self.claims.add_for(owner, record, raws),
            _ => {}
        }
    }

    /// Believes a name whose folder is there.
    fn settle(&mut self, standing: Standing) {
        let folder = self.table.get(standing.folder);
        // There is a root folder, and never was another, be its record lost.
        if standing.folder == RECORD_ROOT || folder.is_folder(standing.folder()) {
            self.place(standing);
        } else if folder.state == Use::None && is_within(&self.lost, standing.folder) {
            self.in_lost.push(standing);
        } else {
            self.astray.push((standing.file, standing.folder));
        }
    }

    fn place(&mut self, standing: Standing) {
        let file = self.table.get(standing.file);
        if file.state != Use::Live {
            return;
        }
        self.children.push((standing.folder, standing.file));
        if file.directory && !file.named && standing.file != RECORD_ROOT {
            self.folders.push(Above { folder: standing.file, above: standing.folder });
        }
        self.table.update(standing.file, |facts| facts.named = true);
    }

    /// Believes the names that say to stand in folders whose records cannot be read. A record may have been that of another
    /// folder before: the sequence number that most say is its last one.
    fn place_in_lost_folders(&mut self) -> Vec<(u32, u16)> {
        let mut standings = std::mem::take(&mut self.in_lost);
        standings.sort_unstable_by_key(|standing| (standing.folder, standing.sequence));
        let mut folders: Vec<(u32, u16)> = Vec::new();
        for of_folder in standings.chunk_by(|one, other| one.folder == other.folder) {
            let alike = of_folder.chunk_by(|one, other| one.sequence == other.sequence);
            let Some(most) = alike.max_by_key(|alike| alike.len()) else { continue };
            let last = most.first().map(|standing| standing.sequence);
            folders.extend(last.and_then(|last| Some((most.first()?.folder, last))));
            most.iter().for_each(|standing| self.place(*standing));
            let others = of_folder.iter().filter(|standing| Some(standing.sequence) != last);
            self.astray.extend(others.map(|standing| (standing.file, standing.folder)));
        }
        folders
    }

    /// What it comes to, and which clusters the files claim.
    pub(super) fn finish(mut self) -> (MftSurvey, ClusterClaims) {
        let mut claims = std::mem::take(&mut self.claims);
        claims.settle(|file| file.number().is_some_and(|number| self.table.get(number).is_file(file)));
        if self.bitmap_lies {
            let excused = std::mem::take(&mut self.excused);
            self.lose_too(excused.into_iter().filter(|range| range.start >= FIRST_WITH_NAME));
        }
        // There always was a root folder: zeros in its place, and all that adjoin them, are what is left of records.
        if self.zeros.contains(&RECORD_ROOT) && self.zeros.end > FIRST_WITH_NAME {
            self.lose_too([FIRST_WITH_NAME..self.zeros.end]);
        }
        for standing in std::mem::take(&mut self.pending) {
            self.settle(standing);
        }
        let lost_folders = self.place_in_lost_folders();
        for folder in folder_cycles::cut(std::mem::take(&mut self.folders)) {
            self.table.update(folder, |facts| facts.named = false);
        }
        let mut extensions = self.extensions_of_files();
        let (mut orphans, mut nameless) = (Vec::new(), 0usize);
        for (number, facts) in self.table.iter().filter(|(number, _)| *number >= FIRST_WITH_NAME) {
            if facts.state == Use::Live && !facts.named {
                orphans.push(number);
                nameless = nameless.saturating_add(usize::from(!facts.bears_name));
            }
        }
        let names_astray = self.names_astray();
        self.damage.names |= names_astray > 0;
        // Where they belong is not known.
        self.damage.names |= orphans.iter().any(|number| !is_within(&self.lost, *number));
        // They have no names, and may be in folders that tell none of theirs.
        orphans.extend(lost_folders.iter().map(|(folder, _)| *folder));
        orphans.sort_unstable();
        extensions.sort_unstable();
        let deleted = self.deleted_folders();
        self.children.sort_unstable();
        self.children.shrink_to_fit();
        let (children, lost, damage) = (self.children, self.lost, self.damage);
        let contested = Contested::default();
        let survey = MftSurvey {
            children,
            extensions,
            lost_folders,
            orphans,
            nameless,
            names_astray,
            lost,
            deleted,
            damage,
            contested,
        };
        (survey, claims)
    }

    /// Names without a folder of files that are there, and that a folder has. A long and a short one in one folder are one.
    fn names_astray(&mut self) -> usize {
        let mut astray = std::mem::take(&mut self.astray);
        astray.sort_unstable();
        astray.dedup();
        let is_named = |facts: RecordFacts| facts.state == Use::Live && facts.named;
        astray.iter().filter(|(file, _)| *file >= FIRST_WITH_NAME && is_named(self.table.get(*file))).count()
    }

    /// The extension records of files that are there.
    fn extensions_of_files(&mut self) -> Vec<(u32, u32)> {
        let mut extensions = Vec::new();
        for Extension { of, number, has_names } in std::mem::take(&mut self.extensions) {
            let owner = of.number().map(|owner| (owner, self.table.get(owner)));
            match owner {
                Some((owner, facts)) if facts.state == Use::Live && of.means(facts.sequence) => {
                    self.table.update(owner, |facts| facts.bears_name |= has_names);
                    extensions.push((owner, number));
                }
                // That its file cannot be read is known.
                Some((owner, _)) if is_within(&self.lost, owner) => {}
                // Whose its names are is not.
                _ => self.damage.names |= has_names,
            }
        }
        extensions
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

/// Whether all names in a record in use can be had, and are those of the file that it says it belongs to.
fn tells_its_names(record: &FileRecord, raws: &[RawAttribute<'_>]) -> bool {
    // An extension record never has this.
    let is_another = !record.state.is_base() && raws.iter().any(|raw| raw.kind == attribute::STANDARD_INFORMATION);
    let holds = |raw: &RawAttribute<'_>| raw.kind != attribute::FILE_NAME || raw.file_name().is_some();
    !is_another && raws.iter().all(holds)
}

/// Adds numbers that are greater than all before.
fn add(ranges: &mut Vec<Range<u32>>, numbers: Range<u32>) {
    match ranges.last_mut() {
        Some(last) if last.end >= numbers.start => last.end = last.end.max(numbers.end),
        _ if numbers.is_empty() => {}
        _ => ranges.push(numbers),
    }
}

fn is_within(ranges: &[Range<u32>], number: u32) -> bool {
    let after = ranges.partition_point(|range| range.start <= number);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|range| range.contains(&number))
}
