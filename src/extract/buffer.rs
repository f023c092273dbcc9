//! What one thread reads into. Small contents stay in it till some are there, to be hashed together.

use std::time::{Duration, Instant};

use serde_json::json;

use super::hashes::{HashKind, hex};
use super::in_turns::sha256_of_each;
use super::pieces::MOST;
use super::row::Row;

/// A content of at most so many bytes waits to be hashed with others.
const SMALL: u64 = 512 << 10;

/// Bytes, contents and time after which it is time to hash, as it is looked at after each content: rows come after what they tell
/// of, and a run that is killed has to look at what has no row again.
const TOGETHER: usize = 1 << 20;
const MANY: usize = 64;
const LONG: Duration = Duration::from_millis(100);

/// What one thread reads into.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    /// How many of them are those of contents that wait.
    filled: usize,
    waiting: Vec<(Row, usize)>,
    since: Instant,
}

impl Buffer {
    pub(super) fn new() -> Self {
        // Beside all that waits there always is room for a piece.
        let bytes = vec![0; TOGETHER.saturating_add(MOST)];
        Buffer { bytes, filled: 0, waiting: Vec::new(), since: Instant::now() }
    }

    /// Whether a content of so many bytes is read as a whole and hashed later.
    pub(super) fn keeps(hashes: &[HashKind], size: u64) -> bool {
        hashes == [HashKind::Sha256] && size <= SMALL
    }

    /// Where to read to: room for [`MOST`] bytes at least.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.filled..).unwrap_or_default()
    }

    /// Keeps the first bytes of the room until they are hashed, for this row. Whether it is time for that.
    pub(super) fn keep(&mut self, row: Row, size: u64) -> bool {
        if self.waiting.is_empty() {
            self.since = Instant::now();
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        self.waiting.push((row, size));
        self.filled = self.filled.saturating_add(size);
        self.filled > TOGETHER || self.waiting.len() >= MANY || self.since.elapsed() >= LONG
    }

    /// The rows that wait, with the hashes of their contents, in their order.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Row> + use<> {
        let waiting = std::mem::take(&mut self.waiting);
        let mut rest = self.bytes.get(..self.filled).unwrap_or_default();
        let contents = waiting.iter().map(|(_, size)| rest.split_off(..*size).unwrap_or_default());
        let hashes = sha256_of_each(contents);
        self.filled = 0;
        waiting.into_iter().zip(hashes).map(|((mut row, _), hash)| {
            row.set(HashKind::Sha256.as_str(), json!(hex(&hash)));
            row
        })
    }
}
