//! The callbacks that a program causes which lists, opens and reads.

use std::ptr::null_mut;

use winfsp_sys::{FSP_FILE_SYSTEM, FSP_FSCTL_OPEN_FILE_INFO, NTSTATUS, PVOID};

use crate::interface;

const READ: u32 = 0x0012_0089;
const NAME_BYTES: u16 = 16_000;
const BUFFER: usize = 4096;
/// Where a name begins in a record of a listing, and in one of the streams.
const NAME_AT: usize = 104;
const STREAM_NAME_AT: usize = 24;

/// A status that is not success.
pub(crate) type Failed = String;

/// Something that is open.
pub(crate) struct Opened {
    file_system: *mut FSP_FILE_SYSTEM,
    context: PVOID,
    /// The name in its true case.
    pub(crate) name: Vec<u16>,
    /// What tells it from others.
    pub(crate) index: u64,
    pub(crate) size: u64,
}

impl Opened {
    /// Opens a path: each name behind a backslash; the root has none.
    ///
    /// # Safety
    /// The file system is served until what this returns is dropped.
    pub(crate) unsafe fn open(file_system: *mut FSP_FILE_SYSTEM, path: &[u16]) -> Result<Self, Failed> {
        let mut name: Vec<u16> = if path.is_empty() { vec![0x5C, 0] } else { [path, &[0]].concat() };
        let mut normalized = vec![0u16; usize::from(NAME_BYTES) / 2];
        let mut info = FSP_FSCTL_OPEN_FILE_INFO {
            FileInfo: winfsp_sys::FSP_FSCTL_FILE_INFO::default(),
            NormalizedName: normalized.as_mut_ptr(),
            NormalizedNameSize: NAME_BYTES,
        };
        let mut context = null_mut();
        // SAFETY: as WinFsp documents it; all places outlive the call.
        check(unsafe {
            let call = interface(file_system).and_then(|table| table.Open).ok_or("no Open")?;
            call(file_system, name.as_mut_ptr(), 0, READ, &raw mut context, (&raw mut info).cast())
        })?;
        normalized.truncate(usize::from(info.NormalizedNameSize) / 2);
        let (index, size) = (info.FileInfo.IndexNumber, info.FileInfo.FileSize);
        Ok(Opened { file_system, context, name: normalized, index, size })
    }

    /// Reads at an offset; at the end nothing.
    pub(crate) fn read(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Failed> {
        const STATUS_END_OF_FILE: NTSTATUS = 0xC000_0011_u32.cast_signed();
        let (length, mut read) = (u32::try_from(buffer.len()).map_err(|_| "too much at once")?, 0);
        // SAFETY: by the word of who opened this; the buffer has room for so much.
        let status = unsafe {
            let call = interface(self.file_system).and_then(|table| table.Read).ok_or("no Read")?;
            call(self.file_system, self.context, buffer.as_mut_ptr().cast(), offset, length, &raw mut read)
        };
        if status == STATUS_END_OF_FILE {
            return Ok(0);
        }
        check(status).map(|()| read as usize)
    }

    /// Names and attributes of what is in a folder, piece by piece.
    pub(crate) fn list(&self, pattern: Option<&str>) -> Result<Vec<(Vec<u16>, u32)>, Failed> {
        let mut pattern: Option<Vec<u16>> = pattern.map(|pattern| pattern.encode_utf16().chain([0]).collect());
        let pattern = pattern.as_mut().map_or(null_mut(), |pattern| pattern.as_mut_ptr());
        let mut found: Vec<(Vec<u16>, u32)> = Vec::new();
        loop {
            let mut marker = found.last().map(|(name, _)| [name.as_slice(), &[0]].concat());
            let marker = marker.as_mut().map_or(null_mut(), |marker| marker.as_mut_ptr());
            let (mut buffer, mut filled) = (vec![0u8; BUFFER], 0);
            // SAFETY: as for `read`; all places outlive the call.
            check(unsafe {
                let call =
                    interface(self.file_system).and_then(|table| table.ReadDirectory).ok_or("no ReadDirectory")?;
                let room = buffer.as_mut_ptr().cast();
                call(self.file_system, self.context, pattern, marker, room, BUFFER as u32, &raw mut filled)
            })?;
            let before = found.len();
            let ended = each_record(&buffer[..filled as usize], |record| {
                let attributes = [record[8], record[9], record[10], record[11]];
                found.push((units_of(&record[NAME_AT..]), u32::from_le_bytes(attributes)));
            });
            if ended || found.len() == before {
                found.retain(|(name, _)| !matches!(name.as_slice(), [0x2E] | [0x2E, 0x2E]));
                return Ok(found);
            }
        }
    }

    /// The names of the named streams.
    pub(crate) fn streams(&self) -> Result<Vec<Vec<u16>>, Failed> {
        let (mut buffer, mut filled) = (vec![0u8; BUFFER], 0);
        // SAFETY: as for `read`.
        check(unsafe {
            let call = interface(self.file_system).and_then(|table| table.GetStreamInfo).ok_or("no GetStreamInfo")?;
            call(self.file_system, self.context, buffer.as_mut_ptr().cast(), BUFFER as u32, &raw mut filled)
        })?;
        let mut names = Vec::new();
        each_record(&buffer[..filled as usize], |record| names.push(units_of(&record[STREAM_NAME_AT..])));
        names.retain(|name| !name.is_empty());
        Ok(names)
    }

    /// The reparse point, as it is passed around.
    pub(crate) fn reparse_point(&self) -> Result<Vec<u8>, Failed> {
        let (mut buffer, mut size) = (vec![0u8; 16 << 10], 16 << 10);
        let mut name = [self.name.as_slice(), &[0]].concat();
        // SAFETY: as for `read`; the name ends with a NUL.
        check(unsafe {
            let call =
                interface(self.file_system).and_then(|table| table.GetReparsePoint).ok_or("no GetReparsePoint")?;
            call(self.file_system, self.context, name.as_mut_ptr(), buffer.as_mut_ptr().cast(), &raw mut size)
        })?;
        buffer.truncate(usize::try_from(size).map_err(|_| "too long")?);
        Ok(buffer)
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: by the word of who opened this.
        if let Some(call) = unsafe { interface(self.file_system).and_then(|table| table.Close) } {
            // SAFETY: the context is open, and not used again.
            unsafe { call(self.file_system, self.context) };
        }
    }
}

/// Calls `with` for each record of a buffer; whether the mark of the end was among them.
fn each_record(buffer: &[u8], mut with: impl FnMut(&[u8])) -> bool {
    let mut at = 0;
    while at < buffer.len() {
        let size = usize::from(u16::from_le_bytes([buffer[at], buffer[at + 1]]));
        if size == 0 {
            return true;
        }
        with(&buffer[at..at + size]);
        at += size.next_multiple_of(8);
    }
    false
}

fn units_of(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect()
}

fn check(status: NTSTATUS) -> Result<(), Failed> {
    if status == 0 { Ok(()) } else { Err(format!("{:#010X}", status.cast_unsigned())) }
}
