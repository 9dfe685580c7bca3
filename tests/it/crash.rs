//! Whatever ends a run, each published day is the old one or the new one, whole: killed at any step or moment, with a disk
//! that is full or can't be read, interrupted, or with another run beside. `RERATE_CRASH=all` kills it at every step,
//! `RERATE_CRASH=N` at every Nth; without it some steps are taken.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::run::{self, request, stderr, words, write};

const DAYS: u32 = 4;

type Files = BTreeMap<PathBuf, Vec<u8>>;

/// `days.old` and `days.new` as two runs publish them, and the logs of both: the second has a late file, and lines without
/// a day go away.
fn made() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path();
    let day = |day: u32, id: &str| request(&format!("{id}{day}"), &format!("2026-06-{day:02}T19:00:00"));
    write(root, "a.jsonl", &(1..=DAYS).map(|of| day(of, "a")).collect::<Vec<_>>());
    write(root, "late.jsonl", &(1..=DAYS + 1).map(|of| day(of, "late")).collect::<Vec<_>>());
    write(root, "gone.jsonl", &["{".to_string()]);
    words(root, "replay a.jsonl gone.jsonl --out old", 3);
    write(root, "gone.jsonl", &[]);
    copy(&root.join("old"), &root.join("new"));
    words(root, NEW, 0);
    fs::rename(root.join("days"), root.join("new")).unwrap_or(());
    folder
}

const NEW: &str = "replay a.jsonl late.jsonl gone.jsonl --out new --threads 2";

fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-r").arg(from).arg(to).status().expect("cp runs").success());
}

/// The published days and undated folders, each with its files.
fn folders(out: &Path) -> BTreeMap<PathBuf, Files> {
    let mut folders = BTreeMap::new();
    for (path, bytes) in run::files(out) {
        let hidden = path.iter().next().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden {
            let folder = path.parent().expect("a folder").to_path_buf();
            folders.entry(folder).or_insert_with(Files::new).insert(path, bytes);
        }
    }
    folders
}

/// What two whole runs leave.
struct Whole {
    old: BTreeMap<PathBuf, Files>,
    new: BTreeMap<PathBuf, Files>,
}

impl Whole {
    fn of(root: &Path) -> Whole {
        let whole = Whole { old: folders(&root.join("old")), new: folders(&root.join("new")) };
        let days = |folders: &BTreeMap<PathBuf, Files>| {
            folders.keys().filter(|path| !path.starts_with("undated")).count()
        };
        assert_eq!((days(&whole.old), days(&whole.new)), (DAYS as usize, DAYS as usize + 1));
        assert!(
            whole.old.len() == DAYS as usize + 1 && whole.new.len() == DAYS as usize + 1,
            "undated lines go away"
        );
        whole
    }

    /// Each day is the old or the new one; how many are new.
    fn check(&self, out: &Path, when: &str) -> usize {
        let found = folders(out);
        for path in self.old.keys().filter(|path| !path.starts_with("undated")) {
            assert!(found.contains_key(path), "{when}: {} is lost", path.display());
        }
        for (path, files) in &found {
            let is_whole = [&self.old, &self.new].iter().any(|whole| whole.get(path) == Some(files));
            assert!(is_whole, "{when}: {} is neither the old nor the new one", path.display());
        }
        found.iter().filter(|(path, files)| self.new.get(*path) == Some(files)).count()
    }

    /// The next run makes all new, and leaves nothing else behind.
    fn mends(&self, root: &Path, out: &str, when: &str) {
        words(root, &NEW.replace("new", out), 0);
        assert!(folders(&root.join(out)) == self.new, "{when}: the next run differs");
        let left: Vec<_> = fs::read_dir(root.join(out))
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        let hidden: Vec<_> = left.iter().filter(|name| name.to_string_lossy().starts_with('.')).collect();
        assert_eq!(hidden, [".rerate-lock"], "{when}");
    }
}

/// A copy of the old days, over which a run begins.
fn begin(root: &Path, variables: &[(&str, &str)]) -> Child {
    let out = root.join("out");
    let _ = fs::remove_dir_all(&out);
    copy(&root.join("old"), &out);
    run::command(root)
        .args(NEW.replace("new", "out").split(' '))
        .envs(variables.iter().copied())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

fn killed_at(root: &Path, step: u64) -> bool {
    let output = begin(root, &[("RERATE_CRASH_AT", &step.to_string())]).wait_with_output().expect("it ends");
    assert!(output.status.signal() == Some(9) || output.status.success(), "{}", stderr(&output));
    output.status.signal() == Some(9)
}

#[test]
fn killed_at_any_step_each_day_is_the_old_or_the_new_one() {
    let folder = made();
    let root = folder.path();
    let whole = Whole::of(root);
    // The number of steps: the last at which it is still killed.
    let (mut steps, mut beyond) = (1, 4096);
    assert!(killed_at(root, steps) && !killed_at(root, beyond));
    while beyond - steps > 1 {
        let middle = steps.midpoint(beyond);
        if killed_at(root, middle) { steps = middle } else { beyond = middle }
    }
    assert!(steps >= 200, "{steps} steps");
    let asked = std::env::var("RERATE_CRASH").ok();
    let every = match asked.as_deref() {
        None => steps / 12,
        Some("all") => 1,
        Some(every) => every.parse().expect("RERATE_CRASH is all, or a number"),
    };
    // The swaps are the last steps, and all of them are taken.
    let swaps = steps - 4 * (u64::from(DAYS) + 2);
    let mut walked = 0;
    let mut seen = std::collections::BTreeSet::new();
    for step in (1..=steps).filter(|step| step % every == 0 || *step > swaps) {
        assert!(killed_at(root, step), "step {step}");
        let new = whole.check(&root.join("out"), &format!("step {step} of {steps}"));
        if seen.insert(new) || step % (every * 4) == 0 {
            whole.mends(root, "out", &format!("step {step} of {steps}"));
        }
        walked += 1;
    }
    println!("killed at {walked} of {steps} steps; days that were new: {seen:?}");
    assert_eq!(seen.len(), DAYS as usize + 2, "every number of new days was seen: {seen:?}");
}

#[test]
fn killed_at_any_moment_each_day_is_the_old_or_the_new_one() {
    let folder = made();
    let root = folder.path();
    let whole = Whole::of(root);
    let started = Instant::now();
    assert!(begin(root, &[]).wait().expect("it ends").success());
    let took = started.elapsed();
    let times = std::env::var("RERATE_CRASH").map_or(12, |_| 100);
    for time in 1..=times {
        let mut child = begin(root, &[]);
        // Spread over the run by the golden ratio, the later half of it twice as often.
        let share = (f64::from(time) * 0.618_034).fract().sqrt();
        std::thread::sleep(took.mul_f64(share));
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        let when = format!("after {share:.2} of {took:?}");
        whole.check(&root.join("out"), &when);
        if time % 4 == 0 {
            whole.mends(root, "out", &when);
        }
    }
}

#[test]
fn of_two_runs_at_once_the_second_waits_and_says_for_whom() {
    let folder = made();
    let root = folder.path();
    let whole = Whole::of(root);
    copy(&root.join("old"), &root.join("out"));
    // A run that holds the folder: as long as this file is locked.
    let lock = fs::File::options().write(true).open(root.join("out/.rerate-lock")).expect("the lock");
    lock.lock().expect("nobody holds it");
    fs::write(root.join("out/.rerate-lock"), "4711\n").expect("who holds it");
    let spawn = || {
        run::command(root)
            .args(NEW.replace("new", "out").split(' '))
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts")
    };
    let (one, other, stopped) = (spawn(), spawn(), spawn());
    std::thread::sleep(Duration::from_millis(1_500));
    // One of those that wait is told to end, and does within a second.
    let (output, took) = ended_by("TERM", stopped);
    assert_eq!(output.status.code(), Some(143), "{}", stderr(&output));
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(folders(&root.join("out")) == whole.old, "nobody published");
    drop(lock);
    for child in [one, other] {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stderr(&output).contains("another run (process "), "{}", stderr(&output));
    }
    assert!(folders(&root.join("out")) == whole.new);
}

/// What another run published meanwhile is what a run takes over and is measured by: it looks only under the lock.
#[test]
fn never_less_and_what_days_hand_on_are_judged_under_the_lock() {
    let folder = made();
    let root = folder.path();
    fs::create_dir(root.join("out")).expect("a folder");
    let lock = fs::File::create(root.join("out/.rerate-lock")).expect("the lock");
    lock.lock().expect("nobody holds it");
    let spawn = |args: &str| {
        run::command(root).args(args.split(' ')).stderr(Stdio::piped()).spawn().expect("the program starts")
    };
    write(root, "second.jsonl", &[request("b", "2026-06-02T19:00:00")]);
    let second = spawn("replay second.jsonl --out out --date 2026-06-02");
    let less = spawn("replay a.jsonl --out out --date 2026-06-01");
    std::thread::sleep(Duration::from_secs(1));
    // Both wait; meanwhile the first day is published, as by a run that held the lock.
    words(root, "replay a.jsonl late.jsonl --out other --date 2026-06-01", 0);
    fs::rename(root.join("other/2026-06-01"), root.join("out/2026-06-01")).expect("a move");
    drop(lock);
    let output = less.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("2 → 1"), "{}", stderr(&output));
    let output = second.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        !stderr(&output).contains("stale") && !stderr(&output).contains("carry_missing"),
        "{}",
        stderr(&output)
    );
}

/// Sends a signal; what the child says, and how long it took to end.
fn ended_by(signal: &str, child: Child) -> (Output, Duration) {
    let sent = Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status();
    let started = Instant::now();
    assert!(sent.expect("kill runs").success());
    (child.wait_with_output().expect("it ends"), started.elapsed())
}

#[test]
fn a_signal_ends_a_run_within_a_second_and_it_says_which_days_are_new() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path();
    words(root, "gen --days 30 --records 6000 --out logs --accounts accounts.toml", 0);
    let mut codes = BTreeMap::new();
    for (place, share) in [0.2, 0.5, 0.7, 0.8, 0.9].into_iter().enumerate() {
        let out = format!("out{place}");
        let child = run::command(root)
            .args(["replay", "logs", "--accounts", "accounts.toml", "--out", &out])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        std::thread::sleep(Duration::from_secs_f64(share * 2.0));
        let (signal, code) = if place % 2 == 0 { ("INT", 130) } else { ("TERM", 143) };
        let (output, took) = ended_by(signal, child);
        let told = stderr(&output);
        *codes.entry(output.status.code()).or_insert(0) += 1;
        let published = run::published(&root.join(&out));
        let days: Vec<_> = published.iter().filter(|path| path.join("manifest.json").exists()).collect();
        if output.status.code() == Some(code) {
            assert!(took < Duration::from_millis(1_500), "{took:?} {told}");
            let last = told.lines().last().unwrap_or_default();
            assert!(last.starts_with(&format!("rerate replay: exit={code} days=")), "{told}");
            assert_eq!(days.is_empty(), last.contains("days=none"), "{told}");
            let words = ["nothing was published", "no day is new", "day is new", "days are new"];
            assert!(words.iter().any(|words| told.contains(words)), "{told}");
        } else {
            assert!(matches!(output.status.code(), Some(0 | 3)), "{told}");
        }
        for day in days {
            assert!(
                day.join("run.json").exists() && day.join("charges.parquet").exists(),
                "{}",
                day.display()
            );
        }
    }
    assert!(
        codes.contains_key(&Some(130)) || codes.contains_key(&Some(143)),
        "none was interrupted: {codes:?}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_log_that_cannot_be_read_ends_the_run_with_nothing_published() {
    let folder = made();
    let root = folder.path();
    // Reading a process' memory from its first byte is refused by the system as a broken disk would.
    std::os::unix::fs::symlink("/proc/self/mem", root.join("broken.jsonl")).expect("a link");
    let before = run::files(&root.join("old"));
    let told = words(root, "replay a.jsonl broken.jsonl --out old", 1);
    assert!(told.contains("error: broken.jsonl: can't read: "), "{told}");
    assert!(run::files(&root.join("old")) == before);
    let told = words(root, "status broken.jsonl", 1);
    assert!(told.contains("hint: "), "{told}");
}
