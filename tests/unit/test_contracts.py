"""The event contract, one record or a batch at a time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from jsonschema_rs import Draft202012Validator

from nextup.adapters.catalog.sql import SqlCatalog
from nextup.adapters.sql import open_database
from nextup.domain.errors import ConfigurationError
from nextup.domain.events import Event, EventType, Rejected
from nextup.domain.items import Item
from nextup.services.contracts import EventContract
from nextup.services.event_ids import EventIds
from nextup.services.event_schemas import event_schema
from nextup.settings import Contracts

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
GOOD = {"type": "rating", "user_id": "u", "item_id": "i1", "value": 4}


@pytest.fixture
def catalog(tmp_path):
    catalog = SqlCatalog(open_database("sqlite:///catalog.db", tmp_path))
    catalog.put_items([Item("i1", "film"), Item("7", "film")])
    yield catalog
    catalog.close()


@pytest.fixture
def contract(catalog):
    return EventContract(Contracts(), catalog, lambda: NOW)


@pytest.mark.parametrize("event_type", EventType)
def test_schemas(event_type, contract):
    """Every shipped schema is valid, and its examples pass the contract but for the catalogue."""
    schema = event_schema(event_type, Contracts())
    assert Draft202012Validator(schema).is_valid(schema["examples"][0])
    for example in schema["examples"]:
        (rejected,) = contract.check_many([example], "docs").rejected
        assert rejected.rule == "unknown_item"


def test_full_event(contract):
    """Every field of a record arrives in the event, its time in UTC."""
    record = {
        **GOOD,
        "event_id": "e1",
        "occurred_at": "2026-03-02T12:30:00.25+01:00",
        "session_id": "s",
        "recommendation_id": "r",
        "context": {"shelf": "für dich", "place": 3},
    }
    moment = datetime(2026, 3, 2, 11, 30, 0, 250_000, UTC)
    context = '{"shelf":"für dich","place":3}'
    expected = Event("e1", "rating", "u", "i1", moment, 4.0, "s", "r", context)
    assert contract.check(record, "api") == expected
    assert contract.check(json.dumps(record), "api") == expected
    assert contract.check(json.dumps(record).encode(), "api") == expected


def test_minted(contract):
    """What the client leaves out is minted: ids that ascend, and the time of arrival."""
    events = contract.check_many([GOOD] * 50, "api").events
    ids = [event.event_id for event in events]
    assert ids == sorted(set(ids))
    assert {event.occurred_at for event in events} == {NOW}


def test_ids_ascend_when_the_clock_goes_back():
    """A clock that goes backwards does not stop ids from ascending."""
    ids = EventIds()
    minted = [ids.mint(NOW - timedelta(seconds=n)) for n in range(100)]
    assert minted == sorted(set(minted))
    assert {(len(one), one[14], one[19] in "89ab") for one in minted} == {(36, "7", True)}


@pytest.mark.parametrize(
    ("record", "rule", "says"),
    [
        (b"\xff", "bad_encoding", "byte 0"),
        ("\ud800", "bad_encoding", "half a character"),
        ({**GOOD, "context": {"a": "\ud800"}}, "bad_encoding", "half a character"),
        ('{"type": "view"', "not_json", "truncated"),
        (json.dumps({**GOOD, "value": float("nan")}), "not_json", "invalid"),
        ("[]", "schema", "$: expected an object, got []."),
        ({}, "schema", "$.type is required"),
        ({**GOOD, "type": "purchase"}, "unknown_type", 'got "purchase"'),
        ({**GOOD, "type": ["view"]}, "unknown_type", '["view"]'),
        ({"type": "view", "user_id": "u"}, "schema", "$.item_id is required"),
        ({**GOOD, "user_id": 7}, "schema", "$.user_id: expected text of 1 to 500 characters"),
        ({**GOOD, "user_id": ""}, "schema", "$.user_id"),
        ({**GOOD, "user_id": "x" * 501}, "schema", "$.user_id"),
        ({**GOOD, "item_id": "a\tb"}, "schema", "$.item_id"),
        ({**GOOD, "color": "red"}, "schema", "$.color: a rating has no such field"),
        ({**GOOD, "type": "view"}, "schema", "$.value: a view has no such field"),
        ({**GOOD, "value": "4"}, "schema", 'from 0.5 to 5, got "4"'),
        ({**GOOD, "value": True}, "schema", "got true"),
        ({**GOOD, "context": []}, "schema", "$.context: expected an object"),
        ({**GOOD, "value": 5.5}, "rating_out_of_range", "from 0.5 to 5, got 5.5"),
        ({**GOOD, "value": 0}, "rating_out_of_range", "$.value"),
        ({**GOOD, "occurred_at": "2026-03-02T12:00:00"}, "schema", "with a time zone"),
        ({**GOOD, "occurred_at": "2016-12-31T23:59:60Z"}, "schema", "with a time zone"),
        ({**GOOD, "occurred_at": "0001-01-01T00:00:00+10:00"}, "schema", "with a time zone"),
        ({**GOOD, "occurred_at": "2026-03-02T12:05:01Z"}, "in_future", "300 s ahead"),
        ({**GOOD, "occurred_at": "1970-01-01T23:59:59Z"}, "too_old", "before 1970-01-02"),
        ({**GOOD, "item_id": "i2"}, "unknown_item", 'no item "i2"'),
    ],
)
def test_rules(contract, record, rule, says):
    """Each rule refuses its record, whole, in a sentence that says where and what."""
    rejected = contract.check(record, "api")
    assert isinstance(rejected, Rejected)
    assert (rejected.rule, rejected.source, rejected.rejected_at) == (rule, "api", NOW)
    assert says in rejected.reason
    assert rejected.record.encode()


@pytest.mark.parametrize("moment", ["2026-03-02T12:05:00Z", "1970-01-02T00:00:00z"])
def test_times_at_the_edge(contract, moment):
    """The last moment that is not too far ahead, and the first that is not too old, are good."""
    assert isinstance(contract.check({**GOOD, "occurred_at": moment}, "api"), Event)


@pytest.mark.parametrize(
    ("user_id", "good"),
    [("7", True), ("-7", True), ("0", True), ("07", False), ("7.0", False), ("", False)],
)
def test_integer_ids(catalog, user_id, good):
    """Where ids must be integers, only their canonical spelling is one."""
    contract = EventContract(Contracts(id_type="int"), catalog, lambda: NOW)
    checked = contract.check({"type": "view", "user_id": user_id, "item_id": "7"}, "api")
    assert isinstance(checked, Event) is good


def test_rating_bounds_are_settings(catalog):
    """The settings' bounds take the place of those in the schema file."""
    contract = EventContract(Contracts(rating_min=1, rating_max=10), catalog, lambda: NOW)
    values = {value: contract.check({**GOOD, "value": value}, "api") for value in (0.5, 1, 10, 11)}
    assert [isinstance(one, Event) for one in values.values()] == [False, True, True, False]


def test_batch_keeps_the_good_ones(contract):
    """A bad record costs itself; the others are kept in their order, each with its own source."""
    records = [{**GOOD, "event_id": str(n), "value": n % 7} for n in range(20)]
    checked = contract.check_many(records, [f"row {n}" for n in range(20)])
    good = [n for n in range(20) if 1 <= n % 7 <= 5]
    assert [event.event_id for event in checked.events] == [str(n) for n in good]
    bad = [f"row {n}" for n in range(20) if n not in good]
    assert [one.source for one in checked.rejected] == bad


def test_rejections_are_told_apart_by_source_and_record(contract):
    """The same record from the same source is one rejection; another source or record is not."""
    first, again = contract.check({}, "a"), contract.check({}, "a")
    assert first.rejected_id == again.rejected_id
    others = {contract.check({}, "b").rejected_id, contract.check([], "a").rejected_id}
    assert len(others | {first.rejected_id}) == 3


def test_create_unknown_items(catalog):
    """Under `create` only good records make items, once, and existing ones stay as they are."""
    settings = Contracts(unknown_items="create")
    contract = EventContract(settings, catalog, lambda: NOW, new_item_kind="book")
    records = [GOOD, {**GOOD, "item_id": "new"}, {**GOOD, "item_id": "bad", "value": 9}]
    assert contract.explain_many(records, "api").rejected[0].rule == "rating_out_of_range"
    assert catalog.item("new") is None
    assert len(contract.check_many(records, "api").events) == 2
    assert catalog.item("new") == Item("new", "book")
    assert catalog.item("bad") is None
    assert catalog.item("i1").kind == "film"


def test_oldest_event_that_is_no_date(catalog):
    """A setting that is no date is named when the contract is made."""
    with pytest.raises(ConfigurationError, match="oldest_event"):
        EventContract(Contracts(oldest_event="yesterday"), catalog, lambda: NOW)
