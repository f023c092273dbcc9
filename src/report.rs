//! Findings: what was noticed while opening and reading, in words and in stable codes.

mod advice;
mod shell;

use std::ffi::OsStr;
use std::path::Path;

use serde::Serialize;

pub use shell::quoted;

/// How much a [`Finding`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing; nothing is wrong.
    Information,
    /// Something is damaged or unusual, but every byte is still known.
    Warning,
    /// Bytes are lost or doubtful.
    Error,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable, kebab-case.
    pub code: Code,
    /// How much it matters.
    pub severity: Severity,
    /// Which link of the chain, counted from the opened (youngest) one at 0.
    pub link: Option<u32>,
    /// The image file, as it was opened.
    pub file: Option<String>,
    /// The structure, in the format's own words.
    pub structure: Option<&'static str>,
    /// Byte offset in the file.
    pub offset: Option<u64>,
    /// One plain sentence: what is so.
    pub text: String,
    /// What should stand there.
    pub expected: Option<String>,
    /// What stands there.
    pub found: Option<String>,
    /// What to try next.
    pub advice: Option<String>,
}

/// What stands for the name of the image in `--assume IMAGE:WHAT=VALUE` of an advice, until [`Finding::name_image`] knows it.
pub(crate) const THE_IMAGE: &str = "IMAGE";

/// `advice` with the name of the image in its switches: the file's name, or the whole path where that would be taken for a switch.
fn with_name(advice: &str, file: &Path) -> String {
    let is_switch = |name: &&OsStr| name.as_encoded_bytes().starts_with(b"-");
    let name = file.file_name().filter(|name| !is_switch(name)).unwrap_or(file.as_os_str());
    let placeholder = format!("{THE_IMAGE}:");
    let mut pieces = advice.split(placeholder.as_str());
    let mut named = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (fact, rest) = piece.split_once(' ').map_or((piece, None), |(fact, rest)| (fact, Some(rest)));
        let mut word = name.to_owned();
        word.push(format!(":{fact}"));
        named.push_str(&quoted(Path::new(&word)));
        named.extend(rest.into_iter().flat_map(|rest| [" ", rest]));
    }
    named
}

impl Finding {
    /// A finding with a plain sentence, and with the advice that its code has for everybody: what is worth a warning names the next
    /// thing to try.
    pub fn new(code: Code, severity: Severity, text: impl Into<String>) -> Self {
        Finding {
            code,
            severity,
            link: None,
            file: None,
            structure: None,
            offset: None,
            text: text.into(),
            expected: None,
            found: None,
            advice: advice::for_finding(code, severity).map(str::to_owned),
        }
    }

    /// Names the structure and its byte offset in the file.
    #[must_use]
    pub fn at(mut self, structure: &'static str, offset: u64) -> Self {
        self.structure = Some(structure);
        self.offset = Some(offset);
        self
    }

    /// Names the link of the chain and its file.
    #[must_use]
    pub fn in_link(mut self, link: u32, file: &Path) -> Self {
        self.link = Some(link);
        self.file = Some(file.display().to_string());
        self.name_image(file)
    }

    /// Names the image that the switches of its advice speak of.
    #[must_use]
    pub(crate) fn name_image(mut self, file: &Path) -> Self {
        self.advice = self.advice.map(|advice| with_name(&advice, file));
        self
    }

    /// Says what was expected and what was found.
    #[must_use]
    pub fn versus(mut self, expected: impl Into<String>, found: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self.found = Some(found.into());
        self
    }

    /// Says what to try next, where that is more than the code has for everybody.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The stable code of a finding, of a lost or of a doubtful range. Codes never change their meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// All codes there are.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The code as it is written in reports.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Code::$name => $text,)*
                }
            }

            /// The code of this text: that of a [`Fault`](crate::Fault).
            #[must_use]
            pub fn named(text: &str) -> Option<Code> {
                Self::ALL.iter().copied().find(|code| code.as_str() == text)
            }
        }
    };
}

codes! {
    /// Bytes were asked for that lie past the end of what was read.
    ReadPastEnd = "read-past-end",
    /// The host could not read a part of an image.
    HostReadError = "host-read-error",
    /// A part of an image was not read: the storage took too long to fail beside it. It is tried again after a minute.
    HostReadSkipped = "host-read-skipped",
    /// An image ends before the end that it had when it was opened.
    ImageShrank = "image-shrank",
    /// Something wrote to an image while it was open: all that is read from it since is doubtful.
    ImageChanged = "image-changed",
    /// By the map of the ddrescue run that copied an image, these bytes could not be copied.
    NotRescued = "not-rescued",
    /// The file type identifier is not `vhdxfile`, but the structures behind it are there.
    FileTypeIdentifierBad = "file-type-identifier-bad",
    /// The name is that of a VHDX, and nothing in the file is: it is read as a raw disk.
    ReadAsRaw = "read-as-raw",
    /// One of the two headers does not hold.
    HeaderBad = "header-bad",
    /// Neither header holds: log and identity are not known; all that the tables tell is doubtful where a log might change it.
    HeadersLost = "headers-lost",
    /// Both headers hold, have one sequence number and differ.
    HeadersAmbiguous = "headers-ambiguous",
    /// The headers are older than the file: the log that they name was done with before later sessions wrote.
    HeadersOutdated = "headers-outdated",
    /// One of the two region tables does not hold.
    RegionTableBad = "region-table-bad",
    /// Neither region table holds; the regions were found otherwise, and all that they tell is doubtful.
    RegionTablesLost = "region-tables-lost",
    /// Both region tables hold and differ.
    RegionTablesDiffer = "region-tables-differ",
    /// A region that this program does not know. Where it is required, and accepted all the same, all is doubtful.
    RegionUnknown = "region-unknown",
    /// The metadata table does not hold, but its entries are those of a metadata table.
    MetadataTableBad = "metadata-table-bad",
    /// A metadata item that this program does not know. Where it is required, and accepted all the same, all is doubtful.
    MetadataItemUnknown = "metadata-item-unknown",
    /// A metadata item is missing or breaks its rules, and its value could be had otherwise.
    MetadataItemBad = "metadata-item-bad",
    /// Metadata that the disk cannot be read without is lost and was inferred: what depends on it is doubtful.
    MetadataInferred = "metadata-inferred",
    /// The parent locator breaks its rules.
    ParentLocatorBad = "parent-locator-bad",
    /// The log was dirty and was replayed in memory.
    LogReplayed = "log-replayed",
    /// The log was dirty and was not replayed, as asked for.
    LogReplayDeclined = "log-replay-declined",
    /// A LogGuid is set, yet no entry bears it: the machine stopped before the first one, or the log was lost.
    LogEmpty = "log-empty",
    /// A LogGuid is set, and no complete sequence bears it: what its entries were about to change is doubtful.
    LogTorn = "log-torn",
    /// One header is damaged, and the log holds entries that the other does not know: what they would change is doubtful.
    LogUnclaimed = "log-unclaimed",
    /// Whole log entries are newer than any complete sequence, and one before them does not hold: what they change is doubtful.
    LogEntriesCutOff = "log-entries-cut-off",
    /// The newest log entries were written as a whole and do not hold: what they change is doubtful.
    LogNewestDamaged = "log-newest-damaged",
    /// Pages of a file that was closed are not what its log last made of them: writes after it were lost, or a tool changed
    /// them without a log.
    LogWriteLost = "log-write-lost",
    /// A page of the BAT or of a sector bitmap of a closed file cannot be read, and is taken from its log.
    TablePageFromLog = "table-page-from-log",
    /// A log entry changes what no log may change.
    LogWritesForbiddenPlace = "log-writes-forbidden-place",
    /// The header has the log reach into a region of the file.
    LogOnRegion = "log-on-region",
    /// A part of the log cannot be read, or is the damaged header of an entry.
    LogUnreadable = "log-unreadable",
    /// The file is shorter than the log says that it was flushed, or, told by `scan`, than its BAT region.
    FileTruncated = "file-truncated",
    /// The file is shorter than it was before a power loss; the missing tail reads as zeros.
    FileTailMissing = "file-tail-missing",
    /// The file does not end at a multiple of 1 MiB, as every writer makes it: bytes were appended, or moved what stands in it.
    FileEndMisaligned = "file-end-misaligned",
    /// The BAT region is shorter than the disk needs.
    BatShort = "bat-short",
    /// A part of the BAT cannot be read.
    BatUnreadable = "bat-unreadable",
    /// A BAT entry points past the end of the file.
    BlockPastEnd = "block-past-end",
    /// A BAT entry has reserved bits set, so its place is not a multiple of 1 MiB.
    BlockMisaligned = "block-misaligned",
    /// A BAT entry points onto a structure of the container.
    BlockOnStructure = "block-on-structure",
    /// A BAT entry has a state that the format does not know.
    BlockStateReserved = "block-state-reserved",
    /// A BAT entry is partially present in an image that has no parent.
    BlockPartialWithoutParent = "block-partial-without-parent",
    /// A page of the BAT or of a sector bitmap holds what no log wrote: all that it places is doubtful.
    TableOverwritten = "table-overwritten",
    /// A BAT entry has state 5, the UNMAPPED of version 0.95 of the format; it reads as zeros.
    BlockStateOldUnmapped = "block-state-old-unmapped",
    /// Two blocks claim one place in the file: nothing tells which of them is right.
    BlocksOverlap = "blocks-overlap",
    /// Blocks stand in the file that no BAT entry owns: their entries may be lost, and what they placed is doubtful.
    BlocksUnowned = "blocks-unowned",
    /// BAT entries that claim nothing keep places in the file that nothing else owns: their states may be damaged.
    BlockPlaceKept = "block-place-kept",
    /// The BAT was not made for the sizes that the metadata tell.
    BatContradictsMetadata = "bat-contradicts-metadata",
    /// So much of what an image says is doubtful that not all of it is told apart: what stands between counts as doubtful too.
    DoubtsUnited = "doubts-united",
    /// A sector bitmap that is needed is not there.
    BitmapMissing = "bitmap-missing",
    /// A sector bitmap holds no sector of a partially present block: it may have been wiped, and the block is doubtful.
    BitmapEmpty = "bitmap-empty",
    /// The bits of a sector bitmap are noise, and have nothing to do with what the sectors hold.
    BitmapNoise = "bitmap-noise",
    /// A sector bitmap that is needed cannot be read.
    BitmapUnreadable = "bitmap-unreadable",
    /// A parent is missing: what would come from it or from below it is lost.
    LinkMissing = "link-missing",
    /// Nothing proves that an image is the parent of its child, and the user allowed it: all from it or below is doubtful.
    LinkUnproven = "link-unproven",
    /// The parent was found elsewhere than its child says.
    ParentElsewhere = "parent-elsewhere",
    /// The parent is the one by its identity, and in the recorded place stands a child of it: one of the two is left out wrongly.
    ParentSkipsLink = "parent-skips-link",
    /// The parent fits only the GUID that a merge was about to give it, or is not proven and bears the one that the merge of another
    /// child gave it.
    ParentMidMerge = "parent-mid-merge",
    /// The parent has another size than its child.
    ParentSizeDiffers = "parent-size-differs",
    /// The parent has another logical sector size than its child.
    ParentSectorSizeDiffers = "parent-sector-size-differs",
    /// The parent carries another virtual disk id than its child.
    DiskIdDiffers = "disk-id-differs",
    /// The parents lead back to the image itself: the chain has no base.
    ChainCycle = "chain-cycle",
    /// Several files bear one identity: copies of each other, or of one image at different times.
    IdentityShared = "identity-shared",
    /// The name is that of a file which a backup makes and should remove: not the newest state.
    BackupLeftover = "backup-leftover",
    /// A child of the opened image lies beside it: the opened one is not the newest state.
    YoungerBeside = "younger-beside",
    /// Not all images beside the chain were asked whether they are younger states or copies.
    ImagesUnasked = "images-unasked",
    /// A saved state of the machine lies in its folder: what was in memory then is not on the disk.
    SavedStateBeside = "saved-state-beside",
    /// A log of Hyper-V Replica lies in the machine's folder: changes that one side does not have yet.
    ReplicaLogBeside = "replica-log-beside",
    /// The primary GPT does not hold; the backup is used.
    GptPrimaryBad = "gpt-primary-bad",
    /// Neither copy of the GPT holds as a whole: what can be had of its entries is shown, if anything.
    GptLost = "gpt-lost",
    /// The backup GPT does not hold.
    GptBackupBad = "gpt-backup-bad",
    /// A GPT that holds, and a master boot record that has partitions of its own and announces none: the latter are shown.
    GptUnprotected = "gpt-unprotected",
    /// A GPT that was made for other sectors than those that the metadata of the image tell.
    GptSectorSize = "gpt-sector-size",
    /// A partition table entry breaks its rules, or two claim the same bytes.
    PartitionBad = "partition-bad",
    /// A part of a partition table could not be read.
    PartitionTableUnreadable = "partition-table-unreadable",
    /// A part of a partition table is doubtful, and so is what volumes the disk has.
    PartitionTableDoubtful = "partition-table-doubtful",
    /// The bytes that would tell which file system a volume has are lost or doubtful.
    FileSystemLost = "file-system-lost",
    /// A volume that should have a file system of Windows has none that is known.
    FileSystemUnknown = "file-system-unknown",
    /// The NTFS boot sector does not hold; its backup is used, or what the `$MFT` proves of it.
    NtfsBootSectorBad = "ntfs-boot-sector-bad",
    /// A file record does not hold.
    NtfsFileRecordBad = "ntfs-file-record-bad",
    /// A file record is an old version of itself: a folder knows a later file in it.
    NtfsFileRecordOld = "ntfs-file-record-old",
    /// The first file record does not hold; its copy in `$MFTMirr` is used.
    NtfsMirrorUsed = "ntfs-mirror-used",
    /// One of the first four file records and its copy in `$MFTMirr` differ, or one of the two does not hold.
    NtfsMirrorDiffers = "ntfs-mirror-differs",
    /// Neither the first file record nor its copy holds: the `$MFT` is read as far as it stands in one piece, or as their runs lead to it.
    NtfsMftInferred = "ntfs-mft-inferred",
    /// One of NTFS's own files does not hold, and the volume is read without it.
    NtfsMetafileBad = "ntfs-metafile-bad",
    /// A folder index does not hold; the names were taken from the records of the files.
    NtfsIndexBad = "ntfs-index-bad",
    /// A folder index was read through doubtful bytes, or has a name that the record of its file does not tell.
    NtfsIndexDoubtful = "ntfs-index-doubtful",
    /// A run list does not hold.
    NtfsRunListBad = "ntfs-run-list-bad",
    /// An attribute list does not hold.
    NtfsAttributeListBad = "ntfs-attribute-list-bad",
    /// Compressed data of a stream do not decompress.
    NtfsCompressionBad = "ntfs-compression-bad",
    /// A stream is encrypted (EFS), and the key is not at hand.
    Encrypted = "encrypted",
    /// The content of a file is in the chunk store of data deduplication.
    Deduplicated = "deduplicated",
    /// The content of a file is kept elsewhere: in the cloud, in remote storage, in a single-instance store, in a WIM file.
    ContentElsewhere = "content-elsewhere",
    /// A stream is compressed in a way that this program does not know.
    CompressionUnknown = "compression-unknown",
    /// Clusters of a deleted file belong to another file by now: what stands in them may be that one's.
    NtfsClustersReused = "ntfs-clusters-reused",
    /// A deleted file: nothing proves that nobody else had its clusters meanwhile.
    NtfsClustersFreed = "ntfs-clusters-freed",
    /// More than one file claims the same clusters: at most one of them is right.
    NtfsClustersShared = "ntfs-clusters-shared",
    /// Clusters that files claim are free by `$Bitmap`.
    NtfsClustersFree = "ntfs-clusters-free",
    /// Files and folders are in use, and by their own records no folder has them.
    NtfsOrphans = "ntfs-orphans",
    /// The volume is of a version of NTFS that is not known.
    NtfsVersionUnknown = "ntfs-version-unknown",
    /// `$LogFile` was not closed: the last changes may be in it alone.
    NtfsLogDirty = "ntfs-log-dirty",
    /// chkdsk was the last that worked on the volume.
    NtfsLogChecked = "ntfs-log-checked",
    /// Whether `$LogFile` was closed cannot be told.
    NtfsLogUnreadable = "ntfs-log-unreadable",
    /// A volume claims to be larger than what holds it.
    VolumeCut = "volume-cut",
    /// The volume was not unmounted cleanly; it is read as it lies.
    VolumeDirty = "volume-dirty",
    /// Windows was hibernated, or shut down with fast startup: the newest changes may be in `hiberfil.sys` alone.
    VolumeHibernated = "volume-hibernated",
    /// A volume whose file system this program does not read.
    VolumeUnread = "volume-unread",
    /// Lost bytes read as zeros, as asked for.
    LostAsZeros = "lost-as-zeros",
    /// More was found in a volume than is kept: what else there is is not told.
    FindingsLeftOut = "findings-left-out",
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{Code, Finding, Severity, quoted};
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn the_switches_of_an_advice_name_the_image_as_a_shell_takes_it() {
        let advice = |file: &str| {
            let advice = "--assume IMAGE:block-size=2M --assume IMAGE:parent=yes";
            let finding = Finding::new(Code::BatShort, Severity::Error, "").advise(advice);
            finding.in_link(0, Path::new(file)).advice.unwrap()
        };
        assert_eq!(advice("/v/VM.vhdx"), "--assume VM.vhdx:block-size=2M --assume VM.vhdx:parent=yes");
        let word = |word: &str| quoted(Path::new(word));
        let (size, parent) = (word("VM 1.vhdx:block-size=2M"), word("VM 1.vhdx:parent=yes"));
        assert_eq!(advice("/v/VM 1.vhdx"), format!("--assume {size} --assume {parent}"));
        assert!(advice("/v/-VM.vhdx").starts_with("--assume /v/-VM.vhdx:block-size=2M "));
    }

    #[test]
    fn codes_are_kebab_case_and_distinct() {
        let all: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(all.len(), Code::ALL.len());
        for code in all {
            assert!(code.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{code}");
        }
    }
}
