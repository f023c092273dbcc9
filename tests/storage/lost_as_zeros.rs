//! `--lost zero`.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use fixtures::vhdx::MIB;

use crate::support::Untouched;
use crate::support::program::{Mounted, PROGRAM, can_mount, expect_success, run};
use crate::{EIO, base, content, in_file};

#[test]
fn with_lost_zero_a_reader_gets_zeros_and_is_told() {
    if !can_mount("with_lost_zero_a_reader_gets_zeros_and_is_told") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (path, places) = base(folder.path());
    let lost = 3 * MIB + 512..3 * MIB + 1536;
    let file = in_file(&places, &lost);
    let map = folder.path().join("map");
    fs::write(&map, format!("0 +\n0 {} +\n{} 1024 -\n{} 0x40000000 +\n", file.start, file.start, file.end))
        .expect("a map");
    let argument = format!("{}={}", path.display(), map.display());
    let report = |mounted: &Mounted| -> serde_json::Value {
        serde_json::from_slice(&fs::read(mounted.path("report.json")).expect("the report")).expect("JSON")
    };
    let strict = Mounted::new(&path, &["--map", &argument]);
    assert_eq!(fs::read(strict.path("disk.raw")).expect_err("lost bytes").raw_os_error(), EIO);
    assert_eq!(report(&strict)["lost_reads"], "errors");

    let _untouched = Untouched::watch([&path]);
    let target = folder.path().join("m");
    fs::create_dir(&target).expect("a mount point");
    let output = run(PROGRAM, &[&path, &target, &"--map", &argument, &"--lost", &"zero"]);
    expect_success(&output);
    let _unmount = Unmount(target.clone());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("[lost-as-zeros]"), "{stderr}");
    let mut expected = content();
    expected[lost.start as usize..lost.end as usize].fill(0);
    let mut disk = File::open(target.join("disk.raw")).expect("disk.raw opens");
    let mut bytes = Vec::new();
    disk.read_to_end(&mut bytes).expect("all of it is read");
    assert!(bytes == expected, "zeros where bytes are lost, and nowhere else");
    disk.seek(SeekFrom::Start(lost.start - 100)).expect("a seek");
    disk.read_exact(&mut [0; 4096]).expect("a read across the place");
    let told = fs::read(target.join("report.json")).expect("the report");
    let told: serde_json::Value = serde_json::from_slice(&told).expect("JSON");
    assert_eq!(told["lost_reads"], "zeros");
    let findings = told["findings"].as_array().expect("findings");
    assert!(findings.iter().any(|finding| finding["code"] == "lost-as-zeros" && finding["severity"] == "warning"));
}

/// A mount, taken down when dropped.
struct Unmount(PathBuf);

impl Drop for Unmount {
    fn drop(&mut self) {
        run("umount", &[&"--lazy", &"--quiet", &self.0]);
    }
}
