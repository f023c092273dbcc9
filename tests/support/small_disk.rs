//! A chain over the small NTFS volume in a GPT, whose child holds chosen sectors once more: damage to these costs chosen
//! files.

use std::ops::Range;

use fixtures::bytes::{Bytes, SparseBytes};
use fixtures::chain::{Chain, spread};
use fixtures::damage::{Damage, EntryDamage};
use fixtures::fill::Fill;
use fixtures::gpt::Gpt;
use fixtures::host_file::HostFile;
use fixtures::ntfs;
use fixtures::random::Rng;
use fixtures::vhdx::{Block, Image, MIB};

/// Blocks of the child.
pub(crate) const BLOCK: u64 = MIB;

/// A disk of the volume in a GPT, from 1 MiB on.
pub(crate) fn disk() -> SparseBytes {
    Gpt::disk_of(512, &[&ntfs::volume()])
}

/// Where these bytes stand on the disk: once, at the only place that is a multiple of `step`.
pub(crate) fn find(disk: &SparseBytes, needle: &[u8], step: usize) -> u64 {
    let bytes = disk.bytes_at(0, disk.size() as usize);
    let places: Vec<usize> = (0..bytes.len()).step_by(step).filter(|at| bytes[*at..].starts_with(needle)).collect();
    assert_eq!(places.len(), 1, "{:?}", String::from_utf8_lossy(needle));
    places[0] as u64
}

/// Where the cluster (1 KiB) with this number of `long.txt` stands on the disk.
pub(crate) fn cluster_of_long_text(disk: &SparseBytes, number: usize) -> Range<u64> {
    let start = find(disk, &ntfs::long_text()[number * 1024..][..1024], 512);
    start..start + 1024
}

/// A base that holds the disk, and a child that holds the sectors of `own` once more.
pub(crate) fn chain_with(disk: &SparseBytes, own: &[Range<u64>]) -> (tempfile::TempDir, Chain) {
    let base = spread(disk, 1, 512, &mut Rng::new(3)).remove(0);
    let mut child = Image::child_of(&base, "base.vhdx");
    child.block_size = BLOCK as u32;
    let data = Fill::Disk(std::sync::Arc::new(clone_of(disk)));
    for block in 0..disk.size() / BLOCK {
        let place = block * BLOCK..(block + 1) * BLOCK;
        let mut present: Vec<Range<u64>> = own
            .iter()
            .filter(|range| place.contains(&range.start))
            .map(|range| (range.start - place.start) / 512..(range.end - place.start) / 512)
            .collect();
        present.sort_by_key(|sectors| sectors.start);
        if !present.is_empty() {
            child.blocks.insert(block, Block::partially_present(present, data.clone(), Fill::stale(1)));
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(vec![base, child], folder.path()).expect("a chain is written");
    (folder, chain)
}

pub(crate) fn clone_of(disk: &SparseBytes) -> SparseBytes {
    let mut clone = SparseBytes::default();
    clone.set_size(disk.size());
    clone.write_at(0, &disk.bytes_at(0, disk.size() as usize));
    clone
}

/// Spoils the entries of all blocks that the child holds.
pub(crate) fn spoil(chain: &Chain, damage: EntryDamage) {
    let places = &chain.places[1];
    let mut file = HostFile::open(&chain.youngest).expect("the image opens");
    for block in places.payload.keys() {
        Damage::PayloadEntry(*block, damage).apply(&mut file, places);
    }
}
