//! Logs in an object store: the same as from a folder, whatever goes wrong on the way, and no more of them than is read.
//! Here by a bucket of our own; against the stores' emulators they are read by `tests/stores`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::Ordering;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::awkward::{gz, zst};
use crate::bucket::{Bucket, SECRET};
use crate::containers;
use crate::forged;
use crate::run::{self, request, stderr};

/// The believable records in several containers, by key.
fn logs() -> Vec<(String, Vec<u8>)> {
    let records = containers::records();
    let part = |part: usize| &records[records.len() * part / 4..records.len() * (part + 1) / 4];
    let lines = |part: &[containers::Row]| -> String {
        part.iter().map(|row| serde_json::to_string(row).expect("JSON") + "\n").collect()
    };
    [
        ("in/a.jsonl", lines(part(0)).into_bytes()),
        ("in/b/b.jsonl.gz", gz(lines(part(1)).as_bytes())),
        ("in/b/ü c.jsonl.zst", zst(lines(part(2)).as_bytes())),
        ("in/d.parquet", containers::parquet(part(3), 50, Compression::SNAPPY)),
    ]
    .map(|(key, bytes)| (key.to_string(), bytes))
    .into()
}

fn filled() -> Bucket {
    let bucket = Bucket::new();
    for (key, bytes) in logs() {
        bucket.put(&key, &bytes);
    }
    bucket
}

fn rerate(folder: &Path, bucket: &Bucket, args: &[&str]) -> Output {
    let mut command = run::command(folder);
    bucket.tell(&mut command);
    let output = command.args(args).output().expect("the program starts");
    assert!(!stderr(&output).contains(SECRET) && !run::stdout(&output).contains(SECRET));
    output
}

/// What is published of `logs`, but for the names of inputs.
fn published(folder: &Path, bucket: &Bucket, logs: &[&str], out: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut args = vec![
        "replay",
        "--out",
        out,
        "--usage-tier",
        "tier1",
        "--allow-suspense",
        "100%",
        "--allow-unpriced",
        "100%",
    ];
    args.extend(logs);
    let output = rerate(folder, bucket, &args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let files = run::files(&folder.join(out)).into_iter();
    let files: Vec<_> = files.filter(|(path, _)| !path.ends_with("run.json")).collect();
    assert!(files.len() > 10);
    files
}

fn folder_of_logs() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (key, bytes) in logs() {
        let path = folder.path().join(key);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, bytes).expect("a log");
    }
    folder
}

#[test]
fn logs_in_a_store_give_the_same_bytes_as_in_a_folder() {
    let (folder, bucket) = (folder_of_logs(), filled());
    let expected = published(folder.path(), &bucket, &["in"], "from-folder");
    for (place, logs) in [
        &["s3://logs/in/"][..],
        &["s3://logs"],
        &["s3://logs/in/*", "s3://logs/in/b/"],
        &["s3://logs/**/*.jsonl*", "s3://logs/in/d.parquet", "s3://logs/in/a.jsonl"],
        &["in/b", "s3://logs/in/a.jsonl", "s3://logs/in/d.parquet"],
    ]
    .into_iter()
    .enumerate()
    {
        assert!(published(folder.path(), &bucket, logs, &format!("out-{place}")) == expected, "{logs:?}");
    }
}

#[test]
fn what_is_refused_is_asked_for_again_and_what_breaks_off_is_resumed() {
    let (folder, bucket) = (folder_of_logs(), filled());
    let expected = published(folder.path(), &bucket, &["in"], "from-folder");
    bucket.state.refusals.store(3, Ordering::SeqCst);
    bucket.state.breaks.store(5, Ordering::SeqCst);
    assert!(published(folder.path(), &bucket, &["s3://logs/in/"], "out") == expected);
    assert!(
        bucket.state.refusals.load(Ordering::SeqCst) <= 0 && bucket.state.breaks.load(Ordering::SeqCst) <= 0
    );
}

#[test]
fn an_object_that_changes_while_it_is_read_ends_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let bucket = Bucket::new();
    bucket.put_blank("big.jsonl", 40 << 20);
    bucket.state.changes_after.store(3, Ordering::SeqCst);
    let output = rerate(folder.path(), &bucket, &["check", "s3://logs/big.jsonl"]);
    let told = "error: s3://logs/big.jsonl: can't read: it was changed while it was read\n";
    assert_eq!(
        (output.status.code(), stderr(&output).contains(told)),
        (Some(1), true),
        "{}",
        stderr(&output)
    );
}

#[test]
fn the_network_s_failure_is_no_fault_of_a_table() {
    let (folder, bucket) = (folder_of_logs(), filled());
    bucket.state.changes_after.store(2, Ordering::SeqCst);
    let output = rerate(folder.path(), &bucket, &["check", "s3://logs/in/d.parquet"]);
    let told = "s3://logs/in/d.parquet: can't read: it was changed while it was read";
    assert_eq!(
        (output.status.code(), stderr(&output).contains(told)),
        (Some(1), true),
        "{}",
        stderr(&output)
    );
}

#[test]
fn of_a_table_only_the_columns_that_are_read_are_fetched() {
    let folder = tempfile::tempdir().expect("a folder");
    let bucket = Bucket::new();
    let count = 4_000;
    let column = |text: &dyn Fn(usize) -> String| -> ArrayRef {
        std::sync::Arc::new(StringArray::from_iter_values((0..count).map(text)))
    };
    // As hard to pack as prose is, and in every row another.
    let prompt = |place: usize| -> String {
        let mut state = place as u64 + 1;
        let mut letter = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            char::from(33 + (state >> 33) as u8 % 90)
        };
        (0..400).map(|_| letter()).collect()
    };
    let columns = [
        ("request_id", column(&|place| format!("r{place}"))),
        ("timestamp", column(&|_| "2026-06-01T19:00:00Z".to_string())),
        ("prompt", column(&prompt)),
        ("project_id", column(&|_| "p".to_string())),
        ("model", column(&|_| "gemini-2.5-flash".to_string())),
        ("status", column(&|_| "200".to_string())),
        ("answer", column(&prompt)),
        ("usageMetadata", column(&|_| r#"{"promptTokenCount":100,"totalTokenCount":100}"#.to_string())),
    ];
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(1_000)).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("rows");
    writer.close().expect("an end");
    assert!(bytes.len() > 2_500_000, "{}", bytes.len());
    bucket.put("table.parquet", &bytes);
    let output =
        rerate(folder.path(), &bucket, &["check", "s3://logs/table.parquet", "--usage-tier", "tier1"]);
    assert!(output.status.success() && stderr(&output).contains("= 4,000 requests\n"), "{}", stderr(&output));
    // What is at its end is asked for as one, with what of other columns lies before it.
    let served = bucket.state.served.load(Ordering::SeqCst);
    assert!(served < (1 << 20) + 400_000, "{served} of {} bytes", bytes.len());
}

#[test]
fn of_an_object_whose_columns_lie_nowhere_the_rest_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let bucket = Bucket::new();
    for bytes in forged::misplaced() {
        bucket.put("forged.parquet", &bytes);
        let args = ["check", "s3://logs/forged.parquet", "--usage-tier", "tier1"];
        let told = stderr(&rerate(folder.path(), &bucket, &args));
        assert!(told.contains("rows 1 to 300 aren't read") && told.contains("20,000 requests"), "{told}");
        assert!(!told.contains("panicked"), "{told}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_large_object_is_read_in_constant_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let bucket = Bucket::new();
    bucket.put_blank("big.jsonl", 600 << 20);
    let mut command = run::command(folder.path());
    bucket.tell(&mut command);
    let command = command.args(["check", "s3://logs/big.jsonl"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut peak = 0;
    while child.try_wait().expect("a state").is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        peak = peak.max(line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0));
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let output = child.wait_with_output().expect("an end");
    assert!(stderr(&output).contains("read 9,600 lines"), "{}", stderr(&output));
    assert!(peak > 0 && peak < 200 << 10, "{peak} kB");
}

#[test]
fn of_a_prefix_the_same_is_read_as_of_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let bucket = Bucket::new();
    let line = |id: &str| request(id, "2026-06-01T19:00:00").into_bytes();
    for key in [
        "in/a.jsonl",
        "in/.hidden.jsonl",
        "in/.hidden/b.jsonl",
        "in/notes.md",
        "in/days/2026-06-01/manifest.json",
        "in/days/2026-06-01/usage.csv",
        "in/sub/c.jsonl",
        "in-2/d.jsonl",
    ] {
        bucket.put(key, &line(key));
    }
    bucket.put("in/copy.jsonl", &line("in/a.jsonl"));
    let output = rerate(folder.path(), &bucket, &["check", "s3://logs/in/", "--usage-tier", "tier1"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let inputs: Vec<String> = run::stdout(&output)
        .split_whitespace()
        .filter(|word| word.contains("s3:"))
        .map(str::to_string)
        .collect();
    assert_eq!(inputs, ["s3://logs/in/a.jsonl", "s3://logs/in/copy.jsonl", "s3://logs/in/sub/c.jsonl"]);
    for told in [
        "s3://logs/in/copy.jsonl has the same bytes as s3://logs/in/a.jsonl: read once",
        "s3://logs/in/: 1 file, not named like logs, left unread",
        "= 2 requests",
    ] {
        assert!(stderr(&output).contains(told), "{told}: {}", stderr(&output));
    }
}

#[test]
fn an_entry_of_inputs_names_objects() {
    let folder = tempfile::tempdir().expect("a folder");
    let bucket = Bucket::new();
    let line = request("r", "2026-06-01T19:00:00").replace(r#""project_id":"p","#, "");
    bucket.put("a/1.jsonl", line.as_bytes());
    bucket.put("b/2.jsonl", line.as_bytes());
    let entries = "[[inputs]]\nlogs = \"s3://logs/a/\"\nproject = \"of-a\"\n[[inputs]]\nlogs = \"s3://logs/*/*.jsonl\"\nproject = \"of-b\"\n";
    fs::write(folder.path().join("rerate.toml"), entries).expect("settings");
    let output = rerate(folder.path(), &bucket, &["replay", "s3://logs", "--out", "days"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let rows = run::table(&folder.path().join("days"), "usage");
    let projects: Vec<&str> = rows.iter().map(|row| &*row["project_id"]).collect();
    assert_eq!(projects, ["of-a", "of-b"]);
}

#[test]
fn what_cannot_be_read_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let bucket = Bucket::new();
    bucket.put("a.jsonl", b"{}\n");
    let told = |url: &str, code: i32| {
        let output = rerate(folder.path(), &bucket, &["check", url]);
        assert_eq!(output.status.code(), Some(code), "{url}: {}", stderr(&output));
        stderr(&output)
    };
    for (url, code, error) in [
        (
            "s3://logs/b.jsonl",
            1,
            "error: s3://logs/b.jsonl: there is no such object\nhint: a prefix ends in /",
        ),
        ("s3://logs/b/", 1, "error: s3://logs/b/: there is no file to read\n"),
        ("s3://logs/*.csv", 1, "error: s3://logs/*.csv: no object is named so\n"),
        ("s3://lgos/in/", 1, "error: s3://lgos/in/: there is no such bucket: s3://lgos\n"),
        ("s3:///a", 2, "error: s3:///a: it names no bucket\n"),
        ("s3://logs/a//b.jsonl", 2, "error: s3://logs/a//b.jsonl: a key like this can't be read\n"),
        ("s3://logs//a.jsonl", 2, "error: s3://logs//a.jsonl: a key like this can't be read\n"),
        (
            "az://logs/a.jsonl",
            1,
            "error: az://logs: it can't be known who asks: Account must be specified\nhint: set AZURE_",
        ),
        ("s3://logs/[a.jsonl", 2, "error: s3://logs/[a.jsonl: the pattern is malformed at byte"),
        (
            "ftp://logs/a.jsonl",
            2,
            "error: ftp://logs/a.jsonl: logs can't be read from ftp://\nhint: expected gs://",
        ),
    ] {
        assert!(told(url, code).contains(error), "{url}: {}", told(url, code));
    }
    bucket.state.denies.store(1, Ordering::SeqCst);
    for url in ["s3://logs/a.jsonl", "s3://logs/"] {
        assert!(
            told(url, 1).contains(&format!("error: {url}: the store refuses access\n")),
            "{}",
            told(url, 1)
        );
    }
    let output = rerate(folder.path(), &bucket, &["replay", "s3://logs/", "--out", "s3://logs/days"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).starts_with("error: --out s3://logs/days: days are published to a folder\n"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_store_that_nobody_answers_for_is_told_without_its_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = run::command(folder.path());
    Bucket::new().tell(&mut command);
    // Nothing listens on the discard port.
    let output =
        command.env("AWS_ENDPOINT_URL", "http://127.0.0.1:9/?sig=abc").args(["check", "s3://logs/"]).output();
    let output = output.expect("the program starts");
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.starts_with("error: s3://logs/: the store can't be reached: Connection refused\n"),
        "{told}"
    );
    assert!(!told.contains("sig=") && told.contains("AWS_ACCESS_KEY_ID"), "{told}");
}
