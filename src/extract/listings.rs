//! The lists of other tools, made of a manifest: hashdeep's, mactime's bodyfile, CSV.

use std::io::{self, BufRead, Seek, Write};

use mount_api::{Name, Time};
use serde_json::{Map, Value};

use super::rows::Rows;
use super::utc;

/// A list that another tool reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Size, MD5 and SHA-256 of every file that was written, for `hashdeep -a`: MD5 where it was computed.
    Hashdeep,
    /// The bodyfile of The Sleuth Kit 3 and later, for `mactime`.
    Bodyfile,
    /// Comma-separated values in UTF-8 with a line of heads (RFC 4180).
    Csv,
}

/// The columns before the times.
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
/// The columns behind them. Lists of numbers are JSON, as in the manifest.
const MORE: [&str; 13] = [
    "allocated",
    "links",
    "owner",
    "usn",
    "metadata_doubtful",
    "lost",
    "doubtful",
    "target",
    "reparse_tag",
    "beside",
    "recovered",
    "names_utf16",
    "written_bytes",
];

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
        if place.iter().any(|byte| b"\n\r".contains(byte)) {
            // hashdeep has no way to write it, and the rest of it would be a row of its own.
            let told = String::from_utf8_lossy(&place).escape_debug().to_string();
            log::warn!("{told}: not in hashdeep's list, which cannot hold its name");
            continue;
        }
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
        let Some(mut name) = exact_path(&row) else { continue };
        // A bar or a line feed would end the field.
        name.iter_mut().filter(|byte| b"|\n\r".contains(byte)).for_each(|byte| *byte = b'_');
        let kind = match text(&row, "kind") {
            Some("folder") => "d/drwxrwxrwx",
            Some("link") => "l/lrwxrwxrwx",
            _ => "r/rrwxrwxrwx",
        };
        let md5 = text(&row, "md5").unwrap_or("0");
        let (record, size) = (number(&row, "record"), number(&row, "size"));
        let time = |which| seconds(&row, "times", which);
        let (a, m, c, b) = (time("accessed"), time("modified"), time("changed"), time("created"));
        write!(out, "{md5}|")?;
        out.write_all(&name)?;
        writeln!(out, "|{record}|{kind}|0|0|{size}|{a}|{m}|{c}|{b}")?;
        if row.get("name_times").is_some_and(Value::is_object) && !row.contains_key("stream") {
            let time = |which| seconds(&row, "name_times", which);
            let (a, m, c, b) = (time("accessed"), time("modified"), time("changed"), time("created"));
            write!(out, "{md5}|")?;
            out.write_all(&name)?;
            writeln!(out, " ($FILE_NAME)|{record}|{kind}|0|0|{size}|{a}|{m}|{c}|{b}")?;
        }
    }
    Ok(())
}

fn csv(manifest: &mut impl BufRead, out: &mut dyn Write) -> io::Result<()> {
    let times = TIMES.map(ToOwned::to_owned).into_iter().chain(TIMES.map(|time| format!("name_{time}")));
    let heads = COLUMNS.map(ToOwned::to_owned).into_iter().chain(times).chain(MORE.map(ToOwned::to_owned));
    write!(out, "{}\r\n", heads.collect::<Vec<_>>().join(","))?;
    let mut rows = Rows::new(manifest);
    while let Some(row) = rows.next()? {
        let of = |column: &&str| match *column {
            "lost" | "doubtful" => quoted(ranges(row.get(*column))),
            column => field(row.get(column)),
        };
        let times = ["times", "name_times"].into_iter().flat_map(|set| {
            let row = &row;
            TIMES.iter().map(move |time| {
                let times = row.get(set);
                match times.and_then(|times| filetime(times, time)) {
                    Some(number) => format!("FILETIME {number}"),
                    None => field(times.and_then(|times| times.get(*time))),
                }
            })
        });
        let fields: Vec<String> = COLUMNS.iter().map(of).chain(times).chain(MORE.iter().map(of)).collect();
        write!(out, "{}\r\n", fields.join(","))?;
    }
    Ok(())
}

/// Ranges as `OFFSET+LENGTH CODE`, with the link where one is named, and `; ` between them.
fn ranges(value: Option<&Value>) -> String {
    let range = |range: &Value| {
        let number = |field: &str| range.get(field).and_then(Value::as_u64);
        let (offset, length) = (number("offset").unwrap_or(0), number("length").unwrap_or(0));
        let code = range.get("code").and_then(Value::as_str).unwrap_or_default();
        let link = number("link").map(|link| format!(" link {link}")).unwrap_or_default();
        format!("{offset}+{length} {code}{link}")
    };
    let all = value.and_then(Value::as_array).map(|all| all.iter().map(range).collect::<Vec<_>>());
    all.unwrap_or_default().join("; ")
}

fn field(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => quoted(text.clone()),
        Some(other) => quoted(other.to_string()),
    }
}

fn quoted(mut text: String) -> String {
    // A spreadsheet would run a field that begins like a formula.
    if text.starts_with(['=', '+', '-', '@', '\t']) {
        text.insert(0, '\'');
    }
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

/// Where it was written, in the bytes of its name there: text may not hold them.
fn place(row: &Map<String, Value>) -> Option<Vec<u8>> {
    let byte = |value: &Value| value.as_u64().and_then(|value| u8::try_from(value).ok());
    let exact = row.get("written_bytes").and_then(Value::as_array);
    let exact = exact.and_then(|bytes| bytes.iter().map(byte).collect::<Option<Vec<u8>>>());
    exact.or_else(|| text(row, "written").map(|text| text.as_bytes().to_vec()))
}

/// The path with the stream's name behind a colon, in the bytes that its names have at the destination: text may not hold them.
fn exact_path(row: &Map<String, Value>) -> Option<Vec<u8>> {
    let path = text(row, "path")?;
    let stream = text(row, "stream");
    let unit = |value: &Value| value.as_u64().and_then(|value| u16::try_from(value).ok());
    let name = |value: &Value| value.as_array()?.iter().map(unit).collect::<Option<Vec<u16>>>();
    let exact = row.get("names_utf16").and_then(Value::as_array);
    let Some(names) = exact.and_then(|names| names.iter().map(name).collect::<Option<Vec<_>>>()) else {
        return Some(stream.map_or_else(|| path.to_owned(), |stream| format!("{path}:{stream}")).into_bytes());
    };
    let mut names = names.iter().map(|name| Name::from_units(&name[..]).to_wtf8()).collect::<Vec<_>>();
    let of_stream = stream.and_then(|_| names.pop());
    let mut bytes = names.join(&b'/');
    bytes.extend(of_stream.into_iter().flat_map(|name| [b":".to_vec(), name].concat()));
    Some(bytes)
}

fn text<'a>(row: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    row.get(field).and_then(Value::as_str)
}

fn number(row: &Map<String, Value>, field: &str) -> u64 {
    row.get(field).and_then(Value::as_u64).unwrap_or(0)
}

fn seconds(row: &Map<String, Value>, set: &str, time: &str) -> i64 {
    let Some(times) = row.get(set) else { return 0 };
    let told = times.get(time).and_then(Value::as_str).and_then(utc::parse);
    told.or_else(|| filetime(times, time).map(Time)).map_or(0, |time| time.to_unix().0)
}

/// A time that is no RFC 3339, as it is recorded.
fn filetime(times: &Value, time: &str) -> Option<u64> {
    times.get(format!("{time}_filetime")).and_then(Value::as_u64)
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

    /// Half of a surrogate pair, as Linux has it.
    const LONE: &[u8] = br#"{"path":"v/?","stream":"s","names_utf16":[[118],[97,55296,124],[115]],"size":3,"md5":"x","verdict":"whole","written":"v/?","written_bytes":[118,47,237,160,128]}
"#;

    #[test]
    fn no_name_makes_a_row_of_its_own() {
        let manifest = b"{\"path\":\"v\",\"size\":1,\"md5\":\"x\",\"verdict\":\"whole\",\"written\":\"v/a\\n2,y,b\"}\n";
        let mut out = Vec::new();
        write(Listing::Hashdeep, &mut io::Cursor::new(manifest), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "%%%% HASHDEEP-1.0\n%%%% size,md5,filename\n");
    }

    #[test]
    fn times_that_are_no_rfc_3339_are_numbers() {
        let manifest = br#"{"path":"v","kind":"file","verdict":"whole","times":{"created":"9999-12-31T23:59:59.9999999Z","modified":null,"modified_filetime":9223372036854775807,"changed":null,"accessed":null},"name_times":null}
"#;
        let made = |listing| {
            let mut out = Vec::new();
            write(listing, &mut io::Cursor::new(manifest), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(made(Listing::Bodyfile), "0|v|0|r/rrwxrwxrwx|0|0|0|0|910692730085|0|253402300799\n");
        let csv = made(Listing::Csv);
        assert!(csv.contains(",9999-12-31T23:59:59.9999999Z,FILETIME 9223372036854775807,,,"), "{csv}");
    }

    #[test]
    fn a_file_is_called_what_it_is_called_at_the_destination() {
        for (listing, line) in
            [(Listing::Hashdeep, &b"3,x,v/\xED\xA0\x80\n"[..]), (Listing::Bodyfile, b"x|v/a\xED\xA0\x80_:s|0|")]
        {
            let mut out = Vec::new();
            write(listing, &mut io::Cursor::new(LONE), &mut out).unwrap();
            assert!(out.windows(line.len()).any(|window| window == line), "{listing:?}: {out:?}");
        }
    }

    #[test]
    fn csv_is_text_and_tells_exactly_what_text_cannot() {
        let mut out = Vec::new();
        write(Listing::Csv, &mut io::Cursor::new(LONE), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(",\"[[118],[97,55296,124],[115]]\",\"[118,47,237,160,128]\"\r\n"), "{text}");
    }

    #[test]
    fn csv_has_all_that_the_manifest_has() {
        let row = br#"{"path":"a","allocated":4096,"links":2,"owner":"S-1-5-18","usn":7,"metadata_doubtful":"log-torn","lost":[{"offset":0,"length":512,"code":"bat-bad","link":1},{"offset":1024,"length":512,"code":"x","link":null}],"doubtful":[],"target":"..","reparse_tag":9,"beside":"=why"}
"#;
        let mut out = Vec::new();
        write(Listing::Csv, &mut io::Cursor::new(row), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let (heads, row) = text.trim_end().split_once("\r\n").unwrap();
        assert_eq!(heads.split(',').count(), row.split(',').count());
        let end = "4096,2,S-1-5-18,7,log-torn,0+512 bat-bad link 1; 1024+512 x,,..,9,'=why,,,";
        assert!(row.ends_with(end), "{row}");
    }
}
