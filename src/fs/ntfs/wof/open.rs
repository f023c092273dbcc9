//! Finding the parts of a compressed file.

use std::sync::Arc;

use mount_api::{Error, ErrorKind};

use super::super::file::File;
use super::super::stream::Stream;
use super::super::tree::sizes;
use super::super::{Ntfs, attribute, corrupt, unsupported};
use super::Wof;
use super::chunk_table::ChunkTable;
use super::reparse_data::Algorithm;
use crate::report::{Code, Severity};

/// The name of the stream with the compressed chunks.
const PACKED: &str = "WofCompressedData";

impl Ntfs {
    /// The content of a file with this reparse point of WOF, as long as its unnamed `stream` says.
    pub(in super::super) fn wof_content(
        &self,
        file: &File,
        stream: &Stream,
        reparse: &[u8],
    ) -> Result<Arc<Stream>, Error> {
        if let Some(content) = self.wof_contents.get(&file.number) {
            return Ok(content);
        }
        let about = |text: &str| format!("file record {}: its content is {text}", file.number);
        let algorithm = Algorithm::parse(reparse).map_err(|(text, code)| {
            unsupported(about(&format!("{text}, which is not read yet"))).with_code(code.as_str())
        })?;
        let watch = self.volume.losses.watch();
        let packed = self.value_named(file, attribute::DATA, &packed_name())?;
        let packed =
            packed.ok_or_else(|| corrupt(about("compressed by WOF, and the stream WofCompressedData is not there")))?;
        if packed.is_encrypted() {
            let text = about("compressed by WOF, then encrypted (EFS), and the key is not at hand");
            return Err(Error::new(ErrorKind::Encrypted, text).with_code(Code::Encrypted.as_str()));
        }
        let table = ChunkTable::new(stream.size(), algorithm.chunk_size(), &self.volume.losses);
        let chunks = Arc::clone(&self.wof_chunks);
        let wof = Wof { packed, table, algorithm, size: stream.size(), record: file.number, chunks };
        if stream.size() > 0 && wof.has_no_chunks(&self.volume) {
            let size = stream.size();
            let text = format!(
                "File record {}: it says to have {size} bytes, compressed by WOF, and what should hold them is too short for the table of so many: all of it is lost",
                file.number
            );
            self.note(Code::NtfsCompressionBad, Severity::Error, text);
        }
        let content = Arc::new(Stream::of_wof(stream, wof));
        self.wof_contents.insert(file.number, Arc::clone(&content), content.weight(), watch.holds());
        Ok(content)
    }
}

fn packed_name() -> Vec<u16> {
    PACKED.encode_utf16().collect()
}

impl File {
    /// Bytes of the disk set aside for the compressed chunks.
    pub(in super::super) fn wof_allocated(&self) -> u64 {
        let packed = self.find(attribute::DATA, &packed_name());
        packed.and_then(|packed| sizes(packed).ok()).map_or(0, |(_, allocated)| allocated)
    }
}
