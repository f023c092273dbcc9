//! The whole BAT and the sector bitmaps, read once to be checked.
//!
//! [`resolve`](super::resolve) judges an entry when its block is asked for. What only shows when all of them are seen is
//! told here: blocks that claim one place ([`overlaps`](super::overlaps)) and blocks that nothing owns. The rest is counted, so that each kind of damage is one finding.

use std::ops::{ControlFlow, Range};

use super::bat::{ENTRY_LENGTH, MIB, PayloadState};
use super::bat_walk::{PAYLOAD_ENTRY, Role, Seen, Tell, entries};
use super::bitmap_doubt::BlocksWithoutSectors;
use super::bitmap_noise::NoisyWindows;
use super::block_content::Look;
use super::claims::Claims;
use super::contradiction;
use super::file_end;
use super::kept_places::KeptPlaces;
use super::log::LogState;
use super::overlaps::name_claimants;
use super::overwritten::Overwritten;
use super::resolve::Vhdx;
use super::tally::{SEVERAL_PARTIAL, Tally};
use super::unowned::Unowned;
use super::unused_entries::UnusedEntries;
use crate::Faults;
use crate::image::ReadAt;
use crate::layer::{ContainerKind, MapDoubt, Verified};
use crate::report::Code;

/// Partially present blocks of which the bitmaps are looked at while an image is opened.
const MAX_BITMAPS: u64 = 4096;

/// Windows of 2 MiB with bits like noise whose sectors are read when an image is opened.
const MAX_NOISY: u64 = 16;

const BITMAP_ENTRY: &str = "BAT entry of a sector bitmap";

/// Reads the whole BAT, and the sector bitmaps that describe bytes of `disk`.
pub(super) fn verify(vhdx: &Vhdx, disk: Range<u64>, tell: &mut Tell<'_>) {
    let whole = !disk.is_empty();
    let mut survey = Survey {
        vhdx,
        disk,
        tally: Tally::default(),
        claims: Claims::of_file(vhdx.file.size()),
        owned: Claims::of_file(vhdx.file.size()),
        placed: 0,
        damaged: 0,
        any_kept: false,
        given_up: 0,
        unused: UnusedEntries::default(),
        out_of_place: 0,
        partial: Vec::new(),
        bitmaps_left: if whole { u64::MAX } else { MAX_BITMAPS },
        bitmaps: BlocksWithoutSectors::default(),
        noisy: NoisyWindows::at_most(if whole { u64::MAX } else { MAX_NOISY }),
        overwritten: Overwritten::default(),
        buf: vec![0; usize::try_from(MIB).unwrap_or(0)],
    };
    let mut unread = Vec::new();
    let read = entries(vhdx, tell, &mut unread, &mut |seen, tell| survey.look_at(&seen, tell));
    for at in unread {
        survey.tally.count(Code::BatUnreadable, ("BAT", at), || "a part of the BAT".to_owned());
    }
    let all_read = read.is_continue() && survey.tally.is_without(Code::BatUnreadable);
    if read.is_continue() {
        survey.count_missing_bitmap();
    }
    if all_read {
        survey.compare_with_file(tell);
    }
    survey.doubt_zeros(tell);
    let Survey { mut tally, claims, bitmaps, noisy, overwritten, .. } = survey;
    if read.is_continue() && claims.any_twice() {
        name_claimants(vhdx, &claims, &mut tally, tell);
    }
    let of_bitmaps = bitmaps.finding().into_iter().chain(noisy.finding());
    for finding in tally.findings(vhdx.file.size()).chain(of_bitmaps).chain(overwritten.findings()) {
        let _ = tell(Verified::Finding(finding));
    }
}

/// Judges each entry, counts, and marks what is claimed.
struct Survey<'a> {
    vhdx: &'a Vhdx,
    /// Bitmaps of these bytes of the disk are read.
    disk: Range<u64>,
    tally: Tally,
    claims: Claims,
    /// Places that belong to something: structures, blocks, and blocks that were trimmed and kept their place.
    owned: Claims,
    /// Payload blocks that have a place in the file.
    placed: u64,
    /// Entries whose damage leaves a block without an owner.
    damaged: u64,
    /// An entry that claims nothing names a place all the same.
    any_kept: bool,
    /// Entries whose block was given up, with its place: that may still hold what it held.
    given_up: u64,
    unused: UnusedEntries,
    /// Entries of sector bitmaps that claim a place in an image that has none.
    out_of_place: usize,
    /// Blocks of the present chunk that are partially present, so that its bitmap is needed.
    partial: Vec<u64>,
    /// Of so many more partially present blocks the bitmaps are looked at.
    bitmaps_left: u64,
    bitmaps: BlocksWithoutSectors,
    noisy: NoisyWindows,
    overwritten: Overwritten,
    buf: Vec<u8>,
}

impl Survey<'_> {
    fn look_at(&mut self, seen: &Seen, tell: &mut Tell<'_>) -> ControlFlow<()> {
        let disk = match seen.role {
            Role::Payload(block) => self.vhdx.disk_of(block),
            Role::Bitmap(_) => 0..0,
        };
        let depending = match seen.role {
            // A bitmap that no block needs places nothing.
            Role::Bitmap(chunk) if !self.partial.is_empty() => self.vhdx.bytes_of_chunk(chunk),
            _ => disk.clone(),
        };
        self.overwritten.look_at_entry(self.vhdx, seen.at, depending);
        self.unused.look_at(seen.at, seen.entry, seen.role, &disk);
        match seen.role {
            Role::Payload(block) if block < self.vhdx.shape.payload_blocks => self.payload(block, seen),
            Role::Payload(_) => {}
            Role::Bitmap(chunk) => {
                let partial = std::mem::take(&mut self.partial);
                if self.vhdx.is_differencing() {
                    return self.bitmap(chunk, seen, &partial, tell);
                }
                self.out_of_place = self.out_of_place.saturating_add(usize::from(seen.entry.bitmap_present()));
            }
        }
        ControlFlow::Continue(())
    }

    /// Compares what the BAT says with what stands in the file: blocks that nothing owns, and signs of other sizes. Blocks
    /// without an owner are explained where as many entries are damaged, and what a torn log lost is told with it.
    fn compare_with_file(&mut self, tell: &mut Tell<'_>) {
        let vhdx = self.vhdx;
        for structure in &vhdx.structures {
            self.owned.claim(structure.clone());
        }
        let behind = contradiction::claims_behind(vhdx);
        // Who asks for bitmaps of the disk wants it all.
        let look = if self.disk.is_empty() { Look::QUICK } else { Look::THOROUGH };
        if self.any_kept {
            KeptPlaces::of(vhdx, &self.claims, &mut self.owned, look, tell).tell(vhdx, tell);
        }
        // What is cut is told of each block.
        let told = [Code::BlockPastEnd, Code::BitmapUnreadable].iter().any(|code| !self.tally.is_without(*code));
        if let Some(finding) = (!told).then(|| file_end::finding(vhdx)).flatten() {
            let _ = tell(Verified::Finding(finding));
        }
        let with_cut = !self.unused.empty_pages().is_empty();
        let unowned = Unowned::in_stretches(vhdx, look, with_cut, |each| self.owned.each_unclaimed(each));
        if behind > 0 || self.out_of_place > 0 || self.claims.any_twice() || unowned.filled() > 0 {
            contradiction::tell(vhdx, behind, tell);
        }
        let explained = self.damaged.saturating_add(behind);
        let tells_nothing = self.placed == 0 && self.given_up == 0 && explained == 0 && !self.any_kept;
        if let Some(finding) = tells_nothing.then(|| unowned.finding_of_empty_room(vhdx)).flatten() {
            let _ = tell(Verified::Finding(finding));
        }
        if unowned.filled() > explained && vhdx.log_state() != LogState::Torn {
            // Judged alike whoever asks, or a check would doubt what a mount serves.
            let judged = match self.disk.is_empty() {
                true => None,
                false => {
                    Some(Unowned::in_stretches(vhdx, Look::QUICK, with_cut, |each| self.owned.each_unclaimed(each)))
                }
            };
            let judged = judged.as_ref().unwrap_or(&unowned);
            let doubted = judged.doubted(vhdx, &mut self.unused, explained.saturating_add(self.given_up), self.placed);
            let _ = tell(Verified::Finding(unowned.finding(vhdx, &mut self.unused, &doubted)));
            for disk in doubted.disk {
                let doubt = MapDoubt { disk, code: Code::BlocksUnowned };
                let _ = tell(Verified::Doubt(doubt));
            }
        }
    }

    /// Doubts what reads as zeros, where the image had a parent and its metadata tell of none.
    fn doubt_zeros(&mut self, tell: &mut Tell<'_>) {
        let code = Code::BlockPartialWithoutParent;
        if self.tally.count_of(code) < SEVERAL_PARTIAL {
            return;
        }
        for disk in self.unused.alone() {
            let _ = tell(Verified::Doubt(MapDoubt { disk: disk.clone(), code }));
        }
    }

    fn payload(&mut self, block: u64, seen: &Seen) {
        if let Some(start) = seen.entry.kept_place() {
            self.owned.claim(start..start.saturating_add(self.vhdx.shape.block_size));
        }
        let damage = match seen.entry.payload_state() {
            PayloadState::NotPresent
            | PayloadState::Undefined
            | PayloadState::Zero
            | PayloadState::Unmapped
            | PayloadState::OldUnmapped
                if !seen.entry.is_aligned() =>
            {
                Some(Code::BlockMisaligned)
            }
            PayloadState::NotPresent | PayloadState::Undefined | PayloadState::Zero | PayloadState::Unmapped => {
                self.any_kept |= seen.entry.file_offset() > 0;
                let is_given_up =
                    seen.entry.file_offset() == 0 && seen.entry.payload_state() != PayloadState::NotPresent;
                self.given_up = self.given_up.saturating_add(u64::from(is_given_up));
                return;
            }
            PayloadState::OldUnmapped => {
                self.any_kept |= seen.entry.file_offset() > 0;
                Some(Code::BlockStateOldUnmapped)
            }
            PayloadState::Reserved => Some(Code::BlockStateReserved),
            PayloadState::PartiallyPresent if !self.vhdx.is_differencing() => Some(Code::BlockPartialWithoutParent),
            state @ (PayloadState::FullyPresent | PayloadState::PartiallyPresent) => {
                if state == PayloadState::PartiallyPresent {
                    self.partial.push(block);
                }
                self.placed = self.placed.saturating_add(1);
                self.look_for_log_pages(seen);
                self.claim(seen, self.vhdx.shape.block_size, self.vhdx.bytes_of(block))
            }
        };
        if let Some(code) = damage {
            self.damaged = self.damaged.saturating_add(1);
            self.tally.count(code, (PAYLOAD_ENTRY, seen.at), || seen.role.describe());
        }
    }

    /// A log is for tables. What it writes into a block is replayed all the same.
    fn look_for_log_pages(&mut self, seen: &Seen) {
        let start = seen.entry.file_offset();
        if self.vhdx.file.any_splice_in(&(start..start.saturating_add(self.vhdx.shape.block_size))) {
            let place = ("payload block", start);
            self.tally.count(Code::LogWritesForbiddenPlace, place, || seen.role.describe());
        }
    }

    /// Claims a block of `length` bytes, of which the first `used` bytes count. Tells why it cannot stand there.
    fn claim(&mut self, seen: &Seen, length: u64, used: u64) -> Option<Code> {
        match self.vhdx.claimed(seen.entry, length) {
            Ok(start) => {
                let place = start..start.saturating_add(length);
                self.owned.claim(place.clone());
                if self.claims.claim(place) {
                    self.damaged = self.damaged.saturating_add(1);
                }
                (start.saturating_add(used) > self.vhdx.file.size()).then_some(Code::BlockPastEnd)
            }
            Err(code) => Some(code),
        }
    }

    fn bitmap(&mut self, chunk: u64, seen: &Seen, partial: &[u64], tell: &mut Tell<'_>) -> ControlFlow<()> {
        let needed = !partial.is_empty();
        if !seen.entry.bitmap_present() {
            if needed {
                self.damaged = self.damaged.saturating_add(1);
                self.tally.count(Code::BitmapMissing, (BITMAP_ENTRY, seen.at), || seen.role.describe());
            }
            return ControlFlow::Continue(());
        }
        let described = self.vhdx.bytes_of_chunk(chunk);
        let used = if needed { self.vhdx.bitmap_bytes(&described) } else { 0 };
        if let Some(code) = self.claim(seen, MIB, used) {
            self.damaged = self.damaged.saturating_add(1);
            if needed {
                self.tally.count(code, (BITMAP_ENTRY, seen.at), || seen.role.describe());
            }
            return ControlFlow::Continue(());
        }
        let looked_at = partial.get(..usize::try_from(self.bitmaps_left).unwrap_or(usize::MAX)).unwrap_or(partial);
        self.bitmaps_left = self.bitmaps_left.saturating_sub(u64::try_from(looked_at.len()).unwrap_or(u64::MAX));
        self.bitmaps.look_at(self.vhdx, seen.entry.file_offset(), looked_at);
        self.noisy.look_at(self.vhdx, seen.entry.file_offset(), looked_at);
        self.overwritten.look_at_bitmap(self.vhdx, seen.entry.file_offset(), looked_at);
        if described.start >= self.disk.end || self.disk.start >= described.end {
            return ControlFlow::Continue(());
        }
        let mut faults = Faults::new();
        let read = self.vhdx.file.read_at(&mut self.buf, seen.entry.file_offset(), &mut faults);
        if read.is_err() || faults.any_lost() {
            let code = if needed { Code::BitmapUnreadable } else { Code::HostReadError };
            self.tally.count(code, ("sector bitmap", seen.entry.file_offset()), || seen.role.describe());
        }
        tell(Verified::Read(MIB))
    }

    /// A BAT that ends before the last bitmap's entry. That blocks have no entry is told when the image is opened.
    fn count_missing_bitmap(&mut self) {
        // A bitmap's entry stands behind those of all blocks of its chunk: here it was never seen.
        if !self.partial.is_empty() && self.vhdx.is_differencing() {
            let at = self.vhdx.bat.end;
            self.tally.count(Code::BatShort, (BITMAP_ENTRY, at), || "the sector bitmap of the last chunk".to_owned());
        }
    }
}

impl Vhdx {
    pub(super) fn is_differencing(&self) -> bool {
        self.identity.kind == ContainerKind::Differencing
    }

    /// Entries that the disk needs; those of the bitmaps of a differencing disk included.
    pub(super) fn needed_entries(&self) -> u64 {
        let last_chunk = self.shape.chunk(self.shape.payload_blocks.saturating_sub(1));
        match self.is_differencing() {
            true => self.shape.bitmap_entry(last_chunk).saturating_add(1),
            false => self.shape.entries_needed(),
        }
    }

    /// Where in the file those entries of the BAT stand that the disk needs.
    pub(super) fn bat_in_use(&self) -> Range<u64> {
        let needed = self.needed_entries().saturating_mul(ENTRY_LENGTH);
        self.bat.start..self.bat.end.min(self.bat.start.saturating_add(needed))
    }

    /// How many bytes of the disk a block holds: fewer than its size where the disk ends in it.
    pub(super) fn bytes_of(&self, block: u64) -> u64 {
        let start = block.saturating_mul(self.shape.block_size);
        self.geometry.virtual_size.saturating_sub(start).min(self.shape.block_size)
    }

    /// The bytes of the disk that a block holds; none where the disk has no such block.
    pub(super) fn disk_of(&self, block: u64) -> Range<u64> {
        let start = block.saturating_mul(self.shape.block_size);
        start..start.saturating_add(self.bytes_of(block))
    }

    /// Bytes of a sector bitmap that describe so many bytes of the disk.
    fn bitmap_bytes(&self, described: &Range<u64>) -> u64 {
        let length = described.end.saturating_sub(described.start);
        length.checked_div(self.shape.logical_sector_size).unwrap_or(0).div_ceil(8)
    }

    pub(super) fn bytes_of_chunk(&self, chunk: u64) -> Range<u64> {
        let length = self.shape.chunk_ratio.saturating_mul(self.shape.block_size);
        let start = chunk.saturating_mul(length);
        start..start.saturating_add(length).min(self.geometry.virtual_size)
    }
}
