"""The days in order, each a function of its requests, the accounts file and what the day before carried over.

What a day carries: caches, units taken from allowances (C8), dollars used of credits (C9), costs of the month and
net costs so far, and since when criteria of usage tiers are met.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction

from caches import Caches
from charge import charge
from pacific import NANOS, days_between, midnight, next_day
from quota import NEXT_USAGE_TIER
from tables import ACCOUNTS, CREDITS, sort_rows

LONGEST_GAP = 31
FROM_LOWEST = ("unknown", "free", "tier1", "tier2", "tier3")


# --- which days -------------------------------------------------------------------------


@dataclass
class Calendar:
    """The days that are walked, and those of them that are published."""

    walked: list
    published: set
    carry_missing: date | None = None


def calendar(window, seen, requested):
    """`seen`: days inside the window with a request or a suspended line; `requested`: days with a request, anywhere."""
    first, last = window
    if first is None or last is None:
        if not seen:
            return Calendar([], set())
        first, last = min(seen), max(seen)
        published = set(days_between(first, last)) - set(days_of_gaps(sorted(seen)))
    else:
        published = set(days_between(first, last))
    begin = min([day for day in requested if day < first], default=first)
    return Calendar(days_between(begin, last), published, first if begin == first else None)


def days_of_gaps(seen):
    for before, after in zip(seen, seen[1:]):
        empty = days_between(before, after)[1:-1]
        if len(empty) > LONGEST_GAP:
            yield from empty


# --- a day after the other --------------------------------------------------------------


@dataclass
class Carry:
    """What the end of a day hands over to the next. Uses, not balances."""

    caches: Caches = field(default_factory=Caches)
    month: tuple = ()
    units_of_month: Counter = field(default_factory=Counter)  # by pool and project
    cost_of_month: Counter = field(default_factory=Counter)  # by billing account, rated
    credit_used: Counter = field(default_factory=Counter)  # by billing account and credit
    net_cost: Counter = field(default_factory=Counter)  # by billing account
    met_since: dict = field(default_factory=dict)  # by billing account and usage tier


def walk(days, guided, books, accounts, default_usage_tier):
    """The tables that depend on earlier days. `guided`: all requests of the days walked."""
    carry, tables = Carry(), defaultdict(list)
    by_day = defaultdict(list)
    for g in guided:
        by_day[g.day].append(g)
    turns = days_of_turns(books, accounts)
    for day in days.walked:
        if day not in days.published and not by_day[day] and not carry.caches.living and day not in turns:
            continue  # Nothing comes of such a day; walks from 1970 have many.
        rows = one_day(day, by_day[day], carry, books, accounts, default_usage_tier)
        if day in days.published:
            rows["accounts"] = describe_accounts(
                rows["accounts"], by_day[day], books, accounts, default_usage_tier
            )
            for name in rows:
                tables[name] += rows[name]
    return tables


def days_of_turns(books, accounts):
    """The days on which a usage tier's criteria can become met, or unmet, without any cost."""
    turns, asked = set(), set()
    for usage_tier in NEXT_USAGE_TIER.values():
        turns |= books.criteria.lines[usage_tier].keys()
        asked |= {criteria.min_days for criteria in books.criteria.lines[usage_tier].values()}
    for account in accounts.billing_accounts.values():
        if account.first_payment is not None:
            turns |= {account.first_payment + timedelta(days=days) for days in asked}
    return turns


def one_day(day, guided, carry, books, accounts, default_usage_tier):
    if carry.month != (day.year, day.month):
        carry.month = (day.year, day.month)
        carry.units_of_month.clear()
        carry.cost_of_month.clear()
    stored, unknown = carry.caches.live_through(day, guided)
    charges, suspended = charge(guided, stored, books, accounts) if guided or stored else ([], [])
    take_allowances(day, charges, carry, books, accounts)
    rated = Counter()
    for row in charges:
        rated[row["billing_account"]] += row["rated_cost_usd"]
    credits = [
        row for name in accounts.billing_accounts for row in pay(day, name, rated[name], carry, accounts)
    ]
    return {
        "charges": charges,
        "suspense": [*suspended, *unknown_cache_rows(unknown)],
        "credits": credits,
        "accounts": account_rows(day, charges, rated, credits, carry, books, accounts),
    }


def unknown_cache_rows(unknown):
    """A row per project, model, method and cache; the request stays one."""
    told = Counter()
    for g in unknown:
        told[g.day, g.request.project_id, g.request.model, g.request.method, g.request.cache.name] += 1
    for (day, project_id, model, method, name), records in told.items():
        yield {
            "date": day, "stage": "charge", "project_id": project_id, "model": model, "reason": "unknown_cache",
            "detail": f"{method} {name}", "records": records,
        }  # fmt: skip


# --- allowances -------------------------------------------------------------------------


def take_allowances(day, charges, carry, books, accounts):
    """C8. In the order of the published rows, each takes what is left of its pool."""
    sort_rows("charges", charges)
    units_of_day = Counter()
    for row in charges:
        line = books.allowances.in_force((row["base_model"], row["meter"]), day)
        if line is None or row["exempt"] is not None:
            continue
        units = {"day": units_of_day, "month": carry.units_of_month}[line.period]
        sharing = sharing_projects(row["project_id"], accounts)
        left = max(0, line.quantity - sum(units[line.pool, project] for project in sharing))
        taken = min(row["quantity"], left)
        units[line.pool, row["project_id"]] += taken
        row["allowance_quantity"] = taken
        row["rated_cost_usd"] = (row["quantity"] - taken) * row["unit_price_usd"] / row["per"]


def sharing_projects(project_id, accounts):
    """The projects that share a pool with this one: itself, or all of its billing account."""
    billing_account = accounts.account_of.get(project_id)
    if accounts.allowance_scope != "billing_account" or billing_account is None:
        return [project_id]
    return accounts.projects_of(billing_account)


# --- credits ----------------------------------------------------------------------------


def pay(day, name, cost, carry, accounts):
    """C9. Each credit that holds pays what is left of the account's rated cost of the day."""
    rows = []
    for credit in accounts.billing_accounts[name].credits:
        if credit.holds(day):
            before = max(Fraction(0), credit.usd - carry.credit_used[name, credit.name])
            applied = min(before, Fraction(cost))
            cost -= applied
            carry.credit_used[name, credit.name] += applied
            rows.append(dict(zip(CREDITS, (day, name, credit.name, before, applied, before - applied))))
    return rows


# --- billing accounts -------------------------------------------------------------------


def account_rows(day, charges, rated, credits, carry, books, accounts):
    """A row per billing account, and one of projects without any on days with charges of such."""
    without = [None] if any(row["billing_account"] is None for row in charges) else []
    paid = Counter()
    for row in credits:
        paid[row["billing_account"]] += row["applied_usd"]
    rows = []
    for name in [*without, *accounts.billing_accounts]:
        net = Fraction(rated[name] - paid[name])
        carry.cost_of_month[name] += rated[name]
        carry.net_cost[name] += net
        costs = (rated[name], paid[name], net, carry.cost_of_month[name])
        row = {"date": day, "billing_account": name}
        row |= zip(("rated_cost_usd", "credit_usd", "net_cost_usd", "month_cost_usd"), map(Fraction, costs))
        if name is not None:
            row |= qualify(day, name, carry, books, accounts)
        rows.append(row)
    return rows


def qualify(day, name, carry, books, accounts):
    """Spend, days since the first payment, and since when the criteria of each usage tier are met."""
    account = accounts.billing_accounts[name]
    spend = account.spent_before + carry.net_cost[name]
    first_payment = account.first_payment
    days = (day - first_payment).days if first_payment is not None and first_payment <= day else None
    for usage_tier in NEXT_USAGE_TIER.values():
        criteria = books.criteria.in_force(usage_tier, day)
        if criteria is not None and meets(criteria, spend, days):
            carry.met_since.setdefault((name, usage_tier), day)
        else:
            carry.met_since.pop((name, usage_tier), None)
    since = {usage_tier: carry.met_since.get((name, usage_tier)) for usage_tier in NEXT_USAGE_TIER.values()}
    return {"spend_usd": spend, "days_since_first_payment": days, "met_since": since}


def meets(criteria, spend, days):
    """No days asked: met without a first payment."""
    long_enough = criteria.min_days == 0 or (days is not None and days >= criteria.min_days)
    return spend >= criteria.min_spend_usd and long_enough


def describe_accounts(rows, guided, books, accounts, default_usage_tier):
    """Rows as they are published: with the account's usage tier, its cap, and the next usage tier."""
    for row in rows:
        name, day = row["billing_account"], row["date"]
        if name is None:
            continue
        usage_tier = highest_usage_tier(day, name, guided, accounts, default_usage_tier)
        row["usage_tier"] = usage_tier
        row["monthly_cap_usd"] = monthly_cap(day, usage_tier, accounts.billing_accounts[name], books)
        if row["monthly_cap_usd"] is not None:
            row["over_cap"] = row["month_cost_usd"] > row["monthly_cap_usd"]
        row["next_usage_tier"] = NEXT_USAGE_TIER.get(usage_tier)
        criteria = books.criteria.in_force(row["next_usage_tier"], day)
        if criteria is not None:
            row["next_min_spend_usd"], row["next_min_days"] = criteria.min_spend_usd, criteria.min_days
        row["eligible_since"] = row["met_since"].get(row["next_usage_tier"])
    return [{column: row.get(column) for column in ACCOUNTS} for row in rows]


def highest_usage_tier(day, name, guided, accounts, default_usage_tier):
    """In force at the end of the day, or on a request of the day."""
    last = midnight(next_day(day)) * NANOS - 1
    projects = accounts.projects_of(name)
    usage_tiers = {accounts.usage_tier(project, last, default_usage_tier) for project in projects}
    usage_tiers |= {g.usage_tier for g in guided if g.request.project_id in projects}
    return max(usage_tiers, key=FROM_LOWEST.index, default="unknown")


def monthly_cap(day, usage_tier, account, books):
    """The account's own, else that of its usage tier."""
    if account.monthly_cap_usd is not None:
        return account.monthly_cap_usd
    criteria = books.criteria.in_force(usage_tier, day)
    return criteria.monthly_cap_usd if criteria is not None else None
