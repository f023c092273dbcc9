//! How often opening a chain opens its files, and looks into them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fixtures::chain::{Chain, link_name};
use fixtures::vhdx::{Image, MIB};
use vhdx_mount::chain::{self, ChainOptions};
use vhdx_mount::image::{Depth, HostFolders, ImageStore, Listing, OpenedImage, ReadAt};
use vhdx_mount::{Error, Faults};

const SIZE: u64 = 8 * MIB;

/// Byte offset of region table 1, which nothing reads but what looks into an image: [MS-VHDX] 2.2.
const REGION_TABLE: u64 = 192 << 10;

/// An image, and how often its region table was read.
struct Counted {
    image: Arc<dyn ReadAt>,
    reads: Arc<AtomicUsize>,
}

impl ReadAt for Counted {
    fn size(&self) -> u64 {
        self.image.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<(), Error> {
        self.reads.fetch_add(usize::from(offset == REGION_TABLE), Ordering::Relaxed);
        self.image.read_at(buf, offset, faults)
    }
}

/// A store that counts how often files that were named are opened, how often the region table of any image is read, and how
/// often something is looked for that is not there, for which folders are listed.
#[derive(Default)]
struct Counting {
    named: AtomicUsize,
    missed: AtomicUsize,
    reads: Arc<AtomicUsize>,
}

impl Counting {
    fn counted(&self, opened: OpenedImage) -> OpenedImage {
        OpenedImage { image: Arc::new(Counted { image: opened.image, reads: Arc::clone(&self.reads) }), ..opened }
    }
}

impl ImageStore for Counting {
    fn open_named(&self, path: &Path) -> Result<OpenedImage, Error> {
        self.named.fetch_add(1, Ordering::Relaxed);
        HostFolders.open_named(path).map(|opened| self.counted(opened))
    }

    fn open_found(&self, path: &Path) -> Result<OpenedImage, Error> {
        HostFolders.open_found(path).map(|opened| self.counted(opened))
    }

    fn find(&self, folder: &Path, components: &[&str]) -> Option<PathBuf> {
        let found = HostFolders.find(folder, components);
        self.missed.fetch_add(usize::from(found.is_none()), Ordering::Relaxed);
        found
    }

    fn list(&self, folder: &Path, depth: Depth, limit: usize) -> Result<Listing, Error> {
        HostFolders.list(folder, depth, limit)
    }
}

/// Writes a chain of so many links, each in the place that its child records, and returns its youngest one.
fn write_links(folder: &Path, links: usize) -> PathBuf {
    let mut images = vec![Image::dynamic(SIZE)];
    while let Some(parent) = images.last().filter(|_| images.len() < links) {
        let child = Image::child_of(parent, &link_name(images.len() - 1));
        images.push(child);
    }
    Chain::write(images, folder).expect("a chain is written").youngest
}

#[test]
fn each_image_is_looked_into_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Counting::default();
    let chain = chain::open(&store, &write_links(folder.path(), 8), &ChainOptions::default()).expect("a chain");
    assert_eq!((chain.links().len(), store.reads.load(Ordering::Relaxed)), (8, 8));
}

#[test]
fn files_that_the_user_gave_are_not_opened_for_each_link() {
    let named = |links: usize| {
        let folder = tempfile::tempdir().expect("a folder");
        let other = folder.path().join("other.vhdx");
        Image::dynamic(SIZE).write_to(&other).expect("an image is written");
        let store = Counting::default();
        let options = ChainOptions { parents: vec![other], allow_mismatch: true, ..ChainOptions::default() };
        let chain = chain::open(&store, &write_links(folder.path(), links), &options).expect("a chain");
        assert_eq!(chain.links().len(), links);
        store.named.load(Ordering::Relaxed)
    };
    assert_eq!(named(3), named(9));
}

/// All links record the folder `VMs` of a drive, which no folder above them has.
#[test]
fn folders_are_not_listed_for_each_link() {
    let missed = |links: usize| {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Counting::default();
        let chain = chain::open(&store, &write_links(folder.path(), links), &ChainOptions::default()).expect("a chain");
        assert_eq!(chain.links().len(), links);
        store.missed.load(Ordering::Relaxed)
    };
    assert_eq!(missed(3), missed(9));
    // There the path is asked for as it stands.
    assert!(cfg!(windows) || missed(3) > 0, "nothing was looked for above the folder");
}
