//! Owns what inputs are told besides their bytes: by flags for all of them, and by `[[inputs]]` of the settings file for
//! those that an entry names. An entry says what flags say, so it is read by the same parser. How an input is read by it
//! is for `read`.

use std::error::Error as _;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Args, CommandFactory, FromArgMatches, Parser};
use toml::de::DeValue;

use super::settings::{Reader, Setting, arguments, key};
use super::words;
use crate::error::{Error, Result};
use crate::near::{nearest, one_of};
use crate::read::container::Container;
use crate::read::settings::{self, Defaults, Pattern, Settings};
use crate::read::shape::map::{self, Map};
use crate::read::shape::{SHAPES, Shape};
use crate::types::day::{Day, Instant, time_zone, time_zones};
use crate::types::tier::{ServiceTier, UsageTier};

/// The list of the settings file.
pub const INPUTS: &str = "inputs";

/// What inputs are, and what their lines lack.
#[derive(Clone, Debug, Args)]
pub struct InputArgs {
    /// The Google Cloud project of lines that name none
    #[arg(long, value_name = "ID")]
    project: Option<String>,

    /// The usage tier of projects without a timeline in the accounts file
    #[arg(long, value_name = "TIER", value_parser = words(UsageTier::ALL.iter().map(|word| word.name())))]
    usage_tier: Option<String>,

    /// The clock of times without an offset, like America/New_York
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,

    /// When requests were of which the log doesn't say it: a time with its offset, or a Pacific day
    #[arg(long, value_name = "TIME|DAY", value_parser = at)]
    at: Option<Instant>,

    /// The model of lines that name none
    #[arg(long, value_name = "NAME")]
    model: Option<String>,

    /// The service tier of lines that name none [default: standard]
    #[arg(long, value_name = "TIER", value_parser = words(ServiceTier::ALL.iter().map(|word| word.name())))]
    service_tier: Option<String>,

    /// What all inputs are; told for each by its first lines where it isn't given
    #[arg(long, value_name = "SHAPE", value_parser = words(shapes()))]
    shape: Option<String>,

    /// A map of the columns of all inputs, where no shape knows them (TOML; rerate check proposes one)
    #[arg(long, value_name = "FILE", conflicts_with = "shape")]
    map: Option<PathBuf>,

    /// How items lie in all inputs; told for each by its first bytes where it isn't given
    #[arg(long, value_name = "CONTAINER", value_parser = words(Container::ALL.iter().map(|word| word.name())))]
    container: Option<String>,
}

/// `[[inputs]]` as a command line.
#[derive(Clone, Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct EntryArgs {
    #[arg(value_name = "LOGS", value_hint = clap::ValueHint::AnyPath)]
    logs: Vec<String>,

    #[command(flatten)]
    inputs: InputArgs,
}

/// One of `[[inputs]]`.
#[derive(Clone, Debug)]
pub struct Entry {
    args: EntryArgs,
    logs: Vec<Pattern>,
    /// What it says, by key, in the order of flags.
    pub said: Vec<(String, Setting)>,
    /// Where it begins: `rerate.toml:3`.
    pub origin: String,
}

impl InputArgs {
    pub fn usage_tier(&self) -> Option<UsageTier> {
        self.usage_tier.as_deref().and_then(UsageTier::from_name)
    }

    /// `weaker` settings, and over them what is said here.
    pub fn settings(&self, weaker: Settings) -> Result<Settings> {
        let zone = self.time_zone.as_deref().map(|name| {
            zone(name).map_err(|(expected, hint)| {
                Error::usage(format!("--time-zone {name}: {expected}")).hint(hint)
            })
        });
        let shape = match &self.map {
            Some(file) => Some(Map::load(file)?.into_shape()),
            None => self.shape.as_deref().and_then(Shape::named),
        };
        let name = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
        let (container, service_tier) = (self.container.as_deref(), self.service_tier.as_deref());
        let under = weaker.defaults;
        Ok(Settings {
            container: container.and_then(Container::from_name).or(weaker.container),
            shape: shape.or(weaker.shape),
            max_line: weaker.max_line,
            detail: weaker.detail,
            defaults: Defaults {
                project: name(&self.project).or(under.project),
                model: name(&self.model).or(under.model),
                service_tier: service_tier.and_then(ServiceTier::from_name).or(under.service_tier),
                usage_tier: under.usage_tier,
                at: self.at.or(under.at),
                time_zone: zone.transpose()?.or(under.time_zone),
            },
        })
    }
}

impl Entry {
    /// Reads all entries of the settings file, and notes what is wrong with them.
    pub fn read_all(value: &DeValue<'_>, at: usize, reader: &mut Reader<'_>) -> Vec<Entry> {
        let DeValue::Array(items) = value else {
            reader.mistake(at, format!("{INPUTS} is no list of tables; write [[{INPUTS}]]"));
            return Vec::new();
        };
        items.iter().filter_map(|item| Entry::read(item.get_ref(), item.span().start, reader)).collect()
    }

    fn read(value: &DeValue<'_>, begin: usize, reader: &mut Reader<'_>) -> Option<Entry> {
        let DeValue::Table(table) = value else {
            reader.mistake(begin, format!("{INPUTS} has something else than tables; write [[{INPUTS}]]"));
            return None;
        };
        let command = EntryArgs::command();
        let known: Vec<&Arg> = arguments(&command).collect();
        let mut said = Vec::new();
        let mistakes = reader.mistakes();
        for (word, value) in table {
            let (at, word) = (word.span().start, word.get_ref().to_string());
            let Some(setting) = reader.setting(&known, at, &word, value.get_ref(), &format!("[[{INPUTS}]]"))
            else {
                continue;
            };
            for value in &setting.values {
                if let Err(expected) = judge(&command, &word, value) {
                    reader.mistake(at, format!("{word} is {value:?}; {expected}"));
                }
            }
            said.push((at, word, setting));
        }
        let of = |name: &str| said.iter().find(|(_, word, _)| word == name);
        if let (Some((at, ..)), Some(_)) = (of("map"), of("shape")) {
            reader.mistake(*at, "map and shape say what the inputs are, both; delete one".to_string());
        }
        if of("logs").is_none_or(|(.., setting)| setting.values.is_empty()) {
            reader.mistake(
                begin,
                format!("[[{INPUTS}]] has no logs; say which by a file, a folder or a pattern"),
            );
        }
        if reader.mistakes() > mistakes {
            return None;
        }
        let place = |word: &String| known.iter().position(|arg| key(arg) == *word);
        said.sort_by_key(|(_, word, _)| place(word));
        let said: Vec<_> = said.into_iter().map(|(_, word, setting)| (word, setting)).collect();
        let line =
            said.iter().flat_map(|(word, setting)| setting.values.iter().map(|value| typed(word, value)));
        let matches = command.try_get_matches_from(line).ok()?;
        let args = EntryArgs::from_arg_matches(&matches).ok()?;
        let logs =
            args.logs.iter().map(|name| Pattern::new(name)).collect::<std::result::Result<_, _>>().ok()?;
        Some(Entry { args, logs, said, origin: reader.origin(begin) })
    }

    /// How inputs that it names are read, where flags say so for `others`.
    pub fn settings(&self, others: &Settings) -> Result<settings::Entry> {
        let mut settings = self.args.inputs.settings(others.clone())?;
        // For all inputs the usage tier comes after the accounts file; what is said of one input knows better.
        let usage_tier = self.args.inputs.usage_tier().filter(|usage_tier| *usage_tier != UsageTier::Unknown);
        settings.defaults.usage_tier = usage_tier;
        Ok(settings::Entry { logs: self.logs.clone(), settings })
    }

    /// That no input is read by it.
    pub fn names_none(&self) -> String {
        format!(
            "{}: no input is read by this entry of [[{INPUTS}]]: {}",
            self.origin,
            self.args.logs.join(", ")
        )
    }
}

/// One setting as it is typed.
fn typed(word: &str, value: &str) -> String {
    if word == "logs" { value.to_string() } else { format!("--{word}={value}") }
}

/// What is expected in the place of a value that is refused.
fn judge(command: &clap::Command, word: &str, value: &str) -> std::result::Result<(), String> {
    match word {
        "logs" => {
            let refused = |error: glob::PatternError| format!("the pattern is malformed: {}", error.msg);
            return Pattern::new(value).map(drop).map_err(refused);
        }
        "time-zone" => {
            return zone(value).map(drop).map_err(|(expected, hint)| format!("{expected}; {hint}"));
        }
        _ => {}
    }
    let Err(error) = command.clone().try_get_matches_from([typed(word, value)]) else { return Ok(()) };
    Err(match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(known)) => {
            let known: Vec<&str> = known.iter().map(String::as_str).collect();
            format!("expected {}", one_of(value, &known))
        }
        _ => error.source().map_or("expected another value".to_string(), |source| source.to_string()),
    })
}

/// What `--shape` may say: a map is given by `--map`.
fn shapes() -> impl Iterator<Item = &'static str> {
    SHAPES.iter().map(|shape| shape.name).filter(|name| *name != map::SHAPE.name)
}

fn at(text: &str) -> std::result::Result<Instant, String> {
    let expected =
        |_| "expected a time with its offset, like 2026-06-01T12:00:00Z, or a Pacific day".to_string();
    match Day::parse(text) {
        Some(day) => Ok(day.start()),
        None => Instant::parse(text, None).map_err(expected),
    }
}

/// A time zone by its name; else what was expected, and a hint.
fn zone(name: &str) -> std::result::Result<jiff::tz::TimeZone, (&'static str, String)> {
    time_zone(name).ok_or_else(|| {
        let hint = match nearest(name, time_zones().iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None => "zones are named by continent and city, or Etc/GMT+8 (behind UTC)".to_string(),
        };
        ("there is no such zone; expected one like Europe/Berlin", hint)
    })
}
