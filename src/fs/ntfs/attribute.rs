//! An attribute as it stands in a file record: a header, a name, and the value itself (resident) or the run list that
//! leads to it (non-resident).

use super::file_name::FileName;
use crate::bytes::{u16_le, u32_le, u64_le, utf16_le};

pub(super) const STANDARD_INFORMATION: u32 = 0x10;
pub(super) const ATTRIBUTE_LIST: u32 = 0x20;
pub(super) const FILE_NAME: u32 = 0x30;
const OBJECT_ID: u32 = 0x40;
pub(super) const SECURITY_DESCRIPTOR: u32 = 0x50;
pub(super) const VOLUME_NAME: u32 = 0x60;
pub(super) const VOLUME_INFORMATION: u32 = 0x70;
pub(super) const DATA: u32 = 0x80;
pub(super) const INDEX_ROOT: u32 = 0x90;
pub(super) const INDEX_ALLOCATION: u32 = 0xa0;
pub(super) const BITMAP: u32 = 0xb0;
pub(super) const REPARSE_POINT: u32 = 0xc0;
const EA_INFORMATION: u32 = 0xd0;
const EA: u32 = 0xe0;
/// Planned once, and never written.
const PROPERTY_SET: u32 = 0xf0;
pub(super) const LOGGED_UTILITY_STREAM: u32 = 0x100;
/// All type codes are multiples of the first one, up to [`LOGGED_UTILITY_STREAM`]; volumes could have more of their own, and
/// none has.
const TYPE_STEP: u32 = STANDARD_INFORMATION;

/// The compression method; 1 is LZNT1, the others are not known.
pub(super) const FLAG_COMPRESSION: u16 = 0x00ff;
pub(super) const FLAG_ENCRYPTED: u16 = 0x4000;
pub(super) const FLAG_SPARSE: u16 = 0x8000;

/// Bytes before the name, or the value, of a resident attribute. Every attribute has as many.
const HEADER: usize = 0x18;
/// Bytes before the name, or the run list, of a non-resident attribute; compressed and sparse ones may have the longer
/// header.
const NON_RESIDENT_HEADERS: [usize; 2] = [0x40, 0x48];
/// What the names that NTFS gives begin with, as it stands on the disk.
const OWN_NAME: [u8; 2] = [b'$', 0];
/// Values and run lists begin, and attributes end, at a multiple of this.
const ALIGNMENT: usize = 8;

/// One attribute of one file record.
#[derive(Debug)]
pub(super) struct RawAttribute<'a> {
    /// Its type code.
    pub(super) kind: u32,
    /// Its number within the file record.
    pub(super) id: u16,
    pub(super) flags: u16,
    pub(super) name: Vec<u16>,
    pub(super) form: Form<'a>,
}

/// Where the value is.
#[derive(Debug)]
pub(super) enum Form<'a> {
    /// Here.
    Resident(&'a [u8]),
    /// In clusters.
    NonResident(NonResidentHeader, &'a [u8]),
}

/// What a non-resident attribute says before its run list. The sizes hold only where `lowest_vcn` is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NonResidentHeader {
    /// First cluster of the value that the run list is about.
    pub(super) lowest_vcn: u64,
    /// Last cluster of the value that the run list is about; `u64::MAX` (that is, -1) for an empty one.
    pub(super) highest_vcn: u64,
    /// Power of two of the clusters of a compression unit; 0 for none.
    pub(super) unit_shift: u8,
    /// Bytes of the clusters that the value spans, holes counted.
    pub(super) allocated: u64,
    /// Bytes of the value.
    pub(super) size: u64,
    /// Bytes that were ever written; what follows reads as zeros.
    pub(super) initialized: u64,
    /// Bytes of the clusters that the value occupies, holes not counted.
    pub(super) occupied: u64,
}

impl<'a> RawAttribute<'a> {
    /// The attribute at the start of `bytes`, and its length, which is more than 0.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<(Self, usize), String> {
        let kind = u32_le(bytes, 0).ok_or("an attribute is cut short")?;
        let length = u32_le(bytes, 4).and_then(|length| usize::try_from(length).ok()).unwrap_or(0);
        let bad = |text: &str| format!("the attribute of type {kind:#x} {text}");
        if kind > LOGGED_UTILITY_STREAM || !kind.is_multiple_of(TYPE_STEP) || kind == 0 {
            return Err(format!("an attribute is of type {kind:#x}, which there is not"));
        }
        let bytes = bytes.get(..length).filter(|_| length >= HEADER).ok_or_else(|| bad("has an absurd length"))?;
        Self::fields(kind, bytes)
            .map(|attribute| (attribute, length))
            .ok_or_else(|| bad("points out of itself, or is not as its type has to be"))
    }

    fn fields(kind: u32, bytes: &'a [u8]) -> Option<Self> {
        let name_length = usize::from(*bytes.get(9)?).checked_mul(2)?;
        let name_start = usize::from(u16_le(bytes, 0x0a)?);
        // An attribute without a name may have any offset for it.
        let name = if name_length == 0 { &[] } else { bytes.get(name_start..name_start.checked_add(name_length)?)? };
        let form = match *bytes.get(8)? {
            0 => resident(bytes)?,
            1 => non_resident(bytes)?,
            _ => return None,
        };
        let rules = may_be(kind, name, &form)
            && match &form {
                // All who write NTFS keep to this to the byte; so a wrong flag, length or offset does not pass for another value.
                Form::Resident(value) => {
                    let start = usize::from(u16_le(bytes, 0x14)?);
                    let end = start.checked_add(value.len())?.checked_next_multiple_of(ALIGNMENT);
                    begins_behind(start, &[HEADER], name_start, name_length) && end == Some(bytes.len())
                }
                Form::NonResident(..) => {
                    let start = usize::from(u16_le(bytes, 0x20)?);
                    begins_behind(start, &NON_RESIDENT_HEADERS, name_start, name_length)
                }
            };
        if !rules {
            return None;
        }
        Some(RawAttribute { kind, id: u16_le(bytes, 0x0e)?, flags: u16_le(bytes, 0x0c)?, name: utf16_le(name), form })
    }

    /// The name in it, where it is one.
    pub(super) fn file_name(&self) -> Option<FileName<'a>> {
        match self.form {
            Form::Resident(bytes) if self.kind == FILE_NAME => FileName::parse(bytes),
            _ => None,
        }
    }

    /// First cluster of the value that this is about; 0 for resident ones.
    pub(super) fn lowest_vcn(&self) -> u64 {
        match &self.form {
            Form::Resident(_) => 0,
            Form::NonResident(header, _) => header.lowest_vcn,
        }
    }
}

/// Whether an attribute of this type can have this name and form: a wrong type code makes another attribute of it.
fn may_be(kind: u32, name: &[u8], form: &Form<'_>) -> bool {
    let is_resident = matches!(form, Form::Resident(_));
    // The names of all but streams are NTFS's own: `$I30`, `$SDH`, `$EFS`, `$TXF_DATA`.
    let is_own = name.starts_with(&OWN_NAME);
    match kind {
        STANDARD_INFORMATION | FILE_NAME | VOLUME_NAME | VOLUME_INFORMATION | OBJECT_ID | EA_INFORMATION => {
            name.is_empty() && is_resident
        }
        ATTRIBUTE_LIST | SECURITY_DESCRIPTOR | REPARSE_POINT | EA => name.is_empty(),
        INDEX_ROOT => is_own && is_resident,
        INDEX_ALLOCATION => is_own && !is_resident,
        BITMAP => name.is_empty() || is_own,
        LOGGED_UTILITY_STREAM => is_own,
        PROPERTY_SET => false,
        _ => true,
    }
}

/// Whether a value or run list begins right behind the name, or, where there is none, behind one of these headers.
fn begins_behind(start: usize, headers: &[usize], name_start: usize, name_length: usize) -> bool {
    let least = headers.iter().min().copied().unwrap_or(0);
    match name_length {
        0 => headers.contains(&start),
        _ if name_start < least => false,
        _ => name_start.checked_add(name_length).and_then(|end| end.checked_next_multiple_of(ALIGNMENT)) == Some(start),
    }
}

fn resident(bytes: &[u8]) -> Option<Form<'_>> {
    let length = usize::try_from(u32_le(bytes, 0x10)?).ok()?;
    let start = usize::from(u16_le(bytes, 0x14)?);
    Some(Form::Resident(bytes.get(start..start.checked_add(length)?)?))
}

fn non_resident(bytes: &[u8]) -> Option<Form<'_>> {
    let runs_start = usize::from(u16_le(bytes, 0x20)?);
    let allocated = u64_le(bytes, 0x28)?;
    let header = NonResidentHeader {
        lowest_vcn: u64_le(bytes, 0x10)?,
        highest_vcn: u64_le(bytes, 0x18)?,
        unit_shift: *bytes.get(0x22)?,
        allocated,
        size: u64_le(bytes, 0x30)?,
        initialized: u64_le(bytes, 0x38)?,
        // Only compressed and sparse attributes have the longer header.
        occupied: if u16_le(bytes, 0x0c)? & (FLAG_COMPRESSION | FLAG_SPARSE) != 0 && runs_start >= 0x48 {
            u64_le(bytes, 0x40)?
        } else {
            allocated
        },
    };
    Some(Form::NonResident(header, bytes.get(runs_start..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resident_sample() -> Vec<u8> {
        let mut bytes = vec![0; 0x28];
        bytes[0] = 0x80;
        bytes[4] = 0x28;
        bytes[9] = 1;
        bytes[0x0a] = 0x18;
        bytes[0x0e] = 5;
        bytes[0x10] = 3;
        bytes[0x14] = 0x20;
        bytes[0x18] = b'n';
        bytes[0x20..0x23].copy_from_slice(b"abc");
        bytes
    }

    #[test]
    fn a_resident_value_is_found() {
        let bytes = resident_sample();
        let (attribute, length) = RawAttribute::parse(&bytes).unwrap();
        assert_eq!((attribute.kind, attribute.id, length), (DATA, 5, 0x28));
        assert_eq!(attribute.name, [u16::from(b'n')]);
        assert!(matches!(attribute.form, Form::Resident(b"abc")));
    }

    #[test]
    fn what_points_out_of_the_attribute_is_refused() {
        for (at, value) in
            [(4, 0), (4, 0x17), (4, 0x29), (9, 9), (0x0b, 1), (0x10, 9), (0x13, 0x80), (0x14, 0x27), (8, 1), (8, 2)]
        {
            let mut bytes = resident_sample();
            bytes[at] = value;
            assert!(RawAttribute::parse(&bytes).is_err(), "{at:#x} = {value:#x}");
        }
        assert!(RawAttribute::parse(&[0x80, 0, 0]).is_err());
    }

    #[test]
    fn only_streams_have_names_that_a_user_gave() {
        for (kind, name) in [(0x80, b'n'), (0x80, b'$'), (0x90, b'$'), (0xb0, b'$')] {
            let mut bytes = resident_sample();
            (bytes[0], bytes[0x18]) = (kind, name);
            assert!(RawAttribute::parse(&bytes).is_ok(), "{kind:#x}");
        }
        for kind in [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0x90, 0xa0, 0xb0, 0xc0, 0xd0, 0xe0, 0xf0] {
            let mut bytes = resident_sample();
            bytes[0] = kind;
            assert!(RawAttribute::parse(&bytes).is_err(), "{kind:#x}");
        }
        let mut bytes = resident_sample();
        (bytes[0], bytes[1]) = (0, 1);
        assert!(RawAttribute::parse(&bytes).is_err());
        bytes[0x18] = b'$';
        assert!(RawAttribute::parse(&bytes).is_ok());
    }

    #[test]
    fn what_leaves_room_that_nobody_leaves_is_refused() {
        // Shorter by a multiple of 8, begun too early, a name that ends before the value does begin.
        for (at, value) in [(0x10, 0), (0x14, 0x1a), (0x14, 0x18), (9, 0), (9, 5), (0x0a, 0x10)] {
            let mut bytes = resident_sample();
            bytes[at] = value;
            assert!(RawAttribute::parse(&bytes).is_err(), "{at:#x} = {value:#x}");
        }
        let mut bytes = vec![0; 0x48];
        bytes[0] = 0x80;
        bytes[4] = 0x48;
        bytes[8] = 1;
        bytes[0x20] = 0x40;
        assert!(matches!(RawAttribute::parse(&bytes).unwrap().0.form, Form::NonResident(..)));
        for (at, value) in [
            (0, 0x90),
            (0, 0x40),
            (0, 0xa0),
            (0, 0xd0),
            (0, 0xf0),
            (0, 0x30),
            (0, 0x81),
            (1, 1),
            (8, 0),
            (0x20, 0x38),
            (0x20, 0x41),
            (9, 1),
        ] {
            let mut bytes = bytes.clone();
            bytes[at] = value;
            assert!(RawAttribute::parse(&bytes).is_err(), "{at:#x} = {value:#x}");
        }
    }
}
