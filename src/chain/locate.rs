//! Where a parent may be: the places that its child records, mapped to this host, then names, then identities.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::beside::is_named_like_an_image;
use super::link::Found;
use super::options::ChainOptions;
use super::other_states::too_little;
use super::passed_over::PassedOver;
use crate::bytes::Guid;
use crate::error::{Error, Result};
use crate::format::{self, Other};
use crate::image::native_path::{self, Native, NativePath};
use crate::image::{Depth, FileId, ImageStore, Listing, OpenedImage, leads_to_server};
use crate::layer::{ParentPlace, ParentRecord, PlaceKind};

/// Files that are looked at in one folder or below a `--parent-dir`.
const MAX_FILES: usize = 100_000;

/// A file that may be the parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    pub(super) found: Found,
}

/// Finds candidates, and remembers who each file is: a chain of 300 asks for the same folder 300 times.
pub(super) struct Locator<'a> {
    store: &'a dyn ImageStore,
    options: &'a ChainOptions,
    /// By path, and by whether something names the file.
    identities: BTreeMap<(PathBuf, bool), std::result::Result<Option<Guid>, PassedOver>>,
    /// By folder, and by how far below it.
    listings: BTreeMap<(PathBuf, Depth), Vec<PathBuf>>,
    /// Where the folders of a path lead to from a folder, if anywhere. To learn that a folder has no such name it is listed.
    ways: BTreeMap<(PathBuf, Vec<String>), Option<PathBuf>>,
}

impl<'a> Locator<'a> {
    pub(super) fn new(store: &'a dyn ImageStore, options: &'a ChainOptions) -> Self {
        Locator { store, options, identities: BTreeMap::new(), listings: BTreeMap::new(), ways: BTreeMap::new() }
    }

    /// Candidates that cost little to name: what the user gave, what the child records, the recorded names elsewhere.
    pub(super) fn named(&mut self, child: &Path, record: &ParentRecord) -> Vec<Candidate> {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let given = self.options.parents.iter().map(|path| Candidate { path: absolute(path), found: Found::Given });
        let given: Vec<_> = given.collect();
        each_once(given.into_iter().chain(self.by_record(child, record)))
    }

    /// What the child's record leads to: its places, then its names in the folders that are searched.
    pub(super) fn by_record(&mut self, child: &Path, record: &ParentRecord) -> Vec<Candidate> {
        let homes = folders_of(child);
        let mut candidates = Vec::new();
        for place in &record.places {
            for folder in &homes {
                let found = Found::Recorded(place.kind);
                candidates.extend(self.recorded(folder, place).into_iter().map(|path| Candidate { path, found }));
            }
        }
        let options = self.options;
        for name in record.places.iter().filter_map(|place| components(&place.path).last().copied()) {
            let paths = homes.iter().chain(&options.parent_dirs).filter_map(|folder| self.store.find(folder, &[name]));
            candidates.extend(paths.map(|path| Candidate { path, found: Found::ByName }));
        }
        each_once(candidates.into_iter())
    }

    /// Whether one of the places that a child records leads to this file.
    pub(super) fn leads_to(&mut self, child: &Path, record: &ParentRecord, file: &FileId) -> bool {
        let store = self.store;
        let mut recorded =
            self.by_record(child, record).into_iter().filter(|one| matches!(one.found, Found::Recorded(_)));
        recorded.any(|one| one.open(store).is_ok_and(|opened| opened.id == *file))
    }

    /// All files of the child's folder and below each `--parent-dir`: only their identity can tell.
    pub(super) fn listed(&mut self, child: &Path) -> Vec<Candidate> {
        let folders = folders_of(child)
            .into_iter()
            .map(|folder| (folder, Depth::Folder))
            .chain(self.options.parent_dirs.iter().map(|folder| (folder.clone(), Depth::Below)));
        let mut candidates: Vec<Candidate> = Vec::new();
        for (folder, depth) in folders {
            let store = self.store;
            let listing = self.listings.entry((folder, depth)).or_insert_with_key(|(folder, depth)| {
                let listing = store.list(folder, *depth, MAX_FILES);
                let listing = listing.unwrap_or_else(|error| Listing { left_out: vec![error], files: Vec::new() });
                for error in &listing.left_out {
                    log::warn!("{error}");
                }
                listing.files
            });
            candidates.extend(listing.iter().map(|path| Candidate { path: path.clone(), found: Found::ByIdentity }));
        }
        candidates
    }

    /// The DataWriteGuid of an image, if it says, or why a file is none that may be a parent.
    pub(super) fn data_write_guid(&mut self, candidate: &Candidate) -> std::result::Result<Option<Guid>, PassedOver> {
        let (store, allowed) = (self.store, self.options.allow_mismatch);
        let key = (candidate.path.clone(), candidate.is_named());
        self.identities.entry(key).or_insert_with(|| data_write_guid(store, candidate, allowed)).clone()
    }

    /// Where a recorded place is on this host.
    fn recorded(&mut self, folder: &Path, place: &ParentPlace) -> Vec<PathBuf> {
        match way(place, &folder.to_string_lossy(), cfg!(windows)) {
            Way::Below(names) => self.find(folder, &names).into_iter().collect(),
            Way::BelowADrive(names) => folder.ancestors().filter_map(|root| self.find(root, &names)).collect(),
            Way::AsItStands(_) if leads_to_server(folder, Path::new(&place.path)) => Vec::new(),
            Way::AsItStands(_) => vec![PathBuf::from(&place.path)],
            Way::Nowhere => Vec::new(),
        }
    }

    /// As [`ImageStore::find`]. The links of a chain record the same folders, which are looked for once.
    fn find(&mut self, from: &Path, names: &[&str]) -> Option<PathBuf> {
        let names: Vec<&str> = names.iter().copied().filter(|name| !matches!(*name, "" | ".")).collect();
        let (name, folders) = names.split_last()?;
        if folders.is_empty() {
            return self.store.find(from, &[name]);
        }
        let store = self.store;
        let way = (from.to_owned(), folders.iter().map(|name| (*name).to_owned()).collect());
        let folder = self.ways.entry(way).or_insert_with(|| store.find(from, folders)).as_deref()?;
        store.find(folder, &[name])
    }
}

/// What stands where a child's record leads to and is not even a file that can be opened, and why.
pub(crate) fn unopenable_in_place(
    store: &dyn ImageStore,
    child: &Path,
    record: &ParentRecord,
) -> Vec<(PathBuf, Error)> {
    let options = ChainOptions::default();
    let recorded = Locator::new(store, &options).by_record(child, record);
    recorded.into_iter().filter_map(|one| Some((one.path.clone(), one.open(store).err()?))).collect()
}

impl Candidate {
    /// Whether more than its identity speaks for it.
    pub(super) fn is_named(&self) -> bool {
        !matches!(self.found, Found::ByIdentity | Found::InFolder)
    }

    /// Opens the file: what the user gave as what was named, everything else as what was found.
    pub(super) fn open(&self, store: &dyn ImageStore) -> Result<OpenedImage> {
        match self.found {
            Found::Given | Found::Opened => store.open_named(&self.path),
            Found::Recorded(_) | Found::ByName | Found::ByIdentity | Found::InFolder => store.open_found(&self.path),
        }
    }
}

/// The candidates in order, of each path the first.
fn each_once(candidates: impl Iterator<Item = Candidate>) -> Vec<Candidate> {
    let mut known: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if known.iter().all(|other| other.path != candidate.path) {
            known.push(candidate);
        }
    }
    known
}

/// See [`Locator::data_write_guid`]. What the user gives, and has `allowed`, is the disk where nothing tells what it is.
fn data_write_guid(
    store: &dyn ImageStore,
    candidate: &Candidate,
    allowed: bool,
) -> std::result::Result<Option<Guid>, PassedOver> {
    let opened = candidate.open(store).map_err(|error| PassedOver::refused(candidate, &error))?;
    if let Some(guid) = format::data_write_guid(&opened.image) {
        return Ok(guid);
    }
    let may_be_disk = candidate.found == Found::Given
        && !is_named_like_an_image(&candidate.path)
        && format::has_whole_sectors(&opened.image);
    match format::other_than_vhdx(&opened.image) {
        // It says nothing of itself, and the user does.
        Some(Other::Raw) if candidate.found == Found::Given => Ok(None),
        Some(Other::Raw) => Err(PassedOver::raw(candidate)),
        // It may have lost all that says what it is. Every MiB is looked at for that, so only in files that are named.
        _ if candidate.is_named() && format::holds_regions(&opened.image) => Ok(None),
        // So may what has a BAT left, with switches: what it is refused for names them.
        Some(Other::Nothing(_)) if candidate.is_named() && format::holds_a_bat(&opened.image) => Ok(None),
        Some(Other::Nothing(_)) if may_be_disk && allowed => Ok(None),
        Some(Other::Nothing(error)) if may_be_disk => {
            let error = error.advise("if it is the disk itself, --allow-mismatch takes it as that");
            Err(PassedOver::refused(candidate, &error))
        }
        Some(Other::Nothing(error)) if is_named_like_an_image(&candidate.path) => {
            Err(PassedOver::refused(candidate, &too_little(error)))
        }
        Some(Other::Refused(error) | Other::Nothing(error)) => Err(PassedOver::refused(candidate, &error)),
        None => Ok(None),
    }
}

/// The folders that hold a file: that of the name by which it was opened, and that of the file itself where the name is a
/// symbolic link.
fn folders_of(file: &Path) -> Vec<PathBuf> {
    let mut folders = vec![folder_of(file)];
    if file.is_symlink()
        && let Ok(real) = std::fs::canonicalize(file)
    {
        folders.push(folder_of(&real));
    }
    folders
}

/// The folder that holds a file, absolute where the host can say so, so that it has folders above it.
fn folder_of(file: &Path) -> PathBuf {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    absolute.parent().map_or_else(|| PathBuf::from("."), Path::to_owned)
}

/// Which way a recorded place is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way<'a> {
    /// These names below the child's folder.
    Below(Vec<&'a str>),
    /// These names below the child's folder, or one of those above it: one of these stands for the drive.
    BelowADrive(Vec<&'a str>),
    /// The path as it stands.
    AsItStands(NativePath<'a>),
    /// It is not: Windows is never asked to log on to a server that the user did not name.
    Nowhere,
}

/// Which way a place is looked for that a child records. `child` is its path or its folder: only the root of it counts.
pub(crate) fn way<'a>(place: &'a ParentPlace, child: &str, on_windows: bool) -> Way<'a> {
    let path = native_path::parse(&place.path);
    match place.kind {
        PlaceKind::Relative => Way::Below(path.names),
        PlaceKind::Volume | PlaceKind::Absolute if on_windows => match native_path::judge(&place.path, child) {
            Native::Tried => Way::AsItStands(path),
            Native::OtherServer | Native::NoPlace => Way::Nowhere,
        },
        PlaceKind::Volume | PlaceKind::Absolute => Way::BelowADrive(path.names),
    }
}

/// The names in a recorded path, without what names the drive, volume or server.
pub(crate) fn components(path: &str) -> Vec<&str> {
    native_path::parse(path).names
}
