//! Through all folders, without recursion: a damaged tree may be deep, or go round in circles.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mount_api::{DirEntry, Error, ErrorKind, From, Kind, MAX_DEPTH, Name, NodeId, Tree, Trust};

use super::apart::Apart;
use super::buffer::Buffer;
use super::copy::{Item, Made, Run, unlisted};
use super::queue::Queue;
use super::row::{Row, Verdict};
use super::sink::{Folder, describe};
use super::spot::Spot;
use super::{Source, Unread};

/// A folder of a tree.
struct Place {
    node: NodeId,
    path: Vec<Name>,
    /// Its path in words, as patterns see it.
    text: String,
    /// Its path at the destination.
    names: Vec<OsString>,
    /// Whether it is wanted itself, and not only for what is in it.
    wanted: bool,
}

impl Place {
    fn row(&self, verdict: Verdict) -> Row {
        Row::new(&self.path, None, &self.text, Kind::Directory, verdict)
    }

    /// A folder in this one.
    fn below(&self, entry: &DirEntry, name: OsString, text: String, wanted: bool) -> Place {
        let mut names = self.names.clone();
        names.push(name);
        Place { node: entry.node, path: path_of(self, &entry.name), text, names, wanted }
    }
}

/// Tells of volumes whose files are not read, where some of them may be wanted.
pub(super) fn tell_unread(unread: &[Unread], run: &Run<'_>) {
    for Unread { folder, verdict, why } in
        unread.iter().filter(|unread| run.options.choice.may_want_below(&unread.folder))
    {
        let path = [Name::from(folder.as_str())];
        run.tell(&Row::new(&path, None, folder, Kind::Directory, *verdict).error(why));
    }
}

/// Copies what is wanted of all sources: what goes first, then the rest.
pub(super) fn all(sources: &[Source], run: &Run<'_>) {
    let threads = run.options.threads.max(1);
    let queue = Queue::new(threads);
    std::thread::scope(|scope| {
        let work = || {
            let mut buf = Buffer::new();
            while let Some(items) = queue.take() {
                items.iter().for_each(|item| run.copy(item, &mut buf));
                run.tell_waiting(&mut buf);
            }
        };
        // Where the host gives no more threads, those that are there do all.
        let worker = || std::thread::Builder::new().name("extract".to_owned());
        let workers = (0..threads).map_while(|_| worker().spawn_scoped(scope, work).ok()).count();
        let hand_on: &mut dyn FnMut(Item) = if workers == 0 {
            let mut buf = Buffer::new();
            &mut move |item| {
                run.copy(&item, &mut buf);
                run.tell_waiting(&mut buf);
            }
        } else {
            &mut |item| queue.put(item)
        };
        let passes: &[bool] = if run.options.choice.has_first() { &[true, false] } else { &[false] };
        for first in passes {
            for source in sources.iter().filter(|source| run.options.choice.may_want_below(&source.folder)) {
                let mut walk = Walk { run, hand_on, source, first: *first, folders: Vec::new() };
                walk.source();
            }
        }
        queue.close();
    });
}

struct Walk<'a> {
    run: &'a Run<'a>,
    /// Where the files go that are to be copied.
    hand_on: &'a mut dyn FnMut(Item),
    source: &'a Source,
    /// Whether what goes first is copied now, or the rest.
    first: bool,
    /// Folders that were made, and what they get when all is written.
    folders: Vec<Made>,
}

impl Walk<'_> {
    fn source(&mut self) {
        let mut open = vec![root(self.source, self.run)];
        let mut known = HashSet::from([NodeId::ROOT]);
        while let Some(place) = open.pop() {
            if self.run.is_over() {
                break;
            }
            let mut below = self.folder(&place, &mut known);
            below.reverse();
            open.append(&mut below);
        }
        // Threads may still be writing into them.
        self.run.leave(std::mem::take(&mut self.folders));
    }

    /// Hands on what is in a folder; gives the folders below it.
    fn folder(&mut self, place: &Place, known: &mut HashSet<NodeId>) -> Vec<Place> {
        let tree = &self.source.tree;
        let (mut entries, listed) = list(&**tree, place.node, &|| self.run.is_over());
        if self.run.is_over() {
            return Vec::new();
        }
        // About the order in which they were made, and so that of their places on the disk.
        entries.sort_by_key(|entry| entry.node);
        let with_streams =
            place.wanted || place.node == NodeId::ROOT && self.run.options.choice.wants_path(&place.text);
        let unlisted = if with_streams && !self.first { self.streams(place) } else { None };
        let unnamed = listed.err().map(|error| format!("not all of its names can be told: {error}"));
        if let Some(text) = unnamed.as_ref().filter(|_| !place.wanted && !self.first) {
            self.run.tell(&place.row(Verdict::Failed).error(&format!("{text}; what is wanted may be among them")));
        }
        let missing = [unnamed, unlisted].into_iter().flatten().reduce(|a, b| format!("{a}; {b}"));
        let mut host = (place.wanted && !self.first).then(|| self.make(place, missing.as_deref()));
        let below_sink: Arc<Path> = place.names.iter().collect::<PathBuf>().into();
        let mut below = Vec::new();
        let mut apart = Apart::new(self.run);
        for entry in entries {
            let apart = apart.name(&entry);
            let spelled = || apart.unwrap_or_else(|| self.run.spell(&entry.name));
            let text = join(&place.text, &entry.name);
            let wanted = self.run.options.choice.wants_path(&text);
            if entry.kind == Kind::Directory {
                if !wanted && !self.run.options.choice.may_want_below(&text) {
                    continue;
                }
                if place.names.len() < MAX_DEPTH && known.insert(entry.node) {
                    below.push(place.below(&entry, spelled(), text, wanted));
                } else if wanted && !self.first {
                    let error = "a folder that stands under another name too, or too deep to be true";
                    let path = path_of(place, &entry.name);
                    self.run.tell(&Row::new(&path, None, &text, entry.kind, Verdict::Failed).error(&error));
                }
                continue;
            }
            if !wanted || self.run.options.choice.goes_first(&text) != self.first {
                continue;
            }
            let folder = match host.get_or_insert_with(|| self.run.sink.folder(&place.names)) {
                Ok(folder) => folder,
                Err(error) => {
                    let path = path_of(place, &entry.name);
                    self.run.refuse(Row::new(&path, None, &text, entry.kind, Verdict::Failed), error, &below_sink);
                    if self.run.is_over() {
                        break;
                    }
                    continue;
                }
            };
            let item = Item {
                tree: Arc::clone(tree),
                dir: place.node,
                node: entry.node,
                kind: entry.kind,
                path: path_of(place, &entry.name),
                text,
                folder: Arc::clone(folder),
                place: Arc::clone(&below_sink),
                name: spelled(),
            };
            (self.hand_on)(item);
            if self.run.is_over() {
                break;
            }
        }
        below
    }

    /// Hands on a folder that has named streams, which stand beside it. Gives why not all of them can be told.
    fn streams(&mut self, place: &Place) -> Option<String> {
        let mut any = false;
        let told = self.source.tree.streams(place.node, &mut |_| {
            any = true;
            ControlFlow::Continue(())
        });
        if any || told.is_err() {
            self.hand_on_folder(place);
        }
        told.err().map(|error| unlisted(&error)).filter(|_| self.run.options.streams)
    }

    fn hand_on_folder(&mut self, place: &Place) {
        let (name, above) =
            place.names.split_last().map_or((OsString::new(), &[][..]), |(name, above)| (name.clone(), above));
        let row = || place.row(Verdict::Failed);
        match self.run.sink.folder(above) {
            Ok(folder) => {
                let item = Item {
                    tree: Arc::clone(&self.source.tree),
                    // A folder has one name.
                    dir: place.node,
                    node: place.node,
                    kind: Kind::Directory,
                    path: place.path.clone(),
                    text: place.text.clone(),
                    folder,
                    place: above.iter().collect::<PathBuf>().into(),
                    name,
                };
                (self.hand_on)(item);
            }
            Err(error) => self.run.refuse(row(), &error, &above.iter().collect::<PathBuf>()),
        }
    }

    /// Makes a wanted folder and writes its row.
    fn make(&mut self, place: &Place, missing: Option<&str>) -> io::Result<Arc<Folder>> {
        let row = |verdict| place.row(verdict);
        let made = self.run.sink.folder(&place.names);
        let attr = match self.source.tree.attr(place.node) {
            Ok(attr) => attr,
            Err(error) => {
                self.run.tell(&row(Verdict::Failed).error(&error));
                return made;
            }
        };
        let verdict = match (&made, missing, attr.trust) {
            (Err(_), _, _) => Verdict::Failed,
            (Ok(_), Some(_), _) => Verdict::Partial,
            (Ok(_), None, Trust::Doubtful(_)) => Verdict::Doubtful,
            (Ok(_), None, Trust::Proven) => Verdict::Whole,
        };
        let host = Spot::new(place.names.iter().collect());
        let told = row(verdict).of(&attr, false);
        self.run.tell(&match (&made, missing) {
            (Err(error), _) => told.error(&describe(error)),
            (Ok(_), Some(error)) => told.written(&host).error(error),
            (Ok(_), None) => told.written(&host),
        });
        if made.is_ok() {
            self.folders.push(Made { names: place.names.clone(), times: attr.times, attributes: attr.attributes });
        }
        made
    }
}

/// The root folder of a source. It is a name like others where it gets a folder of its own; else it is the folder that was named,
/// which stays as it is.
fn root(source: &Source, run: &Run<'_>) -> Place {
    let names = if source.folder.is_empty() { Vec::new() } else { vec![OsString::from(&source.folder)] };
    let path = if source.folder.is_empty() { Vec::new() } else { vec![Name::from(source.folder.as_str())] };
    Place {
        node: NodeId::ROOT,
        path,
        text: source.folder.clone(),
        wanted: !names.is_empty() && run.options.choice.wants_path(&source.folder),
        names,
    }
}

/// The entries of a folder, as far as they can be listed; some of them when it is over meanwhile.
pub(super) fn list(tree: &dyn Tree, folder: NodeId, is_over: &dyn Fn() -> bool) -> (Vec<DirEntry>, Result<(), Error>) {
    let mut entries = Vec::new();
    let listed = tree.read_dir(folder, From::Start, &mut |entry| {
        entries.push(entry);
        if is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let listed = listed.map_err(|error| match error.kind() {
        ErrorKind::NotADirectory => Error::new(ErrorKind::Corrupt, "it is listed as a folder and is none"),
        _ => error,
    });
    (entries, listed)
}

pub(super) fn join(folder: &str, name: &Name) -> String {
    let name = name.to_string_lossy();
    if folder.is_empty() { name } else { [folder, &name].join("/") }
}

fn path_of(place: &Place, name: &Name) -> Vec<Name> {
    place.path.iter().chain([name]).cloned().collect()
}
