use std::ptr::null_mut;

use mount_api::NodeId;
use winfsp_sys::{FSP_FSCTL_FILE_INFO, FSP_FSCTL_OPEN_FILE_INFO, FSP_FSCTL_VOLUME_INFO};

use crate::driver::{Driver, READ, Status, check, wide};
use crate::memory_tree::{Content, MemoryTree};

const WRITE_PROTECTED: Result<(), Status> = Err(Status(0xC000_00A2));

fn mounted() -> Driver {
    let mut tree = MemoryTree::new();
    tree.file(NodeId::ROOT, "file", Content::of(100, 1));
    tree.folder(NodeId::ROOT, "folder");
    Driver::mount(tree)
}

#[test]
fn nothing_is_opened_for_writing() {
    let driver = mounted();
    // FILE_WRITE_DATA, FILE_APPEND_DATA, FILE_WRITE_EA, FILE_DELETE_CHILD, FILE_WRITE_ATTRIBUTES, DELETE
    for right in [0x2, 0x4, 0x10, 0x40, 0x100, 0x1_0000] {
        for name in ["file", "folder"] {
            let refused = driver.open_for(name, READ | right).map(drop);
            assert_eq!(refused, WRITE_PROTECTED, "{name}, {right:#x}");
        }
    }
}

#[test]
fn every_callback_that_writes_is_refused() {
    let driver = mounted();
    let (fs, table) = (driver.fs(), driver.table());
    let file = driver.open("file").unwrap();
    let mut info = FSP_FSCTL_FILE_INFO::default();
    let mut open_info = FSP_FSCTL_OPEN_FILE_INFO {
        FileInfo: FSP_FSCTL_FILE_INFO::default(),
        NormalizedName: null_mut(),
        NormalizedNameSize: 0,
    };
    let mut volume = FSP_FSCTL_VOLUME_INFO::default();
    let (mut name, mut other) = (wide("file"), wide("other"));
    let (mut context, mut written) = (null_mut(), 0);
    let mut bytes = [0u8; 64];
    let buffer = bytes.as_mut_ptr().cast();
    let info_at = &raw mut info;
    // SAFETY: each call as documented for its callback; all places outlive the calls.
    let outcomes = unsafe {
        [
            (
                "create",
                table.CreateEx.unwrap()(
                    fs,
                    other.as_mut_ptr(),
                    0,
                    2,
                    0x80,
                    null_mut(),
                    0,
                    null_mut(),
                    0,
                    0,
                    &raw mut context,
                    (&raw mut open_info).cast(),
                ),
            ),
            ("overwrite", table.OverwriteEx.unwrap()(fs, file.context, 0x80, 1, 0, null_mut(), 0, info_at)),
            ("write", table.Write.unwrap()(fs, file.context, buffer, 0, 64, 0, 0, &raw mut written, info_at)),
            ("paging write", table.Write.unwrap()(fs, file.context, buffer, 0, 64, 0, 1, &raw mut written, info_at)),
            ("rename", table.Rename.unwrap()(fs, file.context, name.as_mut_ptr(), other.as_mut_ptr(), 1)),
            ("attributes and times", table.SetBasicInfo.unwrap()(fs, file.context, 1, 0, 0, 0, 0, info_at)),
            ("size", table.SetFileSize.unwrap()(fs, file.context, 0, 0, info_at)),
            ("delete", table.SetDelete.unwrap()(fs, file.context, name.as_mut_ptr(), 1)),
            ("security", table.SetSecurity.unwrap()(fs, file.context, 4, buffer)),
            ("label", table.SetVolumeLabelW.unwrap()(fs, other.as_mut_ptr(), &raw mut volume)),
            ("set a link", table.SetReparsePoint.unwrap()(fs, file.context, name.as_mut_ptr(), buffer, 64)),
            ("delete a link", table.DeleteReparsePoint.unwrap()(fs, file.context, name.as_mut_ptr(), buffer, 64)),
            ("extended attributes", table.SetEa.unwrap()(fs, file.context, buffer.cast(), 64, info_at)),
        ]
    };
    for (what, status) in outcomes {
        assert_eq!(check(status), WRITE_PROTECTED, "{what}");
    }
    assert!(context.is_null());
    assert_eq!(file.read(0, 100).unwrap(), Content::of(100, 1).all());
}

#[test]
fn flushing_and_cleaning_up_change_nothing_and_succeed() {
    let driver = mounted();
    let file = driver.open("file").unwrap();
    let mut info = FSP_FSCTL_FILE_INFO::default();
    // SAFETY: as documented for the callbacks; flag 1 asks for the file's deletion.
    let status = unsafe {
        let status = driver.table().Flush.unwrap()(driver.fs(), file.context, &raw mut info);
        driver.table().Cleanup.unwrap()(driver.fs(), file.context, wide("file").as_mut_ptr(), 1);
        status
    };
    assert_eq!((check(status), info.FileSize), (Ok(()), 100));
    assert_eq!(driver.open("file").unwrap().read(0, 100).unwrap(), Content::of(100, 1).all());
}
