//! Streams that EFS encrypted: refused, or served as they lie where the user asked for that.
//!
//! Encrypted are blocks of 512 bytes, each by itself, the last one filled up: whoever decrypts needs all of it. The keys
//! stand in the attribute `$EFS` of the file, which is shown as a stream of this name.

use mount_api::{Error, ErrorKind};

use super::Ntfs;
use super::attribute;
use super::file::{Attribute, File, Value};
use super::stream::Stream;
use super::tree::sizes;
use crate::report::Code;

/// Bytes that are encrypted together.
const BLOCK: u64 = 512;
/// The name of the attribute with the keys.
const KEYS: &str = "$EFS";

/// Bytes of the blocks that so many bytes take when encrypted.
pub(super) fn whole_blocks(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(BLOCK).unwrap_or(bytes)
}

impl Attribute {
    /// Whether its value is encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.flags & attribute::FLAG_ENCRYPTED != 0
    }

    /// Whether it holds the keys of the file.
    pub(super) fn is_keys(&self) -> bool {
        self.kind == attribute::LOGGED_UTILITY_STREAM && self.name.iter().copied().eq(KEYS.encode_utf16())
    }
}

impl Ntfs {
    /// Refuses a stream that is encrypted, unless it is to be served as it lies.
    pub(super) fn may_be_shown(&self, file: &File, stream: &Stream) -> Result<(), Error> {
        if !stream.is_encrypted() || self.options.raw_encrypted {
            return Ok(());
        }
        let text = format!(
            "file record {}: encrypted (EFS), and the key is not at hand; --raw-encrypted serves it as it lies",
            file.number
        );
        Err(Error::new(ErrorKind::Encrypted, text).with_code(Code::Encrypted.as_str()))
    }

    /// Size and allocated bytes of a stream as it is shown.
    pub(super) fn shown_sizes(&self, attribute: &Attribute) -> Result<(u64, u64), Error> {
        let (size, allocated) = sizes(attribute)?;
        let raw = self.options.raw_encrypted && attribute.is_encrypted();
        match attribute.value {
            Value::NonResident(_) if raw => Ok((whole_blocks(size), allocated)),
            _ => Ok((size, allocated)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_filled_up() {
        assert_eq!([0, 1, 512, 513, u64::MAX].map(whole_blocks), [0, 512, 512, 1024, u64::MAX]);
    }
}
