//! Owns cache storage (C7): which caches live when, and the token-seconds of each on a Pacific day. What they cost is
//! judged by the rules of `charge`; a cache that lives on is handed to the next day.
//!
//! ```text
//! create ├────────────── tokens × seconds ──────────────┤ the earliest of expire_time and delete
//!                  patch moves the end ↑ but never before itself
//! ```
//! Times are whole seconds. Days of 23 and 25 hours need nothing: a day is from its midnight to the next.

use std::collections::BTreeMap;

use super::{CellCost, Rated, Subject, rests_on_ai_studio, tokens, too_much};
use crate::books::Books;
use crate::error::Result;
use crate::types::cache::{CacheAct, CacheEvent};
use crate::types::carry::{Carry, EndedCache, LivingCache};
use crate::types::charge::{Assumption, Resting, UnratedKey, Why};
use crate::types::day::{Day, Instant};
use crate::types::meter::{Meter, Modality};
use crate::types::request::Tools;
use crate::types::tally::Groups;
use crate::types::tier::{Channel, ContextBand, ServiceTier, UsageTier};

/// Caching page: "if not set, the TTL defaults to 1 hour".
const DEFAULT_LIFE_SECONDS: i64 = 3_600;

/// The names of caches that ended are known for so many days: a late delete is nothing to wonder at.
const KNOWN_DAYS: i32 = 7;

/// Project and name.
type Name<'r> = (&'r str, &'r str);

/// The caches at some moment of the walk from day to day.
#[derive(Debug, Default)]
pub struct Caches<'r> {
    /// That live, and those whose end came since the day began.
    living: BTreeMap<Name<'r>, LivingCache<&'r str>>,
    ended: BTreeMap<Name<'r>, Instant>,
    /// Of the day so far.
    stored: BTreeMap<StorageKey<'r>, Stored>,
}

/// What tells storage apart: as on the cache's creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StorageKey<'r> {
    pub project_id: &'r str,
    pub model: &'r str,
    pub base_model: &'r str,
    pub usage_tier: UsageTier,
    pub channel: Channel,
}

/// A day's storage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    pub token_seconds: u64,
    pub caches: u64,
}

impl<'r> Caches<'r> {
    /// As the day before handed them on.
    pub fn from_carry(carry: &'r Carry<String>) -> Caches<'r> {
        let living = carry.caches.iter().map(|cache| {
            let LivingCache { usage_tier, channel, tokens, started_at, ends_at, .. } = *cache;
            let (project_id, name) = (cache.project_id.as_str(), cache.name.as_str());
            let (model, base_model) = (cache.model.as_str(), cache.base_model.as_str());
            let cache = LivingCache {
                project_id,
                name,
                model,
                base_model,
                usage_tier,
                channel,
                tokens,
                started_at,
                ends_at,
            };
            ((project_id, name), cache)
        });
        let ended =
            carry.caches_ended.iter().map(|cache| ((&*cache.project_id, &*cache.name), cache.ended_at));
        Caches { living: living.collect(), ended: ended.collect(), stored: BTreeMap::new() }
    }

    /// Takes a day's events, in any order, and rates the day's storage; gives it too.
    pub fn store(
        &mut self,
        day: Day,
        mut events: Vec<&'r CacheEvent>,
        groups: &'r Groups,
        books: &'r Books,
        rated: &mut Rated<'r>,
    ) -> Result<BTreeMap<StorageKey<'r>, Stored>> {
        let facts = |event: &CacheEvent| &groups[event.group.0 as usize];
        // In one instant create comes before patch before delete; the rest makes the order one of facts, not of threads.
        events.sort_by_key(|event| {
            let facts = facts(event);
            let CacheEvent { at, act, expires, tokens, usage_tier, .. } = **event;
            let names = (&facts.model, &facts.model_version, &facts.base_model);
            (at, act, expires, tokens, names, usage_tier, facts.channel)
        });
        for event in events {
            let project_id = &*facts(event).project_id;
            if event.act == CacheAct::Create {
                let base_model = books.base_model(facts(event), day);
                let billed = books.methods.find(facts(event).method).billed;
                let cache = LivingCache {
                    project_id,
                    name: &*event.name,
                    model: &*facts(event).model,
                    base_model,
                    usage_tier: event.usage_tier,
                    channel: facts(event).channel,
                    tokens: if billed { event.tokens } else { 0 },
                    started_at: second(event.at),
                    ends_at: end(event, second(event.at).0 + DEFAULT_LIFE_SECONDS * 1_000_000_000),
                };
                self.create(day, cache)?;
            } else if !self.change(event, project_id) {
                let key = UnratedKey {
                    project_id,
                    model: &facts(event).model,
                    why: Why::NeverCreated { act: event.act, cache: &event.name },
                    meter: None,
                };
                rated.unrated.entry(key).or_default().requests += 1;
            }
        }
        self.end_day(day)?;
        let stored = std::mem::take(&mut self.stored);
        for (key, stored) in &stored {
            c7_storage(key, *stored, day, books, rated)?;
        }
        Ok(stored)
    }

    /// A second creation of a living name changes nothing.
    fn create(&mut self, day: Day, cache: LivingCache<&'r str>) -> Result<()> {
        let name = (cache.project_id, cache.name);
        if let Some(before) = self.living.get(&name) {
            if cache.started_at < before.ends_at {
                return Ok(());
            }
            add(&mut self.stored, day, before)?;
        }
        self.living.insert(name, cache);
        Ok(())
    }

    /// A patch moves the end, a delete is the end; one at or after the end changes nothing. False where nobody saw the
    /// cache created.
    fn change(&mut self, event: &'r CacheEvent, project_id: &'r str) -> bool {
        let at = second(event.at);
        match self.living.get_mut(&(project_id, &*event.name)) {
            Some(cache) if at < cache.ends_at => {
                match event.act {
                    CacheAct::Delete => cache.ends_at = at,
                    _ => cache.ends_at = end(event, cache.ends_at.0),
                }
                true
            }
            Some(_) => true,
            None => self.ended.contains_key(&(project_id, &*event.name)),
        }
    }

    /// Sums the day's storage, and leaves the caches that live on and the names of those that don't.
    fn end_day(&mut self, day: Day) -> Result<()> {
        let midnight = day.next().start();
        for (name, cache) in &self.living {
            add(&mut self.stored, day, cache)?;
            if cache.ends_at <= midnight {
                self.ended.insert(*name, cache.ends_at);
            } else {
                // A name that is used anew is that of a living cache.
                self.ended.remove(name);
            }
        }
        self.living.retain(|_, cache| cache.ends_at > midnight);
        let known_from = Day(day.next().0 - KNOWN_DAYS);
        self.ended.retain(|_, ended_at| ended_at.day() >= known_from);
        Ok(())
    }

    /// What the next day takes over.
    pub fn to_carry(&self) -> (Vec<LivingCache<&'r str>>, Vec<EndedCache<&'r str>>) {
        let ended = self.ended.iter().map(|(&(project_id, name), &ended_at)| EndedCache {
            project_id,
            name,
            ended_at,
        });
        (self.living.values().cloned().collect(), ended.collect())
    }
}

/// The second in which an instant lies.
fn second(at: Instant) -> Instant {
    Instant::from_seconds(at.seconds())
}

/// The end that an event names, not before the event; `otherwise` where it names none.
fn end(event: &CacheEvent, otherwise: i64) -> Instant {
    event.expires.map_or(Instant(otherwise), second).max(second(event.at))
}

/// Adds what a cache stored on `day`.
fn add<'r>(
    stored: &mut BTreeMap<StorageKey<'r>, Stored>,
    day: Day,
    cache: &LivingCache<&'r str>,
) -> Result<()> {
    let from = cache.started_at.max(day.start());
    let to = cache.ends_at.min(day.next().start());
    let seconds = (to.seconds() - from.seconds()).max(0) as u64;
    let token_seconds = cache.tokens.checked_mul(seconds).ok_or_else(too_much)?;
    if token_seconds == 0 {
        return Ok(());
    }
    let LivingCache { project_id, model, base_model, usage_tier, channel, .. } = *cache;
    let sum = stored.entry(StorageKey { project_id, model, base_model, usage_tier, channel }).or_default();
    sum.token_seconds = tokens(sum.token_seconds, token_seconds)?;
    sum.caches += 1;
    Ok(())
}

/// C7. "Cached token storage duration" is charged (billing page): token-hours from creation to the earlier of expiry and
/// deletion, at the price of each Pacific day the cache lives through. A cache has no service tier, so storage is
/// standard.
fn c7_storage<'r>(
    key: &StorageKey<'r>,
    stored: Stored,
    day: Day,
    books: &'r Books,
    rated: &mut Rated<'r>,
) -> Result<()> {
    let StorageKey { project_id, model, base_model, usage_tier, channel } = *key;
    let subject = Subject {
        project_id,
        model,
        base_model,
        prices: books.prices.of_model(base_model),
        usage_tier,
        service_tier: ServiceTier::Standard,
        channel,
        context_band: ContextBand(0),
        tools: Tools::Others,
        charged: true,
        day,
    };
    let mut cost = CellCost::default();
    let quantity = stored.token_seconds;
    rated.rate_quantity(&subject, Meter::CacheStorage, Modality::Any, quantity, books, &mut cost)?;
    if rests_on_ai_studio(channel, day) {
        // The cache's creation is the request; what storing it would cost is of every day.
        let high = Some(cost.without_c4);
        rated.rest_on(Assumption::AiStudioSince202604, Resting { high, ..Resting::NOTHING })?;
    }
    rated.count_unrated(&cost, stored.caches);
    Ok(())
}
