//! Storage that fails, copies of it, and images that change while they are open.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "changes images of its own, reads mounted files"
)]

mod bad_sectors;
mod changes;
mod failing;
mod interrupted;
mod lost_as_zeros;
mod passing;
mod rescue_maps;
#[path = "../support/mod.rs"]
mod support;

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use fixtures::fill::Fill;
use fixtures::vhdx::{Block, Image, Layout, MIB, Part, Places};
use vhdx_mount::image::ReadAt;
use vhdx_mount::{FaultKind, Faults};

pub(crate) const EIO: Option<i32> = Some(5);

/// A base of 8 MiB full of known bytes, its file and its places.
pub(crate) fn base(folder: &Path) -> (PathBuf, Places) {
    let image = Image::fixed(8 * MIB, 2 * MIB as u32, &Fill::live(0));
    let path = folder.join("base.vhdx");
    let places = image.write_to(&path).expect("an image is written");
    (path, places)
}

/// What such a base holds.
pub(crate) fn content() -> Vec<u8> {
    let mut bytes = vec![0; 8 << 20];
    Fill::live(0).read(0, &mut bytes);
    bytes
}

/// Where bytes of the disk stand in the file of a base of blocks of 2 MiB.
pub(crate) fn in_file(places: &Places, disk: &Range<u64>) -> Range<u64> {
    let block = disk.start / (2 * MIB);
    let start = places.payload[&block].start + disk.start % (2 * MIB);
    start..start + disk.end - disk.start
}

/// Reads a whole disk in pieces; the bytes, and each fault of it.
pub(crate) fn read_all(disk: &dyn ReadAt, step: usize) -> (Vec<u8>, Faults) {
    let mut bytes = vec![0xa5; disk.size() as usize];
    let mut faults = Faults::new();
    for (number, piece) in bytes.chunks_mut(step).enumerate() {
        disk.read_at(piece, (number * step) as u64, &mut faults).expect("a read");
    }
    (bytes, faults)
}

pub(crate) fn ranges(faults: &Faults, kind: FaultKind) -> Vec<(Range<u64>, &'static str)> {
    faults.iter().filter(|fault| fault.kind == kind).map(|fault| (fault.range.clone(), fault.code)).collect()
}

/// A disk whose content is the file of an image: where it is mounted, `disk.raw` is that file. Blocks of 1 MiB.
pub(crate) fn disk_of(inner: &[u8]) -> Image {
    let mut image = Image::dynamic(inner.len() as u64);
    image.block_size = MIB as u32;
    let inner = Fill::bytes(0, inner);
    image.blocks = (0..image.virtual_size / MIB).map(|block| (block, Block::fully_present(inner.clone()))).collect();
    image
}

/// Such a disk, which has lost the last 4 KiB of block `cut`, and all of block `gone`: through a mount of it the kernel
/// itself says that they cannot be read.
pub(crate) fn failing_host_file(folder: &Path, inner: &[u8], cut: u64, gone: u64) -> PathBuf {
    let mut image = disk_of(inner);
    let rest = image.blocks.keys().copied().filter(|block| ![cut, gone].contains(block));
    let parts = [Part::Log, Part::Metadata, Part::Bat].into_iter().chain(rest.chain([cut, gone]).map(Part::Payload));
    image.layout = Layout::Explicit(parts.collect());
    let path = folder.join("outer.vhdx");
    let places = image.write_to(&path).expect("an image is written");
    let file = File::options().write(true).open(&path).expect("the image opens");
    file.set_len(places.payload[&cut].end - 4096).expect("the image is cut");
    path
}
