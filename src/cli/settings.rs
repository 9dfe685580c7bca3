//! Owns what is said to flags elsewhere than on the command line: `RERATE_…` variables and `rerate.toml`. Flags are known
//! only as the parser knows them, so a new flag needs nothing here. A flag wins, then its variable, then the file; what a
//! stronger place says takes away what a weaker one says against it.

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::ValueRange;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use toml::de::DeValue;

use super::inputs::{Entry, INPUTS};
use crate::books::accounts::{line_at, table};
use crate::error::{Error, Result};
use crate::near::{nearest, one_of};
use crate::read::is_url;

/// The file that is read where it is in the working directory.
const FILE: &str = "rerate.toml";
const PREFIX: &str = "RERATE_";
/// The flag that names the file; it can't stand in it.
const CONFIG: &str = "config";
/// Arguments of the parser's own.
const OWN: [&str; 2] = ["help", "version"];

/// What is said to one argument, and where.
#[derive(Clone, Debug)]
pub struct Setting {
    pub values: Vec<String>,
    /// `rerate.toml:3`, `RERATE_OUT`.
    pub origin: String,
}

/// All that variables and the file say.
#[derive(Debug, Default)]
pub struct Settings {
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// By name without the prefix, as flags are written.
    variables: BTreeMap<String, Setting>,
    /// By command (empty: every one) and key.
    entries: BTreeMap<(String, String), Setting>,
    /// What the file says of some inputs, in its order.
    pub inputs: Vec<Entry>,
    /// Variables that no flag has.
    pub unknown: Vec<String>,
}

/// A flag's name, or of a value without a flag what help calls it.
pub fn key(arg: &Arg) -> String {
    let of_value = || arg.get_value_names().and_then(|names| names.first()).map(|name| name.to_lowercase());
    match arg.get_long() {
        Some(long) => long.to_string(),
        None => of_value().unwrap_or_else(|| arg.get_id().to_string()),
    }
}

/// The arguments of a command that may be said elsewhere.
pub fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !OWN.contains(&arg.get_id().as_str()))
}

pub fn takes_several(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
        || arg.get_value_delimiter().is_some()
        || arg.get_num_args().is_some_and(|range: ValueRange| range.max_values() > 1)
}

fn is_switch(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::SetTrue)
}

fn is_path(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<PathBuf>()
        || matches!(arg.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath)
}

impl Settings {
    /// Reads variables and the file: the one that was typed, else the variable's, else the one that is here.
    pub fn load(
        app: &Command,
        typed: Option<&Path>,
        variables: impl Iterator<Item = (OsString, OsString)>,
    ) -> Result<Settings> {
        let mut settings = Settings::default();
        let everywhere = arguments(app).chain(app.get_subcommands().flat_map(arguments));
        let known: BTreeSet<String> = everywhere.map(key).collect();
        for (name, value) in variables {
            let name = name.to_string_lossy().into_owned();
            let Some(flag) = name.strip_prefix(PREFIX) else { continue };
            if super::hooks::is_variable(&name) {
                continue;
            }
            let flag = flag.to_lowercase().replace('_', "-");
            if !known.contains(&flag) {
                let known: Vec<String> = known.iter().map(|flag| variable(flag)).collect();
                let guess = nearest(&name, known.iter().map(String::as_str));
                let guess = guess.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
                settings.unknown.push(format!("{name}: no flag is named so{guess}"));
                continue;
            }
            let value = value.into_string().map_err(|_| {
                Error::usage(format!("{name}: it isn't UTF-8 text")).hint("name the flag instead")
            })?;
            // A variable without a value is as good as none, which is how scripts take one away.
            if !value.is_empty() {
                settings.variables.insert(flag, Setting { values: vec![value], origin: name });
            }
        }
        let said = settings.variables.get(CONFIG).and_then(|setting| setting.values.first());
        let file = match (typed, said) {
            (Some(typed), _) => typed.to_path_buf(),
            (None, Some(said)) => PathBuf::from(said),
            (None, None) if Path::new(FILE).is_file() => PathBuf::from(FILE),
            (None, None) => return Ok(settings),
        };
        settings.read(app, &file)?;
        settings.file = Some(file);
        Ok(settings)
    }

    fn read(&mut self, app: &Command, file: &Path) -> Result<()> {
        let name = file.display().to_string();
        let text = std::fs::read_to_string(file).map_err(|error| Error::io("read", file, &error))?;
        let refused = |mistakes: &[String]| {
            let which = if mistakes.len() == 1 { "it" } else { "them all" };
            Error::usage(mistakes.join("\nerror: ")).hint(format!("mend {which} and run again"))
        };
        let root = table(&name, &text)
            .map_err(|mistake| refused(&[format!("{}: {}", mistake.place, mistake.what)]))?;
        let mut reader = Reader { name: &name, text: &text, folder: file.parent(), mistakes: Vec::new() };
        let commands = app.get_subcommands().map(Command::get_name).filter(|name| !OWN.contains(name));
        let commands: Vec<&str> = commands.collect();
        let globals: Vec<&Arg> = arguments(app).filter(|arg| key(arg) != CONFIG).collect();
        for (word, value) in &root {
            let (at, word) = (word.span().start, word.get_ref().to_string());
            let command = app.get_subcommands().find(|command| command.get_name() == word);
            match (command, value.get_ref()) {
                (Some(command), DeValue::Table(table)) => {
                    let flags: Vec<&Arg> = arguments(command).filter(|arg| !arg.is_global_set()).collect();
                    for (word, value) in table {
                        let (at, word) = (word.span().start, word.get_ref().as_ref());
                        let found = reader.setting(
                            &flags,
                            at,
                            word,
                            value.get_ref(),
                            &format!("[{}]", command.get_name()),
                        );
                        if let Some(setting) = found {
                            self.entries.insert((command.get_name().to_string(), word.to_string()), setting);
                        }
                    }
                }
                (Some(_), _) => {
                    reader.mistake(at, format!("{word} is a command; expected a table, [{word}]"))
                }
                (None, value) if word == INPUTS => self.inputs = Entry::read_all(value, at, &mut reader),
                (None, DeValue::Table(_)) => {
                    let tables: Vec<&str> = commands.iter().copied().chain([INPUTS]).collect();
                    let expected = one_of(&word, &tables);
                    reader.mistake(at, format!("there is no command {word}; expected a table of {expected}"));
                }
                (None, value) => {
                    let found = reader.setting(&globals, at, &word, value, "all commands");
                    if let Some(setting) = found {
                        self.entries.insert((String::new(), word), setting);
                    }
                }
            }
        }
        reader.mistakes.sort();
        let mistakes: Vec<String> =
            reader.mistakes.iter().map(|(line, what)| format!("{name}:{line}: {what}")).collect();
        if mistakes.is_empty() { Ok(()) } else { Err(refused(&mistakes)) }
    }

    /// What is said to an argument, the variable before the file; `command` is empty for arguments of every command.
    pub fn of(&self, command: &str, arg: &Arg) -> Option<&Setting> {
        let entry = self.entries.get(&(if arg.is_global_set() { "" } else { command }.to_string(), key(arg)));
        self.variable(arg).or(entry)
    }

    fn variable(&self, arg: &Arg) -> Option<&Setting> {
        self.variables.get(&key(arg))
    }

    /// The command line with what is said elsewhere to the arguments that it leaves out. `matches` are those of its
    /// command, as far as it was typed.
    pub fn complete(&self, typed: &[OsString], command: &Command, matches: &ArgMatches) -> Completed {
        let is_typed = |arg: &Arg| {
            let source = matches
                .try_contains_id(arg.get_id().as_str())
                .ok()
                .and_then(|_| matches.value_source(arg.get_id().as_str()));
            source == Some(ValueSource::CommandLine)
        };
        let contradict = |one: &Arg, other: &Arg| {
            let says = |one: &Arg, other: &Arg| {
                !one.is_global_set()
                    && command.get_arg_conflicts_with(one).iter().any(|arg| arg.get_id() == other.get_id())
            };
            says(one, other) || says(other, one)
        };
        let args: Vec<&Arg> = arguments(command).collect();
        let free = |arg: &&Arg| {
            !is_typed(arg) && !args.iter().any(|other| is_typed(other) && contradict(arg, other))
        };
        let open: Vec<&Arg> = args.iter().copied().filter(free).collect();
        let by_variable = |arg: &Arg| self.variable(arg).is_some();
        let said = open.iter().copied().filter(|arg| {
            by_variable(arg) || !open.iter().any(|other| by_variable(other) && contradict(arg, other))
        });
        let (mut flags, mut values, mut origins) = (Vec::new(), Vec::new(), Vec::new());
        for arg in said {
            let Some(setting) = self.of(command.get_name(), arg) else { continue };
            let words = match by_variable(arg) && takes_several(arg) {
                true => {
                    setting.values.iter().flat_map(|value| value.split(',')).map(str::to_string).collect()
                }
                false => setting.values.clone(),
            };
            match arg.get_long() {
                Some(long) if is_switch(arg) => match words.first().map(String::as_str) {
                    Some("true" | "1") => flags.push(format!("--{long}")),
                    Some("false" | "0") => continue,
                    // The parser says what it expected.
                    other => flags.push(format!("--{long}={}", other.unwrap_or_default())),
                },
                Some(long) => flags.extend(words.iter().map(|word| format!("--{long}={word}"))),
                None => values.extend(words),
            }
            origins.push((arg.to_string(), setting.origin.clone()));
        }
        // What was typed behind -- are values, not flags.
        let end = typed.iter().position(|word| word == "--").unwrap_or(typed.len());
        let mut line = typed[..end].to_vec();
        line.extend(flags.into_iter().map(OsString::from));
        line.extend(typed[end..].iter().cloned());
        if !values.is_empty() {
            if end == typed.len() {
                line.push("--".into());
            }
            line.extend(values.into_iter().map(OsString::from));
        }
        Completed { line, origins }
    }
}

/// A whole command line.
pub struct Completed {
    pub line: Vec<OsString>,
    /// Where arguments come from that weren't typed, by what the parser calls them.
    origins: Vec<(String, String)>,
}

impl Completed {
    /// Where the arguments stand that an error of the parser is about.
    pub fn origins_of(&self, error: &clap::Error) -> Vec<&str> {
        let named: Vec<String> = error.context().flat_map(|(_, value)| words_of(value)).collect();
        let about = self.origins.iter().filter(|(name, _)| named.iter().any(|word| word == name));
        about.map(|(_, origin)| origin.as_str()).collect()
    }
}

fn words_of(value: &clap::error::ContextValue) -> Vec<String> {
    match value {
        clap::error::ContextValue::String(word) => vec![word.clone()],
        clap::error::ContextValue::Strings(words) => words.clone(),
        _ => Vec::new(),
    }
}

/// The name of a flag's variable.
pub fn variable(flag: &str) -> String {
    format!("{PREFIX}{}", flag.to_uppercase().replace('-', "_"))
}

/// Reads the file, and goes on where something is wrong with it.
pub struct Reader<'t> {
    name: &'t str,
    text: &'t str,
    folder: Option<&'t Path>,
    /// By line.
    mistakes: Vec<(usize, String)>,
}

impl Reader<'_> {
    pub fn mistake(&mut self, at: usize, what: String) {
        self.mistakes.push((line_at(self.text, at), what));
    }

    /// How many were found so far.
    pub fn mistakes(&self) -> usize {
        self.mistakes.len()
    }

    pub fn origin(&self, at: usize) -> String {
        format!("{}:{}", self.name, line_at(self.text, at))
    }

    pub fn setting(
        &mut self,
        flags: &[&Arg],
        at: usize,
        word: &str,
        value: &DeValue<'_>,
        place: &str,
    ) -> Option<Setting> {
        let Some(arg) = flags.iter().find(|arg| key(arg) == word) else {
            let known: Vec<String> = flags.iter().map(|arg| key(arg)).collect();
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            self.mistake(at, format!("there is no key {word} of {place}; expected {}", one_of(word, &known)));
            return None;
        };
        let values: Option<Vec<String>> = match value {
            DeValue::Array(items) if takes_several(arg) => {
                items.iter().map(|item| text_of(item.get_ref())).collect()
            }
            value => text_of(value).map(|value| vec![value]),
        };
        let Some(values) = values.filter(|_| matches!(value, DeValue::Boolean(_)) == is_switch(arg)) else {
            let expected = match (is_switch(arg), takes_several(arg)) {
                (true, _) => "true or false",
                (false, true) => "a text, or a list of texts",
                (false, false) => "one value, as the flag takes it",
            };
            self.mistake(at, format!("{word} is of another kind; expected {expected}"));
            return None;
        };
        let values = values.into_iter().map(|value| if is_path(arg) { self.beside(&value) } else { value });
        Some(Setting { values: values.collect(), origin: self.origin(at) })
    }

    /// A path as it is from the working directory; the standard input and what is in a store are no paths.
    fn beside(&self, path: &str) -> String {
        match self.folder {
            Some(folder) if path != "-" && !is_url(path) && !folder.as_os_str().is_empty() => {
                folder.join(path).display().to_string()
            }
            _ => path.to_string(),
        }
    }
}

fn text_of(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(switch) => Some(switch.to_string()),
        DeValue::Datetime(time) => Some(time.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}
