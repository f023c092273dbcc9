//! Which places of a file its log is for: the tables, and room that nothing owns, where a new table may come to stand.
//!
//! A log entry that does not hold and names another place has lost the right one.

use std::ops::{ControlFlow, Range};

use super::bat_walk::{Role, entries};
use super::log::PAGE;
use super::ownership::MAX_ENTRIES;
use super::region_table;
use super::resolve::Vhdx;
use crate::image::ReadAt;
use crate::ranges::meet;

impl Vhdx {
    /// Whether each of these places of the file is one that its log may change. `metadata` is the metadata region.
    pub(super) fn may_all_be_logged(&self, places: &[Range<u64>], metadata: &Range<u64>) -> bool {
        let region_table = |start: u64| start..start.saturating_add(u64::try_from(region_table::LENGTH).unwrap_or(0));
        let mut tables = vec![metadata.clone()];
        tables.extend(region_table::OFFSETS.map(region_table));
        let bat_in_use = self.bat.start..self.bat_in_use().end.next_multiple_of(PAGE);
        // Zeros for the whole BAT may be logged at once.
        let is_bat = |place: &Range<u64>| bat_in_use.contains(&place.start) && place.end <= self.bat.end;
        let is_table = |place: &Range<u64>| {
            is_bat(place) || tables.iter().any(|table| table.start <= place.start && place.end <= table.end)
        };
        let elsewhere: Vec<Range<u64>> = places.iter().filter(|place| !is_table(place)).cloned().collect();
        let forbidden = |place: &Range<u64>| {
            place.end > self.file.size() || self.structures.iter().any(|structure| meet(structure, place))
        };
        !elsewhere.iter().any(forbidden) && !self.is_any_payload(elsewhere)
    }

    /// Whether a payload block owns any of these bytes of the file. Of a very large BAT that is not said.
    fn is_any_payload(&self, mut places: Vec<Range<u64>>) -> bool {
        if places.is_empty() || self.needed_entries() > MAX_ENTRIES {
            return false;
        }
        places.sort_by_key(|place| place.start);
        places.dedup_by(|next, before| {
            let joins = next.start <= before.end;
            if joins {
                before.end = before.end.max(next.end);
            }
            joins
        });
        let mut any = false;
        let _ = entries(self, &mut |_| ControlFlow::Continue(()), &mut Vec::new(), &mut |seen, _| {
            if matches!(seen.role, Role::Payload(_))
                && let Some(length) = self.block_claimed_by(seen.entry, seen.role)
                && let Ok(start) = self.claimed(seen.entry, length)
            {
                let end = start.saturating_add(length);
                // The first place that does not end before the block.
                let next = places.partition_point(|place| place.end <= start);
                any = places.get(next).is_some_and(|place| place.start < end);
            }
            if any { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        any
    }
}
