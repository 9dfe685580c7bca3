//! Owns how often things happen in a log. What happens then is for the other files.

/// Shares of 10,000: of the requests, where nothing else is said.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Failed for a reason of its own; storms of 429 come on top.
    pub failed: u32,
    /// Of the failed ones that are worth it: tried again under the same id.
    pub retried: u32,
    /// Lines that stand in the log again, later on.
    pub duplicates: u32,
    /// Lines that come again with other counts.
    pub amended: u32,
    /// Of the streams: logged chunk by chunk, with counts that grow.
    pub chunked: u32,
    /// countTokens and other methods that cost nothing.
    pub free_methods: u32,
    /// Caches made, and given up before they end.
    pub caches: u32,
    /// Lines of another service's calls.
    pub other_services: u32,
    /// Models that nobody knows.
    pub unknown_models: u32,
    /// Models called before their release or after their end.
    pub not_offered: u32,
    /// Calls of a tuned model, in projects that have one.
    pub tuned: u32,
    /// Calls of a tuned model whose base nothing names.
    pub untold: u32,
    pub no_request_id: u32,
    /// Prompts above 128,000 tokens, most of them above 200,000.
    pub long_prompts: u32,
    pub cached: u32,
    /// Prompts of several modalities.
    pub detailed: u32,
    pub tools: u32,
    /// Totals above the sum of their parts.
    pub unexplained: u32,
    /// Calls from AI Studio, in projects whose people use it.
    pub ai_studio: u32,
    /// Of calls outside usage tier free: batch, flex and priority, each.
    pub service_tiers: u32,
    /// Whether projects differ in how they write times, statuses and the rest, and change their usage tier.
    pub own_ways: bool,
}

/// What the logs of a company look like.
pub const USUAL: Mix = Mix {
    failed: 170,
    retried: 6_000,
    duplicates: 60,
    amended: 8,
    chunked: 600,
    free_methods: 400,
    caches: 15,
    other_services: 20,
    unknown_models: 2,
    not_offered: 4,
    tuned: 1_000,
    untold: 1,
    no_request_id: 10,
    long_prompts: 150,
    cached: 1_800,
    detailed: 2_000,
    tools: 500,
    unexplained: 3,
    ai_studio: 700,
    service_tiers: 300,
    own_ways: true,
};

/// The log of the benchmark, which other programs read too: nothing in it that plain sums by project, model, status,
/// service tier and modality don't tell apart.
pub const RACE: Mix = Mix {
    failed: 350,
    retried: 0,
    duplicates: 100,
    amended: 0,
    chunked: 0,
    free_methods: 0,
    caches: 0,
    other_services: 0,
    unknown_models: 0,
    not_offered: 0,
    tuned: 0,
    untold: 0,
    no_request_id: 0,
    long_prompts: 200,
    cached: 900,
    detailed: 3_400,
    tools: 200,
    unexplained: 0,
    ai_studio: 500,
    service_tiers: 300,
    own_ways: false,
};
