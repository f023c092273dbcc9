//! One random damage to one link of a forged chain.

use std::ops::Range;

use fixtures::bytes::Bytes;
use fixtures::chain::Chain;
use fixtures::damage::Damage;
use fixtures::random::Rng;
use fixtures::vhdx::header::{self, Header};
use fixtures::vhdx::{MIB, Places, metadata, region_table};

/// A link as damage leaves it.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) bytes: Vec<u8>,
    /// Reads of these bytes fail.
    pub(crate) unreadable: Vec<Range<u64>>,
    /// Bytes that are left of the file. It is cut last, for a write past its end would fill the gap with zeros.
    pub(crate) cut_to: u64,
    /// The file is gone.
    pub(crate) missing: bool,
}

impl Link {
    /// An undamaged one.
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Link { bytes, unreadable: Vec::new(), cut_to: u64::MAX, missing: false }
    }
}

/// Damages `links[number]`; tells in words what was done.
pub(crate) fn hit(links: &mut [Link], number: usize, chain: &Chain, rng: &mut Rng) -> String {
    let (youngest, places) = (number + 1 == links.len(), &chain.places[number]);
    let link = &mut links[number];
    let done = match rng.below(20) {
        0..4 => named(link, places, rng),
        4..8 => bat(link, places, rng),
        8 => bitmap(link, places, rng),
        9..11 => log(link, places, rng),
        11..13 => table(link, rng),
        13 => metadata_bit(link, places, rng),
        14 => differing_region_table(link, rng),
        15 => cut(link, places, rng),
        // Behind a tail that a replay brings back, junk would be taken for it.
        16 => grow(link, chain.logs[number].is_none(), rng),
        17..19 => unreadable(link, places, rng),
        _ if youngest => named(link, places, rng),
        _ if rng.chance(50) => {
            link.missing = true;
            "the file is gone".to_owned()
        }
        _ => other_identity(link, rng),
    };
    format!("link {number}: {done}")
}

/// A damage that has a name.
fn named(link: &mut Link, places: &Places, rng: &mut Rng) -> String {
    let all = Damage::every_kind(places);
    // Half of all kinds cut the file or spoil items of the metadata, which mostly ends in a refusal.
    let gentle = |damage: &Damage| !matches!(damage, Damage::MetadataItem(..) | Damage::Truncated(_));
    let mut damage = rng.pick(&all).clone();
    for _ in 0..if rng.chance(80) { 20 } else { 0 } {
        if gentle(&damage) {
            break;
        }
        damage = rng.pick(&all).clone();
    }
    // The same to another block than the first.
    if let (Damage::PayloadEntry(_, kind), Some(block)) = (&damage, any_block(places, rng)) {
        damage = Damage::PayloadEntry(block, *kind);
    }
    match &damage {
        Damage::Truncated(size) => link.cut_to = link.cut_to.min(*size),
        // Where the table is spoilt already, it leads anywhere.
        Damage::MetadataItem(..) | Damage::UnknownItem { .. } if !is_sound(link, places) => {}
        Damage::UnknownRegion { .. } if (1..=2).any(|copy| region_table::read(&link.bytes, copy).is_none()) => {}
        _ => damage.apply(&mut link.bytes, places),
    }
    format!("{damage:?}")
}

/// Whether the metadata table leads nowhere but into its region.
fn is_sound(link: &Link, places: &Places) -> bool {
    let entries = metadata::entries(&link.bytes, places.metadata.start);
    let within = |entry: &metadata::Entry| entry.item + u64::from(entry.length) <= places.metadata.end;
    entries.len() < 100 && entries.iter().all(within)
}

fn any_block(places: &Places, rng: &mut Rng) -> Option<u64> {
    let blocks: Vec<u64> = places.payload.keys().copied().collect();
    (!blocks.is_empty()).then(|| *rng.pick(&blocks))
}

/// A bit of a BAT entry, or the whole of one.
fn bat(link: &mut Link, places: &Places, rng: &mut Rng) -> String {
    let block = match any_block(places, rng) {
        Some(block) if rng.chance(80) => block,
        _ => rng.below(places.arrangement.payload_blocks),
    };
    let chunk = places.bitmaps.keys().next().filter(|_| rng.chance(15));
    let at = chunk.map_or(places.payload_entry(block), |chunk| places.bitmap_entry(*chunk));
    let old = link.bytes.u64_at(at);
    let new = match rng.below(4) {
        0 => old ^ 1 << rng.below(64),
        // A bit of the state, of the reserved ones, of a place in a small file.
        1 => old ^ 1 << *rng.pick(&[0, 1, 2, 3, 19, 20, 21, 22, 23, 24, 25, 40]),
        2 => old & 7 | rng.below(places.file_size / MIB + 2) << 20,
        _ => {
            let other = any_block(places, rng).map_or(0, |block| link.bytes.u64_at(places.payload_entry(block)));
            old & 7 | other & !7
        }
    };
    link.bytes.write_at(at, &new.to_le_bytes());
    format!("BAT entry at {at:#x} of block {block} or chunk {chunk:?}: {old:#x} becomes {new:#x}")
}

/// A bit of a sector bitmap, or a sector of it.
fn bitmap(link: &mut Link, places: &Places, rng: &mut Rng) -> String {
    let bitmaps: Vec<_> = places.bitmaps.values().cloned().collect();
    if bitmaps.is_empty() {
        return bat(link, places, rng);
    }
    let start = rng.pick(&bitmaps).start;
    // Small disks use the first bytes of a bitmap.
    let at = start + if rng.chance(80) { rng.below(2048) } else { rng.below(MIB) };
    if rng.chance(70) { flip(link, at, rng) } else { zero(link, at..at + 512) }
}

fn log(link: &mut Link, places: &Places, rng: &mut Rng) -> String {
    let sectors = (places.log.end - places.log.start) / 4096;
    // The ring begins anywhere: sectors that hold something are drawn.
    let used = |sector: &u64| link.bytes.u64_at(places.log.start + sector * 4096) != 0;
    let used: Vec<u64> = (0..sectors).filter(used).collect();
    let sector = if used.is_empty() { rng.below(sectors) } else { *rng.pick(&used) };
    let at = places.log.start + sector * 4096;
    match rng.below(3) {
        0 => flip(link, at + rng.below(128), rng),
        1 => flip(link, at + rng.below(4096), rng),
        _ => zero(link, at..at + 4096),
    }
}

/// A bit of the file type identifier, of a header or of a region table. Their checksums are not mended.
fn table(link: &mut Link, rng: &mut Rng) -> String {
    let starts = [0, header::OFFSETS[0], header::OFFSETS[1], region_table::OFFSETS[0], region_table::OFFSETS[1]];
    let start = *rng.pick(&starts);
    if rng.chance(70) { flip(link, start + rng.below(96), rng) } else { zero(link, start..start + 4096) }
}

fn metadata_bit(link: &mut Link, places: &Places, rng: &mut Rng) -> String {
    let lines = places.metadata.start..places.metadata.start + 32 + 7 * 32;
    let items = metadata::entries(&link.bytes, places.metadata.start);
    let items: Vec<Range<u64>> =
        items.iter().map(|item| item.item..item.item + u64::from(item.length.clamp(1, 512))).collect();
    let range = if rng.chance(50) || items.is_empty() { lines } else { rng.pick(&items).clone() };
    let at = rng.between(range.start, range.end - 1).min(places.metadata.end - 1);
    flip(link, at, rng)
}

/// One of the region tables holds and tells another place for a region than the other one does.
fn differing_region_table(link: &mut Link, rng: &mut Rng) -> String {
    let copy = rng.between(1, 2) as usize;
    if region_table::read(&link.bytes, copy).is_none() {
        return table(link, rng);
    }
    let (index, place) = (rng.below(2) as usize, (1 + rng.below(12)) * MIB);
    region_table::edit(&mut link.bytes, copy, |entries| {
        if let Some(entry) = entries.get_mut(index) {
            entry.file_offset = place;
        }
    });
    format!("region table {copy} holds and has entry {index} at {place:#x}")
}

fn cut(link: &mut Link, places: &Places, rng: &mut Rng) -> String {
    let size = link.bytes.size();
    // Most cuts leave the structures alone, which often stand first.
    let low = if rng.chance(80) { places.metadata.end.max(places.bat.end).min(size) } else { 0 };
    let at = rng.between(low, size);
    link.cut_to = link.cut_to.min(at);
    format!("cut to {at:#x}")
}

fn grow(link: &mut Link, junk: bool, rng: &mut Rng) -> String {
    let mut more = vec![0; rng.between(1, 3 * MIB) as usize];
    if junk && rng.chance(50) {
        rng.fill(&mut more);
    }
    link.bytes.extend_from_slice(&more);
    format!("{} bytes stand behind its end", more.len())
}

/// Bytes that the host cannot read.
fn unreadable(link: &mut Link, places: &Places, rng: &mut Rng) -> String {
    let mut targets = vec![0..MIB, places.log.clone(), places.bat.start..places.bat.start + 4096];
    targets.push(places.metadata.start..places.metadata.start + 128 * 1024);
    targets.extend(places.bitmaps.values().map(|bitmap| bitmap.start..bitmap.start + 4096));
    targets.extend(any_block(places, rng).map(|block| places.payload[&block].clone()));
    targets.push(0..places.file_size);
    let target = rng.pick(&targets).clone();
    let start = rng.between(target.start, target.end - 1);
    let longest = *rng.pick(&[1, 4096, 70_000, MIB]);
    let range = start..start + rng.between(1, longest);
    link.unreadable.push(range.clone());
    format!("the host cannot read {range:#x?}")
}

/// The file is that of another day: another DataWriteGuid in both headers.
fn other_identity(link: &mut Link, rng: &mut Rng) -> String {
    for copy in 1..=2 {
        if Header::read(&link.bytes, copy).is_some() {
            Header::edit(&mut link.bytes, copy, |header| header.data_write_guid = rng.guid());
        }
    }
    "it bears another identity".to_owned()
}

fn flip(link: &mut Link, at: u64, rng: &mut Rng) -> String {
    let bit = rng.below(8);
    if let Some(byte) = link.bytes.get_mut(at as usize) {
        *byte ^= 1 << bit;
    }
    format!("bit {bit} of byte {at:#x} turned")
}

fn zero(link: &mut Link, range: Range<u64>) -> String {
    let end = range.end.min(link.bytes.size());
    if let Some(bytes) = link.bytes.get_mut(range.start as usize..end as usize) {
        bytes.fill(0);
    }
    format!("bytes {range:#x?} became zeros")
}
