//! The `$MFT`: all file records, found by what record 0 says of them.

use std::num::NonZeroUsize;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use mount_api::{Error, ErrorKind, Faults, Trust};

use super::attribute::{self, Form, RawAttribute};
use super::cache::Cache;
use super::extents::{Extents, SegmentPlace};
use super::file::{File, NonResident, Value};
use super::file_name::FileName;
use super::file_record::{FileRecord, FileReference, RecordState, own_number};
use super::losses::Watch;
use super::mft_parts::MftParts;
use super::near_states::NearStates;
use super::record_states::{self, RecordMarks, States, Target};
use super::volume::{Volume, lesser, whole};
use super::{RECORD_MFT, RECORD_ROOT, corrupt, to_usize};
use crate::bytes::len_u64;
use crate::report::{Code, Finding, Severity};

/// Neighbouring records are wanted together more often than not, so this much is read at a time.
const WINDOW: u64 = 64 << 10;
/// Bytes of windows kept.
const WINDOWS_KEPT: usize = 16 << 20;
/// Bytes of record states kept: 16 a record, so those of some millions of files.
const STATES_KEPT: usize = 64 << 20;
/// A window is read whole when it is wanted again within this many others; till then only the record is.
const RECENT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);
/// How many of the first records `$MFTMirr` repeats.
pub(super) const MIRRORED: u32 = 4;

/// The `$MFT`, opened.
pub(super) struct Mft {
    pub(super) volume: Arc<Volume>,
    pub(super) extents: Extents,
    trust: Trust,
    /// Bytes of records.
    size: u64,
    /// Whether it was opened by the copy of record 0 in `$MFTMirr`, which counts from then on.
    pub(super) by_mirror: bool,
    /// Whether two parts of its run list claim the same clusters: what stands there is told by the records alone.
    by_own_numbers: bool,
    windows: Cache<u64, Window>,
    states: Cache<u64, States>,
    recent: Mutex<LruCache<u64, ()>>,
    /// The memory of a window that is not kept any more, for the next one: to free and zero it anew for each costs more
    /// than to read it.
    spare: Mutex<Vec<u8>>,
}

/// Some bytes of the `$MFT` as they stand on the disk, and what is not known of them, counted from their start.
struct Window {
    bytes: Vec<u8>,
    faults: Faults,
}

impl Mft {
    /// Makes all of it no more than this, for so is what led to it.
    pub(super) fn trust_no_more_than(&mut self, trust: Trust) {
        self.trust = lesser(self.trust, trust);
    }

    /// Opens the `$MFT` by what `base`, a record 0 that stands at byte `offset` of the volume, says of it.
    pub(super) fn open_by(
        base: &FileRecord,
        volume: &Arc<Volume>,
        offset: u64,
        findings: &mut Vec<Finding>,
    ) -> Result<Mft, Error> {
        if !base.state.in_use {
            return Err(corrupt("file record 0: it is not in use"));
        }
        let (parts, damage) = match Self::listed_parts(base, volume) {
            Ok((parts, None)) => (parts, None),
            Ok((parts, damage)) => {
                let found = MftParts::find(base, volume).ok().filter(|found| found.known() > parts.known());
                (found.unwrap_or(parts), damage)
            }
            Err(damage) => (MftParts::find(base, volume).map_err(|_| damage.clone())?, Some(damage)),
        };
        if let Some(damage) = damage {
            let text = match parts.lost_records(volume) {
                0 => format!(
                    "The attribute list of the $MFT does not hold; the records that say to be its own lead to all of it: {damage}"
                ),
                lost => {
                    format!("Parts of the $MFT cannot be found, and the files in {lost} records are lost: {damage}")
                }
            };
            findings.push(Finding::new(Code::NtfsFileRecordBad, Severity::Error, text).at("$MFT", offset));
        }
        if let Some(overlap) = &parts.overlap {
            let text = format!(
                "A part of the $MFT stands elsewhere than is said: {overlap}. Records count only where they bear their own numbers; the files in others are lost"
            );
            findings.push(Finding::new(Code::NtfsFileRecordBad, Severity::Error, text).at("$MFT", offset));
        }
        let size = size_of_records(&parts.value, volume.boot.record_size);
        let root = u64::try_from(volume.boot.record_size).unwrap_or(u64::MAX).saturating_mul(RECORD_ROOT.into());
        if size <= root {
            return Err(corrupt(format!("file record 0: by its sizes the $MFT has {size} bytes, and no root folder")));
        }
        let by_own_numbers = parts.overlap.is_some();
        Ok(Mft { by_own_numbers, ..Self::of(volume, parts.extents, parts.trust, size) })
    }

    /// The parts of the `$MFT` as its attribute list, if it has one, leads to them; and why some are lost.
    fn listed_parts(base: &FileRecord, volume: &Volume) -> Result<(MftParts, Option<Error>), Error> {
        let known = first_extents(base, volume)?;
        let mut file = File::load(base, volume, &|reference| record_in(&known, volume, reference))?;
        let place = file.attributes.iter().position(|one| one.kind == attribute::DATA && one.name.is_empty());
        let data = place.and_then(|place| file.attributes.get(place));
        let data = data.ok_or_else(|| corrupt("file record 0: the $MFT has no data"))?;
        let Value::NonResident(value) = &data.value else {
            return Err(corrupt("file record 0: the data of the $MFT is not in clusters"));
        };
        let fetch = |so_far: &Extents, reference| record_in(so_far, volume, reference);
        let (resolved, _) = file.resolve_parts(data, value, volume, &fetch)?;
        let trust = lesser(file.trust, resolved.trust);
        let reached = resolved.extents.end().saturating_mul(volume.boot.cluster_size);
        let cut = || corrupt(format!("file record 0: the run list of the $MFT ends at byte {reached} of it"));
        let damage = resolved.damage.or_else(|| (reached < value.header.size).then(cut));
        let taken = place.map(|place| file.attributes.swap_remove(place).value);
        let Some(Value::NonResident(value)) = taken else { return Err(corrupt("file record 0: the $MFT has no data")) };
        let mut parts = MftParts { extents: resolved.extents, trust, value: *value, overlap: None };
        parts.look_for_overlaps(base)?;
        Ok((parts, damage))
    }

    pub(super) fn of(volume: &Arc<Volume>, extents: Extents, trust: Trust, size: u64) -> Mft {
        Mft {
            volume: Arc::clone(volume),
            extents,
            trust,
            size,
            by_mirror: false,
            by_own_numbers: false,
            windows: Cache::new(WINDOWS_KEPT, &volume.losses),
            states: Cache::new(STATES_KEPT, &volume.losses),
            recent: Mutex::new(LruCache::new(RECENT)),
            spare: Mutex::default(),
        }
    }

    /// The same, of which only records count that bear their own numbers.
    pub(super) fn by_own_numbers(self) -> Mft {
        Mft { by_own_numbers: true, ..self }
    }

    /// Its bytes, in whole records.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of the clusters that it has, which end with it or behind it.
    pub(super) fn size_of_clusters(&self) -> u64 {
        self.extents.end().saturating_mul(self.volume.boot.cluster_size)
    }

    /// Makes it end later. What was read before goes, for it may end where the `$MFT` did.
    pub(super) fn go_on_to(&mut self, size: u64) {
        self.size = size;
        self.windows = Cache::new(WINDOWS_KEPT, &self.volume.losses);
        self.states = Cache::new(STATES_KEPT, &self.volume.losses);
    }

    /// Bytes of a record.
    pub(super) fn record_size(&self) -> u64 {
        u64::try_from(self.volume.boot.record_size).unwrap_or(u64::MAX)
    }

    /// Reads and checks one record. The first four have a second place in `$MFTMirr`.
    ///
    /// # Errors
    /// Not found past the end; lost or corrupt when the record cannot be had.
    pub(super) fn record(&self, number: u32) -> Result<FileRecord, Error> {
        if number == RECORD_MFT && self.by_mirror {
            return self.mirrored(number).or_else(|_| self.own_record(number));
        }
        let own = self.own_record(number);
        if number >= MIRRORED {
            return own;
        }
        own.or_else(|error| self.mirrored(number).map_err(|_| error))
    }

    /// Whether the bytes of a record can be read and are those of that record.
    pub(super) fn has_record(&self, number: u32) -> bool {
        let bytes = self.record_bytes(number).ok().filter(|(_, faults)| !faults.any_lost());
        bytes.is_some_and(|(bytes, _)| {
            RecordState::peek(&bytes).is_some() && own_number(&bytes).is_none_or(|own| own == number)
        })
    }

    pub(super) fn own_record(&self, number: u32) -> Result<FileRecord, Error> {
        let (bytes, faults) = self.record_bytes(number)?;
        let trust = whole(&faults, || format!("file record {number}"))?;
        self.check(FileRecord::parse(bytes, number, lesser(self.trust, trust))?)
    }

    /// Refuses a record of an old version of NTFS where its place does not tell which one it is.
    fn check(&self, record: FileRecord) -> Result<FileRecord, Error> {
        if self.by_own_numbers && !record.bears_its_number() {
            let number = record.number;
            return Err(corrupt(format!(
                "file record {number}: it bears no number, and two parts of the $MFT claim the same clusters"
            )));
        }
        Ok(record)
    }

    /// Reads a record's file, extension records and all.
    pub(super) fn file(&self, number: u32) -> Result<File, Error> {
        let base = self.record(number)?;
        if !base.state.in_use || base.state.extension {
            return Err(Error::new(ErrorKind::NotFound, format!("file record {number} holds no file")));
        }
        File::load(&base, &self.volume, &|reference| self.referred(reference))
    }

    /// The record of a reference, whatever its sequence number.
    pub(super) fn referred(&self, reference: FileReference) -> Result<FileRecord, Error> {
        self.record(reference.number().ok_or_else(|| absurd(reference))?)
    }

    /// A record of a file, the base record or not, and the reference of that file.
    pub(super) fn part(&self, number: u32) -> Result<(FileRecord, FileReference), Error> {
        let part = self.record(number)?;
        let base = if part.state.is_base() { number } else { self.referred(part.base)?.number };
        let sequence = if base == number { part.state.sequence } else { self.record(base)?.state.sequence };
        Ok((part, FileReference { record: base.into(), sequence }))
    }

    /// Whether a reference still means the file that stands in its record.
    pub(super) fn target(&self, reference: FileReference) -> Target {
        NearStates::new(self, false).target(reference)
    }

    /// Whom a reference leads to, and whether it was seen that its record bears this name in this folder. Where it was not,
    /// it may all the same.
    pub(super) fn target_of_name(&self, reference: FileReference, name: &FileName<'_>) -> (Target, bool) {
        let (target, marks) = NearStates::new(self, false).target_and_marks(reference);
        (target, marks.contains(&record_states::mark(name)))
    }

    /// The window in which a record stands, and its ordinal there; `None` for what is past the end.
    pub(super) fn window_of(&self, reference: FileReference) -> Option<(u64, usize)> {
        let offset = reference.record.checked_mul(self.record_size()).filter(|offset| *offset < self.size)?;
        Some((offset / WINDOW, to_usize((offset % WINDOW).checked_div(self.record_size())?)))
    }

    /// The states of the records of a window.
    pub(super) fn states_of(&self, window: u64) -> Result<Arc<States>, Error> {
        match self.states.get(&window) {
            Some(states) => Ok(states),
            None => {
                let watch = self.volume.losses.watch();
                Ok(self.keep_states(window, &self.window(window)?.bytes, &watch))
            }
        }
    }

    /// The same for who goes through many windows: `memory` is read into, and the windows are not kept.
    pub(super) fn states_through(&self, window: u64, memory: &mut Vec<u8>) -> Result<Arc<States>, Error> {
        if let Some(states) = self.states.get(&window) {
            return Ok(states);
        }
        let watch = self.volume.losses.watch();
        let (bytes, _) = self.read_window(window, std::mem::take(memory))?;
        *memory = bytes;
        Ok(self.keep_states(window, memory, &watch))
    }

    fn keep_states(&self, window: u64, bytes: &[u8], watch: &Watch<'_>) -> Arc<States> {
        let first = window.saturating_mul(WINDOW).checked_div(self.record_size()).unwrap_or(0);
        let states = Arc::new(record_states::all(bytes, first, self.volume.boot.record_size));
        let weight = states.len().saturating_mul(size_of::<RecordMarks>());
        self.states.insert(window, Arc::clone(&states), weight, watch.holds());
        states
    }

    /// The bytes of a record as they stand on the disk; faults are counted from its start.
    fn record_bytes(&self, number: u32) -> Result<(Vec<u8>, Faults), Error> {
        let offset = u64::from(number).saturating_mul(self.record_size());
        if offset >= self.size {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no file record {number}")));
        }
        let window = offset / WINDOW;
        let held = match self.windows.get(&window) {
            Some(held) => held,
            None if self.wanted_again(window) => self.window(window)?,
            None => return self.read(vec![0; self.volume.boot.record_size], offset),
        };
        let start = offset % WINDOW;
        let end = start.saturating_add(self.record_size());
        let bytes = held.bytes.get(to_usize(start)..to_usize(end)).unwrap_or_default().to_vec();
        let mut faults = Faults::new();
        for fault in &held.faults {
            let range = fault.range.start.max(start)..fault.range.end.min(end);
            if !range.is_empty() {
                let range = range.start.saturating_sub(start)..range.end.saturating_sub(start);
                faults.push(mount_api::Fault { range, ..fault.clone() });
            }
        }
        Ok((bytes, faults))
    }

    /// Whether this window was wanted a short while ago; from now on it was.
    fn wanted_again(&self, window: u64) -> bool {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.put(window, ()).is_some()
    }

    fn window(&self, window: u64) -> Result<Arc<Window>, Error> {
        if let Some(held) = self.windows.get(&window) {
            return Ok(held);
        }
        let watch = self.volume.losses.watch();
        let memory = std::mem::take(&mut *self.spare());
        let (bytes, faults) = self.read_window(window, memory)?;
        let weight = bytes.len();
        let held = Arc::new(Window { bytes, faults });
        if let Some(gone) =
            self.windows.insert(window, Arc::clone(&held), weight, watch.holds()).and_then(Arc::into_inner)
        {
            *self.spare() = gone.bytes;
        }
        Ok(held)
    }

    fn read_window(&self, window: u64, mut memory: Vec<u8>) -> Result<(Vec<u8>, Faults), Error> {
        let offset = window.saturating_mul(WINDOW);
        memory.resize(to_usize(self.size.saturating_sub(offset).min(WINDOW)), 0);
        self.read(memory, offset)
    }

    fn spare(&self) -> MutexGuard<'_, Vec<u8>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads a record that is not in use as it was before it was freed; one in use as it is.
    pub(super) fn freed_record(&self, number: u32) -> Result<FileRecord, Error> {
        self.record(number).map(FileRecord::before_it_was_freed)
    }

    /// Reads the file that a record which is not in use held last, as far as it is still told. Clusters are read from
    /// `volume`.
    pub(super) fn freed_file(&self, number: u32, volume: &Volume) -> Result<File, Error> {
        let base = self.freed_record(number)?;
        if !base.freed || !base.state.is_base() || !holds_a_file(&base)? {
            return Err(Error::new(ErrorKind::NotFound, format!("file record {number} holds no deleted file")));
        }
        let fetch = |reference: FileReference| self.freed_record(reference.number().ok_or_else(|| absurd(reference))?);
        File::load(&base, volume, &fetch)
    }

    /// Where the next bytes of the `$MFT` are that can be looked at, from `from` on, and whether all before them are known
    /// to hold no record: those of holes. `None` at the end.
    pub(super) fn next_stretch(&self, from: u64) -> (Option<Range<u64>>, bool) {
        let mut whole = true;
        let there = self.volume.bytes.size();
        for segment in self.extents.segments(from..self.size, self.volume.boot.cluster_size) {
            match segment.place {
                SegmentPlace::Volume(offset) if offset < there => return (Some(segment.range), whole),
                SegmentPlace::Volume(_) | SegmentPlace::Lost(_) => whole = false,
                SegmentPlace::Hole => {}
            }
        }
        (None, whole)
    }

    /// Reads neighbouring records, from byte `offset` of the `$MFT` on, past all caches: for who reads all of them once.
    pub(super) fn read_through(&self, offset: u64, length: u64) -> Result<(Vec<u8>, Faults), Error> {
        let length = length.min(self.size.saturating_sub(offset));
        self.read(vec![0; to_usize(length)], offset)
    }

    /// Reads a record that may stand behind the end.
    pub(super) fn read_behind_end(&self, offset: u64) -> Result<(Vec<u8>, Faults), Error> {
        self.read(vec![0; self.volume.boot.record_size], offset)
    }

    /// The record in these bytes, which were read from its place.
    pub(super) fn parse(&self, bytes: &[u8], number: u32, trust: Trust) -> Result<FileRecord, Error> {
        self.check(FileRecord::parse(bytes.to_vec(), number, lesser(self.trust, trust))?)
    }

    fn read(&self, mut bytes: Vec<u8>, offset: u64) -> Result<(Vec<u8>, Faults), Error> {
        let mut faults = Faults::new();
        self.extents.read(&self.volume, &mut bytes, offset, &mut faults)?;
        let mut here = Faults::new();
        here.append_moved(faults, offset, 0);
        Ok((bytes, here))
    }
}

/// Whether a record says of whom it was: a name, content or a folder's index is left. Windows makes records that were
/// never used, and gives each an empty stream.
pub(super) fn holds_a_file(record: &FileRecord) -> Result<bool, Error> {
    let tells = |raw: &RawAttribute<'_>| match raw.kind {
        attribute::FILE_NAME | attribute::ATTRIBUTE_LIST | attribute::INDEX_ROOT => true,
        attribute::DATA => match &raw.form {
            Form::Resident(bytes) => !bytes.is_empty(),
            Form::NonResident(header, _) => header.size > 0,
        },
        _ => false,
    };
    Ok(record.attributes()?.iter().any(tells))
}

/// The clusters of the `$MFT` that its base record alone leads to.
fn first_extents(base: &FileRecord, volume: &Volume) -> Result<Extents, Error> {
    let attributes = base.attributes()?;
    let data = attributes.iter().find(|raw| raw.kind == attribute::DATA && raw.name.is_empty());
    let Some(Form::NonResident(header, runs)) = data.map(|data| &data.form) else {
        return Err(corrupt("file record 0: it does not hold the beginning of the $MFT"));
    };
    let mut extents = Extents::default();
    let value = NonResident::new(*header, runs);
    value.first_part(&mut extents, volume).map_err(|text| corrupt(format!("file record 0: {text}")))?;
    Ok(extents)
}

/// Reads a record of a `$MFT` of which only these clusters are known.
fn record_in(known: &Extents, volume: &Volume, reference: FileReference) -> Result<FileRecord, Error> {
    let number = reference.number().ok_or_else(|| absurd(reference))?;
    let mut bytes = vec![0; volume.boot.record_size];
    let offset = u64::from(number).saturating_mul(len_u64(&bytes));
    let mut faults = Faults::new();
    known.read(volume, &mut bytes, offset, &mut faults)?;
    let trust = whole(&faults, || format!("file record {number}"))?;
    FileRecord::parse(bytes, number, trust)
}

pub(super) fn absurd(reference: FileReference) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("file record {} has a number of more than 32 bits, which no NTFS volume has", reference.record),
    )
}

/// Bytes of the `$MFT` that hold records: those that were ever written.
fn size_of_records(value: &NonResident, record_size: usize) -> u64 {
    let written = value.header.initialized.min(value.header.size);
    // A `$MFT` has its own files at least; with less the field is wrong, not the volume empty.
    let own = u64::try_from(record_size).unwrap_or(u64::MAX).saturating_mul(16);
    if written < own { value.header.size } else { written }
}
