//! The merged disk, or a part of it, as one file, and a map beside it that tells what is lost.
//!
//! [`pour`] reads the disk and hands its bytes out in order; a [`Destination`] takes them: [`raw`] as they are, holes kept,
//! or [`vhdx`] as a new dynamic image; [`complete`] is for a run after the last, which [`finished`] lets
//! tell what was changed since. The map ([`state`]) is written as the export goes; an interrupted export goes on from
//! it.

mod complete;
mod finished;
mod hasher;
mod hole;
mod pour;
mod raw;
mod room;
mod state;
mod vhdx;

use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::progress::Progress;
use super::reading::Reading;
use super::row::Verdict;
use super::sink::{DiskFile, describe, new_of};
use crate::chain::Disk;
use crate::error::{Error, ErrorKind, Result};
use crate::format::vhdx::{Front, NewImage};
use crate::ranges::length;
use finished::Finished;
use hasher::Hasher;
use pour::{Target, Writer, in_pieces};
use state::State;

pub use room::{Shortage, shortage};
pub use vhdx::new_image;

/// What is exported.
pub struct Part<'a> {
    /// The merged disk.
    pub disk: &'a Disk,
    /// Bytes of it.
    pub range: Range<u64>,
    /// A line that tells this disk and these bytes from others: an export goes on only with what it began with.
    pub identity: String,
    /// What is read for it, and how.
    pub reading: Reading,
}

/// What an export came to.
#[derive(Debug)]
pub struct Exported {
    /// SHA-256 of the bytes of the disk, lost ones as zeros, whatever form they were written in; `None` where it was not asked for, or the export was stopped.
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

/// What an export writes.
#[derive(Debug, Clone)]
pub enum Form {
    /// The bytes of the disk.
    Raw,
    /// A new dynamic VHDX. It holds a whole disk.
    Vhdx(NewImage),
}

impl Form {
    /// What tells exports of one disk in several forms from each other.
    fn identity(&self, part: &Part<'_>) -> String {
        match self {
            Form::Raw => part.identity.clone(),
            Form::Vhdx(image) => format!("{}, as VHDX with blocks of {} bytes", part.identity, image.block_size()),
        }
    }

    fn begin(&self, file: DiskFile) -> Box<dyn Destination> {
        match self {
            Form::Raw => Box::new(raw::Raw(file)),
            Form::Vhdx(image) => Box::new(vhdx::Vhdx::new(image.clone(), file)),
        }
    }

    /// So much of `length` bytes stands in the file as the state tells.
    fn go_on(&self, file: &Path, state: &State, length: u64) -> Result<Box<dyn Destination>> {
        let done = state.done;
        match (self, complete::front_at(file)?) {
            (Form::Raw, Front::Missing) if state.finished.is_some() => raw::open(file),
            (Form::Raw, Front::Missing) => raw::go_on(file, done),
            (Form::Vhdx(image), Front::Missing) => vhdx::go_on(image.clone(), file, done),
            (Form::Vhdx(_), Front::AsMade) if done == length => complete::open(file),
            _ => Err(is_an_image(file)),
        }
    }
}

/// A file that an export goes into.
trait Destination {
    /// Takes the bytes at `offset` of the part. Pieces come in order; what is left out is zeros.
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Reads what was taken.
    fn read(&mut self, offset: u64, buf: &mut [u8]) -> io::Result<()>;

    /// Brings onto the storage what another run needs to go on from `done` bytes.
    fn keep(&mut self, done: u64) -> io::Result<()>;

    /// Makes the file what it is to be, when all of it stands on the storage and the map says so.
    fn seal(&mut self) -> io::Result<()>;
}

/// Exports into a new file, or goes on with one that an interrupted export left.
///
/// # Errors
/// When the file exists and is not to be gone on with, or is of another export; when the destination takes nothing more.
pub fn export(
    part: &Part<'_>,
    form: &Form,
    file: &Path,
    resume: bool,
    hash: bool,
    progress: &Progress,
) -> Result<Exported> {
    let is_of_disk = matches!(form, Form::Vhdx(_));
    let (identity, reading) = (form.identity(part), part.reading.clone());
    let map = Map { place: map_of(file), identity, reading, length: length(&part.range), is_of_disk };
    let failed = |error: io::Error| {
        let advice = "free space, or mend the destination, and run the same command again with --resume";
        Error::io(describe(&error), error).in_file(file).advise(advice)
    };
    let (mut state, mut out) = match if resume { map.earlier()? } else { None } {
        // The file may not have come to be, or be gone.
        Some(state) if state.done == 0 || file.symlink_metadata().is_err() => {
            if complete::front_at(file).is_ok_and(|front| front != Front::Missing) {
                return Err(is_an_image(file));
            }
            let file = DiskFile::begin_again(file).map_err(failed)?;
            (State::default(), form.begin(file))
        }
        Some(state) => {
            let out = form.go_on(file, &state, map.length)?;
            (state, out)
        }
        None => (State::default(), form.begin(map.create(file)?)),
    };
    let mut writer = Writer { part, hasher: hasher(hash)?, progress };
    if hash && !writer.hash_again(&mut *out, state.done).map_err(failed)? {
        return Ok(stopped(&state, Some(map.place)));
    }
    let mut target = Kept { out: &mut *out, map: &map };
    let poured = writer.pour(&mut target, &mut state);
    // Whatever happened: what is written down is what stands in the file.
    let kept = if state.finished.is_some() { Ok(()) } else { target.keep(&state) };
    poured.and(kept).map_err(failed)?;
    if state.done < map.length {
        return Ok(stopped(&state, Some(map.place)));
    }
    out.seal().map_err(failed)?;
    // The host may tell when it was last changed only once it is closed.
    drop(out);
    let sha256 = writer.hasher.finish();
    let finished = Finished::of(file, sha256.clone()).map_err(failed)?;
    let finished = match state.finished.take() {
        Some(earlier) => earlier.seen_again(finished).ok_or_else(|| is_not_ours(file, CHANGED_SINCE))?,
        None => finished,
    };
    state.finished = Some(finished);
    map.save(&state).map_err(failed)?;
    Ok(Exported { sha256, stopped: false, ..stopped(&state, Some(map.place)) })
}

/// Writes the bytes to a stream.
///
/// # Errors
/// When it takes nothing more.
pub fn stream(part: &Part<'_>, out: &mut dyn Write, hash: bool, progress: &Progress) -> Result<Exported> {
    let mut writer = Writer { part, hasher: hasher(hash)?, progress };
    let mut state = State::default();
    let mut stream = Stream(out);
    let failed = |error| Error::io("the stream takes nothing more", error);
    writer.pour(&mut stream, &mut state).map_err(failed)?;
    stream.0.flush().map_err(failed)?;
    if state.done < length(&part.range) {
        return Ok(stopped(&state, None));
    }
    Ok(Exported { sha256: writer.hasher.finish(), stopped: false, ..stopped(&state, None) })
}

fn hasher(wanted: bool) -> Result<Hasher> {
    Hasher::new(wanted).map_err(|error| Error::io("a thread cannot be started", error))
}

const CHANGED_SINCE: &str = "something wrote to this file since the export completed it";

/// The map of an export.
struct Map {
    place: PathBuf,
    /// What the export is of, in a line.
    identity: String,
    /// What is read for it, and how.
    reading: Reading,
    /// Bytes of the part.
    length: u64,
    /// Its offsets are none of the file.
    is_of_disk: bool,
}

impl Map {
    fn save(&self, state: &State) -> io::Result<()> {
        DiskFile::put(&self.place, state.text(self).as_bytes())
    }

    /// How far an earlier run has come; `None` where there was none.
    fn earlier(&self) -> Result<Option<State>> {
        let text = match DiskFile::read_small(&self.place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|error| Error::io(describe(&error), error).in_file(&self.place))?,
        };
        State::parse(&text, self).map(Some).map_err(|error| error.in_file(&self.place))
    }

    /// Creates the file that the map is of. The map comes first: from then on it is known whose file it is, whatever
    /// happens.
    fn create(&self, file: &Path) -> Result<DiskFile> {
        let refused = |path: &Path, error: io::Error| {
            Error::io("the file cannot be created", error)
                .in_file(path)
                .advise("name a file in a folder that exists and that this user may write to")
        };
        let new = new_of(&self.place);
        for (path, advice) in [
            (file, "choose another name, or go on with an interrupted export by --resume"),
            (&self.place, "choose another name: the map of the export is to stand there"),
            (&new, "choose another name: the map of the export is written there first"),
        ] {
            // A run that was killed while it wrote its map leaves the beginning of one, and that stands in nobody's way.
            if path.symlink_metadata().is_ok()
                && !(path == new && DiskFile::read_small(path).is_ok_and(|text| state::is_begun(&text)))
            {
                return Err(Error::new(ErrorKind::Usage, "the file exists already").in_file(path).advise(advice));
            }
        }
        self.save(&State::default()).map_err(|error| refused(&self.place, error))?;
        let mut created = DiskFile::create(file).map_err(|error| refused(file, error))?;
        if !self.is_of_disk
            && let Err(error) = created.try_length(self.length)
        {
            // Nobody has to clear away what never began.
            let _ = created.take_back(file).and_then(|()| DiskFile::reopen(&self.place)?.take_back(&self.place));
            let advice = "name a file on a file system for larger ones, or export the whole disk by --format vhdx, which grows with what it holds";
            return Err(Error::io(describe(&error), error).in_file(file).advise(advice));
        }
        Ok(created)
    }
}

/// A file, and the map that tells of it.
struct Kept<'a> {
    out: &'a mut dyn Destination,
    map: &'a Map,
}

impl Target for Kept<'_> {
    fn data(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.out.data(offset, bytes)
    }

    fn hole(&mut self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }

    fn keep(&mut self, state: &State) -> io::Result<()> {
        // The map never tells of bytes that a loss of power may still take.
        self.out.keep(state.done)?;
        self.map.save(state)
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

    fn keep(&mut self, _: &State) -> io::Result<()> {
        Ok(())
    }
}

/// What stands at the place of a file that an export is to go on with.
fn is_not_ours(file: &Path, why: &str) -> Error {
    Error::new(ErrorKind::Usage, why)
        .in_file(file)
        .advise("choose another name for the file; its map tells of another file than stands there")
}

/// Where the map of a file stands.
#[must_use]
pub fn map_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".map");
    name.into()
}

/// What an export that was stopped here came to.
fn stopped(state: &State, map: Option<PathBuf>) -> Exported {
    Exported {
        sha256: None,
        lost: state.lost.bytes,
        doubtful: state.doubtful.bytes,
        done: state.done,
        stopped: true,
        map,
    }
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

fn is_an_image(file: &Path) -> Error {
    is_not_ours(file, "the file is a VHDX, and not as this export left it; no image is ever written to")
}
