//! Owns what isn't a canonical line as it is: of an item of another shape, or of the parts of a request, a record is made and
//! judged as a line would be, and messages are in the words of the shape.

use super::{At, Reader};
use crate::error::Result;
use crate::memory::Memory;
use crate::read::Reading;
use crate::read::container::{Container, END_OF_STREAM, LONG_ROW, RAGGED_ROW};
use crate::read::lines::Block;
use crate::read::parts::{Before, Part};
use crate::read::shape::canonical::{self, Decoded};
use crate::read::shape::record::Record;
use crate::read::shape::value::Value;
use crate::read::shape::{Item, NotRequest, Shape};
use crate::read::stream::Stream;
use crate::suspense::Refusal;
use crate::types::reason::Reason;
use crate::types::request::Request;

impl Reader<'_, '_> {
    /// Reads a line of a shape that isn't the canonical one as it is.
    pub(super) fn read_items(&mut self, line: &[u8], block: &Block, reading: Reading, number: u64) -> u64 {
        let Reading { container, shape, is_row } = reading;
        let row_refused = match line {
            END_OF_STREAM => {
                self.parts.end_stream();
                self.thread.records.blank += 1;
                return number;
            }
            RAGGED_ROW => Some((Reason::MalformedJson, "the row has more or fewer cells than the header")),
            LONG_ROW => Some((Reason::LineTooLong, "the row is longer than --max-line")),
            _ => None,
        };
        if let Some((reason, detail)) = row_refused {
            self.refuse(block.into(), number, Refusal::of_line(reason, detail));
            return number;
        }
        let value = match is_row {
            true => Value::read_row(line, &shape.fields, shape.cells),
            false => Value::read_opening(line, &shape.fields, shape.cells),
        };
        let value = match value {
            Ok(value) => value,
            Err(refusal) => {
                self.refuse(block.into(), number, refusal);
                return number;
            }
        };
        if !shape.is_own(&value) {
            let refusal = Refusal::of_line(Reason::OtherShape, of_other_shape(line, is_row));
            self.refuse(block.into(), number, refusal);
            return number;
        }
        let mut items = std::mem::take(&mut self.items);
        shape.read_item(&value, &mut items);
        if items.list.is_empty() {
            items.not_request(NotRequest::Event);
        }
        let mut last = number - 1;
        for item in items.list.drain(..) {
            last += 1;
            match item {
                Item::Request(record) => self.judge(&record, block.into(), last, Some(shape)),
                Item::Part(None, record) if container != Container::Sse => {
                    self.judge(&record, block.into(), last, Some(shape));
                }
                Item::Part(id, record) => {
                    match self.parts.add(id, Part { record, block: block.index, line: last }) {
                        Before::None => {}
                        Before::Same => self.thread.records.duplicates += 1,
                        Before::Superseded => self.thread.records.superseded += 1,
                    }
                }
                Item::NotRequest(kind) => {
                    *self.thread.records.not_requests.entry(kind.name()).or_default() += 1;
                }
                Item::Refused(reason, detail, known) => {
                    self.refuse_knowing(block.into(), last, Refusal::of_line(reason, detail), &known);
                }
            }
        }
        self.items = items;
        last
    }

    /// Judges the requests of an input that came in parts, now that it has ended.
    pub(in crate::pipeline) fn end_parts(&mut self, stream: &Stream, memory: &Memory) -> Result<()> {
        self.turn_to(stream.input());
        for Part { record, block, line } in self.parts.take() {
            let at = At { input: stream.input(), block };
            self.judge(&record, at, line, stream.shape());
            self.spill_if_full(memory)?;
        }
        Ok(())
    }

    fn judge(&mut self, record: &Record, at: At, number: u64, shape: Option<&Shape>) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        record.write(&mut text);
        let mut decoded = self.decoder.decode(text.as_bytes());
        match (&mut decoded, shape) {
            (Decoded::Request(request), Some(shape)) => request.facts.shape = shape.name,
            (Decoded::Refused(refusal), Some(shape)) => {
                refusal.detail = shape.in_own_words(std::mem::take(&mut refusal.detail), refusal.reason);
            }
            _ => {}
        }
        self.take(decoded, at, number, Some(record));
        self.text = text;
    }

    /// Refuses an item with what is `known` of it, as the decoder reads that.
    fn refuse_knowing(&mut self, at: At, number: u64, refusal: Refusal<'_>, known: &Record) {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        known.write(&mut text);
        let Refusal { reason, detail, .. } = refusal;
        let refusal = match self.decoder.decode(text.as_bytes()) {
            Decoded::Refused(read) => Refusal { reason, detail, ..*read },
            Decoded::Request(Request { at, request_id, facts, .. }) => {
                let (project_id, model) = (Some(facts.project_id), Some(facts.model));
                Refusal { reason, detail, at: Some(at), request_id, project_id, model }
            }
            Decoded::NotRequest(_) => Refusal::of_line(reason, detail),
        };
        self.refuse(at, number, refusal);
        self.text = text;
    }
}

/// A line that the canonical record refuses may be of another shape; that it lacks a field says nothing then.
pub(super) fn told_apart<'line>(decoded: Decoded<'line>, line: &[u8]) -> Decoded<'line> {
    match decoded {
        Decoded::Refused(refusal) if refusal.reason >= Reason::MissingField => {
            match Value::sketch(line, false).ok().and_then(|sketch| Shape::tell(&sketch)) {
                Some(shape) if shape.name != canonical::SHAPE.name => {
                    let refusal = Refusal::of_line(Reason::OtherShape, of_other_shape(line, false));
                    Decoded::Refused(Box::new(refusal))
                }
                _ => Decoded::Refused(refusal),
            }
        }
        decoded => decoded,
    }
}

/// What a message says of an item that isn't of its input's shape.
fn of_other_shape(line: &[u8], is_row: bool) -> String {
    let Ok(sketch) = Value::sketch(line, is_row) else {
        return "the item is of another shape".to_string();
    };
    match Shape::tell(&sketch) {
        Some(shape) => format!("the item is one of {}", shape.title),
        None => format!("the item is {}; no shape has that", sketch.described()),
    }
}
