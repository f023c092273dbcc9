//! A scan as one JSON object (docs/REPORT.md).

use std::path::Path;

use serde::ser::{Serialize, Serializer};
use serde_json::{Value, json};

use super::{Beside, BesideKind, Ending, Kin, Role, Scan, ScannedChain, ScannedImage};
use crate::bytes::Guid;

/// The version of the object. It changes when a reader of the old one could be misled.
pub const SCHEMA: u32 = 1;

/// The object. It is made while it is written, for the chains of ten thousand images may have millions of links.
#[must_use]
pub fn report(scan: &Scan) -> impl Serialize + '_ {
    Report(scan)
}

struct Report<'a>(&'a Scan);

impl Serialize for Report<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;

        let scan = self.0;
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("schema", &SCHEMA)?;
        object.serialize_entry("program", env!("CARGO_PKG_NAME"))?;
        object.serialize_entry("version", env!("CARGO_PKG_VERSION"))?;
        object.serialize_entry("complete", &scan.is_complete())?;
        object.serialize_entry("folders", &scan.folders.iter().map(|path| text(path)).collect::<Vec<_>>())?;
        object.serialize_entry("files", &scan.files)?;
        let images = || scan.images.iter().zip(&scan.kin).enumerate();
        let images = || images().map(|(number, (image, kin))| image_object(number, image, kin));
        object.serialize_entry("images", &Each(images))?;
        object.serialize_entry("chains", &Each(|| scan.leaves().map(|leaf| chain_object(scan, leaf))))?;
        let cycles = scan.cycles();
        object.serialize_entry("cycles", &Each(|| cycles.iter().map(|cycle| json!(cycle))))?;
        let branches = || scan.branches().map(|(parent, children)| json!({ "parent": parent, "children": children }));
        object.serialize_entry("branches", &Each(branches))?;
        let duplicate =
            |(guid, images): (Guid, &[usize])| json!({ "data_write_guid": guid.to_string(), "images": images });
        object.serialize_entry("duplicates", &Each(|| scan.duplicates().map(duplicate)))?;
        object.serialize_entry("beside", &Each(|| scan.beside.iter().map(beside_object)))?;
        let unread = || scan.unread.iter().map(|one| json!({ "path": text(&one.path), "format": one.format }));
        object.serialize_entry("unread", &Each(unread))?;
        let unreadable = || scan.unreadable.iter().map(|one| json!({ "path": text(&one.path), "reason": one.reason }));
        object.serialize_entry("unreadable", &Each(unreadable))?;
        object.end()
    }
}

/// A list whose items are made one by one.
struct Each<F>(F);

impl<F: Fn() -> I, I: Iterator<Item = Value>> Serialize for Each<F> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

fn beside_object(one: &Beside) -> Value {
    let kind = match one.kind {
        BesideKind::SavedState => "saved-state",
        BesideKind::ReplicaLog => "replica-log",
    };
    json!({ "path": text(&one.path), "kind": kind })
}

fn image_object(number: usize, image: &ScannedImage, kin: &Kin) -> Value {
    let identity = &image.identity;
    let guid = |guid: Option<Guid>| guid.map(|guid| guid.to_string());
    let parent = identity.parent.as_ref().map(|record| {
        json!({
            "linkage": guid(record.linkage),
            "linkage2": guid(record.linkage2),
            "places": record.places.iter().map(|place| &place.path).collect::<Vec<_>>(),
            "image": kin.parent.as_ref().map(|parent| parent.image),
            "proof": kin.parent.as_ref().map(|parent| parent.proof.as_str()),
            "found_by": kin.parent.as_ref().map(|parent| parent.standing.found(record).describe()),
            "found_alone": kin.parent.as_ref().map(|parent| parent.standing.is_found_alone()),
        })
    });
    json!({
        "image": number,
        "path": text(&image.path),
        "path_bytes": bytes_if_lossy(&image.path),
        "also": image.also.iter().map(|path| text(path)).collect::<Vec<_>>(),
        "file_size": image.file_size,
        "format": identity.format,
        "kind": identity.kind.as_str(),
        "virtual_size": image.geometry.map(|geometry| geometry.virtual_size),
        "log": image.log,
        "data_write_guid": guid(identity.data_write_guid),
        "disk_id": guid(identity.disk_id),
        "parent": parent,
        "children": kin.children,
        "role": role_name(kin.role),
        "error": image.error,
        "findings": image.findings,
    })
}

fn chain_object(scan: &Scan, leaf: usize) -> Value {
    let chain = scan.chain(leaf);
    let link = |(link, number): (u32, &usize)| {
        let path = scan.images.get(*number).map(|image| text(&image.path));
        json!({ "link": link, "image": number, "path": path })
    };
    json!({
        "youngest": scan.images.get(leaf).map(|image| text(&image.path)),
        "complete": scan.is_whole(&chain),
        "leftover": scan.kin.get(leaf).is_some_and(|kin| kin.role == Role::Leftover),
        "ending": ending_name(chain.ending),
        "links": (0u32..).zip(&chain.links).map(link).collect::<Vec<_>>(),
        "parents_to_name": scan.parents_to_name(&chain).into_iter().map(text).collect::<Vec<_>>(),
        "missing": missing_object(scan, &chain),
        "findings": scan.findings(&chain),
    })
}

fn missing_object(scan: &Scan, chain: &ScannedChain) -> Option<Value> {
    let last = chain.links.last()?;
    let record = scan.missing_parent(*last)?;
    Some(json!({
        "child": last,
        "linkage": record.linkage.map(|guid| guid.to_string()),
        "linkage2": record.linkage2.map(|guid| guid.to_string()),
        "places": record.places.iter().map(|place| &place.path).collect::<Vec<_>>(),
        "namesakes": scan.namesakes(*last),
    }))
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// The bytes of a path, where text does not hold them all.
fn bytes_if_lossy(path: &Path) -> Option<&[u8]> {
    path.to_str().is_none().then_some(path.as_os_str().as_encoded_bytes())
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::Youngest => "youngest",
        Role::Older => "older",
        Role::Copy => "copy",
        Role::Leftover => "leftover",
    }
}

fn ending_name(ending: Ending) -> &'static str {
    match ending {
        Ending::Base => "base",
        Ending::Missing => "missing",
        Ending::Cycle => "cycle",
        Ending::TooDeep => "too-deep",
    }
}
