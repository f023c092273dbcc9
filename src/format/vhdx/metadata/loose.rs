//! Items that no table points at: [MS-VHDX] 2.6.2.
//!
//! The format lets items stand anywhere behind the table. Writers put them right behind it and behind each other, in one
//! order or another. Where the table is lost, that is where they are looked for; each must keep its rules.

use super::items::{FileParameters, disk_size, file_parameters, sector_size};
use super::parent_locator;
use crate::bytes::Guid;
use crate::layer::ParentRecord;

/// The items that every image has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Items {
    pub(super) parameters: FileParameters,
    pub(super) virtual_size: u64,
    pub(super) disk_id: Guid,
    pub(super) logical_sector_size: u32,
    pub(super) physical_sector_size: u32,
}

/// What an item is: File Parameters, Virtual Disk Size, Virtual Disk ID, the two sector sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Parameters,
    Size,
    Id,
    Logical,
    Physical,
}

/// An item and how many bytes it has.
type ItemLength = (Kind, usize);

const KINDS: [ItemLength; 5] =
    [(Kind::Parameters, 8), (Kind::Size, 8), (Kind::Id, 16), (Kind::Logical, 4), (Kind::Physical, 4)];

/// Bytes of all five together.
pub(super) const LENGTH: usize = 40;

/// The five items at the start of `bytes`, which are those behind the table. `None` where no order of them keeps all rules,
/// or where several do that say different things.
pub(super) fn items(bytes: &[u8]) -> Option<Items> {
    let mut found = Vec::new();
    orders(&mut Vec::new(), &mut |order| {
        let items = in_order(bytes, order);
        found.extend(items.filter(|items| !found.contains(items)));
    });
    <[Items; 1]>::try_from(found).ok().map(|[items]| items)
}

/// Calls `each` with every order of the items. File Parameters stand before Virtual Disk Size, as the format lists them:
/// either may look like the other.
fn orders(so_far: &mut Vec<ItemLength>, each: &mut dyn FnMut(&[ItemLength])) {
    if so_far.len() == KINDS.len() {
        return each(so_far);
    }
    for next in KINDS {
        let too_early = next.0 == Kind::Size && !so_far.iter().any(|(kind, _)| *kind == Kind::Parameters);
        if !so_far.contains(&next) && !too_early {
            so_far.push(next);
            orders(so_far, each);
            so_far.pop();
        }
    }
}

fn in_order(bytes: &[u8], order: &[ItemLength]) -> Option<Items> {
    let place = |wanted: Kind| {
        let before = order.iter().take_while(|(kind, _)| *kind != wanted);
        let start = before.fold(0usize, |sum, (_, length)| sum.saturating_add(*length));
        let length = order.iter().find(|(kind, _)| *kind == wanted)?.1;
        bytes.get(start..start.saturating_add(length))
    };
    let logical_sector_size = sector_size(place(Kind::Logical)?).ok()?;
    let items = Items {
        parameters: file_parameters(place(Kind::Parameters)?).ok()?,
        virtual_size: disk_size(place(Kind::Size)?, logical_sector_size).ok()?,
        disk_id: Guid::read(place(Kind::Id)?, 0)?,
        logical_sector_size,
        physical_sector_size: sector_size(place(Kind::Physical)?).ok()?,
    };
    // No disk has physical sectors that are smaller than its logical ones.
    (items.physical_sector_size >= logical_sector_size).then_some(items)
}

/// The parent locator, found by its LocatorType. Writers leave old ones behind: of several none counts, and the record is
/// empty.
pub(super) fn parent_locator(bytes: &[u8]) -> Option<ParentRecord> {
    let kind = parent_locator::VHDX_LOCATOR_TYPE.0;
    let mut starts = bytes.windows(kind.len()).enumerate().filter(|(_, window)| *window == kind).map(|(at, _)| at);
    let start = starts.next()?;
    if starts.next().is_some() {
        return Some(ParentRecord::default());
    }
    parent_locator::parse(bytes.get(start..)?, &mut Vec::new()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_known_in_the_order_of_any_writer() {
        let parameters = [&(2u32 << 20).to_le_bytes()[..], &2u32.to_le_bytes()].concat();
        let size = (8u64 << 20).to_le_bytes();
        let id = [0xa7; 16];
        let (logical, physical) = (512u32.to_le_bytes(), 4096u32.to_le_bytes());
        let orders: [[&[u8]; 5]; 3] = [
            [&parameters, &size, &id, &logical, &physical],
            [&parameters, &size, &logical, &physical, &id],
            [&id, &physical, &parameters, &logical, &size],
        ];
        for order in orders {
            let mut bytes = order.concat();
            bytes.resize(4096, 0);
            let found = items(&bytes).unwrap();
            assert_eq!((found.parameters.block_size, found.parameters.has_parent), (2 << 20, true));
            assert_eq!((found.virtual_size, found.disk_id), (8 << 20, Guid(id)));
            assert_eq!((found.logical_sector_size, found.physical_sector_size), (512, 4096));
        }
        assert_eq!(items(&[0; 4096]), None);
        assert_eq!(items(&[]), None);
    }
}
