//! The two region tables: [MS-VHDX] 2.2.3.

use std::fmt;
use std::ops::Range;

use crate::bytes::{Guid, array, crc32c_with_hole, len_u64, u32_le, u64_le};
use crate::format::broken::Broken;

/// Offsets of region table 1 and region table 2 in the file.
pub(super) const OFFSETS: [u64; 2] = [192 << 10, 256 << 10];
/// Their names in messages.
pub(super) const NAMES: [&str; 2] = ["region table 1", "region table 2"];
/// The first four bytes of a region table.
pub(super) const SIGNATURE: [u8; 4] = *b"regi";
/// Bytes of a region table, all covered by its checksum.
pub(super) const LENGTH: usize = 64 << 10;

pub(super) const BAT: Guid =
    Guid::from_fields(0x2dc2_7766, 0xf623, 0x4200, [0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08]);
pub(super) const METADATA: Guid =
    Guid::from_fields(0x8b7c_a206, 0x4790, 0x4b9a, [0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e]);

const HEADER_LENGTH: usize = 16;
const ENTRY_LENGTH: usize = 32;
const MAX_ENTRIES: usize = 2047;
/// Regions stand at multiples of this, and never within the first of them.
const ALIGNMENT: u64 = 1 << 20;

/// Bytes of a region table up to the end of its last entry. What stands behind it is reserved.
pub(super) fn used(bytes: &[u8]) -> usize {
    let count = u32_le(bytes, 8).and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    count.saturating_mul(ENTRY_LENGTH).saturating_add(HEADER_LENGTH)
}

/// One region table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RegionTable {
    /// Where the BAT region stands in the file.
    pub(super) bat: Range<u64>,
    /// Where the metadata region stands in the file.
    pub(super) metadata: Range<u64>,
    /// Regions that this program does not know.
    pub(super) unknown: Vec<UnknownRegion>,
}

/// A region that this program does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UnknownRegion {
    pub(super) id: Guid,
    pub(super) required: bool,
    pub(super) file: Range<u64>,
}

/// In words, for messages.
impl fmt::Display for RegionTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Range { start, end } = &self.bat;
        write!(f, "BAT at bytes {start} to {end}")?;
        let Range { start, end } = &self.metadata;
        write!(f, ", metadata at bytes {start} to {end}")?;
        for UnknownRegion { id, required, file: Range { start, end } } in &self.unknown {
            let kind = if *required { "required region" } else { "region" };
            write!(f, ", {kind} {id} at bytes {start} to {end}")?;
        }
        Ok(())
    }
}

impl RegionTable {
    /// Parses the 64 KiB of a region table and checks signature, checksum, count, places and overlaps.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Broken> {
        let cut = || Broken::cut(65536, len_u64(bytes));
        let bytes = bytes.get(..LENGTH).ok_or_else(cut)?;
        let signature: [u8; 4] = array(bytes, 0).ok_or_else(cut)?;
        if signature != SIGNATURE {
            return Err(Broken::new("Signature", "\"regi\"", format!("\"{}\"", signature.escape_ascii())));
        }
        let stored = u32_le(bytes, 4).ok_or_else(cut)?;
        let computed = crc32c_with_hole(bytes, 4);
        if stored != computed {
            return Err(Broken::new("Checksum", format!("{computed:#010x}"), format!("{stored:#010x}")));
        }
        Self::parse_entries(bytes)
    }

    /// Parses the entries of a region table, whatever its signature and checksum are.
    pub(super) fn parse_entries(bytes: &[u8]) -> Result<Self, Broken> {
        let cut = || Broken::cut(65536, len_u64(bytes));
        let count = u32_le(bytes, 8).ok_or_else(cut)?;
        let count = usize::try_from(count)
            .ok()
            .filter(|count| *count <= MAX_ENTRIES)
            .ok_or_else(|| Broken::new("EntryCount", "at most 2047", count.to_string()))?;
        let entries = bytes.get(HEADER_LENGTH..).unwrap_or_default().chunks_exact(ENTRY_LENGTH).take(count);
        Self::from_entries(entries)
    }

    fn from_entries<'a>(entries: impl Iterator<Item = &'a [u8]>) -> Result<Self, Broken> {
        let (mut bat, mut metadata, mut unknown) = (None, None, Vec::new());
        let mut places = Vec::new();
        for entry in entries {
            let (id, file, required) = parse_entry(entry)?;
            places.push(file.clone());
            let known = match id {
                BAT => &mut bat,
                METADATA => &mut metadata,
                _ => {
                    unknown.push(UnknownRegion { id, required, file });
                    continue;
                }
            };
            if known.replace(file).is_some() {
                return Err(Broken::new("Guid", "each region once", format!("{id} twice")));
            }
        }
        places.sort_by_key(|place| place.start);
        if let Some((a, b)) = places.iter().zip(places.iter().skip(1)).find(|(a, b)| a.end > b.start) {
            return Err(Broken::new(
                "FileOffset",
                "regions that do not overlap",
                format!("bytes {}..{} and {}..{}", a.start, a.end, b.start, b.end),
            ));
        }
        let missing = |name: &str| Broken::new("Guid", format!("an entry for the {name} region"), "none");
        Ok(RegionTable {
            bat: bat.ok_or_else(|| missing("BAT"))?,
            metadata: metadata.ok_or_else(|| missing("metadata"))?,
            unknown,
        })
    }
}

fn parse_entry(entry: &[u8]) -> Result<(Guid, Range<u64>, bool), Broken> {
    let cut = || Broken::cut(32, len_u64(entry));
    let id = Guid::read(entry, 0).ok_or_else(cut)?;
    let offset = u64_le(entry, 16).ok_or_else(cut)?;
    let length = u32_le(entry, 24).ok_or_else(cut)?;
    let required = u32_le(entry, 28).ok_or_else(cut)? & 1 == 1;
    if offset < ALIGNMENT || !offset.is_multiple_of(ALIGNMENT) {
        return Err(Broken::new("FileOffset", "a multiple of 1 MiB, not 0", offset.to_string()));
    }
    if length == 0 || !u64::from(length).is_multiple_of(ALIGNMENT) {
        return Err(Broken::new("Length", "a multiple of 1 MiB, not 0", length.to_string()));
    }
    let end = offset
        .checked_add(u64::from(length))
        .ok_or_else(|| Broken::new("FileOffset", "a place within 2^64 bytes", offset.to_string()))?;
    Ok((id, offset..end, required))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_table_is_told_in_words() {
        let unknown = vec![UnknownRegion { id: BAT, required: true, file: 4 << 20..5 << 20 }];
        let table = RegionTable { bat: 3 << 20..4 << 20, metadata: 2 << 20..3 << 20, unknown };
        assert_eq!(
            table.to_string(),
            "BAT at bytes 3145728 to 4194304, metadata at bytes 2097152 to 3145728, required region 2dc27766-f623-4200-9d64-115e9bfd4a08 at bytes 4194304 to 5242880"
        );
    }
}
