//! Files that wait for a thread.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Items that wait at most. Each may hold a folder of the host open.
const MOST: usize = 256;

/// An idle thread is woken for so many items, lest it sleeps and wakes for each of many small files.
const HANDFUL: usize = 8;

/// After this long an idle thread looks for itself: fewer items may be all that there is to do for a while.
const LOOK: Duration = Duration::from_millis(5);

/// A queue between one that finds work and several that do it.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    /// There is work, or there will be no more.
    filled: Condvar,
    /// There is room.
    emptied: Condvar,
    /// How many do the work.
    threads: usize,
}

struct State<T> {
    waiting: VecDeque<T>,
    closed: bool,
    idle: usize,
}

impl<T> Queue<T> {
    /// An empty queue for as many threads.
    pub(super) fn new(threads: usize) -> Self {
        let state = State { waiting: VecDeque::new(), closed: false, idle: 0 };
        Queue { state: Mutex::new(state), filled: Condvar::new(), emptied: Condvar::new(), threads: threads.max(1) }
    }

    /// Adds an item; waits where there is no room.
    pub(super) fn put(&self, item: T) {
        let full = |state: &mut State<T>| state.waiting.len() >= MOST;
        let mut state = self.emptied.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
        state.waiting.push_back(item);
        let wakes = state.idle > 0 && state.waiting.len() >= HANDFUL;
        drop(state);
        if wakes {
            self.filled.notify_one();
        }
    }

    /// The next items, in order: a share of what waits, so that all threads come to the end together. `None` when the queue
    /// is closed and empty.
    pub(super) fn take(&self) -> Option<Vec<T>> {
        let mut state = self.lock();
        while state.waiting.is_empty() {
            if state.closed {
                return None;
            }
            state.idle = state.idle.saturating_add(1);
            state = self.filled.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            state.idle = state.idle.saturating_sub(1);
        }
        let was = state.waiting.len();
        let share = was.checked_div(self.threads.saturating_mul(2)).unwrap_or(0).clamp(1, was);
        let items: Vec<T> = state.waiting.drain(..share).collect();
        let left = state.waiting.len();
        drop(state);
        // Not for each item: the one that finds work would sleep and wake for each.
        if left < MOST / 2 {
            self.emptied.notify_one();
        }
        Some(items)
    }

    /// Nothing more will be put in.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_taken_once_by_however_many_threads() {
        for threads in [1, 2, 7] {
            let queue = Queue::new(threads);
            let taken = Mutex::new(Vec::new());
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        while let Some(items) = queue.take() {
                            taken.lock().unwrap().extend(items);
                        }
                    });
                }
                (0..3 * MOST).for_each(|number| queue.put(number));
                queue.close();
            });
            let mut taken = taken.into_inner().unwrap();
            taken.sort_unstable();
            assert!(taken.into_iter().eq(0..3 * MOST), "{threads} threads");
        }
    }

    #[test]
    fn one_item_alone_is_taken_before_the_end() {
        let queue = Queue::new(4);
        std::thread::scope(|scope| {
            let taker = scope.spawn(|| queue.take());
            queue.put('a');
            assert_eq!(taker.join().unwrap(), Some(vec!['a']));
        });
        queue.close();
        assert_eq!(queue.take(), None);
    }
}
