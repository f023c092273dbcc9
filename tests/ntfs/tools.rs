//! Volumes made by mkntfs and filled through ntfs-3g, in folders of their own that go when the test ends.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::support::skip;
use tempfile::TempDir;
use vhdx_mount::fs::ntfs::{self, Ntfs, Options};
use vhdx_mount::image::ReadAt;
use vhdx_mount::{Faults, Result};

/// Whether all these programs are there, and, for those that mount, the right to. If not, says so in one line; a run that
/// forbids skips fails.
pub(crate) fn have(test: &str, programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| {
        let found = Command::new("sh").args(["-c", "command -v \"$0\"", program]).stdout(Stdio::null()).status();
        !found.is_ok_and(|status| status.success())
    });
    let why = match missing {
        Some(program) => format!("{program} is not installed"),
        None if programs.contains(&"ntfs-3g") && !can_mount() => "only root can mount here".into(),
        None => return true,
    };
    skip(test, &why);
    false
}

fn can_mount() -> bool {
    let id = Command::new("id").arg("-u").output().map(|output| output.stdout).unwrap_or_default();
    id.starts_with(b"0") && File::options().read(true).write(true).open("/dev/fuse").is_ok()
}

/// Runs a program for at most two minutes, and fails the test when it fails.
pub(crate) fn run(program: &str, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Vec<u8> {
    let output = Command::new("timeout").args(["-k", "5", "120", program]).args(args).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// An NTFS volume in a file.
pub(crate) struct Volume {
    folder: TempDir,
}

impl Volume {
    /// A new, empty volume of so many MiB.
    pub(crate) fn new(mebibytes: u64, mkntfs: &[&str]) -> Self {
        let volume = Volume { folder: tempfile::tempdir().unwrap() };
        File::create(volume.image()).unwrap().set_len(mebibytes << 20).unwrap();
        let image = volume.image();
        run("mkntfs", [&["-F", "-q", "-Q", "-L", "volume"], mkntfs, &[image.to_str().unwrap()]].concat());
        volume
    }

    /// The file that holds the volume.
    pub(crate) fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    /// Mounts the volume with ntfs-3g, calls `with` with the mount point, and unmounts it.
    pub(crate) fn mounted<T>(&self, options: &str, with: impl FnOnce(&Path) -> T) -> T {
        let point = self.folder.path().join("mounted");
        fs::create_dir_all(&point).unwrap();
        mounted(&self.image(), &point, options, with)
    }

    /// Opens the volume with the reader under test.
    pub(crate) fn open(&self) -> Ntfs {
        self.open_with(Options::default())
    }

    pub(crate) fn open_with(&self, options: Options) -> Ntfs {
        let volume: Arc<dyn ReadAt> = Arc::new(HostFile(File::open(self.image()).unwrap()));
        ntfs::open(&volume, options).unwrap()
    }
}

/// Mounts an image with ntfs-3g, calls `with` with the mount point, and unmounts it.
pub(crate) fn mounted<T>(image: &Path, point: &Path, options: &str, with: impl FnOnce(&Path) -> T) -> T {
    let options = format!("{options},efs_raw,no_def_opts,silent");
    run("ntfs-3g", [OsStr::new("-o"), OsStr::new(&options), image.as_os_str(), point.as_os_str()]);
    let mounted = Mounted(point.to_owned());
    with(&mounted.0)
}

struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        // ntfs-3g writes all back before umount returns, for it holds the image till then.
        // Others on the machine may look at the mount for a moment and so keep it busy.
        let unmounted = (0..50).any(|_| {
            let done = Command::new("timeout").args(["-k", "5", "120", "umount"]).arg(&self.0).status();
            let done = done.is_ok_and(|status| status.success());
            if !done {
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            done
        });
        if !unmounted {
            let _ = Command::new("umount").arg("-l").arg(&self.0).status();
            assert!(std::thread::panicking(), "{} cannot be unmounted", self.0.display());
        }
    }
}

/// A file of the host as it is.
pub(crate) struct HostFile(pub(crate) File);

impl ReadAt for HostFile {
    fn size(&self) -> u64 {
        self.0.metadata().unwrap().len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<()> {
        let size = self.size();
        let there = usize::try_from(size.saturating_sub(offset)).unwrap().min(buf.len());
        self.0.read_exact_at(&mut buf[..there], offset).unwrap();
        buf[there..].fill(0);
        faults.lost(offset + there as u64..offset + buf.len() as u64, "read-past-end");
        Ok(())
    }
}
