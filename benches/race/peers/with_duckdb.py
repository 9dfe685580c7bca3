"""DuckDB's sums over one log, by duckdb_sums.sql: `with_duckdb.py LOG [ANSWERS]`."""

import re
import sys
from pathlib import Path

import duckdb

log, *answers = sys.argv[1:]
sql = Path(__file__).with_name("duckdb_sums.sql").read_text()
if log.endswith(".parquet"):
    sql = re.sub(r"read_json\(.*?\}\)", "read_parquet('{path}')", sql, count=1, flags=re.DOTALL)
connection = duckdb.connect()
for statement in connection.extract_statements(sql.replace("{path}", log)):
    connection.execute(statement)
for folder in answers:
    connection.execute(
        f"copy (select * replace (day - date '1970-01-01' as day) from cells) to '{folder}/cells.parquet'"
    )
    connection.execute(f"copy traffic to '{folder}/traffic.parquet'")
