//! Owns the end of a Parquet file, which says where its columns lie: reads it, unless its schema is deeper than any log's.
//! Whatever goes through a schema calls itself for each level, so a forged one would end the program.

use std::ops::Deref;
use std::sync::Arc;

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::Result;
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::{FooterTail, ParquetMetaDataOptions, ParquetMetaDataReader};
use parquet::file::reader::ChunkReader;

use super::batches::sound;
use super::leaf::broken;

/// As deep as JSON may be.
const DEEPEST: usize = 128;

/// What the end of a file says of the rest, or why it isn't sound.
pub fn read<T: ChunkReader>(from: &T) -> std::result::Result<ArrowReaderMetadata, String> {
    let bytes = sound(|| end(from))?;
    let is_too_deep = sound(|| is_too_deep(&bytes).ok_or_else(|| broken("a schema that isn't one")))?;
    if is_too_deep {
        return Err(format!("the Parquet file's schema is more than {DEEPEST} levels deep"));
    }
    sound(|| {
        let options = ParquetMetaDataOptions::new();
        let metadata = ParquetMetaDataReader::decode_metadata_with_options(&bytes, Some(&options))?;
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        ArrowReaderMetadata::try_new(Arc::new(metadata), options)
    })
}

/// The bytes that say it, before their length and the last word.
fn end<T: ChunkReader>(from: &T) -> Result<impl Deref<Target = [u8]> + use<T>> {
    let early = || broken("the file is too short");
    let tail_at = from.len().checked_sub(FOOTER_SIZE as u64).ok_or_else(early)?;
    let tail = FooterTail::try_from(&*from.get_bytes(tail_at, FOOTER_SIZE)?)?;
    let start = tail_at.checked_sub(tail.metadata_length() as u64).ok_or_else(early)?;
    from.get_bytes(start, tail.metadata_length())
}

/// None of what is no schema. It stands there as a list of its columns and groups, each group before its members.
fn is_too_deep(bytes: &[u8]) -> Option<bool> {
    let mut thrift = Thrift { bytes };
    let mut id = 0;
    // The version stands before it.
    while let (1, Thrift::I32) = thrift.field(&mut id)? {
        thrift.varint()?;
    }
    if id != 2 {
        return None;
    }
    // Of each group that is open, the members that are still to come; first the root's place.
    let mut open = vec![1];
    for _ in 0..thrift.list()?.1 {
        let members = thrift.members()?;
        while open.last() == Some(&0) {
            open.pop();
        }
        *open.last_mut()? -= 1;
        if open.len() > DEEPEST + 1 {
            return Some(true);
        }
        open.extend((members > 0).then_some(members));
    }
    open.iter().all(|left| *left == 0).then_some(false)
}

/// What is left of bytes in Thrift's compact protocol.
struct Thrift<'b> {
    bytes: &'b [u8],
}

impl Thrift<'_> {
    const I32: u8 = 5;
    const BINARY: u8 = 8;

    fn byte(&mut self) -> Option<u8> {
        let byte;
        (byte, self.bytes) = self.bytes.split_first()?;
        Some(*byte)
    }

    fn skip_bytes(&mut self, count: u64) -> Option<()> {
        self.bytes = self.bytes.get(usize::try_from(count).ok()?..)?;
        Some(())
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// A number below 0 is none here.
    fn whole(&mut self) -> Option<u64> {
        let number = self.varint()?;
        (number & 1 == 0).then_some(number >> 1)
    }

    /// The id of the next field of a struct, after the last one's, and its type: 0 at the end.
    fn field(&mut self, id: &mut u64) -> Option<(u64, u8)> {
        let head = self.byte()?;
        match (head >> 4, head & 0xf) {
            (_, 0) => return Some((0, 0)),
            (0, _) => *id = self.whole()?,
            (more, _) => *id += u64::from(more),
        }
        Some((*id, head & 0xf))
    }

    /// The type of the items of a list, and their number.
    fn list(&mut self) -> Option<(u8, u64)> {
        let head = self.byte()?;
        let count = if head >> 4 == 0xf { self.varint()? } else { u64::from(head >> 4) };
        Some((head & 0xf, count))
    }

    /// How many members a column or group of a schema has. Of the wrong type, a field would be read as another than here.
    fn members(&mut self) -> Option<u64> {
        let (mut members, mut id) = (0, 0);
        loop {
            match self.field(&mut id)? {
                (_, 0) => return Some(members),
                (4, Thrift::BINARY) => self.skip(Thrift::BINARY, 1)?,
                (5, Thrift::I32) => members = self.whole()?,
                (1..=3 | 6..=9, Thrift::I32) => self.skip(Thrift::I32, 1)?,
                (10.., other) => self.skip(other, 16)?,
                _ => return None,
            }
        }
    }

    /// Goes over the value of a field, in which few others are.
    fn skip(&mut self, of_type: u8, levels: u8) -> Option<()> {
        let below = levels.checked_sub(1)?;
        match of_type {
            // Which of both is its value.
            1 | 2 => {}
            3 => self.skip_bytes(1)?,
            4..=6 => drop(self.varint()?),
            7 => self.skip_bytes(8)?,
            Thrift::BINARY => {
                let length = self.varint()?;
                self.skip_bytes(length)?;
            }
            9 | 10 => {
                let (of_items, count) = self.list()?;
                for _ in 0..count {
                    match of_items {
                        1 | 2 => self.skip_bytes(1)?,
                        other => self.skip(other, below)?,
                    }
                }
            }
            12 => {
                let mut id = 0;
                loop {
                    match self.field(&mut id)? {
                        (_, 0) => break,
                        (_, other) => self.skip(other, below)?,
                    }
                }
            }
            // No other is in any schema.
            _ => return None,
        }
        Some(())
    }
}
