"""Runs the reference over a file of cases and reports each difference.

    python3 check_cases.py --books DIR CASES.jsonl...

A case has `records` (objects, or raw lines as strings), perhaps `accounts` (TOML), and `expected`:
charges, suspense as [stage, reason, quantity or records], and record counts.
"""

import argparse
import json
import sys
from collections import Counter
from fractions import Fraction

from books import Accounts, Books
from replay import replay

KEY = (
    "date", "model", "base_model", "usage_tier", "service_tier", "price_above_prompt_tokens", "meter",
    "modality", "exempt",
)  # fmt: skip
SUMS = ("quantity", "list_cost_usd", "rated_cost_usd")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--books", required=True, metavar="DIR")
    parser.add_argument("cases", nargs="+", metavar="CASES.jsonl")
    arguments = parser.parse_args()
    books, cases, wrong = Books(arguments.books), 0, 0
    for path in arguments.cases:
        for line in open(path, encoding="utf-8"):
            case = json.loads(line)
            found = list(differences(case, books))
            cases += 1
            wrong += bool(found)
            for difference in found:
                print(f"{case['id']} ({case['why']}): {difference}")
    print(f"{cases} cases, {wrong} differ")
    sys.exit(1 if wrong else 0)


def differences(case, books):
    """Each figure that is expected and not found, or found and not expected."""
    lines = [r if isinstance(r, str) else json.dumps(r) for r in case["records"]]
    log = "".join(line + "\n" for line in lines).encode("utf-8")
    tables, summary = replay([("case.jsonl", log)], books, Accounts(case.get("accounts", "")))
    expected = case["expected"]
    yield from compare("charges", expected_charges(expected), found_charges(tables["charges"]))
    yield from compare("suspense", expected_suspense(expected), found_suspense(tables["suspense"]))
    rated = sum((row["rated_cost_usd"] for row in tables["charges"]), Fraction(0))
    yield from compare("rated cost", Fraction(expected["rated_cost_usd"]), rated)
    found_records = {name: summary["records"][name] for name in expected["records"]}
    yield from compare("records", expected["records"], found_records)


def compare(what, expected, found):
    if expected != found:
        yield f"{what}: expected {expected}, found {found}"


def expected_charges(expected):
    rows = {}
    for row in expected["charges"]:
        add_row(rows, tuple(row[: len(KEY)]), row[len(KEY) :])
    return rows


def found_charges(charges):
    rows = {}
    for row in charges:
        key = {name: row.get(name) for name in KEY} | {"date": str(row["date"])}
        add_row(rows, tuple(key.values()), [row.get(name) for name in SUMS])
    return rows


def add_row(rows, key, sums):
    before = rows.get(key, [0] * len(sums))
    known = [None if value is None else Fraction(value) for value in sums]
    rows[key] = [None if None in pair else sum(pair) for pair in zip(before, known)]


def expected_suspense(expected):
    sums = Counter()
    for stage, reason, amount in expected["suspense"]:
        sums[stage, reason] += amount
    return sums


def found_suspense(suspense):
    sums = Counter()
    for row in suspense:
        sums[row["stage"], row["reason"]] += row["records"] if row["stage"] == "read" else row["quantity"]
    return sums


if __name__ == "__main__":
    main()
