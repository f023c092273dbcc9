//! The names in an index, held against the records of their files: many at once, in the order of the records, which need not
//! be that of the names, and by several threads, while the index is walked on.

use std::ops::Range;
use std::sync::Arc;
use std::thread::{Builder, Scope, ScopedJoinHandle, available_parallelism};

use super::file_name::FileName;
use super::file_record::FileReference;
use super::folder::Folder;
use super::index::{Found, NodePlace};
use super::near_states::NearStates;
use super::record_states::{self, Target};

/// Names that are held against records at once: this bounds the memory.
const AT_ONCE: usize = 1 << 14;

/// Names that are worth a thread, and threads at most.
const WORTH_A_THREAD: usize = 1 << 13;
const MOST_THREADS: usize = 8;

/// The names of a folder that wait to be held against the records.
pub(super) struct Claims<'scope, 'a> {
    folder: &'a Folder<'a>,
    /// Where threads work that are done before the survey is.
    scope: &'scope Scope<'scope, 'a>,
    waiting: Vec<Claim>,
    /// At work on those that waited before.
    working: Vec<ScopedJoinHandle<'scope, bool>>,
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

impl<'scope, 'a> Claims<'scope, 'a> {
    pub(super) fn new(folder: &'a Folder<'a>, scope: &'scope Scope<'scope, 'a>) -> Self {
        Claims { folder, scope, waiting: Vec::new(), working: Vec::new(), denied: false }
    }

    /// Adds a name, and where it was found.
    pub(super) fn add(&mut self, key: &FileName<'_>, reference: FileReference, found: &Found) {
        let (node, ordinal) = (found.place, found.ordinal);
        self.waiting.push(Claim { reference, mark: record_states::mark(key), node, ordinal });
        if self.waiting.len() >= AT_ONCE {
            self.end_work();
            self.begin_work(false);
        }
    }

    /// Whether the file of any of the names is there, and its record knows nothing of that name.
    pub(super) fn found_denied(mut self) -> bool {
        self.end_work();
        self.begin_work(true);
        self.end_work();
        self.denied
    }

    /// Has threads look at those that wait; this one takes its share `too`, or as much as the host gives no threads for.
    fn begin_work(&mut self, too: bool) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_unstable_by_key(|claim| claim.reference.record);
        // To learn how many processors there are costs more than a small folder does.
        let worth = waiting.len().div_ceil(WORTH_A_THREAD).min(MOST_THREADS);
        let processors = if worth > 1 { available_parallelism().map_or(1, usize::from) } else { 1 };
        // One is at work on the index.
        let free = if too { processors } else { processors.saturating_sub(1) };
        let share = waiting.len().div_ceil(free.clamp(1, worth.max(1))).max(1);
        let own = if too { share } else { 0 };
        let (folder, end, claims) = (self.folder, waiting.len(), Arc::new(waiting));
        for start in (own..end).step_by(share) {
            let range = start..start.saturating_add(share).min(end);
            let (range_there, claims_there) = (range.clone(), Arc::clone(&claims));
            let work = move || any_denied(folder, &claims_there, range_there);
            match Builder::new().name("names".to_owned()).spawn_scoped(self.scope, work) {
                Ok(thread) => self.working.push(thread),
                Err(_) => self.denied |= any_denied(folder, &claims, range),
            }
        }
        self.denied |= any_denied(folder, &claims, 0..own.min(end));
    }

    fn end_work(&mut self) {
        for thread in self.working.drain(..) {
            self.denied |= thread.join().unwrap_or(true);
        }
    }
}

/// Whether the file of any of these names, which are in the order of the records, is there and does not know it.
fn any_denied(folder: &Folder<'_>, claims: &[Claim], range: Range<usize>) -> bool {
    let claims = claims.get(range).unwrap_or_default();
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
