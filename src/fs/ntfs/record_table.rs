//! What a survey of the `$MFT` keeps of each file record while it goes on: six bytes.

use std::collections::BTreeMap;

use super::file_record::{FileReference, sequence_before};

/// Records of one piece of the table: pieces in which no record stands take no memory, whatever an `$MFT` claims.
const PIECE: usize = 4096;

/// One file record, as far as others ask about it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RecordFacts {
    /// As it stands in the record.
    pub(super) sequence: u16,
    pub(super) state: Use,
    pub(super) directory: bool,
    /// A live folder bears a name of it.
    pub(super) named: bool,
    /// Some record bears a name of it.
    pub(super) bears_name: bool,
}

/// What a record is used for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Use {
    /// Nothing that can be told: it was never used, is torn, or carries on another one.
    #[default]
    None,
    /// A file or folder that is there.
    Live,
    /// A file or folder that was deleted.
    Freed,
}

impl RecordFacts {
    /// Whether this is the live folder that a reference means.
    pub(super) fn is_folder(self, reference: FileReference) -> bool {
        self.directory && self.is_file(reference)
    }

    /// Whether this is the live file or folder that a reference means.
    pub(super) fn is_file(self, reference: FileReference) -> bool {
        self.state == Use::Live && reference.means(self.sequence)
    }

    /// Whether this is the folder that a reference means, and it was deleted since.
    pub(super) fn was_folder(self, reference: FileReference) -> bool {
        self.state == Use::Freed && self.directory && sequence_before(self.sequence) == reference.sequence
    }
}

/// The facts of all records that were met.
#[derive(Default)]
pub(super) struct RecordTable {
    pieces: BTreeMap<usize, Box<[RecordFacts]>>,
}

impl RecordTable {
    /// The facts of a record; those of none where it was not met.
    pub(super) fn get(&self, number: u32) -> RecordFacts {
        let (piece, at) = place(number);
        self.pieces.get(&piece).and_then(|piece| piece.get(at)).copied().unwrap_or_default()
    }

    /// Changes the facts of a record.
    pub(super) fn update(&mut self, number: u32, change: impl FnOnce(&mut RecordFacts)) {
        let (piece, at) = place(number);
        let piece = self.pieces.entry(piece).or_insert_with(|| vec![RecordFacts::default(); PIECE].into());
        if let Some(facts) = piece.get_mut(at) {
            change(facts);
        }
    }

    /// All records that were met, by number.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, RecordFacts)> {
        self.pieces.iter().flat_map(|(piece, facts)| {
            let first = piece.saturating_mul(PIECE);
            let numbers = (first..).map_while(|number| u32::try_from(number).ok());
            numbers.zip(facts.iter().copied()).filter(|(_, facts)| facts.state != Use::None)
        })
    }
}

fn place(number: u32) -> (usize, usize) {
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    (number / PIECE, number % PIECE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_far_away_costs_one_piece() {
        let mut table = RecordTable::default();
        assert!(size_of::<RecordFacts>() <= 6);
        table.update(u32::MAX, |facts| facts.state = Use::Freed);
        table.update(7, |facts| {
            *facts = RecordFacts { sequence: 3, state: Use::Live, directory: true, ..RecordFacts::default() }
        });
        assert_eq!(table.pieces.len(), 2);
        let met: Vec<_> = table.iter().map(|(number, _)| number).collect();
        assert_eq!(met, [7, u32::MAX]);
        assert!(table.get(7).is_folder(FileReference { record: 7, sequence: 3 }));
        assert!(!table.get(7).is_folder(FileReference { record: 7, sequence: 2 }));
        assert_eq!(table.get(8), RecordFacts::default());
    }

    #[test]
    fn a_deleted_folder_is_meant_by_the_number_before() {
        let facts = RecordFacts { sequence: 3, state: Use::Freed, directory: true, ..RecordFacts::default() };
        assert!(facts.was_folder(FileReference { record: 7, sequence: 2 }));
        assert!(!facts.was_folder(FileReference { record: 7, sequence: 3 }));
        assert!(!facts.is_folder(FileReference { record: 7, sequence: 3 }));
    }
}
