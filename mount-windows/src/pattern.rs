//! Which names a listing may leave out.
//!
//! The kernel matches every name itself, so a name too many does no harm, but one too few is a file that nobody sees. What
//! is left out here saves the look at a file's attributes, and a pattern without wildcards the whole listing.

use crate::path::same_letter;

const STAR: u16 = 0x2A;
const QUESTION: u16 = 0x3F;
const BLANK: u16 = 0x20;
const BELOW_ASCII_END: u16 = 0x80;

/// What a listing is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pattern<'a> {
    /// Everything, or something that only the kernel can judge.
    All,
    /// One name.
    Name(&'a [u16]),
    /// Names with `*` for any units and `?` for any one.
    Wildcards(&'a [u16]),
}

impl<'a> Pattern<'a> {
    pub(crate) fn of(pattern: Option<&'a [u16]>) -> Self {
        // What `*.` and `?` in DOS programs become: rules of their own, left to the kernel.
        let dos = |unit: &u16| matches!(u8::try_from(*unit), Ok(b'<' | b'>' | b'"'));
        match pattern {
            None | Some([] | [STAR]) => Pattern::All,
            Some(pattern) if pattern.iter().any(dos) => Pattern::All,
            Some(pattern) if pattern.iter().any(|unit| matches!(*unit, STAR | QUESTION)) => Pattern::Wildcards(pattern),
            Some(pattern) => Pattern::Name(pattern),
        }
    }

    /// Whether the kernel could want this name.
    pub(crate) fn may_match(self, name: &[u16]) -> bool {
        match self {
            Pattern::All => true,
            Pattern::Name(wanted) => wanted.len() == name.len() && wanted.iter().zip(name).all(|(a, b)| alike(*a, *b)),
            Pattern::Wildcards(pattern) => matches(pattern, name),
        }
    }
}

/// Whether the kernel could take two units for one letter. Its table of cases is not ours, so letters beyond ASCII are
/// all alike.
fn alike(a: u16, b: u16) -> bool {
    same_letter(a, b) || a >= BELOW_ASCII_END && b >= BELOW_ASCII_END
}

/// One pass, going back only to the last star: quadratic at worst in names of at most 255 units.
fn matches(pattern: &[u16], name: &[u16]) -> bool {
    let (mut rest, mut left) = (pattern, name);
    let mut last_star: Option<(&[u16], &[u16])> = None;
    loop {
        match (rest.split_first(), left.split_first()) {
            (Some((&STAR, behind)), _) => {
                last_star = Some((behind, left));
                rest = behind;
            }
            (Some((unit, behind)), Some((found, more))) if *unit == QUESTION || alike(*unit, *found) => {
                (rest, left) = (behind, more);
            }
            (None, None) => return true,
            // A `?` at the end may be one of those that match nothing.
            (Some((&QUESTION | &BLANK, behind)), None) => rest = behind,
            _ => {
                let Some((behind, from)) = last_star else { return false };
                let Some((_, more)) = from.split_first() else { return false };
                last_star = Some((behind, more));
                (rest, left) = (behind, more);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(pattern: &str, name: &str) -> bool {
        let pattern: Vec<u16> = pattern.encode_utf16().collect();
        let name: Vec<u16> = name.encode_utf16().collect();
        Pattern::of(Some(&pattern)).may_match(&name)
    }

    #[test]
    fn names_that_the_kernel_wants_are_never_left_out() {
        for (pattern, name) in [
            ("*", "a"),
            ("*.*", "a.b"),
            ("A*.TXT", "abc.txt"),
            ("*.txt", "a.txt.txt"),
            ("?b*", "abc"),
            ("ÄB*", "äbc"),
            ("a<", "anything"),
            ("FILE", "file"),
            ("a?", "a"),
        ] {
            assert!(wanted(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn names_that_it_cannot_want_are() {
        for (pattern, name) in [("*.txt", "a.doc"), ("a*", "b"), ("file", "files"), ("?", "ab"), ("*a*b", "bac")] {
            assert!(!wanted(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends() {
        let pattern = "*a".repeat(120);
        assert!(!wanted(&pattern, &"ab".repeat(100)));
    }
}
