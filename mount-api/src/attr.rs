use crate::{Name, Trust};

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A folder.
    Directory,
    /// A file or a stream.
    File,
    /// A reparse point that an operating system would follow as a link (symbolic link, junction).
    Link,
}

/// A point in time: 100-nanosecond steps since 1601-01-01 00:00 UTC, as NTFS and Windows count. 0 means not recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub u64);

impl Time {
    const STEPS_PER_SECOND: u64 = 10_000_000;
    const SECONDS_1601_TO_1970: i64 = 11_644_473_600;

    /// Seconds since 1970-01-01 (negative before) and nanoseconds within the second (0 to 999,999,900).
    #[must_use]
    pub fn to_unix(self) -> (i64, u32) {
        // Both quotients fit: 2^64 / 10^7 < 2^41, and the remainder is below 10^7.
        let seconds = i64::try_from(self.0 / Self::STEPS_PER_SECOND).unwrap_or(i64::MAX);
        let nanos = u32::try_from(self.0 % Self::STEPS_PER_SECOND).unwrap_or(0).saturating_mul(100);
        (seconds.saturating_sub(Self::SECONDS_1601_TO_1970), nanos)
    }

    /// The nearest step at or before this moment; moments before 1601 become [`Time`] 0.
    #[must_use]
    pub fn from_unix(seconds: i64, nanos: u32) -> Self {
        let seconds = u64::try_from(seconds.saturating_add(Self::SECONDS_1601_TO_1970)).unwrap_or(0);
        Time(seconds.saturating_mul(Self::STEPS_PER_SECOND).saturating_add(u64::from(nanos / 100)))
    }
}

/// The four times that NTFS keeps of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// Creation (birth).
    pub created: Time,
    /// Last change of the content.
    pub modified: Time,
    /// Last change of the file record (POSIX ctime).
    pub changed: Time,
    /// Last access.
    pub accessed: Time,
}

/// What is known of a node without reading its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attr {
    /// Folder, file or link.
    pub kind: Kind,
    /// Length of the content in bytes; 0 for folders.
    pub size: u64,
    /// Bytes of the disk set aside for it.
    pub allocated: u64,
    /// The times that programs are shown (NTFS: `$STANDARD_INFORMATION`).
    pub times: Times,
    /// The times of the name entry (NTFS: `$FILE_NAME`), which programs cannot set and examiners compare.
    pub name_times: Option<Times>,
    /// DOS and NTFS attribute bits (`FILE_ATTRIBUTE_*`), reparse bit included.
    pub attributes: u32,
    /// How many names the node has.
    pub links: u32,
    /// Number of the file record; 0 for nodes that have none.
    pub record: u64,
    /// Sequence number of the file record; 0 for nodes that have none.
    pub sequence: u16,
    /// The owner as the file system numbers it (NTFS: security id), where known.
    pub owner: Option<u32>,
    /// Whether the metadata that led here is proven.
    pub trust: Trust,
}

/// What a reparse point says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reparse {
    /// `IO_REPARSE_TAG_*`.
    pub tag: u32,
    /// The bytes after the 8-byte reparse header, as they stand on the disk.
    pub data: Vec<u8>,
    /// Where a symbolic link or junction points; `None` for other tags.
    pub target: Option<ReparseTarget>,
}

/// Where a symbolic link or junction points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReparseTarget {
    /// The substitute name, backslashes as they stand: `..\a\b`, `\??\C:\a\b`.
    pub substitute: Name,
    /// The print name, meant for people; may be empty.
    pub print: Name,
    /// Whether `substitute` starts at the folder that holds the link.
    pub relative: bool,
}

/// The way from the folder that holds a link to where it points, through real folders.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkPath {
    /// How many folders up, never out of the file system that holds the link.
    pub up: usize,
    /// The names from there on, spelled as their folders spell them; each is a name, none is `.` or `..`.
    pub names: Vec<Name>,
}

#[cfg(test)]
mod tests {
    use super::Time;

    #[test]
    fn times_convert_to_unix_and_back() {
        assert_eq!(Time(0).to_unix(), (-11_644_473_600, 0));
        assert_eq!(Time(116_444_736_000_000_000).to_unix(), (0, 0));
        assert_eq!(Time(116_444_736_000_000_001).to_unix(), (0, 100));
        assert_eq!(Time::from_unix(0, 199), Time(116_444_736_000_000_001));
        assert_eq!(Time::from_unix(i64::MIN, 0), Time(0));
        let far = Time(u64::MAX);
        assert_eq!(Time::from_unix(far.to_unix().0, far.to_unix().1), far);
    }
}
