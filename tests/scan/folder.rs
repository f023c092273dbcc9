//! A folder of forged images, and what `scan` says of it.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use fixtures::random::Rng;
use fixtures::vhdx::{Image, MIB};
use serde_json::Value;
use vhdx_mount::image::{Depth, HostFolders, ImageStore};

use crate::support::Untouched;
use crate::support::program::{PROGRAM, run};

/// A folder of images, unlike those of every other seed.
pub(crate) struct Folder {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) rng: Rng,
}

impl Folder {
    pub(crate) fn new(seed: u64) -> Self {
        Folder { folder: tempfile::tempdir().expect("a folder"), rng: Rng::new(seed) }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        path
    }

    pub(crate) fn write(&self, image: &Image, name: &str) -> PathBuf {
        let path = self.path(name);
        image.write_to(&path).expect("an image is written");
        path
    }

    pub(crate) fn base(&mut self, name: &str) -> Image {
        let mut image = Image::dynamic(8 * MIB);
        image.renew_guids(&mut self.rng);
        self.write(&image, name);
        image
    }

    /// A child that records its parent as `recorded` in its own folder.
    pub(crate) fn child(&mut self, parent: &Image, recorded: &str, name: &str) -> Image {
        let mut image = Image::child_of(parent, recorded);
        image.renew_guids(&mut self.rng);
        image.disk_id = parent.disk_id;
        self.write(&image, name);
        image
    }

    /// What `scan --json` says, whose exit code must be this one. No file may be touched.
    pub(crate) fn scan(&self, exit_code: i32) -> Value {
        let _untouched = Untouched::watch(files(self.folder.path()));
        let output = run(PROGRAM, &[&"scan", &"--json", &self.folder.path()]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(exit_code), "{stderr}");
        let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        self.compare_with_opening(&json);
        json
    }

    pub(crate) fn text(&self) -> String {
        let _untouched = Untouched::watch(files(self.folder.path()));
        let output = run(PROGRAM, &[&"scan", &self.folder.path()]);
        String::from_utf8(output.stdout).expect("text")
    }

    /// Whatever scan says of a chain, opening it says too: whether it is complete, and its links in order.
    pub(crate) fn compare_with_opening(&self, scan: &Value) {
        for chain in list(&scan["chains"]) {
            let mut args: Vec<String> = vec!["info".into(), "--json".into(), string(&chain["youngest"])];
            for parent in list(&chain["parents_to_name"]) {
                args.extend(["--parent".into(), string(parent)]);
            }
            let args: Vec<&dyn AsRef<OsStr>> = args.iter().map(|arg| arg as &dyn AsRef<OsStr>).collect();
            let output = run(PROGRAM, &args);
            // 3: it opens, and something in it is damaged.
            let opens = matches!(output.status.code(), Some(0 | 3));
            assert_eq!(chain["complete"], opens, "{chain:#}\n{output:?}");
            if opens {
                let info: Value = serde_json::from_slice(&output.stdout).expect("JSON");
                assert_eq!(paths(&info["links"]), paths(&chain["links"]));
            }
        }
    }

    /// The path of a file in this folder, as scan names it.
    pub(crate) fn name(&self, path: &Value) -> String {
        let path = PathBuf::from(string(path));
        path.strip_prefix(self.folder.path()).expect("a path in the folder").display().to_string()
    }

    /// Names of the links of each chain, the youngest first.
    pub(crate) fn chains(&self, scan: &Value) -> Vec<Vec<String>> {
        let links = |chain: &Value| list(&chain["links"]).iter().map(|link| self.name(&link["path"])).collect();
        list(&scan["chains"]).iter().map(links).collect()
    }

    pub(crate) fn image<'a>(&self, scan: &'a Value, name: &str) -> &'a Value {
        list(&scan["images"]).iter().find(|image| self.name(&image["path"]) == name).expect("an image of that name")
    }

    pub(crate) fn role(&self, scan: &Value, name: &str) -> String {
        string(&self.image(scan, name)["role"])
    }
}

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    HostFolders.list(folder, Depth::Below, usize::MAX).expect("the files").files
}

pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list")
}

pub(crate) fn string(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

pub(crate) fn paths(links: &Value) -> Vec<String> {
    list(links).iter().map(|link| string(&link["path"])).collect()
}

pub(crate) fn codes(findings: &Value) -> Vec<String> {
    list(findings).iter().map(|finding| string(&finding["code"])).collect()
}
