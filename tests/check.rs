//! `check`: what is lost and doubtful, to the byte; which files that touches; and how the command says so.
#![cfg(unix)]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "hashes images before and after")]

mod support;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fixtures::chain::{Chain, RandomChain};
use fixtures::damage::{Damage, EntryDamage};
use fixtures::fill::Fill;
use fixtures::guid::Guid;
use fixtures::host_file::HostFile;
use fixtures::vhdx::bat::PayloadState;
use fixtures::vhdx::log::{DirtyLog, Rollback};
use fixtures::vhdx::{Block, Image, MIB};
use support::Untouched;
use vhdx_mount::chain::{self, ChainOptions, Doubt};
use vhdx_mount::check::{Area, CheckOptions, Checked, Progress, Ranges, State, check};
use vhdx_mount::format::FormatOptions;
use vhdx_mount::image::{Depth, HostFolders, ImageStore, Isolating, OpenedImage, ReadAt};
use vhdx_mount::report::{Code, Severity};
use vhdx_mount::{Error, ErrorKind, Faults};

/// Sectors of block 0 that the child holds.
const PRESENT: [Range<u64>; 3] = [0..7, 100..1000, 4095..4096];

/// A base that is full and a child: block 0 partly there, block 1 there, block 2 zeros, the rest the base's.
fn forge() -> (tempfile::TempDir, Chain) {
    let base = Image::fixed(12 * MIB, 2 * MIB as u32, &Fill::live(0));
    let mut child = Image::child_of(&base, "base.vhdx");
    child.blocks.insert(0, Block::partially_present(PRESENT.to_vec(), Fill::live(1), Fill::stale(1)));
    child.blocks.insert(1, Block::fully_present(Fill::live(1)));
    child.blocks.insert(2, Block::absent(PayloadState::ZERO));
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(vec![base, child], folder.path()).expect("a chain is written");
    (folder, chain)
}

/// Damages a link of a forged chain, counted from the base at 0.
fn damage(forged: &Chain, link: usize, damage: &Damage) {
    damage.apply(&mut HostFile::open(&forged.files[link]).expect("the image opens"), &forged.places[link]);
}

fn run(youngest: &Path, options: &CheckOptions) -> Checked {
    run_in(&HostFolders, youngest, options)
}

fn run_in(store: &dyn ImageStore, youngest: &Path, options: &CheckOptions) -> Checked {
    let how = ChainOptions { doubt: Doubt::Accept, ..ChainOptions::default() };
    let chain = chain::open(store, youngest, &how).expect("a chain");
    check(chain, options, &Progress::default()).expect("a check")
}

type Told = (Option<u32>, Range<u64>, &'static str);

fn told(ranges: &Ranges) -> Vec<Told> {
    ranges.iter().map(|range| (range.link, range.disk.clone(), range.code)).collect()
}

/// The bytes of ranges, whatever their links.
fn bytes(ranges: &Ranges) -> Vec<Range<u64>> {
    let mut all: Vec<Range<u64>> = Vec::new();
    for range in ranges.iter() {
        match all.last_mut() {
            Some(last) if last.end == range.disk.start => last.end = range.disk.end,
            _ => all.push(range.disk.clone()),
        }
    }
    all
}

/// What was found in the images. That nothing is known of a lost boot sector is no concern of these tests.
fn codes(checked: &Checked) -> Vec<&'static str> {
    checked.inventory.chain.findings().iter().map(|finding| finding.code.as_str()).collect()
}

fn present(code: &'static str) -> Vec<Told> {
    PRESENT.iter().map(|sectors| (Some(0), sectors.start * 512..sectors.end * 512, code)).collect()
}

/// The sectors of block 0 that the child does not hold.
fn between(code: &'static str) -> Vec<Told> {
    [7..100, 1000..4095].map(|sectors: Range<u64>| (Some(1), sectors.start * 512..sectors.end * 512, code)).to_vec()
}

#[test]
fn a_clean_chain_is_clean_and_complete() {
    let (_folder, forged) = forge();
    let _untouched = Untouched::watch(&forged.files);
    let all = CheckOptions { all_links: true, ..CheckOptions::default() };
    for options in [CheckOptions::default(), all] {
        let checked = run(&forged.youngest, &options);
        assert!(checked.complete && checked.is_well());
        assert_eq!(codes(&checked), [""; 0]);
        assert!(checked.triage().iter().all(|triage| triage.state == State::Well && triage.next.is_none()));
        // The child's entries up to that of the bitmap, the base's 6; the bitmap.
        let tables = 2049 * 8 + 6 * 8 + MIB;
        let hidden = if options.all_links { 4 * MIB + 908 * 512 } else { 0 };
        assert_eq!(checked.bytes_read, tables + 10 * MIB + hidden);
    }
}

#[test]
fn random_chains_are_clean() {
    for seed in 0..12 {
        let folder = tempfile::tempdir().expect("a folder");
        let chain = RandomChain { links: 4, virtual_size: 24 * MIB, ..RandomChain::new(seed) };
        let chain = chain.write(folder.path()).expect("a chain is written");
        let checked = run(&chain.youngest, &CheckOptions { all_links: true, ..CheckOptions::default() });
        assert!(checked.is_well() && checked.complete, "{}{:?}", chain.description, checked.findings());
        let worst = checked.findings().iter().map(|finding| finding.severity).max();
        assert!(worst < Some(Severity::Error), "{}{:?}", chain.description, checked.findings());
    }
}

#[test]
fn a_bad_entry_costs_its_block_and_is_one_finding() {
    let block_0 = || vec![(Some(0), 0..2 * MIB, "bitmap-missing")];
    let block_1 = |code| vec![(Some(0), 2 * MIB..4 * MIB, code)];
    let cases: Vec<(Damage, Vec<Told>, &str)> = vec![
        (Damage::PayloadEntry(1, EntryDamage::PastEnd), block_1("block-past-end"), "block-past-end"),
        (Damage::PayloadEntry(1, EntryDamage::FarthestOffset), block_1("block-past-end"), "block-past-end"),
        (Damage::PayloadEntry(0, EntryDamage::OntoHeaders), present("block-on-structure"), "block-on-structure"),
        (Damage::PayloadEntry(0, EntryDamage::OntoBat), present("block-on-structure"), "block-on-structure"),
        (Damage::PayloadEntry(1, EntryDamage::ReservedBit(5)), block_1("block-misaligned"), "block-misaligned"),
        (Damage::PayloadEntry(1, EntryDamage::State(4)), block_1("block-state-reserved"), "block-state-reserved"),
        (Damage::BitmapEntry(0, EntryDamage::Zeroed), block_0(), "bitmap-missing"),
    ];
    for (spoilt, lost, code) in cases {
        let (_folder, forged) = forge();
        damage(&forged, 1, &spoilt);
        let _untouched = Untouched::watch(&forged.files);
        for payload in [true, false] {
            let checked = run(&forged.youngest, &CheckOptions { payload, ..CheckOptions::default() });
            assert_eq!(told(&checked.lost), lost, "{spoilt:?}");
            // The sectors between are the base's, if the entry that cannot be what a writer wrote is to be believed.
            let doubted = if code == "block-on-structure" { between(code) } else { vec![] };
            assert_eq!(told(&checked.doubtful), doubted, "{spoilt:?}");
            assert_eq!(codes(&checked), [code], "{spoilt:?}");
            assert_eq!((checked.is_well(), checked.complete), (lost.is_empty(), payload), "{spoilt:?}");
            let (at, places) = (checked.findings()[0].offset, &forged.places[1]);
            let entry = match spoilt {
                Damage::PayloadEntry(block, _) => places.payload_entry(block),
                _ => places.bitmap_entry(0),
            };
            assert_eq!(at, Some(entry), "{spoilt:?}");
        }
    }
}

#[test]
fn a_partial_block_without_a_parent_is_lost() {
    let (_folder, forged) = forge();
    damage(&forged, 0, &Damage::PayloadEntry(3, EntryDamage::State(7)));
    let checked = run(&forged.youngest, &CheckOptions::default());
    assert_eq!(told(&checked.lost), [(Some(1), 6 * MIB..8 * MIB, "block-partial-without-parent")]);
    assert_eq!(codes(&checked), ["block-partial-without-parent"]);
    assert_eq!(checked.findings()[0].link, Some(1));
}

#[test]
fn a_million_bad_entries_would_be_one_finding() {
    let mut base = Image::dynamic(64 * MIB);
    for block in 0..32 {
        base.blocks.insert(block, Block::fully_present(Fill::live(0)));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let forged = Chain::write(vec![base], folder.path()).expect("a chain is written");
    for block in 10..20 {
        damage(&forged, 0, &Damage::PayloadEntry(block, EntryDamage::State(4)));
    }
    let checked = run(&forged.youngest, &CheckOptions::default());
    assert_eq!(told(&checked.lost), [(Some(0), 20 * MIB..40 * MIB, "block-state-reserved")]);
    // They are of one page, which was written over then.
    assert_eq!(codes(&checked), ["block-state-reserved", "table-overwritten"]);
    let text = &checked.findings()[0].text;
    assert!(text.starts_with("10 entries") && text.contains("payload block 10, payload block 11,"), "{text}");
}

#[test]
fn a_cut_image_loses_what_was_cut_off() {
    let (_folder, forged) = forge();
    let end = forged.places[1].file_size;
    assert_eq!(forged.places[1].payload[&1].end, end, "block 1 stands last");
    damage(&forged, 1, &Damage::Truncated(end - 100_001));
    let checked = run(&forged.youngest, &CheckOptions::default());
    assert_eq!(told(&checked.lost), [(Some(0), 4 * MIB - 100_001..4 * MIB, "block-past-end")]);
    assert_eq!(codes(&checked), ["block-past-end"]);
}

#[test]
fn blocks_that_claim_one_place_are_all_doubtful() {
    let (_folder, forged) = forge();
    damage(&forged, 1, &Damage::PayloadEntry(0, EntryDamage::OntoLastBlock));
    let _untouched = Untouched::watch(&forged.files);
    for payload in [true, false] {
        let checked = run(&forged.youngest, &CheckOptions { payload, ..CheckOptions::default() });
        // Of block 0 also the sectors that its bits leave to the parent: its state may be as wrong as its place.
        assert_eq!(bytes(&checked.doubtful), [0..4 * MIB]);
        assert!(checked.doubtful.iter().all(|range| range.code == "blocks-overlap"));
        assert_eq!(told(&checked.lost), []);
        assert_eq!(codes(&checked), ["blocks-overlap"]);
        let text = &checked.findings()[0].text;
        assert!(text.starts_with("2 blocks") && text.contains("(payload block 0, payload block 1)"), "{text}");
        assert_eq!(checked.triage()[1].state, State::Damaged);
        assert!(!checked.is_well());
    }
}

#[test]
fn a_bitmap_that_shares_its_place_makes_its_blocks_doubtful_altogether() {
    let cases = [
        (Damage::BitmapEntry(0, EntryDamage::OntoLastBlock), "2 blocks"),
        // Block 1 then lies on the bitmap and on half of block 0.
        (Damage::PayloadEntry(1, EntryDamage::OntoBitmap), "3 blocks"),
    ];
    for (spoilt, count) in cases {
        let (_folder, forged) = forge();
        damage(&forged, 1, &spoilt);
        let checked = run(&forged.youngest, &CheckOptions::default());
        assert_eq!(bytes(&checked.doubtful), [0..4 * MIB], "{spoilt:?}");
        // Whose bits are read in place of its own is not said: a block may have none among them.
        assert!(checked.doubtful.iter().all(|range| ["blocks-overlap", "bitmap-empty"].contains(&range.code)));
        assert_eq!(told(&checked.lost), []);
        let findings = checked.findings();
        let overlap = findings.iter().find(|finding| finding.code.as_str() == "blocks-overlap");
        assert!(overlap.is_some_and(|overlap| overlap.text.starts_with(count)), "{overlap:?}");
    }
}

#[test]
fn what_younger_links_hide_is_read_only_when_asked_for() {
    let (_folder, forged) = forge();
    damage(&forged, 0, &Damage::PayloadEntry(1, EntryDamage::PastEnd));
    let checked = run(&forged.youngest, &CheckOptions::default());
    assert!(checked.complete && !checked.is_well());
    assert_eq!((told(&checked.lost), told(&checked.hidden_lost)), (vec![], vec![]));
    assert_eq!(codes(&checked), ["block-past-end"], "its tables are read all the same");
    let checked = run(&forged.youngest, &CheckOptions { all_links: true, ..CheckOptions::default() });
    assert_eq!(told(&checked.hidden_lost), [(Some(1), 2 * MIB..4 * MIB, "block-past-end")]);
    assert_eq!((told(&checked.lost), checked.is_well()), (vec![], false));
}

#[test]
fn ranges_add_up_to_the_whole() {
    let (_folder, forged) = forge();
    damage(&forged, 1, &Damage::PayloadEntry(1, EntryDamage::PastEnd));
    let whole = run(&forged.youngest, &CheckOptions::default());
    let (mut lost, mut read) = (0, 0);
    for range in [0..3 * MIB + 512, 3 * MIB + 512..9 * MIB, 9 * MIB..u64::MAX] {
        let part = run(&forged.youngest, &CheckOptions { range: range.clone(), ..CheckOptions::default() });
        assert!(!part.complete);
        assert!(part.lost.iter().all(|one| range.start <= one.disk.start && one.disk.end <= range.end));
        lost += part.lost.bytes();
        read += part.bytes_checked();
    }
    assert_eq!((lost, read), (whole.lost.bytes(), 12 * MIB));
    let chain = support::open_chain(&forged.youngest);
    let past = CheckOptions { range: 13 * MIB..14 * MIB, ..CheckOptions::default() };
    let refused = check(chain, &past, &Progress::default()).err().map(|error| error.kind());
    assert_eq!(refused, Some(ErrorKind::Usage));
}

/// Host folders in which one file has places that cannot be read.
struct Failing {
    file: PathBuf,
    bad: Range<u64>,
}

struct FailingImage {
    inner: Arc<dyn ReadAt>,
    bad: Range<u64>,
}

impl ReadAt for FailingImage {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> vhdx_mount::Result<()> {
        if offset < self.bad.end && self.bad.start < offset + buf.len() as u64 {
            return Err(Error::new(ErrorKind::Io, "bad sector"));
        }
        self.inner.read_at(buf, offset, faults)
    }
}

impl ImageStore for Failing {
    fn open_named(&self, path: &Path) -> vhdx_mount::Result<OpenedImage> {
        let mut opened = HostFolders.open_named(path)?;
        if path == self.file {
            opened.image = Arc::new(Isolating::new(FailingImage { inner: opened.image, bad: self.bad.clone() }));
        }
        Ok(opened)
    }

    fn open_found(&self, path: &Path) -> vhdx_mount::Result<OpenedImage> {
        self.open_named(path)
    }

    fn find(&self, folder: &Path, components: &[&str]) -> Option<PathBuf> {
        HostFolders.find(folder, components)
    }

    fn list(&self, folder: &Path, depth: Depth, limit: usize) -> vhdx_mount::Result<vhdx_mount::image::Listing> {
        HostFolders.list(folder, depth, limit)
    }
}

#[test]
fn storage_that_fails_is_told_apart_from_damaged_images() {
    let (_folder, forged) = forge();
    let places = &forged.places[1];
    let failing = |bad| Failing { file: forged.youngest.clone(), bad };

    // 4 KiB of block 1's payload.
    let at = places.payload[&1].start + 8192;
    let checked = run_in(&failing(at + 5..at + 6), &forged.youngest, &CheckOptions::default());
    assert_eq!(told(&checked.lost), [(Some(0), 2 * MIB + 8192..2 * MIB + 12_288, "host-read-error")]);
    assert_eq!(codes(&checked), ["host-read-error"]);
    assert_eq!(checked.findings()[0].offset, Some(at));
    let triage = checked.triage();
    assert_eq!((triage[0].area, triage[0].state, triage[0].lost), (Area::Storage, State::Damaged, 4096));
    assert!(triage[0].next.is_some() && triage[1..].iter().all(|other| other.state == State::Well));
    let checked =
        run_in(&failing(at + 5..at + 6), &forged.youngest, &CheckOptions { payload: false, ..Default::default() });
    assert!(checked.is_well() && !checked.complete, "payload was not looked at, and that is said");

    // A header, whose copy does; and the log of a file that was closed. Neither costs a byte.
    for (bad, code) in [(64 << 10, "header-bad"), (places.log.start + 8192, "host-read-error")] {
        let checked = run_in(&failing(bad..bad + 1), &forged.youngest, &CheckOptions::default());
        assert_eq!((codes(&checked), checked.lost.is_empty()), (vec![code], true));
        let triage = checked.triage();
        assert_eq!((triage[0].area, triage[0].state), (Area::Storage, State::Noted), "{code}");
        assert!(triage[1..].iter().all(|other| other.state == State::Well), "{code}");
    }

    // The part of the bitmap that describes block 0.
    let bitmap = places.bitmaps[&0].start;
    let checked = run_in(&failing(bitmap..bitmap + 1), &forged.youngest, &CheckOptions::default());
    assert_eq!(told(&checked.lost), [(Some(0), 0..2 * MIB, "bitmap-unreadable")]);
    assert_eq!(codes(&checked), ["bitmap-unreadable"]);

    // The BAT: whose the bytes are is not known then.
    let checked = run_in(&failing(places.bat.start..places.bat.start + 1), &forged.youngest, &CheckOptions::default());
    assert_eq!(told(&checked.lost), [(Some(0), 0..12 * MIB, "bat-unreadable")]);
    assert_eq!(codes(&checked), ["bat-unreadable"]);
    assert_eq!(checked.findings()[0].code, Code::BatUnreadable);
}

#[test]
fn all_from_an_unproven_link_is_doubtful_and_the_rest_is_not() {
    let (_folder, forged) = forge();
    // The base now bears another identity.
    let mut other = forged.images[0].clone();
    other.renew_guids(&mut fixtures::random::Rng::new(5));
    other.write_to(&forged.files[0]).expect("an image is written");
    let how = ChainOptions { doubt: Doubt::Accept, allow_mismatch: true, ..ChainOptions::default() };
    let chain = chain::open(&HostFolders, &forged.youngest, &how).expect("a chain");
    let checked = check(chain, &CheckOptions::default(), &Progress::default()).expect("a check");
    let code = "link-unproven";
    let between = [7 * 512..100 * 512, 1000 * 512..4095 * 512, 6 * MIB..12 * MIB];
    assert_eq!(told(&checked.doubtful), between.map(|range| (Some(1), range, code)));
    assert_eq!(told(&checked.lost), []);
    assert_eq!(checked.triage()[2].state, State::Damaged);
}

#[test]
fn where_the_log_was_left_alone_the_next_step_is_to_have_it_replayed() {
    let (_folder, forged) = forge();
    let places = &forged.places[1];
    let mut file = HostFile::open(&forged.youngest).expect("the image opens");
    let mut rollback = Rollback::new();
    rollback.blank(&file, &places.bat);
    let update = rollback.take_back(&mut file);
    DirtyLog::new(Guid([7; 16]), vec![update], places.file_size).write(&mut file, &places.log);
    let next = |log_replay: bool| {
        let format = FormatOptions { log_replay, ..FormatOptions::default() };
        let how = ChainOptions { doubt: Doubt::Accept, format, ..ChainOptions::default() };
        let chain = chain::open(&HostFolders, &forged.youngest, &how).expect("a chain");
        let checked = check(chain, &CheckOptions::default(), &Progress::default()).expect("a check");
        let image = checked.triage().into_iter().find(|triage| triage.area == Area::Image).expect("the images");
        (image.state, image.next.unwrap_or_default().to_owned())
    };
    let (state, declined) = next(false);
    assert!(state == State::Damaged && declined.starts_with("run again without --no-log-replay"), "{declined}");
    let (state, replayed) = next(true);
    assert!(state != State::Damaged && !replayed.contains("--no-log-replay"), "{replayed}");

    // Of a log that cannot be replayed at all that is not said.
    for number in [1, 2] {
        fixtures::vhdx::header::Header::edit(&mut file, number, |header| header.log_version = 1);
    }
    let (state, unread) = next(false);
    assert!(state == State::Damaged && unread.starts_with("look for other copies"), "{unread}");
}
