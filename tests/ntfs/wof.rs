//! Files compressed by WOF (CompactOS) are read as what they stand for.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::sync::Arc;

use fixtures::random::Rng;
use mount_api::{ErrorKind, FaultKind, Faults, Kind, NodeId, RangeKind, Tree};
use vhdx_mount::fs::ntfs::Ntfs;

use crate::tools::Volume;
use crate::walk::{content, find};
use crate::wof_files::{ALGORITHMS, can_make, code, pack, put, random, reparse_point, text, unpack};

/// Files of many lengths and kinds.
fn contents(rng: &mut Rng) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for length in [0, 1, 4095, 4096, 4097, 8193, 16384, 32767, 32768, 32769, 65536, 1_000_003] {
        all.insert(format!("text {length}"), text(rng, length));
        all.insert(format!("code {length}"), code(rng, length));
        all.insert(format!("random {length}"), random(rng, length));
        all.insert(format!("zeros {length}"), vec![0; length]);
    }
    all.insert("calls".into(), vec![0xe8; 70_000]);
    let mixed = [text(rng, 50_000), random(rng, 60_000), code(rng, 40_000), vec![9; 40_000]].concat();
    all.insert("mixed".into(), mixed);
    // Programs of this machine: true x86 code.
    for program in ["/bin/bash", "/bin/ls"] {
        all.insert(program.replace('/', " "), fs::read(program).unwrap());
    }
    all.insert("long".into(), text(rng, 24_000_000));
    all
}

fn check(test: &str, algorithm: usize) {
    if !can_make(test) {
        return;
    }
    let volume = Volume::new(160, &[]);
    let mut rng = Rng::new(7);
    let put_in = contents(&mut rng);
    let packed: BTreeMap<_, _> = put_in.iter().map(|(name, content)| (name, pack(algorithm, content))).collect();
    volume.mounted("streams_interface=windows", |root| {
        for (name, content) in &put_in {
            put(&root.join(name), content.len(), &packed[name], &reparse_point(2, algorithm as u32));
        }
    });
    let ntfs = volume.open();
    for (name, expected) in &put_in {
        let node = find(&ntfs, name);
        let attr = ntfs.attr(node).unwrap();
        assert_eq!((attr.kind, attr.size), (Kind::File, expected.len() as u64), "{name}");
        assert!(content(&ntfs, node) == *expected, "{name}");
    }
    assert_eq!(ntfs.findings(), []);
    let long = ntfs.attr(find(&ntfs, "long")).unwrap();
    assert!(long.allocated > 4096 && long.allocated < long.size * 2 / 3, "{long:?}");

    // Any place, any length, by many threads at once.
    let ntfs = Arc::new(ntfs);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (ntfs, put_in) = (Arc::clone(&ntfs), &put_in);
            scope.spawn(move || reads_anywhere(&ntfs, put_in, thread));
        }
    });
}

fn reads_anywhere(ntfs: &Ntfs, put: &BTreeMap<String, Vec<u8>>, seed: u64) {
    let mut rng = Rng::new(seed);
    for name in ["mixed", "text 1000003", "long", "code 32769"] {
        let (node, expected) = (find(ntfs, name), &put[name]);
        for _ in 0..60 {
            let at = rng.below(expected.len() as u64) as usize;
            let length = if rng.chance(30) { rng.below(700_000) } else { rng.below(9000) };
            let mut buf = vec![0xa5; length as usize];
            let mut faults = Faults::new();
            let read = ntfs.read_at(node, at as u64, &mut buf, &mut faults).unwrap();
            assert!(faults.is_empty() && read == buf.len().min(expected.len() - at), "{name}: {faults:?}");
            assert!(buf[..read] == expected[at..at + read], "{name}: {length} bytes at {at}, seed {seed}");
        }
    }
}

#[test]
fn files_of_xpress_4k() {
    check("files_of_xpress_4k", 0);
}

#[test]
fn files_of_lzx() {
    check("files_of_lzx", 1);
}

#[test]
fn files_of_xpress_8k() {
    check("files_of_xpress_8k", 2);
}

#[test]
fn files_of_xpress_16k() {
    check("files_of_xpress_16k", 3);
}

/// Reads a whole file by parts; its lost ranges.
fn lost(ntfs: &Ntfs, node: NodeId, expected: &[u8]) -> Vec<std::ops::Range<u64>> {
    let mut buf = vec![0; expected.len()];
    let mut faults = Faults::new();
    ntfs.read_at(node, 0, &mut buf, &mut faults).unwrap();
    for fault in &faults {
        assert_eq!((fault.kind, fault.code), (FaultKind::Lost, "ntfs-compression-bad"));
    }
    faults.iter().map(|fault| fault.range.clone()).collect()
}

/// Chunks with some bytes changed: nothing is served that wimlib would not have decoded the same way.
#[test]
fn changed_chunks_are_lost_or_as_wimlib_reads_them() {
    if !can_make("changed_chunks_are_lost_or_as_wimlib_reads_them") {
        return;
    }
    for (algorithm, (name, chunk_size)) in ALGORITHMS.into_iter().enumerate() {
        let mut rng = Rng::new(algorithm as u64);
        let chunks = 8_000_000 / chunk_size;
        let size = chunks * chunk_size;
        let original = [text(&mut rng, size / 2), code(&mut rng, size / 2)].concat();
        let mut packed = pack(algorithm, &original);
        let table = 4 * (chunks - 1);
        let mut starts: Vec<_> =
            packed[..table].chunks(4).map(|at| u32::from_le_bytes(at.try_into().unwrap())).collect();
        starts.insert(0, 0);
        starts.push((packed.len() - table) as u32);
        for place in starts.windows(2) {
            let chunk = &mut packed[table + place[0] as usize..table + place[1] as usize];
            for _ in 0..rng.below(3) {
                // The first bytes are the codes; the rest is found by them.
                let reach = if rng.chance(50) { chunk.len().min(300) } else { chunk.len() };
                chunk[rng.below(reach as u64) as usize] = rng.word() as u8;
            }
        }
        let volume = Volume::new(40, &[]);
        volume.mounted("streams_interface=windows", |root| {
            put(&root.join("changed"), size, &packed, &reparse_point(2, algorithm as u32));
        });
        let ntfs = volume.open();
        let node = find(&ntfs, "changed");
        let (mut served, mut refused_alone) = (0, 0);
        for (number, theirs) in unpack(algorithm, size, &packed).into_iter().enumerate() {
            let mut buf = vec![0; chunk_size];
            let mut faults = Faults::new();
            let at = (number * chunk_size) as u64;
            ntfs.read_at(node, at, &mut buf, &mut faults).unwrap();
            if faults.is_empty() {
                assert!(theirs.is_some_and(|theirs| theirs == buf), "{name}: chunk {number}");
                served += 1;
            } else {
                let ranges: Vec<_> = faults.iter().map(|fault| fault.range.clone()).collect();
                assert_eq!(ranges, [at..at + chunk_size as u64], "{name}: chunk {number}");
                assert!(buf.iter().all(|byte| *byte == 0), "{name}: chunk {number}");
                refused_alone += usize::from(theirs.is_some());
            }
        }
        println!("{name}: {chunks} chunks, {served} served, {refused_alone} refused by us alone");
        assert!(served > chunks / 4 && served < chunks, "{name}: {served} of {chunks} are served");
        // wimlib goes on with zeros where a chunk ends too early.
        assert!(refused_alone < chunks / 10, "{name}: {refused_alone} of {chunks} are refused by us alone");
    }
}

#[test]
fn what_is_not_known_is_refused_by_name() {
    if !can_make("what_is_not_known_is_refused_by_name") {
        return;
    }
    let volume = Volume::new(8, &[]);
    let content = text(&mut Rng::new(3), 50_000);
    let packed = pack(0, &content);
    volume.mounted("streams_interface=windows", |root| {
        put(&root.join("wim"), content.len(), &packed, &reparse_point(1, 0));
        put(&root.join("provider"), content.len(), &packed, &reparse_point(9, 0));
        put(&root.join("algorithm"), content.len(), &packed, &reparse_point(2, 7));
        put(&root.join("short"), content.len(), &packed[..30], &reparse_point(2, 0));
        let bare = root.join("bare");
        fs::File::create(&bare).unwrap().set_len(50_000).unwrap();
        let flags = rustix::fs::XattrFlags::CREATE;
        rustix::fs::setxattr(&bare, "system.ntfs_reparse_data", &reparse_point(2, 0), flags).unwrap();
    });
    let ntfs = volume.open();
    for (name, kind, said) in [
        ("wim", ErrorKind::Unsupported, "WIM"),
        ("provider", ErrorKind::Unsupported, "provider 9"),
        ("algorithm", ErrorKind::Unsupported, "algorithm 7"),
        ("bare", ErrorKind::Corrupt, "WofCompressedData is not there"),
    ] {
        let error = ntfs.read_at(find(&ntfs, name), 0, &mut [0; 100], &mut Faults::new()).unwrap_err();
        assert_eq!(error.kind(), kind, "{name}");
        assert!(error.message().contains(said), "{name}: {error}");
    }
    assert_eq!(lost(&ntfs, find(&ntfs, "short"), &content), [0..50_000]);
}

/// Files around 4 GiB, where the entries of the chunk table become longer: the same chunk over and over, but for one.
#[test]
fn files_of_4_gib_have_longer_tables() {
    if !can_make("files_of_4_gib_have_longer_tables") {
        return;
    }
    const CHUNK: usize = 32 << 10;
    let mut rng = Rng::new(12);
    let (all, other) = (vec![b'-'; CHUNK], text(&mut rng, CHUNK));
    let packed_all = pack(1, &all);
    let packed_other = pack(1, &other);
    let volume = Volume::new(64, &[]);
    let limit = 1usize << 32;
    let files = [("below", limit - 1, 4), ("at", limit, 8), ("above", limit + 5 * CHUNK, 8)];
    volume.mounted("streams_interface=windows", |root| {
        for (name, size, entry) in files {
            let chunks = size.div_ceil(CHUNK);
            let mut table = Vec::new();
            let mut body = Vec::new();
            for chunk in 0..chunks {
                body.extend(if chunk == chunks - 2 { &packed_other } else { &packed_all });
                if chunk < chunks - 1 {
                    table.extend(&body.len().to_le_bytes()[..entry]);
                }
            }
            put(&root.join(name), size, &[table, body].concat(), &reparse_point(2, 1));
        }
    });
    let ntfs = volume.open();
    for (name, size, _) in files {
        let node = find(&ntfs, name);
        let last = (size - 1) / CHUNK * CHUNK;
        for (chunk, expected) in [(0, &all), (1 << 31, &all), (last - 2 * CHUNK, &all), (last - CHUNK, &other)] {
            let mut buf = vec![0; CHUNK];
            let mut faults = Faults::new();
            ntfs.read_at(node, chunk as u64, &mut buf, &mut faults).unwrap();
            assert!(faults.is_empty() && buf == *expected, "{name}: the chunk at {chunk}: {faults:?}");
        }
        let mut told = Vec::new();
        ntfs.ranges(node, 5..u64::MAX, &mut |range| {
            told.push((range.range, range.kind));
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(told, [(5..size as u64, RangeKind::Data { disk_offset: None })]);
    }
}

/// A volume with one compressed file of this size, and where its packed bytes begin.
fn image_with(packed: &[u8], size: usize) -> (Vec<u8>, usize) {
    let volume = Volume::new(8, &[]);
    volume.mounted("streams_interface=windows", |root| put(&root.join("file"), size, packed, &reparse_point(2, 0)));
    let image = fs::read(volume.image()).unwrap();
    let here = image.windows(64).position(|bytes| bytes == &packed[..64]).unwrap();
    (image, here)
}

#[test]
fn damage_costs_the_chunks_that_it_touches() {
    if !can_make("damage_costs_the_chunks_that_it_touches") {
        return;
    }
    let mut rng = Rng::new(11);
    // Three chunks of text, one that stands as it is, two more of text.
    let parts = [text(&mut rng, 3 * 4096), random(&mut rng, 4096), text(&mut rng, 5000)];
    let expected = parts.concat();
    let packed = pack(0, &expected);
    let (image, here) = image_with(&packed, expected.len());
    let start = |chunk: usize| match chunk {
        0 => 20,
        6 => packed.len(),
        _ => 20 + u32::from_le_bytes(packed[chunk * 4 - 4..chunk * 4].try_into().unwrap()) as usize,
    };
    let forge = crate::forge::Forge { bytes: image };
    let chunk = |number: u64| number * 4096..(number * 4096 + 4096).min(expected.len() as u64);
    let both = |first: u64| chunk(first).start..chunk(first + 1).end;
    assert_eq!(start(4) - start(3), 4096);

    let cases = [
        // Bytes of the stream, what they cost.
        (start(1) + 5..start(1) + 6, chunk(1)),
        (start(2) - 1..start(2) + 1, both(1)),
        // A chunk that stands as it is: the bytes alone.
        (start(3) + 100..start(3) + 110, 3 * 4096 + 100..3 * 4096 + 110),
        (packed.len() - 1..packed.len(), chunk(5)),
        // Entries of the chunk table: of chunk 1, and of chunk 5.
        (0..1, both(0)),
        (19..20, both(4)),
    ];
    for (bytes, cost) in cases {
        for kind in [FaultKind::Lost, FaultKind::Doubtful] {
            let ntfs = forge.open_with(&[(here + bytes.start..here + bytes.end, kind)]);
            let node = find(&ntfs, "file");
            let mut buf = vec![0; expected.len()];
            let mut faults = Faults::new();
            assert_eq!(ntfs.read_at(node, 0, &mut buf, &mut faults).unwrap(), expected.len());
            let met: Vec<_> = faults.iter().map(|f| (f.range.clone(), f.kind, f.code, f.link)).collect();
            assert_eq!(met, [(cost.clone(), kind, "a-test", Some(3))], "{bytes:?}");
            let mut right = expected.clone();
            if kind == FaultKind::Lost {
                right[cost.start as usize..cost.end as usize].fill(0);
            }
            assert!(buf == right, "{bytes:?}");
            assert_eq!(ntfs.findings(), []);
        }
    }

    // Bytes that are there and wrong.
    let mut wrong = forge.clone();
    let first = here + start(1);
    wrong.bytes[first..first + 256].fill(0xff);
    let ntfs = wrong.open();
    assert_eq!(lost(&ntfs, find(&ntfs, "file"), &expected), [chunk(1)]);
    assert_eq!(ntfs.findings().len(), 1);
    assert_eq!(ntfs.findings()[0].code.as_str(), "ntfs-compression-bad");

    // An entry that leads nowhere costs the chunk before it and its own.
    let mut wrong = forge;
    wrong.bytes[here + 7] = 0x7f;
    let ntfs = wrong.open();
    assert_eq!(lost(&ntfs, find(&ntfs, "file"), &expected), [both(1)]);
}

/// An entry of the chunk table that is wrong costs the two chunks that it stands between, whatever it says.
#[test]
fn wrong_chunk_tables_cost_the_chunks_beside_the_wrong_entries() {
    if !can_make("wrong_chunk_tables_cost_the_chunks_beside_the_wrong_entries") {
        return;
    }
    const CHUNK: usize = 4096;
    let mut rng = Rng::new(13);
    let expected = [text(&mut rng, 200_000), random(&mut rng, 30_000), text(&mut rng, 100_000)].concat();
    let chunks = expected.len().div_ceil(CHUNK);
    let packed = pack(0, &expected);
    let (image, here) = image_with(&packed, expected.len());
    for round in 0..150 {
        let mut forge = crate::forge::Forge { bytes: image.clone() };
        let mut beside = vec![false; chunks];
        for _ in 0..=rng.below(4) {
            let entry = rng.below(chunks as u64 - 1) as usize;
            let place = here + entry * 4;
            let value = match rng.below(3) {
                0 => rng.word() as u32,
                1 => rng.below(packed.len() as u64 * 2) as u32,
                _ => u32::from_le_bytes(image[place..place + 4].try_into().unwrap()) ^ 1 << rng.below(32),
            };
            forge.bytes[place..place + 4].copy_from_slice(&value.to_le_bytes());
            beside[entry] = true;
            beside[entry + 1] = true;
        }
        let ntfs = forge.open();
        let mut buf = vec![0; expected.len()];
        let mut faults = Faults::new();
        let read = ntfs.read_at(find(&ntfs, "file"), 0, &mut buf, &mut faults).unwrap();
        assert_eq!(read, expected.len(), "round {round}");
        let parts = buf.chunks(CHUNK).zip(expected.chunks(CHUNK)).zip(&beside);
        for (number, ((found, right), _)) in parts.enumerate().filter(|(_, (_, beside))| !**beside) {
            assert!(found == right, "round {round}: chunk {number}");
        }
        for fault in &faults {
            let touched = fault.range.start as usize / CHUNK..(fault.range.end as usize).div_ceil(CHUNK);
            assert!(touched.into_iter().all(|chunk| beside[chunk]), "round {round}: {fault:?}");
        }
    }
}

/// What no table can hold is lost, and told without being read.
#[test]
fn a_size_without_chunks_is_lost_at_once() {
    if !can_make("a_size_without_chunks_is_lost_at_once") {
        return;
    }
    let expected = text(&mut Rng::new(14), 50_000);
    // The table of a sparse file of a TiB alone is longer than all of this.
    let (image, _) = image_with(&pack(0, &expected), 1 << 40);
    let ntfs = crate::forge::Forge { bytes: image }.open();
    let node = find(&ntfs, "file");
    let mut told = Vec::new();
    ntfs.ranges(node, 0..u64::MAX, &mut |stretch| {
        told.push((stretch.range, stretch.kind));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(told, [(0..1 << 40, RangeKind::Lost("ntfs-compression-bad"))]);
    let mut faults = Faults::new();
    assert_eq!(ntfs.read_at(node, 1 << 30, &mut [0xa5; 100], &mut faults), Ok(100));
    assert!(faults.iter().map(|fault| fault.range.clone()).eq([1 << 30..(1 << 30) + 100]));
    let findings = ntfs.findings();
    assert!(findings.iter().any(|finding| finding.text.contains("all of it is lost")), "{findings:?}");
}
