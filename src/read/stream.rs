//! Owns an input being read, whatever its container: blocks of lines, one after the other.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use super::container::parquet::{Rows, Stored, is_parquet};
use super::container::{Container, MAGIC_OF_PARQUET};
use super::gz::Ahead;
use super::lines::{Block, Lines, Who, cannot_read};
use super::settings::Settings;
use super::shape::Shape;
use super::{Input, Place, Progress};
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
        let (told, forced) = (settings.container.is_none(), settings.container == Some(Container::Parquet));
        let rows = |stored: Stored| {
            let rows = Rows::open(id, name.clone(), stored, settings, parts, progress.clone())?;
            Ok(rows.into_iter().map(Stream::Rows).collect())
        };
        let source: Box<dyn Read + Send> = match &input.place {
            Place::Stdin if forced => {
                return Err(Error::usage("--container parquet: the standard input can't be read so")
                    .hint("the end of a Parquet file says what is in it; write it to a file"));
            }
            Place::Stdin => Box::new(std::io::stdin()),
            Place::File(path) if forced || told && is_parquet(path) => return rows(Stored::file(path)),
            Place::File(path) => Box::new(File::open(path).map_err(|error| Error::io("read", path, &error))?),
            Place::Object(object) if forced => return rows(Stored::object(object)),
            Place::Object(object) => {
                // Of what is named like Parquet no more is asked for than tells whether it is.
                let first = if name.ends_with(".parquet") { MAGIC_OF_PARQUET.len() as u64 } else { u64::MAX };
                let mut reader = object.open(first);
                if told && reader.begins_with(MAGIC_OF_PARQUET).map_err(|error| cannot_read(&name, &error))? {
                    return rows(Stored::object(object));
                }
                Box::new(reader)
            }
        };
        Ok(vec![Stream::Lines(Lines::open(id, name.clone(), source, settings, progress.clone())?)])
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

    /// Only one thread at a time can read of it, while others wait for blocks. Parts of a Parquet file are read apart.
    pub fn is_shared(&self) -> bool {
        matches!(self, Stream::Lines(_))
    }

    /// What comes next is unpacked out of what came last, much of which is near the thread that did.
    pub fn refers_back(&self) -> bool {
        matches!(self, Stream::Lines(lines) if lines.refers_back())
    }

    /// What other threads may read of it meanwhile.
    pub fn ahead(&self) -> Option<Arc<Ahead>> {
        match self {
            Stream::Lines(lines) => lines.ahead(),
            Stream::Rows(_) => None,
        }
    }

    /// Fills `block` with the next lines, for whom it says; false at the end.
    pub fn next(&mut self, block: &mut Block, who: Who) -> Result<bool> {
        match self {
            Stream::Lines(lines) => lines.next(block, who),
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
