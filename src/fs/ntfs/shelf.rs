//! The two folders that show what no folder has, `$Orphans` and `$Deleted`, and deleted folders.
//!
//! A name there is the number of the file record, a hyphen, and the name that the file had: `1234-report.docx`. So each
//! is there once, whatever they were called, and a listing in the order of the numbers can go on anywhere.

use std::cmp::Ordering;
use std::fmt::Display;
use std::ops::ControlFlow;
use std::sync::Arc;

use mount_api::{Case, DirEntry, Error, ErrorKind, From, Kind, Name, NodeId, Trust};

use super::file::File;
use super::mft_survey::{MftSurvey, NO_FOLDER};
use super::{Ntfs, node_id};

/// What a name may have at most.
const MAX_NAME: usize = 255;
/// The longest end of a name that is kept as its extension when the name is shortened.
const MAX_EXTENSION: usize = 16;
const HYPHEN: u16 = 0x2d;
const DOT: u16 = 0x2e;
const TILDE: u16 = 0x7e;
/// Cookies of the two in the root folder: behind those of all other names.
const FIRST_COOKIE: u64 = 3 << 45;

/// One of the two folders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shelf {
    Orphans,
    Deleted,
}

impl Shelf {
    const ALL: [Shelf; 2] = [Shelf::Orphans, Shelf::Deleted];

    /// The number that stands for it. A volume has no file records of these numbers: NTFS ends before them.
    const fn number(self) -> u32 {
        match self {
            Shelf::Orphans => u32::MAX - 1,
            Shelf::Deleted => NO_FOLDER,
        }
    }

    /// The shelf that a number stands for.
    pub(super) fn of(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|shelf| shelf.number() == number)
    }

    fn name(self) -> &'static str {
        match self {
            Shelf::Orphans => "$Orphans",
            Shelf::Deleted => "$Deleted",
        }
    }
}

/// What stands for a folder without a record where a file is wanted.
pub(super) fn file(number: u32, trust: Trust) -> File {
    let attributes = Vec::new();
    File {
        number,
        sequence: 0,
        directory: true,
        freed: false,
        trust,
        attributes,
        missing: None,
        untold: None,
        compared: false,
    }
}

/// A shelf, or a deleted folder.
pub(super) struct RecoveredFolder<'a> {
    ntfs: &'a Ntfs,
    survey: Arc<MftSurvey>,
    /// `None` for the orphans; else the deleted folder whose content it is.
    folder: Option<u32>,
}

impl Ntfs {
    /// The folder of this node, if it is one of those that are not read from an index.
    pub(super) fn recovered_folder(&self, id: NodeId) -> Result<Option<RecoveredFolder<'_>>, Error> {
        if self.recovery.is_none() || id == NodeId::ROOT {
            return Ok(None);
        }
        let (number, ordinal) = node_id::split(id)?;
        let folder = match Shelf::of(number) {
            _ if ordinal != node_id::ITSELF => return Ok(None),
            Some(Shelf::Orphans) => None,
            Some(Shelf::Deleted) => Some(NO_FOLDER),
            None => match self.file(number)? {
                file if file.freed && file.directory => Some(number),
                _ => return Ok(None),
            },
        };
        Ok(Some(RecoveredFolder { ntfs: self, survey: self.mft_survey(), folder }))
    }

    /// The names of the shelves: their own, or, where a file has that name, with as many `~` as it takes.
    fn shelf_names(&self) -> Option<&[Name; 2]> {
        let names = &self.recovery.as_ref()?.shelves;
        Some(names.get_or_init(|| {
            Shelf::ALL.map(|shelf| {
                let mut name = Name::from(shelf.name());
                let taken = |name: &Name| self.folder(NodeId::ROOT).is_ok_and(|root| root.has(name));
                while name.units().len() < MAX_NAME && taken(&name) {
                    name = Name::from_units([name.units(), &[TILDE]].concat());
                }
                name
            })
        }))
    }

    /// The shelf of this name in the root folder.
    pub(super) fn shelf_named(&self, dir: NodeId, name: &Name, case: Case) -> Option<NodeId> {
        let names = self.shelf_names().filter(|_| dir == NodeId::ROOT)?;
        let found = names.iter().zip(Shelf::ALL).find(|(shelf, _)| self.is_called(shelf, name, case));
        found.and_then(|(_, shelf)| Ntfs::recovered_node(shelf.number()).ok())
    }

    fn is_called(&self, own: &Name, wanted: &Name, case: Case) -> bool {
        let alike = || self.upcase.compare(own.units().iter().copied(), wanted.units().iter().copied());
        own == wanted || case == Case::Insensitive && alike() == Ordering::Equal
    }

    /// Lists the root folder, and the shelves behind it.
    pub(super) fn list_root(
        &self,
        from: From<'_>,
        each: &mut dyn FnMut(DirEntry) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let Some(names) = self.shelf_names() else { return Ok(()) };
        let done = match from {
            From::Start => None,
            From::Cookie(cookie) => cookie.checked_sub(FIRST_COOKIE).map(super::to_usize),
            From::After(name) => names.iter().position(|own| own == name).map(|at| at.saturating_add(1)),
        };
        let mut ended = false;
        let listed = match done {
            Some(_) => Ok(()),
            None => self.folder(NodeId::ROOT).and_then(|root| {
                root.list(from, &mut |entry| {
                    let told = each(entry);
                    ended = told.is_break();
                    told
                })
            }),
        };
        for ((name, shelf), place) in names.iter().zip(Shelf::ALL).zip(1u64..).skip(done.unwrap_or(0)) {
            let node = Ntfs::recovered_node(shelf.number())?;
            let cookie = FIRST_COOKIE.saturating_add(place);
            let entry = DirEntry { node, name: name.clone(), kind: Kind::Directory, cookie };
            if ended || each(entry).is_break() {
                return Ok(());
            }
        }
        listed
    }

    /// The name that a recovered file is shown by.
    pub(super) fn shown_name(&self, number: u32) -> Name {
        let old = self.name_of_any(number).map(|(name, _)| name);
        numbered(number, old.as_ref().map_or(&[], Name::units))
    }

    /// The name of a recovered file, and the folder that shows it: a deleted one, or a shelf. `None` for all others, and
    /// where the survey was not made.
    pub(super) fn shown_in(&self, number: u32) -> Option<(Name, Option<u32>)> {
        let survey = self.known_mft_survey().filter(|_| self.recovery.is_some())?;
        if Shelf::of(number).is_some() {
            let names = self.shelf_names()?;
            let name = names.iter().zip(Shelf::ALL).find(|(_, shelf)| shelf.number() == number)?.0;
            return Some((name.clone(), None));
        }
        if survey.is_orphan(number) {
            return Some((self.shown_name(number), Some(Shelf::Orphans.number())));
        }
        let folder = self.name_of_any(number).and_then(|(_, parent)| parent.number());
        let folder = [folder, Some(NO_FOLDER)].into_iter().flatten().find(|f| survey.is_deleted_in(*f, number))?;
        Some((self.shown_name(number), Some(folder)))
    }
}

impl RecoveredFolder<'_> {
    fn has(&self, number: u32) -> bool {
        match self.folder {
            None => self.survey.is_orphan(number),
            Some(folder) => self.survey.is_deleted_in(folder, number),
        }
    }

    /// The numbers from this one on.
    fn from(&self, first: u64) -> Box<dyn Iterator<Item = u32> + '_> {
        match self.folder {
            None => {
                let all = self.survey.orphans();
                let start = all.partition_point(|number| u64::from(*number) < first);
                Box::new(all.iter().skip(start).copied())
            }
            Some(folder) => {
                let all = self.survey.deleted_in(folder);
                let start = all.partition_point(|(_, number)| u64::from(*number) < first);
                Box::new(all.iter().skip(start).map(|(_, number)| *number))
            }
        }
    }

    pub(super) fn find(&self, name: &Name, case: Case) -> Result<NodeId, Error> {
        let number = number_of(name).and_then(|number| u32::try_from(number).ok()).filter(|number| self.has(*number));
        let found = number.filter(|number| self.ntfs.is_called(&self.ntfs.shown_name(*number), name, case));
        let not_found = || Error::new(ErrorKind::NotFound, format!("no {name:?} among what was recovered"));
        Ntfs::recovered_node(found.ok_or_else(not_found)?)
    }

    pub(super) fn list(&self, from: From<'_>, each: &mut dyn FnMut(DirEntry) -> ControlFlow<()>) -> Result<(), Error> {
        let first = match from {
            From::Start => 0,
            From::Cookie(cookie) => cookie,
            From::After(name) => number_of(name).map_or(0, |number| number.saturating_add(1)),
        };
        for number in self.from(first) {
            let node = Ntfs::recovered_node(number)?;
            let kind = self.ntfs.recovered_kind(number);
            let cookie = u64::from(number).saturating_add(1);
            if each(DirEntry { node, name: self.ntfs.shown_name(number), kind, cookie }).is_break() {
                return Ok(());
            }
        }
        if self.survey.read_all() {
            return Ok(());
        }
        Err(super::lost("parts of the $MFT cannot be read: more files may belong here"))
    }
}

/// The number that a name on a shelf begins with.
fn number_of(name: &Name) -> Option<u64> {
    let digits: String =
        name.units().iter().map_while(|unit| char::from_u32((*unit).into())).take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// `1234-report.docx`. A name that gets too long by that is shortened before its extension.
pub(super) fn numbered(number: impl Display, name: &[u16]) -> Name {
    let mut units: Vec<u16> = number.to_string().encode_utf16().collect();
    if name.is_empty() {
        return Name::from_units(units);
    }
    units.push(HYPHEN);
    let room = MAX_NAME.saturating_sub(units.len());
    if name.len() <= room {
        units.extend(name);
        return Name::from_units(units);
    }
    let dot = name.iter().rposition(|unit| *unit == DOT).unwrap_or(name.len());
    // What is longer is no extension, and goes as the rest does.
    let extension = name.get(dot..).filter(|extension| extension.len() <= MAX_EXTENSION).unwrap_or_default();
    units.extend(name.iter().take(room.saturating_sub(extension.len())));
    units.extend(extension);
    Name::from_units(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_bear_their_number_and_keep_their_extension() {
        let named = |name: &str| numbered(1234, Name::from(name).units()).to_string_lossy();
        assert_eq!(named("report.docx"), "1234-report.docx");
        assert_eq!(named(""), "1234");
        let long = format!("{}.docx", "x".repeat(250));
        assert_eq!(named(&long), format!("1234-{}.docx", "x".repeat(245)));
        let dots = format!("a.{}", "y".repeat(253));
        assert_eq!(named(&dots), format!("1234-a.{}", "y".repeat(248)));
    }

    #[test]
    fn numbers_are_read_back() {
        assert_eq!(number_of(&"1234-report.docx".into()), Some(1234));
        assert_eq!(number_of(&"1234".into()), Some(1234));
        assert_eq!(number_of(&"report".into()), None);
        assert_eq!(number_of(&"99999999999999999999-x".into()), None);
    }
}
