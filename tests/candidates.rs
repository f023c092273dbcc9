//! Images that are not proven to be a parent: which one is advised, what is said of each, and when none is.
#![cfg(unix)]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "arranges forged images in folders of its own"
)]

mod support;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use fixtures::bytes::Bytes;
use fixtures::chain::{Chain as Forged, spread};
use fixtures::damage::Damage;
use fixtures::fill::Fill;
use fixtures::guid::Guid;
use fixtures::host_file::HostFile;
use fixtures::random::Rng;
use fixtures::vhdx::{Block, Image, MIB};
use support::small_disk;
use vhdx_mount::chain::{self, Chain, ChainOptions, Doubt, Evidence, Found, LinkProof, Missing, Refusal};
use vhdx_mount::format::Facts;
use vhdx_mount::image::{HostFolders, ReadAt};
use vhdx_mount::namespace::VolumeJudge;
use vhdx_mount::report::quoted;
use vhdx_mount::{FaultKind, Faults};

/// A disk with a file system, spread over three links.
fn chain_of_three(folder: &Path) -> (Forged, Vec<u8>) {
    let disk = small_disk::disk();
    let images = spread(&disk, 3, 512, &mut Rng::new(5));
    (Forged::write(images, folder).expect("a chain is written"), disk.bytes_at(0, disk.size() as usize))
}

fn open(path: &Path, options: &ChainOptions) -> Result<Chain, Box<Refusal>> {
    chain::open_judged(&HostFolders, path, options, &VolumeJudge)
}

fn refused(path: &Path, options: &ChainOptions) -> Refusal {
    *open(path, options).err().expect("a refusal")
}

fn advice(refusal: &Refusal) -> &str {
    refusal.error.advice().expect("advice")
}

/// Doubtful bytes are served, and an image that is not proven is taken.
fn mismatch() -> ChainOptions {
    ChainOptions { allow_mismatch: true, doubt: Doubt::Accept, ..ChainOptions::default() }
}

/// All of the disk, nothing of which is lost.
fn whole(chain: &Chain) -> Vec<u8> {
    let mut bytes = vec![0; chain.disk().size() as usize];
    let mut faults = Faults::new();
    chain.disk().read_at(&mut bytes, 0, &mut faults).expect("a read");
    assert!(faults.iter().all(|fault| fault.kind == FaultKind::Doubtful), "{faults:?}");
    bytes
}

fn structures(one: &Evidence) -> (u64, u64) {
    one.disk.as_ref().map(|disk| (disk.holding, disk.looked_at)).expect("it was tried")
}

#[test]
fn a_doubtful_image_in_the_recorded_place_goes_before_the_grandparent() {
    let folder = tempfile::tempdir().expect("a folder");
    let (forged, disk) = chain_of_three(folder.path());
    let mut file = HostFile::open(&forged.files[1]).expect("the middle link opens");
    Damage::Zeroed(0..MIB).apply(&mut file, &forged.places[1]);
    let refusal = refused(&forged.youngest, &ChainOptions::default());
    let [best, other] = refusal.candidates.as_slice() else { panic!("two candidates: {:?}", refusal.candidates) };
    assert_eq!((&best.path, &other.path), (&forged.files[1], &forged.files[0]));
    // It is doubtful, and read for that: with it everything holds.
    let (holding, looked_at) = structures(best);
    assert!(looked_at > 10 && holding == looked_at, "{holding} of {looked_at}");
    assert_eq!(other.parent_of.as_ref(), Some(&forged.files[1]));
    assert!(advice(&refusal).contains(&format!("speaks for {}", forged.files[1].display())), "{}", advice(&refusal));
    let opened = open(&forged.youngest, &mismatch()).expect("a chain");
    assert_eq!(opened.links()[1].path, forged.files[1]);
    assert!(whole(&opened) == disk);
}

#[test]
fn a_child_that_lost_its_metadata_is_weighed_as_its_parent_makes_it() {
    for rest in [0, 0xff] {
        let folder = tempfile::tempdir().expect("a folder");
        let (forged, disk) = chain_of_three(folder.path());
        let items = forged.places[2].metadata.start + (64 << 10);
        let file = fs::OpenOptions::new().write(true).open(&forged.youngest).expect("the youngest link opens");
        file.write_all_at(&[rest; 64 << 10], items).expect("its items are overwritten");
        let refusal = refused(&forged.youngest, &ChainOptions::default());
        let best = &refusal.candidates[0];
        assert_eq!(best.path, forged.files[1]);
        let (holding, looked_at) = structures(best);
        assert!(looked_at > 10 && holding == looked_at, "{holding} of {looked_at}");
        // What is inferred from the candidate, or zeros, is no evidence.
        assert_eq!((best.same_size, best.same_sector_size, best.same_disk_id), (None, None, None));
        assert!(!refusal.error.details().join("\n").contains("another disk"), "{:?}", refusal.error.details());
        let opened = open(&forged.youngest, &mismatch()).expect("a chain");
        assert_eq!((&opened.links()[1].path, opened.links()[1].found), (&forged.files[1], Found::InFolder));
        assert_eq!(opened.links()[1].proof, Some(LinkProof::Unproven));
        assert!(opened.findings().iter().all(|finding| !finding.text.contains("its identity")));
        assert!(whole(&opened) == disk);
    }
}

/// A base, its child, and a child of an image that is not there. `held` is what the youngest holds of its parent's block 1.
fn with_a_gap(folder: &Path, held: Option<Fill>) -> Forged {
    let base = Image::fixed(8 * MIB, 2 * MIB as u32, &Fill::live(0));
    let mut middle = Image::child_of(&base, "base.vhdx");
    middle.blocks.insert(1, Block::fully_present(Fill::live(1)));
    let mut youngest = Image::child_of(&middle, "gone.avhdx");
    youngest.blocks.insert(2, Block::fully_present(Fill::live(2)));
    youngest.blocks.extend(held.map(|held| (1, Block::fully_present(held))));
    let locator = youngest.parent_locator.take().expect("a locator").without("parent_linkage");
    youngest.parent_locator = Some(locator.with("parent_linkage", &format!("{{{}}}", Rng::new(1).guid())));
    Forged::write(vec![base, middle, youngest], folder).expect("a chain is written")
}

#[test]
fn of_a_parent_and_its_child_that_do_as_well_the_child_goes_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = with_a_gap(folder.path(), Some(Fill::live(1)));
    let refusal = refused(&forged.youngest, &ChainOptions::default());
    let paths: Vec<_> = refusal.candidates.iter().map(|one| &one.path).collect();
    assert_eq!(paths, [&forged.files[1], &forged.files[0]]);
    assert!(advice(&refusal).contains("bears another name"), "{}", advice(&refusal));
}

#[test]
fn of_two_for_which_only_the_disks_id_speaks_none_is_advised() {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = with_a_gap(folder.path(), None);
    for allow_mismatch in [false, true] {
        let refusal = refused(&forged.youngest, &ChainOptions { allow_mismatch, ..ChainOptions::default() });
        let told = advice(&refusal);
        assert!(told.contains("none is advised") && !told.contains("Most speaks"), "{told}");
        assert!(told.contains(&format!("--parent {} --allow-mismatch takes it", quoted(&forged.files[1]))), "{told}");
    }
    for parent in &forged.files[..2] {
        let given = ChainOptions { parents: vec![parent.clone()], ..mismatch() };
        let opened = open(&forged.youngest, &given).expect("a chain");
        assert_eq!((&opened.links()[1].path, opened.links()[1].proof), (parent, Some(LinkProof::Unproven)));
    }
    // One alone is taken.
    fs::remove_file(&forged.files[0]).expect("the base goes");
    let told = refused(&forged.youngest, &ChainOptions::default());
    assert!(told.candidates[0].lacks_parent, "{:?}", told.candidates[0]);
    assert!(advice(&told).contains("--allow-mismatch --missing lost takes it"), "{}", advice(&told));
    assert!(open(&forged.youngest, &mismatch()).is_err(), "its own parent is missing");
    let as_told = ChainOptions { missing: Missing::Lost, ..mismatch() };
    let opened = open(&forged.youngest, &as_told).expect("a chain without a base");
    assert_eq!(opened.links()[1].path, forged.files[1]);
}

#[test]
fn what_descends_from_the_missing_parent_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = Image::fixed(8 * MIB, 2 * MIB as u32, &Fill::live(0));
    let mut rng = Rng::new(3);
    let mut parents = vec![base];
    for (number, recorded) in ["base.vhdx", "c1.avhdx", "c2.avhdx"].into_iter().enumerate() {
        let mut child = Image::child_of(&parents[number], recorded);
        child.renew_guids(&mut rng);
        child.write_to(&folder.path().join(format!("c{}.avhdx", number + 1))).expect("an image is written");
        parents.push(child);
    }
    let mut sibling = Image::child_of(&parents[0], "base.vhdx");
    sibling.renew_guids(&mut rng);
    let path = folder.path().join("sibling.avhdx");
    sibling.write_to(&path).expect("an image is written");
    for parents in [Vec::new(), vec![folder.path().join("c3.avhdx")]] {
        let refusal = refused(&path, &ChainOptions { parents, ..mismatch() });
        assert_eq!(refusal.candidates.len(), 3);
        for one in &refusal.candidates {
            let why = if one.path.ends_with("c1.avhdx") { "another child of the same parent" } else { "descends from" };
            assert!(one.excluded.as_ref().is_some_and(|told| told.contains(why)), "{one:?}");
        }
        assert!(!advice(&refusal).contains("--allow-mismatch"), "{}", advice(&refusal));
    }
}

#[test]
fn where_nothing_speaks_for_an_image_none_is_advised_and_one_must_be_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let (forged, _) = chain_of_three(folder.path());
    // A disk of another machine, under the name of the base, and under another name.
    let mut foreign = Image::fixed(forged.images[0].virtual_size, 2 * MIB as u32, &Fill::live(9));
    foreign.data_write_guid = Rng::new(2).guid();
    foreign.disk_id = Guid::parse("11111111-2222-3333-4444-555555555555");
    fs::remove_file(&forged.files[0]).expect("the base goes");
    for (path, is_taken) in [(folder.path().join("foreign.vhdx"), false), (forged.files[0].clone(), true)] {
        foreign.write_to(&path).expect("an image is written");
        let refusal = refused(&forged.youngest, &ChainOptions::default());
        assert!(!refusal.candidates[0].speaks(), "{:?}", refusal.candidates[0]);
        let told = advice(&refusal);
        assert!(told.contains("Nothing speaks") && !told.contains("Most speaks"), "{told}");
        // Where the child says that its parent is, the word of the user's is enough.
        assert_eq!(open(&forged.youngest, &mismatch()).is_ok(), is_taken);
        assert_eq!(told.contains(&format!("--parent {} --allow-mismatch", quoted(&path))), !is_taken, "{told}");
        let given = ChainOptions { parents: vec![path.clone()], ..mismatch() };
        let opened = open(&forged.youngest, &given).expect("a chain");
        assert_eq!((&opened.links()[2].path, opened.links()[2].proof), (&path, Some(LinkProof::Unproven)));
        fs::remove_file(&path).expect("it goes");
    }
}

#[test]
fn a_merge_into_the_parent_from_another_child_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut base = Image::fixed(8 * MIB, 2 * MIB as u32, &Fill::live(0));
    let merged = Rng::new(7).guid();
    let mut merging = Image::child_of(&base, "base.vhdx");
    let locator = merging.parent_locator.take().expect("a locator").without("parent_linkage2");
    merging.parent_locator = Some(locator.with("parent_linkage2", &format!("{{{merged}}}")));
    let merging_path = folder.path().join("merging.avhdx");
    merging.write_to(&merging_path).expect("an image is written");
    let sibling = Image::child_of(&base, "base.vhdx");
    base.data_write_guid = merged;
    let forged = Forged::write(vec![base, sibling], folder.path()).expect("a chain is written");
    let refusal = refused(&forged.youngest, &ChainOptions::default());
    let best = &refusal.candidates[0];
    assert_eq!((&best.path, best.merged_from.as_ref()), (&forged.files[0], Some(&merging_path)));
    let details = refusal.error.details().join("\n");
    assert!(details.contains("a merge into it had begun") && details.contains("see "), "{details}");
    let opened = open(&forged.youngest, &mismatch()).expect("a chain");
    let told = opened.findings().iter().find(|finding| finding.code.as_str() == "parent-mid-merge");
    assert!(told.is_some_and(|told| told.text.contains("merging.avhdx")), "{:?}", opened.findings());
}

#[test]
fn a_parent_of_which_the_bat_alone_is_left_is_read_with_the_switches_that_the_refusal_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let (forged, disk) = chain_of_three(folder.path());
    let (places, image) = (&forged.places[0], &forged.images[0]);
    let mut file = HostFile::open(&forged.files[0]).expect("the base opens");
    for gone in [0..MIB, places.log.clone(), places.metadata.clone()] {
        Damage::Zeroed(gone).apply(&mut file, places);
    }
    let refusal = refused(&forged.youngest, &ChainOptions::default());
    let told = advice(&refusal);
    assert!(told.contains("may be the parent, and can be read") && told.contains("--assume block-size="), "{told}");
    let facts =
        Facts { block_size: Some(image.block_size), virtual_size: Some(image.virtual_size), ..Facts::default() };
    let assumed_of = vec![(forged.files[0].clone(), facts)];
    let opened = open(&forged.youngest, &ChainOptions { assumed_of, ..mismatch() }).expect("a chain");
    assert_eq!(opened.links()[2].proof, Some(LinkProof::Unproven));
    assert!(whole(&opened) == disk);
}
