//! Which files are wanted.

use std::collections::HashSet;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use mount_api::{Attr, Kind, Time};

use crate::error::{Error, ErrorKind, Result};

/// Patterns of paths. They compare without case, as NTFS does; `*` and `?` stop at a slash, `**` does not.
///
/// A pattern with a slash in it is one of whole paths, from the root on; one without is one of names, wherever they stand.
/// A folder that fits brings all that is in it.
#[derive(Debug, Clone, Default)]
pub struct Patterns(Option<GlobSet>);

impl Patterns {
    /// The patterns of a list; `None` stands for all paths.
    ///
    /// # Errors
    /// When one of them is none.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut set = GlobSetBuilder::new();
        let mut any = false;
        for pattern in patterns {
            any = true;
            // The set compares ASCII letters without case only, so it gets lower case, as do the paths.
            let whole = pattern.trim_start_matches('/').trim_end_matches('/').to_lowercase();
            let rooted = pattern.contains('/');
            let glob = if rooted { whole } else { format!("**/{whole}") };
            for glob in [format!("{glob}/**"), glob] {
                let built = GlobBuilder::new(&glob).literal_separator(true).build();
                set.add(built.map_err(|error| wrong(pattern, &error))?);
            }
        }
        let set = set.build().map_err(|error| wrong("", &error))?;
        Ok(Patterns(any.then_some(set)))
    }

    fn fits(&self, path: &str) -> Option<bool> {
        self.0.as_ref().map(|set| set.is_match(path.to_lowercase()))
    }
}

fn wrong(pattern: &str, error: &globset::Error) -> Error {
    Error::new(ErrorKind::Usage, format!("{pattern:?} is no pattern: {}", error.kind())).advise(
        "`*` stands for a part of a name, `**` for any folders, `[ab]` for one of some characters; `[*]` is a star",
    )
}

/// Which files are wanted.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// What is wanted; everything where there are no patterns.
    pub wanted: Patterns,
    /// What is not wanted, of that.
    pub unwanted: Patterns,
    /// Only these paths, exactly, and what is in them.
    pub listed: Option<HashSet<String>>,
    /// What goes first.
    pub first: Patterns,
    /// Only files that were last changed then or later.
    pub newer: Option<Time>,
    /// Only files that were last changed before then.
    pub older: Option<Time>,
    /// Only files of at most so many bytes.
    pub max_size: Option<u64>,
}

impl Choice {
    /// Whether a path is wanted, as far as the path tells.
    #[must_use]
    pub fn wants_path(&self, path: &str) -> bool {
        let listed = self.listed.as_ref().is_none_or(|listed| is_in(path, listed));
        listed && self.wanted.fits(path).unwrap_or(true) && !self.unwanted.fits(path).unwrap_or(false)
    }

    /// Whether a wanted path goes first.
    #[must_use]
    pub fn goes_first(&self, path: &str) -> bool {
        self.first.fits(path).unwrap_or(false)
    }

    /// Whether there is anything that goes first.
    #[must_use]
    pub fn has_first(&self) -> bool {
        self.first.0.is_some()
    }

    /// Whether a file of a wanted path is wanted. Folders always are: what is in them decides.
    #[must_use]
    pub fn wants(&self, attr: &Attr) -> bool {
        let modified = attr.times.modified;
        attr.kind == Kind::Directory
            || self.newer.is_none_or(|newer| modified >= newer)
                && self.older.is_none_or(|older| modified < older)
                && self.max_size.is_none_or(|most| attr.size <= most)
    }
}

/// Whether a path, or a folder above it, is in the list.
fn is_in(path: &str, list: &HashSet<String>) -> bool {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    ends.filter_map(|end| path.get(..end)).any(|folder| list.contains(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(wanted: &[&str], unwanted: &[&str], path: &str) -> bool {
        let patterns = |list: &[&str]| Patterns::new(list.iter().copied()).unwrap();
        Choice { wanted: patterns(wanted), unwanted: patterns(unwanted), ..Choice::default() }.wants_path(path)
    }

    #[test]
    fn names_anywhere_and_paths_from_the_root() {
        assert!(wants(&[], &[], "volume-1/a"));
        assert!(wants(&["*.docx"], &[], "volume-1/Users/A.DOCX"));
        assert!(wants(&["users"], &[], "volume-1/Users/x/y"));
        assert!(wants(&["volume-1/Users"], &[], "volume-1/Users/x/y"));
        assert!(wants(&["/volume-1/users/"], &[], "volume-1/Users"));
        assert!(!wants(&["volume-1/*.txt"], &[], "volume-1/a/b.txt"));
        assert!(wants(&["volume-1/**/*.txt"], &[], "volume-1/a/b.txt"));
        assert!(!wants(&["*.txt"], &["windows"], "volume-1/Windows/a.txt"));
        assert!(!wants(&[], &["pagefile.sys"], "volume-1/pagefile.sys"));
        assert!(Patterns::new(["[a"]).is_err());
        let listed = Some(HashSet::from(["volume-1/a".to_owned()]));
        let listed = Choice { listed, ..Choice::default() };
        assert!(listed.wants_path("volume-1/a/b") && !listed.wants_path("volume-1/ab"));
        assert!(wants(&["ÄRZTE"], &[], "volume-1/ärzte"));
    }
}
