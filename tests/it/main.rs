//! All integration tests, as one binary.

mod awkward;
#[cfg(feature = "object-stores")]
mod bucket;
mod carry;
mod cases;
mod cli;
mod columns;
mod containers;
#[cfg(unix)]
mod crash;
mod days;
#[cfg(unix)]
mod deploy;
mod docs;
mod errors;
mod forged;
mod gateways;
mod generate;
mod laws;
mod observed;
mod oracle;
mod plain;
mod run;
mod settings;
mod show;
#[cfg(feature = "object-stores")]
mod stores;
#[cfg(unix)]
mod trust;
