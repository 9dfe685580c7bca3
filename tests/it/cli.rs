//! What only the program does: exit codes, pipes, signals, a full disk, what it replaces and what it doesn't.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::run::{self, files, rerate, stderr, write};

/// A request that went well, at a time of 2026-06-01.
fn request(id: &str, time: &str) -> String {
    run::request(id, &format!("2026-06-01T{time}"))
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

#[test]
fn exit_codes_say_how_it_ended() {
    let folder = scratch();
    let folder = folder.path();
    let mut lines = vec![request("a", "12:00:00"), request("b", "12:00:00")];
    write(folder, "good.jsonl", &lines);
    lines.push("{".to_string());
    write(folder, "faulty.jsonl", &lines);
    write(
        folder,
        "unpriced.jsonl",
        &[request("c", "12:00:00").replace("2.5-flash", "0.5-flash"), request("a", "12:00:00")],
    );
    write(folder, "blank.jsonl", &["  ".to_string()]);
    for (args, code) in [
        ("replay good.jsonl --out o1", 0),
        ("replay blank.jsonl --out o2", 0),
        ("replay missing.jsonl --out o3", 1),
        ("replay good.jsonl --out o4 --date 2026-06-02", 1),
        ("replay good.jsonl --out o4 --date 2026-06-02 --allow-empty", 0),
        ("replay good.jsonl", 2),
        ("replay good.jsonl --out o5 --from 2026-06-02 --to 2026-06-01", 2),
        ("replay good.jsonl --out o5 --time-zone Mars", 2),
        ("replay faulty.jsonl --out o6", 3),
        ("replay faulty.jsonl --out o6 --allow-suspense 1", 0),
        ("replay faulty.jsonl --out o6 --allow-suspense 33%", 3),
        ("replay faulty.jsonl --out o6 --allow-suspense 33.4%", 0),
        ("replay faulty.jsonl --out o6 --allow-suspense many", 2),
        ("replay faulty.jsonl --out o6 --allow-suspense 1844674407370955162%", 2),
        ("check faulty.jsonl --date 2026-06-01", 0),
        // With a window, lines without a time are told and decide nothing.
        ("replay faulty.jsonl --out o7 --date 2026-06-01", 0),
        ("replay unpriced.jsonl --out o8", 3),
        ("replay unpriced.jsonl --out o8 --allow-unpriced 49%", 3),
        ("replay unpriced.jsonl --out o8 --allow-unpriced 50%", 0),
        ("check good.jsonl", 0),
        ("check faulty.jsonl", 3),
        ("book prices", 0),
        ("book prices no-such-model", 1),
        ("book no-such-book", 2),
        ("accounts good.jsonl", 0),
    ] {
        let output = rerate(folder, &args.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(code), "rerate {args}\n{}", stderr(&output));
    }
    assert!(!folder.join("o2").exists() && !folder.join("o3").exists(), "nothing was published");
    assert!(folder.join("o4/2026-06-02/charges.csv").exists(), "an empty day was asked for");
}

#[test]
fn a_published_day_is_never_replaced_by_less() {
    let folder = scratch();
    let folder = folder.path();
    write(folder, "a.jsonl", &[request("a", "12:00:00"), request("b", "13:00:00")]);
    write(folder, "b.jsonl", &[request("c", "13:30:00")]);
    write(folder, "late.jsonl", &[request("d", "13:40:00")]);
    let replay =
        |args: &str| rerate(folder, &format!("replay --out days {args}").split(' ').collect::<Vec<_>>());
    assert!(replay("a.jsonl b.jsonl").status.success());
    let before = files(&folder.join("days"));

    let less = replay("a.jsonl");
    assert_eq!(less.status.code(), Some(1));
    assert!(stderr(&less).contains("2026-06-01: 3 requests → 2; by hour: 06:00 2 → 1"), "{}", stderr(&less));
    assert_eq!(files(&folder.join("days")), before, "the day is as it was");

    // The same files and a late one: more, whatever the order.
    assert!(replay("late.jsonl b.jsonl a.jsonl").status.success());
    let together = files(&folder.join("days"));
    assert!(replay("a.jsonl --replace").status.success());
    assert_eq!(run::table(&folder.join("days"), "usage")[0]["requests"], "2");

    // Hours that have no less, from other files.
    write(folder, "whole.jsonl", &["a", "b", "c", "d"].map(|id| request(id, "12:00:00")));
    write(folder, "other.jsonl", &["a", "b"].map(|id| request(id, "12:00:00")));
    assert!(replay("other.jsonl --replace").status.success());
    assert!(replay("whole.jsonl").status.success());
    assert!(together.len() == before.len(), "nothing is left behind");
}

#[test]
fn the_same_logs_give_the_same_bytes_whatever_the_threads_and_their_order() {
    let folder = scratch();
    let folder = folder.path();
    let oracle = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/oracle/dev_cases.jsonl");
    let text = std::fs::read_to_string(oracle).expect("the oracle");
    let mut lines: Vec<String> = Vec::new();
    for case in text.lines() {
        let case: serde_json::Value = serde_json::from_str(case).expect("a case");
        let records = case["records"].as_array().expect("records").iter();
        lines
            .extend(records.map(|record| record.as_str().map_or_else(|| record.to_string(), str::to_string)));
    }
    write(folder, "log.jsonl", &lines);
    let first = rerate(folder, &["replay", "log.jsonl", "--out", "one", "--threads", "1"]);
    assert_eq!(first.status.code(), Some(3), "{}", stderr(&first));
    let second = rerate(folder, &["replay", "log.jsonl", "--out", "four", "--threads", "4"]);
    assert_eq!(second.status.code(), Some(3), "{}", stderr(&second));
    assert!(files(&folder.join("one")) == files(&folder.join("four")), "the bytes differ");
    assert!(run::published(&folder.join("one")).len() > 100, "many days are published by few threads");
}

#[test]
fn what_stands_where_a_day_goes_and_is_no_day_is_never_replaced() {
    let folder = scratch();
    let folder = folder.path();
    std::fs::create_dir_all(folder.join("logs/2026-06-01")).expect("a folder");
    write(folder, "logs/2026-06-01/a.jsonl", &[request("a", "12:00:00")]);
    for more in [&[][..], &["--replace"]] {
        let output =
            rerate(folder, &[&["replay", "logs/2026-06-01/a.jsonl", "--out", "logs"], more].concat());
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr(&output).contains("move it away"), "{}", stderr(&output));
        assert!(folder.join("logs/2026-06-01/a.jsonl").exists());
    }
}

#[test]
fn nothing_published_is_read_as_a_log() {
    let folder = scratch();
    let folder = folder.path();
    write(folder, "a.jsonl", &[request("a", "12:00:00"), "{".to_string()]);
    rerate(folder, &["replay", "a.jsonl", "--out", "days"]);
    std::fs::remove_file(folder.join("a.jsonl")).expect("a log");
    for logs in [".", "days", "days/**/*.json"] {
        let output = rerate(folder, &["check", logs]);
        assert_eq!(output.status.code(), Some(1), "{logs}: {}", stderr(&output));
    }
}

#[test]
fn the_sum_over_requests_is_the_sum_over_charges() {
    let folder = scratch();
    let folder = folder.path();
    let logs = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/logs");
    let (accounts, logs) = (logs.join("accounts.toml").display().to_string(), logs.display().to_string());
    let detail = |out: &str, threads: &str| {
        let args = ["replay", &logs, "--accounts", &accounts, "--detail", "--out", out, "--threads", threads];
        assert!(rerate(folder, &args).status.success());
        run::table(&folder.join(out), "requests")
    };
    let requests = detail("one", "1");
    assert_eq!(requests, detail("four", "4"), "the same requests whatever the threads");
    let sum = |costs: Vec<&str>| {
        let costs = costs.into_iter().filter(|cost| !cost.is_empty());
        costs.fold(rerate::types::money::Pico::ZERO, |sum, cost| {
            sum.checked_add(rerate::types::money::Pico::parse(cost).expect("money")).expect("a sum")
        })
    };
    let charges = run::table(&folder.join("one"), "charges");
    let of_requests = sum(requests.iter().map(|row| row["rated_cost_usd"].as_str()).collect());
    let of_charges = sum(charges.iter().map(run::cost_of_requests).collect());
    assert_eq!((requests.len(), of_requests), (2_255, of_charges));
}

#[test]
fn a_day_is_open_until_a_request_past_its_midnight_was_read() {
    let folder = scratch();
    let folder = folder.path();
    write(folder, "day.jsonl", &[request("a", "12:00:00")]);
    write(folder, "next.jsonl", &[request("b", "12:00:00").replace("2026-06-01", "2026-06-02")]);
    let state = |args: &str| {
        let args = format!("replay --replace --out days --date 2026-06-01 {args}");
        let output = rerate(folder, &args.split(' ').collect::<Vec<_>>());
        assert!(output.status.success(), "{}", stderr(&output));
        run::json(&folder.join("days/2026-06-01/manifest.json"))["state"].clone()
    };
    assert_eq!(state("day.jsonl"), "open");
    assert_eq!(state("day.jsonl --close"), "closed");
    assert_eq!(state("day.jsonl next.jsonl"), "closed");
}

#[test]
fn lines_without_a_time_go_to_their_input_and_leave_with_it() {
    let folder = scratch();
    let folder = folder.path();
    let undated = || -> Vec<String> {
        let entries = std::fs::read_dir(folder.join("days/undated")).into_iter().flatten();
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    };
    for name in ["a.jsonl", "b.jsonl"] {
        write(folder, name, &[request(name, "12:00:00"), "{".to_string()]);
    }
    rerate(folder, &["replay", "a.jsonl", "b.jsonl", "--out", "days"]);
    assert_eq!(undated().len(), 2);
    for name in ["a.jsonl", "b.jsonl"] {
        write(folder, name, &[request(name, "12:00:00")]);
    }
    assert!(rerate(folder, &["replay", "a.jsonl", "b.jsonl", "--out", "days"]).status.success());
    assert!(undated().is_empty(), "{:?}", undated());
}

#[test]
fn no_api_key_and_no_text_of_a_line_is_in_any_output() {
    let folder = scratch();
    let folder = folder.path();
    let key = format!("AIzaSy{}", "x7".repeat(17));
    let prompt = "my secret prompt about nothing in particular";
    let good = request(&key, "12:00:00").replace(r#""p""#, &format!(r#""{key}""#));
    let good =
        good.replacen('{', &format!(r#"{{"contents":[{{"text":"{prompt}"}}],"api_key_id":"{key}","#), 1);
    let faulty = good.replace("200", &format!(r#""{prompt}""#)).replace(&key, &format!("{key}y"));
    let cut = good[..good.len() - 5].to_string();
    write(folder, "log.jsonl", &[good, faulty, cut]);
    let output = rerate(folder, &["replay", "log.jsonl", "--out", "days"]);
    assert_eq!(output.status.code(), Some(3));
    let mut shown = files(&folder.join("days"));
    shown.insert("stderr".into(), output.stderr);
    shown.insert("accounts".into(), rerate(folder, &["accounts", "log.jsonl"]).stdout);
    for (path, bytes) in shown {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(&key) && !text.contains("secret"), "{}: {text}", path.display());
    }
    let charges = run::table(&folder.join("days"), "charges");
    assert!(charges[0]["project_id"].starts_with("key-"), "{:?}", charges[0]);
}

#[test]
fn a_cell_that_a_spreadsheet_would_run_begins_with_a_quote() {
    let folder = scratch();
    let folder = folder.path();
    write(folder, "log.jsonl", &[request("a", "12:00:00").replace(r#""p""#, r#""=1+1""#)]);
    assert!(rerate(folder, &["replay", "log.jsonl", "--out", "days"]).status.success());
    assert_eq!(run::table(&folder.join("days"), "usage")[0]["project_id"], "'=1+1");
}

#[test]
fn a_line_of_many_megabytes_and_one_that_is_too_long_are_both_accounted_for() {
    let folder = scratch();
    let folder = folder.path();
    let long = |id: &str, bytes: usize| {
        request(id, "12:00:00").replacen('{', &format!(r#"{{"x":"{}","#, "y".repeat(bytes)), 1)
    };
    write(folder, "log.jsonl", &[long("a", 9 << 20), long("b", 70 << 20), request("c", "12:00:00")]);
    let output = rerate(folder, &["replay", "log.jsonl", "--out", "days"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let suspense = run::table(&folder.join("days"), "suspense");
    assert_eq!((suspense.len(), &*suspense[0]["line"], &*suspense[0]["reason"]), (1, "2", "line_too_long"));
    assert_eq!(run::table(&folder.join("days"), "usage")[0]["requests"], "2");
}

#[test]
fn whoever_reads_may_leave() {
    let mut child = run::command(Path::new("."))
        .args(["book", "prices"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
}

#[test]
fn help_fits_80_columns_and_has_an_example_that_parses() {
    for command in
        ["", "replay", "check", "show", "status", "accounts", "book", "config", "completions", "man"]
    {
        for flag in ["-h", "--help"] {
            let output = run::command(Path::new("."))
                .args(command.split_whitespace().chain([flag]))
                .env("COLUMNS", "80")
                .output()
                .expect("the program starts");
            let help = String::from_utf8_lossy(&output.stdout).into_owned();
            let widest = help.lines().max_by_key(|line| line.chars().count()).unwrap_or_default();
            assert!(widest.chars().count() <= 80, "rerate {command} {flag}: {widest}");
            assert!(
                command.is_empty() || flag == "-h" || help.contains(&format!("\n  rerate {command}")),
                "{help}"
            );
        }
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_run_that_waits_for_input() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let folder = scratch();
        let mut child = run::command(folder.path())
            .args(["replay", "-", "--out", "days"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        std::thread::sleep(Duration::from_millis(500));
        let sent = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success());
        let stdin = child.stdin.take();
        let output = child.wait_with_output().expect("it ends");
        drop(stdin);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains("nothing was published"), "{}", stderr(&output));
        assert!(!folder.path().join("days").exists());
    }
}

/// Does something in a folder with a disk of 256 KiB, `disk`.
#[cfg(target_os = "linux")]
fn with_small_disk<T>(folder: &Path, work: impl FnOnce(&Path) -> T) -> Option<T> {
    let disk = folder.join("disk");
    std::fs::create_dir(&disk).expect("a folder");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(&disk).output();
    if !mounted.is_ok_and(|mounted| mounted.status.success()) {
        eprintln!("skipped: this needs the right to mount");
        return None;
    }
    let done = work(&disk);
    let unmounted = Command::new("umount").arg(&disk).status();
    assert!(unmounted.is_ok_and(|status| status.success()));
    Some(done)
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_named_and_leaves_published_days_as_they_were() {
    let folder = scratch();
    let folder = folder.path();
    write(folder, "one.jsonl", &[request("a", "12:00:00")]);
    let days: Vec<String> = (1..=28)
        .map(|day| {
            request("a", "12:00:00")
                .replace("2026-06-01", &format!("2026-06-{day:02}"))
                .replace(r#""a""#, &format!(r#""{day}""#))
        })
        .collect();
    write(folder, "many.jsonl", &days);
    let done = with_small_disk(folder, |disk| {
        let first = rerate(folder, &["replay", "one.jsonl", "--out", "disk/days"]);
        let before = files(disk);
        let full = rerate(folder, &["replay", "many.jsonl", "--out", "disk/days"]);
        (first, before, full, files(disk))
    });
    let Some((first, before, full, after)) = done else { return };
    assert!(first.status.success(), "{}", stderr(&first));
    assert_eq!(full.status.code(), Some(1), "{}", stderr(&full));
    assert!(stderr(&full).contains("hint: free some space"), "{}", stderr(&full));
    assert_eq!(before, after);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_ends_a_run_that_needs_a_temporary_file_before_anything_is_published() {
    let folder = scratch();
    let folder = folder.path();
    let log = folder.join("log.jsonl");
    let made = rerate(folder, &["gen", "--records", "20000"]);
    std::fs::write(&log, made.stdout).expect("a log");
    let replay = |out: &str, temporary: Option<&Path>| {
        let mut command = run::command(folder);
        command.env_remove("TMPDIR").envs(temporary.map(|folder| ("TMPDIR", folder)));
        let args = ["replay", "log.jsonl", "--memory", "1MB", "--usage-tier", "tier1", "--out", out];
        command.args(args).output().expect("the program starts")
    };
    let done = with_small_disk(folder, |disk| {
        let runs = [replay("days", Some(disk)), replay("disk/days", None)];
        (runs, files(disk))
    });
    let Some((runs, on_disk)) = done else { return };
    for (run, named) in
        runs.iter().zip(["disk: can't write a temporary file", "days: can't write a temporary file"])
    {
        let told = stderr(run);
        assert_eq!(run.status.code(), Some(1), "{told}");
        assert!(told.contains(named) && told.contains("hint: free some space there"), "{told}");
        assert!(told.contains("TMPDIR") && told.contains("--memory"), "{told}");
    }
    assert!(!folder.join("days").exists());
    assert!(on_disk.is_empty(), "nothing is left of the temporary file: {on_disk:?}");
}

#[test]
fn a_folder_for_the_temporary_file_that_is_not_there_is_told_before_anything_is_read() {
    let folder = scratch();
    let folder = folder.path();
    std::fs::write(folder.join("log.jsonl"), "{}\n").expect("a log");
    let args = ["replay", "log.jsonl", "--usage-tier", "tier1", "--out", "days"];
    let run = run::command(folder).env("TMPDIR", "missing").args(args).output().expect("the program starts");
    let told = stderr(&run);
    assert_eq!(run.status.code(), Some(2), "{told}");
    assert!(told.contains("error: TMPDIR: there is no folder missing\nhint: "), "{told}");
    assert!(!folder.join("days").exists());
    let unset = run::command(folder).env("TMPDIR", "").args(args).output().expect("the program starts");
    assert_eq!(unset.status.code(), Some(3), "{}", stderr(&unset));
}

#[test]
fn the_map_that_check_proposes_reads_the_file_when_it_is_completed() {
    let folder = scratch();
    let folder = folder.path();
    let table = "Log ID,Created At,Model Name,HTTP Status,Input Tokens,Note\n1,1780340400,gemini-2.5-flash,200,10,secret\n";
    std::fs::write(folder.join("log.csv"), table).expect("a log");
    let unknown = rerate(folder, &["check", "log.csv"]);
    assert_eq!(unknown.status.code(), Some(3));
    let printed = String::from_utf8_lossy(&unknown.stdout).into_owned();
    assert!(!printed.contains("secret") && !printed.contains("Note"), "{printed}");
    let (_, map) = printed.split_once("\n# a map for log.csv").expect("a map is proposed");
    let map = format!("#{map}").replace("\"text\" ", "\"epoch_s\" ");
    std::fs::write(folder.join("map.toml"), map).expect("a map");
    let args = ["check", "log.csv", "--map", "map.toml", "--project", "p", "--usage-tier", "tier1"];
    let read = rerate(folder, &args);
    assert_eq!(read.status.code(), Some(0), "{}", stderr(&read));
    assert!(stderr(&read).contains("= 1 requests"), "{}", stderr(&read));
}
