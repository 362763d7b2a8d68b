from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.unit.transforms.frames import NOW, frame, rows

from nextup.domain.tables import Table
from nextup.schemas.table_schemas import parse_tables, table_schema
from nextup.transforms import quality

GOOD = {
    "event_id": "a",
    "type": "view",
    "user_id": "ada",
    "item_id": "i",
    "occurred_at": NOW,
    "partition": "0",
    "offset": 0,
}
SILVER = table_schema(Table.INTERACTIONS)


def outcome(*bad: dict[str, Any]) -> dict[str, int]:
    """The rules that fail, with their counts, of one good row and the given ones."""
    silver = frame(Table.INTERACTIONS, GOOD, *bad, **GOOD)
    (found,) = quality.figures(silver, SILVER).collect().rows(named=True)
    assert found[quality.ROWS] == 1 + len(bad)
    return {r.rule: r.failing for r in quality.results(SILVER, found) if not r.passed}


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"user_id": None}, "user_id.not_null"),
        ({"type": "stare"}, "type.one_of"),
        ({"offset": -1}, "offset.range"),
        ({"value": float("nan")}, "value.range"),
        ({"value": float("inf")}, "value.range"),
    ],
)
def test_each_rule_finds_its_row(change: dict[str, Any], rule: str) -> None:
    """A row that breaks one rule is counted under that rule only, and told from good ones."""
    assert outcome(change, change) == {rule: 2}
    silver = frame(Table.INTERACTIONS, GOOD, {**change, "event_id": "bad"}, **GOOD)
    assert rows(quality.bad(silver, SILVER, "rule"), "event_id", "rule") == [("bad", rule)]
    assert rows(quality.good(silver, SILVER), "event_id") == [("a",)]


def test_good_rows_break_nothing() -> None:
    """No rule fails on good rows, nor where there are no rows at all."""
    assert outcome({"event_id": "b", "value": 4.5}, {"event_id": "c", "value": None}) == {}
    (none,) = quality.figures(frame(Table.INTERACTIONS), SILVER).collect().rows(named=True)
    assert all(result.passed for result in quality.results(SILVER, none))


def test_repeated_keys() -> None:
    """Three rows with one key are two too many."""
    silver = frame(Table.INTERACTIONS, GOOD, GOOD, GOOD, {"event_id": "b"}, **GOOD)
    assert rows(quality.repeated_keys(silver, SILVER), "failing") == [(2,)]


def test_dangling_references() -> None:
    """A reference to nothing is counted; an empty one is not a reference."""
    silver = frame(Table.INTERACTIONS, {"item_id": "i"}, {"item_id": "j"}, {"item_id": None})
    items = frame(Table.ITEMS, {"item_id": "i"})
    assert rows(quality.dangling(silver, "item_id", items, "item_id"), "failing") == [(1,)]


def test_tolerated_rules_let_rows_pass() -> None:
    """A tolerated share of failing rows passes; the next row does not."""
    (found,) = quality.figures(frame(Table.INTERACTIONS, GOOD), SILVER).collect().rows(named=True)
    results = quality.results(SILVER, found, references={"item_id": 1}, repeated=1)
    assert {r.rule: r.passed for r in results if r.failing} == {
        "item_id.references": True,
        "key.unique": False,
    }


def test_volume_and_freshness() -> None:
    """Too few rows, and a newest row that is too old, are failures of the table."""
    entry = {
        "description": "x",
        "key": ["item_id"],
        "min_rows": 3,
        "freshness": {"column": "last_at", "within_hours": 24},
        "columns": {
            "item_id": {"type": "string", "description": "x"},
            "last_at": {"type": "timestamp", "description": "x"},
        },
    }
    (schema,) = parse_tables({"item_stats": entry}, "gold", "gold.yml")
    stats = frame(Table.ITEM_STATS, {"item_id": "i", "last_at": NOW})
    (found,) = quality.figures(stats, schema).collect().rows(named=True)
    for hours, stale in ((23, 0), (25, 1)):
        age = timedelta(hours=hours).total_seconds()
        failing = {r.rule: r.failing for r in quality.results(schema, found, age_seconds=age)}
        assert (failing["volume"], failing["freshness"]) == (2, stale)
