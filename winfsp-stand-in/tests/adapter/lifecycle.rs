#![expect(clippy::disallowed_methods, reason = "makes the folder that is mounted on")]

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use mount_api::NodeId;
use mount_windows::{MountErrorKind, Options};

use crate::driver::{Driver, TARGET, one_mount, options};
use crate::memory_tree::{Content, MemoryTree, Quirk};

#[test]
fn a_mount_ends_when_another_process_asks_and_can_be_made_again() {
    for _ in 0..2 {
        Driver::mount(MemoryTree::new()).unmount().unwrap();
    }
    let refused = mount_windows::unmount(Path::new("R:")).unwrap_err();
    assert_eq!(refused.kind(), MountErrorKind::NotMounted);
}

#[test]
fn a_second_mount_at_one_place_is_refused() {
    let _driver = Driver::mount(MemoryTree::new());
    let refused =
        mount_windows::mount(Arc::new(MemoryTree::new()), Path::new(TARGET), &options(), || ControlFlow::Continue(()))
            .unwrap_err();
    assert_eq!(refused.kind(), MountErrorKind::TargetInUse);
    assert!(refused.advice().contains("vhdx-mount unmount"), "{}", refused.advice());
}

#[test]
fn a_driver_that_goes_away_ends_the_mount_with_an_error() {
    let ended = Driver::mount(MemoryTree::new()).unload().unwrap_err();
    assert_eq!(ended.kind(), MountErrorKind::Failed);
    assert!(ended.to_string().contains("driver"), "{ended}");
}

#[test]
fn a_tree_without_a_root_is_refused_before_anything_is_mounted() {
    let mut tree = MemoryTree::new();
    tree.file(NodeId::ROOT, "file", Content::of(1, 1));
    tree.set_quirk(NodeId::ROOT, Quirk::NoAttr);
    let mut stood = false;
    let refused = mount_windows::mount(Arc::new(tree), Path::new("S:"), &options(), || {
        stood = true;
        ControlFlow::Continue(())
    })
    .unwrap_err();
    assert_eq!(refused.kind(), MountErrorKind::Root);
    assert!(!stood);
}

#[test]
fn without_winfsp_the_message_says_what_to_install() {
    let mut options = Options::default();
    options.library = Some("no-such-folder/winfsp-x64.dll".into());
    let refused =
        mount_windows::mount(Arc::new(MemoryTree::new()), Path::new("S:"), &options, || ControlFlow::Continue(()))
            .unwrap_err();
    assert_eq!(refused.kind(), MountErrorKind::NoWinFsp);
    assert!(refused.to_string().contains("WinFsp is not installed"), "{refused}");
    assert!(refused.advice().contains("https://winfsp.dev"), "{}", refused.advice());
}

#[test]
fn a_mount_that_nobody_waits_for_any_more_ends_at_once() {
    let _one = one_mount();
    mount_windows::mount(Arc::new(MemoryTree::new()), Path::new("S:"), &options(), || ControlFlow::Break(())).unwrap();
    assert_eq!(mount_windows::unmount(Path::new("S:")).unwrap_err().kind(), MountErrorKind::NotMounted);
}

#[test]
fn a_folder_that_is_empty_or_not_there_holds_the_mount_and_is_as_before_afterwards() {
    let _one = one_mount();
    let scratch = std::env::temp_dir().join(format!("vhdx-mount-target-{}", std::process::id()));
    let place = scratch.join("look");
    std::fs::create_dir_all(&scratch).unwrap();
    for stands in [false, true] {
        if stands {
            std::fs::create_dir(&place).unwrap();
        }
        let mut folders = 0;
        mount_windows::mount(Arc::new(MemoryTree::new()), &place, &options(), || {
            folders = std::fs::read_dir(&scratch).unwrap().count();
            ControlFlow::Break(())
        })
        .unwrap();
        assert_eq!(folders, if stands { 2 } else { 1 }, "WinFsp's folder, and the one that is set aside");
        let left: Vec<_> = std::fs::read_dir(&scratch).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left, if stands { vec![place.clone()] } else { vec![] });
    }
    std::fs::write(place.join("file"), "").unwrap();
    let refused = mount_windows::mount(Arc::new(MemoryTree::new()), &place, &options(), || ControlFlow::Continue(()));
    assert_eq!(refused.unwrap_err().kind(), MountErrorKind::TargetInUse);
    std::fs::remove_dir_all(&scratch).unwrap();
}
