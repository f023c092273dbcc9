//! Bytes that the storage does not give, now or ever. What is made without them does not hold for good: they may be had later.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// What was made without lost bytes holds for so many times as long as it took to make: to make it again costs next to nothing
/// beside that.
const WORTH: u32 = 64;
/// But no longer than this: so long storage is left alone that was too slow to fail.
const REST: Duration = Duration::from_secs(60);
/// Unless it took so long that to make it each time would take more than the sixteenth part of all time.
const LEAST_WORTH: u32 = 16;

/// How often lost bytes were met in a volume.
#[derive(Debug, Clone, Default)]
pub(super) struct Losses(Arc<AtomicU64>);

impl Losses {
    /// Some bytes were lost, or something was used that was made without them.
    pub(super) fn meet(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// To be asked before something is made of what is read.
    pub(super) fn watch(&self) -> Watch<'_> {
        Watch { losses: self, met: self.0.load(Ordering::Relaxed), began: Instant::now() }
    }
}

/// Whether lost bytes were met since something began. Those that others met at the same time count, too.
pub(super) struct Watch<'a> {
    losses: &'a Losses,
    met: u64,
    began: Instant,
}

impl Watch<'_> {
    /// For how long what was made meanwhile holds.
    pub(super) fn holds(&self) -> Holds {
        if self.losses.0.load(Ordering::Relaxed) == self.met {
            return Holds::ForGood;
        }
        let now = Instant::now();
        let took = now.saturating_duration_since(self.began);
        let rest = took.saturating_mul(WORTH).min(REST).max(took.saturating_mul(LEAST_WORTH));
        now.checked_add(rest).map_or(Holds::ForGood, Holds::Until)
    }
}

/// For how long something that was made of what was read holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Holds {
    /// All that it depends on was read.
    ForGood,
    /// Some of it was lost: till then it is not tried again.
    Until(Instant),
}

impl Holds {
    /// Whether it still holds. Whoever makes something of what does not hold for good has met its losses.
    pub(super) fn still(self, losses: &Losses) -> bool {
        match self {
            Holds::ForGood => true,
            Holds::Until(end) if Instant::now() < end => {
                losses.meet();
                true
            }
            Holds::Until(_) => false,
        }
    }
}

/// What is made of a whole volume when it is first wanted, and again when it does not hold any more.
#[derive(Debug)]
pub(super) struct Remade<T> {
    /// Nothing is locked while there is nothing.
    is_made: AtomicBool,
    held: Mutex<Option<(Arc<T>, Holds)>>,
    /// Whose turn it is to make it; others wait for that.
    turn: Mutex<()>,
    maker: Mutex<Option<ThreadId>>,
}

impl<T> Default for Remade<T> {
    fn default() -> Self {
        Remade {
            is_made: AtomicBool::new(false),
            held: Mutex::default(),
            turn: Mutex::default(),
            maker: Mutex::default(),
        }
    }
}

impl<T> Remade<T> {
    /// What was made, whether it holds or not.
    fn last(&self) -> Option<(Arc<T>, Holds)> {
        lock(&self.held).clone()
    }

    /// Whether it was made.
    pub(super) fn is_made(&self) -> bool {
        self.is_made.load(Ordering::Acquire)
    }

    fn still(&self, losses: &Losses) -> Option<Arc<T>> {
        self.last().filter(|(_, holds)| holds.still(losses)).map(|(made, _)| made)
    }

    /// What was made, or what `make` makes, while others wait; who has an old one takes that and does not wait. `None` for
    /// `make` itself, which would wait for itself.
    pub(super) fn get(&self, losses: &Losses, make: impl FnOnce() -> T) -> Option<Arc<T>> {
        if let Some(made) = self.still(losses) {
            return Some(made);
        }
        let old = || {
            losses.meet();
            self.last().map(|(made, _)| made)
        };
        if *lock(&self.maker) == Some(std::thread::current().id()) {
            return old();
        }
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::WouldBlock) if self.is_made() => return old(),
            Err(_) => lock(&self.turn),
        };
        if let Some(made) = self.still(losses) {
            return Some(made);
        }
        let _maker = Maker::of(&self.maker);
        let watch = losses.watch();
        let made = Arc::new(make());
        let holds = watch.holds();
        *lock(&self.held) = Some((Arc::clone(&made), holds));
        self.is_made.store(true, Ordering::Release);
        holds.still(losses);
        Some(made)
    }
}

/// The thread that makes something, till this is dropped.
struct Maker<'a>(&'a Mutex<Option<ThreadId>>);

impl<'a> Maker<'a> {
    fn of(maker: &'a Mutex<Option<ThreadId>>) -> Self {
        *lock(maker) = Some(std::thread::current().id());
        Maker(maker)
    }
}

impl Drop for Maker<'_> {
    fn drop(&mut self) {
        *lock(self.0) = None;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_without_lost_bytes_is_made_again() {
        let losses = Losses::default();
        let remade = Remade::default();
        let lossy = |number| {
            losses.meet();
            number
        };
        assert!(!remade.is_made());
        assert_eq!(remade.get(&losses, || lossy(1)).as_deref(), Some(&1));
        let began = Instant::now();
        let mut number = 1;
        while number == 1 && began.elapsed() < Duration::from_secs(30) {
            let watch = losses.watch();
            number = remade.get(&losses, || 2).map_or(0, |number| *number);
            // Who uses what does not hold for good has met the losses.
            assert_eq!(matches!(watch.holds(), Holds::Until(_)), number == 1);
        }
        assert_eq!(number, 2);
        assert_eq!(remade.get(&losses, || 3).as_deref(), Some(&2));
    }

    #[test]
    fn who_makes_it_does_not_wait_for_itself() {
        let (losses, remade) = (Losses::default(), Remade::default());
        let made = remade.get(&losses, || remade.get(&losses, || 1).map_or(2, |inner| *inner));
        assert_eq!(made.as_deref(), Some(&2));
    }

    #[test]
    fn it_holds_for_as_long_as_it_was_worth() {
        let losses = Losses::default();
        let rest_after = |took: Duration| {
            let watch = Watch { losses: &losses, met: 0, began: Instant::now().checked_sub(took).unwrap() };
            losses.meet();
            match watch.holds() {
                Holds::ForGood => Duration::MAX,
                Holds::Until(end) => end - Instant::now(),
            }
        };
        let near = |rest: Duration, seconds: u64| rest.as_secs().abs_diff(seconds) < 2;
        assert!(near(rest_after(Duration::from_millis(500)), 32));
        assert!(near(rest_after(Duration::from_secs(2)), 60));
        assert!(near(rest_after(Duration::from_secs(10)), 160));
        assert!(matches!(Losses::default().watch().holds(), Holds::ForGood));
    }
}
