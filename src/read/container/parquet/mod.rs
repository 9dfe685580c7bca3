//! Owns Parquet: each row is an item, with the columns that somebody reads. Row groups are shared among threads, each with
//! its own reader; a row's number is known from the groups before it. Files and objects of a store are read so, a stream
//! isn't: the end of a Parquet file says where its columns are. Canonical records are read by `row_groups`, what that doesn't
//! know and other shapes by the arrow reader. What a row says is for `rows` to write as a line, or for `shape::columns` to
//! read as it is.

mod batches;
mod buffers;
mod file;
mod footer;
mod hashes;
mod hybrid;
mod leaf;
mod pages;
mod row_groups;
mod telling;
mod values;

use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use arrow_array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::basic::ConvertedType;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length as _};
use parquet::schema::types::Type;
use twox_hash::xxhash3_128;

use self::batches::{Batches, Reader, not_read, sound};
use self::buffers::Buffers;
use self::file::PagedFile;
use self::hashes::Hashes;
use self::row_groups::RowGroups;
use super::{Container, MAGIC_OF_PARQUET};
use crate::error::{Error, Result};
use crate::read::lines::{Block, cannot_read};
use crate::read::settings::Settings;
use crate::read::shape::{Read, Shape, columns};
use crate::read::store::{Failure, Object};
use crate::read::{Progress, Reading};
use crate::types::origin::{InputId, InputSummary};
use crate::types::reason::Reason;

/// Rows that are read by one reader at least, so that opening it costs nothing beside.
const FEWEST_ROWS: u64 = 1 << 14;
/// Bytes of a batch of rows, as far as the file tells; and its rows. What is read of them fits the second-level cache.
const BATCH: u64 = 2 << 20;
const ROWS_OF_BATCH: u64 = 2 << 10;
/// So that a thread that has read its parts helps others with theirs.
const PARTS_A_THREAD: usize = 32;
/// Rows that are looked at to tell a shape.
const TOLD_BY: usize = 64;

/// Some row groups of one file, one after the other.
pub struct Rows {
    input: InputId,
    name: Arc<str>,
    stored: Stored,
    reading: Option<Reading>,
    /// None where the file can't be understood.
    metadata: Option<ArrowReaderMetadata>,
    mask: ProjectionMask,
    batch_rows: usize,
    runs: std::vec::IntoIter<Run>,
    /// Whether rows are read by their columns, which are read as fast as can be.
    is_by_pages: bool,
    reader: Option<Batches>,
    buffers: Buffers,
    batch: Option<RecordBatch>,
    /// The number of the row that comes next, from 0.
    row: u64,
    ended_by: Option<(Reason, String)>,
    /// The part that says what is known of the whole input.
    is_first: bool,
    /// Its groups.
    groups: Range<usize>,
    /// Of those of all parts, by the columns that decide something.
    hashes: Hashes,
    decide: ProjectionMask,
    progress: Arc<Progress>,
}

/// Row groups that one reader reads.
#[derive(Clone)]
struct Run {
    groups: Range<usize>,
    /// From 0.
    rows: Range<u64>,
    bytes: u64,
}

/// Where the columns lie.
#[derive(Clone)]
pub struct Stored {
    place: StoredPlace,
    /// What the network said, of which a reader of columns only says that it can't go on.
    failure: Failure,
}

#[derive(Clone)]
enum StoredPlace {
    File(PathBuf),
    Object(Object),
}

/// Whether a file is Parquet.
pub fn is_parquet(path: &Path) -> bool {
    let mut head = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head == *MAGIC_OF_PARQUET
}

impl Rows {
    /// Opens a file in at most `parts` parts, each for a thread.
    pub fn open(
        input: InputId,
        name: Arc<str>,
        stored: Stored,
        settings: &Settings,
        parts: usize,
        progress: Arc<Progress>,
    ) -> Result<Vec<Rows>> {
        let metadata = stored.metadata(&name)?;
        let mut whole = Rows {
            input,
            name,
            stored,
            reading: None,
            metadata: None,
            mask: ProjectionMask::all(),
            batch_rows: TOLD_BY,
            runs: Vec::new().into_iter(),
            is_by_pages: false,
            reader: None,
            buffers: Buffers::default(),
            batch: None,
            row: 0,
            ended_by: None,
            is_first: true,
            groups: 0..0,
            hashes: Hashes::default(),
            decide: ProjectionMask::all(),
            progress,
        };
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(why) => {
                whole.ended_by = Some((Reason::TruncatedInput, why));
                return Ok(vec![whole]);
            }
        };
        let runs = runs(&metadata);
        if runs.last().is_some_and(|run| run.rows.end > u64::from(u32::MAX)) {
            return Err(Error::new(format!("{}: it has more than 4,294,967,295 rows", whole.name))
                .hint("give it in several files"));
        }
        whole.metadata = Some(metadata);
        let shape = match settings.shape {
            Some(shape) => Ok(shape),
            None => whole.tell(&runs)?,
        };
        match shape {
            Ok(shape) => Ok(whole.parts(shape, settings, runs, parts)),
            Err(seen) => {
                let unknown = || (Reason::UnknownShape, format!("read as parquet, it begins with {seen}"));
                whole.ended_by.get_or_insert_with(unknown);
                whole.runs = Vec::new().into_iter();
                Ok(vec![whole])
            }
        }
    }

    pub fn input(&self) -> InputId {
        self.input
    }

    pub fn shape(&self) -> Option<&'static Shape> {
        self.reading.map(|reading| reading.shape)
    }

    /// Fills `block` with the next rows; false at the end of the part.
    pub fn next(&mut self, block: &mut Block) -> Result<bool> {
        // Its rows hold on to pages, beside which there is no need for those of the next ones.
        block.rows = None;
        let found = self.ended_by.is_some() || self.next_batch()?;
        // The index of a block is its first row, so blocks of all parts are in order.
        block.begin(self.input, self.row as u32, self.reading);
        (block.rows, block.ended_by) = (self.batch.take(), self.ended_by.take());
        self.row += block.rows.as_ref().map_or(0, RecordBatch::num_rows) as u64;
        // What is missing stands for one row, so that no two blocks begin at one.
        self.row += u64::from(block.ended_by.is_some());
        if !found {
            // A part is kept until all inputs are read; its memory needn't be.
            self.buffers = Buffers::default();
            if let Some(metadata) = &self.metadata {
                self.stored.hash_groups(&self.hashes, metadata, self.groups.clone(), &self.decide)?;
            }
        }
        Ok(found)
    }

    /// What is known of the input after its last row; None from all parts but one.
    pub fn finish(self, lines: u64) -> Result<Option<InputSummary>> {
        if !self.is_first {
            return Ok(None);
        }
        let (bytes, hash) = match self.is_hashed() {
            true => self.stored.hash_by_pages(&self.hashes)?,
            false => self.stored.hash()?,
        };
        Ok(Some(InputSummary {
            name: self.name.clone(),
            bytes,
            lines,
            hash,
            container: Container::Parquet.name(),
            shape: self.shape().map(|shape| shape.name),
            columns: match self.shape() {
                Some(_) => Vec::new(),
                None => self.column_names(),
            },
            same_as: None,
        }))
    }

    /// Whether the pages of all row groups were hashed.
    fn is_hashed(&self) -> bool {
        let metadata = self.metadata.as_ref().map(|metadata| metadata.metadata());
        metadata.is_some_and(|metadata| self.hashes.has(0..metadata.num_row_groups()))
    }

    /// Of all leaves, with dots.
    fn column_names(&self) -> Vec<String> {
        let schema = self.metadata.iter().flat_map(|metadata| metadata.parquet_schema().columns());
        schema.map(|column| column.path().parts().join(".")).collect()
    }

    fn parts(
        mut self,
        shape: &'static Shape,
        settings: &Settings,
        runs: Vec<Run>,
        parts: usize,
    ) -> Vec<Rows> {
        let is_as_it_is = matches!(shape.read, Read::AsItIs(_));
        self.is_by_pages = is_as_it_is && !settings.detail;
        let shown = if is_as_it_is { self.columns_only_shown() } else { Vec::new() };
        let is_shown = |path: &[&str]| shown.iter().any(|name| name == path[0]);
        let decide = self.columns_that(|path| shape.fields.keep(path) && !is_shown(path));
        let mask = match self.is_by_pages {
            true => decide.clone(),
            false => self.columns_that(|path| shape.fields.keep(path)),
        };
        // Of a group that is in no run there is nothing.
        let all = self.metadata.as_ref().map_or(0, |metadata| metadata.metadata().num_row_groups());
        let begins = runs.iter().map(|run| run.groups.start).chain([all]);
        let ends = [0].into_iter().chain(runs.iter().map(|run| run.groups.end));
        ends.zip(begins).flat_map(|(end, begin)| end..begin).for_each(|group| self.hashes.put(group, []));
        let reading = Reading { container: Container::Parquet, shape, is_row: self.needs_unfolding(shape) };
        let batch_rows = self.rows_of_batch(&mask);
        let parts = if shape.merges { 1 } else { (parts * PARTS_A_THREAD).clamp(1, runs.len().max(1)) };
        let chunks = runs.len().div_ceil(parts).max(1);
        let mut chunks: Vec<Vec<Run>> = runs.chunks(chunks).map(<[Run]>::to_vec).collect();
        if chunks.is_empty() {
            chunks.push(Vec::new());
        }
        let part = |(place, runs): (usize, Vec<Run>)| Rows {
            input: self.input,
            name: self.name.clone(),
            stored: self.stored.clone(),
            reading: Some(reading),
            metadata: self.metadata.clone(),
            mask: mask.clone(),
            batch_rows,
            row: runs.first().map_or(0, |run| run.rows.start),
            groups: runs.first().map_or(0, |run| run.groups.start)
                ..runs.last().map_or(0, |run| run.groups.end),
            runs: runs.into_iter(),
            is_by_pages: self.is_by_pages,
            reader: None,
            buffers: self.buffers.clone(),
            batch: None,
            ended_by: None,
            is_first: place == 0,
            hashes: self.hashes.clone(),
            decide: decide.clone(),
            progress: self.progress.clone(),
        };
        chunks.into_iter().enumerate().map(part).collect()
    }

    /// The leaves of the schema that somebody reads.
    fn columns_that(&self, keep: impl Fn(&[&str]) -> bool) -> ProjectionMask {
        let Some(metadata) = &self.metadata else { return ProjectionMask::all() };
        let schema = metadata.parquet_schema();
        let mut bytes = vec![0i64; schema.num_columns()];
        for group in metadata.metadata().row_groups() {
            for (bytes, column) in bytes.iter_mut().zip(group.columns()) {
                *bytes = bytes.saturating_add(column.compressed_size());
            }
        }
        let mut leaves = Leaves { keep: &keep, bytes: &bytes, next: 0 };
        let fields = schema.root_schema().get_fields().iter();
        let kept: Vec<usize> = fields
            .flat_map(|field| leaves.kept(field, &field.name().split('.').collect::<Vec<_>>()))
            .collect();
        ProjectionMask::leaves(schema, kept)
    }

    /// Columns of canonical records that a report of requests shows, and nothing else looks at.
    fn columns_only_shown(&self) -> Vec<String> {
        let fields = self.metadata.iter().flat_map(|metadata| metadata.schema().fields());
        fields.filter(|field| columns::is_only_shown(field)).map(|field| field.name().clone()).collect()
    }

    /// Whether a row must be unfolded: a column is dotted, or holds JSON as text.
    fn needs_unfolding(&self, shape: &Shape) -> bool {
        let fields = self.metadata.iter().flat_map(|metadata| metadata.schema().fields());
        fields.into_iter().any(|field| {
            let is_cell = shape.cells.contains(&field.name().as_str()) && !field.data_type().is_nested();
            is_cell || field.name().contains('.')
        })
    }

    fn rows_of_batch(&self, mask: &ProjectionMask) -> usize {
        let groups = self.metadata.iter().flat_map(|metadata| metadata.metadata().row_groups());
        let (mut bytes, mut rows) = (0u64, 0u64);
        for group in groups {
            rows = rows.saturating_add(group.num_rows().max(0) as u64);
            let columns = group.columns().iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf));
            for (_, column) in columns {
                bytes = bytes.saturating_add(column.uncompressed_size().max(0) as u64);
            }
        }
        (BATCH / (bytes / rows.max(1) + 64)).clamp(1, ROWS_OF_BATCH) as usize
    }

    /// Reads the next batch of this part, or notes why its run can't be read to its end.
    fn next_batch(&mut self) -> Result<bool> {
        loop {
            if let Some(reader) = &mut self.reader {
                let (batch, why) = reader.next();
                if why.is_some() {
                    self.stored.check(&self.name)?;
                }
                if batch.is_none() || why.is_some() {
                    self.reader = None;
                }
                if batch.is_some() || why.is_some() {
                    self.batch = batch;
                    self.ended_by = why.map(|why| (Reason::TruncatedInput, why));
                    return Ok(true);
                }
            }
            let (Some(run), Some(metadata)) = (self.runs.next(), &self.metadata) else {
                return Ok(false);
            };
            self.row = run.rows.start;
            // To tell the shape is no progress: all of it is read again.
            if self.reading.is_some() {
                self.progress.bytes.fetch_add(run.bytes, Ordering::Relaxed);
            }
            let part = Part {
                groups: run.groups,
                mask: &self.mask,
                batch_rows: self.batch_rows,
                is_by_pages: self.is_by_pages,
                hashes: &self.hashes,
                buffers: &self.buffers,
            };
            match self.stored.reader(&self.name, metadata, &part)?.filter(|_| !run.rows.is_empty()) {
                Some(reader) => self.reader = Some(Batches::new(reader, run.rows)),
                None => {
                    self.ended_by = Some((Reason::TruncatedInput, not_read(&run.rows)));
                    return Ok(true);
                }
            }
        }
    }
}

/// What one reader reads.
struct Part<'m> {
    groups: Range<usize>,
    mask: &'m ProjectionMask,
    batch_rows: usize,
    is_by_pages: bool,
    hashes: &'m Hashes,
    buffers: &'m Buffers,
}

impl Stored {
    pub fn file(path: &Path) -> Stored {
        Stored { place: StoredPlace::File(path.to_path_buf()), failure: Failure::default() }
    }

    pub fn object(object: &Object) -> Stored {
        Stored { place: StoredPlace::Object(object.clone()), failure: Failure::default() }
    }

    /// What the end of the file says of the rest, or that it isn't sound.
    fn metadata(&self, name: &str) -> Result<std::result::Result<ArrowReaderMetadata, String>> {
        let metadata = match &self.place {
            StoredPlace::File(path) => footer::read(&open(path)?),
            StoredPlace::Object(object) => footer::read(&object.end(self.failure.clone())),
        };
        self.check(name)?;
        Ok(metadata)
    }

    /// None where the file isn't sound.
    fn reader(&self, name: &str, metadata: &ArrowReaderMetadata, part: &Part<'_>) -> Result<Option<Reader>> {
        fn build<T: ChunkReader + 'static>(
            from: T,
            metadata: &ArrowReaderMetadata,
            part: &Part<'_>,
        ) -> Option<Reader> {
            let from = if part.is_by_pages {
                match RowGroups::new(from, metadata, part) {
                    Ok(groups) => return Some(Box::new(groups)),
                    Err(from) => from,
                }
            } else {
                from
            };
            let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(from, metadata.clone())
                .with_row_groups(part.groups.clone().collect())
                .with_projection(part.mask.clone())
                .with_batch_size(part.batch_rows);
            sound(|| builder.build()).ok().map(|reader| Box::new(reader) as Reader)
        }
        let groups = &metadata.metadata().row_groups()[part.groups.clone()];
        let columns = groups.iter().flat_map(|group| group.columns().iter().enumerate());
        let read = columns.filter(|(leaf, _)| part.mask.leaf_included(*leaf));
        // Readers die of one below 0.
        let Some(ranges) = read.map(|(_, column)| range(column)).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let reader = match &self.place {
            // Each reader has a file of its own: readers move its place.
            StoredPlace::File(path) => build(PagedFile::open(path, part.buffers.clone())?, metadata, part),
            StoredPlace::Object(object) => {
                let columns = ranges.len().div_ceil(groups.len().max(1));
                build(object.ranges(ranges, columns, self.failure.clone()), metadata, part)
            }
        };
        self.check(name)?;
        Ok(reader)
    }

    /// Of what is stored: its bytes, and a hash of them or of what stands for them.
    fn hash(&self) -> Result<(u64, String)> {
        let path = match &self.place {
            // Reading all of it would cost what unread columns don't.
            StoredPlace::Object(object) => return Ok((object.size(), object.hash())),
            StoredPlace::File(path) => path,
        };
        let (mut hash, mut bytes) = (xxhash3_128::Hasher::new(), 0);
        let mut file = open(path)?;
        let mut buffer = vec![0; 1 << 18];
        loop {
            let count = file.read(&mut buffer).map_err(|error| Error::io("read", path, &error))?;
            if count == 0 {
                break;
            }
            hash.write(&buffer[..count]);
            bytes += count as u64;
        }
        Ok((bytes, shown(hash.finish_128())))
    }

    /// Hashes those of some groups that weren't while they were read, unless their pages can't be read.
    fn hash_groups(
        &self,
        hashes: &Hashes,
        metadata: &ArrowReaderMetadata,
        groups: Range<usize>,
        decide: &ProjectionMask,
    ) -> Result<()> {
        if let StoredPlace::File(path) = &self.place
            && !hashes.has(groups.clone())
        {
            let file = PagedFile::open(path, Buffers::default())?;
            let _ = sound(|| hashes.complete(file, metadata.metadata(), groups, decide));
        }
        Ok(())
    }

    /// As [`Stored::hash`], where the pages of all groups were hashed.
    fn hash_by_pages(&self, hashes: &Hashes) -> Result<(u64, String)> {
        let StoredPlace::File(path) = &self.place else { return self.hash() };
        let file = open(path)?;
        let bytes = file.len();
        match footer::end(&file) {
            Ok(footer) => Ok((bytes, shown(hashes.of_file(&footer)))),
            Err(_) => self.hash(),
        }
    }

    /// That a store gave no bytes is no fault of the file.
    fn check(&self, name: &str) -> Result<()> {
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(cannot_read(name, &error)),
            None => Ok(()),
        }
    }
}

/// Where a column lies; None of one that lies before the file.
fn range(column: &ColumnChunkMetaData) -> Option<Range<u64>> {
    let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset()).try_into().ok()?;
    Some(start..start.checked_add(column.compressed_size().try_into().ok()?)?)
}

fn shown(hash: u128) -> String {
    format!("{hash:032x}")
}

fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|error| Error::io("read", path, &error))
}

/// Row groups, as many together as make a reader worth its while.
fn runs(metadata: &ArrowReaderMetadata) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut row = 0u64;
    for (place, group) in metadata.metadata().row_groups().iter().enumerate() {
        // Nothing need be read of an empty one.
        if group.num_rows() == 0 && group.columns().iter().all(|column| column.num_values() == 0) {
            continue;
        }
        let (rows, bytes) = (group.num_rows().max(0) as u64, group.compressed_size().max(0) as u64);
        let end = row.saturating_add(rows);
        match runs.last_mut() {
            Some(run) if end - run.rows.start <= FEWEST_ROWS => {
                (run.groups.end, run.rows.end) = (place + 1, end);
                run.bytes = run.bytes.saturating_add(bytes);
            }
            _ => runs.push(Run { groups: place..place + 1, rows: row..end, bytes }),
        }
        row = end;
    }
    runs
}

/// The leaves of a schema, in their order.
struct Leaves<'s> {
    /// Whether what stands at a path of names is read.
    keep: &'s dyn Fn(&[&str]) -> bool,
    /// As stored, by leaf.
    bytes: &'s [i64],
    next: usize,
}

impl Leaves<'_> {
    /// The leaves of a column, or of what is in one, that are read. Of an object that is read, but none of whose members
    /// is, the smallest: that it is there may say something.
    fn kept(&mut self, column: &Type, path: &[&str]) -> Vec<usize> {
        let first = self.next;
        if !column.is_group() {
            self.next += 1;
            return if (self.keep)(path) { vec![first] } else { Vec::new() };
        }
        let mut kept = Vec::new();
        for member in column.get_fields() {
            let below = [path, &[member.name()]].concat();
            let below = if is_structure(member.name()) { path } else { &below };
            kept.extend(self.kept(member, below));
        }
        if !(self.keep)(path) {
            return kept;
        }
        let is_map = matches!(
            column.get_basic_info().converted_type(),
            ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE
        );
        match is_map {
            // What is read of a map stands in its keys, not in the schema.
            true => (first..self.next).collect(),
            false if kept.is_empty() => {
                (first..self.next).min_by_key(|leaf| self.bytes[*leaf]).into_iter().collect()
            }
            false => kept,
        }
    }
}

/// How writers name what is between a list or a map and what is in it.
fn is_structure(part: &str) -> bool {
    matches!(
        part,
        "list" | "element" | "item" | "array" | "bag" | "array_element" | "key_value" | "map" | "entries"
    )
}
