//! Lines of the metadata table that its EntryCount leaves out: [MS-VHDX] 2.6.1.
//!
//! A count that is too small is a lawful one, and what stands behind the last entry of a lawful table means nothing. So the
//! lines there count only where the table cannot do without them, and where they have the form that writers give to lines.

use super::items::{FILE_PARAMETERS, KNOWN, PARENT_LOCATOR};
use super::table::{self, TableEntry};

/// The lines behind the last entry, if the table lacks an item without which no disk is, and they have it. `None` also where any
/// of them is not like a line of this table, or is not the only one for its item. `has_parent` reads that bit from the item that
/// a line leads to.
pub(super) fn lines(
    bytes: &[u8],
    region_length: u64,
    has_parent: impl FnOnce(&TableEntry) -> Option<bool>,
) -> Option<Vec<TableEntry>> {
    let (counted, broken) = table::parse(bytes).ok()?;
    let behind = table::lines_behind(bytes).filter(|lines| broken.is_none() && !lines.is_empty())?;
    let all: Vec<&TableEntry> = counted.iter().chain(&behind).collect();
    is_like_a_table(&all, region_length).then_some(())?;
    let leads_to = |id| move |entry: &&TableEntry| entry.item_id == id && !entry.is_user;
    let is_missed = |id| !counted.iter().any(|entry| leads_to(id)(&entry)) && behind.iter().any(|e| leads_to(id)(&e));
    let lacks_required = KNOWN.iter().any(|id| *id != PARENT_LOCATOR && is_missed(*id));
    let lacks_parent = || {
        let parameters = all.iter().copied().find(leads_to(FILE_PARAMETERS));
        is_missed(PARENT_LOCATOR) && parameters.and_then(has_parent) == Some(true)
    };
    (lacks_required || lacks_parent()).then_some(behind)
}

/// Whether each of the lines leads to an item of its own, in its own place behind the table.
fn is_like_a_table(lines: &[&TableEntry], region_length: u64) -> bool {
    let mut ids: Vec<_> = lines.iter().map(|line| (line.item_id.0, line.is_user)).collect();
    ids.sort_unstable();
    let is_repeated = ids.iter().zip(ids.iter().skip(1)).any(|(one, next)| one == next);
    let mut places: Vec<_> = lines
        .iter()
        .map(|line| (u64::from(line.offset), u64::from(line.offset).saturating_add(u64::from(line.length))))
        .collect();
    places.sort_unstable();
    let mut free_from = u64::try_from(table::LENGTH).unwrap_or(u64::MAX);
    let are_apart = places.iter().all(|(start, end)| {
        let is_apart = *start >= free_from && end > start;
        free_from = *end;
        is_apart
    });
    are_apart && free_from <= region_length && !is_repeated
}
