//! Whether the file systems of a merged disk hold together: evidence for or against an image that is not proven to be a
//! parent.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use mount_api::{From, Kind, NodeId, Tree};

use super::inventory::MAX_OPENED;
use crate::chain::{Disk, DiskEvidence, DiskJudge};
use crate::fs::{self, FsOptions};
use crate::image::{ReadAt, Slice};
use crate::volume;

/// Judges a disk by its volumes, those that are shown: whether each opens, and whether names lead to file records that hold.
#[derive(Debug, Clone, Copy, Default)]
pub struct VolumeJudge;

/// Names that are followed in a volume. A few thousand tell a torn tree from a whole one, in a second.
const MAX_NAMES: u64 = 2000;

impl DiskJudge for VolumeJudge {
    fn judge(&self, disk: &Arc<Disk>) -> DiskEvidence {
        let mut evidence = DiskEvidence::default();
        let mut words = Vec::new();
        let bytes: Arc<dyn ReadAt> = disk.clone();
        let table = volume::find(&bytes, disk.geometry().logical_sector_size, &mut Vec::new());
        for partition in table.partitions.into_iter().take(MAX_OPENED) {
            let size = partition.disk.end.saturating_sub(partition.disk.start);
            let bytes: Arc<dyn ReadAt> = Arc::new(Slice::new(Arc::clone(&bytes), partition.disk.start, size));
            let opened = fs::open(&bytes, &FsOptions::default());
            let Some(name) = opened.name else { continue };
            let Some(tree) = opened.tree else {
                evidence.looked_at = evidence.looked_at.saturating_add(1);
                words.push(format!("volume {}: {name}", partition.number));
                continue;
            };
            let (looked_at, holding) = follow_names(&*tree);
            evidence.looked_at = evidence.looked_at.saturating_add(looked_at);
            evidence.holding = evidence.holding.saturating_add(holding);
            words.push(format!("volume {}: {name}, {holding} of {looked_at} names and folders", partition.number));
        }
        evidence.text = if words.is_empty() { "no volume was recognised".to_owned() } else { words.join(", ") };
        evidence
    }
}

/// Follows names from the root on, folder by folder: how many there were, and how many led to a record that holds.
fn follow_names(tree: &dyn Tree) -> (u64, u64) {
    let (mut looked_at, mut holding) = (0u64, 0u64);
    let mut folders = VecDeque::from([NodeId::ROOT]);
    while let Some(folder) = folders.pop_front()
        && looked_at < MAX_NAMES
    {
        let mut nodes = Vec::new();
        let listed = tree.read_dir(folder, From::Start, &mut |entry| {
            nodes.push((entry.node, entry.kind));
            match looked_at.saturating_add(u64::try_from(nodes.len()).unwrap_or(u64::MAX)) < MAX_NAMES {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            }
        });
        looked_at = looked_at.saturating_add(1);
        holding = holding.saturating_add(u64::from(listed.is_ok()));
        for (node, kind) in nodes {
            let holds = tree.attr(node).is_ok_and(|attr| attr.kind == kind);
            looked_at = looked_at.saturating_add(1);
            holding = holding.saturating_add(u64::from(holds));
            if holds && kind == Kind::Directory {
                folders.push_back(node);
            }
        }
    }
    (looked_at, holding)
}
