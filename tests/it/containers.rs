//! Law 5 over containers: the same records give the same bytes, however they lie in a file. Awkward records as text are
//! in `laws`; here are believable ones in tables, whose columns have one type each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{Field, Fields};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::{Value, json};

use crate::awkward::{gz, zst};
use crate::run::{self, rerate, stderr};

/// Fields whose value is an object or a list.
const NESTED: [&str; 5] = ["usageMetadata", "labels", "quantities", "tools", "cached_content"];

pub type Row = BTreeMap<String, Value>;

/// Every fifth line of the believable logs, and all with what is rare.
pub fn records() -> Vec<Row> {
    let mut records = Vec::new();
    for day in ["2026-06-01", "2026-06-02"] {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/logs/requests-{day}.jsonl.gz"));
        let mut text = String::new();
        let file = flate2::read::MultiGzDecoder::new(std::fs::File::open(path).expect("a log"));
        std::io::Read::read_to_string(&mut std::io::BufReader::new(file), &mut text).expect("text");
        for (place, line) in text.lines().enumerate() {
            let mut row: Row = serde_json::from_str(line).expect("a record");
            let rare = ["quantities", "cached_content", "service", "service_tier"];
            if place % 5 == 0 || rare.iter().any(|field| row.contains_key(*field)) {
                // A column has one type, and a status may be its digits.
                row.entry("status".to_string()).and_modify(|status| *status = Value::String(text_of(status)));
                records.push(row);
            }
        }
    }
    assert!(records.len() > 400);
    records
}

#[test]
fn the_same_records_in_any_table_give_the_same_bytes() {
    let scratch = tempfile::tempdir().expect("a folder");
    let records = records();
    let lines: String = records.iter().map(|row| serde_json::to_string(row).expect("JSON") + "\n").collect();
    let plain = publish(scratch.path(), "log.jsonl", lines.as_bytes());
    let cells: Vec<Row> = records.iter().map(with_cells).collect();
    let flat: Vec<Row> = records.iter().map(flattened).collect();
    for (name, bytes) in [
        ("cells.csv", csv(&cells)),
        ("flat.csv", csv(&flat)),
        ("cells.csv.gz", gz(&csv(&cells))),
        ("flat.csv.zst", zst(&[&b"\xef\xbb\xbf"[..], &csv(&flat)].concat())),
        ("nested.parquet", parquet(&records, 1_000_000, Compression::SNAPPY)),
        ("nested-by-1.parquet", parquet(&records, 1, Compression::UNCOMPRESSED)),
        ("nested-by-97.parquet", parquet(&records, 97, Compression::ZSTD(ZstdLevel::default()))),
        ("cells.parquet", parquet(&cells, 100, Compression::GZIP(Default::default()))),
        ("flat.parquet", parquet(&flat, 50, Compression::LZ4_RAW)),
    ] {
        assert_same(&plain, &publish(scratch.path(), name, &bytes), name);
    }
}

#[test]
fn columns_that_nobody_reads_are_not_read() {
    let scratch = tempfile::tempdir().expect("a folder");
    let mut records = records();
    let plain = publish(scratch.path(), "log.parquet", &parquet(&records, 200, Compression::SNAPPY));
    for (place, row) in records.iter_mut().enumerate() {
        row.insert("prompt".to_string(), Value::String(format!("{place} {}", "zebra".repeat(200))));
    }
    let mut bytes = parquet(&records, 200, Compression::UNCOMPRESSED);
    let broken = damaged(&mut bytes, b"zebrazebra");
    assert!(broken > 100, "the pages of that column are damaged");
    assert_same(
        &plain,
        &publish(scratch.path(), "wide.parquet", &bytes),
        "a damaged column that nobody reads",
    );
}

/// Of some objects only that they are there is read, and none of their members.
#[test]
fn an_object_of_which_no_member_is_read_is_there_all_the_same() {
    let of_chunk = |id: &str, chunk: Value| {
        json!({
            "responseId": id,
            "modelVersion": "gemini-2.5-flash",
            "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15},
            "candidates": [{"groundingMetadata": {"groundingChunks": [chunk]}}],
        })
    };
    let grounded = [
        of_chunk("r1", json!({"web": {"uri": "a", "title": "b"}})),
        of_chunk("r2", json!({"maps": {"placeId": "c"}})),
        of_chunk("r3", json!({"retrievedContext": {"uri": "d", "text": "e"}})),
    ];
    let of_batch = |key: &str, answer: Value| {
        let mut response = json!({
            "responseId": key,
            "modelVersion": "gemini-embedding-001",
            "usageMetadata": {"promptTokenCount": 7, "totalTokenCount": 7},
        });
        response.as_object_mut().expect("an object").extend(answer.as_object().expect("an object").clone());
        json!({"key": key, "response": response})
    };
    let batch = [
        of_batch("b1", json!({"embedding": {"values": [0.5, 0.25]}})),
        of_batch("b2", json!({"candidates": [{"content": {"role": "model"}}]})),
    ];
    let scratch = tempfile::tempdir().expect("a folder");
    let tables = |name: &str, bytes: &[u8]| {
        std::fs::write(scratch.path().join(name), bytes).expect("a log");
        let out = format!("days of {name}");
        let flags = ["--at", "2026-06-01", "--project", "p", "--usage-tier", "tier1"];
        let output = rerate(scratch.path(), &[&["replay", name, "--out", &out], &flags[..]].concat());
        assert!(matches!(output.status.code(), Some(0 | 3)), "{name}: {}", stderr(&output));
        let out = scratch.path().join(out);
        ["usage", "charges", "suspense"].map(|table| format!("{:?}", run::table(&out, table)))
    };
    for (name, items, seen) in
        [("raw", &grounded[..], "grounding_maps"), ("batch", &batch, "asyncBatchEmbedContent")]
    {
        let lines: String = items.iter().map(|item| format!("{item}\n")).collect();
        let plain = tables(&format!("{name}.jsonl"), lines.as_bytes());
        assert!(plain.concat().contains(seen), "{plain:?}");
        let rows: Vec<Row> =
            items.iter().map(|item| serde_json::from_value(item.clone()).expect("an object")).collect();
        let found = tables(&format!("{name}.parquet"), &parquet(&rows, 2, Compression::SNAPPY));
        assert_eq!(found, plain, "{name}");
    }
}

#[test]
fn a_damaged_parquet_file_is_told_and_the_rest_of_it_counts() {
    let scratch = tempfile::tempdir().expect("a folder");
    let bytes = parquet(&records(), 100_000, Compression::SNAPPY);
    for end in [5, bytes.len() / 2, bytes.len() - 1] {
        let (_, suspense, records) = publish(scratch.path(), "cut.parquet", &bytes[..end]);
        assert_eq!(records["suspended"], 1, "{suspense:?}");
        assert!(suspense.iter().any(|row| row.contains("truncated_input")), "{suspense:?}");
    }
    // Bytes at random places: rows or a reason, never a panic that ends the program.
    let mut seed = 7u64;
    for _ in 0..100 {
        let mut forged = bytes.clone();
        for _ in 0..8 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let place = (seed >> 33) as usize % forged.len();
            forged[place] = (seed >> 20) as u8;
        }
        std::fs::write(scratch.path().join("forged.parquet"), forged).expect("a log");
        let output = rerate(scratch.path(), &["check", "forged.parquet", "--usage-tier", "tier1"]);
        assert!(matches!(output.status.code(), Some(0 | 3)), "{:?}\n{}", output.status, stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
    }
}

/// Published files by path, suspended rows without their origin, and the first equation.
type Published = (BTreeMap<String, Vec<u8>>, Vec<String>, Value);

fn publish(folder: &Path, name: &str, bytes: &[u8]) -> Published {
    std::fs::write(folder.join(name), bytes).expect("a log");
    let out = format!("days of {name}");
    let output = rerate(folder, &["replay", name, "--out", &out, "--usage-tier", "tier1"]);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{name}: {}", stderr(&output));
    let out = folder.join(out);
    let mut files = BTreeMap::new();
    for day in run::published(&out).iter().filter(|folder| folder.join("manifest.json").exists()) {
        for entry in std::fs::read_dir(day).expect("a day") {
            let path: PathBuf = entry.expect("an entry").path();
            let file = path.file_name().expect("a name").to_string_lossy().into_owned();
            // These two have origins.
            if !file.starts_with("suspense") && file != "run.json" {
                let day = day.file_name().expect("a name").to_string_lossy().into_owned();
                files.insert(format!("{day}/{file}"), std::fs::read(&path).expect("a file"));
            }
        }
    }
    let mut suspense: Vec<String> = run::table(&out, "suspense")
        .into_iter()
        .map(|mut row| {
            row.remove("origin");
            format!("{row:?}")
        })
        .collect();
    suspense.sort();
    let first =
        run::published(&out).first().map(|folder| run::json(&folder.join("run.json"))).expect("a folder");
    std::fs::remove_dir_all(out).expect("days");
    (files, suspense, first["records"].clone())
}

fn assert_same(one: &Published, other: &Published, what: &str) {
    assert_eq!(one.2, other.2, "{what}");
    assert_eq!(one.1, other.1, "{what}");
    let different: Vec<_> = one.0.iter().filter(|(path, bytes)| other.0.get(*path) != Some(*bytes)).collect();
    assert!(
        different.is_empty() && one.0.len() == other.0.len(),
        "{what}: {:?}",
        different.first().map(|file| file.0)
    );
    assert!(one.0.len() > 10, "days are published");
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// Objects and lists as JSON text.
pub fn with_cells(row: &Row) -> Row {
    let cell = |(field, value): (&String, &Value)| {
        let nested = NESTED.contains(&field.as_str());
        (field.clone(), if nested { Value::String(value.to_string()) } else { value.clone() })
    };
    row.iter().map(cell).collect()
}

/// A column for each member, with a dotted name; lists stay JSON text.
pub fn flattened(row: &Row) -> Row {
    let mut flat = Row::new();
    for (field, value) in row {
        match value {
            Value::Object(members) => {
                for (member, value) in members {
                    let value =
                        if value.is_array() { Value::String(value.to_string()) } else { value.clone() };
                    flat.insert(format!("{field}.{member}"), value);
                }
            }
            value if value.is_array() => drop(flat.insert(field.clone(), Value::String(value.to_string()))),
            value => drop(flat.insert(field.clone(), value.clone())),
        }
    }
    flat
}

fn columns(rows: &[Row]) -> Vec<String> {
    let mut names: Vec<String> = rows.iter().flat_map(|row| row.keys().cloned()).collect();
    names.sort();
    names.dedup();
    names
}

pub fn csv(rows: &[Row]) -> Vec<u8> {
    let names = columns(rows);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(&names).expect("memory takes it");
    for row in rows {
        let cells = names.iter().map(|name| row.get(name).map(text_of).unwrap_or_default());
        writer.write_record(cells).expect("memory takes it");
    }
    writer.into_inner().expect("memory takes it")
}

pub fn parquet(rows: &[Row], group: usize, compression: Compression) -> Vec<u8> {
    of_arrays(arrays(rows), group, WriterProperties::builder().set_compression(compression))
}

/// The columns of rows, each of one type.
pub fn arrays(rows: &[Row]) -> Vec<(String, ArrayRef)> {
    let named = |name: String| {
        let cells: Vec<Option<&Value>> = rows.iter().map(|row| row.get(&name)).collect();
        (name, array(&cells))
    };
    columns(rows).into_iter().map(named).collect()
}

pub fn of_arrays(
    columns: Vec<(String, ArrayRef)>,
    group: usize,
    properties: WriterPropertiesBuilder,
) -> Vec<u8> {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    of_batch(
        &RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length"),
        group,
        properties,
    )
}

pub fn of_batch(batch: &RecordBatch, group: usize, properties: WriterPropertiesBuilder) -> Vec<u8> {
    let properties = properties.set_max_row_group_row_count(Some(group)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).expect("a schema");
    writer.write(batch).expect("memory takes it");
    writer.close().expect("memory takes it");
    bytes
}

/// Some writers begin a file with a group of no rows; one that is all of the file is an empty log.
#[test]
fn groups_without_rows_say_nothing_of_a_file() {
    let fields = ["request_id", "timestamp", "project_id", "model", "method", "status"];
    let columns: String = fields.map(|field| format!("required binary {field} (STRING); ")).concat();
    let schema = parse_message_type(&format!("message log {{ {columns} }}")).expect("a schema");
    let written = |groups: &[usize]| {
        let mut bytes = Vec::new();
        let properties = Arc::new(WriterProperties::default());
        let mut writer = SerializedFileWriter::new(&mut bytes, Arc::new(schema.clone()), properties).unwrap();
        for rows in groups {
            let mut group = writer.next_row_group().unwrap();
            for field in fields {
                let text = |row| match field {
                    "request_id" => format!("r{row}"),
                    "timestamp" => "2026-06-01T12:00:00Z".to_string(),
                    "project_id" => "p".to_string(),
                    "model" => "models/gemini-2.5-flash".to_string(),
                    "method" => "countTokens".to_string(),
                    _ => "200".to_string(),
                };
                let values: Vec<ByteArray> =
                    (0..*rows).map(|row| ByteArray::from(text(row).into_bytes())).collect();
                let mut column = group.next_column().unwrap().expect("as many as fields");
                column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
                column.close().unwrap();
            }
            group.close().unwrap();
        }
        writer.close().unwrap();
        bytes
    };
    let folder = tempfile::tempdir().expect("a folder");
    for (groups, exit, requests) in [
        (&[0, 20_000][..], 0, "requests=20000 "),
        (&[0, 0, 300, 0, 20_000], 0, "requests=20000 "),
        (&[0], 0, "requests=0 "),
    ] {
        std::fs::write(folder.path().join("log.parquet"), written(groups)).unwrap();
        for detail in [&[][..], &["--detail"]] {
            let args = ["replay", "log.parquet", "--out", "days", "--close", "--replace", "--allow-empty"];
            let output = rerate(folder.path(), &[&args[..], detail].concat());
            let told = stderr(&output);
            assert!(told.contains(requests), "{groups:?}: {told}");
            assert_eq!(output.status.code(), Some(exit), "{groups:?}: {told}");
        }
    }
}

/// Values of one type, as a column.
fn array(values: &[Option<&Value>]) -> ArrayRef {
    let any = values.iter().flatten().next().is_some();
    let all = |is: fn(&Value) -> bool| any && values.iter().flatten().all(|value| is(value));
    if all(Value::is_object) {
        let mut keys: Vec<&String> = values
            .iter()
            .flatten()
            .filter_map(|value| value.as_object())
            .flat_map(|members| members.keys())
            .collect();
        keys.sort();
        keys.dedup();
        // Parquet has no object without a member.
        let unread = "unread".to_string();
        if keys.is_empty() {
            keys.push(&unread);
        }
        let children: Vec<ArrayRef> = keys
            .iter()
            .map(|key| {
                array(
                    &values
                        .iter()
                        .map(|value| value.and_then(|value| value.get(key.as_str())))
                        .collect::<Vec<_>>(),
                )
            })
            .collect();
        let fields: Fields = keys
            .iter()
            .zip(&children)
            .map(|(key, child)| Field::new(key.as_str(), child.data_type().clone(), true))
            .collect();
        let nulls = NullBuffer::from_iter(values.iter().map(Option::is_some));
        return Arc::new(StructArray::new(fields, children, Some(nulls)));
    }
    if all(Value::is_array) {
        let items: Vec<Option<&Value>> =
            values.iter().flatten().filter_map(|value| value.as_array()).flatten().map(Some).collect();
        let lengths = values.iter().map(|value| value.and_then(|value| value.as_array()).map_or(0, Vec::len));
        let items = array(&items);
        let field = Arc::new(Field::new("element", items.data_type().clone(), true));
        let nulls = NullBuffer::from_iter(values.iter().map(Option::is_some));
        return Arc::new(ListArray::new(field, OffsetBuffer::from_lengths(lengths), items, Some(nulls)));
    }
    if all(Value::is_boolean) {
        return Arc::new(BooleanArray::from_iter(values.iter().map(|value| value.and_then(Value::as_bool))));
    }
    if all(Value::is_i64) {
        return Arc::new(Int64Array::from_iter(values.iter().map(|value| value.and_then(Value::as_i64))));
    }
    if all(Value::is_number) {
        return Arc::new(Float64Array::from_iter(values.iter().map(|value| value.and_then(Value::as_f64))));
    }
    Arc::new(StringArray::from_iter(values.iter().map(|value| value.map(text_of))))
}

/// Overwrites what is written at each place of `text`, so that pages there can't be read; gives how many.
fn damaged(bytes: &mut [u8], text: &[u8]) -> usize {
    let places: Vec<usize> = bytes
        .windows(text.len())
        .enumerate()
        .filter(|(_, window)| *window == text)
        .map(|(place, _)| place)
        .collect();
    for &place in &places {
        bytes[place..place + text.len()].fill(0xff);
    }
    places.len()
}
