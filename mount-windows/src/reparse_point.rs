//! What a link says, in the form that Windows passes around: `REPARSE_DATA_BUFFER`.

use mount_api::{Error, ErrorKind, Kind, NodeId, Tree};

use crate::status::{BUFFER_TOO_SMALL, Refusal};

/// The tag, the length of the data, and two bytes that are reserved.
const HEADER: usize = 8;

/// Copies the reparse point of a link into the buffer; returns how many bytes it has.
///
/// Only what an operating system follows as a link is shown as one. Other reparse points (of deduplication, of cloud
/// storage) ask for a driver that does not stand behind this mount, so Windows could not open the file at all: those are
/// shown as the files and folders that they are.
pub(crate) fn copy(tree: &dyn Tree, node: NodeId, buffer: &mut [u8]) -> Result<u64, Refusal> {
    let no_link = || Error::new(ErrorKind::NotALink, "it is no link");
    if tree.attr(node)?.kind != Kind::Link {
        return Err(no_link().into());
    }
    let reparse = tree.reparse(node)?.ok_or_else(no_link)?;
    let too_long = || Error::new(ErrorKind::Corrupt, "its reparse point is too long");
    let length = u16::try_from(reparse.data.len()).map_err(|_| too_long())?;
    let whole = HEADER.saturating_add(reparse.data.len());
    let room = buffer.get_mut(..whole).ok_or(BUFFER_TOO_SMALL)?;
    let tag = reparse.tag.to_le_bytes();
    let header =
        tag.iter().chain(&length.to_le_bytes()).chain(&[0, 0]).chain(&reparse.data).copied().collect::<Vec<_>>();
    room.copy_from_slice(&header);
    u64::try_from(whole).map_err(|_| too_long().into())
}
