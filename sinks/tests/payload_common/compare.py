"""Reads Arrow messages with pyarrow and compares their rows with JSON lines of the same rows: exit 0 when all are equal.

Usage: compare.py LINES.json CLASS SCHEMA_VERSION MESSAGE.arrow...
"""

import json
import sys
from datetime import datetime

import pyarrow

lines, name, version, *messages = sys.argv[1:]
metadata = {b"weir.class": name.encode(), b"weir.schema_version": version.encode()}


def rows(path):
    """The rows of one message, fully validated."""
    with open(path, "rb") as file:
        stream = pyarrow.ipc.open_stream(file)
        assert stream.schema.metadata == metadata, stream.schema.metadata
        table = stream.read_all()
        assert not file.read(), f"{path} goes on behind its end"
    table.validate(full=True)
    return table.to_pylist()


found = [row for path in messages for row in rows(path)]
with open(lines, encoding="utf-8") as file:
    expected = [json.loads(line) for line in file]
assert len(found) == len(expected), (len(found), len(expected))
for number, (ours, theirs) in enumerate(zip(found, expected)):
    assert theirs.pop("class") == name and theirs.pop("schema_version") == int(version)
    theirs["time"] = datetime.fromisoformat(theirs["time"])
    ours = {column: value for column, value in ours.items() if value is not None}
    for column in ours.keys() | theirs.keys():
        left, right = ours.get(column), theirs.get(column)
        right = int(right) if isinstance(left, int) and isinstance(right, str) else right
        assert left == right, f"row {number}, {column}: {left!r} is not {right!r}"
