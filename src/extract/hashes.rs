//! Hashes of one file, computed in one pass.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::Progress;
use crate::Faults;
use crate::bytes::len_u64;
use crate::error::{Error, ErrorKind, Result};
use crate::image::ReadAt;

/// A hash that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashKind {
    /// SHA-256.
    Sha256,
    /// MD5: for lists of known files. It proves nothing against an adversary.
    Md5,
    /// SHA-1: as MD5.
    Sha1,
    /// BLAKE3.
    Blake3,
}

impl HashKind {
    /// Its name in the manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            HashKind::Sha256 => "sha256",
            HashKind::Md5 => "md5",
            HashKind::Sha1 => "sha1",
            HashKind::Blake3 => "blake3",
        }
    }
}

/// Hashes that are being computed.
pub(crate) struct Hashing(Vec<State>);

enum State {
    Sha256(Sha256),
    Md5(Md5),
    Sha1(Sha1),
    Blake3(Box<blake3::Hasher>),
}

impl Hashing {
    pub(crate) fn new(kinds: &[HashKind]) -> Self {
        Hashing(
            kinds
                .iter()
                .map(|kind| match kind {
                    HashKind::Sha256 => State::Sha256(Sha256::new()),
                    HashKind::Md5 => State::Md5(Md5::new()),
                    HashKind::Sha1 => State::Sha1(Sha1::new()),
                    HashKind::Blake3 => State::Blake3(Box::default()),
                })
                .collect(),
        )
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        for state in &mut self.0 {
            match state {
                State::Sha256(state) => state.update(bytes),
                State::Md5(state) => state.update(bytes),
                State::Sha1(state) => state.update(bytes),
                State::Blake3(state) => {
                    state.update(bytes);
                }
            }
        }
    }

    /// The names of the hashes, and the hashes in lower-case hex digits.
    pub(crate) fn finish(self) -> Vec<(&'static str, String)> {
        let done = self.0.into_iter().map(|state| match state {
            State::Sha256(state) => ("sha256", hex(&state.finalize())),
            State::Md5(state) => ("md5", hex(&state.finalize())),
            State::Sha1(state) => ("sha1", hex(&state.finalize())),
            State::Blake3(state) => ("blake3", hex(state.finalize().as_bytes())),
        });
        done.collect()
    }
}

/// The SHA-256 of a whole image; `None` where it was stopped before its end.
///
/// # Errors
/// When a part of it cannot be read.
pub fn hash_image(image: &dyn ReadAt, progress: &Progress) -> Result<Option<String>> {
    const READ: usize = 1 << 20;
    let mut hashing = Hashing::new(&[HashKind::Sha256]);
    let (mut buf, mut at) = (vec![0; READ], 0u64);
    while at < image.size() {
        if progress.is_stopped() {
            return Ok(None);
        }
        let left = usize::try_from(image.size().saturating_sub(at)).unwrap_or(READ);
        let piece = buf.get_mut(..left.min(READ)).unwrap_or_default();
        let mut faults = Faults::new();
        image.read_at(piece, at, &mut faults)?;
        if faults.any_lost() {
            return Err(Error::new(ErrorKind::Io, "it cannot be read as a whole, so it has no hash").at("image", at));
        }
        hashing.update(piece);
        at = at.saturating_add(len_u64(piece));
    }
    Ok(Some(hashing.finish().into_iter().map(|(_, hash)| hash).collect()))
}

/// Lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default();
    let mut text = String::with_capacity(bytes.len().saturating_mul(2));
    text.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_values_of_abc() {
        let mut hashing = Hashing::new(&[HashKind::Sha256, HashKind::Md5, HashKind::Sha1, HashKind::Blake3]);
        hashing.update(b"a");
        hashing.update(b"bc");
        let hashes: Vec<String> = hashing.finish().into_iter().map(|(_, hash)| hash).collect();
        // FIPS 180-4, RFC 1321, FIPS 180-4, and the test vectors of BLAKE3's paper for "abc".
        assert_eq!(hashes[0], "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(hashes[1], "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(hashes[2], "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(hashes[3], "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85");
    }
}
