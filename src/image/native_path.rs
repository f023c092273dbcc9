//! Which of the paths that an image records Windows may be asked for.
//!
//! An image may come from anybody. Opening `\\server\share\x` makes Windows log on to that server with the user's own
//! name and a proof of the password, so a path that names a server is opened only where the user opened the child from
//! that very share. Of the rest only drives and volumes by their GUID are: other device paths lead to servers too.

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
    match (server_and_share(recorded), server_and_share(child)) {
        (Some(named), Some(own)) if same(named.0, own.0) && same(named.1, own.1) => Native::Tried,
        (Some(_), _) => Native::OtherServer,
        (None, _) if on_a_drive(recorded) || on_a_volume(recorded) => Native::Tried,
        (None, _) => Native::NoPlace,
    }
}

fn same(a: &str, b: &str) -> bool {
    a.to_lowercase() == b.to_lowercase()
}

/// The server and the share of `\\server\share\…` and `\\?\UNC\server\share\…`.
fn server_and_share(path: &str) -> Option<(&str, &str)> {
    let rest = match without_device_prefix(path) {
        Some(device) => strip_word(device, "UNC")?,
        None => path.strip_prefix(is_separator)?.strip_prefix(is_separator)?,
    };
    let mut parts = rest.split(is_separator).filter(|part| !part.is_empty());
    Some((parts.next()?, parts.next().unwrap_or_default()))
}

fn on_a_drive(path: &str) -> bool {
    let path = without_device_prefix(path).unwrap_or(path);
    matches!(path.as_bytes(), [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic())
}

/// `\\?\Volume{GUID}\…`.
fn on_a_volume(path: &str) -> bool {
    let guid = without_device_prefix(path)
        .and_then(|device| device.split(is_separator).next())
        .and_then(|volume| volume.get(..6).filter(|word| same(word, "Volume")).and(volume.get(6..)));
    guid.and_then(|guid| guid.strip_prefix('{')?.strip_suffix('}'))
        .is_some_and(|guid| guid.len() == 36 && guid.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'))
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
