//! Where a symbolic link or junction leads within its own volume, as a path from the folder that it stands in.
//!
//! Windows compares names without case and follows `..` by the words alone; both are settled here, so that who knows
//! neither can follow the path. No path leads out of the volume: what would climb above its root stays there, as on
//! Windows.

use mount_api::{Case, Error, Kind, LinkPath, Name, NodeId, ReparseTarget, Tree};

use super::{Ntfs, reparse_point};

const BACKSLASH: u16 = 0x5c;
const COLON: u16 = 0x3a;
const DOT: u16 = 0x2e;
/// What stands before a drive letter: `\??\C:\…`, `\\?\C:\…`.
const PREFIXES: [[u16; 4]; 2] = [[BACKSLASH, 0x3f, 0x3f, BACKSLASH], [BACKSLASH, BACKSLASH, 0x3f, BACKSLASH]];
/// The letter of the volume that Windows starts from.
const SYSTEM_DRIVE: u8 = b'C';

/// What a target counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Start {
    /// The folder that the link stands in.
    Folder,
    /// The root of the link's own volume.
    Root,
    /// The root of the volume of this letter, in upper case.
    Drive(u8),
}

impl Ntfs {
    /// The path that a link is, or `None` where it leads to another volume, or it cannot be told where.
    pub(super) fn path_of_link(&self, link: NodeId) -> Result<Option<LinkPath>, Error> {
        let Some(reparse) = self.reparse(link)? else { return Ok(None) };
        let Some(target) = reparse.target else { return Ok(None) };
        let separator = reparse_point::separator(reparse.tag);
        let start = if separator == BACKSLASH { split(&target) } else { split_of_wsl(&target) };
        let (Some((start, rest)), Some(mut own)) = (start, self.path_of(link)) else { return Ok(None) };
        own.names.pop();
        let folder = own.names;
        let mut names = if start == Start::Folder { folder.clone() } else { Vec::new() };
        follow(rest, separator, &mut names);
        let found = self.spell(&mut names);
        let inside = match start {
            Start::Folder | Start::Root => true,
            // Another volume may have such a path too, but hardly one of this letter.
            Start::Drive(letter) => found && self.may_be_drive(letter),
        };
        Ok(inside.then(|| between(&folder, names)))
    }

    /// Gives the names the spelling that they have in their folders, as far as they are there; whether all are. What lies
    /// behind another link counts as there.
    fn spell(&self, names: &mut [Name]) -> bool {
        let mut node = NodeId::ROOT;
        for name in names {
            match self.attr(node).map(|attr| attr.kind) {
                Ok(Kind::Directory) => {}
                Ok(Kind::Link) => return true,
                Ok(Kind::File) | Err(_) => return false,
            }
            let Ok(folder) = self.folder(node) else { return false };
            let Ok(below) = self.lookup(node, name, Case::Insensitive) else { return false };
            if let Some(spelled) = folder.spelling(name) {
                *name = spelled;
            }
            node = below;
        }
        true
    }

    /// Whether this volume may have had this letter: the one with Windows on it is `C:`, and no other is.
    fn may_be_drive(&self, letter: u8) -> bool {
        let mut windows = ["Windows", "System32"].map(Name::from);
        (letter == SYSTEM_DRIVE) == self.spell(&mut windows)
    }
}

/// What a target counts from, and the rest of it. `None` for places on other machines, and volumes named by a GUID.
fn split(target: &ReparseTarget) -> Option<(Start, &[u16])> {
    let units = target.substitute.units();
    if target.relative {
        return match units {
            [BACKSLASH, BACKSLASH, ..] | [] => None,
            [BACKSLASH, rest @ ..] => Some((Start::Root, rest)),
            _ => Some((Start::Folder, units)),
        };
    }
    let rest = PREFIXES.iter().find_map(|prefix| units.strip_prefix(prefix))?;
    match rest {
        [letter, COLON] | [letter, COLON, BACKSLASH, ..] => {
            let letter = u8::try_from(*letter).ok().filter(u8::is_ascii_alphabetic)?;
            Some((Start::Drive(letter.to_ascii_uppercase()), rest.get(2..).unwrap_or_default()))
        }
        _ => None,
    }
}

/// The same of a link of WSL: from the root on it counts within Linux, which is elsewhere.
fn split_of_wsl(target: &ReparseTarget) -> Option<(Start, &[u16])> {
    let units = target.substitute.units();
    (target.relative && !units.is_empty()).then_some((Start::Folder, units))
}

/// Goes on from `names` by the words of a path.
fn follow(path: &[u16], separator: u16, names: &mut Vec<Name>) {
    for part in path.split(|unit| *unit == separator) {
        match part {
            [] | [DOT] => {}
            [DOT, DOT] => {
                names.pop();
            }
            name => names.push(Name::from_units(name.to_vec())),
        }
    }
}

/// The way from a folder to a place, both as names from the root on.
fn between(folder: &[Name], mut to: Vec<Name>) -> LinkPath {
    let shared = folder.iter().zip(&to).take_while(|(one, other)| one == other).count();
    LinkPath { up: folder.len().saturating_sub(shared), names: to.split_off(shared) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(substitute: &str, relative: bool) -> ReparseTarget {
        ReparseTarget { substitute: substitute.into(), print: Name::default(), relative }
    }

    #[test]
    fn targets_count_from_folders_roots_and_drives() {
        let start = |substitute, relative| {
            let target = target(substitute, relative);
            split(&target).map(|(start, rest)| (start, String::from_utf16(rest).unwrap()))
        };
        assert_eq!(start(r"..\a", true), Some((Start::Folder, r"..\a".into())));
        assert_eq!(start(r"\Windows", true), Some((Start::Root, "Windows".into())));
        assert_eq!(start(r"\??\c:\Users", false), Some((Start::Drive(b'C'), r"\Users".into())));
        assert_eq!(start(r"\\?\D:", false), Some((Start::Drive(b'D'), String::new())));
        for other in
            [r"\??\Volume{1234}\x", r"\\server\share", r"\??\UNC\server", r"\??\CD:\", r"\??\C:x", "C:", "", r"\??\"]
        {
            assert_eq!(start(other, false), None, "{other}");
        }
        assert_eq!(start(r"\\server\share", true), None);
        assert_eq!(start("", true), None);
    }

    #[test]
    fn paths_are_followed_by_their_words_and_stay_below_the_root() {
        let way = |folder: &[&str], path: &str| {
            let folder: Vec<_> = folder.iter().map(|name| Name::from(*name)).collect();
            let mut names = folder.clone();
            follow(&path.encode_utf16().collect::<Vec<_>>(), BACKSLASH, &mut names);
            let way = between(&folder, names);
            (way.up, way.names.iter().map(Name::to_string_lossy).collect::<Vec<_>>().join("/"))
        };
        assert_eq!(way(&["a", "b"], r"..\c\.\d"), (1, "c/d".into()));
        assert_eq!(way(&["a", "b"], r"x\..\\y"), (0, "y".into()));
        assert_eq!(way(&["a", "b"], r"..\..\..\..\etc"), (2, "etc".into()));
        assert_eq!(way(&["a", "b"], r"..\b"), (0, String::new()));
        assert_eq!(way(&["a"], ".."), (1, String::new()));
    }
}
