//! Owns server-sent events, as dumped from a stream: the value of each event is a line, the end of a stream another.
//! Names, numbers and comments of events frame them, as brackets frame a list, and are no items.

use super::values::Values;
use super::{Cutter, END_OF_STREAM};

/// Enough of a line to tell what it is.
const ENOUGH: usize = 16;
const FRAME: [&[u8]; 4] = [b"event:", b"id:", b"retry:", b":"];

#[derive(Default)]
pub struct Events {
    values: Values,
    /// The beginning of a line, until it is told what the line is.
    begin: Vec<u8>,
    line: Line,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Line {
    #[default]
    Untold,
    Data,
    Frame,
    /// No event's: an item by itself.
    Loose,
}

/// Whether a text looks like events.
pub fn begins(text: &[u8]) -> bool {
    text.starts_with(b"data:") || FRAME.iter().any(|field| text.starts_with(field))
}

impl Cutter for Events {
    fn cut(&mut self, bytes: &[u8], lines: &mut Vec<u8>) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            self.text(text, lines);
            if ends {
                self.line_end(lines);
            }
        }
    }

    fn end(&mut self, lines: &mut Vec<u8>) -> Result<(), &'static str> {
        if self.line != Line::Untold || !self.begin.is_empty() {
            self.line_end(lines);
        }
        self.values.end(lines)
    }
}

impl Events {
    fn text(&mut self, text: &[u8], lines: &mut Vec<u8>) {
        match self.line {
            Line::Untold => {
                let taken = text.len().min(ENOUGH - self.begin.len());
                self.begin.extend_from_slice(&text[..taken]);
                if self.begin.len() == ENOUGH {
                    self.tell(lines);
                    self.text(&text[taken..], lines);
                }
            }
            Line::Data => self.values.cut(text, lines),
            Line::Frame => {}
            Line::Loose => lines.extend(text.iter().filter(|byte| **byte >= b' ')),
        }
    }

    /// Says what the line is that has begun, and takes its beginning.
    fn tell(&mut self, lines: &mut Vec<u8>) {
        let begin = std::mem::take(&mut self.begin);
        if let Some(data) = begin.strip_prefix(b"data:") {
            self.line = Line::Data;
            if data.trim_ascii() == END_OF_STREAM {
                self.values.give_up(lines);
                lines.extend_from_slice(END_OF_STREAM);
                lines.push(b'\n');
            } else {
                self.values.cut(data, lines);
            }
        } else if FRAME.iter().any(|field| begin.starts_with(field)) {
            self.line = Line::Frame;
        } else {
            self.line = Line::Loose;
            self.values.give_up(lines);
            self.text(&begin, lines);
        }
    }

    fn line_end(&mut self, lines: &mut Vec<u8>) {
        if self.line == Line::Untold && self.begin.trim_ascii().is_empty() {
            // A blank line ends the event.
            self.begin.clear();
            return self.values.give_up(lines);
        }
        if self.line == Line::Untold {
            self.tell(lines);
        }
        match self.line {
            Line::Data => self.values.cut(b"\n", lines),
            Line::Loose => lines.push(b'\n'),
            Line::Frame | Line::Untold => {}
        }
        self.line = Line::Untold;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::container::testing;

    fn lines(input: &str) -> (String, bool) {
        testing::lines(|| Box::new(Events::default()), input.as_bytes())
    }

    #[test]
    fn each_event_is_a_line() {
        for (input, expected) in [
            ("data: {\"a\":1}\r\n\r\ndata: {\"b\":2}\r\n\r\n", "{\"a\":1}\n{\"b\":2}\n"),
            (": hi\nevent: message\nid: 1\ndata: {\ndata: \"a\": 1}\n\n", "{ \"a\": 1}\n"),
            ("data:{}\ndata:{}\ndata: [DONE]\n", "{}\n{}\n[DONE]\n"),
            ("data: {\"a\": \"cut\n\ndata: {}\n\n", "{\"a\": \"cut \n{}\n"),
            (
                "data: {}\n\n{\"error\": {\"code\": 500}}\nHTTP 500\n",
                "{}\n{\"error\": {\"code\": 500}}\nHTTP 500\n",
            ),
            ("data: {}", "{}\n"),
        ] {
            assert_eq!(lines(input), (expected.to_string(), false), "{input}");
        }
        assert!(lines("data: {\"a\": 1, \"b").1, "it ends within an item");
    }
}
