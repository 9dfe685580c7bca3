//! Owns merging the chunks of one request before anything else looks at it: those of one input, in its order. What two
//! whole records of one request come to is for `mediate`.

use std::collections::HashMap;

use super::shape::record::Record;

/// The requests of an input whose chunks may still come.
#[derive(Debug, Default)]
pub struct Parts {
    open: Vec<Part>,
    by_id: HashMap<Box<str>, usize>,
    /// The request of the stream that is under way, whose chunks have no id.
    stream: Option<usize>,
}

/// A request, as far as its chunks have come.
#[derive(Debug)]
pub struct Part {
    pub record: Record,
    /// Of its last chunk.
    pub block: u32,
    pub line: u64,
}

/// What a chunk is to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// There is none.
    None,
    /// It says the same.
    Same,
    Superseded,
}

impl Parts {
    /// Takes a chunk; of the stream that is under way when it has no id.
    pub fn add(&mut self, id: Option<Box<str>>, part: Part) -> Before {
        let place = match &id {
            Some(id) => self.by_id.get(id).copied(),
            None => self.stream,
        };
        let Some(place) = place else {
            self.open.push(part);
            let place = self.open.len() - 1;
            match id {
                Some(id) => drop(self.by_id.insert(id, place)),
                None => self.stream = Some(place),
            }
            return Before::None;
        };
        let own = &mut self.open[place];
        let same = own.record == part.record;
        own.record.merge(part.record);
        (own.block, own.line) = (part.block, part.line);
        if same { Before::Same } else { Before::Superseded }
    }

    /// A chunk without an id is of another stream from here on.
    pub fn end_stream(&mut self) {
        self.stream = None;
    }

    /// At the end of the input: all requests, in the order of their first chunks.
    pub fn take(&mut self) -> Vec<Part> {
        std::mem::take(self).open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_an_id_are_one_request_wherever_they_lie() {
        let part = |model: &str, line| {
            let mut record = Record::default();
            record.set_text("model", model);
            Part { record, block: 0, line }
        };
        let mut parts = Parts::default();
        let id = |id: &str| Some(id.into());
        assert_eq!(parts.add(id("a"), part("x", 1)), Before::None);
        assert_eq!(parts.add(None, part("y", 2)), Before::None);
        assert_eq!(parts.add(id("a"), part("x", 3)), Before::Same);
        assert_eq!(parts.add(None, part("z", 4)), Before::Superseded);
        parts.end_stream();
        assert_eq!(parts.add(None, part("z", 5)), Before::None);
        let lines: Vec<u64> = parts.take().iter().map(|part| part.line).collect();
        assert_eq!(lines, [3, 4, 5]);
        assert_eq!(parts.add(id("a"), part("x", 6)), Before::None, "another input");
    }
}
