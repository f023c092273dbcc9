//! Paths as they stand at the mount point.

use mount_api::{Case, ErrorKind, Name, NodeId, Tree};

use super::escape::escape;
use super::outcome::Failure;

/// The node that a path leads to: names are taken as they are, or without regard to case where there is no such name.
pub(crate) fn find(tree: &dyn Tree, path: &str) -> Result<NodeId, Failure> {
    let mut node = NodeId::ROOT;
    let mut walked = String::new();
    for component in path.split('/').filter(|component| !component.is_empty() && *component != ".") {
        if !walked.is_empty() {
            walked.push('/');
        }
        walked.push_str(component);
        let name = Name::from(component);
        let exact = tree.lookup(node, &name, Case::Sensitive);
        let found = match exact {
            Err(error) if error.kind() == ErrorKind::NotFound => tree.lookup(node, &name, Case::Insensitive),
            other => other,
        };
        node = found.map_err(|error| {
            let mut failure = Failure::new(format!("{}: {error}", escape(&walked)));
            if error.kind() == ErrorKind::NotFound {
                failure = failure.advise("see what is there: vhdx-mount ls CHAIN");
            }
            failure
        })?;
    }
    Ok(node)
}
