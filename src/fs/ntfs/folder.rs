//! A folder: names found in its index, and listed in its order from any place on.

use std::cmp::Ordering;
use std::ops::ControlFlow;
use std::sync::Arc;

use mount_api::{Case, DirEntry, Error, ErrorKind, From, Kind, Name, NodeId};

use super::file::File;
use super::file_name::FileName;
use super::file_record::FileReference;
use super::folder_survey::{self, Ordered, OrderedPlace, Stands, Survey};
use super::index::{Cursor, Found, Index, NodePlace};
use super::index_name::{IndexName, Pair, key_of, pair_of, place_of};
use super::index_node::{IndexEntry, Node};
use super::index_walk::IndexWalk;
use super::names_met::NamesMet;
use super::near_states::NearStates;
use super::record_states::Target;
use super::shelf;
use super::{Ntfs, RECORD_ROOT, attribute, node_id, to_u64, to_usize};
use crate::report::{Code, Severity};

/// The index of names.
const NAMES: &str = "$I30";
/// Records below this are NTFS's own.
const FIRST_USER_RECORD: u64 = 16;
/// The bit of a cookie that names a place among names that were put in order anew, not in the index. Cookies stay below 2^47,
/// for adapters count the streams of an entry below them.
const IN_ORDER: u64 = 1 << 46;

/// A folder, ready to be searched and listed.
pub(super) struct Folder<'a> {
    pub(super) ntfs: &'a Ntfs,
    pub(super) number: u32,
    /// Sequence number of its record.
    pub(super) sequence: u16,
    /// Its index; where that cannot be opened, the names are had from the records of the files.
    pub(super) index: Result<Arc<Index>, Error>,
}

/// A name in a folder, and whom it leads to.
pub(super) struct Named {
    /// The value of the `$FILE_NAME`.
    value: Box<[u8]>,
    reference: FileReference,
}

impl Named {
    pub(super) fn new(value: &[u8], reference: FileReference) -> Self {
        Named { value: value.into(), reference }
    }

    /// The same with the number of its file before it.
    fn numbered(self) -> Self {
        let Some(name) = FileName::parse(&self.value) else { return self };
        let numbered = shelf::numbered(self.reference.record, name.name().units());
        Named { value: name.renamed(numbered.units()), ..self }
    }

    fn pair(&self) -> Option<Pair<'_>> {
        Some((FileName::parse(&self.value)?, self.reference))
    }
}

impl<'a> Folder<'a> {
    pub(super) fn open(ntfs: &'a Ntfs, file: &File) -> Result<Self, Error> {
        if !file.directory {
            let text = format!("file record {} is no folder", file.number);
            return Err(Error::new(ErrorKind::NotADirectory, text));
        }
        Ok(Folder { ntfs, number: file.number, sequence: file.sequence, index: ntfs.index(file, NAMES) })
    }

    fn index(&self) -> Result<&Arc<Index>, Error> {
        self.index.as_ref().map_err(Clone::clone)
    }

    pub(super) fn load(&self, place: NodePlace) -> Result<Arc<Node>, Error> {
        self.ntfs.node(self.index()?, self.number, NAMES, place)
    }

    /// Reads nodes for a walk of the whole index.
    pub(super) fn walk<'i>(&'i self, index: &'i Index) -> IndexWalk<'i> {
        IndexWalk::new(self.ntfs, index, self.number, NAMES)
    }

    /// How an entry's name stands to `name`, but for case.
    pub(super) fn stands(&self, entry: IndexEntry<'_>, name: &[u16]) -> Ordering {
        FileName::parse(entry.key())
            .map_or(Ordering::Less, |found| self.ntfs.upcase.compare(found.units(), name.iter().copied()))
    }

    /// The file of this name. Where names differ in case only, the very name goes first.
    ///
    /// # Errors
    /// Not found; or the folder's damage, where the name may have stood in what is lost of it.
    pub(super) fn find(&self, name: &Name, case: Case) -> Result<FileReference, Error> {
        // What the tree leads to is right, damaged or not; what it does not lead to may be there all the same.
        let by_tree = self.found_by_tree(name, case).unwrap_or(None);
        let chosen = by_tree.as_ref().and_then(pair_of);
        match chosen {
            Some(pair) if self.denies(&pair) => self.give_up_tree(),
            // Where all records were read, one of them may be that of the name.
            Some((_, found)) if self.leads_nowhere(found) && self.ntfs.mft_survey.is_made() => {}
            Some((_, found)) => return Ok(found),
            None => {}
        }
        let not_found =
            || Error::new(ErrorKind::NotFound, format!("file record {}: the folder has no {name:?}", self.number));
        match (&*self.survey(), chosen) {
            (Survey::Whole { .. }, Some((_, found))) => Ok(found),
            (Survey::Whole { .. }, None) => Err(not_found()),
            (Survey::Broken(ordered), _) => {
                let first = self.first_not_less(ordered, name, false);
                let rest = ordered.list.iter().skip(first).map_while(|place| {
                    let named = self.named(place)?;
                    let (key, _) = named.pair()?;
                    let order = self.ntfs.upcase.compare(key.units(), name.units().iter().copied());
                    (order == Ordering::Equal).then_some(named)
                });
                let alike: Vec<_> = rest.collect();
                choose(alike.iter().filter_map(Named::pair), name, case)
                    .map(|(_, reference)| reference)
                    .ok_or_else(|| if ordered.complete { not_found() } else { ordered.error.clone() })
            }
        }
    }

    /// The file of this name, but for case, if the index leads to it; whatever may be damaged elsewhere is not looked at.
    pub(super) fn find_by_tree(&self, name: &Name) -> Option<FileReference> {
        self.pair_by_tree(name, |(_, reference)| reference)
    }

    /// How the folder itself spells a name, if its index leads to it.
    pub(super) fn spelling(&self, name: &Name) -> Option<Name> {
        self.pair_by_tree(name, |(key, _)| key.name())
    }

    fn pair_by_tree<T>(&self, name: &Name, of: impl FnOnce(Pair<'_>) -> T) -> Option<T> {
        let found = self.found_by_tree(name, Case::Insensitive).ok()??;
        pair_of(&found).map(of)
    }

    /// Whether it has a file of this name, but for case.
    pub(super) fn has(&self, name: &Name) -> bool {
        self.find(name, Case::Insensitive).is_ok()
    }

    /// The entry of this name, found by going down the tree. Where names differ in case only, the very name goes first.
    fn found_by_tree(&self, name: &Name, case: Case) -> Result<Option<Found>, Error> {
        let load = |place| self.load(place);
        let mut cursor = Cursor::at(self.index()?, &load, &|entry| self.stands(entry, name.units()))?;
        let mut first = None;
        while let Some(found) = cursor.next() {
            let found = found?;
            if found.entry().is_none_or(|entry| self.stands(entry, name.units()) != Ordering::Equal) {
                break;
            }
            if key_of(&found).is_some_and(|key| is_named(key, name)) {
                return Ok(Some(found));
            }
            if case == Case::Insensitive {
                first.get_or_insert(found);
            }
        }
        Ok(first)
    }

    /// Whether the file that a name leads to is there, and its record knows nothing of that name: the index is wrong then.
    pub(super) fn denies(&self, pair: &Pair<'_>) -> bool {
        self.believed(pair).is_none()
    }

    /// Whom the record of a name's file says it leads to; `None` where the file is there, and its record knows nothing of
    /// that name.
    pub(super) fn believed(&self, (key, reference): &Pair<'_>) -> Option<Target> {
        let (target, seen) = self.ntfs.mft.target_of_name(*reference, key);
        let live = matches!(target, Target::Live { .. });
        (seen || !live || !folder_survey::is_denied(self, key, *reference)).then_some(target)
    }

    /// Whether the file of a name is not there any more.
    fn leads_nowhere(&self, reference: FileReference) -> bool {
        self.ntfs.mft.target(reference) == Target::Stale
    }

    /// From now on the names are those that the records of the files tell.
    fn give_up_tree(&self) {
        self.survey_of(true);
    }

    /// Whom a name of this folder leads to. A folder stands in one folder alone, the one that its own record names, or, where
    /// that names none, the first that has it: so whatever is damaged, no path leads back to where it came from.
    pub(super) fn target(&self, reference: FileReference, name: &Name) -> Target {
        self.target_here(reference, self.ntfs.mft.target(reference), name)
    }

    /// The same, where it is known whom its record says it leads to.
    fn target_here(&self, reference: FileReference, target: Target, name: &Name) -> Target {
        if matches!(target, Target::Stale | Target::Live { directory: false, .. }) {
            return target;
        }
        let Some(Ok(file)) = reference.number().map(|number| self.ntfs.file(number)) else { return target };
        let own = file.resident(attribute::FILE_NAME).and_then(FileName::parse).map(|own| own.parent());
        match own {
            _ if !file.directory => target,
            // One that stands here and yet is an orphan was taken out of a round of folders.
            Some(own) if own.record == u64::from(self.number) => {
                let is_cut = own.means(self.sequence) && self.ntfs.is_known_orphan(file.number);
                if is_cut { Target::Stale } else { target }
            }
            Some(own) if self.ntfs.may_be_folder(own) => Target::Stale,
            _ if self.ntfs.adopts(self.number, file.number, name) => target,
            _ => Target::Stale,
        }
    }

    fn survey(&self) -> Arc<Survey> {
        self.survey_of(false)
    }

    /// The survey of the folder; where it is to be `believed`, the records of its files are asked too.
    fn survey_of(&self, believe: bool) -> Arc<Survey> {
        self.survey_and_names(believe, &mut None)
    }

    /// The same; where it is made now, the names that were met on the way come with it, if they are `wanted`.
    fn survey_and_names(&self, believe: bool, wanted: &mut Option<NamesMet>) -> Arc<Survey> {
        let known = self.ntfs.surveys.get(&self.number);
        // What was asked once is asked again where it is looked at anew.
        let believe = believe || known.as_ref().is_some_and(|survey| survey.is_believed());
        match known.filter(|survey| survey.is_final(self, believe)) {
            Some(known) => {
                *wanted = None;
                known
            }
            None => self.make_survey(believe, wanted),
        }
    }

    fn make_survey(&self, believe: bool, wanted: &mut Option<NamesMet>) -> Arc<Survey> {
        let watch = self.ntfs.volume.losses.watch();
        let survey = Arc::new(Survey::of(self, believe, wanted));
        if let Survey::Broken(Ordered { complete: true, error, .. }) = &*survey {
            let text = format!("A folder's index is damaged, and its names were taken from the $MFT instead: {error}");
            self.ntfs.note(Code::NtfsIndexBad, Severity::Warning, text);
        }
        self.ntfs.surveys.insert(self.number, Arc::clone(&survey), survey.weight(), watch.holds());
        survey
    }

    /// The name that stands there, as it is listed.
    fn named(&self, place: &OrderedPlace) -> Option<Named> {
        let named = self.named_at(place.stands)?;
        Some(if place.numbered { named.numbered() } else { named })
    }

    fn named_at(&self, stands: Stands) -> Option<Named> {
        match stands {
            Stands::Index { node, ordinal } => {
                let node = self.load(node).ok()?;
                let entry = node.entry(ordinal)?;
                Some(Named::new(entry.key(), entry.reference()))
            }
            Stands::File { record, ordinal } => {
                let file = self.ntfs.file(record).ok()?;
                let reference = FileReference { record: record.into(), sequence: file.sequence };
                Some(Named::new(file.names().nth(ordinal)?.value(), reference))
            }
            Stands::Record { record, ordinal } => {
                let (record, reference) = self.ntfs.mft.part(record).ok()?;
                Some(Named::new(record.names().nth(ordinal)?.value(), reference))
            }
        }
    }

    /// Calls `each` with the names from a place on, until it breaks; where names may be missing, the error comes last.
    pub(super) fn list(&self, from: From<'_>, each: &mut dyn FnMut(DirEntry) -> ControlFlow<()>) -> Result<(), Error> {
        let mut met = matches!(from, From::Start).then(NamesMet::default);
        match (&*self.survey_and_names(true, &mut met), met) {
            (Survey::Broken(ordered), _) => self.list_ordered(ordered, from, each),
            (Survey::Whole { .. }, Some(met)) => self.list_names(met.into_names().map(Ok), each),
            (Survey::Whole { .. }, None) => self.list_tree(from, each),
        }
    }

    /// Lists by the tree.
    fn list_tree(&self, from: From<'_>, each: &mut dyn FnMut(DirEntry) -> ControlFlow<()>) -> Result<(), Error> {
        let walk = self.walk(self.index()?);
        let load = |place| walk.node(place);
        let (pending, mut cursor) = match from {
            From::Start => (None, Cursor::at_start(self.index()?, &load)),
            From::After(name) => {
                self.resume(&load, name.units(), |found| key_of(found).is_some_and(|key| is_named(key, name)))?
            }
            From::Cookie(cookie) => {
                let wrong = || Error::new(ErrorKind::InvalidArgument, "the folder never gave out this cookie");
                let (place, ordinal) = place_of(cookie).ok_or_else(wrong)?;
                let last = Found::new(self.load(place)?, place, ordinal);
                let name = key_of(&last).ok_or_else(wrong)?.name();
                self.resume(&load, name.units(), |found| (found.place, found.ordinal) == (place, ordinal))?
            }
        };
        let rest = std::iter::from_fn(|| cursor.next());
        let names = pending.into_iter().map(Ok).chain(rest).filter_map(|found| match found {
            Ok(found) => IndexName::of(&found),
            Err(error) => Some(Err(error)),
        });
        self.list_names(names, each)
    }

    /// Lists what the index has.
    fn list_names(
        &self,
        names: impl Iterator<Item = Result<IndexName, Error>>,
        each: &mut dyn FnMut(DirEntry) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut damage = None;
        let mut near = NearStates::new(&self.ntfs.mft, false);
        for name in names {
            let entry = name.and_then(|name| {
                let target = near.target(name.reference);
                self.dir_entry(name, target)
            });
            match entry {
                Ok(Some(entry)) => {
                    if each(entry).is_break() {
                        return Ok(());
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    damage.get_or_insert(error);
                }
            }
        }
        damage.map_or(Ok(()), Err)
    }

    /// The place after the entry of this name that `is_it` knows, or else after all that differ from it in case only; the
    /// entry that was met there comes with it.
    fn resume<'c>(
        &'c self,
        load: super::index::Load<'c>,
        name: &[u16],
        is_it: impl Fn(&Found) -> bool,
    ) -> Result<(Option<Found>, Cursor<'c>), Error> {
        let mut cursor = Cursor::at(self.index()?, load, &|entry| self.stands(entry, name))?;
        while let Some(found) = cursor.next() {
            let found = found?;
            if found.entry().is_none_or(|entry| self.stands(entry, name) != Ordering::Equal) {
                return Ok((Some(found), cursor));
            }
            if is_it(&found) {
                break;
            }
        }
        Ok((None, cursor))
    }

    fn list_ordered(
        &self,
        ordered: &Ordered,
        from: From<'_>,
        each: &mut dyn FnMut(DirEntry) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let first = match from {
            From::Start => 0,
            From::Cookie(cookie) if cookie & IN_ORDER != 0 => to_usize(cookie & !IN_ORDER),
            // One of the time before the tree proved wrong.
            From::Cookie(cookie) => {
                let place = place_of(cookie).and_then(|(place, ordinal)| Some((self.load(place).ok()?, ordinal)));
                let key = place.as_ref().and_then(|(node, ordinal)| FileName::parse(node.entry(*ordinal)?.key()));
                key.map_or(0, |key| self.first_not_less(ordered, &key.name(), true))
            }
            From::After(name) => self.first_not_less(ordered, name, true),
        };
        for (index, place) in ordered.list.iter().enumerate().skip(first).filter(|(_, place)| place.listed) {
            let Some(named) = self.named(place) else { continue };
            let Some(pair) = named.pair() else { continue };
            let cookie = to_u64(index).saturating_add(1) | IN_ORDER;
            let target = self.ntfs.mft.target(pair.1);
            if let Ok(Some(entry)) = self.dir_entry(IndexName::new(&pair.0, pair.1, cookie), target)
                && each(entry).is_break()
            {
                return Ok(());
            }
        }
        if ordered.complete { Ok(()) } else { Err(ordered.error.clone()) }
    }

    /// Where in the order the names begin that are not less than `name`, or, `behind` it, greater.
    fn first_not_less(&self, ordered: &Ordered, name: &Name, behind: bool) -> usize {
        ordered.list.partition_point(|place| {
            let named = self.named(place);
            let Some((key, _)) = named.as_ref().and_then(Named::pair) else { return true };
            let by_case = self.ntfs.upcase.compare(key.units(), name.units().iter().copied());
            match (by_case, behind) {
                (Ordering::Equal, true) => key.units().cmp(name.units().iter().copied()) != Ordering::Greater,
                (by_case, _) => by_case == Ordering::Less,
            }
        })
    }

    /// What is shown of a name, whose record says that it leads to `target`; `None` for what is not listed.
    fn dir_entry(
        &self,
        IndexName { name, reference, directory, reparse_point, cookie }: IndexName,
        target: Target,
    ) -> Result<Option<DirEntry>, Error> {
        let target = self.target_here(reference, target, &name);
        let own = self.number == RECORD_ROOT && reference.record < FIRST_USER_RECORD && target != Target::Stale;
        if own && !self.ntfs.options.metafiles
            || (name.units() == [u16::from(b'.')] && reference.record == u64::from(self.number))
        {
            return Ok(None);
        }
        let node = node_of(reference, target)?;
        // A name that was taken from a record does not say what the file became since; and the index may say anything.
        let (is_folder, may_be_link) = match target {
            Target::Live { directory, reparse_point: by_record } => (directory, reparse_point || by_record),
            Target::Stale | Target::Unknown => (directory, reparse_point),
        };
        let link = may_be_link && self.ntfs.is_link(node);
        let kind = match (link, is_folder) {
            (true, _) => Kind::Link,
            (false, true) => Kind::Directory,
            (false, false) => Kind::File,
        };
        Ok(Some(DirEntry { node, name, kind, cookie }))
    }
}

/// The node that a reference leads to: the file that is meant, or one that stands for its absence.
pub(super) fn node_of(reference: FileReference, target: Target) -> Result<NodeId, Error> {
    let number = reference.number().ok_or_else(|| super::mft::absurd(reference))?;
    let ordinal = if target == Target::Stale { node_id::STALE } else { node_id::ITSELF };
    node_id::join(number, ordinal).ok_or_else(|| super::corrupt(format!("file record {number} cannot be shown")))
}

impl Ntfs {
    fn is_link(&self, node: NodeId) -> bool {
        let file = node_id::split(node).and_then(|(number, _)| self.file(number));
        file.is_ok_and(|file| self.kind(&file) == Kind::Link)
    }
}

fn is_named(key: FileName<'_>, name: &Name) -> bool {
    key.units().eq(name.units().iter().copied())
}

/// The one that is meant among names that differ in case at most.
fn choose<'a>(mut alike: impl Iterator<Item = Pair<'a>>, name: &Name, case: Case) -> Option<Pair<'a>> {
    let first = alike.next()?;
    let exact = std::iter::once(first).chain(alike).find(|(key, _)| is_named(*key, name));
    match case {
        Case::Insensitive => exact.or(Some(first)),
        Case::Sensitive => exact,
    }
}
