//! A self-relative security descriptor: who owns a file.

use std::fmt::Write;

use crate::bytes::{array, u32_le};

/// Where the offset of the owner's SID stands.
const OWNER: usize = 4;
/// Characters that most SIDs have room in.
const USUAL_LENGTH: usize = 64;
/// The most subauthorities that a SID has.
const MAX_SUBAUTHORITIES: u8 = 15;

/// The owner's security identifier, spelled as Windows does; `None` where there is none.
pub(super) fn owner(descriptor: &[u8]) -> Option<String> {
    let at = usize::try_from(u32_le(descriptor, OWNER)?).ok().filter(|at| *at != 0)?;
    sid(descriptor.get(at..)?)
}

/// `S-1-5-21-…`: revision, authority, subauthorities.
fn sid(bytes: &[u8]) -> Option<String> {
    let [revision, count, a, b, c, d, e, f]: [u8; 8] = array(bytes, 0)?;
    if revision != 1 || count > MAX_SUBAUTHORITIES {
        return None;
    }
    // The only field of NTFS in which the first byte counts most.
    let authority = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    // Windows writes large ones in hexadecimal.
    let mut text = String::with_capacity(USUAL_LENGTH);
    let written =
        if authority >> 32 == 0 { write!(text, "S-1-{authority}") } else { write!(text, "S-1-{authority:#014x}") };
    written.ok()?;
    for index in 0..usize::from(count) {
        let at = index.checked_mul(4)?.checked_add(8)?;
        write!(text, "-{}", u32_le(bytes, at)?).ok()?;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builtin administrators, `S-1-5-32-544`.
    const ADMINISTRATORS: [u8; 16] = [1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 2, 0, 0];

    fn descriptor(sid: &[u8]) -> Vec<u8> {
        let mut bytes = vec![1, 0, 4, 0x80, 20, 0, 0, 0];
        bytes.resize(20, 0);
        bytes.extend(sid);
        bytes
    }

    #[test]
    fn an_owner_is_spelled_as_windows_does() {
        assert_eq!(owner(&descriptor(&ADMINISTRATORS)).as_deref(), Some("S-1-5-32-544"));
        assert_eq!(owner(&descriptor(&[1, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0])).as_deref(), Some("S-1-1-0"));
        let large = [1, 1, 0, 1, 0, 0, 0, 0, 7, 0, 0, 0];
        assert_eq!(owner(&descriptor(&large)).as_deref(), Some("S-1-0x000100000000-7"));
    }

    #[test]
    fn what_is_no_sid_is_no_owner() {
        for cut in 0..36 {
            assert_eq!(owner(descriptor(&ADMINISTRATORS).get(..cut).unwrap()), None, "{cut}");
        }
        assert_eq!(owner(&descriptor(&[2, 1, 0, 0, 0, 0, 0, 5, 1, 0, 0, 0])), None);
        assert_eq!(owner(&descriptor(&[1, 16, 0, 0, 0, 0, 0, 5])), None);
        assert_eq!(owner(&[0; 20]), None);
        assert_eq!(owner(&[0xff; 20]), None);
    }
}
