//! Which days a nightly job publishes, what it says of the others, and late lines.

use std::fs;
use std::path::Path;

use crate::run::{self, files, request, words, write};

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Noon Pacific of days of June 2026, as one log each: 01.jsonl and so on.
fn logs(folder: &Path, days: std::ops::RangeInclusive<u32>) {
    for day in days {
        write(
            folder,
            &format!("{day:02}.jsonl"),
            &[request(&format!("r{day}"), &format!("2026-06-{day:02}T19:00:00"))],
        );
    }
}

#[test]
fn yesterday_is_the_pacific_day_before_now() {
    let folder = scratch();
    logs(folder.path(), 1..=3);
    for (now, day) in [
        ("2026-06-03T01:00:00-07:00", "2026-06-02"),
        // 23:00 Pacific of June 2nd is June 3rd in UTC.
        ("2026-06-03T06:00:00Z", "2026-06-01"),
        ("2026-06-03T07:00:00Z", "2026-06-02"),
    ] {
        let out = format!("at-{}", now.replace(':', "-"));
        words(
            folder.path(),
            &format!("replay 01.jsonl 02.jsonl 03.jsonl --date yesterday --now {now} --out {out}"),
            0,
        );
        assert_eq!(run::published(&folder.path().join(&out)), [folder.path().join(&out).join(day)], "{now}");
    }
    let told = words(folder.path(), "replay 01.jsonl --date yesterday --now 2026-06-03T01:00:00 --out o", 2);
    assert!(told.contains("no offset"), "{told}");
    let told = words(folder.path(), "replay 01.jsonl --date tomorrow --out o", 2);
    assert!(told.contains("yesterday"), "{told}");
}

#[test]
fn late_lines_give_the_bytes_of_one_run_over_all_without_replace() {
    let folder = scratch();
    let folder = folder.path();
    logs(folder, 1..=2);
    // Late lines of the first day, one of them for an hour that had none.
    let late = [request("late", "2026-06-01T19:30:00"), request("later", "2026-06-02T02:00:00")];
    write(folder, "late.jsonl", &late);
    words(folder, "replay 01.jsonl 02.jsonl --out nightly --from 2026-06-01 --to 2026-06-02", 0);
    let before = files(&folder.join("nightly"));
    words(folder, "replay 01.jsonl 02.jsonl late.jsonl --out nightly --from 2026-06-01 --to 2026-06-02", 0);
    words(folder, "replay 01.jsonl 02.jsonl late.jsonl --out once --from 2026-06-01 --to 2026-06-02", 0);
    let after = files(&folder.join("nightly"));
    assert!(after == files(&folder.join("once")), "the bytes differ");
    assert!(after != before);
    // Without the file that is late, the days would lose hours, which are named.
    let told = words(folder, "replay 02.jsonl late.jsonl --out nightly --date 2026-06-01", 1);
    assert!(told.contains("2026-06-01: 3 requests → 2; by hour: 12:00 2 → 1"), "{told}");
    assert!(files(&folder.join("nightly")) == after);
}

#[test]
fn status_lists_what_needs_a_person_and_its_exit_code_says_whether() {
    let folder = scratch();
    let folder = folder.path();
    logs(folder, 1..=6);
    words(folder, "replay 01.jsonl 02.jsonl --out days --date 2026-06-01", 0);
    let told = words(folder, "status days", 0);
    assert!(told.contains("1 day: 1 closed and clean"), "{told}");

    // Open, and after a gap of two days.
    words(folder, "replay 04.jsonl --out days --date 2026-06-04", 0);
    let told = words(folder, "status days", 3);
    for line in [
        "2026-06-02  missing",
        "2026-06-03  missing",
        "2026-06-04  open",
        "  missing: 2 days, first 2026-06-02\n",
        "  open: 2026-06-04\n",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    words(folder, "status days --to 2026-06-01", 0);
    let told = words(folder, "status days --date yesterday --now 2026-06-10T01:00:00-07:00", 3);
    assert!(told.contains("2026-06-09  missing"), "{told}");

    // Closed, with suspense.
    fs::write(
        folder.join("odd.jsonl"),
        request("odd", "2026-06-05T19:00:00").replace("2.5-flash", "0.5-flash"),
    )
    .expect("a log");
    words(folder, "replay 05.jsonl odd.jsonl 06.jsonl --out days --date 2026-06-05", 3);
    let told = words(folder, "status days --date 2026-06-05", 3);
    assert!(told.contains("2026-06-05  closed         2          1"), "{told}");
    assert!(told.contains("  suspense: 2026-06-05\n"), "{told}");

    // Other books, another version, and a day before that ends otherwise.
    fs::write(
        folder.join("prices.csv"),
        run::stdout(&run::rerate(folder, &["book", "prices", "gemini-2.5-flash"])).replace(",0.3,", ",0.4,"),
    )
    .expect("prices");
    let told = words(folder, "status days --date 2026-06-01 --prices prices.csv", 3);
    assert!(told.contains("other prices") && told.contains("  books: 2026-06-01\n"), "{told}");
    let run_json = folder.join("days/2026-06-01/run.json");
    let text = fs::read_to_string(&run_json).expect("run.json");
    fs::write(&run_json, text.replacen(env!("CARGO_PKG_VERSION"), "0.0.9", 1)).expect("run.json");
    let told = words(folder, "status days --date 2026-06-01", 3);
    assert!(told.contains("version 0.0.9") && told.contains("  version: 2026-06-01\n"), "{told}");
    let later = folder.join("days/2026-06-05/manifest.json");
    let text = fs::read_to_string(&later).expect("a manifest");
    let mut manifest: serde_json::Value = serde_json::from_str(&text).expect("a manifest");
    manifest["carry_before"] = "another".into();
    fs::write(&later, manifest.to_string()).expect("a manifest");
    let told = words(folder, "status days --date 2026-06-05", 3);
    assert!(told.contains("stale") && told.contains("  stale: 2026-06-05\n"), "{told}");

    words(folder, "status no-such-folder", 1);
    words(folder, "status .", 1);
    words(folder, "status 01.jsonl", 1);
    words(folder, "status days --date never", 2);
}

#[test]
fn sixty_days_are_filled_in_by_one_command() {
    let folder = scratch();
    let folder = folder.path();
    words(folder, "gen --days 61 --records 6100 --out logs --accounts accounts.toml", 0);
    let args = "replay logs --accounts accounts.toml --out days --from 2026-06-01 --to 2026-07-30";
    let told = words(folder, args, 3);
    assert!(told.contains("published 60 days in days: 2026-06-01 to 2026-07-30\n"), "{told}");
    // Tuned models whose base nothing tells are in suspense; nothing else speaks against a day.
    let told = words(folder, "status days --accounts accounts.toml --from 2026-06-01 --to 2026-07-30", 3);
    assert!(told.contains("60 days: ") && told.contains("  suspense: "), "{told}");
    assert!(
        ["missing", "open", "stale", "books"].iter().all(|name| !told.contains(&format!("\n  {name}: "))),
        "{told}"
    );
}
