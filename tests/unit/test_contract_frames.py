"""The contract in columns and the contract one by one are one contract."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextup.domain.events import from_microseconds
from nextup.services.contract_frames import (
    RAW_COLUMNS,
    TIME_TEXT,
    VALUE_TEXT,
    FrameContract,
    with_values,
)
from nextup.services.contracts import EventContract
from nextup.settings import Contracts

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)

IDS = st.sampled_from(
    ["1", "2", "-3", "007", "x", "", " y", "ü" * 500, "z" * 501, "a\nb", "\x85", None]
)
TYPES = st.sampled_from(["rating", "view", "like", "buy", "", None])
VALUES = st.sampled_from(["4", "0.5", "5.0", "5.01", " 3 ", "nan", "inf", "1e1", "abc", "", None])
TIMES = st.one_of(
    st.sampled_from(["0", "964982703", "nonsense", "", "2026-03-02T12:05:01Z", "9" * 30]),
    st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.isoformat()),
    st.integers(-(10**18), 10**18).map(str),
)
ROWS = st.lists(st.tuples(TYPES, IDS, IDS, VALUES, TIMES), max_size=30)
SETTINGS = st.builds(
    Contracts,
    id_type=st.sampled_from(["string", "int"]),
    unknown_items=st.sampled_from(["quarantine", "create"]),
)


class Shelf:
    """Knows the items 1, 2 and x; takes others."""

    def __init__(self):
        self.items = {"1", "2", "x"}

    def unknown_items(self, item_ids):
        return set(item_ids) - self.items

    def put_items(self, items):
        ids = {item.item_id for item in items}
        self.items |= ids
        return len(ids)


def frame_of(rows):
    columns = {
        "event_id": [f"e{n}" for n in range(len(rows))],
        **dict(zip(RAW_COLUMNS[1:4], [[row[n] for row in rows] for n in range(3)], strict=True)),
        VALUE_TEXT: [row[3] for row in rows],
        TIME_TEXT: [row[4] for row in rows],
    }
    return pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String)).select(RAW_COLUMNS)


def sent(row, number):
    """The row as a client would send it: independent of the code that writes it so."""
    event_type, user_id, item_id, value, moment = row
    record = {"event_id": f"e{number}", "type": event_type, "user_id": user_id, "item_id": item_id}
    frame = with_values(frame_of([row]), 0)
    read, at = frame["value"][0], frame["occurred_at"][0]
    record["value"] = value if read is None else read
    try:
        record["occurred_at"] = moment if at is None else from_microseconds(at).isoformat()
    except OverflowError:
        record["occurred_at"] = moment
    return {name: content for name, content in record.items() if content is not None}


@settings(max_examples=200, deadline=None)
@given(ROWS, SETTINGS)
def test_both_paths_agree(rows, contracts):
    """Row for row, columns accept and refuse what the contract does, by the same rules."""
    one_by_one, in_columns = Shelf(), Shelf()
    contract = EventContract(contracts, one_by_one, lambda: NOW)
    expected = contract.check_many(
        [sent(row, n) for n, row in enumerate(rows)], [str(n) for n in range(len(rows))]
    )
    frames = FrameContract(
        EventContract(contracts, in_columns, lambda: NOW), in_columns.unknown_items
    )
    assert frames.check(frame_of(rows), str) == expected
    assert one_by_one.items == in_columns.items


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.just("rating"),
            st.sampled_from("123"),
            st.just("1"),
            st.sampled_from(["1", "4.5", "5"]),
            TIMES,
        ),
        max_size=20,
    )
)
def test_good_rows_need_no_second_look(rows):
    """The columns themselves accept every good row; the slow path is for bad ones alone."""
    shelf = Shelf()
    contract = EventContract(Contracts(), shelf, lambda: NOW)
    looked_at = []
    judge = contract.check_many
    contract.check_many = lambda records, source: (
        looked_at.extend(records) or judge(records, source)
    )
    checked = FrameContract(contract, shelf.unknown_items).check(frame_of(rows), str)
    assert len(looked_at) == len(checked.rejected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("964982703", datetime(2000, 7, 30, 18, 45, 3, tzinfo=UTC)),
        ("964982703000", datetime(2000, 7, 30, 18, 45, 3, tzinfo=UTC)),
        ("964982703000001", datetime(2000, 7, 30, 18, 45, 3, 1, UTC)),
        ("964982703000001000", datetime(2000, 7, 30, 18, 45, 3, 1, UTC)),
        ("964982703.25", datetime(2000, 7, 30, 18, 45, 3, 250_000, UTC)),
        ("2005-04-02 23:53:47", datetime(2005, 4, 2, 23, 53, 47, tzinfo=UTC)),
        ("2005-04-02T23:53:47Z", datetime(2005, 4, 2, 23, 53, 47, tzinfo=UTC)),
        ("2005-04-02T23:53:47.5+05:30", datetime(2005, 4, 2, 18, 23, 47, 500_000, UTC)),
        ("2005-04-02 23:53", datetime(2005, 4, 2, 23, 53, tzinfo=UTC)),
        (" 2005-04-02 ", datetime(2005, 4, 2, tzinfo=UTC)),
        ("02/04/2005", None),
        ("2005-02-30", None),
        ("", None),
    ],
)
def test_times(text, expected):
    """Numbers count since the epoch in the unit that their size tells; text is ISO, in UTC."""
    moment = with_values(frame_of([("view", "u", "1", None, text)]), 0)["occurred_at"][0]
    assert (None if moment is None else from_microseconds(moment)) == expected


def test_absent_times_are_now():
    """A file without times gives events that happened on arrival."""
    contract = EventContract(Contracts(), Shelf(), lambda: NOW)
    frames = FrameContract(contract, Shelf().unknown_items)
    (event,) = frames.check(frame_of([("view", "u", "1", None, None)]), str).events
    assert abs(event.occurred_at - NOW) < timedelta(microseconds=1)
