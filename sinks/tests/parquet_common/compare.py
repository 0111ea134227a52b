"""Compares files of the Parquet sink with the same rows written by the general writer: exit 0 when all are equal.

Usage: compare.py WRITTEN.parquet EXPECTED.parquet ROOT, ROOT being the data directory that WRITTEN stands in.
"""

import sys

import duckdb
import pyarrow
import pyarrow.parquet

written, expected, root = sys.argv[1:]


def table(path):
    """The rows with dictionaries resolved, fully validated."""
    rows = pyarrow.parquet.ParquetFile(path).read()
    rows.validate(full=True)
    plain = {}
    for field in rows.schema:
        column = rows.column(field.name)
        is_text = pyarrow.types.is_dictionary(field.type)
        plain[field.name] = column.cast(pyarrow.string()) if is_text else column
    return pyarrow.table(plain)


ours, theirs = table(written), table(expected)
assert ours.num_rows == theirs.num_rows, (ours.num_rows, theirs.num_rows)
for name in theirs.column_names:
    assert ours.column(name).equals(theirs.column(name)), f"pyarrow: column {name} differs"

metadata = pyarrow.parquet.ParquetFile(written).metadata
for group in range(metadata.num_row_groups):
    assert metadata.row_group(group).sorting_columns[0].column_index == theirs.column_names.index("ktime_ns")

con = duckdb.connect()
select = "select * from read_parquet('{}', hive_partitioning=false)"
ours, theirs = (con.sql(select.format(path)) for path in (written, expected))
assert ours.columns == theirs.columns and ours.types == theirs.types, (ours.types, theirs.types)
ours, expected_rows = ours.to_arrow_table(), theirs.to_arrow_table()
for name in theirs.columns:
    assert ours.column(name).equals(expected_rows.column(name)), f"duckdb: column {name} differs"

# Look-ups go through statistics and bloom filters: every value is found as often as it is there, others are not.
for column in ("process_key", "remote_ip", "container_id", "ktime_ns", "seq", "path", "cmdline", "text_escaped"):
    if column not in theirs.columns:
        continue
    values = con.execute(f"select distinct {column} from read_parquet('{expected}') limit 40").fetchall()
    absent = {"BIGINT": -77, "VARCHAR": "no such value", "BOOLEAN": None}[str(theirs.types[theirs.columns.index(column)])]
    for (value,) in values + [(absent,)]:
        counts = [
            con.execute(f"select count(*) from read_parquet('{path}') where {column} = ?", [value]).fetchone()[0]
            for path in (written, expected)
        ]
        assert counts[0] == counts[1], f"duckdb: {column} = {value!r} found {counts[0]} times of {counts[1]}"

partitions = f"select count(*), min(class), min(date), min(hour) from read_parquet('{root}/**/*.parquet', hive_partitioning=true)"
count, _, date, hour = con.execute(partitions).fetchone()
assert count == metadata.num_rows and str(date) == "2026-03-04" and hour == 5, (count, date, hour)
print(f"{metadata.num_rows} rows in {metadata.num_row_groups} row groups equal")
