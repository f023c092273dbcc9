//! What WinFsp calls a file: `\folder\file:stream`, and the node of the tree that it means.

use mount_api::{Case, Error, ErrorKind, Name, NodeId, Tree};

use crate::name;
use crate::status::Refusal;

pub(crate) const BACKSLASH: u16 = 0x5C;
const COLON: u16 = 0x3A;

/// What was opened: WinFsp keeps one for each handle and gives it back with each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opened {
    /// The file, folder or stream.
    pub(crate) node: NodeId,
    /// The file or folder that a stream belongs to; `node` itself where that is no stream.
    pub(crate) file: NodeId,
}

impl Opened {
    pub(crate) fn is_stream(self) -> bool {
        self.node != self.file
    }
}

/// Finds what `file_name` means.
pub(crate) fn resolve(tree: &dyn Tree, file_name: &[u16], case: Case) -> Result<Opened, Refusal> {
    let (path, stream) = split(file_name)?;
    let mut node = NodeId::ROOT;
    let mut components = path.split(|unit| *unit == BACKSLASH).filter(|component| !component.is_empty()).peekable();
    while let Some(component) = components.next() {
        let found = spelled(component).and_then(|name| tree.lookup(node, &name, case));
        node = match (found, components.peek()) {
            (Ok(found), _) => found,
            (Err(error), None) => return Err(Refusal::Tree(error)),
            (Err(error), Some(_)) => return Err(Refusal::OnTheWay(error)),
        };
    }
    match stream {
        Some(stream) => Ok(Opened { node: tree.stream(node, &stream, case)?, file: node }),
        None => Ok(Opened { node, file: node }),
    }
}

/// The path and the stream behind the first colon: names hold no colon as they are spelled here.
fn split(file_name: &[u16]) -> Result<(&[u16], Option<Name>), Refusal> {
    let mut parts = file_name.split(|unit| *unit == COLON);
    let path = parts.next().unwrap_or_default();
    let Some(stream) = parts.next() else { return Ok((path, None)) };
    let stream_type = parts.next().map(|kind| String::from_utf16_lossy(kind).to_ascii_uppercase());
    if !matches!(stream_type.as_deref(), None | Some("$DATA")) || parts.next().is_some() {
        return Err(Error::new(ErrorKind::InvalidName, "only streams of type $DATA can be opened").into());
    }
    // `file::$DATA` is the file's own content.
    Ok((path, (!stream.is_empty()).then(|| spelled(stream)).transpose()?))
}

fn spelled(units: &[u16]) -> Result<Name, Error> {
    name::spelled_so(units).ok_or_else(|| Error::new(ErrorKind::NotFound, "no name is spelled so"))
}

/// The path by which a node was opened with the case that its names really have, where the tree can tell and they differ
/// in nothing else: a file with several names keeps the one that was asked for.
pub(crate) fn true_case(tree: &dyn Tree, opened: Opened, file_name: &[u16]) -> Option<Vec<u16>> {
    let path = tree.path(opened.node)?;
    let mut units = Vec::with_capacity(file_name.len());
    for name in &path.names {
        units.push(BACKSLASH);
        units.extend(name::to_units(name));
    }
    if units.is_empty() {
        units.push(BACKSLASH);
    }
    if let Some(stream) = &path.stream {
        units.push(COLON);
        units.extend(name::to_units(stream));
    }
    equal_but_for_case(&units, file_name).then_some(units)
}

/// Whether two names differ in case at most. Letters outside the basic plane count as different where they are.
pub(crate) fn equal_but_for_case(a: &[u16], b: &[u16]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_letter(*a, *b))
}

/// Whether two units are one letter, in whatever case.
pub(crate) fn same_letter(a: u16, b: u16) -> bool {
    let upper = |unit: u16| {
        let mut upper = char::from_u32(u32::from(unit))?.to_uppercase();
        upper.next().filter(|_| upper.next().is_none())
    };
    a == b || upper(a).is_some() && upper(a) == upper(b)
}
