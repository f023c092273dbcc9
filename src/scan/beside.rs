//! Other files of a Hyper-V machine's folder, and names that backups leave behind.

use std::path::{Path, PathBuf};

use super::places::file_name;
use crate::bytes::Guid;

/// A file that says that a disk is not the machine's last state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// Its path.
    pub path: PathBuf,
    /// What it says.
    pub kind: BesideKind,
}

/// The kinds of [`Beside`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BesideKind {
    /// `.vsv`, `.vmrs`, or a `.bin` named by a GUID: the memory and the devices of a machine that was saved. A `.vmrs` is
    /// there for every machine of Windows Server 2016 and later, and large only where the machine was saved.
    SavedState,
    /// `.hrl`: what Hyper-V Replica has written down and not carried over, or not carried out.
    ReplicaLog,
}

/// What sort of file it is, by its name.
pub(super) fn kind_of(path: &Path) -> Option<BesideKind> {
    let extension = path.extension()?.to_string_lossy().to_lowercase();
    match extension.as_str() {
        "vsv" | "vmrs" => Some(BesideKind::SavedState),
        // A common ending; Hyper-V names the file by the machine's GUID.
        "bin" if is_guid(path.file_stem()?) => Some(BesideKind::SavedState),
        "hrl" => Some(BesideKind::ReplicaLog),
        _ => None,
    }
}

/// Whether an image bears the name of one that a backup makes for its own use. Hyper-V makes `NAME-AutoRecovery.avhdx` over
/// the disk while a shadow copy is taken and writes to it what applications undo in the copy. The machine never runs on it.
pub(super) fn is_leftover(path: &Path) -> bool {
    file_name(path).contains("autorecovery")
}

/// Whether a file is named like a disk image.
pub(super) fn is_named_like_an_image(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| matches!(extension.as_str(), "vhdx" | "avhdx" | "vhd" | "avhd" | "vhds"))
}

/// The folder of the machine that a file belongs to: Hyper-V keeps disks, configuration and checkpoints in folders of
/// well-known names below it.
pub(super) fn machine_folder(file: &Path) -> &Path {
    const PARTS: [&str; 4] = ["virtual hard disks", "virtual machines", "snapshots", "planned virtual machines"];
    let mut folder = file.parent().unwrap_or(file);
    while let (Some(name), Some(above)) = (folder.file_name(), folder.parent()) {
        if !PARTS.contains(&file_name(folder).as_str()) && !is_guid(name) {
            break;
        }
        folder = above;
    }
    folder
}

fn is_guid(name: &std::ffi::OsStr) -> bool {
    name.to_str().is_some_and(|name| Guid::parse(name).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUID: &str = "3c8f1a2e-0001-4aaa-8bbb-100000000000";

    #[test]
    fn a_bin_counts_only_under_a_guid() {
        assert_eq!(kind_of(Path::new("x/firmware.bin")), None);
        assert_eq!(kind_of(&Path::new("x").join(format!("{GUID}.bin"))), Some(BesideKind::SavedState));
        assert_eq!(kind_of(Path::new("x/a.VMRS")), Some(BesideKind::SavedState));
        assert_eq!(kind_of(Path::new("x/disk.hrl")), Some(BesideKind::ReplicaLog));
        assert_eq!(kind_of(Path::new("x/disk.vhdx")), None);
    }

    #[test]
    fn disks_and_states_of_one_machine_have_one_folder() {
        let state = Path::new("/vms/a/Virtual Machines").join(GUID).join("x.vsv");
        for file in [Path::new("/vms/a/Virtual Hard Disks/a.vhdx"), Path::new("/vms/a/a.vhdx"), &state] {
            assert_eq!(machine_folder(file), Path::new("/vms/a"), "{}", file.display());
        }
        assert_eq!(machine_folder(Path::new("a.vhdx")), Path::new(""));
    }

    #[test]
    fn auto_recovery_is_a_leftover_whatever_its_case() {
        assert!(is_leftover(Path::new("/v/VM-AutoRecovery.avhdx")));
        assert!(is_leftover(Path::new("/v/vm-AUTORECOVERY (2).avhdx")));
        assert!(!is_leftover(Path::new("/AutoRecovery/VM.avhdx")), "the folder's name does not count");
    }
}
