"""Checks the reference on days that depend on earlier ones, each against a sum by hand.

    python3 tests/reference/check_days.py

gemini-2.5-flash stores a million tokens for $1 an hour; its search prompts and those of -lite share 1,500 free ones
a day, then cost $0.035 each; Gemini 3 shares 5,000 free search queries a month, then $0.014 each.
"""

import json
import sys
from datetime import date, timedelta
from fractions import Fraction
from pathlib import Path

from books import Accounts, Books
from days import calendar
from replay import replay

BOOKS = Books(Path(__file__).resolve().parents[2] / "src" / "books")
FLASH, LITE, GEMINI_3 = "gemini-2.5-flash", "gemini-2.5-flash-lite", "gemini-3-flash-preview"
MILLION = 1_000_000


def main():
    checks = {name: check for name, check in globals().items() if name.startswith("check_")}
    for name, check in checks.items():
        check()
        print(f"{name.removeprefix('check_').replace('_', ' ')}: as by hand")
    print(f"{len(checks)} checks")


# --- caches -----------------------------------------------------------------------------


def check_a_cache_through_the_spring_change_costs_23_hours_on_that_day():
    tables = run(
        [create("2026-03-07T12:00:00-08:00", expires="2026-03-10T12:00:00-07:00")], "", days("2026-03-07", 5)
    )
    assert storage(tables) == {"2026-03-07": 12, "2026-03-08": 23, "2026-03-09": 24, "2026-03-10": 12}


def check_a_cache_through_the_autumn_change_costs_25_hours_on_that_day():
    tables = run(
        [create("2026-10-31T18:00:00-07:00", expires="2026-11-02T06:00:00-08:00")], "", days("2026-10-31", 4)
    )
    assert storage(tables) == {"2026-10-31": 6, "2026-11-01": 25, "2026-11-02": 6}


def check_a_cache_without_expiry_lives_an_hour():
    assert storage(run([create("2026-06-01T12:00:00-07:00")])) == {"2026-06-01": 1}


def check_a_patch_moves_the_end_and_a_delete_ends():
    at = "2026-06-01T{}-07:00".format
    tables = run([
        create(at("01:00:00"), expires=at("09:00:00")),
        patch(at("02:00:00"), expires=at("04:00:00")),
        create(at("03:00:00"), expires=at("23:00:00"), tokens=9 * MILLION),  # of a living name
        patch(at("03:30:00")),  # without an end
        delete(at("03:59:59.999")),  # in its second
        patch(at("03:59:59.9995"), expires=at("08:00:00")),  # at the end
        delete(at("05:00:00")),  # after it
    ])  # fmt: skip
    seconds = 3 * 3600 - 1
    assert [row["quantity"] for row in tables["charges"]] == [seconds * MILLION]
    # $1 an hour: 10,799 s cost 2.99972222222222… dollars, rounded to a pico-dollar.
    assert tables["charges"][0]["list_cost_usd"] == Fraction("2.999722222222")


def check_a_patch_into_the_past_ends_at_the_patch_and_the_name_is_free_again():
    at = "2026-06-01T{}-07:00".format
    tables = run([
        create(at("01:00:00"), expires=at("09:00:00")),
        patch(at("02:00:00.7"), expires=at("00:30:00")),
        create(at("02:00:00.9"), expires=at("04:00:00")),
    ])  # fmt: skip
    assert storage(tables) == {"2026-06-01": 3}  # 1 h and 2 h: the second starts where the first ended


def check_in_one_instant_create_comes_before_patch_before_delete():
    noon = "2026-06-01T12:00:00-07:00"
    tables = run([delete(noon), patch(noon, expires="2026-06-01T14:00:00-07:00"), create(noon)])
    assert storage(tables) == {} and tables["suspense"] == []
    tables = run([patch(noon, expires="2026-06-01T14:00:00-07:00"), create(noon)])
    assert storage(tables) == {"2026-06-01": 2}


def check_an_ended_name_is_known_for_7_days():
    end = create("2026-06-01T12:00:00-07:00")
    tables = run([end, delete("2026-06-08T23:59:59-07:00")])
    assert tables["suspense"] == []
    tables = run(
        [
            end,
            delete("2026-06-09T00:00:00-07:00"),
            delete("2026-06-09T00:00:01-07:00"),
            patch("2026-06-09T01:00:00-07:00"),
        ]
    )
    assert [(row["reason"], row["records"]) for row in tables["suspense"]] == [
        ("unknown_cache", 2), ("unknown_cache", 1),
    ]  # fmt: skip
    assert [row["requests"] for row in tables["usage"] if str(row["date"]) == "2026-06-09"] == [2, 1]


def check_storage_without_a_price_or_usage_tier_is_suspended_by_day():
    lives = {"expires": "2026-06-02T12:00:00-07:00"}
    tables = run([
        create("2026-06-01T12:00:00-07:00", model="gemini-9", **lives),
        create("2026-06-01T13:00:00-07:00", model="gemini-9", name="b", tokens=2 * MILLION, **lives),
    ], "", days("2026-06-01", 3))  # fmt: skip
    found = [
        (str(r["date"]), r["reason"], r["records"], r["quantity"], r["list_cost_usd"])
        for r in tables["suspense"]
    ]
    assert found == [
        ("2026-06-01", "unknown_model", 2, (12 + 2 * 11) * 3600 * MILLION, None),
        ("2026-06-02", "unknown_model", 2, (12 + 2 * 12) * 3600 * MILLION, None),
    ]
    tables = run([create("2026-06-01T12:00:00-07:00", usage_tier="free")])
    assert [(row["exempt"], row["list_cost_usd"], row["rated_cost_usd"]) for row in tables["charges"]] == [
        ("C2", 1, 0)
    ]


# --- allowances -------------------------------------------------------------------------


def check_a_pool_runs_out_in_the_middle_of_a_day_in_the_order_of_rows():
    day = "2026-06-0{}T12:00:00-07:00".format
    meter = "grounding_search_prompt"
    tables = run([
        ask(day(1), LITE, {meter: 1000}), ask(day(1), FLASH, {meter: 1000}), ask(day(1), FLASH, {meter: 7}, project="p2"),
        ask(day(2), LITE, {meter: 2000}),
    ])  # fmt: skip
    assert grounding(tables) == [
        ("2026-06-01", "p1", FLASH, 1000, 1000, 0),
        ("2026-06-01", "p1", LITE, 1000, 500, Fraction("17.5")),
        ("2026-06-01", "p2", FLASH, 7, 7, 0),
        ("2026-06-02", "p1", LITE, 2000, 1500, Fraction("17.5")),
    ]


def check_a_pool_of_a_month_is_carried_and_begins_again():
    meter = "grounding_search_query"
    tables = run([
        ask("2026-01-30T12:00:00-08:00", GEMINI_3, {meter: 3000}),
        ask("2026-01-31T12:00:00-08:00", "gemini-3-pro-preview", {meter: 3000}),
        ask("2026-02-01T12:00:00-08:00", GEMINI_3, {meter: 3000}),
        ask("2026-02-02T12:00:00-08:00", GEMINI_3, {meter: 3000}, usage_tier="free"),
    ])  # fmt: skip
    assert grounding(tables) == [
        ("2026-01-30", "p1", GEMINI_3, 3000, 3000, 0),
        ("2026-01-31", "p1", "gemini-3-pro-preview", 3000, 2000, 14),
        ("2026-02-01", "p1", GEMINI_3, 3000, 3000, 0),
        ("2026-02-02", "p1", GEMINI_3, 3000, None, 0),
    ]


def check_a_newer_line_of_a_pool_counts_what_was_used():
    """The pool has lines of 2026-01-05 and 2026-08-28."""
    days = ["2026-08-27T12:00:00-07:00", "2026-08-28T12:00:00-07:00"]
    tables = run([ask(day, GEMINI_3, {"grounding_search_query": 4000}) for day in days])
    assert [row[4:] for row in grounding(tables)] == [(4000, 0), (1000, 42)]


def check_a_pool_may_belong_to_the_billing_account():
    day, meter = "2026-06-01T12:00:00-07:00", "grounding_search_prompt"
    log = [ask(day, FLASH, {meter: 1000}, project=project) for project in ("p1", "p2", "alone", "alone2")]
    projects = "".join(f'[[projects]]\nid = "{p}"\nbilling_account = "a"\n' for p in ("p1", "p2"))
    tables, summary = run_all(log, projects)
    assert [row[4:] for row in grounding(tables)] == [(1000, 0)] * 4
    scope = {"requests": 4, "rated_cost_usd": "0", "low_usd": "0", "high_usd": "140"}
    assert summary["days"]["2026-06-01"]["assumptions"]["allowance_scope"] == scope
    tables, summary = run_all(log, 'allowance_scope = "billing_account"\n' + projects)
    found = {row[1]: row[4:] for row in grounding(tables)}
    assert found == {"alone": (1000, 0), "alone2": (1000, 0), "p1": (1000, 0), "p2": (500, Fraction("17.5"))}
    assert "allowance_scope" not in summary["days"]["2026-06-01"]["assumptions"]


# --- credits and billing accounts ---------------------------------------------------------


ACCOUNT = """
[[projects]]
id = "p1"
billing_account = "a"
[[billing_accounts]]
id = "a"
spent_before = "95"
first_payment = 2026-06-01
[[billing_accounts.credits]]
name = "later"
usd = "100"
from = 2026-06-02
[[billing_accounts.credits]]
name = "b"
usd = "8.5"
[[billing_accounts.credits]]
name = "a"
usd = "2"
until = 2026-06-01
"""


def check_two_credits_pay_in_one_day_in_their_order():
    """$12 of storage on the first day: a pays 2, b 8.5, and 1.5 are left. Then $24, all of it paid by `later`."""
    log = [create("2026-06-01T12:00:00-07:00", expires="2026-06-03T00:00:00-07:00")]
    tables = run(log, ACCOUNT)
    names = ("credit", "balance_before_usd", "applied_usd", "balance_after_usd")
    assert [(row["date"].day, *(row[name] for name in names)) for row in tables["credits"]] == [
        (1, "a", 2, 2, 0), (1, "b", Fraction("8.5"), Fraction("8.5"), 0),
    ]  # fmt: skip
    # The second day has neither request nor suspended line: only a window with both ends publishes it.
    tables = run(log, ACCOUNT, days("2026-06-01", 4))
    assert [(row["date"].day, *(row[name] for name in names)) for row in tables["credits"]] == [
        (1, "a", 2, 2, 0), (1, "b", Fraction("8.5"), Fraction("8.5"), 0),
        (2, "b", 0, 0, 0), (2, "later", 100, 24, 76),
        (3, "b", 0, 0, 0), (3, "later", 76, 0, 76),
        (4, "b", 0, 0, 0), (4, "later", 76, 0, 76),
    ]  # fmt: skip
    names = ("rated_cost_usd", "credit_usd", "net_cost_usd", "month_cost_usd", "spend_usd")
    assert [tuple(row[name] for name in names) for row in tables["accounts"]] == [
        (12, Fraction("10.5"), Fraction("1.5"), 12, Fraction("96.5")), (24, 24, 0, 36, Fraction("96.5")),
        (0, 0, 0, 36, Fraction("96.5")), (0, 0, 0, 36, Fraction("96.5")),
    ]  # fmt: skip


def check_criteria_are_met_from_spend_and_days():
    """Tier 2 asks for $100 and 3 days since 2026-04-01: spent 95 and 12, then 24 on, and 3 days on 2026-06-04."""
    log = [create("2026-06-01T12:00:00-07:00", expires="2026-06-03T00:00:00-07:00")]
    accounts = ACCOUNT.split("[[billing_accounts.credits]]")[0]
    tables = run(log, accounts, days("2026-05-31", 6))
    names = (
        "days_since_first_payment",
        "spend_usd",
        "eligible_since",
        "next_usage_tier",
        "next_min_days",
        "over_cap",
    )
    june_4 = date(2026, 6, 4)
    assert [tuple(row[name] for name in names) for row in tables["accounts"]] == [
        (None, 95, None, "tier2", 3, False), (0, 107, None, "tier2", 3, False), (1, 131, None, "tier2", 3, False),
        (2, 131, None, "tier2", 3, False), (3, 131, june_4, "tier2", 3, False), (4, 131, june_4, "tier2", 3, False),
    ]  # fmt: skip


def check_a_cap_of_its_own_and_projects_without_account():
    log = [
        create("2026-06-30T12:00:00-07:00", expires="2026-07-01T01:00:00-07:00"),
        create("2026-06-30T23:00:00-07:00", project="alone"),
    ]
    accounts = ACCOUNT.split("first_payment")[0] + 'monthly_cap_usd = "11.5"\n'
    for usage_tier, day in (
        ("tier1", 1),
        ("free", 30),
    ):  # the latter at noon, the highest of the day stays tier1
        timeline = (
            f'[[projects.usage_tiers]]\nusage_tier = "{usage_tier}"\nfrom = 2026-06-{day:02}T12:30:00-07:00\n'
        )
        accounts = accounts.replace("[[billing_accounts]]", timeline + "[[billing_accounts]]")
    tables = run(log, accounts, days("2026-06-30", 2))
    names = (
        "date",
        "billing_account",
        "usage_tier",
        "month_cost_usd",
        "monthly_cap_usd",
        "over_cap",
        "spend_usd",
    )
    cap = Fraction("11.5")
    assert [tuple(row[name] for name in names) for row in tables["accounts"]] == [
        (date(2026, 6, 30), None, None, 1, None, None, None),
        (date(2026, 6, 30), "a", "tier1", 12, cap, True, 107),
        (date(2026, 7, 1), "a", "free", 1, cap, False, 108),
    ]


def check_a_row_of_projects_without_account_counts_its_month():
    log = [create(f"2026-06-{day}T12:00:00-07:00", project="alone") for day in ("01", "03")]
    rows = run(log)["accounts"]
    assert [(row["date"].day, row["month_cost_usd"]) for row in rows] == [(1, 1), (3, 2)]


# --- days -----------------------------------------------------------------------------


def check_days_are_published_but_for_gaps_of_more_than_31_days():
    first = date(2026, 1, 1)
    near, far = date(2026, 2, 2), date(2026, 3, 7)  # 31 empty days between the first two, 32 after
    found = calendar((None, None), {first, near, far}, {first, near, far})
    assert len(found.walked) == 66 and len(found.published) == 34 and found.carry_missing == first
    found = calendar((date(2026, 2, 1), None), {near, far}, {first, near, far})
    assert found.walked[0] == first and found.published == {near, far} and found.carry_missing is None
    found = calendar((first, far), {near}, {near})
    assert len(found.published) == 66 and found.carry_missing == first


def check_a_day_before_the_window_is_walked_for_its_cache():
    log = [create("2026-06-01T12:00:00-07:00", expires="2026-06-02T06:00:00-07:00")]
    tables, summary = run_all(log, "", days("2026-06-02", 2))
    assert storage(tables) == {"2026-06-02": 6}
    assert summary["records"]["outside_window"] == 1 and summary["warnings"] == {}
    assert summary["days"]["2026-06-02"]["quantities"]["cache_storage"]["tallied"] == 6 * 3600 * MILLION


def check_a_log_begins_without_carry():
    _, summary = run_all([ask("2026-06-01T12:00:00-07:00"), ask("2026-06-02T12:00:00-07:00")])
    missing = {
        day: names["carry_missing"] for day, names in summary["warnings"].items() if "carry_missing" in names
    }
    assert missing == {"2026-06-01": 1}


# --- what is counted --------------------------------------------------------------------


def check_an_upgrade_would_have_spared_what_fits_its_limits():
    """Imagen in usage tier 2: 15 a minute. Of 20 throttled requests, one a second, the first 15 fit, and none of the
    last 5; 59 seconds after the first one, it still counts.
    """
    second = "2026-06-01T12:00:{:02}-07:00".format
    log = [
        ask(second(number), "imagen-4.0-generate-001", {"image": 1}, status=429, quiet=True)
        for number in range(20)
    ] + [ask(second(59), "imagen-4.0-generate-001", status=429, quiet=True)]
    log += [ask("2026-06-01T12:01:06-07:00", "imagen-4.0-generate-001", status=429, quiet=True)]
    row = run(log)["upgrade"][0]
    names = (
        "usage_tier",
        "next_usage_tier",
        "next_rpm_limit",
        "requests_throttled",
        "requests_spared_at_most",
    )
    # 12:01:06 looks back to 12:00:07: 13 of the 20, the one of 12:00:59, and itself are 15.
    assert [row[name] for name in names] == ["tier1", "tier2", 15, 22, 16]


def check_terms_of_ai_studio_are_those_of_any_project():
    accounts = """
[[projects]]
id = "p2"
[[projects.usage_tiers]]
usage_tier = "tier1"
from = 2026-06-01T12:00:00-07:00
"""
    studio = {"channel": "ai_studio", "usage_tier": "free"}
    log = [ask("2026-06-01T11:59:59-07:00", **studio), ask("2026-06-01T12:00:00-07:00", **studio)]
    log += [
        ask("2026-06-01T13:00:00-07:00", usage_tier="free"),
        ask("2026-06-01T13:00:00-07:00", usage_tier="tier3"),
    ]
    rows = run(log, accounts)["data_use"]
    assert [(row["channel"], row["terms"], row["requests"], row["input_tokens"]) for row in rows] == [
        ("ai_studio", "paid", 1, 100), ("ai_studio", "unknown", 1, 100), ("api", "paid", 1, 100), ("api", "unpaid", 1, 100),
    ]  # fmt: skip


def check_assumptions_have_bounds():
    """100 input and 10 output tokens of gemini-2.5-flash cost 0.00003 + 0.000025 dollars."""
    log = [
        ask("2026-06-01T12:00:00-07:00", status=503), ask("2026-06-01T12:00:00-07:00", channel="ai_studio"),
        ask("2026-06-01T12:00:00-07:00", method="generateAnswer"), ask("2026-06-01T12:00:00-07:00", status=429),
    ]  # fmt: skip
    _, summary = run_all(log)
    told = summary["days"]["2026-06-01"]["assumptions"]
    assert {name: tuple(figures.values()) for name, figures in told.items()} == {
        "undocumented_status": (2, "0", "0", "0.00011"),
        "ai_studio_since_2026_04": (1, "0", "0", "0.000055"),
        "undocumented_method": (1, "0.000055", "0", "0.000055"),
        "throttled_in_rpd": (1, "0", "0", "0"),
    }


# --- logs -------------------------------------------------------------------------------


def run(records, accounts="", window=(None, None)):
    return run_all(records, accounts, window)[0]


def run_all(records, accounts="", window=(None, None)):
    log = "".join(json.dumps(record) + "\n" for record in records).encode()
    return replay([("log.jsonl", log)], BOOKS, Accounts(accounts), "tier1", None, None, window)


def days(first, number):
    """A window with both ends."""
    first = date.fromisoformat(first)
    return first, first + timedelta(days=number - 1)


def record(timestamp, project="p1", **fields):
    return {"timestamp": timestamp, "project_id": project, "status": 200} | fields


def ask(timestamp, model=FLASH, quantities=None, quiet=False, **fields):
    """A request; without quantities one of 100 tokens in and 10 out, but for one that tells nothing."""
    usage = {} if quantities or quiet else {"promptTokenCount": 100, "candidatesTokenCount": 10}
    return record(timestamp, model=model, quantities=quantities, usageMetadata=usage, **fields)


def cache(kind, timestamp, content, name="a", expires=None, **fields):
    content = content | {"name": f"cachedContents/{name}", "expire_time": expires}
    return record(timestamp, method=f"cachedContents.{kind}", cached_content=content, **fields)


def create(timestamp, tokens=MILLION, model=FLASH, **fields):
    return cache("create", timestamp, {"total_tokens": tokens}, model=model, **fields)


def patch(timestamp, **fields):
    return cache("patch", timestamp, {}, **fields)


def delete(timestamp, **fields):
    return cache("delete", timestamp, {}, **fields)


def storage(tables):
    """Rated dollars by day; of the cache, a million tokens at a dollar an hour, its hours."""
    rows = [row for row in tables["charges"] if row["meter"] == "cache_storage"]
    return {str(row["date"]): row["rated_cost_usd"] for row in rows}


def grounding(tables):
    return [
        (
            str(row["date"]), row["project_id"], row["model"], row["quantity"], row.get("allowance_quantity"),
            row["rated_cost_usd"],
        )
        for row in tables["charges"]
        if row["meter"].startswith("grounding")
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
