//! What `rerate.toml` and `RERATE_…` variables say, which of them wins, and what `rerate config` says of it.

use std::fs;
use std::path::Path;
use std::process::Output;

use parquet::file::properties::WriterProperties;

use crate::containers::{Row, arrays, of_arrays};
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

/// Raw responses, which say neither when nor of which project they are, in two folders beside each other, and entries
/// for them.
fn made_with_entries() -> tempfile::TempDir {
    let folder = made();
    for (name, ids) in
        [("logs/a/1.jsonl", 0..300), ("logs/a/2.jsonl", 300..600), ("logs/b/3.jsonl", 600..900)]
    {
        let response = |id| {
            format!(
                r#"{{"responseId":"r{id}","modelVersion":"gemini-2.5-flash","usageMetadata":{{"promptTokenCount":{id},"totalTokenCount":{id}}}}}"#
            )
        };
        fs::create_dir_all(folder.path().join(name).parent().expect("a folder")).expect("a folder");
        write(folder.path(), name, &ids.map(response).collect::<Vec<_>>());
    }
    let entries = "[[inputs]]\nlogs = \"../logs/b\"\nproject = \"of-b\"\nat = 2026-06-02\n\n\
                   [[inputs]]\nlogs = \"../logs/*/*.jsonl\"\nproject = \"of-others\"\nat = 2026-06-01\n";
    fs::write(folder.path().join("etc/rerate.toml"), entries).expect("settings");
    folder
}

#[test]
fn the_first_entry_that_names_an_input_counts_in_whatever_order_inputs_are_read() {
    let reports = |logs: &str| {
        let folder = made_with_entries();
        let args = format!("replay {logs} --config ../etc/rerate.toml --out ../days --usage-tier tier1");
        let output = rerate(folder.path(), &[], &args);
        assert!(output.status.success(), "{}", stderr(&output));
        let mut files = run::files(&folder.path().join("days"));
        files.retain(|path, _| !path.ends_with("run.json"));
        files
    };
    let orders = [
        "../logs/a ../logs/b",
        "../logs/b/3.jsonl ../logs/a/2.jsonl ../logs/a/1.jsonl",
        "../logs/a/2.jsonl --threads 1 ../logs/../logs/b ../logs/a/1.jsonl",
    ];
    let all = orders.map(reports);
    assert!(all.iter().all(|files| *files == all[0]));
    let usage =
        |day: &str| String::from_utf8_lossy(&all[0][Path::new(&format!("{day}/usage.csv"))]).into_owned();
    // 0 + … + 599 = 179,700 and 600 + … + 899 = 224,850.
    assert!(
        usage("2026-06-01").contains("of-others") && usage("2026-06-01").contains(",600,179700,"),
        "{}",
        usage("2026-06-01")
    );
    assert!(
        usage("2026-06-02").contains("of-b") && usage("2026-06-02").contains(",300,224850,"),
        "{}",
        usage("2026-06-02")
    );
}

#[test]
fn a_plain_line_or_row_is_filled_in_by_the_entry_of_its_own_input() {
    // Lines of one spelling, which lack a project: what is learnt from one input must not be used for the other.
    let folder = made();
    let line = request("r", "2026-06-01T19:00:00").replace(r#""project_id":"p","#, "");
    for name in ["a", "b"] {
        let lines = (0..2000).map(|id| line.replace(r#""r""#, &format!(r#""{name}{id}""#)));
        let lines: Vec<String> = lines.collect();
        write(folder.path(), &format!("else/{name}.jsonl"), &lines);
        let rows: Vec<Row> = lines.iter().map(|line| serde_json::from_str(line).expect("a record")).collect();
        let rows = of_arrays(arrays(&rows), 500, WriterProperties::builder());
        fs::write(folder.path().join(format!("else/{name}.parquet")), rows).expect("a log");
    }
    let entries = ["a", "b"].map(|name| {
        format!("[[inputs]]\nlogs = [\"{name}.jsonl\", \"{name}.parquet\"]\nproject = \"of-{name}\"\n")
    });
    fs::write(folder.path().join("else/rerate.toml"), entries.concat()).expect("settings");
    for (threads, kind) in [(1, "jsonl"), (2, "jsonl"), (1, "parquet"), (2, "parquet")] {
        let output = rerate(
            folder.path(),
            &[],
            &format!("replay a.{kind} b.{kind} --out days --threads {threads} --replace"),
        );
        assert!(output.status.success(), "{}", stderr(&output));
        let rows = run::table(&folder.path().join("else/days"), "usage");
        let rows: Vec<_> = rows.iter().map(|row| (&*row["project_id"], &*row["requests"])).collect();
        assert_eq!(rows, [("of-a", "2000"), ("of-b", "2000")]);
    }
}

#[test]
fn the_same_bytes_under_two_entries_are_other_requests_and_config_prints_the_entries() {
    let folder = made_with_entries();
    let (one, copy) = (folder.path().join("logs/a/1.jsonl"), folder.path().join("logs/b/copy.jsonl"));
    fs::copy(&one, &copy).expect("a copy");
    fs::copy(&one, folder.path().join("logs/a/copy.jsonl")).expect("a copy");
    let output = rerate(folder.path(), &[], "check ../logs --config ../etc/rerate.toml --usage-tier tier1");
    let told = stderr(&output);
    assert!(told.contains("logs/a/copy.jsonl has the same bytes as"), "{told}");
    assert!(!told.contains("logs/b/copy.jsonl has the same bytes"), "{told}");
    let text = stdout(&rerate(folder.path(), &[], "config --config ../etc/rerate.toml"));
    let entries = "\n[[inputs]]  # ../etc/rerate.toml:1\nlogs = [\"../etc/../logs/b\"]\nproject = \"of-b\"\nat = \"2026-06-02\"\n\
                   \n[[inputs]]  # ../etc/rerate.toml:6\n";
    assert!(text.contains(entries), "{text}");
}
