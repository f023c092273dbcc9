//! Names as Windows can spell them.
//!
//! NTFS itself holds names that Windows refuses: they come from other systems, or from somebody who wants to hide a file.
//! What it refuses becomes `%` and two upper-case hex digits, so that two names never get one spelling: the characters
//! `< > : " / \ | ? *` and those below the blank, a dot or blank at the end, the first letter of a name that means a device,
//! and a `%` that stands before two hex digits.

use std::ffi::OsString;

use mount_api::Name;

const FORBIDDEN: &str = "<>:\"/\\|?*";

/// The spelling of a name.
#[cfg(windows)]
pub(crate) fn spell(name: &Name) -> OsString {
    use std::os::windows::ffi::OsStringExt;
    OsString::from_wide(&escaped(name.units()))
}

/// The spelling of a name; what text cannot hold is replaced.
#[cfg(not(windows))]
#[cfg_attr(target_os = "linux", expect(dead_code, reason = "Linux has its own rule; this one is tested there"))]
pub(crate) fn spell(name: &Name) -> OsString {
    String::from_utf16_lossy(&escaped(name.units())).into()
}

fn escaped(units: &[u16]) -> Vec<u16> {
    let is_device = is_device(units);
    let mut spelled = Vec::with_capacity(units.len());
    for (at, unit) in units.iter().enumerate() {
        let is_last = at + 1 == units.len();
        let escape = match u8::try_from(*unit) {
            Ok(0..0x20) => true,
            Ok(b'.' | b' ') if is_last => true,
            Ok(b'%') => matches!(units.get(at + 1..at + 3), Some([a, b]) if is_hex(*a) && is_hex(*b)),
            Ok(byte) => FORBIDDEN.as_bytes().contains(&byte) || is_device && at == 0,
            Err(_) => false,
        };
        if escape {
            spelled.extend(format!("%{unit:02X}").encode_utf16());
        } else {
            spelled.push(*unit);
        }
    }
    spelled
}

fn is_hex(unit: u16) -> bool {
    u8::try_from(unit).is_ok_and(|byte| byte.is_ascii_hexdigit())
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
        String::from_utf16(&escaped(Name::from(name).units())).unwrap()
    }

    #[test]
    fn what_windows_refuses_is_escaped_and_nothing_else() {
        for plain in ["a.txt", "100%", "ä b", "console", "%zz", ".x"] {
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
        ] {
            assert_eq!(spelled(name), spelling);
        }
    }
}
