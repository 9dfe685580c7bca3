"""The tables of a race, as Markdown of 120 columns at most. race.py measures what is in them."""

import datetime
import os
import textwrap
from pathlib import Path

FORMATS = {
    "jsonl": "JSONL",
    "jsonl.zst": "JSONL.zst",
    "jsonl.gz": "JSONL.gz, one member",
    "members.jsonl.gz": "JSONL.gz, members",
    "parquet": "Parquet",
}
# Prices requests one by one, in Python: many minutes for millions. Of other formats only the unpacking would differ.
CALCULATOR = "genai-prices"
CALCULATOR_RECORDS = 250_000
# What was aimed at for 4,000,000 records: DuckDB's wall time and peak memory as multiples of rerate's.
GOAL_RECORDS = 4_000_000
GOALS = {"jsonl": (6, 10), "jsonl.zst": (5, 10), "parquet": (6, 10)}


def report(versions, rounds, load, races, limits):
    lines = [
        f"# Race of {datetime.date.today()}",
        "",
        *textwrap.wrap(
            f"{versions}. {os.cpu_count()} cores ({processor()}), {memory():.0f} GB of memory, load {load:.1f} before"
            f" the race. Page cache warm; medians of rounds in turn: {rounds}. rerate does the whole job with"
            " publishing, its peers the sums alone; before that their answers were found equal, cell by cell. On the"
            " right, how many times rerate's figure theirs is.",
            width=118,
        ),
    ]
    lines += goals(races)
    for records in dict.fromkeys(race["records"] for race in races):
        of = [race for race in races if race["records"] == records]
        lines += ["", f"## {records:,} records", ""]
        lines += [
            "| format | | wall s | CPU s | peak MB | wall | CPU | peak |",
            "| --- | --- | --: | --: | --: | --: | --: | --: |",
        ]
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
            lines += ["", f"Each counts {' or '.join(f'{count:,}' for count in sorted(cells))} cells."]
        lines += [calculator(race["priced"]) for race in of if race["priced"]]
        if records > CALCULATOR_RECORDS:
            lines.append(f"{CALCULATOR} was not run over this many.")
    if limits:
        lines += ["", "## Limits", ""]
        lines += [f"The log of {records:,} records, nothing made of its bytes. The start of Python is in each.", ""]
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
        f"{CALCULATOR} does another thing: it prices each line for itself, duplicates too, and sums nothing. It saw"
        f" {priced['seen']:,}\nrequests and priced {priced['priced']:,}; {priced['unknown_model']:,} were of a model"
        " unknown to it, the rest had no tokens."
    )


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def memory():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
