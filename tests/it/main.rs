//! All integration tests, as one binary.

mod awkward;
mod carry;
mod cases;
mod cli;
mod containers;
mod docs;
mod errors;
mod gateways;
mod generate;
mod laws;
mod oracle;
mod plain;
mod run;
mod show;
