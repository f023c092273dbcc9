//! An `$MFT` of any length: what a survey of it finds, what memory that takes, and that each record is read as its own.
//!
//! `VHDX_MOUNT_RECORDS` makes it longer than by default; run alone, the test then tells its peak of memory.

use std::fs;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use mount_api::{ErrorKind, From, NodeId, Tree};
use vhdx_mount::fs::ntfs::{self, Ntfs, Options};
use vhdx_mount::image::ReadAt;
use vhdx_mount::{Faults, Result};

use crate::forge::{DATA, Forge};
use crate::tools::{Volume, have};
use crate::walk::find;

const CLUSTER: u64 = 4096;
const RECORD: u64 = 1024;
/// Bytes of the volume that was made; the records stand behind them.
const BASE: u64 = 4 << 20;

/// What each record says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    parent: u64,
    sequence: u16,
    /// Bit 0: in use, bit 1: a folder.
    flags: u16,
}

type Say = fn(u64) -> Said;

/// A small volume whose `$MFT` goes on with records that are made when they are read.
struct Endless {
    base: Vec<u8>,
    first: u64,
    records: u64,
    say: Say,
    /// Numbers of records that are lost.
    lost: Range<u64>,
}

impl Endless {
    fn new(mut forge: Forge, records: u64, say: Say) -> Self {
        let clusters = records * RECORD / CLUSTER;
        let sectors = (BASE + clusters * CLUSTER) / 512;
        forge.bytes[0x28..0x30].copy_from_slice(&sectors.to_le_bytes());
        let own = forge.one_run(0, DATA);
        let first = own.len() as u64 / RECORD;
        let (start, old) = (own.start as u64 / CLUSTER, own.len() as u64 / CLUSTER);
        make_room(&mut forge);
        forge.edit_attribute(0, DATA, |attribute| {
            attribute[0x18..0x20].copy_from_slice(&(old + clusters - 1).to_le_bytes());
            for field in [0x28, 0x30, 0x38] {
                attribute[field..field + 8].copy_from_slice(&((old + clusters) * CLUSTER).to_le_bytes());
            }
            // Two runs of four-byte fields, the second counted from the first.
            let runs = usize::from(attribute[0x20]);
            let fields = [[old, start], [clusters, BASE / CLUSTER - start]];
            for (index, [length, lcn]) in fields.into_iter().enumerate() {
                let at = runs + index * 9;
                attribute[at] = 0x44;
                attribute[at + 1..at + 5].copy_from_slice(&length.to_le_bytes()[..4]);
                attribute[at + 5..at + 9].copy_from_slice(&lcn.to_le_bytes()[..4]);
            }
            attribute[runs + 18] = 0;
        });
        Endless { base: forge.bytes, first, records, say, lost: 0..0 }
    }

    /// A file record: a name, and some resident bytes.
    fn record(&self, number: u64) -> [u8; RECORD as usize] {
        let said = (self.say)(number);
        let mut record = [0; RECORD as usize];
        record[..8].copy_from_slice(&[b'F', b'I', b'L', b'E', 0x30, 0, 3, 0]);
        record[0x10..0x12].copy_from_slice(&said.sequence.to_le_bytes());
        record[0x14] = 0x38;
        record[0x16..0x18].copy_from_slice(&said.flags.to_le_bytes());
        record[0x1c..0x20].copy_from_slice(&(RECORD as u32).to_le_bytes());
        record[0x2c..0x30].copy_from_slice(&(number as u32).to_le_bytes());
        let name: Vec<u8> = format!("n{number:07}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        let value = 0x42 + name.len();
        let length = (0x18 + value).next_multiple_of(8);
        let attribute = &mut record[0x38..0x38 + length];
        attribute[0] = 0x30;
        attribute[4] = length as u8;
        attribute[0x10] = value as u8;
        attribute[0x14] = 0x18;
        attribute[0x18..0x20].copy_from_slice(&said.parent.to_le_bytes());
        attribute[0x58] = (name.len() / 2) as u8;
        attribute[0x59] = 1;
        attribute[0x5a..0x5a + name.len()].copy_from_slice(&name);
        let end = 0x38 + length;
        record[end..end + 4].fill(0xff);
        record[0x18..0x1c].copy_from_slice(&(end as u32 + 8).to_le_bytes());
        // The update sequence: number 1, and the two originals, which are zeros.
        record[0x30] = 1;
        record[510] = 1;
        record[1022] = 1;
        record
    }
}

/// Makes room for a longer run list in the first file record.
fn make_room(forge: &mut Forge) {
    const MORE: usize = 16;
    forge.edit(forge.record(0), |record| {
        let length = |record: &[u8], at: usize| u16::from_le_bytes([record[at], record[at + 1]]);
        let mut at = usize::from(length(record, 0x14));
        while record[at] != DATA as u8 {
            at += usize::from(length(record, at + 4));
        }
        let (own, used) = (length(record, at + 4), length(record, 0x18));
        record.copy_within(at + usize::from(own)..usize::from(used), at + usize::from(own) + MORE);
        record[at + 4..at + 6].copy_from_slice(&(own + MORE as u16).to_le_bytes());
        record[0x18..0x1a].copy_from_slice(&(used + MORE as u16).to_le_bytes());
    });
}

impl ReadAt for Endless {
    fn size(&self) -> u64 {
        BASE + self.records * RECORD
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let rest = &mut buf[done..];
            done += if at < BASE {
                let part = &self.base[at as usize..];
                let length = part.len().min(rest.len());
                rest[..length].copy_from_slice(&part[..length]);
                length
            } else {
                let (number, within) = ((at - BASE) / RECORD, ((at - BASE) % RECORD) as usize);
                let lost = self.lost.contains(&(self.first + number));
                let record = if lost { [0; RECORD as usize] } else { self.record(self.first + number) };
                let length = (record.len() - within).min(rest.len());
                rest[..length].copy_from_slice(&record[within..within + length]);
                if lost {
                    faults.lost(at..at + length as u64, "lost-by-test");
                }
                length
            };
        }
        Ok(())
    }
}

fn records() -> u64 {
    std::env::var("VHDX_MOUNT_RECORDS").map_or(40_000, |text| text.parse().unwrap())
}

fn surveyed(say: Say) -> Option<(Ntfs, u64)> {
    if !have("a_survey_of_many_records", &["mkntfs"]) {
        return None;
    }
    let endless = Endless::new(base(), records(), say);
    let first = endless.first;
    let volume: Arc<dyn ReadAt> = Arc::new(endless);
    let before = peak_memory();
    let started = Instant::now();
    let ntfs = ntfs::open(&volume, Options { deleted: true, ..Options::default() }).unwrap();
    ntfs.look_for_orphans();
    let (seconds, grown) = (started.elapsed().as_secs_f32(), (peak_memory() - before) << 10);
    eprintln!("{} records: {seconds:.1} s, {grown} bytes more at the peak, {} a record", records(), grown / records());
    Some((ntfs, first))
}

/// The volume that all of these are made from.
fn base() -> Forge {
    Forge { bytes: fs::read(Volume::new(BASE >> 20, &["-c", "4096"]).image()).unwrap() }
}

/// The most memory that this process ever had, in KiB.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn count(ntfs: &Ntfs, folder: NodeId) -> u64 {
    let mut count = 0;
    ntfs.read_dir(folder, From::Start, &mut |_| {
        count += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    count
}

/// The reference of a file in a record of this number, all of them of sequence 7.
const fn reference(number: u64) -> u64 {
    number | 7 << 48
}

#[test]
fn many_files_whose_folders_come_later() {
    // Each stands in the folder in the next record whose number is a multiple of 1000; the last of those are missing.
    let Some((ntfs, first)) = surveyed(|number| {
        let folder = number % 1000 == 0;
        let parent = if folder { 5 | 5 << 48 } else { reference(number.next_multiple_of(1000)) };
        Said { parent, sequence: 7, flags: if folder { 3 } else { 1 } }
    }) else {
        return;
    };
    let last = first + records();
    let orphans = (first..last).filter(|number| number % 1000 != 0 && number.next_multiple_of(1000) >= last).count();
    assert_eq!(count(&ntfs, find(&ntfs, "$Orphans")), orphans as u64);
    assert_eq!(count(&ntfs, find(&ntfs, "$Deleted")), 0);
}

#[test]
fn many_deleted_files_and_folders_within_each_other() {
    // A chain of deleted folders that goes all the way and back to its own start.
    let Some((ntfs, first)) = surveyed(|number| {
        let next = if number % 1000 == 0 { number - 999 } else { number + 1 };
        Said { parent: reference(next), sequence: 8, flags: 2 }
    }) else {
        return;
    };
    let shown = count(&ntfs, find(&ntfs, "$Deleted"));
    // Each round of a thousand is cut once; the first and the last are no whole rounds.
    let rounds = records() / 1000;
    assert!((rounds - 2..=rounds + 2).contains(&shown), "{shown} of {rounds} rounds, from {first} on");
    assert_eq!(count(&ntfs, find(&ntfs, "$Orphans")), 0);
}

#[test]
fn many_orphans() {
    let Some((ntfs, _)) =
        surveyed(|number| Said { parent: reference(number * 0x1_0001 % 0xffff_ffff), sequence: 9, flags: 1 })
    else {
        return;
    };
    assert_eq!(count(&ntfs, find(&ntfs, "$Orphans")), records());
    assert!(ntfs.findings().iter().any(|finding| finding.text.contains(&records().to_string())));
}

#[test]
fn each_record_is_read_as_its_own_in_any_order() {
    if !have("each_record_is_read_as_its_own_in_any_order", &["mkntfs"]) {
        return;
    }
    // Folders: they may be without content. Many more than are kept at a time.
    let say = |number| Said { parent: 5 | 5 << 48, sequence: (number % 1009 + 1) as u16, flags: 3 };
    let mut endless = Endless::new(base(), 40_000, say);
    let all = endless.first..endless.first + endless.records;
    endless.lost = all.start + 30_000..all.start + 30_500;
    let lost = endless.lost.clone();
    let volume: Arc<dyn ReadAt> = Arc::new(endless);
    let ntfs = ntfs::open(&volume, Options::default()).unwrap();
    let in_steps = (0..40_000).map(|step| all.start + step * 7919 % 40_000);
    for number in all.clone().chain(all.clone().rev()).chain(in_steps) {
        let attr = ntfs.attr(NodeId(number << 16));
        if lost.contains(&number) {
            assert_eq!(attr.unwrap_err().kind(), ErrorKind::Lost, "{number}");
        } else {
            let attr = attr.unwrap();
            assert_eq!((attr.record, attr.sequence), (number, say(number).sequence));
        }
    }
}

#[test]
fn a_survey_that_was_stopped_tells_that_it_is_not_whole() {
    if !have("a_survey_that_was_stopped_tells_that_it_is_not_whole", &["mkntfs"]) {
        return;
    }
    let say = |number| Said { parent: reference(number + 1), sequence: 9, flags: 1 };
    let volume: Arc<dyn ReadAt> = Arc::new(Endless::new(base(), records(), say));
    for stopped in [false, true] {
        let ntfs = ntfs::open(&volume, Options { deleted: true, ..Options::default() }).unwrap();
        let ntfs = ntfs.stopped_by(&Arc::new(AtomicBool::new(stopped)));
        let mut count = 0;
        let listed = ntfs.read_dir(find(&ntfs, "$Orphans"), From::Start, &mut |_| {
            count += 1;
            ControlFlow::Continue(())
        });
        assert_eq!((listed.is_err(), count), (stopped, if stopped { 0 } else { records() }));
    }
}
