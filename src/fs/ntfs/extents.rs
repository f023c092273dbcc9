//! Extents: the run lists of a value, joined and resolved once.

use std::ops::Range;

use mount_api::{Error, Faults};

use super::volume::Volume;
use crate::report::Code;

/// What stands behind a stretch of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Clusters of the volume, from this one on.
    Clusters(u64),
    /// A hole: zeros.
    Hole,
    /// The part of the run list that leads there cannot be had.
    Lost(Code),
}

#[derive(Debug, Clone, Copy)]
struct Extent {
    /// First cluster of the value. The extent ends where the next one begins.
    vcn: u64,
    place: Place,
}

/// Where each cluster of a value is. Tiles it from cluster 0 to `end`.
#[derive(Debug, Default)]
pub(super) struct Extents {
    list: Vec<Extent>,
    end: u64,
}

/// A stretch of bytes of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Segment {
    /// Bytes of the value.
    pub(super) range: Range<u64>,
    pub(super) place: SegmentPlace,
}

/// Clusters of the volume, and the part of a run list that claims them.
struct Claim {
    clusters: Range<u64>,
    part: usize,
}

/// Calls `each` with a cluster that two claims have, and their parts: for each claim that meets others at least once.
fn each_claimed_twice(mut claims: Vec<Claim>, each: &mut dyn FnMut(u64, [usize; 2])) {
    claims.sort_unstable_by_key(|claim| claim.clusters.start);
    // Of those so far, the one that reaches farthest: which meets any other meets it, or meets it later.
    let mut farthest: Option<Claim> = None;
    for claim in claims {
        if let Some(before) = farthest.as_ref().filter(|before| claim.clusters.start < before.clusters.end) {
            each(claim.clusters.start, [before.part, claim.part]);
        }
        if farthest.as_ref().is_none_or(|before| before.clusters.end < claim.clusters.end) {
            farthest = Some(claim);
        }
    }
}

/// What stands behind a [`Segment`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SegmentPlace {
    /// Bytes of the volume from this offset on.
    Volume(u64),
    Hole,
    Lost(Code),
}

impl Extents {
    /// Clusters described so far.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// How many extents there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// About how many bytes of memory they take.
    pub(super) fn weight(&self) -> usize {
        self.list.len().saturating_mul(size_of::<Extent>())
    }

    /// Adds a stretch at the end; one that goes on where the last one ends becomes a part of it.
    pub(super) fn push(&mut self, clusters: u64, place: Place) {
        if clusters == 0 {
            return;
        }
        let goes_on = self.list.last().is_some_and(|last| match (last.place, place) {
            (Place::Clusters(before), Place::Clusters(lcn)) => {
                self.end.checked_sub(last.vcn).and_then(|length| before.checked_add(length)) == Some(lcn)
            }
            (before, place) => before == place,
        });
        if !goes_on {
            self.list.push(Extent { vcn: self.end, place });
        }
        self.end = self.end.saturating_add(clusters);
    }

    /// The stretches from the one that holds `vcn` on, each with its first and its last cluster + 1.
    fn from(&self, vcn: u64) -> impl Iterator<Item = (Range<u64>, Place)> {
        let first = self.list.partition_point(|extent| extent.vcn <= vcn).saturating_sub(1);
        let rest = self.list.get(first..).unwrap_or_default();
        let ends = rest.iter().skip(1).map(|extent| extent.vcn).chain([self.end]);
        rest.iter().zip(ends).map(|(extent, end)| (extent.vcn..end, extent.place))
    }

    /// How many clusters cannot be found.
    pub(super) fn lost(&self) -> u64 {
        let lost = self.from(0).filter(|(_, place)| matches!(place, Place::Lost(_)));
        lost.fold(0, |sum, (range, _)| sum.saturating_add(range.end.saturating_sub(range.start)))
    }

    /// The clusters of the value that are holes.
    pub(super) fn holes(&self) -> impl Iterator<Item = Range<u64>> {
        self.from(0).filter(|(_, place)| *place == Place::Hole).map(|(range, _)| range)
    }

    /// The stretches of the clusters `vcns`, cut to it, in order.
    pub(super) fn clusters(&self, vcns: Range<u64>) -> impl Iterator<Item = (u64, Place)> {
        self.from(vcns.start).take_while(move |(range, _)| range.start < vcns.end).filter_map(move |(range, place)| {
            let (start, end) = (range.start.max(vcns.start), range.end.min(vcns.end));
            let count = end.checked_sub(start).filter(|count| *count > 0)?;
            let skipped = start.checked_sub(range.start)?;
            let place = match place {
                Place::Clusters(lcn) => Place::Clusters(lcn.checked_add(skipped)?),
                other => other,
            };
            Some((count, place))
        })
    }

    /// A cluster of the volume that two stretches claim, if there is one.
    pub(super) fn claimed_twice(&self) -> Option<u64> {
        let mut first = None;
        each_claimed_twice(self.claims(0..self.end, 0), &mut |lcn, _| {
            first.get_or_insert(lcn);
        });
        first
    }

    /// Loses all parts of which a cluster is claimed by another one, or twice by the part itself. Each ends at one of `ends`,
    /// in clusters of the value, and the next one begins there.
    pub(super) fn lose_parts_that_meet(&mut self, ends: &[u64]) {
        let mut claims = Vec::new();
        let mut parts = Vec::new();
        let mut start = 0;
        for end in ends.iter().copied().chain([self.end]) {
            claims.append(&mut self.claims(start..end, parts.len()));
            parts.push((start..end, false));
            start = end;
        }
        each_claimed_twice(claims, &mut |_, both| {
            for part in both {
                if let Some((_, meets)) = parts.get_mut(part) {
                    *meets = true;
                }
            }
        });
        let mut kept = Extents::default();
        for (part, meets) in parts {
            if meets {
                kept.push(part.end.saturating_sub(part.start), Place::Lost(Code::NtfsRunListBad));
            } else {
                self.clusters(part).for_each(|(count, place)| kept.push(count, place));
            }
        }
        *self = kept;
    }

    /// The first so many clusters of the value.
    pub(super) fn up_to(&self, vcn: u64) -> Extents {
        let mut first = Extents::default();
        self.clusters(0..vcn).for_each(|(count, place)| first.push(count, place));
        first
    }

    /// The same, without what is lost at its end.
    pub(super) fn without_lost_end(self) -> Extents {
        let end = self.from(0).filter(|(_, place)| !matches!(place, Place::Lost(_))).last();
        end.map_or_else(Extents::default, |(range, _)| self.up_to(range.end))
    }

    /// The clusters of the volume behind the clusters `vcns`, stretch by stretch, for the part of this number.
    fn claims(&self, vcns: Range<u64>, part: usize) -> Vec<Claim> {
        let stretches = self.clusters(vcns).filter_map(|(count, place)| match place {
            Place::Clusters(lcn) => Some(Claim { clusters: lcn..lcn.saturating_add(count), part }),
            Place::Hole | Place::Lost(_) => None,
        });
        stretches.collect()
    }

    /// The stretches that tile `range` (in bytes of the value) exactly. What lies past the end is lost.
    pub(super) fn segments(&self, range: Range<u64>, cluster_size: u64) -> impl Iterator<Item = Segment> {
        let vcn = range.start.checked_div(cluster_size).unwrap_or(0);
        let past = self.end.saturating_mul(cluster_size)..u64::MAX;
        let known = self.from(vcn).map(move |(clusters, place)| {
            let start = clusters.start.saturating_mul(cluster_size);
            let place = match place {
                Place::Clusters(lcn) => SegmentPlace::Volume(lcn.saturating_mul(cluster_size)),
                Place::Hole => SegmentPlace::Hole,
                Place::Lost(code) => SegmentPlace::Lost(code),
            };
            Segment { range: start..clusters.end.saturating_mul(cluster_size), place }
        });
        let tail = Segment { range: past, place: SegmentPlace::Lost(Code::NtfsRunListBad) };
        let end = range.end;
        known.take_while(move |segment| segment.range.start < end).chain([tail]).filter_map(move |s| s.cut_to(&range))
    }

    /// Reads bytes of the value. Holes are zeros; what cannot be had is in `faults`, counted from the start of the value.
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
        let range = offset..offset.saturating_add(crate::bytes::len_u64(buf));
        let mut refused = None;
        let mut answered = false;
        for segment in self.segments(range, volume.boot.cluster_size) {
            let length = super::to_usize(segment.length());
            let Some((part, rest)) = std::mem::take(&mut buf).split_at_mut_checked(length) else { break };
            buf = rest;
            match segment.place {
                SegmentPlace::Volume(from) => match volume.read(part, from, segment.range.start, faults) {
                    None => answered = true,
                    Some(error) => refused = Some(error),
                },
                SegmentPlace::Hole => {
                    part.fill(0);
                    answered = true;
                }
                SegmentPlace::Lost(code) => {
                    part.fill(0);
                    faults.lost(segment.range, code.as_str());
                    answered = true;
                }
            }
        }
        match refused {
            Some(error) if !answered => Err(error),
            _ => Ok(()),
        }
    }
}

impl Segment {
    /// Bytes of it.
    pub(super) fn length(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }

    /// The part that lies in `range`.
    pub(super) fn cut_to(self, range: &Range<u64>) -> Option<Segment> {
        let (start, end) = (self.range.start.max(range.start), self.range.end.min(range.end));
        let place = match self.place {
            SegmentPlace::Volume(from) => {
                SegmentPlace::Volume(from.saturating_add(start.saturating_sub(self.range.start)))
            }
            other => other,
        };
        (start < end).then_some(Segment { range: start..end, place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Extents {
        let mut extents = Extents::default();
        extents.push(2, Place::Clusters(10));
        extents.push(3, Place::Clusters(12));
        extents.push(4, Place::Hole);
        extents.push(0, Place::Hole);
        extents.push(1, Place::Clusters(0));
        extents.push(1, Place::Lost(Code::NtfsAttributeListBad));
        extents
    }

    #[test]
    fn neighbours_are_joined_and_ranges_are_tiled() {
        let extents = sample();
        assert_eq!((extents.len(), extents.end()), (4, 11));
        let plain = |range| extents.segments(range, 512).map(|s| (s.range, s.place)).collect::<Vec<_>>();
        let code = Code::NtfsAttributeListBad;
        let all = [
            (0..2560, SegmentPlace::Volume(5120)),
            (2560..4608, SegmentPlace::Hole),
            (4608..5120, SegmentPlace::Volume(0)),
            (5120..5632, SegmentPlace::Lost(code)),
            (5632..6000, SegmentPlace::Lost(Code::NtfsRunListBad)),
        ];
        assert_eq!(plain(0..6000), all);
        assert_eq!(plain(700..710), [(700..710, SegmentPlace::Volume(5820))]);
        assert_eq!(plain(2560..2561), [(2560..2561, SegmentPlace::Hole)]);
        assert_eq!(plain(7000..7001), [(7000..7001, SegmentPlace::Lost(Code::NtfsRunListBad))]);
        let clusters: Vec<_> = extents.clusters(1..6).collect();
        assert_eq!(clusters, [(4, Place::Clusters(11)), (1, Place::Hole)]);
        assert_eq!(Extents::default().segments(0..5, 512).count(), 1);
        assert_eq!(Extents::default().clusters(0..5).count(), 0);
    }

    #[test]
    fn a_cluster_claimed_twice_is_found() {
        let mut extents = sample();
        assert_eq!(extents.claimed_twice(), None);
        extents.push(4, Place::Clusters(8));
        assert_eq!(extents.claimed_twice(), Some(10));
    }
}
