//! Owns logs that are awkward on purpose, by seed: ties, chunks, retries, faults, keys and prompts everywhere, around
//! midnights, clock changes and days on which a price or an alias changes. Each line says what it was made to be, so
//! that what becomes of it can be counted without asking the program. What must hold of them is for `laws`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use jiff::tz::Offset;
use rerate::types::reason::Reason::{self, *};

/// What the runs over these logs allow, in bytes; some lines have just as many.
pub const MAX_LINE: usize = 8 << 10;

/// Stands in every text that is a prompt, and nowhere else.
pub const SECRET: &str = "zebra-secret";

const PROMPT: &str = "tell me the zebra-secret of \"the\" harbour\nin 3 words 🙂";

/// Instants at which something changes: midnights Pacific, clocks, prices, aliases, a usage tier; the first day and the
/// last one that logs may have.
const ANCHORS: [&str; 15] = [
    "2026-03-08T08:00:00Z",
    "2026-03-08T10:00:00Z",
    "2026-03-09T07:00:00Z",
    "2026-11-01T07:00:00Z",
    "2026-11-01T09:00:00Z",
    "2026-11-02T08:00:00Z",
    "2026-06-01T19:00:00Z",
    "2025-10-31T07:00:00Z",
    "2026-04-01T07:00:00Z",
    "2026-08-13T07:00:00Z",
    "2026-10-08T07:00:00Z",
    "2026-01-05T08:00:00Z",
    "2024-08-12T07:00:00Z",
    "1970-01-01T08:00:00Z",
    "2261-12-31T08:00:00Z",
];

const SECOND: i64 = 1_000_000_000;

/// How far from an anchor, in nanoseconds.
const DISTANCES: [i64; 14] = [
    0,
    0,
    -1,
    1,
    SECOND / 2 - 1,
    SECOND / 2,
    SECOND / 2 + 1,
    -SECOND,
    SECOND,
    59 * SECOND,
    60 * SECOND,
    61 * SECOND,
    -60 * SECOND,
    3_600 * SECOND,
];

const PROJECTS: [&str; 7] = ["p-upgrade", "p-upgrade", "p-free", "p-late", "p-none", "p-paid", "p \"é\" 😀"];

const MODELS: [&str; 22] = [
    "gemini-2.5-flash",
    "gemini-2.5-flash",
    "models/gemini-2.5-flash",
    "publishers/google/models/gemini-2.5-pro",
    "gemini-2.5-pro",
    "gemini-2.5-flash-preview-09-2025",
    "gemini-2.5-flash-native-audio-preview-12-2025",
    "gemini-2.5-flash-image",
    "gemini-1.5-flash",
    "gemini-2.0-flash",
    "gemini-3-pro-preview",
    "gemini-3-flash-preview",
    "gemini-3.1-pro-preview",
    "gemini-3.5-flash",
    "gemini-3.6-flash",
    "gemini-flash-latest",
    "gemini-embedding-001",
    "imagen-4.0-generate-001",
    "tunedModels/support-7",
    "tunedModels/own",
    "tunedModels/nobody",
    "gemini-0.5-flash",
];

const OK: [&str; 6] = ["200", "200", "200", "\"200\"", "\"OK\"", "204"];
const FAILED: [&str; 9] = [
    "400",
    "\"RESOURCE_EXHAUSTED\"",
    "429",
    "499",
    "500",
    "503",
    "\"failed\"",
    "\"INTERNAL\"",
    "\"DEADLINE_EXCEEDED\"",
];
const SERVICE_TIERS: [&str; 9] = [
    "standard",
    "STANDARD",
    "SERVICE_TIER_UNSPECIFIED",
    "batch",
    "Batch",
    "flex",
    "service_tier_flex",
    "priority",
    "",
];
const TOOLS: [&str; 5] =
    ["[]", "[\"google_search\"]", "[\"google_search\",\"google_search\"]", "[\"url_context\"]", "null"];
const QUANTITIES: [&str; 9] = [
    "image",
    "video_second",
    "video_second_1080p",
    "video_second_4k",
    "song",
    "grounding_search_prompt",
    "grounding_search_query",
    "grounding_maps_prompt",
    "grounding_maps_query",
];
/// By modality, in the order of the meters: text, image, video, document, audio.
const MODALITIES: [[&str; 3]; 5] = [
    ["\"TEXT\"", "1", "\"MODALITY_UNSPECIFIED\""],
    ["\"IMAGE\"", "\"image\"", "2"],
    ["\"VIDEO\"", "\"MODALITY_VIDEO\"", "3"],
    ["\"DOCUMENT\"", "\"modality_document\"", "5"],
    ["\"AUDIO\"", "\"Audio\"", "4"],
];

/// What a line is changed to so that it is refused: fields and what stands there, nothing where it is left out.
/// PROMPT and KEY are filled in.
type Fault = (Reason, &'static [(&'static str, Option<&'static str>)]);

const FAULTS: &[Fault] = &[
    (DuplicateKey, &[("usageMetadata", Some(r#"{"promptTokenCount":1,"promptTokenCount":1}"#))]),
    (DuplicateKey, &[("labels", Some(r#"{"PROMPT":"a","PROMPT":"b"}"#))]),
    (DuplicateKey, &[("quantities", Some(r#"{"image":1,"image":"PROMPT"}"#))]),
    (
        DuplicateKey,
        &[("usageMetadata", Some(r#"{"promptTokensDetails":[{"modality":"TEXT","modality":"KEY"}]}"#))],
    ),
    (MissingField, &[("timestamp", None)]),
    (MissingField, &[("timestamp", Some("null"))]),
    (MissingField, &[("project_id", Some("\"\""))]),
    (MissingField, &[("status", None)]),
    (MissingField, &[("model", Some("\"models/\""))]),
    (
        MissingField,
        &[("method", Some("\"cachedContents.patch\"")), ("cached_content", Some(r#"{"expire_time":""}"#))],
    ),
    (
        MissingField,
        &[
            ("method", Some("\"cachedContents.create\"")),
            ("cached_content", Some(r#"{"name":"KEY"}"#)),
            ("usageMetadata", None),
        ],
    ),
    (WrongType, &[("request_id", Some("5"))]),
    (WrongType, &[("project_id", Some(r#"["PROMPT"]"#))]),
    (WrongType, &[("model", Some(r#"{"PROMPT":"KEY"}"#))]),
    (WrongType, &[("method", Some("true"))]),
    (WrongType, &[("service", Some("5"))]),
    (WrongType, &[("service_tier", Some("5"))]),
    (WrongType, &[("base_model", Some("[]"))]),
    (WrongType, &[("model_version", Some("[]"))]),
    (WrongType, &[("api_key_id", Some(r#"{"KEY":"KEY"}"#))]),
    (WrongType, &[("region", Some("7"))]),
    (WrongType, &[("latency_ms", Some("\"PROMPT\""))]),
    (WrongType, &[("labels", Some(r#"{"PROMPT":5}"#))]),
    (WrongType, &[("labels", Some("\"KEY\""))]),
    (WrongType, &[("tools", Some("\"PROMPT\""))]),
    (WrongType, &[("tools", Some("[5]"))]),
    (WrongType, &[("quantities", Some("[\"PROMPT\"]"))]),
    (WrongType, &[("usageMetadata", Some("\"PROMPT\""))]),
    (WrongType, &[("usageMetadata", Some(r#"{"promptTokensDetails":{"KEY":1}}"#))]),
    (WrongType, &[("cached_content", Some("\"PROMPT\""))]),
    (BadTimestamp, &[("timestamp", Some("\"PROMPT\""))]),
    (BadTimestamp, &[("timestamp", Some("\"KEY\""))]),
    (BadTimestamp, &[("timestamp", Some("1780340400"))]),
    (BadTimestamp, &[("timestamp", Some("\"2026-06-01T12:00:00\""))]),
    (BadTimestamp, &[("timestamp", Some("\"2026-06-30T23:59:60Z\""))]),
    (BadTimestamp, &[("timestamp", Some("\"2026-02-30T12:00:00Z\""))]),
    (BadTimestamp, &[("timestamp", Some("\"1969-12-31T23:59:59Z\""))]),
    (BadTimestamp, &[("timestamp", Some("\"2262-01-01T12:00:00Z\""))]),
    (BadTimestamp, &[("cached_content", Some(r#"{"name":"c","expire_time":"PROMPT"}"#))]),
    (BadStatus, &[("status", Some("302"))]),
    (BadStatus, &[("status", Some("200.5"))]),
    (BadStatus, &[("status", Some("true"))]),
    (BadStatus, &[("status", Some("\"PROMPT\""))]),
    (BadStatus, &[("status", Some("\"KEY\""))]),
    (UnknownMethod, &[("method", Some("\"generateText\""))]),
    (UnknownMethod, &[("method", Some("\"PROMPT\""))]),
    (UnknownMethod, &[("method", Some("\"KEY\""))]),
    (BadUsageTier, &[("usage_tier", Some("\"tier4\""))]),
    (BadUsageTier, &[("usage_tier", Some("\"PROMPT\""))]),
    (BadUsageTier, &[("usage_tier", Some("\"KEY\""))]),
    (BadChannel, &[("channel", Some("\"PROMPT\""))]),
    (BadChannel, &[("channel", Some("\"KEY\""))]),
    (UnknownServiceTier, &[("service_tier", Some("\"PROMPT\""))]),
    (UnknownServiceTier, &[("service_tier", Some("\"KEY\""))]),
    (UnknownServiceTier, &[("usageMetadata", Some(r#"{"serviceTier":"PROMPT"}"#))]),
    (MissingUsage, &[("usageMetadata", None)]),
    (MissingUsage, &[("usageMetadata", Some("null"))]),
    (MissingUsage, &[("usageMetadata", Some("\"\"")), ("quantities", Some(r#"{"image":null,"PROMPT":""}"#))]),
    (BadCount, &[("usageMetadata", Some(r#"{"promptTokenCount":-7}"#))]),
    (BadCount, &[("usageMetadata", Some(r#"{"promptTokenCount":1.5}"#))]),
    (BadCount, &[("usageMetadata", Some(r#"{"candidatesTokenCount":1e3}"#))]),
    (BadCount, &[("usageMetadata", Some(r#"{"totalTokenCount":1099511627777}"#))]),
    (BadCount, &[("usageMetadata", Some(r#"{"thoughtsTokenCount":"PROMPT"}"#))]),
    (BadCount, &[("usageMetadata", Some(r#"{"toolUsePromptTokenCount":"KEY"}"#))]),
    (BadCount, &[("usageMetadata", Some(r#"{"promptTokensDetails":[{"tokenCount":true}]}"#))]),
    (BadCount, &[("quantities", Some(r#"{"song":"PROMPT"}"#))]),
    (UnknownModality, &[("usageMetadata", Some(r#"{"promptTokensDetails":[{"modality":6}]}"#))]),
    (UnknownModality, &[("usageMetadata", Some(r#"{"cacheTokensDetails":[{"modality":"PROMPT"}]}"#))]),
    (UnknownModality, &[("usageMetadata", Some(r#"{"toolUsePromptTokensDetails":[{"modality":"KEY"}]}"#))]),
    (UnknownMeter, &[("quantities", Some(r#"{"smell":1}"#))]),
    (UnknownMeter, &[("quantities", Some(r#"{"PROMPT":1}"#))]),
    (UnknownMeter, &[("quantities", Some(r#"{"KEY":"KEY"}"#))]),
    (InconsistentCounts, &[("usageMetadata", Some(r#"{"cachedContentTokenCount":1}"#))]),
    (
        InconsistentCounts,
        &[("usageMetadata", Some(r#"{"promptTokenCount":1,"promptTokensDetails":[{"tokenCount":2}]}"#))],
    ),
    (
        InconsistentCounts,
        &[(
            "usageMetadata",
            Some(
                r#"{"promptTokenCount":9,"cachedContentTokenCount":9,"cacheTokensDetails":[{"modality":"AUDIO","tokenCount":9}]}"#,
            ),
        )],
    ),
];

/// Numbers that look random and are the same for the same seed (SplitMix64).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.roll() % end as u64) as usize
    }

    pub fn one_in(&mut self, sides: usize) -> bool {
        self.below(sides) == 0
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for end in (2..=items.len()).rev() {
            items.swap(self.below(end), end - 1);
        }
    }
}

/// What a line was made to be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Made {
    Blank,
    OtherService,
    Refused(Reason),
    /// A record of this identity, or of its own.
    Request(Option<String>),
}

#[derive(Clone, Debug)]
pub struct Line {
    pub bytes: Vec<u8>,
    pub made: Made,
    /// Records that share one may share an identity.
    pub request_id: Option<String>,
}

pub struct Log {
    pub seed: u64,
    pub lines: Vec<Line>,
    /// A packed file that ends early, and the lines before its end; its end is one line more.
    pub broken: Vec<u8>,
    pub broken_lines: Vec<Line>,
    /// An accounts file.
    pub accounts: String,
    /// API keys that stand in the lines.
    pub keys: Vec<String>,
}

/// How many lines of a log there are and what they were made to be.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Expected {
    pub lines: u64,
    pub blank: u64,
    pub other_service: u64,
    pub refused: BTreeMap<&'static str, u64>,
    /// Identities, and requests without one.
    pub requests: u64,
}

impl Log {
    pub fn new(seed: u64) -> Log {
        let mut dice = Dice::new(seed);
        let first = seed as usize % ANCHORS.len();
        // Fewer days are quicker to publish; some logs have many.
        let second = if seed.is_multiple_of(2) { first + 1 + dice.below(ANCHORS.len() - 1) } else { first };
        let anchors = [first, second].map(|place| nanos(ANCHORS[place % ANCHORS.len()]));
        let keys = (0..3).map(|_| key(&mut dice)).collect();
        let lines_wanted = 200 + dice.below(200);
        // Some logs are of several blocks, so that threads share one file.
        let prompts_repeated = if seed % 6 == 5 { 22 } else { 1 };
        let mut writer = Writer { dice, anchors, keys, lines: Vec::new(), next_id: 0, prompts_repeated };
        while writer.lines.len() < lines_wanted {
            writer.some_lines();
        }
        let mut lines = std::mem::take(&mut writer.lines);
        if writer.dice.one_in(2) {
            writer.dice.shuffle(&mut lines);
        }
        let (broken, broken_lines) = writer.broken();
        let accounts = writer.accounts();
        Log { seed, lines, broken, broken_lines, accounts, keys: writer.keys }
    }

    pub fn expected(&self) -> Expected {
        let mut expected = Expected::default();
        let mut identities = BTreeSet::new();
        let end = Made::Refused(TruncatedInput);
        for made in self.lines.iter().chain(&self.broken_lines).map(|line| &line.made).chain([&end]) {
            expected.lines += 1;
            match made {
                Made::Blank => expected.blank += 1,
                Made::OtherService => expected.other_service += 1,
                Made::Refused(reason) => *expected.refused.entry(reason.name()).or_default() += 1,
                Made::Request(None) => expected.requests += 1,
                Made::Request(Some(identity)) => expected.requests += u64::from(identities.insert(identity)),
            }
        }
        expected
    }
}

/// The lines of a file.
pub fn text(lines: &[Line]) -> Vec<u8> {
    lines.iter().flat_map(|line| [&line.bytes[..], b"\n"].concat()).collect()
}

pub fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

pub fn zst(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory takes it")
}

fn key(dice: &mut Dice) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
    "AIza".chars().chain((0..35).map(|_| char::from(dice.pick(LETTERS)))).collect()
}

fn nanos(instant: &str) -> i64 {
    let instant: Timestamp = instant.parse().expect("an instant");
    i64::try_from(instant.as_nanosecond()).expect("a year before 2262")
}

/// A record's fields, each with its JSON.
#[derive(Clone)]
struct Record(BTreeMap<&'static str, String>);

impl Record {
    fn set(&mut self, field: &'static str, json: impl Into<String>) {
        self.0.insert(field, json.into());
    }

    fn leave_out(&mut self, field: &str) {
        self.0.remove(field);
    }
}

struct Writer {
    dice: Dice,
    anchors: [i64; 2],
    keys: Vec<String>,
    lines: Vec<Line>,
    next_id: u64,
    prompts_repeated: usize,
}

impl Writer {
    /// One kind of awkwardness.
    fn some_lines(&mut self) {
        match self.dice.below(24) {
            0 => {
                let bytes = self.dice.pick(&[&b""[..], b" ", b"\t \t", b"\r"]).to_vec();
                self.lines.push(Line { bytes, made: Made::Blank, request_id: None });
            }
            1 | 2 => self.other_service(),
            3 | 4 => self.not_json(),
            5..=8 => self.fault(),
            9 | 10 => self.ties(),
            11 | 12 => self.chunks(),
            13 | 14 => self.retries(),
            15 | 16 => self.copies(),
            17 => self.other_method(),
            18 => self.with_keys(),
            19 => self.just_short_enough(),
            20 => {
                let mut record = self.record();
                record.leave_out("request_id");
                let repeats = 1 + self.dice.below(2);
                for _ in 0..repeats {
                    self.push(&record, Made::Request(None), None);
                }
            }
            21 => {
                let (mut record, id) = self.record_of_new_id();
                let status = self.dice.pick(&FAILED);
                let at = self.at();
                self.stamp(&mut record, at);
                record.set("status", status);
                if self.dice.one_in(2) {
                    record.leave_out("usageMetadata");
                }
                self.push(&record, failed_identity(&id, status, at), Some(id));
            }
            _ => {
                let (record, id) = self.record_of_new_id();
                self.push(&record, identity(&id), Some(id));
            }
        }
    }

    /// Records of one identity at one time, equal in total, told apart by less and less.
    fn ties(&mut self) {
        let (first, id) = self.record_of_new_id();
        let records = 2 + self.dice.below(5);
        for _ in 0..records {
            let mut record = first.clone();
            let usage = self.dice.pick(&[
                r#"{"promptTokenCount":600,"candidatesTokenCount":400,"totalTokenCount":1000}"#,
                r#"{"promptTokenCount":700,"candidatesTokenCount":300,"totalTokenCount":1000}"#,
                r#"{"promptTokenCount":700,"candidatesTokenCount":300,"cachedContentTokenCount":100,"totalTokenCount":1000}"#,
                r#"{"promptTokenCount":600,"candidatesTokenCount":400,"cachedContentTokenCount":100,"totalTokenCount":1000}"#,
                r#"{"promptTokenCount":600,"candidatesTokenCount":300,"thoughtsTokenCount":100,"totalTokenCount":1000}"#,
                r#"{"promptTokenCount":600,"candidatesTokenCount":400,"thoughtsTokenCount":100,"totalTokenCount":1000}"#,
                r#"{"promptTokenCount":600,"candidatesTokenCount":400,"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":400}],"totalTokenCount":1000}"#,
            ]);
            record.set("usageMetadata", usage);
            match self.dice.below(9) {
                0 => record.set("model", "\"gemini-2.5-pro\""),
                1 => record.set("tools", self.dice.pick(&TOOLS)),
                2 => record.set("service_tier", "\"flex\""),
                3 => record.set("channel", "\"ai_studio\""),
                4 => record.set("usage_tier", "\"tier2\""),
                5 => record.set("model_version", "\"gemini-2.5-flash\""),
                6 => record.set("status", "201"),
                7 => {
                    record.set(
                        "quantities",
                        self.dice.pick(&[
                            r#"{"grounding_search_query":3}"#,
                            r#"{"grounding_search_prompt":1}"#,
                            r#"{"grounding_search_prompt":1501,"grounding_maps_prompt":1}"#,
                        ]),
                    );
                }
                _ => {}
            }
            self.push(&record, identity(&id), Some(id.clone()));
        }
    }

    /// A stream: counts grow, some chunks have none, the clock stands still or goes on.
    fn chunks(&mut self) {
        let (mut record, id) = self.record_of_new_id();
        let mut at = self.at();
        let chunks = 2 + self.dice.below(4);
        let with_usage = self.dice.below(chunks);
        for chunk in 0..chunks {
            at += self.dice.pick(&[0, 1, SECOND / 2, 7 * SECOND]);
            self.stamp(&mut record, at);
            if chunk != with_usage && self.dice.one_in(2) {
                record.leave_out("usageMetadata");
            } else {
                let candidates = 10 * (chunk + 1);
                let total = if self.dice.one_in(3) {
                    String::new()
                } else {
                    format!(r#","totalTokenCount":{}"#, 90 + candidates)
                };
                record.set(
                    "usageMetadata",
                    format!(r#"{{"promptTokenCount":90,"candidatesTokenCount":{candidates}{total}}}"#),
                );
            }
            self.push(&record, identity(&id), Some(id.clone()));
        }
    }

    /// Failures under one id, some delivered twice, and perhaps a success; and another project's request of that id.
    fn retries(&mut self) {
        let (record, id) = self.record_of_new_id();
        let at = self.at();
        let failures = 1 + self.dice.below(4);
        for failure in 0..failures {
            let mut failed = record.clone();
            let at = at + failure as i64 / 2 * SECOND;
            let status = self.dice.pick(&["429", "\"RESOURCE_EXHAUSTED\"", "500", "\"failed\""]);
            self.stamp(&mut failed, at);
            failed.set("status", status);
            if self.dice.one_in(2) {
                failed.leave_out("usageMetadata");
            }
            let deliveries = 1 + self.dice.below(2);
            for _ in 0..deliveries {
                self.push(&failed, failed_identity(&id, status, at), Some(id.clone()));
            }
        }
        if self.dice.one_in(2) {
            self.push(&record, identity(&id), Some(id.clone()));
        }
        if self.dice.one_in(2) {
            let mut other = record;
            other.set("project_id", "\"p-other\"");
            self.push(&other, Made::Request(Some(format!("p-other {id}"))), Some(id));
        }
    }

    /// One request delivered several times, told apart by nothing that figures depend on.
    fn copies(&mut self) {
        let (mut record, id) = self.record_of_new_id();
        let copies = 2 + self.dice.below(3);
        for copy in 0..copies {
            record.set("labels", format!(r#"{{"team":"t{copy}","\u006eote":"é"}}"#));
            record.set("region", format!("\"region-{copy}\""));
            record.set("latency_ms", format!("{copy}.5"));
            record.set("api_key_id", format!("\"key {copy}\""));
            if self.dice.one_in(3) {
                let at = self.at();
                self.stamp(&mut record, at);
            }
            self.push(&record, identity(&id), Some(id.clone()));
        }
    }

    /// Methods without tokens, and those that have them in another way.
    fn other_method(&mut self) {
        let (mut record, id) = self.record_of_new_id();
        let method = self.dice.pick(&[
            "countTokens",
            "models.get",
            "cachedContents.create",
            "cachedContents.create",
            "cachedContents.patch",
            "cachedContents.delete",
            "batchGenerateContent",
            "bidiGenerateContent",
            "embedContent",
            "predict",
            "predictLongRunning",
            "interactions.create",
        ]);
        record.set("method", json(method));
        // Few names, so that caches are made twice, kept, given up, and looked for before they are made.
        let name = self.dice.pick(&["c", "cachedContents/d", "cachedContents/é"]);
        let expires = match self.dice.below(3) {
            0 => String::new(),
            _ => {
                let at = self.at() + self.dice.pick(&[0, 1, 60, 86_400, 864_000]) * SECOND;
                let at = at.min(9_214_646_399 * SECOND);
                let instant = Timestamp::from_nanosecond(i128::from(at)).expect("a year before 2262");
                format!(r#""expire_time":"{instant}","#)
            }
        };
        let tokens = 1 + self.dice.below(1 << 20);
        record.set(
            "cached_content",
            format!(
                r#"{{"name":{},{expires}"total_tokens":"{tokens}","display_name":{}}}"#,
                json(name),
                json(PROMPT)
            ),
        );
        match method {
            "models.get" => record.leave_out("model"),
            "predict" | "predictLongRunning" => {
                record.leave_out("usageMetadata");
                record.set("model", self.dice.pick(&["\"imagen-4.0-generate-001\"", "\"veo-3.1-generate-preview\""]));
                let meter = self.dice.pick(&QUANTITIES);
                record.set("quantities", format!(r#"{{"{meter}":{}}}"#, 1 + self.dice.below(8)));
            }
            "bidiGenerateContent" => record.set(
                "usageMetadata",
                r#"{"promptTokenCount":40,"responseTokenCount":30,"thoughtsTokenCount":5,"totalTokenCount":75,"responseTokensDetails":[{"modality":"AUDIO","tokenCount":30}]}"#,
            ),
            "embedContent" => record.set(
                "usageMetadata",
                r#"{"promptTokenCount":40,"promptTokenDetails":[{"modality":"VIDEO","tokenCount":40}]}"#,
            ),
            _ => {}
        }
        self.push(&record, identity(&id), Some(id));
    }

    /// API keys where names are expected; the same key is the same name.
    fn with_keys(&mut self) {
        let (mut record, id) = self.record_of_new_id();
        let key = self.dice.pick(&self.keys);
        let escaped = format!("\"\\u0041{}\"", &key[1..]);
        let mut project = "p-key".to_string();
        record.set("project_id", json(&project));
        let mut id = id;
        for _ in 0..1 + self.dice.below(3) {
            let spelled = if self.dice.one_in(2) { escaped.clone() } else { json(&key) };
            match self.dice.below(6) {
                0 => {
                    record.set("project_id", spelled);
                    project = key.clone();
                }
                1 => {
                    id = format!("{key}/{id}");
                    record.set("request_id", json(&id));
                }
                2 => record.set("model", format!("\"models/{key}\"")),
                3 => record.set("model_version", spelled),
                4 => {
                    record.set("model", format!("\"tunedModels/{key}\""));
                    record.set("base_model", spelled);
                }
                _ => record.set("tools", format!("[{spelled}]")),
            }
        }
        self.push(&record, Made::Request(Some(format!("{project} {id}"))), Some(id));
    }

    /// A line of just as many bytes as a line may have.
    fn just_short_enough(&mut self) {
        let (record, id) = self.record_of_new_id();
        let line = self.render(&record);
        let filler = r#"{"filler":"","#.len() - 1;
        if let Some(missing) = MAX_LINE.checked_sub(line.len() + filler) {
            let line = line.replacen('{', &format!(r#"{{"filler":"{}","#, "y".repeat(missing)), 1);
            self.lines.push(Line { bytes: line.into_bytes(), made: identity(&id), request_id: Some(id) });
        }
    }

    /// Another service's call, whatever else is wrong with it.
    fn other_service(&mut self) {
        let (mut record, _) = self.plain_record();
        let fault = self.dice.pick(FAULTS);
        if fault.0 != DuplicateKey && self.dice.one_in(2) {
            self.spoil(&mut record, &fault);
        }
        match self.dice.below(4) {
            0 => record.set("service", "\"aiplatform.googleapis.com\""),
            1 => record.set("service", json(PROMPT)),
            2 => record.set("usageMetadata", r#"{"trafficType":"ON_DEMAND","promptTokenCount":-1}"#),
            _ => record.set("usageMetadata", r#"{"trafficType":5}"#),
        }
        self.push(&record, Made::OtherService, None);
    }

    /// A line that is valid JSON and no request.
    fn fault(&mut self) {
        let (mut record, id) = self.plain_record();
        if self.dice.one_in(12) {
            // A field twice, in whatever way it is spelled.
            let line = self.render(&record);
            let field = self.dice.pick(&record.0.keys().copied().collect::<Vec<_>>());
            let line = line.replacen('{', &format!(r#"{{"{field}":{},"#, record.0[field]), 1);
            let made = Made::Refused(DuplicateKey);
            self.lines.push(Line { bytes: line.into_bytes(), made, request_id: None });
            return;
        }
        let fault = self.dice.pick(FAULTS);
        self.spoil(&mut record, &fault);
        let repeats = if fault.0 == MissingUsage { 1 + self.dice.below(3) } else { 1 };
        for _ in 0..repeats {
            self.push(&record, Made::Refused(fault.0), Some(id.clone()));
        }
    }

    /// One in which what is spoiled is all that is wrong, and nothing overrides it.
    fn plain_record(&mut self) -> (Record, String) {
        let (mut record, id) = self.record_of_new_id();
        record.set("usageMetadata", r#"{"promptTokenCount":5,"totalTokenCount":5}"#);
        for field in ["method", "service_tier", "quantities"] {
            record.leave_out(field);
        }
        (record, id)
    }

    fn spoil(&mut self, record: &mut Record, (_, edits): &Fault) {
        let key = self.dice.pick(&self.keys);
        let prompt = json(PROMPT);
        for (field, stands) in *edits {
            match stands {
                Some(stands) => {
                    record.set(
                        field,
                        stands.replace("PROMPT", &prompt[1..prompt.len() - 1]).replace("KEY", &key),
                    );
                }
                None => record.leave_out(field),
            }
        }
    }

    /// A line that is no JSON, no object, or too long.
    fn not_json(&mut self) {
        let mut record = self.record();
        record.set("contents", json(PROMPT));
        let mut reason = MalformedJson;
        let kind = self.dice.below(13);
        match kind {
            0 => record.set("latency_ms", "NaN"),
            1 => record.set("contents", r#""\ud83d tell me the zebra-secret""#),
            2 => record.set("contents", format!("{}{}", "[".repeat(128), "]".repeat(128))),
            3 => record.set("contents", "\"tell me\tthe zebra-secret\""),
            4 => record.set("status", "0200"),
            5 => record.set("contents", "'tell me the zebra-secret'"),
            _ => {}
        }
        let mut bytes = self.render(&record).into_bytes();
        match kind {
            6 => bytes.truncate(bytes.len() / 2 + self.dice.below(bytes.len() / 2)),
            7 => bytes.insert(2, 0xff),
            8 => bytes.extend(br#"{"zebra-secret":"#),
            9 => (bytes, reason) = (json(PROMPT).into_bytes(), NotAnObject),
            10 => (bytes, reason) = (format!(r#"[{{"text":{}}}]"#, json(PROMPT)).into_bytes(), NotAnObject),
            11 => (bytes, reason) = (self.dice.pick(&[&b"12"[..], b"null", b" true"]).to_vec(), NotAnObject),
            12 => {
                let extra = if self.dice.one_in(8) { 600 << 10 } else { MAX_LINE };
                bytes.splice(
                    1..1,
                    format!(r#""x":"{}","#, PROMPT.replace(['"', '\n'], " ").repeat(extra / 40)).bytes(),
                );
                reason = LineTooLong;
            }
            _ => {}
        }
        self.lines.push(Line { bytes, made: Made::Refused(reason), request_id: None });
    }

    fn record_of_new_id(&mut self) -> (Record, String) {
        self.next_id += 1;
        let id = format!("r-{}{}", self.next_id, if self.dice.one_in(8) { " é\"\\" } else { "" });
        let mut record = self.record();
        record.set("request_id", json(&id));
        record.set("project_id", json(project_of(&id)));
        (record, id)
    }

    /// A request that went well.
    fn record(&mut self) -> Record {
        let mut record = Record(BTreeMap::new());
        let at = self.at();
        self.stamp(&mut record, at);
        record.set("project_id", json(self.dice.pick(&PROJECTS)));
        record.set("model", json(self.dice.pick(&MODELS)));
        record.set("status", self.dice.pick(&OK));
        record.set("usageMetadata", self.usage());
        if self.dice.one_in(3) {
            record
                .set("method", self.dice.pick(&["\"generateContent\"", "\"streamGenerateContent\"", "\"\""]));
        }
        if self.dice.one_in(3) {
            record.set("service_tier", json(self.dice.pick(&SERVICE_TIERS)));
        }
        if self.dice.one_in(3) {
            let usage_tier = self.dice.pick(&["free", "tier1", "tier2", "tier3", "unknown", ""]);
            record.set("usage_tier", json(usage_tier));
        }
        if self.dice.one_in(5) {
            record.set("channel", self.dice.pick(&["\"api\"", "\"ai_studio\"", "\"ai_studio\""]));
        }
        if self.dice.one_in(2) {
            record.set("tools", self.dice.pick(&TOOLS));
        }
        if self.dice.one_in(4) {
            record.set("model_version", json(self.dice.pick(&MODELS)));
        }
        if record.0["model"] == "\"tunedModels/own\"" {
            record.set("base_model", "\"models/gemini-flash-latest\"");
        }
        if self.dice.one_in(4) {
            let meter = self.dice.pick(&QUANTITIES);
            record.set(
                "quantities",
                format!(r#"{{"{meter}":{}}}"#, self.dice.pick(&["0", "1", "\"3\"", "4.0"])),
            );
        }
        record
    }

    /// Counts whose parts agree, in many spellings; the total may not.
    fn usage(&mut self) -> String {
        let dice = &mut self.dice;
        if dice.one_in(20) {
            return "{}".to_string();
        }
        let mut some = |most: usize| -> [u64; 5] {
            std::array::from_fn(|_| if dice.one_in(2) { dice.below(most) as u64 } else { 0 })
        };
        let (mut prompt, mut output, tool) = (some(1000), some(200), some(100));
        let dice = &mut self.dice;
        if dice.one_in(5) {
            // At the edges of context bands and of context windows.
            let edge = dice.pick(&[128_000, 128_001, 200_000, 200_001, 1_048_577, 1 << 40]);
            prompt[0] = 0;
            prompt[0] = edge - prompt.iter().sum::<u64>();
        }
        let mut cached = [0; 5];
        if dice.one_in(2) {
            cached =
                prompt.map(|tokens| if dice.one_in(2) { dice.below(tokens as usize + 1) as u64 } else { 0 });
        }
        let mut thoughts = 0;
        if dice.one_in(3) {
            thoughts = dice.below(300) as u64;
        }
        let tool = if dice.one_in(3) { tool } else { [0; 5] };
        if dice.one_in(8) {
            output = [0; 5];
        }
        let sums = [prompt, cached, tool, output].map(|tokens| tokens.iter().sum::<u64>());
        let [prompt_sum, cached_sum, tool_sum, output_sum] = sums;
        let parts = prompt_sum + tool_sum + output_sum + thoughts;
        let total = match dice.below(8) {
            0 => None,
            1 => Some(parts + 1 + dice.below(50) as u64),
            2 => Some(parts.saturating_sub(1 + dice.below(50) as u64)),
            3 => Some(prompt_sum + tool_sum + output_sum),
            _ => Some(parts),
        };
        let mut members = Vec::new();
        let counts = [
            ("promptTokenCount", Some(prompt_sum)),
            ("cachedContentTokenCount", Some(cached_sum)),
            ("toolUsePromptTokenCount", Some(tool_sum)),
            ("candidatesTokenCount", Some(output_sum)),
            ("thoughtsTokenCount", Some(thoughts)),
            ("totalTokenCount", total.map(|total| total.min(1 << 40))),
        ];
        for (name, count) in counts {
            let Some(count) = count else { continue };
            if count > 0 || dice.one_in(3) {
                members.push(match dice.below(6) {
                    0 => format!(r#""{name}":"{count}""#),
                    1 => format!(r#""{name}":{count}.0"#),
                    _ => format!(r#""{name}":{count}"#),
                });
            }
        }
        for (name, tokens) in [
            ("promptTokensDetails", prompt),
            ("cacheTokensDetails", cached),
            ("toolUsePromptTokensDetails", tool),
            ("candidatesTokensDetails", output),
        ] {
            // Without the prompt's own, details of cached tokens would exceed them.
            let of_prompt = members.iter().any(|member| member.starts_with("\"promptTokensDetails"));
            if dice.one_in(3) || name == "cacheTokensDetails" && !of_prompt {
                continue;
            }
            let mut details: Vec<String> = Vec::new();
            for (modality, tokens) in tokens.iter().enumerate() {
                // What details leave over is text.
                if *tokens > 0 && !(modality == 0 && dice.one_in(2)) {
                    let modality = dice.pick(&MODALITIES[modality]);
                    details.push(format!(r#"{{"modality":{modality},"tokenCount":{tokens}}}"#));
                }
            }
            dice.shuffle(&mut details);
            members.push(format!(r#""{name}":[{}]"#, details.join(",")));
        }
        if dice.one_in(6) {
            members.push(format!(r#""serviceTier":"{}""#, dice.pick(&["STANDARD", "FLEX", "PRIORITY"])));
        }
        dice.shuffle(&mut members);
        format!("{{{}}}", members.join(","))
    }

    fn at(&mut self) -> i64 {
        let anchor = self.dice.pick(&self.anchors);
        let hours = 3 * 3_600 * SECOND;
        let distance = match self.dice.below(4) {
            0 | 1 => return anchor + self.dice.pick(&DISTANCES),
            2 => self.dice.below((2 * hours / SECOND) as usize) as i64 * SECOND,
            _ => self.dice.below(2 * hours as usize) as i64,
        };
        anchor - hours + distance
    }

    /// Writes a time in one of its spellings.
    fn stamp(&mut self, record: &mut Record, at: i64) {
        let instant = Timestamp::from_nanosecond(i128::from(at)).expect("a year before 2262");
        let text = match self.dice.below(6) {
            0 => instant.to_string().replace('T', "t").replace('Z', "z"),
            1 => instant.to_string().replace('T', " "),
            2 => instant.display_with_offset(Offset::constant(-7)).to_string(),
            3 => instant.display_with_offset(Offset::constant(9)).to_string().replace('T', " "),
            // More digits than nanoseconds; the rest is cut.
            4 => format!("{instant:.9}").replace('Z', "789Z"),
            _ => instant.to_string(),
        };
        record.set("timestamp", json(&text));
    }

    fn push(&mut self, record: &Record, made: Made, request_id: Option<String>) {
        let bytes = self.render(record).into_bytes();
        // Nothing else here is that long.
        assert!(bytes.len() <= MAX_LINE);
        self.lines.push(Line { bytes, made, request_id });
    }

    /// One line: fields in any order, keys and texts with escapes, prompts and keys beside.
    fn render(&mut self, record: &Record) -> String {
        let mut fields: Vec<(String, String)> =
            record.0.iter().map(|(field, json)| (field.to_string(), json.clone())).collect();
        let prompt = json(&PROMPT.repeat(self.prompts_repeated));
        for field in ["contents", "candidates", "systemInstruction"] {
            if !record.0.contains_key(field) && self.dice.one_in(2) {
                fields.push((field.to_string(), format!(r#"[{{"parts":[{{"text":{prompt}}}]}}]"#)));
            }
        }
        if !record.0.contains_key("labels") && self.dice.one_in(4) {
            let key = self.dice.pick(&self.keys);
            fields.push(("labels".to_string(), format!(r#"{{"team":"harbour","key":"{key}"}}"#)));
        }
        if !record.0.contains_key("api_key_id") && self.dice.one_in(4) {
            fields.push(("api_key_id".to_string(), json(&self.dice.pick(&self.keys))));
        }
        if self.dice.one_in(6) {
            fields.push(("url".to_string(), format!("\"https://x/v1?key={}\"", self.dice.pick(&self.keys))));
        }
        if self.dice.one_in(30) {
            fields.push(("deep".to_string(), format!("{}{}", "[".repeat(127), "]".repeat(127))));
        }
        self.dice.shuffle(&mut fields);
        let members: Vec<String> = fields
            .into_iter()
            .map(|(field, json)| {
                let space = self.dice.pick(&["", "", " ", "\t"]);
                let (first, rest) = field.split_at(1);
                if self.dice.one_in(10) {
                    format!("\"\\u{:04x}{rest}\"{space}:{space}{json}", first.as_bytes()[0])
                } else {
                    format!("\"{field}\"{space}:{space}{json}")
                }
            })
            .collect();
        format!("{{{}}}", members.join(","))
    }

    /// A packed file that ends early: without its check, or within its second frame.
    fn broken(&mut self) -> (Vec<u8>, Vec<Line>) {
        self.prompts_repeated = 1;
        let wanted = 1 + self.dice.below(5);
        for _ in 0..wanted {
            let (record, id) = self.record_of_new_id();
            self.push(&record, identity(&id), Some(id));
        }
        let lines = std::mem::take(&mut self.lines);
        let bytes = text(&lines);
        if self.dice.one_in(2) {
            let packed = gz(&bytes);
            return (packed[..packed.len() - 6].to_vec(), lines);
        }
        let mut packed = zst(&bytes);
        let second = zst(&bytes);
        packed.extend(&second[..second.len() / 2]);
        (packed, lines)
    }

    fn accounts(&mut self) -> String {
        let spell = |at: i64| Timestamp::from_nanosecond(i128::from(at)).expect("an instant").to_string();
        let [first, second] = self.anchors;
        // In the middle of a second, and to the nanosecond.
        let upgrades = [
            ("free", first - 3_600 * SECOND),
            ("tier1", first + SECOND / 2),
            ("tier2", second - 1),
            ("tier3", second + 60 * SECOND),
        ];
        let upgrades = upgrades.map(|(usage_tier, from)| {
            format!("[[projects.usage_tiers]]\nusage_tier = \"{usage_tier}\"\nfrom = {}\n", spell(from))
        });
        let scope = self.dice.pick(&["", "", "allowance_scope = \"billing_account\"\n"]);
        let default = if self.dice.one_in(2) { "default_usage_tier = \"tier1\"\n" } else { "" };
        let late = spell(second);
        format!(
            "{default}{scope}\
             [[billing_accounts]]\nid = \"acct-1\"\nspent_before = \"99.99\"\nfirst_payment = 2020-01-01\n\
             [[billing_accounts.credits]]\nname = \"b\"\nusd = \"0.05\"\n\
             [[billing_accounts.credits]]\nname = \"a\"\nusd = \"0.0001\"\nuntil = 2026-06-01\n\
             [[projects]]\nid = \"p-upgrade\"\nbilling_account = \"acct-1\"\n{}\
             [[projects.limits]]\nmodel = \"gemini-2.5-flash\"\nmetric = \"rpm\"\nvalue = 3\nfrom = 1970-01-01\n\
             [[projects]]\nid = \"p-free\"\n[[projects.usage_tiers]]\nusage_tier = \"free\"\nfrom = 1970-01-01T00:00:00Z\n\
             [[projects]]\nid = \"p-late\"\n[[projects.usage_tiers]]\nusage_tier = \"tier1\"\nfrom = {late}\n\
             [[projects]]\nid = \"p-paid\"\nbilling_account = \"acct-1\"\n\
             [[projects.usage_tiers]]\nusage_tier = \"tier3\"\nfrom = 1970-01-01T00:00:00Z\n\
             [[tuned_models]]\nmodel = \"tunedModels/support-7\"\nbase = \"gemini-2.5-flash-preview-09-2025\"\n",
            upgrades.concat()
        )
    }
}

/// Ids say which project they are of, so that an identity is known by its id.
fn project_of(id: &str) -> &'static str {
    PROJECTS[id.bytes().map(usize::from).sum::<usize>() % PROJECTS.len()]
}

fn identity(id: &str) -> Made {
    Made::Request(Some(format!("{} {id}", project_of(id))))
}

/// A failed request is the same only with the same status and timestamp.
fn failed_identity(id: &str, status: &str, at: i64) -> Made {
    let http = match status {
        "\"RESOURCE_EXHAUSTED\"" => "429",
        "\"INTERNAL\"" => "500",
        "\"DEADLINE_EXCEEDED\"" => "504",
        _ => status,
    };
    Made::Request(Some(format!("{} {id} {http} {at}", project_of(id))))
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
