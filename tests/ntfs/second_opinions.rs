//! The same volumes read by others: The Sleuth Kit and the crate `ntfs`, where they are right.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use fixtures::random::Rng;
use mount_api::{Kind, Tree};
use ntfs::structured_values::{NtfsFileName, NtfsFileNamespace};
use ntfs::{Ntfs, NtfsFile, NtfsReadSeek};
use sha2::{Digest, Sha256};

use crate::support::hex;
use crate::tools::{Volume, have, run};
use crate::walk::{self, find};

/// Folders within folders, and files of all sizes, none of which the crate `ntfs` is known to read wrong.
fn fill(root: &Path) {
    let mut rng = Rng::new(8);
    for folder in 0..12 {
        let folder = root.join(format!("folder {folder}/within"));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..40 {
            let length = *rng.pick(&[0, 1, 600, 800, 5000, 70_000]);
            let mut content = vec![0; length];
            rng.fill(&mut content);
            fs::write(folder.join(format!("file {file} é")), content).unwrap();
        }
    }
    for index in 0..1500 {
        fs::write(root.join(format!("number {index}")), index.to_string()).unwrap();
    }
}

#[test]
fn the_sleuth_kit_reads_the_same() {
    if !have("the_sleuth_kit_reads_the_same", &["mkntfs", "ntfs-3g", "fls", "icat"]) {
        return;
    }
    let volume = Volume::new(32, &[]);
    volume.mounted("streams_interface=xattr", |root| {
        fill(root);
        let flags = rustix::fs::XattrFlags::CREATE;
        rustix::fs::setxattr(root.join("number 7"), "user.a stream", &vec![7; 9000], flags).unwrap();
    });
    let ours = volume.open();
    let image = volume.image();
    let text = run("fls", ["-r", "-u", "-p", "-F", image.to_str().unwrap()]);
    let text = String::from_utf8(text).unwrap();
    let mut met = 0;
    for line in text.lines().filter(|line| !line.contains("\t$")) {
        let (head, path) = line.split_once(":\t").unwrap();
        let address = head.split(' ').next_back().unwrap();
        let (record, _) = address.split_once('-').unwrap();
        let (file, stream) = path.split_once(':').map_or((path, None), |(file, stream)| (file, Some(stream)));
        let file = find(&ours, file);
        let node = stream.map_or(file, |name| ours.stream(file, &name.into(), mount_api::Case::Sensitive).unwrap());
        assert_eq!(ours.attr(node).unwrap().record, record.parse::<u64>().unwrap(), "{line}");
        met += 1;
        // One process a file: some of them will do.
        if met % 20 == 0 || stream.is_some() {
            assert!(walk::content(&ours, node) == run("icat", [image.to_str().unwrap(), address]), "{line}");
        }
    }
    let files = walk::table(&ours).values().filter(|entry| entry.kind == Kind::File).count();
    assert_eq!(met, files);
}

/// The files below a folder as the crate `ntfs` sees them.
fn theirs<T: Read + Seek>(
    ntfs: &Ntfs,
    from: &mut T,
    folder: &NtfsFile<'_>,
    path: &str,
    table: &mut BTreeMap<String, (u64, String)>,
) {
    let index = folder.directory_index(from).unwrap();
    let mut entries = index.entries();
    while let Some(entry) = entries.next(from) {
        let entry = entry.unwrap();
        let name: NtfsFileName = entry.key().unwrap().unwrap();
        let text = name.name().to_string_lossy();
        if name.namespace() == NtfsFileNamespace::Dos || text.starts_with('$') || text == "." {
            continue;
        }
        let file = entry.file_reference().to_file(ntfs, from).unwrap();
        let path = format!("{path}{text}");
        if file.is_directory() {
            theirs(ntfs, from, &file, &format!("{path}/"), table);
            continue;
        }
        let data = file.data(from, "").unwrap().unwrap();
        let mut value = data.to_attribute().unwrap().value(from).unwrap();
        let mut content = vec![0; usize::try_from(value.len()).unwrap()];
        value.read_exact(from, &mut content).unwrap();
        table.insert(path, (content.len() as u64, hex(Sha256::digest(content))));
    }
}

#[test]
fn the_crate_ntfs_reads_the_same() {
    if !have("the_crate_ntfs_reads_the_same", &["mkntfs", "ntfs-3g"]) {
        return;
    }
    for arguments in [&["-c", "4096"][..], &["-c", "512"], &["-s", "4096"]] {
        let volume = Volume::new(32, arguments);
        volume.mounted("", fill);
        let mut from = BufReader::new(File::open(volume.image()).unwrap());
        let mut other = Ntfs::new(&mut from).unwrap();
        other.read_upcase_table(&mut from).unwrap();
        let mut table = BTreeMap::new();
        let root = other.root_directory(&mut from).unwrap();
        theirs(&other, &mut from, &root, "", &mut table);
        let ours: BTreeMap<_, _> = walk::table(&volume.open())
            .into_iter()
            .filter(|(_, entry)| entry.kind == Kind::File)
            .map(|(path, entry)| (path, (entry.size, entry.hash)))
            .collect();
        assert_eq!(ours.len(), 12 * 40 + 1500);
        assert_eq!(ours, table, "{arguments:?}");
    }
}
