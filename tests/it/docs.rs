//! Holds the documentation against the program: every command of the README is run and its output compared; the page
//! of report columns is what the code says. `RERATE_UPDATE=1` rewrites both; read the difference like code.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rerate::books::accounts::Accounts;
use rerate::read::container::Container;
use rerate::read::shape::{Lack, Mapped, SHAPES};
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
fn the_pages_of_shapes_are_what_the_code_says() {
    let made = "This page is made from the code: `RERATE_UPDATE=1 cargo test docs`.\n";
    let folder = root().join("docs/shapes");
    let mut index = String::from(
        "# Shapes and containers of logs\n\nWhat a log's items are is told from its first ones, for every file by itself, \
         or said by `--shape`. A file that can't be\ntold is one record in suspense (`unknown_shape`), a line of another \
         shape in a file is another (`other_shape`).\n\n| `--shape` | items | told by |\n| --- | --- | --- |\n",
    );
    let mut pages = vec!["README.md".to_string()];
    for shape in SHAPES {
        let (name, title) = (shape.name, shape.title);
        let _ = writeln!(index, "| [{name}]({name}.md) | {title} | {} |", shape.told_by);
        let mut page = format!(
            "# {}: {title}\n\nDocumented: {}. Told by {}.\n",
            shape.name, shape.documented, shape.told_by
        );
        if !shape.mapped.is_empty() {
            page.push_str("\n| field | is read as | note |\n| --- | --- | --- |\n");
        }
        for Mapped { from, to, note } in shape.mapped {
            let _ = writeln!(page, "| `{from}` | `{to}` | {note} |");
        }
        if !shape.lacks.is_empty() {
            page.push_str("\n| not in this log | said by | without it |\n| --- | --- | --- |\n");
        }
        for Lack { what, instead, so } in shape.lacks {
            let _ = writeln!(page, "| {what} | {} | {so} |", instead.unwrap_or("nothing"));
        }
        if shape.merges {
            page.push_str(
                "\nChunks of one request are merged in the order of their file, before anything else.\n",
            );
        }
        if !shape.cells.is_empty() {
            let cells: Vec<String> = shape.cells.iter().map(|cell| format!("`{cell}`")).collect();
            let _ = writeln!(
                page,
                "\nIn a table these columns may hold JSON, or be columns of their own with dotted names: {}.",
                cells.join(", ")
            );
        }
        let _ = write!(page, "\n{made}");
        same(&folder.join(format!("{name}.md")), &page);
        pages.push(format!("{name}.md"));
    }
    index.push_str(
        "\nHow items lie in a file is told from its first bytes, or said by `--container`; all may be packed (gz, zst) and come \
         from stdin.\n\n| `--container` | |\n| --- | --- |\n",
    );
    for container in Container::ALL {
        let _ = writeln!(index, "| {container} | {} |", container.meaning());
    }
    let _ = write!(index, "\n{made}");
    same(&folder.join("README.md"), &index);
    for entry in std::fs::read_dir(folder).expect("docs/shapes") {
        let file = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        assert!(pages.contains(&file), "docs/shapes/{file} is of no shape");
    }
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
            "toml" if text.starts_with("[[inputs]]") => {
                let settings = folder.path().join("rerate.toml");
                std::fs::write(&settings, text).expect("settings");
                let entries = said(folder.path(), "rerate config").matches("[[inputs]]").count();
                assert_eq!(entries, text.matches("[[inputs]]").count());
                std::fs::remove_file(settings).expect("settings");
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
