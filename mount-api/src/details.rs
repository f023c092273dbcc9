use crate::NodePath;

/// What an examiner asks of a node besides its [`Attr`](crate::Attr).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Details {
    /// The owner's security identifier as Windows spells it: `S-1-5-21-…`.
    pub owner: Option<String>,
    /// The update sequence number: where in the change journal the last change of the file stands. `None` where the
    /// file system keeps none.
    pub usn: Option<u64>,
    /// Where the node comes from, if no folder has it.
    pub recovered: Option<Recovered>,
}

/// A node that was found by its file record alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// Why no folder has it.
    pub why: WhyRecovered,
    /// The path that it had, as far up as each folder is still known beyond doubt; `None` where not even its name is.
    pub original: Option<NodePath>,
    /// Whether `original` begins at the root; else the folders before it are not known.
    pub original_whole: bool,
}

/// Why no folder has a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyRecovered {
    /// It is in use, and its folder is gone.
    Orphan,
    /// It was deleted. The bytes of its content, holes not counted:
    Deleted {
        /// Bytes that belong to nobody else. Whether others had them meanwhile, nothing tells.
        unallocated: u64,
        /// Bytes that belong to another file by now.
        reused: u64,
    },
}
