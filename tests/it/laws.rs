//! The laws that hold whatever the log says, each a test named as its sentence, on logs of `awkward`. What a single
//! figure must be is for `cases` and `oracle`. `RERATE_LAWS=10` walks ten times as many logs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rerate::books::{Books, Sources};
use rerate::charge::Rated;
use rerate::evidence::Warning;
use rerate::memory::{Bound, Memory};
use rerate::pipeline::{self, DayReport, Options, Replay};
use rerate::publish::Staging;
use rerate::read::settings::Settings;
use rerate::types::cache::CacheEvent;
use rerate::types::carry::AccountUse;
use rerate::types::charge::{Assumption, Exempt};
use rerate::types::day::{Day, Window};
use rerate::types::meter::{Meter, Modality, Slot};
use rerate::types::money::Pico;
use rerate::types::reason::Reason;
use rerate::types::request::{GroupFacts, MethodKind, Outcome, Tools};
use rerate::types::tally::{Arrival, Cell, CellKey, DayTraffic, GroupId, Groups, SeriesKey, Tally, Traffic};
use rerate::types::tier::{Channel, ServiceTier, UsageTier};
use rerate::{publish, read, report};
use serde_json::Value;

use crate::awkward::{self, Dice, Line, Log, MAX_LINE, Made, gz, text, zst};
use crate::run::{self, Table, json, rerate, stderr};

/// Logs of each law: as many as keep all of them under a minute.
const LINES: u64 = 24;
const QUANTITIES: u64 = 24;
const ORDER: u64 = 24;
const SLICES: u64 = 64;
const AGAIN: u64 = 24;
const PACKINGS: u64 = 24;
const MEMORY: u64 = 12;
const DETAIL: u64 = 24;
const SECRETS: u64 = 24;

#[test]
fn every_line_is_accounted_for_once() {
    let logs = each_log(LINES, |log, scratch| {
        let inputs = [scratch.write("log.jsonl", &text(&log.lines)), scratch.write_broken(log)];
        let out = scratch.publish(&inputs, "days", Window::default());
        let expected = log.expected();

        let runs: Vec<Value> =
            run::published(&out).iter().map(|folder| json(&folder.join("run.json"))).collect();
        assert!(runs.iter().all(|run| *run == runs[0]), "all folders are of one run");
        let records = |name: &str| runs[0]["records"][name].as_u64().expect("a count");
        let parts =
            ["blank", "not_requests", "suspended", "duplicates", "superseded", "outside_window", "requests"];
        assert_eq!(records("lines"), parts.map(records).iter().sum::<u64>(), "the first equation");
        assert_eq!(records("lines"), expected.lines);
        let lines_of_inputs = runs[0]["inputs"].as_array().expect("inputs").iter();
        assert_eq!(
            records("lines"),
            lines_of_inputs.map(|input| input["lines"].as_u64().expect("lines")).sum::<u64>()
        );
        assert_eq!(records("blank"), expected.blank);
        assert_eq!(records("not_requests"), expected.other_service);
        assert_eq!(runs[0]["not_requests"]["other_service"].as_u64().unwrap_or(0), expected.other_service);
        assert_eq!(records("requests"), expected.requests);
        assert_eq!(records("outside_window"), 0);

        let manifests = days(&out).map(|(_, folder)| json(&folder.join("manifest.json")));
        let of_days: Vec<(u64, u64)> = manifests
            .map(|manifest| {
                let hours = manifest["hours"].as_object().expect("hours").values();
                (manifest["requests"].as_u64().expect("requests"), hours.filter_map(Value::as_u64).sum())
            })
            .collect();
        assert_eq!(of_days.iter().map(|(requests, _)| requests).sum::<u64>(), expected.requests);
        assert!(of_days.iter().all(|(requests, by_hour)| requests == by_hour), "{of_days:?}");
        assert_eq!(sum(&run::table(&out, "usage"), "requests"), expected.requests);
        let mut tally: Table =
            days(&out).flat_map(|(_, day)| run::read_parquet(&day.join("tally.parquet"))).collect();
        tally.retain(|row| row["meter"] == "requests");
        assert_eq!(sum(&tally, "quantity"), expected.requests);

        let mut suspense = run::table(&out, "suspense");
        suspense.retain(|row| row["stage"] == "read");
        assert_eq!(suspense.len() as u64, records("suspended"));
        let places: BTreeSet<_> = suspense.iter().map(|row| (&row["origin"], &row["line"])).collect();
        assert_eq!(places.len(), suspense.len(), "a line is suspended once");
        for row in suspense.iter().filter(|row| row["origin"] == inputs[0]) {
            let line = &log.lines[row["line"].parse::<usize>().expect("a number") - 1];
            assert_eq!(
                line.made,
                Made::Refused(Reason::from_name(&row["reason"]).expect("a reason")),
                "{row:?}"
            );
        }
        let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
        for row in &suspense {
            *reasons.entry(&row["reason"]).or_default() += 1;
        }
        assert_eq!(reasons, expected.refused);

        // A window only chooses days.
        let Some((day, folder)) = days(&out).nth(log.seed as usize % 2) else { return };
        let window = Window { from: Some(day), to: Some(day) };
        let one = scratch.publish(&inputs, "one day", window);
        let one = one.join(folder.file_name().expect("a name"));
        assert_same_files(&files(&folder, &["run.json"]), &files(&one, &["run.json"]), "in a window");
        let suspended =
            |day: Day| suspense.iter().filter(|row| row["date"] == day.to_string()).count() as u64;
        let undated = suspense.iter().filter(|row| row["date"].is_empty()).count() as u64;
        let of_day = json(&one.join("manifest.json"))["requests"].as_u64().expect("requests");
        let windowed = &json(&one.join("run.json"))["records"];
        let windowed = |name: &str| windowed[name].as_u64().expect("a count");
        assert_eq!(windowed("requests"), of_day);
        assert_eq!(windowed("suspended"), suspended(day) + undated);
        let outside = expected.requests - of_day + records("suspended") - windowed("suspended");
        assert_eq!(windowed("outside_window"), outside);
        for name in ["lines", "blank", "not_requests", "duplicates", "superseded"] {
            assert_eq!(windowed(name), records(name), "{name}");
        }
    });
    println!("law 1, lines: {logs} logs");
}

#[test]
fn every_quantity_is_charged_exempt_or_suspended_once() {
    let logs = each_log(QUANTITIES, |log, scratch| {
        let inputs = [scratch.write("log.jsonl", &text(&log.lines)), scratch.write_broken(log)];
        let out = scratch.publish(&inputs, "days", Window::default());
        for (day, folder) in days(&out) {
            let (charges, suspense) = (read_csv(&folder, "charges"), read_csv(&folder, "suspense"));
            let tally = run::read_parquet(&folder.join("tally.parquet"));
            let by_meter = |rows: &Table| {
                let mut sums: BTreeMap<Meter, u64> = BTreeMap::new();
                for row in rows {
                    if let Some(meter) = Meter::from_name(&row["meter"]) {
                        *sums.entry(meter).or_default() += number(&row["quantity"]);
                    }
                }
                sums
            };
            let (charged, suspended, tallied) = (by_meter(&charges), by_meter(&suspense), by_meter(&tally));
            for report in report::ALL.iter().filter(|report| report.name != "requests" || scratch.detail) {
                let rows = run::read_parquet(&folder.join(format!("{}.parquet", report.name)));
                let key = |row: &BTreeMap<String, String>| {
                    report.key.iter().map(|column| row[*column].clone()).collect::<Vec<_>>()
                };
                let keys: BTreeSet<_> = rows.iter().map(key).collect();
                assert_eq!(keys.len(), rows.len(), "{day} {}: a row per key", report.name);
            }
            let manifest = json(&folder.join("manifest.json"));
            let quantities = manifest["quantities"].as_object().expect("quantities");
            let told = |meter: &Meter, sum: &str| {
                quantities.get(meter.name()).map_or(0, |sums| sums[sum].as_u64().expect("a sum"))
            };
            for meter in Meter::ALL {
                let sums = [&tallied, &charged, &suspended].map(|sums| sums.get(meter).copied().unwrap_or(0));
                assert_eq!(sums[0], sums[1] + sums[2], "{day} {meter}: the second equation");
                assert_eq!(
                    sums,
                    ["tallied", "charged", "suspended"].map(|sum| told(meter, sum)),
                    "{day} {meter}"
                );
            }

            for row in &charges {
                let exempt = !row["exempt"].is_empty();
                assert!(exempt || !row["unit_price_usd"].is_empty(), "{row:?}: a charge without a price");
                let quantity = i128::from(number(&row["quantity"]));
                let covered = match &*row["allowance_quantity"] {
                    "" => 0,
                    units => i128::from(number(units)),
                };
                assert!(covered <= quantity && (covered == 0 || !exempt), "{row:?}");
                if !row["unit_price_usd"].is_empty() {
                    let (price, per) = (pico(&row["unit_price_usd"]), i128::from(number(&row["per"])));
                    // Storage alone is rounded, by half a pico-dollar at most.
                    let rounding = if row["meter"] == "cache_storage" { per / 2 } else { 0 };
                    for (column, charged) in [
                        ("list_cost_usd", quantity),
                        ("rated_cost_usd", if exempt { 0 } else { quantity - covered }),
                    ] {
                        let off = pico(&row[column]) * per - charged * price;
                        assert!(off.abs() <= rounding, "{column} of {row:?}");
                    }
                }
            }

            let usage = read_csv(&folder, "usage");
            let tallied =
                |meters: &[Meter]| meters.iter().filter_map(|meter| tallied.get(meter)).sum::<u64>();
            for (column, meters) in [
                ("input_tokens", &[Meter::Input][..]),
                ("input_tokens_cached", &[Meter::InputCached]),
                ("input_tokens_tool", &[Meter::InputTool]),
                ("output_tokens", &[Meter::Output, Meter::OutputThinking]),
            ] {
                assert_eq!(sum(&usage, column), tallied(meters), "{day} {column}");
            }
        }
    });
    println!("law 1, quantities: {logs} logs");
}

#[test]
fn any_order_of_files_lines_and_threads_gives_the_same_bytes() {
    let logs = each_log(ORDER, |log, scratch| {
        let mut dice = Dice::new(log.seed);
        let broken = scratch.write_broken(log);
        let whole = scratch.write("log.jsonl", &text(&log.lines));
        let first = Published::of(&scratch.publish(&[whole, broken.clone()], "first", Window::default()));
        let mut lines = log.lines.clone();
        for (way, threads) in [None, Some("1"), Some("4")].into_iter().enumerate() {
            if way > 0 {
                dice.shuffle(&mut lines);
            }
            let mut inputs = vec![broken.clone()];
            for (file, lines) in cut(&lines, way + 1, &mut dice).into_iter().enumerate() {
                inputs.push(scratch.write(&format!("way-{way}/{file}.jsonl"), &text(lines)));
            }
            dice.shuffle(&mut inputs);
            let out = format!("out-{way}");
            let out = match threads {
                None => scratch.publish(&inputs, &out, Window::default()),
                Some(threads) => scratch.publish_by_program(&inputs, &out, threads),
            };
            first.assert_same(&Published::of(&out), &format!("way {way}, threads {threads:?}"));
        }
    });
    println!("law 2: {logs} logs");
}

#[test]
fn sums_of_disjoint_slices_add_up_to_the_sums_of_the_whole() {
    let logs = each_log(SLICES, |log, scratch| {
        let mut dice = Dice::new(log.seed);
        let whole = scratch.write("log.jsonl", &text(&log.lines));
        let whole = scratch.replay(&[whole], Window::default());
        // Whole identities are dealt: records that may share one go to one slice.
        let count = 2 + dice.below(4);
        let mut slice_of: HashMap<&str, usize> = HashMap::new();
        let mut slices: Vec<Vec<Line>> = vec![Vec::new(); count];
        for line in &log.lines {
            let any = dice.below(count);
            let slice = match &line.request_id {
                Some(id) => *slice_of.entry(id).or_insert(any),
                None => any,
            };
            slices[slice].push(line.clone());
        }
        dice.shuffle(&mut slices);
        let slices: Vec<Replay> = slices
            .iter()
            .enumerate()
            .map(|(slice, lines)| {
                let slice = scratch.write(&format!("slice-{slice}.jsonl"), &text(lines));
                scratch.replay(&[slice], Window::default())
            })
            .collect();

        let mut records = rerate::balance::Records::default();
        let mut tally = Tally::default();
        let mut cells: BTreeMap<Day, BTreeMap<CellKey, Cell>> = BTreeMap::new();
        let mut series: BTreeMap<Day, HashMap<SeriesKey, Vec<Arrival>>> = BTreeMap::new();
        let (mut figures, mut suspended) = (Figures::default(), 0);
        for slice in slices {
            records.add(&slice.records);
            suspended += slice.suspended.len();
            figures.add(&slice, &scratch.books);
            // A group's id depends on the run, its facts don't.
            let ids: HashMap<&GroupFacts, GroupId> =
                whole.groups.iter().zip(0..).map(|(facts, id)| (&**facts, GroupId(id))).collect();
            let group = |group: GroupId| ids[&*slice.groups[group.0 as usize]];
            for (day, of_slice) in &slice.tally.cells {
                let own = cells.entry(*day).or_default();
                for (key, cell) in of_slice {
                    own.entry(CellKey { group: group(key.group), ..*key }).or_default().merge(cell);
                }
            }
            let events = slice.tally.cache_events.into_iter();
            tally.cache_events.extend(events.map(|event| CacheEvent { group: group(event.group), ..event }));
            for (day, span) in slice.tally.spans {
                tally.spans.entry(day).and_modify(|own| own.merge(span)).or_insert(span);
            }
            tally.everything += slice.tally.everything;
            for (day, of_day) in &slice.traffic.days {
                for (key, arrivals) in of_day.series() {
                    let key = SeriesKey { group: group(key.group), ..*key };
                    series.entry(*day).or_default().entry(key).or_default().extend_from_slice(arrivals);
                }
            }
        }
        tally.cells = cells.into_iter().map(|(day, cells)| (day, cells.into_iter().collect())).collect();
        let day_traffic = |(day, series): (Day, HashMap<SeriesKey, Vec<Arrival>>)| {
            let lengths: Vec<_> = series.iter().map(|(key, arrivals)| (*key, arrivals.len())).collect();
            (day, DayTraffic::new(lengths, series.into_values().flatten().collect()))
        };
        let days = series.into_iter().map(day_traffic).collect();
        let traffic = Traffic { days, ..Traffic::default() };
        assert_eq!(records, whole.records);
        assert_eq!(suspended, whole.suspended.len());
        assert!(tally.cells == whole.tally.cells, "cells");
        assert_eq!((&tally.spans, tally.everything), (&whole.tally.spans, whole.tally.everything));
        assert!(by_second(&traffic) == by_second(&whole.traffic), "series");
        let mut of_whole = Figures::default();
        of_whole.add(&whole, &scratch.books);
        assert!(figures == of_whole, "charges: {figures:?}\nof the whole: {of_whole:?}");

        let merged = Replay { records, tally, traffic, groups: whole.groups.clone(), ..empty_replay(&whole) };
        assert_eq!(reports(&merged, &scratch.books), reports(&whole, &scratch.books));
    });
    println!("law 3: {logs} logs");
}

#[test]
fn replaying_a_day_or_giving_a_file_twice_changes_nothing() {
    let logs = each_log(AGAIN, |log, scratch| {
        let log_file = scratch.write("log.jsonl", &text(&log.lines));
        let inputs = [log_file.clone(), scratch.write_broken(log)];
        let out = scratch.publish(&inputs, "days", Window::default());
        let (before, before_with_runs) = (files(&out, &["run.json"]), files(&out, &[]));
        scratch.publish(&inputs, "days", Window::default());
        assert_same_files(&before_with_runs, &files(&out, &[]), "replayed");
        let published: Vec<Day> = days(&out).map(|(day, _)| day).collect();
        if let Some(&day) = published.get(log.seed as usize % published.len().max(1)) {
            scratch.publish(&inputs, "days", Window { from: Some(day), to: Some(day) });
            assert_same_files(&before, &files(&out, &["run.json"]), &format!("replayed {day} alone"));
        }
        let copy = scratch.write("copy.log", &text(&log.lines));
        let with_copies = [&inputs[..], &[log_file, copy, inputs[1].clone()]].concat();
        scratch.publish(&with_copies, "days", Window::default());
        assert_same_files(&before, &files(&out, &["run.json"]), "every file given again");

        // Requests that are delivered again in another file; what has no id is another request.
        let mut lines = log.lines.clone();
        lines.retain(|line| matches!(line.made, Made::Request(Some(_))));
        let once = scratch.write("once.jsonl", &text(&lines));
        let published =
            Published::of(&scratch.publish(std::slice::from_ref(&once), "once", Window::default()));
        Dice::new(log.seed).shuffle(&mut lines);
        let again = scratch.write("again.jsonl.gz", &gz(&text(&lines)));
        let mut twice = Published::of(&scratch.publish(&[again, once], "twice", Window::default()));
        assert_eq!(twice.records["records"]["lines"], 2 * lines.len());
        assert_eq!(twice.records["records"]["requests"], published.records["records"]["requests"]);
        twice.records = published.records.clone();
        published.assert_same(&twice, "delivered twice");
    });
    println!("law 4: {logs} logs");
}

#[test]
fn however_little_memory_there_is_the_same_bytes_come_out() {
    let logs = each_log(MEMORY, |log, scratch| {
        // What is logged again is taken back.
        let again: Vec<&[Line]> = vec![&log.lines; 1 + log.seed as usize % 4];
        let inputs = [scratch.write("log.jsonl", &text(&again.concat())), scratch.write_broken(log)];
        let in_memory = scratch.publish(&inputs, "in memory", Window::default());
        let folder = scratch.path("not there yet");
        // A share of some bytes is full after each block, one of 64 KiB when a part is read.
        let bytes =
            if log.seed.is_multiple_of(2) { 0 } else { 2 * rayon::current_num_threads() as u64 * 65_536 };
        scratch.memory = Some(Bound { bytes, folder: folder.clone() });
        let Replay { traffic, tally, .. } = scratch.replay(&inputs, Window::default());
        assert!(!traffic.spilled.is_empty() && !tally.spilled.is_empty() || bytes > 0);
        assert!(traffic.days.is_empty() && tally.cells.is_empty() || bytes > 0);
        let spilled = scratch.publish(&inputs, "spilled", Window::default());
        assert_same_files(&files(&in_memory, &[]), &files(&spilled, &[]), "spilled");
        assert!(!folder.exists(), "the file is made above it");
    });
    println!("law of memory: {logs} logs");
}

#[test]
fn the_same_records_in_any_packing_give_the_same_bytes() {
    let logs = each_log(PACKINGS, |log, scratch| {
        let mut dice = Dice::new(log.seed);
        let bytes = text(&log.lines);
        let broken = scratch.write_broken(log);
        let plain = scratch.write("log.jsonl", &bytes);
        let plain = scratch.publish(&[plain, broken.clone()], "plain", Window::default());
        let published = Published::of(&plain);

        let with_bom = [&b"\xef\xbb\xbf"[..], &bytes].concat();
        let with_cr =
            log.lines.iter().flat_map(|line| [&line.bytes[..], b"\r\n"].concat()).collect::<Vec<u8>>();
        // A blank line without a newline is no line, so the last one needs some text.
        let ends_in_text = log.lines.last().is_some_and(|line| !line.bytes.trim_ascii().is_empty());
        let without_newline = bytes[..bytes.len() - usize::from(ends_in_text)].to_vec();
        // Members and frames end anywhere, within lines and within characters.
        let pieces = cut(&bytes, 4, &mut dice);
        let members: Vec<u8> = pieces.iter().flat_map(|piece| gz(piece)).collect();
        let skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc";
        let frames: Vec<u8> =
            pieces.iter().flat_map(|piece| [&skippable[..], &zst(piece)].concat()).collect();
        // Each log is packed in some of these ways.
        let mut packings = [
            ("gz", gz(&bytes)),
            ("zst", zst(&bytes)),
            ("members", members),
            ("frames", frames),
            ("BOM", with_bom.clone()),
            ("BOM, gz", gz(&with_bom)),
            ("CRLF", with_cr.clone()),
            ("CRLF, zst", zst(&with_cr)),
            ("no last newline", without_newline),
        ];
        dice.shuffle(&mut packings);
        for (packing, packed) in &packings[..3] {
            let input = scratch.write(&format!("packed as {packing}"), packed);
            let out = scratch.publish(&[input, broken.clone()], packing, Window::default());
            published.assert_same(&Published::of(&out), packing);
            assert!(line_numbers(&plain) == line_numbers(&out), "{packing}: lines are numbered alike");
        }
        let mut inputs = vec![broken];
        let mut seen = BTreeSet::new();
        for (file, lines) in cut(&log.lines, 6, &mut dice).into_iter().enumerate() {
            let bytes = text(lines);
            let packed = match file % 3 {
                0 => gz(&bytes),
                1 => zst(&bytes),
                _ => [&b"\xef\xbb\xbf"[..], &bytes].concat(),
            };
            // A file whose bytes were given is read once, so two parts that are one blank line each are packed apart.
            let number = [b"\x50\x2a\x4d\x18\x01\x00\x00\x00", &[file as u8][..], &zst(&bytes)].concat();
            let packed = if seen.insert(packed.clone()) { packed } else { number };
            inputs.push(scratch.write(&format!("part-{file}"), &packed));
        }
        let out = scratch.publish(&inputs, "parts", Window::default());
        published.assert_same(&Published::of(&out), "in parts");
    });
    println!("law 5: {logs} logs");
}

#[test]
fn the_same_records_in_any_text_container_give_the_same_bytes() {
    let logs = each_log(PACKINGS, |log, scratch| {
        // What isn't JSON, or a list among objects, has no place of its own in a list or beside other objects.
        let lines: Vec<&[u8]> = log
            .lines
            .iter()
            .map(|line| line.bytes.trim_ascii())
            .filter(|line| {
                let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok();
                is_json && !line.starts_with(b"[") && line.len() < MAX_LINE
            })
            .collect();
        let plain = lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect::<Vec<u8>>();
        let plain = scratch.publish(&[scratch.write("log.jsonl", &plain)], "plain", Window::default());
        let published = Published::of(&plain);
        let event = |line: &[u8]| [b"data: ", line, b"\r\n\r\n"].concat();
        let list = |open: &[u8], comma: &[u8], close: &[u8]| [open, &lines.join(comma), close].concat();
        let pretty: Vec<Vec<u8>> = lines.iter().map(|line| over_lines(line)).collect();
        let mut containers = [
            ("a list", list(b"[", b",", b"]")),
            ("a list over lines", list(b"\xef\xbb\xbf[\n", b",\n  ", b"\n]\n")),
            ("a list, gz", gz(&list(b" [ ", b" , ", b" ] "))),
            ("objects over lines", pretty.join(&b"\n"[..])),
            ("a list of objects over lines", [b"[", &pretty.join(&b",\n"[..])[..], b"]"].concat()),
            ("objects over lines, zst", zst(&pretty.join(&b"\r\n"[..]))),
            ("events", lines.iter().flat_map(|line| event(line)).collect()),
            (
                "events without blank lines",
                lines.iter().flat_map(|line| [b"data:", *line, b"\n"].concat()).collect(),
            ),
        ];
        // Each log lies in some of these ways.
        Dice::new(log.seed).shuffle(&mut containers);
        for (container, bytes) in &containers[..3] {
            let out = scratch.publish(
                &[scratch.write(container, bytes)],
                &format!("out {container}"),
                Window::default(),
            );
            published.assert_same(&Published::of(&out), container);
            assert!(line_numbers(&plain) == line_numbers(&out), "{container}: lines are numbered alike");
        }
    });
    println!("law 5, containers: {logs} logs");
}

/// A value spread over lines, whatever it holds.
fn over_lines(line: &[u8]) -> Vec<u8> {
    let (mut spread, mut in_string, mut escaped) = (Vec::new(), false, false);
    for &byte in line {
        spread.push(byte);
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' | b',' | b':' if !in_string => spread.extend_from_slice(b"\n\t "),
            _ => {}
        }
    }
    spread
}

#[test]
fn nothing_of_a_prompt_or_a_key_is_in_any_output() {
    let mut hashed = 0;
    let logs = each_log(SECRETS, |log, scratch| {
        let key = &log.keys[0];
        let mut inputs = vec![scratch.write_broken(log)];
        for (file, lines) in cut(&log.lines, 2, &mut Dice::new(log.seed)).into_iter().enumerate() {
            inputs.push(scratch.write(&format!("{key}/{key}-{file}.jsonl"), &text(lines)));
        }
        for (name, line) in [
            ("unknown", "{\"SECRET\":{\"KEY\":1},\"KEY\":\"SECRET\"}\n"),
            ("csv", "KEY,SECRET\nKEY,SECRET\n"),
            (
                "raw",
                "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"SECRET\"}]}}],\"modelVersion\":\"KEY\"}\n{\"SECRET\":\"KEY\"}\n",
            ),
            (
                "error",
                "{\"error\":{\"code\":429,\"message\":\"SECRET KEY\",\"status\":\"KEY\"}}\n{\"id\":\"KEY\"}\n",
            ),
        ] {
            let prompt = format!("say {}", awkward::SECRET);
            let line = line.replace("SECRET", &prompt).replace("KEY", key);
            inputs.push(scratch.write(&format!("{key}/foreign-{name}"), line.as_bytes()));
        }
        let out = scratch.path(&format!("days-{key}"));
        let mut shown: BTreeMap<String, String> = BTreeMap::new();
        let missing = format!("{}/{key}", scratch.path("missing").display());
        for (command, more) in [
            ("replay", vec!["--detail", "--out", out.to_str().expect("text")]),
            ("check", vec![]),
            ("accounts", vec![]),
            ("replay", vec!["--out", out.to_str().expect("text"), "--from", "2027-01-01", &missing]),
            ("check", vec!["--prices", &missing]),
            ("check", vec!["--usage-tier", key]),
            ("check", vec!["--date", key]),
        ] {
            let args = scratch.args(command, &inputs, &more);
            let output = rerate(scratch.folder.path(), &args.iter().map(String::as_str).collect::<Vec<_>>());
            let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
            shown.insert(format!("{command} {}", more.join(" ")).replace(key, "KEY"), told);
        }
        for by in ["project_id,model,base_model", "meter,exempt"] {
            let args = ["show", out.to_str().expect("text"), "--by", by, "--format", "csv"];
            let output = rerate(scratch.folder.path(), &args);
            shown.insert(
                format!("show --by {by}"),
                format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output)),
            );
        }
        for (path, bytes) in files(&out, &[]) {
            if path.ends_with(".parquet") {
                let rows = run::read_parquet(&out.join(&path));
                shown.insert(format!("{path}, rows"), format!("{rows:?}"));
            }
            shown.insert(path.clone(), format!("{path}\n{}", String::from_utf8_lossy(&bytes)));
        }
        assert!(shown.len() > 12, "something is published");
        for (name, text) in &shown {
            assert!(!text.contains(awkward::SECRET), "{name} has text of a prompt: {text}");
            for key in &log.keys {
                assert!(!text.contains(&key[..]), "{name} has a key: {text}");
            }
            hashed += text.matches("key-").count();
        }
    });
    assert!(hashed > 0, "keys are told by their hash");
    println!("law 8: {logs} logs");
}

#[test]
fn requests_cost_what_the_charges_of_their_day_do() {
    let logs = each_log(DETAIL, |log, scratch| {
        scratch.detail = true;
        let inputs = [scratch.write("log.jsonl", &text(&log.lines)), scratch.write_broken(log)];
        let out = scratch.publish(&inputs, "days", Window::default());
        for (day, folder) in days(&out) {
            let requests = run::read_parquet(&folder.join("requests.parquet"));
            let of_requests: i128 = requests.iter().map(|row| pico(&row["rated_cost_usd"])).sum();
            let charges = read_csv(&folder, "charges");
            let of_charges: i128 = charges.iter().map(|row| pico(run::cost_of_requests(row))).sum();
            assert_eq!(of_requests, of_charges, "{day}");
            assert_eq!(json(&folder.join("manifest.json"))["requests"], requests.len(), "{day}");
        }
    });
    println!("law 6: {logs} logs");
}

/// The laws would be proven on easy logs if these were.
#[test]
fn the_logs_are_awkward_enough() {
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let logs = each_log(ORDER.min(AGAIN).min(PACKINGS), |log, scratch| {
        let bytes = text(&log.lines);
        let inputs = [scratch.write("log.jsonl", &bytes), scratch.write_broken(log)];
        let replay = scratch.replay(&inputs, Window::default());
        let day = replay.tally.spans.keys().next().copied();
        let windowed = scratch.replay(&inputs, Window { from: day, to: day });
        let mut see = |what: &str, holds: bool| {
            if holds {
                seen.insert(what.to_string());
            }
        };
        see("several blocks", bytes.len() > 1 << 20);
        for (name, count) in replay.records.parts().into_iter().chain(windowed.records.parts()) {
            see(name, count > 0);
        }
        for line in &replay.suspended {
            see(line.reason.name(), true);
            see(if line.day.is_some() { "suspended with a day" } else { "undated" }, true);
        }
        for (key, cell) in replay.tally.cells.values().flatten() {
            let facts = &replay.groups[key.group.0 as usize];
            for (slot, _) in cell.quantities() {
                see(&format!("{} {}", slot.meter(), slot.modality()), true);
            }
            see(&format!("usage tier {}", key.usage_tier), true);
            see(&format!("service tier {}", facts.service_tier), true);
            see(&format!("channel {}", facts.channel), true);
            see(&format!("tools {}", facts.tools), true);
            see(&format!("band {}", key.context_band), true);
            see(scratch.books.outcomes.find(facts.status).outcome.name(), true);
            see(scratch.books.methods.find(facts.method).kind.name(), true);
            let base = scratch.books.base_model(facts, key.day);
            see("an alias is followed", !facts.model.starts_with("tuned") && base != &*facts.model);
            see("tuned", facts.model.starts_with("tuned") && !base.starts_with("tuned"));
            see("a key is a name", facts.project_id.starts_with("key-"));
        }
        // A usage tier that changes within a second: requests of both in that second.
        let mut tiers_of: HashMap<_, BTreeSet<UsageTier>> = HashMap::new();
        let traffic = replay.traffic.days.iter();
        for (day, (key, arrivals)) in
            traffic.flat_map(|(day, of_day)| of_day.series().map(move |own| (day, own)))
        {
            let facts = &replay.groups[key.group.0 as usize];
            if &*facts.project_id == "p-upgrade" && facts.usage_tier.is_none() {
                for arrival in arrivals {
                    tiers_of.entry((*day, arrival.second_of_day())).or_default().insert(key.usage_tier);
                }
            }
        }
        see("an upgrade within a second", tiers_of.values().any(|usage_tiers| usage_tiers.len() > 1));
        for report in run::reports(&replay, &scratch.books, Window::default()) {
            see(&format!("{} hours", report.day.hours()), true);
            for key in report.rated.unrated.keys() {
                see(key.why.reason().name(), true);
            }
            for key in report.rated.charges.keys() {
                see(key.exempt.map_or("charged", Exempt::name), true);
                see(&format!("price above {}", key.price_above_prompt_tokens.unwrap_or(0)), true);
            }
            for assumption in report.rated.assumptions.keys() {
                see(assumption.name(), true);
            }
            for warning in report.warnings.keys() {
                see(warning.name(), true);
            }
            let quota = report.measured.quota.values();
            see("a cache is stored", !report.walked.storage.is_empty());
            see("a cache lives on", !report.walked.carry.caches.is_empty());
            see("a credit pays", report.walked.payments.iter().any(|payment| payment.applied > Pico::ZERO));
            let qualifies = |account: &AccountUse<&str>| !account.criteria_met.is_empty();
            see("an account qualifies", report.walked.carry.accounts.iter().any(qualifies));
            let covered =
                report.rated.charges.values().filter_map(|charge| Some((charge.allowance?, charge)));
            for (units, charge) in covered {
                see("an allowance covers all", units == charge.quantity);
                see("an allowance runs out", units < charge.quantity);
            }
            let mut upgrades = report.measured.upgrades.values();
            see("throttled might be spared", upgrades.any(|upgrade| upgrade.requests_spared_at_most > 0));
            see("a limit is exceeded", quota.clone().any(|used| used.rpm.over_seconds > Some(0)));
        }
    });

    let mut wanted: BTreeSet<String> = [
        "several blocks",
        "suspended with a day",
        "undated",
        "an alias is followed",
        "tuned",
        "a key is a name",
        "an upgrade within a second",
        "charged",
        "a cache is stored",
        "a cache lives on",
        "a credit pays",
        "an account qualifies",
        "an allowance covers all",
        "an allowance runs out",
        "throttled might be spared",
        "a limit is exceeded",
        "23 hours",
        "24 hours",
        "25 hours",
        "price above 128000",
        "price above 200000",
        "band 0",
        "band 128000",
        "band 200000",
        "blank",
        "not_requests",
        "suspended",
        "duplicates",
        "superseded",
        "outside_window",
        "requests",
    ]
    .map(str::to_string)
    .into();
    // What shape an input has is told from its first items, so these depend on the order of lines; `cases` has them.
    // And canonical records without tokens are suspended, have no bodies of 429s, and say their thoughts.
    let of_inputs = [
        Reason::UnknownShape.name(),
        Reason::OtherShape.name(),
        Warning::TokensUnknown.name(),
        Warning::QuotaLimitContradicted.name(),
        Warning::QuotaUsageTierContradicted.name(),
        Warning::MaybeCountedTwice.name(),
        Assumption::ThoughtsFromTotal.name(),
    ];
    let names = Reason::ALL
        .iter()
        .map(|reason| reason.name())
        .chain(Warning::ALL.iter().map(|warning| warning.name()));
    let names = names.chain(Assumption::ALL.iter().map(|assumption| assumption.name()));
    wanted.extend(names.filter(|name| !of_inputs.contains(name)).map(str::to_string));
    wanted.extend(Exempt::ALL.iter().map(|exempt| exempt.name().to_string()));
    wanted.extend(Outcome::ALL.iter().map(|outcome| outcome.name().to_string()));
    wanted.extend(MethodKind::ALL.iter().map(|kind| kind.name().to_string()));
    wanted.extend(UsageTier::ALL.iter().map(|usage_tier| format!("usage tier {usage_tier}")));
    wanted.extend(ServiceTier::ALL.iter().map(|service_tier| format!("service tier {service_tier}")));
    wanted.extend(Channel::ALL.iter().map(|channel| format!("channel {channel}")));
    wanted.extend(Tools::ALL.iter().map(|tools| format!("tools {tools}")));
    wanted.extend(Slot::all().map(|slot| format!("{} {}", slot.meter(), slot.modality())));
    let easy: Vec<_> = wanted.difference(&seen).collect();
    assert!(easy.is_empty(), "no log has {easy:?}");
    assert!(seen.contains(&format!("{} {}", Meter::OutputThinking, Modality::Audio)));
    println!("awkward enough: {logs} logs");
}

/// Runs a law on `logs` logs, or a multiple; gives their number. A failure names the seed.
fn each_log(logs: u64, mut law: impl FnMut(&Log, &mut Scratch)) -> u64 {
    let times =
        std::env::var("RERATE_LAWS").map_or(1, |times| times.parse().expect("RERATE_LAWS is a number"));
    for seed in 0..logs * times {
        let log = Log::new(seed);
        let mut scratch = Scratch::new(&log);
        let named = NameSeed(seed);
        law(&log, &mut scratch);
        std::mem::forget(named);
    }
    logs * times
}

/// Says which log it was when a law fails.
struct NameSeed(u64);

impl Drop for NameSeed {
    fn drop(&mut self) {
        eprintln!("the law failed on the log of seed {}", self.0);
    }
}

/// A folder with an accounts file, and the books it makes.
struct Scratch {
    folder: tempfile::TempDir,
    books: Books,
    /// Publish a report of requests too.
    detail: bool,
    /// None: all is kept in memory.
    memory: Option<Bound>,
}

impl Scratch {
    fn new(log: &Log) -> Scratch {
        // Published files are synced to the disk, and the laws publish thousands: memory takes them sooner.
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = folder.expect("a temporary folder");
        let accounts = folder.path().join("accounts.toml");
        std::fs::write(&accounts, &log.accounts).expect("an accounts file");
        let sources = Sources { accounts: Some(accounts), ..Sources::default() };
        let books = Books::load(&sources).unwrap_or_else(|error| panic!("{error}\n{}", log.accounts));
        Scratch { folder, books, detail: !log.seed.is_multiple_of(2), memory: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes an input; gives its name.
    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(&path, bytes).expect("a log");
        path.display().to_string()
    }

    fn write_broken(&self, log: &Log) -> String {
        self.write("ends-early.jsonl.gz", &log.broken)
    }

    fn replay(&self, inputs: &[String], window: Window) -> Replay {
        let settings = Settings { max_line: MAX_LINE, detail: self.detail, ..Settings::default() };
        let inputs = read::find(inputs, None, settings.into()).expect("inputs");
        let options = Options { window, memory: self.memory.clone(), ..Options::default() };
        pipeline::replay(&inputs, &self.books, &options, &Arc::default()).expect("a replay")
    }

    /// Publishes through the library; gives the folder.
    fn publish(&self, inputs: &[String], out: &str, window: Window) -> PathBuf {
        let replay = self.replay(inputs, window);
        let days = run::reports(&replay, &self.books, window);
        let (out, stop) = (self.path(out), AtomicBool::new(false));
        let options =
            publish::Options { window, close: false, detail: self.detail, replace: false, stop: &stop };
        let output = publish::Output::open(&out, &stop, |_| {}).expect("a folder");
        let all = days.iter().map(|report| report.day);
        let mut staging =
            Staging::begin(&output, all, &replay, &self.books, &options, &()).expect("a folder");
        days.chunks(3).try_for_each(|days| staging.stage(days)).expect("days");
        staging.publish().expect("days");
        out
    }

    /// Publishes through the program, which alone takes a number of threads.
    fn publish_by_program(&self, inputs: &[String], out: &str, threads: &str) -> PathBuf {
        let args = self.args("replay", inputs, &["--out", out, "--threads", threads]);
        let args: Vec<&str> =
            args.iter().map(String::as_str).chain(self.detail.then_some("--detail")).collect();
        let output = rerate(self.folder.path(), &args);
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        self.path(out)
    }

    fn args(&self, command: &str, inputs: &[String], more: &[&str]) -> Vec<String> {
        let max_line = MAX_LINE.to_string();
        let own = [command, "--accounts", "accounts.toml", "--max-line", &max_line];
        own.iter()
            .copied()
            .chain(inputs.iter().map(String::as_str))
            .chain(more.iter().copied())
            .map(str::to_string)
            .collect()
    }
}

/// Published days in order.
fn days(out: &Path) -> impl Iterator<Item = (Day, PathBuf)> {
    let folders = run::published(out).into_iter().filter(|folder| folder.join("manifest.json").exists());
    let first = Day(0);
    folders.map(move |folder| {
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        // The first instant that logs may have lies in the last Pacific day of 1969, which no flag can name.
        let day = if name == "1969-12-31" { Day(first.0 - 1) } else { Day::parse(&name).expect("a day") };
        (day, folder)
    })
}

/// All files below a folder by relative path, hidden ones and some names aside.
fn files(folder: &Path, aside: &[&str]) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if name.starts_with('.') || aside.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            let below = files(&path, aside).into_iter();
            found.extend(below.map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else {
            found.insert(name, std::fs::read(&path).expect("a file"));
        }
    }
    found
}

fn assert_same_files(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>, what: &str) {
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let different: Vec<_> = paths.into_iter().filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(different.is_empty(), "{what}: {different:?} differ");
}

/// What is published, as far as order and packing may not change it.
struct Published {
    files: BTreeMap<String, Vec<u8>>,
    /// Rows of suspense and requests without origin and line, sorted.
    rows: Vec<String>,
    /// The first equation.
    records: Value,
}

impl Published {
    fn of(out: &Path) -> Published {
        let with_origins = ["suspense.csv", "requests.parquet"];
        // The Parquet of suspense is of the same rows as its CSV.
        let mut files = files(out, &[&with_origins[..], &["suspense.parquet", "run.json"]].concat());
        files.retain(|path, _| !path.starts_with("undated/"));
        let mut rows = Vec::new();
        for folder in run::published(out) {
            for name in with_origins {
                let path = folder.join(name);
                let table = match path.extension() {
                    _ if !path.exists() => Table::new(),
                    Some(end) if end == "csv" => run::read_csv(&path).1,
                    _ => run::read_parquet(&path),
                };
                for mut row in table {
                    row.retain(|column, _| column != "origin" && column != "line");
                    rows.push(format!("{name} {row:?}"));
                }
            }
        }
        rows.sort();
        let run = run::published(out).first().map(|folder| json(&folder.join("run.json"))).expect("a folder");
        let records = serde_json::json!({"records": run["records"], "not_requests": run["not_requests"]});
        Published { files, rows, records }
    }

    fn assert_same(&self, other: &Published, what: &str) {
        assert_eq!(self.records, other.records, "{what}");
        assert!(!self.files.is_empty());
        assert_same_files(&self.files, &other.files, what);
        let different = self.rows.iter().zip(&other.rows).find(|(one, other)| one != other);
        assert!(different.is_none() && self.rows.len() == other.rows.len(), "{what}: {different:#?}");
    }
}

/// What charges and evidence are sums of, over days.
#[derive(Debug, Default, PartialEq)]
struct Figures {
    /// Quantity, list cost, rated cost.
    charges: BTreeMap<String, (u64, Pico, Pico)>,
    unrated: BTreeMap<String, (u64, Pico)>,
    counted: BTreeMap<String, (u64, Pico)>,
}

impl Figures {
    fn add(&mut self, replay: &Replay, books: &Books) {
        let plus = |one: Pico, other: Pico| one.checked_add(other).expect("a sum");
        for report in run::reports(replay, books, Window::default()) {
            // Storage and allowances depend on other days, so they are of the whole, not of a slice.
            for (key, charge) in &report.rated.charges {
                if key.meter == Meter::CacheStorage {
                    continue;
                }
                let sums = self.charges.entry(format!("{} {key:?}", report.day)).or_default();
                sums.0 += charge.quantity;
                sums.1 = plus(sums.1, charge.list_cost.unwrap_or_default());
                let covered = charge.allowance.is_some();
                let rated_cost = if covered { Pico::ZERO } else { charge.rated_cost };
                sums.2 = plus(sums.2, rated_cost);
            }
            for (key, unrated) in &report.rated.unrated {
                if key.meter.is_none_or(|meter| meter == Meter::CacheStorage) {
                    continue;
                }
                let sums = self.unrated.entry(format!("{} {key:?}", report.day)).or_default();
                sums.0 += unrated.quantity;
                sums.1 = plus(sums.1, unrated.list_cost.unwrap_or_default());
            }
            for (assumption, resting) in &report.rated.assumptions {
                let sums = self.counted.entry(format!("{} {assumption}", report.day)).or_default();
                sums.0 += resting.requests;
                if *assumption != Assumption::AllowanceScope {
                    sums.1 = plus(sums.1, resting.rated_cost);
                }
            }
            let of_requests = |(warning, _): &(&Warning, _)| **warning != Warning::CarryMissing;
            for (warning, requests) in report.warnings.iter().filter(of_requests) {
                self.counted.entry(format!("{} {warning}", report.day)).or_default().0 += requests;
            }
        }
    }
}

/// Requests and input tokens of each series by second: arrivals have no order, and some are taken back.
fn by_second(traffic: &Traffic) -> BTreeMap<(Day, SeriesKey, u32), (u64, u64)> {
    let mut sums: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    for (day, of_day) in &traffic.days {
        for (key, arrivals) in of_day.series() {
            for arrival in arrivals {
                let sum = sums.entry((*day, *key, arrival.second_of_day())).or_default();
                arrival.put(&mut sum.0, 1);
                arrival.put(&mut sum.1, arrival.input_tokens());
            }
        }
    }
    sums.retain(|_, (requests, _)| *requests > 0);
    sums
}

/// All but the sums.
fn empty_replay(whole: &Replay) -> Replay {
    Replay {
        records: Default::default(),
        inputs: whole.inputs.clone(),
        left: whole.left.clone(),
        suspended: whole.suspended.clone(),
        groups: Groups::new(),
        tally: Tally::default(),
        traffic: Traffic::default(),
        memory: Memory::new(None, 1),
        kept: BTreeMap::new(),
        last_read: whole.last_read,
    }
}

/// What is charged and measured, in words.
fn reports(replay: &Replay, books: &Books) -> Vec<String> {
    let reports = run::reports(replay, books, Window::default());
    let words = |report: &DayReport<'_>| {
        let DayReport { day, rated, measured, walked, carry_before, warnings, .. } = report;
        let Rated { charges, unrated, meters, assumptions } = rated;
        // They are in no order.
        let mut rows: Vec<String> = charges.iter().map(|row| format!("{row:?}")).collect();
        rows.extend(unrated.iter().map(|row| format!("{row:?}")));
        rows.sort_unstable();
        let rated = format!("{rows:?} {meters:?} {assumptions:?}");
        format!("{day} {rated} {measured:?} {walked:?} {carry_before:?} {warnings:?}")
    };
    reports.iter().map(words).collect()
}

/// The suspended lines of the first input, by number.
fn line_numbers(out: &Path) -> Vec<(String, String, String)> {
    let mut suspense = run::table(out, "suspense");
    suspense.retain(|row| row["stage"] == "read" && !row["origin"].contains("ends-early"));
    let mut lines: Vec<_> = suspense
        .into_iter()
        .map(|row| (row["line"].clone(), row["reason"].clone(), row["detail"].clone()))
        .collect();
    lines.sort();
    lines
}

/// Cuts items into `parts` parts, some perhaps empty.
fn cut<'i, T>(items: &'i [T], parts: usize, dice: &mut Dice) -> Vec<&'i [T]> {
    let mut ends: Vec<usize> = (1..parts).map(|_| dice.below(items.len() + 1)).collect();
    ends.extend([0, items.len()]);
    ends.sort_unstable();
    ends.windows(2).map(|ends| &items[ends[0]..ends[1]]).collect()
}

fn read_csv(folder: &Path, table: &str) -> Table {
    let path = folder.join(format!("{table}.csv"));
    if path.exists() { run::read_csv(&path).1 } else { Table::new() }
}

fn sum(rows: &Table, column: &str) -> u64 {
    rows.iter().map(|row| number(&row[column])).sum()
}

fn number(cell: &str) -> u64 {
    cell.parse().unwrap_or_else(|_| panic!("{cell:?} is no number"))
}

/// Dollars as a CSV writes them, in pico-dollars; 0 of an empty cell.
fn pico(dollars: &str) -> i128 {
    let (whole, fraction) = dollars.split_once('.').unwrap_or((dollars, ""));
    if dollars.is_empty() { 0 } else { format!("{whole}{fraction:0<12}").parse().expect("a decimal") }
}
