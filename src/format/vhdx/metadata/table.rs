//! The metadata table: [MS-VHDX] 2.6.1, the first 64 KiB of the metadata region.

use crate::bytes::{Guid, array, len_u64, u16_le, u32_le};
use crate::format::broken::Broken;

/// The first eight bytes of the metadata table.
pub(in crate::format::vhdx) const SIGNATURE: [u8; 8] = *b"metadata";
/// Bytes of the metadata table. Items stand behind it.
pub(in crate::format::vhdx) const LENGTH: usize = 64 << 10;

const HEADER_LENGTH: usize = 32;
const ENTRY_LENGTH: usize = 32;
const MAX_ENTRIES: u16 = 2047;

/// One entry of the metadata table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TableEntry {
    pub(super) item_id: Guid,
    /// From the start of the metadata region.
    pub(super) offset: u32,
    /// In bytes.
    pub(super) length: u32,
    /// The item belongs to a user of the file, not to the format: its id means something else.
    pub(super) is_user: bool,
    /// A reader that does not know the item must not open the file.
    pub(super) is_required: bool,
}

/// Parses the metadata table. Whether an item stands where it may is checked when the item is read. Signature or count may
/// not hold (the second value); all lines that are not empty are then entries, and the items that they name decide.
pub(super) fn parse(bytes: &[u8]) -> Result<(Vec<TableEntry>, Option<Broken>), Broken> {
    let cut = || Broken::cut(65536, len_u64(bytes));
    let bytes = bytes.get(..LENGTH).ok_or_else(cut)?;
    let signature: [u8; 8] = array(bytes, 0).ok_or_else(cut)?;
    let count = u16_le(bytes, 10).ok_or_else(cut)?;
    let broken = if signature != SIGNATURE {
        Some(Broken::new("Signature", "\"metadata\"", format!("\"{}\"", signature.escape_ascii())))
    } else if count > MAX_ENTRIES {
        Some(Broken::new("EntryCount", "at most 2047", count.to_string()))
    } else {
        None
    };
    let count = if broken.is_some() { MAX_ENTRIES } else { count };
    let entries = bytes.get(HEADER_LENGTH..).unwrap_or_default().chunks_exact(ENTRY_LENGTH).take(usize::from(count));
    let entries = entries.map(|entry| parse_entry(entry).ok_or_else(cut));
    // The last entry need not stand before the first line that is empty: that one may be damaged as well.
    let entries = entries.filter(|entry| broken.is_none() || entry.as_ref().is_ok_and(|e| !e.item_id.is_zero()));
    let entries = entries.collect::<Result<_, _>>()?;
    Ok((entries, broken))
}

/// The lines that stand right behind the last entry, where each has the form of one and only zeros follow.
pub(super) fn lines_behind(bytes: &[u8]) -> Option<Vec<TableEntry>> {
    let start = usize::from(u16_le(bytes, 10)?).checked_mul(ENTRY_LENGTH)?.checked_add(HEADER_LENGTH)?;
    let lines = bytes.get(start..LENGTH)?.chunks_exact(ENTRY_LENGTH);
    let used =
        lines.clone().rposition(|line| line.iter().any(|byte| *byte != 0)).map_or(0, |last| last.saturating_add(1));
    let has_form = |line: &&[u8]| u32_le(line, 24).is_some_and(|flags| flags <= 7) && line.ends_with(&[0; 4]);
    let entry = |line| Some(line).filter(has_form).and_then(parse_entry).filter(|entry| !entry.item_id.is_zero());
    lines.take(used).map(entry).collect()
}

/// Bytes of the table up to the end of its last entry; all of it where its header does not hold, so that it does not tell.
pub(super) fn used_length(bytes: &[u8]) -> u64 {
    let count = u16_le(bytes, 10).filter(|count| *count <= MAX_ENTRIES && bytes.starts_with(&SIGNATURE));
    let entries = count.map_or(LENGTH, |count| usize::from(count).saturating_mul(ENTRY_LENGTH));
    u64::try_from(entries.saturating_add(HEADER_LENGTH).min(LENGTH)).unwrap_or(u64::MAX)
}

fn parse_entry(entry: &[u8]) -> Option<TableEntry> {
    let flags = u32_le(entry, 24)?;
    Some(TableEntry {
        item_id: Guid::read(entry, 0)?,
        offset: u32_le(entry, 16)?,
        length: u32_le(entry, 20)?,
        is_user: flags & 1 != 0,
        is_required: flags & 4 != 0,
    })
}
