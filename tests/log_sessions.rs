//! Logs that still hold the entries of sessions that are over: what they tell of pages that lost a write, of headers that are
//! older than the file, and of a header that is gone.
#![cfg(unix)]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "hashes images before and after")]

mod support;

use std::ops::Range;
use std::path::PathBuf;

use fixtures::bytes::Bytes;
use fixtures::fill::Fill;
use fixtures::guid::Guid;
use fixtures::host_file::HostFile;
use fixtures::vhdx::header::{self, Header};
use fixtures::vhdx::log::{DirtyLog, Update};
use fixtures::vhdx::{Block, Image, MIB, Places};
use support::Untouched;
use vhdx_mount::Faults;
use vhdx_mount::chain::{self, Chain, ChainOptions, Doubt};
use vhdx_mount::image::{HostFolders, ReadAt};
use vhdx_mount::report::Severity;

const FIRST: Guid = Guid::parse("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");
const SECOND: Guid = Guid::parse("1f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f1");
const SIZE: u64 = 8 * MIB;
/// State ZERO.
const ZERO: u64 = 2;

/// Versions of the only page of the BAT: blocks that it places, and blocks that it says are zeros.
type Bat = (&'static [u64], &'static [u64]);

/// A session: its LogGuid, the number of its first entry, bytes by which the file was smaller, what each entry made of the BAT,
/// and how many of its entries a replay needs.
struct Session {
    guid: Guid,
    first_number: u64,
    smaller: u64,
    bat: Vec<Bat>,
    active: usize,
}

fn session(guid: Guid, first_number: u64, bat: &[Bat]) -> Session {
    Session { guid, first_number, smaller: 0, bat: bat.to_vec(), active: 1 }
}

/// A dynamic disk of blocks of 2 MiB, of which blocks 0 and 2 hold bytes.
struct Forged {
    folder: tempfile::TempDir,
    places: Places,
}

impl Forged {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut image = Image::dynamic(SIZE);
        for block in [0, 2] {
            image.blocks.insert(block, Block::fully_present(Fill::live(0)));
        }
        let places = image.write_to(&folder.path().join("disk.vhdx")).expect("an image is written");
        Forged { folder, places }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk.vhdx")
    }

    fn file(&self) -> HostFile {
        HostFile::open(&self.path()).expect("the image opens")
    }

    /// The page of the BAT; before anything changes it.
    fn page(&self, whole: &[u8], (placed, zero): Bat) -> Vec<u8> {
        let mut page = whole.to_vec();
        for block in 0..SIZE / (2 * MIB) {
            let at = (self.places.payload_entry(block) - self.places.bat.start) as usize;
            if !placed.contains(&block) {
                page[at..at + 8].fill(0);
            }
            if zero.contains(&block) {
                page[at..at + 8].copy_from_slice(&ZERO.to_le_bytes());
            }
        }
        page
    }

    /// Writes the sessions one behind the other, `bat` into the file, and the LogGuid `named` into both headers.
    fn write(&self, sessions: &[Session], bat: Bat, named: Guid) {
        let mut file = self.file();
        let start = self.places.bat.start;
        let whole = file.bytes_at(start, 4096);
        let mut at = 0;
        for session in sessions {
            let entries = session.bat.iter().map(|bat| vec![Update::page(start, &self.page(&whole, *bat))]);
            let mut older: Vec<_> = entries.collect();
            let active = older.split_off(older.len() - session.active);
            let mut log = DirtyLog::new(session.guid, active, self.places.file_size - session.smaller);
            (log.older, log.start, log.first_sequence_number) = (older, at, session.first_number);
            log.write(&mut file, &self.places.log);
            at += log.size() as u32;
        }
        file.write_at(start, &self.page(&whole, bat));
        for number in [1, 2] {
            Header::edit(&mut file, number, |header| header.log_guid = named);
        }
    }

    fn open(&self) -> Chain {
        self.open_with(&ChainOptions::default())
    }

    fn open_with(&self, options: &ChainOptions) -> Chain {
        let _untouched = Untouched::watch([self.path()]);
        chain::open(&HostFolders, &self.path(), options).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Opens it and expects findings of these codes and severities that concern the log, and these doubtful bytes of the disk.
    fn expect(&self, expected: &[(&str, Severity)], doubtful: &[Range<u64>]) {
        let chain = self.open();
        let of_logs = ["log-write-lost", "headers-outdated", "log-unclaimed"];
        let findings = chain.findings().iter().filter(|finding| of_logs.contains(&finding.code.as_str()));
        let found: Vec<_> = findings.map(|finding| (finding.code.as_str(), finding.severity)).collect();
        assert_eq!(found, expected, "{:?}", chain.findings());
        let (mut buf, mut faults) = (vec![0; SIZE as usize], Faults::new());
        chain.disk().read_at(&mut buf, 0, &mut faults).expect("a read");
        let ranges: Vec<_> = faults.iter().map(|fault| fault.range.clone()).collect();
        assert_eq!(ranges, doubtful, "{:?}", faults.iter().collect::<Vec<_>>());
    }
}

const LOST: (&str, Severity) = ("log-write-lost", Severity::Error);
const UNCLAIMED: (&str, Severity) = ("log-unclaimed", Severity::Error);
const WHOLE: Bat = (&[0, 2], &[]);
const LESS: Bat = (&[0], &[]);
const OTHER: Bat = (&[0], &[1]);

fn block(number: u64) -> Range<u64> {
    number * 2 * MIB..(number + 1) * 2 * MIB
}

#[test]
fn a_page_as_the_log_left_it_costs_nothing() {
    let forged = Forged::new();
    forged.write(&[session(FIRST, 1, &[(&[], &[]), LESS, WHOLE])], WHOLE, Guid::NIL);
    forged.expect(&[], &[]);
    // Older sessions left it otherwise.
    let forged = Forged::new();
    forged.write(&[session(FIRST, 1, &[OTHER, LESS]), session(SECOND, 3, &[WHOLE])], WHOLE, Guid::NIL);
    forged.expect(&[], &[]);
}

#[test]
fn a_page_that_is_older_than_its_log_is_doubtful_where_the_log_tells_otherwise() {
    let forged = Forged::new();
    forged.write(&[session(FIRST, 1, &[LESS, WHOLE])], LESS, Guid::NIL);
    forged.expect(&[LOST], &[block(2)]);
    // Of before the log's first entry: tables begin as zeros.
    let forged = Forged::new();
    forged.write(&[session(FIRST, 1, &[WHOLE])], (&[], &[]), Guid::NIL);
    forged.expect(&[LOST], &[block(0), block(2)]);
}

#[test]
fn a_page_that_the_log_does_not_know_is_a_warning() {
    let forged = Forged::new();
    forged.write(&[session(FIRST, 1, &[(&[0, 2], &[1])])], WHOLE, Guid::NIL);
    forged.expect(&[("log-write-lost", Severity::Warning)], &[]);
}

/// The page was changed, and what stood in block 2 is there and belongs to nothing.
#[test]
fn a_page_that_the_log_does_not_know_is_doubtful_where_blocks_that_the_log_placed_belong_to_nothing() {
    let forged = Forged::new();
    forged.write(&[session(FIRST, 1, &[WHOLE])], OTHER, Guid::NIL);
    forged.expect(&[LOST], &[block(1).start..block(2).end]);
}

#[test]
fn a_session_that_was_later_by_all_signs_counts_though_an_older_one_stands_in_the_file() {
    let later: &[Bat] = &[WHOLE, (&[0, 2], &[1]), (&[0, 2], &[1, 3])];
    let sessions =
        |smaller: u64, number: u64| [Session { smaller, ..session(FIRST, 1, &[LESS]) }, session(SECOND, number, later)];
    let forged = Forged::new();
    forged.write(&sessions(2 * MIB, 2), LESS, Guid::NIL);
    forged.expect(&[LOST], &[block(1).start..block(3).end]);
    // The file did not grow meanwhile: the other one may have been the last.
    let forged = Forged::new();
    forged.write(&sessions(0, 2), LESS, Guid::NIL);
    forged.expect(&[], &[]);
}

#[test]
fn headers_that_name_a_log_which_the_file_went_on_from_are_outdated() {
    let outdated = [("headers-outdated", Severity::Error)];
    // What the first session had carried out in the file is not there, but what the second one did.
    let forged = Forged::new();
    forged.write(&[session(FIRST, 1, &[LESS, OTHER]), session(SECOND, 3, &[WHOLE])], WHOLE, FIRST);
    forged.expect(&outdated, &[block(1).start..block(2).end]);
    // Nothing is known to have been carried out, but the file had grown.
    let forged = Forged::new();
    let first = Session { smaller: 2 * MIB, ..session(FIRST, 1, &[OTHER]) };
    forged.write(&[first, session(SECOND, 3, &[WHOLE])], WHOLE, FIRST);
    forged.expect(&outdated, &[block(1).start..block(2).end]);
}

/// The machine stopped before the newest entry was carried out: the page is as an older session, or the entry before, left it.
#[test]
fn a_log_that_waits_for_its_replay_is_not_outdated() {
    let forged = Forged::new();
    forged.write(&[session(FIRST, 1, &[WHOLE]), session(SECOND, 2, &[LESS])], WHOLE, SECOND);
    forged.expect(&[], &[]);
    let forged = Forged::new();
    forged.write(&[session(FIRST, 1, &[OTHER]), session(SECOND, 2, &[OTHER, WHOLE, LESS])], WHOLE, SECOND);
    forged.expect(&[], &[]);
}

#[test]
fn a_header_that_is_gone_can_have_named_no_session_that_was_over() {
    let without_a_header = |sessions: &[Session]| {
        let forged = Forged::new();
        forged.write(sessions, WHOLE, Guid::NIL);
        let mut file = forged.file();
        let other = 3 - Header::current(&file).expect("a header");
        file.write_at(header::OFFSETS[other - 1], &[0; 4096]);
        forged
    };
    let second = || session(SECOND, 5, &[LESS, WHOLE]);
    // The file had grown since.
    let smaller = Session { smaller: 2 * MIB, ..session(FIRST, 1, &[OTHER]) };
    without_a_header(&[smaller, second()]).expect(&[], &[]);
    // What the first one had carried out is not there any more.
    without_a_header(&[session(FIRST, 1, &[OTHER, LESS]), second()]).expect(&[], &[]);
    // It may have been the last one: then the one entry that it says otherwise is doubtful.
    without_a_header(&[session(FIRST, 1, &[LESS]), second()]).expect(&[UNCLAIMED], &[block(2)]);
    let newer = Session { smaller: 2 * MIB, ..session(FIRST, 9, &[LESS]) };
    without_a_header(&[newer, second()]).expect(&[UNCLAIMED], &[block(2)]);
}

/// Flips a bit of the current header, or of the other one.
fn flip_a_bit(forged: &Forged, of_current: bool) {
    let mut file = forged.file();
    let current = Header::current(&file).expect("a header");
    let at = header::OFFSETS[if of_current { current } else { 3 - current } - 1] + 9;
    let flipped = file.bytes_at(at, 1)[0] ^ 0x10;
    file.write_at(at, &[flipped]);
}

#[test]
fn a_header_with_one_wrong_bit_is_the_header_that_it_was() {
    // The older one: it does not count.
    let closed = [("log-write-lost", Severity::Warning)];
    let forged = Forged::new();
    forged.write(&[session(FIRST, 1, &[LESS])], WHOLE, Guid::NIL);
    flip_a_bit(&forged, false);
    forged.expect(&closed, &[]);
    // The current one, which alone named the log: it is replayed.
    let forged = Forged::new();
    forged.write(&[session(FIRST, 1, &[OTHER]), session(SECOND, 2, &[WHOLE])], LESS, Guid::NIL);
    let current = Header::current(&forged.file()).expect("a header");
    Header::edit(&mut forged.file(), current, |header| header.log_guid = SECOND);
    flip_a_bit(&forged, true);
    forged.expect(&[], &[]);
    let codes: Vec<_> = forged.open().findings().iter().map(|finding| finding.code.as_str()).collect();
    assert!(codes.contains(&"header-bad") && codes.contains(&"log-replayed"), "{codes:?}");
    // The current one, which named none any more: what the older one named is over.
    let forged = Forged::new();
    forged.write(&[session(FIRST, 1, &[LESS])], WHOLE, Guid::NIL);
    let current = Header::current(&forged.file()).expect("a header");
    Header::edit(&mut forged.file(), 3 - current, |header| header.log_guid = FIRST);
    flip_a_bit(&forged, true);
    forged.expect(&closed, &[]);
}

/// What the newest entry made of the page stands in the file, so the file had been closed, or all was carried out.
#[test]
fn an_entry_of_a_log_that_was_done_with_may_be_spoilt_and_costs_nothing() {
    for spoilt in 0..3 {
        let forged = Forged::new();
        let bat = [(&[][..], &[][..]), LESS, WHOLE];
        forged.write(&[Session { active: 3, ..session(FIRST, 1, &bat) }], WHOLE, Guid::NIL);
        let mut file = forged.file();
        let other = 3 - Header::current(&file).expect("a header");
        file.write_at(header::OFFSETS[other - 1], &[0; 4096]);
        // The bytes of a page.
        file.write_at(forged.places.log.start + spoilt * 8192 + 4096 + 2000, b"damage");
        match spoilt {
            // Without the first one no sequence is complete, and none of its pages is known to be carried out.
            0 => forged.expect(&[UNCLAIMED], &[0..SIZE]),
            1 => forged.expect(&[], &[]),
            // The newest one tells otherwise where it is damaged, which is behind all that the BAT needs.
            _ => forged.expect(&[UNCLAIMED], &[block(2)]),
        }
    }
}

/// The block that the page lost is served, with a doubt: the log has it.
#[test]
fn what_a_page_lost_is_served_as_the_log_last_had_it() {
    let pages: [(&[Bat], Bat); 3] = [(&[LESS, WHOLE], LESS), (&[WHOLE], (&[], &[])), (&[WHOLE], OTHER)];
    let right = read(&written(&[session(FIRST, 1, &[WHOLE])], WHOLE));
    for (logged, found) in pages {
        let served = read(&written(&[session(FIRST, 1, logged)], found));
        let first_wrong = served.iter().zip(&right).position(|(served, right)| served != right);
        assert_eq!(first_wrong, None, "{found:?}");
    }
}

/// A closed file with these sessions.
fn written(sessions: &[Session], bat: Bat) -> Forged {
    let forged = Forged::new();
    forged.write(sessions, bat, Guid::NIL);
    forged
}

/// All of the disk, doubtful or not.
fn read(forged: &Forged) -> Vec<u8> {
    let chain = forged.open_with(&ChainOptions { doubt: Doubt::Accept, ..ChainOptions::default() });
    let mut buf = vec![0; SIZE as usize];
    chain.disk().read_at(&mut buf, 0, &mut Faults::new()).expect("a read");
    buf
}
