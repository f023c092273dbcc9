//! Every image below some folders, and which belong together.
//!
//! [`survey`] looks at all files, a few at a time, and reads no more of each than its headers and metadata; [`family`]
//! finds out by identity who is whose parent, [`places`] compares that with what the children record, and
//! [`beside`] knows the other files of a machine's folder. [`findings`] says what is unusual about a chain, [`mod@report`] makes one JSON
//! object of it all.

mod family;
mod findings;
mod places;
mod report;
mod survey;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use crate::bytes::Guid;
pub use crate::chain::beside::{Beside, BesideKind};
use crate::chain::{MAX_LINKS, beside, judge};
use crate::error::Error;
use crate::format::vhdx::LogState;
use crate::image::{ImageStore, file_name};
use crate::layer::{Geometry, Identity, ParentRecord};
use crate::report::Finding;

use family::Bearers;
pub use family::{FoundParent, Kin, Role};
pub use places::Standing;
pub use report::{SCHEMA, report};

/// What lies below some folders.
pub struct Scan {
    /// The folders, absolute.
    pub folders: Vec<PathBuf>,
    /// How many files were looked at.
    pub files: usize,
    /// The VHDX images, and disks that are named like one, by their path. Their numbers in this list are used everywhere else.
    pub images: Vec<ScannedImage>,
    /// How each image hangs together with the others; as many as there are images.
    pub kin: Vec<Kin>,
    /// Images of formats that are recognised and not read.
    pub unread: Vec<UnreadImage>,
    /// What could not be read: files, folders, and files that bear an image's name and are none.
    pub unreadable: Vec<Unreadable>,
    /// Why some of the folders themselves could not be listed.
    pub unlisted: Vec<Error>,
    /// Other files that say that a disk is not the machine's last state.
    pub beside: Vec<Beside>,
    /// Which images bear a file name, in lower case.
    by_name: BTreeMap<String, Vec<usize>>,
    bearers: Bearers,
    /// What stands in the place of an image's missing parent and is no file, or cannot be opened.
    in_place: BTreeMap<usize, Vec<Unreadable>>,
    /// Which of the other files belong to a machine's folder.
    machines: BTreeMap<PathBuf, Vec<usize>>,
}

/// A VHDX image, or a raw disk that is named like one.
pub struct ScannedImage {
    /// Its path.
    pub path: PathBuf,
    /// Other names of the same file: hard links, and symbolic ones.
    pub also: Vec<PathBuf>,
    /// Its size on the host, in bytes.
    pub file_size: u64,
    /// Who it is and who its parent is.
    pub identity: Identity,
    /// The shape of its disk; `None` where it cannot be opened.
    pub geometry: Option<Geometry>,
    /// The state of its log; `None` where it cannot be opened.
    pub log: Option<LogState>,
    /// What was found while opening it.
    pub findings: Vec<Finding>,
    /// Why it cannot be opened, though it says who it is.
    pub error: Option<String>,
}

/// An image of a format that is recognised and not read.
pub struct UnreadImage {
    /// Its path.
    pub path: PathBuf,
    /// The format's name: `VHD`, `VHD Set`.
    pub format: &'static str,
}

/// Something that could not be read.
pub struct Unreadable {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// A chain, from one image to its base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedChain {
    /// Numbers of the images, from the youngest to the base, or to where the chain ends. Never empty, for there is an image
    /// to begin with; at most [`MAX_LINKS`].
    pub links: Vec<usize>,
    /// How it ends.
    pub ending: Ending,
}

/// How a chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// At a base: it is complete.
    Base,
    /// At an image whose parent is not among the images.
    Missing,
    /// At a parent that is a link of it already.
    Cycle,
    /// At the most links that a chain may have.
    TooDeep,
}

/// Looks at every file below `folders` (links to folders are not followed) and finds out which images belong together.
/// What cannot be read is told in [`Scan::unreadable`].
#[must_use]
pub fn scan(store: &dyn ImageStore, folders: &[PathBuf]) -> Scan {
    let folders = folders.iter().map(|folder| std::path::absolute(folder).unwrap_or_else(|_| folder.clone())).collect();
    let mut scan = survey::survey(store, folders);
    scan.bearers = family::bearers(&scan.images);
    scan.kin = family::find(&scan.images, &scan.bearers);
    scan.in_place = survey::in_place(store, &scan);
    for (number, image) in scan.images.iter().enumerate() {
        scan.by_name.entry(file_name(&image.path)).or_default().push(number);
    }
    for (number, one) in scan.beside.iter().enumerate() {
        scan.machines.entry(beside::machine_folder(&one.path).to_owned()).or_default().push(number);
    }
    scan
}

impl Scan {
    /// Whether every file and folder could be read, so that no image can have been missed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unreadable.is_empty() && self.images.iter().all(|image| image.error.is_none())
    }

    /// The chain that begins at an image.
    #[must_use]
    pub fn chain(&self, image: usize) -> ScannedChain {
        let mut links = vec![image];
        let mut last = image;
        loop {
            let ending = match self.step(last, &links) {
                ControlFlow::Continue(parent) => {
                    links.push(parent);
                    last = parent;
                    continue;
                }
                ControlFlow::Break(ending) => ending,
            };
            return ScannedChain { links, ending };
        }
    }

    fn step(&self, last: usize, links: &[usize]) -> ControlFlow<Ending, usize> {
        let Some(parent) = self.kin.get(last).and_then(|kin| kin.parent.as_ref()) else {
            let wants = self.images.get(last).is_some_and(|image| image.identity.parent.is_some());
            return ControlFlow::Break(if wants { Ending::Missing } else { Ending::Base });
        };
        let in_cycle = self.kin.get(parent.image).is_some_and(|kin| kin.in_cycle);
        if in_cycle && links.contains(&parent.image) {
            ControlFlow::Break(Ending::Cycle)
        } else if links.len() >= MAX_LINKS {
            ControlFlow::Break(Ending::TooDeep)
        } else {
            ControlFlow::Continue(parent.image)
        }
    }

    /// Whether a chain ends at a base and every link of it can be opened.
    #[must_use]
    pub fn is_whole(&self, chain: &ScannedChain) -> bool {
        let opens = |link: &usize| self.images.get(*link).is_some_and(|image| image.error.is_none());
        chain.ending == Ending::Base && chain.links.iter().all(opens)
    }

    /// The other files in a machine's folder.
    fn beside_machine(&self, folder: &Path) -> impl Iterator<Item = &Beside> {
        self.machines.get(folder).into_iter().flatten().filter_map(|number| self.beside.get(*number))
    }

    /// The other files that bear an image's identity.
    pub fn copies(&self, image: usize) -> impl Iterator<Item = usize> + '_ {
        let guid = self.images.get(image).and_then(|image| image.identity.data_write_guid);
        let same = guid.and_then(|guid| self.bearers.get(&guid)).into_iter().flatten();
        same.copied().filter(move |other| *other != image)
    }

    /// The images at which a chain begins: the youngest ones, then the leftovers of backups, each by path.
    pub fn leaves(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        let of = |role| move |(image, kin): (usize, &Kin)| (kin.role == role).then_some(image);
        let kin = || self.kin.iter().enumerate();
        kin().filter_map(of(Role::Youngest)).chain(kin().filter_map(of(Role::Leftover)))
    }

    /// Images that have several children of different identities, leftovers of backups apart, with these children.
    pub fn branches(&self) -> impl Iterator<Item = (usize, Vec<usize>)> + '_ {
        self.kin.iter().enumerate().filter_map(|(parent, kin)| {
            let lasts = |child: &usize| self.kin.get(*child).is_some_and(|kin| kin.role != Role::Leftover);
            let children: Vec<usize> = kin.children.iter().copied().filter(lasts).collect();
            let identity = |child: &usize| self.images.get(*child).map(|image| image.identity.data_write_guid);
            let first = children.first().and_then(identity);
            children.iter().any(|child| identity(child) != first).then_some((parent, children))
        })
    }

    /// Identities that several files bear, with these files.
    pub fn duplicates(&self) -> impl Iterator<Item = (Guid, &[usize])> + '_ {
        let several = self.bearers.iter().filter(|(_, images)| images.len() > 1);
        several.map(|(guid, images)| (*guid, images.as_slice()))
    }

    /// Images whose parents lead back to them: each round once, from its first image by path on, child before parent.
    #[must_use]
    pub fn cycles(&self) -> Vec<Vec<usize>> {
        let mut known = BTreeSet::new();
        let mut cycles = Vec::new();
        for (start, _) in self.kin.iter().enumerate().filter(|(_, kin)| kin.in_cycle) {
            if known.contains(&start) {
                continue;
            }
            let parent = |image: &usize| self.kin.get(*image)?.parent.as_ref().map(|parent| parent.image);
            let round = std::iter::successors(Some(start), |image| parent(image).filter(|parent| *parent != start));
            let round: Vec<usize> = round.collect();
            known.extend(round.iter().copied());
            cycles.push(round);
        }
        cycles
    }

    /// What an image records of a parent that is not among the images; `None` where it is a base or its parent is there.
    #[must_use]
    pub fn missing_parent(&self, image: usize) -> Option<&ParentRecord> {
        let found = self.kin.get(image).is_some_and(|kin| kin.parent.is_some());
        if found { None } else { self.images.get(image)?.identity.parent.as_ref() }
    }

    /// Images that stand where a child records its parent, or elsewhere under its name: by identity they are not the parent.
    /// Those at a recorded place come first; at most 16.
    #[must_use]
    pub fn namesakes(&self, child: usize) -> Vec<usize> {
        const MOST: usize = 16;
        let Some(record) = self.missing_parent(child) else { return Vec::new() };
        self.of_recorded_name(child, record).into_iter().map(|(_, number)| number).take(MOST).collect()
    }

    /// Images of a name that a child records for its parent, and how they stand to it; in the order in which opening the child
    /// comes upon them.
    fn of_recorded_name(&self, child: usize, record: &ParentRecord) -> Vec<(Standing, usize)> {
        const LOOKED_AT: usize = 1000;
        let Some(image) = self.images.get(child) else { return Vec::new() };
        let asked = places::Asked::new(&image.path, record);
        let same_name = asked.names().filter_map(|name| self.by_name.get(name)).flatten();
        let others = same_name.copied().filter(|other| *other != child).take(LOOKED_AT);
        let mut found: Vec<_> =
            others.filter_map(|other| Some((asked.standing(&places::names(self.images.get(other)?)), other))).collect();
        found.sort();
        found.dedup();
        found
    }

    /// The image that a child's paths lead to before they lead to `parent`, if that one is itself a child of the parent.
    fn skipped(&self, child: usize, record: &ParentRecord, parent: &FoundParent) -> Option<usize> {
        let guid = self.images.get(parent.image)?.identity.data_write_guid?;
        let is_its_child = |other: &usize| {
            let record = self.images.get(*other).and_then(|image| image.identity.parent.as_ref());
            *other != parent.image && record.is_some_and(|record| judge(record, guid).is_some())
        };
        let named = self.of_recorded_name(child, record).into_iter();
        let before = named.take_while(|(standing, _)| *standing < parent.standing && *standing <= Standing::Named);
        before.map(|(_, other)| other).find(is_its_child)
    }

    /// What could not be read and bears the name that a child records of its parent, or stands in its place; at most 4.
    pub fn unreadable_namesakes(&self, child: usize) -> impl Iterator<Item = &Unreadable> {
        let asked = self.missing_parent(child).zip(self.images.get(child));
        let asked = asked.map(|(record, image)| places::Asked::new(&image.path, record));
        let is_named = move |one: &&Unreadable| {
            let name = file_name(&one.path);
            asked.as_ref().is_some_and(|asked| asked.names().any(|wanted| wanted == name))
        };
        let in_place = self.in_place.get(&child).into_iter().flatten();
        self.unreadable.iter().filter(is_named).chain(in_place).take(4)
    }

    /// The parents in a chain that opening its youngest image does not find by itself: they must be named.
    #[must_use]
    pub fn parents_to_name(&self, chain: &ScannedChain) -> Vec<&Path> {
        let parents = chain.links.iter().filter_map(|link| self.kin.get(*link)?.parent.as_ref());
        let hidden = parents.filter(|parent| !parent.standing.is_found_alone());
        hidden.filter_map(|parent| Some(self.images.get(parent.image)?.path.as_path())).collect()
    }
}
