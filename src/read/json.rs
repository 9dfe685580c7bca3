//! Owns strict JSON: one pass over the bytes of a line that is already known to be UTF-8. Gives values as they lie in
//! the line and refuses whatever RFC 8259 does, a lone surrogate and a depth over 128 as well. Knows no field.

use std::borrow::Cow;

/// How deep objects and arrays may lie in each other.
const DEEPEST: usize = 128;

/// The line isn't valid JSON.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

type Result<T> = std::result::Result<T, Malformed>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Object,
    Array,
    String,
    Number,
    Bool,
    Null,
}

impl Kind {
    /// As a message says it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Object => "an object",
            Kind::Array => "a list",
            Kind::String => "a string",
            Kind::Number => "a number",
            Kind::Bool => "true or false",
            Kind::Null => "null",
        }
    }
}

/// A place in a line.
pub struct Json<'line> {
    text: &'line str,
    bytes: &'line [u8],
    at: usize,
    depth: usize,
}

impl<'line> Json<'line> {
    pub fn new(text: &'line str) -> Json<'line> {
        Json { text, bytes: text.as_bytes(), at: 0, depth: 0 }
    }

    /// The kind of the value that comes next.
    pub fn kind(&mut self) -> Result<Kind> {
        self.space();
        match self.peek() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            _ => Err(Malformed),
        }
    }

    /// Reads an object. `member` is called at each value with its key, and must read it.
    pub fn object(&mut self, mut member: impl FnMut(&mut Self, &str) -> Result<()>) -> Result<()> {
        self.open(b'{')?;
        if !self.close(b'}') {
            loop {
                self.space();
                let key = self.string()?;
                self.space();
                self.expect(b':')?;
                member(self, &key)?;
                if !self.comma(b'}')? {
                    break;
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads an array. `item` is called at each value, and must read it.
    pub fn array(&mut self, mut item: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.open(b'[')?;
        if !self.close(b']') {
            loop {
                item(self)?;
                if !self.comma(b']')? {
                    break;
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads a string: borrowed where it has no escapes.
    pub fn string(&mut self) -> Result<Cow<'line, str>> {
        self.expect(b'"')?;
        let start = self.at;
        let end = self.plain_end()?;
        if self.bytes[end] == b'"' {
            self.at = end + 1;
            return Ok(Cow::Borrowed(&self.text[start..end]));
        }
        self.at = start;
        self.unescape().map(Cow::Owned)
    }

    /// Reads a number as it is written.
    pub fn number(&mut self) -> Result<&'line str> {
        self.space();
        let start = self.at;
        self.take(b'-');
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(Malformed),
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    /// Reads `true` or `false`.
    pub fn is_true(&mut self) -> Result<bool> {
        let is = self.kind()? == Kind::Bool && self.peek() == Some(b't');
        self.skip().map(|()| is)
    }

    /// Reads any value and leaves it, its validity proved.
    pub fn skip(&mut self) -> Result<()> {
        match self.kind()? {
            Kind::Object => self.object(|json, _| json.skip()),
            Kind::Array => self.array(Json::skip),
            Kind::String => self.skip_string(),
            Kind::Number => self.number().map(|_| ()),
            Kind::Bool if self.peek() == Some(b't') => self.word(b"true"),
            Kind::Bool => self.word(b"false"),
            Kind::Null => self.word(b"null"),
        }
    }

    /// After the one value of the line only space may come.
    pub fn end(&mut self) -> Result<()> {
        self.space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(Malformed) }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.take(byte) { Ok(()) } else { Err(Malformed) }
    }

    fn word(&mut self, word: &[u8]) -> Result<()> {
        if self.bytes[self.at..].starts_with(word) {
            self.at += word.len();
            return Ok(());
        }
        Err(Malformed)
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.peek() {
            self.at += 1;
        }
    }

    fn digits(&mut self) -> Result<()> {
        let count = self.bytes[self.at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        if count > 0 { Ok(()) } else { Err(Malformed) }
    }

    fn open(&mut self, bracket: u8) -> Result<()> {
        self.space();
        self.expect(bracket)?;
        self.depth += 1;
        if self.depth > DEEPEST { Err(Malformed) } else { Ok(()) }
    }

    fn close(&mut self, bracket: u8) -> bool {
        self.space();
        self.take(bracket)
    }

    /// After a member or an item: whether another one comes.
    fn comma(&mut self, bracket: u8) -> Result<bool> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == bracket => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(Malformed),
        }
    }

    /// Where the plain part of a string ends, at a quote or a backslash. Most of a log's bytes are in strings, so
    /// eight are looked at in one step.
    fn plain_end(&self) -> Result<usize> {
        let mut at = self.at;
        while let Some(chunk) = self.bytes.get(at..at + 8) {
            let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
            let special = special_bytes(word);
            if special != 0 {
                at += special.trailing_zeros() as usize / 8;
                break;
            }
            at += 8;
        }
        loop {
            match self.bytes.get(at) {
                Some(b'"' | b'\\') => return Ok(at),
                Some(0x20..) => at += 1,
                _ => return Err(Malformed),
            }
        }
    }

    fn skip_string(&mut self) -> Result<()> {
        self.expect(b'"')?;
        loop {
            self.at = self.plain_end()?;
            if self.take(b'"') {
                return Ok(());
            }
            self.escape()?;
        }
    }

    fn unescape(&mut self) -> Result<String> {
        let mut text = String::new();
        loop {
            let start = self.at;
            self.at = self.plain_end()?;
            text.push_str(&self.text[start..self.at]);
            if self.take(b'"') {
                return Ok(text);
            }
            text.push(self.escape()?);
        }
    }

    /// Reads a backslash and what it stands for.
    fn escape(&mut self) -> Result<char> {
        self.expect(b'\\')?;
        let byte = self.peek().ok_or(Malformed)?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.hex()?;
                let code = match unit {
                    0xd800..=0xdbff => {
                        self.word(b"\\u")?;
                        let low = self.hex()?;
                        if !(0xdc00..=0xdfff).contains(&low) {
                            return Err(Malformed);
                        }
                        0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                    }
                    unit => unit,
                };
                char::from_u32(code).ok_or(Malformed)?
            }
            _ => return Err(Malformed),
        })
    }

    fn hex(&mut self) -> Result<u32> {
        let digits = self.bytes.get(self.at..self.at + 4).ok_or(Malformed)?;
        self.at += 4;
        digits.iter().try_fold(0, |code, &digit| {
            char::from(digit).to_digit(16).map(|value| code * 16 + value).ok_or(Malformed)
        })
    }
}

/// Of eight bytes: the high bit of each that is a quote, a backslash or a control character. A byte after such a one
/// may be marked too; only the first mark is used.
#[inline(always)]
pub fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let zero_in = |word: u64| word.wrapping_sub(ONES) & !word;
    let quote = zero_in(word ^ (ONES * u64::from(b'"')));
    let backslash = zero_in(word ^ (ONES * u64::from(b'\\')));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid(text: &str) -> bool {
        let mut json = Json::new(text);
        json.skip().and_then(|()| json.end()).is_ok()
    }

    #[test]
    fn json_is_what_rfc_8259_says() {
        for text in [
            "{}",
            "[]",
            " { \"a\" : [ 1 , -0.5e+3 , true , false , null , \"\" ] } ",
            "0",
            "-0",
            "\"\\ud83d\\ude00\"",
            "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\"",
            "\"12345678\\n12345678é😀\"",
            "1e999",
            "[1e5]",
        ] {
            assert!(valid(text), "{text}");
        }
        for text in [
            "",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "[1,]",
            "[1 2]",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "NaN",
            "Infinity",
            "tru",
            "truex",
            "'a'",
            "\"a",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\udc00\"",
            "\"a\tb\"",
            "\"1234567\u{1}\"",
            "{} {}",
            "{\"a\":1 \"b\":2}",
            "{1:2}",
            "[1}",
            "\u{feff}{}",
            "nul",
            "{\"a\":\"b}",
        ] {
            assert!(!valid(text), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(valid(&nested(128)));
        assert!(!valid(&nested(129)));
        assert!(!valid(&"[".repeat(1_000_000)));
    }

    #[test]
    fn strings_are_borrowed_unless_escaped() {
        assert!(matches!(Json::new("\"plain, and longer than eight bytes\"").string(), Ok(Cow::Borrowed(_))));
        assert_eq!(Json::new("\"a\\u00e9\\ud83d\\ude00 and more\"").string().unwrap(), "aé😀 and more");
    }

    #[test]
    fn eight_bytes_at_once_find_what_one_by_one_finds() {
        for byte in 0..=255u8 {
            for place in 0..8 {
                let mut bytes = *b"abcdefgh";
                bytes[place] = byte;
                let found = special_bytes(u64::from_le_bytes(bytes));
                let expected = matches!(byte, b'"' | b'\\' | 0..=0x1f);
                assert_eq!(found != 0, expected, "{byte}");
                if expected {
                    assert_eq!(found.trailing_zeros() as usize / 8, place);
                }
            }
        }
    }
}
