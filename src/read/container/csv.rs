//! Owns CSV: each row is a line, an object of the header's names and the row's cells, all of them texts. Empty cells are
//! missing. Rows are bounded like lines; a quote that never closes costs no more memory than they do.

use csv_core::{ReadRecordResult, Reader};

use super::{Cutter, LONG_ROW, RAGGED_ROW, write_text};

/// More columns than any export has.
const MOST_COLUMNS: usize = 1 << 12;

pub struct Rows {
    reader: Reader,
    max_line: usize,
    header: Option<Vec<Vec<u8>>>,
    cells: Vec<u8>,
    cells_end: usize,
    ends: Vec<usize>,
    ends_end: usize,
    too_long: bool,
    /// Whether quotes so far make pairs: a row in which they don't isn't at its end.
    quotes_pair: bool,
    begun: bool,
}

/// Whether a text looks like a header: names that are all there and differ.
pub fn begins(text: &[u8]) -> bool {
    let mut rows = Rows::new(text.len());
    let line_end = memchr::memchr(b'\n', text).map_or(text.len(), |end| end + 1);
    let mut lines = Vec::new();
    rows.cut(&text[..line_end], &mut lines);
    if line_end == text.len() {
        let _ = rows.end(&mut lines);
    }
    let Some(header) = rows.header else { return false };
    let named = |(place, name): (usize, &Vec<u8>)| {
        !name.is_empty()
            && name.len() <= 200
            && std::str::from_utf8(name).is_ok()
            && !header[..place].contains(name)
    };
    header.len() > 1 && header.iter().enumerate().all(named)
}

impl Rows {
    pub fn new(max_line: usize) -> Rows {
        Rows {
            reader: Reader::new(),
            max_line,
            header: None,
            cells: vec![0; 1 << 12],
            cells_end: 0,
            ends: vec![0; 64],
            ends_end: 0,
            too_long: false,
            quotes_pair: true,
            begun: false,
        }
    }

    /// Reads on; `at_end` the input has no more bytes.
    fn read(&mut self, mut bytes: &[u8], at_end: bool, lines: &mut Vec<u8>) {
        // Without bytes the reader would take it for the end.
        while at_end || !bytes.is_empty() {
            let (result, taken, cells, ends) = self.reader.read_record(
                bytes,
                &mut self.cells[self.cells_end..],
                &mut self.ends[self.ends_end..],
            );
            let quotes = memchr::memchr_iter(b'"', &bytes[..taken]).count();
            self.quotes_pair ^= quotes % 2 == 1;
            self.begun |= taken > 0;
            bytes = &bytes[taken..];
            self.cells_end += cells;
            self.ends_end += ends;
            match result {
                ReadRecordResult::InputEmpty | ReadRecordResult::End => return,
                ReadRecordResult::OutputFull if self.cells.len() > self.max_line => {
                    (self.too_long, self.cells_end) = (true, 0);
                }
                ReadRecordResult::OutputFull => self.cells.resize(self.cells.len() * 2, 0),
                ReadRecordResult::OutputEndsFull if self.ends.len() >= MOST_COLUMNS => {
                    (self.too_long, self.ends_end) = (true, 0);
                }
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => self.row(lines),
            }
        }
    }

    fn row(&mut self, lines: &mut Vec<u8>) {
        let starts = [0].into_iter().chain(self.ends[..self.ends_end].iter().copied());
        let cells = starts.zip(&self.ends[..self.ends_end]).map(|(start, &end)| self.cells.get(start..end));
        match &self.header {
            _ if self.too_long => lines.extend_from_slice(LONG_ROW),
            None => self.header = Some(cells.map(|cell| cell.unwrap_or_default().to_vec()).collect()),
            Some(header) if header.len() != self.ends_end => lines.extend_from_slice(RAGGED_ROW),
            Some(header) => {
                let start = lines.len();
                for (name, cell) in header.iter().zip(cells) {
                    let cell = cell.unwrap_or_default();
                    if !cell.is_empty() {
                        lines.push(if lines.len() == start { b'{' } else { b',' });
                        write_text(name, lines);
                        lines.push(b':');
                        write_text(cell, lines);
                    }
                }
                lines.extend_from_slice(if lines.len() == start { b"{}" } else { b"}" });
            }
        }
        if !lines.is_empty() && lines.last() != Some(&b'\n') {
            lines.push(b'\n');
        }
        (self.cells_end, self.ends_end, self.too_long) = (0, 0, false);
        (self.quotes_pair, self.begun) = (true, false);
    }
}

impl Cutter for Rows {
    fn cut(&mut self, bytes: &[u8], lines: &mut Vec<u8>) {
        self.read(bytes, false, lines);
    }

    fn end(&mut self, lines: &mut Vec<u8>) -> Result<(), &'static str> {
        if self.begun && !self.quotes_pair {
            return Err("the input ends within a quoted cell");
        }
        self.read(&[], true, lines);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::container::testing;

    fn lines(input: &str) -> (String, bool) {
        testing::lines(|| Box::new(Rows::new(60)), input.as_bytes())
    }

    #[test]
    fn each_row_is_a_line() {
        for (input, expected) in [
            ("a,b\n", ""),
            ("a,b\r\n1,\r\n\r\n,\"x\"\"y\nz\\\"", "{\"a\":\"1\"}\n{\"b\":\"x\\\"y\\nz\\\\\"}\n"),
            ("a,b\n,\n1\n1,2,3\n1,2", "{}\n\u{1}\n\u{1}\n{\"a\":\"1\",\"b\":\"2\"}\n"),
        ] {
            assert_eq!(lines(input), (expected.to_string(), false), "{input}");
        }
    }

    #[test]
    fn a_row_is_bounded() {
        let long = format!("a,b\n{},1\n2,3\n", "x".repeat(100_000));
        assert_eq!(lines(&long), ("\u{2}\n{\"a\":\"2\",\"b\":\"3\"}\n".to_string(), false));
        assert!(lines("a,b\n1,2\n3,\"4\n5,6\n").1, "a quote that never closes");
    }
}
