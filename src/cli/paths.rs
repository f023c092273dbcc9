//! Paths as they stand at the mount point, where this system can spell them.

use std::ffi::OsStr;
use std::ops::ControlFlow;

use mount_api::{Case, ErrorKind, From, Name, NodeId, Tree};

use super::escape::escape;
use super::outcome::Failure;

/// A path from the root of a tree. One is led through all names of a folder in turn, for there are millions.
#[derive(Debug, Clone, Default)]
pub(crate) struct TreePath {
    names: Vec<Name>,
    text: String,
    /// How long the text was before each name.
    before: Vec<usize>,
}

impl TreePath {
    /// Goes down to what stands under a name.
    pub(crate) fn push(&mut self, name: Name) {
        self.before.push(self.text.len());
        if !self.names.is_empty() {
            self.text.push('/');
        }
        push_lossy(&mut self.text, name.units());
        self.names.push(name);
    }

    /// Goes up again.
    pub(crate) fn pop(&mut self) {
        self.names.pop();
        self.text.truncate(self.before.pop().unwrap_or(0));
    }

    /// The name that it ends with; `None` for the root.
    pub(crate) fn name(&self) -> Option<&Name> {
        self.names.last()
    }

    /// As text for people and for JSON; what text cannot hold is replaced.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The UTF-16 units, where text does not hold them all.
    pub(crate) fn units_if_lossy(&self) -> Option<Vec<u16>> {
        let exact = self.names.iter().all(|name| String::from_utf16(name.units()).is_ok());
        (!exact).then(|| self.names.iter().map(Name::units).collect::<Vec<_>>().join(&u16::from(b'/')))
    }

    /// The bytes that stand at the mount point.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.names.iter().map(spell).collect::<Vec<_>>().join(&b'/')
    }
}

/// Appends UTF-16 as text; a lone surrogate becomes U+FFFD.
fn push_lossy(text: &mut String, units: &[u16]) {
    // By far the most names are made of ASCII, and there are millions: no name of NTFS has more units than this.
    let mut ascii = [0; 255];
    let short = ascii.get_mut(..units.len()).filter(|_| units.iter().fold(0, |all, unit| all | unit) < 0x80);
    if let Some(short) = short {
        short.iter_mut().zip(units).for_each(|(byte, unit)| *byte = unit.to_le_bytes()[0]);
        if let Ok(short) = std::str::from_utf8(short) {
            return text.push_str(short);
        }
    }
    let chars = char::decode_utf16(units.iter().copied());
    text.extend(chars.map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
}

impl FromIterator<Name> for TreePath {
    fn from_iter<T: IntoIterator<Item = Name>>(names: T) -> Self {
        let mut path = TreePath::default();
        names.into_iter().for_each(|name| path.push(name));
        path
    }
}

#[cfg(target_os = "linux")]
fn spell(name: &Name) -> Vec<u8> {
    mount_linux::name_to_bytes(name)
}

#[cfg(windows)]
fn spell(name: &Name) -> Vec<u8> {
    String::from_utf16_lossy(&mount_windows::name_to_units(name)).into_bytes()
}

#[cfg(not(any(target_os = "linux", windows)))]
fn spell(name: &Name) -> Vec<u8> {
    name.to_string_lossy().into_bytes()
}

/// A name as this host spells it.
#[cfg(target_os = "linux")]
pub(crate) fn spell_on_host(name: &Name) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(spell(name))
}

/// A name as this host spells it: as it stands at a mount point.
#[cfg(windows)]
pub(crate) fn spell_on_host(name: &Name) -> std::ffi::OsString {
    use std::os::windows::ffi::OsStringExt;
    std::ffi::OsString::from_wide(&mount_windows::name_to_units(name))
}

/// A name as this host spells it.
#[cfg(not(any(target_os = "linux", windows)))]
pub(crate) fn spell_on_host(name: &Name) -> std::ffi::OsString {
    name.to_string_lossy().into()
}

/// A name of a path that was typed.
struct Typed {
    /// What it stands for at the mount point.
    spelled: Name,
    /// The name of these very letters, as `ls` tells of it, where that is another one: `%2F`.
    literal: Option<Name>,
}

impl Typed {
    fn new(spelled: Name, literal: Name) -> Self {
        let literal = (literal != spelled).then_some(literal);
        Typed { spelled, literal }
    }
}

/// The names of a path that was typed: between slashes, and on Windows between backslashes too.
#[cfg(target_os = "linux")]
fn names(path: &OsStr) -> Vec<Typed> {
    use std::os::unix::ffi::OsStrExt;
    let components = path.as_bytes().split(|byte| *byte == b'/').filter(|component| !matches!(*component, b"" | b"."));
    let typed = |bytes| {
        let literal: Name = (&*String::from_utf8_lossy(bytes)).into();
        Typed::new(mount_linux::name_from_bytes(bytes).unwrap_or_else(|| literal.clone()), literal)
    };
    components.map(typed).collect()
}

#[cfg(windows)]
fn names(path: &OsStr) -> Vec<Typed> {
    use std::os::windows::ffi::OsStrExt;
    let units: Vec<u16> = path.encode_wide().collect();
    let components = units.split(|unit| matches!(u8::try_from(*unit), Ok(b'/' | b'\\')));
    let components = components.filter(|component| !component.is_empty() && *component != [u16::from(b'.')]);
    components.map(|units| Typed::new(mount_windows::name_from_units(units), units.to_vec().into())).collect()
}

#[cfg(not(any(target_os = "linux", windows)))]
fn names(path: &OsStr) -> Vec<Typed> {
    let text = path.to_string_lossy();
    let components = text.split(['/', '\\']).filter(|component| !matches!(*component, "" | "."));
    components.map(|name| Typed::new(name.into(), name.into())).collect()
}

/// The text of a path that is spelled as at the mount point: as patterns see it.
pub(crate) fn text_of_spelled(path: &OsStr) -> String {
    names(path).into_iter().map(|typed| typed.spelled).collect::<TreePath>().text
}

/// What a typed path leads to.
pub(crate) struct Found {
    pub(crate) node: NodeId,
    pub(crate) path: TreePath,
    /// The folder that it stands in; that of the root is the root.
    pub(crate) folder: NodeId,
}

/// What a typed path leads to: names are taken as they are spelled at the mount point, or else as `ls` tells
/// them, and without regard to case where there is no such name.
pub(crate) fn find(tree: &dyn Tree, path: &OsStr) -> Result<Found, Failure> {
    let (mut folder, mut node) = (NodeId::ROOT, NodeId::ROOT);
    let mut walked = TreePath::default();
    for Typed { spelled, literal } in names(path) {
        let found = match (lookup(tree, node, &spelled), literal) {
            (Err(error), Some(literal)) if error.kind() == ErrorKind::NotFound => lookup(tree, node, &literal),
            (found, _) => found,
        };
        let (found, name) = found.map_err(|error| {
            walked.push(spelled);
            let failure = Failure::new(format!("{}: {error}", escape(walked.text())));
            match error.kind() {
                ErrorKind::NotFound => failure.advise("see what is there: vhdx-mount ls CHAIN"),
                _ => failure,
            }
        })?;
        walked.push(name);
        (folder, node) = (node, found);
    }
    Ok(Found { node, path: walked, folder })
}

/// What stands under a name, and how its folder spells that; or, where nothing does, the named stream that the name means at a
/// mount point: `file:stream`, and `:stream` of the folder itself.
fn lookup(tree: &dyn Tree, folder: NodeId, name: &Name) -> Result<(NodeId, Name), mount_api::Error> {
    const COLON: u16 = 0x3a;
    let not_found = match named(tree, folder, name) {
        Err(error) if error.kind() == ErrorKind::NotFound => error,
        found => return found,
    };
    let mut parts = name.units().rsplitn(2, |unit| *unit == COLON);
    let (Some(stream), Some(file)) = (parts.next(), parts.next()) else { return Err(not_found) };
    if stream.is_empty() {
        return Err(not_found);
    }
    let stream = Name::from_units(stream);
    let own =
        if file.is_empty() { Ok((folder, Name::default())) } else { named(tree, folder, &Name::from_units(file)) };
    let (file, spelled) = match own {
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(not_found),
        own => own?,
    };
    let node = match tree.stream(file, &stream, Case::Sensitive) {
        Err(error) if error.kind() == ErrorKind::NotFound => tree.stream(file, &stream, Case::Insensitive)?,
        found => found?,
    };
    let mut told = stream;
    let _ = tree.streams(file, &mut |entry| {
        if entry.node == node {
            told = entry.name;
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    Ok((node, Name::from_units([spelled.units(), &[COLON], told.units()].concat())))
}

/// What stands under the very name, or else under one that differs from it in case; and how that is spelled.
fn named(tree: &dyn Tree, folder: NodeId, name: &Name) -> Result<(NodeId, Name), mount_api::Error> {
    match tree.lookup(folder, name, Case::Sensitive) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let node = tree.lookup(folder, name, Case::Insensitive)?;
            Ok((node, spelling(tree, folder, node, name)))
        }
        found => found.map(|node| (node, name.clone())),
    }
}

/// How a folder spells the name of this node that was typed in another case.
fn spelling(tree: &dyn Tree, folder: NodeId, node: NodeId, typed: &Name) -> Name {
    let lower = |name: &Name| name.to_string_lossy().to_lowercase();
    let wanted = lower(typed);
    let mut spelled = None;
    // What cannot be listed is spelled as it was typed.
    let _ = tree.read_dir(folder, From::Start, &mut |entry| {
        if entry.node != node || spelled.is_some() && lower(&entry.name) != wanted {
            return ControlFlow::Continue(());
        }
        // Of several names of one file, the one that was meant.
        let is_it = lower(&entry.name) == wanted;
        spelled = Some(entry.name);
        if is_it { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    spelled.unwrap_or_else(|| typed.clone())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn names_of_any_units_are_text() {
        let long = [u16::from(b'a'); 300];
        let path: TreePath = [&b"plain".map(u16::from)[..], &[0xfc, 0xd83e, 0xdd80], &[0xd800], &long]
            .map(Name::from_units)
            .into_iter()
            .collect();
        assert_eq!(path.text(), format!("plain/ü🦀/\u{fffd}/{}", "a".repeat(300)));
    }

    #[test]
    fn a_name_may_be_typed_as_it_is_told_or_as_it_stands_at_the_mount_point() {
        for (typed, spelled, literal) in [
            ("plain", "plain", None),
            ("100 %", "100 %", None),
            ("%2F1", "/1", Some("%2F1")),
            ("%252F1", "%2F1", Some("%252F1")),
            ("100%2525", "100%25", Some("100%2525")),
        ] {
            let names = names(OsStr::new(typed));
            let [name] = names.as_slice() else { panic!("{typed}: one name") };
            assert_eq!((&name.spelled, &name.literal), (&spelled.into(), &literal.map(Name::from)), "{typed}");
        }
    }
}
