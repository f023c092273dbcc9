//! A file record of the `$MFT`: a header and a row of attributes.

use mount_api::{Error, Trust};

use super::attribute::{self, RawAttribute};
use super::file::ATTRIBUTE_REPARSE_POINT;
use super::file_name::FileName;
use super::standard_information::StandardInformation;
use super::{RECORD_MFT, RECORD_VOLUME, corrupt, update_sequence};
use crate::bytes::{u16_le, u32_le, u64_le};

const SIGNATURE: [u8; 4] = *b"FILE";
const FLAG_IN_USE: u16 = 1;
const FLAG_DIRECTORY: u16 = 2;
/// The type that ends the row of attributes.
const END_OF_ATTRIBUTES: u32 = 0xffff_ffff;
/// Bytes of the end of the row: its type, and what would be the length. Some may leave the latter out.
const END_LENGTH: usize = 8;
/// Older headers end before the record's own number; the update sequence begins here where it is there.
const HEADER_WITH_NUMBER: u16 = 0x30;
/// Most records have no more attributes.
const USUAL_ATTRIBUTES: usize = 6;

/// Which file record, and which of the files that it held one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileReference {
    /// Number of the record, 48 bits.
    pub(super) record: u64,
    /// Counts up whenever the record is used anew; 0 stands for any.
    pub(super) sequence: u16,
}

impl FileReference {
    pub(super) fn from_raw(raw: u64) -> Self {
        let [a, b, c, d, e, f, g, h] = raw.to_le_bytes();
        let record = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
        FileReference { record, sequence: u16::from_le_bytes([g, h]) }
    }

    /// The same in eight bytes, as it stands on the disk.
    pub(super) fn to_raw(self) -> u64 {
        let ([a, b, c, d, e, f, ..], [g, h]) = (self.record.to_le_bytes(), self.sequence.to_le_bytes());
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Whether a record with this sequence number is the one that is meant.
    pub(super) fn means(self, sequence: u16) -> bool {
        self.sequence == 0 || self.sequence == sequence
    }

    /// Whether the record can be there at all: the number is in 32 bits, as NTFS keeps it to.
    pub(super) fn number(self) -> Option<u32> {
        u32::try_from(self.record).ok()
    }
}

/// What the first bytes of a record say, whether or not the rest of it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordState {
    pub(super) sequence: u16,
    pub(super) in_use: bool,
    pub(super) directory: bool,
    /// Whether it only carries on the record of another file.
    pub(super) extension: bool,
}

impl RecordState {
    /// Whether it is the first or only record of a file.
    pub(super) fn is_base(self) -> bool {
        !self.extension
    }

    /// The state of the record in these bytes, with or without the update sequence put back. `None` where no record
    /// stands.
    pub(super) fn peek(bytes: &[u8]) -> Option<Self> {
        if bytes.get(..4)? != SIGNATURE {
            return None;
        }
        let flags = u16_le(bytes, 0x16)?;
        Some(RecordState {
            sequence: u16_le(bytes, 0x10)?,
            in_use: flags & FLAG_IN_USE != 0,
            directory: flags & FLAG_DIRECTORY != 0,
            extension: u64_le(bytes, 0x20)? != 0,
        })
    }
}

/// The number that a record bears itself, with or without the update sequence put back. `None` where no record stands, or one
/// of an old version of NTFS.
pub(super) fn own_number(bytes: &[u8]) -> Option<u32> {
    let bears_one = bytes.get(..4)? == SIGNATURE && u16_le(bytes, 4)? >= HEADER_WITH_NUMBER;
    bears_one.then(|| u32_le(bytes, 0x2c)).flatten()
}

/// The sequence number that a record had before it was freed. 0 is left out when it is counted up, and never counted.
pub(super) fn sequence_before(freed: u16) -> u16 {
    match freed {
        0 => 0,
        1 => u16::MAX,
        _ => freed.saturating_sub(1),
    }
}

/// A file record that was read whole and holds.
#[derive(Debug)]
pub(super) struct FileRecord {
    pub(super) number: u32,
    pub(super) state: RecordState,
    /// The file that it belongs to, where it is an extension record.
    pub(super) base: FileReference,
    pub(super) trust: Trust,
    /// Whether it was freed, and is told here as it was before.
    pub(super) freed: bool,
    bytes: Vec<u8>,
    first_attribute: usize,
}

impl FileRecord {
    /// Checks a record as it stands on the disk.
    pub(super) fn parse(mut bytes: Vec<u8>, number: u32, trust: Trust) -> Result<Self, Error> {
        let bad = |text: String| corrupt(format!("file record {number}: {text}"));
        update_sequence::restore(&mut bytes, SIGNATURE).map_err(bad)?;
        Self::check(bytes, number, trust).map_err(bad)
    }

    fn check(mut bytes: Vec<u8>, number: u32, trust: Trust) -> Result<Self, String> {
        let short = "the header is cut short";
        let state = RecordState::peek(&bytes).ok_or(short)?;
        let used = u32_le(&bytes, 0x18).and_then(|used| usize::try_from(used).ok()).ok_or(short)?;
        let size = u32_le(&bytes, 0x1c).and_then(|size| usize::try_from(size).ok()).ok_or(short)?;
        if size != bytes.len() || used > size {
            return Err(format!("it claims {used} of {size} bytes, and a record has {}", bytes.len()));
        }
        if let Some(own) = own_number(&bytes).filter(|own| *own != number) {
            // The `$MFT`'s run list leads to the wrong place: better no file than somebody else's.
            return Err(format!("it is the record {own} of its own account"));
        }
        let first_attribute = usize::from(u16_le(&bytes, 0x14).ok_or(short)?);
        bytes.truncate(used);
        let base = FileReference::from_raw(u64_le(&bytes, 0x20).ok_or(short)?);
        Ok(FileRecord { number, state, base, trust, freed: false, bytes, first_attribute })
    }

    /// Whether it says itself which record it is, as those of all newer volumes do.
    pub(super) fn bears_its_number(&self) -> bool {
        own_number(&self.bytes).is_some()
    }

    /// The memory that it took.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// A record that is not in use as it was before it was freed: freeing clears the flag and counts the sequence number
    /// up, and leaves the rest. One in use is as it is.
    pub(super) fn before_it_was_freed(mut self) -> Self {
        if !self.state.in_use {
            self.state.in_use = true;
            self.state.sequence = sequence_before(self.state.sequence);
            self.freed = true;
        }
        self
    }

    /// Whether another copy says the same: all but the update sequence, which counts how often each was written, and where
    /// in the journal that stands.
    pub(super) fn says_the_same_as(&self, other: &Self) -> bool {
        let attributes = |record: &'_ Self| record.bytes.get(record.first_attribute..).map(<[u8]>::to_vec);
        (self.state, self.base) == (other.state, other.base) && attributes(self) == attributes(other)
    }

    /// The names in it, as far as they can be had; nothing else is looked at, be it as it may.
    pub(super) fn names(&self) -> impl Iterator<Item = FileName<'_>> {
        let mut at = self.first_attribute;
        let until_behind_names = std::iter::from_fn(move || {
            let rest = self.bytes.get(at..)?;
            // Types only rise, and so do places: no attribute is empty.
            let kind = u32_le(rest, 0).filter(|kind| *kind <= attribute::FILE_NAME)?;
            let length =
                u32_le(rest, 4).and_then(|length| usize::try_from(length).ok()).filter(|length| *length > 0)?;
            at = at.checked_add(length)?;
            Some((kind, rest))
        });
        let names = until_behind_names.filter(|(kind, _)| *kind == attribute::FILE_NAME);
        names.filter_map(|(_, bytes)| RawAttribute::parse(bytes).ok()?.0.file_name())
    }

    /// Whether it has a reparse point by its `$STANDARD_INFORMATION`, which stands before all else.
    pub(super) fn has_reparse_point_by_its_attributes(&self) -> bool {
        let first = self.bytes.get(self.first_attribute..).and_then(|rest| RawAttribute::parse(rest).ok());
        let value =
            first.filter(|(raw, _)| raw.kind == attribute::STANDARD_INFORMATION).and_then(|(raw, _)| match raw.form {
                attribute::Form::Resident(value) => StandardInformation::parse(value),
                attribute::Form::NonResident(..) => None,
            });
        value.is_some_and(|standard| standard.attributes & ATTRIBUTE_REPARSE_POINT != 0)
    }

    /// The attributes in the order in which they stand.
    pub(super) fn attributes(&self) -> Result<Vec<RawAttribute<'_>>, Error> {
        let bad = |text: &str| corrupt(format!("file record {}: {text}", self.number));
        let mut list = Vec::with_capacity(USUAL_ATTRIBUTES);
        let mut at = self.first_attribute;
        loop {
            let rest = self.bytes.get(at..).unwrap_or_default();
            match u32_le(rest, 0) {
                None => return Err(bad("its attributes run past its end")),
                Some(END_OF_ATTRIBUTES) if rest.len() <= END_LENGTH => return Ok(list),
                // An end before the end that the header tells would hide what follows.
                Some(END_OF_ATTRIBUTES) => return Err(bad("its attributes end before it does")),
                Some(_) => {}
            }
            let (attribute, length) = RawAttribute::parse(rest).map_err(|text| bad(&text))?;
            if !self.may_hold(&attribute) {
                return Err(bad(&format!(
                    "an attribute is of type {:#x}, which this file cannot have",
                    attribute.kind
                )));
            }
            if let Some(before) = list.last() {
                follows(before, &attribute).map_err(bad)?;
            }
            list.push(attribute);
            // `length` is at least the size of a header, so this ends.
            at = at.saturating_add(length);
        }
    }
}

impl FileRecord {
    /// Whether an attribute can be one of this file: some types belong to NTFS's own files alone.
    fn may_hold(&self, attribute: &RawAttribute<'_>) -> bool {
        let file = if self.state.extension { self.base.record } else { self.number.into() };
        match attribute.kind {
            attribute::VOLUME_NAME | attribute::VOLUME_INFORMATION => file == u64::from(RECORD_VOLUME),
            attribute::BITMAP if attribute.name.is_empty() => file == u64::from(RECORD_MFT),
            _ => true,
        }
    }
}

/// Whether an attribute may stand behind another one: types only rise, and none but names is there twice.
fn follows(before: &RawAttribute<'_>, attribute: &RawAttribute<'_>) -> Result<(), &'static str> {
    let key = |raw: &RawAttribute<'_>| (raw.kind, raw.lowest_vcn());
    if attribute.kind < before.kind {
        return Err("its attributes are not in order");
    }
    let twice = key(before) == key(attribute) && before.name == attribute.name;
    if twice && attribute.kind != attribute::FILE_NAME {
        return Err("it has an attribute twice");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_split_into_number_and_sequence() {
        let reference = FileReference::from_raw(0x0005_0000_0000_0007);
        assert_eq!(reference, FileReference { record: 7, sequence: 5 });
        assert!(reference.means(5) && !reference.means(6));
        assert_eq!(FileReference::from_raw(0x0005_0001_0000_0007).number(), None);
    }

    #[test]
    fn freeing_counts_the_sequence_number_up_and_leaves_0_out() {
        for (before, freed) in [(0, 0), (1, 2), (0xfffe, 0xffff), (0xffff, 1)] {
            assert_eq!(sequence_before(freed), before);
        }
    }

    /// A resident attribute without a name.
    fn attribute_of(kind: u32, value: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; (0x18 + value.len()).next_multiple_of(8)];
        bytes[..4].copy_from_slice(&kind.to_le_bytes());
        bytes[4] = bytes.len() as u8;
        bytes[0x10] = value.len() as u8;
        bytes[0x14] = 0x18;
        bytes[0x18..0x18 + value.len()].copy_from_slice(value);
        bytes
    }

    #[test]
    fn names_are_had_whatever_else_is_wrong() {
        let name_of = |letter: u8| {
            let mut value = vec![0; 0x42];
            value[0x40] = 1;
            value.extend([letter, 0]);
            attribute_of(attribute::FILE_NAME, &value)
        };
        let standard = attribute_of(attribute::STANDARD_INFORMATION, &[]);
        let of = |parts: &[&[u8]]| {
            let state = RecordState { sequence: 1, in_use: true, directory: false, extension: false };
            let (base, bytes) = (FileReference::from_raw(0), parts.concat());
            let record =
                FileRecord { number: 30, state, base, trust: Trust::Proven, freed: false, bytes, first_attribute: 0 };
            record.names().map(|name| name.name().to_string_lossy()).collect::<String>()
        };
        let (a, b, wrong) = (name_of(b'a'), name_of(b'b'), attribute_of(0x17, b"what is this"));
        assert_eq!(of(&[&standard, &a, &b, &[0xff; 8]]), "ab");
        assert_eq!(of(&[&standard, &wrong, &a, &attribute_of(attribute::DATA, b""), &b]), "a");
        assert_eq!(of(&[&a[..0x20]]), "");
        assert_eq!(of(&[&a, &[0; 8], &b]), "a");
        assert_eq!(of(&[]), "");
    }

    #[test]
    fn records_of_nothing_are_refused() {
        for size in [0, 4, 512, 1024] {
            assert!(FileRecord::parse(vec![0; size], 3, Trust::Proven).is_err());
        }
        assert_eq!(RecordState::peek(b"FILE"), None);
    }
}
