//! Owns `rerate completions` and `rerate man`: what the parser knows, for shells and for man.

use clap::{Args, Command};
use clap_complete::Shell;

use super::{Done, screen};
use crate::error::{Error, Result};

/// Print completions for a shell
///
///   rerate completions bash > ~/.local/share/bash-completion/completions/rerate
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

/// Print a page for man
///
///   rerate man > rerate.1
///   rerate man replay > rerate-replay.1
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Man {
    /// The page of this command; without it the one that lists them
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

impl Completions {
    pub(super) fn run(&self, mut app: Command) -> Result<Done> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut app, "rerate", &mut text);
        screen::print(&String::from_utf8_lossy(&text))?;
        Ok(Done::Whole)
    }
}

impl Man {
    pub(super) fn run(&self, mut app: Command) -> Result<Done> {
        app.build();
        let command = match &self.command {
            None => app,
            Some(name) => super::named(&app, name)?.clone(),
        };
        let mut text = Vec::new();
        clap_mangen::Man::new(command)
            .render(&mut text)
            .map_err(|error| Error::new(format!("the page can't be made: {error}")))?;
        screen::print(&String::from_utf8_lossy(&text))?;
        Ok(Done::Whole)
    }
}
