//! Which streams a file has.

use std::ops::ControlFlow;

use log::debug;
use mount_api::{Error, Kind, NodeId, Tree};
use winfsp::filesystem::{StreamInfo, WideNameInfo};

use crate::name;

/// Fills the buffer with the streams of a file or folder; returns how many bytes. The content of a file counts as one,
/// without a name; a folder has none.
pub(crate) fn list(tree: &dyn Tree, file: NodeId, buffer: &mut [u8]) -> Result<u32, Error> {
    let mut filled = 0;
    let mut add = |name: &[u16], size: u64, allocated: u64| {
        let mut line = StreamInfo::<255>::new();
        (line.stream_size, line.stream_alloc_size) = (size, allocated);
        if line.set_name_raw(name).is_err() {
            debug!("a stream's name of {} units is left out: Windows takes 255", name.len());
            return ControlFlow::Continue(());
        }
        match line.append_to_buffer(buffer, &mut filled) {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    };
    let attr = tree.attr(file)?;
    let mut flow = match attr.kind {
        Kind::Directory => ControlFlow::Continue(()),
        Kind::File | Kind::Link => add(&[], attr.size, attr.allocated),
    };
    if flow.is_continue() {
        tree.streams(file, &mut |stream| {
            flow = add(&name::to_units(&stream.name), stream.size, stream.allocated);
            flow
        })?;
    }
    if flow.is_continue() {
        StreamInfo::<255>::finalize_buffer(buffer, &mut filled);
    }
    Ok(filled)
}
