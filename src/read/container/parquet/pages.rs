//! Owns how the pages of a leaf come out of the file: those that Snappy packed, as most are, are unpacked here, into memory that
//! is used again. What a page holds is for `leaf`.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageReader as _};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::ChunkReader;
use parquet::file::serialized_reader::SerializedPageReader;
use snap::raw;

use super::buffers::Buffers;
use super::hashes;
use super::leaf::broken;

/// Nothing that Snappy packed is longer than so many times what it takes: three bytes repeat sixty-four.
const MOST_OF_A_BYTE: usize = 22;
/// The head of a page has no more bits for its length.
const MOST: usize = i32::MAX as usize;

/// The pages of one leaf of a row group.
pub struct Pages<R: ChunkReader> {
    pages: SerializedPageReader<R>,
    snappy: Option<raw::Decoder>,
    /// Of the pages so far, packed if they are by Snappy: of each its number of values, and its bytes.
    hash: u128,
    buffers: Buffers,
}

impl<R: ChunkReader> Pages<R> {
    pub fn open(
        source: Arc<R>,
        column: &ColumnChunkMetaData,
        rows: usize,
        buffers: Buffers,
    ) -> Result<Pages<R>> {
        if column.compression() != Compression::SNAPPY {
            let pages = SerializedPageReader::new(source, column, rows, None)?;
            return Ok(Pages { pages, snappy: None, hash: 0, buffers });
        }
        // Told that nothing packed them, the reader gives pages as they lie there. Nobody compares the length that a head says
        // of the page unpacked with Snappy's own, which counts.
        let as_they_lie = column.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
        let pages = SerializedPageReader::new(source, &as_they_lie, rows, None)?;
        Ok(Pages { pages, snappy: Some(raw::Decoder::new()), hash: 0, buffers })
    }

    /// Of all pages so far.
    pub fn hash(&self) -> u128 {
        self.hash
    }

    /// The next page, packed if it is by Snappy; None at the end.
    pub fn next_as_it_lies(&mut self) -> Result<Option<Page>> {
        let page = self.pages.get_next_page()?;
        if let Some(page) = &page {
            let hash = hashes::with(self.hash, &page.num_values().to_le_bytes());
            self.hash = hashes::with(hash, page.buffer());
        }
        Ok(page)
    }

    /// The next page, unpacked; None at the end.
    pub fn next(&mut self) -> Result<Option<Page>> {
        let Some(mut page) = self.next_as_it_lies()? else { return Ok(None) };
        let Some(snappy) = &mut self.snappy else { return Ok(Some(page)) };
        let (bytes, levels) = match &mut page {
            Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => (buf, 0),
            Page::DataPageV2 { is_compressed: false, .. } => return Ok(Some(page)),
            Page::DataPageV2 { buf, rep_levels_byte_len, def_levels_byte_len, .. } => {
                (buf, *rep_levels_byte_len as usize + *def_levels_byte_len as usize)
            }
        };
        *bytes = unpack(snappy, bytes, levels, &self.buffers)?;
        Ok(Some(page))
    }
}

/// Unpacks what follows so many bytes of levels, which stay as they are.
fn unpack(snappy: &mut raw::Decoder, bytes: &[u8], levels: usize, buffers: &Buffers) -> Result<Bytes> {
    let (levels, packed) = bytes.split_at_checked(levels).ok_or_else(|| broken("the page ends too early"))?;
    let failed = |error: snap::Error| ParquetError::External(Box::new(error));
    let length = raw::decompress_len(packed).map_err(failed)?;
    if length > packed.len().saturating_mul(MOST_OF_A_BYTE) || levels.len() + length > MOST {
        return Err(broken("a page is shorter than it says"));
    }
    buffers.fill(levels.len() + length, |room| {
        let (begin, rest) = room.split_at_mut(levels.len());
        begin.copy_from_slice(levels);
        // Of no values there may be nothing at all.
        if length > 0 {
            snappy.decompress(packed, rest).map_err(failed)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_unpacked_behind_its_levels_or_broken() {
        let text = [b'a'; 100];
        let packed = raw::Encoder::new().compress_vec(&text).expect("a few bytes");
        let unpack = |bytes: &[u8], levels| {
            unpack(&mut raw::Decoder::new(), bytes, levels, &Buffers::default())
                .map(|page| page.to_vec())
                .ok()
        };
        assert_eq!(unpack(&packed, 0), Some(text.to_vec()));
        assert_eq!(unpack(&[b"12", &*packed].concat(), 2), Some([b"12", &text[..]].concat()));
        // Of no values there is nothing, or that there is none.
        assert_eq!(unpack(b"12", 2), Some(b"12".to_vec()));
        assert_eq!(unpack(b"12\0", 2), Some(b"12".to_vec()));
        assert_eq!(unpack(b"12", 3), None);
        assert_eq!(unpack(&packed[..packed.len() - 1], 0), None);
        // It says that it is of 4 GiB, or of some more than these bytes can be.
        assert_eq!(unpack(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0], 0), None);
        assert_eq!(unpack(&[100, 0, b'a'], 0), None);
    }
}
