//! Owns `cached_content`, what a record of a cache's method says of its cache. Checked today, so that a log is mended
//! before cache storage is priced; nothing is charged from it.

use std::borrow::Cow;

use jiff::tz::TimeZone;

use super::faults::Faults;
use crate::books::methods::MethodLine;
use crate::read::json::{Json, Kind, Malformed};
use crate::suspense::quoted;
use crate::types::day::Instant;
use crate::types::reason::Reason;

/// Its members, missing ones None.
#[derive(Default)]
pub struct CachedContent<'line> {
    name: Option<Cow<'line, str>>,
    expire_time: Option<Cow<'line, str>>,
    total_tokens: Option<u64>,
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
                "name" => self.name = faults.text(json, known)?,
                "total_tokens" => self.total_tokens = faults.count(json, known)?,
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
            if self.name.is_none() {
                faults.note(Reason::MissingField, || "there is no cached_content.name".to_string());
            }
            if creates && self.total_tokens.is_none() && !has_total {
                faults.note(Reason::MissingField, || "there is no cached_content.total_tokens".to_string());
            }
        }
    }
}
