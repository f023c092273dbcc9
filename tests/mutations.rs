//! Damaged images, thousands of them: no panic, no hang, bounded memory, and faults that stay within what was read.
//!
//! This file is a process of its own: its address space is limited, so that an allocation sized by a damaged field ends it.
#![cfg(unix)]

#[path = "support/memory_folder.rs"]
mod memory_folder;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fixtures::fill::Fill;
use fixtures::random::Rng;
use fixtures::vhdx::{Block, Image, MIB};
use memory_folder::MemoryFolder;
use vhdx_mount::Faults;
use vhdx_mount::chain::{self, ChainOptions, Doubt};
use vhdx_mount::fs::FsOptions;
use vhdx_mount::image::ReadAt;
use vhdx_mount::namespace::Inventory;

/// A base and a child over it with a partially present block, small enough to be opened thousands of times.
fn images() -> [Image; 2] {
    let mut base = Image::dynamic(6 * MIB);
    base.block_size = MIB as u32;
    for block in 0..5 {
        base.blocks.insert(block, Block::fully_present(Fill::live(0)));
    }
    let mut child = Image::child_of(&base, "base.vhdx");
    child.block_size = MIB as u32;
    child.blocks.insert(0, Block::partially_present(vec![0..3, 8..100, 1000..1001], Fill::live(1), Fill::stale(1)));
    child.blocks.insert(3, Block::fully_present(Fill::live(1)));
    [base, child]
}

/// Changes 1 to 8 bytes in the first MiB or a region: where the structures are. Returns what was there.
fn damage(file: &mut [u8], image: &Image, rng: &mut Rng) -> Vec<(usize, u8)> {
    let places = image.places();
    let structures = [
        0..4096,
        64 << 10..(64 << 10) + 4096,
        128 << 10..(128 << 10) + 4096,
        192 << 10..(192 << 10) + 200,
        256 << 10..(256 << 10) + 200,
        places.metadata.start..places.metadata.start + 300,
        places.metadata.start + 65_536..places.metadata.start + 66_600,
        places.bat.start..places.bat.start + 100,
    ];
    let mut before = Vec::new();
    for _ in 0..rng.between(1, 8) {
        let place = rng.pick(&structures);
        let at = rng.between(place.start, place.end - 1) as usize;
        before.push((at, file[at]));
        file[at] = match rng.below(4) {
            0 => 0,
            1 => 0xff,
            2 => file[at] ^ (1 << rng.below(8)),
            _ => rng.below(256) as u8,
        };
    }
    if rng.chance(70) {
        // With checksums that fit, damage gets past the first look.
        let mut sealed = |offset: usize, length: usize| {
            before.extend((offset + 4..offset + 8).map(|at| (at, file[at])));
            file[offset + 4..offset + 8].fill(0);
            let checksum = crc32c::crc32c(&file[offset..offset + length]);
            file[offset + 4..offset + 8].copy_from_slice(&checksum.to_le_bytes());
        };
        sealed(64 << 10, 4096);
        sealed(128 << 10, 4096);
        sealed(192 << 10, 65_536);
        sealed(256 << 10, 65_536);
    }
    before
}

/// Opens and reads everything; gives how much was lost, or nothing where the chain was refused.
fn read_all(memory: &MemoryFolder<Vec<u8>>, doubt: Doubt) -> Option<u64> {
    let options = ChainOptions { doubt, ..ChainOptions::default() };
    let chain = chain::open(memory, Path::new("child.avhdx"), &options).ok()?;
    let disk = Arc::clone(chain.disk());
    let _volumes = Inventory::take(chain, &FsOptions::default());
    let mut lost = 0;
    // A damaged size can claim 64 TiB; the first 16 MiB and the last MiB are read.
    for start in (0..16).map(|n| n * MIB).chain([disk.size().saturating_sub(MIB)]) {
        let len = disk.size().saturating_sub(start).min(MIB) as usize;
        let mut buf = vec![0; len];
        let mut faults = Faults::new();
        disk.read_at(&mut buf, start, &mut faults).expect("a read within the disk");
        for fault in &faults {
            assert!(fault.range.start >= start && fault.range.end <= start + len as u64, "{fault:?}");
            lost += fault.range.end - fault.range.start;
        }
    }
    Some(lost)
}

#[test]
fn damaged_structures_neither_panic_nor_hang_nor_eat_memory() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let limit = Rlimit { current: Some(1 << 30), maximum: Some(1 << 30) };
    setrlimit(Resource::As, limit).expect("a limit on memory");

    let images = images();
    let files: Vec<Vec<u8>> = images.iter().map(Image::to_vec).collect();
    let names = ["base.vhdx", "child.avhdx"].map(PathBuf::from);
    let mut memory = MemoryFolder(names.into_iter().zip(files.iter().cloned().map(Arc::new)).collect());
    assert_eq!(read_all(&memory, Doubt::Refuse), Some(0), "the undamaged chain");

    let (mut refused, mut served) = (0, 0);
    for seed in 0..6000 {
        let mut rng = Rng::new(seed);
        let which = rng.below(2) as usize;
        let file = Arc::get_mut(&mut memory.0[which].1).expect("nobody reads it any more");
        let before = damage(file, &images[which], &mut rng);
        let started = Instant::now();
        match read_all(&memory, if rng.chance(50) { Doubt::Accept } else { Doubt::Refuse }) {
            Some(_) => served += 1,
            None => refused += 1,
        }
        assert!(started.elapsed() < Duration::from_secs(10), "seed {seed} took {:?}", started.elapsed());
        let file = Arc::get_mut(&mut memory.0[which].1).expect("nobody reads it any more");
        for (at, byte) in before.into_iter().rev() {
            file[at] = byte;
        }
        if seed % 500 == 0 {
            assert!(*file == files[which], "the damage of seed {seed} was mended");
        }
    }
    assert!(refused > 100 && served > 1000, "{refused} refused, {served} served");
}
