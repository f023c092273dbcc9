//! A [`mount_api::Tree`] mounted read-only through WinFsp.
//!
//! The adapter itself is not written yet: [`mount`] says so and names what works without it. What calls it need not
//! change when it comes, for the shape is that of the Linux adapter.

mod error;

use std::path::Path;
use std::sync::Arc;

use mount_api::Tree;

pub use error::MountError;

/// How a tree is mounted. There is nothing to choose yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {}

/// Mounts `tree` at `target`, a drive (`X:`) or an empty folder, calls `ready` when it stands, and returns when it is
/// unmounted.
///
/// # Errors
/// [`MountError::NotBuilt`], always; `ready` is never called.
pub fn mount(
    tree: Arc<dyn Tree>,
    target: &Path,
    options: &Options,
    ready: impl FnOnce() + Send,
) -> Result<(), MountError> {
    let _ = (tree, target, options, ready);
    Err(MountError::NotBuilt)
}

#[cfg(test)]
mod tests {
    use std::ops::{ControlFlow, Range};

    use mount_api::{
        Attr, Case, DirEntry, Error, Faults, From, Name, NodeId, NodeRange, Reparse, StreamEntry, TreeInfo,
    };

    use super::*;

    /// A tree that nobody may ask anything.
    struct Untouched;

    impl Tree for Untouched {
        fn info(&self) -> TreeInfo {
            panic!("asked for info")
        }
        fn lookup(&self, _: NodeId, _: &Name, _: Case) -> Result<NodeId, Error> {
            panic!("asked to look up")
        }
        fn stream(&self, _: NodeId, _: &Name, _: Case) -> Result<NodeId, Error> {
            panic!("asked for a stream")
        }
        fn streams(&self, _: NodeId, _: &mut dyn FnMut(StreamEntry) -> ControlFlow<()>) -> Result<(), Error> {
            panic!("asked for streams")
        }
        fn attr(&self, _: NodeId) -> Result<Attr, Error> {
            panic!("asked for attributes")
        }
        fn reparse(&self, _: NodeId) -> Result<Option<Reparse>, Error> {
            panic!("asked for a reparse point")
        }
        fn security(&self, _: NodeId) -> Result<Option<Vec<u8>>, Error> {
            panic!("asked for a security descriptor")
        }
        fn read_dir(
            &self,
            _: NodeId,
            _: From<'_>,
            _: &mut dyn FnMut(DirEntry) -> ControlFlow<()>,
        ) -> Result<(), Error> {
            panic!("asked to list")
        }
        fn read_at(&self, _: NodeId, _: u64, _: &mut [u8], _: &mut Faults) -> Result<usize, Error> {
            panic!("asked to read")
        }
        fn ranges(
            &self,
            _: NodeId,
            _: Range<u64>,
            _: &mut dyn FnMut(NodeRange) -> ControlFlow<()>,
        ) -> Result<(), Error> {
            panic!("asked for ranges")
        }
    }

    #[test]
    fn mount_refuses_and_names_another_way() {
        let mut stood = false;
        let refused = mount(Arc::new(Untouched), Path::new("X:"), &Options::default(), || stood = true);
        let message = refused.unwrap_err().to_string();
        assert!(message.contains("not built yet"), "{message}");
        assert!(message.contains("vhdx-mount extract"), "{message}");
        assert!(!stood, "nothing is mounted, so nothing is ready");
    }
}
