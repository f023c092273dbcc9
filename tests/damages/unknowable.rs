//! What no reader of the format can notice.
//!
//! VHDX has no checksums for payload, BAT, sector bitmaps and metadata items. So a damage to them that makes sense again
//! cannot be told from the truth, and its bytes of the disk are left out of the comparison:
//!
//! - a BAT entry that now bears another state of sense, or leads to a place in the file that is aligned, belongs to no
//!   structure, and is claimed by nobody else;
//! - a bit of a sector bitmap that counts;
//! - a metadata item, or the line that leads to it, that gives another lawful size;
//! - a region table that bears a checksum for the wrong places that it gives, where the other one is damaged;
//! - an entry of a dirty log before which an older complete sequence is left, and of which a sector is gone: so looks an entry
//!   that power cut off, and by the rule of the format that one never happened.
//!
//! Everything else must be noticed.

use std::ops::Range;

use fixtures::bytes::Bytes;
use fixtures::vhdx::bat::PayloadState;
use fixtures::vhdx::log::DirtyLog;
use fixtures::vhdx::{Image, Kind, MIB, Places, region_table};

use super::hit::Link;

/// Bits of a BAT entry between its state and its place.
const RESERVED_BITS: u64 = 0xF_FFF8;

/// One link before and after.
pub(crate) struct Spoilt<'a> {
    pub(crate) image: &'a Image,
    pub(crate) places: &'a Places,
    pub(crate) log: Option<&'a DirtyLog>,
    pub(crate) clean: &'a [u8],
    pub(crate) link: &'a Link,
}

impl Spoilt<'_> {
    /// Bytes of the disk whose map changed in a way that makes sense.
    pub(crate) fn map(&self) -> Vec<Range<u64>> {
        let mut ranges = Vec::new();
        for block in 0..self.places.arrangement.payload_blocks {
            if !self.is_noticed(block) {
                let size = u64::from(self.image.block_size);
                ranges.push(block * size..(block + 1) * size);
            }
        }
        for (chunk, bitmap) in &self.places.bitmaps {
            ranges.extend(self.bits(*chunk, bitmap));
            ranges.extend(self.bitmap_entry(*chunk));
        }
        ranges
    }

    /// Whether the entries that a replay needs were hit, so that another sequence may be the active one.
    pub(crate) fn is_log_hit(&self) -> bool {
        let Some(log) = self.log else { return false };
        let ring = self.places.log.end - self.places.log.start;
        let active = log.active_bytes();
        let hit = |byte: u64| {
            let at = (self.places.log.start + byte % ring) as usize;
            self.clean.get(at) != self.link.bytes.get(at)
        };
        active.clone().any(hit) || active.is_empty()
    }

    /// Whether a part of the log cannot be read while the forge left a complete older sequence where no writer would: what
    /// follows it in the ring is not what came after it.
    pub(crate) fn has_stray_sequence(&self) -> bool {
        let Some(log) = self.log else { return false };
        let stray = log.stale.iter().any(|stale| stale.log_guid == log.log_guid);
        let touches = |bad: &Range<u64>| bad.start < self.places.log.end && self.places.log.start < bad.end;
        stray && (self.link.unreadable.iter().any(touches) || self.size() < self.places.log.end)
    }

    /// Whether the only region table that holds is false: its checksum was made for what it says.
    pub(crate) fn has_false_table(&self) -> bool {
        // More entries than there can be are none.
        let read = |bytes: &Vec<u8>, copy| region_table::read(bytes, copy).filter(|entries| entries.len() < 2048);
        let tables = |bytes: &Vec<u8>| [1, 2].map(|copy| read(bytes, copy));
        let (before, now) = (tables(&self.clean.to_vec()), tables(&self.link.bytes));
        let unreadable = |copy: usize| {
            let start = region_table::OFFSETS[copy];
            self.link.unreadable.iter().any(|bad| bad.start < start + 65_536 && start < bad.end)
        };
        let good: Vec<_> = (0..2).filter(|copy| now[*copy].is_some() && !unreadable(*copy)).collect();
        matches!(good[..], [one] if before[one].is_some() && now[one] != before[one])
    }

    fn size(&self) -> u64 {
        self.link.bytes.size()
    }

    fn now(&self, at: u64) -> u64 {
        self.link.bytes.u64_at(at)
    }

    fn before(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.clean[at as usize..at as usize + 8]);
        u64::from_le_bytes(bytes)
    }

    /// Whether a reader must notice what became of the entry of a payload block, if anything did.
    fn is_noticed(&self, block: u64) -> bool {
        let at = self.places.payload_entry(block);
        let (old, new) = (self.before(at), self.now(at));
        // A dirty log may bring the entry back, or not.
        if old == new || self.is_bat_gone() {
            return true;
        }
        if self.log.is_some() {
            return false;
        }
        let differencing = self.image.kind == Kind::Differencing;
        let (was, is) = (PayloadState(old as u8 & 7), PayloadState(new as u8 & 7));
        let claims =
            |state: PayloadState| state == PayloadState::FULLY_PRESENT || state == PayloadState::PARTIALLY_PRESENT;
        match is {
            _ if new & RESERVED_BITS != 0 => true,
            PayloadState::RESERVED => true,
            PayloadState::PARTIALLY_PRESENT if !differencing => true,
            // Which sectors are whose is as before; where this file's stand cannot be, or is claimed twice.
            PayloadState::PARTIALLY_PRESENT if was == is => !self.is_possible(new) || self.is_contested(block),
            PayloadState::FULLY_PRESENT => !self.is_possible(new) || self.is_contested(block),
            _ => was == is && !claims(is),
        }
    }

    /// All entries that can be read were, so that no place is claimed twice unseen.
    fn is_contested(&self, block: u64) -> bool {
        let unread = |bad: &Range<u64>| bad.start < self.places.bat.end && self.places.bat.start < bad.end;
        if self.link.unreadable.iter().any(unread) || self.size() < self.places.bat.end {
            return false;
        }
        let size = u64::from(self.image.block_size);
        let place = |entry: u64, length: u64| (entry >> 20 << 20)..(entry >> 20 << 20) + length;
        let own = place(self.now(self.places.payload_entry(block)), size);
        let meets = |other: &Range<u64>| {
            let shared = own.start.max(other.start)..own.end.min(other.end);
            shared.start < shared.end && shared.start < self.size()
        };
        let payload = (0..self.places.arrangement.payload_blocks).filter(|other| *other != block);
        let mut payload = payload.map(|other| self.now(self.places.payload_entry(other)));
        let by_payload = payload.any(|entry| {
            let differencing = self.image.kind == Kind::Differencing;
            let claims = matches!(entry & 7, 6) || entry & 7 == 7 && differencing;
            claims && self.is_possible(entry) && meets(&place(entry, size))
        });
        by_payload
            || self.places.bitmaps.keys().any(|chunk| {
                let entry = self.now(self.places.bitmap_entry(*chunk));
                entry & 7 == 6 && self.is_possible_place(entry, MIB) && meets(&place(entry, MIB))
            })
    }

    fn is_possible(&self, entry: u64) -> bool {
        self.is_possible_place(entry, u64::from(self.image.block_size))
    }

    /// Whether a block of this length can stand where an entry says.
    fn is_possible_place(&self, entry: u64, length: u64) -> bool {
        let start = entry >> 20 << 20;
        let Some(end) = start.checked_add(length) else { return false };
        let structures = [0..MIB, self.places.log.clone(), self.places.metadata.clone(), self.places.bat.clone()];
        let apart = |one: &Range<u64>| end <= one.start || one.end <= start;
        entry & RESERVED_BITS == 0 && start < self.size() && structures.iter().all(apart)
    }

    /// The BAT cannot be had at all.
    fn is_bat_gone(&self) -> bool {
        self.size() <= self.places.bat.start
    }

    /// Sectors whose bits of a bitmap changed, where they count.
    fn bits(&self, chunk: u64, bitmap: &Range<u64>) -> Vec<Range<u64>> {
        let sector = u64::from(self.image.logical_sector_size);
        let sectors_per_chunk = self.places.arrangement.chunk_ratio * self.image.sectors_per_block();
        let changed = (0..MIB).filter(|byte| {
            let at = (bitmap.start + byte) as usize;
            self.link.bytes.get(at).is_some_and(|now| *now != self.clean[at])
        });
        let partial = |number: &u64| {
            let block = number * sector / u64::from(self.image.block_size);
            self.image.blocks.get(&block).is_some_and(|block| block.state == PayloadState::PARTIALLY_PRESENT)
        };
        let sectors = changed.flat_map(|byte| byte * 8..byte * 8 + 8).map(|bit| chunk * sectors_per_chunk + bit);
        sectors.filter(partial).map(|number| number * sector..(number + 1) * sector).collect()
    }

    /// The bytes that a bitmap describes, where its entry leads elsewhere without a sign.
    fn bitmap_entry(&self, chunk: u64) -> Option<Range<u64>> {
        let at = self.places.bitmap_entry(chunk);
        let (old, new) = (self.before(at), self.now(at));
        let length = self.places.arrangement.chunk_ratio * u64::from(self.image.block_size);
        let possible = new & 7 == 6 && self.is_possible_place(new, MIB);
        let unseen = old != new && (self.log.is_some() || possible && !self.is_bitmap_contested(new));
        unseen.then(|| chunk * length..(chunk + 1) * length)
    }

    fn is_bitmap_contested(&self, entry: u64) -> bool {
        let unread = |bad: &Range<u64>| bad.start < self.places.bat.end && self.places.bat.start < bad.end;
        if self.link.unreadable.iter().any(unread) || self.size() < self.places.bat.end {
            return false;
        }
        let (start, size) = (entry >> 20 << 20, u64::from(self.image.block_size));
        (0..self.places.arrangement.payload_blocks).any(|block| {
            let other = self.now(self.places.payload_entry(block));
            let place = other >> 20 << 20;
            let claims = other & 7 == 6 || other & 7 == 7 && self.image.kind == Kind::Differencing;
            claims && self.is_possible(other) && place < start + MIB && start < place + size
        })
    }
}
