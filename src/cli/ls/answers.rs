//! What the tree says of the entries of a folder: asked for many at once, by several threads, in the order of the file records.

use std::ops::ControlFlow;
use std::thread::{Builder, available_parallelism};

use mount_api::{Attr, DirEntry, Error, ErrorKind, Kind, Name, NodeId, Tree};

use crate::cli::entry_object::Known;

/// Entries that are worth a thread.
const WORTH_A_THREAD: usize = 2048;
/// Threads at most: more would wait for each other.
const MOST_THREADS: usize = 8;

/// `FILE_ATTRIBUTE_REPARSE_POINT`.
const REPARSE_POINT: u32 = 0x400;
/// Attributes of files whose content may be refused: `FILE_ATTRIBUTE_REPARSE_POINT` and `FILE_ATTRIBUTE_ENCRYPTED`.
const MAY_BE_REFUSED: u32 = 0x400 | 0x4000;

/// How much is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// What a line of `--long` shows.
    Line,
    /// What an object of `--json` shows.
    Object,
}

/// What the tree said of one entry.
#[derive(Default)]
pub(super) struct Answers {
    /// `None` where its attributes could not be told.
    pub(super) known: Option<Known>,
    /// What could not be told, and why.
    pub(super) errors: Vec<Error>,
}

/// Asks for all entries; the answers are in their order. The tree is asked in the order of the nodes: names in any other order
/// would have the same parts of the `$MFT` read again and again.
pub(super) fn ask_all(tree: &dyn Tree, dir: NodeId, entries: &[DirEntry], wanted: Wanted) -> Vec<Option<Answers>> {
    let mut answers: Vec<Option<Answers>> = entries.iter().map(|_| None).collect();
    let mut asked: Vec<_> = entries.iter().zip(&mut answers).collect();
    asked.sort_unstable_by_key(|(entry, _)| entry.node);
    // To learn how many processors there are costs more than a small folder does.
    let worth = asked.len().div_ceil(WORTH_A_THREAD).min(MOST_THREADS);
    let threads = if worth > 1 { available_parallelism().map_or(1, usize::from).min(worth) } else { 1 };
    let share = asked.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        let mut shares = asked.chunks_mut(share);
        let own = shares.next();
        for share in shares {
            // Where the host gives no thread, what it was for is asked below.
            let _ = Builder::new().name("ls".to_owned()).spawn_scoped(scope, || answer(tree, dir, share, wanted));
        }
        own.into_iter().for_each(|share| answer(tree, dir, share, wanted));
    });
    answer(tree, dir, &mut asked, wanted);
    answers
}

/// Asks for those that have no answer yet.
fn answer(tree: &dyn Tree, dir: NodeId, asked: &mut [(&DirEntry, &mut Option<Answers>)], wanted: Wanted) {
    for (entry, answers) in asked {
        answers.get_or_insert_with(|| ask(tree, Some((dir, &entry.name)), entry.node, wanted));
    }
}

/// Asks for one entry, which has this name in this folder.
pub(super) fn ask(tree: &dyn Tree, named: Option<(NodeId, &Name)>, node: NodeId, wanted: Wanted) -> Answers {
    let mut attr = match tree.attr(node) {
        Ok(attr) => attr,
        Err(error) => return Answers { known: None, errors: vec![error] },
    };
    if let Some((dir, name)) = named.filter(|_| attr.links > 1) {
        attr.name_times = tree.times_of_name(dir, name, node).or(attr.name_times);
    }
    let mut errors = Vec::new();
    let bears_one = attr.attributes & REPARSE_POINT != 0;
    let reparse = bears_one.then(|| kept(tree.reparse(node), &mut errors)).flatten().flatten();
    let refused = refused(tree, node, &attr);
    let object = wanted == Wanted::Object;
    let details = object.then(|| kept(tree.details(node), &mut errors)).flatten().unwrap_or_default();
    let link_path = reparse.as_ref().filter(|_| object).and_then(|_| tree.link_path(node).ok().flatten());
    Answers { known: Some(Known { attr, details, reparse, link_path, refused }), errors }
}

fn kept<T>(answer: Result<T, Error>, errors: &mut Vec<Error>) -> Option<T> {
    answer.map_err(|error| errors.push(error)).ok()
}

/// Why the content of a file is refused, though nothing of it is lost; a code.
fn refused(tree: &dyn Tree, node: NodeId, attr: &Attr) -> Option<&'static str> {
    if attr.kind != Kind::File || attr.attributes & MAY_BE_REFUSED == 0 {
        return None;
    }
    let told = tree.ranges(node, 0..1, &mut |_| ControlFlow::Break(()));
    let error = told.err().filter(|error| matches!(error.kind(), ErrorKind::Encrypted | ErrorKind::Unsupported))?;
    Some(error.code().unwrap_or("unsupported"))
}
