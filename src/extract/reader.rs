//! A thread that reads ahead.

use std::io;
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, Scope};

use mount_api::Error;

use super::pieces::length;
use super::stream::{Read, Stream};

/// A thread that reads pieces, in the order that they are asked for.
pub(super) struct Reader {
    /// Where a piece begins, and what it is to be read into.
    orders: Sender<(u64, Vec<u8>)>,
    pub(super) done: Receiver<(Vec<u8>, Result<Read, Error>)>,
}

impl Reader {
    /// Starts one; it ends when nobody can ask it any more.
    pub(super) fn start<'scope>(scope: &'scope Scope<'scope, '_>, stream: Stream<'scope>) -> io::Result<Self> {
        let (orders, inbox) = channel::<(u64, Vec<u8>)>();
        let (outbox, done) = channel();
        let work = move || {
            for (at, mut piece) in inbox {
                let read = stream.read(at, &mut piece);
                if outbox.send((piece, read)).is_err() {
                    break;
                }
            }
        };
        Builder::new().name("read ahead".to_owned()).spawn_scoped(scope, work)?;
        Ok(Reader { orders, done })
    }

    /// Asks for a piece, to be read into `buf`.
    pub(super) fn ask(&self, range: &Range<u64>, buf: Option<Vec<u8>>) {
        let mut buf = buf.unwrap_or_default();
        buf.resize(length(range), 0);
        // Where it is gone, nothing will be heard of it.
        let _ = self.orders.send((range.start, buf));
    }
}
