//! The merged map of a range of the disk: which link holds which bytes.

use std::ops::Range;

use super::disk::DiskLink;
use crate::error::{Error, ErrorKind, Result};
use crate::layer::{Extent, Source, Trust};
use crate::report::Code;

/// A stretch of the merged disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MergedExtent {
    /// Bytes of the disk.
    pub disk: Range<u64>,
    /// Where they come from.
    pub source: MergedSource,
    /// The link that decided, counted from the opened one at 0.
    pub link: u32,
    /// Why the bytes are doubtful, if they are.
    pub doubt: Option<Code>,
}

impl MergedExtent {
    /// The part of it that lies in `range`, bytes of the disk.
    #[must_use]
    pub fn within(&self, range: &Range<u64>) -> Option<Self> {
        let disk = self.disk.start.max(range.start)..self.disk.end.min(range.end);
        let source = match self.source {
            MergedSource::Data { file_offset } => {
                let into = disk.start.saturating_sub(self.disk.start);
                MergedSource::Data { file_offset: file_offset.saturating_add(into) }
            }
            other => other,
        };
        (!disk.is_empty()).then(|| MergedExtent { disk, source, ..self.clone() })
    }
}

/// Where the bytes of a [`MergedExtent`] come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergedSource {
    /// The link's file holds them, from this byte offset on.
    Data {
        /// Byte offset in the link's file.
        file_offset: u64,
    },
    /// Zeros.
    Zero,
    /// Not known.
    Lost(Code),
}

/// A range that the links above leave to the next one, and whether anything on the way was doubtful.
#[derive(Debug, Clone)]
struct Pending {
    disk: Range<u64>,
    doubt: Option<Code>,
}

/// Resolves `disk` through all links; what they all leave is lost for the reason `below`. The result tiles it: in order, no gap, no overlap.
pub(super) fn resolve(links: &[DiskLink], disk: Range<u64>, below: Option<Code>) -> Result<Vec<MergedExtent>> {
    let mut merged = Vec::new();
    let mut pending = vec![Pending { disk, doubt: None }];
    let mut layer_extents = Vec::new();
    for (number, link) in (0u32..).zip(links) {
        let (Some(first), Some(last)) = (pending.first(), pending.last()) else { break };
        // The link is asked once for all that lies between the first and the last pending byte.
        let hull = first.disk.start..last.disk.end;
        let size = link.layer.geometry().virtual_size;
        layer_extents.clear();
        resolve_fully(link, hull.start.min(size)..hull.end.min(size), &mut layer_extents)?;
        // Past the end of a smaller disk it reads as zeros.
        let trust = link.layer.past_end();
        layer_extents.push(Extent { disk: size.max(hull.start)..u64::MAX, source: Source::Zero, trust });
        pending = settle(&pending, &layer_extents, number, link.doubt, &mut merged);
    }
    for rest in pending {
        // A base that leaves bytes to a parent: no reader of a format does so, but a wrong one must not be silent.
        let link = u32::try_from(links.len().saturating_sub(1)).unwrap_or(u32::MAX);
        merged.push(MergedExtent {
            disk: rest.disk,
            source: MergedSource::Lost(below.unwrap_or(Code::ReadPastEnd)),
            link,
            doubt: rest.doubt,
        });
    }
    merged.sort_unstable_by_key(|extent| extent.disk.start);
    Ok(merged)
}

fn resolve_fully(link: &DiskLink, disk: Range<u64>, out: &mut Vec<Extent>) -> Result<()> {
    let mut at = disk.start;
    while at < disk.end {
        let next = link.layer.resolve(at..disk.end, out)?;
        if next <= at {
            return Err(Error::new(ErrorKind::Corrupt, "the map of an image does not advance"));
        }
        at = next;
    }
    Ok(())
}

/// The doubt that counts: one that the user has allowed, that of a link, hides no other.
fn worst(doubts: [Option<Code>; 3]) -> Option<Code> {
    let known = doubts.into_iter().flatten();
    known.reduce(|a, b| if a == Code::LinkUnproven { b } else { a })
}

/// Cuts what is pending by what the link says: bytes that it decides go to `merged`, the rest is returned.
fn settle(
    pending: &[Pending],
    extents: &[Extent],
    link: u32,
    link_doubt: Option<Code>,
    merged: &mut Vec<MergedExtent>,
) -> Vec<Pending> {
    let mut left: Vec<Pending> = Vec::new();
    let mut extents = extents.iter().peekable();
    for want in pending {
        while let Some(extent) = extents.peek() {
            let start = want.disk.start.max(extent.disk.start);
            let end = want.disk.end.min(extent.disk.end);
            if start < end {
                let trust = match extent.trust {
                    Trust::Proven => None,
                    Trust::Doubtful(code) => Some(code),
                };
                let doubt = worst([want.doubt, link_doubt, trust]);
                let source = match extent.source {
                    Source::Data { file_offset } => {
                        let into = start.saturating_sub(extent.disk.start);
                        Some(MergedSource::Data { file_offset: file_offset.saturating_add(into) })
                    }
                    Source::Zero => Some(MergedSource::Zero),
                    Source::Lost(code) => Some(MergedSource::Lost(code)),
                    Source::Parent => None,
                };
                match source {
                    Some(source) => merged.push(MergedExtent { disk: start..end, source, link, doubt }),
                    None => match left.last_mut() {
                        Some(last) if last.disk.end == start && last.doubt == doubt => last.disk.end = end,
                        _ => left.push(Pending { disk: start..end, doubt }),
                    },
                }
            }
            if extent.disk.end > want.disk.end {
                break;
            }
            extents.next();
        }
    }
    left
}
