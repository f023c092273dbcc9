//! A survey of a folder: its whole index walked once, to know whether the tree can be relied on for resuming a listing
//! and for saying that a name is not there. Where it cannot, the records of the files tell which names the folder has.

use std::cmp::Ordering;
use std::collections::HashSet;

use mount_api::Error;

use super::file_name::FileName;
use super::file_record::FileReference;
use super::folder::Folder;
use super::index::{Cursor, NodePlace};
use super::index_node::IndexEntry;
use super::mft::Target;
use super::mft_survey::MftSurvey;
use super::{RECORD_ROOT, corrupt};

/// What a survey found.
pub(super) enum Survey {
    /// Every node was read, every name is greater than the one before: the tree can be relied on. And whether the records
    /// of all files were asked whether they miss a name in it.
    Whole { compared: bool },
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
}

/// Where a name of a folder can be read again.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stands {
    /// In a node of the index.
    InIndex { node: NodePlace, ordinal: usize },
    /// Among the names in the record of its file.
    InRecord { record: u32, ordinal: usize },
}

/// A name while it is being put in order.
struct Gathered {
    units: Vec<u16>,
    reference: (u64, u16),
    dos: bool,
    stands: Stands,
}

impl Gathered {
    fn reference(&self) -> FileReference {
        FileReference { record: self.reference.0, sequence: self.reference.1 }
    }
}

impl Survey {
    /// Walks the whole index of a folder.
    pub(super) fn of(folder: &Folder<'_>) -> Survey {
        let index = match &folder.index {
            Ok(index) => index,
            Err(error) => return Survey::Broken(order(folder, &HashSet::new(), error.clone())),
        };
        let load = |place| folder.load(place);
        let mut cursor = Cursor::wary(index, &load);
        let mut damage: Option<Error> = None;
        let mut last: Option<Vec<u16>> = None;
        let mut roll = folder.ntfs.known_mft_survey().map(|survey| RollCall::new(survey, folder.number));
        while let Some(found) = cursor.next() {
            let error = match found {
                Ok(found) => {
                    match found.entry().and_then(|entry| Some((own_name(entry, folder)?, entry.reference()))) {
                        Some((key, reference)) if follows(folder, last.as_deref(), &key) => {
                            if let Some(roll) = &mut roll
                                && matches!(folder.ntfs.mft.target(reference), Target::Live { .. })
                            {
                                roll.answer(reference);
                            }
                            let last = last.get_or_insert_default();
                            last.clear();
                            last.extend(key.units());
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
        let compared = roll.is_some();
        let missing = roll.map_or(0, RollCall::missing);
        if missing > 0 {
            let text = format!("it lacks {missing} of the names that files say they have in it");
            damage.get_or_insert_with(|| bad(folder, &text));
        }
        match damage {
            None => Survey::Whole { compared },
            Some(error) => Survey::Broken(order(folder, &cursor.into_met(), error)),
        }
    }

    /// The same folder where an entry proved to be one that its file denies.
    pub(super) fn denied(folder: &Folder<'_>) -> Survey {
        let error = bad(folder, "it has a name that its file has not");
        let Ok(index) = &folder.index else { return Survey::Broken(order(folder, &HashSet::new(), error)) };
        let load = |place| folder.load(place);
        let mut cursor = Cursor::wary(index, &load);
        while cursor.next().is_some() {}
        Survey::Broken(order(folder, &cursor.into_met(), error))
    }

    /// Whether there is nothing more to learn by looking again.
    pub(super) fn is_final(&self, folder: &Folder<'_>) -> bool {
        match self {
            Survey::Whole { compared } => *compared || folder.ntfs.known_mft_survey().is_none(),
            Survey::Broken(_) => true,
        }
    }

    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        match self {
            Survey::Whole { .. } => 0,
            Survey::Broken(ordered) => ordered.list.len().saturating_mul(size_of::<OrderedPlace>()),
        }
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
/// no entry leads to; what may have led to them could not be read.
fn order(folder: &Folder<'_>, met: &HashSet<NodePlace>, error: Error) -> Ordered {
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
    gather_records(folder, &mut gathered);
    let upcase = &folder.ntfs.upcase;
    gathered.sort_by(|one, other| {
        let by_case = upcase.compare(one.units.iter().copied(), other.units.iter().copied());
        by_case.then_with(|| one.units.cmp(&other.units)).then_with(|| one.reference.cmp(&other.reference))
    });
    gathered.dedup_by(|one, other| one.units == other.units && one.reference == other.reference);
    // Where a file is there that has the name, one that is not there has it no more.
    let is_live = |name: &Gathered| matches!(folder.ntfs.mft.target(name.reference()), Target::Live { .. });
    let taken: HashSet<Vec<u16>> =
        gathered.iter().filter(|name| is_live(name)).map(|name| name.units.clone()).collect();
    gathered.retain(|name| is_live(name) || !taken.contains(&name.units));
    let long: HashSet<_> = gathered.iter().filter(|name| !name.dos).map(|name| name.reference).collect();
    let place =
        |name: Gathered| OrderedPlace { listed: !name.dos || !long.contains(&name.reference), stands: name.stands };
    let complete = folder.ntfs.mft_survey().has_all_names();
    Ordered { list: gathered.into_iter().map(place).collect(), error, complete }
}

/// Adds the names of a node, if it can be read. Where the tree does not lead to it, `led`, it may be an old one: only
/// names whose files are there count then.
fn gather(folder: &Folder<'_>, node: NodePlace, led: bool, to: &mut Vec<Gathered>) {
    let Ok(loaded) = folder.load(node) else { return };
    for (ordinal, entry) in loaded.entries().enumerate() {
        let Some(key) = own_name(entry, folder) else { continue };
        let reference = entry.reference();
        match folder.believed(&(key, reference)) {
            Some(Target::Live { .. }) => {}
            Some(_) if led => {}
            _ => continue,
        }
        let reference = (reference.record, reference.sequence);
        let stands = Stands::InIndex { node, ordinal };
        to.push(Gathered { units: key.units().collect(), reference, dos: key.is_dos(), stands });
    }
}

/// Whether the record of a file tells all of its names, and this is none of them: then the index is wrong.
pub(super) fn is_denied(folder: &Folder<'_>, key: &FileName<'_>, reference: FileReference) -> bool {
    let Some(Ok(file)) = reference.number().map(|number| folder.ntfs.file(number)) else { return false };
    let same =
        |name: FileName<'_>| is_in(name, folder) && name.is_dos() == key.is_dos() && name.units().eq(key.units());
    file.tells_all_names() && !file.names().any(same)
}

/// Adds the names of the files that say to stand here.
fn gather_records(folder: &Folder<'_>, to: &mut Vec<Gathered>) {
    let mut last = None;
    for record in folder.ntfs.mft_survey().children(folder.number) {
        // Once for each name, and all names at once here.
        if last.replace(record) == Some(record) {
            continue;
        }
        let Ok(file) = folder.ntfs.file(record) else { continue };
        for (ordinal, name) in file.names().enumerate().filter(|(_, name)| is_in(*name, folder)) {
            let reference = (u64::from(record), file.sequence);
            let stands = Stands::InRecord { record, ordinal };
            to.push(Gathered { units: name.units().collect(), reference, dos: name.is_dos(), stands });
        }
    }
}

/// Whether a name says that it stands in this folder.
fn is_in(name: FileName<'_>, folder: &Folder<'_>) -> bool {
    // There never is another root folder.
    let same = |parent: FileReference| folder.number == RECORD_ROOT || parent.means(folder.sequence);
    name.parent().record == u64::from(folder.number) && same(name.parent())
}
