//! A layer of which parts of the map turned out to be doubtful.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use crate::Faults;
use crate::error::Result;
use crate::layer::{Extent, Geometry, Identity, Layer, MapDoubt, Source, Trust, Verified};

/// A layer whose map is what it was, with doubts marked. So all that is read through it knows of them: the merged disk,
/// volumes, files.
pub(super) struct DoubtedLayer {
    inner: Arc<dyn Layer>,
    /// In order of the disk, not overlapping.
    doubts: Vec<MapDoubt>,
}

impl DoubtedLayer {
    /// `doubts` are in order of the disk and do not overlap.
    pub(super) fn new(inner: Arc<dyn Layer>, doubts: Vec<MapDoubt>) -> Self {
        DoubtedLayer { inner, doubts }
    }

    /// Adds `extent`, cut where doubts begin and end.
    fn push(&self, extent: &Extent, out: &mut Vec<Extent>) {
        let first = self.doubts.partition_point(|doubt| doubt.disk.end <= extent.disk.start);
        let doubts = self.doubts.get(first..).unwrap_or_default();
        let mut at = extent.disk.start;
        for doubt in doubts.iter().take_while(|doubt| doubt.disk.start < extent.disk.end) {
            let (start, end) = (doubt.disk.start.max(at), doubt.disk.end.min(extent.disk.end));
            push_part(extent, at..start, None, out);
            push_part(extent, start..end, Some(doubt), out);
            at = end;
        }
        push_part(extent, at..extent.disk.end, None, out);
    }
}

fn push_part(extent: &Extent, disk: Range<u64>, doubt: Option<&MapDoubt>, out: &mut Vec<Extent>) {
    if disk.is_empty() {
        return;
    }
    let source = match extent.source {
        Source::Data { file_offset } => {
            let into = disk.start.saturating_sub(extent.disk.start);
            Source::Data { file_offset: file_offset.saturating_add(into) }
        }
        other => other,
    };
    let trust = match doubt {
        Some(doubt) if extent.trust == Trust::Proven => Trust::Doubtful(doubt.code),
        _ => extent.trust,
    };
    out.push(Extent { disk, source, trust });
}

impl Layer for DoubtedLayer {
    fn geometry(&self) -> &Geometry {
        self.inner.geometry()
    }

    fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    fn resolve(&self, disk: Range<u64>, out: &mut Vec<Extent>) -> Result<u64> {
        let mut plain = Vec::new();
        let reached = self.inner.resolve(disk, &mut plain)?;
        plain.iter().for_each(|extent| self.push(extent, out));
        Ok(reached)
    }

    fn read_data(&self, extent: &Extent, buf: &mut [u8], faults: &mut Faults) -> Result<()> {
        self.inner.read_data(extent, buf, faults)
    }

    fn past_end(&self) -> Trust {
        let end = self.geometry().virtual_size;
        match (self.inner.past_end(), self.doubts.last()) {
            (Trust::Proven, Some(last)) if last.disk.end > end => Trust::Doubtful(last.code),
            (trust, _) => trust,
        }
    }

    fn losses_met(&self) -> u64 {
        self.inner.losses_met()
    }

    fn table_length(&self) -> u64 {
        self.inner.table_length()
    }

    fn verify(&self, disk: Range<u64>, tell: &mut dyn FnMut(Verified) -> ControlFlow<()>) {
        self.inner.verify(disk, tell);
    }
}
