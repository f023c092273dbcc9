//! A host that breaks off reads.

use std::ffi::OsStr;

use crate::base;
use crate::support::program::{PROGRAM, has, run};
use crate::support::{Untouched, skip};

#[test]
fn a_host_that_breaks_off_every_read_is_not_asked_for_ever() {
    const TEST: &str = "a_host_that_breaks_off_every_read_is_not_asked_for_ever";
    if !has(TEST, "strace") {
        return;
    }
    if !run("strace", &[&"-qq", &"-o", &"/dev/null", &"true"]).status.success() {
        return skip(TEST, "strace may trace nothing");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (path, _) = base(folder.path());
    let _untouched = Untouched::watch(std::slice::from_ref(&path));
    let broken_off = |when: &str| {
        let inject = format!("inject=pread64:error=EINTR{when}");
        let strace: [&dyn AsRef<OsStr>; 9] =
            [&"60", &"strace", &"-f", &"-qq", &"-o/dev/null", &"-P", &path, &"-e", &inject];
        let program: [&dyn AsRef<OsStr>; 3] = [&PROGRAM, &"check", &path];
        run("timeout", &[&strace[..], &program[..]].concat())
    };
    // The whole file cannot be read.
    assert_eq!(broken_off("").status.code(), Some(1));
    // Signals come now and then.
    assert_eq!(broken_off(":when=1+3").status.code(), Some(0));
}
