//! A small volume in memory, and how to damage it: by the published layout of NTFS, with nothing of the reader's own.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use fixtures::random::Rng;
use mount_api::{Case, Tree};
use vhdx_mount::fs::ntfs::{self, Ntfs, Options};
use vhdx_mount::image::ReadAt;
use vhdx_mount::{Fault, FaultKind, Faults, Result};

use crate::tools::{Volume, have};
use crate::walk::{content, find};

pub(crate) const ATTRIBUTE_LIST: u32 = 0x20;
pub(crate) const FILE_NAME: u32 = 0x30;
pub(crate) const DATA: u32 = 0x80;
pub(crate) const BITMAP: u32 = 0xb0;
pub(crate) const INDEX_ALLOCATION: u32 = 0xa0;
pub(crate) const INDEX_ROOT: u32 = 0x90;

/// The bytes of a volume of 1 KiB records, and clusters of 4 KiB or less.
#[derive(Clone)]
pub(crate) struct Forge {
    pub(crate) bytes: Vec<u8>,
}

/// What the volume holds: `plain 0` to `plain 19`, each of some clusters; `resident`; `packed`, which is compressed;
/// `sparse`; `streams`, with ten named ones; and the folder `many` of 400 small files.
pub(crate) type Contents = BTreeMap<String, Vec<u8>>;

/// The volume and its files, made once; `None` where that cannot be done here.
pub(crate) fn sample(test: &str) -> Option<(Forge, &'static Contents)> {
    static SAMPLE: OnceLock<(Forge, Contents)> = OnceLock::new();
    if !have(test, &["mkntfs", "ntfs-3g"]) {
        return None;
    }
    let (forge, contents) = SAMPLE.get_or_init(make);
    Some((forge.clone(), contents))
}

fn make() -> (Forge, Contents) {
    let volume = Volume::new(6, &["-c", "4096"]);
    let mut rng = Rng::new(6);
    let mut contents = Contents::new();
    let mut put = |path: &str, length: usize| {
        let mut content = vec![0; length];
        rng.fill(&mut content);
        contents.insert(path.to_owned(), content.clone());
        content
    };
    volume.mounted("compression,streams_interface=xattr", |root| {
        for index in 0..20 {
            let name = format!("plain {index}");
            fs::write(root.join(&name), put(&name, 9000 + index * 1000)).unwrap();
        }
        fs::write(root.join("resident"), put("resident", 300)).unwrap();
        fs::write(root.join("streams"), put("streams", 5000)).unwrap();
        for index in 0..10 {
            let value = put(&format!("streams:stream {index}"), 500 * index);
            let name = format!("user.stream {index}");
            rustix::fs::setxattr(root.join("streams"), name, &value, rustix::fs::XattrFlags::CREATE).unwrap();
        }
        fs::create_dir(root.join("many")).unwrap();
        for index in 0..400 {
            let name = format!("many/entry {index:03}");
            fs::write(root.join(&name), put(&name, index % 50)).unwrap();
        }
        let sparse = fs::File::create(root.join("sparse")).unwrap();
        sparse.set_len(1 << 20).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&sparse, &[9; 5000], 500_000).unwrap();
        fs::create_dir(root.join("compressed")).unwrap();
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(root.join("compressed"), "system.ntfs_attrib_be", &[0, 0, 8, 0], flags).unwrap();
        let packed = b"to be compressed, again and again; ".repeat(10_000);
        fs::write(root.join("compressed/packed"), &packed).unwrap();
    });
    let sparse = [vec![0; 500_000], vec![9; 5000], vec![0; (1 << 20) - 505_000]].concat();
    contents.insert("sparse".into(), sparse);
    contents.insert("compressed/packed".into(), b"to be compressed, again and again; ".repeat(10_000));
    (Forge { bytes: fs::read(volume.image()).unwrap() }, contents)
}

/// A volume with a folder `deep` of 2000 long names, whose index has several levels; `None` where that cannot be made here.
pub(crate) fn deep(test: &str) -> Option<Forge> {
    if !have(test, &["mkntfs", "ntfs-3g"]) {
        return None;
    }
    let volume = Volume::new(16, &["-c", "4096"]);
    volume.mounted("", |root| {
        fs::create_dir(root.join("deep")).unwrap();
        for index in 0..2000 {
            fs::File::create(root.join(format!("deep/{}{}", index, "-".repeat(100)))).unwrap();
        }
    });
    Some(Forge { bytes: fs::read(volume.image()).unwrap() })
}

fn number(bytes: &[u8], at: usize, length: usize) -> usize {
    let mut wide = [0; 8];
    wide[..length].copy_from_slice(&bytes[at..at + length]);
    u64::from_le_bytes(wide) as usize
}

impl Forge {
    pub(crate) const RECORD: usize = 1024;

    /// Bytes of a cluster.
    pub(crate) fn cluster(&self) -> usize {
        number(&self.bytes, 0x0b, 2) * usize::from(self.bytes[0x0d])
    }

    /// Where a file record stands. The `$MFT` of a volume as small as this is in one piece.
    pub(crate) fn record(&self, record: usize) -> Range<usize> {
        let start = number(&self.bytes, 0x30, 8) * self.cluster() + record * Self::RECORD;
        start..start + Self::RECORD
    }

    /// The extension records of a file.
    pub(crate) fn extensions(&self, base: usize) -> Vec<usize> {
        let belongs = |record: &usize| {
            let bytes = &self.bytes[self.record(*record)];
            bytes.starts_with(b"FILE") && number(bytes, 0x20, 6) == base
        };
        (24..self.records()).filter(belongs).collect()
    }

    /// How many records there are at least, all in one piece.
    fn records(&self) -> usize {
        (1..).take_while(|record| self.bytes[self.record(*record)].starts_with(b"FILE")).last().unwrap_or(0) + 1
    }

    /// Where the copy of the first records stands.
    pub(crate) fn mirror(&self) -> usize {
        number(&self.bytes, 0x38, 8) * self.cluster()
    }

    /// Changes a structure with its update sequence taken out and put in again.
    pub(crate) fn edit<T>(&mut self, range: Range<usize>, edit: impl FnOnce(&mut [u8]) -> T) -> T {
        let bytes = &mut self.bytes[range];
        let sequence = number(bytes, 4, 2);
        for (index, end) in (512..=bytes.len()).step_by(512).enumerate() {
            let original = [bytes[sequence + 2 + index * 2], bytes[sequence + 3 + index * 2]];
            bytes[end - 2..end].copy_from_slice(&original);
        }
        let result = edit(bytes);
        for (index, end) in (512..=bytes.len()).step_by(512).enumerate() {
            let (original, usn) = ([bytes[end - 2], bytes[end - 1]], [bytes[sequence], bytes[sequence + 1]]);
            bytes[sequence + 2 + index * 2..sequence + 4 + index * 2].copy_from_slice(&original);
            bytes[end - 2..end].copy_from_slice(&usn);
        }
        result
    }

    /// Changes the first attribute of this type in a file record.
    pub(crate) fn edit_attribute<T>(&mut self, record: usize, kind: u32, edit: impl FnOnce(&mut [u8]) -> T) -> T {
        self.edit(self.record(record), |bytes| {
            let mut at = number(bytes, 0x14, 2);
            while number(bytes, at, 4) != kind as usize {
                at += number(bytes, at + 4, 4);
            }
            let end = at + number(bytes, at + 4, 4);
            edit(&mut bytes[at..end])
        })
    }

    /// Whether a file record has an attribute of this type.
    pub(crate) fn has_attribute(&self, record: usize, kind: u32) -> bool {
        self.clone().edit(self.record(record), |bytes| {
            let mut at = number(bytes, 0x14, 2);
            while number(bytes, at, 4) < kind as usize {
                at += number(bytes, at + 4, 4);
            }
            number(bytes, at, 4) == kind as usize
        })
    }

    /// Where in an attribute list the first entry of this type stands.
    pub(crate) fn list_entry(&self, list: Range<usize>, kind: u32) -> usize {
        let (list, mut at) = (&self.bytes[list], 0);
        while number(list, at, 4) != kind as usize {
            at += number(list, at + 4, 2);
        }
        at
    }

    /// The clusters of the first non-resident attribute of this type, if they are in one run.
    pub(crate) fn one_run(&mut self, record: usize, kind: u32) -> Range<usize> {
        let cluster = self.cluster();
        self.edit_attribute(record, kind, |attribute| {
            let runs = number(attribute, 0x20, 2);
            let (lengths, offsets) = (usize::from(attribute[runs] & 15), usize::from(attribute[runs] >> 4));
            let length = number(attribute, runs + 1, lengths);
            let lcn = number(attribute, runs + 1 + lengths, offsets);
            assert_eq!(attribute[runs + 1 + lengths + offsets], 0, "more than one run");
            lcn * cluster..(lcn + length) * cluster
        })
    }

    /// Where the clusters of the first non-resident attribute of this type begin.
    pub(crate) fn runs(&self, record: usize, kind: u32) -> Vec<usize> {
        let cluster = self.cluster();
        self.run_list(record, kind).into_iter().flatten().map(|lcn| lcn * cluster).collect()
    }

    /// The clusters of the first non-resident attribute of this type by number; `None` for those of a hole.
    pub(crate) fn run_list(&self, record: usize, kind: u32) -> Vec<Option<usize>> {
        self.clone().edit_attribute(record, kind, |attribute| {
            let (mut at, mut lcn, mut clusters) = (number(attribute, 0x20, 2), 0, Vec::new());
            while attribute[at] != 0 {
                let (lengths, offsets) = (usize::from(attribute[at] & 15), usize::from(attribute[at] >> 4));
                let length = number(attribute, at + 1, lengths);
                if offsets == 0 {
                    clusters.extend(std::iter::repeat_n(None, length));
                } else {
                    let unsigned = number(attribute, at + 1 + lengths, offsets) as i64;
                    let sign = 1 << (offsets * 8 - 1);
                    lcn += (unsigned ^ sign) - sign;
                    clusters.extend((lcn as usize..lcn as usize + length).map(Some));
                }
                at += 1 + lengths + offsets;
            }
            clusters
        })
    }

    pub(crate) fn open(&self) -> Ntfs {
        self.try_open().unwrap()
    }

    pub(crate) fn try_open(&self) -> Result<Ntfs> {
        let volume: Arc<dyn ReadAt> = Arc::new(self.bytes.clone());
        ntfs::open(&volume, Options::default())
    }

    /// Opens the volume so that what is doubtful is served.
    pub(crate) fn open_accepting(&self) -> Ntfs {
        let volume: Arc<dyn ReadAt> = Arc::new(self.bytes.clone());
        ntfs::open(&volume, Options { accept_doubtful: true, ..Options::default() }).unwrap()
    }

    /// Opens the volume as it stands on a disk of which some bytes are lost or doubtful.
    pub(crate) fn open_with(&self, faults: &[(Range<usize>, FaultKind)]) -> Ntfs {
        let faults = faults.iter().map(|(range, kind)| (range.start as u64..range.end as u64, *kind)).collect();
        let volume: Arc<dyn ReadAt> = Arc::new(Faulty { bytes: self.bytes.clone(), faults });
        ntfs::open(&volume, Options::default()).unwrap()
    }
}

/// A disk of which some bytes are lost or doubtful.
struct Faulty {
    bytes: Vec<u8>,
    faults: Vec<(Range<u64>, FaultKind)>,
}

impl ReadAt for Faulty {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        self.bytes.read_at(buf, offset, faults)?;
        for (range, kind) in &self.faults {
            let range = range.start.max(offset)..range.end.min(offset + buf.len() as u64);
            if !range.is_empty() {
                if *kind == FaultKind::Lost {
                    buf[(range.start - offset) as usize..(range.end - offset) as usize].fill(0);
                }
                faults.push(Fault { range, kind: *kind, code: "a-test", link: Some(3) });
            }
        }
        Ok(())
    }
}

/// Every file, but for those that `except` names, is what it was.
pub(crate) fn all_right(ntfs: &Ntfs, contents: &Contents, except: impl Fn(&str) -> bool) {
    for (path, expected) in contents.iter().filter(|(path, _)| !except(path)) {
        let (path, stream) = path.split_once(':').map_or((&path[..], None), |(path, stream)| (path, Some(stream)));
        let file = find(ntfs, path);
        let node = stream.map_or(file, |name| ntfs.stream(file, &name.into(), Case::Sensitive).unwrap());
        assert!(content(ntfs, node) == *expected, "{path}");
    }
}

/// The number of the file record of a path.
pub(crate) fn record(forge: &Forge, path: &str) -> usize {
    let ntfs = forge.open();
    ntfs.attr(find(&ntfs, path)).unwrap().record as usize
}
