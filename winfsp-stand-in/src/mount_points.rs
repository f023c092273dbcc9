//! Where file systems are mounted: drives, which are but names here, and folders, which WinFsp makes and removes.
//!
//! WinFsp makes the folder itself, and refuses one that is there (its issues 37 and 320 tell why).
#![expect(clippy::disallowed_methods, reason = "stands for WinFsp, which makes the folder and removes it")]

use std::fs;
use std::sync::{Mutex, PoisonError};

use winfsp_sys::NTSTATUS;

use crate::STATUS_SUCCESS;

const STATUS_OBJECT_NAME_COLLISION: NTSTATUS = 0xC000_0035_u32.cast_signed();

/// In the order of the calls.
static MOUNT_POINTS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Mounts at a drive or a folder.
pub(crate) fn set(mount_point: String) -> NTSTATUS {
    let mut mount_points = MOUNT_POINTS.lock().unwrap_or_else(PoisonError::into_inner);
    if mount_points.contains(&mount_point) || (is_folder(&mount_point) && fs::create_dir(&mount_point).is_err()) {
        return STATUS_OBJECT_NAME_COLLISION;
    }
    mount_points.push(mount_point);
    STATUS_SUCCESS
}

/// Takes all of them down.
pub(crate) fn remove() {
    let mut mount_points = MOUNT_POINTS.lock().unwrap_or_else(PoisonError::into_inner);
    for folder in mount_points.drain(..).filter(|mount_point| is_folder(mount_point)) {
        let _ = fs::remove_dir(folder);
    }
}

fn is_folder(mount_point: &str) -> bool {
    !mount_point.ends_with(':')
}
