//! The shapes of gateways and jobs, told right wherever they lie: the same items in any container give the same figures,
//! among lines of other shapes only their own count, and a file that is cut off loses its last item alone. What each
//! figure must be is for `cases`, whose logs are used here.

use std::path::{Path, PathBuf};

use parquet::basic::Compression;
use serde_json::Value;

use crate::awkward::{gz, zst};
use crate::containers::{Row, csv, flattened, parquet};
use crate::run::{self, json, rerate, stderr};

/// A shape, and the whole items of a case: its file, and the numbers of lines that aren't at fault.
const LOGS: [(&str, &str, &[usize]); 5] = [
    ("openai", "completions-in-a-file-with-other-lines/input.jsonl", &[1, 2, 3, 4]),
    ("batch", "lines-of-a-batch-count-by-their-response-or-error/input-a.jsonl", &[1, 2, 3, 4, 5, 6, 10]),
    ("interactions", "an-interaction-ends-in-one-of-six-ways/input-a.jsonl", &[1, 2, 3, 4, 5, 6, 8]),
    ("litellm", "a-call-in-two-shapes-is-one-request/input-b.jsonl", &[1, 2]),
    (
        "langfuse",
        "generations-of-langfuse-count-as-their-total-says/input-a.jsonl",
        &[1, 2, 3, 4, 5, 6, 7, 8],
    ),
];

/// Items that none of these shapes has.
const OTHERS: [&str; 6] = [
    r#"{"request_id":"c1","timestamp":"2026-06-01T12:00:00Z","project_id":"p","model":"gemini-2.5-flash","status":200,"usageMetadata":{"promptTokenCount":9}}"#,
    r#"{"responseId":"w1","modelVersion":"gemini-2.5-flash","usageMetadata":{"promptTokenCount":9,"totalTokenCount":9}}"#,
    r#"{"error":{"code":429,"message":"no","status":"RESOURCE_EXHAUSTED"}}"#,
    r#"{"insertId":"i","logName":"l","timestamp":"2026-06-01T12:00:00Z","resource":{"labels":{"project_id":"p"}},"protoPayload":{"methodName":"x"}}"#,
    r#"{"model":"gemini-2.5-flash","usage":{"input_tokens":1,"output_tokens":2}}"#,
    r#"{"id":"7","type":"GENERATION"}"#,
];

fn items((_, file, lines): &(&str, &str, &[usize])) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cases").join(file);
    let text = std::fs::read_to_string(path).expect("a log");
    let all: Vec<&str> = text.lines().collect();
    lines.iter().map(|line| all[line - 1].to_string()).collect()
}

#[test]
fn a_shape_is_told_in_every_container_and_says_the_same() {
    for log in &LOGS {
        let (shape, lines) = (log.0, items(log));
        let scratch = tempfile::tempdir().expect("a folder");
        let publish = |name: &str, bytes: &[u8]| publish(scratch.path(), name, bytes, shape);
        let plain = publish("log.jsonl", lines.join("\n").as_bytes());
        assert!(plain.requests() > 0 && plain.suspended() == 0, "{shape}: {}", plain.records);
        let values: Vec<Value> =
            lines.iter().map(|line| without_empty(serde_json::from_str(line).expect("JSON"))).collect();
        let rows: Vec<Row> =
            values.iter().map(|value| serde_json::from_value(value.clone()).expect("an object")).collect();
        let cells: Vec<Row> = rows.iter().map(with_cells).collect();
        let flat: Vec<Row> = rows.iter().map(flattened).collect();
        let pretty: String =
            values.iter().map(|value| serde_json::to_string_pretty(value).expect("JSON") + "\n").collect();
        for (name, bytes) in [
            ("list.json", format!("[{}]", lines.join(",\n")).into_bytes()),
            ("values.log", pretty.into_bytes()),
            ("log.jsonl.gz", gz(lines.join("\n").as_bytes())),
            ("cells.csv", csv(&cells)),
            ("flat.csv.zst", zst(&csv(&flat))),
            ("nested.parquet", parquet(&rows, 2, Compression::SNAPPY)),
            ("cells.parquet", parquet(&cells, 100, Compression::UNCOMPRESSED)),
            ("flat.parquet", parquet(&flat, 1, Compression::SNAPPY)),
        ] {
            let found = publish(name, &bytes);
            assert_eq!(found.records, plain.records, "{shape} as {name}");
            assert_eq!(found.tables, plain.tables, "{shape} as {name}");
        }
    }
}

#[test]
fn among_lines_of_other_shapes_only_its_own_count() {
    for log in &LOGS {
        let (shape, own) = (log.0, items(log));
        let scratch = tempfile::tempdir().expect("a folder");
        let alone = publish(scratch.path(), "alone.jsonl", own.join("\n").as_bytes(), shape);
        let mut others: Vec<String> = OTHERS.iter().map(|line| line.to_string()).collect();
        others.extend(LOGS.iter().filter(|other| other.0 != shape).flat_map(items));
        let mut mixed = Vec::new();
        for place in 0..own.len().max(others.len()) {
            mixed.extend(own.get(place).cloned());
            mixed.extend(others.get(place).cloned());
        }
        let found = publish(scratch.path(), "mixed.jsonl", mixed.join("\n").as_bytes(), shape);
        assert_eq!(found.tables, alone.tables, "{shape}");
        assert_eq!(found.reasons, vec!["other_shape"; others.len()], "{shape}");
        assert_eq!(found.requests(), alone.requests(), "{shape}");
    }
}

#[test]
fn a_file_that_is_cut_off_loses_its_last_item_alone() {
    for log in &LOGS {
        let (shape, lines) = (log.0, items(log));
        let text = lines.join("\n");
        let first = lines[0].len();
        let scratch = tempfile::tempdir().expect("a folder");
        for end in (first + 2..text.len()).step_by((text.len() - first) / 4) {
            // Within a character is as good a place as any.
            let cut = &text.as_bytes()[..end];
            let whole = cut.iter().filter(|byte| **byte == b'\n').count();
            let found = publish(scratch.path(), "cut.jsonl", cut, shape);
            let ends_whole = serde_json::from_slice::<Value>(&cut[cut.len() - last_line(cut)..]).is_ok();
            assert_eq!(found.records["lines"], whole as u64 + 1, "{shape} cut at {end}");
            assert_eq!(
                found.suspended(),
                u64::from(!ends_whole),
                "{shape} cut at {end}: {:?}",
                found.reasons
            );
            let of_list = [b"[".as_slice(), &text.replace('\n', ",").into_bytes()[..end]].concat();
            let found = publish(scratch.path(), "cut.json", &of_list, shape);
            assert_eq!(found.reasons, ["truncated_input"], "{shape} list cut at {end}");
        }
    }
}

fn last_line(text: &[u8]) -> usize {
    text.iter().rev().position(|byte| *byte == b'\n').unwrap_or(text.len())
}

/// What is read of a log.
struct Published {
    /// Usage and charges, row by row.
    tables: Vec<String>,
    reasons: Vec<String>,
    records: Value,
}

impl Published {
    fn requests(&self) -> u64 {
        self.records["requests"].as_u64().expect("a count")
    }

    fn suspended(&self) -> u64 {
        self.records["suspended"].as_u64().expect("a count")
    }
}

/// Replays a log that must be told to be of a shape.
fn publish(folder: &Path, name: &str, bytes: &[u8], shape: &str) -> Published {
    std::fs::write(folder.join(name), bytes).expect("a log");
    let out = folder.join("days");
    let args =
        ["replay", name, "--out", "days", "--usage-tier", "tier1", "--project", "p", "--at", "2026-06-01"];
    let output = rerate(folder, &[&args[..], &["--model", "gemini-2.5-flash"]].concat());
    assert!(matches!(output.status.code(), Some(0 | 3)), "{name}: {}", stderr(&output));
    let run: PathBuf = run::published(&out)[0].join("run.json");
    let run = json(&run);
    assert_eq!(run["inputs"][0]["shape"], shape, "{name}");
    let rows = |table: &str| run::table(&out, table);
    let tables = ["usage", "charges"].iter().flat_map(|table| rows(table)).map(|row| format!("{row:?}"));
    let read = rows("suspense").into_iter().filter(|row| row["stage"] == "read");
    let published = Published {
        tables: tables.collect(),
        reasons: read.map(|row| row["reason"].clone()).collect(),
        records: run["records"].clone(),
    };
    std::fs::remove_dir_all(out).expect("days");
    published
}

/// Columns of a table have one type each, and null is missing.
fn without_empty(value: Value) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(members) => {
            let members = members.into_iter().map(|(key, value)| (key, without_empty(value)));
            Value::Object(members.filter(|(_, value)| !is_empty(value)).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_empty).collect()),
        value => value,
    }
}

/// Objects and lists as JSON text.
fn with_cells(row: &Row) -> Row {
    let cell = |(field, value): (&String, &Value)| {
        let nested = value.is_object() || value.is_array();
        (field.clone(), if nested { Value::String(value.to_string()) } else { value.clone() })
    };
    row.iter().map(cell).collect()
}
