//! The two headers: [MS-VHDX] 2.2.2.

use crate::bytes::{Guid, array, crc32c_with_hole, len_u64, u16_le, u32_le, u64_le};
use crate::format::broken::Broken;

/// Offsets of header 1 and header 2 in the file.
pub(super) const OFFSETS: [u64; 2] = [64 << 10, 128 << 10];
/// Their names in messages.
pub(super) const NAMES: [&str; 2] = ["header 1", "header 2"];
/// The first four bytes of a header.
pub(super) const SIGNATURE: [u8; 4] = *b"head";
/// Bytes of a header that its checksum covers.
pub(super) const LENGTH: usize = 4096;
/// Bytes of its fields. What stands behind them is reserved.
pub(super) const FIELDS: usize = 80;

/// One header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) sequence_number: u64,
    pub(super) file_write_guid: Guid,
    pub(super) data_write_guid: Guid,
    /// Zero: the log is empty and must not be replayed, whatever it holds.
    pub(super) log_guid: Guid,
    pub(super) log_version: u16,
    pub(super) log_length: u32,
    pub(super) log_offset: u64,
}

impl Header {
    /// Parses the 4 KiB of a header and checks signature, checksum and version.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Broken> {
        let cut = || Broken::cut(4096, len_u64(bytes));
        let bytes = bytes.get(..LENGTH).ok_or_else(cut)?;
        let signature: [u8; 4] = array(bytes, 0).ok_or_else(cut)?;
        if signature != SIGNATURE {
            return Err(Broken::new("Signature", "\"head\"", format!("\"{}\"", signature.escape_ascii())));
        }
        let stored = u32_le(bytes, 4).ok_or_else(cut)?;
        let computed = crc32c_with_hole(bytes, 4);
        if stored != computed {
            return Err(Broken::new("Checksum", format!("{computed:#010x}"), format!("{stored:#010x}")));
        }
        let version = u16_le(bytes, 66).ok_or_else(cut)?;
        if version != 1 {
            return Err(Broken::new("Version", "1", version.to_string()));
        }
        Ok(Header {
            sequence_number: u64_le(bytes, 8).ok_or_else(cut)?,
            file_write_guid: Guid::read(bytes, 16).ok_or_else(cut)?,
            data_write_guid: Guid::read(bytes, 32).ok_or_else(cut)?,
            log_guid: Guid::read(bytes, 48).ok_or_else(cut)?,
            log_version: u16_le(bytes, 64).ok_or_else(cut)?,
            log_length: u32_le(bytes, 68).ok_or_else(cut)?,
            log_offset: u64_le(bytes, 72).ok_or_else(cut)?,
        })
    }
}

/// Which of the two headers is current.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Current {
    /// This one: it alone holds, or its SequenceNumber is higher, or both are the same.
    Is(usize),
    /// Both hold, have one SequenceNumber and differ; the first one is taken.
    Ambiguous,
    /// None holds.
    None,
}

/// Chooses the current header.
pub(super) fn current(headers: &[Result<Header, Broken>; 2]) -> Current {
    match headers {
        [Ok(first), Ok(second)] if first == second => Current::Is(0),
        [Ok(first), Ok(second)] => match first.sequence_number.cmp(&second.sequence_number) {
            std::cmp::Ordering::Greater => Current::Is(0),
            std::cmp::Ordering::Less => Current::Is(1),
            std::cmp::Ordering::Equal => Current::Ambiguous,
        },
        [Ok(_), Err(_)] => Current::Is(0),
        [Err(_), Ok(_)] => Current::Is(1),
        [Err(_), Err(_)] => Current::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(sequence_number: u64, log_length: u32) -> Header {
        Header {
            sequence_number,
            file_write_guid: Guid::ZERO,
            data_write_guid: Guid::ZERO,
            log_guid: Guid::ZERO,
            log_version: 0,
            log_length,
            log_offset: 1 << 20,
        }
    }

    #[test]
    fn the_higher_sequence_number_is_current_whichever_comes_first() {
        let bad = || Err(Broken::new("Signature", "x", "y"));
        assert_eq!(current(&[Ok(header(1, 0)), Ok(header(2, 0))]), Current::Is(1));
        assert_eq!(current(&[Ok(header(3, 0)), Ok(header(2, 0))]), Current::Is(0));
        assert_eq!(current(&[Ok(header(u64::MAX, 0)), Ok(header(0, 0))]), Current::Is(0));
        assert_eq!(current(&[bad(), Ok(header(0, 0))]), Current::Is(1));
        assert_eq!(current(&[Ok(header(0, 0)), bad()]), Current::Is(0));
        assert_eq!(current(&[Ok(header(5, 0)), Ok(header(5, 0))]), Current::Is(0));
        assert_eq!(current(&[Ok(header(5, 0)), Ok(header(5, 1))]), Current::Ambiguous);
        assert_eq!(current(&[bad(), bad()]), Current::None);
    }
}
