//! Limits of trust: logs and the output folder may be somebody's who means harm.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::run::{self, files, request, rerate, stderr, words, write};

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

const LOG: &str = "replay log.jsonl --out days";

/// A line of 400 MiB that is packed into some kilobytes: what is kept of it is bounded.
#[cfg(target_os = "linux")]
#[test]
fn what_unpacks_to_any_size_costs_no_memory() {
    let folder = scratch();
    let log = fs::File::create(folder.path().join("log.jsonl.zst")).expect("a log");
    let mut packer = zstd::Encoder::new(log, 1).expect("a packer");
    for _ in 0..400 {
        packer.write_all(&[b'x'; 1 << 20]).expect("a packed line");
    }
    packer.finish().expect("a packed log");
    let mut child = run::command(folder.path())
        .args(["check", "log.jsonl.zst", "--max-line", "1000000"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut highest = 0;
    while child.try_wait().expect("it runs").is_none() {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().split(' ').next()?.parse().ok());
        highest = highest.max(peak.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("line_too_long: 1 line\n"), "{}", stderr(&output));
    assert!((1..200_000).contains(&highest), "{highest} KiB");
}

#[test]
fn names_in_logs_never_become_paths() {
    let folder = scratch();
    let folder = folder.path();
    let evil = ["../../evil", "/tmp/evil", "..", "a/../../b"];
    let lines: Vec<String> = evil
        .iter()
        .flat_map(|name| {
            let line = request(name, "2026-06-01T12:00:00");
            [line.replace(r#""p""#, &format!("\"{name}\"")), line.replace("gemini-2.5-flash", name)]
        })
        .chain(["{".to_string()])
        .collect();
    fs::create_dir_all(folder.join("in/logs")).expect("a folder");
    write(folder, "in/logs/..%2f..%2fevil.jsonl", &lines);
    words(&folder.join("in"), "replay logs/..%2f..%2fevil.jsonl --out days", 3);
    let outside =
        files(folder).into_keys().filter(|path| !path.starts_with("in/days") && !path.starts_with("in/logs"));
    assert_eq!(outside.count(), 0);
    let inside = files(&folder.join("in/days"));
    let known =
        |path: &Path| ["2026-06-01", "undated", ".rerate-lock"].iter().any(|name| path.starts_with(name));
    assert!(inside.keys().all(|path| known(path)), "{:?}", inside.keys());
}

#[test]
fn a_terminal_has_nothing_to_obey_in_what_is_shown() {
    let folder = scratch();
    let folder = folder.path();
    let odd = request("a", "2026-06-01T12:00:00")
        .replace("gemini-2.5-flash", "x\\u001b]0;owned\\u0007\\u001b[2J\\u009b31m");
    write(folder, "log\u{1b}[31m.jsonl", &[odd, "{".to_string()]);
    fs::write(folder.join("rerate.toml"), "[replay]\nproject = \"p\\u001b[2J\"\n").expect("settings");
    for args in [
        &["replay", "log\u{1b}[31m.jsonl", "--out", "days"][..],
        &["check", "log\u{1b}[31m.jsonl"],
        &["accounts", "log\u{1b}[31m.jsonl"],
        &["show", "days"],
        &["status", "days"],
        &["config"],
        &["replay", "no\u{1b}[2J.jsonl", "--out", "days"],
        &["replay", "--no\u{1b}[2J"],
        &["--log-format", "json", "check", "log\u{1b}[31m.jsonl"],
    ] {
        let output = rerate(folder, args);
        let shown = [&output.stdout[..], &output.stderr].concat();
        let shown = String::from_utf8_lossy(&shown);
        let obeyed = shown.chars().find(|char| char.is_control() && *char != '\n');
        assert_eq!(obeyed, None, "{args:?}: {shown:?}");
    }
}

#[test]
fn published_files_have_the_rights_that_the_umask_leaves() {
    let folder = scratch();
    let folder = folder.path();
    write(folder, "log.jsonl", &[request("a", "2026-06-01T12:00:00"), "{".to_string()]);
    for (umask, file_mode, folder_mode) in
        [("027", 0o640, 0o750), ("077", 0o600, 0o700), ("022", 0o644, 0o755)]
    {
        let out = format!("days-{umask}");
        let script = format!(
            "umask {umask}; exec {} {LOG}-{umask} --metrics {umask}.prom",
            env!("CARGO_BIN_EXE_rerate")
        );
        let mut shell = Command::new("sh");
        run::clear(&mut shell);
        let output = shell.args(["-c", &script]).current_dir(folder).output().expect("a shell");
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        for entry in walkdir::WalkDir::new(folder.join(&out)) {
            let entry = entry.expect("an entry");
            let expected = if entry.file_type().is_dir() { folder_mode } else { file_mode };
            assert_eq!(mode(entry.path()), expected, "{}", entry.path().display());
        }
        assert_eq!(mode(&folder.join(format!("{umask}.prom"))), file_mode);
    }
}

#[test]
fn links_planted_in_the_output_folder_are_not_followed() {
    let folder = scratch();
    let folder = folder.path();
    write(folder, "log.jsonl", &[request("a", "2026-06-01T12:00:00"), "{".to_string()]);
    fs::create_dir_all(folder.join("victim/2026-06-01")).expect("a folder");
    for file in ["victim/file", "victim/2026-06-01/file"] {
        fs::write(folder.join(file), "precious").expect("a file");
    }
    let untouched =
        || assert_eq!(files(&folder.join("victim")).into_values().collect::<Vec<_>>(), [b"precious"; 2]);
    for (name, to, code) in [
        ("2026-06-01", "../victim", 1),
        ("undated", "../victim", 1),
        (".rerate-lock", "../victim/file", 1),
        // What is staged is swept, and a link with it.
        (".rerate-staging", "../victim", 3),
        (".rerate-staging", "../nowhere", 3),
        // Put back in the day's place, where it is refused.
        (".rerate-aside-2026-06-01", "../victim", 1),
    ] {
        let _ = fs::remove_dir_all(folder.join("days"));
        fs::create_dir(folder.join("days")).expect("a folder");
        symlink(to, folder.join("days").join(name)).expect("a link");
        let output = rerate(folder, &LOG.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(code), "{name}: {}", stderr(&output));
        untouched();
    }
    symlink("victim/file", folder.join("rerate.prom")).expect("a link");
    let _ = fs::remove_dir_all(folder.join("days"));
    words(folder, &format!("{LOG} --metrics rerate.prom"), 3);
    untouched();
}

#[test]
fn an_api_key_is_hashed_in_metrics_json_lines_status_and_settings() {
    let folder = scratch();
    let folder = folder.path();
    let key = format!("AIzaSy{}", "x7".repeat(17));
    let lines = (0..950)
        .map(|at| request(&format!("r{at}"), "2026-06-01T12:00:00").replace(r#""p""#, &format!("\"{key}\"")));
    write(folder, "log.jsonl", &lines.collect::<Vec<_>>());
    fs::write(folder.join("rerate.toml"), format!("[check]\nproject = \"{key}\"\n[{key}]\n"))
        .expect("settings");
    let mut told = words(folder, "config", 2);
    fs::write(folder.join("rerate.toml"), format!("[check]\nproject = \"{key}\"\n")).expect("settings");
    told += &words(folder, "config", 0);
    told += &words(folder, &format!("{LOG} --metrics rerate.prom --log-format json"), 0);
    told += &words(folder, "status days", 3);
    told += &fs::read_to_string(folder.join("rerate.prom")).expect("metrics");
    assert!(told.contains("rerate_quota_peak_ratio{project_id=\"key-"), "{told}");
    assert!(!told.contains(&key), "{told}");
}
