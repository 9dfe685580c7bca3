"""A slow second opinion on `rerate replay`, written from the rules alone, for tests.

    lines ─read─▶ requests ─dedupe─▶ winners ─guide─▶ guided ─┬─usage, data use, quota, traffic─▶ CSV
      └────── suspense ──────┘                                └─days─▶ charges, credits, accounts─▶ CSV

It reads canonical JSONL and leaves out what the tests don't compare: published carries (it starts in an
empty folder), explanations in words, and what 429 bodies say. Money is exact (Fraction), time is integers.
"""

import argparse
import csv
import hashlib
import json
from collections import Counter, defaultdict
from datetime import date
from pathlib import Path

from assume import assumptions
from books import Accounts, Books
from data_use import data_use_rows
from days import calendar, walk
from guide import guide
from pacific import day_of, hour_of, printed_instant
from quota import Traffic
from record import (
    CHANNELS,
    SERVICE_TIERS,
    TOOLS,
    USAGE_TIERS,
    AnotherService,
    CacheFacts,
    Settings,
    judge,
    shown,
)  # fmt: skip
from tables import TABLES, USAGE, plain_decimal, printed, sort_rows
from tokens import Refused

BLANK = b" \t\r"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def main():
    arguments = parse_arguments()
    accounts = Accounts(Path(arguments.accounts).read_text(encoding="utf-8") if arguments.accounts else "")
    logs = [(name, Path(name).read_bytes()) for name in arguments.logs]
    tables, summary = replay(
        logs, Books(arguments.books), accounts, arguments.usage_tier, arguments.project,
        arguments.time_zone, (arguments.first_day, arguments.last_day),
    )  # fmt: skip
    write(Path(arguments.out), tables, summary)


def replay(logs, books, accounts, usage_tier=None, project=None, time_zone=None, window=(None, None)):
    """Logs as (name, bytes) to the rows of all tables and the summary."""
    run = Run(window)
    requests = read(logs, Settings(books.methods, project, time_zone), run)
    winners = [guide(r, books, accounts, usage_tier) for r in dedupe(requests, books, run)]
    guided = [g for g in winners if run.in_window(g.day)]
    run.records["requests"] = len(guided)
    for request in guided:
        warn(request, books, run)
    run.days = calendar(window, run.seen(guided), {g.day for g in winners})
    walked = walk(run.days, winners, books, accounts, usage_tier)
    traffic = Traffic(guided)
    tables = {
        "usage": usage_rows(guided),
        "charges": walked["charges"],
        "quota": traffic.quota_rows(books, accounts),
        "suspense": run.suspense + walked["suspense"],
        "traffic": traffic.minute_rows(),
        "credits": walked["credits"],
        "accounts": walked["accounts"],
        "upgrade": traffic.upgrade_rows(books),
        "data_use": data_use_rows(guided, accounts, usage_tier),
    }
    run.balance()
    for name, rows in tables.items():
        sort_rows(name, rows)
    run.describe_days(guided, tables, books, accounts)
    return tables, run.summary()


class Run:
    """What a run counts beside its tables: the first equation, warnings, lines in suspense."""

    def __init__(self, window):
        self.first_day, self.last_day = window
        names = "lines blank not_requests suspended duplicates superseded outside_window requests"
        self.records = dict.fromkeys(names.split(), 0)
        self.warnings = defaultdict(Counter)
        self.suspense = []
        self.days = None
        self.told = {}

    def holds(self, day):
        return (self.first_day is None or self.first_day <= day) and (
            self.last_day is None or day <= self.last_day
        )

    def in_window(self, day):
        """Identity is settled over everything read; the window is applied after."""
        inside = self.holds(day)
        self.records["outside_window"] += not inside
        return inside

    def seen(self, guided):
        """The days inside the window with a request or a suspended line."""
        return {g.day for g in guided} | {row["date"] for row in self.suspense if row["date"] is not None}

    def suspend(self, origin, line, reason, seen):
        """A refused line whose time can be read belongs to that day, else it has none."""
        day = None if seen.instant is None else day_of(seen.instant)
        if day is not None and not self.holds(day):
            self.records["outside_window"] += 1
            return
        self.records["suspended"] += 1
        row = {"date": day, "stage": "read", "origin": origin, "line": line, "reason": reason, "records": 1}
        row |= {"request_id": seen.request_id, "project_id": seen.project_id, "model": seen.model}
        self.suspense.append(row)

    def balance(self):
        """lines = blank + not_requests + suspended + duplicates + superseded + outside_window + requests."""
        parts = sum(self.records.values()) - self.records["lines"]
        assert self.records["lines"] == parts, f"records don't balance: {self.records}"

    def describe_days(self, guided, tables, books, accounts):
        """What the manifest of each published day tells."""
        requests, rows = by_day(guided, lambda g: g.day), {}
        for name in ("charges", "suspense", "quota"):
            rows[name] = by_day(tables[name], lambda row: row["date"])
        for day in sorted(self.days.published):
            charges, suspense = rows["charges"][day], rows["suspense"][day]
            told = describe_day(
                requests[day], charges + [row for row in suspense if row["stage"] == "charge"]
            )
            found = assumptions(requests[day], charges, rows["quota"][day], books, accounts)
            told["assumptions"] = {name: describe_assumption(a) for name, a in sorted(found.items())}
            self.told[str(day)] = told
        first = self.days.carry_missing
        if requests[first]:
            self.warnings[first]["carry_missing"] = len(requests[first])

    def summary(self):
        warnings = {str(day): dict(sorted(names.items())) for day, names in sorted(self.warnings.items())}
        return {
            "records": self.records,
            "not_requests": {"other_service": self.records["not_requests"]},
            "warnings": warnings,
            "days": self.told,
        }


# --- read ------------------------------------------------------------------------


def read(logs, settings, run):
    """Every line to a request, to suspense, or to a count. A file given twice is read once."""
    requests, seen = [], set()
    for origin, data in logs:
        digest = hashlib.sha256(data).digest()
        if digest in seen:
            continue
        seen.add(digest)
        for number, line in enumerate(split_lines(data), 1):
            run.records["lines"] += 1
            if not line.strip(BLANK):
                run.records["blank"] += 1
                continue
            try:
                request = judge(line, settings)
            except AnotherService:
                run.records["not_requests"] += 1
            except Refused as refused:
                run.suspend(origin, number, refused.reason, shown(line, settings))
            else:
                request.origin, request.line = origin, number
                requests.append(request)
    return requests


def split_lines(data):
    lines = data.removeprefix(BYTE_ORDER_MARK).split(b"\n")
    return lines if lines[-1] else lines[:-1]


# --- dedupe ------------------------------------------------------------------------


def dedupe(requests, books, run):
    """Of the records of an identity one counts; the others are superseded, duplicates or suspended."""
    groups, winners = defaultdict(list), []
    for request in requests:
        groups[identity(request)].append(request)
    for group in groups.values():
        with_usage = [r for r in group if not r.usage_less]
        settle_usage_less([r for r in group if r.usage_less], with_usage, run)
        if with_usage:
            winner = max(with_usage, key=lambda request: rank(request, books))
            winners.append(winner)
            for other in with_usage:
                if other is not winner:
                    same = other.facts() == winner.facts()
                    run.records["duplicates" if same else "superseded"] += 1
    return winners


def identity(request):
    """Project and request id; of a failed request with status and timestamp, since a retry is its own."""
    if request.request_id is None:
        return (request.origin, request.line)
    name = (request.project_id, request.request_id, request.went_well)
    return name if request.went_well else (*name, request.status, request.instant)


def rank(request, books):
    """The last by timestamp, then the greatest total (a create's tokens), cached, output, the later expiry, the
    greater name of a cache, and the remaining facts in this order.
    """
    tokens, cache = request.tokens, request.cache or CacheFacts(None, None, None)
    total = cache.tokens if request.method == "cachedContents.create" else tokens.total
    return (
        request.instant, total or 0, tokens.cached, tokens.output,
        cache.expires is not None, cache.expires or 0, cache.name or "",
        request.project_id, request.model or "",
        "" if request.tuned else request.model_version or "", request.base_model or "" if request.tuned else "",
        list(books.methods).index(request.method), 0 if request.status == "failed" else request.status,
        SERVICE_TIERS.index(request.service_tier), (None, *USAGE_TIERS).index(request.usage_tier),
        CHANNELS.index(request.channel), TOOLS.index(request.tools_seen),
        tokens.total_mismatch, tokens.total is not None,
    )  # fmt: skip


def settle_usage_less(usage_less, with_usage, run):
    """missing_usage where no record of the identity has usage, else superseded by one that has."""
    for request in usage_less:
        if with_usage:
            run.records["superseded"] += 1
        else:
            run.suspend(request.origin, request.line, "missing_usage", request)


# --- warnings ----------------------------------------------------------------------


def warn(guided, books, run):
    """no_request_id, total_mismatch, and the evidence against the books (section 5)."""
    request, names = guided.request, []
    if request.request_id is None:
        names.append("no_request_id")
    if request.tokens.total_mismatch:
        names.append("total_mismatch")
    if guided.in_inference and request.went_well:
        names += evidence(guided, books)
    if names:
        run.warnings[guided.day].update(names)


def evidence(guided, books):
    request = guided.request
    logged, base = books.models.get(request.model), books.models.get(guided.base_model)
    if request.channel == "api" and guided.usage_tier == "free" and base and base.free_tier == "no":
        yield "usage_tier_contradicted"
    if logged and not offered(logged, guided.day):
        yield "model_not_offered"
    if base and base.context_window is not None and request.tokens.prompt > base.context_window:
        yield "context_window_exceeded"


def offered(model, day):
    return not (model.released and day < model.released) and not (model.retired and day > model.retired)


# --- usage ------------------------------------------------------------------------


def usage_rows(guided):
    """One row per key, all requests in it: failed ones and methods without tokens too."""
    sums = defaultdict(Counter)
    for g in guided:
        request, tokens = g.request, g.request.tokens
        key = (
            g.day, request.project_id, request.model, g.base_model, request.method, g.usage_tier,
            g.pricing_tier, request.service_tier, request.channel, g.outcome.name,
        )  # fmt: skip
        sums[key].update(
            requests=1,
            input_tokens=tokens.prompt - tokens.cached,
            input_tokens_cached=tokens.cached,
            input_tokens_tool=tokens.tool,
            output_tokens=tokens.output,
            output_tokens_thoughts=tokens.thoughts,
            total_tokens=tokens.total or 0,
        )
    return [dict(zip(USAGE, key)) | dict(values) for key, values in sums.items()]


# --- days -------------------------------------------------------------------------


def by_day(things, day):
    groups = defaultdict(list)
    for thing in things:
        groups[day(thing)].append(thing)
    return groups


def describe_day(guided, rows):
    """Requests by Pacific hour, the first and last, the second equation."""
    instants = [g.request.instant for g in guided]
    return {
        "requests": len(instants),
        "hours": dict(Counter(hour_of(instant) for instant in instants)),
        "first_at": printed_instant(min(instants)) if instants else None,
        "last_at": printed_instant(max(instants)) if instants else None,
        "quantities": day_quantities(rows),
    }


def day_quantities(rows):
    meters = defaultdict(lambda: {"tallied": 0, "charged": 0, "suspended": 0})
    for row in rows:
        if row.get("meter") is not None:
            meters[row["meter"]]["tallied"] += row["quantity"]
            meters[row["meter"]]["suspended" if row.get("reason") else "charged"] += row["quantity"]
    return dict(meters)


def describe_assumption(assumption):
    high = None if assumption.high is None else plain_decimal(assumption.high)
    return {
        "requests": assumption.requests,
        "rated_cost_usd": plain_decimal(assumption.rated),
        "low_usd": plain_decimal(assumption.low),
        "high_usd": high,
    }


# --- write ------------------------------------------------------------------------


def write(folder, tables, summary):
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in tables.items():
        columns, _ = TABLES[name]
        with open(folder / f"{name}.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows([printed(row.get(column)) for column in columns] for row in rows)
    text = json.dumps(summary, indent=2, sort_keys=True, ensure_ascii=False)
    (folder / "summary.json").write_text(text + "\n", encoding="utf-8")


# --- the command line ------------------------------------------------------------------


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--books", required=True, metavar="DIR")
    parser.add_argument("--accounts", metavar="FILE")
    parser.add_argument("--usage-tier", choices=USAGE_TIERS)
    parser.add_argument("--project")
    parser.add_argument("--time-zone", metavar="TZ")
    parser.add_argument("--from", dest="first_day", type=date.fromisoformat, metavar="DAY")
    parser.add_argument("--to", dest="last_day", type=date.fromisoformat, metavar="DAY")
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("logs", nargs="+", metavar="LOG.jsonl")
    return parser.parse_args()


if __name__ == "__main__":
    main()
