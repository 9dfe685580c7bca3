//! All integration tests, as one binary.

mod awkward;
mod carry;
mod cases;
mod cli;
#[cfg(unix)]
mod crash;
mod days;
#[cfg(unix)]
mod deploy;
mod docs;
mod errors;
mod generate;
mod laws;
mod observed;
mod oracle;
mod run;
mod settings;
mod show;
#[cfg(unix)]
mod trust;
