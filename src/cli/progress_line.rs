//! One line on a terminal that tells how far a check has come, written over and over.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use vhdx_mount::check::{Phase, Progress};

use super::args::Verbosity;
use super::units::size;

/// How often the line is written.
const EVERY: Duration = Duration::from_millis(250);

/// Does `work` and shows its progress meanwhile, where stderr is a terminal and the user has not asked for quiet.
pub(crate) fn with<T>(progress: &Progress, verbosity: &Verbosity, work: impl FnOnce() -> T) -> T {
    if verbosity.quiet || !std::io::stderr().is_terminal() {
        return work();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let line = std::thread::Builder::new().name("progress".to_owned());
        let shown = line.spawn_scoped(scope, || show(progress, &done));
        let _over = Over::new(&done, shown.iter().map(|thread| thread.thread().clone()));
        work()
    })
}

/// Tells what goes on beside some work that it is over, however it ends: the scope of a thread that panics waits for the others.
pub(super) struct Over<'a> {
    done: &'a AtomicBool,
    waiting: Vec<Thread>,
}

impl<'a> Over<'a> {
    /// Sets `done` when it goes, and wakes those that wait.
    pub(super) fn new(done: &'a AtomicBool, waiting: impl IntoIterator<Item = Thread>) -> Self {
        Over { done, waiting: waiting.into_iter().collect() }
    }
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        self.waiting.iter().for_each(Thread::unpark);
    }
}

fn show(progress: &Progress, done: &AtomicBool) {
    let mut phase = progress.phase();
    let mut since = (Instant::now(), progress.bytes_read());
    let mut width = 0;
    while !done.load(Ordering::Relaxed) {
        std::thread::park_timeout(EVERY);
        if progress.phase() != phase {
            phase = progress.phase();
            since = (Instant::now(), progress.bytes_read());
        }
        write_over(&line(progress, since.0.elapsed(), progress.bytes_read().saturating_sub(since.1)), &mut width);
    }
    write_over("", &mut width);
}

/// Writes over what stands on the line, which has `width` characters. Without escape sequences: not every console knows them.
/// What a narrow terminal has no room for is left out: it would make lines that nothing writes over.
pub(super) fn write_over(text: &str, width: &mut usize) {
    let room = terminal_size::terminal_size_of(std::io::stderr()).map_or(usize::MAX, |(columns, _)| columns.0.into());
    let text: String = text.chars().take(room.saturating_sub(1)).collect();
    let before = std::mem::replace(width, text.chars().count());
    let mut stderr = std::io::stderr().lock();
    // Back to the line's start at the end, so that whatever else is told begins there.
    let before = before.min(room.saturating_sub(1));
    let _ = write!(stderr, "\r{text:before$}\r").and_then(|()| stderr.flush());
}

fn line(progress: &Progress, elapsed: Duration, read: u64) -> String {
    let (done, total) = progress.done();
    let seconds = elapsed.as_secs().max(1);
    let rate = format!("{}/s", size(read / seconds));
    match progress.phase() {
        Phase::Tables => format!("tables: {} read, {rate}", size(done)),
        Phase::Files => format!("files: {done} looked at"),
        Phase::Payload => {
            let percent = u128::from(done) * 100 / u128::from(total.max(1));
            let left = time_left(if done < total { progress.left_to_read() } else { 0 }, read, elapsed);
            // `--range` takes the byte to go on from.
            format!("payload: {percent} %, {left} left, at byte {}, {rate}", progress.position())
        }
    }
}

/// How long it takes to read so many bytes more, where `read` were read in the time that is over. Holes take none: it is the most.
fn time_left(bytes: u64, read: u64, elapsed: Duration) -> String {
    match u128::from(bytes).saturating_mul(elapsed.as_millis()).checked_div(u128::from(read)) {
        None => "?".to_owned(),
        Some(milliseconds) => clock(milliseconds / 1000),
    }
}

/// Hours, minutes and seconds.
pub(super) fn clock(seconds: u128) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_panics_ends_what_goes_on_beside_it() {
        let done = AtomicBool::new(false);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            std::thread::scope(|scope| {
                let beside = scope.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        std::thread::park_timeout(EVERY);
                    }
                });
                let _over = Over::new(&done, [beside.thread().clone()]);
                panic!("as a defect would");
            });
        }));
        assert!(panicked.is_err() && done.load(Ordering::Relaxed));
    }

    #[test]
    fn the_line_says_what_is_known() {
        let progress = Progress::default();
        assert_eq!(line(&progress, Duration::ZERO, 0), "tables: 0 B read, 0 B/s");
        assert_eq!(time_left(600, 0, Duration::from_secs(9)), "?");
        assert_eq!(time_left(600, 10, Duration::from_secs(2)), "2:00");
        assert_eq!(clock(59), "0:59");
        assert_eq!(clock(3_725), "1:02:05");
    }
}
