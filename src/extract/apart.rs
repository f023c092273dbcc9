//! Names that differ in case alone stay apart at a destination that takes such names for one.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};

use mount_api::DirEntry;

use super::copy::Run;
use super::names;

/// Gives what is in one folder its names at the destination, so that a later run gives the same ones.
pub(super) struct Apart<'a> {
    run: &'a Run<'a>,
    /// In lower case, what was given; `None` where the destination tells upper from lower case.
    given: Option<HashSet<String>>,
}

impl<'a> Apart<'a> {
    pub(super) fn new(run: &'a Run<'a>) -> Self {
        Apart { run, given: run.sink.folds_case().then(HashSet::new) }
    }

    /// The name of the next entry; `None` where its own will do. To be asked for all entries of the folder, in an order that is
    /// the same in each run, and for those too that are not wanted: the next run may want others.
    pub(super) fn name(&mut self, entry: &DirEntry) -> Option<OsString> {
        let given = self.given.as_mut()?;
        let plain = self.run.spell(&entry.name);
        let numbered = (2u32..).map(|number| names::numbered(&plain, number));
        std::iter::once(plain.clone()).chain(numbered).find(|name| given.insert(folded(name)))
    }
}

fn folded(name: &OsStr) -> String {
    name.to_string_lossy().to_lowercase()
}
