//! Where data and holes are, for programs that copy sparse files (`SEEK_DATA`, `SEEK_HOLE`).

use std::ops::ControlFlow;

use log::debug;
use mount_api::{Error, NodeId, RangeKind, Tree};

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The next byte that is not in a hole.
    Data,
    /// The next byte in a hole; the end of the file counts as one.
    Hole,
}

/// The first offset at or after `offset` that is wanted; `None` where there is none, or `offset` is past the end.
///
/// Only what the file system itself calls sparse is a hole. Lost bytes are data, so that a copy meets their error; where
/// the tree cannot say, there is data too.
pub(crate) fn seek(tree: &dyn Tree, node: NodeId, offset: u64, wanted: Wanted) -> Result<Option<u64>, Error> {
    let size = tree.attr(node)?.size;
    if offset >= size {
        return Ok(None);
    }
    let mut told_until = offset;
    let mut found = None;
    let outcome = tree.ranges(node, offset..size, &mut |told| {
        let hole = told.kind == RangeKind::Sparse;
        if hole == (wanted == Wanted::Hole) && told.range.end > offset {
            found = Some(told.range.start.max(offset));
            return ControlFlow::Break(());
        }
        told_until = told_until.max(told.range.end);
        ControlFlow::Continue(())
    });
    if let Err(error) = outcome {
        debug!("ranges of node {}: {error}; the rest counts as data", node.0);
    }
    Ok(match (found, wanted) {
        (Some(found), _) => Some(found),
        (None, Wanted::Hole) => Some(size),
        (None, Wanted::Data) => (told_until < size).then_some(told_until),
    })
}
