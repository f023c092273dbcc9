//! Extension records that say to belong to a file whose attribute list does not name them: the list is an old one, or was cut.
//! They are known where a survey of the `$MFT` was made.

use std::collections::{HashMap, HashSet, VecDeque};

use super::attribute::{self, RawAttribute};
use super::file::{Attribute, File, list_is_bad, list_value};
use super::file_record::FileRecord;
use super::mft_survey::FIRST_WITH_NAME;
use super::{Ntfs, attribute_list};
use crate::report::Code;

impl Ntfs {
    /// A file, held against all records that say to be its own: where its list does not name one that is in use, the file is
    /// read by its records, and is doubtful.
    pub(super) fn with_unlisted(&self, mut file: File) -> File {
        let Some(survey) = self.known_mft_survey() else { return file };
        let mut extensions = survey.extensions(file.number).peekable();
        if file.number < FIRST_WITH_NAME || file.freed || extensions.peek().is_none() {
            return file;
        }
        let listed = self.mft.record(file.number).ok().and_then(|base| self.listed(&base)).unwrap_or_default();
        let bitmap = self.record_bitmap();
        let is_free = |number| bitmap.as_ref().and_then(|bitmap| bitmap.of(number, 1).in_use(number)) == Some(false);
        let unlisted: Vec<u32> =
            extensions.filter(|number| !listed.contains(&u64::from(*number)) && !is_free(*number)).collect();
        let Some(first) = unlisted.first() else { return file };
        let error = list_is_bad(format!(
            "file record {}: {} file records say to be its own, and it does not know of them, file record {first} being one",
            file.number,
            unlisted.len()
        ));
        // Of one that does not hold otherwise, the records that tell more were chosen before, and it was told.
        if file.missing.is_none() {
            self.doubt_names_of(file.number, Code::NtfsAttributeListBad);
            file = self.file_by_its_records(file.number, &error).map(|all| in_order_of(&file, all)).unwrap_or(file);
        }
        file.untold.get_or_insert_with(|| error.clone());
        file.missing.get_or_insert(error);
        file
    }

    /// The records that the attribute list of a file names; `None` where it cannot be read.
    fn listed(&self, base: &FileRecord) -> Option<HashSet<u64>> {
        let raws = base.attributes().ok()?;
        let is_list = |raw: &&RawAttribute<'_>| raw.kind == attribute::ATTRIBUTE_LIST;
        let (bytes, _) = list_value(raws.iter().find(is_list)?, &self.volume).ok()?;
        Some(attribute_list::parse(&bytes).ok()?.iter().map(|entry| entry.holder.record).collect())
    }
}

/// The same file with its attributes in the order in which another reading of it has them, and those that are new behind
/// them: a stream that was opened by its place keeps it.
fn in_order_of(before: &File, mut file: File) -> File {
    let mut places: HashMap<(u32, Vec<u16>), VecDeque<usize>> = HashMap::new();
    for (place, attribute) in before.attributes.iter().enumerate() {
        places.entry((attribute.kind, attribute.name.clone())).or_default().push_back(place);
    }
    let place_of = |attribute: Attribute| {
        let place = places.get_mut(&(attribute.kind, attribute.name.clone())).and_then(VecDeque::pop_front);
        (place.unwrap_or(usize::MAX), attribute)
    };
    let mut placed: Vec<_> = std::mem::take(&mut file.attributes).into_iter().map(place_of).collect();
    placed.sort_by_key(|(place, _)| *place);
    file.attributes = placed.into_iter().map(|(_, attribute)| attribute).collect();
    file
}
