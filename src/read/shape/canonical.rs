//! Owns the canonical record (design §3): one JSON object a line, decoded in one pass into a request, or refused with
//! the first reason that holds. It lacks nothing. Which record of an identity counts is for `mediate`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::cached_content::{CachedContent, Total};
use super::faults::{Faults, is_missing, is_mistyped, whole_number};
use super::record::Record as Made;
use super::usage_metadata::{Quantities, UsageMetadata};
use super::value::{Fields, Value};
use super::{Items, NotRequest, Read, Shape};
use crate::books::methods::{MethodLine, Methods};
use crate::read::json::{Json, Kind, Malformed};
use crate::read::settings::Defaults;
use crate::suspense::{Refusal, quoted};
use crate::types::cache::CacheAct;
use crate::types::day::Instant;
use crate::types::detail::Detail;
use crate::types::reason::Reason;
use crate::types::request::{Facts, MethodKind, Request, Status, TUNED, Tools, model_name};
use crate::types::tier::{Channel, ServiceTier, UsageTier, words};
use crate::types::usage::Usage;
use crate::types::violation::Violations;

const SERVICE: &str = "generativelanguage.googleapis.com";
const DEFAULT_METHOD: &str = "generateContent";

pub const SHAPE: Shape = Shape {
    name: "canonical",
    title: "canonical records",
    documented: "the README of rerate",
    told_by: "two or more of `request_id`, `timestamp`, `project_id`, `model`, `method`, `status`, `usageMetadata`",
    tells,
    fields: Fields {
        named: &[
            "request_id",
            "timestamp",
            "project_id",
            "model",
            "method",
            "status",
            "usageMetadata",
            "service_tier",
            "usage_tier",
            "channel",
            "service",
            "api_key_id",
            "region",
            "base_model",
            "model_version",
            "latency_ms",
            "tools",
            "cached_content",
            "name",
            "expire_time",
            "total_tokens",
            "promptTokenCount",
            "candidatesTokenCount",
            "totalTokenCount",
            "thoughtsTokenCount",
            "cachedContentTokenCount",
            "toolUsePromptTokenCount",
            "promptTokensDetails",
            "candidatesTokensDetails",
            "cacheTokensDetails",
            "toolUsePromptTokensDetails",
            "serviceTier",
            "trafficType",
            "responseTokenCount",
            "responseTokensDetails",
            "promptTokenDetails",
            "modality",
            "tokenCount",
        ],
        whole: &["labels", "quantities"],
    },
    cells: &["usageMetadata", "labels", "quantities", "tools", "cached_content"],
    mapped: &[],
    lacks: &[],
    merges: false,
    read: Read::AsItIs(read_row),
};

/// Two of its fields: one alone is in many a log of something else.
fn tells(item: &Value<'_>) -> bool {
    const MARKS: [&str; 7] =
        ["request_id", "timestamp", "project_id", "model", "method", "status", "usageMetadata"];
    MARKS.iter().filter(|mark| item.members().iter().any(|(key, _)| key == *mark)).count() >= 2
}

/// A record as a row of a table: what is a number there may be its digits, as CSV has no other.
fn read_row(row: &Value<'_>, items: &mut Items) {
    let mut record = Made::default();
    for field in Field::ALL.iter().map(|field| field.name()) {
        let value = row.get(field);
        match field {
            "status" | "latency_ms" => record.set(field, &value.loose()),
            "usageMetadata" | "quantities" | "cached_content" if value.is_object() => {
                let members: Vec<_> =
                    value.members().iter().map(|(key, value)| (&**key, value.loose())).collect();
                let members: Vec<_> = members.iter().map(|(key, value)| (*key, value)).collect();
                record.set_object(field, &members);
            }
            _ => record.set(field, value),
        }
    }
    items.request(record);
}

/// What decides how lines are read.
pub struct Decoder<'d> {
    methods: &'d Methods,
    defaults: &'d Defaults,
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

impl<'d> Decoder<'d> {
    pub fn new(methods: &'d Methods, defaults: &'d Defaults) -> Decoder<'d> {
        Decoder { methods, defaults }
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
        let mut faults = std::mem::take(&mut record.faults);
        let default_method = (!record.is_at_fault(Field::Method)).then_some(DEFAULT_METHOD);
        let method = record.method.as_deref().or(default_method).and_then(|name| self.methods.named(name));
        let line = method.map(|method| self.methods.find(method));
        let inference = line.is_some_and(|line| line.kind == MethodKind::Inference);
        let creates_cache = line.and_then(MethodLine::cache_act) == Some(CacheAct::Create);
        if inference || creates_cache {
            faults.merge(&mut record.usage.total_faults);
        }
        if inference {
            faults.merge(&mut record.usage.faults);
            faults.merge(&mut record.quantities.faults);
        }
        faults.merge(&mut record.usage.traffic_faults);
        let doubled = matches!(faults.first, Some((Reason::DuplicateKey, _)));
        let other_service = record.service.as_deref().is_some_and(|service| service != SERVICE);
        if !doubled && (other_service || record.usage.traffic_type) {
            return Decoded::NotRequest(NotRequest::OtherService);
        }

        let default_project = self
            .defaults
            .project
            .as_deref()
            .filter(|_| !record.is_at_fault(Field::ProjectId))
            .map(Cow::Borrowed);
        let project_id = record.project_id.take().or(default_project);
        let default_model =
            self.defaults.model.as_deref().filter(|_| !record.is_at_fault(Field::Model)).map(Cow::Borrowed);
        let model = record.model.take().map(strip_model).filter(|model| !model.is_empty());
        let model = model.or_else(|| default_model.map(strip_model));
        let undated = record.timestamp.is_none() && self.defaults.at.is_some();
        for (missing, field) in [
            (record.timestamp.is_none() && !undated, "timestamp"),
            (project_id.is_none() && !record.is_at_fault(Field::ProjectId), "project_id"),
            (record.status.is_none(), "status"),
            (
                model.is_none()
                    && !record.is_at_fault(Field::Model)
                    && line.is_some_and(MethodLine::needs_model),
                "model",
            ),
        ] {
            if missing {
                faults.note(Reason::MissingField, || format!("there is no {field}"));
            }
        }
        let at = faults.read_or(record.timestamp, Reason::BadTimestamp, |text| {
            Instant::parse(&text, self.defaults.time_zone.as_ref())
                .map_err(|why| format!("timestamp is {}; {why}", quoted(&text)))
        });
        let at = at.or(self.defaults.at.filter(|_| undated));
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
            UsageTier::from_name(&word).ok_or_else(|| format!("usage_tier is {}; {expected}", quoted(&word)))
        });
        let channel = faults.read_or(record.channel, Reason::BadChannel, |word| {
            let expected = "expected api or ai_studio";
            Channel::from_name(&word).ok_or_else(|| format!("channel is {}; {expected}", quoted(&word)))
        });
        let served = record.usage.service_tier.take().filter(|_| inference);
        let service_tier =
            service_tier(line, record.service_tier, served, self.defaults.service_tier, &mut faults);
        let went_well = status.is_some_and(Status::went_well);
        let time_zone = self.defaults.time_zone.as_ref();
        let total = Total { count: record.usage.total, at_fault: record.usage.total_at_fault };
        let cache = record.cached_content.judge(line, went_well, total, time_zone, &mut faults);

        let has_usage = record.usage.present || record.quantities.not_empty;
        let usage_missing = inference && went_well && !has_usage;
        if usage_missing {
            // Another record of its identity may have the usage, so it isn't refused here (design §3, Identity).
            faults.drop_after(Reason::MissingUsage);
        }
        let usage = if inference && !usage_missing {
            let mut counts = record.usage.counts();
            counts.whole.thoughts_outside |= line.is_some_and(MethodLine::is_live);
            counts.quantities = record.quantities.counts;
            faults.read_or(Some(counts), Reason::InconsistentCounts, |counts| Usage::from_counts(&counts))
        } else {
            None
        };

        let (request_id, doubled_at) = (record.request_id, record.doubled_timestamp);
        if let Some((reason, detail)) = faults.first {
            let at = at.filter(|_| !doubled_at);
            return Decoded::Refused(Box::new(Refusal { reason, detail, at, request_id, project_id, model }));
        }
        let (Some(at), Some(project_id), Some(status), Some(method)) = (at, project_id, status, method)
        else {
            unreachable!("what is missing was noted as a fault");
        };
        let tuned = model.as_deref().is_some_and(|model| model.starts_with(TUNED));
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
                usage_tier: usage_tier
                    .filter(|usage_tier| *usage_tier != UsageTier::Unknown)
                    .or(self.defaults.usage_tier),
                channel: channel.unwrap_or(Channel::Api),
                tools: record.tools.unwrap_or(Tools::NotLogged),
                violations: Violations::default(),
                shape: SHAPE.name,
            },
            usage,
            cache,
            detail: Detail {
                api_key_id: record.api_key_id.unwrap_or_default(),
                region: record.region.unwrap_or_default(),
                latency_ms: record.latency_ms.map_or(Cow::default(), Cow::Borrowed),
                labels: labels_text(&record.labels),
            },
            usage_missing,
            tokens_unknown: false,
            thoughts_assumed: false,
            undated,
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
    default: Option<ServiceTier>,
    faults: &mut Faults,
) -> Option<ServiceTier> {
    let own_tier = own.as_deref().map(ServiceTier::from_log);
    if method.is_some_and(MethodLine::is_batch) || own_tier == Some(Some(ServiceTier::Batch)) {
        return Some(ServiceTier::Batch);
    }
    let Some(word) = served.or(own) else {
        return default;
    };
    faults.read_or(Some(word), Reason::UnknownServiceTier, |word| {
        let expected = "expected standard, batch, flex or priority";
        ServiceTier::from_log(&word).ok_or_else(|| format!("service_tier is {}; {expected}", quoted(&word)))
    })
}

fn strip_model(name: Cow<'_, str>) -> Cow<'_, str> {
    match name {
        Cow::Borrowed(name) => Cow::Borrowed(model_name(name)),
        Cow::Owned(name) => Cow::Owned(model_name(&name).to_string()),
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

words! {
    /// The fields of a record that are read.
    Field {
        RequestId = "request_id",
        Timestamp = "timestamp",
        ProjectId = "project_id",
        Model = "model",
        Method = "method",
        Status = "status",
        UsageMetadata = "usageMetadata",
        ServiceTier = "service_tier",
        UsageTier = "usage_tier",
        Channel = "channel",
        Service = "service",
        ApiKeyId = "api_key_id",
        Region = "region",
        BaseModel = "base_model",
        ModelVersion = "model_version",
        LatencyMs = "latency_ms",
        Labels = "labels",
        Quantities = "quantities",
        Tools = "tools",
        CachedContent = "cached_content",
    }
}

/// The fields of a record as they lie in the line, missing ones None.
#[derive(Default)]
struct Record<'line> {
    request_id: Option<Cow<'line, str>>,
    timestamp: Option<Cow<'line, str>>,
    doubled_timestamp: bool,
    project_id: Option<Cow<'line, str>>,
    model: Option<Cow<'line, str>>,
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
    api_key_id: Option<Cow<'line, str>>,
    region: Option<Cow<'line, str>>,
    latency_ms: Option<&'line str>,
    labels: BTreeMap<String, Cow<'line, str>>,
    usage: UsageMetadata<'line>,
    quantities: Quantities,
    cached_content: CachedContent<'line>,
    faults: Faults,
    /// A bit for each field that was seen.
    seen: u32,
    /// A bit for each that is no text, or there twice: it isn't missing, whatever is made of it.
    at_fault: u32,
}

impl<'line> Record<'line> {
    fn read(&mut self, json: &mut Json<'line>) -> Result<(), Malformed> {
        json.object(|json, key| self.field(json, key))?;
        json.end()
    }

    fn is_at_fault(&self, field: Field) -> bool {
        self.at_fault & 1 << field as u32 != 0
    }

    fn field(&mut self, json: &mut Json<'line>, key: &str) -> Result<(), Malformed> {
        let Some(field) = Field::from_name(key) else {
            return json.skip();
        };
        let (bit, known) = (1 << field as u32, field.name());
        if self.seen & bit != 0 {
            self.faults.doubled(known);
            self.at_fault |= bit;
            // Which one counts is unknown, so neither is shown.
            match field {
                Field::Timestamp => self.doubled_timestamp = true,
                Field::RequestId => self.request_id = None,
                Field::ProjectId => self.project_id = None,
                Field::Model => self.model = None,
                _ => {}
            }
            return json.skip();
        }
        self.seen |= bit;
        if is_mistyped(json.kind()?) {
            self.at_fault |= bit;
        }
        let faults = &mut self.faults;
        match field {
            Field::RequestId => self.request_id = faults.text(json, known)?,
            Field::ProjectId => self.project_id = faults.text(json, known)?,
            Field::Model => self.model = faults.text(json, known)?,
            Field::Method => self.method = faults.text(json, known)?,
            Field::Service => self.service = faults.text(json, known)?,
            Field::ServiceTier => self.service_tier = faults.text(json, known)?,
            Field::UsageTier => self.usage_tier = faults.text(json, known)?,
            Field::Channel => self.channel = faults.text(json, known)?,
            Field::BaseModel => self.base_model = faults.text(json, known)?,
            Field::ModelVersion => self.model_version = faults.text(json, known)?,
            Field::ApiKeyId => self.api_key_id = faults.text(json, known)?,
            Field::Region => self.region = faults.text(json, known)?,
            Field::Timestamp => match json.kind()? {
                Kind::String => self.timestamp = Some(json.string()?).filter(|text| !text.is_empty()),
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
            Field::Status => match json.kind()? {
                Kind::Number => self.status = Some(Scalar::Number(json.number()?)),
                Kind::String => {
                    self.status = Some(json.string()?).filter(|text| !text.is_empty()).map(Scalar::Text);
                }
                kind => {
                    if kind != Kind::Null {
                        self.status = Some(Scalar::Text(Cow::Borrowed(kind.name())));
                    }
                    json.skip()?;
                }
            },
            Field::LatencyMs => {
                if faults.is(Kind::Number, json, known)? {
                    self.latency_ms = Some(json.number()?);
                }
            }
            Field::Labels => self.labels = labels(json, faults)?,
            Field::Tools => self.tools = tools(json, faults)?,
            Field::Quantities => {
                if faults.is(Kind::Object, json, known)? {
                    self.quantities.read(json)?;
                }
            }
            Field::UsageMetadata => {
                if faults.is(Kind::Object, json, known)? {
                    self.usage.read(json)?;
                }
            }
            _ => {
                let kind = json.kind()?;
                if kind == Kind::Object {
                    self.cached_content.read(json, faults)?;
                } else if !is_missing(json)? {
                    faults.wrong_type(known, kind, Kind::Object.name());
                    self.cached_content = CachedContent::mistyped();
                }
            }
        }
        Ok(())
    }
}

fn labels<'line>(
    json: &mut Json<'line>,
    faults: &mut Faults,
) -> Result<BTreeMap<String, Cow<'line, str>>, Malformed> {
    let mut labels = BTreeMap::new();
    if faults.is(Kind::Object, json, "labels")? {
        json.object(|json, key| {
            let value = faults.text(json, "a label")?.unwrap_or_default();
            if labels.insert(key.to_string(), value).is_some() {
                faults.doubled("a label");
            }
            Ok(())
        })?;
    }
    Ok(labels)
}

/// Labels as they are shown, of an object of texts; empty without any.
pub(super) fn labels_as_shown<'l>(object: &str) -> Cow<'l, str> {
    if object.is_empty() {
        return Cow::default();
    }
    let labels = labels(&mut Json::new(object), &mut Faults::default());
    labels.map(|labels| labels_text(&labels)).unwrap_or_default()
}

/// A JSON object; empty without labels.
fn labels_text<'line>(labels: &BTreeMap<String, Cow<'_, str>>) -> Cow<'line, str> {
    if labels.is_empty() {
        return Cow::default();
    }
    Cow::Owned(serde_json::json!(labels).to_string())
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
    Ok(Some(if named && search_only { Tools::SearchOnly } else { Tools::Others }))
}
