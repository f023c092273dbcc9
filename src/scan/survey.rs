//! Looking at every file below some folders: a few at a time, and no more of each than says what it is.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Bearers, Beside, Scan, ScannedImage, UnreadImage, Unreadable};
use crate::Faults;
use crate::chain::{beside, named_otherwise, unopenable_in_place};
use crate::error::Error;
use crate::format::{self, FormatOptions, Sniffed};
use crate::image::{Depth, FileId, ImageStore, OpenedImage, ReadAt};

/// Files that are looked at at the same time: what takes long is to wait for storage, which serves several as fast as one.
const AT_ONCE: usize = 8;

/// Files below one folder that are looked at.
const MAX_FILES: usize = 2_000_000;

/// How long the places of missing parents are looked at: the answer is welcome, not needed.
const LONGEST_LOOKING: Duration = Duration::from_millis(500);

/// Looks at every file; leaves open who belongs to whom.
pub(super) fn survey(store: &dyn ImageStore, folders: Vec<PathBuf>) -> Scan {
    let mut files = Vec::new();
    let mut unreadable = Vec::new();
    let mut unlisted = Vec::new();
    for folder in &folders {
        let listing = match store.list(folder, Depth::Below, MAX_FILES) {
            Ok(listing) => listing,
            Err(error) => {
                unreadable.push(Unreadable { path: folder.clone(), reason: reason(&error) });
                unlisted.push(error);
                continue;
            }
        };
        files.extend(listing.files);
        unreadable.extend(
            listing
                .left_out
                .iter()
                .map(|error| Unreadable { path: error.file().unwrap_or(folder).to_owned(), reason: reason(error) }),
        );
    }
    files.sort();
    files.dedup();
    let beside = files.iter().filter_map(|path| Some(Beside { kind: beside::kind_of(path)?, path: path.clone() }));
    let mut scan = Scan {
        folders,
        files: files.len(),
        images: Vec::new(),
        kin: Vec::new(),
        unread: Vec::new(),
        unreadable,
        unlisted,
        beside: beside.collect(),
        by_name: BTreeMap::new(),
        bearers: Bearers::new(),
        machines: BTreeMap::new(),
        in_place: BTreeMap::new(),
    };
    let mut known: HashMap<FileId, usize> = HashMap::new();
    for (path, seen) in files.iter().zip(look_at_all(store, &files)) {
        match seen {
            Seen::Nothing => {}
            Seen::Unread(format) => scan.unread.push(UnreadImage { path: path.clone(), format }),
            Seen::Unreadable(reason) => scan.unreadable.push(Unreadable { path: path.clone(), reason }),
            Seen::Image(id, image) => match known.get(&id).and_then(|number| scan.images.get_mut(*number)) {
                Some(same) => same.also.push(path.clone()),
                None => {
                    known.insert(id, scan.images.len());
                    scan.images.push(*image);
                }
            },
        }
    }
    scan
}

/// By the number of the child: what stands below the folders where it records its parent, where that was not found, and is not
/// even a file that can be opened. No listing of files has it.
pub(super) fn in_place(store: &dyn ImageStore, scan: &Scan) -> BTreeMap<usize, Vec<Unreadable>> {
    let began = Instant::now();
    let orphans = (0..scan.images.len()).filter_map(|child| Some((child, scan.missing_parent(child)?)));
    let mut found = BTreeMap::new();
    for (child, record) in orphans.take_while(|_| began.elapsed() < LONGEST_LOOKING) {
        let Some(image) = scan.images.get(child) else { continue };
        let is_below = |path: &Path| scan.folders.iter().any(|folder| path.starts_with(folder));
        let is_told = |path: &Path| scan.unreadable.iter().any(|one| one.path == path);
        let unopenable = unopenable_in_place(store, &image.path, record).into_iter();
        let unopenable = unopenable.filter(|(path, _)| is_below(path) && !is_told(path));
        let unopenable = unopenable.map(|(path, error)| Unreadable { path, reason: reason(&error) });
        found.insert(child, unopenable.collect());
    }
    found
}

/// What a file turned out to be.
enum Seen {
    Image(FileId, Box<ScannedImage>),
    /// A format that is recognised and not read.
    Unread(&'static str),
    Unreadable(String),
    /// No image, and not named like one.
    Nothing,
}

/// Looks at all files; what each is, in their order.
fn look_at_all(store: &dyn ImageStore, files: &[PathBuf]) -> Vec<Seen> {
    let next = AtomicUsize::new(0);
    let all = Mutex::new(Vec::with_capacity(files.len()));
    let work = || {
        let mut seen = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = files.get(number) else { break };
            seen.push((number, look(store, path)));
        }
        all.lock().unwrap_or_else(PoisonError::into_inner).append(&mut seen);
    };
    std::thread::scope(|scope| {
        for _ in 1..AT_ONCE.min(files.len()) {
            // Where the host gives no more threads, those that are there do all.
            let _ = std::thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, seen)| seen).collect()
}

fn look(store: &dyn ImageStore, path: &Path) -> Seen {
    let opened = match store.open_found(path) {
        Ok(opened) => opened,
        Err(error) => return Seen::Unreadable(reason(&error)),
    };
    match format::sniff(&opened.image) {
        Sniffed::Vhdx => look_inside(opened),
        Sniffed::Vhd => Seen::Unread("VHD"),
        Sniffed::VhdSet => Seen::Unread("VHD Set"),
        Sniffed::Unknown if beside::is_named_like_an_image(path) => look_inside(opened),
        Sniffed::Unknown => look_outside(&*opened.image),
    }
}

/// Opens a VHDX, or what is named like one: reads its headers, its log where that is dirty, its region table and metadata.
fn look_inside(opened: OpenedImage) -> Seen {
    let OpenedImage { path, id, image, .. } = opened;
    let file_size = image.size();
    let unfinished = |identity| ScannedImage {
        path: path.clone(),
        also: Vec::new(),
        file_size,
        identity,
        geometry: None,
        log: None,
        findings: Vec::new(),
        error: None,
    };
    let scanned = match format::open(Arc::clone(&image), FormatOptions::default()) {
        Ok(container) => {
            let identity = container.layer.identity().clone();
            let mut findings = container.findings;
            findings.extend(container.cut);
            findings.extend(named_otherwise(&path, identity.kind));
            for finding in &mut findings {
                finding.file = Some(path.display().to_string());
            }
            let geometry = Some(*container.layer.geometry());
            ScannedImage { geometry, log: container.log, findings, ..unfinished(identity) }
        }
        // It may still say who it is, which its children need.
        Err(error) => match format::identify(&image) {
            Some(identity) => ScannedImage { error: Some(reason(&error)), ..unfinished(identity) },
            None => return Seen::Unreadable(reason(&error)),
        },
    };
    Seen::Image(id, Box::new(scanned))
}

/// A file that says nothing of itself, and is not named like an image: whether it could be read.
fn look_outside(image: &dyn ReadAt) -> Seen {
    let mut first = [0; 8];
    let mut faults = Faults::new();
    let looked = image.read_at(&mut first, 0, &mut faults);
    match looked {
        Err(error) => Seen::Unreadable(reason(&error)),
        Ok(()) if faults.any_lost() && image.size() >= 8 => {
            Seen::Unreadable("its first bytes cannot be read, so what it is cannot be told".to_owned())
        }
        Ok(()) => Seen::Nothing,
    }
}

/// An error without the file, with its cause.
fn reason(error: &Error) -> String {
    let place = match error.place() {
        (Some(structure), Some(offset)) => format!("{structure} at byte {offset}: "),
        (Some(structure), None) => format!("{structure}: "),
        (None, _) => String::new(),
    };
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{place}{}{cause}", error.message())
}
