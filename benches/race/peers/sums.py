"""What is summed, in SQL that ClickHouse, DataFusion and Polars read alike; `duckdb_sums.sql` says the same for DuckDB.

A peer reads the log, folds its lists and finds the doubled identities in its own best way, which is the dear part, and
leaves a table `kept`: a row for each request that counts, with its project, model, usage tier, service tier and status,
`day` (Pacific) and `second`, both counted from 1970, COUNTS and FOLDED. From that on the work is small and the same.
"""

# The logged lists of tokens by modality, by the letter of their columns.
LISTS = {
    "p": "promptTokensDetails",
    "h": "cacheTokensDetails",
    "c": "candidatesTokensDetails",
    "t": "toolUsePromptTokensDetails",
}
# Text is what the lists leave over of a count, so it has no column.
MODALITIES = {"i": "image", "a": "audio", "v": "video", "d": "document"}
FOLDED = {a + b: (field, modality.upper()) for a, field in LISTS.items() for b, modality in MODALITIES.items()}
COUNTS = {
    "p": "promptTokenCount",
    "c": "candidatesTokenCount",
    "th": "thoughtsTokenCount",
    "h": "cachedContentTokenCount",
    "t": "toolUsePromptTokenCount",
    "total": "totalTokenCount",
}

# Pacific days are right for 2026 only: from 8 March, 10:00 UTC, to 1 November, 09:00 UTC, the clock is 7 hours behind.
PACIFIC_SHIFT = "case when ts < 1772964000000000 or ts >= 1793523600000000 then 28800000000 else 25200000000 end"

KEY = "day, project_id, model, usage_tier, service_tier, status, band, thinks"

# Thoughts that the total leaves out are not charged; what the total has beyond its parts is unexplained.
SUMS = f"""
select {KEY}, cast(count(*) as bigint) as n, sum(p) as sp, sum(h) as sh, sum(c) as sc, sum(t) as st,
    sum(charged) as sth, sum(case when total > p + c + t + charged then total - p - c - t - charged else 0 end) as sx,
    {", ".join(f"sum({column}) as s{column}" for column in FOLDED)}
from (
    select *, case when p > 200000 then 200000 when p > 128000 then 128000 else 0 end as band,
        case when th > 0 then 1 else 0 end as thinks,
        case when th > 0 and p + c + t = total then 0 else th end as charged
    from kept
) as guided
group by {KEY}
"""

TRAFFIC = """
select day, project_id, model, sum(n) as requests, sum(used) as tokens, max(n) as peak_requests,
    max(used) as peak_tokens
from (
    select day, project_id, model, second, cast(count(*) as bigint) as n, sum(p + t) as used
    from kept
    group by day, project_id, model, second
) as seconds
group by day, project_id, model
"""


def quantities():
    """Meter, modality and quantity of each cell that a row of `sums` may have."""
    yield "requests", "any", "n"
    yield "unexplained", "any", "sx"
    for b, modality in {"": "text", **MODALITIES}.items():

        def of(a):
            return f"s{a}{b}" if b else f"(s{a} - " + " - ".join(f"s{a}{other}" for other in MODALITIES) + ")"

        output = of("c") if b else of("c") + " + sth"
        yield "input", modality, f"{of('p')} - {of('h')}"
        yield "input_cached", modality, of("h")
        yield "input_tool", modality, of("t")
        yield "output", modality, f"case when thinks = 0 then {output} else 0 end"
        yield "output_thinking", modality, f"case when thinks = 1 then {output} else 0 end"


CELL = "day, project_id, model, usage_tier, service_tier, outcome, band, meter, modality"

PARTS = " union all ".join(
    f"select {KEY}, '{meter}' as meter, '{modality}' as modality, {quantity} as quantity from sums"
    for meter, modality, quantity in quantities()
)

CELLS = f"""
select {CELL}, sum(quantity) as quantity
from (
    select day, project_id, replace(replace(model, 'publishers/google/models/', ''), 'models/', '') as model,
        usage_tier, service_tier, case when status = 429 then 'throttled' when status = 499 then 'cancelled'
            when status >= 500 then 'server_error' when status >= 400 then 'client_error' else 'ok' end as outcome,
        band, meter, modality, quantity
    from ({PARTS}) as parts
    where quantity <> 0
) as cells
group by {CELL}
"""
