//! What a file is called at the destination.

use std::ffi::{OsStr, OsString};

use sha2::{Digest, Sha256};

/// Bytes that a name may have on the file systems that are met as destinations, less what a suffix takes.
const LONGEST: usize = 255 - 24;

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
}
