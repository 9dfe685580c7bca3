"""Quota: requests of counted methods by second, their peaks against limits, and what an upgrade would spare."""

from bisect import bisect_right
from collections import Counter, defaultdict

from pacific import NANOS, Instant
from tables import QUOTA, TRAFFIC, UPGRADE

NEXT_USAGE_TIER = {"free": "tier1", "tier1": "tier2", "tier2": "tier3"}


class Traffic:
    """Q2, Q3, Q6, Q8: requests of counted methods by second, batch aside; throttled ones apart.

    A second holds [requests, counted, throttled, input tokens of the counted, counted or throttled, input
    tokens of these].
    """

    def __init__(self, guided):
        self.rows = defaultdict(lambda: defaultdict(lambda: [0] * 6))
        for g in guided:
            if g.method.counted and g.request.service_tier != "batch":
                key = (g.day, g.request.project_id, g.quota_model, g.usage_tier)
                cell = self.rows[key][g.request.instant // NANOS]
                counted, throttled = g.outcome.counted, g.outcome.name == "throttled"
                seen = counted or throttled
                input_tokens = g.request.tokens.prompt + g.request.tokens.tool
                add(cell, [1, counted, throttled, counted * input_tokens, seen, seen * input_tokens])

    def minute_rows(self):
        minutes = defaultdict(lambda: [0, 0, 0, 0])
        for key, seconds in self.rows.items():
            for second, cell in seconds.items():
                add(minutes[*key, Instant(second // 60 * 60)], cell[:4])
        return [dict(zip(TRAFFIC, (*key, *cell))) for key, cell in minutes.items()]

    def quota_rows(self, books, accounts):
        return [self.quota_row(key, seconds, books, accounts) for key, seconds in self.rows.items()]

    def quota_row(self, key, seconds, books, accounts):
        """Q1 to Q9, but for what a 429 body says."""
        limits = {m: find_limit(books, accounts, key, m) for m in ("rpd", "rpm", "tpm", "tpd")}
        requests, counted, throttled, *_ = (sum(column) for column in zip(*seconds.values()))
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
        total = [0] * 6
        for other, seconds in self.rows.items():
            if other[:3] == key[:3]:
                for second, cell in seconds.items():
                    if second <= last_second:
                        add(total, cell)
        return total

    def upgrade_rows(self, books):
        return [
            self.upgrade_row(key, seconds, books)
            for key, seconds in self.rows.items()
            if key[3] in NEXT_USAGE_TIER
        ]

    def upgrade_row(self, key, seconds, books):
        """At most so many of the throttled requests the next usage tier's limits would have let through."""
        day, project_id, quota_model, usage_tier = key
        higher = NEXT_USAGE_TIER[usage_tier]
        rpm, tpm, rpd = (
            books.limits.in_force((quota_model, higher, metric), day) for metric in ("rpm", "tpm", "rpd")
        )  # fmt: skip
        throttled = spared = 0
        for second, cell in seconds.items():
            if cell[2]:
                last_minute = [seconds[s] for s in range(second - 59, second + 1) if s in seconds]
                within = (
                    is_within(sum(c[4] for c in last_minute), rpm)
                    and is_within(sum(c[5] for c in last_minute), tpm)
                    and is_within(self.used_of_day(key, second)[4], rpd)
                )
                throttled += cell[2]
                spared += cell[2] if within else 0
        return dict(zip(UPGRADE, (*key, higher, rpm, tpm, rpd, throttled, spared)))


def is_within(amount, limit):
    """No limit in the book: within."""
    return limit is None or amount <= limit


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
