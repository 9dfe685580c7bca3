//! `rerate show` against published cases: figures worked out by hand, from the sums in the cases' WHY.md.

use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::run::{rerate, stderr};

/// Publishes cases, of different days, in the folder `days`.
fn publish(cases: &[&str], args: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for case in cases {
        let input =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/cases").join(case).join("input.jsonl");
        let input = input.display().to_string();
        let replay = ["replay", "--out", "days", "--close", &input];
        let output = rerate(folder.path(), &[&replay, args].concat());
        assert!(folder.path().join("days").exists(), "{}", stderr(&output));
    }
    folder
}

/// Six days: 2025-10-14 and 10-15 (three requests of 1,000 input tokens, two of a preview and one of gemini-flash-latest,
/// 0.0003 each), 2026-05-04 (1,000 tokens in suspense, 1,000 for 0.0001), 2026-06-01 (600 tokens and 400 cached ones,
/// 0.000192), 2026-08-12 and 08-13 (a million each, 1.5 and 0.75).
fn six_days() -> TempDir {
    publish(
        &[
            "a-preview-with-limits-of-its-own-is-counted-under-its-name",
            "a-service-tier-without-a-price-is-suspended",
            "cached-tokens-bill-at-the-cached-price",
            "a-price-change-holds-from-midnight-pacific",
        ],
        &[],
    )
}

/// What it prints, and what it says.
fn show(folder: &TempDir, args: &[&str]) -> (String, String) {
    let output = rerate(folder.path(), &[&["show", "days"], args].concat());
    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{told}");
    (String::from_utf8(output.stdout).expect("UTF-8"), told)
}

/// The words of a refusal.
fn refused(folder: &TempDir, args: &[&str], code: i32) -> String {
    let output = rerate(folder.path(), args);
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
    stderr(&output)
}

const FIGURES: &str = "requests,input_tokens,input_tokens_cached,input_tokens_tool,output_tokens,\
    output_tokens_thoughts,list_cost_usd,rated_cost_usd";
const QUOTA: &str = "quota_metric,quota_used,quota_limit";

#[test]
fn all_days_are_shown_by_model_and_usage_tier() {
    // All: 0.0001 + 0.000192 + 0.0006 + 2.25 + 0.0003 = 2.251192. Shares are rounded up: 1 of 1,000 a minute, 2 of 2,000.
    let (table, told) = show(&six_days(), &[]);
    let expected = "\
model                    usage  requests  input  output   rated  unrated     top
                         tier                               USD   tokens   quota
gemini-2.0-flash         tier1         2  2,000       0  0.0001    1,000  RPM 1%
gemini-2.5-flash         tier1         1  1,000       0  0.0002        0  RPM 1%
gemini-2.5-flash-previe  tier1         2  2,000       0  0.0006        0  RPM 1%
w-09-2025
gemini-3.6-flash         tier1         2   2.0M       0  2.2500        0       -
gemini-flash-latest      tier1         1  1,000       0  0.0003        0  RPM 1%
all                                    8   2.0M       0  2.2512    1,000
";
    assert_eq!(table, expected);
    // From 2025-10-14 to 2026-08-13 are 304 days.
    let words = "\
6 published days, 2025-10-14 to 2026-08-13; 298 days between are not published
in suspense, and in no cost: 1,000 tokens; the days' suspense.csv have the reasons
left out: cached (no room in 80 columns; --format csv has all)
";
    assert_eq!(told, words);
}

#[test]
fn csv_has_exact_figures_by_month() {
    let args = ["--per", "month", "--by", "usage_tier", "--format", "csv"];
    let (csv, _) = show(&six_days(), &args);
    let expected = format!(
        "month,usage_tier,{FIGURES},tokens_unrated,{QUOTA}\n\
         2025-10,tier1,3,3000,0,0,0,0,0.0009,0.0009,0,rpm,1,1000\n\
         2026-05,tier1,2,2000,0,0,0,0,0.0001,0.0001,1000,rpm,2,2000\n\
         2026-06,tier1,1,600,400,0,0,0,0.000192,0.000192,0,rpm,1,1000\n\
         2026-08,tier1,2,2000000,0,0,0,0,2.25,2.25,0,,,\n"
    );
    assert_eq!(csv, expected);
}

#[test]
fn json_is_a_list_of_rows_with_money_as_text() {
    let args = ["--per", "week", "--by", "project_id", "--from", "2026-08-01", "--format", "json"];
    let (json, _) = show(&six_days(), &args);
    // 2026-08-12 is a Wednesday.
    let expected = "[\n  {\"week\":\"2026-08-10\",\"project_id\":\"p1\",\"requests\":2,\"input_tokens\":2000000,\
        \"input_tokens_cached\":0,\"input_tokens_tool\":0,\"output_tokens\":0,\"output_tokens_thoughts\":0,\
        \"list_cost_usd\":\"2.25\",\"rated_cost_usd\":\"2.25\",\"tokens_unrated\":0,\
        \"quota_metric\":null,\"quota_used\":null,\"quota_limit\":null}\n]\n";
    assert_eq!(json, expected);
}

#[test]
fn by_a_column_of_charges_there_are_no_requests() {
    let args = ["--date", "2026-06-01", "--by", "meter,modality", "--format", "csv"];
    let (csv, told) = show(&six_days(), &args);
    let expected = "\
meter,modality,quantity,list_cost_usd,rated_cost_usd,tokens_unrated
input,text,600,0.00018,0.00018,0
input_cached,text,400,0.000012,0.000012,0
";
    assert_eq!(csv, expected);
    let words = "\
the published day 2026-06-01
left out: requests and tokens (not known by meter); quota (not known by meter)
";
    assert_eq!(told, words);
}

#[test]
fn by_a_column_of_usage_there_is_no_cost() {
    let folder = publish(&["every-status-has-its-outcome"], &[]);
    let (table, told) = show(&folder, &["--by", "outcome"]);
    let expected = "\
outcome       requests  input  output
cancelled            1    100       0
client_error         3    300       0
ok                   2    200       0
server_error         2    200       0
throttled            2    200       0
all                 10  1,000       0
";
    assert_eq!(table, expected);
    assert!(told.contains("left out: cost (not known by outcome); quota (not known by outcome)\n"), "{told}");
}

#[test]
fn what_is_unrated_has_no_cost_rather_than_0() {
    let args = ["--date", "2026-05-04", "--by", "service_tier", "--format", "csv"];
    let (csv, _) = show(&six_days(), &args);
    let expected = format!(
        "service_tier,{FIGURES},tokens_unrated\n\
         flex,1,1000,0,0,0,0,,,1000\n\
         standard,1,1000,0,0,0,0,0.0001,0.0001,0\n"
    );
    assert_eq!(csv, expected);
}

#[test]
fn tokens_that_no_method_bills_are_not_called_unrated() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let methods = folder.path().join("methods.csv");
    let lines = "method,kind,billed,counts_against_quota,basis,citation\n\
        generateVideos,inference,no,no,assumed,made up\n";
    fs::write(&methods, lines).expect("written");
    let methods = methods.display().to_string();
    let folder = publish(&["a-methods-file-adds-a-method"], &["--methods", &methods]);
    let (csv, told) = show(&folder, &["--by", "model", "--format", "csv"]);
    let expected = format!("model,{FIGURES},{QUOTA}\ngemini-2.5-flash,1,100000,0,0,0,0,,,,,\n");
    assert_eq!(csv, expected);
    assert!(told.contains("left out: unrated tokens (not known by method)\n"), "{told}");
}

#[test]
fn the_quota_of_a_model_is_the_one_under_which_it_counts() {
    // The preview has limits of its own from 2025-10-15 on; before, it counts under gemini-2.5-flash.
    let folder = six_days();
    let args = ["--per", "day", "--by", "model", "--to", "2025-10-15", "--format", "csv"];
    let expected = format!(
        "date,model,{FIGURES},tokens_unrated,{QUOTA}\n\
         2025-10-14,gemini-2.5-flash-preview-09-2025,1,1000,0,0,0,0,0.0003,0.0003,0,rpm,1,1000\n\
         2025-10-15,gemini-2.5-flash-preview-09-2025,1,1000,0,0,0,0,0.0003,0.0003,0,rpm,1,1000\n\
         2025-10-15,gemini-flash-latest,1,1000,0,0,0,0,0.0003,0.0003,0,rpm,1,1000\n"
    );
    assert_eq!(show(&folder, &args).0, expected);
    let args = ["--by", "date,quota_model", "--to", "2025-10-15", "--format", "csv"];
    let expected = format!(
        "date,quota_model,{QUOTA}\n\
         2025-10-14,gemini-2.5-flash,rpm,1,1000\n\
         2025-10-15,gemini-2.5-flash,rpm,1,1000\n\
         2025-10-15,gemini-2.5-flash-preview-09-2025,rpm,1,1000\n"
    );
    assert_eq!(show(&folder, &args).0, expected);
}

#[test]
fn quota_is_the_highest_share_of_a_limit() {
    // Usage tier free: 1 of 5 a minute is more than 2 of 20 a day. tier1: 1 of 1,000, and 4 of 10,000 a day.
    let case = "an-upgrade-at-noon-keeps-what-the-day-had-used";
    let accounts = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/cases/{case}/accounts.toml"));
    let folder = publish(&[case], &["--accounts", &accounts.display().to_string()]);
    let (table, _) = show(&folder, &["--by", "pricing_tier,usage_tier"]);
    let expected = "\
pricing  usage  requests  input  output    list   rated      top
tier     tier                               USD     USD    quota
free     free          2  2,000       0  0.0006  0.0000  RPM 20%
paid     tier1         2  2,000       0  0.0006  0.0006   RPM 1%
all                    4  4,000       0  0.0012  0.0006
";
    assert_eq!(table, expected);

    let folder = publish(&["a-limit-of-0-says-not-offered"], &[]);
    let (table, _) = show(&folder, &["--by", "none"]);
    let last = table.lines().last().unwrap_or_default();
    assert!(last.ends_with("  RPM not offered"), "{table}");
}

#[test]
fn a_folder_without_a_manifest_is_not_a_day() {
    let folder = six_days();
    let args = ["--by", "none", "--format", "csv"];
    let (before, _) = show(&folder, &args);
    let stray = folder.path().join("days/2026-06-02");
    fs::create_dir(&stray).expect("made");
    fs::write(stray.join("usage.parquet"), "no table").expect("written");
    fs::write(folder.path().join("days/2026-06-03"), "no folder").expect("written");
    assert_eq!(show(&folder, &args).0, before);
}

#[test]
fn where_no_day_is_published_it_says_so() {
    let folder = publish(&["cached-tokens-bill-at-the-cached-price"], &[]);
    let told = refused(&folder, &["show", "days", "--from", "2026-06-02"], 1);
    let expected = "\
error: days: no day is published from 2026-06-02 on
hint: the only published day is 2026-06-01
";
    assert_eq!(told, expected);
    let told = refused(&folder, &["show", "days/2026-06-01"], 1);
    let expected = "\
error: days/2026-06-01: no published day is in this folder
hint: it is a published day itself: give the folder that it is in, and --date
";
    assert_eq!(told, expected);
    fs::create_dir(folder.path().join("empty")).expect("made");
    let told = refused(&folder, &["show", "empty"], 1);
    let expected = "\
error: empty: no published day is in this folder
hint: give the --out of a replay, or publish days: rerate replay LOGS --out empty
";
    assert_eq!(told, expected);
    let told = refused(&folder, &["show", "missing"], 1);
    assert!(told.starts_with("error: missing: there is no such file or folder\nhint: "), "{told}");
}

#[test]
fn a_table_that_rerate_did_not_write_is_named() {
    let folder = publish(&["cached-tokens-bill-at-the-cached-price"], &[]);
    let day = folder.path().join("days/2026-06-01");
    let begin = "error: days/2026-06-01/charges.parquet: it isn't the table charges that rerate wrote: ";
    let hint = "hint: publish the day anew with rerate replay --replace\n";
    fs::write(day.join("charges.parquet"), "no table at all").expect("written");
    let told = refused(&folder, &["show", "days"], 1);
    assert!(told.starts_with(begin) && told.ends_with(hint), "{told}");
    fs::copy(day.join("usage.parquet"), day.join("charges.parquet")).expect("copied");
    let told = refused(&folder, &["show", "days"], 1);
    assert!(told.starts_with(begin) && told.ends_with(hint), "{told}");

    fs::write(day.join("manifest.json"), "{}").expect("written");
    let told = refused(&folder, &["show", "days"], 1);
    let begin = "error: days/2026-06-01/manifest.json: it isn't what rerate wrote: ";
    assert!(told.starts_with(begin), "{told}");
}

#[test]
fn an_unknown_column_is_a_mistake_on_the_command_line() {
    let folder = publish(&["cached-tokens-bill-at-the-cached-price"], &[]);
    let told = refused(&folder, &["show", "days", "--by", "model,servicetier"], 2);
    assert!(
        told.starts_with("error: --by servicetier: no report has such a column; expected some of date,"),
        "{told}"
    );
    assert!(told.ends_with("hint: did you mean service_tier?\n"), "{told}");
}

#[test]
fn whoever_reads_may_leave_early() {
    let folder = six_days();
    let command = format!("{} show days --per day | head -n 1", env!("CARGO_BIN_EXE_rerate"));
    let output =
        Command::new("sh").args(["-c", &command]).current_dir(folder.path()).output().expect("a shell");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("date "), "{output:?}");
    assert!(!stderr(&output).contains("panicked"), "{output:?}");
}
