//! What a file is called at the destination.

use std::ffi::{OsStr, OsString};

use mount_api::Name;
use sha2::{Digest, Sha256};

/// Bytes that a name may have on the file systems that are met as destinations, less what a suffix takes.
const LONGEST: usize = 255 - 24;

/// UTF-16 units that NTFS takes in a stream's name.
const LONGEST_STREAM: usize = 255;

/// The name without what makes it too long: its first characters, and a part of the hash of all of it, so that two long
/// names stay two. The manifest has it whole.
#[must_use]
pub fn fit(name: OsString) -> OsString {
    let bytes = name.as_encoded_bytes();
    if bytes.len() <= LONGEST {
        return name;
    }
    let hash: String = Sha256::digest(bytes).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let text = name.to_string_lossy();
    let mut short: String = text
        .char_indices()
        .take_while(|(at, character)| at.saturating_add(character.len_utf8()) <= LONGEST.saturating_sub(14))
        .map(|(_, character)| character)
        .collect();
    short.push_str("%~");
    short.push_str(&hash);
    short.into()
}

/// The name with something behind it.
pub(super) fn with_suffix(name: &OsStr, suffix: &str) -> OsString {
    let mut name = name.to_owned();
    name.push(suffix);
    name
}

/// A stream's own name, where NTFS takes it for one ([MS-FSCC] 2.1.5.3) and programs of Windows can open it: they leave out a
/// dot or blank at the end.
#[must_use]
pub fn of_stream(name: &Name) -> Option<OsString> {
    let taken = (1..=LONGEST_STREAM).contains(&name.units().len());
    let text = String::from_utf16(name.units()).ok().filter(|_| taken)?;
    (!text.contains([':', '\\', '/', '\0']) && !text.ends_with(['.', ' '])).then(|| text.into())
}

/// The name for another file where one of this name stands already; the first other one is number 2.
#[must_use]
pub fn numbered(name: &OsStr, number: u32) -> OsString {
    with_suffix(name, &format!("%~{number}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_stay_apart_and_fit() {
        let long = |last: char| OsString::from(format!("{}{last}", "ä".repeat(254)));
        let (a, b) = (fit(long('a')), fit(long('b')));
        assert_ne!(a, b);
        assert!(a.len() <= LONGEST && a.to_str().unwrap().starts_with("ää"), "{a:?}");
        assert_eq!(fit("short".into()), "short");
        assert_eq!(numbered(OsStr::new("a"), 2), "a%~2");
    }

    #[test]
    fn a_stream_bears_its_own_name_or_none() {
        let longest = "ä".repeat(255);
        for own in ["Zone.Identifier", "$DATA", "$I30", "\u{5}SummaryInformation", "a*?<>|b", "%3A", &longest] {
            assert_eq!(of_stream(&Name::from(own)), Some(own.into()));
        }
        let too_long = "a".repeat(256);
        for other in ["", ":", "\\", "..", "a/b", "a ", "x:$INDEX_ALLOCATION", "..\\x", "a\0b", &too_long] {
            assert_eq!(of_stream(&Name::from(other)), None, "{other:?}");
        }
        assert_eq!(of_stream(&Name::from_units([0xD800])), None);
    }
}
