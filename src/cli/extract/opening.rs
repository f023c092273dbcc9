//! Opening a chain while somebody may ask for the end.

use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// How often it is looked whether the end was asked for.
const LOOK: Duration = Duration::from_millis(50);

/// Opens in a thread of its own, and does not wait for it when `stop` is set: storage may take minutes to fail. `None` then; the
/// thread ends with the program. For what writes nothing.
pub(super) fn unless_stopped<T: Send + 'static>(
    stop: &AtomicBool,
    open: impl FnOnce() -> T + Clone + Send + 'static,
) -> Option<T> {
    let (tell, told) = mpsc::channel();
    let beside = open.clone();
    let work = move || {
        // Nobody listens any more when it was not waited for.
        let _ = tell.send(beside());
    };
    let Ok(thread) = thread::Builder::new().name("open".to_owned()).spawn(work) else {
        // The host gives no more threads.
        return Some(open());
    };
    while !stop.load(Ordering::Relaxed) {
        match told.recv_timeout(LOOK) {
            Ok(opened) => return Some(opened),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => match thread.join() {
                Ok(()) => return None,
                Err(why) => panic::resume_unwind(why),
            },
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;

    #[test]
    fn nobody_waits_for_what_takes_long_once_the_end_was_asked_for() {
        let stop = Arc::new(AtomicBool::new(false));
        assert_eq!(unless_stopped(&stop, || 7), Some(7));
        let asked = Arc::clone(&stop);
        let began = Instant::now();
        let opened = unless_stopped(&stop, move || {
            asked.store(true, Ordering::Relaxed);
            thread::sleep(Duration::from_secs(60));
        });
        assert_eq!(opened, None);
        assert!(began.elapsed() < Duration::from_secs(5));
    }
}
