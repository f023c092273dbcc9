//! The hash of what is exported, computed beside the copying: it is often the slower of the two.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use super::pour::{READ, in_pieces};
use crate::extract::hashes::{HashKind, Hashing};

/// Buffers that are in use at once: one is filled, one is hashed, the others wait.
const BUFFERS: usize = 4;

/// Lends buffers, and hashes what comes back in them, in order.
pub(super) struct Hasher {
    /// `None` where no hash is wanted.
    beside: Option<Beside>,
    /// Buffers that nobody uses.
    spare: Vec<Vec<u8>>,
    lent: usize,
}

struct Beside {
    work: SyncSender<Work>,
    back: Receiver<Vec<u8>>,
    worker: JoinHandle<Hashing>,
}

enum Work {
    /// The first so many bytes of a buffer.
    Bytes(Vec<u8>, usize),
    Zeros(u64),
}

impl Hasher {
    /// `wanted`: else it only lends buffers.
    pub(super) fn new(wanted: bool) -> io::Result<Self> {
        let beside = if wanted { Some(Beside::start()?) } else { None };
        Ok(Hasher { beside, spare: Vec::new(), lent: 0 })
    }

    /// Lends a buffer of [`READ`] bytes; waits for one where too many have not been hashed yet.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        if let Some(buffer) = self.spare.pop() {
            return buffer;
        }
        let returned = match &self.beside {
            Some(beside) if self.lent >= BUFFERS => beside.back.recv().ok(),
            _ => None,
        };
        returned.unwrap_or_else(|| {
            self.lent = self.lent.saturating_add(1);
            vec![0; READ]
        })
    }

    /// Takes a buffer back, and hashes the first `count` bytes of it.
    pub(super) fn take(&mut self, buffer: Vec<u8>, count: usize) {
        match &self.beside {
            Some(beside) => beside.tell(Work::Bytes(buffer, count)),
            None => self.spare.push(buffer),
        }
    }

    /// Hashes zeros.
    pub(super) fn zeros(&self, length: u64) {
        if let Some(beside) = &self.beside {
            beside.tell(Work::Zeros(length));
        }
    }

    /// The hash; `None` where none was wanted.
    pub(super) fn finish(self) -> Option<String> {
        let Beside { work, worker, .. } = self.beside?;
        drop(work);
        let hashing = worker.join().ok()?;
        hashing.finish().into_iter().map(|(_, hash)| hash).next()
    }
}

impl Beside {
    fn start() -> io::Result<Self> {
        let (work, to_do) = sync_channel::<Work>(BUFFERS);
        let (done, back) = channel();
        let thread = std::thread::Builder::new().name("hash".to_owned());
        let worker = thread.spawn(move || {
            let mut hashing = Hashing::new(&[HashKind::Sha256]);
            let zeros = vec![0; READ];
            for work in to_do {
                match work {
                    Work::Bytes(buffer, count) => {
                        hashing.update(buffer.get(..count).unwrap_or_default());
                        // Nobody waits for the last ones.
                        let _ = done.send(buffer);
                    }
                    Work::Zeros(length) => {
                        let _ = in_pieces(length, &zeros, |piece| {
                            hashing.update(piece);
                            Ok(())
                        });
                    }
                }
            }
            hashing
        })?;
        Ok(Beside { work, back, worker })
    }

    fn tell(&self, work: Work) {
        // It takes all there is until it is dropped; had it died, there would be no hash.
        let _ = self.work.send(work);
    }
}
