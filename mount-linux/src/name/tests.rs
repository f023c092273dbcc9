use super::*;

fn spelled(units: &[u16]) -> Vec<u8> {
    to_bytes(&Name::from_units(units))
}

/// splitmix64: small, seeded, good enough to pick names.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// Units that meet in the rule: the escaped ones, the digits of the escapes, halves of pairs, ordinary text.
fn awkward_name(random: &mut Random) -> Vec<u16> {
    const UNITS: [u16; 16] =
        [0, 0x25, 0x25, 0x2E, 0x2F, 0x30, 0x32, 0x35, 0x45, 0x46, 0x66, 0xD800, 0xDBFF, 0xDC00, 0xDFFF, 0xE9];
    let length = 1 + random.below(6);
    (0..length).map(|_| UNITS[random.below(16) as usize]).collect()
}

#[test]
fn ordinary_names_are_plain_utf8() {
    for name in
        ["a", "Program Files (x86)", "Überstraße", "日本語.txt", "😀", "100%", "50%-60%", "...", ".a", "a:b", "%41"]
    {
        assert_eq!(to_bytes(&Name::from(name)), name.as_bytes(), "{name}");
        assert_eq!(from_bytes(name.as_bytes()), Some(Name::from(name)), "{name}");
    }
}

#[test]
fn what_linux_cannot_spell_is_escaped() {
    let cases: [(&str, &str); 10] = [
        ("a/b", "a%2Fb"),
        ("a\0b", "a%00b"),
        (".", "%2E"),
        ("..", "%2E."),
        ("%2F", "%252F"),
        ("%00", "%2500"),
        ("%25", "%2525"),
        ("%2E", "%252E"),
        ("%/", "%%2F"),
        ("%2/F", "%2%2FF"),
    ];
    for (name, spelling) in cases {
        assert_eq!(to_bytes(&Name::from(name)), spelling.as_bytes(), "{name:?}");
        assert_eq!(from_bytes(spelling.as_bytes()), Some(Name::from(name)), "{spelling}");
    }
}

#[test]
fn lone_surrogates_are_wtf8() {
    assert_eq!(spelled(&[0xD800]), [0xED, 0xA0, 0x80]);
    assert_eq!(spelled(&[0xDFFF]), [0xED, 0xBF, 0xBF]);
    assert_eq!(spelled(&[0x61, 0xDC00, 0xD83D]), [0x61, 0xED, 0xB0, 0x80, 0xED, 0xA0, 0xBD]);
    // A pair is one character of four bytes: U+1F600.
    assert_eq!(spelled(&[0xD83D, 0xDE00]), "\u{1F600}".as_bytes());
}

#[test]
fn spellings_that_no_name_has_name_nothing() {
    let foreign: [&[u8]; 14] = [
        b".",
        b"..",
        b"a/b",
        b"a\0b",
        b"%25a",
        b"%25",
        b"a%2E",
        b"%2E%2E",
        b"%2Ea",
        b"\xFF",
        b"a\xC3",
        b"\xC0\x80",
        b"\xED\xA0\xBD\xED\xB8\x80",
        b"\xED\xA0",
    ];
    for bytes in foreign {
        assert_eq!(from_bytes(bytes), None, "{bytes:x?}");
    }
}

#[test]
fn the_longest_name_fits_into_what_fuse_takes() {
    for unit in [0x2F, 0, 0x25, 0xD800, 0x65E5, 0x61] {
        assert!(spelled(&[unit; 255]).len() <= 765, "{unit:x}");
    }
    let pairs: Vec<u16> = [0xD83D, 0xDE00].into_iter().cycle().take(254).collect();
    assert_eq!(spelled(&pairs).len(), 127 * 4);
}

#[test]
fn every_name_comes_back_and_is_a_legal_linux_name() {
    let mut random = Random(1);
    for round in 0..200_000 {
        let units = awkward_name(&mut random);
        let bytes = spelled(&units);
        assert!(!bytes.contains(&0) && !bytes.contains(&b'/'), "round {round}: {units:x?}");
        assert!(bytes != b"." && bytes != b"..", "round {round}: {units:x?}");
        assert_eq!(from_bytes(&bytes), Some(Name::from_units(units.clone())), "round {round}: {units:x?}");
    }
}

#[test]
fn every_spelling_that_names_something_is_the_one_spelling_of_it() {
    let mut random = Random(2);
    let mut named = 0;
    for round in 0..400_000 {
        let mut bytes = spelled(&awkward_name(&mut random));
        // Bend it: drop, double or change a byte.
        let at = random.below(bytes.len() as u64) as usize;
        match random.below(3) {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, bytes[at]),
            _ => bytes[at] = b"%02345EF.\xED\xA0\xB0\x80\xBF/\0\xFF"[random.below(16) as usize],
        }
        if let Some(name) = from_bytes(&bytes) {
            named += 1;
            assert_eq!(to_bytes(&name), bytes, "round {round}");
        }
    }
    assert!(named > 50_000, "only {named} of the bent spellings named anything: the test tests nothing");
}
