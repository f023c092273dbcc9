use std::fmt;

/// A file name as NTFS and Windows keep it: UTF-16 code units, lone surrogates included.
///
/// Adapters convert to and from their system's names by a stated and reversible rule.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Name(Vec<u16>);

/// Whether names that differ in case only are the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Case {
    /// `a` and `A` are two names.
    Sensitive,
    /// `a` and `A` are one name, by the case table of the tree's own file system.
    Insensitive,
}

impl Name {
    /// A name of these UTF-16 code units.
    #[must_use]
    pub fn from_units(units: impl Into<Vec<u16>>) -> Self {
        Name(units.into())
    }

    /// The UTF-16 code units.
    #[must_use]
    pub fn units(&self) -> &[u16] {
        &self.0
    }

    /// The name in WTF-8: UTF-8, but for a surrogate without its partner, which becomes the three bytes that its number would
    /// have. So two names never become one.
    #[must_use]
    pub fn to_wtf8(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len());
        push_wtf8(&self.0, &mut bytes);
        bytes
    }

    /// Whether the name has no unit at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name as text; a lone surrogate becomes U+FFFD. For people, not for looking anything up.
    #[must_use]
    pub fn to_string_lossy(&self) -> String {
        String::from_utf16_lossy(&self.0)
    }
}

/// Appends UTF-16 as WTF-8, as [`Name::to_wtf8`] does.
pub fn push_wtf8(units: &[u16], bytes: &mut Vec<u8>) {
    // By far the most names are of ASCII, and there are millions.
    if units.iter().fold(0, |all, unit| all | unit) < 0x80 {
        return bytes.extend(units.iter().map(|unit| unit.to_le_bytes()[0]));
    }
    for decoded in char::decode_utf16(units.iter().copied()) {
        match decoded {
            Ok(character) => bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            Err(lone) => bytes.extend(surrogate_bytes(lone.unpaired_surrogate())),
        }
    }
}

/// The generalised UTF-8 of a surrogate: `1110_1101 10xx_xxxx 10xx_xxxx`, its number being `1101_xxxx_xxxx_xxxx`.
fn surrogate_bytes(unit: u16) -> [u8; 3] {
    let [high, low] = (unit & 0x0FFF).to_be_bytes();
    [0xED, 0x80 | (high << 2) | (low >> 6), 0x80 | (low & 0x3F)]
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        Name(text.encode_utf16().collect())
    }
}

impl From<Vec<u16>> for Name {
    fn from(units: Vec<u16>) -> Self {
        Name(units)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string_lossy())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string_lossy())
    }
}
