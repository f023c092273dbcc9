//! Checked fields of byte slices, GUIDs and the checksum of VHDX. Nothing here can panic on any input.

use std::fmt;

/// The `N` bytes at `at`, or `None` where the slice is too short.
#[must_use]
pub fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// A little-endian 16-bit field.
#[must_use]
pub fn u16_le(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_le_bytes)
}

/// A little-endian 32-bit field.
#[must_use]
pub fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_le_bytes)
}

/// A little-endian 64-bit field.
#[must_use]
pub fn u64_le(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_le_bytes)
}

/// A big-endian 16-bit field.
#[must_use]
pub fn u16_be(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

/// A big-endian 32-bit field.
#[must_use]
pub fn u32_be(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}

/// A big-endian 64-bit field.
#[must_use]
pub fn u64_be(bytes: &[u8], at: usize) -> Option<u64> {
    array(bytes, at).map(u64::from_be_bytes)
}

/// UTF-16LE code units; an odd last byte is left out.
#[must_use]
pub fn utf16_le(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks::<2>().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect()
}

/// Length of a slice as a file quantity. On all supported systems `usize` fits into 64 bits.
#[must_use]
pub fn len_u64(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// CRC-32C (Castagnoli) of `bytes` with the 4 bytes at `hole` taken as zero, as the VHDX structures checksum
/// themselves. A hole that lies outside changes nothing.
#[must_use]
pub fn crc32c_with_hole(bytes: &[u8], hole: usize) -> u32 {
    let (Some(before), Some(after)) = (bytes.get(..hole), hole.checked_add(4).and_then(|end| bytes.get(end..))) else {
        return crc32c::crc32c(bytes);
    };
    let crc = crc32c::crc32c(before);
    let crc = crc32c::crc32c_append(crc, &[0; 4]);
    crc32c::crc32c_append(crc, after)
}

/// A GUID in the byte order in which Windows stores it: the first three groups little-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// The GUID of all zeros, which stands for "none".
    pub const ZERO: Guid = Guid([0; 16]);

    /// A GUID as Windows writes it: `(0x2dc27766, 0xf623, 0x4200, [0x9d, 0x64, …])` is `2dc27766-f623-4200-9d64-…`.
    #[must_use]
    pub const fn from_fields(a: u32, b: u16, c: u16, d: [u8; 8]) -> Self {
        let a = a.to_le_bytes();
        let b = b.to_le_bytes();
        let c = c.to_le_bytes();
        let [a0, a1, a2, a3] = a;
        let [b0, b1] = b;
        let [c0, c1] = c;
        let [d0, d1, d2, d3, d4, d5, d6, d7] = d;
        Guid([a0, a1, a2, a3, b0, b1, c0, c1, d0, d1, d2, d3, d4, d5, d6, d7])
    }

    /// The GUID stored at `at`.
    #[must_use]
    pub fn read(bytes: &[u8], at: usize) -> Option<Self> {
        array(bytes, at).map(Guid)
    }

    /// A GUID from text, with or without braces, in either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
        let mut groups = text.split('-');
        let mut next = |digits: usize| {
            let group = groups.next()?;
            let plain = group.len() == digits && group.bytes().all(|b| b.is_ascii_hexdigit());
            plain.then(|| u64::from_str_radix(group, 16).ok()).flatten()
        };
        let a = u32::try_from(next(8)?).ok()?;
        let b = u16::try_from(next(4)?).ok()?;
        let c = u16::try_from(next(4)?).ok()?;
        let high = u16::try_from(next(4)?).ok()?.to_be_bytes();
        let [_, _, low @ ..] = next(12)?.to_be_bytes();
        if groups.next().is_some() {
            return None;
        }
        let [h0, h1] = high;
        let [l0, l1, l2, l3, l4, l5] = low;
        Some(Guid::from_fields(a, b, c, [h0, h1, l0, l1, l2, l3, l4, l5]))
    }

    /// Whether it is the GUID of all zeros.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Guid::ZERO
    }
}

impl fmt::Display for Guid {
    /// Lower case, no braces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a0, a1, a2, a3, b0, b1, c0, c1, d0, d1, d2, d3, d4, d5, d6, d7] = self.0;
        let (a, b, c) =
            (u32::from_le_bytes([a0, a1, a2, a3]), u16::from_le_bytes([b0, b1]), u16::from_le_bytes([c0, c1]));
        write!(f, "{a:08x}-{b:04x}-{c:04x}-{d0:02x}{d1:02x}-{d2:02x}{d3:02x}{d4:02x}{d5:02x}{d6:02x}{d7:02x}")
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_past_the_end_are_none() {
        assert_eq!(u32_le(&[1, 0, 0, 0], 0), Some(1));
        assert_eq!(u32_le(&[1, 0, 0, 0], 1), None);
        assert_eq!(u64_be(&[0, 0, 0, 0, 0, 0, 1, 2], 0), Some(0x102));
        assert_eq!(u16_le(&[1, 2], usize::MAX), None);
    }

    #[test]
    fn guids_are_read_as_windows_writes_them() {
        let guid = Guid::parse("{2DC27766-F623-4200-9D64-115E9BFD4A08}").unwrap();
        assert_eq!(guid.0[..4], [0x66, 0x77, 0xc2, 0x2d]);
        assert_eq!(guid.to_string(), "2dc27766-f623-4200-9d64-115e9bfd4a08");
        assert_eq!(Guid::parse(&guid.to_string()), Some(guid));
        for wrong in [
            "",
            "{}",
            "2dc27766f62342009d64115e9bfd4a08",
            "2dc27766-f623-4200-9d64-115e9bfd4a0",
            "+dc27766-f623-4200-9d64-115e9bfd4a08",
            "2dc27766-f623-4200-9d64-115e9bfd4a08-1",
        ] {
            assert_eq!(Guid::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_checksum_is_castagnoli_and_skips_its_own_field() {
        // The check value of CRC-32C in the catalogues of checksums.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        let mut bytes = *b"head\xff\xff\xff\xffrest";
        let with_hole = crc32c_with_hole(&bytes, 4);
        bytes[4..8].fill(0);
        assert_eq!(with_hole, crc32c::crc32c(&bytes));
    }
}
