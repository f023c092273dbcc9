//! The path of a file, from its own record upwards: for messages and reports.

use mount_api::{MAX_DEPTH, Name, NodeId, NodePath};

use super::file_record::FileReference;
use super::record_states::Target;
use super::{Ntfs, RECORD_ROOT};

impl Ntfs {
    /// The names from the root to a node; `None` where a record on the way does not tell.
    pub(super) fn path_of(&self, node: NodeId) -> Option<NodePath> {
        let node = self.node_at(node).ok()?;
        let stream = node.stream_name();
        let mut names = Vec::new();
        let mut record = node.record();
        while record != RECORD_ROOT {
            if names.len() > MAX_DEPTH {
                return None;
            }
            if let Some((name, folder)) = self.shown_in(record) {
                names.push(name);
                match folder {
                    Some(folder) => record = folder,
                    None => break,
                }
                continue;
            }
            if let Some((name, folder)) = self.adopted.folder_of(record) {
                names.push(name);
                record = folder;
                continue;
            }
            let (name, parent) = self.name_and_parent(record)?;
            if self.mft.target(parent) == Target::Stale {
                return None;
            }
            names.push(name);
            record = parent.number()?;
        }
        names.reverse();
        Some(NodePath { names, stream })
    }

    /// The long name of a file, and the folder that it stands in.
    fn name_and_parent(&self, record: u32) -> Option<(Name, FileReference)> {
        let file = self.file(record).ok()?;
        let name = file.long_name()?;
        Some((name.name(), name.parent()))
    }
}
