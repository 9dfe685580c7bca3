//! Owns the data_use report: under whose terms requests were, which say whether prompts may be used to improve products.
//! Billing and terms pages: unpaid use of the free usage tier may; paid use may not; AI Studio is as paid when a project
//! of yours is.

use foldhash::HashMap;

use super::{Kind, Report, Rows, column};
use crate::types::day::Day;
use crate::types::meter::Meter;
use crate::types::tally::{Cells, Groups};

pub const REPORT: Report = Report {
    name: "data_use",
    columns: &[
        column("date", Kind::Date, "Pacific day"),
        column("project_id", Kind::Text, "Google Cloud project, as logged"),
        column("channel", Kind::Text, "api, ai_studio"),
        column("terms", Kind::Text, "paid: prompts aren't used; unpaid: they may be; unknown"),
        column("requests", Kind::Whole, "all, failed ones too"),
        column("input_tokens", Kind::Whole, "as in usage: cached and tool tokens excluded"),
        column("output_tokens", Kind::Whole, "as in usage: thoughts included"),
    ],
    key: &["date", "project_id", "channel", "terms"],
    has_csv: true,
};

/// The rows of one day.
pub fn rows(day: Day, cells: &Cells, groups: &Groups) -> Rows {
    let mut sums: HashMap<_, [u64; 3]> = HashMap::default();
    for (key, cell) in cells {
        let facts = &groups[key.group.0 as usize];
        let [requests, input, output] =
            sums.entry((&*facts.project_id, facts.channel, key.terms)).or_default();
        *requests += cell.requests;
        for (slot, tokens) in cell.quantities() {
            match slot.meter() {
                Meter::Input => *input += tokens,
                Meter::Output | Meter::OutputThinking => *output += tokens,
                _ => {}
            }
        }
    }
    let mut rows = Rows::new(&REPORT, sums.len());
    for ((project_id, channel, terms), [requests, input, output]) in sums {
        rows.push([
            day.into(),
            project_id.into(),
            channel.name().into(),
            terms.name().into(),
            requests.into(),
            input.into(),
            output.into(),
        ]);
    }
    rows
}
