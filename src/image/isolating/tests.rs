use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use super::*;
use crate::error::ErrorKind;

/// Bytes of 1 that fail wherever a read touches a bad range; every read is counted.
#[derive(Default)]
struct Failing {
    bad: Mutex<Vec<Range<u64>>>,
    /// So many reads fail, whatever they touch, before any succeeds.
    transient: AtomicUsize,
    /// The host's error; one of the storage unless told otherwise.
    error: Option<io::ErrorKind>,
    /// How long a failure takes.
    delay: Duration,
    reads: Mutex<Vec<Range<u64>>>,
}

const SIZE: u64 = 8 << 20;
const MIB: usize = 1 << 20;

impl Failing {
    fn at(bad: impl IntoIterator<Item = Range<u64>>) -> Arc<Self> {
        Arc::new(Failing { bad: Mutex::new(bad.into_iter().collect()), ..Failing::default() })
    }

    /// The reads since this was last asked.
    fn reads(&self) -> Vec<Range<u64>> {
        std::mem::take(&mut self.reads.lock().unwrap())
    }
}

impl ReadAt for Failing {
    fn size(&self) -> u64 {
        SIZE
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, _: &mut Faults) -> Result<()> {
        let end = offset + buf.len() as u64;
        self.reads.lock().unwrap().push(offset..end);
        let transient = self.transient.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let bad = self.bad.lock().unwrap().iter().any(|bad| bad.start < end && offset < bad.end);
        // What a failed read leaves in the buffer is nobody's.
        buf.fill(0xee);
        if transient.is_ok() || bad {
            std::thread::sleep(self.delay);
            let cause = self.error.map_or_else(|| io::Error::other("bad sector"), io::Error::from);
            return Err(Error::io("bad sector", cause));
        }
        buf.fill(1);
        Ok(())
    }
}

/// No pauses to speak of, and nothing is slow.
fn hasty() -> Patience {
    Patience { pauses: [Duration::from_millis(1); 2], slow: Duration::from_secs(3600), ..Patience::default() }
}

/// Reads, and holds the bytes against what was said to be lost; gives the lost ranges by code.
fn read(image: &impl ReadAt, offset: u64, len: usize) -> BTreeMap<&'static str, Vec<Range<u64>>> {
    let mut buf = vec![0xff; len];
    let mut faults = Faults::new();
    image.read_at(&mut buf, offset, &mut faults).unwrap();
    for (at, byte) in (offset..).zip(&buf) {
        let lost = faults.iter().filter(|fault| fault.range.contains(&at)).count();
        assert!(lost <= 1, "{at} is told {lost} times");
        assert_eq!(usize::from(*byte), 1 - lost, "at {at}");
    }
    let mut lost: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for fault in &faults {
        assert_eq!(fault.kind, crate::FaultKind::Lost);
        lost.entry(fault.code).or_default().push(fault.range.clone());
    }
    lost
}

fn only(code: &'static str, ranges: &[Range<u64>]) -> BTreeMap<&'static str, Vec<Range<u64>>> {
    BTreeMap::from([(code, ranges.to_vec())])
}

#[test]
fn whole_storage_is_read_in_one_call() {
    let inner = Failing::at([]);
    let image = Isolating::new(Arc::clone(&inner));
    assert!(read(&image, 1000, MIB).is_empty());
    assert_eq!(inner.reads(), [1000..1000 + MIB as u64]);
}

#[test]
fn one_bad_sector_costs_its_4_kib_and_few_calls() {
    let inner = Failing::at([500_000..500_001]);
    let image = Isolating::with_patience(Arc::clone(&inner), hasty());
    assert_eq!(read(&image, 0, MIB), only("host-read-error", &[499_712..503_808]));
    let calls = inner.reads().len();
    // Three tries of the whole; 256, 64, 16, 4 KiB in four parts each.
    assert_eq!(calls, 3 + 16);
    // Later reads go around it.
    assert_eq!(read(&image, 0, MIB), only("host-read-error", &[499_712..503_808]));
    assert_eq!(inner.reads(), [0..499_712, 503_808..MIB as u64]);
    assert_eq!(read(&image, 500_500, 100), only("host-read-error", &[500_500..500_600]));
    assert_eq!(inner.reads(), []);
}

#[test]
fn a_dead_mib_costs_340_calls_once() {
    let inner = Failing::at([0..MIB as u64]);
    let image = Isolating::with_patience(Arc::clone(&inner), hasty());
    assert_eq!(read(&image, 0, MIB), only("host-read-error", &[0..MIB as u64]));
    assert_eq!(inner.reads().len(), 3 + 4 + 16 + 64 + 256);
    assert_eq!(read(&image, 0, MIB), only("host-read-error", &[0..MIB as u64]));
    assert_eq!(inner.reads().len(), 0);
}

#[test]
fn reads_of_any_place_and_length_lose_whole_pieces_only() {
    let bad = [8_000..8_001, 40_960..49_152, 1_000_000..1_000_001];
    let inner = Failing::at(bad.clone());
    let pieces = [4096..8192, 40_960..49_152, 999_424..1_003_520];
    let mut seed = 1u64;
    for _ in 0..300 {
        let image = Isolating::with_patience(Arc::clone(&inner), hasty());
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (offset, len) = ((seed >> 40) % 60_000, (seed >> 20) as usize % 70_000);
        let end = offset + len as u64;
        let mut expected: Vec<_> = pieces.iter().map(|piece| piece.start.max(offset)..piece.end.min(end)).collect();
        // A piece of which only good sectors are asked for is not lost.
        expected.retain(|part| bad.iter().any(|bad| bad.start < part.end && part.start < bad.end));
        expected.retain(|part| !part.is_empty());
        let lost = read(&image, offset, len);
        assert_eq!(lost.get("host-read-error").cloned().unwrap_or_default(), expected, "{offset}+{len}");
    }
}

#[test]
fn what_fails_for_a_moment_is_read_at_the_next_try() {
    for (failures, calls) in [(1, 2), (2, 3)] {
        let inner = Failing::at([]);
        inner.transient.store(failures, Ordering::SeqCst);
        let image = Isolating::with_patience(Arc::clone(&inner), hasty());
        assert!(read(&image, 0, MIB).is_empty());
        assert_eq!(inner.reads().len(), calls);
    }
}

#[test]
fn a_server_that_does_not_answer_is_no_bad_place() {
    let inner = Arc::new(Failing {
        bad: Mutex::new(vec![0..SIZE]),
        error: Some(io::ErrorKind::TimedOut),
        ..Failing::default()
    });
    let image = Isolating::with_patience(Arc::clone(&inner), hasty());
    assert_eq!(read(&image, 0, MIB), only("host-read-error", &[0..MIB as u64]));
    assert_eq!(inner.reads().len(), 3);
    // It answers again.
    inner.bad.lock().unwrap().clear();
    assert!(read(&image, 0, MIB).is_empty());
}

/// A place fails, and then the server goes: each try would wait for it anew.
#[test]
fn a_server_that_goes_while_a_place_is_isolated_is_waited_for_once() {
    struct Going(Failing);
    impl ReadAt for Going {
        fn size(&self) -> u64 {
            SIZE
        }
        fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
            let failed = self.0.read_at(buf, offset, faults);
            if buf.len() == MIB {
                return failed;
            }
            std::thread::sleep(Duration::from_millis(50));
            Err(Error::io("no answer", io::ErrorKind::TimedOut.into()))
        }
    }
    let inner = Arc::new(Going(Failing { bad: Mutex::new(vec![0..SIZE]), ..Failing::default() }));
    let patience = Patience { limit: Duration::from_millis(50), ..hasty() };
    let image = Isolating::with_patience(Arc::clone(&inner), patience);
    let lost = read(&image, 0, MIB);
    assert_eq!(lost["host-read-error"], [0..MIB as u64 / 4]);
    assert_eq!(lost["host-read-skipped"], [MIB as u64 / 4..MIB as u64]);
    assert_eq!(inner.0.reads().len(), 3 + 1);
}

#[test]
fn storage_that_fails_slowly_is_asked_for_single_pieces_and_not_for_ever() {
    let delay = Duration::from_millis(20);
    let inner = Arc::new(Failing { bad: Mutex::new(vec![8192..81_920]), delay, ..Failing::default() });
    let patience = Patience {
        pauses: [Duration::from_secs(3600); 2],
        slow: delay,
        limit: delay * 3,
        rest: Duration::from_millis(300),
    };
    let image = Isolating::with_patience(Arc::clone(&inner), patience);
    let began = Instant::now();
    let lost = read(&image, 0, MIB);
    let first_read = began.elapsed();
    // The whole and two pieces; a pause of an hour was not made. A busy machine may fit in fewer.
    assert!(first_read < Duration::from_secs(60));
    let bad = lost["host-read-error"].clone();
    assert!(bad.len() == 1 && bad[0].start == 8192 && bad[0].end <= 16_384, "{bad:?}");
    assert_eq!(lost["host-read-skipped"], [bad[0].end..MIB as u64]);
    let reads = inner.reads();
    assert!(reads.len() <= 5 && reads[1..].iter().all(|read| read.end - read.start == 4096), "{reads:?}");
    // Nobody waits for it twice (a very busy machine may have slept the time away) …
    let lost = read(&image, 20_480, 4096);
    if began.elapsed() < patience.rest {
        assert_eq!(lost, only("host-read-skipped", &[20_480..24_576]));
    }
    // … but asking again later leads on, piece by piece, to the good end.
    inner.reads();
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(310));
        let lost = read(&image, 0, MIB);
        if !lost.contains_key("host-read-skipped") {
            assert_eq!(lost, only("host-read-error", &[8192..81_920]));
            return;
        }
    }
    panic!("it does not come to an end");
}

/// A read of a good place is served while another waits for a bad one.
#[test]
fn a_slow_read_keeps_nobody_waiting() {
    struct Gate {
        stuck: Mutex<mpsc::Receiver<()>>,
        began: mpsc::SyncSender<()>,
    }
    impl ReadAt for Gate {
        fn size(&self) -> u64 {
            SIZE
        }
        fn read_at(&self, buf: &mut [u8], offset: u64, _: &mut Faults) -> Result<()> {
            if offset == 0 {
                let _ = self.began.try_send(());
                let _ = self.stuck.lock().unwrap().recv();
                return Err(Error::new(ErrorKind::Io, "bad sector"));
            }
            buf.fill(1);
            Ok(())
        }
    }
    let (release, stuck) = mpsc::channel();
    let (began, has_begun) = mpsc::sync_channel(1);
    let image = Isolating::with_patience(Gate { stuck: Mutex::new(stuck), began }, hasty());
    image.places.bad(4096..8192);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| read(&image, 0, 4096));
        has_begun.recv().unwrap();
        assert!(read(&image, 8192, MIB).is_empty());
        assert_eq!(read(&image, 4096, 8192), only("host-read-error", &[4096..8192]));
        drop(release);
        assert_eq!(slow.join().unwrap(), only("host-read-error", &[0..4096]));
    });
}

#[test]
fn storage_that_costs_seconds_is_told_once() {
    let storage = Failing::at([0..4096, 8192..12_288]);
    let patience = Patience { pauses: [Duration::from_millis(LONG / 2 + 1); 2], ..Patience::default() };
    let isolating = Isolating::with_patience(storage, patience);
    let told = || isolating.waited.load(Ordering::Relaxed) >= TOLD;
    let read = |offset| isolating.read_at(&mut [0; 512], offset, &mut Faults::new());
    read(4096).expect("a good place");
    assert!(!told());
    read(0).expect("a bad place, after two pauses");
    assert!(told());
    let waited = isolating.waited.load(Ordering::Relaxed);
    read(0).expect("a bad place that is remembered");
    assert_eq!(isolating.waited.load(Ordering::Relaxed), waited);
}
