//! Which files are wanted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use mount_api::{Attr, Kind, Time};
use sha2::{Digest, Sha256};

use super::hashes::hex;
use crate::error::{Error, ErrorKind, Result};

/// Patterns of paths. They compare without case, as NTFS does; `*` and `?` stop at a slash, `**` does not.
///
/// A pattern with a slash in it is one of whole paths, from the root on; one without is one of names, wherever they stand.
/// A folder that fits brings all that is in it.
#[derive(Debug, Clone, Default)]
pub struct Patterns(Option<Set>);

#[derive(Debug, Clone)]
struct Set {
    globs: GlobSet,
    /// The patterns as they were given, each with whether any path fitted. Each has two globs in the set, in this order.
    given: Arc<[(String, AtomicBool)]>,
    /// The folders that each begins with, in lower case; empty for one that may fit anywhere.
    roots: Arc<[String]>,
}

/// Paths, each with whether it was met.
#[derive(Debug, Clone, Default)]
pub struct Listed(Arc<BTreeMap<String, AtomicBool>>);

impl Patterns {
    /// The patterns of a list; `None` stands for all paths.
    ///
    /// # Errors
    /// When one of them is none.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut set = GlobSetBuilder::new();
        let (mut given, mut roots) = (Vec::new(), Vec::new());
        for pattern in patterns {
            // The set compares ASCII letters without case only, so it gets lower case, as do the paths.
            let whole = pattern.trim_start_matches('/').trim_end_matches('/').to_lowercase();
            if whole.is_empty() {
                return Err(Error::new(ErrorKind::Usage, format!("{pattern:?} is no pattern: it is empty"))
                    .advise("a variable of the shell may not be set; leave it out where everything is wanted"));
            }
            given.push((pattern.to_owned(), AtomicBool::new(false)));
            let rooted = pattern.contains('/');
            roots.push(if rooted { root_of(&whole) } else { String::new() });
            let glob = if rooted { whole } else { format!("**/{whole}") };
            for glob in [format!("{glob}/**"), glob] {
                let built = GlobBuilder::new(&glob).literal_separator(true).build();
                set.add(built.map_err(|error| wrong(pattern, &error))?);
            }
        }
        let globs = set.build().map_err(|error| wrong("", &error))?;
        Ok(Patterns((!given.is_empty()).then(|| Set { globs, given: given.into(), roots: roots.into() })))
    }

    fn fits(&self, path: &str) -> Option<bool> {
        let set = self.0.as_ref()?;
        let path = path.to_lowercase();
        if set.given.iter().all(|(_, met)| met.load(Ordering::Relaxed)) {
            return Some(set.globs.is_match(path));
        }
        let fitting = set.globs.matches(path);
        for (_, met) in fitting.iter().filter_map(|glob| set.given.get(glob / 2)) {
            met.store(true, Ordering::Relaxed);
        }
        Some(!fitting.is_empty())
    }

    /// Whether a path below this folder may fit.
    fn may_fit_below(&self, folder: &str) -> Option<bool> {
        let folder = folder.to_lowercase();
        Some(self.0.as_ref()?.roots.iter().any(|root| is_within(root, &folder) || is_within(&folder, root)))
    }

    /// Whether a path fits, asked without anybody having met it.
    fn would_fit(&self, path: &str) -> Option<bool> {
        Some(self.0.as_ref()?.globs.is_match(path.to_lowercase()))
    }

    fn unmet(&self) -> impl Iterator<Item = &str> {
        let given = self.0.iter().flat_map(|set| set.given.iter());
        given.filter(|(_, met)| !met.load(Ordering::Relaxed)).map(|(pattern, _)| pattern.as_str())
    }
}

impl FromIterator<String> for Listed {
    fn from_iter<T: IntoIterator<Item = String>>(paths: T) -> Self {
        Listed(Arc::new(paths.into_iter().map(|path| (path, AtomicBool::new(false))).collect()))
    }
}

impl Listed {
    /// Whether a path, or a folder above it, is in the list. Each that is was met: a list may have a folder and what is in it.
    fn holds(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
        let met = ends.filter_map(|end| self.0.get(path.get(..end)?));
        met.inspect(|met| met.store(true, Ordering::Relaxed)).count() > 0
    }

    /// Whether the list has this folder, one above it, or anything below it.
    fn has_any_below(&self, folder: &str) -> bool {
        if folder.is_empty() {
            return !self.0.is_empty();
        }
        let below = format!("{folder}/");
        let first_below = self.0.range(below.clone()..).next();
        first_below.is_some_and(|(path, _)| path.starts_with(&below))
            || below.match_indices('/').any(|(end, _)| below.get(..end).is_some_and(|path| self.0.contains_key(path)))
    }

    /// A number for all of the paths together, whatever order they were given in: their SHA-256.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for path in self.0.keys() {
            hash.update(path);
            // No name holds it.
            hash.update([0]);
        }
        hex(&hash.finalize())
    }

    fn unmet(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter(|(_, met)| !met.load(Ordering::Relaxed)).map(|(path, _)| path.as_str())
    }
}

/// The folders that a pattern begins with, before the first name that is not one alone.
fn root_of(pattern: &str) -> String {
    let plain = |name: &&str| !name.contains(['*', '?', '[', ']', '{', '}', '\\']);
    pattern.split('/').take_while(plain).collect::<Vec<_>>().join("/")
}

/// Whether a path is this folder, or below it. All are below the empty one.
fn is_within(path: &str, folder: &str) -> bool {
    let rest = path.strip_prefix(folder);
    folder.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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
    pub listed: Option<Listed>,
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
        let listed = self.listed.as_ref().is_none_or(|listed| listed.holds(path));
        listed && self.wanted.fits(path).unwrap_or(true) && !self.unwanted.fits(path).unwrap_or(false)
    }

    /// Whether anything in a folder may be wanted, however deep.
    #[must_use]
    pub fn may_want_below(&self, folder: &str) -> bool {
        let listed = self.listed.as_ref().is_none_or(|listed| listed.has_any_below(folder));
        // Where a folder is not wanted, nothing in it is.
        let unwanted = !folder.is_empty() && self.unwanted.fits(folder).unwrap_or(false);
        listed && !unwanted && self.wanted.may_fit_below(folder).unwrap_or(true)
    }

    /// Whether all that is in a folder is wanted, whatever its name, but for what is left out.
    #[must_use]
    pub fn wants_all_in(&self, folder: &str) -> bool {
        // No pattern that asks for some names means this one.
        const NOBODYS: &str = "\u{1}\u{1}\u{1}";
        let path = if folder.is_empty() { NOBODYS.to_owned() } else { format!("{folder}/{NOBODYS}") };
        self.listed.is_none() && self.wanted.would_fit(&path).unwrap_or(true)
    }

    /// What was wanted, pattern or listed path, and has fitted no path that was asked about so far; sorted.
    #[must_use]
    pub fn unmet(&self) -> Vec<&str> {
        let mut unmet: Vec<&str> = self.wanted.unmet().chain(self.listed.iter().flat_map(Listed::unmet)).collect();
        unmet.sort_unstable();
        unmet
    }

    /// What was to go first, and has fitted nothing that is wanted so far; sorted.
    #[must_use]
    pub fn unmet_first(&self) -> Vec<&str> {
        let mut unmet: Vec<&str> = self.first.unmet().collect();
        unmet.sort_unstable();
        unmet
    }

    /// Whether a listed path has fitted none so far: a list is of what is there, a pattern of what may be.
    #[must_use]
    pub fn misses_listed(&self) -> bool {
        self.listed.as_ref().is_some_and(|listed| listed.unmet().next().is_some())
    }

    /// Whether anything was asked for by pattern or path, and nothing of it has fitted so far.
    #[must_use]
    pub fn met_nothing(&self) -> bool {
        let asked = self.wanted.0.iter().map(|set| set.given.len()).chain(self.listed.iter().map(|list| list.0.len()));
        let asked: usize = asked.fold(0, usize::saturating_add);
        asked > 0 && self.unmet().len() == asked
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

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(wanted: &[&str], unwanted: &[&str], path: &str) -> bool {
        let patterns = |list: &[&str]| Patterns::new(list.iter().copied()).unwrap();
        Choice { wanted: patterns(wanted), unwanted: patterns(unwanted), ..Choice::default() }.wants_path(path)
    }

    #[test]
    fn what_fits_nothing_is_known() {
        let wanted = Patterns::new(["*.txt", "volume-1/Usres"]).unwrap();
        let choice = Choice { wanted, ..Choice::default() };
        assert!(choice.met_nothing() && !Choice::default().met_nothing());
        assert!(!choice.wants_path("volume-1/Users") && choice.wants_path("volume-1/Users/a.TXT"));
        assert_eq!(choice.unmet(), ["volume-1/Usres"]);
        assert!(!choice.met_nothing());
        let listed = Some(Listed::from_iter(["volume-1/a".to_owned(), "volume-1/b".to_owned()]));
        let choice = Choice { listed, ..Choice::default() };
        assert!(choice.wants_path("volume-1/b/c") && !choice.wants_path("volume-1/c"));
        assert_eq!(choice.unmet(), ["volume-1/a"]);
        let listed = ["volume-1/a", "volume-1/a/b", "volume-1/a/b/c"].map(ToOwned::to_owned);
        let choice = Choice { listed: Some(Listed::from_iter(listed)), ..Choice::default() };
        assert!(choice.wants_path("volume-1/a/b/c"));
        assert_eq!(choice.unmet(), [""; 0]);
    }

    #[test]
    fn whole_folders_that_are_wanted_are_known() {
        let choice = |wanted: &[&str]| {
            let wanted = Patterns::new(wanted.iter().copied()).unwrap();
            Choice { wanted, unwanted: Patterns::new(["*.tmp"]).unwrap(), ..Choice::default() }
        };
        let all = [&[][..], &["volume-1"], &["/VOLUME-1/"], &["*.mdf", "volume-[12]"], &["volume-1/**"], &["volume-*"]];
        for all in all.into_iter().chain([&["volume-1/*"][..], &["*"], &["**"], &["**/*"]]) {
            assert!(choice(all).wants_all_in("volume-1"), "{all:?}");
        }
        for some in [&["volume-2"][..], &["volume-1/Users"], &["*.txt", "volume-2"], &["volume-1/*.*"], &["volume-1x"]]
        {
            assert!(!choice(some).wants_all_in("volume-1"), "{some:?}");
        }
        assert!(choice(&["*"]).wants_all_in("") && !choice(&["Users"]).wants_all_in(""));
        let listed = Some(Listed::from_iter(["volume-1".to_owned()]));
        assert!(!Choice { listed, ..Choice::default() }.wants_all_in("volume-1"));
        let asked = choice(&["volume-1"]);
        assert!(asked.wants_all_in("volume-1") && asked.met_nothing(), "to ask is not to meet");
    }

    #[test]
    fn folders_that_can_hold_nothing_wanted_are_known() {
        let may = |wanted: &[&str], unwanted: &[&str], folder: &str| {
            let patterns = |list: &[&str]| Patterns::new(list.iter().copied()).unwrap();
            Choice { wanted: patterns(wanted), unwanted: patterns(unwanted), ..Choice::default() }
                .may_want_below(folder)
        };
        for folder in ["", "volume-1", "volume-1/USERS", "volume-1/Users/x/y"] {
            assert!(may(&[], &[], folder) && may(&["*.txt"], &[], folder), "{folder}");
            assert!(may(&["/volume-1/users/"], &["*.tmp"], folder), "{folder}");
            assert!(may(&["volume-1/us*/a"], &[], folder), "{folder}");
            assert_eq!(may(&["/volume-2"], &[], folder), folder.is_empty(), "{folder}");
        }
        assert!(!may(&["volume-1/Users"], &[], "volume-1/Users2"));
        assert!(!may(&["volume-1/Users"], &[], "volume-1/Windows"));
        assert!(may(&["volume-1/Users", "*.txt"], &[], "volume-1/Windows"));
        assert!(!may(&[], &["windows"], "volume-1/Windows/System32"));
        let listed = Some(Listed::from_iter(["volume-1/a/b".to_owned()]));
        let listed = Choice { listed, ..Choice::default() };
        let may: Vec<bool> =
            ["volume-1/a", "volume-1/a/b/c", "volume-1/ab", ""].map(|f| listed.may_want_below(f)).into();
        assert_eq!(may, [true, true, false, true]);
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
        for wrong in ["[a", "", "/"] {
            assert!(Patterns::new(["a", wrong]).is_err(), "{wrong:?}");
        }
        let listed = Some(Listed::from_iter(["volume-1/a".to_owned()]));
        let listed = Choice { listed, ..Choice::default() };
        assert!(listed.wants_path("volume-1/a/b") && !listed.wants_path("volume-1/ab"));
        assert!(wants(&["ÄRZTE"], &[], "volume-1/ärzte"));
    }
}
