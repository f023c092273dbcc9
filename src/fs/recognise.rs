//! Which file system, or what else, a volume holds: told by the marks that each leaves at a place of its own.

use super::marks::Marks;
use super::ntfs;
use crate::bytes::{u16_le, u32_le, u64_le};
use crate::image::ReadAt;

/// What a volume holds, by its marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileSystem {
    /// NTFS.
    Ntfs,
    /// A volume encrypted with BitLocker, `BitLocker To Go` among them.
    BitLocker,
    /// ReFS.
    Refs,
    /// FAT with 12-bit entries.
    Fat12,
    /// FAT with 16-bit entries.
    Fat16,
    /// FAT with 32-bit entries.
    Fat32,
    /// exFAT.
    ExFat,
    /// ext2: no journal.
    Ext2,
    /// ext3: a journal, and nothing of ext4.
    Ext3,
    /// ext4.
    Ext4,
    /// XFS.
    Xfs,
    /// Btrfs.
    Btrfs,
    /// A physical volume of Linux's logical volume manager.
    Lvm2,
    /// A member of a Linux software RAID.
    LinuxRaid,
    /// Linux swap space.
    LinuxSwap,
    /// A volume encrypted with LUKS.
    Luks,
    /// The database of Windows dynamic disks (LDM).
    Ldm,
    /// A member of a Storage Spaces pool.
    StorageSpaces,
    /// HFS+ or HFSX.
    HfsPlus,
    /// A container of APFS.
    Apfs,
    /// The file system of CDs.
    Iso9660,
}

impl FileSystem {
    /// The name for people and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            FileSystem::Ntfs => "NTFS",
            FileSystem::BitLocker => "BitLocker",
            FileSystem::Refs => "ReFS",
            FileSystem::Fat12 => "FAT12",
            FileSystem::Fat16 => "FAT16",
            FileSystem::Fat32 => "FAT32",
            FileSystem::ExFat => "exFAT",
            FileSystem::Ext2 => "ext2",
            FileSystem::Ext3 => "ext3",
            FileSystem::Ext4 => "ext4",
            FileSystem::Xfs => "XFS",
            FileSystem::Btrfs => "Btrfs",
            FileSystem::Lvm2 => "LVM2",
            FileSystem::LinuxRaid => "Linux RAID",
            FileSystem::LinuxSwap => "Linux swap",
            FileSystem::Luks => "LUKS",
            FileSystem::Ldm => "LDM",
            FileSystem::StorageSpaces => "Storage Spaces",
            FileSystem::HfsPlus => "HFS+",
            FileSystem::Apfs => "APFS",
            FileSystem::Iso9660 => "ISO 9660",
        }
    }
}

/// Bytes at the start that hold the marks of most.
const HEAD: usize = 8192;
/// Where the boot sectors of Windows have their name.
const OEM_NAME: usize = 3;

/// What `volume` holds; `None` where nothing is known by its marks. Reads little: the first 8 KiB, single places of
/// the first 128 KiB, and the end where all those tell nothing.
#[must_use]
pub fn recognise(volume: &dyn ReadAt) -> Option<FileSystem> {
    by_marks(&Marks::of(volume))
}

/// The same, through `marks`, which then know whether what was read for it was there.
pub(super) fn by_marks(marks: &Marks<'_>) -> Option<FileSystem> {
    let head = marks.read(0, HEAD);
    boot_sector(&head)
        .or_else(|| superblock(&head))
        .or_else(|| further_in(marks))
        .or_else(|| damaged_boot_sector(&head))
        .or_else(|| ntfs::has_boot_sector(marks).then_some(FileSystem::Ntfs))
}

fn has(bytes: &[u8], at: usize, mark: &[u8]) -> bool {
    bytes.get(at..).is_some_and(|rest| rest.starts_with(mark))
}

/// Boot sectors of DOS and Windows.
fn boot_sector(head: &[u8]) -> Option<FileSystem> {
    /// The GUID at its place in the boot sector of `BitLocker To Go`, which otherwise looks like FAT32.
    const BITLOCKER_TO_GO: [u8; 16] =
        [0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a, 0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01];
    if has(head, OEM_NAME, b"NTFS    ") {
        return Some(FileSystem::Ntfs);
    }
    if has(head, OEM_NAME, b"-FVE-FS-") || has(head, 0x1a8, &BITLOCKER_TO_GO) {
        return Some(FileSystem::BitLocker);
    }
    if has(head, OEM_NAME, b"ReFS\0\0\0\0") {
        return Some(FileSystem::Refs);
    }
    if has(head, OEM_NAME, b"EXFAT   ") {
        return Some(FileSystem::ExFat);
    }
    fat(head)
}

/// What is left of boot sectors that do not hold: the name of the type, which formatting tools put into those of FAT, and the copies of
/// those of FAT32 and exFAT. NTFS writes over all of these places. A copy of its own at the end may be that of an earlier volume.
fn damaged_boot_sector(head: &[u8]) -> Option<FileSystem> {
    const FAT32_COPY: usize = 6 * 512;
    const EXFAT_COPY: usize = 12 * 512;
    let names: [(usize, &[u8], FileSystem); 4] = [
        (0x36, b"FAT12   ", FileSystem::Fat12),
        (0x36, b"FAT16   ", FileSystem::Fat16),
        (0x52, b"FAT32   ", FileSystem::Fat32),
        (EXFAT_COPY + OEM_NAME, b"EXFAT   ", FileSystem::ExFat),
    ];
    let named = names.iter().find(|(at, name, _)| has(head, *at, name)).map(|(_, _, found)| *found);
    named.or_else(|| fat(head.get(FAT32_COPY..)?).filter(|found| *found == FileSystem::Fat32))
}

/// FAT has no mark of its own: the fields must make sense, and the count of clusters tells which one it is.
fn fat(head: &[u8]) -> Option<FileSystem> {
    let jump = matches!(head.first_chunk::<3>()?, [0xeb, _, 0x90] | [0xe9, _, _]);
    let sector = u32::from(u16_le(head, 0x0b)?);
    let cluster = u32::from(*head.get(0x0d)?);
    let reserved = u32::from(u16_le(head, 0x0e)?);
    let fats = u32::from(*head.get(0x10)?);
    let roots = u32::from(u16_le(head, 0x11)?);
    let media = *head.get(0x15)?;
    let sane = has(head, 0x1fe, &[0x55, 0xaa])
        && jump
        && matches!(sector, 512 | 1024 | 2048 | 4096)
        && cluster.is_power_of_two()
        && reserved > 0
        && matches!(fats, 1 | 2)
        && (media == 0xf0 || media >= 0xf8);
    let either = |short: u16, long: u32| if short == 0 { long } else { u32::from(short) };
    let sectors = either(u16_le(head, 0x13)?, u32_le(head, 0x20)?);
    let fat_length = either(u16_le(head, 0x16)?, u32_le(head, 0x24)?);
    let root_sectors = roots.checked_mul(32)?.div_ceil(sector.max(1));
    let used = fat_length.checked_mul(fats)?.checked_add(reserved)?.checked_add(root_sectors)?;
    let clusters = sectors.checked_sub(used)?.checked_div(cluster)?;
    match clusters {
        _ if !sane || fat_length == 0 => None,
        _ if u16_le(head, 0x16)? == 0 => Some(FileSystem::Fat32),
        ..4085 => Some(FileSystem::Fat12),
        _ => Some(FileSystem::Fat16),
    }
}

/// Marks in the first 8 KiB.
fn superblock(head: &[u8]) -> Option<FileSystem> {
    let marks: [(usize, &[u8], FileSystem); 9] = [
        (0, b"XFSB", FileSystem::Xfs),
        (0, b"LUKS\xba\xbe", FileSystem::Luks),
        (0, b"PRIVHEAD", FileSystem::Ldm),
        (0xc00, b"PRIVHEAD", FileSystem::Ldm),
        (0x1000, b"SPACEDB ", FileSystem::StorageSpaces),
        (0x400, b"H+\0\x04", FileSystem::HfsPlus),
        (0x400, b"HX\0\x05", FileSystem::HfsPlus),
        (0x20, b"NXSB", FileSystem::Apfs),
        (0x1000, b"\xfc\x4e\x2b\xa9", FileSystem::LinuxRaid),
    ];
    let marked = marks.iter().find(|(at, mark, _)| has(head, *at, mark)).map(|(_, _, found)| *found);
    marked.or_else(|| lvm2(head)).or_else(|| ext(head)).or_else(|| swap(head, 4096))
}

/// The label stands in one of the first four sectors.
fn lvm2(head: &[u8]) -> Option<FileSystem> {
    let labels = head.chunks_exact(512).take(4);
    let mut marked = labels.filter(|sector| has(sector, 0, b"LABELONE") && has(sector, 0x18, b"LVM2 001"));
    marked.next().map(|_| FileSystem::Lvm2)
}

/// The features of the superblock tell the three apart.
fn ext(head: &[u8]) -> Option<FileSystem> {
    const HAS_JOURNAL: u32 = 0x4;
    /// Those that ext2 and ext3 have: `filetype`, `recover`, `journal_dev`, `meta_bg`.
    const OLD_INCOMPATIBLE: u32 = 0x2 | 0x4 | 0x8 | 0x10;
    /// Those that ext2 and ext3 have: `sparse_super`, `large_file`, `btree_dir`.
    const OLD_READ_ONLY: u32 = 0x1 | 0x2 | 0x4;
    let block = head.get(0x400..)?;
    if u16_le(block, 0x38)? != 0xef53 {
        return None;
    }
    let (compatible, incompatible, read_only) = (u32_le(block, 0x5c)?, u32_le(block, 0x60)?, u32_le(block, 0x64)?);
    Some(if incompatible & !OLD_INCOMPATIBLE != 0 || read_only & !OLD_READ_ONLY != 0 {
        FileSystem::Ext4
    } else if compatible & HAS_JOURNAL != 0 {
        FileSystem::Ext3
    } else {
        FileSystem::Ext2
    })
}

/// The mark stands at the end of the first page, whose size is the machine's.
fn swap(page: &[u8], size: usize) -> Option<FileSystem> {
    let at = size.checked_sub(10)?;
    (has(page, at, b"SWAPSPACE2") || has(page, at, b"SWAP-SPACE")).then_some(FileSystem::LinuxSwap)
}

/// Marks behind the first 8 KiB.
fn further_in(marks: &Marks<'_>) -> Option<FileSystem> {
    let btrfs = marks.read(0x1_0000, 0x48);
    // The superblock also names the place where it stands.
    if has(&btrfs, 0x40, b"_BHRfS_M") && u64_le(&btrfs, 0x30) == Some(0x1_0000) {
        return Some(FileSystem::Btrfs);
    }
    if has(&marks.read(0x8001, 5), 0, b"CD001") {
        return Some(FileSystem::Iso9660);
    }
    let large_pages = [8192, 16384, 65536u64];
    large_pages.iter().find_map(|page| swap(&marks.read(page.checked_sub(10)?, 10), 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes, and where on the volume they stand.
    type Marks<'a> = &'a [(usize, &'a [u8])];

    fn volume(marks: Marks<'_>) -> Vec<u8> {
        let mut bytes = vec![0; 0x4_0000];
        for (at, mark) in marks {
            bytes[*at..*at + mark.len()].copy_from_slice(mark);
        }
        bytes
    }

    #[test]
    fn each_is_known_by_its_mark() {
        let cases: [(Marks<'_>, FileSystem); 14] = [
            (&[(3, b"NTFS    ")], FileSystem::Ntfs),
            (&[(3, b"-FVE-FS-")], FileSystem::BitLocker),
            (&[(3, b"ReFS\0\0\0\0")], FileSystem::Refs),
            (&[(3, b"EXFAT   ")], FileSystem::ExFat),
            (&[(0x438, b"\x53\xef")], FileSystem::Ext2),
            (&[(0x438, b"\x53\xef"), (0x45c, &[4])], FileSystem::Ext3),
            (&[(0x438, b"\x53\xef"), (0x45c, &[4]), (0x460, &[0x40])], FileSystem::Ext4),
            (&[(0, b"XFSB")], FileSystem::Xfs),
            (&[(0x1_0040, b"_BHRfS_M"), (0x1_0032, &[1])], FileSystem::Btrfs),
            (&[(0x200, b"LABELONE"), (0x218, b"LVM2 001")], FileSystem::Lvm2),
            (&[(4086, b"SWAPSPACE2")], FileSystem::LinuxSwap),
            (&[(65526, b"SWAPSPACE2")], FileSystem::LinuxSwap),
            (&[(0, b"PRIVHEAD")], FileSystem::Ldm),
            (&[(0x8001, b"CD001")], FileSystem::Iso9660),
        ];
        for (marks, expected) in cases {
            assert_eq!(recognise(&volume(marks)), Some(expected));
        }
        assert_eq!(recognise(&volume(&[])), None);
        assert_eq!(recognise(&Vec::new()), None);
    }

    #[test]
    fn the_count_of_clusters_tells_the_fats_apart() {
        // Sectors of 512, 4 to a cluster, 1 reserved, 2 FATs of 32 sectors, 512 root entries.
        let fat = |sectors: u32, fat_length: u16| {
            let mut head = volume(&[(0, &[0xeb, 0x3c, 0x90]), (0x1fe, &[0x55, 0xaa])]);
            head[0x0b..0x16].copy_from_slice(&[0, 2, 4, 1, 0, 2, 0, 2, 0, 0, 0xf8]);
            head[0x16..0x18].copy_from_slice(&fat_length.to_le_bytes());
            head[0x20..0x24].copy_from_slice(&sectors.to_le_bytes());
            head[0x24] = 32;
            recognise(&head)
        };
        assert_eq!(fat(97 + 4 * 4084, 32), Some(FileSystem::Fat12));
        assert_eq!(fat(97 + 4 * 4085, 32), Some(FileSystem::Fat16));
        assert_eq!(fat(1 << 20, 0), Some(FileSystem::Fat32));
        assert_eq!(fat(10, 32), None);
    }
}
