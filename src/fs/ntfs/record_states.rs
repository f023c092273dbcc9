//! What is kept of every file record that a name led to: whether it is in use, and marks of its names, to tell a name in an
//! index from one that the file knows nothing of without reading the record again.

use mount_api::Trust;

use super::file_name::FileName;
use super::file_record::{FileRecord, FileReference, RecordState};
use crate::bytes::len_u64;

/// What is kept of a record; `None` where no record can be told.
pub(super) type RecordMarks = Option<KeptRecord>;

/// The state of a record, and what the rest of it says, where that holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeptRecord {
    state: RecordState,
    names: NameMarks,
    /// Whether it has a reparse point by its `$STANDARD_INFORMATION`.
    reparse_point: bool,
}

/// Those of neighbouring records.
pub(super) type States = Vec<RecordMarks>;

/// Of two names, which is as many as most records hold, what tells that they are the very ones.
pub(super) type NameMarks = [u32; 2];
pub(super) const NO_MARKS: NameMarks = [0; 2];

/// Whom a file reference leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// The file that is meant; whether it is a folder, and whether it has a reparse point, either of which may make it a link.
    Live { directory: bool, reparse_point: bool },
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
        let names = record.as_ref().map_or(NO_MARKS, marks);
        let reparse_point = record.as_ref().is_some_and(FileRecord::has_reparse_point_by_its_attributes);
        memory = record.map(FileRecord::into_bytes).unwrap_or_default();
        Some(KeptRecord { state, names, reparse_point })
    });
    states.collect()
}

/// Whom a reference leads to, where this is the state of its record; and the marks of that.
pub(super) fn target_and_marks(reference: FileReference, record: RecordMarks) -> (Target, NameMarks) {
    match record {
        None => (Target::Unknown, NO_MARKS),
        Some(KeptRecord { state, names, reparse_point })
            if state.in_use && !state.extension && reference.means(state.sequence) =>
        {
            (Target::Live { directory: state.directory, reparse_point }, names)
        }
        Some(facts) => (Target::Stale, facts.names),
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
    // 2^64 divided by the golden ratio: as many ones as zeros, without a pattern.
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let FileReference { record, sequence } = name.parent();
    let units = name.utf16_le();
    // Four units at a time, for there are millions of names; the length tells the last ones from those they are filled up to.
    let (fours, rest) = units.as_chunks::<8>();
    let mut last = [0; 8];
    last.iter_mut().zip(rest).for_each(|(to, byte)| *to = *byte);
    let hash = [record, u64::from(sequence), u64::from(name.is_dos()), len_u64(units)]
        .into_iter()
        .chain(fours.iter().chain([&last]).map(|four| u64::from_le_bytes(*four)))
        .fold(0, |hash: u64, part| (hash ^ part).wrapping_mul(MULTIPLIER).rotate_left(32));
    // The rotation brought the better half down.
    let [a, b, c, d, ..] = hash.wrapping_mul(MULTIPLIER).rotate_left(32).to_le_bytes();
    u32::from_le_bytes([a, b, c, d]).max(1)
}
