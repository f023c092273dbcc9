//! What a file is called at the destination.

use std::ffi::{OsStr, OsString};

use mount_api::Name;
use sha2::{Digest, Sha256};

/// Bytes that a name has at most on most file systems.
pub const USUAL_LENGTH: usize = 255;

/// Bytes that a suffix takes at most.
const SUFFIX: usize = 24;

/// Bytes of the part of a hash, and of what stands before it.
const HASH: usize = 14;

/// UTF-16 units that NTFS takes in a stream's name.
const LONGEST_STREAM: usize = 255;

/// The name without what makes it too long for a destination whose names have `longest` bytes at most, with a suffix: its first
/// characters, and a part of the hash of all of it, so that two long names stay two. The manifest has it whole.
#[must_use]
pub fn fit(name: OsString, longest: usize) -> OsString {
    let bytes = name.as_encoded_bytes();
    let room = longest.saturating_sub(SUFFIX).max(HASH);
    if bytes.len() <= room {
        return name;
    }
    let hash: String = Sha256::digest(bytes).iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let text = name.to_string_lossy();
    let mut short: String = text
        .char_indices()
        .take_while(|(at, character)| at.saturating_add(character.len_utf8()) <= room.saturating_sub(HASH))
        .map(|(_, character)| character)
        .collect();
    short.push_str("%~");
    short.push_str(&hash);
    short.into()
}

/// The name for a destination that takes only what Windows takes: FAT, NTFS that is mounted so, a share. What it refuses
/// becomes `%` and two upper-case hex digits, so that two names never get one spelling: the characters `< > : " / \ | ? *` and
/// those below the blank, a dot or blank at the end, the first letter of a name that means a device, and a `%` that stands before
/// two hex digits. `spell` spells half of a surrogate pair.
#[must_use]
pub(super) fn portable(name: &Name, spell: fn(&Name) -> OsString) -> OsString {
    let device = is_device(&name.to_string_lossy());
    let mut spelled = OsString::new();
    let mut rest = char::decode_utf16(name.units().iter().copied());
    while let Some(character) = rest.next() {
        let character = match character {
            Ok(character) => character,
            Err(lone) => {
                spelled.push(spell(&Name::from_units([lone.unpaired_surrogate()])));
                continue;
            }
        };
        let mut behind = rest.clone().map(|next| next.unwrap_or(char::REPLACEMENT_CHARACTER));
        let escaped = match character {
            '\0'..' ' | '<' | '>' | ':' | '"' | '/' | '\\' | '|' | '?' | '*' => true,
            '.' | ' ' => behind.next().is_none(),
            '%' => behind.by_ref().take(2).filter(char::is_ascii_hexdigit).count() == 2,
            _ => device && spelled.is_empty(),
        };
        if escaped {
            spelled.push(format!("%{:02X}", u32::from(character)));
        } else {
            spelled.push(character.encode_utf8(&mut [0; 4]));
        }
    }
    spelled
}

/// Whether Windows takes the name for a device, with or without an extension.
fn is_device(name: &str) -> bool {
    let name = name.to_uppercase();
    let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ');
    let number =
        stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT")).map(|rest| rest.chars().collect::<Vec<_>>());
    matches!(stem, "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$")
        || number.is_some_and(|number| matches!(number.as_slice(), ['0'..='9' | '¹' | '²' | '³']))
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
        for longest in [255, 143, 64] {
            let (a, b) = (fit(long('a'), longest), fit(long('b'), longest));
            assert_ne!(a, b);
            assert!(
                with_suffix(&a, ".doubtful%~1000").len() <= longest && a.to_str().unwrap().starts_with("ää"),
                "{a:?}"
            );
            assert_eq!(fit("short".into(), longest), "short");
        }
        assert_eq!(numbered(OsStr::new("a"), 2), "a%~2");
    }

    #[test]
    fn a_portable_name_is_that_of_a_mount_on_windows() {
        let portable = |name: Name| portable(&name, |_| "lone".into());
        for plain in ["a.txt", "100%", "ä b", "console", "%zz", ".x", "%4", "%", "com", "COM10", "LPTä", "\u{1F600}"]
        {
            assert_eq!(portable(Name::from(plain)), plain);
        }
        for (name, spelled) in [
            ("a:b", "a%3Ab"),
            ("..", ".%2E"),
            ("a ", "a%20"),
            ("nul", "%6Eul"),
            ("COM1.txt", "%43OM1.txt"),
            ("con .x", "%63on .x"),
            ("a%3Ab", "a%253Ab"),
            ("a\tb\\", "a%09b%5C"),
            ("%%41", "%%2541"),
        ] {
            assert_eq!(portable(Name::from(name)), spelled);
        }
        assert_eq!(portable(Name::from_units([0x61, 0xD800, 0x3F])), "alone%3F");
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
