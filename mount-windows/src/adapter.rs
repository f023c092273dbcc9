//! The callbacks of WinFsp, each answered from the tree.
//!
//! What would write is refused as on a medium that is write-protected, though the kernel keeps most of it from getting
//! here. Opening for writing is refused as well, not only the write itself: the kernel's cache would take the bytes first
//! and show them to other programs.

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use mount_api::{Case, Name, Tree};
use windows_sys::Win32::Storage::FileSystem as bits;
use winfsp::filesystem::{
    DirMarker, FileInfo, FileSecurity, FileSystemContext, ModificationDescriptor, OpenFileInfo, VolumeInfo,
};
use winfsp::{Result, U16CStr};

use crate::attributes;
use crate::content;
use crate::listing::Listing;
use crate::loss::Losses;
use crate::options::Options;
use crate::path::{self, Opened};
use crate::pattern::Pattern;
use crate::reparse_point;
use crate::security::Descriptor;
use crate::serve::Event;
use crate::status::{Refusal, WRITE_PROTECTED, answer};
use crate::streams;
use crate::volume;

/// Rights that only a writer needs. Rights over the descriptor are not among them: an administrator gets them unasked,
/// with everything else that is allowed, and changing it is refused anyway.
const WRITING: u32 = bits::FILE_WRITE_DATA
    | bits::FILE_APPEND_DATA
    | bits::FILE_WRITE_EA
    | bits::FILE_WRITE_ATTRIBUTES
    | bits::FILE_DELETE_CHILD
    | bits::DELETE;

/// The longest path that WinFsp takes, in units.
const LONGEST_PATH: usize = 1024;

/// A tree as WinFsp wants a file system. Has no state that a request changes.
pub(crate) struct Adapter {
    tree: Arc<dyn Tree>,
    case: Case,
    losses: Losses,
    descriptor: Descriptor,
    events: Sender<Event>,
}

impl Adapter {
    pub(crate) fn new(tree: Arc<dyn Tree>, options: &Options, descriptor: Descriptor, events: Sender<Event>) -> Self {
        let case = tree.info().case;
        Adapter { tree, case, losses: Losses::new(options.lost), descriptor, events }
    }

    fn find(&self, file_name: &U16CStr) -> std::result::Result<Opened, Refusal> {
        path::resolve(&*self.tree, file_name.as_slice(), self.case)
    }

    /// Answers a request about something that is open.
    fn answer<T>(
        &self,
        request: &'static str,
        opened: &Opened,
        work: impl FnOnce() -> std::result::Result<T, Refusal>,
    ) -> Result<T> {
        answer(request, || format!("node {}", opened.node.0), work)
    }
}

/// Answers a request about a name.
fn answer_name<T>(
    request: &'static str,
    name: &U16CStr,
    work: impl FnOnce() -> std::result::Result<T, Refusal>,
) -> Result<T> {
    answer(request, || Name::from_units(name.as_slice()).to_string(), work)
}

impl FileSystemContext for Adapter {
    type FileContext = Opened;

    fn get_volume_info(&self, out: &mut VolumeInfo) -> Result<()> {
        answer(
            "volume information",
            || "the volume".to_owned(),
            || {
                volume::describe(&self.tree.info(), out);
                Ok(())
            },
        )
    }

    fn get_security_by_name(
        &self,
        file_name: &U16CStr,
        descriptor: Option<&mut [c_void]>,
        reparse_point_resolver: impl FnOnce(&U16CStr) -> Option<FileSecurity>,
    ) -> Result<FileSecurity> {
        let found = answer_name("security", file_name, || {
            Ok(attributes::of(&*self.tree, self.find(file_name)?)?.file_attributes)
        });
        match found {
            Ok(attributes) => Ok(FileSecurity {
                reparse: false,
                sz_security_descriptor: self.descriptor.copy_to(descriptor)?,
                attributes,
            }),
            // A link on the way may lead to what this path does not hold.
            Err(error) => reparse_point_resolver(file_name).ok_or(error),
        }
    }

    fn open(&self, file_name: &U16CStr, _: u32, granted: u32, info: &mut OpenFileInfo) -> Result<Opened> {
        answer_name("open", file_name, || {
            let opened = self.find(file_name)?;
            if granted & WRITING != 0 {
                return Err(WRITE_PROTECTED.into());
            }
            *info.as_mut() = attributes::of(&*self.tree, opened)?;
            let true_case = path::true_case(&*self.tree, opened, file_name.as_slice());
            let normalized = true_case.as_deref().unwrap_or(file_name.as_slice());
            if self.case == Case::Insensitive && normalized.len() < LONGEST_PATH {
                info.set_normalized_name(normalized, None);
            }
            Ok(opened)
        })
    }

    fn close(&self, _: Opened) {}

    fn get_file_info(&self, opened: &Opened, info: &mut FileInfo) -> Result<()> {
        self.answer("attributes", opened, || {
            *info = attributes::of(&*self.tree, *opened)?;
            Ok(())
        })
    }

    fn get_security(&self, _: &Opened, descriptor: Option<&mut [c_void]>) -> Result<u64> {
        self.descriptor.copy_to(descriptor)
    }

    fn read(&self, opened: &Opened, buffer: &mut [u8], offset: u64) -> Result<u32> {
        self.answer("read", opened, || content::read(&*self.tree, &self.losses, opened.node, offset, buffer))
    }

    fn read_directory(
        &self,
        opened: &Opened,
        pattern: Option<&U16CStr>,
        marker: DirMarker<'_>,
        buffer: &mut [u8],
    ) -> Result<u32> {
        self.answer("listing", opened, || {
            let pattern = Pattern::of(pattern.map(U16CStr::as_slice));
            let listing = Listing::new(&*self.tree, opened.node, self.case, pattern, buffer);
            Ok(listing.fill(marker.inner())?)
        })
    }

    fn get_stream_info(&self, opened: &Opened, buffer: &mut [u8]) -> Result<u32> {
        self.answer("streams", opened, || Ok(streams::list(&*self.tree, opened.file, buffer)?))
    }

    fn get_reparse_point_by_name(&self, file_name: &U16CStr, _: bool, buffer: &mut [u8]) -> Result<u64> {
        answer_name("reparse point", file_name, || reparse_point::copy(&*self.tree, self.find(file_name)?.node, buffer))
    }

    fn get_reparse_point(&self, opened: &Opened, _: &U16CStr, buffer: &mut [u8]) -> Result<u64> {
        self.answer("reparse point", opened, || reparse_point::copy(&*self.tree, opened.node, buffer))
    }

    /// Nothing waits to be written.
    fn flush(&self, opened: Option<&Opened>, info: &mut FileInfo) -> Result<()> {
        opened.map_or(Ok(()), |opened| self.get_file_info(opened, info))
    }

    fn dispatcher_stopped(&self, normally: bool) {
        // Nobody listens any more where the end was our own wish.
        let _ = self.events.send(Event::Stopped { normally });
    }

    // From here on: what would write.

    fn create(
        &self,
        _: &U16CStr,
        _: u32,
        _: u32,
        _: u32,
        _: Option<&[c_void]>,
        _: u64,
        _: Option<&[u8]>,
        _: bool,
        _: &mut OpenFileInfo,
    ) -> Result<Opened> {
        Err(WRITE_PROTECTED)
    }

    fn overwrite(&self, _: &Opened, _: u32, _: bool, _: u64, _: Option<&[u8]>, _: &mut FileInfo) -> Result<()> {
        Err(WRITE_PROTECTED)
    }

    fn write(&self, _: &Opened, _: &[u8], _: u64, _: bool, _: bool, _: &mut FileInfo) -> Result<u32> {
        Err(WRITE_PROTECTED)
    }

    fn rename(&self, _: &Opened, _: &U16CStr, _: &U16CStr, _: bool) -> Result<()> {
        Err(WRITE_PROTECTED)
    }

    fn set_basic_info(&self, _: &Opened, _: u32, _: u64, _: u64, _: u64, _: u64, _: &mut FileInfo) -> Result<()> {
        Err(WRITE_PROTECTED)
    }

    fn set_delete(&self, _: &Opened, _: &U16CStr, _: bool) -> Result<()> {
        Err(WRITE_PROTECTED)
    }

    fn set_file_size(&self, _: &Opened, _: u64, _: bool, _: &mut FileInfo) -> Result<()> {
        Err(WRITE_PROTECTED)
    }

    fn set_security(&self, _: &Opened, _: u32, _: ModificationDescriptor) -> Result<()> {
        Err(WRITE_PROTECTED)
    }

    fn set_volume_label(&self, _: &U16CStr, _: &mut VolumeInfo) -> Result<()> {
        Err(WRITE_PROTECTED)
    }

    fn set_reparse_point(&self, _: &Opened, _: &U16CStr, _: &[u8]) -> Result<()> {
        Err(WRITE_PROTECTED)
    }

    fn delete_reparse_point(&self, _: &Opened, _: &U16CStr, _: &[u8]) -> Result<()> {
        Err(WRITE_PROTECTED)
    }

    fn set_extended_attributes(&self, _: &Opened, _: &[u8], _: &mut FileInfo) -> Result<()> {
        Err(WRITE_PROTECTED)
    }
}
