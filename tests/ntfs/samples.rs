//! Volumes made by Windows, read by us and by ntfs-3g.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use mount_api::{Kind, NodeId, Tree, Trust};
use vhdx_mount::fs::ntfs::{self, Ntfs, Options};
use vhdx_mount::image::{ReadAt, Slice};
use vhdx_mount::{chain, image, volume};

use crate::support::samples;
use crate::tools::{HostFile, have, mounted, run};
use crate::walk;

fn unpack(samples: &Path, name: &str, to: &Path) -> File {
    let mut source = MultiGzDecoder::new(File::open(samples.join(format!("{name}.gz"))).unwrap());
    let mut target = File::create(to.join(name)).unwrap();
    let mut buf = vec![0; 1 << 20];
    let mut at = 0;
    loop {
        let read = source.read(&mut buf).unwrap();
        if read == 0 {
            break;
        }
        if buf[..read].iter().any(|byte| *byte != 0) {
            target.write_all_at(&buf[..read], at).unwrap();
        }
        at += read as u64;
    }
    target.set_len(at).unwrap();
    target.flush().unwrap();
    File::open(to.join(name)).unwrap()
}

/// Writes the volume into a file of its own, so that ntfs-3g can mount it.
fn copy(volume: &dyn ReadAt, to: &Path) {
    let target = File::create(to).unwrap();
    let mut buf = vec![0; 1 << 20];
    for at in (0..volume.size()).step_by(buf.len()) {
        let length = buf.len().min((volume.size() - at) as usize);
        let mut faults = vhdx_mount::Faults::new();
        volume.read_at(&mut buf[..length], at, &mut faults).unwrap();
        assert!(faults.is_empty());
        if buf[..length].iter().any(|byte| *byte != 0) {
            target.write_all_at(&buf[..length], at).unwrap();
        }
    }
    target.set_len(volume.size()).unwrap();
}

fn compare(disk: &Arc<dyn ReadAt>, folder: &Path, name: &str) {
    let table = volume::find(disk, 512, &mut Vec::new());
    let partition = table.partitions.first().unwrap();
    let size = partition.disk.end - partition.disk.start;
    let volume: Arc<dyn ReadAt> = Arc::new(Slice::new(Arc::clone(disk), partition.disk.start, size));
    let ours = ntfs::open(&volume, Options::default()).unwrap();
    assert_eq!(ours.findings(), [], "{name}");
    let image = folder.join(format!("{name}.volume"));
    copy(&volume, &image);
    let point = folder.join("mounted");
    fs::create_dir_all(&point).unwrap();
    let table = walk::table(&ours);
    mounted(&image, &point, "ro,permissions,streams_interface=xattr", |root| {
        let theirs = walk::host(root);
        assert!(!theirs.is_empty());
        assert_eq!(table, theirs, "{name}");
        for path in theirs.keys().filter(|path| !path.contains(':')) {
            let mut descriptor = vec![0; 1 << 16];
            let length = rustix::fs::lgetxattr(root.join(path), "system.ntfs_acl", &mut descriptor[..]).unwrap();
            let own = ours.security(walk::find(&ours, path)).unwrap();
            assert_eq!(own.as_deref(), Some(&descriptor[..length]), "{name}: {path}");
        }
    });
    run("rm", [image]);
    let with_metafiles = ntfs::open(&volume, Options { metafiles: true, ..Options::default() }).unwrap();
    assert!(look_at_all(&with_metafiles, NodeId::ROOT) > 16, "{name}");
    for ntfs in [ours, with_metafiles] {
        assert_eq!(ntfs.findings(), [], "{name}");
    }
}

/// Looks at everything in a folder, which is sound, and gives how much there is.
fn look_at_all(ntfs: &Ntfs, folder: NodeId) -> usize {
    let looked_at = walk::list(ntfs, folder).unwrap().into_iter().map(|entry| {
        let attr = ntfs.attr(entry.node).unwrap();
        assert_eq!(attr.trust, Trust::Proven, "{:?}", entry.name);
        let streams = walk::streams(ntfs, entry.node).len();
        1 + streams + if attr.kind == Kind::Directory { look_at_all(ntfs, entry.node) } else { 0 }
    });
    looked_at.sum()
}

#[test]
fn volumes_made_by_windows_read_as_ntfs_3g_reads_them() {
    let test = "volumes_made_by_windows_read_as_ntfs_3g_reads_them";
    let Some(samples) = samples(test) else { return };
    if !have(test, &["ntfs-3g"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn ReadAt> = Arc::new(HostFile(unpack(&samples, "ntfs-2m.raw", folder.path())));
    compare(&disk, folder.path(), "ntfs-2m.raw");
    for name in ["ntfs-parent.vhdx", "ntfs-differential.vhdx", "ntfs-dynamic.vhdx", "ntfs-fixed.vhdx"] {
        unpack(&samples, name, folder.path());
        let options = chain::ChainOptions::default();
        let chain = chain::open(&image::HostFolders, &folder.path().join(name), &options).unwrap();
        let disk: Arc<dyn ReadAt> = chain.disk().clone();
        compare(&disk, folder.path(), name);
    }
}
