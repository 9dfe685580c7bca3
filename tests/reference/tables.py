"""The columns of every table, and how cells are printed and rows sorted."""

from datetime import datetime, timezone
from fractions import Fraction
from unicodedata import category

from pacific import Instant

USAGE = (
    "date", "project_id", "model", "base_model", "method", "usage_tier", "pricing_tier", "service_tier",
    "channel", "outcome", "requests", "input_tokens", "input_tokens_cached", "input_tokens_tool",
    "output_tokens", "output_tokens_thoughts", "total_tokens",
)  # fmt: skip
CHARGES = (
    "date", "project_id", "billing_account", "model", "base_model", "usage_tier", "pricing_tier",
    "service_tier", "channel", "price_above_prompt_tokens", "meter", "modality", "exempt", "quantity",
    "allowance_quantity", "per", "unit_price_usd", "list_cost_usd", "rated_cost_usd", "price_from",
    "price_citation",
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

CREDITS = (
    "date", "billing_account", "credit", "balance_before_usd", "applied_usd", "balance_after_usd",
)  # fmt: skip
ACCOUNTS = (
    "date", "billing_account", "usage_tier", "rated_cost_usd", "credit_usd", "net_cost_usd", "month_cost_usd",
    "monthly_cap_usd", "over_cap", "spend_usd", "days_since_first_payment", "next_usage_tier",
    "next_min_spend_usd", "next_min_days", "eligible_since",
)  # fmt: skip
UPGRADE = (
    "date", "project_id", "quota_model", "usage_tier", "next_usage_tier", "next_rpm_limit", "next_tpm_limit",
    "next_rpd_limit", "requests_throttled", "requests_spared_at_most",
)  # fmt: skip
DATA_USE = (
    "date", "project_id", "channel", "terms", "requests", "input_tokens", "output_tokens",
)  # fmt: skip

# Columns, and how many of the first ones are the key that rows are sorted by.
TABLES = {
    "usage": (USAGE, 10),
    "charges": (CHARGES, 13),
    "quota": (QUOTA, 4),
    "suspense": (SUSPENSE, 10),
    "traffic": (TRAFFIC, 5),
    "credits": (CREDITS, 3),
    "accounts": (ACCOUNTS, 2),
    "upgrade": (UPGRADE, 4),
    "data_use": (DATA_USE, 4),
}


def printed(value):
    """A cell: empty for null, instants in UTC, money as a plain decimal, control characters visible."""
    if value is None:
        return ""
    if isinstance(value, Instant):
        return datetime.fromtimestamp(value, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, bool):
        return "true" if value else "false"
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


def sort_rows(name, rows):
    """By the key of a table."""
    columns, keys = TABLES[name]
    rows.sort(key=lambda row: sort_key([row.get(column) for column in columns[:keys]]))


def sort_key(values):
    """Nulls first; strings by bytes, which for UTF-8 is by code points."""
    return [(value is not None, 0 if value is None else value) for value in values]
