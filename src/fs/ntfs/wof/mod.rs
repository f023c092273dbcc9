//! Files compressed by WOF (Windows Overlay Filter; "CompactOS"): the unnamed stream is a hole as long as the content, a
//! reparse point tells how it is compressed, and the stream `WofCompressedData` holds a table of chunks and the chunks.
//!
//! `reparse_data` and `chunk_table` are what stands on the disk; `xpress_huffman` and `lzx` decode a chunk, out of
//! `bit_stream`, `prefix_code`, `lz77` and `x86_calls`. `open` finds these parts in a file,
//! `reading` is one read of it.

mod bit_stream;
mod chunk_table;
mod lz77;
mod lzx;
mod open;
mod prefix_code;
mod reading;
mod reparse_data;
#[cfg(test)]
mod vectors;
mod x86_calls;
mod xpress_huffman;

use std::ops::Range;
use std::sync::Arc;

use mount_api::{Error, Faults, Trust};

use super::cache::Cache;
use super::stream::Stream;
use super::unit::Unit;
use super::volume::Volume;
use chunk_table::ChunkTable;
use reading::Reading;
use reparse_data::Algorithm;

use crate::bytes::len_u64;
use crate::report::Code;

/// Decompressed chunks: which file record, which chunk.
pub(super) type Chunks = Cache<(u32, u64), Unit>;

/// The content of a compressed file, opened.
pub(super) struct Wof {
    /// `WofCompressedData`.
    packed: Arc<Stream>,
    table: ChunkTable,
    algorithm: Algorithm,
    /// Bytes of the content.
    size: u64,
    /// Which file record, for the cache.
    record: u32,
    chunks: Arc<Chunks>,
}

impl Wof {
    /// The least trust of the records that the compressed data was found by.
    pub(super) fn trust(&self) -> Trust {
        self.packed.trust()
    }

    /// The stream with the compressed chunks.
    pub(super) fn packed(&self) -> &Stream {
        &self.packed
    }

    /// About how many bytes of memory it takes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Wof>().saturating_add(self.table.weight())
    }

    /// Whether no chunk of all that the size asks for can be there: their table alone is as long as what should hold it, or
    /// longer than the volume.
    pub(super) fn has_no_chunks(&self, volume: &Volume) -> bool {
        self.table.length() >= self.packed.size().min(volume.bytes.size())
    }

    /// Reads bytes of the content, which must lie within its size.
    ///
    /// # Errors
    /// When the host refused all that was asked of it.
    pub(super) fn read(&self, volume: &Volume, buf: &mut [u8], offset: u64, faults: &mut Faults) -> Result<(), Error> {
        if self.has_no_chunks(volume) {
            buf.fill(0);
            faults.lost(offset..offset.saturating_add(len_u64(buf)), Code::NtfsCompressionBad.as_str());
            return Ok(());
        }
        Reading::new(self, volume).read(buf, offset, faults)
    }

    /// The bytes of the content that a chunk stands for.
    fn range(&self, number: u64) -> Range<u64> {
        let size = self.algorithm.chunk_size();
        let start = number.saturating_mul(size);
        start..start.saturating_add(size).min(self.size)
    }

    /// The chunk that holds this byte of the content.
    fn number(&self, at: u64) -> u64 {
        at.checked_div(self.algorithm.chunk_size()).unwrap_or(0)
    }

    /// Decodes a chunk that fills `to`. What is not smaller when compressed stands as it is.
    fn decode(&self, input: &[u8], to: &mut [u8]) -> Result<(), ()> {
        match self.algorithm {
            _ if input.len() > to.len() => Err(()),
            _ if input.len() == to.len() => {
                to.copy_from_slice(input);
                Ok(())
            }
            Algorithm::Xpress(_) => xpress_huffman::decode(input, to),
            Algorithm::Lzx => lzx::decode(input, to),
        }
    }
}
