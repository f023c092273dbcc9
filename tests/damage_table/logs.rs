//! Logs: of the youngest link, whose BAT stands in the log alone. As the file lies, that link holds nothing.

use std::ops::Range;

use fixtures::bytes::Bytes;
use fixtures::guid::Guid;
use fixtures::vhdx::MIB;
use fixtures::vhdx::header::Header;
use fixtures::vhdx::log::{DirtyLog, Rollback, StaleEntry, Tear, Update, mend_first_entries};

use crate::row::{BLOCK, Forged, MIDDLE, Row, SIZE, YOUNGEST, row};
use crate::{logged_headers, unreadable_logs};

const LOG_GUID: Guid = Guid::parse("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");

/// Takes the BAT out of the file, and writes what `change` makes of the log that brings it back.
pub(crate) fn write(forged: &Forged, change: impl Fn(&mut DirtyLog)) {
    let (places, mut file) = (&forged.chain.places[YOUNGEST], forged.file(YOUNGEST));
    let mut rollback = Rollback::new();
    rollback.blank(&file, &places.bat);
    let mut log = DirtyLog::new(LOG_GUID, vec![rollback.take_back(&mut file)], places.file_size);
    change(&mut log);
    log.write(&mut file, &places.log);
}

/// Both headers tell this length of the log.
fn told_length(forged: &Forged, length: u32) {
    let mut file = forged.file(YOUNGEST);
    for number in [1, 2] {
        Header::edit(&mut file, number, |header| header.log_length = length);
    }
}

/// Where in the file the entries of the log stand.
pub(crate) fn entries(forged: &Forged) -> Vec<u64> {
    let (log, file) = (&forged.chain.places[YOUNGEST].log, forged.file(YOUNGEST));
    let is_entry = |at: &u64| file.bytes_at(*at, 4) == b"loge";
    (log.start..log.end).step_by(4096).filter(is_entry).collect()
}

/// Writes two more entries behind the one that brings the BAT back, and tells where in the file the three stand.
pub(crate) fn three_entries(forged: &Forged) -> Vec<u64> {
    write(forged, |log| {
        let page = Update::page(log_page(log), &[0; 4096]);
        log.active.extend([vec![page.clone()], vec![page]]);
    });
    let entries = entries(forged);
    assert_eq!(entries.len(), 3);
    entries
}

fn log(name: &str, change: impl Fn(&mut DirtyLog) + 'static) -> Row {
    row(format!("log: {name}"), move |forged| write(forged, &change))
}

/// The only entry of the log, of which bytes are others. Its checksum is not mended.
fn spoilt(name: &str, at: u64, bytes: &'static [u8]) -> Row {
    row(format!("log: {name}"), move |forged| {
        write(forged, |_| {});
        let start = forged.chain.places[YOUNGEST].log.start;
        forged.file(YOUNGEST).write_at(start + at, bytes);
    })
}

impl Row {
    /// The youngest link as its file lies: it holds nothing.
    pub(crate) fn shown_as_it_lies(self) -> Self {
        self.model(|chain| chain.model_at(MIDDLE))
    }

    /// Nothing owns the blocks of the youngest link, and its BAT holds nothing.
    fn unowned(self) -> Self {
        self.shown_as_it_lies().exits(3, 0, 3, 0).doubtful(0..SIZE, "blocks-unowned")
    }

    /// What its entries say is known, and that they may not have counted.
    fn compared(self) -> Self {
        self.shown_as_it_lies().codes(&["log-torn"]).exits(3, 0, 3, 0).doubtful(CHANGED, "log-torn")
    }

    /// Both pages of the BAT that hold entries are doubtful, and so is all that is found through them.
    fn torn(self) -> Self {
        self.shown_as_it_lies().codes(&["log-torn"]).exits(3, 0, 3, 0).doubtful(0..SIZE, "log-torn")
    }
}

/// The blocks whose entries an entry changes that writes zeros over the first page of the BAT.
const CHANGED: Range<u64> = 0..3 * BLOCK;

impl Row {
    /// The newest entry was written as a whole and does not hold: the one before it is replayed.
    fn newest_damaged(self, doubtful: Range<u64>) -> Self {
        self.codes(&["log-newest-damaged", "log-replayed"]).exits(3, 0, 3, 0).doubtful(doubtful, "log-newest-damaged")
    }
}

/// The newest of two entries, of which the last piece of the storage is another one: bytes of its data sector from `at` on.
fn torn_end(name: &str, at: u64, bytes: &'static [u8]) -> Row {
    row(format!("log: the end of the newest entry {name}"), move |forged| {
        write(forged, |log| log.active.push(vec![Update::page(log_page(log), &[0; 4096])]));
        let entry = entries(forged)[1];
        forged.file(YOUNGEST).write_at(entry + 4096 + at, bytes);
    })
    .codes(&["log-replayed"])
}

/// Single fields of the newest of two entries, whose checksum is not mended: its sectors tell that it was written as a whole.
fn newest_damaged() -> Vec<Row> {
    let newest = |name: &str, at: u64, bytes: &'static [u8], doubtful: Range<u64>| {
        row(format!("log: the newest entry is damaged: {name}"), move |forged| {
            write(forged, |log| log.active.push(vec![Update::page(log_page(log), &[0; 4096])]));
            let entry = entries(forged)[1];
            forged.file(YOUNGEST).write_at(entry + at, bytes);
        })
        .newest_damaged(doubtful)
    };
    vec![
        newest("Checksum", 4, &[0xFF; 4], CHANGED),
        newest("EntryLength too short", 8, &[0, 0x10, 0, 0], CHANGED),
        newest("EntryLength too long", 8, &[0, 0x30, 0, 0], CHANGED),
        newest("Tail", 12, &[0, 0xF0, 0, 0], CHANGED),
        newest("SequenceNumber", 16, &[9], CHANGED),
        newest("SequenceNumber of an older entry", 16, &[1], CHANGED),
        newest("DescriptorCount 0", 24, &[0], CHANGED),
        newest("DescriptorCount 2", 24, &[2], CHANGED),
        newest("FlushedFileOffset", 48, &[0xFF; 8], CHANGED),
        newest("LastFileOffset", 56, &[0; 8], CHANGED),
        newest("TrailingBytes of a descriptor", 64 + 4, &[0xFF; 4], CHANGED),
        newest("LeadingBytes of a descriptor", 64 + 8, &[0xFF; 8], CHANGED),
        newest("FileOffset past the end of the file", 64 + 16 + 5, &[3], 0..SIZE),
        newest("FileOffset in the headers", 64 + 16, &[0, 0, 1, 0, 0, 0, 0, 0], 0..SIZE),
        newest("FileOffset no multiple of 4 KiB", 64 + 16, &[3], 0..SIZE),
        // The checksum tells which bit it was.
        newest("one bit of FileOffset", 64 + 16 + 5, &[1], CHANGED),
        newest("the lowest bit of FileOffset", 64 + 16, &[1], CHANGED),
        newest("SequenceNumber of a descriptor", 64 + 24, &[0xFF; 8], CHANGED),
        newest("SequenceHigh of a data sector", 4096 + 4, &[0xFF; 4], CHANGED),
        newest("SequenceLow of a data sector", 4096 + 4092, &[0xFF; 4], CHANGED),
        newest("DataSignature", 4096, b"DATA", CHANGED),
        newest("the bytes of a page", 4096 + 2000, b"damage", CHANGED),
        // No damage: the power went, and the last piece of 512 bytes is an older one or none.
        torn_end("never reached the storage", 3584, &[0; 512]),
        torn_end("is that of an older entry", 4092, &[1, 0, 0, 0]),
        // What an entry of an earlier session left that was torn, behind the newest of this one.
        row("log: a page without its first 512 bytes stands behind the newest entry", |forged| {
            write(forged, |_| {});
            let places = &forged.chain.places[YOUNGEST];
            let relic = [vec![0; 512], forged.file(YOUNGEST).bytes_at(places.metadata.start, 3584)].concat();
            let entry = entries(forged)[0];
            let mut file = forged.file(YOUNGEST);
            let length = u64::from(file.u32_at(entry + 8));
            file.write_at(entry + length, &relic);
        })
        .codes(&["log-replayed"]),
        // The machine stopped when what it says had been carried out in the file.
        row("log: the newest entry is damaged, and says what the file holds already", |forged| {
            let places = &forged.chain.places[YOUNGEST];
            let page = forged.file(YOUNGEST).bytes_at(places.bat.start, 4096);
            write(forged, |log| log.active.push(vec![Update::page(log_page(log), &page)]));
            let entry = entries(forged)[1];
            forged.file(YOUNGEST).write_at(entry + 4, &[0xFF; 4]);
        })
        .codes(&["log-newest-damaged", "log-replayed"]),
        row("log: the two newest entries are damaged", |forged| {
            let entries = three_entries(forged);
            entries[1..].iter().for_each(|entry| forged.file(YOUNGEST).write_at(entry + 4, &[0xFF; 4]));
        })
        .newest_damaged(CHANGED),
        // An entry that an earlier round of the ring left, with the LogGuid of the newest.
        log("an older entry stands behind the newest", |log| {
            log.first_sequence_number = 77;
            let updates = vec![Update::page(log_page(log), &[0; 4096])];
            log.stale = vec![StaleEntry { log_guid: LOG_GUID, sequence_number: 11, tail: None, updates }];
        })
        .codes(&["log-replayed"]),
    ]
}

/// Each part of the table.
pub(crate) fn rows() -> Vec<Row> {
    let parts = [
        whole(),
        forbidden_places(),
        cut_off(),
        logged_headers::rows(),
        torn_newest(),
        newest_damaged(),
        spoilt_headers(),
        spoilt_entries(),
        unreadable_logs::rows(),
    ];
    parts.into_iter().flatten().collect()
}

/// Logs that hold, and those that hold nothing.
fn whole() -> Vec<Row> {
    vec![
        log("complete", |_| {}).codes(&["log-replayed"]),
        log("complete, and not to be replayed", |_| {})
            .switches(&["--no-log-replay"])
            // The block that the log would place.
            .codes(&["blocks-unowned", "log-replay-declined"])
            .exits(3, 0, 3, 0)
            .shown_as_it_lies()
            .doubtful(CHANGED, "log-replay-declined"),
        row("log: complete, not to be replayed, and it says what the file says", |forged| {
            let (bat, file) = (&forged.chain.places[YOUNGEST].bat, forged.file(YOUNGEST));
            let written = file.bytes_at(bat.start, (bat.end - bat.start) as usize);
            write(forged, |_| {});
            forged.file(YOUNGEST).write_at(bat.start, &written);
        })
        .switches(&["--no-log-replay"])
        .codes(&["log-replay-declined"]),
        log("no entry", |log| log.active.clear()).codes(&["blocks-unowned", "log-empty"]).unowned(),
        log("no LogGuid", |log| log.log_guid = Guid::NIL).codes(&["blocks-unowned"]).unowned(),
        log("FlushedFileOffset past the end", |log| {
            log.flushed_file_offset += MIB;
            log.last_file_offset += MIB;
        })
        .codes(&["file-truncated", "log-replayed"])
        // Who reads all of the disk knows that nothing stood there.
        .exits(3, 0, 0, 0),
        log("LastFileOffset past the end", |log| log.last_file_offset += MIB)
            .codes(&["file-tail-missing", "log-replayed"]),
    ]
}

/// Entries that write where no log may, and logs that reach there.
fn forbidden_places() -> Vec<Row> {
    vec![
        log("an entry writes a header", |log| log.active[0].push(Update::page(64 << 10, &[0; 4096])))
            .codes(&["log-replayed", "log-writes-forbidden-place"]),
        row("log: an entry writes into the log", |forged| {
            let place = forged.chain.places[YOUNGEST].log.end - 4096;
            write(forged, |log| log.active[0].push(Update::page(place, &[0; 4096])));
        })
        .codes(&["log-replayed", "log-writes-forbidden-place"]),
        log("an entry writes past the end of the file", |log| {
            let end = log.last_file_offset.next_multiple_of(4096);
            log.active[0].push(Update::page(end, &[0; 4096]));
        })
        .codes(&["log-replayed", "log-writes-forbidden-place"]),
        // As long as that it would reach into the regions behind it: its length is wrong, and no block is in it.
        row("a log that was closed cleanly is told to be 1 GiB long", |forged| told_length(forged, 1 << 30))
            .codes(&["log-on-region"]),
        row("log: told to be 1 GiB long", |forged| {
            write(forged, |_| {});
            told_length(forged, 1 << 30);
        })
        .codes(&["log-on-region", "log-replayed", "log-unreadable", "log-writes-forbidden-place"])
        .exits(3, 0, 3, 0)
        .doubtful(0..SIZE, "log-on-region"),
        spoilt("Checksum, and it is not to be replayed", 4, &[0xFF; 4]).compared().switches(&["--no-log-replay"]),
        row("log: told to be 1 GiB long, and not to be replayed", |forged| {
            write(forged, |_| {});
            told_length(forged, 1 << 30);
        })
        .switches(&["--no-log-replay"])
        .shown_as_it_lies()
        .codes(&["blocks-unowned", "log-on-region", "log-replay-declined", "log-unreadable"])
        .exits(3, 0, 3, 0)
        .doubtful(0..SIZE / 2, "log-replay-declined")
        .doubtful(SIZE / 2..SIZE, "log-on-region"),
        // The tables that it wipes on its way are in doubt.
        row("log: an entry makes zeros of all from the BAT to far past the end of the file", |forged| {
            let file_offset = forged.chain.places[YOUNGEST].bat.start;
            write(forged, |log| log.active[0].push(Update::Zeros { file_offset, length: 1 << 60 }));
        })
        .codes(&["blocks-unowned", "log-replayed", "log-writes-forbidden-place"])
        .exits(3, 0, 3, 0)
        .doubtful(0..SIZE, "log-writes-forbidden-place"),
        row("log: an entry writes a payload block, what stands there anyway", |forged| {
            let place = forged.chain.places[YOUNGEST].payload[&1].start;
            let page = forged.file(YOUNGEST).bytes_at(place, 4096);
            write(forged, |log| log.active[0].push(Update::page(place, &page)));
        })
        .codes(&["log-replayed", "log-writes-forbidden-place"]),
    ]
}

/// Whole entries behind one that does not hold.
fn cut_off() -> Vec<Row> {
    vec![
        row("log: an entry before the newest one is gone", |forged| {
            let entries = three_entries(forged);
            forged.file(YOUNGEST).write_at(entries[1], &[0; 4096]);
        })
        .codes(&["log-entries-cut-off", "log-replayed"])
        .exits(3, 0, 3, 0)
        .doubtful(0..SIZE, "log-torn"),
        row("log: an entry before the newest one is damaged", |forged| {
            let entries = three_entries(forged);
            forged.file(YOUNGEST).write_at(entries[1] + 4096 + 100, b"damage");
        })
        // The newest one says what it said of its page: replayed, they take the blocks away again.
        .codes(&["blocks-unowned", "log-entries-cut-off", "log-replayed"])
        .exits(3, 0, 3, 0)
        .doubtful(0..SIZE / 2, "log-torn"),
        // However long the hole is, and whatever stands in it.
        row("log: many entries before the newest ones are gone", |forged| {
            write(forged, |log| {
                let page = Update::page(log_page(log), &[0; 4096]);
                log.active.extend(vec![vec![page]; 19]);
            });
            let entries = entries(forged);
            assert_eq!(entries.len(), 20);
            forged.file(YOUNGEST).write_at(entries[1], &vec![0xFF; (entries[15] - entries[1]) as usize]);
        })
        .codes(&["log-entries-cut-off", "log-replayed"])
        .exits(3, 0, 3, 0)
        .doubtful(0..SIZE, "log-torn"),
        log("the newest entry bears a number further on than the next", |log| {
            log.first_sequence_number = 77;
            let updates = vec![Update::page(log_page(log), &[0; 4096])];
            log.stale = vec![StaleEntry { log_guid: LOG_GUID, sequence_number: 79, tail: Some(0), updates }];
        })
        .codes(&["log-entries-cut-off", "log-replayed"])
        .exits(3, 0, 3, 0)
        .doubtful(0..SIZE, "log-torn"),
        // The first entry was done with: what the last two write is newer than what it would bring back.
        row("log: the first entry of the sequence is damaged, and an older one is whole", |forged| {
            let entries = three_entries(forged);
            let (places, mut file) = (&forged.chain.places[YOUNGEST], forged.file(YOUNGEST));
            let tail = (entries[1] - places.log.start) as u32;
            entries[1..].iter().for_each(|entry| file.write_at(entry + 12, &tail.to_le_bytes()));
            mend_first_entries(&mut file, places);
            file.write_at(entries[1] + 4096 + 100, b"damage");
        })
        .shown_as_it_lies()
        .codes(&["log-entries-cut-off", "log-torn"])
        // What they make of the BAT's entries stands in the file.
        .exits(3, 0, 3, 0),
    ]
}

/// The newest entry is torn.
fn torn_newest() -> Vec<Row> {
    let mut rows = Vec::new();
    for tear in Tear::ALL {
        let row = log(&format!("the newest entry is torn: {tear:?}"), move |log| {
            log.torn = Some((vec![Update::page(log_page(log), &[0; 4096])], tear));
        });
        rows.push(match tear {
            _ if tear.is_by_power() => row.codes(&["log-replayed"]),
            // Where it leads cannot be told.
            Tear::DescriptorSignature => row.newest_damaged(0..SIZE),
            _ => row.newest_damaged(CHANGED),
        });
    }
    rows
}

/// The header of the only entry contradicts itself, or is gone.
fn spoilt_headers() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, at, bytes) in [
        ("Signature", 0, &b"LOGE"[..]),
        ("EntryLength 0", 8, &[0; 4]),
        ("EntryLength beyond the log", 8, &[0, 0, 0x20, 0]),
        ("DescriptorCount beyond the entry", 24, &[0xFF; 4]),
    ] {
        // Which places the entry was about to change is not asked of a header that contradicts itself.
        rows.push(spoilt(name, at, bytes).torn());
    }
    // Unless one bit is all that is wrong with it.
    for (name, at, bytes) in [
        ("EntryLength no multiple of 4 KiB", 8, &[1][..]),
        ("Tail beyond the log", 12, &[0, 0, 0x20, 0]),
        ("Tail no multiple of 4 KiB", 12, &[1]),
        ("SequenceNumber 0", 16, &[0; 8]),
    ] {
        rows.push(spoilt(name, at, bytes).compared());
    }
    // The data sectors behind it stay, and tell that there may have been an entry.
    rows.push(
        spoilt("the first sector of the entry is gone", 0, &[0; 4096])
            .codes(&["blocks-unowned", "log-empty"])
            .unowned(),
    );
    rows.push(
        row("log: noise", |forged| {
            write(forged, |log| log.active.clear());
            let start = forged.chain.places[YOUNGEST].log.start;
            forged.file(YOUNGEST).write_at(start, &[0xA5; 3 * 4096]);
        })
        .torn(),
    );
    rows
}

/// The only entry is damaged.
fn spoilt_entries() -> Vec<Row> {
    let mut rows = Vec::new();
    // With the LogGuid of the header its checksum would hold: it is an entry of this log.
    rows.push(spoilt("LogGuid", 32, &[0xFF; 16]).torn());
    // Its sectors tell that it was written as a whole.
    for (name, at, bytes) in [
        ("Checksum", 4, &[0xFF; 4][..]),
        ("DescriptorCount", 24, &[1, 0, 0, 0]),
        ("FlushedFileOffset", 48, &[0xFF; 8]),
        ("LastFileOffset", 56, &[0xFF; 8]),
        ("a descriptor's SequenceNumber", 64 + 24, &[0xFF; 8]),
        ("a data sector's SequenceLow", 4096 + 4092, &[0xFF; 4]),
    ] {
        rows.push(spoilt(name, at, bytes).compared());
    }
    for (name, at, bytes) in [
        ("a descriptor's signature", 64, &b"DESC"[..]),
        // Where it leads no log may write, so that it is not known where it led before.
        ("FileOffset past the end of the file", 64 + 16 + 5, &[3]),
        ("FileOffset in the headers", 64 + 16, &[0, 0, 1, 0, 0, 0, 0, 0]),
        ("FileOffset no multiple of 4 KiB", 64 + 16, &[3]),
        ("a data sector's signature", 4096, b"DATA"),
    ] {
        rows.push(spoilt(name, at, bytes).torn());
    }
    rows.push(
        row("log: FileOffset in the log itself", |forged| {
            write(forged, |_| {});
            let log = forged.chain.places[YOUNGEST].log.start;
            forged.file(YOUNGEST).write_at(log + 64 + 16, &(log + 8192).to_le_bytes());
        })
        .torn(),
    );
    // Wherever it leads: the checksum tells which bit it was.
    for bit in [0, 12, 20, 21, 22, 40, 63] {
        rows.push(
            row(format!("log: bit {bit} of FileOffset"), move |forged| {
                write(forged, |_| {});
                let at = forged.chain.places[YOUNGEST].log.start + 64 + 16 + bit / 8;
                let byte = forged.file(YOUNGEST).bytes_at(at, 1)[0];
                forged.file(YOUNGEST).write_at(at, &[byte ^ 1 << (bit % 8)]);
            })
            .compared(),
        );
    }
    rows
}

/// The page that the first update of the log is about.
pub(crate) fn log_page(log: &DirtyLog) -> u64 {
    match log.active[0][0] {
        Update::Page { file_offset, .. } | Update::Zeros { file_offset, .. } => file_offset,
    }
}
