"""check.py RERATE DAYS…: runs every notebook on every folder of published days, and reads every published Parquet
in pandas, pyarrow, DuckDB and polars: the types that src/report/README.md states, the cells and sums of the CSV files."""

import csv
import datetime
import os
import re
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import nbformat
import pandas
import polars
import pyarrow
import pyarrow.compute
import pyarrow.parquet
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
DATE, TEXT, INTEGER, MONEY, INSTANT = "date", "text", "integer", "decimal(38,12), US dollars", "timestamp, UTC"
YES_NO = "true or false"
FORMULA = "=+-@\t\r"  # a text that begins so has a ' before it in a CSV file


def main(rerate, *folders):
    os.environ["RERATE"] = str(Path(rerate).resolve())
    tests = [(f"{path.name} has no outputs", stripped, (path,)) for path in notebooks()]
    for folder in map(Path, folders):
        tests += [(f"{path.name} runs on {folder.name}", runs, (path, folder)) for path in notebooks()]
        for table, columns in stated_columns().items():
            tests += [(f"{table} of {folder.name} in {reader.__name__}", reads_right, (reader, folder, table, columns))
                      for reader in (Pandas, PyArrow, DuckDB, Polars)]
    failed = 0
    for name, test, arguments in tests:
        try:
            test(*arguments)
        except Exception as error:  # a failure is told, and the next test run
            failed += 1
            print(f"FAILED {name}\n{type(error).__name__}: {error}")
    print(f"{len(tests) - failed} passed, {failed} failed")
    return 1 if failed else 0


def notebooks():
    found = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert found, "no notebooks"
    return found


def stripped(path):
    for place, cell in enumerate(nbformat.read(path, as_version=4).cells):
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None, f"cell {place}: clear all outputs before you commit"


def runs(path, folder):
    os.environ["RERATE_OUT"] = str(folder.resolve())
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()


def stated_columns():
    """Table to column to type, from the page of report columns, which is made from the code."""
    tables = {}
    for line in (ROOT / "src/report/README.md").read_text().splitlines():
        if line.startswith("## "):
            columns = tables[line[3:]] = {}
        elif row := re.match(r"\| `(\w+)`(?: \*)? \| ([^|]+) \|", line):
            columns[row[1]] = row[2]
    assert len(tables) >= 7 and all(tables.values()), "the page of report columns can't be read"
    return tables


class Pandas:
    def __init__(self, files):
        self.frame = pandas.read_parquet(files, dtype_backend="numpy_nullable")
        self.columns = list(self.frame.columns)

    def has_type(self, column, kind):
        """Date, text and money are columns of Python objects in pandas."""
        cells, dtype = self.cells(column), str(self.frame[column].dtype)
        objects = {DATE: datetime.date, TEXT: str, MONEY: Decimal}
        if kind in objects:
            return dtype in ("object", "string") and all(type(cell) in (objects[kind], type(None)) for cell in cells)
        return dtype == {INTEGER: "Int64", INSTANT: "datetime64[us, UTC]", YES_NO: "boolean"}[kind]

    def cells(self, column):
        return [None if pandas.isna(cell) else cell for cell in self.frame[column]]

    def sum(self, column):
        return self.frame[column].sum()


class PyArrow:
    def __init__(self, files):
        self.table = pyarrow.parquet.read_table(files)
        self.columns = self.table.column_names

    def has_type(self, column, kind):
        of_column = self.table.schema.field(column).type
        return of_column in {
            DATE: [pyarrow.date32()],
            # Not string_view: pyarrow reads it, but can neither group, sort nor filter by it.
            TEXT: [pyarrow.string(), pyarrow.large_string()],
            INTEGER: [pyarrow.int64()],
            MONEY: [pyarrow.decimal128(38, 12)],
            INSTANT: [pyarrow.timestamp("us", tz="UTC")],
            YES_NO: [pyarrow.bool_()],
        }[kind]

    def cells(self, column):
        return self.table[column].to_pylist()

    def sum(self, column):
        return pyarrow.compute.sum(self.table[column]).as_py()


class DuckDB:
    def __init__(self, files):
        self.connection = duckdb.connect()
        self.table = self.connection.read_parquet([str(file) for file in files])
        self.columns = self.table.columns

    def has_type(self, column, kind):
        types = {DATE: "DATE", TEXT: "VARCHAR", INTEGER: "BIGINT", MONEY: "DECIMAL(38,12)", INSTANT: "TIMESTAMP WITH TIME ZONE", YES_NO: "BOOLEAN"}
        return str(self.table[column].types[0]) == types[kind]

    def cells(self, column):
        return [cell for (cell,) in self.table[column].fetchall()]

    def sum(self, column):
        return self.table.sum(column).fetchone()[0]


class Polars:
    def __init__(self, files):
        self.frame = polars.read_parquet(files)
        self.columns = self.frame.columns

    def has_type(self, column, kind):
        return self.frame.schema[column] == {
            DATE: polars.Date,
            TEXT: polars.String,
            INTEGER: polars.Int64,
            MONEY: polars.Decimal(38, 12),
            INSTANT: polars.Datetime("us", "UTC"),
            YES_NO: polars.Boolean,
        }[kind]

    def cells(self, column):
        return self.frame[column].to_list()

    def sum(self, column):
        return self.frame[column].sum()


def reads_right(reader, folder, table, columns):
    files = sorted(folder.glob(f"[0-9]*/{table}.parquet"))
    assert files, f"no {table}.parquet"
    found = reader(files)
    assert list(found.columns) == list(columns), f"columns {found.columns}, stated are {list(columns)}"
    expected = cells_of_csv(files, columns) or {column: PyArrow(files).cells(column) for column in columns}
    for column, kind in columns.items():
        assert found.has_type(column, kind), f"{column} isn't of type {kind}"
        cells = found.cells(column)
        assert cells == expected[column], f"{column} has other cells"
        if kind in (INTEGER, MONEY):
            known = [cell for cell in expected[column] if cell is not None]
            assert (found.sum(column) or 0) == sum(known), f"{column} has another sum"


def cells_of_csv(files, columns):
    """The same report from its CSV files, or nothing where it has none."""
    if not files[0].with_suffix(".csv").exists():
        return None
    rows = []
    for file in files:
        with open(file.with_suffix(".csv"), newline="", encoding="utf-8") as lines:
            rows += csv.DictReader(lines)
    return {column: [value(row[column], kind) for row in rows] for column, kind in columns.items()}


def value(cell, kind):
    if cell == "":
        return None
    if kind == TEXT and cell[0] == "'" and cell[1:2] and cell[1] in FORMULA:
        return cell[1:]
    return {DATE: datetime.date.fromisoformat, TEXT: str, INTEGER: int, MONEY: Decimal, INSTANT: datetime.datetime.fromisoformat, YES_NO: {"true": True, "false": False}.get}[kind](cell)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
