//! Paths as words of a command, and what a shell makes of them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use fixtures::random::Rng;
use vhdx_mount::report::quoted;

use crate::support::program::{has, run};

#[test]
fn a_shell_gives_the_path_back() {
    const SEED: u64 = 31;
    if !has("a_shell_gives_the_path_back", "bash") {
        return;
    }
    let mut rng = Rng::new(SEED);
    let letters = b" aZ07'\"\\$`!*?~&|;<>(){}[]#=%@,:+-_./^\n\t\x1b\x7f\xff\xc3\xa9";
    let paths: Vec<Vec<u8>> = (0..300).map(|_| (0..12).map(|_| *rng.pick(letters)).collect()).collect();
    let words: Vec<String> = paths.iter().map(|path| quoted(Path::new(OsStr::from_bytes(path)))).collect();
    let told = run("bash", &[&"-c", &format!("printf '%s\\0' {}", words.join(" "))]).stdout;
    let told: Vec<&[u8]> = told.strip_suffix(b"\0").expect("words").split(|byte| *byte == 0).collect();
    assert_eq!(told.len(), paths.len(), "seed {SEED}");
    for ((path, word), told) in paths.iter().zip(&words).zip(told) {
        // Else it is a switch.
        let path = if path.starts_with(b"-") { [b"./", path.as_slice()].concat() } else { path.clone() };
        assert!(told == path, "{}: {word}", path.escape_ascii());
    }
}
