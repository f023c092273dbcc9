//! NTFS: a volume as a [`Tree`](mount_api::Tree), read by positioned reads from any number of threads.
//!
//! One file per on-disk structure, named by NTFS's own term. From the ground up: `boot_sector` and `volume` (the bytes),
//! `update_sequence`, `file_record`, `attribute`, `attribute_list`, `data_runs`, `run_list` and `extents` (what a record
//! says and where its clusters are), `file` (a base record and its extension records joined), `mft` (all records), `stream`
//! (reading a value; `compressed` and `lznt1` for compressed ones, `wof` for files of CompactOS, `unit` for what both
//! decompress, `efs` for encrypted ones as they lie), `index_node` and `index` (the B-tree), `file_name` and `upcase` (names, and
//! how they compare), `folder` and `folder_survey` (those of a folder), `reparse_point` and `link_path` (where links lead),
//! `standard_information`, `secure`, `sds` and `security_descriptor` (times and owners), `path` (upwards), `node_id` and `tree`
//! (the trait); `open` puts it together, out of `volume_information` too, and `cache` keeps what is wanted again, for as long as `losses` says.
//!
//! Damage is met where it is: a bad record costs its file, a bad run list its stream, a bad index block nothing: then
//! `mft_survey` (all records read once, what is kept of each in `record_table`, those free by `record_bitmap` left out,
//! rounds of folders cut by `folder_cycles`) tells the names, `believed` holds those of an index against the records
//! (`record_states`, several at once by `near_states`), and `adopted` keeps where folders stand that do not tell it
//! themselves. It also finds what is deleted and what no folder has: `shelf` shows them, `recovered` knows what is known of
//! them, `freed_clusters` keeps them from what `cluster_bitmap` says is somebody else's. What the files that are there claim
//! is in `cluster_claims`, made of a `cluster_set`; where two claim one cluster, or the bitmap has it free, it is `contested`.
//! `old_records` finds those that a folder knows a later file in, `unlisted_records` those that a file should know and does
//! not. Without a whole boot sector `boot_proven` tells what the `$MFT` proves of it; without all of record 0, `mft_mirror`,
//! `mft_parts`, `mft_start`, `mft_inferred` and `mft_end` find the `$MFT`. `volume_state` says how the volume was left, with `log_file`;
//! `findings` keeps what was found.

mod adopted;
mod attribute;
mod attribute_list;
mod believed;
mod boot_proven;
mod boot_sector;
mod cache;
mod cluster_bitmap;
mod cluster_claims;
mod cluster_count;
mod cluster_set;
mod compressed;
mod contested;
mod data_runs;
mod efs;
mod extents;
mod file;
mod file_name;
mod file_record;
mod findings;
mod folder;
mod folder_cycles;
mod folder_survey;
mod freed_clusters;
mod index;
mod index_name;
mod index_node;
mod index_walk;
mod joining;
mod link_path;
mod log_file;
mod losses;
mod lznt1;
mod mft;
mod mft_end;
mod mft_inferred;
mod mft_mirror;
mod mft_parts;
mod mft_start;
mod mft_survey;
mod names_met;
mod near_states;
mod node_id;
mod old_records;
mod open;
mod path;
mod record_bitmap;
mod record_states;
mod record_table;
mod recovered;
mod reparse_point;
mod run_list;
mod sds;
mod secure;
mod security_descriptor;
mod shelf;
mod standard_information;
mod stream;
mod tree;
mod unit;
mod unlisted_records;
mod upcase;
mod update_sequence;
mod volume;
mod volume_information;
mod volume_state;
mod wof;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use mount_api::{Error, ErrorKind, Faults, Name, Trust};

use adopted::Adopted;
use cache::{ByRecord, Cache};
use compressed::Units;
use file::File;
use findings::Findings;
use folder_survey::Survey;
use index::{Index, NodeKey, NodePlace};
use index_node::Node;
use losses::{Holds, Remade};
use mft::Mft;
use mft_survey::MftSurvey;
use recovered::Recovery;
use stream::Stream;
use upcase::UpCase;
use volume::Volume;
use volume_information::VolumeInformation;
use wof::Chunks;

use crate::report::{Code, Finding, Severity};

pub(super) use open::has_boot_sector;
pub use open::open;

/// File records of the metafiles that are needed by number.
const RECORD_MFT: u32 = 0;
const RECORD_LOG_FILE: u32 = 2;
const RECORD_VOLUME: u32 = 3;
const RECORD_ROOT: u32 = 5;
const RECORD_BITMAP: u32 = 6;
const RECORD_BAD_CLUSTERS: u32 = 8;
const RECORD_SECURE: u32 = 9;
const RECORD_UPCASE: u32 = 10;

/// The largest `$Bitmap` that is read to count free clusters: that of 512 GiB in clusters of 4 KiB.
const MAX_BITMAP: u64 = 16 << 20;

/// What to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// List NTFS's own files (`$MFT`, `$Bitmap`, …) in the root folder. Without this they can be looked up by name, but
    /// are not listed.
    pub metafiles: bool,
    /// Serve encrypted streams (EFS) as they lie, in whole blocks of 512 bytes, and what decrypts them as the stream `$EFS`
    /// of the file. Without this they are refused.
    pub raw_encrypted: bool,
    /// Show deleted files, and files that no folder has, in two folders of their own in the root folder.
    pub deleted: bool,
    /// Serve what stands in clusters of deleted files that belong to others by now, instead of failing.
    pub accept_doubtful: bool,
}

/// An opened NTFS volume.
///
/// It is a [`Tree`](mount_api::Tree): node ids are the number of the file record times 65,536, plus the ordinal of the
/// stream (0 for the file or folder itself); [`NodeId::ROOT`](mount_api::NodeId::ROOT) stands for the root folder.
pub struct Ntfs {
    volume: Arc<Volume>,
    mft: Mft,
    upcase: UpCase,
    options: Options,
    label: Name,
    information: Option<VolumeInformation>,
    findings: Mutex<Findings>,
    free: Remade<u64>,
    files: ByRecord<u32, File>,
    streams: ByRecord<(u32, usize), Stream>,
    indexes: Cache<(u32, &'static str), Index>,
    nodes: Cache<NodeKey, Node>,
    surveys: Cache<u32, Survey>,
    descriptors: Cache<u32, Vec<u8>>,
    /// Where security descriptors stand, looked for where the index does not tell.
    descriptor_places: Remade<sds::Places>,
    units: Arc<Units>,
    wof_contents: Cache<u32, Stream>,
    wof_chunks: Arc<Chunks>,
    mft_survey: Remade<MftSurvey>,
    adopted: Adopted,
    /// Files with names in folders that their own records do not tell, and why not.
    doubted_names: Mutex<BTreeMap<u32, Code>>,
    /// Whether there are any.
    has_doubted_names: AtomicBool,
    recovery: Option<Recovery>,
    /// Whether nobody waits for the answer of what takes long.
    stop: Arc<AtomicBool>,
}

impl Ntfs {
    /// What was found while opening and reading so far.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).all()
    }

    /// The volume label; may be empty.
    #[must_use]
    pub fn label(&self) -> &Name {
        &self.label
    }

    /// The volume serial number, all 64 bits of it; Windows shows the lower 32.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.volume.boot.serial
    }

    /// The version of NTFS, 3.1 since Windows XP; `None` where `$Volume` cannot be read.
    #[must_use]
    pub fn version(&self) -> Option<(u8, u8)> {
        self.information.map(|information| information.version)
    }

    /// Whether the volume was in use when it was last written; `None` where `$Volume` cannot be read.
    #[must_use]
    pub fn is_dirty(&self) -> Option<bool> {
        self.information.map(|information| information.dirty)
    }

    /// Bytes of a cluster: a power of two from 256 to 2 MiB.
    #[must_use]
    pub fn cluster_size(&self) -> u64 {
        self.volume.boot.cluster_size
    }

    fn note(&self, code: Code, severity: Severity, text: String) {
        self.add_finding(Finding::new(code, severity, text));
    }

    fn add_finding(&self, finding: Finding) {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).add(finding);
    }

    /// The file in a record.
    fn file(&self, number: u32) -> Result<Arc<File>, Error> {
        // What was put together before all records were read is looked at again.
        let all_read = self.mft_survey.is_made();
        if let Some(file) = self.files.get(&number).filter(|file| file.compared || !all_read) {
            return Ok(file);
        }
        let watch = self.volume.losses.watch();
        let file = self.read_file(number);
        let bad = match &file {
            Ok(file) => file.missing.as_ref().filter(|_| !file.freed),
            Err(error) => Some(error).filter(|error| error.code() == Some(Code::NtfsAttributeListBad.as_str())),
        };
        if let Some(error) = bad {
            let text = format!("An attribute list does not hold, and attributes of its file may be lost: {error}");
            self.note(Code::NtfsAttributeListBad, Severity::Error, text);
        }
        let file = File { compared: all_read, ..file? };
        if let Some(what) = file.lacks_names() {
            let text = format!("File record {number}: {what}; the file is listed as its folder has it");
            self.note(Code::NtfsFileRecordBad, Severity::Error, text);
            self.doubt_names_of(number, Code::NtfsFileRecordBad);
        }
        let file = Arc::new(file);
        self.files.insert(number, Arc::clone(&file), file.weight(), watch.holds());
        Ok(file)
    }

    /// The value of one of a file's attributes.
    fn value(&self, file: &File, index: usize) -> Result<Arc<Stream>, Error> {
        let key = (file.number, index);
        // What stands in the record is at hand with it.
        let is_resident =
            file.attributes.get(index).is_some_and(|attribute| matches!(attribute.value, file::Value::Resident(_)));
        if !is_resident && let Some(stream) = self.streams.get(&key) {
            return Ok(stream);
        }
        let watch = self.volume.losses.watch();
        let fetch = |_: &extents::Extents, reference| self.referred(file, reference);
        let (stream, damage) = Stream::open(file, index, self.volume_of(file), &self.units, &fetch)?;
        let stream = if self.options.raw_encrypted { stream.still_encrypted() } else { stream };
        if let Some(error) = damage.filter(|_| !file.freed) {
            let text = format!("Parts of a run list cannot be had, and the bytes that they lead to are lost: {error}");
            self.note(Code::NtfsRunListBad, Severity::Error, text);
        }
        let stream = Arc::new(stream);
        if !is_resident {
            self.streams.insert(key, Arc::clone(&stream), stream.weight(), watch.holds());
        }
        Ok(stream)
    }

    /// The value of the attribute of this type and name, where there is one.
    fn value_named(&self, file: &File, kind: u32, name: &[u16]) -> Result<Option<Arc<Stream>>, Error> {
        let index = file.attributes.iter().position(|attribute| attribute.kind == kind && attribute.name == name);
        index.map(|index| self.value(file, index)).transpose()
    }

    fn unnamed_stream(&self, file: &File) -> Result<Arc<Stream>, Error> {
        let stream = self.value_named(file, attribute::DATA, &[])?;
        stream.ok_or_else(|| corrupt(format!("file record {}: it has no unnamed stream", file.number)))
    }

    /// An index of a file.
    fn index(&self, file: &File, name: &'static str) -> Result<Arc<Index>, Error> {
        let key = (file.number, name);
        if let Some(index) = self.indexes.get(&key) {
            return Ok(index);
        }
        let watch = self.volume.losses.watch();
        let units: Vec<u16> = name.encode_utf16().collect();
        let owner = format!("file record {}: index {name}", file.number);
        let root = self.value_named(file, attribute::INDEX_ROOT, &units)?;
        let lost = file.attributes.is_empty();
        let why = if lost { "its file record cannot be read" } else { "it has no $INDEX_ROOT" };
        let root = root.ok_or_else(|| corrupt(format!("{owner}: {why}")))?;
        let allocation = self.value_named(file, attribute::INDEX_ALLOCATION, &units)?;
        // Without the bitmap a folder that is whole can be read all the same.
        let bitmap = self.value_named(file, attribute::BITMAP, &units).unwrap_or(None);
        let bytes = root.resident().ok_or_else(|| corrupt(format!("{owner}: its $INDEX_ROOT is not resident")))?;
        let index = Arc::new(Index::new(owner, bytes, allocation, bitmap, &self.volume)?);
        let weight = bytes.len();
        self.indexes.insert(key, Arc::clone(&index), weight, watch.holds());
        Ok(index)
    }

    /// A node of an index.
    fn node(&self, index: &Index, record: u32, name: &'static str, place: NodePlace) -> Result<Arc<Node>, Error> {
        if let Some(node) = self.kept_node(index, record, name, place) {
            return Ok(node);
        }
        let watch = self.volume.losses.watch();
        let (node, trust) = index.read(&self.volume, place)?;
        if let Trust::Doubtful(code) = trust {
            let text = format!("Index blocks of file record {record} are doubtful ({code}), and so is what they name");
            self.note(Code::NtfsIndexDoubtful, Severity::Error, text);
        }
        let node = Arc::new(node);
        self.keep_node((record, name, place), Arc::clone(&node), watch.holds());
        Ok(node)
    }

    /// A node that need not be read.
    fn kept_node(&self, index: &Index, record: u32, name: &'static str, place: NodePlace) -> Option<Arc<Node>> {
        if place == 0 { Some(Arc::clone(index.root())) } else { self.nodes.get(&(record, name, place)) }
    }

    fn keep_node(&self, key: NodeKey, node: Arc<Node>, holds: Holds) {
        let weight = node.weight();
        self.nodes.insert(key, node, weight, holds);
    }

    /// Unallocated bytes by `$Bitmap`; 0 where it cannot be read, or would take long to.
    fn free_bytes(&self) -> u64 {
        let free = self.free.get(&self.volume.losses, || {
            let used = self.file(RECORD_BITMAP).and_then(|file| self.unnamed_stream(&file)).ok();
            let free = used.and_then(|bitmap| count_zeros(&bitmap, &self.volume));
            free.unwrap_or(0).saturating_mul(self.volume.boot.cluster_size)
        });
        free.map_or(0, |free| *free)
    }
}

/// Zero bits among the first ones of `$Bitmap`, as many as there are clusters.
fn count_zeros(bitmap: &Stream, volume: &Volume) -> Option<u64> {
    let clusters = volume.boot.clusters();
    let length = clusters.div_ceil(8);
    if length > MAX_BITMAP.min(bitmap.size()) {
        return None;
    }
    let mut bytes = vec![0; to_usize(length)];
    let mut faults = Faults::new();
    bitmap.read(volume, 0, &mut bytes, &mut faults).ok()?;
    // Bits past the last cluster are of no cluster, whatever they are.
    if let (Some(last), rest @ 1..) = (bytes.last_mut(), clusters % 8) {
        *last &= !(u8::MAX << rest);
    }
    let used: u64 = bytes.iter().map(|byte| u64::from(byte.count_ones())).sum();
    (!faults.any_lost()).then(|| clusters.saturating_sub(used))
}

fn corrupt(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, text)
}

fn lost(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Lost, text)
}

fn unsupported(text: impl Into<String>) -> Error {
    Error::new(ErrorKind::Unsupported, text)
}

/// A count as a length in memory; what does not fit is larger than any memory.
fn to_usize(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// A length in memory as a count.
fn to_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
