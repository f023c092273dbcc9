//! Partition tables of which a part is lost or doubtful.

use std::ops::Range;

use fixtures::gpt::Gpt;
use vhdx_mount::Faults;
use vhdx_mount::image::ReadAt;
use vhdx_mount::report::Severity;
use vhdx_mount::volume::{self, Scheme};

use super::{DISK, gpt_disk, gpt_places, mbr_disk, mbr_places, places};

/// Codes of findings, with their severities.
type Codes = Vec<(&'static str, Severity)>;

/// A disk of which sectors are lost or doubtful.
struct Damaged {
    bytes: Vec<u8>,
    lost: Vec<u64>,
    doubtful: Vec<u64>,
}

impl Damaged {
    fn lost(bytes: &[u8], sectors: &[u64]) -> Self {
        Damaged { bytes: bytes.to_vec(), lost: sectors.to_vec(), doubtful: Vec::new() }
    }

    fn doubtful(bytes: &[u8], sectors: &[u64]) -> Self {
        Damaged { bytes: bytes.to_vec(), lost: Vec::new(), doubtful: sectors.to_vec() }
    }

    /// The places of its partitions, and codes with their severities.
    fn told(&self) -> (Vec<(u32, Range<u64>)>, Codes) {
        let mut findings = Vec::new();
        let table = volume::find(self, 512, &mut findings);
        (places(&table), findings.iter().map(|finding| (finding.code.as_str(), finding.severity)).collect())
    }
}

impl ReadAt for Damaged {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> vhdx_mount::Result<()> {
        ReadAt::read_at(&self.bytes, buf, offset, faults)?;
        let end = offset + buf.len() as u64;
        let within = |sector: &u64| (sector * 512).max(offset)..(sector * 512 + 512).min(end);
        for range in self.lost.iter().map(within).filter(|range| !range.is_empty()) {
            buf[(range.start - offset) as usize..(range.end - offset) as usize].fill(0);
            faults.lost(range, "a-test");
        }
        let doubtful = self.doubtful.iter().map(within).filter(|range| !range.is_empty());
        doubtful.for_each(|range| faults.doubtful(range, "a-test"));
        Ok(())
    }
}

#[test]
fn a_lost_or_doubtful_extended_boot_record_hides_volumes() {
    for (sector, left) in [(8192, 2), (13_000, 3), (9000, 4)] {
        let (found, told) = Damaged::lost(&mbr_disk(), &[sector]).told();
        assert_eq!(found, mbr_places()[..left]);
        assert_eq!(told, [("partition-table-unreadable", Severity::Error)]);
        let (found, told) = Damaged::doubtful(&mbr_disk(), &[sector, 9000]).told();
        assert_eq!((found, told), (mbr_places(), vec![("partition-table-doubtful", Severity::Error)]));
    }
    let (found, told) = Damaged::doubtful(&mbr_disk(), &[0]).told();
    assert_eq!((found, told), (mbr_places(), vec![("partition-table-doubtful", Severity::Error)]));
}

/// The last sector of the disk, and where the entries of the backup begin.
const LAST: u64 = (DISK / 512) as u64 - 1;
const BACKUP_ENTRIES: u64 = LAST - 32;

#[test]
fn entries_are_read_by_the_header_of_the_other_table() {
    let disk = gpt_disk(512);
    let bad = vec![("gpt-lost", Severity::Warning)];
    // Those of slots 5 to 8 and one header, whichever.
    for sectors in [[3, LAST], [1, BACKUP_ENTRIES + 1]] {
        assert_eq!(Damaged::lost(&disk, &sectors).told(), (gpt_places(512), bad.clone()), "{sectors:?}");
    }
    // With the first sector too, nothing else announces it.
    let (found, told) = Damaged::lost(&disk, &[0, 3, LAST]).told();
    let unread = ("partition-table-unreadable", Severity::Warning);
    assert_eq!((found, told), (gpt_places(512), [bad.clone(), vec![unread]].concat()));
    let (found, told) = Damaged { doubtful: vec![1], ..Damaged::lost(&disk, &[3, LAST]) }.told();
    assert_eq!((found, told), (gpt_places(512), vec![("gpt-lost", Severity::Error)]));
}

#[test]
fn of_entries_that_hold_nowhere_those_that_are_not_lost_are_used() {
    let disk = gpt_disk(512);
    let bad = vec![("gpt-lost", Severity::Error)];
    let but_seven = vec![gpt_places(512)[0].clone(), gpt_places(512)[1].clone()];
    for sectors in [vec![3, BACKUP_ENTRIES + 20], vec![0, 3, LAST, BACKUP_ENTRIES + 1]] {
        let (found, told) = Damaged::lost(&disk, &sectors).told();
        assert_eq!((found, &told[..1]), (but_seven.clone(), &bad[..]), "{sectors:?}");
    }
    // By the header of the backup.
    assert_eq!(Damaged::lost(&disk, &[1, 4, BACKUP_ENTRIES + 1]).told(), (but_seven, bad.clone()));
    let mut findings = Vec::new();
    volume::find(&Damaged::lost(&disk, &[3, BACKUP_ENTRIES + 20]), 512, &mut findings);
    assert!(findings[0].text.contains("partitions 5 to 8 are lost"), "{}", findings[0].text);
    // Doubtful ones are there, and named.
    let mut spoilt = disk;
    spoilt[3 * 512 + 100] ^= 1;
    let (found, told) = Damaged { doubtful: vec![3], ..Damaged::lost(&spoilt, &[BACKUP_ENTRIES + 20]) }.told();
    assert_eq!((found, told), (gpt_places(512), bad));
    let mut findings = Vec::new();
    let damaged = Damaged { doubtful: vec![3], ..Damaged::lost(&spoilt, &[BACKUP_ENTRIES + 20]) };
    volume::find(&damaged, 512, &mut findings);
    assert!(findings[0].text.contains("partitions 5 to 8 are doubtful"), "{}", findings[0].text);
}

#[test]
fn a_doubtful_gpt_is_believed_where_a_proven_copy_says_the_same() {
    let disk = gpt_disk(512);
    assert_eq!(Damaged::doubtful(&disk, &[1, 2, 3]).told(), (gpt_places(512), vec![]));
    // The entries are proven by the checksum in a proven header.
    assert_eq!(Damaged::doubtful(&disk, &[2, 3, LAST]).told(), (gpt_places(512), vec![]));
    let doubtful = vec![("partition-table-doubtful", Severity::Error)];
    assert_eq!(Damaged::doubtful(&disk, &[1, LAST]).told(), (gpt_places(512), doubtful.clone()));
    let (found, told) = Damaged { doubtful: vec![LAST], ..Damaged::lost(&disk, &[1]) }.told();
    assert_eq!((found, told), (gpt_places(512), doubtful));
    // One of an earlier time, which fits itself.
    let mut old = disk.clone();
    let mut earlier = vec![0; DISK];
    Gpt::new(512).with(1024, 16).write(&mut earlier);
    old[512..34 * 512].copy_from_slice(&earlier[512..34 * 512]);
    let (found, told) = Damaged::doubtful(&old, &[1]).told();
    assert_eq!((found, told), (gpt_places(512), vec![("gpt-primary-bad", Severity::Warning)]));
    let (found, told) = Damaged::doubtful(&disk, &[0]).told();
    assert_eq!((found, told), (gpt_places(512), vec![("partition-table-doubtful", Severity::Warning)]));
}

#[test]
fn a_volume_without_a_table_is_told_by_the_copy_of_its_boot_sector() {
    for sector in [512usize, 4096] {
        let mut disk = vec![0; DISK];
        let copy = DISK - sector;
        disk[copy + 3..copy + 11].copy_from_slice(b"NTFS    ");
        disk[copy + 0x0b..copy + 0x0d].copy_from_slice(&(sector as u16).to_le_bytes());
        disk[copy + 0x28..copy + 0x30].copy_from_slice(&((copy / sector) as u64).to_le_bytes());
        disk[copy + 510..copy + 512].copy_from_slice(&[0x55, 0xaa]);
        let mut findings = Vec::new();
        let table = volume::find(&Damaged::lost(&disk, &[0]), 512, &mut findings);
        assert_eq!((table.scheme, places(&table)), (Scheme::None, vec![(1, 0..DISK as u64)]));
        assert_eq!(findings.iter().map(|one| one.severity).collect::<Vec<_>>(), [Severity::Warning]);
        // That of a volume which begins further in ends here too.
        disk[copy + 0x28] ^= 8;
        let table = volume::find(&Damaged::lost(&disk, &[0]), 512, &mut Vec::new());
        assert_eq!((table.scheme, places(&table)), (Scheme::Unknown, vec![]));
    }
}
