"""Compares the metrics that dashboards and rules name with those that the collector publishes.

Usage: metrics.py URL FILE.. Exit 1 if a file names a metric that is not there, or none at all.
"""

import re
import sys
import urllib.request

# Parts of a histogram have names of their own.
SUFFIXES = ("_bucket", "_count", "_sum")
NAME = re.compile(r"\bweir_[a-z0-9_]+\b")


def published(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    names = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            names.add(name)
            # OpenMetrics declares a counter without the ending that its samples have.
            if kind == "counter":
                names.add(name.removesuffix("_total") + "_total")
            if kind == "histogram":
                names.update(name + suffix for suffix in SUFFIXES)
    return names


def named(path):
    """Metrics in a file; a recording rule's own names have a colon and are none."""
    with open(path, encoding="utf-8") as file:
        return set(NAME.findall(file.read()))


def main():
    there = published(sys.argv[1])
    print(f"{len(there)} names published: {', '.join(sorted(there))}")
    status = 0
    for path in sys.argv[2:]:
        wanted = named(path)
        missing = wanted - there
        print(f"{path}: {len(wanted)} names, not published: {', '.join(sorted(missing)) or 'none'}")
        if missing or not wanted:
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
