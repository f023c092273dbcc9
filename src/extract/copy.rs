//! One file and its streams: copied, judged, named.

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::ffi::{OsStr, OsString};
use std::hash::{Hash, Hasher};
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mount_api::{Attr, Error, ErrorKind, Kind, Name, NodeId, StreamEntry, Times, Tree, Trust};
use serde_json::json;

use super::manifest::Manifest;
use super::pour::{Buffer, Content, Failed, pour};
use super::row::{Row, Verdict};
use super::sink::{Folder, Output, Sink, Standing, describe};
use super::stream::Stream;
use super::{Options, Progress, names};
use crate::image::FileId;

/// A file of more bytes may take long: what was done before it is told first.
const LONG: u64 = 16 << 20;

/// What stands between the names of a file and its stream. Windows would take a colon for a stream of its own, which no
/// file can be renamed to.
const STREAM: &str = if cfg!(windows) { "%3A" } else { ":" };

/// Files in a row that the destination did not take: then it takes nothing.
const MAX_REFUSED: u32 = 100;

/// Names that are tried where others stand in the way.
const MAX_NUMBER: u32 = 1000;

/// `FILE_ATTRIBUTE_ENCRYPTED`.
const ENCRYPTED: u32 = 0x4000;

/// A name that is wanted.
pub(super) struct Item {
    pub(super) tree: Arc<dyn Tree>,
    pub(super) node: NodeId,
    pub(super) kind: Kind,
    pub(super) path: Vec<Name>,
    pub(super) text: String,
    /// The folder of the host that it goes to, its path below the destination, and its own name there.
    pub(super) folder: Arc<Folder>,
    pub(super) place: PathBuf,
    pub(super) name: OsString,
}

/// What all threads of an extraction share.
pub(super) struct Run<'a> {
    pub(super) sink: &'a Sink,
    manifest: &'a Manifest<'a>,
    pub(super) options: &'a Options,
    progress: &'a Progress,
    /// Hashes of the places that this run has written: nothing of its own is replaced.
    written: Mutex<HashSet<u64>>,
    /// Files in a row that the destination did not take.
    refused: AtomicU32,
    /// For good: a slow thread may still finish a file after the last of them.
    gave_up: AtomicBool,
    folders: Mutex<Vec<(Vec<OsString>, Times)>>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        sink: &'a Sink,
        manifest: &'a Manifest<'a>,
        options: &'a Options,
        progress: &'a Progress,
    ) -> Self {
        let (written, folders) = (Mutex::default(), Mutex::default());
        let (refused, gave_up) = (AtomicU32::new(0), AtomicBool::new(false));
        Run { sink, manifest, options, progress, written, refused, gave_up, folders }
    }

    /// Whether nothing more is to be done.
    pub(super) fn is_over(&self) -> bool {
        self.progress.is_stopped() || self.gave_up() || self.manifest.is_broken()
    }

    /// Whether the destination took nothing any more, so that not all was tried.
    pub(super) fn gave_up(&self) -> bool {
        self.gave_up.load(Ordering::Relaxed)
    }

    /// Counts and writes a row.
    pub(super) fn tell(&self, row: &Row) {
        self.progress.done(row.verdict);
        self.manifest.add(row);
    }

    /// Keeps the times of folders until all is written.
    pub(super) fn leave_times(&self, folders: Vec<(Vec<OsString>, Times)>) {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).extend(folders);
    }

    /// Gives all folders their times: what is written into a folder changes them.
    pub(super) fn set_folder_times(self) {
        let folders = self.folders.into_inner().unwrap_or_else(PoisonError::into_inner);
        for (names, times) in folders.iter().rev() {
            if let Err(error) = self.sink.folder(names).and_then(|folder| folder.set_times(times)) {
                log::debug!("{names:?}: times cannot be set: {error}");
            }
        }
    }

    /// Copies one name, and its streams.
    pub(super) fn copy(&self, item: &Item, buf: &mut Buffer) {
        if self.is_over() {
            return;
        }
        let attr = match item.tree.attr(item.node) {
            Ok(attr) => attr,
            Err(error) => return self.tell(&item.row(None, Verdict::Failed).error(&error)),
        };
        if !self.options.choice.wants(&attr) {
            return;
        }
        let (streams, unlisted) = list_streams(item);
        match item.kind {
            Kind::Link => self.link(item, &attr, unlisted.as_deref()),
            Kind::File => self.content(item, item.node, &attr, Which::Unnamed { unlisted: unlisted.as_deref() }, buf),
            // It was made, and its row written, when it was walked into; but for the root, which has none.
            Kind::Directory => {
                if let Some(text) = unlisted.filter(|_| item.node == NodeId::ROOT) {
                    self.tell(&item.row(None, Verdict::Failed).error(&text));
                }
            }
        }
        for stream in streams {
            match item.tree.attr(stream.node) {
                Ok(attr) if self.options.streams => {
                    self.content(item, stream.node, &attr, Which::Named(&stream.name), buf);
                }
                Ok(attr) => {
                    let row = item.row(Some(&stream.name), Verdict::Skipped).of(&attr, true);
                    self.tell(&row.error("named streams are left out without --streams"));
                }
                Err(error) => self.tell(&item.row(Some(&stream.name), Verdict::Failed).error(&error)),
            }
        }
    }

    fn link(&self, item: &Item, attr: &Attr, unlisted: Option<&str>) {
        let row = |verdict| item.row(None, verdict).of(attr, false).noting(unlisted);
        let reparse = match item.tree.reparse(item.node) {
            Ok(reparse) => reparse,
            Err(error) => return self.tell(&row(Verdict::Failed).error(&error)),
        };
        let target = reparse.as_ref().and_then(|reparse| reparse.target.as_ref());
        let described = |mut row: Row| {
            row.set("reparse_tag", json!(reparse.as_ref().map(|reparse| reparse.tag)));
            row.set("target", json!(target.map(|target| target.substitute.to_string_lossy())));
            row
        };
        if !self.options.links {
            return self.tell(&described(row(Verdict::Skipped)).error("links are made with --links only"));
        }
        // Through real folders of the volume, all of which this program makes: so it leads nowhere else here either.
        let inside = match item.tree.link_path(item.node) {
            Ok(Some(path)) => path,
            Ok(None) => {
                return self.tell(&described(row(Verdict::Skipped)).error("it leads out of its volume, or nowhere"));
            }
            Err(error) => return self.tell(&described(row(Verdict::Failed)).error(&error)),
        };
        let names = inside.names.iter().map(|name| names::fit((self.options.spell)(name)));
        let inside: PathBuf = std::iter::repeat_n(OsString::from(".."), inside.up).chain(names).collect();
        match item.folder.link(&item.name, &inside) {
            Ok(()) => self.tell(&described(row(Verdict::Whole)).written(&item.place.join(&item.name))),
            Err(error) => self.tell(&described(row(Verdict::Failed)).error(&describe(&error))),
        }
    }

    /// Copies one content: a file's, or a named stream's.
    fn content(&self, item: &Item, node: NodeId, attr: &Attr, which: Which<'_>, buf: &mut Buffer) {
        let (stream, unlisted) = match which {
            Which::Unnamed { unlisted } => (None, unlisted),
            Which::Named(name) => (Some(name), None),
        };
        let row = |verdict| item.row(stream, verdict).of(attr, stream.is_some());
        let name = match stream {
            None => item.name.clone(),
            Some(stream) => {
                let suffix = names::fit((self.options.spell)(stream));
                names::fit(names::with_suffix(&names::with_suffix(&item.name, STREAM), &suffix.to_string_lossy()))
            }
        };
        // What nobody can read as it is shall not look as if one could.
        let raw = self.options.raw_encrypted && attr.attributes & ENCRYPTED != 0 && attr.size > 0;
        let name = if raw { names::with_suffix(&name, ".encrypted") } else { name };
        if exact(&item.place.join(&name)).is_some_and(|place| self.manifest.has_whole(&place, attr.size)) {
            self.progress.pass(attr.size);
            return self.progress.done(Verdict::Whole);
        }
        let volume = item.tree.info().total_bytes;
        if attr.size > volume && self.options.choice.max_size.is_none() {
            let text = format!("it claims {} bytes, more than its volume has: ask for it with --max-size", attr.size);
            self.progress.pass(attr.size);
            return self.tell(&row(Verdict::Refused).error(&text));
        }
        if attr.size > LONG {
            self.manifest.flush();
        }
        let mut output = match self.sink.create(attr.attributes) {
            Ok(output) => output,
            Err(error) => return self.refuse(row(Verdict::Failed), &error),
        };
        let source = Stream { tree: &*item.tree, node, size: attr.size };
        let content = match pour(source, &self.options.hashes, &mut output, self.progress, buf) {
            Ok(content) => content,
            Err(Failed::Stopped) => return,
            Err(Failed::Host(error)) => {
                // The row may need its space.
                drop(output);
                return self.refuse(row(Verdict::Failed), &error);
            }
            Err(Failed::Tree(error)) => {
                let unread = matches!(error.kind(), ErrorKind::Encrypted | ErrorKind::Unsupported);
                let verdict = if unread { Verdict::Refused } else { Verdict::Failed };
                return self.tell(&row(verdict).error(&error));
            }
        };
        let verdict = match self.judge(attr, &content) {
            // A part of the file that was asked for is lost.
            Verdict::Whole | Verdict::Doubtful if unlisted.is_some() && self.options.streams => Verdict::Partial,
            verdict => verdict,
        };
        let mut row = row(verdict).damaged(&content.damage).noting(unlisted);
        if stream.is_none() {
            row.detail(&item.tree.details(item.node).unwrap_or_default());
        }
        for (hash, value) in &content.hashes {
            row.set(hash, json!(value));
        }
        if let Trust::Doubtful(code) = attr.trust {
            row.set("metadata_doubtful", json!(code));
        }
        if let Some(error) = content.error {
            row = row.error(&error);
        }
        if verdict == Verdict::Failed {
            return self.tell(&row.error("all of its bytes are lost"));
        }
        let suffix = match verdict {
            Verdict::Partial if !self.options.lost_as_zeros => ".partial",
            Verdict::Doubtful if !self.options.accept_doubtful => ".doubtful",
            _ => "",
        };
        match self.finish(output, item, &names::with_suffix(&name, suffix), &attr.times) {
            Ok(place) => {
                self.refused.store(0, Ordering::Relaxed);
                self.tell(&row.written(&place));
            }
            Err(error) => {
                row.verdict = Verdict::Failed;
                row.set("verdict", json!(Verdict::Failed.as_str()));
                self.refuse(row, &error);
            }
        }
    }

    /// The destination did not take a file.
    pub(super) fn refuse(&self, row: Row, error: &io::Error) {
        if self.refused.fetch_add(1, Ordering::Relaxed) >= MAX_REFUSED {
            self.gave_up.store(true, Ordering::Relaxed);
        }
        self.tell(&row.error(&describe(error)));
    }

    fn judge(&self, attr: &Attr, content: &Content) -> Verdict {
        let damage = &content.damage;
        if damage.lost_bytes >= attr.size && attr.size > 0 && !self.options.lost_as_zeros {
            Verdict::Failed
        } else if damage.lost_bytes > 0 {
            Verdict::Partial
        } else if damage.doubtful_bytes > 0 || attr.trust != Trust::Proven {
            Verdict::Doubtful
        } else {
            Verdict::Whole
        }
    }

    /// Gives a file its name, or the next free one where something stands in the way.
    fn finish(&self, output: Output<'_>, item: &Item, name: &OsStr, times: &Times) -> io::Result<PathBuf> {
        let mut number = 1;
        let mut output = Some(output);
        loop {
            let name = if number == 1 { name.to_owned() } else { names::numbered(name, number) };
            let place = item.place.join(&name);
            let text = text_of(&place);
            let known = exact(&place).is_some_and(|place| self.manifest.knows(&place));
            let replaces = self.options.overwrite || known;
            let is_new = self.written.lock().unwrap_or_else(PoisonError::into_inner).insert(hash(&text));
            let is_image =
                || FileId::at(&self.sink.path().join(&place)).is_some_and(|id| self.options.images.contains(&id));
            let standing = if replaces && is_new && !is_image() { Standing::Replaced } else { Standing::Stays };
            let Some(writing) = output.take() else { return Ok(place) };
            match writing.finish(&item.folder, &name, times, standing) {
                Ok(()) => return Ok(place),
                Err((error, mut writing)) if error.kind() == io::ErrorKind::AlreadyExists && number < MAX_NUMBER => {
                    // A run that was killed between the file and its row.
                    if self.options.resume && is_new && writing.stands_already(&item.folder, &name) {
                        return Ok(place);
                    }
                    output = Some(writing);
                    number = number.saturating_add(1);
                }
                Err((error, _)) => return Err(error),
            }
        }
    }
}

/// Which content of a file.
#[derive(Clone, Copy)]
enum Which<'a> {
    Unnamed {
        /// Why not all of the named streams beside it can be told.
        unlisted: Option<&'a str>,
    },
    Named(&'a Name),
}

/// The named streams as far as they can be told, and why not all of them.
fn list_streams(item: &Item) -> (Vec<StreamEntry>, Option<String>) {
    let mut streams = Vec::new();
    let listed = item.tree.streams(item.node, &mut |stream| {
        streams.push(stream);
        ControlFlow::Continue(())
    });
    (streams, listed.err().map(|error| unlisted(&error)))
}

/// That not all named streams can be told.
pub(super) fn unlisted(error: &Error) -> String {
    format!("not all of its named streams can be told: {error}")
}

impl Item {
    fn row(&self, stream: Option<&Name>, verdict: Verdict) -> Row {
        Row::new(&self.path, stream, &self.text, verdict)
    }
}

/// The place as the manifest spells it, where that is the place itself: text holds no lone surrogate, and so two places may
/// read alike.
fn exact(place: &std::path::Path) -> Option<String> {
    place.to_str()?;
    Some(text_of(place))
}

fn text_of(place: &std::path::Path) -> String {
    place.iter().map(OsStr::to_string_lossy).collect::<Vec<_>>().join("/")
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
