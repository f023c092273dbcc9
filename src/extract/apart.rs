//! Names that differ in case alone stay apart at a destination that takes such names for one.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};

use mount_api::DirEntry;

use super::copy::Run;
use super::names;

/// Gives what is in one folder its names at the destination, so that a later run gives the same ones.
pub(super) struct Apart<'a> {
    run: &'a Run<'a>,
    /// `None` where the destination tells upper from lower case.
    given: Option<Given>,
}

impl<'a> Apart<'a> {
    pub(super) fn new(run: &'a Run<'a>) -> Self {
        Apart { run, given: run.sink.folds_case().then(Given::default) }
    }

    /// The name of the next entry; `None` where its own will do. To be asked for all entries of the folder, in an order that is
    /// the same in each run, and for those too that are not wanted: the next run may want others.
    pub(super) fn name(&mut self, entry: &DirEntry) -> Option<OsString> {
        let given = self.given.as_mut()?;
        Some(given.apart(self.run.spell(&entry.name)))
    }
}

/// The names of a folder that were given: in lower case, with the last number that was tried for one like it.
#[derive(Default)]
struct Given(HashMap<String, u32>);

impl Given {
    /// The name itself, or with the first number that makes it differ from all that were given. A folder of names that are all
    /// one takes a try for each: where the search ended for the last of them, it goes on.
    fn apart(&mut self, plain: OsString) -> OsString {
        let like = folded(&plain);
        let Some(last) = self.0.get(&like).copied() else {
            self.0.insert(like, 1);
            return plain;
        };
        let mut number = last;
        loop {
            number = number.saturating_add(1);
            let name = names::numbered(&plain, number);
            let key = folded(&name);
            if number == u32::MAX || !self.0.contains_key(&key) {
                self.0.insert(key, 1);
                self.0.insert(like, number);
                return name;
            }
        }
    }
}

fn folded(name: &OsStr) -> String {
    name.to_string_lossy().to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn all(names: &[OsString]) -> Vec<OsString> {
        let mut given = Given::default();
        names.iter().map(|name| given.apart(name.clone())).collect()
    }

    #[test]
    fn names_that_differ_in_case_alone_are_numbered() {
        let names = ["Bill.txt", "bill.txt", "other", "BILL.TXT", "bill.txt%~3"].map(OsString::from);
        let apart = all(&names);
        assert_eq!(apart, ["Bill.txt", "bill.txt%~2", "other", "BILL.TXT%~3", "bill.txt%~3%~2"]);
    }

    /// Two thousand million tries, were each searched from the start.
    #[test]
    fn tens_of_thousands_of_names_that_are_one_are_kept_apart_in_a_moment() {
        let variant = |bits: u32| {
            let letter = |bit: u32| if bits >> bit & 1 == 1 { 'A' } else { 'a' };
            OsString::from((0..16).map(letter).collect::<String>())
        };
        let names: Vec<OsString> = (0..1 << 16).map(variant).collect();
        let apart = all(&names);
        assert_eq!(apart.iter().map(|name| folded(name)).collect::<HashSet<_>>().len(), names.len());
        assert_eq!(apart, all(&names), "the next run");
    }
}
