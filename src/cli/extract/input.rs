//! What a user hands over in a file, or on the standard input.

use std::io::{self, Read};
use std::path::Path;

/// Whether this stands for the standard input.
pub(super) fn is_stdin(from: &Path) -> bool {
    from == Path::new("-")
}

/// All of a file, or with `-` of the standard input; in UTF-8, where a mark at its start says that it is in UTF-16. Windows
/// PowerShell writes what a program prints so.
///
/// # Errors
/// As the host's.
#[expect(clippy::disallowed_methods, reason = "a list or a report that the user names, no image")]
pub(super) fn read(from: &Path) -> io::Result<Vec<u8>> {
    if !is_stdin(from) {
        return std::fs::read(from).map(in_utf8);
    }
    let mut content = Vec::new();
    io::stdin().lock().read_to_end(&mut content)?;
    Ok(in_utf8(content))
}

fn in_utf8(content: Vec<u8>) -> Vec<u8> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let units = bytes.as_chunks::<2>().0.iter().map(|pair| unit(*pair));
        char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>().into_bytes()
    };
    match &*content {
        [0xef, 0xbb, 0xbf, text @ ..] => text.to_vec(),
        [0xff, 0xfe, text @ ..] => utf16(text, u16::from_le_bytes),
        [0xfe, 0xff, text @ ..] => utf16(text, u16::from_be_bytes),
        _ => content,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_how_text_is_written() {
        let units = |unit: fn(u16) -> [u8; 2]| "\u{feff}dä/\u{1f600}\r\n".encode_utf16().flat_map(unit).collect();
        for written in [units(u16::to_le_bytes), units(u16::to_be_bytes), "\u{feff}dä/\u{1f600}\r\n".into()] {
            assert_eq!(in_utf8(written), "dä/\u{1f600}\r\n".as_bytes());
        }
        assert_eq!(in_utf8(vec![0xff, b'a']), [0xff, b'a']);
    }
}
