//! What a nightly run leaves for machines and for whoever looks at it weeks later: metrics, JSON lines, the last line.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::run::{self, request, rerate, stderr, words, write};

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn metrics(folder: &Path) -> String {
    fs::read_to_string(folder.join("rerate.prom")).expect("metrics")
}

const NOW: &str = "--now 2026-06-03T01:00:00-07:00 --metrics rerate.prom";

#[test]
fn metrics_say_what_was_read_what_it_cost_and_which_limits_were_close() {
    let folder = scratch();
    let folder = folder.path();
    // 901 requests in a minute, of 1,000 that tier 1 has.
    let mut lines: Vec<String> =
        (0..901).map(|at| request(&format!("r{at}"), &format!("2026-06-01T12:00:{:02}", at % 60))).collect();
    lines.push("{".to_string());
    lines.push(request("odd", "2026-06-01T12:00:00").replace("2.5-flash", "0.5-flash"));
    write(folder, "log.jsonl", &lines);
    words(folder, &format!("replay log.jsonl --out days {NOW}"), 3);
    let text = metrics(folder);
    for line in [
        "# TYPE rerate_records gauge\n",
        "\nrerate_records{state=\"requests\"} 902\n",
        "\nrerate_records{state=\"suspended\"} 1\n",
        "\nrerate_suspense{reason=\"malformed_json\"} 1\n",
        "\nrerate_suspense{reason=\"unknown_model\"} 1\n",
        // 901 × 100 tokens at 0.30 USD a million.
        "\nrerate_rated_cost_usd 0.02703\n",
        "\nrerate_quota_peak_ratio{project_id=\"p\",quota_model=\"gemini-2.5-flash\",usage_tier=\"tier1\",metric=\"rpm\"} 0.901\n",
        "\nrerate_days{state=\"open\"} 1\n",
        "\nrerate_exit_code 3\n",
        // 3 is a success.
        "\nrerate_last_success_timestamp_seconds 1780473600\n",
        "\nrerate_duration_seconds ",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let size = fs::metadata(folder.join("log.jsonl")).expect("a log").len();
    assert!(text.contains(&format!("\nrerate_bytes {size}\n")), "{text}");
    for sample in text.lines().filter(|line| !line.starts_with('#')) {
        let value = sample.rsplit_once(' ').expect("a name and a value").1;
        assert!(value.parse::<f64>().is_ok(), "{sample}");
        assert!(
            sample.starts_with("rerate_")
                && sample.split("} ").last().is_some_and(|rest| rest.split(' ').count() <= 2),
            "{sample}"
        );
    }
}

#[test]
fn a_failed_run_keeps_the_last_success() {
    let folder = scratch();
    let folder = folder.path();
    write(folder, "log.jsonl", &[request("a", "2026-06-01T12:00:00")]);
    words(folder, "replay no-such-log.jsonl --out days --metrics rerate.prom", 1);
    assert!(!metrics(folder).contains("last_success"), "{}", metrics(folder));
    words(folder, &format!("replay log.jsonl --out days {NOW}"), 0);
    words(folder, "replay no-such-log.jsonl --out days --metrics rerate.prom", 1);
    let text = metrics(folder);
    assert!(text.contains("\nrerate_last_success_timestamp_seconds 1780473600\n"), "{text}");
    assert!(text.contains("\nrerate_exit_code 1\n"), "{text}");
    let left: Vec<_> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name()).collect();
    assert_eq!(left.len(), 3, "nothing is left beside: {left:?}");
}

#[test]
fn metrics_that_cannot_be_written_are_told_before_anything_is_published() {
    let folder = scratch();
    let folder = folder.path();
    write(folder, "log.jsonl", &[request("a", "2026-06-01T12:00:00")]);
    for path in ["no-such-folder/rerate.prom", "log.jsonl/rerate.prom", "."] {
        let told = words(folder, &format!("replay log.jsonl --out days --metrics {path}"), 1);
        assert!(told.contains("error: --metrics ") && told.contains("nothing was published"), "{told}");
        assert!(!folder.join("days").exists());
    }
}

#[test]
fn stderr_may_be_a_json_object_a_line() {
    let folder = scratch();
    let folder = folder.path();
    write(folder, "log.jsonl", &[request("a", "2026-06-01T12:00:00"), "{".to_string()]);
    for (args, code, level) in
        [("replay log.jsonl --out days", 3, "info"), ("replay none.jsonl --out days", 1, "error")]
    {
        let output = run::command(folder)
            .args(args.split(' '))
            .env("RERATE_LOG_FORMAT", "json")
            .env("RERATE_NO_SUCH", "1")
            .output()
            .expect("the program starts");
        assert_eq!(output.status.code(), Some(code));
        let told = stderr(&output);
        let lines: Vec<serde_json::Value> = told
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}")))
            .collect();
        assert_eq!(lines[0]["level"], "warning", "{told}");
        assert_eq!(lines[1]["level"], level, "{told}");
        assert!(lines.iter().all(|line| line["time"].as_str().is_some_and(|time| time.ends_with('Z'))));
        let last = lines.last().expect("a line")["message"].as_str().expect("a message");
        assert!(last.starts_with(&format!("rerate replay: exit={code} days=")), "{last}");
    }
}

#[test]
fn the_last_line_says_how_it_ended() {
    let folder = scratch();
    let folder = folder.path();
    let lines = ["2026-06-01T19:00:00", "2026-06-02T19:00:00"].map(|time| request(time, time));
    write(folder, "log.jsonl", &lines);
    for (args, code, line) in [
        (
            "replay log.jsonl --out days",
            0,
            "exit=0 days=2026-06-01..2026-06-02 open=1 requests=2 suspended=0 rated_usd=0.00006",
        ),
        (
            "replay log.jsonl --out days --date 2026-06-01",
            0,
            "exit=0 days=2026-06-01 open=0 requests=1 suspended=0 rated_usd=0.00003",
        ),
        ("replay none.jsonl --out days", 1, "exit=1 days=none"),
        ("replay log.jsonl --out days --from 2026-06-02 --to 2026-06-01", 2, "exit=2 days=none"),
    ] {
        let output = rerate(folder, &args.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert_eq!(stderr(&output).lines().last(), Some(&*format!("rerate replay: {line}")), "{args}");
    }
}

#[test]
fn a_run_that_nobody_sees_says_every_ten_seconds_how_far_it_is_when_asked() {
    let folder = scratch();
    let mut children: Vec<_> = [&["-v"][..], &[]]
        .iter()
        .map(|more| {
            let mut child = run::command(folder.path())
                .args(["check", "-"])
                .args(*more)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .expect("the program starts");
            let line = request("a", "2026-06-01T12:00:00") + "\n";
            child.stdin.as_mut().expect("a pipe").write_all(line.as_bytes()).expect("it reads");
            child
        })
        .collect();
    std::thread::sleep(Duration::from_millis(11_500));
    for (child, asked) in children.drain(..).zip([true, false]) {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(stderr(&output).contains("reading: "), asked, "{}", stderr(&output));
    }
}
