//! Paths in commands that are meant to be pasted.

use std::path::Path;

use super::escape::escape;

/// A path as a shell takes it.
pub(crate) fn quoted(path: &Path) -> String {
    let text = escape(&path.display().to_string());
    let plain = |c: char| c.is_alphanumeric() || "/\\:._-+,@%=".contains(c);
    match (text.chars().all(plain), cfg!(windows)) {
        (true, _) => text,
        (false, true) => format!("\"{text}\""),
        (false, false) => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_comes_through_the_shell_whole() {
        assert_eq!(quoted(Path::new("/vms/a-b_1.avhdx")), "/vms/a-b_1.avhdx");
        if cfg!(not(windows)) {
            assert_eq!(quoted(Path::new("/vms/it's $HOME.vhdx")), r"'/vms/it'\''s $HOME.vhdx'");
        }
    }
}
