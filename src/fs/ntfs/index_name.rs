//! A name in the index of a folder: whom it leads to, and the cookie that is its place in a list.

use mount_api::{Error, Name};

use super::corrupt;
use super::file_name::FileName;
use super::file_record::FileReference;
use super::index::{Found, NodePlace};

/// Bits of a cookie for the ordinal of an entry in its node, plus one.
const ORDINAL_BITS: u32 = 16;

/// A name and whom it leads to, borrowed.
pub(super) type Pair<'a> = (FileName<'a>, FileReference);

/// A name in the index of a folder, as far as a list shows it.
pub(super) struct IndexName {
    pub(super) name: Name,
    pub(super) reference: FileReference,
    /// As the index has it.
    pub(super) directory: bool,
    pub(super) reparse_point: bool,
    /// Its place in the list.
    pub(super) cookie: u64,
}

impl IndexName {
    pub(super) fn new(key: &FileName<'_>, reference: FileReference, cookie: u64) -> Self {
        let (directory, reparse_point) = (key.is_directory(), key.is_reparse_point());
        IndexName { name: key.name(), reference, directory, reparse_point, cookie }
    }

    /// The name in an entry; `None` where no list has it.
    pub(super) fn of(found: &Found) -> Option<Result<Self, Error>> {
        let (key, reference) = pair_of(found).filter(|(key, _)| !key.is_dos())?;
        Some(cookie_of(found).map(|cookie| Self::new(&key, reference, cookie)))
    }
}

/// The name in an entry.
pub(super) fn key_of(found: &Found) -> Option<FileName<'_>> {
    pair_of(found).map(|(key, _)| key)
}

/// The name in an entry, and whom it leads to.
pub(super) fn pair_of(found: &Found) -> Option<Pair<'_>> {
    let entry = found.entry().filter(|entry| !entry.is_last())?;
    Some((FileName::parse(entry.key())?, entry.reference()))
}

/// A cookie names the node and the entry's ordinal in it.
pub(super) fn cookie_of(found: &Found) -> Result<u64, Error> {
    let ordinal = u16::try_from(found.ordinal.saturating_add(1));
    let ordinal = ordinal.map_err(|_| corrupt("an index block has more entries than fit into it"))?;
    Ok(found.place << ORDINAL_BITS | u64::from(ordinal))
}

/// What a cookie names.
pub(super) fn place_of(cookie: u64) -> Option<(NodePlace, usize)> {
    let [low, high, ..] = cookie.to_le_bytes();
    let ordinal = usize::from(u16::from_le_bytes([low, high])).checked_sub(1)?;
    Some((cookie >> ORDINAL_BITS, ordinal))
}
