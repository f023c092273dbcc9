//! Names that Linux cannot spell, streams, and where links point.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use mount_api::{Case, Name, Tree};

use crate::harness::{Mounted, can};
use crate::samples::{self, awkward_names};

fn listed(folder: impl AsRef<Path>) -> BTreeSet<Vec<u8>> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_vec()).collect()
}

#[test]
fn every_name_is_listed_as_the_rule_spells_it_and_opens_by_it() {
    if !can("every_name_is_listed_as_the_rule_spells_it_and_opens_by_it", &[]) {
        return;
    }
    let mounted = Mounted::new("names");
    let folder = mounted.path("awkward");
    let expected: BTreeSet<_> = awkward_names().into_iter().map(|(_, spelling)| spelling).collect();
    assert_eq!(listed(&folder), expected);
    for (index, (_, spelling)) in awkward_names().into_iter().enumerate() {
        let path = folder.join(OsStr::from_bytes(&spelling));
        assert_eq!(fs::read(&path).unwrap().len(), 100 + index, "{}", path.display());
    }
}

#[test]
fn spellings_of_nothing_are_not_found() {
    if !can("spellings_of_nothing_are_not_found", &[]) {
        return;
    }
    let mounted = Mounted::new("names");
    let foreign: [&[u8]; 6] = [b"a%2fb", b"a%25", b"%2E%2E", b"\xFF", b"\xED\xA0\x80\xED\xB0\x80", b"file:"];
    for bytes in foreign {
        let error = fs::metadata(mounted.path("awkward").join(OsStr::from_bytes(bytes))).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{bytes:x?}");
    }
}

#[test]
fn a_stream_opens_by_its_name_where_no_file_has_it() {
    if !can("a_stream_opens_by_its_name_where_no_file_has_it", &[]) {
        return;
    }
    let mounted = Mounted::new("names");
    let length = |name: &str| fs::read(mounted.path(name)).map(|bytes| bytes.len()).map_err(|error| error.kind());
    assert_eq!(length("streams/file:one"), Ok(1001));
    assert_eq!(length("streams/file:two%2F2"), Ok(1002));
    assert_eq!(length("streams/file:taken"), Ok(20), "a real file of that name wins");
    assert_eq!(length("streams/with:colon"), Ok(30));
    assert_eq!(length("streams/with:colon:s"), Ok(1004));
    assert_eq!(fs::metadata(mounted.path("streams/folder:of folder")).unwrap().len(), 1005);
    assert_eq!(length("streams/:own"), Ok(1006), "a folder's own");
    for missing in ["streams/file:none", "streams/file:", "streams/none:one", "streams/:", "streams/file:ONE"] {
        assert_eq!(length(missing), Err(std::io::ErrorKind::NotFound), "{missing}");
    }
}

#[test]
fn streams_hold_what_the_tree_holds() {
    if !can("streams_hold_what_the_tree_holds", &[]) {
        return;
    }
    let (mounted, tree) = (Mounted::new("whole"), samples::tree("whole"));
    let notes = tree.stream(tree.find("one name.bin"), &Name::from("notes"), Case::Sensitive).unwrap();
    let mut expected = vec![0; 5_000];
    tree.read_at(notes, 0, &mut expected, &mut mount_api::Faults::new()).unwrap();
    assert!(fs::read(mounted.path("one name.bin:notes")).unwrap() == expected);
}

#[test]
fn streams_are_listed_only_where_asked_for() {
    if !can("streams_are_listed_only_where_asked_for", &[]) {
        return;
    }
    let plain = listed(Mounted::new("names").path("streams"));
    let long = "語".repeat(255);
    let files = ["file", "file:taken", "with:colon", "folder", "many", &long, "z last"];
    assert_eq!(plain, files.iter().map(|name| name.as_bytes().to_vec()).collect());

    // The one stream of the file with the long name is left out: 1531 bytes are more than FUSE takes.
    let mut expected: Vec<OsString> = files.map(OsString::from).into();
    expected.extend(["file:one", "file:two%2F2", "with:colon:s", "folder:of folder"].map(OsString::from));
    expected.extend((0..2_000).map(|index| OsString::from(format!("many:stream number {index:04}"))));
    let mounted = Mounted::with("names", "streams");
    let mut names: Vec<_> =
        fs::read_dir(mounted.path("streams")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), expected.len(), "each once, though one file's streams fill several replies");
    names.sort();
    expected.sort();
    assert_eq!(names, expected);
    for index in [0, 1, 777, 1_999] {
        let path = mounted.path(format!("streams/many:stream number {index:04}"));
        assert_eq!(fs::metadata(path).unwrap().len(), index);
    }
}

#[test]
fn case_counts_unless_told_otherwise() {
    if !can("case_counts_unless_told_otherwise", &[]) {
        return;
    }
    let mounted = Mounted::new("names");
    assert!(mounted.path("Case/README.TXT").exists());
    assert!(!mounted.path("case/readme.txt").exists());
    assert!(!mounted.path("Case/readme.txt").exists());
    let mounted = Mounted::with("names", "insensitive");
    assert_eq!(fs::read(mounted.path("Case/README.TXT")).unwrap().len(), 50);
    assert_eq!(fs::read(mounted.path("case/readme.txt")).unwrap().len(), 50);
    assert_eq!(fs::read(mounted.path("CASE/Readme.Txt:zone")).unwrap().len(), 60);
    assert_eq!(listed(mounted.path("cASE")), BTreeSet::from([b"README.TXT".to_vec()]), "listed as they are");
}

#[test]
fn relative_links_lead_where_they_should_and_others_nowhere() {
    if !can("relative_links_lead_where_they_should_and_others_nowhere", &[]) {
        return;
    }
    let mounted = Mounted::new("names");
    let target = |name: &str| fs::read_link(mounted.path("links").join(name)).unwrap();
    assert_eq!(target("relative"), PathBuf::from("../streams/file"));
    assert_eq!(fs::read(mounted.path("links/relative")).unwrap().len(), 10);
    assert_eq!(target("escaped"), PathBuf::from("../awkward/%252F"));
    assert!(fs::read(mounted.path("links/escaped")).is_ok());
    assert_eq!(target("drive"), PathBuf::from(r"\??\C:\Windows"));
    assert_eq!(target("rooted"), PathBuf::from(r"\Windows"));
    assert_eq!(target("share"), PathBuf::from(r"\\server\share"));
    assert_eq!(target("host"), PathBuf::from("%2Fetc%2Fpasswd"), "not a file of this machine");
    for name in ["drive", "rooted", "share", "host"] {
        let error = fs::read(mounted.path("links").join(name)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{name}");
    }
    assert!(fs::read_link(mounted.path("links/too long")).is_err());
}
