//! Links that lead to a server, on the way to a file that was found.
//!
//! A folder that is searched may come from anybody, on a stick. Windows that follows a link there to `\\server\share` logs
//! on to that server with the user's name and a proof of the password. So the links on the way to a file are read, one
//! after the other, before the file is asked for; what the user named is left out of this, wherever it leads.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::native_path::{self, Native};

/// So many links Windows follows on one way.
const MAX_LINKS: usize = 63;

/// Whether the way from what the user named to a file leads over a link to a server, or to where cannot be told. Elsewhere
/// than on Windows nothing is shown to a server by following a link.
pub(crate) fn leads_to_server(named: &Path, path: &Path) -> bool {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    cfg!(windows) && follow(&absolute(named), &absolute(path), &|at| std::fs::read_link(at).ok())
}

fn follow(named: &Path, path: &Path, read_link: &dyn Fn(&Path) -> Option<PathBuf>) -> bool {
    let mut at = common(named, path);
    let mut rest = path.strip_prefix(&at).map(names).unwrap_or_default();
    let mut links = 0usize;
    while let Some(name) = rest.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        at.push(&name);
        let Some(target) = read_link(&at) else { continue };
        links = links.saturating_add(1);
        let from = root(&target);
        if links > MAX_LINKS {
            return true;
        } else if from.as_os_str().is_empty() {
            at.pop();
        } else if native_path::judge(&target.to_string_lossy(), &named.to_string_lossy()) == Native::Tried {
            at = from;
        } else {
            // A root without a drive may be one of the kernel's own: `\Device\Mup\server`.
            return true;
        }
        rest = names(&target).into_iter().chain(rest).collect();
    }
    false
}

/// The folder that holds both, of those on the way to what the user named; at least the root.
fn common(named: &Path, path: &Path) -> PathBuf {
    let both = named.components().zip(path.components());
    let shared: PathBuf = both.take_while(|(a, b)| a == b).map(|(part, _)| part).collect();
    if shared.has_root() { shared } else { root(path) }
}

/// The drive or share, and the root.
fn root(path: &Path) -> PathBuf {
    path.components().take_while(|part| matches!(part, Component::Prefix(_) | Component::RootDir)).collect()
}

fn names(path: &Path) -> VecDeque<OsString> {
    let name = |part: Component<'_>| match part {
        Component::Normal(_) | Component::ParentDir => Some(part.as_os_str().to_owned()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir => None,
    };
    path.components().filter_map(name).collect()
}

#[cfg(all(test, windows))]
mod tests {
    use super::*;

    /// Whether a stick with one link on it leads to a server.
    fn leads(link: &str, target: &str, path: &str) -> bool {
        let read = |at: &Path| (at == Path::new(link)).then(|| PathBuf::from(target));
        follow(Path::new(r"E:\vms"), Path::new(path), &read)
    }

    #[test]
    fn a_link_to_a_server_is_seen_wherever_it_stands() {
        for target in [
            r"\\evil\share\base.vhdx",
            r"\\?\UNC\evil\share\base.vhdx",
            r"\\?\GLOBALROOT\Device\Mup\evil\share",
            r"\Device\Mup\evil\share",
            r"\\.\UNC\evil\share",
        ] {
            for (link, path) in [
                (r"E:\vms\base.vhdx", r"E:\vms\base.vhdx"),
                (r"E:\vms\folder", r"E:\vms\folder\base.vhdx"),
                (r"E:\other", r"E:\other\base.vhdx"),
                (r"F:\vms", r"F:\vms\base.vhdx"),
            ] {
                assert!(leads(link, target, path), "{link} to {target}");
            }
        }
    }

    #[test]
    fn links_that_stay_on_drives_are_followed() {
        for target in ["real.vhdx", r"..\vms\real.vhdx", r"D:\real.vhdx", r"\\?\D:\real.vhdx"] {
            assert!(!leads(r"E:\vms\base.vhdx", target, r"E:\vms\base.vhdx"), "{target}");
        }
        assert!(!leads(r"E:\vms", r"\\nas\vms", r"E:\vms\base.vhdx"), "the user named it");
        let volume = r"\\?\Volume{26a21bda-a627-11d7-9931-806e6f6e6963}\";
        assert!(!leads(r"E:\vms\volume", volume, r"E:\vms\volume\base.vhdx"));
    }

    #[test]
    fn a_link_to_a_link_is_followed_and_a_circle_is_not_for_ever() {
        let read = |at: &Path| match at.to_str()? {
            r"E:\vms\a" => Some(PathBuf::from("b")),
            r"E:\vms\b" => Some(PathBuf::from(r"D:\c")),
            r"D:\c" => Some(PathBuf::from(r"\\evil\share")),
            r"E:\vms\circle" => Some(PathBuf::from("circle")),
            _ => None,
        };
        let leads = |path: &str| follow(Path::new(r"E:\vms"), Path::new(path), &read);
        assert!(leads(r"E:\vms\a") && leads(r"E:\vms\a\x") && leads(r"E:\vms\circle"));
        assert!(!leads(r"E:\vms\x"));
    }
}
