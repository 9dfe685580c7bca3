//! Owns the groups of a run: requests that share all facts share a small number, so that a row is a few bytes. A run
//! has few groups, so threads keep what they have seen and ask the common list only for what is new.

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::sync::Mutex;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};

use crate::types::key::shown;
use crate::types::request::Facts;
use crate::types::tally::{GroupId, Groups};

/// The common list.
#[derive(Default)]
pub struct AllGroups(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    ids: HashMap<Facts<Box<str>>, GroupId, RandomState>,
    groups: Groups,
}

impl AllGroups {
    pub fn into_groups(self) -> Groups {
        self.0.into_inner().expect("no thread panicked").groups
    }

    fn id(&self, facts: Facts<Box<str>>) -> GroupId {
        let mut inner = self.0.lock().expect("no thread panicked");
        let next = GroupId(u32::try_from(inner.groups.len()).expect("fewer groups than a u32 counts"));
        if let Some(id) = inner.ids.get(&facts) {
            return *id;
        }
        inner.groups.push(facts.clone());
        inner.ids.insert(facts, next);
        next
    }
}

/// What one thread has seen.
pub struct SeenGroups<'g> {
    all: &'g AllGroups,
    hasher: RandomState,
    seen: HashTable<(Facts<Box<str>>, GroupId)>,
}

impl<'g> SeenGroups<'g> {
    pub fn new(all: &'g AllGroups) -> SeenGroups<'g> {
        SeenGroups { all, hasher: RandomState::default(), seen: HashTable::new() }
    }

    pub fn id(&mut self, facts: &Facts<Cow<'_, str>>) -> GroupId {
        let hash = self.hasher.hash_one(facts);
        if let Some((_, id)) = self.seen.find(hash, |(seen, _)| same(seen, facts)) {
            return *id;
        }
        // A name leaves the program only through its group, so here API keys in names are hashed.
        let id = self.all.id(facts.map_names(|name| shown(name).into()));
        let hasher = &self.hasher;
        let own = facts.map_names(Box::from);
        self.seen.insert_unique(hash, (own, id), |(seen, _)| hasher.hash_one(seen));
        id
    }
}

fn same(seen: &Facts<Box<str>>, facts: &Facts<Cow<'_, str>>) -> bool {
    *seen.project_id == *facts.project_id
        && *seen.model == *facts.model
        && *seen.model_version == *facts.model_version
        && *seen.base_model == *facts.base_model
        && (seen.method, seen.status, seen.service_tier, seen.usage_tier, seen.channel, seen.tools)
            == (facts.method, facts.status, facts.service_tier, facts.usage_tier, facts.channel, facts.tools)
}
