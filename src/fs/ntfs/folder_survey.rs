//! A survey of a folder: its whole index walked once, to know whether the tree can be relied on for resuming a listing
//! and for saying that a name is not there. Where it cannot, the records of the files tell which names the folder has.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::thread::Scope;

use mount_api::Error;

use super::believed::Claims;
use super::file_name::FileName;
use super::file_record::FileReference;
use super::folder::Folder;
use super::index::{Cursor, NodePlace};
use super::index_node::IndexEntry;
use super::mft_survey::MftSurvey;
use super::names_met::NamesMet;
use super::record_states::Target;
use super::shelf;
use super::{RECORD_ROOT, corrupt};

/// What is wrong with an index that is whole.
const DENIED: &str = "it has a name that its file has not";
const SHORT_ALONE: &str = "it has a short name of a file, and no other";

/// What a survey found.
pub(super) enum Survey {
    /// Every node was read, every name is greater than the one before: the tree can be relied on. And whether the records
    /// of all files were asked whether they miss a name in it, and those of its own files whether they know their names.
    Whole { compared: bool, believed: bool },
    /// It cannot.
    Broken(Ordered),
}

/// The names of a damaged folder, put in order anew.
pub(super) struct Ordered {
    pub(super) list: Vec<OrderedPlace>,
    /// The first damage that was met.
    pub(super) error: Error,
    /// Whether the records of all files could be read, so that no name is missing.
    pub(super) complete: bool,
}

/// Where a name stands.
pub(super) struct OrderedPlace {
    pub(super) stands: Stands,
    /// Whether it is to be listed: short names are not, where the long one is there.
    pub(super) listed: bool,
    /// Whether another file has the very name: this one bears its number before it.
    pub(super) numbered: bool,
}

/// Where a name of a folder can be read again.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stands {
    /// In a node of the index.
    Index { node: NodePlace, ordinal: usize },
    /// Among the names of its file.
    File { record: u32, ordinal: usize },
    /// Among the names in one record of its file, the base record or not.
    Record { record: u32, ordinal: usize },
}

/// A name while it is being put in order.
struct Gathered {
    units: Vec<u16>,
    reference: (u64, u16),
    dos: bool,
    stands: Stands,
    /// Whether the record of its file tells other names only.
    denied: bool,
    /// Whether another file has the very name.
    numbered: bool,
}

impl Gathered {
    fn new(key: &FileName<'_>, reference: FileReference, stands: Stands) -> Self {
        let reference = (reference.record, reference.sequence);
        Gathered { units: key.units().collect(), reference, dos: key.is_dos(), stands, denied: false, numbered: false }
    }

    fn reference(&self) -> FileReference {
        FileReference { record: self.reference.0, sequence: self.reference.1 }
    }
}

impl Survey {
    /// Walks the whole index of a folder; where it is to be `believed`, the records of its files are asked whether they know
    /// their names.
    ///
    /// The names are `met` on the way, where they are wanted and not too many to be kept.
    pub(super) fn of(folder: &Folder<'_>, believed: bool, met: &mut Option<NamesMet>) -> Survey {
        std::thread::scope(|scope| Self::made(folder, believed, met, scope))
    }

    fn made<'scope, 'a>(
        folder: &'a Folder<'a>,
        believed: bool,
        met: &mut Option<NamesMet>,
        scope: &'scope Scope<'scope, 'a>,
    ) -> Survey {
        let index = match &folder.index {
            Ok(index) => index,
            Err(error) => return Survey::Broken(order(folder, &HashSet::new(), error.clone(), false)),
        };
        let walk = folder.walk(index);
        let load = |place| walk.node(place);
        let mut cursor = Cursor::at_start(index, &load);
        let mut damage: Option<Error> = None;
        let mut last: Option<Vec<u16>> = None;
        let mut short = ShortNames::default();
        let mut claims = believed.then(|| Claims::new(folder, scope));
        let mut roll = folder.ntfs.known_mft_survey().map(|survey| RollCall::new(&survey, folder.number));
        while let Some(found) = cursor.next() {
            let error = match found {
                Ok(found) => {
                    match found.entry().and_then(|entry| Some((own_name(entry, folder)?, entry.reference()))) {
                        Some((key, reference)) if follows(folder, last.as_deref(), &key) => {
                            if let Some(roll) = &mut roll {
                                match folder.ntfs.mft.target(reference) {
                                    Target::Live { .. } => roll.answer(reference),
                                    Target::Stale => folder.ntfs.doubt_if_old(folder.number, reference),
                                    Target::Unknown => {}
                                }
                            }
                            short.add(&key, reference);
                            if let Some(claims) = &mut claims {
                                claims.add(&key, reference, &found);
                            }
                            let last = last.get_or_insert_default();
                            last.clear();
                            last.extend(key.units());
                            met.take_if(|met| !met.add(&found));
                            continue;
                        }
                        Some(_) => bad(folder, "its names are not in order"),
                        None => bad(folder, "an entry does not belong to it"),
                    }
                }
                Err(error) => error,
            };
            damage.get_or_insert(error);
        }
        // Where the tree does not lead to all blocks in use, names may stand in those.
        let (volume, walked) = (&folder.ntfs.volume, cursor.met());
        let leads_astray = damage.is_none() && index.blocks_in_use(volume).any(|place| !walked.contains(&place));
        if leads_astray && roll.is_none() {
            folder.ntfs.mft_survey();
            met.as_mut().map(std::mem::take);
            return Self::of(folder, believed, met);
        }
        if leads_astray && !folder.ntfs.mft_survey().has_all_names(folder.number) {
            damage = Some(bad(folder, "its tree does not lead to all of its blocks"));
        }
        let compared = roll.is_some();
        let missing = roll.map_or(0, RollCall::missing);
        if missing > 0 {
            let text = format!("it lacks {missing} of the names that files say they have in it");
            damage.get_or_insert_with(|| bad(folder, &text));
        }
        match damage {
            None if claims.is_some_and(Claims::found_denied) => {
                Survey::Broken(order(folder, walked, bad(folder, DENIED), true))
            }
            None if short.one_stands_alone() => Survey::Broken(order(folder, walked, bad(folder, SHORT_ALONE), true)),
            None => Survey::Whole { compared, believed },
            Some(error) => Survey::Broken(order(folder, walked, error, false)),
        }
    }

    /// Whether there is nothing more to learn by looking again; where it is to be `believed`, whether that is known.
    pub(super) fn is_final(&self, folder: &Folder<'_>, believe: bool) -> bool {
        match self {
            Survey::Whole { compared, believed } => {
                (*believed || !believe) && (*compared || !folder.ntfs.mft_survey.is_made())
            }
            Survey::Broken(_) => true,
        }
    }

    /// Whether the records of the files were asked whether they know their names.
    pub(super) fn is_believed(&self) -> bool {
        matches!(self, Survey::Whole { believed: true, .. })
    }

    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        match self {
            Survey::Whole { .. } => 0,
            Survey::Broken(ordered) => ordered.list.len().saturating_mul(size_of::<OrderedPlace>()),
        }
    }
}

/// Files that have short names, and those that have others: a short name never is the only one.
#[derive(Default)]
struct ShortNames {
    short: Vec<u64>,
    others: Vec<u64>,
}

impl ShortNames {
    fn add(&mut self, key: &FileName<'_>, reference: FileReference) {
        let names = if key.is_dos() { &mut self.short } else { &mut self.others };
        names.push(reference.record);
    }

    /// Whether a file has a short name alone.
    fn one_stands_alone(mut self) -> bool {
        if !self.short.is_empty() {
            self.others.sort_unstable();
        }
        self.short.iter().any(|file| self.others.binary_search(file).is_err())
    }
}

/// The names that files say they have in a folder, held against those in its index.
struct RollCall {
    /// The file of each name; in order.
    expected: Vec<u32>,
    answered: Vec<u32>,
}

impl RollCall {
    fn new(survey: &MftSurvey, folder: u32) -> Self {
        RollCall { expected: survey.children(folder).collect(), answered: Vec::new() }
    }

    fn answer(&mut self, file: FileReference) {
        self.answered.extend(file.number());
    }

    /// How many names did not answer.
    fn missing(mut self) -> usize {
        self.answered.sort_unstable();
        let mut answered = self.answered.into_iter().peekable();
        let mut answers = |file: &u32| {
            while answered.next_if(|other| other < file).is_some() {}
            answered.next_if_eq(file).is_some()
        };
        let expected = self.expected.len();
        expected.saturating_sub(self.expected.iter().filter(|file| answers(file)).count())
    }
}

fn bad(folder: &Folder<'_>, text: &str) -> Error {
    corrupt(format!("file record {}: the index of the folder is damaged: {text}", folder.number))
}

/// The name in an entry, if it is a name in this folder.
fn own_name<'a>(entry: IndexEntry<'a>, folder: &Folder<'_>) -> Option<FileName<'a>> {
    let own = |key: &FileName<'_>| key.parent().record == u64::from(folder.number);
    FileName::parse(entry.key()).filter(own).filter(|_| entry.is_exact())
}

/// Whether a name may stand behind another one. Those that differ in case only may stand in any order.
fn follows(folder: &Folder<'_>, last: Option<&[u16]>, key: &FileName<'_>) -> bool {
    let Some(last) = last else { return true };
    match folder.ntfs.upcase.compare(last.iter().copied(), key.units()) {
        Ordering::Less => true,
        Ordering::Equal => !key.units().eq(last.iter().copied()),
        Ordering::Greater => false,
    }
}

/// The names of all nodes that can be read, and of all files that say to stand here, in order. `$BITMAP` knows nodes that
/// no entry leads to; what may have led to them could not be read. An index that is `whole`, and which only files deny, has
/// its names all the same.
fn order(folder: &Folder<'_>, met: &HashSet<NodePlace>, error: Error, whole: bool) -> Ordered {
    let mut gathered = Vec::new();
    if let Ok(index) = &folder.index {
        gather(folder, 0, true, &mut gathered);
        for place in met {
            gather(folder, *place, true, &mut gathered);
        }
        for place in index.blocks_in_use(&folder.ntfs.volume) {
            if !met.contains(&place) {
                gather(folder, place, false, &mut gathered);
            }
        }
    }
    let all_told = gather_records(folder, &mut gathered);
    let upcase = &folder.ntfs.upcase;
    let by_name = |one: &Gathered, other: &Gathered| {
        let by_case = upcase.compare(one.units.iter().copied(), other.units.iter().copied());
        let by_units = by_case.then_with(|| one.units.cmp(&other.units));
        by_units.then_with(|| one.reference.cmp(&other.reference)).then(one.denied.cmp(&other.denied))
    };
    gathered.sort_by(by_name);
    gathered.dedup_by(|one, other| one.units == other.units && one.reference == other.reference);
    // Where a file is there that has the name, one that is not there has it no more.
    let is_live = |name: &Gathered| matches!(folder.ntfs.mft.target(name.reference()), Target::Live { .. });
    let taken: HashSet<Vec<u16>> =
        gathered.iter().filter(|name| !name.denied && is_live(name)).map(|name| name.units.clone()).collect();
    gathered.retain(|name| (!name.denied && is_live(name)) || !taken.contains(&name.units));
    settle_denied(folder, &mut gathered, whole);
    if set_apart(folder, &mut gathered) {
        gathered.sort_by(by_name);
    }
    let long: HashSet<_> = gathered.iter().filter(|name| !name.dos).map(|name| name.reference).collect();
    let place = |name: Gathered| OrderedPlace {
        listed: !name.dos || !long.contains(&name.reference),
        numbered: name.numbered,
        stands: name.stands,
    };
    let complete = whole || all_told && folder.ntfs.mft_survey().has_all_names(folder.number);
    Ordered { list: gathered.into_iter().map(place).collect(), error, complete }
}

/// Of a name in the index and another one in the record of its file, one is wrong. Where all names in the record stand in the
/// indexes of their folders, it is that in this one, which is an old one; else that of an index that is `whole`
/// counts, for what else it says of the file holds; else that of the record, where there is one.
fn settle_denied(folder: &Folder<'_>, gathered: &mut Vec<Gathered>, whole: bool) {
    gathered.retain(|name| {
        let is_old = name.denied && folder.ntfs.has_all_its_names(name.reference());
        if is_old {
            folder.ntfs.tell_old_entry(folder.number, name.reference(), &name.units);
        }
        !is_old
    });
    let files_of = |denied: bool| -> HashSet<(u64, u16)> {
        gathered.iter().filter(|name| name.denied == denied).map(|name| name.reference).collect()
    };
    let in_index = |name: &Gathered| matches!(name.stands, Stands::Index { .. });
    let (denied, otherwise) = (files_of(true), files_of(false));
    let indexed: HashSet<_> = gathered.iter().filter(|name| in_index(name)).map(|name| name.reference).collect();
    // What a record says that does not hold as a whole is not believed against that.
    let is_doubtful = |name: &Gathered| matches!(name.stands, Stands::Record { .. });
    gathered.retain(|name| match (name.denied, whole) {
        (true, true) => true,
        (true, false) => !otherwise.contains(&name.reference),
        (false, true) if denied.contains(&name.reference) => in_index(name),
        (false, true) if is_doubtful(name) => !indexed.contains(&name.reference),
        (false, _) => true,
    });
    for name in gathered.iter().filter(|name| name.denied && !name.dos) {
        folder.ntfs.doubt_name(folder.number, name.reference(), &name.units);
    }
}

/// Of files that claim one name the one that the index has by it keeps it, or, where that has none of them, the first. The
/// others get their number before it, as in the folder of orphans. Whether there are any.
fn set_apart(folder: &Folder<'_>, gathered: &mut [Gathered]) -> bool {
    let mut any = false;
    for alike in gathered.chunk_by_mut(|one, other| one.units == other.units) {
        if alike.len() < 2 {
            continue;
        }
        let by_index = alike.iter().position(|name| matches!(name.stands, Stands::Index { .. }) && !name.denied);
        for (place, name) in alike.iter_mut().enumerate() {
            if by_index != Some(place) {
                folder.ntfs.doubt_claim(folder.number, name.reference(), &name.units, by_index.is_some());
            }
            if place != by_index.unwrap_or(0) {
                name.units = shelf::numbered(name.reference.0, &name.units).units().to_vec();
                name.numbered = true;
                any = true;
            }
        }
    }
    any
}

/// Adds the names of a node, if it can be read. Where the tree does not lead to it, `led`, it may be an old one: only
/// names whose files are there, and know them, count then.
fn gather(folder: &Folder<'_>, node: NodePlace, led: bool, to: &mut Vec<Gathered>) {
    let Ok(loaded) = folder.load(node) else { return };
    for (ordinal, entry) in loaded.entries().enumerate() {
        let Some(key) = own_name(entry, folder) else { continue };
        let reference = entry.reference();
        let believed = folder.believed(&(key, reference));
        match believed {
            Some(Target::Live { .. }) => {}
            _ if led => {}
            _ => continue,
        }
        let name = Gathered::new(&key, reference, Stands::Index { node, ordinal });
        to.push(Gathered { denied: believed.is_none(), ..name });
    }
}

/// Whether the record of a file tells all of its names, and this is none of them: then the index is wrong.
pub(super) fn is_denied(folder: &Folder<'_>, key: &FileName<'_>, reference: FileReference) -> bool {
    let Some(Ok(file)) = reference.number().map(|number| folder.ntfs.file(number)) else { return false };
    let same =
        |name: FileName<'_>| is_in(name, folder) && name.is_dos() == key.is_dos() && name.units().eq(key.units());
    file.tells_all_names() && !file.names().any(same)
}

/// Adds the names of the files that say to stand here; whether that is all of them. Where a file does not tell all of its
/// names, for its attribute list does not hold, those in its records count, one by one.
fn gather_records(folder: &Folder<'_>, to: &mut Vec<Gathered>) -> bool {
    let ntfs = folder.ntfs;
    let survey = ntfs.mft_survey();
    let children: Vec<_> = survey.children(folder.number).collect();
    let mut all_told = true;
    // Once for each name, and all names at once here.
    for alike in children.chunk_by(|one, other| one == other) {
        let Some(record) = alike.first().copied() else { continue };
        let before = to.len();
        match ntfs.file(record) {
            Ok(file) if file.tells_all_names() => {
                let reference = FileReference { record: record.into(), sequence: file.sequence };
                for (ordinal, name) in file.names().enumerate().filter(|(_, name)| is_in(*name, folder)) {
                    to.push(Gathered::new(&name, reference, Stands::File { record, ordinal }));
                }
            }
            _ => {
                for part in std::iter::once(record).chain(survey.extensions(record)) {
                    let Ok((part_read, reference)) = ntfs.mft.part(part) else { continue };
                    for (ordinal, name) in part_read.names().enumerate().filter(|(_, name)| is_in(*name, folder)) {
                        to.push(Gathered::new(&name, reference, Stands::Record { record: part, ordinal }));
                    }
                }
            }
        }
        // The file may know nothing of a record that says to be its own.
        all_told &= to.len().saturating_sub(before) >= alike.len();
    }
    all_told
}

/// Whether a name says that it stands in this folder.
fn is_in(name: FileName<'_>, folder: &Folder<'_>) -> bool {
    // There never is another root folder.
    let same = |parent: FileReference| folder.number == RECORD_ROOT || parent.means(folder.sequence);
    name.parent().record == u64::from(folder.number) && same(name.parent())
}
