//! Owns what a call is: its model, how it ended, its tokens, drawn so that they agree with each other. How it is
//! written is for `record`, when it happened for `traffic`.

use super::mix::Mix;
use super::models::{Kind, MODELS, Model};
use super::projects::Project;
use super::random::Random;
use crate::types::meter::{MODALITIES, Modality};
use crate::types::tier::{ServiceTier, UsageTier};

/// A call as it will be logged. Its time is told apart: a call may be logged more than once.
#[derive(Clone, Copy, Debug)]
pub struct Call<'p> {
    pub project: &'p Project,
    pub request_id: Option<Id>,
    pub response_id: Id,
    /// Counted from 1.
    pub api_key: u32,
    pub ai_studio: bool,
    pub other_service: bool,
    pub method: &'static str,
    pub model: Name<'p>,
    /// 200, or how it failed.
    pub status: u16,
    pub latency_ms: u32,
    pub tokens: Option<Tokens>,
    /// What is counted without tokens, by its meter.
    pub quantity: Option<(&'static str, u32)>,
    /// The JSON list, empty where the log doesn't say.
    pub tools: &'static str,
    pub service_tier: ServiceTier,
    pub cache: Option<Cache>,
}

/// 22 letters of base64url, as Google's ids have.
pub type Id = [u8; 22];

/// What a line calls its model.
#[derive(Clone, Copy, Debug)]
pub struct Name<'p> {
    pub with_prefix: bool,
    /// Empty where a method needs none.
    pub name: &'p str,
    /// What answered; empty for tuned models.
    pub version: &'p str,
    /// Of a tuned model, where the line says it.
    pub base: &'p str,
}

/// Token counts by modality. Cached tokens are part of the prompt's; thoughts and tool tokens are text of their own.
#[derive(Clone, Copy, Debug)]
pub struct Tokens {
    pub spelling: Spelling,
    pub prompt: [u32; MODALITIES],
    pub cached: [u32; MODALITIES],
    /// Whether the line says which tokens were cached. Only where all are text it need not.
    pub cached_details: bool,
    pub output: [u32; MODALITIES],
    pub tool: u32,
    pub thoughts: u32,
    /// What the total has above the sum of the parts.
    pub unexplained: u32,
}

/// The APIs of one service spell their counts differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    Generate,
    Live,
    Embed,
}

#[derive(Clone, Copy, Debug)]
pub struct Cache {
    pub name: Id,
    /// From the call on; None where it is given up.
    pub lifetime_ms: Option<u32>,
    /// Where it is made.
    pub tokens: Option<u32>,
}

/// What calls depend on, beside chance.
#[derive(Clone, Copy)]
pub struct World<'g> {
    pub mix: &'g Mix,
    /// Models by number, as often as the project calls them on this day.
    pub called: &'g [u8],
    /// Whether flex and priority have prices, by model.
    pub flex: &'g [bool],
}

const TEXT: usize = Modality::Text as usize;
const IMAGE: usize = Modality::Image as usize;
const VIDEO: usize = Modality::Video as usize;
const DOCUMENT: usize = Modality::Document as usize;
const AUDIO: usize = Modality::Audio as usize;

/// Tokens of one picture that a model makes.
const PICTURE: u32 = 1_290;

const FREE_METHODS: [(&str, bool); 8] = [
    ("countTokens", true),
    ("countTokens", true),
    ("countTokens", true),
    ("models.list", false),
    ("models.get", true),
    ("files.upload", false),
    ("files.get", false),
    ("operations.get", false),
];

/// How calls fail, by how often; a storm's 429 aside.
const FAILURES: [u16; 16] = [400, 400, 400, 400, 403, 404, 429, 429, 429, 499, 499, 500, 500, 503, 503, 504];

impl<'p> Call<'p> {
    /// A call of an inference method.
    pub fn inference(
        project: &'p Project,
        in_storm: bool,
        world: World<'_>,
        random: &mut Random,
    ) -> Call<'p> {
        let mix = world.mix;
        let place = if random.chance(mix.not_offered) {
            random.below(MODELS.len() as u32) as usize
        } else {
            usize::from(random.pick(world.called))
        };
        let model = &MODELS[place];
        let mut call = Call::blank(project, random);
        call.model = name(project, model, mix, random);
        call.ai_studio = project.uses_ai_studio && random.chance(mix.ai_studio);
        call.service_tier = service_tier(project, model, world.flex[place], mix, random);
        call.method = method(model.kind, call.service_tier, mix, random);
        call.latency_ms = random.sized(7, 14);
        call.status = if in_storm && random.chance(7_500) {
            429
        } else if random.chance(mix.failed) {
            random.pick(&FAILURES)
        } else {
            200
        };
        if call.status == 200 {
            call.answer(model, mix, random);
        } else if matches!(call.status, 400..=429) {
            call.latency_ms = random.between(8, 90);
        }
        call
    }

    /// The same call again after a failure, this time with an answer.
    pub fn retry(&self, mix: &Mix, random: &mut Random) -> Call<'p> {
        let mut call = *self;
        call.status = 200;
        call.latency_ms = random.sized(7, 14);
        // The model as called, where the list has it; else any that answers in text.
        let model = MODELS.iter().find(|model| model.name == call.model.name);
        call.answer(model.unwrap_or(&MODELS[0]), mix, random);
        call
    }

    /// A call of a method that costs nothing.
    pub fn free(project: &'p Project, random: &mut Random) -> Call<'p> {
        let (method, of_model) = random.pick(&FREE_METHODS);
        let mut call = Call::blank(project, random);
        call.method = method;
        if of_model {
            call.model.name = MODELS[0].name;
        }
        call.latency_ms = random.between(5, 60);
        if random.chance(100) {
            call.status = 404;
        }
        call
    }

    /// Makes a cache.
    pub fn cache(project: &'p Project, random: &mut Random) -> Call<'p> {
        let mut call = Call::blank(project, random);
        call.method = "cachedContents.create";
        call.model.name = MODELS[0].name;
        call.latency_ms = random.sized(8, 12);
        call.cache = Some(Cache {
            name: id(random),
            tokens: Some(random.sized(12, 18)),
            // The last over a midnight or two.
            lifetime_ms: Some(random.pick(&[5, 15, 60, 60, 60, 240, 2_000]) * 60_000),
        });
        call
    }

    /// Gives up the cache that this call made.
    pub fn cache_given_up(&self, random: &mut Random) -> Call<'p> {
        self.of_same_cache("cachedContents.delete", None, random)
    }

    /// Keeps the cache that this call made for longer, or for less long.
    pub fn cache_kept(&self, random: &mut Random) -> Call<'p> {
        let lifetime_ms = random.pick(&[1, 30, 300, 1_440]) * 60_000;
        self.of_same_cache("cachedContents.patch", Some(lifetime_ms), random)
    }

    fn of_same_cache(&self, method: &'static str, lifetime_ms: Option<u32>, random: &mut Random) -> Call<'p> {
        Call {
            request_id: Some(id(random)),
            method,
            model: Name { name: "", ..self.model },
            latency_ms: random.between(5, 60),
            cache: self.cache.map(|cache| Cache { lifetime_ms, tokens: None, ..cache }),
            ..*self
        }
    }

    /// The chunk of a stream that is logged after `done` of `all` parts: counts so far.
    pub fn so_far(&self, done: u32, all: u32) -> Call<'p> {
        let part = |tokens: u32| (u64::from(tokens) * u64::from(done) / u64::from(all)) as u32;
        let mut call = *self;
        call.latency_ms = part(call.latency_ms).max(1);
        if let Some(tokens) = &mut call.tokens {
            tokens.output = tokens.output.map(part);
            tokens.unexplained = 0;
        }
        call
    }

    fn blank(project: &'p Project, random: &mut Random) -> Call<'p> {
        Call {
            project,
            request_id: Some(id(random)),
            response_id: id(random),
            api_key: 1 + random.below(project.api_keys),
            ai_studio: false,
            other_service: false,
            method: "generateContent",
            model: Name { with_prefix: random.chance(6_000), name: "", version: "", base: "" },
            status: 200,
            latency_ms: 0,
            tokens: None,
            quantity: None,
            tools: "",
            service_tier: ServiceTier::Standard,
            cache: None,
        }
    }

    /// What the model answers: tokens, or what is counted without.
    fn answer(&mut self, model: &Model, mix: &Mix, random: &mut Random) {
        match model.kind {
            Kind::Imagen => self.quantity = Some(("image", random.between(1, 4))),
            Kind::Veo => self.quantity = Some(("video_second", random.pick(&[4, 6, 8, 8]))),
            kind => {
                let mut tokens = Tokens::of_prompt(kind, mix, random);
                tokens.answer(model, mix, random);
                self.tokens = Some(tokens);
                if kind == Kind::Text && random.chance(mix.tools) {
                    self.use_tools(mix, random);
                }
            }
        }
    }

    fn use_tools(&mut self, mix: &Mix, random: &mut Random) {
        if let Some(tokens) = &mut self.tokens {
            tokens.tool = random.sized(6, 12);
        }
        if !mix.own_ways {
            return;
        }
        // Gemini 3 counts the queries that a search makes; older models, and what is tuned from them, the prompts that
        // led to one.
        let meter = if self.model.version.is_empty() || self.model.version.starts_with("gemini-2") {
            "grounding_search_prompt"
        } else {
            "grounding_search_query"
        };
        let queries = if meter == "grounding_search_prompt" { 1 } else { random.between(1, 4) };
        (self.tools, self.quantity) = match random.below(10) {
            0..=4 => (r#"["google_search"]"#, Some((meter, queries))),
            5..=6 => (r#"["url_context"]"#, None),
            7 => (r#"["code_execution"]"#, None),
            8 => (r#"["google_search","url_context"]"#, Some((meter, queries))),
            _ => ("", None),
        };
    }
}

impl Tokens {
    fn of_prompt(kind: Kind, mix: &Mix, random: &mut Random) -> Tokens {
        let mut prompt = [0; MODALITIES];
        prompt[TEXT] = if kind == Kind::Embedding { random.sized(4, 10) } else { random.sized(5, 13) };
        let several = match kind {
            Kind::Text => random.chance(mix.detailed),
            Kind::Picture => random.chance(5_000),
            _ => false,
        };
        if kind == Kind::Live {
            prompt[AUDIO] = 32 * random.between(5, 300);
        }
        if several && kind == Kind::Picture {
            prompt[IMAGE] = 258 * random.between(1, 4);
        } else if several {
            for _ in 0..random.between(1, 3) {
                match random.below(6) {
                    0..=2 => prompt[IMAGE] = 258 * random.between(1, 8),
                    3 => prompt[DOCUMENT] = 258 * random.between(1, 40),
                    4 => prompt[AUDIO] = 32 * random.between(5, 600),
                    _ => prompt[VIDEO] = 263 * random.between(3, 90),
                }
            }
        }
        if kind == Kind::Text && random.chance(mix.long_prompts) {
            prompt[TEXT] = random.between(130_000, 700_000);
        }
        let mut cached = [0; MODALITIES];
        let mut cached_details = false;
        if kind == Kind::Text && random.chance(mix.cached) {
            // A cache holds what a prompt begins with, and the same share of it whatever the modality.
            let share = random.between(20, 95);
            cached = prompt.map(|tokens| (u64::from(tokens) * u64::from(share) / 100) as u32);
            cached_details = several || random.chance(5_000);
        }
        Tokens {
            spelling: match kind {
                Kind::Live => Spelling::Live,
                Kind::Embedding => Spelling::Embed,
                _ => Spelling::Generate,
            },
            prompt,
            cached,
            cached_details,
            output: [0; MODALITIES],
            tool: 0,
            thoughts: 0,
            unexplained: 0,
        }
    }

    fn answer(&mut self, model: &Model, mix: &Mix, random: &mut Random) {
        match model.kind {
            Kind::Text => {
                // Some are blocked: the prompt is counted, and there is no answer.
                if !random.chance(40) {
                    self.output[TEXT] = random.sized(4, 12);
                    if model.thinks && random.chance(7_000) {
                        self.thoughts = random.sized(6, 12);
                    }
                }
            }
            Kind::Picture => {
                self.output[IMAGE] = PICTURE;
                if random.chance(4_000) {
                    self.output[TEXT] = random.sized(3, 7);
                }
            }
            Kind::Speech => self.output[AUDIO] = 25 * random.between(2, 120),
            Kind::Live => {
                self.output[AUDIO] = 25 * random.between(2, 60);
                self.output[TEXT] = random.sized(2, 6);
            }
            Kind::Embedding | Kind::Imagen | Kind::Veo => {}
        }
        if random.chance(mix.unexplained) {
            self.unexplained = random.between(1, 500);
        }
    }
}

fn name<'p>(project: &'p Project, model: &'static Model, mix: &Mix, random: &mut Random) -> Name<'p> {
    let mut name =
        Name { with_prefix: random.chance(6_000), name: model.name, version: model.version, base: "" };
    if model.kind != Kind::Text {
        return name;
    }
    if let Some(tuned) = &project.tuned_model
        && random.chance(mix.tuned)
    {
        let base = if project.names_base { super::models::TUNED_BASE } else { "" };
        (name.name, name.version, name.base) = (tuned, "", base);
        name.with_prefix = false;
    } else if random.chance(mix.untold) {
        (name.name, name.version) = ("tunedModels/untold-1", "");
        name.with_prefix = false;
    } else if random.chance(mix.unknown_models) {
        (name.name, name.version) = ("gemini-0-unheard-of", "gemini-0-unheard-of");
    }
    name
}

fn service_tier(
    project: &Project,
    model: &Model,
    has_flex: bool,
    mix: &Mix,
    random: &mut Random,
) -> ServiceTier {
    let drawn = random.below(10_000);
    let place = drawn / mix.service_tiers.max(1);
    match place {
        _ if project.usage_tier == UsageTier::Free || mix.service_tiers == 0 => ServiceTier::Standard,
        0 if model.batch => ServiceTier::Batch,
        1 if has_flex => ServiceTier::Flex,
        2 if has_flex => ServiceTier::Priority,
        _ => ServiceTier::Standard,
    }
}

fn method(kind: Kind, service_tier: ServiceTier, mix: &Mix, random: &mut Random) -> &'static str {
    let is_batch = service_tier == ServiceTier::Batch && mix.own_ways;
    match kind {
        Kind::Imagen => "predict",
        Kind::Veo => "predictLongRunning",
        Kind::Live => "bidiGenerateContent",
        Kind::Embedding if is_batch => "asyncBatchEmbedContent",
        Kind::Embedding => random.pick(&["embedContent", "embedContent", "batchEmbedContents"]),
        _ if is_batch => "batchGenerateContent",
        Kind::Text if mix.own_ways && random.chance(500) => {
            random.pick(&["chat.completions", "interactions.create"])
        }
        Kind::Text if random.chance(4_500) => "streamGenerateContent",
        _ => "generateContent",
    }
}

fn id(random: &mut Random) -> Id {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut id = [0; 22];
    // Ten letters of 6 bits come out of one draw of 64.
    for letters in id.chunks_mut(10) {
        let mut bits = random.bits();
        for letter in letters {
            *letter = LETTERS[(bits & 63) as usize];
            bits >>= 6;
        }
    }
    id
}
