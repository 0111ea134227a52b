"""What both consumers share: rows of a message, and dropping those that came before.

A message of weir holds one JSON object, several JSON objects in lines, or an Arrow IPC stream of one batch. The first byte
tells: `{` begins JSON, 0xFF an Arrow stream. All forms carry the same columns (docs/event.schema.json).
"""

import json
import os

# Numbers behind the highest one of a sequence that are remembered one by one; what is older came before. On kernels before
# 6.14 numbers stand out of order by a few places, never by this many.
WINDOW = 65_536
# Keys of JSON whose values are texts, because they do not fit into a JSON number (beyond 2^53).
WIDE = {"process_key", "parent_key", "child_key", "arg0", "arg1", "arg2", "arg3", "arg4", "arg5"}
IDENTITY = ("host", "boot_id", "epoch", "cpu", "seq")


def rows_of(payload):
    """Each row of a message as (JSON text, object)."""
    if payload[:1] == b"{":
        for line in payload.splitlines():
            if line:
                yield line.decode(), json.loads(line)
    elif payload[:1] == b"\xff":
        for row in rows_of_arrow(payload):
            yield json.dumps(row, ensure_ascii=False, separators=(",", ":")), row
    else:
        raise ValueError(f"neither JSON nor an Arrow IPC stream: it begins with {payload[:8]!r}")


def rows_of_arrow(payload):
    """Rows of an Arrow IPC stream, with the names and types that they have as JSON."""
    import pyarrow

    with pyarrow.ipc.open_stream(payload) as reader:
        metadata = reader.schema.metadata or {}
        first = {"class": metadata[b"weir.class"].decode()}
        if b"weir.schema_version" in metadata:
            first["schema_version"] = int(metadata[b"weir.schema_version"])
        for batch in reader:
            for row in batch.to_pylist():
                yield first | {name: as_json(name, value) for name, value in row.items() if value is not None}


def as_json(name, value):
    if name == "time":
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return str(value) if name in WIDE else value


class Seen:
    """Drops rows that came before, by identity: (host, boot_id, epoch, cpu, seq).

    A sequence rises along a Kafka partition or a NATS subject, so there is one Seen for each of them: two partitions are
    read at their own pace. Memory: at most WINDOW numbers per CPU.
    """

    def __init__(self):
        self.sequences = {}

    def is_new(self, row):
        *source, seq = (row[name] for name in IDENTITY)
        highest, recent = self.sequences.setdefault(tuple(source), [-1, set()])
        if seq <= highest - WINDOW or seq in recent:
            return False
        recent.add(seq)
        if seq > highest:
            self.sequences[tuple(source)][0] = seq
            if len(recent) >= 2 * WINDOW:
                recent.difference_update([old for old in recent if old <= seq - WINDOW])
        return True


class Output:
    """A file of JSON lines with every row once, for one Kafka partition or one NATS subject."""

    def __init__(self, path):
        self.path = path
        self.seen = Seen()
        self.rows = self.repeated = 0
        if os.path.exists(path):
            self.recall()
        self.file = open(path, "a", encoding="utf-8")

    def recall(self):
        """Learns what a run before wrote, and cuts off a line that it did not finish."""
        whole = 0
        with open(self.path, "rb") as lines:
            for line in lines:
                if not line.endswith(b"\n"):
                    break
                self.seen.is_new(json.loads(line))
                whole += len(line)
        os.truncate(self.path, whole)

    def take(self, payload):
        for text, row in rows_of(payload):
            if self.seen.is_new(row):
                self.file.write(text + "\n")
                self.rows += 1
            else:
                self.repeated += 1

    def make_durable(self):
        """Only after this may the broker forget what was taken."""
        self.file.flush()
        os.fsync(self.file.fileno())


class Outputs:
    """The files of a directory, by name of partition or subject."""

    def __init__(self, directory):
        os.makedirs(directory, exist_ok=True)
        self.directory = directory
        self.open = {}

    def take(self, name, payload):
        if name not in self.open:
            self.open[name] = Output(os.path.join(self.directory, f"{name.replace(os.sep, '_')}.jsonl"))
        self.open[name].take(payload)

    def make_durable(self):
        for output in self.open.values():
            output.make_durable()

    def summary(self):
        rows = sum(output.rows for output in self.open.values())
        repeated = sum(output.repeated for output in self.open.values())
        return f"{rows} rows into {len(self.open)} files of {self.directory}, {repeated} repeated rows dropped"
