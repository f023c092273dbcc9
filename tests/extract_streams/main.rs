//! `extract --streams` where the destination has named streams, with a fake of what Windows does: so the same runs on Linux and
//! under Wine, neither of which has such streams.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "reads what was extracted, and plays the host"
)]

mod fake_host;
mod memory_tree;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use fake_host::FakeHost;
use memory_tree::{MemoryTree, TIMES};
use mount_api::{Error, ErrorKind, Name, NodeId};
use serde_json::Value;
use vhdx_mount::extract::{Choice, Extracted, HashKind, Options, Progress, Sink, Source, Sources, Verdict, extract};

const READ_ONLY: u32 = 0x1;
const HIDDEN: u32 = 0x2;
const COMPRESSED: u32 = 0x800;

/// Colons, separators and the percent sign as Windows has to spell them.
fn spell(name: &Name) -> OsString {
    let escape = |unit: char| match unit {
        ':' | '/' | '\\' | '%' | '\0'..' ' => format!("%{:02X}", unit as u32),
        _ => unit.to_string(),
    };
    let text: String = name.to_string_lossy().chars().map(escape).collect();
    // Windows would leave out a dot at the end.
    text.strip_suffix('.').map_or(text.clone(), |text| format!("{text}%2E")).into()
}

fn options() -> Options {
    Options {
        choice: Choice::default(),
        streams: true,
        links: false,
        overwrite: false,
        resume: false,
        lost_as_zeros: false,
        accept_doubtful: false,
        raw_encrypted: false,
        hashes: vec![HashKind::Sha256],
        threads: 2,
        images: Vec::new(),
        spell,
    }
}

/// Extracts a tree as volume 1.
fn run(tree: &Arc<MemoryTree>, to: &Path, host: &FakeHost, options: &Options) -> Extracted {
    let sink = Sink::open(to).expect("a folder").on(Box::new(host.clone()));
    let source = Source { folder: "v".to_owned(), tree: Arc::<MemoryTree>::clone(tree) };
    let sources = Sources { read: vec![source], unread: Vec::new() };
    let extracted = extract(&sources, &sink, options, &Progress::default()).expect("a run");
    sink.close();
    extracted
}

/// The manifest's rows by path, streams as `path:stream`.
fn rows(to: &Path) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(to.join("manifest.jsonl")).expect("a manifest");
    let mut rows = BTreeMap::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).expect("a row");
        let stream = row["stream"].as_str().map(|stream| format!(":{stream}")).unwrap_or_default();
        let path = format!("{}{stream}", row["path"].as_str().expect("a path"));
        // A folder's row is written by every run.
        assert!(rows.insert(path.clone(), row.clone()).is_none() || row["kind"] == "folder", "two rows of {path}");
    }
    rows
}

/// What the rows tell of where things are.
fn places(to: &Path) -> BTreeMap<String, String> {
    let rows = rows(to).into_iter();
    rows.filter_map(|(path, row)| Some((path, row["written"].as_str()?.to_owned()))).collect()
}

/// The names in a folder of the destination.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("text")).collect();
    names.sort();
    names
}

#[track_caller]
fn expect_times(path: &Path) {
    let since = fs::metadata(path).expect("metadata").modified().expect("a time");
    let since = since.duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    assert_eq!((since.as_secs() as i64, since.subsec_nanos()), TIMES.modified.to_unix(), "{}", path.display());
}

fn streams(told: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
    told.iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect()
}

#[test]
fn streams_stay_with_their_files_and_folders() {
    let mut tree = MemoryTree::new();
    let folder = tree.folder(NodeId::ROOT, "folder", READ_ONLY | HIDDEN | COMPRESSED);
    tree.folder(NodeId::ROOT, "plain", COMPRESSED);
    let file = tree.file(folder, "c", b"main");
    let marked = tree.file(folder, "read-only", b"main too");
    tree.mark(marked, READ_ONLY);
    let long: Vec<u8> = (0..3_000_000u32).map(|number| (number % 251) as u8).collect();
    tree.stream(file, "s", b"");
    tree.stream(file, "Zone.Identifier", b"ZoneId=3");
    tree.stream(file, "\u{5}Summary*", &long);
    tree.stream(marked, "$DATA", b"not the main one");
    tree.stream(folder, "of the folder", b"x");
    tree.stream(NodeId::ROOT, "of the root", b"y");
    let (tree, to, host) = (Arc::new(tree), tempfile::tempdir().expect("a folder"), FakeHost::new(true, ""));
    run(&tree, to.path(), &host, &options());

    let v = to.path().join("v");
    let folder = v.join("folder");
    assert_eq!(
        (names(&v), names(&folder)),
        (vec!["folder".into(), "plain".into()], vec!["c".into(), "read-only".into()])
    );
    let expected = streams(&[("\u{5}summary*", &long), ("s", b""), ("zone.identifier", b"ZoneId=3")]);
    // Not told byte by byte: it is long.
    let own = host.streams_of(&folder.join("c"));
    assert!(own == expected, "{:?}", own.iter().map(|(name, content)| (name, content.len())).collect::<Vec<_>>());
    assert_eq!(host.streams_of(&folder.join("read-only")), streams(&[("$data", b"not the main one")]));
    assert_eq!(host.streams_of(&folder), streams(&[("of the folder", b"x")]));
    assert_eq!(host.streams_of(&v), streams(&[("of the root", b"y")]));
    assert_eq!(fs::read(folder.join("c")).expect("the file"), b"main");
    let places = places(to.path());
    assert_eq!(places["v/folder/c:Zone.Identifier"], "v/folder/c:Zone.Identifier");
    assert_eq!(places["v/folder:of the folder"], "v/folder:of the folder");
    assert_eq!(places["v:of the root"], "v:of the root");
    let rows = rows(to.path());
    assert!(rows.values().all(|row| row["verdict"] == "whole" && row.get("beside").is_none()), "{rows:#?}");
    // `printf y | sha256sum`
    let hash = "a1fce4363854ff888cff4b8e7875d600c2682390412a8cf79b37d0b11148b0fa";
    assert_eq!(rows["v:of the root"]["sha256"], hash);
    // The writing of streams changed the times of all of them.
    [&folder.join("c"), &folder.join("read-only"), &folder].into_iter().for_each(|path| expect_times(path));
    // What is compressed is the destination's affair.
    assert_eq!((host.attributes_of(&folder), host.attributes_of(&v.join("plain"))), (Some(READ_ONLY | HIDDEN), None));
    #[cfg(windows)]
    {
        let attributes = |name: &str| {
            let found = fs::metadata(folder.join(name)).expect("metadata");
            std::os::windows::fs::MetadataExt::file_attributes(&found)
        };
        assert_eq!((attributes("c") & READ_ONLY, attributes("read-only") & READ_ONLY), (0, READ_ONLY));
    }
}

#[test]
fn a_name_that_no_stream_can_have_is_that_of_a_file_beside() {
    let mut tree = MemoryTree::new();
    let file = tree.file(NodeId::ROOT, "a", b"main");
    let too_long = "l".repeat(256);
    let long_enough = "k".repeat(255);
    for name in [":", "..", "b\\c", "x:$INDEX_ALLOCATION", "refused", ".VHDX-mount-unfinished", &too_long] {
        tree.stream(file, name, b"beside");
    }
    tree.stream(file, Name::from_units([0xD800, 0x41]), b"beside");
    for name in ["S", "s", &long_enough] {
        tree.stream(file, name, name.as_bytes());
    }
    let broken = tree.stream(file, "long and broken".repeat(17).as_str(), b"12345678");
    tree.lose(broken, 3..4);
    let (tree, to, host) = (Arc::new(tree), tempfile::tempdir().expect("a folder"), FakeHost::new(true, "refused"));
    run(&tree, to.path(), &host, &options());

    let own = host.streams_of(&to.path().join("v/a"));
    let own: Vec<(&str, &[u8])> = own.iter().map(|(name, content)| (&name[..1], content.as_slice())).collect();
    assert_eq!(own, [("k", long_enough.as_bytes()), ("s", b"S"), ("s", b"s")]);
    let rows = rows(to.path());
    assert_eq!(rows["v/a:s"]["written"], "v/a:s%~2");
    let beside: Vec<_> = rows.values().filter(|row| row.get("beside").is_some()).collect();
    assert_eq!(beside.len(), 9, "{beside:#?}");
    for row in beside {
        let place = row["written"].as_str().expect("a place");
        assert!(place.starts_with("v/a%3A"), "{place}");
        let expected: &[u8] = if place.ends_with(".partial") { b"123\x005678" } else { b"beside" };
        assert_eq!(fs::read(to.path().join(place)).expect("a file beside"), expected, "{place}");
    }
    assert_eq!(rows["v/a:x:$INDEX_ALLOCATION"]["written"], "v/a%3Ax%3A$INDEX_ALLOCATION");
    assert_eq!(names(&to.path().join("v")).len(), 10);
    expect_times(&to.path().join("v/a"));
}

#[test]
fn what_is_not_whole_says_so_in_its_name() {
    let mut tree = MemoryTree::new();
    let whole = tree.file(NodeId::ROOT, "whole", b"main");
    let lost = tree.stream(whole, "s", b"12345678");
    tree.lose(lost, 0..2);
    let gone = tree.stream(whole, "gone", b"12345678");
    tree.lose(gone, 0..8);
    let partial = tree.file(NodeId::ROOT, "partial", b"12345678");
    tree.lose(partial, 7..8);
    tree.stream(partial, "s", b"of what is left");
    for name in ["lost", "refused"] {
        let file = tree.file(NodeId::ROOT, name, b"12345678");
        tree.lose(file, 0..8);
        if name == "refused" {
            tree.refuse(file);
        }
        tree.stream(file, "s", name.as_bytes());
    }
    let (tree, to, host) = (Arc::new(tree), tempfile::tempdir().expect("a folder"), FakeHost::new(true, ""));
    let told = run(&tree, to.path(), &host, &options()).not_well;
    assert!(told.iter().any(|one| one.path == "v/whole:gone" && one.verdict == Verdict::Failed), "{told:?}");

    let (rows, v) = (rows(to.path()), to.path().join("v"));
    assert_eq!(host.streams_of(&v.join("whole")), streams(&[("s.partial", b"\0\x00345678")]));
    assert_eq!(
        (&rows["v/whole:s"]["verdict"], &rows["v/whole:s"]["written"]),
        (&"partial".into(), &"v/whole:s.partial".into())
    );
    assert_eq!((&rows["v/whole:gone"]["verdict"], rows["v/whole:gone"].get("written")), (&"failed".into(), None));
    assert_eq!(host.streams_of(&v.join("partial.partial")), streams(&[("s", b"of what is left")]));
    assert_eq!(rows["v/partial:s"]["written"], "v/partial.partial:s");
    for name in ["lost", "refused"] {
        let row = &rows[&format!("v/{name}:s")];
        assert_eq!((&row["verdict"], &row["beside"]), (&"whole".into(), &"its file was not written".into()));
        assert_eq!(row["written"], format!("v/{name}%3As"));
        assert_eq!(fs::read(v.join(format!("{name}%3As"))).expect("the file beside"), name.as_bytes());
    }
    assert_eq!(names(&v), ["lost%3As", "partial.partial", "refused%3As", "whole"]);
}

#[test]
fn bytes_that_an_error_loses_bear_its_code() {
    let mut tree = MemoryTree::new();
    let list = Error::new(ErrorKind::Corrupt, "no part of it").with_code("ntfs-attribute-list-bad");
    let errors =
        [("list", list, "ntfs-attribute-list-bad"), ("host", Error::new(ErrorKind::Io, "EIO"), "host-read-error")];
    for (name, error, _) in &errors {
        let file = tree.file(NodeId::ROOT, *name, b"12345678");
        tree.fail(file, error.clone());
    }
    let (tree, to, host) = (Arc::new(tree), tempfile::tempdir().expect("a folder"), FakeHost::new(true, ""));
    run(&tree, to.path(), &host, &options());
    let rows = rows(to.path());
    for (name, error, code) in &errors {
        let row = &rows[&format!("v/{name}")];
        assert_eq!(row["verdict"], "failed", "{row}");
        assert!(row["error"].as_str().is_some_and(|said| said.contains(error.message())), "{row}");
        let lost = row["lost"].as_array().expect("ranges");
        let told: Vec<_> = lost.iter().map(|one| (&one["offset"], &one["length"], &one["code"])).collect();
        assert_eq!(told, [(&0.into(), &8.into(), &(*code).into())], "{row}");
    }
}

#[test]
fn a_run_that_goes_on_reads_no_stream_again_that_is_whole() {
    let mut tree = MemoryTree::new();
    let folder = tree.folder(NodeId::ROOT, "folder", 0);
    let of_folder = tree.stream(folder, "f", b"folder");
    let kept = tree.file(NodeId::ROOT, "kept", b"kept");
    tree.mark(kept, READ_ONLY);
    let kept_one = tree.stream(kept, "one", b"1");
    let kept_two = tree.stream(kept, "two", b"2");
    let unknown = tree.stream(kept, "unknown", b"3");
    let gone = tree.file(NodeId::ROOT, "gone", b"gone");
    let of_gone = tree.stream(gone, "s", b"of what is gone");
    let broken = tree.file(NodeId::ROOT, "broken", b"12345678");
    tree.lose(broken, 0..1);
    let of_broken = tree.stream(broken, "s", b"of what is broken");
    let (tree, to, host) = (Arc::new(tree), tempfile::tempdir().expect("a folder"), FakeHost::new(true, ""));
    run(&tree, to.path(), &host, &options());
    let v = to.path().join("v");
    let first = places(to.path());

    // One stream is gone, one file, one row; and a killed run left half a stream under another name.
    fs::remove_file(host.path_of(&v.join("kept"), "two")).expect("a stream");
    fs::write(host.path_of(&v.join("kept"), ".vhdx-mount-unfinished"), "half").expect("half a stream");
    fs::remove_file(v.join("gone")).expect("a file");
    let manifest = to.path().join("manifest.jsonl");
    let text = fs::read_to_string(&manifest).expect("a manifest");
    let rest: Vec<_> =
        text.lines().filter(|line| !line.contains("\"unknown\"")).map(|line| format!("{line}\n")).collect();
    assert_eq!(rest.len() + 1, text.lines().count());
    fs::write(&manifest, rest.concat()).expect("a manifest");
    tree.read.lock().expect("no panic").clear();
    run(&tree, to.path(), &host, &Options { resume: true, ..options() });

    let mut read = tree.read.lock().expect("no panic").clone();
    read.sort();
    read.dedup();
    assert_eq!(read, [kept_two, unknown, gone, of_gone, broken, of_broken]);
    assert!(!read.contains(&kept_one) && !read.contains(&of_folder));
    assert_eq!(places(to.path()), first);
    assert_eq!(host.streams_of(&v.join("kept")), streams(&[("one", b"1"), ("two", b"2"), ("unknown", b"3")]));
    assert_eq!(host.streams_of(&v.join("gone")), streams(&[("s", b"of what is gone")]));
    assert_eq!(host.streams_of(&v.join("broken.partial")), streams(&[("s", b"of what is broken")]));
    assert_eq!(names(&v), ["broken.partial", "folder", "gone", "kept"]);
    ["kept", "gone", "folder"].into_iter().for_each(|name| expect_times(&v.join(name)));
    assert_eq!(fs::metadata(v.join("kept")).expect("metadata").permissions().readonly(), cfg!(windows));
}

#[test]
fn streams_that_stand_at_the_destination_stay() {
    let mut tree = MemoryTree::new();
    let folder = tree.folder(NodeId::ROOT, "folder", 0);
    tree.stream(folder, "s", b"from the disk");
    let file = tree.file(NodeId::ROOT, "a", b"from the disk");
    tree.stream(file, "s", b"from the disk");
    let tree = Arc::new(tree);
    for overwrite in [false, true] {
        let (to, host) = (tempfile::tempdir().expect("a folder"), FakeHost::new(true, ""));
        let v = to.path().join("v");
        fs::create_dir_all(v.join("folder")).expect("a folder");
        fs::write(v.join("a"), "mine").expect("a file");
        for path in [v.join("a"), v.join("folder")] {
            let stream = host.path_of(&path, "s");
            fs::create_dir_all(stream.parent().expect("a folder")).expect("a folder");
            fs::write(stream, "mine").expect("a stream");
        }
        // So that no other file gets its number.
        let kept = cfg!(unix).then(|| fs::File::open(v.join("a")).expect("a file"));
        run(&tree, to.path(), &host, &Options { overwrite, ..options() });
        drop(kept);
        let places = places(to.path());
        if overwrite {
            assert_eq!((places["v/a:s"].as_str(), places["v/folder:s"].as_str()), ("v/a:s", "v/folder:s"));
            assert_eq!(host.streams_of(&v.join("folder")), streams(&[("s", b"from the disk")]));
            assert_eq!(host.streams_of(&v.join("a")), streams(&[("s", b"from the disk")]));
        } else {
            assert_eq!((places["v/a:s"].as_str(), places["v/folder:s"].as_str()), ("v/a%~2:s", "v/folder:s%~2"));
            assert_eq!(host.streams_of(&v.join("folder")), streams(&[("s", b"mine"), ("s%~2", b"from the disk")]));
            assert_eq!(host.streams_of(&v.join("a")), streams(&[("s", b"mine")]));
            assert_eq!(host.streams_of(&v.join("a%~2")), streams(&[("s", b"from the disk")]));
            assert_eq!(fs::read(v.join("a")).expect("my file"), b"mine");
        }
    }
}

#[test]
fn a_stream_goes_with_its_file_when_that_is_written_anew() {
    let tree = |content: &[u8]| {
        let mut tree = MemoryTree::new();
        let file = tree.file(NodeId::ROOT, "a", content);
        tree.stream(file, "s", b"stream");
        Arc::new(tree)
    };
    let (to, host) = (tempfile::tempdir().expect("a folder"), FakeHost::new(true, ""));
    run(&tree(b"old"), to.path(), &host, &options());
    // The chain has another file there meanwhile, which is replaced, and its streams with it.
    run(&tree(b"another"), to.path(), &host, &Options { resume: true, ..options() });
    let file = to.path().join("v/a");
    assert_eq!(fs::read(&file).expect("the file"), b"another");
    assert_eq!(host.streams_of(&file), streams(&[("s", b"stream")]));
}

#[test]
fn nothing_that_the_same_run_wrote_is_replaced() {
    let mut tree = MemoryTree::new();
    let file = tree.file(NodeId::ROOT, "a", b"main");
    tree.stream(file, "S", b"one");
    tree.stream(file, "s", b"two");
    let (to, host) = (tempfile::tempdir().expect("a folder"), FakeHost::new(true, ""));
    run(&Arc::new(tree), to.path(), &host, &Options { overwrite: true, ..options() });
    assert_eq!(host.streams_of(&to.path().join("v/a")), streams(&[("s", b"one"), ("s%~2", b"two")]));
}

#[test]
fn where_there_are_no_streams_they_stand_beside_without_a_word() {
    let mut tree = MemoryTree::new();
    let file = tree.file(NodeId::ROOT, "a", b"main");
    tree.stream(file, "s", b"beside");
    let (tree, to, host) = (Arc::new(tree), tempfile::tempdir().expect("a folder"), FakeHost::new(false, ""));
    run(&tree, to.path(), &host, &options());
    let row = &rows(to.path())["v/a:s"];
    let place = if cfg!(windows) { "v/a%3As" } else { "v/a:s" };
    assert_eq!((&row["verdict"], &row["written"], row.get("beside")), (&"whole".into(), &place.into(), None));
    assert_eq!(fs::read(to.path().join(place)).expect("the stream"), b"beside");
}

/// Names that are no text may read alike in the manifest, and are two all the same.
#[cfg(unix)]
#[test]
fn names_that_read_alike_stay_two() {
    use std::os::unix::ffi::OsStringExt;

    let spell = |name: &Name| match name.units() {
        // A byte that no text holds, and one that tells them apart.
        [unit @ 0xd800..0xe000] => OsString::from_vec(vec![0xff, *unit as u8]),
        _ => name.to_string_lossy().into(),
    };
    let mut tree = MemoryTree::new();
    tree.file(NodeId::ROOT, Name::from_units([0xd811u16]), b"first");
    tree.file(NodeId::ROOT, Name::from_units([0xd822u16]), b"second");
    let (tree, to, host) = (Arc::new(tree), tempfile::tempdir().expect("a folder"), FakeHost::new(false, ""));
    let content = |byte| fs::read(to.path().join("v").join(OsString::from_vec(vec![0xff, byte]))).expect("a file");
    for resume in [false, true] {
        run(&tree, to.path(), &host, &Options { spell, resume, ..options() });
        assert_eq!((content(0x11), content(0x22)), (b"first".to_vec(), b"second".to_vec()));
        assert_eq!(fs::read_dir(to.path().join("v")).expect("a folder").count(), 2);
    }
    let manifest = fs::read_to_string(to.path().join("manifest.jsonl")).expect("a manifest");
    let bytes = |line: &str| serde_json::from_str::<Value>(line).expect("a row")["written_bytes"].clone();
    let told: Vec<Value> = manifest.lines().map(bytes).collect();
    for byte in [0x11, 0x22] {
        assert!(told.contains(&Value::from(vec![b'v', b'/', 0xff, byte])), "{told:?}");
    }
}
