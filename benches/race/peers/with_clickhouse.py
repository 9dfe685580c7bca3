"""ClickHouse's sums over one log, in process by chdb: `with_clickhouse.py LOG [ANSWERS]`.

Tables are kept in memory, as ClickHouse reads a file anew for each mention of it.
"""

import sys

from chdb.session import Session

from sums import CELLS, COUNTS, FOLDED, LISTS, PACIFIC_SHIFT, SUMS, TRAFFIC

DETAILS = "Array(Tuple(modality String, tokenCount Int64))"
RECORD = f"""
    request_id String, timestamp DateTime64(6, 'UTC'), project_id String, model String, status Int32,
    service_tier String, usage_tier String,
    usageMetadata Tuple({", ".join(f"{field} Int64" for field in COUNTS.values())}, serviceTier String,
    {", ".join(f"{field} {DETAILS}" for field in LISTS.values())})"""


def requests(log):
    """Every record, with what the sums need of it. What a record lacks is 0 or empty."""
    format = "Parquet" if log.endswith(".parquet") else "JSONEachRow"
    counts = ", ".join(f"u.{field} as {name}" for name, field in COUNTS.items())
    folded = ", ".join(
        f"arraySum((m, n) -> if(m = '{modality}', n, 0), u.{field}.modality, u.{field}.tokenCount) as {name}"
        for name, (field, modality) in FOLDED.items()
    )
    return f"""
        select cityHash64(project_id, request_id) as hash, project_id, request_id,
            toUnixTimestamp64Micro(timestamp) as ts, model, status,
            lower(multiIf(u.serviceTier != '', u.serviceTier, service_tier != '', service_tier, 'standard'))
                as service_tier,
            if(usage_tier = '', 'unknown', usage_tier) as usage_tier, {counts}, {folded}
        from (select *, usageMetadata as u from file('{log}', {format}, $${RECORD}$$))"""


# One record of each identity. Only identities whose hash occurs twice are compared as text.
DOUBLED = "select hash from requests group by hash having count() > 1"
KEPT = f"""
    select *, intDiv(ts - {PACIFIC_SHIFT}, 86400000000) as day, intDiv(ts, 1000000) as second
    from (
        select * from requests where hash not in doubled
        union all
        select * from (
            select * from requests where hash in doubled
            order by ts desc, total desc limit 1 by project_id, request_id
        )
    )"""

log, *answers = sys.argv[1:]
session = Session()
session.query("create database race")
session.query("use race")
session.query(f"create table requests engine = Memory as {requests(log)}")
session.query(f"create table doubled engine = Set as {DOUBLED}")
session.query(f"create view kept as {KEPT}")
for table, select in {"sums": SUMS, "cells": CELLS, "traffic": TRAFFIC}.items():
    session.query(f"create table {table} engine = Memory as {select}")
for folder in answers:
    for table in ("cells", "traffic"):
        session.query(f"insert into function file('{folder}/{table}.parquet', Parquet) select * from {table}")
