//! Metadata that are lawful and wrong: the BAT tells, and the switch that the finding names shows the disk as it was.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "reads what was exported")]

mod support;

use std::ffi::{OsStr, OsString};

use fixtures::bytes::Bytes;
use fixtures::chain::Chain;
use fixtures::fill::Fill;
use fixtures::guid::Guid;
use fixtures::host_file::HostFile;
use fixtures::vhdx::{Block, Image, MIB, metadata};
use support::Untouched;
use support::program::{PROGRAM, run};

/// A chain on the host, of which one link tells something else than it did.
struct Case {
    _folder: tempfile::TempDir,
    forged: Chain,
}

impl Case {
    fn new(images: Vec<Image>, link: usize, item: Guid, told: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let forged = Chain::write(images, folder.path()).expect("a chain is written");
        let mut file = HostFile::open(&forged.files[link]).expect("the image opens");
        let entries = metadata::entries(&file, forged.places[link].metadata.start);
        let place = entries.iter().find(|entry| entry.id == item).expect("the image has the item").item;
        file.write_at(place, told);
        Case { _folder: folder, forged }
    }

    /// The switches that a finding of `check` names, as they stand there.
    fn advised(&self) -> Vec<String> {
        let _untouched = Untouched::watch(&self.forged.files);
        let output = run(PROGRAM, &[&"check", &"--json", &"-q", &self.forged.youngest]);
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
        let findings = report["findings"].as_array().expect("findings");
        let advice = findings.iter().find(|finding| finding["code"] == "bat-contradicts-metadata");
        let advice = advice.and_then(|finding| finding["advice"].as_str()).unwrap_or_else(|| panic!("{report:#}"));
        let words: Vec<&str> = advice.split(' ').collect();
        let first = words.iter().position(|word| *word == "--assume").unwrap_or_else(|| panic!("{advice}"));
        let is_switch = |word: &&&str| word.starts_with("--") || word.contains('=');
        words[first..].iter().take_while(is_switch).map(|word| (*word).to_owned()).collect()
    }

    /// Exports the disk with these switches, and compares it with what was forged.
    fn expect_right(&self, switches: &[String], code: i32) {
        let _untouched = Untouched::watch(&self.forged.files);
        let target = self.forged.youngest.with_extension("raw");
        let mut args: Vec<OsString> = ["export", "-q"].map(OsString::from).to_vec();
        args.extend(switches.iter().map(OsString::from));
        args.extend([self.forged.youngest.clone().into_os_string(), "--to".into(), target.clone().into_os_string()]);
        let args: Vec<&dyn AsRef<OsStr>> = args.iter().map(|arg| arg as &dyn AsRef<OsStr>).collect();
        let output = run(PROGRAM, &args);
        assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
        let bytes = std::fs::read(&target).expect("the disk");
        assert!(bytes == self.forged.model.bytes(0, bytes.len()), "{switches:?}: wrong bytes");
        assert_eq!(bytes.len() as u64, self.forged.model.size());
    }
}

/// A base of blocks of 2 MiB that is full.
fn base() -> Image {
    Image::fixed(12 * MIB, 2 * MIB as u32, &Fill::live(0))
}

#[test]
fn a_wrong_block_size_of_the_base() {
    for told in [1u32, 8] {
        let base = base();
        let mut child = Image::child_of(&base, "base.vhdx");
        child.blocks.insert(0, Block::partially_present(vec![0..7, 100..1000], Fill::live(1), Fill::stale(1)));
        let case = Case::new(vec![base, child], 0, metadata::FILE_PARAMETERS, &(told << 20).to_le_bytes());
        let switches = case.advised();
        assert_eq!(switches, ["--assume", "base.vhdx:block-size=2M", "--accept-doubtful"]);
        case.expect_right(&switches, 3);
    }
}

#[test]
fn a_wrong_block_size_of_the_youngest() {
    let base = base();
    let mut child = Image::child_of(&base, "base.vhdx");
    child.block_size = MIB as u32;
    (0..12).for_each(|block| {
        child.blocks.insert(block, Block::fully_present(Fill::live(1)));
    });
    let told = [(4u32 << 20).to_le_bytes(), 2u32.to_le_bytes()].concat();
    let case = Case::new(vec![base, child], 1, metadata::FILE_PARAMETERS, &told);
    let switches = case.advised();
    assert!(switches[1].ends_with(":block-size=1M"), "{switches:?}");
    case.expect_right(&switches, 3);
}

#[test]
fn a_wrong_sector_size() {
    // Eight GiB: behind the first chunk of small sectors an entry of a bitmap stands where there is none for large ones.
    let mut base = Image { logical_sector_size: 4096, ..Image::dynamic(8 << 30) };
    base.block_size = 32 << 20;
    for block in [0, 1, 127, 128, 129, 130, 131, 140] {
        base.blocks.insert(block, Block::fully_present(Fill::live(0)));
    }
    let case = Case::new(vec![base], 0, metadata::LOGICAL_SECTOR_SIZE, &512u32.to_le_bytes());
    let switches = case.advised();
    assert_eq!(switches[1].split_once(':').map(|(_, what)| what), Some("sector-size=4096"), "{switches:?}");
}

#[test]
fn a_disk_that_is_told_too_small() {
    let case = Case::new(vec![base()], 0, metadata::VIRTUAL_DISK_SIZE, &MIB.to_le_bytes());
    let switches = case.advised();
    assert_eq!(switches, ["--assume", "base.vhdx:disk-size=12582912", "--accept-doubtful"]);
    case.expect_right(&switches, 3);
}

/// Moves items of an image to places of their own that are no multiples of 4.
fn at_odd_places(moved: &[Guid]) -> serde_json::Value {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = Chain::write(vec![base()], folder.path()).expect("an image is written");
    let mut file = HostFile::open(&forged.youngest).expect("the image opens");
    let table = forged.places[0].metadata.start;
    for (number, entry) in metadata::entries(&file, table).iter().enumerate() {
        if moved.contains(&entry.id) {
            let free = 0x1_8001 + number as u32 * 33 * 4;
            let item = file.bytes_at(entry.item, 16);
            file.write_at(table + u64::from(free), &item);
            file.write_at(entry.offset + 16, &free.to_le_bytes());
        }
    }
    let _untouched = Untouched::watch(&forged.files);
    let output = run(PROGRAM, &[&"info", &"--json", &forged.youngest]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(report["disk"]["size"], 12 * MIB);
    report["findings"].clone()
}

#[test]
fn items_at_odd_places_are_one_finding_and_a_warning_where_others_are_not() {
    let all = [
        metadata::FILE_PARAMETERS,
        metadata::VIRTUAL_DISK_SIZE,
        metadata::VIRTUAL_DISK_ID,
        metadata::LOGICAL_SECTOR_SIZE,
        metadata::PHYSICAL_SECTOR_SIZE,
    ];
    for (moved, severity) in [(&all[..], "information"), (&all[1..2], "warning")] {
        let findings = at_odd_places(moved);
        let findings = findings.as_array().expect("findings");
        assert_eq!(findings.len(), 1, "{findings:?}");
        assert_eq!((&findings[0]["code"], &findings[0]["severity"]), (&"metadata-item-bad".into(), &severity.into()));
    }
}
