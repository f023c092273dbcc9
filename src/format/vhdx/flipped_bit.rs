//! Which bit of a row was flipped, told by the row's CRC.
//!
//! What one flipped bit makes of a CRC depends on where the bit stands, and on nothing else. So one walk over the bits of a row
//! tells which of them, if any, makes the checksum hold once it is flipped back. That others fit by accident is one chance in
//! thousands of millions for each bit that is looked at.

use std::ops::ControlFlow;

/// CRC-32C, its lowest bit first, as it stands in its shift register.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// Zeros that are taken into a CRC at once.
const ZEROS: [u8; 4096] = [0; 4096];

/// How many bits before the last bit of a row that bit stands which turns a CRC by `turned`. `behind` bytes follow the row,
/// which has `length` bits. `None` where there is no such bit, or nothing is turned.
pub(super) fn bits_before(turned: u32, behind: u32, length: u32) -> Option<u32> {
    // What the last bit of the row turns: that bit alone, and zeros.
    let mut effect = after_zeros(POLYNOMIAL, behind);
    let found = (0..length).try_for_each(|back| {
        if effect == turned {
            return ControlFlow::Break(back);
        }
        effect = (effect >> 1) ^ if effect & 1 == 1 { POLYNOMIAL } else { 0 };
        ControlFlow::Continue(())
    });
    found.break_value()
}

/// The shift register after so many bytes of zeros.
fn after_zeros(register: u32, mut bytes: u32) -> u32 {
    let mut register = register;
    while bytes > 0 {
        let piece = ZEROS.get(..usize::try_from(bytes).unwrap_or(usize::MAX)).unwrap_or(&ZEROS);
        // The crate inverts the register before and after.
        register = !crc32c::crc32c_append(!register, piece);
        bytes = bytes.saturating_sub(u32::try_from(piece.len()).unwrap_or(u32::MAX));
    }
    register
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bit_is_found_by_what_it_turns() {
        let sound: Vec<u8> = (0..9000u32).map(|number| (number * 7 % 251) as u8).collect();
        let (row, before) = (100..164, crc32c::crc32c(&sound));
        for byte in row.clone() {
            for bit in 0..8 {
                let mut wrong = sound.clone();
                wrong[byte] ^= 1 << bit;
                let turned = crc32c::crc32c(&wrong) ^ before;
                let back = (row.end - 1 - byte) * 8 + 7 - bit;
                assert_eq!(bits_before(turned, 9000 - 164, 512), Some(back as u32), "{byte} {bit}");
            }
        }
        assert_eq!(bits_before(0, 9000 - 164, 512), None);
    }
}
