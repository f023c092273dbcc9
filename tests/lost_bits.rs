//! What it costs to find that bits of a sector bitmap are gone which the log of a closed file had set.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use fixtures::bytes::Bytes;
use fixtures::chain::Chain;
use fixtures::fill::Fill;
use fixtures::guid::Guid;
use fixtures::host_file::HostFile;
use fixtures::vhdx::header::Header;
use fixtures::vhdx::log::{DirtyLog, Update};
use fixtures::vhdx::{Block, Image, MIB};
use vhdx_mount::chain::{self, ChainOptions};
use vhdx_mount::image::{Depth, HostFolders, ImageStore, Listing, OpenedImage, ReadAt};
use vhdx_mount::report::Severity;
use vhdx_mount::{Error, Faults};

/// Counts reads of a part of each image.
struct Counted {
    image: Arc<dyn ReadAt>,
    part: Range<u64>,
    reads: Arc<AtomicUsize>,
}

impl ReadAt for Counted {
    fn size(&self) -> u64 {
        self.image.size()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<(), Error> {
        self.reads.fetch_add(usize::from(self.part.contains(&offset)), Ordering::Relaxed);
        self.image.read_at(buf, offset, faults)
    }
}

struct Counting {
    part: Range<u64>,
    reads: Arc<AtomicUsize>,
}

impl Counting {
    fn counted(&self, opened: OpenedImage) -> OpenedImage {
        let image = Counted { image: opened.image, part: self.part.clone(), reads: Arc::clone(&self.reads) };
        OpenedImage { image: Arc::new(image), ..opened }
    }
}

impl ImageStore for Counting {
    fn open_named(&self, path: &Path) -> Result<OpenedImage, Error> {
        HostFolders.open_named(path).map(|opened| self.counted(opened))
    }

    fn open_found(&self, path: &Path) -> Result<OpenedImage, Error> {
        HostFolders.open_found(path).map(|opened| self.counted(opened))
    }

    fn find(&self, folder: &Path, components: &[&str]) -> Option<PathBuf> {
        HostFolders.find(folder, components)
    }

    fn list(&self, folder: &Path, depth: Depth, limit: usize) -> Result<Listing, Error> {
        HostFolders.list(folder, depth, limit)
    }
}

const LOG_GUID: Guid = Guid::parse("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");
const SIZE: u64 = 64 * MIB;

/// Sectors of a page of a bitmap.
const SECTORS: u64 = 4096 * 8;

/// What a child's log-write-lost weighs, if it is told, and how many reads of the block opening it took. The log had set the bits
/// of all sectors of the first 16 MiB times `pages`, of which the file has the first of each page alone; sector `filled` holds something.
fn opened(pages: u64, filled: Option<u64>) -> (Option<Severity>, usize) {
    let base = Image::fixed(SIZE, SIZE as u32, &Fill::Zero);
    let mut child = Image::child_of(&base, "base.vhdx");
    child.block_size = SIZE as u32;
    let present = (0..pages).map(|page| page * SECTORS..page * SECTORS + 1).collect();
    child.blocks.insert(0, Block::partially_present(present, Fill::Zero, Fill::Zero));
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(vec![base, child], folder.path()).expect("a chain is written");
    let places = &chain.places[1];
    let mut file = HostFile::open(&chain.youngest).expect("the image opens");
    let bitmap = places.bitmaps[&0].start;
    let logged = (0..pages).map(|page| vec![Update::page(bitmap + page * 4096, &[0xff; 4096])]).collect();
    let mut log = DirtyLog::new(LOG_GUID, logged, places.file_size);
    log.older = (0..pages).map(|page| vec![Update::page(bitmap + page * 4096, &[0x80; 4096])]).collect();
    log.write(&mut file, &places.log);
    for number in [1, 2] {
        Header::edit(&mut file, number, |header| header.log_guid = Guid::NIL);
    }
    let payload = places.payload[&0].clone();
    if let Some(sector) = filled {
        file.write_at(payload.start + sector * 512, &[0x5a; 512]);
    }
    // Windows opens no image that another program writes to.
    drop(file);
    let store = Counting { part: payload, reads: Arc::default() };
    let opened = chain::open(&store, &chain.youngest, &ChainOptions::default()).expect("a chain");
    let told = opened.findings().iter().find(|finding| finding.code.as_str() == "log-write-lost");
    (told.map(|finding| finding.severity), store.reads.load(Ordering::Relaxed))
}

#[test]
fn sectors_whose_bits_are_gone_are_read_many_at_once() {
    let (told, reads) = opened(1, None);
    assert_eq!(told, Some(Severity::Warning));
    assert!(reads < 64, "{reads} reads");
    // One that holds something is found wherever it is.
    for sector in [1, 17_000, 32_767] {
        assert_eq!(opened(1, Some(sector)).0, Some(Severity::Error), "{sector}");
    }
    let (told, reads) = opened(4, None);
    assert_eq!(told, Some(Severity::Warning));
    assert!(reads < 100, "{reads} reads");
}
