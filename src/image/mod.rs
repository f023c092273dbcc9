//! Host files, read-only.
//!
//! [`ImageFile`] is the only door to a host image; no trait here can write. The others wrap a [`ReadAt`] in a [`ReadAt`].

mod bad_places;
mod cached;
mod file;
mod isolating;
pub(crate) mod native_path;
mod overlay;
mod range_set;
mod rescue_map;
mod rescued;
mod server_link;
mod slice;
mod store;
mod watched;
mod whose;

use std::sync::Arc;

use crate::Faults;
use crate::error::Result;

pub use cached::Cached;
pub use file::{Devices, ImageFile};
pub use isolating::{Isolating, Patience};
pub use overlay::{Overlay, OverlayBuilder};
pub(crate) use rescue_map::OF_THE_DISK;
pub use rescue_map::RescueMap;
pub use rescued::{Rescued, RescuedImages};
pub(crate) use server_link::leads_to_server;
pub use slice::Slice;
pub use store::{Depth, FileId, HostFolders, ImageStore, Listing, LiveFolders, OpenedImage};
pub use watched::{Changes, Observe, Observed, Watched};
pub(crate) use whose::{Whose, file_name};

/// Positioned reads, from any number of threads.
pub trait ReadAt: Send + Sync {
    /// Length in bytes. Never changes while open.
    fn size(&self) -> u64;

    /// Fills what can be known of `buf`, zeroes the rest, and names each lost or doubtful range in `faults`, in bytes
    /// from the start of this `ReadAt`. What lies past [`size`](ReadAt::size) is lost.
    ///
    /// # Errors
    /// When nothing could be read at all; `buf` then holds no promise.
    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()>;
}

impl<T: ReadAt + ?Sized> ReadAt for Arc<T> {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        (**self).read_at(buf, offset, faults)
    }
}

impl<T: ReadAt + ?Sized> ReadAt for &T {
    fn size(&self) -> u64 {
        (**self).size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        (**self).read_at(buf, offset, faults)
    }
}

/// Bytes in memory: for tests, and for structures that were rebuilt.
impl ReadAt for Vec<u8> {
    fn size(&self) -> u64 {
        crate::bytes::len_u64(self)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let there = self.get(start..).unwrap_or_default();
        let known = there.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..known), there.get(..known)) {
            to.copy_from_slice(from);
        }
        lose_tail(buf, known, offset, crate::report::Code::ReadPastEnd, faults);
        Ok(())
    }
}

/// Zeroes `buf` from `known` on and says that it is lost.
pub(crate) fn lose_tail(buf: &mut [u8], known: usize, offset: u64, code: crate::report::Code, faults: &mut Faults) {
    let end = offset.saturating_add(crate::bytes::len_u64(buf));
    if let Some(tail) = buf.get_mut(known..)
        && !tail.is_empty()
    {
        tail.fill(0);
        let start = end.saturating_sub(crate::bytes::len_u64(tail));
        faults.lost(start..end, code.as_str());
    }
}
