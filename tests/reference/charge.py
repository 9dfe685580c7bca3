"""Prices and exemptions (C1 to C7, C10, C11): the quantities of a day to charges and suspense.

Allowances and credits are taken off afterwards, by `days`.
"""

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction

from books import TUNED
from tables import CHARGES

PICO = 10**12


def charge(guided, stored, books, accounts):
    """Every quantity of a day is charged, exempt or suspended once. `stored`: caches as (guided, token-seconds)."""
    cells = {}
    for g in guided:
        for (meter, modality), quantity in quantities(g).items():
            add_cell(cells, g, books, accounts, (meter, modality), quantity)
    for g, token_seconds in stored:
        add_cell(cells, g, books, accounts, ("cache_storage", "any"), token_seconds)
    charges = [charge_row(key, cell) for (reason, *key), cell in cells.items() if reason is None]
    suspense = suspense_rows(cells)
    balance_quantities(guided, stored, charges, suspense)
    return charges, suspense


def quantities(guided):
    """C6. Only of methods that are billed; by meter and modality, `any` for what has no token."""
    if not guided.method.billed:
        return {}
    others = {(meter, "any"): n for meter, n in guided.request.quantities.items()}
    return guided.request.tokens.meters | others


def judge_quantity(guided, books, meter, modality, without=None):
    """The price line, the rule that exempts, and the reason why a quantity that isn't exempt can't be charged."""
    line = price_line(guided, books, meter, modality)
    exempt = find_exempt(guided, meter, without)
    return line, exempt, None if exempt else find_reason(guided, books, meter, line)


def price_line(guided, books, meter, modality):
    """C1 and C7. Unexplained tokens never have a price."""
    if meter == "unexplained":
        return None
    tier = guided.request.service_tier
    return books.price(guided.base_model, tier, meter, modality, guided.band, guided.day)


def find_exempt(guided, meter, without=None):
    """The first that holds of C3, C4, C2, C11, one of them left out where `without` says so."""
    holds = {
        "C3": not guided.outcome.charged,
        "C4": guided.request.channel == "ai_studio",
        "C2": guided.usage_tier == "free",
        "C11": meter == "input_tool" and guided.request.tools_seen == "google_search",
    }
    return next((rule for rule in holds if holds[rule] and rule != without), None)


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


@dataclass
class Cell:
    """The quantities of one charges key with one reason; `sources` are its caches or requests."""

    line: object
    quantity: int = 0
    sources: int = 0


def add_cell(cells, guided, books, accounts, what, quantity):
    line, exempt, reason = judge_quantity(guided, books, *what)
    request = guided.request
    key = (
        reason, guided.day, request.project_id, accounts.account_of.get(request.project_id), request.model,
        guided.base_model, guided.usage_tier, guided.pricing_tier, request.service_tier, request.channel,
        line.above_prompt_tokens if line else None, *what, exempt,
    )  # fmt: skip
    cell = cells.setdefault(key, Cell(line))
    assert cell.line == line, f"one key, two prices: {key}"
    cell.quantity += quantity
    cell.sources += 1


def charge_row(key, cell):
    """List cost is quantity × price all the same; an exempt quantity's rated cost is 0."""
    row = dict(zip(CHARGES, key)) | {"quantity": cell.quantity, "rated_cost_usd": Fraction(0)}
    if cell.line:
        row["per"] = cell.line.per
        row["unit_price_usd"] = cell.line.usd
        row["list_cost_usd"] = list_cost(row["meter"], cell.quantity, cell.line)
        row["price_from"] = cell.line.since
        row["price_citation"] = cell.line.citation
    if row["exempt"] is None:
        row["rated_cost_usd"] = row["list_cost_usd"]
    return row


def suspense_rows(cells):
    """One row per project, model, reason and meter; `records` counts the caches of storage."""
    rows = {}
    for (reason, *key), cell in cells.items():
        if reason is None:
            continue
        facts = dict(zip(CHARGES, key))
        named = {name: facts[name] for name in ("date", "project_id", "model", "meter")} | {"reason": reason}
        new = named | {"stage": "charge", "quantity": 0, "list_cost_usd": None, "records": 0}
        row = rows.setdefault(tuple(named.values()), new)
        row["quantity"] += cell.quantity
        row["records"] += cell.sources
        if cell.line:
            cost = list_cost(facts["meter"], cell.quantity, cell.line)
            row["list_cost_usd"] = (row["list_cost_usd"] or 0) + cost
    return list(rows.values())


def list_cost(meter, quantity, line):
    """Quantity × price; storage, priced by the hour, is rounded half to even to a pico-dollar."""
    cost = quantity * line.usd / line.per
    return Fraction(round(cost * PICO), PICO) if meter == "cache_storage" else cost


def balance_quantities(guided, stored, charges, suspense):
    """Per meter: tallied = charged (exempt included) + suspended."""
    tallied, accounted = Counter(), Counter()
    for g in guided:
        for (meter, _), quantity in quantities(g).items():
            tallied[meter] += quantity
    tallied["cache_storage"] += sum(token_seconds for _, token_seconds in stored)
    for row in charges + suspense:
        accounted[row["meter"]] += row["quantity"]
    assert +tallied == +accounted, f"quantities don't balance: {tallied} {accounted}"
