//! `$Secure`: every security descriptor of the volume once, in the stream `$SDS`, found by its number in the index `$SII`.

use std::sync::Arc;

use mount_api::{Error, Faults};

use super::index::Cursor;
use super::stream::Stream;
use super::volume::whole;
use super::{Ntfs, RECORD_SECURE, attribute, corrupt, to_usize};
use crate::bytes::{u32_le, u64_le};

const SECURITY_IDS: &str = "$SII";
const DESCRIPTORS: &str = "$SDS";
/// Bytes before each descriptor in `$SDS`: hash, id, offset, length.
const HEADER: usize = 20;
/// The largest descriptor that Windows accepts, header included.
const MAX_LENGTH: usize = HEADER + (64 << 10);
/// Each block of `$SDS` of this size is followed by its copy.
const COPY_AT: u64 = 256 << 10;

impl Ntfs {
    /// The self-relative security descriptor of this number; `None` where there is none.
    pub(super) fn descriptor(&self, id: u32) -> Result<Option<Arc<Vec<u8>>>, Error> {
        if let Some(held) = self.descriptors.get(&id) {
            return Ok(Some(held));
        }
        let file = self.file(RECORD_SECURE)?;
        let index = self.index(&file, SECURITY_IDS)?;
        let load = |place| self.node(&index, RECORD_SECURE, SECURITY_IDS, place);
        let mut cursor = Cursor::at(&index, &load, &|entry| u32_le(entry.key(), 0).cmp(&Some(id)))?;
        let Some(found) = cursor.next().transpose()? else { return Ok(None) };
        let Some(entry) = found.entry().filter(|entry| u32_le(entry.key(), 0) == Some(id)) else { return Ok(None) };
        let place = entry.data().and_then(|data| Some((u64_le(data, 8)?, u32_le(data, 16)?)));
        let (offset, length) = place.ok_or_else(|| corrupt(format!("$Secure: the entry of {id} is cut short")))?;
        let name: Vec<u16> = DESCRIPTORS.encode_utf16().collect();
        let stream = self.value_named(&file, attribute::DATA, &name)?;
        let stream = stream.ok_or_else(|| corrupt("$Secure: it has no $SDS"))?;
        let first = self.descriptor_at(&stream, id, offset, length);
        let bytes = first.or_else(|error| {
            self.descriptor_at(&stream, id, offset.saturating_add(COPY_AT), length).map_err(|_| error)
        })?;
        let held = Arc::new(bytes);
        self.descriptors.insert(id, Arc::clone(&held), held.len());
        Ok(Some(held))
    }

    fn descriptor_at(&self, stream: &Stream, id: u32, offset: u64, length: u32) -> Result<Vec<u8>, Error> {
        let bad = || corrupt(format!("$Secure: the security descriptor {id} does not stand where $SII says"));
        let length = to_usize(length.into());
        if !(HEADER..=MAX_LENGTH).contains(&length) {
            return Err(bad());
        }
        let mut bytes = vec![0; length];
        let mut faults = Faults::new();
        if stream.read(&self.volume, offset, &mut bytes, &mut faults)? < length {
            return Err(bad());
        }
        whole(&faults, || format!("$Secure: the security descriptor {id}"))?;
        if u32_le(&bytes, 4) != Some(id) {
            return Err(bad());
        }
        Ok(bytes.split_off(HEADER))
    }
}
