//! Images that have lost both headers: when what stands in the file is right whatever they said, and when it is not.
#![cfg(unix)]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "hashes images before and after")]

mod support;

use std::ops::Range;
use std::path::PathBuf;

use fixtures::bytes::Bytes;
use fixtures::damage::{Copies, Damage, EntryDamage, TableDamage};
use fixtures::fill::Fill;
use fixtures::guid::Guid;
use fixtures::host_file::HostFile;
use fixtures::vhdx::log::{DirtyLog, StaleEntry, Tear, Update};
use fixtures::vhdx::{Block, Image, Layout, MIB, Part, Places};
use support::Untouched;
use vhdx_mount::chain::{self, ChainOptions, Doubt};
use vhdx_mount::format::vhdx::LogState;
use vhdx_mount::image::{HostFolders, ReadAt};
use vhdx_mount::report::Severity;
use vhdx_mount::{FaultKind, Faults};

const LOG_GUID: Guid = Guid::parse("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");
const OTHER_GUID: Guid = Guid::parse("11111111-2222-3333-4444-555555555555");

/// A dynamic disk of 8 MiB whose blocks 0 and 2 hold bytes.
struct Forged {
    _folder: tempfile::TempDir,
    path: PathBuf,
    places: Places,
}

impl Forged {
    fn new(change: impl FnOnce(&mut Image)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("disk.vhdx");
        let mut image = Image::dynamic(8 * MIB);
        for block in [0, 2] {
            image.blocks.insert(block, Block::fully_present(Fill::live(0)));
        }
        change(&mut image);
        let places = image.write_to(&path).expect("an image is written");
        Forged { _folder: folder, path, places }
    }

    fn plain() -> Self {
        Self::new(|_| {})
    }

    fn file(&self) -> HostFile {
        HostFile::open(&self.path).expect("the image opens")
    }

    /// The first page of the BAT as it stands in the file.
    fn bat_page(&self) -> Update {
        Update::page(self.places.bat.start, &self.file().bytes_at(self.places.bat.start, 4096))
    }

    /// A log that writes these pages.
    fn log(&self, active: Vec<Vec<Update>>) -> DirtyLog {
        DirtyLog::new(LOG_GUID, active, self.places.file_size)
    }

    fn with_log(self, log: &DirtyLog) -> Self {
        log.write(&mut self.file(), &self.places.log);
        self
    }

    fn damaged(self, damage: &Damage) -> Self {
        damage.apply(&mut self.file(), &self.places);
        self
    }

    fn without_headers(self) -> Self {
        self.damaged(&Damage::Header(Copies::Both, TableDamage::Zeroed))
    }

    /// Whether all bytes are right and proven, or else all of them doubtful, and how much the finding weighs.
    fn is_proven(&self) -> bool {
        let doubted = self.doubted();
        assert!(doubted.is_empty() || doubted == [0..8 * MIB], "{doubted:?}");
        doubted.is_empty()
    }

    /// Which bytes are not proven. All others are right.
    fn doubted(&self) -> Vec<Range<u64>> {
        let _untouched = Untouched::watch([&self.path]);
        let options = ChainOptions { doubt: Doubt::Accept, ..ChainOptions::default() };
        let chain = chain::open(&HostFolders, &self.path, &options).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(chain.links()[0].log, Some(LogState::Unknown));
        let mut bytes = vec![0; 8 << 20];
        let mut faults = Faults::new();
        chain.disk().read_at(&mut bytes, 0, &mut faults).expect("a read");
        let mut expected = vec![0; 8 << 20];
        for block in [0, 4 << 20] {
            Fill::live(0).read(block as u64, &mut expected[block..block + (2 << 20)]);
        }
        let told: Vec<_> = chain.findings().iter().map(|finding| (finding.code.as_str(), finding.severity)).collect();
        let severity = if faults.is_empty() { Severity::Warning } else { Severity::Error };
        assert_eq!(told, [("headers-lost", severity)]);
        assert!(faults.iter().all(|fault| fault.kind == FaultKind::Lost || fault.code == "headers-lost"), "{faults:?}");
        let mut doubted = Vec::<Range<u64>>::new();
        for fault in &faults {
            match doubted.last_mut() {
                Some(last) if last.end == fault.range.start => last.end = fault.range.end,
                _ => doubted.push(fault.range.clone()),
            }
        }
        for range in &doubted {
            let range = range.start as usize..range.end as usize;
            bytes[range.clone()].copy_from_slice(&expected[range]);
        }
        assert!(bytes == expected, "wrong bytes beside {doubted:?}");
        doubted
    }
}

/// What an entry places that writes zeros over the BAT.
const PLACED: [Range<u64>; 2] = [0..2 * MIB, 4 * MIB..6 * MIB];

#[test]
fn a_log_without_entries_changes_nothing() {
    assert!(Forged::plain().without_headers().is_proven());
}

#[test]
fn a_replay_that_writes_what_is_there_changes_nothing() {
    let forged = Forged::plain();
    let log = forged.log(vec![vec![forged.bat_page()]]);
    assert!(forged.with_log(&log).without_headers().is_proven());

    // Entries before the tail were carried out long ago, and what they wrote was changed since.
    let forged = Forged::plain();
    let emptied = vec![Update::page(forged.places.bat.start, &[0; 4096])];
    let log = DirtyLog { older: vec![emptied.clone()], ..forged.log(vec![vec![forged.bat_page()]]) };
    assert!(forged.with_log(&log).without_headers().is_proven());

    // Of two entries of the sequence the later one counts.
    let forged = Forged::plain();
    let log = forged.log(vec![emptied, vec![forged.bat_page()]]);
    assert!(forged.with_log(&log).without_headers().is_proven());
}

#[test]
fn what_a_replay_would_change_is_doubtful_and_nothing_else() {
    let forged = Forged::plain();
    let emptied = vec![Update::page(forged.places.bat.start, &[0; 4096])];
    let log = forged.log(vec![emptied]);
    assert_eq!(forged.with_log(&log).without_headers().doubted(), PLACED);
    let forged = Forged::plain();
    let log = forged
        .log(vec![vec![forged.bat_page()], vec![Update::Zeros { file_offset: forged.places.bat.start, length: 8192 }]]);
    assert_eq!(forged.with_log(&log).without_headers().doubted(), PLACED);
}

#[test]
fn a_replay_that_would_change_what_all_was_read_by_leaves_all_doubtful() {
    // The metadata.
    let forged = Forged::plain();
    let log = forged.log(vec![vec![Update::page(forged.places.metadata.start + (64 << 10), &[0; 4096])]]);
    assert!(!forged.with_log(&log).without_headers().is_proven());
    // A newer entry lost its header: what it changes is not known.
    let forged = Forged::plain();
    let emptied = vec![Update::page(forged.places.bat.start, &[0; 4096])];
    let log = forged.log(vec![emptied, vec![forged.bat_page()]]);
    let forged = forged.with_log(&log);
    let second = forged.places.log.start + 8192;
    let mut file = forged.file();
    assert_eq!(file.bytes_at(second, 4), b"loge");
    file.write_at(second, &[0; 4096]);
    assert!(!forged.without_headers().is_proven());
    // A log that would make the file longer.
    let forged = Forged::plain();
    let size = forged.places.file_size;
    let log = DirtyLog { last_file_offset: size + MIB, ..forged.log(vec![vec![forged.bat_page()]]) };
    assert!(!forged.with_log(&log).without_headers().is_proven());
}

#[test]
fn a_log_that_may_be_another_one_leaves_all_doubtful() {
    // A torn entry: the headers may have named a log that ends in it.
    for tear in Tear::ALL {
        let forged = Forged::plain();
        let page = vec![forged.bat_page()];
        let log = DirtyLog { torn: Some((page.clone(), tear)), ..forged.log(vec![page]) };
        // A tear that leaves no header leaves no entry.
        let file = forged.with_log(&log);
        let first = file.places.log.start;
        let torn = first + (log.size() / 2) as u64;
        let left = file.file().bytes_at(torn, 4) == b"loge";
        assert_eq!(file.without_headers().is_proven(), !left, "{tear:?}");
    }
    // An entry of another log, which would change something.
    let forged = Forged::plain();
    let stale = StaleEntry {
        log_guid: OTHER_GUID,
        sequence_number: 1,
        tail: None,
        updates: vec![Update::page(forged.places.bat.start, &[0; 4096])],
    };
    let log = DirtyLog { stale: vec![stale.clone()], ..forged.log(vec![vec![forged.bat_page()]]) };
    assert_eq!(forged.with_log(&log).without_headers().doubted(), PLACED);
    // And one that would not.
    let forged = Forged::plain();
    let stale = StaleEntry { updates: vec![forged.bat_page()], ..stale };
    let log = DirtyLog { stale: vec![stale], ..forged.log(vec![vec![forged.bat_page()]]) };
    assert!(forged.with_log(&log).without_headers().is_proven());
}

/// All that no block owns is looked at, so it does not matter where the log is.
#[test]
fn a_log_that_stands_elsewhere_is_judged_all_the_same() {
    let last = |image: &mut Image| {
        image.layout = Layout::Explicit(vec![Part::Metadata, Part::Bat, Part::Payload(0), Part::Payload(2), Part::Log]);
    };
    assert!(Forged::new(last).without_headers().is_proven());
    for order in [[Part::Payload(0), Part::Log, Part::Metadata], [Part::Log, Part::Payload(0), Part::Metadata]] {
        let moved = |image: &mut Image| image.layout = Layout::Explicit(order.to_vec());
        assert!(Forged::new(moved).without_headers().is_proven(), "{order:?}");
        let forged = Forged::new(moved);
        let log = forged.log(vec![vec![forged.bat_page()]]);
        assert!(forged.with_log(&log).without_headers().is_proven(), "{order:?}");
        let forged = Forged::new(moved);
        let emptied = vec![Update::page(forged.places.bat.start, &[0; 4096])];
        let log = forged.log(vec![emptied]);
        assert_eq!(forged.with_log(&log).without_headers().doubted(), PLACED, "{order:?}");
        // What is neither a block nor of a log may have been a part of one.
        let forged = Forged::new(moved);
        forged.file().write_at(forged.places.log.start + 8192, b"anything");
        assert!(!forged.without_headers().is_proven(), "{order:?}");
    }
}

/// Nothing stands where the log does: an entry that makes no sense can hide none there.
#[test]
fn an_entry_with_a_flaw_costs_its_own_block_beside_an_empty_log() {
    for damage in [EntryDamage::PastEnd, EntryDamage::OntoLog, EntryDamage::ReservedBit(5), EntryDamage::State(4)] {
        let forged = Forged::plain().damaged(&Damage::PayloadEntry(2, damage)).without_headers();
        let options = ChainOptions { doubt: Doubt::Accept, ..ChainOptions::default() };
        let chain = chain::open(&HostFolders, &forged.path, &options).expect("it opens");
        let mut bytes = vec![0; 4 << 20];
        let mut faults = Faults::new();
        chain.disk().read_at(&mut bytes, 0, &mut faults).expect("a read");
        assert!(faults.is_empty(), "{damage:?} {faults:?}");
        chain.disk().read_at(&mut bytes, 4 * MIB, &mut faults).expect("a read");
        assert_eq!(faults.iter().map(|fault| fault.range.clone()).next(), Some(4 * MIB..6 * MIB), "{damage:?}");
    }
}

#[test]
fn an_entry_that_claims_the_log_does_not_tell_where_it_is() {
    // Nor where nothing stands in the block that lost its entry.
    let empty = |image: &mut Image| {
        image.block_size = MIB as u32;
        image.blocks.insert(2, Block::fully_present(Fill::Zero));
    };
    let forged = Forged::new(empty);
    let log = forged.log(vec![vec![Update::page(forged.places.bat.start, &[0; 4096])]]);
    let onto_log = Damage::PayloadEntry(2, EntryDamage::OntoLog);
    let forged = forged.with_log(&log).damaged(&onto_log).without_headers();
    let options = ChainOptions { doubt: Doubt::Accept, ..ChainOptions::default() };
    let chain = chain::open(&HostFolders, &forged.path, &options).expect("it opens");
    let mut faults = Faults::new();
    chain.disk().read_at(&mut [0; 4096], 0, &mut faults).expect("a read");
    assert_eq!(faults.worst().map(|fault| fault.code), Some("headers-lost"));
    // An entry that makes a block of 1 MiB of the log itself.
    let small = |image: &mut Image| image.block_size = MIB as u32;
    let forged = Forged::new(small).damaged(&Damage::PayloadEntry(2, EntryDamage::OntoLog)).without_headers();
    let chain = chain::open(&HostFolders, &forged.path, &ChainOptions::default()).expect("it opens");
    let mut faults = Faults::new();
    chain.disk().read_at(&mut [0; 4096], 2 * MIB, &mut faults).expect("a read");
    assert!(faults.any_lost(), "the log is no block");
}

#[test]
fn random_images_without_headers_never_show_a_wrong_byte_as_proven() {
    use fixtures::chain::RandomChain;
    let (mut proven, mut dirty) = (0, 0);
    for seed in 0..300 {
        let folder = tempfile::tempdir().expect("a folder");
        let random = RandomChain { links: 1 + seed as usize % 2, virtual_size: 8 * MIB, ..RandomChain::new(seed) };
        let forged = random.write(folder.path()).expect("a chain is written");
        let open = || {
            let chain = chain::open(&HostFolders, &forged.youngest, &ChainOptions::default()).ok()?;
            let mut bytes = vec![0; chain.disk().size().min(24 * MIB) as usize];
            let mut faults = Faults::new();
            chain.disk().read_at(&mut bytes, 0, &mut faults).expect("a read");
            Some((chain.links()[0].log, bytes, faults))
        };
        let (log, expected, _) = open().expect("a chain that is whole");
        let damage = Damage::Header(Copies::Both, TableDamage::Zeroed);
        let (file, places) = (forged.files.last().expect("a file"), forged.places.last().expect("places"));
        damage.apply(&mut HostFile::open(file).expect("it opens"), places);
        dirty += usize::from(log == Some(LogState::Replayed));
        // Where the log was about to bring the metadata, nothing may be left that opens.
        let Some((_, bytes, faults)) = open() else { continue };
        proven += usize::from(faults.is_empty());
        if bytes.len() != expected.len() {
            let told: u64 = faults.iter().map(|fault| fault.range.end - fault.range.start).sum();
            assert_eq!(told, bytes.len() as u64, "seed {seed}: {faults:?}");
            continue;
        }
        let (mut bytes, mut expected) = (bytes, expected);
        for fault in &faults {
            let range = fault.range.start as usize..fault.range.end as usize;
            bytes[range.clone()].fill(0);
            expected[range].fill(0);
        }
        assert!(bytes == expected, "seed {seed}: wrong bytes, log {log:?}\n{}", forged.description);
    }
    assert!(proven > 20 && dirty > 50, "{proven} proven, {dirty} dirty");
}

/// The last block of a fixed disk ends as the disk does, with the copy of its GPT. The file is a container all the same.
#[test]
fn an_image_without_its_start_that_ends_like_a_disk_is_an_image() {
    let disk = support::small_disk::disk();
    let data = Fill::Disk(std::sync::Arc::new(support::small_disk::clone_of(&disk)));
    let image = Image::fixed(disk.size(), MIB as u32, &data);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("disk.vhdx");
    image.write_to(&path).expect("an image is written");
    let mut file = HostFile::open(&path).expect("the image opens");
    assert!(file.bytes_at(file.size() - 512, 8) == b"EFI PART", "it ends like a disk");
    file.write_at(0, &vec![0; MIB as usize]);
    let how = ChainOptions { doubt: Doubt::Accept, ..ChainOptions::default() };
    let chain = chain::open(&HostFolders, &path, &how).expect("a chain");
    assert_eq!(chain.links()[0].layer.identity().format, "VHDX");
    let mut buf = vec![0; disk.size() as usize];
    chain.disk().read_at(&mut buf, 0, &mut Faults::new()).expect("a read");
    assert!(buf == disk.bytes_at(0, disk.size() as usize));
}
