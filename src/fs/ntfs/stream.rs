//! The value of an attribute, ready to be read at any place by any number of threads.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use mount_api::{Error, Faults, NodeRange, RangeKind, Trust};

use super::attribute::{FLAG_COMPRESSION, FLAG_ENCRYPTED, FLAG_SPARSE};
use super::compressed::{Compressed, Form, Packing, Units};
use super::contested::{Contest, Contested};
use super::extents::{Extents, SegmentPlace};
use super::file::{File, Value};
use super::run_list::FetchPart;
use super::to_usize;
use super::volume::{Volume, lesser};
use super::wof::Wof;
use super::{corrupt, efs};
use crate::bytes::len_u64;
use crate::report::Code;

/// A value, opened.
pub(super) struct Stream {
    size: u64,
    /// Bytes that were ever written; what follows reads as zeros.
    initialized: u64,
    trust: Trust,
    encrypted: bool,
    content: Content,
}

enum Content {
    /// It stood in the file record.
    Resident(Box<[u8]>),
    Plain(Extents),
    Compressed(Compressed),
    /// In another stream of the file.
    Wof(Wof),
}

impl Stream {
    /// Opens the value of the attribute at `index` of a file. Also tells why parts of it are lost, where they are.
    pub(super) fn open(
        file: &File,
        index: usize,
        volume: &Volume,
        units: &Arc<Units>,
        fetch: FetchPart<'_>,
    ) -> Result<(Stream, Option<Error>), Error> {
        let attribute = file.attributes.get(index);
        let attribute = attribute.ok_or_else(|| corrupt(format!("file record {}: no such attribute", file.number)))?;
        let encrypted = attribute.flags & FLAG_ENCRYPTED != 0;
        let value = match &attribute.value {
            Value::Unreadable(error) => return Err(error.clone()),
            Value::Resident(bytes) => {
                let size = len_u64(bytes);
                let content = Content::Resident(bytes.clone());
                return Ok((Stream { size, initialized: size, trust: file.trust, encrypted, content }, None));
            }
            Value::NonResident(value) => value,
        };
        let mut resolved = file.resolve(attribute, value, volume, fetch)?;
        // No more than all of it was ever written: one of the two sizes is wrong, and nothing tells which.
        if value.header.initialized > value.header.size {
            resolved.trust = lesser(resolved.trust, Trust::Doubtful(Code::NtfsFileRecordBad.as_str()));
        }
        let method = attribute.flags & FLAG_COMPRESSION;
        // Only compressed and sparse values are cut into units: without either flag, one may be what is wrong.
        if attribute.flags & (FLAG_COMPRESSION | FLAG_SPARSE) == 0 && value.header.unit_shift != 0 {
            resolved.trust = lesser(resolved.trust, Trust::Doubtful(Code::NtfsFileRecordBad.as_str()));
        }
        let size = value.header.size;
        let initialized = value.header.initialized.min(size);
        let content = if method == 0 {
            Content::Plain(resolved.extents)
        } else {
            let owner = (file.number, index);
            let packing = Packing { method, unit_shift: value.header.unit_shift, written: initialized };
            Content::Compressed(Compressed::new(resolved.extents, packing, owner, units, volume)?)
        };
        Ok((Stream { size, initialized, trust: resolved.trust, encrypted, content }, resolved.damage))
    }

    /// The content of a file that WOF compressed, whose unnamed stream is only as long.
    pub(super) fn of_wof(unnamed: &Stream, wof: Wof) -> Stream {
        let trust = lesser(unnamed.trust, wof.trust());
        Stream { size: unnamed.size, initialized: unnamed.size, trust, encrypted: false, content: Content::Wof(wof) }
    }

    /// The stream as it lies, if it is encrypted: see [`efs`].
    pub(super) fn still_encrypted(self) -> Stream {
        match self.content {
            Content::Plain(extents) if self.encrypted => {
                let size = efs::whole_blocks(self.size);
                let initialized = efs::whole_blocks(self.initialized).min(size);
                Stream { size, initialized, content: Content::Plain(extents), ..self }
            }
            _ => self,
        }
    }

    /// The bytes at its end that were never written, and read as zeros.
    pub(super) fn unwritten(&self) -> Range<u64> {
        self.initialized..self.size
    }

    /// The least trust of the records that it was put together from.
    pub(super) fn trust(&self) -> Trust {
        self.trust
    }

    /// The value, where it stood in the file record.
    pub(super) fn resident(&self) -> Option<&[u8]> {
        match &self.content {
            Content::Resident(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Bytes of the value.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Whether it is encrypted (EFS).
    pub(super) fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Whether any part of it is a hole, or was never written.
    pub(super) fn has_hole(&self) -> bool {
        self.initialized < self.size
            || match &self.content {
                Content::Resident(_) | Content::Wof(_) => false,
                Content::Plain(extents) => extents.holes().next().is_some(),
                Content::Compressed(value) => value.has_hole(),
            }
    }

    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        let content = match &self.content {
            Content::Resident(bytes) => bytes.len(),
            Content::Plain(extents) => extents.weight(),
            Content::Compressed(value) => value.extents.weight(),
            Content::Wof(value) => value.weight(),
        };
        size_of::<Stream>().saturating_add(content)
    }

    /// The ranges of the volume that hold it, in its order.
    pub(super) fn places(&self, cluster_size: u64) -> impl Iterator<Item = Range<u64>> {
        let (extents, end) = self.extents();
        extents.into_iter().flat_map(move |extents| extents.segments(0..end, cluster_size)).filter_map(|segment| {
            match segment.place {
                SegmentPlace::Volume(offset) => Some(offset..offset.saturating_add(segment.length())),
                SegmentPlace::Hole | SegmentPlace::Lost(_) => None,
            }
        })
    }

    /// The ranges of a value as it lies that stand in bytes which the volume really has, whatever its boot sector claims.
    pub(super) fn backed(&self, volume: &Volume) -> impl Iterator<Item = Range<u64>> {
        let (extents, _) = self.extents();
        let (end, there, cluster_size) = (self.initialized, volume.bytes.size(), volume.boot.cluster_size);
        extents.into_iter().flat_map(move |extents| extents.segments(0..end, cluster_size)).filter_map(move |segment| {
            let SegmentPlace::Volume(offset) = segment.place else { return None };
            let length = segment.length().min(there.saturating_sub(offset));
            (length > 0).then(|| segment.range.start..segment.range.start.saturating_add(length))
        })
    }

    /// The bytes of a range that stand in clusters whose owner is not certain; what is decompressed from such, all of it.
    pub(super) fn contests(&self, range: Range<u64>, contested: &Contested) -> Vec<Contest> {
        let range = range.start..range.end.min(self.initialized);
        let size = contested.cluster_size();
        match &self.content {
            _ if range.start >= range.end => Vec::new(),
            Content::Resident(_) => Vec::new(),
            Content::Plain(extents) => contests_of(extents, range, contested).collect(),
            Content::Compressed(value) => value
                .stretches(range)
                .flat_map(|(part, form)| match form {
                    Form::Plain => contests_of(&value.extents, part, contested).collect::<Vec<_>>(),
                    Form::Broken => Vec::new(),
                    Form::Packed(_) => {
                        let met = contests_of(&value.extents, value.unit_of(part.start), contested).next();
                        met.map(|(_, code)| (part, code)).into_iter().collect()
                    }
                })
                .collect(),
            // Which chunks stand in a stretch of it, its table tells, which may stand there itself.
            Content::Wof(_) => {
                let met = self.places(size).find_map(|place| contested.within(place).next());
                met.map(|(_, code)| (range, code)).into_iter().collect()
            }
        }
    }

    /// Where it lies on the volume, and how far into that.
    fn extents(&self) -> (Option<&Extents>, u64) {
        match &self.content {
            Content::Resident(_) => (None, 0),
            Content::Plain(extents) => (Some(extents), self.size),
            Content::Compressed(value) => (Some(&value.extents), u64::MAX),
            Content::Wof(value) => value.packed().extents(),
        }
    }

    /// Reads from `offset` on; how many bytes there are. Faults are counted from the start of the value.
    ///
    /// # Errors
    /// When the host refused all that was asked of it.
    pub(super) fn read(
        &self,
        volume: &Volume,
        offset: u64,
        buf: &mut [u8],
        faults: &mut Faults,
    ) -> Result<usize, Error> {
        let length = to_usize(self.size.saturating_sub(offset)).min(buf.len());
        let written = to_usize(self.initialized.saturating_sub(offset)).min(length);
        let Some((head, tail)) = buf.get_mut(..length).and_then(|buf| buf.split_at_mut_checked(written)) else {
            return Ok(0);
        };
        tail.fill(0);
        if !head.is_empty() {
            match &self.content {
                Content::Resident(bytes) => {
                    let start = to_usize(offset);
                    if let Some(bytes) = bytes.get(start..start.saturating_add(written)) {
                        head.copy_from_slice(bytes);
                    }
                }
                Content::Plain(extents) => extents.read(volume, head, offset, faults)?,
                Content::Compressed(value) => value.read(volume, head, offset, faults)?,
                Content::Wof(value) => value.read(volume, head, offset, faults)?,
            }
        }
        if let Trust::Doubtful(code) = self.trust {
            faults.doubtful(offset..offset.saturating_add(super::to_u64(length)), code);
        }
        Ok(length)
    }

    /// Calls `each` with what stands behind each stretch of `range`, in order, until it breaks.
    pub(super) fn ranges(
        &self,
        range: Range<u64>,
        volume: &Volume,
        each: &mut dyn FnMut(NodeRange) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let range = range.start..range.end.min(self.size);
        let written = range.start..range.end.min(self.initialized);
        let mut each = |range: Range<u64>, kind: RangeKind| {
            let kind = match (kind, self.trust) {
                (RangeKind::Data { .. } | RangeKind::Sparse, Trust::Doubtful(code)) => RangeKind::Doubtful(code),
                (kind, _) => kind,
            };
            each(NodeRange { range, kind })
        };
        if written.start < written.end {
            match &self.content {
                Content::Wof(value) if value.has_no_chunks(volume) => {
                    each(written.clone(), RangeKind::Lost(Code::NtfsCompressionBad.as_str()))?;
                }
                Content::Resident(_) | Content::Wof(_) => each(written.clone(), RangeKind::Data { disk_offset: None })?,
                Content::Plain(extents) => plain_ranges(extents, written.clone(), volume, &mut each)?,
                Content::Compressed(value) => {
                    for (part, form) in value.stretches(written.clone()) {
                        match form {
                            Form::Plain => plain_ranges(&value.extents, part, volume, &mut each)?,
                            Form::Packed(_) => each(part, RangeKind::Data { disk_offset: None })?,
                            Form::Broken => each(part, RangeKind::Lost(Code::NtfsCompressionBad.as_str()))?,
                        }
                    }
                }
            }
        }
        let rest = written.end.max(range.start)..range.end;
        if rest.start < rest.end { each(rest, RangeKind::Sparse) } else { ControlFlow::Continue(()) }
    }
}

/// The bytes of a range of a value, which these extents lead to, in clusters whose owner is not certain.
fn contests_of(extents: &Extents, range: Range<u64>, contested: &Contested) -> impl Iterator<Item = Contest> {
    extents.segments(range, contested.cluster_size()).flat_map(move |segment| {
        let place = match segment.place {
            SegmentPlace::Volume(offset) => offset..offset.saturating_add(segment.length()),
            SegmentPlace::Hole | SegmentPlace::Lost(_) => 0..0,
        };
        let moved = move |at: u64| segment.range.start.saturating_add(at.saturating_sub(place.start));
        contested.within(place).map(move |(bytes, code)| (moved(bytes.start)..moved(bytes.end), code))
    })
}

fn plain_ranges(
    extents: &Extents,
    range: Range<u64>,
    volume: &Volume,
    each: &mut dyn FnMut(Range<u64>, RangeKind) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for segment in extents.segments(range, volume.boot.cluster_size) {
        let kind = match segment.place {
            SegmentPlace::Volume(offset) => RangeKind::Data { disk_offset: Some(offset) },
            SegmentPlace::Hole => RangeKind::Sparse,
            SegmentPlace::Lost(code) => RangeKind::Lost(code.as_str()),
        };
        each(segment.range, kind)?;
    }
    ControlFlow::Continue(())
}
