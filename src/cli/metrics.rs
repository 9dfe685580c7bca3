//! Owns the metrics of a run: a Prometheus text file for the textfile collector, put in place by a rename. It has no
//! times of its own samples (the collector refuses them), and a run that fails keeps when the last one succeeded.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::pipeline::{DayReport, Replay};
use crate::publish::PublishedDay;
use crate::publish::manifest::State;
use crate::types::day::Instant;
use crate::types::key::shown;
use crate::types::money::Pico;

/// Quota peaks are told from this share of their limit on, in thousandths.
const HIGH: u64 = 800;
const LAST_SUCCESS: &str = "rerate_last_success_timestamp_seconds";

/// What a run came to.
pub struct Figures {
    bytes: u64,
    /// By what became of them.
    records: Vec<(&'static str, u64)>,
    /// Lines and rows of quantities, by reason.
    suspense: BTreeMap<&'static str, u64>,
    rated_cost: Pico,
    /// In thousandths, by project, model under whose limits, usage tier and metric.
    peaks: BTreeMap<[String; 4], u64>,
}

impl Figures {
    /// Of a run that has read its logs.
    pub fn new(replay: &Replay) -> Figures {
        let mut suspense = BTreeMap::new();
        for line in &replay.suspended {
            *suspense.entry(line.reason.name()).or_default() += 1;
        }
        let inputs = replay.inputs.iter().filter(|input| input.same_as.is_none());
        Figures {
            bytes: inputs.map(|input| input.bytes).sum(),
            records: replay.records.parts().to_vec(),
            suspense,
            rated_cost: Pico::ZERO,
            peaks: BTreeMap::new(),
        }
    }

    /// Adds a day.
    pub fn add(&mut self, day: &DayReport<'_>) {
        for key in day.rated.unrated.keys() {
            *self.suspense.entry(key.why.reason().name()).or_default() += 1;
        }
        for charge in day.rated.charges.values() {
            self.rated_cost = self.rated_cost.checked_add(charge.rated_cost).unwrap_or(self.rated_cost);
        }
        for (key, used) in &day.measured.quota {
            for (metric, limit, used) in [
                ("rpm", used.rpm.limit, used.rpm.peak),
                ("tpm", used.tpm.limit, used.tpm.peak),
                ("rpd", used.rpd.limit, Some(used.rpd.used)),
                ("tpd", used.tpd.limit, Some(used.tpd.used)),
            ] {
                let Some((limit, used)) = limit.filter(|limit| *limit > 0).zip(used) else { continue };
                let share = u128::from(used) * 1_000 / u128::from(limit);
                if share > u128::from(HIGH) {
                    let names = [key.project_id, key.quota_model, key.usage_tier.name(), metric];
                    let peak = self.peaks.entry(names.map(|name| shown(name).into_owned())).or_default();
                    *peak = u64::try_from(share).unwrap_or(u64::MAX).max(*peak);
                }
            }
        }
    }

    pub fn requests(&self) -> u64 {
        self.records.iter().filter(|(state, _)| *state == "requests").map(|(_, count)| count).sum()
    }

    /// Rows of suspense.
    pub fn suspended(&self) -> u64 {
        self.suspense.values().sum()
    }

    pub fn rated_cost(&self) -> Pico {
        self.rated_cost
    }
}

/// How a run ended.
pub struct Ended<'e> {
    pub code: u8,
    pub published: &'e [PublishedDay],
    pub figures: Option<&'e Figures>,
    pub took: Duration,
    pub now: Instant,
}

/// A file that can be written.
pub struct MetricsFile {
    path: PathBuf,
    /// Beside it; the collector reads only names that end in `.prom`.
    beside: PathBuf,
}

impl MetricsFile {
    /// Tries whether it can be written, before there is anything to lose.
    pub fn new(path: &Path) -> Result<MetricsFile> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let Some(name) = name.filter(|_| !path.is_dir()) else {
            return Err(Error::new(format!("--metrics {}: it is a folder; expected a file", path.display()))
                .hint("nothing was published; name a file like rerate.prom in it"));
        };
        let beside = path.with_file_name(format!(".{name}.{}", std::process::id()));
        let file = MetricsFile { path: path.to_path_buf(), beside };
        file.put("", false)?;
        Ok(file)
    }

    pub fn write(&self, ended: &Ended<'_>) -> Result<()> {
        let succeeded = matches!(ended.code, 0 | 3);
        let last_success = if succeeded { Some(ended.now.seconds()) } else { self.last_success() };
        self.put(&text(ended, last_success), true)
    }

    /// Writes a new file beside, and puts it in place or takes it away again.
    fn put(&self, text: &str, in_place: bool) -> Result<()> {
        let written = || {
            let _ = fs::remove_file(&self.beside);
            let mut file = File::create_new(&self.beside)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            if in_place { fs::rename(&self.beside, &self.path) } else { fs::remove_file(&self.beside) }
        };
        written().map_err(|error| {
            let error = Error::io("write", &self.path, &error);
            let what = format!("--metrics {}", error.what);
            let published = if in_place { "what was published stands" } else { "nothing was published" };
            let remedy = error.hint.as_deref().unwrap_or("name a file that can be written");
            let hint = Some(format!("{published}; {remedy}"));
            Error { what, hint, ..error }
        })
    }

    /// As the file that is there says.
    fn last_success(&self) -> Option<i64> {
        let text = fs::read_to_string(&self.path).ok()?;
        let value = text.lines().find_map(|line| line.strip_prefix(LAST_SUCCESS)?.strip_prefix(' '));
        value?.parse().ok()
    }
}

fn text(ended: &Ended<'_>, last_success: Option<i64>) -> String {
    let mut text = String::new();
    let mut family = |name: &str, help: &str, samples: &[(String, String)]| {
        if samples.is_empty() {
            return;
        }
        text += &format!("# HELP {name} {help}\n# TYPE {name} gauge\n");
        for (labels, value) in samples {
            text += &format!("{name}{labels} {value}\n");
        }
    };
    let one = |value: String| [(String::new(), value)];
    let counted = |state: State| {
        let days = ended.published.iter().filter(|day| day.state == state).count();
        (labels(&[("state", &state.to_string())]), days.to_string())
    };
    if let Some(figures) = ended.figures {
        let records: Vec<_> = figures
            .records
            .iter()
            .map(|(state, count)| (labels(&[("state", state)]), count.to_string()))
            .collect();
        family("rerate_records", "Lines that were read, by what became of them.", &records);
        family("rerate_bytes", "Bytes that were read, as stored.", &one(figures.bytes.to_string()));
        let suspense: Vec<_> = figures
            .suspense
            .iter()
            .map(|(reason, count)| (labels(&[("reason", reason)]), count.to_string()))
            .collect();
        family("rerate_suspense", "Rows in suspense, by reason.", &suspense);
        family(
            "rerate_rated_cost_usd",
            "Rated cost of the days, before credits.",
            &one(figures.rated_cost.to_string()),
        );
        let peaks: Vec<_> = figures
            .peaks
            .iter()
            .map(|([project, model, usage_tier, metric], peak)| {
                let labels = labels(&[
                    ("project_id", project),
                    ("quota_model", model),
                    ("usage_tier", usage_tier),
                    ("metric", metric),
                ]);
                (labels, format!("{}.{:03}", peak / 1_000, peak % 1_000))
            })
            .collect();
        family("rerate_quota_peak_ratio", "Highest use of a limit, where it is above 0.8 of it.", &peaks);
    }
    family("rerate_days", "Days that the run published.", &[State::Open, State::Closed].map(counted));
    family(
        "rerate_duration_seconds",
        "How long the run took.",
        &one(format!("{:.3}", ended.took.as_secs_f64())),
    );
    family(
        "rerate_exit_code",
        "How the run ended: 0, and 3 with suspense, are successes.",
        &one(ended.code.to_string()),
    );
    let last_success: Vec<_> = last_success.iter().map(|at| (String::new(), at.to_string())).collect();
    family(LAST_SUCCESS, "When a run last succeeded.", &last_success);
    text
}

fn labels(labels: &[(&str, &str)]) -> String {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    format!("{{{}}}", labels.join(","))
}
