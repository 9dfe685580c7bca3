//! Owns an object of which only some ranges are read, in any order, as a reader of columns does. Ranges are fetched by
//! blocks, and few blocks are kept: one for each column that is read beside others.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::{Object, RANGE, wait};

/// Bytes of ranges that a reader of columns keeps.
const KEPT: u64 = 64 << 20;
/// Columns that lie closer than this are asked for together.
const GAP: u64 = 64 << 10;

/// Why a store gave no bytes.
pub type Failure = Arc<Mutex<Option<io::Error>>>;

/// An object of which only some ranges are read, in any order.
#[derive(Clone)]
pub struct Ranges(Arc<Blocks>);

struct Blocks {
    object: Object,
    /// What is wanted, in order; what lies close together is one.
    spans: Vec<Range<u64>>,
    /// Of how many bytes of a span one block is.
    block: u64,
    /// How many blocks are kept.
    most: usize,
    /// With the place of each; the one that was used last is the last.
    kept: Mutex<VecDeque<(u64, Bytes)>>,
    failure: Failure,
}

impl Object {
    /// Some of its bytes in any order, of which only `wanted` are asked for: those of `columns` columns, which are read side
    /// by side. What the network says stands in `failure`, where whoever reads the bytes has other words for it.
    pub fn ranges(&self, wanted: Vec<Range<u64>>, columns: usize, failure: Failure) -> Ranges {
        let columns = columns as u64 + 1;
        let block = (KEPT / columns).clamp(RANGE / 32, RANGE);
        Ranges(Arc::new(Blocks {
            object: self.clone(),
            spans: together(wanted),
            block,
            most: (KEPT / block).max(columns) as usize,
            kept: Mutex::default(),
            failure,
        }))
    }

    /// Its last bytes, in which a file of columns says where they are.
    pub fn end(&self, failure: Failure) -> Ranges {
        let end = std::iter::once(self.size.saturating_sub(RANGE / 8)..self.size);
        self.ranges(end.collect(), 1, failure)
    }
}

/// Ranges in order, those that lie close together as one.
fn together(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut spans: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match spans.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(GAP) => last.end = last.end.max(range.end),
            _ => spans.push(range),
        }
    }
    spans
}

impl Blocks {
    /// The bytes from a place to the end of its block.
    fn from(&self, place: u64) -> io::Result<Bytes> {
        let range = self.block_of(place);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = match kept.iter().position(|(start, _)| *start == range.start) {
            Some(found) => kept.remove(found).map(|(_, bytes)| bytes).unwrap_or_default(),
            None => {
                let asked = wait(self.object.ask(range.clone()));
                asked.map_err(|error| {
                    let told = io::Error::new(error.kind(), error.to_string());
                    *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    told
                })?
            }
        };
        kept.push_back((range.start, bytes.clone()));
        if kept.len() > self.most {
            kept.pop_front();
        }
        Ok(bytes.slice((place - range.start) as usize..))
    }

    fn block_of(&self, place: u64) -> Range<u64> {
        let next = self.spans.partition_point(|span| span.end <= place);
        match self.spans.get(next).filter(|span| span.start <= place) {
            Some(span) => {
                let start = span.start + (place - span.start) / self.block * self.block;
                start..(start + self.block).min(span.end)
            }
            // Nobody said that it would be wanted, so little of it may be.
            None => place..(place + GAP).min(self.object.size),
        }
    }

    fn is_beyond(&self, end: u64) -> parquet::errors::Result<()> {
        match end > self.object.size {
            true => Err(ParquetError::EOF(format!("there is no byte {end}"))),
            false => Ok(()),
        }
    }
}

impl Length for Ranges {
    fn len(&self) -> u64 {
        self.0.object.size
    }
}

impl ChunkReader for Ranges {
    type T = RangesReader;

    fn get_read(&self, start: u64) -> parquet::errors::Result<RangesReader> {
        self.0.is_beyond(start)?;
        Ok(RangesReader { ranges: self.clone(), place: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        self.0.is_beyond(start.saturating_add(length as u64))?;
        if length == 0 {
            return Ok(Bytes::new());
        }
        let first = self.0.from(start)?;
        if first.len() >= length {
            return Ok(first.slice(..length));
        }
        let mut bytes = first.to_vec();
        while bytes.len() < length {
            let more = self.0.from(start + bytes.len() as u64)?;
            bytes.extend_from_slice(&more[..more.len().min(length - bytes.len())]);
        }
        Ok(bytes.into())
    }
}

/// The bytes from a place on.
pub struct RangesReader {
    ranges: Ranges,
    place: u64,
}

impl Read for RangesReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.place >= self.ranges.len() || buffer.is_empty() {
            return Ok(0);
        }
        let bytes = self.ranges.0.from(self.place)?;
        let count = buffer.len().min(bytes.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.place += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_lie_close_together_are_one() {
        let ranges = vec![200_000..300_000, 0..10, 20..30, 400_000..500_000];
        assert_eq!(together(ranges), [0..30, 200_000..300_000, 400_000..500_000]);
        assert_eq!(together(vec![0..100, 10..20, 900_000..900_001]), [0..100, 900_000..900_001]);
    }
}
