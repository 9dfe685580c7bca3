//! Owns the end of a Parquet file, which says where its columns lie: reads it, unless its schema is deeper or larger than
//! any log's. Whatever goes through a schema calls itself for each level, so a forged one would end the program.

use std::ops::Deref;
use std::sync::Arc;

use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::errors::Result;
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::{
    FooterTail, ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy,
};
use parquet::file::reader::ChunkReader;
use parquet::schema::types::Type;

use super::batches::{BROKEN, sound};
use super::hybrid::take_number;
use super::leaf::broken;

/// As deep as JSON may be.
const DEEPEST: usize = 128;
/// Columns and groups of a schema. A log has a few dozen, a table with a column for each label some thousands.
const MOST: u64 = 10_000;
/// As many levels as a schema may have columns and groups are gone through on a stack of this size, of which no more is
/// taken up than is needed.
const STACK: usize = MOST as usize * (16 << 10);

/// What the end of a file says of the rest, or why it isn't sound.
pub fn read<T: ChunkReader>(from: &T) -> std::result::Result<ArrowReaderMetadata, String> {
    let bytes = sound(|| end(from))?;
    let count = sound(|| schema_length(&bytes).ok_or_else(|| broken("it doesn't begin with a schema")))?;
    if count > MOST {
        return Err(format!(
            "the Parquet file's schema has {count} columns and groups; more than {MOST} aren't read"
        ));
    }
    std::thread::scope(|scope| {
        let decoder = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || decode(&bytes));
        let decoded = decoder.map_err(|error| format!("no thread to read it with: {error}"))?.join();
        decoded.unwrap_or_else(|_| Err(BROKEN.to_string()))
    })
}

/// What the bytes say. How deep a schema is is known when it was read, and one that is too deep is given up here.
fn decode(bytes: &[u8]) -> std::result::Result<ArrowReaderMetadata, String> {
    // Nobody asks what is least and greatest in a column.
    let options = ParquetMetaDataOptions::new()
        .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_encoding_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll);
    let metadata = sound(|| ParquetMetaDataReader::decode_metadata_with_options(bytes, Some(&options)))?;
    if depth(metadata.file_metadata().schema()) > DEEPEST + 1 {
        return Err(format!("the Parquet file's schema is more than {DEEPEST} levels deep"));
    }
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    sound(|| ArrowReaderMetadata::try_new(Arc::new(metadata), options))
}

/// The levels of a schema, its own among them.
fn depth(own: &Type) -> usize {
    if own.is_primitive() {
        1
    } else {
        1 + own.get_fields().iter().map(|member| depth(member)).max().unwrap_or(0)
    }
}

/// The bytes that say it, before their length and the last word.
pub fn end<T: ChunkReader>(from: &T) -> Result<impl Deref<Target = [u8]> + use<T>> {
    let early = || broken("the file is too short");
    let tail_at = from.len().checked_sub(FOOTER_SIZE as u64).ok_or_else(early)?;
    let tail = FooterTail::try_from(&*from.get_bytes(tail_at, FOOTER_SIZE)?)?;
    let start = tail_at.checked_sub(tail.metadata_length() as u64).ok_or_else(early)?;
    from.get_bytes(start, tail.metadata_length())
}

/// How many columns and groups the schema has. In Thrift's compact protocol its list is the second field, after the
/// version, and says beforehand how long it is. Who writes Parquet writes fields in their order; where another one stands
/// here the file isn't read, so that nobody finds another schema in it than this.
fn schema_length(bytes: &[u8]) -> Option<u64> {
    const NEXT_FIELD_I32: u8 = 0x15;
    const NEXT_FIELD_LIST: u8 = 0x19;
    const STRUCTS: u8 = 12;
    let bytes = bytes.strip_prefix(&[NEXT_FIELD_I32])?;
    let mut at = 0;
    take_number(bytes, &mut at)?;
    let (head, bytes) = bytes[at..].strip_prefix(&[NEXT_FIELD_LIST])?.split_first()?;
    let length = match head >> 4 {
        0xf => take_number(bytes, &mut 0)?,
        short => u64::from(short),
    };
    (head & 0xf == STRUCTS).then_some(length)
}
