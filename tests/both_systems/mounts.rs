//! Files of NTFS through the mounts of both programs. In WinFsp's place is the stand-in, which copies all that it is shown and
//! tells the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fixtures::bytes::{Bytes, SparseBytes};
use fixtures::chain::{Chain, spread};
use fixtures::damage::EntryDamage;
use fixtures::gpt::Gpt;
use fixtures::random::Rng;
use fixtures::vhdx::bat::PayloadState;

use crate::Systems;
use crate::support::program::Mounted;
use crate::support::small_disk::{chain_with, cluster_of_long_text, disk, spoil};
use crate::tools::{Volume, have, run};

const SECTOR: u64 = 512;
/// `STATUS_CRC_ERROR`: data error (cyclic redundancy check).
const CRC_ERROR: &str = "0xC000003F";

/// What stands at a path: a folder, a link with its target, or a file with its bytes and its sectors that are lost.
#[derive(Debug, PartialEq, Eq)]
enum Shown {
    Folder,
    Link(String),
    /// A file whose size cannot be told.
    Unknown,
    File(Vec<u8>, BTreeSet<u64>),
}

type Tree = BTreeMap<String, Shown>;

/// The files of volume 1 through the mount on Linux, streams as `FILE%3ANAME`.
fn on_linux(image: &Path) -> Tree {
    let mounted = Mounted::new(image, &["--volume", "1", "--streams", "--direct-io"]);
    let (mut tree, mut folders) = (Tree::new(), vec![mounted.at.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let kind = path.symlink_metadata().expect("metadata").file_type();
            let shown = if kind.is_dir() {
                folders.push(path.clone());
                Shown::Folder
            } else if kind.is_symlink() {
                Shown::Link(fs::read_link(&path).expect("a link").to_string_lossy().into_owned())
            } else {
                read_by_sectors(&path)
            };
            let below = path.strip_prefix(&mounted.at).expect("below").to_string_lossy().replace(':', "%3A");
            tree.insert(below, shown);
        }
    }
    tree
}

fn read_by_sectors(path: &Path) -> Shown {
    let file = File::open(path).expect("a file");
    let size = file.metadata().expect("metadata").len();
    if size > 1 << 32 {
        return Shown::Unknown;
    }
    let (mut bytes, mut lost) = (vec![0; size as usize], BTreeSet::new());
    if file.read_exact_at(&mut bytes, 0).is_err() {
        bytes.fill(0);
        for (sector, place) in (0..).zip(bytes.chunks_mut(SECTOR as usize)) {
            if file.read_exact_at(place, sector * SECTOR).is_err() {
                place.fill(0);
                lost.insert(sector);
            }
        }
    }
    Shown::File(bytes, lost)
}

/// What the program for Windows showed.
struct OnWindows {
    tree: Tree,
    /// Paths whose names in the other case opened something else, or nothing.
    missed: Vec<String>,
    /// How many names were tried so.
    tried: usize,
    /// Folder, pattern, names.
    patterns: Vec<(String, String, Vec<String>)>,
}

/// The program while it serves a mount; ended at the end, however the test ends.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Each test at a drive of its own.
fn on_windows(systems: &Systems, image: &Path, drive: &str) -> OnWindows {
    let folder = tempfile::tempdir().expect("a folder");
    let dll = systems.windows.with_file_name("winfsp_x64.dll");
    let program = folder.path().join("vhdx-mount.exe");
    fs::copy(&systems.windows, &program).expect("a copy");
    fs::copy(&dll, folder.path().join("winfsp-x64.dll")).expect("a copy of the stand-in");
    let installed = Systems { wine: systems.wine.clone(), windows: program };
    let copies = folder.path().join("copies");
    let image = image.to_str().expect("a path");
    let log = File::create(folder.path().join("told")).expect("a file");
    let mut command = installed.windows(folder.path(), &[image, drive, "--volume", "1"]);
    command.env("WINFSP_STAND_IN_COPIES_TO", "copies").stdout(Stdio::null()).stderr(log);
    let mut serving = Serving(command.spawn().expect("it runs"));
    let told = || fs::read_to_string(folder.path().join("told")).unwrap_or_default();
    let (done, began) = (folder.path().join("copies.done"), Instant::now());
    while fs::read_to_string(&done).unwrap_or_default().is_empty() {
        let ended = serving.0.try_wait().expect("a child");
        assert!(ended.is_none() && began.elapsed() < Duration::from_secs(60), "all was not read: {ended:?} {}", told());
        sleep(Duration::from_millis(50));
    }
    assert_eq!(fs::read_to_string(&done).expect("the outcome"), "Ok(())");
    assert!(installed.windows(folder.path(), &["unmount", drive]).status().expect("it runs").success());
    assert_eq!(serving.0.wait().expect("its end").code(), Some(0), "{}", told());
    let facts = fs::read_to_string(folder.path().join("copies.facts")).expect("the facts");
    OnWindows::of(&copies, &facts)
}

impl OnWindows {
    fn of(copies: &Path, facts: &str) -> Self {
        let mut all = OnWindows { tree: copied(copies), missed: Vec::new(), tried: 0, patterns: Vec::new() };
        for fact in facts.lines() {
            let words: Vec<&str> = fact.split('\t').collect();
            let path = words[1].trim_start_matches('\\').replace('\\', "/").replace(':', "%3A");
            match words[0] {
                "link" => drop(all.tree.insert(path, Shown::Link(relative_target(words[2])))),
                "lost" => {
                    assert_eq!(words[4], CRC_ERROR, "{fact}");
                    let Some(Shown::File(_, lost)) = all.tree.get_mut(&path) else { panic!("{fact}") };
                    lost.insert(words[2].parse::<u64>().expect("an offset") / SECTOR);
                }
                "case" => {
                    all.tried += 1;
                    all.missed.extend((words[2] != "same").then(|| fact.to_owned()));
                }
                "pattern" => {
                    let names = words[3].split('/').filter(|name| !name.is_empty());
                    all.patterns.push((path, words[2].to_owned(), names.map(ToOwned::to_owned).collect()));
                }
                "unknown" => drop(all.tree.insert(path, Shown::Unknown)),
                "stream" => assert!(all.tree.contains_key(&format!("{path}%3A{}", words[2])), "{fact}"),
                _ => panic!("{fact}"),
            }
        }
        all
    }
}

/// What was copied, by paths with slashes.
fn copied(copies: &Path) -> Tree {
    let (mut tree, mut folders) = (Tree::new(), vec![copies.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path: PathBuf = entry.expect("an entry").path();
            let shown = if path.is_dir() {
                folders.push(path.clone());
                Shown::Folder
            } else {
                Shown::File(fs::read(&path).expect("a copy"), BTreeSet::new())
            };
            tree.insert(path.strip_prefix(copies).expect("below").to_string_lossy().into_owned(), shown);
        }
    }
    tree
}

/// Where a relative symbolic link leads, by the layout of `REPARSE_DATA_BUFFER`; of others the tag.
fn relative_target(hex: &str) -> String {
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("digits")).collect();
    let number = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let tag = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    if tag != 0xA000_000C || bytes[16] != 1 {
        return format!("{tag:#010x}");
    }
    let name = &bytes[20 + number(8)..][..number(10)];
    let units: Vec<u16> = name.chunks(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
    String::from_utf16(&units).expect("a path").replace('\\', "/")
}

#[track_caller]
fn assert_same(linux: &Tree, windows: &Tree, links: bool) {
    let paths = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(paths(linux), paths(windows));
    for (path, shown) in linux {
        match (shown, &windows[path]) {
            // A link out of the volume stands as it is there, and as something that leads nowhere here.
            (Shown::Link(_), Shown::Link(there)) if there.starts_with("0x") => assert!(links, "{path}"),
            // A relative one stands as it is on Windows, which looks for names in any case.
            (Shown::Link(here), Shown::Link(there)) => assert_eq!(here.to_lowercase(), there.to_lowercase(), "{path}"),
            (Shown::File(here, lost_here), Shown::File(there, lost_there)) => {
                assert_eq!(here.len(), there.len(), "{path}");
                assert_eq!(lost_here, lost_there, "{path}");
                assert!(here == there, "{path} differs");
            }
            (here, there) => assert_eq!(here, there, "{path}"),
        }
    }
}

/// That each name is found in the other case too, and that patterns list what they fit.
fn assert_found_and_listed(windows: &OnWindows) {
    // A file with several names keeps the spelling by which it was opened: the tree knows the true case of one only.
    let missed =
        windows.missed.iter().find(|fact| **fact != "case\t\\docs\\linked too.txt\tnamed \\DOCS\\LINKED TOO.TXT");
    assert!(missed.is_none() && windows.tried > 3, "{missed:?}");
    for (folder, pattern, listed) in &windows.patterns {
        let below = |path: &&String| path.rsplit_once('/').map_or("", |(folder, _)| folder) == folder;
        let names = windows.tree.keys().filter(below).map(|path| path.rsplit('/').next().expect("a name"));
        let fits = |name: &str| match pattern.as_str() {
            "*.TXT" => name.to_lowercase().ends_with(".txt"),
            _ => name.to_lowercase().chars().nth(1) == Some('o'),
        };
        let expected: BTreeSet<&str> = names.filter(|name| !name.contains("%3A") && fits(name)).collect();
        assert_eq!(listed.iter().map(String::as_str).collect::<BTreeSet<_>>(), expected, "{pattern} in {folder}");
    }
}

#[test]
fn both_mounts_show_the_same_files_streams_and_names() {
    let Some(systems) = Systems::of("both_mounts_show_the_same_files_streams_and_names") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let chain = Chain::write(spread(&disk(), 4, 512, &mut Rng::new(12)), folder.path()).expect("a chain is written");
    let (linux, windows) = (on_linux(&chain.youngest), on_windows(&systems, &chain.youngest, "N:"));
    assert!(linux.contains_key("streams.txt%3Alarge") && linux.contains_key("docs/many/file-39.txt"));
    assert_same(&linux, &windows.tree, false);
    assert_found_and_listed(&windows);
}

#[test]
fn both_mounts_lose_the_same_sectors() {
    let Some(systems) = Systems::of("both_mounts_lose_the_same_sectors") else { return };
    let disk = disk();
    let (_folder, chain) = chain_with(&disk, &[cluster_of_long_text(&disk, 700)]);
    spoil(&chain, EntryDamage::State(PayloadState::RESERVED.0));
    let (linux, windows) = (on_linux(&chain.youngest), on_windows(&systems, &chain.youngest, "O:"));
    assert!(matches!(&linux["long.txt"], Shown::File(_, lost) if lost.contains(&1400) && lost.len() < 2016));
    assert_same(&linux, &windows.tree, false);
}

#[test]
fn links_lead_alike() {
    let Some(systems) = Systems::of("links_lead_alike") else { return };
    if !have("links_lead_alike", &["mkntfs", "ntfs-3g", "setfattr"]) {
        return;
    }
    let volume = Volume::new(8, &[]);
    volume.mounted("", |root| {
        fs::create_dir_all(root.join("Users/Anna/Docs")).expect("folders");
        // So this volume is drive C of its machine.
        fs::create_dir_all(root.join("WINDOWS/system32")).expect("folders");
        fs::write(root.join("Users/Anna/Docs/Letter.txt"), b"a letter").expect("a file");
        let here = root.join("Users/Anna");
        link(&here.join("relative"), r"DOCS\Letter.txt", 1);
        link(&here.join("absolute"), r"\??\C:\USERS\Anna\Docs\letter.txt", 0);
        link(&here.join("other drive"), r"\??\D:\Users", 0);
    });
    let (_folder, chain) = chain_of(&volume);
    let (linux, windows) = (on_linux(&chain.youngest), on_windows(&systems, &chain.youngest, "P:"));
    assert_eq!(linux["Users/Anna/absolute"], Shown::Link("Docs/Letter.txt".to_owned()));
    assert_eq!(windows.tree["Users/Anna/absolute"], Shown::Link("Docs/Letter.txt".to_owned()));
    assert_eq!(windows.tree["Users/Anna/other drive"], Shown::Link("0xa000000c".to_owned()));
    assert_same(&linux, &windows.tree, true);
    assert_found_and_listed(&windows);
}

/// A chain over a disk with this volume.
pub(crate) fn chain_of(volume: &Volume) -> (tempfile::TempDir, Chain) {
    let mut bytes = SparseBytes::default();
    let content = fs::read(volume.image()).expect("the volume");
    bytes.set_size(content.len() as u64);
    bytes.write_at(0, &content);
    let folder = tempfile::tempdir().expect("a folder");
    let images = spread(&Gpt::disk_of(512, &[&bytes]), 2, 512, &mut Rng::new(4));
    let chain = Chain::write(images, folder.path()).expect("a chain is written");
    (folder, chain)
}

/// A symbolic link of Windows, through ntfs-3g's attribute.
fn link(path: &Path, target: &str, flags: u32) {
    File::create(path).expect("a file");
    let name: Vec<u8> = target.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let length = (name.len() as u16).to_le_bytes();
    let mut data = [[0, 0], length, length, length].concat();
    data.extend_from_slice(&flags.to_le_bytes());
    data.extend([name.as_slice(), &name].concat());
    let mut value = 0xA000_000C_u32.to_le_bytes().to_vec();
    value.extend_from_slice(&(data.len() as u16).to_le_bytes());
    value.extend_from_slice(&[0, 0]);
    value.extend(data);
    let value: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
    run("setfattr", ["-n", "system.ntfs_reparse_data", "-v", &format!("0x{value}"), path.to_str().expect("a path")]);
}
