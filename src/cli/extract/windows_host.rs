//! What Windows keeps of a file besides its content, for what writes to the destination.

use std::ffi::OsStr;
use std::io;
use std::os::windows::io::AsHandle;

use mount_windows::NamedStreams;
use vhdx_mount::extract::sink::{Host, Opened, Streams};

/// This Windows.
pub(super) struct WindowsHost;

struct OnVolume(NamedStreams);

impl Host for WindowsHost {
    fn streams(&self, folder: &Opened) -> io::Result<Option<Box<dyn Streams>>> {
        let found = NamedStreams::on_volume_of(folder.as_handle())?;
        Ok(found.map(|streams| -> Box<dyn Streams> { Box::new(OnVolume(streams)) }))
    }

    fn set_attributes(&self, folder: &Opened, attributes: u32) -> io::Result<()> {
        mount_windows::set_attributes(folder.as_handle(), attributes)
    }
}

impl Streams for OnVolume {
    fn create(&self, of: &Opened, name: &OsStr) -> io::Result<Opened> {
        self.0.create(of.as_handle(), name).map(Opened::from)
    }

    fn open(&self, of: &Opened, name: &OsStr) -> io::Result<Opened> {
        self.0.open(of.as_handle(), name).map(Opened::from)
    }

    fn rename(&self, stream: &Opened, name: &OsStr) -> io::Result<()> {
        self.0.rename(stream.as_handle(), name)
    }

    fn remove(&self, of: &Opened, name: &OsStr) -> io::Result<()> {
        self.0.remove(of.as_handle(), name)
    }
}
