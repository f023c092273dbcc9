//! Logs of the youngest link that cannot be read as a whole, or not at all.

use fixtures::bytes::Bytes;
use fixtures::vhdx::MIB;
use fixtures::vhdx::header::Header;
use fixtures::vhdx::log::{Tear, Update};

use crate::logs::{entries, log_page, three_entries, write};
use crate::row::{Row, SIZE, YOUNGEST, row};

/// Both kinds.
pub(crate) fn rows() -> Vec<Row> {
    [unreadable_behind(), impossible()].into_iter().flatten().collect()
}

/// What stands behind the newest whole entry is none, and no empty place.
fn unreadable_behind() -> Vec<Row> {
    vec![
        row("log: noise stands right behind the newest whole entry", |forged| {
            let entries = three_entries(forged);
            forged.file(YOUNGEST).write_at(entries[1], &[0xA5; 4 * 4096]);
        })
        .codes(&["log-replayed", "log-unreadable"])
        .exits(3, 0, 3, 0)
        .doubtful(0..SIZE, "log-torn"),
        row("log: the header behind the newest whole entry is damaged", |forged| {
            write(forged, |log| log.torn = Some((vec![Update::page(log_page(log), &[0; 4096])], Tear::Checksum)));
            let newest = *entries(forged).last().expect("an entry");
            forged.file(YOUNGEST).write_at(newest, b"LOGE");
        })
        .codes(&["log-replayed", "log-unreadable"])
        .exits(3, 0, 3, 0)
        .doubtful(0..SIZE, "log-torn"),
    ]
}

/// Logs that cannot be read at all.
fn impossible() -> Vec<Row> {
    vec![
        row("log: LogVersion", |forged| {
            write(forged, |_| {});
            for number in 1..=2 {
                Header::edit(&mut forged.file(YOUNGEST), number, |header| header.log_version = 1);
            }
        })
        .exits(1, 1, 1, 3)
        .refused("--no-log-replay"),
        // What it would change may be any table.
        row("log: LogVersion, and it is not to be replayed", |forged| {
            write(forged, |_| {});
            for number in 1..=2 {
                Header::edit(&mut forged.file(YOUNGEST), number, |header| header.log_version = 1);
            }
        })
        .switches(&["--no-log-replay"])
        .shown_as_it_lies()
        .codes(&["blocks-unowned", "log-replay-declined"])
        .exits(3, 0, 3, 3)
        .doubtful(0..SIZE, "log-replay-declined"),
        row("log: LogOffset past the end", |forged| {
            write(forged, |_| {});
            let mut file = forged.file(YOUNGEST);
            let end = file.size().next_multiple_of(MIB);
            for number in 1..=2 {
                Header::edit(&mut file, number, |header| header.log_offset = end);
            }
        })
        .shown_as_it_lies()
        .codes(&["log-torn", "log-unreadable"])
        .exits(3, 0, 3, 0)
        .doubtful(0..SIZE, "log-torn"),
    ]
}
