//! Owns the containers: how items lie in an input. Every container but JSONL and Parquet is turned into lines, one item
//! each, while it streams, so that all of them are cut, bounded, shared among threads and numbered alike. What an item
//! means is for `shape`.

mod csv;
pub mod parquet;
pub mod rows;
mod sse;
mod values;

use serde::de::IgnoredAny;

use crate::types::tier::words;

words! {
    /// How the items of an input are told apart.
    Container {
        Jsonl = "jsonl",
        Json = "json",
        Sse = "sse",
        Csv = "csv",
        Parquet = "parquet",
    }
}

/// With which a Parquet file begins.
pub const MAGIC_OF_PARQUET: &[u8; 4] = b"PAR1";
/// How much of an input is looked at to tell its container.
pub const HEAD: usize = 64 << 10;
/// In the place of an item: the end of a stream of server-sent events.
pub const END_OF_STREAM: &[u8] = b"[DONE]";
/// In the place of an item: a row that has more or fewer cells than the header. No JSON begins so.
pub const RAGGED_ROW: &[u8] = b"\x01";
/// In the place of an item: a row longer than is read.
pub const LONG_ROW: &[u8] = b"\x02";

/// Turns the bytes of a container into lines.
pub trait Cutter: Send {
    /// Takes the next bytes, and gives the lines that they hold.
    fn cut(&mut self, bytes: &[u8], lines: &mut Vec<u8>);

    /// Takes the end of the input. The error says that it came too early.
    fn end(&mut self, lines: &mut Vec<u8>) -> Result<(), &'static str>;
}

impl Container {
    /// As its page says it.
    pub fn meaning(self) -> &'static str {
        match self {
            Container::Jsonl => "one JSON value a line",
            Container::Json => "a JSON list, or JSON objects one after the other, over any lines",
            Container::Sse => "server-sent events: `data: {…}`, `[DONE]`",
            Container::Csv => "rows under a header, with commas; cells may hold line breaks and JSON",
            Container::Parquet => {
                "rows of typed columns; no stdin, and unpacked; columns that nobody reads cost nothing"
            }
        }
    }

    /// Tells it from the first bytes, the byte order mark off.
    pub fn tell(head: &[u8]) -> Container {
        let start = head.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(head.len());
        let text = &head[start..];
        match text.first() {
            Some(b'{' | b'[') => tell_json(text),
            Some(_) if head.starts_with(MAGIC_OF_PARQUET) => Container::Parquet,
            Some(_) if sse::begins(text) => Container::Sse,
            Some(_) if csv::begins(text) => Container::Csv,
            _ => Container::Jsonl,
        }
    }

    /// None where items are lines already.
    pub fn cutter(self, max_line: usize) -> Option<Box<dyn Cutter>> {
        match self {
            Container::Jsonl | Container::Parquet => None,
            Container::Json => Some(Box::new(values::Values::default())),
            Container::Sse => Some(Box::new(sse::Events::default())),
            Container::Csv => Some(Box::new(csv::Rows::new(max_line))),
        }
    }
}

/// Appends a text as JSON. What isn't UTF-8 stays so, and is refused where the item is read.
fn write_text(text: &[u8], lines: &mut Vec<u8>) {
    lines.push(b'"');
    // Nearly every text is: all of it is looked at in a few steps.
    let is_plain = |plain: bool, byte: &u8| plain & !matches!(byte, b'"' | b'\\' | 0..=0x1f);
    if text.iter().fold(true, is_plain) {
        lines.extend_from_slice(text);
    } else {
        write_escaped(text, lines);
    }
    lines.push(b'"');
}

fn write_escaped(text: &[u8], lines: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'"' => lines.extend_from_slice(b"\\\""),
            b'\\' => lines.extend_from_slice(b"\\\\"),
            b'\n' => lines.extend_from_slice(b"\\n"),
            0..=0x1f => lines.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            byte => lines.push(byte),
        }
    }
}

/// JSONL, unless the first value goes over a line or does not fill one.
fn tell_json(text: &[u8]) -> Container {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    let first = values.next();
    let end = values.byte_offset();
    let line_end = memchr::memchr(b'\n', text).unwrap_or(text.len());
    let next = |from: usize| text[from..].iter().copied().find(|byte| !byte.is_ascii_whitespace());
    let is_list = text[0] == b'[';
    let json = match first {
        // A list that is a line among others is an item.
        Some(Ok(_)) if is_list => {
            let of_objects = matches!(next(1), Some(b'{' | b']'));
            end > line_end || of_objects && next(line_end).is_none()
        }
        Some(Ok(_)) => {
            let after = text[end..line_end.max(end)].iter().find(|byte| !byte.is_ascii_whitespace());
            end > line_end || matches!(after, Some(b'{' | b','))
        }
        Some(Err(error)) if error.is_eof() => is_list || line_end < text.len(),
        // Broken within: where whole lines or lists of objects begin so, it isn't JSONL.
        _ if is_list => next(1) == Some(b'{') || text[1..line_end].trim_ascii().is_empty(),
        _ => text[..line_end].trim_ascii() == b"{",
    };
    if json && (is_list || !are_objects(&text[line_end..])) { Container::Json } else { Container::Jsonl }
}

/// Whether most of the whole lines that follow the first one are objects: then that one is only a bad line.
fn are_objects(lines: &[u8]) -> bool {
    let (mut objects, mut others) = (0, 0);
    for line in lines.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
        let line = line.trim_ascii();
        if line.starts_with(b"{") && serde_json::from_slice::<IgnoredAny>(line).is_ok() {
            objects += 1;
        } else if !line.is_empty() {
            others += 1;
        }
    }
    objects > others
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_told_by_its_first_bytes() {
        for (head, container) in [
            ("", Container::Jsonl),
            ("{\"a\":1}\n{\"b\":2}\n", Container::Jsonl),
            ("{\"a\":1}", Container::Jsonl),
            ("\n\n{\"a\":1}\n", Container::Jsonl),
            ("{\"a\":\n{\"b\":2}\n{\"b\":2}\n", Container::Jsonl),
            ("{\"a\":1}{\"b\":\n\n{\"b\":2}\n", Container::Jsonl),
            ("{\"a\":1}{\"b\":\n2}\n{\"b\":2}\n", Container::Json),
            ("{\"a\": \"cut o", Container::Jsonl),
            ("[1]\n{\"a\":1}\n", Container::Jsonl),
            ("[{\"a\":1}]\n[{\"b\":1}]\n", Container::Jsonl),
            ("[1,2]\n", Container::Jsonl),
            ("no JSON at all\n", Container::Jsonl),
            ("[{\"a\":1},{\"b\":1}]\n", Container::Json),
            ("[{\"a\":1},", Container::Json),
            ("[\n{\"a\":1}\n]", Container::Json),
            ("[{\"a\":NaN}]", Container::Json),
            ("{\n  \"a\": 1\n}\n{\n  \"a\": 2\n}\n", Container::Json),
            ("{\n  \"a\": 1,\n  \"b", Container::Json),
            ("{\n  \"a\": NaN\n}\n", Container::Json),
            ("{\"a\":1}{\"b\":2}", Container::Json),
            ("{\"a\":1},\n{\"b\":2},\n", Container::Json),
            ("data: {\"a\":1}\n\n", Container::Sse),
            (": hello\nid: 7\ndata:{}\n\n", Container::Sse),
            ("event: message\ndata: {}\n", Container::Sse),
            ("id,model\n1,x\n", Container::Csv),
            ("\"id\",\"model\"\n", Container::Csv),
            ("\"a text\"\n", Container::Jsonl),
        ] {
            assert_eq!(Container::tell(head.as_bytes()), container, "{head}");
        }
    }
}

#[cfg(test)]
pub mod testing {
    use super::Cutter;

    /// The lines that a cutter makes of an input, whole and cut anywhere; and whether it ended too early.
    pub fn lines(new: impl Fn() -> Box<dyn Cutter>, input: &[u8]) -> (String, bool) {
        let cut_by = |step: usize| {
            let (mut cutter, mut lines) = (new(), Vec::new());
            for bytes in input.chunks(step) {
                cutter.cut(bytes, &mut lines);
            }
            let early = cutter.end(&mut lines).is_err();
            (String::from_utf8(lines).expect("UTF-8"), early)
        };
        let whole = cut_by(input.len().max(1));
        for step in 1..8 {
            assert_eq!(cut_by(step), whole, "cut by {step}");
        }
        whole
    }
}
