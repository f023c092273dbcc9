//! How far an extraction has come, and what it came to.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use vhdx_mount::extract::{Choice, Counted, Extracted, MANIFEST, NotWell, Places, Progress, Sink, Untimed, Verdict};

use super::super::args::Verbosity;
use super::super::escape::escape;
use super::super::outcome::{Failure, Outcome};
use super::super::progress_line::{Over, clock, write_over};
use super::super::say::{self, BOLD, GREEN, RED, YELLOW};
use super::super::units::size;

/// How often the line on a terminal is written, and how often a line is told elsewhere.
const ON_TERMINAL: Duration = Duration::from_millis(250);
const ELSEWHERE: Duration = Duration::from_secs(5);

/// A work this long is worth counting what there is to do.
const WORTH_COUNTING: Duration = Duration::from_secs(3);

/// How much there is to do.
#[derive(Clone, Copy)]
enum Total<'a> {
    /// These bytes.
    Known(u64),
    /// These files, once they are counted.
    Counted(&'a OnceLock<Progress>),
}

/// Does `work`, which reads `total` bytes where that is known, and shows its progress meanwhile: on a terminal, or with `-v`.
pub(crate) fn with<T>(progress: &Progress, total: Option<u64>, verbosity: &Verbosity, work: impl FnOnce() -> T) -> T {
    let uncounted = OnceLock::new();
    let total = total.map_or(Total::Counted(&uncounted), Total::Known);
    shown(progress, total, verbosity, || {}, work)
}

/// Does `work` and shows its progress meanwhile, as [`with`]. Beside one that takes long `count` counts what there is to do, so
/// that the time left can be told.
pub(super) fn with_count<T>(
    progress: &Progress,
    count: impl Fn(&Progress) + Sync,
    verbosity: &Verbosity,
    work: impl FnOnce() -> T,
) -> T {
    let counted = OnceLock::new();
    let over = Arc::new(AtomicBool::new(false));
    let meanwhile = || {
        let began = Instant::now();
        while began.elapsed() < WORTH_COUNTING && !over.load(Ordering::Relaxed) {
            std::thread::park_timeout(WORTH_COUNTING.saturating_sub(began.elapsed()));
        }
        let own = Progress::stopped_by(&over);
        if !own.is_stopped() {
            count(&own);
        }
        if !own.is_stopped() {
            let _ = counted.set(own);
        }
    };
    shown(progress, Total::Counted(&counted), verbosity, meanwhile, || {
        let _over = Over::new(&over, []);
        work()
    })
}

fn shown<T>(
    progress: &Progress,
    total: Total<'_>,
    verbosity: &Verbosity,
    meanwhile: impl FnOnce() + Send,
    work: impl FnOnce() -> T,
) -> T {
    let terminal = std::io::stderr().is_terminal();
    if verbosity.quiet || !(terminal || verbosity.verbose > 0) {
        return work();
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let beside = [
            named("progress").spawn_scoped(scope, || show(progress, total, terminal, &done)),
            named("count").spawn_scoped(scope, meanwhile),
        ];
        let _over = Over::new(&done, beside.iter().flatten().map(|thread| thread.thread().clone()));
        work()
    })
}

fn show(progress: &Progress, total: Total<'_>, terminal: bool, done: &AtomicBool) {
    let began = Instant::now();
    let mut width = 0;
    loop {
        std::thread::park_timeout(if terminal { ON_TERMINAL } else { ELSEWHERE });
        if done.load(Ordering::Relaxed) {
            break;
        }
        let line = match total {
            Total::Known(total) => progress_of(progress.bytes(), total, began.elapsed()),
            Total::Counted(counted) => line(progress, counted.get().map(Progress::bytes), began.elapsed()),
        };
        if terminal {
            write_over(&line, &mut width);
        } else {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }
    if terminal {
        write_over("", &mut width);
    }
}

/// The line of a work whose end is known.
fn progress_of(done: u64, total: u64, elapsed: Duration) -> String {
    let (percent, left) = ahead(done, total, elapsed);
    format!("{percent} %, {}/s, {left} left", size(rate(done, elapsed)))
}

/// How many percent are done, and how long the rest takes if it goes on so.
fn ahead(done: u64, total: u64, elapsed: Duration) -> (u128, String) {
    let percent = (u128::from(done) * 100 / u128::from(total.max(1))).min(100);
    let left = u128::from(total.saturating_sub(done)) * elapsed.as_millis() / u128::from(done.max(1)) / 1000;
    (percent, if done == 0 { "?".to_owned() } else { clock(left) })
}

/// Bytes a second.
fn rate(done: u64, elapsed: Duration) -> u64 {
    u64::try_from(u128::from(done) * 1000 / elapsed.as_millis().max(1)).unwrap_or(u64::MAX)
}

/// The line of an extraction; `total` is how many bytes are wanted, once that is known.
fn line(progress: &Progress, total: Option<u64>, elapsed: Duration) -> String {
    let read = progress.bytes();
    let mut line = format!("{} whole, {}, {}/s", progress.count(Verdict::Whole), size(read), size(rate(read, elapsed)));
    if let Some(total) = total {
        let (percent, left) = ahead(progress.passed(), total, elapsed);
        line.insert_str(0, &format!("{percent} %, {left} left: "));
    }
    for verdict in [Verdict::Partial, Verdict::Doubtful, Verdict::Failed, Verdict::Refused] {
        if let count @ 1.. = progress.count(verdict) {
            line.push_str(&format!(", {count} {}", verdict.as_str()));
        }
    }
    line
}

/// What a dry run counted, on stdout.
pub(super) fn counted(counted: &Counted, progress: &Progress) -> Result<Outcome, Failure> {
    let Counted { files, folders, links, streams, lost, unlisted } = *counted;
    let bytes = progress.bytes();
    let mut lines = vec![format!(
        "files: {files}, folders: {folders}, links: {links}, streams: {streams}, bytes: {bytes} ({})",
        size(bytes)
    )];
    if lost > 0 {
        lines.push(format!("{lost} more, which cannot be read: their metadata or their volume is lost"));
    }
    if unlisted > 0 {
        lines.push(format!("{unlisted} of which not all names or streams can be told: there may be more"));
    }
    let mut out = anstream::stdout().lock();
    let told = lines.iter().try_for_each(|line| writeln!(out, "{line}"));
    Outcome::of_output(told.and_then(|()| out.flush()), counted.is_whole())
}

/// How many patterns and paths that fitted nothing are named.
const NAMED: usize = 10;

/// What was asked for and is not there: a slip of the pen must not pass for success. `so_far` is how the run went.
///
/// # Errors
/// When nothing of it is there.
pub(super) fn missed(choice: &Choice, progress: &Progress, so_far: Outcome) -> Result<Outcome, Failure> {
    if progress.is_stopped() {
        return Ok(so_far);
    }
    let advice = "see what is there: vhdx-mount ls --recursive CHAIN; a pattern with a slash is of the whole path";
    if choice.met_nothing() && so_far == Outcome::NotWhole {
        say::tell!("{YELLOW}warning{YELLOW:#}: nothing fits what was asked for; what cannot be read may hold it");
        return Ok(so_far);
    }
    if choice.met_nothing() {
        return Err(Failure::new("nothing that was asked for is there").advise(advice));
    }
    warn("nothing fits", &choice.unmet());
    warn("nothing that is wanted fits --first", &choice.unmet_first());
    Ok(if choice.misses_listed() && so_far == Outcome::Well { Outcome::NotWhole } else { so_far })
}

/// Names what fits nothing, the first of it.
fn warn(text: &str, unmet: &[&str]) {
    for what in unmet.iter().take(NAMED) {
        say::tell!("{YELLOW}warning{YELLOW:#}: {text} {}", escape(what));
    }
    if unmet.len() > NAMED {
        say::tell!("{YELLOW}warning{YELLOW:#}: and {} more", unmet.len() - NAMED);
    }
}

/// What it came to, in one look.
pub(super) fn summary(sink: &Sink, progress: &Progress, extracted: &Extracted, verbosity: &Verbosity) {
    let count = |verdict| progress.count(verdict);
    let bad: u64 = Verdict::ALL.into_iter().filter(|verdict| !verdict.is_well()).map(count).sum();
    if verbosity.quiet
        && bad == 0
        && !extracted.stopped
        && extracted.cut_short.is_none()
        && extracted.untimed.places.count == 0
    {
        return;
    }
    let (word, style) = match (extracted.stopped, bad) {
        _ if extracted.cut_short.is_some() => ("cut short: not all could be written", RED),
        (true, _) => ("stopped; the same command with --resume goes on", YELLOW),
        (false, 0) if Verdict::ALL.into_iter().all(|verdict| count(verdict) == 0) => ("nothing was wanted", YELLOW),
        (false, 0) => ("all is well", GREEN),
        (false, _) => ("not all is whole", RED),
    };
    let mut line = format!("{style}{word}{style:#}: {} whole", count(Verdict::Whole));
    for verdict in Verdict::ALL.into_iter().filter(|verdict| *verdict != Verdict::Whole && count(*verdict) > 0) {
        line.push_str(&format!(", {} {}", count(verdict), verdict.as_str()));
    }
    say::tell!("{line}; {} read", size(progress.bytes()));
    for NotWell { path, verdict, why } in &extracted.not_well {
        let why = if why.is_empty() { String::new() } else { format!(": {}", escape(why)) };
        say::tell!("  {BOLD}{:<8}{BOLD:#} {}{why}", verdict.as_str(), escape(path));
    }
    let told = u64::try_from(extracted.not_well.len()).unwrap_or(u64::MAX);
    if bad > told {
        say::tell!("  and {} more", bad - told);
    }
    if count(Verdict::Skipped) > 0 {
        say::tell!(
            "skipped are named streams without --streams, links without --links, and links that lead out of their volume"
        );
    }
    changed(&extracted.changed);
    untimed(&extracted.untimed);
    say::tell!("each name and its verdict: {}", escape(&sink.path().join(MANIFEST).display().to_string()));
}

/// What is no longer what the earlier run wrote.
fn changed(changed: &Places) {
    if changed.count > 0 {
        say::tell!(
            "{YELLOW}changed{YELLOW:#} since the earlier run wrote them, and read again: {} files; one that is not the same stays",
            changed.count
        );
        places("changed", changed);
    }
}

/// What bears the time of this run, and not that of the disk.
fn untimed(Untimed { places: untimed, why }: &Untimed) {
    if untimed.count > 0 {
        say::tell!(
            "{YELLOW}without their times{YELLOW:#}: the destination refused to set those of {} files and folders: {}",
            untimed.count,
            escape(why)
        );
        places("no times", untimed);
    }
}

/// The first few places, and how many more there are.
fn places(word: &str, Places { count, first }: &Places) {
    for place in first {
        say::tell!("  {BOLD}{word:<8}{BOLD:#} {}", escape(place));
    }
    let told = u64::try_from(first.len()).unwrap_or(u64::MAX);
    if *count > told {
        say::tell!("  and {} more", count - told);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_says_what_is_known() {
        let progress = Progress::default();
        let after = Duration::from_secs(10);
        assert_eq!(line(&progress, None, after), "0 whole, 0 B, 0 B/s");
        assert_eq!(line(&progress, Some(5), after), "0 %, ? left: 0 whole, 0 B, 0 B/s");
        assert_eq!(progress_of(1000, 4000, after), "25 %, 100 B/s, 0:30 left");
        assert_eq!(ahead(7, 5, after), (100, "0:00".to_owned()));
    }
}
