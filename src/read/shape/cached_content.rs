//! Owns `cached_content`, what a record of a cache's method says of its cache. Checked today, so that a log is mended
//! before cache storage is priced; nothing is charged from it.

use std::borrow::Cow;

use jiff::tz::TimeZone;

use super::faults::{Faults, is_mistyped};
use crate::books::methods::MethodLine;
use crate::read::json::{Json, Kind, Malformed};
use crate::suspense::quoted;
use crate::types::day::Instant;
use crate::types::reason::Reason;

/// Its members, missing ones None.
#[derive(Default)]
pub struct CachedContent<'line> {
    /// What is there at fault isn't missing.
    has_name: bool,
    has_tokens: bool,
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
                    self.has_name = is_mistyped(json.kind()?);
                    self.has_name |= faults.text(json, known)?.is_some();
                }
                "total_tokens" => {
                    let mut own = Faults::default();
                    self.has_tokens = own.count(json, known)?.is_some() || own.first.is_some();
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
        CachedContent { has_name: true, has_tokens: true, ..CachedContent::default() }
    }

    pub fn judge(
        &self,
        method: Option<&MethodLine>,
        went_well: bool,
        has_total: bool,
        time_zone: Option<&TimeZone>,
        faults: &mut Faults,
    ) {
        faults.read_or(self.expire_time.as_deref(), Reason::BadTimestamp, |text| {
            Instant::parse(text, time_zone).map_err(|why| format!("expire_time is {}; {why}", quoted(text)))
        });
        let name = method.map_or("", |line| &line.name);
        let creates = name == "cachedContents.create";
        if went_well && (creates || matches!(name, "cachedContents.patch" | "cachedContents.delete")) {
            if !self.has_name {
                faults.note(Reason::MissingField, || "there is no cached_content.name".to_string());
            }
            if creates && !self.has_tokens && !has_total {
                faults.note(Reason::MissingField, || "there is no cached_content.total_tokens".to_string());
            }
        }
    }
}
