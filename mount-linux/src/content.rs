//! Reading the content of files: the path that must be fast.

use mount_api::{Error, ErrorKind, Faults, LostReads, NodeId, Tree};

use crate::loss::Losses;

/// The kernel's page, as far as speed is concerned; bytes.
const PAGE: usize = 4096;

/// What one thread reads into. Kept between requests, so that a read allocates nothing; grows to the largest request,
/// which the kernel keeps at 1 MiB.
///
/// What is replied begins on a page: the kernel then takes page after page out of it, and not two halves for each.
#[derive(Default)]
pub(crate) struct ReadBuffer {
    bytes: Vec<u8>,
    faults: Faults,
}

impl ReadBuffer {
    pub(crate) const fn new() -> Self {
        ReadBuffer { bytes: Vec::new(), faults: Faults::new() }
    }

    /// Reads `length` bytes, or fewer where the node ends.
    ///
    /// Unless zeros were asked for, a read that touches a lost byte fails as a whole: a shorter answer would look like the end of the file. The kernel
    /// then asks again page by page, so that a buffered reader loses the page of 4 KiB and no more. Doubtful bytes are
    /// served: the tree has judged them already.
    pub(crate) fn fill(
        &mut self,
        tree: &dyn Tree,
        losses: &Losses,
        node: NodeId,
        offset: u64,
        length: u32,
    ) -> Result<&[u8], Error> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let room = length.saturating_add(PAGE);
        if self.bytes.len() < room {
            self.bytes.resize(room, 0);
        }
        self.faults.clear();
        let to_page = self.bytes.as_ptr().align_offset(PAGE);
        let buffer = self.bytes.get_mut(to_page..).and_then(|pages| pages.get_mut(..length)).unwrap_or_default();
        let read = tree.read_at(node, offset, buffer, &mut self.faults)?;
        if self.faults.any_lost() {
            losses.tell(tree, node, &self.faults);
            // A tree leaves zeros in the place of what is lost.
            if losses.reads == LostReads::Fail {
                return Err(Error::new(ErrorKind::Lost, "the read touches lost bytes"));
            }
        }
        buffer.get(..read).ok_or_else(|| Error::new(ErrorKind::Corrupt, "the tree read more than it was asked for"))
    }
}
