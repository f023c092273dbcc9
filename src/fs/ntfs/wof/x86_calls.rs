//! Calls in x86 code: LZX writes the address that a call leads to in place of the distance to it, for many calls lead to one
//! address. Any byte 0xE8 is taken for a call.

const CALL: u8 = 0xe8;
/// The last bytes of a chunk are left alone.
const TAIL: usize = 10;
/// Addresses count up to this, whatever the size of the file is.
const FILE_SIZE: i32 = 12_000_000;

/// Puts the distances back. `chunk` is what one chunk stands for, all of it.
pub(super) fn restore(chunk: &mut [u8]) {
    let end = chunk.len().saturating_sub(TAIL);
    let mut at = 0;
    while let Some(found) = chunk.get(at..end).and_then(|rest| rest.iter().position(|byte| *byte == CALL)) {
        let call = at.saturating_add(found);
        let first = call.saturating_add(1);
        at = call.saturating_add(5);
        let (Ok(position), Some(place)) = (i32::try_from(call), chunk.get_mut(first..at)) else { return };
        let Ok(bytes) = <[u8; 4]>::try_from(&*place) else { return };
        if let Some(distance) = distance(i32::from_le_bytes(bytes), position) {
            place.copy_from_slice(&distance.to_le_bytes());
        }
    }
}

/// What stood in place of an address; `None` where it was left alone.
fn distance(address: i32, position: i32) -> Option<i32> {
    match address {
        0..FILE_SIZE => address.checked_sub(position),
        FILE_SIZE.. => None,
        _ => address.checked_add(position).filter(|sum| *sum >= 0).and(address.checked_add(FILE_SIZE)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_distances() {
        let mut chunk = [0; 40];
        chunk[3] = CALL;
        chunk[4..8].copy_from_slice(&100i32.to_le_bytes());
        // Right behind it; and one in the tail, which is left alone.
        chunk[8] = CALL;
        chunk[9..13].copy_from_slice(&(-8i32).to_le_bytes());
        chunk[30] = CALL;
        let mut expected = chunk;
        expected[4..8].copy_from_slice(&97i32.to_le_bytes());
        expected[9..13].copy_from_slice(&11_999_992i32.to_le_bytes());
        restore(&mut chunk);
        assert_eq!(chunk, expected);
        let mut short = [CALL; 10];
        restore(&mut short);
        assert_eq!(short, [CALL; 10]);
        restore(&mut []);
    }

    #[test]
    fn what_was_not_translated_is_left_alone() {
        assert_eq!(distance(11_999_999, 5), Some(11_999_994));
        assert_eq!(distance(12_000_000, 5), None);
        assert_eq!(distance(-5, 5), Some(11_999_995));
        assert_eq!(distance(-6, 5), None);
        assert_eq!(distance(i32::MIN, 5), None);
        assert_eq!(distance(i32::MAX, 5), None);
        assert_eq!(distance(0, 32767), Some(-32767));
    }
}
