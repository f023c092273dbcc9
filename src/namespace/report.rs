//! The report: one JSON object, the same from `info --json` and in `report.json` (docs/REPORT.md).

use mount_api::LostReads;
use serde_json::{Value, json};

use super::inventory::{Inventory, Volume};
use crate::chain::{Link, LinkProof};

/// The version of the object. It changes when a reader of the old one could be misled.
pub(super) const SCHEMA: u32 = 1;

/// The report of an opened disk, as far as opening it has told: `complete` is `false`, for only `check` reads everything.
#[must_use]
pub fn report(inventory: &Inventory) -> Value {
    let chain = &inventory.chain;
    let geometry = chain.disk().geometry();
    json!({
        "schema": SCHEMA,
        "program": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
        "complete": false,
        "disk": {
            "size": geometry.virtual_size,
            "logical_sector_size": geometry.logical_sector_size,
            "physical_sector_size": geometry.physical_sector_size,
            "partition_scheme": inventory.scheme,
        },
        "links": (0u32..).zip(chain.links()).map(|(number, link)| link_object(number, link)).collect::<Vec<_>>(),
        "volumes": inventory.volumes.iter().map(volume_object).collect::<Vec<_>>(),
        "findings": inventory.all_findings().collect::<Vec<_>>(),
        "lost_reads": match inventory.lost_reads() {
            LostReads::Fail => "errors",
            LostReads::Zeros => "zeros",
        },
        "lost": [],
        "doubtful": [],
    })
}

pub(super) fn link_object(number: u32, link: &Link) -> Value {
    let (identity, geometry) = (link.layer.identity(), link.layer.geometry());
    let guid = |guid: Option<crate::bytes::Guid>| guid.map(|guid| guid.to_string());
    json!({
        "link": number,
        "path": link.path.display().to_string(),
        "file_size": link.file_size,
        "format": identity.format,
        "kind": identity.kind.as_str(),
        "virtual_size": geometry.virtual_size,
        "block_size": geometry.block_size,
        "logical_sector_size": geometry.logical_sector_size,
        "creator": identity.creator,
        "data_write_guid": guid(identity.data_write_guid),
        "file_write_guid": guid(identity.file_write_guid),
        "disk_id": guid(identity.disk_id),
        "log": link.log,
        "found_by": link.found.describe(),
        "proof": link.proof.map(LinkProof::as_str),
        "parent": identity.parent.as_ref().map(|parent| json!({
            "linkage": guid(parent.linkage),
            "linkage2": guid(parent.linkage2),
            "places": parent.places.iter().map(|place| &place.path).collect::<Vec<_>>(),
        })),
    })
}

fn volume_object(volume: &Volume) -> Value {
    let partition = &volume.partition;
    let info = volume.tree.as_ref().map(|tree| tree.info());
    json!({
        "volume": partition.number,
        "offset": partition.disk.start,
        "length": partition.disk.end.saturating_sub(partition.disk.start),
        "partition_type": partition.kind.describe(),
        "partition_name": partition.name,
        "file_system": volume.file_system,
        "file_system_version":
            info.as_ref().and_then(|info| info.version).map(|(major, minor)| format!("{major}.{minor}")),
        "readable": volume.tree.is_some(),
        "label": info.as_ref().map(|info| info.label.to_string_lossy()),
        "serial": info.as_ref().map(|info| format!("{:016x}", info.serial)),
    })
}
