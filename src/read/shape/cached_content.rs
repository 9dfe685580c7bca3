//! Owns `cached_content`, what a record of a cache's method says of its cache, and how it is spelled. What storing it
//! costs is for `charge::storage`.

use std::borrow::Cow;

use jiff::tz::TimeZone;

use super::faults::{Faults, is_mistyped};
use crate::books::methods::MethodLine;
use crate::read::json::{Json, Kind, Malformed};
use crate::suspense::quoted;
use crate::types::cache::{CacheAct, CacheUse};
use crate::types::day::Instant;
use crate::types::reason::Reason;

/// Its members, missing ones None.
#[derive(Default)]
pub struct CachedContent<'line> {
    name: Option<Cow<'line, str>>,
    tokens: Option<u64>,
    /// What is there at fault isn't missing.
    name_at_fault: bool,
    tokens_at_fault: bool,
    expire_time: Option<Cow<'line, str>>,
    seen: u32,
}

impl<'line> CachedContent<'line> {
    pub fn read(&mut self, json: &mut Json<'line>, faults: &mut Faults) -> Result<(), Malformed> {
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
                "name" => {
                    self.name_at_fault = is_mistyped(json.kind()?);
                    self.name = faults.text(json, known)?;
                }
                "total_tokens" => {
                    let mut own = Faults::default();
                    self.tokens = own.count(json, known)?;
                    self.tokens_at_fault = own.first.is_some();
                    faults.merge(&mut own);
                }
                _ => match json.kind()? {
                    Kind::String => self.expire_time = Some(json.string()?).filter(|text| !text.is_empty()),
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

    /// It is there, but is no object: nothing of it is missing.
    pub fn mistyped() -> CachedContent<'line> {
        CachedContent { name_at_fault: true, tokens_at_fault: true, ..CachedContent::default() }
    }

    /// What the request did to a cache. `total` is its `totalTokenCount`, None where it is missing.
    pub fn judge(
        self,
        method: Option<&MethodLine>,
        went_well: bool,
        total: Total,
        time_zone: Option<&TimeZone>,
        faults: &mut Faults,
    ) -> Option<CacheUse<'line>> {
        let expires = faults.read_or(self.expire_time.as_deref(), Reason::BadTimestamp, |text| {
            Instant::parse(text, time_zone).map_err(|why| format!("expire_time is {}; {why}", quoted(text)))
        });
        let act = method.and_then(MethodLine::cache_act).filter(|_| went_well)?;
        let creates = act == CacheAct::Create;
        if self.name.is_none() && !self.name_at_fault {
            faults.note(Reason::MissingField, || "there is no cached_content.name".to_string());
        }
        let tokens = self.tokens.or(total.count);
        if creates && tokens.is_none() && !self.tokens_at_fault && !total.at_fault {
            faults.note(Reason::MissingField, || "there is no cached_content.total_tokens".to_string());
        }
        let tokens = tokens.filter(|_| creates).unwrap_or(0);
        Some(CacheUse { act, name: self.name?, expires, tokens })
    }
}

/// `totalTokenCount` of a creation.
pub struct Total {
    pub count: Option<u64>,
    pub at_fault: bool,
}
