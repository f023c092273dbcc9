//! How mounts begin and end.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use mount_linux::{Detach, MountErrorKind, unmount};
use rustix::process::Signal;

use crate::harness::{
    Folder, Mounted, READY, Server, can, detach, mounts_at, run, serving_command, succeed, wait_until,
};
use crate::samples::{self, MIB};

/// Error number of "Transport endpoint is not connected".
const ENOTCONN: Option<i32> = Some(107);

/// What every normal end must leave behind: nothing.
fn assert_gone(mounted: &mut Mounted) {
    assert_eq!(mounted.server.exit_code(), Some(0), "{}", mounted.server.log());
    assert_eq!(mounts_at(mounted.point()), [""; 0]);
    assert_eq!(fs::read_dir(mounted.point()).unwrap().count(), 0, "the folder is the empty one again");
    assert_eq!(mounted.complaints(), [""; 0]);
}

#[test]
fn a_mount_is_read_only_and_bears_its_name() {
    if !can("a_mount_is_read_only_and_bears_its_name", &[]) {
        return;
    }
    let name = "/images/a, b\\c d.avhdx";
    for options in ["", "no-auto-unmount;"] {
        let mounted = Mounted::with("whole", &format!("{options}name={name}"));
        let [line] = &*mounts_at(mounted.point()) else { panic!("one mount") };
        let (before, after) = line.split_once(" - ").unwrap();
        assert_eq!(before.split(' ').nth(5), Some("ro,nosuid,nodev,relatime"));
        let fields: Vec<_> = after.split(' ').collect();
        // Behind the name stands what makes this mount unlike any other.
        let (source, number) = fields[1].split_once('@').unwrap();
        assert_eq!((fields[0], source), ("fuse.vhdx-mount", r"/images/a,\040b\134c\040d.avhdx"));
        assert!(number.parse::<u32>().is_ok(), "{line}");
        assert!(fields[2].starts_with("ro,user_id=0,group_id=0,default_permissions"), "{line}");
    }
}

#[test]
fn the_kernel_reads_ahead_a_megabyte() {
    if !can("the_kernel_reads_ahead_a_megabyte", &[]) {
        return;
    }
    let mounted = Mounted::new("whole");
    let line = mounts_at(mounted.point()).remove(0);
    let device = line.split(' ').nth(2).unwrap();
    let setting = fs::read_to_string(format!("/sys/class/bdi/{device}/read_ahead_kb")).unwrap();
    assert_eq!(setting.trim(), "1024");
}

#[test]
fn each_ending_signal_unmounts_an_idle_mount() {
    if !can("each_ending_signal_unmounts_an_idle_mount", &[]) {
        return;
    }
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut mounted = Mounted::new("whole");
        fs::read(mounted.path("sizes/4097.bin")).unwrap();
        mounted.server.signal(signal);
        mounted.server.line("UNMOUNTED");
        assert_gone(&mut mounted);
    }
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    if !can("a_signal_that_was_ignored_at_the_start_stays_ignored", &["nohup"]) {
        return;
    }
    let folder = Folder::new();
    let point = folder.make("m");
    let direct = serving_command("whole", &point, "");
    let mut command = std::process::Command::new("nohup");
    command.arg(direct.get_program()).args(direct.get_args());
    command.envs(direct.get_envs().filter_map(|(key, value)| Some((key, value?))));
    let mut server = Server::spawn(command, folder.path().join("log"));
    server.line(READY);
    server.signal(Signal::HUP);
    std::thread::sleep(Duration::from_millis(300));
    assert!(server.is_running() && point.join("big.bin").exists());
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn a_busy_mount_is_detached_at_once_and_served_until_the_last_file_is_closed() {
    if !can("a_busy_mount_is_detached_at_once_and_served_until_the_last_file_is_closed", &[]) {
        return;
    }
    let (mut mounted, tree) = (Mounted::new("whole"), samples::tree("whole"));
    let file = File::open(mounted.path("big.bin")).unwrap();
    mounted.server.signal(Signal::TERM);
    let point = mounted.point().to_owned();
    wait_until("the mount leaves the tree of folders", || mounts_at(&point).is_empty());
    std::thread::sleep(Duration::from_millis(200));
    assert!(mounted.server.is_running());
    let mut bytes = vec![0; 1 << 20];
    file.read_exact_at(&mut bytes, 9 * MIB).unwrap();
    assert!(bytes == tree.content("big.bin").bytes(9 * MIB..10 * MIB));
    drop(file);
    mounted.server.line("UNMOUNTED");
    assert_eq!(mounted.server.exit_code(), Some(0));
    assert!(mounted.server.log().contains("in use; serving what is open until it is closed"));
}

#[test]
fn a_second_signal_ends_a_busy_mount_at_once() {
    if !can("a_second_signal_ends_a_busy_mount_at_once", &[]) {
        return;
    }
    let mut mounted = Mounted::new("whole");
    let file = File::open(mounted.path("big.bin")).unwrap();
    mounted.server.signal(Signal::TERM);
    let point = mounted.point().to_owned();
    wait_until("the mount leaves the tree of folders", || mounts_at(&point).is_empty());
    mounted.server.signal(Signal::TERM);
    assert_eq!(mounted.server.exit_code(), Some(3), "abandoned");
    let error = file.read_at(&mut [0; 4096], 3 * MIB).unwrap_err();
    assert_eq!(error.raw_os_error(), ENOTCONN, "at once, not never");
    assert_eq!(mounts_at(mounted.point()), [""; 0]);
}

#[test]
fn a_signal_while_a_slow_read_is_under_way_is_heeded() {
    if !can("a_signal_while_a_slow_read_is_under_way_is_heeded", &[]) {
        return;
    }
    let mut mounted = Mounted::new("damaged");
    let mut file = File::open(mounted.path("slow.bin")).unwrap();
    let reader = std::thread::spawn(move || file.read(&mut [0; 4096]).unwrap());
    std::thread::sleep(Duration::from_millis(100));
    mounted.server.signal(Signal::TERM);
    let point = mounted.point().to_owned();
    wait_until("the mount leaves the tree of folders", || mounts_at(&point).is_empty());
    assert_eq!(reader.join().unwrap(), 4096, "the read is still answered");
    assert_eq!(mounted.server.exit_code(), Some(0));
}

#[test]
fn umount_and_fusermount_end_the_server() {
    if !can("umount_and_fusermount_end_the_server", &["umount", "fusermount3"]) {
        return;
    }
    for command in [["umount", "--"].as_slice(), &["fusermount3", "-u", "--"], &["umount", "-l", "--"]] {
        let mut mounted = Mounted::new("whole");
        let arguments: Vec<&dyn AsRef<std::ffi::OsStr>> =
            command[1..].iter().map(|argument| argument as &dyn AsRef<std::ffi::OsStr>).collect();
        succeed(command[0], &[arguments.as_slice(), &[&mounted.point()]].concat());
        assert_gone(&mut mounted);
    }
}

#[test]
fn a_mount_that_takes_the_place_of_one_just_ended_is_left_alone() {
    if !can("a_mount_that_takes_the_place_of_one_just_ended_is_left_alone", &["mount", "umount"]) {
        return;
    }
    let mut first = Mounted::new("whole");
    let held = File::open(first.path("big.bin")).unwrap();
    succeed("umount", &[&"-l", &first.point()]);
    succeed("mount", &[&"-t", &"tmpfs", &"other", &first.point()]);
    drop(held);
    assert_eq!(first.server.exit_code(), Some(0));
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(mounts_at(first.point()).len(), 1, "the other one still stands");
}

#[test]
fn a_signal_does_not_unmount_what_was_mounted_over_it() {
    if !can("a_signal_does_not_unmount_what_was_mounted_over_it", &["mount", "umount"]) {
        return;
    }
    let mut mounted = Mounted::new("whole");
    succeed("mount", &[&"-t", &"tmpfs", &"other", &mounted.point()]);
    mounted.server.signal(Signal::TERM);
    std::thread::sleep(Duration::from_millis(300));
    assert!(mounted.server.is_running());
    assert!(mounts_at(mounted.point()).iter().any(|line| line.contains("tmpfs")));
    assert!(mounted.complaints().iter().any(|line| line.contains("another mount lies over this one")));
    succeed("umount", &[&mounted.point()]);
    mounted.server.signal(Signal::TERM);
    assert_eq!(mounted.server.exit_code(), Some(3));
}

#[test]
fn a_killed_server_leaves_no_mount() {
    if !can("a_killed_server_leaves_no_mount", &["fusermount3"]) {
        return;
    }
    let mut mounted = Mounted::new("whole");
    fs::read(mounted.path("big.bin")).unwrap();
    mounted.server.signal(Signal::KILL);
    assert_eq!(mounted.server.exit_code(), None);
    let point = mounted.point().to_owned();
    wait_until("fusermount3 removes the mount", || mounts_at(&point).is_empty());
    assert_eq!(fs::read_dir(&point).unwrap().count(), 0);
}

#[test]
fn a_killed_server_hangs_nobody_and_can_be_mounted_over() {
    if !can("a_killed_server_hangs_nobody_and_can_be_mounted_over", &[]) {
        return;
    }
    let mut mounted = Mounted::with("whole", "no-auto-unmount");
    let file = File::open(mounted.path("big.bin")).unwrap();
    // Answered from memory ever after, which must not be taken for life.
    fs::metadata(mounted.point()).unwrap();
    mounted.server.signal(Signal::KILL);
    mounted.server.exit_code();
    let start = Instant::now();
    assert_eq!(file.read_at(&mut [0; 4096], 5 * MIB).unwrap_err().raw_os_error(), ENOTCONN);
    assert_eq!(fs::metadata(mounted.path("sizes")).unwrap_err().raw_os_error(), ENOTCONN);
    assert_eq!(fs::read_dir(mounted.point()).unwrap_err().raw_os_error(), ENOTCONN);
    assert!(start.elapsed() < Duration::from_secs(2), "at once");
    assert_eq!(mounts_at(mounted.point()).len(), 1, "a dead mount stands");

    let again = Server::start("whole", mounted.point(), "no-auto-unmount", mounted.scratch().join("second log"));
    again.line(READY);
    assert_eq!(mounts_at(mounted.point()).len(), 1, "the dead one is gone, the new one stands");
    assert_eq!(fs::metadata(mounted.path("big.bin")).unwrap().len(), 16 * MIB);
    assert_eq!(file.read_at(&mut [0; 4096], 5 * MIB).unwrap_err().raw_os_error(), ENOTCONN, "the old file stays dead");
}

#[test]
fn a_mount_follows_at_once_on_one_that_was_killed_in_use() {
    if !can("a_mount_follows_at_once_on_one_that_was_killed_in_use", &[]) {
        return;
    }
    let mut mounted = Mounted::new("whole");
    let file = File::open(mounted.path("big.bin")).unwrap();
    mounted.server.signal(Signal::KILL);
    mounted.server.exit_code();
    let mut again = Server::start("whole", mounted.point(), "", mounted.scratch().join("second log"));
    again.line(READY);
    std::thread::sleep(Duration::from_millis(300));
    assert!(again.is_running(), "nobody takes the new one for the old one");
    assert_eq!(mounts_at(mounted.point()).len(), 1);
    assert_eq!(fs::read(mounted.path("sizes/4097.bin")).unwrap().len(), 4097);
    assert_eq!(file.read_at(&mut [0; 4096], 5 * MIB).unwrap_err().raw_os_error(), ENOTCONN);
}

#[test]
fn a_killed_server_fails_a_read_that_is_under_way() {
    if !can("a_killed_server_fails_a_read_that_is_under_way", &[]) {
        return;
    }
    let mounted = Mounted::with("damaged", "no-auto-unmount");
    let mut file = File::open(mounted.path("slow.bin")).unwrap();
    let reader = std::thread::spawn(move || {
        let start = Instant::now();
        (file.read(&mut [0; 4096]).is_err(), start.elapsed())
    });
    std::thread::sleep(Duration::from_millis(200));
    mounted.server.signal(Signal::KILL);
    let (failed, took) = reader.join().unwrap();
    assert!(failed && took < Duration::from_millis(1400), "{took:?}");
}

#[test]
fn unmounting_from_outside_says_what_is_in_the_way() {
    if !can("unmounting_from_outside_says_what_is_in_the_way", &[]) {
        return;
    }
    let mut mounted = Mounted::new("whole");
    let file = File::open(mounted.path("big.bin")).unwrap();
    let busy = unmount(mounted.point(), Detach::WhenIdle).unwrap_err();
    assert_eq!(busy.kind(), MountErrorKind::Busy);
    assert!(busy.to_string().contains("is in use") && busy.advice().contains("lazily"), "{busy}");
    let inside = unmount(&mounted.path("sizes"), Detach::Lazily).unwrap_err();
    assert_eq!(inside.kind(), MountErrorKind::NotMounted, "a folder in a mount is no mount");
    unmount(mounted.point(), Detach::Lazily).unwrap();
    assert_eq!(mounts_at(mounted.point()), [""; 0]);
    drop(file);
    assert_gone(&mut mounted);
    for other in [mounted.point(), Path::new("/proc"), Path::new("/no/such/path")] {
        let error = unmount(other, Detach::Lazily).unwrap_err();
        assert_eq!(error.kind(), MountErrorKind::NotMounted, "{}", other.display());
    }
}

#[test]
fn a_target_that_will_not_do_is_refused_with_advice() {
    if !can("a_target_that_will_not_do_is_refused_with_advice", &[]) {
        return;
    }
    let folder = Folder::new();
    let mounted = Mounted::new("whole");
    let full = folder.make("full");
    fs::write(full.join("file"), "x").unwrap();
    let cases = [
        (folder.path().join("missing"), "TargetMissing", "mkdir -p"),
        (full.join("file"), "TargetNotADirectory", "empty folder"),
        (full.join("file/below"), "TargetNotADirectory", "empty folder"),
        (full.clone(), "TargetNotEmpty", "empty folder"),
        (mounted.point().to_owned(), "TargetInUse", "unmount it first"),
    ];
    for (target, kind, advice) in cases {
        let mut server = Server::start("whole", &target, "", folder.path().join("log"));
        let said = server.line("FAILED");
        assert!(said.starts_with(&format!("FAILED {kind}: ")) && said.contains(advice), "{said}");
        assert!(said.contains(target.to_str().unwrap()), "{said}");
        assert_eq!(server.exit_code(), Some(4));
    }
    assert_eq!(fs::read(full.join("file")).unwrap(), b"x");
    assert_eq!(mounts_at(mounted.point()).len(), 1, "the mount that was there is not touched");
}

#[test]
fn a_target_may_be_named_by_a_link_and_from_where_one_stands() {
    if !can("a_target_may_be_named_by_a_link_and_from_where_one_stands", &[]) {
        return;
    }
    let folder = Folder::new();
    let point = folder.make("m");
    std::os::unix::fs::symlink("m", folder.path().join("link")).unwrap();
    for target in ["link", "./m", "m/../m/"] {
        let mut command = serving_command("whole", Path::new(target), "");
        command.current_dir(folder.path());
        let mut server = Server::spawn(command, folder.path().join("log"));
        server.line(READY);
        assert_eq!(mounts_at(&point).len(), 1, "{target}");
        server.signal(Signal::TERM);
        assert_eq!(server.exit_code(), Some(0), "{target}");
        assert_eq!(mounts_at(&point), [""; 0], "{target}");
    }
}

#[test]
fn a_dead_mount_of_another_program_is_not_removed() {
    const TEST: &str = "a_dead_mount_of_another_program_is_not_removed";
    if !can(TEST, &["mount", "bash"]) {
        return;
    }
    let folder = Folder::new();
    let point = folder.make("m");
    // A FUSE mount whose device is closed at once.
    let script = "exec 9<>/dev/fuse; mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 theirs \"$0\"";
    succeed("bash", &[&"-c", &script, &point]);
    assert_eq!(fs::metadata(&point).unwrap_err().raw_os_error(), ENOTCONN);
    let mut server = Server::start("whole", &point, "", folder.path().join("log"));
    let said = server.line("FAILED");
    assert!(said.contains("TargetDead") && said.contains("not one of this program"), "{said}");
    assert!(said.contains("umount -l"), "{said}");
    server.exit_code();
    assert_eq!(mounts_at(&point).len(), 1);
    detach(&point);
}

#[test]
fn an_aborted_connection_ends_the_server_and_the_mount() {
    const TEST: &str = "an_aborted_connection_ends_the_server_and_the_mount";
    if !can(TEST, &["mount"]) {
        return;
    }
    let mut mounted = Mounted::new("whole");
    let control = Folder::new();
    if !run("mount", &[&"-t", &"fusectl", &"none", &control.path()]).status.success() {
        return crate::harness::skip(TEST, "no fusectl");
    }
    let line = mounts_at(mounted.point()).remove(0);
    let minor = line.split(' ').nth(2).unwrap().split_once(':').unwrap().1.to_owned();
    let aborted = fs::write(control.path().join(minor).join("abort"), "1");
    detach(control.path());
    aborted.unwrap();
    mounted.server.exit_code();
    assert_eq!(mounts_at(mounted.point()), [""; 0]);
}
