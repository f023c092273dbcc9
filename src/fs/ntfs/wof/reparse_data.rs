//! What the reparse point of a file in the keeping of WOF (Windows Overlay Filter) says: `WOF_EXTERNAL_INFO`, then, of a
//! compressed file, `FILE_PROVIDER_EXTERNAL_INFO`.

use crate::bytes::u32_le;
use crate::report::Code;

/// Bytes of a reparse point before its data.
const HEADER: usize = 8;
const VERSION: u32 = 1;
const PROVIDER_WIM: u32 = 1;
const PROVIDER_FILE: u32 = 2;

/// How the chunks of a file are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// XPRESS Huffman in chunks of so many bytes.
    Xpress(u64),
    /// LZX.
    Lzx,
}

impl Algorithm {
    /// What the reparse point with this value, tag and all, says.
    ///
    /// # Errors
    /// What it says that is not read, in words for people, and its code.
    pub(super) fn parse(value: &[u8]) -> Result<Algorithm, (String, Code)> {
        let field = |at: usize| u32_le(value.get(HEADER..)?, at);
        let fields = || Some((field(0)?, field(4)?));
        let cut = || ("kept by WOF, and its reparse point is cut short".to_owned(), Code::CompressionUnknown);
        let known = match fields().ok_or_else(cut)? {
            (VERSION, PROVIDER_FILE) => field(8).zip(field(12)),
            (VERSION, PROVIDER_WIM) => return Err(("kept in a WIM file (WIMBoot)".into(), Code::ContentElsewhere)),
            (version, provider) => {
                let text = format!("kept by provider {provider} of version {version} of WOF");
                return Err((text, Code::ContentElsewhere));
            }
        };
        match known.ok_or_else(cut)? {
            (VERSION, 0) => Ok(Algorithm::Xpress(4 << 10)),
            (VERSION, 1) => Ok(Algorithm::Lzx),
            (VERSION, 2) => Ok(Algorithm::Xpress(8 << 10)),
            (VERSION, 3) => Ok(Algorithm::Xpress(16 << 10)),
            (version, algorithm) => {
                let text = format!("compressed by algorithm {algorithm} of version {version} of WOF (CompactOS)");
                Err((text, Code::CompressionUnknown))
            }
        }
    }

    /// Bytes of a chunk: 4, 8, 16 or 32 KiB.
    pub(super) fn chunk_size(self) -> u64 {
        match self {
            Algorithm::Xpress(size) => size,
            Algorithm::Lzx => 32 << 10,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(fields: &[u32]) -> Vec<u8> {
        let mut value = vec![0x17, 0, 0, 0x80, 16, 0, 0, 0];
        value.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
        value
    }

    #[test]
    fn the_four_algorithms_are_known() {
        let sizes = [(0, 4096), (1, 32768), (2, 8192), (3, 16384)];
        for (algorithm, size) in sizes {
            let parsed = Algorithm::parse(&value(&[1, 2, 1, algorithm])).unwrap();
            assert_eq!((parsed.chunk_size(), parsed == Algorithm::Lzx), (size, algorithm == 1));
        }
        // Later systems write flags behind.
        assert!(Algorithm::parse(&value(&[1, 2, 1, 1, 0])).is_ok());
    }

    #[test]
    fn all_else_is_refused_by_name() {
        for (fields, name) in [
            (&[1, 1, 1, 0][..], "WIM"),
            (&[1, 3, 1, 0], "provider 3 of version 1"),
            (&[2, 2, 1, 0], "provider 2 of version 2"),
            (&[1, 2, 2, 0], "algorithm 0 of version 2"),
            (&[1, 2, 1, 4], "algorithm 4 of version 1"),
            (&[1, 2, 1], "cut short"),
            (&[1], "cut short"),
            (&[], "cut short"),
        ] {
            let (text, code) = Algorithm::parse(&value(fields)).unwrap_err();
            assert!(text.contains(name), "{text}");
            let elsewhere = text.contains("WIM") || text.contains("provider");
            assert_eq!(code, if elsewhere { Code::ContentElsewhere } else { Code::CompressionUnknown });
        }
    }
}
