"""Compares what rerate published with the answers of peers, cell by cell: `answers.py DAYS PEER=FOLDER...`.

Prints the number of cells and ends with 0 only when all are equal. Traffic by second is compared among the peers alone:
rerate publishes its peaks over 60 seconds.
"""

import sys

import duckdb

# The log names no usage tier; rerate is told one, so that it prices everything.
OURS = """
    select date as day, project_id, model, 'unknown' as usage_tier, service_tier,
        case when status = '429' then 'throttled' when status = '499' then 'cancelled'
            when status >= '500' then 'server_error' when status >= '400' then 'client_error' else 'ok' end as outcome,
        context_band::bigint as band, meter, modality, sum(quantity)::bigint as quantity
    from '{}/*/tally.parquet'
    where meter not in ('thoughts', 'total_tokens') and not starts_with(meter, 'requests_')
    group by all"""
CELLS = """
    select date '1970-01-01' + day::integer as day, project_id, model, usage_tier, service_tier, outcome,
        band::bigint as band, meter, modality, quantity::bigint as quantity
    from '{}/cells.parquet'"""
TRAFFIC = """
    select day::integer as day, project_id, model, requests::bigint as requests, tokens::bigint as tokens,
        peak_requests::bigint as peak_requests, peak_tokens::bigint as peak_tokens
    from '{}/traffic.parquet'"""

connection = duckdb.connect()


def differences(one, one_rows, other, other_rows):
    """How many rows only one of the two has; the first few are shown."""
    count = 0
    for who, rows, lacking in ((one, one_rows, other_rows), (other, other_rows, one_rows)):
        only = connection.sql(f"({rows}) except all ({lacking})").fetchall()
        count += len(only)
        for row in only[:5]:
            print("only", who, *row, file=sys.stderr)
    return count


days, *peers = sys.argv[1:]
peers = dict(peer.split("=", 1) for peer in peers)
first = next(iter(peers))
different = 0
for peer, folder in peers.items():
    different += differences("rerate", OURS.format(days), peer, CELLS.format(folder))
    different += differences(first, TRAFFIC.format(peers[first]), peer, TRAFFIC.format(folder))
if different:
    sys.exit(f"the answers differ in {different} rows; no time is worth printing")
[(cells,)] = connection.sql(f"select count(*) from ({OURS.format(days)})").fetchall()
print(cells)
