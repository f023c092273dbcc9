//! What the kernel keeps of files, and that it forgets it when the images below change after all.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use std::{io, mem};

use fuser::{INodeNo, Notifier};
use mount_api::{NodeId, Tree};

/// The files of which bytes were read. Of more than these the kernel keeps what it has.
const MAX_FILES: usize = 1 << 20;

/// Between two looks at the tree.
const PAUSE: Duration = Duration::from_secs(1);

thread_local! {
    /// The file that this thread read last, and in which round. Most reads are of the same one as the read before.
    static LAST: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// The files of which the kernel may keep bytes.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    files: Mutex<HashSet<u64>>,
    /// How often they were taken: then each counts anew.
    round: AtomicU64,
}

impl Kept {
    /// The kernel is about to get these bytes of a file: they are read, and not handed out yet.
    pub(crate) fn note(&self, file: NodeId) {
        let this = (file.0, self.round.load(Ordering::Acquire));
        if LAST.replace(this) == this {
            return;
        }
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if files.len() < MAX_FILES {
            files.insert(file.0);
        }
    }

    /// Those that were noted since this was asked last.
    fn take(&self) -> HashSet<u64> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        self.round.fetch_add(1, Ordering::Release);
        mem::take(&mut files)
    }
}

fn forget(files: &HashSet<u64>, kernel: &Notifier) {
    for file in files {
        // One that the kernel does not know any more has nothing to forget.
        let _ = kernel.inval_inode(INodeNo(*file), 0, 0);
    }
}

/// Looks at the tree once a second for as long as it lives.
pub(crate) struct Watching {
    _stop: Sender<()>,
}

/// Makes the kernel forget what it keeps once the tree says that it has changed; from then on, once a second, what it was given
/// since, for what wrote to the images may go on.
pub(crate) fn watch(tree: Arc<dyn Tree>, kept: Arc<Kept>, kernel: Notifier) -> io::Result<Watching> {
    let (stop, stopped) = mpsc::channel();
    thread::Builder::new().name("mount-changes".to_owned()).spawn(move || {
        let mut changed = false;
        // Once more a second later: the kernel may not have had yet what it was about to get.
        let mut again = HashSet::new();
        while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
            changed = changed || tree.has_changed();
            if changed {
                forget(&again, &kernel);
                again = kept.take();
                forget(&again, &kernel);
            }
        }
    })?;
    Ok(Watching { _stop: stop })
}
