use mount_api::{Case, LostReads};

/// How a tree is shown at the mount point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What `/proc/mounts`, `mount` and `df` show as the source, with the process's number behind it; best the path of the
    /// image.
    pub fs_name: String,
    /// Lets users other than the mounting one look at the files. An ordinary user may only ask for it where
    /// `/etc/fuse.conf` holds `user_allow_other`.
    pub allow_other: bool,
    /// How many requests are worked on at once; at least one thread is started. More than there are processors gain no
    /// speed, but a request that waits for failing storage keeps its thread from all others.
    pub threads: usize,
    /// Turns the kernel's page cache and read-ahead off. Random reads from many threads win, sequential ones lose.
    pub direct_io: bool,
    /// Owner of every file and folder.
    pub uid: u32,
    /// Group of every file and folder.
    pub gid: u32,
    /// Permission bits of files, `0o000` to `0o777`. The kernel enforces them.
    pub file_mode: u16,
    /// Permission bits of folders, `0o000` to `0o777`. The kernel enforces them.
    pub dir_mode: u16,
    /// Whether `a` finds `A`.
    pub case: Case,
    /// Whether reads of lost bytes fail. What cannot be read at all fails either way.
    pub lost: LostReads,
    /// Lists named streams as `file:stream` beside their files. Without it they can be opened by name, but are in no
    /// listing.
    pub list_streams: bool,
    /// Leaves a process of `fusermount3` behind that removes the mount when this process is killed. Without it (where
    /// there is none; up to version 3.14, and with some later ones, for an ordinary user without `allow_other`) a kill
    /// leaves a mount that answers every access at once with `ENOTCONN`, until it is unmounted or mounted again.
    pub auto_unmount: bool,
}

impl Default for Options {
    /// Eight threads, the kernel's cache, files `0444` and folders `0555` of the calling user.
    fn default() -> Self {
        Options {
            fs_name: "vhdx-mount".to_owned(),
            allow_other: false,
            threads: 8,
            direct_io: false,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            file_mode: 0o444,
            dir_mode: 0o555,
            case: Case::Sensitive,
            lost: LostReads::Fail,
            list_streams: false,
            auto_unmount: true,
        }
    }
}
