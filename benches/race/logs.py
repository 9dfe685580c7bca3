"""Packs the log of the race, a JSONL file, as it is needed: `logs.py LOG PACKED`. The name of PACKED says how."""

import sys
import zlib
from pathlib import Path

import duckdb
import zstandard

from peers.sums import COUNTS, LISTS

# A member of a gz file of several has this much text, and the rest of a line.
MEMBER_BYTES = 16 << 20


def zst(log, packed):
    with log.open("rb") as source, packed.open("wb") as target:
        zstandard.ZstdCompressor().copy_stream(source, target, size=log.stat().st_size)


def gz(log, packed, several):
    """One member or several, of gzip's own level."""
    with log.open("rb") as source, packed.open("wb") as target:
        member = zlib.compressobj(6, wbits=31)
        while text := source.read(MEMBER_BYTES) + source.readline():
            target.write(member.compress(text))
            if several:
                target.write(member.flush())
                member = zlib.compressobj(6, wbits=31)
        if not several:
            target.write(member.flush())


def parquet(log, packed):
    """By DuckDB: every field of the record in its type, the lists nested, snappy."""
    usage = {
        **dict.fromkeys(COUNTS.values(), "BIGINT"),
        "serviceTier": "VARCHAR",
        **dict.fromkeys(LISTS.values(), "STRUCT(modality VARCHAR, tokenCount BIGINT)[]"),
    }
    columns = {
        **dict.fromkeys(("request_id", "project_id", "api_key_id", "region", "channel", "method", "model"), "VARCHAR"),
        "timestamp": "TIMESTAMPTZ",
        **dict.fromkeys(("status", "latency_ms"), "BIGINT"),
        **dict.fromkeys(("service_tier", "usage_tier", "model_version", "responseId"), "VARCHAR"),
        "usageMetadata": f"STRUCT({', '.join(f'{name} {kind}' for name, kind in usage.items())})",
    }
    records = f"read_json('{log}', format='newline_delimited', columns={columns})"
    duckdb.execute(f"copy (from {records}) to '{packed}' (format parquet)")


def main():
    log, packed = map(Path, sys.argv[1:])
    part = packed.with_suffix(".part")
    match packed.name.split(".", 1)[1]:
        case "jsonl.zst":
            zst(log, part)
        case "jsonl.gz":
            gz(log, part, several=False)
        case "members.jsonl.gz":
            gz(log, part, several=True)
        case "parquet":
            parquet(log, part)
    part.rename(packed)


main()
