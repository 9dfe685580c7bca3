"""Data use: may prompts be used to improve products? By the terms under which each request came in."""

from collections import Counter, defaultdict

from tables import DATA_USE

PAID = ("tier1", "tier2", "tier3")


def data_use_rows(guided, accounts, default_usage_tier):
    sums = defaultdict(Counter)
    for g in guided:
        terms = find_terms(g, accounts, default_usage_tier)
        tokens = g.request.tokens
        sums[g.day, g.request.project_id, g.request.channel, terms].update(
            requests=1, input_tokens=tokens.prompt - tokens.cached, output_tokens=tokens.output
        )
    return [dict(zip(DATA_USE, key)) | dict(values) for key, values in sums.items()]


def find_terms(guided, accounts, default_usage_tier):
    """Of AI Studio all projects of the accounts file decide, beside the request's own usage tier."""
    usage_tiers = {guided.usage_tier}
    if guided.request.channel == "ai_studio":
        instant = guided.request.instant
        usage_tiers |= {accounts.usage_tier(p, instant, default_usage_tier) for p in accounts.projects}
    if usage_tiers.intersection(PAID):
        return "paid"
    return "unknown" if "unknown" in usage_tiers else "unpaid"
