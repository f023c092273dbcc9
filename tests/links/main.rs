//! Broken links: parents that are missing, changed or mistaken, and the ways on.
#![cfg(unix)]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "arranges forged images in folders of its own"
)]

mod copies;
mod locators;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use fixtures::bytes::Bytes;
use fixtures::chain::{Chain as Forged, spread};
use fixtures::damage::{Damage, ItemDamage};
use fixtures::fill::Fill;
use fixtures::gpt::Gpt;
use fixtures::host_file::HostFile;
use fixtures::ntfs;
use fixtures::random::Rng;
use fixtures::vhdx::header::Header;
use fixtures::vhdx::{Block, Image, MIB};
use support::Untouched;
use vhdx_mount::chain::{self, Chain, ChainOptions, Doubt, LinkProof, Missing};
use vhdx_mount::format::{Facts, FormatOptions};
use vhdx_mount::image::{HostFolders, ReadAt};
use vhdx_mount::namespace::VolumeJudge;
use vhdx_mount::report::quoted;
use vhdx_mount::{Error, ErrorKind, FaultKind, Faults};

const SIZE: u64 = 8 * MIB;

/// A chain of three: the base is full, link `n` holds block `n`.
fn chain(folder: &Path) -> Forged {
    let base = Image::fixed(SIZE, 2 * MIB as u32, &Fill::live(0));
    let mut middle = Image::child_of(&base, "base.vhdx");
    middle.blocks.insert(1, Block::fully_present(Fill::live(1)));
    let mut youngest = Image::child_of(&middle, "x_1.avhdx");
    youngest.blocks.insert(2, Block::fully_present(Fill::live(2)));
    Forged::write(vec![base, middle, youngest], folder).expect("a chain is written")
}

fn open(path: &Path, options: &ChainOptions) -> Result<Chain, Error> {
    chain::open_judged(&HostFolders, path, options, &VolumeJudge).map_err(|refusal| refusal.error)
}

/// Who holds which block of the disk: the link whose bytes stand there, or why they are not served; and what is doubted.
fn blocks(chain: &Chain) -> Vec<String> {
    let describe = |block: u64| {
        let mut buf = vec![0xa5; 2 << 20];
        let mut faults = Faults::new();
        chain.disk().read_at(&mut buf, block * 2 * MIB, &mut faults).expect("a read");
        let holds = |link: u16| {
            let mut expected = vec![0; 2 << 20];
            Fill::live(link).read(block * 2 * MIB, &mut expected);
            buf == expected
        };
        let owner = (0..4).find(|link| holds(*link)).map_or_else(
            || if buf.iter().all(|byte| *byte == 0) { "zeros".to_owned() } else { "other bytes".to_owned() },
            |link| format!("link {link}"),
        );
        let fault = faults.worst().map(|fault| {
            assert_eq!(fault.range, block * 2 * MIB..(block + 1) * 2 * MIB, "{faults:?}");
            format!("{:?} {}", fault.kind, fault.code)
        });
        fault.map_or(owner.clone(), |fault| format!("{owner}, {fault}"))
    };
    (0..4).map(describe).collect()
}

fn lost() -> ChainOptions {
    ChainOptions { missing: Missing::Lost, ..ChainOptions::default() }
}

fn mismatch() -> ChainOptions {
    ChainOptions { allow_mismatch: true, ..ChainOptions::default() }
}

fn has_finding(chain: &Chain, code: &str) -> bool {
    chain.findings().iter().any(|finding| finding.code.as_str() == code)
}

#[test]
fn a_parent_that_was_given_and_stands_in_its_place_is_nowhere_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = chain(folder.path());
    let given = |path: PathBuf| ChainOptions { parents: vec![path], ..ChainOptions::default() };
    let opened = open(&forged.youngest, &given(forged.files[1].clone())).expect("a chain");
    assert!(!has_finding(&opened, "parent-elsewhere"));
    let moved = folder.path().join("moved.avhdx");
    fs::rename(&forged.files[1], &moved).expect("another name");
    assert!(has_finding(&open(&forged.youngest, &given(moved)).expect("a chain"), "parent-elsewhere"));
}

#[test]
fn a_missing_base_costs_what_falls_through() {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = chain(folder.path());
    fs::remove_file(&forged.files[0]).expect("the base goes");
    let _untouched = Untouched::watch(&forged.files[1..]);
    let error = open(&forged.youngest, &ChainOptions::default()).err().expect("a refusal");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.advice().is_some_and(|advice| advice.contains("--missing lost")), "{error}");
    let opened = open(&forged.youngest, &lost()).expect("what is there");
    assert_eq!(opened.links().len(), 2);
    let fell = "zeros, Lost link-missing";
    assert_eq!(blocks(&opened), [fell, "link 1", "link 2", fell]);
    assert!(has_finding(&opened, "link-missing"));
}

#[test]
fn a_missing_middle_never_shows_the_older_base() {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = chain(folder.path());
    fs::remove_file(&forged.files[1]).expect("the middle goes");
    let fell = "zeros, Lost link-missing";
    let opened = open(&forged.youngest, &lost()).expect("what is there");
    assert_eq!(blocks(&opened), [fell, fell, "link 2", fell]);
    // Only a word of the user's bridges the gap, and then all of it is doubtful.
    let opened = open(&forged.youngest, &mismatch()).expect("the base in its place");
    let doubted = "link 0, Doubtful link-unproven";
    assert_eq!(blocks(&opened), [doubted, doubted, "link 2", doubted]);
}

#[test]
fn an_unproven_parent_is_doubtful_with_all_below_and_the_child_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = chain(folder.path());
    // Something wrote to the middle after the youngest was made: another DataWriteGuid.
    let mut changed = forged.images[1].clone();
    changed.data_write_guid = Rng::new(1).guid();
    changed.write_to(&forged.files[1]).expect("an image is written");
    let _untouched = Untouched::watch(&forged.files);
    let error = open(&forged.youngest, &ChainOptions::default()).err().expect("a refusal");
    let details = error.details().join("\n");
    for word in ["x_1.avhdx", "same disk size", "same disk id", "sectors of the child that were compared"] {
        assert!(details.contains(word), "{word}: {details}");
    }
    let advice = error.advice().expect("advice");
    assert!(advice.contains("--allow-mismatch") && advice.contains("x_1.avhdx"), "{advice}");

    let opened = open(&forged.youngest, &mismatch()).expect("the middle as it is");
    assert_eq!(opened.links()[1].proof, Some(LinkProof::Unproven));
    assert_eq!(opened.links()[2].proof, Some(LinkProof::Linkage));
    let doubted = |link: u16| format!("link {link}, Doubtful link-unproven");
    assert_eq!(blocks(&opened), [doubted(0), doubted(1), "link 2".to_owned(), doubted(0)]);
    assert!(has_finding(&opened, "link-unproven"));
}

#[test]
fn children_and_siblings_are_no_parents() {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = chain(folder.path());
    fs::remove_file(&forged.files[0]).expect("the base goes");
    // Of the middle: its own child, and another child of the base.
    let sibling = Image { data_write_guid: Rng::new(2).guid(), ..forged.images[1].clone() };
    let sibling_path = folder.path().join("sibling.avhdx");
    sibling.write_to(&sibling_path).expect("an image is written");
    let options = ChainOptions { parents: vec![forged.youngest.clone(), sibling_path], ..mismatch() };
    let error = open(&forged.files[1], &options).err().expect("a refusal");
    let details = error.details().join("\n");
    assert!(details.contains("it is a child of"), "{details}");
    assert!(details.contains("it is another child of the same parent"), "{details}");
}

#[test]
fn the_candidate_whose_files_hold_together_is_taken() {
    const SECTOR: u64 = 512;
    let volume = ntfs::volume();
    let mut disk = vec![0; 8 * MIB as usize];
    Gpt::new(512).with(2048, volume.size() / SECTOR).write(&mut disk);
    disk.write_at(MIB, &volume.bytes_at(0, volume.size() as usize));
    let folder = tempfile::tempdir().expect("a folder");
    let forged = Forged::write(spread(&disk, 2, 512, &mut Rng::new(5)), folder.path()).expect("a chain is written");

    // The base itself with another identity, and one from another day: its records and folders are other ones.
    let mut right = forged.images[0].clone();
    right.data_write_guid = Rng::new(6).guid();
    let mut wrong = right.clone();
    wrong.data_write_guid = Rng::new(7).guid();
    let mut rng = Rng::new(8);
    for block in wrong.blocks.values_mut() {
        let mut noise = vec![0; wrong.block_size as usize];
        rng.fill(&mut noise);
        block.data = Fill::bytes(0, noise);
    }
    fs::remove_file(&forged.files[0]).expect("the base goes");
    let candidates: Vec<PathBuf> =
        ["a wrong one.vhdx", "the right one.vhdx"].map(|name| folder.path().join(name)).into();
    wrong.write_to(&candidates[0]).expect("an image is written");
    right.write_to(&candidates[1]).expect("an image is written");

    let opened = open(&forged.youngest, &mismatch()).expect("the better one");
    assert_eq!(opened.links()[1].path, candidates[1]);
    let error = open(&forged.youngest, &ChainOptions::default()).err().expect("a refusal");
    let advice = error.advice().expect("advice");
    assert!(advice.contains("the right one.vhdx"), "{advice}");
    let details = error.details().join("\n");
    assert!(details.contains("structures hold"), "{details}");
    let mut bytes = vec![0; disk.len()];
    let mut faults = Faults::new();
    opened.disk().read_at(&mut bytes, 0, &mut faults).expect("a read");
    assert!(bytes == disk);
    assert!(faults.iter().all(|fault| fault.kind == FaultKind::Doubtful) && !faults.is_empty());
}

#[test]
fn a_refusal_is_one_object_where_json_is_asked_for() {
    use serde_json::{Value, json};
    let folder = tempfile::tempdir().expect("a folder");
    let forged = chain(folder.path());
    let mut changed = forged.images[0].clone();
    changed.data_write_guid = Rng::new(3).guid();
    changed.write_to(&forged.files[0]).expect("an image is written");
    let _untouched = Untouched::watch(&forged.files);
    for command in ["info", "check"] {
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_vhdx-mount"))
            .args([command, "--json"])
            .arg(&forged.youngest)
            .output()
            .expect("the program runs");
        assert_eq!(run.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&run.stderr).contains("its parent was not found"));
        let report: Value = serde_json::from_slice(&run.stdout).expect("one object");
        assert_eq!((&report["schema"], &report["complete"], &report["disk"]), (&json!(1), &json!(false), &Value::Null));
        // Both children were opened, and what is wanted is the parent of the second one.
        let paths: Vec<_> = report["links"].as_array().expect("links").iter().map(|link| &link["path"]).collect();
        assert_eq!(paths, [&json!(forged.files[2]), &json!(forged.files[1])]);
        let wanted = forged.images[0].data_write_guid.to_string().to_lowercase();
        assert_eq!(report["links"][1]["parent"]["linkage"], json!(wanted));
        let error = &report["error"];
        assert_eq!((&error["kind"], &error["file"]), (&json!("not-found"), &json!(forged.files[1])));
        assert!(error["advice"].as_str().is_some_and(|advice| advice.contains("--allow-mismatch")));
        let candidate = &error["candidates"][0];
        assert_eq!((&candidate["path"], &candidate["same_size"]), (&json!(forged.files[0]), &json!(true)));
        assert_eq!((&report["findings"], &report["lost"]), (&json!([]), &json!([])));
    }
    // What goes wrong before any image is opened is told in the same way.
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_vhdx-mount"))
        .args(["info", "--json", "--parent-dir", "/no such folder"])
        .arg(&forged.youngest)
        .output()
        .expect("the program runs");
    let report: Value = serde_json::from_slice(&run.stdout).expect("one object");
    assert!(report["error"]["text"].as_str().is_some_and(|text| text.contains("no such folder")), "{report}");
    assert_eq!((run.status.code(), &report["links"]), (Some(1), &json!([])));
}

/// A parent that is proven and refused: what its own error advises, and the options that do that.
#[test]
fn a_parent_that_needs_a_switch_is_refused_by_the_name_of_that_switch() {
    let accepted = FormatOptions { accept_unknown: true, ..FormatOptions::default() };
    let unreplayed = FormatOptions { log_replay: false, ..FormatOptions::default() };
    let block_size = Facts { block_size: Some(2 << 20), ..Facts::default() };
    let assumed = FormatOptions { assumed: block_size, ..FormatOptions::default() };
    let log_version = |file: &mut HostFile| {
        for header in [1, 2] {
            Header::edit(file, header, |header| {
                header.log_guid = Rng::new(1).guid();
                header.log_version = 7;
            });
        }
    };
    let spoil = |which: &str, forged: &Forged| {
        let mut file = HostFile::open(&forged.files[0]).expect("the base opens");
        match which {
            "--accept-doubtful" => Damage::UnknownItem { required: true }.apply(&mut file, &forged.places[0]),
            "--no-log-replay" => log_version(&mut file),
            _ => {
                let id = fixtures::vhdx::metadata::FILE_PARAMETERS;
                Damage::MetadataItem(id, ItemDamage::Zeroed).apply(&mut file, &forged.places[0]);
                // A file that does not end with a block.
                let size = file.size();
                file.set_size(size + 8 * MIB);
            }
        }
    };
    for (switch, format) in
        [("--accept-doubtful", accepted), ("--no-log-replay", unreplayed), ("--assume block-size=", assumed)]
    {
        let folder = tempfile::tempdir().expect("a folder");
        let mut base = Image::dynamic(SIZE);
        base.blocks.insert(0, Block::fully_present(Fill::live(0)));
        let child = Image::child_of(&base, "base.vhdx");
        let forged = Forged::write(vec![base, child], folder.path()).expect("a chain is written");
        spoil(switch, &forged);
        let _untouched = Untouched::watch(&forged.files);
        let error = open(&forged.youngest, &ChainOptions::default()).err().expect("a refusal");
        let advice = error.advice().expect("advice");
        assert!(advice.contains(switch) && advice.contains("base.vhdx is the parent"), "{switch}: {advice}");
        let options = ChainOptions { format, doubt: Doubt::Accept, ..ChainOptions::default() };
        let opened = open(&forged.youngest, &options).unwrap_or_else(|error| panic!("{switch}: {error}"));
        assert!(blocks(&opened)[0].starts_with("link 0"), "{switch}: {:?}", blocks(&opened));
        assert_eq!(opened.links()[1].proof, Some(LinkProof::Linkage), "{switch}");
        if switch.starts_with("--assume") {
            let of = |name: &str| ChainOptions {
                assumed_of: vec![(PathBuf::from(name), block_size)],
                doubt: Doubt::Accept,
                ..ChainOptions::default()
            };
            // No such file stands where the test runs: it is the link of that name.
            let opened = open(&forged.youngest, &of("BASE.vhdx")).expect("a chain");
            assert!(blocks(&opened)[0].starts_with("link 0"), "{:?}", blocks(&opened));
            let error = open(&forged.youngest, &of("bse.vhdx")).err().expect("a refusal");
            assert!(error.advice().is_some_and(|advice| advice.contains("--assume")), "{error}");
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let forged = chain(folder.path());
    let assumed_of = vec![(PathBuf::from("bse.vhdx"), block_size)];
    let error = open(&forged.youngest, &ChainOptions { assumed_of, ..ChainOptions::default() }).err();
    assert_eq!(error.expect("a name of no link").kind(), ErrorKind::NotFound);
}

#[test]
fn a_parent_whose_start_is_gone_is_a_candidate_where_it_is_named() {
    // With its region tables all that it tells is as it was, without them it is doubtful by itself.
    for (length, doubted) in [(192 << 10, "link 0, Doubtful link-unproven"), (MIB, "link 0, Doubtful headers-lost")] {
        let folder = tempfile::tempdir().expect("a folder");
        let forged = chain(folder.path());
        let mut file = HostFile::open(&forged.files[0]).expect("the base opens");
        Damage::Zeroed(0..length).apply(&mut file, &forged.places[0]);
        let _untouched = Untouched::watch(&forged.files[1..]);
        let error = open(&forged.youngest, &ChainOptions::default()).err().expect("a refusal");
        let advice = error.advice().expect("advice");
        assert!(advice.contains("--allow-mismatch") && advice.contains("base.vhdx"), "{length}: {advice}");
        let accepted = ChainOptions { doubt: Doubt::Accept, ..mismatch() };
        let opened = open(&forged.youngest, &accepted).expect("the base as it is");
        assert_eq!(blocks(&opened), [doubted, "link 1", "link 2", doubted], "{length}");
        // Nothing names it any more, until the user does.
        let renamed = folder.path().join("renamed by hand");
        fs::rename(&forged.files[0], &renamed).expect("a new name");
        let given = ChainOptions { parents: vec![renamed], ..accepted };
        assert_eq!(blocks(&open(&forged.youngest, &given).expect("the base as it is"))[0], doubted, "{length}");
    }
}

#[test]
fn of_a_parent_and_a_link_that_it_skips_the_user_takes_either() {
    let folder = tempfile::Builder::new().prefix("Virtual Hard Disks").tempdir().expect("a folder");
    let mut images = chain(folder.path()).images;
    let locator = images[2].parent_locator.take().expect("a locator").without("parent_linkage");
    let base = format!("{{{}}}", images[0].data_write_guid);
    images[2].parent_locator = Some(locator.with("parent_linkage", &base));
    let forged = Forged::write(images, folder.path()).expect("a chain is written");
    let _untouched = Untouched::watch(&forged.files);
    let opened = open(&forged.youngest, &ChainOptions::default()).expect("a chain");
    let told = opened.findings().iter().find(|finding| finding.code.as_str() == "parent-skips-link");
    let advice = told.and_then(|told| told.advice.clone()).expect("advice");
    let [this, other] = [0, 1].map(|link| format!("--parent {} ", quoted(&forged.files[link])));
    assert!(advice.contains(&this) && advice.contains(&format!("{other}--allow-mismatch")), "{advice}");

    let this = ChainOptions { parents: vec![forged.files[0].clone()], ..ChainOptions::default() };
    let opened = open(&forged.youngest, &this).expect("a chain");
    assert!(!has_finding(&opened, "parent-skips-link"));
    assert_eq!(blocks(&opened), ["link 0", "link 0", "link 2", "link 0"]);
    let other = ChainOptions { parents: vec![forged.files[1].clone()], ..mismatch() };
    let opened = open(&forged.youngest, &other).expect("a chain");
    let doubted = |link: u16| format!("link {link}, Doubtful link-unproven");
    assert_eq!(blocks(&opened), [doubted(0), doubted(1), "link 2".to_owned(), doubted(0)]);
}

/// A chain of three with a sibling of the middle link, and a copy of the middle link in another folder.
fn with_kin(folder: &Path) -> (Forged, PathBuf, PathBuf) {
    let forged = chain(folder);
    let sibling = Image { data_write_guid: Rng::new(2).guid(), ..forged.images[1].clone() };
    let (sibling_path, copy) = (folder.join("sibling.avhdx"), folder.join("backup/x_1.avhdx"));
    sibling.write_to(&sibling_path).expect("an image is written");
    fs::create_dir(folder.join("backup")).expect("a folder");
    fs::copy(&forged.files[1], &copy).expect("a copy");
    (forged, sibling_path, copy)
}

#[test]
fn parents_given_beyond_the_right_one_cost_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (forged, sibling, copy) = with_kin(folder.path());
    let [middle, youngest] = [&forged.files[1], &forged.youngest];
    let all = [middle, youngest, &sibling, &copy];
    for (image, parents) in [
        (middle, [sibling.clone()].as_slice()),
        (middle, std::slice::from_ref(&copy)),
        (youngest, std::slice::from_ref(&sibling)),
        (youngest, &[middle.clone(), sibling.clone()]),
        (youngest, &[middle.clone(), copy.clone()]),
        (youngest, &all.map(Clone::clone)),
    ] {
        for allow_mismatch in [false, true] {
            let options = ChainOptions { parents: parents.to_vec(), allow_mismatch, ..ChainOptions::default() };
            let opened = open(image, &options).expect("a chain");
            let told = blocks(&opened);
            assert_eq!(told[..2], ["link 0", "link 1"], "{} with {parents:?}", image.display());
            assert_eq!(opened.links().last().map(|link| &link.path), Some(&forged.files[0]));
            assert!(!has_finding(&opened, "parent-skips-link"));
        }
    }
}

#[test]
fn the_childs_own_folder_is_searched_below_where_it_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = chain(folder.path());
    let deep = folder.path().join("sub/deep");
    fs::create_dir_all(&deep).expect("folders");
    let moved = deep.join("old.vhdx");
    fs::rename(&forged.files[0], &moved).expect("the base is moved");
    let options = ChainOptions { parent_dirs: vec![folder.path().to_owned()], ..ChainOptions::default() };
    let opened = open(&forged.youngest, &options).expect("a chain");
    assert_eq!(opened.links()[2].path, moved);
    assert_eq!(blocks(&opened), ["link 0", "link 1", "link 2", "link 0"]);
    assert!(!has_finding(&opened, "identity-shared"), "the file that was found twice is one");
    // Nor is a copy named twice that stands in a folder which is searched in two ways.
    let copy = folder.path().join("copy.vhdx");
    fs::copy(&moved, &copy).expect("a copy");
    let opened = open(&forged.youngest, &options).expect("a chain");
    let told = opened.findings().iter().find(|finding| finding.code.as_str() == "identity-shared").expect("a finding");
    assert_eq!(told.text.matches("old.vhdx").count(), 1, "{}", told.text);
}

#[test]
fn two_identities_of_the_parent_prove_neither() {
    let folder = tempfile::tempdir().expect("a folder");
    let images = chain(folder.path()).images;
    let own = images[1].data_write_guid.braced();
    let other = Rng::new(1).guid().braced();
    let locator = images[2].parent_locator.clone().expect("a locator").without("parent_linkage");
    let with = |first: &str, second: &str| {
        let mut images = images.clone();
        images[2].parent_locator = Some(locator.clone().with("parent_linkage", first).with("parent_linkage", second));
        Forged::write(images, folder.path()).expect("a chain is written")
    };
    for (first, second) in [(&own, &other), (&other, &own), (&own, &"no GUID".to_owned())] {
        let forged = with(first, second);
        let refusal = chain::open(&HostFolders, &forged.youngest, &ChainOptions::default());
        assert_eq!(refusal.err().map(|error| error.kind()), Some(ErrorKind::NotFound), "{first} {second}");
        let opened = open(&forged.youngest, &mismatch()).expect("the middle in its place");
        assert!(has_finding(&opened, "parent-locator-bad"));
        let doubted = |link: u16| format!("link {link}, Doubtful link-unproven");
        assert_eq!(blocks(&opened), [doubted(0), doubted(1), "link 2".to_owned(), doubted(0)]);
    }
    // The same one twice is one.
    let forged = with(&own, &own.to_uppercase());
    let opened = open(&forged.youngest, &ChainOptions::default()).expect("a chain");
    assert_eq!((opened.links()[1].proof, opened.findings().len()), (Some(LinkProof::Linkage), 0));
}
