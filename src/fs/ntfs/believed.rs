//! The names in an index, held against the records of their files: many at once, in the order of the records, which need not
//! be that of the names, and by several threads, while the index is walked on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// Names that a thread takes at a time.
const SHARE: usize = 1 << 10;

/// The names of a folder that wait to be held against the records.
pub(super) struct Claims<'scope, 'a> {
    folder: &'a Folder<'a>,
    /// Where threads work that are done before the survey is.
    scope: &'scope Scope<'scope, 'a>,
    waiting: Vec<Claim>,
    /// Those that waited before.
    batch: Arc<Batch>,
    /// At work on them.
    working: Vec<ScopedJoinHandle<'scope, bool>>,
    denied: bool,
}

/// Names in the order of their records, of which each thread takes some until none are left.
#[derive(Default)]
struct Batch {
    claims: Vec<Claim>,
    /// How many are taken.
    taken: AtomicUsize,
    /// Whether it is one of several, so that each part of the `$MFT` is wanted a few times at most.
    one_of_many: bool,
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
        let (waiting, batch, working) = (Vec::new(), Arc::default(), Vec::new());
        Claims { folder, scope, waiting, batch, working, denied: false }
    }

    /// Adds a name, and where it was found.
    pub(super) fn add(&mut self, key: &FileName<'_>, reference: FileReference, found: &Found) {
        let (node, ordinal) = (found.place, found.ordinal);
        self.waiting.push(Claim { reference, mark: record_states::mark(key), node, ordinal });
        if self.waiting.len() >= AT_ONCE {
            self.end_work();
            self.begin_work(true);
        }
    }

    /// Whether the file of any of the names is there, and its record knows nothing of that name.
    pub(super) fn found_denied(mut self) -> bool {
        let one_of_many = !self.batch.claims.is_empty();
        self.end_work();
        self.begin_work(one_of_many);
        self.end_work();
        self.denied
    }

    /// Has other threads begin with those that wait, as far as there are processors for them.
    fn begin_work(&mut self, one_of_many: bool) {
        // Memory that was used already is faster than any other.
        let mut memory = Arc::into_inner(std::mem::take(&mut self.batch)).unwrap_or_default().claims;
        memory.clear();
        let mut claims = std::mem::replace(&mut self.waiting, memory);
        claims.sort_unstable_by_key(|claim| claim.reference.record);
        // To learn how many processors there are costs more than a small folder does.
        let worth = (claims.len() / WORTH_A_THREAD).min(MOST_THREADS);
        let others = if worth > 0 { available_parallelism().map_or(1, usize::from).saturating_sub(1) } else { 0 };
        self.batch = Arc::new(Batch { claims, taken: AtomicUsize::new(0), one_of_many });
        for _ in 0..others.min(worth) {
            let (folder, batch) = (self.folder, Arc::clone(&self.batch));
            let work = move || batch.any_denied(folder);
            // What the host gives no thread for is left to this one.
            self.working.extend(Builder::new().name("names".to_owned()).spawn_scoped(self.scope, work));
        }
    }

    /// Takes part in what is left, and waits for the others.
    fn end_work(&mut self) {
        self.denied |= self.batch.any_denied(self.folder);
        for thread in self.working.drain(..) {
            self.denied |= thread.join().unwrap_or(true);
        }
    }
}

impl Batch {
    /// Whether the file of any of the names that this thread took is there and does not know it.
    fn any_denied(&self, folder: &Folder<'_>) -> bool {
        let mut near = NearStates::new(&folder.ntfs.mft, self.one_of_many);
        let mut denied = |claim: &Claim| {
            let (target, marks) = near.target_and_marks(claim.reference);
            matches!(target, Target::Live { .. }) && !marks.contains(&claim.mark) && is_denied(folder, claim)
        };
        while let Some(share) = self.take() {
            if share.iter().any(&mut denied) {
                return true;
            }
        }
        false
    }

    /// Some names that nobody took before.
    fn take(&self) -> Option<&[Claim]> {
        let start = self.taken.fetch_add(SHARE, Ordering::Relaxed);
        let end = start.saturating_add(SHARE).min(self.claims.len());
        self.claims.get(start..end).filter(|share| !share.is_empty())
    }
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
