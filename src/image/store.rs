use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::Devices;
use super::{Changes, ImageFile, Isolating, ReadAt, Watched, leads_to_server};
use crate::error::{Error, ErrorKind, Result};
use crate::report::Finding;

/// Where images come from.
pub trait ImageStore: Send + Sync {
    /// Opens an image that the user named.
    ///
    /// # Errors
    /// As [`ImageFile::open`].
    fn open_named(&self, path: &Path) -> Result<OpenedImage>;

    /// Opens an image that was found: in a folder, or through what a child says of its parent.
    ///
    /// # Errors
    /// As [`ImageFile::open`]; block devices are refused.
    fn open_found(&self, path: &Path) -> Result<OpenedImage>;

    /// The path that `components` lead to from `folder`, or `None` where nothing stands there. Names are compared
    /// exactly first and then without case, for the paths that images record are those of Windows.
    fn find(&self, folder: &Path, components: &[&str]) -> Option<PathBuf>;

    /// The regular files of a folder, or of all folders below it too. At most `limit` of them.
    ///
    /// # Errors
    /// When the folder itself cannot be listed; folders below it that cannot are told in [`Listing::left_out`].
    fn list(&self, folder: &Path, depth: Depth, limit: usize) -> Result<Listing>;
}

/// What [`ImageStore::list`] found.
#[derive(Debug, Default)]
pub struct Listing {
    /// Regular files, and links to such, sorted by path.
    pub files: Vec<PathBuf>,
    /// Why it is not all: folders that could not be listed, links to servers, or too many files.
    pub left_out: Vec<Error>,
}

/// How far [`ImageStore::list`] goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// The folder alone.
    Folder,
    /// All folders below it too; links to folders are not followed.
    Below,
}

/// An open image and what tells it from others.
#[derive(Clone)]
pub struct OpenedImage {
    /// The path by which it was opened.
    pub path: PathBuf,
    /// The same for every name of one file.
    pub id: FileId,
    /// Its bytes.
    pub image: Arc<dyn ReadAt>,
    /// What is known of it before it is read.
    pub findings: Vec<Finding>,
    /// Tells whether something writes to it, where its store can.
    pub changes: Option<Arc<dyn Changes>>,
}

impl OpenedImage {
    fn watched(image: Watched<ImageFile>, path: &Path, id: FileId) -> Self {
        let watched = Arc::new(image);
        let changes: Arc<dyn Changes> = Arc::<Watched<ImageFile>>::clone(&watched);
        OpenedImage {
            path: path.to_owned(),
            id,
            image: Arc::new(Isolating::new(watched)),
            findings: Vec::new(),
            changes: Some(changes),
        }
    }
}

/// Tells two names of one file from two files.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileId(String);

impl FileId {
    /// An id from something that names the file in its store.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        FileId(text.into())
    }

    /// The id of what stands at a path of the host, links not followed; `None` where nothing does.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        let metadata = std::fs::symlink_metadata(path).ok()?;
        Some(Self::of(path, &metadata))
    }

    #[cfg(unix)]
    pub(super) fn of(_: &Path, metadata: &std::fs::Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        FileId(format!("{}:{}", metadata.dev(), metadata.ino()))
    }

    #[cfg(windows)]
    pub(super) fn of(path: &Path, _: &std::fs::Metadata) -> Self {
        let canonical = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        FileId(canonical.to_string_lossy().to_lowercase())
    }
}

/// The folders of the host.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostFolders;

/// The folders of the host, while something may write to the images in them: all that is read of them is doubtful.
#[derive(Debug, Clone, Copy, Default)]
pub struct LiveFolders;

impl LiveFolders {
    fn open(path: &Path, devices: Devices) -> Result<OpenedImage> {
        let file = ImageFile::open_live(path, devices)?;
        let (id, opened) = (file.id().clone(), file.opened());
        Ok(OpenedImage::watched(Watched::new(file, path, opened).doubted(), path, id))
    }
}

impl ImageStore for LiveFolders {
    fn open_named(&self, path: &Path) -> Result<OpenedImage> {
        Self::open(path, Devices::Allowed)
    }

    fn open_found(&self, path: &Path) -> Result<OpenedImage> {
        Self::open(path, Devices::Refused)
    }

    fn find(&self, folder: &Path, components: &[&str]) -> Option<PathBuf> {
        HostFolders.find(folder, components)
    }

    fn list(&self, folder: &Path, depth: Depth, limit: usize) -> Result<Listing> {
        HostFolders.list(folder, depth, limit)
    }
}

impl HostFolders {
    fn open(path: &Path, devices: Devices) -> Result<OpenedImage> {
        let file = ImageFile::open(path, devices)?;
        let (id, opened) = (file.id().clone(), file.opened());
        Ok(OpenedImage::watched(Watched::new(file, path, opened), path, id))
    }
}

impl ImageStore for HostFolders {
    fn open_named(&self, path: &Path) -> Result<OpenedImage> {
        Self::open(path, Devices::Allowed)
    }

    fn open_found(&self, path: &Path) -> Result<OpenedImage> {
        Self::open(path, Devices::Refused)
    }

    fn find(&self, folder: &Path, components: &[&str]) -> Option<PathBuf> {
        let mut path = folder.to_owned();
        for component in components {
            path = match *component {
                "" | "." => continue,
                ".." => path.join(".."),
                name => {
                    // Looked at first: even to ask whether it exists follows it.
                    let near = |path: &PathBuf| !leads_to_server(folder, path);
                    let exact = Some(path.join(name)).filter(near)?;
                    if exact.exists() { exact } else { in_any_case(&path, name).filter(near)? }
                }
            };
        }
        // A folder, a pipe or a link that leads nowhere too: opening it says what it is.
        (path != folder && std::fs::symlink_metadata(&path).is_ok()).then_some(path)
    }

    fn list(&self, folder: &Path, depth: Depth, limit: usize) -> Result<Listing> {
        let unlisted = |error, folder: &Path| Error::io("the folder cannot be listed", error).in_file(folder);
        let mut sorted =
            Sorted { named: folder, limit, is_full: false, listing: Listing::default(), folders: Vec::new() };
        let first = std::fs::read_dir(folder).map_err(|error| unlisted(error, folder))?;
        if let Err(error) = sorted.add(first) {
            sorted.listing.left_out.push(unlisted(error, folder));
        }
        while depth == Depth::Below
            && !sorted.is_full
            && let Some(folder) = sorted.folders.pop()
        {
            if let Err(error) = std::fs::read_dir(&folder).and_then(|entries| sorted.add(entries)) {
                sorted.listing.left_out.push(unlisted(error, &folder));
            }
        }
        let mut listing = sorted.listing;
        listing.files.sort();
        Ok(listing)
    }
}

/// What bears a name in a folder, but for its case.
fn in_any_case(folder: &Path, name: &str) -> Option<PathBuf> {
    let wanted = name.to_lowercase();
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let same = entries.filter(|entry| entry.file_name().to_string_lossy().to_lowercase() == wanted);
    // Of several one and the same, in whatever order the folder lists them.
    same.map(|entry| entry.path()).min()
}

/// What was found in folders so far.
struct Sorted<'a> {
    /// The folder that is listed.
    named: &'a Path,
    /// Files that are listed at most.
    limit: usize,
    /// There are more: nothing further is listed.
    is_full: bool,
    listing: Listing,
    /// To be listed yet.
    folders: Vec<PathBuf>,
}

impl Sorted<'_> {
    /// Adds the entries of a folder; stops where there are more files than the limit.
    fn add(&mut self, entries: std::fs::ReadDir) -> std::io::Result<()> {
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            let file_type = match entry.file_type() {
                Ok(file_type) => file_type,
                Err(error) => {
                    let error = Error::io("what this is cannot be told", error);
                    self.listing.left_out.push(error.in_file(path));
                    continue;
                }
            };
            if file_type.is_dir() {
                self.folders.push(path);
            } else if is_link_to_folder(file_type) {
                // Not followed, wherever it leads.
            } else if file_type.is_symlink() && leads_to_server(self.named, &path) {
                self.listing.left_out.push(
                    Error::new(
                        ErrorKind::Refused,
                        "a link to a server, which would be shown who you are; it is not followed",
                    )
                    .in_file(path),
                );
            } else if file_type.is_file() || (file_type.is_symlink() && path.is_file()) {
                if self.listing.files.len() >= self.limit {
                    let text = format!("there are more than {} files here; the rest is not looked at", self.limit);
                    self.listing.left_out.push(Error::new(ErrorKind::Refused, text).in_file(self.named));
                    self.is_full = true;
                    return Ok(());
                }
                self.listing.files.push(path);
            }
        }
        Ok(())
    }
}

#[cfg(windows)]
fn is_link_to_folder(file_type: std::fs::FileType) -> bool {
    std::os::windows::fs::FileTypeExt::is_symlink_dir(&file_type)
}

/// Only what it leads to tells.
#[cfg(not(windows))]
fn is_link_to_folder(_: std::fs::FileType) -> bool {
    false
}
