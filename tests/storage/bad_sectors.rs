//! What the host cannot read.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use fixtures::chain::{Chain, RandomChain};
use fixtures::fill::Fill;
use fixtures::random::Rng;
use fixtures::vhdx::{Block, Image, MIB};
use vhdx_mount::chain::{self, ChainOptions, Doubt};
use vhdx_mount::image::{HostFolders, ImageStore, Isolating, ReadAt};
use vhdx_mount::{Error, ErrorKind, FaultKind, Faults, Result};

use crate::failing::FailingStorage;
use crate::support::program::{Mounted, can_mount, expect_success, run, wait_until};
use crate::support::{self, Untouched};
use crate::{EIO, base, content, disk_of, failing_host_file, in_file, ranges, read_all};

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
    // Behind the last entry of the metadata table nothing stands.
    let table = places.metadata.start;
    for bad in [table + 4096..table + 8192, table + 4096..table + (64 << 10)] {
        let chain = open(bad);
        assert_eq!(chain.findings(), []);
        let (bytes, faults) = read_all(&**chain.disk(), 1 << 20);
        assert!(bytes == content() && faults.is_empty(), "{faults:?}");
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

/// Readers of good places do not wait for one that is stuck on a bad one.
#[test]
fn a_stuck_read_keeps_no_other_reader_waiting() {
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

/// The same through a mount: the base lies on a file system whose server has stopped, the child does not.
#[test]
fn readers_stuck_on_one_image_leave_others_to_the_rest() {
    let test = "readers_stuck_on_one_image_leave_others_to_the_rest";
    if !can_mount(test) {
        return;
    }
    let base = Image::fixed(8 * MIB, 2 * MIB as u32, &Fill::live(0));
    let mut child = Image::child_of(&base, "disk.raw");
    child.blocks.insert(3, Block::fully_present(Fill::live(1)));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("child.avhdx");
    child.write_to(&path).expect("an image is written");
    let outer = folder.path().join("outer.vhdx");
    disk_of(&base.to_vec()).write_to(&outer).expect("an image is written");
    let host = Mounted::new(&outer, &["--disk-only", "--direct-io"]);
    let parent = host.path("disk.raw");
    let mounted = Mounted::new(&path, &["--direct-io", "--parent", parent.to_str().expect("UTF-8")]);

    let disk = File::open(mounted.path("disk.raw")).expect("disk.raw opens");
    // So that the map of the disk is known before the server stops.
    disk.read_exact_at(&mut [0; 512], 0).expect("a read");
    disk.read_exact_at(&mut [0; 512], 6 * MIB).expect("a read");
    let server = host.server().to_string();
    expect_success(&run("kill", &[&"-STOP", &server]));
    wait_until("the stop of all of the server's threads", || {
        let threads = fs::read_dir(format!("/proc/{server}/task")).expect("the threads").flatten();
        let stopped = |stat: &str| stat.rsplit(')').next().is_some_and(|fields| fields.starts_with(" T"));
        threads
            .map(|thread| fs::read_to_string(thread.path().join("stat")))
            .all(|stat| stat.is_ok_and(|stat| stopped(&stat)))
    });
    std::thread::scope(|scope| {
        let read = |at: u64| disk.read_exact_at(&mut [0; 4096], at);
        let stuck: Vec<_> = (1..5).map(|reader| scope.spawn(move || read(reader * 65_536))).collect();
        let (tell, told) = mpsc::channel();
        scope.spawn(move || (0..50).try_for_each(|page| tell.send(read(6 * MIB + page * 4096))));
        let served = (0..50).all(|_| matches!(told.recv_timeout(Duration::from_secs(20)), Ok(Ok(()))));
        let waiting = stuck.iter().all(|reader| !reader.is_finished());
        expect_success(&run("kill", &[&"-CONT", &server]));
        assert!(served, "the child's bytes are served meanwhile");
        assert!(waiting, "the base's bytes were not to be had");
        stuck.into_iter().for_each(|reader| reader.join().expect("a reader").expect("the server goes on"));
    });
}

#[test]
fn an_image_of_which_nothing_can_be_read_is_not_called_no_image() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = Image::fixed(8 * MIB, 2 * MIB as u32, &Fill::live(0));
    let child = Image::child_of(&base, "base.vhdx");
    let forged = Chain::write(vec![base, child], folder.path()).expect("a chain is written");
    let _untouched = Untouched::watch(&forged.files);
    let bad = vec![(forged.files[0].clone(), vec![0..64 << 20])];
    let storage = FailingStorage { bad, ..FailingStorage::default() };
    let error = chain::open(&storage, &forged.files[0], &ChainOptions::default()).err().expect("nothing can be read");
    assert_eq!(error.kind(), ErrorKind::Io, "{error}");
    assert!(
        error.message().contains("host-read-error") && error.advice().is_some_and(|text| text.contains("ddrescue"))
    );
    let failures = storage.failures.load(Ordering::SeqCst);
    assert!(failures < 60, "each costs a pause: {failures}");
    let error = chain::open(&storage, &forged.youngest, &ChainOptions::default()).err().expect("a refusal");
    let told = format!("{:?} {:?}", error.details(), error.advice());
    assert!(told.contains("host-read-error") && told.contains("ddrescue") && !told.contains("no images"), "{told}");
}
