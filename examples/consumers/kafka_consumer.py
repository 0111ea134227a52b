#!/usr/bin/env python3
"""Reads weir's topics from Kafka and writes every row once, as JSON lines: one file per partition.

    pip install -r requirements.txt
    ./kafka_consumer.py --brokers localhost:9092 --out rows

Nothing is lost when it is killed: offsets are committed only for rows that are on the disk, and rows that come again are
dropped by their identity.
"""

import argparse
import signal
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException

from rows import Outputs

# Messages taken before they are made durable and committed, and how long that may wait.
MESSAGES_MAX = 10_000
COMMIT_S = 1.0
# Where a transactional sink keeps its position; no rows.
PROGRESS = "weir.progress"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--brokers", default="localhost:9092", metavar="HOST:PORT,..")
    parser.add_argument("--topics", default=r"^weir\..*", metavar="REGEX", help="begins with ^ (default: %(default)s)")
    parser.add_argument("--group", default="weir-example", help="consumers of one group share the partitions")
    parser.add_argument("--out", required=True, metavar="DIR", help="where the files go")
    parser.add_argument("--idle", type=float, metavar="S", help="stop after this long without a message")
    return parser.parse_args()


def consumer(wanted):
    made = Consumer({
        "bootstrap.servers": wanted.brokers,
        "group.id": wanted.group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        # Rows of a transaction that was not committed stay hidden: with a transactional sink there are no repeats.
        "isolation.level": "read_committed",
        # A topic that weir creates later is found after this time.
        "topic.metadata.refresh.interval.ms": 5_000,
    })
    made.subscribe([wanted.topics])
    return made


def is_rows(message):
    """Whether this is a message with rows; an error that does not pass by itself is raised."""
    error = message.error()
    if error is None:
        return message.topic() != PROGRESS
    if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART or error.retriable():
        print(f"kafka_consumer: {error.str()}; trying again", file=sys.stderr)
        return False
    raise KafkaException(error)


def take(messages, outputs):
    """Takes the rows of messages; returns how many messages had some."""
    taken = [message for message in messages if is_rows(message)]
    for message in taken:
        outputs.take(f"{message.topic()}-{message.partition()}", message.value())
    return len(taken)


def main():
    wanted = arguments()
    outputs = Outputs(wanted.out)
    source = consumer(wanted)
    stopped = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: stopped.append(number))
    last = time.monotonic()
    while not stopped and (wanted.idle is None or time.monotonic() - last < wanted.idle):
        if take(source.consume(MESSAGES_MAX, COMMIT_S), outputs):
            last = time.monotonic()
            outputs.make_durable()
            commit(source)
    source.close()
    print(outputs.summary())


def commit(source):
    try:
        source.commit(asynchronous=False)
    except KafkaException as error:
        # The partitions went to another consumer of the group, or there were only errors: rows will come again.
        print(f"kafka_consumer: offsets not committed: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
