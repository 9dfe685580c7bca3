//! Owns going along the bytes of one line of JSON: space, keys, strings, numbers, values that are skipped. Each step proves
//! what it goes over valid, or gives the line up; what a key means is for `plain`.

use crate::read::json::special_bytes;
use crate::types::usage::GREATEST_COUNT;

/// Bytes of a string that are looked at in one step.
pub(super) const STEP: usize = 32;
/// The longest text that is compared in one step has one byte less.
pub(super) const JOINT: usize = 64;
/// A line that ends closer than this to the end of its buffer is never plain: no step looks farther.
pub const MARGIN: usize = JOINT + STEP;

/// How a string is looked at. Two ways that give the same.
pub(super) trait Scan {
    /// How many bytes come before the first that is a quote, a backslash, a control character or no ASCII.
    fn plain_run(chunk: &[u8; STEP]) -> usize;

    /// Whether some bytes begin with a text.
    fn begins(bytes: &[u8; MARGIN], text: &Text) -> bool;
}

/// A text of less than [`JOINT`] bytes, as it is compared in one step.
#[derive(Clone, Copy)]
pub(super) struct Text {
    bytes: [u8; JOINT],
    /// A bit for each of its bytes.
    bits: u64,
    length: u8,
}

impl Text {
    /// Which no line goes on with: it is NULs only.
    pub(super) const NONE: Text = Text { bytes: [0; JOINT], bits: u64::MAX, length: 0 };

    /// Of 1 to [`JOINT`] - 1 bytes.
    pub(super) fn new(text: &[u8]) -> Text {
        let mut bytes = [0; JOINT];
        bytes[..text.len()].copy_from_slice(text);
        Text { bytes, bits: u64::MAX >> (JOINT - text.len()), length: text.len() as u8 }
    }

    #[inline(always)]
    pub(super) fn length(&self) -> usize {
        usize::from(self.length) % JOINT
    }
}

pub(super) struct Portable;

impl Scan for Portable {
    #[inline(always)]
    fn plain_run(chunk: &[u8; STEP]) -> usize {
        for (place, word) in chunk.chunks_exact(8).enumerate() {
            let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
            // Of bytes that are no ASCII the high bit is set as they are.
            let special = special_bytes(word) | word & 0x8080_8080_8080_8080;
            if special != 0 {
                return place * 8 + special.trailing_zeros() as usize / 8;
            }
        }
        STEP
    }

    #[inline(always)]
    fn begins(bytes: &[u8; MARGIN], text: &Text) -> bool {
        bytes.starts_with(&text.bytes[..text.bits.count_ones() as usize])
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) struct Avx2;

#[cfg(target_arch = "x86_64")]
impl Scan for Avx2 {
    #[inline(always)]
    fn plain_run(chunk: &[u8; STEP]) -> usize {
        use std::arch::x86_64::*;
        // SAFETY: only `read_with_avx2` reads with this, and a chunk has as many bytes as are loaded.
        unsafe {
            let bytes = _mm256_loadu_si256(chunk.as_ptr().cast());
            let quote = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'"' as i8));
            let backslash = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(b'\\' as i8));
            // As signed bytes those that are no ASCII are below 0, so below the first plain one too.
            let below = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), bytes);
            let special = _mm256_or_si256(_mm256_or_si256(quote, backslash), below);
            (_mm256_movemask_epi8(special) as u32).trailing_zeros() as usize
        }
    }

    #[inline(always)]
    fn begins(bytes: &[u8; MARGIN], text: &Text) -> bool {
        use std::arch::x86_64::*;
        // SAFETY: as above.
        unsafe {
            let same = |half: usize| {
                let bytes = _mm256_loadu_si256(bytes[half..].as_ptr().cast());
                let wanted = _mm256_loadu_si256(text.bytes[half..].as_ptr().cast());
                u64::from(_mm256_movemask_epi8(_mm256_cmpeq_epi8(bytes, wanted)) as u32)
            };
            (same(0) | same(STEP) << STEP) & text.bits == text.bits
        }
    }
}

/// Whether a string may have escapes: where it is only skipped.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Escapes {
    Skipped,
    Unusual,
}

/// A place in a line. Every step gives None where the line isn't plain.
pub(super) struct Cursor<'line, S> {
    pub(super) bytes: &'line [u8],
    pub(super) at: usize,
    /// So far; if not, the whole line's UTF-8 is checked at the end.
    pub(super) is_ascii: bool,
    scan: std::marker::PhantomData<S>,
}

impl<'line, S: Scan> Cursor<'line, S> {
    pub(super) fn new(bytes: &'line [u8]) -> Cursor<'line, S> {
        Cursor { bytes, at: 0, is_ascii: true, scan: std::marker::PhantomData }
    }

    #[inline(always)]
    fn chunk(&self) -> Option<&'line [u8; STEP]> {
        self.bytes.get(self.at..)?.first_chunk()
    }

    #[inline(always)]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline(always)]
    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    #[inline(always)]
    pub(super) fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// After a member or an item: whether another one comes.
    #[inline(always)]
    pub(super) fn comma(&mut self, bracket: u8) -> Option<bool> {
        let [mut byte, mut next] = *self.bytes.get(self.at..)?.first_chunk()?;
        if byte == b' ' {
            self.space();
            [byte, next] = *self.bytes.get(self.at..)?.first_chunk()?;
        }
        self.at += 1;
        if byte == b',' {
            if next == b' ' {
                self.space();
            }
            return Some(true);
        }
        (byte == bracket).then_some(false)
    }

    /// Reads the rest of a string, whose quote was read; gives what is in it.
    #[inline(always)]
    pub(super) fn string(&mut self, escapes: Escapes) -> Option<&'line [u8]> {
        let start = self.at;
        loop {
            let run = S::plain_run(self.chunk()?);
            self.at += run;
            if run < STEP {
                if self.bytes[self.at] == b'"' {
                    self.at += 1;
                    return Some(&self.bytes[start..self.at - 1]);
                }
                self.unusual_byte(escapes)?;
            }
        }
    }

    /// Goes over what isn't ASCII, or an escape.
    #[inline(never)]
    fn unusual_byte(&mut self, escapes: Escapes) -> Option<()> {
        match self.peek()? {
            0x80.. => {
                self.is_ascii = false;
                while self.peek()? >= 0x80 {
                    self.at += 1;
                }
                Some(())
            }
            b'\\' if escapes == Escapes::Skipped => self.escape(),
            _ => None,
        }
    }

    /// Goes over an escape. A surrogate has its other half right behind it.
    fn escape(&mut self) -> Option<()> {
        let unit = |bytes: &[u8]| {
            let digits = bytes.get(..4)?;
            digits.iter().try_fold(0, |unit, &digit| Some(unit * 16 + char::from(digit).to_digit(16)?))
        };
        let rest = self.bytes.get(self.at..)?;
        self.at += match rest {
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
            [b'\\', b'u', high @ ..] => match unit(high)? {
                0xd800..=0xdbff => {
                    let low = high[4..].strip_prefix(b"\\u")?;
                    (0xdc00..=0xdfff).contains(&unit(low)?).then_some(12)?
                }
                0xdc00..=0xdfff => return None,
                _ => 6,
            },
            _ => return None,
        };
        Some(())
    }

    /// Reads a text; empty when it is null.
    #[inline(always)]
    pub(super) fn text(&mut self) -> Option<&'line [u8]> {
        if self.peek()? == b'"' {
            self.at += 1;
            return self.string(Escapes::Unusual);
        }
        self.null()?.then_some(&[])
    }

    /// Reads null, if it is there.
    #[inline(always)]
    pub(super) fn null(&mut self) -> Option<bool> {
        let is_null = self.peek()? == b'n';
        if is_null {
            self.word(b"null")?;
        }
        Some(is_null)
    }

    #[inline(never)]
    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.bytes.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    /// Goes over a text or a whole number without a sign.
    #[inline(always)]
    pub(super) fn text_or_digits(&mut self) -> Option<()> {
        if self.peek()? == b'"' {
            self.at += 1;
            return self.string(Escapes::Unusual).map(|_| ());
        }
        self.digits().map(|_| ())
    }

    /// Reads a whole number without a sign; gives its digits.
    #[inline(always)]
    fn digits(&mut self) -> Option<&'line [u8]> {
        let start = self.at;
        while self.peek()?.is_ascii_digit() {
            self.at += 1;
        }
        let digits = &self.bytes[start..self.at];
        let is_plain = match digits {
            [] | [b'0', _, ..] => false,
            _ => !matches!(self.peek()?, b'.' | b'e' | b'E'),
        };
        is_plain.then_some(digits)
    }

    /// Reads any number.
    pub(super) fn number(&mut self) -> Option<&'line [u8]> {
        let start = self.at;
        let digits = |cursor: &mut Self| {
            let start = cursor.at;
            while cursor.peek()?.is_ascii_digit() {
                cursor.at += 1;
            }
            (cursor.at > start).then_some(start)
        };
        if self.peek()? == b'-' {
            self.at += 1;
        }
        let whole = digits(self)?;
        if self.bytes[whole] == b'0' && self.at > whole + 1 {
            return None;
        }
        if self.peek()? == b'.' {
            self.at += 1;
            digits(self)?;
        }
        if matches!(self.peek()?, b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek()?, b'+' | b'-') {
                self.at += 1;
            }
            digits(self)?;
        }
        Some(&self.bytes[start..self.at])
    }

    /// Reads a count.
    pub(super) fn count(&mut self) -> Option<u64> {
        let digits = self.digits().filter(|digits| digits.len() <= 15)?;
        let count = digits.iter().fold(0, |count, digit| count * 10 + u64::from(digit - b'0'));
        (count <= GREATEST_COUNT).then_some(count)
    }

    /// Goes over any value, proving it valid. `depth` is how deep it lies.
    #[inline(always)]
    pub(super) fn skip(&mut self, depth: usize) -> Option<()> {
        if self.peek()? == b'"' {
            self.at += 1;
            self.string(Escapes::Skipped)?;
            return Some(());
        }
        self.skip_other(depth)
    }

    #[inline(never)]
    fn skip_other(&mut self, depth: usize) -> Option<()> {
        /// As deep as a plain line goes.
        const DEEPEST: usize = 32;
        match self.peek()? {
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            b'-' | b'0'..=b'9' => self.number().map(|_| ()),
            open @ (b'{' | b'[') if depth < DEEPEST => {
                let close = if open == b'{' { b'}' } else { b']' };
                self.at += 1;
                self.space();
                if self.peek()? == close {
                    self.at += 1;
                    return Some(());
                }
                loop {
                    if open == b'{' {
                        self.expect(b'"')?;
                        self.string(Escapes::Skipped)?;
                        self.space();
                        self.expect(b':')?;
                        self.space();
                    }
                    self.skip(depth + 1)?;
                    if !self.comma(close)? {
                        return Some(());
                    }
                }
            }
            _ => None,
        }
    }
}

/// The whole number with which some bytes begin, and how many digits it has: at most seven, and no point or exponent
/// comes after them.
#[inline(always)]
pub(super) fn short_number(chunk: &[u8; STEP]) -> Option<(u64, usize)> {
    let digits = u64::from_le_bytes(*chunk.first_chunk()?) ^ 0x3030_3030_3030_3030;
    // The high half of a byte that is no digit isn't 0, or isn't after 6 is added. What is carried over comes after
    // the first such byte, and only the first counts.
    let others = (digits | digits.wrapping_add(0x0606_0606_0606_0606)) & 0xf0f0_f0f0_f0f0_f0f0;
    let length = others.trailing_zeros() / 8;
    if length == 0 || length == 8 || length > 1 && chunk[0] == b'0' {
        return None;
    }
    // What comes after the digits: a comma or a bracket or space, or else it is no whole number.
    if matches!(chunk[length as usize], b'.' | b'e' | b'E') {
        return None;
    }
    Some((eight_digits(digits << (64 - 8 * length)), length as usize))
}

/// The number that eight digits are, each a byte of 0 to 9, the first one lowest.
#[inline(always)]
fn eight_digits(digits: u64) -> u64 {
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff
}
