//! Owns an input being read, whatever its container: blocks of lines, one after the other.

use std::sync::Arc;

use super::container::Container;
use super::container::parquet::{Rows, is_parquet};
use super::lines::{Block, Lines};
use super::shape::Shape;
use super::{Input, Progress, Settings};
use crate::error::{Error, Result};
use crate::types::origin::{InputId, InputSummary};

/// An input, or a part of one, that one thread at a time takes blocks from.
pub enum Stream {
    Lines(Lines),
    Rows(Rows),
}

impl Stream {
    /// Opens an input in at most `parts` parts, which threads may read at the same time.
    pub fn open(
        id: InputId,
        input: &Input,
        settings: &Settings,
        parts: usize,
        progress: Arc<Progress>,
    ) -> Result<Vec<Stream>> {
        let name = input.name.clone();
        let forced = settings.container == Some(Container::Parquet);
        match input.path() {
            Some(path) if forced || settings.container.is_none() && is_parquet(path) => {
                let rows = Rows::open(id, name, path, settings, parts, progress)?;
                Ok(rows.into_iter().map(Stream::Rows).collect())
            }
            None if forced => Err(Error::usage("--container parquet: the standard input can't be read so")
                .hint("the end of a Parquet file says what is in it; write it to a file")),
            _ => Ok(vec![Stream::Lines(Lines::open(id, name, input.open()?, settings, progress)?)]),
        }
    }

    pub fn input(&self) -> InputId {
        match self {
            Stream::Lines(lines) => lines.input(),
            Stream::Rows(rows) => rows.input(),
        }
    }

    pub fn shape(&self) -> Option<&'static Shape> {
        match self {
            Stream::Lines(lines) => lines.shape(),
            Stream::Rows(rows) => rows.shape(),
        }
    }

    /// Its items must be read in their order, by one thread.
    pub fn is_in_order(&self) -> bool {
        self.shape().is_some_and(|shape| shape.merges)
    }

    /// Fills `block` with the next lines; false at the end.
    pub fn next(&mut self, block: &mut Block) -> Result<bool> {
        match self {
            Stream::Lines(lines) => lines.next(block),
            Stream::Rows(rows) => rows.next(block),
        }
    }

    /// What is known of the input after its last block; None from all its parts but one.
    pub fn finish(self, lines: u64) -> Result<Option<InputSummary>> {
        match self {
            Stream::Lines(read) => read.finish(lines).map(Some),
            Stream::Rows(rows) => rows.finish(lines),
        }
    }
}
