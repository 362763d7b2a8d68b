"""Read what is in the event topics, as a program of your own would.

    python examples/kafka_consumer_example.py --limit 5

A group of its own (`--group`) remembers how far it has read. Copies of events that came in another
way (over HTTP, from a file) have the header `nextup-copy`.
"""

import argparse
import json
import time

from confluent_kafka import Consumer

TOPICS = ("view_events", "click_events", "rating_events")


def main() -> None:
    """Prints a line for each event, until `--limit` or a silence of `--seconds`."""
    options = argparse.ArgumentParser(description="Read events from Kafka.")
    options.add_argument("--brokers", default="localhost:9092")
    options.add_argument("--group", default="nextup-example")
    options.add_argument("--limit", type=int, default=10)
    options.add_argument("--seconds", type=float, default=10.0, help="of silence, until it ends")
    options.add_argument("--prefix", default="", help="before each topic: a tenant's")
    given = options.parse_args()

    consumer = Consumer(
        {
            "bootstrap.servers": given.brokers,
            "group.id": given.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([given.prefix + topic for topic in TOPICS])
    read, silent_since = 0, time.monotonic()
    try:
        while read < given.limit and time.monotonic() < silent_since + given.seconds:
            message = consumer.poll(0.5)
            if message is None:
                continue
            if message.error():
                raise SystemExit(f"Kafka says: {message.error()}")
            silent_since = time.monotonic()
            show(message)
            consumer.commit(message)  # only what was worked on
            read += 1
    finally:
        consumer.close()
    print(f"{read} events read")


def show(message: object) -> None:
    """One line; a message that is no event is shown as it is."""
    value, headers = message.value(), dict(message.headers() or [])  # type: ignore[attr-defined]
    how = "copy" if "nextup-copy" in headers else "sent"
    try:
        event = json.loads(value)
        print(f"{how} {event['type']:<7} {event['user_id']} -> {event['item_id']}")
    except (ValueError, KeyError, TypeError):
        print(f"{how} no event: {value!r}")


if __name__ == "__main__":
    main()
