//! Folders whose own records do not tell where they stand: each stands in the first folder that has its name.
//!
//! A folder that is named in two places could lead back to itself. The records of all others forbid that, for each names one
//! folder alone; these have no such record.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

use mount_api::{MAX_DEPTH, Name, Trust};

use super::file::File;
use super::file_name::FileName;
use super::file_record::FileReference;
use super::folder::Folder;
use super::record_states::Target;
use super::{Ntfs, RECORD_ROOT, attribute};
use crate::report::{Code, Severity};

/// Which folder each of them stands in, and its name there.
#[derive(Default)]
pub(super) struct Adopted(Mutex<BTreeMap<u32, (Name, u32)>>);

impl Adopted {
    /// The name of such a folder, and the folder that it stands in.
    pub(super) fn folder_of(&self, number: u32) -> Option<(Name, u32)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&number).cloned()
    }
}

/// Where the way up from a folder leads.
enum Way {
    /// To one that has none above it.
    ToTheTop,
    /// To the folder that was looked for, or round.
    Back,
    /// The record of this one was not read yet.
    Unknown(u32),
}

/// Goes up from `folder`, where `above` tells the folder that one stands in, if that is known, and looks for `number`.
fn way_up(folder: u32, number: u32, above: impl Fn(u32) -> Option<Option<u32>>) -> Way {
    let mut at = folder;
    for _ in 0..MAX_DEPTH {
        if at == number {
            return Way::Back;
        }
        match above(at) {
            _ if at == RECORD_ROOT => return Way::ToTheTop,
            None => return Way::Unknown(at),
            Some(None) => return Way::ToTheTop,
            Some(Some(above)) => at = above,
        }
    }
    Way::Back
}

impl Ntfs {
    /// Whether the folder `number`, which does not tell itself where it stands, stands in `folder`: it is the first that has
    /// it, and does not stand below it.
    pub(super) fn adopts(&self, folder: u32, number: u32, name: &Name) -> bool {
        // Records are read while no lock is held, each once, and what others adopt meanwhile is looked at again.
        let mut by_records = BTreeMap::new();
        loop {
            let unread = {
                let mut adopted = self.adopted.0.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((_, first)) = adopted.get(&number) {
                    return *first == folder;
                }
                let above = |at| match adopted.get(&at) {
                    Some((_, above)) => Some(Some(*above)),
                    None => by_records.get(&at).copied(),
                };
                match way_up(folder, number, above) {
                    Way::ToTheTop => {
                        adopted.insert(number, (name.clone(), folder));
                        return true;
                    }
                    Way::Back => return false,
                    Way::Unknown(at) => at,
                }
            };
            // With all that are above it, so that the next look mostly is the last.
            let mut at = Some(unread);
            while let Some(folder) = at.filter(|at| by_records.len() < MAX_DEPTH && !by_records.contains_key(at)) {
                at = self.folder_above(folder).filter(|_| folder != RECORD_ROOT);
                by_records.insert(folder, at);
            }
            if by_records.len() >= MAX_DEPTH {
                return false;
            }
        }
    }

    /// The folder that a folder says it stands in.
    fn folder_above(&self, number: u32) -> Option<u32> {
        let file = self.file(number).ok()?;
        let own = file.resident(attribute::FILE_NAME).and_then(FileName::parse)?.parent();
        own.number().filter(|_| self.may_be_folder(own))
    }

    /// Whether a reference leads to a folder, as far as is known.
    pub(super) fn may_be_folder(&self, reference: FileReference) -> bool {
        match self.mft.target(reference) {
            Target::Live { directory, .. } => directory,
            Target::Unknown => true,
            Target::Stale => false,
        }
    }

    /// Whether the record of a file tells all of its names, and the index of each folder that they name leads to this very file
    /// by them.
    pub(super) fn has_all_its_names(&self, reference: FileReference) -> bool {
        let Some(Ok(file)) = reference.number().map(|number| self.file(number)) else { return false };
        let is_there = |name: FileName<'_>| {
            let parent = name.parent();
            let above = parent.number().and_then(|number| self.file(number).ok());
            let above = above.filter(|above| above.number == RECORD_ROOT || parent.means(above.sequence));
            let folder = above.and_then(|above| Folder::open(self, &above).ok());
            folder.is_some_and(|folder| folder.find_by_tree(&name.name()) == Some(reference))
        };
        file.tells_all_names() && file.names().next().is_some() && file.names().all(is_there)
    }

    /// Tells that an index has an entry of a time before.
    pub(super) fn tell_old_entry(&self, folder: u32, reference: FileReference, name: &[u16]) {
        let (number, name) = (reference.record, Name::from_units(name));
        let text = format!(
            "The index of folder {folder} calls file record {number} {name:?}, and that record knows of no such name in that folder; all names that it has are in the indexes of their folders: the entry is an old one, and is not listed"
        );
        self.note(Code::NtfsIndexBad, Severity::Warning, text);
    }

    /// Tells that a file does not know of a name that leads to it.
    pub(super) fn doubt_name(&self, folder: u32, reference: FileReference, name: &[u16]) {
        let Some(number) = reference.number() else { return };
        let name = Name::from_units(name);
        let known = self.file(number).ok().and_then(|file| file.long_name().map(|name| name.name()));
        let known = known.map_or_else(|| "none".to_owned(), |name| format!("{name:?}"));
        let text = format!(
            "The index of folder {folder} calls file record {number} {name:?}, and that record knows of no such name in that folder (its name is {known}): it is listed by that name, and doubtful"
        );
        self.note(Code::NtfsIndexDoubtful, Severity::Error, text);
        self.doubt_names_of(number, Code::NtfsIndexDoubtful);
    }

    /// Tells that a file says to have a name that another one has, by the index or by its own record as well.
    pub(super) fn doubt_claim(&self, folder: u32, reference: FileReference, name: &[u16], by_index: bool) {
        let Some(number) = reference.number() else { return };
        let name = Name::from_units(name);
        let other = if by_index { "the index has another file by that name" } else { "another one says the same" };
        let text =
            format!("File record {number} says that it is {name:?} in folder {folder}, and {other}: it is doubtful");
        self.note(Code::NtfsIndexDoubtful, Severity::Error, text);
        self.doubt_names_of(number, Code::NtfsIndexDoubtful);
    }

    /// The names of this file are doubtful, and so is the file.
    pub(super) fn doubt_names_of(&self, number: u32, code: Code) {
        self.doubted_names.lock().unwrap_or_else(PoisonError::into_inner).insert(number, code);
        self.has_doubted_names.store(true, Ordering::Release);
    }

    /// The trust in a file by its names alone.
    pub(super) fn trust_in_name(&self, file: &File) -> Trust {
        // On nearly all volumes there is nothing to ask for, and every read of a file asks.
        if !self.has_doubted_names.load(Ordering::Acquire) {
            return Trust::Proven;
        }
        let names = self.doubted_names.lock().unwrap_or_else(PoisonError::into_inner);
        names.get(&file.number).map_or(Trust::Proven, |code| Trust::Doubtful(code.as_str()))
    }
}
