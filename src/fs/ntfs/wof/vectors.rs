//! Chunks that others compressed, and what they stand for. Small enough to stand here, so that the decoders are tested where
//! nothing is installed.

use fixtures::random::Rng;

/// The bytes that hexadecimal digits stand for.
pub(super) fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Runs of letters, up to 600 of each.
pub(super) fn runs(length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for index in 0u16.. {
        if bytes.len() >= length {
            break;
        }
        let letter = b'A' + u8::try_from(index % 26).unwrap();
        bytes.resize(bytes.len() + 1 + usize::from(index) * 37 % 600, letter);
    }
    bytes.truncate(length);
    bytes
}

/// Records of 8 bytes, each eighth a call of x86 code.
pub(super) fn records(length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for index in 0u32.. {
        if bytes.len() >= length {
            break;
        }
        let number = index * index * index % 61;
        if index % 8 == 5 {
            let distance = (number * 4096).wrapping_sub(u32::try_from(bytes.len()).unwrap() + 5);
            bytes.push(0xe8);
            bytes.extend(distance.to_le_bytes());
            bytes.extend([0x90; 3]);
        } else {
            bytes.extend([number, number * number % 251].map(|number| u8::try_from(number).unwrap()));
            bytes.extend([0, 0, 0, 7, 7, 7]);
        }
    }
    bytes.truncate(length);
    bytes
}

/// Calls `decode` with a chunk damaged in many ways, which must neither panic nor go on for ever, whatever it returns.
pub(super) fn damage(chunk: &[u8], length: usize, decode: impl Fn(&[u8], &mut [u8]) -> Result<(), ()>) {
    let mut rng = Rng::new(0x10f);
    let mut out = vec![0; length];
    let mut decoded = 0;
    for _ in 0..20_000 {
        let mut chunk = chunk.to_vec();
        for _ in 0..=rng.below(3) {
            let at = usize::try_from(rng.below(chunk.len() as u64)).unwrap();
            chunk[at] ^= 1 << rng.below(8);
        }
        if rng.chance(10) {
            chunk.truncate(usize::try_from(rng.below(chunk.len() as u64)).unwrap());
        }
        decoded += usize::from(decode(&chunk, &mut out).is_ok());
    }
    // What decodes in spite of all is as good as random.
    for _ in 0..5000 {
        let mut chunk = vec![0; usize::try_from(rng.below(length as u64)).unwrap()];
        rng.fill(&mut chunk);
        decoded += usize::from(decode(&chunk, &mut out).is_ok());
    }
    assert!(decoded > 0, "the damage is too great to reach far");
}
