//! How much an extraction would write. No content is read.

use std::collections::HashSet;
use std::ops::ControlFlow;

use mount_api::{Kind, MAX_DEPTH, NodeId, Tree};

use super::walk::{join, list};
use super::{Options, Progress, Source, Sources};

/// What would be extracted. The bytes are with the [`Progress`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Files.
    pub files: u64,
    /// Folders that are wanted themselves.
    pub folders: u64,
    /// Symbolic links and junctions.
    pub links: u64,
    /// Named streams, where they are wanted.
    pub streams: u64,
    /// Volumes, files and streams of which too little is known to count them.
    pub lost: u64,
    /// Folders whose names, or the streams of which, cannot all be told; and files whose streams cannot.
    pub unlisted: u64,
}

impl Counted {
    /// Whether nothing is missing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.lost == 0 && self.unlisted == 0
    }
}

/// A folder that is still to be looked into.
struct Place {
    node: NodeId,
    text: String,
    depth: usize,
    wanted: bool,
}

/// Counts what would be extracted, and adds it to `counted`; the bytes to `progress`. Nothing is written, no content is read.
pub fn count(sources: &Sources, options: &Options, progress: &Progress, counted: &mut Counted) {
    let wanted = |folder: &str| options.choice.may_want_below(folder);
    let unread = sources.unread.iter().filter(|unread| !unread.verdict.is_well() && wanted(&unread.folder));
    unread.for_each(|_| one_more(&mut counted.lost));
    for source in sources.read.iter().filter(|source| wanted(&source.folder)) {
        Count { tree: &*source.tree, options, progress, counted: &mut *counted }.source(source);
    }
}

fn one_more(count: &mut u64) {
    *count = count.saturating_add(1);
}

struct Count<'a> {
    tree: &'a dyn Tree,
    options: &'a Options,
    progress: &'a Progress,
    counted: &'a mut Counted,
}

impl Count<'_> {
    fn source(&mut self, source: &Source) {
        let wanted = !source.folder.is_empty() && self.options.choice.wants_path(&source.folder);
        let root = Place { node: NodeId::ROOT, text: source.folder.clone(), depth: 0, wanted };
        let mut open = vec![root];
        let mut known = HashSet::from([NodeId::ROOT]);
        while let Some(place) = open.pop() {
            let (entries, listed) = list(self.tree, place.node, &|| self.progress.is_stopped());
            if self.progress.is_stopped() {
                return;
            }
            if listed.is_err() {
                one_more(&mut self.counted.unlisted);
            }
            if place.wanted {
                one_more(&mut self.counted.folders);
            }
            if place.wanted || place.node == NodeId::ROOT && self.options.choice.wants_path(&place.text) {
                self.streams(place.node);
            }
            for entry in entries {
                let text = join(&place.text, &entry.name);
                let wanted = self.options.choice.wants_path(&text);
                if entry.kind == Kind::Directory {
                    let depth = place.depth.saturating_add(1);
                    let may_hold = wanted || self.options.choice.may_want_below(&text);
                    if may_hold && depth < MAX_DEPTH && known.insert(entry.node) {
                        open.push(Place { node: entry.node, text, depth, wanted });
                    }
                } else if wanted {
                    // Asked, so that what fits nothing is known.
                    let _ = self.options.choice.goes_first(&text);
                    self.file(entry.node);
                }
            }
        }
    }

    /// A file or a link, if it is wanted.
    fn file(&mut self, node: NodeId) {
        match self.tree.attr(node) {
            Ok(attr) if self.options.choice.wants(&attr) => {
                if attr.kind == Kind::Link {
                    one_more(&mut self.counted.links);
                } else {
                    one_more(&mut self.counted.files);
                    self.progress.read(attr.size);
                }
                self.streams(node);
            }
            Ok(_) => {}
            Err(_) => one_more(&mut self.counted.lost),
        }
    }

    /// The named streams of what stands under one node.
    fn streams(&mut self, node: NodeId) {
        if !self.options.streams {
            return;
        }
        let mut streams = Vec::new();
        let told = self.tree.streams(node, &mut |stream| {
            streams.push(stream.node);
            ControlFlow::Continue(())
        });
        if told.is_err() {
            one_more(&mut self.counted.unlisted);
        }
        for stream in streams {
            match self.tree.attr(stream) {
                Ok(attr) => {
                    one_more(&mut self.counted.streams);
                    self.progress.read(attr.size);
                }
                Err(_) => one_more(&mut self.counted.lost),
            }
        }
    }
}
