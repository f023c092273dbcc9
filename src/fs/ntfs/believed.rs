//! The names in an index, held against the records of their files: many at once, in the order of the records, which need not
//! be that of the names, and by several threads.

use std::thread::{Builder, available_parallelism};

use super::file_name::FileName;
use super::file_record::FileReference;
use super::folder::Folder;
use super::index::{Found, NodePlace};
use super::near_states::NearStates;
use super::record_states::{self, Target};

/// Names that are held against records at once: this bounds the memory.
const AT_ONCE: usize = 1 << 16;

/// Names that are worth a thread, and threads at most.
const WORTH_A_THREAD: usize = 1 << 13;
const MOST_THREADS: usize = 8;

/// The names of a folder that wait to be held against the records.
pub(super) struct Claims<'a> {
    folder: &'a Folder<'a>,
    waiting: Vec<Claim>,
    denied: bool,
}

/// A name in the index.
struct Claim {
    reference: FileReference,
    mark: u32,
    /// Where it stands.
    node: NodePlace,
    ordinal: usize,
}

impl<'a> Claims<'a> {
    pub(super) fn new(folder: &'a Folder<'a>) -> Self {
        Claims { folder, waiting: Vec::new(), denied: false }
    }

    /// Adds a name, and where it was found.
    pub(super) fn add(&mut self, key: &FileName<'_>, reference: FileReference, found: &Found) {
        let (node, ordinal) = (found.place, found.ordinal);
        self.waiting.push(Claim { reference, mark: record_states::mark(key), node, ordinal });
        if self.waiting.len() >= AT_ONCE {
            self.settle();
        }
    }

    /// Whether the file of any of the names is there, and its record knows nothing of that name.
    pub(super) fn found_denied(mut self) -> bool {
        self.settle();
        self.denied
    }

    fn settle(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_unstable_by_key(|claim| claim.reference.record);
        // To learn how many processors there are costs more than a small folder does.
        let worth = waiting.len().div_ceil(WORTH_A_THREAD).min(MOST_THREADS);
        let threads = if worth > 1 { available_parallelism().map_or(1, usize::from).min(worth) } else { 1 };
        let share = waiting.len().div_ceil(threads).max(1);
        let folder = self.folder;
        self.denied |= std::thread::scope(|scope| {
            let mut shares = waiting.chunks(share);
            let own = shares.next().unwrap_or_default();
            let others = shares.map(|share| {
                let work = move || any_denied(folder, share);
                // Where the host gives no thread, this one does it.
                Builder::new().name("names".to_owned()).spawn_scoped(scope, work).map_err(|_| share)
            });
            let others: Vec<_> = others.collect();
            let denied = any_denied(folder, own);
            let others = others.into_iter().map(|other| match other {
                Ok(thread) => thread.join().unwrap_or(true),
                Err(share) => any_denied(folder, share),
            });
            others.fold(denied, |any, denied| any || denied)
        });
        waiting.clear();
        self.waiting = waiting;
    }
}

/// Whether the file of any of these names, which are in the order of the records, is there and does not know it.
fn any_denied(folder: &Folder<'_>, claims: &[Claim]) -> bool {
    let mut near = NearStates::new(&folder.ntfs.mft, claims.len() >= WORTH_A_THREAD);
    claims.iter().any(|claim| {
        let (target, marks) = near.target_and_marks(claim.reference);
        matches!(target, Target::Live { .. }) && !marks.contains(&claim.mark) && is_denied(folder, claim)
    })
}

/// Looks at the name and the record of its file again.
fn is_denied(folder: &Folder<'_>, claim: &Claim) -> bool {
    let node = folder.load(claim.node).ok();
    let pair = node.as_ref().and_then(|node| {
        let entry = node.entry(claim.ordinal)?;
        Some((FileName::parse(entry.key())?, entry.reference()))
    });
    pair.is_some_and(|pair| folder.denies(&pair))
}
