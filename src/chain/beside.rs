//! Other files of a Hyper-V machine's folder that say that a disk is not the machine's last state, and names that backups
//! leave behind.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::asking::Asked;
use super::link::{Found, Link, LinkProof, judge};
use crate::bytes::Guid;
use crate::format;
use crate::image::{Depth, ImageStore, file_name, leads_to_server};
use crate::report::{Code, Finding, Severity, quoted};

/// Files that one finding names.
const MAX_NAMED: usize = 4;

/// Files that are listed in one folder of a machine.
const MAX_FILES: usize = 10_000;

/// Folders in which Hyper-V keeps what belongs to a machine, by their names in lower case and as it spells them.
const PARTS: [(&str, &str); 4] = [
    ("virtual hard disks", "Virtual Hard Disks"),
    ("virtual machines", "Virtual Machines"),
    ("snapshots", "Snapshots"),
    ("planned virtual machines", "Planned Virtual Machines"),
];

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
pub(crate) fn kind_of(path: &Path) -> Option<BesideKind> {
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
/// the disk while a shadow copy is taken and writes to it what applications undo in the copy. The name proves nothing: a
/// machine may have been left running on such a file, and anybody may call a disk so.
pub(crate) fn is_named_by_a_backup(path: &Path) -> bool {
    let Some(stem) = stem(path) else { return false };
    // The host numbers copies: `NAME-AutoRecovery (2).avhdx`.
    let numbered = stem.strip_suffix(')').and_then(|stem| stem.rsplit_once(" ("));
    let numbered = numbered.filter(|(_, number)| number.bytes().all(|byte| byte.is_ascii_digit()));
    numbered.map_or(stem.as_str(), |(stem, _)| stem).ends_with("-autorecovery")
}

/// Whether a file is named like a disk image.
pub(crate) fn is_named_like_an_image(path: &Path) -> bool {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_some_and(|extension| matches!(extension.as_str(), "vhdx" | "avhdx" | "vhd" | "avhd" | "vhds"))
}

/// Whether a file is named like a VHDX.
pub(crate) fn is_named_like_a_vhdx(path: &Path) -> bool {
    let is_named = |name: &str| path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case(name));
    is_named("vhdx") || is_named("avhdx")
}

/// The folder of the machine that a file belongs to: Hyper-V keeps disks, configuration and checkpoints in folders of
/// well-known names below it.
pub(crate) fn machine_folder(file: &Path) -> &Path {
    let mut folder = file.parent().unwrap_or(file);
    while let (Some(name), Some(above)) = (folder.file_name(), folder.parent()) {
        let is_part = PARTS.iter().any(|(part, _)| *part == file_name(folder));
        if !is_part && !is_guid(name) {
            break;
        }
        folder = above;
    }
    folder
}

fn is_guid(name: &std::ffi::OsStr) -> bool {
    name.to_str().is_some_and(|name| Guid::parse(name).is_some())
}

/// That a child may be a backup's leftover, if its name says so.
fn may_be_leftover(link: &Link) -> Option<Finding> {
    let is_child = link.layer.identity().parent.is_some();
    let text =
        "by its name a backup made this file and did not remove it: the machine's newest state is mostly another";
    let advice = "`vhdx-mount scan FOLDER` shows which images of this disk can be opened";
    let finding = || Finding::new(Code::BackupLeftover, Severity::Warning, text).advise(advice);
    (is_child && is_named_by_a_backup(&link.path)).then(finding)
}

/// What saved states and replica logs say about the disks of their machine.
pub(crate) fn machine_findings(files: &[&Beside]) -> Vec<Finding> {
    let named = |kind| {
        let files = files.iter().filter(|one| one.kind == kind);
        Some(name_some(files.map(|one| one.path.as_path()))).filter(|files| !files.is_empty())
    };
    let saved = named(BesideKind::SavedState).map(|files| {
        let text = format!(
            "a saved state may hold what never reached the disk; a .vmrs is there for every machine and large only where it was saved: {files}"
        );
        Finding::new(Code::SavedStateBeside, Severity::Information, text)
    });
    let replica = named(BesideKind::ReplicaLog).map(|files| {
        let text =
            format!("Hyper-V Replica has logs here, which hold changes that one side does not have yet: {files}");
        Finding::new(Code::ReplicaLogBeside, Severity::Warning, text)
    });
    saved.into_iter().chain(replica).collect()
}

/// The first few files, and how many there are more; nothing where there are none.
pub(crate) fn name_some<'a>(mut files: impl Iterator<Item = &'a Path>) -> String {
    let mut named: Vec<String> = files.by_ref().take(MAX_NAMED).map(|file| file.display().to_string()).collect();
    match files.count() {
        0 => {}
        more => named.push(format!("and {more} more")),
    }
    named.join(", ")
}

/// What the folders of an opened chain say about it: whether its youngest link is the newest state.
pub(super) fn findings(store: &dyn ImageStore, links: &[Link]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, link) in (0u32..).zip(links) {
        let file = Some(link.path.display().to_string());
        findings.extend(may_be_leftover(link).map(|finding| Finding { link: Some(number), file, ..finding }));
    }
    let (found, unasked_for_younger) = younger(store, links).unwrap_or_default();
    findings.extend(found);
    let folders: BTreeSet<&Path> = links.iter().map(|link| machine_folder(&link.path)).collect();
    let files: Vec<PathBuf> = folders.into_iter().flat_map(|folder| files_of_machine(store, folder)).collect();
    let (found, unasked_for_shared) = shared(store, links, &files);
    findings.extend(found);
    findings.extend(unasked(unasked_for_younger.max(unasked_for_shared)));
    let of_machine = files.into_iter().filter_map(|path| Some(Beside { kind: kind_of(&path)?, path }));
    findings.extend(machine_findings(&of_machine.collect::<Vec<_>>().iter().collect::<Vec<_>>()));
    findings
}

/// That some images were not asked whether they are younger states or copies, if any were not.
fn unasked(images: usize) -> Option<Finding> {
    let text = format!(
        "{images} images beside this chain were not asked whether they are younger than it or copies of its links: there are many, or the storage answers slowly"
    );
    let finding = Finding::new(Code::ImagesUnasked, Severity::Information, text);
    (images > 0).then(|| finding.advise("`vhdx-mount scan FOLDER` asks all of them"))
}

/// The files in the folders of a machine. A folder that is not there, or cannot be listed, has none.
fn files_of_machine(store: &dyn ImageStore, folder: &Path) -> Vec<PathBuf> {
    let parts = PARTS.iter().map(|(_, part)| (folder.join(part), Depth::Below));
    // A folder of the machine's may be a link to a server that nobody named.
    let parts = parts.filter(|(part, _)| !leads_to_server(folder, part));
    let listings = std::iter::once((folder.to_owned(), Depth::Folder)).chain(parts);
    let files = listings.filter_map(|(folder, depth)| store.list(&folder, depth, MAX_FILES).ok());
    files.flat_map(|listing| listing.files).collect()
}

/// Parents of which another state stands beside them: files of the same DataWriteGuid and another FileWriteGuid or size. The
/// child's record fits both. Of a parent that the user gave, which was chosen, only that another one is longer. And how many files
/// were not asked.
fn shared(store: &dyn ImageStore, links: &[Link], files: &[PathBuf]) -> (Vec<Finding>, usize) {
    let parents = || (0u32..).zip(links).skip(1);
    let stems: BTreeSet<String> = parents().filter_map(|(_, link)| stem(&link.path)).collect();
    if stems.is_empty() {
        return (Vec::new(), 0);
    }
    let mut images: Vec<&PathBuf> = files.iter().filter(|path| is_named_like_an_image(path)).collect();
    images.retain(|path| links.iter().all(|link| link.path != **path));
    // Copies are mostly named after what they are copies of: those are asked first.
    images.sort_by_cached_key(|path| !stem(path).is_some_and(|name| stems.iter().any(|stem| name.starts_with(stem))));
    let mut others = vec![Others::default(); links.len()];
    let mut images = Asked::of(images.into_iter());
    for path in images.by_ref() {
        let Ok(opened) = store.open_found(path) else { continue };
        let Some((data, file)) = format::write_guids(&opened.image) else { continue };
        for ((_, link), others) in parents().zip(others.iter_mut()) {
            let identity = link.layer.identity();
            if data.is_zero() || identity.data_write_guid != Some(data) || link.id == opened.id {
                continue;
            }
            if identity.file_write_guid != Some(file) {
                others.states.push(path);
            } else if opened.image.size() > link.file_size {
                others.longer.push(path);
            } else if opened.image.size() < link.file_size {
                others.shorter.push(path);
            }
        }
    }
    let told = parents().zip(others);
    let findings = told.flat_map(|((number, link), others)| {
        others.findings(link).into_iter().map(move |finding| finding.in_link(number, &link.path))
    });
    (findings.collect(), images.unasked())
}

/// Files that bear the DataWriteGuid of a link.
#[derive(Debug, Clone, Default)]
struct Others<'a> {
    /// Written to at another time.
    states: Vec<&'a Path>,
    /// Written to at the same time, and longer than the link.
    longer: Vec<&'a Path>,
    /// The same, and shorter.
    shorter: Vec<&'a Path>,
}

impl Others<'_> {
    fn findings(&self, link: &Link) -> Vec<Finding> {
        let path = link.path.display();
        let named = |files: &[&Path]| name_some(files.iter().copied());
        let mut findings = Vec::new();
        let mut note = |text, advice: String| {
            findings.push(Finding::new(Code::IdentityShared, Severity::Warning, text).advise(advice));
        };
        let is_chosen = link.found == Found::Given;
        if !self.states.is_empty() && !is_chosen {
            let text = format!(
                "{path} and {} bear one DataWriteGuid, and were written to at different times: the child's record fits both, and nothing proves that they hold the same",
                named(&self.states)
            );
            note(text, "compare them; --parent FILE takes the one that is meant".to_owned());
        }
        let one_time = "bear one identity and were written to last at the same time";
        if let Some(longer) = self.longer.first() {
            let text = format!(
                "{path} and {} {one_time}; this file, of {} bytes, is the shorter one: it may be a copy that was cut",
                named(&self.longer),
                link.file_size
            );
            note(text, format!("compare them; --parent {} takes the longer one", quoted(longer)));
        }
        if !self.shorter.is_empty() && !is_chosen {
            let text = format!("{path} and {} {one_time}; the longer one is taken", named(&self.shorter));
            note(text, "compare them: a shorter one may be a copy that was cut".to_owned());
        }
        findings
    }
}

/// A file's name without its extension, in lower case.
fn stem(path: &Path) -> Option<String> {
    path.file_stem().map(|stem| stem.to_string_lossy().to_lowercase())
}

/// Images beside the opened one that are its children: then it is not the newest state. Where a merge of one of them had begun, it is
/// not the older one either. And how many images were not asked.
fn younger(store: &dyn ImageStore, links: &[Link]) -> Option<(Vec<Finding>, usize)> {
    let opened = links.first()?;
    let guid = opened.layer.identity().data_write_guid?;
    let listing = store.list(opened.path.parent()?, Depth::Folder, MAX_FILES).ok()?;
    let images = listing.files.iter().filter(|path| {
        is_named_like_an_image(path) && !is_named_by_a_backup(path) && links.iter().all(|link| link.path != **path)
    });
    let as_child = |path: &PathBuf| {
        let identity = store.open_found(path).ok().and_then(|opened| format::identify(&opened.image));
        judge(&identity?.parent?, guid)
    };
    let mut asked = Asked::of(images);
    let children: Vec<(&PathBuf, LinkProof)> =
        asked.by_ref().filter_map(|path| Some((path, as_child(path)?))).collect();
    let unasked = asked.unasked();
    let file = Some(opened.path.display().to_string());
    let merged = children.iter().filter(|(_, proof)| *proof == LinkProof::Linkage2);
    let merged = name_some(merged.map(|(path, _)| path.as_path()));
    let children = name_some(children.iter().map(|(path, _)| path.as_path()));
    if children.is_empty() {
        return Some((Vec::new(), unasked));
    }
    let mid_merge = (!merged.is_empty()).then(|| {
        let text = format!(
            "a merge of {merged} into this image had begun: what it holds is neither the older state, for a part of the younger one may stand in it, nor the younger one"
        );
        let finding = Finding::new(Code::ParentMidMerge, Severity::Warning, text);
        Finding { link: Some(0), file: file.clone(), ..finding.advise("open the youngest image: with it the disk is whole") }
    });
    let text = format!("this is not the newest state of the machine: made over it was {children}");
    let finding = Finding::new(Code::YoungerBeside, Severity::Information, text).advise(
        "to see the disk as it was left, open the youngest image; `vhdx-mount scan FOLDER` shows which that is",
    );
    let younger = Finding { link: Some(0), file, ..finding };
    Some((mid_merge.into_iter().chain([younger]).collect(), unasked))
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
    fn a_backup_names_a_file_by_the_end_of_its_stem() {
        let is_named = |path: &str| is_named_by_a_backup(Path::new(path));
        assert!(is_named("/v/VM-AutoRecovery.avhdx") && is_named("/v/vm-AUTORECOVERY (2).avhdx"));
        assert!(!is_named("/AutoRecovery/VM.avhdx"), "the folder's name does not count");
        for other in
            ["Autorecovery-Lab.vhdx", "VM-AutoRecovery-2.avhdx", "AutoRecovery.vhdx", "VM-AutoRecovery (x).avhdx"]
        {
            assert!(!is_named(other), "{other}");
        }
    }
}
