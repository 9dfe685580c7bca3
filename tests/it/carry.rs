//! What days hand on: a month replayed day by day is the month replayed at once, and a day that began with something else
//! than the day before ends with is told.

use std::fs;
use std::path::{Path, PathBuf};

use crate::run::{self, rerate, stderr};

fn made(folder: &Path, args: &str) {
    let args = format!("gen {args} --out logs --accounts accounts.toml");
    let output = rerate(folder, &args.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{}", stderr(&output));
}

/// Replays the logs; gives what was told.
fn replay(folder: &Path, more: &str) -> String {
    let args = format!("replay logs --accounts accounts.toml --allow-empty {more}");
    let output = rerate(folder, &args.split(' ').collect::<Vec<_>>());
    assert!(matches!(output.status.code(), Some(0 | 3)), "{more}: {}", stderr(&output));
    stderr(&output)
}

/// The published files but for run.json, by their path below `out`.
fn files(out: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    run::files(out).into_iter().filter(|(path, _)| !path.ends_with("run.json")).collect()
}

#[test]
fn a_month_replayed_day_by_day_is_the_month_replayed_at_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    // Over the end of a month, so that allowances and the month's costs begin anew.
    made(folder, "--days 31 --records 6200 --projects 6 --seed 3 --from 2026-05-20 --faults 0.3%");
    replay(folder, "--out whole --from 2026-05-20 --to 2026-06-19");
    for day in 0..31 {
        let date = jiff::civil::date(2026, 5, 20) + jiff::Span::new().days(day);
        let told = replay(folder, &format!("--out days --date {date}"));
        assert!(!told.contains("stale"), "{told}");
    }
    let (whole, days) = (files(&folder.join("whole")), files(&folder.join("days")));
    assert!(whole.len() > 31 * 20, "{}", whole.len());
    for ((path, one), (other_path, other)) in whole.iter().zip(&days) {
        assert_eq!(path, other_path);
        assert!(one == other, "{} differs", path.display());
    }
    assert_eq!(whole.len(), days.len());
    let has = |name: &str, words: &str| {
        whole
            .iter()
            .any(|(path, bytes)| path.ends_with(name) && String::from_utf8_lossy(bytes).contains(words))
    };
    assert!(
        has("charges.csv", "cache_storage") && has("carry.json", "\"tokens\""),
        "a cache lives over midnight"
    );
    assert!(
        has("carry.json", "\"units\"") && has("carry.json", "\"used_usd\""),
        "free units and credits are used"
    );
    assert!(has("carry.json", "\"tier2\""), "an account qualifies for the next usage tier");
}

#[test]
fn a_day_that_began_with_something_else_is_stale() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let folder = folder.path();
    made(folder, "--days 4 --records 800 --projects 4 --seed 3");
    let later = replay(folder, "--out days --date 2026-06-02");
    assert!(!later.contains("stale") && !later.contains("carry_missing"), "earlier days are walked: {later}");
    fs::rename(folder.join("logs/requests-2026-06-01.jsonl"), folder.join("first.jsonl")).expect("a move");
    let without = replay(folder, "--out days --date 2026-06-02 --replace");
    assert!(!without.contains("stale"), "no day before it is published: {without}");
    fs::rename(folder.join("first.jsonl"), folder.join("logs/requests-2026-06-01.jsonl")).expect("a move");
    let told = replay(folder, "--out days --date 2026-06-01");
    assert!(told.contains("stale: 2026-06-02"), "{told}");
    let mended = replay(folder, "--out days --date 2026-06-02");
    assert!(!mended.contains("stale"), "{mended}");
}
