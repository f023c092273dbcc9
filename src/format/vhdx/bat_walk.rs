//! All entries of a BAT, one after the other, and what each is for.

use std::ops::{ControlFlow, Range};

use super::bat::{BatEntry, ENTRY_LENGTH};
use super::resolve::Vhdx;
use crate::Faults;
use crate::bytes::len_u64;
use crate::image::ReadAt;
use crate::layer::Verified;
use crate::report::Code;

/// Bytes of the BAT that are read at once.
const PIECE: u64 = 1 << 20;

/// Entries of the BAT that cannot be read are counted by sectors of this length.
const SECTOR: u64 = 4096;

/// What is told of, where an entry of a payload block is.
pub(super) const PAYLOAD_ENTRY: &str = "BAT entry";

/// Takes what is found.
pub(super) type Tell<'a> = dyn FnMut(Verified) -> ControlFlow<()> + 'a;

/// What an entry of the BAT is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Number of a payload block.
    Payload(u64),
    /// Number of the chunk that the bitmap describes.
    Bitmap(u64),
}

/// An entry of the BAT, where it stands and what it is for.
pub(super) struct Seen {
    pub(super) entry: BatEntry,
    pub(super) role: Role,
    /// Byte offset in the file.
    pub(super) at: u64,
}

/// Calls `each` with every entry that the disk needs and that can be read, until `tell` breaks. Puts into `unread` where in
/// the file those sectors of the BAT stand that cannot be read, at most some thousand of them.
pub(super) fn entries(
    vhdx: &Vhdx,
    tell: &mut Tell<'_>,
    unread: &mut Vec<u64>,
    each: &mut dyn FnMut(Seen, &mut Tell<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    const MAX_UNREAD: usize = 10_000;
    let Range { start, end } = vhdx.bat_in_use();
    let mut buf = vec![0; usize::try_from(PIECE).unwrap_or(0)];
    let mut roles = Roles { next: Role::Payload(0), ratio: vhdx.shape.chunk_ratio };
    let mut at = start;
    while at < end {
        let length = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(buf.len());
        let piece = buf.get_mut(..length).unwrap_or_default();
        let mut faults = Faults::new();
        if vhdx.file.read_at(piece, at, &mut faults).is_err() {
            faults.clear();
            faults.lost(at..at.saturating_add(len_u64(piece)), Code::BatUnreadable.as_str());
        }
        let lost: Vec<Range<u64>> = faults
            .iter()
            .filter(|fault| fault.kind == crate::FaultKind::Lost)
            .map(|fault| fault.range.clone())
            .collect();
        let sectors =
            lost.iter().flat_map(|range| (range.start..range.end).step_by(usize::try_from(SECTOR).unwrap_or(1)));
        unread.extend(sectors.take(MAX_UNREAD.saturating_sub(unread.len())));
        for bytes in piece.as_chunks::<8>().0 {
            let (role, entry_at) = (roles.take(), at);
            at = at.saturating_add(ENTRY_LENGTH);
            if lost.is_empty() || !lost.iter().any(|range| range.start < at && entry_at < range.end) {
                each(Seen { entry: BatEntry(u64::from_le_bytes(*bytes)), role, at: entry_at }, tell)?;
            }
        }
        tell(Verified::Read(len_u64(piece)))?;
        if length < 8 {
            break;
        }
    }
    ControlFlow::Continue(())
}

/// The roles of the entries, in their order.
struct Roles {
    next: Role,
    ratio: u64,
}

impl Roles {
    fn take(&mut self) -> Role {
        let role = self.next;
        self.next = match role {
            Role::Payload(block) => match block.saturating_add(1) {
                after if after.checked_rem(self.ratio) == Some(0) => {
                    Role::Bitmap(block.checked_div(self.ratio).unwrap_or(0))
                }
                after => Role::Payload(after),
            },
            Role::Bitmap(chunk) => Role::Payload(chunk.saturating_add(1).saturating_mul(self.ratio)),
        };
        role
    }
}

impl Role {
    pub(super) fn describe(self) -> String {
        match self {
            Role::Payload(block) => format!("payload block {block}"),
            Role::Bitmap(chunk) => format!("the sector bitmap of chunk {chunk}"),
        }
    }
}
