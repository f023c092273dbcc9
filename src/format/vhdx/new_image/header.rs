//! The headers of a new file: [MS-VHDX] 2.2.2.

use std::ops::Range;

use super::with_checksum;
use crate::bytes::Guid;
use crate::format::vhdx::header::{Header, LENGTH, SIGNATURE};

/// SequenceNumbers of header 1 and header 2. Whoever opens the file for writing writes a higher one.
pub(super) const SEQUENCE_NUMBERS: [u64; 2] = [1, 2];

/// The 4 KiB of a header. `guids` are the FileWriteGuid and the DataWriteGuid; a LogGuid of zero says that the log is empty.
pub(super) fn bytes(sequence_number: u64, guids: [Guid; 2], log: &Range<u64>) -> Vec<u8> {
    const LOG_VERSION: u16 = 0;
    const VERSION: u16 = 1;
    let [file_write, data_write] = guids;
    let log_length = u32::try_from(log.end.saturating_sub(log.start)).unwrap_or(0);
    with_checksum(|checksum| {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend(checksum.to_le_bytes());
        bytes.extend(sequence_number.to_le_bytes());
        bytes.extend(file_write.0);
        bytes.extend(data_write.0);
        bytes.extend(Guid::ZERO.0);
        bytes.extend(LOG_VERSION.to_le_bytes());
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(log_length.to_le_bytes());
        bytes.extend(log.start.to_le_bytes());
        bytes.resize(LENGTH, 0);
        bytes
    })
}

/// Whether a header is one that [`bytes`] made with this SequenceNumber.
pub(super) fn is_as_made(bytes: &[u8], sequence_number: u64) -> bool {
    Header::parse(bytes).is_ok_and(|header| header.sequence_number == sequence_number && header.log_guid.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_it_was_written() {
        let bytes = bytes(2, [Guid([1; 16]), Guid([2; 16])], &(1 << 20..2 << 20));
        let header = Header::parse(&bytes).unwrap();
        assert_eq!((header.sequence_number, header.log_version), (2, 0));
        assert_eq!((header.file_write_guid, header.data_write_guid), (Guid([1; 16]), Guid([2; 16])));
        assert_eq!((header.log_offset, header.log_length, header.log_guid), (1 << 20, 1 << 20, Guid::ZERO));
        assert!(is_as_made(&bytes, 2) && !is_as_made(&bytes, 1) && !is_as_made(&[], 2));
    }
}
