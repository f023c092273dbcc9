//! One row of the manifest: what became of one name or stream.

use mount_api::{Attr, Details, Fault, FaultKind, Faults, Kind, Name, Recovered, Time, Times, Trust, WhyRecovered};
use serde_json::{Value, json};

use super::spot::Spot;
use super::utc::{filetime, timestamp};

/// Ranges that a row lists of each kind. Where there are more, their bytes are still counted.
const MAX_RANGES: usize = 10_000;

/// Fields and bytes that most rows have room in.
const USUAL_FIELDS: usize = 20;
const USUAL_LENGTH: usize = 1 << 10;

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Every byte is there, as it is on the disk, and nothing is doubtful.
    Whole,
    /// It was left out, and the row says why.
    Skipped,
    /// Its content is of a kind that is not read: encrypted, deduplicated.
    Refused,
    /// Every byte is there; nothing proves some of them, or the metadata that led to them.
    Doubtful,
    /// Some bytes are lost; zeros stand for them.
    Partial,
    /// Nothing was written: its metadata is lost, or the destination did not take it.
    Failed,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Verdict; 6] =
        [Verdict::Whole, Verdict::Skipped, Verdict::Refused, Verdict::Doubtful, Verdict::Partial, Verdict::Failed];

    /// Its name in the manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Whole => "whole",
            Verdict::Skipped => "skipped",
            Verdict::Refused => "refused",
            Verdict::Doubtful => "doubtful",
            Verdict::Partial => "partial",
            Verdict::Failed => "failed",
        }
    }

    /// Whether it is as it should be.
    #[must_use]
    pub fn is_well(self) -> bool {
        matches!(self, Verdict::Whole | Verdict::Skipped)
    }
}

/// Lost and doubtful bytes of one content.
#[derive(Debug, Default)]
pub(super) struct Damage {
    pub(super) lost: Vec<Fault>,
    pub(super) doubtful: Vec<Fault>,
    pub(super) lost_bytes: u64,
    pub(super) doubtful_bytes: u64,
}

impl Damage {
    /// Adds what one read found. Reads come in order; what several faults of one kind name counts once.
    pub(super) fn add_all(&mut self, faults: &Faults) {
        for kind in [FaultKind::Lost, FaultKind::Doubtful] {
            let mut of_kind: Vec<Fault> = faults.iter().filter(|fault| fault.kind == kind).cloned().collect();
            of_kind.sort_by_key(|fault| fault.range.start);
            let mut told = 0;
            for mut fault in of_kind {
                fault.range.start = fault.range.start.max(told);
                told = told.max(fault.range.end);
                if !fault.range.is_empty() {
                    self.add(&fault);
                }
            }
        }
    }

    /// Adds a range behind all of its kind.
    pub(super) fn add(&mut self, fault: &Fault) {
        let bytes = fault.range.end.saturating_sub(fault.range.start);
        let (list, count) = match fault.kind {
            FaultKind::Lost => (&mut self.lost, &mut self.lost_bytes),
            FaultKind::Doubtful => (&mut self.doubtful, &mut self.doubtful_bytes),
        };
        *count = count.saturating_add(bytes);
        if let Some(last) = list.last_mut()
            && last.range.end == fault.range.start
            && (last.code, last.link) == (fault.code, fault.link)
        {
            last.range.end = fault.range.end;
        } else if list.len() < MAX_RANGES {
            list.push(fault.clone());
        }
    }
}

/// One row. There are millions of them: its fields are made into text once, when it is written.
#[derive(Debug)]
pub(super) struct Row {
    fields: Vec<(&'static str, Field)>,
    pub(super) verdict: Verdict,
    pub(super) bytes: u64,
}

/// What a field holds.
#[derive(Debug)]
enum Field {
    Value(Value),
    /// One that needs no escape.
    Word(&'static str),
    Times(Times),
}

impl Field {
    /// Writes it as JSON.
    fn write(&self, line: &mut Vec<u8>, told: &mut ToldTimes) -> serde_json::Result<()> {
        match self {
            Field::Value(value) => serde_json::to_writer(line, value)?,
            Field::Word(word) => quote(line, word),
            Field::Times(times) => write_times(line, times, told),
        }
        Ok(())
    }
}

/// The times of a row that were made into text: many files have fewer than eight, and nothing in a row takes longer.
type ToldTimes = Vec<(Time, Option<String>)>;

fn write_times(line: &mut Vec<u8>, times: &Times, told: &mut ToldTimes) {
    let Times { created, modified, changed, accessed } = *times;
    let mut before = b'{';
    for (name, time) in [("created", created), ("modified", modified), ("changed", changed), ("accessed", accessed)] {
        if told.iter().all(|(known, _)| *known != time) {
            told.push((time, timestamp(time)));
        }
        line.push(before);
        before = b',';
        quote(line, name);
        line.push(b':');
        match told.iter().find(|(known, _)| *known == time).and_then(|(_, text)| text.as_deref()) {
            Some(text) => quote(line, text),
            None => line.extend(b"null"),
        }
        if let Some(number) = filetime(time) {
            line.extend(format!(",\"{name}_filetime\":{number}").as_bytes());
        }
    }
    line.push(b'}');
}

/// Adds a string in which nothing needs an escape.
fn quote(line: &mut Vec<u8>, plain: &str) {
    line.push(b'"');
    line.extend(plain.as_bytes());
    line.push(b'"');
}

impl Row {
    /// The row of a name.
    pub(super) fn new(path: &[Name], stream: Option<&Name>, text: &str, kind: Kind, verdict: Verdict) -> Self {
        let mut row = Row { fields: Vec::with_capacity(USUAL_FIELDS), verdict, bytes: 0 };
        row.set("path", json!(text));
        let names = path.iter().chain(stream);
        let is_text = |name: &Name| char::decode_utf16(name.units().iter().copied()).all(|c| c.is_ok());
        if !names.clone().all(is_text) {
            row.set("names_utf16", names.map(|name| json!(name.units())).collect());
        }
        if let Some(stream) = stream {
            row.set("stream", json!(stream.to_string_lossy()));
        }
        row.put("verdict", Field::Word(verdict.as_str()));
        row.put("kind", Field::Word(word(kind, stream.is_some())));
        row
    }

    pub(super) fn set(&mut self, name: &'static str, value: Value) {
        self.put(name, Field::Value(value));
    }

    fn put(&mut self, name: &'static str, field: Field) {
        match self.fields.iter_mut().find(|(told, _)| *told == name) {
            Some((_, old)) => *old = field,
            None => self.fields.push((name, field)),
        }
    }

    /// What a field holds, but for words and times.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        match self.fields.iter().find(|(told, _)| *told == name)? {
            (_, Field::Value(value)) => Some(value),
            (_, Field::Word(_) | Field::Times(_)) => None,
        }
    }

    /// What its metadata tells.
    pub(super) fn of(mut self, attr: &Attr, is_stream: bool) -> Self {
        self.put("kind", Field::Word(word(attr.kind, is_stream)));
        self.set("size", json!(attr.size));
        self.set("allocated", json!(attr.allocated));
        self.set("record", json!(attr.record));
        self.set("sequence", json!(attr.sequence));
        self.set("links", json!(attr.links));
        self.set("attributes", json!(attr.attributes));
        self.put("times", Field::Times(attr.times));
        self.put("name_times", attr.name_times.map_or(Field::Value(Value::Null), Field::Times));
        if let Trust::Doubtful(code) = attr.trust {
            self.set("metadata_doubtful", json!(code));
        }
        self.bytes = attr.size;
        self
    }

    /// What an examiner asks besides.
    pub(super) fn detail(&mut self, details: &Details) {
        self.set("owner", json!(details.owner));
        self.set("usn", json!(details.usn));
        if let Some(recovered) = &details.recovered {
            let recovered = recovered_object(recovered);
            self.set("recovered", recovered);
        }
    }

    /// Where it was written, below the destination.
    pub(super) fn written(mut self, spot: &Spot) -> Self {
        self.set("written", json!(spot.text()));
        if !spot.is_exact() {
            self.set("written_bytes", json!(spot.bytes()));
        }
        self
    }

    /// Tells something that is wrong besides, if anything is.
    pub(super) fn noting(self, what: Option<&str>) -> Self {
        match what {
            Some(what) => self.error(what),
            None => self,
        }
    }

    /// Judges it otherwise.
    pub(super) fn judge(&mut self, verdict: Verdict) {
        self.verdict = verdict;
        self.put("verdict", Field::Word(verdict.as_str()));
    }

    pub(super) fn error(mut self, error: &(impl ToString + ?Sized)) -> Self {
        let error = error.to_string();
        let told = self.get("error").and_then(Value::as_str);
        let error = told.map_or_else(|| error.clone(), |told| format!("{error}; {told}"));
        self.set("error", json!(error));
        self
    }

    pub(super) fn damaged(mut self, damage: &Damage) -> Self {
        let ranges = |faults: &[Fault]| -> Value {
            faults
                .iter()
                .map(|fault| {
                    let length = fault.range.end.saturating_sub(fault.range.start);
                    json!({ "offset": fault.range.start, "length": length, "code": fault.code, "link": fault.link })
                })
                .collect()
        };
        if damage.lost_bytes > 0 {
            self.set("lost", ranges(&damage.lost));
            self.set("lost_bytes", json!(damage.lost_bytes));
        }
        if damage.doubtful_bytes > 0 {
            self.set("doubtful", ranges(&damage.doubtful));
            self.set("doubtful_bytes", json!(damage.doubtful_bytes));
        }
        self
    }

    /// The row as it stands in the manifest, with its line feed.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(USUAL_LENGTH);
        let mut before = b'{';
        let mut told = ToldTimes::with_capacity(8);
        for (name, field) in &self.fields {
            line.push(before);
            before = b',';
            quote(&mut line, name);
            line.push(b':');
            // Nothing in a row can fail to be told.
            if field.write(&mut line, &mut told).is_err() {
                line.extend(b"null");
            }
        }
        line.extend(b"}\n");
        line
    }
}

fn word(kind: Kind, is_stream: bool) -> &'static str {
    match kind {
        _ if is_stream => "stream",
        Kind::Directory => "folder",
        Kind::File => "file",
        Kind::Link => "link",
    }
}

/// What is known of a file that no folder has, as docs/REPORT.md describes it.
#[must_use]
pub fn recovered_object(recovered: &Recovered) -> Value {
    let (why, bytes) = match recovered.why {
        WhyRecovered::Orphan => ("orphan", None),
        WhyRecovered::Deleted { unallocated, reused } => ("deleted", Some((unallocated, reused))),
    };
    json!({
        "why": why,
        "original_path": recovered.original.as_ref().map(ToString::to_string),
        "original_path_whole": recovered.original_whole,
        "unallocated": bytes.map(|(unallocated, _)| unallocated),
        "reused": bytes.map(|(_, reused)| reused),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_reads_make_one_range() {
        let mut damage = Damage::default();
        let fault = |start, end| Fault { range: start..end, kind: FaultKind::Lost, code: "a", link: None };
        damage.add(&fault(0, 512));
        damage.add(&fault(512, 1024));
        damage.add(&fault(4096, 4097));
        assert_eq!((damage.lost.len(), damage.lost_bytes), (2, 1025));
        let mut faults = Faults::new();
        for range in [100..200, 0..150, 50..60, 300..301] {
            faults.push(Fault { range, kind: FaultKind::Doubtful, code: "b", link: None });
        }
        damage.add_all(&faults);
        assert_eq!((damage.doubtful.len(), damage.doubtful_bytes, damage.lost_bytes), (2, 201, 1025));
    }
}
