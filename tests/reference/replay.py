"""A slow second opinion on `rerate replay`, written from the rules alone, for tests.

    lines ─read─▶ requests ─dedupe─▶ winners ─guide─▶ guided ─┬─usage, charges─▶ CSV
      └────── suspense ──────┘                                └─traffic, quota─▶ CSV

It reads canonical JSONL and leaves out what the tests don't compare: allowances, credits, cache
storage, eligibility, data use and what 429 bodies say. Money is exact (Fraction), time is integers.
"""

import argparse
import csv
import hashlib
import json
from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import date, datetime, timezone
from fractions import Fraction
from pathlib import Path
from unicodedata import category
from zoneinfo import ZoneInfo

from books import TUNED, Accounts, Books
from record import (
    CHANNELS,
    SERVICE_TIERS,
    TOOLS,
    USAGE_TIERS,
    AnotherService,
    Request,
    Settings,
    judge,
    shown,
)  # fmt: skip
from tokens import Refused

PACIFIC = ZoneInfo("America/Los_Angeles")
BLANK = b" \t\r"
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

USAGE = (
    "date", "project_id", "model", "base_model", "method", "usage_tier", "pricing_tier", "service_tier",
    "channel", "outcome", "requests", "input_tokens", "input_tokens_cached", "input_tokens_tool",
    "output_tokens", "output_tokens_thoughts", "total_tokens",
)  # fmt: skip
CHARGES = (
    "date", "project_id", "billing_account", "model", "base_model", "usage_tier", "pricing_tier",
    "service_tier", "channel", "price_above_prompt_tokens", "meter", "modality", "exempt", "quantity", "per",
    "unit_price_usd", "list_cost_usd", "rated_cost_usd", "price_from", "price_citation",
)  # fmt: skip
QUOTA = (
    "date", "project_id", "quota_model", "usage_tier", "requests", "requests_counted", "requests_throttled",
    "rpd_limit", "rpd_used", "rpm_limit", "rpm_peak", "rpm_peak_at", "rpm_peak_minute", "rpm_over_seconds",
    "tpm_limit", "tpm_peak", "tpm_peak_at", "tpm_peak_minute", "tpm_over_seconds", "tpd_limit", "tpd_used",
)  # fmt: skip
SUSPENSE = (
    "date", "stage", "origin", "line", "request_id", "project_id", "model", "reason", "detail", "meter",
    "quantity", "list_cost_usd", "records",
)  # fmt: skip
TRAFFIC = (
    "date", "project_id", "quota_model", "usage_tier", "minute", "requests", "requests_counted",
    "requests_throttled", "input_tokens",
)  # fmt: skip

# Columns, and how many of the first ones are the key that rows are sorted by.
TABLES = {
    "usage": (USAGE, 10),
    "charges": (CHARGES, 13),
    "quota": (QUOTA, 4),
    "suspense": (SUSPENSE, 10),
    "traffic": (TRAFFIC, 5),
}


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
    winners = [r for r in dedupe(requests, books, run) if run.in_window(r)]
    run.records["requests"] = len(winners)
    guided = [guide(request, books, accounts, usage_tier) for request in winners]
    for request in guided:
        warn(request, books, run)
    charges, suspended = charge(guided, books, accounts)
    traffic = Traffic(guided)
    tables = {
        "usage": usage_rows(guided),
        "charges": charges,
        "quota": traffic.quota_rows(books, accounts),
        "suspense": run.suspense + suspended,
        "traffic": traffic.minute_rows(),
    }
    run.days = days(guided, charges + suspended)
    run.balance()
    for name, rows in tables.items():
        columns, keys = TABLES[name]
        rows.sort(key=lambda row: sort_key([row.get(column) for column in columns[:keys]]))
    return tables, run.summary()


class Run:
    """What a run counts beside its tables: the first equation, warnings, lines in suspense."""

    def __init__(self, window):
        self.first_day, self.last_day = window
        names = "lines blank not_requests suspended duplicates superseded outside_window requests"
        self.records = dict.fromkeys(names.split(), 0)
        self.warnings = defaultdict(Counter)
        self.suspense = []
        self.days = {}

    def holds(self, day):
        return (self.first_day is None or self.first_day <= day) and (
            self.last_day is None or day <= self.last_day
        )

    def in_window(self, request):
        """Identity is settled over everything read; the window is applied after."""
        inside = self.holds(day_of(request.instant))
        self.records["outside_window"] += not inside
        return inside

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

    def summary(self):
        warnings = {str(day): dict(sorted(names.items())) for day, names in sorted(self.warnings.items())}
        return {
            "records": self.records,
            "not_requests": {"other_service": self.records["not_requests"]},
            "warnings": warnings,
            "days": self.days,
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
    """The last by timestamp, then the greatest total, cached, output, and the remaining facts in this order."""
    tokens = request.tokens
    return (
        request.instant, tokens.total or 0, tokens.cached, tokens.output,
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


# --- guide ------------------------------------------------------------------------


@dataclass
class Guided:
    """A request with what books and accounts say of it."""

    request: Request
    day: date
    usage_tier: str
    base_model: str | None
    band: int
    method: object
    outcome: object
    quota_model: str | None

    @property
    def pricing_tier(self):
        return {"free": "free", "unknown": "unknown"}.get(self.usage_tier, "paid")

    @property
    def in_inference(self):
        return self.method.kind == "inference"


def guide(request, books, accounts, usage_tier):
    """The record's own usage tier wins, then the accounts file's and the command line's."""
    day = day_of(request.instant)
    own = request.usage_tier or accounts.usage_tier(request.project_id, request.instant, usage_tier)
    base_model = find_base_model(request, books, accounts, day)
    # Q1. Counted under the model as logged where the limit book knows that, else under its base.
    own_quota = request.model and books.has_own_quota(request.model, own, day)
    return Guided(
        request=request,
        day=day,
        usage_tier=own,
        base_model=base_model,
        band=books.context_band(request.tokens.prompt),
        method=books.methods[request.method],
        outcome=books.outcome(request.status),
        quota_model=request.model if own_quota else base_model,
    )


def find_base_model(request, books, accounts, day):
    """C5 and section 3: a tuned model's base is named; another's is what answered, when known."""
    model = request.model
    if request.tuned:
        start = request.base_model or accounts.tuned_models.get(model) or model
    else:
        version = request.model_version
        start = version if version and books.knows_model(version) else model
    return start and books.follow_aliases(start, day)


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


# --- charge ------------------------------------------------------------------------


def charge(guided, books, accounts):
    """C1 to C7, C10, C11: every quantity is charged, exempt or suspended once."""
    charged, suspended, tallied = {}, {}, Counter()
    for g in guided:
        for (meter, modality), quantity in quantities(g).items():
            tallied[meter] += quantity
            line = price_line(g, books, meter, modality)
            exempt = find_exempt(g, meter)
            reason = None if exempt else find_reason(g, books, meter, line)
            if reason:
                add_suspended(suspended, g, reason, meter, quantity, line)
            else:
                add_charge(charged, g, accounts, (meter, modality, exempt), quantity, line)
    charges = [charge_row(key, *cell) for key, cell in charged.items()]
    suspense = [suspense_row(key, *cell) for key, cell in suspended.items()]
    balance_quantities(tallied, charges, suspense)
    return charges, suspense


def quantities(guided):
    """C6. Only of methods that are billed; by meter and modality, `any` for what has no token."""
    if not guided.method.billed:
        return {}
    others = {(meter, "any"): n for meter, n in guided.request.quantities.items()}
    return guided.request.tokens.meters | others


def price_line(guided, books, meter, modality):
    """C1 and C7. Unexplained tokens never have a price."""
    if meter == "unexplained":
        return None
    tier = guided.request.service_tier
    return books.price(guided.base_model, tier, meter, modality, guided.band, guided.day)


def find_exempt(guided, meter):
    """The first that holds of C3, C4, C2, C11."""
    if not guided.outcome.charged:
        return "C3"
    if guided.request.channel == "ai_studio":
        return "C4"
    if guided.usage_tier == "free":
        return "C2"
    if meter == "input_tool" and guided.request.tools_seen == "google_search":
        return "C11"
    return None


def find_reason(guided, books, meter, line):
    """C10. Why a quantity that isn't exempt can't be charged, in the order of section 3."""
    if meter == "unexplained":
        return "unexplained_tokens"
    if guided.usage_tier == "unknown":
        return "unknown_usage_tier"
    if guided.request.tuned and guided.base_model.startswith(TUNED):
        return "unknown_base_model"
    if guided.base_model not in books.priced_models:
        return "unknown_model"
    return None if line else "unknown_price"


def add_charge(charged, guided, accounts, what, quantity, line):
    request = guided.request
    key = (
        guided.day, request.project_id, accounts.billing_accounts.get(request.project_id), request.model,
        guided.base_model, guided.usage_tier, guided.pricing_tier, request.service_tier, request.channel,
        line.above_prompt_tokens if line else None, *what,
    )  # fmt: skip
    before, known = charged.get(key, (0, line))
    assert known == line, f"one key, two prices: {key}"
    charged[key] = (before + quantity, line)


def charge_row(key, quantity, line):
    """List cost is quantity × price all the same; an exempt quantity's rated cost is 0."""
    row = dict(zip(CHARGES, key)) | {"quantity": quantity, "rated_cost_usd": Fraction(0)}
    if line:
        row["per"] = line.per
        row["unit_price_usd"] = line.usd
        row["list_cost_usd"] = list_cost(quantity, line)
        row["price_from"] = line.since
        row["price_citation"] = line.citation
    if row["exempt"] is None:
        row["rated_cost_usd"] = row["list_cost_usd"]
    return row


def add_suspended(suspended, guided, reason, meter, quantity, line):
    key = (guided.day, guided.request.project_id, guided.request.model, reason, meter)
    before, cost = suspended.get(key, (0, None))
    if line:
        cost = (cost or 0) + list_cost(quantity, line)
    suspended[key] = (before + quantity, cost)


def suspense_row(key, quantity, cost):
    day, project_id, model, reason, meter = key
    return {
        "date": day, "stage": "charge", "project_id": project_id, "model": model, "reason": reason,
        "meter": meter, "quantity": quantity, "list_cost_usd": cost,
    }  # fmt: skip


def list_cost(quantity, line):
    return quantity * line.usd / line.per


def balance_quantities(tallied, charges, suspense):
    """Per meter: tallied = charged (exempt included) + suspended."""
    accounted = Counter()
    for row in charges + suspense:
        accounted[row["meter"]] += row["quantity"]
    assert tallied == accounted, f"quantities don't balance: {tallied} {accounted}"


# --- days -------------------------------------------------------------------------


def days(guided, rows):
    """What a day's manifest tells: requests by Pacific hour, the first and last, the second equation."""
    told = {}
    for day in sorted({g.day for g in guided}):
        instants = [g.request.instant for g in guided if g.day == day]
        told[str(day)] = {
            "requests": len(instants),
            "hours": dict(Counter(hour_of(instant) for instant in instants)),
            "first_at": printed_instant(min(instants)),
            "last_at": printed_instant(max(instants)),
            "quantities": day_quantities([row for row in rows if row["date"] == day]),
        }
    return told


def hour_of(instant):
    """The begin of an instant's hour, with the offset that Pacific clocks had."""
    hour = datetime.fromtimestamp(instant // 10**9 // 3600 * 3600, PACIFIC)
    return hour.isoformat(timespec="minutes")


def printed_instant(instant):
    second, fraction = divmod(instant, 10**9)
    text = datetime.fromtimestamp(second, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{fraction:09}".rstrip("0") if fraction else "") + "Z"


def day_quantities(rows):
    meters = defaultdict(lambda: {"tallied": 0, "charged": 0, "suspended": 0})
    for row in rows:
        meters[row["meter"]]["tallied"] += row["quantity"]
        meters[row["meter"]]["suspended" if row.get("reason") else "charged"] += row["quantity"]
    return dict(meters)


# --- quota ------------------------------------------------------------------------


class Traffic:
    """Q2, Q3, Q6, Q8: requests of counted methods by second, batch aside; throttled ones apart.

    A second holds [requests, counted, throttled, input tokens of the counted].
    """

    def __init__(self, guided):
        self.rows = defaultdict(lambda: defaultdict(lambda: [0, 0, 0, 0]))
        for g in guided:
            if g.method.counted and g.request.service_tier != "batch":
                key = (g.day, g.request.project_id, g.quota_model, g.usage_tier)
                cell = self.rows[key][g.request.instant // 10**9]
                counted = g.outcome.counted
                input_tokens = g.request.tokens.prompt + g.request.tokens.tool
                add(cell, [1, counted, g.outcome.name == "throttled", counted * input_tokens])

    def minute_rows(self):
        minutes = defaultdict(lambda: [0, 0, 0, 0])
        for key, seconds in self.rows.items():
            for second, cell in seconds.items():
                add(minutes[*key, Instant(second // 60 * 60)], cell)
        return [dict(zip(TRAFFIC, (*key, *cell))) for key, cell in minutes.items()]

    def quota_rows(self, books, accounts):
        return [self.quota_row(key, seconds, books, accounts) for key, seconds in self.rows.items()]

    def quota_row(self, key, seconds, books, accounts):
        """Q1 to Q9, but for what a 429 body says."""
        limits = {m: find_limit(books, accounts, key, m) for m in ("rpd", "rpm", "tpm", "tpd")}
        requests, counted, throttled, _ = (sum(column) for column in zip(*seconds.values()))
        used = self.used_of_day(key, max(seconds))
        row = dict(zip(QUOTA, (*key, requests, counted, throttled)))
        row |= {f"{metric}_limit": limit for metric, limit in limits.items()}
        row |= {"rpd_used": used[1], "tpd_used": used[3]}
        by_second = {second: cell for second, cell in sorted(seconds.items()) if cell[1]}
        row |= peaks("rpm", {s: cell[1] for s, cell in by_second.items()}, limits["rpm"])
        row |= peaks("tpm", {s: cell[3] for s, cell in by_second.items()}, limits["tpm"])
        return row

    def used_of_day(self, key, last_second):
        """Q5. What the day counted up to the row's last request, over usage tiers."""
        total = [0, 0, 0, 0]
        for other, seconds in self.rows.items():
            if other[:3] == key[:3]:
                for second, cell in seconds.items():
                    if second <= last_second:
                        add(total, cell)
        return total


def find_limit(books, accounts, key, metric):
    """Q9. By day; the accounts file's own limits win; None when nothing says, 0 when not offered."""
    day, project_id, quota_model, usage_tier = key
    own = accounts.limits.in_force((project_id, quota_model, metric), day)
    return books.limits.in_force((quota_model, usage_tier, metric), day) if own is None else own


def peaks(metric, by_second, limit):
    """Q7. Highest sums over any 60 seconds and over calendar minutes, of the seconds that count."""
    seconds, totals = list(by_second), [0]
    for amount in by_second.values():
        totals.append(totals[-1] + amount)

    def window(first):
        """The sum from a second on, 60 seconds long."""
        return totals[bisect_right(seconds, first + 59)] - totals[bisect_right(seconds, first - 1)]

    peak = max((window(second) for second in seconds), default=0)
    begins = [Instant(second) for second in seconds if window(second) == peak] if peak else []
    minutes = Counter()
    for second, amount in by_second.items():
        minutes[second // 60] += amount
    over = None if limit is None else sum(window(second - 59) > limit for second in seconds)
    return {
        f"{metric}_peak": peak,
        f"{metric}_peak_at": begins[0] if begins else None,
        f"{metric}_peak_minute": max(minutes.values(), default=0),
        f"{metric}_over_seconds": over,
    }


def add(cell, other):
    for i, value in enumerate(other):
        cell[i] += value


# --- write ------------------------------------------------------------------------


class Instant(int):
    """Seconds since 1970, printed as an instant."""


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


def printed(value):
    """A cell: empty for null, instants in UTC, money as a plain decimal, control characters visible."""
    if value is None:
        return ""
    if isinstance(value, Instant):
        return datetime.fromtimestamp(value, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = plain_decimal(value) if isinstance(value, Fraction) else str(value)
    return "".join(f"\\u{{{ord(c):x}}}" if category(c) == "Cc" else c for c in text)


def plain_decimal(value):
    """Exact, without trailing zeros."""
    scale = 0
    while (value * 10**scale).denominator != 1:
        scale += 1
        assert scale < 60, f"{value} has no end as a decimal"
    digits = str(abs(int(value * 10**scale))).rjust(scale + 1, "0")
    sign = "-" if value < 0 else ""
    return sign + (f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits)


def day_of(instant):
    """Q4. The calendar day in Los Angeles."""
    return datetime.fromtimestamp(instant // 10**9, PACIFIC).date()


def sort_key(values):
    """Nulls first; strings by bytes, which for UTF-8 is by code points."""
    return [(value is not None, 0 if value is None else value) for value in values]


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
