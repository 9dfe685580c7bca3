"""Compares `rerate replay` with the reference on random logs, one a seed.

    python3 tests/reference/compare.py --rerate BIN --books DIR --seeds 1-200 [--records N] [--keep DIR]

Prints each difference with its seed and the lines involved; exits 1 when there is any. Traffic is compared
where pyarrow is installed. With --by-day each window of some seeds is also replayed day by day (see by_day.py).
"""

import argparse
import csv
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from functools import partial
from pathlib import Path

import by_day
import random_log
from books import Accounts, Books
from record import parse_object
from replay import replay, split_lines
from tables import TABLES, TRAFFIC, plain_decimal, printed
from tokens import Refused

try:
    import pyarrow.parquet as parquet
except ImportError:
    parquet = None

WARNINGS = {
    "no_request_id", "total_mismatch", "usage_tier_contradicted", "model_not_offered", "context_window_exceeded",
    "carry_missing",
}  # fmt: skip
READ = ("date", "origin", "line", "request_id", "project_id", "model", "reason")
SUSPENDED = ("date", "project_id", "model", "reason", "meter")
ROWS = ("usage", "charges", "quota", "credits", "accounts", "upgrade", "data_use")
PUBLISHED = (0, 3)
MOST_DAYS = 8


def main():
    arguments = parse_arguments()
    first, last = arguments.seeds
    check = partial(check_seed, arguments)
    passed = failed = 0
    with ProcessPoolExecutor(arguments.processes) as pool:
        for seed, found in pool.map(check, range(first, last + 1)):
            passed, failed = passed + (not found), failed + bool(found)
            for difference in found:
                print(f"seed {seed}: {difference}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


def check_seed(arguments, seed):
    try:
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(arguments.keep or folder) / str(seed)
            return seed, list(differences(seed, arguments, folder))
    except Exception:
        return seed, [traceback.format_exc()]


def differences(seed, arguments, folder):
    """Runs both on the log of a seed and compares table by table."""
    books = Books(arguments.books)
    log = random_log.make(seed, books, arguments.records)
    files = log.files(random.Random(seed))
    run = run_rerate(arguments.rerate, log, files, folder)
    if run.returncode not in PUBLISHED:
        yield f"rerate exited {run.returncode}: {run.stderr.strip()}"
        return
    tables, summary = replay(
        list(files.items()), books, Accounts(log.accounts), log.usage_tier, log.project, log.time_zone, log.window
    )  # fmt: skip
    expected, found = of_reference(tables, summary), of_command(folder / "out")
    if not summary["days"] and not found["records"]:
        return  # Without any day, dated or not, nobody tells what was read.
    for name in expected:
        if found[name] is None:
            yield f"{name}: the command has no such table"
        else:
            yield from compare(name, expected[name], found[name], files, arguments.examples)
    if arguments.by_day and is_replayed_by_day(log):
        yield from by_day.differences(
            arguments.rerate, folder, list(files), flags(log), log.window, folder / "days"
        )


def run_rerate(rerate, log, files, folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "accounts.toml").write_text(log.accounts, encoding="utf-8")
    command = [rerate, "replay", *files, "--out", "out", *flags(log)]
    for flag, day in zip(("--from", "--to"), log.window):
        command += [flag, str(day)] if day is not None else []
    if log.window != (None, None):
        command.append("--allow-empty")
    (folder / "command.txt").write_text(" ".join(repr(word) for word in command) + "\n", encoding="utf-8")
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def flags(log):
    """All that replay is told but logs, folder and window."""
    words = ["--accounts", "accounts.toml"]
    named = {"--usage-tier": log.usage_tier, "--project": log.project, "--time-zone": log.time_zone}
    for flag, value in named.items():
        words += [flag, value] if value is not None else []
    return words


def is_replayed_by_day(log):
    """A window of few days with both ends: no day in it goes unpublished."""
    first, last = log.window
    return first is not None and last is not None and (last - first).days < MOST_DAYS


# --- both as rows of text by key -----------------------------------------------------


def of_reference(tables, summary):
    charge = [row for row in tables["suspense"] if row["stage"] == "charge"]
    return {
        "records": Counter(summary["records"]),
        "not_requests": {name: n for name, n in summary["not_requests"].items() if n},
        "warnings": summary["warnings"],
        "days": {
            day: {k: v for k, v in told.items() if k != "assumptions"}
            for day, told in summary["days"].items()
        },
        "assumptions": by_name({day: told["assumptions"] for day, told in summary["days"].items()}),
        "read": Counter(
            tuple(printed(row.get(name)) for name in READ)
            for row in tables["suspense"]
            if row["stage"] == "read"
        ),
        "suspended": sum_suspended(charge),
        "unknown_cache": Counter(unknown_cache(row) for row in charge if row["reason"] == "unknown_cache"),
        **{name: by_key(name, tables[name]) for name in ROWS},
        "traffic": Counter(tuple(printed(row.get(name)) for name in TRAFFIC) for row in tables["traffic"])
        if parquet
        else Counter(),
    }


def of_command(out):
    days = [folder for folder in out.iterdir() if folder.is_dir() and folder.name != "undated"]
    runs = [read_json(path) for glob in ("*/run.json", "undated/*/run.json") for path in out.glob(glob)]
    suspense = [row for path in sorted(out.glob("**/suspense.csv")) for row in read_csv(path)]
    charge = [row for row in suspense if row["stage"] == "charge"]
    manifests = {day.name: read_json(day / "manifest.json") for day in days}
    warnings = {day: known_warnings(told["warnings"]) for day, told in manifests.items()}
    return {
        "records": Counter(runs[0]["records"]) if runs else Counter(),
        "not_requests": runs[0]["not_requests"] if runs else {},
        "warnings": {day: names for day, names in warnings.items() if names},
        "days": {day: told_of_day(told) for day, told in manifests.items()},
        "assumptions": by_name({day: told["assumptions"] for day, told in manifests.items()}),
        "read": Counter(read_row(row) for row in suspense if row["stage"] == "read"),
        "suspended": sum_suspended(charge),
        "unknown_cache": Counter(unknown_cache(row) for row in charge if row["reason"] == "unknown_cache"),
        **{name: rows_of(days, name) for name in ROWS},
        "traffic": Counter(row for day in days for row in read_traffic(day)) if parquet else Counter(),
    }


def rows_of(days, name):
    """None where no day has the table, as long as there are days."""
    paths = [path for day in days if (path := day / f"{name}.csv").exists()]
    if days and not paths:
        return None
    return by_key(name, (row for path in paths for row in read_csv(path)))


def by_key(name, rows):
    """The rest of each row by its key; a key that comes again, which it mustn't, is told apart."""
    columns, keys = TABLES[name]
    found = {}
    for row in rows:
        key = tuple(printed(row.get(column)) for column in columns[:keys])
        while key in found:
            key = (*key, "again")
        found[key] = {column: cell(column, row.get(column)) for column in columns[keys:]}
    return found


def cell(column, value):
    """Money as a number, so that 0.30 is 0.3."""
    if column.endswith("_usd"):
        return None if value in (None, "") else Fraction(value)
    return printed(value)


def by_name(assumptions):
    return {
        (day, name): {column: cell(column, value) for column, value in told.items()}
        for day, named in assumptions.items()
        for name, told in named.items()
    }


def known_warnings(names):
    return {name: names[name] for name in sorted(WARNINGS & set(names))}


def told_of_day(manifest):
    return {
        "requests": manifest["requests"],
        "hours": {hour: n for hour, n in manifest["hours"].items() if n},
        "first_at": manifest.get("first_at"),
        "last_at": manifest.get("last_at"),
        "quantities": manifest["quantities"],
    }


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))


def read_csv(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_row(row):
    return tuple(Path(row[name]).name if name == "origin" else row[name] for name in READ)


def sum_suspended(rows):
    """Quantity, list cost (None where no price is known), and the caches of storage."""
    sums = defaultdict(lambda: [0, None, 0])
    for row in rows:
        if row["reason"] == "unknown_cache":
            continue
        cell = sums[tuple(printed(row.get(name)) for name in SUSPENDED)]
        cell[0] += int(row["quantity"])
        if row["list_cost_usd"] not in (None, ""):
            cell[1] = (cell[1] or 0) + Fraction(row["list_cost_usd"])
        if row["meter"] == "cache_storage":
            cell[2] += int(row["records"])
    return dict(sums)


def unknown_cache(row):
    names = ("date", "project_id", "model", "reason", "meter", "quantity", "list_cost_usd", "records")
    return (*(printed(row.get(name)) for name in names), plain_detail(row["detail"]))


def plain_detail(detail):
    """The method and the cache name of a detail, in whatever words."""
    method = re.search(r"\b(patch|delete)\b", detail)
    name = re.search(random_log.CACHE_NAME, detail)
    return f"cachedContents.{method and method[1]} {name and name[0]}"


def read_traffic(day):
    for row in parquet.read_table(day / "traffic.parquet").to_pylist():
        row["minute"] = row["minute"].strftime("%Y-%m-%dT%H:%M:%SZ")
        yield tuple(printed(row[name]) for name in TRAFFIC)


# --- differences -----------------------------------------------------------------------


def compare(name, expected, found, files, examples):
    """What only one side has, in short, with the lines that it tells of."""
    missing = [(key, value, found.get(key)) for key, value in expected.items() if found.get(key) != value]
    surplus = [(key, expected.get(key), value) for key, value in found.items() if key not in expected]
    if not missing and not surplus:
        return
    yield f"{name}: {len(missing) + len(surplus)} rows differ"
    for key, wanted, got in (missing + surplus)[:examples]:
        wanted, got = only_differing(wanted, got)
        yield f"  {name} {key}: reference {plain(wanted)}, command {plain(got)}"
        yield from (f"    {line}" for line in evidence(name, key, files))


def only_differing(wanted, got):
    """Of two rows with one key the columns that differ."""
    if not isinstance(wanted, dict) or not isinstance(got, dict):
        return wanted, got
    names = [name for name in wanted | got if wanted.get(name) != got.get(name)]
    pairs = {name: only_differing(wanted.get(name), got.get(name)) for name in names}
    return {name: pair[0] for name, pair in pairs.items()}, {name: pair[1] for name, pair in pairs.items()}


def plain(value):
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return plain_decimal(value) if isinstance(value, Fraction) else str(value)


def evidence(name, key, files):
    """A suspended line, and of one without usage the other lines of its id."""
    if name != "read":
        return
    _, origin, number, request_id, *_, reason = key
    line = split_lines(files[origin])[int(number) - 1]
    yield f"{origin}:{number}: {line[:2000].decode('utf-8', 'replace')}"
    if reason == "missing_usage" and request_id:
        lines = [other for content in files.values() for other in split_lines(content) if other != line]
        same = [other for other in lines if request_id == request_id_of(other)]
        yield from (f"same id: {other[:1000].decode('utf-8', 'replace')}" for other in same[:5])


def request_id_of(line):
    try:
        return parse_object(line).get("request_id")
    except Refused:
        return None


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rerate", required=True, metavar="BIN", type=lambda path: str(Path(path).resolve()))
    parser.add_argument("--books", required=True, metavar="DIR")
    parser.add_argument("--seeds", default="1-200", type=seeds, metavar="A-B")
    parser.add_argument("--records", default=2000, type=int)
    parser.add_argument("--processes", default=2, type=int)
    parser.add_argument("--examples", default=3, type=int, help="differences shown of each table and seed")
    parser.add_argument("--by-day", action="store_true", help="replay short windows day by day as well")
    parser.add_argument("--keep", metavar="DIR", help="where logs and reports of each seed are left")
    return parser.parse_args()


def seeds(text):
    first, _, last = text.partition("-")
    return int(first), int(last or first)


if __name__ == "__main__":
    main()
