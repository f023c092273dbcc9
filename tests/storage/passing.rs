//! Storage that fails for a while: what was made of the rest then is not kept.

use std::ops::Range;
use std::sync::Arc;

use fixtures::fill::Fill;
use fixtures::random::Rng;
use fixtures::vhdx::{Block, Image, MIB, Places};
use vhdx_mount::chain::{Disk, DiskLink, Doubt};
use vhdx_mount::image::ReadAt;
use vhdx_mount::{FaultKind, Faults};

use crate::ranges;
use crate::support::passing::Passing;

/// Storage that fails from the start.
fn failing(bytes: Vec<u8>, bad: Range<u64>) -> Arc<Passing> {
    let image = Passing::new(bytes, bad, false);
    image.fails();
    image
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
        let image = failing(noisy.clone(), bad.clone());
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
    let image = failing(child.to_vec(), child.places().payload[&0].clone());
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
    let image = failing(bytes.clone(), bat + 512..bat + 1024);
    let disk = disk(vec![image.clone()]);
    assert_eq!(lost(&disk, 0..MIB), []);
    assert_eq!(lost(&disk, 70 * MIB..71 * MIB), [(70 * MIB..71 * MIB, "bat-unreadable")]);
    assert_eq!(lost(&disk, 0..MIB), []);
    image.recovers();
    assert_eq!(lost(&disk, 0..MIB), [(0..MIB, "table-overwritten")]);
    // What is seen of a page that cannot be read as a whole is enough.
    let image = failing(bytes, bat + 1024..bat + 1536);
    let disk = super::passing::disk(vec![image]);
    assert_eq!(lost(&disk, 0..MIB), [(0..MIB, "table-overwritten")]);
}
