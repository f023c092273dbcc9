//! A node of an index: the entries of `$INDEX_ROOT`, or of one index block of `$INDEX_ALLOCATION`. All indexes of NTFS
//! (folders, security ids, …) are made of these.

use std::cmp::Ordering;
use std::ops::Range;

use super::file_record::FileReference;
use super::update_sequence;
use crate::bytes::{u16_le, u32_le, u64_le};

const SIGNATURE: [u8; 4] = *b"INDX";
/// Where the index header stands in the value of `$INDEX_ROOT`.
const ROOT_HEADER: usize = 0x10;
/// Where the index header stands in an index block.
const BLOCK_HEADER: usize = 0x18;
/// Bytes of an entry before its key.
const ENTRY_HEADER: usize = 0x10;
/// Bytes of an entry with a name of usual length.
const USUAL_ENTRY: usize = 0x60;
/// In the index header: there are nodes below this one.
const NODE_HAS_CHILDREN: u32 = 1;
const ENTRY_HAS_CHILD: u16 = 1;
const ENTRY_IS_LAST: u16 = 2;

/// The entries of one node, the end mark included, which bears no key.
#[derive(Debug)]
pub(super) struct Node {
    bytes: Vec<u8>,
    entries: Vec<Range<usize>>,
}

/// One entry.
#[derive(Debug, Clone, Copy)]
pub(super) struct IndexEntry<'a>(&'a [u8]);

impl Node {
    /// The node in the value of `$INDEX_ROOT`.
    pub(super) fn root(value: &[u8]) -> Result<Self, String> {
        Self::at_header(value.to_vec(), ROOT_HEADER)
    }

    /// The node in an index block as it stands on the disk. `vcn` is where it should be, in its own words.
    pub(super) fn block(mut bytes: Vec<u8>, vcn: u64) -> Result<Self, String> {
        update_sequence::restore(&mut bytes, SIGNATURE)?;
        match u64_le(&bytes, 0x10) {
            Some(own) if own == vcn => Self::at_header(bytes, BLOCK_HEADER),
            own => Err(format!("it is the block {} of its own account", own.unwrap_or(u64::MAX))),
        }
    }

    fn at_header(bytes: Vec<u8>, header: usize) -> Result<Self, String> {
        let field = |at: usize| {
            let value = u32_le(&bytes, header.checked_add(at)?)?;
            header.checked_add(usize::try_from(value).ok()?)
        };
        let short = "the index header is cut short";
        let (mut at, end) = (field(0).ok_or(short)?, field(4).ok_or(short)?);
        let used = bytes.get(..end).ok_or("its entries run past its end")?;
        let flags = header.checked_add(0x0c).and_then(|at| u32_le(&bytes, at)).ok_or(short)?;
        let has_children = flags & NODE_HAS_CHILDREN != 0;
        let mut entries = Vec::with_capacity(used.len() / USUAL_ENTRY);
        loop {
            let rest = used.get(at..).unwrap_or_default();
            let entry = IndexEntry::parse(rest).ok_or("an entry does not fit")?;
            let next = at.saturating_add(entry.0.len());
            if entry.child().is_some() != has_children {
                return Err("some of its entries have nodes below them, and others have not".into());
            }
            entries.push(at..next);
            // An entry has 16 bytes at least, so this ends.
            at = next;
            if entry.is_last() {
                let behind = end.saturating_sub(next);
                // More entries would stand there, that nobody sees.
                return match behind {
                    0 => Ok(Node { bytes, entries }),
                    _ => Err(format!("{behind} bytes of it stand behind its last entry")),
                };
            }
        }
    }

    /// The entry of this ordinal; the last one is the end mark.
    pub(super) fn entry(&self, ordinal: usize) -> Option<IndexEntry<'_>> {
        self.bytes.get(self.entries.get(ordinal)?.clone()).map(IndexEntry)
    }

    /// The entries that bear a key.
    pub(super) fn entries(&self) -> impl Iterator<Item = IndexEntry<'_>> {
        self.entries.iter().filter_map(|range| self.bytes.get(range.clone()).map(IndexEntry)).filter(|e| !e.is_last())
    }

    /// The ordinal of the first entry that is not less than what is looked for; `stands` says how an entry's key stands
    /// to it. At most the ordinal of the end mark.
    pub(super) fn first_not_less(&self, stands: impl Fn(IndexEntry<'_>) -> Ordering) -> usize {
        self.entries.partition_point(|range| {
            let entry = self.bytes.get(range.clone()).map(IndexEntry);
            entry.is_some_and(|entry| !entry.is_last() && stands(entry) == Ordering::Less)
        })
    }

    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        self.entries.len().saturating_mul(size_of::<Range<usize>>()).saturating_add(self.bytes.len())
    }
}

impl<'a> IndexEntry<'a> {
    /// The entry at the start of `bytes`.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let length = usize::from(u16_le(bytes, 8)?);
        let flags = u16_le(bytes, 12)?;
        let entry = IndexEntry(bytes.get(..length)?);
        let key = if flags & ENTRY_IS_LAST == 0 { usize::from(u16_le(bytes, 10)?) } else { 0 };
        let child = if flags & ENTRY_HAS_CHILD == 0 { 0 } else { 8 };
        (ENTRY_HEADER.checked_add(key)?.checked_add(child)? <= length).then_some(entry)
    }

    fn flags(&self) -> u16 {
        u16_le(self.0, 12).unwrap_or(ENTRY_IS_LAST)
    }

    /// Whether it is the mark at the end of a node.
    pub(super) fn is_last(&self) -> bool {
        self.flags() & ENTRY_IS_LAST != 0
    }

    /// The node with the keys before this one, by its VCN in the index.
    pub(super) fn child(&self) -> Option<u64> {
        let vcn = u64::from_le_bytes(*self.0.last_chunk::<8>()?);
        (self.flags() & ENTRY_HAS_CHILD != 0).then_some(vcn)
    }

    /// In a folder: the file of that name.
    pub(super) fn reference(&self) -> FileReference {
        FileReference::from_raw(u64_le(self.0, 0).unwrap_or(u64::MAX))
    }

    pub(super) fn key(&self) -> &'a [u8] {
        let length = usize::from(u16_le(self.0, 10).unwrap_or(0));
        self.0.get(ENTRY_HEADER..ENTRY_HEADER.saturating_add(length)).unwrap_or_default()
    }

    /// In a folder: whether it is as long as its key, and what else belongs to it, needs.
    pub(super) fn is_exact(&self) -> bool {
        let child = if self.child().is_some() { 8 } else { 0 };
        let key = ENTRY_HEADER.saturating_add(self.key().len()).checked_next_multiple_of(8);
        key.and_then(|key| key.checked_add(child)) == Some(self.0.len())
    }

    /// In an index of another kind than a folder: the data beside the key.
    pub(super) fn data(&self) -> Option<&'a [u8]> {
        let start = usize::from(u16_le(self.0, 0)?);
        let length = usize::from(u16_le(self.0, 2)?);
        self.0.get(start..start.checked_add(length)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &[u8], flags: u16, child: u64) -> Vec<u8> {
        let child = if flags & ENTRY_HAS_CHILD == 0 { vec![] } else { child.to_le_bytes().to_vec() };
        let padding = vec![0; key.len().next_multiple_of(8) - key.len()];
        let length = u16::try_from(16 + key.len() + padding.len() + child.len()).unwrap();
        let mut bytes = 7u64.to_le_bytes().to_vec();
        bytes.extend(length.to_le_bytes());
        bytes.extend(u16::try_from(key.len()).unwrap().to_le_bytes());
        bytes.extend(u32::from(flags).to_le_bytes());
        [bytes, key.to_vec(), padding, child].concat()
    }

    fn root(entries: &[Vec<u8>]) -> Vec<u8> {
        let entries = entries.concat();
        let end = u32::try_from(16 + entries.len()).unwrap();
        let mut value = vec![0; 0x10];
        value.extend(16u32.to_le_bytes());
        value.extend(end.to_le_bytes());
        value.extend(end.to_le_bytes());
        let has_children = entries.get(12).is_some_and(|flags| flags & 1 != 0);
        value.extend([u8::from(has_children), 0, 0, 0]);
        [value, entries].concat()
    }

    #[test]
    fn entries_are_found_by_their_key() {
        let value = root(&[entry(b"b", 1, 76), entry(b"d", 1, 77), entry(b"", 3, 78)]);
        let node = Node::root(&value).unwrap();
        let keys: Vec<_> = node.entries().map(|entry| entry.key()).collect();
        assert_eq!(keys, [b"b", b"d"]);
        let seek = |key: &[u8]| node.first_not_less(|entry| entry.key().cmp(key));
        assert_eq!((seek(b"a"), seek(b"b"), seek(b"c"), seek(b"d"), seek(b"e")), (0, 0, 1, 1, 2));
        assert_eq!(node.entry(0).unwrap().child(), Some(76));
        assert_eq!(node.entry(1).unwrap().child(), Some(77));
        assert_eq!(node.entry(2).map(|entry| (entry.is_last(), entry.child())), Some((true, Some(78))));
        assert!(node.entry(3).is_none());
        assert_eq!(node.entry(0).unwrap().reference().record, 7);
    }

    #[test]
    fn broken_nodes_are_refused() {
        let good = root(&[entry(b"b", 0, 0), entry(b"", 2, 0)]);
        assert!(Node::root(&good).is_ok());
        for (at, value) in [(0x10, 0xf0), (0x14, 0xff), (0x14, 0x20), (0x28, 0), (0x28, 0xff), (0x2a, 99), (0x1c, 1)] {
            let mut bytes = good.clone();
            bytes[at] = value;
            assert!(Node::root(&bytes).is_err(), "{at:#x} = {value:#x}");
        }
        assert!(Node::root(&root(&[entry(b"b", 0, 0)])).is_err());
        // Entries behind the last one, and a node below one entry alone.
        assert!(Node::root(&root(&[entry(b"b", 2, 0), entry(b"", 2, 0)])).unwrap_err().contains("behind"));
        assert!(Node::root(&root(&[entry(b"b", 0, 0), entry(b"", 3, 7)])).unwrap_err().contains("below"));
        assert!(Node::root(&root(&[entry(b"b", 1, 7), entry(b"", 2, 0)])).unwrap_err().contains("below"));
        let mut childless = root(&[entry(b"", 2, 0)]);
        childless[0x1c] = 1;
        assert!(Node::root(&childless).is_err());
        assert!(Node::root(&[]).is_err());
        assert!(Node::block(vec![0; 4096], 0).is_err());
    }
}
