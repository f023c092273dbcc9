//! The parent locator item: [MS-VHDX] 2.6.2.6.

use crate::bytes::{Guid, len_u64, u16_le, u32_le, utf16_le};
use crate::format::broken::Broken;
use crate::layer::{ParentPlace, ParentRecord, PlaceKind};

pub(super) const VHDX_LOCATOR_TYPE: Guid =
    Guid::from_fields(0xb04a_efb7, 0xd19e, 0x4a81, [0xb7, 0x89, 0x25, 0xb8, 0xe9, 0x44, 0x59, 0x13]);

const HEADER_LENGTH: usize = 20;
const ENTRY_LENGTH: usize = 12;

/// The keys that are understood.
const KEYS: [&str; 5] = ["parent_linkage", "parent_linkage2", "relative_path", "volume_path", "absolute_win32_path"];
/// Those of them that say which image is the parent.
const LINKAGES: [&str; 2] = ["parent_linkage", "parent_linkage2"];
/// Bytes of a key that is looked at; a longer one, terminators included, is none of [`KEYS`].
const LONGEST_KEY: usize = 128;

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
    let mut contradicted = Vec::new();
    let mut misplaced = 0usize;
    for entry in entries.take(usize::from(count)) {
        match parse_entry(item, entry) {
            // The first of a name counts, unless a further one names another image, and of names that mean nothing here none is kept: their values may overlap, so
            // that together they are far larger than the item.
            Some((Some(key), value)) if pairs.iter().all(|(known, _)| *known != key) => pairs.push((key, text(value))),
            Some((Some(key), value)) => {
                if !contradicted.contains(&key) && contradicts(&pairs, key, value) {
                    contradicted.push(key);
                }
            }
            Some((None, _)) => {}
            None => misplaced = misplaced.saturating_add(1),
        }
    }
    if misplaced > 0 {
        let found = format!("one past its end (entries: {misplaced})");
        problems.push(Broken::new("KeyOffset or ValueOffset", "a place within the item", found));
    }
    // Nothing tells which of two identities is the parent's: neither proves it.
    for key in contradicted {
        problems.push(Broken::new(key, "one GUID", "several that differ"));
        pairs.retain(|(known, _)| *known != key);
    }
    Ok(record(&pairs, problems))
}

/// Whether a further value of a key names another image than the first one of that key does.
fn contradicts(pairs: &[(&'static str, String)], key: &str, value: &[u8]) -> bool {
    let first = pairs.iter().find(|(known, _)| *known == key).and_then(|(_, first)| Guid::parse(first));
    // A longer text is no GUID.
    let further = (value.len() <= LONGEST_KEY).then(|| Guid::parse(&text(value))).flatten();
    LINKAGES.contains(&key) && first != further
}

/// The key, where it is one of [`KEYS`], and the bytes of the value. `None` where one of them leaves the item.
fn parse_entry<'a>(item: &'a [u8], entry: &[u8]) -> Option<(Option<&'static str>, &'a [u8])> {
    let bytes = |offset: usize, length: usize| -> Option<&'a [u8]> {
        let start = usize::try_from(u32_le(entry, offset)?).ok()?;
        let end = start.checked_add(usize::from(u16_le(entry, length)?))?;
        item.get(start..end)
    };
    let (key, value) = (bytes(0, 8)?, bytes(4, 10)?);
    let key = (key.len() <= LONGEST_KEY).then(|| text(key));
    Some((key.and_then(|key| KEYS.into_iter().find(|known| *known == key)), value))
}

/// UTF-16LE as text. The format does not terminate its strings; some writers do.
fn text(bytes: &[u8]) -> String {
    String::from_utf16_lossy(&utf16_le(bytes)).trim_end_matches('\0').to_owned()
}

fn record(pairs: &[(&str, String)], problems: &mut Vec<Broken>) -> ParentRecord {
    let value = |key: &str| pairs.iter().find(|(k, _)| *k == key).map(|(_, value)| value.as_str());
    let mut guid = |key: &'static str| {
        let text = value(key)?;
        let guid = Guid::parse(text);
        if guid.is_none() {
            problems.push(Broken::new(key, "a GUID", format!("{text:?}")));
        }
        guid
    };
    let linkage = guid("parent_linkage");
    let spoilt = value("parent_linkage").filter(|text| linkage.is_none() && text.len() <= LONGEST_KEY);
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
    ParentRecord { linkage, spoilt_linkage: spoilt.map(ToOwned::to_owned), linkage2, places }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn item(entries: &[(u32, u32, u16, u16)]) -> Vec<u8> {
        let mut item = VHDX_LOCATOR_TYPE.0.to_vec();
        item.extend([0, 0]);
        item.extend(u16::try_from(entries.len()).unwrap().to_le_bytes());
        for (key, value, key_length, value_length) in entries {
            item.extend(key.to_le_bytes().into_iter().chain(value.to_le_bytes()));
            item.extend(key_length.to_le_bytes().into_iter().chain(value_length.to_le_bytes()));
        }
        item
    }

    #[test]
    fn texts_that_overlap_are_not_kept_by_the_gigabyte() {
        // 50,000 entries, each with a key and a value of 64 KiB, all in the same place: 6 GiB if they were kept.
        let mut bytes = item(&[(0, 0, 65534, 65534); 50_000]);
        bytes.resize(1 << 20, b'A');
        let started = Instant::now();
        let mut problems = Vec::new();
        let record = parse(&bytes, &mut problems).unwrap();
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert_eq!((record.linkage, record.places, problems), (None, Vec::new(), Vec::new()));
    }

    #[test]
    fn entries_that_leave_the_item_are_told_once() {
        let bytes = item(&[(0, u32::MAX, 2, 2); 60_000]);
        let mut problems = Vec::new();
        parse(&bytes, &mut problems).unwrap();
        assert_eq!(problems.len(), 1, "{problems:?}");
    }

    #[test]
    fn the_first_of_two_entries_of_one_key_counts() {
        let mut bytes = item(&[(44, 70, 26, 2), (44, 72, 26, 2)]);
        for unit in "relative_pathab".encode_utf16() {
            bytes.extend(unit.to_le_bytes());
        }
        let record = parse(&bytes, &mut Vec::new()).unwrap();
        assert_eq!(record.places, [ParentPlace { kind: PlaceKind::Relative, path: "a".to_owned() }]);
    }
}
