//! What tells the header of a GUID partition table, and where on the disk it says to stand: UEFI 5.3.2.
//!
//! Partition tables are no part of any image format; but where an image has lost what says how large its disk is and how large
//! its sectors are, or is nothing but the disk, these few fields tell.

use crate::bytes::{array, u64_le};

/// The first eight bytes of the header.
pub(crate) const SIGNATURE: [u8; 8] = *b"EFI PART";

/// Where the primary stands, in sectors.
pub(crate) const PRIMARY_LBA: u64 = 1;

const MY_LBA: usize = 24;
const ALTERNATE_LBA: usize = 32;

/// Whether a sector begins as a header does.
pub(crate) fn is_signed(sector: &[u8]) -> bool {
    array(sector, 0) == Some(SIGNATURE)
}

/// The sector of the disk in which the header says to stand itself.
pub(crate) fn my_lba(sector: &[u8]) -> Option<u64> {
    u64_le(sector, MY_LBA)
}

/// The sector of the disk in which its copy stands, by its word. `None` where it names itself, or the boot record.
pub(crate) fn alternate_lba(sector: &[u8]) -> Option<u64> {
    u64_le(sector, ALTERNATE_LBA).filter(|other| *other > 0 && Some(*other) != my_lba(sector))
}

/// Whether a sector begins as a header does that belongs into sector `lba` of the disk.
pub(crate) fn belongs_at(sector: &[u8], lba: u64) -> bool {
    is_signed(sector) && my_lba(sector) == Some(lba)
}

/// The primary header at the start of a disk of sectors of this size.
pub(crate) fn primary(start: &[u8], sector_size: u32) -> Option<&[u8]> {
    let header = start.get(usize::try_from(sector_size).ok()?..)?;
    belongs_at(header, PRIMARY_LBA).then_some(header)
}

/// How large the sectors of a disk are, by the primary header at its start.
pub(crate) fn sector_size(start: &[u8]) -> Option<u32> {
    [512, 4096].into_iter().find(|size| primary(start, *size).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(my_lba: u64, alternate_lba: u64) -> Vec<u8> {
        let mut sector = SIGNATURE.to_vec();
        sector.resize(MY_LBA, 0);
        sector.extend(my_lba.to_le_bytes());
        sector.extend(alternate_lba.to_le_bytes());
        sector
    }

    #[test]
    fn a_header_belongs_into_one_sector_and_its_copy_into_another() {
        assert!(belongs_at(&header(1, 99), 1) && !belongs_at(&header(99, 1), 1));
        assert_eq!(alternate_lba(&header(1, 99)), Some(99));
        for alternate in [0, 1] {
            assert_eq!(alternate_lba(&header(1, alternate)), None, "{alternate}");
        }
        for size in [512u32, 4096] {
            let start = [vec![0; size as usize], header(1, 99)].concat();
            assert_eq!(sector_size(&start), Some(size));
        }
        assert_eq!(sector_size(&[vec![0; 512], header(99, 1)].concat()), None);
    }
}
