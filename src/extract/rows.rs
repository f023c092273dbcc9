//! A manifest, read back row by row: one of some million rows does not have to fit into memory.

use std::io::{self, BufRead, Read};

use serde_json::{Map, Value};

/// The longest line that is believed to be a row: with all the ranges that a row may list it has about 2 MiB.
const LONGEST: u64 = 64 << 20;

/// The rows of a manifest. Lines that are none are left out, as is half a line at the end: an interrupted run may have left
/// one.
pub(super) struct Rows<R> {
    manifest: R,
    line: Vec<u8>,
}

impl<R: BufRead> Rows<R> {
    pub(super) fn new(manifest: R) -> Self {
        Rows { manifest, line: Vec::new() }
    }

    /// The next row.
    ///
    /// # Errors
    /// As the host's.
    pub(super) fn next(&mut self) -> io::Result<Option<Map<String, Value>>> {
        loop {
            self.line.clear();
            if (&mut self.manifest).take(LONGEST).read_until(b'\n', &mut self.line)? == 0 {
                return Ok(None);
            }
            // A piece of what is too long to be a row is none either.
            if self.line.ends_with(b"\n")
                && let Ok(row) = serde_json::from_slice(&self.line)
            {
                return Ok(Some(row));
            }
        }
    }

    /// The line of the last row, with its line feed.
    pub(super) fn line(&self) -> &[u8] {
        &self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &[u8]) -> Vec<String> {
        let mut rows = Rows::new(text);
        let mut paths = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            assert!(rows.line().starts_with(b"{") && rows.line().ends_with(b"}\n"));
            paths.push(row["path"].as_str().unwrap().to_owned());
        }
        paths
    }

    #[test]
    fn half_a_line_is_no_row() {
        assert_eq!(paths(b"{\"path\":\"a\"}\n{\"path\":\"b\"}\n{\"pa"), ["a", "b"]);
        assert_eq!(paths(b"{\"path\":\"a\"}\n\nnonsense\n{\"path\":\"b\"}\n{\"path\":\"c\"}"), ["a", "b"]);
        assert!(paths(b"{\"path\"").is_empty() && paths(b"").is_empty());
    }
}
