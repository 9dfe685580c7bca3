//! Owns `rerate show`: figures of published days as a table, CSV or JSON. What the figures are is for `query`.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use comfy_table::{CellAlignment, ColumnConstraint, Width};
use serde_json::Value;

use super::screen::{self, counted, dollars, share_in_words, thousands, tokens};
use super::{Done, WindowArgs, replay, words};
use crate::error::{Error, Result};
use crate::publish::manifest::State;
use crate::publish::write::guarded;
use crate::query::summary::{Cost, Per, Question, Row, Summary, Suspense, Usage};
use crate::query::{self, Fact, Published};
use crate::types::key::shown;
use crate::types::money::Pico;

/// Print published days: requests, tokens, cost and quota, by period and by columns
///
///   rerate show days --per week --by project_id
///   rerate show days --date 2026-06-01 --by meter,modality --format csv
///
/// --by takes the columns that tell rows of the reports apart:
///   usage      date, project_id, model, base_model, method, usage_tier,
///              pricing_tier, service_tier, channel, outcome
///   charges    these without method and outcome; billing_account, meter,
///              modality, exempt, price_above_prompt_tokens
///   quota      date, project_id, quota_model, usage_tier, pricing_tier
/// Requests and tokens come from usage and cost from charges, so by outcome no
/// cost is known and by meter no requests; stderr says what was left out.
///
/// In the table, input has cached and tool tokens in it, and a column that says
/// nothing is left out. CSV and JSON have all figures, exact and under the names
/// of the reports (there input_tokens has neither); money in JSON is text. Rated
/// cost is the cost after the charging rules, list cost without them; unrated
/// tokens are in suspense, and in neither.
///
/// Quota is the highest share of a limit (RPM, TPM, RPD, TPD) on any day and in
/// any project of the row, in percent rounded up. It is known by date, project_id,
/// model, base_model, usage_tier and pricing_tier. A model's is the one under which
/// its requests count (quota_model in quota.csv), maybe along with other models'.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub struct Show {
    /// The folder with the published days: --out of replay
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// A row per Pacific day, week (from Monday, named by it) or month, or one over all days
    #[arg(long, value_name = "PERIOD", default_value = "all", value_parser = words(Per::ALL.iter().map(|per| per.name())))]
    per: String,

    /// A row per value of these columns, or none
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',', default_value = "model,usage_tier")]
    by: Vec<String>,

    #[command(flatten)]
    window: WindowArgs,

    /// How to print it
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
}

impl Show {
    pub(super) fn run(&self) -> Result<Done> {
        let per = Per::from_name(&self.per).unwrap_or(Per::All);
        let by: &[String] = match &self.by[..] {
            [none] if none == "none" => &[],
            by => by,
        };
        let question = Question::new(per, by)?;
        let days = self.days()?;
        let summary = question.answer(&days)?;
        let mut left_out = self.left_out(&summary);
        let text = match self.format {
            Format::Table => table(&summary, &mut left_out)?,
            Format::Csv => csv(&summary)?,
            Format::Json => json(&summary)?,
        };
        screen::print(&text)?;
        say_days(&days);
        say_suspense(&summary.suspense);
        if summary.rows_without_list_cost > 0 {
            let rows = counted(summary.rows_without_list_cost, "row");
            screen::say(format_args!(
                "list cost is without {rows} of charges that have no price (all exempt)"
            ));
        }
        if !left_out.is_empty() {
            screen::say(format_args!("left out: {}", left_out.join("; ")));
        }
        Ok(Done::Whole)
    }

    /// What the columns don't allow, and which of them is in the way.
    fn left_out(&self, summary: &Summary) -> Vec<String> {
        let parts = &summary.parts;
        // A table without such tokens has no column for them anyway, and nobody looks for them where no cost is.
        let has_unrated = summary.suspense.tokens > 0 || !matches!(self.format, Format::Table);
        let misses_unrated = has_unrated && parts.charges.is_ok();
        [
            ("requests and tokens", parts.usage, true),
            ("cost", parts.charges, true),
            ("unrated tokens", parts.unrated, misses_unrated),
            ("quota", parts.quota, true),
        ]
        .into_iter()
        .filter(|(_, _, is_missed)| *is_missed)
        .filter_map(|(figures, part, _)| {
            let column = part.err()?;
            Some(format!("{figures} (not known by {column})"))
        })
        .collect()
    }

    /// The published days that are asked for: at least one.
    fn days(&self) -> Result<Vec<Published>> {
        let (folder, window) = (self.folder.display(), self.window.window()?);
        refuse_file(&self.folder)?;
        let mut days = query::days(&self.folder).map_err(|error| error.or_hint(none_hint(&self.folder)))?;
        let all = days.first().zip(days.last()).map(|(first, last)| (first.day, last.day));
        days.retain(|published| window.contains(published.day));
        match all {
            _ if !days.is_empty() => Ok(days),
            Some((first, last)) => {
                Err(Error::new(format!("{folder}: no day is published {}", replay::in_words(window))).hint(
                    if first == last {
                        format!("the only published day is {first}")
                    } else {
                        format!("published days are from {first} to {last}")
                    },
                ))
            }
            None => Err(no_day(&self.folder)),
        }
    }
}

pub(super) fn refuse_file(folder: &Path) -> Result<()> {
    if folder.is_file() {
        let what = format!("{}: it is a file; expected a folder of published days", folder.display());
        return Err(Error::new(what).hint("give the --out of a replay"));
    }
    Ok(())
}

pub(super) fn no_day(folder: &Path) -> Error {
    Error::new(format!("{}: no published day is in this folder", folder.display())).hint(none_hint(folder))
}

pub(super) fn none_hint(folder: &Path) -> String {
    if folder.join("manifest.json").exists() {
        return "it is a published day itself: give the folder that it is in, and --date".to_string();
    }
    format!("give the --out of a replay, or publish days: rerate replay LOGS --out {}", folder.display())
}

fn say_days(days: &[Published]) {
    let (Some(first), Some(last)) = (days.first(), days.last()) else {
        return;
    };
    let between = (last.day.0 - first.day.0) as u64 + 1 - days.len() as u64;
    let span = if days.len() == 1 {
        format!("the published day {}", first.day)
    } else {
        format!("{} published days, {} to {}", days.len(), first.day, last.day)
    };
    let gaps = match between {
        0 => String::new(),
        1 => "; 1 day between is not published".to_string(),
        days => format!("; {days} days between are not published"),
    };
    screen::say(format_args!("{span}{gaps}"));
    let open: Vec<String> = days
        .iter()
        .filter(|published| published.state == State::Open)
        .map(|published| published.day.to_string())
        .collect();
    match &open[..] {
        [] => {}
        [one] => screen::say(format_args!("{one} is open: more of it may come")),
        [first, .., last] => screen::say(format_args!(
            "{} days are open ({first} to {last}): more of them may come",
            open.len()
        )),
    }
}

fn say_suspense(suspense: &Suspense) {
    let mut held: Vec<String> = Vec::new();
    if suspense.tokens > 0 {
        held.push(counted(suspense.tokens, "token"));
    }
    for (meter, quantity) in &suspense.quantities {
        held.push(format!("{} {meter}", thousands(*quantity)));
    }
    if suspense.lines > 0 {
        held.push(counted(suspense.lines, "line"));
    }
    if !held.is_empty() {
        screen::say(format_args!(
            "in suspense, and in no cost: {}; the days' suspense.csv have the reasons",
            held.join(", ")
        ));
    }
}

/// A figure as the reports have it.
enum Figure {
    None,
    Whole(u64),
    Dollars(Pico),
    Word(&'static str),
}

type FigureOf = fn(&Row) -> Figure;

/// The columns after the keys, for other programs to read.
fn figures(summary: &Summary) -> Vec<(&'static str, FigureOf)> {
    fn usage(row: &Row, figure: fn(&Usage) -> u64) -> Figure {
        row.usage.as_ref().map_or(Figure::None, |usage| Figure::Whole(figure(usage)))
    }
    fn cost(row: &Row, figure: fn(&Cost) -> Figure) -> Figure {
        row.cost.as_ref().map_or(Figure::None, figure)
    }
    let mut figures: Vec<(&'static str, FigureOf)> = Vec::new();
    if summary.parts.usage.is_ok() {
        let of_usage: [(&'static str, FigureOf); 6] = [
            ("requests", |row| usage(row, |usage| usage.requests)),
            ("input_tokens", |row| usage(row, |usage| usage.input_tokens)),
            ("input_tokens_cached", |row| usage(row, |usage| usage.input_tokens_cached)),
            ("input_tokens_tool", |row| usage(row, |usage| usage.input_tokens_tool)),
            ("output_tokens", |row| usage(row, |usage| usage.output_tokens)),
            ("output_tokens_thoughts", |row| usage(row, |usage| usage.output_tokens_thoughts)),
        ];
        figures.extend(of_usage);
    }
    if summary.parts.charges.is_ok() {
        if has_quantity(summary) {
            figures.push(("quantity", |row| cost(row, |cost| Figure::Whole(cost.quantity))));
        }
        figures.push(("list_cost_usd", |row| {
            cost(row, |cost| cost.list_cost.map_or(Figure::None, Figure::Dollars))
        }));
        figures.push(("rated_cost_usd", |row| cost(row, |cost| Figure::Dollars(cost.rated_cost))));
    }
    if summary.parts.unrated.is_ok() {
        figures.push(("tokens_unrated", |row| Figure::Whole(row.tokens_unrated)));
    }
    if summary.parts.quota.is_ok() {
        let of_quota: [(&'static str, FigureOf); 3] = [
            ("quota_metric", |row| row.peak.map_or(Figure::None, |peak| Figure::Word(peak.metric))),
            ("quota_used", |row| row.peak.map_or(Figure::None, |peak| Figure::Whole(peak.used))),
            ("quota_limit", |row| row.peak.map_or(Figure::None, |peak| Figure::Whole(peak.limit))),
        ];
        figures.extend(of_quota);
    }
    figures
}

/// Quantities of unlike meters add up to nothing.
fn has_quantity(summary: &Summary) -> bool {
    summary.keys.contains(&"meter")
}

fn csv(summary: &Summary) -> Result<String> {
    let failed =
        |error: &dyn std::fmt::Display| Error::new(format!("the rows can't be written as CSV: {error}"));
    let figures = figures(summary);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = figures.iter().map(|(name, _)| *name);
    let header: Vec<&str> = summary.keys.iter().copied().chain(names).collect();
    writer.write_record(header).map_err(|error| failed(&error))?;
    for row in &summary.rows {
        let keys = row.key.iter().map(|fact| match fact {
            None => String::new(),
            Some(Fact::Text(text)) => guarded(text).into_owned(),
            Some(Fact::Whole(whole)) => whole.to_string(),
        });
        let cells = figures.iter().map(|(_, figure)| match figure(row) {
            Figure::None => String::new(),
            Figure::Whole(whole) => whole.to_string(),
            Figure::Dollars(pico) => pico.to_string(),
            Figure::Word(word) => word.to_string(),
        });
        writer.write_record(keys.chain(cells)).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    String::from_utf8(bytes).map_err(|error| failed(&error))
}

/// A list with an object a line. Money is text: a reader's float would round it.
fn json(summary: &Summary) -> Result<String> {
    struct Object(Vec<(&'static str, Value)>);
    impl serde::Serialize for Object {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
            serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
        }
    }
    let figures = figures(summary);
    let mut lines: Vec<String> = Vec::new();
    for row in &summary.rows {
        let keys = summary.keys.iter().zip(&row.key).map(|(name, fact)| {
            let value = match fact {
                None => Value::Null,
                Some(Fact::Text(text)) => Value::from(text.as_str()),
                Some(Fact::Whole(whole)) => Value::from(*whole),
            };
            (*name, value)
        });
        let cells = figures.iter().map(|(name, figure)| {
            let value = match figure(row) {
                Figure::None => Value::Null,
                Figure::Whole(whole) => Value::from(whole),
                Figure::Dollars(pico) => Value::from(pico.to_string()),
                Figure::Word(word) => Value::from(word),
            };
            (*name, value)
        });
        let line = serde_json::to_string(&Object(keys.chain(cells).collect()))
            .map_err(|error| Error::new(format!("the rows can't be written as JSON: {error}")))?;
        lines.push(format!("  {line}"));
    }
    Ok(format!("[\n{}\n]\n", lines.join(",\n")))
}

/// A column of the table, its last cell that of the total.
struct Column {
    header: String,
    is_figure: bool,
    /// Left out when the table is too wide: the highest first.
    needless: u8,
    cells: Vec<String>,
}

/// For the eye. What doesn't fit is told in `left_out`.
fn table(summary: &Summary, left_out: &mut Vec<String>) -> Result<String> {
    const GAP: usize = 2;
    let mut total = Row::default();
    for row in &summary.rows {
        total.merge(row)?;
    }
    let mut columns = columns(summary, &total)?;
    let width = width();
    let mut too_wide = Vec::new();
    while columns.iter().map(|column| column.width() + GAP).sum::<usize>() > width + GAP {
        let needless = columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.needless > 0)
            .max_by_key(|(_, column)| column.needless);
        let Some((place, _)) = needless else {
            break;
        };
        too_wide.push(columns.remove(place).header.replace('\n', " "));
    }
    if !too_wide.is_empty() {
        left_out.push(format!("{} (no room in {width} columns; --format csv has all)", too_wide.join(", ")));
    }

    // A name may be broken over lines when it must, the longest first; a figure never.
    let mut widths: Vec<usize> = columns.iter().map(Column::width).collect();
    while widths.iter().map(|wide| wide + GAP).sum::<usize>() > width + GAP {
        let names =
            columns.iter().zip(&mut widths).filter(|(column, _)| !column.is_figure).map(|(_, wide)| wide);
        match names.max() {
            Some(longest) if *longest > 1 => *longest -= 1,
            _ => break,
        }
    }

    let headers: Vec<&str> = columns.iter().map(|column| &*column.header).collect();
    let mut table = screen::plain_table(&headers);
    table.set_width(width as u16);
    for (place, column) in columns.iter().enumerate() {
        let Some(in_table) = table.column_mut(place) else {
            continue;
        };
        let last = place + 1 == columns.len();
        let gap = if last { 0 } else { GAP };
        in_table.set_padding((0, gap as u16));
        let wide = Width::Fixed((widths[place] + gap) as u16);
        in_table.set_constraint(ColumnConstraint::Absolute(wide));
        in_table.set_cell_alignment(if column.is_figure {
            CellAlignment::Right
        } else {
            CellAlignment::Left
        });
    }
    // A total of one row says nothing more, and quota has none.
    let adds_up = summary.parts.usage.is_ok() || summary.parts.charges.is_ok();
    let has_total = adds_up && summary.rows.len() > 1;
    let rows = summary.rows.len() + usize::from(has_total);
    for row in 0..rows {
        table.add_row(columns.iter().map(|column| column.cells[row].as_str()));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_string()).collect();
    Ok(format!("{}\n", lines.join("\n")))
}

impl Column {
    fn width(&self) -> usize {
        let lines = self.header.lines().chain(self.cells.iter().map(String::as_str));
        lines.map(|line| line.chars().count()).max().unwrap_or(0)
    }
}

fn columns(summary: &Summary, total: &Row) -> Result<Vec<Column>> {
    let rows = || summary.rows.iter().chain([total]);
    let mut columns: Vec<Column> = Vec::new();
    for (place, key) in summary.keys.iter().enumerate() {
        let cell = |row: &Row| match &row.key[place] {
            None => "(none)".to_string(),
            Some(Fact::Text(text)) => shown(text).into_owned(),
            Some(Fact::Whole(whole)) => thousands(*whole),
        };
        let total = if place == 0 { "all" } else { "" };
        columns.push(Column {
            header: key.replace('_', "\n"),
            is_figure: false,
            needless: 0,
            cells: summary.rows.iter().map(cell).chain([total.to_string()]).collect(),
        });
    }
    let mut push = |header: &str, needless, cells: Vec<Option<String>>| {
        columns.push(Column {
            header: header.to_string(),
            is_figure: true,
            needless,
            cells: cells.into_iter().map(|cell| cell.unwrap_or("-".to_string())).collect(),
        });
    };
    if summary.parts.usage.is_ok() {
        let figure = |figure: &dyn Fn(&Usage) -> String| -> Vec<Option<String>> {
            rows().map(|row| row.usage.as_ref().map(figure)).collect()
        };
        let input = rows().map(|row| {
            let all = row.usage.as_ref().map(Usage::input_tokens_all).transpose()?;
            Ok(all.map(tokens))
        });
        push("requests", 0, figure(&|usage| thousands(usage.requests)));
        push("input", 0, input.collect::<Result<_>>()?);
        if rows().any(|row| row.usage.as_ref().is_some_and(|usage| usage.input_tokens_cached > 0)) {
            push("cached", 1, figure(&|usage| tokens(usage.input_tokens_cached)));
        }
        push("output", 0, figure(&|usage| tokens(usage.output_tokens)));
    }
    if summary.parts.charges.is_ok() {
        let figure = |figure: &dyn Fn(&Cost) -> Option<String>| -> Vec<Option<String>> {
            rows().map(|row| row.cost.as_ref().and_then(figure)).collect()
        };
        if has_quantity(summary) {
            let mut cells = figure(&|cost| Some(tokens(cost.quantity)));
            // No total: of unlike meters.
            cells.pop();
            cells.push(Some(String::new()));
            push("quantity", 0, cells);
        }
        let differs = |cost: &Cost| cost.list_cost != Some(cost.rated_cost);
        if rows().any(|row| row.cost.as_ref().is_some_and(differs)) {
            push("list\nUSD", 2, figure(&|cost| cost.list_cost.map(dollars)));
        }
        push("rated\nUSD", 0, figure(&|cost| Some(dollars(cost.rated_cost))));
    }
    if summary.parts.unrated.is_ok() && total.tokens_unrated > 0 {
        let cells = rows().map(|row| Some(tokens(row.tokens_unrated)));
        push("unrated\ntokens", 0, cells.collect());
    }
    if summary.parts.quota.is_ok() {
        let peak = |row: &Row| {
            row.peak.map(|peak| share_in_words(&peak.metric.to_uppercase(), peak.used, peak.limit))
        };
        let cells = summary.rows.iter().map(peak).chain([Some(String::new())]);
        push("top\nquota", 0, cells.collect());
    }
    Ok(columns)
}

/// Of the terminal; 80 where there is none, as whoever reads a pipe may have no more.
fn width() -> usize {
    use std::io::IsTerminal;
    let terminal = std::io::stdout().is_terminal().then(terminal_size::terminal_size).flatten();
    terminal.map_or(80, |(terminal_size::Width(width), _)| usize::from(width.max(60)))
}
