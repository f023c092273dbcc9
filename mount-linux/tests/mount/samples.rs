//! The trees that are mounted, by name: the test and the process that serves make the same one.

use std::time::Duration;

use mount_api::{ErrorKind, Name, NodeId, Time, Times};

use crate::memory_tree::{Content, MemoryTree, Quirk};

pub(crate) const CROWD: usize = 100_000;
pub(crate) const MIB: u64 = 1 << 20;

/// Sizes around those at which something changes: page, request, nothing.
pub(crate) const SIZES: [u64; 10] = [0, 1, 511, 700, 4095, 4096, 4097, MIB - 1, MIB + 3, 5 * MIB + 123];

pub(crate) fn tree(name: &str) -> MemoryTree {
    match name {
        "whole" => whole(),
        "damaged" => damaged(),
        "crowd" => crowd(),
        "names" => names(),
        other => panic!("no sample tree {other}"),
    }
}

/// Nothing is wrong with it, and every name fits everywhere.
fn whole() -> MemoryTree {
    let mut tree = MemoryTree::new();
    let sizes = tree.folder(NodeId::ROOT, "sizes");
    for size in SIZES {
        tree.file(sizes, &*format!("{size}.bin"), Content::of(size, size));
    }
    tree.file(NodeId::ROOT, "big.bin", Content::of(16 * MIB, 7));
    let deep = (0..10).fold(NodeId::ROOT, |parent, depth| tree.folder(parent, &*format!("depth {depth}")));
    tree.file(deep, "bottom.txt", Content::of(100, 8));
    tree.folder(NodeId::ROOT, "empty");
    let linked = tree.file(NodeId::ROOT, "one name.bin", Content::of(70_000, 9));
    tree.hard_link(deep, "another name.bin", linked);
    tree.file(NodeId::ROOT, "grüße 日本 😀.txt", Content::of(33, 10));
    tree.link(deep, "to one name", r"..\..\..\..\..\..\..\..\..\..\one name.bin", true);
    tree.link(NodeId::ROOT, "to nowhere", r"\??\C:\Users", false);
    let holes = vec![0..MIB, 2 * MIB..6 * MIB, 7 * MIB..8 * MIB];
    tree.file(NodeId::ROOT, "sparse.bin", Content { holes, ..Content::of(8 * MIB, 11) });
    tree.file(NodeId::ROOT, "hole.bin", Content { holes: vec![0..MIB, MIB..4 * MIB], ..Content::of(4 * MIB, 12) });
    tree.add_stream(linked, "notes", Content::of(5_000, 13));
    tree
}

/// Everything is wrong with it.
fn damaged() -> MemoryTree {
    let mut tree = MemoryTree::new();
    let lost = vec![10_240..10_752, 3 * MIB + 4096..3 * MIB + 8192];
    tree.file(NodeId::ROOT, "lost.bin", Content { lost, ..Content::of(4 * MIB + 100, 20) });
    tree.file(
        NodeId::ROOT,
        "doubtful.bin",
        Content { doubtful: vec![0..MIB, MIB..2 * MIB], ..Content::of(2 * MIB, 21) },
    );
    for (name, quirk) in [
        ("encrypted.bin", Quirk::ReadFails(ErrorKind::Encrypted)),
        ("unsupported.bin", Quirk::ReadFails(ErrorKind::Unsupported)),
        ("corrupt.bin", Quirk::ReadFails(ErrorKind::Corrupt)),
        ("panics.bin", Quirk::Panics),
        ("slow.bin", Quirk::Slow(Duration::from_millis(1500))),
    ] {
        let file = tree.file(NodeId::ROOT, name, Content::of(MIB, 22));
        tree.set_quirk(file, quirk);
    }
    let panicking = tree.folder(NodeId::ROOT, "panicking");
    tree.set_quirk(panicking, Quirk::Panics);
    let link = tree.link(NodeId::ROOT, "panicking link", "x", true);
    tree.set_quirk(link, Quirk::Panics);
    tree.link(NodeId::ROOT, "empty link", "", true);

    let torn = tree.folder(NodeId::ROOT, "torn folder");
    for index in 0..500 {
        tree.file(torn, &*format!("entry {index:03}"), Content::of(index, index));
    }
    tree.set_quirk(torn, Quirk::ListingEndsAfter(321));

    let holed = tree.folder(NodeId::ROOT, "folder with a lost record");
    for index in 0..5 {
        let file = tree.file(holed, &*format!("{index}"), Content::of(10, index));
        if index == 2 {
            tree.set_quirk(file, Quirk::NoAttr);
        }
    }
    tree.file(NodeId::ROOT, "fine.bin", Content::of(3 * MIB, 23));
    tree
}

/// One folder with very many files.
fn crowd() -> MemoryTree {
    let mut tree = MemoryTree::new();
    let crowd = tree.folder(NodeId::ROOT, "crowd");
    for index in 0..CROWD {
        tree.file(crowd, &*format!("file {index:06} of the crowd"), Content::of(index as u64, 1));
    }
    tree
}

/// Names that Linux cannot spell as they are, with what they are spelled as; written down by hand from the rule.
pub(crate) fn awkward_names() -> Vec<(Vec<u16>, Vec<u8>)> {
    let text = |name: &str| name.encode_utf16().collect::<Vec<u16>>();
    let mut names: Vec<(Vec<u16>, Vec<u8>)> = [
        ("a/b", "a%2Fb"),
        ("nul\0", "nul%00"),
        (".", "%2E"),
        ("..", "%2E."),
        ("...", "..."),
        ("%2F", "%252F"),
        ("100%", "100%"),
        ("a:b", "a:b"),
        ("tab\tnewline\n", "tab\tnewline\n"),
        (r"back\slash", r"back\slash"),
        ("/etc/passwd", "%2Fetc%2Fpasswd"),
    ]
    .map(|(name, spelling)| (text(name), spelling.as_bytes().to_vec()))
    .into();
    names.push((vec![0xD800], vec![0xED, 0xA0, 0x80]));
    names.push((vec![0x78, 0xDFFF, 0x79], vec![b'x', 0xED, 0xBF, 0xBF, b'y']));
    names.push((vec![0x65E5; 255], "日".repeat(255).into_bytes()));
    names.push((vec![0x2F; 255], b"%2F".repeat(255)));
    names
}

/// Names, streams, times, and names that look like streams.
fn names() -> MemoryTree {
    let mut tree = MemoryTree::new();
    let awkward = tree.folder(NodeId::ROOT, "awkward");
    for (index, (name, _)) in awkward_names().into_iter().enumerate() {
        tree.file(awkward, Name::from_units(name), Content::of(100 + index as u64, index as u64));
    }

    let streams = tree.folder(NodeId::ROOT, "streams");
    let file = tree.file(streams, "file", Content::of(10, 1));
    tree.add_stream(file, "one", Content::of(1001, 2));
    tree.add_stream(file, "two/2", Content::of(1002, 3));
    tree.add_stream(file, "taken", Content::of(1003, 4));
    tree.file(streams, "file:taken", Content::of(20, 5));
    let colon = tree.file(streams, "with:colon", Content::of(30, 6));
    tree.add_stream(colon, "s", Content::of(1004, 7));
    let folder = tree.folder(streams, "folder");
    tree.add_stream(folder, "of folder", Content::of(1005, 8));
    tree.add_stream(streams, "own", Content::of(1006, 9));
    let many = tree.file(streams, "many", Content::of(0, 10));
    for index in 0..2_000 {
        tree.add_stream(many, &*format!("stream number {index:04}"), Content::of(index, index));
    }
    let long = tree.file(streams, Name::from_units(vec![0x8A9E; 255]), Content::of(0, 10));
    tree.add_stream(long, Name::from_units(vec![0x8A9E; 255]), Content::of(0, 10));
    tree.file(streams, "z last", Content::of(40, 11));

    let far = tree.folder(NodeId::ROOT, "far cookies");
    for index in 0..1_000 {
        tree.file(far, &*format!("{index}"), Content::of(index, index));
    }
    tree.set_quirk(far, Quirk::FarCookies);

    let file = tree.file(NodeId::ROOT, "odd times", Content::of(1, 1));
    let odd = Times {
        created: Time(1),
        modified: Time::from_unix(-1, 999_999_900),
        changed: Time::from_unix(4_102_444_800, 100),
        accessed: Time(0),
    };
    tree.set_times(file, odd);

    let case = tree.folder(NodeId::ROOT, "Case");
    let upper = tree.file(case, "README.TXT", Content::of(50, 12));
    tree.add_stream(upper, "Zone", Content::of(60, 13));

    let links = tree.folder(NodeId::ROOT, "links");
    tree.link(links, "relative", r"..\streams\file", true);
    tree.link(links, "escaped", r"..\awkward\%2F", true);
    tree.link(links, "drive", r"\??\C:\Windows", false);
    tree.link(links, "rooted", r"\Windows", true);
    tree.link(links, "host", "/etc/passwd", false);
    tree.link(links, "share", r"\\server\share", false);
    tree.link(links, "too long", &"x".repeat(5000), true);
    tree
}
