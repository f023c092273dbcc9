//! Logs of which single bits, or the page of an entry, were damaged: what that costs.
#![cfg(unix)]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "hashes images before and after")]

mod support;

use std::ops::Range;
use std::path::PathBuf;

use fixtures::bytes::Bytes;
use fixtures::fill::Fill;
use fixtures::guid::Guid;
use fixtures::host_file::HostFile;
use fixtures::vhdx::log::{DirtyLog, Rollback, Update};
use fixtures::vhdx::{Block, Image, MIB, Places};
use support::Untouched;
use vhdx_mount::Faults;
use vhdx_mount::chain::{self, Chain, ChainOptions};
use vhdx_mount::image::{HostFolders, ReadAt};
use vhdx_mount::report::Severity;

const LOG_GUID: Guid = Guid::parse("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");

/// Where in the log the second entry begins, and the data sector of each.
const SECOND: u64 = 8192;
const DATA: u64 = 4096;

/// A dynamic disk whose blocks 0 and 2 hold bytes, and whose BAT page stands in the log alone.
struct Forged {
    folder: tempfile::TempDir,
    places: Places,
    /// The page that brings both blocks.
    bat: Vec<u8>,
}

impl Forged {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut image = Image::dynamic(8 * MIB);
        for block in [0, 2] {
            image.blocks.insert(block, Block::fully_present(Fill::live(0)));
        }
        let places = image.write_to(&folder.path().join("disk.vhdx")).expect("an image is written");
        let mut forged = Forged { folder, places, bat: Vec::new() };
        let mut file = forged.file();
        forged.bat = file.bytes_at(forged.places.bat.start, 4096);
        let mut rollback = Rollback::new();
        rollback.blank(&file, &forged.places.bat);
        rollback.take_back(&mut file);
        forged
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk.vhdx")
    }

    fn file(&self) -> HostFile {
        HostFile::open(&self.path()).expect("the image opens")
    }

    /// Where the entry of block 2 stands in its page.
    fn entry(&self) -> usize {
        (self.places.payload_entry(2) - self.places.bat.start) as usize
    }

    /// The page without block 2.
    fn less(&self) -> Vec<u8> {
        let mut less = self.bat.clone();
        less[self.entry()..self.entry() + 8].fill(0);
        less
    }

    /// Writes a log whose entries each write the page of the BAT.
    fn write(&self, pages: &[&[u8]]) {
        let entries = pages.iter().map(|page| vec![Update::page(self.places.bat.start, page)]).collect();
        DirtyLog::new(LOG_GUID, entries, self.places.file_size).write(&mut self.file(), &self.places.log);
    }

    /// Turns bits of a byte of the log.
    fn flip(&self, at: u64, bits: u8) {
        let at = self.places.log.start + at;
        let byte = self.file().bytes_at(at, 1)[0];
        self.file().write_at(at, &[byte ^ bits]);
    }

    fn open(&self) -> Chain {
        let _untouched = Untouched::watch([self.path()]);
        chain::open(&HostFolders, &self.path(), &ChainOptions::default()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Which bytes of the disk are not proven, and how much the finding with this code weighs.
    fn cost(&self, code: &str) -> (Vec<Range<u64>>, Severity) {
        let chain = self.open();
        let (mut buf, mut faults) = (vec![0; 8 << 20], Faults::new());
        chain.disk().read_at(&mut buf, 0, &mut faults).expect("a read");
        let finding = chain.findings().iter().find(|finding| finding.code.as_str() == code);
        let severity = finding.unwrap_or_else(|| panic!("no {code} in {:?}", chain.findings())).severity;
        (faults.iter().map(|fault| fault.range.clone()).collect(), severity)
    }
}

const BLOCK_0: Range<u64> = 0..2 * MIB;
const BLOCK_2: Range<u64> = 4 * MIB..6 * MIB;

/// The storage may have written the entries in another order than it was told, or one was damaged later.
#[test]
fn entries_of_a_damaged_sequence_cost_what_they_say_otherwise_than_the_file() {
    // A bit of the first entry: its signature, EntryLength, Tail, SequenceNumber, DescriptorCount, LogGuid, the room behind its
    // descriptors, its page. The second one takes block 2 out again: it counts in any case, or none does.
    for at in [0, 9, 13, 16, 24, 40, 2000, DATA + 404] {
        let forged = Forged::new();
        forged.write(&[&forged.bat, &forged.less()]);
        forged.flip(at, 4);
        assert_eq!(forged.cost("log-torn"), (vec![BLOCK_0], Severity::Error), "byte {at}");
    }
    // What they say stands in the file: nothing is lost, whatever counted.
    let forged = Forged::new();
    forged.write(&[&forged.bat, &forged.less()]);
    forged.file().write_at(forged.places.bat.start, &forged.less());
    forged.flip(DATA + 404, 4);
    assert_eq!(forged.cost("log-torn"), (vec![], Severity::Warning));
    // The second one is torn too, or looks so: its page may be any.
    forged.file().write_at(forged.places.log.start + SECOND + DATA, &[0; 4096]);
    assert_eq!(forged.cost("log-torn").1, Severity::Error);
    assert_eq!(forged.cost("log-torn").0, [0..8 * MIB]);
}

/// A bit that the entry changes, and that damage changed back.
#[test]
fn a_wrong_bit_that_makes_an_entry_say_what_stands_in_the_file_is_seen() {
    let other = |forged: &Forged| {
        let mut other = forged.bat.clone();
        other[forged.entry() + 3] ^= 1;
        other
    };
    let forged = Forged::new();
    forged.write(&[&forged.bat, &other(&forged)]);
    forged.flip(SECOND + DATA + forged.entry() as u64 + 3, 1);
    assert_eq!(forged.cost("log-newest-damaged"), (vec![BLOCK_2], Severity::Error));
    let forged = Forged::new();
    forged.write(&[&other(&forged)]);
    forged.file().write_at(forged.places.bat.start, &forged.bat);
    forged.flip(DATA + forged.entry() as u64 + 3, 1);
    assert_eq!(forged.cost("log-torn"), (vec![BLOCK_2], Severity::Error));
}

#[test]
fn a_newest_entry_with_one_wrong_bit_in_its_header_tells_what_it_changes() {
    for at in [0, 9, 12, 16, 24, 40] {
        let forged = Forged::new();
        forged.write(&[&forged.bat, &forged.less()]);
        forged.flip(SECOND + at, 8);
        assert_eq!(forged.cost("log-newest-damaged"), (vec![BLOCK_2], Severity::Error), "byte {at}");
    }
}

/// No power cut fills a sector of a log with what no writer puts there.
#[test]
fn a_newest_entry_whose_page_was_written_over_makes_that_page_doubtful() {
    let forged = Forged::new();
    forged.write(&[&forged.less(), &forged.bat]);
    forged.file().write_at(forged.places.log.start + SECOND + DATA, &[0x5a; 4096]);
    assert_eq!(forged.cost("log-newest-damaged"), (vec![0..8 * MIB], Severity::Error));
}

/// The second of three entries is damaged: what it says of the page, the third one says again.
#[test]
fn an_entry_that_a_newer_one_covers_costs_what_is_otherwise_without_them() {
    let written = |at: u64, bits: u8| {
        let forged = Forged::new();
        forged.write(&[&forged.less(), &forged.less(), &forged.bat]);
        forged.flip(SECOND + DATA + at, bits);
        forged
    };
    // More than a bit of it: the storage may never have had it, and then the third one did not count.
    let forged = written(404, 0x15);
    assert_eq!(forged.cost("log-entries-cut-off"), (vec![BLOCK_2], Severity::Error));
    // One bit: it was whole.
    assert_eq!(written(404, 4).cost("log-entries-cut-off"), (vec![], Severity::Warning));
}

/// As a writer leaves it that begins its log anew for each entry, and was stopped in the middle of one.
#[test]
fn the_one_entry_of_a_log_that_the_power_cut_off_costs_nothing() {
    let forged = Forged::new();
    let log = forged.places.log.start;
    forged.write(&[&forged.bat]);
    // What stood in the place of its page before: nothing.
    forged.file().write_at(log + DATA, &[0; 4096]);
    assert_eq!(forged.cost("log-torn"), (vec![], Severity::Warning));
    let chain = forged.open();
    let torn = chain.findings().iter().find(|finding| finding.code.as_str() == "log-torn").expect("a finding");
    assert!(torn.text.contains("about to change: 1)") && !torn.text.contains("no page of the BAT"), "{}", torn.text);
    drop(chain);
    // And what no writer leaves.
    forged.file().write_at(log + DATA, &[0xa5; 4096]);
    let (doubtful, severity) = forged.cost("log-torn");
    assert!(!doubtful.is_empty() && severity == Severity::Error, "{doubtful:?}");
}
