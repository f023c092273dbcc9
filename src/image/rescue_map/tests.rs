use super::*;

fn missing(text: &str) -> Vec<Range<u64>> {
    let map = RescueMap::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
    map.missing(&(0..1 << 40)).collect()
}

/// As ddrescue 1.27 writes it.
const WRITTEN: &str = "\
# Mapfile. Created by GNU ddrescue version 1.27
# Command line: ddrescue VM.vhdx copy.vhdx copy.map
# Start time:   2024-01-01 10:00:00
# Finished
# current_pos  current_status  current_pass
0x00110000     +               1
#      pos        size  status
0x00000000  0x00100000  +
0x00100000  0x00001000  -
0x00101000  0x0000F000  +
0x00110000  0x00010000  *
0x00120000  0x00010000  /
0x00130000  0x00010000  ?
0x00140000  0x00100000  +
";

#[test]
fn only_what_is_finished_was_copied() {
    assert_eq!(missing(WRITTEN), [0x10_0000..0x10_1000, 0x11_0000..0x14_0000, 0x24_0000..1 << 40]);
}

#[test]
fn numbers_are_those_of_c_and_lines_those_of_any_system() {
    let expected = [8..16, 32..1 << 40];
    for text in [
        "0 +\n0 8 +\n8 8 -\n16 16 +\n",
        "0 ? 3\r\n0x0 010 +\r\n010 010 -\r\n\r\n0X10 0x10 +",
        "00 G 1\n0 8 +\n# x\n16 16 +",
    ] {
        assert_eq!(missing(text), expected, "{text}");
    }
}

#[test]
fn what_no_block_names_was_not_copied() {
    assert_eq!(missing("0 ?\n"), [0..1 << 40]);
    assert_eq!(missing("0 ?\n100 50 +\n"), [0..100, 150..1 << 40]);
    assert_eq!(missing("0 +\n0 0xffffffffffffffff +\n"), []);
}

#[test]
fn what_is_no_map_is_refused_with_its_line() {
    for (text, line) in [
        ("", 1),
        ("# only comments\n", 1),
        ("vhdxfile\n", 1),
        ("0 8 +\n", 1),
        ("0 +\n0 8\n", 2),
        ("0 +\n# c\n0 8 x\n", 3),
        ("0 +\n0 8 ++\n", 2),
        ("0 +\n0 8 + more\n", 2),
        ("0 +\n0 -8 +\n", 2),
        ("0 +\n+0 8 +\n", 2),
        ("0 +\n0x 8 +\n", 2),
        ("0 +\n0 0x10000000000000000 +\n", 2),
        ("0 +\n5 0xffffffffffffffff +\n", 2),
        ("0 +\n0 8 +\n4 8 -\n", 3),
        ("0 +\n8 8 +\n0 8 +\n", 3),
    ] {
        let error = RescueMap::parse(text.as_bytes()).expect_err(text);
        assert!(error.message().starts_with(&format!("line {line}: ")), "{text:?}: {error}");
    }
    assert!(RescueMap::parse(b"0 +\n0 8 +\n\xff\xfe\n").is_err());
    assert!(RescueMap::parse(b"# \xff\xfe in a path\n0 +\n0 8 +\n").is_ok());
}

/// Maps with bytes changed: no panic, and never more vouched for than the number range holds.
#[test]
fn changed_maps_are_read_or_refused() {
    let mut seed = 7u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let alphabet = b"0123456789abcdefx+-*/?#\n\r \0\xff";
    for _ in 0..5000 {
        let mut text = WRITTEN.as_bytes().to_vec();
        for _ in 0..=next(4) {
            let at = next(text.len());
            text[at] = alphabet[next(alphabet.len())];
        }
        text.truncate(next(text.len()) + 1);
        if let Ok(map) = RescueMap::parse(&text) {
            let parts: Vec<_> = map.missing(&(0..u64::MAX)).collect();
            assert!(parts.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }
}
