//! Owns the canonical record (design §3): one JSON object a line, decoded in one pass into a request, or refused with
//! the first reason that holds. It lacks nothing. Which record of an identity counts is for `mediate`.
//!
//! A line is read to its end before it is judged: a fault in its last byte (`malformed_json`) comes before one in its
//! first field. So faults are noted with their reason, and the first in the order of reasons is given.

use std::borrow::Cow;

use foldhash::fast::RandomState;
use hashbrown::HashSet;
use jiff::tz::TimeZone;

use crate::books::methods::{MethodLine, Methods};
use crate::read::json::{Json, Kind, Malformed};
use crate::suspense::{Refusal, quoted};
use crate::types::day::Instant;
use crate::types::meter::{ByModality, Modality, QUANTITIES};
use crate::types::reason::Reason;
use crate::types::request::{Facts, MethodKind, Request, Status, TUNED, Tools, model_name};
use crate::types::tier::{Channel, ServiceTier, UsageTier};
use crate::types::usage::{Counts, GREATEST_COUNT, Usage};

const SERVICE: &str = "generativelanguage.googleapis.com";
const DEFAULT_METHOD: &str = "generateContent";

/// A sum of details that exceeds any count; so that sums of forged details stay in 64 bits.
const GREATEST_SUM: u64 = GREATEST_COUNT << 10;

/// What decides how lines are read.
pub struct Decoder<'d> {
    methods: &'d Methods,
    /// For lines without a project.
    project: Option<&'d str>,
    /// For times without an offset.
    time_zone: Option<&'d TimeZone>,
}

/// What a line is.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every line is a request, and a box each costs more than moving it"
)]
pub enum Decoded<'line> {
    Request(Request<'line>),
    NotRequest(NotRequest),
    Refused(Box<Refusal<'line>>),
}

/// Why a whole line is no call of this API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NotRequest {
    /// Another service's call: Vertex AI, or a `service` that isn't this API's.
    OtherService,
}

impl NotRequest {
    pub fn name(self) -> &'static str {
        match self {
            NotRequest::OtherService => "other_service",
        }
    }
}

impl<'d> Decoder<'d> {
    pub fn new(
        methods: &'d Methods,
        project: Option<&'d str>,
        time_zone: Option<&'d TimeZone>,
    ) -> Decoder<'d> {
        Decoder {
            methods,
            project,
            time_zone,
        }
    }

    pub fn decode<'line>(&'line self, line: &'line [u8]) -> Decoded<'line> {
        let Ok(text) = std::str::from_utf8(line) else {
            return refused(Reason::MalformedJson, "the line isn't valid UTF-8");
        };
        let mut json = Json::new(text);
        match json.kind() {
            Ok(Kind::Object) => {}
            Ok(kind) if json.skip().and_then(|()| json.end()).is_ok() => {
                return refused(
                    Reason::NotAnObject,
                    format!("the line is {}; expected an object", kind.name()),
                );
            }
            _ => return refused(Reason::MalformedJson, "the line isn't valid JSON"),
        }
        let mut record = Record::default();
        match record.read(&mut json) {
            Ok(()) => self.judge(record),
            Err(Malformed) => refused(Reason::MalformedJson, "the line isn't valid JSON"),
        }
    }

    fn judge<'line>(&'line self, mut record: Record<'line>) -> Decoded<'line> {
        let mut faults = record.faults;
        let method = self
            .methods
            .named(record.method.as_deref().unwrap_or(DEFAULT_METHOD));
        let line = method.map(|method| self.methods.find(method));
        let inference = line.is_some_and(|line| line.kind == MethodKind::Inference);
        let creates_cache = line.is_some_and(|line| &*line.name == "cachedContents.create");
        if inference || creates_cache {
            faults.merge(&mut record.usage.total_faults);
        }
        if inference {
            faults.merge(&mut record.usage.faults);
            faults.merge(&mut record.quantities.faults);
        }
        faults.merge(&mut record.usage.traffic_faults);
        let doubled = matches!(faults.first, Some((Reason::DuplicateKey, _)));
        let other_service = record
            .service
            .as_deref()
            .is_some_and(|service| service != SERVICE);
        if !doubled && (other_service || record.usage.traffic_type) {
            return Decoded::NotRequest(NotRequest::OtherService);
        }

        let project_id = record.project_id.or(self.project.map(Cow::Borrowed));
        let model = record
            .model
            .map(strip_model)
            .filter(|model| !model.is_empty());
        for (missing, field) in [
            (record.timestamp.is_none(), "timestamp"),
            (
                project_id.is_none() && !record.mistyped_project_id,
                "project_id",
            ),
            (record.status.is_none(), "status"),
            (
                model.is_none()
                    && !record.mistyped_model
                    && line.is_some_and(MethodLine::needs_model),
                "model",
            ),
        ] {
            if missing {
                faults.note(Reason::MissingField, || format!("there is no {field}"));
            }
        }
        let at = faults.read_or(record.timestamp, Reason::BadTimestamp, |text| {
            Instant::parse(&text, self.time_zone)
                .map_err(|why| format!("timestamp is {}; {why}", quoted(&text)))
        });
        let status = faults.read_or(record.status, Reason::BadStatus, |text| {
            let found = match &text {
                Scalar::Number(digits) => whole_number(digits).and_then(Status::from_http),
                Scalar::Text(text) => Status::from_log(text),
            };
            let expected = "expected 2xx, 4xx, 5xx, a gRPC code name or failed";
            found.ok_or_else(|| format!("status is {}; {expected}", text.quoted()))
        });
        if method.is_none() {
            let found = quoted(record.method.as_deref().unwrap_or(DEFAULT_METHOD));
            faults.note(Reason::UnknownMethod, || {
                format!("method is {found}; no line of the methods book has it")
            });
        }
        let usage_tier = faults.read_or(record.usage_tier, Reason::BadUsageTier, |word| {
            let expected = "expected free, tier1, tier2, tier3 or unknown";
            UsageTier::from_name(&word)
                .ok_or_else(|| format!("usage_tier is {}; {expected}", quoted(&word)))
        });
        let channel = faults.read_or(record.channel, Reason::BadChannel, |word| {
            let expected = "expected api or ai_studio";
            Channel::from_name(&word)
                .ok_or_else(|| format!("channel is {}; {expected}", quoted(&word)))
        });
        let served = record.usage.service_tier.take().filter(|_| inference);
        let service_tier = service_tier(line, record.service_tier, served, &mut faults);
        let went_well = status.is_some_and(Status::went_well);
        record.cached_content.judge(
            line,
            went_well,
            record.usage.total.is_some(),
            self.time_zone,
            &mut faults,
        );

        let has_usage = record.usage.present || record.quantities.not_empty;
        let usage_missing = inference && went_well && !has_usage;
        if usage_missing {
            // Another record of its identity may have the usage, so it isn't refused here (design §3, Identity).
            faults.drop_after(Reason::MissingUsage);
        }
        let usage = if inference && !usage_missing {
            let mut counts = record.usage.counts();
            counts.thoughts_outside |= line.is_some_and(MethodLine::is_live);
            counts.quantities = record.quantities.counts;
            faults.read_or(Some(counts), Reason::InconsistentCounts, |counts| {
                Usage::from_counts(&counts)
            })
        } else {
            None
        };

        let (request_id, doubled_at) = (record.request_id, record.doubled_timestamp);
        if let Some((reason, detail)) = faults.first {
            let at = at.filter(|_| !doubled_at);
            return Decoded::Refused(Box::new(Refusal {
                reason,
                detail,
                at,
                request_id,
                project_id,
                model,
            }));
        }
        let (Some(at), Some(project_id), Some(status), Some(method)) =
            (at, project_id, status, method)
        else {
            unreachable!("what is missing was noted as a fault");
        };
        let tuned = model
            .as_deref()
            .is_some_and(|model| model.starts_with(TUNED));
        let named = |name: Option<Cow<'line, str>>, wanted: bool| {
            name.filter(|_| wanted).map(strip_model).unwrap_or_default()
        };
        Decoded::Request(Request {
            at,
            request_id,
            facts: Facts {
                project_id,
                model: model.unwrap_or_default(),
                model_version: named(record.model_version, !tuned),
                base_model: named(record.base_model, tuned),
                method,
                status,
                service_tier: service_tier.unwrap_or(ServiceTier::Standard),
                usage_tier: usage_tier.filter(|usage_tier| *usage_tier != UsageTier::Unknown),
                channel: channel.unwrap_or(Channel::Api),
                tools: record.tools.unwrap_or(Tools::NotLogged),
            },
            usage,
            usage_missing,
        })
    }
}

fn refused(reason: Reason, detail: impl Into<String>) -> Decoded<'static> {
    Decoded::Refused(Box::new(Refusal::of_line(reason, detail)))
}

/// The tier that was served. Batch, by the record or by its method, is never overridden: responses of a batch say
/// STANDARD. Only the spelling that counts is judged.
fn service_tier(
    method: Option<&MethodLine>,
    own: Option<Cow<'_, str>>,
    served: Option<Cow<'_, str>>,
    faults: &mut Faults,
) -> Option<ServiceTier> {
    let own_tier = own.as_deref().map(ServiceTier::from_log);
    if method.is_some_and(MethodLine::is_batch) || own_tier == Some(Some(ServiceTier::Batch)) {
        return Some(ServiceTier::Batch);
    }
    faults.read_or(served.or(own), Reason::UnknownServiceTier, |word| {
        let expected = "expected standard, batch, flex or priority";
        ServiceTier::from_log(&word)
            .ok_or_else(|| format!("service_tier is {}; {expected}", quoted(&word)))
    })
}

fn strip_model(name: Cow<'_, str>) -> Cow<'_, str> {
    match name {
        Cow::Borrowed(name) => Cow::Borrowed(model_name(name)),
        Cow::Owned(name) => Cow::Owned(model_name(&name).to_string()),
    }
}

/// The first fault in the order of reasons.
#[derive(Default)]
struct Faults {
    first: Option<(Reason, String)>,
}

impl Faults {
    fn note(&mut self, reason: Reason, detail: impl FnOnce() -> String) {
        if self.first.as_ref().is_none_or(|(first, _)| reason < *first) {
            self.first = Some((reason, detail()));
        }
    }

    fn merge(&mut self, other: &mut Faults) {
        if let Some((reason, detail)) = other.first.take() {
            self.note(reason, || detail);
        }
    }

    fn drop_after(&mut self, last: Reason) {
        self.first.take_if(|(reason, _)| *reason > last);
    }

    /// Reads what is there, noting why it can't be read.
    fn read_or<F, T>(
        &mut self,
        found: Option<F>,
        reason: Reason,
        read: impl FnOnce(F) -> Result<T, String>,
    ) -> Option<T> {
        match read(found?) {
            Ok(value) => Some(value),
            Err(detail) => {
                self.note(reason, || detail);
                None
            }
        }
    }

    fn doubled(&mut self, field: &str) {
        self.note(Reason::DuplicateKey, || format!("{field} stands twice"));
    }

    fn wrong_type(&mut self, field: &str, found: Kind, expected: &str) {
        self.note(Reason::WrongType, || {
            format!("{field} is {}; expected {expected}", found.name())
        });
    }

    fn bad_count(&mut self, field: &str, found: &str) {
        self.note(Reason::BadCount, || {
            format!("{field} is {found}; expected a whole number from 0 to 2^40")
        });
    }

    /// A field that holds a text: missing when null or empty.
    fn text<'line>(
        &mut self,
        json: &mut Json<'line>,
        field: &str,
    ) -> Result<Option<Cow<'line, str>>, Malformed> {
        match json.kind()? {
            Kind::String => json
                .string()
                .map(|text| Some(text).filter(|text| !text.is_empty())),
            kind => {
                if kind != Kind::Null {
                    self.wrong_type(field, kind, "a string");
                }
                json.skip().map(|()| None)
            }
        }
    }

    /// A count: missing when null or empty.
    fn count(&mut self, json: &mut Json<'_>, field: &str) -> Result<Option<u64>, Malformed> {
        match json.kind()? {
            Kind::Number => {
                let digits = json.number()?;
                let count = whole_number(digits).filter(|count| *count <= GREATEST_COUNT);
                if count.is_none() {
                    self.bad_count(field, digits.get(..24).unwrap_or(digits));
                }
                Ok(count)
            }
            Kind::String => {
                let text = json.string()?;
                if text.is_empty() {
                    return Ok(None);
                }
                let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                let count = whole_number(&text).filter(|count| digits && *count <= GREATEST_COUNT);
                if count.is_none() {
                    self.bad_count(field, &quoted(&text));
                }
                Ok(count)
            }
            kind => {
                if kind != Kind::Null {
                    self.bad_count(field, kind.name());
                }
                json.skip().map(|()| None)
            }
        }
    }

    /// Whether a field holds what is expected; when it doesn't, it is read to its end.
    fn is(&mut self, expected: Kind, json: &mut Json<'_>, field: &str) -> Result<bool, Malformed> {
        let kind = json.kind()?;
        if kind == expected {
            return Ok(true);
        }
        if !is_missing(json)? {
            self.wrong_type(field, kind, expected.name());
        }
        Ok(false)
    }
}

/// `12`, `12.0` as dataframes write it, `-0`; None for all else, exponents too.
fn whole_number(digits: &str) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if fraction.bytes().any(|digit| digit != b'0') {
        return None;
    }
    match whole.strip_prefix('-') {
        Some(whole) => (!whole.is_empty() && whole.bytes().all(|digit| digit == b'0')).then_some(0),
        None => whole.parse().ok(),
    }
}

/// A status as it may be written.
enum Scalar<'line> {
    Number(&'line str),
    Text(Cow<'line, str>),
}

impl Scalar<'_> {
    fn quoted(&self) -> String {
        match self {
            Scalar::Number(digits) => digits.get(..24).unwrap_or(digits).to_string(),
            Scalar::Text(text) => quoted(text),
        }
    }
}

/// The fields of a record as they lie in the line, missing ones None.
#[derive(Default)]
struct Record<'line> {
    request_id: Option<Cow<'line, str>>,
    timestamp: Option<Cow<'line, str>>,
    doubled_timestamp: bool,
    project_id: Option<Cow<'line, str>>,
    /// It is there, so it isn't missing, but it is no string.
    mistyped_project_id: bool,
    model: Option<Cow<'line, str>>,
    mistyped_model: bool,
    model_version: Option<Cow<'line, str>>,
    base_model: Option<Cow<'line, str>>,
    method: Option<Cow<'line, str>>,
    status: Option<Scalar<'line>>,
    service: Option<Cow<'line, str>>,
    service_tier: Option<Cow<'line, str>>,
    usage_tier: Option<Cow<'line, str>>,
    channel: Option<Cow<'line, str>>,
    /// None where the log doesn't say.
    tools: Option<Tools>,
    usage: UsageMetadata<'line>,
    quantities: Quantities,
    cached_content: CachedContent<'line>,
    faults: Faults,
    /// A bit for each field that was seen.
    seen: u32,
}

impl<'line> Record<'line> {
    fn read(&mut self, json: &mut Json<'line>) -> Result<(), Malformed> {
        json.object(|json, key| self.field(json, key))?;
        json.end()
    }

    fn field(&mut self, json: &mut Json<'line>, key: &str) -> Result<(), Malformed> {
        let (bit, known) = match key {
            "request_id" => (0, "request_id"),
            "timestamp" => (1, "timestamp"),
            "project_id" => (2, "project_id"),
            "model" => (3, "model"),
            "method" => (4, "method"),
            "status" => (5, "status"),
            "usageMetadata" => (6, "usageMetadata"),
            "service_tier" => (7, "service_tier"),
            "usage_tier" => (8, "usage_tier"),
            "channel" => (9, "channel"),
            "service" => (10, "service"),
            "api_key_id" => (11, "api_key_id"),
            "region" => (12, "region"),
            "base_model" => (13, "base_model"),
            "model_version" => (14, "model_version"),
            "latency_ms" => (15, "latency_ms"),
            "labels" => (16, "labels"),
            "quantities" => (17, "quantities"),
            "tools" => (18, "tools"),
            "cached_content" => (19, "cached_content"),
            _ => return json.skip(),
        };
        if self.seen & 1 << bit != 0 {
            self.faults.doubled(known);
            // Which one counts is unknown, so neither is shown.
            match known {
                "timestamp" => self.doubled_timestamp = true,
                "request_id" => self.request_id = None,
                "project_id" => self.project_id = None,
                "model" => self.model = None,
                _ => {}
            }
            return json.skip();
        }
        self.seen |= 1 << bit;
        let faults = &mut self.faults;
        match known {
            "request_id" => self.request_id = faults.text(json, known)?,
            "project_id" => {
                self.mistyped_project_id = is_mistyped(json.kind()?);
                self.project_id = faults.text(json, known)?;
            }
            "model" => {
                self.mistyped_model = is_mistyped(json.kind()?);
                self.model = faults.text(json, known)?;
            }
            "method" => self.method = faults.text(json, known)?,
            "service" => self.service = faults.text(json, known)?,
            "service_tier" => self.service_tier = faults.text(json, known)?,
            "usage_tier" => self.usage_tier = faults.text(json, known)?,
            "channel" => self.channel = faults.text(json, known)?,
            "base_model" => self.base_model = faults.text(json, known)?,
            "model_version" => self.model_version = faults.text(json, known)?,
            "api_key_id" | "region" => drop(faults.text(json, known)?),
            "timestamp" => match json.kind()? {
                Kind::String => {
                    self.timestamp = Some(json.string()?).filter(|text| !text.is_empty())
                }
                kind => {
                    if kind != Kind::Null {
                        faults.note(Reason::BadTimestamp, || {
                            format!("timestamp is {}; expected a string", kind.name())
                        });
                        // It is there, so it isn't missing.
                        self.timestamp = Some(Cow::Borrowed("?"));
                    }
                    json.skip()?;
                }
            },
            "status" => match json.kind()? {
                Kind::Number => self.status = Some(Scalar::Number(json.number()?)),
                Kind::String => {
                    self.status = Some(json.string()?)
                        .filter(|text| !text.is_empty())
                        .map(Scalar::Text);
                }
                kind => {
                    if kind != Kind::Null {
                        self.status = Some(Scalar::Text(Cow::Borrowed(kind.name())));
                    }
                    json.skip()?;
                }
            },
            "latency_ms" => {
                if faults.is(Kind::Number, json, known)? {
                    json.skip()?;
                }
            }
            "labels" => labels(json, faults)?,
            "tools" => self.tools = tools(json, faults)?,
            "quantities" => {
                if faults.is(Kind::Object, json, known)? {
                    self.quantities.read(json)?;
                }
            }
            "usageMetadata" => {
                if faults.is(Kind::Object, json, known)? {
                    self.usage.read(json)?;
                }
            }
            _ => {
                if faults.is(Kind::Object, json, known)? {
                    self.cached_content.read(json, faults)?;
                }
            }
        }
        Ok(())
    }
}

/// Whether a text field holds something that is neither a text nor missing.
fn is_mistyped(kind: Kind) -> bool {
    !matches!(kind, Kind::String | Kind::Null)
}

fn labels(json: &mut Json<'_>, faults: &mut Faults) -> Result<(), Malformed> {
    if !faults.is(Kind::Object, json, "labels")? {
        return Ok(());
    }
    let mut seen: HashSet<String, RandomState> = HashSet::default();
    json.object(|json, key| {
        if !seen.insert(key.to_string()) {
            faults.doubled("a label");
        }
        faults.text(json, "a label").map(|_| ())
    })
}

fn tools(json: &mut Json<'_>, faults: &mut Faults) -> Result<Option<Tools>, Malformed> {
    if !faults.is(Kind::Array, json, "tools")? {
        return Ok(None);
    }
    let (mut named, mut search_only) = (false, true);
    json.array(|json| {
        if let Some(tool) = faults.text(json, "a tool")? {
            named = true;
            search_only &= tool == "google_search";
        }
        Ok(())
    })?;
    Ok(Some(if named && search_only {
        Tools::SearchOnly
    } else {
        Tools::Others
    }))
}

/// The members of usageMetadata. Faults are kept by whether they matter: most only for inference methods.
#[derive(Default)]
struct UsageMetadata<'line> {
    present: bool,
    traffic_type: bool,
    service_tier: Option<Cow<'line, str>>,
    prompt: Option<u64>,
    cached: Option<u64>,
    candidates: Option<u64>,
    response: Option<u64>,
    tool: Option<u64>,
    thoughts: Option<u64>,
    total: Option<u64>,
    prompt_details: Option<ByModality>,
    embed_details: Option<ByModality>,
    cached_details: Option<ByModality>,
    candidates_details: Option<ByModality>,
    response_details: Option<ByModality>,
    tool_details: Option<ByModality>,
    faults: Faults,
    /// Of `totalTokenCount`, which a cache's creation has too.
    total_faults: Faults,
    /// Of `trafficType`, which is read of every method.
    traffic_faults: Faults,
    seen: u32,
}

impl<'line> UsageMetadata<'line> {
    fn read(&mut self, json: &mut Json<'line>) -> Result<(), Malformed> {
        self.present = true;
        json.object(|json, key| self.member(json, key))
    }

    fn member(&mut self, json: &mut Json<'line>, key: &str) -> Result<(), Malformed> {
        let (bit, known) = match key {
            "promptTokenCount" => (0, "promptTokenCount"),
            "candidatesTokenCount" => (1, "candidatesTokenCount"),
            "totalTokenCount" => (2, "totalTokenCount"),
            "thoughtsTokenCount" => (3, "thoughtsTokenCount"),
            "cachedContentTokenCount" => (4, "cachedContentTokenCount"),
            "toolUsePromptTokenCount" => (5, "toolUsePromptTokenCount"),
            "promptTokensDetails" => (6, "promptTokensDetails"),
            "candidatesTokensDetails" => (7, "candidatesTokensDetails"),
            "cacheTokensDetails" => (8, "cacheTokensDetails"),
            "toolUsePromptTokensDetails" => (9, "toolUsePromptTokensDetails"),
            "serviceTier" => (10, "serviceTier"),
            "trafficType" => (11, "trafficType"),
            "responseTokenCount" => (12, "responseTokenCount"),
            "responseTokensDetails" => (13, "responseTokensDetails"),
            "promptTokenDetails" => (14, "promptTokenDetails"),
            _ => return json.skip(),
        };
        if self.seen & 1 << bit != 0 {
            match known {
                "trafficType" => self.traffic_faults.doubled(known),
                "totalTokenCount" => self.total_faults.doubled(known),
                _ => self.faults.doubled(known),
            }
            return json.skip();
        }
        self.seen |= 1 << bit;
        let faults = &mut self.faults;
        match known {
            "promptTokenCount" => self.prompt = faults.count(json, known)?,
            "candidatesTokenCount" => self.candidates = faults.count(json, known)?,
            "responseTokenCount" => self.response = faults.count(json, known)?,
            "totalTokenCount" => self.total = self.total_faults.count(json, known)?,
            "thoughtsTokenCount" => self.thoughts = faults.count(json, known)?,
            "cachedContentTokenCount" => self.cached = faults.count(json, known)?,
            "toolUsePromptTokenCount" => self.tool = faults.count(json, known)?,
            "promptTokensDetails" => self.prompt_details = details(json, faults, known)?,
            "promptTokenDetails" => self.embed_details = details(json, faults, known)?,
            "candidatesTokensDetails" => self.candidates_details = details(json, faults, known)?,
            "responseTokensDetails" => self.response_details = details(json, faults, known)?,
            "cacheTokensDetails" => self.cached_details = details(json, faults, known)?,
            "toolUsePromptTokensDetails" => self.tool_details = details(json, faults, known)?,
            "serviceTier" => self.service_tier = faults.text(json, known)?,
            // Only Vertex AI has it; whatever it says, the line is another bill's.
            _ => match json.kind()? {
                Kind::String => self.traffic_type = !json.string()?.is_empty(),
                kind => {
                    self.traffic_type = kind != Kind::Null;
                    json.skip()?;
                }
            },
        }
        Ok(())
    }

    fn counts(&self) -> Counts {
        Counts {
            prompt: self.prompt.unwrap_or(0),
            cached: self.cached.unwrap_or(0),
            candidates: self.candidates.or(self.response).unwrap_or(0),
            tool: self.tool.unwrap_or(0),
            thoughts: self.thoughts.unwrap_or(0),
            total: self.total,
            prompt_details: self
                .prompt_details
                .or(self.embed_details)
                .unwrap_or_default(),
            cached_details: self.cached_details.unwrap_or_default(),
            candidates_details: self
                .candidates_details
                .or(self.response_details)
                .unwrap_or_default(),
            tool_details: self.tool_details.unwrap_or_default(),
            thoughts_outside: self.response.is_some() || self.response_details.is_some(),
            quantities: [0; QUANTITIES.len()],
        }
    }
}

/// A list of `{modality, tokenCount}`, summed by modality.
fn details(
    json: &mut Json<'_>,
    faults: &mut Faults,
    field: &str,
) -> Result<Option<ByModality>, Malformed> {
    if !faults.is(Kind::Array, json, field)? {
        return Ok(None);
    }
    let mut sums = ByModality::default();
    json.array(|json| {
        if !faults.is(Kind::Object, json, field)? {
            return Ok(());
        }
        let (mut modality, mut tokens) = (None, None);
        json.object(|json, key| match key {
            "modality" if modality.is_some() => {
                faults.doubled("modality");
                json.skip()
            }
            "modality" => {
                modality = Some(read_modality(json, faults)?);
                Ok(())
            }
            "tokenCount" if tokens.is_some() => {
                faults.doubled("tokenCount");
                json.skip()
            }
            "tokenCount" => {
                tokens = Some(faults.count(json, "tokenCount")?);
                Ok(())
            }
            _ => json.skip(),
        })?;
        let sum = &mut sums[modality.unwrap_or(Modality::Text) as usize];
        *sum = (*sum + tokens.flatten().unwrap_or(0)).min(GREATEST_SUM);
        Ok(())
    })?;
    Ok(Some(sums))
}

fn read_modality(json: &mut Json<'_>, faults: &mut Faults) -> Result<Modality, Malformed> {
    let (found, spelling) = match json.kind()? {
        Kind::Null => return json.skip().map(|()| Modality::Text),
        Kind::String => {
            let word = json.string()?;
            if word.is_empty() {
                return Ok(Modality::Text);
            }
            (Modality::from_log(&word), quoted(&word))
        }
        Kind::Number => {
            let digits = json.number()?;
            (
                whole_number(digits).and_then(Modality::from_proto),
                digits.get(..24).unwrap_or(digits).to_string(),
            )
        }
        kind => {
            faults.wrong_type("modality", kind, "a string");
            return json.skip().map(|()| Modality::Text);
        }
    };
    if found.is_none() {
        let expected = "expected text, image, video, audio or document";
        faults.note(Reason::UnknownModality, || {
            format!("modality is {spelling}; {expected}")
        });
    }
    Ok(found.unwrap_or(Modality::Text))
}

/// What has no token, by meter.
#[derive(Default)]
struct Quantities {
    not_empty: bool,
    counts: [u64; QUANTITIES.len()],
    faults: Faults,
    seen: u32,
}

impl Quantities {
    fn read(&mut self, json: &mut Json<'_>) -> Result<(), Malformed> {
        json.object(|json, key| {
            let Some(place) = QUANTITIES.iter().position(|meter| meter.name() == key) else {
                if !is_missing(json)? {
                    self.not_empty = true;
                    self.faults.note(Reason::UnknownMeter, || {
                        format!("quantities has {}, which is no meter", quoted(key))
                    });
                }
                return Ok(());
            };
            if self.seen & 1 << place != 0 {
                self.faults.doubled(QUANTITIES[place].name());
                return json.skip();
            }
            self.seen |= 1 << place;
            let count = self.faults.count(json, QUANTITIES[place].name())?;
            self.not_empty |= count.is_some() || self.faults.first.is_some();
            self.counts[place] = count.unwrap_or(0);
            Ok(())
        })
    }
}

/// Reads any value; whether it is missing.
fn is_missing(json: &mut Json<'_>) -> Result<bool, Malformed> {
    match json.kind()? {
        Kind::String => json.string().map(|text| text.is_empty()),
        kind => json.skip().map(|()| kind == Kind::Null),
    }
}

/// What cache storage will need: checked here, so that a log is mended before it does.
#[derive(Default)]
struct CachedContent<'line> {
    name: Option<Cow<'line, str>>,
    expire_time: Option<Cow<'line, str>>,
    total_tokens: Option<u64>,
    seen: u32,
}

impl<'line> CachedContent<'line> {
    fn read(&mut self, json: &mut Json<'line>, faults: &mut Faults) -> Result<(), Malformed> {
        json.object(|json, key| {
            let (bit, known) = match key {
                "name" => (0, "name"),
                "expire_time" => (1, "expire_time"),
                "total_tokens" => (2, "total_tokens"),
                _ => return json.skip(),
            };
            if self.seen & 1 << bit != 0 {
                faults.doubled(known);
                return json.skip();
            }
            self.seen |= 1 << bit;
            match known {
                "name" => self.name = faults.text(json, known)?,
                "total_tokens" => self.total_tokens = faults.count(json, known)?,
                _ => match json.kind()? {
                    Kind::String => {
                        self.expire_time = Some(json.string()?).filter(|text| !text.is_empty())
                    }
                    kind => {
                        if kind != Kind::Null {
                            faults.note(Reason::BadTimestamp, || {
                                format!("expire_time is {}; expected a string", kind.name())
                            });
                        }
                        json.skip()?;
                    }
                },
            }
            Ok(())
        })
    }

    fn judge(
        &self,
        method: Option<&MethodLine>,
        went_well: bool,
        has_total: bool,
        time_zone: Option<&TimeZone>,
        faults: &mut Faults,
    ) {
        faults.read_or(self.expire_time.as_deref(), Reason::BadTimestamp, |text| {
            Instant::parse(text, time_zone)
                .map_err(|why| format!("expire_time is {}; {why}", quoted(text)))
        });
        let name = method.map_or("", |line| &line.name);
        let creates = name == "cachedContents.create";
        if went_well
            && (creates || matches!(name, "cachedContents.patch" | "cachedContents.delete"))
        {
            if self.name.is_none() {
                faults.note(Reason::MissingField, || {
                    "there is no cached_content.name".to_string()
                });
            }
            if creates && self.total_tokens.is_none() && !has_total {
                faults.note(Reason::MissingField, || {
                    "there is no cached_content.total_tokens".to_string()
                });
            }
        }
    }
}
