"""Compares the metrics that dashboards and rules name with the reference of all metrics and with what is published.

Usage: metrics.py URL REFERENCE FILE.. Exit 1 if a file names a metric that the reference does not have, or none at all, or
if what is published is not in the reference. A series is published from its first event on, so files may name more.
"""

import re
import sys
import urllib.request

NAME = re.compile(r"\bweir_[a-z0-9_]+\b")
DECLARED = re.compile(r"^# TYPE (\S+) ", re.MULTILINE)
DOCUMENTED = re.compile(r"^\| `(weir_[a-z0-9_]+)` \|", re.MULTILINE)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def missing_from(known, names, what):
    missing = names - known
    print(f"{what}: {len(names)} metrics, not in the reference: {', '.join(sorted(missing)) or 'none'}")
    return bool(missing) or not names


def main():
    url, reference, *files = sys.argv[1:]
    known = set(DOCUMENTED.findall(read(reference)))
    with urllib.request.urlopen(url, timeout=10) as answer:
        published = set(DECLARED.findall(answer.read().decode()))
    faults = [missing_from(known, published, url)]
    faults += [missing_from(known, set(NAME.findall(read(path))), path) for path in files]
    return 1 if any(faults) else 0


if __name__ == "__main__":
    sys.exit(main())
