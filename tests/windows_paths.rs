//! Recorded paths of parents, as Windows is asked for them.
#![cfg(windows)]

use std::path::Path;

use fixtures::fill::Fill;
use fixtures::vhdx::{Image, MIB, ParentLocator};
use vhdx_mount::chain::{self, Chain, ChainOptions};
use vhdx_mount::image::HostFolders;
use vhdx_mount::report::quoted;
use vhdx_mount::{Error, ErrorKind};

/// A base below `base/` and a child elsewhere that records only this path of it.
fn open(record: impl Fn(&str) -> String) -> Result<Chain, Error> {
    let folder = tempfile::tempdir().expect("a folder");
    let (above, below) = (folder.path().join("child"), folder.path().join("base"));
    for folder in [&above, &below] {
        create(folder);
    }
    let base = Image::fixed(8 * MIB, 2 * MIB as u32, &Fill::live(0));
    let path = below.join("golden.vhdx");
    base.write_to(&path).expect("an image is written");
    let mut child = Image::child_of(&base, "unused");
    let linkage = format!("{{{}}}", base.data_write_guid);
    let recorded = record(&path.to_string_lossy());
    child.parent_locator =
        Some(ParentLocator::empty().with("parent_linkage", &linkage).with("absolute_win32_path", &recorded));
    let child_path = above.join("child.avhdx");
    child.write_to(&child_path).expect("an image is written");
    chain::open(&HostFolders, &child_path, &ChainOptions::default())
}

#[expect(clippy::disallowed_methods, reason = "makes the folders of the test")]
fn create(folder: &Path) {
    std::fs::create_dir_all(folder).expect("a folder");
}

#[test]
fn a_recorded_drive_is_asked_natively_in_each_of_its_spellings() {
    for prefix in ["", r"\\?\", r"\??\"] {
        // Wine's and Windows' own programs know no path that begins with `\??\`, so that one need not be found.
        match open(|path| format!("{prefix}{path}")) {
            Ok(chain) => assert_eq!(chain.links().len(), 2, "{prefix}"),
            Err(error) => assert_eq!((prefix, error.kind()), (r"\??\", ErrorKind::NotFound), "{error}"),
        }
    }
}

#[test]
fn a_recorded_server_is_named_and_not_asked() {
    for recorded in [r"\\server.example\share\golden.vhdx", r"\\?\UNC\server.example\share\golden.vhdx"] {
        let refused = open(|_| recorded.to_owned()).err().expect("a refusal");
        assert_eq!(refused.kind(), ErrorKind::NotFound);
        let told = refused.details().join("\n");
        assert!(told.contains("not opened: only the image names this server"), "{told}");
        assert!(told.contains(&format!("--parent {})", quoted(Path::new(recorded)))), "{told}");
    }
    let refused = open(|_| r"\\?\GLOBALROOT\Device\Mup\server.example\share\golden.vhdx".to_owned()).err();
    let told = refused.expect("a refusal").details().join("\n");
    assert!(told.contains("names neither a drive nor a volume"), "{told}");
}
