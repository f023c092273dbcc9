//! A survey of a folder: its whole index walked once, to know whether the tree can be relied on for resuming a listing
//! and for saying that a name is not there.

use std::cmp::Ordering;
use std::collections::HashSet;

use mount_api::Error;

use super::corrupt;
use super::file_name::FileName;
use super::folder::Folder;
use super::index::{Cursor, NodePlace};
use super::index_node::IndexEntry;
use super::mft::Target;

/// What a survey found.
pub(super) enum Survey {
    /// Every node was read, every name is greater than the one before: the tree can be relied on.
    Whole,
    /// It cannot.
    Broken(Ordered),
}

/// The names of a damaged folder, put in order anew.
pub(super) struct Ordered {
    pub(super) list: Vec<OrderedPlace>,
    /// The first damage that was met.
    pub(super) error: Error,
    /// Whether all nodes could be read all the same, so that no name is missing.
    pub(super) complete: bool,
}

/// Where a name stands.
pub(super) struct OrderedPlace {
    pub(super) node: NodePlace,
    pub(super) ordinal: usize,
    /// Whether it is to be listed: short names are not, where the long one is there.
    pub(super) listed: bool,
}

/// A name while it is being put in order.
struct Gathered {
    units: Vec<u16>,
    reference: (u64, u16),
    dos: bool,
    node: NodePlace,
    ordinal: usize,
}

impl Survey {
    /// Walks the whole index of a folder.
    pub(super) fn of(folder: &Folder<'_>) -> Survey {
        let load = |place| folder.load(place);
        let mut cursor = Cursor::wary(&folder.index, &load);
        let mut damage = Damage { error: None, complete: true };
        let mut last: Option<Vec<u16>> = None;
        while let Some(found) = cursor.next() {
            match found {
                Ok(found) => {
                    let key = found.entry().and_then(|entry| own_name(entry, folder));
                    match key {
                        Some(key) if follows(folder, last.as_deref(), &key) => {
                            let last = last.get_or_insert_default();
                            last.clear();
                            last.extend(key.units());
                        }
                        Some(_) => damage.add(bad(folder, "its names are not in order")),
                        None => damage.add(bad(folder, "an entry does not belong to it")),
                    }
                }
                Err(error) => {
                    damage.complete = false;
                    damage.add(error);
                }
            }
        }
        match damage.error {
            None => Survey::Whole,
            Some(error) => {
                let list = order(folder, &cursor.into_met(), damage.complete);
                Survey::Broken(Ordered { list, error, complete: damage.complete })
            }
        }
    }

    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        match self {
            Survey::Whole => 0,
            Survey::Broken(ordered) => ordered.list.len().saturating_mul(size_of::<OrderedPlace>()),
        }
    }
}

struct Damage {
    error: Option<Error>,
    complete: bool,
}

impl Damage {
    fn add(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }
}

fn bad(folder: &Folder<'_>, text: &str) -> Error {
    corrupt(format!("file record {}: the index of the folder is damaged: {text}", folder.number))
}

/// The name in an entry, if it is a name in this folder.
fn own_name<'a>(entry: IndexEntry<'a>, folder: &Folder<'_>) -> Option<FileName<'a>> {
    FileName::parse(entry.key()).filter(|key| key.parent().record == u64::from(folder.number))
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

/// The names of all nodes that can be read, in order. Nodes that no entry leads to, but that `$BITMAP` knows, are looked
/// at where some could not be read that may have led to them.
fn order(folder: &Folder<'_>, met: &HashSet<NodePlace>, complete: bool) -> Vec<OrderedPlace> {
    let mut gathered = Vec::new();
    gather(folder, 0, true, &mut gathered);
    for place in met {
        gather(folder, *place, true, &mut gathered);
    }
    if !complete {
        for place in folder.index.blocks_in_use(&folder.ntfs.volume) {
            if !met.contains(&place) {
                gather(folder, place, false, &mut gathered);
            }
        }
    }
    let upcase = &folder.ntfs.upcase;
    gathered.sort_by(|one, other| {
        let by_case = upcase.compare(one.units.iter().copied(), other.units.iter().copied());
        by_case.then_with(|| one.units.cmp(&other.units)).then_with(|| one.reference.cmp(&other.reference))
    });
    gathered.dedup_by(|one, other| one.units == other.units && one.reference == other.reference);
    let long: HashSet<_> = gathered.iter().filter(|name| !name.dos).map(|name| name.reference).collect();
    let place = |name: Gathered| OrderedPlace {
        listed: !name.dos || !long.contains(&name.reference),
        node: name.node,
        ordinal: name.ordinal,
    };
    gathered.into_iter().map(place).collect()
}

/// Adds the names of a node, if it can be read. Where the tree does not lead to it, `led`, it may be an old one: only
/// names whose files are there count then.
fn gather(folder: &Folder<'_>, node: NodePlace, led: bool, to: &mut Vec<Gathered>) {
    let Ok(loaded) = folder.load(node) else { return };
    for (ordinal, entry) in loaded.entries().enumerate() {
        let Some(key) = own_name(entry, folder) else { continue };
        let reference = entry.reference();
        if !led && !matches!(folder.ntfs.mft.target(reference), Target::Live { .. }) {
            continue;
        }
        let reference = (reference.record, reference.sequence);
        to.push(Gathered { units: key.units().collect(), reference, dos: key.is_dos(), node, ordinal });
    }
}
