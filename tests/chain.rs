//! How parents are found, and when a chain is refused.
#![cfg(unix)]
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "arranges forged images in folders of its own"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fixtures::fill::Fill;
use fixtures::random::Rng;
use fixtures::vhdx::parent_locator::ParentLocator;
use fixtures::vhdx::{Block, Image, MIB};
use support::Untouched;
use vhdx_mount::chain::{self, Chain, ChainOptions, Found, LinkProof};
use vhdx_mount::image::{Depth, HostFolders, ImageStore, OpenedImage};
use vhdx_mount::layer::PlaceKind;
use vhdx_mount::{Error, ErrorKind};

const SIZE: u64 = 8 * MIB;

/// A base whose disk is full of link 0's sectors.
fn base() -> Image {
    Image::fixed(SIZE, 2 * MIB as u32, &Fill::live(0))
}

/// A child that holds block 1 and names its parent in this way.
fn child(parent: &Image, locator: ParentLocator) -> Image {
    let mut image = Image::child_of(parent, "unused");
    image.parent_locator = Some(locator);
    image.blocks.insert(1, Block::fully_present(Fill::live(1)));
    image
}

fn braces(guid: fixtures::guid::Guid) -> String {
    format!("{{{guid}}}")
}

fn locator(parent: &Image, places: &[(&str, &str)]) -> ParentLocator {
    let linkage = ParentLocator::empty().with("parent_linkage", &braces(parent.data_write_guid));
    places.iter().fold(linkage, |locator, (key, value)| locator.with(key, value))
}

fn write(image: &Image, path: &Path) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    image.write_to(path).expect("an image is written");
}

fn open(path: &Path, options: &ChainOptions) -> Result<Chain, Error> {
    chain::open(&HostFolders, path, options)
}

/// Opens, and sees that the base shows through the child.
fn open_whole(path: &Path, options: &ChainOptions) -> Chain {
    let chain = open(path, options).unwrap_or_else(|error| panic!("{error}\n{}", error.details().join("\n")));
    for (offset, link) in [(0, 0), (2 * MIB, 1), (4 * MIB - 512, 1), (4 * MIB, 0)] {
        let mut expected = [0; 512];
        Fill::live(link).read(offset, &mut expected);
        assert_eq!(support::read_proven(&**chain.disk(), offset, 512), expected, "at {offset}");
    }
    chain
}

fn codes(chain: &Chain) -> Vec<&'static str> {
    chain.findings().iter().map(|finding| finding.code.as_str()).collect()
}

#[test]
fn recorded_places_are_mapped_to_this_host() {
    let cases: &[(&str, &str, &str, PlaceKind)] = &[
        ("relative_path", r".\base.vhdx", "vm/base.vhdx", PlaceKind::Relative),
        ("relative_path", r"base.vhdx", "vm/BASE.VHDX", PlaceKind::Relative),
        ("relative_path", r"..\Golden Images\base.vhdx", "golden images/base.vhdx", PlaceKind::Relative),
        ("absolute_win32_path", r"C:\Hyper-V\Disks\base.vhdx", "hyper-v/disks/base.vhdx", PlaceKind::Absolute),
        ("absolute_win32_path", r"\\server\share\disks\base.vhdx", "disks/base.vhdx", PlaceKind::Absolute),
        (
            "volume_path",
            r"\\?\Volume{26a21bda-a627-11d7-9931-806e6f6e6963}\disks\base.vhdx",
            "disks/base.vhdx",
            PlaceKind::Volume,
        ),
    ];
    for (key, recorded, actual, kind) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let base = base();
        write(&base, &folder.path().join(actual));
        let youngest = folder.path().join("vm/child.avhdx");
        write(&child(&base, locator(&base, &[(key, recorded)])), &youngest);
        let _untouched = Untouched::watch([&youngest, &folder.path().join(actual)]);
        let chain = open_whole(&youngest, &ChainOptions::default());
        assert_eq!(chain.links()[1].found, Found::Recorded(*kind), "{recorded}");
        assert_eq!(codes(&chain), Vec::<&str>::new(), "{recorded}");
    }
}

#[test]
fn a_parent_elsewhere_is_found_by_name_by_identity_or_where_the_user_says() {
    let base = base();
    let recorded = locator(&base, &[("absolute_win32_path", r"D:\gone\base.vhdx")]);
    let child = child(&base, recorded);
    let options = |parents: &[PathBuf], dirs: &[PathBuf]| ChainOptions {
        parents: parents.to_vec(),
        parent_dirs: dirs.to_vec(),
        ..ChainOptions::default()
    };
    let folder = tempfile::tempdir().expect("a folder");
    let at = |path: &str| folder.path().join(path);
    let cases = [
        ("a/base.vhdx", options(&[], &[]), Found::ByName),
        ("b/renamed by hand.bin", options(&[], &[]), Found::ByIdentity),
        ("c-elsewhere/deep/down/x.vhdx", options(&[], &[at("c-elsewhere")]), Found::ByIdentity),
        ("d-elsewhere/base.vhdx", options(&[], &[at("d-elsewhere")]), Found::ByName),
        ("e-elsewhere/y", options(&[at("e-elsewhere/y")], &[]), Found::Given),
    ];
    for (place, options, found) in cases {
        let youngest = at(&place[..1]).join("child.avhdx");
        write(&child, &youngest);
        write(&base, &at(place));
        let chain = open_whole(&youngest, &options);
        assert_eq!(chain.links()[1].found, found, "{place}");
        assert_eq!(codes(&chain), ["parent-elsewhere"], "{place}");
    }
}

#[test]
fn an_image_with_the_right_name_and_another_identity_is_refused_in_plain_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let (base, youngest) = (base(), folder.path().join("child.avhdx"));
    write(&child(&base, locator(&base, &[("relative_path", r".\base.vhdx")])), &youngest);
    let mut changed = base.clone();
    changed.renew_guids(&mut Rng::new(1));
    write(&changed, &folder.path().join("base.vhdx"));

    let error = open(&youngest, &ChainOptions::default()).err().expect("a refusal");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let wanted = base.data_write_guid.to_string().to_lowercase();
    assert!(error.to_string().contains(&wanted), "{error}");
    let details = error.details().join("\n");
    assert!(details.contains(r".\base.vhdx"), "{details}");
    assert!(details.contains(&changed.data_write_guid.to_string().to_lowercase()), "{details}");
    let advice = error.advice().expect("advice");
    assert!(advice.contains("--parent-dir") && advice.contains("--parent "), "{advice}");
}

#[test]
fn a_missing_parent_is_refused_and_the_child_is_not_named_as_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (base, youngest) = (base(), folder.path().join("child.avhdx"));
    write(&child(&base, locator(&base, &[("relative_path", r".\base.vhdx")])), &youngest);
    let error = open(&youngest, &ChainOptions::default()).err().expect("a refusal");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(!error.details().iter().any(|line| line.starts_with("looked at")), "{:?}", error.details());
}

#[test]
fn a_merge_that_had_begun_proves_this_child() {
    let folder = tempfile::tempdir().expect("a folder");
    let (base, youngest) = (base(), folder.path().join("child.avhdx"));
    let mut old = base.clone();
    old.renew_guids(&mut Rng::new(2));
    let locator =
        locator(&old, &[("relative_path", r".\base.vhdx")]).with("parent_linkage2", &braces(base.data_write_guid));
    write(&child(&base, locator), &youngest);
    write(&base, &folder.path().join("base.vhdx"));
    let chain = open_whole(&youngest, &ChainOptions::default());
    assert_eq!(chain.links()[1].proof, Some(LinkProof::Linkage2));
    assert!(codes(&chain).contains(&"parent-mid-merge"));
}

#[test]
fn a_parent_linkage2_of_zeros_matches_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut base = base();
    base.data_write_guid = fixtures::guid::Guid([0; 16]);
    let mut old = base.clone();
    old.renew_guids(&mut Rng::new(3));
    let locator = locator(&old, &[("relative_path", r".\base.vhdx")])
        .with("parent_linkage2", "{00000000-0000-0000-0000-000000000000}");
    let youngest = folder.path().join("child.avhdx");
    write(&child(&base, locator), &youngest);
    write(&base, &folder.path().join("base.vhdx"));
    assert_eq!(open(&youngest, &ChainOptions::default()).err().map(|e| e.kind()), Some(ErrorKind::NotFound));
}

#[test]
fn chains_without_an_end_are_refused_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let started = Instant::now();

    let mut own = child(&base(), ParentLocator::empty());
    own.parent_locator = Some(locator(&own, &[("relative_path", r".\own.avhdx")]));
    write(&own, &at("own.avhdx"));

    let (mut a, mut b) = (child(&base(), ParentLocator::empty()), child(&base(), ParentLocator::empty()));
    a.renew_guids(&mut Rng::new(4));
    b.renew_guids(&mut Rng::new(5));
    a.parent_locator = Some(locator(&b, &[("relative_path", r".\b.avhdx")]));
    b.parent_locator = Some(locator(&a, &[("relative_path", r".\a.avhdx")]));
    write(&a, &at("a.avhdx"));
    write(&b, &at("b.avhdx"));

    for name in ["own.avhdx", "a.avhdx", "b.avhdx"] {
        let error = open(&at(name), &ChainOptions::default()).err().expect("a refusal");
        assert_eq!(error.kind(), ErrorKind::Refused, "{name}: {error}");
        assert!(error.to_string().contains("already a link of this chain"), "{name}: {error}");
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());

    // The user's word leads out of the circle.
    write(&base(), &at("real.vhdx"));
    for (name, links) in [("own.avhdx", 2), ("a.avhdx", 3), ("b.avhdx", 3)] {
        let parents = vec![at("real.vhdx")];
        let error = open(&at(name), &ChainOptions { parents: parents.clone(), ..ChainOptions::default() });
        assert_eq!(error.err().expect("a refusal").kind(), ErrorKind::Refused, "{name}: nothing proves it");
        let options = ChainOptions { parents, allow_mismatch: true, ..ChainOptions::default() };
        let chain = open(&at(name), &options).expect("the chain opens");
        assert_eq!(chain.links().len(), links, "{name}");
        assert_eq!(chain.links()[links - 1].path, at("real.vhdx"), "{name}");
        assert!(codes(&chain).contains(&"link-unproven"), "{name}: {:?}", codes(&chain));
    }
    // One that is a link already does not, and that is said; so too where the parent is merely missing.
    let mut orphan = child(&base(), ParentLocator::empty());
    orphan.parent_locator = Some(locator(&orphan, &[]));
    orphan.renew_guids(&mut Rng::new(6));
    write(&orphan, &at("orphan.avhdx"));
    for name in ["a.avhdx", "orphan.avhdx"] {
        let options = ChainOptions { parents: vec![at(name)], allow_mismatch: true, ..ChainOptions::default() };
        let error = open(&at(name), &options).err().expect("a refusal");
        let told = error.details().join("\n");
        assert!(told.contains(&format!("{name}: it is already a link of this chain")), "{told}");
    }
}

/// Writes `depth` links; link `n` holds block `n % blocks` of a disk of `size` bytes. Returns the youngest.
fn deep_chain(folder: &Path, depth: u16, size: u64, block_size: u32) -> PathBuf {
    let mut parent: Option<(Image, String)> = None;
    for link in 0..depth {
        let name = format!("link-{link}.avhdx");
        let mut image = match &parent {
            None => Image::dynamic(size),
            Some((parent, name)) => Image::child_of(parent, name),
        };
        image.block_size = block_size;
        let block = u64::from(link) * 7919 % image.arrangement().payload_blocks;
        image.blocks.insert(block, Block::fully_present(Fill::live(link)));
        write(&image, &folder.join(&name));
        parent = Some((image, name));
    }
    folder.join(parent.expect("a link").1)
}

#[test]
fn three_hundred_links_open() {
    let folder = tempfile::tempdir().expect("a folder");
    let youngest = deep_chain(folder.path(), 300, 400 * MIB, MIB as u32);
    let chain = open(&youngest, &ChainOptions::default()).expect("300 links");
    assert_eq!(chain.links().len(), 300);
    for link in [0u16, 1, 150, 299] {
        let offset = u64::from(link) * 7919 % 400 * MIB + 512;
        let mut expected = [0; 512];
        Fill::live(link).read(offset, &mut expected);
        assert_eq!(support::read_proven(&**chain.disk(), offset, 512), expected, "link {link}");
    }
}

#[test]
fn a_disk_of_64_tib_and_30_links_opens_in_100_mib() {
    let folder = tempfile::tempdir().expect("a folder");
    // Blocks of 1 MiB: each BAT has 64 million entries.
    let youngest = deep_chain(folder.path(), 30, 64 << 40, MIB as u32);
    // The address space is limited, so what is mapped counts even where it is not touched. Backtraces read debug
    // information, which is not what is measured here.
    let started = Instant::now();
    let output = std::process::Command::new("sh")
        .args(["-c", "ulimit -v 102400 && exec \"$0\" info --json \"$1\""])
        .arg(env!("CARGO_BIN_EXE_vhdx-mount"))
        .arg(&youngest)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // A guard against reading a whole BAT; benches/ measures the time itself.
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["links"].as_array().map(Vec::len), Some(30));
    assert_eq!(report["disk"]["size"], 64u64 << 40);
}

#[test]
fn a_bat_of_several_mib_is_verified_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    // Two million blocks: a BAT of 16 MiB. The last one claims a place behind the end of the file.
    let mut image = Image { block_size: MIB as u32, ..Image::dynamic(2 << 40) };
    image.blocks.insert((2 << 20) - 1, Block::fully_present(Fill::live(0)));
    let path = folder.path().join("x.vhdx");
    write(&image, &path);
    let file = fs::OpenOptions::new().write(true).open(&path).expect("the image opens");
    // The block stands last in the file.
    file.set_len(file.metadata().expect("its size").len() - 4096).expect("it is cut");
    let findings = open(&path, &ChainOptions::default()).expect("it opens").findings().to_vec();
    let codes: Vec<_> = findings.iter().map(|finding| finding.code.as_str()).collect();
    assert_eq!(codes, ["block-past-end"]);
}

#[test]
fn what_is_no_file_is_refused_before_it_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    let fifo = folder.path().join("pipe.vhdx");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
    for path in [&fifo, Path::new("/dev/zero"), folder.path()] {
        let error = open(path, &ChainOptions::default()).err().expect("a refusal");
        assert_eq!(error.kind(), ErrorKind::Refused, "{}: {error}", path.display());
    }
    let empty = folder.path().join("empty.avhdx");
    fs::write(&empty, b"").expect("an empty file");
    let error = open(&empty, &ChainOptions::default()).err().expect("a refusal");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Corrupt, "the file is empty"));
}

#[test]
fn a_file_of_another_kind_is_refused_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.vhdx");
    for (signature, name) in
        [(&b"\x1f\x8b\x08"[..], "gzip"), (b"PK\x03\x04", "zip"), (b"QFI\xfb", "QCOW"), (b"KDMV", "VMDK")]
    {
        let mut bytes = signature.to_vec();
        bytes.resize(70_000, 7);
        fs::write(&path, bytes).expect("a file");
        let error = open(&path, &ChainOptions::default()).err().expect("a refusal");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains(name) && error.advice().is_some(), "{name}: {error}");
    }
}

#[test]
fn a_damaged_copy_does_not_stand_in_the_way_of_a_whole_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = base();
    let damaged = folder.path().join("base.vhdx");
    write(&base, &damaged);
    let zero = |range: std::ops::Range<u64>| {
        let zeros = vec![0; (range.end - range.start) as usize];
        let file = fs::OpenOptions::new().write(true).open(&damaged).expect("the image opens");
        std::os::unix::fs::FileExt::write_all_at(&file, &zeros, range.start).expect("damage");
    };
    let youngest = folder.path().join("child.avhdx");
    write(&child(&base, locator(&base, &[("relative_path", r".\base.vhdx")])), &youngest);

    // The one at the recorded place has lost its region tables: it is all there is, and doubtful.
    zero(192 << 10..320 << 10);
    let chain = open(&youngest, &ChainOptions::default()).expect("what can be inferred");
    assert_eq!(codes(&chain), ["region-tables-lost"]);
    // With its metadata gone too it is still told by its BAT; without that nothing of it can be read.
    let places = base.places();
    zero(places.metadata.start..places.metadata.start + (64 << 10));
    let chain = open(&youngest, &ChainOptions::default()).expect("what can be inferred");
    assert!(codes(&chain).contains(&"region-tables-lost") && codes(&chain).contains(&"metadata-inferred"));
    zero(places.bat);
    let error = open(&youngest, &ChainOptions::default()).err().expect("a refusal");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.details().iter().any(|line| line.contains("it is the parent, but")), "{:?}", error.details());

    write(&base, &folder.path().join("copy.vhdx"));
    let chain = open_whole(&youngest, &ChainOptions::default());
    assert_eq!(chain.links()[1].found, Found::ByIdentity);
    // Nor does one of which something can still be read.
    write(&base, &damaged);
    zero(192 << 10..320 << 10);
    let chain = open_whole(&youngest, &ChainOptions::default());
    assert_eq!(chain.links()[1].found, Found::ByIdentity);
}

#[test]
fn a_link_of_the_chain_that_bears_the_wanted_guid_does_not_hide_the_parent() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = base();
    let mut image = child(&base, locator(&base, &[]));
    image.data_write_guid = base.data_write_guid;
    // Listed before the parent.
    let youngest = folder.path().join("a child.avhdx");
    write(&image, &youngest);
    let error = open(&youngest, &ChainOptions::default()).err().expect("a refusal");
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    write(&base, &folder.path().join("parent.vhdx"));
    open_whole(&youngest, &ChainOptions::default());
}

#[test]
fn a_child_behind_a_symbolic_link_has_its_parent_beside_the_file_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = base();
    for name in ["base.vhdx", "another name.vhdx"] {
        let real = tempfile::tempdir_in(folder.path()).expect("a folder");
        write(&base, &real.path().join(name));
        write(&child(&base, locator(&base, &[("relative_path", r".\base.vhdx")])), &real.path().join("child.avhdx"));
        let link = tempfile::tempdir_in(folder.path()).expect("a folder").path().join("deep/link.avhdx");
        fs::create_dir_all(link.parent().expect("a folder")).expect("a folder");
        std::os::unix::fs::symlink(real.path().join("child.avhdx"), &link).expect("a symbolic link");
        open_whole(&link, &ChainOptions::default());
    }
}

#[test]
fn a_linkage_of_zeros_proves_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut base = base();
    base.data_write_guid = fixtures::guid::Guid::NIL;
    write(&base, &folder.path().join("base.vhdx"));
    let youngest = folder.path().join("child.avhdx");
    write(&child(&base, locator(&base, &[("relative_path", r".\base.vhdx")])), &youngest);
    let error = open(&youngest, &ChainOptions::default()).err().expect("a refusal");
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
}

/// A store in which `device` is a block device.
struct WithDevice {
    device: PathBuf,
}

impl ImageStore for WithDevice {
    fn open_named(&self, path: &Path) -> Result<OpenedImage, Error> {
        HostFolders.open_named(path)
    }

    fn open_found(&self, path: &Path) -> Result<OpenedImage, Error> {
        if path == self.device {
            return Err(Error::new(ErrorKind::Refused, "a block device that nobody named; it is not opened"));
        }
        HostFolders.open_found(path)
    }

    fn find(&self, folder: &Path, components: &[&str]) -> Option<PathBuf> {
        HostFolders.find(folder, components)
    }

    fn list(&self, folder: &Path, depth: Depth, limit: usize) -> Result<vhdx_mount::image::Listing, Error> {
        HostFolders.list(folder, depth, limit)
    }
}

#[test]
fn a_block_device_that_the_user_names_may_be_a_parent() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = base();
    let store = WithDevice { device: folder.path().join("device") };
    write(&base, &store.device);
    let youngest = folder.path().join("child.avhdx");
    write(&child(&base, locator(&base, &[])), &youngest);
    let error = chain::open(&store, &youngest, &ChainOptions::default()).err().expect("a refusal");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let options = ChainOptions { parents: vec![store.device.clone()], ..ChainOptions::default() };
    let chain = chain::open(&store, &youngest, &options).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(chain.links()[1].found, Found::Given);
}

#[test]
fn many_files_beside_a_child_are_looked_at_in_no_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = base();
    let youngest = folder.path().join("child.avhdx");
    write(&child(&base, locator(&base, &[])), &youngest);
    for number in 0..20_000 {
        fs::write(folder.path().join(format!("a file of no interest that has a long name {number}")), b"x")
            .expect("a file");
    }
    write(&base, &folder.path().join("parent.vhdx"));
    let started = Instant::now();
    open_whole(&youngest, &ChainOptions::default());
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

#[test]
fn a_raw_disk_under_the_name_of_a_vhdx_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut disk = vec![0; MIB as usize];
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    for (name, expected) in [("disk.VHDX", vec!["read-as-raw"]), ("x.avhdx", vec!["read-as-raw"]), ("disk.img", vec![])]
    {
        let path = folder.path().join(name);
        fs::write(&path, &disk).expect("a file");
        let chain = open(&path, &ChainOptions::default()).expect("a raw disk");
        assert_eq!((codes(&chain), chain.disk().geometry().virtual_size), (expected, MIB), "{name}");
    }
}
