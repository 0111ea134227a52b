"""Reads what weir wrote with the real DuckDB and pyarrow; every fault is an exception.

Usage: consumers.py DIRECTORY < {"views": SQL, "queries": [SQL..], "columns": {CLASS: [[NAME, TYPE]..]}, "empty": [CLASS..], "depth": N}
The queries run with DIRECTORY's parent as the current one, so that `weir-data` in them is DIRECTORY.
"""

import json
import pathlib
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

ARROW = {
    "Bool": pa.bool_(),
    "Int32": pa.int32(),
    "Int64": pa.int64(),
    "Time": pa.timestamp("us", tz="UTC"),
    "Text": pa.dictionary(pa.int32(), pa.string()),
    "TextList": pa.list_(pa.string()),
}
DUCK = {
    "Bool": "BOOLEAN",
    "Int32": "INTEGER",
    "Int64": "BIGINT",
    "Time": "TIMESTAMP WITH TIME ZONE",
    "Text": "VARCHAR",
    "TextList": "VARCHAR[]",
}

directory = pathlib.Path(sys.argv[1])
task = json.load(sys.stdin)


def check(truth, what):
    if not truth:
        raise AssertionError(what)


def plain(arrow_type):
    """Other names of the same zone, and of a list's items, are the same type."""
    if pa.types.is_timestamp(arrow_type) and arrow_type.tz in ("UTC", "+00:00", "Z"):
        return pa.timestamp(arrow_type.unit, tz="UTC")
    if pa.types.is_list(arrow_type):
        return pa.list_(arrow_type.value_type)
    return arrow_type


def read_with_pyarrow():
    rows, sizes = {}, {}
    for path in sorted(directory.rglob("*.parquet")):
        name = next(part[6:] for part in path.parts if part.startswith("class="))
        file = pq.ParquetFile(path)
        table = file.read()
        table.validate(full=True)
        wanted = task["columns"][name]
        found = [(field.name, plain(field.type)) for field in table.schema]
        differing = [pair for pair in zip(found, ((column, ARROW[kind]) for column, kind in wanted)) if pair[0] != pair[1]]
        check(len(found) == len(wanted) and not differing, f"{path}: schema: {differing}")
        times = table.column("ktime_ns").to_pylist()
        check(times == sorted(times), f"{path}: not in kernel-time order")
        check(file.metadata.metadata.get(b"weir.schema_version"), f"{path}: no schema version in the footer")
        rows[name] = rows.get(name, 0) + table.num_rows
        sizes[name] = sizes.get(name, 0) + path.stat().st_size
    check(rows, "no file was read")
    for name in sorted(rows):
        print(f"pyarrow: {name}: {rows[name]} rows, {sizes[name] / rows[name]:.1f} bytes per row, footers included")
    return rows


def run_views(connection, rows):
    connection.execute(task["views"])
    for name, columns in task["columns"].items():
        described = connection.execute(f"DESCRIBE {name}").fetchall()
        found = [(row[0], row[1]) for row in described]
        check(found == [(column, DUCK[kind]) for column, kind in columns], f"view {name}: {found}")
        (count,) = connection.execute(f"SELECT count(*) FROM {name}").fetchone()
        check(count == rows.get(name, 0), f"view {name}: {count} rows, pyarrow reads {rows.get(name, 0)}")
    for name in task["empty"]:
        check(name not in rows, f"{name} was to have no file")
    (processes,) = connection.execute("SELECT count(*) FROM processes").fetchone()
    (tree, deepest) = connection.execute("SELECT count(*), max(depth) FROM process_tree").fetchone()
    check(processes == tree, f"{processes} processes, {tree} in the tree")
    print(f"DuckDB: {processes} processes, tree {deepest} deep")
    if "process" in rows:
        check(deepest >= task["depth"], f"the tree is only {deepest} deep")
        compared = connection.execute("SELECT count(*) FROM (SELECT * FROM process UNION ALL BY NAME SELECT * FROM file)")
        check(compared.fetchone()[0] == rows["process"] + rows["file"], "select * over classes by name")


# Queries about what a build need not have.
MAY_BE_EMPTY = ("FROM loss", "FROM container_activity", "FROM deleted_files", "FROM outside_connections")


def run_queries(connection):
    for query in task["queries"]:
        result = connection.execute(query).to_arrow_table().num_rows
        print(f"DuckDB: {result} rows: {' '.join(query.split())[:90]}")
        check(result or any(view in query for view in MAY_BE_EMPTY), f"no rows: {query}")


connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
run_views(connection, read_with_pyarrow())
run_queries(connection)
