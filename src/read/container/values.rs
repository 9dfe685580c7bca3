//! Owns JSON values that lie one after the other, or in a list: each becomes a line. A value that is cut off, so that
//! the next one begins within it, is given up where JSON can't go on: one broken item, and the next is whole.

use super::Cutter;

/// As deep as brackets are told apart; deeper is no JSON that is read.
const DEEPEST: usize = 128;

#[derive(Default)]
pub struct Values {
    /// In a list whose items are the values.
    in_list: bool,
    /// Something of an item was given.
    in_item: bool,
    depth: usize,
    /// Of the open brackets: a bit for each that is an object's.
    objects: u128,
    in_string: bool,
    escaped: bool,
    /// The last byte that isn't space, outside strings; a quote for a string.
    last: u8,
    /// Space came after it.
    space: bool,
}

impl Cutter for Values {
    fn cut(&mut self, bytes: &[u8], lines: &mut Vec<u8>) {
        let mut at = 0;
        while at < bytes.len() {
            if self.in_string {
                at += self.string(&bytes[at..], lines);
            } else {
                self.byte(bytes[at], lines);
                at += 1;
            }
        }
    }

    fn end(&mut self, lines: &mut Vec<u8>) -> Result<(), &'static str> {
        if self.depth > 0 || self.in_string {
            return Err("the input ends within an item");
        }
        self.finish(lines);
        if self.in_list { Err("the input ends within its list") } else { Ok(()) }
    }
}

impl Values {
    /// What was begun ends here, whole or not.
    pub fn give_up(&mut self, lines: &mut Vec<u8>) {
        self.finish(lines);
        *self = Values::default();
    }

    /// Takes bytes of a string up to its end, and says how many.
    fn string(&mut self, bytes: &[u8], lines: &mut Vec<u8>) -> usize {
        if std::mem::take(&mut self.escaped) && bytes[0] != b'\n' {
            lines.push(bytes[0]);
            return 1;
        }
        let plain = memchr::memchr3(b'"', b'\\', b'\n', bytes).unwrap_or(bytes.len());
        lines.extend_from_slice(&bytes[..plain]);
        match bytes.get(plain) {
            None => return plain,
            Some(b'\\') => {
                lines.push(b'\\');
                self.escaped = true;
            }
            Some(b'"') => {
                lines.push(b'"');
                (self.in_string, self.last) = (false, b'"');
                self.finish_scalar(lines);
            }
            // A string doesn't go over a line: the item is broken, and stays so.
            Some(_) => {
                lines.push(b' ');
                (self.in_string, self.last, self.space) = (false, 0, false);
                if self.depth == 0 {
                    self.finish(lines);
                }
            }
        }
        plain + 1
    }

    fn byte(&mut self, byte: u8, lines: &mut Vec<u8>) {
        if byte.is_ascii_whitespace() || byte < b' ' {
            self.space = true;
            // Loose text is an item by line.
            if byte == b'\n' && self.depth == 0 {
                self.finish(lines);
            }
            return;
        }
        if self.depth == 0 {
            match byte {
                b'[' if !self.in_list && !self.in_item => {
                    (self.in_list, self.space) = (true, false);
                    return;
                }
                b']' if self.in_list => {
                    self.finish(lines);
                    self.in_list = false;
                    return;
                }
                b',' => return self.finish(lines),
                _ => {}
            }
        } else if matches!(byte, b'{' | b'[') && !self.value_may_begin() {
            let in_list = self.in_list;
            self.give_up(lines);
            self.in_list = in_list;
            return self.byte(byte, lines);
        }
        if std::mem::take(&mut self.space) && self.in_item {
            lines.push(b' ');
        }
        lines.push(byte);
        (self.in_item, self.last) = (true, byte);
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => {
                if self.depth < DEEPEST {
                    let bit = 1 << self.depth;
                    self.objects = self.objects & !bit | if byte == b'{' { bit } else { 0 };
                }
                self.depth += 1;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    self.finish(lines);
                }
            }
            _ => {}
        }
    }

    /// Within an object a value comes after a colon, within a list after its bracket or a comma.
    fn value_may_begin(&self) -> bool {
        match self.objects.checked_shr(self.depth as u32 - 1).map(|bits| bits & 1) {
            Some(1) => self.last == b':',
            Some(_) => matches!(self.last, b'[' | b','),
            None => true,
        }
    }

    /// A string alone is an item.
    fn finish_scalar(&mut self, lines: &mut Vec<u8>) {
        if self.depth == 0 && self.in_list {
            self.finish(lines);
        }
    }

    fn finish(&mut self, lines: &mut Vec<u8>) {
        if self.in_item {
            lines.push(b'\n');
        }
        *self = Values { in_list: self.in_list, ..Values::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::container::testing;

    fn lines(input: &str) -> (String, bool) {
        testing::lines(|| Box::new(Values::default()), input.as_bytes())
    }

    #[test]
    fn each_value_is_a_line() {
        for (input, expected) in [
            ("[]", ""),
            (
                " [ {\"a\" : [1, {}]} ,\n {\"b\":\"],[{\\\"\"} ]\n",
                "{\"a\" : [1, {}]}\n{\"b\":\"],[{\\\"\"}\n",
            ),
            ("{\n  \"a\": 1\n}\n{\n  \"b\": 2\n}\n", "{ \"a\": 1 }\n{ \"b\": 2 }\n"),
            ("{\"a\":1}{\"b\":2},{}", "{\"a\":1}\n{\"b\":2}\n{}\n"),
            ("[1, \"x y\", null, [2]]", "1\n\"x y\"\nnull\n[2]\n"),
            ("[{}]\n[{}, {}]", "{}\n{}\n{}\n"),
            ("some text\n{}\n", "some text\n{}\n"),
            ("{\"a\":\"\\\\\"}{}", "{\"a\":\"\\\\\"}\n{}\n"),
        ] {
            assert_eq!(lines(input), (expected.to_string(), false), "{input}");
        }
    }

    #[test]
    fn what_is_cut_off_doesn_t_take_the_rest_with_it() {
        for (input, expected) in [
            ("{\n \"a\": {\n  \"b\": 1,\n{\n \"c\": 2\n}\n{}\n", "{ \"a\": { \"b\": 1,\n{ \"c\": 2 }\n{}\n"),
            ("{\n \"a\": \"tex\n{\n \"c\": 2\n}\n", "{ \"a\": \"tex \n{ \"c\": 2 }\n"),
            ("[{\"a\": [1, {\"b\"\n{\"c\": 2}]", "{\"a\": [1, {\"b\"\n{\"c\": 2}\n"),
            // Where JSON may go on, the next one is part of it, and only the one after is whole.
            ("{\n \"a\":\n{\"b\":1}\n{\"c\":2}\n", "{ \"a\": {\"b\":1}\n{\"c\":2}\n"),
        ] {
            assert_eq!(lines(input), (expected.to_string(), false), "{input}");
        }
    }

    #[test]
    fn an_end_within_an_item_or_a_list_is_too_early() {
        assert_eq!(lines("{}\n{\"a\":"), ("{}\n{\"a\":".to_string(), true));
        assert_eq!(lines("[{},{}"), ("{}\n{}\n".to_string(), true));
        assert_eq!(lines("[\"a"), ("\"a".to_string(), true));
    }
}
