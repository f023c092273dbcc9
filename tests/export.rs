//! `export`: the merged disk as a raw file, and the map beside it.
#![cfg(target_os = "linux")]
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "reads what was exported")]

mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use fixtures::bytes::Bytes;
use fixtures::chain::{Chain, spread};
use fixtures::damage::EntryDamage;
use fixtures::fill::Fill;
use fixtures::random::Rng;
use fixtures::vhdx::{Block, Image, MIB};
use sha2::{Digest, Sha256};
use support::program::{PROGRAM, run};
use support::small_disk::{chain_with, cluster_of_long_text, disk, spoil};
use support::{Untouched, hex};

fn export(chain: &Path, to: &Path, more: &[&str]) -> Output {
    let mut args: Vec<&dyn AsRef<OsStr>> = vec![&"export", &chain, &"--to", &to];
    args.extend(more.iter().map(|arg| arg as &dyn AsRef<OsStr>));
    run(PROGRAM, &args)
}

#[track_caller]
fn expect_code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_whole_disk_comes_out_and_holes_stay_holes() {
    let disk = disk();
    let bytes = disk.bytes_at(0, disk.size() as usize);
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(spread(&disk, 4, 512, &mut Rng::new(5)), folder.path()).expect("a chain is written");
    let _untouched = Untouched::watch(&chain.files);
    let out = tempfile::tempdir().expect("a folder");
    let to = out.path().join("disk.raw");
    let output = export(&chain.youngest, &to, &[]);
    expect_code(&output, 0);
    assert_eq!(fs::read(&to).expect("the disk"), bytes);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(told.split_whitespace().next(), Some(&*hex(Sha256::digest(&bytes))));

    let streamed = export(&chain.youngest, Path::new("-"), &[]);
    expect_code(&streamed, 0);
    assert!(streamed.stdout == bytes);

    let volume = out.path().join("volume.raw");
    expect_code(&export(&chain.youngest, &volume, &["--volume", "1"]), 0);
    let length = fs::metadata(&volume).expect("a file").len() as usize;
    assert!(fs::read(&volume).expect("the volume") == bytes[MIB as usize..][..length]);
    expect_code(&export(&chain.youngest, &to, &[]), 2);
    assert_eq!(fs::read(&to).expect("the disk"), bytes, "what stands there stays");

    let empty = Image::dynamic(1 << 40);
    let path = folder.path().join("empty.vhdx");
    empty.write_to(&path).expect("an image is written");
    let huge = out.path().join("huge.raw");
    expect_code(&export(&path, &huge, &["--no-hash"]), 0);
    let metadata = fs::metadata(&huge).expect("a file");
    assert_eq!((metadata.len(), metadata.blocks()), (1 << 40, 0));
}

#[test]
fn the_map_names_what_is_lost() {
    let disk = disk();
    let lost = [cluster_of_long_text(&disk, 5), cluster_of_long_text(&disk, 700)];
    let (_folder, chain) = chain_with(&disk, &lost);
    spoil(&chain, EntryDamage::PastEnd);
    let out = tempfile::tempdir().expect("a folder");
    let to = out.path().join("disk.raw");
    let output = export(&chain.youngest, &to, &[]);
    expect_code(&output, 3);
    let mut expected = disk.bytes_at(0, disk.size() as usize);
    for range in &lost {
        expected[range.start as usize..range.end as usize].fill(0);
    }
    assert!(fs::read(&to).expect("the disk") == expected);
    let map = fs::read_to_string(out.path().join("disk.raw.map")).expect("a map");
    let mut blocks = map.lines().filter(|line| !line.starts_with('#')).map(|line| {
        line.split_whitespace().map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16)).collect::<Vec<_>>()
    });
    let status = blocks.next().expect("a status line");
    assert_eq!(status[0], Ok(disk.size()));
    let bad: Vec<_> = map.lines().filter(|line| line.ends_with('-')).map(ToOwned::to_owned).collect();
    let wanted: Vec<_> = lost.iter().map(|range| format!("{:#010x}  0x00000400  -", range.start)).collect();
    let mut wanted = wanted;
    wanted.sort();
    assert_eq!(bad, wanted);
    // Its own reader of ddrescue's maps takes it.
    vhdx_mount::image::RescueMap::parse(map.as_bytes()).expect("a map of ddrescue's form");
}

#[test]
fn killed_at_any_moment_it_goes_on_to_the_same_end() {
    let disk = disk();
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(spread(&disk, 3, 512, &mut Rng::new(6)), folder.path()).expect("a chain is written");
    let bytes = disk.bytes_at(0, disk.size() as usize);
    let mut rng = Rng::new(9);
    for _ in 0..12 {
        let out = tempfile::tempdir().expect("a folder");
        let to = out.path().join("disk.raw");
        for _ in 0..2 {
            let mut running = Command::new(PROGRAM)
                .args(["export", "--resume", "--to"])
                .args([&to, &chain.youngest])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("a run");
            std::thread::sleep(Duration::from_micros(rng.below(50_000)));
            running.kill().expect("a kill");
            running.wait().expect("an end");
        }
        let output = export(&chain.youngest, &to, &["--resume"]);
        expect_code(&output, 0);
        assert!(fs::read(&to).expect("the disk") == bytes);
        assert!(String::from_utf8_lossy(&output.stdout).starts_with(&hex(Sha256::digest(&bytes))));
    }
    let out = tempfile::tempdir().expect("a folder");
    let to = out.path().join("disk.raw");
    expect_code(&export(&chain.youngest, &to, &[]), 0);
    let base = chain.files.first().expect("a base");
    let other = export(base, &to, &["--resume"]);
    expect_code(&other, 2);
    assert!(String::from_utf8_lossy(&other.stderr).contains("another export"));
}

#[test]
fn what_cannot_be_exported_to_is_told_as_what_it_is() {
    let (folder, chain) = chain_with(&disk(), &[]);
    let _untouched = Untouched::watch(&chain.files);
    let said = |to: &Path, more: &[&str], code| {
        let output = export(&chain.youngest, to, more);
        expect_code(&output, code);
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let nowhere = said(&folder.path().join("nowhere/disk.raw"), &[], 1);
    assert!(nowhere.contains("cannot be created") && !nowhere.contains("--resume"), "{nowhere}");
    assert!(said(Path::new("-"), &["--resume"], 2).contains("--resume needs a file"));
}

#[test]
fn a_disk_that_no_file_there_can_hold_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut image = Image::dynamic(5 << 30);
    image.blocks.insert(0, Block::fully_present(Fill::live(0)));
    let path = folder.path().join("large.vhdx");
    image.write_to(&path).expect("an image is written");
    let _untouched = Untouched::watch(std::slice::from_ref(&path));
    let out = tempfile::tempdir().expect("a folder");
    let to = out.path().join("disk.raw");
    let limited = |more: &str| {
        let (image, to) = (path.display(), to.display());
        // In pieces of 512 or 1024 bytes, by the shell.
        let command = format!("ulimit -f 1048576; exec {PROGRAM} export '{image}' --to '{to}' {more}");
        run("sh", &[&"-c", &command])
    };
    let output = limited("");
    expect_code(&output, 1);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("no file of 5368709120 bytes can stand there") && told.contains("--format vhdx"), "{told}");
    assert_eq!(fs::read_dir(out.path()).expect("the folder").count(), 0, "nothing is left of it");
    expect_code(&limited("--format vhdx"), 0);
}

#[test]
fn a_volume_that_claims_exabytes_is_exported_as_far_as_the_disk_goes() {
    let mut disk = vec![0; 8 * MIB as usize];
    fixtures::gpt::Gpt::new(512).with(2048, (1 << 54) - 4096).write(&mut disk);
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(spread(&disk, 1, 512, &mut Rng::new(4)), folder.path()).expect("a chain is written");
    let to = folder.path().join("volume.raw");
    let output = export(&chain.youngest, &to, &["--volume", "1"]);
    expect_code(&output, 3);
    assert_eq!(fs::metadata(&to).expect("a file").len(), 7 * MIB);
    assert!(String::from_utf8_lossy(&output.stderr).contains("volume-cut"), "{output:?}");
}

#[test]
fn the_map_names_thousands_of_lost_ranges() {
    let mut base = Image::dynamic(16 * MIB);
    base.blocks.insert(0, Block::fully_present(Fill::live(0)));
    let mut child = Image::child_of(&base, "base.vhdx");
    child.block_size = MIB as u32;
    for block in 0..16 {
        let every_second = (0..2048).step_by(2).map(|sector| sector..sector + 1).collect();
        child.blocks.insert(block, Block::partially_present(every_second, Fill::live(1), Fill::stale(1)));
    }
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(vec![base, child], folder.path()).expect("a chain is written");
    spoil(&chain, EntryDamage::PastEnd);
    let to = folder.path().join("disk.raw");
    let output = export(&chain.youngest, &to, &[]);
    expect_code(&output, 3);
    assert!(String::from_utf8_lossy(&output.stderr).contains(&format!("{} bytes are lost", 8 * MIB)), "{output:?}");
    let map = fs::read_to_string(folder.path().join("disk.raw.map")).expect("a map");
    assert_eq!(map.lines().filter(|line| line.ends_with("0x00000200  -")).count(), 16 * 1024);
    // Read again, it says the same.
    let again = export(&chain.youngest, &to, &["--resume"]);
    expect_code(&again, 3);
    assert_eq!((again.stdout, again.stderr), (output.stdout, output.stderr));
    assert!(fs::read_to_string(folder.path().join("disk.raw.map")).expect("a map") == map);
}

/// The place beside `to` that ends so.
fn beside(to: &Path, end: &str) -> PathBuf {
    let mut place = to.as_os_str().to_owned();
    place.push(end);
    place.into()
}

#[test]
fn what_a_killed_run_left_of_its_map_stands_in_nobodys_way() {
    let (folder, chain) = chain_with(&disk(), &[]);
    let to = folder.path().join("disk.raw");
    let [map, new] = [".map", ".map.new"].map(|end| beside(&to, end));
    expect_code(&export(&chain.youngest, &to, &["--no-hash"]), 0);
    // When the file was last changed differs from run to run.
    let read = || -> String {
        let text = fs::read_to_string(&map).expect("a map");
        text.lines().filter(|line| !line.starts_with("# finished: ")).map(|line| format!("{line}\n")).collect()
    };
    let whole = read();
    for end in [0, 10, whole.len() / 2, whole.len()] {
        for resume in [&["--no-hash"][..], &["--no-hash", "--resume"]] {
            fs::remove_file(&to).expect("a removal");
            fs::remove_file(&map).expect("a removal");
            fs::write(&new, &whole.as_bytes()[..end]).expect("the beginning of a map");
            expect_code(&export(&chain.youngest, &to, resume), 0);
            assert!(read() == whole && !new.exists());
        }
    }
    // What nobody's run left stays.
    fs::remove_file(&to).expect("a removal");
    fs::remove_file(&map).expect("a removal");
    fs::write(&new, "the only copy of something").expect("a file");
    let refused = export(&chain.youngest, &to, &[]);
    expect_code(&refused, 2);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("exists already"), "{refused:?}");
    assert_eq!(fs::read(&new).expect("the file"), b"the only copy of something");
    assert!(!to.exists() && !map.exists());
}

#[test]
fn what_is_no_file_is_refused_and_nobody_waits_for_it() {
    let (folder, chain) = chain_with(&disk(), &[]);
    let makers: [fn(&Path); 4] = [
        |path| expect_code(&run("mkfifo", &[&path]), 0),
        |path| std::os::unix::fs::symlink("/dev/zero", path).expect("a link"),
        |path| drop(std::os::unix::net::UnixListener::bind(path).expect("a socket")),
        |path| fs::create_dir(path).expect("a folder"),
    ];
    for (number, make) in makers.iter().enumerate() {
        let place = |what: &str| folder.path().join(format!("{number}-{what}"));
        let expect_refused = |to: &Path, more: &[&str], codes: &[i32], word: &str| {
            let output = export(&chain.youngest, to, more);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.code().is_some_and(|code| codes.contains(&code)), "{number}: {output:?}");
            assert!(said.contains(word) && !said.contains("panicked"), "{number}: {said}");
        };
        // In the place of the map.
        let to = place("map");
        make(&beside(&to, ".map"));
        expect_refused(&to, &[], &[2], "the file exists already");
        expect_refused(&to, &["--resume"], &[1], "this is no file");
        assert!(!to.exists());
        // In the place where a map is written first.
        let to = place("new");
        make(&beside(&to, ".map.new"));
        expect_refused(&to, &[], &[2], "the file exists already");
        expect_refused(&to, &["--resume"], &[2], "the file exists already");
        assert!(!to.exists());
        // In the place of the file, beside the map of an export that was complete.
        let to = place("disk");
        expect_code(&export(&chain.youngest, &to, &["--no-hash"]), 0);
        fs::remove_file(&to).expect("a removal");
        make(&to);
        expect_refused(&to, &["--resume"], &[1, 2], &to.display().to_string());
        let kind = fs::symlink_metadata(&to).expect("what was made").file_type();
        assert!(!kind.is_file(), "it stays");
    }
}

#[test]
fn what_was_changed_since_it_was_complete_is_refused() {
    let (folder, chain) = chain_with(&disk(), &[]);
    let _untouched = Untouched::watch(&chain.files);
    let change = |to: &Path| {
        use std::os::unix::fs::FileExt;
        let file = fs::File::options().read(true).write(true).open(to).expect("the file");
        // A byte that is none of zeros: a block of data, wherever the form puts it.
        let bytes = fs::read(to).expect("the file");
        let at = bytes.iter().rposition(|byte| *byte != 0).expect("data");
        file.write_all_at(&[bytes[at] ^ 0x55], at as u64).expect("a change");
    };
    for (name, form) in [("disk.raw", "raw"), ("new.vhdx", "vhdx")] {
        for hash in [&[][..], &["--no-hash"]] {
            let to = folder.path().join(format!("{}{name}", hash.len()));
            let go_on = |more: &[&str]| export(&chain.youngest, &to, &[&["--format", form, "--resume"], more].concat());
            let first = go_on(hash);
            expect_code(&first, 0);
            let again = go_on(hash);
            expect_code(&again, 0);
            assert_eq!(again.stdout, first.stdout);
            // A copy with another time is the same where the bytes tell.
            let file = fs::File::options().write(true).open(&to).expect("the file");
            file.set_modified(std::time::SystemTime::UNIX_EPOCH).expect("a time");
            expect_code(&go_on(hash), if hash.is_empty() { 0 } else { 2 });
            change(&to);
            let changed = fs::read(&to).expect("the file");
            let refused = go_on(hash);
            expect_code(&refused, 2);
            assert!(String::from_utf8_lossy(&refused.stderr).contains("something wrote to this file"), "{refused:?}");
            assert!(refused.stdout.is_empty(), "a hash is told: {refused:?}");
            assert!(fs::read(&to).expect("the file") == changed, "it was written to");
        }
    }
}

#[test]
fn another_way_of_reading_is_no_way_to_go_on() {
    let (folder, chain) = chain_with(&disk(), &[]);
    let image = chain.youngest.to_str().expect("a path").to_owned();
    let size = fs::metadata(&chain.youngest).expect("an image").len();
    let map = folder.path().join("copy.map");
    fs::write(&map, format!("0 +\n0 {} +\n{} 512 -\n", size - 512, size - 512)).expect("a map");
    let map = format!("{image}={}", map.display());
    let to = folder.path().join("disk.raw");
    expect_code(&export(&chain.youngest, &to, &[]), 0);
    let before = fs::read(beside(&to, ".map")).expect("a map");
    for (more, why) in [
        (&["--map", &map][..], "it was done without --map"),
        (&["--no-log-replay"], "it was done without --no-log-replay"),
    ] {
        let refused = export(&chain.youngest, &to, &[&["--resume"], more].concat());
        expect_code(&refused, 2);
        assert!(String::from_utf8_lossy(&refused.stderr).contains(why), "{refused:?}");
    }
    let later = std::time::SystemTime::now() + Duration::from_secs(60);
    fs::File::options().write(true).open(&chain.files[0]).expect("an image").set_modified(later).expect("a time");
    let refused = export(&chain.youngest, &to, &["--resume"]);
    expect_code(&refused, 2);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("was changed since"), "{refused:?}");
    assert!(fs::read(beside(&to, ".map")).expect("a map") == before);
}
