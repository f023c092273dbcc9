//! What is kept of every file record that a name led to: whether it is in use, and marks of its names, to tell a name in an
//! index from one that the file knows nothing of without reading the record again.

use mount_api::Trust;

use super::file_name::FileName;
use super::file_record::{FileRecord, FileReference, RecordState};

/// The state of a record and marks of the first names in it; `None` where no record can be told.
pub(super) type RecordMarks = Option<(RecordState, NameMarks)>;

/// Those of neighbouring records.
pub(super) type States = Vec<RecordMarks>;

/// Of two names, which is as many as most records hold, what tells that they are the very ones.
pub(super) type NameMarks = [u32; 2];
pub(super) const NO_MARKS: NameMarks = [0; 2];

/// Whom a file reference leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The file that is meant; whether it is a folder.
    Live { directory: bool },
    /// The record was freed, belongs to another file by now, never was, or is a folder that stands elsewhere.
    Stale,
    /// The record cannot be read; whose it is, is not known.
    Unknown,
}

/// The states of the records in these bytes, of which the first one has this number.
pub(super) fn all(bytes: &[u8], first: u64, record_size: usize) -> States {
    let mut memory = Vec::new();
    let states = (first..).zip(bytes.chunks(record_size)).map(|(number, bytes)| {
        let state = RecordState::peek(bytes)?;
        memory.clear();
        memory.extend_from_slice(bytes);
        let number = u32::try_from(number).ok();
        let parse = |number| FileRecord::parse(std::mem::take(&mut memory), number, Trust::Proven).ok();
        let record = number.and_then(parse);
        let marks = record.as_ref().map_or(NO_MARKS, marks);
        memory = record.map(FileRecord::into_bytes).unwrap_or_default();
        Some((state, marks))
    });
    states.collect()
}

/// Whom a reference leads to, where this is the state of its record; and the marks of that.
pub(super) fn target_and_marks(reference: FileReference, record: RecordMarks) -> (Target, NameMarks) {
    match record {
        None => (Target::Unknown, NO_MARKS),
        Some((state, marks)) if state.in_use && !state.extension && reference.means(state.sequence) => {
            (Target::Live { directory: state.directory }, marks)
        }
        Some((_, marks)) => (Target::Stale, marks),
    }
}

/// Marks of the first names that a record bears; 0 for none.
fn marks(record: &FileRecord) -> NameMarks {
    let mut marks = NO_MARKS;
    for (to, name) in marks.iter_mut().zip(record.names()) {
        *to = mark(&name);
    }
    marks
}

/// A number for a name and its folder: never 0, and another one for all others but by chance.
pub(super) fn mark(name: &FileName<'_>) -> u32 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let FileReference { record, sequence } = name.parent();
    let units = name.units().map(u64::from);
    let hash = [record, u64::from(sequence), u64::from(name.is_dos())]
        .into_iter()
        .chain(units)
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, part| (hash ^ part).wrapping_mul(PRIME).rotate_left(23));
    let [a, b, c, d, e, f, g, h] = hash.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]) ^ u32::from_le_bytes([e, f, g, h])).max(1)
}
