//! Node ids: the number of the file record in 32 bits, the ordinal of the stream in 16.

use mount_api::{Error, ErrorKind, NodeId};

use super::RECORD_ROOT;

/// The file or folder itself.
pub(super) const ITSELF: u16 = 0;
/// Stands for a name whose file is not there any more: its record was freed or belongs to another file.
pub(super) const STALE: u16 = u16::MAX;

/// The id of a stream of a file, 0 being the file itself. `None` where it would be the id of the root.
pub(super) fn join(record: u32, ordinal: u16) -> Option<NodeId> {
    if (record, ordinal) == (RECORD_ROOT, ITSELF) {
        return Some(NodeId::ROOT);
    }
    let id = NodeId(u64::from(record) << 16 | u64::from(ordinal));
    (id != NodeId::ROOT).then_some(id)
}

/// The record and the ordinal of an id.
pub(super) fn split(id: NodeId) -> Result<(u32, u16), Error> {
    if id == NodeId::ROOT {
        return Ok((RECORD_ROOT, ITSELF));
    }
    let [o0, o1, r0, r1, r2, r3, 0, 0] = id.0.to_le_bytes() else {
        return Err(Error::new(ErrorKind::NotFound, format!("no node of this volume has the id {}", id.0)));
    };
    let (record, ordinal) = (u32::from_le_bytes([r0, r1, r2, r3]), u16::from_le_bytes([o0, o1]));
    if ordinal == STALE {
        return Err(Error::new(
            ErrorKind::Corrupt,
            format!(
                "the name leads to file record {record}, which was freed, belongs to another file by now, or stands in \
                 another folder"
            ),
        ));
    }
    Ok((record, ordinal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_reversible_and_the_root_is_one() {
        for (record, ordinal) in [(0, 0), (5, 1), (u32::MAX, 0), (64, 65534), (1, 0)] {
            assert_eq!(split(join(record, ordinal).unwrap()).unwrap(), (record, ordinal));
        }
        assert_eq!(join(5, 0), Some(NodeId::ROOT));
        assert_eq!(split(NodeId::ROOT).unwrap(), (5, 0));
        assert_eq!(join(0, 1), None);
        assert_eq!(split(NodeId(1 << 48)).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(split(join(70, STALE).unwrap()).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
