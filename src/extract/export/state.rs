//! How far an export has come, and its map: in the form of GNU ddrescue's mapfile, so that its tools, and `--map` of this
//! program, read it.

use std::fmt::Write as _;
use std::ops::Range;

use super::Map;
use super::finished::Finished;
use crate::error::{Error, ErrorKind, Result};
use crate::extract::Reading;
use crate::image::OF_THE_DISK;
use crate::ranges;
use crate::report::Code;
use crate::{Fault, FaultKind, Faults};

/// Ranges of a kind that a map names one by one. Where there are more, the last one grows to hold the rest: a map may call
/// lost what is not, and never the other way round.
const MAX_RANGES: usize = 100_000;

/// How every map begins; the version follows.
const HEAD: &str = concat!("# Mapfile of an export by ", env!("CARGO_PKG_NAME"), " ");

/// What was read, and how; and how the file stood when it was complete.
const READ: &str = "# read: ";
const FINISHED: &str = "# finished: ";

/// Whether this is a map, or what is there of one whose writing was interrupted.
pub(super) fn is_begun(text: &[u8]) -> bool {
    text.starts_with(HEAD.as_bytes()) || HEAD.as_bytes().starts_with(text)
}

/// How far an export has come. Offsets count from the start of the part.
#[derive(Default)]
pub(super) struct State {
    pub(super) done: u64,
    pub(super) lost: Damaged,
    pub(super) doubtful: Damaged,
    /// How the file stood when it was complete.
    pub(super) finished: Option<Finished>,
}

/// Ranges of one kind, in order.
#[derive(Default)]
pub(super) struct Damaged {
    ranges: Vec<Fault>,
    pub(super) bytes: u64,
}

impl Damaged {
    /// Adds a range; what of it lies before the end of the last one counts once.
    fn add(&mut self, mut fault: Fault) {
        let end = self.ranges.last().map_or(0, |last| last.range.end);
        fault.range.start = fault.range.start.max(end);
        if fault.range.is_empty() {
            return;
        }
        self.bytes = self.bytes.saturating_add(ranges::length(&fault.range));
        let is_full = self.ranges.len() >= MAX_RANGES;
        match self.ranges.last_mut() {
            Some(last) if is_full || (end == fault.range.start && last.code == fault.code) => {
                last.range.end = fault.range.end;
            }
            _ => self.ranges.push(fault),
        }
    }
}

impl State {
    /// Adds what one read found; the part starts at `start` of the disk. Reads come in order.
    pub(super) fn add_all(&mut self, faults: &Faults, start: u64) {
        let mut faults: Vec<Fault> = faults.iter().cloned().collect();
        faults.sort_by_key(|fault| fault.range.start);
        for mut fault in faults {
            fault.range.start = fault.range.start.saturating_sub(start);
            fault.range.end = fault.range.end.saturating_sub(start);
            self.add(fault);
        }
    }

    fn add(&mut self, fault: Fault) {
        match fault.kind {
            FaultKind::Lost => self.lost.add(fault),
            FaultKind::Doubtful => self.doubtful.add(fault),
        }
    }

    /// The map: ddrescue's lines, and in comments what those have no word for.
    pub(super) fn text(&self, map: &Map) -> String {
        let length = map.length;
        let mut text = String::new();
        let _ = writeln!(text, "{HEAD}{}", env!("CARGO_PKG_VERSION"));
        let _ = writeln!(text, "# of: {}", map.identity);
        let _ = writeln!(text, "{READ}{}", serde_json::to_string(&map.reading).unwrap_or_default());
        if let Some(finished) = &self.finished {
            let _ = writeln!(text, "{FINISHED}{}", finished.text());
        }
        if map.is_of_disk {
            let _ = writeln!(text, "{OF_THE_DISK}");
        }
        for fault in &self.doubtful.ranges {
            let _ = writeln!(
                text,
                "# doubtful: {:#x} {:#x} {}",
                fault.range.start,
                ranges::length(&fault.range),
                fault.code
            );
        }
        for fault in &self.lost.ranges {
            let _ =
                writeln!(text, "# lost: {:#x} {:#x} {}", fault.range.start, ranges::length(&fault.range), fault.code);
        }
        let _ = writeln!(text, "# current_pos  current_status  current_pass");
        let status = if self.done < length { '?' } else { '+' };
        let _ = writeln!(text, "{:#010x}     {status}               1", self.done);
        let _ = writeln!(text, "#      pos        size  status");
        let mut at = 0;
        let mut line = |range: Range<u64>, status: char| {
            if !range.is_empty() {
                let _ = writeln!(text, "{:#010x}  {:#010x}  {status}", range.start, ranges::length(&range));
            }
        };
        for fault in &self.lost.ranges {
            line(at..fault.range.start, '+');
            line(fault.range.clone(), '-');
            at = fault.range.end;
        }
        line(at..self.done, '+');
        line(self.done..length, '?');
        text
    }

    /// What an earlier export wrote down.
    pub(super) fn parse(text: &[u8], map: &Map) -> Result<Self> {
        let text = String::from_utf8_lossy(text);
        let other = || {
            Error::new(ErrorKind::Usage, "this is the map of another export")
                .detail(format!("wanted: {}", map.identity))
                .advise("choose another name for the file")
        };
        let of = text.lines().find_map(|line| line.strip_prefix("# of: ")).ok_or_else(other)?;
        if of != map.identity {
            return Err(other());
        }
        let read = text.lines().find_map(|line| line.strip_prefix(READ)).ok_or_else(other)?;
        let read: Reading = serde_json::from_str(read).map_err(|_| other())?;
        if let Some(difference) = map.reading.difference(&read) {
            let text = format!("the earlier run cannot be gone on with: {difference}");
            return Err(Error::new(ErrorKind::Usage, text)
                .advise("go on with the same images and the same switches, or choose another name for the file"));
        }
        let number = |word: &str| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok();
        let finished = text.lines().find_map(|line| line.strip_prefix(FINISHED));
        let finished = finished.map(|finished| Finished::parse(finished).ok_or_else(other)).transpose()?;
        let mut state = State { finished, ..State::default() };
        for line in text.lines() {
            let kinds = [("# lost: ", FaultKind::Lost), ("# doubtful: ", FaultKind::Doubtful)];
            for (prefix, kind) in kinds {
                let Some(rest) = line.strip_prefix(prefix) else { continue };
                let mut words = rest.split(' ');
                let mut next = || words.next();
                let fault = (|| {
                    let start = number(next()?)?;
                    let end = start.checked_add(number(next()?)?)?;
                    let code = Code::named(next()?)?;
                    Some(Fault { range: start..end, kind, code: code.as_str(), link: None })
                })();
                state.add(fault.ok_or_else(other)?);
            }
        }
        let status = text.lines().find(|line| !line.starts_with('#')).and_then(|line| line.split_whitespace().next());
        state.done = status.and_then(number).filter(|done| *done <= map.length).ok_or_else(other)?;
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::RescueMap;

    #[test]
    fn a_map_says_what_it_was_made_of() {
        let mut state = State { done: 1 << 20, ..State::default() };
        let mut faults = Faults::new();
        faults.lost(4096..8192, Code::HostReadError.as_str());
        faults.lost(6144..12288, Code::HostReadError.as_str());
        faults.doubtful(512..1024, Code::LogTorn.as_str());
        state.add_all(&faults, 512);
        assert_eq!((state.lost.bytes, state.doubtful.bytes), (8192, 512));
        let map = |identity: &str, is_of_disk| Map {
            place: "map".into(),
            identity: identity.to_owned(),
            reading: Reading::of(&[], Vec::new()),
            length: 2 << 20,
            is_of_disk,
        };
        let text = state.text(&map("a disk", false));
        let again = State::parse(text.as_bytes(), &map("a disk", false)).unwrap();
        assert_eq!((again.done, again.lost.bytes, again.doubtful.bytes), (1 << 20, 8192, 512));
        assert_eq!(again.text(&map("a disk", false)), text);
        assert!((0..=text.len()).all(|end| is_begun(&text.as_bytes()[..end])));
        assert!(!is_begun(b"# Mapfile. Created by GNU ddrescue version 1.27\n") && !is_begun(b"0"));
        assert!(State::parse(text.as_bytes(), &map("another disk", false)).is_err());
        let read_otherwise = Map { reading: Reading::of(&[], vec!["--live".to_owned()]), ..map("a disk", false) };
        let Err(error) = State::parse(text.as_bytes(), &read_otherwise) else { panic!("it is gone on with") };
        assert!(error.to_string().contains("done without --live"), "{error}");
        RescueMap::parse(text.as_bytes()).unwrap();
        let error = RescueMap::parse(state.text(&map("a disk", true)).as_bytes()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        let bad: Vec<&str> = text.lines().filter(|line| line.ends_with('-')).collect();
        assert_eq!(bad, ["0x00000e00  0x00002000  -"]);
    }

    #[test]
    fn where_ranges_are_too_many_none_is_called_whole() {
        let mut state = State::default();
        let count = u64::try_from(MAX_RANGES).unwrap() + 10;
        for at in 0..count {
            let mut faults = Faults::new();
            faults.lost(at * 1024..at * 1024 + 512, Code::HostReadError.as_str());
            state.add_all(&faults, 0);
        }
        assert_eq!((state.lost.ranges.len(), state.lost.bytes), (MAX_RANGES, count * 512));
        let last = state.lost.ranges.last().unwrap().range.clone();
        assert_eq!(last, (count - 11) * 1024..(count - 1) * 1024 + 512);
    }
}
