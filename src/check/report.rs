//! What a check came to, as the documented JSON object (docs/REPORT.md).

use mount_api::Name;
use serde_json::{Value, json};

use super::{Checked, DiskRange, Ranges, TouchedFile, TouchedKind, UnreadFile};
use crate::namespace;
use crate::ranges::length;

/// The report of a checked disk: that of an opened one, with what only a check knows.
#[must_use]
pub fn report(checked: &Checked) -> Value {
    let mut report = namespace::report(&checked.inventory);
    let Some(fields) = report.as_object_mut() else { return report };
    let more = [
        ("complete", json!(checked.complete)),
        ("stopped_at", json!(checked.stopped_at)),
        ("range", json!({ "offset": checked.range.start, "length": length(&checked.range) })),
        ("findings", json!(checked.findings())),
        ("lost", ranges(&checked.lost)),
        ("doubtful", ranges(&checked.doubtful)),
        ("hidden", json!({ "lost": ranges(&checked.hidden_lost), "doubtful": ranges(&checked.hidden_doubtful) })),
        ("files", json!(checked.files.list().iter().map(file).collect::<Vec<_>>())),
        ("unread", json!(checked.files.unread_list().iter().map(unread).collect::<Vec<_>>())),
        (
            "totals",
            json!({
                "lost": checked.lost.bytes(),
                "doubtful": checked.doubtful.bytes(),
                "files": checked.files.count(),
                "files_looked_at": checked.files.looked_at(),
                "files_unread": checked.files.unread(),
                "bytes_read": checked.bytes_read,
            }),
        ),
        ("triage", json!(checked.triage())),
    ];
    fields.extend(more.map(|(name, value)| (name.to_owned(), value)));
    report
}

fn ranges(ranges: &Ranges) -> Value {
    json!(ranges.iter().map(range).collect::<Vec<_>>())
}

fn range(range: &DiskRange) -> Value {
    json!({ "link": range.link, "offset": range.disk.start, "length": length(&range.disk), "code": range.code })
}

fn file(file: &TouchedFile) -> Value {
    let object = json!({
        "volume": file.volume,
        "path": file.text(),
        "kind": kind(file.kind),
        "size": file.size,
        "lost": file.lost,
        "doubtful": file.doubtful,
        "metadata_doubtful": file.metadata_doubt,
        "error": file.error,
    });
    with_names(object, &file.path)
}

fn unread(file: &UnreadFile) -> Value {
    let (volume, kind) = (file.volume, kind(file.kind));
    let object = json!({ "volume": volume, "path": file.text(), "kind": kind, "size": file.size, "why": file.why });
    with_names(object, &file.path)
}

fn kind(kind: TouchedKind) -> &'static str {
    match kind {
        TouchedKind::File => "file",
        TouchedKind::Folder => "folder",
        TouchedKind::Stream => "stream",
    }
}

/// With the names' units, where text does not hold them all.
fn with_names(mut object: Value, path: &[Name]) -> Value {
    let exact = path.iter().all(|name| String::from_utf16(name.units()).is_ok());
    if !exact && let Some(fields) = object.as_object_mut() {
        let names: Vec<&[u16]> = path.iter().map(Name::units).collect();
        fields.insert("names_utf16".to_owned(), json!(names));
    }
    object
}
