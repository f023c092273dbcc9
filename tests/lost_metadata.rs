//! Images whose metadata is lost: what is inferred, from what, what of it is doubtful, and which switch goes on.
#![cfg(unix)]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "hashes images before and after")]

mod support;

use std::ops::Range;
use std::path::{Path, PathBuf};

use fixtures::bytes::Bytes;
use fixtures::chain::{Chain as Forged, Model};
use fixtures::damage::{Damage, ItemDamage, TableDamage};
use fixtures::fill::Fill;
use fixtures::host_file::HostFile;
use fixtures::vhdx::bat::PayloadState;
use fixtures::vhdx::{Block, Image, Layout, MIB, Part, Places, metadata};
use support::Untouched;
use vhdx_mount::chain::{self, Chain, ChainOptions, Doubt, Missing};
use vhdx_mount::format::{Facts, FormatOptions};
use vhdx_mount::image::{HostFolders, ReadAt};
use vhdx_mount::{Error, ErrorKind, FaultKind, Faults};

const CODE: &str = "metadata-inferred";

/// A chain on the host, and the damage done to one of its files.
struct Case {
    _folder: tempfile::TempDir,
    forged: Forged,
}

impl Case {
    fn new(images: Vec<Image>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let forged = Forged::write(images, folder.path()).expect("a chain is written");
        Case { _folder: folder, forged }
    }

    fn damage(self, link: usize, damage: &Damage) -> Self {
        damage
            .apply(&mut HostFile::open(&self.forged.files[link]).expect("the image opens"), &self.forged.places[link]);
        self
    }

    /// All of the metadata region becomes zeros.
    fn without_metadata(self, link: usize) -> Self {
        let region = self.forged.places[link].metadata.clone();
        self.damage(link, &Damage::Zeroed(region))
    }

    fn open(&self, options: &ChainOptions) -> Result<Chain, Error> {
        let _untouched = Untouched::watch(&self.forged.files);
        chain::open(&HostFolders, &self.forged.youngest, options)
    }

    fn opened(&self, options: &ChainOptions) -> Chain {
        self.open(options).unwrap_or_else(|error| panic!("{error}\n{}", error.details().join("\n")))
    }

    /// From `from` on all is refused, and right where doubt is accepted; before it all is right.
    fn expect_doubtful_from(&self, from: u64, more: &ChainOptions) {
        let model = &self.forged.model;
        for (doubt, kind) in [(Doubt::Refuse, FaultKind::Lost), (Doubt::Accept, FaultKind::Doubtful)] {
            let opened = self.opened(&ChainOptions { doubt, ..more.clone() });
            assert!(opened.findings().iter().any(|finding| finding.code.as_str() == CODE), "{:?}", opened.findings());
            assert_eq!(opened.disk().size(), model.size());
            let (bytes, faults) = read_all(&opened);
            expect_covered(&faults, &(from..model.size()), kind);
            let served = if doubt == Doubt::Accept { model.size() } else { from } as usize;
            assert!(bytes[..served] == model.bytes(0, served), "wrong bytes");
            assert!(bytes[served..].iter().all(|byte| *byte == 0));
        }
    }

    fn text(&self) -> String {
        let opened = self.opened(&ChainOptions::default());
        let finding = opened.findings().iter().find(|finding| finding.code.as_str() == CODE);
        finding.expect("a finding").text.clone()
    }
}

/// All of a small disk, or the start of a large one.
fn read_all(chain: &Chain) -> (Vec<u8>, Faults) {
    let mut bytes = vec![0xa5; chain.disk().size().min(64 * MIB) as usize];
    let mut faults = Faults::new();
    chain.disk().read_at(&mut bytes, 0, &mut faults).expect("a read");
    (bytes, faults)
}

/// The faults are of this kind, and cover this range and nothing else.
fn expect_covered(faults: &Faults, range: &Range<u64>, kind: FaultKind) {
    let mut at = range.start;
    for fault in faults {
        assert_eq!((fault.range.start, fault.kind, fault.code), (at, kind, CODE), "{faults:?}");
        at = fault.range.end;
    }
    assert_eq!(at, range.end, "{faults:?}");
}

/// A base that is full, of blocks of 2 MiB.
fn base() -> Image {
    Image::fixed(12 * MIB, 2 * MIB as u32, &Fill::live(0))
}

/// A base and a child: block 0 partly there, block 1 there, block 2 zeros, the rest the base's.
fn base_and_child() -> Vec<Image> {
    let base = base();
    let mut child = Image::child_of(&base, "base.vhdx");
    child.blocks.insert(0, Block::partially_present(vec![0..7, 100..1000], Fill::live(1), Fill::stale(1)));
    child.blocks.insert(1, Block::fully_present(Fill::live(1)));
    child.blocks.insert(2, Block::absent(PayloadState::ZERO));
    vec![base, child]
}

fn assume(facts: Facts) -> ChainOptions {
    ChainOptions { format: FormatOptions { assumed: facts, ..FormatOptions::default() }, ..ChainOptions::default() }
}

const ITEM_DAMAGES: [ItemDamage; 5] =
    [ItemDamage::Missing, ItemDamage::Zeroed, ItemDamage::Ones, ItemDamage::Empty, ItemDamage::OutsideRegion];

#[test]
fn a_lost_item_is_inferred_in_child_and_base() {
    for damage in ITEM_DAMAGES {
        for id in [metadata::FILE_PARAMETERS, metadata::LOGICAL_SECTOR_SIZE] {
            Case::new(base_and_child())
                .damage(1, &Damage::MetadataItem(id, damage))
                .expect_doubtful_from(0, &ChainOptions::default());
            Case::new(vec![base()])
                .damage(0, &Damage::MetadataItem(id, damage))
                .expect_doubtful_from(0, &ChainOptions::default());
        }
        // The size of the disk moves no block: only from the last block on that the BAT speaks of is anything in doubt.
        Case::new(base_and_child())
            .damage(1, &Damage::MetadataItem(metadata::VIRTUAL_DISK_SIZE, damage))
            .expect_doubtful_from(4 * MIB, &ChainOptions::default());
        Case::new(vec![base()])
            .damage(0, &Damage::MetadataItem(metadata::VIRTUAL_DISK_SIZE, damage))
            .expect_doubtful_from(10 * MIB, &ChainOptions::default());
    }
}

#[test]
fn what_is_said_of_one_image_goes_before_what_is_said_of_all() {
    let image = |block_size: u64, block: u64, content| {
        let mut image = Image::fixed(64 * MIB, block_size as u32, &Fill::live(0));
        image.blocks.clear();
        image.blocks.insert(block, Block::fully_present(Fill::live(content)));
        image
    };
    let base = image(2 * MIB, 3, 0);
    let mut child = Image::child_of(&base, "base.vhdx");
    child.block_size = 8 * MIB as u32;
    child.blocks.insert(2, Block::fully_present(Fill::live(1)));
    let case = Case::new(vec![base, child])
        .damage(0, &Damage::MetadataItem(metadata::FILE_PARAMETERS, ItemDamage::Zeroed))
        .damage(1, &Damage::MetadataItem(metadata::FILE_PARAMETERS, ItemDamage::Zeroed));
    let blocks = |mib: u64| Facts { block_size: Some((mib * MIB) as u32), ..Facts::default() };
    let single = |facts| ChainOptions { assumed_of: vec![(case.forged.files[0].clone(), facts)], ..assume(blocks(8)) };
    case.expect_doubtful_from(0, &single(blocks(2)));
    let misled = case.opened(&ChainOptions { doubt: Doubt::Accept, ..single(blocks(8)) });
    assert_eq!(misled.links()[1].layer.geometry().block_size, 8 << 20);
}

#[test]
fn a_disk_may_end_within_a_last_block_that_is_in_use() {
    let base = Image::fixed(12 * MIB - 1536, 2 * MIB as u32, &Fill::live(0));
    let mut child = Image::child_of(&base, "base.vhdx");
    child.blocks.insert(5, Block::fully_present(Fill::live(1)));
    Case::new(vec![base, child])
        .damage(1, &Damage::MetadataItem(metadata::VIRTUAL_DISK_SIZE, ItemDamage::Zeroed))
        .expect_doubtful_from(10 * MIB, &ChainOptions::default());
}

#[test]
fn without_a_table_the_items_themselves_are_found() {
    for images in [vec![base()], base_and_child()] {
        let last = images.len() - 1;
        Case::new(images)
            .damage(last, &Damage::MetadataTable(TableDamage::Zeroed))
            .expect_doubtful_from(0, &ChainOptions::default());
    }
}

#[test]
fn a_base_without_metadata_is_known_by_its_bat() {
    for block_size in [1, 2, 4, 32, 256] {
        let block_size = block_size * MIB;
        let image = Image {
            kind: fixtures::vhdx::Kind::Dynamic,
            ..Image::fixed(2 * block_size, block_size as u32, &Fill::live(0))
        };
        let case = Case::new(vec![image]).without_metadata(0);
        let opened = case.opened(&ChainOptions::default());
        let geometry = *opened.links()[0].layer.geometry();
        assert_eq!(u64::from(geometry.block_size), block_size, "{}", case.text());
        assert_eq!(geometry.virtual_size, 2 * block_size);
    }
    Case::new(vec![base()]).without_metadata(0).expect_doubtful_from(0, &ChainOptions::default());
}

#[test]
fn a_base_below_a_child_takes_size_and_sectors_from_it() {
    let mut base = Image { logical_sector_size: 4096, ..Image::dynamic(12 * MIB) };
    for block in 0..2 {
        base.blocks.insert(block, Block::fully_present(Fill::live(0)));
    }
    let mut child = Image::child_of(&base, "base.vhdx");
    child.blocks.insert(3, Block::fully_present(Fill::live(1)));
    let case = Case::new(vec![base, child]).without_metadata(0);
    let opened = case.opened(&ChainOptions { doubt: Doubt::Accept, ..ChainOptions::default() });
    let geometry = opened.links()[1].layer.geometry();
    assert_eq!((geometry.virtual_size, geometry.logical_sector_size), (12 * MIB, 4096));
    let (bytes, faults) = read_all(&opened);
    assert!(bytes == case.forged.model.bytes(0, bytes.len()));
    // The child's own block is nobody's to doubt.
    assert!(faults.iter().all(|fault| fault.range.end <= 6 * MIB || fault.range.start >= 8 * MIB), "{faults:?}");
    assert!(!faults.is_empty());
}

#[test]
fn a_child_without_metadata_is_refused_until_a_parent_is_given_or_given_up() {
    let case = Case::new(base_and_child()).without_metadata(1);
    let error = case.open(&ChainOptions::default()).err().expect("a refusal");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let advice = error.advice().expect("advice");
    assert!(advice.contains("--missing lost") && advice.contains("--allow-mismatch"), "{advice}");

    let lost = ChainOptions { missing: Missing::Lost, doubt: Doubt::Accept, ..ChainOptions::default() };
    let opened = case.opened(&lost);
    let (bytes, faults) = read_all(&opened);
    let own = case.forged.model.bytes(0, 6 << 20);
    assert!(bytes[2 << 20..4 << 20] == own[2 << 20..4 << 20] && bytes[..7 * 512] == own[..7 * 512]);
    let lost: Vec<_> = faults.iter().filter(|fault| fault.kind == FaultKind::Lost).collect();
    assert!(lost.iter().all(|fault| fault.code == "link-missing"), "{lost:?}");
    assert_eq!(lost[0].range, 7 * 512..100 * 512);

    let given = ChainOptions {
        parents: vec![case.forged.files[0].clone()],
        allow_mismatch: true,
        doubt: Doubt::Accept,
        ..ChainOptions::default()
    };
    let opened = case.opened(&given);
    assert_eq!(opened.disk().size(), 12 * MIB, "the size is the parent's");
    let (bytes, faults) = read_all(&opened);
    assert!(bytes == case.forged.model.bytes(0, bytes.len()));
    assert!(!faults.any_lost() && !faults.is_empty());
}

#[test]
fn a_lost_locator_proves_no_parent_and_leaves_both_ways_open() {
    for damage in ITEM_DAMAGES {
        let case = Case::new(base_and_child()).damage(1, &Damage::MetadataItem(metadata::PARENT_LOCATOR, damage));
        let error = case.open(&ChainOptions::default()).err().expect("a refusal");
        assert_eq!(error.kind(), ErrorKind::NotFound, "{damage:?}: {error}");

        // The child's own bytes are proven either way.
        let opened = case.opened(&ChainOptions { missing: Missing::Lost, ..ChainOptions::default() });
        let (bytes, faults) = read_all(&opened);
        assert!(faults.iter().all(|fault| (fault.kind, fault.code) == (FaultKind::Lost, "link-missing")), "{faults:?}");
        assert!(bytes[2 << 20..4 << 20] == case.forged.model.bytes(2 * MIB, 2 << 20));
        let lost: u64 = faults.iter().map(|fault| fault.range.end - fault.range.start).sum();
        assert_eq!(lost, 8 * MIB - 907 * 512);

        let given = ChainOptions {
            parents: vec![case.forged.files[0].clone()],
            allow_mismatch: true,
            ..ChainOptions::default()
        };
        let (bytes, faults) = read_all(&case.opened(&given));
        assert!(bytes == case.forged.model.bytes(0, bytes.len()));
        let told: Vec<_> = faults.iter().map(|fault| (fault.kind, fault.code)).collect();
        assert!(told.iter().all(|told| *told == (FaultKind::Doubtful, "link-unproven")), "{faults:?}");
    }
}

/// A dynamic disk that holds one block, with room behind it in the file.
fn one_block() -> Case {
    let mut image = Image::dynamic(12 * MIB);
    image.blocks.insert(1, Block::fully_present(Fill::live(0)));
    image.layout = Layout::Explicit(vec![Part::Log, Part::Metadata, Part::Bat, Part::Payload(1), Part::Gap(3)]);
    Case::new(vec![image])
}

#[test]
fn where_nothing_decides_the_refusal_names_the_candidates_and_the_switch() {
    let case = one_block().damage(0, &Damage::MetadataItem(metadata::FILE_PARAMETERS, ItemDamage::Zeroed));
    let error = case.open(&ChainOptions::default()).err().expect("a refusal");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.message().contains("blocks of 1 MiB, 2 MiB, 4 MiB"), "{error}");
    let advice = error.advice().expect("advice");
    assert!(advice.contains("--assume block-size=") && advice.contains("--accept-doubtful"), "{advice}");
    case.expect_doubtful_from(0, &assume(Facts { block_size: Some(2 << 20), ..Facts::default() }));
    // Any of the candidates opens.
    for size in [1 << 20, 4 << 20] {
        case.opened(&assume(Facts { block_size: Some(size), ..Facts::default() }));
    }
}

#[test]
fn what_the_user_says_counts_where_the_image_says_nothing() {
    let facts = Facts {
        block_size: Some(2 << 20),
        virtual_size: Some(12 * MIB),
        logical_sector_size: Some(512),
        has_parent: Some(false),
        ..Facts::default()
    };
    one_block().without_metadata(0).expect_doubtful_from(0, &assume(facts));
    // And nowhere else.
    let wrong = Facts {
        block_size: Some(1 << 20),
        virtual_size: Some(MIB),
        logical_sector_size: Some(4096),
        has_parent: Some(true),
        ..Facts::default()
    };
    let opened = one_block().opened(&assume(wrong));
    assert_eq!(opened.disk().size(), 12 * MIB);
    assert!(read_all(&opened).1.is_empty());
}

#[test]
fn the_gpt_tells_where_the_disk_ends() {
    let mut start = vec![0; 2 << 20];
    let mut disk = vec![0; 40 << 20];
    fixtures::gpt::Gpt::new(512).with(2048, 1000).write(&mut disk);
    start.copy_from_slice(&disk.bytes_at(0, 2 << 20));
    let mut image = Image::dynamic(40 * MIB);
    image.blocks.insert(0, Block::fully_present(Fill::bytes(0, start)));
    image.blocks.insert(1, Block::fully_present(Fill::live(0)));
    let case = Case::new(vec![image]).without_metadata(0);
    assert_eq!(case.opened(&ChainOptions::default()).disk().size(), 40 * MIB);
    assert!(case.text().contains("partition table"), "{}", case.text());
}

#[test]
fn an_image_named_like_a_checkpoint_is_one() {
    // No locator, no partly present block: nothing but the name tells.
    let folder = tempfile::tempdir().expect("a folder");
    let mut child = Image::child_of(&base(), "base.vhdx");
    for block in 0..2 {
        child.blocks.insert(block, Block::fully_present(Fill::live(1)));
    }
    let open = |name: &str, options: &ChainOptions| {
        let path: PathBuf = folder.path().join(name);
        let places: Places = child.write_to(&path).expect("an image is written");
        Damage::Zeroed(places.metadata.clone()).apply(&mut HostFile::open(&path).expect("it opens"), &places);
        chain::open(&HostFolders, Path::new(&path), options)
    };
    let error = open("x.avhdx", &ChainOptions::default()).err().expect("a refusal");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(open("x.avhdx", &ChainOptions { missing: Missing::Lost, ..ChainOptions::default() }).is_ok());
    assert!(open("x.avhdx", &assume(Facts { has_parent: Some(false), ..Facts::default() })).is_ok());
    assert!(open("x.vhdx", &ChainOptions::default()).is_ok());
    let error = open("x.vhdx", &assume(Facts { has_parent: Some(true), ..Facts::default() })).err();
    assert_eq!(error.expect("a refusal").kind(), ErrorKind::NotFound);
}

#[test]
fn a_bat_with_nonsense_in_it_still_tells() {
    use fixtures::damage::EntryDamage;
    let case = Case::new(vec![base()]).damage(0, &Damage::PayloadEntry(3, EntryDamage::PastEnd)).without_metadata(0);
    let opened = case.opened(&ChainOptions { doubt: Doubt::Accept, ..ChainOptions::default() });
    let model: &Model = &case.forged.model;
    let (bytes, faults) = read_all(&opened);
    let lost: Vec<_> =
        faults.iter().filter(|fault| fault.kind == FaultKind::Lost).map(|fault| fault.range.clone()).collect();
    assert_eq!(lost, [6 * MIB..8 * MIB]);
    assert!(bytes[..6 << 20] == model.bytes(0, 6 << 20) && bytes[8 << 20..] == model.bytes(8 * MIB, 4 << 20));
}

#[test]
fn block_sizes_are_found_whatever_the_layout() {
    use fixtures::random::Rng;
    let mut undecided = 0;
    for seed in 0..30 {
        let mut rng = Rng::new(seed);
        let block_size = 1u64 << rng.between(20, 22);
        let mut image = Image { block_size: block_size as u32, ..Image::dynamic(16 * block_size) };
        for block in 0..16 {
            if rng.chance(60) {
                image.blocks.insert(block, Block::fully_present(Fill::live(0)));
            }
        }
        image.layout = Layout::Shuffled { seed };
        let case =
            Case::new(vec![image]).damage(0, &Damage::MetadataItem(metadata::FILE_PARAMETERS, ItemDamage::Zeroed));
        match case.open(&ChainOptions::default()) {
            Ok(opened) => {
                assert_eq!(u64::from(opened.links()[0].layer.geometry().block_size), block_size, "seed {seed}");
            }
            Err(_) => {
                undecided += 1;
                case.expect_doubtful_from(
                    0,
                    &assume(Facts { block_size: Some(block_size as u32), ..Facts::default() }),
                );
            }
        }
    }
    assert!(undecided < 6, "{undecided}");
}

#[test]
#[cfg(target_os = "linux")]
fn the_program_goes_on_with_the_switch_that_its_refusal_names() {
    use support::program::{PROGRAM, run};
    let case = one_block().damage(0, &Damage::MetadataItem(metadata::FILE_PARAMETERS, ItemDamage::Zeroed));
    let refused = run(PROGRAM, &[&"check", &case.forged.youngest]);
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("--assume block-size=4M"), "{told}");
    let checked = run(PROGRAM, &[&"check", &"--json", &"--assume", &"block-size=2M", &case.forged.youngest]);
    assert_eq!(checked.status.code(), Some(3), "all of it is doubtful");
    let report: serde_json::Value = serde_json::from_slice(&checked.stdout).expect("JSON");
    assert_eq!((&report["totals"]["lost"], &report["totals"]["doubtful"]), (&0.into(), &(12 * MIB).into()));
    let wrong = run(PROGRAM, &[&"check", &"--assume", &"block-size=3M", &case.forged.youngest]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn random_chains_that_lost_metadata_never_show_a_wrong_byte_as_proven() {
    use fixtures::chain::RandomChain;
    use fixtures::random::Rng;
    let items = [
        metadata::FILE_PARAMETERS,
        metadata::VIRTUAL_DISK_SIZE,
        metadata::LOGICAL_SECTOR_SIZE,
        metadata::PHYSICAL_SECTOR_SIZE,
        metadata::PARENT_LOCATOR,
    ];
    let (mut opened, mut right) = (0, 0);
    for seed in 0..50 {
        let mut rng = Rng::new(seed);
        let folder = tempfile::tempdir().expect("a folder");
        let links = rng.between(1, 3) as usize;
        let random = RandomChain { links, virtual_size: 12 * MIB, resized: seed % 2 == 0, ..RandomChain::new(seed) };
        let forged = random.write(folder.path()).expect("a chain is written");
        let case = Case { _folder: folder, forged };
        let link = rng.below(links as u64) as usize;
        let case = match rng.below(4) {
            0 => case.without_metadata(link),
            1 => case.damage(link, &Damage::MetadataTable(*rng.pick(&TableDamage::ALL))),
            _ => case.damage(link, &Damage::MetadataItem(*rng.pick(&items), *rng.pick(&ITEM_DAMAGES))),
        };
        for doubt in [Doubt::Refuse, Doubt::Accept] {
            let options = ChainOptions { missing: Missing::Lost, doubt, ..ChainOptions::default() };
            let Ok(chain) = case.open(&options) else { continue };
            opened += 1;
            let (mut bytes, faults) = read_all(&chain);
            let size = case.forged.model.size().min(64 * MIB);
            bytes.resize(size as usize, 0);
            let expected = case.forged.model.bytes(0, size as usize);
            if bytes == expected {
                right += 1;
            }
            for at in (0..size).step_by(512) {
                let sector = at as usize..at as usize + 512;
                let doubted = faults.iter().any(|fault| fault.range.start < at + 512 && at < fault.range.end);
                let there = at < chain.disk().size();
                assert!(doubted || !there || bytes[sector.clone()] == expected[sector], "seed {seed}: byte {at}");
            }
        }
    }
    assert!(opened > 75 && right > 30, "{opened} opened, {right} of them right");
}

#[test]
fn the_largest_disk_and_a_bat_full_of_noise_are_judged_in_seconds() {
    use fixtures::random::Rng;
    use std::time::{Duration, Instant};
    let mut image = Image { block_size: MIB as u32, ..Image::dynamic(64 << 40) };
    for block in [0, 1, (1 << 26) - 1] {
        image.blocks.insert(block, Block::fully_present(Fill::live(0)));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("large.vhdx");
    let places = image.write_to(&path).expect("an image is written");
    Damage::Zeroed(places.metadata.clone()).apply(&mut HostFile::open(&path).expect("it opens"), &places);
    let open = || {
        let started = Instant::now();
        let opened = chain::open(&HostFolders, &path, &ChainOptions::default());
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
        opened
    };
    let opened = open().expect("it opens");
    assert_eq!(opened.disk().size(), 64 << 40);
    assert_eq!(opened.disk().geometry().block_size, MIB as u32);

    let mut noise = vec![0; 2 << 20];
    Rng::new(3).fill(&mut noise);
    HostFile::open(&path).expect("it opens").write_at(places.bat.start, &noise);
    assert!(open().is_err(), "nothing in it makes sense");
    // All of its 513 MiB are looked through for a last entry.
    for at in [places.bat.start, places.payload_entry((1 << 26) - 1) - (1 << 20)] {
        HostFile::open(&path).expect("it opens").write_at(at, &vec![0; 2 << 20]);
    }
    assert_eq!(open().expect("it opens").disk().geometry().block_size, 2 << 20);
}
