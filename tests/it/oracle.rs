//! Holds the program against cases that it didn't write: `fixtures/oracle`. `dev_cases.jsonl` was worked out by an
//! independent replay; `real_bodies_dev.jsonl` has usageMetadata objects that others recorded.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rerate::books::{Books, Sources};
use rerate::pipeline::{self, Options};
use rerate::read::{self, settings::AllSettings};
use rerate::types::day::Window;
use serde_json::{Value, json};

use crate::run;

#[test]
fn every_charge_of_dev_cases_is_exact_to_the_last_digit() {
    assert_eq!(agree("dev_cases.jsonl"), 226);
}

#[test]
fn every_charge_of_recorded_bodies_is_exact_to_the_last_digit() {
    assert_eq!(agree("real_bodies_dev.jsonl"), 1_041);
}

/// The number of cases, which all agree.
fn agree(file: &str) -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/oracle").join(file);
    let text = std::fs::read_to_string(path).expect("the oracle");
    let cases: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("a case")).collect();
    let books = Books::load(&Sources::default()).expect("the embedded books");
    let failed: Vec<String> = cases.iter().filter_map(|case| difference(case, &books)).collect();
    assert!(failed.is_empty(), "{} of {} cases differ\n\n{}", failed.len(), cases.len(), failed.join("\n\n"));
    cases.len()
}

fn difference(case: &Value, embedded: &Books) -> Option<String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("input.jsonl");
    let lines: Vec<String> = case["records"]
        .as_array()
        .expect("records")
        .iter()
        .map(|record| record.as_str().map_or_else(|| record.to_string(), str::to_string))
        .collect();
    std::fs::write(&log, lines.join("\n")).expect("a log");
    let with_accounts = case["accounts"].as_str().map(|accounts| {
        let file = folder.path().join("accounts.toml");
        std::fs::write(&file, accounts).expect("an accounts file");
        Books::load(&Sources { accounts: Some(file), ..Sources::default() }).expect("books")
    });
    let books = with_accounts.as_ref().unwrap_or(embedded);

    let inputs = read::find(&[log.display().to_string()], None, AllSettings::default()).expect("inputs");
    let options = Options::default();
    let replay = pipeline::replay(&inputs, books, &options, &Arc::default()).expect("a replay");
    let days = run::reports(&replay, books, Window::default());

    let mut charges = Vec::new();
    let mut rated = rerate::types::money::Pico::ZERO;
    let mut suspense: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for day in &days {
        for (key, charge) in &day.rated.charges {
            rated = rated.checked_add(charge.rated_cost).expect("a sum");
            charges.push(json!([
                day.day.to_string(),
                key.model,
                key.base_model,
                key.usage_tier.name(),
                key.service_tier.name(),
                key.price_above_prompt_tokens,
                key.meter.name(),
                key.modality.name(),
                key.exempt.map(|exempt| exempt.name()),
                charge.quantity,
                charge.list_cost.map(|cost| cost.to_string()),
                charge.rated_cost.to_string(),
            ]));
        }
        for (key, unrated) in &day.rated.unrated {
            *suspense.entry((key.why.reason().stage().name(), key.why.reason().name())).or_default() +=
                unrated.quantity;
        }
    }
    for line in &replay.suspended {
        *suspense.entry((line.reason.stage().name(), line.reason.name())).or_default() += 1;
    }
    charges.sort_by_key(Value::to_string);
    let mut expected_charges = case["expected"]["charges"].as_array().expect("charges").clone();
    expected_charges.sort_by_key(Value::to_string);
    let suspense: Vec<Value> =
        suspense.iter().map(|((stage, reason), quantity)| json!([stage, reason, quantity])).collect();

    let records = &replay.records;
    let mut counts: BTreeMap<&str, u64> = records.parts().into_iter().collect();
    counts.insert("lines", records.lines);
    let expected_records = case["expected"]["records"].as_object().expect("records");
    let records_agree =
        expected_records.iter().all(|(name, count)| counts.get(name.as_str()).copied() == count.as_u64());
    let agrees = charges == expected_charges
        && json!(suspense) == case["expected"]["suspense"]
        && rated.to_string() == case["expected"]["rated_cost_usd"].as_str().unwrap_or_default()
        && records_agree;
    (!agrees).then(|| {
        let expected = &case["expected"];
        format!(
            "{} ({})\n  expected {expected}\n  charges {}\n  suspense {}\n  records {counts:?}",
            case["id"],
            case["why"],
            json!(charges),
            json!(suspense)
        )
    })
}
