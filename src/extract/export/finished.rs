//! How a file stood when the export had completed it.

use std::io;
use std::path::Path;

use crate::extract::last_change::last_change;
use crate::extract::utc::timestamp;

/// What the map keeps of a file that is complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finished {
    size: u64,
    /// When it was last changed; `None` where the host does not say.
    modified: Option<String>,
    /// SHA-256 of the bytes of the disk, where it was computed.
    sha256: Option<String>,
}

impl Finished {
    /// How the file stands now.
    pub(super) fn of(file: &Path, sha256: Option<String>) -> io::Result<Self> {
        let found = std::fs::metadata(file)?;
        Ok(Finished { size: found.len(), modified: last_change(&found).and_then(timestamp), sha256 })
    }

    /// What is known of a file that stands so now; `None` where it was changed. Where both times its bytes were hashed, they
    /// decide: a copy may have another time.
    pub(super) fn seen_again(self, now: Self) -> Option<Self> {
        let same = match (&self.sha256, &now.sha256) {
            (Some(then), Some(now)) => then == now,
            _ => self.modified.is_some() && self.modified == now.modified,
        };
        (same && self.size == now.size).then(|| Finished { sha256: now.sha256.or(self.sha256), ..now })
    }

    /// As the map tells it.
    pub(super) fn text(&self) -> String {
        let or_none = |what: &Option<String>| what.clone().unwrap_or_else(|| "-".to_owned());
        format!("{} {} {}", self.size, or_none(&self.modified), or_none(&self.sha256))
    }

    /// What the map told.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let size = words.next()?.parse().ok()?;
        let mut next = || words.next().map(|word| Some(word.to_owned()).filter(|word| word != "-"));
        Some(Finished { size, modified: next()?, sha256: next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(size: u64, modified: Option<&str>, sha256: Option<&str>) -> Finished {
        Finished { size, modified: modified.map(ToOwned::to_owned), sha256: sha256.map(ToOwned::to_owned) }
    }

    #[test]
    fn the_hash_decides_where_there_is_one_and_else_the_time() {
        let then = file(4, Some("then"), Some("a"));
        assert_eq!(Finished::parse(&then.text()), Some(then.clone()));
        assert_eq!(Finished::parse(&file(4, None, None).text()), Some(file(4, None, None)));
        assert!(Finished::parse("4 x").is_none());
        let seen = |now: Finished| then.clone().seen_again(now);
        assert_eq!(seen(file(4, Some("now"), Some("a"))), Some(file(4, Some("now"), Some("a"))));
        assert_eq!(seen(file(4, Some("then"), None)), Some(then.clone()));
        assert_eq!(seen(file(4, Some("then"), Some("b"))), None);
        assert_eq!(seen(file(4, Some("now"), None)), None);
        assert_eq!(seen(file(5, Some("then"), Some("a"))), None);
        assert_eq!(file(4, None, None).seen_again(file(4, None, None)), None, "nothing is known of it");
    }
}
