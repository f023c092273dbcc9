//! Who is whose parent, and which image is the one to open.

use std::fs;
use std::os::unix::fs::symlink;

use fixtures::guid::Guid;
use fixtures::vhdx::{Image, MIB, ParentLocator};
use serde_json::Value;

use crate::folder::{Folder, codes, list, string};
use crate::support::program::{PROGRAM, run};

#[test]
fn a_chain_is_found_whatever_its_files_are_called() {
    let mut folder = Folder::new(1);
    let base = folder.base("readme.txt");
    let middle = folder.child(&base, "base.vhdx", "z.bin");
    let youngest = folder.child(&middle, "x_1.avhdx", "a.avhdx");
    let scan = folder.scan(0);
    assert_eq!(scan["schema"], 1);
    assert_eq!(scan["complete"], true);
    assert_eq!(scan["files"], 3);
    assert_eq!(folder.chains(&scan), [["a.avhdx", "z.bin", "readme.txt"]]);
    let chain = &scan["chains"][0];
    assert_eq!((&chain["complete"], &chain["ending"]), (&true.into(), &"base".into()));
    assert_eq!(codes(&chain["findings"]), ["parent-elsewhere", "parent-elsewhere"]);
    let image = folder.image(&scan, "a.avhdx");
    assert_eq!(image["data_write_guid"], youngest.data_write_guid.to_string());
    assert_eq!(image["disk_id"], base.disk_id.to_string());
    assert_eq!(image["virtual_size"], 8 * MIB);
    assert_eq!(image["kind"], "differencing");
    assert_eq!(image["parent"]["linkage"], middle.data_write_guid.to_string());
    assert_eq!(image["parent"]["places"][0], r".\x_1.avhdx");
    assert_eq!(image["parent"]["proof"], "parent_linkage");
    assert_eq!(image["parent"]["found_by"], "its identity");
    assert_eq!(folder.role(&scan, "a.avhdx"), "youngest");
    assert_eq!(folder.role(&scan, "z.bin"), "older");
    assert_eq!(folder.role(&scan, "readme.txt"), "older");
}

/// By its paths the youngest is a child of the middle link, by its identity one of the base.
#[test]
fn a_parent_that_skips_a_link_is_told() {
    let mut folder = Folder::new(22);
    let base = folder.base("Virtual Hard Disks/VM.vhdx");
    let middle = folder.child(&base, "VM.vhdx", "Virtual Hard Disks/VM_1.avhdx");
    let youngest = folder.child(&middle, "VM_1.avhdx", "Virtual Hard Disks/VM_2.avhdx");
    let quiet = folder.scan(0);
    assert_eq!(codes(&quiet["chains"][0]["findings"]), [""; 0]);
    let locator = youngest.parent_locator.clone().expect("a locator").without("parent_linkage");
    let linkage = format!("{{{}}}", base.data_write_guid);
    let spoilt = Image { parent_locator: Some(locator.with("parent_linkage", &linkage)), ..youngest };
    folder.write(&spoilt, "Virtual Hard Disks/VM_2.avhdx");
    let scan = folder.scan(0);
    let links = |names: [&str; 2]| names.map(|name| format!("Virtual Hard Disks/{name}"));
    assert_eq!(folder.chains(&scan), [links(["VM_1.avhdx", "VM.vhdx"]), links(["VM_2.avhdx", "VM.vhdx"])]);
    let told = &scan["chains"][1]["findings"];
    assert_eq!(codes(told), ["parent-elsewhere", "parent-skips-link"]);
    let advice = string(&told[1]["advice"]);
    let word = |name: &str| format!("--parent '{}'", folder.path(&format!("Virtual Hard Disks/{name}")).display());
    for words in [word("VM.vhdx") + " says", word("VM_1.avhdx") + " --allow-mismatch"] {
        assert!(advice.contains(&words), "{words}: {advice}");
    }
    assert_eq!(codes(&scan["chains"][0]["findings"]), [""; 0]);
}

#[test]
fn a_chain_in_its_place_has_nothing_to_say() {
    let mut folder = Folder::new(2);
    let base = folder.base("VM.vhdx");
    folder.child(&base, "VM.vhdx", "VM_1.avhdx");
    let scan = folder.scan(0);
    assert_eq!(list(&scan["chains"][0]["findings"]), [] as [Value; 0]);
    for empty in ["cycles", "branches", "duplicates", "beside", "unread", "unreadable"] {
        assert_eq!(list(&scan[empty]), [] as [Value; 0], "{empty}");
    }
    let text = folder.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "2 images in 2 files; 1 chain to open");
    assert!(lines[2].starts_with("VM.vhdx  dynamic, disk of 8 MiB"), "{text}");
    assert!(lines[3].starts_with("└─ VM_1.avhdx  differencing") && lines[3].ends_with("◀ youngest"), "{text}");
    let youngest = folder.path("VM_1.avhdx");
    assert_eq!(lines[5].trim(), format!("open: vhdx-mount {} TARGET", youngest.display()), "{text}");
}

#[test]
fn branches_are_chains_of_their_own() {
    let mut folder = Folder::new(3);
    let base = folder.base("base.vhdx");
    let left = folder.child(&base, "base.vhdx", "left.avhdx");
    folder.child(&base, "base.vhdx", "right.avhdx");
    folder.child(&left, "left.avhdx", "left_2.avhdx");
    let scan = folder.scan(0);
    assert_eq!(
        folder.chains(&scan),
        [vec!["left_2.avhdx", "left.avhdx", "base.vhdx"], vec!["right.avhdx", "base.vhdx"]]
    );
    let branches = list(&scan["branches"]);
    assert_eq!(branches.len(), 1);
    let number = |name: &str| folder.image(&scan, name)["image"].clone();
    assert_eq!(branches[0]["parent"], number("base.vhdx"));
    assert_eq!(branches[0]["children"], Value::from(vec![number("left.avhdx"), number("right.avhdx")]));
    let text = folder.text();
    assert!(text.contains("├─ left.avhdx") && text.contains("│  └─ left_2.avhdx"), "{text}");
    assert!(text.contains("branches into 2 children"), "{text}");
}

#[test]
fn an_orphan_says_what_it_misses() {
    let mut folder = Folder::new(4);
    let base = folder.base("base.vhdx");
    folder.child(&base, "base.vhdx", "x_1.avhdx");
    // The machine was started from the base: it is another image now.
    let later = folder.base("base.vhdx");
    let scan = folder.scan(0);
    let chain = &list(&scan["chains"])[1];
    assert_eq!((&chain["complete"], &chain["ending"]), (&false.into(), &"missing".into()));
    assert_eq!(chain["missing"]["linkage"], base.data_write_guid.to_string());
    assert_eq!(chain["missing"]["places"][0], r".\base.vhdx");
    assert_eq!(chain["missing"]["namesakes"], Value::from(vec![folder.image(&scan, "base.vhdx")["image"].clone()]));
    assert_ne!(later.data_write_guid, base.data_write_guid);
    let finding = &chain["findings"][0];
    assert_eq!(finding["code"], "link-missing");
    assert!(string(&finding["found"]).contains("base.vhdx"), "{finding}");
    assert!(string(&finding["expected"]).contains(&base.data_write_guid.to_string()), "{finding}");
    let text = folder.text();
    assert!(text.contains("a parent that is not here\n"), "{text}");
    assert!(text.contains("x_1.avhdx TARGET --missing lost\n"), "{text}");
}

#[test]
fn of_an_image_of_nearly_the_recorded_identity_it_is_told_that_the_record_is_damaged() {
    let mut folder = Folder::new(27);
    let base = folder.base("base.vhdx");
    let child = folder.child(&base, "base.vhdx", "x_1.avhdx");
    let right = base.data_write_guid.braced();
    let linkage = format!("{}x{}", &right[..4], &right[5..]);
    let locator = child.parent_locator.clone().expect("a locator").without("parent_linkage");
    folder.write(&Image { parent_locator: Some(locator.with("parent_linkage", &linkage)), ..child }, "x_1.avhdx");
    let scan = folder.scan(0);
    let missing: Vec<_> = list(&scan["chains"])
        .iter()
        .flat_map(|chain| list(&chain["findings"]))
        .filter(|one| one["code"] == "link-missing")
        .collect();
    let [missing] = missing.as_slice() else { panic!("{scan}") };
    let advice = string(&missing["advice"]);
    assert!(advice.contains("31 of its 32 digits are those of") && advice.contains("--allow-mismatch"), "{advice}");
}

#[test]
fn copies_are_told_and_each_child_keeps_its_own_parent() {
    let mut folder = Folder::new(5);
    let base = folder.base("vms/base.vhdx");
    let child = folder.child(&base, "base.vhdx", "vms/x_1.avhdx");
    folder.write(&base, "vms/base - Copy.vhdx");
    folder.write(&base, "backup/base.vhdx");
    folder.write(&child, "backup/x_1.avhdx");
    let scan = folder.scan(0);
    assert_eq!(
        folder.chains(&scan),
        [["backup/x_1.avhdx", "backup/base.vhdx"], ["vms/x_1.avhdx", "vms/base.vhdx"]],
        "a copy of an older link is nothing to open"
    );
    assert_eq!(folder.role(&scan, "vms/base - Copy.vhdx"), "copy");
    let duplicates = list(&scan["duplicates"]);
    let mut sizes: Vec<_> = duplicates.iter().map(|one| list(&one["images"]).len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [2, 3]);
    assert_eq!(codes(&scan["chains"][0]["findings"]), ["identity-shared", "identity-shared"]);
    assert_eq!(list(&scan["branches"]), [] as [Value; 0], "two copies of one child are no branch");
}

#[test]
fn several_names_of_one_file_are_one_image() {
    let mut folder = Folder::new(6);
    let base = folder.base("base.vhdx");
    folder.child(&base, "base.vhdx", "x_1.avhdx");
    fs::hard_link(folder.path("base.vhdx"), folder.path("hard.vhdx")).expect("a hard link");
    symlink("x_1.avhdx", folder.path("zz-soft.avhdx")).expect("a link");
    symlink(folder.folder.path(), folder.path("round")).expect("a link to a folder");
    let scan = folder.scan(0);
    assert_eq!(list(&scan["images"]).len(), 2);
    assert_eq!(folder.name(&folder.image(&scan, "base.vhdx")["also"][0]), "hard.vhdx");
    assert_eq!(folder.name(&folder.image(&scan, "x_1.avhdx")["also"][0]), "zz-soft.avhdx");
    assert_eq!(list(&scan["duplicates"]), [] as [Value; 0]);
    let twice = run(PROGRAM, &[&"scan", &"--json", &folder.folder.path(), &folder.folder.path()]);
    let twice: Value = serde_json::from_slice(&twice.stdout).expect("JSON");
    assert_eq!(twice["images"], scan["images"], "a folder given twice is looked at once");
}

#[test]
fn cycles_end() {
    let mut folder = Folder::new(7);
    let base = folder.base("base.vhdx");
    let mut a = Image::child_of(&base, "b.avhdx");
    a.renew_guids(&mut folder.rng);
    let mut b = Image::child_of(&a, "a.avhdx");
    b.renew_guids(&mut folder.rng);
    a.parent_locator = Some(ParentLocator::windows(b.data_write_guid, "b.avhdx"));
    folder.write(&a, "a.avhdx");
    folder.write(&b, "b.avhdx");
    folder.child(&a, "a.avhdx", "tail.avhdx");
    let mut own = Image::child_of(&base, "own.avhdx");
    own.renew_guids(&mut folder.rng);
    own.parent_locator = Some(ParentLocator::windows(own.data_write_guid, "own.avhdx"));
    folder.write(&own, "own.avhdx");
    let scan = folder.scan(0);
    let number = |name: &str| folder.image(&scan, name)["image"].clone();
    let cycles = list(&scan["cycles"]);
    assert_eq!(cycles.len(), 2);
    assert_eq!(cycles[0], Value::from(vec![number("a.avhdx"), number("b.avhdx")]));
    assert_eq!(cycles[1], Value::from(vec![number("own.avhdx")]));
    assert_eq!(folder.chains(&scan), [vec!["base.vhdx"], vec!["tail.avhdx", "a.avhdx", "b.avhdx"]]);
    assert_eq!(scan["chains"][1]["ending"], "cycle");
    assert_eq!(codes(&scan["chains"][1]["findings"]), ["chain-cycle"]);
    let text = folder.text();
    assert_eq!(text.matches("a cycle\n").count(), 2, "{text}");
    // Opened, it is refused, and what it holds itself is there with the switch that the refusal names.
    let refused = run(PROGRAM, &[&"info", &folder.path("own.avhdx")]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("already a link") && said.contains("--missing lost"), "{said}");
    let served = run(PROGRAM, &[&"info", &"--json", &"--missing", &"lost", &folder.path("own.avhdx")]);
    assert_eq!(served.status.code(), Some(3));
    let report: Value = serde_json::from_slice(&served.stdout).expect("JSON");
    assert!(codes(&report["findings"]).contains(&"link-missing".to_owned()));
    assert_eq!(list(&report["links"]).len(), 1);
    for name in ["a.avhdx", "b.avhdx", "tail.avhdx", "own.avhdx"] {
        assert_eq!(text.matches(&format!("─ {name}  ")).count(), 1, "{text}");
    }
}

#[test]
fn what_a_backup_left_is_never_the_newest_state() {
    let mut folder = Folder::new(8);
    let base = folder.base("VM.vhdx");
    let checkpoint = folder.child(&base, "VM.vhdx", "VM_1.avhdx");
    folder.child(&checkpoint, "VM_1.avhdx", "VM_2.avhdx");
    let leftover = folder.child(&checkpoint, "VM_1.avhdx", "VM_1-AutoRecovery.avhdx");
    folder.child(&leftover, "VM_1-AutoRecovery.avhdx", "VM_1-autorecovery (2).avhdx");
    let scan = folder.scan(0);
    assert_eq!(folder.role(&scan, "VM_2.avhdx"), "youngest");
    assert_eq!(folder.role(&scan, "VM_1.avhdx"), "older");
    assert_eq!(folder.role(&scan, "VM_1-AutoRecovery.avhdx"), "leftover");
    assert_eq!(folder.role(&scan, "VM_1-autorecovery (2).avhdx"), "leftover");
    assert_eq!(folder.chains(&scan)[0], ["VM_2.avhdx", "VM_1.avhdx", "VM.vhdx"]);
    assert_eq!(scan["chains"][0]["leftover"], false);
    for chain in &list(&scan["chains"])[1..] {
        assert_eq!(chain["leftover"], true);
        assert!(codes(&chain["findings"]).contains(&"backup-leftover".to_owned()));
    }
    assert_eq!(list(&scan["branches"]), [] as [Value; 0]);
    let text = folder.text();
    assert_eq!(text.matches("◀ youngest").count(), 1, "{text}");
    assert_eq!(text.matches("open: ").count(), 1, "{text}");
    assert_eq!(text.matches("left by a backup\n").count(), 2, "{text}");
}

/// A machine may have gone on with what a backup made, or with the parent: neither is left out.
#[test]
fn a_backups_name_alone_hides_neither_the_image_nor_its_parent() {
    let mut folder = Folder::new(26);
    let base = folder.base("VM.vhdx");
    let named = folder.child(&base, "VM.vhdx", "VM-AutoRecovery.avhdx");
    folder.child(&named, "VM-AutoRecovery.avhdx", "VM-AutoRecovery (2).avhdx");
    folder.base("Autorecovery-Lab.vhdx");
    folder.base("Lab-AutoRecovery.vhdx");
    let scan = folder.scan(0);
    for image in list(&scan["images"]) {
        assert_eq!(image["role"], "youngest", "{image}");
    }
    for chain in list(&scan["chains"]) {
        assert_eq!(chain["leftover"], false, "{chain}");
        let children = list(&chain["links"]).len() - 1;
        assert_eq!(codes(&chain["findings"]), vec!["backup-leftover"; children], "{chain}");
    }
    assert!(opened(&folder, "Lab-AutoRecovery.vhdx").is_empty(), "a backup makes no base");
    assert_eq!(opened(&folder, "VM-AutoRecovery.avhdx"), ["backup-leftover"]);
}

#[test]
fn a_checkpoint_over_a_leftover_is_still_one_to_open() {
    let mut folder = Folder::new(9);
    let base = folder.base("VM.vhdx");
    let leftover = folder.child(&base, "VM.vhdx", "VM-AutoRecovery.avhdx");
    folder.child(&leftover, "VM-AutoRecovery.avhdx", "VM_2.avhdx");
    let scan = folder.scan(0);
    assert_eq!(folder.role(&scan, "VM_2.avhdx"), "youngest");
    assert_eq!(folder.role(&scan, "VM.vhdx"), "older", "somebody ran a machine on what stands above it");
    assert_eq!(codes(&scan["chains"][0]["findings"]), ["backup-leftover"]);
}

#[test]
fn a_merge_that_had_begun_proves_the_one_child() {
    let mut folder = Folder::new(10);
    let before = folder.base("base.vhdx");
    folder.child(&before, "base.vhdx", "sibling.avhdx");
    let mut merged = before.clone();
    merged.data_write_guid = folder.rng.guid();
    folder.write(&merged, "base.vhdx");
    let mut child = Image::child_of(&before, "base.vhdx");
    child.renew_guids(&mut folder.rng);
    let locator = ParentLocator::windows(before.data_write_guid, "base.vhdx").without("parent_linkage2");
    child.parent_locator = Some(locator.with("parent_linkage2", &merged.data_write_guid.braced()));
    folder.write(&child, "child.avhdx");
    let scan = folder.scan(0);
    assert_eq!(folder.image(&scan, "child.avhdx")["parent"]["proof"], "parent_linkage2");
    assert_eq!(folder.image(&scan, "sibling.avhdx")["parent"]["image"], Value::Null);
    assert_eq!(codes(&scan["chains"][0]["findings"]), ["parent-mid-merge"]);
    assert_eq!(scan["chains"][1]["ending"], "missing");
    // Who opens what it is merged into is told, too.
    assert_eq!(opened(&folder, "base.vhdx"), ["parent-mid-merge", "younger-beside"]);
}

#[test]
fn zeros_in_parent_linkage2_match_nothing() {
    let mut folder = Folder::new(11);
    let mut zero = folder.base("zero.vhdx");
    zero.data_write_guid = Guid::NIL;
    folder.write(&zero, "zero.vhdx");
    let gone = folder.base("gone.vhdx");
    folder.child(&gone, "gone.vhdx", "x_1.avhdx");
    fs::remove_file(folder.path("gone.vhdx")).expect("the base goes");
    let scan = folder.scan(0);
    assert_eq!(folder.image(&scan, "x_1.avhdx")["parent"]["image"], Value::Null);
    assert_eq!(folder.role(&scan, "zero.vhdx"), "youngest");
}

/// A DataWriteGuid of zeros is none, and neither is a `parent_linkage` of zeros.
#[test]
fn zeros_in_parent_linkage_match_nothing() {
    let mut folder = Folder::new(25);
    for name in ["one.vhdx", "other.vhdx"] {
        let zero = Image { data_write_guid: Guid::NIL, ..folder.base(name) };
        folder.write(&zero, name);
    }
    let gone = folder.base("gone.vhdx");
    for (name, recorded) in [("x_1.avhdx", "gone.vhdx"), ("y_1.avhdx", "away.vhdx")] {
        let child = folder.child(&gone, recorded, name);
        let locator = child.parent_locator.clone().expect("a locator").without("parent_linkage");
        let zeros = locator.with("parent_linkage", &Guid::NIL.braced());
        folder.write(&Image { parent_locator: Some(zeros), ..child }, name);
    }
    fs::remove_file(folder.path("gone.vhdx")).expect("the base goes");
    let scan = folder.scan(0);
    for name in ["one.vhdx", "other.vhdx", "x_1.avhdx", "y_1.avhdx"] {
        assert_eq!(folder.role(&scan, name), "youngest", "{name}");
        assert_eq!(folder.image(&scan, name)["parent"]["image"], Value::Null, "{name}");
    }
    assert_eq!(list(&scan["chains"]).len(), 4);
    assert_eq!(list(&scan["duplicates"]), [] as [Value; 0], "what never got an identity is no copy");
    let text = folder.text();
    assert_eq!(text.matches("a parent that is not here\n").count(), 2, "each misses a parent of its own: {text}");
}

#[test]
fn a_parent_in_another_folder_is_named_in_the_command() {
    let mut folder = Folder::new(12);
    let base = folder.base("it's here/base.vhdx");
    folder.child(&base, "base.vhdx", "there/x_1.avhdx");
    let scan = folder.scan(0);
    let chain = &scan["chains"][0];
    assert_eq!(chain["complete"], true);
    assert_eq!(folder.name(&chain["parents_to_name"][0]), "it's here/base.vhdx");
    assert_eq!(codes(&chain["findings"]), ["parent-elsewhere"]);
    let text = folder.text();
    let command = text.lines().find_map(|line| line.trim_start_matches(['│', ' ']).strip_prefix("open: vhdx-mount "));
    let command = command.expect("a command").replacen(" TARGET", "", 1);
    let opened = run("sh", &[&"-c", &format!("'{PROGRAM}' info {command}")]);
    assert!(opened.status.success(), "{command}: {}", String::from_utf8_lossy(&opened.stderr));
}

#[test]
fn what_lies_beside_the_disks_is_noted() {
    let mut folder = Folder::new(13);
    folder.base("a/Virtual Hard Disks/a.vhdx");
    folder.base("b/b.vhdx");
    for file in [
        "a/Virtual Machines/3C8F1A2E-0001-4AAA-8BBB-100000000000.vmrs",
        "a/Snapshots/3c8f1a2e-0001-4aaa-8bbb-200000000000/x.vsv",
        "b/b_3C8F1A2E.hrl",
        "b/firmware.bin",
    ] {
        fs::write(folder.path(file), "state").expect("a file");
    }
    let scan = folder.scan(0);
    assert_eq!(codes(&scan["chains"][0]["findings"]), ["saved-state-beside"]);
    let noted = string(&scan["chains"][0]["findings"][0]["text"]);
    assert!(noted.contains(".vmrs") && noted.contains("x.vsv"), "{noted}");
    assert_eq!(codes(&scan["chains"][1]["findings"]), ["replica-log-beside"]);
    let kinds: Vec<String> = list(&scan["beside"]).iter().map(|one| string(&one["kind"])).collect();
    assert_eq!(kinds, ["saved-state", "saved-state", "replica-log"]);
    assert!(folder.text().contains("[replica-log-beside]"));
    assert_eq!(opened(&folder, "a/Virtual Hard Disks/a.vhdx"), ["saved-state-beside"]);
    assert_eq!(opened(&folder, "b/b.vhdx"), ["replica-log-beside"]);
}

/// The findings of opening an image.
fn opened(folder: &Folder, name: &str) -> Vec<String> {
    let output = run(PROGRAM, &[&"info", &"--json", &folder.path(name)]);
    codes(&serde_json::from_slice::<Value>(&output.stdout).expect("JSON")["findings"])
}

#[test]
fn whoever_opens_an_older_link_is_told() {
    let mut folder = Folder::new(19);
    let base = folder.base("base.vhdx");
    let child = folder.child(&base, "base.vhdx", "base_1.avhdx");
    folder.child(&child, "base_1.avhdx", "base_2.avhdx");
    folder.child(&child, "base_1.avhdx", "base_2-AutoRecovery.avhdx");
    assert_eq!(opened(&folder, "base.vhdx"), ["younger-beside"]);
    assert_eq!(opened(&folder, "base_1.avhdx"), ["younger-beside"]);
    assert!(opened(&folder, "base_2.avhdx").is_empty());
    assert_eq!(opened(&folder, "base_2-AutoRecovery.avhdx"), ["backup-leftover"]);
}

#[test]
fn of_many_images_beside_it_is_told_that_some_were_not_asked() {
    let mut folder = Folder::new(20);
    let base = folder.base("base.vhdx");
    folder.child(&base, "base.vhdx", "base_1.avhdx");
    for number in 0..70 {
        fs::write(folder.path(&format!("other {number}.vhdx")), b"another machine's").expect("a file");
    }
    for name in ["base.vhdx", "base_1.avhdx"] {
        assert!(opened(&folder, name).contains(&"images-unasked".to_owned()), "{name}");
    }
}

/// Where names of both cases are kept apart.
#[test]
fn of_names_that_differ_in_case_the_recorded_spelling_is_taken() {
    let mut folder = Folder::new(23);
    let base = folder.base("base.vhdx");
    folder.child(&base, "base.vhdx", "x_1.avhdx");
    fs::copy(folder.path("base.vhdx"), folder.path("BASE.VHDX")).expect("a copy");
    fs::copy(folder.path("base.vhdx"), folder.path("Base.vhdx")).expect("a copy");
    assert_eq!(folder.chains(&folder.scan(0)), [["x_1.avhdx", "base.vhdx"]]);
    fs::remove_file(folder.path("base.vhdx")).expect("it goes");
    assert_eq!(folder.chains(&folder.scan(0)), [["x_1.avhdx", "BASE.VHDX"]]);
}

#[test]
fn what_stands_in_the_parents_place_and_is_no_file_is_told() {
    for (is_loop, words) in [(false, "a folder, not an image"), (true, "symbolic link")] {
        let mut folder = Folder::new(24);
        let base = folder.base("base.vhdx");
        folder.child(&base, "base.vhdx", "x_1.avhdx");
        let place = folder.path("base.vhdx");
        fs::remove_file(&place).expect("the base goes");
        match is_loop {
            true => symlink("base.vhdx", &place).expect("a link to itself"),
            false => fs::create_dir(&place).expect("a folder"),
        }
        let finding = &folder.scan(0)["chains"][0]["findings"][0];
        let found = string(&finding["found"]);
        assert!(found.contains(words) && found.contains("base.vhdx"), "{finding}");
        assert!(string(&finding["advice"]).contains("see to that file first"), "{finding}");
    }
}
