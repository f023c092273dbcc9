//! Reading the content of files: the path that must be fast.

use mount_api::{Error, ErrorKind, Faults, LostReads, NodeId, Tree};

use crate::loss::Losses;
use crate::status::{END_OF_FILE, Refusal};

/// Reads straight into WinFsp's buffer; returns how many bytes there are. A read that touches lost bytes fails as a whole,
/// for Windows has no other way to say it.
pub(crate) fn read(
    tree: &dyn Tree,
    losses: &Losses,
    node: NodeId,
    offset: u64,
    buffer: &mut [u8],
) -> Result<u32, Refusal> {
    let mut faults = Faults::new();
    let read = tree.read_at(node, offset, buffer, &mut faults)?;
    if faults.any_lost() {
        losses.tell(tree, node, &faults);
        // A tree leaves zeros in the place of what is lost.
        if losses.reads == LostReads::Fail {
            return Err(Error::new(ErrorKind::Lost, "the read touches lost bytes").into());
        }
    }
    if read == 0 && !buffer.is_empty() {
        return Err(END_OF_FILE.into());
    }
    let too_much = || Error::new(ErrorKind::Corrupt, "the tree read more than it was asked for");
    u32::try_from(read).ok().filter(|_| read <= buffer.len()).ok_or_else(|| too_much().into())
}
