//! A parent locator under a wrong ItemId: [MS-VHDX] 2.6.1.2 and 2.6.2.6.
//!
//! Unlike other items a parent locator says itself what it is: it begins with its LocatorType. So where the table has none, and
//! an item that is not known begins so, only its id is wrong. Several such items tell nothing.

use super::items::{KNOWN, METADATA_TABLE, PARENT_LOCATOR};
use super::table::TableEntry;
use crate::report::{Code, Finding, Severity};

/// Gives the line that leads to the locator its right id, where the table has no line of that id. `begins_as_locator` looks at
/// the item that a line leads to.
pub(super) fn mend_locator(
    entries: &mut [TableEntry],
    at: u64,
    mut begins_as_locator: impl FnMut(&TableEntry) -> bool,
) -> Option<Finding> {
    if has_locator(entries) {
        return None;
    }
    let is_unknown = |entry: &TableEntry| !entry.is_user && !KNOWN.contains(&entry.item_id);
    let mut found = entries.iter_mut().filter(|entry| is_unknown(entry) && begins_as_locator(entry));
    let entry = found.next()?;
    if found.next().is_some() {
        return None;
    }
    let text = format!(
        "the id of an item is {}, which is not known; the item is a parent locator by its LocatorType, and there is no other, so it is read as that",
        entry.item_id
    );
    entry.item_id = PARENT_LOCATOR;
    let finding = Finding::new(Code::MetadataItemBad, Severity::Warning, text).at(METADATA_TABLE, at);
    Some(finding.advise("nothing, where the parent is found: its identity proves it; else --parent FILE names it"))
}

/// Whether the table leads to a parent locator.
pub(super) fn has_locator(entries: &[TableEntry]) -> bool {
    entries.iter().any(|entry| entry.item_id == PARENT_LOCATOR && !entry.is_user)
}
