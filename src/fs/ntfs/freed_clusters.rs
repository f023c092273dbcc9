//! The volume as the deleted files on it see it: what belongs to somebody else by now is not theirs.

use std::sync::Arc;

use mount_api::{FaultKind, Faults};

use super::cluster_bitmap::ClusterBitmap;
use crate::Fault;
use crate::bytes::len_u64;
use crate::image::ReadAt;
use crate::report::Code;

/// The bytes of a volume; those in clusters that are in use are doubtful, or lost where doubtful ones are not wanted.
pub(super) struct FreedClusters {
    pub(super) bytes: Arc<dyn ReadAt>,
    pub(super) bitmap: Arc<ClusterBitmap>,
    /// What bytes are that lie in clusters in use.
    pub(super) reused: FaultKind,
}

impl ReadAt for FreedClusters {
    fn size(&self) -> u64 {
        self.bytes.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> crate::Result<()> {
        self.bytes.read_at(buf, offset, faults)?;
        let end = offset.saturating_add(len_u64(buf));
        for range in self.bitmap.bytes_in_use(offset..end) {
            if self.reused == FaultKind::Lost {
                let within = |at: u64| super::to_usize(at.saturating_sub(offset));
                if let Some(part) = buf.get_mut(within(range.start)..within(range.end)) {
                    part.fill(0);
                }
            }
            let code = Code::NtfsClustersReused.as_str();
            faults.push(Fault { range, kind: self.reused, code, link: None });
        }
        Ok(())
    }
}
