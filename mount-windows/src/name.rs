//! Names: UTF-16 as a tree keeps them, UTF-16 as Windows lets programs use them.
//!
//! NTFS itself holds names that Windows refuses: they come from other systems, or from somebody who wants to hide a file.
//! What it refuses becomes `%` and two upper-case hex digits, so that two names never get one spelling: the characters
//! `< > : " / \ | ? *` and those below the blank, a dot or blank at the end, the first letter of a name that means a
//! device, and a `%` that stands before two hex digits. Every other unit stays as it is, lone surrogates too.

use mount_api::Name;

const FORBIDDEN: &[u8] = b"<>:\"/\\|?*";
const PERCENT: u16 = 0x25;

/// The name as it stands at a mount point on Windows, and in what is extracted there.
#[must_use]
pub fn to_units(name: &Name) -> Vec<u16> {
    let units = name.units();
    let device = is_device(units);
    let mut spelled = Vec::with_capacity(units.len());
    let mut rest = units;
    while let Some((unit, behind)) = rest.split_first() {
        let escape = match u8::try_from(*unit) {
            Ok(0..0x20) => true,
            Ok(b'.' | b' ') if behind.is_empty() => true,
            Ok(b'%') => hex_pair(behind).is_some(),
            Ok(byte) => FORBIDDEN.contains(&byte) || device && spelled.is_empty(),
            Err(_) => false,
        };
        match escape {
            true => spelled.extend(format!("%{unit:02X}").encode_utf16()),
            false => spelled.push(*unit),
        }
        rest = behind;
    }
    spelled
}

/// The name behind a spelling: [`to_units`] backwards. Hex digits may be of either case, and what need not be escaped may be.
#[must_use]
pub fn from_units(spelled: &[u16]) -> Name {
    let mut units = Vec::with_capacity(spelled.len());
    let mut rest = spelled;
    while let Some((unit, behind)) = rest.split_first() {
        match hex_pair(behind).filter(|_| *unit == PERCENT) {
            Some(escaped) => {
                units.push(escaped);
                rest = behind.get(2..).unwrap_or_default();
            }
            None => {
                units.push(*unit);
                rest = behind;
            }
        }
    }
    Name::from_units(units)
}

/// The name whose spelling this is, in whatever case: nothing that [`to_units`] would have spelled otherwise.
#[cfg(any(windows, test))]
pub(crate) fn spelled_so(units: &[u16]) -> Option<Name> {
    let name = from_units(units);
    let spelling = to_units(&name);
    // Only hex digits can differ: all else was taken as it is.
    let digit = |unit: u16| char::from_u32(u32::from(unit))?.to_digit(16);
    let same = |(a, b): (&u16, &u16)| a == b || digit(*a).is_some() && digit(*a) == digit(*b);
    (spelling.len() == units.len() && spelling.iter().zip(units).all(same)).then_some(name)
}

/// The number that two hex digits at the start of `units` make.
fn hex_pair(units: &[u16]) -> Option<u16> {
    let digit = |at: usize| char::from_u32(u32::from(*units.get(at)?))?.to_digit(16);
    u16::try_from(digit(0)?.checked_mul(16)?.checked_add(digit(1)?)?).ok()
}

/// Whether Windows takes the name for a device, with or without an extension.
fn is_device(units: &[u16]) -> bool {
    let text = String::from_utf16_lossy(units).to_uppercase();
    let stem = text.split('.').next().unwrap_or_default().trim_end();
    let numbered = |device| {
        stem.strip_prefix(device).is_some_and(|rest| {
            matches!(rest, "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
        })
    };
    matches!(stem, "CON" | "PRN" | "AUX" | "NUL" | "CONIN$" | "CONOUT$") || numbered("COM") || numbered("LPT")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(name: &str) -> String {
        String::from_utf16(&to_units(&Name::from(name))).unwrap()
    }

    #[test]
    fn what_windows_refuses_is_escaped_and_nothing_else() {
        for plain in ["a.txt", "100%", "ä b", "console", "%zz", ".x", "%4", "%"] {
            assert_eq!(spelled(plain), plain);
        }
        for (name, spelling) in [
            ("a:b", "a%3Ab"),
            ("a.", "a%2E"),
            ("..", ".%2E"),
            ("a ", "a%20"),
            ("nul", "%6Eul"),
            ("COM1.txt", "%43OM1.txt"),
            ("a%3Ab", "a%253Ab"),
            ("a\tb", "a%09b"),
            ("%%41", "%%2541"),
        ] {
            assert_eq!(spelled(name), spelling);
        }
    }

    #[test]
    fn what_is_spelled_otherwise_is_no_name() {
        let read = |text: &str| spelled_so(&text.encode_utf16().collect::<Vec<u16>>());
        for (spelling, name) in
            [("a%3Ab", "a:b"), ("a%3ab", "a:b"), ("%6Eul", "nul"), ("%6eUL", "nUL"), ("100%", "100%")]
        {
            assert_eq!(read(spelling), Some(Name::from(name)), "{spelling}");
        }
        for none in ["%41", "a%62c", "nul", "a%3A:", "a.", "%25", "%2541%41", "a b ", "con.txt"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn every_spelling_leads_back_to_its_name() {
        // All names of up to four of these units: 9 + 9² + 9³ + 9⁴ of them.
        let alphabet: Vec<u16> = "%2E.: aN".encode_utf16().chain([0xD800]).collect();
        let mut names: Vec<Vec<u16>> = vec![Vec::new()];
        for _ in 0..4 {
            let longer = names.iter().flat_map(|name| alphabet.iter().map(|unit| [name.as_slice(), &[*unit]].concat()));
            names = names.iter().cloned().chain(longer).collect();
            names.sort();
            names.dedup();
        }
        names.extend(["nul", "COM1", "con.txt", "Lpt9"].map(|name| name.encode_utf16().collect()));
        let mut spellings = std::collections::BTreeSet::new();
        for name in names {
            let name = Name::from_units(name);
            let spelling = to_units(&name);
            assert_eq!((from_units(&spelling), spelled_so(&spelling)), (name.clone(), Some(name.clone())));
            assert!(spellings.insert(spelling), "{name:?}: two names have one spelling");
        }
    }
}
