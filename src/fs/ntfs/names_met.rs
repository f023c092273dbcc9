//! The names of an index as a walk of it met them, for a list of all of them: to walk a large index again costs more than to
//! keep them. They stand in order, so each is kept as far as it differs from the one before.

use mount_api::Name;

use super::file_record::FileReference;
use super::index::Found;
use super::index_name::{IndexName, cookie_of, pair_of};

/// Bytes that are kept at most: those of a million names.
const AT_MOST: usize = 32 << 20;

/// Names that were met.
#[derive(Default)]
pub(super) struct NamesMet {
    entries: Vec<Entry>,
    /// Of each name the units that the one before did not have.
    units: Vec<u16>,
    /// The name that was met last.
    last: Vec<u16>,
}

/// One of them; the units of its name stand behind those of the one before.
struct Entry {
    reference: u64,
    cookie: u64,
    /// Units that it has in common with the name before.
    common: u8,
    /// Units that follow.
    own: u8,
    directory: bool,
    reparse_point: bool,
}

impl NamesMet {
    /// Adds the name in an entry; whether all can be kept still.
    pub(super) fn add(&mut self, found: &Found) -> bool {
        self.added(found).is_some_and(|()| self.weight() <= AT_MOST)
    }

    fn added(&mut self, found: &Found) -> Option<()> {
        let (key, reference) = pair_of(found)?;
        if key.is_dos() {
            return Some(());
        }
        let common = self.last.iter().copied().zip(key.units()).take_while(|(one, other)| one == other).count();
        self.last.truncate(common);
        self.last.extend(key.units().skip(common));
        let own = self.last.get(common..)?;
        self.units.extend_from_slice(own);
        self.entries.push(Entry {
            reference: reference.to_raw(),
            cookie: cookie_of(found).ok()?,
            common: u8::try_from(common).ok()?,
            own: u8::try_from(own.len()).ok()?,
            directory: key.is_directory(),
            reparse_point: key.is_reparse_point(),
        });
        Some(())
    }

    fn weight(&self) -> usize {
        let entries = self.entries.len().saturating_mul(size_of::<Entry>());
        self.units.len().saturating_mul(2).saturating_add(entries)
    }

    /// The names, in the order in which they were met.
    pub(super) fn into_names(self) -> impl Iterator<Item = IndexName> {
        let NamesMet { entries, units, mut last } = self;
        last.clear();
        let mut rest = units.into_iter();
        entries.into_iter().map(move |Entry { reference, cookie, common, own, directory, reparse_point }| {
            last.truncate(common.into());
            last.extend(rest.by_ref().take(own.into()));
            let (name, reference) = (Name::from_units(last.as_slice()), FileReference::from_raw(reference));
            IndexName { name, reference, directory, reparse_point, cookie }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::index_node::Node;
    use super::*;

    /// An entry of a folder's index; `reference` and `flags` as they stand on the disk, a name of no unit is the end mark.
    fn entry(reference: u64, name: &[u16], flags: u32, namespace: u8) -> Vec<u8> {
        let mut key = vec![0; 0x42];
        key[0x38..0x3c].copy_from_slice(&flags.to_le_bytes());
        key[0x40] = u8::try_from(name.len()).unwrap();
        key[0x41] = namespace;
        key.extend(name.iter().flat_map(|unit| unit.to_le_bytes()));
        if name.is_empty() {
            key.clear();
        }
        let length = (16 + key.len()).next_multiple_of(8);
        let mut bytes = reference.to_le_bytes().to_vec();
        bytes.extend(u16::try_from(length).unwrap().to_le_bytes());
        bytes.extend(u16::try_from(key.len()).unwrap().to_le_bytes());
        bytes.extend([if name.is_empty() { 2 } else { 0 }, 0, 0, 0]);
        bytes.extend(key);
        bytes.resize(length, 0);
        bytes
    }

    fn node(entries: &[Vec<u8>]) -> Arc<Node> {
        let entries = [entries.concat(), entry(0, &[], 0, 0)].concat();
        let end = u32::try_from(16 + entries.len()).unwrap();
        let header =
            [[0; 4], [0; 4], [0; 4], [0; 4], 16u32.to_le_bytes(), end.to_le_bytes(), end.to_le_bytes(), [0; 4]];
        Arc::new(Node::root(&[header.concat(), entries].concat()).unwrap())
    }

    #[test]
    fn names_come_back_as_they_were_met() {
        let longest = vec![u16::from(b'n'); 255];
        let names = [
            (&[0x61][..], 0, 1),
            (&[0x61, 0x62, 0xd800], 0x1000_0000, 3),
            (&[0x61, 0x62, 0xd800, 0x63], 0x400, 0),
            (&[0x61, 0x62, 0xd801], 0x1000_0400, 0),
            (&[0x7e], 0, 2),
            (&longest, 0, 0),
        ];
        let reference = |ordinal: u64| 0xfffe_8000_0000_0000 + ordinal;
        let entries =
            names.iter().zip(0..).map(|((name, flags, space), at)| entry(reference(at), name, *flags, *space));
        let node = node(&entries.collect::<Vec<_>>());
        let mut met = NamesMet::default();
        for ordinal in 0..names.len() {
            assert!(met.add(&Found::new(Arc::clone(&node), 9, ordinal)));
        }
        // The end mark is no name.
        assert!(!met.add(&Found::new(node, 9, names.len())));

        let mut back = met.into_names();
        // Short names are not listed.
        for (ordinal, (name, flags, _)) in names.iter().enumerate().filter(|(_, (_, _, space))| *space != 2) {
            let found = back.next().unwrap();
            assert_eq!(found.name.units(), *name);
            assert_eq!(found.reference, FileReference { record: 0x8000_0000_0000 + ordinal as u64, sequence: 0xfffe });
            assert_eq!((found.directory, found.reparse_point), (flags & 0x1000_0000 != 0, flags & 0x400 != 0));
            assert_eq!(found.cookie, 9 << 16 | (ordinal as u64 + 1));
        }
        assert!(back.next().is_none());
    }

    #[test]
    fn more_than_a_bound_are_not_kept() {
        let name = |unit: u16| vec![unit; 255];
        let node = node(&[entry(30, &name(0x61), 0, 0), entry(31, &name(0x62), 0, 0)]);
        let mut met = NamesMet::default();
        let kept = (0..AT_MOST).take_while(|at| met.add(&Found::new(Arc::clone(&node), 0, at % 2))).count();
        assert!(kept > AT_MOST / 600 && kept < AT_MOST / 500, "{kept}");
    }
}
