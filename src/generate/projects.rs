//! Owns the made-up projects: their names, habits and usage tiers, and which models they call on a day. All of it
//! follows from the seed and the project's number, so that the accounts file and the log agree without a talk.

use jiff::civil::Date;

use super::Settings;
use super::models::{Kind, MODELS, Model};
use super::random::{Random, hashed};
use crate::types::tier::UsageTier;

#[derive(Debug)]
pub struct Project {
    pub id: String,
    pub region: &'static str,
    pub api_keys: u32,
    pub time_style: TimeStyle,
    pub status_style: StatusStyle,
    /// Whether its lines have `api_key_id` and `region`.
    pub names_keys: bool,
    /// Whether the service tier is a field of its lines and not in usageMetadata, and written as the proto's enum.
    pub loud_service_tier: bool,
    /// Whether its lines say their usage tier themselves.
    pub says_usage_tier: bool,
    /// The value of `labels`, or nothing.
    pub labels: &'static str,
    /// Whether people try things out in AI Studio.
    pub uses_ai_studio: bool,
    /// A tuned model of its own.
    pub tuned_model: Option<String>,
    /// Whether its lines name the base of the tuned model, too.
    pub names_base: bool,
    pub usage_tier: UsageTier,
    /// When it got another usage tier, in seconds since 1970.
    pub change: Option<(i64, UsageTier)>,
    /// How much it calls, against the others.
    pub weight: u32,
    rhythm: Rhythm,
    seed: u64,
}

/// How a project writes times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeStyle {
    Millis,
    Seconds,
    Micros,
    /// With the offset of a Pacific summer.
    Offset,
}

/// How a project writes statuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusStyle {
    Number,
    Digits,
    Grpc,
}

/// When a project calls.
#[derive(Clone, Copy, Debug)]
enum Rhythm {
    /// The day of people who live that many hours ahead of UTC.
    People(i32),
    /// As much at night as by day.
    Machines,
    /// From that hour on, for some hours.
    Nightly(i32),
}

/// Calls by hour of a person's day, the highest 100.
const PEOPLE: [u32; 24] =
    [9, 6, 4, 3, 3, 4, 8, 18, 40, 70, 92, 98, 82, 86, 100, 99, 94, 80, 62, 50, 44, 36, 25, 15];

const REGIONS: [(&str, i32); 4] = [("us-west", -7), ("us-east", -4), ("europe", 2), ("asia", 8)];

const LABELS: [&str; 4] = [
    r#"{"team":"search","env":"prod"}"#,
    r#"{"team":"support","env":"prod"}"#,
    r#"{"team":"research","env":"dev"}"#,
    r#"{"env":"prod","feature":"summary","customer":"c-017"}"#,
];

/// The projects of a log.
pub fn projects(settings: &Settings) -> Vec<Project> {
    (0..settings.projects).map(|place| Project::new(settings, place)).collect()
}

impl Project {
    fn new(settings: &Settings, place: u32) -> Project {
        let seed = hashed(&[settings.seed, PROJECT, u64::from(place)]);
        let mut random = Random::new(seed);
        let own_ways = settings.mix().own_ways;
        let (region, hours_ahead) = random.pick(&REGIONS);
        let rhythm = match random.below(10) {
            0..=5 => Rhythm::People(hours_ahead),
            6..=8 => Rhythm::Machines,
            _ => Rhythm::Nightly(random.below(24) as i32),
        };
        // Not drawn, so that a log of few projects has every usage tier, too.
        let usage_tier = match place % 6 {
            0 | 3 | 5 => UsageTier::Tier1,
            1 => UsageTier::Tier2,
            2 => UsageTier::Free,
            _ => UsageTier::Tier3,
        };
        let change = (own_ways && place % 3 == 2).then(|| promotion(settings, usage_tier, seed));
        let number = place + 1;
        // Every choice is drawn whether it is wanted or not, so that one of them can't shift the rest.
        let time_style = random.pick(&[
            TimeStyle::Millis,
            TimeStyle::Millis,
            TimeStyle::Millis,
            TimeStyle::Seconds,
            TimeStyle::Micros,
            TimeStyle::Offset,
        ]);
        let status_style = random.pick(&[
            StatusStyle::Number,
            StatusStyle::Number,
            StatusStyle::Number,
            StatusStyle::Digits,
            StatusStyle::Grpc,
        ]);
        let labels = random.pick(&LABELS);
        let [labelled, loud, says_usage_tier, tuned, names_base, uses_ai_studio, no_keys] =
            [4_000, 2_500, 1_000, 2_500, 3_000, 3_500, 2_000].map(|parts| random.chance(parts));
        Project {
            id: format!("proj-{number:03}"),
            region,
            api_keys: random.between(1, 4),
            time_style: if own_ways { time_style } else { TimeStyle::Millis },
            status_style: if own_ways { status_style } else { StatusStyle::Number },
            names_keys: !(own_ways && no_keys),
            loud_service_tier: own_ways && loud,
            says_usage_tier: own_ways && says_usage_tier && change.is_none(),
            labels: if own_ways && labelled { labels } else { "" },
            uses_ai_studio: !own_ways || uses_ai_studio,
            tuned_model: (own_ways && tuned).then(|| format!("tunedModels/support-{number}")),
            names_base,
            usage_tier,
            change,
            // Few call much and many call little: the n-th a share of 1/n, and a bit.
            weight: 2_000 / number + 60 + random.below(60),
            rhythm,
            seed,
        }
    }

    /// How much it calls in an hour of the UTC day.
    pub fn hourly(&self, hour: u32) -> u32 {
        let share = match self.rhythm {
            Rhythm::People(ahead) => PEOPLE[(hour as i32 + ahead).rem_euclid(24) as usize],
            Rhythm::Machines => 55,
            Rhythm::Nightly(start) if (hour as i32 - start).rem_euclid(24) < 5 => 200,
            Rhythm::Nightly(_) => 2,
        };
        self.weight * share
    }

    /// How much it calls each of [`MODELS`] on a UTC day. A project keeps to some of them; on days before the list of
    /// models begins, to the one that was there longest.
    pub fn weights(&self, day: Date, race: bool) -> Vec<u32> {
        let affinity = |place: usize, model: &Model| {
            let listed = if race { model.race } else { model.was_there(day) };
            let wanted = listed && (model.free || self.usage_tier != UsageTier::Free);
            let taste = match hashed(&[self.seed, place as u64]) % 4 {
                0 => 0,
                // Pictures, speech and video are for few things, whatever a project likes.
                _ if model.kind != Kind::Text => 1,
                1 => 1,
                2 => 3,
                _ => 9,
            };
            if wanted { model.weight * taste } else { 0 }
        };
        let mut weights: Vec<u32> =
            MODELS.iter().enumerate().map(|(place, model)| affinity(place, model)).collect();
        let text = MODELS.iter().zip(&weights);
        if !text.into_iter().any(|(model, weight)| model.kind == Kind::Text && *weight > 0) {
            weights[0] = 30;
        }
        weights
    }
}

/// When in the log a project is promoted, and to what.
fn promotion(settings: &Settings, usage_tier: UsageTier, seed: u64) -> (i64, UsageTier) {
    let next = match usage_tier {
        UsageTier::Free => UsageTier::Tier1,
        UsageTier::Tier1 => UsageTier::Tier2,
        _ => UsageTier::Tier3,
    };
    let minutes = i64::from(settings.days) * 1_440;
    let minute = (hashed(&[seed, PROMOTION]) % minutes as u64) as i64;
    (settings.start() + minute * 60, next)
}

/// Keep these draws apart from others of the same seed.
const PROJECT: u64 = 0x7072_6f6a;
const PROMOTION: u64 = 0x7072_6f6d;
