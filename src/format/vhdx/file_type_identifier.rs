//! The file type identifier: [MS-VHDX] 2.2.1, the first 64 KiB.

use crate::bytes::{array, utf16_le};

/// The first eight bytes of a VHDX.
pub(super) const SIGNATURE: [u8; 8] = *b"vhdxfile";
/// Bytes that are looked at: the signature and the Creator.
pub(super) const LENGTH: usize = 520;

/// The file type identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileTypeIdentifier {
    /// The program that made the file, in its own words. Up to 256 UTF-16 code units, for people only.
    pub(super) creator: Option<String>,
}

/// Whether the first bytes of a file are those of a VHDX.
pub(super) fn is_signature(bytes: &[u8]) -> bool {
    array(bytes, 0) == Some(SIGNATURE)
}

impl FileTypeIdentifier {
    /// `None` where the signature is not `vhdxfile`.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        if !is_signature(bytes) {
            return None;
        }
        let units = utf16_le(bytes.get(8..LENGTH).unwrap_or_default());
        let text: Vec<u16> = units.into_iter().take_while(|unit| *unit != 0).collect();
        let creator = String::from_utf16_lossy(&text);
        Some(FileTypeIdentifier { creator: (!creator.is_empty()).then_some(creator) })
    }
}
