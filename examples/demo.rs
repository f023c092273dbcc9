//! `cargo demo`: forges a small chain of checkpoints over an NTFS volume, damages it, and rescues its files.
//!
//! Every line that begins with `$` is a command that can be typed. Where FUSE cannot be used, the files are taken out by
//! the library instead.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "forges images and writes rescued files, in a folder of its own"
)]

use std::error::Error;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use fixtures::bytes::Bytes;
use fixtures::chain::{Chain, spread};
use fixtures::damage::{Copies, Damage, EntryDamage, TableDamage};
use fixtures::fill::Fill;
use fixtures::gpt::Gpt;
use fixtures::host_file::HostFile;
use fixtures::ntfs;
use fixtures::random::Rng;
use fixtures::vhdx::log::Rollback;
use fixtures::vhdx::{Block, Image};
use mount_api::{From, Kind, NodeId, Tree};
use sha2::{Digest, Sha256};
use vhdx_mount::Faults;
use vhdx_mount::chain::{self, ChainOptions};
use vhdx_mount::fs::FsOptions;
use vhdx_mount::image::HostFolders;
use vhdx_mount::namespace::Inventory;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const MIB: u64 = 1 << 20;
/// The volume's place on the disk.
const VOLUME: u64 = MIB;
const SECTOR: u64 = 512;

fn main() -> Result<()> {
    let folder = tempfile::Builder::new().prefix("vhdx-mount-demo-").tempdir()?.keep();
    let (images, mounted, rescued) = (folder.join("images"), folder.join("mnt"), folder.join("rescued"));
    for new in [&images, &mounted, &rescued] {
        fs::create_dir(new)?;
    }
    println!("A chain of four images, forged in {}:\n", images.display());
    let youngest = forge(&images)?;
    println!("  base.vhdx was renamed, and one of its two headers is spoilt.");
    println!("  x_1.avhdx was not closed: its tables are out of date, the truth stands in its log.");
    println!("  x_3.avhdx has lost 4 KiB in the middle of a file: its table points past its end.\n");
    let before = hashes(&images)?;

    println!("Building the program, which takes some minutes for the first time ...");
    let program = build()?;
    show(&program, &[Path::new("info"), &youngest])?;
    if show(&program, &[&youngest, &mounted])? {
        println!("\nIts files, compared with what was once put in:\n");
        let result = compare(&mounted.join("volume-1"), None);
        show(&program, &[Path::new("unmount"), &mounted])?;
        result?;
    } else {
        println!(
            "\nFUSE cannot be used here, as said above. The files are taken out without a mount, to {}:\n",
            rescued.display()
        );
        let errors = extract(&youngest, &rescued)?;
        compare(&rescued, Some(&errors))?;
    }
    if hashes(&images)? != before {
        return Err("an image was changed".into());
    }
    println!("\nNo image was changed (SHA-256 before and after). The chain is yours to play with:\n");
    println!("  {} {} {}", program.display(), youngest.display(), mounted.display());
    println!("  rm -r {}", folder.display());
    Ok(())
}

/// Writes the chain and spoils it; gives the youngest link.
fn forge(folder: &Path) -> Result<PathBuf> {
    let mut rng = Rng::new(3);
    let mut disk = vec![0; 8 * MIB as usize];
    let volume = ntfs::volume();
    Gpt::new(512).with(VOLUME / SECTOR, volume.size() / SECTOR).write(&mut disk);
    disk.write_at(VOLUME, &volume.bytes_at(0, volume.size() as usize));

    // Three links hold the disk; the fourth holds 4 KiB of long.txt alone.
    let mut images = spread(&disk, 3, 512, &mut rng);
    let lost = find_long_text(&disk).ok_or("long.txt is on the disk")?;
    let mut youngest = Image::child_of(&images[2], "x_2.avhdx");
    let block_size = u64::from(youngest.block_size);
    let (block, sector) = (lost / block_size, lost % block_size / SECTOR);
    let sectors = vec![sector..sector + 8];
    youngest.blocks.insert(block, Block::partially_present(sectors, Fill::live(3), Fill::stale(3)));
    images.push(youngest);
    let chain = Chain::write(images, folder)?;

    let open = |link: usize| HostFile::open(&chain.files[link]);
    Damage::Header(Copies::Second, TableDamage::FlippedBit).apply(&mut open(0)?, &chain.places[0]);
    let mut unclosed = open(1)?;
    let mut tables = Rollback::new();
    tables.blank(&unclosed, &chain.places[1].bat);
    tables.make_dirty(&mut unclosed, &chain.places[1], &mut rng);
    Damage::PayloadEntry(block, EntryDamage::PastEnd).apply(&mut open(3)?, &chain.places[3]);
    fs::rename(&chain.files[0], folder.join("renamed by somebody.vhdx"))?;
    Ok(chain.youngest)
}

/// Where on the disk a page in the middle of long.txt stands.
fn find_long_text(disk: &[u8]) -> Option<u64> {
    let text = ntfs::long_text();
    let page = text.get(512 << 10..)?.get(..4096)?;
    let at = disk.as_chunks::<512>().0.iter().position(|sector| page.starts_with(sector))?;
    Some(at as u64 * SECTOR)
}

/// Builds the program; it stands beside the folder of the examples.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--bin", "vhdx-mount", "--manifest-path"])
        .arg(manifest)
        .status()?;
    if !built.success() {
        return Err("the program does not build".into());
    }
    let example = std::env::current_exe()?;
    let profile = example.parent().and_then(Path::parent).ok_or("the example stands in a folder")?;
    Ok(profile.join(format!("vhdx-mount{}", std::env::consts::EXE_SUFFIX)))
}

/// Shows a command and runs it.
fn show(program: &Path, args: &[&Path]) -> Result<bool> {
    let words = args.iter().map(|arg| format!(" {}", arg.display()));
    println!("$ vhdx-mount{}", words.collect::<String>());
    std::io::stdout().flush()?;
    Ok(Command::new(program).args(args).stdin(Stdio::null()).status()?.success())
}

/// Compares the files below a folder with the manifest of what was put in, and says so file by file.
fn compare(root: &Path, known_errors: Option<&[(String, String)]>) -> Result<()> {
    let (mut whole, mut unreadable) = (0, 0);
    let wanted = ntfs::manifest();
    for file in &wanted {
        let path = file.name.as_ref().map_or_else(|| file.path.clone(), |name| format!("{}:{name}", file.path));
        let known = known_errors.and_then(|errors| errors.iter().find(|(failed, _)| *failed == path));
        let hash = match known {
            Some((_, why)) => Err(why.clone()),
            None => hash(&root.join(&path)).map_err(|error| error.to_string()),
        };
        match hash {
            Ok(hash) if hash == file.sha256 => whole += 1,
            Ok(_) => return Err(format!("{path}: wrong bytes, and nobody said so").into()),
            Err(error) => {
                unreadable += 1;
                println!("  {path}: {error}");
            }
        }
    }
    println!(
        "  {whole} of {} files and streams are whole, byte for byte; {unreadable} has lost bytes and says so\n",
        wanted.len()
    );
    Ok(())
}

fn hash(path: &Path) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.read_to_end(&mut bytes)?;
    Ok(Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect())
}

fn hashes(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    files.into_iter().map(|file| Ok((file.clone(), hash(&file)?))).collect()
}

/// Takes all files of volume 1 out by the library; gives those that have lost bytes, and why.
fn extract(youngest: &Path, to: &Path) -> Result<Vec<(String, String)>> {
    let chain = chain::open(&HostFolders, youngest, &ChainOptions::default())?;
    let inventory = Inventory::take(chain, &FsOptions::default());
    let tree = inventory.volume(1).and_then(|volume| volume.tree.clone()).ok_or("volume 1 is NTFS")?;
    let mut errors = Vec::new();
    extract_folder(&*tree, NodeId::ROOT, to, "", &mut errors)?;
    Ok(errors)
}

fn extract_folder(
    tree: &dyn Tree,
    dir: NodeId,
    to: &Path,
    path: &str,
    errors: &mut Vec<(String, String)>,
) -> Result<()> {
    let mut entries = Vec::new();
    tree.read_dir(dir, From::Start, &mut |entry| {
        entries.push(entry);
        ControlFlow::Continue(())
    })?;
    for entry in entries {
        let name = entry.name.to_string_lossy();
        let (to, path) = (to.join(&name), if path.is_empty() { name } else { format!("{path}/{name}") });
        if entry.kind == Kind::Directory {
            fs::create_dir(&to)?;
            extract_folder(tree, entry.node, &to, &path, errors)?;
            continue;
        }
        extract_stream(tree, entry.node, to.clone(), path.clone(), errors)?;
        let mut streams = Vec::new();
        tree.streams(entry.node, &mut |stream| {
            streams.push(stream);
            ControlFlow::Continue(())
        })?;
        for stream in streams {
            let name = stream.name.to_string_lossy();
            let to = to.with_file_name(format!("{}:{name}", entry.name.to_string_lossy()));
            extract_stream(tree, stream.node, to, format!("{path}:{name}"), errors)?;
        }
    }
    Ok(())
}

/// Writes a stream to a new file, or says why it is not whole.
fn extract_stream(
    tree: &dyn Tree,
    node: NodeId,
    to: PathBuf,
    path: String,
    errors: &mut Vec<(String, String)>,
) -> Result<()> {
    let mut bytes = vec![0; usize::try_from(tree.attr(node)?.size)?];
    let mut faults = Faults::new();
    tree.read_at(node, 0, &mut bytes, &mut faults)?;
    match faults.worst() {
        None => fs::write(to, bytes)?,
        Some(fault) => {
            errors.push((path, format!("bytes {}..{} are lost ({})", fault.range.start, fault.range.end, fault.code)));
        }
    }
    Ok(())
}
