//! Walks `fixtures/cases`: each folder claims something, and the program must bear it out. A stray file, a case without
//! a WHY or an unknown rule id fails.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Output;

use rayon::prelude::*;
use rerate::evidence::Warning;
use rerate::types::reason::Reason;

use crate::run::{self, Table};

/// The rules of design §5 and §6 that are built.
const RULES: [&str; 20] = [
    "C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8", "C9", "C10", "C11", "Q1", "Q2", "Q3", "Q4", "Q5", "Q6",
    "Q7", "Q8", "Q9",
];
const TABLES: [&str; 10] = [
    "usage", "charges", "quota", "suspense", "traffic", "credits", "accounts", "upgrade", "data_use",
    "evidence",
];
const THEMES: [&str; 11] = [
    "identity",
    "input",
    "shapes",
    "tokens",
    "models",
    "window",
    "carry",
    "accounts",
    "upgrade",
    "data_use",
    "assumptions",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cases")
}

fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = std::fs::read_dir(folder())
        .expect("fixtures/cases")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    cases.sort();
    cases
}

fn name(case: &Path) -> String {
    case.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn rules(case: &Path) -> Vec<String> {
    let why =
        std::fs::read_to_string(case.join("WHY.md")).unwrap_or_else(|_| panic!("{}: no WHY.md", name(case)));
    assert!(why.starts_with("# "), "{}: WHY.md begins with the claim", name(case));
    let line = why.lines().find_map(|line| line.strip_prefix("Rule: "));
    let line = line.unwrap_or_else(|| panic!("{}: WHY.md has no line 'Rule: '", name(case)));
    line.split(", ").map(|id| id.trim_end_matches('.').to_string()).collect()
}

#[test]
fn every_case_bears_out_its_claim() {
    let failed: Vec<String> = cases()
        .par_iter()
        .filter_map(|case| difference(case).map(|told| format!("{}:\n{told}", name(case))))
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {} cases differ\n\n{}",
        failed.len(),
        cases().len(),
        failed.join("\n\n")
    );
}

#[test]
fn every_rule_reason_and_warning_has_a_case() {
    let known: BTreeSet<String> = RULES
        .into_iter()
        .chain(THEMES)
        .chain(Reason::ALL.iter().map(|reason| reason.name()))
        .chain(Warning::ALL.iter().map(|warning| warning.name()))
        .map(str::to_string)
        .collect();
    let claimed: BTreeSet<String> = cases().iter().flat_map(|case| rules(case)).collect();
    let unknown: Vec<_> = claimed.difference(&known).collect();
    assert!(unknown.is_empty(), "no such rule: {unknown:?}");
    let uncovered: Vec<_> = known.difference(&claimed).collect();
    assert!(uncovered.is_empty(), "no case: {uncovered:?}");
}

#[test]
fn no_file_is_stray() {
    for case in cases() {
        assert!(case.join("expect").is_dir(), "{}: no expect folder", name(&case));
        let args = runs(&case).concat();
        for entry in std::fs::read_dir(&case).expect("a case is a folder") {
            let file = entry.expect("an entry").file_name().to_string_lossy().into_owned();
            let known = ["WHY.md", "args", "expect"].contains(&file.as_str()) || args.contains(&file);
            assert!(known, "{}: {file} is stray", name(&case));
        }
        for entry in std::fs::read_dir(case.join("expect")).expect("an expect folder") {
            let file = entry.expect("an entry").file_name().to_string_lossy().into_owned();
            let known = ["assumptions.json", "days.txt", "exit", "records.json", "told.txt", "warnings.json"];
            let is_table = file.strip_suffix(".csv").is_some_and(|table| TABLES.contains(&table));
            assert!(is_table || known.contains(&file.as_str()), "{}: expect/{file} is stray", name(&case));
        }
    }
}

/// What the program says otherwise than the case expects.
fn difference(case: &Path) -> Option<String> {
    let out = tempfile::tempdir().expect("a temporary folder");
    let out = out.path().join("out");
    let out_arg = out.display().to_string();
    let run = |args: &Vec<String>| {
        let args = ["replay", "--out", &out_arg].into_iter().chain(args.iter().map(String::as_str));
        run::rerate(case, &args.collect::<Vec<_>>())
    };
    let mut outputs: Vec<Output> = runs(case).iter().map(run).collect();
    let output = outputs.pop().expect("a case has a run");

    let mut told = Vec::new();
    let failed = outputs.iter().filter(|output| !matches!(output.status.code(), Some(0 | 3)));
    told.extend(failed.map(|output| format!("a run before the last: {}", run::stderr(output))));
    for table in TABLES {
        let expected = case.join(format!("expect/{table}.csv"));
        if expected.exists() {
            let (header, expected) = run::read_csv(&expected);
            told.extend(table_difference(table, &header, &expected, &run::table(&out, table)));
        }
    }
    let records = case.join("expect/records.json");
    if records.exists() {
        told.extend(records_difference(&run::json(&records), &out, &output));
    }
    for of_days in ["warnings", "assumptions"] {
        let expected = case.join(format!("expect/{of_days}.json"));
        if expected.exists() {
            let (expected, found) = (run::json(&expected), of_manifests(&out, of_days));
            if expected != found {
                told.push(format!("{of_days}: expected {expected}, found {found}"));
            }
        }
    }
    if let Ok(expected) = std::fs::read_to_string(case.join("expect/days.txt")) {
        let found: String = days(&out).iter().map(|folder| name(folder) + "\n").collect();
        if expected != found {
            told.push(format!("days: expected\n{expected}found\n{found}"));
        }
    }
    let said = run::stderr(&output);
    let expected = std::fs::read_to_string(case.join("expect/told.txt")).unwrap_or_default();
    told.extend(expected.lines().filter(|line| !said.contains(line)).map(|line| format!("not told: {line}")));
    let suspense = if run::table(&out, "suspense").is_empty() { 0 } else { 3 };
    let expected_exit = match std::fs::read_to_string(case.join("expect/exit")) {
        Ok(code) => code.trim().parse().expect("a number"),
        Err(_) => suspense,
    };
    if output.status.code() != Some(expected_exit) {
        told.push(format!("exit: expected {expected_exit}, found {:?}", output.status.code()));
    }
    if told.is_empty() { None } else { Some(format!("{}\n{}", told.join("\n"), said)) }
}

/// The arguments of each run, all into one folder of days. Where a case has one run, its inputs and accounts file are given
/// without being named.
fn runs(case: &Path) -> Vec<Vec<String>> {
    let file = std::fs::read_to_string(case.join("args")).unwrap_or_default();
    let mut runs: Vec<Vec<String>> =
        file.split("---\n").map(|run| run.lines().map(str::to_string).collect()).collect();
    if let [only] = runs.as_mut_slice() {
        if case.join("accounts.toml").exists() {
            only.extend(["--accounts", "accounts.toml"].map(str::to_string));
        }
        let entries = std::fs::read_dir(case).expect("a case is a folder");
        let files = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        let mut inputs: Vec<String> = files.filter(|file| file.starts_with("input")).collect();
        inputs.sort();
        only.extend(inputs);
    }
    runs
}

/// The published days, in order.
fn days(out: &Path) -> Vec<PathBuf> {
    let mut folders = run::published(out);
    folders.retain(|folder| folder.join("manifest.json").exists());
    folders
}

/// A part of the manifests by day; days without any are left out.
fn of_manifests(out: &Path, part: &str) -> serde_json::Value {
    let found: serde_json::Map<String, serde_json::Value> = days(out)
        .iter()
        .map(|folder| (name(folder), run::json(&folder.join("manifest.json"))[part].clone()))
        .filter(|(_, part)| part.as_object().is_some_and(|part| !part.is_empty()))
        .collect();
    found.into()
}

fn table_difference(table: &str, header: &[String], expected: &Table, found: &Table) -> Option<String> {
    let cells = |rows: &Table| -> Vec<String> {
        let cell = |row: &BTreeMap<String, String>, column: &String| {
            row.get(column).map_or("?", String::as_str).to_string()
        };
        rows.iter()
            .map(|row| header.iter().map(|column| cell(row, column)).collect::<Vec<_>>().join(","))
            .collect()
    };
    let (expected, found) = (cells(expected), cells(found));
    (expected != found).then(|| {
        format!(
            "{table}: {}\n  expected\n    {}\n  found\n    {}",
            header.join(","),
            expected.join("\n    "),
            found.join("\n    ")
        )
    })
}

fn records_difference(expected: &serde_json::Value, out: &Path, output: &Output) -> Option<String> {
    let run = run::published(out).into_iter().map(|folder| folder.join("run.json")).find(|run| run.exists());
    let found = match run {
        Some(run) => run::json(&run)["records"].clone(),
        // Nothing was published, so the counts are in the closing lines alone.
        None => records_in(&run::stderr(output)),
    };
    let expected = expected.as_object().expect("an object");
    let differs = expected.iter().any(|(count, expected)| found.get(count) != Some(expected));
    differs.then(|| format!("records: expected {expected:?}, found {found}"))
}

/// The first equation from `read 3 lines, …` and `  = 1 blank + 2 outside window`.
fn records_in(stderr: &str) -> serde_json::Value {
    let number = |text: &str| text.replace(',', "").parse::<u64>().unwrap_or(u64::MAX);
    let mut records: serde_json::Map<String, serde_json::Value> = [
        "lines",
        "blank",
        "not_requests",
        "suspended",
        "duplicates",
        "superseded",
        "outside_window",
        "requests",
    ]
    .into_iter()
    .map(|count| (count.to_string(), 0.into()))
    .collect();
    for line in stderr.lines() {
        if let Some(read) = line.strip_prefix("read ") {
            records["lines"] = number(read.split(' ').next().unwrap_or_default()).into();
        }
        for part in line.strip_prefix("  = ").into_iter().flat_map(|parts| parts.split(" + ")) {
            let (count, name) = part.split_once(' ').unwrap_or_default();
            records.insert(name.replace(' ', "_"), number(count).into());
        }
    }
    records.into()
}
