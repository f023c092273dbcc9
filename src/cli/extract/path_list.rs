//! A list of paths that somebody wrote, or `vhdx-mount ls`.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::Path;

use vhdx_mount::namespace::is_own_file;

use super::input;
use crate::cli::escape::escape;
use crate::cli::outcome::Failure;
use crate::cli::paths;

/// The paths in a file, or with `-` on the standard input: one a line, as people write them; or, where there is a zero byte, each
/// ended by one and spelled as at the mount point, which `ls --null` does. What `ls` lists of the program's own files is passed
/// over, where all volumes are listed.
pub(super) fn read(file: &Path, all_volumes: bool) -> Result<HashSet<String>, Failure> {
    let content = input::read(file).map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
    let (own, paths): (HashSet<_>, HashSet<_>) =
        paths(&content).into_iter().partition(|path| all_volumes && is_own_file(path));
    let told = escape(&file.display().to_string());
    if !own.is_empty() {
        let mut own: Vec<_> = own.into_iter().collect();
        own.sort_unstable();
        log::info!("{told}: {}: no files of a volume, passed over", own.join(", "));
        if paths.is_empty() {
            return Err(Failure::usage(format!("{told}: no path of a volume's file stands in this list")).advise(
                "`vhdx-mount export` writes the disk, or a volume; `vhdx-mount info --json` prints the report",
            ));
        }
    }
    if paths.is_empty() {
        return Err(Failure::usage(format!("{told}: no path stands in this list"))
            .advise("see why it came out empty; without --from-file everything is wanted"));
    }
    Ok(paths)
}

fn paths(content: &[u8]) -> HashSet<String> {
    let spelled = content.contains(&0);
    let lines = content.split(|byte| *byte == if spelled { 0 } else { b'\n' });
    let paths = lines.map(|line| match spelled {
        true => paths::text_of_spelled(&host_text(line)),
        false => String::from_utf8_lossy(line).trim_end_matches('\r').trim_matches('/').to_owned(),
    });
    paths.filter(|path| !path.is_empty()).collect()
}

#[cfg(unix)]
fn host_text(bytes: &[u8]) -> OsString {
    std::os::unix::ffi::OsStringExt::from_vec(bytes.to_vec())
}

#[cfg(not(unix))]
fn host_text(bytes: &[u8]) -> OsString {
    String::from_utf8_lossy(bytes).into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_or_zero_bytes_end_a_path() {
        let list = |names: &[&str]| names.iter().map(ToString::to_string).collect::<HashSet<_>>();
        assert_eq!(paths(b"a/b\r\n/c/\n\n"), list(&["a/b", "c"]));
        assert_eq!(paths(b"a\nb\0c\0"), list(&["a\nb", "c"]));
        // Zero bytes: as at the mount point, where a name that no host spells is escaped.
        assert_eq!(paths(b"x/a%2Fb\0c\0"), list(&["x/a/b", "c"]));
        assert_eq!(paths(b"x/a%2Fb\n"), list(&["x/a%2Fb"]));
    }
}
