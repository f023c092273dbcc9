use std::ops::Range;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::file::read_small;
use super::range_set::RangeSet;
use crate::bytes::len_u64;
use crate::error::{Error, ErrorKind, Result};

/// The map of a GNU ddrescue run (its "mapfile"): which bytes of a copy could be copied.
///
/// Text: lines that begin with `#` are comments; the first other line tells where ddrescue stands (`position status
/// [pass]`); each line after it is a block (`position size status`). Positions and sizes are decimal, hexadecimal
/// (`0x…`) or octal (`0…`), as C writes them. Only blocks of the status `+` were copied; so what no block names was
/// not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RescueMap {
    /// Bytes that were not copied, up to the end of the number range.
    missing: RangeSet,
    hash: [u8; 32],
}

/// Maps are text of some 40 bytes for each bad place; this is two million of them.
const MAX_LENGTH: u64 = 64 << 20;

const STRUCTURE: &str = "ddrescue map";

/// A comment in maps that this program writes beside a container: they tell of the disk in it, at offsets of the disk.
pub(crate) const OF_THE_DISK: &str = "# offsets are those of the disk, not of the file that holds it";

/// What a line of the map may say in place of `+`: not tried, not trimmed, not scraped, bad.
const UNFINISHED: [&str; 4] = ["?", "*", "/", "-"];

impl RescueMap {
    /// Reads a map from a file of the host.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); when the file cannot be read, or is larger than 64 MiB.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&read_small(path, MAX_LENGTH)?).map_err(|error| error.in_file(path))
    }

    /// Reads a map from its text.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when a line is none of a map, or blocks overlap or are out of order: a map that was cut or
    /// mixed up would vouch for bytes that were never copied. [`ErrorKind::Usage`] when it tells of no copy of a file, but of
    /// the disk in a container.
    pub fn parse(text: &[u8]) -> Result<Self> {
        if text.split(|byte| *byte == b'\n').any(|line| line == OF_THE_DISK.as_bytes()) {
            let text = "this map tells of bytes of the disk, and none of the file that an export wrote it into";
            return Err(Error::new(ErrorKind::Usage, text).advise("leave it out: what is lost is zeros in that file"));
        }
        let mut next = 0u64;
        let lines = (1u64..).zip(text.split(|byte| *byte == b'\n')).map(|(number, line)| {
            let at = next;
            next = next.saturating_add(len_u64(line)).saturating_add(1);
            ((number, at), line)
        });
        let mut lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty() && !line.starts_with(b"#"));
        let bad = |(number, at): (u64, u64), why: &str| {
            let text = format!("line {number}: {why}");
            Error::new(ErrorKind::Corrupt, text)
                .at(STRUCTURE, at)
                .advise("give the mapfile that ddrescue wrote, whole and unchanged")
        };
        let status = lines.next().map(|(number, line)| (number, fields(line)));
        match status {
            None => return Err(bad((1, 0), "there is nothing but comments")),
            Some((number, fields)) => {
                is_status_line(&fields)
                    .then_some(())
                    .ok_or_else(|| bad(number, "no status line of a ddrescue map (position, status, pass)"))?;
            }
        }
        let mut missing = RangeSet::default();
        let mut end = 0;
        for (number, line) in lines {
            let (block, finished) =
                block(&fields(line)).ok_or_else(|| bad(number, "not a block (position, size, status)"))?;
            if block.start < end {
                return Err(bad(number, "the block begins before the one above it ends"));
            }
            missing.insert(end..block.start);
            if !finished {
                missing.insert(block.clone());
            }
            end = block.end;
        }
        missing.insert(end..u64::MAX);
        Ok(RescueMap { missing, hash: Sha256::digest(text).into() })
    }

    /// The SHA-256 of its text.
    #[must_use]
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// What of `range` was not copied, in order.
    pub fn missing(&self, range: &Range<u64>) -> impl Iterator<Item = Range<u64>> {
        self.missing.within(range)
    }
}

fn fields(line: &[u8]) -> Vec<&str> {
    // One more than any line has.
    std::str::from_utf8(line).map(|line| line.split_ascii_whitespace().take(4).collect()).unwrap_or_default()
}

/// Newer versions tell the pass; their current status has two more letters.
fn is_status_line(fields: &[&str]) -> bool {
    let (position, status) = match fields {
        [position, status] => (position, status),
        [position, status, pass] if number(pass).is_some() => (position, status),
        _ => return false,
    };
    number(position).is_some() && (is_block_status(status) || ["F", "G"].contains(status))
}

fn is_block_status(status: &str) -> bool {
    status == "+" || UNFINISHED.contains(&status)
}

fn block(fields: &[&str]) -> Option<(Range<u64>, bool)> {
    let [position, size, status] = fields else { return None };
    let start = number(position)?;
    let end = start.checked_add(number(size)?)?;
    is_block_status(status).then_some((start..end, *status == "+"))
}

/// A number as C's `strtoll` reads it; signs are not taken.
fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(())?;
    u64::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests;
