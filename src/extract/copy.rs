//! One file and its streams: copied, judged, named.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use mount_api::{Attr, Error, ErrorKind, Kind, Name, NodeId, StreamEntry, Times, Tree, Trust};
use serde_json::json;

use super::buffer::Buffer;
use super::carrier::{Carrier, Marks};
use super::landing::{DOUBTFUL, Landed, PARTIAL, Target};
use super::manifest::Manifest;
use super::patience::Patience;
use super::pour::{Content, Failed, pour};
use super::row::{Row, Verdict};
use super::sink::{Folder, Output, Sink, describe};
use super::spot::Spot;
use super::stream::Stream;
use super::{Options, Progress, Untimed, names};

/// A file of more bytes may take long: what was done before it is told first.
const LONG: u64 = 16 << 20;

/// `FILE_ATTRIBUTE_ENCRYPTED`.
const ENCRYPTED: u32 = 0x4000;

/// A name that is wanted.
pub(super) struct Item {
    pub(super) tree: Arc<dyn Tree>,
    /// The folder that it was found in.
    pub(super) dir: NodeId,
    pub(super) node: NodeId,
    pub(super) kind: Kind,
    pub(super) path: Vec<Name>,
    pub(super) text: String,
    /// The folder of the host that it goes to, its path below the destination, and its own name there.
    pub(super) folder: Arc<Folder>,
    pub(super) place: Arc<Path>,
    pub(super) name: OsString,
}

/// What all threads of an extraction share.
pub(super) struct Run<'a> {
    pub(super) sink: &'a Sink,
    pub(super) manifest: &'a Manifest<'a>,
    pub(super) options: &'a Options,
    progress: &'a Progress,
    /// Hashes of the places that this run has written: nothing of its own is replaced.
    pub(super) written: Mutex<HashSet<u64>>,
    patience: Patience,
    folders: Mutex<Vec<Made>>,
    untimed: Mutex<Untimed>,
}

/// A folder that was made, and what it gets when all is written.
pub(super) struct Made {
    pub(super) names: Vec<OsString>,
    pub(super) times: Times,
    pub(super) attributes: u32,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        sink: &'a Sink,
        manifest: &'a Manifest<'a>,
        options: &'a Options,
        progress: &'a Progress,
    ) -> Self {
        let (written, folders, untimed) = (Mutex::default(), Mutex::default(), Mutex::default());
        Run { sink, manifest, options, progress, written, patience: Patience::default(), folders, untimed }
    }

    /// What a name is called at the destination.
    pub(super) fn spell(&self, name: &Name) -> OsString {
        let spell = self.options.spell;
        let spelled = if self.sink.wants_portable_names() { names::portable(name, spell) } else { spell(name) };
        names::fit(spelled, self.sink.longest_name())
    }

    /// Whether nothing more is to be done.
    pub(super) fn is_over(&self) -> bool {
        self.progress.is_stopped() || self.gave_up() || self.manifest.is_broken()
    }

    /// Whether the destination took nothing any more, so that not all was tried.
    pub(super) fn gave_up(&self) -> bool {
        self.patience.is_lost()
    }

    /// Counts and writes a row.
    pub(super) fn tell(&self, row: &Row) {
        self.progress.done(row.verdict);
        self.manifest.add(row);
    }

    /// Writes the rows that wait for the hashes of their contents.
    pub(super) fn tell_waiting(&self, buf: &mut Buffer) {
        buf.take().for_each(|row| self.tell(&row));
    }

    /// Keeps what folders get until all is written.
    pub(super) fn leave(&self, folders: Vec<Made>) {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner).extend(folders);
    }

    /// Keeps that something did not get its times.
    fn leave_untimed(&self, spot: &Spot, error: &io::Error) {
        self.untimed.lock().unwrap_or_else(PoisonError::into_inner).add(spot, error.to_string());
    }

    /// Gives all folders their times, which change with what is written into them, and their attributes. Gives what did not get
    /// its times.
    pub(super) fn finish_folders(self) -> Untimed {
        let folders = self.folders.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut untimed = self.untimed.into_inner().unwrap_or_else(PoisonError::into_inner);
        for Made { names, times, attributes } in folders.iter().rev() {
            let folder = self.sink.folder(names);
            let timed = folder.as_ref().map_err(describe).and_then(|it| it.set_times(times).map_err(|e| e.to_string()));
            if let Err(error) = timed {
                untimed.add(&Spot::new(names.iter().collect()), error);
            }
            let marked = folder.and_then(|folder| self.sink.set_attributes(&folder, *attributes));
            if let Err(error) = marked {
                log::debug!("{names:?}: attributes cannot be set: {error}");
            }
        }
        untimed
    }

    /// Copies one name, and its streams.
    pub(super) fn copy(&self, item: &Item, buf: &mut Buffer) {
        if self.is_over() {
            return;
        }
        let attr = match item.tree.attr(item.node) {
            Ok(mut attr) => {
                item.put_own_times(&mut attr);
                attr
            }
            // Told when it was walked into.
            Err(_) if item.kind == Kind::Directory && item.node != NodeId::ROOT => return,
            Err(error) => return self.tell(&item.row(None, Verdict::Failed).error(&error)),
        };
        if !self.options.choice.wants(&attr) {
            return;
        }
        let (streams, unlisted) = list_streams(item);
        let mut landed = None;
        match (item.kind, attr.kind) {
            // What its folder calls a file may be known better by now.
            (Kind::Link, _) | (Kind::File, Kind::Link) => self.link(item, &attr, unlisted.as_deref()),
            (Kind::File, _) => {
                landed = self.content(item, item.node, &attr, Which::Unnamed { unlisted: unlisted.as_deref() }, buf);
            }
            // It was made, and its row written, when it was walked into; but for the folder that was named, which has none.
            (Kind::Directory, _) => {
                if let Some(text) = unlisted.filter(|_| item.name.is_empty()) {
                    self.tell(&item.row(None, Verdict::Failed).error(&text));
                }
            }
        }
        if !streams.is_empty() {
            // The row of a file stands before those of its streams.
            self.tell_waiting(buf);
            let carrier = self.carrier(item, &attr, landed);
            streams.iter().for_each(|stream| self.stream(item, stream, &carrier, buf));
        }
    }

    /// What the streams of a name are written to; or why they become files beside it, which needs no word where all do.
    fn carrier(&self, item: &Item, attr: &Attr, landed: Option<Landed>) -> Result<Carrier, Option<String>> {
        if !self.options.streams || !self.sink.takes_streams() {
            return Err(None);
        }
        let told = |text: &str| Err(Some(text.to_owned()));
        match (item.kind, landed) {
            (Kind::File, Some(Landed { spot, name, file, .. })) => {
                if file.is_none() && self.is_image(&spot) {
                    return told("its file is one of the images");
                }
                let marks = Marks { times: attr.times, attributes: attr.attributes, size: attr.size };
                Ok(Carrier::file(spot, &item.folder, &name, file, marks))
            }
            (Kind::File, None) => told("its file was not written"),
            (Kind::Link, _) => told("it belongs to a link"),
            (Kind::Directory, _) if item.name.is_empty() => told("the folder that was named is left as it is"),
            (Kind::Directory, _) => {
                let path = item.place.join(&item.name);
                let names: Vec<OsString> = path.iter().map(ToOwned::to_owned).collect();
                let folder = self.sink.folder(&names).map_err(|error| Some(describe(&error)))?;
                Ok(Carrier::folder(Spot::new(path), folder))
            }
        }
    }

    fn stream(&self, item: &Item, stream: &StreamEntry, carrier: &Result<Carrier, Option<String>>, buf: &mut Buffer) {
        if self.progress.is_stopped() {
            return;
        }
        let attr = item.tree.attr(stream.node).map(|mut attr| {
            item.put_own_times(&mut attr);
            attr
        });
        match attr {
            Ok(attr) if self.options.streams => {
                self.content(item, stream.node, &attr, Which::Named { name: &stream.name, carrier }, buf);
            }
            Ok(attr) => {
                let row = item.row(Some(&stream.name), Verdict::Skipped).of(&attr, true);
                self.tell(&row.error("named streams are left out without --streams"));
            }
            Err(error) => self.tell(&item.row(Some(&stream.name), Verdict::Failed).error(&error)),
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
        let names = inside.names.iter().map(|name| self.spell(name));
        let mut inside: PathBuf = std::iter::repeat_n(OsString::from(".."), inside.up).chain(names).collect();
        if inside.as_os_str().is_empty() {
            // The folder that it stands in: no link leads to no path at all.
            inside.push(".");
        }
        match item.folder.link(&item.name, &inside) {
            Ok(()) => {
                let spot = Spot::new(item.place.join(&item.name));
                let verdict = if attr.trust == Trust::Proven { Verdict::Whole } else { Verdict::Doubtful };
                self.tell(&described(row(verdict)).written(&spot));
            }
            Err(error) => self.tell(&described(row(Verdict::Failed)).error(&describe(&error))),
        }
    }

    /// Copies one content: a file's, or a named stream's. Gives what stands at the destination then, if anything does.
    fn content(&self, item: &Item, node: NodeId, attr: &Attr, which: Which<'_>, buf: &mut Buffer) -> Option<Landed> {
        let row = |verdict| item.row(which.stream(), verdict).of(attr, which.stream().is_some());
        let target = self.target(item, attr, which);
        if let Some(standing) = target.standing(self.manifest, attr.size) {
            self.progress.pass(attr.size);
            self.progress.done(Verdict::Whole);
            return Some(standing);
        }
        let volume = item.tree.info().total_bytes;
        if attr.size > volume && self.options.choice.max_size.is_none() {
            // A wrong size of a file with holes may be anything, and the hash of its zeros would take as long.
            let text = format!(
                "it claims {0} bytes, more than the {volume} of its volume, and {1} of them are allocated: where that may be, as for a sparse file, --max-size {0} writes it, its holes as holes",
                attr.size, attr.allocated
            );
            self.progress.pass(attr.size);
            self.tell(&row(Verdict::Refused).error(&text));
            return None;
        }
        if attr.size > LONG {
            self.tell_waiting(buf);
            self.manifest.flush();
        }
        let keep = Buffer::keeps(&self.options.hashes, attr.size);
        let hashes = if keep { &[] } else { &*self.options.hashes };
        let poured = self.sink.create(&item.folder, attr.attributes).map_err(Failed::Host).and_then(|mut output| {
            let source = Stream { tree: &*item.tree, node, size: attr.size };
            // Where the host refuses it, it goes with this: the row may need its space.
            let content = pour(source, hashes, &mut output, self.progress, buf.room(), keep)?;
            Ok((output, content))
        });
        match poured {
            Ok((output, content)) => {
                let (landed, row) = self.name(item, attr, which, target, output, content)?;
                if !keep {
                    self.tell(&row);
                } else if buf.keep(row, attr.size) {
                    self.tell_waiting(buf);
                }
                Some(landed)
            }
            Err(failed) => {
                match failed {
                    Failed::Stopped => {}
                    Failed::Host(error) => self.refuse(row(Verdict::Failed), &error, &item.place),
                    Failed::Tree(error) => {
                        let unread = matches!(error.kind(), ErrorKind::Encrypted | ErrorKind::Unsupported);
                        let verdict = if unread { Verdict::Refused } else { Verdict::Failed };
                        self.tell(&row(verdict).error(&error));
                    }
                }
                None
            }
        }
    }

    /// Judges a content that was copied, and gives it a name that says so. Gives the row that tells of it; where it gets no
    /// name, that was told.
    fn name(
        &self,
        item: &Item,
        attr: &Attr,
        which: Which<'_>,
        target: Target<'_>,
        output: Output<'_>,
        content: Content,
    ) -> Option<(Landed, Row)> {
        let (stream, unlisted) = (which.stream(), which.unlisted());
        let verdict = match self.judge(attr, &content) {
            // A part of the file that was asked for is lost.
            Verdict::Whole | Verdict::Doubtful if unlisted.is_some() && self.options.streams => Verdict::Partial,
            verdict => verdict,
        };
        let mut row = item.row(stream, verdict).of(attr, stream.is_some()).damaged(&content.damage).noting(unlisted);
        if stream.is_none() {
            row.detail(&item.tree.details(item.node).unwrap_or_default());
        }
        if let Some(error) = content.error {
            row = row.error(&error);
        }
        if verdict == Verdict::Failed {
            self.tell(&row.error("all of its bytes are lost"));
            return None;
        }
        let suffix = match verdict {
            Verdict::Partial if !self.options.lost_as_zeros => PARTIAL,
            Verdict::Doubtful if !self.options.accept_doubtful => DOUBTFUL,
            _ => "",
        };
        let file = target.file.clone();
        match self.land(output, target, suffix) {
            Ok((landed, beside)) => {
                self.patience.taken();
                self.supersede(item, &file, suffix);
                if let Some(why) = beside {
                    row.set("beside", json!(why));
                }
                for (hash, value) in &content.hashes {
                    row.set(hash, json!(value));
                }
                if let Some(error) = &landed.untimed {
                    row.set("times_not_set", json!(error.to_string()));
                    self.leave_untimed(&landed.spot, error);
                }
                let row = row.written(&landed.spot);
                Some((landed, row))
            }
            Err(error) => {
                row.judge(Verdict::Failed);
                self.refuse(row, &error, &item.place);
                None
            }
        }
    }

    /// What a content is to be at the destination.
    fn target<'t>(&self, item: &'t Item, attr: &'t Attr, which: Which<'t>) -> Target<'t> {
        // What nobody can read as it is shall not look as if one could.
        let raw = self.options.raw_encrypted && attr.attributes & ENCRYPTED != 0 && attr.size > 0;
        let marked = |name: OsString| if raw { names::with_suffix(&name, ".encrypted") } else { name };
        let Which::Named { name, carrier } = which else {
            return Target { item, times: &attr.times, stream: None, file: marked(item.name.clone()), why_file: None };
        };
        // Windows would take a colon for a stream of its own, which no file can be renamed to.
        let no_colon = cfg!(windows) || self.sink.takes_streams() || self.sink.wants_portable_names();
        let between = if no_colon { "%3A" } else { ":" };
        let spelled = self.spell(name);
        let beside = names::with_suffix(&names::with_suffix(&item.name, between), &spelled.to_string_lossy());
        let (stream, why_file) = match (carrier, names::of_stream(name)) {
            (Ok(carrier), Some(name)) => (Some((carrier, marked(name))), None),
            (Ok(_), None) => (None, Some("the destination takes no stream of this name".to_owned())),
            (Err(why), _) => (None, why.clone()),
        };
        Target {
            item,
            times: &attr.times,
            stream,
            file: marked(names::fit(beside, self.sink.longest_name())),
            why_file,
        }
    }

    /// The destination did not take what was to go into a folder.
    pub(super) fn refuse(&self, row: Row, error: &io::Error, folder: &Path) {
        self.patience.refused(error, folder);
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
}

/// Which content of a file.
#[derive(Clone, Copy)]
enum Which<'a> {
    Unnamed {
        /// Why not all of the named streams beside it can be told.
        unlisted: Option<&'a str>,
    },
    Named {
        name: &'a Name,
        carrier: &'a Result<Carrier, Option<String>>,
    },
}

impl<'a> Which<'a> {
    fn stream(self) -> Option<&'a Name> {
        match self {
            Which::Unnamed { .. } => None,
            Which::Named { name, .. } => Some(name),
        }
    }

    fn unlisted(self) -> Option<&'a str> {
        match self {
            Which::Unnamed { unlisted } => unlisted,
            Which::Named { .. } => None,
        }
    }
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
    /// Puts the times of this very name in, where the file has several.
    fn put_own_times(&self, attr: &mut Attr) {
        let name = self.path.last().filter(|_| attr.links > 1);
        let own = name.and_then(|name| self.tree.times_of_name(self.dir, name, self.node));
        attr.name_times = own.or(attr.name_times);
    }

    fn row(&self, stream: Option<&Name>, verdict: Verdict) -> Row {
        Row::new(&self.path, stream, &self.text, self.kind, verdict)
    }
}
