//! The `$MFT` without its own record: as far as file records stand, from where the boot sector has it begin, that bear the
//! numbers that they should.
//!
//! Where it goes on elsewhere only its own record tells, so that the rest is missing. And what bears the right number may be a
//! copy that was left behind when the `$MFT` was moved: all is doubtful.

use mount_api::Faults;

use super::extents::{Extents, Place};
use super::file_record::own_number;
use super::volume::Volume;

/// Bytes that are looked at together. Where none of their records is one of the `$MFT`, it ends.
const TOGETHER: u64 = 256 << 10;

/// Fewer are no `$MFT`: by a wrong size of records the first one alone would bear its number.
const LEAST: u64 = 8;

/// A `$MFT` of which the beginning alone is known.
pub(super) struct MftStart {
    pub(super) extents: Extents,
    /// In bytes, up to the end of the last record that was seen.
    pub(super) size: u64,
    /// Records that were seen.
    pub(super) records: u64,
}

impl MftStart {
    /// Looks for the records that stand at cluster `lcn` and behind it. `None` where there are hardly any.
    pub(super) fn find(volume: &Volume, lcn: u64) -> Option<Self> {
        let start = volume.offset_of(lcn)?;
        let record_size = u64::try_from(volume.boot.record_size).ok()?;
        let together = usize::try_from(TOGETHER.max(record_size)).ok()?;
        let mut buf = vec![0; together];
        let (mut number, mut records, mut size) = (0u32, 0u64, 0u64);
        loop {
            let at = start.checked_add(u64::from(number).checked_mul(record_size)?)?;
            if at >= volume.bytes.size() {
                break;
            }
            // What is lost reads as zeros, which are no record.
            let _ = volume.read(&mut buf, at, 0, &mut Faults::new());
            let before = records;
            for record in buf.chunks_exact(volume.boot.record_size) {
                if own_number(record) == Some(number) {
                    records = records.saturating_add(1);
                    size = u64::from(number).saturating_add(1).saturating_mul(record_size);
                }
                number = number.checked_add(1)?;
            }
            if records == before {
                break;
            }
        }
        let mut extents = Extents::default();
        extents.push(size.div_ceil(volume.boot.cluster_size), Place::Clusters(lcn));
        (records >= LEAST).then_some(MftStart { extents, size, records })
    }
}
