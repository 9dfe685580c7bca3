//! Owns how usageMetadata and `quantities` are spelled: the API's own object, in its several spellings. What the counts
//! come to is for `types::usage`.

use std::borrow::Cow;

use super::faults::{Faults, is_missing, whole_number};
use crate::read::json::{Json, Kind, Malformed};
use crate::suspense::quoted;
use crate::types::meter::{ByModality, Modality, QUANTITIES};
use crate::types::reason::Reason;
use crate::types::tier::words;
use crate::types::usage::{Counts, GREATEST_COUNT, Whole};

/// A sum of details that exceeds any count; so that sums of forged details stay in 64 bits.
pub(super) const GREATEST_SUM: u64 = GREATEST_COUNT << 10;

words! {
    /// The members of usageMetadata that are read.
    Member {
        PromptTokenCount = "promptTokenCount",
        CandidatesTokenCount = "candidatesTokenCount",
        TotalTokenCount = "totalTokenCount",
        ThoughtsTokenCount = "thoughtsTokenCount",
        CachedContentTokenCount = "cachedContentTokenCount",
        ToolUsePromptTokenCount = "toolUsePromptTokenCount",
        PromptTokensDetails = "promptTokensDetails",
        CandidatesTokensDetails = "candidatesTokensDetails",
        CacheTokensDetails = "cacheTokensDetails",
        ToolUsePromptTokensDetails = "toolUsePromptTokensDetails",
        ServiceTier = "serviceTier",
        TrafficType = "trafficType",
        ResponseTokenCount = "responseTokenCount",
        ResponseTokensDetails = "responseTokensDetails",
        PromptTokenDetails = "promptTokenDetails",
    }
}

/// The members of usageMetadata. Faults are kept by whether they matter: most only for inference methods.
#[derive(Default)]
pub struct UsageMetadata<'line> {
    pub present: bool,
    pub traffic_type: bool,
    pub service_tier: Option<Cow<'line, str>>,
    prompt: Option<u64>,
    cached: Option<u64>,
    candidates: Option<u64>,
    response: Option<u64>,
    tool: Option<u64>,
    thoughts: Option<u64>,
    pub total: Option<u64>,
    pub total_at_fault: bool,
    prompt_details: Option<ByModality>,
    embed_details: Option<ByModality>,
    cached_details: Option<ByModality>,
    candidates_details: Option<ByModality>,
    response_details: Option<ByModality>,
    tool_details: Option<ByModality>,
    pub faults: Faults,
    /// Of `totalTokenCount`, which a cache's creation has too.
    pub total_faults: Faults,
    /// Of `trafficType`, which is read of every method.
    pub traffic_faults: Faults,
    seen: u32,
}

impl<'line> UsageMetadata<'line> {
    pub fn read(&mut self, json: &mut Json<'line>) -> Result<(), Malformed> {
        self.present = true;
        json.object(|json, key| self.member(json, key))
    }

    fn member(&mut self, json: &mut Json<'line>, key: &str) -> Result<(), Malformed> {
        let Some(field) = Member::from_name(key) else {
            return json.skip();
        };
        let (bit, known) = (1 << field as u32, field.name());
        if self.seen & bit != 0 {
            match field {
                Member::TrafficType => self.traffic_faults.doubled(known),
                Member::TotalTokenCount => self.total_faults.doubled(known),
                _ => self.faults.doubled(known),
            }
            return json.skip();
        }
        self.seen |= bit;
        let faults = &mut self.faults;
        match field {
            Member::PromptTokenCount => self.prompt = faults.count(json, known)?,
            Member::CandidatesTokenCount => self.candidates = faults.count(json, known)?,
            Member::ResponseTokenCount => self.response = faults.count(json, known)?,
            Member::TotalTokenCount => {
                self.total = self.total_faults.count(json, known)?;
                self.total_at_fault = self.total_faults.first.is_some();
            }
            Member::ThoughtsTokenCount => self.thoughts = faults.count(json, known)?,
            Member::CachedContentTokenCount => self.cached = faults.count(json, known)?,
            Member::ToolUsePromptTokenCount => self.tool = faults.count(json, known)?,
            Member::PromptTokensDetails => self.prompt_details = details(json, faults, known)?,
            Member::PromptTokenDetails => self.embed_details = details(json, faults, known)?,
            Member::CandidatesTokensDetails => self.candidates_details = details(json, faults, known)?,
            Member::ResponseTokensDetails => self.response_details = details(json, faults, known)?,
            Member::CacheTokensDetails => self.cached_details = details(json, faults, known)?,
            Member::ToolUsePromptTokensDetails => self.tool_details = details(json, faults, known)?,
            Member::ServiceTier => self.service_tier = faults.text(json, known)?,
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

    pub fn counts(&self) -> Counts {
        Counts {
            whole: Whole {
                prompt: self.prompt.unwrap_or(0),
                cached: self.cached.unwrap_or(0),
                candidates: self.candidates.or(self.response).unwrap_or(0),
                tool: self.tool.unwrap_or(0),
                thoughts: self.thoughts.unwrap_or(0),
                total: self.total,
                thoughts_outside: self.response.is_some() || self.response_details.is_some(),
            },
            prompt_details: self.prompt_details.or(self.embed_details).unwrap_or_default(),
            cached_details: self.cached_details.unwrap_or_default(),
            candidates_details: self.candidates_details.or(self.response_details).unwrap_or_default(),
            tool_details: self.tool_details.unwrap_or_default(),
            quantities: [0; QUANTITIES.len()],
        }
    }
}

/// A list of `{modality, tokenCount}`, summed by modality.
fn details(json: &mut Json<'_>, faults: &mut Faults, field: &str) -> Result<Option<ByModality>, Malformed> {
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
    let unknown = |faults: &mut Faults, found: String| {
        let expected = "expected text, image, video, audio or document";
        faults.note(Reason::UnknownModality, || format!("modality is {found}; {expected}"));
        Modality::Text
    };
    match json.kind()? {
        Kind::Null => json.skip().map(|()| Modality::Text),
        Kind::String => {
            let word = json.string()?;
            if word.is_empty() {
                return Ok(Modality::Text);
            }
            Ok(Modality::from_log(&word).unwrap_or_else(|| unknown(faults, quoted(&word))))
        }
        Kind::Number => {
            let digits = json.number()?;
            let found = whole_number(digits).and_then(Modality::from_proto);
            Ok(found.unwrap_or_else(|| unknown(faults, digits.get(..24).unwrap_or(digits).to_string())))
        }
        kind => {
            faults.wrong_type("modality", kind, "a string");
            json.skip().map(|()| Modality::Text)
        }
    }
}

/// What has no token, by meter.
#[derive(Default)]
pub struct Quantities {
    pub not_empty: bool,
    pub counts: [u64; QUANTITIES.len()],
    pub faults: Faults,
    seen: u32,
}

impl Quantities {
    pub fn read(&mut self, json: &mut Json<'_>) -> Result<(), Malformed> {
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
