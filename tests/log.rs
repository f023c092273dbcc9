//! Dirty logs: what is replayed, what is not, and what is said of it.
#![cfg(unix)]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "hashes images before and after")]

mod support;

use std::path::PathBuf;

use fixtures::bytes::Bytes;
use fixtures::fill::Fill;
use fixtures::guid::Guid;
use fixtures::host_file::HostFile;
use fixtures::vhdx::log::{DirtyLog, Rollback, Tear, Update};
use fixtures::vhdx::{Block, Image, Layout, MIB, Part, Places, header};
use support::Untouched;
use vhdx_mount::chain::{self, Chain, ChainOptions, Doubt};
use vhdx_mount::format::FormatOptions;
use vhdx_mount::format::vhdx::LogState;
use vhdx_mount::image::{HostFolders, ReadAt};
use vhdx_mount::report::Severity;
use vhdx_mount::{FaultKind, Faults};

const LOG_GUID: Guid = Guid::parse("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");

/// A dynamic disk whose blocks 0 and 2 hold bytes, and whose BAT page stands in the log alone: as the file lies, the
/// disk is empty.
struct Forged {
    folder: tempfile::TempDir,
    places: Places,
    bat: Vec<Update>,
}

impl Forged {
    /// The image itself.
    fn image() -> Image {
        let mut image = Image::dynamic(8 * MIB);
        for block in [0, 2] {
            image.blocks.insert(block, Block::fully_present(Fill::live(0)));
        }
        image
    }

    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let image = Forged::image();
        let places = image.write_to(&folder.path().join("disk.vhdx")).expect("an image is written");
        let mut forged = Forged { folder, places, bat: Vec::new() };
        let mut rollback = Rollback::new();
        let mut file = forged.file();
        rollback.blank(&file, &forged.places.bat);
        forged.bat = rollback.take_back(&mut file);
        forged
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk.vhdx")
    }

    fn file(&self) -> HostFile {
        HostFile::open(&self.path()).expect("the image opens")
    }

    /// A log whose only entry brings the BAT page.
    fn log(&self) -> DirtyLog {
        DirtyLog::new(LOG_GUID, vec![self.bat.clone()], self.places.file_size)
    }

    fn write(&self, log: &DirtyLog) {
        log.write(&mut self.file(), &self.places.log);
    }

    fn open(&self, options: &ChainOptions) -> Chain {
        let _untouched = Untouched::watch([self.path()]);
        chain::open(&HostFolders, &self.path(), options).unwrap_or_else(|error| panic!("{error}"))
    }
}

fn state(chain: &Chain) -> Option<LogState> {
    chain.links()[0].log
}

fn finding(chain: &Chain, code: &str) -> Severity {
    let found = chain.findings().iter().find(|finding| finding.code.as_str() == code);
    found.unwrap_or_else(|| panic!("no {code} in {:?}", chain.findings())).severity
}

/// What the disk holds when the log is replayed.
fn expect_replayed(chain: &Chain) {
    for (offset, filled) in [(0, true), (2 * MIB, false), (4 * MIB, true)] {
        let mut expected = [0; 4096];
        if filled {
            Fill::live(0).read(offset, &mut expected);
        }
        assert_eq!(support::read_proven(&**chain.disk(), offset, 4096), expected, "at {offset}");
    }
}

fn read(chain: &Chain, offset: u64, len: usize) -> (Vec<u8>, Faults) {
    let mut buf = vec![0xa5; len];
    let mut faults = Faults::new();
    chain.disk().read_at(&mut buf, offset, &mut faults).expect("a read");
    (buf, faults)
}

#[test]
fn a_complete_sequence_is_replayed() {
    let forged = Forged::new();
    forged.write(&forged.log());
    let chain = forged.open(&ChainOptions::default());
    assert_eq!(state(&chain), Some(LogState::Replayed));
    assert_eq!(finding(&chain, "log-replayed"), Severity::Information);
    expect_replayed(&chain);
}

/// It was closed before a child was made over it.
#[test]
fn the_dirty_log_of_a_parent_is_a_warning() {
    let forged = Forged::new();
    forged.write(&forged.log());
    let child = forged.folder.path().join("child.avhdx");
    let mut image = Image::child_of(&Forged::image(), "disk.vhdx");
    image.blocks.clear();
    image.write_to(&child).expect("a child is written");
    let chain = chain::open(&HostFolders, &child, &ChainOptions::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(finding(&chain, "log-replayed"), Severity::Warning);
    expect_replayed(&chain);
}

#[test]
fn a_torn_newest_entry_never_happened() {
    for tear in Tear::BY_POWER {
        let forged = Forged::new();
        let mut log = forged.log();
        // The torn entry would have emptied the disk again.
        let emptied = vec![Update::page(forged.places.bat.start, &[0; 4096])];
        let mut updates = emptied;
        updates.push(Update::page(forged.places.bat.start + 4096, &[0xee; 4096]));
        log.torn = Some((updates, tear));
        forged.write(&log);
        let chain = forged.open(&ChainOptions::default());
        assert_eq!(state(&chain), Some(LogState::Replayed), "{tear:?}");
        expect_replayed(&chain);
    }
}

/// All its sectors bear its number, so that no power cut made it what it is.
#[test]
fn what_a_damaged_newest_entry_was_about_to_change_is_doubtful() {
    for tear in Tear::ALL.into_iter().filter(|tear| !tear.is_by_power()) {
        let forged = Forged::new();
        let mut log = forged.log();
        log.torn = Some((vec![Update::page(forged.places.bat.start, &[0; 4096])], tear));
        forged.write(&log);
        let chain = forged.open(&ChainOptions::default());
        assert_eq!(state(&chain), Some(LogState::Replayed), "{tear:?}");
        assert_eq!(finding(&chain, "log-newest-damaged"), Severity::Error, "{tear:?}");
        let (bytes, faults) = read(&chain, 0, 8 << 20);
        let lost: Vec<_> = faults.iter().map(|fault| (fault.range.clone(), fault.code)).collect();
        if tear == Tear::DescriptorSignature {
            // What it changes cannot be told.
            assert_eq!(lost, [(0..8 * MIB, "log-newest-damaged")]);
            continue;
        }
        let told = chain.findings().iter().find(|finding| finding.code.as_str() == "log-newest-damaged");
        let text = &told.expect("a finding").text;
        assert!(text.contains("bytes 0..2097152, 4194304..6291456 of the disk"), "{text}");
        // The entries of blocks 0 and 2 differ with and without it.
        let blocks = [0..2 * MIB, 4 * MIB..6 * MIB].map(|block| (block, "log-newest-damaged"));
        assert_eq!(lost, blocks, "{tear:?}");
        assert!(bytes[2 << 20..4 << 20].iter().all(|byte| *byte == 0), "{tear:?}");
        let chain = forged.open(&ChainOptions { doubt: Doubt::Accept, ..ChainOptions::default() });
        let (bytes, _) = read(&chain, 4 << 20, 4096);
        let mut expected = [0; 4096];
        Fill::live(0).read(4 * MIB, &mut expected);
        assert_eq!(bytes, expected, "{tear:?}");
    }
}

#[test]
fn a_declined_replay_shows_the_file_as_it_lies() {
    let forged = Forged::new();
    forged.write(&forged.log());
    let options = ChainOptions {
        format: FormatOptions { log_replay: false, ..FormatOptions::default() },
        ..ChainOptions::default()
    };
    let chain = forged.open(&options);
    assert_eq!(state(&chain), Some(LogState::Declined));
    assert_eq!(finding(&chain, "log-replay-declined"), Severity::Error);
    // What a replay would place is not what the file holds, and nothing else is in doubt.
    for (offset, is_changed) in [(0, true), (2 * MIB, false), (4 * MIB, true), (6 * MIB, false)] {
        let chain = forged.open(&ChainOptions { doubt: Doubt::Accept, ..options.clone() });
        let (bytes, faults) = read(&chain, offset, 4096);
        let found: Vec<_> = faults.iter().map(|fault| (fault.kind, fault.code)).collect();
        let expected = [(FaultKind::Doubtful, "log-replay-declined")];
        assert_eq!(found, if is_changed { &expected[..] } else { &[] }, "at {offset}");
        assert_eq!(bytes, [0; 4096], "at {offset}");
    }
}

#[test]
fn a_log_without_entries_is_an_information() {
    let forged = Forged::new();
    forged.write(&DirtyLog { active: Vec::new(), ..forged.log() });
    let chain = forged.open(&ChainOptions::default());
    assert_eq!(state(&chain), Some(LogState::Empty));
    assert_eq!(finding(&chain, "log-empty"), Severity::Information);
    assert_eq!(support::read_proven(&**chain.disk(), 0, 4096), [0; 4096]);
}

#[test]
fn what_only_torn_entries_were_about_to_change_is_doubtful() {
    let forged = Forged::new();
    forged.write(&DirtyLog { active: Vec::new(), torn: Some((forged.bat.clone(), Tear::Checksum)), ..forged.log() });

    let chain = forged.open(&ChainOptions::default());
    assert_eq!(state(&chain), Some(LogState::Torn));
    assert_eq!(finding(&chain, "log-torn"), Severity::Error);
    let (bytes, faults) = read(&chain, 0, 8 << 20);
    let told: Vec<_> = faults.iter().map(|fault| (fault.range.clone(), fault.kind, fault.code, fault.link)).collect();
    let placed = [0..2 * MIB, 4 * MIB..6 * MIB];
    assert_eq!(told, placed.clone().map(|range| (range, FaultKind::Lost, "log-torn", Some(0))));
    assert!(bytes.iter().all(|byte| *byte == 0));

    let chain = forged.open(&ChainOptions { doubt: Doubt::Accept, ..ChainOptions::default() });
    let (_, faults) = read(&chain, 0, 8 << 20);
    let told: Vec<_> = faults.iter().map(|fault| (fault.range.clone(), fault.kind)).collect();
    assert_eq!(told, placed.map(|range| (range, FaultKind::Doubtful)));
}

fn torn_text(forged: &Forged) -> String {
    let chain = forged.open(&ChainOptions::default());
    assert_eq!(state(&chain), Some(LogState::Torn));
    let found = chain.findings().iter().find(|finding| finding.code.as_str() == "log-torn");
    found.expect("a finding").text.clone()
}

#[test]
fn a_torn_log_tells_what_the_file_shows_of_the_updates_that_it_lost() {
    let forged = Forged::new();
    forged.write(&DirtyLog { active: Vec::new(), torn: Some((forged.bat.clone(), Tear::Checksum)), ..forged.log() });
    let text = torn_text(&forged);
    // The one page of the BAT was about to place two blocks, which stand in the file already.
    assert!(
        text.contains("pages of the BAT that stand in its entries: 1, by which bytes 0..2097152, 4194304..6291456 of the disk are doubtful"),
        "{text}"
    );
    let (first, last) = (&forged.places.payload[&0], &forged.places.payload[&2]);
    assert_eq!(first.end, last.start);
    let blocks = format!("no entry of the BAT owns: 2 (in bytes {}..{} of the file)", first.start, last.end);
    assert!(text.contains(&blocks) && text.contains("of 2 looked at, 2 hold something"), "{text}");

    // Zeros are no sign of a block.
    forged.file().write_at(last.start, &vec![0; 2 << 20]);
    assert!(torn_text(&forged).contains("of 2 looked at, 1 hold something"));
    // And where there is no room for a block, none was lost.
    forged.file().set_size(first.start + MIB);
    let text = torn_text(&forged);
    assert!(text.contains("no room of 2 MiB that nothing owns"), "{text}");

    // A page beside the BAT says nothing of blocks.
    let forged = Forged::new();
    let page = vec![Update::page(forged.places.metadata.start + 8192, &[0; 4096])];
    forged.write(&DirtyLog { active: Vec::new(), torn: Some((page, Tear::Checksum)), ..forged.log() });
    assert!(torn_text(&forged).contains("no page of the BAT stands in its entries"));
}

#[test]
fn a_torn_log_of_the_largest_disk_opens_at_once() {
    use std::time::{Duration, Instant};
    let folder = tempfile::tempdir().expect("a folder");
    // Four million blocks, and a file of 8 TiB.
    let image = Image { block_size: 32 * MIB as u32, ..Image::dynamic(64 << 40) };
    let places = image.write_to(&folder.path().join("disk.vhdx")).expect("an image is written");
    let forged = Forged { folder, places, bat: Vec::new() };
    let pages = (0..200).map(|page| Update::page(forged.places.bat.start + page * 8192, &[6; 4096])).collect();
    forged.write(&DirtyLog { active: Vec::new(), torn: Some((pages, Tear::Checksum)), ..forged.log() });
    forged.file().set_size(8 << 40);
    let started = Instant::now();
    let text = torn_text(&forged);
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert!(text.contains("stand in its entries: 200, by which") && text.contains("and more"), "{text}");
    assert!(text.contains("of 64 looked at, 0 hold something"), "{text}");
}

#[test]
fn a_file_shorter_than_flushed_has_lost_its_tail() {
    let forged = Forged::new();
    forged.write(&forged.log());
    // Block 2 stands last; a part of it goes.
    let block = forged.places.payload[&2].clone();
    assert_eq!(block.end, forged.places.file_size);
    forged.file().set_size(block.end - 300_000);
    let chain = forged.open(&ChainOptions::default());
    assert_eq!(finding(&chain, "file-truncated"), Severity::Error);
    let (bytes, faults) = read(&chain, 4 * MIB, 2 << 20);
    let told: Vec<_> = faults.iter().map(|fault| (fault.range.clone(), fault.kind, fault.code)).collect();
    assert_eq!(told, [(6 * MIB - 300_000..6 * MIB, FaultKind::Lost, "block-past-end")]);
    let mut expected = vec![0; (2 << 20) - 300_000];
    Fill::live(0).read(4 * MIB, &mut expected);
    assert_eq!(bytes[..expected.len()], expected);
}

#[test]
fn a_file_shorter_than_last_only_gets_its_tail_back_as_zeros() {
    let forged = Forged::new();
    let size = forged.places.file_size;
    forged.write(&DirtyLog { flushed_file_offset: size - MIB, ..forged.log() });
    forged.file().set_size(size - MIB);
    let chain = forged.open(&ChainOptions::default());
    assert_eq!(finding(&chain, "file-tail-missing"), Severity::Warning);
    let mut expected = vec![0; 2 << 20];
    Fill::live(0).read(4 * MIB, &mut expected[..1 << 20]);
    assert_eq!(support::read_proven(&**chain.disk(), 4 * MIB, 2 << 20), expected);
}

#[test]
fn a_log_that_writes_a_header_is_a_finding_and_the_header_stays() {
    let forged = Forged::new();
    let mut updates = forged.bat.clone();
    updates.push(Update::page(64 << 10, &[0; 4096]));
    // Many times over: a log of 1 MiB has room for thirty thousand descriptors.
    updates.extend(vec![Update::Zeros { file_offset: 0, length: 4096 }; 10_000]);
    forged.write(&DirtyLog { active: vec![updates], ..forged.log() });
    let chain = forged.open(&ChainOptions::default());
    assert_eq!(finding(&chain, "log-writes-forbidden-place"), Severity::Warning);
    let told = chain.findings().iter().filter(|finding| finding.code.as_str() == "log-writes-forbidden-place");
    assert_eq!(told.count(), 1);
    expect_replayed(&chain);
}

/// Gives both headers the bytes `field` at `at`, and the checksums that they ask for.
fn set_in_headers(forged: &Forged, at: u64, field: &[u8]) {
    let mut file = forged.file();
    for (number, offset) in (1..).zip(header::OFFSETS) {
        file.write_at(offset + at, field);
        header::mend_checksum(&mut file, number);
    }
}

/// Where LogVersion, LogLength and LogOffset stand in a header.
const LOG_VERSION: u64 = 64;
const LOG_LENGTH: u64 = 68;
const LOG_OFFSET: u64 = 72;

#[test]
fn a_dirty_log_that_cannot_be_is_refused_and_opens_without_a_replay() {
    let offset = |offset: u64| offset.to_le_bytes().to_vec();
    let cases = [
        (LOG_VERSION, vec![1, 0]),
        (LOG_LENGTH, vec![0, 0, 0, 0]),
        (LOG_LENGTH, vec![0, 16, 0, 0]),
        (LOG_OFFSET, offset(0)),
        (LOG_OFFSET, offset(MIB + 4096)),
        (LOG_OFFSET, offset(u64::MAX - MIB + 1)),
    ];
    for (at, field) in cases {
        let forged = Forged::new();
        forged.write(&forged.log());
        set_in_headers(&forged, at, &field);
        let refused = chain::open(&HostFolders, &forged.path(), &ChainOptions::default());
        let advice = refused.err().and_then(|error| error.advice().map(ToOwned::to_owned)).expect("a refusal");
        assert!(advice.contains("--no-log-replay"), "{advice}");
        let options = ChainOptions {
            format: FormatOptions { log_replay: false, ..FormatOptions::default() },
            ..ChainOptions::default()
        };
        let chain = forged.open(&options);
        assert_eq!(state(&chain), Some(LogState::Declined), "{at}: {field:?}");
        assert_eq!(finding(&chain, "log-replay-declined"), Severity::Error);
        assert!(read(&chain, 6 * MIB, 4096).1.any_lost(), "{at}: {field:?}");
        let chain = forged.open(&ChainOptions { doubt: Doubt::Accept, ..options });
        let (bytes, faults) = read(&chain, 0, 4096);
        assert_eq!(bytes, [0; 4096]);
        assert!(faults.iter().all(|fault| fault.kind == FaultKind::Doubtful) && !faults.is_empty(), "{faults:?}");
    }
}

#[test]
fn what_a_log_that_cannot_be_read_was_about_to_change_may_be_anything() {
    let forged = Forged::new();
    forged.write(&forged.log());
    // The log stands past the end of the file, as in a file that was cut: its entries are not known to be none.
    let past = forged.places.file_size.next_multiple_of(MIB);
    set_in_headers(&forged, LOG_OFFSET, &past.to_le_bytes());
    let chain = forged.open(&ChainOptions::default());
    assert_eq!(state(&chain), Some(LogState::Torn));
    assert_eq!(finding(&chain, "log-torn"), Severity::Error);
    assert_eq!(finding(&chain, "log-unreadable"), Severity::Warning);
    let (_, faults) = read(&chain, 0, 8 << 20);
    let told: Vec<_> = faults.iter().map(|fault| (fault.range.clone(), fault.kind, fault.code)).collect();
    assert_eq!(told, [(0..8 * MIB, FaultKind::Lost, "log-torn")]);
}

#[test]
fn a_sequence_whose_end_cannot_be_read_may_not_be_the_newest() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut image = Image::dynamic(8 * MIB);
    for block in [0, 2] {
        image.blocks.insert(block, Block::fully_present(Fill::live(0)));
    }
    // The log stands last in the file.
    image.layout = Layout::Explicit(vec![Part::Metadata, Part::Bat, Part::Payload(0), Part::Payload(2), Part::Log]);
    let places = image.write_to(&folder.path().join("disk.vhdx")).expect("an image is written");
    assert_eq!(places.log.end, places.file_size);
    let mut forged = Forged { folder, places, bat: Vec::new() };
    let mut rollback = Rollback::new();
    rollback.blank(&forged.file(), &forged.places.bat);
    forged.bat = rollback.take_back(&mut forged.file());
    let start = forged.places.log.start;
    let log = DirtyLog { flushed_file_offset: start, last_file_offset: start, ..forged.log() };
    forged.write(&log);

    // One more sector behind the entry can be read: nothing newer stands there.
    let end = start + log.size() as u64;
    forged.file().set_size(end + 4096);
    let chain = forged.open(&ChainOptions::default());
    assert_eq!(finding(&chain, "log-unreadable"), Severity::Warning);
    expect_replayed(&chain);
    // None can.
    forged.file().set_size(end);
    let chain = forged.open(&ChainOptions::default());
    let told = chain.findings().iter().filter(|finding| finding.code.as_str() == "log-unreadable");
    assert_eq!(told.map(|finding| finding.severity).collect::<Vec<_>>(), [Severity::Warning, Severity::Error]);
    let (_, faults) = read(&chain, 0, 4096);
    assert!(faults.any_lost());
    let chain = forged.open(&ChainOptions { doubt: Doubt::Accept, ..ChainOptions::default() });
    let (bytes, faults) = read(&chain, 0, 4096);
    let mut expected = [0; 4096];
    Fill::live(0).read(0, &mut expected);
    assert!(bytes == expected && !faults.is_empty() && !faults.any_lost());
}

#[test]
fn an_entry_that_claims_four_gibibytes_of_descriptors_costs_no_memory() {
    let forged = Forged::new();
    forged.write(&forged.log());
    let (log_length, log_offset) = (u32::MAX - (MIB as u32 - 1), forged.places.log.start);
    set_in_headers(&forged, LOG_LENGTH, &log_length.to_le_bytes());
    let mut file = forged.file();
    // EntryLength and DescriptorCount of the first entry.
    file.write_at(log_offset + 8, &log_length.to_le_bytes());
    file.write_at(log_offset + 24, &((log_length - 64) / 32).to_le_bytes());
    let chain = forged.open(&ChainOptions::default());
    assert_eq!(state(&chain), Some(LogState::Torn));
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let peak =
            status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")).expect("a peak");
        let peak: u64 = peak.parse().expect("a number");
        assert!(peak < 2 << 20, "{peak} KiB of memory");
    }
}

#[test]
fn damaged_logs_neither_panic_nor_lie_about_what_they_replayed() {
    use fixtures::random::Rng;
    let forged = Forged::new();
    let mut log = forged.log();
    log.active.push(vec![Update::page(forged.places.bat.start + 8192, &[0; 4096])]);
    forged.write(&log);
    let clean = forged.file().bytes_at(forged.places.log.start, 64 << 10);
    for seed in 0..1500 {
        let mut rng = Rng::new(seed);
        let mut file = forged.file();
        let mut spoilt = clean.clone();
        for _ in 0..rng.between(1, 4) {
            // The entries take 16 KiB: header, descriptors, data sectors.
            let at = if rng.chance(60) { rng.below(200) + 8192 * rng.below(2) } else { rng.below(16 << 10) } as usize;
            spoilt[at] = rng.below(256) as u8;
        }
        file.write_at(forged.places.log.start, &spoilt);
        let chain = chain::open(&HostFolders, &forged.path(), &ChainOptions::default()).expect("a log that opens");
        let replayed = state(&chain) == Some(LogState::Replayed);
        let (bytes, faults) = read(&chain, 0, 4096);
        let mut expected = [0; 4096];
        Fill::live(0).read(0, &mut expected);
        // Either the page came from the log, or the empty disk is shown as it lies, and if an entry of this log can
        // still be seen, as doubtful.
        match state(&chain) {
            Some(LogState::Replayed) if faults.is_empty() => assert!(bytes == expected, "seed {seed}"),
            // The newest entry is damaged, or a header that bears the LogGuid is, and may be that of a newer entry.
            Some(LogState::Replayed) => {
                let told = |code| chain.findings().iter().any(|found| found.code.as_str() == code);
                assert!(told("log-unreadable") || told("log-newest-damaged"), "seed {seed}: {:?}", chain.findings());
            }
            Some(LogState::Torn) => assert!(bytes == [0; 4096], "seed {seed}"),
            Some(LogState::Empty) => assert!(bytes == [0; 4096] && faults.is_empty(), "seed {seed}"),
            other => panic!("seed {seed}: {other:?}"),
        }
        assert!(replayed || spoilt != clean, "seed {seed}");
    }
}
