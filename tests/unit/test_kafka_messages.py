"""Events as Kafka's messages, and the messages of others as events."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextup.adapters.event_log.kafka_client import parse_url
from nextup.adapters.event_log.kafka_messages import (
    event_id_of,
    event_messages,
    log_rows,
    rejected_message,
    rejected_rows,
)
from nextup.adapters.event_log.kafka_reading import RecentIds
from nextup.domain.errors import ConfigurationError
from nextup.domain.events import Event, Rejected, to_microseconds
from nextup.domain.foreign_messages import event_record, movielens_rating

NOW = datetime(2026, 11, 20, 12, 30, 15, 123456, UTC)

texts = st.text(st.characters(exclude_categories=["Cs"]))
events = st.builds(
    Event,
    texts,
    st.sampled_from(["view", "rating"]),
    texts,
    texts,
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.none() | st.floats(allow_nan=False, allow_infinity=False),
    st.none() | texts,
    st.none() | texts,
    st.none() | texts | st.sampled_from(["null", '"text"', ' {"a": 1}', '{"a":  [1, 2.50]}', "{"]),
)


@given(events)
def test_an_event_survives_as_a_message(event: Event) -> None:
    """Whatever its texts: what is read is what was written, to the last character and bit."""
    (content,) = event_messages([event], NOW)
    (row,) = log_rows(["2"], [7], [content])
    assert row.event() == event
    assert (row.partition, row.offset, row.received_at) == ("2", 7, to_microseconds(NOW))
    assert event_id_of(content) == event.event_id
    json.loads(content)


def test_a_context_is_json_within_json() -> None:
    """Who reads the topic with other tools finds an object, not a quoted text."""
    event = Event("e", "view", "ada", "film", NOW, context='{"page": "ü"}')
    (content,) = event_messages([event], NOW)
    assert json.loads(content)["context"] == {"page": "ü"}


@given(st.builds(Rejected, texts, texts, texts, texts, texts, st.just(NOW)))
def test_a_rejected_record_survives_as_a_message(record: Rejected) -> None:
    """All texts, as they arrived."""
    (row,) = rejected_rows(["0"], [3], [rejected_message(record)])
    assert row == ("0", 3, *record[:5], to_microseconds(NOW))


@given(st.integers(0, 10**9), st.text("0123456789abc", min_size=1), st.floats(0.5, 5))
def test_a_movielens_rating_comes_back(seconds: int, user_id: str, stars: float) -> None:
    """Ids that are numbers travel as numbers and come back as the same text."""
    at = datetime.fromtimestamp(seconds, UTC)
    event = Event("e", "rating", user_id, "17", at, stars)
    message = json.loads(json.dumps(movielens_rating(event)))
    assert list(message) == ["userId", "movieId", "rating", "timestamp"]
    assert message["movieId"] == 17
    assert event_record(message) == {
        "type": "rating",
        "user_id": user_id,
        "item_id": "17",
        "value": stars,
        "occurred_at": at.isoformat(),
    }


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2005-04-02 23:53:47", "2005-04-02T23:53:47+00:00"),
        ("2005-04-02T23:53:47+02:00", "2005-04-02T23:53:47+02:00"),
        ("yesterday", "yesterday"),
        ("", ""),
    ],
)
def test_a_mirrors_times_are_text(written: str, meant: str) -> None:
    """Without a zone they are UTC; what is no time is for the contract to refuse."""
    message = {"userId": 1, "movieId": 2, "rating": 3.5, "timestamp": written}
    assert event_record(message)["occurred_at"] == meant


def test_a_message_in_our_words_stays_as_it_is() -> None:
    """Only what is of MovieLens is renamed; a time beyond all calendars stays."""
    assert event_record({"user_id": 3, "type": "view"}) == {"user_id": 3, "type": "view"}
    odd = event_record({"userId": 1, "movieId": "x", "timestamp": 10**18})
    assert odd["occurred_at"] == 10**18


@given(st.lists(st.integers(0, 6), max_size=60), st.integers(1, 5), st.data())
def test_recent_ids_are_those_of_the_window(
    numbers: list[int], window: int, data: st.DataObject
) -> None:
    """What is repeated depends on the window before it alone, also for one that stepped back."""
    expected = [numbers[at] in numbers[max(0, at - window) : at] for at in range(len(numbers))]
    recent = RecentIds(window)
    cut = data.draw(st.integers(0, len(numbers)))  # one by one, and then at one go
    names = [str(number) for number in numbers]
    found = [recent.repeats(at, names[at]) for at in range(cut)]
    found += recent.repeated(range(cut, len(names)), names[cut:])
    assert found == expected
    back = data.draw(st.integers(max(0, len(numbers) - window), len(numbers)))
    if recent.step_back(back, len(numbers)):
        again = [recent.repeats(at, str(numbers[at])) for at in range(back, len(numbers))]
        assert again == expected[back:]


@pytest.mark.parametrize(
    ("url", "brokers", "topic"),
    [
        ("kafka://one", "one:9092", "events"),
        ("kafka://one:1,two:2/clicks", "one:1,two:2", "clicks"),
        ("kafka://[::1]:9093/a.b-c_d", "[::1]:9093", "a.b-c_d"),
    ],
)
def test_a_url_names_brokers_and_a_topic(url: str, brokers: str, topic: str) -> None:
    """The port and the topic have defaults."""
    assert parse_url(url) == (brokers, topic)


@pytest.mark.parametrize(
    "url",
    [
        "kafka://",
        "kafka:///x",
        "kafka://a:b/x",
        "kafka://u:secret@a/x",
        "kafka://a/ü",
        "kafka://a/b/c",
    ],
)
def test_a_url_that_cannot_be_meant(url: str) -> None:
    """It is refused with a cure, and a password in it is not shown."""
    with pytest.raises(ConfigurationError) as refused:
        parse_url(url)
    assert refused.value.cure
    assert "secret" not in str(refused.value)


def test_what_is_no_event_is_said_so() -> None:
    """Another program's message in the log's topic."""
    at = b"2026-01-01T00:00:00"  # without a zone: nobody knows when that is
    floating = b'{"event_id":"e","type":"view","user_id":"u","item_id":"i","occurred_at":"%b",'
    floating = floating % at + b'"received_at":"%bZ"}' % at
    for content in (b"", b"{}", b"\xff", b'{"event_id": 3}', floating):
        with pytest.raises((msgspec.MsgspecError, UnicodeDecodeError)):
            log_rows(["0"], [0], [content])
