#!/usr/bin/env python3
"""Reads weir's stream from NATS JetStream and writes every row once, as JSON lines: one file per subject.

    pip install -r requirements.txt
    ./nats_consumer.py --server nats://localhost:4222 --out rows

Nothing is lost when it is killed: messages are acknowledged only once their rows are on the disk, and rows that come again
are dropped by their identity.
"""

import argparse
import asyncio
import signal
import sys
import time

import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from rows import Outputs

# Messages asked for at once, and how long the server may keep the request open for the first.
MESSAGES_MAX = 500
FETCH_S = 1.0
# How long a stream that is not there yet is asked for again.
STREAM_WAIT_S = 1.0
# Where a sink keeps its position; no rows.
PROGRESS = "weir.progress."


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="nats://localhost:4222", metavar="URL")
    parser.add_argument("--stream", default="WEIR")
    parser.add_argument("--subject", default="weir.>", help="only these subjects of the stream (default: %(default)s)")
    parser.add_argument("--durable", default="weir-example", help="name under which the server keeps the position")
    parser.add_argument("--out", required=True, metavar="DIR", help="where the files go")
    parser.add_argument("--idle", type=float, metavar="S", help="stop after this long without a message")
    return parser.parse_args()


async def subscribe(stream, wanted, going):
    """A pull consumer that the server remembers; waits until the collector has made the stream."""
    config = ConsumerConfig(
        ack_policy=AckPolicy.EXPLICIT,
        deliver_policy=DeliverPolicy.ALL,
        # Above what is ever fetched and not acknowledged.
        max_ack_pending=2 * MESSAGES_MAX,
    )
    while going():
        try:
            return await stream.pull_subscribe(wanted.subject, wanted.durable, stream=wanted.stream, config=config)
        except NotFoundError:
            print(f"nats_consumer: no stream {wanted.stream} yet", file=sys.stderr)
            await asyncio.sleep(STREAM_WAIT_S)
    return None


async def take(source, outputs):
    """Takes the rows of the next messages; returns how many messages there were."""
    try:
        messages = await source.fetch(MESSAGES_MAX, FETCH_S)
    except (nats.errors.TimeoutError, asyncio.TimeoutError):
        return 0
    for message in messages:
        if not message.subject.startswith(PROGRESS):
            outputs.take(message.subject, message.data)
    outputs.make_durable()
    for message in messages:
        await message.ack()
    return len(messages)


async def main():
    wanted = arguments()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    last = time.monotonic()

    def going():
        return not stopped.is_set() and (wanted.idle is None or time.monotonic() - last < wanted.idle)

    outputs = Outputs(wanted.out)
    connection = await nats.connect(wanted.server, max_reconnect_attempts=-1)
    source = await subscribe(connection.jetstream(), wanted, going)
    while source and going():
        if await take(source, outputs):
            last = time.monotonic()
    # Acknowledgements are sent at once, so that the server has them before the connection goes.
    await connection.flush()
    await connection.close()
    print(outputs.summary())


if __name__ == "__main__":
    asyncio.run(main())
