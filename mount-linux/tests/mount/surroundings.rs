//! Mounts by a user who is not root, and in places where something is missing. `/dev/fuse` may be closed to users here, so
//! each test makes its surroundings as it wants them in a mount namespace of its own.

use std::fs;

use crate::harness::{Folder, can, run, serving_command, skip};

const NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups";
const ROOT: &str = "";

/// Runs a script with the mount point in `$M`, after root has run `setup`. `serve` starts the server in the background
/// and returns when it is ready or has ended; its output is in `$OUT`, its process in `$SERVER`.
fn in_namespace(setup: &str, user: &str, options: &str, script: &str) -> String {
    let folder = Folder::new();
    let point = folder.make("m");
    let nobody = rustix::fs::Uid::from_raw(65_534);
    for path in [folder.path(), &point] {
        rustix::fs::chown(path, Some(nobody), Some(rustix::fs::Gid::from_raw(65_534))).unwrap();
    }
    // The test program may lie where nobody may go.
    let program = folder.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let serving = serving_command("whole", &point, options);
    let variables: Vec<_> = serving
        .get_envs()
        .filter_map(|(key, value)| Some(format!("export {}='{}'", key.to_str()?, value?.to_str()?)))
        .collect();
    let arguments: Vec<_> = serving.get_args().map(|argument| argument.to_str().unwrap()).collect();
    let inner = format!(
        r#"export M='{point}' OUT='{out}' RUST_BACKTRACE=0
{variables}
serve() {{
    : >"$OUT"
    '{program}' {arguments} >"$OUT" 2>&1 & SERVER=$!
    while kill -0 $SERVER 2>/dev/null && ! grep -q '^READY' "$OUT"; do sleep 0.02; done
}}
{script}
"#,
        point = point.display(),
        out = folder.path().join("out").display(),
        variables = variables.join("\n"),
        program = program.display(),
        arguments = arguments.join(" "),
    );
    let script = folder.path().join("script");
    fs::write(&script, inner).unwrap();
    let outer = format!("cd '{}' && {setup} && exec {user} bash '{}'", folder.path().display(), script.display());
    let output = run("unshare", &[&"-m", &"bash", &"-c", &outer]);
    let out = fs::read_to_string(folder.path().join("out")).unwrap_or_default();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {said}\n{out}", output.status);
    said
}

/// Runs a script as `nobody`, where the device has this mode.
fn as_nobody(device_mode: &str, options: &str, script: &str) -> String {
    let setup = format!("mknod node c 10 229 && chmod {device_mode} node && mount --bind node /dev/fuse");
    in_namespace(&setup, NOBODY, options, script)
}

fn can_be_nobody(test: &str) -> bool {
    let tools = ["unshare", "setpriv", "fusermount3", "bash", "mount", "mknod"];
    can(test, &tools)
}

#[test]
fn a_user_mounts_reads_and_unmounts() {
    if !can_be_nobody("a_user_mounts_reads_and_unmounts") {
        return;
    }
    let said = as_nobody(
        "666",
        "",
        r#"serve
           stat -c '%s %u %a' "$M/big.bin"
           head -c 100000 "$M/one name.bin" | wc -c
           fusermount3 -u "$M" && wait $SERVER && grep -o UNMOUNTED "$OUT"
           ls -A "$M" | wc -l"#,
    );
    assert_eq!(said.lines().collect::<Vec<_>>(), ["16777216 65534 444", "70000", "UNMOUNTED", "0"]);
}

#[test]
fn a_user_who_may_not_open_the_device_is_told_so() {
    if !can_be_nobody("a_user_who_may_not_open_the_device_is_told_so") {
        return;
    }
    let said = as_nobody("600", "", r#"serve; wait $SERVER; grep FAILED "$OUT"; true"#);
    assert!(said.contains("FAILED NotPermitted: /dev/fuse may not be opened by this user"), "{said}");
    assert!(said.contains("chmod a+rw /dev/fuse"), "{said}");
}

#[test]
fn a_user_ends_a_mount_by_a_signal_busy_or_not() {
    if !can_be_nobody("a_user_ends_a_mount_by_a_signal_busy_or_not") {
        return;
    }
    let said = as_nobody(
        "666",
        "",
        r#"serve; kill $SERVER; wait $SERVER; echo "idle $?"
           serve; exec 7<"$M/big.bin"; kill $SERVER
           while grep -q " $M " /proc/self/mounts; do sleep 0.02; done
           kill -0 $SERVER && head -c 5000 <&7 | wc -c
           exec 7<&-; wait $SERVER; echo "busy $?""#,
    );
    assert_eq!(said.lines().collect::<Vec<_>>(), ["idle 0", "5000", "busy 0"]);
}

#[test]
fn a_killed_server_of_a_user_can_be_mounted_over() {
    if !can_be_nobody("a_killed_server_of_a_user_can_be_mounted_over") {
        return;
    }
    let said = as_nobody(
        "666",
        "no-auto-unmount",
        r#"serve; kill -9 $SERVER; wait $SERVER 2>/dev/null; ls "$M" 2>&1 | grep -o 'not connected'
           serve; stat -c %s "$M/big.bin"; grep -c " $M " /proc/self/mounts
           fusermount3 -u "$M"; wait $SERVER; echo "end $?""#,
    );
    let lines: Vec<_> = said.lines().filter(|line| !line.contains("Killed")).collect();
    assert_eq!(lines, ["not connected", "16777216", "1", "end 0"]);
}

#[test]
fn other_users_are_kept_out_and_letting_them_in_takes_permission() {
    if !can_be_nobody("other_users_are_kept_out_and_letting_them_in_takes_permission") {
        return;
    }
    let allowed =
        fs::read_to_string("/etc/fuse.conf").is_ok_and(|text| text.lines().any(|l| l.trim() == "user_allow_other"));
    let said = as_nobody("666", "allow-other", r#"serve; wait $SERVER; grep FAILED "$OUT"; true"#);
    if allowed {
        return skip("letting other users in", "/etc/fuse.conf allows it");
    }
    assert!(said.contains("FAILED AllowOtherRefused") && said.contains("/etc/fuse.conf"), "{said}");
}

#[test]
fn a_user_may_not_mount_on_the_folder_of_another() {
    if !can_be_nobody("a_user_may_not_mount_on_the_folder_of_another") {
        return;
    }
    let folder = Folder::new();
    let theirs = folder.make("theirs");
    let script =
        format!(r#"export MOUNT_TEST_TARGET='{}'; serve; wait $SERVER; grep FAILED "$OUT"; true"#, theirs.display());
    let said = as_nobody("666", "", &script);
    assert!(said.contains("FAILED NotPermitted") && said.contains("folder of your own"), "{said}");
}

/// Hides `fusermount3` in a mount namespace. The upper folder lies in a tmpfs: where the root is an overlay itself, as in
/// a container, it cannot lie there.
const NO_FUSERMOUNT: &str = "mkdir h && mount -t tmpfs t h && cd h && mkdir upper work && \
                             mount -t overlay o -o lowerdir=/usr/bin,upperdir=upper,workdir=work /usr/bin && cd .. && \
                             rm /usr/bin/fusermount3 && hash -r && ! type -P fusermount3";

fn can_hide_fusermount(test: &str) -> bool {
    if !can_be_nobody(test) {
        return false;
    }
    let folder = Folder::new();
    let script = format!("cd '{}' && {NO_FUSERMOUNT}", folder.path().display());
    let hidden = run("unshare", &[&"-m", &"bash", &"-c", &script]).status.success();
    if !hidden {
        skip(test, "no overlay file system to hide fusermount3 with");
    }
    hidden
}

#[test]
fn without_fusermount_root_mounts_all_the_same() {
    if !can_hide_fusermount("without_fusermount_root_mounts_all_the_same") {
        return;
    }
    let script = r#"serve; stat -c %s "$M/big.bin"; kill $SERVER; wait $SERVER; echo "end $?""#;
    let said = in_namespace(NO_FUSERMOUNT, ROOT, "", script);
    assert_eq!(said.lines().collect::<Vec<_>>(), ["16777216", "end 0"]);
}

#[test]
fn without_fusermount_a_user_is_told_what_to_install() {
    if !can_hide_fusermount("without_fusermount_a_user_is_told_what_to_install") {
        return;
    }
    let said = in_namespace(NO_FUSERMOUNT, NOBODY, "", r#"serve; wait $SERVER; grep FAILED "$OUT"; true"#);
    assert!(said.contains("FAILED NoFusermount") && said.contains("apt install fuse3"), "{said}");
}

#[test]
fn without_the_device_everybody_is_told_what_is_missing() {
    if !can_be_nobody("without_the_device_everybody_is_told_what_is_missing") {
        return;
    }
    let setup = "mount -t tmpfs t /dev && mknod -m 666 /dev/null c 1 3";
    for user in [ROOT, NOBODY] {
        let said = in_namespace(setup, user, "", r#"serve; wait $SERVER; grep FAILED "$OUT"; true"#);
        assert!(said.contains("FAILED NoFuse: /dev/fuse is not there"), "{said}");
        assert!(said.contains("modprobe fuse") && said.contains("--device /dev/fuse"), "{said}");
    }
}
