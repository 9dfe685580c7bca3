//! All integration tests, as one binary.

mod cases;
mod cli;
mod docs;
mod errors;
mod oracle;
mod run;
mod show;
