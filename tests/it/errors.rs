//! Walks `fixtures/errors`: each folder is a mistake that a user makes, with the exact words that the program has for it.
//! Its README shows all of them on one page, so that the wording is judged as a whole. A stray file fails.
//! `RERATE_UPDATE=1` rewrites the messages and the page; read the difference like code.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rerate::evidence::Warning;
use rerate::types::reason::Reason;

use crate::run;

/// A folder's name begins with its area.
const AREAS: [(&str, &str); 7] = [
    ("books", "Books of prices, limits, models, statuses"),
    ("accounts", "The accounts file"),
    ("flags", "The command line"),
    ("settings", "Settings: rerate.toml and variables"),
    ("inputs", "Logs and what is given as one"),
    ("suspense", "What is read and held back"),
    ("published", "Published days"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/errors")
}

fn update() -> bool {
    std::env::var_os("RERATE_UPDATE").is_some()
}

struct Mistake {
    path: PathBuf,
    area: String,
    /// In words.
    title: String,
    /// The arguments of each run; the last one's words are compared.
    runs: Vec<Vec<String>>,
    exit: i32,
}

/// By area, then by name.
fn mistakes() -> Vec<Mistake> {
    let entries =
        fs::read_dir(folder()).expect("fixtures/errors").map(|entry| entry.expect("an entry").path());
    let mut mistakes: Vec<Mistake> = entries.filter(|path| path.is_dir()).map(mistake).collect();
    mistakes.sort_by_key(|mistake| {
        let place = AREAS.iter().position(|(area, _)| *area == mistake.area);
        (place.unwrap_or_else(|| panic!("{}: no such area", mistake.name())), mistake.title.clone())
    });
    mistakes
}

fn mistake(path: PathBuf) -> Mistake {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (area, title) = name.split_once('-').unwrap_or((&name, ""));
    let args = fs::read_to_string(path.join("args")).unwrap_or_else(|_| panic!("{name}: no args"));
    let runs = args.split("---\n").map(|run| run.lines().map(str::to_string).collect()).collect();
    let exit = fs::read_to_string(path.join("expect/exit"))
        .map_or(1, |code| code.trim().parse().expect("expect/exit is a number"));
    Mistake { area: area.to_string(), title: title.replace('-', " "), runs, exit, path }
}

impl Mistake {
    fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// As a user types them.
    fn commands(&self) -> String {
        let mut commands = String::new();
        for (place, run) in self.runs.iter().enumerate() {
            let plain = |arg: &&String| !arg.is_empty() && !arg.contains([' ', '*', '?', '[', '\'', '"']);
            let words: Vec<String> =
                run.iter().map(|arg| if plain(&arg) { arg.clone() } else { format!("'{arg}'") }).collect();
            let input = if self.path.join("stdin").exists() { " < stdin" } else { "" };
            let is_last = place + 1 == self.runs.len();
            let exit =
                if is_last && self.exit != 1 { format!("    # exits {}", self.exit) } else { String::new() };
            let _ = writeln!(commands, "$ rerate {}{input}{exit}", words.join(" "));
        }
        commands
    }

    fn expected(&self) -> String {
        fs::read_to_string(self.path.join("expect/stderr")).unwrap_or_default()
    }

    /// What the program says, and how it ends, in a copy of the folder.
    fn found(&self) -> (String, Option<i32>) {
        let scratch = tempfile::tempdir().expect("a temporary folder");
        copy(&self.path, scratch.path());
        let mut last = None;
        for args in &self.runs {
            let stdin = fs::File::open(self.path.join("stdin")).map_or_else(|_| Stdio::null(), Stdio::from);
            let output =
                run::command(scratch.path()).args(args).stdin(stdin).output().expect("the program starts");
            last = Some(output);
        }
        let output = last.expect("args has a run");
        (without_times(&run::stderr(&output)), output.status.code())
    }
}

/// What the mistake needs, not what is expected of it.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && name != "expect" {
            fs::create_dir(to.join(&name)).expect("a folder");
            copy(&path, &to.join(&name));
        } else if path.is_file() && name != "args" && name != "stdin" {
            fs::copy(&path, to.join(&name)).expect("a copy");
        }
    }
}

/// `read 3 lines, 2 KiB in 5 ms (400 KiB/s) from 1 input`, but for the time and the rate, which no two runs share.
fn without_times(stderr: &str) -> String {
    let lines = stderr.lines().map(|line| {
        let found = line.find(" in ").zip(line.find("/s)")).filter(|_| line.starts_with("read "));
        match found {
            Some((start, end)) => format!("{} in … (…{}", &line[..start], &line[end..]),
            None => line.to_string(),
        }
    });
    lines.map(|line| line + "\n").collect()
}

#[test]
fn every_mistake_is_told_in_the_words_expected_and_the_page_shows_them() {
    let mut failed = Vec::new();
    for mistake in mistakes() {
        let (found, exit) = mistake.found();
        if update() {
            fs::write(mistake.path.join("expect/stderr"), &found).expect("the message");
        }
        let expected = mistake.expected();
        if (&found, exit) != (&expected, Some(mistake.exit)) {
            failed.push(format!(
                "{}\nexpected, with exit {}\n{expected}found, with exit {exit:?}\n{found}",
                mistake.name(),
                mistake.exit
            ));
        }
    }
    assert!(failed.is_empty(), "{} mistakes differ\n\n{}", failed.len(), failed.join("\n"));
    let (path, page) = (folder().join("README.md"), page());
    if update() {
        fs::write(&path, &page).expect("the page");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "{} isn't what the folders say; RERATE_UPDATE=1 cargo test errors",
        path.display()
    );
}

fn page() -> String {
    let mut page = String::from(
        "# Error gallery\n\nOne folder per mistake a user makes, and what rerate says to it. Each message has four parts: where, what was found,\n\
         what was expected, what to do. This page is made from the folders: `RERATE_UPDATE=1 cargo test errors`. Read it as a\n\
         whole when you change a message.\n\n\
         A folder is named by its area and the mistake. `args` has the arguments, one a line (a line `---` begins another run,\n\
         whose words are the ones compared); `stdin` is the standard input, where there is one; all else is what the command\n\
         needs. `expect/stderr` is exact, but for the time and rate of reading; `expect/exit` is the exit code, where it isn't 1.\n",
    );
    let mistakes = mistakes();
    for (area, heading) in AREAS {
        let _ = write!(page, "\n## {heading}\n");
        for mistake in mistakes.iter().filter(|mistake| mistake.area == area) {
            let Mistake { title, .. } = mistake;
            let (commands, expected) = (mistake.commands(), mistake.expected());
            let _ = write!(page, "\n[{title}]({})\n\n```text\n{commands}{expected}```\n", mistake.name());
        }
    }
    page
}

#[test]
fn no_file_of_the_gallery_is_stray() {
    for entry in fs::read_dir(folder()).expect("fixtures/errors") {
        let entry = entry.expect("an entry");
        assert!(
            entry.path().is_dir() || entry.file_name() == "README.md",
            "{:?} is stray",
            entry.file_name()
        );
    }
    for mistake in mistakes() {
        let args = mistake.runs.concat().join(" ");
        for entry in fs::read_dir(&mistake.path).expect("a folder") {
            let file = entry.expect("an entry").file_name().to_string_lossy().into_owned();
            let known = ["args", "stdin", "expect"].contains(&file.as_str())
                || file == "rerate.toml"
                || args.contains(&file)
                || mistake.expected().contains(&file);
            assert!(known, "{}: {file} is stray", mistake.name());
        }
        for entry in fs::read_dir(mistake.path.join("expect")).expect("an expect folder") {
            let file = entry.expect("an entry").file_name();
            assert!(file == "stderr" || file == "exit", "{}: expect/{file:?} is stray", mistake.name());
        }
    }
}

#[test]
fn every_reason_and_warning_is_told_in_some_message() {
    let told: String = mistakes().iter().map(Mistake::expected).collect();
    let names = Reason::ALL.iter().map(|reason| reason.name());
    for name in names.chain(Warning::ALL.iter().map(|warning| warning.name())) {
        assert!(told.contains(&format!("\n  {name}: ")), "no message tells {name}");
    }
}

#[test]
fn every_error_says_what_to_do_and_none_speaks_of_the_machine() {
    for mistake in mistakes() {
        let (name, told) = (mistake.name(), mistake.expected());
        for leak in ["os error", "panicked", "/tmp"] {
            assert!(!told.contains(leak), "{name}: {leak:?} in a message");
        }
        // Exit 2 without a hint is a message of the argument parser, which points to --help.
        let advice = ["\nhint: ", "For more information, try '--help'."];
        let is_error = told.lines().any(|line| line.starts_with("error: "));
        assert!(!is_error || advice.iter().any(|advice| told.contains(advice)), "{name}: no hint\n{told}");
    }
}
