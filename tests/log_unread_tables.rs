//! Pages of tables that cannot be read, of closed files whose log still holds them.
#![cfg(unix)]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "hashes images before and after")]

mod support;

use std::ops::Range;

use fixtures::bytes::Bytes;
use fixtures::chain::Chain;
use fixtures::fill::Fill;
use fixtures::guid::Guid;
use fixtures::host_file::HostFile;
use fixtures::vhdx::header::Header;
use fixtures::vhdx::log::{DirtyLog, Update};
use fixtures::vhdx::{Block, Image, MIB, Places};
use support::Untouched;
use vhdx_mount::Faults;
use vhdx_mount::chain::{self, ChainOptions, Doubt};
use vhdx_mount::image::{HostFolders, ReadAt, RescueMap, RescuedImages};
use vhdx_mount::report::Severity;

const FIRST: Guid = Guid::parse("0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0");
const SECOND: Guid = Guid::parse("1f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f1");
const SIZE: u64 = 8 * MIB;
const BLOCK: u64 = 2 * MIB;
/// Sectors of block 1 that the child holds.
const PRESENT: Range<u64> = 3..900;

/// A full base, and a closed child that holds block 0 and a part of block 1. Whoever logs is to tell what.
struct Forged {
    _folder: tempfile::TempDir,
    chain: Chain,
    /// The pages of the child's BAT and of its bitmap, and what stands there.
    bat: (u64, Vec<u8>),
    bitmap: (u64, Vec<u8>),
}

impl Forged {
    fn new() -> Self {
        let base = Image::fixed(SIZE, BLOCK as u32, &Fill::live(0));
        let mut child = Image::child_of(&base, "base.vhdx");
        child.block_size = BLOCK as u32;
        child.blocks.insert(0, Block::fully_present(Fill::live(1)));
        child.blocks.insert(1, Block::partially_present(vec![PRESENT], Fill::live(1), Fill::stale(1)));
        let folder = tempfile::tempdir().expect("a folder");
        let chain = Chain::write(vec![base, child], folder.path()).expect("a chain is written");
        let file = HostFile::open(&chain.youngest).expect("the child opens");
        let page = |at: u64| (at, file.bytes_at(at, 4096));
        let (bat, bitmap) = (page(chain.places[1].bat.start), page(chain.places[1].bitmaps[&0].start));
        Forged { _folder: folder, chain, bat, bitmap }
    }

    fn places(&self) -> &Places {
        &self.chain.places[1]
    }

    fn child(&self) -> HostFile {
        HostFile::open(&self.chain.youngest).expect("the child opens")
    }

    fn log(&self, guid: Guid, pages: &[&(u64, Vec<u8>)]) -> DirtyLog {
        let updates = pages.iter().map(|(at, page)| Update::page(*at, page)).collect();
        DirtyLog::new(guid, vec![updates], self.places().file_size)
    }

    /// Writes the logs one behind the other, and closes the file.
    fn close(&self, logs: Vec<DirtyLog>) -> u64 {
        let (mut file, mut at) = (self.child(), 0);
        for mut log in logs {
            log.start = at;
            log.first_sequence_number = u64::from(at) + 1;
            log.write(&mut file, &self.places().log);
            at += log.size() as u32;
        }
        for number in [1, 2] {
            Header::edit(&mut file, number, |header| header.log_guid = Guid::NIL);
        }
        self.places().log.start + u64::from(at)
    }

    /// Opens the chain without these bytes of the child: expects the finding, these doubtful bytes of the disk, and that all bytes
    /// are right.
    fn expect(&self, lost: &[Range<u64>], severity: Severity, doubtful: &[Range<u64>]) {
        let _untouched = Untouched::watch(&self.chain.files);
        let mut map = "0 +\n".to_owned();
        let mut at = 0;
        for Range { start, end } in lost {
            map += &format!("{at} {} +\n{start} {} -\n", start - at, end - start);
            at = *end;
        }
        map += &format!("{at} 0x40000000 +\n");
        let map = RescueMap::parse(map.as_bytes()).expect("a map");
        let images = RescuedImages::new(&HostFolders, vec![(self.chain.youngest.clone(), map)]).expect("images");
        let options = ChainOptions { doubt: Doubt::Accept, ..ChainOptions::default() };
        let opened = chain::open(&images, &self.chain.youngest, &options).unwrap_or_else(|error| panic!("{error}"));
        let of_pages = opened.findings().iter().filter(|finding| finding.code.as_str() == "table-page-from-log");
        let found: Vec<_> = of_pages.map(|finding| finding.severity).collect();
        assert_eq!(found, [severity], "{:?}", opened.findings());
        let (mut buf, mut faults) = (vec![0; SIZE as usize], Faults::new());
        opened.disk().read_at(&mut buf, 0, &mut faults).expect("a read");
        assert!(!faults.any_lost(), "{:?}", faults.iter().collect::<Vec<_>>());
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for fault in faults.iter() {
            match ranges.last_mut() {
                Some(last) if last.end == fault.range.start => last.end = fault.range.end,
                _ => ranges.push(fault.range.clone()),
            }
        }
        assert_eq!(ranges, doubtful);
        self.chain.model.compare(0, &buf).unwrap_or_else(|why| panic!("{why}"));
    }
}

fn page(at: u64) -> Range<u64> {
    at..at + 4096
}

#[test]
fn a_page_that_the_log_holds_is_no_loss_where_all_else_agrees() {
    let forged = Forged::new();
    forged.close(vec![forged.log(FIRST, &[&forged.bat, &forged.bitmap])]);
    forged.expect(&[page(forged.bat.0)], Severity::Warning, &[]);
    forged.expect(&[page(forged.bitmap.0)], Severity::Warning, &[]);
    // A sector of it, or both pages: that of the bitmap is then backed by nothing.
    forged.expect(&[forged.bat.0..forged.bat.0 + 512], Severity::Warning, &[]);
    forged.expect(&[page(forged.bat.0), page(forged.bitmap.0)], Severity::Error, &[0..SIZE]);
}

#[test]
fn a_page_of_a_bitmap_is_doubtful_where_nothing_backs_what_the_log_has() {
    let forged = Forged::new();
    forged.close(vec![forged.log(FIRST, &[&forged.bitmap])]);
    forged.expect(&[page(forged.bitmap.0)], Severity::Error, &[BLOCK..2 * BLOCK]);
    // The rest of the page does.
    let behind = forged.bitmap.0 + 1024;
    forged.expect(&[behind..behind + 512], Severity::Warning, &[]);
}

#[test]
fn a_page_is_doubtful_where_something_may_have_been_written_since() {
    let doubtful = |forged: &Forged| forged.expect(&[page(forged.bat.0)], Severity::Error, &[0..SIZE]);
    // The file has grown.
    let forged = Forged::new();
    let mut log = forged.log(FIRST, &[&forged.bat, &forged.bitmap]);
    (log.flushed_file_offset, log.last_file_offset) =
        (log.flushed_file_offset - 2 * MIB, log.last_file_offset - 2 * MIB);
    forged.close(vec![log]);
    doubtful(&forged);
    // Another page is not as the log left it.
    let forged = Forged::new();
    let mut other = forged.bitmap.clone();
    other.1[0] |= 1;
    forged.close(vec![forged.log(FIRST, &[&forged.bat, &other])]);
    doubtful(&forged);
    // Something else stands in the log, where the next entry would.
    for junk in [&b"junk"[..], b"loge"] {
        let forged = Forged::new();
        let next = forged.close(vec![forged.log(FIRST, &[&forged.bat, &forged.bitmap])]);
        forged.child().write_at(next, junk);
        doubtful(&forged);
    }
    // Another session left the page otherwise, and may have been the later one.
    let forged = Forged::new();
    let older = (forged.bat.0, vec![0; 4096]);
    forged.close(vec![forged.log(SECOND, &[&older]), forged.log(FIRST, &[&forged.bat, &forged.bitmap])]);
    doubtful(&forged);
}
