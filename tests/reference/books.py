"""The books: dated facts in CSV files, and the user's accounts file (design sections 5 to 7).

Looks facts up; decides nothing about a request.
"""

import csv
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from fractions import Fraction
from pathlib import Path

TUNED = "tunedModels/"

# A meter that falls back on another where it has no price of its own (C1).
PRICED_AS = {"input_tool": "input", "input_cached": "input", "output_thinking": "output"}


@dataclass(frozen=True)
class PriceLine:
    """One line of prices.csv: `usd` for `per` units."""

    above_prompt_tokens: int
    usd: Fraction
    per: int
    since: date
    citation: str


@dataclass(frozen=True)
class Method:
    name: str
    kind: str
    billed: bool
    counted: bool
    assumed: bool


@dataclass(frozen=True)
class Outcome:
    name: str
    charged: bool
    counted: bool
    assumed: bool


@dataclass(frozen=True)
class Allowance:
    """One line of allowances.csv for one of its models."""

    pool: str
    quantity: int
    period: str


@dataclass(frozen=True)
class Criteria:
    """One line of tiers.csv: what a usage tier asks for, and its monthly cap."""

    min_spend_usd: Fraction
    min_days: int
    monthly_cap_usd: Fraction | None


@dataclass(frozen=True)
class Model:
    released: date | None
    retired: date | None
    free_tier: str
    context_window: int | None


class Dated:
    """Facts that hold from a day on: the newest `from` on or before a day is in force."""

    def __init__(self):
        self.lines = defaultdict(dict)

    def add(self, key, since, fact):
        if since in self.lines[key]:
            raise SystemExit(f"two lines for {key} from {since}")
        self.lines[key][since] = fact

    def in_force(self, key, day):
        past = [since for since in self.lines.get(key, ()) if since <= day]
        return self.lines[key][max(past)] if past else None

    def knows(self, key):
        return key in self.lines


class Books:
    """All books of a run but the accounts file."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.read_prices()
        self.read_limits()
        self.read_aliases()
        self.read_allowances()
        self.read_criteria()
        self.models = {row["model"]: read_model(row) for row in self.rows("models.csv")}
        self.methods = {row["method"]: read_method(row) for row in self.rows("methods.csv")}
        self.outcomes = [read_outcome(row) for row in self.rows("outcomes.csv")]

    def rows(self, name):
        with open(self.folder / name, encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    def read_prices(self):
        schedules = defaultdict(dict)
        self.priced_models = set()
        self.thresholds = {0}
        for row in self.rows("prices.csv"):
            key = (row["model"], row["service_tier"], row["meter"], row["modality"])
            line = PriceLine(
                int(row["above_prompt_tokens"]),
                Fraction(row["usd"]),
                int(row["per"]),
                date.fromisoformat(row["from"]),
                row["citation"],
            )
            schedules[key, line.since][line.above_prompt_tokens] = line
            self.priced_models.add(row["model"])
            self.thresholds.add(line.above_prompt_tokens)
        self.schedules = Dated()
        for (key, since), lines in schedules.items():
            self.schedules.add(key, since, lines)

    def read_limits(self):
        self.limits = Dated()
        for row in self.rows("limits.csv"):
            key = (row["model"], row["usage_tier"], row["metric"])
            self.limits.add(key, date.fromisoformat(row["from"]), int(row["value"]))

    def read_aliases(self):
        self.aliases = Dated()
        for row in self.rows("aliases.csv"):
            self.aliases.add(row["alias"], date.fromisoformat(row["from"]), row["model"])

    def read_allowances(self):
        self.allowances = Dated()
        for row in self.rows("allowances.csv"):
            line = Allowance(row["pool"], int(row["quantity"]), row["period"])
            for model in row["models"].split():
                self.allowances.add((model, row["meter"]), date.fromisoformat(row["from"]), line)

    def read_criteria(self):
        self.criteria = Dated()
        for row in self.rows("tiers.csv"):
            cap = Fraction(row["monthly_cap_usd"]) if row["monthly_cap_usd"] else None
            line = Criteria(Fraction(row["min_spend_usd"]), int(row["min_days"]), cap)
            self.criteria.add(row["usage_tier"], date.fromisoformat(row["from"]), line)

    # --- prices ---------------------------------------------------------------

    def context_band(self, prompt_tokens):
        """The highest threshold of the whole price book that the prompt exceeds, or 0."""
        return max(t for t in self.thresholds if t == 0 or prompt_tokens > t)

    def price(self, base_model, service_tier, meter, modality, band, day):
        """C1. The price line of a quantity: its own meter's, else of the meter it falls back on."""
        for tried in (meter, PRICED_AS.get(meter)):
            line = tried and self.price_of_meter(base_model, service_tier, tried, modality, band, day)
            if line:
                return line
        return None

    def price_of_meter(self, base_model, service_tier, meter, modality, band, day):
        """An own line wins over `any`: service tier first, then modality."""
        for tier in (service_tier, "any"):
            for kind in (modality, "any"):
                schedule = self.schedules.in_force((base_model, tier, meter, kind), day) or {}
                # A threshold of the book is exceeded exactly when it is not above the band.
                held = [above for above in schedule if above <= band]
                if held:
                    return schedule[max(held)]
        return None

    # --- names ----------------------------------------------------------------

    def knows_model(self, name):
        return name in self.models or self.aliases.knows(name)

    def follow_aliases(self, name, day):
        seen = set()
        while name not in seen:
            seen.add(name)
            name = self.aliases.in_force(name, day) or name
        return name

    # --- requests -------------------------------------------------------------

    def outcome(self, status):
        """The line of outcomes.csv for an HTTP status or `failed`."""
        for first, last, outcome in self.outcomes:
            if status == first or (status != "failed" and first != "failed" and first <= status <= last):
                return outcome
        raise SystemExit(f"outcomes.csv has no line for status {status}")

    def has_own_quota(self, model, usage_tier, day):
        """Q1. Whether the limit book has an rpm, tpm or rpd line for the name and usage tier."""
        return any(
            self.limits.in_force((model, usage_tier, metric), day) is not None
            for metric in ("rpm", "tpm", "rpd")
        )


def read_model(row):
    return Model(
        day_or_none(row["released"]),
        day_or_none(row["retired"]),
        row["free_tier"],
        int(row["context_window"]) if row["context_window"] else None,
    )


def read_method(row):
    counted = row["counts_against_quota"] == "yes"
    return Method(row["method"], row["kind"], row["billed"] == "yes", counted, row["basis"] == "assumed")


def read_outcome(row):
    bounds = [b if b == "failed" else int(b) for b in (row["status_from"], row["status_to"])]
    counted = row["counts_against_quota"] == "yes"
    charged, assumed = row["charged"] == "yes", row["basis"] == "assumed"
    return (*bounds, Outcome(row["outcome"], charged, counted, assumed))


def day_or_none(text):
    return date.fromisoformat(text) if text else None


def plain_model(name):
    """Everything up to and with the last `models/` comes off; `tunedModels/…` stays whole."""
    if name.startswith(TUNED):
        return name
    return name.rpartition("models/")[2]


# --- accounts ------------------------------------------------------------------

ACCOUNT_KEYS = {
    "": {"default_usage_tier", "allowance_scope", "billing_accounts", "projects", "tuned_models"},
    "billing_accounts": {"id", "first_payment", "spent_before", "monthly_cap_usd", "credits"},
    "credits": {"name", "usd", "from", "until"},
    "projects": {"id", "billing_account", "usage_tiers", "limits"},
    "usage_tiers": {"usage_tier", "from"},
    "limits": {"model", "metric", "value", "from"},
    "tuned_models": {"model", "base"},
}


@dataclass(frozen=True)
class Credit:
    """Money granted, for the days from `since` to `until`; either may be missing."""

    name: str
    usd: Fraction
    since: date | None
    until: date | None

    def holds(self, day):
        return (self.since is None or self.since <= day) and (self.until is None or day <= self.until)


@dataclass(frozen=True)
class BillingAccount:
    """A billing account; one that only a project names has nothing but its id."""

    first_payment: date | None = None
    spent_before: Fraction = Fraction(0)
    monthly_cap_usd: Fraction | None = None
    credits: tuple = ()


class Accounts:
    """The user's own book: projects, their usage tiers and limits, tuned models (section 7)."""

    def __init__(self, text=""):
        book = tomllib.loads(text)
        refuse_unknown_keys(book, "")
        self.default_usage_tier = book.get("default_usage_tier")
        self.allowance_scope = book.get("allowance_scope")
        self.billing_accounts = {
            entry["id"]: read_billing_account(entry) for entry in book.get("billing_accounts", [])
        }
        self.projects = []
        self.account_of = {}
        self.timelines = {}
        self.limits = Dated()
        for project in book.get("projects", []):
            self.read_project(project)
        self.tuned_models = {
            plain_model(line["model"]): plain_model(line["base"]) for line in book.get("tuned_models", [])
        }

    def read_project(self, project):
        name = project["id"]
        self.projects.append(name)
        if "billing_account" in project:
            self.account_of[name] = project["billing_account"]
            self.billing_accounts.setdefault(project["billing_account"], BillingAccount())  # only named
        timeline = [(instant_ns(line["from"]), line["usage_tier"]) for line in project.get("usage_tiers", [])]
        if timeline:
            self.timelines[name] = sorted(timeline)
        for line in project.get("limits", []):
            self.limits.add((name, plain_model(line["model"]), line["metric"]), line["from"], line["value"])

    def projects_of(self, billing_account):
        return [project for project in self.projects if self.account_of.get(project) == billing_account]

    def usage_tier(self, project_id, instant, default):
        """A project's timeline decides alone; else the command line, the file's default, `unknown`."""
        if project_id not in self.timelines:
            return default or self.default_usage_tier or "unknown"
        past = [tier for since, tier in self.timelines[project_id] if since <= instant]
        return past[-1] if past else "unknown"


def read_billing_account(entry):
    """Credits in the order in which they pay: `from`, missing ones first, then name (C9)."""
    credits = [
        Credit(line["name"], Fraction(line["usd"]), line.get("from"), line.get("until"))
        for line in entry.get("credits", [])
    ]
    if len({credit.name for credit in credits}) < len(credits):
        raise SystemExit(f"accounts file: two credits of {entry['id']} have one name")
    cap = entry.get("monthly_cap_usd")
    return BillingAccount(
        entry.get("first_payment"),
        Fraction(entry.get("spent_before", 0)),
        None if cap is None else Fraction(cap),
        tuple(sorted(credits, key=lambda credit: (credit.since or date.min, credit.name.encode()))),
    )


def refuse_unknown_keys(table, name):
    for key, value in table.items():
        if key not in ACCOUNT_KEYS[name]:
            raise SystemExit(f"accounts file: unknown key {key}")
        if isinstance(value, list):
            for entry in value:
                refuse_unknown_keys(entry, key)


def instant_ns(moment):
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise SystemExit(f"accounts file: {moment} has no offset")
    since = moment - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1_000
