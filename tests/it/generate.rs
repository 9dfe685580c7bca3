//! Holds `rerate gen` to what it says: a log follows from its arguments, and the program reads it without a stain.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rerate::books::{Books, Sources};
use rerate::evidence::Warning;
use rerate::pipeline::{self, Options, Replay};
use rerate::read::{self, settings::AllSettings};
use rerate::types::day::Window;
use rerate::types::reason::Stage;
use rerate::types::request::Outcome;
use rerate::types::tier::{Channel, ServiceTier, UsageTier};

use crate::run::{self, rerate, stderr};

/// Bytes of a record of the benchmark's log, on average.
const RACE_BYTES: usize = 599;

fn made(folder: &Path, args: &[&str]) -> Vec<u8> {
    let args: Vec<&str> = ["gen"].iter().chain(args).copied().collect();
    let output = rerate(folder, &args);
    assert!(output.status.success(), "{}", stderr(&output));
    output.stdout
}

/// Reads the logs in `logs` with the accounts file beside them.
fn replayed(folder: &Path) -> (Replay, Books) {
    let books = Books::load(&Sources { accounts: Some(folder.join("accounts.toml")), ..Sources::default() })
        .expect("books");
    let logs = folder.join("logs").display().to_string();
    let inputs = read::find(&[logs], None, AllSettings::default()).expect("inputs");
    let options = Options::default();
    let replay = pipeline::replay(&inputs, &books, &options, &Arc::default()).expect("a replay");
    (replay, books)
}

#[test]
fn the_same_arguments_give_the_same_bytes_and_another_seed_others() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let first = made(folder.path(), &["--records", "2000", "--days", "2"]);
    let again = made(folder.path(), &["--records", "2000", "--days", "2"]);
    assert!(first == again);
    let other = made(folder.path(), &["--records", "2000", "--days", "2", "--seed", "2"]);
    assert!(first != other);
}

#[test]
fn no_line_of_a_log_without_faults_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let args = "--records 8000 --days 3 --out logs --accounts accounts.toml";
    made(folder.path(), &args.split(' ').collect::<Vec<_>>());
    let (replay, books) = replayed(folder.path());
    assert_eq!(replay.records.lines, 8_000);
    assert_eq!(replay.records.suspended, 0);
    assert!(replay.records.duplicates > 0 && replay.records.superseded > 0);

    // Nearly all of it has a price, too: what nobody knows is rare, as it is in real logs.
    let days = run::reports(&replay, &books, Window::default());
    let charged: u64 = days.iter().map(|day| day.rated.charges.len() as u64).sum();
    let unrated: u64 = days.iter().map(|day| day.rated.unrated.len() as u64).sum();
    assert!(unrated * 20 < charged, "{unrated} of {charged}");
    assert!(
        days.iter()
            .flat_map(|day| day.rated.unrated.keys())
            .all(|key| key.why.reason().stage() == Stage::Charge)
    );
}

#[test]
fn a_log_has_what_makes_real_ones_hard() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let args = "--records 8000 --days 2 --out logs --accounts accounts.toml";
    made(folder.path(), &args.split(' ').collect::<Vec<_>>());
    let (replay, books) = replayed(folder.path());
    let mut usage_tiers = BTreeSet::new();
    let mut service_tiers = BTreeSet::new();
    let mut channels = BTreeSet::new();
    let mut outcomes = BTreeSet::new();
    let mut bands = BTreeSet::new();
    let mut tiers_by_project = BTreeSet::new();
    for (key, _) in replay.tally.cells.values().flatten() {
        let facts = &replay.groups[key.group.0 as usize];
        usage_tiers.insert(key.usage_tier);
        service_tiers.insert(facts.service_tier);
        channels.insert(facts.channel);
        outcomes.insert(books.outcomes.find(facts.status).outcome);
        bands.insert(key.context_band);
        tiers_by_project.insert((&*facts.project_id, key.usage_tier));
    }
    let known = UsageTier::ALL.iter().copied();
    assert!(usage_tiers.into_iter().eq(known.filter(|tier| *tier != UsageTier::Unknown)));
    assert!(service_tiers.into_iter().eq(ServiceTier::ALL.iter().copied()));
    assert!(channels.into_iter().eq(Channel::ALL.iter().copied()));
    for outcome in [Outcome::Ok, Outcome::ClientError, Outcome::Throttled, Outcome::ServerError] {
        assert!(outcomes.contains(&outcome), "{outcome}");
    }
    assert_eq!(bands.len(), 3, "{bands:?}");
    assert!(tiers_by_project.len() > 12, "some project is promoted");
}

#[test]
fn lines_at_fault_are_told_and_all_of_them_are_in_suspense() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let args = "gen --records 4000 --faults 2.5% --out logs --accounts accounts.toml";
    let output = rerate(folder.path(), &args.split(' ').collect::<Vec<_>>());
    let (replay, _) = replayed(folder.path());
    assert_eq!(replay.records.lines, 4_000);
    let suspended = replay.records.suspended;
    assert!((70..=130).contains(&suspended), "{suspended}");
    let told = format!("{suspended} of them at fault");
    assert!(stderr(&output).contains(&told), "{}", stderr(&output));
}

#[test]
fn the_log_of_the_benchmark_is_as_big_as_its_figures_say() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let args = "--race --records 6000 --out logs --accounts accounts.toml";
    made(folder.path(), &args.split(' ').collect::<Vec<_>>());
    let log = folder.path().join("logs/requests-2026-06-01.jsonl");
    let bytes = fs::metadata(log).expect("a log").len() as usize / 6_000;
    assert!(bytes.abs_diff(RACE_BYTES) <= 6, "{bytes}");
    let (replay, books) = replayed(folder.path());
    assert_eq!((replay.records.suspended, replay.records.superseded), (0, 0));
    let days = run::reports(&replay, &books, Window::default());
    for day in days {
        assert!(day.rated.unrated.is_empty());
        let told = day.warnings.keys().filter(|warning| **warning != Warning::CarryMissing);
        assert_eq!(told.count(), 0, "{:?}", day.warnings);
    }
}

#[test]
fn packed_and_plain_files_hold_the_bytes_of_stdout() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let here = folder.path();
    let log = made(here, &["--records", "1500", "--days", "2"]);
    let files = |out: &str, extension: &str, args: &[&str]| -> Vec<Vec<u8>> {
        let all = [&["--records", "1500", "--days", "2", "--out", out], args].concat();
        assert!(made(here, &all).is_empty());
        ["2026-06-01", "2026-06-02"]
            .map(|day| here.join(out).join(format!("requests-{day}.jsonl{extension}")))
            .map(|path| fs::read(&path).unwrap_or_else(|_| panic!("{}", path.display())))
            .to_vec()
    };
    assert!(files("plain", "", &[]).concat() == log);
    let mut unpacked = Vec::new();
    for packed in files("gz", ".gz", &["--pack", "gz"]) {
        let mut decoder = flate2::read::GzDecoder::new(packed.as_slice());
        decoder.read_to_end(&mut unpacked).expect("gz");
    }
    assert!(unpacked == log);
    unpacked.clear();
    for packed in files("zst", ".zst", &["--pack", "zst"]) {
        zstd::stream::copy_decode(packed.as_slice(), &mut unpacked).expect("zst");
    }
    assert!(unpacked == log);
}

#[test]
fn a_reader_that_has_enough_ends_it_quietly() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rerate"))
        .args(["gen", "--records", "100000000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut head = [0; 100];
    child.stdout.take().expect("its stdout").read_exact(&mut head).expect("a head");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    assert_eq!(stderr(&output), "");
}

#[test]
fn nothing_is_written_over() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("accounts.toml"), "mine").expect("a file");
    for (args, code) in [
        ("gen --records 9 --accounts accounts.toml", 1),
        ("gen --records 9 --out logs", 0),
        ("gen --records 9 --out logs", 1),
    ] {
        let output = rerate(folder.path(), &args.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(code), "{args}");
        let told = stderr(&output).contains("it is there already");
        assert_eq!(told, code == 1, "{}", stderr(&output));
    }
    let kept = fs::read_to_string(folder.path().join("accounts.toml")).expect("a file");
    assert_eq!(kept, "mine");
}
