//! Holds the reader of plain lines against the strict decoder, line by line: whatever it reads of a line, the strict
//! decoder makes of it too. On the inputs of all cases, on logs of `awkward` and of `rerate gen`, and on lines of these
//! with a byte, a value or a member changed. `RERATE_LAWS=10` changes ten times as many.

use std::collections::{HashMap, HashSet};
use std::io::Read;
use std::path::Path;

use rerate::books::{Books, Sources};
use rerate::read::settings::Defaults;
use rerate::read::shape::canonical::{Decoded, Decoder};
use rerate::read::shape::cursor::MARGIN;
use rerate::read::shape::plain::{Plain, PlainReader};
use rerate::types::reason::Reason::{self, *};
use rerate::types::request::{Facts, Request};
use rerate::types::usage::Usage;

use crate::awkward::{Dice, Log, text};
use crate::run::rerate;

const PROJECT: &str = "of-the-flag";

/// What a change puts in place of a byte, or between two.
const BYTES: &[u8] = b"\"\\{}[]:,. \t\r\x00\x1f\x7f\x80\xc3\xa9\xff0159-+eEnull_aA/";

/// What a change puts in place of a value.
const VALUES: [&str; 38] = [
    "null",
    "true",
    "\"\"",
    "0",
    "-0",
    "00",
    "1.0",
    "12.50",
    "1e3",
    "-1",
    "7",
    "12345678",
    "123456789",
    "1099511627776",
    "1099511627777",
    "99999999999999999999",
    "\"12\"",
    "\"x\"",
    "\"TEXT\"",
    "\"text\"",
    "\"MODALITY_AUDIO\"",
    "\"a\\u00e9\"",
    "\"é😀\"",
    "\"\\ud83d\"",
    "{}",
    "[]",
    "[null]",
    "[{}]",
    "[{\"modality\":\"TEXT\"}]",
    "[{\"tokenCount\":3},{\"modality\":null,\"tokenCount\":null}]",
    "{\"a\":\"b\",\"a\":\"c\"}",
    "{\"team\":\"x\",\"env\":null}",
    "[\"google_search\"]",
    "[\t\"google_search\"\t]",
    "{\t\"team\"\t:\t\"x\"\t}",
    "{\"image\":2}",
    "\"2026-06-01T12:00:00+02:00\"",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
];

/// What a change puts before the first member of an object.
const MEMBERS: [&str; 24] = [
    "\"model\":\"m\"",
    "\"labels\":{\"team\":\"a b\",\"env\":\"é\"}",
    "\"prompt\":\"a\\n\\\"b\\\" \\ud83d\\ude00\"",
    "\"tools\":[\"google_search\",null]",
    "\"quantities\":{\"image\":1,\"song\":null}",
    "\"quantities\":{}",
    "\"cached_content\":null",
    "\"service\":\"aiplatform.googleapis.com\"",
    "\"usage_tier\":\"tier1\"",
    "\"trace\":{\"a\":[1,-2.5e+7,true,{\"b\":null}]}",
    "\"x\":1e",
    "\"responseId\" :\"r\"",
    "\"x\":01",
    "\"a key that is much longer than what is looked at in one step\": 1",
    "\"tools\":[\t\"google_search\",\t\"code_execution\"\t]",
    "\"labels\":\t{\t\"team\"\t:\t\"a\",\t\"env\":\"b\"}",
    "\"promptTokenCount\":1",
    "\"responseTokenCount\":3",
    "\"thoughtsTokenCount\":null",
    "\"serviceTier\":\"flex\"",
    "\"trafficType\":null",
    "\"responseTokensDetails\":[{\"modality\":\"TEXT\",\"tokenCount\":3}]",
    "\"image\":2",
    "\"modality\":\"AUDIO\"",
];

/// A line whose spelling has one of these faults is plain; all others show that it isn't.
const OF_SPELLING: [Reason; 6] =
    [MissingField, BadStatus, UnknownMethod, BadUsageTier, BadChannel, UnknownServiceTier];

/// What may stand behind a log.
const MARGINS: [u8; 3] = [b'"', b'}', 0];

struct Both<'b> {
    books: &'b Books,
    decoder: Decoder<'b>,
    readers: Vec<PlainReader>,
    /// By spelling, what the strict decoder made of it, and whether any of it was refused for the spelling's sake.
    known: HashMap<Vec<u8>, (Facts<String>, bool)>,
    refused: HashSet<Vec<u8>>,
    lines: u64,
    plain: u64,
}

#[test]
fn what_is_read_of_a_plain_line_is_what_the_strict_decoder_makes_of_it() {
    let books = Books::load(&Sources::default()).expect("the embedded books");
    let defaults = Defaults { project: Some(PROJECT.to_string()), ..Defaults::default() };
    let mut both = Both {
        books: &books,
        decoder: Decoder::new(&books.methods, &defaults),
        readers: vec![PlainReader::default(), PlainReader::without_avx2()],
        known: HashMap::new(),
        refused: HashSet::new(),
        lines: 0,
        plain: 0,
    };
    let walk: usize = std::env::var("RERATE_LAWS").map_or(1, |times| times.parse().expect("a number"));
    let made = |args: &str| rerate(Path::new("."), &args.split(' ').collect::<Vec<_>>()).stdout;
    let logs = [
        given(),
        (0..12).flat_map(|seed| text(&Log::new(seed).lines)).collect(),
        made("gen --records 3000 --days 3 --seed 3"),
        made("gen --race --records 3000"),
    ];
    let mut dice = Dice::new(1);
    for log in &logs {
        let lines: Vec<&[u8]> =
            log.split(|byte| *byte == b'\n').filter(|line| line.len() < 100_000).collect();
        for margin in MARGINS {
            both.block(log, margin);
        }
        for _ in 0..20_000 * walk {
            let line = dice.pick(&lines);
            both.line(&changed(line, &mut dice), dice.pick(&MARGINS));
        }
    }
    let refused_too = both.refused.iter().filter(|spelling| both.known.contains_key(*spelling)).count();
    assert_eq!(refused_too, 0, "lines of one spelling are refused, or none is");
    let (lines, plain) = (both.lines, both.plain);
    assert!(plain > lines / 5, "{plain} of {lines} lines are plain");
}

#[test]
fn nearly_every_line_of_a_real_log_is_plain() {
    for args in ["gen --race --records 2000", "gen --records 2000 --days 2"] {
        let log = rerate(Path::new("."), &args.split(' ').collect::<Vec<_>>()).stdout;
        let spaced =
            String::from_utf8(log.clone()).expect("text").replace("\":", "\": ").replace(",\"", ", \"");
        for log in [&log[..], spaced.as_bytes()] {
            let bytes = [log, &[0; MARGIN]].concat();
            let mut reader = PlainReader::default();
            let (mut at, mut lines, mut plain) = (0, 0, 0);
            while at < log.len() {
                lines += 1;
                plain += u32::from(read(&mut reader, &bytes[at..], log.len() - at).is_some());
                at += log[at..].iter().position(|byte| *byte == b'\n').expect("a newline") + 1;
            }
            assert!(plain * 100 >= lines * 97, "{args}: {plain} of {lines}");
        }
    }
}

impl Both<'_> {
    /// The lines of a log, one after the other as they lie in it.
    fn block(&mut self, log: &[u8], margin: u8) {
        let bytes = [log, &[margin; MARGIN]].concat();
        let mut at = 0;
        while at < log.len() {
            let rest = &log[at..];
            let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            self.compare(&bytes[at..], log.len() - at, &rest[..length]);
            at += length + 1;
        }
    }

    /// A line by itself, and what may follow it.
    fn line(&mut self, line: &[u8], margin: u8) {
        let newline = line.iter().position(|byte| *byte == b'\n').unwrap_or(line.len());
        let bytes = [line, &[margin; MARGIN]].concat();
        self.compare(&bytes, line.len(), &line[..newline]);
    }

    fn compare(&mut self, bytes: &[u8], end: usize, line: &[u8]) {
        self.lines += 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut readers = std::mem::take(&mut self.readers);
        let read: Vec<Option<Plain<'_>>> =
            readers.iter_mut().map(|reader| read(reader, bytes, end)).collect();
        let shown = String::from_utf8_lossy(line);
        assert_eq!(format!("{:?}", read[0]), format!("{:?}", read[1]), "both ways of looking: {shown}");
        if let Some(plain) = &read[0] {
            self.plain += 1;
            assert_eq!(readers[0].spelling(), readers[1].spelling());
            assert_eq!(plain.line, line, "{shown}");
            // What was read before decides nothing.
            let mut fresh = PlainReader::default();
            let anew = self::read(&mut fresh, bytes, end);
            assert_eq!(format!("{:?}", read[0]), format!("{anew:?}"), "by a fresh reader: {shown}");
            assert_eq!(readers[0].spelling(), fresh.spelling(), "by a fresh reader: {shown}");
            self.agree(plain, readers[0].spelling().to_vec(), &shown);
        }
        self.readers = readers;
    }

    fn agree(&mut self, plain: &Plain<'_>, spelling: Vec<u8>, shown: &str) {
        let decoded = self.decoder.decode(plain.line);
        let request = match decoded {
            Decoded::Request(request) if !request.usage_missing => request,
            Decoded::Refused(refusal) if refusal.reason == InconsistentCounts => {
                return assert!(Usage::from_counts(&plain.counts).is_err(), "{shown}");
            }
            Decoded::Refused(refusal) => {
                assert!(OF_SPELLING.contains(&refusal.reason), "{}: {shown}", refusal.detail);
                self.refused.insert(spelling);
                return;
            }
            _ => {
                self.refused.insert(spelling);
                return;
            }
        };
        assert_eq!(plain.at, request.at, "{shown}");
        assert!(request.cache.is_none() && !request.undated && !request.tokens_unknown, "{shown}");
        assert_eq!(plain.request_id, request.request_id.as_deref().unwrap_or_default().as_bytes(), "{shown}");
        assert_eq!(plain.detail(), request.detail, "{shown}");
        if let Some(usage) = &request.usage {
            assert_eq!(self.usage(plain, &request).as_ref(), Ok(usage), "{shown}");
        }
        let known = (request.facts.map_names(str::to_string), request.usage.is_some());
        let first = self.known.entry(spelling).or_insert_with(|| known.clone());
        assert_eq!(*first, known, "{shown}");
    }

    fn usage(&self, plain: &Plain<'_>, request: &Request<'_>) -> Result<Usage, String> {
        let mut counts = plain.counts.clone();
        counts.whole.thoughts_outside |= self.books.methods.find(request.facts.method).is_live();
        Usage::from_counts(&counts)
    }
}

/// The logs in `fixtures`.
fn given() -> Vec<u8> {
    let mut given = Vec::new();
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    for entry in walkdir::WalkDir::new(fixtures).sort_by_file_name() {
        let path = entry.expect("an entry").into_path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let bytes = || std::fs::read(&path).expect("a file");
        if name.ends_with(".jsonl") {
            given.extend(bytes());
        } else if name.ends_with(".jsonl.gz") {
            // Of a file that ends early, what there is.
            let _ = flate2::read::MultiGzDecoder::new(&bytes()[..]).read_to_end(&mut given);
        }
        given.push(b'\n');
    }
    given
}

/// A line with something changed, and often more than that.
fn changed(line: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut line = line.to_vec();
    for _ in 0..=dice.below(3) {
        if line.is_empty() {
            break;
        }
        let at = dice.below(line.len());
        match dice.below(9) {
            0 => line[at] = dice.pick(BYTES),
            1 => line.insert(at, dice.pick(BYTES)),
            2 => drop(line.remove(at)),
            3 => line.truncate(at),
            4 => {
                line =
                    String::from_utf8_lossy(&line).replace("\":", "\": ").replace(",\"", ", \"").into_bytes()
            }
            5 => {
                // Of the record, or of an object in it.
                let braces: Vec<usize> = (0..line.len()).filter(|at| line[*at] == b'{').collect();
                let start = if braces.is_empty() { 0 } else { dice.pick(&braces) + 1 };
                let comma = if line.get(start) == Some(&b'}') { "" } else { "," };
                line.splice(start..start, format!("{}{comma}", dice.pick(&MEMBERS)).bytes());
            }
            6 => line.extend_from_slice(dice.pick(&[&b"\r"[..], b" ", b"\r\n{}", b"\n", b"x", b"}"])),
            _ => {
                // A value: what stands between a colon and the comma or the bracket after it.
                let colons: Vec<usize> =
                    (0..line.len().saturating_sub(1)).filter(|at| line[*at..].starts_with(b"\":")).collect();
                if let Some(&colon) = (!colons.is_empty()).then(|| dice.pick(&colons)).as_ref() {
                    let start = colon + 2;
                    let length = line[start..].iter().position(|byte| b",}]".contains(byte)).unwrap_or(0);
                    line.splice(start..start + length, dice.pick(&VALUES).bytes());
                }
            }
        }
    }
    line
}

fn read<'line>(reader: &mut PlainReader, bytes: &'line [u8], end: usize) -> Option<Plain<'line>> {
    let mut plain = Plain::default();
    reader.read(bytes, end, &mut plain).map(|()| plain)
}
