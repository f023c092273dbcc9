//! A list of paths that somebody wrote, or `vhdx-mount ls`.

use std::collections::HashSet;
use std::path::Path;

use crate::cli::outcome::Failure;

/// The paths in a file: each ended by a zero byte where there is one, else one a line.
#[expect(clippy::disallowed_methods, reason = "a list of paths that the user wrote, no image")]
pub(super) fn read(file: &Path) -> Result<HashSet<String>, Failure> {
    let content = std::fs::read(file).map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
    Ok(paths(&content))
}

fn paths(content: &[u8]) -> HashSet<String> {
    let end = if content.contains(&0) { 0 } else { b'\n' };
    let lines = content.split(|byte| *byte == end).map(|line| String::from_utf8_lossy(line).into_owned());
    let paths = lines.map(|line| line.trim_end_matches('\r').trim_matches('/').to_owned());
    paths.filter(|path| !path.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_or_zero_bytes_end_a_path() {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<HashSet<_>>();
        assert_eq!(paths(b"a/b\r\n/c/\n\n"), list(&["a/b", "c"]));
        assert_eq!(paths(b"a\nb\0c\0"), list(&["a\nb", "c"]));
    }
}
