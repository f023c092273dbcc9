//! Partition tables, whole and damaged: where the volumes lie, how they are numbered, what is said.

use std::ops::{ControlFlow, Range};
use std::path::Path;

use fixtures::bytes::{Bytes, SparseBytes};
use fixtures::chain::{Chain, spread};
use fixtures::gpt::{self, Gpt};
use fixtures::mbr::{Entry, Extended, Logical, Mbr};
use fixtures::random::Rng;
use fixtures::vhdx::{Block, Image};
use mount_api::{Case, From, Name, NodeId, RangeKind, Time, Tree};
use vhdx_mount::chain::{self, ChainOptions, DiskJudge};
use vhdx_mount::fs::FsOptions;
use vhdx_mount::image::HostFolders;
use vhdx_mount::namespace::{Inventory, Namespace, Shown, VolumeJudge};
use vhdx_mount::report::{Finding, Severity, quoted};
use vhdx_mount::volume::{self, PartitionTable, Scheme};

mod damaged_tables;

const DISK: usize = 8 << 20;

fn find(disk: &Vec<u8>, sector_size: u32) -> (PartitionTable, Vec<&'static str>) {
    let mut findings: Vec<Finding> = Vec::new();
    let table = volume::find(disk, sector_size, &mut findings);
    (table, findings.iter().map(|finding| finding.code.as_str()).collect())
}

fn places(table: &PartitionTable) -> Vec<(u32, Range<u64>)> {
    table.partitions.iter().map(|partition| (partition.number, partition.disk.clone())).collect()
}

fn gpt_disk(sector_size: u32) -> Vec<u8> {
    let mut disk = vec![0; DISK];
    let mut table = Gpt::new(sector_size).with(256, 16).with(512, 32).with(768, 64);
    // Slot 1 is free: numbers keep the gap.
    table.partitions[1].slot = 6;
    table.partitions[2].kind = gpt::EFI_SYSTEM;
    table.write(&mut disk);
    disk
}

/// Where the partitions of [`gpt_disk`] lie.
fn gpt_places(sector_size: u64) -> Vec<(u32, Range<u64>)> {
    let place = |number, first, sectors| (number, first * sector_size..(first + sectors) * sector_size);
    vec![place(1, 256, 16), place(3, 768, 64), place(7, 512, 32)]
}

#[test]
fn gpt_partitions_are_numbered_by_slot() {
    for sector_size in [512, 4096] {
        let (table, codes) = find(&gpt_disk(sector_size), sector_size);
        assert_eq!((table.scheme, places(&table)), (Scheme::Gpt, gpt_places(sector_size.into())));
        assert_eq!(codes, Vec::<&str>::new());
        assert_eq!(table.partitions[1].kind.describe(), "EFI system");
        assert_eq!(table.partitions[0].name, "Basic data partition");
    }
}

#[test]
fn a_table_of_the_other_sector_size_is_found_too() {
    for (of_table, of_image) in [(4096, 512), (512, 4096)] {
        let (table, codes) = find(&gpt_disk(of_table), of_image);
        assert_eq!(places(&table), gpt_places(of_table.into()));
        assert_eq!(codes, ["gpt-sector-size"]);
    }
}

#[test]
fn the_advice_for_a_table_of_other_sectors_names_the_opened_image() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut disk = SparseBytes::default();
    disk.set_size(DISK as u64);
    disk.write_at(0, &gpt_disk(4096));
    let images = spread(&disk, 1, 512, &mut Rng::new(1));
    let forged = Chain::write(images, folder.path()).expect("a chain is written");
    let chain = chain::open(&HostFolders, &forged.youngest, &ChainOptions::default()).expect("a chain");
    let inventory = Inventory::take(chain, &FsOptions::default());
    let [finding] = inventory.findings.as_slice() else { panic!("{:?}", inventory.findings) };
    let advice = finding.advice.as_deref().expect("advice");
    let name = forged.youngest.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(
        advice.contains(&format!("--assume {} ", quoted(Path::new(&format!("{name}:sector-size=4096"))))),
        "{advice}"
    );
}

#[test]
fn the_backup_stands_in_for_the_primary() {
    for sector_size in [512u32, 4096] {
        let start = sector_size as usize;
        // Signature, header, an entry: each is under a checksum.
        for spoilt in [start, start + 40, 2 * start + 32] {
            let mut disk = gpt_disk(sector_size);
            disk[spoilt] ^= 1;
            let (table, codes) = find(&disk, sector_size);
            assert_eq!(places(&table), gpt_places(sector_size.into()), "{spoilt}");
            assert_eq!(codes, ["gpt-primary-bad"]);
        }
        let mut disk = gpt_disk(sector_size);
        disk[..2 * start].fill(0);
        assert_eq!(
            places(&find(&disk, sector_size).0),
            gpt_places(sector_size.into()),
            "the first two sectors are gone"
        );
    }
}

/// A changed header whose checksum holds: UEFI 5.3.2.
fn sealed(disk: &mut [u8], at: usize, change: impl FnOnce(&mut [u8])) {
    let header = &mut disk[at..at + 92];
    change(header);
    header[16..20].fill(0);
    let sum = crc32fast::hash(header);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
}

#[test]
fn a_header_counts_only_where_it_says_to_stand() {
    for sector_size in [512u32, 4096] {
        let size = sector_size as usize;
        let whole = gpt_disk(sector_size);
        // Its own copy, written over it as it stands: what it names as the other one is itself.
        let mut disk = whole.clone();
        disk.copy_within(DISK - size.., size);
        let (table, codes) = find(&disk, sector_size);
        assert_eq!((places(&table), codes), (gpt_places(sector_size.into()), vec!["gpt-primary-bad"]));
        // The other way round.
        let mut disk = whole.clone();
        disk.copy_within(size..2 * size, DISK - size);
        let (table, codes) = find(&disk, sector_size);
        assert_eq!((places(&table), codes), (gpt_places(sector_size.into()), vec!["gpt-backup-bad"]));
        // Where nothing else is left, it is better than nothing.
        let mut disk = whole.clone();
        disk.copy_within(DISK - size.., size);
        disk[DISK - size..].fill(0);
        let mut findings = Vec::new();
        let table = volume::find(&disk, sector_size, &mut findings);
        assert_eq!(places(&table), gpt_places(sector_size.into()));
        assert_eq!((findings[0].code.as_str(), findings[0].severity), ("gpt-lost", Severity::Error));
    }
}

#[test]
fn a_primary_that_names_itself_has_no_backup() {
    let mut disk = gpt_disk(512);
    sealed(&mut disk, 512, |header| header[32..40].copy_from_slice(&1u64.to_le_bytes()));
    let (table, codes) = find(&disk, 512);
    assert_eq!((places(&table), codes), (gpt_places(512), vec!["gpt-backup-bad"]));
}

#[test]
fn a_bad_backup_is_told_and_costs_nothing() {
    let mut disk = gpt_disk(512);
    disk[DISK - 512] ^= 1;
    let (table, codes) = find(&disk, 512);
    assert_eq!((places(&table), codes), (gpt_places(512), vec!["gpt-backup-bad"]));
}

#[test]
fn without_either_table_the_entries_are_used_as_they_lie_or_there_are_no_volumes() {
    let mut disk = gpt_disk(512);
    disk[DISK - 512] ^= 1;
    // An unused entry: the checksum of the entries does not hold any more.
    disk[1024 + 10 * 128 + 100] ^= 1;
    let (table, codes) = find(&disk, 512);
    assert_eq!((places(&table), codes), (gpt_places(512), vec!["gpt-lost"]));

    disk[512] ^= 1;
    let (table, codes) = find(&disk, 512);
    assert_eq!((table.scheme, places(&table), codes), (Scheme::Gpt, vec![], vec!["gpt-lost"]));
}

fn mbr() -> Mbr {
    let mut table = Mbr::new(512);
    table.primary[0] = Some(Entry::ntfs(2048, 100));
    table.primary[3] = Some(Entry::ntfs(4096, 200));
    table.extended = Some(Extended {
        slot: 1,
        first: 8192,
        sectors: 6000,
        // The chain need not follow the disk.
        logical: vec![
            Logical { record: 8192, partition: Entry::ntfs(8200, 10) },
            Logical { record: 13_000, partition: Entry::ntfs(13_100, 30) },
            Logical { record: 9000, partition: Entry::ntfs(9001, 20) },
        ],
    });
    table
}

/// Where the partitions of [`mbr`] lie.
fn mbr_places() -> Vec<(u32, Range<u64>)> {
    let place = |number, first: u64, sectors: u64| (number, first * 512..(first + sectors) * 512);
    vec![place(1, 2048, 100), place(4, 4096, 200), place(5, 8200, 10), place(6, 13_100, 30), place(7, 9001, 20)]
}

fn mbr_disk() -> Vec<u8> {
    let mut disk = vec![0; DISK];
    mbr().write(&mut disk);
    disk
}

#[test]
fn mbr_partitions_are_1_to_4_and_logical_ones_from_5() {
    let (table, codes) = find(&mbr_disk(), 512);
    assert_eq!((table.scheme, places(&table), codes), (Scheme::Mbr, mbr_places(), vec![]));
}

#[test]
fn extended_boot_records_that_go_round_or_end_in_nothing_keep_those_before() {
    let mut round = mbr_disk();
    // The last record points back to the first: its second entry, relative to the extended partition.
    let last = 9000 * 512;
    round[last + 462 + 4] = 5;
    round[last + 462 + 12] = 1;
    let (table, codes) = find(&round, 512);
    assert_eq!((places(&table), codes), (mbr_places(), vec!["partition-bad"]));

    let mut nothing = mbr_disk();
    nothing[last..last + 512].fill(0);
    let (table, codes) = find(&nothing, 512);
    assert_eq!((places(&table), codes), (mbr_places()[..4].to_vec(), vec!["partition-bad"]));

    // Whatever its entries' status bytes are: another record leads here.
    let mut odd = mbr_disk();
    odd[13_000 * 512 + 446] = 0x41;
    let (table, codes) = find(&odd, 512);
    assert_eq!((places(&table), codes), (mbr_places(), vec![]));

    let mut cut = mbr_disk();
    cut.truncate(10_000 * 512);
    let (table, codes) = find(&cut, 512);
    assert_eq!(places(&table), mbr_places()[..3]);
    assert_eq!(codes, ["partition-table-unreadable"]);
}

#[test]
fn of_more_than_128_logical_partitions_the_first_are_shown_and_no_circle_is_told() {
    for (count, told) in [(128, 0), (129, 1)] {
        let logical = |number: u32| {
            let record = 4096 + number * 8;
            Logical { record, partition: Entry::ntfs(record + 1, 7) }
        };
        let extended =
            Extended { slot: 0, first: 4096, sectors: 8 * count, logical: (0..count).map(logical).collect() };
        let mut disk = vec![0; DISK];
        Mbr { extended: Some(extended), ..Mbr::new(512) }.write(&mut disk);
        let mut findings: Vec<Finding> = Vec::new();
        assert_eq!(volume::find(&disk, 512, &mut findings).partitions.len(), 128);
        assert_eq!(findings.len(), told, "{findings:?}");
        for finding in findings {
            assert!(finding.text.contains("more than 128") && !finding.text.contains("circle"), "{}", finding.text);
        }
    }
}

#[test]
fn a_gpt_of_an_earlier_life_does_not_hide_the_partitions_of_an_mbr() {
    // All of it, or the backup alone: partitioning anew writes the first sectors and forgets the last ones.
    for primary_is_left in [true, false] {
        let mut disk = gpt_disk(512);
        if !primary_is_left {
            disk[..34 * 512].fill(0);
        }
        mbr().write(&mut disk);
        let (table, codes) = find(&disk, 512);
        let told = if primary_is_left { vec!["gpt-unprotected"] } else { vec![] };
        assert_eq!((table.scheme, places(&table), codes), (Scheme::Mbr, mbr_places(), told), "{primary_is_left}");
    }
    // Where the first sector tells nothing, the GPT does.
    let mut disk = gpt_disk(512);
    disk[..512].fill(0);
    assert_eq!(places(&find(&disk, 512).0), gpt_places(512));
}

#[test]
fn partitions_that_claim_the_same_bytes_are_told_and_shown() {
    let mut disk = vec![0; DISK];
    Gpt::new(512).with(256, 100).with(300, 10).with(356, 10).with(320, 2).write(&mut disk);
    let mut findings: Vec<Finding> = Vec::new();
    let table = volume::find(&disk, 512, &mut findings);
    assert_eq!(table.partitions.len(), 4);
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!(finding.code.as_str(), "partition-bad");
    // 2 and 4 lie in 1; 3 begins where 1 ends.
    assert!(finding.text.contains("partitions 1 and 2") && finding.text.contains("1 more"), "{}", finding.text);
}

#[test]
fn a_partition_past_the_end_is_kept_and_told() {
    let mut disk = mbr_disk();
    disk.truncate(4200 * 512);
    let (table, codes) = find(&disk, 512);
    assert_eq!(places(&table), mbr_places()[..2]);
    assert_eq!(codes, ["partition-table-unreadable", "volume-cut"]);
}

#[test]
fn a_disk_without_a_table_is_one_volume() {
    let mut volume = vec![0; DISK];
    volume.write_at(3, b"NTFS    ");
    volume.write_at(510, &[0x55, 0xaa]);
    // What would be a partition in a boot record is code in a boot sector.
    volume.write_at(446, &[0x80, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0]);
    for disk in [volume, vec![0; DISK]] {
        let (table, codes) = find(&disk, 512);
        assert_eq!((table.scheme, places(&table), codes), (Scheme::None, vec![(1, 0..DISK as u64)], vec![]));
    }
}

#[test]
fn a_partition_that_claims_exabytes_is_mapped_at_once() {
    let table = Gpt::new(512).with(2048, (1 << 54) - 4096);
    let mut disk = vec![0; DISK];
    table.write(&mut disk);
    let folder = tempfile::tempdir().expect("a folder");
    let tree = Namespace::new(&inventory(&disk, folder.path()), Shown::Everything, "", Time(0));
    let node = tree.lookup(NodeId::ROOT, &"volume-1.raw".into(), Case::Sensitive).expect("the volume");
    let length = tree.attr(node).expect("its attributes").size;
    let mut last = None;
    tree.ranges(node, 0..length, &mut |range| {
        last = Some((range.range.end, range.kind));
        ControlFlow::Continue(())
    })
    .expect("its ranges");
    assert_eq!(last, Some((length, RangeKind::Lost("read-past-end"))));
    assert!(length > 1 << 60, "{length}");
}

#[test]
fn hundreds_of_partitions_over_one_volume_do_not_open_it_hundreds_of_times() {
    let disk = disk_of_200_partitions();
    let folder = tempfile::tempdir().expect("a folder");
    let inventory = inventory(&disk, folder.path());
    assert_eq!(inventory.volumes.len(), 200);
    for volume in &inventory.volumes {
        let codes: Vec<_> = volume.findings.iter().map(|finding| finding.code.as_str()).collect();
        let opened = volume.partition.number <= 128;
        assert_eq!((volume.tree.is_some(), codes.contains(&"volume-unread")), (opened, !opened));
    }
    // A disk that is tried for the sake of a parent is looked at like one that is shown.
    let evidence = VolumeJudge.judge(inventory.chain.disk());
    assert_eq!(evidence.text.matches("volume ").count(), 128, "{}", evidence.text);
    assert!(evidence.looked_at >= 128 && evidence.holding == evidence.looked_at, "{evidence:?}");
}

/// All of them are one volume.
fn disk_of_200_partitions() -> Vec<u8> {
    let volume = fixtures::ntfs::volume();
    let mut disk = vec![0; DISK];
    disk.write_at(1 << 20, &volume.bytes_at(0, volume.size() as usize));
    let mut table = Gpt { entry_count: 256, ..Gpt::new(512) };
    for _ in 0..200 {
        table = table.with(2048, volume.size() / 512);
    }
    table.write(&mut disk);
    disk
}

#[test]
fn a_listing_of_the_mount_point_goes_on_where_any_name_would_stand() {
    let folder = tempfile::tempdir().expect("a folder");
    let inventory = inventory(&disk_of_200_partitions(), folder.path());
    let tree = Namespace::new(&inventory, Shown::Everything, "disk", Time(0));
    let list = |from: From| {
        let mut names: Vec<Name> = Vec::new();
        let mut add = |entry: mount_api::DirEntry| {
            names.push(entry.name);
            ControlFlow::Continue(())
        };
        tree.read_dir(NodeId::ROOT, from, &mut add).expect("a listing");
        names
    };
    let all = list(From::Start);
    assert!(all.len() > 300 && all.is_sorted());
    for name in ["", "disk.raw", "e", "report.json", "volume-", "volume-1", "volume-1.r", "volume-150.raw", "w"] {
        let name = Name::from(name);
        let behind: Vec<Name> = all.iter().filter(|one| **one > name).cloned().collect();
        assert_eq!(list(From::After(&name)), behind, "{name:?}");
    }
}

/// What a disk holds, read from one image.
fn inventory(disk: &[u8], folder: &Path) -> Inventory {
    let path = folder.join("disk.vhdx");
    let mut image = Image::dynamic(disk.len() as u64);
    let size = image.block_size as usize;
    for (number, bytes) in (0..).zip(disk.chunks(size)) {
        image.blocks.insert(number, Block::fully_present(fixtures::fill::Fill::bytes(number * size as u64, bytes)));
    }
    image.write_to(&path).expect("an image is written");
    let chain = chain::open(&HostFolders, &path, &ChainOptions::default()).expect("a chain");
    Inventory::take(chain, &FsOptions::default())
}
