//! Damaged structures, one at a time: what is still read, what is lost, what is refused, and what is said.
#![cfg(unix)]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "hashes images before and after")]

mod support;

use std::ops::Range;
use std::path::Path;

use fixtures::bytes::Bytes;
use fixtures::chain::{Chain, Model};
use fixtures::damage::{Copies, Damage, EntryDamage, ItemDamage, TableDamage};
use fixtures::fill::Fill;
use fixtures::host_file::HostFile;
use fixtures::vhdx::{Block, Image, MIB, metadata};
use support::Untouched;
use vhdx_mount::chain::{self, ChainOptions, Doubt};
use vhdx_mount::image::{HostFolders, ReadAt};
use vhdx_mount::{ErrorKind, FaultKind, Faults};

/// What becomes of a chain whose child was damaged.
enum Outcome {
    /// All bytes are right; these findings, in this order.
    Whole(&'static [&'static str]),
    /// These bytes of the disk are lost, with this code; all others are right.
    Lost(Vec<Range<u64>>, &'static str),
    /// All bytes are right, and doubtful with this code: served only where that is accepted.
    Doubtful(&'static str),
    /// It does not open.
    Refused(ErrorKind),
}

/// A base that is full and a child: block 0 partly there, block 1 there, block 2 zeros, the rest the base's.
fn chain() -> (tempfile::TempDir, Chain) {
    let base = Image::fixed(12 * MIB, 2 * MIB as u32, &Fill::live(0));
    let mut child = Image::child_of(&base, "base.vhdx");
    child.blocks.insert(0, Block::partially_present(PRESENT.to_vec(), Fill::live(1), Fill::stale(1)));
    child.blocks.insert(1, Block::fully_present(Fill::live(1)));
    child.blocks.insert(2, Block::absent(fixtures::vhdx::bat::PayloadState::ZERO));
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(vec![base, child], folder.path()).expect("a chain is written");
    (folder, chain)
}

/// Sectors of block 0 that the child holds.
const PRESENT: [Range<u64>; 3] = [0..7, 100..1000, 4095..4096];

fn present_bytes() -> Vec<Range<u64>> {
    PRESENT.iter().map(|sectors| sectors.start * 512..sectors.end * 512).collect()
}

fn expect(damage: &Damage, expected: &Outcome) {
    let (_folder, forged) = chain();
    let child = forged.youngest.clone();
    damage.apply(&mut HostFile::open(&child).expect("the image opens"), &forged.places[1]);
    let _untouched = Untouched::watch(&forged.files);
    let opened = chain::open(&HostFolders, &child, &ChainOptions::default());
    match (opened, expected) {
        (Err(error), Outcome::Refused(kind)) => assert_eq!(error.kind(), *kind, "{damage:?}: {error}"),
        (Err(error), _) => panic!("{damage:?}: {error}\n{}", error.details().join("\n")),
        (Ok(_), Outcome::Refused(kind)) => panic!("{damage:?}: should be refused as {kind:?}"),
        (Ok(opened), Outcome::Whole(codes)) => {
            let found: Vec<_> = opened.findings().iter().map(|finding| finding.code.as_str()).collect();
            assert_eq!(found, *codes, "{damage:?}");
            expect_bytes(&**opened.disk(), &forged.model, &[], "", damage);
        }
        (Ok(opened), Outcome::Lost(lost, code)) => {
            expect_bytes(&**opened.disk(), &forged.model, lost, code, damage);
        }
        (Ok(opened), Outcome::Doubtful(code)) => {
            let found: Vec<_> = opened.findings().iter().map(|finding| finding.code.as_str()).collect();
            assert!(found.contains(code), "{damage:?}: {found:?}");
            expect_doubtful(&child, &forged.model, code, damage);
        }
    }
}

/// All bytes are refused, and all are right where doubt is accepted.
fn expect_doubtful(child: &Path, model: &Model, code: &str, damage: &Damage) {
    for (doubt, kind) in [(Doubt::Refuse, FaultKind::Lost), (Doubt::Accept, FaultKind::Doubtful)] {
        let options = ChainOptions { doubt, ..ChainOptions::default() };
        let opened = chain::open(&HostFolders, child, &options).expect("it opened before");
        let mut got = vec![0xa5; opened.disk().size() as usize];
        let mut faults = Faults::new();
        opened.disk().read_at(&mut got, 0, &mut faults).expect("a read");
        let told: u64 = faults.iter().map(|fault| fault.range.end - fault.range.start).sum();
        assert_eq!(told, model.size(), "{damage:?}");
        assert!(faults.iter().all(|fault| fault.kind == kind && fault.code == code), "{damage:?}: {faults:?}");
        match doubt {
            Doubt::Refuse => assert!(got.iter().all(|byte| *byte == 0), "{damage:?}"),
            Doubt::Accept => assert!(got == model.bytes(0, got.len()), "{damage:?}: wrong bytes"),
        }
    }
}

/// All bytes are the model's, but for those that are lost: they are named, and zeros stand in their place.
fn expect_bytes(disk: &dyn ReadAt, model: &Model, lost: &[Range<u64>], code: &str, damage: &Damage) {
    let mut got = vec![0xa5; disk.size() as usize];
    let mut faults = Faults::new();
    disk.read_at(&mut got, 0, &mut faults).expect("a read");
    let mut told: Vec<Range<u64>> = Vec::new();
    for fault in &faults {
        assert_eq!((fault.kind, fault.code), (FaultKind::Lost, code), "{damage:?}");
        // Bytes that the base would give are its own, though the child's entry is what is doubted.
        match told.last_mut() {
            Some(last) if last.end == fault.range.start => last.end = fault.range.end,
            _ => told.push(fault.range.clone()),
        }
    }
    assert_eq!(told, lost, "{damage:?}");
    let mut expected = model.bytes(0, got.len());
    for range in lost {
        expected[range.start as usize..range.end as usize].fill(0);
    }
    assert!(got == expected, "{damage:?}: wrong bytes");
}

#[test]
fn nothing_damaged() {
    expect(&Damage::Zeroed(0..0), &Outcome::Whole(&[]));
}

#[test]
fn one_copy_of_a_header_or_region_table_is_enough() {
    expect(&Damage::FileTypeIdentifier, &Outcome::Whole(&["file-type-identifier-bad"]));
    for damage in TableDamage::ALL {
        for copies in [Copies::First, Copies::Second] {
            expect(&Damage::Header(copies, damage), &Outcome::Whole(&["header-bad"]));
            expect(&Damage::RegionTable(copies, damage), &Outcome::Whole(&["region-table-bad"]));
        }
        // The checksum tells which bit is wrong, where one is.
        if matches!(damage, TableDamage::FlippedBit | TableDamage::Checksum) {
            expect(&Damage::Header(Copies::Both, damage), &Outcome::Whole(&["header-bad"; 2]));
            expect(&Damage::RegionTable(Copies::Both, damage), &Outcome::Whole(&["region-table-bad"; 2]));
            continue;
        }
        // Its log holds nothing, so that it does not matter what the headers said.
        expect(&Damage::Header(Copies::Both, damage), &Outcome::Whole(&["headers-lost"]));
        expect(&Damage::RegionTable(Copies::Both, damage), &Outcome::Doubtful("region-tables-lost"));
    }
}

#[test]
fn what_is_required_and_unknown_is_refused_by_name() {
    expect(&Damage::UnknownRegion { required: true }, &Outcome::Refused(ErrorKind::Unsupported));
    expect(&Damage::UnknownRegion { required: false }, &Outcome::Whole(&["region-unknown"]));
    expect(&Damage::UnknownItem { required: true }, &Outcome::Refused(ErrorKind::Unsupported));
    expect(&Damage::UnknownItem { required: false }, &Outcome::Whole(&["metadata-item-unknown"]));
}

#[test]
fn metadata_that_the_disk_can_be_read_without_is_a_finding() {
    use ItemDamage::{Empty, Missing, Ones, OutsideRegion, Twice, Zeroed};
    let spoilt = Outcome::Whole(&["metadata-item-bad"]);
    for damage in [Empty, OutsideRegion, Missing] {
        expect(&Damage::MetadataItem(metadata::VIRTUAL_DISK_ID, damage), &spoilt);
        expect(&Damage::MetadataItem(metadata::PHYSICAL_SECTOR_SIZE, damage), &spoilt);
    }
    for damage in [Zeroed, Ones] {
        // Any 16 bytes are an id; that it is not the parent's is told.
        expect(&Damage::MetadataItem(metadata::VIRTUAL_DISK_ID, damage), &Outcome::Whole(&["disk-id-differs"]));
        expect(&Damage::MetadataItem(metadata::PHYSICAL_SECTOR_SIZE, damage), &spoilt);
    }
    expect(&Damage::MetadataItem(metadata::VIRTUAL_DISK_ID, Twice), &Outcome::Whole(&[]));
}

#[test]
fn a_metadata_table_whose_entries_still_tell_is_used() {
    for damage in [TableDamage::Signature, TableDamage::Absurd] {
        expect(&Damage::MetadataTable(damage), &Outcome::Whole(&["metadata-table-bad"]));
    }
    // A bit of the first entry's id.
    for damage in [TableDamage::FlippedBit, TableDamage::Checksum] {
        expect(&Damage::MetadataTable(damage), &Outcome::Whole(&["metadata-item-bad"]));
    }
}

#[test]
fn a_bad_payload_entry_costs_what_its_block_holds_and_nothing_more() {
    let cases = [
        (EntryDamage::PastEnd, "block-past-end"),
        (EntryDamage::FarthestOffset, "block-past-end"),
        (EntryDamage::OntoHeaders, "block-on-structure"),
        (EntryDamage::OntoLog, "block-on-structure"),
        (EntryDamage::OntoMetadata, "block-on-structure"),
        (EntryDamage::OntoBat, "block-on-structure"),
        (EntryDamage::ReservedBit(3), "block-misaligned"),
        (EntryDamage::ReservedBit(19), "block-misaligned"),
    ];
    for (damage, code) in cases {
        // Of block 0 the child holds some sectors, and its bitmap still tells which: the others are the base's. Where the
        // entry cannot be what a writer wrote, that the block is partly there is no more than doubtful.
        let lost = if code == "block-past-end" { present_bytes() } else { vec![0..2 * MIB] };
        expect(&Damage::PayloadEntry(0, damage), &Outcome::Lost(lost, code));
        expect(&Damage::PayloadEntry(1, damage), &Outcome::Lost(vec![2 * MIB..4 * MIB], code));
    }
    let reserved = Outcome::Lost(vec![2 * MIB..4 * MIB], "block-state-reserved");
    expect(&Damage::PayloadEntry(1, EntryDamage::State(4)), &reserved);
}

#[test]
fn an_entry_that_something_else_was_written_over_proves_nothing() {
    // States that claim no place, with a reserved bit set; block 1 was FULLY_PRESENT, block 3 NOT_PRESENT.
    for state in [0, 1, 2, 3, 5] {
        for block in [1, 3] {
            let (folder, forged) = chain();
            let mut file = HostFile::open(&forged.youngest).expect("the image opens");
            file.write_at(forged.places[1].payload_entry(block), &(state | 1_u64 << 9).to_le_bytes());
            let opened = chain::open(&HostFolders, &forged.youngest, &ChainOptions::default()).expect("a chain");
            let bytes = block * 2 * MIB..(block + 1) * 2 * MIB;
            let damage = Damage::PayloadEntry(block, EntryDamage::State(state as u8));
            expect_bytes(&**opened.disk(), &forged.model, &[bytes], "block-misaligned", &damage);
            drop(folder);
        }
    }
}

#[test]
fn a_bad_bitmap_entry_costs_the_partly_present_blocks_of_its_chunk() {
    let cases = [
        (EntryDamage::Zeroed, "bitmap-missing"),
        (EntryDamage::State(0), "bitmap-missing"),
        (EntryDamage::State(7), "bitmap-missing"),
        (EntryDamage::PastEnd, "block-past-end"),
        (EntryDamage::OntoMetadata, "block-on-structure"),
        (EntryDamage::ReservedBit(7), "block-misaligned"),
    ];
    let block_0 = vec![0..2 * MIB];
    for (damage, code) in cases {
        expect(&Damage::BitmapEntry(0, damage), &Outcome::Lost(block_0.clone(), code));
    }
}

#[test]
fn a_cut_file_loses_what_was_cut_off() {
    let (_folder, forged) = chain();
    let block = forged.places[1].payload[&1].clone();
    assert_eq!(block.end, forged.places[1].file_size, "block 1 stands last");
    for cut in [1, 512, 4096, 100_001, 2 * MIB] {
        let lost = vec![4 * MIB - cut..4 * MIB];
        expect(&Damage::Truncated(block.end - cut), &Outcome::Lost(lost, "block-past-end"));
    }
    for size in [0, 1, 65_536, 262_144] {
        expect(
            &Damage::Truncated(size),
            &Outcome::Refused(if size == 1 { ErrorKind::Unsupported } else { ErrorKind::Corrupt }),
        );
    }
}
