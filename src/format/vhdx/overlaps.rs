//! Blocks that claim one place in the file: which they are, once it is known that there are any.

use std::ops::{ControlFlow, Range};

use super::bat::{BatEntry, MIB, PayloadState};
use super::bat_walk::{PAYLOAD_ENTRY, Role, Tell, entries};
use super::claims::Claims;
use super::resolve::Vhdx;
use super::tally::Tally;
use crate::layer::{MapDoubt, Verified};
use crate::report::Code;

/// Names the blocks that claim a place which `claims` knows to be claimed twice, and tells what of the disk they make doubtful.
pub(super) fn name_claimants(vhdx: &Vhdx, claims: &Claims, tally: &mut Tally, tell: &mut Tell<'_>) {
    let twice = |entry: BatEntry, length: u64| {
        vhdx.claimed(entry, length).is_ok_and(|start| claims.is_twice(start..start.saturating_add(length)))
    };
    let bitmap_twice = |chunk: u64| {
        let entry = vhdx.entry(vhdx.shape.bitmap_entry(chunk));
        vhdx.is_differencing() && entry.is_ok_and(|(entry, _)| entry.bitmap_present() && twice(entry, MIB))
    };
    // A bitmap's entry stands behind those of its blocks, so it is looked up when its chunk begins.
    let mut bitmap = false;
    let mut doubts = Doubts { open: None };
    // Where this breaks, not all claimants are named, and what was told is so.
    let _ = entries(vhdx, tell, &mut Vec::new(), &mut |seen, tell| {
        let block = match seen.role {
            Role::Bitmap(_) => {
                if bitmap {
                    tally.count(Code::BlocksOverlap, (PAYLOAD_ENTRY, seen.at), || seen.role.describe());
                }
                return ControlFlow::Continue(());
            }
            Role::Payload(block) => block,
        };
        if block.checked_rem(vhdx.shape.chunk_ratio) == Some(0) {
            bitmap = bitmap_twice(vhdx.shape.chunk(block));
        }
        let partial = match seen.entry.payload_state() {
            PayloadState::FullyPresent => false,
            PayloadState::PartiallyPresent if vhdx.is_differencing() => true,
            _ => return ControlFlow::Continue(()),
        };
        let own = twice(seen.entry, vhdx.shape.block_size);
        if own {
            tally.count(Code::BlocksOverlap, (PAYLOAD_ENTRY, seen.at), || seen.role.describe());
        }
        // As a whole: an entry that is wrong in its place may be wrong in its state, so what bits tell of the block's sectors is no
        // better than the place.
        if own || partial && bitmap {
            doubts.push(vhdx.disk_of(block), tell);
        }
        ControlFlow::Continue(())
    });
    doubts.finish(tell);
}

/// Joins doubts of neighbouring blocks.
struct Doubts {
    open: Option<MapDoubt>,
}

impl Doubts {
    fn push(&mut self, disk: Range<u64>, tell: &mut Tell<'_>) {
        match &mut self.open {
            Some(open) if open.disk.end == disk.start => open.disk.end = disk.end,
            _ => {
                self.finish(tell);
                self.open = Some(MapDoubt { disk, code: Code::BlocksOverlap });
            }
        }
    }

    fn finish(&mut self, tell: &mut Tell<'_>) {
        if let Some(doubt) = self.open.take().filter(|doubt| !doubt.disk.is_empty()) {
            let _ = tell(Verified::Doubt(doubt));
        }
    }
}
