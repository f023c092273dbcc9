//! Storage that fails for a while: what was made of the rest then is not kept.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fixtures::fill::Fill;
use fixtures::random::Rng;
use fixtures::vhdx::{Block, Image, MIB, Places};
use vhdx_mount::chain::{Disk, DiskLink, Doubt};
use vhdx_mount::image::ReadAt;
use vhdx_mount::{FaultKind, Faults, Result};

use crate::ranges;

/// Bytes, some of which are lost while the storage fails.
pub(crate) struct Passing {
    pub(crate) bytes: Vec<u8>,
    pub(crate) bad: Range<u64>,
    pub(crate) fails: AtomicBool,
}

impl Passing {
    pub(crate) fn new(bytes: Vec<u8>, bad: Range<u64>) -> Arc<Self> {
        Arc::new(Passing { bytes, bad, fails: AtomicBool::new(true) })
    }

    pub(crate) fn recovers(&self) {
        self.fails.store(false, Ordering::SeqCst);
    }
}

impl ReadAt for Passing {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        self.bytes.read_at(buf, offset, faults)?;
        let (start, end) = (self.bad.start.max(offset), self.bad.end.min(offset + buf.len() as u64));
        if start < end && self.fails.load(Ordering::SeqCst) {
            buf[(start - offset) as usize..(end - offset) as usize].fill(0);
            faults.lost(start..end, "host-read-skipped");
        }
        Ok(())
    }
}

/// Writes an image into memory, and changes it there.
fn forged(image: &Image, change: impl FnOnce(&mut [u8], &Places)) -> Vec<u8> {
    let mut bytes = image.to_vec();
    change(&mut bytes, &image.places());
    bytes
}

/// The disk of these images, the youngest first.
fn disk(images: Vec<Arc<dyn ReadAt>>) -> Disk {
    let link = |image| DiskLink::proven(vhdx_mount::format::open(image, Default::default()).expect("it opens").layer);
    Disk::new(images.into_iter().map(link).collect(), Doubt::Refuse, None).expect("a disk")
}

/// What is lost of these bytes of a disk and why, whichever link has it.
fn lost(disk: &Disk, bytes: Range<u64>) -> Vec<(Range<u64>, &'static str)> {
    let mut faults = Faults::new();
    disk.read_at(&mut vec![0; (bytes.end - bytes.start) as usize], bytes.start, &mut faults).expect("a read");
    let mut joined: Vec<(Range<u64>, &'static str)> = Vec::new();
    for (range, code) in ranges(&faults, FaultKind::Lost) {
        match joined.last_mut() {
            Some((last, of)) if last.end == range.start && *of == code => last.end = range.end,
            _ => joined.push((range, code)),
        }
    }
    joined
}

/// Noise over a sector bitmap is told by what the sectors hold. While they cannot be read the bits are not believed; as soon as
/// enough of them can, it is told.
#[test]
fn noise_in_bits_is_told_when_the_sectors_can_be_read() {
    let base = Image::fixed(4 * MIB, MIB as u32, &Fill::live(0));
    let mut child = Image::child_of(&base, "base.vhdx");
    child.block_size = MIB as u32;
    child.blocks.insert(0, Block::partially_present(vec![100..1000], Fill::live(2), Fill::Zero));
    let block = child.places().payload[&0].clone();
    let noisy = forged(&child, |bytes, places| {
        Rng::new(16).fill(&mut bytes[places.bitmaps[&0].start as usize..][..4096]);
    });
    for bad in [block.clone(), block.start..block.start + MIB - 4096, block.start + 4096..block.start + 8192, 0..0] {
        let image = Passing::new(noisy.clone(), bad.clone());
        let disk = disk(vec![image.clone(), Arc::new(base.to_vec())]);
        for _ in 0..2 {
            assert_eq!(lost(&disk, 0..MIB), [(0..MIB, "bitmap-noise")], "{bad:?} fails");
        }
        image.recovers();
        for _ in 0..2 {
            assert_eq!(lost(&disk, 0..MIB), [(0..MIB, "bitmap-noise")], "{bad:?} was read");
        }
    }
    // The same, and the bits are right: those of every second sector or so, each of which holds something.
    let chance = {
        let mut page = vec![0; 4096];
        Rng::new(16).fill(&mut page);
        let set = |sector: &u64| page[(*sector / 8) as usize] >> (sector % 8) & 1 == 1;
        (0..MIB / 512).filter(set).map(|sector| sector..sector + 1).collect()
    };
    child.blocks.insert(0, Block::partially_present(chance, Fill::live(2), Fill::Zero));
    let image = Passing::new(child.to_vec(), child.places().payload[&0].clone());
    let disk = disk(vec![image.clone(), Arc::new(base.to_vec())]);
    assert_eq!(lost(&disk, 0..MIB), [(0..MIB, "bitmap-noise")], "nothing tells that they are right");
    image.recovers();
    assert_eq!(lost(&disk, 0..MIB), []);
}

/// Two entries that no writer makes show that a page of the BAT was written over, where they can be read.
#[test]
fn a_page_of_the_bat_is_judged_again_when_all_of_it_can_be_read() {
    let mut image = Image::dynamic(256 * MIB);
    image.block_size = MIB as u32;
    image.blocks.insert(0, Block::fully_present(Fill::live(0)));
    let bat = image.places().bat.start;
    let bytes = forged(&image, |bytes, places| {
        for entry in [70, 71] {
            let at = places.payload_entry(entry) as usize;
            bytes[at..at + 8].copy_from_slice(&0x0123_4567_89ab_cdefu64.to_le_bytes());
        }
    });
    let image = Passing::new(bytes.clone(), bat + 512..bat + 1024);
    let disk = disk(vec![image.clone()]);
    assert_eq!(lost(&disk, 0..MIB), []);
    assert_eq!(lost(&disk, 70 * MIB..71 * MIB), [(70 * MIB..71 * MIB, "bat-unreadable")]);
    assert_eq!(lost(&disk, 0..MIB), []);
    image.recovers();
    assert_eq!(lost(&disk, 0..MIB), [(0..MIB, "table-overwritten")]);
    // What is seen of a page that cannot be read as a whole is enough.
    let image = Passing::new(bytes, bat + 1024..bat + 1536);
    let disk = super::passing::disk(vec![image]);
    assert_eq!(lost(&disk, 0..MIB), [(0..MIB, "table-overwritten")]);
}
