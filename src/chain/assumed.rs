//! What the user says of single images, and which links that are.

use std::path::{Path, PathBuf};

use super::link::Link;
use crate::error::{Error, ErrorKind, Result};
use crate::format::Facts;
use crate::image::{FileId, ImageStore, Whose};

/// See the module.
#[derive(Clone, Default)]
pub(super) struct Assumed {
    all: Vec<(Whose, Facts)>,
}

impl Assumed {
    /// Finds the images that the user names.
    pub(super) fn find(store: &dyn ImageStore, named: &[(PathBuf, Facts)]) -> Result<Self> {
        let all = named.iter().map(|(path, facts)| Ok((Whose::find(store, path)?, *facts)));
        Ok(Assumed { all: all.collect::<Result<_>>()? })
    }

    /// What the user says of one image. Of two of one kind the last one counts.
    pub(super) fn of(&self, path: &Path, id: &FileId) -> Facts {
        let own = self.all.iter().filter(|(whose, _)| whose.is(path, id));
        own.fold(Facts::default(), |all, (_, facts)| facts.or(all))
    }

    /// Refuses a name that is that of no link: it was mistyped.
    pub(super) fn check_names(&self, links: &[Link]) -> Result<()> {
        let is_no_link = |whose: &Whose| links.iter().all(|link| !whose.is(&link.path, &link.id));
        for (whose, _) in &self.all {
            if let Whose::Name(name) = whose
                && is_no_link(whose)
            {
                let text = "something is assumed of it, and neither is there such a file nor has a link of the chain that name";
                let error = Error::new(ErrorKind::NotFound, text).in_file(name);
                return Err(error.advise("give the file name or the path of a link; `vhdx-mount info` lists them"));
            }
        }
        Ok(())
    }
}
