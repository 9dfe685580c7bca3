"""Runs rerate's whole job and its peers' sums over the same logs, in turn, and prints the ratios.

    python3 benches/race/race.py --records 20000 --rounds 1                  a look, in a minute
    python3 benches/race/race.py --keep --page                               the whole race, an hour or so
    python3 benches/race/race.py --records 4000000 --formats jsonl --peers DuckDB

The log is made by `rerate gen --race` (about 599 bytes a record) and packed in each format. rerate replays it with
publishing, the peers (peers/) do the sums alone and write nothing. All cells are compared one by one before a time is
printed; the first run of each is for that, warms the page cache and isn't timed. Needs Rust and Python 3.11; what it
installs and makes is in target/race, 4 GB for 4,000,000 records.
"""

import argparse
import datetime
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from report import CALCULATOR, CALCULATOR_RECORDS, FORMATS, report

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "target" / "race"
PYTHON = WORK / "venv" / "bin" / "python"
PAGE = ROOT / "docs" / "performance.md"

PEERS = {
    "DuckDB": "duckdb",
    "Polars": "polars",
    "ClickHouse": "clickhouse",
    "DataFusion": "datafusion",
    "genai-prices": "genai_prices",
}
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
    for records in sorted(arguments.records):
        log = make_log(rerate, records)
        for format in arguments.formats:
            races.append(race(arguments, rerate, records, format, pack(log, records, format)))
    limits = measure_limits(arguments, log, records) if arguments.limits else []
    text = report(versions(arguments, rerate), arguments.rounds, load, races, limits)
    print(text)
    if arguments.keep:
        file = HERE / "results" / f"{datetime.datetime.now():%Y-%m-%d-%H%M}.md"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    if arguments.page:
        before, _, after = PAGE.read_text().split("<!-- race -->\n")
        section = re.sub("^#", "##", text, flags=re.MULTILINE)
        PAGE.write_text(f"{before}<!-- race -->\n{section}<!-- race -->\n{after}")


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
    add(
        "--records",
        type=several(int),
        default=[250_000, 1_000_000, 4_000_000],
        help="lengths of the log (default 250000,1000000,4000000)",
    )
    add(
        "--formats",
        type=several(str, FORMATS),
        default=list(FORMATS),
        help=f"some of {','.join(FORMATS)} (default all)",
    )
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
        subprocess.run(
            [PYTHON, "-m", "pip", "install", "--quiet", "--requirement", HERE / "requirements.txt"], check=True
        )
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
            subprocess.run(
                [rerate, "gen", "--race", "--records", str(records)], stdout=file, stderr=subprocess.DEVNULL, check=True
            )
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
    return {
        "records": records,
        "format": format,
        "bytes": log.stat().st_size,
        "cells": cells,
        "priced": priced,
        "medians": medians,
    }


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


def versions(arguments, rerate):
    """Of rerate and of what the first block of requirements.txt chooses."""
    ours = subprocess.run([rerate, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    if not arguments.rerate:
        commit = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
        ours += " at " + subprocess.run(commit, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    chosen = (HERE / "requirements.txt").read_text().split("\n\n")[0].splitlines()
    return ", ".join([ours, *(line.replace("==", " ") for line in chosen if "==" in line)])


if __name__ == "__main__":
    main()
