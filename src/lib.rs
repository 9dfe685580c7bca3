//! rerate rebuilds from exported Gemini API request logs what was used, how much quota it took and what it cost, per
//! model and per tier, and publishes it by Pacific day, exact to the last pico-dollar. This page is the architecture.
//!
//! **Rating is linear: sum first, price last.** A charge is quantity × price, and a price depends only on a few facts of
//! a request. So the hot path decodes, deduplicates and adds integers into small keyed tables; books are applied to those
//! afterwards. Sums merge by addition, in any order, to the same bytes: threads and files need nothing more.
//!
//! ```text
//! logs ─read─▶ requests ─┬─▶ deal ──▶ shards ║ ─settle─▶ doubled ─take back─┬─▶ Tally ───charge──▶ charges ─┐
//!   │              │     └─▶ guide (usage tier, day, band) ──▶ sums ─────────┴─▶ Traffic ─measure─▶ quota ───┼─balance─▶ publish
//!   └──────────────┴────── suspense ──────────────────┴──────────────────────────────── suspense ─────────────┘
//!           books: prices · limits · models · aliases · allowances · tiers · outcomes · methods · accounts
//! ```
//!
//! What depends on earlier days (storage of caches, free allowances, credits, accounts) comes after the sums: [`walk`] goes
//! through the days in order, each with what the one before handed on, and publishes that beside the day's tables.
//!
//! Boxes are types, arrows are files. Every noun that passes between stages lives in [`types`]; [`pipeline`] alone sees
//! all stages.
//!
//! | part | owns | must not |
//! | --- | --- | --- |
//! | [`types`] | nouns: instants and days, meters, tiers, requests, cells, money | know a stage, a book, a file |
//! | [`books`] | facts with a day and a citation, the accounts file | know a request's tokens |
//! | [`read`] | inputs, object stores, unpacking, containers, strict JSON, shapes | judge what a request costs or counts |
//! | [`mediate`] | which record of an identity counts | know a price, a limit, a day |
//! | [`arena`] | the chunks of memory that rows and arrivals are written to | know what stands in them, how much may stay |
//! | [`memory`] | how much of what was read stands in memory, the temporary file for the rest | know what the bytes are |
//! | [`tally`] | the hot loop beside reading: guided requests into cells and series, and back | know a price |
//! | `arrivals` | when requests came, and with how many tokens, in eight bytes each | know what is made of them |
//! | [`cells`], [`traffic`] | a day's cells and traffic in the temporary file | judge a request |
//! | [`charge`] | one function per charging rule (C1 to C11) | know a price that isn't in a book, touch a float |
//! | [`walk`] | days in order, what each hands on to the next | look at a request, decide a rule |
//! | [`quota`] | use of quota against limits (Q1 to Q9) | know a price |
//! | [`evidence`] | warnings: what speaks against the books | decide a charge |
//! | [`suspense`] | lines held back, with their reason | keep text of a line |
//! | [`balance`] | the two equations | let anything pass |
//! | [`report`] | tables: columns, meaning, order | write a file |
//! | [`publish`] | staging, never less, the lock, the swap, manifests | change a figure |
//! | [`query`] | published days read back: tables, groups, checked sums | write, take a folder without a manifest for a day |
//! | [`cli`] | commands, flags, settings, screen, metrics, exit codes | know a rule |
//! | `caches` | asking for memory ahead, telling whether another core's caches are far, writing past them | know what for |
//! | [`near`] | the nearest known word to a slip | know which words there are |
//! | [`error`] | the error that ends a run | tell what a line lacks: that is suspense |
//! | [`generate`] | synthetic logs from a seed | know a price, write a file |
//!
//! **Invariants**
//! - Every line read is accounted for once: lines = blank + not_requests + suspended + duplicates + superseded +
//!   outside_window + requests. Every quantity is charged or suspended once. [`balance`] refuses to go on otherwise.
//! - Money is an integer number of pico-dollars, added and multiplied with checks. What can't be priced is in suspense,
//!   never 0.
//! - A day is a function of its own requests, the accounts file and what the day before handed on, and of nothing else.
//! - Figures depend on the records alone: not on the order of files, lines and threads, nor on how an input is packed.
//! - The library never prints, reads no environment and never exits; that is for the command line.

pub mod arena;
mod arrivals;
pub mod balance;
pub mod books;
mod caches;
pub mod cells;
pub mod charge;
pub mod cli;
pub mod error;
pub mod evidence;
pub mod generate;
pub mod mediate;
pub mod memory;
pub mod near;
pub mod pipeline;
pub mod publish;
pub mod query;
pub mod quota;
pub mod read;
pub mod report;
pub mod suspense;
pub mod tally;
pub mod traffic;
pub mod types;
pub mod walk;
