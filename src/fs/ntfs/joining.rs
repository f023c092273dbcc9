//! The records of a file joined: its base record and its extension records, by the type, name and lowest VCN of what stands in
//! them, as its attribute list says.

use std::collections::{HashMap, HashSet};
use std::iter;

use mount_api::{Error, ErrorKind, Trust};

use super::attribute::{self, RawAttribute};
use super::attribute_list::Entry;
use super::corrupt;
use super::file::{
    Attribute, Fetch, File, LOST_RECORD, Part, Value, file_attribute, is_of_lost_record, list_is_bad, not_held,
};
use super::file_record::{FileRecord, FileReference};
use super::volume::lesser;

/// The work of joining base and extension records by type, name and lowest VCN.
pub(super) struct Joining<'a> {
    base: &'a FileRecord,
    raws: &'a [RawAttribute<'a>],
    fetch: Fetch<'a>,
    cluster_size: u64,
    /// Extension records read so far.
    held: HashMap<FileReference, Result<FileRecord, Error>>,
    /// Attributes found so far, by type and name.
    found: HashMap<(u32, Vec<u16>), usize>,
    /// Of the names that entries led to, where they stand.
    names: HashSet<(FileReference, u16)>,
    listed: Listed,
    /// What is wrong with the list.
    wrong: Option<Error>,
}

/// How often a list names what may stand in a record: by record, type, name and lowest VCN.
#[derive(Default)]
struct Listed(HashMap<(u64, u32, Vec<u16>, u64), usize>);

impl Listed {
    fn add(&mut self, entry: &Entry) {
        let count = self.0.entry((entry.holder.record, entry.kind, entry.name.clone(), entry.lowest_vcn)).or_default();
        *count = count.saturating_add(1);
    }

    /// Whether there is an entry for this attribute, which no other one took.
    fn take(&mut self, raw: &RawAttribute<'_>, holder: u64) -> bool {
        let count = self.0.get_mut(&(holder, raw.kind, raw.name.clone(), raw.lowest_vcn())).filter(|count| **count > 0);
        count.is_some_and(|count| {
            *count = count.saturating_sub(1);
            true
        })
    }
}

impl<'a> Joining<'a> {
    /// Extension records are read with `fetch`.
    pub(super) fn new(base: &'a FileRecord, raws: &'a [RawAttribute<'a>], cluster_size: u64, fetch: Fetch<'a>) -> Self {
        let (held, found, names) = (HashMap::new(), HashMap::new(), HashSet::new());
        Joining { base, raws, fetch, cluster_size, held, found, names, listed: Listed::default(), wrong: None }
    }

    /// Adds the attributes of these entries to the file.
    pub(super) fn run(mut self, file: &mut File, entries: Vec<Entry>) {
        for entry in entries {
            self.follow(file, entry);
        }
        for attribute in &mut file.attributes {
            if let Value::NonResident(value) = &mut attribute.value {
                value.parts.sort_by_key(|part| part.lowest_vcn);
                if value.leave_out_parts_of_none(self.cluster_size) {
                    self.complain("the attribute list names a part of an attribute that has none there");
                }
            }
        }
        self.add_unlisted(file);
        // An entry that leads to nothing may have been that of any attribute; one that leads to a record which cannot be read is
        // as good as any.
        let unreadable = || file.attributes.iter().filter_map(Attribute::damage);
        file.untold = self.wrong.or_else(|| unreadable().find(|error| !is_of_lost_record(error)).cloned());
        file.missing = file.untold.clone().or_else(|| unreadable().next().cloned());
        file.leave_out_what_begins_elsewhere();
    }

    /// The first thing that is wrong with the list counts.
    fn complain(&mut self, text: &str) {
        self.wrong.get_or_insert_with(|| list_is_bad(format!("file record {}: {text}", self.base.number)));
    }

    /// Adds what an entry leads to.
    fn follow(&mut self, file: &mut File, entry: Entry) {
        if entry.kind == attribute::ATTRIBUTE_LIST {
            if !self.is_of_the_list(&entry) {
                self.complain("an entry of the attribute list leads to another list");
            }
            return;
        }
        self.listed.add(&entry);
        if entry.lowest_vcn != 0 {
            return self.go_on(file, entry);
        }
        let key = (entry.kind, entry.name.clone());
        let twice = match entry.kind {
            attribute::FILE_NAME => !self.names.insert((entry.holder, entry.id)),
            _ => self.found.contains_key(&key),
        };
        if twice {
            // One of the two is that of another attribute.
            return self.complain("the attribute list names an attribute twice");
        }
        let attribute = self.begin(&entry, &mut file.trust);
        self.found.entry(key).or_insert(file.attributes.len());
        file.attributes.push(attribute);
    }

    /// Whether an entry is that of the list itself, which needs none.
    fn is_of_the_list(&self, entry: &Entry) -> bool {
        entry.holder.record == u64::from(self.base.number)
            && self.raws.iter().any(|raw| (raw.kind, raw.id) == (entry.kind, entry.id))
    }

    /// Adds what stands in the records that were read, and the list does not name.
    fn add_unlisted(&mut self, file: &mut File) {
        let mut held: Vec<_> = self.held.values().flatten().collect();
        held.sort_by_key(|record| record.number);
        // One may be named with and without its sequence number.
        held.dedup_by_key(|record| record.number);
        // The list itself needs no entry.
        let is_other = |raw: &RawAttribute<'_>| raw.kind != attribute::ATTRIBUTE_LIST;
        let mut first = None;
        for record in iter::once(self.base).chain(held) {
            let number = record.number;
            let raws = record.attributes().unwrap_or_default();
            for raw in raws.iter().filter(|raw| is_other(raw) && !self.listed.take(raw, number.into())) {
                first.get_or_insert(number);
                // A further part is had where all records of the file are read.
                if raw.lowest_vcn() == 0 && !self.found.contains_key(&(raw.kind, raw.name.clone())) {
                    file.attributes.push(file_attribute(number, raw));
                }
            }
        }
        // The list of a deleted file may be an older one than its records.
        if let Some(number) = first.filter(|_| !file.freed) {
            self.complain(&format!("the attribute list does not name all that stands in file record {number}"));
        }
    }

    /// The attribute that begins where this entry says.
    fn begin(&mut self, entry: &Entry, trust: &mut Trust) -> Attribute {
        let found = if entry.holder.record == u64::from(self.base.number) {
            let raw = pick(self.raws, entry.kind, &entry.name, 0, entry.id);
            raw.map(|raw| file_attribute(self.base.number, raw))
                .ok_or_else(|| not_held(self.base.number, self.base.number))
        } else {
            self.begin_elsewhere(entry, trust)
        };
        found.unwrap_or_else(|error| Attribute {
            kind: entry.kind,
            name: entry.name.clone(),
            flags: 0,
            value: Value::Unreadable(error),
        })
    }

    fn begin_elsewhere(&mut self, entry: &Entry, trust: &mut Trust) -> Result<Attribute, Error> {
        let held = self
            .held
            .entry(entry.holder)
            .or_insert_with(|| extension(entry.holder, self.base.number, self.base.state.sequence, self.fetch));
        let holder = held.as_ref().map_err(Clone::clone)?;
        *trust = lesser(*trust, holder.trust);
        let raws = holder.attributes()?;
        let raw = pick(&raws, entry.kind, &entry.name, 0, entry.id);
        raw.map(|raw| file_attribute(holder.number, raw)).ok_or_else(|| not_held(holder.number, self.base.number))
    }

    fn go_on(&self, file: &mut File, entry: Entry) {
        let key = (entry.kind, entry.name);
        let begun = self.found.get(&key).and_then(|index| file.attributes.get_mut(*index));
        match begun.map(|attribute| &mut attribute.value) {
            Some(Value::NonResident(value)) => {
                value.parts.push(Part { lowest_vcn: entry.lowest_vcn, holder: entry.holder, id: entry.id });
            }
            // Its beginning is unreadable, and so is the whole.
            Some(Value::Unreadable(_)) => {}
            Some(Value::Resident(_)) | None => file.attributes.push(Attribute {
                kind: key.0,
                name: key.1,
                flags: 0,
                value: Value::Unreadable(list_is_bad(format!(
                    "file record {}: the attribute list names a part of an attribute that does not begin anywhere",
                    file.number
                ))),
            }),
        }
    }
}

/// The attribute of this type, name and lowest VCN; where several are alike, the one of this number.
pub(super) fn pick<'r, 'a>(
    raws: &'r [RawAttribute<'a>],
    kind: u32,
    name: &[u16],
    lowest_vcn: u64,
    id: u16,
) -> Option<&'r RawAttribute<'a>> {
    let alike = || raws.iter().filter(|raw| (raw.kind, &raw.name[..], raw.lowest_vcn()) == (kind, name, lowest_vcn));
    alike().find(|raw| raw.id == id).or_else(|| {
        // Numbers may differ on a volume that was repaired: the only one that fits is meant all the same.
        let mut all = alike();
        all.next().filter(|_| all.next().is_none())
    })
}

/// Reads an extension record and makes sure that it belongs to the file.
pub(super) fn extension(
    holder: FileReference,
    base: u32,
    sequence: u16,
    fetch: Fetch<'_>,
) -> Result<FileRecord, Error> {
    let record = fetch(holder).map_err(|error| match error.kind() {
        ErrorKind::Lost | ErrorKind::Corrupt => error.with_code(LOST_RECORD),
        _ => error,
    })?;
    let belongs = record.state.in_use
        && holder.means(record.state.sequence)
        && record.base.record == u64::from(base)
        && record.base.means(sequence);
    if belongs {
        return Ok(record);
    }
    Err(corrupt(format!(
        "file record {} does not belong to file record {base}, whose attribute list names it",
        record.number
    )))
}
