//! File records that are old versions of themselves, as when a write was lost: a folder's index knows a later file in them.

use super::Ntfs;
use super::file_record::FileReference;
use super::mft_survey::FIRST_WITH_NAME;
use crate::report::{Code, Finding, Severity};

/// Sequence numbers go round, and 0 is left out: what is less than half the way ahead is later.
const HALF_WAY: u16 = 1 << 15;

/// Whether a record had the sequence number `one` after `other`. 0 stands for any, and tells nothing.
fn is_later(one: u16, other: u16) -> bool {
    one != 0 && other != 0 && (1..HALF_WAY).contains(&one.wrapping_sub(other))
}

impl Ntfs {
    /// A name in a folder's index leads to a file that is not in its record. Where the record is in use, and has not come as
    /// far as the index says, the file in it is doubtful: it was deleted before.
    pub(super) fn doubt_if_old(&self, folder: u32, name: FileReference) {
        let record = name.number().and_then(|number| self.mft.record(number).ok());
        let record = record.filter(|record| record.state.in_use && is_later(name.sequence, record.state.sequence));
        let Some(record) = record else { return };
        let of = if record.state.is_base() { Some(record.number) } else { record.base.number() };
        let Some(of) = of.filter(|of| *of >= FIRST_WITH_NAME) else { return };
        let text = format!(
            "The index of folder {folder} leads to the file of sequence {} in file record {}, which holds that of sequence {}: \
             the record is an old version, or the index is wrong; the file in record {of} is doubtful",
            name.sequence, record.number, record.state.sequence
        );
        let finding = Finding::new(Code::NtfsFileRecordOld, Severity::Error, text);
        self.add_finding(finding.advise("hold the file against other copies of it; --accept-doubtful serves it"));
        self.doubt_names_of(of, Code::NtfsFileRecordOld);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_round_and_leave_out_0() {
        for (one, other, later) in [
            (2, 1, true),
            (1, 2, false),
            (7, 7, false),
            (1, u16::MAX, true),
            (u16::MAX, 1, false),
            (0, 5, false),
            (5, 0, false),
        ] {
            assert_eq!(is_later(one, other), later, "{one} {other}");
        }
    }
}
