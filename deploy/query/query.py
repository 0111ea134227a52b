#!/usr/bin/env python3
"""DuckDB over weir's Parquet files, with a view per class (`process`, `file`, `network`, ...) and two over processes.

query SQL..             runs the statements and prints the last result as a table
query --json SQL..      ... as JSON lines
query                   reads statements from standard input, each ended by a semicolon
query --check           exits 0 if DuckDB works here
query --wait            stays until it is stopped, so that others can be started beside it
"""

import argparse
import signal
import sys

import duckdb

VIEWS = "/usr/share/weir/views.sql"
# Rows and characters of a table; --json has no limit.
ROWS_MAX = 200
WIDTH_MAX = 200


def connect():
    """A database in memory with the views, as they are now: a file that comes later is seen by the next statement."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    with open(VIEWS, encoding="utf-8") as views:
        connection.execute(views.read())
    return connection


def show(connection, sql, as_json):
    result = connection.sql(sql)
    if result is None:
        return
    if as_json:
        connection.execute("COPY (FROM result) TO '/dev/stdout' (FORMAT json)")
    else:
        result.show(max_rows=ROWS_MAX, max_width=WIDTH_MAX)


def statements(lines):
    """Statements of a stream, each ended by a semicolon at the end of a line."""
    text = ""
    for line in lines:
        text += line
        if line.rstrip().endswith(";"):
            yield text
            text = ""
    if text.strip():
        yield text


def prompt(stream):
    while True:
        print("weir> ", end="", flush=True)
        line = stream.readline()
        if not line:
            print()
            return
        yield line


def converse(connection, as_json):
    lines = prompt(sys.stdin) if sys.stdin.isatty() else sys.stdin
    failed = False
    for sql in statements(lines):
        try:
            show(connection, sql, as_json)
        except duckdb.Error as error:
            print(f"query: {error}", file=sys.stderr)
            failed = True
    return 1 if failed and not sys.stdin.isatty() else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sql", nargs="*", metavar="SQL")
    parser.add_argument("--json", action="store_true", help="print rows as JSON lines")
    parser.add_argument("--check", action="store_true", help="only see whether DuckDB works")
    parser.add_argument("--wait", action="store_true", help="stay until stopped")
    return parser.parse_args()


def main():
    wanted = arguments()
    if wanted.wait:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        while True:
            signal.pause()
    if wanted.check:
        return 0 if duckdb.execute("SELECT 42").fetchall() == [(42,)] else 1
    try:
        connection = connect()
        if not wanted.sql:
            return converse(connection, wanted.json)
        show(connection, " ".join(wanted.sql), wanted.json)
    except duckdb.Error as error:
        print(f"query: {error}", file=sys.stderr)
        if "No files found" in str(error):
            print("query: the first file can be queried once it is closed (parquet.file_age)", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
