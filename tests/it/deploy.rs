//! The examples in `deploy/` do what they say: run where that can be, else parsed. And what a package has.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::run::{self, rerate, stderr, stdout, words};

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn read(name: &str) -> String {
    fs::read_to_string(deploy().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A machine on which it was installed as the examples expect, but for the place; three UTC days of logs.
fn installed() -> tempfile::TempDir {
    let machine = tempfile::tempdir().expect("a temporary folder");
    let root = machine.path();
    for name in ["bin", "metrics", "home"] {
        fs::create_dir(root.join(name)).expect("a folder");
    }
    symlink(env!("CARGO_BIN_EXE_rerate"), root.join("bin/rerate")).expect("a link");
    for name in ["nightly.sh", "rerate.toml"] {
        fs::copy(deploy().join(name), root.join(name)).expect("a copy");
    }
    words(root, "gen --days 4 --records 400 --out logs --accounts accounts.toml", 0);
    machine
}

/// A command as cron runs it: a bare environment, another folder.
fn as_cron(root: &Path, command: &str, now: &str) -> Output {
    Command::new("/bin/sh")
        .args(["-c", command])
        .current_dir(root.join("home"))
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("SHELL", "/bin/sh"), ("LOGNAME", "rerate"), ("RERATE_NOW", now)])
        .env("HOME", root.join("home"))
        .output()
        .expect("a shell")
}

fn days(root: &Path) -> Vec<String> {
    let days =
        run::published(&root.join("days")).into_iter().filter(|day| day.join("manifest.json").exists());
    days.map(|day| day.file_name().expect("a name").to_string_lossy().into_owned()).collect()
}

#[test]
fn the_crontab_publishes_yesterday_as_cron_would_run_it() {
    let machine = installed();
    let root = machine.path();
    let crontab = read("crontab").replace("/srv/rerate", &root.display().to_string());
    let lines: Vec<&str> =
        crontab.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_digit())).collect();
    let command = |line: &str| {
        let fields: Vec<&str> = line.splitn(6, ' ').collect();
        let is_time = |field: &&str| *field == "*" || field.parse::<u8>().is_ok();
        assert!(fields.len() == 6 && fields[..5].iter().all(is_time), "{line}");
        assert!(!fields[5].contains('%'), "cron makes lines of %: {line}");
        fields[5].to_string()
    };
    let (nightly, weekly) = (command(lines[0]), command(lines[1]));
    // As June 2nd, June 3rd and, when the machine was down at 01:00, in the evening of June 4th.
    for (now, published) in
        [("2026-06-02T01:00:00-07:00", 1), ("2026-06-03T01:00:00-07:00", 2), ("2026-06-04T21:00:00-07:00", 3)]
    {
        // Of the first night there is no file of the UTC day before the log begins.
        fs::write(root.join("logs/requests-2026-05-31.jsonl"), "").expect("an empty log");
        fs::write(root.join("logs/requests-2026-06-05.jsonl"), "").expect("an empty log");
        let output = as_cron(root, &nightly, now);
        let log = fs::read_to_string(root.join("rerate.log")).unwrap_or_default();
        assert!(output.status.success() && output.stdout.is_empty(), "{}{log}", stdout(&output));
        assert_eq!(days(root).len(), published, "{log}");
        let last: serde_json::Value =
            serde_json::from_str(log.lines().last().expect("a line")).expect("JSON");
        assert!(last["message"].as_str().expect("a message").starts_with("rerate replay: exit="), "{log}");
    }
    assert_eq!(days(root), ["2026-06-01", "2026-06-02", "2026-06-03"]);
    let metrics = fs::read_to_string(root.join("metrics/rerate.prom")).expect("metrics");
    assert!(metrics.contains("\nrerate_last_success_timestamp_seconds "), "{metrics}");
    let status = as_cron(root, &weekly, "2026-06-05T01:30:00-07:00");
    assert!(stdout(&status).contains("2026-06-03  closed"), "{}", stdout(&status));
    // A file that is late: the run fails, what was published stands, and whoever reads mail is told why.
    let failed = as_cron(root, &nightly, "2026-06-09T01:00:00-07:00");
    assert!(
        stdout(&failed).contains("no file is named so") && stdout(&failed).contains("exit=1"),
        "{}",
        stdout(&failed)
    );
    assert_eq!(days(root).len(), 3);
}

#[test]
fn the_systemd_units_are_what_systemd_expects() {
    let machine = installed();
    let root = machine.path();
    for name in ["rerate.service", "rerate.timer"] {
        let text = read(name).replace("/srv/rerate", &root.display().to_string());
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            assert!(line.starts_with('[') && line.ends_with(']') || line.contains('='), "{name}: {line}");
        }
        fs::write(root.join(name), text).expect("a unit");
    }
    let verify = Command::new("systemd-analyze")
        .args(["verify", "--man=no", "--recursive-errors=no", "rerate.service", "rerate.timer"])
        .current_dir(root)
        .output();
    match verify {
        Ok(output) => assert!(output.status.success() && output.stderr.is_empty(), "{}", stderr(&output)),
        Err(_) => eprintln!("parsed only: there is no systemd-analyze"),
    }
}

#[test]
fn the_kubernetes_example_is_a_cron_job_with_one_run_at_a_time_whose_command_exists() {
    let convert = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
    let yaml = fs::File::open(deploy().join("cronjob.yaml")).expect("the example");
    let json = Command::new("python3").args(["-c", convert]).stdin(yaml).stderr(Stdio::null()).output();
    let Some(json) = json.ok().filter(|json| json.status.success()) else {
        eprintln!("skipped: there is no python3 that reads YAML");
        return;
    };
    let job: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!((&job["kind"], &job["apiVersion"]), (&"CronJob".into(), &"batch/v1".into()));
    let spec = &job["spec"];
    assert_eq!(
        (&spec["concurrencyPolicy"], &spec["timeZone"]),
        (&"Forbid".into(), &"America/Los_Angeles".into())
    );
    let pod = &spec["jobTemplate"]["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let names = |list: &serde_json::Value| -> Vec<String> {
        let items = list.as_array().expect("a list").iter();
        items.map(|item| item["name"].as_str().expect("a name").to_string()).collect()
    };
    let volumes = names(&pod["volumes"]);
    assert!(names(&container["volumeMounts"]).iter().all(|mount| volumes.contains(mount)));
    // Its command, on a machine as the image has it.
    let machine = installed();
    let command = container["command"][2]
        .as_str()
        .expect("a command")
        .replace("/srv/rerate", &machine.path().display().to_string());
    let output = as_cron(machine.path(), &command, "2026-06-04T01:00:00-07:00");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(days(machine.path()), ["2026-06-03"]);
}

#[test]
fn the_dockerfile_copies_what_is_there_and_builds_with_the_pinned_toolchain() {
    let text = read("Dockerfile");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let toolchain = fs::read_to_string(root.join("rust-toolchain.toml")).expect("a toolchain");
    let mut seen = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (word, rest) = line.split_once(' ').expect("an instruction and its words");
        let known = ["FROM", "RUN", "WORKDIR", "COPY", "USER", "ENTRYPOINT"];
        assert!(known.contains(&word), "{line}");
        *seen.entry(word).or_insert(0) += 1;
        let words: Vec<&str> = rest.split(' ').collect();
        if word == "COPY" && !words[0].starts_with("--") {
            for path in &words[..words.len() - 1] {
                assert!(root.join(path).exists(), "{path} isn't there");
            }
        }
        if let Some(version) = rest.strip_prefix("rust:").and_then(|rest| rest.split('-').next()) {
            assert!(toolchain.contains(&format!("\"{version}.")), "{version} isn't the pinned one");
        }
    }
    assert!(seen["FROM"] == 2 && seen["ENTRYPOINT"] == 1 && seen["USER"] == 1, "{seen:?}");
}

/// Run with modules in Airflow's place that only take down what they are told.
#[test]
fn the_airflow_example_runs_the_night_of_its_interval() {
    let machine = installed();
    let root = machine.path();
    fs::create_dir_all(root.join("python/airflow/operators")).expect("a folder");
    let dag = "class DAG:\n    def __init__(self, **words): assert words['max_active_runs'] == 1\n    \
               def __enter__(self): return self\n    def __exit__(self, *_): pass\n";
    let operator = "class BashOperator:\n    def __init__(self, **words):\n        \
                    print(words['bash_command']); print(words['env']['RERATE_NOW'])\n        assert words['append_env']\n";
    fs::write(root.join("python/airflow/__init__.py"), dag).expect("a module");
    fs::write(root.join("python/airflow/operators/__init__.py"), "").expect("a module");
    fs::write(root.join("python/airflow/operators/bash.py"), operator).expect("a module");
    let output = Command::new("python3")
        .arg(deploy().join("rerate_dag.py"))
        .env("PYTHONPATH", root.join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: there is no python3");
        return;
    };
    assert!(output.status.success(), "{}", stderr(&output));
    let told = stdout(&output);
    let (command, now) = told.trim().split_once('\n').expect("a command and a time");
    assert_eq!(now, "{{ data_interval_end }}");
    let command = command.replace("/srv/rerate", &root.display().to_string());
    let output = as_cron(root, &command, "2026-06-03T08:00:00+00:00");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(days(root), ["2026-06-02"]);
}

#[test]
fn completions_and_pages_for_man_have_every_command() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = words(folder.path(), &format!("completions {shell}"), 0);
        assert!(text.contains("status") && text.contains("metrics"), "{shell}");
    }
    let script = words(folder.path(), "completions bash", 0);
    fs::write(folder.path().join("rerate.bash"), script).expect("a script");
    let checked = Command::new("bash").args(["-n", "rerate.bash"]).current_dir(folder.path()).status();
    assert!(checked.is_ok_and(|status| status.success()));
    for (args, words_in_it) in [("man", "rerate\\-replay"), ("man replay", "\\-\\-allow\\-suspense")] {
        let page = words(folder.path(), args, 0);
        assert!(page.contains(".TH ") && page.contains(words_in_it), "{page}");
    }
    words(folder.path(), "completions tcsh", 2);
    words(folder.path(), "man reply", 2);
}

#[test]
fn the_version_says_how_new_the_books_are() {
    let newest = run::rerate(Path::new("."), &["book", "prices"]);
    let newest = csv::Reader::from_reader(stdout(&newest).as_bytes())
        .deserialize::<BTreeMap<String, String>>()
        .map(|row| row.expect("a row")["from"].clone())
        .max()
        .expect("a line");
    let version = stdout(&rerate(Path::new("."), &["--version"]));
    let day = version.split("books up to ").nth(1).expect("a day").trim_end().trim_end_matches(')');
    assert!(
        version.starts_with(&format!("rerate {} (", env!("CARGO_PKG_VERSION"))) && *day >= *newest,
        "{version}"
    );
}

#[test]
fn a_package_has_the_books_and_no_warning() {
    let output = Command::new(env!("CARGO"))
        .args(["package", "--list", "--offline", "--allow-dirty"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo");
    assert!(output.status.success() && !stderr(&output).contains("warning"), "{}", stderr(&output));
    let list = stdout(&output);
    for book in rerate::books::NAMES {
        assert!(list.contains(&format!("src/books/{book}.csv\n")), "{book}");
    }
    assert!(!list.contains("fixtures/"), "{list}");
}
