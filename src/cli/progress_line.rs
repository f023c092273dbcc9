//! One line on a terminal that tells how far a check has come, written over and over.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
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
        let result = work();
        done.store(true, Ordering::Relaxed);
        if let Ok(thread) = &shown {
            thread.thread().unpark();
        }
        result
    })
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
pub(super) fn write_over(text: &str, width: &mut usize) {
    let before = std::mem::replace(width, text.len());
    let mut stderr = std::io::stderr().lock();
    // Back to the line's start at the end, so that whatever else is told begins there.
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
            let left = u128::from(total.saturating_sub(done)) * elapsed.as_millis() / u128::from(done.max(1)) / 1000;
            let left = if done == 0 { "?".to_owned() } else { clock(left) };
            // `--range` takes the byte to go on from.
            format!("payload: {percent} %, {rate}, {left} left, at byte {}", progress.position())
        }
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
    fn the_line_says_what_is_known() {
        let progress = Progress::default();
        assert_eq!(line(&progress, Duration::ZERO, 0), "tables: 0 B read, 0 B/s");
        assert_eq!(clock(59), "0:59");
        assert_eq!(clock(3_725), "1:02:05");
    }
}
