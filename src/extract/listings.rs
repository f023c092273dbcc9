//! The lists of other tools, made of a manifest: hashdeep's, mactime's bodyfile, CSV.

use std::io::{self, BufRead, Seek, Write};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::rows::Rows;

/// A list that another tool reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Size, MD5 and SHA-256 of every file that was written, for `hashdeep -a`: MD5 where it was computed.
    Hashdeep,
    /// The bodyfile of The Sleuth Kit 3 and later, for `mactime`.
    Bodyfile,
    /// Comma-separated values with a line of heads (RFC 4180).
    Csv,
}

const COLUMNS: [&str; 16] = [
    "path",
    "stream",
    "kind",
    "verdict",
    "size",
    "sha256",
    "md5",
    "sha1",
    "blake3",
    "record",
    "sequence",
    "attributes",
    "lost_bytes",
    "doubtful_bytes",
    "written",
    "error",
];
const TIMES: [&str; 4] = ["created", "modified", "changed", "accessed"];

/// Writes a list of what a manifest holds, which is read as the list is written.
///
/// # Errors
/// When `out` takes nothing, or the manifest cannot be read.
pub fn write<M: BufRead + Seek>(listing: Listing, manifest: &mut M, out: &mut dyn Write) -> io::Result<()> {
    match listing {
        Listing::Hashdeep => hashdeep(manifest, out),
        Listing::Bodyfile => bodyfile(manifest, out),
        Listing::Csv => csv(manifest, out),
    }
}

/// The hashes that hashdeep's format has, in its order.
fn hashdeep<M: BufRead + Seek>(manifest: &mut M, out: &mut dyn Write) -> io::Result<()> {
    let mut hashes = ["md5", "sha1", "sha256"].map(|hash| (hash, false));
    let mut rows = Rows::new(&mut *manifest);
    while let Some(row) = rows.next()? {
        hashes.iter_mut().for_each(|(hash, has)| *has |= row.contains_key(*hash));
    }
    let hashes: Vec<&str> = hashes.into_iter().filter_map(|(hash, has)| has.then_some(hash)).collect();
    manifest.rewind()?;
    writeln!(out, "%%%% HASHDEEP-1.0")?;
    writeln!(out, "%%%% size,{},filename", hashes.join(","))?;
    let mut rows = Rows::new(manifest);
    while let Some(row) = rows.next()? {
        let (Some(place), true) = (place(&row), hashes.iter().any(|hash| row.contains_key(*hash))) else {
            continue;
        };
        write!(out, "{}", number(&row, "size"))?;
        for hash in &hashes {
            write!(out, ",{}", text(&row, hash).unwrap_or_default())?;
        }
        out.write_all(b",")?;
        out.write_all(&place)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// `MD5|name|inode|mode|UID|GID|size|atime|mtime|ctime|crtime`, times in seconds since 1970.
fn bodyfile(manifest: &mut impl BufRead, out: &mut dyn Write) -> io::Result<()> {
    let mut rows = Rows::new(manifest);
    while let Some(row) = rows.next()? {
        let Some(path) = text(&row, "path") else { continue };
        let stream = text(&row, "stream").map(|stream| format!(":{stream}")).unwrap_or_default();
        // A bar or a line feed would end the field.
        let name = format!("{path}{stream}").replace(['|', '\n', '\r'], "_");
        let kind = match text(&row, "kind") {
            Some("folder") => "d/drwxrwxrwx",
            Some("link") => "l/lrwxrwxrwx",
            _ => "r/rrwxrwxrwx",
        };
        let md5 = text(&row, "md5").unwrap_or("0");
        let (record, size) = (number(&row, "record"), number(&row, "size"));
        let time = |which| seconds(&row, "times", which);
        let (a, m, c, b) = (time("accessed"), time("modified"), time("changed"), time("created"));
        writeln!(out, "{md5}|{name}|{record}|{kind}|0|0|{size}|{a}|{m}|{c}|{b}")?;
        if row.get("name_times").is_some_and(Value::is_object) && stream.is_empty() {
            let time = |which| seconds(&row, "name_times", which);
            let (a, m, c, b) = (time("accessed"), time("modified"), time("changed"), time("created"));
            writeln!(out, "{md5}|{name} ($FILE_NAME)|{record}|{kind}|0|0|{size}|{a}|{m}|{c}|{b}")?;
        }
    }
    Ok(())
}

fn csv(manifest: &mut impl BufRead, out: &mut dyn Write) -> io::Result<()> {
    let times = TIMES.map(ToOwned::to_owned).into_iter().chain(TIMES.map(|time| format!("name_{time}")));
    let heads: Vec<String> = COLUMNS.map(ToOwned::to_owned).into_iter().chain(times).collect();
    write!(out, "{}\r\n", heads.join(","))?;
    let mut rows = Rows::new(manifest);
    while let Some(row) = rows.next()? {
        let own = COLUMNS.iter().map(|column| match *column {
            "written" => quoted(place(&row).unwrap_or_default()),
            column => field(row.get(column)),
        });
        let times = ["times", "name_times"].into_iter().flat_map(|set| {
            let row = &row;
            TIMES.iter().map(move |time| field(row.get(set).and_then(|times| times.get(*time))))
        });
        let fields: Vec<Vec<u8>> = own.chain(times).collect();
        out.write_all(&fields.join(&b','))?;
        out.write_all(b"\r\n")?;
    }
    Ok(())
}

fn field(value: Option<&Value>) -> Vec<u8> {
    match value {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::String(text)) => quoted(text.clone().into_bytes()),
        Some(other) => quoted(other.to_string().into_bytes()),
    }
}

fn quoted(mut text: Vec<u8>) -> Vec<u8> {
    // A spreadsheet would run a field that begins like a formula.
    if text.first().is_some_and(|first| b"=+-@\t".contains(first)) {
        text.insert(0, b'\'');
    }
    if !text.iter().any(|byte| b"\",\n\r".contains(byte)) {
        return text;
    }
    let doubled = text.split(|byte| *byte == b'"').collect::<Vec<_>>().join(&b"\"\""[..]);
    [b"\"", doubled.as_slice(), b"\""].concat()
}

/// Where it was written, in the bytes of its name there: text may not hold them.
fn place(row: &Map<String, Value>) -> Option<Vec<u8>> {
    let byte = |value: &Value| value.as_u64().and_then(|value| u8::try_from(value).ok());
    let exact = row.get("written_bytes").and_then(Value::as_array);
    let exact = exact.and_then(|bytes| bytes.iter().map(byte).collect::<Option<Vec<u8>>>());
    exact.or_else(|| text(row, "written").map(|text| text.as_bytes().to_vec()))
}

fn text<'a>(row: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    row.get(field).and_then(Value::as_str)
}

fn number(row: &Map<String, Value>, field: &str) -> u64 {
    row.get(field).and_then(Value::as_u64).unwrap_or(0)
}

fn seconds(row: &Map<String, Value>, set: &str, time: &str) -> i64 {
    let text = row.get(set).and_then(|times| times.get(time)).and_then(Value::as_str);
    text.and_then(|text| text.parse::<Timestamp>().ok()).map_or(0, Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &[u8] = br#"{"path":"v/a|b","kind":"file","size":3,"record":64,"md5":"900150983cd24fb0d6963f7d28e17f72","verdict":"whole","written":"v/a|b","times":{"created":"1970-01-01T00:00:01Z","modified":"1970-01-01T00:00:02Z","changed":"1970-01-01T00:00:03Z","accessed":null},"name_times":null}
{"path":"v/=x, \"y\"","kind":"folder","verdict":"whole","written":"v/=x"}
"#;

    fn made(listing: Listing) -> String {
        let mut out = Vec::new();
        write(listing, &mut io::Cursor::new(MANIFEST), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_list_has_the_form_of_its_tool() {
        assert_eq!(
            made(Listing::Hashdeep),
            "%%%% HASHDEEP-1.0\n%%%% size,md5,filename\n3,900150983cd24fb0d6963f7d28e17f72,v/a|b\n"
        );
        assert_eq!(
            made(Listing::Bodyfile),
            "900150983cd24fb0d6963f7d28e17f72|v/a_b|64|r/rrwxrwxrwx|0|0|3|0|2|3|1\n0|v/=x, \"y\"|0|d/drwxrwxrwx|0|0|0|0|0|0|0\n"
        );
        let csv = made(Listing::Csv);
        assert!(csv.starts_with("path,stream,kind,verdict,size,sha256,"), "{csv}");
        assert!(csv.contains("\r\n\"v/=x, \"\"y\"\"\",,folder,whole,"), "{csv}");
    }

    #[test]
    fn a_file_is_called_what_it_is_called_at_the_destination() {
        // Half of a surrogate pair, as Linux has it.
        let manifest = br#"{"path":"v/?","kind":"file","size":3,"md5":"x","verdict":"whole","written":"v/?","written_bytes":[118,47,237,160,128]}
"#;
        for (listing, line) in [(Listing::Hashdeep, &b"3,x,v/\xED\xA0\x80\n"[..]), (Listing::Csv, b",v/\xED\xA0\x80,")]
        {
            let mut out = Vec::new();
            write(listing, &mut io::Cursor::new(manifest), &mut out).unwrap();
            assert!(out.windows(line.len()).any(|window| window == line), "{listing:?}: {out:?}");
        }
    }
}
