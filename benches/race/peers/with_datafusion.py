"""DataFusion's sums over one log, in SQL: `with_datafusion.py LOG [ANSWERS]`.

Tables are made in memory, as DataFusion works a common expression out anew for each mention of it. Its SQL has no
function over a list's items, so they are taken by their places; unnesting them would fold them in 0.6 s of CPU less (of
4 for 1,000,000 records of Parquet), and needs the lists kept until the doubled are found.
"""

import sys

import pyarrow as pa
from datafusion import SessionContext

from sums import CELLS, COUNTS, FOLDED, LISTS, PACIFIC_SHIFT, SUMS, TRAFFIC

DETAILS = pa.list_(pa.struct({"modality": pa.string(), "tokenCount": pa.int64()}))
RECORD = pa.schema(
    {
        "request_id": pa.string(),
        "timestamp": pa.timestamp("us", "UTC"),
        "project_id": pa.string(),
        "model": pa.string(),
        "status": pa.int32(),
        "service_tier": pa.string(),
        "usage_tier": pa.string(),
        "usageMetadata": pa.struct(
            {
                **dict.fromkeys(COUNTS.values(), pa.int64()),
                "serviceTier": pa.string(),
                **dict.fromkeys(LISTS.values(), DETAILS),
            }
        ),
    }
)
PACKED = {".gz": "gzip", ".zst": "zstd"}


def usage(field):
    return f"\"usageMetadata\"['{field}']"


def folded(field, modality):
    """The tokens of one modality in a list of five items at most. Lists of text alone, most, are told first."""
    items = (f"{usage(field)}[{place}]" for place in range(1, 6))
    tokens = " + ".join(
        f"case when {item}['modality'] = '{modality}' then {item}['tokenCount'] else 0 end" for item in items
    )
    other = f"array_length({usage(field)}) > 1 or {usage(field)}[1]['modality'] <> 'TEXT'"
    return f"case when {other} then {tokens} else 0 end"


# Every record, with what the sums need of it.
REQUESTS = f"""
    select project_id, request_id,
        cast(arrow_cast("timestamp", 'Timestamp(Microsecond, Some("UTC"))') as bigint) as ts, model, status,
        lower(coalesce({usage("serviceTier")}, service_tier, 'standard')) as service_tier,
        coalesce(usage_tier, 'unknown') as usage_tier,
        {", ".join(f"coalesce({usage(field)}, 0) as {name}" for name, field in COUNTS.items())},
        {", ".join(f"{folded(*what)} as {name}" for name, what in FOLDED.items())}
    from log"""

# One record of each identity. There is no hash of text in its SQL, so identities are counted as they are.
DOUBLED = "select project_id, request_id from requests group by project_id, request_id having count(*) > 1"
SAME = "requests.project_id = doubled.project_id and requests.request_id = doubled.request_id"
KEPT = f"""
    with once as (select requests.* from requests left anti join doubled on {SAME}),
    last as (
        select * from (
            select requests.*, row_number() over (
                partition by requests.project_id, requests.request_id order by ts desc, total desc) as place
            from requests left semi join doubled on {SAME}
        ) as placed where place = 1
    ),
    every as (select * from once union all select * exclude (place) from last)
    select *, (ts - {PACIFIC_SHIFT}) / 86400000000 as day, ts / 1000000 as second from every"""

log, *answers = sys.argv[1:]
context = SessionContext()
if log.endswith(".parquet"):
    context.register_parquet("log", log)
else:
    suffix = next((suffix for suffix in PACKED if log.endswith(suffix)), "")
    context.register_json(
        "log", log, schema=RECORD, file_extension=f".jsonl{suffix}", file_compression_type=PACKED.get(suffix)
    )
tables = {"requests": REQUESTS, "doubled": DOUBLED, "kept": KEPT, "sums": SUMS, "cells": CELLS, "traffic": TRAFFIC}
for table, select in tables.items():
    context.sql(f"create table {table} as {select}").collect()
for folder in answers:
    for table in ("cells", "traffic"):
        context.table(table).write_parquet(f"{folder}/{table}.parquet")
