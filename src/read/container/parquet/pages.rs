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
use super::hybrid::take_number;
use super::leaf::broken;

/// Nothing that Snappy packed is longer than so many times what it takes: three bytes repeat sixty-four.
const MOST_OF_A_BYTE: usize = 22;
/// The head of a page has no more bits for its length.
const MOST: usize = i32::MAX as usize;
/// What a page begins with holds some rows: so many bytes of values, beside the levels of all, of a few bits each.
const BRIEF: usize = 64 << 10;

/// The pages of one leaf of a row group.
pub struct Pages<R: ChunkReader> {
    pages: SerializedPageReader<R>,
    snappy: Option<raw::Decoder>,
    /// Only what pages begin with is read.
    is_brief: bool,
    /// Of the pages so far, as they lie in the file if Snappy packed them.
    hash: u128,
    buffers: Buffers,
}

impl<R: ChunkReader> Pages<R> {
    pub fn open(
        source: Arc<R>,
        column: &ColumnChunkMetaData,
        rows: usize,
        is_brief: bool,
        buffers: Buffers,
    ) -> Result<Pages<R>> {
        if column.compression() != Compression::SNAPPY {
            let pages = SerializedPageReader::new(source, column, rows, None)?;
            return Ok(Pages { pages, snappy: None, is_brief, hash: 0, buffers });
        }
        // Told that nothing packed them, the reader gives pages as they lie there. Nobody compares the length that a head says
        // of the page unpacked with Snappy's own, which counts.
        let as_they_lie = column.clone().into_builder().set_compression(Compression::UNCOMPRESSED).build()?;
        let pages = SerializedPageReader::new(source, &as_they_lie, rows, None)?;
        Ok(Pages { pages, snappy: Some(raw::Decoder::new()), is_brief, hash: 0, buffers })
    }

    pub fn hash(&self) -> u128 {
        self.hash
    }

    /// The next page, unpacked; None at the end.
    pub fn next(&mut self) -> Result<Option<Page>> {
        let Some(mut page) = self.pages.get_next_page()? else { return Ok(None) };
        if !self.is_brief {
            self.hash = hashes::with(self.hash, page.buffer());
        }
        let Some(snappy) = &mut self.snappy else { return Ok(Some(page)) };
        let brief = BRIEF + page.num_values() as usize / 2;
        let most = if self.is_brief && !matches!(page, Page::DictionaryPage { .. }) { brief } else { MOST };
        let (bytes, levels) = match &mut page {
            Page::DataPage { buf, .. } | Page::DictionaryPage { buf, .. } => (buf, 0),
            Page::DataPageV2 { is_compressed: false, .. } => return Ok(Some(page)),
            Page::DataPageV2 { buf, rep_levels_byte_len, def_levels_byte_len, .. } => {
                (buf, *rep_levels_byte_len as usize + *def_levels_byte_len as usize)
            }
        };
        *bytes = unpack(snappy, bytes, levels, most, &self.buffers)?;
        Ok(Some(page))
    }
}

/// Unpacks what follows so many bytes of levels, which stay as they are; of what is longer than `most` the beginning.
fn unpack(
    snappy: &mut raw::Decoder,
    bytes: &[u8],
    levels: usize,
    most: usize,
    buffers: &Buffers,
) -> Result<Bytes> {
    let (levels, packed) = bytes.split_at_checked(levels).ok_or_else(|| broken("the page ends too early"))?;
    let failed = |error: snap::Error| ParquetError::External(Box::new(error));
    let length = raw::decompress_len(packed).map_err(failed)?;
    if length > packed.len().saturating_mul(MOST_OF_A_BYTE) || levels.len() + length > MOST {
        return Err(broken("a page is shorter than it says"));
    }
    buffers.fill(levels.len() + length.min(most), |room| {
        let (begin, rest) = room.split_at_mut(levels.len());
        begin.copy_from_slice(levels);
        if length > most {
            return unpack_begin(packed, rest).ok_or_else(|| broken("the page ends too early"));
        }
        // Of no values there may be nothing at all.
        if length > 0 {
            snappy.decompress(packed, rest).map_err(failed)?;
        }
        Ok(())
    })
}

/// Unpacks as much as there is room for, which no decoder of Snappy does: byte by byte, since it is little.
fn unpack_begin(packed: &[u8], room: &mut [u8]) -> Option<()> {
    let (mut at, mut end) = (0, 0);
    take_number(packed, &mut at)?;
    while end < room.len() {
        let (tag, rest) = packed.get(at..)?.split_first()?;
        let upper = usize::from(tag >> 2);
        let number = |bytes: usize| {
            let bytes = rest.get(..bytes)?.iter().rev();
            Some(bytes.fold(0, |number, byte| number << 8 | usize::from(*byte)))
        };
        let (bytes, length, offset) = match tag & 3 {
            // Bytes as they are: so many, or their number stands before them.
            0 => match upper.saturating_sub(59) {
                0 => (0, upper + 1, None),
                bytes => (bytes, number(bytes)? + 1, None),
            },
            // Bytes once more that stand so far before.
            1 => (1, (upper & 7) + 4, Some(upper >> 3 << 8 | number(1)?)),
            2 => (2, upper + 1, Some(number(2)?)),
            _ => (4, upper + 1, Some(number(4)?)),
        };
        at += 1 + bytes;
        let length = length.min(room.len() - end);
        match offset {
            None => {
                room[end..end + length].copy_from_slice(packed.get(at..at + length)?);
                at += length;
            }
            Some(offset) => {
                let start = end.checked_sub(offset).filter(|start| *start < end)?;
                (0..length).for_each(|place| room[end + place] = room[start + place]);
            }
        }
        end += length;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_unpacked_behind_its_levels_or_broken() {
        let text = [b'a'; 100];
        let packed = raw::Encoder::new().compress_vec(&text).expect("a few bytes");
        let unpack = |bytes: &[u8], levels| {
            unpack(&mut raw::Decoder::new(), bytes, levels, MOST, &Buffers::default())
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

    #[test]
    fn the_beginning_of_a_page_is_unpacked_alone() {
        let mut seed = 1u32;
        let text: Vec<u8> = (0..40_000u32)
            .flat_map(|place| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                // Alike, all the same, and such as can't be packed.
                match place / 10_000 {
                    0 => place.to_le_bytes(),
                    1 => [0; 4],
                    2 => [0, 0, (seed >> 24) as u8, 0],
                    _ => seed.to_be_bytes(),
                }
            })
            .collect();
        let packed = raw::Encoder::new().compress_vec(&text).expect("some bytes");
        for length in (0..text.len()).step_by(997).chain([1, 60, text.len()]) {
            let mut room = vec![0; length];
            assert_eq!(unpack_begin(&packed, &mut room), Some(()), "{length}");
            assert!(room == text[..length], "{length}");
        }
        assert_eq!(unpack_begin(&packed, &mut vec![0; text.len() + 1]), None);
        // Nothing stands before it.
        assert_eq!(unpack_begin(&[9, 1, 0], &mut [0; 4]), None);
        assert_eq!(unpack_begin(&[9, 0, b'a', 1, 2], &mut [0; 5]), None);
        assert_eq!(unpack_begin(&[9, 0, b'a', 1, 0], &mut [0; 5]), None);
    }
}
