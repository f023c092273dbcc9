//! An entry of a list as `ls --json` prints it.

use mount_api::{Attr, Details, Kind, LinkPath, Name, Reparse, Times, Trust};
use serde_json::{Map, Value, json};
use vhdx_mount::extract::recovered_object;

use super::paths::TreePath;
use super::units;

/// What is known of an entry.
pub(crate) struct Known {
    pub(crate) attr: Attr,
    pub(crate) details: Details,
    pub(crate) reparse: Option<Reparse>,
    pub(crate) link_path: Option<LinkPath>,
    /// Why its content is refused; a code.
    pub(crate) refused: Option<&'static str>,
}

/// An entry as docs/REPORT.md describes it.
pub(crate) fn of(path: &TreePath, known: &Known) -> Value {
    let Known { attr, details, reparse, link_path, refused } = known;
    let mut fields = named(path, attr.kind);
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
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
    put("owner", json!(details.owner));
    put("usn", json!(details.usn));
    put("doubtful", json!(doubt));
    put("refused", json!(refused));
    if let Some(reparse) = reparse {
        put("reparse", reparse_object(reparse, link_path.as_ref()));
    }
    if let Some(recovered) = &details.recovered {
        put("recovered", recovered_object(recovered));
    }
    Value::Object(fields)
}

/// An entry of which nothing but the name is known.
pub(crate) fn of_lost(path: &TreePath, kind: Kind) -> Value {
    let mut fields = named(path, kind);
    fields.insert("lost".to_owned(), json!(true));
    Value::Object(fields)
}

fn named(path: &TreePath, kind: Kind) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("path".to_owned(), json!(path.text()));
    fields.insert("kind".to_owned(), json!(kind_word(kind)));
    if let Some(units) = path.units_if_lossy() {
        fields.insert("path_utf16".to_owned(), json!(units));
    }
    fields
}

fn reparse_object(reparse: &Reparse, path: Option<&LinkPath>) -> Value {
    let path = path.map(|path| {
        let up = std::iter::repeat_n("..".to_owned(), path.up);
        up.chain(path.names.iter().map(Name::to_string_lossy)).collect::<Vec<_>>().join("/")
    });
    json!({
        "tag": reparse.tag,
        "target": reparse.target.as_ref().map(|target| target.substitute.to_string_lossy()),
        "path": path,
    })
}

fn times(times: &Times) -> [(&'static str, Value); 4] {
    [("created", times.created), ("modified", times.modified), ("changed", times.changed), ("accessed", times.accessed)]
        .map(|(name, time)| (name, json!(units::timestamp(time))))
}

fn times_object(told: &Times) -> Map<String, Value> {
    times(told).into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Directory => "folder",
        Kind::File => "file",
        Kind::Link => "link",
    }
}
