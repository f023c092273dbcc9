//! Clusters whose owner is not certain: claimed by more than one file, or free by `$Bitmap`. What a file has there is doubtful,
//! unless it is one of NTFS's own. It is known where a survey of the `$MFT` was made.

use std::ops::{ControlFlow, Range};
use std::sync::atomic::Ordering;

use mount_api::{NodeRange, RangeKind};

use super::cluster_bitmap::ClusterBitmap;
use super::cluster_claims::{self, ClusterClaims};
use super::cluster_set::ClusterSet;
use super::file::File;
use super::log_file::LogState;
use super::mft_survey::FIRST_WITH_NAME;
use super::stream::Stream;
use super::{Ntfs, RECORD_BITMAP, RECORD_MFT, to_usize};
use crate::report::{Code, Finding, Severity};

/// Files that a finding names.
const NAMED: usize = 6;

/// The clusters whose owner is not certain.
#[derive(Default)]
pub(super) struct Contested {
    /// Claimed by more than one file.
    shared: ClusterSet,
    /// Claimed, and free by a `$Bitmap` that should know.
    free: ClusterSet,
    cluster_size: u64,
}

/// Bytes of a stream whose owner is not certain, and why.
pub(super) type Contest = (Range<u64>, Code);

impl Contested {
    /// Bytes of a cluster.
    pub(super) fn cluster_size(&self) -> u64 {
        self.cluster_size
    }

    fn is_empty(&self) -> bool {
        self.shared.is_empty() && self.free.is_empty()
    }

    /// The bytes of a range of the volume whose owner is not certain; those of each kind in order.
    pub(super) fn within(&self, bytes: Range<u64>) -> impl Iterator<Item = Contest> {
        let size = self.cluster_size.max(1);
        let clusters = bytes.start.checked_div(size).unwrap_or(0)..bytes.end.div_ceil(size);
        let sets = [(&self.shared, Code::NtfsClustersShared), (&self.free, Code::NtfsClustersFree)];
        sets.into_iter().flat_map(move |(set, code)| {
            let bytes = bytes.clone();
            set.within(clusters.clone()).map(move |clusters| {
                let (start, end) = (clusters.start.saturating_mul(size), clusters.end.saturating_mul(size));
                (start.max(bytes.start)..end.min(bytes.end), code)
            })
        })
    }
}

impl Ntfs {
    /// What of these bytes of a file's stream stands in clusters whose owner is not certain, as far as is known.
    pub(super) fn contests(&self, file: &File, stream: &Stream, range: Range<u64>) -> Vec<Contest> {
        match self.known_mft_survey() {
            Some(survey) if !survey.contested.is_empty() && !file.freed && file.number >= FIRST_WITH_NAME => {
                stream.contests(range, &survey.contested)
            }
            _ => Vec::new(),
        }
    }

    /// Tells of a stretch of a file which parts of it are doubtful for that.
    pub(super) fn tell_contests(
        &self,
        file: &File,
        stream: &Stream,
        stretch: NodeRange,
        each: &mut dyn FnMut(NodeRange) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let mut contests = match stretch.kind {
            RangeKind::Data { .. } => self.contests(file, stream, stretch.range.clone()),
            RangeKind::Sparse | RangeKind::Doubtful(_) | RangeKind::Lost(_) => Vec::new(),
        };
        contests.sort_unstable_by_key(|(range, _)| range.start);
        let NodeRange { range, kind } = stretch;
        let certain = |part: Range<u64>| {
            let kind = match &kind {
                RangeKind::Data { disk_offset: Some(offset) } => {
                    let moved = part.start.saturating_sub(range.start);
                    RangeKind::Data { disk_offset: Some(offset.saturating_add(moved)) }
                }
                kind => kind.clone(),
            };
            NodeRange { range: part, kind }
        };
        let mut at = range.start;
        for (contest, code) in contests {
            if at < contest.start {
                each(certain(at..contest.start))?;
                at = contest.start;
            }
            if at < contest.end {
                each(NodeRange { range: at..contest.end, kind: RangeKind::Doubtful(code.as_str()) })?;
                at = contest.end;
            }
        }
        if at < range.end {
            each(certain(at..range.end))?;
        }
        ControlFlow::Continue(())
    }

    /// Compares the claims of all files with each other and with `$Bitmap`, and makes findings of what does not fit.
    pub(super) fn judge_claims(&self, claims: ClusterClaims) -> Contested {
        if claims.is_incomplete() {
            let text = "Files claim more clusters than are compared: whether two claim the same is not known of all";
            self.note(Code::NtfsClustersShared, Severity::Warning, text.into());
        }
        let free = self.judge_free(&claims);
        let shared = claims.into_shared();
        if let Some(first) = shared.within(0..u64::MAX).next() {
            let text = format!(
                "{} more than one file ({}): what of a file stands there is doubtful, but for NTFS's own files",
                claimed_by(shared.count(), &first),
                self.claimants(&shared)
            );
            self.tell_of_clusters(Code::NtfsClustersShared, Severity::Error, text, &first);
        }
        Contested { shared, free, cluster_size: self.volume.boot.cluster_size }
    }

    /// The claimed clusters that `$Bitmap` has free, where it should know.
    fn judge_free(&self, claims: &ClusterClaims) -> ClusterSet {
        let Ok(bits) = self.file(RECORD_BITMAP).and_then(|file| self.unnamed_stream(&file)) else {
            return ClusterSet::default();
        };
        let bitmap = ClusterBitmap::new(&self.volume, Some(bits));
        let free = claims.claimed().without(|piece| bitmap.window(piece));
        let Some(first) = free.within(0..u64::MAX).next() else { return free };
        let told = format!("$Bitmap has clusters free that files claim: {}", claimed_by(free.count(), &first));
        let excuse = match () {
            () if free.meets(claims.of_own_files()) => {
                "it has clusters of NTFS's own files free, too, so that it is wrong itself"
            }
            () if !self.was_closed() => "the volume was not closed, and it may lag behind",
            () => {
                let text = format!("{told} files ({}): what stands there is doubtful", self.claimants(&free));
                self.tell_of_clusters(Code::NtfsClustersFree, Severity::Error, text, &first);
                return free;
            }
        };
        let text = format!("{told} files; {excuse}, so nothing is doubtful for that");
        self.tell_of_clusters(Code::NtfsClustersFree, Severity::Warning, text, &first);
        ClusterSet::default()
    }

    fn tell_of_clusters(&self, code: Code, severity: Severity, text: String, first: &Range<u64>) {
        let finding = Finding::new(code, severity, text);
        let finding = finding.at("cluster", self.volume.offset_of(first.start).unwrap_or(u64::MAX));
        self.add_finding(finding.advise(
            "hold these files against other copies of them: one may be an old version whose clusters were given away; --accept-doubtful serves them",
        ));
    }

    /// Whether the volume was closed when it was last written, so that all of it fits together.
    fn was_closed(&self) -> bool {
        let by_log = matches!(self.log_state(), Ok(Some(LogState::Clean | LogState::Empty)));
        let hibernated = || self.findings().iter().any(|finding| finding.code == Code::VolumeHibernated);
        by_log && self.is_dirty() == Some(false) && !hibernated()
    }

    /// The first files in use that claim some of these clusters, by their records and names.
    fn claimants(&self, clusters: &ClusterSet) -> String {
        let mut found: Vec<u32> = Vec::new();
        let size = self.mft.record_size();
        let number = |at: u64| at.checked_div(size).and_then(|number| u32::try_from(number).ok()).unwrap_or(u32::MAX);
        let mut at = 0;
        while let Some(stretch) = self.mft.next_stretch(at).0 {
            let records = number(stretch.start)..=number(stretch.end.saturating_sub(1));
            for claimant in records.filter_map(|record| self.claimant(record, clusters)) {
                if !found.contains(&claimant) {
                    found.push(claimant);
                }
                if found.len() > NAMED {
                    break;
                }
            }
            if found.len() > NAMED || self.stop.load(Ordering::Relaxed) {
                break;
            }
            at = stretch.end;
        }
        let names = found.iter().take(NAMED).map(|number| {
            let record = self.mft.record(*number).ok();
            let name = record.and_then(|record| {
                let name = record.names().find(|name| !name.is_dos()).map(|name| name.name());
                name.map(|name| format!("file record {number}, {name:?}"))
            });
            name.unwrap_or_else(|| format!("file record {number}"))
        });
        let more = (found.len() > NAMED).then(|| "and others".to_owned());
        names.chain(more).collect::<Vec<_>>().join("; ")
    }

    /// The file that a record is of, if that record claims some of these clusters.
    fn claimant(&self, number: u32, clusters: &ClusterSet) -> Option<u32> {
        let any = |run: Range<u64>| clusters.within(run).next().is_some();
        if number == RECORD_MFT {
            let size = self.volume.boot.cluster_size;
            let mut runs =
                self.mft.extents.segments(0..self.mft.size(), size).filter_map(|segment| match segment.place {
                    super::extents::SegmentPlace::Volume(at) => Some(at..at.saturating_add(segment.length())),
                    _ => None,
                });
            if runs.any(|bytes| any(bytes.start.checked_div(size).unwrap_or(0)..bytes.end.div_ceil(size))) {
                return Some(number);
            }
        }
        let record = self.mft.record(number).ok().filter(|record| record.state.in_use)?;
        let raws = record.attributes().ok()?;
        let mut runs = raws.iter().flat_map(|raw| cluster_claims::runs_of(raw, self.volume.boot.clusters()));
        let owner = if record.state.is_base() { Some(number) } else { record.base.number() };
        owner.filter(|_| runs.any(any))
    }
}

fn claimed_by(count: u64, first: &Range<u64>) -> String {
    let last = first.end.saturating_sub(1);
    let first = if first.start == last { format!("{last}") } else { format!("{} to {last}", first.start) };
    match to_usize(count) {
        1 => format!("1 cluster, {first}, is claimed by"),
        _ => format!("{count} clusters, the first ones {first}, are claimed by"),
    }
}
