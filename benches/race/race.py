"""Runs rerate's whole job and a database's sums over one log, in turn, and prints the ratios.

    python3 benches/race/race.py [--records 4000000] [--rounds 3] [--keep]

Makes the log with `rerate gen --race` (about 599 bytes a record), replays it with publishing, and runs the same sums in
DuckDB (`duckdb_sums.sql`, the best SQL found; default settings, nothing written). The cells of both are compared one
by one before a time is printed (the SQL's sums by second are made, and not compared: rerate publishes none). `--keep` writes the table to `results/` with the date. Needs Rust and Python; what it installs
goes to `target/race`.
"""

import argparse
import datetime
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
WORK = ROOT / "target" / "race"

DUCKDB = """
import duckdb, sys
connection = duckdb.connect()
for statement in connection.extract_statements(open(sys.argv[1]).read().replace("{path}", sys.argv[2])):
    connection.execute(statement)
if len(sys.argv) > 3:
    connection.execute(f"copy cells to '{sys.argv[3]}/cells.parquet'")
"""


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--records", type=int, default=4_000_000, help="length of the log (default 4000000)")
    arguments.add_argument("--rounds", type=int, default=3, help="runs of each, in turn (default 3)")
    arguments.add_argument("--keep", action="store_true", help="write the result to results/ with the date")
    arguments = arguments.parse_args()

    rerate, python = set_up()
    log = make_log(rerate, arguments.records)
    out = WORK / "days"
    shutil.rmtree(out, ignore_errors=True)
    contestants = {
        "rerate": [rerate, "replay", str(log), "--out", str(out), "--replace"],
        "DuckDB": [python, "-c", DUCKDB, str(HERE / "duckdb_sums.sql"), str(log)],
    }
    # The first round warms the page cache and is for the answers.
    measure(contestants["rerate"], allowed=(0, 3))
    answers = WORK / "answers"
    answers.mkdir(exist_ok=True)
    measure([*contestants["DuckDB"], str(answers)])
    cells = compare(python, out, answers)

    runs = {name: [] for name in contestants}
    for _ in range(arguments.rounds):
        for name, command in contestants.items():
            runs[name].append(measure(command, allowed=(0, 3)))
    report(arguments, log, cells, runs, version(rerate, python))


def set_up():
    WORK.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, check=True)
    python = WORK / "venv" / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", WORK / "venv"], check=True)
    requirements = HERE / "requirements.txt"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", requirements], check=True)
    return str(ROOT / "target" / "release" / "rerate"), str(python)


def make_log(rerate, records):
    log = WORK / f"race-{records}.jsonl"
    if not log.exists():
        part = log.with_suffix(".part")
        with part.open("wb") as file:
            subprocess.run([rerate, "gen", "--race", "--records", str(records)], stdout=file, check=True)
        part.rename(log)
    return log


def measure(command, allowed=(0,)):
    """Wall and CPU seconds and peak memory (MB) of a command, as the system counts them."""
    started = datetime.datetime.now()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = (datetime.datetime.now() - started).total_seconds()
    code = os.waitstatus_to_exitcode(status)
    if code not in allowed:
        sys.exit(f"{command[0]} ended with {code}:\n{said.decode(errors='replace')}")
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak": usage.ru_maxrss / 1024}


COMPARE = """
import duckdb, sys, json
days, answers = sys.argv[1:]
connection = duckdb.connect()
connection.execute(f'''
    create table ours as
    select date as day, project_id, model, usage_tier, service_tier,
        case when status = '429' then 'throttled' when status = '499' then 'cancelled' when status >= '500' then 'server_error'
            when status >= '400' then 'client_error' else 'ok' end as outcome,
        context_band as band, meter, modality, sum(quantity)::bigint as quantity
    from '{days}/*/tally.parquet'
    where meter not in ('thoughts', 'total_tokens') and not starts_with(meter, 'requests_')
    group by all''')
connection.execute(f"create table theirs as select day::date as day, * exclude (day) from '{answers}/cells.parquet'")
differences = {
    "only rerate": connection.sql("select * from ours except all select * from theirs").fetchall(),
    "only DuckDB": connection.sql("select * from theirs except all select * from ours").fetchall(),
}
for who, rows in differences.items():
    for row in rows[:5]:
        print(who, row, file=sys.stderr)
[(cells,)] = connection.sql("select count(*) from ours").fetchall()
print(json.dumps({"cells": cells, "differences": sum(map(len, differences.values()))}))
"""


def compare(python, out, answers):
    said = subprocess.run([python, "-c", COMPARE, str(out), str(answers)], stdout=subprocess.PIPE, check=True).stdout
    said = json.loads(said)
    if said["differences"]:
        sys.exit(f"the answers differ in {said['differences']} cells; no time is worth printing")
    return said["cells"]


def version(rerate, python):
    ours = subprocess.run([rerate, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    command = [python, "-c", "import duckdb; print('DuckDB', duckdb.__version__)"]
    theirs = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    return f"{ours}, {theirs}"


def processor():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def report(arguments, log, cells, runs, versions):
    median = {
        name: {key: statistics.median(run[key] for run in of) for key in ("wall", "cpu", "peak")}
        for name, of in runs.items()
    }
    today = datetime.date.today().isoformat()
    size = log.stat().st_size / 1e9
    lines = [
        f"# Race of {today}",
        "",
        f"{arguments.records:,} records, {size:.2f} GB of JSONL, page cache warm; the {cells:,} cells of both agree.",
        f"{versions}; {os.cpu_count()} cores ({processor()}). Medians of {arguments.rounds} runs, in turn. rerate does the whole job",
        "with publishing, DuckDB the sums alone.",
        "",
        "| | wall s | CPU s | peak MB |",
        "| --- | --- | --- | --- |",
    ]
    for name, of in median.items():
        lines.append(f"| {name} | {of['wall']:.2f} | {of['cpu']:.2f} | {of['peak']:,.0f} |")
    ours, theirs = median["rerate"], median["DuckDB"]
    ratios = [f"{theirs[key] / ours[key]:.1f}×" for key in ("wall", "cpu", "peak")]
    lines.append(f"| DuckDB ÷ rerate | {' | '.join(ratios)} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if arguments.keep:
        file = HERE / "results" / f"{today}.md"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)


if __name__ == "__main__":
    main()
