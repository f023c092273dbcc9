//! Which places of a file belong to a structure or a block: the whole BAT, read once.

use std::ops::{ControlFlow, Range};

use super::bat::{BatEntry, MIB, PayloadState};
use super::bat_walk::{Role, entries};
use super::claims::Claims;
use super::resolve::Vhdx;
use crate::image::ReadAt;

/// Entries of a BAT that are read for this: 32 MiB. An image is to be open in a moment.
pub(super) const MAX_ENTRIES: u64 = 1 << 22;

/// See the module.
pub(super) struct Ownership {
    claims: Claims,
    /// Bytes of the file.
    size: u64,
    /// No entry claims what another one, or a structure, has.
    pub(super) disjoint: bool,
    /// Nor what it cannot have, and all entries can be read.
    pub(super) flawless: bool,
}

impl Ownership {
    /// Reads the BAT. `None` where it is too large for that.
    pub(super) fn of(vhdx: &Vhdx) -> Option<Self> {
        if vhdx.needed_entries() > MAX_ENTRIES {
            return None;
        }
        let size = vhdx.file.size();
        let mut claims = Claims::of_file(size);
        for structure in &vhdx.structures {
            claims.claim(structure.clone());
        }
        let mut flawless = true;
        let mut unread = Vec::new();
        let go_on = ControlFlow::Continue(());
        let _ = entries(vhdx, &mut |_| go_on, &mut unread, &mut |seen, _| {
            match vhdx.claim_of(seen.entry, seen.role) {
                Claim::Nothing => {}
                Claim::Nonsense => flawless = false,
                Claim::Block(length) => match vhdx.claimed(seen.entry, length) {
                    Ok(start) => {
                        let end = start.saturating_add(length);
                        flawless &= end <= size;
                        claims.claim(start..end);
                    }
                    Err(_) => flawless = false,
                },
            }
            go_on
        });
        let disjoint = !claims.any_twice();
        flawless &= unread.is_empty() && disjoint;
        Some(Ownership { claims, size, disjoint, flawless })
    }

    /// Whether these bytes stand in the file and belong to nothing.
    pub(super) fn is_unowned(&self, place: &Range<u64>) -> bool {
        place.end <= self.size && !self.claims.is_any_claimed(place.clone())
    }

    /// Calls `each` with every stretch of the file that belongs to nothing, in order, in bytes.
    pub(super) fn each_unowned(&self, each: &mut dyn FnMut(Range<u64>)) {
        self.claims.each_unclaimed(&mut |range| {
            let range = range.start..range.end.min(self.size);
            if !range.is_empty() {
                each(range);
            }
        });
    }
}

/// What an entry claims.
enum Claim {
    Nothing,
    /// So many bytes of the file.
    Block(u64),
    /// Something that there is not.
    Nonsense,
}

impl Vhdx {
    /// How many bytes of the file an entry claims, where it claims any.
    pub(super) fn block_claimed_by(&self, entry: BatEntry, role: Role) -> Option<u64> {
        match self.claim_of(entry, role) {
            Claim::Block(length) => Some(length),
            Claim::Nothing | Claim::Nonsense => None,
        }
    }

    fn claim_of(&self, entry: BatEntry, role: Role) -> Claim {
        match (role, entry.payload_state()) {
            (Role::Bitmap(_), _) if self.is_differencing() && entry.bitmap_present() => Claim::Block(MIB),
            (Role::Bitmap(_), PayloadState::NotPresent) => Claim::Nothing,
            _ if !entry.is_aligned() => Claim::Nonsense,
            (Role::Bitmap(_), _) | (Role::Payload(_), PayloadState::Reserved) => Claim::Nonsense,
            (Role::Payload(_), PayloadState::FullyPresent) => Claim::Block(self.shape.block_size),
            (Role::Payload(_), PayloadState::PartiallyPresent) if !self.is_differencing() => Claim::Nonsense,
            (Role::Payload(_), PayloadState::PartiallyPresent) => Claim::Block(self.shape.block_size),
            (Role::Payload(_), _) => Claim::Nothing,
        }
    }
}
