//! The requests of FUSE, each answered from the tree.
//!
//! What is never implemented is answered `ENOSYS` once, which the kernel remembers for the whole connection and does not
//! ask again (open, opendir, flush, fsync, extended attributes, polling); fuser's own defaults would log a warning each
//! time. Everything that writes is answered `EROFS`, though the read-only mount flag keeps most of it from getting here.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileAttr, FileHandle, Filesystem, FopenFlags, Generation,
    INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenAccMode, OpenFlags, PollEvents, PollFlags,
    PollNotifier, RenameFlags, ReplyAttr, ReplyBmap, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus,
    ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLock, ReplyLseek, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite,
    ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use mount_api::{Case, Error, ErrorKind, NodeId, Tree};

use crate::Options;
use crate::attributes::Ownership;
use crate::content::ReadBuffer;
use crate::kept::Kept;
use crate::link;
use crate::listing::{self, LONGEST_NAME, Line};
use crate::loss::Losses;
use crate::name;
use crate::refusal::answer;
use crate::seek::{self, Wanted};

/// How long the kernel may keep what it was told: the tree never changes.
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// The largest request in bytes; also how far ahead the kernel reads, where it may.
const REQUEST_BYTES: u32 = 1 << 20;

/// How many read-aheads may be under way at once.
const BACKGROUND_REQUESTS: u16 = 64;

/// What the kernel is asked for, where it has it.
const CAPABILITIES: [InitFlags; 6] = [
    InitFlags::FUSE_ASYNC_READ,
    InitFlags::FUSE_ASYNC_DIO,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_CACHE_SYMLINKS,
];

const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;
const COLON: u16 = 0x3A;

thread_local! {
    static READ_BUFFER: RefCell<ReadBuffer> = const { RefCell::new(ReadBuffer::new()) };
}

/// A tree as fuser wants a file system. Has no state of its own, so needs no lock.
pub(crate) struct Adapter {
    tree: Arc<dyn Tree>,
    ownership: Ownership,
    case: Case,
    list_streams: bool,
    direct_io: bool,
    losses: Losses,
    kept: Arc<Kept>,
}

impl Adapter {
    pub(crate) fn new(tree: Arc<dyn Tree>, options: &Options) -> Self {
        Adapter {
            tree,
            ownership: Ownership::new(options),
            case: options.case,
            list_streams: options.list_streams,
            direct_io: options.direct_io,
            losses: Losses::new(options.lost),
            kept: Arc::default(),
        }
    }

    /// The files of which bytes were handed out.
    pub(crate) fn kept(&self) -> Arc<Kept> {
        Arc::clone(&self.kept)
    }

    fn stat(&self, node: NodeId) -> Result<FileAttr, Error> {
        // To the kernel, 0 is no node and means that a name does not exist.
        if node.0 == 0 {
            return Err(Error::new(ErrorKind::Corrupt, "the tree gave out node 0"));
        }
        self.ownership.stat(&*self.tree, node)
    }

    /// The node of a name: a file's, or that of a stream where no file has the name. `:stream` is the folder's own.
    fn find(&self, dir: NodeId, name: &OsStr) -> Result<NodeId, Error> {
        let not_found = || Error::new(ErrorKind::NotFound, "no such name");
        let name = name::from_bytes(name.as_bytes()).ok_or_else(not_found)?;
        let missing = match self.tree.lookup(dir, &name, self.case) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidName) => error,
            outcome => return outcome,
        };
        // A stream's name holds no colon, so the last one stands before it.
        let mut parts = name.units().rsplitn(2, |unit| *unit == COLON);
        let (Some(stream), Some(file)) = (parts.next(), parts.next()) else { return Err(missing) };
        if stream.is_empty() {
            return Err(missing);
        }
        let file = if file.is_empty() { dir } else { self.tree.lookup(dir, &file.to_vec().into(), self.case)? };
        self.tree.stream(file, &stream.to_vec().into(), self.case)
    }

    fn link_target(&self, node: NodeId) -> Result<Vec<u8>, Error> {
        let bytes = link::bytes_of(&*self.tree, node)?;
        match bytes.len() {
            0 => Err(Error::new(ErrorKind::Corrupt, "the link points to nothing")),
            1..=link::LONGEST => Ok(bytes),
            _ => Err(Error::new(ErrorKind::Unsupported, "the link's target is longer than Linux takes")),
        }
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        // None of these is needed; an older kernel does without.
        for capability in CAPABILITIES {
            let _ = config.add_capabilities(capability);
        }
        if self.direct_io {
            let _ = config.add_capabilities(InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP);
        }
        let _ = config.set_max_background(BACKGROUND_REQUESTS);
        let _ = config.set_max_write(REQUEST_BYTES);
        // The kernel offers 128 KiB; more has to be asked for after mounting, where one may (`serve`).
        if let Err(most) = config.set_max_readahead(REQUEST_BYTES) {
            let _ = config.set_max_readahead(most);
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match answer("lookup", parent, || self.stat(self.find(NodeId(parent.0), name)?)) {
            Ok(attr) => reply.entry(&FOREVER, &attr, Generation(0)),
            // Node 0 says the same as ENOENT, but the kernel remembers it.
            Err(Errno::ENOENT) => {
                let nothing = self.ownership.unreadable(NodeId(0), mount_api::Kind::File);
                reply.entry(&FOREVER, &nothing, Generation(0));
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match answer("getattr", ino, || self.stat(NodeId(ino.0))) {
            Ok(attr) => reply.attr(&FOREVER, &attr),
            Err(errno) => reply.error(errno),
        }
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match answer("readlink", ino, || self.link_target(NodeId(ino.0))) {
            Ok(target) => reply.data(&target),
            Err(errno) => reply.error(errno),
        }
    }

    fn open(&self, _: &Request, _: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        match (flags.acc_mode() == OpenAccMode::O_RDONLY, self.direct_io) {
            (false, _) => reply.error(Errno::EROFS),
            (true, true) => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
            // From now on the kernel opens files without asking and keeps their pages.
            (true, false) => reply.error(Errno::ENOSYS),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        READ_BUFFER.with_borrow_mut(|buffer| {
            match answer("read", ino, || buffer.fill(&*self.tree, &self.losses, NodeId(ino.0), offset, size)) {
                Ok(bytes) => {
                    self.kept.note(NodeId(ino.0));
                    reply.data(bytes);
                }
                Err(errno) => reply.error(errno),
            }
        });
    }

    fn lseek(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        let wanted = match whence {
            SEEK_DATA => Wanted::Data,
            SEEK_HOLE => Wanted::Hole,
            // The kernel does the others itself.
            _ => return reply.error(Errno::EINVAL),
        };
        let Ok(offset) = u64::try_from(offset) else { return reply.error(Errno::ENXIO) };
        match answer("lseek", ino, || seek::seek(&*self.tree, NodeId(ino.0), offset, wanted)) {
            Ok(Some(found)) => reply.offset(i64::try_from(found).unwrap_or(i64::MAX)),
            Ok(None) => reply.error(Errno::ENXIO),
            Err(errno) => reply.error(errno),
        }
    }

    fn opendir(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.error(Errno::ENOSYS);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let mut taken = Taken::default();
        let outcome = answer("readdir", ino, || {
            let mut take = |line: Line<'_>| {
                taken.count(reply.add(INodeNo(line.node.0), line.next, line.file_type(), OsStr::from_bytes(line.name)))
            };
            let listed = listing::list(&*self.tree, NodeId(ino.0), offset, self.list_streams, &mut take);
            self.losses.end_of_listing(&*self.tree, NodeId(ino.0), listed)
        });
        match taken.refusal(outcome) {
            Some(errno) => reply.error(errno),
            None => reply.ok(),
        }
    }

    fn readdirplus(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        let mut taken = Taken::default();
        let outcome = answer("readdirplus", ino, || {
            let mut take = |line: Line<'_>| {
                let attr = match line.kind {
                    // A name is listed even if nothing more can be told of it.
                    Some(kind) => answer("readdirplus", INodeNo(line.node.0), || self.stat(line.node))
                        .unwrap_or_else(|_| self.ownership.unreadable(line.node, kind)),
                    None => self.ownership.unreadable(line.node, mount_api::Kind::Directory),
                };
                let name = OsStr::from_bytes(line.name);
                taken.count(reply.add(attr.ino, line.next, name, &FOREVER, &attr, Generation(0)))
            };
            let listed = listing::list(&*self.tree, NodeId(ino.0), offset, self.list_streams, &mut take);
            self.losses.end_of_listing(&*self.tree, NodeId(ino.0), listed)
        });
        match taken.refusal(outcome) {
            Some(errno) => reply.error(errno),
            None => reply.ok(),
        }
    }

    fn statfs(&self, _: &Request, ino: INodeNo, reply: ReplyStatfs) {
        match answer("statfs", ino, || Ok(self.tree.info())) {
            Ok(info) => {
                let block = info.block_size.max(512);
                let blocks_in = |bytes: u64| bytes.checked_div(block.into()).unwrap_or(0);
                let longest = u32::try_from(LONGEST_NAME).unwrap_or(u32::MAX);
                // Nothing is available to anybody, and how many files there are is not known.
                reply.statfs(blocks_in(info.total_bytes), blocks_in(info.free_bytes), 0, 0, 0, block, longest, block);
            }
            Err(errno) => reply.error(errno),
        }
    }

    fn access(&self, _: &Request, _: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        // The kernel checks the permission bits itself (`default_permissions`).
        reply.error(Errno::ENOSYS);
    }

    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.error(Errno::ENOSYS);
    }

    fn getxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn listxattr(&self, _: &Request, _: INodeNo, _: u32, reply: ReplyXattr) {
        reply.error(Errno::ENOSYS);
    }

    fn bmap(&self, _: &Request, _: INodeNo, _: u32, _: u64, reply: ReplyBmap) {
        reply.error(Errno::ENOSYS);
    }

    fn poll(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: PollNotifier,
        _: PollEvents,
        _: PollFlags,
        reply: ReplyPoll,
    ) {
        reply.error(Errno::ENOSYS);
    }

    // Locks are kept by the kernel: it asks for these only where a file system wants to be asked.
    fn getlk(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: LockOwner,
        _: u64,
        _: u64,
        _: i32,
        _: u32,
        reply: ReplyLock,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn setlk(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: LockOwner,
        _: u64,
        _: u64,
        _: i32,
        _: u32,
        _: bool,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

    // From here on: what would write.

    fn setattr(
        &self,
        _: &Request,
        _: INodeNo,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        _: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        reply.error(Errno::EROFS);
    }

    fn mknod(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn mkdir(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn unlink(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn rmdir(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn symlink(&self, _: &Request, _: INodeNo, _: &OsStr, _: &Path, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn rename(&self, _: &Request, _: INodeNo, _: &OsStr, _: INodeNo, _: &OsStr, _: RenameFlags, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn link(&self, _: &Request, _: INodeNo, _: INodeNo, _: &OsStr, reply: ReplyEntry) {
        reply.error(Errno::EROFS);
    }

    fn create(&self, _: &Request, _: INodeNo, _: &OsStr, _: u32, _: u32, _: i32, reply: ReplyCreate) {
        reply.error(Errno::EROFS);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        reply.error(Errno::EROFS);
    }

    fn fallocate(&self, _: &Request, _: INodeNo, _: FileHandle, _: u64, _: u64, _: i32, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn copy_file_range(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        reply.error(Errno::EROFS);
    }

    fn setxattr(&self, _: &Request, _: INodeNo, _: &OsStr, _: &[u8], _: i32, _: u32, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }

    fn removexattr(&self, _: &Request, _: INodeNo, _: &OsStr, reply: ReplyEmpty) {
        reply.error(Errno::EROFS);
    }
}

/// How many lines of a listing one reply holds, and whether it became full.
#[derive(Default)]
struct Taken {
    lines: usize,
    full: bool,
}

impl Taken {
    fn count(&mut self, full: bool) -> ControlFlow<()> {
        if full {
            self.full = true;
            return ControlFlow::Break(());
        }
        self.lines = self.lines.saturating_add(1);
        ControlFlow::Continue(())
    }

    /// The error to reply with. Lines that were taken go first: the kernel asks again after them and then gets the
    /// error. An empty reply would mean the end of the folder, so one that had no room for a single line is an error.
    fn refusal(&self, outcome: Result<(), Errno>) -> Option<Errno> {
        match outcome {
            _ if self.lines > 0 => None,
            Err(errno) => Some(errno),
            Ok(()) => self.full.then_some(Errno::EINVAL),
        }
    }
}
