//! What a user hands over in a file, or on the standard input.

use std::io::{self, Read};
use std::path::Path;

/// Whether this stands for the standard input.
pub(super) fn is_stdin(from: &Path) -> bool {
    from == Path::new("-")
}

/// All of a file, or with `-` of the standard input.
///
/// # Errors
/// As the host's.
#[expect(clippy::disallowed_methods, reason = "a list or a report that the user names, no image")]
pub(super) fn read(from: &Path) -> io::Result<Vec<u8>> {
    if !is_stdin(from) {
        return std::fs::read(from);
    }
    let mut content = Vec::new();
    io::stdin().lock().read_to_end(&mut content)?;
    Ok(content)
}
