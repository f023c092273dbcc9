use std::thread;

use mount_api::NodeId;

use crate::driver::{Driver, Status};
use crate::memory_tree::{Content, MemoryTree};

const SIZE: u64 = 3 * 1024 * 1024 + 17;

fn mounted() -> (Driver, Content) {
    let mut tree = MemoryTree::new();
    let content = Content { holes: vec![1_000_000..1_100_000], ..Content::of(SIZE, 42) };
    tree.file(NodeId::ROOT, "file", content.clone());
    (Driver::mount(tree), content)
}

#[test]
fn reads_at_any_offset_are_exact() {
    let (driver, content) = mounted();
    let file = driver.open("file").unwrap();
    for (offset, length) in [(0, 1), (0, 4096), (4095, 3), (999_990, 120_000), (SIZE - 5, 5), (0, SIZE as u32)] {
        let expected = content.bytes(offset..offset + u64::from(length));
        assert!(file.read(offset, length).unwrap() == expected, "{offset}, {length}");
    }
}

#[test]
fn a_read_over_the_end_is_short_and_one_behind_it_says_so() {
    let (driver, content) = mounted();
    let file = driver.open("file").unwrap();
    assert_eq!(file.read(SIZE - 5, 100).unwrap(), content.bytes(SIZE - 5..SIZE));
    // STATUS_END_OF_FILE
    for offset in [SIZE, SIZE + 1, u64::MAX] {
        assert_eq!(file.read(offset, 10), Err(Status(0xC000_0011)));
    }
    assert_eq!(file.read(0, 0), Ok(Vec::new()));
}

#[test]
fn eight_threads_read_one_file_through_one_handle() {
    let (driver, content) = mounted();
    let file = driver.open("file").unwrap();
    let whole = content.all();
    thread::scope(|scope| {
        for number in 0..8u64 {
            let (file, whole) = (&file, &whole);
            scope.spawn(move || {
                let mut state = number;
                for _ in 0..200 {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let offset = (state >> 20) % SIZE;
                    let expected = &whole[offset as usize..whole.len().min(offset as usize + 30_000)];
                    assert!(file.read(offset, 30_000).unwrap() == expected, "thread {number}, offset {offset}");
                }
            });
        }
    });
}

#[test]
fn a_folder_has_no_bytes() {
    let mut tree = MemoryTree::new();
    tree.folder(NodeId::ROOT, "folder");
    let driver = Driver::mount(tree);
    assert!(driver.open("folder").unwrap().read(0, 10).is_err());
}
