//! How many clusters a volume has by its own files: `$Bitmap` has a bit for each of them, and the stream `$Bad` of `$BadClus` is as
//! long as all of them.

use super::attribute;
use super::file::Value;
use super::mft::Mft;
use super::{RECORD_BAD_CLUSTERS, RECORD_BITMAP, to_u64};

/// Bytes that `$Bitmap` may have more than the clusters need: it ends with 8 of them, or with a sector.
const FILLED_UP: u64 = 512;

impl Mft {
    /// What both say; `None` where they cannot be read, or do not agree.
    pub(super) fn clusters_counted(&self, cluster_size: u64) -> Option<u64> {
        let bits = self.bytes_of(RECORD_BITMAP, "")?;
        let clusters = self.bytes_of(RECORD_BAD_CLUSTERS, "$Bad")?.checked_div(cluster_size)?;
        let needed = clusters.div_ceil(8);
        (clusters > 0 && (needed..needed.saturating_add(FILLED_UP)).contains(&bits)).then_some(clusters)
    }

    /// The size of a stream of one of NTFS's own files.
    fn bytes_of(&self, record: u32, stream: &str) -> Option<u64> {
        let file = self.file(record).ok()?;
        let name: Vec<u16> = stream.encode_utf16().collect();
        match &file.find(attribute::DATA, &name)?.value {
            Value::NonResident(value) => Some(value.header.size),
            Value::Resident(bytes) => Some(to_u64(bytes.len())),
            Value::Unreadable(_) => None,
        }
    }
}
