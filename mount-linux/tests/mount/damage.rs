//! What damage costs: the bytes that it touches, never the mount.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use crate::harness::{Mounted, can, run, succeed};
use crate::samples::{self, MIB};

const EIO: Option<i32> = Some(5);

/// Reads a file page by page; the numbers of the pages that fail, all of them with EIO.
fn failing_pages(file: &File, size: u64, expected: impl Fn(u64) -> Vec<u8>) -> Vec<u64> {
    let mut failing = Vec::new();
    for page in 0..size.div_ceil(4096) {
        let mut bytes = vec![0; 4096];
        match file.read_at(&mut bytes, page * 4096) {
            Ok(read) => assert!(bytes[..read] == expected(page), "page {page}"),
            Err(error) => {
                assert_eq!(error.raw_os_error(), EIO, "page {page}");
                failing.push(page);
            }
        }
    }
    failing
}

#[test]
fn a_lost_sector_costs_its_page_and_no_more() {
    if !can("a_lost_sector_costs_its_page_and_no_more", &[]) {
        return;
    }
    let (mounted, tree) = (Mounted::new("damaged"), samples::tree("damaged"));
    let content = tree.content("lost.bin");
    // Sector 10240..10752 lies in page 2; one whole page is lost after 3 MiB.
    let lost_pages = [2, 3 * 256 + 1];
    let expected = |page: u64| content.bytes(page * 4096..(page + 1) * 4096);
    let cold = File::open(mounted.path("lost.bin")).unwrap();
    assert_eq!(failing_pages(&cold, content.size, expected), lost_pages);
    assert_eq!(failing_pages(&cold, content.size, expected), lost_pages, "once more, from the cache");
}

#[test]
fn zeros_stand_for_lost_bytes_where_asked_for_and_nothing_else_is_hidden() {
    let test = "zeros_stand_for_lost_bytes_where_asked_for_and_nothing_else_is_hidden";
    if !can(test, &[]) {
        return;
    }
    let (mounted, tree) = (Mounted::with("damaged", "lost-as-zeros"), samples::tree("damaged"));
    let content = tree.content("lost.bin");
    let mut expected = content.bytes(0..content.size);
    for lost in &content.lost {
        expected[lost.start as usize..lost.end as usize].fill(0);
    }
    assert!(fs::read(mounted.path("lost.bin")).unwrap() == expected);
    assert_eq!(fs::read(mounted.path("corrupt.bin")).unwrap_err().raw_os_error(), EIO);
    // A folder that cannot be listed to its end ends all the same; what is no folder is none.
    let names: Vec<_> = fs::read_dir(mounted.path("torn folder")).unwrap().map(Result::unwrap).collect();
    assert_eq!(names.len(), 321);
    assert!(fs::read_dir(mounted.path("lost.bin")).is_err());
}

#[test]
fn a_large_read_gives_what_stands_before_the_lost_page_and_then_fails() {
    if !can("a_large_read_gives_what_stands_before_the_lost_page_and_then_fails", &["cat"]) {
        return;
    }
    let (mounted, tree) = (Mounted::new("damaged"), samples::tree("damaged"));
    let output = run("cat", &[&mounted.path("lost.bin")]);
    assert!(!output.status.success(), "a loss must not look like the end of the file");
    assert!(output.stdout == tree.content("lost.bin").bytes(0..8192));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Input/output error"));
}

#[test]
fn an_unbuffered_reader_loses_the_sector_alone() {
    if !can("an_unbuffered_reader_loses_the_sector_alone", &[]) {
        return;
    }
    let (mounted, tree) = (Mounted::new("damaged"), samples::tree("damaged"));
    let direct = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).unwrap();
    let file = fs::OpenOptions::new().read(true).custom_flags(direct).open(mounted.path("lost.bin")).unwrap();
    for sector in 10..30_u64 {
        let mut bytes = vec![0; 512];
        let read = file.read_exact_at(&mut bytes, sector * 512);
        if sector == 20 {
            assert_eq!(read.unwrap_err().raw_os_error(), EIO);
        } else {
            read.unwrap();
            assert!(bytes == tree.content("lost.bin").bytes(sector * 512..(sector + 1) * 512), "sector {sector}");
        }
    }
}

#[test]
fn dd_counts_the_lost_pages() {
    if !can("dd_counts_the_lost_pages", &["dd"]) {
        return;
    }
    let (mounted, tree) = (Mounted::new("damaged"), samples::tree("damaged"));
    let copy = mounted.scratch().join("copy");
    let (input, output) = (format!("if={}", mounted.path("lost.bin").display()), format!("of={}", copy.display()));
    let said = run("dd", &[&input, &output, &"bs=4096", &"conv=noerror,sync", &"status=noxfer"]);
    let said = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.matches("Input/output error").count(), 2, "{said}");
    let mut expected = tree.content("lost.bin").all();
    expected[8192..12_288].fill(0);
    expected[(3 * MIB + 4096) as usize..(3 * MIB + 8192) as usize].fill(0);
    expected.resize(expected.len().next_multiple_of(4096), 0);
    assert!(fs::read(copy).unwrap() == expected);
}

#[test]
fn doubtful_bytes_that_the_tree_serves_are_served() {
    if !can("doubtful_bytes_that_the_tree_serves_are_served", &[]) {
        return;
    }
    let (mounted, tree) = (Mounted::new("damaged"), samples::tree("damaged"));
    assert!(fs::read(mounted.path("doubtful.bin")).unwrap() == tree.content("doubtful.bin").all());
}

#[test]
fn a_file_that_cannot_be_read_fails_and_its_neighbours_do_not() {
    if !can("a_file_that_cannot_be_read_fails_and_its_neighbours_do_not", &[]) {
        return;
    }
    let (mounted, tree) = (Mounted::with("damaged", "direct-io"), samples::tree("damaged"));
    for (name, number) in [("encrypted.bin", 13), ("unsupported.bin", 95), ("corrupt.bin", 5)] {
        let error = fs::read(mounted.path(name)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(number), "{name}");
    }
    let buffered = Mounted::new("damaged");
    for name in ["encrypted.bin", "unsupported.bin", "corrupt.bin"] {
        assert!(fs::read(buffered.path(name)).is_err(), "{name}");
        assert!(fs::metadata(buffered.path(name)).is_ok(), "{name}");
    }
    assert!(fs::read(buffered.path("fine.bin")).unwrap() == tree.content("fine.bin").all());
}

#[test]
fn a_damaged_folder_lists_what_it_can_and_then_fails() {
    if !can("a_damaged_folder_lists_what_it_can_and_then_fails", &["ls"]) {
        return;
    }
    let mounted = Mounted::new("damaged");
    for _ in 0..2 {
        let entries: Vec<_> = fs::read_dir(mounted.path("torn folder")).unwrap().collect();
        let (good, bad): (Vec<_>, Vec<_>) = entries.into_iter().partition(Result::is_ok);
        let names: Vec<_> = good.into_iter().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let expected: Vec<_> = (0..321).map(|index| format!("entry {index:03}")).collect();
        assert_eq!(names, expected);
        assert_eq!(bad.len(), 1);
        assert_eq!(bad.into_iter().next().unwrap().unwrap_err().raw_os_error(), EIO);
    }
    let listed = run("ls", &[&"-l", &mounted.path("torn folder")]);
    assert_eq!(listed.status.code(), Some(2), "ls says that it could not list it all");
    // What is not listed can still be opened by its name.
    assert_eq!(fs::read(mounted.path("torn folder/entry 499")).unwrap().len(), 499);
}

#[test]
fn a_file_whose_record_is_lost_is_listed_and_cannot_be_opened() {
    if !can("a_file_whose_record_is_lost_is_listed_and_cannot_be_opened", &["ls"]) {
        return;
    }
    let mounted = Mounted::new("damaged");
    let folder = mounted.path("folder with a lost record");
    let listed = run("ls", &[&"-l", &folder]);
    let lines = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(lines.lines().filter(|line| line.starts_with("-r--r--r--")).count(), 4, "{lines}");
    let names = succeed("ls", &[&"-U", &folder]);
    assert_eq!(names.lines().collect::<Vec<_>>(), ["0", "1", "2", "3", "4"]);
    assert_eq!(fs::metadata(folder.join("2")).unwrap_err().raw_os_error(), EIO);
    assert_eq!(File::open(folder.join("2")).unwrap_err().raw_os_error(), EIO);
    assert_eq!(fs::read(folder.join("3")).unwrap().len(), 10);
}

#[test]
fn a_panicking_tree_costs_the_request_and_not_the_mount() {
    if !can("a_panicking_tree_costs_the_request_and_not_the_mount", &[]) {
        return;
    }
    let (mut mounted, tree) = (Mounted::new("damaged"), samples::tree("damaged"));
    for _ in 0..5 {
        for name in ["panics.bin", "panicking", "panicking link"] {
            assert_eq!(fs::symlink_metadata(mounted.path(name)).unwrap_err().raw_os_error(), EIO, "{name}");
        }
        assert_eq!(fs::read_link(mounted.path("panicking link")).unwrap_err().raw_os_error(), EIO);
        assert!(fs::read_dir(mounted.path("panicking")).is_err());
    }
    assert_eq!(fs::read_dir(mounted.point()).unwrap().count(), 13, "the folder that holds them is listed whole");
    assert!(fs::read(mounted.path("fine.bin")).unwrap() == tree.content("fine.bin").all());
    assert!(mounted.server.is_running());
}

#[test]
fn a_link_to_nothing_is_an_error() {
    if !can("a_link_to_nothing_is_an_error", &[]) {
        return;
    }
    let mounted = Mounted::new("damaged");
    assert_eq!(fs::read_link(mounted.path("empty link")).unwrap_err().raw_os_error(), EIO);
    assert_eq!(fs::metadata(mounted.path("no such file")).unwrap_err().kind(), ErrorKind::NotFound);
}
