//! The merged disk, or a part of it, as one raw file: holes stay holes, and a map beside it tells what is lost.
//!
//! The map has the form of GNU ddrescue's mapfile, so that its tools, and `--map` of this program, read it. It is written
//! as the export goes; an interrupted export goes on from it.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::hashes::{HashKind, Hashing};
use super::progress::Progress;
use super::row::{Damage, Verdict};
use super::sink::{RawFile, describe, new_of};
use crate::Faults;
use crate::bytes::len_u64;
use crate::chain::{Disk, MergedSource};
use crate::error::{Error, ErrorKind, Result};
use crate::image::ReadAt;
use crate::report::Code;

/// Bytes of the disk that are mapped at once, and read at once.
const PIECE: u64 = 64 << 20;
const READ: usize = 4 << 20;

/// How often the map is written.
const EVERY: Duration = Duration::from_secs(5);

/// What is exported.
pub struct Part<'a> {
    /// The merged disk.
    pub disk: &'a Disk,
    /// Bytes of it.
    pub range: Range<u64>,
    /// A line that tells this disk and these bytes from others: an export goes on only with what it began with.
    pub identity: String,
}

/// What an export came to.
#[derive(Debug)]
pub struct Exported {
    /// SHA-256 of the file, lost bytes as zeros; `None` where it was not asked for, or the export was stopped.
    pub sha256: Option<String>,
    /// Bytes that are lost.
    pub lost: u64,
    /// Bytes that are doubtful and were written.
    pub doubtful: u64,
    /// Bytes that are done.
    pub done: u64,
    /// Whether it was stopped before its end.
    pub stopped: bool,
    /// The map; `None` for a stream.
    pub map: Option<PathBuf>,
}

/// Exports into a new file, or goes on with one that an interrupted export left.
///
/// # Errors
/// When the file exists and is not to be gone on with, or is of another export; when the destination takes nothing more.
pub fn export(part: &Part<'_>, file: &Path, resume: bool, hash: bool, progress: &Progress) -> Result<Exported> {
    let map = map_of(file);
    let refused = |path: &Path, error: io::Error| {
        Error::io("the file cannot be created", error)
            .in_file(path)
            .advise("name a file in a folder that exists and that this user may write to")
    };
    let failed = |error: io::Error| {
        let advice = "free space, or mend the destination, and run the same command again with --resume";
        Error::io(describe(&error), error).in_file(file).advise(advice)
    };
    let save = |state: &State| RawFile::put(&map, state.text(part).as_bytes());
    let (mut out, mut state) = match resume.then(|| RawFile::read_small(&map)).transpose() {
        Ok(Some(text)) => {
            let state = State::parse(&text, &part.identity, len(&part.range)).map_err(|error| error.in_file(&map))?;
            (RawFile::reopen(file).map_err(failed)?, state)
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {
            for (path, advice) in [
                (file, "choose another name, or go on with an interrupted export by --resume"),
                (&map, "choose another name: the map of the export is to stand there"),
                (&new_of(&map), "choose another name: the map of the export is written there first"),
            ] {
                if path.symlink_metadata().is_ok() {
                    return Err(Error::new(ErrorKind::Usage, "the file exists already").in_file(path).advise(advice));
                }
            }
            // The map first: from then on it is known whose file it is, whatever happens.
            save(&State::default()).map_err(|error| refused(&map, error))?;
            (RawFile::create(file).map_err(|error| refused(file, error))?, State::default())
        }
    };
    let mut hashing = Hashing::new(if hash { &[HashKind::Sha256] } else { &[] });
    let mut writer = Writer { part, hashing: &mut hashing, progress, buf: vec![0; READ] };
    if hash {
        writer.hash_again(&mut out, state.done).map_err(failed)?;
    }
    let outcome = writer.pour(&mut out, &mut state, &save);
    let length = part.range.end.saturating_sub(part.range.start);
    let ended = outcome.and_then(|()| if state.done == length { out.set_length(length) } else { Ok(()) });
    // Whatever happened: what is written down is what stands in the file.
    let saved = out.sync().and_then(|()| save(&state));
    ended.and(saved).map_err(failed)?;
    Ok(finish(hashing, &state, length, Some(map)))
}

/// Writes to a stream.
///
/// # Errors
/// When it takes nothing more.
pub fn stream(part: &Part<'_>, out: &mut dyn Write, hash: bool, progress: &Progress) -> Result<Exported> {
    let mut hashing = Hashing::new(if hash { &[HashKind::Sha256] } else { &[] });
    let mut writer = Writer { part, hashing: &mut hashing, progress, buf: vec![0; READ] };
    let mut state = State::default();
    let mut stream = Stream(out);
    let failed = |error| Error::io("the stream takes nothing more", error);
    writer.pour(&mut stream, &mut state, &|_| Ok(())).map_err(failed)?;
    stream.0.flush().map_err(failed)?;
    Ok(finish(hashing, &state, part.range.end.saturating_sub(part.range.start), None))
}

/// Where the map of a file stands.
#[must_use]
pub fn map_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".map");
    name.into()
}

fn finish(hashing: Hashing, state: &State, length: u64, map: Option<PathBuf>) -> Exported {
    let stopped = state.done < length;
    let hash = hashing.finish().into_iter().map(|(_, hash)| hash).next();
    Exported {
        sha256: hash.filter(|_| !stopped),
        lost: state.damage.lost_bytes,
        doubtful: state.damage.doubtful_bytes,
        done: state.done,
        stopped,
        map,
    }
}

/// Where bytes go.
trait Target {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn hole(&mut self, zeros: &[u8], length: u64) -> io::Result<()>;
}

impl Target for RawFile {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write(offset, bytes)
    }

    fn hole(&mut self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }
}

struct Stream<'a>(&'a mut dyn Write);

impl Target for Stream<'_> {
    fn data(&mut self, _: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn hole(&mut self, zeros: &[u8], length: u64) -> io::Result<()> {
        in_pieces(length, zeros, |piece| self.0.write_all(piece))
    }
}

/// Hands out `length` zeros in pieces of `zeros`, which is not empty.
fn in_pieces(length: u64, zeros: &[u8], mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut left = length;
    while left > 0 && !zeros.is_empty() {
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
        let piece = zeros.get(..count).unwrap_or_default();
        each(piece)?;
        left = left.saturating_sub(len_u64(piece));
    }
    Ok(())
}

/// How far an export has come. Offsets count from the start of the part.
#[derive(Default)]
struct State {
    done: u64,
    damage: Damage,
}

struct Writer<'a> {
    part: &'a Part<'a>,
    hashing: &'a mut Hashing,
    progress: &'a Progress,
    buf: Vec<u8>,
}

impl Writer<'_> {
    /// Hashes what an earlier run wrote.
    fn hash_again(&mut self, out: &mut RawFile, length: u64) -> io::Result<()> {
        let mut at = 0u64;
        while at < length {
            let count = usize::try_from(length.saturating_sub(at)).unwrap_or(usize::MAX).min(READ);
            let piece = self.buf.get_mut(..count).unwrap_or_default();
            out.read(at, piece)?;
            self.hashing.update(piece);
            at = at.saturating_add(len_u64(piece));
        }
        Ok(())
    }

    fn pour(
        &mut self,
        out: &mut dyn Target,
        state: &mut State,
        save: &dyn Fn(&State) -> io::Result<()>,
    ) -> io::Result<()> {
        let zeros = vec![0; READ];
        let length = self.part.range.end.saturating_sub(self.part.range.start);
        let mut saved = Instant::now();
        while state.done < length && !self.progress.is_stopped() {
            let start = self.part.range.start.saturating_add(state.done);
            let window = start..start.saturating_add(PIECE).min(self.part.range.end);
            // Past the disk's end, which a cut volume may reach, everything is lost: reading tells.
            let extents = self.part.disk.map(window.clone()).unwrap_or_default();
            let zero = extents
                .iter()
                .filter(|extent| extent.source == MergedSource::Zero && extent.doubt.is_none())
                .map(|extent| extent.disk.clone());
            for hole in zero.chain([window.end..window.end]) {
                self.read(hole.start, out, state)?;
                if self.progress.is_stopped() {
                    return Ok(());
                }
                let length = hole.end.saturating_sub(hole.start);
                out.hole(&zeros, length)?;
                in_pieces(length, &zeros, |piece| {
                    self.hashing.update(piece);
                    Ok(())
                })?;
                self.progress.read(length);
                state.done = state.done.saturating_add(length);
            }
            if saved.elapsed() >= EVERY {
                save(state)?;
                saved = Instant::now();
            }
        }
        Ok(())
    }

    /// Copies from where the export stands up to this byte of the disk.
    fn read(&mut self, end: u64, out: &mut dyn Target, state: &mut State) -> io::Result<()> {
        loop {
            let at = self.part.range.start.saturating_add(state.done);
            if at >= end || self.progress.is_stopped() {
                return Ok(());
            }
            let count = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX).min(READ);
            let piece = self.buf.get_mut(..count).unwrap_or_default();
            let mut faults = Faults::new();
            if let Err(error) = self.part.disk.read_at(piece, at, &mut faults) {
                log::debug!("{error}");
                piece.fill(0);
                faults.clear();
                faults.lost(at..at.saturating_add(len_u64(piece)), Code::HostReadError.as_str());
            }
            for fault in &faults {
                let mut fault = fault.clone();
                fault.range.start = fault.range.start.saturating_sub(self.part.range.start);
                fault.range.end = fault.range.end.saturating_sub(self.part.range.start);
                state.damage.add(&fault);
            }
            self.hashing.update(piece);
            out.data(state.done, piece)?;
            self.progress.read(len_u64(piece));
            state.done = state.done.saturating_add(len_u64(piece));
        }
    }
}

impl State {
    /// The map: ddrescue's lines, and in comments what those have no word for.
    fn text(&self, part: &Part<'_>) -> String {
        let length = part.range.end.saturating_sub(part.range.start);
        let mut text = String::new();
        let _ = writeln!(text, "# Mapfile of an export by {} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let _ = writeln!(text, "# of: {}", part.identity);
        for fault in &self.damage.doubtful {
            let _ = writeln!(text, "# doubtful: {:#x} {:#x} {}", fault.range.start, len(&fault.range), fault.code);
        }
        for fault in &self.damage.lost {
            let _ = writeln!(text, "# lost: {:#x} {:#x} {}", fault.range.start, len(&fault.range), fault.code);
        }
        let _ = writeln!(text, "# current_pos  current_status  current_pass");
        let status = if self.done < length { '?' } else { '+' };
        let _ = writeln!(text, "{:#010x}     {status}               1", self.done);
        let _ = writeln!(text, "#      pos        size  status");
        let mut at = 0;
        let mut line = |range: Range<u64>, status: char| {
            if !range.is_empty() {
                let _ = writeln!(text, "{:#010x}  {:#010x}  {status}", range.start, len(&range));
            }
        };
        for fault in &self.damage.lost {
            line(at..fault.range.start, '+');
            line(fault.range.clone(), '-');
            at = fault.range.end;
        }
        line(at..self.done, '+');
        line(self.done..length, '?');
        text
    }

    /// What an earlier export wrote down.
    fn parse(text: &[u8], identity: &str, length: u64) -> Result<Self> {
        let text = String::from_utf8_lossy(text);
        let other = || {
            Error::new(ErrorKind::Usage, "this is the map of another export")
                .detail(format!("wanted: {identity}"))
                .advise("choose another name for the file")
        };
        let of = text.lines().find_map(|line| line.strip_prefix("# of: ")).ok_or_else(other)?;
        if of != identity {
            return Err(other());
        }
        let number = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
        let mut state = State::default();
        for line in text.lines() {
            let kinds = [("# lost: ", crate::FaultKind::Lost), ("# doubtful: ", crate::FaultKind::Doubtful)];
            for (prefix, kind) in kinds {
                let Some(rest) = line.strip_prefix(prefix) else { continue };
                let mut words = rest.split(' ');
                let mut next = || words.next();
                let fault = (|| {
                    let start = number(next()?)?;
                    let end = start.checked_add(number(next()?)?)?;
                    let code = Code::named(next()?)?;
                    Some(crate::Fault { range: start..end, kind, code: code.as_str(), link: None })
                })();
                state.damage.add(&fault.ok_or_else(other)?);
            }
        }
        let status = text.lines().find(|line| !line.starts_with('#')).and_then(|line| line.split_whitespace().next());
        state.done = status.and_then(number).filter(|done| *done <= length).ok_or_else(other)?;
        Ok(state)
    }
}

fn len(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

/// The verdict of an export.
#[must_use]
pub fn verdict(exported: &Exported) -> Verdict {
    match (exported.lost, exported.doubtful) {
        (0, 0) => Verdict::Whole,
        (0, _) => Verdict::Doubtful,
        _ => Verdict::Partial,
    }
}
