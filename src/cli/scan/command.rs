//! The command that opens a chain, as it can be pasted into a shell.

use std::path::Path;

use vhdx_mount::scan::{Ending, Scan, ScannedChain};

use crate::cli::escape::escape;

/// The command that opens a chain; `None` where none would.
pub(super) fn to_open(scan: &Scan, chain: &ScannedChain) -> Option<String> {
    let opens = |link: &usize| scan.images.get(*link).is_some_and(|image| image.error.is_none());
    if !chain.links.iter().all(opens) {
        return None;
    }
    let missing = match chain.ending {
        Ending::Base => "",
        Ending::Missing => " --missing lost",
        Ending::Cycle | Ending::TooDeep => return None,
    };
    let youngest = &scan.images.get(*chain.links.first()?)?.path;
    let parents = scan.parents_to_name(chain).into_iter().map(|parent| format!(" --parent {}", quoted(parent)));
    Some(format!("vhdx-mount {} TARGET{missing}{}", quoted(youngest), parents.collect::<String>()))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
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
