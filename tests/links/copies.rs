//! Several files of one identity: which of them is taken, and what is said.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use fixtures::bytes::Bytes;
use fixtures::chain::Chain as Forged;
use fixtures::fill::Fill;
use fixtures::guid::Guid;
use fixtures::host_file::HostFile;
use fixtures::random::Rng;
use fixtures::vhdx::header;
use fixtures::vhdx::{Image, MIB};
use vhdx_mount::chain::{Chain, ChainOptions, Missing, open as open_chain};
use vhdx_mount::image::{Depth, HostFolders, ImageStore, Listing, OpenedImage, ReadAt};
use vhdx_mount::report::{Finding, quoted};
use vhdx_mount::{Error, ErrorKind, Faults};

use crate::support::Untouched;
use crate::{SIZE, chain, has_finding, open};

/// Whether all of the disk is as the links hold it, and how many bytes of it are lost.
fn read(chain: &Chain) -> (bool, u64) {
    let mut bytes = vec![0; SIZE as usize];
    let mut faults = Faults::new();
    chain.disk().read_at(&mut bytes, 0, &mut faults).expect("a read");
    let mut expected = vec![0; SIZE as usize];
    for (block, link) in [0, 1, 2, 0].into_iter().enumerate() {
        let at = block as u64 * 2 * MIB;
        Fill::live(link).read(at, &mut expected[at as usize..][..2 << 20]);
    }
    (bytes == expected, faults.iter().map(|fault| fault.range.end - fault.range.start).sum())
}

fn told<'a>(chain: &'a Chain, code: &str) -> Vec<&'a Finding> {
    chain.findings().iter().filter(|finding| finding.code.as_str() == code).collect()
}

#[test]
fn a_second_file_of_the_parents_identity_is_told_unless_the_user_chose() {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = chain(folder.path());
    let (one, other) = (folder.path().join("a.avhdx"), folder.path().join("b.avhdx"));
    fs::rename(&forged.files[1], &one).expect("the middle link is renamed");
    assert!(!has_finding(&open(&forged.youngest, &ChainOptions::default()).expect("a chain"), "identity-shared"));
    fs::copy(&one, &other).expect("a copy");
    let opened = open(&forged.youngest, &ChainOptions::default()).expect("a chain");
    let told = opened.findings().iter().find(|finding| finding.code.as_str() == "identity-shared").expect("a finding");
    assert!(told.text.contains("b.avhdx"), "{}", told.text);
    let chosen = ChainOptions { parents: vec![other], ..ChainOptions::default() };
    assert!(!has_finding(&open(&forged.youngest, &chosen).expect("a chain"), "identity-shared"));
}

/// The folders of the host, in which one file opens once and then no more.
struct Vanishing {
    file: PathBuf,
    opened: AtomicBool,
}

impl Vanishing {
    fn refuses(&self, path: &Path) -> bool {
        path == self.file && self.opened.swap(true, Ordering::Relaxed)
    }
}

impl ImageStore for Vanishing {
    fn open_named(&self, path: &Path) -> Result<OpenedImage, Error> {
        HostFolders.open_named(path)
    }

    fn open_found(&self, path: &Path) -> Result<OpenedImage, Error> {
        match self.refuses(path) {
            true => Err(Error::new(ErrorKind::Io, "it is gone").in_file(path)),
            false => HostFolders.open_found(path),
        }
    }

    fn find(&self, folder: &Path, components: &[&str]) -> Option<PathBuf> {
        HostFolders.find(folder, components)
    }

    fn list(&self, folder: &Path, depth: Depth, limit: usize) -> Result<Listing, Error> {
        HostFolders.list(folder, depth, limit)
    }
}

#[test]
fn a_parent_that_goes_while_it_is_looked_at_is_no_reason_to_look_no_further() {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = chain(folder.path());
    let gone = || Vanishing { file: forged.files[0].clone(), opened: AtomicBool::new(false) };
    let open = |options: &ChainOptions| open_chain(&gone(), &forged.youngest, options);
    let refusal = open(&ChainOptions::default()).err().expect("a refusal");
    assert_eq!(refusal.kind(), ErrorKind::NotFound, "{refusal}");
    assert!(refusal.details().join("\n").contains("it is gone"), "{:?}", refusal.details());
    let lost = ChainOptions { missing: Missing::Lost, ..ChainOptions::default() };
    assert_eq!(open(&lost).expect("what is there").links().len(), 2);
    let copy = folder.path().join("base - Copy.vhdx");
    fs::copy(&forged.files[0], &copy).expect("a copy");
    let opened = open(&ChainOptions::default()).expect("a chain");
    assert_eq!(opened.links()[2].path, copy);
    assert_eq!(read(&opened), (true, 0));
}

#[test]
fn two_links_of_one_identity_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = chain(folder.path());
    // As if the headers of the base had been written over those of the youngest link.
    let base = HostFile::open(&forged.files[0]).expect("the base opens");
    let mut youngest = HostFile::open(&forged.youngest).expect("the youngest link opens");
    for offset in header::OFFSETS {
        youngest.write_at(offset, &base.bytes_at(offset, 4096));
    }
    let opened = open(&forged.youngest, &ChainOptions::default()).expect("a chain");
    let told = opened.findings().iter().find(|finding| finding.code.as_str() == "identity-shared").expect("a finding");
    assert_eq!(told.link, Some(2));
    assert!(told.text.contains(&forged.youngest.display().to_string()), "{}", told.text);
}

/// Both were taken unproven, for zeros prove nothing; nor do they make two images one.
#[test]
fn links_that_never_got_an_identity_share_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = chain(folder.path());
    for link in 0..2 {
        Image { data_write_guid: Guid::NIL, ..forged.images[link].clone() }
            .write_to(&forged.files[link])
            .expect("an image is written");
    }
    let parents = vec![forged.files[1].clone(), forged.files[0].clone()];
    let options = ChainOptions { parents, allow_mismatch: true, ..ChainOptions::default() };
    let opened = open(&forged.youngest, &options).expect("a chain");
    assert_eq!(opened.links().len(), 3);
    assert!(!has_finding(&opened, "identity-shared"));
}

#[test]
fn another_state_of_a_parent_beside_the_recorded_one_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = chain(folder.path());
    let copy = folder.path().join("base - Copy.vhdx");
    fs::copy(&forged.files[0], &copy).expect("a copy");
    let opened = open(&forged.youngest, &ChainOptions::default()).expect("a chain");
    assert!(!has_finding(&opened, "identity-shared"), "an exact copy is no other state");
    let other = Image { file_write_guid: Rng::new(9).guid(), ..forged.images[0].clone() };
    other.write_to(&copy).expect("an image is written");
    let opened = open(&forged.youngest, &ChainOptions::default()).expect("a chain");
    let told: Vec<_> = opened.findings().iter().filter(|finding| finding.code.as_str() == "identity-shared").collect();
    let [told] = told.as_slice() else { panic!("one finding: {told:?}") };
    assert_eq!(told.link, Some(2));
    assert!(told.text.contains("base.vhdx") && told.text.contains("base - Copy.vhdx"), "{}", told.text);
    assert!(told.advice.as_ref().is_some_and(|advice| advice.contains("--parent")));
    let chosen = ChainOptions { parents: vec![copy], ..ChainOptions::default() };
    assert!(!has_finding(&open(&forged.youngest, &chosen).expect("a chain"), "identity-shared"));
}

/// Cuts the last payload block off the base, and keeps a whole copy beside it.
fn cut_base(forged: &Forged, folder: &Path) -> PathBuf {
    let whole = folder.join("base - Copy.vhdx");
    fs::copy(&forged.files[0], &whole).expect("a copy");
    let size = fs::metadata(&whole).expect("its size").len();
    let file = fs::OpenOptions::new().write(true).open(&forged.files[0]).expect("the base opens");
    file.set_len(size - 2 * MIB).expect("the base is cut");
    whole
}

#[test]
fn a_whole_copy_is_taken_for_a_parent_that_was_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = chain(folder.path());
    let whole = cut_base(&forged, folder.path());
    let _untouched = Untouched::watch(forged.files.iter().chain([&whole]));
    let opened = open(&forged.youngest, &ChainOptions::default()).expect("a chain");
    assert_eq!(opened.links()[2].path, whole);
    assert_eq!(read(&opened), (true, 0));
    let [shared] = told(&opened, "identity-shared")[..] else { panic!("{:?}", opened.findings()) };
    assert!(shared.text.contains("base.vhdx") && shared.text.contains("ends before its blocks do"), "{}", shared.text);
    assert!(!has_finding(&opened, "block-past-end"));
    // What the user gives is taken, and the longer one named.
    let given = ChainOptions { parents: vec![forged.files[0].clone()], ..ChainOptions::default() };
    let opened = open(&forged.youngest, &given).expect("a chain");
    assert_eq!((&opened.links()[2].path, read(&opened).1), (&forged.files[0], 2 * MIB));
    let [shared] = told(&opened, "identity-shared")[..] else { panic!("{:?}", opened.findings()) };
    let advice = shared.advice.as_ref().expect("advice");
    assert!(advice.contains(&format!("--parent {} takes", quoted(&whole))), "{advice}");
    assert!(!shared.text.contains("different times"), "{}", shared.text);
}

#[test]
fn no_copy_of_another_time_is_taken_for_a_parent_that_was_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = chain(folder.path());
    let whole = cut_base(&forged, folder.path());
    let other = Image { file_write_guid: Rng::new(9).guid(), ..forged.images[0].clone() };
    other.write_to(&whole).expect("an image is written");
    let opened = open(&forged.youngest, &ChainOptions::default()).expect("a chain");
    assert_eq!((&opened.links()[2].path, read(&opened).1), (&forged.files[0], 2 * MIB));
    let [shared] = told(&opened, "identity-shared")[..] else { panic!("{:?}", opened.findings()) };
    assert!(shared.text.contains("different times"), "{}", shared.text);
}

#[test]
fn of_two_copies_that_were_cut_the_one_in_its_place_is_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let forged = chain(folder.path());
    let whole = cut_base(&forged, folder.path());
    let size = fs::metadata(&whole).expect("its size").len();
    let file = fs::OpenOptions::new().write(true).open(&whole).expect("the copy opens");
    file.set_len(size - MIB).expect("the copy is cut");
    let opened = open(&forged.youngest, &ChainOptions::default()).expect("a chain");
    assert_eq!((&opened.links()[2].path, read(&opened).1), (&forged.files[0], 2 * MIB));
    let [shared] = told(&opened, "identity-shared")[..] else { panic!("{:?}", opened.findings()) };
    assert!(shared.advice.as_ref().is_some_and(|advice| advice.contains("base - Copy.vhdx")), "{shared:?}");
}
