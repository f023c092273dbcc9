//! A VHDX that does not stand at the start of its file: bytes were put before it, or its first ones are gone.

use super::region_table::{self, RegionTable};
use super::search::read;
use crate::error::{Error, ErrorKind};
use crate::image::ReadAt;

/// By so many bytes files are moved: by a sector.
const SECTORS: [u64; 2] = [512, 4096];

/// Refuses a file in which a region table that holds stands a sector further on, or further back, than it should.
pub(in crate::format) fn refusal(file: &dyn ReadAt) -> Option<Error> {
    // What cannot be read at its first place is no matter of a shift, and each try costs the pauses of failing storage.
    read(file, region_table::OFFSETS.into_iter().min()?, 1)?;
    let holds = |place: u64| {
        let bytes = read(file, place, region_table::LENGTH);
        bytes.is_some_and(|bytes| RegionTable::parse(&bytes).is_ok())
    };
    let any = |moved: &dyn Fn(u64) -> Option<u64>| region_table::OFFSETS.into_iter().filter_map(moved).any(holds);
    let (text, advice) = SECTORS.into_iter().find_map(|by| {
        if any(&|at| at.checked_add(by)) {
            let text = format!("a VHDX of which the structures stand {by} bytes further on than they should: {by} bytes were put before it");
            let advice = format!("copy it without them, and open the copy: `dd if=FILE of=COPY.vhdx bs=1M iflag=skip_bytes skip={by}`");
            return Some((text, advice));
        }
        any(&|at| at.checked_sub(by)).then(|| {
            let text = format!("a VHDX of which the structures stand {by} bytes further back than they should: its first {by} bytes are missing");
            let advice = format!("put as many before a copy, and open that: `(head -c {by} /dev/zero; cat FILE) > COPY.vhdx`");
            (text, advice)
        })
    })?;
    Some(Error::new(ErrorKind::Corrupt, text).advise(advice))
}
