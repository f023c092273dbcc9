//! The region tables of a new file: [MS-VHDX] 2.2.3.

use std::ops::Range;

use super::with_checksum;
use crate::format::vhdx::region_table::{BAT, LENGTH, METADATA, SIGNATURE};

/// The 64 KiB of a region table.
pub(super) fn bytes(metadata: &Range<u64>, bat: &Range<u64>) -> Vec<u8> {
    const ENTRY_COUNT: u32 = 2;
    const RESERVED: u32 = 0;
    const REQUIRED: u32 = 1;
    with_checksum(|checksum| {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend(checksum.to_le_bytes());
        bytes.extend(ENTRY_COUNT.to_le_bytes());
        bytes.extend(RESERVED.to_le_bytes());
        for (id, region) in [(BAT, bat), (METADATA, metadata)] {
            let length = u32::try_from(region.end.saturating_sub(region.start)).unwrap_or(0);
            bytes.extend(id.0);
            bytes.extend(region.start.to_le_bytes());
            bytes.extend(length.to_le_bytes());
            bytes.extend(REQUIRED.to_le_bytes());
        }
        bytes.resize(LENGTH, 0);
        bytes
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::vhdx::region_table::RegionTable;

    #[test]
    fn it_reads_as_it_was_written() {
        let (metadata, bat) = (2 << 20..3 << 20, 3 << 20..5 << 20);
        let table = RegionTable::parse(&bytes(&metadata, &bat)).unwrap();
        assert_eq!((table.metadata, table.bat, table.unknown), (metadata, bat, Vec::new()));
    }
}
