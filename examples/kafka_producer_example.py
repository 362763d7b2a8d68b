"""Send view, click and rating events to Kafka, as an application of your own would.

    python examples/kafka_producer_example.py --events 9

Each message is checked against the contract before it is sent; what Nextup would refuse never
leaves. The key is the person, so that one person's events stay in order.
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from importlib.resources import files
from uuid import uuid4

import jsonschema_rs
from confluent_kafka import Producer

TOPICS = {"view": "view_events", "click": "click_events", "rating": "rating_events"}


def validator(kind: str) -> jsonschema_rs.Draft202012Validator:
    """The contract of one type of event, which comes with Nextup."""
    name = f"{kind}_event.schema.json"
    text = (files("nextup") / "schemas" / "events" / name).read_text(encoding="utf-8")
    return jsonschema_rs.Draft202012Validator(json.loads(text), validate_formats=True)


def event(kind: str, user_id: str, item_id: str) -> dict[str, object]:
    """An event with an id of its own: sent again, it still counts once."""
    made: dict[str, object] = {
        "event_id": str(uuid4()),
        "type": kind,
        "user_id": user_id,
        "item_id": item_id,
        "occurred_at": datetime.now(UTC).isoformat(),
    }
    return made | {"value": 4.5} if kind == "rating" else made


def main() -> int:
    """Returns how many messages the brokers did not take."""
    options = argparse.ArgumentParser(description="Send events to Kafka.")
    options.add_argument("--brokers", default="localhost:9092")
    options.add_argument("--events", type=int, default=9)
    options.add_argument("--user", default="42")
    options.add_argument("--items", nargs="+", default=["1", "260", "318"])
    options.add_argument("--prefix", default="", help="before each topic: a tenant's")
    given = options.parse_args()

    failed: list[str] = []
    producer = Producer(
        {"bootstrap.servers": given.brokers, "acks": "all", "enable.idempotence": True}
    )
    for number in range(given.events):
        kind = list(TOPICS)[number % len(TOPICS)]
        message = event(kind, given.user, given.items[number % len(given.items)])
        validator(kind).validate(message)
        producer.produce(
            given.prefix + TOPICS[kind],
            key=given.user,
            value=json.dumps(message),
            on_delivery=lambda error, _: failed.append(str(error)) if error else None,
        )
    left = producer.flush(30)
    print(f"{given.events - left - len(failed)} events sent")
    return left + len(failed)


if __name__ == "__main__":
    sys.exit(min(main(), 1))
