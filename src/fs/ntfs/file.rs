//! A file: what its base record and its extension records say together.

use std::cmp::Ordering;
use std::collections::HashSet;

use mount_api::{Error, Faults, Trust};

use super::attribute::{self, Form, NonResidentHeader, RawAttribute};
use super::attribute_list::{self, Entry};
use super::extents::Extents;
use super::file_name::FileName;
use super::file_record::{FileRecord, FileReference};
use super::joining::Joining;
use super::mft_survey::FIRST_WITH_NAME;
use super::standard_information::StandardInformation;
use super::volume::{Volume, lesser, whole};
use super::{corrupt, to_usize};
use crate::report::Code;

/// `FILE_ATTRIBUTE_REPARSE_POINT`.
pub(super) const ATTRIBUTE_REPARSE_POINT: u32 = 0x400;
/// The name of the index that makes a folder.
const NAMES: &str = "$I30";
/// The longest attribute list that is believed. Windows stops at 256 KiB.
const MAX_ATTRIBUTE_LIST: u64 = 1 << 20;

/// A file or folder, with all its attributes.
#[derive(Debug)]
pub(super) struct File {
    pub(super) number: u32,
    pub(super) sequence: u16,
    pub(super) directory: bool,
    /// Whether it was deleted, and is told here as it was before.
    pub(super) freed: bool,
    /// The least trust of the records that it was put together from.
    pub(super) trust: Trust,
    pub(super) attributes: Vec<Attribute>,
    /// Why attributes may be missing: its attribute list is wrong in some place.
    pub(super) missing: Option<Error>,
    /// Why it is not even known which attributes are missing: the list does not name them.
    pub(super) untold: Option<Error>,
    /// Whether it was read after all records were, and held against those that say to be its own.
    pub(super) compared: bool,
}

/// One attribute, put together from its parts.
#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) kind: u32,
    pub(super) name: Vec<u16>,
    pub(super) flags: u16,
    pub(super) value: Value,
}

/// The value of an attribute.
#[derive(Debug)]
pub(super) enum Value {
    Resident(Box<[u8]>),
    NonResident(Box<NonResident>),
    /// The list names it, and its record cannot be had.
    Unreadable(Error),
}

/// A value in clusters.
#[derive(Debug)]
pub(super) struct NonResident {
    pub(super) header: NonResidentHeader,
    /// The run list of the first part.
    pub(super) runs: Box<[u8]>,
    /// The other parts, in the order of their clusters.
    pub(super) parts: Vec<Part>,
}

/// A further part of a run list.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) lowest_vcn: u64,
    pub(super) holder: FileReference,
    pub(super) id: u16,
}

/// Reads file records.
pub(super) type Fetch<'a> = &'a dyn Fn(FileReference) -> Result<FileRecord, Error>;

impl File {
    /// Puts a file together from its base record. Extension records are read with `fetch`, those alone that hold the
    /// beginning of an attribute; where the others are, is kept for [`File::resolve`].
    pub(super) fn load(base: &FileRecord, volume: &Volume, fetch: Fetch<'_>) -> Result<File, Error> {
        let raws = base.attributes()?;
        let mut file = File::without_attributes(base);
        match raws.iter().find(|raw| raw.kind == attribute::ATTRIBUTE_LIST) {
            None => file.attributes = Vec::from_iter(raws.iter().map(|raw| file_attribute(base.number, raw))),
            Some(list) => {
                let bad = |text: String| list_is_bad(format!("file record {}: attribute list: {text}", base.number));
                let (bytes, trust) = list_value(list, volume).map_err(|error| in_list(base.number, &error))?;
                file.trust = lesser(file.trust, trust);
                let entries = attribute_list::parse(&bytes).map_err(bad)?;
                Joining::new(base, &raws, volume.boot.cluster_size, fetch).run(&mut file, entries);
            }
        }
        file.is_one_thing()?;
        Ok(file)
    }

    /// Puts a file together where its attribute list does not hold, for `damage`: from its base record and the `extensions`, which
    /// are the records that say to be its own. What stood in others is missing.
    pub(super) fn load_by_records(
        base: &FileRecord,
        extensions: &[FileRecord],
        volume: &Volume,
        fetch: Fetch<'_>,
        damage: Error,
    ) -> Result<File, Error> {
        let raws = base.attributes()?;
        let mut entries = Vec::new();
        for record in std::iter::once(base).chain(extensions) {
            let holder = FileReference { record: record.number.into(), sequence: record.state.sequence };
            entries.extend(record.attributes()?.iter().map(|raw| Entry::of(raw, holder)));
        }
        // The beginning of each attribute before its other parts.
        entries.sort_by_key(|entry| entry.lowest_vcn);
        let mut file = File::without_attributes(base);
        Joining::new(base, &raws, volume.boot.cluster_size, fetch).run(&mut file, entries);
        file.is_one_thing()?;
        file.untold.get_or_insert(damage.clone());
        file.missing.get_or_insert(damage);
        Ok(file)
    }

    /// What the header of its base record says.
    fn without_attributes(base: &FileRecord) -> File {
        File {
            number: base.number,
            sequence: base.state.sequence,
            directory: base.state.directory,
            freed: base.freed,
            trust: base.trust,
            attributes: Vec::new(),
            missing: None,
            untold: None,
            compared: false,
        }
    }

    /// A folder by its base record alone, where what leads to its other records, or something else in it, does not hold: its
    /// names are had all the same.
    pub(super) fn folder_by_base(base: &FileRecord, missing: Error) -> File {
        let attributes = match base.attributes() {
            Ok(raws) => {
                let kept = raws.iter().filter(|raw| raw.kind != attribute::ATTRIBUTE_LIST);
                kept.map(|raw| file_attribute(base.number, raw)).collect()
            }
            Err(_) => base.names().map(|name| Attribute::name(name.value())).collect(),
        };
        let trust = lesser(base.trust, Trust::Doubtful(Code::NtfsFileRecordBad.as_str()));
        let (untold, missing) = (Some(missing.clone()), Some(missing));
        File { trust, attributes, untold, missing, ..File::without_attributes(base) }
    }

    /// What the header says, a folder or a file, must be what the attributes make it.
    fn is_one_thing(&self) -> Result<(), Error> {
        let standard = self.resident(attribute::STANDARD_INFORMATION).and_then(StandardInformation::parse);
        let tagged = standard.is_some_and(|standard| standard.attributes & ATTRIBUTE_REPARSE_POINT != 0);
        let text = match (self.directory, self.has_index_of_names()) {
            _ if tagged && self.find(attribute::REPARSE_POINT, &[]).is_none() => {
                "it has a reparse point by its attributes, and there is none"
            }
            (false, true) => "it is no folder by its header, and has the index of one",
            (true, false) if self.find(attribute::DATA, &[]).is_some() => {
                "it is a folder by its header, and has content instead of an index"
            }
            _ => return Ok(()),
        };
        Err(corrupt(format!("file record {}: {text}", self.number)))
    }

    /// Whether it has the index that makes a folder.
    pub(super) fn has_index_of_names(&self) -> bool {
        let is_names = |attribute: &Attribute| attribute.name.iter().copied().eq(NAMES.encode_utf16());
        let mut roots = self.attributes.iter().filter(|attribute| attribute.kind == attribute::INDEX_ROOT);
        roots.any(is_names)
    }

    /// The first attribute of this type and name.
    pub(super) fn find(&self, kind: u32, name: &[u16]) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.kind == kind && attribute.name == name)
    }

    /// Leaves attributes out that a list names wrongly, and that are there by the same type and name all the same.
    pub(super) fn leave_out_what_begins_elsewhere(&mut self) {
        let is_readable = |attribute: &&Attribute| attribute.damage().is_none();
        let there: HashSet<_> =
            self.attributes.iter().filter(is_readable).map(|one| (one.kind, one.name.clone())).collect();
        self.attributes.retain(|one| {
            one.damage().is_none_or(is_of_lost_record)
                || one.kind == attribute::FILE_NAME
                || !there.contains(&(one.kind, one.name.clone()))
        });
    }

    /// The names of the file, short ones too, in the order in which they stand.
    pub(super) fn names(&self) -> impl Iterator<Item = FileName<'_>> {
        let values = self.attributes.iter().filter(|attribute| attribute.kind == attribute::FILE_NAME);
        let resident = values.filter_map(|attribute| match &attribute.value {
            Value::Resident(bytes) => Some(&bytes[..]),
            _ => None,
        });
        resident.filter_map(FileName::parse)
    }

    /// Whether it is one of NTFS's own files, which have other things instead of an unnamed stream: indexes, or streams whose
    /// names begin with `$`.
    pub(super) fn is_of_ntfs(&self) -> bool {
        let is_own = |attribute: &Attribute| attribute.name.first() == Some(&u16::from(b'$'));
        let mut instead = self
            .attributes
            .iter()
            .filter(|one| [attribute::DATA, attribute::INDEX_ROOT].contains(&one.kind))
            .peekable();
        self.number < FIRST_WITH_NAME || instead.peek().is_some() && instead.all(is_own)
    }

    /// Whether this reading of a file is better than another one: more can be read, or as much, and fewer things are named that
    /// are not there. Those whose record is lost are there.
    pub(super) fn tells_more_than(&self, other: &File) -> bool {
        let wrong = |file: &File| {
            let damage = file.attributes.iter().filter_map(Attribute::damage);
            damage.filter(|error| !is_of_lost_record(error)).count()
        };
        match self.readable().cmp(&other.readable()) {
            Ordering::Greater => true,
            Ordering::Equal => wrong(self) < wrong(other) && !other.attributes.iter().any(Attribute::is_lost),
            Ordering::Less => false,
        }
    }

    /// How many attributes and parts of run lists are there, damaged ones not counted.
    fn readable(&self) -> usize {
        let parts = |attribute: &Attribute| match &attribute.value {
            Value::Resident(_) => 1,
            Value::NonResident(value) => value.parts.len().saturating_add(1),
            Value::Unreadable(_) => 0,
        };
        self.attributes.iter().map(parts).fold(0, usize::saturating_add)
    }

    /// How many of its names stand in records that cannot be read.
    pub(super) fn lost_names(&self) -> usize {
        self.attributes.iter().filter(|one| one.kind == attribute::FILE_NAME && one.damage().is_some()).count()
    }

    /// Whether all of its names could be read, and there are any.
    pub(super) fn tells_all_names(&self) -> bool {
        self.missing.is_none() && self.has_sound_names() && self.find(attribute::FILE_NAME, &[]).is_some()
    }

    /// Whether what stands in the place of its names is names.
    pub(super) fn has_sound_names(&self) -> bool {
        let mut names = self.attributes.iter().filter(|attribute| attribute.kind == attribute::FILE_NAME);
        names.all(|name| matches!(&name.value, Value::Resident(bytes) if FileName::parse(bytes).is_some()))
    }

    /// What is wrong with the names of a file in use that tells all of its attributes, if anything is.
    pub(super) fn lacks_names(&self) -> Option<&'static str> {
        let is_told = self.missing.is_none() && !self.freed && !self.attributes.is_empty();
        if !is_told || self.number < FIRST_WITH_NAME && self.has_sound_names() {
            return None;
        }
        match (self.has_sound_names(), self.find(attribute::FILE_NAME, &[])) {
            (false, _) => Some("a name in it does not hold"),
            (true, None) => Some("it has no name"),
            (true, Some(_)) => None,
        }
    }

    /// The name that is shown: the first that is no short one, if there is any.
    pub(super) fn long_name(&self) -> Option<FileName<'_>> {
        self.names().find(|name| !name.is_dos()).or_else(|| self.names().next())
    }

    /// The resident value of the first attribute of this type.
    pub(super) fn resident(&self, kind: u32) -> Option<&[u8]> {
        self.find(kind, &[]).and_then(|attribute| match &attribute.value {
            Value::Resident(bytes) => Some(&bytes[..]),
            _ => None,
        })
    }

    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        let of_one = |attribute: &Attribute| {
            let value = match &attribute.value {
                Value::Resident(bytes) => bytes.len(),
                Value::NonResident(value) => {
                    let parts = value.parts.len().saturating_mul(size_of::<Part>());
                    size_of::<NonResident>().saturating_add(value.runs.len()).saturating_add(parts)
                }
                Value::Unreadable(error) => error.message().len(),
            };
            size_of::<Attribute>().saturating_add(attribute.name.len().saturating_mul(2)).saturating_add(value)
        };
        self.attributes.iter().map(of_one).fold(size_of::<File>(), usize::saturating_add)
    }
}

impl Attribute {
    /// A `$FILE_NAME` of this value.
    fn name(value: &[u8]) -> Self {
        Attribute { kind: attribute::FILE_NAME, name: Vec::new(), flags: 0, value: Value::Resident(value.into()) }
    }

    /// Why it cannot be read, if it cannot.
    pub(super) fn damage(&self) -> Option<&Error> {
        match &self.value {
            Value::Unreadable(error) => Some(error),
            _ => None,
        }
    }

    /// Whether it is there by its name, and nothing else is known of it: the record that it begins in cannot be read.
    pub(super) fn is_lost(&self) -> bool {
        self.damage().is_some_and(is_of_lost_record)
    }
}

fn in_list(number: u32, error: &Error) -> Error {
    let error = Error::new(error.kind(), format!("file record {number}: attribute list: {error}"));
    error.with_code(Code::NtfsAttributeListBad.as_str())
}

/// An attribute that begins in this record.
pub(super) fn file_attribute(number: u32, raw: &RawAttribute<'_>) -> Attribute {
    let value = match &raw.form {
        Form::Resident(bytes) => Value::Resident((*bytes).into()),
        Form::NonResident(header, _) if header.lowest_vcn != 0 => {
            let text = format!(
                "file record {number}: the attribute of type {:#x} begins at its cluster {}, and nothing leads to those before",
                raw.kind, header.lowest_vcn
            );
            Value::Unreadable(corrupt(text).with_code(Code::NtfsRunListBad.as_str()))
        }
        Form::NonResident(header, runs) => Value::NonResident(Box::new(NonResident::new(*header, runs))),
    };
    Attribute { kind: raw.kind, name: raw.name.clone(), flags: raw.flags, value }
}

/// The bytes of the attribute list. Its own run list is in the base record, all of it.
pub(super) fn list_value(list: &RawAttribute<'_>, volume: &Volume) -> Result<(Vec<u8>, Trust), Error> {
    match &list.form {
        Form::Resident(bytes) => Ok((bytes.to_vec(), Trust::Proven)),
        Form::NonResident(header, runs) => {
            if header.size > MAX_ATTRIBUTE_LIST {
                return Err(corrupt(format!("{} bytes are more than any file has", header.size)));
            }
            let value = NonResident::new(*header, runs);
            let mut extents = Extents::default();
            value.first_part(&mut extents, volume).map_err(corrupt)?;
            let mut bytes = vec![0; to_usize(header.size)];
            let mut faults = Faults::new();
            extents.read(volume, &mut bytes, 0, &mut faults)?;
            let trust = whole(&faults, || "its clusters".to_owned())?;
            Ok((bytes, trust))
        }
    }
}

/// The code of errors that say that an extension record cannot be read.
pub(super) const LOST_RECORD: &str = Code::NtfsFileRecordBad.as_str();

pub(super) fn is_of_lost_record(error: &Error) -> bool {
    error.code() == Some(LOST_RECORD)
}

pub(super) fn list_is_bad(text: String) -> Error {
    corrupt(text).with_code(Code::NtfsAttributeListBad.as_str())
}

pub(super) fn not_held(holder: u32, base: u32) -> Error {
    list_is_bad(format!("file record {holder} does not hold what the attribute list of file record {base} says"))
}
