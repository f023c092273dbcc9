//! Boot sectors that are wrong in one place while no other copy of them is whole.

use mount_api::{Tree, Trust};
use vhdx_mount::fs::{FileSystem, recognise};
use vhdx_mount::report::Code;

use crate::forge::{Forge, all_right, sample};
use crate::walk::find;

/// Where fields of the boot sector stand, and what may stand there instead.
const NAME: usize = 3;
const SECTOR_SIZE: usize = 0x0b;
const CLUSTER_SIZE: usize = 0x0d;
const SECTORS: usize = 0x28;
const MFT_LCN: usize = 0x30;
const RECORD_SIZE: usize = 0x40;
const END_MARK: usize = 510;

fn put(forge: &mut Forge, at: usize, bytes: &[u8]) {
    forge.bytes[at..at + bytes.len()].copy_from_slice(bytes);
}

fn is_ntfs(forge: &Forge) -> bool {
    recognise(&forge.bytes) == Some(FileSystem::Ntfs)
}

/// The volume is known and all of it is proven; the one finding says that the boot sector is bad.
fn all_is_there(forge: &Forge, contents: &crate::forge::Contents, what: &str) {
    assert!(is_ntfs(forge), "{what}");
    let ntfs = forge.open();
    all_right(&ntfs, contents, |_| false);
    let codes: Vec<Code> = ntfs.findings().iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::NtfsBootSectorBad], "{what}");
    assert_eq!(ntfs.attr(find(&ntfs, "plain 3")).unwrap().trust, Trust::Proven, "{what}");
}

#[test]
fn one_wrong_place_costs_nothing_without_a_backup() {
    let test = "one_wrong_place_costs_nothing_without_a_backup";
    let Some((mut forge, contents)) = sample(test) else { return };
    let backup = forge.bytes.len() - 512;
    forge.bytes[backup..].fill(0);
    // The program does not ask for the jump.
    let mut jump = forge.clone();
    jump.bytes[0] = 0;
    assert_eq!(jump.open().findings().len(), 0);
    let places: [(usize, &[u8]); 15] = [
        (NAME, b"M"),
        (NAME + 3, b"s"),
        (NAME + 4, &[0; 4]),
        (END_MARK, &[0]),
        (END_MARK, &[0; 2]),
        (SECTOR_SIZE, &[1]),
        (SECTOR_SIZE, &[0, 4]),
        (SECTOR_SIZE, &[0xff; 2]),
        (CLUSTER_SIZE, &[0]),
        (CLUSTER_SIZE, &[4]),
        (CLUSTER_SIZE, &[16]),
        (RECORD_SIZE, &[0xf4]),
        (RECORD_SIZE, &[1]),
        (SECTORS, &[0xff; 8]),
        (SECTORS, &[0; 8]),
    ];
    for (at, bytes) in places {
        let mut forge = forge.clone();
        put(&mut forge, at, bytes);
        all_is_there(&forge, contents, &format!("{at:#x}: {bytes:x?}"));
    }
}

#[test]
fn each_of_two_wrong_copies_is_enough() {
    let Some((mut forge, contents)) = sample("each_of_two_wrong_copies_is_enough") else { return };
    let backup = forge.bytes.len() - 512;
    put(&mut forge, NAME, b"X");
    put(&mut forge, backup + NAME + 1, b"X");
    all_is_there(&forge, contents, "both");
    // The records of the $MFT are whole but for its first one, whose copy tells the same.
    let mut copy = forge.clone();
    let first = copy.record(0);
    copy.bytes[first].fill(0);
    let ntfs = copy.open();
    all_right(&ntfs, contents, |_| false);
    forge.bytes[..512].fill(0);
    all_is_there(&forge, contents, "the backup");
    put(&mut forge, backup + END_MARK, &[0; 2]);
    all_is_there(&forge, contents, "the backup, wrong in two places");
}

#[test]
fn what_the_mft_does_not_prove_is_no_boot_sector() {
    let test = "what_the_mft_does_not_prove_is_no_boot_sector";
    let Some((mut forge, _)) = sample(test) else { return };
    let backup = forge.bytes.len() - 512;
    forge.bytes[backup..].fill(0);
    for (name, expected) in [
        (b"-FVE-FS-", Some(FileSystem::BitLocker)),
        (b"-FVE-FSx", None),
        (b"EXFAT   ", Some(FileSystem::ExFat)),
        (b"ReFS\0\0\0\0", Some(FileSystem::Refs)),
        (b"ReFS\0\0\0x", None),
        (b"MSDOS5.0", None),
        (b"NTF     ", Some(FileSystem::Ntfs)),
    ] {
        put(&mut forge, NAME, name);
        assert_eq!(recognise(&forge.bytes), expected, "{}", name.escape_ascii());
    }
    let (first, mirror) = (forge.record(0), forge.mirror());
    // Torn, and of another number.
    let mut torn = forge.clone();
    torn.bytes[first.end - 1] ^= 1;
    assert!(is_ntfs(&torn));
    torn.bytes[mirror + 1023] ^= 1;
    assert!(!is_ntfs(&torn));
    let mut other = forge.clone();
    for start in [first.start, mirror] {
        other.bytes.copy_within(first.start + 1024..first.start + 2048, start);
    }
    assert!(!is_ntfs(&other));
    // A record that has the $MFT begin elsewhere: what is left of another volume.
    let mut moved = forge.clone();
    moved.edit_attribute(0, crate::forge::DATA, |data| {
        let runs = usize::from(data[0x20]);
        data[runs + 1 + usize::from(data[runs] & 15)] ^= 0x40;
    });
    moved.bytes.copy_within(first, mirror);
    assert!(!is_ntfs(&moved));
}

#[test]
fn an_mft_whose_record_has_no_room_for_its_name_proves_the_same() {
    let test = "an_mft_whose_record_has_no_room_for_its_name_proves_the_same";
    let Some((mut forge, contents)) = sample(test) else { return };
    let backup = forge.bytes.len() - 512;
    forge.bytes[backup..].fill(0);
    let (first, mirror) = (forge.record(0), forge.mirror());
    // As where an attribute list leads to an extension record for it.
    forge.edit(first.clone(), |record| {
        let (mut at, used) = (usize::from(record[0x14]), usize::from(u16::from_le_bytes([record[0x18], record[0x19]])));
        while record[at] != 0x30 {
            at += usize::from(record[at + 4]);
        }
        let length = usize::from(record[at + 4]);
        record.copy_within(at + length..used, at);
        record[0x18..0x1a].copy_from_slice(&((used - length) as u16).to_le_bytes());
    });
    forge.bytes.copy_within(first, mirror);
    for (at, bytes) in [(NAME, &b"M"[..]), (CLUSTER_SIZE, &[16])] {
        let mut forge = forge.clone();
        put(&mut forge, at, bytes);
        assert!(is_ntfs(&forge), "{at:#x}");
        all_right(&forge.open(), contents, |_| false);
    }
}

/// A disk that held a larger volume before: what that one had in the last sector stands there yet.
#[test]
fn the_backup_of_an_earlier_volume_does_not_count() {
    let Some((mut forge, contents)) = sample("the_backup_of_an_earlier_volume_does_not_count") else { return };
    let end = forge.bytes.len();
    let mut earlier = forge.bytes[..512].to_vec();
    earlier[0x48] ^= 0x55;
    earlier[SECTORS..SECTORS + 8].copy_from_slice(&((end / 512 + 127) as u64).to_le_bytes());
    earlier[MFT_LCN] += 7;
    forge.bytes.resize(end + 128 * 512, 0);
    let last = forge.bytes.len() - 512;
    forge.bytes[last..].copy_from_slice(&earlier);
    // With its own backup, without, and made smaller by a tool that leaves the old backup.
    let mut alone = forge.clone();
    alone.bytes[end - 512..end].fill(0);
    let mut shrunk = alone.clone();
    shrunk.bytes[last + 0x48] ^= 0x55;
    shrunk.bytes[last + MFT_LCN] -= 7;
    for (forge, what) in [(&forge, "own backup"), (&alone, "no backup"), (&shrunk, "smaller")] {
        let ntfs = forge.open();
        all_right(&ntfs, contents, |_| false);
        assert!(ntfs.findings().is_empty(), "{what}: {:?}", ntfs.findings());
    }
    put(&mut forge, NAME, b"X");
    all_is_there(&forge, contents, "one letter");
    put(&mut forge, NAME, b"N");
    put(&mut forge, CLUSTER_SIZE, &[16]);
    all_is_there(&forge, contents, "the size of a cluster");
}

/// What the last sector has is of the volume before.
#[test]
fn a_damaged_boot_sector_of_another_file_system_is_no_ntfs() {
    let test = "a_damaged_boot_sector_of_another_file_system_is_no_ntfs";
    let Some((mut forge, _)) = sample(test) else { return };
    forge.bytes[..8192].fill(0);
    assert!(is_ntfs(&forge));
    for (at, name, expected) in [
        (0x36, b"FAT16   ", FileSystem::Fat16),
        (0x52, b"FAT32   ", FileSystem::Fat32),
        (12 * 512 + NAME, b"EXFAT   ", FileSystem::ExFat),
    ] {
        let mut forge = forge.clone();
        put(&mut forge, at, name);
        assert_eq!(recognise(&forge.bytes), Some(expected), "{at:#x}");
    }
}

#[test]
fn a_boot_sector_of_another_volume_gives_way_to_the_backup() {
    let test = "a_boot_sector_of_another_volume_gives_way_to_the_backup";
    let Some((mut forge, contents)) = sample(test) else { return };
    forge.bytes[0x48] ^= 0x55;
    for at in [MFT_LCN, MFT_LCN + 8] {
        forge.bytes[at] ^= 0x41;
    }
    all_is_there(&forge, contents, "another volume");
}

#[test]
fn a_count_of_sectors_that_may_be_is_held_against_the_files_of_the_volume() {
    let test = "a_count_of_sectors_that_may_be_is_held_against_the_files_of_the_volume";
    let Some((mut forge, contents)) = sample(test) else { return };
    // So few that not even the $MFT stands in them; and by the serial number the backup is that of another volume.
    for sectors in [40u64, 100, 253] {
        let mut forge = forge.clone();
        put(&mut forge, SECTORS, &sectors.to_le_bytes());
        forge.bytes[0x48] ^= 1;
        all_is_there(&forge, contents, "another serial number");
    }
    let end = forge.bytes.len();
    forge.bytes[end - 512..].fill(0);
    for sectors in [(end / 512 / 2) as u64, 253, 100] {
        put(&mut forge, SECTORS, &sectors.to_le_bytes());
        all_is_there(&forge, contents, "too few sectors");
    }
    // That there are more costs nothing.
    put(&mut forge, SECTORS, &((end / 512 + 4096) as u64).to_le_bytes());
    all_right(&forge.open(), contents, |_| false);
}
