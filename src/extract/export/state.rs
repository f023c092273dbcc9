//! How far an export has come, and its map: in the form of GNU ddrescue's mapfile, so that its tools, and `--map` of this
//! program, read it.

use std::fmt::Write as _;
use std::ops::Range;

use super::len;
use crate::error::{Error, ErrorKind, Result};
use crate::extract::row::Damage;
use crate::report::Code;

/// How far an export has come. Offsets count from the start of the part.
#[derive(Default)]
pub(super) struct State {
    pub(super) done: u64,
    pub(super) damage: Damage,
}

impl State {
    /// The map: ddrescue's lines, and in comments what those have no word for.
    pub(super) fn text(&self, identity: &str, length: u64) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "# Mapfile of an export by {} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        let _ = writeln!(text, "# of: {identity}");
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
    pub(super) fn parse(text: &[u8], identity: &str, length: u64) -> Result<Self> {
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
