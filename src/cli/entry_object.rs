//! An entry of a list as `ls --json` prints it.

use mount_api::{Attr, Details, Kind, Recovered, Times, Trust, WhyRecovered};
use serde_json::{Map, Value, json};

use super::paths::TreePath;
use super::units;

/// An entry as docs/REPORT.md describes it.
pub(crate) fn of(path: &TreePath, kind: Kind, attr: Option<&Attr>, details: Option<&Details>) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("path", json!(path.text()));
    put("kind", json!(kind_word(kind)));
    if let Some(units) = path.units_if_lossy() {
        put("path_utf16", json!(units));
    }
    let Some(attr) = attr else {
        put("lost", json!(true));
        return Value::Object(fields);
    };
    let doubt = match attr.trust {
        Trust::Proven => None,
        Trust::Doubtful(code) => Some(code),
    };
    put("size", json!(attr.size));
    put("allocated", json!(attr.allocated));
    for (name, value) in times(&attr.times) {
        put(name, value);
    }
    put("name_times", json!(attr.name_times.as_ref().map(|told| Value::Object(times_object(told)))));
    put("attributes", json!(attr.attributes));
    put("links", json!(attr.links));
    put("record", json!(attr.record));
    put("sequence", json!(attr.sequence));
    put("owner", json!(details.and_then(|details| details.owner.as_ref())));
    put("usn", json!(details.and_then(|details| details.usn)));
    put("doubtful", json!(doubt));
    if let Some(recovered) = details.and_then(|details| details.recovered.as_ref()) {
        put("recovered", recovered_object(recovered));
    }
    Value::Object(fields)
}

fn times(times: &Times) -> [(&'static str, Value); 4] {
    [("created", times.created), ("modified", times.modified), ("changed", times.changed), ("accessed", times.accessed)]
        .map(|(name, time)| (name, json!(units::timestamp(time))))
}

fn times_object(told: &Times) -> Map<String, Value> {
    times(told).into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn recovered_object(recovered: &Recovered) -> Value {
    let original = recovered.original.as_ref().map(ToString::to_string);
    let (why, bytes) = match recovered.why {
        WhyRecovered::Orphan => ("orphan", None),
        WhyRecovered::Deleted { unallocated, reused } => ("deleted", Some((unallocated, reused))),
    };
    json!({
        "why": why,
        "original_path": original,
        "original_path_whole": recovered.original_whole,
        "unallocated": bytes.map(|(unallocated, _)| unallocated),
        "reused": bytes.map(|(_, reused)| reused),
    })
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Directory => "folder",
        Kind::File => "file",
        Kind::Link => "link",
    }
}
