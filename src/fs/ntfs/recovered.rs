//! Deleted files, and files that no folder has: what is read differently for them, and what is known of them.

use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use mount_api::{
    Error, ErrorKind, FaultKind, Kind, MAX_DEPTH, Name, NodeId, NodePath, NodeRange, RangeKind, Recovered, Trust,
    WhyRecovered,
};

use super::cluster_bitmap::ClusterBitmap;
use super::file::File;
use super::file_record::{FileRecord, FileReference};
use super::freed_clusters::FreedClusters;
use super::mft_survey::{FIRST_WITH_NAME, MftSurvey};
use super::node_id;
use super::record_bitmap::RecordBitmap;
use super::record_states::Target;
use super::shelf::{self, Shelf};
use super::stream::Stream;
use super::volume::Volume;
use super::{Ntfs, RECORD_BITMAP, RECORD_MFT, RECORD_ROOT, attribute};
use crate::report::{Code, Severity};

/// The trust of a folder of which nothing is known but that there is one.
const FOLDER_WITHOUT_RECORD: Trust = Trust::Doubtful(Code::NtfsFileRecordBad.as_str());

/// What is needed to show deleted files.
pub(super) struct Recovery {
    /// The volume as they see it.
    volume: Volume,
    bitmap: Arc<ClusterBitmap>,
    /// What bytes are that stand in clusters of others.
    reused: FaultKind,
    /// The names of the two folders in the root folder.
    pub(super) shelves: OnceLock<[Name; 2]>,
}

impl Ntfs {
    /// Opens what is needed to show deleted files.
    pub(super) fn prepare_recovery(&self) -> Recovery {
        let stream = self.file(RECORD_BITMAP).and_then(|file| self.unnamed_stream(&file));
        if let Err(error) = &stream {
            let text = format!("$Bitmap cannot be read; all of what was deleted may belong to others by now: {error}");
            self.note(Code::NtfsMetafileBad, Severity::Warning, text);
        }
        let bitmap = Arc::new(ClusterBitmap::new(&self.volume, stream.ok()));
        let reused = if self.options.accept_doubtful { FaultKind::Doubtful } else { FaultKind::Lost };
        let bytes = FreedClusters { bytes: Arc::clone(&self.volume.bytes), bitmap: Arc::clone(&bitmap), reused };
        let volume =
            Volume { bytes: Arc::new(bytes), boot: self.volume.boot.clone(), losses: self.volume.losses.clone() };
        Recovery { volume, bitmap, reused, shelves: OnceLock::new() }
    }

    /// The same volume, whose survey ends when `stop` is set: the rest of the `$MFT` counts as lost then.
    #[must_use]
    pub fn stopped_by(self, stop: &Arc<AtomicBool>) -> Self {
        Ntfs { stop: Arc::clone(stop), ..self }
    }

    /// The survey of the `$MFT`, made when it is first asked for, and again where parts of it could not be read. What makes
    /// it reads files of NTFS's own; whatever asks for the survey on that way is told that nothing is known.
    pub(super) fn mft_survey(&self) -> Arc<MftSurvey> {
        let survey = self.mft_survey.get(&self.volume.losses, || {
            // Without the bitmap all but the records that hold nothing is known.
            let bitmap = self.record_bitmap();
            let (mut survey, claims) = MftSurvey::of(&self.mft, bitmap.as_ref(), &self.stop);
            survey.contested = self.judge_claims(claims);
            survey
        });
        survey.unwrap_or_else(|| Arc::new(MftSurvey::unread()))
    }

    /// Which records are in use, by the `$BITMAP` of the `$MFT`, where that can be read.
    pub(super) fn record_bitmap(&self) -> Option<RecordBitmap<'_>> {
        let bits = self.file(RECORD_MFT).and_then(|file| self.value_named(&file, attribute::BITMAP, &[]));
        bits.ok().flatten().map(|bits| RecordBitmap { bits, volume: &self.volume })
    }

    /// The survey of the `$MFT`, if it was made.
    pub(super) fn known_mft_survey(&self) -> Option<Arc<MftSurvey>> {
        self.mft_survey.is_made().then(|| self.mft_survey())
    }

    /// Whether the survey, if it was made, found this one among the orphans.
    pub(super) fn is_known_orphan(&self, number: u32) -> bool {
        self.known_mft_survey().is_some_and(|survey| survey.is_orphan(number))
    }

    /// Looks through all file records, and makes it a finding when files are in use that no folder has.
    pub fn look_for_orphans(&self) {
        let astray = self.mft_survey().count_names_astray();
        if astray > 0 {
            let what = if astray == 1 { "1 name says".into() } else { format!("{astray} names say") };
            let text = format!(
                "{what} to stand in a folder that is not there, and a folder has the file by another name: what else is lost of that folder is not known"
            );
            self.note(Code::NtfsOrphans, Severity::Warning, text);
        }
        let count = self.mft_survey().count_orphans();
        if count > 0 {
            let what = if count == 1 { "1 file or folder is".into() } else { format!("{count} files and folders are") };
            let text = format!(
                "{what} in use, and by their own records no folder has them: where the index of none names them, they cannot be reached by a path"
            );
            let finding = crate::report::Finding::new(Code::NtfsOrphans, Severity::Warning, text);
            self.add_finding(finding.advise("mount or ls with --deleted shows them in the folder $Orphans"));
        }
    }

    /// The file in a record, be it a deleted one where those are shown. There always is a root folder: its names can be
    /// had without its record.
    pub(super) fn read_file(&self, number: u32) -> Result<File, Error> {
        if number == RECORD_ROOT {
            return Ok(self.mft.file(number).unwrap_or_else(|_| shelf::file(number, FOLDER_WITHOUT_RECORD)));
        }
        if Shelf::of(number).is_some() && self.recovery.is_some() {
            return Ok(shelf::file(number, Trust::Proven));
        }
        match (self.mft.file(number), &self.recovery) {
            (Err(error), Some(recovery)) if error.kind() == ErrorKind::NotFound => {
                self.mft.freed_file(number, &recovery.volume)
            }
            (Err(error), _) if error.kind() != ErrorKind::NotFound && number >= FIRST_WITH_NAME => {
                let found = self.folder_by_its_children(number, &error);
                let by_list = error.code() == Some(Code::NtfsAttributeListBad.as_str());
                found.or_else(|| by_list.then(|| self.file_by_its_records(number, &error))?).ok_or(error)
            }
            (Ok(file), _) => Ok(self.with_unlisted(self.all_of_it(file))),
            (failed, _) => failed,
        }
    }

    /// A file whose attribute list is wrong in some place, by its records where those tell more of it.
    fn all_of_it(&self, file: File) -> File {
        let Some(error) = file.missing.as_ref().filter(|_| !file.freed && file.number >= FIRST_WITH_NAME) else {
            return file;
        };
        let by_records = self.file_by_its_records(file.number, error);
        by_records.filter(|other| other.tells_more_than(&file)).unwrap_or(file)
    }

    /// A file whose attribute list does not hold, by the records that say to be its own.
    pub(super) fn file_by_its_records(&self, number: u32, error: &Error) -> Option<File> {
        let base = self.mft.record(number).ok().filter(|base| base.state.in_use && !base.state.directory)?;
        let survey = self.mft_survey();
        let extensions: Vec<_> =
            survey.extensions(number).filter_map(|extension| self.mft.record(extension).ok()).collect();
        let fetch = |reference| self.mft.referred(reference);
        File::load_by_records(&base, &extensions, &self.volume, &fetch, error.clone()).ok()
    }

    /// A folder whose record does not hold, for `error`: by what is left of it, or by the files that say to stand in it.
    fn folder_by_its_children(&self, number: u32, error: &Error) -> Option<File> {
        let file = match self.mft.record(number) {
            Ok(base) if base.state.in_use && base.state.is_base() && base.state.directory => {
                // With content, or nothing that makes a folder, it is not known what it is.
                let is_folder = base.attributes().map_or_else(
                    |_| self.mft_survey().children(number).next().is_some(),
                    |raws| raws.iter().all(|raw| raw.kind != attribute::DATA || !raw.name.is_empty()),
                );
                is_folder.then(|| File::folder_by_base(&base, error.clone()))?
            }
            Ok(_) => return None,
            Err(_) => {
                let sequence = self.mft_survey().lost_folder(number)?;
                File { sequence, ..shelf::file(number, FOLDER_WITHOUT_RECORD) }
            }
        };
        let text = "The record of a folder does not hold; its names are taken from the records of the files";
        self.note(Code::NtfsFileRecordBad, Severity::Error, format!("{text}: {error}"));
        Some(file)
    }

    /// The volume that a file's clusters are read from.
    pub(super) fn volume_of(&self, file: &File) -> &Volume {
        match &self.recovery {
            Some(recovery) if file.freed => &recovery.volume,
            _ => &self.volume,
        }
    }

    /// A further record of a file.
    pub(super) fn referred(&self, file: &File, reference: FileReference) -> Result<FileRecord, Error> {
        let record = self.mft.referred(reference)?;
        Ok(if file.freed { record.before_it_was_freed() } else { record })
    }

    /// Tells of a stretch of a deleted file which parts of it belong to others by now.
    pub(super) fn tell_reused(
        &self,
        stretch: NodeRange,
        each: &mut dyn FnMut(NodeRange) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (Some(recovery), RangeKind::Data { disk_offset: Some(offset) }) = (&self.recovery, &stretch.kind) else {
            return each(stretch);
        };
        let code = Code::NtfsClustersReused.as_str();
        let end = offset.saturating_add(stretch.range.end.saturating_sub(stretch.range.start));
        let in_node = |at: u64| stretch.range.start.saturating_add(at.saturating_sub(*offset));
        let mut at = *offset;
        for used in recovery.bitmap.bytes_in_use(*offset..end).chain([end..end]) {
            if at < used.start {
                let range = in_node(at)..in_node(used.start);
                each(NodeRange { range, kind: RangeKind::Data { disk_offset: Some(at) } })?;
            }
            if used.start < used.end {
                let kind = match recovery.reused {
                    FaultKind::Lost => RangeKind::Lost(code),
                    FaultKind::Doubtful => RangeKind::Doubtful(code),
                };
                each(NodeRange { range: in_node(used.start)..in_node(used.end), kind })?;
            }
            at = used.end;
        }
        ControlFlow::Continue(())
    }

    /// Where a node comes from, if no folder has it.
    pub(super) fn recovered(&self, id: NodeId) -> Result<Option<Recovered>, Error> {
        let Some(recovery) = &self.recovery else { return Ok(None) };
        let node = self.node_at(id)?;
        let why = if node.file.freed {
            let as_it_lies = || node.data().ok().map(|(index, _)| self.value(&node.file, index)).transpose();
            // What is refused, or is a folder, has clusters all the same.
            let stream = self.content(&node).or_else(|_| as_it_lies())?;
            let (unallocated, reused) = stream.map_or((0, 0), |stream| self.count_freed(recovery, &stream));
            WhyRecovered::Deleted { unallocated, reused }
        } else if Shelf::of(node.record()).is_none() && self.mft_survey().is_orphan(node.record()) {
            WhyRecovered::Orphan
        } else {
            return Ok(None);
        };
        let (names, original_whole) = self.original_path(node.record());
        let original = (!names.is_empty()).then(|| NodePath { names, stream: node.stream_name() });
        Ok(Some(Recovered { why, original, original_whole }))
    }

    /// Bytes of a deleted stream that belong to nobody, and to others.
    fn count_freed(&self, recovery: &Recovery, stream: &Stream) -> (u64, u64) {
        if stream.resident().is_some() {
            return (stream.size(), 0);
        }
        stream.places(self.volume.boot.cluster_size).fold((0, 0), |(free, reused), range| {
            let used = recovery.bitmap.count_in_use(&range);
            let length = range.end.saturating_sub(range.start);
            (free.saturating_add(length.saturating_sub(used)), reused.saturating_add(used))
        })
    }

    /// The names of the folders that a file stood in, and its own, as far up as each folder is still the one that is
    /// meant; and whether that is up to the root.
    fn original_path(&self, mut record: u32) -> (Vec<Name>, bool) {
        let mut names = Vec::new();
        let mut whole = false;
        while names.len() < MAX_DEPTH {
            let Some((name, parent)) = self.name_of_any(record) else { break };
            names.push(name);
            let Some(number) = parent.number().filter(|_| self.is_or_was_folder(parent)) else { break };
            if number == RECORD_ROOT {
                whole = true;
                break;
            }
            record = number;
        }
        names.reverse();
        (names, whole)
    }

    /// The name of a file, deleted or not, and the folder that it says it stands in.
    pub(super) fn name_of_any(&self, record: u32) -> Option<(Name, FileReference)> {
        if let Ok(file) = self.file(record) {
            return file.long_name().map(|name| (name.name(), name.parent()));
        }
        // Its attribute list may be gone with its clusters; the name mostly stands in the base record.
        let record = self.mft.freed_record(record).ok()?;
        let raws = record.attributes().ok()?;
        let names = || raws.iter().filter_map(attribute::RawAttribute::file_name);
        let name = names().find(|name| !name.is_dos()).or_else(|| names().next())?;
        Some((name.name(), name.parent()))
    }

    /// Whether a reference still means the folder in its record, or the one that was deleted from it last.
    fn is_or_was_folder(&self, reference: FileReference) -> bool {
        match self.mft.target(reference) {
            Target::Live { directory, .. } => directory,
            Target::Unknown => false,
            Target::Stale => {
                let record = reference.number().and_then(|number| self.mft.freed_record(number).ok());
                record.is_some_and(|record| {
                    record.freed && record.state.directory && record.state.sequence == reference.sequence
                })
            }
        }
    }

    /// Whether a recovered file is a folder; one that cannot be read is what its record alone says.
    pub(super) fn recovered_kind(&self, number: u32) -> Kind {
        if let Ok(file) = self.file(number) {
            return self.kind(&file);
        }
        let folder = self.mft.freed_record(number).is_ok_and(|record| record.state.directory);
        if folder { Kind::Directory } else { Kind::File }
    }

    /// The node of a record that is shown among the recovered ones.
    pub(super) fn recovered_node(number: u32) -> Result<NodeId, Error> {
        node_id::join(number, node_id::ITSELF)
            .ok_or_else(|| super::corrupt(format!("file record {number} cannot be shown")))
    }
}
