//! `$FILE_NAME`: a name, the folder that it stands in, and what was known of the file when the name was last written. It
//! stands in the file record and, as the key of an entry, in the folder's index.

use mount_api::{Name, Times};

use super::file_record::FileReference;
use super::standard_information;
use crate::bytes::{u32_le, u64_le, utf16_le};

/// Bytes before the name.
const HEADER: usize = 0x42;
/// Where its length in units stands.
const NAME_LENGTH: usize = 0x40;
/// The namespace of the short names that exist beside a long one.
const NAMESPACE_DOS: u8 = 2;
/// `FILE_ATTRIBUTE_REPARSE_POINT`.
const REPARSE_POINT: u32 = 0x400;
/// The bit that stands for a folder here; in `$STANDARD_INFORMATION` there is none.
const DIRECTORY: u32 = 0x1000_0000;

/// A name, borrowed from where it stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileName<'a> {
    bytes: &'a [u8],
    /// UTF-16LE.
    name: &'a [u8],
}

impl<'a> FileName<'a> {
    /// `None` where the value is longer or shorter than the name, or the name is empty, which none is.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let length = usize::from(*bytes.get(NAME_LENGTH)?).checked_mul(2).filter(|length| *length > 0)?;
        Some(FileName { bytes, name: bytes.get(HEADER..)?.get(..length)? }).filter(|name| name.fills_its_value())
    }

    fn fills_its_value(&self) -> bool {
        HEADER.checked_add(self.name.len()) == Some(self.bytes.len())
    }

    /// The whole value that it was read from.
    pub(super) fn value(&self) -> &'a [u8] {
        self.bytes
    }

    /// A value with another name of at most 255 units, and all else as it is here.
    pub(super) fn renamed(&self, units: &[u16]) -> Box<[u8]> {
        let count = u8::try_from(units.len()).unwrap_or(u8::MAX);
        let header = self.bytes.iter().take(HEADER).enumerate();
        let header = header.map(|(at, byte)| if at == NAME_LENGTH { count } else { *byte });
        header.chain(units.iter().take(count.into()).flat_map(|unit| unit.to_le_bytes())).collect()
    }

    /// The folder that the name stands in.
    pub(super) fn parent(&self) -> FileReference {
        FileReference::from_raw(u64_le(self.bytes, 0).unwrap_or(u64::MAX))
    }

    pub(super) fn times(&self) -> Times {
        standard_information::times(self.bytes, 8).unwrap_or_default()
    }

    fn attributes(&self) -> u32 {
        u32_le(self.bytes, 0x38).unwrap_or(0)
    }

    pub(super) fn is_directory(&self) -> bool {
        self.attributes() & DIRECTORY != 0
    }

    pub(super) fn is_reparse_point(&self) -> bool {
        self.attributes() & REPARSE_POINT != 0
    }

    /// Whether this is the short name that exists for old programs beside the real one.
    pub(super) fn is_dos(&self) -> bool {
        self.bytes.get(0x41) == Some(&NAMESPACE_DOS)
    }

    pub(super) fn name(&self) -> Name {
        Name::from_units(utf16_le(self.name))
    }

    /// The units of the name as they stand on the disk.
    pub(super) fn utf16_le(&self) -> &'a [u8] {
        self.name
    }

    /// The units of the name, one after the other.
    pub(super) fn units(&self) -> impl Iterator<Item = u16> + use<'a> {
        self.name.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_its_flags_are_read() {
        let mut value = vec![0; HEADER];
        value[0] = 5;
        value[0x3b] = 0x10;
        value[0x39] = 4;
        value[0x40] = 2;
        value[0x41] = 2;
        value.extend([b'a', 0, 0x00, 0xd8]);
        let name = FileName::parse(&value).unwrap();
        assert_eq!(name.parent().record, 5);
        assert!(name.is_dos() && name.is_directory() && name.is_reparse_point());
        assert_eq!(name.name().units(), [0x61, 0xd800]);
        assert_eq!(name.units().collect::<Vec<_>>(), [0x61, 0xd800]);
        for wrong in [0, 1, 3] {
            value[0x40] = wrong;
            assert!(FileName::parse(&value).is_none(), "{wrong}");
        }
        assert!(FileName::parse(&[]).is_none());
    }
}
