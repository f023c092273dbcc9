//! What a named stream is written to: the file or folder at the destination that it belongs to.

use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::io;
use std::sync::Arc;

use mount_api::Times;

use super::sink::{Folder, Opened, Output, Standing};
use super::spot::Spot;

/// A file or folder of the destination, which is opened when the first stream is written to it.
pub(super) struct Carrier {
    spot: Spot,
    /// The folder that it is opened from, and its name there.
    folder: Arc<Folder>,
    name: OsString,
    /// Of a file. A folder gets its times at the very end.
    marks: Option<Marks>,
    /// Whether it was made just now, and so has no streams yet.
    is_new: bool,
    opened: OnceCell<Opened>,
}

/// What the writing of streams changes.
pub(super) struct Marks {
    pub(super) times: Times,
    pub(super) attributes: u32,
    /// Of what is opened to be written to, so that it is what it should be.
    pub(super) size: u64,
}

impl Carrier {
    /// A file that was written just now, or that an earlier run wrote whole.
    pub(super) fn file(spot: Spot, folder: &Arc<Folder>, name: &OsStr, new: Option<Opened>, marks: Marks) -> Self {
        let is_new = new.is_some();
        let opened = new.map(OnceCell::from).unwrap_or_default();
        let (folder, name, marks) = (Arc::clone(folder), name.to_owned(), Some(marks));
        Carrier { spot, folder, name, marks, is_new, opened }
    }

    /// A folder.
    pub(super) fn folder(spot: Spot, folder: Arc<Folder>) -> Self {
        Carrier { spot, folder, name: ".".into(), marks: None, is_new: false, opened: OnceCell::new() }
    }

    /// Where a stream of it stands.
    pub(super) fn stream(&self, name: &OsStr) -> Spot {
        self.spot.stream(name)
    }

    /// Whether nothing that an earlier run wrote can be in its streams.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Makes a content a stream of it. Its times and attributes are those of the disk then, so that a run may be killed once this
    /// is told.
    ///
    /// # Errors
    /// As the host's, with the content.
    pub(super) fn take<'a>(
        &self,
        output: Output<'a>,
        name: &OsStr,
        standing: Standing,
    ) -> Result<(), (io::Error, Output<'a>)> {
        let ready = self.opened().and_then(|opened| Ok((opened, opened.allow_streams()?)));
        let (opened, was_read_only) = match ready {
            Ok(ready) => ready,
            Err(error) => return Err((error, output)),
        };
        let done = output.finish_as_stream(opened, name, standing);
        let marked = match &self.marks {
            Some(marks) => opened.finish_file(&marks.times, marks.attributes),
            None if was_read_only => opened.forbid_writing(),
            None => Ok(()),
        };
        if let Err(error) = marked {
            log::debug!("{}: times and attributes cannot be set again: {error}", self.spot.text());
        }
        done
    }

    /// Whether a stream of it holds this content.
    pub(super) fn holds(&self, output: &mut Output<'_>, name: &OsStr) -> bool {
        self.opened().is_ok_and(|opened| output.stands_as_stream(opened, name))
    }

    /// It, open: a file of the right size, or a folder.
    fn opened(&self) -> io::Result<&Opened> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let opened = self.folder.open_to_mark(&self.name)?;
        if opened.file_size() != self.marks.as_ref().map(|marks| marks.size) {
            return Err(io::Error::other("what bears the name of its file is another one"));
        }
        Ok(self.opened.get_or_init(|| opened))
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "what stands at the destination")]
mod tests {
    use std::fs;

    use super::super::Sink;
    use super::*;

    #[test]
    fn what_is_not_the_file_that_was_written_is_left_alone() {
        let to = tempfile::tempdir().unwrap();
        let sink = Sink::open(to.path()).unwrap();
        let root = sink.folder(&[]).unwrap();
        fs::write(to.path().join("file"), "1234").unwrap();
        fs::create_dir(to.path().join("folder")).unwrap();
        let opens = |name: &str, size| {
            let marks = Marks { times: Times::default(), attributes: 0, size };
            Carrier::file(Spot::new(name.into()), &root, OsStr::new(name), None, marks).opened().is_ok()
        };
        assert!(opens("file", 4));
        assert!(!opens("file", 3) && !opens("folder", 0) && !opens("none", 0));
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("file", to.path().join("link")).unwrap();
            assert!(!opens("link", 4), "a link is followed");
        }
        assert!(Carrier::folder(Spot::new("folder".into()), sink.folder(&["folder".into()]).unwrap()).opened().is_ok());
    }
}
