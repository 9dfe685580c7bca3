"""A random accounts file: usage tiers that change within a second, limits of one's own, bases of tuned models,
billing accounts with credits, caps, first payments, with and without projects.
"""

import json
from datetime import datetime, timedelta, timezone

NANOS = 10**9
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
BILLING_ACCOUNTS = ("acct-1", "acct-2", "acct-idle")
DOLLARS = ("0", "0.000000000001", "0.004", "0.1", "0.50", "1", "3.00", "10", "25", "70", "300.00", "1000000")


def make(maker, tuned_models):
    """TOML, of what a Maker's log is about."""
    rng, chance = maker.rng, maker.chance
    if chance(0.15 if not maker.months else 0.03):
        return ""
    parts = []
    if chance(0.8 if maker.months else 0.5):
        usage_tiers = (
            ("tier1", "tier1", "tier1", "tier2", "tier3", "free")
            if maker.months
            else ("free", "tier1", "tier2", "unknown")
        )
        parts.append(f'default_usage_tier = "{rng.choice(usage_tiers)}"')
    if chance(0.5):
        parts.append(f'allowance_scope = "{rng.choice(("billing_account", "billing_account", "project"))}"')
    # A file without any [[billing_accounts]] may name some all the same.
    described = [] if chance(0.1) else rng.sample(BILLING_ACCOUNTS, rng.randint(1, 3))
    for name in described:
        parts += billing_account(maker, name)
    owners = (*(described or BILLING_ACCOUNTS), *described[:1], None)
    for number, project in enumerate([*maker.projects, "idle"]):
        if project != "idle" and chance(0.1) or project == "idle" and chance(0.7):
            continue
        parts += ["[[projects]]", f"id = {json.dumps(project)}"]
        owner = rng.choice(owners)
        if owner is not None:
            parts.append(f'billing_account = "{owner}"')
        if number != 1 and not (maker.months and chance(0.5)):
            parts += timeline(maker)
        parts += limits(maker) if chance(0.6) else []
    for tuned in tuned_models:
        base = rng.choice(("gemini-1.5-flash", "models/gemini-2.5-flash", "gemini-flash-latest", "gemini-9"))
        if chance(0.7):
            parts += ["[[tuned_models]]", f'model = "{tuned}"', f'base = "{base}"']
    return "\n".join(parts) + "\n"


def billing_account(maker, name):
    rng, chance = maker.rng, maker.chance
    yield from ("[[billing_accounts]]", f'id = "{name}"')
    if chance(0.7):
        paid = rng.choice(near(maker)) - timedelta(days=rng.choice((0, 1, 2, 3, 4, 29, 30, 31)))
        yield f"first_payment = {paid}"
    if chance(0.6):
        yield f'spent_before = "{rng.choice(("0", "99.99", "99.999999", "100", "249.9", "250", "999.5", "5000"))}"'
    if chance(0.3):
        yield f'monthly_cap_usd = "{rng.choice(("0", "0.05", "2", "40.5", "100000"))}"'
    names = rng.sample(("a", "B", "start-up", "ä", "z 1"), rng.choice((0, 1, 2, 3, 4)))
    for credit in names:
        yield from ("[[billing_accounts.credits]]", f'name = "{credit}"', f'usd = "{rng.choice(DOLLARS)}"')
        since = rng.choice(near(maker)) + timedelta(days=rng.choice((-30, -1, 0, 0, 1)))
        if chance(0.6):
            yield f"from = {since}"
        if chance(0.6):
            yield f"until = {since + timedelta(days=rng.choice((0, 1, 3, 40)))}"


def near(maker):
    """Days of the log that the calendar leaves room around."""
    return [day for day in maker.days if 1971 < day.year < 2200] or [datetime(2026, 6, 1).date()]


# Seconds; logs and accounts files know no later instant.
END_OF_2261 = 9_214_646_400


def timeline(maker):
    rng, chance = maker.rng, maker.chance
    starts = {(instant // 1000) * 1000 for instant in maker.upgrades if chance(0.7)}
    starts |= {315_532_800 * NANOS} if maker.busy or chance(0.5) else set()
    starts = sorted(start for start in starts if start // NANOS < END_OF_2261)
    for start in rng.sample(starts, len(starts)):
        moment = EPOCH + timedelta(microseconds=start // 1000)
        offset = timezone(timedelta(minutes=rng.choice((0, -420, 330))))
        tier = rng.choice(("free", "tier1", "tier1", "tier2", "tier3", "unknown"))
        tier = "tier1" if maker.months and tier == "unknown" else tier
        yield from ("[[projects.usage_tiers]]", f'usage_tier = "{tier}"')
        yield f"from = {moment.astimezone(offset).isoformat()}"


def limits(maker):
    rng, seen = maker.rng, set()
    for _ in range(4):
        model, metric = rng.choice(maker.models).strip(), rng.choice(("rpm", "tpm", "rpd", "tpd"))
        since = rng.choice(maker.days)
        if (model, metric, since) in seen or since.year < 1971 or model == "tunedModels/":
            continue
        seen.add((model, metric, since))
        prefix = "models/" if maker.chance(0.2) and not model.startswith("tuned") else ""
        yield from ("[[projects.limits]]", f'model = "{prefix}{model}"', f'metric = "{metric}"')
        yield from (f"value = {rng.choice((0, 1, 3, 2000, 10**6))}", f"from = {since}")
