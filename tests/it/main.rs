//! All integration tests, as one binary.

mod cases;
mod oracle;
mod run;
mod show;
