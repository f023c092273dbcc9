//! Looking for the regions where both region tables are gone.
//!
//! The metadata region bears a signature. The BAT bears none, but its entries must fit ([`bat_candidate`](super::bat_candidate)). A
//! BAT that claims nothing is mostly zeros: it is wherever such stand that nothing else owns. What is found so is inferred, so all
//! of it is doubtful.

use std::ops::Range;

use super::bat::{BatShape, ENTRY_LENGTH, MIB};
use super::bat_candidate::{BatCandidate, MAX_ENTRIES, Wanted};
use super::region_table::{self, RegionTable};
use super::{bat_search, metadata};
use crate::Faults;
use crate::image::ReadAt;

/// Places that are looked at: the first 4 GiB of the file. Writers put the regions at its start.
const MAX_PLACES: u64 = 4096;

/// Claims that are kept of all would-be BATs together, which bounds the memory. In a file that holds more of them none is the BAT,
/// as far as can be told.
const MAX_CLAIMS: usize = 4 << 20;

/// Up to `UNMAPPED`, states name no place: [MS-VHDX] 2.5.1.1.
const LAST_STATE_WITHOUT_PLACE: u64 = 3;

/// The regions as far as they can be inferred, and whether all that was looked at of the BAT makes sense. `log` is where the log
/// stands, if a header tells.
pub(super) fn regions(file: &dyn ReadAt, log: Option<&Range<u64>>) -> Option<(RegionTable, bool)> {
    let wanted = wanted(file, log)?;
    let mut found: Vec<BatCandidate> = Vec::new();
    let mut claimed = 0usize;
    for candidate in places(file).filter_map(|place| wanted.look_at(file, place)) {
        claimed = claimed.saturating_add(candidate.claimed());
        if claimed > MAX_CLAIMS {
            return None;
        }
        found.push(candidate);
    }
    // Of two of which each one claims the other, none is known to be the inner one.
    let is_inner = |one: &BatCandidate| found.iter().any(|other| other.holds(one) && !one.holds(other));
    let outer = found.iter().filter(|one| !is_inner(one));
    let best = outer.max_by_key(|one| one.weight())?;
    let table = RegionTable { bat: best.region.clone(), metadata: wanted.metadata, unknown: Vec::new() };
    Some((table, best.is_flawless()))
}

/// The metadata, by their signature, and the BAT that they ask for.
fn wanted<'a>(file: &dyn ReadAt, log: Option<&'a Range<u64>>) -> Option<Wanted<'a>> {
    let (metadata, shape, has_parent) = places(file).find_map(|place| metadata_at(file, place))?;
    Some(Wanted { shape, has_parent, metadata, log })
}

/// The places where a region may begin.
pub(super) fn places(file: &dyn ReadAt) -> impl Iterator<Item = u64> + use<> {
    (1..file.size().div_ceil(MIB).min(MAX_PLACES)).map(|place| place.saturating_mul(MIB))
}

/// The regions of a disk of which no BAT claims a block: the metadata by its signature, and for the BAT the zeros right
/// behind it, where writers put it, or the only ones of its length. A clean log is zeros, too: it is none.
pub(super) fn regions_of_an_empty_disk(file: &dyn ReadAt, log: Option<&Range<u64>>) -> Option<RegionTable> {
    let wanted = wanted(file, log)?;
    let length = wanted.shape.entries_needed().checked_mul(ENTRY_LENGTH)?;
    let is_free = |place: &u64| {
        wanted.region(*place).is_some_and(|bat| !wanted.is_taken(&bat)) && claims_nothing(file, *place, length)
    };
    let place = Some(wanted.metadata.end).filter(is_free).or_else(|| {
        let mut free = places(file).filter(is_free);
        free.next().filter(|_| free.next().is_none())
    })?;
    Some(RegionTable { bat: wanted.region(place)?, metadata: wanted.metadata, unknown: Vec::new() })
}

/// Whether `length` bytes are in the file and a BAT that claims nothing, as far as they are looked at: zeros, but for entries
/// of blocks that are zeros or were given up.
fn claims_nothing(file: &dyn ReadAt, place: u64, length: u64) -> bool {
    let looked_at = length.min(MAX_ENTRIES.saturating_mul(ENTRY_LENGTH));
    let inside = place.checked_add(length).is_some_and(|end| end <= file.size());
    let bytes = usize::try_from(looked_at).ok().filter(|_| inside).and_then(|length| read(file, place, length));
    let is_state = |entry: &[u8; 8]| u64::from_le_bytes(*entry) <= LAST_STATE_WITHOUT_PLACE;
    bytes.is_some_and(|bytes| bytes.as_chunks::<8>().0.iter().all(is_state))
}

/// The regions where neither region tables nor a metadata table stand anywhere: the BAT by its content, the metadata region by the
/// items in it, which may be gone as well, and then it is empty. Tells how many other places the BAT may have. `block_size` is
/// what the user says, if anything.
pub(super) fn regions_without_metadata(
    file: &dyn ReadAt,
    log: Option<&Range<u64>>,
    block_size: Option<u32>,
) -> Option<(RegionTable, usize)> {
    let (found, others) = bat_search::bat(file, log, block_size)?;
    let bat = found.region;
    let is_metadata = |place: &u64| !bat.contains(place) && metadata::has_items_at(file, *place);
    let metadata = places(file).find(is_metadata).map_or(0..0, |place| place..place.saturating_add(MIB));
    Some((RegionTable { bat, metadata, unknown: Vec::new() }, others))
}

/// A region table whose signature or checksum does not hold, if its entries make sense: regions that are known, within the
/// file, and metadata where it has them.
pub(super) fn damaged_table(file: &dyn ReadAt, bytes: &[u8]) -> Option<RegionTable> {
    let table = RegionTable::parse_entries(bytes).ok()?;
    let inside = table.bat.start < file.size() && table.metadata.start < file.size();
    let makes_sense = table.unknown.is_empty() && inside && is_metadata_at(file, table.metadata.start);
    makes_sense.then_some(table)
}

/// Whether a file of which nothing else says that it is a VHDX holds the regions of one.
pub(in crate::format) fn holds_regions(file: &dyn ReadAt) -> bool {
    can_be_searched(file) && (regions(file, None).is_some() || regions_of_an_empty_disk(file, None).is_some())
}

/// Whether a file holds what can be a BAT. `block_size` is what the user says, if anything.
pub(in crate::format) fn holds_a_bat(file: &dyn ReadAt, block_size: Option<u32>) -> bool {
    can_be_searched(file) && bat_search::bat(file, None, block_size).is_some()
}

/// Whether one of the first places can be read. Where storage fails each of them takes long, and where it fails all over there is
/// nothing to be found.
fn can_be_searched(file: &dyn ReadAt) -> bool {
    const FIRST: usize = 3;
    places(file).take(FIRST).any(|place| read(file, place, 8).is_some())
}

/// Whether one of the two region tables of a VHDX holds.
pub(in crate::format) fn has_region_table(file: &dyn ReadAt) -> bool {
    let begins = |offset: &u64| read(file, *offset, 4).is_some_and(|bytes| bytes == region_table::SIGNATURE);
    let mut there = region_table::OFFSETS.into_iter().filter(begins);
    there.any(|offset| read(file, offset, region_table::LENGTH).is_some_and(|bytes| RegionTable::parse(&bytes).is_ok()))
}

/// Bytes of the file, if all of them can be read.
pub(super) fn read(file: &dyn ReadAt, place: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut faults = Faults::new();
    file.read_at(&mut bytes, place, &mut faults).ok()?;
    (!faults.any_lost()).then_some(bytes)
}

/// Whether the signature of a metadata region stands at a place. What cannot be read may be one.
pub(super) fn is_metadata_at(file: &dyn ReadAt, place: u64) -> bool {
    let mut signature = [0; 8];
    let mut faults = Faults::new();
    file.read_at(&mut signature, place, &mut faults).is_err()
        || faults.any_lost()
        || signature == metadata::TABLE_SIGNATURE
}

/// The metadata region at a place, if one is there that can be read: where it lies, and what BAT it asks for.
fn metadata_at(file: &dyn ReadAt, place: u64) -> Option<(Range<u64>, BatShape, bool)> {
    if !is_metadata_at(file, place) {
        return None;
    }
    let region = place..place.checked_add(MIB)?;
    let metadata = metadata::read(file, &region, true, &mut Vec::new()).ok()?;
    Some((region, BatShape::of(&metadata.geometry()?)?, metadata.parent.is_some()))
}
