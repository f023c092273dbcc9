//! Logs of a youngest link one or both of whose headers are damaged, or say that it was closed.

use fixtures::bytes::Bytes;
use fixtures::guid::Guid;
use fixtures::vhdx::header::{self, Header};

use crate::logs::write;
use crate::row::{Row, SIZE, YOUNGEST, row};

/// A header of the file is damaged, or both.
pub(crate) fn rows() -> Vec<Row> {
    let alone = |name: &str| {
        row(format!("log: only the second header bears the LogGuid, and is damaged{name}"), |forged| {
            write(forged, |log| log.in_both_headers = false);
            assert_eq!(Header::current(&forged.file(YOUNGEST)), Some(2));
            forged.file(YOUNGEST).write_at(header::OFFSETS[1], &[0; 4096]);
        })
        .shown_as_it_lies()
        .codes(&["blocks-unowned", "header-bad", "log-unclaimed"])
        .exits(3, 0, 3, 0)
        // No block is in the second half of the disk.
        .doubtful(0..SIZE / 2, "log-unclaimed")
        .doubtful(SIZE / 2..SIZE, "blocks-unowned")
    };
    vec![
        alone(""),
        alone(", and no log is to be replayed").switches(&["--no-log-replay"]),
        // What the last entry made of them never reached them.
        closed_without_the_last_writes(),
        closed_without_the_last_writes().switches(&["--accept-doubtful"]).served(),
        both_headers_lost(),
        both_headers_lost().switches(&["--accept-doubtful"]).served(),
        row("log: only the first header bears no LogGuid, and is damaged", |forged| {
            write(forged, |log| log.in_both_headers = false);
            forged.file(YOUNGEST).write_at(header::OFFSETS[0], &[0; 4096]);
        })
        .codes(&["header-bad", "log-replayed"]),
    ]
}

/// The log has them as they should be, and is believed with a doubt.
fn closed_without_the_last_writes() -> Row {
    row("log: the file was closed, and the pages of its BAT are as before the last entry", |forged| {
        write(forged, |_| {});
        let mut file = forged.file(YOUNGEST);
        for number in [1, 2] {
            Header::edit(&mut file, number, |header| header.log_guid = Guid::NIL);
        }
    })
    .codes(&["log-write-lost"])
    .exits(3, 0, 3, 0)
    // The log has no block in the second half of the disk either.
    .doubtful(0..SIZE / 2, "log-write-lost")
}

/// Nothing names the log any more, and it would change what the file tells.
fn both_headers_lost() -> Row {
    row("log: both headers are damaged", |forged| {
        write(forged, |_| {});
        header::OFFSETS.iter().for_each(|offset| forged.file(YOUNGEST).write_at(*offset, &[0; 4096]));
    })
    .shown_as_it_lies()
    .codes(&["blocks-unowned", "headers-lost"])
    .exits(3, 0, 3, 0)
    // The log has no block in the second half of the disk.
    .doubtful(0..SIZE / 2, "headers-lost")
    .doubtful(SIZE / 2..SIZE, "blocks-unowned")
}
