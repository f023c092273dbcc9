//! What the kernel keeps of files, and that it forgets it when the images below change after all.

use std::cell::Cell;
use std::collections::HashSet;
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
    /// The file that this thread read last. Most reads are of the same one as the read before.
    static LAST: Cell<u64> = const { Cell::new(0) };
}

/// The files of which the kernel may keep bytes.
#[derive(Debug, Default)]
pub(crate) struct Kept(Mutex<HashSet<u64>>);

impl Kept {
    /// The kernel is about to get bytes of this file.
    pub(crate) fn note(&self, file: NodeId) {
        if LAST.replace(file.0) == file.0 {
            return;
        }
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if files.len() < MAX_FILES {
            files.insert(file.0);
        }
    }

    fn forget(&self, kernel: &Notifier) {
        let files: Vec<u64> = self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        for file in files {
            // One that the kernel does not know any more has nothing to forget.
            let _ = kernel.inval_inode(INodeNo(file), 0, 0);
        }
    }
}

/// Looks at the tree once a second for as long as it lives.
pub(crate) struct Watching {
    _stop: Sender<()>,
}

/// Makes the kernel forget what it keeps once the tree says that it has changed.
pub(crate) fn watch(tree: Arc<dyn Tree>, kept: Arc<Kept>, kernel: Notifier) -> io::Result<Watching> {
    let (stop, stopped) = mpsc::channel();
    thread::Builder::new().name("mount-changes".to_owned()).spawn(move || {
        let mut changed = false;
        while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
            // Once more a second later: a read may have been under way.
            if mem::replace(&mut changed, tree.has_changed()) {
                kept.forget(&kernel);
                return;
            }
            if changed {
                kept.forget(&kernel);
            }
        }
    })?;
    Ok(Watching { _stop: stop })
}
