//! `export --format vhdx`: the merged disk as a new dynamic VHDX, held against four readers.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "reads what was exported, and damages copies")]

mod interrupted;
#[path = "../support/mod.rs"]
mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};

use fixtures::bytes::Bytes;
use fixtures::chain::{Chain, RandomChain, spread};
use fixtures::damage::EntryDamage;
use fixtures::fill::Fill;
use fixtures::random::Rng;
use fixtures::vhdx::{Block, Image, MIB, TIB};
use sha2::{Digest, Sha256};
use support::program::{PROGRAM, expect_success, has, run};
use support::small_disk::{chain_with, cluster_of_long_text, disk, spoil};
use support::{Untouched, hash_file, hex, open_chain, read_proven};

fn export(chain: &Path, to: &Path, more: &[&str]) -> Output {
    let mut args: Vec<&dyn AsRef<OsStr>> = vec![&"export", &chain, &"--to", &to];
    args.extend(more.iter().map(|arg| arg as &dyn AsRef<OsStr>));
    run(PROGRAM, &args)
}

fn export_vhdx(chain: &Path, to: &Path, more: &[&str]) -> Output {
    export(chain, to, &[more, &["--format", "vhdx"]].concat())
}

#[track_caller]
fn expect_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The hash that an export told.
fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).split_whitespace().next().unwrap_or_default().to_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// SHA-256 of the disk as qemu-img reads it.
fn hash_by_qemu(image: &Path) -> String {
    let raw = image.with_extension("raw-by-qemu");
    expect_success(&run("qemu-img", &[&"check", &"-f", &"vhdx", &image]));
    expect_success(&run("qemu-img", &[&"convert", &"-f", &"vhdx", &"-O", &"raw", &image, &raw]));
    let hash = hash_file(&raw);
    fs::remove_file(raw).expect("a removal");
    hash
}

fn hash_by_seven_zip(image: &Path) -> String {
    let output = run("7z", &[&"e", &"-so", &"-tvhdx", &image]);
    expect_success(&output);
    hex(Sha256::digest(&output.stdout))
}

fn hash_by_libvhdi(image: &Path) -> String {
    let at = tempfile::tempdir().expect("a folder");
    expect_success(&run("vhdimount", &[&image, &at.path()]));
    let hash = hash_file(&at.path().join("vhdi1"));
    support::program::unmount(at.path());
    hash
}

/// Does work on each item, three at a time: most of it waits for storage, or for other programs.
fn each_beside<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(item);
                }
            });
        }
    });
}

/// Images whose merged disk has `size` bytes, with data in its first, its last and a few other blocks.
fn sparse_chain(size: u64, block_size: u32, sectors: (u32, u32), seed: u64) -> Vec<Image> {
    let mut rng = Rng::new(seed);
    let mut base = Image::dynamic(size);
    base.block_size = block_size;
    (base.logical_sector_size, base.physical_sector_size) = sectors;
    let last = (size - 1) / u64::from(block_size);
    for block in [0, last, rng.below(last + 1), rng.below(last + 1)] {
        base.blocks.insert(block, Block::fully_present(Fill::live(0)));
    }
    let mut child = Image::child_of(&base, "base.vhdx");
    child.block_size = if size > TIB { 256 << 20 } else { MIB as u32 };
    let whole = (u64::from(child.block_size) / u64::from(sectors.0)).min(64);
    let half = size / 2 / u64::from(child.block_size);
    child.blocks.insert(half, Block::partially_present(vec![3..whole], Fill::live(1), Fill::stale(1)));
    vec![base, child]
}

#[test]
fn four_readers_find_the_same_disk() {
    let test = "four_readers_find_the_same_disk";
    if !["qemu-img", "vhdimount", "vhdiinfo", "7z"].iter().all(|tool| has(test, tool)) {
        return;
    }
    let sizes = [MIB, 2 * MIB, 2 * MIB + 4096, 77 * MIB - 8192, 132 * MIB];
    let sectors = [(512, 512), (512, 4096), (4096, 4096)];
    let disks: Vec<_> = sizes.iter().flat_map(|size| sectors.map(|sectors| (*size, sectors))).enumerate().collect();
    each_beside(&disks, |&(number, (size, sectors))| {
        let block_size = [MIB, 2 * MIB, 32 * MIB, 256 * MIB][number % 4] as u32;
        let folder = tempfile::tempdir().expect("a folder");
        let images = sparse_chain(size, block_size, sectors, number as u64);
        let chain = Chain::write(images, folder.path()).expect("a chain is written");
        let _untouched = Untouched::watch(&chain.files);
        let expected = hex(Sha256::digest(chain.model.bytes(0, size as usize)));
        let to = folder.path().join("exported.vhdx");
        let output = export_vhdx(&chain.youngest, &to, &[]);
        expect_code(&output, 0);
        let why = format!("{size} bytes, sectors {sectors:?}, {}", chain.description);
        assert_eq!(told(&output), expected, "{why}");
        // qemu-img knows logical sectors of 512 bytes only.
        if sectors.0 == 512 {
            assert_eq!(hash_by_qemu(&to), expected, "qemu-img: {why}");
        }
        assert_eq!(hash_by_libvhdi(&to), expected, "libvhdi: {why}");
        // 7-Zip refuses disks of an odd number of sectors.
        if (size / u64::from(sectors.0)).is_multiple_of(2) {
            assert_eq!(hash_by_seven_zip(&to), expected, "7-Zip: {why}");
        }
        let info = run("vhdiinfo", &[&to]);
        expect_success(&info);
        let info = String::from_utf8_lossy(&info.stdout).into_owned();
        assert!(info.contains("Dynamic") && info.contains(&format!("{} bytes", sectors.0)), "{info}");
        // And what was exported, exported again.
        let again = folder.path().join("again.vhdx");
        let output = export_vhdx(&to, &again, &[]);
        expect_code(&output, 0);
        assert_eq!(told(&output), expected, "our own reader: {why}");
        let geometry = *open_chain(&again).disk().geometry();
        assert_eq!((geometry.logical_sector_size, geometry.physical_sector_size), sectors);
        assert_eq!(fs::metadata(&again).expect("a file").len(), fs::metadata(&to).expect("a file").len());
    });
}

#[test]
fn chains_drawn_by_chance_keep_every_byte() {
    each_beside(&(0..25).collect::<Vec<_>>(), |&seed| {
        let folder = tempfile::tempdir().expect("a folder");
        let drawn = RandomChain { payload_budget: 8 * MIB, largest_block: 4 * MIB, ..RandomChain::new(seed) };
        let chain = drawn.write(folder.path()).expect("a chain is written");
        if !chain.model.lost().is_empty() {
            return;
        }
        let to = folder.path().join("exported.vhdx");
        let output = export_vhdx(&chain.youngest, &to, &["--no-hash", "-q"]);
        expect_code(&output, 0);
        compare(&chain, &to);
    });
}

/// Holds the bytes on both sides of each edge of the model against those of an exported image.
fn compare(chain: &Chain, exported: &Path) {
    let opened = open_chain(exported);
    let disk = opened.disk();
    assert_eq!(disk.geometry().virtual_size, chain.model.size(), "{}", chain.description);
    for edge in chain.model.edges() {
        let start = edge.saturating_sub(70_000);
        let count = 140_000.min(chain.model.size() - start) as usize;
        let given = read_proven(&**disk, start, count);
        chain.model.compare(start, &given).unwrap_or_else(|wrong| panic!("{wrong}\n{}", chain.description));
    }
}

#[test]
fn the_largest_disks_cost_what_they_hold() {
    let test = "the_largest_disks_cost_what_they_hold";
    if !["qemu-img", "vhdiinfo"].iter().all(|tool| has(test, tool)) {
        return;
    }
    for (size, block_size) in [(TIB, 2 * MIB), (TIB + 4096, 32 * MIB), (64 * TIB, 32 * MIB)] {
        let folder = tempfile::tempdir().expect("a folder");
        let images = sparse_chain(size, if size > 2 * TIB { 32 << 20 } else { 8 << 20 }, (512, 4096), size);
        let chain = Chain::write(images, folder.path()).expect("a chain is written");
        let to = folder.path().join("exported.vhdx");
        expect_code(&export_vhdx(&chain.youngest, &to, &["--no-hash", "-q"]), 0);
        compare(&chain, &to);
        assert_eq!(u64::from(open_chain(&to).disk().geometry().block_size), block_size);
        let file = fs::metadata(&to).expect("a file");
        assert!(file.len() < 256 * MIB && file.blocks() * 512 <= file.len(), "{} bytes", file.len());
        expect_success(&run("qemu-img", &[&"check", &"-f", &"vhdx", &to]));
        expect_success(&run("vhdiinfo", &[&to]));
    }
}

#[test]
fn the_structures_are_those_of_the_format() {
    let mut image = Image::dynamic(20 * MIB);
    image.physical_sector_size = 512;
    // Blocks 1 and 4 hold something, block 2 zeros only.
    image.blocks.insert(1, Block::fully_present(Fill::live(0)));
    image.blocks.insert(2, Block::fully_present(Fill::Zero));
    image.blocks.insert(4, Block::fully_present(Fill::bytes(8 * MIB + 70_000, vec![1u8])));
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(vec![image], folder.path()).expect("a chain is written");
    let [one, two] = ["one.vhdx", "two.vhdx"].map(|name| {
        let to = folder.path().join(name);
        expect_code(&export_vhdx(&chain.youngest, &to, &[]), 0);
        fs::read(to).expect("an image")
    });
    // [MS-VHDX] 2.2 to 2.6, written down once more.
    assert_eq!(one.len() as u64, 4 * MIB + 2 * 2 * MIB);
    assert!(one.starts_with(b"vhdxfilev\0h\0d\0x\0"));
    for (at, length) in [(64, 4), (128, 4), (192, 64), (256, 64)] {
        let mut structure = one[at << 10..][..length << 10].to_vec();
        let stored = u32::from_le_bytes(structure[4..8].try_into().expect("four bytes"));
        structure[4..8].fill(0);
        assert_eq!(crc32c::crc32c(&structure), stored, "at {at} KiB");
    }
    let log = &one[(128 << 10) + 48..][..32];
    assert_eq!(log[..16], [0; 16], "LogGuid");
    assert_eq!(log[20..], [0x10_0000u32.to_le_bytes().as_slice(), &0x10_0000u64.to_le_bytes()].concat());
    assert_eq!(one[192 << 10..][..64 << 10], one[256 << 10..][..64 << 10]);
    let guids = |file: &[u8]| file[(64 << 10) + 16..][..32].to_vec();
    assert_ne!(guids(&one), guids(&two), "each file has GUIDs of its own");
    assert_eq!(one[(2 << 20) + (64 << 10) + 16..][..16], chain.images[0].disk_id.0, "the disk is the same");
    let entry = |block: usize| u64::from_le_bytes(one[(3 << 20) + 8 * block..][..8].try_into().expect("eight bytes"));
    let entries: Vec<u64> = (0..11).map(entry).collect();
    assert_eq!(entries, [2, (4 << 20) | 6, 2, 2, (6 << 20) | 6, 2, 2, 2, 2, 2, 0]);
    assert_eq!(one[3 << 20..], two[3 << 20..], "BAT and payload");
}

#[test]
fn what_is_lost_is_zeros_and_the_map_names_it() {
    let disk = disk();
    let lost = [cluster_of_long_text(&disk, 5), cluster_of_long_text(&disk, 700)];
    let (_folder, chain) = chain_with(&disk, &lost);
    spoil(&chain, EntryDamage::PastEnd);
    let out = tempfile::tempdir().expect("a folder");
    let [raw, vhdx] = ["disk.raw", "disk.vhdx"].map(|name| out.path().join(name));
    let (as_raw, as_vhdx) = (export(&chain.youngest, &raw, &[]), export_vhdx(&chain.youngest, &vhdx, &[]));
    expect_code(&as_raw, 3);
    expect_code(&as_vhdx, 3);
    let mut expected = disk.bytes_at(0, disk.size() as usize);
    for range in &lost {
        expected[range.start as usize..range.end as usize].fill(0);
    }
    assert_eq!(told(&as_vhdx), hex(Sha256::digest(&expected)));
    assert_eq!(told(&as_raw), told(&as_vhdx));
    assert!(read_proven(&**open_chain(&vhdx).disk(), 0, expected.len()) == expected);
    let map = |file: &str| {
        let map = fs::read_to_string(out.path().join(file)).expect("a map");
        map.lines()
            .filter(|line| !["# of: ", "# offsets", "# finished: "].iter().any(|own| line.starts_with(own)))
            .map(ToOwned::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(map("disk.vhdx.map"), map("disk.raw.map"));
    // It tells of the disk, and is not to be taken for the map of a copy of the file.
    let argument = format!("{0}={0}.map", vhdx.display());
    let refused = run(PROGRAM, &[&"info", &vhdx, &"--map", &argument]);
    expect_code(&refused, 2);
    assert!(said(&refused).contains("bytes of the disk"), "{}", said(&refused));
}

#[test]
fn a_complete_export_is_an_image_and_never_written_to() {
    let test = "a_complete_export_is_an_image_and_never_written_to";
    if !has(test, "qemu-io") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(spread(&disk(), 3, 512, &mut Rng::new(6)), folder.path()).expect("a chain is written");
    let to = folder.path().join("disk.vhdx");
    let first = export_vhdx(&chain.youngest, &to, &[]);
    expect_code(&first, 0);
    {
        let _untouched = Untouched::watch([&to]);
        // Not over what exists, in no form, and over no image of the chain.
        expect_code(&export_vhdx(&chain.youngest, &to, &[]), 2);
        expect_code(&export(&chain.youngest, &to, &["--format", "raw", "--resume"]), 2);
        expect_code(&export_vhdx(&chain.youngest, &chain.youngest, &["--resume"]), 2);
        // Gone on with once more, it tells the same.
        let again = export_vhdx(&chain.youngest, &to, &["--resume"]);
        expect_code(&again, 0);
        assert_eq!(told(&again), told(&first));
    }
    // A machine that was started from it has changed it.
    expect_success(&run("qemu-io", &[&"-f", &"vhdx", &"-c", &"write -P 0xaa 3M 64k", &to]));
    {
        let _untouched = Untouched::watch([&to]);
        let output = export_vhdx(&chain.youngest, &to, &["--resume"]);
        expect_code(&output, 2);
        assert!(said(&output).contains("no image is ever written to"), "{}", said(&output));
    }
    // And it reads as what another writer made of it.
    assert_eq!(read_proven(&**open_chain(&to).disk(), 3 * MIB, 65536), vec![0xaa; 65536]);

    // An image that came to stand where an export had hardly begun.
    let other = folder.path().join("other.vhdx");
    expect_code(&export_vhdx(&chain.youngest, &other, &["--no-hash"]), 0);
    let map = folder.path().join("other.vhdx.map");
    let begun = fs::read_to_string(&map).expect("a map");
    let begun: Vec<&str> = begun.lines().take_while(|line| !line.starts_with("0x")).collect();
    let text = format!("{}\n0x00000000     ?               1\n", begun.join("\n"));
    fs::write(&map, text).expect("a map is written");
    let _untouched = Untouched::watch([&other]);
    expect_code(&export_vhdx(&chain.youngest, &other, &["--resume"]), 2);
}

#[test]
fn a_file_that_is_not_what_its_map_tells_of_is_not_gone_on_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(spread(&disk(), 3, 512, &mut Rng::new(6)), folder.path()).expect("a chain is written");
    for format in ["raw", "vhdx"] {
        let to = folder.path().join(format!("disk.{format}"));
        let run = |more: &[&str]| export(&chain.youngest, &to, &[more, &["--format", format]].concat());
        let first = run(&[]);
        expect_code(&first, 0);
        let whole = fs::read(&to).expect("the file");
        // Without its front, and half.
        let file = fs::OpenOptions::new().write(true).open(&to).expect("the file");
        file.write_all_at(&[0; 320 << 10], 0).expect("a write");
        file.set_len(whole.len() as u64 / 2).expect("a length");
        let cut = run(&["--resume"]);
        expect_code(&cut, 2);
        assert!(said(&cut).contains("its map tells"), "{}", said(&cut));
        // Gone altogether: from the start, not zeros as far as the map goes.
        fs::remove_file(&to).expect("a removal");
        let again = run(&["--resume"]);
        expect_code(&again, 0);
        assert_eq!(told(&again), told(&first));
        let disk = if format == "raw" { fs::read(&to).expect("the file") } else { Vec::new() };
        assert!(format != "raw" || disk == whole);
    }
}

#[test]
fn what_cannot_be_a_vhdx_is_refused_in_words() {
    let (folder, chain) = chain_with(&disk(), &[]);
    let refused = |image: &Path, to: &Path, more: &[&str], code, word: &str| {
        let output = export(image, to, more);
        expect_code(&output, code);
        assert!(said(&output).contains(word), "{}", said(&output));
        assert!(!to.exists());
    };
    let to = folder.path().join("disk.vhdx");
    refused(&chain.youngest, &to, &[], 2, "add --format vhdx");
    refused(&chain.youngest, Path::new("-"), &["--format", "vhdx"], 2, "cannot be streamed");
    refused(&chain.youngest, &to, &["--format", "vhdx", "--volume", "1"], 2, "whole disk");
    let odd = folder.path().join("odd.raw");
    let mut bytes = vec![0; 1000];
    bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
    fs::write(&odd, bytes).expect("a disk is written");
    refused(&odd, &to, &["--format", "vhdx"], 1, "whole sectors of 512 bytes");
    let huge = folder.path().join("huge.raw");
    let file = fs::File::create(&huge).expect("a file");
    file.write_all_at(&[0x55, 0xaa], 510).expect("a boot signature");
    if file.set_len(64 * TIB + 512).is_ok() {
        refused(&huge, &to, &["--format", "vhdx"], 1, "64 TiB at most");
    }
}
