//! Owns the command line: commands, flags that several share, exit codes. What a command does is in its own file.

mod accounts;
mod book;
mod check;
mod completions;
mod config;
mod r#gen;
mod hooks;
mod inputs;
mod memory;
mod metrics;
mod replay;
mod screen;
mod settings;
mod show;
mod status;
mod summary;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::books::{Books, Sources};
use crate::error::{Error, Exit, Result};
use crate::near::nearest;
use crate::pipeline::{self, Options, Replay};
use crate::read::settings::{AllSettings, LONGEST_LINE, Variables};
use crate::read::{self, Inputs, Progress};
use crate::types::day::{Day, Instant, Window};
use inputs::{Entry, InputArgs};
use memory::MemoryArgs;
use settings::Settings;

const EXIT_CODES: &str = "\
Exit codes:
  0    all was used
  1    it failed; nothing was published, unless the message names days
  2    the command line is wrong
  3    published, and some lines or quantities are in suspense; of status: a day
       isn't closed and clean
  128+ ended by a signal (130: Ctrl-C)";

/// Rebuilds token counts, quota use and charges from exported Gemini API request logs.
#[derive(Debug, Parser)]
#[command(name = "rerate", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    everywhere: Everywhere,

    #[command(subcommand)]
    command: Command,
}

/// Flags of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Everywhere")]
struct Everywhere {
    /// Read settings from this file [default: rerate.toml, where there is one]
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,

    /// Text, or a JSON object a line, on stderr
    #[arg(long, value_name = "FORMAT", global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,

    /// Say every 10 s how far it is, where stderr is no terminal
    #[arg(long, short, global = true)]
    verbose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Replay(replay::Replay),
    Check(check::Check),
    Show(show::Show),
    Status(status::Status),
    Accounts(accounts::Accounts),
    Book(book::Book),
    Config(config::Config),
    Gen(r#gen::Gen),
    Completions(completions::Completions),
    Man(completions::Man),
}

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    match Cli::from_process() {
        Ok((cli, settings)) => cli.run(&settings),
        Err(code) => code,
    }
}

impl Cli {
    /// The command line, completed by what variables and the settings file say. What is wrong with it is told here.
    fn from_process() -> std::result::Result<(Cli, Settings), ExitCode> {
        let typed: Vec<OsString> = std::env::args_os().collect();
        let mut app = Cli::command();
        // What is needed may be said elsewhere: first only what was typed is looked at.
        let partial = app.clone().mut_subcommands(|command| command.mut_args(|arg| arg.required(false)));
        let Ok(matches) = partial.try_get_matches_from(&typed) else {
            return match Cli::try_parse_from(&typed) {
                Ok(cli) => Ok((cli, Settings::default())),
                Err(error) => Err(told(&error, &[])),
            };
        };
        // Now arguments of all commands are among a command's own.
        app.build();
        let (command, matches) = matches.subcommand().expect("the parser asks for a command");
        let command = app.find_subcommand(command).expect("the parser knows it");
        let failed = |error: Error| {
            screen::error(&error);
            ExitCode::from(2)
        };
        let file = matches.get_one::<PathBuf>("config").map(PathBuf::as_path);
        let settings = Settings::load(&app, file, std::env::vars_os()).map_err(failed)?;
        let completed = settings.complete(&typed, command, matches);
        match Cli::try_parse_from(&completed.line) {
            Ok(cli) => Ok((cli, settings)),
            Err(error) => {
                settings.unknown.iter().for_each(screen::warn);
                Err(told(&error, &completed.origins_of(&error)))
            }
        }
    }

    fn run(self, settings: &Settings) -> ExitCode {
        if self.everywhere.log_format == LogFormat::Json {
            screen::use_json();
        }
        settings.unknown.iter().for_each(screen::warn);
        hooks::set();
        let signal = Signal::watch(self.everywhere.verbose);
        let result = match self.command {
            Command::Replay(command) => return ExitCode::from(command.run(&settings.inputs, &signal)),
            Command::Check(command) => command.run(&settings.inputs, &signal),
            Command::Show(command) => command.run(),
            Command::Status(command) => command.run(),
            Command::Accounts(command) => command.run(&settings.inputs, &signal),
            Command::Book(command) => command.run(),
            Command::Config(command) => command.run(&Cli::command(), settings),
            Command::Gen(command) => command.run(&signal),
            Command::Completions(command) => command.run(Cli::command()),
            Command::Man(command) => command.run(Cli::command()),
        };
        ExitCode::from(signal.code(&result))
    }
}

/// A command by its name.
fn named<'a>(app: &'a clap::Command, name: &str) -> Result<&'a clap::Command> {
    app.find_subcommand(name).ok_or_else(|| {
        let error = Error::usage(format!("there is no command {name}"));
        match nearest(name, app.get_subcommands().map(clap::Command::get_name)) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error.hint("rerate --help lists them"),
        }
    })
}

/// Prints help, or what is wrong with the command line. That quotes what was typed, so an API key is hashed here too.
/// `origins`: where the arguments at fault stand, where they weren't typed.
fn told(error: &clap::Error, origins: &[&str]) -> ExitCode {
    if error.kind() == clap::error::ErrorKind::DisplayVersion {
        return version();
    }
    let text = error.to_string();
    if screen::visible(&text) == text {
        // Whoever reads may be gone, and that is no failure.
        let _ = error.print();
    } else {
        screen::say(text.trim_end());
    }
    if !origins.is_empty() {
        screen::say(format_args!("hint: it is set by {}", origins.join(" and ")));
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// The version, and how new what it knows is.
fn version() -> ExitCode {
    let newest = Books::load(&Sources::default()).ok().and_then(|books| {
        let days = books.editions.into_iter().filter_map(|edition| edition.newest);
        days.max()
    });
    let books = newest.map(|newest| format!(" (books up to {newest})")).unwrap_or_default();
    let printed = screen::print(&format!("rerate {}{books}\n", env!("CARGO_PKG_VERSION")));
    if printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How a command ended that did its work.
enum Done {
    Whole,
    WithSuspense,
}

/// SIGINT and SIGTERM: the first ends the run in order, a second at once.
struct Signal {
    verbose: bool,
    progress: Arc<Progress>,
    number: Arc<AtomicUsize>,
}

impl Signal {
    fn watch(verbose: bool) -> Signal {
        let signal = Signal { verbose, progress: Arc::default(), number: Arc::default() };
        #[cfg(unix)]
        for number in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            let stop = signal.progress.stop.clone();
            // In this order: the second signal finds `stop` set by the first. None of these can fail for these signals.
            let _ = signal_hook::flag::register_conditional_default(number, stop.clone());
            let _ = signal_hook::flag::register_usize(number, signal.number.clone(), number as usize);
            let _ = signal_hook::flag::register(number, stop);
        }
        signal
    }

    fn number(&self) -> u8 {
        self.number.load(Ordering::Relaxed) as u8
    }

    /// The exit code of a command that ended so; what went wrong is told.
    fn code(&self, result: &Result<Done>) -> u8 {
        match result {
            Ok(Done::Whole) => 0,
            Ok(Done::WithSuspense) => 3,
            Err(error) => {
                screen::error(error);
                match error.exit {
                    Exit::Failed => 1,
                    Exit::Usage => 2,
                    Exit::Interrupted => 128 + self.number(),
                }
            }
        }
    }

    fn start(&self, inputs: &Inputs, last_line: Option<String>) -> screen::Watch {
        let number = self.number.clone();
        let number = move || number.load(Ordering::Relaxed) as u8;
        screen::Watch::start(inputs, &self.progress, self.verbose, last_line, number)
    }

    /// Reads logs while a person watches; how long it took, too.
    fn read(&self, inputs: &Inputs, books: &Books, options: &Options) -> Result<(Replay, Duration)> {
        let watch = self.start(inputs, None);
        let replay = pipeline::replay(inputs, books, options, &self.progress)?;
        Ok((replay, watch.has_read()))
    }
}

/// Which logs, and what they lack.
#[derive(Debug, Args)]
struct LogArgs {
    /// Files, folders, patterns like 'logs/*.jsonl.gz', or - for stdin; gs://, s3:// and az:// as well
    #[arg(required = true, value_name = "LOGS", value_hint = clap::ValueHint::AnyPath)]
    logs: Vec<String>,

    #[command(flatten)]
    inputs: InputArgs,

    /// Longest line that is read, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = LONGEST_LINE, value_parser = whole)]
    max_line: usize,

    /// How many threads to use [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,

    #[command(flatten)]
    memory: MemoryArgs,
}

impl LogArgs {
    /// Finds the inputs, which are read as `entries` of the settings file say or, where they don't, as flags do.
    fn inputs(&self, entries: &[Entry], out: Option<&Path>, detail: bool) -> Result<Inputs> {
        if let Some(threads) = self.threads {
            // Fails only when a pool was built before, which nothing here does.
            let _ = rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global();
        }
        let weaker = read::settings::Settings { max_line: self.max_line, detail, ..Default::default() };
        let others = self.inputs.settings(weaker)?;
        let stronger = entries.iter().map(|entry| entry.settings(&others)).collect::<Result<_>>()?;
        let inputs =
            read::find(&self.logs, out, AllSettings { entries: stronger, others, variables: variables() })?;
        for (place, entry) in entries.iter().enumerate() {
            if inputs.list.iter().all(|input| input.settings != place + 1) {
                screen::warn(entry.names_none());
            }
        }
        Ok(inputs)
    }

    /// `out` is where the output goes, if to a folder.
    fn options(&self, window: Window, out: Option<&Path>) -> Result<Options> {
        let memory = Some(self.memory.bound(out)?);
        Ok(Options { usage_tier: self.inputs.usage_tier(), window, known: None, memory })
    }
}

/// What the environment says to the tools of object stores.
fn variables() -> Variables {
    let of_a_store = |name: &str| {
        ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|prefix| name.starts_with(prefix))
            || name == "STORAGE_EMULATOR_HOST"
    };
    let all = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Variables { list: all.filter(|(name, value)| of_a_store(name) && !value.is_empty()).collect() }
}

/// Books other than the embedded ones.
#[derive(Debug, Args)]
#[command(next_help_heading = "Books")]
struct BookArgs {
    /// Your projects: usage tiers through time, billing accounts, own limits (TOML)
    #[arg(long, value_name = "FILE")]
    accounts: Option<PathBuf>,

    /// A folder of books in place of the embedded ones
    #[arg(long, value_name = "DIR")]
    books: Option<PathBuf>,

    /// Price lines laid over the book's: the same key and day wins
    #[arg(long, value_name = "FILE")]
    prices: Vec<PathBuf>,

    /// Limit lines laid over the book's
    #[arg(long, value_name = "FILE")]
    limits: Vec<PathBuf>,

    /// Model lines laid over the book's
    #[arg(long, value_name = "FILE")]
    models: Vec<PathBuf>,

    /// Alias lines laid over the book's
    #[arg(long, value_name = "FILE")]
    aliases: Vec<PathBuf>,

    /// Allowance lines laid over the book's
    #[arg(long, value_name = "FILE")]
    allowances: Vec<PathBuf>,

    /// Usage tier lines laid over the book's
    #[arg(long, value_name = "FILE")]
    tiers: Vec<PathBuf>,

    /// Status lines laid over the book's
    #[arg(long, value_name = "FILE")]
    outcomes: Vec<PathBuf>,

    /// Method lines laid over the book's
    #[arg(long, value_name = "FILE")]
    methods: Vec<PathBuf>,
}

impl BookArgs {
    fn sources(&self) -> Sources {
        let over = [
            ("prices", &self.prices),
            ("limits", &self.limits),
            ("models", &self.models),
            ("aliases", &self.aliases),
            ("allowances", &self.allowances),
            ("tiers", &self.tiers),
            ("outcomes", &self.outcomes),
            ("methods", &self.methods),
        ];
        Sources {
            folder: self.books.clone(),
            over: over
                .iter()
                .flat_map(|(name, files)| files.iter().map(|file| (*name, file.clone())))
                .collect(),
            accounts: self.accounts.clone(),
        }
    }

    fn load(&self) -> Result<Books> {
        Books::load(&self.sources())
    }
}

/// Which days.
#[derive(Debug, Args)]
struct WindowArgs {
    /// Only this Pacific day, or yesterday
    #[arg(long, value_name = "DAY", value_parser = When::parse, conflicts_with_all = ["from", "to"])]
    date: Option<When>,

    /// Only from this Pacific day on
    #[arg(long, value_name = "DAY", value_parser = day)]
    from: Option<Day>,

    /// Only up to and with this Pacific day
    #[arg(long, value_name = "DAY", value_parser = day)]
    to: Option<Day>,

    /// The time it is taken to be, like 2026-06-02T01:00:00-07:00 [default: the clock's]
    #[arg(long, value_name = "TIME", value_parser = instant)]
    now: Option<Instant>,
}

/// A day that is asked for.
#[derive(Clone, Copy, Debug)]
enum When {
    Day(Day),
    /// The Pacific day before the one that it is now.
    Yesterday,
}

impl When {
    fn parse(text: &str) -> std::result::Result<When, String> {
        match text {
            "yesterday" => Ok(When::Yesterday),
            _ => day(text).map(When::Day).map_err(|expected| format!("{expected}, or yesterday")),
        }
    }
}

impl WindowArgs {
    fn now(&self) -> Instant {
        self.now.unwrap_or_else(screen::now)
    }

    fn window(&self) -> Result<Window> {
        let date = self.date.map(|when| match when {
            When::Day(day) => day,
            When::Yesterday => self.now().day().previous(),
        });
        let window = Window { from: date.or(self.from), to: date.or(self.to) };
        match (window.from, window.to) {
            (Some(from), Some(to)) if from > to => {
                Err(Error::usage(format!("--from {from} is after --to {to}"))
                    .hint("--from is the first day, --to the last"))
            }
            _ => Ok(window),
        }
    }
}

fn day(text: &str) -> std::result::Result<Day, String> {
    Day::parse(text).ok_or_else(|| "expected a day of the calendar, like 2026-06-01".to_string())
}

fn instant(text: &str) -> std::result::Result<Instant, String> {
    Instant::parse(text, None).map_err(|why| match text.len() {
        19 => "it has no offset from UTC; expected a time like 2026-06-02T01:00:00-07:00".to_string(),
        _ => why.to_string(),
    })
}

fn whole(text: &str) -> std::result::Result<usize, String> {
    text.parse().map_err(|_| "expected a whole number, like 1000000".to_string())
}

fn words(names: impl Iterator<Item = &'static str>) -> clap::builder::PossibleValuesParser {
    names.collect::<Vec<_>>().into()
}
