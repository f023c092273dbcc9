//! `$ATTRIBUTE_LIST`: which file records hold the attributes of a file that do not fit into its base record.

use super::attribute::RawAttribute;
use super::file_record::FileReference;
use crate::bytes::{u16_le, u32_le, u64_le, utf16_le};

/// Bytes of an entry before its name.
const HEADER: usize = 0x1a;
/// Entries end at a multiple of this.
const ALIGNMENT: usize = 8;

/// Where one attribute, or one part of a long run list, stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Type code of the attribute.
    pub(super) kind: u32,
    /// Name of the attribute.
    pub(super) name: Vec<u16>,
    /// First cluster of the value that the part is about.
    pub(super) lowest_vcn: u64,
    /// The record that holds it.
    pub(super) holder: FileReference,
    /// Its number within that record.
    pub(super) id: u16,
}

impl Entry {
    /// That of an attribute, or a part of one, which stands in the record `holder`.
    pub(super) fn of(raw: &RawAttribute<'_>, holder: FileReference) -> Self {
        Entry { kind: raw.kind, name: raw.name.clone(), lowest_vcn: raw.lowest_vcn(), holder, id: raw.id }
    }
}

/// The entries of a list, in order.
pub(super) fn parse(mut list: &[u8]) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    while !list.is_empty() {
        let length = usize::from(u16_le(list, 4).ok_or("the last entry is cut short")?);
        // Without this a length of 0 would never end.
        if length < HEADER {
            return Err(format!("an entry has the length {length}"));
        }
        let (entry, rest) = list.split_at_checked(length).ok_or("the last entry is cut short")?;
        entries.push(fields(entry).ok_or("an entry points out of itself")?);
        list = rest;
    }
    Ok(entries)
}

fn fields(entry: &[u8]) -> Option<Entry> {
    let name_length = usize::from(*entry.get(6)?).checked_mul(2)?;
    // All who write NTFS keep to this; a longer entry would hide others, and a shorter name be another one.
    let length = HEADER.checked_add(name_length)?.checked_next_multiple_of(ALIGNMENT)?;
    if usize::from(*entry.get(7)?) != HEADER && name_length > 0 || entry.len() != length {
        return None;
    }
    let name = entry.get(HEADER..)?.get(..name_length)?;
    Some(Entry {
        kind: u32_le(entry, 0)?,
        name: utf16_le(name),
        lowest_vcn: u64_le(entry, 8)?,
        holder: FileReference::from_raw(u64_le(entry, 0x10)?),
        id: u16_le(entry, 0x18)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut bytes = vec![0; 0x20];
        bytes[0] = 0x80;
        bytes[4] = 0x20;
        bytes[6] = 2;
        bytes[7] = 0x1a;
        bytes[8] = 9;
        bytes[0x10] = 77;
        bytes[0x16] = 3;
        bytes[0x18] = 4;
        bytes[0x1a] = b'x';
        bytes[0x1c] = b'y';
        bytes
    }

    #[test]
    fn entries_are_read_one_after_the_other() {
        let list = parse(&[sample(), sample()].concat()).unwrap();
        let expected = Entry {
            kind: 0x80,
            name: vec![u16::from(b'x'), u16::from(b'y')],
            lowest_vcn: 9,
            holder: FileReference { record: 77, sequence: 3 },
            id: 4,
        };
        assert_eq!(list, [expected.clone(), expected]);
    }

    #[test]
    fn broken_entries_are_refused() {
        for (at, value) in [(4, 0), (4, 0x19), (4, 0x21), (6, 4), (6, 4), (6, 5), (7, 0x18), (7, 0x1d)] {
            let mut bytes = sample();
            bytes[at] = value;
            assert!(parse(&bytes).is_err(), "{at:#x} = {value:#x}");
        }
        assert!(parse(&[0x80]).is_err());
        assert_eq!(parse(&[]), Ok(vec![]));
    }
}
