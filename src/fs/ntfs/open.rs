//! Opening a volume: the boot sector or its backup, the `$MFT` or its mirror, and what the metafiles say of the whole.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use mount_api::{Error, Faults, Name, Trust};

use super::adopted::Adopted;
use super::boot_proven;
use super::boot_sector::{self, BootCopy, BootSector};
use super::cache::{ByRecord, Cache};
use super::findings::Findings;
use super::losses::{Losses, Remade};
use super::mft::Mft;
use super::upcase::UpCase;
use super::volume::{self, Volume};
use super::volume_information::VolumeInformation;
use super::{Ntfs, Options, RECORD_ROOT, RECORD_UPCASE, RECORD_VOLUME, attribute, corrupt, to_u64};
use crate::fs::marks::Marks;
use crate::image::ReadAt;
use crate::report::{Code, Finding, Severity};

/// Bytes of memory for files, run lists (of files compressed by WOF, chunk tables), index blocks, surveys of folders,
/// and decompressed units and chunks, each. Some thousand files fit into the processor's own cache, and so does letting go
/// of them; a file that is wanted later is soon put together again.
const FILES_KEPT: usize = 4 << 20;
const STREAMS_KEPT: usize = 32 << 20;
pub(super) const NODES_KEPT: usize = 4 << 20;
const SURVEYS_KEPT: usize = 8 << 20;
const UNITS_KEPT: usize = 8 << 20;
const WOF_CHUNKS_KEPT: usize = 8 << 20;
const DESCRIPTORS_KEPT: usize = 1 << 20;

/// Opens the NTFS volume that begins at byte 0 of `volume`.
///
/// A bad boot sector is replaced by its backup at the end of the volume, a bad first file record by its copy in
/// `$MFTMirr`; where there is neither, the `$MFT` is read as far as it can be seen. A boot sector that is bad in one place and
/// has no backup is used where it leads to the `$MFT`. [`Ntfs::findings`] says so.
///
/// # Errors
/// When there is no boot sector, or no way to the `$MFT`.
pub fn open(volume: &Arc<dyn ReadAt>, options: Options) -> crate::Result<Ntfs> {
    let primary = boot_sector::primary(volume);
    // A sound boot sector is confirmed by its backup. One that is not may be wrong in a field that seems sound.
    let confirmed = primary.as_ref().is_ok_and(|own| boot_sector::is_confirmed(own, volume));
    let own = primary.as_ref().ok().cloned();
    let look = || if confirmed { Backups::default() } else { Backups::of(volume, own.as_ref()) };
    let backups = look();
    let counted = own.as_ref().filter(|_| !confirmed).and_then(|own| Way::clusters_counted(volume, own));
    let primary = primary.map_err(|error| error.to_string()).and_then(|own| match &backups.own {
        Some(backup) => own.beside(backup, counted),
        None if confirmed => Ok(BootCopy { trust: Trust::Proven, ..own }),
        None => Ok(own),
    });
    let by_count = |own: &BootCopy| Way::by_a_wrong_count(volume, own, counted?);
    if let Some(way) = primary.as_ref().ok().and_then(by_count) {
        return Ok(Ntfs::assemble(way, options));
    }
    let way = Way::find(volume, primary.clone(), None, Mft::open).or_else(|error| {
        // The storage may give now what it did not.
        let own = backups.own.or_else(|| look().own);
        let backups = Backups { own, ..backups };
        let way = Way::despite(volume, primary, &backups, confirmed, &error);
        way.ok_or_else(|| crate::Error::new(crate::ErrorKind::Corrupt, format!("NTFS cannot be opened: {error}")))
    })?;
    Ok(Ntfs::assemble(way, options))
}

/// What was found of backups of a boot sector that none confirms.
#[derive(Default)]
struct Backups {
    /// One that may be its own.
    own: Option<BootCopy>,
    /// One of another volume, by its serial number.
    foreign: Option<BootCopy>,
}

impl Backups {
    /// Of a boot sector, where that holds.
    fn of(volume: &dyn ReadAt, boot: Option<&BootCopy>) -> Self {
        match boot_sector::backup(volume) {
            Some(found) if boot.is_some_and(|boot| !boot.may_be_of(&found)) => {
                Backups { own: None, foreign: Some(found) }
            }
            own => Backups { own, foreign: None },
        }
    }
}

/// How the `$MFT` is found on a volume.
type OpenMft = fn(&Arc<Volume>, &mut Vec<Finding>) -> Result<Mft, Error>;

/// The way to the files: a boot sector, and the `$MFT` that it leads to.
struct Way {
    volume: Arc<Volume>,
    mft: Mft,
    /// What was met on it.
    met: Vec<Finding>,
}

impl Way {
    /// The error says in words why there is none.
    fn find(
        bytes: &Arc<dyn ReadAt>,
        boot: Result<BootCopy, String>,
        told: Option<Finding>,
        open: OpenMft,
    ) -> Result<Self, String> {
        let BootCopy { boot, trust, .. } = boot?;
        let volume = Arc::new(Volume { bytes: Arc::clone(bytes), boot, losses: Losses::default() });
        let mut met = Vec::from_iter(told);
        let mut mft = open(&volume, &mut met).map_err(|error| error.to_string())?;
        mft.trust_no_more_than(trust);
        Ok(Way { volume, mft, met })
    }

    /// Where the boot sector leads nowhere, by `error`.
    fn despite(
        volume: &Arc<dyn ReadAt>,
        primary: Result<BootCopy, String>,
        backups: &Backups,
        confirmed: bool,
        error: &str,
    ) -> Option<Self> {
        let is_alone = !confirmed && backups.own.is_none();
        let has_none = is_alone && backups.foreign.is_none();
        let by = |backup: &Option<BootCopy>, mft: OpenMft| {
            let backup = backup.clone()?;
            let text = format!("its backup at byte {} is used: {error}", backup.offset);
            Self::find(volume, Ok(backup), Some(boot_sector_bad(&text)), mft).ok()
        };
        by(&backups.own, Mft::open)
            .or_else(|| has_none.then(|| Self::by_wrong_marks(volume, error)).flatten())
            .or_else(|| Self::find(volume, primary, None, Mft::as_far_as_seen).ok())
            .or_else(|| by(&backups.own, Mft::as_far_as_seen))
            .or_else(|| is_alone.then(|| Self::by_a_wrong_size(volume, error)).flatten())
            // It may be the boot sector that is of another volume.
            .or_else(|| by(&backups.foreign, Mft::open))
    }

    /// How many clusters the volume has by its own files, which a boot sector leads to.
    fn clusters_counted(bytes: &Arc<dyn ReadAt>, own: &BootCopy) -> Option<u64> {
        // By a count that is much too small not even the `$MFT` stands on the volume.
        let as_large_as_can_be = |_| {
            let sectors = bytes.size().checked_div(own.boot.sector_size).unwrap_or(0);
            let boot = BootSector { sectors, ..own.boot.clone() };
            Self::find(bytes, Ok(BootCopy { boot, ..own.clone() }), None, Mft::open)
        };
        let way = Self::find(bytes, Ok(own.clone()), None, Mft::open).or_else(as_large_as_can_be).ok()?;
        way.mft.clusters_counted(own.boot.cluster_size)
    }

    /// By a boot sector of which only the count of sectors is wrong, where the volume's own files count more `clusters`. One that is
    /// too large costs nothing.
    fn by_a_wrong_count(bytes: &Arc<dyn ReadAt>, own: &BootCopy, clusters: u64) -> Option<Self> {
        if clusters <= own.boot.clusters() {
            return None;
        }
        let sectors = clusters.checked_mul(own.boot.cluster_size)?.checked_div(own.boot.sector_size)?;
        let text = format!(
            "there is no backup that says the same; it claims {} sectors, and by $Bitmap and $BadClus the volume has {clusters} clusters, which are {sectors}: so many are taken",
            own.boot.sectors
        );
        let boot = BootSector { sectors, ..own.boot.clone() };
        Self::find(bytes, Ok(BootCopy { boot, ..own.clone() }), Some(boot_sector_bad(&text)), Mft::open).ok()
    }

    /// By a boot sector with a wrong name or end mark that the `$MFT` proves.
    fn by_wrong_marks(bytes: &Arc<dyn ReadAt>, error: &str) -> Option<Self> {
        let read = |offset, length| {
            let mut read = vec![0; length];
            bytes.read_at(&mut read, offset, &mut Faults::new()).ok()?;
            Some(read)
        };
        let (offset, boot) = boot_proven::with_wrong_marks(bytes.size(), &read)?;
        let text =
            format!("the one at byte {offset} has a wrong name or end mark, leads to the $MFT, and is used: {error}");
        Self::by_proven(bytes, offset, boot, &text)
    }

    /// By a boot sector with one size that leads nowhere, where another one leads to the `$MFT`.
    fn by_a_wrong_size(bytes: &Arc<dyn ReadAt>, error: &str) -> Option<Self> {
        let boot = boot_proven::with_a_wrong_size(bytes)?;
        let text = format!(
            "the $MFT stands where it should by sectors of {} bytes, {} of them, clusters of {} and file records of {}: {error}",
            boot.sector_size, boot.sectors, boot.cluster_size, boot.record_size
        );
        Self::by_proven(bytes, 0, boot, &text)
    }

    fn by_proven(bytes: &Arc<dyn ReadAt>, offset: u64, boot: BootSector, text: &str) -> Option<Self> {
        let (_, trust) = boot_sector::sector_at(bytes, offset).ok()?;
        let told = boot_sector_bad(&format!("there is no backup; {text}"));
        Self::find(bytes, Ok(BootCopy { boot, offset, trust }), Some(told), Mft::open).ok()
    }
}

fn boot_sector_bad(text: &str) -> Finding {
    let text = format!("The boot sector does not hold; {text}");
    Finding::new(Code::NtfsBootSectorBad, Severity::Warning, text).at("boot sector", 0)
}

impl BootCopy {
    /// Whether a backup that does not confirm this one may be its own: the end of what holds the volume may still have that of an
    /// earlier one.
    fn may_be_of(&self, backup: &BootCopy) -> bool {
        self.trust != Trust::Proven || self.boot.serial == backup.boot.serial
    }

    /// What this one is worth beside a backup that does not confirm it, where the volume has so many clusters by its own files.
    fn beside(self, backup: &BootCopy, counted: Option<u64>) -> Result<BootCopy, String> {
        let (own_sectors, sectors) = (self.boot.sectors, backup.boot.sectors);
        let (own, other) = (self.trust == Trust::Proven, backup.trust == Trust::Proven);
        match (own, other) {
            (false, true) => Err("it is doubtful, and its backup says otherwise".to_owned()),
            (true, false) => Ok(self),
            // A volume that was made smaller may have no backup where it ends now.
            _ if counted == Some(self.boot.clusters()) => Ok(self),
            _ if own_sectors != sectors => Err(format!("it claims {own_sectors} sectors, and its backup {sectors}")),
            _ => Ok(self),
        }
    }
}

impl Ntfs {
    fn assemble(Way { volume, mft, met }: Way, options: Options) -> Ntfs {
        let mut findings = Findings::default();
        met.into_iter().for_each(|finding| findings.add(finding));
        let losses = volume.losses.clone();
        let mut ntfs = Ntfs {
            volume,
            mft,
            // Nothing is looked up by name before the table is read.
            upcase: UpCase::default(),
            options,
            label: Name::default(),
            information: None,
            findings: Mutex::new(findings),
            free: Remade::default(),
            files: ByRecord::new(FILES_KEPT, &losses),
            streams: ByRecord::new(STREAMS_KEPT, &losses),
            indexes: Cache::new(STREAMS_KEPT, &losses),
            nodes: Cache::new(NODES_KEPT, &losses),
            surveys: Cache::new(SURVEYS_KEPT, &losses),
            descriptors: Cache::new(DESCRIPTORS_KEPT, &losses),
            descriptor_places: Remade::default(),
            units: Arc::new(Cache::new(UNITS_KEPT, &losses)),
            wof_contents: Cache::new(STREAMS_KEPT, &losses),
            wof_chunks: Arc::new(Cache::new(WOF_CHUNKS_KEPT, &losses)),
            mft_survey: Remade::default(),
            adopted: Adopted::default(),
            doubted_names: Mutex::default(),
            has_doubted_names: AtomicBool::new(false),
            recovery: None,
            stop: Arc::default(),
        };
        ntfs.judge_size();
        ntfs.find_end_of_mft();
        ntfs.read_volume_metafile();
        match ntfs.read_upcase() {
            Ok(table) => ntfs.upcase = table,
            Err(error) => {
                ntfs.upcase = UpCase::of_unicode();
                let text = format!("$UpCase cannot be read; names are compared by Unicode's case instead: {error}");
                ntfs.note(Code::NtfsMetafileBad, Severity::Warning, text);
            }
        }
        if let Err(error) = ntfs.mft.file(RECORD_ROOT) {
            let text =
                "The record of the root folder cannot be read; its names are taken from the records of the files";
            ntfs.note(Code::NtfsFileRecordBad, Severity::Error, format!("{text}: {error}"));
        }
        ntfs.judge_state();
        ntfs.recovery = options.deleted.then(|| ntfs.prepare_recovery());
        ntfs
    }

    fn judge_size(&self) {
        let (claimed, there) = (self.volume.boot.volume_size(), self.volume.bytes.size());
        if there < claimed {
            let text = format!("The volume has {claimed} bytes, and only {there} are there; what lies behind is lost");
            let finding = Finding::new(Code::VolumeCut, Severity::Error, text).at("boot sector", 0x28);
            self.add_finding(finding.versus(claimed.to_string(), there.to_string()));
        }
    }

    fn read_volume_metafile(&mut self) {
        let file = match self.file(RECORD_VOLUME) {
            Ok(file) => file,
            Err(error) => {
                let text = format!("$Volume cannot be read; label, version and dirty flag are not known: {error}");
                return self.note(Code::NtfsMetafileBad, Severity::Warning, text);
            }
        };
        if let Some(label) = file.resident(attribute::VOLUME_NAME) {
            self.label = Name::from_units(crate::bytes::utf16_le(label));
        }
        self.information = file.resident(attribute::VOLUME_INFORMATION).and_then(VolumeInformation::parse);
        if self.information.is_some_and(|information| information.dirty) {
            let text = "The volume was not unmounted cleanly; it is read as it lies, without its log";
            self.note(Code::VolumeDirty, Severity::Warning, text.into());
        }
    }

    fn read_upcase(&self) -> Result<UpCase, Error> {
        let file = self.file(RECORD_UPCASE)?;
        let stream = self.unnamed_stream(&file)?;
        if stream.size() != to_u64(UpCase::LENGTH) {
            return Err(corrupt(format!("it has {} bytes", stream.size())));
        }
        let mut bytes = vec![0; UpCase::LENGTH];
        let mut faults = Faults::new();
        stream.read(&self.volume, 0, &mut bytes, &mut faults)?;
        volume::whole(&faults, || "its clusters".into())?;
        UpCase::parse(&bytes).ok_or_else(|| corrupt("it is no case table"))
    }
}

/// Whether a backup boot sector of NTFS stands near the end of the volume, or one with a wrong name that the `$MFT` proves.
pub(in crate::fs) fn has_boot_sector(marks: &Marks<'_>) -> bool {
    let read = |offset, length| Some(marks.read(offset, length));
    boot_sector::backup_of(marks.size(), read).is_some() || boot_proven::with_wrong_marks(marks.size(), &read).is_some()
}
