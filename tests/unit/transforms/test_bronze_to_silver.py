from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.transforms.frames import NOW, frame, rows

from nextup.domain.tables import COLUMNS, Table
from nextup.transforms.bronze_to_silver import interactions, log_window

SAME = {"type": "view", "user_id": "ada", "item_id": "i", "occurred_at": NOW, "partition": "0"}


def events(*places: tuple[str, str, int]) -> object:
    ids = ({"event_id": e, "partition": p, "offset": o} for e, p, o in places)
    return frame(Table.EVENTS, *ids, **{**SAME, "received_at": NOW, "received_on": NOW.date()})


def test_first_in_log_order_wins() -> None:
    """Of equal event ids the first by partition and offset stays, in whatever order they come."""
    chunk = events(("a", "0", 5), ("a", "0", 2), ("b", "1", 1), ("b", "0", 9))
    silver = interactions(chunk, frame(Table.INTERACTIONS))
    assert rows(silver, "event_id", "partition", "offset") == [("a", "0", 2), ("b", "0", 9)]
    assert tuple(silver.collect_schema().names()) == COLUMNS[Table.INTERACTIONS]


def test_what_silver_has_does_not_come_again() -> None:
    """An event id that silver holds is left out, wherever it stands in the log now."""
    known = frame(Table.INTERACTIONS, {"event_id": "a"}, {"event_id": "z"})
    silver = interactions(events(("a", "0", 7), ("c", "0", 8)), known)
    assert rows(silver, "event_id") == [("c",)]


def test_window_of_the_log() -> None:
    """Start is included, end is not, partitions are apart, and an absent start is 0."""
    chunk = events(("a", "0", 1), ("b", "0", 2), ("c", "0", 3), ("d", "1", 0), ("e", "2", 0))
    assert rows(log_window(chunk, {"0": 2}, {"0": 3, "1": 1}), "event_id") == [("b",), ("d",)]
    assert rows(log_window(chunk, {}, {}), "event_id") == []


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 4)), max_size=12))
def test_chunks_do_not_matter(log: list[tuple[str, int]]) -> None:
    """However the log is cut into chunks, silver ends up with each first event once."""
    places = [(event, "0", offset) for offset, (event, _) in enumerate(log)]
    whole = rows(interactions(events(*places), frame(Table.INTERACTIONS)), "event_id", "offset")
    silver: list[tuple[str, int]] = []
    while places:
        size = log[-len(places)][1]
        chunk, places = places[:size], places[size:]
        known = frame(Table.INTERACTIONS, *({"event_id": event} for event, _ in silver))
        silver += rows(interactions(events(*chunk), known), "event_id", "offset")
    assert sorted(silver, key=repr) == whole
