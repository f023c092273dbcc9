//! The update sequence of file records and index blocks ("fixups"): the last two bytes of every 512 are replaced on the
//! disk by one number, so that a structure of which only a part was written can be told.

use crate::bytes::{array, u16_le};

/// The update sequence counts in steps of 512 bytes, whatever the sector size.
const STRIDE: usize = 512;
/// Where the first replaced bytes stand. The array ends before them.
const REPLACED: usize = STRIDE - 2;

/// Checks the signature and the update sequence, and puts the replaced bytes back.
///
/// # Errors
/// A plain sentence when the signature is another one, the array does not fit or a sector is torn. `structure` is then
/// not to be used.
pub(super) fn restore(structure: &mut [u8], signature: [u8; 4]) -> Result<(), String> {
    let found: [u8; 4] = array(structure, 0).ok_or("it is cut short")?;
    if found != signature {
        let (expected, found) = (signature.escape_ascii(), found.escape_ascii());
        return Err(format!("the signature is \"{found}\", not \"{expected}\""));
    }
    let start = usize::from(u16_le(structure, 4).ok_or("it is cut short")?);
    let count = usize::from(u16_le(structure, 6).ok_or("it is cut short")?);
    let strides = structure.len() / STRIDE;
    if count != strides.saturating_add(1) || !structure.len().is_multiple_of(STRIDE) {
        return Err(format!("the update sequence has {count} entries for {strides} times {STRIDE} bytes"));
    }
    let does_not_fit = || format!("the update sequence at {start} does not fit");
    let end = start.saturating_add(count.saturating_mul(2));
    if end > REPLACED {
        return Err(does_not_fit());
    }
    let number: [u8; 2] = array(structure, start).ok_or_else(does_not_fit)?;
    let originals = (start..end).step_by(2).skip(1);
    for (index, (place, at)) in (REPLACED..structure.len()).step_by(STRIDE).zip(originals).enumerate() {
        let original: [u8; 2] = array(structure, at).ok_or_else(does_not_fit)?;
        let last = structure.get_mut(place..).and_then(|rest| rest.first_chunk_mut()).ok_or_else(does_not_fit)?;
        if *last != number {
            return Err(format!("it is torn: sector {index} was not written together with the others"));
        }
        *last = original;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut bytes = vec![0xee; 1024];
        bytes[..4].copy_from_slice(b"FILE");
        bytes[4..8].copy_from_slice(&[0x30, 0, 3, 0]);
        bytes[0x30..0x36].copy_from_slice(&[7, 8, 1, 2, 3, 4]);
        bytes[510..512].copy_from_slice(&[7, 8]);
        bytes[1022..].copy_from_slice(&[7, 8]);
        bytes
    }

    #[test]
    fn the_replaced_bytes_come_back() {
        let mut bytes = sample();
        restore(&mut bytes, *b"FILE").unwrap();
        assert_eq!((&bytes[510..512], &bytes[1022..]), (&[1, 2][..], &[3, 4][..]));
    }

    #[test]
    fn a_torn_structure_is_refused() {
        let mut bytes = sample();
        bytes[1023] = 0;
        assert!(restore(&mut bytes, *b"FILE").unwrap_err().contains("sector 1"));
        assert!(restore(&mut sample(), *b"INDX").unwrap_err().contains("FILE"));
        for (at, value) in [(6, 2), (6, 4), (7, 1), (5, 4), (5, 1)] {
            let mut bytes = sample();
            bytes[at] = value;
            assert!(restore(&mut bytes, *b"FILE").is_err());
        }
        assert!(restore(&mut [], *b"FILE").is_err());
    }
}
