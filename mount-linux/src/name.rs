//! Names: UTF-16 as a tree keeps them, bytes as Linux wants them.
//!
//! The rule, in two steps, each reversible:
//!
//! 1. **Escapes.** What no file name can hold on Linux becomes `%` and two upper-case hex digits: `/` is `%2F`, NUL is
//!    `%00`, and the first dot of the names `.` and `..` is `%2E`. So that these spellings stay free, a `%` of the tree's
//!    own that stands before `00`, `25`, `2E` or `2F` is spelled `%25`. Every other `%` stays as it is: `100%` is `100%`.
//! 2. **WTF-8.** UTF-8, but for a surrogate without its partner, which becomes the three bytes that its number would have
//!    in UTF-8 (`ED A0 80` to `ED BF BF`).
//!
//! So two names of a tree never get one spelling, and a spelling that no name has (`%25` before other digits, two
//! surrogates that should be one character, any byte that UTF-8 does not know) names nothing. A name of 255 units has at
//! most 765 bytes: more than the 255 that many file systems allow, but below the 1024 that FUSE takes on every kernel.

use mount_api::{Name, push_wtf8};

const NUL: u16 = 0;
const PERCENT: u16 = 0x25;
const DOT: u16 = 0x2E;
const SLASH: u16 = 0x2F;

/// The bytes that stand for this name at the mount point. Empty only for the empty name.
#[must_use]
pub fn to_bytes(name: &Name) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.units().len());
    push_name(name.units(), &mut bytes);
    bytes
}

/// The name that these bytes stand for; `None` where [`to_bytes`] makes them of no name.
#[must_use]
pub fn from_bytes(bytes: &[u8]) -> Option<Name> {
    let name = Name::from_units(unescape(decode_wtf8(bytes)?));
    // Not every spelling that reads well is the one that we would have written: `%2E` inside a name, `.`, a bare NUL.
    let plain = !bytes.iter().any(|byte| matches!(byte, 0 | b'%' | b'/')) && !is_dots(name.units());
    (plain || to_bytes(&name) == bytes).then_some(name)
}

/// Appends the spelling of a whole name to `bytes`.
pub(crate) fn push_name(units: &[u16], bytes: &mut Vec<u8>) {
    if !is_dots(units) && !units.iter().any(|unit| matches!(*unit, NUL | PERCENT | SLASH)) {
        return push_wtf8(units, bytes);
    }
    let mut escaped = Vec::with_capacity(units.len().saturating_add(8));
    let mut rest = units;
    if let (true, [_, tail @ ..]) = (is_dots(units), units) {
        escaped.extend([PERCENT, u16::from(b'2'), u16::from(b'E')]);
        rest = tail;
    }
    while let [unit, tail @ ..] = rest {
        let code = match *unit {
            NUL => Some([b'0', b'0']),
            SLASH => Some([b'2', b'F']),
            PERCENT if escape_at_start(tail).is_some() => Some([b'2', b'5']),
            _ => None,
        };
        match code {
            Some(digits) => escaped.extend([PERCENT].into_iter().chain(digits.map(u16::from))),
            None => escaped.push(*unit),
        }
        rest = tail;
    }
    push_wtf8(&escaped, bytes);
}

/// Whether this is `.` or `..`, which mean something else on Linux.
pub(crate) fn is_dots(units: &[u16]) -> bool {
    matches!(units, [DOT] | [DOT, DOT])
}

/// The unit that the two digits at the start of `units` stand for after a `%`, if they stand for one.
fn escape_at_start(units: &[u16]) -> Option<u16> {
    let [high, low, ..] = units else { return None };
    match (u8::try_from(*high).ok()?, u8::try_from(*low).ok()?) {
        (b'0', b'0') => Some(NUL),
        (b'2', b'5') => Some(PERCENT),
        (b'2', b'E') => Some(DOT),
        (b'2', b'F') => Some(SLASH),
        _ => None,
    }
}

/// Undoes every escape, whether or not it stands where it should.
fn unescape(units: Vec<u16>) -> Vec<u16> {
    if !units.contains(&PERCENT) {
        return units;
    }
    let mut plain = Vec::with_capacity(units.len());
    let mut rest = units.as_slice();
    while let [unit, tail @ ..] = rest {
        rest = tail;
        match (*unit, escape_at_start(tail)) {
            (PERCENT, Some(escaped)) => {
                plain.push(escaped);
                rest = tail.get(2..).unwrap_or_default();
            }
            _ => plain.push(*unit),
        }
    }
    plain
}

/// WTF-8 to UTF-16; `None` for bytes that are none.
fn decode_wtf8(bytes: &[u8]) -> Option<Vec<u16>> {
    let mut units = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        let (valid, after) = match std::str::from_utf8(rest) {
            Ok(text) => (text, [].as_slice()),
            Err(error) => {
                let (valid, after) = rest.split_at_checked(error.valid_up_to())?;
                (std::str::from_utf8(valid).ok()?, after)
            }
        };
        units.extend(valid.encode_utf16());
        let [0xED, second @ 0xA0..=0xBF, third @ 0x80..=0xBF, tail @ ..] = after else {
            return after.is_empty().then_some(units);
        };
        let unit = 0xD000 | (u16::from(second & 0x3F) << 6) | u16::from(third & 0x3F);
        // A low surrogate right after a lone high one: together they are one character, spelled with four bytes.
        if unit >= 0xDC00 && units.last().is_some_and(|last| (0xD800..0xDC00).contains(last)) {
            return None;
        }
        units.push(unit);
        rest = tail;
    }
}

#[cfg(test)]
mod tests;
