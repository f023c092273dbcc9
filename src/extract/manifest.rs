//! The manifest: one line of JSON a name or stream, written as the extraction goes.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use super::row::{Row, Verdict};
use super::rows::Rows;
use super::sink::{self, Sink, Stands};
use super::{NotWell, Places, utc};
use crate::error::{Error, Result};

/// How often, and how long, a row waits for space on a full destination: unfinished files are being removed from it.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Rows are written together, for each write costs as much as that of a small file: at most so many bytes, or of so long.
/// What a killed run has not written yet is a few files that the next one compares.
const TOGETHER: usize = 32 << 10;
const OFTEN: Duration = Duration::from_millis(100);

/// Its name in the destination.
pub const MANIFEST: &str = "manifest.jsonl";

/// Files that are named at the end.
const MAX_NAMED: usize = 20;

/// A manifest that is being written.
pub(super) struct Manifest<'a> {
    sink: &'a Sink,
    state: Mutex<State>,
    /// Whether nothing more can be written.
    broken: AtomicBool,
    /// What an earlier run wrote.
    before: Before,
}

/// What an earlier run wrote.
#[derive(Default)]
struct Before {
    /// Places below the destination, and what stands there.
    places: HashMap<Key, Earlier>,
    changed: Places,
}

/// What stands where an earlier run wrote.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Earlier {
    /// What it wrote, whole, of so many bytes.
    Whole(u64),
    /// Something that is not whole, or what is left of it.
    Less,
    /// What somebody wrote since.
    Changed,
}

/// Stands for a place: the first half of its SHA-256, for no names that somebody chose may be taken for one another.
type Key = [u8; 16];

struct State {
    out: Box<dyn Write + Send>,
    /// Whole rows that are not written yet, and since when.
    waiting: Vec<u8>,
    since: Instant,
    /// Whether a row was written.
    is_begun: bool,
    /// Why nothing more can be written.
    broken: Option<io::Error>,
    not_well: Vec<NotWell>,
}

impl<'a> Manifest<'a> {
    /// Begins a manifest, or goes on with that of an earlier run: rows of what is whole and still there stay, the others
    /// are done again.
    pub(super) fn open(sink: &'a Sink, resume: bool) -> Result<Self> {
        let failed = |error| Error::io("the manifest cannot be written", error).in_file(sink.path().join(MANIFEST));
        let mut before = Before::default();
        if sink.has_content(MANIFEST) {
            if !resume {
                return Err(sink::holds_a_run(sink.path()));
            }
            before = keep_whole(sink).map_err(failed)?;
        }
        let out = sink.append_to(MANIFEST).map_err(failed)?;
        let (waiting, since) = (Vec::new(), Instant::now());
        let state = State { out: Box::new(out), waiting, since, is_begun: false, broken: None, not_well: Vec::new() };
        Ok(Manifest { sink, state: Mutex::new(state), broken: AtomicBool::new(false), before })
    }

    /// Whether an earlier run wrote anything.
    pub(super) fn goes_on(&self) -> bool {
        !self.before.places.is_empty()
    }

    fn earlier(&self, place: &str) -> Option<Earlier> {
        self.before.places.get(&key(place)).copied()
    }

    /// Whether what stands at this place is of an earlier run: it may be replaced.
    pub(super) fn knows(&self, place: &str) -> bool {
        self.earlier(place).is_some_and(|earlier| earlier != Earlier::Changed)
    }

    /// Whether an earlier run wrote something at this place that is not whole, or of which less is left.
    pub(super) fn has_less(&self, place: &str) -> bool {
        self.earlier(place) == Some(Earlier::Less)
    }

    /// Whether an earlier run wrote this place whole.
    pub(super) fn has_whole(&self, place: &str, size: u64) -> bool {
        self.earlier(place) == Some(Earlier::Whole(size))
    }

    /// Writes a row, at once or soon.
    pub(super) fn add(&self, row: &Row) {
        let line = row.line();
        let mut state = self.lock();
        state.waiting.extend(line);
        let alike = |one: &&NotWell| one.verdict == row.verdict;
        if !row.verdict.is_well() && state.not_well.iter().filter(alike).count() < MAX_NAMED {
            state.not_well.push(NotWell { path: told_path(row), verdict: row.verdict, why: why(row) });
        }
        if state.waiting.len() >= TOGETHER || state.since.elapsed() >= OFTEN {
            self.write_out(&mut state);
        }
    }

    /// Writes the rows that wait: before something that takes long.
    pub(super) fn flush(&self) {
        self.write_out(&mut self.lock());
    }

    fn write_out(&self, state: &mut State) {
        let State { out, waiting, since, is_begun, broken, .. } = state;
        *is_begun |= !waiting.is_empty();
        if broken.is_none()
            && let Err((error, written)) = write(&mut **out, waiting)
        {
            self.cut_half_row(waiting.get(..written).unwrap_or_default());
            *broken = Some(error);
            self.broken.store(true, Ordering::Relaxed);
        }
        waiting.clear();
        *since = Instant::now();
    }

    /// The manifest ends with these bytes: they are to end with a whole row.
    fn cut_half_row(&self, end: &[u8]) {
        let half = end.iter().rev().take_while(|byte| **byte != b'\n').count();
        if half > 0
            && let Err(error) = self.sink.cut(MANIFEST, u64::try_from(half).unwrap_or(u64::MAX))
        {
            log::debug!("half a row stays in the manifest: {error}");
        }
    }

    /// Whether it still takes rows.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Writes what is left. The first few files that are not well, what was changed since the earlier run, and why the manifest
    /// has not all of it.
    pub(super) fn close(self) -> (Vec<NotWell>, Places, Option<Error>) {
        self.flush();
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let taken = state.out.flush().and_then(|()| {
            let stands = !state.is_begun || self.sink.has_content(MANIFEST);
            if stands {
                Ok(())
            } else {
                Err(io::Error::new(io::ErrorKind::NotFound, "the manifest is gone from there"))
            }
        });
        let broken = state.broken.or(taken.err()).map(|error| sink::gone(self.sink.path(), error));
        (fair(state.not_well), self.before.changed, broken)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts a manifest down to the rows of what is whole and still there. Gives all places that it knew.
fn keep_whole(sink: &Sink) -> io::Result<Before> {
    let mut before = Before::default();
    let mut kept = sink.create_here()?;
    let mut together = Vec::new();
    {
        let mut rows = Rows::new(sink.read_back(MANIFEST)?);
        while let Some(row) = rows.next()? {
            let text = |field: &str| row.get(field).and_then(|value| value.as_str());
            let size = row.get("size").and_then(serde_json::Value::as_u64);
            let whole = text("verdict") == Some(Verdict::Whole.as_str());
            let timed = row.get("times_not_set").is_none();
            let modified =
                row.get("times").filter(|_| timed).and_then(|times| utc::parse(times.get("modified")?.as_str()?));
            let Some(place) = text("written") else { continue };
            // A file that is written anew has no streams yet. Its row stands before theirs; a folder stays.
            let anew = sink.split(place).is_some_and(|(of, _)| {
                !sink.holds_folder(of) && !matches!(before.places.get(&key(of)), Some(Earlier::Whole(_)))
            });
            let stands = match (size, sink.stands(place, size.unwrap_or(0), modified)) {
                (Some(size), Stands::AsWritten) if whole && !anew => Earlier::Whole(size),
                (_, Stands::Changed) => {
                    before.changed.add(place);
                    Earlier::Changed
                }
                _ => Earlier::Less,
            };
            before.places.insert(key(place), stands);
            if matches!(stands, Earlier::Whole(_)) {
                together.extend(rows.line());
            }
            if together.len() >= TOGETHER {
                kept.append(&together)?;
                together.clear();
            }
        }
    }
    kept.append(&together)?;
    // Nobody has it open any more: Windows renames no file over one that is.
    kept.take_place_of(MANIFEST)?;
    Ok(before)
}

fn key(place: &str) -> Key {
    let mut key = Key::default();
    key.iter_mut().zip(Sha256::digest(place)).for_each(|(own, byte)| *own = byte);
    key
}

/// As many as are named, of each verdict in turn: a thousand files that failed for one reason hide none that is damaged.
fn fair(not_well: Vec<NotWell>) -> Vec<NotWell> {
    let mut before = [0usize; Verdict::ALL.len()];
    let rank = |verdict| Verdict::ALL.iter().position(|one| *one == verdict).unwrap_or(0);
    let numbered = not_well.into_iter().map(|one| {
        let place = rank(one.verdict);
        let number = before.get_mut(place).map_or(0, |count| std::mem::replace(count, count.saturating_add(1)));
        (number, place, one)
    });
    let mut numbered: Vec<_> = numbered.collect();
    numbered.sort_by_key(|(number, place, _)| (*number, *place));
    numbered.truncate(MAX_NAMED);
    numbered.sort_by_key(|(_, place, _)| *place);
    numbered.into_iter().map(|(_, _, one)| one).collect()
}

/// Which file, or which stream of it.
fn told_path(row: &Row) -> String {
    let text = |field| row.get(field).and_then(|value| value.as_str());
    let path = text("path").unwrap_or_default();
    text("stream").map_or_else(|| path.to_owned(), |stream| format!("{path}:{stream}"))
}

/// Why a row is not well, as far as it tells.
fn why(row: &Row) -> String {
    if let Some(error) = row.get("error").and_then(|error| error.as_str()) {
        return error.to_owned();
    }
    let counts = [("lost_bytes", "lost"), ("doubtful_bytes", "doubtful")].into_iter().filter_map(|(key, word)| {
        let count = row.get(key)?.as_u64()?;
        Some(format!("{count} bytes {word}"))
    });
    let counts: Vec<_> = counts.collect();
    match row.get("size").and_then(|size| size.as_u64()) {
        Some(size) if !counts.is_empty() => format!("{} of {size}", counts.join(", ")),
        _ => counts.join(", "),
    }
}

/// Writes whole rows. Where it fails, it gives how many bytes were written.
fn write(out: &mut dyn Write, rows: &[u8]) -> std::result::Result<(), (io::Error, usize)> {
    let (mut at, mut tries) = (0usize, 0);
    while let Some(rest) = rows.get(at..).filter(|rest| !rest.is_empty()) {
        match out.write(rest) {
            Ok(0) => return Err((io::ErrorKind::WriteZero.into(), at)),
            Ok(written) => at = at.saturating_add(written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull && tries < TRIES => {
                tries = tries.saturating_add(1);
                std::thread::sleep(PAUSE);
            }
            Err(error) => return Err((error, at)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_that_failed_hide_none_that_is_partial() {
        let of = |verdict, count: usize| (0..count).map(move |number| (verdict, number));
        let all = of(Verdict::Failed, MAX_NAMED).chain(of(Verdict::Partial, 3)).chain(of(Verdict::Refused, MAX_NAMED));
        let all = all.map(|(verdict, number)| NotWell { path: number.to_string(), verdict, why: String::new() });
        let named = fair(all.collect());
        let count = |verdict| named.iter().filter(|one| one.verdict == verdict).count();
        assert_eq!(named.len(), MAX_NAMED);
        assert_eq!((count(Verdict::Partial), count(Verdict::Failed) + count(Verdict::Refused)), (3, MAX_NAMED - 3));
        assert!(count(Verdict::Failed).abs_diff(count(Verdict::Refused)) <= 1);
        let first = named.iter().find(|one| one.verdict == Verdict::Failed).unwrap();
        assert_eq!(first.path, "0", "the first ones are named, in their order");
        assert_eq!(fair(Vec::new()).len(), 0);
    }

    /// Takes so many bytes, and then nothing.
    struct Full<W>(W, usize);

    impl<W: Write> Write for Full<W> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = bytes.len().min(self.1);
            if room == 0 {
                return Err(io::ErrorKind::QuotaExceeded.into());
            }
            let written = self.0.write(&bytes[..room])?;
            self.1 -= written;
            Ok(written)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "what stands in the manifest")]
    fn a_manifest_that_takes_no_more_ends_with_a_whole_row() {
        let rows: Vec<Row> =
            ["a", "b", "c"].map(|name| Row::new(&[], None, name, mount_api::Kind::File, Verdict::Whole)).into();
        let lines: Vec<Vec<u8>> = rows.iter().map(Row::line).collect();
        let all = lines.concat();
        for room in 0..all.len() {
            let at = tempfile::tempdir().unwrap();
            let sink = Sink::open(at.path()).unwrap();
            let manifest = Manifest::open(&sink, false).unwrap();
            manifest.lock().out = Box::new(Full(sink.append_to(MANIFEST).unwrap(), room));
            rows.iter().for_each(|row| manifest.add(row));
            assert!(manifest.close().2.is_some());
            let whole = all[..room].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            assert_eq!(std::fs::read(at.path().join(MANIFEST)).unwrap(), all[..whole], "{room}");
        }
    }
}
