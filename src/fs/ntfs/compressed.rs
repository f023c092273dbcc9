//! Compressed streams: cut into compression units of some clusters; a unit that is compressed occupies fewer clusters
//! than it spans, and the rest of it is a hole.

use std::ops::Range;
use std::sync::Arc;

use mount_api::{Error, Fault, FaultKind, Faults};

use super::cache::Cache;
use super::extents::{Extents, Place};
use super::losses::Holds;
use super::lznt1::{self, CHUNK};
use super::unit::Unit;
use super::volume::Volume;
use super::{corrupt, to_usize, unsupported};
use crate::bytes::len_u64;
use crate::report::Code;

/// The largest unit that is believed; Windows makes 64 KiB at most.
const MAX_UNIT: u64 = 2 << 20;

/// Decompressed units: which file record, which attribute of it, which unit.
pub(super) type Units = Cache<(u32, usize, u64), Unit>;

/// A compressed value, opened.
pub(super) struct Compressed {
    pub(super) extents: Extents,
    /// Bytes of a unit.
    unit: u64,
    /// Clusters of a unit.
    clusters: u64,
    /// Bytes of the value that were ever written: so far the units must reach.
    written: u64,
    /// Which file record and which of its attributes, for the cache.
    owner: (u32, usize),
    units: Arc<Units>,
}

/// What an attribute says of how it is compressed.
pub(super) struct Packing {
    /// 1 is LZNT1.
    pub(super) method: u16,
    /// Power of two of a unit's clusters.
    pub(super) unit_shift: u8,
    /// Bytes of the value that were ever written.
    pub(super) written: u64,
}

/// What a unit is made of.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As it stands: clusters, or a hole.
    Plain,
    /// This many clusters of compressed data, then a hole.
    Packed(u64),
    /// No unit is made like that.
    Broken,
}

impl Compressed {
    pub(super) fn new(
        extents: Extents,
        Packing { method, unit_shift, written }: Packing,
        owner: (u32, usize),
        units: &Arc<Units>,
        volume: &Volume,
    ) -> Result<Self, Error> {
        if method != 1 {
            let text = format!("file record {}: compression method {method} is not known", owner.0);
            return Err(unsupported(text).with_code(Code::CompressionUnknown.as_str()));
        }
        let clusters = 1u64.checked_shl(u32::from(unit_shift)).filter(|_| unit_shift > 0);
        let unit = clusters.and_then(|clusters| clusters.checked_mul(volume.boot.cluster_size));
        match (clusters, unit) {
            (Some(clusters), Some(unit)) if unit <= MAX_UNIT => {
                Ok(Compressed { extents, unit, clusters, written, owner, units: Arc::clone(units) })
            }
            _ => {
                let text = format!("file record {}: a compression unit cannot have 2^{unit_shift} clusters", owner.0);
                Err(corrupt(text).with_code(Code::NtfsCompressionBad.as_str()))
            }
        }
    }

    /// Whether a whole unit is a hole.
    pub(super) fn has_hole(&self) -> bool {
        self.extents.holes().any(|hole| {
            let first = hole.start.checked_next_multiple_of(self.clusters);
            first.and_then(|first| hole.end.checked_sub(first)).is_some_and(|rest| rest >= self.clusters)
        })
    }

    /// The stretches that tile `range`: units one by one, but for holes, which are one stretch however many units long.
    pub(super) fn stretches(&self, range: Range<u64>) -> impl Iterator<Item = (Range<u64>, Form)> {
        let mut at = range.start;
        std::iter::from_fn(move || {
            let number = self.number(at).filter(|_| at < range.end)?;
            let units = match self.extents.clusters(self.vcns(number).start..u64::MAX).next() {
                None => u64::MAX,
                Some((clusters, Place::Hole)) => clusters.checked_div(self.clusters).unwrap_or(0).max(1),
                Some(_) => 1,
            };
            let form = if units > 1 { Form::Plain } else { self.form(number) };
            let end = number.saturating_add(units).saturating_mul(self.unit).min(range.end);
            let part = at..end;
            at = end;
            Some((part, form))
        })
    }

    /// All bytes of the unit that holds this one.
    pub(super) fn unit_of(&self, at: u64) -> Range<u64> {
        let start = self.number(at).unwrap_or(0).saturating_mul(self.unit);
        start..start.saturating_add(self.unit)
    }

    /// The unit that holds this byte.
    fn number(&self, at: u64) -> Option<u64> {
        at.checked_div(self.unit)
    }

    fn vcns(&self, number: u64) -> Range<u64> {
        let first = number.saturating_mul(self.clusters);
        first..first.saturating_add(self.clusters)
    }

    /// How a unit is made.
    fn form(&self, number: u64) -> Form {
        let mut packed = 0u64;
        let mut hole = false;
        for (count, place) in self.extents.clusters(self.vcns(number)) {
            match place {
                Place::Hole => hole = true,
                Place::Clusters(_) | Place::Lost(_) if hole => return Form::Broken,
                Place::Clusters(_) | Place::Lost(_) => packed = packed.saturating_add(count),
            }
        }
        if hole && packed > 0 { Form::Packed(packed) } else { Form::Plain }
    }

    /// Reads bytes of the value. A unit that the host refuses is lost alone.
    ///
    /// # Errors
    /// When the host refused all that was asked of it.
    pub(super) fn read(
        &self,
        volume: &Volume,
        mut buf: &mut [u8],
        offset: u64,
        faults: &mut Faults,
    ) -> Result<(), Error> {
        let range = offset..offset.saturating_add(len_u64(buf));
        let mut refused = None;
        let mut answered = false;
        for (part, form) in self.stretches(range) {
            let length = to_usize(part.end.saturating_sub(part.start));
            let Some((to, rest)) = std::mem::take(&mut buf).split_at_mut_checked(length) else { break };
            buf = rest;
            let read = match form {
                // What is refused is told by the faults, too.
                Form::Plain => self.extents.read(volume, to, part.start, faults),
                Form::Broken => {
                    to.fill(0);
                    faults.lost(part, Code::NtfsCompressionBad.as_str());
                    Ok(())
                }
                Form::Packed(clusters) => {
                    let number = self.number(part.start).unwrap_or(0);
                    match self.unit(volume, number, clusters) {
                        Ok(unit) => {
                            unit.copy(to, number.saturating_mul(self.unit), part, faults);
                            Ok(())
                        }
                        Err(error) => {
                            to.fill(0);
                            faults.lost(part, Code::HostReadError.as_str());
                            Err(error)
                        }
                    }
                }
            };
            match read {
                Ok(()) => answered = true,
                Err(error) => refused = Some(error),
            }
        }
        match refused {
            Some(error) if !answered => Err(error),
            _ => Ok(()),
        }
    }

    fn unit(&self, volume: &Volume, number: u64, clusters: u64) -> Result<Arc<Unit>, Error> {
        let key = (self.owner.0, self.owner.1, number);
        if let Some(unit) = self.units.get(&key) {
            return Ok(unit);
        }
        let packed = clusters.saturating_mul(volume.boot.cluster_size).min(self.unit);
        let mut data = vec![0; to_usize(packed)];
        let start = number.saturating_mul(self.unit);
        let mut below = Faults::new();
        self.extents.read(volume, &mut data, start, &mut below)?;
        let mut faults = Faults::new();
        faults.append_moved(below, start, 0);
        let written = to_usize(self.written.saturating_sub(start).min(self.unit));
        let unit = Arc::new(unpack(&data, &faults, to_usize(self.unit), written));
        // What the storage does not give now it may give later.
        if faults.is_empty() {
            self.units.insert(key, Arc::clone(&unit), unit.length(), Holds::ForGood);
        }
        Ok(unit)
    }
}

/// Decompresses a unit of `length` bytes, of which `written` were ever written. Chunks before the first lost byte are right, and what comes after it is
/// lost, for nobody knows where the next chunk begins. A chunk that is broken in itself is lost alone. One doubtful
/// byte makes the whole unit doubtful. Who compresses fills each chunk up to the end of what was written: a
/// chunk of less than that is doubtful, and so is the last one before data that end too early.
fn unpack(data: &[u8], input: &Faults, length: usize, written: usize) -> Unit {
    let lost = input.iter().filter(|fault| fault.kind == FaultKind::Lost).min_by_key(|fault| fault.range.start);
    let readable = lost.map_or(data.len(), |fault| to_usize(fault.range.start).min(data.len()));
    let known = data.get(..readable).unwrap_or_default();
    let mut bytes = Vec::with_capacity(length);
    let mut faults = Faults::new();
    let mut at = 0;
    while bytes.len() < length {
        let start = bytes.len();
        let end = start.saturating_add(CHUNK).min(length);
        match lznt1::chunk_at(known, at) {
            Ok(Some(chunk)) => {
                at = chunk.end;
                let decoded = chunk.decode(&mut bytes);
                let short = bytes.len() < end.min(written);
                if decoded.is_err() {
                    bytes.truncate(start);
                    faults.lost(as_range(start, end), Code::NtfsCompressionBad.as_str());
                } else if short {
                    faults.doubtful(as_range(start, end.min(written)), Code::NtfsCompressionBad.as_str());
                }
                // A chunk that holds less stands for zeros in the rest.
                bytes.resize(end, 0);
            }
            // The end of the data, if it is the end and not the first lost byte.
            Ok(None) if lost.is_none() || known.get(at..).is_some_and(|rest| rest.len() >= 2) => {
                // Zeros in place of data end the chunk that they begin in as if it had held zeros, and end the unit then.
                if start < written {
                    let unproven = start.saturating_sub(CHUNK);
                    faults.doubtful(as_range(unproven, written), Code::NtfsCompressionBad.as_str());
                }
                break;
            }
            Ok(None) | Err(()) => {
                let rest = as_range(start, length);
                match lost {
                    Some(fault) => faults.push(Fault { range: rest, ..fault.clone() }),
                    None => faults.lost(rest, Code::NtfsCompressionBad.as_str()),
                }
                break;
            }
        }
    }
    bytes.resize(length, 0);
    if let Some(fault) = input.iter().find(|fault| fault.kind == FaultKind::Doubtful) {
        faults.push(Fault { range: as_range(0, length), ..fault.clone() });
    }
    Unit::new(bytes, faults)
}

fn as_range(start: usize, end: usize) -> Range<u64> {
    u64::try_from(start).unwrap_or(u64::MAX)..u64::try_from(end).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three chunks of 4096 times "x", "y" and "z".
    fn packed() -> Vec<u8> {
        [b'x', b'y', b'z'].iter().flat_map(|letter| [0x03, 0xb0, 0b10, *letter, 0xfc, 0x0f]).collect()
    }

    fn ranges(unit: &Unit) -> Vec<(Range<u64>, FaultKind)> {
        unit.faults.iter().map(|fault| (fault.range.clone(), fault.kind)).collect()
    }

    #[test]
    fn a_part_filled_unit_ends_in_zeros() {
        let mut data = packed();
        data.resize(512, 0);
        let unit = unpack(&data, &Faults::new(), 16384, 12288);
        let expected = [[b'x'; 4096], [b'y'; 4096], [b'z'; 4096], [0; 4096]].concat();
        assert!(unit.bytes == expected && unit.faults.is_empty());
    }

    #[test]
    fn lost_input_costs_the_rest_and_a_broken_chunk_only_itself() {
        let mut input = Faults::new();
        input.lost(11..12, "bad-sector");
        let mut data = packed();
        data[11] = 0;
        let unit = unpack(&data, &input, 16384, 16384);
        assert_eq!(ranges(&unit), [(4096..16384, FaultKind::Lost)]);
        assert!(unit.bytes[..4096].iter().all(|byte| *byte == b'x'));
        assert!(unit.bytes[4096..].iter().all(|byte| *byte == 0));

        let mut data = packed();
        data[8] = 0b11;
        let unit = unpack(&data, &Faults::new(), 16384, 12288);
        assert_eq!(ranges(&unit), [(4096..8192, FaultKind::Lost)]);
        assert!(unit.bytes[8192..12288].iter().all(|byte| *byte == b'z'));

        let mut data = packed();
        data[7] = 0;
        let unit = unpack(&data, &Faults::new(), 16384, 12288);
        assert_eq!(ranges(&unit), [(4096..16384, FaultKind::Lost)]);
    }

    #[test]
    fn chunks_of_less_than_was_written_are_doubtful() {
        let mut data = packed();
        data.resize(512, 0);
        let unit = unpack(&data, &Faults::new(), 16384, 12289);
        assert_eq!(ranges(&unit), [(8192..12289, FaultKind::Doubtful)]);
        // The second chunk stands for "y" and 3 times "y" only.
        data[10] = 0;
        data[11] = 0;
        let unit = unpack(&data, &Faults::new(), 16384, 12288);
        assert_eq!(ranges(&unit), [(4096..8192, FaultKind::Doubtful)]);
        assert!(unit.bytes[8192..12288].iter().all(|byte| *byte == b'z'));
    }

    #[test]
    fn doubtful_input_makes_the_unit_doubtful() {
        let mut input = Faults::new();
        input.doubtful(17..18, "torn");
        let unit = unpack(&packed(), &input, 16384, 12288);
        assert_eq!(ranges(&unit), [(0..16384, FaultKind::Doubtful)]);
        let mut faults = Faults::new();
        let mut buf = [0; 10];
        unit.copy(&mut buf, 16384, 16384 + 4090..16384 + 4100, &mut faults);
        assert_eq!(buf, *b"xxxxxxyyyy");
        assert_eq!(faults.iter().map(|f| (f.range.start, f.range.end)).collect::<Vec<_>>(), [(20474, 20484)]);
    }
}
