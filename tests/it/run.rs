//! Runs the program as a person would, and reads what it published.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use polars::prelude::*;
use rerate::books::Books;
use rerate::pipeline::{self, DayReport, Rating, Replay};
use rerate::types::carry::Carry;
use rerate::types::day::{Day, Window};
use rerate::walk::Plan;

/// The program, in `folder`, with no environment that a person's machine may have.
pub fn rerate(folder: &Path, args: &[&str]) -> Output {
    command(folder).args(args).output().expect("the program starts")
}

/// The program, to be started in `folder` without what the environment may say to it.
pub fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rerate"));
    command.current_dir(folder);
    clear(&mut command);
    command
}

/// Takes away what the environment may say to the program.
pub fn clear(command: &mut Command) {
    command.env_remove("COLUMNS");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RERATE_") {
            command.env_remove(name);
        }
    }
}

/// The program with words of a command line; it must end with `code`. What it told.
pub fn words(folder: &Path, args: &str, code: i32) -> String {
    let output = rerate(folder, &args.split(' ').collect::<Vec<_>>());
    assert_eq!(output.status.code(), Some(code), "rerate {args}\n{}", stderr(&output));
    stdout(&output) + &stderr(&output)
}

/// A request that went well, of 100 tokens, at a time like `2026-06-01T12:00:00`, in UTC.
pub fn request(id: &str, time: &str) -> String {
    format!(
        r#"{{"request_id":"{id}","timestamp":"{time}Z","project_id":"p","model":"gemini-2.5-flash","status":200,"usage_tier":"tier1","usageMetadata":{{"promptTokenCount":100,"totalTokenCount":100}}}}"#
    )
}

/// Writes a log.
pub fn write(folder: &Path, name: &str, lines: &[String]) {
    std::fs::write(folder.join(name), lines.join("\n")).expect("a log");
}

/// All files below a folder, by their path below it.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = walkdir::WalkDir::new(folder).into_iter().map(|entry| entry.expect("an entry"));
    let files = entries.filter(|entry| entry.file_type().is_file());
    files
        .map(|file| {
            let path = file.path().strip_prefix(folder).expect("below").to_path_buf();
            (path, std::fs::read(file.path()).expect("a file"))
        })
        .collect()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The reports of all days of a window, as of a first run over the logs.
pub fn reports<'r>(replay: &'r Replay, books: &'r Books, window: Window) -> Vec<DayReport<'r>> {
    static NONE: BTreeMap<Day, Carry<String>> = BTreeMap::new();
    let plan = Plan::new(&pipeline::days_seen(replay), window, &[]);
    let rating = plan.iter().flat_map(|plan| Rating::new(replay, books, plan, &NONE, None));
    rating.flat_map(|days| days.expect("reports")).collect()
}

/// A CSV file as rows of cells by column.
pub type Table = Vec<BTreeMap<String, String>>;

pub fn read_csv(path: &Path) -> (Vec<String>, Table) {
    let mut reader =
        csv::Reader::from_path(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let header: Vec<String> = reader.headers().expect("a header").iter().map(str::to_string).collect();
    let rows = reader
        .records()
        .map(|row| header.iter().cloned().zip(row.expect("a row").iter().map(str::to_string)).collect())
        .collect();
    (header, rows)
}

/// What a row of charges costs by its requests alone, in dollars as written: storage is no request's, and allowances are
/// taken off a day's sum.
pub fn cost_of_requests(charge: &BTreeMap<String, String>) -> &str {
    match (charge["meter"].as_str(), charge["allowance_quantity"].as_str()) {
        ("cache_storage", _) => "",
        (_, "") => &charge["rated_cost_usd"],
        _ => &charge["list_cost_usd"],
    }
}

/// The folders with published tables: undated ones first (their rows have no date), then days in order.
pub fn published(out: &Path) -> Vec<PathBuf> {
    let list = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
        paths.sort();
        paths
    };
    let mut folders = list(&out.join("undated"));
    folders.extend(list(out).into_iter().filter(|path| path.join("manifest.json").exists()));
    folders
}

/// The rows of a table over all published folders: from CSV, or from Parquet where there is no CSV.
pub fn table(out: &Path, name: &str) -> Table {
    let mut rows = Table::new();
    for folder in published(out) {
        let (csv, parquet) = (folder.join(format!("{name}.csv")), folder.join(format!("{name}.parquet")));
        if csv.exists() {
            rows.extend(read_csv(&csv).1);
        } else if parquet.exists() {
            rows.extend(read_parquet(&parquet));
        }
    }
    rows
}

/// As the CSV would have it.
pub fn read_parquet(path: &Path) -> Table {
    let file = std::fs::File::open(path).expect("a table");
    let mut frame = ParquetReader::new(file).finish().expect("a Parquet file");
    let mut csv = Vec::new();
    let mut writer = CsvWriter::new(&mut csv).with_datetime_format(Some("%Y-%m-%dT%H:%M:%SZ".into()));
    writer.finish(&mut frame).expect("CSV");
    let mut reader = csv::Reader::from_reader(csv.as_slice());
    let rows = reader.deserialize().map(|row| row.expect("a row"));
    rows.collect()
}

pub fn json(path: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
