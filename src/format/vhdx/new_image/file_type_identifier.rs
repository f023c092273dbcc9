//! The file type identifier of a new file: [MS-VHDX] 2.2.1.

use crate::format::vhdx::file_type_identifier::{LENGTH, SIGNATURE};

/// Its bytes up to the end of the Creator, of which 256 code units have room.
pub(super) fn bytes(creator: &str) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.extend(creator.encode_utf16().flat_map(u16::to_le_bytes));
    bytes.resize(LENGTH, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::vhdx::file_type_identifier::FileTypeIdentifier;

    #[test]
    fn it_reads_as_it_was_written() {
        let read = |creator: &str| FileTypeIdentifier::parse(&bytes(creator)).unwrap().creator;
        assert_eq!(read("a program 1.0").as_deref(), Some("a program 1.0"));
        assert_eq!(read("").as_deref(), None);
        assert_eq!(read(&"x".repeat(300)).map(|creator| creator.len()), Some(256));
    }
}
