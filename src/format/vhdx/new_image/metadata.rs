//! The metadata region of a new file: [MS-VHDX] 2.6. Its table, and the items of a disk without a parent behind it.

use crate::bytes::{Guid, len_u64};
use crate::format::vhdx::metadata::{
    FILE_PARAMETERS, LOGICAL_SECTOR_SIZE, PHYSICAL_SECTOR_SIZE, TABLE_LENGTH, TABLE_SIGNATURE, VIRTUAL_DISK_ID,
    VIRTUAL_DISK_SIZE,
};
use crate::layer::Geometry;

/// The item tells of the virtual disk, not of the file.
const IS_VIRTUAL_DISK: u32 = 2;
const IS_REQUIRED: u32 = 4;

/// The region's bytes as far as it holds anything.
pub(super) fn region(disk: &Geometry, disk_id: Guid) -> Vec<u8> {
    // Neither LeaveBlocksAllocated nor HasParent.
    const FLAGS: u32 = 0;
    let parameters = [disk.block_size.to_le_bytes(), FLAGS.to_le_bytes()].concat();
    let of_disk = IS_VIRTUAL_DISK | IS_REQUIRED;
    table_and_items(&[
        (FILE_PARAMETERS, IS_REQUIRED, &parameters),
        (VIRTUAL_DISK_SIZE, of_disk, &disk.virtual_size.to_le_bytes()),
        (VIRTUAL_DISK_ID, of_disk, &disk_id.0),
        (LOGICAL_SECTOR_SIZE, of_disk, &disk.logical_sector_size.to_le_bytes()),
        (PHYSICAL_SECTOR_SIZE, of_disk, &disk.physical_sector_size.to_le_bytes()),
    ])
}

/// Items by id, flags and content.
fn table_and_items(items: &[(Guid, u32, &[u8])]) -> Vec<u8> {
    const RESERVED: [u8; 20] = [0; 20];
    let mut table = TABLE_SIGNATURE.to_vec();
    table.extend([0, 0]);
    table.extend(u16::try_from(items.len()).unwrap_or(0).to_le_bytes());
    table.extend(RESERVED);
    let mut behind = Vec::new();
    for (id, flags, content) in items {
        let offset = TABLE_LENGTH.saturating_add(behind.len());
        table.extend(id.0);
        table.extend(u32::try_from(offset).unwrap_or(0).to_le_bytes());
        table.extend(u32::try_from(len_u64(content)).unwrap_or(0).to_le_bytes());
        table.extend(flags.to_le_bytes());
        table.extend([0; 4]);
        behind.extend_from_slice(content);
    }
    table.resize(TABLE_LENGTH, 0);
    table.append(&mut behind);
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::vhdx::metadata::read;

    #[test]
    fn it_reads_as_it_was_written() {
        let disk = Geometry {
            virtual_size: 127 << 30,
            block_size: 32 << 20,
            logical_sector_size: 512,
            physical_sector_size: 4096,
        };
        let mut file = vec![0; 2 << 20];
        let region = region(&disk, Guid([7; 16]));
        file[1 << 20..][..region.len()].copy_from_slice(&region);
        let mut findings = Vec::new();
        let metadata = read(&file, &(1 << 20..2 << 20), false, &mut findings).unwrap();
        assert_eq!((metadata.geometry(), metadata.disk_id), (Some(disk), Some(Guid([7; 16]))));
        assert_eq!((metadata.has_parent, metadata.leave_blocks_allocated), (Some(false), false));
        assert!(findings.is_empty() && metadata.lost.is_empty(), "{findings:?} {:?}", metadata.lost);
    }
}
