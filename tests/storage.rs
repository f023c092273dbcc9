//! Storage that fails, copies of it, and images that change while they are open.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "changes images of its own, reads mounted files"
)]

mod support;

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use fixtures::chain::{Chain, RandomChain};
use fixtures::fill::Fill;
use fixtures::random::Rng;
use fixtures::vhdx::{Block, Image, Layout, MIB, Part, Places};
use support::Untouched;
use support::program::{Mounted, PROGRAM, can_mount, expect_success, has, run, wait_until};
use vhdx_mount::chain::{self, ChainOptions, Doubt};
use vhdx_mount::image::{Depth, HostFolders, ImageStore, Isolating, OpenedImage, Patience, ReadAt};
use vhdx_mount::{Error, ErrorKind, FaultKind, Faults, Result};

const EIO: Option<i32> = Some(5);

/// The images of the host, some bytes of which cannot be read.
#[derive(Default)]
struct FailingStorage {
    /// Bad ranges of the file of each name.
    bad: Vec<(PathBuf, Vec<Range<u64>>)>,
    /// Reads of bad places so far.
    failures: Arc<AtomicUsize>,
}

struct FailingImage {
    image: Arc<dyn ReadAt>,
    bad: Vec<Range<u64>>,
    failures: Arc<AtomicUsize>,
}

impl ReadAt for FailingImage {
    fn size(&self) -> u64 {
        self.image.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        let end = offset + buf.len() as u64;
        if self.bad.iter().any(|bad| bad.start < end && offset < bad.end) {
            self.failures.fetch_add(1, Ordering::SeqCst);
            buf.fill(0xee);
            return Err(Error::io("bad sector", std::io::Error::from_raw_os_error(5)));
        }
        self.image.read_at(buf, offset, faults)
    }
}

impl FailingStorage {
    fn seen(&self, opened: OpenedImage) -> OpenedImage {
        let bad = self.bad.iter().find(|(path, _)| *path == opened.path).map(|(_, bad)| bad.clone());
        let image =
            FailingImage { image: opened.image, bad: bad.unwrap_or_default(), failures: Arc::clone(&self.failures) };
        let patience = Patience { pauses: [Duration::ZERO; 2], ..Patience::default() };
        OpenedImage { image: Arc::new(Isolating::with_patience(image, patience)), ..opened }
    }
}

impl ImageStore for FailingStorage {
    fn open_named(&self, path: &Path) -> Result<OpenedImage> {
        HostFolders.open_named(path).map(|opened| self.seen(opened))
    }

    fn open_found(&self, path: &Path) -> Result<OpenedImage> {
        HostFolders.open_found(path).map(|opened| self.seen(opened))
    }

    fn find(&self, folder: &Path, components: &[&str]) -> Option<PathBuf> {
        HostFolders.find(folder, components)
    }

    fn list(&self, folder: &Path, depth: Depth, limit: usize) -> Result<Vec<PathBuf>> {
        HostFolders.list(folder, depth, limit)
    }
}

/// A base of 8 MiB full of known bytes, its file and its places.
fn base(folder: &Path) -> (PathBuf, Places) {
    let image = Image::fixed(8 * MIB, 2 * MIB as u32, &Fill::live(0));
    let path = folder.join("base.vhdx");
    let places = image.write_to(&path).expect("an image is written");
    (path, places)
}

/// What such a base holds.
fn content() -> Vec<u8> {
    let mut bytes = vec![0; 8 << 20];
    Fill::live(0).read(0, &mut bytes);
    bytes
}

/// Where bytes of the disk stand in the file of a base of blocks of 2 MiB.
fn in_file(places: &Places, disk: &Range<u64>) -> Range<u64> {
    let block = disk.start / (2 * MIB);
    let start = places.payload[&block].start + disk.start % (2 * MIB);
    start..start + disk.end - disk.start
}

/// Reads a whole disk in pieces; the bytes, and each fault of it.
fn read_all(disk: &dyn ReadAt, step: usize) -> (Vec<u8>, Faults) {
    let mut bytes = vec![0xa5; disk.size() as usize];
    let mut faults = Faults::new();
    for (number, piece) in bytes.chunks_mut(step).enumerate() {
        disk.read_at(piece, (number * step) as u64, &mut faults).expect("a read");
    }
    (bytes, faults)
}

fn ranges(faults: &Faults, kind: FaultKind) -> Vec<(Range<u64>, &'static str)> {
    faults.iter().filter(|fault| fault.kind == kind).map(|fault| (fault.range.clone(), fault.code)).collect()
}

#[test]
fn bad_sectors_cost_4_kib_each_and_are_waited_for_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, places) = base(folder.path());
    let _untouched = Untouched::watch([&path]);
    let lost = [40_960..45_056, 3 * MIB..3 * MIB + 8192, 8 * MIB - 4096..8 * MIB];
    // One sector of each 4 KiB is bad, in the last but one both.
    let bad = lost.iter().flat_map(|lost| {
        let file = in_file(&places, lost);
        file.step_by(4096).map(|at| at + 512..at + 1024).collect::<Vec<_>>()
    });
    let storage = FailingStorage { bad: vec![(path.clone(), bad.collect())], ..FailingStorage::default() };
    let chain = chain::open(&storage, &path, &ChainOptions::default()).expect("the image opens");
    for step in [1 << 20, 3 << 20, 4096, 10_007] {
        let before = storage.failures.load(Ordering::SeqCst);
        let (bytes, faults) = read_all(&**chain.disk(), step);
        let mut expected = content();
        for lost in &lost {
            expected[lost.start as usize..lost.end as usize].fill(0);
        }
        assert!(bytes == expected, "pieces of {step}");
        assert_eq!(ranges(&faults, FaultKind::Lost), lost.clone().map(|lost| (lost, "host-read-error")), "{step}");
        let failures = storage.failures.load(Ordering::SeqCst) - before;
        // The first time: for each of three places the whole three times, and four reads further down.
        assert!(if step == 1 << 20 { (4..40).contains(&failures) } else { failures == 0 }, "{failures} of {step}");
    }
}

#[test]
fn a_bad_header_sector_is_a_finding_and_a_bad_bat_page_costs_its_blocks() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, places) = base(folder.path());
    let open = |bad: Range<u64>| {
        let storage = FailingStorage { bad: vec![(path.clone(), vec![bad])], ..FailingStorage::default() };
        chain::open(&storage, &path, &ChainOptions::default()).expect("the image opens")
    };
    for (bad, code) in [(65_536, "header-bad"), (196_608 + 4096, "region-table-bad"), (0, "file-type-identifier-bad")] {
        let chain = open(bad..bad + 512);
        let codes: Vec<_> = chain.findings().iter().map(|finding| finding.code.as_str()).collect();
        assert_eq!(codes, [code]);
        let (bytes, faults) = read_all(&**chain.disk(), 1 << 20);
        assert!(bytes == content() && faults.is_empty(), "{code}: {faults:?}");
    }
    let chain = open(places.bat.start..places.bat.start + 512);
    let (_, faults) = read_all(&**chain.disk(), 1 << 20);
    assert_eq!(ranges(&faults, FaultKind::Lost), [(0..8 * MIB, "bat-unreadable")]);
}

/// Random chains on random bad sectors: never a wrong byte that is not told.
#[test]
fn whatever_fails_no_byte_is_wrong_in_silence() {
    for seed in 0..12 {
        let folder = tempfile::tempdir().expect("a folder");
        let forged: Chain = RandomChain { links: 3, virtual_size: 12 * MIB, ..RandomChain::new(900 + seed) }
            .write(folder.path())
            .expect("a chain is written");
        let mut rng = Rng::new(seed);
        // Payload and tables of each link; what leads to them is another test's.
        let bad = forged.files.iter().zip(&forged.places).map(|(file, places)| {
            let mut bad = Vec::new();
            for _ in 0..12 {
                let at = rng.between(MIB, places.file_size.max(MIB + 1) - 1) / 512 * 512;
                if !places.metadata.contains(&at) && !places.log.contains(&at) {
                    bad.push(at..at + rng.between(1, 40_000));
                }
            }
            bad.retain(|bad: &Range<u64>| {
                [&places.metadata, &places.log].iter().all(|part| bad.end <= part.start || bad.start >= part.end)
            });
            (file.clone(), bad)
        });
        let storage = FailingStorage { bad: bad.collect(), ..FailingStorage::default() };
        let chain = chain::open(&storage, &forged.youngest, &ChainOptions::default())
            .unwrap_or_else(|error| panic!("seed {seed}: {error}\n{}", forged.description));
        let (mut bytes, faults) = read_all(&**chain.disk(), 777_777);
        assert!(ranges(&faults, FaultKind::Doubtful).is_empty());
        let mut expected = forged.model.bytes(0, bytes.len());
        let mut lost = forged.model.lost();
        lost.extend(faults.iter().map(|fault| fault.range.clone()));
        for lost in lost {
            let lost = lost.start as usize..lost.end as usize;
            bytes[lost.clone()].fill(0);
            expected[lost].fill(0);
        }
        assert!(bytes == expected, "seed {seed}: a wrong byte\n{}", forged.description);
    }
}

/// A disk whose content is the file of an image, and which has lost the last 4 KiB of one of its blocks of 1 MiB, and all
/// of another: through a mount of it the kernel itself says that they cannot be read.
fn failing_host_file(folder: &Path, inner: &[u8], cut: u64, gone: u64) -> PathBuf {
    let mut image = Image::dynamic(inner.len() as u64);
    image.block_size = MIB as u32;
    let blocks = inner.len() as u64 / MIB;
    for block in 0..blocks {
        image.blocks.insert(block, Block::fully_present(Fill::bytes(0, inner)));
    }
    let rest = (0..blocks).filter(|block| ![cut, gone].contains(block));
    let parts = [Part::Log, Part::Metadata, Part::Bat].into_iter().chain(rest.chain([cut, gone]).map(Part::Payload));
    image.layout = Layout::Explicit(parts.collect());
    let path = folder.join("outer.vhdx");
    let places = image.write_to(&path).expect("an image is written");
    let file = File::options().write(true).open(&path).expect("the image opens");
    file.set_len(places.payload[&cut].end - 4096).expect("the image is cut");
    path
}

#[test]
fn a_host_file_that_gives_eio_costs_what_cannot_be_read() {
    if !can_mount("a_host_file_that_gives_eio_costs_what_cannot_be_read") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (path, places) = base(folder.path());
    let inner = fs::read(&path).expect("the image");
    // Two MiB of the file that hold the disk's second and sixth.
    let (cut, gone) = (in_file(&places, &(MIB..2 * MIB)), in_file(&places, &(5 * MIB..6 * MIB)));
    let outer = failing_host_file(folder.path(), &inner, cut.start / MIB, gone.start / MIB);
    let host = Mounted::new(&outer, &["--disk-only"]);
    let image = host.path("disk.raw");
    let mounted = Mounted::new(&image, &[]);
    let lost = [2 * MIB - 4096..2 * MIB, 5 * MIB..6 * MIB];
    let disk = File::open(mounted.path("disk.raw")).expect("disk.raw opens");
    let expected = content();
    let mut failed = Vec::new();
    for at in (0..8 * MIB).step_by(4096) {
        let mut page = [0; 4096];
        match disk.read_exact_at(&mut page, at) {
            Ok(()) => assert!(page == expected[at as usize..at as usize + 4096], "at {at}"),
            Err(error) => {
                assert_eq!(error.raw_os_error(), EIO);
                failed.push(at);
            }
        }
    }
    let expected: Vec<u64> = lost.iter().flat_map(|lost| lost.clone().step_by(4096)).collect();
    assert_eq!(failed, expected);
}

/// Opens a base, changes its file, and reads it after a moment.
fn read_after(change: impl FnOnce(&Path), doubt: Doubt) -> (Vec<u8>, Faults) {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, _) = base(folder.path());
    let chain = chain::open(&HostFolders, &path, &ChainOptions { doubt, ..ChainOptions::default() }).expect("it opens");
    let (bytes, faults) = read_all(&**chain.disk(), 1 << 20);
    assert!(bytes == content() && faults.is_empty());
    change(&path);
    std::thread::sleep(Duration::from_millis(1100));
    read_all(&**chain.disk(), 1 << 20)
}

#[test]
fn an_image_that_changes_while_it_is_open_is_doubtful_from_then_on() {
    let grow = |path: &Path| {
        File::options().append(true).open(path).and_then(|mut file| file.write_all(&[7; 512])).expect("it grows");
    };
    let touch = |path: &Path| {
        let file = File::options().write(true).open(path).expect("it opens");
        file.set_modified(SystemTime::now() - Duration::from_secs(1000)).expect("a time");
    };
    let changes: [&(dyn Fn(&Path) + Sync); 2] = [&grow, &touch];
    std::thread::scope(|scope| {
        for change in changes {
            scope.spawn(move || {
                let (bytes, faults) = read_after(change, Doubt::Refuse);
                assert_eq!(ranges(&faults, FaultKind::Lost), [(0..8 * MIB, "image-changed")]);
                assert!(bytes.iter().all(|byte| *byte == 0));
            });
            scope.spawn(move || {
                let (bytes, faults) = read_after(change, Doubt::Accept);
                assert_eq!(ranges(&faults, FaultKind::Doubtful), [(0..8 * MIB, "image-changed")]);
                assert!(bytes == content() && !faults.any_lost());
            });
        }
        // It shrinks: what is gone is lost, the rest doubtful.
        scope.spawn(|| {
            let shrink = |path: &Path| {
                let file = File::options().write(true).open(path).expect("it opens");
                let places = Image::fixed(8 * MIB, 2 * MIB as u32, &Fill::live(0)).places();
                file.set_len(in_file(&places, &(7 * MIB..8 * MIB)).start).expect("it shrinks");
            };
            let (bytes, faults) = read_after(shrink, Doubt::Accept);
            assert_eq!(ranges(&faults, FaultKind::Lost), [(7 * MIB..8 * MIB, "image-shrank")]);
            assert_eq!(ranges(&faults, FaultKind::Doubtful), [(0..7 * MIB, "image-changed")]);
            assert!(bytes[..7 << 20] == content()[..7 << 20]);
        });
    });
}

#[test]
fn reading_renaming_and_replacing_an_image_do_not_change_it() {
    let harmless: [&(dyn Fn(&Path) + Sync); 3] = [
        &|path| {
            let times = fs::FileTimes::new().set_accessed(SystemTime::now() + Duration::from_secs(1000));
            File::options().write(true).open(path).and_then(|file| file.set_times(times)).expect("a time");
        },
        &|path| fs::remove_file(path).expect("it is removed"),
        &|path| {
            let other = path.with_file_name("other");
            fs::write(&other, "something else").and_then(|()| fs::rename(&other, path)).expect("it is replaced");
        },
    ];
    std::thread::scope(|scope| {
        for change in harmless {
            scope.spawn(move || {
                let (bytes, faults) = read_after(change, Doubt::Refuse);
                assert!(bytes == content() && faults.is_empty(), "{faults:?}");
            });
        }
    });
}

/// What the child holds is not doubted because its parent changed.
#[test]
fn a_parent_that_changes_makes_its_own_bytes_doubtful_and_no_others() {
    let base = Image::fixed(8 * MIB, 2 * MIB as u32, &Fill::live(0));
    let mut child = Image::child_of(&base, "base.vhdx");
    child.blocks.insert(1, Block::fully_present(Fill::live(1)));
    let folder = tempfile::tempdir().expect("a folder");
    let forged = Chain::write(vec![base, child], folder.path()).expect("a chain is written");
    let chain = support::open_chain(&forged.youngest);
    read_all(&**chain.disk(), 1 << 20);
    File::options().append(true).open(&forged.files[0]).and_then(|mut file| file.write_all(b"x")).expect("it grows");
    std::thread::sleep(Duration::from_millis(1100));
    let (_, faults) = read_all(&**chain.disk(), 1 << 20);
    let expected = [(0..2 * MIB, "image-changed"), (4 * MIB..8 * MIB, "image-changed")];
    assert_eq!(ranges(&faults, FaultKind::Lost), expected);
    assert!(faults.iter().all(|fault| fault.link == Some(1)));
}

#[test]
fn a_mounted_image_that_something_writes_to_fails_and_says_so_once() {
    if !can_mount("a_mounted_image_that_something_writes_to_fails_and_says_so_once") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (path, _) = base(folder.path());
    let log = folder.path().join("log");
    let strict = Mounted::new(&path, &["--direct-io", "--log-file", log.to_str().expect("UTF-8")]);
    let accepting = Mounted::new(&path, &["--direct-io", "--accept-doubtful"]);
    let read = |mounted: &Mounted| {
        let mut page = [0; 4096];
        File::open(mounted.path("disk.raw")).and_then(|disk| disk.read_exact_at(&mut page, MIB)).map(|()| page)
    };
    let whole = read(&strict).expect("a read");
    File::options().append(true).open(&path).and_then(|mut file| file.write_all(b"x")).expect("it grows");
    let _untouched = Untouched::watch([&path]);
    wait_until("doubt", || read(&strict).is_err());
    for _ in 0..3 {
        assert_eq!(read(&strict).expect_err("doubtful").raw_os_error(), EIO);
        assert_eq!(read(&accepting).expect("it is served"), whole);
    }
    let log = fs::read_to_string(&log).expect("the log");
    assert_eq!(log.matches("something wrote to this image").count(), 1, "{log}");
    assert!(log.contains("--accept-doubtful"), "{log}");
}

#[test]
fn what_ddrescue_could_not_copy_is_lost_whatever_the_copy_holds() {
    let test = "what_ddrescue_could_not_copy_is_lost_whatever_the_copy_holds";
    if !can_mount(test) || !has(test, "ddrescue") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (path, places) = base(folder.path());
    let inner = fs::read(&path).expect("the image");
    let (cut, gone) = (in_file(&places, &(MIB..2 * MIB)), in_file(&places, &(5 * MIB..6 * MIB)));
    let outer = failing_host_file(folder.path(), &inner, cut.start / MIB, gone.start / MIB);
    let host = Mounted::new(&outer, &["--disk-only"]);
    // The name holds a `=`, as names may.
    let (copy, map) = (folder.path().join("copy=1.vhdx"), folder.path().join("copy.map"));
    expect_success(&run("ddrescue", &[&"--quiet", &host.path("disk.raw"), &copy, &map]));
    drop(host);
    assert_eq!(fs::metadata(&copy).expect("the copy").len(), inner.len() as u64);
    let _untouched = Untouched::watch([&copy]);

    let argument = format!("{}={}", copy.display(), map.display());
    let mounted = Mounted::new(&copy, &["--map", &argument]);
    let disk = File::open(mounted.path("disk.raw")).expect("disk.raw opens");
    let expected = content();
    for at in (0..8 * MIB).step_by(4096) {
        let mut page = [0; 4096];
        let read = disk.read_exact_at(&mut page, at);
        let lost = (2 * MIB - 4096..2 * MIB).contains(&at) || (5 * MIB..6 * MIB).contains(&at);
        assert_eq!(read.is_err(), lost, "at {at}");
        assert!(lost || page == expected[at as usize..at as usize + 4096], "at {at}");
    }
    let told = run(PROGRAM, &[&"info", &"--json", &"--map", &argument, &copy]);
    expect_success(&told);
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).expect("JSON");
    let finding = &told["findings"][0];
    assert_eq!(
        (&finding["code"], &finding["severity"], &finding["link"]),
        (&"not-rescued".into(), &"error".into(), &0.into())
    );
    let bytes = MIB + 4096;
    assert!(finding["text"].as_str().is_some_and(|text| text.contains(&format!("{bytes} bytes"))), "{finding}");
}

#[test]
fn a_map_reaches_structures_and_parents_and_must_belong_to_a_link() {
    let base = Image::fixed(8 * MIB, 2 * MIB as u32, &Fill::live(0));
    let child = Image::child_of(&base, "base.vhdx");
    let folder = tempfile::tempdir().expect("a folder");
    let forged = Chain::write(vec![base, child], folder.path()).expect("a chain is written");
    let (other_name, stranger) = (folder.path().join("other name"), folder.path().join("stranger.vhdx"));
    fs::hard_link(&forged.files[0], &other_name).expect("a hard link");
    fs::copy(&forged.files[0], &stranger).expect("a copy");
    let _untouched = Untouched::watch(&forged.files);
    let map = folder.path().join("map");
    let info = |image: &Path, map: &Path| {
        let argument = format!("{}={}", image.display(), map.display());
        run(PROGRAM, &[&"info", &"--json", &"--map", &argument, &forged.youngest])
    };
    // The parent under another name of it; its first header was not copied.
    fs::write(&map, "0 +\n0 65536 +\n65536 4096 -\n69632 0x40000000 +\n").expect("a map");
    let told = info(&other_name, &map);
    expect_success(&told);
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).expect("JSON");
    let findings = told["findings"].as_array().expect("findings");
    let codes: Vec<_> = findings.iter().map(|finding| (&finding["code"], &finding["link"])).collect();
    let expected = ["not-rescued", "header-bad"].map(|code| (serde_json::json!(code), serde_json::json!(1)));
    assert_eq!(codes, expected.each_ref().map(|(code, link)| (code, link)));

    fs::write(folder.path().join("no map"), "vhdxfile").expect("a file");
    let cases: [(&Path, &Path, i32, &str); 4] = [
        (&stranger, &map, 2, "no link of the chain"),
        (&folder.path().join("none"), &map, 2, "there is no image"),
        (&other_name, &folder.path().join("none"), 1, "none"),
        (&other_name, &folder.path().join("no map"), 1, "line 1"),
    ];
    for (image, map, code, word) in cases {
        let output = info(image, map);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(word), "{word}: {stderr}");
    }
    let output = run(PROGRAM, &[&"info", &"--map", &"nothing", &forged.youngest]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn with_lost_zero_a_reader_gets_zeros_and_is_told() {
    if !can_mount("with_lost_zero_a_reader_gets_zeros_and_is_told") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (path, places) = base(folder.path());
    let lost = 3 * MIB + 512..3 * MIB + 1536;
    let file = in_file(&places, &lost);
    let map = folder.path().join("map");
    fs::write(&map, format!("0 +\n0 {} +\n{} 1024 -\n{} 0x40000000 +\n", file.start, file.start, file.end))
        .expect("a map");
    let argument = format!("{}={}", path.display(), map.display());
    let report = |mounted: &Mounted| -> serde_json::Value {
        serde_json::from_slice(&fs::read(mounted.path("report.json")).expect("the report")).expect("JSON")
    };
    let strict = Mounted::new(&path, &["--map", &argument]);
    assert_eq!(fs::read(strict.path("disk.raw")).expect_err("lost bytes").raw_os_error(), EIO);
    assert_eq!(report(&strict)["lost_reads"], "errors");

    let _untouched = Untouched::watch([&path]);
    let target = folder.path().join("m");
    fs::create_dir(&target).expect("a mount point");
    let output = run(PROGRAM, &[&path, &target, &"--map", &argument, &"--lost", &"zero"]);
    expect_success(&output);
    let _unmount = Unmount(target.clone());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("[lost-as-zeros]"), "{stderr}");
    let mut expected = content();
    expected[lost.start as usize..lost.end as usize].fill(0);
    let mut disk = File::open(target.join("disk.raw")).expect("disk.raw opens");
    let mut bytes = Vec::new();
    disk.read_to_end(&mut bytes).expect("all of it is read");
    assert!(bytes == expected, "zeros where bytes are lost, and nowhere else");
    disk.seek(SeekFrom::Start(lost.start - 100)).expect("a seek");
    disk.read_exact(&mut [0; 4096]).expect("a read across the place");
    let told = fs::read(target.join("report.json")).expect("the report");
    let told: serde_json::Value = serde_json::from_slice(&told).expect("JSON");
    assert_eq!(told["lost_reads"], "zeros");
    let findings = told["findings"].as_array().expect("findings");
    assert!(findings.iter().any(|finding| finding["code"] == "lost-as-zeros" && finding["severity"] == "warning"));
}

/// A mount, taken down when dropped.
struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        run("umount", &[&"--lazy", &"--quiet", &self.0]);
    }
}

/// Readers of good places do not wait for one that is stuck on a bad one.
#[test]
fn a_stuck_read_keeps_no_other_reader_waiting() {
    use std::sync::mpsc;

    struct Stuck {
        image: Arc<dyn ReadAt>,
        at: Range<u64>,
        gate: Mutex<mpsc::Receiver<()>>,
        entered: mpsc::Sender<()>,
    }
    impl ReadAt for Stuck {
        fn size(&self) -> u64 {
            self.image.size()
        }
        fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
            if offset < self.at.end && self.at.start < offset + buf.len() as u64 {
                let _ = self.entered.send(());
                let _ = self.gate.lock().expect("the gate").recv();
                return Err(Error::new(ErrorKind::Io, "bad sector"));
            }
            self.image.read_at(buf, offset, faults)
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (path, places) = base(folder.path());
    let (release, gate) = mpsc::channel();
    let (entered, has_entered) = mpsc::channel();
    let image = HostFolders.open_named(&path).expect("it opens").image;
    let stuck = Stuck { image, at: in_file(&places, &(MIB..MIB + 4096)), gate: Mutex::new(gate), entered };
    let image: Arc<dyn ReadAt> = Arc::new(Isolating::new(stuck));
    let container = vhdx_mount::format::open(image, Default::default()).expect("it opens");
    let links = vec![chain::DiskLink::proven(container.layer)];
    let disk = chain::Disk::new(links, Doubt::Refuse, None).expect("a disk");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let mut faults = Faults::new();
            disk.read_at(&mut [0; 4096], MIB, &mut faults).expect("a read");
            faults
        });
        has_entered.recv().expect("the reader is stuck");
        let (before, behind) =
            (support::read_proven(&disk, 0, 1 << 20), support::read_proven(&disk, MIB + 4096, 1 << 20));
        assert!(before == content()[..1 << 20] && behind == content()[(1 << 20) + 4096..(2 << 20) + 4096]);
        drop(release);
        let faults = waiting.join().expect("the stuck reader");
        assert_eq!(ranges(&faults, FaultKind::Lost), [(MIB..MIB + 4096, "host-read-error")]);
    });
}
