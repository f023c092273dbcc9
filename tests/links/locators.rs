//! Parent locators that say something wrong in a place or two.

use fixtures::bytes::Bytes;
use fixtures::chain::Chain as Forged;
use fixtures::damage::Damage;
use fixtures::host_file::HostFile;
use fixtures::vhdx::metadata::{self, ENTRY_SIZE, FIRST_ENTRY};
use vhdx_mount::ErrorKind;
use vhdx_mount::chain::{ChainOptions, Doubt, Missing};
use vhdx_mount::format::FormatOptions;

use crate::{blocks, chain, has_finding, open};

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
