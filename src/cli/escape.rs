//! Text from an image on a terminal: nothing in it may act on the terminal.

use std::io::{self, Write};

/// As [`escape`], to where it goes.
pub(crate) fn write_escaped(out: &mut impl Write, text: &str) -> io::Result<()> {
    if is_plain(text) { out.write_all(text.as_bytes()) } else { out.write_all(escape(text).as_bytes()) }
}

/// Whether there is nothing to escape. By far the most names are such, and there are millions.
fn is_plain(text: &str) -> bool {
    // To look at all of them, many at a time, takes less than to stop at the first.
    text.bytes().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'))
}

/// Control characters become `\x1b` and the like, a backslash before them is not doubled: this is for reading, not for
/// parsing back (`--json` and `-0` are exact).
pub(crate) fn escape(text: &str) -> String {
    if is_plain(text) {
        return text.to_owned();
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Control characters, the marks that turn the direction of writing, and those that end a line or paragraph.
            c if c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                escaped.extend(c.escape_unicode());
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn nothing_acts_on_the_terminal() {
        assert_eq!(escape("a\u{1b}[31mb\nc\u{202e}d"), "a\\u{1b}[31mb\\u{a}c\\u{202e}d");
        assert_eq!(escape("one\u{2028}line"), "one\\u{2028}line");
        assert_eq!(escape("Grüße 🦀"), "Grüße 🦀");
    }
}
