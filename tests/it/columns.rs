//! Holds the reader of plain rows against the strict decoder, row by row: whatever it reads of a row, the strict decoder
//! makes of the line that the row is written as. On believable and awkward records in Parquet, in every layout, with
//! values, members and whole columns changed. `RERATE_LAWS=10` makes ten times as many files. And holds what is read of
//! a file's pages against what the arrow reader makes of them, in every encoding.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{MapBuilder, StringBuilder};
use arrow_array::{
    Array, ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray, TimestampSecondArray,
};
use arrow_schema::DataType;
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use rerate::books::{Books, Sources};
use rerate::read::container::parquet::{Rows, Stored};
use rerate::read::container::rows::Columns;
use rerate::read::lines::Block;
use rerate::read::settings::{Defaults, Settings};
use rerate::read::shape::canonical::{self, Decoded, Decoder};
use rerate::read::shape::columns::{ColumnReader, Key, LONGEST_PLAIN};
use rerate::read::shape::plain::Plain;
use rerate::read::shape::value::Value as Read;
use rerate::read::shape::{Item, Items};
use rerate::types::day::Instant;
use rerate::types::origin::InputId;
use rerate::types::reason::Reason::{self, *};
use rerate::types::request::Facts;
use rerate::types::usage::Usage;
use serde_json::{Value, json};

use crate::awkward::{Dice, Log};
use crate::containers::{Row, arrays, flattened, of_arrays, records, with_cells};

const PROJECT: &str = "of-the-flag";

/// A row whose key has one of these faults is plain; all others show that it isn't.
const OF_KEY: [Reason; 7] =
    [MissingField, WrongType, BadStatus, UnknownMethod, BadUsageTier, BadChannel, UnknownServiceTier];

struct Both<'b> {
    books: &'b Books,
    decoder: Decoder<'b>,
    columns: ColumnReader,
    /// By key, what the strict decoder made of it, and whether any of it was refused for the key's sake.
    known: HashMap<Key, (Facts<String>, bool)>,
    refused: HashSet<Key>,
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
        let written = of_arrays(arrays, dice.pick(&[7, 40]), dice.pick(&WRITERS)());
        std::fs::write(&path, written).expect("a log");
        both.file(&path);
        pages += usize::from(pages_are_as_arrow_reads_them(&path));
    }
    let refused_too = both.refused.iter().filter(|key| both.known.contains_key(*key)).count();
    assert_eq!(refused_too, 0, "rows of one key are refused, or none is");
    let (rows, plain) = (both.rows, both.plain);
    assert!(plain > rows / 5, "{plain} of {rows} rows are plain");
    assert!(pages > 60 * walk, "of {} files {pages} are read by their pages", 120 * walk);
}

/// How files are written: as nearly all are; with values in pages, not in a dictionary; with pages of another version, or
/// of few rows; with a dictionary that is soon full; with an encoding that is for the arrow reader.
const WRITERS: [fn() -> WriterPropertiesBuilder; 7] = [
    WriterProperties::builder,
    || WriterProperties::builder().set_compression(Compression::SNAPPY),
    || WriterProperties::builder().set_dictionary_enabled(false),
    || WriterProperties::builder().set_writer_version(WriterVersion::PARQUET_2_0),
    || WriterProperties::builder().set_data_page_row_count_limit(5).set_write_batch_size(3),
    || WriterProperties::builder().set_dictionary_page_size_limit(40).set_write_batch_size(2),
    || {
        WriterProperties::builder()
            .set_column_dictionary_enabled("model".into(), false)
            .set_column_encoding("model".into(), Encoding::DELTA_BYTE_ARRAY)
    },
];

#[test]
fn batches_and_pages_end_anywhere() {
    let scratch = tempfile::tempdir().expect("a folder");
    let path = scratch.path().join("log.parquet");
    let rows: Vec<Row> = records().iter().cycle().take(5000).cloned().collect();
    let arrays = arrays(&rows);
    for (place, properties) in WRITERS[..6].iter().enumerate() {
        std::fs::write(&path, of_arrays(arrays.clone(), 4700, properties())).expect("a log");
        assert!(pages_are_as_arrow_reads_them(&path), "{place}");
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
                    self.plain += 1;
                    self.agree(key, row, &line, is_row);
                }
            }
        });
        self.columns = columns;
    }

    fn agree(&mut self, key: Key, mut row: Plain<'_>, line: &[u8], is_row: bool) {
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
                return assert!(Usage::from_counts(&row.counts).is_err(), "{shown}");
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
        let project_id = if row.project_id.is_empty() { PROJECT.as_bytes() } else { row.project_id };
        assert_eq!(project_id, request.facts.project_id.as_bytes(), "{shown}");
        if let Some(usage) = &request.usage {
            row.counts.thoughts_outside |= self.books.methods.find(request.facts.method).is_live();
            assert_eq!(Usage::from_counts(&row.counts).as_ref(), Ok(usage), "{shown}");
        }
        let known = (request.facts.map_names(str::to_string), request.usage.is_some());
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
