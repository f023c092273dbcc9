//! Where links point, as Linux follows it.
//!
//! Where the tree knows the way to the target through real folders, that is the path. Else a relative target becomes a
//! path: every part between backslashes is spelled like a name, `.` and `..` keep their meaning. Every other target (`\??\C:\Users`, `\Windows`, `\\server\share`) is given as it stands in the file, as one
//! part: it names a place on another machine. Its `/`, if it has any, are escaped like in names, so that it cannot lead
//! to a file of this machine.

use mount_api::{Error, ErrorKind, LinkPath, NodeId, ReparseTarget, Tree};

use crate::name;

const BACKSLASH: u16 = 0x5C;
const DOT: u16 = 0x2E;

/// The longest target that the kernel takes from FUSE, in bytes: a page less its closing NUL.
pub(crate) const LONGEST: usize = 4095;

/// The bytes that `readlink` gives of a link.
pub(crate) fn bytes_of(tree: &dyn Tree, link: NodeId) -> Result<Vec<u8>, Error> {
    let reparse = tree.reparse(link)?.ok_or_else(|| Error::new(ErrorKind::NotALink, "no reparse point"))?;
    let unsupported = || Error::new(ErrorKind::Unsupported, format!("reparse tag {:#010x}", reparse.tag));
    let target = reparse.target.as_ref().ok_or_else(unsupported)?;
    // A way that cannot be told for damage is no reason not to show the target as it stands.
    let bytes = tree.link_path(link).ok().flatten().map_or_else(|| target_bytes(target), |path| path_bytes(&path));
    // No link of Linux leads to nothing, and programs do not expect one.
    if bytes.is_empty() { Err(Error::new(ErrorKind::Corrupt, "the target of the link is empty")) } else { Ok(bytes) }
}

fn path_bytes(path: &LinkPath) -> Vec<u8> {
    let mut parts = vec![b"..".to_vec(); path.up.min(LONGEST)];
    parts.extend(path.names.iter().map(name::to_bytes));
    if parts.is_empty() { b".".to_vec() } else { parts.join(&b'/') }
}

/// The target as it stands in the file.
fn target_bytes(target: &ReparseTarget) -> Vec<u8> {
    let units = target.substitute.units();
    let mut bytes = Vec::with_capacity(units.len());
    // `\Windows` is called relative in the file too, but starts at the root of a drive.
    if !target.relative || matches!(units, [BACKSLASH, ..]) {
        name::push_name(units, &mut bytes);
        return bytes;
    }
    for (index, part) in units.split(|unit| *unit == BACKSLASH).enumerate() {
        if index > 0 {
            bytes.push(b'/');
        }
        match part {
            [DOT] | [DOT, DOT] => mount_api::push_wtf8(part, &mut bytes),
            _ => name::push_name(part, &mut bytes),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use mount_api::Name;

    use super::*;

    fn shown(substitute: &str, relative: bool) -> String {
        let target = ReparseTarget { substitute: Name::from(substitute), print: Name::default(), relative };
        String::from_utf8(target_bytes(&target)).unwrap()
    }

    #[test]
    fn ways_through_real_folders_are_paths() {
        let shown = |up, names: &[&str]| {
            let names = names.iter().map(|name| Name::from(*name)).collect();
            String::from_utf8(path_bytes(&LinkPath { up, names })).unwrap()
        };
        assert_eq!(shown(0, &["a", "b c"]), "a/b c");
        assert_eq!(shown(2, &["a/b", ".."]), "../../a%2Fb/%2E.");
        assert_eq!(shown(1, &[]), "..");
        assert_eq!(shown(0, &[]), ".");
        assert!(shown(usize::MAX, &[]).len() > LONGEST);
    }

    #[test]
    fn relative_targets_become_paths() {
        assert_eq!(shown("b", true), "b");
        assert_eq!(shown(r"..\a\b c", true), "../a/b c");
        assert_eq!(shown(r".\x\..\y", true), "./x/../y");
        assert_eq!(shown(r"..\%2F\100%", true), "../%252F/100%");
    }

    #[test]
    fn other_targets_stay_as_they_stand() {
        assert_eq!(shown(r"\??\C:\Users\Public", false), r"\??\C:\Users\Public");
        assert_eq!(shown(r"\\server\share\x", false), r"\\server\share\x");
        assert_eq!(shown(r"\Windows\System32", true), r"\Windows\System32");
    }

    #[test]
    fn no_target_is_a_path_of_the_host() {
        assert_eq!(shown("/etc/passwd", false), "%2Fetc%2Fpasswd");
        assert_eq!(shown("/etc/passwd", true), "%2Fetc%2Fpasswd");
        assert_eq!(shown("..", false), "%2E.");
    }
}
