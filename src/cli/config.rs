//! Owns `rerate config`: which settings hold, and where each is said. How they are found is for `settings`.

use clap::{Args, Command};

use super::inputs::INPUTS;
use super::settings::{Setting, Settings, arguments, key, takes_several, variable};
use super::{Done, screen};
use crate::error::Result;

/// Print what rerate.toml and RERATE_ variables set, and where
///
/// Every flag can stand in rerate.toml (of the working directory, or named by
/// --config), in a table named by its command, and in a variable: --max-line
/// is max-line in table replay and RERATE_MAX_LINE. A flag wins, then the variable,
/// then the file. Paths in the file are relative to the file. In a variable,
/// commas divide the values of a flag that takes several.
///
///   rerate config replay
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Config {
    /// Only this command
    #[arg(value_name = "COMMAND")]
    command: Option<String>,

    /// Print what is set nowhere too, with the variable that would
    #[arg(long)]
    all: bool,
}

impl Config {
    pub(super) fn run(&self, app: &Command, settings: &Settings) -> Result<Done> {
        let asked = self.command.as_deref().map(|name| super::named(app, name)).transpose()?;
        let mut text = match &settings.file {
            Some(file) => format!("# {}\n", screen::visible(&file.display().to_string())),
            None => "# no rerate.toml is here, and no --config is given\n".to_string(),
        };
        text += &self.lines(app, "", settings);
        for command in asked.into_iter().chain(app.get_subcommands().filter(|_| asked.is_none())) {
            let lines = self.lines(command, command.get_name(), settings);
            if !lines.is_empty() {
                text += &format!("\n[{}]\n{lines}", command.get_name());
            }
        }
        for entry in &settings.inputs {
            text += &format!("\n[[{INPUTS}]]  # {}\n", screen::visible(&entry.origin));
            for (key, setting) in &entry.said {
                let several = key == "logs";
                text += &format!("{key} = {}\n", value(setting, several));
            }
        }
        screen::print(&text)?;
        Ok(Done::Whole)
    }

    fn lines(&self, command: &Command, name: &str, settings: &Settings) -> String {
        let mut text = String::new();
        for arg in arguments(command).filter(|arg| name.is_empty() || !arg.is_global_set()) {
            let key = key(arg);
            if let Some(setting) = settings.of(name, arg) {
                let value = value(setting, takes_several(arg));
                text += &format!("{key} = {value}  # {}\n", screen::visible(&setting.origin));
            } else if self.all {
                let default: Vec<String> =
                    arg.get_default_values().iter().map(|value| literal(&value.to_string_lossy())).collect();
                let (mark, value) =
                    if default.is_empty() { ("# ", "…".into()) } else { ("", default.join(", ")) };
                text += &format!("{mark}{key} = {value}  # {} sets it\n", variable(&key));
            }
        }
        text
    }
}

fn value(setting: &Setting, several: bool) -> String {
    let values: Vec<String> = setting.values.iter().map(|value| literal(value)).collect();
    if several { format!("[{}]", values.join(", ")) } else { values.join(", ") }
}

/// A value as TOML has it; nothing of it can show a key or move a terminal.
fn literal(value: &str) -> String {
    let bare = matches!(value, "true" | "false")
        || value.parse::<u64>().is_ok_and(|number| number.to_string() == value);
    if bare { value.to_string() } else { serde_json::Value::from(screen::visible(value)).to_string() }
}
