use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use super::*;

/// Zeros that can be looked at; looks are counted.
struct Seen {
    now: Mutex<Observed>,
    looks: AtomicUsize,
    faults: Faults,
}

const FIRST: Observed = Observed { size: 100_000, modified: Some(SystemTime::UNIX_EPOCH) };

impl Seen {
    fn new() -> Self {
        Seen { now: Mutex::new(FIRST), looks: AtomicUsize::new(0), faults: Faults::new() }
    }
}

impl Observe for Seen {
    fn observe(&self) -> Option<Observed> {
        self.looks.fetch_add(1, Ordering::SeqCst);
        Some(*self.now.lock().unwrap())
    }
}

impl ReadAt for Seen {
    fn size(&self) -> u64 {
        100_000
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        buf.fill(0);
        let end = offset + buf.len() as u64;
        for fault in self.faults.iter().filter(|fault| fault.range.start < end && offset < fault.range.end) {
            faults.push(fault.clone());
        }
        Ok(())
    }
}

fn read<R: ReadAt + Observe>(
    watched: &Watched<R>,
    offset: u64,
    len: usize,
) -> Vec<(Range<u64>, FaultKind, &'static str)> {
    let mut faults = Faults::new();
    watched.read_at(&mut vec![1; len], offset, &mut faults).unwrap();
    faults.iter().map(|fault| (fault.range.clone(), fault.kind, fault.code)).collect()
}

#[test]
fn what_changes_is_doubtful_from_then_on_and_for_ever() {
    let later = Some(SystemTime::UNIX_EPOCH + Duration::from_micros(1));
    for change in
        [Observed { modified: later, ..FIRST }, Observed { size: 100_001, ..FIRST }, Observed { size: 5, ..FIRST }]
    {
        let watched = Watched::with_interval(Seen::new(), "image", Some(FIRST), Duration::ZERO);
        assert_eq!(read(&watched, 10, 20), []);
        *watched.inner.now.lock().unwrap() = change;
        let doubtful = (10..30, FaultKind::Doubtful, "image-changed");
        assert_eq!(read(&watched, 10, 20), std::slice::from_ref(&doubtful), "{change:?}");
        *watched.inner.now.lock().unwrap() = FIRST;
        assert_eq!(read(&watched, 10, 20), [doubtful], "{change:?}");
        assert_eq!(watched.inner.looks.load(Ordering::SeqCst), 2, "once it has changed nobody looks");
    }
}

#[test]
fn nobody_looks_more_often_than_once_a_second() {
    let watched = Watched::new(Seen::new(), "image", Some(FIRST));
    let began = Instant::now();
    for _ in 0..1000 {
        assert_eq!(read(&watched, 10, 20), []);
    }
    let seconds = began.elapsed().as_secs() as usize;
    assert!(watched.inner.looks.load(Ordering::SeqCst) <= seconds + 1);
}

#[test]
fn what_cannot_be_looked_at_is_not_watched() {
    let watched = Watched::with_interval(Seen::new(), "device", None, Duration::ZERO);
    watched.inner.now.lock().unwrap().size = 1;
    assert_eq!(read(&watched, 10, 20), []);
}

#[test]
fn what_was_cut_off_is_lost_and_the_rest_doubtful_without_waiting_for_a_look() {
    let mut seen = Seen::new();
    seen.faults.lost(40..50, Code::ImageShrank.as_str());
    let watched = Watched::new(seen, "image", Some(FIRST));
    let expected = [
        (40..50, FaultKind::Lost, "image-shrank"),
        (30..40, FaultKind::Doubtful, "image-changed"),
        (50..60, FaultKind::Doubtful, "image-changed"),
    ];
    assert_eq!(read(&watched, 30, 30), expected);
    assert_eq!(read(&watched, 0, 10), [(0..10, FaultKind::Doubtful, "image-changed")]);
}
