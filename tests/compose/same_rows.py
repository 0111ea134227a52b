"""Compares the rows of two consumers' directories, without those that sinks make themselves (CPU -2).

Usage: same_rows.py DIR DIR. Exit 1 if they differ, or if there are none.
"""

import json
import pathlib
import sys

# Differences that are shown.
SHOWN = 5


def rows(directory):
    found = {}
    for path in pathlib.Path(directory).glob("*.jsonl"):
        with open(path, encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                if row["cpu"] > -2:
                    found[tuple(row[name] for name in ("host", "boot_id", "epoch", "cpu", "seq"))] = row
    return found


def main():
    one, other = (rows(directory) for directory in sys.argv[1:])
    differing = [key for key in one.keys() | other.keys() if one.get(key) != other.get(key)]
    print(f"{len(one)} and {len(other)} rows, {len(differing)} differ")
    for key in differing[:SHOWN]:
        print(f"{one.get(key)}\n    and {other.get(key)}")
    return 1 if differing or not one else 0


if __name__ == "__main__":
    sys.exit(main())
