//! Where a disk ends, by the partition table that stands at its start.
//!
//! Partition tables are no part of the format; of theirs, only the numbers that tell the size of the disk are looked at here.

use crate::Faults;
use crate::bytes::{array, u32_le};
use crate::format::gpt_header;
use crate::image::ReadAt;

/// A place of the MBR's four entries, and what stands in them.
const MBR_ENTRIES: usize = 446;
const MBR_ENTRY: usize = 16;
/// The type of the partition that protects a GPT.
const PROTECTIVE: u8 = 0xee;

/// Where a disk ends by its partition table.
#[derive(Debug, Clone, Copy)]
pub(super) struct DiskEnd {
    /// Bytes of the disk.
    pub(super) bytes: u64,
    /// It ends there; else it may be larger.
    pub(super) is_exact: bool,
}

/// The start of a disk, as far as the image itself holds it.
pub(super) struct DiskStart(Vec<u8>);

impl DiskStart {
    /// Reads it where it stands in the file. `None` where it cannot be read.
    pub(super) fn read(file: &dyn ReadAt, offset: u64) -> Option<Self> {
        let mut bytes = vec![0; 2 * 4096];
        let mut faults = Faults::new();
        file.read_at(&mut bytes, offset, &mut faults).ok()?;
        (!faults.any_lost()).then_some(DiskStart(bytes))
    }

    /// The sector size by which a GPT header stands in the second sector.
    pub(super) fn sector_size(&self) -> Option<u32> {
        gpt_header::sector_size(&self.0)
    }

    /// Where the disk ends: where the backup of the GPT does, or else no earlier than the last partition of the MBR.
    pub(super) fn end(&self, sector_size: u32) -> Option<DiskEnd> {
        let backup = gpt_header::primary(&self.0, sector_size).and_then(gpt_header::alternate_lba);
        let (sectors, is_exact) = match backup {
            Some(backup) => (backup.checked_add(1)?, true),
            // A master boot record may end before the disk does.
            None => (self.last_of_mbr()?, false),
        };
        let bytes = sectors.checked_mul(u64::from(sector_size)).filter(|bytes| *bytes > 0)?;
        Some(DiskEnd { bytes, is_exact })
    }

    fn last_of_mbr(&self) -> Option<u64> {
        if array(&self.0, 510)? != [0x55, 0xaa] {
            return None;
        }
        let entries = self.0.get(MBR_ENTRIES..510)?.chunks_exact(MBR_ENTRY);
        let end = |entry: &[u8]| {
            let kind = *entry.get(4)?;
            let end = u64::from(u32_le(entry, 8)?).checked_add(u64::from(u32_le(entry, 12)?))?;
            (kind != 0 && kind != PROTECTIVE && matches!(entry.first(), Some(0 | 0x80))).then_some(end)
        };
        entries.filter_map(end).max()
    }
}
