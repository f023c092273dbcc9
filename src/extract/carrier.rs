//! What a named stream is written to: the file or folder at the destination that it belongs to.

use std::cell::{Cell, OnceCell};
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
    /// Whether streams may have been written to it.
    written: Cell<bool>,
    was_read_only: Cell<bool>,
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
        Carrier { spot, folder, name, marks, is_new, opened, written: Cell::default(), was_read_only: Cell::default() }
    }

    /// A folder.
    pub(super) fn folder(spot: Spot, folder: Arc<Folder>) -> Self {
        let (name, opened, written, was_read_only) = (".".into(), OnceCell::new(), Cell::default(), Cell::default());
        Carrier { spot, folder, name, marks: None, is_new: false, opened, written, was_read_only }
    }

    /// Where a stream of it stands.
    pub(super) fn stream(&self, name: &OsStr) -> Spot {
        self.spot.stream(name)
    }

    /// Whether nothing that an earlier run wrote can be in its streams.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Makes a content a stream of it.
    ///
    /// # Errors
    /// As the host's, with the content.
    pub(super) fn take<'a>(
        &self,
        output: Output<'a>,
        name: &OsStr,
        standing: Standing,
    ) -> Result<(), (io::Error, Output<'a>)> {
        match self.opened() {
            Ok(opened) => output.finish_as_stream(opened, name, standing),
            Err(error) => Err((error, output)),
        }
    }

    /// Whether a stream of it holds this content.
    pub(super) fn holds(&self, output: &mut Output<'_>, name: &OsStr) -> bool {
        self.opened().is_ok_and(|opened| output.stands_as_stream(opened, name))
    }

    /// It, open and ready to be written to.
    fn opened(&self) -> io::Result<&Opened> {
        let opened = match self.opened.get() {
            Some(opened) => opened,
            None => {
                let opened = self.folder.open_to_mark(&self.name)?;
                if opened.file_size() != self.marks.as_ref().map(|marks| marks.size) {
                    return Err(io::Error::other("what bears the name of its file is another one"));
                }
                self.opened.get_or_init(|| opened)
            }
        };
        if !self.written.replace(true) {
            self.was_read_only.set(opened.allow_streams()?);
        }
        Ok(opened)
    }
}

impl Drop for Carrier {
    /// Gives it its marks again: streams that are written to a file change its times.
    fn drop(&mut self) {
        let Some(opened) = self.opened.get().filter(|_| self.written.get()) else { return };
        let done = match &self.marks {
            Some(marks) => opened.finish_file(&marks.times, marks.attributes),
            None if self.was_read_only.get() => opened.forbid_writing(),
            None => Ok(()),
        };
        if let Err(error) = done {
            log::debug!("{}: times and attributes cannot be set again: {error}", self.spot.text());
        }
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
