#!/usr/bin/env python3
"""Prints what a consumer wrote as one stream in kernel-time order, for `weir verify`:

    ./merge.py rows | weir verify -

One event's class and CPU decide nothing about the partition that it comes through, so only all files together are complete.
Order within each file is checked before it is lost in the sorting: exit 1 if kernel time goes back there. Everything is
held in memory; it is for checks, not for pipelines.
"""

import json
import pathlib
import sys


def keyed(path):
    """(run, kernel time, cpu, number, line) of every line; complains if time goes back within a run and class."""
    before = {}
    with open(path, encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            row = json.loads(line)
            run = (row["host"], row["boot_id"], row["epoch"])
            stream = (run, row["class"])
            if row["ktime_ns"] < before.get(stream, row["ktime_ns"]):
                sys.exit(f"merge: {path}:{number}: kernel time goes back from {before[stream]} to {row['ktime_ns']}")
            before[stream] = row["ktime_ns"]
            yield run, row["ktime_ns"], row["cpu"], row["seq"], line


def main():
    paths = sorted(path for name in sys.argv[1:] for path in pathlib.Path(name).glob("*.jsonl"))
    if not paths:
        sys.exit("usage: merge.py DIR..: there is no .jsonl file in there")
    for *_, line in sorted(row for path in paths for row in keyed(path)):
        sys.stdout.write(line)


if __name__ == "__main__":
    main()
