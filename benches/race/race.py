"""Runs rerate's whole job and its peers' sums over the same logs, in turn, and prints the ratios.

    python3 benches/race/race.py --records 20000 --rounds 1                  a look, in a minute
    python3 benches/race/race.py --keep --page                               the whole race, an hour or so
    python3 benches/race/race.py --records 4000000 --formats jsonl --peers DuckDB

The log is made by `rerate gen --race` (about 599 bytes a record) and packed in each format. rerate replays it with publishing,
the peers (peers/) do the sums alone and write nothing. All cells are compared one by one before a time is printed. The first run
of each, which warms the page cache, is for that and isn't timed. Needs Rust and Python 3.11; what it installs and makes is in
target/race, about 4 GB for 4,000,000 records.
"""

import argparse
import datetime
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "target" / "race"
PYTHON = WORK / "venv" / "bin" / "python"
PAGE = ROOT / "docs" / "performance.md"

FORMATS = {
    "jsonl": "JSONL",
    "jsonl.zst": "JSONL.zst",
    "jsonl.gz": "JSONL.gz, one member",
    "members.jsonl.gz": "JSONL.gz, members",
    "parquet": "Parquet",
}
PEERS = {
    "DuckDB": "duckdb",
    "Polars": "polars",
    "ClickHouse": "clickhouse",
    "DataFusion": "datafusion",
    "genai-prices": "genai_prices",
}
# Prices requests one by one, in Python: an hour for millions. Other packings only add their unpacking.
CALCULATOR = "genai-prices"
CALCULATOR_RECORDS = 250_000
# What was aimed at for 4,000,000 records: DuckDB's wall time and peak memory as multiples of rerate's.
GOAL_RECORDS = 4_000_000
GOALS = {"jsonl": (6, 10), "jsonl.zst": (5, 10), "parquet": (6, 10)}
LIMITS = {
    "read": ("jsonl", "reading JSONL, all cores"),
    "lines": ("jsonl", "reading JSONL and finding its lines, all cores"),
    "zst": ("jsonl.zst", "zst, one frame, by libzstd"),
    "zlib": ("jsonl.gz", "gz, one member, by zlib"),
    "zlib-ng": ("jsonl.gz", "gz, one member, by zlib-ng"),
    "members": ("members.jsonl.gz", "gz, members, by libdeflate, all cores"),
    "parquet": ("parquet", "Parquet, the needed columns to Arrow, all cores"),
}


def main():
    arguments = parse()
    rerate = set_up(arguments)
    load = os.getloadavg()[0]
    races = []
    limits = []
    for records in arguments.records:
        log = make_log(rerate, records)
        for format in arguments.formats:
            races.append(race(arguments, rerate, records, format, pack(log, records, format)))
    if arguments.limits:
        limits = measure_limits(arguments, log, records)
    text = report(arguments, rerate, load, races, limits)
    print(text)
    if arguments.keep:
        file = HERE / "results" / f"{datetime.datetime.now():%Y-%m-%d-%H%M}.md"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    if arguments.page:
        before, after = PAGE.read_text().split("<!-- race -->\n")[::2]
        body = text.split("\n", 1)[1]
        PAGE.write_text(f"{before}<!-- race -->\n{body}\n<!-- race -->\n{after}")


def parse():
    def several(kind, known=None):
        def parse(text):
            values = [kind(value) for value in text.split(",")]
            for value in values:
                if known and value not in known:
                    raise argparse.ArgumentTypeError(f"{value} is none of {', '.join(known)}")
            return values

        return parse

    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = arguments.add_argument
    add("--records", type=several(int), default=[250_000, 1_000_000, 4_000_000], help="lengths of the log (default 250000,1000000,4000000)")
    add("--formats", type=several(str, FORMATS), default=list(FORMATS), help=f"some of {','.join(FORMATS)} (default all)")
    add("--peers", type=several(str, PEERS), default=list(PEERS), help=f"some of {','.join(PEERS)} (default all)")
    add("--rounds", type=int, default=3, help="timed runs of each, in turn (default 3)")
    add("--no-limits", dest="limits", action="store_false", help="leave out what the machine does with the bytes alone")
    add("--rerate", type=Path, help="race this program (default: build it)")
    add("--keep", action="store_true", help="write the result to results/ with the date")
    add("--page", action="store_true", help="put the result into docs/performance.md")
    return arguments.parse_args()


def set_up(arguments):
    """Builds rerate and the peers' environment; the path of rerate."""
    WORK.mkdir(parents=True, exist_ok=True)
    wanted = (HERE / "requirements.txt").read_text()
    installed = WORK / "venv" / "installed.txt"
    if not installed.exists() or installed.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", WORK / "venv"], check=True)
        subprocess.run([PYTHON, "-m", "pip", "install", "--quiet", "--requirement", HERE / "requirements.txt"], check=True)
        installed.write_text(wanted)
    if arguments.rerate:
        return arguments.rerate.resolve()
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, check=True)
    return ROOT / "target" / "release" / "rerate"


def make_log(rerate, records):
    log = WORK / f"race-{records}.jsonl"
    if not log.exists():
        part = log.with_suffix(".part")
        with part.open("wb") as file:
            subprocess.run([rerate, "gen", "--race", "--records", str(records)], stdout=file, stderr=subprocess.DEVNULL, check=True)
        part.rename(log)
    return log


def pack(log, records, format):
    if format == "jsonl":
        return log
    packed = WORK / "packed" / f"{records}.{format}"
    packed.parent.mkdir(exist_ok=True)
    if not packed.exists():
        subprocess.run([PYTHON, HERE / "logs.py", log, packed], check=True)
    return packed


def race(arguments, rerate, records, format, log):
    """The runs of each contestant over one log, after their answers were found equal."""
    days = WORK / "days"
    shutil.rmtree(days, ignore_errors=True)
    commands = {"rerate": [rerate, "replay", log, "--out", days, "--usage-tier", "tier1", "--replace"]}
    for peer in arguments.peers:
        if peer != CALCULATOR or (records <= CALCULATOR_RECORDS and format == "jsonl"):
            commands[peer] = [PYTHON, HERE / "peers" / f"with_{PEERS[peer]}.py", log]

    # The first run of each is for the answers, and warms the page cache.
    measure(commands["rerate"])
    answers = {}
    for peer in list(commands)[1:]:
        answers[peer] = WORK / "answers" / peer
        shutil.rmtree(answers[peer], ignore_errors=True)
        answers[peer].mkdir(parents=True)
        measure([*commands[peer], answers[peer]])
    priced = None
    if CALCULATOR in answers:
        priced = json.loads((answers.pop(CALCULATOR) / "requests.json").read_text())
        if priced["seen"] != records:
            sys.exit(f"{CALCULATOR} saw {priced['seen']} of {records} requests; no time is worth printing")
    cells = compare(days, answers) if answers else None

    runs = {name: [] for name in commands}
    for _ in range(arguments.rounds):
        for name, command in commands.items():
            runs[name].append(measure(command))
    medians = {name: median(of) for name, of in runs.items()}
    return {"records": records, "format": format, "bytes": log.stat().st_size, "cells": cells, "priced": priced, "medians": medians}


def compare(days, answers):
    """The number of cells, when all have the same."""
    peers = [f"{peer}={folder}" for peer, folder in answers.items()]
    compared = subprocess.run([PYTHON, HERE / "answers.py", days, *peers], stdout=subprocess.PIPE, text=True)
    if compared.returncode:
        sys.exit(compared.returncode)
    return int(compared.stdout)


def measure(command):
    """Wall and CPU seconds and peak memory (MB) of a command, as the system counts them."""
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    if code := os.waitstatus_to_exitcode(status):
        sys.exit(f"{' '.join(map(str, command))} ended with {code}:\n{said.decode(errors='replace')}")
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss / 1024}


def median(runs):
    return {key: statistics.median(run[key] for run in runs) for key in ("wall", "cpu", "peak")}


def measure_limits(arguments, log, records):
    """What the machine does with the longest log when nothing is made of it."""
    commands = {
        said: [PYTHON, HERE / "limits.py", what, pack(log, records, format)]
        for what, (format, said) in LIMITS.items()
        if format in arguments.formats
    }
    runs = {said: [] for said in commands}
    for _ in range(arguments.rounds):
        for said, command in commands.items():
            runs[said].append(measure(command))
    return [(said, log.stat().st_size, median(of)) for said, of in runs.items()]


def report(arguments, rerate, load, races, limits):
    lines = [
        f"# Race of {datetime.date.today()}",
        "",
        f"{versions(rerate)}.",
        f"{os.cpu_count()} cores ({processor()}), {memory():.0f} GB of memory; load {load:.1f} before the race. Page cache warm, medians of",
        f"{arguments.rounds} runs, in turn. rerate does the whole job with publishing, the others the sums alone, after their answers were",
        "found equal, cell by cell. Right of a peer's figures, how often they hold rerate's.",
    ]
    lines += goals(races)
    for records in arguments.records:
        of = [race for race in races if race["records"] == records]
        lines += ["", f"## {records:,} records", ""]
        lines += ["| format | | wall s | CPU s | peak MB | wall | CPU | peak |", "| --- | --- | --: | --: | --: | --: | --: | --: |"]
        for race in of:
            ours = race["medians"]["rerate"]
            format = f"{FORMATS[race['format']]} ({race['bytes'] / 1e6:,.0f} MB)"
            for name, theirs in race["medians"].items():
                figures = f"{theirs['wall']:.2f} | {theirs['cpu']:.2f} | {theirs['peak']:,.0f}"
                ratios = ["" if name == "rerate" else f"{theirs[key] / ours[key]:.1f}×" for key in ours]
                lines.append(f"| {format} | {name} | {figures} | {' | '.join(ratios)} |")
                format = ""
        cells = {race["cells"] for race in of} - {None}
        if cells:
            lines += ["", f"Cells: {' or '.join(f'{count:,}' for count in sorted(cells))}."]
        lines += [calculator(race["priced"]) for race in of if race["priced"]]
        if CALCULATOR in arguments.peers and not any(race["priced"] for race in of):
            lines.append(f"{CALCULATOR} runs on JSONL of {CALCULATOR_RECORDS:,} records at most.")
    if limits:
        lines += ["", "## Limits", "", f"The log of {arguments.records[-1]:,} records, nothing made of its bytes.", ""]
        lines += ["| | wall s | CPU s | GB/s of text |", "| --- | --: | --: | --: |"]
        for said, size, spent in limits:
            lines.append(f"| {said} | {spent['wall']:.2f} | {spent['cpu']:.2f} | {size / 1e9 / spent['wall']:.2f} |")
    return "\n".join(lines) + "\n"


def goals(races):
    """DuckDB ÷ rerate beside what was aimed at, where the race was one of those."""
    rows = []
    for race in races:
        if race["records"] == GOAL_RECORDS and race["format"] in GOALS and "DuckDB" in race["medians"]:
            ours, theirs = race["medians"]["rerate"], race["medians"]["DuckDB"]
            wall, peak = (f"{theirs[key] / ours[key]:.1f}×" for key in ("wall", "peak"))
            wall_goal, peak_goal = GOALS[race["format"]]
            rows.append(f"| {FORMATS[race['format']]} | {wall_goal}× | {wall} | {peak_goal}× | {peak} |")
    if not rows:
        return []
    head = ["", f"## Goals: DuckDB ÷ rerate, {GOAL_RECORDS:,} records", ""]
    return [*head, "| | wall, goal | wall | peak, goal | peak |", "| --- | --: | --: | --: | --: |", *rows]


def calculator(priced):
    return (
        f"{CALCULATOR} prices each line for itself, duplicates too, and sums nothing: it saw {priced['seen']:,} requests and priced"
        f" {priced['priced']:,};\n{priced['unknown_model']:,} were of a model unknown to it, the rest had no tokens."
    )


def versions(rerate):
    ours = subprocess.run([rerate, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    wanted = (HERE / "requirements.txt").read_text()
    chosen = wanted.split("\n\n")[0].splitlines()
    return ", ".join([ours, *(line.replace("==", " ") for line in chosen if "==" in line)])


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def memory():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


if __name__ == "__main__":
    main()
