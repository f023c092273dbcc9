//! What extraction on Windows keeps of a file besides its content.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::Systems;
use crate::mounts::chain_of;
use crate::tools::{Volume, have, run};

#[test]
fn extraction_on_windows_keeps_attributes_and_replaces_what_is_read_only() {
    let test = "extraction_on_windows_keeps_attributes_and_replaces_what_is_read_only";
    let Some(systems) = Systems::of(test) else { return };
    if !have(test, &["mkntfs", "ntfs-3g", "setfattr", "getfattr"]) {
        return;
    }
    let volume = Volume::new(8, &[]);
    volume.mounted("", |root| {
        for (name, attributes) in
            [("plain", "20000000"), ("locked", "21000000"), ("hidden", "22000000"), ("system", "24000000")]
        {
            let path = root.join(name);
            fs::write(&path, name).expect("a file");
            let value = format!("0x{attributes}");
            run("setfattr", ["-n", "system.ntfs_attrib", "-v", &value, path.to_str().expect("a path")]);
        }
        for (name, attributes) in [("hidden folder", "02000000"), ("folder", "00000000")] {
            let path = root.join(name);
            fs::create_dir(&path).expect("a folder");
            let value = format!("0x{attributes}");
            run("setfattr", ["-n", "system.ntfs_attrib", "-v", &value, path.to_str().expect("a path")]);
        }
    });
    let (folder, chain) = chain_of(&volume);
    let image = chain.youngest.to_str().expect("a path");
    for _ in 0..2 {
        let output = systems.windows(folder.path(), &["extract", image, "--to", "out", "--overwrite"]).output();
        let output = output.expect("the program runs");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        let out = folder.path().join("out/volume-1");
        for name in ["plain", "locked", "hidden", "system"] {
            let path = out.join(name);
            assert_eq!(fs::read_to_string(&path).expect("a file"), name);
            let writable = path.metadata().expect("metadata").permissions().mode() & 0o222 != 0;
            assert_eq!(writable, name != "locked", "{name}");
        }
        assert_eq!((dos_attributes(&out.join("hidden")), dos_attributes(&out.join("system"))), (0x2, 0x4));
        assert_eq!(dos_attributes(&out.join("hidden folder")), 0x2);
        let marked = out.join("folder").into_os_string().into_string().expect("a path");
        assert!(run("getfattr", ["--absolute-names", "-d", &marked]).is_empty(), "a plain folder has attributes");
        assert_eq!(fs::read_dir(&out).expect("the files").count(), 6, "the second run replaced those of the first");
        // A run of its own follows.
        for record in ["manifest.jsonl", "run.json"] {
            fs::remove_file(folder.path().join("out").join(record)).expect("what the run wrote down");
        }
    }
}

/// What Wine keeps beside a file for want of a place in Linux' own attributes.
fn dos_attributes(path: &Path) -> u32 {
    let path = path.to_str().expect("a path");
    let told = run("getfattr", ["--only-values", "--absolute-names", "-n", "user.DOSATTRIB", path]);
    let told = String::from_utf8(told).expect("text");
    u32::from_str_radix(told.trim_start_matches("0x").trim_end_matches('\0'), 16).expect("a number")
}
