//! Holds the documentation against the program: every command of the README is run and its output compared; the page
//! of report columns is what the code says. `RERATE_UPDATE=1` rewrites both; read the difference like code.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rerate::books::accounts::Accounts;
use rerate::report::{self, Report};

use crate::run;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn update() -> bool {
    std::env::var_os("RERATE_UPDATE").is_some()
}

/// The file is `expected`, or becomes it.
fn same(path: &Path, expected: &str) {
    if update() {
        std::fs::write(path, expected).expect("the page");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == expected,
        "{} isn't what the code says; RERATE_UPDATE=1 cargo test docs",
        path.display()
    );
}

#[test]
fn the_page_of_report_columns_is_what_the_code_says() {
    let mut page = String::from(
        "# Report columns\n\nOne folder per Pacific day, one table per file. Rows are sorted by their key columns (*), \
         nulls first; no two rows\nagree in all of them. Columns may be added, never renamed. This page is made from the code: \
         `RERATE_UPDATE=1 cargo test docs`.\n",
    );
    for report in report::ALL {
        let Report { name, columns, key, has_csv } = *report;
        let files =
            if has_csv { format!("`{name}.parquet`, `{name}.csv`") } else { format!("`{name}.parquet`") };
        let _ = write!(
            page,
            "\n## {name}\n\n{files}\n\n| column | type | meaning | null means |\n| --- | --- | --- | --- |\n"
        );
        for column in columns {
            let star = if key.contains(&column.name) { " *" } else { "" };
            let null = column.null_means.unwrap_or("");
            let _ = writeln!(
                page,
                "| `{}`{star} | {} | {} | {null} |",
                column.name,
                column.kind.name(),
                column.meaning
            );
        }
    }
    same(&root().join("src/report/README.md"), &page);
}

#[test]
fn every_command_of_the_readme_does_what_it_shows() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    #[cfg(unix)]
    std::os::unix::fs::symlink(root().join("fixtures"), folder.path().join("fixtures")).expect("a link");
    let readme = std::fs::read_to_string(root().join("README.md")).expect("README.md");
    let mut page = String::new();
    let mut last_output = None;
    let mut parts = readme.split("```").peekable();
    let mut commands = 0;
    while let Some(prose) = parts.next() {
        page.push_str(prose);
        let Some(block) = parts.next() else { break };
        let (language, text) = block.split_once('\n').unwrap_or((block, ""));
        let text = match language {
            "sh" if text.trim() == "tests/run" => text.to_string(),
            "sh" => {
                commands += 1;
                last_output = Some(said(folder.path(), text));
                text.to_string()
            }
            "text" => with_times_of(text, &last_output.take().expect("output follows its command")),
            "json" => {
                std::fs::write(folder.path().join("record.jsonl"), text).expect("the record");
                said(folder.path(), "rerate check record.jsonl");
                text.to_string()
            }
            "toml" if text.starts_with("[replay]") => {
                let settings = folder.path().join("rerate.toml");
                std::fs::write(&settings, text).expect("settings");
                said(folder.path(), "rerate replay");
                std::fs::remove_file(settings).expect("settings");
                text.to_string()
            }
            "toml" => {
                let accounts =
                    Accounts::parse("README.md", text).expect("an accounts file without a mistake");
                assert!(accounts.billing_account("proj-1").is_some());
                text.to_string()
            }
            other => panic!("the README has a block of {other:?}, which nothing runs"),
        };
        let _ = write!(page, "```{language}\n{text}```");
    }
    assert!(commands >= 4, "the README shows how to use the program");
    same(&root().join("README.md"), &page);
}

/// What a command says, standard error first. It must end well, or with suspense.
fn said(folder: &Path, command: &str) -> String {
    let program = env!("CARGO_BIN_EXE_rerate");
    let command =
        command.replace("cargo run --release -- ", "rerate ").replace("rerate ", &format!("{program} "));
    let mut shell = Command::new("sh");
    run::clear(&mut shell);
    let output = shell.current_dir(folder).args(["-c", &command]).output().expect("a shell");
    assert!(
        matches!(output.status.code(), Some(0 | 3)),
        "{command}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout))
}

/// `found`, but with the time and rate that `shown` has, which no two runs share.
fn with_times_of(shown: &str, found: &str) -> String {
    let time = |line: &str| {
        let start = line.find(" in ")?;
        let end = line.find("/s)")?;
        Some(line[start..end].to_string())
    };
    let lines = found.lines().map(|line| match (time(line), shown.lines().find_map(time)) {
        (Some(own), Some(shown)) if line.starts_with("read ") => line.replace(&own, &shown),
        _ => line.to_string(),
    });
    lines.map(|line| line.trim_end().to_string() + "\n").collect()
}
