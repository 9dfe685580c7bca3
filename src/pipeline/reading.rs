//! Owns the stage before the barrier: every thread reads blocks until no input is left, and what they leave is put
//! together: lines of a file are numbered across its blocks, inputs are summarized in the order given.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::reader::{Noted, Reader, Shared, Thread};
use super::sources::{Next, Sources};
use super::{Options, interrupted};
use crate::balance::Records;
use crate::books::Books;
use crate::books::accounts::StudioTerms;
use crate::error::{Error, Result};
use crate::mediate::dedupe::{Dealer, IdentityKey, SHARDS};
use crate::mediate::groups::AllGroups;
use crate::mediate::row::Row;
use crate::mediate::shard::Shard;
use crate::memory::Memory;
use crate::read::lines::{Block, Who};
use crate::read::shape::canonical::Decoder;
use crate::read::shape::spelling::SharedSpellings;
use crate::read::{Inputs, Progress};
use crate::suspense::Suspended;
use crate::tally::Tallier;
use crate::types::detail::{Detail, Kept};
use crate::types::key::shown;
use crate::types::origin::{InputId, InputSummary};
use crate::types::tally::CellKey;

/// What reading leaves, before the barrier.
pub(super) struct Read<'b> {
    pub(super) threads: Vec<Thread<'b>>,
    pub(super) inputs: Vec<InputSummary>,
    /// Lines before each block, by input: its index and their number, ascending.
    pub(super) lines_before: Vec<Vec<(u32, u64)>>,
    pub(super) records: Records,
}

impl Read<'_> {
    /// The rows of each shard, by thread.
    pub(super) fn take_shards(&mut self) -> Vec<Vec<Shard>> {
        let mut shards: Vec<Vec<Shard>> = (0..SHARDS).map(|_| Vec::new()).collect();
        for thread in &mut self.threads {
            for (shard, rows) in shards.iter_mut().zip(std::mem::take(&mut thread.shards)) {
                shard.push(rows);
            }
        }
        shards
    }

    pub(super) fn kept(&self, row: &Row<'_>, cell: CellKey) -> Kept {
        let (request_id, detail, place) = Detail::decode(row.detail());
        let name = |name: &str| (!name.is_empty()).then(|| shown(name).into());
        let usage = row.usage();
        let before = self.lines_before(place.input, place.block);
        Kept {
            at: row.at,
            cell,
            input: place.input,
            line: before + u64::from(place.line),
            request_id: name(&request_id),
            api_key_id: name(&detail.api_key_id),
            region: name(&detail.region),
            latency_ms: detail.latency_ms.split('.').next().and_then(|whole| whole.parse().ok()),
            labels: name(&detail.labels),
            total_tokens: usage.total.unwrap_or(0),
            thoughts: usage.thoughts,
            quantities: usage.quantities().into(),
        }
    }

    pub(super) fn with_line(&self, noted: Noted) -> Suspended {
        let before = self.lines_before(noted.suspended.input, noted.block);
        Suspended { line: before + noted.suspended.line, ..noted.suspended }
    }

    fn lines_before(&self, input: InputId, block: u32) -> u64 {
        let blocks = &self.lines_before[input.0 as usize];
        let place = blocks.partition_point(|(index, _)| *index < block);
        blocks.get(place).map_or(0, |(_, before)| *before)
    }
}

pub(super) fn read<'b>(
    inputs: &Inputs,
    books: &'b Books,
    studio_terms: &'b StudioTerms,
    options: &Options,
    progress: &Arc<Progress>,
    groups: &AllGroups,
    memory: &Memory,
) -> Result<Read<'b>> {
    let sources = Sources::new(inputs, progress);
    let decoders = inputs.settings.iter().map(|settings| Decoder::new(&books.methods, &settings.defaults));
    let decoders: Vec<Decoder<'_>> = decoders.collect();
    let (key, spellings) = (IdentityKey::new(), SharedSpellings::default());
    let shared = Shared { inputs, decoders: &decoders, groups, spellings: &spellings };
    let threads = rayon::broadcast(|_| {
        let tallier = Tallier::new(books, studio_terms, options.usage_tier);
        let dealer = Dealer::new(key);
        let mut reader = Reader::new(shared, books, options, dealer, tallier);
        let mut block = Block::default();
        let read = |reader: &mut Reader<'_, 'b>, block: &Block| {
            if progress.stop.load(Ordering::Relaxed) {
                return Err(interrupted());
            }
            let lines = reader.read_block(block);
            progress.lines.fetch_add(lines, Ordering::Relaxed);
            reader.spill_if_full(memory)
        };
        let read_all = || {
            loop {
                match sources.next(&mut block)? {
                    Next::Block => read(&mut reader, &block)?,
                    Next::InOrder(mut stream) => {
                        while stream.next(&mut block, Who::Itself)? {
                            read(&mut reader, &block)?;
                        }
                        reader.end_parts(&stream, memory)?;
                        sources.end(*stream);
                    }
                    Next::Nothing => return Ok(reader.finish()),
                }
            }
        };
        read_all().inspect_err(|_| sources.fail())
    });
    let threads = threads.into_iter().collect::<Result<Vec<Thread<'_>>>>()?;

    let mut records = Records::default();
    let mut lines_before: Vec<Vec<(u32, u64)>> = vec![Vec::new(); inputs.list.len()];
    let mut blocks: Vec<_> = threads.iter().flat_map(|thread| &thread.blocks).collect();
    blocks.sort_unstable();
    let mut lines = vec![0; inputs.list.len()];
    for (input, index, count) in blocks {
        lines_before[input.0 as usize].push((*index, lines[input.0 as usize]));
        lines[input.0 as usize] += count;
    }
    for thread in &threads {
        records.add(&thread.records);
    }
    let mut summaries: Vec<Option<InputSummary>> = vec![None; inputs.list.len()];
    for stream in sources.into_ended() {
        let id = stream.input();
        if let Some(summary) = stream.finish(lines[id.0 as usize])? {
            summaries[id.0 as usize] = Some(summary);
        }
    }
    let mut inputs_read: Vec<InputSummary> = Vec::new();
    for (input, summary) in inputs.list.iter().zip(summaries) {
        let summary = match (summary, &input.same_as) {
            (Some(summary), _) => summary,
            (None, same_as) => {
                let first = inputs_read.iter().find(|read| Some(&read.name) == same_as.as_ref());
                let mut copy =
                    first.cloned().ok_or_else(|| Error::new(format!("{}: it was not read", input.name)))?;
                (copy.name, copy.lines, copy.same_as) = (input.name.clone(), 0, same_as.clone());
                copy
            }
        };
        inputs_read.push(summary);
    }
    Ok(Read { threads, inputs: inputs_read, lines_before, records })
}
