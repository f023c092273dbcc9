//! Parent locators that say something wrong in a place or two.

use std::fs;

use fixtures::bytes::Bytes;
use fixtures::chain::Chain as Forged;
use fixtures::damage::Damage;
use fixtures::host_file::HostFile;
use fixtures::vhdx::metadata::{self, ENTRY_SIZE, FIRST_ENTRY};
use vhdx_mount::ErrorKind;
use vhdx_mount::chain::{ChainOptions, Doubt, Missing};
use vhdx_mount::format::FormatOptions;

use crate::{blocks, chain, has_finding, mismatch, open};

/// The youngest image, and where the line of its parent locator stands in it.
fn youngest(forged: &Forged) -> (HostFile, u64) {
    let file = HostFile::open(&forged.youngest).expect("the image opens");
    let items = metadata::entries(&file, forged.places[2].metadata.start);
    let line = items.iter().find(|item| item.id == metadata::PARENT_LOCATOR).expect("a locator").offset;
    (file, line)
}

#[test]
fn a_locator_under_an_unknown_id_is_read_as_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = chain(folder.path());
    let (mut file, line) = youngest(&forged);
    file.write_at(line, &[0x5a; 16]);
    let opened = open(&forged.youngest, &ChainOptions::default()).expect("a chain");
    assert!(has_finding(&opened, "metadata-item-bad"));
    assert_eq!(blocks(&opened), ["link 0", "link 1", "link 2", "link 0"]);
}

#[test]
fn of_two_items_that_look_like_a_locator_none_is_read_and_one_refusal_names_all_switches() {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = chain(folder.path());
    let (mut file, line) = youngest(&forged);
    let table = forged.places[2].metadata.start;
    let behind = metadata::entries(&file, table).len();
    Damage::UnknownItem { required: true }.apply(&mut file, &forged.places[2]);
    // The second one leads to the same bytes.
    let place = file.bytes_at(line + 16, 8);
    file.write_at(table + (FIRST_ENTRY + behind * ENTRY_SIZE) as u64 + 16, &place);
    file.write_at(line, &[0x5a; 16]);
    let error = open(&forged.youngest, &ChainOptions::default()).err().expect("a refusal");
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let advice = error.advice().expect("advice");
    for switch in ["--accept-doubtful", "--parent FILE --allow-mismatch", "--missing lost"] {
        assert!(advice.contains(switch), "{advice}");
    }
    let format = FormatOptions { accept_unknown: true, ..FormatOptions::default() };
    let accepted = ChainOptions { doubt: Doubt::Accept, format, ..ChainOptions::default() };
    let lost = open(&forged.youngest, &ChainOptions { missing: Missing::Lost, ..accepted.clone() }).expect("a chain");
    assert_eq!(lost.links().len(), 1);
    let parents = vec![forged.files[1].clone()];
    let given = open(&forged.youngest, &ChainOptions { parents, allow_mismatch: true, ..accepted }).expect("a chain");
    let doubted = |link: u16| format!("link {link}, Doubtful metadata-item-unknown");
    assert_eq!(blocks(&given), [doubted(0), doubted(1), doubted(2), doubted(0)]);
}

/// A chain of three in which the youngest records `linkage` of its parent, the middle one.
fn recording(folder: &std::path::Path, linkage: impl Fn(&str) -> String) -> Forged {
    let mut images = chain(folder).images;
    let right = images[1].data_write_guid.braced();
    let locator = images[2].parent_locator.take().expect("a locator").without("parent_linkage");
    images[2].parent_locator = Some(locator.with("parent_linkage", &linkage(&right)));
    Forged::write(images, folder).expect("a chain is written")
}

#[test]
fn a_damaged_identity_is_told_from_another_one_by_its_digits() {
    let one = |at: usize, with: char| {
        move |right: &str| right.chars().enumerate().map(|(place, c)| if place == at { with } else { c }).collect()
    };
    let other_digit = |right: &str| one(3, if right.as_bytes()[3] == b'7' { '8' } else { '7' })(right);
    let half = |right: &str| format!("{}{}", "{zzzzzzzz-zzzz-zzzz-", &right[20..]);
    let damaged = |right: &str| {
        let by_one = [(3, 31), (0, 32), (37, 32), (9, 32)].map(|(at, alike)| (one(at, 'x')(right), alike));
        by_one.into_iter().chain([(other_digit(right), 31), (half(right), 16)]).collect::<Vec<(String, u32)>>()
    };
    for case in 0..6 {
        let folder = tempfile::tempdir().expect("a folder");
        let forged = recording(folder.path(), |right| damaged(right)[case].0.clone());
        let alike = damaged(&forged.images[1].data_write_guid.braced())[case].1;
        let error = open(&forged.youngest, &ChainOptions::default()).err().expect("a refusal");
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        let advice = error.advice().expect("advice").to_owned();
        let told = format!("for {} for {alike} of the 32 digits", forged.files[1].display());
        assert!(advice.replace(',', "").contains(&told) && advice.contains("--allow-mismatch takes it"), "{advice}");
        assert!(!advice.contains("written to since"), "{advice}");
        let told = format!("{alike} of the 32 digits");
        assert!(error.details().iter().any(|line| line.contains(&told)), "{:?}", error.details());
        let doubted = |link: u16| format!("link {link}, Doubtful link-unproven");
        let expected = [doubted(0), doubted(1), "link 2".to_owned(), doubted(0)];
        assert_eq!(blocks(&open(&forged.youngest, &mismatch()).expect("a chain")), expected);
        // Its identity speaks for it under any name, and against an image that stands in its place.
        fs::rename(&forged.files[1], folder.path().join("renamed.avhdx")).expect("another name");
        forged.images[0].write_to(&forged.files[1]).expect("an image is written");
        assert_eq!(blocks(&open(&forged.youngest, &mismatch()).expect("a chain")), expected);
    }
}

#[test]
fn an_identity_of_another_image_is_not_called_damaged() {
    let folder = tempfile::tempdir().expect("a folder");
    // No digit of it is the one that stands there.
    let other = |c: char| match c {
        '0' => '1',
        _ if c.is_ascii_hexdigit() => '0',
        _ => c,
    };
    let forged = recording(folder.path(), |right| right.chars().map(other).collect());
    let error = open(&forged.youngest, &ChainOptions::default()).err().expect("a refusal");
    let text = format!("{:?} {:?}", error.details(), error.advice());
    assert!(!text.contains("digits") && text.contains("written to since"), "{text}");
}
