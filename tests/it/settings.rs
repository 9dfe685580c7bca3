//! What `rerate.toml` and `RERATE_…` variables say, which of them wins, and what `rerate config` says of it.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::run::{self, request, stderr, stdout, write};

/// Two days of logs in `logs/`, and settings in `etc/`, with paths that are relative to them.
fn made() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["logs", "etc", "else"] {
        fs::create_dir(folder.path().join(name)).expect("a folder");
    }
    let days = [1, 2].map(|day| request(&format!("r{day}"), &format!("2026-06-0{day}T19:00:00")));
    write(folder.path(), "logs/a.jsonl", &days);
    let settings = "[replay]\nlogs = [\"../logs\"]\nout = \"../days\"\ndate = 2026-06-01\nclose = true\nmax-line = 2_000\n";
    fs::write(folder.path().join("etc/rerate.toml"), settings).expect("settings");
    folder
}

/// In another folder than any file is in.
fn rerate(folder: &Path, variables: &[(&str, &str)], args: &str) -> Output {
    let mut command = run::command(&folder.join("else"));
    command
        .envs(variables.iter().copied())
        .args(args.split_whitespace())
        .output()
        .expect("the program starts")
}

fn published(folder: &Path) -> Vec<String> {
    let days = run::published(&folder.join("days")).into_iter();
    days.map(|day| day.file_name().expect("a name").to_string_lossy().into_owned()).collect()
}

#[test]
fn a_flag_wins_then_its_variable_then_the_file_and_paths_are_relative_to_the_file() {
    let config = ("RERATE_CONFIG", "../etc/rerate.toml");
    for (variables, args, day) in [
        (&[][..], "replay --config ../etc/rerate.toml", "2026-06-01"),
        (&[config], "replay", "2026-06-01"),
        (&[config, ("RERATE_DATE", "2026-06-02")], "replay", "2026-06-02"),
        (&[config, ("RERATE_DATE", "2026-06-02")], "replay --date 2026-06-01", "2026-06-01"),
        // What a stronger place says takes away what contradicts it.
        (&[config], "replay --from 2026-06-02", "2026-06-02"),
        (&[config, ("RERATE_FROM", "2026-06-02")], "replay", "2026-06-02"),
        (
            &[config, ("RERATE_DATE", "yesterday"), ("RERATE_NOW", "2026-06-03T01:00:00-07:00")],
            "replay",
            "2026-06-02",
        ),
        // A variable without a value says nothing.
        (&[config, ("RERATE_DATE", "")], "replay", "2026-06-01"),
    ] {
        let folder = made();
        let output = rerate(folder.path(), variables, args);
        assert!(output.status.success(), "{variables:?} {args}: {}", stderr(&output));
        assert_eq!(published(folder.path()), [day], "{variables:?} {args}");
    }
}

#[test]
fn the_file_of_the_working_directory_is_read() {
    let folder = made();
    fs::write(folder.path().join("else/rerate.toml"), "[replay]\nlogs = \"../logs\"\nout = \"../days\"\n")
        .expect("settings");
    let output = rerate(folder.path(), &[], "replay");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(published(folder.path()), ["2026-06-01", "2026-06-02"]);
}

#[test]
fn a_switch_is_true_or_false_and_a_variable_may_switch_off_what_the_file_switches_on() {
    let state = |variables: &[(&str, &str)]| {
        let folder = made();
        let variables =
            [&[("RERATE_CONFIG", "../etc/rerate.toml"), ("RERATE_DATE", "2026-06-02")], variables].concat();
        let output = rerate(folder.path(), &variables, "replay");
        assert!(output.status.success(), "{}", stderr(&output));
        run::json(&folder.path().join("days/2026-06-02/manifest.json"))["state"].clone()
    };
    assert_eq!(state(&[]), "closed");
    assert_eq!(state(&[("RERATE_CLOSE", "false")]), "open");
    let folder = made();
    let output = rerate(folder.path(), &[("RERATE_CLOSE", "perhaps")], "replay ../logs --out ../days");
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn commas_divide_the_values_of_a_variable_whose_flag_takes_several() {
    let folder = made();
    write(folder.path(), "logs/b.jsonl", &[request("b", "2026-06-03T19:00:00")]);
    let variables = [("RERATE_LOGS", "../logs/a.jsonl,../logs/b.jsonl"), ("RERATE_OUT", "../days")];
    assert!(rerate(folder.path(), &variables, "replay").status.success());
    assert_eq!(published(folder.path()).len(), 3);
    // Logs that are typed take the place of all of them.
    let output = rerate(folder.path(), &variables, "replay ../logs/b.jsonl");
    assert!(stderr(&output).contains("from 1 input"), "{}", stderr(&output));
    let output = rerate(folder.path(), &variables, "replay -- ../logs/b.jsonl");
    assert!(stderr(&output).contains("from 1 input"), "{}", stderr(&output));
}

#[test]
fn config_prints_each_value_with_its_origin() {
    let folder = made();
    let key = format!("AIzaSy{}", "x7".repeat(17));
    let variables =
        [("RERATE_CONFIG", "../etc/rerate.toml"), ("RERATE_DATE", "2026-06-02"), ("RERATE_PROJECT", &*key)];
    let output = rerate(folder.path(), &variables, "config replay");
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    for line in [
        "config = \"../etc/rerate.toml\"  # RERATE_CONFIG\n",
        "\n[replay]\nlogs = [\"../etc/../logs\"]  # ../etc/rerate.toml:2\n",
        "out = \"../etc/../days\"  # ../etc/rerate.toml:3\n",
        "date = \"2026-06-02\"  # RERATE_DATE\n",
        "max-line = 2000  # ../etc/rerate.toml:6\n",
        "close = true  # ../etc/rerate.toml:5\n",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains(&key) && !text.contains("[check]"), "{text}");
    let all = stdout(&rerate(folder.path(), &[], "config --all"));
    assert!(all.contains("max-line = 67108864  # RERATE_MAX_LINE sets it") && all.contains("[gen]"), "{all}");
}

#[test]
fn a_variable_that_no_flag_has_is_a_warning_and_one_that_is_wrong_is_named() {
    let folder = made();
    let output = rerate(folder.path(), &[("RERATE_OUTT", "x")], "replay ../logs --out ../days");
    assert!(output.status.success(), "{}", stderr(&output));
    let told = "warning: RERATE_OUTT: no flag is named so; did you mean RERATE_OUT?\n";
    assert!(stderr(&output).starts_with(told), "{}", stderr(&output));
    let output = rerate(folder.path(), &[("RERATE_MAX_LINE", "1k")], "replay ../logs --out ../days");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("hint: it is set by RERATE_MAX_LINE"), "{}", stderr(&output));
}
