//! Folders of any size.

use std::collections::HashSet;
use std::fs;
use std::time::Instant;

use crate::harness::{Mounted, can, succeed};
use crate::samples::CROWD;

#[test]
fn a_hundred_thousand_entries_are_listed_once_each() {
    if !can("a_hundred_thousand_entries_are_listed_once_each", &["ls"]) {
        return;
    }
    let mounted = Mounted::new("crowd");
    let names: Vec<_> = fs::read_dir(mounted.path("crowd")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), CROWD);
    assert_eq!(names[77_777], "file 077777 of the crowd", "in the order of the tree");
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), CROWD);
    // With their attributes.
    let long = succeed("ls", &[&"-lU", &mounted.path("crowd")]);
    let sizes = long.lines().skip(1).map(|line| line.split_whitespace().nth(4).unwrap().parse::<usize>().unwrap());
    assert!(sizes.eq(0..CROWD), "each entry with its own size");
}

#[test]
fn a_piece_of_a_listing_costs_the_same_wherever_it_begins() {
    if !can("a_piece_of_a_listing_costs_the_same_wherever_it_begins", &[]) {
        return;
    }
    let mounted = Mounted::new("crowd");
    let mut entries = fs::read_dir(mounted.path("crowd")).unwrap();
    let mut tenths = Vec::new();
    for _ in 0..10 {
        let start = Instant::now();
        assert_eq!(entries.by_ref().take(CROWD / 10).count(), CROWD / 10);
        tenths.push(start.elapsed());
    }
    // If each piece went through all that comes before it, the last tenth would cost 19 times the first.
    let (first, last) = (tenths[..3].iter().min().unwrap(), tenths[7..].iter().min().unwrap());
    assert!(*last < *first * 5, "{tenths:?}");
}

#[test]
fn dot_and_dot_dot_are_listed_first_and_once() {
    if !can("dot_and_dot_dot_are_listed_first_and_once", &["ls"]) {
        return;
    }
    let mounted = Mounted::new("whole");
    for folder in ["", "empty", "sizes"] {
        let lines = succeed("ls", &[&"-faU", &mounted.path(folder)]);
        let names: Vec<_> = lines.lines().collect();
        assert_eq!(names[..2], [".", ".."], "{folder}");
        assert_eq!(names.iter().filter(|name| name.starts_with('.')).count(), 2, "{folder}");
    }
    assert_eq!(fs::read_dir(mounted.path("empty")).unwrap().count(), 0);
}

#[test]
fn a_listing_can_be_rewound_and_gone_on_with() {
    if !can("a_listing_can_be_rewound_and_gone_on_with", &[]) {
        return;
    }
    let mounted = Mounted::new("crowd");
    let folder = fs::File::open(mounted.path("crowd")).unwrap();
    let mut listing = rustix::fs::Dir::read_from(&folder).unwrap();
    let name = |entry: Option<rustix::io::Result<rustix::fs::DirEntry>>| {
        entry.unwrap().unwrap().file_name().to_str().unwrap().to_owned()
    };
    let far: Vec<_> = (0..50_000).map(|_| name(listing.next())).collect();
    listing.rewind();
    let again: Vec<_> = (0..50_000).map(|_| name(listing.next())).collect();
    assert_eq!(far, again);
    assert_eq!(name(listing.next()), "file 049998 of the crowd", "after `.`, `..` and 49,998 files");
}

#[test]
fn the_largest_cookies_do_and_streams_are_never_left_out_unsaid() {
    if !can("the_largest_cookies_do_and_streams_are_never_left_out_unsaid", &[]) {
        return;
    }
    let mounted = Mounted::new("names");
    let names = fs::read_dir(mounted.path("far cookies")).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.eq((0..1_000).map(|index| std::ffi::OsString::from(index.to_string()))));
    // These leave no room for the places between an entry and its streams.
    let with_streams = Mounted::with("names", "streams");
    let (good, bad): (Vec<_>, Vec<_>) =
        fs::read_dir(with_streams.path("far cookies")).unwrap().partition(|entry| entry.is_ok());
    assert_eq!(good.len(), 1);
    assert_eq!(bad[0].as_ref().unwrap_err().kind(), std::io::ErrorKind::Unsupported);
}
