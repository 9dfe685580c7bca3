//! Holds the reader of plain rows against the strict decoder, row by row: whatever it reads of a row, the strict decoder
//! makes of the line that the row is written as. On believable and awkward records in Parquet, in every layout, with
//! values, members and whole columns changed. `RERATE_LAWS=10` makes ten times as many files. And holds what is read of
//! a file's pages against what the arrow reader makes of them, in every encoding.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{MapBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::{
    Array, ArrayRef, Int64Array, ListArray, RecordBatch, StringArray, StructArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use arrow_schema::{DataType, Field, FieldRef};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion,
};
use rerate::books::{Books, Sources};
use rerate::read::container::parquet::{Rows, Stored};
use rerate::read::container::rows::Columns;
use rerate::read::lines::Block;
use rerate::read::settings::{Defaults, Settings};
use rerate::read::shape::canonical::{self, Decoded, Decoder};
use rerate::read::shape::columns::{ColumnReader, Key, LONGEST_PLAIN};
use rerate::read::shape::plain::Plain;
use rerate::read::shape::value::Value as Read;
use rerate::read::shape::{Item, Items, Shape};
use rerate::types::day::Instant;
use rerate::types::origin::InputId;
use rerate::types::reason::Reason::{self, *};
use rerate::types::request::Facts;
use rerate::types::usage::{Counts, Usage};
use serde_json::{Value, json};
use twox_hash::XxHash3_128;

use crate::awkward::{Dice, Log};
use crate::containers::{Row, arrays, flattened, of_arrays, of_batch, records, with_cells};

const PROJECT: &str = "of-the-flag";

/// A row whose key has one of these faults is plain; all others show that it isn't.
const OF_KEY: [Reason; 7] =
    [MissingField, WrongType, BadStatus, UnknownMethod, BadUsageTier, BadChannel, UnknownServiceTier];

struct Both<'b> {
    books: &'b Books,
    decoder: Decoder<'b>,
    columns: ColumnReader,
    /// By key, without the project of those that have one, what the strict decoder made of it, and whether any of it was
    /// refused for the key's sake.
    known: HashMap<(Key, bool), (Facts<String>, bool)>,
    refused: HashSet<(Key, bool)>,
    rows: u64,
    plain: u64,
}

#[test]
fn what_is_read_of_a_plain_row_is_what_the_strict_decoder_makes_of_it() {
    let books = Books::load(&Sources::default()).expect("the embedded books");
    let defaults = Defaults { project: Some(PROJECT.to_string()), ..Defaults::default() };
    let mut both = Both {
        books: &books,
        decoder: Decoder::new(&books.methods, &defaults),
        columns: ColumnReader::default(),
        known: HashMap::new(),
        refused: HashSet::new(),
        rows: 0,
        plain: 0,
    };
    let scratch = tempfile::tempdir().expect("a folder");
    let believable = records();
    let awkward: Vec<Row> = (0..8)
        .flat_map(|seed| Log::new(seed).lines)
        .filter_map(|line| serde_json::from_slice(&line.bytes).ok())
        .collect();
    assert!(awkward.len() > 200, "{}", awkward.len());
    let walk: usize = std::env::var("RERATE_LAWS").map_or(1, |times| times.parse().expect("a number"));
    let mut dice = Dice::new(1);
    let mut pages = 0;
    for _ in 0..120 * walk {
        let from = if dice.below(3) > 0 { &believable } else { &awkward };
        let mut rows: Vec<Row> =
            (0..40).map(|_| dice.pick(&from.iter().collect::<Vec<_>>()).clone()).collect();
        for _ in 0..dice.below(12) {
            let row = dice.below(rows.len());
            change(&mut rows[row], &mut dice);
        }
        if dice.below(3) == 0 {
            change_all(&mut rows, &mut dice);
        }
        let rows: Vec<Row> = match dice.below(5) {
            0 => rows.iter().map(flattened).collect(),
            1 => rows.iter().map(with_cells).collect(),
            2 => rows.iter().map(partly_flattened).collect(),
            _ => rows,
        };
        let arrays = retyped(arrays(&rows), &rows, &mut dice);
        let path = scratch.path().join("log.parquet");
        let (group, writer) = (dice.pick(&[7, 40]), dice.pick(&WRITERS)());
        let written = match dice.below(2) {
            0 => of_arrays(arrays, group, writer),
            _ => of_batch(&required(arrays), group, writer),
        };
        std::fs::write(&path, written).expect("a log");
        both.file(&path);
        pages += usize::from(pages_are_as_arrow_reads_them(&path));
    }
    let refused_too = both.refused.iter().filter(|key| both.known.contains_key(*key)).count();
    assert_eq!(refused_too, 0, "rows of one key are refused, or none is");
    let (rows, plain) = (both.rows, both.plain);
    assert!(plain > rows / 7, "{plain} of {rows} rows are plain");
    assert!(pages > 60 * walk, "of {} files {pages} are read by their pages", 120 * walk);
}

/// How files are written: as nearly all are; with values in pages, not in a dictionary; with pages of another version, or
/// of few rows; with a dictionary that is soon full; with an encoding that is for the arrow reader.
const WRITERS: [fn() -> WriterPropertiesBuilder; 9] = [
    WriterProperties::builder,
    || WriterProperties::builder().set_compression(Compression::SNAPPY),
    || WriterProperties::builder().set_dictionary_enabled(false),
    || WriterProperties::builder().set_writer_version(WriterVersion::PARQUET_2_0),
    || {
        let properties = WriterProperties::builder().set_writer_version(WriterVersion::PARQUET_2_0);
        properties.set_compression(Compression::ZSTD(ZstdLevel::default()))
    },
    || {
        let properties = WriterProperties::builder().set_writer_version(WriterVersion::PARQUET_2_0);
        let properties = properties.set_compression(Compression::SNAPPY);
        properties.set_data_page_row_count_limit(7).set_write_batch_size(3)
    },
    || WriterProperties::builder().set_data_page_row_count_limit(5).set_write_batch_size(3),
    || WriterProperties::builder().set_dictionary_page_size_limit(40).set_write_batch_size(2),
    || {
        WriterProperties::builder()
            .set_column_dictionary_enabled("model".into(), false)
            .set_column_encoding("model".into(), Encoding::DELTA_BYTE_ARRAY)
    },
];

/// Columns and members that are never null may not be: then a file has no levels of them.
fn required(columns: Vec<(String, ArrayRef)>) -> RecordBatch {
    let columns: Vec<_> = columns.into_iter().map(|(name, array)| (name, never_null(array))).collect();
    let may_be_null = |array: &ArrayRef| array.null_count() > 0;
    let columns = columns.into_iter().map(|(name, array)| (name, array.clone(), may_be_null(&array)));
    RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length")
}

fn never_null(array: ArrayRef) -> ArrayRef {
    if let Some(object) = array.as_struct_opt() {
        let (fields, members, nulls) = object.clone().into_parts();
        let members: Vec<ArrayRef> = members.into_iter().map(never_null).collect();
        let field = |(field, member): (&FieldRef, &ArrayRef)| {
            Field::new(field.name(), member.data_type().clone(), member.null_count() > 0)
        };
        let fields = fields.iter().zip(&members).map(field).collect();
        return Arc::new(StructArray::new(fields, members, nulls));
    }
    if let Some(list) = array.as_list_opt::<i32>() {
        let (field, offsets, items, nulls) = list.clone().into_parts();
        let items = never_null(items);
        let field = Field::new(field.name(), items.data_type().clone(), items.null_count() > 0);
        return Arc::new(ListArray::new(Arc::new(field), offsets, items, nulls));
    }
    array
}

#[test]
fn batches_and_pages_end_anywhere() {
    let scratch = tempfile::tempdir().expect("a folder");
    let path = scratch.path().join("log.parquet");
    let rows: Vec<Row> = records().iter().cycle().take(5000).cloned().collect();
    let arrays = arrays(&rows);
    for (place, properties) in WRITERS[..8].iter().enumerate() {
        std::fs::write(&path, of_arrays(arrays.clone(), 4700, properties())).expect("a log");
        assert!(pages_are_as_arrow_reads_them(&path), "{place}");
        let required = of_batch(&required(arrays.clone()), 4700, properties());
        std::fs::write(&path, required).expect("a log");
        assert!(pages_are_as_arrow_reads_them(&path), "{place}, required");
    }
}

/// Holds what is read of pages against what the arrow reader makes of the file; false if it is read by that one.
fn pages_are_as_arrow_reads_them(path: &Path) -> bool {
    let (mut names, mut lines, mut is_by_pages) = (Vec::new(), Vec::new(), false);
    each_block(path, false, |block, _| {
        let batch = block.rows.as_ref().expect("rows");
        names = batch.schema().fields().iter().map(|field| field.name().clone()).collect();
        // What the arrow reader isn't asked for.
        let is_of_pages =
            |column: &ArrayRef| matches!(column.data_type(), DataType::Dictionary(..) | DataType::Utf8View);
        is_by_pages |= batch.columns().iter().any(is_of_pages);
        lines.extend(lines_of(batch));
    });
    let mut by_arrow = Vec::new();
    // With details no column is read by its pages, and there are some more.
    each_block(path, true, |block, _| {
        let batch = block.rows.as_ref().expect("rows");
        let places = names.iter().map(|name| batch.schema().index_of(name).expect("a column"));
        by_arrow.extend(lines_of(&batch.project(&places.collect::<Vec<_>>()).expect("columns")));
    });
    assert_eq!(lines.len(), by_arrow.len());
    for (line, by_arrow) in lines.iter().zip(&by_arrow) {
        assert_eq!(String::from_utf8_lossy(line), String::from_utf8_lossy(by_arrow));
    }
    is_by_pages
}

/// Where a file has no CRCs a flipped byte may be a value, or the end of a page: both read the same, if they do.
#[test]
fn of_pages_with_a_flipped_byte_nothing_else_is_read_than_by_arrow() {
    let scratch = tempfile::tempdir().expect("a folder");
    let path = scratch.path().join("log.parquet");
    let believable = records();
    let walk: usize = std::env::var("RERATE_LAWS").map_or(1, |times| times.parse().expect("a number"));
    let mut dice = Dice::new(2);
    let (mut changed, mut broken) = (0, 0);
    for _ in 0..400 * walk {
        let rows: Vec<Row> =
            (0..40).map(|_| dice.pick(&believable.iter().collect::<Vec<_>>()).clone()).collect();
        // What zstd packed is mostly broken by a flip.
        let packed_by_no_zstd = [0, 1, 2, 3, 5, 6, 7];
        let writer = WRITERS[dice.pick(&packed_by_no_zstd)]();
        let columns = arrays(&rows);
        let sound = match dice.below(2) {
            0 => of_arrays(columns, 40, writer),
            _ => of_batch(&required(columns), 40, writer),
        };
        std::fs::write(&path, &sound).expect("a log");
        let as_written = given(&path, false);
        let mut bytes = sound;
        let end = bytes.len() - 8;
        let end = end - u32::from_le_bytes(*bytes[end..].first_chunk().expect("a length")) as usize;
        for _ in 0..=dice.below(2) {
            let place = 4 + dice.below(end - 4);
            bytes[place] ^= 1 << dice.below(8);
        }
        std::fs::write(&path, bytes).expect("a log");
        let (by_pages, by_arrow) = (given(&path, false), given(&path, true));
        match (by_pages.len(), by_arrow.len()) {
            (40, 40) => {
                // The arrow reader gives columns that nobody else reads too.
                let members = |line: &[u8]| -> Value { serde_json::from_slice(line).expect("JSON") };
                for (own, other) in by_pages.iter().zip(&by_arrow) {
                    let (own, other) = (members(own), members(other));
                    for (key, value) in own.as_object().expect("an object") {
                        assert_eq!(Some(value), other.get(key), "{own}\n{other}");
                    }
                }
                changed += usize::from(by_pages != as_written);
            }
            _ => broken += 1,
        }
    }
    assert!(changed > 50 * walk && broken > 50 * walk, "{changed} and {broken} of {}", 400 * walk);
}

/// The rows of a file that can be read.
fn given(path: &Path, detail: bool) -> Vec<Vec<u8>> {
    let settings = Settings { shape: Some(&canonical::SHAPE), detail, ..Settings::default() };
    let stored = Stored::file(path);
    let parts = Rows::open(InputId(0), "log".into(), stored, &settings, 1, Arc::default()).expect("a log");
    let mut lines = Vec::new();
    for mut part in parts {
        let mut block = Block::default();
        while part.next(&mut block).expect("a file") {
            lines.extend(block.rows.as_ref().map(lines_of).unwrap_or_default());
        }
    }
    lines
}

fn lines_of(batch: &RecordBatch) -> Vec<Vec<u8>> {
    let cells = Columns::new(batch);
    let line = |row| {
        let mut line = Vec::new();
        cells.write_row(row, &mut line);
        line
    };
    (0..batch.num_rows()).map(line).collect()
}

#[test]
fn nearly_every_row_of_a_real_log_is_plain() {
    let scratch = tempfile::tempdir().expect("a folder");
    let path = scratch.path().join("log.parquet");
    let nested = records();
    // In a flat table lists are JSON, which only the strict decoder reads.
    let flat: Vec<Row> = nested.iter().map(partly_flattened).collect();
    for rows in [nested, flat] {
        std::fs::write(&path, of_arrays(arrays(&rows), 200, WriterProperties::builder())).expect("a log");
        let (mut columns, mut plain) = (ColumnReader::default(), 0);
        each_block(&path, false, |block, is_row| {
            let batch = block.rows.as_ref().expect("rows");
            if columns.read(batch, is_row) {
                plain += (0..batch.num_rows())
                    .filter(|row| columns.row(*row, &mut Plain::default()).is_some())
                    .count();
            }
        });
        assert!(plain * 100 > rows.len() * 90, "{plain} of {}", rows.len());
    }
}

#[test]
fn a_file_is_of_the_shape_that_its_first_rows_tell_with_and_without_ids() {
    const COLUMNS: [&str; 19] = [
        "id",
        "request_id",
        "response_id",
        "responseId",
        "project_id",
        "status",
        "model",
        "object",
        "key",
        "error",
        "insertId",
        "logName",
        "resource",
        "startTime",
        "endTime",
        "type",
        "traceId",
        "call_type",
        "candidates",
    ];
    const TEXTS: [&str; 4] = ["a text", "chat.completion", "GENERATION", "interaction"];
    let scratch = tempfile::tempdir().expect("a folder");
    let path = scratch.path().join("log.parquet");
    let (mut dice, mut told_by) = (Dice::new(8), HashSet::new());
    for round in 0..2_000 {
        let names: Vec<&str> = COLUMNS.into_iter().filter(|_| dice.one_in(4)).collect();
        if names.is_empty() {
            continue;
        }
        let rows = 1 + dice.below(3);
        let mut cells = || (0..rows).map(|_| (!dice.one_in(3)).then(|| dice.pick(&TEXTS))).collect();
        let columns: Vec<Vec<Option<&str>>> = names.iter().map(|_| cells()).collect();
        let told = (0..rows).find_map(|row| {
            let cells = names.iter().zip(&columns).filter_map(|(name, cells)| Some((*name, cells[row]?)));
            let row = serde_json::to_vec(&HashMap::<&str, &str>::from_iter(cells)).expect("texts");
            Shape::tell(&Read::sketch(&row, true).expect("a row"))
        });
        let shown = columns.clone();
        let arrays = columns.into_iter().map(|cells| Arc::new(StringArray::from(cells)) as ArrayRef);
        let arrays = names.iter().map(|name| name.to_string()).zip(arrays).collect();
        std::fs::write(&path, of_arrays(arrays, 9, WriterProperties::builder())).expect("a log");
        let (stored, settings) = (Stored::file(&path), Settings::default());
        let parts =
            Rows::open(InputId(0), "log".into(), stored, &settings, 1, Arc::default()).expect("a log");
        let told = told.map(|shape| shape.name);
        assert_eq!(parts[0].shape().map(|shape| shape.name), told, "{round}: {names:?} {shown:?}");
        told_by.insert(told);
    }
    assert!(told_by.len() > 5, "{told_by:?}");
}

#[test]
fn a_file_is_known_by_its_footer_and_the_pages_that_decide_whoever_reads_them() {
    let scratch = tempfile::tempdir().expect("a folder");
    let path = scratch.path().join("log.parquet");
    let hash_as = |shape, detail: bool, parts: usize| {
        let settings = Settings { shape, detail, ..Settings::default() };
        let stored = Stored::file(&path);
        let parts = Rows::open(InputId(0), "log".into(), stored, &settings, parts, Arc::default());
        let mut parts = parts.expect("a log");
        for part in parts.iter_mut().rev() {
            let mut block = Block::default();
            while part.next(&mut block).expect("a file") {}
        }
        let summaries = parts.into_iter().filter_map(|part| part.finish(0).expect("a file"));
        let summaries: Vec<_> = summaries.collect();
        assert_eq!(summaries.len(), 1);
        assert_eq!(summaries[0].bytes, path.metadata().expect("a file").len());
        summaries[0].hash.clone()
    };
    let hash = || {
        let first = hash_as(Some(&canonical::SHAPE), false, 1);
        for shape in [None, Some(&canonical::SHAPE)] {
            for detail in [false, true] {
                for parts in [1, 4] {
                    let told = shape.is_none();
                    assert_eq!(hash_as(shape, detail, parts), first, "{told}, {detail}, {parts} parts");
                }
            }
        }
        first
    };
    // Its footer says nothing of values.
    let writer = || {
        WriterProperties::builder()
            .set_statistics_enabled(EnabledStatistics::None)
            .set_dictionary_enabled(false)
    };
    // Of few rows all are looked at to tell the shape.
    for (rows, group) in [(40, 100), (records().len(), 50)] {
        let write =
            |rows: &[Row]| std::fs::write(&path, of_arrays(arrays(rows), group, writer())).expect("a log");
        let mut rows = records()[..rows].to_vec();
        write(&rows);
        let (first, bytes) = (hash(), std::fs::read(&path).expect("a log"));
        assert_ne!(first, format!("{:032x}", XxHash3_128::oneshot(&bytes)));
        let last = rows.len() - 1;
        for (column, is_known_by) in [("region", false), ("request_id", true)] {
            let text = rows[last][column].as_str().expect("a text").to_string();
            rows[last].insert(column.to_string(), format!("{}~", &text[..text.len() - 1]).into());
            write(&rows);
            assert!(std::fs::read(&path).expect("a log").len() == bytes.len());
            assert_eq!(hash() != first, is_known_by, "{column}");
        }
    }
    // Pages that can't be read say nothing, so the bytes do.
    let mut bytes = std::fs::read(&path).expect("a log");
    let id = records()[0]["request_id"].as_str().expect("a text").to_string();
    let page = bytes.windows(id.len()).position(|text| text == id.as_bytes()).expect("it stands there");
    bytes[page - 40..page].fill(0xff);
    std::fs::write(&path, &bytes).expect("a log");
    assert_eq!(hash(), format!("{:032x}", XxHash3_128::oneshot(&bytes)));
}

fn each_block(path: &Path, detail: bool, mut then: impl FnMut(&Block, bool)) {
    let settings = Settings { shape: Some(&canonical::SHAPE), detail, ..Settings::default() };
    let stored = Stored::file(path);
    let parts = Rows::open(InputId(0), "log".into(), stored, &settings, 1, Arc::default()).expect("a log");
    for mut part in parts {
        let mut block = Block::default();
        while part.next(&mut block).expect("a file") {
            assert_eq!(block.ended_by, None);
            then(&block, block.reading.expect("a shape").is_row);
        }
    }
}

impl Both<'_> {
    fn file(&mut self, path: &Path) {
        let mut columns = std::mem::take(&mut self.columns);
        each_block(path, false, |block, is_row| {
            let batch = block.rows.as_ref().expect("rows");
            let may_be_plain = columns.read(batch, is_row);
            let cells = Columns::new(batch);
            for place in 0..batch.num_rows() {
                self.rows += 1;
                let mut line = Vec::new();
                cells.write_row(place, &mut line);
                let mut row = Plain::default();
                if let Some(key) = may_be_plain.then(|| columns.row(place, &mut row)).flatten() {
                    let usage = |thoughts_outside| {
                        let (mut counts, mut usage) = (Counts::default(), Usage::default());
                        columns.usage_of(place, thoughts_outside, &mut counts, &mut usage).then_some(usage)
                    };
                    self.plain += 1;
                    self.agree(key, columns.without_project(key), row, usage, &line, is_row);
                }
            }
        });
        self.columns = columns;
    }

    /// `usage` gives that of the row, with thoughts beside the candidates if it is told so.
    fn agree(
        &mut self,
        key: Key,
        apart: Option<(Key, &str)>,
        row: Plain<'_>,
        usage: impl Fn(bool) -> Option<Usage>,
        line: &[u8],
        is_row: bool,
    ) {
        let key = (apart.map_or(key, |(rest, _)| rest), apart.is_some());
        let shown = String::from_utf8_lossy(line);
        assert!(line.len() < LONGEST_PLAIN, "{shown}");
        let mut text = String::new();
        if is_row {
            let (fields, cells) = (&canonical::SHAPE.fields, canonical::SHAPE.cells);
            let value = Read::read_row(line, fields, cells).unwrap_or_else(|_| panic!("{shown}"));
            let mut items = Items::default();
            canonical::SHAPE.read_item(&value, &mut items);
            let [Item::Request(record)] = &items.list[..] else { panic!("{shown}") };
            record.write(&mut text);
        }
        let decoded = self.decoder.decode(if is_row { text.as_bytes() } else { line });
        let request = match decoded {
            Decoded::Request(request) if !request.usage_missing => request,
            Decoded::Refused(refusal) if refusal.reason == InconsistentCounts => {
                return assert_eq!(usage(false), None, "{shown}");
            }
            Decoded::Refused(refusal) => {
                assert!(OF_KEY.contains(&refusal.reason), "{}: {shown}", refusal.detail);
                self.refused.insert(key);
                return;
            }
            _ => {
                self.refused.insert(key);
                return;
            }
        };
        assert_eq!(row.at, request.at, "{shown}");
        assert!(request.cache.is_none() && !request.undated && !request.tokens_unknown, "{shown}");
        assert_eq!(row.request_id, request.request_id.as_deref().unwrap_or_default().as_bytes(), "{shown}");
        if let Some(expected) = &request.usage {
            let is_live = self.books.methods.find(request.facts.method).is_live();
            assert_eq!(usage(is_live).as_ref(), Some(expected), "{shown}");
        }
        let mut known = (request.facts.map_names(str::to_string), request.usage.is_some());
        if let Some((_, project)) = apart {
            assert_eq!(std::mem::take(&mut known.0.project_id), project, "{shown}");
        }
        let first = self.known.entry(key).or_insert_with(|| known.clone());
        assert_eq!(*first, known, "{shown}");
    }
}

/// As a query engine flattens: a column for each member, lists as they are.
fn partly_flattened(row: &Row) -> Row {
    let mut flat = Row::new();
    for (field, value) in row {
        match value {
            Value::Object(members) => {
                flat.extend(members.iter().map(|(key, value)| (format!("{field}.{key}"), value.clone())));
            }
            value => drop(flat.insert(field.clone(), value.clone())),
        }
    }
    flat
}

/// Changes one value of a row, to one of its kind or to none.
fn change(row: &mut Row, dice: &mut Dice) {
    let place = dice.below(row.len());
    change_value(row.values_mut().nth(place).expect("a field"), dice);
    row.retain(|_, value| !value.is_null());
}

fn change_value(value: &mut Value, dice: &mut Dice) {
    const TEXTS: [&str; 12] = [
        "",
        "x",
        "failed",
        "404",
        "free",
        "batch",
        "{\"a\":1}",
        "[1]",
        "models/é",
        "a\n\"b\"",
        "tunedModels/a",
        "12",
    ];
    const NUMBERS: [i64; 7] = [0, 1, -1, 200, 999, 1 << 40, (1 << 40) + 1];
    let below = match value {
        Value::Object(members) => members.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    };
    if below > 0 && dice.below(6) > 0 {
        let place = dice.below(below);
        let below = match value {
            Value::Object(members) => members.values_mut().nth(place),
            Value::Array(items) => items.get_mut(place),
            _ => None,
        };
        return change_value(below.expect("as many"), dice);
    }
    match (dice.below(5), value) {
        (0, value) => *value = Value::Null,
        (1, value @ Value::Object(_)) => *value = json!({}),
        (1, value @ Value::Array(_)) => *value = json!([]),
        (2, Value::Array(items)) => items.push(Value::Null),
        (3, Value::Array(items)) => *items = items.iter().cycle().take(items.len() * 70).cloned().collect(),
        (_, value @ Value::String(_)) => *value = json!(dice.pick(&TEXTS)),
        (_, value @ Value::Number(_)) => *value = json!(dice.pick(&NUMBERS)),
        _ => {}
    }
}

/// Changes a column, so that it has another type or another name.
fn change_all(rows: &mut [Row], dice: &mut Dice) {
    let count =
        dice.pick(&["promptTokenCount", "totalTokenCount", "candidatesTokenCount", "thoughtsTokenCount"]);
    let kind = dice.below(8);
    for row in rows {
        let Some(usage) = row.get_mut("usageMetadata").and_then(Value::as_object_mut) else { continue };
        let number = usage.get(count).and_then(Value::as_i64);
        match (kind, number) {
            (0, Some(number)) => drop(usage.insert(count.to_string(), json!(number as f64))),
            (1, Some(number)) => drop(usage.insert(count.to_string(), json!(number as f64 + 0.5))),
            (2, Some(number)) => drop(usage.insert(count.to_string(), json!(number.to_string()))),
            (3, Some(number)) if number % 3 == 0 => {
                drop(usage.insert("responseTokenCount".to_string(), json!(number)))
            }
            (4, Some(number)) if number % 2 == 0 => {
                drop(usage.insert("trafficType".to_string(), json!("ON_DEMAND")))
            }
            (5, _) => {
                let usage = usage.clone();
                row.remove("usageMetadata");
                row.insert("usage_metadata".to_string(), Value::Object(usage));
            }
            (6, Some(number)) => {
                row.insert("quantities".to_string(), json!({"image": number % 3, "song": null}));
            }
            (7, Some(number)) => {
                row.insert("latency_ms".to_string(), json!(number as f64 / 8.0));
                row.insert("tools".to_string(), json!(["google_search", "x"][..number as usize % 3]));
            }
            _ => {}
        }
    }
}

/// Gives some columns a type that JSON hasn't: times, and maps.
fn retyped(arrays: Vec<(String, ArrayRef)>, rows: &[Row], dice: &mut Dice) -> Vec<(String, ArrayRef)> {
    let kind = dice.below(7);
    let shift = dice.pick(&[0, 0, 0, -2_000_000_000_000_000_000]);
    let of_type = |(name, array): (String, ArrayRef)| {
        let retyped = match name.as_str() {
            "timestamp" => {
                array.as_any().downcast_ref::<StringArray>().and_then(|texts| times(texts, kind, shift))
            }
            "labels" if kind < 3 => Some(labels(rows)),
            "status" if kind > 4 => array.as_any().downcast_ref::<StringArray>().and_then(statuses),
            _ => None,
        };
        (name, retyped.unwrap_or(array))
    };
    arrays.into_iter().map(of_type).collect()
}

fn times(texts: &StringArray, kind: usize, shift: i64) -> Option<ArrayRef> {
    let nanos = |text: Option<&str>| Some(Instant::parse(text?, None).ok()?.0.wrapping_add(shift));
    let of_unit = |unit: i64| texts.iter().map(move |text| Some(nanos(text)?.div_euclid(unit)));
    Some(match kind {
        0 => Arc::new(of_unit(1_000_000_000).collect::<TimestampSecondArray>()),
        1 => Arc::new(of_unit(1_000_000).collect::<TimestampMillisecondArray>().with_timezone("UTC")),
        2 => Arc::new(of_unit(1_000).collect::<TimestampMicrosecondArray>()),
        3 => Arc::new(of_unit(1).collect::<TimestampNanosecondArray>()),
        4 => Arc::new(of_unit(1).collect::<Int64Array>()),
        _ => return None,
    })
}

fn statuses(texts: &StringArray) -> Option<ArrayRef> {
    let all: Vec<Option<i64>> = texts.iter().map(|text| text.and_then(|text| text.parse().ok())).collect();
    Some(Arc::new(Int64Array::from(all)))
}

/// Labels as a map, one of them twice now and then.
fn labels(rows: &[Row]) -> ArrayRef {
    let mut map = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for (place, row) in rows.iter().enumerate() {
        let labels = row.get("labels").and_then(Value::as_object);
        for (key, value) in labels.into_iter().flatten() {
            for _ in 0..=usize::from(place % 16 == 0) {
                map.keys().append_value(key);
                map.values().append_option(value.as_str());
            }
        }
        map.append(labels.is_some()).expect("keys and values");
    }
    Arc::new(map.finish())
}
