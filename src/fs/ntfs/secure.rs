//! `$Secure`: every security descriptor of the volume, in the stream `$SDS`, found by its number in the index `$SII`, or without
//! that by looking through all of them.

use std::sync::Arc;

use mount_api::Error;

use super::file::File;
use super::index::Cursor;
use super::stream::Stream;
use super::{Ntfs, RECORD_SECURE, attribute, corrupt, sds};
use crate::bytes::{u32_le, u64_le};
use crate::report::{Code, Severity};

const SECURITY_IDS: &str = "$SII";
const DESCRIPTORS: &str = "$SDS";

impl Ntfs {
    /// The self-relative security descriptor of this number.
    ///
    /// # Errors
    /// When there is none that holds; this is a finding, too.
    pub(super) fn descriptor(&self, id: u32) -> Result<Arc<Vec<u8>>, Error> {
        if let Some(held) = self.descriptors.get(&id) {
            return Ok(held);
        }
        let watch = self.volume.losses.watch();
        let read = self.read_descriptor(id);
        let text = match &read {
            Ok((_, false)) => None,
            Ok((_, true)) => {
                Some("Security descriptors in $Secure do not hold where its index $SII says; copies that hold are used")
            }
            Err(_) => Some("Security descriptors cannot be had from $Secure: the owners of their files are not known"),
        };
        if let Some(text) = text {
            self.note(Code::NtfsMetafileBad, Severity::Warning, text.to_owned());
        }
        let held = Arc::new(read?.0);
        self.descriptors.insert(id, Arc::clone(&held), held.len(), watch.holds());
        Ok(held)
    }

    /// The same from the disk, and whether it was had otherwise than it should be.
    fn read_descriptor(&self, id: u32) -> Result<(Vec<u8>, bool), Error> {
        let file = self.file(RECORD_SECURE)?;
        let name: Vec<u16> = DESCRIPTORS.encode_utf16().collect();
        let stream = self.value_named(&file, attribute::DATA, &name)?;
        let stream = stream.ok_or_else(|| corrupt("$Secure: it has no $SDS"))?;
        let told = self.place_told(&file, id).and_then(|offset| sds::descriptor(&stream, &self.volume, id, offset));
        told.or_else(|error| self.descriptor_anywhere(&stream, id).map(|bytes| (bytes, true)).ok_or(error))
    }

    /// Where in `$SDS` a descriptor stands by the index.
    fn place_told(&self, file: &File, id: u32) -> Result<u64, Error> {
        let index = self.index(file, SECURITY_IDS)?;
        let load = |place| self.node(&index, RECORD_SECURE, SECURITY_IDS, place);
        let mut cursor = Cursor::at(&index, &load, &|entry| u32_le(entry.key(), 0).cmp(&Some(id)))?;
        let found = cursor.next().transpose()?;
        let entry = found.as_ref().and_then(|found| found.entry()).filter(|entry| u32_le(entry.key(), 0) == Some(id));
        let place = entry.and_then(|entry| u64_le(entry.data()?, 8));
        place.ok_or_else(|| corrupt(format!("$Secure: its index has no security descriptor {id}")))
    }

    /// A descriptor wherever in `$SDS` it stands.
    fn descriptor_anywhere(&self, stream: &Stream, id: u32) -> Option<Vec<u8>> {
        let places = self.descriptor_places.get(&self.volume.losses, || sds::all(stream, &self.volume))?;
        places.get(&id).and_then(|offset| sds::at(stream, &self.volume, id, *offset).ok())
    }
}
