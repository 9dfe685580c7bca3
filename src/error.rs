//! Owns the error that ends a run: what went wrong, where, and what to do. What a line lacks is data, not an error:
//! that is `suspense`.

use std::fmt;
use std::path::Path;

use crate::near::nearest_path;

/// A failure in words for a person: `what` says where and what was found, `hint` what to do.
#[derive(Debug)]
pub struct Error {
    pub what: String,
    pub hint: Option<String>,
    pub exit: Exit,
}

/// What the process tells whoever started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Nothing was published, unless the message names days.
    Failed,
    /// The command line is wrong.
    Usage,
    /// By a signal.
    Interrupted,
}

impl Error {
    pub fn new(what: impl Into<String>) -> Error {
        Error { what: what.into(), hint: None, exit: Exit::Failed }
    }

    pub fn usage(what: impl Into<String>) -> Error {
        Error { what: what.into(), hint: None, exit: Exit::Usage }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Error {
        self.exit = exit;
        self
    }

    /// An operating system's refusal, with the path it is about.
    pub fn io(doing: &str, path: &Path, error: &std::io::Error) -> Error {
        let reading = ["read", "read the folder", "open"].contains(&doing);
        if reading && error.kind() == std::io::ErrorKind::NotFound {
            return Error::missing("file or folder", path);
        }
        let told = error.to_string();
        let told = told.split(" (os error").next().unwrap_or_default();
        let whole = Error::new(format!("{}: can't {doing}: {told}", path.display()));
        match error.kind() {
            std::io::ErrorKind::IsADirectory => {
                Error::new(format!("{}: it is a folder; expected a file", path.display()))
            }
            std::io::ErrorKind::NotADirectory => {
                whole.hint("a part of the path is a file; expected a folder")
            }
            std::io::ErrorKind::StorageFull => whole.hint("free some space and run the same command again"),
            std::io::ErrorKind::PermissionDenied => whole.hint("check who may read and write there"),
            _ => whole,
        }
    }

    /// There is no such `noun`; the hint offers what is named almost so.
    pub fn missing(noun: &str, path: &Path) -> Error {
        let error = Error::new(format!("{}: there is no such {noun}", path.display()));
        match nearest_path(path) {
            Some(near) => error.hint(format!("did you mean {near}?")),
            None => error,
        }
    }

    /// A hint where there is none yet.
    #[must_use]
    pub fn or_hint(self, hint: impl Into<String>) -> Error {
        if self.hint.is_some() { self } else { self.hint(hint) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.what)?;
        if let Some(hint) = &self.hint {
            write!(f, "\nhint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

pub type Result<T> = std::result::Result<T, Error>;
