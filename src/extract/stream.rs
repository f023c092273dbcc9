//! A stream of a file, the unnamed one or a named one: what is copied at a time.

use mount_api::{Error, ErrorKind, Faults, NodeId, Tree};

use crate::bytes::len_u64;
use crate::report::Code;

/// A stream that is to be copied.
#[derive(Clone, Copy)]
pub(super) struct Stream<'a> {
    pub(super) tree: &'a dyn Tree,
    pub(super) node: NodeId,
    /// In bytes, as its metadata say.
    pub(super) size: u64,
}

/// What is known of a piece that was read.
pub(super) struct Read {
    pub(super) faults: Faults,
    /// Why nothing of it could be read.
    pub(super) error: Option<Error>,
}

impl Stream<'_> {
    /// Fills `piece`; zeros stand for what is lost.
    ///
    /// # Errors
    /// When this content is of a kind that is not read.
    pub(super) fn read(&self, at: u64, piece: &mut [u8]) -> Result<Read, Error> {
        let mut faults = Faults::new();
        let end = at.saturating_add(len_u64(piece));
        let error = match self.tree.read_at(self.node, at, piece, &mut faults) {
            Ok(read) if read >= piece.len() => None,
            // The content ends before its size: what is missing is lost.
            Ok(read) => {
                piece.get_mut(read..).unwrap_or_default().fill(0);
                let known = len_u64(piece.get(..read).unwrap_or_default());
                faults.lost(at.saturating_add(known)..end, Code::ReadPastEnd.as_str());
                None
            }
            Err(error) if matches!(error.kind(), ErrorKind::Encrypted | ErrorKind::Unsupported) => return Err(error),
            Err(error) => {
                piece.fill(0);
                faults.clear();
                faults.lost(at..end, error.code().unwrap_or(Code::HostReadError.as_str()));
                Some(error)
            }
        };
        Ok(Read { faults, error })
    }
}
