//! All integration tests, as one binary.

mod cases;
mod generate;
mod oracle;
mod run;
