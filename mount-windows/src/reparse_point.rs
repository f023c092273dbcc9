//! What a link says, in the form that Windows passes around: `REPARSE_DATA_BUFFER`.
//!
//! Only what an operating system follows as a link is shown as one. Other reparse points (of deduplication, of cloud
//! storage) ask for a driver that does not stand behind this mount, so Windows could not open the file at all: those are
//! shown as the files and folders that they are.
//!
//! A junction or link that begins at a drive would lead to that drive of the machine that looks at the mount, and show
//! its files for the disk's. Where the tree knows that the target lies in the volume of the link, it is shown as a
//! relative link that leads there. All others stand as they are on the disk, byte for byte.

use mount_api::{Error, ErrorKind, Kind, LinkPath, NodeId, Reparse, Tree};

use crate::name;
use crate::path::BACKSLASH;
use crate::status::{BUFFER_TOO_SMALL, Refusal};

/// `IO_REPARSE_TAG_SYMLINK`.
const SYMBOLIC_LINK: u32 = 0xA000_000C;
/// `SYMLINK_FLAG_RELATIVE`.
const RELATIVE: u32 = 1;
const DOT: u16 = 0x2E;
/// More than any path may have.
const MAX_UP: usize = 512;

/// A reparse point as it is shown.
pub(crate) struct Shown {
    pub(crate) tag: u32,
    data: Vec<u8>,
}

/// What is shown of a link; `None` for what is no link.
pub(crate) fn of(tree: &dyn Tree, node: NodeId) -> Result<Option<Shown>, Error> {
    if tree.attr(node)?.kind != Kind::Link {
        return Ok(None);
    }
    let Some(reparse) = tree.reparse(node)? else { return Ok(None) };
    // A way that cannot be told for damage is no reason not to show the target as it stands.
    let inside = if begins_elsewhere(&reparse) { tree.link_path(node).ok().flatten() } else { None };
    Ok(Some(match inside.and_then(|path| relative(&path)) {
        Some(data) => Shown { tag: SYMBOLIC_LINK, data },
        None => Shown { tag: reparse.tag, data: reparse.data },
    }))
}

/// Copies the reparse point of a link into the buffer; returns how many bytes it has.
pub(crate) fn copy(tree: &dyn Tree, node: NodeId, buffer: &mut [u8]) -> Result<u64, Refusal> {
    let shown = of(tree, node)?.ok_or_else(|| Error::new(ErrorKind::NotALink, "it is no link"))?;
    let too_long = || Error::new(ErrorKind::Corrupt, "its reparse point is too long");
    let length = u16::try_from(shown.data.len()).map_err(|_| too_long())?;
    let tag = shown.tag.to_le_bytes();
    // The length is followed by two bytes that are reserved.
    let whole = tag.iter().chain(&length.to_le_bytes()).chain(&[0, 0]).chain(&shown.data).copied().collect::<Vec<_>>();
    buffer.get_mut(..whole.len()).ok_or(BUFFER_TOO_SMALL)?.copy_from_slice(&whole);
    u64::try_from(whole.len()).map_err(|_| too_long().into())
}

/// Whether a link does not begin at the folder that holds it. `\Windows` is called relative too, but begins at the root
/// of the drive, which is not the root of a mount that shows several volumes.
fn begins_elsewhere(reparse: &Reparse) -> bool {
    let target = reparse.target.as_ref();
    target.is_some_and(|target| !target.relative || matches!(target.substitute.units(), [BACKSLASH, ..]))
}

/// The data of a relative symbolic link ([MS-FSCC] 2.1.2.4); `None` where the path is too long for one.
fn relative(path: &LinkPath) -> Option<Vec<u8>> {
    let up = std::iter::repeat_n(vec![DOT, DOT], path.up.min(MAX_UP));
    let parts: Vec<Vec<u16>> = up.chain(path.names.iter().map(name::to_units)).collect();
    let target = if parts.is_empty() { vec![DOT] } else { parts.join(&BACKSLASH) };
    let length = u16::try_from(target.len().checked_mul(2)?).ok()?;
    // The name that is followed, then the one for people: offset and length of each. They are the same.
    let places = [0, length, 0, length].into_iter().flat_map(u16::to_le_bytes);
    let units = target.into_iter().flat_map(u16::to_le_bytes);
    Some(places.chain(RELATIVE.to_le_bytes()).chain(units).collect())
}

#[cfg(test)]
mod tests {
    use mount_api::Name;

    use super::*;

    #[test]
    fn a_way_through_folders_is_a_relative_link() {
        let path = LinkPath { up: 1, names: vec![Name::from("a:"), Name::from("b")] };
        // `..\a%3A\b`, of 9 units.
        let text: Vec<u8> = r"..\a%3A\b".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(relative(&path), Some([vec![0, 0, 18, 0, 0, 0, 18, 0, 1, 0, 0, 0], text].concat()));
        let here = LinkPath { up: 0, names: Vec::new() };
        assert_eq!(relative(&here).map(|data| data[12..].to_vec()), Some(vec![0x2E, 0]));
    }
}
