//! What an opened disk holds: its chain, its partition table, its volumes.

use std::sync::Arc;

use mount_api::{LostReads, Tree};

use crate::chain::Chain;
use crate::fs::{self, FsOptions, LookAgain};
use crate::image::{ReadAt, Slice};
use crate::report::{Code, Finding, Severity};
use crate::volume::{self, Partition, Promise, Scheme};

use super::untold;

/// Volumes whose file systems are opened: as many as Windows gives a disk. A forged table of thousands would fill the memory.
pub(super) const MAX_OPENED: usize = 128;

/// An opened disk.
pub struct Inventory {
    /// The images.
    pub chain: Chain,
    /// What divides the disk.
    pub scheme: Scheme,
    /// The volumes, by number.
    pub volumes: Vec<Volume>,
    /// What was found in partition tables. The chain and each volume have findings of their own.
    pub findings: Vec<Finding>,
    /// What a program that reads the disk or its files gets for lost bytes.
    lost_reads: LostReads,
}

/// One volume of a disk.
pub struct Volume {
    /// Where it lies, and its number.
    pub partition: Partition,
    /// Its bytes.
    pub bytes: Arc<dyn ReadAt>,
    /// The file system by name, where it is known.
    pub file_system: Option<&'static str>,
    /// Its files, where the file system is one that this program reads.
    pub tree: Option<Arc<dyn Tree>>,
    /// What was found while opening it; after [`Inventory::look_again`], also while reading from it.
    pub findings: Vec<Finding>,
    look_again: Option<LookAgain>,
}

impl Inventory {
    /// Looks for the volumes of a chain's disk and opens them. Damage to one volume costs that volume.
    #[must_use]
    pub fn take(chain: Chain, options: &FsOptions) -> Self {
        Self::take_each(chain, |_| options.clone())
    }

    /// As [`Inventory::take`], each volume as it is wanted by its number.
    #[must_use]
    pub fn take_each(chain: Chain, options: impl Fn(u32) -> FsOptions) -> Self {
        let mut findings = Vec::new();
        let disk: Arc<dyn ReadAt> = chain.disk().clone();
        let table = volume::find(&disk, chain.disk().geometry().logical_sector_size, &mut findings);
        // Its sectors are those of the disk.
        if let Some(youngest) = chain.links().first() {
            findings = findings.into_iter().map(|finding| finding.name_image(&youngest.path)).collect();
        }
        let opened = table.partitions.into_iter().zip(1usize..);
        let volumes = opened
            .map(|(partition, nth)| match nth {
                ..=MAX_OPENED => Volume::open(&disk, &options(partition.number), partition),
                _ => Volume::leave(&disk, partition),
            })
            .collect();
        Inventory { chain, scheme: table.scheme, volumes, findings, lost_reads: LostReads::Fail }
    }

    /// Has zeros stand for lost bytes wherever this disk is shown, and says so in the report. The library's own reads name
    /// what is lost as before.
    #[must_use]
    pub fn with_lost_as_zeros(mut self) -> Self {
        let text = "lost bytes read as zeros, as asked for: what is lost cannot be told from what is zero";
        let finding = Finding::new(Code::LostAsZeros, Severity::Warning, text)
            .advise("whatever is copied from here may have holes; without --lost zero a read of lost bytes fails");
        self.findings.push(finding);
        self.lost_reads = LostReads::Zeros;
        self
    }

    /// What a program that reads the disk or its files gets for lost bytes.
    #[must_use]
    pub fn lost_reads(&self) -> LostReads {
        self.lost_reads
    }

    /// The volume of this number.
    #[must_use]
    pub fn volume(&self, number: u32) -> Option<&Volume> {
        self.volumes.iter().find(|volume| volume.partition.number == number)
    }

    /// Findings by which the disk may have volumes that are not known.
    pub fn missing_volumes(&self) -> impl Iterator<Item = &Finding> {
        let tells = |finding: &&Finding| match finding.code {
            Code::PartitionTableUnreadable | Code::PartitionTableDoubtful | Code::PartitionBad | Code::GptLost => {
                finding.severity == Severity::Error
            }
            _ => false,
        };
        self.findings.iter().filter(tells)
    }

    /// Findings by which files may be on the disk that are not shown: whole volumes of them.
    pub fn missing_files(&self) -> impl Iterator<Item = &Finding> {
        self.missing_volumes().chain(self.volumes.iter().filter_map(Volume::missing_files))
    }

    /// Takes in what was found in the volumes while reading from them.
    pub fn look_again(&mut self) {
        for volume in &mut self.volumes {
            if let Some(look) = &volume.look_again {
                volume.findings = look();
            }
        }
    }

    /// All findings: of the chain, the partition table and the volumes.
    pub fn all_findings(&self) -> impl Iterator<Item = &Finding> {
        let volumes = self.volumes.iter().flat_map(|volume| &volume.findings);
        self.chain.findings().iter().chain(&self.findings).chain(volumes)
    }
}

impl Volume {
    fn open(disk: &Arc<dyn ReadAt>, options: &FsOptions, partition: Partition) -> Self {
        let bytes = bytes_of(disk, &partition);
        let opened = fs::open(&bytes, options);
        let mut findings = opened.findings;
        findings.extend(opened.untold.and_then(|untold| untold::finding(&partition, opened.name, untold)));
        let (file_system, tree, look_again) = (opened.name, opened.tree, opened.look_again);
        Volume { partition, bytes, file_system, tree, findings, look_again }
    }

    /// Why files may be in the volume that are not shown: it is damaged, it should have a file system and none is known in
    /// it, or it was left out. `None` where its files are shown, and where all was read and it has none that could be.
    #[must_use]
    pub fn missing_files(&self) -> Option<&Finding> {
        let tells = |finding: &&Finding| match finding.code {
            Code::FileSystemUnknown => self.partition.kind.promises() == Promise::Ntfs,
            Code::VolumeUnread => true,
            _ => finding.severity == Severity::Error,
        };
        self.findings.iter().filter(|_| self.tree.is_none()).find(tells)
    }

    /// The volume as bytes alone.
    fn leave(disk: &Arc<dyn ReadAt>, partition: Partition) -> Self {
        let text = format!("the disk has more than {MAX_OPENED} partitions: the files of this one are not shown");
        let finding = Finding::new(Code::VolumeUnread, Severity::Warning, text);
        let (bytes, findings) = (bytes_of(disk, &partition), vec![finding]);
        Volume { bytes, partition, file_system: None, tree: None, findings, look_again: None }
    }
}

fn bytes_of(disk: &Arc<dyn ReadAt>, partition: &Partition) -> Arc<dyn ReadAt> {
    let size = partition.disk.end.saturating_sub(partition.disk.start);
    Arc::new(Slice::new(Arc::clone(disk), partition.disk.start, size))
}
