//! Paths as Windows spells them, taken apart on whatever system, and which of those that an image records Windows may be
//! asked for.
//!
//! An image may come from anybody. Opening `\\server\share\x` makes Windows log on to that server with the user's own
//! name and a proof of the password, so a path that names a server is opened only where the user opened the child from
//! that very share. Of the rest only drives and volumes by their GUID are: other device paths lead to servers too.

/// A path as Windows spells it, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NativePath<'a> {
    /// Where it begins.
    pub(crate) root: Root<'a>,
    /// The names below that: `..` is one, `.` is none.
    pub(crate) names: Vec<&'a str>,
}

/// Where a path begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root<'a> {
    /// Where the program stands, or the root or a drive of that place: `a`, `\a`, `C:a`.
    Here,
    /// `C:\`, by its letter.
    Drive(char),
    /// `\\?\Volume{GUID}\`, by the GUID.
    Volume(&'a str),
    /// `\\server\share\`; the share may be empty.
    Server { server: &'a str, share: &'a str },
    /// Any other device: `\\?\X\`.
    Device(&'a str),
}

/// Takes a path apart.
pub(crate) fn parse(path: &str) -> NativePath<'_> {
    let server = || path.strip_prefix(is_separator)?.strip_prefix(is_separator);
    let (root, rest) = match (without_device_prefix(path), server()) {
        (Some(device), _) => of_device(device),
        (None, Some(rest)) => of_server(rest),
        (None, None) => of_drive(path).unwrap_or_else(|| (Root::Here, without_drive(path))),
    };
    let names = rest.split(is_separator).filter(|name| !name.is_empty() && *name != ".").collect();
    NativePath { root, names }
}

impl NativePath<'_> {
    /// The root and the names as they are compared: spellings of one path are one here.
    pub(crate) fn folded(&self) -> Vec<String> {
        let root = match self.root {
            Root::Here => None,
            Root::Drive(letter) => Some(format!("{letter}:")),
            Root::Volume(guid) => Some(format!("volume{{{guid}}}")),
            Root::Server { server, share } => Some(format!(r"\\{server}\{share}")),
            Root::Device(device) => Some(format!(r"\\?\{device}")),
        };
        root.iter().map(String::as_str).chain(self.names.iter().copied()).map(str::to_lowercase).collect()
    }
}

/// What becomes of a recorded path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Native {
    /// It is tried as it stands.
    Tried,
    /// It names a server that the user did not.
    OtherServer,
    /// It names neither a drive nor a volume.
    NoPlace,
}

/// Judges a path that the image at `child` records.
pub(crate) fn judge(recorded: &str, child: &str) -> Native {
    match (parse(recorded).root, parse(child).root) {
        (Root::Server { server, share }, Root::Server { server: own_server, share: own_share })
            if same(server, own_server) && same(share, own_share) =>
        {
            Native::Tried
        }
        (Root::Server { .. }, _) => Native::OtherServer,
        (Root::Drive(_) | Root::Volume(_), _) => Native::Tried,
        (Root::Here | Root::Device(_), _) => Native::NoPlace,
    }
}

fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

/// What stands behind a device prefix: where it begins, and the rest.
fn of_device(device: &str) -> (Root<'_>, &str) {
    if let Some(server) = strip_word(device, "UNC") {
        return of_server(server);
    }
    let (first, rest) = first_name(device);
    let root = volume(first).map_or(Root::Device(first), Root::Volume);
    of_drive(device).unwrap_or((root, rest))
}

/// What stands behind the two separators, or behind `UNC`.
fn of_server(path: &str) -> (Root<'_>, &str) {
    let (server, rest) = first_name(path);
    let (share, rest) = first_name(rest);
    if server.is_empty() { (Root::Here, rest) } else { (Root::Server { server, share }, rest) }
}

/// `C:\…`.
fn of_drive(path: &str) -> Option<(Root<'_>, &str)> {
    let mut characters = path.chars();
    let letter = characters.next().filter(char::is_ascii_alphabetic)?;
    let rest = characters.as_str().strip_prefix(':')?.strip_prefix(is_separator)?;
    Some((Root::Drive(letter), rest))
}

/// `C:a` is `a` on a drive, wherever the program stands there.
fn without_drive(path: &str) -> &str {
    let mut characters = path.chars();
    let has_letter = characters.next().is_some_and(|letter| letter.is_ascii_alphabetic());
    characters.as_str().strip_prefix(':').filter(|_| has_letter).unwrap_or(path)
}

/// The GUID of `Volume{GUID}`.
fn volume(name: &str) -> Option<&str> {
    let guid = name.get(..6).filter(|word| same(word, "Volume")).and(name.get(6..))?;
    let guid = guid.strip_prefix('{')?.strip_suffix('}')?;
    let is_guid = guid.len() == 36 && guid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    is_guid.then_some(guid)
}

/// The first name of a path, separators before it left out, and what stands behind it.
fn first_name(path: &str) -> (&str, &str) {
    let path = path.trim_start_matches(is_separator);
    path.split_once(is_separator).unwrap_or((path, ""))
}

/// What stands behind `\\?\`, `\\.\` or `\??\`.
fn without_device_prefix(path: &str) -> Option<&str> {
    let mut characters = path.chars();
    let first: [Option<char>; 4] = std::array::from_fn(|_| characters.next());
    let [Some(a), Some(b), Some(c), Some(d)] = first else { return None };
    let device =
        is_separator(a) && is_separator(d) && (is_separator(b) && matches!(c, '?' | '.') || b == '?' && c == '?');
    device.then_some(characters.as_str())
}

/// What stands behind a first component of this name.
fn strip_word<'a>(path: &'a str, word: &str) -> Option<&'a str> {
    let (first, rest) = path.split_once(is_separator)?;
    same(first, word).then_some(rest)
}

fn is_separator(character: char) -> bool {
    matches!(character, '\\' | '/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_a_path_are_one() {
        for (folded, spellings) in [
            (
                "c:",
                &[
                    r"C:\a\B c.vhdx",
                    "c:/a/b c.vhdx",
                    r"\\?\C:\a\b c.vhdx",
                    r"\??\c:\a\.\b c.vhdx",
                    r"//./C:/a/b c.vhdx",
                ][..],
            ),
            (
                r"\\srv\share",
                &[
                    r"\\srv\share\a\b c.vhdx",
                    "//srv/share/a/b c.vhdx",
                    r"\\?\UNC\Srv\share\a\b c.vhdx",
                    r"\\?\unc\srv\share\a\b c.vhdx",
                    r"\\.\UNC\srv\SHARE\a\b c.vhdx",
                    r"\??\UNC\srv\share\a\b c.vhdx",
                ],
            ),
            (
                "volume{3c8f1a2e-0000-0000-0000-10000000000a}",
                &[
                    r"\\?\Volume{3c8f1a2e-0000-0000-0000-10000000000a}\a\b c.vhdx",
                    r"\??\VOLUME{3C8F1A2E-0000-0000-0000-10000000000A}\a\b c.vhdx",
                ],
            ),
            (r"\\?\harddiskvolume1", &[r"\\?\HarddiskVolume1\a\b c.vhdx"]),
        ] {
            for path in spellings {
                assert_eq!(parse(path).folded(), [folded, "a", "b c.vhdx"], "{path}");
                assert_eq!(parse(path).names.last().map(|name| name.to_lowercase()).as_deref(), Some("b c.vhdx"));
            }
        }
    }

    #[test]
    fn what_has_no_root_has_its_names() {
        for path in [r".\a\b c.vhdx", r"a\b c.vhdx", "./a/b c.vhdx", r"\a\b c.vhdx", r"C:a\b c.vhdx"] {
            assert_eq!(parse(path), NativePath { root: Root::Here, names: vec!["a", "b c.vhdx"] }, "{path}");
        }
        assert_eq!(parse(r"..\x.vhdx").names, ["..", "x.vhdx"]);
        for path in ["", "C:", r"C:\", r"\\", r"\\srv", r"\\srv\share", r"\\?\", r"\\?\UNC", r"\\?\C:"] {
            assert!(parse(path).names.is_empty(), "{path}");
        }
    }

    const LOCAL_CHILD: &str = r"C:\vm\child.avhdx";

    #[test]
    fn drives_and_volumes_are_tried() {
        for path in [
            r"C:\vm\base.vhdx",
            "d:/vm/base.vhdx",
            r"\\?\C:\vm\base.vhdx",
            r"\\?\Volume{26a21bda-a627-11d7-9931-806e6f6e6963}\vm\base.vhdx",
            r"\??\Volume{26A21BDA-A627-11D7-9931-806E6F6E6963}\vm\base.vhdx",
        ] {
            assert_eq!(judge(path, LOCAL_CHILD), Native::Tried, "{path}");
        }
    }

    #[test]
    fn a_server_is_asked_only_where_the_child_came_from_its_share() {
        let child = r"\\Files\VMs\a\child.avhdx";
        for path in [r"\\files\vms\base.vhdx", "//FILES/vms/x/base.vhdx", r"\\?\UNC\files\VMS\base.vhdx"] {
            assert_eq!(judge(path, child), Native::Tried, "{path}");
            assert_eq!(judge(path, r"\\?\UNC\files\vms\child.avhdx"), Native::Tried, "{path}");
            assert_eq!(judge(path, LOCAL_CHILD), Native::OtherServer, "{path}");
        }
        for path in
            [r"\\files\other\base.vhdx", r"\\evil\vms\base.vhdx", r"\\files.evil.example\vms\b", r"\\files\vms2\b"]
        {
            assert_eq!(judge(path, child), Native::OtherServer, "{path}");
        }
    }

    #[test]
    fn every_other_way_to_a_server_is_closed() {
        for path in [
            r"\\?\GLOBALROOT\Device\Mup\evil\share\base.vhdx",
            r"\\.\GLOBALROOT\Device\LanmanRedirector\evil\share\base.vhdx",
            r"\\.\pipe\name",
            r"\\?\Volume{../../..}\x",
            r"\\?\Volume\evil",
            r"\Device\Mup\evil\share",
            "base.vhdx",
            "C:base.vhdx",
            "http://evil/base.vhdx",
            "",
        ] {
            assert_ne!(judge(path, LOCAL_CHILD), Native::Tried, "{path}");
        }
        for path in [r"\\evil@SSL\DavWWWRoot\b", r"\/evil/share/b", r"\??\UNC\evil\share\b", r"//?/unc/evil/share/b"] {
            assert_eq!(judge(path, LOCAL_CHILD), Native::OtherServer, "{path}");
        }
    }
}
