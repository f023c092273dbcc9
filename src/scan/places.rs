//! Where an image stands, compared with where a child says that its parent was.
//!
//! Nothing here looks at the host: the places are compared with the paths of the images that were found.

use std::path::{Component, Path, PathBuf};

use super::ScannedImage;
use crate::chain::{Found, Way, components, way};
use crate::image::native_path::{self, Root};
use crate::layer::{ParentPlace, ParentRecord};

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

/// The names in a path, in lower case: paths that images record are those of Windows. There the root is the first of them,
/// whichever way it is spelt.
type Names = Vec<String>;

/// The names in each path of an image.
pub(super) fn names(image: &ScannedImage) -> Vec<Names> {
    std::iter::once(&image.path).chain(&image.also).map(|path| names_in(path)).collect()
}

fn names_in(path: &Path) -> Names {
    if cfg!(windows) {
        return native_path::parse(&path.to_string_lossy()).folded();
    }
    let name = |component| match component {
        Component::Normal(name) => Some(name.to_string_lossy().to_lowercase()),
        Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => None,
    };
    path.components().filter_map(name).collect()
}

/// A child that asks for its parent.
pub(super) struct Asked<'a> {
    folder: Names,
    places: Vec<Place>,
    /// The file names that are recorded.
    file_names: Vec<String>,
    record: &'a ParentRecord,
}

/// Where a recorded place leads, as [`Way`].
enum Place {
    At(Names),
    BelowADrive(Names),
    Nowhere,
}

impl<'a> Asked<'a> {
    pub(super) fn new(child: &Path, record: &'a ParentRecord) -> Self {
        Self::of(&child.to_string_lossy(), names_in(child), record, cfg!(windows))
    }

    /// `names` are those of the child's path.
    fn of(child: &str, names: Names, record: &'a ParentRecord, on_windows: bool) -> Self {
        let mut folder = names;
        folder.pop();
        // There the first name is the root, where there is one.
        let roots = usize::from(on_windows && native_path::parse(child).root != Root::Here);
        let lower = |names: Vec<&str>| names.into_iter().map(str::to_lowercase).collect::<Names>();
        let place = |place| match way(place, child, on_windows) {
            Way::Below(names) => Place::At(below(&folder, roots, lower(names))),
            Way::BelowADrive(names) => Place::BelowADrive(lower(names)),
            Way::AsItStands(path) => Place::At(path.folded()),
            Way::Nowhere => Place::Nowhere,
        };
        let places = record.places.iter().map(place).collect();
        let file_name = |place: &ParentPlace| components(&place.path).last().map(|name| name.to_lowercase());
        let file_names = record.places.iter().filter_map(file_name).collect();
        Asked { folder, places, file_names, record }
    }

    /// The file names that are recorded.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.file_names.iter().map(String::as_str)
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
        for (number, place) in self.places.iter().enumerate() {
            let above = match place {
                Place::At(recorded) => (path == recorded).then_some(0),
                Place::BelowADrive(recorded) => self.below_a_drive(path, recorded),
                Place::Nowhere => None,
            };
            if let Some(above) = above {
                return Standing::Recorded { place: number, above };
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

    /// Whether a path is `recorded` below the child's folder or one above it: one of these stands for the drive.
    fn below_a_drive(&self, path: &[String], recorded: &[String]) -> Option<usize> {
        let drive = path.strip_suffix(recorded).filter(|_| !recorded.is_empty())?;
        self.folder.starts_with(drive).then(|| self.folder.len().saturating_sub(drive.len()))
    }
}

/// Where a relative path leads from a folder; above its first `roots` names is nothing.
fn below(folder: &[String], roots: usize, recorded: Names) -> Names {
    let mut path = folder.to_owned();
    for name in recorded {
        if name != ".." {
            path.push(name);
        } else if path.len() > roots {
            path.pop();
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::PlaceKind;

    fn record(places: &[(PlaceKind, &str)]) -> ParentRecord {
        let place = |(kind, path): &(PlaceKind, &str)| ParentPlace { kind: *kind, path: (*path).to_owned() };
        ParentRecord { places: places.iter().map(place).collect(), ..ParentRecord::default() }
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
    /// How an image on Windows stands to a child there; asked on every system.
    fn on_windows(child: &str, places: &[(PlaceKind, &str)], image: &str) -> Standing {
        let folded = |path| native_path::parse(path).folded();
        let record = record(places);
        Asked::of(child, folded(child), &record, true).standing(&[folded(image)])
    }

    #[test]
    fn on_windows_a_recorded_path_is_itself_however_it_is_spelt() {
        let (child, base) = (r"C:\Virtual Hard Disks\x\VM_1.avhdx", r"C:\VMs\base.vhdx");
        let here = Standing::Recorded { place: 0, above: 0 };
        for path in [base, r"\\?\C:\VMs\base.vhdx", r"\??\c:\vms\BASE.vhdx", "c:/VMs/base.vhdx"] {
            assert_eq!(on_windows(child, &[(PlaceKind::Absolute, path)], base), here, "{path}");
            assert_eq!(on_windows(path, &[(PlaceKind::Relative, r"..\..\..\VMs\base.vhdx")], base), here, "{path}");
        }
        assert_eq!(on_windows(child, &[(PlaceKind::Absolute, r"D:\VMs\base.vhdx")], base), Standing::Elsewhere);
        let share = r"\\srv\vms\base.vhdx";
        for path in [r"\\?\UNC\srv\vms\base.vhdx", r"\\?\unc\SRV\vms\base.vhdx", "//srv/vms/base.vhdx"] {
            let recorded = [(PlaceKind::Absolute, path)];
            assert_eq!(on_windows(r"\\srv\vms\x\c.avhdx", &recorded, share), here, "{path}");
            assert_eq!(
                on_windows(child, &recorded, share),
                Standing::Elsewhere,
                "opening asks no other server: {path}"
            );
        }
    }

    /// Which drive a volume is only the host knows, and opening asks for that volume alone.
    #[test]
    fn on_windows_a_recorded_volume_is_no_folder() {
        let volume = r"\\?\Volume{26a21bda-a627-11d7-9931-806e6f6e6963}\VMs\base.vhdx";
        let recorded = [(PlaceKind::Volume, volume)];
        let child = r"C:\VMs\x\c.avhdx";
        assert_eq!(on_windows(child, &recorded, r"C:\VMs\base.vhdx"), Standing::Elsewhere);
        assert_eq!(on_windows(child, &recorded, volume), Standing::Recorded { place: 0, above: 0 });
    }
}
