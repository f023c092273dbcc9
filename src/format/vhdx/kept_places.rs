//! Entries of the BAT that claim nothing and still name a place in the file, which nothing else owns.
//!
//! A block that was trimmed may keep its place. But so does one whose entry lost its state alone, and nothing else tells of it.

use std::ops::{ControlFlow, Range};

use super::bat::PayloadState;
use super::bat_walk::{PAYLOAD_ENTRY, Role, Seen, Tell, entries};
use super::block_content::{Content, Look};
use super::claims::Claims;
use super::resolve::Vhdx;
use super::told_blocks::ToldBlocks;
use crate::image::ReadAt;
use crate::layer::Verified;
use crate::report::{Code, Finding, Severity};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct KeptPlaces {
    /// Of states that may keep a place.
    trimmed: ToldBlocks,
    /// Of states that have none, by the format: NOT_PRESENT and ZERO.
    misplaced: ToldBlocks,
    /// Blocks of the latter that were looked at.
    sampled: u64,
    /// Blocks of these that hold something.
    filled: u64,
}

impl KeptPlaces {
    /// Looks at all entries. `claims` are the places of blocks; what is found in the place of a block that has none is claimed in
    /// `owned`.
    pub(super) fn of(vhdx: &Vhdx, claims: &Claims, owned: &mut Claims, mut look: Look, tell: &mut Tell<'_>) -> Self {
        let mut kept = KeptPlaces::default();
        // Where this breaks, what was found so far is told.
        let _ = entries(vhdx, tell, &mut Vec::new(), &mut |seen, _| {
            if let Role::Payload(block) = seen.role
                && block < vhdx.shape.payload_blocks
                && let Some(place) = unowned_place(vhdx, claims, &seen, block)
            {
                kept.add(vhdx, &seen, block, &place, &mut look);
                owned.claim(place);
            }
            ControlFlow::Continue(())
        });
        kept
    }

    fn add(&mut self, vhdx: &Vhdx, seen: &Seen, block: u64, place: &Range<u64>, look: &mut Look) {
        let start = block.saturating_mul(vhdx.shape.block_size);
        let disk = start..start.saturating_add(vhdx.bytes_of(block));
        if seen.entry.may_keep_place() {
            return self.trimmed.add(seen.at, disk);
        }
        self.misplaced.add(seen.at, disk);
        if let Some(filled) = look.at(vhdx, place.start).map(|content| content != Content::Nothing) {
            self.sampled = self.sampled.saturating_add(1);
            self.filled = self.filled.saturating_add(u64::from(filled));
        }
    }

    /// Tells of them.
    pub(super) fn tell(&self, vhdx: &Vhdx, tell: &mut Tell<'_>) {
        if self.trimmed.count > 0 {
            let text = format!(
                "blocks that were given up by their entries and keep their places in the file: {} (bytes {} of the disk); they read as zeros, and nothing is wrong if they were trimmed",
                self.trimmed.count,
                self.trimmed.named()
            );
            let _ = tell(finding(&self.trimmed, Severity::Information, text));
        }
        if self.misplaced.count > 0 {
            let instead = if vhdx.is_differencing() { "zeros, or as older links have them" } else { "zeros" };
            let text = format!(
                "blocks that are not there by their entries, which name places in the file all the same: {} (bytes {} of the disk); of {} looked at, {} hold something. Their states may be damaged; they read as {instead}",
                self.misplaced.count,
                self.misplaced.named(),
                self.sampled,
                self.filled
            );
            let severity = if self.filled > 0 { Severity::Warning } else { Severity::Information };
            let _ = tell(finding(&self.misplaced, severity, text));
        }
    }
}

fn finding(blocks: &ToldBlocks, severity: Severity, text: String) -> Verified {
    let advice = "if files are missing or older than they should be, look for another copy of this image";
    let finding = Finding::new(Code::BlockPlaceKept, severity, text).at(PAYLOAD_ENTRY, blocks.first);
    Verified::Finding(finding.advise(advice))
}

/// The place in the file that an entry which claims none keeps, if all of it is there and belongs to nothing.
fn unowned_place(vhdx: &Vhdx, claims: &Claims, seen: &Seen, block: u64) -> Option<Range<u64>> {
    let entry = seen.entry;
    let claims_nothing = matches!(
        entry.payload_state(),
        PayloadState::NotPresent
            | PayloadState::Undefined
            | PayloadState::Zero
            | PayloadState::Unmapped
            | PayloadState::OldUnmapped
    );
    if !claims_nothing || entry.file_offset() == 0 {
        return None;
    }
    let start = vhdx.claimed(entry, vhdx.shape.block_size).ok()?;
    let place = start..start.saturating_add(vhdx.shape.block_size);
    let is_there = start.saturating_add(vhdx.bytes_of(block)) <= vhdx.file.size();
    (is_there && !claims.is_any_claimed(place.clone())).then_some(place)
}
