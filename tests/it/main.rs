//! All integration tests, as one binary.

mod cases;
mod cli;
mod docs;
mod errors;
mod generate;
mod oracle;
mod run;
mod show;
