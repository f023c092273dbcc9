//! The parent locator item: [MS-VHDX] 2.6.2.6.

use crate::bytes::{Guid, len_u64, u16_le, u32_le, utf16_le};
use crate::format::broken::Broken;
use crate::layer::{ParentPlace, ParentRecord, PlaceKind};

const VHDX_LOCATOR_TYPE: Guid =
    Guid::from_fields(0xb04a_efb7, 0xd19e, 0x4a81, [0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13]);

const HEADER_LENGTH: usize = 20;
const ENTRY_LENGTH: usize = 12;

/// Parses the item. Entries that break a rule are left out and named in `problems`; the others still help.
pub(super) fn parse(item: &[u8], problems: &mut Vec<Broken>) -> Result<ParentRecord, Broken> {
    let cut = || Broken::cut(20, len_u64(item));
    let locator_type = Guid::read(item, 0).ok_or_else(cut)?;
    if locator_type != VHDX_LOCATOR_TYPE {
        return Err(Broken::new("LocatorType", VHDX_LOCATOR_TYPE.to_string(), locator_type.to_string()));
    }
    let count = u16_le(item, 18).ok_or_else(cut)?;
    let entries = item.get(HEADER_LENGTH..).unwrap_or_default().chunks_exact(ENTRY_LENGTH);
    if entries.len() < usize::from(count) {
        problems.push(Broken::new("KeyValueCount", format!("at most {}", entries.len()), count.to_string()));
    }
    let mut pairs = Vec::new();
    for entry in entries.take(usize::from(count)) {
        match parse_entry(item, entry) {
            Some(pair) => pairs.push(pair),
            None => {
                problems.push(Broken::new("KeyOffset or ValueOffset", "a place within the item", "one past its end"));
            }
        }
    }
    Ok(record(&pairs, problems))
}

fn parse_entry(item: &[u8], entry: &[u8]) -> Option<(String, String)> {
    let text = |offset: usize, length: usize| -> Option<String> {
        let start = usize::try_from(u32_le(entry, offset)?).ok()?;
        let end = start.checked_add(usize::from(u16_le(entry, length)?))?;
        let units = utf16_le(item.get(start..end)?);
        // The format does not terminate its strings; some writers do.
        Some(String::from_utf16_lossy(&units).trim_end_matches('\0').to_owned())
    };
    Some((text(0, 8)?, text(4, 10)?))
}

fn record(pairs: &[(String, String)], problems: &mut Vec<Broken>) -> ParentRecord {
    let value = |key: &str| pairs.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
    let mut guid = |key: &'static str| {
        let text = value(key)?;
        let guid = Guid::parse(text);
        if guid.is_none() {
            problems.push(Broken::new(key, "a GUID", format!("{text:?}")));
        }
        guid
    };
    let linkage = guid("parent_linkage");
    // Windows writes zeros where no merge is under way; they match nothing.
    let linkage2 = guid("parent_linkage2").filter(|guid| !guid.is_zero());
    let places = [
        ("relative_path", PlaceKind::Relative),
        ("volume_path", PlaceKind::Volume),
        ("absolute_win32_path", PlaceKind::Absolute),
    ];
    let places = places
        .into_iter()
        .filter_map(|(key, kind)| Some(ParentPlace { kind, path: value(key)?.to_owned() }))
        .filter(|place| !place.path.is_empty())
        .collect();
    ParentRecord { linkage, linkage2, places }
}
