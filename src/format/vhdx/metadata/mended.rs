//! The lines of the metadata table, mended where it is certain what they should say.

use super::items::{
    FILE_PARAMETERS, KNOWN, LOGICAL_SECTOR_SIZE, METADATA_TABLE, PHYSICAL_SECTOR_SIZE, VIRTUAL_DISK_ID,
    VIRTUAL_DISK_SIZE,
};
use super::table::{self, TableEntry};
use crate::bytes::Guid;
use crate::error::Result;
use crate::format::broken::Broken;
use crate::report::{Code, Finding, Severity};

/// Items whose length the format gives: [MS-VHDX] 2.6.2.
const LENGTHS: [(Guid, u32); 5] = [
    (FILE_PARAMETERS, 8),
    (VIRTUAL_DISK_SIZE, 8),
    (VIRTUAL_DISK_ID, 16),
    (LOGICAL_SECTOR_SIZE, 4),
    (PHYSICAL_SECTOR_SIZE, 4),
];

/// Bytes of the smallest item: writers put all of them at multiples of it.
const ALIGNMENT: u32 = 4;

/// Bits of an item's id that may be wrong for it still to be that item. Ids of the format differ in more than 40.
const MAX_WRONG_BITS: u32 = 8;

/// The entries of the table, mended where it is certain what they should say. Those that its count leaves out are `uncounted`.
pub(super) fn entries(
    table: &[u8],
    uncounted: Vec<TableEntry>,
    at: u64,
    findings: &mut Vec<Finding>,
) -> Result<Vec<TableEntry>> {
    let told_before = findings.len();
    let (mut entries, broken) = table::parse(table).map_err(|broken| broken.error(METADATA_TABLE, at))?;
    if let Some(broken) = broken {
        if !entries.iter().any(|entry| KNOWN.contains(&entry.item_id)) {
            return Err(broken.error(METADATA_TABLE, at));
        }
        // What stands behind the last entry is not known to be one.
        entries.retain(|entry| KNOWN.contains(&entry.item_id));
        findings.push(broken.finding(
            Code::MetadataTableBad,
            Severity::Warning,
            (METADATA_TABLE, at),
            "its entries are used",
        ));
    }
    if !uncounted.is_empty() {
        let found = entries.len().to_string();
        entries.extend(uncounted);
        let broken = Broken::new("EntryCount", entries.len().to_string(), found);
        let instead = "the lines behind the last entry are used, for it lacks what they lead to";
        findings.push(broken.finding(Code::MetadataTableBad, Severity::Warning, (METADATA_TABLE, at), instead));
    }
    for id in KNOWN {
        if entries.iter().any(|entry| entry.item_id == id) {
            continue;
        }
        let near = |entry: &&mut TableEntry| wrong_bits(entry.item_id, id) <= MAX_WRONG_BITS;
        if let Some(entry) = entries.iter_mut().find(near) {
            let text = format!(
                "the id of an item is {} and is read as {id}, from which it differs in a few bits",
                entry.item_id
            );
            findings.push(Finding::new(Code::MetadataItemBad, Severity::Warning, text).at(METADATA_TABLE, at));
            entry.item_id = id;
        }
    }
    for (id, length) in LENGTHS {
        // A line that leads nowhere says that there is no item.
        let is_it = |entry: &&mut TableEntry| entry.item_id == id && entry.offset > 0;
        if entries.iter().any(|entry| entry.item_id == id && !entry.is_user && entry.length == length) {
            continue;
        }
        let Some(entry) = entries.iter_mut().find(is_it) else { continue };
        let found = format!("{} bytes{}", entry.length, if entry.is_user { ", of the user" } else { "" });
        let text = format!("the line of item {id} says what it cannot be; the item is read as the format has it");
        let finding = Finding::new(Code::MetadataItemBad, Severity::Warning, text).at(METADATA_TABLE, at);
        findings.push(finding.versus(format!("{length} bytes, of the format"), found));
        (entry.is_user, entry.length) = (false, length);
    }
    findings.extend(at_odd_places(&entries, at, findings.len() > told_before));
    Ok(entries)
}

/// That items stand at odd places, if any do. One of them among others that do not was damaged, it seems; so does what has
/// other damage. Several that are whole stand where their writer put them.
fn at_odd_places(entries: &[TableEntry], at: u64, is_damaged: bool) -> Option<Finding> {
    let is_odd =
        |id: &Guid| entries.iter().any(|entry| entry.item_id == *id && !entry.offset.is_multiple_of(ALIGNMENT));
    let odd: Vec<String> = LENGTHS.iter().map(|(id, _)| id).filter(|id| is_odd(id)).map(Guid::to_string).collect();
    let named = odd.join(", ");
    let (severity, text) = match odd.len() {
        0 => return None,
        1 => (
            Severity::Warning,
            format!(
                "item {named} stands at an odd place, which the format allows and no writer chooses: its place may be damaged, and so what it says"
            ),
        ),
        _ if is_damaged => (
            Severity::Warning,
            format!(
                "the items {named} stand at odd places, which the format allows: they may be damaged, and so what they say"
            ),
        ),
        _ => (
            Severity::Information,
            format!("the items {named} stand at odd places, which the format allows and known writers do not choose"),
        ),
    };
    Some(Finding::new(Code::MetadataItemBad, severity, text).at(METADATA_TABLE, at))
}

/// Whether items stand in each other, which is told: then one of their places is wrong, and nothing tells which.
pub(super) fn items_overlap(entries: &[TableEntry], at: u64, findings: &mut Vec<Finding>) -> bool {
    // Of two lines for one item the first counts.
    let mut places: Vec<(u32, u32)> = KNOWN
        .iter()
        .filter_map(|id| entries.iter().find(|entry| entry.item_id == *id && !entry.is_user && entry.length > 0))
        .map(|entry| (entry.offset, entry.offset.saturating_add(entry.length)))
        .collect();
    places.sort_unstable();
    let overlap = places.iter().zip(places.iter().skip(1)).find(|((_, end), (start, _))| end > start);
    let Some(((first, _), (second, _))) = overlap else { return false };
    let text = format!(
        "the items at bytes {first} and {second} of the metadata region stand in each other: one of the two places is wrong, and all that the image tells is doubtful"
    );
    let finding = Finding::new(Code::MetadataItemBad, Severity::Error, text).at(METADATA_TABLE, at);
    findings.push(finding.advise("look for a copy of the file; --accept-doubtful serves what the table leads to"));
    true
}

fn wrong_bits(a: Guid, b: Guid) -> u32 {
    a.0.iter().zip(b.0).map(|(a, b)| (a ^ b).count_ones()).fold(0, u32::saturating_add)
}
