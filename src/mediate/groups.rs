//! Owns the groups of a run: requests that share all facts share a small number, so that a row is a few bytes. A run
//! has few groups, and a thread asks once for each spelling of one.

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::sync::{Arc, RwLock};

use foldhash::fast::RandomState;
use hashbrown::{HashSet, HashTable};

use crate::types::key::shown;
use crate::types::request::{Facts, GroupFacts};
use crate::types::tally::{GroupId, Groups};

/// The groups met so far, by all threads.
#[derive(Default)]
pub struct AllGroups {
    hasher: RandomState,
    met: RwLock<Met>,
}

#[derive(Default)]
struct Met {
    ids: HashTable<GroupId>,
    groups: Groups,
    /// Of all groups, each once: as a rule they are few, and whatever goes through groups finds them near.
    names: HashSet<Arc<str>, RandomState>,
}

impl AllGroups {
    pub fn into_groups(self) -> Groups {
        self.met.into_inner().expect("no thread panicked").groups
    }

    /// The facts of a group that somebody met.
    pub fn facts(&self, group: GroupId) -> Arc<GroupFacts> {
        self.met.read().expect("no thread panicked").groups[group.0 as usize].clone()
    }

    /// The number of a group, a new one if nobody met it, and its facts as they may be shown.
    pub fn meet(&self, facts: &Facts<Cow<'_, str>>) -> (GroupId, Arc<GroupFacts>) {
        // A name leaves the program only through its group, so here API keys in names are hashed.
        let facts = facts.map_names(|name| shown(name));
        let hash = self.hasher.hash_one(&facts);
        if let Some(found) = self.met.read().expect("no thread panicked").find(hash, &facts) {
            return found;
        }
        let mut met = self.met.write().expect("no thread panicked");
        if let Some(found) = met.find(hash, &facts) {
            return found;
        }
        let id = GroupId(u32::try_from(met.groups.len()).expect("fewer groups than a u32 counts"));
        let facts = Arc::new(facts.map_names(|name| met.name(name)));
        let Met { ids, groups, .. } = &mut *met;
        groups.push(facts.clone());
        ids.insert_unique(hash, id, |id| self.hasher.hash_one(&groups[id.0 as usize]));
        (id, facts)
    }
}

impl Met {
    fn find(&self, hash: u64, facts: &Facts<Cow<'_, str>>) -> Option<(GroupId, Arc<GroupFacts>)> {
        let id = *self.ids.find(hash, |id| same(&self.groups[id.0 as usize], facts))?;
        Some((id, self.groups[id.0 as usize].clone()))
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        self.names.get_or_insert_with(name, |name| Arc::from(name)).clone()
    }
}

fn same(group: &GroupFacts, facts: &Facts<Cow<'_, str>>) -> bool {
    *group.project_id == *facts.project_id
        && *group.model == *facts.model
        && *group.model_version == *facts.model_version
        && *group.base_model == *facts.base_model
        && (group.method, group.status, group.service_tier, group.usage_tier, group.channel, group.tools)
            == (facts.method, facts.status, facts.service_tier, facts.usage_tier, facts.channel, facts.tools)
        && (&group.violations, group.shape) == (&facts.violations, facts.shape)
}
