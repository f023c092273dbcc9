//! An entry of a list as `ls --json` prints it.

use mount_api::{Attr, Details, Kind, LinkPath, Name, Reparse, Times, Trust};
use serde_json::{Map, Value, json};
use vhdx_mount::extract::{recovered_object, utc};

use super::paths::TreePath;

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
    fields.extend(times(&attr.times));
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    let doubt = match attr.trust {
        Trust::Proven => None,
        Trust::Doubtful(code) => Some(code),
    };
    put("size", json!(attr.size));
    put("allocated", json!(attr.allocated));
    put("name_times", json!(attr.name_times.as_ref().map(|told| times(told).collect::<Map<_, _>>())));
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

/// Each time, and behind one that is no RFC 3339 the number that is recorded.
fn times(times: &Times) -> impl Iterator<Item = (String, Value)> {
    let Times { created, modified, changed, accessed } = *times;
    let each = [("created", created), ("modified", modified), ("changed", changed), ("accessed", accessed)];
    each.into_iter().flat_map(|(name, time)| {
        let number = utc::filetime(time).map(|number| (format!("{name}_filetime"), json!(number)));
        std::iter::once((name.to_owned(), json!(utc::timestamp(time)))).chain(number)
    })
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Directory => "folder",
        Kind::File => "file",
        Kind::Link => "link",
    }
}
