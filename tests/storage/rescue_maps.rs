//! Copies that ddrescue made, and their maps.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use fixtures::chain::Chain;
use fixtures::fill::Fill;
use fixtures::vhdx::{Image, MIB};

use crate::support::Untouched;
use crate::support::program::{Mounted, PROGRAM, can_mount, expect_success, has, run};
use crate::{base, content, failing_host_file, in_file};

#[test]
fn what_ddrescue_could_not_copy_is_lost_whatever_the_copy_holds() {
    let test = "what_ddrescue_could_not_copy_is_lost_whatever_the_copy_holds";
    if !can_mount(test) || !has(test, "ddrescue") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (path, places) = base(folder.path());
    let inner = fs::read(&path).expect("the image");
    let (cut, gone) = (in_file(&places, &(MIB..2 * MIB)), in_file(&places, &(5 * MIB..6 * MIB)));
    let outer = failing_host_file(folder.path(), &inner, cut.start / MIB, gone.start / MIB);
    let host = Mounted::new(&outer, &["--disk-only"]);
    // The name holds a `=`, as names may.
    let (copy, map) = (folder.path().join("copy=1.vhdx"), folder.path().join("copy.map"));
    expect_success(&run("ddrescue", &[&"--quiet", &host.path("disk.raw"), &copy, &map]));
    drop(host);
    assert_eq!(fs::metadata(&copy).expect("the copy").len(), inner.len() as u64);
    let _untouched = Untouched::watch([&copy]);

    let argument = format!("{}={}", copy.display(), map.display());
    let mounted = Mounted::new(&copy, &["--map", &argument]);
    let disk = File::open(mounted.path("disk.raw")).expect("disk.raw opens");
    let expected = content();
    for at in (0..8 * MIB).step_by(4096) {
        let mut page = [0; 4096];
        let read = disk.read_exact_at(&mut page, at);
        let lost = (2 * MIB - 4096..2 * MIB).contains(&at) || (5 * MIB..6 * MIB).contains(&at);
        assert_eq!(read.is_err(), lost, "at {at}");
        assert!(lost || page == expected[at as usize..at as usize + 4096], "at {at}");
    }
    let told = run(PROGRAM, &[&"info", &"--json", &"--map", &argument, &copy]);
    assert_eq!(told.status.code(), Some(3), "done, but bytes are lost");
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).expect("JSON");
    let finding = &told["findings"][0];
    assert_eq!(
        (&finding["code"], &finding["severity"], &finding["link"]),
        (&"not-rescued".into(), &"error".into(), &0.into())
    );
    let bytes = MIB + 4096;
    assert!(finding["text"].as_str().is_some_and(|text| text.contains(&format!("{bytes} bytes"))), "{finding}");
}

#[test]
fn a_map_reaches_structures_and_parents_and_must_belong_to_a_link() {
    let base = Image::fixed(8 * MIB, 2 * MIB as u32, &Fill::live(0));
    let child = Image::child_of(&base, "base.vhdx");
    let folder = tempfile::tempdir().expect("a folder");
    let forged = Chain::write(vec![base, child], folder.path()).expect("a chain is written");
    let (other_name, stranger) = (folder.path().join("other name"), folder.path().join("stranger.vhdx"));
    fs::hard_link(&forged.files[0], &other_name).expect("a hard link");
    fs::copy(&forged.files[0], &stranger).expect("a copy");
    let _untouched = Untouched::watch(&forged.files);
    let map = folder.path().join("map");
    let info = |image: &Path, map: &Path| {
        let argument = format!("{}={}", image.display(), map.display());
        run(PROGRAM, &[&"info", &"--json", &"--map", &argument, &forged.youngest])
    };
    // The parent under another name of it; its first header was not copied.
    fs::write(&map, "0 +\n0 65536 +\n65536 4096 -\n69632 0x40000000 +\n").expect("a map");
    let told = info(&other_name, &map);
    assert_eq!(told.status.code(), Some(3), "done, but bytes are lost");
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).expect("JSON");
    let findings = told["findings"].as_array().expect("findings");
    let codes: Vec<_> = findings.iter().map(|finding| (&finding["code"], &finding["link"])).collect();
    let expected = ["not-rescued", "header-bad"].map(|code| (serde_json::json!(code), serde_json::json!(1)));
    assert_eq!(codes, expected.each_ref().map(|(code, link)| (code, link)));

    // No such file stands where the test runs: it is the link of that name.
    let told = info(Path::new("BASE.vhdx"), &map);
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).expect("JSON");
    assert_eq!((&told["findings"][0]["code"], &told["findings"][0]["link"]), (&"not-rescued".into(), &1.into()));

    fs::write(folder.path().join("no map"), "vhdxfile").expect("a file");
    let cases: [(&Path, &Path, i32, &str); 6] = [
        (Path::new("bse.vhdx"), &map, 2, "no link of the chain"),
        (Path::new("base.vhdx"), &folder.path().join("none"), 2, "neither an image"),
        (&stranger, &map, 2, "no link of the chain"),
        (&folder.path().join("none"), &map, 2, "there is no image"),
        (&other_name, &folder.path().join("none"), 1, "none"),
        (&other_name, &folder.path().join("no map"), 1, "line 1"),
    ];
    for (image, map, code, word) in cases {
        let output = info(image, map);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{stderr}");
        assert!(stderr.contains(word), "{word}: {stderr}");
    }
    // A map that leaves nothing of the parent: its copy is taken; or it is missing, and the map was not in vain.
    fs::write(&map, "0 -\n0 0x40000000 -\n").expect("a map");
    let argument = format!("{}={}", forged.files[0].display(), map.display());
    for code in ["parent-elsewhere", "link-missing"] {
        let told = run(PROGRAM, &[&"info", &"--json", &"--missing", &"lost", &"--map", &argument, &forged.youngest]);
        let told: serde_json::Value = serde_json::from_slice(&told.stdout).expect("JSON");
        let findings = told["findings"].as_array().expect("findings");
        assert!(findings.iter().any(|finding| finding["code"] == code), "{code}: {told}");
        fs::write(&stranger, "").expect("the copy is gone");
    }

    let output = run(PROGRAM, &[&"info", &"--map", &"nothing", &forged.youngest]);
    assert_eq!(output.status.code(), Some(2));
}
