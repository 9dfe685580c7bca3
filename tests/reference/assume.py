"""Assumptions of a day: how many requests and how much rated cost rest on each, between which bounds."""

from collections import defaultdict
from datetime import date
from fractions import Fraction

from charge import judge_quantity, list_cost, quantities

SINCE = date(2026, 4, 1)


class Assumption:
    """Bounds are of the rated cost; `high` is None where nothing says what else it would cost."""

    def __init__(self):
        self.requests, self.rated, self.low, self.high = 0, Fraction(0), Fraction(0), Fraction(0)

    def add(self, rated, low, high, requests=1):
        self.requests += requests
        self.rated += rated
        self.low += low
        self.high = None if high is None else self.high + high


def assumptions(guided, charges, quota, books, accounts):
    """Of one day, by name; only those on which a request rests."""
    found = defaultdict(Assumption)
    for g in guided:
        for name, figures in of_request(g, books):
            found[name].add(*figures)
    for row in charges:
        # A cache made in AI Studio: the creation is the request, storing it costs on every day.
        if row["meter"] == "cache_storage" and row["channel"] == "ai_studio" and row["date"] >= SINCE:
            paid = row["pricing_tier"] == "paid"
            found["ai_studio_since_2026_04"].add(0, 0, (row.get("list_cost_usd") or 0) if paid else 0, requests=0)
    throttled = sum(row["requests_throttled"] for row in quota)
    if throttled:
        found["throttled_in_rpd"].add(0, 0, 0, requests=throttled)
    if accounts.allowance_scope is None:
        rest_on_scope(found, guided, charges, books)
    return found


def of_request(g, books):
    """Other methods than inference have nothing to charge but storage, which `assumptions` looks at."""
    cells = {what: (n, *judge_quantity(g, books, *what)) for what, n in quantities(g).items()}
    rated = rated_cost(cells)
    if not g.in_inference:
        if g.method.assumed:
            yield "undocumented_method", (0, 0, 0)
        return
    if g.outcome.assumed:
        yield "undocumented_status", between(rated, other_reading(g, books, "C3"))
    if g.method.assumed:
        yield "undocumented_method", (rated, 0, rated)
    if g.request.channel == "ai_studio" and g.day >= SINCE:
        yield "ai_studio_since_2026_04", between(rated, other_reading(g, books, "C4"))
    if g.request.tuned and g.day >= SINCE:
        yield "tuned_model_since_2026_04", (rated, 0, None)
    tool = {what: cell for what, cell in cells.items() if what[0] == "input_tool"}
    if tool and g.request.tools_seen == "not logged":
        yield "tools_not_logged", up_to(rated_cost(tool))
    charged = {what: cell for what, cell in cells.items() if not cell[3]}
    cached = {what: cell for what, cell in charged.items() if is_cached_priced_as_input(g, books, what)}
    if cached:
        yield "cached_without_price", up_to(rated_cost(cached))


def rated_cost(cells):
    """Before allowances."""
    return sum(
        (
            list_cost(meter, quantity, line)
            for (meter, _), (quantity, line, exempt, reason) in cells.items()
            if not exempt and not reason
        ),
        Fraction(0),
    )


def other_reading(g, books, without):
    return rated_cost(
        {what: (n, *judge_quantity(g, books, *what, without)) for what, n in quantities(g).items()}
    )


def between(rated, other):
    return rated, min(rated, other), max(rated, other)


def up_to(rated):
    return rated, 0, rated


def is_cached_priced_as_input(g, books, what):
    meter, modality = what
    asked = (g.base_model, g.request.service_tier, meter, modality, g.band, g.day)
    return meter == "input_cached" and books.price(*asked) and not books.price_of_meter(*asked)


def rest_on_scope(found, guided, charges, books):
    """Requests with quantities in rows that have an allowance line, and what these rows cost with and without it."""
    requests = sum(takes_from_a_pool(g, books) for g in guided)
    if requests:
        rows = [row for row in charges if row.get("allowance_quantity") is not None]
        rated = sum(row["rated_cost_usd"] for row in rows)
        found["allowance_scope"].add(rated, rated, sum(row["list_cost_usd"] for row in rows), requests)


def takes_from_a_pool(g, books):
    for meter, modality in quantities(g):
        _, exempt, reason = judge_quantity(g, books, meter, modality)
        if not exempt and not reason and books.allowances.in_force((g.base_model, meter), g.day):
            return True
    return False
