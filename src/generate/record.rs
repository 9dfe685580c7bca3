//! Owns the bytes of a record: a call as a line of the canonical shape. Draws nothing.
//!
//! Nothing is allocated and nothing formatted: a log of millions of lines is written for benchmarks, and making it
//! must not take longer than reading it.

use jiff::civil::date;

use super::call::{Call, Spelling, Tokens};
use super::projects::{StatusStyle, TimeStyle};
use crate::types::meter::{MODALITIES, Modality};
use crate::types::tier::ServiceTier;

/// Writes records; keeps what is costly to work out for each.
#[derive(Debug, Default)]
pub struct Writer {
    dates: Dates,
}

impl Writer {
    /// Appends the line of a call that began at `at`, in milliseconds since 1970.
    pub fn write(&mut self, call: &Call<'_>, at: i64, out: &mut Vec<u8>) {
        let project = call.project;
        let own_tier = self.head(call, at, out);
        text(out, b"\",\"status\":");
        status(out, call.status, project.status_style);
        text(out, b",\"latency_ms\":");
        number(out, u64::from(call.latency_ms));
        if let Some(tokens) = &call.tokens {
            usage(out, tokens, (!own_tier).then(|| served(call)));
        }
        if call.status == 200 && call.tokens.is_some() {
            if !call.model.version.is_empty() {
                text(out, b",\"model_version\":\"");
                text(out, call.model.version.as_bytes());
                out.push(b'"');
            }
            text(out, b",\"responseId\":\"");
            text(out, &call.response_id);
            out.push(b'"');
        }
        self.tail(call, own_tier, at, out);
        text(out, b"}\n");
    }

    /// The fields up to the model; whether the service tier is a field of the record.
    fn head(&mut self, call: &Call<'_>, at: i64, out: &mut Vec<u8>) -> bool {
        let project = call.project;
        out.push(b'{');
        if let Some(id) = &call.request_id {
            text(out, b"\"request_id\":\"");
            text(out, id);
            text(out, b"\",");
        }
        text(out, b"\"timestamp\":\"");
        self.dates.write(out, at, project.time_style);
        text(out, b"\",\"project_id\":\"");
        text(out, project.id.as_bytes());
        if project.names_keys {
            text(out, b"\",\"api_key_id\":\"k-");
            number(out, u64::from(call.api_key));
            text(out, b"\",\"region\":\"");
            text(out, project.region.as_bytes());
        }
        text(out, if call.ai_studio { b"\",\"channel\":\"ai_studio" } else { b"\",\"channel\":\"api" });
        if call.other_service {
            text(out, b"\",\"service\":\"aiplatform.googleapis.com");
        }
        text(out, b"\",\"method\":\"");
        text(out, call.method.as_bytes());
        if !call.model.name.is_empty() {
            text(out, b"\",\"model\":\"");
            if call.model.with_prefix {
                text(out, b"models/");
            }
            text(out, call.model.name.as_bytes());
        }
        project.loud_service_tier || call.tokens.is_none()
    }

    /// The fields that most records lack.
    fn tail(&mut self, call: &Call<'_>, own_tier: bool, at: i64, out: &mut Vec<u8>) {
        let project = call.project;
        if own_tier && call.service_tier != ServiceTier::Standard {
            text(out, b",\"service_tier\":\"");
            text(
                out,
                if project.loud_service_tier {
                    loud(call.service_tier)
                } else {
                    call.service_tier.name().as_bytes()
                },
            );
            out.push(b'"');
        }
        if !call.model.base.is_empty() {
            text(out, b",\"base_model\":\"");
            text(out, call.model.base.as_bytes());
            out.push(b'"');
        }
        if project.says_usage_tier {
            text(out, b",\"usage_tier\":\"");
            text(out, project.usage_tier.name().as_bytes());
            out.push(b'"');
        }
        if !project.labels.is_empty() {
            text(out, b",\"labels\":");
            text(out, project.labels.as_bytes());
        }
        if !call.tools.is_empty() {
            text(out, b",\"tools\":");
            text(out, call.tools.as_bytes());
        }
        if let Some((meter, quantity)) = call.quantity {
            text(out, b",\"quantities\":{\"");
            text(out, meter.as_bytes());
            text(out, b"\":");
            number(out, u64::from(quantity));
            out.push(b'}');
        }
        if let Some(cache) = &call.cache {
            text(out, b",\"cached_content\":{\"name\":\"cachedContents/");
            text(out, &cache.name);
            out.push(b'"');
            if let Some(lifetime_ms) = cache.lifetime_ms {
                text(out, b",\"expire_time\":\"");
                self.dates.write(out, at + i64::from(lifetime_ms), project.time_style);
                out.push(b'"');
            }
            if let Some(tokens) = cache.tokens {
                text(out, b",\"total_tokens\":");
                number(out, u64::from(tokens));
            }
            out.push(b'}');
        }
    }
}

/// Writes `usageMetadata`. Zero counts are left out, as the API does.
fn usage(out: &mut Vec<u8>, tokens: &Tokens, service_tier: Option<ServiceTier>) {
    let [prompt, cached, output] = [&tokens.prompt, &tokens.cached, &tokens.output].map(sum);
    let (tool, thoughts) = (u64::from(tokens.tool), u64::from(tokens.thoughts));
    let total = prompt + output + tool + thoughts + u64::from(tokens.unexplained);
    text(out, b",\"usageMetadata\":{\"promptTokenCount\":");
    number(out, prompt);
    let output_name: &[u8] = match tokens.spelling {
        Spelling::Live => b",\"responseTokenCount\":",
        _ => b",\"candidatesTokenCount\":",
    };
    for (name, count) in [
        (b",\"cachedContentTokenCount\":".as_slice(), cached),
        (output_name, output),
        (b",\"toolUsePromptTokenCount\":", tool),
        (b",\"totalTokenCount\":", total),
        (b",\"thoughtsTokenCount\":", thoughts),
    ] {
        if count > 0 {
            text(out, name);
            number(out, count);
        }
    }
    let (prompt_name, output_name): (&[u8], &[u8]) = match tokens.spelling {
        Spelling::Generate => (b",\"promptTokensDetails\":[", b",\"candidatesTokensDetails\":["),
        Spelling::Live => (b",\"promptTokensDetails\":[", b",\"responseTokensDetails\":["),
        Spelling::Embed => (b",\"promptTokenDetails\":[", b""),
    };
    details(out, prompt_name, &tokens.prompt);
    if tokens.cached_details {
        details(out, b",\"cacheTokensDetails\":[", &tokens.cached);
    }
    if output > 0 {
        details(out, output_name, &tokens.output);
    }
    if tool > 0 {
        text(out, b",\"toolUsePromptTokensDetails\":[{\"modality\":\"TEXT\",\"tokenCount\":");
        number(out, tool);
        text(out, b"}]");
    }
    if let Some(service_tier) = service_tier {
        text(out, b",\"serviceTier\":\"");
        text(out, service_tier.name().as_bytes());
        out.push(b'"');
    }
    out.push(b'}');
}

fn details(out: &mut Vec<u8>, name: &[u8], parts: &[u32; MODALITIES]) {
    text(out, name);
    for (modality, &tokens) in parts.iter().enumerate() {
        if tokens > 0 {
            text(out, DETAILS[modality]);
            number(out, u64::from(tokens));
            text(out, b"},");
        }
    }
    // The comma after the last, or the bracket where there is none.
    if out.last() == Some(&b',') {
        out.pop();
    }
    out.push(b']');
}

/// In the order of [`Modality`].
const DETAILS: [&[u8]; MODALITIES] = [
    b"{\"modality\":\"TEXT\",\"tokenCount\":",
    b"{\"modality\":\"IMAGE\",\"tokenCount\":",
    b"{\"modality\":\"VIDEO\",\"tokenCount\":",
    b"{\"modality\":\"DOCUMENT\",\"tokenCount\":",
    b"{\"modality\":\"AUDIO\",\"tokenCount\":",
];
const _: () = assert!(Modality::Image as usize == 1 && Modality::Audio as usize == 4);

fn sum(parts: &[u32; MODALITIES]) -> u64 {
    parts.iter().map(|tokens| u64::from(*tokens)).sum()
}

fn status(out: &mut Vec<u8>, status: u16, style: StatusStyle) {
    let name: &[u8] = match (style, status) {
        (StatusStyle::Number, _) => return number(out, u64::from(status)),
        (StatusStyle::Grpc, 200) => b"\"OK\"",
        (StatusStyle::Grpc, 400) => b"\"INVALID_ARGUMENT\"",
        (StatusStyle::Grpc, 403) => b"\"PERMISSION_DENIED\"",
        (StatusStyle::Grpc, 404) => b"\"NOT_FOUND\"",
        (StatusStyle::Grpc, 429) => b"\"RESOURCE_EXHAUSTED\"",
        (StatusStyle::Grpc, 499) => b"\"CANCELLED\"",
        (StatusStyle::Grpc, 500) => b"\"INTERNAL\"",
        (StatusStyle::Grpc, 503) => b"\"UNAVAILABLE\"",
        (StatusStyle::Grpc, 504) => b"\"DEADLINE_EXCEEDED\"",
        _ => {
            out.push(b'"');
            number(out, u64::from(status));
            return out.push(b'"');
        }
    };
    text(out, name);
}

/// What the answer says. That of a batch method says standard, and is a batch all the same.
fn served(call: &Call<'_>) -> ServiceTier {
    match call.method {
        "batchGenerateContent" | "asyncBatchEmbedContent" => ServiceTier::Standard,
        _ => call.service_tier,
    }
}

fn loud(service_tier: ServiceTier) -> &'static [u8] {
    match service_tier {
        ServiceTier::Standard => b"SERVICE_TIER_STANDARD",
        ServiceTier::Batch => b"SERVICE_TIER_BATCH",
        ServiceTier::Flex => b"SERVICE_TIER_FLEX",
        ServiceTier::Priority => b"SERVICE_TIER_PRIORITY",
    }
}

/// The written dates of the last days that were asked for.
#[derive(Debug, Default)]
struct Dates {
    /// By evenness: a log that goes on over midnight needs two.
    known: [(i64, [u8; 10]); 2],
}

impl Dates {
    /// Writes a time, given in milliseconds since 1970.
    fn write(&mut self, out: &mut Vec<u8>, at: i64, style: TimeStyle) {
        const SUMMER: i64 = -7 * 3_600_000;
        let local = if style == TimeStyle::Offset { at + SUMMER } else { at };
        let (day, millis) = (local.div_euclid(86_400_000), local.rem_euclid(86_400_000));
        text(out, self.date(day));
        let (seconds, millis) = ((millis / 1_000) as usize, (millis % 1_000) as usize);
        let mut clock = *b"T00:00:00.000000";
        pair(&mut clock, 1, seconds / 3_600);
        pair(&mut clock, 4, seconds / 60 % 60);
        pair(&mut clock, 7, seconds % 60);
        clock[10] = b'0' + (millis / 100) as u8;
        pair(&mut clock, 11, millis % 100);
        // Made up from the seconds, so that it is the same whenever the call is written.
        pair(&mut clock, 13, (seconds * 7 + millis) % 100);
        let (length, zone): (usize, &[u8]) = match style {
            TimeStyle::Millis => (13, b"Z"),
            TimeStyle::Seconds => (9, b"Z"),
            TimeStyle::Micros => (16, b"Z"),
            TimeStyle::Offset => (13, b"-07:00"),
        };
        text(out, &clock[..length]);
        text(out, zone);
    }

    fn date(&mut self, day: i64) -> &[u8; 10] {
        let (known, written) = &mut self.known[(day & 1) as usize];
        // A day is known as the one after it: 0 is what nothing was asked for yet.
        if *known != day + 1 {
            let whole = date(1970, 1, 1) + jiff::Span::new().days(day);
            written.copy_from_slice(whole.to_string().as_bytes());
            *known = day + 1;
        }
        written
    }
}

#[inline]
fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
}

/// Two digits at a time, from the end.
#[inline]
fn number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    while number >= 100 {
        at -= 2;
        pair(&mut digits, at, (number % 100) as usize);
        number /= 100;
    }
    if number >= 10 {
        at -= 2;
        pair(&mut digits, at, number as usize);
    } else {
        at -= 1;
        digits[at] = b'0' + number as u8;
    }
    text(out, &digits[at..]);
}

#[inline]
fn pair(digits: &mut [u8], at: usize, number: usize) {
    digits[at] = b'0' + (number / 10) as u8;
    digits[at + 1] = b'0' + (number % 10) as u8;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_everyone_does() {
        for value in [0, 7, 10, 99, 100, 101, 12_345, 1_000_000, u64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!(out, value.to_string().as_bytes());
        }
    }

    #[test]
    fn times_are_written_in_the_way_of_their_project() {
        // 2026-06-02T00:00:01.043Z, an evening before in California.
        let at = 1_780_358_401_043;
        for (style, written) in [
            (TimeStyle::Millis, "2026-06-02T00:00:01.043Z"),
            (TimeStyle::Seconds, "2026-06-02T00:00:01Z"),
            (TimeStyle::Micros, "2026-06-02T00:00:01.043500Z"),
            (TimeStyle::Offset, "2026-06-01T17:00:01.043-07:00"),
        ] {
            let mut out = Vec::new();
            Dates::default().write(&mut out, at, style);
            assert_eq!(String::from_utf8(out).unwrap(), written);
        }
    }
}
