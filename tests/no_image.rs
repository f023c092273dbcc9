//! Files that stand where a parent was and are no images that could be it: what is said of each, and a raw disk that the user
//! names.
#![cfg(unix)]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "arranges forged images in folders of its own"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use fixtures::bytes::Bytes;
use fixtures::chain::Chain as Forged;
use fixtures::random::Rng;
use fixtures::vhdx::MIB;
use support::{Untouched, small_disk};
use vhdx_mount::chain::{self, Chain, ChainOptions, Doubt, LinkProof, Refusal};
use vhdx_mount::image::{HostFolders, ReadAt};
use vhdx_mount::namespace::{VolumeJudge, refused};
use vhdx_mount::{FaultKind, Faults};

fn open(path: &Path, options: &ChainOptions) -> Result<Chain, Box<Refusal>> {
    chain::open_judged(&HostFolders, path, options, &VolumeJudge)
}

/// A base that holds a disk, and a child that holds a part of it once more; the disk.
fn chain_of_two() -> (tempfile::TempDir, Forged, Vec<u8>) {
    let disk = small_disk::disk();
    let (folder, forged) = small_disk::chain_with(&disk, &[MIB..MIB + 65_536]);
    (folder, forged, disk.bytes_at(0, disk.size() as usize))
}

type Make = fn(&Path);

/// What stands in the base's place, what is said of it and what to do.
const STRANGERS: [(&str, &str, Make); 7] = [
    ("a gzip file", "unpack it", |at| fs::write(at, b"\x1f\x8b\x08 and more").expect("a file")),
    ("a QCOW image", "qemu-img convert", |at| fs::write(at, b"QFI\xfb\0\0\0\x03").expect("a file")),
    ("the file is empty", "look for a copy", |at| fs::write(at, b"").expect("a file")),
    ("neither a VHDX", "look for a copy", |at| fs::write(at, vec![b'x'; 70_000]).expect("a file")),
    ("a folder", "give the path", |at| fs::create_dir(at).expect("a folder")),
    ("a pipe", "give the path", |at| {
        assert!(std::process::Command::new("mkfifo").arg(at).status().expect("mkfifo runs").success());
    }),
    ("a link to /no such place/VM.vhdx, which is not there", "the file itself", |at| {
        std::os::unix::fs::symlink("/no such place/VM.vhdx", at).expect("a link");
    }),
];

#[test]
fn what_stands_in_the_parents_place_is_told_as_when_it_is_opened() {
    for (what, to_do, make) in STRANGERS {
        let (_folder, forged, _) = chain_of_two();
        fs::remove_file(&forged.files[0]).expect("the base goes");
        make(&forged.files[0]);
        let directly = open(&forged.files[0], &ChainOptions::default()).err().expect("it is no image").error;
        assert!(directly.message().starts_with(what), "{what}: {directly}");
        let refusal = open(&forged.youngest, &ChainOptions::default()).err().expect("a refusal");
        let [one] = refusal.unreadable.as_slice() else { panic!("{what}: {:?}", refusal.unreadable) };
        assert_eq!((&one.path, one.kind, one.is_placed), (&forged.files[0], directly.kind(), true), "{what}");
        assert_eq!(one.reason, directly.message(), "{what}");
        // Opening it directly knows the child beside it, too.
        let (advice, of_it) = (one.advice.as_deref().unwrap_or("none"), directly.advice().unwrap_or_default());
        assert!(of_it.starts_with(advice), "{what}: {advice}; {of_it}");
        let json = &refused(&refusal)["error"]["unreadable"][0];
        assert!(json["reason"].as_str().is_some_and(|reason| reason.starts_with(what)), "{json}");
        let text = format!("{}\n{:?}", refusal.error.details().join("\n"), refusal.error.advice());
        assert!(text.contains(what) && text.contains(to_do), "{what}: {text}");
        let path = forged.files[0].display();
        assert!(text.contains(&format!("see to {path} first")), "{what}: {text}");
    }
}

#[test]
fn a_raw_disk_is_a_parent_only_where_the_user_names_it() {
    // The base was converted: the file is the disk.
    let (folder, forged, disk) = chain_of_two();
    fs::remove_file(&forged.files[0]).expect("the base goes");
    let allowed = |parents: &[&PathBuf]| ChainOptions {
        parents: parents.iter().map(|path| (*path).clone()).collect(),
        allow_mismatch: true,
        doubt: Doubt::Refuse,
        ..ChainOptions::default()
    };
    // Under another name, and under the base's.
    for raw in [folder.path().join("VM.raw"), forged.files[0].clone()] {
        fs::write(&raw, &disk).expect("a raw disk is written");
        let untouched = Untouched::watch(&[raw.clone(), forged.youngest.clone()]);
        let refusal = open(&forged.youngest, &allowed(&[])).err().expect("a refusal");
        assert!(refusal.candidates.is_empty(), "{:?}", refusal.candidates);
        let text = format!("{}\n{:?}", refusal.error.details().join("\n"), refusal.error.advice());
        assert!(text.contains("a raw disk") && text.contains("--allow-mismatch"), "{text}");
        let given = ChainOptions { allow_mismatch: false, ..allowed(&[&raw]) };
        let refusal = open(&forged.youngest, &given).err().expect("a refusal");
        assert!(refusal.candidates[0].is_raw && refusal.candidates[0].path == raw, "{:?}", refusal.candidates);

        let opened = open(&forged.youngest, &allowed(&[&raw])).expect("a chain");
        assert_eq!((&opened.links()[1].path, opened.links()[1].proof), (&raw, Some(LinkProof::Unproven)));
        let mut bytes = vec![0; disk.len()];
        let mut faults = Faults::new();
        opened.disk().read_at(&mut bytes, 0, &mut faults).expect("a read");
        assert!(bytes == disk);
        assert!(faults.iter().all(|fault| fault.kind == FaultKind::Doubtful && fault.code == "link-unproven"));
        assert!(!faults.is_empty());
        drop(untouched);
        fs::remove_file(&raw).expect("the raw disk goes");
    }
}

/// A disk in one file system that is not of Windows: nothing at its start or end says what it is.
#[test]
fn a_raw_disk_that_says_nothing_is_taken_where_the_user_says_so() {
    let (folder, forged, disk) = chain_of_two();
    fs::remove_file(&forged.files[0]).expect("the base goes");
    let raw = folder.path().join("VM.raw");
    let given = |allow_mismatch| ChainOptions { parents: vec![raw.clone()], allow_mismatch, ..ChainOptions::default() };
    // The second one is not as large as the disk.
    for size in [disk.len(), disk.len() - 512] {
        fs::write(&raw, vec![b'e'; size]).expect("a raw disk is written");
        let _untouched = Untouched::watch([&raw, &forged.youngest]);
        let refusal = open(&forged.youngest, &given(false)).err().expect("a refusal");
        assert!(format!("{:?}", refusal.error.advice()).contains("--allow-mismatch"), "{}", refusal.error);
        let opened = open(&forged.youngest, &given(true)).expect("a chain");
        assert_eq!((&opened.links()[1].path, opened.links()[1].proof), (&raw, Some(LinkProof::Unproven)));
        let mut bytes = [0; 4096];
        let mut faults = Faults::new();
        opened.disk().read_at(&mut bytes, 0, &mut faults).expect("a read");
        assert_eq!(bytes, [b'e'; 4096]);
        assert_eq!(faults.worst().map(|fault| (fault.range.clone(), fault.code)), Some((0..4096, "link-unproven")));
    }
    fs::write(&raw, vec![b'e'; disk.len() - 1]).expect("a file");
    assert!(open(&forged.youngest, &given(true)).is_err(), "no disk has such a size");
}

#[test]
fn a_disk_whose_start_is_lost_is_opened_where_the_user_says_what_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let raw = folder.path().join("disk.img");
    let mut bytes = vec![0; 1 << 20];
    bytes[4096..8192].fill(7);
    fs::write(&raw, &bytes).expect("a file");
    let _untouched = Untouched::watch([&raw]);
    let error = open(&raw, &ChainOptions::default()).err().expect("a refusal").error;
    assert!(format!("{:?}", error.advice()).contains("--assume format=raw"), "{error}");
    let mut options = ChainOptions::default();
    options.format.assumed.is_raw = Some(true);
    options.format.assumed.logical_sector_size = Some(4096);
    let chain = open(&raw, &options).expect("a disk");
    assert_eq!(chain.links()[0].layer.geometry().logical_sector_size, 4096);
    let (mut read, mut faults) = (vec![1; 1 << 20], Faults::new());
    chain.disk().read_at(&mut read, 0, &mut faults).expect("a read");
    assert!(read == bytes && faults.is_empty(), "{faults:?}");
}

#[test]
fn what_says_itself_that_it_is_a_vhdx_is_no_raw_disk_by_word() {
    let (_folder, forged, disk) = chain_of_two();
    let mut options = ChainOptions::default();
    options.format.assumed.is_raw = Some(true);
    let chain = open(&forged.youngest, &options).expect("a chain");
    let (mut read, mut faults) = (vec![1; disk.len()], Faults::new());
    chain.disk().read_at(&mut read, 0, &mut faults).expect("a read");
    assert!(chain.links().len() == 2 && read == disk && faults.is_empty(), "{faults:?}");
}

#[test]
fn an_image_that_is_moved_by_a_sector_is_told_with_the_way_back() {
    let (_folder, forged, disk) = chain_of_two();
    let whole = fs::read(&forged.youngest).expect("the image");
    // What was put before it may be the start of a disk.
    for by in [512, 4096] {
        fs::write(&forged.youngest, [&disk[..by], &whole].concat()).expect("the image is moved");
        let error = open(&forged.youngest, &ChainOptions::default()).err().expect("it is moved").error;
        let told = format!("{error} {:?}", error.advice());
        assert!(told.contains(&format!("{by} bytes further on")) && told.contains(&format!("skip={by}")), "{told}");
        assert!(!told.contains("--assume"), "{told}");
        fs::write(&forged.youngest, &whole[by..]).expect("the image is moved");
        let error = open(&forged.youngest, &ChainOptions::default()).err().expect("it is moved").error;
        let told = format!("{error} {:?}", error.advice());
        assert!(told.contains(&format!("first {by} bytes are missing")) && told.contains("/dev/zero"), "{told}");
        // What it says puts the structures where they were.
        fs::write(&forged.youngest, [&vec![0; by][..], &whole[by..]].concat()).expect("the image is put right");
        assert!(open(&forged.youngest, &ChainOptions::default()).is_ok());
    }
}

#[test]
fn an_image_of_which_too_little_is_left_names_the_states_beside_it() {
    let (_folder, forged, _) = chain_of_two();
    let size = fs::metadata(&forged.youngest).expect("metadata").len() as usize;
    for rest in [vec![0; size], Vec::new()] {
        fs::write(&forged.youngest, rest).expect("the image is overwritten");
        let error = open(&forged.youngest, &ChainOptions::default()).err().expect("nothing is left").error;
        let advice = error.advice().expect("advice");
        let base = forged.files[0].display().to_string();
        assert!(advice.contains("look for a copy") && advice.contains(&base), "{advice}");
    }
    // What is of another kind, or was named by mistake, has its own answer.
    let text = forged.youngest.with_extension("txt");
    fs::write(&text, "no image").expect("a file");
    let error = open(&text, &ChainOptions::default()).err().expect("no image").error;
    assert_eq!(error.advice(), Some("give the path of a .vhdx or .avhdx file"));
}

#[test]
fn a_disk_of_another_id_is_no_state_of_the_one_that_is_lost() {
    let (folder, forged, _) = chain_of_two();
    let other = folder.path().join("other.vhdx");
    let mut image = forged.images[0].clone();
    image.renew_guids(&mut Rng::new(1));
    assert_ne!(image.disk_id, forged.images[0].disk_id);
    image.write_to(&other).expect("an image is written");
    let beside = |lost: &Path| {
        fs::write(lost, vec![0; MIB as usize]).expect("the image is overwritten");
        let error = open(lost, &ChainOptions::default()).err().expect("nothing is left").error;
        error.advice().expect("advice").to_owned()
    };
    // Its child says which disk it was.
    let told = beside(&forged.files[0]);
    assert!(told.contains("other states of the disk may be opened"), "{told}");
    assert!(told.contains(&forged.youngest.display().to_string()) && !told.contains("other.vhdx"), "{told}");
    // Now nothing says it.
    let told = beside(&forged.youngest);
    assert!(told.contains("which may be other states") && told.contains("other.vhdx"), "{told}");
}
