//! Repeating what was decoded before.

/// Bytes that are copied at once.
const STEP: usize = 16;

/// Repeats `length` bytes from `distance` bytes before `at`; where that goes on. What stands behind that may change too.
///
/// # Errors
/// When that begins before `out` or ends after it.
#[inline]
pub(super) fn repeat(out: &mut [u8], at: usize, distance: usize, length: usize) -> Result<usize, ()> {
    let end = at.checked_add(length).filter(|end| *end <= out.len()).ok_or(())?;
    let from = at.checked_sub(distance).filter(|_| distance > 0).ok_or(())?;
    if distance >= STEP && out.len().saturating_sub(end) >= STEP {
        copy_steps(out, from, at, end)?;
    } else if distance == 1 {
        let byte = *out.get(from).ok_or(())?;
        out.get_mut(at..end).ok_or(())?.fill(byte);
    } else {
        copy_bytes(out, from, at, end)?;
    }
    Ok(end)
}

/// Copies up to a step more than asked for.
#[inline]
fn copy_steps(out: &mut [u8], mut from: usize, mut to: usize, end: usize) -> Result<(), ()> {
    while to < end {
        let step: [u8; STEP] = crate::bytes::array(out, from).ok_or(())?;
        let place = to.checked_add(STEP).and_then(|end| out.get_mut(to..end)).ok_or(())?;
        place.copy_from_slice(&step);
        from = from.saturating_add(STEP);
        to = to.saturating_add(STEP);
    }
    Ok(())
}

fn copy_bytes(out: &mut [u8], from: usize, to: usize, end: usize) -> Result<(), ()> {
    for (from, to) in (from..).zip(to..end) {
        let byte = *out.get(from).ok_or(())?;
        *out.get_mut(to).ok_or(())? = byte;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_distance_and_length_repeats_as_byte_by_byte() {
        for distance in 1..40 {
            for length in 0..60 {
                let mut expected: Vec<u8> = (0..40).collect();
                for _ in 0..length {
                    expected.push(expected[expected.len() - distance]);
                }
                for room in [0, 1, 15, 16, 17, 40] {
                    let mut out: Vec<u8> = (0..40).collect();
                    out.resize(40 + length + room, 0xee);
                    assert_eq!(repeat(&mut out, 40, distance, length), Ok(40 + length));
                    assert_eq!(out[..40 + length], expected, "{distance} {length} {room}");
                }
            }
        }
    }

    #[test]
    fn what_lies_outside_is_refused() {
        let mut out = [0; 10];
        assert_eq!(repeat(&mut out, 4, 5, 1), Err(()));
        assert_eq!(repeat(&mut out, 4, 0, 1), Err(()));
        assert_eq!(repeat(&mut out, 4, 1, 7), Err(()));
        assert_eq!(repeat(&mut out, 4, 1, usize::MAX), Err(()));
        assert_eq!(repeat(&mut out, 4, 4, 6), Ok(10));
    }
}
