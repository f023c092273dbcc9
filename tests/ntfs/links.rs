//! Links that stay in their volume lead there by real names; others do not pretend to.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::Path;

use mount_api::{Kind, LinkPath, NodeId, Tree};
use vhdx_mount::fs::ntfs::Ntfs;
use vhdx_mount::report::Code;

use crate::forge::{Forge, INDEX_ROOT, record};
use crate::metadata::{names, reparse, set};
use crate::support::program::{Mounted, PROGRAM};
use crate::tools::{Volume, have, run};
use crate::walk::{find, list};

/// A symbolic link as Windows makes it.
fn symlink(path: &Path, target: &str, relative: bool) {
    File::create(path).unwrap();
    let value = reparse(0xa000_000c, &names(target, target, &[u8::from(relative), 0, 0, 0], &[]));
    set(path, "system.ntfs_reparse_data", &value);
}

/// A junction, or a mount point.
fn junction(path: &Path, target: &str) {
    fs::create_dir(path).unwrap();
    set(path, "system.ntfs_reparse_data", &reparse(0xa000_0003, &names(target, "", &[], &[0; 2])));
}

fn make(root: &Path) {
    fs::create_dir_all(root.join("Users/Anna/Docs")).unwrap();
    fs::write(root.join("Users/Anna/Docs/Letter.txt"), b"a letter").unwrap();
    let here = root.join("Users/Anna");
    symlink(&here.join("by case"), r"docs\letter.TXT", true);
    symlink(&here.join("up and down"), r"..\ANNA\.\docs\..\Docs\Letter.txt", true);
    symlink(&here.join("rooted"), r"\users\anna\docs\letter.txt", true);
    symlink(&here.join("absolute"), r"\??\C:\USERS\Anna\Docs\letter.txt", false);
    junction(&root.join("Documents and Settings"), r"\??\C:\Users");
    junction(&root.join("slash"), r"\??\c:\Users\Anna\");
    junction(&here.join("drive"), r"\??\C:\");
    symlink(&here.join("through"), r"\??\C:\documents and settings\Anna\Docs\Letter.txt", false);
    symlink(&here.join("nowhere"), r"..\absent\file", true);
    symlink(&here.join("above"), r"..\..\..\..\..\..\etc\passwd", true);
    symlink(&here.join("absent"), r"\??\C:\absent", false);
    symlink(&here.join("other drive"), r"\??\D:\Users", false);
    symlink(&here.join("share"), r"\??\UNC\server\share", false);
    junction(&here.join("volume"), r"\??\Volume{01234567-89ab-cdef-0123-456789abcdef}\");
}

/// The path as it would be typed.
fn way(tree: &dyn Tree, path: &str) -> Option<String> {
    let LinkPath { up, names } = tree.link_path(find(tree, path)).unwrap()?;
    let names = names.iter().map(mount_api::Name::to_string_lossy);
    Some(std::iter::repeat_n("..".to_owned(), up).chain(names).collect::<Vec<_>>().join("/"))
}

#[test]
fn links_within_the_volume_lead_there_by_real_names() {
    if !have("links_within_the_volume_lead_there_by_real_names", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(16, &[]);
    volume.mounted("", |root| {
        fs::create_dir_all(root.join("WINDOWS/system32")).unwrap();
        make(root);
    });
    let ntfs = volume.open();
    let told = |path: &str| way(&ntfs, path);
    let some = |path: &str| Some(path.to_owned());
    for (link, path) in [
        ("by case", "Docs/Letter.txt"),
        ("up and down", "Docs/Letter.txt"),
        ("rooted", "Docs/Letter.txt"),
        ("absolute", "Docs/Letter.txt"),
        ("drive", "../.."),
        ("through", "../../Documents and Settings/Anna/Docs/Letter.txt"),
        ("nowhere", "../absent/file"),
        // Nothing is above the root.
        ("above", "../../etc/passwd"),
    ] {
        assert_eq!(told(&format!("Users/Anna/{link}")), some(path), "{link}");
    }
    assert_eq!(told("Documents and Settings"), some("Users"));
    assert_eq!(told("slash"), some("Users/Anna"));
    for elsewhere in ["absent", "other drive", "share", "volume"] {
        assert_eq!(told(&format!("Users/Anna/{elsewhere}")), None, "{elsewhere}");
    }
    assert_eq!(told("Users/Anna/Docs/Letter.txt"), None);

    // As a mount shows them.
    let mounted = Mounted::new(&volume.image(), &[]);
    for link in ["by case", "up and down", "rooted", "absolute", "through"] {
        let link = mounted.path("volume-1/Users/Anna").join(link);
        assert_eq!(fs::read(&link).unwrap(), b"a letter", "{link:?}");
        let length = fs::symlink_metadata(&link).unwrap().len();
        assert_eq!(length, fs::read_link(&link).unwrap().as_os_str().len() as u64);
    }
    assert_eq!(fs::read(mounted.path("volume-1/Documents and Settings/Anna/Docs/Letter.txt")).unwrap(), b"a letter");
    for nowhere in ["nowhere", "above", "absent", "other drive", "share", "volume"] {
        let link = mounted.path("volume-1/Users/Anna").join(nowhere);
        assert_eq!(fs::read(&link).unwrap_err().kind(), std::io::ErrorKind::NotFound, "{link:?}");
    }
    drop(mounted);

    // As they are listed.
    let listed = |args: &[&str]| {
        let args: Vec<_> = args.iter().copied().map(OsString::from).collect();
        run(PROGRAM, [&args[..], &[volume.image().into_os_string(), "volume-1/Users/Anna".into()]].concat())
    };
    let json: serde_json::Value = serde_json::from_slice(&listed(&["ls", "--json"])).unwrap();
    let entries = json["entries"].as_array().unwrap();
    let entry = |name: &str| entries.iter().find(|entry| entry["path"].as_str().unwrap().ends_with(name)).unwrap();
    let by_case = serde_json::json!({"tag": 0xa000_000cu32, "target": r"docs\letter.TXT", "path": "Docs/Letter.txt"});
    assert_eq!(entry("by case")["reparse"], by_case);
    assert_eq!((&entry("share")["reparse"]["path"], entry("Docs").get("reparse")), (&serde_json::Value::Null, None));
    let text = String::from_utf8(listed(&["ls", "--long"])).unwrap();
    assert!(text.lines().any(|line| line.ends_with(r"volume-1/Users/Anna/drive -> \??\C:\")), "{text}");

    // What another reader finds behind them.
    volume.mounted("ro", |root| {
        for link in ["by case", "up and down", "rooted", "absolute"] {
            assert_eq!(fs::read(root.join("Users/Anna").join(link)).unwrap(), b"a letter", "{link}");
        }
        assert_eq!(fs::read(root.join("Documents and Settings/Anna/Docs/Letter.txt")).unwrap(), b"a letter");
    });
}

#[test]
fn a_volume_without_windows_is_not_drive_c() {
    if !have("a_volume_without_windows_is_not_drive_c", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(16, &[]);
    volume.mounted("", make);
    let ntfs = volume.open();
    assert_eq!(way(&ntfs, "Documents and Settings"), None);
    assert_eq!(way(&ntfs, "Users/Anna/absolute"), None);
    assert_eq!(way(&ntfs, "Users/Anna/rooted").as_deref(), Some("Docs/Letter.txt"));
    // `D:\Users` may well be this volume's own, and is there.
    assert_eq!(way(&ntfs, "Users/Anna/other drive").as_deref(), Some(".."));
}

#[test]
fn links_of_wsl_lead_where_linux_follows_them() {
    if !have("links_of_wsl_lead_where_linux_follows_them", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(8, &[]);
    volume.mounted("", |root| {
        fs::create_dir_all(root.join("home/docs")).unwrap();
        fs::write(root.join("home/docs/letter"), b"a letter").unwrap();
        for (name, target) in
            [("relative", "docs/letter"), ("above", "../home/./docs/letter"), ("absolute", "/etc/passwd")]
        {
            let data = [&2u32.to_le_bytes(), target.as_bytes()].concat();
            let length = u16::try_from(data.len()).unwrap().to_le_bytes();
            let value = [&0xa000_001du32.to_le_bytes(), &length[..], &[0, 0], &data].concat();
            fs::write(root.join("home").join(name), b"").unwrap();
            let path = root.join("home").join(name);
            rustix::fs::setxattr(path, "system.ntfs_reparse_data", &value, rustix::fs::XattrFlags::CREATE).unwrap();
        }
    });
    let ntfs = volume.open();
    let told = |name: &str| way(&ntfs, &format!("home/{name}"));
    assert_eq!((told("relative"), told("above")), (Some("docs/letter".into()), Some("docs/letter".into())));
    assert_eq!(told("absolute"), None);
    let absolute = find(&ntfs, "home/absolute");
    assert_eq!(ntfs.attr(absolute).unwrap().kind, Kind::Link);
    assert_eq!(ntfs.reparse(absolute).unwrap().unwrap().target.unwrap().substitute, "/etc/passwd".into());
    let mounted = Mounted::new(&volume.image(), &[]);
    let home = mounted.path("volume-1/home");
    assert_eq!(fs::read(home.join("relative")).unwrap(), b"a letter");
    // Not this machine's own file.
    assert_eq!(fs::read(home.join("absolute")).unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn links_lead_on_however_deep_they_stand() {
    if !have("links_lead_on_however_deep_they_stand", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    const DEEP: usize = 400;
    let volume = Volume::new(8, &[]);
    let folder = ["d"; DEEP].join("/");
    volume.mounted("", |root| {
        fs::create_dir_all(root.join(&folder)).unwrap();
        fs::write(root.join(&folder).join("letter"), b"a letter").unwrap();
        symlink(&root.join(&folder).join("link"), r"..\d\letter", true);
    });
    let ntfs = volume.open();
    assert_eq!(way(&ntfs, &format!("{folder}/link")), Some("letter".into()));
    assert_eq!(ntfs.path(find(&ntfs, &format!("{folder}/letter"))).unwrap().names.len(), DEEP + 1);
}

#[test]
fn links_are_links_where_the_index_of_their_folder_is_damaged() {
    if !have("links_are_links_where_the_index_of_their_folder_is_damaged", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    let volume = Volume::new(16, &[]);
    volume.mounted("", |root| {
        make(root);
        fs::write(root.join("Users/Anna/plain"), b"plain").unwrap();
    });
    let mut forge = Forge { bytes: fs::read(volume.image()).unwrap() };
    let kinds = |ntfs: &Ntfs| {
        let of = |folder| {
            let entries = list(ntfs, folder).unwrap();
            entries.into_iter().map(|entry| (entry.name.to_string_lossy(), entry.kind)).collect::<Vec<_>>()
        };
        [of(NodeId::ROOT), of(find(ntfs, "Users/Anna"))]
    };
    let sound = kinds(&forge.open());
    let links = sound.iter().flatten().filter(|(_, kind)| *kind == Kind::Link).count();
    assert!(links > 5 && sound.iter().flatten().count() > links + 2, "{sound:?}");
    // The size of an index block, which cannot be 0.
    for folder in [5, record(&forge, "Users/Anna")] {
        forge.edit_attribute(folder, INDEX_ROOT, |attribute| {
            let value = usize::from(attribute[0x14]);
            attribute[value + 8..value + 12].fill(0);
        });
    }
    let ntfs = forge.open();
    assert_eq!(kinds(&ntfs), sound);
    assert_eq!(ntfs.findings().iter().filter(|finding| finding.code == Code::NtfsIndexBad).count(), 2);
}
