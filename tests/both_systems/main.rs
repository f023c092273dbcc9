//! The program for Windows, under Wine, beside the one for Linux: the same bytes, reports, manifests and exit codes of the same
//! images. `.ci/compare-systems` builds both and runs this.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "copies images, and reads what both programs wrote"
)]

mod attributes;
mod mounts;
#[path = "../support/mod.rs"]
mod support;
#[path = "../ntfs/tools.rs"]
#[expect(dead_code, reason = "the tests of NTFS need more of it")]
mod tools;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use fixtures::bytes::Bytes;
use fixtures::chain::{Chain, RandomChain, spread};
use fixtures::damage::{Damage, EntryDamage};
use fixtures::host_file::HostFile;
use fixtures::random::Rng;
use fixtures::vhdx::bat::{PayloadState, entry};
use fixtures::vhdx::{Image, MIB};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::program::PROGRAM;
use support::small_disk::{chain_with, cluster_of_long_text, disk, spoil};
use support::{hash_file, skip};

/// Both programs: how they are started, and under which names.
struct Systems {
    wine: PathBuf,
    windows: PathBuf,
}

impl Systems {
    /// None where this does not run, which is said then.
    fn of(test: &str) -> Option<Self> {
        let [program, wine] = ["VHDX_MOUNT_WINDOWS_PROGRAM", "VHDX_MOUNT_WINE"].map(std::env::var_os);
        let (Some(windows), Some(wine)) = (program, wine) else {
            // Not by `skip`: with all other tests there is no such program yet.
            let why = "it is run by .ci/compare-systems, which names the program for Windows";
            let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: {why}");
            return None;
        };
        let systems = Systems { wine: wine.into(), windows: windows.into() };
        for file in [&systems.wine, &systems.windows] {
            if !file.is_file() {
                skip(test, &format!("there is no {}", file.display()));
                return None;
            }
        }
        Some(systems)
    }

    fn windows(&self, folder: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(&self.wine);
        command.arg(&self.windows).args(args).current_dir(folder).stdin(Stdio::null());
        command
    }

    /// Runs both in a folder. `{}` in an argument stands for a name that each has for itself.
    #[track_caller]
    fn run(&self, folder: &Path, args: &[&str]) -> [Output; 2] {
        let args_for = |name: &str| args.iter().map(|arg| arg.replace("{}", name)).collect::<Vec<_>>();
        let mut linux = Command::new(PROGRAM);
        linux.args(args_for("linux")).current_dir(folder).stdin(Stdio::null());
        let for_windows = args_for("windows");
        let windows = self.windows(folder, &for_windows.iter().map(String::as_str).collect::<Vec<_>>());
        let [linux, windows] = [linux, windows].map(|mut command| command.output().expect("the program runs"));
        let told = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(linux.status.code(), windows.status.code(), "{args:?}\n{}\n{}", told(&linux), told(&windows));
        [linux, windows]
    }

    /// Runs both, and compares the JSON that they print; gives it.
    #[track_caller]
    fn same_json(&self, folder: &Path, args: &[&str]) -> Value {
        let outputs = self.run(folder, args);
        let told = String::from_utf8_lossy(&outputs[1].stderr).into_owned();
        let [linux, windows] =
            outputs.map(|output| serde_json::from_slice::<Value>(&output.stdout).expect("one object"));
        let [linux, windows] = [linux, windows].map(|value| without_report_file(without_place(value, folder)));
        assert_same(&linux, &windows, &format!("{args:?} {told}"));
        linux
    }
}

/// Panics with the first place where two values differ.
#[track_caller]
fn assert_same(linux: &Value, windows: &Value, what: &str) {
    fn differ(a: &Value, b: &Value, at: &str) -> Option<String> {
        match (a, b) {
            (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
                a.iter().find_map(|(key, value)| differ(value, &b[key], &format!("{at}.{key}")))
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                a.iter().zip(b).enumerate().find_map(|(number, (a, b))| differ(a, b, &format!("{at}[{number}]")))
            }
            _ => (a != b).then(|| format!("{at}\nLinux:   {a}\nWindows: {b}")),
        }
    }
    if let Some(difference) = differ(linux, windows, "") {
        panic!("{what}: {difference}");
    }
}

/// Paths as both systems could spell them: with slashes, from the folder of the test.
fn without_place(mut value: Value, folder: &Path) -> Value {
    match &mut value {
        Value::String(text) => {
            let folder = format!("{}/", folder.display());
            let mut slashes = text.replace('\\', "/").replace(&format!("Z:{folder}"), &folder);
            if *text == format!("Z:{}", folder.trim_end_matches('/')).replace('/', "\\") {
                slashes = folder.trim_end_matches('/').to_owned();
            }
            *text = slashes.replace(&folder, "");
        }
        Value::Array(values) => values.iter_mut().for_each(|value| *value = without_place(value.take(), folder)),
        Value::Object(fields) => fields.values_mut().for_each(|value| *value = without_place(value.take(), folder)),
        _ => {}
    }
    value
}

/// The report at the mount point holds the paths, of which those of Windows are longer.
fn without_report_file(mut listing: Value) -> Value {
    if let Some(entries) = listing.get_mut("entries").and_then(Value::as_array_mut) {
        entries.retain(|entry| entry["path"] != "report.json");
    }
    listing
}

fn name_of(chain: &Chain) -> String {
    chain.youngest.file_name().expect("a name").to_string_lossy().into_owned()
}

/// The rows of a manifest, sorted by what they are of, as the host spells the files.
fn manifest(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("manifest.jsonl")).expect("a manifest");
    let row = |line: &str| -> (String, Value) {
        let row: Value = serde_json::from_str(line).expect("a row");
        (format!("{}:{}", row["path"], row["stream"]), row)
    };
    text.lines().map(row).collect::<BTreeMap<_, _>>().into_values().collect()
}

/// Everything that the programs can be asked of a chain with files.
fn compare_all(systems: &Systems, folder: &Path, chain: &Chain) {
    compare_disk(systems, folder, chain);
    compare_files(systems, folder, chain);
}

fn compare_disk(systems: &Systems, folder: &Path, chain: &Chain) {
    // The time of access is Wine's affair: it knows no way to leave it alone.
    let state = || -> Vec<_> {
        let of = |file: &PathBuf| (hash_file(file), fs::metadata(file).expect("an image").modified().expect("a time"));
        chain.files.iter().map(of).collect()
    };
    let before = state();
    let image = &name_of(chain);
    systems.same_json(folder, &["info", "--json", image]);
    systems.same_json(folder, &["check", "--json", "--all-links", image]);
    systems.same_json(folder, &["ls", "--json", "-r", image]);
    systems.run(folder, &["export", image, "--to", "{}.raw"]);
    let [linux, windows] = ["linux", "windows"].map(|name| hash_file(&folder.join(format!("{name}.raw"))));
    assert_eq!(linux, windows, "{image}");
    // The comments of a map tell the time and the name.
    let ranges = |name: &str| -> Vec<String> {
        let map = fs::read_to_string(folder.join(format!("{name}.raw.map"))).expect("a map");
        map.lines().filter(|line| !line.starts_with('#')).map(ToOwned::to_owned).collect()
    };
    assert_eq!(ranges("linux"), ranges("windows"), "{image}");
    assert!(before == state(), "an image was touched");
}

fn compare_files(systems: &Systems, folder: &Path, chain: &Chain) {
    systems.run(folder, &["extract", &name_of(chain), "--to", "{}", "--streams", "--hash", "sha256"]);
    let [linux, windows] = ["linux", "windows"].map(|name| folder.join(name));
    let rows = [&linux, &windows].map(|folder| {
        let mut rows = manifest(folder);
        // A stream is a file of its own on Linux, whose name cannot hold a colon on Windows.
        for row in rows.iter_mut().filter(|row| row["stream"].is_string()) {
            row["written"] = row["written"].as_str().map(|written| written.replace("%3A", ":")).into();
        }
        rows
    });
    assert!(rows[0].len() > 10, "{:?}", rows[0]);
    assert_same(&Value::Array(rows[0].clone()), &Value::Array(rows[1].clone()), "manifest");
    for written in rows[0].iter().filter(|row| row["kind"] == "file").filter_map(|row| row["written"].as_str()) {
        assert_eq!(hash_file(&linux.join(written)), hash_file(&windows.join(written)), "{written}");
    }
}

#[test]
fn a_healthy_chain_with_files() {
    let Some(systems) = Systems::of("a_healthy_chain_with_files") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(spread(&disk(), 4, 512, &mut Rng::new(31)), folder.path()).expect("a chain is written");
    compare_all(&systems, folder.path(), &chain);
}

#[test]
fn a_chain_that_lost_a_cluster_of_a_file() {
    let Some(systems) = Systems::of("a_chain_that_lost_a_cluster_of_a_file") else { return };
    let disk = disk();
    for damage in [EntryDamage::State(PayloadState::RESERVED.0), EntryDamage::PastEnd] {
        let (folder, chain) = chain_with(&disk, &[cluster_of_long_text(&disk, 700)]);
        spoil(&chain, damage);
        compare_all(&systems, folder.path(), &chain);
    }
}

#[test]
fn chains_with_logs_and_holes_and_no_file_system() {
    let Some(systems) = Systems::of("chains_with_logs_and_holes_and_no_file_system") else { return };
    for seed in [3, 77] {
        let folder = tempfile::tempdir().expect("a folder");
        let chain = RandomChain { links: 4, virtual_size: 16 * MIB, ..RandomChain::new(seed) };
        let chain = chain.write(folder.path()).expect("a chain is written");
        compare_disk(&systems, folder.path(), &chain);
    }
}

#[test]
fn each_kind_of_damage_is_told_alike() {
    let Some(systems) = Systems::of("each_kind_of_damage_is_told_alike") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let chain = RandomChain { links: 2, virtual_size: 16 * MIB, ..RandomChain::new(5) };
    let chain = chain.write(folder.path()).expect("a chain is written");
    let whole = fs::read(&chain.youngest).expect("the image");
    let kinds = Damage::every_kind(&chain.places[1]);
    assert!(kinds.len() > 10);
    // Each costs the start of a program under Wine.
    for damage in kinds.into_iter().step_by(7) {
        fs::write(&chain.youngest, &whole).expect("the image is whole again");
        damage.apply(&mut HostFile::open(&chain.youngest).expect("the image opens"), &chain.places[1]);
        systems.same_json(folder.path(), &["check", "--json", &name_of(&chain)]);
    }
}

#[test]
fn what_is_refused_is_refused_alike() {
    let Some(systems) = Systems::of("what_is_refused_is_refused_alike") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(spread(&disk(), 3, 512, &mut Rng::new(8)), folder.path()).expect("a chain is written");
    fs::create_dir(folder.path().join("away")).expect("a folder");
    fs::rename(&chain.files[0], folder.path().join("away/base.vhdx")).expect("the base is away");
    let image = &name_of(&chain);
    systems.run(folder.path(), &["info", "--json", image]);
    systems.same_json(folder.path(), &["info", "--json", image, "--parent-dir", "away"]);
    systems.same_json(folder.path(), &["check", "--json", image, "--missing", "lost"]);
    systems.same_json(folder.path(), &["scan", "--json", "."]);
    fs::write(folder.path().join("no-image.vhdx"), b"not an image").expect("a file");
    systems.same_json(folder.path(), &["info", "--json", "no-image.vhdx"]);
}

/// 256 GiB of holes that take long to read: every block has its place.
fn long(folder: &Path) -> String {
    const BLOCK: u64 = 32 * MIB;
    let size = 256 << 30;
    let mut image = Image::dynamic(size);
    image.block_size = BLOCK as u32;
    let path = folder.join("long.vhdx");
    let places = image.write_to(&path).expect("an image is written");
    let mut file = HostFile::open(&path).expect("the image opens");
    for block in 0..size / BLOCK {
        let place = entry(PayloadState::FULLY_PRESENT.0, places.file_size / MIB + block * (BLOCK / MIB));
        file.write_at(places.payload_entry(block), &place.to_le_bytes());
    }
    file.set_size(places.file_size + size);
    "long.vhdx".to_owned()
}

/// Ctrl-C, which is what Wine makes of this signal; how the program ended, soon after.
fn press_ctrl_c(child: Child) -> Output {
    let asked = Instant::now();
    kill_process(Pid::from_child(&child), Signal::INT).expect("a signal");
    let output = child.wait_with_output().expect("its end");
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    output
}

#[test]
fn ctrl_c_on_windows_leaves_a_partial_report_and_an_export_to_go_on_with() {
    let Some(systems) = Systems::of("ctrl_c_on_windows_leaves_a_partial_report_and_an_export_to_go_on_with") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let image = long(folder.path());
    let start = |args: &[&str]| {
        let mut command = systems.windows(folder.path(), args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program runs")
    };
    let check = start(&["check", "--json", &image]);
    // Wine takes its time to start, on a busy machine more.
    std::thread::sleep(Duration::from_secs(5));
    let output = press_ctrl_c(check);
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert!(report["complete"] == false && report["stopped_at"].as_u64().is_some_and(|at| at > 0), "{report}");
    let export = start(&["export", &image, "--to", "out.raw"]);
    let began = Instant::now();
    while !folder.path().join("out.raw").exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "it never began");
        std::thread::sleep(Duration::from_millis(50));
    }
    let output = press_ctrl_c(export);
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{told}");
    assert!(folder.path().join("out.raw").is_file() && told.contains("--resume"), "{told}");
}
