//! Owns what is known of methods: the kind, whether one is billed and whether it counts against quota.

use std::sync::Arc;

use foldhash::HashMap;

use super::dated::{Entry, Fields, Line};
use super::outcomes::Basis;
use crate::names;
use crate::types::cache::CacheAct;
use crate::types::day::Day;
use crate::types::request::{MethodId, MethodKind};

pub const EMBEDDED: &str = include_str!("methods.csv");

#[derive(Clone, Debug)]
pub struct MethodLine {
    pub name: Arc<str>,
    pub kind: MethodKind,
    pub billed: bool,
    pub counts_against_quota: bool,
    pub basis: Basis,
}

#[derive(Debug)]
pub struct Methods {
    lines: Vec<MethodLine>,
    by_name: HashMap<Arc<str>, MethodId>,
}

impl Methods {
    pub fn new(entries: &[Entry<MethodLine>]) -> Methods {
        let lines: Vec<MethodLine> = entries.iter().map(|entry| entry.line.clone()).collect();
        let by_name = lines
            .iter()
            .enumerate()
            .map(|(place, line)| (line.name.clone(), MethodId(place as u16)))
            .collect();
        Methods { lines, by_name }
    }

    pub fn named(&self, name: &str) -> Option<MethodId> {
        self.by_name.get(name).copied()
    }

    pub fn find(&self, method: MethodId) -> &MethodLine {
        &self.lines[usize::from(method.0)]
    }
}

impl MethodLine {
    /// A batch method is the batch service tier, whatever a record says.
    pub fn is_batch(&self) -> bool {
        matches!(&*self.name, "batchGenerateContent" | "asyncBatchEmbedContent")
    }

    /// Live API: thoughts are never inside the candidates.
    pub fn is_live(&self) -> bool {
        &*self.name == "bidiGenerateContent"
    }

    /// What a request of it does to a cache, when it goes well.
    pub fn cache_act(&self) -> Option<CacheAct> {
        match &*self.name {
            "cachedContents.create" => Some(CacheAct::Create),
            "cachedContents.patch" => Some(CacheAct::Patch),
            "cachedContents.delete" => Some(CacheAct::Delete),
            _ => None,
        }
    }

    /// A record of it says which model; of others it may be left out.
    pub fn needs_model(&self) -> bool {
        self.kind == MethodKind::Inference || self.cache_act() == Some(CacheAct::Create)
    }
}

impl Line for MethodLine {
    const COLUMNS: &'static [&'static str] =
        &["method", "kind", "billed", "counts_against_quota", "basis", "citation"];

    fn read(fields: &mut Fields<'_>) -> Option<MethodLine> {
        let name = fields.text("method");
        let kind = fields.word("kind", names!(MethodKind), MethodKind::from_name);
        let (billed, counted) = (fields.yes_or_no("billed"), fields.yes_or_no("counts_against_quota"));
        let basis = fields.word("basis", names!(Basis), Basis::from_name);
        Some(MethodLine {
            name: name?,
            kind: kind?,
            billed: billed?,
            counts_against_quota: counted?,
            basis: basis?,
        })
    }

    fn key(&self) -> String {
        self.name.to_string()
    }

    fn from(&self) -> Option<Day> {
        None
    }

    fn answers(&self, word: &str) -> bool {
        *self.name == *word
    }
}
