//! Where an image stands, compared with where a child says that its parent was.
//!
//! Nothing here looks at the host: the places are compared with the paths of the images that were found.

use std::path::{Component, Path, PathBuf};

use super::ScannedImage;
use crate::chain::{Found, components};
use crate::layer::{ParentPlace, ParentRecord, PlaceKind};

/// How an image stands to what a child records of its parent. The order is the one in which opening the child comes upon
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// At a recorded place.
    Recorded {
        /// Number of the place in the record.
        place: usize,
        /// How many folders above the child's the recorded drive is taken to stand.
        above: usize,
    },
    /// In the child's folder, under a recorded name.
    Named,
    /// In the child's folder, under another name.
    Beside,
    /// Somewhere else: whoever opens the child must say where.
    Elsewhere,
}

impl Standing {
    /// How opening the child finds it.
    #[must_use]
    pub fn found(self, record: &ParentRecord) -> Found {
        let kind = |place: usize| record.places.get(place).map(|place| place.kind);
        match self {
            Standing::Recorded { place, .. } => kind(place).map_or(Found::ByName, Found::Recorded),
            Standing::Named => Found::ByName,
            Standing::Beside | Standing::Elsewhere => Found::ByIdentity,
        }
    }

    /// Whether opening the child finds it without being told where to look.
    #[must_use]
    pub fn is_found_alone(self) -> bool {
        self != Standing::Elsewhere
    }
}

/// The names in a path, in lower case: paths that images record are those of Windows.
type Names = Vec<String>;

/// The names in each path of an image.
pub(super) fn names(image: &ScannedImage) -> Vec<Names> {
    std::iter::once(&image.path).chain(&image.also).map(|path| names_in(path)).collect()
}

fn names_in(path: &Path) -> Names {
    let name = |component| match component {
        Component::Normal(name) => Some(name.to_string_lossy().to_lowercase()),
        Component::Prefix(prefix) => Some(prefix.as_os_str().to_string_lossy().to_lowercase()),
        Component::RootDir | Component::CurDir | Component::ParentDir => None,
    };
    path.components().filter_map(name).collect()
}

/// A child that asks for its parent.
pub(super) struct Asked<'a> {
    folder: Names,
    places: Vec<(PlaceKind, Names)>,
    record: &'a ParentRecord,
}

impl<'a> Asked<'a> {
    pub(super) fn new(child: &Path, record: &'a ParentRecord) -> Self {
        let mut folder = names_in(child);
        folder.pop();
        let place = |place: &ParentPlace| match place.kind {
            // Here a recorded drive is the drive.
            PlaceKind::Absolute if cfg!(windows) => (place.kind, names_in(Path::new(&place.path))),
            _ => (place.kind, components(&place.path).into_iter().map(str::to_lowercase).collect()),
        };
        Asked { folder, places: record.places.iter().map(place).collect(), record }
    }

    /// The file names that are recorded.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.places.iter().filter_map(|(_, names)| names.last()).map(String::as_str)
    }

    /// How an image stands to the child, by whichever of its paths serves best.
    pub(super) fn standing(&self, image: &[Names]) -> Standing {
        image.iter().map(|path| self.standing_of(path)).min().unwrap_or(Standing::Elsewhere)
    }

    /// Whether none of an image's paths ends as a recorded one is spelt. Of two names that differ in case alone, opening the
    /// child takes the one that is spelt so.
    pub(super) fn is_spelt_otherwise(&self, image: &ScannedImage) -> bool {
        let recorded: Vec<_> = self.record.places.iter().map(|place| components(&place.path)).collect();
        let ends_so = |path: &PathBuf| {
            recorded.iter().any(|names| {
                let below: PathBuf = names.iter().filter(|name| **name != "..").collect();
                !names.is_empty() && path.ends_with(below)
            })
        };
        !std::iter::once(&image.path).chain(&image.also).any(ends_so)
    }

    fn standing_of(&self, path: &Names) -> Standing {
        for (place, (kind, recorded)) in self.places.iter().enumerate() {
            let above = match kind {
                PlaceKind::Relative => (*path == self.relative(recorded)).then_some(0),
                PlaceKind::Absolute if cfg!(windows) => (path == recorded).then_some(0),
                PlaceKind::Volume | PlaceKind::Absolute => self.below_a_drive(path, recorded),
            };
            if let Some(above) = above {
                return Standing::Recorded { place, above };
            }
        }
        match path.split_last() {
            Some((name, folder)) if folder == self.folder => {
                if self.names().any(|recorded| recorded == name) {
                    Standing::Named
                } else {
                    Standing::Beside
                }
            }
            _ => Standing::Elsewhere,
        }
    }

    /// Where a relative path leads from the child's folder.
    fn relative(&self, recorded: &[String]) -> Names {
        let mut path = self.folder.clone();
        for name in recorded {
            if name == ".." {
                path.pop();
            } else {
                path.push(name.clone());
            }
        }
        path
    }

    /// Whether a path is `recorded` below the child's folder or one above it: one of these stands for the drive.
    fn below_a_drive(&self, path: &[String], recorded: &[String]) -> Option<usize> {
        let drive = path.strip_suffix(recorded).filter(|_| !recorded.is_empty())?;
        self.folder.starts_with(drive).then(|| self.folder.len().saturating_sub(drive.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(places: &[(PlaceKind, &str)]) -> ParentRecord {
        let place = |(kind, path): &(PlaceKind, &str)| ParentPlace { kind: *kind, path: (*path).to_owned() };
        ParentRecord { linkage: None, linkage2: None, places: places.iter().map(place).collect() }
    }

    #[test]
    fn what_is_recorded_comes_first_and_the_nearest_drive_before_others() {
        let record = record(&[(PlaceKind::Absolute, r"X:\VMs\Base.vhdx"), (PlaceKind::Relative, r"..\Base.vhdx")]);
        let asked = Asked::new(Path::new("/mnt/VMs/disks/child.avhdx"), &record);
        let standing = |path: &str| asked.standing(&[names_in(Path::new(path))]);
        if cfg!(not(windows)) {
            assert_eq!(standing("/mnt/vms/base.vhdx"), Standing::Recorded { place: 0, above: 2 });
            assert_eq!(standing("/mnt/VMs/disks/VMs/base.vhdx"), Standing::Recorded { place: 0, above: 0 });
        }
        assert_eq!(standing("/other/VMs/base.vhdx"), Standing::Elsewhere);
        assert_eq!(standing("/mnt/VMs/disks/BASE.vhdx"), Standing::Named);
        assert_eq!(standing("/mnt/VMs/disks/else.vhdx"), Standing::Beside);
        assert_eq!(asked.names().collect::<Vec<_>>(), ["base.vhdx", "base.vhdx"]);
        let both = [names_in(Path::new("/other/x.vhdx")), names_in(Path::new("/mnt/VMs/base.vhdx"))];
        assert!(matches!(asked.standing(&both), Standing::Recorded { .. }), "any name of a file serves");
    }

    #[test]
    fn a_relative_place_counts_from_the_child() {
        let record = record(&[(PlaceKind::Relative, r"..\..\..\..\a\b.vhdx"), (PlaceKind::Relative, "")]);
        let asked = Asked::new(Path::new("/x/y/child.avhdx"), &record);
        assert_eq!(
            asked.standing(&[names_in(Path::new("/a/b.vhdx"))]),
            Standing::Recorded { place: 0, above: 0 },
            "there is nothing above the root"
        );
    }
}
